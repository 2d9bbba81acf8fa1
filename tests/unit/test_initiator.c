/* SPDX-License-Identifier: BSD-2-Clause */
/* The initiator's names (A1, A2), that they are kept, and the lock of the state directory. */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "core/daemon.h"
#include "unit.h"

static struct loop *loop;
static struct conf conf;
static char *dir;

static void stop_loop(struct daemon *d, void *arg)
{
	(void)d;
	(void)arg;
	loop_stop(loop);
}

/* With an orderly end: what is being saved gets there. */
static void stop(struct daemon *d)
{
	daemon_shutdown(d, stop_loop, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	daemon_free(d);
	loop_free(loop);
	loop = NULL;
}

static struct daemon *try_start(const char *state_dir, GError **err)
{
	if (!loop)
		loop = loop_new();
	return daemon_new(loop, &conf, state_dir, err);
}

static struct daemon *start(const char *state_dir)
{
	GError *err = NULL;
	struct daemon *d = try_start(state_dir, &err);

	CU_ASSERT_PTR_NULL(err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	return d;
}

static void begin(void)
{
	conf_default(&conf);
	log_set_level(LOG_LEVEL_ERROR - 1);
	dir = g_strdup("/tmp/iscsifs-initiator-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(g_mkdtemp(dir));
}

static void end(void)
{
	static const char *const names[] = { "lock", "secret.key", "initiator.conf",
					     "initiator.conf.bad", "initiator.conf.bad.1",
					     "initiator.conf.bad.2" };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = g_build_filename(dir, names[i], NULL);

		g_unlink(path);
	}
	CU_ASSERT_EQUAL(g_rmdir(dir), 0);
	g_free(dir);
	conf_done(&conf);
}

static char *path_of(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void write_state(const char *text)
{
	g_autofree char *path = path_of("initiator.conf");

	CU_ASSERT_TRUE(g_file_set_contents(path, text, -1, NULL));
}

static bool is_there(const char *name)
{
	g_autofree char *path = path_of(name);

	return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* ---- the generated name ---- */

static void check_default(const char *host, const char *want)
{
	g_autofree char *name = initiator_default_name(host);
	g_autofree char *checked = text_iscsi_name(name, NULL);

	CU_ASSERT_STRING_EQUAL(name, want);
	CU_ASSERT_PTR_NOT_NULL(checked);
}

static void test_initiator_default_name_comes_from_the_host(void)
{
	check_default("box", "iqn.2026-11.io.iscsifs:box");
	check_default("box.example.com", "iqn.2026-11.io.iscsifs:box.example.com");
	/* The guide's example: Computer1_Dept1. */
	check_default("Computer1_Dept1", "iqn.2026-11.io.iscsifs:computer1-dept1");
	check_default("b\xc3\xb6x/..", "iqn.2026-11.io.iscsifs:b--x-..");
	check_default("", "iqn.2026-11.io.iscsifs:localhost");
}

static void test_initiator_default_name_is_cut_to_223_bytes(void)
{
	char host[400];
	g_autofree char *name = NULL;

	memset(host, 'h', sizeof(host) - 1);
	host[sizeof(host) - 1] = '\0';
	name = initiator_default_name(host);
	CU_ASSERT_EQUAL(strlen(name), 223);
}

/* ---- setting it ---- */

static void test_initiator_name_is_folded_and_checked(void)
{
	struct daemon *d;
	GError *err = NULL;

	begin();
	d = start(NULL);
	CU_ASSERT_FALSE(d->initiator->is_name_fixed);
	CU_ASSERT_TRUE(initiator_set_name(d->initiator, "iqn.2001-04.com.Example:Host", NULL));
	CU_ASSERT_STRING_EQUAL(d->initiator->name, "iqn.2001-04.com.example:host");
	CU_ASSERT_TRUE(d->initiator->is_name_fixed);
	CU_ASSERT_FALSE(initiator_set_name(d->initiator, "my host", &err));
	CU_ASSERT_EQUAL(error_errno(err), EINVAL);
	CU_ASSERT_EQUAL(err->code, ISDSC_INVALID_ISCSI_NAME);
	g_clear_error(&err);
	CU_ASSERT_STRING_EQUAL(d->initiator->name, "iqn.2001-04.com.example:host");
	stop(d);
	end();
}

static void test_initiator_star_goes_back_to_the_generated_name(void)
{
	struct daemon *d;
	g_autofree char *generated = NULL;

	begin();
	d = start(NULL);
	generated = g_strdup(d->initiator->name);
	initiator_set_name(d->initiator, "eui.02004567A425678D", NULL);
	CU_ASSERT_STRING_EQUAL(d->initiator->name, "eui.02004567a425678d");
	CU_ASSERT_TRUE(initiator_set_name(d->initiator, "*", NULL));
	CU_ASSERT_STRING_EQUAL(d->initiator->name, generated);
	CU_ASSERT_FALSE(d->initiator->is_name_fixed);
	stop(d);
	end();
}

static void test_initiator_alias_is_short_clean_utf8(void)
{
	struct daemon *d;
	char text[258];

	begin();
	d = start(NULL);
	memset(text, 'a', sizeof(text));
	text[256] = '\0';
	CU_ASSERT_FALSE(initiator_set_alias(d->initiator, text, NULL));
	text[255] = '\0';
	CU_ASSERT_TRUE(initiator_set_alias(d->initiator, text, NULL));
	CU_ASSERT_FALSE(initiator_set_alias(d->initiator, "two\nlines", NULL));
	CU_ASSERT_FALSE(initiator_set_alias(d->initiator, "\xff", NULL));
	CU_ASSERT_TRUE(initiator_set_alias(d->initiator, "R\xc3\xb6-host", NULL));
	CU_ASSERT_STRING_EQUAL(d->initiator->alias, "R\xc3\xb6-host");
	CU_ASSERT_TRUE(initiator_set_alias(d->initiator, "", NULL));
	CU_ASSERT_PTR_NULL(d->initiator->alias);
	stop(d);
	end();
}

/* ---- keeping it ---- */

static void test_initiator_names_are_kept(void)
{
	struct daemon *d;

	begin();
	d = start(dir);
	initiator_set_alias(d->initiator, "a \"quoted\" \\ alias", NULL);
	initiator_set_name(d->initiator, "iqn.2001-04.com.example:first", NULL);
	initiator_set_name(d->initiator, "iqn.2001-04.com.example:kept", NULL);
	stop(d);
	d = start(dir);
	CU_ASSERT_STRING_EQUAL(d->initiator->name, "iqn.2001-04.com.example:kept");
	CU_ASSERT_TRUE(d->initiator->is_name_fixed);
	CU_ASSERT_STRING_EQUAL(d->initiator->alias, "a \"quoted\" \\ alias");
	CU_ASSERT_FALSE(is_there("initiator.conf.tmp"));
	stop(d);
	end();
}

static void test_initiator_kept_name_wins_over_the_configuration(void)
{
	struct daemon *d;

	begin();
	conf.initiator_name = g_strdup("iqn.2001-04.com.example:conf");
	conf.initiator_alias = g_strdup("of the file");
	d = start(dir);
	CU_ASSERT_STRING_EQUAL(d->initiator->name, "iqn.2001-04.com.example:conf");
	CU_ASSERT_TRUE(d->initiator->is_name_fixed);
	initiator_set_name(d->initiator, "*", NULL);
	stop(d);
	d = start(dir);
	CU_ASSERT_FALSE(d->initiator->is_name_fixed);
	CU_ASSERT_STRING_EQUAL(d->initiator->alias, "of the file"); /* nobody changed that */
	stop(d);
	end();
}

static void check_damaged(const char *text)
{
	struct daemon *d;

	begin();
	write_state(text);
	d = start(dir);
	CU_ASSERT_TRUE(g_str_has_prefix(d->initiator->name, "iqn.2026-11.io.iscsifs:"));
	CU_ASSERT_TRUE(is_there("initiator.conf.bad"));
	CU_ASSERT_FALSE(is_there("initiator.conf"));
	stop(d);
	end();
}

static void test_initiator_damaged_file_is_set_aside(void)
{
	check_damaged("name = \"iqn.2001-04.com.exam");
	check_damaged("name = 7;\n");
	check_damaged("name = \"not a name\";\n");
	check_damaged("\x01\x02\x03");
}

static void test_initiator_bad_name_in_the_configuration_is_refused(void)
{
	GError *err = NULL;

	begin();
	conf.initiator_name = g_strdup("nonsense");
	CU_ASSERT_PTR_NULL(try_start(dir, &err));
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, "nonsense"));
	g_clear_error(&err);
	g_clear_pointer(&loop, loop_free);
	end();
}

/* ---- the state directory ---- */

static void test_daemon_second_one_is_refused_with_the_pid_of_the_first(void)
{
	g_autofree char *pid = g_strdup_printf("pid %d", (int)getpid());
	struct daemon *d;
	GError *err = NULL;

	begin();
	d = start(dir);
	CU_ASSERT_PTR_NULL(try_start(dir, &err));
	CU_ASSERT_FATAL(err != NULL);
	CU_ASSERT_EQUAL(error_errno(err), EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, pid));
	g_clear_error(&err);
	stop(d);
	d = start(dir); /* the first one is gone */
	stop(d);
	end();
}

static void test_daemon_makes_its_directory_private(void)
{
	g_autofree char *below = NULL, *lock = NULL, *key = NULL;
	struct daemon *d;
	struct stat st;

	begin();
	below = path_of("state");
	lock = g_build_filename(below, "lock", NULL);
	key = g_build_filename(below, "secret.key", NULL);
	d = start(below);
	CU_ASSERT_EQUAL(stat(below, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0700);
	stop(d);
	g_unlink(lock);
	g_unlink(key);
	g_rmdir(below);
	end();
}

static void test_daemon_refuses_a_directory_that_others_may_write_to(void)
{
	GError *err = NULL;

	begin();
	CU_ASSERT_EQUAL(chmod(dir, 0777), 0);
	CU_ASSERT_PTR_NULL(try_start(dir, &err));
	CU_ASSERT_PTR_NOT_NULL(err);
	g_clear_error(&err);
	g_clear_pointer(&loop, loop_free);
	end();
}

UNIT_MAIN("initiator", UNIT(test_initiator_default_name_comes_from_the_host),
	  UNIT(test_initiator_default_name_is_cut_to_223_bytes),
	  UNIT(test_initiator_name_is_folded_and_checked),
	  UNIT(test_initiator_star_goes_back_to_the_generated_name),
	  UNIT(test_initiator_alias_is_short_clean_utf8), UNIT(test_initiator_names_are_kept),
	  UNIT(test_initiator_kept_name_wins_over_the_configuration),
	  UNIT(test_initiator_damaged_file_is_set_aside),
	  UNIT(test_initiator_bad_name_in_the_configuration_is_refused),
	  UNIT(test_daemon_second_one_is_refused_with_the_pid_of_the_first),
	  UNIT(test_daemon_makes_its_directory_private),
	  UNIT(test_daemon_refuses_a_directory_that_others_may_write_to))
