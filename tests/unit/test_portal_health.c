/* SPDX-License-Identifier: BSD-2-Clause */
/* Portals that failed lately: remembered, forgotten, and who is told when they answer. */
#include <stdio.h>

#include "core/portal_health.h"
#include "unit.h"

static struct loop *loop;
static struct portal_health *h;
static unsigned told;
static const char *told_of;

static void begin(void)
{
	loop = loop_new();
	h = portal_health_new(loop);
	told = 0;
}

static void end(void)
{
	portal_health_free(h);
	loop_free(loop);
}

static void answered(struct portal_watch *w, const char *portal)
{
	(void)w;
	told++;
	told_of = portal;
}

static void test_portal_health_success_clears_failures(void)
{
	int64_t last;

	begin();
	CU_ASSERT_FALSE(portal_health_is_dead(h, "a:1"));
	portal_health_failed(h, "a:1");
	portal_health_failed(h, "a:1");
	CU_ASSERT_TRUE(portal_health_is_dead(h, "a:1"));
	CU_ASSERT_FALSE(portal_health_is_dead(h, "b:1"));
	CU_ASSERT_EQUAL(portal_health_failures(h, "a:1", &last), 2);
	CU_ASSERT_EQUAL(last, loop_now_us(loop));
	portal_health_ok(h, "a:1");
	CU_ASSERT_FALSE(portal_health_is_dead(h, "a:1"));
	CU_ASSERT_EQUAL(portal_health_failures(h, "a:1", &last), 0);
	end();
}

static void test_portal_health_tells_watches_until_they_stop(void)
{
	struct portal_watch w;

	begin();
	portal_watch_init(&w, answered);
	portal_watch_start(h, &w);
	portal_watch_start(h, &w);
	portal_health_failed(h, "a:1");
	CU_ASSERT_EQUAL(told, 0);
	portal_health_ok(h, "a:1");
	CU_ASSERT_EQUAL(told, 1);
	CU_ASSERT_STRING_EQUAL(told_of, "a:1");
	portal_watch_stop(&w);
	portal_watch_stop(&w);
	portal_health_ok(h, "a:1");
	CU_ASSERT_EQUAL(told, 1);
	end();
}

static void test_portal_health_is_bounded(void)
{
	char name[32];
	int64_t last;

	begin();
	for (unsigned i = 0; i < PORTAL_HEALTH_MAX + 10; i++) {
		snprintf(name, sizeof(name), "h%u:1", i);
		portal_health_failed(h, name);
	}
	CU_ASSERT_TRUE(portal_health_is_dead(h, "h0:1"));
	CU_ASSERT_EQUAL(portal_health_failures(h, name, &last), 0); /* one too many */
	end();
}

UNIT_MAIN("portal_health", UNIT(test_portal_health_success_clears_failures),
	  UNIT(test_portal_health_tells_watches_until_they_stop),
	  UNIT(test_portal_health_is_bounded))
