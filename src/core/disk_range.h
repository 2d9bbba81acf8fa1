/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of a disk about a range of its blocks that carry no data of their sender's: punch a
 * hole, make zeros, find data or a hole. A member of disk.c, which sends what is built here, sends
 * it again where need be, and comes back with the answer.
 *
 * A hole and zeros are promises about what is read afterwards. UNMAP is only a hint (SBC-3
 * 4.7.3.4: a block may stay mapped, and then keeps its data), even when what is not mapped reads
 * as zeros (LBPRZ). So a hole is made in one of these ways, the first that the unit can:
 *
 *   way               needs                  it is done by
 *   UNMAP, checked    LBPU, LBPRZ, limits;   UNMAP; GET LBA STATUS; what is mapped still, or not
 *                     GET LBA STATUS         told of, gets zeros written
 *   WRITE SAME/UNMAP  LBPWS, LBPRZ           WRITE SAME(16) with UNMAP of zeros: the target unmaps
 *                                            what then reads so, and writes the rest (SBC-3
 *                                            5.46); some unmap all of it, so not without LBPRZ
 *   UNMAP, trusted    LBPU, LBPRZ, limits    UNMAP: there is no way to check
 *   none              -                      -EOPNOTSUPP, as from a file system
 *
 * Zeros: WRITE SAME/UNMAP where there is that, else WRITE SAME(16), else -EOPNOTSUPP. What a target
 * refuses (INVALID OPCODE, INVALID FIELD) is not asked of it again until the next scan, and the
 * next way is taken from where it was.
 *
 *   step          the command under way is                              next
 *   UNMAP         UNMAP of [next_lba, unmap_end), in whole granules     CHECK, (on)
 *   CHECK         GET LBA STATUS from next_lba on: up to there nothing  CHECK, FILL, (on)
 *                 is mapped any more, or has zeros
 *   FILL          WRITE SAME (else WRITE) of zeros up to @fill_end:     FILL, CHECK, (on)
 *                 begin and end of a range that are no whole granule,
 *                 and what UNMAP left
 *   SAME_UNMAP    WRITE SAME(16) with UNMAP                             (on)
 *   SAME          WRITE SAME(16)                                        (on)
 *   COPY          EXTENDED COPY                                         (on)
 *   STATUS        GET LBA STATUS from next_lba on, for a seek           STATUS, (end)
 *   (on)          next_lba moved on: the next command, as the way asks, or the end
 *
 * Copies are made by EXTENDED COPY of the unit that is copied to, which names both; the target must
 * know them by an NAA designator and say that it copies (3PC).
 *
 * Seeks ask only a unit that is thin and whose holes read as zeros; of any other one, and one that
 * does not tell, all is data. */
#ifndef ISCSIFS_DISK_RANGE_H
#define ISCSIFS_DISK_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "scsi/copy.h"
#include "scsi/inquiry.h"
#include "scsi/provision.h"

struct disk;
struct disk_io;

#define DISK_RANGE_SCRATCH_BYTES 4096

/* What the unit can do; of several units that are one disk, what all of them can. Blocks. */
struct disk_provision {
	bool is_thin, has_zeros;
	bool has_unmap, has_write_same_unmap;
	uint32_t max_unmap_blocks, granularity, alignment;
	uint64_t max_write_same_blocks; /* 0: not told */
	/* learnt */
	bool refuses_unmap, refuses_write_same_unmap, refuses_write_same, refuses_status;
};

/* What EXTENDED COPY calls a unit. */
struct disk_name {
	uint8_t naa[COPY_NAA_MAX];
	uint8_t naa_bytes; /* 0: it has none */
	bool can_copy;	   /* 3PC, and has not refused */
};

enum disk_range_step {
	RANGE_UNMAP,
	RANGE_CHECK,
	RANGE_FILL,
	RANGE_SAME_UNMAP,
	RANGE_SAME,
	RANGE_STATUS,
	RANGE_COPY,
};

struct disk_range {
	enum disk_range_step step;
	uint64_t unmap_end, fill_end;
	unsigned commands;
};

/* A unit's word, of one unit of a disk; the next one's is added to it. */
void disk_provision_set(struct disk_provision *p, const struct capacity *c,
			const struct block_limits *b, const struct provisioning *told);
void disk_provision_add(struct disk_provision *p, const struct disk_provision *other);
/* Can @to be asked to copy blocks of @from? */
bool disk_can_copy(const struct disk *from, const struct disk *to);
/* Can blocks be punched, or zeroed (which is asked as @is_punch)? */
bool disk_provision_can(const struct disk_provision *p, bool is_punch);

/* --- for disk.c --- */

bool disk_range_is(const struct disk_io *io);
/* Must all bytes of the command under way have moved? GET LBA STATUS has as much to tell as it has;
 * and a target (tgtd) that says it took none of UNMAP's parameters may have done it: the check
 * finds out. */
bool disk_range_is_exact(const struct disk *d, const struct disk_io *io);
/* Its first step, or a result at once: 1 it is complete, -EOPNOTSUPP. 0: send. */
int disk_range_begin(struct disk *d, struct disk_io *io);
/* The command of the step, into the task. */
void disk_range_build(const struct disk *d, struct disk_io *io);
/* The command of the step went well. 1: the request is complete; 0: send the next; -errno. */
int disk_range_advance(struct disk *d, struct disk_io *io);
/* The target refused the command of the step. 1, 0 and -errno as above. */
int disk_range_refused(struct disk *d, struct disk_io *io);

#endif
