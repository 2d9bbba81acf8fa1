/* SPDX-License-Identifier: BSD-2-Clause */
/* SNACK, the gaps in StatSN, and the quiet watch: see conn_snack.h. */
#include "iscsi/conn_snack.h"

#include <string.h>

#include "base/log.h"
#include "iscsi/conn.h"
#include "iscsi/pdu.h"
#include "iscsi/session.h"

#define STAT_SN_SLACK 1024 /* how far back a duplicate may lie */
#define TRIES_MAX 8	   /* of one SNACK, without a byte between them */

bool conn_may_recover(const struct conn *c)
{
	return c->session->values.error_recovery_level > 0;
}

/* --- sending --- */

static void put_snack(struct conn *c, const struct pdu_snack_request *p)
{
	pdu_put_snack_request(tx_header(&c->tx), p);
	tx_push(&c->tx, 0, NULL, 0, NULL);
}

void conn_build_snacks(struct conn *c)
{
	while (c->snack_count && tx_has_room(&c->tx)) {
		put_snack(c, &c->snacks[c->snack_head]);
		c->snack_head = (c->snack_head + 1) % CONN_SNACKS;
		c->snack_count--;
	}
}

/* A later acknowledgement takes the place of one that still waits. */
static bool merge_ack(struct conn *c, const struct pdu_snack_request *p)
{
	for (unsigned i = 0; i < c->snack_count; i++) {
		struct pdu_snack_request *q = &c->snacks[(c->snack_head + i) % CONN_SNACKS];

		if (p->type == ISCSI_SNACK_DATA_ACK && q->type == p->type && q->ttt == p->ttt &&
		    !memcmp(q->lun, p->lun, sizeof(q->lun))) {
			q->begin_run = p->begin_run;
			return true;
		}
	}
	return false;
}

/* False: one too many; the quiet watch comes back to it. */
static bool send_snack(struct conn *c, struct pdu_snack_request *p)
{
	uint64_t *const counts[] = {
		[ISCSI_SNACK_DATA_R2T] = &c->stats.snacks_data,
		[ISCSI_SNACK_STATUS] = &c->stats.snacks_status,
		[ISCSI_SNACK_DATA_ACK] = &c->stats.snacks_ack,
		[ISCSI_SNACK_R_DATA] = &c->stats.snacks_rdata,
	};

	if (c->state < CONN_LOGGED_IN || c->state == CONN_CLEANUP)
		return false;
	if (merge_ack(c, p))
		return true;
	if (c->snack_count == CONN_SNACKS)
		return false;
	p->exp_stat_sn = c->exp_stat_sn;
	++*counts[p->type];
	log_debug("session %u %s: SNACK type %u, tag 0x%08x, from %u, %u of them", c->session->sid,
		  c->remote, p->type, p->itt, p->begin_run, p->run_length);
	if (!c->snack_count && tx_has_room(&c->tx))
		put_snack(c, p);
	else
		c->snacks[(c->snack_head + c->snack_count++) % CONN_SNACKS] = *p;
	session_want_flush(c->session);
	return true;
}

/* --- StatSN --- */

static bool bit_is_set(const uint64_t *bits, uint32_t stat_sn)
{
	unsigned i = stat_sn % CONN_STAT_WINDOW;

	return bits[i / 64] >> i % 64 & 1;
}

static void bit_put(uint64_t *bits, uint32_t stat_sn, bool is_set)
{
	unsigned i = stat_sn % CONN_STAT_WINDOW;
	uint64_t mask = UINT64_C(1) << i % 64;

	bits[i / 64] = is_set ? bits[i / 64] | mask : bits[i / 64] & ~mask;
}

static bool has_come(const struct conn *c, uint32_t stat_sn)
{
	int32_t ahead = (int32_t)(stat_sn - c->exp_stat_sn);

	return ahead < 0 ||
	       ((uint32_t)ahead < c->stat_ahead && bit_is_set(c->stat_came, stat_sn));
}

enum stat_sn conn_stat_sn_judge(const struct conn *c, uint32_t stat_sn)
{
	int32_t ahead = (int32_t)(stat_sn - c->exp_stat_sn);

	if (!conn_may_recover(c))
		return ahead == 0 ? STAT_SN_NEW : STAT_SN_WRONG;
	if (ahead < -STAT_SN_SLACK || ahead >= CONN_STAT_WINDOW)
		return STAT_SN_WRONG;
	return has_come(c, stat_sn) ? STAT_SN_OLD : STAT_SN_NEW;
}

static void ask_for_status(struct conn *c, uint32_t begin, uint32_t count)
{
	struct pdu_snack_request p = {
		.type = ISCSI_SNACK_STATUS,
		.itt = ISCSI_TAG_NONE,
		.ttt = ISCSI_TAG_NONE,
		.begin_run = begin,
		.run_length = count,
	};

	c->stat_asked_us = loop_now_us(c->session->loop);
	send_snack(c, &p);
}

/* StatSNs below @stat_sn were given out. */
static void extend(struct conn *c, uint32_t stat_sn)
{
	uint32_t ahead = stat_sn - c->exp_stat_sn;

	while (c->stat_ahead < ahead) {
		bit_put(c->stat_came, c->exp_stat_sn + c->stat_ahead, false);
		bit_put(c->stat_held, c->exp_stat_sn + c->stat_ahead, false);
		c->stat_ahead++;
	}
}

/* All from the first that was not known of up to @stat_sn are missing: ask for them. */
static void ask_up_to(struct conn *c, uint32_t stat_sn)
{
	uint32_t begin = c->exp_stat_sn + c->stat_ahead;

	if ((int32_t)(stat_sn - begin) <= 0)
		return;
	extend(c, stat_sn);
	ask_for_status(c, begin, stat_sn - begin);
}

static void advance(struct conn *c)
{
	while (c->stat_ahead && bit_is_set(c->stat_came, c->exp_stat_sn) &&
	       !bit_is_set(c->stat_held, c->exp_stat_sn)) {
		c->exp_stat_sn++;
		c->stat_ahead--;
	}
}

void conn_stat_sn_count(struct conn *c, uint32_t stat_sn, bool is_held)
{
	if (!c->stat_ahead && stat_sn == c->exp_stat_sn && !is_held) {
		c->exp_stat_sn++;
		return;
	}
	if (stat_sn - c->exp_stat_sn < c->stat_ahead)
		c->stats.recovered_pdus++;
	ask_up_to(c, stat_sn);
	extend(c, stat_sn + 1);
	bit_put(c->stat_came, stat_sn, true);
	bit_put(c->stat_held, stat_sn, is_held);
	advance(c);
}

void conn_stat_sn_lost(struct conn *c, uint32_t stat_sn)
{
	if (stat_sn - c->exp_stat_sn < c->stat_ahead)
		ask_for_status(c, stat_sn, 1);
	else
		ask_up_to(c, stat_sn + 1);
}

void conn_stat_sn_told(struct conn *c, uint32_t stat_sn)
{
	if (conn_may_recover(c) && (int32_t)(stat_sn - c->exp_stat_sn) < CONN_STAT_WINDOW)
		ask_up_to(c, stat_sn);
}

bool conn_stat_sn_is_missing(const struct conn *c, uint32_t begin, uint32_t count)
{
	uint32_t left = MIN(count ? count : c->stat_ahead, CONN_STAT_WINDOW);

	while (left--)
		if (!has_come(c, begin++))
			return true;
	return false;
}

/* The first run that is missing, when the last time is long enough ago. False: none is. */
static bool ask_for_status_again(struct conn *c)
{
	uint32_t begin = c->exp_stat_sn, end, past = c->exp_stat_sn + c->stat_ahead;
	int64_t ago_us = loop_now_us(c->session->loop) - c->stat_asked_us;

	while (begin != past && has_come(c, begin))
		begin++;
	if (begin == past)
		return false;
	for (end = begin; end != past && !has_come(c, end);)
		end++;
	if (ago_us >= session_quiet_ms(c->session) * 1000)
		ask_for_status(c, begin, end - begin);
	return true;
}

void conn_hold_stat_sn(struct conn *c, struct task *t, uint32_t stat_sn)
{
	if (t->recovery.is_stat_held) /* 11.16.3: a second response, of the same StatSN */
		return;
	t->recovery.is_stat_held = true;
	t->recovery.stat_sn = stat_sn;
	conn_stat_sn_count(c, stat_sn, true);
}

void conn_release_stat_sn(struct conn *c, struct task *t)
{
	if (!t->recovery.is_stat_held)
		return;
	t->recovery.is_stat_held = false;
	bit_put(c->stat_held, t->recovery.stat_sn, false);
	advance(c);
}

/* --- data --- */

bool conn_has_resized(const struct conn *c, const struct task *t)
{
	return c->recv_changed_us && t->sent_us <= c->recv_changed_us;
}

void conn_heard_of(struct conn *c, struct task *t)
{
	t->quiet_us = loop_now_us(c->session->loop);
	t->is_unproven = false;
	t->recovery.looks = 0;
}

static void send_task_snack(struct conn *c, const struct task *t, enum iscsi_snack type,
			    uint32_t tag, uint32_t begin, uint32_t count)
{
	struct pdu_snack_request p = {
		.type = type,
		.itt = t->itt,
		.ttt = tag,
		.begin_run = begin,
		.run_length = count,
	};

	memcpy(p.lun, t->lun, sizeof(p.lun));
	send_snack(c, &p);
}

/* 11.16.3: our MaxRecvDataSegmentLength is not what it was when the data were sent. All that is not
 * acknowledged comes anew; a status counts only with the tag of this request. */
static void ask_for_segments(struct conn *c, struct task *t)
{
	if (t->covered.count) { /* in any order: what to go back to is not known */
		session_abort_task(c->session, t);
		return;
	}
	data_in_restart(t);
	t->recovery.has_status = false;
	t->recovery.has_ack = false;
	t->recovery.snack_tag++;
	send_task_snack(c, t, ISCSI_SNACK_R_DATA, t->recovery.snack_tag, 0, 0);
}

static void ask_for_run(struct conn *c, struct task *t, uint32_t begin, uint32_t count)
{
	if (t->recovery.is_lost)
		return;
	/* The same, and LIO takes a run that ends with the last PDU for too long. */
	if (begin + count == t->data_in.end_sn)
		count = 0;
	if (conn_has_resized(c, t))
		ask_for_segments(c, t);
	else
		send_task_snack(c, t, ISCSI_SNACK_DATA_R2T, ISCSI_TAG_NONE, begin, count);
}

void conn_want_ack(struct task *t, const uint8_t *bhs)
{
	struct task_recovery *r = &t->recovery;

	r->has_ack = true;
	r->ack_sn = get_be32(bhs + 36) + 1;
	r->ack_ttt = pdu_ttt(bhs);
	memcpy(r->ack_lun, bhs + 8, sizeof(r->ack_lun));
}

/* 11.16.2: only when there is no hole before it. */
static void send_data_ack(struct conn *c, struct task *t)
{
	struct task_recovery *r = &t->recovery;
	struct pdu_snack_request p = {
		.type = ISCSI_SNACK_DATA_ACK,
		.itt = ISCSI_TAG_NONE,
		.ttt = r->ack_ttt,
		.begin_run = t->data_in_sn,
	};

	if (!r->has_ack || t->data_in_sn < r->ack_sn)
		return;
	memcpy(p.lun, r->ack_lun, sizeof(p.lun));
	if (!send_snack(c, &p)) /* with the next PDU, then */
		return;
	r->has_ack = false;
	t->data_in.acked_sn = t->data_in_sn;
	t->data_in.acked_bytes = t->received;
}

void conn_ask_for_data(struct conn *c, struct task *t)
{
	uint32_t begin, count;

	send_data_ack(c, t);
	if (data_in_ask(t, &begin, &count))
		ask_for_run(c, t, begin, count);
}

static bool may_try_again(struct conn *c, struct task *t)
{
	if (++t->recovery.tries <= TRIES_MAX)
		return true;
	log_warning("session %u %s: SNACK for command 0x%02x asked %u times in vain",
		    c->session->sid, c->remote, t->cdb[0], TRIES_MAX);
	session_abort_task(c->session, t);
	return false;
}

void conn_ask_again(struct conn *c, struct task *t)
{
	uint32_t begin, count;

	if (data_in_missing(t, &begin, &count) && may_try_again(c, t)) {
		t->data_in.asked_sn = MAX(t->data_in.asked_sn, begin + count);
		ask_for_run(c, t, begin, count);
	}
}

void conn_ask_for_pdu(struct conn *c, struct task *t, uint32_t sn, bool is_last)
{
	struct data_in *d = &t->data_in;
	uint32_t begin = sn;

	data_in_know(t, sn + 1, is_last);
	if (!d->has_gap && sn > t->data_in_sn) /* and what is missing before it */
		begin = MIN(MAX(t->data_in_sn, d->asked_sn), sn);
	d->asked_sn = MAX(d->asked_sn, sn + 1);
	if (may_try_again(c, t))
		ask_for_run(c, t, begin, sn + 1 - begin);
}

void conn_ask_for_r2t(struct conn *c, struct task *t, uint32_t begin, uint32_t count)
{
	send_task_snack(c, t, ISCSI_SNACK_DATA_R2T, ISCSI_TAG_NONE, begin, count);
}

void conn_forget_recovery(struct task *t)
{
	if (t->conn && t->recovery.is_stat_held)
		conn_release_stat_sn(t->conn, t);
	memset(&t->recovery, 0, sizeof(t->recovery));
	data_in_drop_tail(t);
}

/* --- the quiet watch --- */

/* What @t waits for, as far as we can tell. */
static void ask_in_the_quiet(struct conn *c, struct task *t)
{
	uint32_t begin, count;

	if (ask_for_status_again(c) || t->recovery.has_status)
		return;
	if (t->direction == TASK_WRITE && t->requested < t->data_bytes && !t->bursts_used)
		conn_ask_for_r2t(c, t, t->r2t_sn, 0);
	else if (t->direction == TASK_READ && t->data_in_sn && t->received < t->data_bytes &&
		 !data_in_missing(t, &begin, &count))
		ask_for_run(c, t, t->data_in_sn, 0);
}

/* The answer to a ping has overtaken nothing: what was sent before it is here or lost. */
static void on_pong(struct conn *c, int64_t rtt_us, void *arg)
{
	(void)arg;
	if (rtt_us < 0)
		return;
	list_for_each(pos, &c->outstanding) {
		struct task *t = list_entry(pos, struct task, link);

		if (t->kind == TASK_SCSI && t->state == TASK_SENT && t->recovery.looks == 1) {
			t->recovery.looks++;
			ask_in_the_quiet(c, t);
			if (c->state == CONN_CLEANUP) /* the ladder's last rung: the list is gone */
				return;
		}
	}
}

void conn_look_after(struct conn *c, struct task *t)
{
	uint32_t begin, count;

	if (c->tx.is_blocked) /* nothing of ours gets through anyway */
		return;
	if (!session_is_acknowledged(c->session, t) && !t->data_in_sn && !t->r2t_sn) {
		/* Others wait behind the hole; again, their data would come unexpected. */
		if (t->cmd_sn == c->session->exp_cmd_sn && conn_retry_command(c, t)) {
			t->recovery.looks = 0;
			conn_ping(c, NULL, NULL); /* perhaps its answer is what was lost */
		}
		return;
	}
	t->looked_us = loop_now_us(c->session->loop);
	if (t->recovery.is_lost) {
		session_abort_task(c->session, t);
		return;
	}
	if (data_in_missing(t, &begin, &count)) {
		conn_ask_again(c, t);
		return;
	}
	if (t->recovery.looks++)
		ask_in_the_quiet(c, t);
	else
		conn_ping(c, on_pong, NULL); /* or one is under way already */
}
