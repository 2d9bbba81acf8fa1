/* SPDX-License-Identifier: BSD-2-Clause */
/* posix_spawn, a pidfd, a pipe; helper.h is the manual. The end of the child is what the pidfd
 * tells: the pipe may end before, while the child still closes other files. */
#include "core/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

#define OUTPUT_MAX (1 << 20)
#define GRACE_MS 2000 /* for a child to die of SIGKILL */

struct helper {
	struct list link; /* helpers->all */
	struct loop *loop;
	pid_t pid; /* 0: none was started */
	int pidfd, pipe;
	struct loop_fd pidfd_watch, pipe_watch;
	struct loop_timer timer;
	struct loop_call failed; /* it could not be started */
	GString *output;
	int64_t limit_ms;
	bool is_killed;
	int start_error;
	char *start_text;
	void (*done)(void *arg, const struct helper_answer *a); /* NULL: told, or cancelled */
	void *arg;
};

/* ---- the end ---- */

static void close_fd(struct loop_fd *w, int *fd)
{
	loop_fd_remove(w);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void helper_free(struct helper *h)
{
	list_remove(&h->link);
	close_fd(&h->pidfd_watch, &h->pidfd);
	close_fd(&h->pipe_watch, &h->pipe);
	loop_timer_done(&h->timer);
	loop_call_cancel(&h->failed);
	g_string_free(h->output, TRUE);
	g_free(h->start_text);
	g_free(h);
}

static void tell(struct helper *h, const struct helper_answer *a)
{
	void (*done)(void *, const struct helper_answer *) = h->done;

	h->done = NULL;
	if (done)
		done(h->arg, a);
}

static void tell_error(struct helper *h, int errno_value, const char *text, char **lines)
{
	static char *none[] = { NULL };

	tell(h, &(struct helper_answer){ errno_value, text, lines ? lines : none });
}

/* The last line is the verdict. */
void helper_parse(char **lines, struct helper_answer *ret)
{
	guint count = g_strv_length(lines);
	const char *last = count ? lines[count - 1] : "";
	char *end;
	gint64 number;

	*ret = (struct helper_answer){ ECHILD, "the helper process died", lines };
	if (!strcmp(last, "ok")) {
		ret->error = 0;
		ret->text = "";
	} else if (g_str_has_prefix(last, "error ")) {
		number = g_ascii_strtoll(last + 6, &end, 10);
		ret->error = number > 0 && number < 4096 ? (int)number : EIO;
		ret->text = *end == ' ' ? end + 1 : end;
	}
}

/* Reads what is there; false: no more will come. */
static bool drain(struct helper *h)
{
	char piece[4096];
	ssize_t n;

	for (;;) {
		n = read(h->pipe, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if (h->output->len < OUTPUT_MAX)
			g_string_append_len(h->output, piece, n);
	}
}

/* @is_given_up: it did not die when it was killed. */
static void answer(struct helper *h, bool is_given_up)
{
	g_auto(GStrv) lines = g_strsplit(h->output->str, "\n", -1);
	guint count = g_strv_length(lines);
	struct helper_answer a;

	/* What follows the last newline is not a whole line. */
	if (count)
		g_clear_pointer(&lines[count - 1], g_free);
	helper_parse(lines, &a);
	if (a.error == ECHILD && h->is_killed) {
		a.error = ETIMEDOUT;
		a.text = is_given_up ? "the helper process did not end in time, nor when it was "
				       "killed: given up"
				     : "the helper process did not end in time and was killed";
	}
	tell(h, &a);
}

static void on_end(struct loop_fd *w, uint32_t events)
{
	struct helper *h = container_of(w, struct helper, pidfd_watch);
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)h->pidfd, &info, WEXITED | WNOHANG) == 0 && !info.si_pid)
		return;
	if (h->pipe >= 0)
		drain(h);
	h->pid = 0;
	answer(h, false);
	helper_free(h);
}

static void on_output(struct loop_fd *w, uint32_t events)
{
	struct helper *h = container_of(w, struct helper, pipe_watch);

	(void)events;
	if (!drain(h))
		close_fd(&h->pipe_watch, &h->pipe);
}

static void kill_child(struct helper *h)
{
	if (h->pid && !h->is_killed)
		pidfd_send_signal(h->pidfd, SIGKILL, NULL, 0);
	h->is_killed = true;
}

static void on_timer(struct loop_timer *t)
{
	struct helper *h = container_of(t, struct helper, timer);

	if (!h->is_killed) {
		kill_child(h);
		loop_timer_start(t, GRACE_MS);
		return;
	}
	if (!h->done)
		return;
	log_warning("helper process %d does not even die: given up", (int)h->pid);
	if (h->pipe >= 0)
		drain(h);
	answer(h, true);
}

static void on_failed(struct loop_call *c)
{
	struct helper *h = container_of(c, struct helper, failed);

	tell_error(h, h->start_error, h->start_text, NULL);
	helper_free(h);
}

/* ---- the start ---- */

/* The request as a file: a pipe would hold 64 KiB only. */
static int make_input(const GString *request)
{
	int fd = memfd_create("request", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < request->len;) {
		ssize_t n = pwrite(fd, request->str + at, request->len - at, (off_t)at);

		if (n <= 0) {
			int r = n < 0 ? -errno : -EIO;

			close(fd);
			return r;
		}
		at += (size_t)n;
	}
	return fd;
}

static int spawn(const char *const argv[], int input, int output, pid_t *ret_pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, ours;
	int r;

	sigemptyset(&none);
	sigemptyset(&ours);
	sigaddset(&ours, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&attr);
	posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &ours);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETSID);
	r = posix_spawn(ret_pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv,
			environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return -r;
}

/* 0 or -errno. With a child there is a pidfd for it, or it is gone again. */
static int start_child(struct helper *h, const char *const argv[], const GString *request)
{
	int input = make_input(request);
	int ends[2], r;

	if (input < 0)
		return input;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		r = -errno;
		close(input);
		return r;
	}
	h->pipe = ends[0];
	fcntl(h->pipe, F_SETFL, O_NONBLOCK);
	r = spawn(argv, input, ends[1], &h->pid);
	close(input);
	close(ends[1]);
	if (r < 0) {
		h->pid = 0;
		return r;
	}
	h->pidfd = pidfd_open(h->pid, 0);
	if (h->pidfd < 0) {
		r = -errno;
		kill(h->pid, SIGKILL); /* it has only begun: it dies at once */
		waitpid(h->pid, NULL, 0);
		h->pid = 0;
		return r;
	}
	return 0;
}

static int watch(struct helper *h)
{
	int r = loop_fd_add(h->loop, &h->pidfd_watch, h->pidfd, EPOLLIN, on_end);

	return r < 0 ? r : loop_fd_add(h->loop, &h->pipe_watch, h->pipe, EPOLLIN, on_output);
}

struct helper *helper_start(struct helpers *all, const char *const argv[],
			    const GString *request, int64_t limit_ms,
			    void (*done)(void *arg, const struct helper_answer *a), void *arg)
{
	struct helper *h = g_new0(struct helper, 1);
	int r;

	h->loop = all->loop;
	h->pidfd = h->pipe = -1;
	h->output = g_string_new(NULL);
	h->done = done;
	h->arg = arg;
	h->limit_ms = limit_ms;
	list_push_tail(&all->all, &h->link);
	loop_timer_init(h->loop, &h->timer, on_timer);
	loop_call_init(&h->failed, on_failed);
	r = start_child(h, argv, request);
	if (r == 0)
		r = watch(h);
	if (r == 0) {
		loop_timer_start(&h->timer, limit_ms);
		return h;
	}
	kill_child(h);
	h->start_error = -r;
	h->start_text = g_strdup_printf("no helper process could be started: %s%s", strerror(-r),
					r == -ENOSYS ? " (that takes Linux 5.9 or newer)" : "");
	loop_call_queue(h->loop, &h->failed);
	return h;
}

void helper_kill(struct helper *h)
{
	if (!h->pid)
		return; /* it was never there: done() is on its way */
	kill_child(h);
	loop_timer_start(&h->timer, GRACE_MS);
}

void helper_cancel(struct helper *h)
{
	if (!h)
		return;
	h->done = NULL;
	if (h->pid)
		helper_kill(h);
	else
		helper_free(h);
}

void helpers_init(struct helpers *h, struct loop *l)
{
	h->loop = l;
	list_init(&h->all);
}

void helpers_done(struct helpers *h)
{
	struct list *link;

	if (!h->loop)
		return;
	while ((link = list_first(&h->all))) {
		struct helper *x = list_entry(link, struct helper, link);

		kill_child(x);
		helper_free(x);
	}
	h->loop = NULL;
}
