/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: the numbers of the guide, the lines people grep, the ring, and that the page
 * iscsi-events(7) has every row of the table. */
#include "core/event.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "core/daemon.h"
#include "unit.h"

static struct daemon d;

/* An empty log, and nothing on stderr. */
static void start(void)
{
	log_init(LOG_LEVEL_ERROR, false);
	d.events = event_log_new();
}

static void stop(void)
{
	event_log_free(d.events);
	d.events = NULL;
}

static char *printed(void)
{
	GString *out = g_string_new(NULL);

	event_print(d.events, out);
	return g_string_free(out, FALSE);
}

static bool find(unsigned id, struct event_info *ret)
{
	for (size_t i = 0; event_info_at(i, ret); i++)
		if (ret->id == id)
			return true;
	return false;
}

/* ---- the table ---- */

static void test_event_table_is_complete_and_in_order(void)
{
	g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
	struct event_info v;
	unsigned before = 0;
	size_t i;

	for (i = 0; event_info_at(i, &v); i++) {
		unsigned next = before == 62 ? 1000 : before + 1;

		CU_ASSERT_EQUAL(v.id, next);
		CU_ASSERT_FATAL(v.name && v.text);
		CU_ASSERT(*v.name && *v.text);
		CU_ASSERT_EQUAL(strspn(v.name, "abcdefghijklmnopqrstuvwxyz-2"), strlen(v.name));
		CU_ASSERT(g_hash_table_add(names, (void *)v.name));
		CU_ASSERT_EQUAL(v.text[strlen(v.text) - 1], '.');
		CU_ASSERT(v.severity <= EVENT_ERROR);
		before = v.id;
	}
	CU_ASSERT_EQUAL(before, EVENT_OWN_END - 1);
	CU_ASSERT_FALSE(event_info_at(100000, &v));
}

/* Typed from appendix B of the guide, not from the table. */
static void test_event_numbers_are_those_of_the_guide(void)
{
	static const struct {
		unsigned id;
		const char *name;
	} known[] = {
		{ 1, "connect-failed" },
		{ 9, "command-timed-out" },
		{ 10, "login-failed" },
		{ 20, "connection-lost" },
		{ 22, "header-digest-error" },
		{ 25, "data-digest-error" },
		{ 29, "pdu-rejected" },
		{ 32, "logout-requested" },
		{ 34, "reconnected" },
		{ 39, "target-reset-sent" },
		{ 43, "login-timed-out" },
		{ 44, "logout-timed-out" },
		{ 45, "add-connection-timed-out" },
		{ 48, "nop-timed-out" },
		{ 49, "task-management-timed-out" },
		{ 50, "text-timed-out" },
		{ 51, "asked-logout-timed-out" },
		{ 59, "closed-in-login" },
		{ 62, "data-sequence-order-refused" },
	};
	struct event_info v;

	for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
		CU_ASSERT_FATAL(find(known[i].id, &v));
		CU_ASSERT_STRING_EQUAL(v.name, known[i].name);
	}
}

/* ---- what is printed ---- */

static void test_event_line_can_be_grepped(void)
{
	g_autofree char *text = NULL;

	start();
	event_emit(&d, 20, "session %u iqn.x connection 1 10.0.0.5:3260: %s", 3,
		   "the target closed the connection");
	text = printed();
	CU_ASSERT(g_regex_match_simple(
		"^2[0-9]{3}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z "
		"warning 20 connection-lost session 3 iqn\\.x connection 1 "
		"10\\.0\\.0\\.5:3260: "
		"the target closed the connection\n$",
		text, 0, 0));
	stop();
}

static void test_event_lines_are_oldest_first(void)
{
	g_autofree char *text = NULL;

	start();
	text = printed();
	CU_ASSERT_STRING_EQUAL(text, "");
	g_free(text);
	event_emit(&d, EVENT_SESSION_UP, "one");
	event_emit(&d, 20, "two");
	event_emit(&d, EVENT_IO_FAILED, "three");
	text = printed();
	CU_ASSERT(g_regex_match_simple("^.* info 1003 session-up one\n"
				       ".* warning 20 connection-lost two\n"
				       ".* error 1016 io-failed three\n$",
				       text, 0, 0));
	stop();
}

static void test_event_text_stays_one_line(void)
{
	g_autofree char *text = NULL, *longer = g_strnfill(3000, 'x');

	start();
	event_emit(&d, 23, "a\nb\x1b[2J %s", "\xc3\xa4\xff");
	event_emit(&d, 23, "%s", longer);
	text = printed();
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " bad-pdu a\\x0ab\\x1b[2J \xc3\xa4\\xff\n"));
	CU_ASSERT(g_str_has_suffix(text, "xxx...\n"));
	CU_ASSERT(strlen(text) < 2 * EVENT_TEXT_MAX);
	stop();
}

static void test_event_ring_drops_the_oldest_and_tells_how_many(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) lines = NULL;

	start();
	for (unsigned i = 1; i <= EVENT_RING + 7; i++)
		event_emit(&d, EVENT_PATH_ADDED, "number %u", i);
	text = printed();
	lines = g_strsplit(text, "\n", -1);
	CU_ASSERT_EQUAL_FATAL(g_strv_length(lines), EVENT_RING + 2);
	CU_ASSERT_STRING_EQUAL(lines[0], "# 7 older ones were dropped");
	CU_ASSERT(g_str_has_suffix(lines[1], " number 8"));
	CU_ASSERT(g_str_has_suffix(lines[EVENT_RING], " number 4103"));
	stop();
}

static void test_event_reader_follows(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	uint64_t at;

	start();
	at = event_print_after(d.events, EVENT_LINES, 0, SIZE_MAX, out);
	CU_ASSERT_EQUAL(at, 0);
	CU_ASSERT_EQUAL(event_log_time_us(d.events), 0);
	event_emit(&d, 34, "one");
	event_emit(&d, 34, "two");
	at = event_print_after(d.events, EVENT_LINES, at, SIZE_MAX, out);
	CU_ASSERT_EQUAL(at, 2);
	CU_ASSERT(event_log_time_us(d.events) > G_GINT64_CONSTANT(1700000000) * G_USEC_PER_SEC);
	CU_ASSERT_PTR_NOT_NULL(strstr(out->str, "one\n"));
	CU_ASSERT_EQUAL(event_log_bytes(d.events, EVENT_LINES), out->len);
	g_string_truncate(out, 0);
	CU_ASSERT_EQUAL(event_print_after(d.events, EVENT_LINES, at, SIZE_MAX, out), 2);
	CU_ASSERT_EQUAL(out->len, 0);
	for (unsigned i = 0; i < EVENT_RING + 3; i++)
		event_emit(&d, 34, "more");
	CU_ASSERT_EQUAL(event_print_after(d.events, EVENT_LINES, at, SIZE_MAX, out), EVENT_RING + 5);
	CU_ASSERT(g_str_has_prefix(out->str, "# 3 older ones were dropped\n"));
	CU_ASSERT(event_log_bytes(d.events, EVENT_LINES) > out->len);
	stop();
}

static void test_event_is_a_json_object(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	uint64_t at;

	start();
	event_emit(&d, 20, "a \"b\" c\\d\n\xc3\xa4");
	at = event_print_after(d.events, EVENT_JSON, 0, SIZE_MAX, out);
	CU_ASSERT_EQUAL(at, 1);
	CU_ASSERT(g_regex_match_simple(
		"^{\"time\":\"[0-9T:.-]+Z\",\"seq\":1,\"id\":20,\"name\":\"connection-lost\","
		"\"severity\":\"warning\",\"text\":\"a \\\\\"b\\\\\" c\\\\\\\\d"
		"\\\\\\\\x0a\xc3\xa4\"}\n$",
		out->str, 0, 0));
	CU_ASSERT_EQUAL(event_log_bytes(d.events, EVENT_JSON), out->len);
	for (unsigned i = 0; i < EVENT_RING + 3; i++)
		event_emit(&d, 34, "more");
	g_string_truncate(out, 0);
	event_print_after(d.events, EVENT_JSON, at, SIZE_MAX, out);
	CU_ASSERT(g_str_has_prefix(out->str, "{\"missing\":3}\n{\"time\""));
	stop();
}

static void test_event_reader_takes_a_piece(void)
{
	g_autoptr(GString) out = g_string_new(NULL);
	uint64_t at;

	start();
	for (unsigned i = 0; i < 10; i++)
		event_emit(&d, 34, "more");
	at = event_print_after(d.events, EVENT_LINES, 0, 1, out);
	CU_ASSERT_EQUAL(at, 1);
	at = event_print_after(d.events, EVENT_LINES, at, 3 * out->len, out);
	CU_ASSERT_EQUAL(at, 3);
	CU_ASSERT_EQUAL(event_log_last(d.events), 10);
	stop();
}

static void count_call(void *arg)
{
	++*(unsigned *)arg;
}

static void test_event_watcher_is_called(void)
{
	unsigned calls = 0;

	start();
	event_log_watch(d.events, count_call, &calls);
	event_emit(&d, 34, "one");
	event_emit(&d, 34, "two");
	CU_ASSERT_EQUAL(calls, 2);
	event_log_watch(d.events, NULL, NULL);
	event_emit(&d, 34, "three");
	CU_ASSERT_EQUAL(calls, 2);
	stop();
}

static void test_event_emit_allocates_nothing(void)
{
	struct mallinfo2 before, after;

	start();
	event_emit(&d, 34, "warm");
	before = mallinfo2();
	for (unsigned i = 0; i < 100; i++)
		event_emit(&d, 34, "session %u: %s", i, "back");
	after = mallinfo2();
	CU_ASSERT_EQUAL(before.uordblks, after.uordblks);
	stop();
}

/* ---- the log ---- */

static void test_event_goes_to_the_log_but_no_storm_does(void)
{
	static char got[65536];
	int saved = dup(STDERR_FILENO), out[2];
	unsigned lines = 0;
	ssize_t n;

	start();
	log_set_level(LOG_LEVEL_WARNING);
	CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
	dup2(out[1], STDERR_FILENO);
	event_emit(&d, 34, "not told at this level");
	for (unsigned i = 0; i < 300; i++)
		event_emit(&d, 20, "session %u: gone", i);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(out[1]);
	n = read(out[0], got, sizeof(got) - 1);
	close(out[0]);
	got[n > 0 ? n : 0] = '\0';
	CU_ASSERT_PTR_NOT_NULL(
		strstr(got, "warning: session 0: gone (event 20 connection-lost)\n"));
	CU_ASSERT_PTR_NULL(strstr(got, "not told"));
	for (const char *s = got; (s = strchr(s, '\n')); s++)
		lines++;
	CU_ASSERT(lines >= 50 && lines <= 110); /* one second, or the turn of one */
	stop();
}

/* ---- the page ---- */

/* As roff wants it: hyphens that can be copied. */
static void print_roff(GString *out, const char *text)
{
	for (; *text; text++)
		g_string_append_printf(out, *text == '-' ? "\\-" : "%c", *text);
}

static void print_row(GString *out, const struct event_info *v)
{
	g_string_append_printf(out, ".TP\n.BR \"%u %s\" \" (%s%s)\"\n", v->id, v->name,
			       event_severity_name(v->severity),
			       v->is_raised ? "" : ", not raised");
	print_roff(out, v->text);
	if (v->data) {
		g_string_append(out, "\n.br\n.I Told with it:\n");
		print_roff(out, v->data);
		g_string_append_c(out, '.');
	}
	if (v->why_not) {
		g_string_append(out, "\n.br\n.I Not raised:\n");
		print_roff(out, v->why_not);
	}
	if (v->test) {
		g_string_append(out, "\n.br\n.I Test:\n");
		print_roff(out, v->test);
	}
	g_string_append_c(out, '\n');
}

static const char begin_mark[] = ".\\\" begin of the table\n";
static const char end_mark[] = ".\\\" end of the table\n";

/* With EVENTS_PAGE=write in the environment the page is made what it should be. */
static void test_event_page_has_every_row(void)
{
	const char *srcdir = getenv("srcdir");
	g_autofree char *path =
		g_build_filename(srcdir ? srcdir : ".", "man", "iscsi-events.7", NULL);
	g_autofree char *page = NULL;
	g_autoptr(GString) want = g_string_new(NULL);
	const char *begin, *end;
	struct event_info v;

	CU_ASSERT_FATAL(g_file_get_contents(path, &page, NULL, NULL));
	begin = strstr(page, begin_mark);
	end = strstr(page, end_mark);
	CU_ASSERT_FATAL(begin && end && begin < end);
	g_string_append_len(want, page, begin + strlen(begin_mark) - page);
	for (size_t i = 0; event_info_at(i, &v); i++)
		print_row(want, &v);
	g_string_append(want, end);
	if (!g_strcmp0(getenv("EVENTS_PAGE"), "write"))
		g_file_set_contents(path, want->str, -1, NULL);
	else if (strcmp(page, want->str))
		printf("man/iscsi-events.7 is not what the table says: see its first lines\n");
	CU_ASSERT(!strcmp(page, want->str));
}

/* A row is raised, or it says why not. */
static void test_event_rows_tell_why_not(void)
{
	struct event_info v;

	for (size_t i = 0; event_info_at(i, &v); i++) {
		CU_ASSERT_EQUAL(v.is_raised, !v.why_not);
		CU_ASSERT(!v.why_not || g_str_has_suffix(v.why_not, "."));
		CU_ASSERT(v.is_raised || !v.test);
	}
}

UNIT_MAIN("event", UNIT(test_event_table_is_complete_and_in_order),
	  UNIT(test_event_numbers_are_those_of_the_guide), UNIT(test_event_line_can_be_grepped),
	  UNIT(test_event_lines_are_oldest_first), UNIT(test_event_text_stays_one_line),
	  UNIT(test_event_ring_drops_the_oldest_and_tells_how_many),
	  UNIT(test_event_reader_follows), UNIT(test_event_emit_allocates_nothing),
	  UNIT(test_event_is_a_json_object), UNIT(test_event_reader_takes_a_piece),
	  UNIT(test_event_watcher_is_called),
	  UNIT(test_event_goes_to_the_log_but_no_storm_does),
	  UNIT(test_event_page_has_every_row), UNIT(test_event_rows_tell_why_not))
