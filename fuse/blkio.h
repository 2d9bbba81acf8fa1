/* SPDX-License-Identifier: BSD-2-Clause */
/* The data files of LUNs. FUSE_READ, FUSE_WRITE, FUSE_FSYNC, FUSE_FALLOCATE, FUSE_LSEEK and
 * FUSE_COPY_FILE_RANGE on them (and FUSE_INTERRUPT for such a request) do not go through
 * libfuse: the request as it came from the device becomes a pooled struct io, goes to the disk,
 * and is answered with one writev. Nothing is allocated, and nothing can fail for want of
 * memory: fs.c reads the device only while blkio_reserve() says that there is room for whatever
 * comes (back-pressure).
 *
 * Buffers are of two sizes. Every request is received into a big one, b->rx, since a write may
 * fill it. A write keeps that buffer until the target has taken the data: the payload is not
 * copied. So does a read of more than BLKIO_SMALL_BYTES, as the place for its data; a shorter
 * read takes a small buffer, and b->rx is used for the next request.
 *
 * Few buffers are there at first, and more are made while requests are under way, by a helper
 * thread: this one must not touch new memory (pool.h). Until they are there, the kernel waits.
 *
 *   an io is   true in it                                                    next
 *   free       in the pool                                                   active
 *   active     on b->active; holds a reference of the lun and its buffer;    free
 *              the kernel waits for the answer
 */
#ifndef ISCSIFS_BLKIO_H
#define ISCSIFS_BLKIO_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/pool.h"
#include "base/pool_grow.h"
#include "core/disk.h"

struct interrupt_watch;
struct lun;

#define BLKIO_HEADER_BYTES 4096
#define BLKIO_RX_BYTES (BLKIO_HEADER_BYTES + DISK_IO_BYTES_MAX)
#define BLKIO_SMALL_BYTES (64 * 1024)

struct blkio {
	int fd; /* the FUSE device: borrowed */
	struct pool ios, big, small;
	struct pool pieces; /* ios, for further pieces of a request */
	bool has_writeback; /* cache=back: the kernel has dirty pages */
	struct pool_grower big_grower, small_grower;
	struct list active;
	unsigned active_count;
	int64_t deep_us;  /* when there were many active, last */
	unsigned spin_us; /* loop_set_spin() while few are active; 0: never. Set after init */
	struct interrupt_watch *interrupts; /* borrowed. Set after init */
	uint8_t *rx; /* NULL: none taken from @big */
	bool is_dry; /* blkio_reserve() said no: room() is owed */
	/* Room again after blkio_reserve() said no. Called from the loop. */
	void (*room)(struct blkio *b);
};

/* @depth requests at a time (and some more, so that control files still answer when the kernel
 * has as many data requests under way as it may). @w makes more buffers; NULL: all are there.
 * 0 or -ENOMEM. */
int blkio_init(struct blkio *b, unsigned depth, struct worker *w, void (*room)(struct blkio *));
/* Nothing may be active. Harmless on a zeroed one. */
void blkio_done(struct blkio *b);

/* b->rx is there to be read into (BLKIO_RX_BYTES), and any one request can be taken. */
bool blkio_reserve(struct blkio *b);
/* The request of @bytes in b->rx: taken (and answered now or later), or false: it is for
 * libfuse. */
bool blkio_take(struct blkio *b, size_t bytes);
bool blkio_is_idle(const struct blkio *b);

#endif
