/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks: see disk.h for the states of a request. */
#include "core/disk.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/disk_judge.h"
#include "scsi/cdb.h"

#define DISK_TRIES_MAX 16      /* of a command that is to be sent again at once */
#define DISK_PAUSE_FIRST_MS 50 /* before one that met BUSY is sent again; then doubled ... */
#define DISK_PAUSE_MAX_MS 1000 /* ... up to this */
#define DISK_CONFLICTS_MAX 5   /* RESERVATION CONFLICTs: a cluster's fence may be on its way */
#define DISK_CONFLICT_MS 200
#define DISK_BUFFER_WAIT_MS 5  /* before looking for a bounce buffer again */
#define DISK_PARK_LOOK_MS 1000 /* parked ones look for a path themselves, too */

static void disk_task_done(struct task *t);
static void disk_pause_expired(struct loop_timer *t);
static void disk_park_expired(struct loop_timer *t);
static void disk_watch_expired(struct loop_timer *t);
static void disk_finish_call(struct loop_call *c);
static void disk_kick_call(struct loop_call *c);

struct disk *disk_new(struct loop *l, const struct disk_ops *ops, struct pool *bounce)
{
	struct disk *d = g_new0(struct disk, 1);

	d->refs = 1;
	d->loop = l;
	d->ops = ops;
	d->bounce = bounce;
	d->timeout_ms = 30000;
	/* The one policy that finds out by itself that a path is slower than the others. */
	d->policy = POLICY_LEAST_QUEUE_DEPTH;
	list_init(&d->reap.link);
	list_init(&d->paths);
	list_init(&d->active);
	list_init(&d->waiting);
	list_init(&d->paused);
	list_init(&d->parked);
	list_init(&d->finished);
	loop_timer_init(l, &d->pause_timer, disk_pause_expired);
	loop_timer_init(l, &d->park_timer, disk_park_expired);
	loop_timer_init(l, &d->watch_timer, disk_watch_expired);
	loop_call_init(&d->finish, disk_finish_call);
	loop_call_init(&d->kick, disk_kick_call);
	d->jitter = 2463534242u;
	return d;
}

static void disk_free(struct loop_reap *r)
{
	struct disk *d = container_of(r, struct disk, reap);

	assert(!d->active_count && list_is_empty(&d->waiting) && list_is_empty(&d->finished));
	list_for_each_safe(pos, &d->paths)
		disk_path_remove(list_entry(pos, struct path, link));
	loop_timer_done(&d->pause_timer);
	loop_timer_done(&d->park_timer);
	loop_timer_done(&d->watch_timer);
	loop_call_cancel(&d->finish);
	loop_call_cancel(&d->kick);
	g_free(d->reservation);
	g_list_free(d->luns);
	g_free(d);
}

struct disk *disk_ref(struct disk *d)
{
	assert(d->refs);
	d->refs++;
	return d;
}

void disk_unref(struct disk *d)
{
	assert(d->refs);
	if (!--d->refs)
		loop_reap(d->loop, &d->reap, disk_free);
}

int disk_set_geometry(struct disk *d, const struct capacity *c, const struct block_limits *b)
{
	uint32_t max_blocks;

	if (!c->block_bytes || c->block_bytes > DISK_BLOCK_BYTES_MAX || !c->blocks)
		return -EINVAL;
	/* The largest request that begins and ends inside a block touches two more. */
	max_blocks = DISK_IO_BYTES_MAX / c->block_bytes + 2;
	if (b && b->max_transfer_blocks && b->max_transfer_blocks < max_blocks)
		max_blocks = b->max_transfer_blocks;
	/* What is under way was computed with the old block length. */
	if (d->block_bytes && d->block_bytes != c->block_bytes &&
	    (d->active_count || !list_is_empty(&d->waiting)))
		return -EBUSY;
	d->changes += d->blocks != c->blocks;
	d->blocks = c->blocks;
	d->block_bytes = c->block_bytes;
	d->max_command_blocks = max_blocks;
	return 0;
}

uint64_t disk_bytes(const struct disk *d)
{
	return d->blocks * d->block_bytes;
}

bool disk_is_usable(const struct disk *d)
{
	list_for_each(pos, &d->paths)
		if (path_is_usable(list_entry(pos, struct path, link)))
			return !d->is_gone;
	return false;
}

void disk_kick(struct disk *d)
{
	if (!list_is_empty(&d->parked))
		loop_call_queue(d->loop, &d->kick);
}

void disk_watch(struct disk *d, int64_t ms)
{
	if (!d->ops || !d->ops->look || d->is_gone)
		return;
	if (!loop_timer_is_running(&d->watch_timer) ||
	    d->watch_timer.due_us > loop_now_us(d->loop) + ms * 1000)
		loop_timer_start(&d->watch_timer, ms);
}

static void disk_watch_expired(struct loop_timer *timer)
{
	struct disk *d = container_of(timer, struct disk, watch_timer);

	if (!d->is_gone)
		d->ops->look(d);
}

/* --- ranges --- */

static bool ranges_meet(const struct disk_io *a, const struct disk_io *b)
{
	return a->lba < b->lba + b->blocks && b->lba < a->lba + a->blocks;
}

static bool is_write(const struct disk_io *io)
{
	return io->op == DISK_WRITE || io->op == DISK_PUNCH || io->op == DISK_ZERO ||
	       io->op == DISK_COPY;
}

/* May @io not be in flight together with @other? Two writes of whole blocks may: which of them
 * is the later one is for their senders to settle. A read-modify-write may not meet any write:
 * it would put back bytes that were there before. */
static bool io_excludes(const struct disk_io *io, const struct disk_io *other)
{
	return is_write(other) && (io->is_unaligned || other->is_unaligned) &&
	       ranges_meet(io, other);
}

/* One of @ios, up to @io itself if it is there. */
static bool any_excludes(const struct list *ios, const struct disk_io *io)
{
	list_for_each(pos, ios) {
		const struct disk_io *other = list_entry(pos, struct disk_io, link);

		if (other == io) /* only those before it count */
			break;
		if (io_excludes(io, other))
			return true;
	}
	return false;
}

static bool disk_must_wait(const struct disk *d, const struct disk_io *io)
{
	if (!is_write(io) ||
	    (!io->is_unaligned && !d->active_unaligned && list_is_empty(&d->waiting)))
		return false;
	return any_excludes(&d->active, io) || any_excludes(&d->paused, io) ||
	       any_excludes(&d->parked, io) || any_excludes(&d->waiting, io);
}

/* --- the end of a request --- */

static void disk_start(struct disk *d, struct disk_io *io);

static void disk_wake_waiting(struct disk *d)
{
	list_for_each_safe(pos, &d->waiting) {
		struct disk_io *io = list_entry(pos, struct disk_io, link);

		if (disk_must_wait(d, io))
			continue;
		list_remove(&io->link);
		disk_start(d, io);
	}
}

/* Out of all lists and ranges; what waited for it may go. */
static void disk_release(struct disk *d, struct disk_io *io)
{
	list_remove(&io->link);
	if (io->state != DISK_IO_WAIT_RANGE) {
		d->active_count--;
		d->active_unaligned -= io->is_unaligned;
	}
	if (io->bounce)
		pool_put(d->bounce, io->bounce);
	io->bounce = NULL;
	if (io->op == DISK_COPY)
		disk_unref(io->source);
	io->state = DISK_IO_DONE;
	if (!list_is_empty(&d->waiting)) /* not now: a caller may walk the lists */
		loop_call_queue(d->loop, &d->finish);
}

/* That a unit cannot do something, or has no more data, is no error of its own. */
static bool is_failure(const struct disk_io *io, int result)
{
	return result < 0 && !(disk_range_is(io) && (result == -EOPNOTSUPP || result == -ENXIO));
}

static void disk_count(struct disk *d, const struct disk_io *io, int result)
{
	struct disk_stats *s = &d->stats;
	const struct {
		uint64_t *count, *bytes;
		uint64_t more;
	} rows[] = {
		[DISK_READ] = { &s->reads, &s->read_bytes, io->bytes },
		[DISK_WRITE] = { &s->writes, &s->write_bytes, io->bytes },
		[DISK_FLUSH] = { &s->flushes, NULL, 0 },
		[DISK_PUNCH] = { &s->punches, &s->punched_bytes, io->length },
		[DISK_ZERO] = { &s->zeroes, &s->zeroed_bytes, io->length },
		[DISK_COPY] = { &s->copies, &s->copied_bytes, io->length },
		[DISK_SEEK_DATA] = { &s->seeks, NULL, 0 },
		[DISK_SEEK_HOLE] = { &s->seeks, NULL, 0 },
	};

	if (is_failure(io, result))
		s->errors++;
	if (result < 0)
		return;
	++*rows[io->op].count;
	if (rows[io->op].bytes)
		*rows[io->op].bytes += rows[io->op].more;
}

static void disk_finish(struct disk *d, struct disk_io *io, int result)
{
	disk_count(d, io, result);
	disk_release(d, io);
	io->done(io, result);
}

/* The same from inside a call of the request's owner. */
static void disk_finish_later(struct disk *d, struct disk_io *io, int result)
{
	disk_count(d, io, result);
	disk_release(d, io);
	io->result = result;
	list_push_tail(&d->finished, &io->link);
	loop_call_queue(d->loop, &d->finish);
}

static void disk_finish_call(struct loop_call *c)
{
	struct disk *d = container_of(c, struct disk, finish);
	struct list *node;

	disk_ref(d);
	while ((node = list_pop(&d->finished))) {
		struct disk_io *io = list_entry(node, struct disk_io, link);

		io->done(io, io->result);
	}
	disk_wake_waiting(d);
	disk_unref(d);
}

static const char *op_name(enum disk_op op)
{
	static const char *const names[] = {
		[DISK_READ] = "read",		[DISK_WRITE] = "write",
		[DISK_FLUSH] = "flush",		[DISK_PUNCH] = "hole",
		[DISK_ZERO] = "zeros",		[DISK_SEEK_DATA] = "search for data",
		[DISK_COPY] = "copy",
		[DISK_SEEK_HOLE] = "search for a hole",
	};

	return names[op];
}

/* Tell people why @io fails. */
static int disk_blame(struct disk *d, const struct disk_io *io, int code, int errno_value,
		      const char *why)
{
	char what[96];

	g_snprintf(what, sizeof(what), "%s of %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT,
		   op_name(io->op), disk_range_is(io) ? io->length : io->bytes, io->offset);
	if (d->ops && d->ops->failed)
		d->ops->failed(d, what, code, errno_value, why);
	return -errno_value;
}

static bool io_is_late(const struct disk *d, const struct disk_io *io)
{
	return loop_now_us(d->loop) >= io->deadline_us;
}

/* Its time is up: what did it wait for all the time? */
static int disk_blame_late(struct disk *d, const struct disk_io *io)
{
	char why[512], paths[256];
	const char *before = io->why[0] ? "; before that: " : "";

	if (io->state == DISK_IO_WAIT_RANGE)
		return disk_blame(
			d, io, ISDSC_SCSI_REQUEST_FAILED, EIO,
			"its deadline passed while it waited for writes of the same blocks");
	if (io->state != DISK_IO_WAIT_PATH) {
		g_snprintf(why, sizeof(why), "no success before its deadline%s%s",
			   io->why[0] ? ": " : "", io->why);
		return disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO, why);
	}
	g_snprintf(why, sizeof(why), "no usable path until its deadline (%s)%s%s",
		   disk_path_list(d, paths, sizeof(paths)), before, io->why);
	return disk_blame(d, io, ISDSC_CONNECTION_FAILED, EIO, why);
}

/* --- commands --- */

/* Does its present state ask for SYNCHRONIZE CACHE? */
static bool io_is_sync(const struct disk_io *io)
{
	return io->op == DISK_FLUSH || io->state == DISK_IO_SYNC;
}

/* The command of the state, into the task. */
static void disk_build(const struct disk *d, struct disk_io *io)
{
	struct task *t = &io->task;
	uint8_t *data = io->bounce ? io->bounce : io->data;
	bool is_write = io->op == DISK_WRITE && io->state == DISK_IO_COMMAND;
	uint64_t lba = io->next_lba;

	if (io_is_sync(io)) {
		io->sync_count = d->written;
		t->cdb_bytes = (uint8_t)cdb_synchronize_cache(t->cdb, 0, 0);
		t->direction = TASK_NO_DATA;
		t->data_bytes = 0;
		return;
	}
	if (disk_range_is(io)) {
		disk_range_build(d, io);
		return;
	}
	if (io->state == DISK_IO_HEAD)
		lba = io->lba;
	else if (io->state == DISK_IO_TAIL)
		lba = io->lba + io->blocks - 1;
	io->command_blocks = 1;
	if (io->state == DISK_IO_COMMAND)
		io->command_blocks =
			(uint32_t)MIN(io->lba + io->blocks - lba, d->max_command_blocks);
	io->lacks_fua |= is_write && !d->has_fua;
	t->cdb_bytes = (uint8_t)(is_write ? cdb_write(t->cdb, lba, io->command_blocks,
						      io->is_fua && d->has_fua)
					  : cdb_read(t->cdb, lba, io->command_blocks));
	t->direction = is_write ? TASK_WRITE : TASK_READ;
	t->data = data + (lba - io->lba) * d->block_bytes;
	t->data_bytes = io->command_blocks * d->block_bytes;
}

/* No path is usable: @io waits for one. */
static void disk_park(struct disk *d, struct disk_io *io)
{
	int64_t us = MIN(io->deadline_us - loop_now_us(d->loop), DISK_PARK_LOOK_MS * 1000);

	io->paused_state = io->state;
	io->state = DISK_IO_WAIT_PATH;
	list_remove(&io->link);
	list_push_tail(&d->parked, &io->link);
	if (!loop_timer_is_running(&d->park_timer) ||
	    d->park_timer.due_us > loop_now_us(d->loop) + us)
		loop_timer_start_us(&d->park_timer, us);
	disk_watch(d, 0);
}

/* Build and submit the command of the state, or park it: 0, or -errno when it is over. */
static int disk_send(struct disk *d, struct disk_io *io)
{
	struct path *p = d->only;

	if (d->is_gone)
		return -d->gone_errno;
	if (!p || !session_is_usable(p->session))
		p = disk_path_pick(d, io->avoid);
	if (!p) {
		disk_park(d, io);
		return 0;
	}
	disk_build(d, io);
	memcpy(io->task.lun, p->wire, sizeof(io->task.lun));
	io->sent_us = loop_now_us(d->loop);
	io->task.deadline_us = io->deadline_us;
	io->task.is_hurried = d->usable_paths > 1; /* leave time for another one */
	if (session_submit(p->session, &io->task) < 0) {
		disk_park(d, io);
		return 0;
	}
	io->path = p;
	p->lane.in_flight++;
	p->stats.ios++;
	return 0;
}

/* The first state of a request that may run: what must be read before it can be written? */
static enum disk_io_state io_first_state(const struct disk *d, const struct disk_io *io)
{
	if (io->op != DISK_WRITE || !io->is_unaligned)
		return DISK_IO_COMMAND;
	return io->offset % d->block_bytes ? DISK_IO_HEAD : DISK_IO_TAIL;
}

static void disk_pause(struct disk *d, struct disk_io *io, int64_t ms)
{
	int64_t now = loop_now_us(d->loop);

	io->paused_state = io->state;
	io->state = DISK_IO_PAUSE;
	io->again_us = MIN(now + ms * 1000, io->deadline_us);
	list_remove(&io->link);
	list_push_tail(&d->paused, &io->link);
	if (!loop_timer_is_running(&d->pause_timer) || d->pause_timer.due_us > io->again_us)
		loop_timer_start_us(&d->pause_timer, io->again_us - now);
}

/* 50, 100 ... 1000 ms, and up to a quarter more, so that those who met BUSY together do not
 * meet again. */
static int64_t disk_pause_ms(struct disk *d, struct disk_io *io)
{
	int64_t ms = MIN(DISK_PAUSE_FIRST_MS << MIN(io->pauses, 5u), DISK_PAUSE_MAX_MS);

	io->pauses++;
	d->jitter ^= d->jitter << 13; /* xorshift, G. Marsaglia */
	d->jitter ^= d->jitter >> 17;
	d->jitter ^= d->jitter << 5;
	return ms + d->jitter % (ms / 4);
}

/* @io holds its range: get what it needs and send. 0, or -errno: the caller finishes it. */
static int disk_go(struct disk *d, struct disk_io *io)
{
	if (io->is_unaligned && !io->bounce) {
		io->bounce = pool_get(d->bounce);
		if (!io->bounce) {
			io->state = DISK_IO_WAIT_BUFFER;
			disk_pause(d, io, DISK_BUFFER_WAIT_MS);
			return 0;
		}
	}
	io->state = io_first_state(d, io);
	return disk_send(d, io);
}

/* May be inside the owner's submit: what fails now is told later. */
static void disk_start(struct disk *d, struct disk_io *io)
{
	int r = io_is_late(d, io) ? disk_blame_late(d, io) : 0;

	list_push_tail(&d->active, &io->link);
	d->active_count++;
	d->active_unaligned += io->is_unaligned;
	io->state = DISK_IO_COMMAND;
	if (!r)
		r = disk_go(d, io);
	if (r < 0)
		disk_finish_later(d, io, r);
}

/* What waited goes on from where it was, unless its time is up. */
static void disk_resume(struct disk *d, struct disk_io *io)
{
	int r = io_is_late(d, io) && !d->is_gone ? disk_blame_late(d, io) : 0;

	list_remove(&io->link);
	list_push_tail(&d->active, &io->link);
	io->state = io->paused_state;
	if (!r)
		r = io->state == DISK_IO_WAIT_BUFFER ? disk_go(d, io) : disk_send(d, io);
	if (r < 0)
		disk_finish_later(d, io, r);
}

static void disk_pause_expired(struct loop_timer *timer)
{
	struct disk *d = container_of(timer, struct disk, pause_timer);
	int64_t now = loop_now_us(d->loop), next = INT64_MAX;

	disk_ref(d);
	list_for_each_safe(pos, &d->paused) {
		struct disk_io *io = list_entry(pos, struct disk_io, link);

		if (now >= io->again_us || d->is_gone)
			disk_resume(d, io);
	}
	list_for_each(pos, &d->paused)
		next = MIN(next, list_entry(pos, struct disk_io, link)->again_us);
	if (!list_is_empty(&d->paused))
		loop_timer_start_us(timer, next - now);
	disk_unref(d);
}

/* Those for which no path is usable park again, behind; so only those of now are looked at. */
static void disk_kick_call(struct loop_call *call)
{
	struct disk *d = container_of(call, struct disk, kick);
	struct list ios, *node;

	disk_ref(d);
	list_init(&ios);
	list_splice_tail(&ios, &d->parked);
	while ((node = list_first(&ios)))
		disk_resume(d, list_entry(node, struct disk_io, link));
	disk_unref(d);
}

static void disk_park_expired(struct loop_timer *timer)
{
	struct disk *d = container_of(timer, struct disk, park_timer);

	disk_kick_call(&d->kick);
	(void)timer;
}

/* --- answers --- */

/* A bounced request has all it needs from the blocks at its edges: put its bytes over them. */
static void io_merge(const struct disk *d, struct disk_io *io)
{
	memcpy(io->bounce + io->offset % d->block_bytes, io->data, io->bytes);
}

/* The command of the state has succeeded: 1 when the request is complete, 0 when more is under
 * way. */
static int disk_advance(struct disk *d, struct disk_io *io)
{
	bool ends_inside = (io->offset + io->bytes) % d->block_bytes;

	switch (io->state) {
	case DISK_IO_HEAD:
		if (ends_inside && io->blocks > 1) {
			io->state = DISK_IO_TAIL;
			break;
		}
		/* fall through */
	case DISK_IO_TAIL:
		io_merge(d, io);
		io->state = DISK_IO_COMMAND;
		break;
	case DISK_IO_SYNC:
		return 1;
	default:
		if (io->op == DISK_FLUSH)
			return 1;
		if (disk_range_is(io)) {
			int r = disk_range_advance(d, io);

			if (r)
				return r;
			break;
		}
		io->next_lba += io->command_blocks;
		if (io->next_lba < io->lba + io->blocks)
			break;
		if (io->bounce && io->op == DISK_READ)
			memcpy(io->data, io->bounce + io->offset % d->block_bytes, io->bytes);
		if (io->op != DISK_WRITE || !io->is_fua || !io->lacks_fua || !d->has_write_cache)
			return 1;
		io->state = DISK_IO_SYNC;
		break;
	}
	return disk_send(d, io);
}

static bool knows_losses(const struct disk *d, const struct disk_io *io)
{
	return (io->losses_told ? *io->losses_told : d->losses_told) == d->losses;
}

/* A flush has to tell of a write that was acknowledged and lost: 0, or -EIO, once to each. */
static int disk_take_lost_write(struct disk *d, struct disk_io *io)
{
	if (knows_losses(d, io))
		return 0;
	d->losses_told = d->losses;
	if (io->losses_told)
		*io->losses_told = d->losses;
	return disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO, "an earlier write was lost");
}

static void disk_changed(struct disk *d, struct path *p, enum sense_class what)
{
	if (d->ops && d->ops->changed)
		d->ops->changed(d, p, what);
}

/* The command of the state could not be done by @p (NULL: removed since), for a reason that
 * another path may not have. What the path is worth now? */
static void disk_doubt(struct disk *d, struct disk_io *io, struct path *p,
		       const struct disk_verdict *v)
{
	io->avoid = p;
	if (!p)
		return;
	if (!v->has_access) {
		disk_path_error(p, io->sent_us);
		return;
	}
	disk_path_told(p, v->access);
	disk_changed(d, p, SENSE_ALUA_CHANGED);
}

/* How long before it is sent again (ms; 0: at once), or -errno: that was it. */
static int64_t disk_again_ms(struct disk *d, struct disk_io *io, struct path *p,
			     const struct disk_verdict *v)
{
	switch (v->class) {
	case SENSE_FAIL:
		if (v->is_conflict && d->ops && d->ops->conflict)
			d->ops->conflict(d);
		if (v->is_conflict && io->conflicts++ < DISK_CONFLICTS_MAX)
			return DISK_CONFLICT_MS;
		return -v->errno_value;
	case SENSE_PATH:
		disk_doubt(d, io, p, v);
		return io->hops++ < MAX(d->usable_paths, 1) ? 0 : disk_pause_ms(d, io);
	case SENSE_RETRY_LATER:
		if (!v->has_access)
			return disk_pause_ms(d, io);
		disk_doubt(d, io, p, v); /* in transition: until when is found out */
		return p && path_state_is_usable(p->state) ? disk_pause_ms(d, io) : 0;
	default: /* a unit attention may say more than "send again" */
		if (v->class != SENSE_RETRY_NOW)
			disk_changed(d, p, v->class);
		return ++io->tries > DISK_TRIES_MAX ? -v->errno_value : 0;
	}
}

/* It did not succeed: again, or that was it. */
static void disk_again(struct disk *d, struct disk_io *io, struct path *p,
		       const struct disk_verdict *v)
{
	int64_t ms;
	int r = 0;

	if (d->is_gone) {
		disk_finish(d, io, -d->gone_errno);
		return;
	}
	if (v->is_refused && disk_range_is(io)) {
		r = disk_range_refused(d, io);
		if (!r)
			r = disk_send(d, io);
		if (r)
			disk_finish(d, io, MIN(r, 0));
		return;
	}
	d->stats.retries++;
	ms = disk_again_ms(d, io, p, v);
	if (ms < 0)
		r = disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, (int)-ms, io->why);
	else if (io_is_late(d, io))
		r = disk_blame_late(d, io);
	else if (ms)
		disk_pause(d, io, ms);
	else
		r = disk_send(d, io);
	if (r < 0)
		disk_finish(d, io, r);
}

/* What the command that succeeded says of the unit's write cache. */
static void disk_note_cache(struct disk *d, const struct disk_io *io)
{
	if (io_is_sync(io))
		d->flushed = MAX(d->flushed, io->sync_count);
	else if (d->has_write_cache && io->task.direction == TASK_WRITE &&
		 !(io->op == DISK_WRITE && io->is_fua && !io->lacks_fua))
		d->written++;
}

/* It succeeded: the next one begins with a clean slate. */
static void disk_succeeded(struct disk *d, struct disk_io *io)
{
	int r;

	disk_note_cache(d, io);
	io->tries = io->hops = io->pauses = io->conflicts = 0;
	if (disk_range_is(io))
		io->deadline_us = loop_now_us(d->loop) + d->timeout_ms * 1000;
	r = disk_advance(d, io);
	if (r)
		disk_finish(d, io, r > 0 ? 0 : r);
}

static void disk_task_done(struct task *t)
{
	struct disk_io *io = container_of(t, struct disk_io, task);
	struct disk *d = io->disk;
	struct path *p = io->path;
	bool is_exact = !disk_range_is(io) || disk_range_is_exact(d, io);
	struct disk_verdict v = disk_judge(t, is_exact, io->why, sizeof(io->why));

	d->changes += t->direction == TASK_WRITE; /* also if it failed: a part may be done */
	if (p) {
		p->lane.in_flight--;
		if (v.class != SENSE_PATH)
			p->errors_in_row = 0;
		if (v.class == SENSE_OK)
			p->ok_us = loop_now_us(d->loop);
	}
	io->path = NULL;
	if (v.is_deferred) {
		disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO, io->why);
		disk_lost_write(d);
	}
	if (io_is_sync(io) && !knows_losses(d, io)) {
		if (v.class == SENSE_OK)
			disk_note_cache(d, io);
		disk_finish(d, io, disk_take_lost_write(d, io));
	} else if (v.class == SENSE_OK) {
		disk_succeeded(d, io);
	} else {
		disk_again(d, io, p, &v);
	}
}

/* --- from outside --- */

/* A copy is from whole blocks, and not onto itself. */
static bool is_source_good(const struct disk *d, const struct disk_io *io)
{
	uint64_t size = disk_bytes(io->source);

	if (io->source->block_bytes != d->block_bytes ||
	    io->source_offset % d->block_bytes || io->source_offset > size ||
	    io->length > size - io->source_offset)
		return false;
	return io->source != d || io->source_offset >= io->offset + io->length ||
	       io->offset >= io->source_offset + io->length;
}

static int disk_check(const struct disk *d, const struct disk_io *io)
{
	uint64_t size = disk_bytes(d);

	if (d->is_gone)
		return -d->gone_errno;
	if (list_is_empty(&d->paths))
		return -ENODEV;
	if (is_write(io) && d->is_read_only)
		return -EROFS;
	switch (io->op) {
	case DISK_READ:
	case DISK_WRITE:
		if (!io->bytes || io->bytes > DISK_IO_BYTES_MAX || io->offset > size ||
		    io->bytes > size - io->offset)
			return -EINVAL;
		return 0;
	case DISK_PUNCH:
	case DISK_ZERO:
	case DISK_COPY:
		if (!io->length || io->offset > size || io->length > size - io->offset ||
		    io->offset % d->block_bytes || io->length % d->block_bytes)
			return -EINVAL;
		return io->op != DISK_COPY || is_source_good(d, io) ? 0 : -EINVAL;
	case DISK_SEEK_DATA:
	case DISK_SEEK_HOLE:
		return io->offset < size ? 0 : -ENXIO;
	default:
		return 0;
	}
}

/* Nothing has to be sent. */
static int disk_end_at_once(struct disk *d, struct disk_io *io, int result)
{
	d->active_count++;
	io->state = DISK_IO_COMMAND;
	disk_finish_later(d, io, result);
	return 0;
}

uint32_t disk_piece_bytes(const struct disk *d)
{
	uint32_t blocks = MAX(MIN(d->max_command_blocks, DISK_IO_BYTES_MAX / d->block_bytes), 1);

	if (d->best_command_blocks)
		blocks = MIN(blocks, d->best_command_blocks);
	return blocks * d->block_bytes;
}

int disk_submit(struct disk *d, struct disk_io *io)
{
	return disk_submit_until(d, io, 0);
}

int disk_submit_until(struct disk *d, struct disk_io *io, int64_t deadline_us)
{
	int r = disk_check(d, io);

	if (r < 0)
		return r;
	io->disk = d;
	io->bounce = NULL;
	io->path = NULL;
	io->avoid = NULL;
	io->state = DISK_IO_IDLE;
	io->why[0] = '\0';
	io->tries = io->hops = io->pauses = io->conflicts = 0;
	io->is_unaligned = io->lacks_fua = io->is_cancelled = false;
	io->lba = io->next_lba = 0;
	io->blocks = 0;
	io->deadline_us =
		deadline_us ? deadline_us : loop_now_us(d->loop) + d->timeout_ms * 1000;
	list_init(&io->link);
	if (io->op == DISK_COPY)
		disk_ref(io->source);
	task_init(&io->task, TASK_SCSI, disk_task_done);
	if (disk_range_is(io)) {
		io->lba = io->next_lba = io->offset / d->block_bytes;
		io->blocks = is_write(io)
				     ? io->length / d->block_bytes
				     : d->blocks - io->lba;
		r = disk_range_begin(d, io);
		if (r)
			return disk_end_at_once(d, io, MIN(r, 0));
	} else if (io->op != DISK_FLUSH) {
		uint64_t end = io->offset + io->bytes;

		io->lba = io->next_lba = io->offset / d->block_bytes;
		io->blocks = (end - 1) / d->block_bytes - io->lba + 1;
		io->is_unaligned = io->offset % d->block_bytes || end % d->block_bytes;
		d->stats.unaligned += io->is_unaligned;
	} else if (!disk_is_dirty(d)) { /* what was acknowledged is on the medium */
		return disk_end_at_once(d, io, disk_take_lost_write(d, io));
	}
	if (disk_must_wait(d, io)) {
		io->state = DISK_IO_WAIT_RANGE;
		list_push_tail(&d->waiting, &io->link);
		return 0;
	}
	disk_start(d, io);
	return 0;
}

bool disk_is_dirty(const struct disk *d)
{
	return d->flushed != d->written;
}

void disk_written(struct disk *d)
{
	d->written++;
	d->changes++;
}

void disk_lost_write(struct disk *d)
{
	static uint64_t losses; /* of all disks: they can be compared when two become one */

	d->losses = ++losses;
}

void disk_take_over(struct disk *d, const struct disk *from)
{
	bool is_owed = d->losses != d->losses_told || from->losses != from->losses_told;

	if (disk_is_dirty(from))
		d->written++;
	d->changes = MAX(d->changes, from->changes) + 1;
	d->losses = MAX(d->losses, from->losses);
	d->losses_told = is_owed ? 0 : d->losses;
	d->outages += from->outages;
}

/* Has a path told of the last outage that has stood since? Then there was no other one. */
static bool is_outage_known(const struct disk *d)
{
	list_for_each(pos, &d->paths) {
		const struct path *p = list_entry(pos, struct path, link);

		if (p->outage == d->outages && p->outage_failures == p->stats.failures &&
		    path_is_usable(p))
			return true;
	}
	return false;
}

/* Each path tells of it, by the first command that it carries again: of the last outage, when it
 * has not told of that, nor carried anything since. In doubt it is another one: to fail a flush for
 * nothing is better than to let it succeed over what is lost. */
bool disk_lost_power(struct disk *d, struct path *p)
{
	bool is_old = p && p->outage < d->outages && p->ok_us <= d->outage_us && is_outage_known(d);

	if (!is_old) {
		d->outages++;
		d->outage_us = loop_now_us(d->loop);
	}
	if (p) {
		p->outage = d->outages;
		p->outage_failures = p->stats.failures;
	}
	if (is_old || !disk_is_dirty(d))
		return false;
	disk_lost_write(d);
	return true;
}

/* A cache that was there and is not any more may not have been emptied; one that comes may have
 * been there for a while: in both cases a flush is sent. */
void disk_set_caches(struct disk *d, bool has_write_cache, bool has_fua)
{
	if (has_write_cache && !d->has_write_cache)
		d->written++;
	d->has_write_cache = has_write_cache;
	d->has_fua = has_fua;
}

bool disk_withdraw(struct disk_io *io)
{
	struct disk *d = io->disk;

	switch (io->state) {
	case DISK_IO_HEAD:
	case DISK_IO_TAIL:
	case DISK_IO_COMMAND:
	case DISK_IO_SYNC:
		if (io->next_lba != io->lba || !io->path ||
		    !session_withdraw(io->path->session, &io->task)) {
			io->is_cancelled = true;
			return false;
		}
		io->path->lane.in_flight--;
		break;
	case DISK_IO_WAIT_PATH:
	case DISK_IO_PAUSE: /* perhaps sent before: a write may be done in part */
	case DISK_IO_WAIT_RANGE:
	case DISK_IO_WAIT_BUFFER:
		break;
	default:
		return false;
	}
	disk_release(d, io);
	return true;
}

void disk_shutdown(struct disk *d, int errno_value)
{
	d->is_gone = true;
	d->gone_errno = errno_value;
	loop_timer_stop(&d->watch_timer);
	list_for_each_safe(pos, &d->waiting)
		disk_finish_later(d, list_entry(pos, struct disk_io, link), -errno_value);
	list_for_each_safe(pos, &d->parked)
		disk_finish_later(d, list_entry(pos, struct disk_io, link), -errno_value);
	list_for_each_safe(pos, &d->paused)
		disk_finish_later(d, list_entry(pos, struct disk_io, link), -errno_value);
}
