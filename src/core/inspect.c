/* SPDX-License-Identifier: BSD-2-Clause */
/* What people ask a unit: a query, whose answer goes into the reply (perhaps a second one, when
 * there is more than was asked for, or another way to ask); and pings of a connection. An inspection lives from its start to the callback or the cancel; it holds
 * references of the operation, and of the unit or connection, and the end of the daemon waits
 * for it (its session is closed by then, so that is soon). */
#include "core/inspect.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/query.h"
#include "core/target.h"
#include "core/tell.h"
#include "scsi/cdb.h"

#define INQUIRY_BYTES 252
#define INQUIRY_BYTES_LONG 4096
/* The allocation length has one byte before SPC-3, and two from then on. */
#define INQUIRY_BYTES_MAX 255
#define INQUIRY_BYTES_LONG_MAX 65535
#define SPC_3 5
#define LIST_BYTES 65536
#define CAPACITY_10_BYTES 8
#define CAPACITY_16_BYTES 32
#define PING_RETRY_MS 10 /* the keep-alive's own ping is under way */
#define PINGS_MAX 8	 /* of a connection: they take turns by asking again */

/* ---- one query, or two ---- */

struct inspection;

/* What is asked, and how the answer is told. */
struct question {
	unsigned (*build)(const struct inspection *i, uint8_t *cdb);
	/* 0 or -errno: not understood, and nothing was told. */
	int (*tell)(const struct inspection *i, const struct query_answer *a, struct tell *t);
	/* What the whole answer takes, as its begin says; NULL: what was asked for. */
	uint32_t (*needed)(const struct inspection *i, const struct query_answer *a);
	/* Asked when the target does not know this one; NULL: nothing. */
	const struct question *otherwise;
	uint32_t bytes; /* asked for at first */
};

struct inspection {
	struct lun *lun;
	struct operation *op;
	struct query *query;
	const struct question *question;
	uint32_t bytes; /* asked for */
	uint32_t bytes_max;
	bool is_second; /* asked again, for the whole answer */
	int page;
	bool is_json;
};

static void inspection_end(struct inspection *i, GError *err)
{
	daemon_release(i->lun->target->daemon);
	operation_step(i->op, NULL, NULL);
	operation_finish(i->op, err);
	operation_unref(i->op);
	object_unref(&i->lun->obj);
	g_free(i);
}

static int tell_answer(struct inspection *i, const struct query_answer *a)
{
	struct tell *t = tell_new(i->op, i->is_json);
	int r = i->question->tell(i, a, t);

	if (r < 0)
		tell_drop(t);
	else
		tell_end(t);
	return r;
}

static void ask(struct inspection *i, struct path *p);

/* There is more, or another way to ask: false, and nothing is under way. */
static bool ask_again(struct inspection *i, const struct query_answer *a)
{
	const struct question *q = i->question;
	struct path *p = lun_usable_path(i->lun);
	uint32_t needed;

	if (!p)
		return false;
	if (a->result < 0) {
		if (!q->otherwise || !query_is_refused(a))
			return false;
		i->question = q->otherwise;
		i->bytes = q->otherwise->bytes;
		ask(i, p);
		return true;
	}
	needed = q->needed && !i->is_second ? MIN(q->needed(i, a), i->bytes_max) : 0;
	if (needed <= i->bytes)
		return false;
	i->bytes = needed;
	i->is_second = true;
	ask(i, p);
	return true;
}

static void on_answer(void *arg, const struct query_answer *a)
{
	struct inspection *i = arg;
	GError *err = NULL;
	int r = a->result;

	i->query = NULL;
	if (ask_again(i, a))
		return;
	if (r == 0)
		r = tell_answer(i, a);
	if (r < 0)
		error_set_errno(&err, ISDSC_SCSI_REQUEST_FAILED, -r, "%s: %s",
				i->lun->disk->name,
				a->result < 0 ? a->text : "the answer is not understood");
	inspection_end(i, err);
}

static void on_cancel(struct operation *op)
{
	struct inspection *i = op->step;

	query_cancel(i->query);
	inspection_end(i, NULL);
}

static void ask(struct inspection *i, struct path *p)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = i->question->build(i, cdb);

	i->query = query_start(p->session, p->wire, cdb, cdb_bytes, i->bytes, on_answer, i);
}

/* @bytes, @bytes_max: asked for at first, and at most. */
static void inspect(struct lun *l, const struct question *q, int page, uint32_t bytes,
		    uint32_t bytes_max, bool is_json, struct operation *op)
{
	struct path *p = lun_usable_path(l);
	struct inspection *i;
	GError *err = NULL;

	if (!p) {
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: no session to ask it by", l->disk->name);
		operation_finish(op, err);
		return;
	}
	i = g_new0(struct inspection, 1);
	i->lun = l;
	object_ref(&l->obj);
	i->op = operation_ref(op);
	i->question = q;
	i->page = page;
	i->bytes = bytes;
	i->bytes_max = bytes_max;
	i->is_json = is_json;
	daemon_hold(l->target->daemon);
	operation_step(op, on_cancel, i);
	ask(i, p);
}

static void tell_data(struct tell *t, const struct query_answer *a)
{
	tell_number(t, "bytes", a->bytes);
	tell_bytes(t, "data", a->data, a->bytes);
}

/* ---- INQUIRY ---- */

static unsigned build_inquiry(const struct inspection *i, uint8_t *cdb)
{
	bool is_page = i->page >= 0;

	return cdb_inquiry(cdb, is_page, is_page ? (uint8_t)i->page : 0, (uint16_t)i->bytes);
}

static uint32_t inquiry_needed(const struct inspection *i, const struct query_answer *a)
{
	return describe_inquiry_bytes(i->page >= 0, a->data, a->bytes);
}

static int tell_inquiry(const struct inspection *i, const struct query_answer *a,
			struct tell *t)
{
	const char *name = i->page >= 0 ? describe_page_name((uint8_t)i->page) : NULL;
	int r;

	if (i->page >= 0) {
		tell_hex(t, "page", (uint64_t)i->page);
		if (name)
			tell_text(t, "page_name", name);
		describe_page((uint8_t)i->page, a->data, a->bytes, tell_sink(t));
	} else {
		r = describe_inquiry(a->data, a->bytes, tell_sink(t));
		if (r < 0)
			return r;
	}
	tell_number(t, "length", inquiry_needed(i, a));
	tell_data(t, a);
	return 0;
}

void inspect_inquiry(struct lun *l, int page, bool is_json, struct operation *op)
{
	static const struct question question = {
		.build = build_inquiry,
		.tell = tell_inquiry,
		.needed = inquiry_needed,
	};
	bool is_new = l->inquiry.version >= SPC_3;

	inspect(l, &question, page,
		page >= 0 && is_new ? INQUIRY_BYTES_LONG : INQUIRY_BYTES,
		is_new ? INQUIRY_BYTES_LONG_MAX : INQUIRY_BYTES_MAX, is_json, op);
}

/* ---- READ CAPACITY ---- */

static unsigned build_capacity_16(const struct inspection *i, uint8_t *cdb)
{
	return cdb_read_capacity_16(cdb, i->bytes);
}

static int tell_capacity_16(const struct inspection *i, const struct query_answer *a,
			    struct tell *t)
{
	int r = describe_capacity_16(a->data, a->bytes, tell_sink(t));

	(void)i;
	if (r == 0)
		tell_data(t, a);
	return r;
}

static unsigned build_capacity_10(const struct inspection *i, uint8_t *cdb)
{
	(void)i;
	return cdb_read_capacity_10(cdb);
}

static int tell_capacity_10(const struct inspection *i, const struct query_answer *a,
			    struct tell *t)
{
	int r = describe_capacity_10(a->data, a->bytes, tell_sink(t));

	(void)i;
	if (r == 0)
		tell_data(t, a);
	return r;
}

void inspect_capacity(struct lun *l, bool is_json, struct operation *op)
{
	static const struct question ten = {
		.build = build_capacity_10,
		.tell = tell_capacity_10,
		.bytes = CAPACITY_10_BYTES,
	};
	static const struct question sixteen = {
		.build = build_capacity_16,
		.tell = tell_capacity_16,
		.otherwise = &ten,
	};

	inspect(l, &sixteen, -1, CAPACITY_16_BYTES, CAPACITY_16_BYTES, is_json, op);
}

/* ---- REPORT LUNS ---- */

static unsigned build_luns(const struct inspection *i, uint8_t *cdb)
{
	return cdb_report_luns(cdb, i->bytes);
}

static int tell_luns(const struct inspection *i, const struct query_answer *a, struct tell *t)
{
	int r = describe_luns(a->data, a->bytes, tell_sink(t));

	(void)i;
	if (r == 0)
		tell_data(t, a);
	return r;
}

void inspect_luns(struct lun *l, bool is_json, struct operation *op)
{
	static const struct question question = { .build = build_luns, .tell = tell_luns };

	inspect(l, &question, -1, LIST_BYTES, LIST_BYTES, is_json, op);
}

/* ---- LOGICAL UNIT RESET ---- */

struct reset {
	struct lun *lun;
	struct operation *op;
};

static void on_reset(struct session *s, int result, void *arg)
{
	struct reset *r = arg;
	GError *err = NULL;

	(void)s;
	if (result < 0)
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: the connection was lost during the reset", r->lun->disk->name);
	else if (result != ISCSI_TMF_COMPLETE)
		error_set_errno(&err, ISDSC_REQUEST_NOT_SUPPORTED,
				result == ISCSI_TMF_UNSUPPORTED ? EOPNOTSUPP : EIO,
				"%s: the target refused the reset, response %d", r->lun->disk->name,
				result);
	daemon_release(r->lun->target->daemon);
	operation_finish(r->op, err);
	operation_unref(r->op);
	object_unref(&r->lun->obj);
	g_free(r);
}

/* Cannot be taken back: who no longer waits for it lets it go on. */
void inspect_reset(struct lun *l, struct operation *op)
{
	struct path *p = lun_usable_path(l);
	struct reset *r = g_new0(struct reset, 1);
	GError *err = NULL;

	r->lun = l;
	r->op = op;
	if (p && session_tmf(p->session, ISCSI_TMF_LOGICAL_UNIT_RESET, p->wire, on_reset, r) == 0) {
		object_ref(&l->obj);
		operation_ref(op);
		daemon_hold(l->target->daemon);
		return;
	}
	g_free(r);
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO, "%s: no session to reset it by",
			l->disk->name);
	operation_finish(op, err);
}

/* ---- ping ---- */

struct ping {
	struct daemon *daemon;
	struct conn *conn;
	struct operation *op; /* NULL: cancelled, waits for the callback */
	struct loop_timer again;
	unsigned wanted, done;
	int64_t min_us, max_us, total_us;
	bool is_sent;
};

static void ping_free(struct ping *p)
{
	loop_timer_done(&p->again);
	p->daemon->pings = g_list_remove(p->daemon->pings, p);
	object_unref(&p->conn->obj);
	daemon_release(p->daemon);
	g_free(p);
}

static void ping_end(struct ping *p, GError *err)
{
	if (!err) {
		operation_result(p->op, "count", "%u", p->done);
		operation_result(p->op, "min_us", "%" G_GINT64_FORMAT, p->min_us);
		operation_result(p->op, "avg_us", "%" G_GINT64_FORMAT, p->total_us / p->done);
		operation_result(p->op, "max_us", "%" G_GINT64_FORMAT, p->max_us);
	}
	operation_step(p->op, NULL, NULL);
	operation_finish(p->op, err);
	operation_unref(p->op);
	ping_free(p);
}

static void ping_fail(struct ping *p, int errno_value, const char *why)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, errno_value,
			"connection %u to %s: ping %u of %u: %s", p->conn->cid, p->conn->remote,
			p->done + 1, p->wanted, why);
	ping_end(p, err);
}

static void ping_send(struct ping *p);

static void on_pong(struct conn *c, int64_t rtt_us, void *arg)
{
	struct ping *p = arg;

	(void)c;
	p->is_sent = false;
	if (!p->op) {
		ping_free(p);
		return;
	}
	if (rtt_us < 0) {
		ping_fail(p, EIO, "the connection was lost");
		return;
	}
	p->min_us = p->done ? MIN(p->min_us, rtt_us) : rtt_us;
	p->max_us = MAX(p->max_us, rtt_us);
	p->total_us += rtt_us;
	if (++p->done == p->wanted)
		ping_end(p, NULL);
	else
		loop_timer_start(&p->again, 0); /* not from inside the answer of the last one */
}

static void ping_send(struct ping *p)
{
	int r = conn_ping(p->conn, on_pong, p);

	if (r == 0)
		p->is_sent = true;
	else if (r == -EBUSY)
		loop_timer_start(&p->again, PING_RETRY_MS);
	else
		ping_fail(p, -r, g_strerror(-r));
}

static void on_again(struct loop_timer *timer)
{
	ping_send(container_of(timer, struct ping, again));
}

static void on_ping_cancel(struct operation *op)
{
	struct ping *p = op->step;

	p->op = NULL;
	operation_finish(op, NULL);
	operation_unref(op);
	if (!p->is_sent)
		ping_free(p);
}

static unsigned count_pings(const struct daemon *d, const struct conn *c)
{
	unsigned count = 0;

	for (const GList *l = d->pings; l; l = l->next)
		count += ((const struct ping *)l->data)->conn == c;
	return count;
}

void inspect_ping(struct daemon *d, struct conn *c, unsigned count, struct operation *op)
{
	struct ping *p;
	GError *err = NULL;

	if (count_pings(d, c) >= PINGS_MAX) {
		error_set_errno(&err, ISDSC_SESSION_BUSY, EBUSY,
				"connection %u to %s: %d pings are under way", c->cid,
				c->remote, PINGS_MAX);
		operation_finish(op, err);
		return;
	}
	p = g_new0(struct ping, 1);
	p->daemon = d;
	d->pings = g_list_prepend(d->pings, p);
	daemon_hold(d);
	p->conn = c;
	object_ref(&c->obj);
	p->op = operation_ref(op);
	p->wanted = count;
	loop_timer_init(op->loop, &p->again, on_again);
	operation_step(op, on_ping_cancel, p);
	ping_send(p);
}
