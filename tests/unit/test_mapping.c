/* SPDX-License-Identifier: BSD-2-Clause */
/* Mappings: the text of the login key, and the numbers that come of it. */
#include "core/mapping.h"

#include <errno.h>

#include "base/error.h"
#include "tests/unit/unit.h"

static void test_mapping_gives_numbers_and_takes_them(void)
{
	struct mapping *m = mapping_parse("0:10,3:0x0b,5:6,6:5", NULL);
	static const struct {
		uint32_t lun;
		int number; /* -1: not shown */
	} rows[] = {
		{ 0, 10 },  { 3, 11 },	{ 5, 6 },   { 6, 5 }, /* named */
		{ 1, 1 },   { 4, 4 },	{ 99, 99 },	      /* not named */
		{ 10, -1 }, { 11, -1 },			      /* another one has it */
	};

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		uint32_t number = 12345;

		CU_ASSERT_EQUAL(mapping_find(m, rows[i].lun, &number), rows[i].number >= 0);
		CU_ASSERT_EQUAL(number, rows[i].number < 0 ? 12345 : (uint32_t)rows[i].number);
	}
	mapping_free(m);
}

static void test_mapping_none_changes_nothing(void)
{
	uint32_t number = 0;

	CU_ASSERT_TRUE(mapping_find(NULL, 16383, &number));
	CU_ASSERT_EQUAL(number, 16383);
	mapping_free(NULL);
}

static void test_mapping_bad_texts_are_refused(void)
{
	static const struct {
		const char *text;
		enum isdsc code;
		const char *message;
	} rows[] = {
		{ "", ISDSC_INVALID_TARGET_MAPPING,
		  "\" \" is no TARGET_LUN:NUMBER, as in 3:11" },
		{ "3", ISDSC_INVALID_TARGET_MAPPING,
		  "\"3\" is no TARGET_LUN:NUMBER, as in 3:11" },
		{ "3:", ISDSC_INVALID_TARGET_MAPPING,
		  "\"3:\" is no TARGET_LUN:NUMBER, as in 3:11" },
		{ "3:4:5", ISDSC_INVALID_TARGET_MAPPING,
		  "\"3:4:5\" is no TARGET_LUN:NUMBER, as in 3:11" },
		{ "1:2,", ISDSC_INVALID_TARGET_MAPPING,
		  "\"\" is no TARGET_LUN:NUMBER, as in 3:11" },
		{ "1:-2", ISDSC_INVALID_TARGET_MAPPING,
		  "\"1:-2\" is no TARGET_LUN:NUMBER, as in 3:11" },
		{ "1:16384", ISDSC_TARGET_MAPPING_OUT_OF_RANGE,
		  "\"1:16384\": numbers go up to 16383" },
		{ "1:2,1:3", ISDSC_INVALID_TARGET_MAPPING, "LUN 1 is in it twice" },
		{ "1:2,3:2", ISDSC_INVALID_TARGET_MAPPING, "number 2 is given twice" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		GError *err = NULL;

		CU_ASSERT_PTR_NULL(mapping_parse(rows[i].text, &err));
		CU_ASSERT_PTR_NOT_NULL_FATAL(err);
		CU_ASSERT_EQUAL(error_info_of(err)->code, rows[i].code);
		CU_ASSERT_EQUAL(error_errno(err), EINVAL);
		CU_ASSERT_STRING_EQUAL(err->message, rows[i].message);
		g_error_free(err);
	}
}

static void test_mapping_zero_to_zero(void)
{
	struct mapping *m = mapping_parse("0:0", NULL);
	uint32_t number = 7;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_TRUE(mapping_find(m, 0, &number));
	CU_ASSERT_EQUAL(number, 0);
	mapping_free(m);
}

static void test_mapping_same_in_another_order(void)
{
	struct mapping *a = mapping_parse("1:2,3:4", NULL), *b = mapping_parse("3:4,1:2", NULL);
	struct mapping *c = mapping_parse("1:2,3:5", NULL), *d = mapping_parse("1:2", NULL);
	struct mapping *e = mapping_parse("1:2,4:4", NULL);

	struct mapping *f = mapping_copy(a);

	CU_ASSERT_TRUE(mapping_is_same(a, b));
	CU_ASSERT_TRUE(mapping_is_same(a, f));
	CU_ASSERT_PTR_NULL(mapping_copy(NULL));
	mapping_free(f);
	CU_ASSERT_FALSE(mapping_is_same(a, c));
	CU_ASSERT_FALSE(mapping_is_same(a, d));
	CU_ASSERT_FALSE(mapping_is_same(a, e));
	CU_ASSERT_FALSE(mapping_is_same(a, NULL));
	CU_ASSERT_TRUE(mapping_is_same(NULL, NULL));
	mapping_free(a);
	mapping_free(b);
	mapping_free(c);
	mapping_free(d);
	mapping_free(e);
}

UNIT_MAIN("mapping", UNIT(test_mapping_gives_numbers_and_takes_them),
	  UNIT(test_mapping_none_changes_nothing), UNIT(test_mapping_bad_texts_are_refused),
	  UNIT(test_mapping_zero_to_zero), UNIT(test_mapping_same_in_another_order))
