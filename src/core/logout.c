/* SPDX-License-Identifier: BSD-2-Clause */
/* Logging out: of one session, or of all sessions of a target. Refused while a unit would be
 * pulled away under a process that has it open, unless forced. The sessions log out in
 * parallel; a target that does not answer is left after logout_ms, and a session that is being
 * brought back just ends. Cannot be cancelled: who no longer waits for it lets it go on. */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "core/event.h"
#include "core/mcs.h"
#include "core/revive.h"
#include "core/target.h"

#define EVENT_LOGOUT_TIMED_OUT 44

struct logout {
	struct target *target;
	struct operation *op;
	unsigned sessions, pending, silent;
};

/* ---- may it be? ---- */

static bool is_in_use(const struct lun *l, const struct nexus *n)
{
	return lun_is_open(l) && lun_depends_on(l, n);
}

/* @n NULL: all sessions of @t. */
static gboolean check_idle(const struct target *t, const struct nexus *n, GError **err)
{
	for (GList *k = t->luns; k; k = k->next) {
		const struct lun *l = k->data;
		g_autofree char *holder = NULL;

		if (!is_in_use(l, n))
			continue;
		holder = lun_holder(l);
		error_set_errno(err, ISDSC_DEVICE_BUSY_ON_SESSION, EBUSY, "%s", holder);
		return FALSE;
	}
	return TRUE;
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

static gboolean may_log_out(const struct target *t, const struct nexus *n, bool is_forced,
			    GError **err)
{
	return check_state(t, n, err) && (is_forced || check_idle(t, n, err));
}

/* ---- doing it ---- */

static void logout_end(struct logout *o)
{
	operation_result(o->op, "sessions", "%u", o->sessions);
	if (o->silent)
		operation_result(o->op, "unconfirmed", "%u", o->silent);
	operation_finish(o->op, NULL);
	operation_unref(o->op);
	object_unref(&o->target->obj);
	g_free(o);
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
		if (error_errno(err) == ETIMEDOUT)
			event_emit(d, EVENT_LOGOUT_TIMED_OUT, "session %u %s: %s", s->sid,
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

/* @n NULL: all of @t's. */
static void logout_start(struct target *t, struct nexus *n, bool is_forced,
			 struct operation *op)
{
	struct logout *o;
	GError *err = NULL;

	operation_where(op, "%s", t->name);
	if (!may_log_out(t, n, is_forced, &err)) {
		operation_finish(op, err);
		return;
	}
	o = g_new0(struct logout, 1);
	o->target = t;
	object_ref(&t->obj);
	o->op = operation_ref(op);
	o->pending = 1; /* ours, till all have begun */
	for (GList *k = n ? NULL : t->nexuses, *next; k; k = next) {
		next = k->next;
		logout_nexus(o, k->data);
	}
	if (n)
		logout_nexus(o, n);
	if (!--o->pending)
		logout_end(o);
}

void target_logout(struct target *t, bool is_forced, struct operation *op)
{
	logout_start(t, NULL, is_forced, op);
}

void nexus_logout(struct nexus *n, bool is_forced, struct operation *op)
{
	logout_start(n->target, n, is_forced, op);
}
