/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes cold items of a pool warm, in a helper thread: that one may wait for memory, the loop
 * goes on with the items that it has. Members of the pool's owner; one growth at a time. */
#ifndef ISCSIFS_POOL_GROW_H
#define ISCSIFS_POOL_GROW_H

#include "base/pool.h"

struct worker;
struct pool_growth;

struct pool_grower {
	struct pool *pool;
	struct worker *worker;	    /* NULL: it never grows */
	unsigned step;		    /* items at a time */
	unsigned low;		    /* grow when no more than these are free */
	struct pool_growth *growth; /* under way, or NULL */
	/* There are more items now. From the loop; may be NULL. */
	void (*grown)(struct pool_grower *g);
};

/* Begin to grow when few items are left, cold ones are there, and no growth is under way. */
void pool_grow(struct pool_grower *g);
/* grown() will not be called. When a growth is under way it keeps the pool's memory until it
 * ends: pool_done() may follow at once. */
void pool_grow_stop(struct pool_grower *g);

#endif
