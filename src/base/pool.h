/* SPDX-License-Identifier: BSD-2-Clause */
/* A fixed number of equal items made at once: the data path takes from here and cannot fail
 * for want of memory, only find the pool empty, which it answers with back-pressure. Last in,
 * first out, so that the item in use is the one still in the cache.
 *
 * Memory that is touched for the first time may have to wait: when there is little left, for dirty
 * pages to be written -- through us, if they are of a disk of ours. So who must not wait takes
 * only items that are warm, touched before. pool_init_warm() makes some of them so, the others are
 * cold until somebody who may wait has touched them (pool_grow.h). */
#ifndef ISCSIFS_POOL_H
#define ISCSIFS_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool {
	void *memory;
	size_t item_bytes, memory_bytes;
	void **free_items;
	unsigned free_count, count;
	unsigned warm; /* items [0, warm) are in use or on the list; the others are cold */
	uint8_t *items;
	size_t stride;
	unsigned low_water; /* fewest free so far: for statistics */
};

/* @align: a power of two; items are page aligned when @align is the page size. The memory comes
 * zeroed from mmap and is touched only when an item is used. 0 or -ENOMEM. */
int pool_init(struct pool *p, unsigned count, size_t item_bytes, size_t align);
/* The same with @warm items that are touched now; the others cannot be had yet. */
int pool_init_warm(struct pool *p, unsigned count, unsigned warm, size_t item_bytes, size_t align);
/* The memory of the next @items cold ones (or as many as there are: *ret_items). */
void *pool_cold(const struct pool *p, unsigned items, unsigned *ret_items, size_t *ret_bytes);
/* The next @items cold ones have been touched: they can be had. */
void pool_warmed(struct pool *p, unsigned items);
/* Touch each page of @bytes at @memory, without changing it. */
void pool_touch(void *memory, size_t bytes);
/* All warm items must be back. */
void pool_done(struct pool *p);
/* NULL when empty. The content is whatever the last user left. */
static inline void *pool_get(struct pool *p)
{
	if (!p->free_count)
		return NULL;
	p->free_count--;
	if (p->free_count < p->low_water)
		p->low_water = p->free_count;
	return p->free_items[p->free_count];
}
static inline void pool_put(struct pool *p, void *item)
{
	p->free_items[p->free_count++] = item;
}

#endif
