/* SPDX-License-Identifier: BSD-2-Clause */
/* How our PDUs are built, in the order they leave: answers to the target's pings, then NOP, text,
 * logout and task management, then (called by the session, which owns the command window) SCSI
 * commands, then Data-Out in the order in which it was asked for.
 *
 * CmdSN is given here, when a PDU joins the batch: what is in the batch leaves in that order, so
 * the numbers on a connection always rise (4.2.2.1). */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/error.h"
#include "iscsi/conn.h"
#include "iscsi/conn_snack.h"
#include "iscsi/pdu.h"
#include "iscsi/session.h"

/* --- Data-Out --- */

static unsigned burst_index(const struct burst *b)
{
	return (unsigned)(b - b->task->bursts);
}

static void burst_done(struct burst *b)
{
	list_remove(&b->link);
	b->task->bursts_used &= (uint16_t) ~(1u << burst_index(b));
}

void conn_cancel_bursts(struct task *t)
{
	for (unsigned i = 0; t->bursts_used && i <= TASK_R2T_MAX; i++)
		if (t->bursts_used & 1u << i)
			burst_done(&t->bursts[i]);
}

static void conn_build_data_out(struct conn *c)
{
	struct burst *b = list_entry(list_first(&c->bursts), struct burst, link);
	struct task *t = b->task;
	uint32_t bytes = MIN(b->bytes, c->values.max_xmit_data_segment_length);
	struct pdu_data_out p = {
		.is_final = bytes == b->bytes,
		.itt = t->itt,
		.ttt = b->ttt,
		.exp_stat_sn = c->exp_stat_sn,
		.data_sn = b->data_sn++,
		.buffer_offset = b->offset,
		.data_bytes = bytes,
	};

	if (b->ttt != ISCSI_TAG_NONE) /* 11.7.2: else reserved */
		memcpy(p.lun, t->lun, sizeof(p.lun));
	pdu_put_data_out(tx_header(&c->tx), &p);
	tx_push(&c->tx, 0, t->data + b->offset, bytes, t);
	c->stats.data_outs++;
	b->offset += bytes;
	b->bytes -= bytes;
	if (!b->bytes) {
		t->data_left_us = loop_now_us(c->session->loop);
		burst_done(b);
	}
}

/* --- SCSI commands --- */

/* How much of a write goes with the command and how much follows unasked (13.10, 13.11, 13.14). */
static uint32_t conn_unsolicited(struct conn *c, struct task *t, uint32_t *ret_immediate)
{
	const struct keys_values *v = &c->session->values;
	uint32_t first = MIN(t->data_bytes, v->first_burst_length);

	*ret_immediate = 0;
	if (t->direction != TASK_WRITE)
		return 0;
	if (v->immediate_data)
		*ret_immediate = MIN(first, c->values.max_xmit_data_segment_length);
	return v->initial_r2t ? 0 : first - *ret_immediate;
}

/* The command's PDU joins the batch, with what goes with it unasked: the first time and, the very
 * same, at a retry (7.2.1). */
static void conn_put_command(struct conn *c, struct task *t)
{
	uint8_t *bhs = tx_header(&c->tx);
	uint32_t immediate, unsolicited = conn_unsolicited(c, t, &immediate);
	struct pdu_scsi_command p = {
		.is_final = !unsolicited,
		.is_read = t->direction == TASK_READ,
		.is_write = t->direction == TASK_WRITE,
		.attr = t->attr,
		.itt = t->itt,
		.expected_bytes = t->direction == TASK_NO_DATA ? 0 : t->data_bytes,
		.cmd_sn = t->cmd_sn,
		.exp_stat_sn = c->exp_stat_sn,
		.data_bytes = immediate,
	};

	assert(t->cdb_bytes <= TASK_CDB_MAX);
	memcpy(p.lun, t->lun, sizeof(p.lun));
	memcpy(p.cdb, t->cdb, MIN(t->cdb_bytes, sizeof(p.cdb)));
	if (t->cdb_bytes > 16)
		p.ahs_bytes = (uint8_t)pdu_put_extended_cdb(bhs + ISCSI_BHS_BYTES, t->cdb,
							    t->cdb_bytes);
	t->quiet_us = loop_now_us(c->session->loop);
	pdu_put_scsi_command(bhs, &p);
	tx_push(&c->tx, p.ahs_bytes, t->data, immediate, t);
	t->requested = immediate + unsolicited;
	if (unsolicited) {
		struct burst *b = &t->bursts[TASK_R2T_MAX];

		t->bursts_used |= 1u << TASK_R2T_MAX;
		b->task = t;
		b->ttt = ISCSI_TAG_NONE;
		b->offset = immediate;
		b->bytes = unsolicited;
		b->data_sn = 0;
		list_push_tail(&c->bursts, &b->link);
	}
}

/* @t is allegiant to @c from now on. */
void conn_adopt(struct conn *c, struct task *t)
{
	t->conn = c;
	t->state = TASK_SENT;
	list_push_tail(&c->outstanding, &t->link);
	c->outstanding_count++;
	c->lane.in_flight += t->kind == TASK_SCSI;
}

void conn_send_command(struct conn *c, struct task *t)
{
	t->cmd_sn = c->session->cmd_sn++;
	t->sent_us = loop_now_us(c->session->loop); /* of the first: its time runs from there */
	t->attempt_us = session_attempt_us(c->session, t);
	conn_adopt(c, t);
	conn_put_command(c, t);
}

bool conn_retry_command(struct conn *c, struct task *t)
{
	/* What the batch still holds of it has not been tried yet. */
	if (t->tx_refs || t->bursts_used || !tx_has_room(&c->tx) || !conn_is_usable(c))
		return false;
	t->received = t->data_in_sn = t->r2t_sn = 0;
	memset(&t->covered, 0, sizeof(t->covered));
	memset(&t->data_in, 0, sizeof(t->data_in));
	conn_put_command(c, t);
	c->stats.retries++;
	c->session->stats.retries++;
	session_want_flush(c->session);
	return true;
}

/* --- the others --- */

/* Immediate PDUs carry the CmdSN of the next command and do not use it up (4.2.2.1). */
static uint32_t conn_control_cmd_sn(struct conn *c, const struct task *t)
{
	return t->is_immediate ? c->session->cmd_sn : c->session->cmd_sn++;
}

static void put_nop(struct conn *c, struct task *t, uint8_t *bhs)
{
	struct pdu_nop_out p = {
		.is_immediate = t->is_immediate,
		.itt = t->itt,
		.ttt = ISCSI_TAG_NONE,
		.cmd_sn = conn_control_cmd_sn(c, t),
		.exp_stat_sn = c->exp_stat_sn,
	};

	pdu_put_nop_out(bhs, &p);
}

static void put_text(struct conn *c, struct task *t, uint8_t *bhs)
{
	struct pdu_text_request p = {
		.is_immediate = t->is_immediate,
		.is_final = true,
		.itt = t->itt,
		.ttt = t->ttt,
		.cmd_sn = conn_control_cmd_sn(c, t),
		.exp_stat_sn = c->exp_stat_sn,
		.data_bytes = t->data_bytes,
	};

	memcpy(p.lun, t->lun, sizeof(p.lun));
	pdu_put_text_request(bhs, &p);
}

static void put_logout(struct conn *c, struct task *t, uint8_t *bhs)
{
	struct pdu_logout_request p = {
		.is_immediate = t->is_immediate,
		.reason = t->function,
		.cid = t->cid,
		.itt = t->itt,
		.cmd_sn = conn_control_cmd_sn(c, t),
		.exp_stat_sn = t->exp_stat_sn ? *t->exp_stat_sn : c->exp_stat_sn,
	};

	pdu_put_logout_request(bhs, &p);
}

static void put_tmf(struct conn *c, struct task *t, uint8_t *bhs)
{
	struct pdu_tmf_request p = {
		.is_immediate = t->is_immediate,
		.function = t->function,
		.itt = t->itt,
		.referenced_itt = t->referenced_itt,
		.cmd_sn = conn_control_cmd_sn(c, t),
		.exp_stat_sn = c->exp_stat_sn,
		.exp_data_sn = t->data_in_sn, /* only a TASK REASSIGN has one (11.5.6) */
	};

	if (t->function == ISCSI_TMF_ABORT_TASK)
		p.ref_cmd_sn = t->ref_cmd_sn;
	else
		t->ref_cmd_sn = p.cmd_sn; /* what came before it is meant; reserved on the wire */
	/* For a TASK REASSIGN it is reserved (11.5.3), but LIO compares it with the command's. */
	memcpy(p.lun, t->lun, sizeof(p.lun));
	pdu_put_tmf_request(bhs, &p);
}

static void (*const put_control[])(struct conn *, struct task *, uint8_t *) = {
	[TASK_NOP_OUT] = put_nop,
	[TASK_TEXT] = put_text,
	[TASK_LOGOUT] = put_logout,
	[TASK_TMF] = put_tmf,
};

/* False: it has to wait (no tag, or the window is closed for what is not immediate). */
static bool conn_send_control(struct conn *c, struct task *t)
{
	if (!t->is_immediate && !session_window_is_open(c->session))
		return false;
	if (t->not_before_us > loop_now_us(c->session->loop))
		return false;
	/* The requests of one text exchange all have the same tag (11.10.3). */
	if (t->itt == ISCSI_TAG_NONE && !session_slot_get(c->session, t, true))
		return false;
	list_remove(&t->link);
	t->sent_us = t->quiet_us = loop_now_us(c->session->loop);
	conn_adopt(c, t);
	put_control[t->kind](c, t, tx_header(&c->tx));
	tx_push(&c->tx, 0, t->data, t->data_bytes, t);
	return true;
}

int conn_submit_control(struct conn *c, struct task *t)
{
	if (c->state != CONN_LOGGED_IN && c->state != CONN_IN_LOGOUT)
		return -ENOTCONN;
	task_reset(t);
	t->session = c->session;
	t->conn = c;
	t->state = TASK_QUEUED;
	list_push_tail(&c->controls, &t->link);
	session_want_flush(c->session);
	return 0;
}

void conn_resubmit_control(struct conn *c, struct task *t)
{
	list_remove(&t->link);
	c->outstanding_count--;
	t->state = TASK_QUEUED;
	list_push_tail(&c->controls, &t->link);
	session_want_flush(c->session);
}

static void conn_send_reply(struct conn *c)
{
	const struct conn_reply *r = &c->replies[c->reply_head];
	struct pdu_nop_out p = {
		.is_immediate = true,
		.itt = ISCSI_TAG_NONE,
		.ttt = r->ttt,
		.cmd_sn = c->session->cmd_sn,
		.exp_stat_sn = c->exp_stat_sn,
	};

	memcpy(p.lun, r->lun, sizeof(p.lun));
	pdu_put_nop_out(tx_header(&c->tx), &p);
	tx_push(&c->tx, 0, NULL, 0, NULL);
	c->reply_head = (c->reply_head + 1) % CONN_REPLIES;
	c->reply_count--;
}

static void conn_build(struct conn *c)
{
	conn_build_snacks(c);
	while (c->reply_count && tx_has_room(&c->tx))
		conn_send_reply(c);
	list_for_each_safe(pos, &c->controls) {
		if (!tx_has_room(&c->tx))
			break;
		conn_send_control(c, list_entry(pos, struct task, link)); /* or it waits */
	}
	while (!list_is_empty(&c->bursts) && tx_has_room(&c->tx))
		conn_build_data_out(c);
}

void conn_flush(struct conn *c)
{
	/* A full batch that leaves at once makes room for more of the same turn; the number of
	 * rounds is bounded by what is queued. */
	if (c->state < CONN_IN_LOGIN) /* the watch waits for the connect() */
		return;
	for (;;) {
		int r;

		if (c->state >= CONN_LOGGED_IN && c->state != CONN_CLEANUP)
			conn_build(c);
		if (tx_is_empty(&c->tx) || c->state == CONN_CLEANUP)
			break;
		r = tx_flush(&c->tx, c->fd);
		if (r < 0) {
			GError *err = NULL;

			error_set_errno(&err, ISDSC_SEND_FAILED, -r, "send failed: %s",
					g_strerror(-r));
			session_event(c->session, c, EVENT_SEND_FAILED, "%s", err->message);
			conn_fail(c, err);
			return;
		}
		if (c->tx.is_blocked)
			break;
	}
	if (c->state != CONN_CLEANUP)
		loop_fd_set(&c->watch, c->tx.is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
}
