/* SPDX-License-Identifier: BSD-2-Clause */
/* The paths of a policy, given together. */
#include "base/error.h"
#include "core/pathset.h"
#include "unit.h"

static const uint64_t three[] = { 1, 2, 7 };

static int code_of_text(const char *text)
{
	g_autoptr(GError) err = NULL;
	g_autoptr(GArray) paths = pathset_parse(text, &err);

	CU_ASSERT_EQUAL(!paths, err != NULL);
	return err ? err->code : 0;
}

static int check(const char *text, enum policy policy)
{
	g_autoptr(GError) err = NULL;
	g_autoptr(GArray) paths = pathset_parse(text, &err);

	CU_ASSERT_PTR_NOT_NULL_FATAL(paths);
	pathset_check(paths, policy, three, 3, &err);
	return err ? err->code : 0;
}

static void test_pathset_is_a_list(void)
{
	g_autoptr(GArray) paths = pathset_parse("1,2/standby,7/active/9,8/0", NULL);
	const struct pathset_path *p;

	CU_ASSERT_PTR_NOT_NULL_FATAL(paths);
	CU_ASSERT_EQUAL(paths->len, 4);
	p = pathset_find(paths, 1);
	CU_ASSERT(p && !p->is_standby && p->weight == -1);
	p = pathset_find(paths, 2);
	CU_ASSERT(p && p->is_standby && p->weight == -1);
	p = pathset_find(paths, 7);
	CU_ASSERT(p && !p->is_standby && p->weight == 9);
	p = pathset_find(paths, 8);
	CU_ASSERT(p && !p->is_standby && p->weight == 0);
	CU_ASSERT_PTR_NULL(pathset_find(paths, 3));
}

static void test_pathset_refuses_what_is_none(void)
{
	static const char *const bad[] = { "",	    ",",	"1,",	       "a",	    "-1",
					   "1/",    "1/idle",	"1/active/",   "1/70000",   "1/2/3",
					   "1//2",  "1/standby/x", "1/active/1/2", "4294967296", "1 2" };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		CU_ASSERT_EQUAL(code_of_text(bad[i]), ISDSC_INVALID_PARAMETER);
	CU_ASSERT_EQUAL(code_of_text("1,2,1/standby"), ISDSC_DUPLICATE_PATH_SPECIFIED);
}

static void test_pathset_has_every_path_once(void)
{
	CU_ASSERT_EQUAL(check("7,1,2", POLICY_ROUND_ROBIN), 0);
	CU_ASSERT_EQUAL(check("1,2", POLICY_ROUND_ROBIN), ISDSC_PATH_COUNT_MISMATCH);
	CU_ASSERT_EQUAL(check("1,2,3", POLICY_ROUND_ROBIN), ISDSC_INVALID_PATH_ID);
}

static void test_pathset_has_the_roles_that_the_policy_wants(void)
{
	CU_ASSERT_EQUAL(check("1,2/standby,7/standby", POLICY_FAILOVER), 0);
	CU_ASSERT_EQUAL(check("1,2,7/standby", POLICY_FAILOVER),
			ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED);
	CU_ASSERT_EQUAL(check("1/standby,2/standby,7/standby", POLICY_FAILOVER),
			ISDSC_NO_PRIMARY_PATH_SPECIFIED);
	CU_ASSERT_EQUAL(check("1,2,7/standby", POLICY_ROUND_ROBIN_SUBSET), 0);
	CU_ASSERT_EQUAL(check("1/standby,2/standby,7/standby", POLICY_ROUND_ROBIN_SUBSET),
			ISDSC_NO_PRIMARY_PATH_SPECIFIED);
	CU_ASSERT_EQUAL(check("1/standby,2/standby,7/standby", POLICY_WEIGHTED), 0);
}

UNIT_MAIN("pathset", UNIT(test_pathset_is_a_list), UNIT(test_pathset_refuses_what_is_none),
	  UNIT(test_pathset_has_every_path_once),
	  UNIT(test_pathset_has_the_roles_that_the_policy_wants))
