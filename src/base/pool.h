/* SPDX-License-Identifier: BSD-2-Clause */
/* A fixed number of equal items made at once: the data path takes from here and cannot fail
 * for want of memory, only find the pool empty, which it answers with back-pressure. Last in,
 * first out, so that the item in use is the one still in the cache. */
#ifndef ISCSIFS_POOL_H
#define ISCSIFS_POOL_H

#include <stddef.h>

struct pool {
	void *memory;
	size_t item_bytes, memory_bytes;
	void **free_items;
	unsigned free_count, count;
	unsigned low_water; /* fewest free so far: for statistics */
};

/* @align: a power of two; items are page aligned when @align is the page size. The memory comes
 * zeroed from mmap and is touched only when an item is used. 0 or -ENOMEM. */
int pool_init(struct pool *p, unsigned count, size_t item_bytes, size_t align);
/* All items must be back. */
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
