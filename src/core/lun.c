/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical units as objects: made, found by their wwid, told of what happens to their disk,
 * gone. What a scan brings is in lun_found.c.
 *
 * Invariants: a unit on its target's list has at least one path; daemon->luns_by_wwid names,
 * for each wwid, one unit that has it and is not gone. */
#include "core/lun.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/attach.h"
#include "core/disk_watch.h"
#include "core/event.h"
#include "core/pathset.h"
#include "core/policies.h"
#include "core/reservation.h"
#include "core/target.h"

#define HINT_MIN 4096
#define HINT_MAX (1024 * 1024)
#define EVENTS_A_SECOND 10 /* of requests that failed, of one disk */

/* ---- by wwid ---- */

void lun_remember_wwid(struct lun *l)
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
void lun_forget_wwid(struct lun *l)
{
	struct daemon *d = l->target->daemon;
	struct lun *other;

	if (!l->wwid[0] || g_hash_table_lookup(d->luns_by_wwid, l->wwid) != l)
		return;
	g_hash_table_remove(d->luns_by_wwid, l->wwid);
	other = find_other(d, l);
	if (other)
		lun_remember_wwid(other);
}

static void lun_free(struct object *o)
{
	struct lun *l = container_of(o, struct lun, obj);

	l->disk->luns = g_list_remove(l->disk->luns, l);
	disk_unref(l->disk);
	g_free(l->block);
	g_free(l->block_path);
	g_hash_table_unref(l->open_pids);
	g_free(l->usage);
	object_unref(&l->target->obj);
	object_done(o);
	g_free(l);
}

/* ---- what its disk tells ---- */

static struct daemon *daemon_of(const struct disk *d)
{
	return ((const struct lun *)d->luns->data)->target->daemon;
}

/* expose=none: nothing but INQUIRY, REPORT LUNS and READ CAPACITY may go. */
static bool is_hidden(const struct disk *d)
{
	const struct lun *l = d->luns ? d->luns->data : NULL;

	return l && target_expose(l->target) == EXPOSE_NONE;
}

/* @p: NULL when it has been removed since. */
static void was_reset(struct disk *d, struct path *p, enum sense_class what)
{
	if (what == SENSE_POWER_ON && disk_lost_power(d, p))
		event_emit(daemon_of(d), EVENT_CACHE_LOST,
			   "%s: was without power: what was written since the last fsync may be "
			   "lost, and the next one fails", d->name);
	else if (what == SENSE_RESET && disk_is_dirty(d))
		event_emit(daemon_of(d), EVENT_CACHE_IN_DOUBT,
			   "%s: was reset; if it was without power, what was written since the "
			   "last fsync is lost", d->name);
}

/* A unit attention met by I/O: whatever it was, looking again tells what is true now. */
static void on_disk_changed(struct disk *d, struct path *p, enum sense_class what)
{
	struct nexus *n = p ? nexus_of_session(p->session) : NULL;
	struct operation *op;

	if (what == SENSE_ALUA_CHANGED) {
		if (!is_hidden(d))
			disk_watch_changed(d);
		return;
	}
	if (what == SENSE_RESET || what == SENSE_POWER_ON) {
		was_reset(d, p, what);
		return;
	}
	if (what == SENSE_RESERVATION_CHANGED) {
		if (!is_hidden(d))
			reservation_attention(d, p);
		return;
	}
	/* Somebody may have switched a write cache on. */
	if (what == SENSE_MODE_CHANGED)
		disk_set_caches(d, true, false);
	if (!n || !nexus_is_usable(n))
		return;
	/* Not one byte more of it before it is known whose it is. */
	if (what == SENSE_LUNS_CHANGED || what == SENSE_INQUIRY_CHANGED) {
		p->is_doubted = true;
		p->doubts++;
		disk_path_update(p);
	}
	if (what == SENSE_INQUIRY_CHANGED) {
		lun_verify(p);
		return;
	}
	if (what != SENSE_LUNS_CHANGED) {
		lun_rescan(p->lun, NULL);
		return;
	}
	op = operation_new(n->session->loop, NULL, NULL);
	lun_scan(n, op);
	operation_unref(op);
}

static struct path *path_by_wire(const struct session *s, const uint8_t wire[8])
{
	struct nexus *n = nexus_of_session(s);

	for (GList *k = n ? n->target->luns : NULL; k; k = k->next) {
		struct path *p = disk_path_find(((struct lun *)k->data)->disk, s);

		if (p && !memcmp(p->wire, wire, sizeof(p->wire)))
			return p;
	}
	return NULL;
}

void lun_attention(const struct session *s, const uint8_t wire[8], enum sense_class what)
{
	struct path *p = path_by_wire(s, wire);

	if (p && what != SENSE_RETRY_NOW)
		on_disk_changed(p->disk, p, what);
}

void lun_lost_write(const struct session *s, const uint8_t wire[8], const char *why)
{
	struct path *p = path_by_wire(s, wire);

	if (!p)
		return;
	disk_lost_write(p->disk);
	p->disk->ops->failed(p->disk, "an earlier write", ISDSC_SCSI_REQUEST_FAILED, EIO, why);
}

static bool may_tell(struct disk *d)
{
	int64_t second = loop_now_ms(d->loop) / 1000;

	if (second != d->event_second) {
		d->event_second = second;
		d->event_budget = EVENTS_A_SECOND;
	}
	if (!d->event_budget)
		return false;
	d->event_budget--;
	return true;
}

static void on_disk_failed(struct disk *d, const char *what, int code, int errno_value,
			   const char *why)
{
	char text[800];

	if (errno_value == EBUSY && *reservation_blame(d)) {
		g_snprintf(text, sizeof(text), "%s: %s", why, reservation_blame(d));
		why = text;
	}
	for (GList *k = d->luns; k; k = k->next)
		object_fail_text(&((struct lun *)k->data)->obj, what, code, errno_value, why);
	if (may_tell(d))
		event_emit(daemon_of(d), EVENT_IO_FAILED, "%s: %s failed: %s", d->name, what,
			   why);
}

static unsigned event_of(enum path_state now, enum path_state before)
{
	if (now == PATH_FAILED || now == PATH_LOST)
		return EVENT_PATH_FAILED;
	return before >= PATH_FAILED && now < PATH_FAILED ? EVENT_PATH_RESTORED
							  : EVENT_PATH_STATE;
}

static void on_path_changed(struct disk *d, struct path *p, enum path_state before)
{
	if (p->is_announced)
		event_emit(daemon_of(d), event_of(p->state, before),
			   "%s: path by session %u: %s (was %s)", d->name, p->session->sid,
			   path_state_name(p->state), path_state_name(before));
	if (p->state != PATH_OPTIMIZED)
		disk_watch(d, p->state == PATH_FAILED ? PATH_TRY_MS : 0);
	if (!path_state_is_usable(p->state))
		return;
	d->is_activated = false;
	reservation_share(d);
	if (!p->lun->has_disk) /* what it could not tell before */
		lun_verify(p);
}

static void on_activating(struct disk *d, struct path *p)
{
	event_emit(daemon_of(d), EVENT_PATH_STATE,
		   "%s: path by session %u: target port group %u is asked to become active",
		   d->name, p->session->sid, p->port.group);
}

static const struct disk_ops disk_ops = {
	.changed = on_disk_changed,
	.failed = on_disk_failed,
	.conflict = reservation_conflict,
	.path_changed = on_path_changed,
	.verify = lun_verify,
	.activating = on_activating,
	.look = disk_watch_look,
};

/* ---- making and freeing ---- */

static int compare_luns(const void *a, const void *b)
{
	const struct lun *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

void lun_name_disk(const struct lun *l)
{
	g_snprintf(l->disk->name, sizeof(l->disk->name), "%s: lun %u", l->target->name,
		   l->number);
}

struct lun *lun_new(struct target *t, const struct lun_facts *f)
{
	struct lun *l = g_new0(struct lun, 1);

	object_init(&l->obj, t->obj.loop, OBJECT_LUN, lun_free);
	l->target = t;
	object_ref(&t->obj);
	l->number = f->number;
	l->cache = t->daemon->conf.cache;
	l->open_pids = g_hash_table_new(NULL, NULL);
	l->disk = disk_new(t->obj.loop, &disk_ops, &t->daemon->bounce);
	l->disk->luns = g_list_append(NULL, l);
	lun_name_disk(l);
	t->luns = g_list_insert_sorted(t->luns, l, compare_luns);
	event_emit(t->daemon, EVENT_LUN_ADDED, "%s: lun %u appeared", t->name, l->number);
	return l;
}

/* Other units of the same disk keep theirs. */
static void remove_own_paths(struct lun *l)
{
	list_for_each_safe(pos, &l->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->lun == l)
			disk_path_remove(p);
	}
}

/* What is told of the disk from now on bears the name of one that is there. */
static void rename_disk(struct lun *gone)
{
	for (GList *k = gone->disk->luns; k; k = k->next) {
		const struct lun *l = k->data;

		if (l == gone || l->obj.is_gone)
			continue;
		lun_name_disk(l);
		return;
	}
}

void lun_gone(struct lun *l, int errno_value)
{
	struct target *t = l->target;

	event_emit(t->daemon, errno_value == ESTALE ? EVENT_LUN_REPLACED : EVENT_LUN_REMOVED,
		   "%s: lun %u %s", t->name, l->number,
		   errno_value == ESTALE ? "is another unit now: files open on it get ESTALE"
					 : "is gone");
	t->luns = g_list_remove(t->luns, l);
	attach_gone(l);
	lun_forget_wwid(l);
	remove_own_paths(l);
	rename_disk(l);
	if (list_is_empty(&l->disk->paths))
		disk_shutdown(l->disk, errno_value);
	object_gone(&l->obj);
}

/* ---- what people see ---- */

const char *lun_state_name(const struct lun *l)
{
	if (l->obj.is_gone)
		return "gone";
	if (!disk_is_usable(l->disk))
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

/* Who has this one open? */
static char *describe_holder(const struct lun *l)
{
	struct holder holder, ended_holder = { .name = "?" };
	bool is_unseen = false;
	pid_t ended = 0;
	GHashTableIter iter;
	void *key;

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

bool lun_is_open(const struct lun *l)
{
	for (GList *k = l->disk->luns; k; k = k->next)
		if (((struct lun *)k->data)->open_count)
			return true;
	return false;
}

bool lun_is_open_otherwise(const struct lun *l)
{
	unsigned opens = 0, devices = 0;

	for (GList *k = l->disk->luns; k; k = k->next) {
		opens += ((const struct lun *)k->data)->open_count;
		devices += attach_device(k->data) != NULL;
	}
	return opens > devices;
}

char *lun_holder(const struct lun *l)
{
	for (GList *k = l->disk->luns; k; k = k->next) {
		const struct lun *same = k->data;

		if (same->open_count)
			return describe_holder(same);
	}
	return NULL;
}

/* ---- what people set ---- */

gboolean lun_set_policy(struct lun *l, const char *name, GError **err)
{
	if (policy_parse(name, &l->disk->policy) < 0) {
		error_set(err, ISDSC_INVALID_LOAD_BALANCE_POLICY,
			  "%s: \"%s\" is no policy; reading `ctl` lists them", l->disk->name,
			  name);
		return FALSE;
	}
	policies_set(l->target->daemon->policies, POLICIES_DISKS, l->wwid, l->disk->policy);
	event_emit(l->target->daemon, EVENT_POLICY_CHANGED, "%s: policy %s", l->disk->name,
		   name);
	return TRUE;
}

static struct path *find_path_by_number(const struct lun *l, const char *sid)
{
	uint64_t number;

	if (text_parse_u64(sid, 0, UINT_MAX, &number) < 0)
		return NULL;
	list_for_each(pos, &l->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->session->sid == number)
			return p;
	}
	return NULL;
}

static void set_lane(struct lun *l, struct path *p, bool is_standby, int64_t weight)
{
	p->lane.is_standby = is_standby;
	if (weight >= 0)
		p->lane.weight = (unsigned)weight;
	event_emit(l->target->daemon, EVENT_POLICY_CHANGED,
		   "%s: path by session %u: role %s, weight %u", l->disk->name, p->session->sid,
		   p->lane.is_standby ? "standby" : "active", p->lane.weight);
}

gboolean lun_set_paths(struct lun *l, const char *name, const char *paths, GError **err)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	g_autoptr(GArray) set = pathset_parse(paths, err);
	enum policy policy;

	list_for_each(pos, &l->disk->paths) {
		uint64_t sid = list_entry(pos, struct path, link)->session->sid;

		g_array_append_val(ids, sid);
	}
	if (set && policy_parse(name, &policy) < 0)
		return lun_set_policy(l, name, err);
	if (!set || !pathset_check(set, policy, (const uint64_t *)(void *)ids->data, ids->len,
				   err)) {
		g_prefix_error(err, "%s: ", l->disk->name);
		return FALSE;
	}
	list_for_each(pos, &l->disk->paths) {
		struct path *p = list_entry(pos, struct path, link);
		const struct pathset_path *path = pathset_find(set, p->session->sid);

		set_lane(l, p, path->is_standby, path->weight);
	}
	return TRUE;
}

gboolean lun_set_path(struct lun *l, const char *sid, const char *role, int64_t weight,
		      GError **err)
{
	struct path *p = find_path_by_number(l, sid);
	bool is_standby = role && !strcmp(role, "standby");

	if (!p) {
		error_set_errno(err, ISDSC_INVALID_PATH_ID, ENOENT,
				"%s: no path by a session %s", l->disk->name, sid);
		return FALSE;
	}
	if (role && !is_standby && strcmp(role, "active") != 0) {
		error_set(err, ISDSC_INVALID_PARAMETER, "a role is active or standby");
		return FALSE;
	}
	set_lane(l, p, role ? is_standby : p->lane.is_standby, weight);
	return TRUE;
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
