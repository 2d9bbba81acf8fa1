/* SPDX-License-Identifier: BSD-2-Clause */
/* Logging out: of one session, or of all sessions of a target. Refused while a unit would be
 * pulled away under a process that has it open, unless forced. The sessions log out in
 * parallel; a target that does not answer is left after logout_ms, and a session that is being
 * brought back just ends. Cannot be cancelled: who no longer waits for it lets it go on.
 *
 *   phase      true in it                                                    next
 *   CHECKING   units are open, or have loop devices of ours: a child         OPEN, (refused)
 *              process tells who is in the way (attach.h)
 *   OPEN       it sees nobody, but somebody has a file open, perhaps         RELEASING, (refused)
 *              just not any more
 *   RELEASING  a child process detaches the devices                          CLOSING, (refused)
 *   CLOSING    the kernel is about to tell that the devices' files are       LEAVING, (refused)
 *              closed
 *   LEAVING    the sessions log out                                          (end)
 */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "core/attach.h"
#include "core/event.h"
#include "core/mcs.h"
#include "core/revive.h"
#include "core/target.h"


/* For the kernel to close the file of a device that is gone. */
#define CLOSING_MS 2000
#define CLOSING_LOOK_MS 5

struct logout {
	struct target *target;
	struct operation *op;
	unsigned sid; /* of the one session; 0: all */
	bool is_forced;
	bool is_checked;	   /* past OPEN */
	struct loop_timer closing; /* OPEN, CLOSING: looks again */
	int64_t closing_until_ms;
	unsigned sessions, pending, silent;
};

/* ---- may it be? ---- */

/* @n NULL: all sessions of @t. @is_open: what counts. */
static gboolean check_opens(const struct target *t, const struct nexus *n,
			    bool (*is_open)(const struct lun *l), GError **err)
{
	for (GList *k = t->luns; k; k = k->next) {
		const struct lun *l = k->data;
		g_autofree char *holder = NULL;

		if (!is_open(l) || !lun_depends_on(l, n))
			continue;
		holder = lun_holder(l);
		error_set_errno(err, ISDSC_DEVICE_BUSY_ON_SESSION, EBUSY, "%s", holder);
		return FALSE;
	}
	return TRUE;
}

static gboolean check_idle(const struct target *t, const struct nexus *n, GError **err)
{
	return check_opens(t, n, lun_is_open, err);
}

static gboolean check_state(const struct target *t, const struct nexus *n, GError **err)
{
	if (t->logging_in) {
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY, "%s: a login is under way",
				t->name);
		return FALSE;
	}
	if (!t->nexuses) {
		error_set_errno(err, ISDSC_INVALID_SESSION_ID, ENOENT, "%s: not logged in",
				t->name);
		return FALSE;
	}
	for (GList *k = t->nexuses; k; k = k->next) {
		const struct nexus *other = k->data;

		if (!other->is_logging_out || (n && other != n))
			continue;
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY,
				"%s: session %u is being logged out already", t->name,
				other->session->sid);
		return FALSE;
	}
	return TRUE;
}

/* Those that a child process is to look at. */
static GPtrArray *list_held(const struct target *t, const struct nexus *n, bool is_forced)
{
	GPtrArray *luns = g_ptr_array_new();

	for (GList *k = t->luns; k; k = k->next) {
		struct lun *l = k->data;

		if (lun_depends_on(l, n) &&
		    (attach_device(l) || (!is_forced && lun_is_open(l))))
			g_ptr_array_add(luns, l);
	}
	return luns;
}

static bool has_held(const struct target *t, const struct nexus *n, bool is_forced)
{
	g_autoptr(GPtrArray) held = list_held(t, n, is_forced);

	return held->len;
}

/* ---- doing it ---- */

static void logout_free(struct logout *o)
{
	daemon_release(o->target->daemon);
	loop_timer_done(&o->closing);
	operation_unref(o->op);
	object_unref(&o->target->obj);
	g_free(o);
}

/* Somebody uses it. */
static void tell_veto(const struct target *t, const GError *err)
{
	if (error_errno(err) == EBUSY)
		event_emit(t->daemon, EVENT_REMOVAL_VETOED, "%s: logout refused: %s", t->name,
			   err->message);
}

/* Takes @err. */
static void logout_refuse(struct logout *o, GError *err)
{
	tell_veto(o->target, err);
	operation_finish(o->op, err);
	logout_free(o);
}

static void logout_end(struct logout *o)
{
	operation_result(o->op, "sessions", "%u", o->sessions);
	if (o->silent)
		operation_result(o->op, "unconfirmed", "%u", o->silent);
	operation_finish(o->op, NULL);
	logout_free(o);
}

static struct nexus *find_nexus(const struct target *t, const struct session *s)
{
	for (GList *k = t->nexuses; k; k = k->next) {
		struct nexus *n = k->data;

		if (n->session == s)
			return n;
	}
	return NULL;
}

static void on_logged_out(struct session *s, const GError *err, void *arg)
{
	struct logout *o = arg;
	struct daemon *d = o->target->daemon;
	struct nexus *n = find_nexus(o->target, s); /* NULL: the daemon's end was faster */

	if (err) {
		o->silent++;
		event_emit(d, EVENT_SESSION_ENDED,
			   "session %u %s: logged out without the target's consent: %s", s->sid,
			   o->target->name, err->message);
	} else {
		event_emit(d, EVENT_SESSION_ENDED, "session %u %s: logged out", s->sid,
			   o->target->name);
	}
	if (n)
		nexus_remove(n);
	if (!--o->pending)
		logout_end(o);
	daemon_release(d);
}

static void logout_nexus(struct logout *o, struct nexus *n)
{
	n->is_logging_out = true;
	mcs_give_up(n);
	revive_stop(n->revive);
	o->sessions++;
	if (session_logout(n->session, on_logged_out, o) < 0) {
		nexus_remove(n);
		return;
	}
	o->pending++;
	daemon_hold(o->target->daemon);
}

static void logout_leave(struct logout *o)
{
	struct target *t = o->target;
	struct nexus *one = o->sid ? target_find_nexus(t, o->sid) : NULL;

	o->pending = 1; /* ours, till all have begun */
	for (GList *k = one ? NULL : t->nexuses, *next; k; k = next) {
		next = k->next;
		logout_nexus(o, k->data);
	}
	if (one)
		logout_nexus(o, one);
	if (!--o->pending)
		logout_end(o);
}

/* Is the session still there, after some time? FALSE and @err. */
static gboolean check_again(const struct logout *o, GError **err)
{
	struct nexus *n = o->sid ? target_find_nexus(o->target, o->sid) : NULL;

	if (!o->sid || n)
		return check_state(o->target, n, err);
	error_set_errno(err, ISDSC_INVALID_SESSION_ID, ENOENT, "%s: session %u has ended",
			o->target->name, o->sid);
	return FALSE;
}

static void logout_go(struct logout *o);

/* Nobody tells when a file has been closed: look again, as long as @err may pass. */
static void logout_look_again(struct logout *o, GError *err)
{
	if (loop_now_ms(o->target->obj.loop) >= o->closing_until_ms) {
		logout_refuse(o, err);
		return;
	}
	g_error_free(err);
	loop_timer_start(&o->closing, CLOSING_LOOK_MS);
}

static void logout_close(struct logout *o)
{
	struct nexus *n = o->sid ? target_find_nexus(o->target, o->sid) : NULL;
	GError *err = NULL;

	if (!check_again(o, &err)) {
		logout_refuse(o, err);
	} else if (o->is_forced || check_idle(o->target, n, &err)) {
		logout_leave(o);
	} else {
		logout_look_again(o, err);
	}
}

static void on_closing(struct loop_timer *t)
{
	struct logout *o = container_of(t, struct logout, closing);

	if (o->is_checked)
		logout_close(o);
	else
		logout_go(o);
}

/* A child process has looked, and detached if it was to. */
static void on_released(void *arg, const GError *err)
{
	struct logout *o = arg;
	struct nexus *n = o->sid ? target_find_nexus(o->target, o->sid) : NULL;
	GError *holder = NULL;

	o->closing_until_ms = loop_now_ms(o->target->obj.loop) + CLOSING_MS;
	if (!err || o->is_forced) {
		on_closing(&o->closing);
		return;
	}
	if (error_errno(err) != EBUSY)
		check_idle(o->target, n, &holder); /* it could not be found out who it is */
	logout_refuse(o, holder ? holder : g_error_copy(err));
}

static void logout_release(struct logout *o, struct nexus *n, enum attach_release how)
{
	g_autoptr(GPtrArray) held = list_held(o->target, n, o->is_forced);

	o->is_checked = how != ATTACH_CHECK;
	if (held->len)
		attach_release(o->target->daemon, held, how, on_released, o);
	else
		on_released(o, NULL);
}

/* The child saw nobody. Does anybody else than the devices have a file open? It may be one whom it
 * cannot see, by another mount for instance. */
static void logout_go(struct logout *o)
{
	struct nexus *n = o->sid ? target_find_nexus(o->target, o->sid) : NULL;
	GError *err = NULL;

	if (!check_again(o, &err))
		logout_refuse(o, err);
	else if (check_opens(o->target, n, lun_is_open_otherwise, &err))
		logout_release(o, n, ATTACH_LOGOUT);
	else
		logout_look_again(o, err);
}

static struct logout *logout_new(struct target *t, const struct nexus *n, bool is_forced,
				 struct operation *op)
{
	struct logout *o = g_new0(struct logout, 1);

	o->target = t;
	object_ref(&t->obj);
	daemon_hold(t->daemon);
	o->op = operation_ref(op);
	o->sid = n ? n->session->sid : 0;
	o->is_forced = is_forced;
	loop_timer_init(op->loop, &o->closing, on_closing);
	return o;
}

/* @n NULL: all of @t's. */
static void logout_start(struct target *t, struct nexus *n, bool is_forced,
			 struct operation *op)
{
	GError *err = NULL;

	operation_where(op, "%s", t->name);
	if (!check_state(t, n, &err)) {
		operation_finish(op, err);
		return;
	}
	if (has_held(t, n, is_forced) && t->daemon->disk_path && !t->daemon->is_shutting_down) {
		logout_release(logout_new(t, n, is_forced, op), n,
			       is_forced ? ATTACH_FORCE : ATTACH_CHECK);
	} else if (is_forced || check_idle(t, n, &err)) {
		logout_leave(logout_new(t, n, is_forced, op));
	} else {
		tell_veto(t, err);
		operation_finish(op, err);
	}
}

void target_logout(struct target *t, bool is_forced, struct operation *op)
{
	logout_start(t, NULL, is_forced, op);
}

void nexus_logout(struct nexus *n, bool is_forced, struct operation *op)
{
	logout_start(n->target, n, is_forced, op);
}
