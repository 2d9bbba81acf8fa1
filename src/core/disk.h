/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk: bytes at any offset over the blocks of a logical unit, through one path or several.
 * It turns a request into SCSI commands (splitting what is longer than the unit's maximum
 * transfer), serialises read-modify-write of blocks that a request covers only in part against
 * every write that touches the same blocks, judges what comes back and decides whether to send
 * again. It knows sessions and tasks, and no file system.
 *
 * One request is one struct disk_io, embedded in the caller's pooled object together with the
 * task that carries it: nothing is allocated. A request has one deadline; retries spend from
 * it.
 *
 *   state        true in it                                                 next
 *   IDLE         the caller's                                           any but SYNC, PAUSE
 *   WAIT_RANGE   on @waiting: a write of the same blocks goes first     as IDLE
 *   WAIT_BUFFER  holds its range, no bounce buffer is free              HEAD, TAIL, COMMAND, DONE
 *   HEAD         reading the first, partly covered block                TAIL, COMMAND, PAUSE, DONE
 *   TAIL         reading the last, partly covered block                 COMMAND, PAUSE, DONE
 *   COMMAND      a command for part or all of it is under way           SYNC, PAUSE, DONE
 *   SYNC         written; SYNCHRONIZE CACHE under way: FUA was asked    PAUSE, DONE
 *                for, and the unit has a write cache and no FUA
 *   PAUSE        waits before it is sent again (BUSY ...)               the state before, DONE
 *   DONE         done() is about to run or has run                      -
 *
 * Which tasks may be sent again: READ, WRITE and SYNCHRONIZE CACHE of a disk may be, whatever
 * became of the first (they say where, not "next"); so every check condition that calls for it
 * leads to a new command, and so does an abort. A command whose connection was lost ends with
 * -EIO. */
#ifndef ISCSIFS_DISK_H
#define ISCSIFS_DISK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/object.h"
#include "base/pool.h"
#include "iscsi/session.h"
#include "iscsi/task.h"
#include "scsi/inquiry.h"
#include "scsi/sense.h"

struct disk;

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH };
enum disk_io_state {
	DISK_IO_IDLE,
	DISK_IO_WAIT_RANGE,
	DISK_IO_WAIT_BUFFER,
	DISK_IO_HEAD,
	DISK_IO_TAIL,
	DISK_IO_COMMAND,
	DISK_IO_SYNC,
	DISK_IO_PAUSE,
	DISK_IO_DONE,
};

/* One request. @data must stay until done(). */
struct disk_io {
	/* set by the caller */
	enum disk_op op;
	bool is_fua; /* a write that is durable when done() runs */
	uint64_t offset; /* bytes; any */
	uint32_t bytes; /* any up to DISK_IO_BYTES_MAX; offset + bytes within the disk (checked) */
	uint8_t *data;
	/* Runs once, never from inside disk_submit(): 0, or -errno (a read's @data is then
	 * worthless). */
	void (*done)(struct disk_io *io, int result);

	/* the disk's own */
	struct disk *disk;
	struct task task;
	struct list link; /* one of the disk's lists */
	struct path *path; /* of the command under way */
	enum disk_io_state state, paused_state;
	uint8_t *bounce;   /* from the bounce pool when blocks are covered in part */
	uint64_t lba, next_lba; /* first block; first block not asked for yet */
	uint32_t blocks, command_blocks; /* all blocks touched; blocks of the command under way */
	unsigned tries;
	int64_t deadline_us, again_us;
	bool is_unaligned;
	int result;
};

#define DISK_IO_BYTES_MAX (1024 * 1024)
#define DISK_BLOCK_BYTES_MAX 65536
#define DISK_BOUNCE_BYTES (DISK_IO_BYTES_MAX + 2 * DISK_BLOCK_BYTES_MAX)

struct disk_stats {
	uint64_t reads, writes, flushes, read_bytes, write_bytes, errors, retries, unaligned;
};

/* A way to the logical unit. Holds a reference of the session. */
struct path {
	struct list link;
	struct disk *disk;
	struct session *session;
	uint8_t lun[8];
	bool is_usable;
	unsigned in_flight;
};

struct disk {
	struct loop *loop;
	struct object *owner; /* the lun object: failures are written there; not a reference */
	char name[256];	      /* for messages: "iqn.x lun 3"; set by the owner */
	struct list paths;
	struct pool *bounce;  /* of DISK_BOUNCE_BYTES items; borrowed */
	uint64_t blocks;
	uint32_t block_bytes;
	uint32_t max_command_blocks;
	bool is_read_only, has_write_cache, has_fua;
	bool has_lost_write; /* a deferred error came: the next flush must tell (SPC-4 4.5.5) */
	bool is_gone; /* everything ends with -ENODEV */
	int64_t timeout_ms; /* of a request */
	struct list active;   /* hold their range; a command of theirs may be under way */
	struct list waiting;  /* for their range, in order of arrival */
	struct list paused;   /* active ones that wait for time to pass */
	struct list finished; /* done() is to be called by @finish, which also wakes @waiting */
	unsigned active_count, active_unaligned; /* in @active or @paused */
	struct loop_timer pause_timer;
	struct loop_call finish;
	unsigned log_budget; /* lines left in this second: a dead disk must not fill the log */
	int64_t log_second;
	struct disk_stats stats;
	/* A unit attention said that something changed (SENSE_CAPACITY_CHANGED ...): the owner
	 * looks again. */
	void (*changed)(struct disk *d, enum sense_class what);
};

void disk_init(struct disk *d, struct loop *l, struct object *owner, struct pool *bounce);
/* No request may be outstanding. */
void disk_done(struct disk *d);
/* Geometry, as the scan found it. -EINVAL for a block length out of range. */
int disk_set_geometry(struct disk *d, const struct capacity *c, const struct block_limits *b);
uint64_t disk_bytes(const struct disk *d);
/* Requests from now on, and those waiting, end with -ENODEV; those under way end when their
 * session hands them back. */
void disk_shutdown(struct disk *d);

/* Holds a reference of @s until removed. */
struct path *disk_add_path(struct disk *d, struct session *s, const uint8_t lun[8]);
void disk_remove_path(struct disk *d, struct session *s);
bool disk_is_usable(const struct disk *d);

/* 0: done() will run. -errno at once (done() never runs): -EINVAL out of range, -EROFS,
 * -ENODEV, -EIO (no usable path). */
int disk_submit(struct disk *d, struct disk_io *io);
/* Someone does not want to wait any longer: a request not yet sent is taken back (true: done()
 * never runs). */
bool disk_withdraw(struct disk_io *io);

#endif
