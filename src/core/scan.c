/* SPDX-License-Identifier: BSD-2-Clause */
/* The LUN scan: which units does a session show, and what do they tell of themselves?
 *
 * A scan goes in rounds: REPORT LUNS (to LUN 0, which answers it even if there is no unit,
 * SAM-5 4.7.4; else to the well-known unit; else LUN 0 is all there is), then the units of the
 * list, SCAN_PARALLEL at a time, each by the table of steps. A step that fails does not fail
 * the scan. Another round follows when the list changed meanwhile (a unit attention tells), or
 * when someone asked for a scan during this one; in it, only units not probed yet are.
 *
 * What is found goes to lun_found() as soon as a unit has been probed, what is not to
 * lun_missing(). At most one scan of a nexus is under way: nexus->scan. It holds a reference of
 * the session, and of each operation that waits for its end. Every command is a query, so a
 * scan can end at any time. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/query.h"
#include "core/target.h"
#include "scsi/cdb.h"

#define SCAN_PARALLEL 8
#define ROUNDS_MAX 4		 /* that the target asks for; a person may have more */
#define LIST_BYTES_FIRST 4096	 /* 511 units */
#define LIST_BYTES_MAX (8 << 20) /* a million units: more is no list but an attack */
#define PAGE_BYTES 252
#define PAGE_LONG_BYTES 2048 /* VPD 83; SPC-3 and later have two bytes of length */
#define SPC_3 5
#define SPC 3
#define TYPE_DISK 0x00
#define TYPE_UNKNOWN 0x1f
#define QUALIFIER_NONE 3 /* no unit can be here */
#define ALL (-1)

struct unit {
	uint32_t number;
	uint8_t wire[8];
};

/* One unit being looked at. */
struct probe {
	struct scan *scan;
	struct query *query; /* NULL: free, or between two steps */
	bool is_busy;
	unsigned step;
	struct lun_facts facts;
	uint8_t pages[PAGE_BYTES]; /* VPD 00 */
	uint32_t pages_bytes;
	bool is_missing;
	bool is_silent;	  /* not even INQUIRY */
	bool is_doubtful; /* a page with its identity could not be had this time */
	bool is_not_ready;
};

struct scan {
	struct nexus *nexus;
	struct session *session;
	struct loop_call call; /* begins a round */
	GQueue operations;
	int64_t only; /* number of the one unit to look at, or ALL */
	bool is_again;
	unsigned rounds;
	unsigned seen; /* unit attentions of this round */
	struct query *list;
	uint32_t list_bytes;
	unsigned way;
	GArray *units; /* of struct unit: this round's */
	unsigned next;
	GHashTable *probed; /* numbers */
	struct probe probes[SCAN_PARALLEL];
	unsigned running;
};

/* ---- the steps of a unit ---- */

static bool has_page(const struct probe *p, uint8_t page)
{
	if (p->pages_bytes)
		return inquiry_has_page(p->pages, p->pages_bytes, page);
	/* Some that have them do not list them. */
	return p->facts.inquiry.version >= SPC && (page == 0x80 || page == 0x83);
}

static bool is_disk(const struct probe *p)
{
	return p->facts.inquiry.type == TYPE_DISK && !p->facts.inquiry.qualifier;
}

static unsigned build_inquiry(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	(void)p;
	*ret_bytes = PAGE_BYTES;
	return cdb_inquiry(cdb, false, 0, PAGE_BYTES);
}

static void take_inquiry(struct probe *p, const struct query_answer *a)
{
	if (query_is_no_unit(a)) {
		p->is_missing = true;
	} else if (a->result < 0 || inquiry_decode(a->data, a->bytes, &p->facts.inquiry) < 0) {
		p->is_silent = true;
		p->facts.inquiry.type = TYPE_UNKNOWN;
		p->facts.not_ready = a->result < 0 ? -a->result : EPROTO;
	} else if (p->facts.inquiry.qualifier == QUALIFIER_NONE) {
		p->is_missing = true;
	} else if (p->facts.inquiry.qualifier) {
		p->facts.not_ready = ENXIO; /* could be here, but is not connected */
	}
}

static unsigned build_pages(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	(void)p;
	*ret_bytes = PAGE_BYTES;
	return cdb_inquiry(cdb, true, 0x00, PAGE_BYTES);
}

static void take_pages(struct probe *p, const struct query_answer *a)
{
	if (a->result < 0)
		return;
	p->pages_bytes = MIN(a->bytes, PAGE_BYTES);
	memcpy(p->pages, a->data, p->pages_bytes);
}

/* "Illegal request" is an answer: there is no such page. Anything else leaves it open. */
static bool is_refused(const struct query_answer *a)
{
	return a->has_response && a->sense.is_valid &&
	       a->sense.key == SENSE_KEY_ILLEGAL_REQUEST;
}

static unsigned build_serial(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return has_page(p, 0x80) ? cdb_inquiry(cdb, true, 0x80, PAGE_BYTES) : 0;
}

static void take_serial(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		inquiry_serial(a->data, a->bytes, p->facts.serial, sizeof(p->facts.serial));
	else if (!is_refused(a))
		p->is_doubtful = true;
}

static unsigned build_wwid(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	uint16_t bytes = p->facts.inquiry.version >= SPC_3 ? PAGE_LONG_BYTES : PAGE_BYTES;

	*ret_bytes = bytes;
	return has_page(p, 0x83) ? cdb_inquiry(cdb, true, 0x83, bytes) : 0;
}

static void take_wwid(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		inquiry_wwid(a->data, a->bytes, p->facts.wwid, sizeof(p->facts.wwid));
	else if (!is_refused(a))
		p->is_doubtful = true;
}

static unsigned build_limits(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return is_disk(p) && has_page(p, 0xb0) ? cdb_inquiry(cdb, true, 0xb0, PAGE_BYTES) : 0;
}

static void take_limits(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		inquiry_block_limits(a->data, a->bytes, &p->facts.limits);
}

static unsigned build_ready(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = 0;
	return is_disk(p) ? cdb_test_unit_ready(cdb) : 0;
}

static void take_ready(struct probe *p, const struct query_answer *a)
{
	if (!a->result)
		return;
	p->facts.not_ready = -a->result;
	/* One that has been busy all the time will not get ready for the next step. */
	p->is_not_ready =
		a->has_response && sense_judge(a->status, &a->sense).class == SENSE_RETRY_LATER;
}

static unsigned build_capacity_16(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = 32;
	return is_disk(p) && !p->is_not_ready ? cdb_read_capacity_16(cdb, 32) : 0;
}

/* @decoded: what the decoder said. */
static void take_capacity(struct probe *p, const struct query_answer *a, int decoded)
{
	p->facts.has_capacity = !a->result && !decoded;
	if (!p->facts.has_capacity && !p->facts.not_ready)
		p->facts.not_ready = a->result ? -a->result : -decoded;
}

static void take_capacity_16(struct probe *p, const struct query_answer *a)
{
	int r = a->result ? 0 : capacity_decode_16(a->data, a->bytes, &p->facts.capacity);

	/* A failure counts when READ CAPACITY(10) fails, too. */
	if (!a->result && !r)
		take_capacity(p, a, r);
}

static unsigned build_capacity_10(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = 8;
	return is_disk(p) && !p->is_not_ready && !p->facts.has_capacity
		       ? cdb_read_capacity_10(cdb)
		       : 0;
}

static void take_capacity_10(struct probe *p, const struct query_answer *a)
{
	take_capacity(p, a,
		      a->result ? 0
				: capacity_decode_10(a->data, a->bytes, &p->facts.capacity));
}

static bool wants_mode(const struct probe *p)
{
	return is_disk(p) && !p->is_not_ready && !p->facts.has_mode;
}

static unsigned build_mode_6(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return wants_mode(p) ? cdb_mode_sense_6(cdb, true, 0x08, PAGE_BYTES) : 0;
}

static void take_mode_6(struct probe *p, const struct query_answer *a)
{
	p->facts.has_mode = !a->result && !mode_decode_6(a->data, a->bytes, &p->facts.mode);
}

static unsigned build_mode_10(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return wants_mode(p) ? cdb_mode_sense_10(cdb, true, 0x08, PAGE_BYTES) : 0;
}

static void take_mode_10(struct probe *p, const struct query_answer *a)
{
	p->facts.has_mode = !a->result && !mode_decode_10(a->data, a->bytes, &p->facts.mode);
}

/* No caching page: the header alone tells of write protection. */
static unsigned build_mode_header(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes)
{
	*ret_bytes = PAGE_BYTES;
	return wants_mode(p) ? cdb_mode_sense_6(cdb, false, 0x3f, PAGE_BYTES) : 0;
}

static const struct step {
	const char *name;
	/* The command and the bytes of its answer; 0: not needed. */
	unsigned (*build)(const struct probe *p, uint8_t *cdb, uint32_t *ret_bytes);
	void (*take)(struct probe *p, const struct query_answer *a);
} steps[] = {
	{ "INQUIRY", build_inquiry, take_inquiry },
	{ "INQUIRY page 0x00", build_pages, take_pages },
	{ "INQUIRY page 0x80", build_serial, take_serial },
	{ "INQUIRY page 0x83", build_wwid, take_wwid },
	{ "INQUIRY page 0xb0", build_limits, take_limits },
	{ "TEST UNIT READY", build_ready, take_ready },
	{ "READ CAPACITY(16)", build_capacity_16, take_capacity_16 },
	{ "READ CAPACITY(10)", build_capacity_10, take_capacity_10 },
	{ "MODE SENSE(6)", build_mode_6, take_mode_6 },
	{ "MODE SENSE(10)", build_mode_10, take_mode_10 },
	{ "MODE SENSE(6) all pages", build_mode_header, take_mode_6 },
};

/* ---- the end ---- */

static unsigned count_luns(const struct nexus *n)
{
	unsigned count = 0;

	for (GList *k = n->target->luns; k; k = k->next)
		count += lun_has_session(k->data, n->session);
	return count;
}

static void scan_free(struct scan *s)
{
	for (unsigned i = 0; i < SCAN_PARALLEL; i++)
		query_cancel(s->probes[i].query);
	query_cancel(s->list);
	loop_call_cancel(&s->call);
	g_array_unref(s->units);
	g_hash_table_unref(s->probed);
	object_unref(&s->session->obj);
	g_free(s);
}

/* @err NULL: it went well. */
static void scan_end(struct scan *s, const GError *err)
{
	struct operation *op;
	unsigned count = count_luns(s->nexus);

	s->nexus->scan = NULL;
	if (!err)
		s->nexus->is_scanned = true;
	while ((op = g_queue_pop_head(&s->operations))) {
		if (!err)
			operation_result(op, "luns", "%u", count);
		operation_step(op, NULL, NULL);
		operation_finish(op, err ? g_error_copy(err) : NULL);
		operation_unref(op);
	}
	scan_free(s);
}

void lun_scan_cancel(struct scan *s)
{
	const GError *why = s->session->why;
	GError *err = NULL;

	error_set_errno(&err, why ? error_info_of(why)->code : ISDSC_CONNECTION_FAILED,
			why ? error_errno(why) : EIO,
			"%s: session %u ended while its units were looked at%s%s",
			s->nexus->target->name, s->session->sid, why ? ": " : "",
			why ? why->message : "");
	scan_end(s, err);
	g_error_free(err);
}

/* ---- units ---- */

static void probe_next(struct probe *p);
static void scan_fill(struct scan *s);

/* The unit told less than before, for this time: it is what it was. */
static void keep_identity(struct probe *p, const struct lun *l)
{
	memcpy(p->facts.serial, l->serial, sizeof(l->serial));
	memcpy(p->facts.wwid, l->wwid, sizeof(l->wwid));
}

static void probe_end(struct probe *p)
{
	struct scan *s = p->scan;
	struct nexus *n = s->nexus;
	struct lun *l = target_find_lun(n->target, p->facts.number);
	bool is_known = l && lun_has_session(l, n->session);

	p->is_busy = false;
	s->running--;
	if (is_known && p->is_doubtful)
		keep_identity(p, l);
	if (p->is_missing && is_known)
		lun_missing(n, l);
	else if (p->is_silent && is_known)
		l->not_ready = p->facts.not_ready;
	else if (!p->is_missing)
		lun_found(n, &p->facts);
	scan_fill(s);
}

static void on_answer(void *arg, const struct query_answer *a)
{
	struct probe *p = arg;
	const struct step *step = &steps[p->step];

	p->query = NULL;
	if (a->result == -ENOTCONN) {
		lun_scan_cancel(p->scan);
		return;
	}
	p->scan->seen |= a->seen;
	if (a->result < 0)
		log_debug("%s: lun %u: %s: %s", p->scan->nexus->target->name, p->facts.number,
			  step->name, a->text);
	step->take(p, a);
	p->step++;
	probe_next(p);
}

static void probe_next(struct probe *p)
{
	bool is_over = p->is_missing || p->is_silent;

	for (; p->step < G_N_ELEMENTS(steps) && !is_over; p->step++) {
		uint8_t cdb[TASK_CDB_MAX];
		uint32_t bytes;
		unsigned cdb_bytes = steps[p->step].build(p, cdb, &bytes);

		if (!cdb_bytes)
			continue;
		p->query = query_start(p->scan->session, p->facts.wire, cdb, cdb_bytes, bytes,
				       on_answer, p);
		return;
	}
	probe_end(p);
}

static void probe_start(struct probe *p, struct scan *s, const struct unit *u)
{
	memset(p, 0, sizeof(*p));
	p->scan = s;
	p->is_busy = true;
	p->facts.number = u->number;
	memcpy(p->facts.wire, u->wire, sizeof(u->wire));
	s->running++;
	g_hash_table_add(s->probed, GUINT_TO_POINTER(u->number));
	probe_next(p);
}

static struct probe *free_probe(struct scan *s)
{
	for (unsigned i = 0; i < SCAN_PARALLEL; i++)
		if (!s->probes[i].is_busy)
			return &s->probes[i];
	return NULL;
}

/* Keep as many units under way as may be. The first command of a unit is a queued query, so
 * this does not come back to itself. */
static void scan_fill(struct scan *s)
{
	struct probe *p;

	while (s->next < s->units->len && (p = free_probe(s))) {
		const struct unit *u = &g_array_index(s->units, struct unit, s->next++);

		if (!g_hash_table_contains(s->probed, GUINT_TO_POINTER(u->number)))
			probe_start(p, s, u);
	}
	if (s->running)
		return;
	if (s->seen & 1u << SENSE_LUNS_CHANGED && s->rounds < ROUNDS_MAX) {
		s->is_again = true;
		s->only = ALL;
	}
	if (s->is_again)
		loop_call_queue(s->session->loop, &s->call);
	else
		scan_end(s, NULL);
}

/* ---- the list ---- */

static const struct {
	uint8_t lun[8];
} ways[] = {
	{ { 0 } },
	{ { 0xc1, 0x01 } }, /* the REPORT LUNS well-known unit, SPC-4 8.2 */
};

static void on_list(void *arg, const struct query_answer *a);

static void ask_list(struct scan *s)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_report_luns(cdb, s->list_bytes);

	s->list = query_start(s->session, ways[s->way].lun, cdb, cdb_bytes, s->list_bytes,
			      on_list, s);
}

static void add_unit(struct scan *s, GHashTable *listed, const uint8_t wire[8])
{
	struct unit u;

	if (lun_decode(wire, &u.number) < 0 ||
	    !g_hash_table_add(listed, GUINT_TO_POINTER(u.number)))
		return; /* well-known, of several levels, or told twice */
	memcpy(u.wire, wire, sizeof(u.wire));
	g_array_append_val(s->units, u);
}

static void drop_missing(struct scan *s, GHashTable *listed)
{
	struct nexus *n = s->nexus;
	unsigned dropped = 0;

	for (GList *k = n->target->luns, *next; k; k = next) {
		struct lun *l = k->data;

		next = k->next;
		if (g_hash_table_contains(listed, GUINT_TO_POINTER(l->number)) ||
		    !lun_has_session(l, n->session))
			continue;
		lun_missing(n, l);
		dropped++;
	}
	if (dropped)
		log_info("%s: %u units are not shown any more", n->target->name, dropped);
}

static void take_list(struct scan *s, const uint8_t *data, uint32_t bytes)
{
	g_autoptr(GHashTable) listed = g_hash_table_new(NULL, NULL);
	uint8_t wire[8];

	for (size_t i = 0; i < luns_count(data, bytes); i++) {
		luns_get(data, i, wire);
		add_unit(s, listed, wire);
	}
	drop_missing(s, listed);
	scan_fill(s);
}

/* The session cannot tell (this time): what it showed before is looked at; else perhaps there
 * is a LUN 0. */
static void guess_list(struct scan *s)
{
	static const uint8_t lun_0[8];
	g_autoptr(GHashTable) listed = g_hash_table_new(NULL, NULL);

	for (GList *k = s->nexus->target->luns; k; k = k->next) {
		const struct lun *l = k->data;

		if (lun_has_session(l, s->session))
			add_unit(s, listed, l->wire);
	}
	if (!s->units->len)
		add_unit(s, listed, lun_0);
	scan_fill(s);
}

static void on_list(void *arg, const struct query_answer *a)
{
	struct scan *s = arg;
	uint32_t needed = 0;

	s->list = NULL;
	if (a->result == -ENOTCONN) {
		lun_scan_cancel(s);
		return;
	}
	s->seen |= a->seen;
	if (a->result < 0 || luns_needed(a->data, a->bytes, &needed) < 0) {
		log_debug("%s: REPORT LUNS: %s", s->nexus->target->name,
			  a->result < 0 ? a->text : "too short an answer");
		s->way++;
		if (s->way < G_N_ELEMENTS(ways))
			ask_list(s);
		else
			guess_list(s);
		return;
	}
	if (needed > s->list_bytes && s->list_bytes < LIST_BYTES_MAX) { /* it did not fit */
		s->list_bytes = MIN(MAX(needed, 2 * s->list_bytes), LIST_BYTES_MAX);
		ask_list(s);
		return;
	}
	take_list(s, a->data, a->bytes);
}

static void scan_round(struct loop_call *call)
{
	struct scan *s = container_of(call, struct scan, call);

	s->is_again = false;
	s->rounds++;
	s->seen = 0;
	s->way = 0;
	s->list_bytes = LIST_BYTES_FIRST;
	s->next = 0;
	g_array_set_size(s->units, 0);
	if (s->only == ALL) {
		ask_list(s);
	} else {
		struct unit u = { .number = (uint32_t)s->only };
		struct lun *l = target_find_lun(s->nexus->target, u.number);

		if (l) {
			memcpy(u.wire, l->wire, sizeof(u.wire));
			g_array_append_val(s->units, u);
		}
		scan_fill(s);
	}
}

/* ---- for the others ---- */

static void on_cancel(struct operation *op)
{
	struct scan *s = op->step;

	g_queue_remove(&s->operations, op);
	operation_finish(op, NULL);
	operation_unref(op);
}

static void wait_for(struct scan *s, struct operation *op)
{
	operation_ref(op);
	operation_step(op, on_cancel, s);
	g_queue_push_tail(&s->operations, op);
}

static struct scan *scan_new(struct nexus *n, int64_t only)
{
	struct scan *s = g_new0(struct scan, 1);

	s->nexus = n;
	s->session = n->session;
	object_ref(&s->session->obj);
	s->only = only;
	s->units = g_array_new(FALSE, FALSE, sizeof(struct unit));
	s->probed = g_hash_table_new(NULL, NULL);
	g_queue_init(&s->operations);
	loop_call_init(&s->call, scan_round);
	loop_call_queue(s->session->loop, &s->call);
	n->scan = s;
	return s;
}

struct scan *lun_scan(struct nexus *n, struct operation *op)
{
	if (!n->scan) {
		scan_new(n, ALL);
	} else {
		n->scan->is_again = true;
		n->scan->only = ALL;
		g_hash_table_remove_all(n->scan->probed);
	}
	wait_for(n->scan, op);
	return n->scan;
}

static void rescan_by(struct nexus *n, struct lun *l, struct operation *op)
{
	struct scan *s = n->scan;

	if (!s) {
		s = scan_new(n, l->number);
	} else {
		s->is_again = true;
		s->only = s->only == l->number ? s->only : ALL;
		g_hash_table_remove(s->probed, GUINT_TO_POINTER(l->number));
	}
	wait_for(s, op);
}

void lun_rescan(struct lun *l, struct operation *op)
{
	struct path *p = lun_usable_path(l);
	struct nexus *n = p ? nexus_of_session(p->session) : NULL;
	GError *err = NULL;

	if (op)
		operation_ref(op);
	else
		op = operation_new(l->obj.loop, NULL, NULL);
	if (n) {
		rescan_by(n, l, op);
	} else {
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: lun %u: no session to look at it by", l->target->name,
				l->number);
		operation_finish(op, err);
	}
	operation_unref(op);
}
