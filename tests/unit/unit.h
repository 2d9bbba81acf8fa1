/* SPDX-License-Identifier: BSD-2-Clause */
/* A unit test program: a table of named tests of one module, run by CUnit. Exit status 1 when a
 * test failed or none ran.
 *
 *	static void test_list_pops_in_order(void) { CU_ASSERT_EQUAL(...); }
 *	UNIT_MAIN("list", UNIT(test_list_pops_in_order))
 */
#ifndef ISCSIFS_UNIT_H
#define ISCSIFS_UNIT_H

#include <CUnit/Basic.h>

struct unit_test {
	const char *name;
	void (*run)(void);
};

#define UNIT(fn) { #fn, fn }

static inline int unit_run(const char *suite_name, const struct unit_test *tests, size_t count)
{
	CU_pSuite suite;
	unsigned failed, ran;

	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite(suite_name, NULL, NULL);
	for (size_t i = 0; suite && i < count; i++)
		if (!CU_add_test(suite, tests[i].name, tests[i].run))
			return 1;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures();
	ran = CU_get_number_of_tests_run();
	CU_cleanup_registry();
	return failed || !ran ? 1 : 0;
}

#define UNIT_MAIN(suite, ...)                                                         \
	int main(void)                                                                \
	{                                                                             \
		static const struct unit_test tests[] = { __VA_ARGS__ };              \
		return unit_run(suite, tests, sizeof(tests) / sizeof(tests[0]));      \
	}

#endif
