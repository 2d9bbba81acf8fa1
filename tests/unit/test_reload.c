/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the configuration again: all or nothing, what counts from when, what is told. */
#include "core/reload.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/daemon.h"
#include "core/event.h"
#include "unit.h"

static struct loop *loop;
static struct daemon *daemon_;
static char *path;
static unsigned changes; /* calls of changed() */
static char *reply;
static int error;
static bool is_done;

static void on_changed(struct daemon *d, void *arg)
{
	CU_ASSERT_PTR_EQUAL(d, daemon_);
	CU_ASSERT_PTR_EQUAL(arg, &changes);
	changes++;
}

static unsigned begun, ended; /* calls of busy() */

static void on_busy(bool is_busy, void *arg)
{
	CU_ASSERT_PTR_EQUAL(arg, &changes);
	CU_ASSERT_EQUAL(begun - ended, is_busy ? 0 : 1);
	if (is_busy)
		begun++;
	else
		ended++;
}

static void put(const char *text)
{
	CU_ASSERT_TRUE_FATAL(g_file_set_contents(path, text, -1, NULL));
}

/* A daemon that was started with a file of @text. */
static void begin(const char *text)
{
	struct reload_config c = { .changed = on_changed, .busy = on_busy, .arg = &changes };
	struct conf conf;
	GError *err = NULL;

	log_init(LOG_LEVEL_ERROR - 1, false);
	path = g_strdup("/tmp/iscsifs-reload-XXXXXX");
	close(g_mkstemp(path));
	put(text);
	conf_default(&conf);
	CU_ASSERT_TRUE_FATAL(conf_read(&conf, path, NULL));
	loop = loop_new();
	daemon_ = daemon_new(loop, &conf, NULL, &err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(daemon_);
	c.path = path;
	c.file = &conf;
	daemon_->reloader = reloader_new(daemon_, &c);
	conf_done(&conf);
	changes = begun = ended = 0;
}

static void end(void)
{
	daemon_free(daemon_);
	loop_free(loop);
	g_unlink(path);
	g_clear_pointer(&path, g_free);
	g_clear_pointer(&reply, g_free);
}

static void on_done(struct operation *op, void *arg)
{
	(void)arg;
	error = op->error ? error_errno(op->error) : 0;
	g_free(reply);
	reply = g_strdup(op->error ? op->error->message : op->result->str);
	is_done = true;
}

static void turn_until(const bool *is_over)
{
	for (int i = 0; i < 10000 && !*is_over; i++)
		loop_run_once(loop, 10);
	CU_ASSERT_TRUE(*is_over);
}

/* Reads a file of @text; the reply is ok with @wanted behind the file's name, or the error is,
 * behind it. */
static void reload(const char *text, int wanted_error, const char *wanted)
{
	struct operation *op = operation_new(loop, on_done, NULL);
	const char *got;

	put(text);
	is_done = false;
	reload_run(daemon_, op);
	CU_ASSERT_FALSE(is_done);
	turn_until(&is_done);
	operation_unref(op);
	CU_ASSERT_EQUAL(error, wanted_error);
	got = strstr(reply, path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(got);
	got += strlen(path);
	CU_ASSERT_STRING_EQUAL(got, wanted);
	if (strcmp(got, wanted))
		printf("\n%s\n", reply);
}

/* The newest event. */
static char *event(void)
{
	g_autoptr(GString) all = g_string_new(NULL);
	const char *last;

	event_print(daemon_->events, all);
	if (!all->len)
		return g_strdup("");
	g_string_truncate(all, all->len - 1);
	last = strrchr(all->str, '\n');
	return g_strdup(last ? last + 1 : all->str);
}

static void expect_event(const char *part)
{
	g_autofree char *line = event();

	CU_ASSERT_PTR_NOT_NULL(strstr(line, part));
	if (!strstr(line, part))
		printf("\n%s\n", line);
}

#define WARNING " code=ISDSC_OPERATION_REQUIRES_REBOOT number=0xAFFF003B"

static void test_reload_of_the_same_changes_nothing(void)
{
	begin("io_depth = 32;");
	reload("io_depth = 0x20; # in other words", 0, "");
	CU_ASSERT_EQUAL(changes, 0);
	expect_event("configuration-reloaded configuration: ");
	expect_event("nothing has changed");
	end();
}

static void test_reload_tells_what_counts_from_when(void)
{
	begin("");
	reload("log_level = \"error\"; busy_poll = 7; command_timeout = 180; io_depth = 32;\n"
	       "cache = \"none\";",
	       0,
	       " changed=log_level,busy_poll new_logins=command_timeout"
	       " restart=io_depth,cache" WARNING);
	CU_ASSERT_EQUAL(changes, 1);
	CU_ASSERT_EQUAL(daemon_->conf.log_level, LOG_LEVEL_ERROR);
	CU_ASSERT_EQUAL(daemon_->conf.busy_poll, 7);
	CU_ASSERT_EQUAL(daemon_->conf.timeouts.command_ms, 180000);
	CU_ASSERT_EQUAL(daemon_->conf.io_depth, 128);
	CU_ASSERT_EQUAL(daemon_->conf.cache, CACHE_THROUGH);
	expect_event("changed: log_level,busy_poll; for new logins: command_timeout; "
		     "after a restart: io_depth,cache");
	CU_ASSERT_EQUAL(begun, 1);
	CU_ASSERT_EQUAL(ended, 1);
	/* What waits for a restart still does. */
	reload("io_depth = 32;", 0,
	       " changed=log_level,busy_poll new_logins=command_timeout restart=io_depth" WARNING);
	CU_ASSERT_EQUAL(daemon_->conf.busy_poll, 100);
	reload("", 0, "");
	end();
}

static void test_reload_is_all_or_nothing(void)
{
	begin("command_timeout = 60;");
	reload("log_level = \"error\"; command_timeout = 5;\nio_depth = 1;\n", EINVAL,
	       ":2: io_depth=1: it takes 16..1024");
	CU_ASSERT_EQUAL(changes, 0);
	CU_ASSERT_EQUAL(daemon_->conf.log_level, LOG_LEVEL_INFO);
	CU_ASSERT_EQUAL(daemon_->conf.timeouts.command_ms, 60000);
	expect_event("configuration-refused configuration: the old one stays in force: ");
	expect_event(":2: io_depth=1: it takes 16..1024");
	reload("initiator_name = \"us\";", EINVAL,
	       ":1: initiator_name: 'us' is not an iSCSI name: it does not begin with iqn., eui. or "
	       "naa.");
	end();
}

static void test_reload_of_a_file_that_went(void)
{
	struct operation *op;

	begin("command_timeout = 60;");
	g_unlink(path);
	op = operation_new(loop, on_done, NULL);
	is_done = false;
	reload_run(daemon_, op);
	turn_until(&is_done);
	operation_unref(op);
	CU_ASSERT_EQUAL(error, ENOENT);
	CU_ASSERT_EQUAL(daemon_->conf.timeouts.command_ms, 60000);
	end();
}

static void test_reload_names_the_initiator(void)
{
	begin("initiator_alias = \"first\";");
	reload("initiator_name = \"iqn.2003-01.org.example:A\";", 0,
	       " new_logins=initiator_name,initiator_alias");
	CU_ASSERT_STRING_EQUAL(daemon_->initiator->name, "iqn.2003-01.org.example:a");
	CU_ASSERT_PTR_NULL(daemon_->initiator->alias);
	reload("", 0, " new_logins=initiator_name");
	CU_ASSERT_FALSE(daemon_->initiator->is_name_fixed);
	/* What was set through the tree stays. */
	CU_ASSERT_TRUE(initiator_set_name(daemon_->initiator, "iqn.2003-01.org.example:b", NULL));
	CU_ASSERT_TRUE(initiator_set_alias(daemon_->initiator, "mine", NULL));
	reload("initiator_name = \"iqn.2003-01.org.example:c\"; initiator_alias = \"c\";", 0,
	       " new_logins=initiator_name,initiator_alias");
	CU_ASSERT_STRING_EQUAL(daemon_->initiator->name, "iqn.2003-01.org.example:b");
	CU_ASSERT_STRING_EQUAL(daemon_->initiator->alias, "mine");
	end();
}

static bool was_told(void)
{
	g_autofree char *line = event();

	return strstr(line, "configuration-");
}

static void test_reload_that_nobody_waits_for(void)
{
	g_autoptr(GString) failures = g_string_new(NULL);

	begin("");
	put("\nio_depth = 1;");
	reload_run(daemon_, NULL);
	for (int i = 0; i < 10000 && !was_told(); i++)
		loop_run_once(loop, 10);
	expect_event("configuration-refused");
	object_failures_print(&daemon_->obj, failures);
	CU_ASSERT_PTR_NOT_NULL(strstr(failures->str, "SIGHUP"));
	CU_ASSERT_PTR_NOT_NULL(strstr(failures->str, ":2: io_depth=1"));
	end();
}

static void test_reload_can_be_left_alone(void)
{
	struct operation *op;

	begin("");
	put("command_timeout = 60;");
	op = operation_new(loop, on_done, NULL);
	is_done = false;
	reload_run(daemon_, op);
	operation_cancel(op, EINTR);
	turn_until(&is_done);
	operation_unref(op);
	CU_ASSERT_EQUAL(error, EINTR);
	for (int i = 0; i < 10000 && !was_told(); i++)
		loop_run_once(loop, 10);
	CU_ASSERT_EQUAL(daemon_->conf.timeouts.command_ms, 60000);
	end();
}

static void test_reload_at_the_end_is_refused(void)
{
	struct operation *op;

	begin("");
	put("command_timeout = 60;");
	op = operation_new(loop, on_done, NULL);
	is_done = false;
	reload_run(daemon_, op);
	daemon_->is_shutting_down = true;
	turn_until(&is_done);
	operation_unref(op);
	CU_ASSERT_EQUAL(error, EBUSY);
	op = operation_new(loop, on_done, NULL);
	is_done = false;
	reload_run(daemon_, op);
	turn_until(&is_done);
	operation_unref(op);
	CU_ASSERT_EQUAL(error, EBUSY);
	CU_ASSERT_EQUAL(daemon_->conf.timeouts.command_ms, 30000);
	end();
}

static void count_done(struct operation *op, void *arg)
{
	unsigned *counts = arg;

	counts[op->error ? 1 : 0]++;
}

static void test_reload_many_at_once_are_bounded(void)
{
	unsigned counts[2] = { 0, 0 };

	begin("");
	for (int i = 0; i < 50; i++) {
		struct operation *op = operation_new(loop, count_done, counts);

		reload_run(daemon_, op);
		operation_unref(op);
	}
	for (int i = 0; i < 10000 && counts[0] + counts[1] < 50; i++)
		loop_run_once(loop, 10);
	CU_ASSERT_EQUAL(counts[0], 16);
	CU_ASSERT_EQUAL(counts[1], 34);
	CU_ASSERT_EQUAL(begun, 1);
	CU_ASSERT_EQUAL(ended, 1);
	end();
}

static void test_reload_without_a_file_is_not_supported(void)
{
	struct operation *op;

	begin("");
	g_clear_pointer(&daemon_->reloader, reloader_free);
	op = operation_new(loop, on_done, NULL);
	is_done = false;
	reload_run(daemon_, op);
	turn_until(&is_done);
	operation_unref(op);
	CU_ASSERT_EQUAL(error, EOPNOTSUPP);
	end();
}

UNIT_MAIN("reload", UNIT(test_reload_of_the_same_changes_nothing),
	  UNIT(test_reload_tells_what_counts_from_when), UNIT(test_reload_is_all_or_nothing),
	  UNIT(test_reload_of_a_file_that_went), UNIT(test_reload_names_the_initiator),
	  UNIT(test_reload_that_nobody_waits_for), UNIT(test_reload_can_be_left_alone),
	  UNIT(test_reload_at_the_end_is_refused), UNIT(test_reload_many_at_once_are_bounded),
	  UNIT(test_reload_without_a_file_is_not_supported))
