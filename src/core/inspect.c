/* SPDX-License-Identifier: BSD-2-Clause */
/* What people ask a unit: one query, whose answer goes into the reply; and pings of a
 * connection. An inspection lives from its start to the callback or the cancel; it holds
 * references of the operation, and of the unit or connection, and the end of the daemon waits
 * for it (its session is closed by then, so that is soon). */
#include "core/inspect.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/query.h"
#include "core/target.h"
#include "scsi/cdb.h"

#define INQUIRY_BYTES 252
#define INQUIRY_BYTES_LONG 4096
#define SPC_3 5
#define LIST_BYTES 65536
#define PING_RETRY_MS 10 /* the keep-alive's own ping is under way */
#define PINGS_MAX 8	 /* of a connection: they take turns by asking again */

/* ---- one query ---- */

struct inspection {
	struct lun *lun;
	struct operation *op;
	struct query *query;
	int page;
	/* Puts the answer into the reply. 0 or -errno: not understood. */
	int (*tell)(struct inspection *i, const struct query_answer *a);
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

static void on_answer(void *arg, const struct query_answer *a)
{
	struct inspection *i = arg;
	GError *err = NULL;
	int r = a->result;

	i->query = NULL;
	if (r == 0)
		r = i->tell(i, a);
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

static void inspect(struct lun *l, int page, const uint8_t *cdb, unsigned cdb_bytes,
		    uint32_t data_bytes,
		    int (*tell)(struct inspection *i, const struct query_answer *a),
		    struct operation *op)
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
	i->page = page;
	i->tell = tell;
	daemon_hold(l->target->daemon);
	operation_step(op, on_cancel, i);
	i->query = query_start(p->session, p->wire, cdb, cdb_bytes, data_bytes, on_answer, i);
}

static void tell_data(struct operation *op, const struct query_answer *a)
{
	g_autofree char *hex = text_encode_hex(a->data, a->bytes);

	operation_result(op, "bytes", "%u", a->bytes);
	operation_result(op, "data", "%s", hex);
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

/* ---- INQUIRY ---- */

static int tell_standard(struct inspection *i, const struct query_answer *a)
{
	struct inquiry q;
	int r = inquiry_decode(a->data, a->bytes, &q);

	if (r < 0)
		return r;
	operation_result(i->op, "qualifier", "%u", q.qualifier);
	operation_result(i->op, "type", "%s", inquiry_type_name(q.type));
	operation_result(i->op, "version", "%u", q.version);
	operation_result(i->op, "vendor", "%s", q.vendor);
	operation_result(i->op, "product", "%s", q.product);
	operation_result(i->op, "revision", "%s", q.revision);
	tell_data(i->op, a);
	return 0;
}

static void tell_page_text(struct inspection *i, const struct query_answer *a)
{
	char text[256];

	if (i->page == 0x80 && !inquiry_serial(a->data, a->bytes, text, sizeof(text)))
		operation_result(i->op, "serial", "%s", text);
	if (i->page == 0x83 && !inquiry_wwid(a->data, a->bytes, text, sizeof(text)))
		operation_result(i->op, "wwid", "%s", text);
}

static int tell_page(struct inspection *i, const struct query_answer *a)
{
	operation_result(i->op, "page", "0x%02x", (unsigned)i->page);
	tell_page_text(i, a);
	tell_data(i->op, a);
	return 0;
}

void inspect_inquiry(struct lun *l, int page, struct operation *op)
{
	bool is_page = page >= 0;
	uint16_t bytes =
		is_page && l->inquiry.version >= SPC_3 ? INQUIRY_BYTES_LONG : INQUIRY_BYTES;
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_inquiry(cdb, is_page, is_page ? (uint8_t)page : 0, bytes);

	inspect(l, page, cdb, cdb_bytes, bytes, is_page ? tell_page : tell_standard, op);
}

/* ---- READ CAPACITY ---- */

static int tell_capacity(struct inspection *i, const struct query_answer *a)
{
	struct capacity c;
	int r = capacity_decode_16(a->data, a->bytes, &c);

	if (r < 0)
		return r;
	operation_result(i->op, "blocks", "%" G_GUINT64_FORMAT, c.blocks);
	operation_result(i->op, "block_size", "%u", c.block_bytes);
	operation_result(i->op, "size", "%" G_GUINT64_FORMAT, c.blocks * c.block_bytes);
	operation_result(i->op, "physical_block_size", "%" G_GUINT64_FORMAT,
			 (uint64_t)c.block_bytes << c.physical_exponent);
	operation_result(i->op, "thin", "%s", c.is_thin ? "yes" : "no");
	return 0;
}

void inspect_capacity(struct lun *l, struct operation *op)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_read_capacity_16(cdb, 32);

	inspect(l, -1, cdb, cdb_bytes, 32, tell_capacity, op);
}

/* ---- REPORT LUNS ---- */

/* Numbers where there is one, else the eight bytes. */
static void append_lun(GString *out, const uint8_t wire[8])
{
	uint32_t number;

	if (out->len)
		g_string_append_c(out, ',');
	if (lun_decode(wire, &number) == 0) {
		g_string_append_printf(out, "%u", number);
	} else {
		g_autofree char *hex = text_encode_hex(wire, 8);

		g_string_append(out, hex);
	}
}

static int tell_luns(struct inspection *i, const struct query_answer *a)
{
	g_autoptr(GString) out = g_string_new(NULL);
	size_t count = luns_count(a->data, a->bytes);
	uint32_t needed;
	uint8_t wire[8];

	if (luns_needed(a->data, a->bytes, &needed) < 0)
		return -EPROTO;
	for (size_t k = 0; k < count; k++) {
		luns_get(a->data, k, wire);
		append_lun(out, wire);
	}
	operation_result(i->op, "count", "%u", (needed - 8) / 8);
	operation_result(i->op, "luns", "%s", out->str);
	return 0;
}

void inspect_luns(struct lun *l, struct operation *op)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_report_luns(cdb, LIST_BYTES);

	inspect(l, -1, cdb, cdb_bytes, LIST_BYTES, tell_luns, op);
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
