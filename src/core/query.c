/* SPDX-License-Identifier: BSD-2-Clause */
/* One SCSI command of the control path, sent until there is an answer; see the header.
 *
 *   state      true in it                                            next
 *   QUEUED     the call that begins (or ends) it is queued           SENT, (freed)
 *   SENT       the task is the session's                             PAUSE, QUEUED, (freed)
 *   PAUSE      the timer runs: the unit was busy                     SENT, QUEUED
 *
 * A cancelled query lives until its task comes back, since the session writes into its buffer.
 * Holds a reference of the session. */
#include "core/query.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/loop.h"

/* A target with several unit attentions queued tells one at a time. */
#define TRIES_NOW_MAX 12
/* After 0.1, 0.2, 0.4 and 0.8 s: a unit that is busy for longer is looked at again later. */
#define TRIES_LATER_MAX 4
/* Fewer bytes than asked for, and the target does not say so: lost, or a sloppy target, whose
 * answer is then taken as it is (decoders believe no length). */
#define TRIES_SHORT_MAX 2
#define PAUSE_FIRST_MS 100

enum query_state { QUERY_QUEUED, QUERY_SENT, QUERY_PAUSE };

#define EVENT_VERB_TIMED_OUT 47

struct query {
	struct session *session;
	struct task task;
	enum query_state state;
	struct loop_call call;
	struct loop_timer pause;
	uint8_t *data;
	unsigned tries_now, tries_later, tries_short;
	bool is_over; /* @answer is final */
	bool is_change, is_once, is_scan;
	bool is_by_itself; /* nobody waits for it */
	bool is_timed_out; /* the target let one attempt's time pass */
	struct query_answer answer;
	char text[200];
	/* NULL: cancelled */
	void (*done)(void *arg, const struct query_answer *a);
	void *arg;
};

static void query_free(struct query *q)
{
	loop_call_cancel(&q->call);
	loop_timer_done(&q->pause);
	object_unref(&q->session->obj);
	g_free(q->data);
	g_free(q);
}

/* @text: static, or q->text. */
static void tell_timeout(const struct query *q)
{
	char cdb[2 * TASK_CDB_MAX + 1] = "";

	for (unsigned i = 0; i < MIN(q->task.cdb_bytes, TASK_CDB_MAX); i++)
		g_snprintf(cdb + 2 * i, 3, "%02x", q->task.cdb[i]);
	session_event(q->session, NULL, EVENT_VERB_TIMED_OUT,
		      "no answer to the command of a verb; CDB %s", cdb);
}

static void query_end(struct query *q, int result, const char *text)
{
	if (result == -ETIMEDOUT && !q->is_by_itself)
		tell_timeout(q);
	q->answer.result = result;
	q->answer.text = text;
	q->is_over = true;
	q->state = QUERY_QUEUED;
	loop_call_queue(q->session->loop, &q->call);
}

static void query_send(struct query *q)
{
	int r = session_submit(q->session, &q->task);

	if (r >= 0)
		q->state = QUERY_SENT;
	else if (q->is_timed_out) /* so much so that the session was given up */
		query_end(q, -ETIMEDOUT, q->text);
	else
		query_end(q, r, "the session has no usable connection");
}

static void query_run(struct loop_call *call)
{
	struct query *q = container_of(call, struct query, call);

	if (!q->is_over) {
		query_send(q);
		return;
	}
	q->done(q->arg, &q->answer);
	query_free(q);
}

static void query_pause_over(struct loop_timer *timer)
{
	query_send(container_of(timer, struct query, pause));
}

/* Again, with a pause or without one, or that was it: @result. */
static void query_again(struct query *q, bool is_later, int result)
{
	unsigned *tries = is_later ? &q->tries_later : &q->tries_now;
	int64_t pause_ms = (int64_t)PAUSE_FIRST_MS << *tries;

	if (++*tries > (is_later ? TRIES_LATER_MAX : TRIES_NOW_MAX)) {
		query_end(q, result, q->text);
		return;
	}
	if (!is_later) {
		query_send(q);
		return;
	}
	q->state = QUERY_PAUSE;
	loop_timer_start(&q->pause, pause_ms);
}

/* Status GOOD. */
static void query_take(struct query *q)
{
	const struct task *t = &q->task;

	if (t->is_short && !q->is_change && q->tries_short++ < TRIES_SHORT_MAX) {
		query_send(q);
		return;
	}
	q->answer.data = q->data;
	q->answer.bytes = t->direction == TASK_READ ? t->transferred : 0;
	query_end(q, 0, "");
}

/* The session's owner knows whose unit it is. */
static void tell_owner(struct session *s, const uint8_t lun[8], enum sense_class what,
		       const char *lost_write)
{
	if (s->ops && s->ops->unit_news)
		s->ops->unit_news(s, lun, what, lost_write, s->arg);
}

void query_tell(struct session *s, const uint8_t lun[8], uint8_t status,
		const struct sense *sense)
{
	struct sense_verdict verdict = sense_judge(status, sense);
	char text[200];

	if (sense->is_deferred)
		tell_owner(s, lun, verdict.class,
			   sense_format(status, sense, text, sizeof(text)));
	else if (sense->is_valid && sense->key == SENSE_KEY_UNIT_ATTENTION)
		tell_owner(s, lun, verdict.class, NULL);
}

/* Does the scan look at what this tells of? It is told just once, and not if the session is lost
 * before the scan comes to its end. */
static bool is_scans(enum sense_class what)
{
	return what != SENSE_RESERVATION_CHANGED && what != SENSE_RESET && what != SENSE_POWER_ON;
}

/* The target answered. */
static void query_judge(struct query *q)
{
	const struct task *t = &q->task;
	struct sense_verdict verdict;

	if (t->response != ISCSI_RESPONSE_COMPLETED) { /* 11.4.3 */
		g_snprintf(q->text, sizeof(q->text), "the target failed (response 0x%02x)",
			   t->response);
		query_again(q, true, -EIO);
		return;
	}
	q->answer.has_response = true;
	q->answer.status = t->status;
	sense_decode(t->sense, t->sense_bytes, &q->answer.sense);
	verdict = sense_judge(t->status, &q->answer.sense);
	sense_format(t->status, &q->answer.sense, q->text, sizeof(q->text));
	if (q->answer.sense.is_deferred)
		tell_owner(q->session, t->lun, verdict.class, q->text);
	switch (verdict.class) {
	case SENSE_OK:
		query_take(q);
		break;
	case SENSE_FAIL:
	case SENSE_PATH:
		query_end(q, -verdict.errno_value, q->text);
		break;
	case SENSE_RETRY_LATER:
		query_again(q, true, -verdict.errno_value);
		break;
	default: /* unit attentions, and what was disturbed on the way */
		q->answer.seen |= 1u << verdict.class;
		if (!q->is_scan || !is_scans(verdict.class))
			tell_owner(q->session, t->lun, verdict.class, NULL);
		if (q->is_change && q->answer.sense.key != SENSE_KEY_UNIT_ATTENTION)
			query_end(q, -verdict.errno_value, q->text);
		else
			query_again(q, false, -verdict.errno_value);
	}
}

/* No answer. */
static void query_judge_silence(struct query *q)
{
	enum task_result fate = q->task.result;

	q->answer.fate = fate;
	q->is_timed_out |= fate == TASK_RESULT_ABORTED;
	g_snprintf(q->text, sizeof(q->text), "no answer (%s)", task_result_name(fate));
	if (q->is_once || (q->is_change && fate != TASK_RESULT_NEVER_SENT))
		query_end(q, -ETIMEDOUT, q->text);
	else
		query_again(q, false, -ETIMEDOUT);
}

static void query_task_done(struct task *t)
{
	struct query *q = container_of(t, struct query, task);

	if (!q->done) {
		query_free(q);
	} else if (t->result == TASK_RESULT_RESPONDED) {
		query_judge(q);
	} else {
		query_judge_silence(q);
	}
}

static struct query *query_new(struct session *s, const uint8_t lun[8], const uint8_t *cdb,
			       unsigned cdb_bytes,
			       void (*done)(void *arg, const struct query_answer *a), void *arg)
{
	struct query *q = g_new0(struct query, 1);

	assert(cdb_bytes <= TASK_CDB_MAX);
	q->session = s;
	object_ref(&s->obj);
	q->done = done;
	q->arg = arg;
	task_init(&q->task, TASK_SCSI, query_task_done);
	memcpy(q->task.lun, lun, sizeof(q->task.lun));
	memcpy(q->task.cdb, cdb, cdb_bytes);
	q->task.cdb_bytes = (uint8_t)cdb_bytes;
	loop_timer_init(s->loop, &q->pause, query_pause_over);
	loop_call_init(&q->call, query_run);
	loop_call_queue(s->loop, &q->call);
	return q;
}

/* Takes @data. */
static void query_set_data(struct query *q, uint8_t *data, uint32_t bytes,
			   enum task_direction direction)
{
	q->data = q->task.data = data;
	q->task.data_bytes = bytes;
	q->task.direction = bytes ? direction : TASK_NO_DATA;
}

struct query *query_start(struct session *s, const uint8_t lun[8], const uint8_t *cdb,
			  unsigned cdb_bytes, uint32_t data_bytes,
			  void (*done)(void *arg, const struct query_answer *a), void *arg)
{
	struct query *q = query_new(s, lun, cdb, cdb_bytes, done, arg);

	query_set_data(q, g_malloc0(data_bytes), data_bytes, TASK_READ);
	return q;
}

struct query *query_write(struct session *s, const uint8_t lun[8], const uint8_t *cdb,
			  unsigned cdb_bytes, const uint8_t *data, uint32_t data_bytes,
			  void (*done)(void *arg, const struct query_answer *a), void *arg)
{
	struct query *q = query_new(s, lun, cdb, cdb_bytes, done, arg);

	q->is_change = true;
	query_set_data(q, g_memdup2(data, data_bytes), data_bytes, TASK_WRITE);
	return q;
}

void query_by_scan(struct query *q)
{
	q->is_scan = q->is_by_itself = true;
}

void query_by_itself(struct query *q)
{
	q->is_by_itself = true;
}

void query_once(struct query *q)
{
	q->is_once = q->is_by_itself = true;
}

void query_cancel(struct query *q)
{
	if (!q)
		return;
	q->done = NULL;
	if (q->state != QUERY_SENT || session_withdraw(q->session, &q->task))
		query_free(q);
}

static bool is_illegal_request(const struct query_answer *a)
{
	return a->result < 0 && a->has_response && a->status == SCSI_CHECK_CONDITION &&
	       a->sense.is_valid && a->sense.key == SENSE_KEY_ILLEGAL_REQUEST;
}

bool query_is_no_unit(const struct query_answer *a)
{
	return is_illegal_request(a) && a->sense.asc == 0x25;
}

bool query_is_refused(const struct query_answer *a)
{
	return is_illegal_request(a) && (a->sense.asc == 0x20 || a->sense.asc == 0x24);
}
