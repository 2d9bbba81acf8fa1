/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical block provisioning: what a unit tells of it (VPD page 0xB2), which of its blocks are
 * mapped (GET LBA STATUS data), and the parameters of UNMAP. Decoders take the bytes that came
 * and how many, and believe no length inside them beyond that. SBC-3 5.5, 5.28, 6.6.4. */
#ifndef ISCSIFS_PROVISION_H
#define ISCSIFS_PROVISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct provisioning {
	bool has_unmap;		   /* LBPU: UNMAP */
	bool has_write_same_unmap; /* LBPWS: WRITE SAME(16) with its UNMAP bit */
	bool has_zeros;		   /* LBPRZ xx1b: what is not mapped reads as zeros */
	uint8_t type;		   /* 0 not told, 1 resource, 2 thin */
};
/* VPD 0xB2. 0 or -EPROTO (then @ret is untouched). */
int provision_decode(const uint8_t *data, size_t len, struct provisioning *ret);

/* GET LBA STATUS data, walked from its start: blocks [lba, lba + blocks) are alike. */
struct lba_extent {
	uint64_t lba;
	uint32_t blocks;
	bool is_mapped; /* else deallocated or anchored */
};
#define LBA_STATUS_HEADER_BYTES 8
#define LBA_STATUS_EXTENT_BYTES 16
/* Extent number @i, or false: there is none (that came whole). */
bool provision_extent(const uint8_t *data, size_t len, size_t i, struct lba_extent *ret);

/* How far a run goes. Walks the extents from @lba on, which the first must contain and each of
 * the others continue: a target that leaves a gap, goes back or repeats itself is believed up
 * to there. Stops before the first extent that is mapped (or is not, as @is_mapped says).
 * Returns the first LBA that is not known to be unlike @is_mapped: @lba itself when nothing is.
 * *ret_end: an extent as @is_mapped says begins there and ends before that LBA; 0: none does.
 */
uint64_t provision_find(const uint8_t *data, size_t len, uint64_t lba, bool is_mapped,
			uint64_t *ret_end);

/* How many blocks are mapped, of those from @lba on that are told of, below @end; extents are
 * believed as in provision_find(). Returns the first LBA that is not told of: @lba: none is. */
uint64_t provision_count(const uint8_t *data, size_t len, uint64_t lba, uint64_t end,
			 uint64_t *ret_mapped);

/* The parameters of an UNMAP of one range: PROVISION_UNMAP_BYTES into @data. */
#define PROVISION_UNMAP_BYTES 24
void provision_unmap(uint8_t *data, uint64_t lba, uint32_t blocks);

#endif
