/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths are looked after; see disk_watch.h. Each path has at most one command of this kind
 * under way: path->look, cancelled when the path goes. */
#include "core/disk_watch.h"

#include <errno.h>

#include "base/log.h"
#include "core/query.h"
#include "scsi/cdb.h"

#define REPORT_BYTES 4096
#define REPORT_BYTES_MAX 65536 /* more than a thousand groups of eight ports */

static bool can_be_asked(const struct path *p)
{
	return !p->is_lost && !p->look && session_is_usable(p->session);
}

/* ---- TEST UNIT READY ---- */

/* Any answer comes by a path that works, except one that says that it does not. */
static bool is_alive(const struct query_answer *a)
{
	return a->has_response && sense_judge(a->status, &a->sense).class != SENSE_PATH;
}

static void on_tried(void *arg, const struct query_answer *a)
{
	struct path *p = arg;

	p->look = NULL;
	if (!is_alive(a))
		return;
	p->is_failed = false;
	disk_path_update(p);
}

static void try_path(struct path *p)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_test_unit_ready(cdb);

	p->look = query_start(p->session, p->wire, cdb, cdb_bytes, 0, on_tried, p);
	query_once(p->look);
}

/* ---- SET TARGET PORT GROUPS ---- */

static void on_activated(void *arg, const struct query_answer *a)
{
	struct path *p = arg;
	struct disk *d = p->disk;

	p->look = NULL;
	if (a->result < 0)
		log_warning("%s: session %u: SET TARGET PORT GROUPS: %s", d->name,
			    p->session->sid, a->text);
	disk_watch_changed(d); /* what came of it is told by a report */
}

static bool can_activate(const struct path *p)
{
	return p->state == PATH_STANDBY && p->tpgs & ALUA_EXPLICIT && p->port.has_group &&
	       can_be_asked(p);
}

static bool is_anything_better(const struct disk *d)
{
	list_for_each(pos, &d->paths)
		if (list_entry(pos, struct path, link)->state <= PATH_TRANSITIONING)
			return true;
	return false;
}

/* The standby path that the policy would take. */
static struct path *pick_standby(const struct disk *d)
{
	struct path *best = NULL;

	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (can_activate(p) &&
		    (!best || policy_prefers(d->policy, &p->lane, &best->lane)))
			best = p;
	}
	return best;
}

/* One group goes to standby, then the other becomes active: not to be interfered with. */
static bool is_in_grace(const struct disk *d)
{
	return d->stranded_us && loop_now_us(d->loop) < d->stranded_us + ALUA_GRACE_MS * 1000;
}

static void activate(struct disk *d)
{
	uint8_t cdb[TASK_CDB_MAX], data[ALUA_SET_BYTES];
	unsigned cdb_bytes = cdb_set_target_port_groups(cdb, sizeof(data));
	struct path *p;

	if (d->is_activated || list_is_empty(&d->parked) || is_anything_better(d) ||
	    is_in_grace(d))
		return;
	p = pick_standby(d);
	if (!p)
		return;
	d->is_activated = true;
	if (d->ops && d->ops->activating)
		d->ops->activating(d, p);
	alua_set_encode(data, p->port.group, ALUA_OPTIMIZED);
	p->look = query_write(p->session, p->wire, cdb, cdb_bytes, data, sizeof(data),
			      on_activated, p);
}

/* ---- REPORT TARGET PORT GROUPS ---- */

void disk_watch_report(struct disk *d, const uint8_t *data, uint32_t bytes)
{
	/* A state that changes calls others, who do not touch the list. */
	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);
		struct alua_group g;

		if (!p->tpgs || !p->port.has_group ||
		    !alua_groups_find(data, bytes, p->port.group, &g))
			continue;
		p->access = g.access;
		disk_path_update(p);
	}
	activate(d);
}

static void ask_report(struct path *p, uint32_t bytes);

static void on_report(void *arg, const struct query_answer *a)
{
	struct path *p = arg;
	uint32_t needed;

	p->look = NULL;
	p->is_mute = a->result < 0 || alua_groups_needed(a->data, a->bytes, &needed) < 0;
	if (p->is_mute)
		log_debug("%s: session %u: REPORT TARGET PORT GROUPS: %s", p->disk->name,
			  p->session->sid, a->result < 0 ? a->text : "too short an answer");
	else if (needed > a->bytes && a->bytes == REPORT_BYTES)
		ask_report(p, MIN(needed, REPORT_BYTES_MAX));
	else
		disk_watch_report(p->disk, a->data, a->bytes);
}

static void ask_report(struct path *p, uint32_t bytes)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_report_target_port_groups(cdb, bytes);

	p->look = query_start(p->session, p->wire, cdb, cdb_bytes, bytes, on_report, p);
	query_once(p->look);
}

/* All tell the same; one that did not answer last time comes last. */
static struct path *pick_reporter(const struct disk *d)
{
	struct path *best = NULL;

	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->tpgs && p->is_verified && can_be_asked(p) &&
		    (!best || p->is_mute < best->is_mute ||
		     (p->is_mute == best->is_mute && p->state < best->state)))
			best = p;
	}
	return best;
}

static bool wants_report(const struct disk *d)
{
	list_for_each(pos, &d->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (p->tpgs && !p->is_lost &&
		    (p->state != PATH_OPTIMIZED || d->is_report_wanted))
			return true;
	}
	return false;
}

static int64_t report_ms(const struct disk *d)
{
	if (d->is_report_wanted)
		return ALUA_SOON_MS;
	return list_is_empty(&d->parked) ? ALUA_REPORT_MS : ALUA_HURRY_MS;
}

/* Asks if it is time. How long until it is time again (ms), or -1: not at all. */
static int64_t look_at_groups(struct disk *d)
{
	int64_t now = loop_now_us(d->loop);
	int64_t wait_us = d->reported_us + report_ms(d) * 1000 - now;
	struct path *p;

	if (!wants_report(d))
		return -1;
	if (wait_us > 0 && d->reported_us)
		return wait_us / 1000 + 1;
	p = pick_reporter(d);
	if (p) {
		d->is_report_wanted = false;
		ask_report(p, REPORT_BYTES);
	}
	d->reported_us = now;
	return report_ms(d);
}

/* ---- all of it ---- */

/* True: @p is to be looked at again. */
static bool look_at(struct path *p)
{
	if (p->state == PATH_FAILED && can_be_asked(p))
		try_path(p);
	else if (p->state == PATH_UNVERIFIED && can_be_asked(p) && p->disk->ops->verify)
		p->disk->ops->verify(p);
	return p->state == PATH_FAILED || p->state == PATH_UNVERIFIED;
}

void disk_watch_look(struct disk *d)
{
	bool is_wrong = false;
	int64_t ms;

	list_for_each(pos, &d->paths)
		is_wrong |= look_at(list_entry(pos, struct path, link));
	ms = look_at_groups(d);
	if (ms >= 0)
		disk_watch(d, ms);
	if (is_wrong)
		disk_watch(d, PATH_TRY_MS);
}

void disk_watch_changed(struct disk *d)
{
	d->is_report_wanted = true;
	disk_watch(d, 0);
}
