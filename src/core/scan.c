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
#include "core/probe.h"
#include "core/query.h"
#include "core/target.h"
#include "scsi/cdb.h"

#define SCAN_PARALLEL 8
#define ROUNDS_MAX 4		 /* that the target asks for; a person may have more */
#define LIST_BYTES_FIRST 4096	 /* 511 units */
#define LIST_BYTES_MAX (8 << 20) /* a million units: more is no list but an attack */
#define ALL (-1)

struct unit {
	uint32_t number;
	uint8_t wire[8];
};

/* Unit attentions after which a unit may be another one. */
#define OTHER_UNITS (1u << SENSE_LUNS_CHANGED | 1u << SENSE_INQUIRY_CHANGED)

/* A place for a unit being looked at. */
struct slot {
	struct probe probe;
	struct scan *scan;
	bool is_busy;
	unsigned doubts; /* of its path when it began */
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
	struct slot slots[SCAN_PARALLEL];
	unsigned running;
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
		probe_stop(&s->slots[i].probe);
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

static void scan_fill(struct scan *s);

/* The unit told less than before, for this time: it is what it was. */
static void keep_identity(struct probe *p, const struct lun *l)
{
	memcpy(p->facts.serial, l->serial, sizeof(l->serial));
	memcpy(p->facts.wwid, l->wwid, sizeof(l->wwid));
}

/* @path: that is known already, or NULL. @doubts: how often it had been doubted when @p began: what
 * was learnt before a doubt does not settle it. */
static void take_probe(struct nexus *n, struct probe *p, struct path *path, unsigned doubts)
{
	bool is_vague = p->is_silent || p->is_doubtful;
	bool is_open_question = path && (!path->is_verified || path->is_doubted) &&
				(is_vague || path->doubts != doubts);

	if (is_open_question) {
		disk_watch(path->disk, PATH_TRY_MS); /* it stays unverified */
		return;
	}
	/* Known by another session: who does not say who he is, is not somebody else. */
	if (!path && is_vague && target_find_lun(n->target, p->facts.number)) {
		log_warning("%s: lun %u does not tell by session %u what it is: not used there",
			    n->target->name, p->facts.number, n->session->sid);
		return;
	}
	if (path && p->is_doubtful)
		keep_identity(p, path->lun);
	if (p->is_missing && path)
		lun_missing(n, path->lun);
	else if (p->is_silent && path)
		path->lun->not_ready = p->facts.not_ready;
	else if (!p->is_missing)
		lun_found(n, &p->facts);
}

static void on_probed(struct probe *p, bool is_cut_off)
{
	struct slot *slot = container_of(p, struct slot, probe);
	struct scan *s = slot->scan;
	struct lun *l = target_find_lun(s->nexus->target, p->facts.number);

	if (is_cut_off) {
		lun_scan_cancel(s);
		return;
	}
	s->seen |= p->seen;
	take_probe(s->nexus, p, l ? disk_path_find(l->disk, s->session) : NULL, slot->doubts);
	if (p->seen & OTHER_UNITS) /* told in the middle: what was said before it may be old */
		g_hash_table_remove(s->probed, GUINT_TO_POINTER(p->facts.number));
	probe_stop(p);
	slot->is_busy = false;
	s->running--;
	scan_fill(s);
}

static void probe_unit(struct slot *slot, struct scan *s, const struct unit *u)
{
	struct lun *l = target_find_lun(s->nexus->target, u->number);
	struct path *path = l ? disk_path_find(l->disk, s->session) : NULL;

	slot->scan = s;
	slot->is_busy = true;
	slot->doubts = path ? path->doubts : 0;
	s->running++;
	g_hash_table_add(s->probed, GUINT_TO_POINTER(u->number));
	probe_start(&slot->probe, s->nexus, u->number, u->wire, on_probed);
}

static struct slot *free_slot(struct scan *s)
{
	for (unsigned i = 0; i < SCAN_PARALLEL; i++)
		if (!s->slots[i].is_busy)
			return &s->slots[i];
	return NULL;
}

/* Keep as many units under way as may be. The first command of a unit is a queued query, so
 * this does not come back to itself. */
static void scan_fill(struct scan *s)
{
	struct slot *slot;

	while (s->next < s->units->len && (slot = free_slot(s))) {
		const struct unit *u = &g_array_index(s->units, struct unit, s->next++);

		if (!g_hash_table_contains(s->probed, GUINT_TO_POINTER(u->number)))
			probe_unit(slot, s, u);
	}
	if (s->running)
		return;
	if (s->seen & OTHER_UNITS && s->rounds < ROUNDS_MAX) {
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
	query_by_scan(s->list);
}

static void tell_hidden(const struct scan *s, uint32_t number)
{
	struct target *t = s->nexus->target;
	g_autofree char *text = g_strdup_printf(
		"%s: the target's LUN %u is not shown: mapping= gives its number to another one",
		t->name, number);

	log_warning("%s", text);
	object_fail_text(&t->obj, "looking at the LUNs", ISDSC_TARGET_MAPPING_EXISTS, EEXIST,
			 text);
}

static void add_unit(struct scan *s, GHashTable *listed, const uint8_t wire[8])
{
	uint32_t number;
	struct unit u;

	if (lun_decode(wire, &number) < 0)
		return; /* well-known, or of several levels */
	if (!mapping_find(s->nexus->mapping, number, &u.number)) {
		tell_hidden(s, number);
		return;
	}
	if (!g_hash_table_add(listed, GUINT_TO_POINTER(u.number)))
		return; /* told twice */
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
	lun_unverify(n);
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

static struct scan *rescan_by(struct nexus *n, const struct lun *l)
{
	struct scan *s = n->scan;

	if (!s)
		return scan_new(n, l->number);
	s->is_again = true;
	s->only = s->only == l->number ? s->only : ALL;
	g_hash_table_remove(s->probed, GUINT_TO_POINTER(l->number));
	return s;
}

void lun_verify(struct path *p)
{
	struct nexus *n = nexus_of_session(p->session);

	if (n && !n->scan && nexus_is_usable(n))
		rescan_by(n, p->lun);
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
		wait_for(rescan_by(n, l), op);
	} else {
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: lun %u: no session to look at it by", l->target->name,
				l->number);
		operation_finish(op, err);
	}
	operation_unref(op);
}
