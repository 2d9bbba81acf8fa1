/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the configuration again; reload.h says what that means. Called by verbs.c and, for
 * SIGHUP, main.c.
 *
 *   a job is    true in it                                               next
 *   queued      in the worker; its own struct conf is the helper's       read
 *   read        on_read() runs in the loop: compares, applies, tells     (freed)
 *
 * Invariant: reloader.file is what the file said when it was last accepted, except for options
 * that only count after a restart: those are as at start, so that they are told of again. */
#include "core/reload.h"

#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf_secrets.h"
#include "core/conf_table.h"
#include "core/daemon.h"
#include "core/event.h"

#define QUEUE_MAX 16

struct reloader {
	struct daemon *daemon;
	char *path; /* NULL: the default one */
	struct conf file;
	unsigned queued;
	void (*changed)(struct daemon *d, void *arg);
	void (*busy)(bool is_busy, void *arg);
	void *arg;
};

struct job {
	struct worker_job work;
	struct reloader *reloader;
	struct operation *op; /* NULL: nobody waits (any more) */
	bool is_from_signal;
	bool is_read; /* run() was called */
	struct conf conf;
	struct conf_secrets secrets; /* only to see whether the next start would take them */
	GError *error;
};

/* What a reload did. */
struct outcome {
	GString *now, *logins, *restart; /* names of options: "a,b" */
};

struct reloader *reloader_new(struct daemon *d, const struct reload_config *c)
{
	struct reloader *r = g_new0(struct reloader, 1);

	r->daemon = d;
	r->path = g_strdup(c->path);
	conf_copy(&r->file, c->file);
	r->changed = c->changed;
	r->busy = c->busy;
	r->arg = c->arg;
	return r;
}

void reloader_free(struct reloader *r)
{
	if (!r)
		return;
	conf_done(&r->file);
	g_free(r->path);
	g_free(r);
}

static const char *path_of(const struct reloader *r)
{
	return r->path ? r->path : CONF_DEFAULT_FILE;
}

/* --- comparing and applying --- */

static void add_name(GString *list, const char *name)
{
	g_string_append_printf(list, "%s%s", list->len ? "," : "", name);
}

static void apply(struct reloader *r, const struct conf *from, struct outcome *o)
{
	struct daemon *d = r->daemon;
	GString *const lists[] = {
		[CONF_AT_ONCE] = o->now,
		[CONF_NEW_LOGINS] = o->logins,
		[CONF_RESTART] = o->restart,
	};

	for (const struct conf_option *x = conf_options; x->key.name; x++) {
		if (conf_option_equal(x, &r->file, from))
			continue;
		add_name(lists[x->live], x->key.name);
		if (x->live == CONF_RESTART)
			continue;
		conf_option_copy(x, &r->file, from);
		conf_option_copy(x, &d->conf, from);
	}
	if (!o->now->len && !o->logins->len)
		return;
	initiator_take_conf(d->initiator);
	if (r->changed)
		r->changed(d, r->arg);
}

/* --- telling --- */

static void tell_list(GString *text, const char *what, const GString *list)
{
	if (list->len)
		g_string_append_printf(text, "%s %s: %s", text->len ? ";" : "", what,
				       list->str);
}

static void tell(struct job *j, const struct outcome *o)
{
	g_autoptr(GString) text = g_string_new(NULL);

	tell_list(text, "changed", o->now);
	tell_list(text, "for new logins", o->logins);
	tell_list(text, "after a restart", o->restart);
	event_emit(j->reloader->daemon, EVENT_CONF_RELOADED, "configuration: %s read again:%s",
		   path_of(j->reloader), text->len ? text->str : " nothing has changed");
}

/* The warning of the guide (appendix D) for what is done, and not in force yet. */
static void reply(struct job *j, const struct outcome *o)
{
	const struct error_info *info = error_info(ISDSC_OPERATION_REQUIRES_REBOOT);

	if (!j->op)
		return;
	operation_result(j->op, "file", "%s", path_of(j->reloader));
	if (o->now->len)
		operation_result(j->op, "changed", "%s", o->now->str);
	if (o->logins->len)
		operation_result(j->op, "new_logins", "%s", o->logins->str);
	if (o->restart->len) {
		operation_result(j->op, "restart", "%s", o->restart->str);
		operation_result(j->op, "code", "%s", info->name);
		operation_result(j->op, "number", "0x%08X", info->number);
	}
}

static void refuse(struct job *j)
{
	struct daemon *d = j->reloader->daemon;

	if (j->is_read)
		event_emit(d, EVENT_CONF_REFUSED,
			   "configuration: the old one stays in force: %s", j->error->message);
	if (j->is_from_signal)
		object_fail(&d->obj, "SIGHUP", j->error);
}

/* --- jobs --- */

static void on_work(struct worker_job *work)
{
	struct job *j = container_of(work, struct job, work);

	j->is_read = true;
	if (conf_read(&j->conf, j->reloader->path, &j->error) &&
	    !conf_secrets_read(&j->secrets, &j->conf, &j->error))
		g_prefix_error(&j->error, "%s: ", path_of(j->reloader));
}

static void take(struct job *j)
{
	struct outcome o = { g_string_new(NULL), g_string_new(NULL), g_string_new(NULL) };

	apply(j->reloader, &j->conf, &o);
	tell(j, &o);
	reply(j, &o);
	g_string_free(o.now, TRUE);
	g_string_free(o.logins, TRUE);
	g_string_free(o.restart, TRUE);
}

static void count(struct reloader *r, int by)
{
	bool was_busy = r->queued;

	r->queued += (unsigned)by;
	if (r->busy && was_busy != (r->queued > 0))
		r->busy(r->queued, r->arg);
}

/* Lets go of the operation, and with it of the daemon. */
static void finish(struct job *j, GError *err)
{
	struct daemon *d = j->reloader->daemon;
	struct operation *op = j->op;

	j->op = NULL;
	if (!op) {
		g_clear_error(&err);
		return;
	}
	operation_finish(op, err);
	operation_unref(op);
	daemon_release(d);
}

/* Would a start with it go on? */
static gboolean check_secrets(struct job *j)
{
	if (conf_secrets_check(&j->secrets, j->reloader->daemon, &j->error))
		return TRUE;
	g_prefix_error(&j->error, "%s: ", path_of(j->reloader));
	return FALSE;
}

static void on_read(struct worker_job *work)
{
	struct job *j = container_of(work, struct job, work);
	struct daemon *d = j->reloader->daemon;

	if (!j->error && (!j->is_read || d->is_shutting_down)) {
		j->is_read = false;
		error_set_errno(&j->error, ISDSC_NON_SPECIFIC_ERROR, EBUSY,
				"the daemon is being ended");
	}
	if (j->error || !check_secrets(j))
		refuse(j);
	else
		take(j);
	count(j->reloader, -1);
	if (j->op)
		operation_step(j->op, NULL, NULL);
	finish(j, g_steal_pointer(&j->error));
	conf_done(&j->conf);
	conf_secrets_wipe(&j->secrets);
	g_free(j);
}

/* The file may be on a server that does not answer: whoever waits need not. */
static void on_cancel(struct operation *op)
{
	finish(op->step, NULL);
}

static gboolean may_run(const struct daemon *d, GError **err)
{
	if (!d->reloader)
		error_set(err, ISDSC_REQUEST_NOT_SUPPORTED, "this daemon has no configuration");
	else if (d->is_shutting_down)
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EBUSY,
				"the daemon is being ended");
	else if (d->reloader->queued >= QUEUE_MAX)
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EBUSY,
				"%s is being read still", path_of(d->reloader));
	else
		return TRUE;
	return FALSE;
}

void reload_run(struct daemon *d, struct operation *op)
{
	GError *err = NULL;
	struct job *j;

	if (!may_run(d, &err)) {
		if (op) {
			operation_finish(op, err);
			return;
		}
		log_warning("reload: %s", err->message);
		g_error_free(err);
		return;
	}
	j = g_new0(struct job, 1);
	j->reloader = d->reloader;
	j->is_from_signal = !op;
	if (op) {
		j->op = operation_ref(op);
		daemon_hold(d);
		operation_step(op, on_cancel, j);
	}
	conf_default(&j->conf);
	j->work.order = d->reloader;
	j->work.run = on_work;
	j->work.done = on_read;
	count(d->reloader, 1);
	worker_submit(d->worker, &j->work);
}
