/* SPDX-License-Identifier: BSD-2-Clause */
/* From a FUSE request to a disk request and back; blkio.h says who owns which buffer.
 *
 *   fs_on_readable > blkio_take > start_read ... > disk_submit
 *   disk_done > io_done > reply (writev) > io_put
 *
 * A read or write that is longer than one command of the unit moves best is split into pieces, as
 * many under way together as there are ios for that (they have a pool of their own, so that other
 * requests get theirs); each piece that ends takes the next one.
 *
 * A fallocate() becomes up to three disk requests, one after the other: zeros written over the
 * part of a block at its begin and its end, and whole blocks between them (disk_range.h).
 *
 * A disk that is gone is EIO to whoever has it open: that is what a block device says, and
 * ENOTCONN would read as if this daemon had died; ESTALE, when another unit is where it was. It
 * is the disk that counts: its LUN's directory may have gone while it is reached by another
 * target. Past the end of the disk reads give nothing, and writes ENOSPC, or the part that
 * fits.
 *
 * What the kernel caches: pages by inode, so those of `disk` of two LUNs that are one disk are
 * cached apart. Writes go through at once (there is no write-back cache), and an open drops
 * what was cached of that file: whoever opens after a write has returned sees it, by either
 * name. Who keeps both open at the same time uses O_DIRECT, as with any shared disk. */
#include "fuse/blkio.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "core/daemon.h"
#include "core/lun.h"
#include "fuse/handle.h"
#include "fuse/interrupt.h"
#include "fuse/node.h"

#define SPIN_DEPTH 2	   /* the most requests with which the loop may look before it sleeps */
#define SPIN_AFTER_US 5000 /* how long there must not have been more */
/* Buffers at first, and that many more at a time when as few as that are left. */
#define BIG_STEP 16
#define BIG_LOW 8
#define SMALL_STEP 32
#define SMALL_LOW 16
/* Of one copy_file_range(): who asked for more asks again, and can be interrupted in between. */
#define COPY_REQUEST_BYTES (64u << 20)
#define PIECES 64

struct io {
	struct disk_io disk;
	struct list link; /* blkio's active */
	struct blkio *blkio;
	struct lun *lun;      /* a reference */
	uint64_t unique;      /* the kernel's tag */
	struct interrupt interrupt;
	uint8_t *big, *small; /* one of them, or none: goes back to its pool */
	/* in pieces */
	struct io *parent; /* this is for a piece of that one, perhaps itself; NULL: it is whole */
	bool is_piece;	   /* it is of the pool of pieces */
	bool is_over;	   /* a late write, of which a part is over the end: told as ENOSPC */
	struct whole {
		uint64_t offset;
		uint32_t bytes, begun; /* of these so many have been given to pieces */
		uint8_t *data;
		unsigned pieces; /* under way */
		int result;
		int64_t deadline_us;
	} whole; /* of a parent */
	/* fallocate */
	enum disk_op range_op;
	uint64_t at, end; /* bytes: where the piece under way begins; of all */
	bool is_range;
	struct lun *source; /* copy_file_range: a reference; NULL: it is none */
};

/* Requests wait for buffers no longer, if they did. */
static void tell_room(struct blkio *b)
{
	if (!b->is_dry)
		return;
	b->is_dry = false;
	b->room(b);
}

static void big_grown(struct pool_grower *g)
{
	tell_room(container_of(g, struct blkio, big_grower));
}

static void small_grown(struct pool_grower *g)
{
	tell_room(container_of(g, struct blkio, small_grower));
}

/* With a helper few buffers are warm at first. */
static int init_buffers(struct pool *p, unsigned count, size_t bytes, struct pool_grower *g)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	g->pool = p;
	return pool_init_warm(p, count, g->worker ? g->step : count, bytes, page);
}

int blkio_init(struct blkio *b, unsigned depth, struct worker *w, void (*room)(struct blkio *))
{
	unsigned count = depth + (depth < 32 ? 8 : depth / 4);
	int r;

	*b = (struct blkio){
		.fd = -1,
		.room = room,
		.big_grower = { .worker = w, .step = BIG_STEP, .low = BIG_LOW, .grown = big_grown },
		.small_grower = { .worker = w, .step = SMALL_STEP, .low = SMALL_LOW,
				  .grown = small_grown },
	};
	list_init(&b->active);
	r = pool_init_warm(&b->ios, count, count, sizeof(struct io), 64);
	if (r < 0)
		return r;
	r = pool_init_warm(&b->pieces, PIECES, PIECES, sizeof(struct io), 64);
	if (r < 0)
		goto undo_ios_only;
	r = init_buffers(&b->small, count, BLKIO_SMALL_BYTES, &b->small_grower);
	if (r < 0)
		goto undo_ios;
	r = init_buffers(&b->big, count + 1, BLKIO_RX_BYTES, &b->big_grower);
	if (r < 0)
		goto undo_small;
	return 0;

undo_small:
	pool_done(&b->small);
undo_ios:
	pool_done(&b->pieces);
undo_ios_only:
	pool_done(&b->ios);
	*b = (struct blkio){ .fd = -1 };
	return r;
}

void blkio_done(struct blkio *b)
{
	if (!b->ios.memory)
		return;
	assert(blkio_is_idle(b));
	if (b->rx)
		pool_put(&b->big, b->rx);
	pool_grow_stop(&b->big_grower);
	pool_grow_stop(&b->small_grower);
	pool_done(&b->big);
	pool_done(&b->small);
	pool_done(&b->pieces);
	pool_done(&b->ios);
	*b = (struct blkio){ .fd = -1 };
}

bool blkio_is_idle(const struct blkio *b)
{
	return list_is_empty(&b->active);
}

/* An io, a big buffer to receive into, and a small one. */
bool blkio_reserve(struct blkio *b)
{
	if (b->ios.free_count && !b->rx)
		b->rx = pool_get(&b->big);
	pool_grow(&b->big_grower);
	pool_grow(&b->small_grower);
	b->is_dry = !b->ios.free_count || !b->rx || !b->small.free_count;
	return !b->is_dry;
}

/* --- answers --- */

static void reply(struct blkio *b, uint64_t unique, int error, const void *data, size_t bytes)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + bytes),
		.error = error,
		.unique = unique,
	};
	struct iovec iov[] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)data, .iov_len = bytes },
	};

	if (b->fd < 0)
		return; /* unmounted in a hurry */
	/* ENOENT: the kernel no longer waits (its process was killed); ENODEV: unmounted. */
	if (writev(b->fd, iov, bytes ? 2 : 1) < 0 && errno != ENOENT && errno != ENODEV)
		log_error("answer to the kernel failed: %s", strerror(errno));
}

static void reply_error(struct blkio *b, uint64_t unique, int error)
{
	reply(b, unique, error == -ENODEV || error == -ENOTCONN ? -EIO : error, NULL, 0);
}

static void reply_written(struct blkio *b, uint64_t unique, uint32_t bytes)
{
	struct fuse_write_out out = { .size = bytes };

	reply(b, unique, 0, &out, sizeof(out));
}

/* With a request or two at a time, latency is all that counts; with many, the next event is
 * there already, and the processor is better left to the target and the readers. */
static void set_spin(struct blkio *b, const struct lun *lun)
{
	struct loop *l = lun->disk->loop;
	int64_t now = loop_now_us(l);

	if (b->active_count > SPIN_DEPTH)
		b->deep_us = now;
	loop_set_spin(l, now - b->deep_us > SPIN_AFTER_US ? b->spin_us : 0);
}

static void io_put(struct io *io)
{
	struct blkio *b = io->blkio;

	b->active_count--;
	set_spin(b, io->lun);

	if (io->big)
		pool_put(&b->big, io->big);
	if (io->small)
		pool_put(&b->small, io->small);
	if (io->source)
		object_unref(&io->source->obj);
	object_unref(&io->lun->obj);
	interrupt_forget(&io->interrupt);
	list_remove(&io->link);
	pool_put(io->is_piece ? &b->pieces : &b->ios, io);
	tell_room(b);
}

static void reply_found(struct blkio *b, uint64_t unique, uint64_t offset)
{
	struct fuse_lseek_out out = { .offset = offset };

	reply(b, unique, 0, &out, sizeof(out));
}

static void range_go_on(struct io *io);
static void piece_done(struct io *io, int result);

static void io_done(struct disk_io *disk_io, int result)
{
	struct io *io = container_of(disk_io, struct io, disk);

	if (io->parent) {
		piece_done(io, result);
		return;
	}
	if (result == 0 && io->is_range) {
		range_go_on(io);
		return;
	}
	if (result < 0) {
		reply_error(io->blkio, io->unique, result);
	} else {
		switch (disk_io->op) {
		case DISK_READ:
			reply(io->blkio, io->unique, 0, disk_io->data, disk_io->bytes);
			break;
		case DISK_WRITE:
			if (io->is_over)
				reply_error(io->blkio, io->unique, -ENOSPC);
			else
				reply_written(io->blkio, io->unique, disk_io->bytes);
			break;
		case DISK_COPY:
			reply_written(io->blkio, io->unique, (uint32_t)disk_io->length);
			break;
		case DISK_SEEK_DATA:
		case DISK_SEEK_HOLE:
			reply_found(io->blkio, io->unique, disk_io->found);
			break;
		default:
			reply(io->blkio, io->unique, 0, NULL, 0);
			break;
		}
	}
	io_put(io);
}

/* --- requests --- */

static void withdraw(struct interrupt *i);

static struct io *io_init(struct io *io, struct blkio *b, struct lun *lun, uint64_t unique,
			  uint32_t thread)
{
	io->blkio = b;
	io->lun = lun;
	io->unique = unique;
	interrupt_init(&io->interrupt, (pid_t)thread, INTERRUPT_KILLED, withdraw);
	io->big = io->small = NULL;
	io->is_range = io->is_piece = io->is_over = false;
	io->parent = NULL;
	io->source = NULL;
	io->disk.losses_told = NULL;
	object_ref(&lun->obj);
	b->active_count++;
	set_spin(b, lun);
	list_push_tail(&b->active, &io->link);
	return io;
}

static struct io *io_get(struct blkio *b, struct lun *lun, const struct fuse_in_header *in)
{
	struct io *io = pool_get(&b->ios);

	assert(io); /* blkio_reserve() */
	return io_init(io, b, lun, in->unique, in->pid);
}

/* For one more piece of @parent, or NULL. */
static struct io *io_get_piece(struct io *parent)
{
	struct io *io = pool_get(&parent->blkio->pieces);

	if (!io)
		return NULL;
	io_init(io, parent->blkio, parent->lun, 0, 0);
	io->is_piece = true;
	io->parent = parent;
	return io;
}

/* What the open file knows of losses. */
static uint64_t *losses_of(uint64_t fh)
{
	struct handle *h = (struct handle *)(uintptr_t)fh;

	return h ? &h->losses_told : NULL;
}

/* Everything of @io is set: to the disk. */
static void io_submit(struct io *io)
{
	int r;

	io->disk.done = io_done;
	r = disk_submit(io->lun->disk, &io->disk);
	if (r == 0)
		return;
	reply_error(io->blkio, io->unique, r);
	io_put(io);
}

/* --- in pieces --- */

/* The next piece goes by @io. False: there is none left, or one has failed. */
static bool piece_go(struct io *io)
{
	struct whole *w = &io->parent->whole;
	struct disk *d = io->lun->disk;
	uint64_t at = w->offset + w->begun;
	uint32_t most = disk_piece_bytes(d) - (uint32_t)(at % d->block_bytes);
	int r;

	if (w->result < 0 || w->begun == w->bytes)
		return false;
	io->disk.op = io->parent->disk.op;
	io->disk.is_fua = io->parent->disk.is_fua;
	io->disk.losses_told = io->parent->disk.losses_told;
	io->disk.offset = at;
	io->disk.bytes = MIN(most, w->bytes - w->begun);
	io->disk.data = w->data + w->begun;
	io->disk.done = io_done;
	r = disk_submit_until(d, &io->disk, w->deadline_us);
	if (r < 0) {
		w->result = r;
		return false;
	}
	w->begun += io->disk.bytes;
	return true;
}

static void whole_done(struct io *io)
{
	const struct whole *w = &io->whole;

	if (w->result < 0)
		reply_error(io->blkio, io->unique, w->result);
	else if (io->disk.op == DISK_READ)
		reply(io->blkio, io->unique, 0, w->data, w->bytes);
	else if (io->is_over)
		reply_error(io->blkio, io->unique, -ENOSPC);
	else
		reply_written(io->blkio, io->unique, w->bytes);
	io_put(io);
}

static void piece_done(struct io *io, int result)
{
	struct io *parent = io->parent;
	struct whole *w = &parent->whole;

	if (result < 0 && w->result == 0)
		w->result = result;
	if (piece_go(io))
		return;
	if (io != parent)
		io_put(io);
	if (!--w->pieces)
		whole_done(parent);
}

static void io_split(struct io *io)
{
	struct whole *w = &io->whole;
	const struct disk *d = io->lun->disk;
	struct io *more;

	*w = (struct whole){
		.offset = io->disk.offset,
		.bytes = io->disk.bytes,
		.data = io->disk.data,
		.deadline_us = loop_now_us(d->loop) + d->timeout_ms * 1000,
	};
	io->parent = io;
	if (!piece_go(io)) {
		whole_done(io);
		return;
	}
	w->pieces = 1;
	while (w->begun < w->bytes && (more = io_get_piece(io))) {
		if (!piece_go(more)) {
			io_put(more);
			return;
		}
		w->pieces++;
	}
}

/* A read or write of which everything is set. */
static void io_start(struct io *io)
{
	if (io->disk.bytes > disk_piece_bytes(io->lun->disk))
		io_split(io);
	else
		io_submit(io);
}

/* How much of @bytes at @offset is within the disk. */
static uint32_t clip(const struct lun *lun, uint64_t offset, uint32_t bytes)
{
	uint64_t size = disk_bytes(lun->disk);

	if (offset >= size)
		return 0;
	return bytes < size - offset ? bytes : (uint32_t)(size - offset);
}

/* The fixed part of the request, or NULL (answered) when it is shorter than that. */
static const void *arguments(struct blkio *b, const struct fuse_in_header *in, size_t bytes)
{
	if (in->len >= sizeof(*in) + bytes)
		return in + 1;
	reply_error(b, in->unique, -EIO);
	return NULL;
}

static void start_read(struct blkio *b, struct lun *lun, const struct fuse_in_header *in)
{
	const struct fuse_read_in *arg = arguments(b, in, sizeof(*arg));
	uint64_t offset;
	uint32_t bytes;
	struct io *io;

	if (!arg)
		return;
	offset = arg->offset;
	bytes = clip(lun, offset, arg->size);
	if (arg->size > DISK_IO_BYTES_MAX) {
		reply_error(b, in->unique, -EINVAL);
		return;
	}
	if (!bytes) {
		reply(b, in->unique, 0, NULL, 0);
		return;
	}
	io = io_get(b, lun, in);
	if (bytes <= BLKIO_SMALL_BYTES) {
		io->small = pool_get(&b->small);
	} else {
		io->big = b->rx; /* @in ends here */
		b->rx = NULL;
	}
	io->disk.op = DISK_READ;
	io->disk.is_fua = false;
	io->disk.offset = offset;
	io->disk.bytes = bytes;
	io->disk.data = io->small ? io->small : io->big;
	io_start(io);
}

static void start_write(struct blkio *b, struct lun *lun, const struct fuse_in_header *in)
{
	const struct fuse_write_in *arg = arguments(b, in, sizeof(*arg));
	uint32_t bytes;
	struct io *io;

	if (!arg)
		return;
	if (arg->size > DISK_IO_BYTES_MAX || in->len - sizeof(*in) - sizeof(*arg) < arg->size) {
		reply_error(b, in->unique, -EIO);
		return;
	}
	bytes = clip(lun, arg->offset, arg->size);
	if (!bytes) {
		if (arg->size)
			reply_error(b, in->unique, -ENOSPC);
		else
			reply_written(b, in->unique, 0);
		return;
	}
	io = io_get(b, lun, in);
	io->big = b->rx;
	b->rx = NULL;
	io->disk.op = DISK_WRITE;
	/* O_SYNC contains the bit of O_DSYNC. */
	io->disk.is_fua = arg->flags & O_DSYNC;
	io->disk.losses_told = losses_of(arg->write_flags & FUSE_WRITE_CACHE ? 0 : arg->fh);
	/* Whoever wrote it has gone on: the kernel looks at errors only. */
	io->is_over = arg->write_flags & FUSE_WRITE_CACHE && bytes < arg->size;
	io->disk.offset = arg->offset;
	io->disk.bytes = bytes;
	io->disk.data = (uint8_t *)(arg + 1);
	io_start(io);
}

static void start_flush(struct blkio *b, struct lun *lun, const struct fuse_in_header *in)
{
	const struct fuse_fsync_in *arg = arguments(b, in, sizeof(*arg));
	struct io *io;

	if (!arg)
		return;
	io = io_get(b, lun, in);
	io->disk.op = DISK_FLUSH;
	io->disk.losses_told = losses_of(arg->fh);
	io->disk.is_fua = false;
	io->disk.offset = 0;
	io->disk.bytes = 0;
	io->disk.data = NULL;
	io_submit(io);
}

/* --- fallocate and lseek --- */

/* The next piece, or the answer. */
static void range_go_on(struct io *io)
{
	uint32_t block = io->lun->disk->block_bytes;
	uint64_t left = io->end - io->at, whole = left / block * block;
	uint32_t past = (uint32_t)(io->at % block);

	if (!left) {
		reply(io->blkio, io->unique, 0, NULL, 0);
		io_put(io);
		return;
	}
	io->disk.is_fua = false;
	io->disk.offset = io->at;
	io->disk.data = io->small;
	if (past || !whole) {
		io->disk.op = DISK_WRITE;
		io->disk.bytes = (uint32_t)MIN(left, block - past);
		memset(io->small, 0, io->disk.bytes);
		io->at += io->disk.bytes;
	} else {
		io->disk.op = io->range_op;
		io->disk.bytes = 0;
		io->disk.length = whole;
		io->at += whole;
	}
	io_submit(io);
}

/* 0, or -errno: as a block device answers, but for parts of blocks, which are zeroed. */
static int range_of(const struct lun *lun, const struct fuse_fallocate_in *arg, struct io *io)
{
	uint64_t size = disk_bytes(lun->disk);
	bool is_punch = arg->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	bool keeps_size = arg->mode & FALLOC_FL_KEEP_SIZE;

	if (!is_punch && (arg->mode | FALLOC_FL_KEEP_SIZE) !=
				 (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (lun->disk->is_read_only)
		return -EROFS;
	if (!disk_provision_can(&lun->disk->provision, is_punch))
		return -EOPNOTSUPP;
	if (!arg->length || arg->offset >= size ||
	    (!keeps_size && arg->length > size - arg->offset))
		return -EINVAL;
	io->range_op = is_punch ? DISK_PUNCH : DISK_ZERO;
	io->at = arg->offset;
	io->end = arg->offset + MIN(arg->length, size - arg->offset);
	return 0;
}

static void start_fallocate(struct blkio *b, struct lun *lun, const struct fuse_in_header *in)
{
	const struct fuse_fallocate_in *arg = arguments(b, in, sizeof(*arg));
	struct io *io;
	int r;

	if (!arg)
		return;
	io = io_get(b, lun, in);
	r = range_of(lun, arg, io);
	if (r < 0) {
		reply_error(b, io->unique, r);
		io_put(io);
		return;
	}
	io->is_range = true;
	io->small = pool_get(&b->small);
	range_go_on(io);
}

/* The kernel does not write out dirty pages before it asks where holes are: then nothing is one. */
static bool may_be_dirty(const struct blkio *b, const struct lun *lun)
{
	for (const GList *k = lun->disk->luns; k; k = k->next)
		if (((const struct lun *)k->data)->open_mappers)
			return true;
	return b->has_writeback;
}

static void start_lseek(struct blkio *b, struct lun *lun, const struct fuse_in_header *in)
{
	const struct fuse_lseek_in *arg = arguments(b, in, sizeof(*arg));
	struct io *io;

	if (!arg)
		return;
	if (arg->whence != SEEK_DATA && arg->whence != SEEK_HOLE) {
		reply_error(b, in->unique, -EINVAL);
		return;
	}
	if (may_be_dirty(b, lun) && arg->offset < disk_bytes(lun->disk)) {
		reply_found(b, in->unique, arg->whence == SEEK_DATA ? arg->offset
								    : disk_bytes(lun->disk));
		return;
	}
	io = io_get(b, lun, in);
	io->small = pool_get(&b->small);
	io->disk.op = arg->whence == SEEK_DATA ? DISK_SEEK_DATA : DISK_SEEK_HOLE;
	io->disk.is_fua = false;
	io->disk.offset = arg->offset;
	io->disk.bytes = 0;
	io->disk.length = 0;
	io->disk.data = io->small;
	io_submit(io);
}

/* --- copy_file_range --- */

static struct lun *lun_of_node(uint64_t nodeid)
{
	const struct node *n = (const struct node *)(uintptr_t)nodeid;

	if (nodeid == FUSE_ROOT_ID || n->row->type != ATTR_DISK)
		return NULL;
	return container_of(n->obj, struct lun, obj);
}

/* How many bytes, as whole blocks, or -errno; what the target does not do, the kernel does by
 * reading and writing. */
static int64_t copy_length(const struct lun *from, const struct lun *to,
			   const struct fuse_copy_file_range_in *arg)
{
	uint64_t bytes = MIN(arg->len, COPY_REQUEST_BYTES), size, block;

	if (!to || !to->has_disk || to->disk->is_gone)
		return -EIO;
	block = to->disk->block_bytes;
	if (from->target != to->target || !disk_can_copy(from->disk, to->disk) ||
	    arg->off_in % block || arg->off_out % block)
		return -EOPNOTSUPP;
	size = disk_bytes(from->disk);
	bytes = MIN(bytes, arg->off_in < size ? size - arg->off_in : 0);
	size = disk_bytes(to->disk);
	bytes = MIN(bytes, arg->off_out < size ? size - arg->off_out : 0);
	bytes -= bytes % block;
	return bytes ? (int64_t)bytes : -EOPNOTSUPP;
}

static void start_copy(struct blkio *b, struct lun *from, const struct fuse_in_header *in)
{
	const struct fuse_copy_file_range_in *arg = arguments(b, in, sizeof(*arg));
	struct lun *to = arg ? lun_of_node(arg->nodeid_out) : NULL;
	int64_t bytes;
	struct io *io;

	if (!arg)
		return;
	bytes = copy_length(from, to, arg);
	if (bytes < 0) {
		reply_error(b, in->unique, (int)bytes);
		return;
	}
	io = io_get(b, to, in);
	io->source = from;
	object_ref(&from->obj);
	io->small = pool_get(&b->small);
	io->disk.op = DISK_COPY;
	io->disk.is_fua = false;
	io->disk.offset = arg->off_out;
	io->disk.bytes = 0;
	io->disk.length = (uint64_t)bytes;
	io->disk.source = from->disk;
	io->disk.source_offset = arg->off_in;
	io->disk.data = io->small;
	io_submit(io);
}

/* Pieces that were not sent yet are taken back; the others are waited for. */
static void interrupt_pieces(struct io *parent)
{
	struct blkio *b = parent->blkio;
	bool is_again = true, is_last;

	if (parent->whole.result == 0)
		parent->whole.result = -EINTR;
	while (is_again) {
		is_again = false;
		list_for_each(link, &b->active) {
			struct io *io = list_entry(link, struct io, link);

			if (io->parent != parent || !disk_withdraw(&io->disk))
				continue;
			is_last = parent->whole.pieces == 1;
			piece_done(io, -EINTR);
			is_again = !is_last;
			break; /* the list is another one now, and @parent perhaps no more */
		}
	}
}

/* Whoever waits for the request is killed: one that has not been sent is taken back, another one
 * runs to its end. A signal that is not deadly changes nothing, as with any disk: programs do not
 * expect EINTR of one. */
static void withdraw(struct interrupt *i)
{
	struct io *io = container_of(i, struct io, interrupt);
	struct blkio *b = io->blkio;

	if (io->parent) {
		interrupt_pieces(io);
	} else if (disk_withdraw(&io->disk)) {
		reply_error(b, io->unique, -EINTR);
		io_put(io);
	}
}

/* False when the request is none of ours: libfuse would queue an interrupt for a request it does
 * not know, answer EAGAIN, and get it again, for as long as the request lasts. */
static bool interrupt(struct blkio *b, const struct fuse_in_header *in)
{
	const struct fuse_interrupt_in *arg = (const void *)(in + 1);

	if (in->len < sizeof(*in) + sizeof(*arg))
		return false;
	list_for_each(link, &b->active) {
		struct io *io = list_entry(link, struct io, link);

		if (io->unique != arg->unique || io->is_piece)
			continue;
		interrupt_came(b->interrupts, &io->interrupt);
		return true;
	}
	return false;
}

bool blkio_take(struct blkio *b, size_t bytes)
{
	static void (*const start[])(struct blkio *, struct lun *,
				     const struct fuse_in_header *) = {
		[FUSE_READ] = start_read,
		[FUSE_WRITE] = start_write,
		[FUSE_FSYNC] = start_flush,
		[FUSE_FALLOCATE] = start_fallocate,
		[FUSE_LSEEK] = start_lseek,
		[FUSE_COPY_FILE_RANGE] = start_copy,
	};
	const struct fuse_in_header *in = (const void *)b->rx;
	struct lun *lun;

	if (bytes < sizeof(*in) || in->len != bytes)
		return false;
	if (in->opcode == FUSE_INTERRUPT)
		return interrupt(b, in);
	if (in->opcode >= sizeof(start) / sizeof(start[0]) || !start[in->opcode])
		return false;
	lun = lun_of_node(in->nodeid);
	if (!lun)
		return false;
	if (lun->disk->is_gone)
		reply_error(b, in->unique, -lun->disk->gone_errno);
	else if (!lun->has_disk)
		reply_error(b, in->unique, -ENODEV);
	else
		start[in->opcode](b, lun, in);
	return true;
}
