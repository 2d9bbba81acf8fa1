/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/error.c: the table against appendix D of the users' guide, the man page
 * against the table, the tests that the table names, and errno values that travel with a GError.
 * With --write it writes the codes into the man page instead. */
#include "base/error.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
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
		CU_ASSERT(is_one_line(info->where));
		CU_ASSERT(!info->test || is_one_line(info->test));
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

/* --- the man page, made of the table --- */

#define PAGE_BEGIN ".\\\" What follows is printed from the table in src/base/error.c: see there.\n"
#define PAGE_END ".\\\" End of what is printed.\n"

/* `x` as bold; what roff would take for its own is kept. */
static void print_roff(const char *text, GString *out)
{
	bool is_bold = false;

	for (const char *at = text; *at; at++) {
		if (*at == '`') {
			is_bold = !is_bold;
			g_string_append(out, is_bold ? "\\fB" : "\\fP");
		} else if (*at == '-') {
			g_string_append(out, "\\-");
		} else {
			g_string_append_c(out, *at);
		}
	}
}

static void print_sentence(const char *before, const char *text, GString *out)
{
	gsize at = out->len + strlen(before);

	g_string_append(out, before);
	print_roff(text, out);
	if (!*before)
		out->str[at] = g_ascii_toupper(out->str[at]);
	g_string_append(out, ".\n");
}

static void print_code(const struct error_info *info, GString *out)
{
	g_string_append_printf(out, ".TP\n.B %s\n0x%08X, %s.\n", info->name, info->number,
			       error_errno_name(info->errno_value));
	print_sentence("", info->text, out);
	print_sentence("To do: ", info->advice, out);
	g_string_append(out, ".br\n");
	print_sentence(info->test ? "Raised: " : "Not raised: ", info->where, out);
	if (info->test)
		print_sentence("Shown by: ", info->test, out);
}

/* @page with the codes as they should be; NULL: it has no place for them. */
static char *page_with_codes(const char *page)
{
	const char *begin = strstr(page, PAGE_BEGIN), *end = begin ? strstr(begin, PAGE_END) : NULL;
	const struct error_info *info;
	GString *s;

	if (!end)
		return NULL;
	begin += strlen(PAGE_BEGIN);
	s = g_string_new_len(page, begin - page);
	for (size_t i = 0; (info = error_info_at(i)); i++)
		print_code(info, s);
	g_string_append(s, end);
	return g_string_free(s, FALSE);
}

/* automake gives srcdir to tests; run by hand, from the top directory. */
static char *source_path(const char *dir, const char *name)
{
	const char *top = g_getenv("srcdir");

	return g_build_filename(top ? top : ".", dir, name, NULL);
}

static void test_error_page_is_up_to_date(void)
{
	g_autofree char *path = source_path("man", "iscsi-errors.7"), *file = NULL, *wanted = NULL;

	CU_ASSERT_FATAL(g_file_get_contents(path, &file, NULL, NULL));
	wanted = page_with_codes(file);
	CU_ASSERT_PTR_NOT_NULL_FATAL(wanted);
	CU_ASSERT_STRING_EQUAL(file, wanted);
	if (strcmp(file, wanted))
		printf("\n%s is not what the table says: test_error --write", path);
}

static int write_page(void)
{
	g_autofree char *path = source_path("man", "iscsi-errors.7"), *old = NULL, *new = NULL;

	if (!g_file_get_contents(path, &old, NULL, NULL))
		return 1;
	new = page_with_codes(old);
	return new && g_file_set_contents(path, new, -1, NULL) ? 0 : 1;
}

/* --- the tests that the table names --- */

/* From the line that begins with @head up to the next that begins in the first column and is no
 * brace; NULL: there is none. */
static char *function_in(const char *path, const char *head)
{
	g_autofree char *text = NULL, *anchor = g_strdup_printf("\n%s", head);
	const char *from, *to;

	if (!g_file_get_contents(path, &text, NULL, NULL) || !(from = strstr(text, anchor)))
		return NULL;
	for (to = strchr(from + 1, '\n'); to && to[1]; to = strchr(to + 1, '\n'))
		if (!strchr("\t\n {}", to[1]))
			break;
	return g_strndup(from, to ? (size_t)(to - from) : strlen(from));
}

static char *scene_named(const char *name)
{
	g_autofree char *place = source_path("tests", "conformance");
	g_autofree char *head = g_strdup_printf("def %s(", name);
	g_autoptr(GDir) dir = g_dir_open(place, 0, NULL);
	char *found = NULL;

	for (const char *file; dir && !found && (file = g_dir_read_name(dir));) {
		g_autofree char *path = g_build_filename(place, file, NULL);

		if (g_str_has_prefix(file, "scenes_") && g_str_has_suffix(file, ".py"))
			found = function_in(path, head);
	}
	return found;
}

/* Its source; NULL: there is no such test. */
static char *test_named(const char *test)
{
	const char *dirs[] = { "tests/fuse", "tests/interop" };
	g_auto(GStrv) part = NULL;

	if (g_str_has_prefix(test, "conformance "))
		return scene_named(strchr(test, ' ') + 1);
	if (g_str_has_prefix(test, "unit ")) {
		g_autofree char *head = NULL, *file = NULL, *path = NULL;

		part = g_strsplit(test + strlen("unit "), ".", 2);
		head = g_strdup_printf("static void %s(void)", part[1] ? part[1] : "");
		file = g_strdup_printf("%s.c", part[0]);
		path = source_path("tests/unit", file);
		return function_in(path, head);
	}
	part = g_strsplit(test, ".", 2);
	for (size_t i = 0; part[0] && part[1] && i < G_N_ELEMENTS(dirs); i++) {
		g_autofree char *head = g_strdup_printf("def %s(", part[1]);
		g_autofree char *file = g_strdup_printf("%s.py", part[0]);
		g_autofree char *path = source_path(dirs[i], file);
		char *found = function_in(path, head);

		if (found)
			return found;
	}
	return NULL;
}

static bool has_word(const char *text, const char *word)
{
	for (const char *at = text; (at = strstr(at, word)); at++)
		if (!g_ascii_isalnum(at[strlen(word)]) && at[strlen(word)] != '_')
			return true;
	return false;
}

static void test_error_each_code_is_shown_by_the_test_named(void)
{
	const struct error_info *info;

	for (size_t i = 0; (info = error_info_at(i)); i++) {
		g_autofree char *source = info->test ? test_named(info->test) : NULL;
		bool is_shown = !info->test || (source && has_word(source, info->name));

		CU_ASSERT_TRUE(is_shown);
		if (!is_shown)
			printf("\n%s: \"%s\" %s", info->name, info->test,
			       source ? "does not name it" : "is not there");
	}
	CU_ASSERT_PTR_NULL(test_named("fuse_errors.no_such_test"));
	CU_ASSERT_PTR_NULL(test_named("unit test_error.no_such_test"));
	CU_ASSERT_PTR_NULL(test_named("conformance no_such_scene"));
	CU_ASSERT_PTR_NULL(test_named("nonsense"));
}

static const struct unit_test all_tests[] = {
	UNIT(test_error_table_has_each_code_of_the_guide_once),
	UNIT(test_error_numbers_are_those_of_the_guide),
	UNIT(test_error_table_entries_are_complete),
	UNIT(test_error_unknown_code_is_non_specific),
	UNIT(test_error_has_the_errno_of_the_table),
	UNIT(test_error_keeps_another_errno_through_copy_and_prefix),
	UNIT(test_error_made_by_glib_has_the_errno_of_the_table),
	UNIT(test_error_of_a_foreign_domain),
	UNIT(test_error_may_be_ignored),
	UNIT(test_error_errno_has_a_name),
	UNIT(test_error_page_is_up_to_date),
	UNIT(test_error_each_code_is_shown_by_the_test_named),
};

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--write"))
		return write_page();
	return unit_run("error", all_tests, G_N_ELEMENTS(all_tests));
}
