/* SPDX-License-Identifier: BSD-2-Clause */
/* Units of different targets that are one device; see lun_merge.h.
 *
 * A comparison is a list of questions, asked by one path after the other, alternating: first
 * blocks, last block, target port groups, of the one and of the other. It holds references of
 * the other unit and of its session; queries end by themselves when a session goes. */
#include "core/lun_merge.h"

#include <errno.h>
#include <string.h>

#include "core/event.h"
#include "core/query.h"
#include "core/reservation.h"
#include "core/target.h"
#include "scsi/cdb.h"

#define FIRST_BYTES (64 * 1024)
#define REPORT_BYTES 4096

enum side { KNOWN, NEW, SIDES };
enum question { FIRST, LAST, GROUPS, QUESTIONS };

struct merge {
	struct lun_facts *facts;
	struct lun *twin;		 /* a reference */
	struct session *sessions[SIDES]; /* references */
	uint8_t wires[SIDES][8];
	bool has_groups; /* both know ALUA */
	struct merge_evidence evidence;
	unsigned next; /* question * SIDES + side */
	struct query *query;
	void (*done)(void *arg);
	void *arg;
};

static void merge_free(struct merge *m)
{
	for (unsigned side = 0; side < SIDES; side++) {
		g_free(m->evidence.first[side].data);
		g_free(m->evidence.last[side].data);
		g_free(m->evidence.groups[side].data);
	}
	query_cancel(m->query);
	object_unref(&m->twin->obj);
	object_unref(&m->sessions[KNOWN]->obj);
	object_unref(&m->sessions[NEW]->obj);
	g_free(m);
}

void merge_cancel(struct merge *m)
{
	if (m)
		merge_free(m);
}

/* ---- the verdict ---- */

static bool is_told(const struct merge_answer a[SIDES])
{
	return a[KNOWN].data && a[NEW].data;
}

static bool is_equal(const struct merge_answer a[SIDES])
{
	return a[KNOWN].bytes == a[NEW].bytes &&
	       !memcmp(a[KNOWN].data, a[NEW].data, a[NEW].bytes);
}

/* One byte, over and over. */
static bool is_blank(const struct merge_answer *a)
{
	return !a->bytes || !memcmp(a->data, a->data + 1, a->bytes - 1);
}

/* Does each report know the port of the other path? */
static bool is_port_listed(const struct merge_evidence *e)
{
	const struct merge_answer *g = e->groups;

	return alua_groups_have_port(g[NEW].data, g[NEW].bytes, e->port[KNOWN].port) &&
	       alua_groups_have_port(g[KNOWN].data, g[KNOWN].bytes, e->port[NEW].port);
}

const char *merge_why_not(const struct merge_evidence *e)
{
	bool is_read = is_told(e->first) && is_told(e->last);
	bool has_ports = is_told(e->groups) && e->port[KNOWN].has_port && e->port[NEW].has_port;

	if (is_read && (!is_equal(e->first) || !is_equal(e->last)))
		return "what is on them differs (if someone was writing: rescan)";
	if (has_ports)
		return is_port_listed(e) ? NULL
					 : "the target port groups of the one do not have the "
					   "port of the other";
	if (!is_read)
		return "they cannot be read both, to compare them";
	if (is_blank(&e->first[NEW]) && is_blank(&e->last[NEW]))
		return "both are blank, so nothing tells whether they are one: write to one "
		       "(a file system, a partition table) and rescan";
	return NULL;
}

const char *merge_why_never(const struct lun *l, const struct lun_facts *f,
			    const struct alua_port *port)
{
	if (!alua_is_global(f->wwid))
		return "it is not a name that can be unique in the world";
	if (strcmp(l->serial, f->serial) != 0)
		return "their serial numbers differ";
	if (strcmp(l->inquiry.vendor, f->inquiry.vendor) != 0 ||
	    strcmp(l->inquiry.product, f->inquiry.product) != 0 ||
	    l->inquiry.type != f->inquiry.type)
		return "vendor or product differ";
	if (l->disk->blocks != f->capacity.blocks ||
	    l->disk->block_bytes != f->capacity.block_bytes)
		return "their sizes differ";
	if (f->has_mode && l->disk->is_read_only != f->mode.is_write_protected)
		return "one of them is write protected";
	if (port->has_port && f->port.has_port && port->port == f->port.port)
		return "two targets have the same relative target port, so they are two "
		       "devices";
	return NULL;
}

static void merge_end(struct merge *m, const char *why)
{
	void (*done)(void *arg) = m->done;
	void *arg = m->arg;

	if (!why)
		m->facts->twin = (object_ref(&m->twin->obj), m->twin);
	else
		g_snprintf(m->facts->no_twin, sizeof(m->facts->no_twin), "%s lun %u: %s",
			   m->twin->target->name, m->twin->number, why);
	merge_free(m);
	done(arg);
}

/* ---- questions ---- */

static unsigned build(const struct merge *m, enum question q, uint8_t *cdb, uint32_t *ret_bytes)
{
	const struct capacity *c = &m->facts->capacity;
	uint32_t blocks = (uint32_t)MIN(c->blocks, MAX(1, FIRST_BYTES / c->block_bytes));
	uint32_t most = m->facts->limits.max_transfer_blocks;

	switch (q) {
	case FIRST:
		if (most)
			blocks = MIN(blocks, most);
		*ret_bytes = blocks * c->block_bytes;
		return cdb_read(cdb, 0, blocks);
	case LAST:
		*ret_bytes = c->block_bytes;
		return cdb_read(cdb, c->blocks - 1, 1);
	default:
		*ret_bytes = REPORT_BYTES;
		return m->has_groups ? cdb_report_target_port_groups(cdb, REPORT_BYTES) : 0;
	}
}

static void ask(struct merge *m);

static struct merge_answer *place_of_answer(struct merge *m)
{
	struct merge_evidence *e = &m->evidence;
	struct merge_answer *const places[QUESTIONS] = {
		[FIRST] = e->first, [LAST] = e->last, [GROUPS] = e->groups
	};

	return &places[m->next / SIDES][m->next % SIDES];
}

static void on_answer(void *arg, const struct query_answer *a)
{
	struct merge *m = arg;
	struct merge_answer *answer = place_of_answer(m);

	m->query = NULL;
	if (!a->result) {
		answer->data = g_memdup2(a->data, a->bytes);
		answer->bytes = a->bytes;
	}
	m->next++;
	ask(m);
}

static void ask(struct merge *m)
{
	uint8_t cdb[TASK_CDB_MAX];
	uint32_t bytes;
	unsigned cdb_bytes = 0, side = m->next % SIDES;

	if (m->next < QUESTIONS * SIDES)
		cdb_bytes = build(m, (enum question)(m->next / SIDES), cdb, &bytes);
	if (!cdb_bytes) { /* no more, or the last one, which it does not know */
		merge_end(m, merge_why_not(&m->evidence));
		return;
	}
	m->query = query_start(m->sessions[side], m->wires[side], cdb, cdb_bytes, bytes,
			       on_answer, m);
	query_by_itself(m->query);
}

/* ---- the twin ---- */

static bool is_twin(const struct lun *l, const struct nexus *n, const struct lun_facts *f)
{
	const struct lun *own = target_find_lun(n->target, f->number);

	return l->target != n->target && l->has_disk && !strcmp(l->wwid, f->wwid) &&
	       (!own || own->disk != l->disk) && !disk_path_find(l->disk, n->session);
}

/* Its best path by which one may ask, of a session that wants to share. */
static struct path *multipath_path(const struct lun *l)
{
	struct path *p = lun_usable_path(l);
	const struct nexus *n = p ? nexus_of_session(p->session) : NULL;

	return n && n->is_multipath ? p : NULL;
}

static struct path *find_twin(const struct nexus *n, const struct lun_facts *f)
{
	for (GList *t = n->target->daemon->targets; t; t = t->next)
		for (GList *k = ((struct target *)t->data)->luns; k; k = k->next) {
			const struct lun *l = k->data;
			struct path *p = is_twin(l, n, f) ? multipath_path(l) : NULL;

			if (p)
				return p;
		}
	return NULL;
}

struct merge *merge_start(struct nexus *n, struct lun_facts *f, void (*done)(void *arg),
			  void *arg)
{
	struct path *p;
	struct merge *m;
	const char *why;

	if (!n->is_multipath || !f->wwid[0] || !f->has_capacity)
		return NULL;
	p = find_twin(n, f);
	if (!p)
		return NULL;
	m = g_new0(struct merge, 1);
	m->facts = f;
	m->twin = p->lun;
	object_ref(&m->twin->obj);
	m->sessions[KNOWN] = p->session;
	m->sessions[NEW] = n->session;
	object_ref(&p->session->obj);
	object_ref(&n->session->obj);
	memcpy(m->wires[KNOWN], p->wire, sizeof(p->wire));
	memcpy(m->wires[NEW], f->wire, sizeof(f->wire));
	m->evidence.port[KNOWN] = p->port;
	m->evidence.port[NEW] = f->port;
	m->has_groups = p->tpgs && f->inquiry.tpgs;
	m->done = done;
	m->arg = arg;
	why = merge_why_never(m->twin, f, &p->port);
	if (!why) {
		ask(m);
		return m;
	}
	g_snprintf(f->no_twin, sizeof(f->no_twin), "%s lun %u: %s", m->twin->target->name,
		   m->twin->number, why);
	merge_free(m);
	return NULL;
}

/* ---- merging ---- */

static bool is_idle(const struct disk *d)
{
	return !d->active_count && list_is_empty(&d->waiting) && list_is_empty(&d->finished);
}

static void move_units(struct disk *from, struct disk *to)
{
	while (from->luns) {
		struct lun *l = from->luns->data;

		from->luns = g_list_remove(from->luns, l);
		to->luns = g_list_append(to->luns, l);
		l->disk = disk_ref(to);
		disk_unref(from);
	}
}

static void move_paths(struct disk *from, struct disk *to)
{
	struct list *node;

	while ((node = list_first(&from->paths)))
		disk_path_move(list_entry(node, struct path, link), to);
}

static void tell_no_twin(struct lun *l, const char *why)
{
	if (l->is_merge_told)
		return;
	l->is_merge_told = true;
	event_emit(l->target->daemon, EVENT_LUN_NOT_MERGED,
		   "%s lun %u: tells the same name (%s) as %s", l->target->name, l->number,
		   l->wwid, why);
}

void lun_merge(struct lun *l, const struct lun_facts *f)
{
	struct lun *twin = f->twin;

	if (f->no_twin[0])
		tell_no_twin(l, f->no_twin);
	if (!twin || twin->obj.is_gone || twin->disk == l->disk)
		return;
	if (!is_idle(l->disk) || l->disk->block_bytes != twin->disk->block_bytes) {
		tell_no_twin(l, "another unit, but is in use now: rescan");
		return;
	}
	list_for_each(pos, &l->disk->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (disk_path_find(twin->disk, p->session)) { /* two numbers for it in one target */
			tell_no_twin(l, "a path of another unit by the same session");
			return;
		}
	}
	event_emit(l->target->daemon, EVENT_PATH_ADDED, "%s: %s lun %u is the same disk",
		   twin->disk->name, l->target->name, l->number);
	l->is_merge_told = false;
	disk_take_over(twin->disk, l->disk);
	move_paths(l->disk, twin->disk);
	move_units(l->disk, twin->disk);
	lun_combine(twin->disk);
	reservation_share(twin->disk);
}
