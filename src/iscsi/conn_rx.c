/* SPDX-License-Identifier: BSD-2-Clause */
/* What PDUs from the target mean (RFC 7143 section 11). The receive machine (rx.h) calls twice for
 * each PDU: with the header, to learn where the data segment goes, and when the PDU is whole.
 *
 * Nothing is believed: every tag, offset and length is compared with what we asked for on the line
 * that reads it. At error recovery level 0 whatever does not fit ends the connection (7.1.4.4); at
 * higher levels what shows that something was lost is recovered (conn_snack.h), what is merely a
 * duplicate is dropped (7.9), and only what contradicts itself ends the connection. Data of a read
 * count only when their digest was right. Reject is in conn_reject.c. */
#include "iscsi/conn_rx.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "iscsi/conn.h"
#include "iscsi/conn_snack.h"
#include "iscsi/pdu.h"
#include "iscsi/session.h"

#define STAT_SN_SLACK 1024
#define R2T_WINDOW 32 /* R2TSNs that may be out of order: bits of task_recovery.r2t_ahead */

static struct conn *conn_of(struct rx *rx)
{
	return container_of(rx, struct conn, rx);
}

/* --- what ends the connection --- */

void conn_format_header(char ret_text[CONN_HEADER_TEXT], const uint8_t *bhs)
{
	for (unsigned i = 0; i < ISCSI_BHS_BYTES; i++)
		g_snprintf(ret_text + 2 * i, 3, "%02x", bhs[i]);
}

void conn_refuse_pdu(struct conn *c, unsigned event, const uint8_t *bhs, const char *fmt, ...)
{
	g_autofree char *what = NULL;
	char header[CONN_HEADER_TEXT];
	va_list ap;

	va_start(ap, fmt);
	what = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	conn_format_header(header, bhs);
	session_event(c->session, c, event, "%s; header %s", what, header);
	conn_protocol_error(c, "%s", what);
}

static void conn_refuse_stat_sn(struct conn *c, const uint8_t *bhs)
{
	conn_refuse_pdu(c, EVENT_INVALID_STAT_SN, bhs, "%s with StatSN %u where %u is next",
			pdu_name(pdu_opcode(bhs)), pdu_stat_sn(bhs), c->exp_stat_sn);
}

/* --- StatSN and tags --- */

bool conn_take_stat_sn(struct conn *c, const uint8_t *bhs)
{
	switch (conn_stat_sn_judge(c, pdu_stat_sn(bhs))) {
	case STAT_SN_NEW:
		conn_stat_sn_count(c, pdu_stat_sn(bhs), false);
		return true;
	case STAT_SN_OLD:
		return false;
	case STAT_SN_WRONG:
		conn_refuse_stat_sn(c, bhs);
		return false;
	}
	return false;
}

/* StatSN of a PDU that only tells the next one and does not count (11.8.3, 11.19.2). Targets of
 * several threads (istgt) number it too early or too late; what is far off was never right. */
static bool conn_saw_stat_sn(struct conn *c, const uint8_t *bhs)
{
	int32_t off = (int32_t)(pdu_stat_sn(bhs) - c->exp_stat_sn);

	if (off >= -STAT_SN_SLACK && off <= STAT_SN_SLACK)
		return true;
	conn_refuse_stat_sn(c, bhs);
	return false;
}

/* Was it in use once? */
static bool is_past_tag(const struct session *s, uint32_t itt)
{
	unsigned i = itt & 0xffff;
	uint16_t ago;

	if (i >= SESSION_SLOTS)
		return false;
	ago = (uint16_t)(s->slots[i].generation - (itt >> 16));
	return ago && ago < 0x8000;
}

/* The task that a PDU is for: of this connection, of that kind, waiting for an answer. NULL: there
 * is none; either not any more (*ret_is_late: recovery makes such PDUs, it is to be dropped), or
 * the connection has been ended. */
static struct task *conn_find_task(struct conn *c, const uint8_t *bhs, enum task_kind kind,
				   bool *ret_is_late)
{
	struct task *t = session_task_by_itt(c->session, pdu_itt(bhs));
	bool is_ours = t && t->conn == c && t->kind == kind;

	*ret_is_late = false;
	if (is_ours && t->state == TASK_SENT) {
		conn_heard_of(c, t);
		return t;
	}
	*ret_is_late = conn_may_recover(c) &&
		       (is_ours || is_past_tag(c->session, pdu_itt(bhs)));
	if (!*ret_is_late)
		conn_refuse_pdu(c, EVENT_NO_SUCH_TASK, bhs,
				"%s for initiator task tag 0x%08x, which is not in use for that",
				pdu_name(pdu_opcode(bhs)), pdu_itt(bhs));
	return NULL;
}

/* The same for an answer with a StatSN, which is counted, and the window with it. */
static struct task *conn_find_answered(struct conn *c, const uint8_t *bhs, enum task_kind kind)
{
	bool is_late;
	struct task *t;

	if (conn_stat_sn_judge(c, pdu_stat_sn(bhs)) == STAT_SN_OLD)
		return NULL;
	t = conn_find_task(c, bhs, kind, &is_late);
	if ((!t && !is_late) || !conn_take_stat_sn(c, bhs))
		return NULL;
	session_window(c->session, pdu_exp_cmd_sn(bhs), pdu_max_cmd_sn(bhs));
	return t;
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

/* --- status of a read --- */

/* All that was there to be received has been, or will not be: the status counts. A read that the
 * target cannot complete has no good end, whatever its status says (7.8, a.2). */
static void conn_read_ends(struct conn *c, struct task *t)
{
	const struct task_recovery r = t->recovery;

	conn_release_stat_sn(c, t);
	if (r.is_lost && !r.status && r.response == ISCSI_RESPONSE_COMPLETED)
		session_task_finish(c->session, t, TASK_RESULT_ABORTED);
	else
		conn_take_status(c, t, r.flags, r.response, r.status, r.residual);
}

/* Status GOOD promises more bytes than came, and nothing says that the last Data-In is among them:
 * it is lost. (LIO leaves ExpDataSN zero.) */
static bool lacks_tail(const struct task *t)
{
	const struct task_recovery *r = &t->recovery;
	uint32_t residual = r->flags & ISCSI_RSP_UNDERFLOW ? r->residual : 0;

	return r->has_status && !r->status && r->response == ISCSI_RESPONSE_COMPLETED &&
	       data_in_is_complete(t) && (!t->data_in.end_sn || r->is_end_guessed) &&
	       residual <= t->data_bytes && t->received < t->data_bytes - residual;
}

/* Something came for the read @t: acknowledge, ask, end it. */
static void conn_read_goes_on(struct conn *c, struct task *t)
{
	if (lacks_tail(t)) {
		t->recovery.is_end_guessed = true;
		data_in_know(t, t->data_in_sn + 1, true);
	}
	conn_ask_for_data(c, t);
	if (t->recovery.has_status && (t->recovery.is_lost || data_in_is_complete(t)))
		conn_read_ends(c, t);
}

/* Status of a read, in a SCSI Response or a Data-In. It waits until all data are here, and is not
 * acknowledged before (7.9). False: not this one. */
static bool conn_keep_status(struct conn *c, struct task *t, const uint8_t *bhs, uint8_t response,
			     uint32_t snack_tag)
{
	struct task_recovery *r = &t->recovery;

	switch (conn_stat_sn_judge(c, pdu_stat_sn(bhs))) {
	case STAT_SN_OLD: /* 11.16.3: a second response of the same number has the tag */
		if (!r->snack_tag || !r->is_stat_held || r->stat_sn != pdu_stat_sn(bhs))
			return false;
		break;
	case STAT_SN_WRONG:
		conn_refuse_stat_sn(c, bhs);
		return false;
	case STAT_SN_NEW:
		break;
	}
	conn_hold_stat_sn(c, t, pdu_stat_sn(bhs));
	if (r->snack_tag && snack_tag != r->snack_tag) /* 11.4.4: discarded */
		return false;
	r->has_status = true;
	r->flags = bhs[1];
	r->response = response;
	r->status = bhs[3];
	r->residual = get_be32(bhs + 44);
	return true;
}

/* ExpDataSN (11.4.8) tells of Data-In PDUs that have not come. */
static bool conn_take_exp_data_sn(struct conn *c, struct task *t, const uint8_t *bhs)
{
	uint32_t exp_data_sn = get_be32(bhs + 36);

	if (bhs[2] != ISCSI_RESPONSE_COMPLETED || !exp_data_sn)
		return true;
	if (exp_data_sn > t->data_in_sn && exp_data_sn - t->data_in_sn > DATA_IN_WINDOW) {
		conn_refuse_pdu(c, EVENT_INVALID_PDU, bhs, "SCSI Response with ExpDataSN %u",
				exp_data_sn);
		return false;
	}
	data_in_know(t, exp_data_sn, true);
	return true;
}

/* Sense data are all that may come with a response (event 60). Once a connection: a target that
 * does it once does it always. */
static void conn_check_response_data(struct conn *c, const uint8_t *bhs, uint32_t bytes)
{
	uint32_t sense_bytes = bytes < 2 ? 0 : get_be16(c->control);
	char header[CONN_HEADER_TEXT];

	if (!bytes || sense_bytes + 2 >= bytes || c->is_response_data_told)
		return;
	c->is_response_data_told = true;
	conn_format_header(header, bhs);
	session_event(c->session, c, EVENT_RESPONSE_DATA,
		      "SCSI Response with %u bytes of data, of which %u are sense; header %s",
		      bytes, sense_bytes, header);
}

static void on_read_response(struct conn *c, const uint8_t *bhs)
{
	bool is_late;
	struct task *t = conn_find_task(c, bhs, TASK_SCSI, &is_late);
	struct pdu_scsi_response p;

	pdu_get_scsi_response(bhs, &p);
	if (!t) {
		if (is_late)
			conn_take_stat_sn(c, bhs);
		return;
	}
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	if (!conn_keep_status(c, t, bhs, p.response, p.snack_tag))
		return;
	conn_check_response_data(c, bhs, MIN(p.data_bytes, CONN_CONTROL_BYTES));
	task_take_sense(t, c->control, MIN(p.data_bytes, CONN_CONTROL_BYTES));
	if (conn_take_exp_data_sn(c, t, bhs))
		conn_read_goes_on(c, t);
}

static void on_scsi_response(struct conn *c, const uint8_t *bhs)
{
	struct task *t = session_task_by_itt(c->session, pdu_itt(bhs));
	struct pdu_scsi_response p;

	if (conn_may_recover(c) && t && t->direction == TASK_READ) {
		on_read_response(c, bhs);
		return;
	}
	pdu_get_scsi_response(bhs, &p);
	t = conn_find_answered(c, bhs, TASK_SCSI);
	if (!t)
		return;
	conn_check_response_data(c, bhs, MIN(p.data_bytes, CONN_CONTROL_BYTES));
	task_take_sense(t, c->control, MIN(p.data_bytes, CONN_CONTROL_BYTES));
	conn_take_status(c, t, p.flags, p.response, p.status, p.residual);
}

/* --- Data-In --- */

static struct data_in_rules conn_data_in_rules(const struct conn *c, const struct task *t)
{
	const struct keys_values *v = &c->session->values;

	return (struct data_in_rules){
		.may_recover = conn_may_recover(c),
		.is_ordered = v->data_pdu_in_order && v->data_sequence_in_order,
		/* What is missing may be from before a change. */
		.max_bytes = conn_has_resized(c, t) ? ISCSI_DSL_MAX : c->rx.max_data_bytes,
	};
}

static struct data_in_place data_in_place_of(const uint8_t *bhs)
{
	return (struct data_in_place){
		.sn = get_be32(bhs + 36),
		.offset = get_be32(bhs + 40),
		.bytes = pdu_data_bytes(bhs),
	};
}

static enum rx_verdict conn_refuse_data_in(struct conn *c, const struct task *t,
					   const uint8_t *bhs, const struct data_in_place *p)
{
	if (p->offset > t->data_bytes || p->bytes > t->data_bytes - p->offset)
		conn_refuse_pdu(c, EVENT_TOO_MUCH_DATA, bhs,
				"Data-In of %u bytes at offset %u of a read of %u", p->bytes,
				p->offset, t->data_bytes);
	else
		conn_refuse_pdu(c, EVENT_INVALID_PDU, bhs,
				"Data-In %u of %u bytes at offset %u where %u at offset %u is next",
				p->sn, p->bytes, p->offset, t->data_in_sn, t->received);
	return RX_STOP;
}

static enum rx_verdict on_data_in_header(struct conn *c, const uint8_t *bhs, uint8_t **ret_dest,
					 uint32_t *ret_room)
{
	struct data_in_place p = data_in_place_of(bhs);
	struct data_in_rules rules;
	enum data_in_verdict verdict;
	bool is_late;
	struct task *t = conn_find_task(c, bhs, TASK_SCSI, &is_late);

	c->rx_task = NULL;
	c->is_rx_kept = false;
	if (!t)
		return is_late ? RX_OK : RX_STOP;
	if (t->direction != TASK_READ) {
		conn_refuse_pdu(c, EVENT_NO_SUCH_TASK, bhs,
				"Data-In for initiator task tag 0x%08x, which is no read", t->itt);
		return RX_STOP;
	}
	rules = conn_data_in_rules(c, t);
	verdict = data_in_judge(t, &rules, &p);
	if (verdict == DATA_IN_WRONG)
		return conn_refuse_data_in(c, t, bhs, &p);
	c->rx_task = t;
	c->is_rx_kept = verdict == DATA_IN_TAKE;
	if (c->is_rx_kept && p.bytes) {
		*ret_dest = t->data + p.offset;
		*ret_room = p.bytes;
	}
	return RX_OK;
}

/* Is this the last Data-In of @t: with status, or where the data end? */
static bool is_last(const struct task *t, const uint8_t *bhs)
{
	struct data_in_place p = data_in_place_of(bhs);

	return pdu_flags(bhs) & ISCSI_DATA_IN_STATUS ||
	       (pdu_flags(bhs) & ISCSI_FLAG_FINAL && p.bytes == t->data_bytes - p.offset);
}

/* The data segment, which is right, of a PDU for @t. */
static void conn_take_data(struct conn *c, struct task *t, const uint8_t *bhs)
{
	struct data_in_rules rules = conn_data_in_rules(c, t);
	struct data_in_place p = data_in_place_of(bhs);
	bool is_lost_again = rules.may_recover && data_in_is_lost_again(t, p.sn);

	if (c->is_rx_kept) {
		if (data_in_take(t, &rules, &p))
			c->stats.recovered_pdus++;
		if (is_last(t, bhs))
			data_in_know(t, p.sn + 1, true);
		if (p.bytes)
			t->recovery.tries = 0;
	} else if (!t->data_in.is_resegmented) {
		data_in_know(t, p.sn + 1, is_last(t, bhs));
	}
	if (is_lost_again)
		conn_ask_again(c, t);
	if (rules.may_recover && pdu_flags(bhs) & ISCSI_DATA_IN_ACK) /* 11.7.2 */
		conn_want_ack(t, bhs);
}

static void on_data_in(struct conn *c, const uint8_t *bhs)
{
	bool has_status = pdu_flags(bhs) & ISCSI_DATA_IN_STATUS;
	struct task *t = c->rx_task;

	c->rx_task = NULL;
	c->stats.data_ins++;
	session_window(c->session, pdu_exp_cmd_sn(bhs), pdu_max_cmd_sn(bhs));
	if (!t) { /* late, of a task that has ended */
		if (has_status)
			conn_take_stat_sn(c, bhs);
		return;
	}
	conn_take_data(c, t, bhs);
	if (!conn_may_recover(c)) {
		if (has_status && conn_take_stat_sn(c, bhs))
			conn_take_status(c, t, bhs[1], ISCSI_RESPONSE_COMPLETED, bhs[3],
					 get_be32(bhs + 44));
		return;
	}
	if (has_status)
		conn_keep_status(c, t, bhs, ISCSI_RESPONSE_COMPLETED, 0);
	if (c->state != CONN_CLEANUP)
		conn_read_goes_on(c, t);
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

/* One after the last R2TSN that has come. */
static uint32_t task_r2t_sn_end(const struct task *t)
{
	uint32_t ahead = t->recovery.r2t_ahead;

	return t->r2t_sn + (ahead ? 33 - (uint32_t)__builtin_clz(ahead) : 0);
}

/* Has this one come before, or can it not be? Else it counts, and what is missing before it is
 * asked for. */
static bool conn_take_r2t_sn(struct conn *c, struct task *t, const uint8_t *bhs)
{
	uint32_t sn = get_be32(bhs + 36), *ahead = &t->recovery.r2t_ahead, end;
	uint32_t off = sn - t->r2t_sn;

	if (t->is_r2t_sn_open) { /* reassigned: where it goes on is the target's to say */
		t->r2t_sn = sn;
		*ahead = off = 0;
		t->is_r2t_sn_open = false;
	}
	if (conn_may_recover(c) &&
	    ((int32_t)off < 0 || (off && off <= R2T_WINDOW && *ahead >> (off - 1) & 1)))
		return false; /* 7.9: duplicates are discarded */
	if (off && (!conn_may_recover(c) || off > R2T_WINDOW)) {
		conn_refuse_pdu(c, EVENT_INVALID_R2T, bhs, "R2T with R2TSN %u where %u is next",
				sn, t->r2t_sn);
		return false;
	}
	end = task_r2t_sn_end(t);
	c->stats.recovered_pdus += sn < end;
	if (sn > end)
		conn_ask_for_r2t(c, t, end, sn - end);
	if (off) {
		*ahead |= 1u << (off - 1);
		return true;
	}
	for (bool has_come = true; has_come; *ahead >>= 1) {
		t->r2t_sn++;
		has_come = *ahead & 1;
	}
	return true;
}

/* Bytes asked for, each counted once. */
static bool task_request(struct task *t, uint32_t offset, uint32_t bytes, bool is_plain)
{
	bool is_again;

	if (is_plain && !t->covered.count && offset == t->requested) {
		t->requested += bytes;
		return false;
	}
	if (!t->covered.count)
		extents_add(&t->covered, 0, t->requested);
	is_again = extents_overlap(&t->covered, offset, offset + bytes);
	if (!extents_add(&t->covered, offset, offset + bytes))
		t->covered.beyond += MIN(bytes, t->data_bytes - t->covered.beyond);
	t->requested = MIN(extents_bytes(&t->covered), t->data_bytes);
	return is_again;
}

/* Offset and length are inside of the write, and where they may be. NULL, or what is wrong. */
static const char *r2t_problem(const struct conn *c, const struct task *t, const struct pdu_r2t *p)
{
	const struct keys_values *v = &c->session->values;

	if (!p->desired_bytes || p->desired_bytes > v->max_burst_length ||
	    p->buffer_offset > t->data_bytes || p->desired_bytes > t->data_bytes - p->buffer_offset)
		return "out of bounds";
	if (p->ttt == ISCSI_TAG_NONE)
		return "without a target transfer tag";
	if (!v->data_sequence_in_order || p->buffer_offset == t->requested)
		return NULL;
	/* Asked for once more (7.8), or with others before it that are missing. */
	if (conn_may_recover(c) && (p->buffer_offset < t->requested || t->recovery.r2t_ahead))
		return NULL;
	return "out of order";
}

static struct task *conn_find_write(struct conn *c, const uint8_t *bhs)
{
	bool is_late;
	struct task *t = conn_find_task(c, bhs, TASK_SCSI, &is_late);

	if (!t)
		return NULL;
	if (t->direction != TASK_WRITE)
		conn_refuse_pdu(c, EVENT_NO_SUCH_TASK, bhs,
				"R2T for initiator task tag 0x%08x, which is no write", t->itt);
	else if (memcmp(bhs + 8, t->lun, sizeof(t->lun)) != 0) /* 4.2.5.3 */
		conn_refuse_pdu(c, EVENT_INVALID_R2T, bhs,
				"R2T for another LUN than its command's");
	else
		return t;
	return NULL;
}

static void on_r2t(struct conn *c, const uint8_t *bhs)
{
	const struct keys_values *v = &c->session->values;
	struct task *t = conn_find_write(c, bhs);
	const char *problem;
	struct pdu_r2t p;
	struct burst *b;

	pdu_get_r2t(bhs, &p);
	if (!t || !conn_saw_stat_sn(c, bhs))
		return;
	session_window(c->session, p.exp_cmd_sn, p.max_cmd_sn);
	if (!conn_take_r2t_sn(c, t, bhs))
		return;
	problem = r2t_problem(c, t, &p);
	if (problem) {
		conn_refuse_pdu(c, EVENT_INVALID_R2T, bhs, "R2T of %u bytes at offset %u, %s",
				p.desired_bytes, p.buffer_offset, problem);
		return;
	}
	b = task_free_burst(t, conn_may_recover(c) ? TASK_R2T_MAX : v->max_outstanding_r2t);
	if (!b) {
		conn_refuse_pdu(c, EVENT_INVALID_R2T, bhs, "more R2Ts than the %u agreed on",
				v->max_outstanding_r2t);
		return;
	}
	c->stats.recovery_r2ts +=
		task_request(t, p.buffer_offset, p.desired_bytes, v->data_sequence_in_order);
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
	struct conn_reply *r;
	struct pdu_nop_in p;
	struct task *t;

	pdu_get_nop_in(bhs, &p);
	if (p.itt != ISCSI_TAG_NONE) { /* the answer to our ping */
		t = conn_find_answered(c, bhs, TASK_NOP_OUT);
		if (t)
			session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
		return;
	}
	if (!conn_saw_stat_sn(c, bhs))
		return;
	conn_stat_sn_told(c, p.stat_sn);
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
	r = &c->replies[(c->reply_head + c->reply_count++) % CONN_REPLIES];
	memcpy(r->lun, p.lun, sizeof(r->lun));
	r->ttt = p.ttt;
	session_want_flush(c->session);
}

static void on_logout_response(struct conn *c, const uint8_t *bhs)
{
	struct task *t = conn_find_answered(c, bhs, TASK_LOGOUT);
	struct pdu_logout_response p;

	if (!t)
		return;
	pdu_get_logout_response(bhs, &p);
	t->response = p.response;
	t->time2wait = p.time2wait;
	t->time2retain = p.time2retain;
	session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
}

static void on_tmf_response(struct conn *c, const uint8_t *bhs)
{
	struct task *t = conn_find_answered(c, bhs, TASK_TMF);
	struct pdu_tmf_response p;

	if (!t)
		return;
	pdu_get_tmf_response(bhs, &p);
	t->response = p.response;
	session_task_finish(c->session, t, TASK_RESULT_RESPONDED);
}

static void on_text_response(struct conn *c, const uint8_t *bhs)
{
	struct pdu_text_response p;

	if (!conn_find_answered(c, bhs, TASK_TEXT))
		return;
	pdu_get_text_response(bhs, &p);
	if (p.data_bytes > CONN_CONTROL_BYTES) {
		conn_protocol_error(c, "Text Response of %u bytes", p.data_bytes);
		return;
	}
	session_text_answered(c->session, &p, c->control);
}

/* --- what the target says of itself --- */

/* The connection with that CID is as good as gone. */
static void conn_dropped(struct session *s, const struct pdu_async_message *p)
{
	GError *err = NULL;

	for (GList *l = s->conns; l; l = l->next) {
		struct conn *c = l->data;

		if (c->wire_cid != p->parameter1)
			continue;
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET,
				"the target says that it drops the connection");
		c->drop_wait_s = p->parameter2;
		conn_fail(c, err);
		return;
	}
}

static void session_dropped(struct session *s, const struct pdu_async_message *p)
{
	s->must_restart = true; /* 11.9.1: the session and its tasks are gone */
	while (s->conns) {	/* conn_fail() takes it off, perhaps others with it */
		struct conn *c = s->conns->data;
		GError *err = NULL;

		c->drop_wait_s = p->parameter2;
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET,
				"the target says that it drops all connections");
		conn_fail(c, err);
	}
}

static void on_async_message(struct conn *c, const uint8_t *bhs)
{
	struct session *s = c->session;
	struct pdu_async_message p;

	pdu_get_async_message(bhs, &p);
	if (!conn_take_stat_sn(c, bhs))
		return;
	session_window(s, p.exp_cmd_sn, p.max_cmd_sn);
	if (s->ops && s->ops->async)
		s->ops->async(s, &p, c->control, MIN(p.data_bytes, CONN_CONTROL_BYTES), s->arg);
	switch (p.event) {
	case ISCSI_ASYNC_LOGOUT: /* Parameter3: seconds we have */
		session_event(s, c, EVENT_LOGOUT_REQUESTED, "%s asks for a logout within %u s",
			      s->config.target_name ? s->config.target_name : c->remote,
			      p.parameter3);
		conn_logout_requested(c, (int64_t)p.parameter3 * 1000);
		break;
	case ISCSI_ASYNC_NEGOTIATE: /* Parameter3: the same */
		session_negotiation_requested(s, c, p.parameter3);
		break;
	case ISCSI_ASYNC_DROP_CONNECTION: /* Parameter1: which */
		conn_dropped(s, &p);
		break;
	case ISCSI_ASYNC_DROP_SESSION:
		session_dropped(s, &p);
		break;
	default:
		break;
	}
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
	[ISCSI_REJECT] = conn_on_reject,
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
	if (!handlers[pdu_opcode(bhs)]) {
		conn_refuse_pdu(c, EVENT_INVALID_OPCODE, bhs, "%s: not in full feature phase",
				pdu_name(pdu_opcode(bhs)));
		return RX_STOP;
	}
	problem = pdu_check(bhs, PDU_FROM_TARGET, rx->max_data_bytes);
	if (problem) {
		conn_refuse_pdu(c, EVENT_INVALID_PDU, bhs, "%s: %s", pdu_name(pdu_opcode(bhs)),
				problem);
		return RX_STOP;
	}
	if (pdu_opcode(bhs) == ISCSI_DATA_IN)
		return on_data_in_header(c, bhs, ret_dest, ret_room);
	*ret_dest = c->control;
	*ret_room = CONN_CONTROL_BYTES;
	return RX_OK;
}

/* Does its StatSN count? */
static bool has_stat_sn(const uint8_t *bhs)
{
	return pdu_opcode(bhs) != ISCSI_NOP_IN || pdu_itt(bhs) != ISCSI_TAG_NONE;
}

/* 7.8: the PDU is discarded, its status with it, and asked for once more. */
static void conn_lose_pdu(struct conn *c, const uint8_t *bhs)
{
	struct task *t = c->rx_task;

	c->rx_task = NULL;
	if (pdu_opcode(bhs) == ISCSI_DATA_IN) {
		if (t && c->is_rx_kept)
			conn_ask_for_pdu(c, t, get_be32(bhs + 36), is_last(t, bhs));
		else if (t && !t->data_in.is_resegmented)
			data_in_know(t, get_be32(bhs + 36) + 1, is_last(t, bhs));
		return;
	}
	if (!has_stat_sn(bhs))
		return;
	switch (conn_stat_sn_judge(c, pdu_stat_sn(bhs))) {
	case STAT_SN_NEW:
		conn_stat_sn_lost(c, pdu_stat_sn(bhs));
		break;
	case STAT_SN_OLD:
		break;
	case STAT_SN_WRONG:
		conn_refuse_stat_sn(c, bhs);
		break;
	}
}

static void conn_on_bad_digest(struct conn *c, const uint8_t *bhs)
{
	const char *name = pdu_name(pdu_opcode(bhs));

	c->stats.digest_errors++;
	session_event(c->session, c, EVENT_DATA_DIGEST,
		      "data digest error in a %s: %08x, where the target says %08x", name,
		      c->rx.crc, c->rx.given_crc);
	if (conn_may_recover(c))
		conn_lose_pdu(c, bhs);
	else
		conn_protocol_error(c, "data digest error in a %s", name);
}

static enum rx_verdict conn_on_complete(struct rx *rx, const uint8_t *bhs, bool is_digest_ok)
{
	struct conn *c = conn_of(rx);

	c->last_rx_us = loop_now_us(c->session->loop);
	if (c->state == CONN_IN_LOGIN) {
		conn_login_progress(c, bhs, pdu_data_bytes(bhs));
	} else if (!is_digest_ok) {
		conn_on_bad_digest(c, bhs);
	} else {
		handlers[pdu_opcode(bhs)](c, bhs);
	}
	/* Whatever happened above may have closed us; the memory stays until the turn ends. */
	return c->state == CONN_CLEANUP ? RX_STOP : RX_OK;
}

static void conn_on_bad_header(struct rx *rx, const uint8_t *bhs, enum rx_fault fault)
{
	struct conn *c = conn_of(rx);
	char header[CONN_HEADER_TEXT];

	conn_format_header(header, bhs);
	if (fault == RX_FAULT_DIGEST) {
		c->stats.header_digest_errors++;
		session_event(c->session, c, EVENT_HEADER_DIGEST, "header digest error; header %s",
			      header);
	} else {
		session_event(c->session, c, EVENT_SEGMENT_TOO_LONG,
			      "data segment of %u bytes, more than our %u; header %s",
			      pdu_data_bytes(bhs), rx->max_data_bytes, header);
	}
}

const struct rx_ops conn_rx_ops = {
	.header = conn_on_header,
	.complete = conn_on_complete,
	.bad_header = conn_on_bad_header,
};
