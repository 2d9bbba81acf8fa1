/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing files of the state directory; see the header. A write is a job of the
 * helper thread that holds all it needs; all writes have the same order key, so the last one
 * asked for is the one that stays. */
#include "core/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/daemon.h"
#include "core/event.h"

struct save {
	struct worker_job job;
	struct daemon *daemon;
	char *name, *path, *temporary; /* path NULL: there is no state directory */
	char *text;
	size_t bytes;
	/* How it went. */
	int error; /* -errno */
	const char *step, *at; /* what failed: "write", and of which file */
	void (*done)(void *arg, const GError *err);
	void *arg;
};

/* ---- reading ---- */

/* The daemon must not start: @name would be written over. */
static int refuse_start(struct daemon *d, const char *path, int error, const char *why)
{
	log_error("%s: %s", path, why);
	if (!d->state_error)
		error_set_errno(&d->state_error, ISDSC_NON_SPECIFIC_ERROR, -error,
				"state file %s: %s", path, why);
	return error;
}

/* All of it, and a NUL; NULL: -errno in *ret_error. g_free(). */
static char *read_text(const char *path, size_t *ret_bytes, int *ret_error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	g_autofree char *text = NULL;
	struct stat st;
	size_t used = 0;
	ssize_t n;

	*ret_error = 0;
	if (fd < 0 || fstat(fd, &st) < 0) {
		*ret_error = -errno;
	} else if (!S_ISREG(st.st_mode)) {
		*ret_error = -EINVAL;
	} else if (st.st_size <= STATEFILE_MAX) { /* else: an empty text, which is damaged */
		text = g_malloc((size_t)st.st_size + 1);
		while (used < (size_t)st.st_size) {
			n = read(fd, text + used, (size_t)st.st_size - used);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				*ret_error = -errno;
			if (n <= 0)
				break;
			used += (size_t)n;
		}
		text[used] = '\0';
	}
	if (fd >= 0)
		close(fd);
	*ret_bytes = used;
	if (*ret_error)
		return NULL;
	return text ? g_steal_pointer(&text) : g_strdup("");
}

/* Whatever it names, it is none of ours. Values have no line of their own, so none begins one. */
static bool has_include(const char *text)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += strspn(line, " \t\n");
		if (*line == '@')
			return true;
	}
	return false;
}

/* 0, or -EINVAL and *ret_why, g_free(). An empty file is what a file system that lost data leaves:
 * ours never are. */
static int parse(const char *text, size_t bytes, config_t *cfg, char **ret_why)
{
	if (!bytes || strlen(text) < bytes || has_include(text)) {
		*ret_why = g_strdup(!bytes		 ? "empty, or too long"
				    : has_include(text) ? "an @include"
							 : "a NUL byte in it");
		return -EINVAL;
	}
	if (config_read_string(cfg, text))
		return 0;
	*ret_why = g_strdup_printf("line %d: %s", config_error_line(cfg), config_error_text(cfg));
	return -EINVAL;
}

/* Before there were versions, there was none. */
static int check_version(struct daemon *d, const char *name, const char *path,
			 const config_t *cfg)
{
	const config_setting_t *s = config_lookup(cfg, "version");
	g_autofree char *why = NULL;

	if (!s)
		return 0;
	if (config_setting_type(s) != CONFIG_TYPE_INT || config_setting_get_int(s) < 1) {
		statefile_set_aside(d, name, "its version is none");
		return -EINVAL;
	}
	if (config_setting_get_int(s) <= STATEFILE_VERSION)
		return 0;
	why = g_strdup_printf("of version %d, this program knows up to %d: use the later program, "
			      "or move the file away",
			      config_setting_get_int(s), STATEFILE_VERSION);
	return refuse_start(d, path, -EPROTONOSUPPORT, why);
}

int statefile_read(struct daemon *d, const char *name, config_t *cfg)
{
	g_autofree char *path = NULL, *why = NULL, *text = NULL;
	size_t bytes;
	int r;

	if (!d->state_dir)
		return -ENOENT;
	path = g_build_filename(d->state_dir, name, NULL);
	text = read_text(path, &bytes, &r);
	if (!text)
		return r == -ENOENT ? r : refuse_start(d, path, r, g_strerror(-r));
	if (parse(text, bytes, cfg, &why) < 0) {
		statefile_set_aside(d, name, why);
		return -EINVAL;
	}
	return check_version(d, name, path, cfg);
}

#define ASIDE_MAX 100

/* Where nothing is yet. */
static int move_aside(const char *path, char **ret_to)
{
	for (unsigned i = 0; i < ASIDE_MAX; i++) {
		g_autofree char *to = i ? g_strdup_printf("%s.bad.%u", path, i)
					: g_strconcat(path, ".bad", NULL);

		/* Not rename(): it would take the place of an older one. */
		if (link(path, to) == 0) {
			*ret_to = g_steal_pointer(&to);
			return unlink(path) < 0 ? -errno : 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

void statefile_set_aside(struct daemon *d, const char *name, const char *why)
{
	g_autofree char *path = g_build_filename(d->state_dir, name, NULL);
	g_autofree char *to = NULL, *text = NULL;
	int r = move_aside(path, &to);

	event_emit(d, EVENT_STATE_DAMAGED, "%s: damaged (%s)%s%s", path, why,
		   r < 0 ? "" : ": set aside as ", r < 0 ? "" : to);
	if (r == 0)
		return;
	text = g_strdup_printf("damaged (%s), and cannot be set aside: %s", why, g_strerror(-r));
	refuse_start(d, path, r, text);
}

/* ---- writing: in the helper thread ---- */

static int write_all(int fd, const char *text, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int save_temporary(struct save *s)
{
	int fd, r;

	s->at = s->path;
	s->step = "write";
	if (s->bytes > STATEFILE_MAX) /* no start would read it */
		return -EFBIG;
	s->at = s->temporary;
	s->step = "create";
	fd = open(s->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	s->step = "write";
	r = write_all(fd, s->text, s->bytes);
	if (!r && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && !r)
		r = -errno;
	return r;
}

/* The new name is safe only when the directory is. */
static int sync_directory(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

static void save_run(struct worker_job *job)
{
	struct save *s = container_of(job, struct save, job);

	s->error = s->path ? save_temporary(s) : 0;
	if (!s->path)
		return;
	if (!s->error) {
		s->at = s->path;
		s->step = "replace";
		if (rename(s->temporary, s->path) < 0)
			s->error = -errno;
	}
	if (s->error) {
		unlink(s->temporary);
		return;
	}
	s->step = "sync the directory of";
	s->error = sync_directory(s->daemon->state_dir); /* set once, never changed */
}

/* ---- in the loop thread ---- */

static void save_free(struct save *s)
{
	g_free(s->name);
	g_free(s->path);
	g_free(s->temporary);
	free(s->text);
	g_free(s);
}

static void save_done(struct worker_job *job)
{
	struct save *s = container_of(job, struct save, job);
	struct daemon *d = s->daemon;
	g_autoptr(GError) err = NULL;

	if (s->error) {
		g_autofree char *what = g_strdup_printf("save %s", s->name);

		/* A directory in the way is no fault of the line that was written. */
		error_set_errno(&err, ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA,
				s->error == -EISDIR ? EIO : -s->error, "cannot %s %s: %s",
				s->step, s->at, g_strerror(-s->error));
		event_emit(d, EVENT_STATE_NOT_SAVED, "%s", err->message);
		object_fail(&d->obj, what, err);
	}
	if (s->done)
		s->done(s->arg, err);
	save_free(s);
	daemon_release(d);
}

/* The text of @cfg; malloc()ed, *ret_bytes without its NUL. */
static char *print(config_t *cfg, size_t *ret_bytes)
{
	config_setting_t *root = config_root_setting(cfg), *version;
	char *text = NULL;
	FILE *memory = open_memstream(&text, ret_bytes);

	version = config_setting_add(root, "version", CONFIG_TYPE_INT);
	if (version) /* else it is there */
		config_setting_set_int(version, STATEFILE_VERSION);
	if (!memory)
		g_error("out of memory");
	config_write(cfg, memory);
	if (fclose(memory) == EOF)
		g_error("out of memory");
	return text;
}

void statefile_save(struct daemon *d, const char *name, config_t *cfg,
		    void (*done)(void *arg, const GError *err), void *arg)
{
	struct save *s = g_new0(struct save, 1);

	s->daemon = d;
	s->name = g_strdup(name);
	s->done = done;
	s->arg = arg;
	/* Not run at all (the helper ends) is a failure, too. */
	s->error = -ECANCELED;
	s->step = "write";
	if (d->state_dir) {
		s->path = g_build_filename(d->state_dir, name, NULL);
		s->at = s->path;
		s->temporary = g_strconcat(s->path, ".tmp", NULL);
		s->text = print(cfg, &s->bytes);
	}
	s->job.order = d;
	s->job.run = save_run;
	s->job.done = save_done;
	daemon_hold(d);
	worker_submit(d->worker, &s->job);
}
