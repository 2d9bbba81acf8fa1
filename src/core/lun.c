/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical units: what a scan found becomes an object, stays the same object as long as it tells
 * the same identity, and goes when no session shows it any more.
 *
 * Invariants: a unit on its target's list has at least one path; daemon->luns_by_wwid names,
 * for each wwid, one unit that has it and is not gone. */
#include "core/lun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/target.h"

#define HINT_MIN 4096
#define HINT_MAX (1024 * 1024)
#define TYPE_DISK 0x00

/* ---- by wwid ---- */

static void wwid_add(struct lun *l)
{
	GHashTable *luns = l->target->daemon->luns_by_wwid;

	if (l->wwid[0] && !g_hash_table_contains(luns, l->wwid))
		g_hash_table_insert(luns, g_strdup(l->wwid), l);
}

static struct lun *find_other(struct daemon *d, const struct lun *not_this)
{
	for (GList *t = d->targets; t; t = t->next)
		for (GList *k = ((struct target *)t->data)->luns; k; k = k->next) {
			struct lun *l = k->data;

			if (l != not_this && !strcmp(l->wwid, not_this->wwid))
				return l;
		}
	return NULL;
}

/* @l no longer has its wwid: another unit with the same one takes the place. */
static void wwid_remove(struct lun *l)
{
	struct daemon *d = l->target->daemon;
	struct lun *other;

	if (!l->wwid[0] || g_hash_table_lookup(d->luns_by_wwid, l->wwid) != l)
		return;
	g_hash_table_remove(d->luns_by_wwid, l->wwid);
	other = find_other(d, l);
	if (other)
		wwid_add(other);
}

/* ---- making and freeing ---- */

static void lun_free(struct object *o)
{
	struct lun *l = container_of(o, struct lun, obj);

	disk_done(&l->disk);
	g_hash_table_unref(l->open_pids);
	object_unref(&l->target->obj);
	object_done(o);
	g_free(l);
}

/* A unit attention met by I/O: whatever it was, looking again tells what is true now. */
static void lun_disk_changed(struct disk *disk, enum sense_class what)
{
	struct lun *l = container_of(disk, struct lun, disk);

	if (l->obj.is_gone || what == SENSE_RESET || what == SENSE_RESERVATION_CHANGED)
		return;
	if (what != SENSE_LUNS_CHANGED) {
		lun_rescan(l, NULL);
		return;
	}
	for (GList *k = l->target->nexuses; k; k = k->next) {
		struct nexus *n = k->data;
		struct operation *op;

		if (!nexus_is_usable(n) || !lun_has_session(l, n->session))
			continue;
		op = operation_new(l->obj.loop, NULL, NULL);
		lun_scan(n, op);
		operation_unref(op);
	}
}

static int compare_luns(const void *a, const void *b)
{
	const struct lun *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static struct lun *lun_new(struct target *t, const struct lun_facts *f)
{
	struct lun *l = g_new0(struct lun, 1);

	object_init(&l->obj, t->obj.loop, OBJECT_LUN, lun_free);
	l->target = t;
	object_ref(&t->obj);
	l->number = f->number;
	l->open_pids = g_hash_table_new(NULL, NULL);
	disk_init(&l->disk, t->obj.loop, &l->obj, &t->daemon->bounce);
	g_snprintf(l->disk.name, sizeof(l->disk.name), "%s: lun %u", t->name, l->number);
	l->disk.changed = lun_disk_changed;
	t->luns = g_list_insert_sorted(t->luns, l, compare_luns);
	return l;
}

static void remove_all_paths(struct lun *l)
{
	struct list *node;

	while ((node = list_first(&l->disk.paths)))
		disk_remove_path(&l->disk, list_entry(node, struct path, link)->session);
}

void lun_gone(struct lun *l)
{
	struct target *t = l->target;

	log_debug("%s: lun %u is gone", t->name, l->number);
	t->luns = g_list_remove(t->luns, l);
	wwid_remove(l);
	disk_shutdown(&l->disk);
	remove_all_paths(l);
	object_gone(&l->obj);
}

/* ---- identity ---- */

static bool is_same_text(const char *a, const char *b, bool *ret_is_told)
{
	*ret_is_told = *a || *b;
	return !strcmp(a, b);
}

/* @ret_is_sure: by a name that is the unit's own, not just one of its make. */
static bool compare_identity(const struct lun *l, const struct lun_facts *f, bool *ret_is_sure)
{
	bool is_same = is_same_text(l->wwid, f->wwid, ret_is_sure);

	if (l->inquiry.type != f->inquiry.type)
		return false;
	if (*ret_is_sure)
		return is_same;
	is_same = is_same_text(l->serial, f->serial, ret_is_sure);
	if (*ret_is_sure)
		return is_same;
	return !strcmp(l->inquiry.vendor, f->inquiry.vendor) &&
	       !strcmp(l->inquiry.product, f->inquiry.product);
}

bool lun_is_same(const struct lun *l, const struct lun_facts *f)
{
	bool is_sure;

	return compare_identity(l, f, &is_sure);
}

/* May @n's new path lead to the unit that is open as @l? By another session than those it knows
 * only with a name of its own and an unchanged size: else a file system could continue on
 * somebody else's disk. By a session that it knows, a new size is news, not a new unit. */
static bool may_continue(const struct lun *l, const struct nexus *n, const struct lun_facts *f)
{
	bool is_sure;

	if (!compare_identity(l, f, &is_sure))
		return false;
	if (l->has_disk && f->has_capacity &&
	    l->capacity.block_bytes != f->capacity.block_bytes)
		return false;
	if (lun_has_session(l, n->session))
		return true;
	if (l->has_disk && f->has_capacity && l->capacity.blocks != f->capacity.blocks)
		return false;
	return is_sure;
}

/* ---- what a scan found ---- */

static void set_capacity(struct lun *l, const struct lun_facts *f)
{
	uint64_t before = l->has_disk ? disk_bytes(&l->disk) : 0;

	if (disk_set_geometry(&l->disk, &f->capacity, &f->limits) < 0) {
		l->has_disk = false;
		l->not_ready = EMEDIUMTYPE;
		log_warning("%s: lun %u: %" G_GUINT64_FORMAT
			    " blocks of %u bytes are not supported",
			    l->target->name, l->number, f->capacity.blocks,
			    f->capacity.block_bytes);
		return;
	}
	l->capacity = f->capacity;
	if (l->has_disk && disk_bytes(&l->disk) != before)
		log_info("%s: lun %u: size changed from %" G_GUINT64_FORMAT
			 " to %" G_GUINT64_FORMAT " bytes",
			 l->target->name, l->number, before, disk_bytes(&l->disk));
	l->has_disk = true;
}

static void lun_update(struct lun *l, const struct lun_facts *f)
{
	if (strcmp(l->wwid, f->wwid) != 0)
		wwid_remove(l);
	memcpy(l->wire, f->wire, sizeof(l->wire));
	l->inquiry = f->inquiry;
	memcpy(l->serial, f->serial, sizeof(l->serial));
	memcpy(l->wwid, f->wwid, sizeof(l->wwid));
	l->limits = f->limits;
	l->not_ready = f->not_ready;
	wwid_add(l);
	if (f->inquiry.type != TYPE_DISK || f->inquiry.qualifier)
		return;
	if (f->has_capacity)
		set_capacity(l, f);
	if (f->has_mode)
		l->mode = f->mode;
	l->disk.is_read_only = l->mode.is_write_protected;
	l->disk.has_fua = l->mode.has_dpo_fua;
	/* Not told: better a flush too many. */
	l->disk.has_write_cache = !l->mode.has_page || l->mode.write_cache;
}

/* None: as long as anyone would want to wait. */
void lun_take_timeout(struct lun *l, const struct session *s)
{
	int64_t ms = s->config.timeouts.command_ms;

	l->disk.timeout_ms = ms ? ms : COMMAND_MS_MAX;
}

void lun_found(struct nexus *n, const struct lun_facts *f)
{
	struct target *t = n->target;
	struct lun *l = target_find_lun(t, f->number);

	if (l && !may_continue(l, n, f)) {
		struct path *p = lun_usable_path(l);

		if (p && p->session != n->session) {
			log_warning("%s: lun %u is another unit by session %u: ignored there",
				    t->name, l->number, n->session->sid);
			return;
		}
		log_warning("%s: lun %u is another unit now", t->name, l->number);
		lun_gone(l);
		l = NULL;
	}
	if (!l)
		l = lun_new(t, f);
	lun_update(l, f);
	lun_take_timeout(l, n->session);
	if (!lun_has_session(l, n->session))
		disk_add_path(&l->disk, n->session, f->wire);
}

static void drop_path(struct nexus *n, struct lun *l)
{
	disk_remove_path(&l->disk, n->session);
	if (list_is_empty(&l->disk.paths))
		lun_gone(l);
}

void lun_missing(struct nexus *n, struct lun *l)
{
	if (!lun_has_session(l, n->session))
		return;
	log_debug("%s: lun %u is not shown any more by session %u", n->target->name, l->number,
		  n->session->sid);
	drop_path(n, l);
}

void lun_remove_nexus(struct nexus *n)
{
	for (GList *k = n->target->luns, *next; k; k = next) {
		next = k->next;
		if (lun_has_session(k->data, n->session))
			drop_path(n, k->data);
	}
}

/* ---- paths ---- */

static struct path *find_path(const struct lun *l, const struct session *s)
{
	list_for_each(pos, &l->disk.paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->session == s)
			return p;
	}
	return NULL;
}

bool lun_has_session(const struct lun *l, const struct session *s)
{
	return find_path(l, s) != NULL;
}

struct path *lun_usable_path(const struct lun *l)
{
	list_for_each(pos, &l->disk.paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->is_usable && session_is_usable(p->session))
			return p;
	}
	return NULL;
}

void lun_set_usable(struct nexus *n, bool is_usable)
{
	for (GList *k = n->target->luns; k; k = k->next) {
		struct path *p = find_path(k->data, n->session);

		if (p)
			p->is_usable = is_usable;
	}
}

bool lun_depends_on(const struct lun *l, const struct nexus *n)
{
	if (!lun_has_session(l, n->session))
		return false;
	list_for_each(pos, &l->disk.paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->session != n->session && session_is_usable(p->session))
			return false;
	}
	return true;
}

/* ---- what people see ---- */

const char *lun_state_name(const struct lun *l)
{
	if (l->obj.is_gone)
		return "gone";
	if (!lun_usable_path(l))
		return "no-path";
	return l->not_ready ? "not-ready" : "ready";
}

/* Of a process: what it is called, and when it was started, which tells it from a later one of
 * the same number. */
struct holder {
	char name[64];
	unsigned long long started; /* clock ticks; 0: unknown */
};

/* @stat is /proc/PID/stat: "1 (some (name)) S 2 ..."; the 22nd field is the start. */
static void parse_stat(const char *stat, struct holder *ret)
{
	const char *begin = stat ? strchr(stat, '(') : NULL;
	const char *end = stat ? strrchr(stat, ')') : NULL;
	size_t bytes;

	*ret = (struct holder){ .name = "?" };
	if (!begin || !end || end < begin)
		return;
	bytes = MIN((size_t)(end - begin), sizeof(ret->name));
	g_strlcpy(ret->name, begin + 1, bytes);
	for (unsigned field = 2; end && field < 22; field++)
		end = strchr(end + 1, ' ');
	if (end)
		ret->started = g_ascii_strtoull(end + 1, NULL, 10);
}

/* open_pids has pid -> count, and -pid -> what /proc/PID/stat said at open (handle.c). */
static bool is_alive(const struct lun *l, pid_t pid, struct holder *ret)
{
	g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
	g_autofree char *stat = NULL;
	struct holder now;
	bool is_there = g_file_get_contents(path, &stat, NULL, NULL);

	parse_stat(g_hash_table_lookup(l->open_pids, GINT_TO_POINTER(-pid)), ret);
	if (!is_there)
		return false;
	parse_stat(stat, &now);
	if (ret->started && now.started != ret->started)
		return false;
	*ret = now; /* it may have executed something else */
	return true;
}

char *lun_holder(const struct lun *l)
{
	struct holder holder, ended_holder = { .name = "?" };
	bool is_unseen = false;
	pid_t ended = 0;
	GHashTableIter iter;
	void *key;

	if (!l->open_count)
		return NULL;
	g_hash_table_iter_init(&iter, l->open_pids);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		pid_t pid = GPOINTER_TO_INT(key);

		if (pid < 0)
			continue;
		if (pid == 0) {
			is_unseen = true;
			continue;
		}
		if (is_alive(l, pid, &holder))
			return g_strdup_printf("%s: lun %u is open by pid %d (%s)",
					       l->target->name, l->number, (int)pid,
					       holder.name);
		ended = pid;
		ended_holder = holder;
	}
	if (ended)
		return g_strdup_printf(
			"%s: lun %u is open: opened by pid %d (%s), which has ended; perhaps a "
			"loop device holds it (losetup -a)",
			l->target->name, l->number, (int)ended, ended_holder.name);
	return g_strdup_printf("%s: lun %u is open%s", l->target->name, l->number,
			       is_unseen ? " by a process of another pid namespace" : "");
}

struct lun *target_find_lun(struct target *t, uint32_t number)
{
	for (GList *k = t->luns; k; k = k->next) {
		struct lun *l = k->data;

		if (l->number == number)
			return l;
	}
	return NULL;
}

uint32_t lun_block_size_hint(const struct lun *l)
{
	uint64_t blocks = l->limits.optimal_transfer_blocks;
	uint64_t best = blocks * l->capacity.block_bytes;
	uint32_t hint = HINT_MIN;

	if (!best)
		best = 64 * 1024;
	if (l->limits.max_transfer_blocks)
		best = MIN(best,
			   (uint64_t)l->limits.max_transfer_blocks * l->capacity.block_bytes);
	while (hint < HINT_MAX && hint * 2 <= best)
		hint *= 2;
	return hint;
}
