/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths of a disk: their states, and which one the next command takes. See disk_path.h. */
#include "core/disk_path.h"

#include <string.h>

#include "core/disk.h"
#include "core/query.h"

const char *path_state_name(enum path_state s)
{
	static const char *const names[PATH_STATES] = {
		[PATH_OPTIMIZED] = "optimized",
		[PATH_NON_OPTIMIZED] = "non-optimized",
		[PATH_TRANSITIONING] = "transitioning",
		[PATH_STANDBY] = "standby",
		[PATH_UNAVAILABLE] = "unavailable",
		[PATH_FAILED] = "failed",
		[PATH_UNVERIFIED] = "unverified",
		[PATH_LOST] = "lost",
	};

	return names[s];
}

/* ---- coming and going ---- */

static void path_free(struct object *o)
{
	struct path *p = container_of(o, struct path, obj);

	object_unref(&p->session->obj);
	object_done(o);
	g_free(p);
}

struct path *disk_path_add(struct disk *d, struct lun *lun, struct session *s,
			   const uint8_t wire[8])
{
	struct path *p = g_new0(struct path, 1);

	object_init(&p->obj, d->loop, OBJECT_PATH, path_free);
	p->disk = d;
	p->lun = lun;
	p->session = s;
	object_ref(&s->obj);
	memcpy(p->wire, wire, sizeof(p->wire));
	p->state = PATH_UNVERIFIED;
	p->since_us = g_get_real_time();
	lane_init(&p->lane, s->sid);
	list_push_tail(&d->paths, &p->link);
	return p;
}

static void forget_path(struct disk *d, const struct path *p)
{
	list_for_each(pos, &d->active) {
		struct disk_io *io = list_entry(pos, struct disk_io, link);

		if (io->path == p)
			io->path = NULL;
	}
}

/* What disk_send() decides by. */
static void count_usable(struct disk *d)
{
	unsigned before = d->usable_paths;

	d->usable_paths = 0;
	d->only = NULL;
	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (!path_state_is_usable(p->state))
			continue;
		d->only = d->usable_paths++ ? NULL : p;
	}
	if (before && !d->usable_paths)
		d->stranded_us = loop_now_us(d->loop);
}

static void detach(struct path *p)
{
	struct disk *d = p->disk;

	query_cancel(p->look);
	p->look = NULL;
	forget_path(d, p);
	list_remove(&p->link);
	p->lane.in_flight = 0;
	p->disk = NULL;
	count_usable(d);
}

void disk_path_remove(struct path *p)
{
	detach(p);
	p->lun = NULL;
	object_gone(&p->obj);
}

void disk_path_move(struct path *p, struct disk *d)
{
	detach(p);
	p->disk = d;
	list_push_tail(&d->paths, &p->link);
	count_usable(d);
	if (path_state_is_usable(p->state))
		disk_kick(d);
	if (p->state != PATH_OPTIMIZED)
		disk_watch(d, PATH_TRY_MS);
}

struct path *disk_path_find(const struct disk *d, const struct session *s)
{
	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->session == s)
			return p;
	}
	return NULL;
}

/* ---- states ---- */

static enum path_state state_by_access(enum alua_access access)
{
	switch (access) {
	case ALUA_OPTIMIZED:
		return PATH_OPTIMIZED;
	case ALUA_NON_OPTIMIZED:
	case ALUA_LBA_DEPENDENT:
		return PATH_NON_OPTIMIZED;
	case ALUA_TRANSITIONING:
		return PATH_TRANSITIONING;
	case ALUA_STANDBY:
		return PATH_STANDBY;
	default:
		return PATH_UNAVAILABLE;
	}
}

static enum path_state state_by_facts(const struct path *p)
{
	if (p->is_lost)
		return PATH_LOST;
	if (!p->is_verified || p->is_doubted)
		return PATH_UNVERIFIED;
	if (p->is_failed)
		return PATH_FAILED;
	return state_by_access(p->access);
}

static bool is_away(enum path_state s)
{
	return s == PATH_FAILED || s == PATH_LOST;
}

static void set_state(struct path *p, enum path_state now)
{
	enum path_state before = p->state;
	struct disk *d = p->disk;

	p->state = now;
	p->since_us = g_get_real_time();
	if (is_away(now) && !is_away(before))
		p->stats.failures++;
	else if (now < PATH_FAILED && p->stats.recoveries < p->stats.failures)
		p->stats.recoveries = p->stats.failures;
	count_usable(d);
	if (path_state_is_usable(now) && !path_state_is_usable(before))
		p->errors_in_row = 0;
	if (d->ops && d->ops->path_changed)
		d->ops->path_changed(d, p, before);
	if (path_state_is_usable(now))
		disk_kick(d);
}

void disk_path_update(struct path *p)
{
	enum path_state now = state_by_facts(p);

	if (now != p->state)
		set_state(p, now);
}

void disk_path_error(struct path *p, int64_t sent_us)
{
	p->stats.errors++;
	/* A session in trouble is its owner's business; and what was under way together with a
	 * command that failed fails for the same reason. */
	if (!session_is_usable(p->session) || sent_us <= p->error_us)
		return;
	p->error_us = loop_now_us(p->disk->loop);
	if (++p->errors_in_row < PATH_ERRORS_MAX)
		return;
	p->is_failed = true;
	disk_path_update(p);
}

void disk_path_told(struct path *p, enum alua_access access)
{
	if (p->tpgs)
		p->access = access;
	else if (access != ALUA_TRANSITIONING)
		p->is_failed = true; /* no ALUA, and yet it says so: it is tried again */
	disk_path_update(p);
}

/* ---- choosing ---- */

static bool is_better(const struct disk *d, const struct path *a, const struct path *b,
		      const struct path *avoid)
{
	if ((a == avoid) != (b == avoid))
		return b == avoid;
	if (a->state != b->state)
		return a->state < b->state;
	return policy_prefers(d->policy, &a->lane, &b->lane);
}

struct path *disk_path_pick(struct disk *d, const struct path *avoid)
{
	struct path *best = NULL;

	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (path_is_usable(p) && (!best || is_better(d, p, best, avoid)))
			best = p;
	}
	if (best)
		policy_take(&best->lane, &d->policy_clock);
	return best;
}

/* ---- for people ---- */

/* A session may be away before its path has been told. */
static const char *plain_state(const struct path *p)
{
	bool is_lost = path_state_is_usable(p->state) && !session_is_usable(p->session);

	return path_state_name(is_lost ? PATH_LOST : p->state);
}

char *disk_path_list(const struct disk *d, char *buf, size_t size)
{
	size_t used = 0;

	buf[0] = '\0';
	list_for_each(pos, &d->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (used >= size)
			break;
		used += (size_t)g_snprintf(buf + used, size - used, "%ssession %u: %s",
					   used ? ", " : "", p->session->sid, plain_state(p));
	}
	return buf;
}
