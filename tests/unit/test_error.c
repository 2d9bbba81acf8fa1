/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/error.c: the table against appendix D of the users' guide, and errno
 * values that travel with a GError. */
#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "unit.h"

static void test_error_table_has_each_code_of_the_guide_once(void)
{
	unsigned next = 1;
	size_t count = 0;

	for (const struct error_info *i; (i = error_info_at(count)); count++) {
		if (next == 0x60)
			next++; /* not in the guide */
		CU_ASSERT_EQUAL(i->code, next);
		next++;
	}
	CU_ASSERT_EQUAL(next, 0x65);
	CU_ASSERT_EQUAL(count, 99);
	CU_ASSERT_PTR_NULL(error_info_at(count));
	CU_ASSERT_PTR_NULL(error_info_at(SIZE_MAX));
}

static void test_error_numbers_are_those_of_the_guide(void)
{
	const struct error_info *info;

	for (size_t i = 0; (info = error_info_at(i)); i++) {
		bool is_warning =
			info->code == 0x2e || info->code == 0x3b || info->code == 0x48;

		CU_ASSERT_EQUAL(info->number,
				(is_warning ? 0xafff0000u : 0xefff0000u) + info->code);
	}
	CU_ASSERT_EQUAL(error_info(ISDSC_LOGIN_FAILED)->number, 0xefff0002);
	CU_ASSERT_EQUAL(error_info(ISDSC_OPERATION_NOT_ALL_SUCCESS)->number, 0xafff002e);
	CU_ASSERT_EQUAL(error_info(ISDSC_SHORT_CHAP_SECRET)->number, 0xafff0048);
	CU_ASSERT_EQUAL(error_info(ISDSC_DNS_NAME_UNRESOLVED)->number, 0xefff005f);
	CU_ASSERT_EQUAL(error_info(ISDSC_LB_POLICY_NOT_SUPPORTED)->number, 0xefff0061);
	CU_ASSERT_EQUAL(error_info(ISDSC_CANNOT_REMOVE_LEADING_CONNECTION)->number, 0xefff0064);
}

static bool is_one_line(const char *s)
{
	return s && *s && !strpbrk(s, "\n\t\"\\") && s[strlen(s) - 1] != ' ' &&
	       s[strlen(s) - 1] != '.' && !strstr(s, "  ");
}

static void test_error_table_entries_are_complete(void)
{
	const struct error_info *info, *other;

	for (size_t i = 0; (info = error_info_at(i)); i++) {
		CU_ASSERT(g_str_has_prefix(info->name, "ISDSC_"));
		CU_ASSERT(is_one_line(info->text));
		CU_ASSERT(is_one_line(info->advice));
		CU_ASSERT(info->errno_value > 0);
		for (size_t j = 0; j < i && (other = error_info_at(j)); j++)
			CU_ASSERT_STRING_NOT_EQUAL(info->name, other->name);
	}
}

static void test_error_unknown_code_is_non_specific(void)
{
	CU_ASSERT_STRING_EQUAL(error_info((enum isdsc)0)->name, "ISDSC_NON_SPECIFIC_ERROR");
	CU_ASSERT_STRING_EQUAL(error_info((enum isdsc)0x60)->name, "ISDSC_NON_SPECIFIC_ERROR");
	CU_ASSERT_STRING_EQUAL(error_info((enum isdsc)9999)->name, "ISDSC_NON_SPECIFIC_ERROR");
}

static void test_error_has_the_errno_of_the_table(void)
{
	g_autoptr(GError) err = NULL;

	error_set(&err, ISDSC_AUTHENTICATION_FAILURE, "target %s: %04x", "t", 0x201);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_STRING_EQUAL(err->message, "target t: 0201");
	CU_ASSERT(g_error_matches(err, ERROR_ISDSC, ISDSC_AUTHENTICATION_FAILURE));
	CU_ASSERT_EQUAL(error_errno(err), EACCES);
	CU_ASSERT_STRING_EQUAL(error_info_of(err)->name, "ISDSC_AUTHENTICATION_FAILURE");
}

static void test_error_keeps_another_errno_through_copy_and_prefix(void)
{
	g_autoptr(GError) err = NULL, copy = NULL, moved = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNREFUSED, "refused");
	CU_ASSERT_EQUAL(error_errno(err), ECONNREFUSED);
	copy = g_error_copy(err);
	CU_ASSERT_EQUAL(error_errno(copy), ECONNREFUSED);
	g_propagate_prefixed_error(&moved, g_steal_pointer(&copy), "10.0.0.5:3260: ");
	CU_ASSERT_EQUAL(error_errno(moved), ECONNREFUSED);
	CU_ASSERT_STRING_EQUAL(moved->message, "10.0.0.5:3260: refused");
	CU_ASSERT_EQUAL(error_info_of(moved)->code, ISDSC_CONNECTION_FAILED);
}

static void test_error_made_by_glib_has_the_errno_of_the_table(void)
{
	g_autoptr(GError) err = g_error_new(ERROR_ISDSC, ISDSC_TOO_MANY_SESSIONS, "x");

	CU_ASSERT_EQUAL(error_errno(err), EUSERS);
}

static void test_error_of_a_foreign_domain(void)
{
	g_autoptr(GError) file = g_error_new(G_FILE_ERROR, G_FILE_ERROR_NOSPC, "x");
	g_autoptr(GError) odd = g_error_new(G_FILE_ERROR, G_FILE_ERROR_FAILED, "x");
	g_autoptr(GError) key = g_error_new(G_KEY_FILE_ERROR, G_KEY_FILE_ERROR_PARSE, "x");

	CU_ASSERT_EQUAL(error_errno(file), ENOSPC);
	CU_ASSERT_EQUAL(error_errno(odd), EIO);
	CU_ASSERT_EQUAL(error_errno(key), EIO);
	CU_ASSERT_EQUAL(error_info_of(key)->code, ISDSC_NON_SPECIFIC_ERROR);
}

static void test_error_may_be_ignored(void)
{
	error_set(NULL, ISDSC_LOGIN_FAILED, "nobody listens");
	error_set_errno(NULL, ISDSC_LOGIN_FAILED, EACCES, "nobody listens");
}

static void test_error_errno_has_a_name(void)
{
	CU_ASSERT_STRING_EQUAL(error_errno_name(EACCES), "EACCES");
	CU_ASSERT_STRING_EQUAL(error_errno_name(EUSERS), "EUSERS");
	CU_ASSERT_PTR_NOT_NULL(error_errno_name(-1));
	CU_ASSERT_PTR_NOT_NULL(error_errno_name(99999));
}

UNIT_MAIN("error", UNIT(test_error_table_has_each_code_of_the_guide_once),
	  UNIT(test_error_numbers_are_those_of_the_guide),
	  UNIT(test_error_table_entries_are_complete),
	  UNIT(test_error_unknown_code_is_non_specific),
	  UNIT(test_error_has_the_errno_of_the_table),
	  UNIT(test_error_keeps_another_errno_through_copy_and_prefix),
	  UNIT(test_error_made_by_glib_has_the_errno_of_the_table),
	  UNIT(test_error_of_a_foreign_domain), UNIT(test_error_may_be_ignored),
	  UNIT(test_error_errno_has_a_name))
