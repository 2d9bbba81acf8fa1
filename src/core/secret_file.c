/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a secret file. The path comes from a person and may lead anywhere: into our own
 * mount, onto a file system on one of our own LUNs, to a dead file server. Opening such a file
 * from the loop would wait for an answer that only the loop can give, and one of the worker's
 * threads might never come back. So a thread of its own reads it and sends what it found
 * through a socket pair, which the loop watches as long as somebody wants to know. A thread
 * that comes too late finds the socket closed and goes.
 *
 * Invariants: the thread shares no memory with the loop but its struct reader, which is its own
 * from pthread_create() on, and the count of threads; what held the secret is wiped on both
 * sides. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/loop.h"
#include "base/text.h"

#define STACK_BYTES (128 * 1024) /* the default of 8 MiB would be locked by mlockall() */

enum outcome { READ_OK, READ_FAILED, READ_NOT_REGULAR, READ_TOO_OPEN, READ_FOREIGN };

/* What the thread sends: one message. */
struct found {
	enum outcome outcome;
	int errno_value;
	uint32_t bytes;
	char data[SECRET_FILE_MAX + 2]; /* a newline, and one more to see that it is too long */
};

struct reader {
	int socket;
	char *path;
};

struct secret_file {
	struct loop_fd watch; /* our end of the socket pair */
	struct loop_timer limit;
	char *path;
	void (*done)(void *arg, char *secret, const GError *err);
	void *arg;
};

/* Threads are the process's, not a daemon's, and may outlive the one that started them. */
static atomic_uint readers;

/* --- in the thread --- */

static enum outcome check_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return READ_FAILED;
	if (!S_ISREG(st.st_mode))
		return READ_NOT_REGULAR;
	if (st.st_mode & 077)
		return READ_TOO_OPEN;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return READ_FOREIGN;
	return READ_OK;
}

static enum outcome read_file(int fd, struct found *f)
{
	ssize_t n;

	do {
		n = read(fd, f->data + f->bytes, sizeof(f->data) - f->bytes);
		if (n > 0)
			f->bytes += (uint32_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? READ_FAILED : READ_OK;
}

static void look_up(const char *path, struct found *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO: at once */

	f->outcome = fd < 0 ? READ_FAILED : check_file(fd);
	if (f->outcome == READ_OK)
		f->outcome = read_file(fd, f);
	f->errno_value = errno;
	if (fd >= 0)
		close(fd);
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct found f = { 0 };

	look_up(r->path, &f);
	/* Nobody there any more is no error of ours. */
	(void)!send(r->socket, &f, sizeof(f), MSG_NOSIGNAL);
	text_wipe(&f, sizeof(f));
	close(r->socket);
	g_free(r->path);
	g_free(r);
	atomic_fetch_sub(&readers, 1);
	return NULL;
}

/* --- in the loop thread --- */

/* 0 or a positive errno; takes @socket only on success. */
static int start_reader(const char *path, int socket)
{
	struct reader *r = g_new0(struct reader, 1);
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	r->socket = socket;
	r->path = g_strdup(path);
	atomic_fetch_add(&readers, 1);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, reader_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (error) {
		atomic_fetch_sub(&readers, 1);
		g_free(r->path);
		g_free(r);
	}
	return error;
}

static gboolean refuse(GError **err, int errno_value, const char *path, const char *why)
{
	g_autofree char *shown = text_escape(path, strlen(path), 256);

	error_set_errno(err, ISDSC_INVALID_PARAMETER, errno_value, "secret file %s: %s", shown,
			why);
	return FALSE;
}

static gboolean check_found(const char *path, struct found *f, GError **err)
{
	if (f->outcome == READ_FAILED)
		return refuse(err, f->errno_value == ELOOP ? EINVAL : f->errno_value, path,
			      g_strerror(f->errno_value));
	if (f->outcome == READ_NOT_REGULAR)
		return refuse(err, EINVAL, path, "not a regular file");
	if (f->outcome == READ_TOO_OPEN)
		return refuse(err, EACCES, path,
			      "others than its owner have access to it (chmod 600)");
	if (f->outcome == READ_FOREIGN)
		return refuse(err, EACCES, path, "belongs to another user");
	if (f->bytes && f->data[f->bytes - 1] == '\n')
		f->bytes--;
	if (!f->bytes)
		return refuse(err, EINVAL, path, "empty");
	if (f->bytes > SECRET_FILE_MAX)
		return refuse(err, EINVAL, path, "too long");
	if (memchr(f->data, '\0', f->bytes))
		return refuse(err, EINVAL, path, "a NUL byte in it (write the secret in hex)");
	return TRUE;
}

static void secret_file_free(struct secret_file *s)
{
	int fd = s->watch.fd;

	loop_fd_remove(&s->watch);
	close(fd);
	loop_timer_done(&s->limit);
	g_free(s->path);
	g_free(s);
}

/* Takes @s, and @err unless NULL: else @f is what came. */
static void secret_file_end(struct secret_file *s, struct found *f, GError *err)
{
	void (*done)(void *, char *, const GError *) = s->done;
	void *arg = s->arg;
	char *secret = NULL;

	if (!err && check_found(s->path, f, &err))
		secret = g_strndup(f->data, f->bytes);
	secret_file_free(s);
	done(arg, secret, err);
	g_clear_error(&err);
}

static void on_found(struct loop_fd *w, uint32_t events)
{
	struct secret_file *s = container_of(w, struct secret_file, watch);
	struct found f;
	GError *err = NULL;

	(void)events;
	if (recv(w->fd, &f, sizeof(f), MSG_DONTWAIT) != sizeof(f))
		refuse(&err, EIO, s->path, g_strerror(EIO));
	secret_file_end(s, &f, err);
	text_wipe(&f, sizeof(f));
}

static void on_limit(struct loop_timer *timer)
{
	struct secret_file *s = container_of(timer, struct secret_file, limit);
	GError *err = NULL;

	refuse(&err, ETIMEDOUT, s->path, g_strerror(ETIMEDOUT));
	secret_file_end(s, NULL, err);
}

/* A socket that a thread will write to, or a negative errno. */
static int open_reader(const char *path)
{
	int sockets[2], error;

	if (atomic_load(&readers) >= SECRET_FILE_READERS_MAX)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	error = start_reader(path, sockets[1]);
	if (!error)
		return sockets[0];
	close(sockets[0]);
	close(sockets[1]);
	return -error;
}

struct secret_file *secret_file_start(struct loop *l, const char *path, int64_t limit_ms,
				      void (*done)(void *arg, char *secret, const GError *err),
				      void *arg, GError **err)
{
	struct secret_file *s;
	int fd, r;

	if (!g_path_is_absolute(path)) {
		refuse(err, EINVAL, path, "not an absolute path");
		return NULL;
	}
	fd = open_reader(path);
	if (fd < 0) {
		refuse(err, -fd, path,
		       fd == -EBUSY ? "too many such files are being read" : g_strerror(-fd));
		return NULL;
	}
	s = g_new0(struct secret_file, 1);
	r = loop_fd_add(l, &s->watch, fd, EPOLLIN, on_found);
	if (r < 0) {
		refuse(err, -r, path, g_strerror(-r));
		close(fd);
		g_free(s);
		return NULL;
	}
	s->path = g_strdup(path);
	s->done = done;
	s->arg = arg;
	loop_timer_init(l, &s->limit, on_limit);
	loop_timer_start(&s->limit, limit_ms);
	return s;
}

char *secret_file_read(const char *path, GError **err)
{
	struct found f = { 0 };
	char *secret = NULL;

	look_up(path, &f);
	if (check_found(path, &f, err))
		secret = g_strndup(f.data, f.bytes);
	text_wipe(&f, sizeof(f));
	return secret;
}

void secret_file_cancel(struct secret_file *s)
{
	secret_file_free(s);
}
