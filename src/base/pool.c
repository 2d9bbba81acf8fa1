/* SPDX-License-Identifier: BSD-2-Clause */
/* Pools of equal items; pool.h is the manual. The list of free items lies outside of the items,
 * so that memory nobody used yet stays untouched. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Bytes from one item to the next, and of all; false when that is more than there can be. */
static bool pool_measure(unsigned count, size_t item_bytes, size_t align, size_t *ret_stride,
			 size_t *ret_total)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), stride, total;

	if (__builtin_add_overflow(item_bytes, align - 1, &stride))
		return false;
	stride &= ~(align - 1);
	if (__builtin_mul_overflow(stride, (size_t)count, &total))
		return false;
	/* mmap aligns to pages; more needs room to move in */
	if (align > page && __builtin_add_overflow(total, align, &total))
		return false;
	*ret_stride = stride;
	*ret_total = total;
	return true;
}

void pool_touch(void *memory, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t at = 0; at < bytes; at += page) {
		volatile uint8_t *p = (uint8_t *)memory + at;

		*p = *p;
	}
}

/* No item is warm. */
static int pool_reserve(struct pool *p, unsigned count, size_t item_bytes, size_t align)
{
	size_t total;
	uintptr_t base;

	assert(item_bytes && align && !(align & (align - 1)));
	*p = (struct pool){ .item_bytes = item_bytes };
	if (!count)
		return 0;
	if (!pool_measure(count, item_bytes, align, &p->stride, &total))
		return -ENOMEM;
	p->free_items = calloc(count, sizeof(*p->free_items));
	if (!p->free_items)
		return -ENOMEM;
	p->memory =
		mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->memory == MAP_FAILED) {
		free(p->free_items);
		*p = (struct pool){ 0 };
		return -ENOMEM;
	}
	p->memory_bytes = total;
	base = ((uintptr_t)p->memory + align - 1) & ~(uintptr_t)(align - 1);
	p->items = (uint8_t *)base;
	p->count = count;
	return 0;
}

int pool_init(struct pool *p, unsigned count, size_t item_bytes, size_t align)
{
	int r = pool_reserve(p, count, item_bytes, align);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < count; i++) /* the first one first */
		p->free_items[i] = p->items + (count - 1 - i) * p->stride;
	p->warm = p->free_count = p->low_water = count;
	return 0;
}

int pool_init_warm(struct pool *p, unsigned count, unsigned warm, size_t item_bytes, size_t align)
{
	int r = pool_reserve(p, count, item_bytes, align);

	if (r < 0)
		return r;
	if (warm > count)
		warm = count;
	pool_touch(p->items, warm * p->stride);
	pool_warmed(p, warm);
	p->low_water = p->free_count;
	return 0;
}

void *pool_cold(const struct pool *p, unsigned items, unsigned *ret_items, size_t *ret_bytes)
{
	unsigned left = p->count - p->warm;

	*ret_items = items < left ? items : left;
	*ret_bytes = *ret_items * p->stride;
	return p->items + p->warm * p->stride;
}

void pool_warmed(struct pool *p, unsigned items)
{
	assert(items <= p->count - p->warm);
	for (; items; items--)
		pool_put(p, p->items + p->warm++ * p->stride);
}

void pool_done(struct pool *p)
{
	assert(p->free_count == p->warm);
	if (p->memory)
		munmap(p->memory, p->memory_bytes);
	free(p->free_items);
	*p = (struct pool){ 0 };
}
