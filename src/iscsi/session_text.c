/* SPDX-License-Identifier: BSD-2-Clause */
/* A text exchange in full feature phase: one request, an answer in as many PDUs as the target likes
 * (RFC 7143 11.10, 11.11). Used for SendTargets, where the answer is gathered, and for
 * negotiations (session_negotiate.c), where each set of keys gets its turn.
 *
 *   idle       done == NULL
 *   asking     the request is queued or sent; each answer that is not final is followed by a
 *              request with the same tag and the target's transfer tag: empty, or what the turn
 *              has to say
 *   answered   done() is queued
 *
 * Bounded: the answer, the number of answers that bring nothing, and the time. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "iscsi/conn_snack.h"
#include "iscsi/session.h"

#define TEXT_ANSWER_MAX (16u << 20)
#define TEXT_TIMES 8
#define TEXT_EMPTY_MAX 16 /* answers in a row without a byte: some targets do that for ever */

static void text_finish(struct session *s, GError *err)
{
	struct session_text *x = &s->text;

	loop_timer_stop(&x->timer);
	x->conn = NULL;
	g_clear_error(&x->error);
	x->error = err;
	if (!loop_call_is_queued(&x->call)) {
		object_ref(&s->obj);
		loop_call_queue(s->loop, &x->call);
	}
}

static void text_call(struct loop_call *call)
{
	struct session *s = container_of(call, struct session, text.call);
	struct session_text *x = &s->text;
	session_text_fn *done = x->done;

	x->done = NULL;
	if (done)
		done(s, x->error ? NULL : x->answer, x->error, x->arg);
	object_unref(&s->obj);
}

void session_text_fail(struct session *s, GError *err)
{
	struct session_text *x = &s->text;

	if (!x->done || loop_call_is_queued(&x->call)) {
		g_clear_error(&err);
		return;
	}
	if (!err)
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNABORTED,
				"the session ended during a text exchange");
	text_finish(s, err);
}

static void text_task_done(struct task *t)
{
	struct session_text *x = container_of(t, struct session_text, task);
	struct session *s = container_of(x, struct session, text);

	if (t->result != TASK_RESULT_RESPONDED)
		session_text_fail(s, NULL);
}

static void text_expired(struct loop_timer *timer)
{
	struct session *s = container_of(timer, struct session, text.timer);
	GError *err = NULL;

	if (!s->text.conn)
		return;
	if (s->text.turn)
		session_event(s, s->text.conn, EVENT_TEXT_TIMEOUT,
			      "no answer to a text request within %.3g s",
			      (double)s->text.limit_ms / 1000);
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"the target did not answer a text request within %.3g s",
			(double)s->text.limit_ms / 1000);
	conn_fail(s->text.conn, err);
}

/* For the next answer; all answers together have TEXT_TIMES as long. */
static void text_start_timer(struct session *s)
{
	int64_t ms = s->text.limit_ms;
	int64_t left_ms = s->text.started_ms + TEXT_TIMES * ms - loop_now_ms(s->loop);

	if (!ms)
		return;
	if (left_ms <= 0)
		text_expired(&s->text.timer);
	else
		loop_timer_start(&s->text.timer, MIN(ms, left_ms));
}

static void text_ends(struct session *s, GError *err)
{
	session_task_finish(s, &s->text.task, err ? TASK_RESULT_ABORTED : TASK_RESULT_RESPONDED);
	text_finish(s, err);
}

/* @answer is a whole set of keys: the turn's, which may have an answer to it. False: that was the
 * end of the exchange. */
static bool text_take_turn(struct session *s, bool is_final)
{
	struct session_text *x = &s->text;
	g_autoptr(GByteArray) reply = g_byte_array_new();
	GError *err = NULL;
	enum text_turn turn = x->turn(s, x->answer, is_final, reply, x->arg, &err);

	g_byte_array_set_size(x->answer, 0);
	if (turn != TEXT_FAIL && reply->len > x->conn->values.max_xmit_data_segment_length) {
		error_set_errno(&err, ISDSC_TARGET_ERROR, EMSGSIZE, "too many keys to answer");
		turn = TEXT_FAIL;
	}
	if (turn == TEXT_FAIL) {
		text_ends(s, err);
		return false;
	}
	if (reply->len && x->task.tx_refs) { /* the batch still reads the request */
		conn_protocol_error(x->conn, "a Text Response before the request has left");
		return false;
	}
	if (turn == TEXT_RESET)
		x->task.ttt = ISCSI_TAG_NONE;
	if (reply->len) {
		g_byte_array_set_size(x->request, 0);
		g_byte_array_append(x->request, reply->data, reply->len);
		x->task.data = x->request->data;
	}
	x->task.data_bytes = reply->len;
	return true;
}

void session_text_answered(struct session *s, const struct pdu_text_response *p,
			   const uint8_t *data)
{
	struct session_text *x = &s->text;
	struct conn *c = x->conn;

	if (!c)
		return;
	/* istgt counts an immediate Text Request (4.2.2.1: it must not), and then drops the connection
	 * at the next command. The number it has left out was given to nobody. */
	if (x->task.is_immediate && p->exp_cmd_sn == s->cmd_sn + 1)
		s->cmd_sn = p->exp_cmd_sn;
	x->empty_answers = p->data_bytes ? 0 : x->empty_answers + 1;
	if (p->data_bytes > TEXT_ANSWER_MAX - x->answer->len) {
		conn_protocol_error(c, "a text answer of more than %u bytes", TEXT_ANSWER_MAX);
		return;
	}
	g_byte_array_append(x->answer, data, p->data_bytes);
	/* A final answer ends it whatever its transfer tag says (11.11.1, 11.11.4). */
	if (p->is_final && !p->is_continued) {
		if (!x->turn || text_take_turn(s, true))
			text_ends(s, NULL);
		return;
	}
	if (p->ttt == ISCSI_TAG_NONE) {
		conn_protocol_error(c, "a Text Response that is not final has no transfer tag");
		return;
	}
	if (x->empty_answers > TEXT_EMPTY_MAX) {
		conn_protocol_error(c, "%u Text Responses in a row without text", x->empty_answers);
		return;
	}
	x->task.ttt = p->ttt;
	memcpy(x->task.lun, p->lun, sizeof(x->task.lun));
	x->task.data_bytes = 0;
	if (x->turn && !p->is_continued && !text_take_turn(s, false))
		return;
	text_start_timer(s);
	if (c->state == CONN_CLEANUP) /* that was all the time it had */
		return;
	conn_resubmit_control(c, &x->task);
}

static int text_start(struct session *s, struct conn *c, const void *request, uint32_t bytes,
		      session_text_fn *done, void *arg)
{
	struct session_text *x = &s->text;
	int r;

	if (bytes > c->values.max_xmit_data_segment_length)
		return -EMSGSIZE;
	g_byte_array_set_size(x->request, 0);
	g_byte_array_append(x->request, request, bytes);
	g_byte_array_set_size(x->answer, 0);
	x->empty_answers = 0;
	memset(x->task.lun, 0, sizeof(x->task.lun));
	x->task.ttt = ISCSI_TAG_NONE;
	x->task.data = x->request->data;
	x->task.data_bytes = bytes;
	r = conn_submit_control(c, &x->task);
	if (r < 0)
		return r;
	x->conn = c;
	x->done = done;
	x->arg = arg;
	x->started_ms = loop_now_ms(s->loop);
	text_start_timer(s);
	return 0;
}

int session_text(struct session *s, const void *request, uint32_t bytes, session_text_fn *done,
		 void *arg)
{
	struct session_text *x = &s->text;
	struct conn *c = session_any_conn(s);

	if (x->done || x->task.tx_refs)
		return -EBUSY;
	if (!c || s->is_logging_out)
		return -ENOTCONN;
	x->turn = NULL;
	x->limit_ms = s->config.timeouts.text_ms;
	x->task.is_immediate = false;
	return text_start(s, c, request, bytes, done, arg);
}

int session_text_talk(struct session *s, struct conn *c, const GByteArray *request,
		      int64_t limit_ms, session_text_turn_fn *turn, session_text_fn *done,
		      void *arg)
{
	struct session_text *x = &s->text;

	if (x->done || x->task.tx_refs)
		return -EBUSY;
	if (!conn_is_usable(c) || s->is_logging_out)
		return -ENOTCONN;
	x->turn = turn;
	x->limit_ms = limit_ms;
	x->task.is_immediate = true;
	return text_start(s, c, request->data, request->len, done, arg);
}

void session_text_init(struct session *s)
{
	struct session_text *x = &s->text;

	task_init(&x->task, TASK_TEXT, text_task_done);
	x->request = g_byte_array_new();
	x->answer = g_byte_array_new();
	loop_timer_init(s->loop, &x->timer, text_expired);
	loop_call_init(&x->call, text_call);
}

void session_text_done(struct session *s)
{
	struct session_text *x = &s->text;

	loop_timer_done(&x->timer);
	g_clear_error(&x->error);
	g_byte_array_unref(x->request);
	g_byte_array_unref(x->answer);
}
