/* SPDX-License-Identifier: BSD-2-Clause */
/* Which bytes of a transfer are covered: a few ranges, in order, that neither touch nor overlap.
 * For transfers whose parts may come in any order (DataSequenceInOrder=No, recovery R2Ts). */
#ifndef ISCSIFS_EXTENTS_H
#define ISCSIFS_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>

#define EXTENTS_MAX 16

struct extents { /* all zero: nothing is covered */
	unsigned count;
	uint32_t beyond; /* bytes for whose range there was no room: the user's to count */
	struct extent {
		uint32_t begin, end;
	} range[EXTENTS_MAX];
};

/* Is a byte of [begin, end) covered? */
bool extents_overlap(const struct extents *e, uint32_t begin, uint32_t end);
/* Cover [begin, end), begin <= end. False: more ranges than we keep; @e is as it was. */
bool extents_add(struct extents *e, uint32_t begin, uint32_t end);
/* How many bytes are covered, those @beyond included. */
uint32_t extents_bytes(const struct extents *e);
/* How many are covered from byte 0 on without a gap. */
uint32_t extents_prefix(const struct extents *e);

#endif
