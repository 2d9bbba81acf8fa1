/* SPDX-License-Identifier: BSD-2-Clause */
/* Growing pools; see the header. The job is an object of its own, since its thread may still be
 * waiting for memory when the pool's owner goes. */
#include "base/pool_grow.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/worker.h"

struct pool_growth {
	struct worker_job job;
	struct pool_grower *grower; /* NULL: it has gone; @memory is ours */
	unsigned items;
	void *cold;
	size_t cold_bytes;
	void *memory;
	size_t memory_bytes;
};

static void growth_run(struct worker_job *job)
{
	struct pool_growth *w = container_of(job, struct pool_growth, job);

	pool_touch(w->cold, w->cold_bytes);
}

static void growth_done(struct worker_job *job)
{
	struct pool_growth *w = container_of(job, struct pool_growth, job);
	struct pool_grower *g = w->grower;

	if (g) {
		g->growth = NULL;
		pool_warmed(g->pool, w->items);
		if (g->grown)
			g->grown(g);
	} else {
		munmap(w->memory, w->memory_bytes);
	}
	free(w);
}

void pool_grow(struct pool_grower *g)
{
	struct pool *p = g->pool;
	struct pool_growth *w;

	if (p->free_count > g->low || p->warm == p->count || g->growth || !g->worker)
		return;
	w = calloc(1, sizeof(*w));
	if (!w)
		return; /* with what there is */
	w->job.run = growth_run;
	w->job.done = growth_done;
	w->grower = g;
	w->cold = pool_cold(p, g->step, &w->items, &w->cold_bytes);
	g->growth = w;
	worker_submit(g->worker, &w->job);
}

void pool_grow_stop(struct pool_grower *g)
{
	struct pool_growth *w = g->growth;

	if (!w)
		return;
	w->grower = NULL;
	w->memory = g->pool->memory;
	w->memory_bytes = g->pool->memory_bytes;
	g->pool->memory = NULL;
	g->growth = NULL;
}
