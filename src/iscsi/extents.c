/* SPDX-License-Identifier: BSD-2-Clause */
/* Ranges of bytes: see extents.h. */
#include "iscsi/extents.h"

#include <string.h>

bool extents_overlap(const struct extents *e, uint32_t begin, uint32_t end)
{
	for (unsigned i = 0; i < e->count; i++)
		if (begin < e->range[i].end && e->range[i].begin < end)
			return true;
	return false;
}

bool extents_add(struct extents *e, uint32_t begin, uint32_t end)
{
	unsigned first = 0, past;

	if (begin == end)
		return true;
	while (first < e->count && e->range[first].end < begin)
		first++;
	/* [first, past) touch it and become one with it. */
	for (past = first; past < e->count && e->range[past].begin <= end; past++) {
		begin = begin < e->range[past].begin ? begin : e->range[past].begin;
		end = end > e->range[past].end ? end : e->range[past].end;
	}
	if (past == first && e->count == EXTENTS_MAX)
		return false;
	memmove(&e->range[first + 1], &e->range[past], (e->count - past) * sizeof(e->range[0]));
	e->range[first] = (struct extent){ begin, end };
	e->count = e->count - (past - first) + 1;
	return true;
}

uint32_t extents_bytes(const struct extents *e)
{
	uint32_t bytes = e->beyond;

	for (unsigned i = 0; i < e->count; i++)
		bytes += e->range[i].end - e->range[i].begin;
	return bytes;
}

uint32_t extents_prefix(const struct extents *e)
{
	return e->count && !e->range[0].begin ? e->range[0].end : 0;
}
