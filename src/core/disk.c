/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks: see disk.h for the states of a request. */
#include "core/disk.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "scsi/cdb.h"

#define DISK_TRIES_MAX 16      /* of a command that is to be sent again at once */
#define DISK_PAUSE_MS 100      /* before one that met BUSY is sent again */
#define DISK_BUFFER_WAIT_MS 5  /* before looking for a bounce buffer again */
#define DISK_LOG_LINES 10      /* in a second */

static void disk_task_done(struct task *t);
static void disk_pause_expired(struct loop_timer *t);
static void disk_finish_call(struct loop_call *c);

void disk_init(struct disk *d, struct loop *l, struct object *owner, struct pool *bounce)
{
	memset(d, 0, sizeof(*d));
	d->loop = l;
	d->owner = owner;
	d->bounce = bounce;
	d->timeout_ms = 30000;
	list_init(&d->paths);
	list_init(&d->active);
	list_init(&d->waiting);
	list_init(&d->paused);
	list_init(&d->finished);
	loop_timer_init(l, &d->pause_timer, disk_pause_expired);
	loop_call_init(&d->finish, disk_finish_call);
}

static void path_free(struct path *p)
{
	list_remove(&p->link);
	object_unref(&p->session->obj);
	g_free(p);
}

void disk_done(struct disk *d)
{
	assert(!d->active_count && list_is_empty(&d->waiting) && list_is_empty(&d->finished));
	list_for_each_safe(pos, &d->paths)
		path_free(list_entry(pos, struct path, link));
	loop_timer_done(&d->pause_timer);
	loop_call_cancel(&d->finish);
}

int disk_set_geometry(struct disk *d, const struct capacity *c, const struct block_limits *b)
{
	uint32_t max_blocks;

	if (!c->block_bytes || c->block_bytes > DISK_BLOCK_BYTES_MAX || !c->blocks)
		return -EINVAL;
	/* A request of the largest size that begins and ends inside a block touches two more. */
	max_blocks = DISK_IO_BYTES_MAX / c->block_bytes + 2;
	if (b && b->max_transfer_blocks && b->max_transfer_blocks < max_blocks)
		max_blocks = b->max_transfer_blocks;
	/* What is under way was computed with the old block length. */
	if (d->block_bytes && d->block_bytes != c->block_bytes &&
	    (d->active_count || !list_is_empty(&d->waiting)))
		return -EBUSY;
	d->blocks = c->blocks;
	d->block_bytes = c->block_bytes;
	d->max_command_blocks = max_blocks;
	return 0;
}

uint64_t disk_bytes(const struct disk *d)
{
	return d->blocks * d->block_bytes;
}

/* --- paths --- */

struct path *disk_add_path(struct disk *d, struct session *s, const uint8_t lun[8])
{
	struct path *p = g_new0(struct path, 1);

	p->disk = d;
	p->session = s;
	object_ref(&s->obj);
	memcpy(p->lun, lun, sizeof(p->lun));
	p->is_usable = true;
	list_push_tail(&d->paths, &p->link);
	return p;
}

void disk_remove_path(struct disk *d, struct session *s)
{
	list_for_each_safe(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (p->session != s)
			continue;
		list_for_each(io_pos, &d->active) {
			struct disk_io *io = list_entry(io_pos, struct disk_io, link);

			if (io->path == p)
				io->path = NULL;
		}
		path_free(p);
	}
}

static bool path_is_usable(const struct path *p)
{
	return p->is_usable && session_is_usable(p->session);
}

static struct path *disk_pick_path(struct disk *d)
{
	list_for_each(pos, &d->paths) {
		struct path *p = list_entry(pos, struct path, link);

		if (path_is_usable(p))
			return p;
	}
	return NULL;
}

bool disk_is_usable(const struct disk *d)
{
	return !d->is_gone && disk_pick_path((struct disk *)(uintptr_t)d);
}

/* --- ranges --- */

static bool ranges_meet(const struct disk_io *a, const struct disk_io *b)
{
	return a->lba < b->lba + b->blocks && b->lba < a->lba + a->blocks;
}

/* May @io not be in flight together with @other? Two writes of whole blocks may: which of them
 * is the later one is for their senders to settle. A read-modify-write may not meet any write:
 * it would put back bytes that were there before. */
static bool io_excludes(const struct disk_io *io, const struct disk_io *other)
{
	return other->op == DISK_WRITE && (io->is_unaligned || other->is_unaligned) &&
	       ranges_meet(io, other);
}

static bool disk_must_wait(const struct disk *d, const struct disk_io *io)
{
	if (io->op != DISK_WRITE ||
	    (!io->is_unaligned && !d->active_unaligned && list_is_empty(&d->waiting)))
		return false;
	list_for_each(pos, &d->active)
		if (io_excludes(io, list_entry(pos, struct disk_io, link)))
			return true;
	list_for_each(pos, &d->paused)
		if (io_excludes(io, list_entry(pos, struct disk_io, link)))
			return true;
	list_for_each(pos, &d->waiting) {
		const struct disk_io *other = list_entry(pos, struct disk_io, link);

		if (other == io) /* only those before it count */
			break;
		if (io_excludes(io, other))
			return true;
	}
	return false;
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
	io->state = DISK_IO_DONE;
	if (!list_is_empty(&d->waiting)) /* not now: a caller may walk the lists */
		loop_call_queue(d->loop, &d->finish);
}

static void disk_count(struct disk *d, const struct disk_io *io, int result)
{
	if (result < 0) {
		d->stats.errors++;
	} else if (io->op == DISK_READ) {
		d->stats.reads++;
		d->stats.read_bytes += io->bytes;
	} else if (io->op == DISK_WRITE) {
		d->stats.writes++;
		d->stats.write_bytes += io->bytes;
	} else {
		d->stats.flushes++;
	}
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

	object_ref(d->owner);
	while ((node = list_pop(&d->finished))) {
		struct disk_io *io = list_entry(node, struct disk_io, link);

		io->done(io, io->result);
	}
	disk_wake_waiting(d);
	object_unref(d->owner);
}

static const char *op_name(enum disk_op op)
{
	return op == DISK_READ ? "read" : op == DISK_WRITE ? "write" : "flush";
}

/* Tell people why @io fails: the LUN's `error` file, and the log within bounds. */
static int disk_blame(struct disk *d, const struct disk_io *io, int code, int errno_value,
		      const char *why)
{
	int64_t second = loop_now_ms(d->loop) / 1000;
	char what[96];

	g_snprintf(what, sizeof(what), "%s of %u bytes at %" G_GUINT64_FORMAT, op_name(io->op),
		   io->bytes, io->offset);
	object_fail_text(d->owner, what, code, errno_value, why);
	if (second != d->log_second) {
		d->log_second = second;
		d->log_budget = DISK_LOG_LINES;
	}
	if (d->log_budget) {
		d->log_budget--;
		log_warning("%s: %s failed: %s", d->name, what, why);
	}
	return -errno_value;
}

/* --- commands --- */

/* Does its present state ask for SYNCHRONIZE CACHE? */
static bool io_is_sync(const struct disk_io *io)
{
	return io->op == DISK_FLUSH || io->state == DISK_IO_SYNC;
}

/* Build and submit the command of the state: 0, or -errno when it cannot be sent. */
static int disk_send(struct disk *d, struct disk_io *io)
{
	struct task *t = &io->task;
	uint8_t *data = io->bounce ? io->bounce : io->data;
	struct path *p = disk_pick_path(d);
	bool is_write = io->op == DISK_WRITE && io->state == DISK_IO_COMMAND;
	uint64_t lba = io->next_lba;
	int r;

	if (d->is_gone)
		return -ENODEV;
	if (!p)
		return disk_blame(d, io, ISDSC_CONNECTION_FAILED, EIO, "no session is logged in");
	if (io->state == DISK_IO_HEAD)
		lba = io->lba;
	else if (io->state == DISK_IO_TAIL)
		lba = io->lba + io->blocks - 1;
	if (io_is_sync(io)) {
		t->cdb_bytes = (uint8_t)cdb_synchronize_cache(t->cdb, 0, 0);
		t->direction = TASK_NO_DATA;
		t->data_bytes = 0;
	} else {
		io->command_blocks = 1;
		if (io->state == DISK_IO_COMMAND)
			io->command_blocks = (uint32_t)MIN(io->lba + io->blocks - lba,
							   d->max_command_blocks);
		t->cdb_bytes = (uint8_t)(is_write ? cdb_write(t->cdb, lba, io->command_blocks,
							      io->is_fua && d->has_fua)
						  : cdb_read(t->cdb, lba, io->command_blocks));
		t->direction = is_write ? TASK_WRITE : TASK_READ;
		t->data = data + (lba - io->lba) * d->block_bytes;
		t->data_bytes = io->command_blocks * d->block_bytes;
	}
	memcpy(t->lun, p->lun, sizeof(t->lun));
	t->deadline_us = io->deadline_us;
	r = session_submit(p->session, t);
	if (r < 0)
		return disk_blame(d, io, ISDSC_CONNECTION_FAILED, EIO, g_strerror(-r));
	io->path = p;
	p->in_flight++;
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
	io->paused_state = io->state;
	io->state = DISK_IO_PAUSE;
	io->again_us = loop_now_us(d->loop) + ms * 1000;
	list_remove(&io->link);
	list_push_tail(&d->paused, &io->link);
	if (!loop_timer_is_running(&d->pause_timer) || d->pause_timer.due_us > io->again_us)
		loop_timer_start(&d->pause_timer, ms);
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
	int r;

	list_push_tail(&d->active, &io->link);
	d->active_count++;
	d->active_unaligned += io->is_unaligned;
	io->state = DISK_IO_COMMAND;
	r = loop_now_us(d->loop) < io->deadline_us
		    ? disk_go(d, io)
		    : disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO,
				 "its deadline passed while it waited for writes of the same blocks");
	if (r < 0)
		disk_finish_later(d, io, r);
}

static void disk_pause_expired(struct loop_timer *timer)
{
	struct disk *d = container_of(timer, struct disk, pause_timer);
	int64_t now = loop_now_us(d->loop), next = INT64_MAX;

	object_ref(d->owner);
	list_for_each_safe(pos, &d->paused) {
		struct disk_io *io = list_entry(pos, struct disk_io, link);
		int r;

		if (now < io->again_us && !d->is_gone)
			continue;
		list_remove(&io->link);
		list_push_tail(&d->active, &io->link);
		io->state = io->paused_state;
		r = now >= io->deadline_us ? disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO,
							"no success before its deadline")
		    : io->state == DISK_IO_WAIT_BUFFER ? disk_go(d, io)
						       : disk_send(d, io);
		if (r < 0)
			disk_finish_later(d, io, r);
	}
	list_for_each(pos, &d->paused)
		next = MIN(next, list_entry(pos, struct disk_io, link)->again_us);
	if (!list_is_empty(&d->paused))
		loop_timer_start_us(timer, next - now);
	object_unref(d->owner);
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
		io->next_lba += io->command_blocks;
		if (io->next_lba < io->lba + io->blocks)
			break;
		if (io->bounce && io->op == DISK_READ)
			memcpy(io->data, io->bounce + io->offset % d->block_bytes, io->bytes);
		if (io->op != DISK_WRITE || !io->is_fua || d->has_fua || !d->has_write_cache)
			return 1;
		io->state = DISK_IO_SYNC;
		break;
	}
	return disk_send(d, io);
}

/* What came back for @t: a verdict, with the text for people in @why. *ret_is_deferred: the
 * sense data is about an earlier write, which was acknowledged and is lost; this command did
 * not run. */
static struct sense_verdict disk_judge(const struct task *t, char *why, size_t size,
				       bool *ret_is_deferred)
{
	struct sense sense = { 0 };
	struct sense_verdict v = { SENSE_FAIL, EIO };

	*ret_is_deferred = false;
	if (t->result == TASK_RESULT_ABORTED) { /* surely gone: send it again */
		g_snprintf(why, size, "the command was aborted");
		return (struct sense_verdict){ SENSE_RETRY_NOW, EIO };
	}
	if (t->result != TASK_RESULT_RESPONDED) {
		g_snprintf(why, size, "the connection was lost (command %s)",
			   task_result_name(t->result));
		return v;
	}
	if (t->response != ISCSI_RESPONSE_COMPLETED) {
		g_snprintf(why, size, "the target failed: iSCSI response 0x%02x", t->response);
		return v;
	}
	sense_decode(t->sense, t->sense_bytes, &sense);
	v = sense_judge(t->status, sense.is_valid ? &sense : NULL);
	*ret_is_deferred = t->status == SCSI_CHECK_CONDITION && sense.is_deferred;
	if (v.class != SENSE_OK) {
		sense_format(t->status, sense.is_valid ? &sense : NULL, why, size);
		return v;
	}
	if (t->direction != TASK_NO_DATA && (t->is_short || t->transferred != t->data_bytes)) {
		g_snprintf(why, size, "the target moved %u of %u bytes and called it good",
			   t->transferred, t->data_bytes);
		return (struct sense_verdict){ SENSE_FAIL, EIO };
	}
	return v;
}

/* A flush has to tell of a write that was acknowledged and lost: 0, or -EIO, once. */
static int disk_take_lost_write(struct disk *d, const struct disk_io *io)
{
	if (!d->has_lost_write)
		return 0;
	d->has_lost_write = false;
	return disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO, "an earlier write was lost");
}

static void disk_task_done(struct task *t)
{
	struct disk_io *io = container_of(t, struct disk_io, task);
	struct disk *d = io->disk;
	char why[256] = "";
	bool is_deferred;
	struct sense_verdict v = disk_judge(t, why, sizeof(why), &is_deferred);
	bool is_late = loop_now_us(d->loop) >= io->deadline_us;
	int r;

	if (io->path)
		io->path->in_flight--;
	io->path = NULL;
	if (is_deferred) {
		disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, EIO, why);
		d->has_lost_write = true;
	}
	if (d->has_lost_write && io_is_sync(io)) {
		disk_finish(d, io, disk_take_lost_write(d, io));
		return;
	}
	switch (v.class) {
	case SENSE_OK:
		r = disk_advance(d, io);
		if (r)
			disk_finish(d, io, r > 0 ? 0 : r);
		return;
	case SENSE_FAIL:
		disk_finish(d, io,
			    disk_blame(d, io,
				       t->result == TASK_RESULT_RESPONDED
					       ? ISDSC_SCSI_REQUEST_FAILED
					       : ISDSC_CONNECTION_FAILED,
				       v.errno_value, why));
		return;
	case SENSE_RETRY_LATER:
	case SENSE_PATH: /* one path: it may become active again */
		io->tries = 0;
		break;
	default: /* a unit attention that says more than "send again" */
		if (v.class != SENSE_RETRY_NOW && d->changed)
			d->changed(d, v.class);
		break;
	}
	d->stats.retries++;
	if (is_late || d->is_gone || ++io->tries > DISK_TRIES_MAX) {
		disk_finish(d, io, disk_blame(d, io, ISDSC_SCSI_REQUEST_FAILED, v.errno_value, why));
		return;
	}
	if (v.class == SENSE_RETRY_LATER || v.class == SENSE_PATH) {
		disk_pause(d, io, DISK_PAUSE_MS);
		return;
	}
	r = disk_send(d, io);
	if (r < 0)
		disk_finish(d, io, r);
}

/* --- from outside --- */

static int disk_check(const struct disk *d, const struct disk_io *io)
{
	uint64_t size = disk_bytes(d);

	if (d->is_gone)
		return -ENODEV;
	if (io->op == DISK_WRITE && d->is_read_only)
		return -EROFS;
	if (!disk_is_usable(d))
		return -EIO;
	if (io->op != DISK_FLUSH && (!io->bytes || io->bytes > DISK_IO_BYTES_MAX ||
				     io->offset > size || io->bytes > size - io->offset))
		return -EINVAL;
	return 0;
}

int disk_submit(struct disk *d, struct disk_io *io)
{
	int r = disk_check(d, io);

	if (r < 0)
		return r;
	io->disk = d;
	io->bounce = NULL;
	io->path = NULL;
	io->tries = 0;
	io->is_unaligned = false;
	io->lba = io->next_lba = 0;
	io->blocks = 0;
	io->deadline_us = loop_now_us(d->loop) + d->timeout_ms * 1000;
	list_init(&io->link);
	task_init(&io->task, TASK_SCSI, disk_task_done);
	if (io->op != DISK_FLUSH) {
		uint64_t end = io->offset + io->bytes;

		io->lba = io->next_lba = io->offset / d->block_bytes;
		io->blocks = (uint32_t)((end - 1) / d->block_bytes - io->lba + 1);
		io->is_unaligned = io->offset % d->block_bytes || end % d->block_bytes;
		d->stats.unaligned += io->is_unaligned;
	} else if (!d->has_write_cache) { /* what was acknowledged is on the medium */
		r = disk_take_lost_write(d, io);

		d->active_count++;
		io->state = DISK_IO_COMMAND;
		disk_finish_later(d, io, r);
		return 0;
	}
	if (disk_must_wait(d, io)) {
		io->state = DISK_IO_WAIT_RANGE;
		list_push_tail(&d->waiting, &io->link);
		return 0;
	}
	disk_start(d, io);
	return 0;
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
		    !session_withdraw(io->path->session, &io->task))
			return false;
		io->path->in_flight--;
		break;
	case DISK_IO_PAUSE: /* sent before: part of a write may be done, but none is promised */
	case DISK_IO_WAIT_RANGE:
	case DISK_IO_WAIT_BUFFER:
		break;
	default:
		return false;
	}
	disk_release(d, io);
	return true;
}

void disk_shutdown(struct disk *d)
{
	d->is_gone = true;
	list_for_each_safe(pos, &d->waiting)
		disk_finish_later(d, list_entry(pos, struct disk_io, link), -ENODEV);
	list_for_each_safe(pos, &d->paused)
		disk_finish_later(d, list_entry(pos, struct disk_io, link), -ENODEV);
}
