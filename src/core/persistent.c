/* SPDX-License-Identifier: BSD-2-Clause */
/* The verbs of persistent/, and the start; persistent.h is the manual. */
#include "core/persistent.h"

#include "core/logins.h"
#include "core/volumes.h"

/* ---- persistent/ctl ---- */

static struct daemon *daemon_of(struct object *obj)
{
	return container_of(obj, struct persistent, obj)->daemon;
}

static void add_login(struct object *obj, const struct command *cmd, struct operation *op)
{
	logins_add(daemon_of(obj)->logins, cmd, op);
}

static void run_add_login(struct object *obj, const struct command *cmd, struct operation *op)
{
	login_options_fetch(daemon_of(obj), obj, cmd, op, add_login);
}

static void run_remove_login(struct object *obj, const struct command *cmd,
			     struct operation *op)
{
	logins_remove(daemon_of(obj)->logins, cmd, op);
}

static void run_bind(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	volumes_bind(daemon_of(obj)->volumes, op);
}

static void run_add_volume(struct object *obj, const struct command *cmd, struct operation *op)
{
	volumes_add(daemon_of(obj)->volumes, cmd->args[0], op);
}

static void run_remove_volume(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	volumes_remove(daemon_of(obj)->volumes, cmd->args[0], op);
}

static void run_clear_volumes(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	(void)cmd;
	volumes_clear(daemon_of(obj)->volumes, op);
}

const struct verb persistent_verbs[] = {
	{ "add-login", "TARGET", 1, 1, login_keys, NULL, run_add_login,
	  "log in at each start from the next one on; `login persist=yes` does it now, too" },
	{ "remove-login", "TARGET", 1, 1, logins_remove_keys, NULL, run_remove_login,
	  "forget the saved logins to it; the session stays" },
	{ "bind", "", 0, 0, NULL, NULL, run_bind,
	  "starts wait for what rests on our LUNs now, and for nothing else" },
	{ "add-volume", "PATH", COMMAND_OWNERS | 1, 1, NULL, NULL, run_add_volume,
	  "starts wait for it, too: a mount point, a block device, a LUN's file" },
	{ "remove-volume", "PATH", COMMAND_OWNERS | 1, 1, NULL, NULL, run_remove_volume,
	  "they do not any more; a name in volumes/ will do" },
	{ "clear-volumes", "", 0, 0, NULL, NULL, run_clear_volumes, "they wait for nothing" },
	{ 0 },
};

/* ---- a login ---- */

static struct saved_login *to_login(struct object *obj)
{
	return container_of(obj, struct saved_login, obj);
}

static void run_login_remove(struct object *obj, const struct command *cmd,
			     struct operation *op)
{
	(void)cmd;
	saved_login_remove(to_login(obj), op);
}

static void run_login_try(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	saved_login_try(to_login(obj), op);
}

const struct verb saved_login_verbs[] = {
	{ "login", "", 0, 0, NULL, NULL, run_login_try, "try it now" },
	{ "remove", "", 0, 0, NULL, NULL, run_login_remove, "forget it; the session stays" },
	{ 0 },
};

/* ---- a volume ---- */

static void run_volume_remove(struct object *obj, const struct command *cmd,
			      struct operation *op)
{
	(void)cmd;
	volume_remove(container_of(obj, struct volume, obj), op);
}

const struct verb volume_verbs[] = {
	{ "remove", "", 0, 0, NULL, NULL, run_volume_remove, "starts do not wait for it" },
	{ 0 },
};

/* ---- from the begin ---- */

static void persistent_free(struct object *o)
{
	object_done(o);
	g_free(container_of(o, struct persistent, obj));
}

struct persistent *persistent_new(struct daemon *d)
{
	struct persistent *p = g_new0(struct persistent, 1);

	object_init(&p->obj, d->loop, OBJECT_PERSISTENT, persistent_free);
	p->daemon = d;
	return p;
}

static void on_ready(void *arg)
{
	struct persistent *p = arg;

	p->is_ready = true;
	p->ready(p->arg);
}

static void on_progress(void *arg, unsigned missing, unsigned total)
{
	struct persistent *p = arg;

	if (p->progress)
		p->progress(p->arg, missing, total);
}

void persistent_start(struct persistent *p,
		      void (*progress)(void *arg, unsigned missing, unsigned total),
		      void (*ready)(void *arg), void *arg)
{
	p->progress = progress;
	p->ready = ready;
	p->arg = arg;
	logins_start(p->daemon->logins);
	volumes_wait(p->daemon->volumes, p->daemon->conf.volumes_timeout_ms, on_progress,
		     on_ready, p);
}
