/* SPDX-License-Identifier: BSD-2-Clause */
/* Counting mapped blocks; see the header. A count holds its unit, and the end of the daemon
 * waits for it (its session is closed by then, so that is soon). */
#include "core/usage.h"

#include <string.h>

#include "core/query.h"
#include "core/target.h"
#include "scsi/cdb.h"

#define STATUS_BYTES 16384 /* a thousand extents an answer */
#define COMMANDS_MAX 64	   /* a unit in more pieces than these tell is left alone ... */
#define AGAIN_US (60 * G_USEC_PER_SEC) /* ... for this long */
#define LEAST_BYTES 4096
#define NEWS_US (G_USEC_PER_SEC / 2) /* not more often */

struct usage {
	bool is_known, is_counting;
	uint64_t mapped;  /* blocks, if it is known */
	uint64_t changes; /* disk->changes when the count began */
	int64_t next_us;  /* loop time: not before */
};

struct count {
	struct lun *lun;
	struct session *session;
	uint8_t wire[8];
	uint64_t lba, mapped;
	unsigned commands;
};

static void count_end(struct count *c, bool is_known)
{
	struct usage *u = c->lun->usage;

	u->is_counting = false;
	u->is_known = is_known; /* written to meanwhile: usage_bytes() sees */
	u->mapped = c->mapped;
	u->next_us = loop_now_us(c->lun->obj.loop) + (is_known ? NEWS_US : AGAIN_US);
	daemon_release(c->lun->target->daemon);
	object_unref(&c->session->obj);
	object_unref(&c->lun->obj);
	g_free(c);
}

static void on_answer(void *arg, const struct query_answer *a);

static void count_go(struct count *c)
{
	uint8_t cdb[TASK_CDB_MAX];
	unsigned cdb_bytes = cdb_get_lba_status(cdb, c->lba, STATUS_BYTES);

	c->commands++;
	query_start(c->session, c->wire, cdb, cdb_bytes, STATUS_BYTES, on_answer, c);
}

static void on_answer(void *arg, const struct query_answer *a)
{
	struct count *c = arg;
	uint64_t end = c->lun->disk->blocks, mapped, lba;

	if (query_is_refused(a))
		c->lun->disk->provision.refuses_status = true;
	if (a->result < 0) {
		count_end(c, false);
		return;
	}
	lba = provision_count(a->data, a->bytes, c->lba, end, &mapped);
	c->mapped += mapped;
	if (lba >= end || lba == c->lba || c->commands == COMMANDS_MAX) {
		count_end(c, lba >= end);
		return;
	}
	c->lba = lba;
	count_go(c);
}

static bool can_tell(const struct lun *l)
{
	const struct disk_provision *p = &l->disk->provision;

	return l->has_disk && p->is_thin && p->has_zeros && !p->refuses_status &&
	       target_expose(l->target) != EXPOSE_NONE;
}

static bool is_wanted(const struct lun *l)
{
	const struct usage *u = l->usage;

	if (!can_tell(l) || l->target->daemon->is_shutting_down)
		return false;
	return !u || (!u->is_counting && loop_now_us(l->obj.loop) >= u->next_us &&
		      (!u->is_known || u->changes != l->disk->changes));
}

void usage_look(struct lun *l)
{
	struct path *p = is_wanted(l) ? lun_usable_path(l) : NULL;
	struct count *c;

	if (!p)
		return;
	if (!l->usage)
		l->usage = g_new0(struct usage, 1);
	l->usage->is_counting = true;
	l->usage->changes = l->disk->changes;
	c = g_new0(struct count, 1);
	c->lun = l;
	object_ref(&l->obj);
	c->session = p->session;
	object_ref(&p->session->obj);
	daemon_hold(l->target->daemon);
	memcpy(c->wire, p->wire, sizeof(c->wire));
	count_go(c);
}

uint64_t usage_bytes(struct lun *l)
{
	uint64_t size = disk_bytes(l->disk);

	usage_look(l);
	if (!l->usage || !l->usage->is_known || !can_tell(l) ||
	    l->usage->changes != l->disk->changes)
		return size;
	return MIN(size, MAX(l->usage->mapped * l->disk->block_bytes, LEAST_BYTES));
}
