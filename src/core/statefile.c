/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading and writing files of the state directory; see the header. A write is a job of the
 * helper thread that holds all it needs; all writes have the same order key, so the last one
 * asked for is the one that stays. */
#include "core/statefile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/daemon.h"

struct save {
	struct worker_job job;
	struct daemon *daemon;
	char *name, *path, *temporary;
	char *text;
	size_t bytes;
	/* How it went. */
	int error; /* -errno */
	const char *step;
};

/* ---- reading ---- */

int statefile_read(struct daemon *d, const char *name, config_t *cfg)
{
	g_autofree char *path = NULL;
	FILE *file;
	int r;

	if (!d->state_dir)
		return -ENOENT;
	path = g_build_filename(d->state_dir, name, NULL);
	file = fopen(path, "re");
	if (!file) {
		r = -errno;
		if (r != -ENOENT)
			log_error("%s: cannot be read: %s", path, g_strerror(-r));
		return r;
	}
	r = config_read(cfg, file) ? 0 : -EINVAL;
	fclose(file);
	if (r < 0) {
		g_autofree char *why = g_strdup_printf("line %d: %s", config_error_line(cfg),
						       config_error_text(cfg));
		statefile_set_aside(d, name, why);
	}
	return r;
}

void statefile_set_aside(struct daemon *d, const char *name, const char *why)
{
	g_autofree char *path = g_build_filename(d->state_dir, name, NULL);
	g_autofree char *bad = g_strconcat(path, ".bad", NULL);

	if (rename(path, bad) < 0)
		log_error("%s: damaged (%s), and cannot be set aside: %s", path, why,
			  g_strerror(errno));
	else
		log_error("%s: damaged (%s): set aside as %s", path, why, bad);
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
	int fd =
		open(s->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	s->step = "create";
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

	s->error = save_temporary(s);
	if (!s->error) {
		s->step = "rename";
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

	if (s->error) {
		g_autofree char *what = g_strdup_printf("save %s", s->name);
		g_autofree char *text = g_strdup_printf("cannot %s %s: %s", s->step, s->path,
							g_strerror(-s->error));

		log_error("%s", text);
		object_fail_text(&d->obj, what, ISDSC_NON_SPECIFIC_ERROR, -s->error, text);
	}
	save_free(s);
	daemon_release(d);
}

void statefile_write(struct daemon *d, const char *name, const config_t *cfg)
{
	struct save *s;
	FILE *memory;

	if (!d->state_dir)
		return;
	s = g_new0(struct save, 1);
	s->daemon = d;
	s->name = g_strdup(name);
	s->path = g_build_filename(d->state_dir, name, NULL);
	s->temporary = g_strconcat(s->path, ".tmp", NULL);
	/* Not run at all (the helper ends) is a failure, too. */
	s->error = -ECANCELED;
	s->step = "write";
	memory = open_memstream(&s->text, &s->bytes);
	if (!memory)
		g_error("out of memory");
	config_write(cfg, memory);
	if (fclose(memory) == EOF)
		g_error("out of memory");
	s->job.order = d;
	s->job.run = save_run;
	s->job.done = save_done;
	daemon_hold(d);
	worker_submit(d->worker, &s->job);
}
