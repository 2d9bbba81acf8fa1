/* SPDX-License-Identifier: BSD-2-Clause */
/* What PDUs from the target mean (RFC 7143 section 11). The receive machine (rx.h) calls twice for
 * each PDU: with the header, to learn where the data segment goes, and when the PDU is whole.
 *
 * Nothing is believed: every tag, offset and length is compared with what we asked for on the line
 * that reads it, and StatSN must be the next one. At error recovery level 0 whatever does not fit
 * ends the connection (7.1.4.4); data of a read count only when their digest was right. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "iscsi/conn.h"
#include "iscsi/pdu.h"
#include "iscsi/session.h"

#define STAT_SN_SLACK 1024

static struct conn *conn_of(struct rx *rx)
{
	return container_of(rx, struct conn, rx);
}

/* StatSN of a PDU that carries status: must be the next; counts it. */
static bool conn_take_stat_sn(struct conn *c, uint32_t stat_sn, const char *what)
{
	if (stat_sn != c->exp_stat_sn) {
		conn_protocol_error(c, "%s with StatSN %u where %u is next", what, stat_sn,
				    c->exp_stat_sn);
		return false;
	}
	c->exp_stat_sn++;
	return true;
}

/* StatSN of a PDU that only tells the next one and does not count (11.8.3, 11.19.2). Targets of
 * several threads (istgt) number it too early or too late; what is far off was never right. */
static bool conn_saw_stat_sn(struct conn *c, uint32_t stat_sn, const char *what)
{
	int32_t off = (int32_t)(stat_sn - c->exp_stat_sn);

	if (off >= -STAT_SN_SLACK && off <= STAT_SN_SLACK)
		return true;
	conn_protocol_error(c, "%s with StatSN %u where %u is next", what, stat_sn,
			    c->exp_stat_sn);
	return false;
}

/* The task of a response, allegiant to this connection and of one of the kinds; ends the
 * connection when there is none. */
static struct task *conn_find_task(struct conn *c, uint32_t itt, enum task_kind kind,
				   const char *what)
{
	struct task *t = session_task_by_itt(c->session, itt);

	if (t && t->conn == c && t->kind == kind && t->state == TASK_SENT)
		return t;
	conn_protocol_error(c, "%s for initiator task tag 0x%08x, which is not in use for that",
			    what, itt);
	return NULL;
}

/* --- SCSI status --- */

/* Status GOOD promises that all data moved but for the residual (11.4.5). */
static bool task_counts_agree(const struct task *t)
{
	uint32_t moved = t->has_underflow ? t->data_bytes - t->residual : t->data_bytes;

	if (t->direction == TASK_READ)
		return t->received == moved;
	if (t->direction == TASK_WRITE)
		return !t->tx_refs && (t->has_underflow ||
				       (t->requested == t->data_bytes && !t->bursts_used));
	return true;
}

static void conn_take_status(struct conn *c, struct task *t, uint8_t flags, uint8_t response,
			     uint8_t status, uint32_t residual)
{
	if (response != ISCSI_RESPONSE_COMPLETED) /* 11.4.3: then neither status nor flags count */
		flags = status = 0;
	t->response = response;
	t->status = status;
	t->has_overflow = flags & ISCSI_RSP_OVERFLOW;
	t->has_underflow = flags & ISCSI_RSP_UNDERFLOW;
	t->residual = t->has_overflow || t->has_underflow ? residual : 0;
	if (t->has_underflow && (t->has_overflow || residual > t->data_bytes)) {
		conn_protocol_error(c, "residual count %u of %u bytes", residual, t->data_bytes);
		return;
	}
	t->is_short = !task_counts_agree(t);
	t->transferred = t->direction == TASK_READ ? t->received
			 : t->direction == TASK_WRITE ? t->data_bytes - (t->has_underflow ? residual : 0)
						      : 0;
	conn_cancel_bursts(t);
	t->state = TASK_RESPONDED;
	if (!t->tx_refs)
		session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
}

/* SenseLength and sense data of a SCSI Response, 11.4.7.2. */
static void task_take_sense(struct task *t, const uint8_t *data, uint32_t bytes)
{
	uint32_t sense_bytes;

	t->sense_bytes = 0;
	if (bytes < 2)
		return;
	sense_bytes = get_be16(data);
	if (sense_bytes > bytes - 2)
		sense_bytes = bytes - 2;
	if (sense_bytes > TASK_SENSE_MAX)
		sense_bytes = TASK_SENSE_MAX;
	memcpy(t->sense, data + 2, sense_bytes);
	t->sense_bytes = (uint8_t)sense_bytes;
}

static void on_scsi_response(struct conn *c, const uint8_t *bhs)
{
	struct pdu_scsi_response p;
	struct task *t;

	pdu_get_scsi_response(bhs, &p);
	t = conn_find_task(c, p.itt, TASK_SCSI, "SCSI Response");
	if (!t || !conn_take_stat_sn(c, p.stat_sn, "SCSI Response"))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	task_take_sense(t, c->control, MIN(p.data_bytes, CONN_CONTROL_BYTES));
	conn_take_status(c, t, p.flags, p.response, p.status, p.residual);
}

/* --- Data-In --- */

static enum rx_verdict on_data_in_header(struct conn *c, const uint8_t *bhs, uint8_t **ret_dest,
					 uint32_t *ret_room)
{
	struct task *t = session_task_by_itt(c->session, pdu_itt(bhs));
	uint32_t offset = get_be32(bhs + 40), data_sn = get_be32(bhs + 36);
	uint32_t bytes = pdu_data_bytes(bhs);

	if (!t || t->conn != c || t->kind != TASK_SCSI || t->direction != TASK_READ ||
	    t->state != TASK_SENT) {
		conn_protocol_error(c, "Data-In for initiator task tag 0x%08x, which is no read",
				    pdu_itt(bhs));
		return RX_STOP;
	}
	if (data_sn != t->data_in_sn) {
		conn_protocol_error(c, "Data-In with DataSN %u where %u is next", data_sn,
				    t->data_in_sn);
		return RX_STOP;
	}
	/* DataPDUInOrder and DataSequenceInOrder are Yes: offsets rise without a gap. An empty
	 * PDU may say any offset. */
	if (bytes && (offset != t->received || bytes > t->data_bytes - t->received)) {
		conn_protocol_error(c, "Data-In of %u bytes at offset %u where %u of %u are due",
				    bytes, offset, t->data_bytes - t->received, t->data_bytes);
		return RX_STOP;
	}
	c->rx_task = t;
	*ret_dest = t->data + t->received;
	*ret_room = bytes;
	return RX_OK;
}

static void on_data_in(struct conn *c, const uint8_t *bhs)
{
	struct task *t = c->rx_task;
	struct pdu_data_in p;

	pdu_get_data_in(bhs, &p);
	c->rx_task = NULL;
	c->stats.data_ins++;
	t->data_in_sn++;
	t->received += p.data_bytes;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	if (!(p.flags & ISCSI_DATA_IN_STATUS))
		return;
	if (!conn_take_stat_sn(c, p.stat_sn, "Data-In with status"))
		return;
	conn_take_status(c, t, p.flags, ISCSI_RESPONSE_COMPLETED, p.status, p.residual);
}

/* --- R2T --- */

static struct burst *task_free_burst(struct task *t, uint32_t limit)
{
	unsigned in_use = 0;

	for (unsigned i = 0; i < TASK_R2T_MAX; i++)
		in_use += !!(t->bursts_used & 1u << i);
	if (in_use >= limit)
		return NULL;
	for (unsigned i = 0; i < TASK_R2T_MAX; i++)
		if (!(t->bursts_used & 1u << i)) {
			t->bursts_used |= (uint16_t)(1u << i);
			return &t->bursts[i];
		}
	return NULL;
}

static void on_r2t(struct conn *c, const uint8_t *bhs)
{
	const struct keys_values *v = &c->session->values;
	struct pdu_r2t p;
	struct burst *b;
	struct task *t;

	pdu_get_r2t(bhs, &p);
	t = session_task_by_itt(c->session, p.itt);
	if (!t || t->conn != c || t->kind != TASK_SCSI || t->direction != TASK_WRITE ||
	    t->state != TASK_SENT) {
		conn_protocol_error(c, "R2T for initiator task tag 0x%08x, which is no write",
				    p.itt);
		return;
	}
	if (memcmp(p.lun, t->lun, sizeof(p.lun)) != 0) { /* 4.2.5.3 */
		conn_protocol_error(c, "R2T for another LUN than its command's");
		return;
	}
	if (!conn_saw_stat_sn(c, p.stat_sn, "R2T"))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	if (p.r2t_sn != t->r2t_sn) {
		conn_protocol_error(c, "R2T with R2TSN %u where %u is next", p.r2t_sn, t->r2t_sn);
		return;
	}
	if (!p.desired_bytes || p.desired_bytes > v->max_burst_length ||
	    p.buffer_offset > t->data_bytes || p.desired_bytes > t->data_bytes - p.buffer_offset) {
		conn_protocol_error(c, "R2T of %u bytes at offset %u of a write of %u",
				    p.desired_bytes, p.buffer_offset, t->data_bytes);
		return;
	}
	if (v->data_sequence_in_order && p.buffer_offset != t->requested) {
		conn_protocol_error(c, "R2T at offset %u where %u is next", p.buffer_offset,
				    t->requested);
		return;
	}
	if (p.ttt == ISCSI_TAG_NONE) {
		conn_protocol_error(c, "R2T without a target transfer tag");
		return;
	}
	b = task_free_burst(t, v->max_outstanding_r2t);
	if (!b) {
		conn_protocol_error(c, "more R2Ts than the %u agreed on", v->max_outstanding_r2t);
		return;
	}
	t->r2t_sn++;
	t->requested += p.desired_bytes;
	c->stats.r2ts++;
	b->task = t;
	b->ttt = p.ttt;
	b->offset = p.buffer_offset;
	b->bytes = p.desired_bytes;
	b->data_sn = 0;
	list_push_tail(&c->bursts, &b->link);
	session_want_flush(c->session);
}

/* --- NOP, logout, task management, text --- */

static void on_nop_in(struct conn *c, const uint8_t *bhs)
{
	struct pdu_nop_in p;
	struct task *t;

	pdu_get_nop_in(bhs, &p);
	if (p.itt != ISCSI_TAG_NONE) { /* the answer to our ping */
		t = conn_find_task(c, p.itt, TASK_NOP_OUT, "NOP-In");
		if (!t || !conn_take_stat_sn(c, p.stat_sn, "NOP-In"))
			return;
		session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
		session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
		return;
	}
	if (!conn_saw_stat_sn(c, p.stat_sn, "NOP-In"))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	if (p.ttt == ISCSI_TAG_NONE)
		return;
	if (c->reply_count == CONN_REPLIES)
		conn_flush(c); /* many in one turn */
	if (c->state == CONN_CLEANUP)
		return;
	if (c->reply_count == CONN_REPLIES) {
		conn_protocol_error(c, "%u NOP-Ins without taking the answers", CONN_REPLIES);
		return;
	}
	struct conn_reply *r = &c->replies[(c->reply_head + c->reply_count++) % CONN_REPLIES];
	memcpy(r->lun, p.lun, sizeof(r->lun));
	r->ttt = p.ttt;
	session_want_flush(c->session);
}

static void on_logout_response(struct conn *c, const uint8_t *bhs)
{
	struct pdu_logout_response p;
	struct task *t;

	pdu_get_logout_response(bhs, &p);
	t = conn_find_task(c, p.itt, TASK_LOGOUT, "Logout Response");
	if (!t || !conn_take_stat_sn(c, p.stat_sn, "Logout Response"))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	t->response = p.response;
	t->time2wait = p.time2wait;
	t->time2retain = p.time2retain;
	session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
}

static void on_tmf_response(struct conn *c, const uint8_t *bhs)
{
	struct pdu_tmf_response p;
	struct task *t;

	pdu_get_tmf_response(bhs, &p);
	t = conn_find_task(c, p.itt, TASK_TMF, "Task Management Response");
	if (!t || !conn_take_stat_sn(c, p.stat_sn, "Task Management Response"))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	t->response = p.response;
	session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
}

static void on_text_response(struct conn *c, const uint8_t *bhs)
{
	struct pdu_text_response p;
	struct task *t;

	pdu_get_text_response(bhs, &p);
	t = conn_find_task(c, p.itt, TASK_TEXT, "Text Response");
	if (!t || !conn_take_stat_sn(c, p.stat_sn, "Text Response"))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	if (p.data_bytes > CONN_CONTROL_BYTES) {
		conn_protocol_error(c, "Text Response of %u bytes", p.data_bytes);
		return;
	}
	session_text_answered(c->session, &p, c->control);
}

/* --- what the target says of itself --- */

static void on_async_message(struct conn *c, const uint8_t *bhs)
{
	struct session *s = c->session;
	struct pdu_async_message p;
	GError *err = NULL;

	pdu_get_async_message(bhs, &p);
	if (!conn_take_stat_sn(c, p.stat_sn, "Asynchronous Message"))
		return;
	session_window(s, p.exp_cmd_sn, p.max_cmd_sn);
	if (s->ops && s->ops->async)
		s->ops->async(s, &p, c->control, MIN(p.data_bytes, CONN_CONTROL_BYTES), s->arg);
	switch (p.event) {
	case ISCSI_ASYNC_LOGOUT: /* Parameter3: seconds we have */
	case ISCSI_ASYNC_NEGOTIATE: /* 11.9.1: a logout is a legal answer to this one too */
		conn_logout_requested(c, (int64_t)p.parameter3 * 1000);
		break;
	case ISCSI_ASYNC_DROP_CONNECTION: /* Parameter1: which */
		for (GList *l = s->conns, *next; l; l = next) {
			struct conn *other = l->data;

			next = l->next;
			if (other->wire_cid != p.parameter1)
				continue;
			error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET,
					"the target says that it drops the connection");
			other->drop_wait_s = p.parameter2;
			conn_fail(other, err);
			break;
		}
		break;
	case ISCSI_ASYNC_DROP_SESSION:
		s->must_restart = true; /* 11.9.1: the session and its tasks are gone */
		while (s->conns) { /* conn_fail() takes it off, perhaps others with it */
			err = NULL;
			((struct conn *)s->conns->data)->drop_wait_s = p.parameter2;
			error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET,
					"the target says that it drops all connections");
			conn_fail(s->conns->data, err);
		}
		break;
	default:
		break;
	}
}

/* 11.17: the header that was refused is in the data segment. What asked for an answer gets one. */
static void on_reject(struct conn *c, const uint8_t *bhs)
{
	struct session *s = c->session;
	struct pdu_reject p;
	struct task *t = NULL;
	GError *err = NULL;

	pdu_get_reject(bhs, &p);
	if (!conn_take_stat_sn(c, p.stat_sn, "Reject"))
		return;
	session_window(s, p.exp_cmd_sn, p.max_cmd_sn);
	c->stats.rejects++;
	if (p.data_bytes >= ISCSI_BHS_BYTES)
		t = session_task_by_itt(s, pdu_itt(c->control));
	if (!t || t->conn != c || t->state != TASK_SENT) {
		error_set_errno(&err, ISDSC_TARGET_ERROR, EPROTO,
				"the target rejected a PDU, reason 0x%02x", p.reason);
		conn_fail(c, err);
		return;
	}
	log_warning("session %u %s: the target rejected a %s, reason 0x%02x", s->sid, c->remote,
		    pdu_name(pdu_opcode(c->control)), p.reason);
	switch (t->kind) {
	case TASK_NOP_OUT: /* it is alive */
		session_task_finish(s, t, TASK_RESULT_RESPONDED);
		return;
	case TASK_TEXT:
		error_set_errno(&err, ISDSC_TARGET_ERROR, EPROTO,
				"the target rejected a text request, reason 0x%02x", p.reason);
		if (t->tx_refs) { /* the request has not left: what was refused? */
			conn_fail(c, err);
			return;
		}
		session_text_fail(s, err);
		session_task_finish(s, t, TASK_RESULT_ABORTED);
		return;
	case TASK_SCSI:
		if (pdu_opcode(c->control) == ISCSI_SCSI_COMMAND &&
		    p.reason != ISCSI_REJECT_DATA_DIGEST) {
			conn_cancel_bursts(t);
			if (!t->tx_refs) {
				session_task_finish(s, t, TASK_RESULT_ABORTED);
				return;
			}
		}
		break;
	case TASK_TMF:
	case TASK_LOGOUT:
		break;
	}
	error_set_errno(&err, ISDSC_TARGET_ERROR, EPROTO,
			"the target rejected a %s, reason 0x%02x",
			pdu_name(pdu_opcode(c->control)), p.reason);
	conn_fail(c, err);
}

/* --- from the receive machine --- */

typedef void handler_fn(struct conn *c, const uint8_t *bhs);

static handler_fn *const handlers[ISCSI_OPCODE_MASK + 1] = {
	[ISCSI_NOP_IN] = on_nop_in,
	[ISCSI_SCSI_RESPONSE] = on_scsi_response,
	[ISCSI_TMF_RESPONSE] = on_tmf_response,
	[ISCSI_TEXT_RESPONSE] = on_text_response,
	[ISCSI_DATA_IN] = on_data_in,
	[ISCSI_LOGOUT_RESPONSE] = on_logout_response,
	[ISCSI_R2T] = on_r2t,
	[ISCSI_ASYNC_MESSAGE] = on_async_message,
	[ISCSI_REJECT] = on_reject,
};

static enum rx_verdict conn_on_header(struct rx *rx, const uint8_t *bhs, uint8_t **ret_dest,
				      uint32_t *ret_room)
{
	struct conn *c = conn_of(rx);
	const char *problem;

	if (c->state == CONN_IN_LOGIN) { /* the login machine judges for itself */
		*ret_dest = c->control;
		*ret_room = CONN_CONTROL_BYTES;
		return RX_OK;
	}
	problem = pdu_check(bhs, PDU_FROM_TARGET, rx->max_data_bytes);
	if (problem || !handlers[pdu_opcode(bhs)]) {
		conn_protocol_error(c, "%s: %s", pdu_name(pdu_opcode(bhs)),
				    problem ? problem : "not in full feature phase");
		return RX_STOP;
	}
	if (pdu_opcode(bhs) == ISCSI_DATA_IN)
		return on_data_in_header(c, bhs, ret_dest, ret_room);
	*ret_dest = c->control;
	*ret_room = CONN_CONTROL_BYTES;
	return RX_OK;
}

static enum rx_verdict conn_on_complete(struct rx *rx, const uint8_t *bhs, bool is_digest_ok)
{
	struct conn *c = conn_of(rx);

	c->last_rx_us = loop_now_us(c->session->loop);
	if (c->state == CONN_IN_LOGIN) {
		conn_login_progress(c, bhs, pdu_data_bytes(bhs));
	} else if (!is_digest_ok) {
		c->stats.digest_errors++;
		conn_protocol_error(c, "data digest error in a %s", pdu_name(pdu_opcode(bhs)));
	} else {
		handlers[pdu_opcode(bhs)](c, bhs);
	}
	/* Whatever happened above may have closed us; the memory stays until the turn ends. */
	return c->state == CONN_CLEANUP ? RX_STOP : RX_OK;
}

const struct rx_ops conn_rx_ops = {
	.header = conn_on_header,
	.complete = conn_on_complete,
};
