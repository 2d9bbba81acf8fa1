/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations: who ends them, how often done() runs, what the reply says. */
#include <errno.h>
#include <string.h>

#include "core/operation.h"
#include "unit.h"

static struct loop *loop;
static unsigned done_count, cancel_count;
static int done_errno, done_code;

static void on_done(struct operation *op, void *arg)
{
	CU_ASSERT_PTR_EQUAL(arg, &done_count);
	CU_ASSERT_EQUAL(op->state, OPERATION_FINISHED);
	done_count++;
	done_errno = op->error ? error_errno(op->error) : 0;
	done_code = op->error ? op->error->code : 0;
}

static void on_cancel(struct operation *op)
{
	CU_ASSERT_EQUAL(op->state, OPERATION_CANCELLING);
	cancel_count++;
}

static void finish_on_cancel(struct operation *op)
{
	cancel_count++;
	operation_finish(op, NULL);
}

static struct operation *start(void)
{
	loop = loop_new();
	done_count = cancel_count = 0;
	done_errno = -1;
	return operation_new(loop, on_done, &done_count);
}

static void stop(struct operation *op)
{
	operation_detach(op); /* some are still under way */
	operation_unref(op);
	loop_free(loop);
}

static GError *an_error(void)
{
	GError *err = NULL;

	error_set(&err, ISDSC_AUTHENTICATION_FAILURE, "no");
	return err;
}

static void test_operation_transitions_are_those_of_the_table(void)
{
	static const char wanted[3][4] = {
		[OPERATION_RUNNING] = ".cf",
		[OPERATION_CANCELLING] = "..f",
		[OPERATION_FINISHED] = "...",
	};

	for (int from = 0; from < 3; from++)
		for (int to = 0; to < 3; to++)
			CU_ASSERT_EQUAL(operation_state_may(from, to), wanted[from][to] != '.');
}

static void test_operation_done_runs_once_and_later(void)
{
	struct operation *op = start();

	operation_finish(op, NULL);
	CU_ASSERT_EQUAL(done_count, 0);
	operation_finish(op, an_error()); /* does not count, and does not leak */
	loop_run_once(loop, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, 0);
	stop(op);
}

static void test_operation_done_sees_the_error(void)
{
	struct operation *op = start();

	operation_finish(op, an_error());
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_errno, EACCES);
	stop(op);
}

static void test_operation_outlives_its_starter_until_done(void)
{
	struct operation *op = start();

	operation_finish(op, NULL);
	operation_unref(op);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	loop_free(loop);
}

static void test_operation_without_step_ends_at_once_when_cancelled(void)
{
	struct operation *op = start();

	operation_cancel(op, EINTR);
	CU_ASSERT_EQUAL(op->state, OPERATION_FINISHED);
	CU_ASSERT_EQUAL(done_count, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_errno, EINTR);
	stop(op);
}

static void test_operation_that_is_dropped_is_a_bug(void)
{
	struct operation *op = start();

	operation_unref(op);
	CU_ASSERT_EQUAL(done_count, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_code, ISDSC_DRIVER_BUG);
	CU_ASSERT_EQUAL(done_errno, EIO);
	loop_free(loop);
}

/* What no other code says, and the end of the daemon. */
static void test_operation_is_cancelled_for_a_reason(void)
{
	static const struct {
		int errno_value;
		enum isdsc code;
	} cases[] = {
		{ EINTR, ISDSC_NON_SPECIFIC_ERROR },
		{ ECANCELED, ISDSC_NON_SPECIFIC_ERROR },
		{ EBUSY, ISDSC_SERVICE_NOT_RUNNING },
		{ ETIMEDOUT, ISDSC_SERVICE_DID_NOT_RESPOND },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct operation *op = start();

		operation_cancel(op, cases[i].errno_value);
		CU_ASSERT_EQUAL(error_errno(op->error), cases[i].errno_value);
		CU_ASSERT_EQUAL(op->error->code, (int)cases[i].code);
		loop_run_once(loop, 0);
		stop(op);
	}
}

static void test_operation_keeps_its_own_error_when_cancelled(void)
{
	struct operation *op = start();

	operation_step(op, on_cancel, NULL);
	operation_cancel(op, EINTR);
	operation_cancel(op, ETIMEDOUT);
	CU_ASSERT_EQUAL(cancel_count, 1);
	CU_ASSERT_FALSE(operation_is_running(op));
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 0); /* the step has not ended */
	operation_finish(op, an_error());
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, EINTR);
	stop(op);
}

static void test_operation_step_may_finish_inside_cancel(void)
{
	struct operation *op = start();

	operation_step(op, finish_on_cancel, NULL);
	operation_cancel(op, EINTR);
	CU_ASSERT_EQUAL(done_count, 0);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 1);
	CU_ASSERT_EQUAL(done_errno, EINTR);
	stop(op);
}

static void test_operation_cancel_after_the_end_changes_nothing(void)
{
	struct operation *op = start();

	operation_step(op, on_cancel, NULL);
	operation_finish(op, NULL);
	operation_cancel(op, EINTR);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(cancel_count, 0);
	CU_ASSERT_EQUAL(done_errno, 0);
	stop(op);
}

static void test_operation_times_out(void)
{
	struct operation *op = start();

	operation_set_timeout(op, 20);
	operation_step(op, finish_on_cancel, NULL);
	for (int i = 0; i < 100 && !done_count; i++)
		loop_run_once(loop, 100);
	CU_ASSERT_EQUAL(cancel_count, 1);
	CU_ASSERT_EQUAL(done_errno, ETIMEDOUT);
	CU_ASSERT_EQUAL(op->error->code, ISDSC_SERVICE_DID_NOT_RESPOND);
	CU_ASSERT_STRING_EQUAL(op->error->message, "not finished within 0.02 s");
	stop(op);
}

static void test_operation_finished_in_time_does_not_time_out(void)
{
	struct operation *op = start();

	operation_set_timeout(op, 10000);
	operation_finish(op, NULL);
	CU_ASSERT_FALSE(loop_timer_is_running(&op->timer));
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_errno, 0);
	stop(op);
}

static void test_operation_detached_goes_on_without_done(void)
{
	struct operation *op = start();

	operation_detach(op);
	CU_ASSERT_TRUE(operation_is_running(op));
	operation_finish(op, NULL);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 0);
	stop(op);
}

static void test_operation_detached_after_the_end_is_silent(void)
{
	struct operation *op = start();

	operation_finish(op, NULL);
	operation_detach(op);
	CU_ASSERT_EQUAL(op->refs, 1);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(done_count, 0);
	stop(op);
}

static void test_operation_result_quotes_what_needs_it(void)
{
	struct operation *op = start();

	operation_result(op, "session", "%u", 1u);
	operation_result(op, "alias", "a disk");
	operation_result(op, "empty", "%s", "");
	operation_result(op, "odd", "%s", "a\"b\\c\n\x9b#");
	operation_result(op, "utf8", "%s", "\xc3\xbc"); /* u with diaeresis */
	CU_ASSERT_STRING_EQUAL(op->result->str, " session=1 alias=\"a disk\" empty=\"\" "
						"odd=\"a\\\"b\\\\c\\x0a\\x9b#\" utf8=\xc3\xbc");
	stop(op);
}

static void test_operation_where_may_name_its_former_self(void)
{
	struct operation *op = start();

	operation_where(op, "iqn.2003-01.org.example:a");
	operation_where(op, "%s/%s", op->where, "10.0.0.1:3260");
	CU_ASSERT_STRING_EQUAL(op->where, "iqn.2003-01.org.example:a/10.0.0.1:3260");
	stop(op);
}

UNIT_MAIN("operation", UNIT(test_operation_transitions_are_those_of_the_table),
	  UNIT(test_operation_done_runs_once_and_later),
	  UNIT(test_operation_done_sees_the_error),
	  UNIT(test_operation_outlives_its_starter_until_done),
	  UNIT(test_operation_without_step_ends_at_once_when_cancelled),
	  UNIT(test_operation_that_is_dropped_is_a_bug),
	  UNIT(test_operation_is_cancelled_for_a_reason),
	  UNIT(test_operation_keeps_its_own_error_when_cancelled),
	  UNIT(test_operation_step_may_finish_inside_cancel),
	  UNIT(test_operation_cancel_after_the_end_changes_nothing),
	  UNIT(test_operation_times_out),
	  UNIT(test_operation_finished_in_time_does_not_time_out),
	  UNIT(test_operation_detached_goes_on_without_done),
	  UNIT(test_operation_detached_after_the_end_is_silent),
	  UNIT(test_operation_result_quotes_what_needs_it),
	  UNIT(test_operation_where_may_name_its_former_self))
