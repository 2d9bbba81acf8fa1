/* SPDX-License-Identifier: BSD-2-Clause */
/* What becomes of the tasks of a connection that was lost (RFC 7143 6.3.4, 7.1.4.3, 7.2).
 *
 * Each lost connection has a record until the target has surely let go of its CID:
 *
 *   state         true in it                                             next
 *   WAIT          Time2Wait runs: nobody may touch the CID (13.15)       READY
 *   READY         to be logged out by another connection as soon as      LOGOUT, REINSTATING
 *                 there is one; or a login may take its CID (which is
 *                 a logout, too)
 *   LOGOUT        the Logout Request is sent on another connection       CLEAN, READY, (restart)
 *   CLEAN         logged out; Time2Wait of that answer runs before       (gone)
 *                 tasks are reassigned
 *   REINSTATING   a login with its CID is under way                      READY, (gone)
 *
 * What was not acknowledged (CmdSN not below ExpCmdSN, which the answer to the logout or login
 * tells) did not reach the target: it is sent again as it was, same CmdSN and ITT, on another
 * connection (7.2.1), and so leaves no hole in the command order. What was acknowledged is
 * reassigned (7.2.2) at ErrorRecoveryLevel 2; else the target has ended it without a word, and it
 * is handed back as maybe executed. A hole that cannot be filled, and whatever else does not go as
 * it should, ends in a restart of the session.
 *
 * One connection failing while another is being recovered by it is an ordinary case: its record
 * joins the list, and the first goes back to READY. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "iscsi/conn_snack.h"
#include "iscsi/session.h"

#define REASSIGNS_AT_ONCE 8 /* immediate commands: a target has room for few (4.2.2.1) */
#define REASSIGN_TRIES 5    /* of one task, when the answer is "still allegiant" */
#define LOGOUT_TRY_MS 5000  /* for another connection's logout of the lost one */

static void lost_kick(struct lost_conn *l);

static bool is_logged_in(const struct session *s)
{
	return s->state == SESSION_LOGGED_IN && !s->is_logging_out;
}

bool session_is_acknowledged(const struct session *s, const struct task *t)
{
	return (int32_t)(t->cmd_sn - s->exp_cmd_sn) < 0;
}

/* --- records --- */

static void lost_logout_done(struct task *t);
static void lost_expired(struct loop_timer *timer);

static struct lost_conn *lost_new(struct session *s, const struct conn *c)
{
	struct lost_conn *l = g_new0(struct lost_conn, 1);
	int64_t now = loop_now_us(s->loop);

	l->session = s;
	l->state = LOST_WAIT;
	l->wire_cid = c->wire_cid;
	l->exp_stat_sn = c->exp_stat_sn;
	l->retain_until_us = MAX(now, s->wait_until_us) + s->values.time2retain * INT64_C(1000000);
	list_init(&l->tasks);
	task_init(&l->logout, TASK_LOGOUT, lost_logout_done);
	loop_timer_init(s->loop, &l->timer, lost_expired);
	list_push_tail(&s->lost_conns, &l->link);
	return l;
}

/* Its logout may still be under way: then it is freed when that ends. */
static void lost_free(struct lost_conn *l)
{
	list_remove(&l->link);
	loop_timer_stop(&l->timer);
	if (l->logout.state == TASK_QUEUED || l->logout.state == TASK_SENT ||
	    list_is_linked(&l->logout.link)) {
		l->state = LOST_CLEAN;
		l->session = NULL;
		return;
	}
	loop_timer_done(&l->timer);
	g_free(l);
}

static struct lost_conn *lost_find(struct session *s, uint16_t wire_cid)
{
	list_for_each(pos, &s->lost_conns) {
		struct lost_conn *l = list_entry(pos, struct lost_conn, link);

		if (l->wire_cid == wire_cid)
			return l;
	}
	return NULL;
}

static void hand_back(struct session *s, struct list *tasks)
{
	list_for_each_safe(pos, tasks)
		session_task_lost(s, list_entry(pos, struct task, link),
				  TASK_RESULT_MAYBE_EXECUTED);
}

void session_forget(struct session *s)
{
	hand_back(s, &s->retries);
	hand_back(s, &s->reassigns);
	list_for_each_safe(pos, &s->lost_conns) {
		struct lost_conn *l = list_entry(pos, struct lost_conn, link);

		hand_back(s, &l->tasks);
		lost_free(l);
	}
	s->reassigning = 0;
}

/* --- a connection closes --- */

static bool has_other(const struct session *s, const struct conn *c)
{
	for (GList *l = s->conns; l; l = l->next) {
		const struct conn *other = l->data;

		if (other != c && other->state >= CONN_LOGGED_IN && other->state < CONN_CLEANUP)
			return true;
	}
	return false;
}

static bool is_resumable(const struct session *s)
{
	return s->values.error_recovery_level >= 2 && s->values.time2retain && s->tsih &&
	       s->config.type == KEYS_NORMAL && !s->must_restart && !s->is_reassign_refused;
}

/* There is another path for what @c was doing: nobody is to wait for this session to be resumed. */
static bool is_hurried(const struct conn *c)
{
	list_for_each(pos, &c->outstanding) {
		const struct task *t = list_entry(pos, struct task, link);

		if (t->kind == TASK_SCSI && t->is_hurried)
			return true;
	}
	return false;
}

/* Is there a way on for what @c was doing? */
static bool may_recover(const struct session *s, const struct conn *c)
{
	return (c->is_wanted || c->removed) && is_logged_in(s) && !s->must_restart &&
	       (has_other(s, c) || (c->is_wanted && is_resumable(s) && !is_hurried(c)));
}

/* Which R2Ts of a write the target need not send again (ExpDataSN, 7.2.2): all but the last one, and
 * that one, too, when its data have most likely arrived -- when something was heard of the target
 * after they left. LIO refuses to repeat one whose data it has, and does not get over one whose
 * data it has not and that is not to be repeated. */
static uint32_t exp_r2t_sn(const struct conn *c, const struct task *t)
{
	bool has_arrived = !t->bursts_used && c->last_rx_us > t->data_left_us;

	return t->r2t_sn && !has_arrived ? t->r2t_sn - 1 : t->r2t_sn;
}

/* @t belongs to no connection any more; it waits on @list for one. */
static void strand(struct task *t, struct list *list)
{
	list_remove(&t->link);
	t->conn->outstanding_count--;
	t->conn->lane.in_flight--;
	t->conn = NULL;
	t->state = TASK_STRANDED;
	list_push_tail(list, &t->link);
}

/* Were tasks reassigned to it of which nothing was heard since? Then the target is likely to have
 * closed it for that (LIO does), and would again; it is too confused for anything but a restart. */
static bool has_unproven(const struct conn *c)
{
	list_for_each(pos, &c->outstanding) {
		const struct task *t = list_entry(pos, struct task, link);

		if (t->kind == TASK_SCSI && t->is_unproven)
			return true;
	}
	return false;
}

/* Of a connection that is gone, nothing is being sent or received any more. */
void session_take_tasks(struct session *s, struct conn *c)
{
	struct lost_conn *l;

	if (c->is_wanted && has_unproven(c))
		session_restart_soon(s);
	if (c->is_wanted && !has_other(s, c) && is_hurried(c))
		s->must_restart = true; /* what goes elsewhere leaves holes here */
	l = may_recover(s, c) ? lost_new(s, c) : NULL;

	list_for_each_safe(pos, &c->outstanding) {
		struct task *t = list_entry(pos, struct task, link);

		t->exp_r2t_sn = exp_r2t_sn(c, t);
		conn_cancel_bursts(t);
		if (t->state == TASK_RESPONDED) {
			session_task_lost(s, t, TASK_RESULT_RESPONDED);
		} else if (l && t->kind == TASK_SCSI) {
			conn_forget_recovery(t);
			t->is_reassigning = false;
			strand(t, &l->tasks);
		} else {
			session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
		}
	}
	list_for_each_safe(pos, &c->controls)
		session_task_lost(s, list_entry(pos, struct task, link), TASK_RESULT_NEVER_SENT);
	if (l)
		loop_timer_start(&l->timer, session_wait_ms(s));
}

/* --- the target has let go of a CID --- */

/* @may_reassign: tasks wait there for that. */
static void lost_resolve(struct lost_conn *l, bool may_reassign)
{
	unsigned retried = 0, reassigned = 0, ended = 0;
	struct session *s = l->session;
	struct list *node;

	while ((node = list_pop(&l->tasks))) {
		struct task *t = list_entry(node, struct task, link);

		if (!session_is_acknowledged(s, t)) {
			retried++;
			list_push_tail(&s->retries, &t->link);
		} else if (may_reassign && !s->is_reassign_refused) {
			reassigned++;
			list_push_tail(&s->reassigns, &t->link);
		} else {
			ended++;
			session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
		}
	}
	if (retried + reassigned + ended)
		session_event(s, NULL, SESSION_EVENT_TASKS_REASSIGNED,
			      "CID %u lost: %u commands reassigned, %u sent again, %u ended",
			      l->wire_cid, reassigned, retried, ended);
	lost_free(l);
	session_want_flush(s);
}

static bool may_reassign(const struct session *s)
{
	return s->values.error_recovery_level >= 2 && !s->is_reassign_refused;
}

/* --- logout by another connection --- */

static void lost_log_out(struct lost_conn *l)
{
	struct session *s = l->session;
	struct conn *by = session_any_conn(s);

	if (!by || l->logout.state == TASK_QUEUED || l->logout.state == TASK_SENT)
		return;
	l->logout.function = may_reassign(s) ? ISCSI_LOGOUT_RECOVERY : ISCSI_LOGOUT_CONNECTION;
	l->logout.cid = l->wire_cid;
	l->logout.exp_stat_sn = &l->exp_stat_sn;
	l->logout.is_immediate = true;
	if (conn_submit_control(by, &l->logout) < 0)
		return;
	l->state = LOST_LOGOUT;
	loop_timer_start(&l->timer, MIN(LOGOUT_TRY_MS, session_rung_ms(s)));
}

/* In READY, with something to save or to stop, and a connection to do it by. Else a record only
 * keeps its CID for the next login. */
static void lost_kick(struct lost_conn *l)
{
	if (l->state == LOST_READY && (!list_is_empty(&l->tasks) || l->must_close) &&
	    is_logged_in(l->session))
		lost_log_out(l);
}

static void restart(struct session *s, const char *why)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO, "%s", why);
	session_restart(s, err);
}

static void lost_logout_answered(struct lost_conn *l)
{
	const struct task *t = &l->logout;
	int64_t wait_ms = t->time2wait * INT64_C(1000);

	switch (t->response) {
	case 0:
		if (t->function != ISCSI_LOGOUT_RECOVERY)
			break;
		l->state = LOST_CLEAN;
		if (wait_ms)
			loop_timer_start(&l->timer, wait_ms);
		else
			lost_resolve(l, true);
		return;
	case 1: /* the CID is not there (any more): nor are its tasks */
		break;
	case 2: /* recovery is not supported: then only close it */
		if (t->function != ISCSI_LOGOUT_RECOVERY)
			break;
		l->session->is_reassign_refused = true;
		l->session->stats.reassign_refused++;
		l->state = LOST_READY;
		lost_log_out(l);
		return;
	default: /* 3: cleanup failed */
		restart(l->session, "the target could not clean up a lost connection");
		return;
	}
	lost_resolve(l, false);
}

static void lost_logout_done(struct task *t)
{
	struct lost_conn *l = container_of(t, struct lost_conn, logout);

	if (!l->session) { /* nobody waits for it any more */
		loop_timer_done(&l->timer);
		g_free(l);
		return;
	}
	if (l->state != LOST_LOGOUT)
		return;
	loop_timer_stop(&l->timer);
	if (t->result == TASK_RESULT_RESPONDED) {
		lost_logout_answered(l);
		return;
	}
	l->state = LOST_READY; /* that connection is gone, too */
	lost_kick(l);
}

static void lost_expired(struct loop_timer *timer)
{
	struct lost_conn *l = container_of(timer, struct lost_conn, timer);

	switch (l->state) {
	case LOST_WAIT:
		l->state = LOST_READY;
		lost_kick(l);
		break;
	case LOST_LOGOUT:
		restart(l->session, "no answer to the logout of a lost connection");
		break;
	case LOST_CLEAN:
		lost_resolve(l, true);
		break;
	default:
		break;
	}
}

/* --- a login takes over --- */

uint16_t session_take_cid(struct session *s, uint32_t *ret_exp_stat_sn)
{
	bool is_failed = s->state != SESSION_LOGGED_IN;

	*ret_exp_stat_sn = 0;
	list_for_each(pos, &s->lost_conns) {
		struct lost_conn *l = list_entry(pos, struct lost_conn, link);

		/* While others are up, what has tasks is logged out by them, which is sooner. */
		if (!(l->state == LOST_READY || (is_failed && l->state == LOST_WAIT)) ||
		    (!is_failed && (!list_is_empty(&l->tasks) || l->must_close)))
			continue;
		loop_timer_stop(&l->timer);
		l->state = LOST_REINSTATING;
		*ret_exp_stat_sn = l->exp_stat_sn;
		return l->wire_cid;
	}
	while (++s->next_wire_cid == 0 || lost_find(s, s->next_wire_cid))
		;
	return s->next_wire_cid;
}

void session_return_cid(struct session *s, uint16_t cid, bool is_refused)
{
	struct lost_conn *l = lost_find(s, cid);

	if (!l || l->state != LOST_REINSTATING)
		return;
	l->state = LOST_READY;
	if (is_refused && list_is_empty(&l->tasks))
		lost_free(l); /* istgt wants a CID of its own each time */
	else
		lost_kick(l);
}

void session_recover_by(struct session *s, struct conn *c)
{
	struct lost_conn *l = lost_find(s, c->wire_cid);

	if (l && l->state == LOST_REINSTATING) /* 6.3.4: that was its logout */
		lost_resolve(l, may_reassign(s));
	list_for_each_safe(pos, &s->lost_conns)
		lost_kick(list_entry(pos, struct lost_conn, link));
	session_want_flush(s);
}

/* --- sending what was stranded --- */

static void on_reassigned(struct session *s, int result, void *arg)
{
	struct task *t = session_task_by_itt(s, GPOINTER_TO_UINT(arg));

	if (s->reassigning)
		s->reassigning--;
	if (!list_is_empty(&s->reassigns))
		session_want_flush(s);
	/* Stranded anew with the connection, or over: nothing to be said. */
	if (!t || !t->is_reassigning || result == -EIO)
		return;
	t->is_reassigning = false;
	t->sent_us = t->quiet_us = loop_now_us(s->loop);
	if (result != ISCSI_TMF_COMPLETE && result != ISCSI_TMF_REJECTED &&
	    result != -ETIMEDOUT) { /* an R2T may have come before the answer */
		conn_cancel_bursts(t);
		if (t->tx_refs) {
			restart(s, "the target refuses a task whose data it asked for");
			return;
		}
		conn_forget_recovery(t);
	}
	switch (result) {
	case ISCSI_TMF_COMPLETE:
	case ISCSI_TMF_REJECTED:
		/* LIO says 255 for "done" and 0 for "unknown". Either way, if nothing comes of it
		 * soon, the task is aborted, which tells. */
		s->stats.reassigned++;
		t->attempt_us = t->sent_us + 2 * session_quiet_ms(s) * 1000;
		return;
	case ISCSI_TMF_STILL_ALLEGIANT:
		if (t->reassigns >= REASSIGN_TRIES)
			break;
		strand(t, &s->reassigns);
		return;
	case ISCSI_TMF_REASSIGN_UNSUPPORTED:
	case ISCSI_TMF_UNSUPPORTED:
		s->is_reassign_refused = true;
		break;
	case -ETIMEDOUT: /* whose is the task now? */
		restart(s, "no answer to a TASK REASSIGN");
		return;
	default:
		break;
	}
	s->stats.reassign_refused++;
	session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
}

/* Its data go on after what a DataACK acknowledged: ExpDataSN says so (11.5.6), and to acknowledge
 * more by it would be allowed, but a target that was asked so before (LIO) does not know any more
 * how far it was. What the target had asked for of a write, it asks for again. */
static void reassign(struct session *s, struct conn *c, struct task *t)
{
	conn_adopt(c, t);
	if (t->direction == TASK_READ) {
		memset(&t->covered, 0, sizeof(t->covered));
		data_in_rewind(t);
	}
	t->is_reassigning = t->is_unproven = true;
	t->is_r2t_sn_open = t->direction == TASK_WRITE;
	t->reassigns++;
	t->sent_us = t->quiet_us = loop_now_us(s->loop);
	t->attempt_us = session_attempt_us(s, t);
	s->reassigning++;
	if (session_tmf_send(s, ISCSI_TMF_TASK_REASSIGN, t->lun, t, c, session_rung_ms(s),
			     on_reassigned, GUINT_TO_POINTER(t->itt)) == 0)
		return;
	s->reassigning--;
	session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
}

void session_send_stranded(struct session *s)
{
	struct list *node;
	struct conn *c;

	while ((node = list_first(&s->retries)) && (c = session_pick(s))) {
		struct task *t = list_entry(node, struct task, link);

		list_remove(node);
		policy_take(&c->lane, &s->policy_clock);
		conn_adopt(c, t);
		t->attempt_us = session_attempt_us(s, t);
		conn_retry_command(c, t);
	}
	while (s->reassigning < REASSIGNS_AT_ONCE && (node = list_first(&s->reassigns)) &&
	       (c = session_pick(s))) {
		struct task *t = list_entry(node, struct task, link);
		/* Data in any order, of which some are acknowledged: which, is not known. */
		bool is_lost = t->direction == TASK_READ && t->covered.count &&
			       t->data_in.acked_sn;

		list_remove(node);
		if (s->is_reassign_refused || is_lost) {
			session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
			continue;
		}
		policy_take(&c->lane, &s->policy_clock);
		reassign(s, c, t);
	}
}

bool session_is_recovering(const struct session *s)
{
	if (!list_is_empty(&s->retries) || !list_is_empty(&s->reassigns))
		return true;
	list_for_each(pos, &s->lost_conns)
		if (!list_is_empty(&list_entry(pos, struct lost_conn, link)->tasks))
			return true;
	return false;
}

/* --- time --- */

/* True: a task had to be handed back whose CmdSN the target has not seen. */
static bool expire(struct session *s, struct list *tasks, int64_t now)
{
	bool leaves_hole = false;

	list_for_each_safe(pos, tasks) {
		struct task *t = list_entry(pos, struct task, link);

		if (now < session_deadline_us(s, t))
			continue;
		leaves_hole |= !session_is_acknowledged(s, t);
		session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
	}
	return leaves_hole;
}

void session_recover_tick(struct session *s)
{
	int64_t now = loop_now_us(s->loop);
	bool leaves_hole;

	if (!list_is_empty(&s->reassigns)) /* "still allegiant", a while ago */
		session_want_flush(s);
	leaves_hole = expire(s, &s->retries, now) | expire(s, &s->reassigns, now);

	list_for_each_safe(pos, &s->lost_conns) {
		struct lost_conn *l = list_entry(pos, struct lost_conn, link);

		/* The target may still carry out what is given up here: it is to stop that. */
		l->must_close |= !list_is_empty(&l->tasks);
		leaves_hole |= expire(s, &l->tasks, now);
		/* What is not acknowledged can be retried for ever, but what would be reassigned
		 * has ended at the target. */
		if (now < l->retain_until_us || l->state == LOST_CLEAN)
			continue;
		list_for_each_safe(task_pos, &l->tasks) {
			struct task *t = list_entry(task_pos, struct task, link);

			if (session_is_acknowledged(s, t))
				session_task_lost(s, t, TASK_RESULT_MAYBE_EXECUTED);
		}
		lost_kick(l);
	}
	if (leaves_hole)
		restart(s, "a command was given up that the target has not seen");
	else if (s->state == SESSION_FAILED && !session_may_resume(s) && s->tsih)
		restart(s, "Time2Retain is over");
}

int64_t session_wait_ms(const struct session *s)
{
	int64_t left_us = s->wait_until_us - loop_now_us(s->loop);

	return left_us > 0 ? (left_us + 999) / 1000 : 0;
}

bool session_may_resume(const struct session *s)
{
	if (s->state != SESSION_FAILED || !is_resumable(s))
		return false;
	list_for_each(pos, &s->lost_conns)
		if (loop_now_us(s->loop) <
		    list_entry(pos, struct lost_conn, link)->retain_until_us)
			return true;
	return false;
}

void session_restart_soon(struct session *s)
{
	s->must_restart = true;
	if (loop_call_is_queued(&s->restart_call))
		return;
	object_ref(&s->obj);
	loop_call_queue(s->loop, &s->restart_call);
}

void session_restart_call(struct loop_call *call)
{
	struct session *s = container_of(call, struct session, restart_call);

	if (s->state == SESSION_LOGGED_IN)
		restart(s, "a connection was lost while tasks were reassigned to it");
	object_unref(&s->obj);
}

void session_restart(struct session *s, GError *err)
{
	object_ref(&s->obj);
	s->must_restart = true;
	while (s->conns) /* it takes itself off the list */
		conn_fail(s->conns->data, g_error_copy(err));
	session_forget(s);
	g_error_free(err);
	object_unref(&s->obj);
}
