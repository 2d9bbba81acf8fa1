/* SPDX-License-Identifier: BSD-2-Clause */
/* What scans and sessions bring to units: is it the same unit as before (lun.h has the table),
 * what does it tell now, by which paths is it reached? */
#include "core/lun.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/attach.h"
#include "core/disk_watch.h"
#include "core/event.h"
#include "core/lun_merge.h"
#include "core/policies.h"
#include "core/reservation.h"
#include "core/target.h"
#include "core/usage.h"

#define TYPE_DISK 0x00
#define BEST_BYTES_MIN (64 * 1024)

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

/* Nothing that it says of itself has changed. */
static bool is_identical(const struct lun *l, const struct lun_facts *f)
{
	return !strcmp(l->wwid, f->wwid) && !strcmp(l->serial, f->serial) &&
	       !strcmp(l->inquiry.vendor, f->inquiry.vendor) &&
	       !strcmp(l->inquiry.product, f->inquiry.product);
}

/* May @p (NULL: a path to be) lead to the unit that is open as @l? Else a file system could
 * continue on somebody else's disk. */
static bool may_continue(const struct lun *l, const struct path *p, const struct lun_facts *f)
{
	bool has_sizes = l->has_disk && f->has_capacity;
	bool is_sure;

	if (!compare_identity(l, f, &is_sure))
		return false;
	if (has_sizes && l->disk->block_bytes != f->capacity.block_bytes)
		return false;
	if (p && p->is_verified && !p->is_lost)
		return true; /* a new size is news */
	if (has_sizes && l->disk->blocks != f->capacity.blocks)
		return false;
	return p ? is_identical(l, f) : is_sure;
}

/* ---- what a scan found ---- */

static void set_capacity(struct lun *l, const struct lun_facts *f)
{
	uint64_t before = l->has_disk ? disk_bytes(l->disk) : 0;

	if (disk_set_geometry(l->disk, &f->capacity, &f->limits) < 0) {
		l->has_disk = false;
		l->not_ready = EMEDIUMTYPE;
		log_warning("%s: lun %u: %" G_GUINT64_FORMAT
			    " blocks of %u bytes are not supported",
			    l->target->name, l->number, f->capacity.blocks,
			    f->capacity.block_bytes);
		return;
	}
	l->capacity = f->capacity;
	if (l->has_disk && disk_bytes(l->disk) != before)
		event_emit(l->target->daemon, EVENT_LUN_RESIZED,
			   "%s: lun %u: size changed from %" G_GUINT64_FORMAT
			   " to %" G_GUINT64_FORMAT " bytes",
			   l->target->name, l->number, before, disk_bytes(l->disk));
	if (l->has_disk && disk_bytes(l->disk) != before)
		attach_resized(l);
	l->has_disk = true;
}

/* Standby and the like: the unit is as well as its other paths say. */
static bool is_by_the_way(const struct lun *l, const struct lun_facts *f)
{
	return f->has_access && f->access > ALUA_NON_OPTIMIZED && disk_is_usable(l->disk);
}

static void lun_update(struct lun *l, const struct lun_facts *f)
{
	bool is_new = strcmp(l->wwid, f->wwid) != 0;

	if (is_new)
		lun_forget_wwid(l);
	memcpy(l->wire, f->wire, sizeof(l->wire));
	l->inquiry = f->inquiry;
	memcpy(l->serial, f->serial, sizeof(l->serial));
	memcpy(l->wwid, f->wwid, sizeof(l->wwid));
	if (is_new)
		policies_find(l->target->daemon->policies, POLICIES_DISKS, l->wwid,
			      &l->disk->policy);
	l->limits = f->limits;
	l->provisioning = f->provisioning;
	if (!is_by_the_way(l, f))
		l->not_ready = f->not_ready;
	lun_remember_wwid(l);
	if (f->inquiry.type != TYPE_DISK || f->inquiry.qualifier)
		return;
	if (f->has_capacity)
		set_capacity(l, f);
	if (f->has_mode)
		l->mode = f->mode;
	lun_combine(l->disk);
}

/* OPTIMAL TRANSFER LENGTH: longer commands may be slow. A very short one is no good advice. */
static void set_best(struct disk *d, const struct lun *l)
{
	uint32_t best = l->limits.optimal_transfer_blocks;

	if (best && (uint64_t)best * d->block_bytes >= BEST_BYTES_MIN &&
	    (!d->best_command_blocks || best < d->best_command_blocks))
		d->best_command_blocks = best;
}

/* They all have the same name: that is why they are one. */
static void set_name(struct disk *d, const struct lun *l, bool is_first)
{
	struct disk_name *n = &d->name_for_copy;

	if (is_first) {
		n->naa_bytes = copy_naa_of(l->wwid, n->naa);
		n->can_copy = true;
	}
	n->can_copy &= l->inquiry.can_copy;
}

/* What all of its units can do, of several targets perhaps: each of them may get a command. What it
 * refused may be tried once more: this is a new look at it. */
void lun_combine(struct disk *d)
{
	bool is_first = true, has_cache = false, has_fua = true;

	for (GList *k = d->luns; k; k = k->next) {
		const struct lun *l = k->data;
		uint32_t most = l->limits.max_transfer_blocks;
		struct disk_provision provision;

		if (l->obj.is_gone || !l->has_disk)
			continue;
		d->is_read_only = l->mode.is_write_protected || (!is_first && d->is_read_only);
		has_fua &= l->mode.has_dpo_fua;
		/* Not told: better a flush too many. */
		has_cache |= !l->mode.has_page || l->mode.write_cache;
		if (most && most < d->max_command_blocks)
			d->max_command_blocks = most;
		if (is_first)
			d->best_command_blocks = 0;
		set_best(d, l);
		set_name(d, l, is_first);
		disk_provision_set(&provision, &l->capacity, &l->limits, &l->provisioning);
		if (is_first)
			d->provision = provision;
		else
			disk_provision_add(&d->provision, &provision);
		is_first = false;
	}
	if (!is_first)
		disk_set_caches(d, has_cache, has_fua);
}

/* None: as long as anyone would want to wait. */
void lun_take_timeout(struct lun *l, const struct session *s)
{
	int64_t ms = s->config.timeouts.command_ms;

	l->disk->timeout_ms = ms ? ms : COMMAND_MS_MAX;
}

static void set_access(struct path *p, const struct lun_facts *f)
{
	p->port = f->port;
	if (f->has_access) {
		p->tpgs = f->inquiry.tpgs;
		p->access = f->access;
	} else if (!f->inquiry.tpgs) { /* else it just did not tell this time */
		p->tpgs = ALUA_NONE;
		p->access = ALUA_OPTIMIZED;
	}
}

/* It leads to @p->lun. Whether that has still the same size is known only with a capacity. */
static void update_path(struct path *p, const struct nexus *n, const struct lun_facts *f)
{
	reservation_found(p, n, f);
	if (p->is_lost) /* it is not: it has just been looked at */
		p->is_failed = p->is_verified = p->is_lost = false;
	set_access(p, f);
	p->is_verified |= f->has_capacity || !p->lun->has_disk;
	p->is_doubted &= !f->has_capacity && p->lun->has_disk;
	disk_path_update(p);
	if (p->state != PATH_OPTIMIZED)
		disk_watch(p->disk, PATH_TRY_MS);
}

static void add_path(struct lun *l, struct nexus *n, const struct lun_facts *f)
{
	struct path *p = disk_path_add(l->disk, l, n->session, f->wire);

	update_path(p, n, f);
	p->is_announced = true;
	event_emit(l->target->daemon, EVENT_PATH_ADDED, "%s: path by session %u via %s: %s",
		   l->disk->name, n->session->sid, n->portal, path_state_name(p->state));
}

static bool has_own_path(const struct lun *l)
{
	list_for_each(pos, &l->disk->paths)
		if (list_entry(pos, struct path, link)->lun == l)
			return true;
	return false;
}

/* @p leaves its unit, which goes with its last one. */
static void drop_path(struct path *p, const char *why, int errno_value)
{
	struct lun *l = p->lun;

	event_emit(l->target->daemon, EVENT_PATH_REMOVED, "%s: path by session %u: %s",
		   p->disk->name, p->session->sid, why);
	disk_path_remove(p);
	if (!has_own_path(l))
		lun_gone(l, errno_value);
}

/* Someone else can tell that @l is still what it was. */
static bool has_other_word(const struct lun *l, const struct session *not_this)
{
	list_for_each(pos, &l->disk->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (p->lun == l && p->session != not_this && path_is_usable(p))
			return true;
	}
	return false;
}

/* For the `error` of all that have to do with it. */
static char *describe_replaced(const struct lun *l)
{
	return g_strdup_printf("%s: lun %u: another unit than the one that was there before, "
			       "which was %s, %s %s, of %" G_GUINT64_FORMAT " bytes",
			       l->target->name, l->number,
			       *l->wwid ? l->wwid : "without a name", l->inquiry.vendor,
			       l->inquiry.product, l->has_disk ? disk_bytes(l->disk) : 0);
}

static void tell_replaced(struct object *o, const char *text)
{
	object_fail_text(o, "looking at the LUN", ISDSC_TARGET_REMOVED, ESTALE, text);
}

/* What @n found is not @l; @p is the path that led to it, if any. False: @l stays what it is by
 * other sessions. */
static bool part(struct lun *l, struct path *p, const struct nexus *n, const char *text)
{
	tell_replaced(&l->obj, text);
	tell_replaced(&l->target->obj, text);
	if (!has_other_word(l, n->session)) {
		lun_gone(l, ESTALE);
		return true;
	}
	log_warning("%s by session %u: ignored there", text, n->session->sid);
	if (p)
		drop_path(p, "leads to another unit now", ESTALE);
	return false;
}

static void tell_register(struct lun *l, const struct nexus *n, const struct lun_facts *f)
{
	static const char what[] = "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY";

	if (!f->register_error[0])
		return;
	object_fail_text(&l->obj, what, ISDSC_SCSI_REQUEST_FAILED, EIO, f->register_error);
	event_emit(l->target->daemon, EVENT_IO_FAILED,
		   "%s: path by session %u: %s: %s; it is used without the key", l->disk->name,
		   n->session->sid, what, f->register_error);
}

void lun_found(struct nexus *n, const struct lun_facts *f)
{
	struct lun *l = target_find_lun(n->target, f->number);
	struct path *p = l ? disk_path_find(l->disk, n->session) : NULL;
	g_autofree char *replaced = NULL;

	if (l && !may_continue(l, p, f)) {
		replaced = describe_replaced(l);
		if (!part(l, p, n, replaced))
			return;
		l = NULL;
		p = NULL;
	}
	if (!l)
		l = lun_new(n->target, f);
	if (replaced)
		tell_replaced(&l->obj, replaced);
	lun_update(l, f);
	lun_take_timeout(l, n->session);
	if (p)
		update_path(p, n, f);
	else
		add_path(l, n, f);
	tell_register(l, n, f);
	lun_merge(l, f);
	usage_look(l);
	attach_found(l);
}

void lun_missing(struct nexus *n, struct lun *l)
{
	struct path *p = disk_path_find(l->disk, n->session);

	if (p && p->lun == l)
		drop_path(p, "the target does not show the unit any more", ENODEV);
}

void lun_remove_nexus(struct nexus *n)
{
	for (GList *k = n->target->luns, *next; k; k = next) {
		struct path *p = disk_path_find(((struct lun *)k->data)->disk, n->session);

		next = k->next;
		if (p && p->lun == k->data)
			drop_path(p, "the session has ended", ENODEV);
	}
}

/* ---- paths ---- */

bool lun_has_session(const struct lun *l, const struct session *s)
{
	const struct path *p = disk_path_find(l->disk, s);

	return p && p->lun == l;
}

struct path *lun_usable_path(const struct lun *l)
{
	struct path *best = NULL;

	list_for_each(pos, &l->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->lun == l && p->state < PATH_UNVERIFIED &&
		    session_is_usable(p->session) && (!best || p->state < best->state))
			best = p;
	}
	return best;
}

void lun_set_usable(struct nexus *n, bool is_usable)
{
	for (GList *k = n->target->luns; k; k = k->next) {
		struct path *p = disk_path_find(((struct lun *)k->data)->disk, n->session);

		if (!p)
			continue;
		p->is_lost = !is_usable;
		disk_path_update(p);
	}
}

void lun_unverify(struct nexus *n)
{
	for (GList *k = n->target->luns; k; k = k->next) {
		struct path *p = disk_path_find(((struct lun *)k->data)->disk, n->session);

		if (!p || !p->is_lost)
			continue;
		p->is_lost = p->is_failed = p->is_verified = p->is_doubted = false;
		disk_path_update(p);
	}
}

static bool is_leaving(const struct path *p, const struct lun *l, const struct nexus *n)
{
	return n ? p->session == n->session : p->lun == l;
}

bool lun_depends_on(const struct lun *l, const struct nexus *n)
{
	if (n && !lun_has_session(l, n->session))
		return false;
	list_for_each(pos, &l->disk->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (!is_leaving(p, l, n) && path_is_usable(p))
			return false;
	}
	return true;
}
