/* SPDX-License-Identifier: BSD-2-Clause */
/* Reject (RFC 7143 11.17): the header that was refused is in the data segment. What asked for an
 * answer gets one, or is sent once more:
 *
 *   refused      at level 0                        at level 1 and more
 *   NOP-Out      our ping: answered; else the end  answered, ignored
 *   Text         the exchange ends                 (the same)
 *   command      with its CmdSN not taken: again;  damaged, or not taken: again; else aborted, by
 *                else aborted                      ABORT TASK when that fills the hole in CmdSN (7.3)
 *   Data-Out     the connection ends               the target asks again, or answers (7.3)
 *   SNACK        -                                 the read has no good end any more (7.8)
 *   TMF, Logout  the connection ends               too many of them: again after a while
 *
 * A Reject does not end a task that the target has begun (7.3), hence the waiting: the quiet watch
 * and the ladder (session_ladder.c) bound it. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "iscsi/conn.h"
#include "iscsi/conn_rx.h"
#include "iscsi/conn_snack.h"
#include "iscsi/pdu.h"
#include "iscsi/session.h"

#define REJECTS_MAX 4	    /* of one request, which is sent again after each */
#define REJECT_AGAIN_MS 500 /* and so long after it */

/* 11.17.1 */
static void set_reject_error(GError **err, const char *what, uint8_t reason)
{
	bool is_short = reason == ISCSI_REJECT_OUT_OF_RESOURCES;

	error_set_errno(err, is_short ? ISDSC_TARGET_OUT_OF_RESORCES : ISDSC_TARGET_ERROR,
			is_short ? ENOSPC : EPROTO, "the target rejected a %s, reason 0x%02x%s",
			what, reason, is_short ? " (out of resources)" : "");
}

/* @bhs is ours, as the target has it. */
static void reject_ends(struct conn *c, const uint8_t *bhs, const struct pdu_reject *p)
{
	GError *err = NULL;

	set_reject_error(&err, bhs ? pdu_name(pdu_opcode(bhs)) : "PDU", p->reason);
	conn_fail(c, err);
}

/* --- SNACK --- */

/* 16.4.2 of the suites. When its status is here, that is the end of it; else the target has to end
 * it with a CHECK CONDITION (7.8, a.1), or the ladder does. */
static void data_snack_refused(struct conn *c, struct task *t)
{
	uint32_t begin, count;

	if (!data_in_missing(t, &begin, &count) && !t->recovery.snack_tag)
		return; /* has come meanwhile */
	t->recovery.is_lost = true;
	if (!t->recovery.has_status)
		return;
	conn_release_stat_sn(c, t);
	session_task_finish(c->session, t, TASK_RESULT_ABORTED);
}

static void snack_refused(struct conn *c, struct task *t, const uint8_t *bhs,
			  const struct pdu_reject *p)
{
	struct pdu_snack_request snack;

	pdu_get_snack_request(bhs, &snack);
	switch (snack.type) {
	case ISCSI_SNACK_STATUS: /* nobody knows whose it was */
		if (conn_stat_sn_is_missing(c, snack.begin_run, snack.run_length))
			reject_ends(c, bhs, p);
		return;
	case ISCSI_SNACK_DATA_ACK:
		return;
	case ISCSI_SNACK_DATA_R2T:
		if (t && t->direction == TASK_WRITE && !snack.run_length)
			return; /* asked in the quiet: there was nothing */
		break;
	default:
		break;
	}
	if (!t)
		return;
	if (t->direction == TASK_READ)
		data_snack_refused(c, t);
	else
		session_abort_task(c->session, t);
}

/* --- commands and their data --- */

static void command_refused(struct conn *c, struct task *t, const uint8_t *bhs,
			    const struct pdu_reject *p)
{
	bool may_recover = conn_may_recover(c);
	bool is_seen = session_is_acknowledged(c->session, t);

	if (p->reason == ISCSI_REJECT_DATA_DIGEST && !may_recover) {
		reject_ends(c, bhs, p);
		return;
	}
	if (may_recover && p->reason == ISCSI_REJECT_TASK_IN_PROGRESS)
		return; /* it has it, and our retry was too much */
	/* Discarded: its CmdSN is still to come (7.2.1). */
	if ((p->reason == ISCSI_REJECT_DATA_DIGEST || !is_seen) &&
	    t->recovery.rejects++ < REJECTS_MAX) {
		conn_retry_command(c, t); /* or the quiet watch does */
		return;
	}
	if (!is_seen) {
		if (may_recover)
			session_abort_task(c->session, t); /* 7.11: fills the hole in CmdSN */
		else
			reject_ends(c, bhs, p);
		return;
	}
	conn_cancel_bursts(t);
	if (t->tx_refs)
		reject_ends(c, bhs, p);
	else
		session_task_finish(c->session, t, TASK_RESULT_ABORTED);
}

static void scsi_refused(struct conn *c, struct task *t, const uint8_t *bhs,
			 const struct pdu_reject *p)
{
	if (pdu_opcode(bhs) == ISCSI_SCSI_COMMAND)
		command_refused(c, t, bhs, p);
	else if (!conn_may_recover(c))
		reject_ends(c, bhs, p);
	/* Else Data-Out: a recovery R2T comes, or an answer. */
}

/* --- the others --- */

static void text_refused(struct conn *c, struct task *t, const uint8_t *bhs,
			 const struct pdu_reject *p)
{
	GError *err = NULL;

	if (t->tx_refs) { /* the request has not left: what was refused? */
		reject_ends(c, bhs, p);
		return;
	}
	set_reject_error(&err, "text request", p->reason);
	session_text_fail(c->session, err);
	session_task_finish(c->session, t, TASK_RESULT_ABORTED);
}

static void control_refused(struct conn *c, struct task *t, const uint8_t *bhs,
			    const struct pdu_reject *p)
{
	if (!conn_may_recover(c) || p->reason != ISCSI_REJECT_TOO_MANY_IMMEDIATE ||
	    !t->is_immediate || t->recovery.rejects++ == REJECTS_MAX) {
		reject_ends(c, bhs, p);
		return;
	}
	t->not_before_us = loop_now_us(c->session->loop) + REJECT_AGAIN_MS * 1000;
	conn_resubmit_control(c, t);
	loop_timer_start(&c->again_timer, REJECT_AGAIN_MS + 1);
}

static void task_refused(struct conn *c, struct task *t, const uint8_t *bhs,
			 const struct pdu_reject *p)
{
	log_warning("session %u %s: the target rejected a %s, reason 0x%02x", c->session->sid,
		    c->remote, pdu_name(pdu_opcode(bhs)), p->reason);
	switch (t->kind) {
	case TASK_NOP_OUT: /* it is alive */
		session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
		break;
	case TASK_TEXT:
		text_refused(c, t, bhs, p);
		break;
	case TASK_SCSI:
		scsi_refused(c, t, bhs, p);
		break;
	case TASK_TMF:
	case TASK_LOGOUT:
		control_refused(c, t, bhs, p);
		break;
	}
}

void conn_on_reject(struct conn *c, const uint8_t *header)
{
	char rejected[CONN_HEADER_TEXT] = "";
	const uint8_t *bhs = NULL;
	struct pdu_reject p;
	struct task *t = NULL;

	pdu_get_reject(header, &p);
	if (!conn_take_stat_sn(c, header))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	c->stats.rejects++;
	if (p.data_bytes >= ISCSI_BHS_BYTES) {
		bhs = c->control;
		t = session_task_by_itt(c->session, pdu_itt(bhs));
	}
	if (t && (t->conn != c || t->state != TASK_SENT))
		t = NULL;
	if (bhs)
		conn_format_header(rejected, bhs);
	session_event(c->session, c, EVENT_REJECTED,
		      "the target rejected a %s, reason 0x%02x%s%s",
		      bhs ? pdu_name(pdu_opcode(bhs)) : "PDU", p.reason,
		      bhs ? "; its header " : "", rejected);
	if (bhs && conn_may_recover(c) && pdu_opcode(bhs) == ISCSI_SNACK_REQUEST)
		snack_refused(c, t, bhs, &p);
	else if (t)
		task_refused(c, t, bhs, &p);
	else if (!bhs || !conn_may_recover(c))
		reject_ends(c, bhs, &p);
	/* Else an answer to a ping, or something for a task that has ended meanwhile. */
}
