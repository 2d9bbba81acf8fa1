/* SPDX-License-Identifier: BSD-2-Clause */
/* Task management (RFC 7143 11.5, 11.6): a function is sent as an immediate PDU on a connection
 * of the session; its answer, or the lack of one, is told once.
 *
 *   state      true in it                                              next
 *   ASKING     queued or sent; @timer runs                             TOLD, (freed)
 *   TOLD       done() was told -ETIMEDOUT; the tag stays in use until  (freed)
 *              the answer comes or the connection ends
 *
 * A logical unit reset that was completed has ended the unit's tasks at the target, which will not
 * answer them (11.5.1): they are handed back as aborted; likewise for a task set or the target. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "iscsi/session.h"

struct tmf {
	struct task task;
	struct session *session; /* a reference */
	struct loop_timer timer;
	bool ends_connection; /* no answer in time does */
	session_tmf_fn *done; /* NULL: told */
	void *arg;
};

/* Serial, 4.2.2.1: sent before the function? */
static bool is_before(const struct task *t, uint32_t cmd_sn)
{
	return (int32_t)(t->cmd_sn - cmd_sn) < 0;
}

/* What the target has not taken yet (there is a hole before it) is still to come, and not ended.
 * One whose data the batch still reads, or that is being received into, cannot be given back; then
 * the connection goes. */
static void abort_on(struct conn *c, const uint8_t *lun, uint32_t before_cmd_sn)
{
	list_for_each_safe(pos, &c->outstanding) {
		struct task *t = list_entry(pos, struct task, link);
		GError *err = NULL;

		if (t->kind != TASK_SCSI || t->state != TASK_SENT ||
		    (lun && memcmp(t->lun, lun, sizeof(t->lun)) != 0) ||
		    !is_before(t, before_cmd_sn) || !session_is_acknowledged(c->session, t))
			continue;
		conn_cancel_bursts(t);
		if (t->tx_refs || c->rx_task == t) {
			error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNABORTED,
					"a unit was reset while its data were on their way");
			conn_fail(c, err);
			return;
		}
		session_task_lost(c->session, t, TASK_RESULT_ABORTED);
	}
}

static void abort_before(struct session *s, const uint8_t *lun, uint32_t cmd_sn)
{
	unsigned round = ++s->round;

again:
	for (GList *l = s->conns; l; l = l->next) {
		struct conn *c = l->data;

		if (c->round == round || c->state == CONN_CLEANUP)
			continue;
		c->round = round;
		abort_on(c, lun, cmd_sn);
		goto again; /* it may have ended a connection */
	}
}

/* Which tasks of ours a completed function has ended at the target. */
static void take_effect(struct session *s, const struct task *tmf)
{
	switch (tmf->function) {
	case ISCSI_TMF_ABORT_TASK_SET:
	case ISCSI_TMF_CLEAR_TASK_SET:
	case ISCSI_TMF_LOGICAL_UNIT_RESET:
		abort_before(s, tmf->lun, tmf->ref_cmd_sn);
		break;
	case ISCSI_TMF_TARGET_WARM_RESET:
	case ISCSI_TMF_TARGET_COLD_RESET:
		abort_before(s, NULL, tmf->ref_cmd_sn);
		break;
	default: /* of one task: who asked knows */
		break;
	}
}

static void tmf_tell(struct tmf *f, int result)
{
	session_tmf_fn *done = f->done;

	f->done = NULL;
	if (done)
		done(f->session, result, f->arg);
}

static void tmf_done(struct task *task)
{
	struct tmf *f = container_of(task, struct tmf, task);
	struct session *s = f->session;
	int result = task->result == TASK_RESULT_RESPONDED ? task->response : -EIO;

	if (result == ISCSI_TMF_COMPLETE && s->state == SESSION_LOGGED_IN)
		take_effect(s, task);
	loop_timer_done(&f->timer);
	tmf_tell(f, result);
	object_unref(&s->obj);
	g_free(f);
}

static void tmf_expired(struct loop_timer *timer)
{
	struct tmf *f = container_of(timer, struct tmf, timer);
	GError *err = NULL;

	session_event(f->session, f->task.conn, 49, "no answer to task management function %u",
		      f->task.function);
	if (!f->ends_connection) {
		tmf_tell(f, -ETIMEDOUT);
		return;
	}
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"no answer to a task management function within %d s",
			SESSION_TMF_MS / 1000);
	conn_fail(f->task.conn, err); /* tmf_done() follows */
}

static int tmf_start(struct session *s, enum iscsi_tmf function, const uint8_t lun[8],
		     const struct task *about, struct conn *c, int64_t ms, bool ends_connection,
		     session_tmf_fn *done, void *arg)
{
	struct tmf *f;

	if (!c)
		c = session_any_conn(s);
	if (!c || s->is_logging_out || c->state != CONN_LOGGED_IN)
		return -ENOTCONN;
	f = g_new0(struct tmf, 1);
	task_init(&f->task, TASK_TMF, tmf_done);
	f->task.is_immediate = true;
	f->task.function = function;
	f->task.referenced_itt = about ? about->itt : ISCSI_TAG_NONE; /* 11.5.4 */
	f->task.ref_cmd_sn = about ? about->cmd_sn : 0;
	memcpy(f->task.lun, lun, sizeof(f->task.lun));
	f->session = s;
	object_ref(&s->obj);
	f->ends_connection = ends_connection;
	f->done = done;
	f->arg = arg;
	loop_timer_init(s->loop, &f->timer, tmf_expired);
	loop_timer_start(&f->timer, ms);
	conn_submit_control(c, &f->task); /* cannot fail: it is usable */
	/* 7.2.2: acknowledges Data-In, or R2Ts, below it. After the reset that a submit does. */
	if (function == ISCSI_TMF_TASK_REASSIGN)
		f->task.data_in_sn = about->direction == TASK_READ ? about->data_in_sn
				     : about->direction == TASK_WRITE ? about->exp_r2t_sn : 0;
	return 0;
}

int session_tmf_send(struct session *s, enum iscsi_tmf function, const uint8_t lun[8],
		     struct task *task, struct conn *conn, int64_t ms, session_tmf_fn *done,
		     void *arg)
{
	return tmf_start(s, function, lun, task, conn, ms, false, done, arg);
}

int session_tmf(struct session *s, enum iscsi_tmf function, const uint8_t lun[8],
		session_tmf_fn *done, void *arg)
{
	return tmf_start(s, function, lun, NULL, NULL, SESSION_TMF_MS, true, done, arg);
}
