/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes: what they say, how they end, and that none is waited for. The children are
 * shells. */
#include "core/helper.h"

#include <errno.h>
#include <string.h>

#include "base/loop.h"
#include "tests/unit/unit.h"

struct seen {
	unsigned calls;
	int error;
	char *text, *first;
};

static void on_done(void *arg, const struct helper_answer *a)
{
	struct seen *s = arg;

	s->calls++;
	s->error = a->error;
	s->text = g_strdup(a->text);
	s->first = g_strdup(a->lines[0]);
}

/* Runs @script with @input until it is done. g_free() the texts. */
static struct seen run(const char *program, const char *script, const char *input,
		       int64_t limit_ms)
{
	const char *const argv[] = { program, "-c", script, NULL };
	struct loop *l = loop_new();
	struct helpers h;
	struct seen s = { 0 };
	GString *request = g_string_new(input);

	helpers_init(&h, l);
	helper_start(&h, argv, request, limit_ms, on_done, &s);
	CU_ASSERT_EQUAL(s.calls, 0); /* never from inside */
	g_string_free(request, TRUE);
	while (!s.calls)
		loop_run_once(l, -1);
	CU_ASSERT_EQUAL(s.calls, 1);
	helpers_done(&h);
	loop_free(l);
	return s;
}

static void expect(struct seen s, int error, const char *text, const char *first)
{
	CU_ASSERT_EQUAL(s.error, error);
	CU_ASSERT_STRING_EQUAL(s.text, text);
	CU_ASSERT_STRING_EQUAL(s.first ? s.first : "(none)", first);
	g_free(s.text);
	g_free(s.first);
}

static void test_helper_answers_with_lines(void)
{
	expect(run("/bin/sh", "read x; echo device $x; echo ok", "one\n", 60000), 0, "",
	       "device one");
	expect(run("/bin/sh", "echo 'error 16 it is in use'", "", 60000), EBUSY, "it is in use",
	       "error 16 it is in use");
}

static void test_helper_takes_a_request_that_no_pipe_would_hold(void)
{
	g_autofree char *input = g_strnfill(1 << 20, 'x');

	expect(run("/bin/sh", "test $(wc -c) -eq 1048576 && echo ok", input, 60000), 0, "",
	       "ok");
}

static void test_helper_that_says_nothing_has_died(void)
{
	expect(run("/bin/sh", "exit 3", "", 60000), ECHILD, "the helper process died",
	       "(none)");
	expect(run("/bin/sh", "echo device /dev/loop1; kill -9 $$", "", 60000), ECHILD,
	       "the helper process died", "device /dev/loop1");
	/* "ok" without its newline was cut off. */
	expect(run("/bin/sh", "printf ok", "", 60000), ECHILD, "the helper process died",
	       "(none)");
}

static void test_helper_is_killed_when_its_time_is_up(void)
{
	struct seen s = { 0 };

	/* On a busy machine it may not have said its line by then: more time, up to 25 s. */
	for (int64_t ms = 300; !s.first && ms < 30000; ms *= 3) {
		g_free(s.text);
		s = run("/bin/sh", "echo device /dev/loop1; exec sleep 1000", "", ms);
	}
	expect(s, ETIMEDOUT, "the helper process did not end in time and was killed",
	       "device /dev/loop1");
}

static void test_helper_that_cannot_be_started_is_an_answer(void)
{
	expect(run("/nothing/here", "", "", 60000), ENOENT,
	       "no helper process could be started: No such file or directory", "(none)");
}

static void test_helper_killed_says_what_it_had_said(void)
{
	const char *const argv[] = { "/bin/sh", "-c", "exec sleep 1000", NULL };
	struct loop *l = loop_new();
	g_autoptr(GString) request = g_string_new(NULL);
	struct helpers h;
	struct seen s = { 0 };

	helpers_init(&h, l);
	helper_kill(helper_start(&h, argv, request, 60000, on_done, &s));
	CU_ASSERT_EQUAL(s.calls, 0);
	while (!s.calls)
		loop_run_once(l, -1);
	expect(s, ETIMEDOUT, "the helper process did not end in time and was killed", "(none)");
	CU_ASSERT_TRUE(list_is_empty(&h.all));
	helpers_done(&h);
	loop_free(l);
}

static void test_helper_cancelled_says_nothing(void)
{
	const char *const argv[] = { "/bin/sh", "-c", "exec sleep 1000", NULL };
	struct loop *l = loop_new();
	g_autoptr(GString) request = g_string_new(NULL);
	struct helpers h;
	struct seen s = { 0 };

	helpers_init(&h, l);
	helper_cancel(helper_start(&h, argv, request, 60000, on_done, &s));
	while (!list_is_empty(&h.all)) /* until it has been waited for */
		loop_run_once(l, -1);
	/* And one that is still there at the end. */
	helper_start(&h, argv, request, 60000, on_done, &s);
	helpers_done(&h);
	CU_ASSERT_EQUAL(s.calls, 0);
	loop_free(l);
}

static void test_helper_error_numbers_are_checked(void)
{
	static const struct {
		const char *line;
		int error;
		const char *text;
	} rows[] = {
		{ "error 5 no", 5, "no" },
		{ "error 0 no", EIO, "no" },
		{ "error -5 no", EIO, "no" },
		{ "error 99999999999 no", EIO, "no" },
		{ "error", ECHILD, "the helper process died" },
		{ "error x", EIO, "x" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		char *line = g_strdup(rows[i].line);
		char *lines[] = { line, NULL };
		struct helper_answer a;

		helper_parse(lines, &a);
		CU_ASSERT_EQUAL(a.error, rows[i].error);
		CU_ASSERT_STRING_EQUAL(a.text, rows[i].text);
		g_free(line);
	}
}

UNIT_MAIN("helper", UNIT(test_helper_answers_with_lines),
	  UNIT(test_helper_takes_a_request_that_no_pipe_would_hold),
	  UNIT(test_helper_that_says_nothing_has_died),
	  UNIT(test_helper_is_killed_when_its_time_is_up),
	  UNIT(test_helper_that_cannot_be_started_is_an_answer),
	  UNIT(test_helper_killed_says_what_it_had_said),
	  UNIT(test_helper_cancelled_says_nothing), UNIT(test_helper_error_numbers_are_checked))
