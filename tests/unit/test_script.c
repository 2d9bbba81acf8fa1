/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes to a control file: order, replies, the list of failures, cancelling, lifetimes. The
 * object has verbs that end well, end badly, or wait for the test. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "core/command.h"
#include "unit.h"

static struct loop *loop;
static struct object *obj;
static bool is_freed;
static struct operation *waiting; /* of `wait`; holds a reference */
static GString *trail;		  /* the verbs that ran */

/* What done() got. */
static unsigned done_count;
static int done_errno;
static char *done_reply, *done_message;

static void on_done(void *arg, const GError *err, const char *reply)
{
	CU_ASSERT_PTR_EQUAL(arg, &done_count);
	done_count++;
	done_errno = err ? error_errno(err) : 0;
	g_free(done_reply);
	g_free(done_message);
	done_reply = g_strdup(reply);
	done_message = g_strdup(err ? err->message : "");
}

static void run_ok(struct object *o, const struct command *cmd, struct operation *op)
{
	(void)o;
	g_string_append_printf(trail, "ok(%s) ", cmd->args[0] ? cmd->args[0] : "");
	if (cmd->args[0])
		operation_result(op, "arg", "%s", cmd->args[0]);
	operation_finish(op, NULL);
}

static void run_fail(struct object *o, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;

	(void)o;
	g_string_append(trail, "fail ");
	if (cmd->args[0])
		operation_where(op, "%s", cmd->args[0]);
	error_set(&err, ISDSC_AUTHENTICATION_FAILURE, "refused: \"no\"");
	operation_finish(op, err);
}

static void run_json(struct object *o, const struct command *cmd, struct operation *op)
{
	(void)o;
	(void)cmd;
	operation_result(op, "lost", "yes");
	operation_reply(op, "[1]");
	operation_reply(op, "{\"a\":[]}");
	operation_finish(op, NULL);
}

static void end_waiting(GError *err)
{
	struct operation *op = waiting;

	waiting = NULL;
	operation_finish(op, err);
	operation_unref(op);
}

static void cancel_waiting(struct operation *op)
{
	CU_ASSERT_PTR_EQUAL(op, waiting);
	g_string_append(trail, "cancel ");
	end_waiting(NULL);
}

static void run_wait(struct object *o, const struct command *cmd, struct operation *op)
{
	(void)o;
	(void)cmd;
	g_string_append(trail, "wait ");
	waiting = operation_ref(op);
	operation_step(op, cancel_waiting, NULL);
}

/* The owner lets go of the object. */
static void run_gone(struct object *o, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	g_string_append(trail, "gone ");
	object_gone(o);
	operation_finish(op, NULL);
}

static const struct command_key keys[] = {
	{ "secret", COMMAND_TEXT, .is_secret = true, .help = "never shown" },
	{ "file", COMMAND_TEXT, .is_owners = true, .help = "of this host" },
	{ 0 },
};
static const struct verb verbs[] = {
	{ "ok", "[TEXT]", 0, 1, keys, NULL, run_ok, "" },
	{ "fail", "[WHERE]", 0, 1, keys, NULL, run_fail, "" },
	{ "wait", "", 0, 0, keys, NULL, run_wait, "" },
	{ "gone", "", 0, 0, NULL, NULL, run_gone, "" },
	{ "json", "", 0, 0, NULL, NULL, run_json, "" },
	{ "end", "", COMMAND_OWNERS, 0, keys, NULL, run_ok, "" },
	{ 0 },
};

static void free_obj(struct object *o)
{
	object_done(o);
	is_freed = true;
	g_free(o);
}

static void set_up(void)
{
	log_init(LOG_LEVEL_ERROR, false);
	loop = loop_new();
	obj = g_new0(struct object, 1);
	object_init(obj, loop, OBJECT_TARGET, free_obj);
	trail = g_string_new(NULL);
	is_freed = false;
	done_count = 0;
	done_errno = -1;
	done_reply = g_strdup("");
	done_message = g_strdup("");
}

static void tear_down(void)
{
	if (!is_freed && !obj->is_gone)
		object_gone(obj);
	loop_run_once(loop, 0);
	CU_ASSERT_TRUE(is_freed);
	CU_ASSERT_PTR_NULL(waiting);
	loop_free(loop);
	g_string_free(trail, TRUE);
	g_clear_pointer(&done_reply, g_free);
	g_clear_pointer(&done_message, g_free);
}

static struct script *start_bytes(const char *text, size_t len)
{
	struct script *s;

	done_count = 0;
	s = script_run(loop, obj, verbs, text, len, on_done, &done_count);
	CU_ASSERT_EQUAL(done_count, 0); /* not from inside */
	return s;
}

static struct script *start(const char *text)
{
	return start_bytes(text, strlen(text));
}

static void turn(void)
{
	for (int i = 0; i < 10; i++)
		loop_run_once(loop, 0);
}

/* Runs @text to its end: it failed by @errno_value, or 0, and the reply was @reply. */
static void expect_bytes(const char *text, size_t len, int errno_value, const char *reply)
{
	start_bytes(text, len);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, errno_value);
	CU_ASSERT_STRING_EQUAL(done_reply, reply);
	if (strcmp(done_reply, reply))
		printf("\n%s%s", done_reply, reply);
}

static void expect(const char *text, int errno_value, const char *reply)
{
	expect_bytes(text, strlen(text), errno_value, reply);
}

static void test_script_one_line_is_answered_ok(void)
{
	set_up();
	expect("ok\n", 0, "ok\n");
	CU_ASSERT_EQUAL(obj->failures_total, 0);
	tear_down();
}

/* What happens to @text when the owner has written it, or somebody who merely may. */
static void expect_by(bool is_owner, const char *text, int errno_value)
{
	struct script *s = start(text);

	if (is_owner)
		script_set_owner(s);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, errno_value);
}

static void test_script_keeps_what_is_the_owners_from_others(void)
{
	set_up();
	expect_by(false, "end\n", EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, "end: only for root"));
	expect_by(false, "ok\nend secret=hidden\nok\n", EACCES);
	CU_ASSERT_PTR_NULL(strstr(done_reply, "hidden"));
	expect_by(false, "ok file=/root/x\n", EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, "ok: file=: only for root"));
	expect_by(false, "ok file=/root/x nowait=yes\n", EACCES);
	expect_by(false, "ok secret=mine\n", 0);
	expect_by(true, "end\n", 0);
	expect_by(true, "ok file=/root/x\n", 0);
	tear_down();
}

static void test_script_last_line_needs_no_newline(void)
{
	set_up();
	expect("ok 7", 0, "ok arg=7\n");
	tear_down();
}

static void test_script_nothing_to_do_is_fine(void)
{
	set_up();
	expect("", 0, "");
	CU_ASSERT_STRING_EQUAL(trail->str, "");
	tear_down();
	set_up();
	expect("\n\n  # a comment\n", 0, "");
	tear_down();
}

static void test_script_has_a_reply_line_for_each_line(void)
{
	set_up();
	expect("ok 1\n\n# two\nok \"t w o\"\nok\n", 0, "ok arg=1\nok arg=\"t w o\"\nok\n");
	CU_ASSERT_STRING_EQUAL(trail->str, "ok(1) ok(t w o) ok() ");
	tear_down();
}

static void test_script_reply_may_be_a_line_of_its_own(void)
{
	set_up();
	expect("ok 1\njson\njson nowait=yes\n", 0, "ok arg=1\n{\"a\":[]}\nok\n");
	tear_down();
}

/* A file whose lines are no verbs. */
static void run_whole(struct object *o, const struct command *cmd, struct operation *op)
{
	(void)o;
	g_string_append_printf(trail, "[%.8s:%zu]", cmd->args[0], strlen(cmd->args[0]));
	operation_reply(op, cmd->args[0]);
	operation_finish(op, NULL);
}

static const struct verb whole[] = {
	{ "line", "", 1, COMMAND_WHOLE_LINE, NULL, NULL, run_whole, "# how to\n" },
	{ 0 },
};

static void test_script_line_may_be_the_argument(void)
{
	g_autofree char *most = g_strnfill(COMMAND_WHOLE_LINE_MAX, 'x');
	g_autofree char *over = g_strnfill(COMMAND_WHOLE_LINE_MAX + 1, 'x');
	static const char text[] = "  ok a=b \"\n\n# no\nnowait=yes timeout=x";

	set_up();
	script_run(loop, obj, whole, text, strlen(text), on_done, &done_count);
	turn();
	CU_ASSERT_EQUAL(done_errno, 0);
	CU_ASSERT_STRING_EQUAL(done_reply, "ok a=b \"\nnowait=yes timeout=x\n");
	script_run(loop, obj, whole, "a\001", 2, on_done, &done_count);
	turn();
	CU_ASSERT_EQUAL(done_errno, EINVAL);
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->what, "line ...");
	script_run(loop, obj, whole, most, strlen(most), on_done, &done_count);
	turn();
	CU_ASSERT_EQUAL(done_errno, 0);
	script_run(loop, obj, whole, over, strlen(over), on_done, &done_count);
	turn();
	CU_ASSERT_EQUAL(done_errno, EINVAL);
	CU_ASSERT_EQUAL(done_count, 4);
	tear_down();
}

static void test_script_ends_when_it_has_answered_too_much(void)
{
	g_autofree char *line = g_strnfill(COMMAND_WHOLE_LINE_MAX, 'x');
	g_autoptr(GString) text = g_string_new(NULL);

	for (int i = 0; i < 20; i++)
		g_string_append_printf(text, "%s\n", line);
	set_up();
	script_run(loop, obj, whole, text->str, text->len, on_done, &done_count);
	for (int i = 0; i < 10 && !done_count; i++)
		turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_message, "write fewer lines"));
	CU_ASSERT_TRUE(strlen(done_reply) < 20 * COMMAND_WHOLE_LINE_MAX);
	tear_down();
}

static void test_script_failure_is_told_as_tree_md_says(void)
{
	set_up();
	expect("fail iqn.x/10.0.0.1:3260\n", EACCES,
	       "error code=ISDSC_AUTHENTICATION_FAILURE number=0xEFFF0009 errno=EACCES "
	       "where=iqn.x/10.0.0.1:3260 text=\"refused: \\\"no\\\"\"\n");
	CU_ASSERT_STRING_EQUAL(done_message, "refused: \"no\"");
	CU_ASSERT_EQUAL(obj->failures_total, 1);
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->what, "fail iqn.x/10.0.0.1:3260");
	CU_ASSERT_EQUAL(obj->failures[0]->errno_value, EACCES);
	CU_ASSERT_EQUAL(obj->failures[0]->code, ISDSC_AUTHENTICATION_FAILURE);
	tear_down();
}

static void test_script_failure_without_a_place_is_about_the_object(void)
{
	set_up();
	expect("fail", EACCES,
	       "error code=ISDSC_AUTHENTICATION_FAILURE number=0xEFFF0009 errno=EACCES "
	       "where=target text=\"refused: \\\"no\\\"\"\n");
	tear_down();
	set_up();
	script_set_place(start("fail"), "targets/iqn.x");
	turn();
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, " where=targets/iqn.x text="));
	tear_down();
	for (unsigned kind = 0; kind < OBJECT_KINDS; kind++) { /* each has a name */
		set_up();
		obj->kind = (enum object_kind)kind;
		start("fail");
		turn();
		CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, " where="));
		CU_ASSERT_PTR_NULL(strstr(done_reply, " where= "));
		tear_down();
	}
}

static void test_script_stops_at_the_first_failure_and_names_the_line(void)
{
	set_up();
	expect("ok 1\n# comment\nfail\nok 2\n", EACCES,
	       "ok arg=1\n"
	       "error code=ISDSC_AUTHENTICATION_FAILURE number=0xEFFF0009 errno=EACCES "
	       "where=target text=\"line 3: refused: \\\"no\\\"\"\n");
	CU_ASSERT_STRING_EQUAL(trail->str, "ok(1) fail ");
	CU_ASSERT_STRING_EQUAL(done_message, "line 3: refused: \"no\"");
	tear_down();
}

static void test_script_grammar_error_is_einval(void)
{
	set_up();
	expect("fali", EINVAL,
	       "error code=ISDSC_INVALID_PARAMETER number=0xEFFF0056 errno=EINVAL "
	       "where=target text=\"unknown verb fali; there are: ok, fail, wait, gone, json, end\"\n");
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->what, "...");
	tear_down();
}

static void test_script_nul_byte_is_einval(void)
{
	set_up();
	expect_bytes("ok\nok\0 2\nok\n", 11, EINVAL,
		     "ok\nerror code=ISDSC_INVALID_PARAMETER number=0xEFFF0056 errno=EINVAL "
		     "where=target text=\"line 2: NUL byte in the line\"\n");
	tear_down();
}

static void test_script_line_over_8_kib_is_einval(void)
{
	g_autofree char *text = g_strnfill(3 * COMMAND_LINE_MAX, 'a');

	set_up();
	start(text);
	turn();
	CU_ASSERT_EQUAL(done_errno, EINVAL);
	CU_ASSERT_STRING_EQUAL(done_message, "the line is longer than 8192 bytes");
	tear_down();
}

static void test_script_failures_show_no_secret(void)
{
	set_up();
	start("fail secret=hush");
	turn();
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->what, "fail secret=***");
	start("fail secret=hush2 secret=hush3");
	turn();
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->what, "fail ...");
	CU_ASSERT_PTR_NULL(strstr(obj->failures[0]->text, "hush"));
	CU_ASSERT_PTR_NULL(strstr(done_reply, "hush"));
	tear_down();
}

static void test_script_waits_for_an_operation(void)
{
	set_up();
	start("wait\nok");
	turn();
	CU_ASSERT_EQUAL(done_count, 0);
	CU_ASSERT_STRING_EQUAL(trail->str, "wait ");
	end_waiting(NULL);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_STRING_EQUAL(done_reply, "ok\nok\n");
	tear_down();
}

static void test_script_cancelled_while_waiting_is_eintr(void)
{
	struct script *s;

	set_up();
	s = start("wait\nok");
	turn();
	script_cancel(s, EINTR);
	CU_ASSERT_EQUAL(done_count, 0); /* not from inside */
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, EINTR);
	CU_ASSERT_STRING_EQUAL(trail->str, "wait cancel ");
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, " errno=EINTR "));
	tear_down();
}

static void test_script_cancelled_before_it_began_does_nothing(void)
{
	set_up();
	script_cancel(start("ok"), EINTR);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, EINTR);
	CU_ASSERT_STRING_EQUAL(trail->str, "");
	tear_down();
}

static void test_script_cancelled_twice_ends_once(void)
{
	struct script *s;

	set_up();
	s = start("wait");
	turn();
	script_cancel(s, EINTR);
	script_cancel(s, EINTR);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	tear_down();
}

static void test_script_timeout_is_etimedout(void)
{
	set_up();
	start("wait timeout=0.02");
	for (int i = 0; i < 100 && !done_count; i++)
		loop_run_once(loop, 100);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, ETIMEDOUT);
	CU_ASSERT_STRING_EQUAL(done_reply,
			       "error code=ISDSC_SERVICE_DID_NOT_RESPOND number=0xEFFF0039 "
			       "errno=ETIMEDOUT where=target "
			       "text=\"not finished within 0.02 s\"\n");
	tear_down();
}

static void test_script_nowait_goes_on_at_once(void)
{
	set_up();
	expect("wait nowait=yes\nok", 0, "ok\nok\n");
	CU_ASSERT_PTR_NOT_NULL_FATAL(waiting);
	CU_ASSERT_TRUE(operation_is_running(waiting));
	end_waiting(NULL);
	turn();
	CU_ASSERT_EQUAL(obj->failures_total, 0);
	tear_down();
}

static void test_script_nowait_failure_goes_to_the_list(void)
{
	GError *err = NULL;

	set_up();
	expect("wait nowait=yes secret=hush", 0, "ok\n");
	error_set(&err, ISDSC_TARGET_NOT_FOUND, "no such target");
	end_waiting(err);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(obj->failures_total, 1);
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->what, "wait nowait=yes secret=***");
	CU_ASSERT_STRING_EQUAL(obj->failures[0]->text, "no such target");
	tear_down();
}

static void test_script_nowait_is_bounded_by_timeout(void)
{
	set_up();
	expect("wait nowait=yes timeout=0.02", 0, "ok\n");
	for (int i = 0; i < 100 && !obj->failures_total; i++)
		loop_run_once(loop, 100);
	CU_ASSERT_EQUAL(obj->failures[0]->errno_value, ETIMEDOUT);
	tear_down();
}

static void test_script_cancel_leaves_background_commands_alone(void)
{
	struct script *s;

	set_up();
	s = start("wait nowait=yes\nok\nok\n");
	script_cancel(s, EINTR);
	turn();
	CU_ASSERT_EQUAL(done_errno, EINTR);
	CU_ASSERT_PTR_NULL(waiting); /* never began */
	tear_down();
}

static void test_script_object_gone_between_lines_is_enodev(void)
{
	set_up();
	expect("gone\nok\n", ENODEV,
	       "ok\nerror code=ISDSC_NOT_FOUND number=0xEFFF000B errno=ENODEV where=target "
	       "text=\"line 2: target is no longer there\"\n");
	CU_ASSERT_STRING_EQUAL(trail->str, "gone ");
	tear_down();
}

static void test_script_object_gone_by_the_last_line_is_fine(void)
{
	set_up();
	expect("gone\n# and that is it\n", 0, "ok\n");
	tear_down();
}

static void test_script_keeps_its_object(void)
{
	set_up();
	start("wait");
	turn();
	object_gone(obj);
	turn();
	CU_ASSERT_FALSE(is_freed);
	end_waiting(NULL);
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_TRUE(is_freed);
	tear_down();
}

static void test_script_nowait_keeps_its_object(void)
{
	set_up();
	expect("wait nowait=yes", 0, "ok\n");
	object_gone(obj);
	turn();
	CU_ASSERT_FALSE(is_freed);
	end_waiting(NULL);
	turn();
	CU_ASSERT_TRUE(is_freed);
	tear_down();
}

static void test_script_runs_many_lines(void)
{
	g_autoptr(GString) text = g_string_new(NULL);

	set_up();
	for (int i = 0; i < 10000; i++)
		g_string_append(text, "ok\n");
	start(text->str);
	for (int i = 0; i < 1000 && !done_count; i++)
		loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(strlen(done_reply), 30000);
	tear_down();
}

/* 1 MiB of nothing to do: descriptors and timers have their turns meanwhile. */
static void test_script_of_comments_lets_others_run(void)
{
	g_autofree char *text = g_strnfill(1 << 20, '\n');
	struct script *s;
	unsigned turns = 0;

	set_up();
	start(text);
	for (; turns < 10000 && !done_count; turns++)
		loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, 0);
	CU_ASSERT_TRUE(turns >= 4096);
	s = start(text);
	turn();
	CU_ASSERT_EQUAL(done_count, 0);
	script_cancel(s, EINTR);
	turn();
	CU_ASSERT_EQUAL(done_errno, EINTR);
	tear_down();
}

static void test_script_of_nowait_lines_lets_others_run(void)
{
	g_autoptr(GString) text = g_string_new(NULL);

	set_up();
	for (int i = 0; i < 2000; i++)
		g_string_append(text, "ok nowait=yes\n");
	start(text->str);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(trail->len, 256 * strlen("ok() "));
	turn();
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(trail->len, 2000 * strlen("ok() "));
	tear_down();
}

/* --- errnos --- */

static void check_errno(int from, int to)
{
	g_autoptr(GError) err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, from, "it failed");
	CU_ASSERT_EQUAL(script_errno(err), to);
}

static void test_script_errno_is_one_of_tree_md(void)
{
	static const int same[] = { EINVAL,	  ENOENT,    EEXIST, EACCES, EHOSTUNREACH,
				    ECONNREFUSED, ETIMEDOUT, EBUSY,  EUSERS, ENOSPC,
				    EOPNOTSUPP,	  EPROTO,    EIO,    EINTR,  ENODEV };
	static const int io[] = { ECONNRESET, EPIPE,  ECONNABORTED, ENOTCONN,
				  ESHUTDOWN,  ENOMEM, ENOBUFS,	    EREMOTEIO };
	static const int unreachable[] = { ENETUNREACH, ENETDOWN, EHOSTDOWN };

	for (size_t i = 0; i < G_N_ELEMENTS(same); i++)
		check_errno(same[i], same[i]);
	for (size_t i = 0; i < G_N_ELEMENTS(io); i++)
		check_errno(io[i], EIO);
	for (size_t i = 0; i < G_N_ELEMENTS(unreachable); i++)
		check_errno(unreachable[i], EHOSTUNREACH);
	check_errno(ELOOP, EPROTO);
}

static void test_script_errno_is_the_same_everywhere(void)
{
	GError *err = NULL;

	set_up();
	start("wait");
	turn();
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET, "it went away");
	end_waiting(err);
	turn();
	CU_ASSERT_EQUAL(done_errno, EIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(done_reply, " errno=EIO "));
	CU_ASSERT_EQUAL(obj->failures[0]->errno_value, EIO);
	CU_ASSERT_EQUAL(obj->failures[0]->code, ISDSC_CONNECTION_FAILED);
	tear_down();
}

UNIT_MAIN("script", UNIT(test_script_one_line_is_answered_ok),
	  UNIT(test_script_keeps_what_is_the_owners_from_others),
	  UNIT(test_script_last_line_needs_no_newline), UNIT(test_script_nothing_to_do_is_fine),
	  UNIT(test_script_has_a_reply_line_for_each_line),
	  UNIT(test_script_reply_may_be_a_line_of_its_own),
	  UNIT(test_script_line_may_be_the_argument),
	  UNIT(test_script_ends_when_it_has_answered_too_much),
	  UNIT(test_script_failure_is_told_as_tree_md_says),
	  UNIT(test_script_failure_without_a_place_is_about_the_object),
	  UNIT(test_script_stops_at_the_first_failure_and_names_the_line),
	  UNIT(test_script_grammar_error_is_einval), UNIT(test_script_nul_byte_is_einval),
	  UNIT(test_script_line_over_8_kib_is_einval),
	  UNIT(test_script_failures_show_no_secret), UNIT(test_script_waits_for_an_operation),
	  UNIT(test_script_cancelled_while_waiting_is_eintr),
	  UNIT(test_script_cancelled_before_it_began_does_nothing),
	  UNIT(test_script_cancelled_twice_ends_once), UNIT(test_script_timeout_is_etimedout),
	  UNIT(test_script_nowait_goes_on_at_once),
	  UNIT(test_script_nowait_failure_goes_to_the_list),
	  UNIT(test_script_nowait_is_bounded_by_timeout),
	  UNIT(test_script_cancel_leaves_background_commands_alone),
	  UNIT(test_script_object_gone_between_lines_is_enodev),
	  UNIT(test_script_object_gone_by_the_last_line_is_fine),
	  UNIT(test_script_keeps_its_object), UNIT(test_script_nowait_keeps_its_object),
	  UNIT(test_script_runs_many_lines), UNIT(test_script_of_comments_lets_others_run),
	  UNIT(test_script_of_nowait_lines_lets_others_run),
	  UNIT(test_script_errno_is_one_of_tree_md),
	  UNIT(test_script_errno_is_the_same_everywhere))
