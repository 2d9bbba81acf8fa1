/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/pool.c. */
#include "base/pool.h"

#include "base/loop.h"
#include "base/pool_grow.h"
#include "base/worker.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

static void test_pool_gives_each_item_once(void)
{
	struct pool p;
	char *items[8];

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 8, 100, 64), 0);
	for (int i = 0; i < 8; i++) {
		items[i] = pool_get(&p);
		CU_ASSERT_PTR_NOT_NULL_FATAL(items[i]);
		CU_ASSERT_EQUAL((uintptr_t)items[i] % 64, 0);
		memset(items[i], i + 1, 100);
	}
	CU_ASSERT_PTR_NULL(pool_get(&p));
	for (int i = 0; i < 8; i++) {
		CU_ASSERT(items[i][0] == i + 1 && items[i][99] == i + 1);
		pool_put(&p, items[i]);
	}
	pool_done(&p);
}

static void test_pool_gives_the_last_returned_item_first(void)
{
	struct pool p;
	void *a, *b;

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 4, 16, 16), 0);
	a = pool_get(&p);
	b = pool_get(&p);
	pool_put(&p, a);
	CU_ASSERT_PTR_EQUAL(pool_get(&p), a);
	pool_put(&p, b);
	pool_put(&p, a);
	CU_ASSERT_PTR_EQUAL(pool_get(&p), a);
	CU_ASSERT_PTR_EQUAL(pool_get(&p), b);
	pool_put(&p, a);
	pool_put(&p, b);
	pool_done(&p);
}

static void test_pool_counts_free_items_and_low_water(void)
{
	struct pool p;
	void *a, *b;

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 3, 16, 16), 0);
	CU_ASSERT_EQUAL(p.low_water, 3);
	a = pool_get(&p);
	b = pool_get(&p);
	CU_ASSERT_EQUAL(p.free_count, 1);
	pool_put(&p, a);
	pool_put(&p, b);
	CU_ASSERT_EQUAL(p.free_count, 3);
	CU_ASSERT_EQUAL(p.low_water, 1);
	pool_done(&p);
}

static void test_pool_aligns_beyond_a_page(void)
{
	size_t align = (size_t)sysconf(_SC_PAGESIZE) * 16;
	struct pool p;
	void *a, *b;

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 2, 100, align), 0);
	a = pool_get(&p);
	b = pool_get(&p);
	CU_ASSERT_EQUAL((uintptr_t)a % align, 0);
	CU_ASSERT_EQUAL((uintptr_t)b % align, 0);
	CU_ASSERT_PTR_NOT_EQUAL(a, b);
	memset(a, 1, 100);
	memset(b, 2, 100);
	pool_put(&p, a);
	pool_put(&p, b);
	pool_done(&p);
}

static void test_pool_is_zeroed_and_untouched_until_used(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char resident[64] = { 0 };
	struct pool p;
	char *item;
	int touched = 0;

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 64, page, page), 0);
	CU_ASSERT_EQUAL(mincore(p.memory, 64 * page, resident), 0);
	for (int i = 0; i < 64; i++)
		touched += resident[i] & 1;
	CU_ASSERT_EQUAL(touched, 0);
	item = pool_get(&p);
	CU_ASSERT(item[0] == 0 && item[page - 1] == 0);
	pool_put(&p, item);
	pool_done(&p);
}

static void test_pool_of_none_is_empty(void)
{
	struct pool p;

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 0, 16, 16), 0);
	CU_ASSERT_PTR_NULL(pool_get(&p));
	pool_done(&p);
}

static void test_pool_too_large_is_refused(void)
{
	struct pool p;

	CU_ASSERT_EQUAL(pool_init(&p, UINT32_MAX, SIZE_MAX / 2, 16), -ENOMEM);
	CU_ASSERT_EQUAL(pool_init(&p, 2, SIZE_MAX - 3, 4096), -ENOMEM);
	CU_ASSERT_EQUAL(pool_init(&p, 1, (size_t)1 << 62, 4096), -ENOMEM);
	pool_done(&p);
}

static void test_pool_done_twice_is_harmless(void)
{
	struct pool p;

	CU_ASSERT_EQUAL_FATAL(pool_init(&p, 2, 16, 16), 0);
	pool_done(&p);
	pool_done(&p);
}

static bool is_resident(void *at)
{
	unsigned char here = 0;

	CU_ASSERT_EQUAL_FATAL(mincore(at, 1, &here), 0);
	return here & 1;
}

static void test_pool_gives_only_what_is_warm(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes;
	void *items[8], *cold;
	struct pool p;
	unsigned n;

	CU_ASSERT_EQUAL_FATAL(pool_init_warm(&p, 8, 3, page, page), 0);
	for (n = 0; (items[n] = pool_get(&p)); n++)
		CU_ASSERT_TRUE(is_resident(items[n]));
	CU_ASSERT_EQUAL_FATAL(n, 3);
	cold = pool_cold(&p, 4, &n, &bytes);
	CU_ASSERT_EQUAL(n, 4);
	CU_ASSERT_EQUAL(bytes, 4 * page);
	CU_ASSERT_FALSE(is_resident(cold));
	pool_touch(cold, bytes);
	CU_ASSERT_TRUE(is_resident((char *)cold + 3 * page));
	pool_warmed(&p, n);
	CU_ASSERT_EQUAL(p.free_count, 4);
	pool_cold(&p, 4, &n, &bytes);
	CU_ASSERT_EQUAL(n, 1); /* the rest */
	for (unsigned i = 0; i < 3; i++)
		pool_put(&p, items[i]);
	pool_done(&p);
}

static unsigned grown_calls;

static void on_grown(struct pool_grower *g)
{
	(void)g;
	grown_calls++;
}

static void test_pool_grows_in_a_helper_thread(void)
{
	struct loop *loop = loop_new();
	struct worker *w = worker_new(loop, 1);
	struct pool p;
	struct pool_grower g = { .pool = &p, .worker = w, .step = 4, .low = 2, .grown = on_grown };
	void *items[8];

	grown_calls = 0;
	CU_ASSERT_EQUAL_FATAL(pool_init_warm(&p, 8, 4, 4096, 4096), 0);
	pool_grow(&g);
	CU_ASSERT_PTR_NULL(g.growth); /* four are free */
	for (unsigned i = 0; i < 2; i++)
		items[i] = pool_get(&p);
	pool_grow(&g);
	pool_grow(&g); /* one is under way */
	for (unsigned i = 0; i < 1000 && !grown_calls; i++)
		loop_run_once(loop, 10);
	CU_ASSERT_EQUAL(grown_calls, 1);
	CU_ASSERT_EQUAL(p.free_count, 6);
	for (unsigned i = 2; i < 8; i++) {
		items[i] = pool_get(&p);
		CU_ASSERT_PTR_NOT_NULL(items[i]);
	}
	pool_grow(&g);
	CU_ASSERT_PTR_NULL(g.growth); /* none is cold any more */
	for (unsigned i = 0; i < 8; i++)
		pool_put(&p, items[i]);
	pool_grow_stop(&g);
	pool_done(&p);
	worker_free(w);
	loop_free(loop);
}

static void test_pool_may_go_while_it_grows(void)
{
	struct loop *loop = loop_new();
	struct worker *w = worker_new(loop, 1);
	struct pool p;
	struct pool_grower g = { .pool = &p, .worker = w, .step = 4, .low = 4, .grown = on_grown };

	grown_calls = 0;
	CU_ASSERT_EQUAL_FATAL(pool_init_warm(&p, 64, 4, 1 << 20, 4096), 0);
	pool_grow(&g);
	CU_ASSERT_PTR_NOT_NULL(g.growth);
	pool_grow_stop(&g);
	pool_done(&p);
	worker_free(w);
	CU_ASSERT_EQUAL(grown_calls, 0);
	loop_free(loop);
}

UNIT_MAIN("pool", UNIT(test_pool_gives_only_what_is_warm),
	  UNIT(test_pool_grows_in_a_helper_thread), UNIT(test_pool_may_go_while_it_grows),
	  UNIT(test_pool_gives_each_item_once),
	  UNIT(test_pool_gives_the_last_returned_item_first),
	  UNIT(test_pool_counts_free_items_and_low_water), UNIT(test_pool_aligns_beyond_a_page),
	  UNIT(test_pool_is_zeroed_and_untouched_until_used), UNIT(test_pool_of_none_is_empty),
	  UNIT(test_pool_too_large_is_refused), UNIT(test_pool_done_twice_is_harmless))
