/* SPDX-License-Identifier: BSD-2-Clause */
/* The ladder: what is done about a command that the target does not answer, although the
 * connection lives. One ladder a unit at a time, each rung bounded by session_rung_ms(), all of
 * it inside the deadline of the command that began it (with the default of 30 s: no answer for
 * 10 s, then at most 5 s a rung, so that 5 s are left for the session that comes after).
 *
 *   rung          what it does                                         next
 *   ABORT         ABORT TASK for one task after the other that has     LUN_RESET, (end)
 *                 had its time
 *   LUN_RESET     LOGICAL UNIT RESET                                   TARGET_RESET, (end)
 *   TARGET_RESET  TARGET WARM RESET                                    RESTART, (end)
 *   RESTART       all connections are closed; the login that follows   (end)
 *                 ends what the target still has of us (6.3.5)
 *
 * The next rung is taken when the function is refused, unknown or not answered in time; but when
 * nothing at all was heard of the connection, it is the connection that ends. A task that is
 * answered while its ABORT TASK is under way just is answered.
 *
 * Where nothing was answered since the last ladder, the next one begins a rung higher: a target
 * that aborts whatever is asked and does nothing else is not to be asked for ever.
 *
 * A target that is slow is not hung: while commands are being answered, or data of this one come,
 * it has until two rungs before its deadline. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "iscsi/session.h"

#define RUNG_MS_MIN 200
#define RUNG_MS_MAX 10000
#define QUIET_MS_MIN 300
#define QUIET_MS_MAX 5000

enum rung { RUNG_ABORT, RUNG_LUN_RESET, RUNG_TARGET_RESET, RUNG_RESTART };

struct ladder {
	struct list link; /* session->ladders; unlinked: the session has closed */
	struct session *session;
	enum rung rung;
	uint8_t lun[8];
	uint32_t itt; /* ABORT: of whom */
	bool is_answered; /* or it should have been: something was tried */
};

/* --- how long --- */

static int64_t command_ms(const struct session *s)
{
	return s->config.timeouts.command_ms ? s->config.timeouts.command_ms : 30000;
}

int64_t session_rung_ms(const struct session *s)
{
	return CLAMP(command_ms(s) / 6, RUNG_MS_MIN, RUNG_MS_MAX);
}

int64_t session_quiet_ms(const struct session *s)
{
	return CLAMP(command_ms(s) / 6, QUIET_MS_MIN, QUIET_MS_MAX);
}

/* A third of the time (a sixth, when there is another path), but so that two rungs are left before
 * the deadline, and never so soon that a command issued late is not given a rung's time. A patient
 * one has all its time but the two rungs. */
int64_t session_attempt_us(const struct session *s, const struct task *t)
{
	int64_t now = loop_now_us(s->loop), rung_us = session_rung_ms(s) * 1000;
	int64_t until = now + command_ms(s) * 1000 / (t->is_hurried ? 6 : 3);

	if (!s->config.timeouts.command_ms && !t->deadline_us)
		return INT64_MAX;
	if (t->deadline_us && t->is_patient)
		return t->deadline_us - 2 * rung_us;
	if (t->deadline_us)
		until = MIN(until, t->deadline_us - 2 * rung_us);
	return MAX(until, now + rung_us);
}

bool session_is_stuck(const struct session *s, const struct task *t)
{
	int64_t now = loop_now_us(s->loop), rung_us = session_rung_ms(s) * 1000;

	if (t->kind != TASK_SCSI || t->state != TASK_SENT || t->is_reassigning ||
	    now < t->attempt_us)
		return false;
	return !t->attempt_us || now - MAX(s->progress_us, t->quiet_us) >= rung_us ||
	       now >= session_deadline_us(s, t) - 2 * rung_us;
}

/* --- rungs --- */

static void ladder_step(struct ladder *l);

static void ladder_end(struct ladder *l)
{
	if (l->is_answered) {
		l->session->ladder_us = loop_now_us(l->session->loop);
		l->session->ladder_rung = l->rung;
	}
	list_remove(&l->link);
	object_unref(&l->session->obj);
	g_free(l);
}

static struct task *next_overdue(const struct ladder *l)
{
	const struct session *s = l->session;

	for (GList *k = s->conns; k; k = k->next) {
		struct conn *c = k->data;

		list_for_each(pos, &c->outstanding) {
			struct task *t = list_entry(pos, struct task, link);

			if (session_is_stuck(s, t) && !memcmp(t->lun, l->lun, sizeof(l->lun)))
				return t;
		}
	}
	return NULL;
}

static struct task *victim_of(const struct ladder *l)
{
	struct task *t = session_task_by_itt(l->session, l->itt);

	return t && t->kind == TASK_SCSI && t->state == TASK_SENT ? t : NULL;
}

static void climb(struct ladder *l, const char *why)
{
	static const char *const names[] = { "ABORT TASK", "LOGICAL UNIT RESET",
					     "TARGET WARM RESET" };

	log_warning("session %u: %s: %s", l->session->sid, names[l->rung], why);
	l->rung++;
	ladder_step(l);
}

/* The task is gone from the target. Its data may still be on their way: then only the end of the
 * connection frees them. */
static void give_back(struct session *s, struct task *t, enum task_result result)
{
	GError *err = NULL;

	conn_cancel_bursts(t);
	if (!t->tx_refs && t->conn->rx_task != t) {
		session_task_lost(s, t, result);
		return;
	}
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"the target takes no data of a command that it has aborted");
	conn_fail(t->conn, err);
}

/* Nothing at all was heard by it since the command was sent: it is the connection. */
static void silent(struct conn *c)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"nothing was heard of the target for %.3g s",
			(double)(loop_now_us(c->session->loop) - c->last_rx_us) / 1e6);
	conn_fail(c, err);
}

static void abort_answered(struct ladder *l, int result)
{
	struct session *s = l->session;
	struct task *t = victim_of(l);

	if (result == ISCSI_TMF_COMPLETE || result == ISCSI_TMF_NO_TASK) {
		s->stats.aborts++;
		session_event(s, t ? t->conn : NULL, SESSION_EVENT_TASK_ABORTED,
			      "ABORT TASK 0x%08x: %s", l->itt,
			      result == ISCSI_TMF_COMPLETE ? "done" : "the target has no such task");
		if (t)
			give_back(s, t, result == ISCSI_TMF_COMPLETE ? TASK_RESULT_ABORTED
								     : TASK_RESULT_MAYBE_EXECUTED);
		ladder_step(l);
	} else if (!t) {
		ladder_step(l); /* answered meanwhile: who is next? */
	} else if (result == -ETIMEDOUT && t->conn->last_rx_us < t->sent_us) {
		ladder_end(l);
		silent(t->conn);
	} else {
		climb(l, result == -ETIMEDOUT ? "no answer" : "refused");
	}
}

static void on_answer(struct session *s, int result, void *arg)
{
	struct ladder *l = arg;

	if (list_is_empty(&l->link)) { /* the session has closed */
		ladder_end(l);
		return;
	}
	if (result == -EIO) { /* the connection was lost: its tasks are taken care of */
		if (l->rung == RUNG_ABORT)
			ladder_end(l);
		else
			ladder_step(l);
		return;
	}
	l->is_answered = true;
	if (l->rung == RUNG_ABORT) {
		abort_answered(l, result);
		return;
	}
	if (result != ISCSI_TMF_COMPLETE) {
		climb(l, result == -ETIMEDOUT ? "no answer" : "refused");
		return;
	}
	if (l->rung == RUNG_LUN_RESET)
		s->stats.lun_resets++;
	else
		s->stats.target_resets++;
	session_event(s, NULL, SESSION_EVENT_TASK_ABORTED, "%s",
		      l->rung == RUNG_LUN_RESET ? "LOGICAL UNIT RESET done"
						: "TARGET WARM RESET done");
	ladder_end(l);
}

static void step_abort(struct ladder *l)
{
	struct task *t = next_overdue(l);

	if (!t) {
		ladder_end(l);
		return;
	}
	l->itt = t->itt;
	if (session_tmf_send(l->session, ISCSI_TMF_ABORT_TASK, l->lun, t, t->conn,
			     session_rung_ms(l->session), on_answer, l) < 0)
		ladder_end(l); /* logging out, or being drained: the tick will look again */
}

static void step_reset(struct ladder *l)
{
	static const uint8_t none[8];
	bool is_unit = l->rung == RUNG_LUN_RESET;

	if (!is_unit)
		session_event(l->session, NULL, 39, "the target does not answer for a unit");
	if (session_tmf_send(l->session,
			     is_unit ? ISCSI_TMF_LOGICAL_UNIT_RESET : ISCSI_TMF_TARGET_WARM_RESET,
			     is_unit ? l->lun : none, NULL, NULL, session_rung_ms(l->session),
			     on_answer, l) < 0)
		ladder_end(l);
}

static void step_restart(struct ladder *l)
{
	struct session *s = l->session;
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"the target answers neither commands nor resets");
	session_event(s, NULL, SESSION_EVENT_TASK_ABORTED, "%s", err->message);
	object_ref(&s->obj);
	ladder_end(l);
	session_restart(s, err);
	object_unref(&s->obj);
}

static void ladder_step(struct ladder *l)
{
	switch (l->rung) {
	case RUNG_ABORT:
		step_abort(l);
		break;
	case RUNG_LUN_RESET:
	case RUNG_TARGET_RESET:
		step_reset(l);
		break;
	case RUNG_RESTART:
		step_restart(l);
		break;
	}
}

/* --- for the others --- */

void session_abort_task(struct session *s, struct task *t)
{
	char cdb[2 * TASK_CDB_MAX + 1] = "";
	struct ladder *l;

	t->attempt_us = 0;
	list_for_each(pos, &s->ladders)
		if (!memcmp(list_entry(pos, struct ladder, link)->lun, t->lun, sizeof(t->lun)))
			return; /* comes to it */
	for (unsigned i = 0; i < MIN(t->cdb_bytes, TASK_CDB_MAX); i++)
		g_snprintf(cdb + 2 * i, 3, "%02x", t->cdb[i]);
	session_event(s, t->conn, 9, "no answer to SCSI command 0x%02x within %.3g s; CDB %s",
		      t->cdb[0], (double)(loop_now_us(s->loop) - t->sent_us) / 1e6, cdb);
	s->stats.timeouts++;
	l = g_new0(struct ladder, 1);
	l->session = s;
	object_ref(&s->obj);
	if (s->ladder_us && s->progress_us < s->ladder_us)
		l->rung = MIN((enum rung)s->ladder_rung + 1, RUNG_RESTART);
	memcpy(l->lun, t->lun, sizeof(l->lun));
	list_push_tail(&s->ladders, &l->link);
	ladder_step(l);
}

/* Each ends when its function is told to have failed, which closing sees to. */
void session_ladder_drop(struct session *s)
{
	list_for_each_safe(pos, &s->ladders)
		list_remove(pos);
}
