/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/object.c. */
#include "base/object.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "unit.h"

struct thing {
	struct object obj;
	struct thing *child;
};

static struct loop *loop;
static unsigned freed;

static void thing_free(struct object *o)
{
	struct thing *t = container_of(o, struct thing, obj);

	object_done(o);
	if (t->child)
		object_gone(&t->child->obj);
	g_free(t);
	freed++;
}

static struct thing *thing_new(void)
{
	struct thing *t = g_new0(struct thing, 1);

	object_init(&t->obj, loop, OBJECT_TARGET, thing_free);
	return t;
}

static void start(void)
{
	loop = loop_new();
	freed = 0;
}

static void end(unsigned expected)
{
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(freed, expected);
	loop_free(loop);
}

static void test_object_is_freed_at_the_end_of_the_turn(void)
{
	struct thing *t;

	start();
	t = thing_new();
	object_gone(&t->obj);
	CU_ASSERT(t->obj.is_gone);
	CU_ASSERT_EQUAL(freed, 0);
	end(1);
}

static void test_object_that_is_gone_lives_while_referenced(void)
{
	struct thing *t;

	start();
	t = thing_new();
	CU_ASSERT_PTR_EQUAL(object_ref(&t->obj), &t->obj);
	object_gone(&t->obj);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(freed, 0);
	CU_ASSERT(t->obj.is_gone);
	object_unref(&t->obj);
	end(1);
}

static void test_object_frees_its_child_in_the_same_turn(void)
{
	struct thing *t;

	start();
	t = thing_new();
	t->child = thing_new();
	object_gone(&t->obj);
	end(2);
}

static void test_object_unref_of_null_is_fine(void)
{
	object_unref(NULL);
}

static void test_object_ids_are_never_used_twice(void)
{
	uint64_t last = 0;

	start();
	for (int i = 0; i < 100; i++) {
		struct thing *t = thing_new();

		CU_ASSERT(t->obj.id > last);
		last = t->obj.id;
		object_gone(&t->obj);
		loop_run_once(loop, 0);
	}
	end(100);
}

static void test_object_prints_failures_newest_first(void)
{
	g_autoptr(GError) err = NULL;
	g_autoptr(GString) out = g_string_new(NULL);
	struct thing *t;
	char *first, *second;

	start();
	t = thing_new();
	object_failures_print(&t->obj, out);
	CU_ASSERT_STRING_EQUAL(out->str, "");
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNREFUSED, "10.0.0.5:3260 refused");
	object_fail(&t->obj, "login portal=10.0.0.5", err);
	object_fail_text(&t->obj, "set a=\"b c\"\n", ISDSC_SCSI_REQUEST_FAILED, EIO,
			 "medium \"error\"\n");
	object_failures_print(&t->obj, out);
	first = strstr(out->str,
		       "command: set a=\"b c\"\\x0a\nerror: code=ISDSC_SCSI_REQUEST_FAILED "
		       "number=0xEFFF001D errno=EIO "
		       "text=\"medium \\x22error\\x22\\x0a\"\nadvice: ");
	second = strstr(out->str, "\n\ntime: ");
	CU_ASSERT_PTR_NOT_NULL_FATAL(first);
	CU_ASSERT_PTR_NOT_NULL_FATAL(second);
	CU_ASSERT(first < second);
	CU_ASSERT_PTR_NOT_NULL(strstr(second, "command: login portal=10.0.0.5\n"
					      "error: code=ISDSC_CONNECTION_FAILED "
					      "number=0xEFFF0003 errno=ECONNREFUSED "
					      "text=\"10.0.0.5:3260 refused\"\nadvice: check"));
	CU_ASSERT(g_str_has_prefix(out->str, "time: 20"));
	CU_ASSERT_EQUAL(out->str[out->len - 1], '\n');
	object_gone(&t->obj);
	end(1);
}

static void test_object_keeps_the_last_failures_only(void)
{
	struct thing *t;

	start();
	t = thing_new();
	for (int i = 0; i < 50; i++) {
		g_autofree char *what = g_strdup_printf("command %d", i);

		object_fail_text(&t->obj, what, ISDSC_LOGIN_FAILED, EIO, "x");
	}
	CU_ASSERT_EQUAL(t->obj.failures_total, 50);
	CU_ASSERT_STRING_EQUAL(t->obj.failures[0]->what, "command 49");
	CU_ASSERT_STRING_EQUAL(t->obj.failures[OBJECT_FAILURES - 1]->what, "command 34");
	object_gone(&t->obj);
	end(1);
}

static void test_object_cuts_what_is_too_long(void)
{
	g_autofree char *text = g_strnfill(1000000, 'x');
	struct thing *t;

	start();
	t = thing_new();
	object_fail_text(&t->obj, text, ISDSC_LOGIN_FAILED, EIO, text);
	CU_ASSERT(strlen(t->obj.failures[0]->what) < 2000);
	CU_ASSERT(strlen(t->obj.failures[0]->text) < 2000);
	object_gone(&t->obj);
	end(1);
}

UNIT_MAIN("object", UNIT(test_object_is_freed_at_the_end_of_the_turn),
	  UNIT(test_object_that_is_gone_lives_while_referenced),
	  UNIT(test_object_frees_its_child_in_the_same_turn),
	  UNIT(test_object_unref_of_null_is_fine), UNIT(test_object_ids_are_never_used_twice),
	  UNIT(test_object_prints_failures_newest_first),
	  UNIT(test_object_keeps_the_last_failures_only),
	  UNIT(test_object_cuts_what_is_too_long))
