/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk: bytes at any offset over the blocks of a logical unit, through one path or several.
 * It turns a request into SCSI commands (splitting what is longer than the unit's maximum
 * transfer), serialises read-modify-write of blocks that a request covers only in part against
 * every write that touches the same blocks, judges what comes back and decides whether to send
 * again, and by which path (disk_path.h). It knows sessions and tasks, and no file system.
 *
 * One request is one struct disk_io, embedded in the caller's pooled object together with the
 * task that carries it: nothing is allocated. A request has one deadline (timeout_ms after it
 * was submitted) from which everything spends: waits, attempts, recovery of the session.
 *
 *   state        true in it                                             next
 *   IDLE         the caller's                                           any but SYNC, PAUSE
 *   WAIT_RANGE   on @waiting: a write of the same blocks goes first     as IDLE
 *   WAIT_BUFFER  holds its range, no bounce buffer is free              HEAD, TAIL, COMMAND,
 *                                                                       DONE
 *   HEAD         reading the first, partly covered block                TAIL, COMMAND, (*)
 *   TAIL         reading the last, partly covered block                 COMMAND, (*)
 *   COMMAND      a command for part or all of it is under way           SYNC, (*)
 *   SYNC         written; SYNCHRONIZE CACHE under way: FUA was asked    (*)
 *                for, and the unit has a write cache and no FUA
 *   (*) these three as well:
 *   PAUSE        waits before it is sent again (BUSY ...)               the state before, DONE
 *   WAIT_PATH    on @parked: there are paths, none is usable. Sent      the state before, DONE
 *                again by disk_kick(), fails at its deadline
 *   DONE         done() is about to run or has run                      -
 *
 * Requests about a range of blocks (punch, zero, copy, seek) are a row of commands, see
 * disk_range.h; each of these has the deadline of a request of its own, since a range may be the
 * whole disk.
 *
 * What is sent again. READ, WRITE and SYNCHRONIZE CACHE, UNMAP, WRITE SAME, EXTENDED COPY and
 * GET LBA STATUS of a disk are, whatever became of the first: they say where, not "next", so
 * that twice does what once does. (Of a copy, because its source and its destination do not
 * overlap. Not so for commands of the control path: query.h.) A request leaves its range only
 * at its end, so nothing of ours gets between two attempts.
 *
 *   what came back                         what is done
 *   not answered: never sent, maybe        again, by another path if there is one, as soon as
 *   executed, aborted; target failure;     there is; at once the first time, then after pauses;
 *   standby, unavailable, offline          until the deadline
 *   ALUA transition                        the path waits for what it becomes
 *   BUSY, TASK SET FULL, becoming ready    again after a pause that grows from 50 ms to 1 s,
 *                                          until the deadline
 *   unit attention, disturbed,             again at once, at most DISK_TRIES_MAX times
 *   TASK ABORTED
 *   RESERVATION CONFLICT                   a few times within a second, then EBUSY
 *   anything else                          fails
 *
 * What is promised. A read succeeds only when the target answered GOOD and every byte of every
 * command came; else @data is worthless. A write that fails may have been written, in part or
 * all. A write that succeeds was written by its last attempt. When an earlier attempt was
 * *maybe executed* and its session begins anew, the target has ended that attempt before the
 * next one is sent (RFC 7143 6.3.5: reinstatement). When the next attempt goes by another path,
 * that is not so: a first attempt whose data the target has completely may still be carried out
 * until the target notices that its connection is gone, and if it is as slow as that, over a
 * later write of the same blocks. Every multipath initiator lives with it; a write that still
 * waits for R2Ts cannot do it, nor can one that was aborted.
 *
 * A flush succeeds only when all that was acknowledged before is safe. Two things tell that it is
 * not: a deferred error (SPC-4 4.5.5), and that the unit was without power (29/01) while its
 * write cache held something; the next flush of everybody who flushes fails then, once. 29/00,
 * which is told after any reset and by some targets for each new session, proves nothing: it is
 * an event, no error. */
#ifndef ISCSIFS_DISK_H
#define ISCSIFS_DISK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/policy.h"
#include "base/pool.h"
#include "core/disk_path.h"
#include "core/disk_range.h"
#include "iscsi/session.h"
#include "iscsi/task.h"
#include "scsi/inquiry.h"
#include "scsi/sense.h"

struct disk;
struct reservation;

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_PUNCH,	/* whole blocks: read as zeros afterwards, and are free at the target */
	DISK_ZERO,	/* whole blocks: read as zeros afterwards */
	DISK_COPY,	/* whole blocks: become those of @source, moved by the target */
	DISK_SEEK_DATA, /* from @offset on: where is there something else than a hole? */
	DISK_SEEK_HOLE, /* ... and where a hole, of blocks that the target has not mapped? */
};
enum disk_io_state {
	DISK_IO_IDLE,
	DISK_IO_WAIT_RANGE,
	DISK_IO_WAIT_BUFFER,
	DISK_IO_HEAD,
	DISK_IO_TAIL,
	DISK_IO_COMMAND,
	DISK_IO_SYNC,
	DISK_IO_PAUSE,
	DISK_IO_WAIT_PATH,
	DISK_IO_DONE,
};

/* One request. @data must stay until done(). */
struct disk_io {
	/* set by the caller */
	enum disk_op op;
	bool is_fua;	 /* a write that is durable when done() runs */
	/* The last of disk->losses that whoever flushes, or writes with @is_fua, knows of; a later
	 * one makes it fail once. NULL: what nobody was told of. Must stay until done(). */
	uint64_t *losses_told;
	uint64_t offset; /* bytes; any */
	uint32_t bytes; /* up to DISK_IO_BYTES_MAX; offset + bytes within the disk (checked) */
	uint64_t length; /* of a punch, zero or copy, in bytes; the same holds */
	struct disk *source;	 /* of a copy; a reference is held until done() */
	uint64_t source_offset;	 /* bytes; whole blocks within it */
	uint8_t *data;	 /* punch, zero, seek: DISK_RANGE_SCRATCH_BYTES for our own use */
	/* Runs once, never from inside disk_submit(): 0, or -errno (a read's @data is then
	 * worthless). Of a range: -EOPNOTSUPP, the unit cannot do it; then, and at any failure, a
	 * part may be done. A seek: -ENXIO, there is no data up to the end of the disk. */
	void (*done)(struct disk_io *io, int result);
	uint64_t found; /* seek: where, in bytes; for SEEK_HOLE the end of the disk is a hole */

	/* the disk's own */
	struct disk *disk;
	struct task task;
	struct list link;	  /* one of the disk's lists */
	struct path *path;	  /* of the command under way; NULL: it was removed meanwhile */
	const struct path *avoid; /* where it went wrong; only to compare with */
	enum disk_io_state state, paused_state;
	uint8_t *bounce;	/* from the bounce pool when blocks are covered in part */
	uint64_t lba, next_lba; /* first block; first block not asked for yet */
	uint64_t blocks;	/* all that are touched */
	uint32_t command_blocks; /* of the command under way */
	struct disk_range range; /* where a request about a range is */
	unsigned tries, hops, pauses, conflicts; /* of the command under way, so far */
	int64_t deadline_us, again_us, sent_us;
	bool is_cancelled; /* a range: nobody waits any more, it ends with the command under way */
	uint64_t sync_count; /* disk->written when SYNCHRONIZE CACHE was sent */
	bool is_unaligned;
	bool lacks_fua; /* a command of it was sent without FUA */
	int result;
	char why[160]; /* what went wrong last; "": nothing did */
};

#define DISK_IO_BYTES_MAX (1024 * 1024)
#define DISK_BLOCK_BYTES_MAX 65536
#define DISK_BOUNCE_BYTES (DISK_IO_BYTES_MAX + 2 * DISK_BLOCK_BYTES_MAX)

struct disk_stats {
	uint64_t reads, writes, flushes, read_bytes, write_bytes, errors, retries, unaligned;
	uint64_t punches, punched_bytes, zeroes, zeroed_bytes, seeks, copies, copied_bytes;
};

/* What a disk tells its owner. From the loop, also inside disk_ calls; members may be NULL. */
struct disk_ops {
	/* Something about the unit is different (SENSE_CAPACITY_CHANGED ...), told by @p (NULL:
	 * it has been removed since): look again. */
	void (*changed)(struct disk *d, struct path *p, enum sense_class what);
	/* For the `error` files: @what failed, @why. */
	void (*failed)(struct disk *d, const char *what, int code, int errno_value,
		       const char *why);
	/* The state of @p was @before. */
	void (*path_changed)(struct disk *d, struct path *p, enum path_state before);
	/* Whoever knows what the unit should be: look at the end of @p again. */
	void (*verify)(struct path *p);
	/* The target is being asked to make the port group of @p active. */
	void (*activating)(struct disk *d, struct path *p);
	/* A command met RESERVATION CONFLICT, and is sent again a few times. */
	void (*conflict)(struct disk *d);
	/* disk_watch(): the time has come. */
	void (*look)(struct disk *d);
};

/* Counted: each lun object that is this disk holds a reference, and every request's sender
 * holds one of a lun. */
struct disk {
	unsigned refs;
	struct loop_reap reap;
	struct loop *loop;
	const struct disk_ops *ops; /* NULL: nobody is told */
	GList *luns; /* of struct lun *: with this disk, also gone ones that are open (lun.c) */
	char name[256]; /* for messages: "iqn.x: lun 3"; set by the owner */
	struct list paths;
	struct path *only;     /* the one usable path, when it is just one: the fast way */
	unsigned usable_paths; /* by their state */
	int64_t stranded_us;   /* loop time when the last of them ceased to be; 0: never */
	enum policy policy;
	uint64_t policy_clock;
	struct loop_timer watch_timer;
	int64_t reported_us;   /* when target port groups were asked for, last (disk_watch.c) */
	bool is_report_wanted; /* ... and they are to be asked for again, soon */
	bool is_activated; /* explicit activation was tried since a path was usable */
	struct pool *bounce;   /* of DISK_BOUNCE_BYTES items; borrowed */
	uint64_t blocks;
	uint32_t block_bytes;
	uint32_t max_command_blocks, best_command_blocks; /* best: 0 is not told */
	bool is_read_only, has_write_cache, has_fua;
	struct disk_provision provision;
	struct disk_name name_for_copy;
	struct reservation *reservation; /* what is known: reservation.c. One block; NULL: nothing */
	/* Commands that may have left something in the unit's write cache, and how many of them a
	 * SYNCHRONIZE CACHE has covered. Equal: a flush has nothing to do. */
	uint64_t written, flushed;
	uint64_t changes; /* commands that may have changed what is on the medium, or how much fits */
	/* The last time that something acknowledged was lost, in a count of these over all disks, and
	 * the last one that somebody was told of. Each flusher is told once of what he does not know
	 * yet (disk_io.losses_told), also when his disk has become part of another one. */
	uint64_t losses, losses_told;
	/* How often the unit was without power, and the last time (loop time). Each path tells. */
	uint64_t outages;
	int64_t outage_us;
	bool is_gone;	     /* everything ends with -@gone_errno */
	int gone_errno;
	int64_t timeout_ms;   /* of a request */
	struct list active;   /* hold their range; a command of theirs may be under way */
	struct list waiting;  /* for their range, in order of arrival */
	struct list paused;   /* active ones that wait for time to pass */
	struct list parked;   /* active ones that wait for a path, oldest first */
	struct list finished; /* done() is to be called by @finish, which also wakes @waiting */
	unsigned active_count, active_unaligned; /* in @active, @paused or @parked */
	struct loop_timer pause_timer, park_timer;
	struct loop_call finish, kick;
	uint32_t jitter;       /* of pauses */
	unsigned event_budget; /* left in this second: a dead disk must not fill the log */
	int64_t event_second;
	struct disk_stats stats;
};

/* One reference, the caller's. */
struct disk *disk_new(struct loop *l, const struct disk_ops *ops, struct pool *bounce);
struct disk *disk_ref(struct disk *d);
/* With the last one no request may be outstanding; the memory goes at the end of the turn. */
void disk_unref(struct disk *d);
/* Geometry, as the scan found it. -EINVAL for a block length out of range. */
int disk_set_geometry(struct disk *d, const struct capacity *c, const struct block_limits *b);
uint64_t disk_bytes(const struct disk *d);
/* Requests from now on, and those waiting, end with -@errno_value (ENODEV; ESTALE: another unit
 * is where this one was); those under way end when their session hands them back. */
void disk_shutdown(struct disk *d, int errno_value);

/* Some path is usable (by its state, and its session). */
bool disk_is_usable(const struct disk *d);
/* A path has become usable: what is parked is sent, soon. */
void disk_kick(struct disk *d);

/* Have ops->look() called in @ms, or sooner if that was asked for. Done by the disk when a
 * request waits for a path. */
void disk_watch(struct disk *d, int64_t ms);

/* 0: done() will run. -errno at once (done() never runs): -EINVAL out of range, -EROFS; -ENODEV
 * (or as disk_shutdown() said): it is gone, or has no path at all. That no path is usable now
 * is no error: the request waits. */
int disk_submit(struct disk *d, struct disk_io *io);
/* The same with a deadline of its sender's (loop time; 0: as timeout_ms says): for the pieces of
 * what is one request to others. */
int disk_submit_until(struct disk *d, struct disk_io *io, int64_t deadline_us);
/* Bytes that one command moves best, at most DISK_IO_BYTES_MAX and a multiple of the block: a longer
 * request is faster in pieces of this length that are under way together. */
uint32_t disk_piece_bytes(const struct disk *d);
/* The unit was without power, says @p (NULL: nobody knows who): what its write cache held is lost.
 * False: there was nothing in it, or it is the same loss that was told by another path. */
bool disk_lost_power(struct disk *d, struct path *p);
/* Something that was acknowledged is lost. */
void disk_lost_write(struct disk *d);
/* What its units say of their write caches. */
void disk_set_caches(struct disk *d, bool has_write_cache, bool has_fua);
/* Somebody else wrote to the unit: a flush has something to do. */
void disk_written(struct disk *d);
/* @from becomes part of @d: what its flushers have to be told is not forgotten. */
void disk_take_over(struct disk *d, const struct disk *from);
/* Something may be in the unit's write cache. */
bool disk_is_dirty(const struct disk *d);
/* Someone does not want to wait any longer: a request not yet sent is taken back (true: done()
 * never runs). One about a range ends after the command that is under way (-EINTR). */
bool disk_withdraw(struct disk_io *io);

#endif
