/* SPDX-License-Identifier: BSD-2-Clause */
/* Task management as verbs; see the header. One request may go by several sessions: the verb
 * ends when all have answered, with the first failure, if there was one. */
#include "core/tmf.h"

#include <errno.h>

#include "base/error.h"
#include "core/event.h"
#include "iscsi/session.h"

#define EVENT_TARGET_RESET 39

struct request {
	struct target *target; /* a reference */
	struct operation *op;
	const char *what; /* "abort-task-set" */
	char *whose;	  /* "iqn.x: lun 3" */
	unsigned sessions, pending;
	GError *error;
};

/* Takes @whose. */
static struct request *request_new(struct target *t, const char *what, char *whose,
				   struct operation *op)
{
	struct request *r = g_new0(struct request, 1);

	r->target = t;
	object_ref(&t->obj);
	daemon_hold(t->daemon);
	r->op = operation_ref(op);
	r->what = what;
	r->whose = whose;
	r->pending = 1; /* ours, till all are on their way */
	return r;
}

static void request_put(struct request *r)
{
	struct daemon *d = r->target->daemon;

	if (--r->pending)
		return;
	if (!r->sessions)
		error_set_errno(&r->error, ISDSC_CONNECTION_FAILED, EIO,
				"%s: no session to send %s by", r->whose, r->what);
	operation_result(r->op, "sessions", "%u", r->sessions);
	operation_finish(r->op, r->error);
	operation_unref(r->op);
	object_unref(&r->target->obj);
	g_free(r->whose);
	g_free(r);
	daemon_release(d);
}

static void note_answer(struct request *r, const struct session *s, int result)
{
	if (r->error || result == ISCSI_TMF_COMPLETE)
		return;
	if (result < 0)
		error_set_errno(
			&r->error, ISDSC_CONNECTION_FAILED,
			result == -ETIMEDOUT ? ETIMEDOUT : EIO,
			"%s: %s: the connection of session %u was lost, or no answer came",
			r->whose, r->what, s->sid);
	else
		error_set_errno(&r->error, ISDSC_REQUEST_NOT_SUPPORTED,
				result == ISCSI_TMF_UNSUPPORTED ? EOPNOTSUPP : EIO,
				"%s: %s: the target refused it, response %d", r->whose, r->what,
				result);
}

static void on_answer(struct session *s, int result, void *arg)
{
	struct request *r = arg;

	note_answer(r, s, result);
	request_put(r);
}

static void request_send(struct request *r, struct nexus *n, enum iscsi_tmf function,
			 const uint8_t wire[8])
{
	r->pending++;
	if (nexus_is_usable(n) && session_tmf(n->session, function, wire, on_answer, r) == 0)
		r->sessions++;
	else
		r->pending--;
}

void tmf_reset_target(struct nexus *n, bool is_cold, struct operation *op)
{
	static const uint8_t no_unit[8];
	const char *what = is_cold ? "target-cold" : "target-warm";
	struct request *r = request_new(n->target, what, g_strdup(n->target->name), op);

	event_emit(n->target->daemon, EVENT_TARGET_RESET, "session %u %s: reset %s asked for",
		   n->session->sid, n->target->name, what);
	request_send(r, n, is_cold ? ISCSI_TMF_TARGET_COLD_RESET : ISCSI_TMF_TARGET_WARM_RESET,
		     no_unit);
	request_put(r);
}

void tmf_unit(struct lun *l, enum iscsi_tmf function, struct operation *op)
{
	struct target *t = l->target;
	struct request *r = request_new(
		t, function == ISCSI_TMF_ABORT_TASK_SET ? "abort-task-set" : "clear-task-set",
		g_strdup_printf("%s: lun %u", t->name, l->number), op);

	for (GList *k = t->nexuses, *next; k; k = next) {
		struct nexus *n = k->data;

		next = k->next;
		if (lun_has_session(l, n->session))
			request_send(r, n, function, l->wire);
	}
	request_put(r);
}
