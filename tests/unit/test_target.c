/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's list of targets: its order, many of them, and what knows them. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/daemon.h"
#include "core/target.h"
#include "unit.h"

#define MANY 16000

static struct loop *loop;
static struct daemon *d;

static void begin(void)
{
	struct conf conf;

	log_set_level(LOG_LEVEL_ERROR - 1);
	conf_default(&conf);
	loop = loop_new();
	d = daemon_new(loop, &conf, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	conf_done(&conf);
}

static void end(void)
{
	daemon_free(d);
	loop_run_once(loop, 0);
	loop_free(loop);
}

static struct target *add(const char *name, const char *mechanism)
{
	struct target *t = target_get(d, name);

	target_set_instance(t, mechanism, INSTANCE_SENDTARGETS, NULL, 0, NULL);
	return t;
}

/* By name, each once, found by its name, and the links are right. */
static void check_list(unsigned count)
{
	const struct target *before = NULL;
	unsigned found = 0, wrong = 0;

	for (GList *l = d->targets; l; l = l->next, found++) {
		struct target *t = l->data;

		wrong += t->link != l || target_find(d, t->name) != t ||
			 (l->next && l->next->prev != l) ||
			 (before && strcmp(before->name, t->name) >= 0);
		before = t;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(found, count);
	CU_ASSERT_EQUAL(g_sequence_get_length(d->targets_sorted), (int)count);
}

static void test_target_list_is_by_name(void)
{
	struct target *m, *z, *a;

	begin();
	m = add("iqn.2026-11.test:m", "one");
	z = add("iqn.2026-11.test:z", "one");
	a = add("iqn.2026-11.test:a", "one");
	CU_ASSERT_PTR_EQUAL(add("iqn.2026-11.test:m", "two"), m);
	check_list(3);
	target_drop_instance(m, "one");
	check_list(3); /* another knows it */
	target_drop_instance(m, "two");
	check_list(2);
	CU_ASSERT_PTR_NULL(target_find(d, "iqn.2026-11.test:m"));
	target_drop_instance(z, "one");
	check_list(1);
	add("iqn.2026-11.test:z", "one");
	check_list(2);
	target_drop_instance(a, "one");
	check_list(1);
	end();
}

static void add_many(unsigned from, const char *mechanism)
{
	for (unsigned i = 0; i < MANY; i++) {
		char name[64];

		g_snprintf(name, sizeof(name), "iqn.2026-11.test:target-%06u", 2 * i + from);
		add(name, mechanism);
	}
}

static void drop_many(const char *mechanism)
{
	for (GList *l = d->targets, *next; l; l = next) {
		next = l->next;
		target_drop_instance(l->data, mechanism);
	}
}

/* Two portals whose names fall between each other's: seconds, if each name walked the list. */
static void test_target_many_of_two_portals_interleave(void)
{
	int64_t began, added, dropped;

	begin();
	began = g_get_monotonic_time();
	add_many(0, "one");
	add_many(1, "two");
	added = g_get_monotonic_time();
	check_list(2 * MANY);
	drop_many("one");
	check_list(MANY);
	dropped = g_get_monotonic_time();
	drop_many("two");
	check_list(0);
	printf("(%u added in %d ms, half of them dropped in %d ms) ", 2 * MANY,
	       (int)((added - began) / 1000), (int)((dropped - added) / 1000));
	end();
}

/* ---- by hand ---- */

static int run_remove(struct instance *i)
{
	struct operation *op = operation_new(loop, NULL, NULL);
	struct command *cmd = command_parse("remove", daemon_verbs(OBJECT_INSTANCE), NULL);
	int errno_value;

	CU_ASSERT_PTR_NOT_NULL_FATAL(cmd);
	cmd->verb->run(&i->obj, cmd, op);
	errno_value = op->error ? error_errno(op->error) : 0;
	command_free(cmd);
	operation_unref(op);
	return errno_value;
}

static void test_target_instance_by_hand_can_be_removed(void)
{
	struct target *t;

	begin();
	t = add("iqn.2026-11.test:a", "sendtargets:127.0.0.1:3260");
	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, NULL, 0, NULL);
	CU_ASSERT_EQUAL(run_remove(target_find_instance(t, "sendtargets:127.0.0.1:3260")),
			EOPNOTSUPP);
	CU_ASSERT_EQUAL(run_remove(target_find_instance(t, INSTANCE_STATIC_NAME)), 0);
	CU_ASSERT_PTR_NULL(target_find_instance(t, INSTANCE_STATIC_NAME));
	CU_ASSERT_EQUAL(g_list_length(t->instances), 1);
	end();
}

static void on_failed(struct operation *op, void *arg)
{
	*(int *)arg = op->error ? error_errno(op->error) : 0;
}

/* A login made the target, somebody made it again meanwhile, then the login failed. */
static void test_target_entered_during_a_login_by_name_stays(void)
{
	struct target_portal p = { (char *)"127.0.0.1", 9, -1, 0 };
	const char *name = "iqn.2026-11.test:a";
	struct command *cmd;
	struct operation *op;
	struct target *t;
	int result = -1;

	begin();
	cmd = command_parse("login iqn.2026-11.test:a portal=127.0.0.1:9",
			    daemon_verbs(OBJECT_DAEMON), NULL);
	op = operation_new(loop, on_failed, &result);
	cmd->verb->run(&d->obj, cmd, op);
	t = target_find(d, name);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	target_drop_instance(t, INSTANCE_STATIC_NAME);
	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, &p, 1, NULL);
	operation_cancel(op, EINTR);
	while (result < 0)
		loop_run_once(loop, 1000);
	CU_ASSERT_EQUAL(result, EINTR);
	CU_ASSERT_PTR_EQUAL(target_find(d, name), t);
	CU_ASSERT_PTR_NOT_NULL(target_find_instance(t, INSTANCE_STATIC_NAME));
	operation_unref(op);

	/* And when nobody did, nothing is left of it. */
	target_drop_instance(t, INSTANCE_STATIC_NAME);
	CU_ASSERT_PTR_NULL(target_find(d, name));
	result = -1;
	op = operation_new(loop, on_failed, &result);
	cmd->verb->run(&d->obj, cmd, op);
	CU_ASSERT_PTR_NOT_NULL(target_find(d, name));
	operation_cancel(op, EINTR);
	while (result < 0)
		loop_run_once(loop, 1000);
	CU_ASSERT_PTR_NULL(target_find(d, name));
	operation_unref(op);
	command_free(cmd);
	end();
}

UNIT_MAIN("target", UNIT(test_target_list_is_by_name),
	  UNIT(test_target_many_of_two_portals_interleave),
	  UNIT(test_target_instance_by_hand_can_be_removed),
	  UNIT(test_target_entered_during_a_login_by_name_stays))
