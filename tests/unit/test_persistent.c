/* SPDX-License-Identifier: BSD-2-Clause */
/* Saved logins and bound volumes in the state directory: what is written is read again, secrets are
 * not to be seen, and no damage of the files does more than to set them aside. Logging in and
 * waiting take a target: tests/fuse/fuse_persistent.py, fuse_volumes.py. */
#include "core/persistent.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/logins.h"
#include "core/statefile.h"
#include "core/volumes.h"
#include "tests/unit/unit.h"

#define SECRET "verysecretsecret"
#define DAMAGES 400 /* of each file */

/* libconfig forgets the word that it was reading when a file ends in the middle of one. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig_yylex\nleak:strbuf_append";
}

static struct loop *loop;
static struct conf conf;
static char *dir;
static struct daemon *d;

static void set_up(void)
{
	conf_default(&conf);
	log_init(LOG_LEVEL_ERROR - 1, false);
	dir = g_dir_make_tmp("iscsifs-persistent.XXXXXX", NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
}

static void tear_down(void)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", dir);

	g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL);
	g_free(dir);
	conf_done(&conf);
}

/* False: it does not start. */
static bool start(void)
{
	g_autoptr(GError) err = NULL;

	loop = loop_new();
	d = daemon_new(loop, &conf, dir, &err);
	if (!d)
		loop_free(loop);
	return d;
}

static void stop_loop(struct daemon *unused, void *arg)
{
	(void)unused;
	(void)arg;
	loop_stop(loop);
}

static void stop(void)
{
	daemon_shutdown(d, stop_loop, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	daemon_free(d);
	loop_free(loop);
}

static void on_done(struct operation *op, void *arg)
{
	char **ret = arg;

	*ret = g_strdup(op->error ? op->error->message : "ok");
}

/* A line of persistent/ctl, carried out: "ok", or why not. g_free(). */
static char *say(const char *line)
{
	GError *err = NULL;
	struct command *cmd = command_parse(line, persistent_verbs, &err);
	struct operation *op;
	char *told = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(cmd);
	op = operation_new(loop, on_done, &told);
	cmd->verb->run(&d->persistent->obj, cmd, op);
	command_free(cmd);
	for (unsigned i = 0; i < 1000 && !told; i++)
		loop_run_once(loop, 100);
	operation_unref(op);
	return told ? told : g_strdup("no answer");
}

static void check(const char *line, const char *want)
{
	g_autofree char *told = say(line);

	CU_ASSERT_PTR_NOT_NULL(strstr(told, want));
	if (!strstr(told, want))
		printf("\n%s: %s, not %s\n", line, told, want);
}

/* Names of all entries, a blank after each. */
static char *list(void)
{
	GString *out = g_string_new(NULL);

	for (GList *l = logins_all(d->logins); l; l = l->next)
		g_string_append_printf(out, "%s ", ((struct saved_login *)l->data)->name);
	for (GList *l = volumes_all(d->volumes); l; l = l->next)
		g_string_append_printf(out, "%s ", ((struct volume *)l->data)->name);
	return g_string_free(out, FALSE);
}

static void check_list(const char *want)
{
	g_autofree char *got = list();

	CU_ASSERT_STRING_EQUAL(got, want);
}

static char *path_of(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static char *contents(const char *name)
{
	g_autofree char *path = path_of(name);
	char *text = NULL;

	g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

static void put(const char *name, const char *text, size_t bytes)
{
	g_autofree char *path = path_of(name);

	CU_ASSERT_TRUE(g_file_set_contents(path, text, (gssize)bytes, NULL));
}

static void test_logins_are_read_as_they_were_written(void)
{
	g_autofree char *text = NULL;
	const struct saved_login *x;

	set_up();
	CU_ASSERT_TRUE_FATAL(start());
	check("add-login iqn.2026-01.a:1 portal=10.0.0.1 secret=" SECRET " user=tom erl=2", "ok");
	check("add-login iqn.2026-01.a:1 portal=[FE80::1]:9 multipath=yes persist=yes", "ok");
	check("add-login iqn.2026-01.a:1 portal=10.0.0.1 source=10.0.0.9 multipath=yes", "ok");
	check("add-login iqn.2026-01.a:2", "not known");
	check("add-login iqn.2026-01.a:2 portal=10.0.0.1 auth=mutual secret=" SECRET, "secret_in=");
	check("add-login iqn.2026-01.a:2 portal=10.0.0.1:99999", "ADDR[:PORT]");
	check("add-login x portal=10.0.0.1", "iqn.");
	stop();
	text = contents("logins.conf");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_PTR_NULL(strstr(text, SECRET));
	CU_ASSERT_TRUE_FATAL(start());
	check_list("iqn.2026-01.a:1,10.0.0.1:3260 iqn.2026-01.a:1,10.0.0.1:3260,10.0.0.9 "
		   "iqn.2026-01.a:1,[fe80::1]:9 ");
	x = logins_all(d->logins)->data;
	CU_ASSERT_STRING_EQUAL(login_option(&x->options, "secret"), SECRET);
	CU_ASSERT_STRING_EQUAL(login_option(&x->options, "erl"), "2");
	CU_ASSERT_PTR_NULL(login_option(&x->options, "persist"));
	CU_ASSERT_STRING_EQUAL(x->portals->pdata[0], "10.0.0.1:3260");
	CU_ASSERT_STRING_EQUAL(saved_login_state_name(x), "saved");
	check("remove-login iqn.2026-01.a:1 portal=10.0.0.1 source=10.0.0.9", "ok");
	check("remove-login iqn.2026-01.a:1 portal=10.0.0.2", "no such login");
	check("remove-login iqn.2026-01.a:1 portal=10.0.0.1", "ok");
	check_list("iqn.2026-01.a:1,[fe80::1]:9 ");
	stop();
	CU_ASSERT_TRUE_FATAL(start());
	check_list("iqn.2026-01.a:1,[fe80::1]:9 ");
	check("remove-login iqn.2026-01.a:1", "ok");
	check_list("");
	stop();
	tear_down();
}

/* The daemon ends before the answer: no crash, and the file is whole. */
static void test_logins_that_are_being_saved_at_the_end(void)
{
	set_up();
	for (unsigned i = 0; i < 20; i++) {
		g_autofree char *line =
			g_strdup_printf("add-login iqn.2026-01.a:%u portal=10.0.0.1", i);
		struct command *cmd = command_parse(line, persistent_verbs, NULL);
		g_autofree char *told = NULL;
		struct operation *op;

		CU_ASSERT_TRUE_FATAL(start());
		CU_ASSERT_EQUAL(g_list_length(logins_all(d->logins)), i);
		op = operation_new(loop, on_done, &told);
		cmd->verb->run(&d->persistent->obj, cmd, op);
		command_free(cmd);
		operation_unref(op);
		stop();
		CU_ASSERT_STRING_EQUAL(told ? told : "no answer", "ok");
	}
	tear_down();
}

/* One byte or a piece of it is another, is gone, or is there twice. */
static GString *damage(const char *text, GRand *r)
{
	GString *bad = g_string_new(text);

	for (int i = g_rand_int_range(r, 1, 4); i && bad->len; i--) {
		gsize at = (gsize)g_rand_int_range(r, 0, (gint)bad->len);
		gsize most = MIN(bad->len - at, 40);
		gsize bytes = (gsize)g_rand_int_range(r, 1, (gint)most + 1);
		g_autofree char *piece = g_strndup(bad->str + at, bytes);

		switch (g_rand_int_range(r, 0, 4)) {
		case 0:
			bad->str[at] = (char)g_rand_int_range(r, 1, 256);
			break;
		case 1:
			g_string_erase(bad, (gssize)at, (gssize)bytes);
			break;
		case 2:
			g_string_insert(bad, g_rand_int_range(r, 0, (gint)bad->len), piece);
			break;
		default:
			g_string_truncate(bad, at);
		}
	}
	return bad;
}

/* There is an end to how many are set aside. */
static void forget_bad(const char *name)
{
	g_autofree char *bad = g_strconcat(name, ".bad", NULL);
	g_autofree char *path = path_of(bad);

	g_unlink(path);
}

static void play(const char *name, const char *text)
{
	g_autoptr(GRand) r = g_rand_new_with_seed(7);
	unsigned started = 0, empty = 0;

	for (unsigned i = 0; i < DAMAGES; i++) {
		GString *bad = damage(text, r);

		put(name, bad->str, bad->len);
		g_string_free(bad, TRUE);
		if (!start()) /* it says that it is of a later version */
			continue;
		started++;
		empty += !logins_all(d->logins) && !volumes_all(d->volumes);
		stop();
		forget_bad(name);
	}
	CU_ASSERT(started > DAMAGES / 2);
	CU_ASSERT(empty > DAMAGES / 10);
}

static void test_damaged_logins_do_no_harm(void)
{
	g_autofree char *text = NULL;

	set_up();
	CU_ASSERT_TRUE_FATAL(start());
	check("add-login iqn.2026-01.a:1 portal=10.0.0.1 secret=" SECRET " user=tom", "ok");
	check("add-login iqn.2026-01.a:2 portal=10.0.0.2 multipath=yes", "ok");
	stop();
	text = contents("logins.conf");
	play("logins.conf", text);
	tear_down();
}

static void test_damaged_volumes_do_no_harm(void)
{
	static const char text[] =
		"version = 1;\nvolumes = ( { kind = \"mount\"; path = \"/mnt/a\"; luns = ( "
		"{ target = \"iqn.2026-01.a:1\"; lun = 3L; wwid = \"naa.1\"; block = true; } ); }, "
		"{ kind = \"lun\"; path = \"targets/iqn.2026-01.a:1/lun0\"; luns = ( { target = "
		"\"iqn.2026-01.a:1\"; lun = 0L; wwid = \"\"; block = false; } ); } );\n";

	set_up();
	put("volumes.conf", text, strlen(text));
	CU_ASSERT_TRUE_FATAL(start());
	check_list("iqn.2026-01.a:1-lun0 mnt-a ");
	CU_ASSERT_FALSE(volume_is_ready(volumes_all(d->volumes)->data));
	check("remove-volume /mnt/a/", "ok");
	check("remove-volume mnt-a", "no such volume");
	stop();
	play("volumes.conf", text);
	tear_down();
}

static void count(void *arg)
{
	++*(unsigned *)arg;
}

static void test_volumes_without_any_are_ready_later_and_once(void)
{
	unsigned ready = 0;

	set_up();
	CU_ASSERT_TRUE_FATAL(start());
	persistent_start(d->persistent, NULL, count, &ready);
	CU_ASSERT_EQUAL(ready, 0);
	for (unsigned i = 0; i < 20; i++)
		loop_run_once(loop, 1);
	CU_ASSERT_EQUAL(ready, 1);
	CU_ASSERT_TRUE(d->persistent->is_ready);
	stop();
	CU_ASSERT_EQUAL(ready, 1);
	tear_down();
}

static void test_volumes_are_not_waited_for_at_the_end(void)
{
	static const char text[] =
		"volumes = ( { kind = \"lun\"; path = \"x\"; luns = ( { target = "
		"\"iqn.2026-01.a:1\"; lun = 0L; wwid = \"\"; block = false; } ); } );";
	unsigned ready = 0;

	set_up();
	put("volumes.conf", text, strlen(text));
	CU_ASSERT_TRUE_FATAL(start());
	check_list("x ");
	persistent_start(d->persistent, NULL, count, &ready);
	for (unsigned i = 0; i < 20; i++)
		loop_run_once(loop, 1);
	stop();
	CU_ASSERT_EQUAL(ready, 0);
	tear_down();
}

UNIT_MAIN("persistent", UNIT(test_logins_are_read_as_they_were_written),
	  UNIT(test_logins_that_are_being_saved_at_the_end),
	  UNIT(test_damaged_logins_do_no_harm), UNIT(test_damaged_volumes_do_no_harm),
	  UNIT(test_volumes_without_any_are_ready_later_and_once),
	  UNIT(test_volumes_are_not_waited_for_at_the_end))
