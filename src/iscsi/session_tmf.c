/* SPDX-License-Identifier: BSD-2-Clause */
/* Task management (RFC 7143 11.5, 11.6): a function is sent as an immediate PDU on a connection
 * of the session; its answer, or the lack of one, is told once.
 *
 *   sent       task queued or sent; @timer runs
 *   answered   done() has been called; the struct is freed
 *
 * A logical unit reset that was completed has ended the unit's tasks at the target, which will not
 * answer them (11.5.1): they are handed back as aborted. No answer in time ends the connection:
 * at error recovery level 0 there is nothing less that is sure (7.1.4.3). */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "iscsi/session.h"

struct tmf {
	struct task task;
	struct session *session; /* a reference */
	struct loop_timer timer;
	session_tmf_fn *done;
	void *arg;
};

/* Tasks of the unit that were sent before the function. One whose data the batch still reads
 * cannot be given back; then the connection goes. */
static void abort_unit(struct conn *c, const struct task *tmf)
{
	list_for_each_safe(pos, &c->outstanding) {
		struct task *t = list_entry(pos, struct task, link);
		GError *err = NULL;

		if (t->kind != TASK_SCSI || memcmp(t->lun, tmf->lun, sizeof(t->lun)) != 0 ||
		    (int32_t)(t->cmd_sn - tmf->ref_cmd_sn) >= 0)
			continue;
		conn_cancel_bursts(t);
		if (t->tx_refs) {
			error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNABORTED,
					"a unit was reset while data for it were being sent");
			conn_fail(c, err);
			return;
		}
		session_task_lost(c->session, t, TASK_RESULT_ABORTED);
	}
}

static void tmf_done(struct task *task)
{
	struct tmf *f = container_of(task, struct tmf, task);
	struct session *s = f->session;
	int result = task->result == TASK_RESULT_RESPONDED ? task->response : -EIO;

	if (result == ISCSI_TMF_COMPLETE && task->function == ISCSI_TMF_LOGICAL_UNIT_RESET &&
	    task->conn->state != CONN_CLEANUP)
		abort_unit(task->conn, task);
	loop_timer_done(&f->timer);
	f->done(s, result, f->arg);
	object_unref(&s->obj);
	g_free(f);
}

static void tmf_expired(struct loop_timer *timer)
{
	struct tmf *f = container_of(timer, struct tmf, timer);
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"no answer to a task management function within %d s",
			SESSION_TMF_MS / 1000);
	conn_fail(f->task.conn, err); /* tmf_done() follows */
}

int session_tmf(struct session *s, enum iscsi_tmf function, const uint8_t lun[8],
		session_tmf_fn *done, void *arg)
{
	struct conn *c = NULL;
	struct tmf *f;

	for (GList *l = s->conns; l && !c; l = l->next)
		if (conn_is_usable(l->data))
			c = l->data;
	if (!c || !session_is_usable(s))
		return -ENOTCONN;
	f = g_new0(struct tmf, 1);
	task_init(&f->task, TASK_TMF, tmf_done);
	f->task.is_immediate = true;
	f->task.function = function;
	f->task.referenced_itt = ISCSI_TAG_NONE; /* 11.5.5: of no one task */
	memcpy(f->task.lun, lun, sizeof(f->task.lun));
	f->session = s;
	object_ref(&s->obj);
	f->done = done;
	f->arg = arg;
	loop_timer_init(s->loop, &f->timer, tmf_expired);
	loop_timer_start(&f->timer, SESSION_TMF_MS);
	return conn_submit_control(c, &f->task); /* cannot fail: it is usable */
}
