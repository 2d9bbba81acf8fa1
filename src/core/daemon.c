/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon object: the state directory and its lock, what there is one of, and the end.
 *
 *   shutdown    true in it                                                   next
 *   (not yet)   !is_shutting_down                                            DETACHING
 *   DETACHING   nothing new begins; loop devices are being taken away        LEAVING
 *   LEAVING     nothing new begins; discoveries and logins were given up,    DONE
 *               all sessions log out; shutdown_timer runs
 *   (forced)    the time was up: sessions are closed, LEAVING goes on        DONE
 *   DONE        no session, nothing pending; shutdown_call runs done()       -
 */
#include "core/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/attach.h"
#include "core/conf_secrets.h"
#include "core/discovery.h"
#include "core/event.h"
#include "core/firmware.h"
#include "core/initiator_instance.h"
#include "core/isns_servers.h"
#include "core/logins.h"
#include "core/persistent.h"
#include "core/policies.h"
#include "core/portal_health.h"
#include "core/secret_store.h"
#include "core/reload.h"
#include "core/target.h"
#include "core/volumes.h"

#define WORKER_THREADS 4 /* so that a slow name server does not hold up the others */
/* Requests that cover blocks in part wait for one of these. */
#define BOUNCE_BUFFERS 4 /* who finds none waits; each is in memory all the time */
#define LOCK_FILE "lock"

/* ---- the state directory ---- */

static gboolean fail(GError **err, int errno_value, const char *what, const char *path)
{
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno_value,
			"state directory: %s %s: %s", what, path, g_strerror(errno_value));
	return FALSE;
}

/* Secrets will be in it (encrypted, but still). */
static gboolean check_directory(const char *path, GError **err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return fail(err, errno, "cannot use", path);
	if (!S_ISDIR(st.st_mode))
		return fail(err, ENOTDIR, "cannot use", path);
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EPERM,
				"state directory: others than its owner may write to %s", path);
		return FALSE;
	}
	return TRUE;
}

static gboolean make_directory(const char *path, GError **err)
{
	if (g_mkdir_with_parents(path, 0700) < 0)
		return fail(err, errno, "cannot make", path);
	return check_directory(path, err);
}

static void set_locked_error(GError **err, const char *path, int fd)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		g_strchomp(pid);
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EBUSY,
			"state directory: %s is held by the daemon with pid %s", path,
			pid[0] ? pid : "?");
}

/* The lock goes with the descriptor; the file stays. */
static gboolean lock_directory(struct daemon *d, GError **err)
{
	g_autofree char *path = g_build_filename(d->state_dir, LOCK_FILE, NULL);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail(err, errno, "cannot open", path);
	d->state_lock = fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			set_locked_error(err, path, fd);
		else
			fail(err, errno, "cannot lock", path);
		return FALSE;
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return fail(err, errno, "cannot write", path);
	return TRUE;
}

/* ---- making and freeing ---- */

static void release_memory(struct object *o)
{
	struct daemon *d = container_of(o, struct daemon, obj);

	chap_history_free(d->chap_history);
	event_log_free(d->events);
	portal_health_free(d->health);
	reloader_free(d->reloader);
	conf_done(&d->conf);
	secret_store_free(d->secrets);
	conf_secrets_done(d);
	g_clear_error(&d->state_error);
	g_free(d->state_dir);
	object_done(o);
	g_free(d);
}

static gboolean start_helpers(struct daemon *d, GError **err)
{
	d->chap_history = chap_history_new();
	if (getrandom(d->isid_random, sizeof(d->isid_random), 0) < 0) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno, "no random bytes: %s",
				g_strerror(errno));
		return FALSE;
	}
	if (pool_init_warm(&d->bounce, BOUNCE_BUFFERS, BOUNCE_BUFFERS, DISK_BOUNCE_BYTES,
		      (size_t)sysconf(_SC_PAGESIZE)) < 0) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, ENOMEM,
				"no memory for bounce buffers");
		return FALSE;
	}
	d->worker = worker_new(d->loop, WORKER_THREADS);
	if (!d->worker) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, errno,
				"cannot start helper threads: %s", g_strerror(errno));
		return FALSE;
	}
	return TRUE;
}

/* Without a key the daemon runs on: only stored secrets are of no use. */
static void open_secrets(struct daemon *d)
{
	const char *why;

	if (!d->state_dir)
		return;
	d->secrets = secret_store_new(d->state_dir, d->conf.secret_key_file);
	why = secret_store_error(d->secrets);
	if (why)
		event_emit(d, EVENT_SECRET_FAILED, "no key for stored secrets: %s", why);
}

/* Everything that is kept has been read: is there something that must not be written over? */
static gboolean take_state_error(struct daemon *d, GError **err)
{
	if (!d->state_error)
		return TRUE;
	g_propagate_error(err, g_steal_pointer(&d->state_error));
	return FALSE;
}

static void on_shutdown_timer(struct loop_timer *timer);
static void on_shutdown_call(struct loop_call *call);

struct daemon *daemon_new(struct loop *l, const struct conf *conf, const char *state_dir,
			  GError **err)
{
	struct daemon *d = g_new0(struct daemon, 1);

	object_init(&d->obj, l, OBJECT_DAEMON, release_memory);
	d->loop = l;
	d->events = event_log_new();
	d->health = portal_health_new(l);
	conf_copy(&d->conf, conf);
	d->state_dir = g_strdup(state_dir);
	d->state_lock = -1;
	d->next_sid = 1;
	d->started_us = g_get_real_time();
	d->targets_sorted = g_sequence_new(NULL);
	d->targets_by_name = g_hash_table_new(g_str_hash, g_str_equal);
	d->luns_by_wwid = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	d->attacher = attacher_new(d);
	loop_timer_init(l, &d->shutdown_timer, on_shutdown_timer);
	loop_call_init(&d->shutdown_call, on_shutdown_call);
	if ((state_dir && (!make_directory(state_dir, err) || !lock_directory(d, err))) ||
	    !start_helpers(d, err)) {
		daemon_free(d);
		return NULL;
	}
	open_secrets(d);
	d->discovery = discovery_new(d);
	d->initiator = initiator_new(d, err);
	if (!d->initiator) {
		daemon_free(d);
		return NULL;
	}
	if (!conf_secrets_load(d, err) || !initiator_instances_load(d, err)) {
		daemon_free(d);
		return NULL;
	}
	d->policies = policies_new(d);
	discovery_load(d->discovery);
	d->discovery->firmware = firmware_new(d);
	d->persistent = persistent_new(d);
	logins_new(d);
	d->volumes = volumes_new(d);
	if (!take_state_error(d, err)) {
		daemon_free(d);
		return NULL;
	}
	return d;
}

void daemon_free(struct daemon *d)
{
	d->is_shutting_down = true;
	login_options_give_up(d);
	attacher_stop(d->attacher);
	while (d->discovery && d->discovery->portals)
		portal_remove(d->discovery->portals->data);
	if (d->discovery)
		isns_servers_drop(d->discovery);
	if (d->discovery && d->discovery->firmware)
		firmware_gone(d->discovery->firmware);
	while (d->targets)
		target_drop(d->targets->data);
	attacher_free(d->attacher);
	worker_free(d->worker); /* runs what it has finished */
	policies_free(d->policies);
	logins_free(d->logins);
	volumes_free(d->volumes);
	if (d->persistent)
		object_gone(&d->persistent->obj);
	if (d->discovery)
		object_gone(&d->discovery->obj);
	initiator_instances_free(d);
	if (d->initiator)
		object_gone(&d->initiator->obj);
	loop_timer_done(&d->shutdown_timer);
	loop_call_cancel(&d->shutdown_call);
	g_sequence_free(d->targets_sorted);
	g_hash_table_unref(d->targets_by_name);
	g_hash_table_unref(d->luns_by_wwid);
	if (d->bounce.memory)
		pool_done(&d->bounce);
	if (d->state_lock >= 0)
		close(d->state_lock);
	object_gone(&d->obj);
}

/* ---- the end ---- */

void daemon_hold(struct daemon *d)
{
	d->pending++;
}

void daemon_release(struct daemon *d)
{
	d->pending--;
	daemon_check_shutdown(d);
}

static bool has_session(const struct daemon *d)
{
	for (GList *l = d->targets; l; l = l->next)
		if (((struct target *)l->data)->nexuses)
			return true;
	return false;
}

void daemon_check_shutdown(struct daemon *d)
{
	if (d->shutdown_done && !d->pending && !has_session(d))
		loop_call_queue(d->loop, &d->shutdown_call);
}

static void on_shutdown_call(struct loop_call *call)
{
	struct daemon *d = container_of(call, struct daemon, shutdown_call);
	void (*done)(struct daemon *, void *) = d->shutdown_done;

	if (!done || d->pending || has_session(d))
		return;
	loop_timer_stop(&d->shutdown_timer);
	d->shutdown_done = NULL;
	done(d, d->shutdown_arg);
}

/* A login that is cancelled while it looks at units drops its session itself. */
static void leave_target(struct target *t)
{
	struct operation *op;

	if (t->logging_in)
		operation_cancel(t->logging_in, EBUSY);
	for (GList *l = t->nexuses, *next; l; l = next) {
		struct nexus *n = l->data;

		next = l->next;
		if (!nexus_is_usable(n) && !n->is_logging_out)
			nexus_remove(n);
	}
	op = operation_new(t->obj.loop, NULL, NULL);
	target_logout(t, true, op);
	operation_unref(op);
}

/* Time is up. */
static void on_shutdown_timer(struct loop_timer *timer)
{
	struct daemon *d = container_of(timer, struct daemon, shutdown_timer);

	log_warning("shutdown: not all targets answered the logout in time");
	for (GList *l = d->targets, *next; l; l = next) {
		struct target *t = l->data;

		next = l->next;
		object_ref(&t->obj);
		while (t->nexuses)
			nexus_remove(t->nexuses->data);
		object_unref(&t->obj);
	}
}

/* Nothing of the tree is held by a loop device of ours any more. */
static void leave(void *arg)
{
	struct daemon *d = arg;

	for (GList *l = d->targets, *next; l; l = next) {
		struct target *t = l->data;

		next = l->next;
		object_ref(&t->obj);
		leave_target(t);
		object_unref(&t->obj);
	}
	loop_timer_start(&d->shutdown_timer, d->conf.shutdown_ms);
	daemon_check_shutdown(d);
}

void daemon_shutdown(struct daemon *d, void (*done)(struct daemon *, void *), void *arg)
{
	d->is_shutting_down = true;
	d->shutdown_done = done;
	d->shutdown_arg = arg;
	login_options_give_up(d);
	logins_shutdown(d->logins);
	volumes_shutdown(d->volumes);
	discovery_shutdown(d->discovery);
	attacher_shutdown(d->attacher, leave, d);
}
