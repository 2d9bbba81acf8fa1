/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the state directory: what is damaged is set aside whole, what must not be written over
 * stops the start, what was saved is there. By initiator.conf, which every daemon reads. */
#include <dirent.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "core/daemon.h"
#include "core/event.h"
#include "core/statefile.h"
#include "unit.h"

#define NAME "initiator.conf"

static struct loop *loop;
static struct conf conf;
static char *dir;

static char *path_of(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void put(const char *name, const char *text, size_t len)
{
	g_autofree char *path = path_of(name);

	CU_ASSERT_TRUE(g_file_set_contents(path, text, (gssize)len, NULL));
}

static char *get(const char *name)
{
	g_autofree char *path = path_of(name);
	char *text = NULL;

	g_file_get_contents(path, &text, NULL, NULL);
	return text;
}

static void begin(void)
{
	conf_default(&conf);
	log_set_level(LOG_LEVEL_ERROR - 1);
	dir = g_strdup("/tmp/iscsifs-statefile-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(g_mkdtemp(dir));
	loop = loop_new();
}

static void end(void)
{
	DIR *all = opendir(dir);
	struct dirent *e;

	while ((e = readdir(all))) {
		g_autofree char *path = path_of(e->d_name);

		if (e->d_name[0] != '.')
			g_remove(path);
	}
	closedir(all);
	CU_ASSERT_EQUAL(g_rmdir(dir), 0);
	g_free(dir);
	loop_free(loop);
	conf_done(&conf);
}

static void stop_loop(struct daemon *d, void *arg)
{
	(void)d;
	(void)arg;
	loop_stop(loop);
}

static void stop(struct daemon *d)
{
	daemon_shutdown(d, stop_loop, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	daemon_free(d);
	loop_free(loop);
	loop = loop_new();
}

static struct daemon *start(void)
{
	GError *err = NULL;
	struct daemon *d = daemon_new(loop, &conf, dir, &err);

	CU_ASSERT_PTR_NULL(err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	return d;
}

static void check_refused(const char *want)
{
	GError *err = NULL;

	CU_ASSERT_PTR_NULL(daemon_new(loop, &conf, dir, &err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, NAME));
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, want));
	g_error_free(err);
	loop_free(loop);
	loop = loop_new();
}

/* Damaged by @text: the daemon starts without it, and it is at @aside, as it was. */
static void check_set_aside(const char *text, size_t len, const char *aside)
{
	g_autofree char *path = path_of(NAME), *there = path_of(aside), *kept = NULL;
	g_autoptr(GString) events = g_string_new(NULL);
	size_t bytes = 0;
	struct daemon *d;

	put(NAME, text, len);
	d = start();
	event_print(d->events, events);
	CU_ASSERT_PTR_NOT_NULL(strstr(events->str, "state-damaged"));
	CU_ASSERT_FALSE(d->initiator->is_name_kept);
	CU_ASSERT_STRING_NOT_EQUAL(d->initiator->name, "iqn.2001-04.com.example:half");
	stop(d);
	CU_ASSERT_FALSE(g_file_test(path, G_FILE_TEST_EXISTS));
	CU_ASSERT_TRUE(g_file_get_contents(there, &kept, &bytes, NULL));
	CU_ASSERT_EQUAL(bytes, len);
	CU_ASSERT_EQUAL(memcmp(kept, text, MIN(bytes, len)), 0);
}

static void test_statefile_damaged_ones_are_set_aside_and_never_lost(void)
{
	static const char first[] = "name = \"iqn.2001-04.com.example:half\"; alias = ";
	static const char include[] =
		"version = 1;\n  @include \"/etc/passwd\"\nname = \"iqn.2001-04.com.example:half\";";
	static const char type[] = "name = 7;";
	static const char value[] = "version = 1; name = \"not a name\";";
	static const char version[] = "version = \"one\"; name = \"iqn.2001-04.com.example:half\";";
	static const char nul[] = "name = \"iqn.2001-04.com.example:half\";\0alias = \"x\";";

	begin();
	check_set_aside(first, strlen(first), NAME ".bad");
	check_set_aside(include, strlen(include), NAME ".bad.1");
	check_set_aside(type, strlen(type), NAME ".bad.2");
	check_set_aside(value, strlen(value), NAME ".bad.3");
	check_set_aside(version, strlen(version), NAME ".bad.4");
	check_set_aside(nul, sizeof(nul), NAME ".bad.5");
	check_set_aside("", 0, NAME ".bad.6");
	end();
}

/* Of two values the first is good: nothing of a damaged file counts. */
static void test_statefile_is_never_half_read(void)
{
	static const char text[] =
		"version = 1; name = \"iqn.2001-04.com.example:half\"; alias = [ 1, 2 ];";

	begin();
	check_set_aside(text, strlen(text), NAME ".bad");
	end();
}

static void test_statefile_of_a_later_version_stops_the_start(void)
{
	static const char text[] = "version = 2; name = \"iqn.2001-04.com.example:later\";";
	g_autofree char *kept = NULL;

	begin();
	put(NAME, text, strlen(text));
	check_refused("version 2");
	kept = get(NAME);
	CU_ASSERT_STRING_EQUAL(kept, text);
	end();
}

static void test_statefile_that_cannot_be_read_stops_the_start(void)
{
	g_autofree char *path = NULL;

	begin();
	path = path_of(NAME);
	CU_ASSERT_EQUAL(g_mkdir(path, 0700), 0);
	check_refused("");
	CU_ASSERT_TRUE(g_file_test(path, G_FILE_TEST_IS_DIR));
	end();
}

static void test_statefile_without_a_version_is_an_old_one(void)
{
	static const char text[] = "name = \"iqn.2001-04.com.example:old\";";
	g_autofree char *kept = NULL;
	struct daemon *d;

	begin();
	put(NAME, text, strlen(text));
	d = start();
	CU_ASSERT_STRING_EQUAL(d->initiator->name, "iqn.2001-04.com.example:old");
	initiator_set_alias(d->initiator, "new", NULL);
	stop(d);
	kept = get(NAME);
	CU_ASSERT_PTR_NOT_NULL(strstr(kept, "version = 1;"));
	CU_ASSERT_PTR_NOT_NULL(strstr(kept, "iqn.2001-04.com.example:old"));
	end();
}

/* ---- saving ---- */

struct outcome {
	unsigned calls;
	int code, errno_value;
};

static void on_saved(void *arg, const GError *err)
{
	struct outcome *o = arg;

	o->calls++;
	o->code = err ? err->code : 0;
	o->errno_value = err ? error_errno(err) : 0;
}

static void save(struct daemon *d, const char *name, struct outcome *o)
{
	config_t cfg;

	config_init(&cfg);
	config_setting_set_int(config_setting_add(config_root_setting(&cfg), "x", CONFIG_TYPE_INT),
			       1);
	statefile_save(d, name, &cfg, on_saved, o);
	CU_ASSERT_EQUAL(o->calls, 0); /* later */
	config_destroy(&cfg);
}

static void test_statefile_tells_when_it_is_saved(void)
{
	struct outcome good = { 0 }, bad = { 0 };
	g_autoptr(GString) events = g_string_new(NULL);
	g_autofree char *text = NULL;
	struct daemon *d;

	begin();
	d = start();
	save(d, "good.conf", &good);
	save(d, "no/such/directory.conf", &bad);
	daemon_shutdown(d, stop_loop, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_EQUAL(good.calls, 1);
	CU_ASSERT_EQUAL(good.code, 0);
	CU_ASSERT_EQUAL(bad.calls, 1);
	CU_ASSERT_EQUAL(bad.code, ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA);
	CU_ASSERT_EQUAL(bad.errno_value, ENOENT);
	event_print(d->events, events);
	CU_ASSERT_PTR_NOT_NULL(strstr(events->str, "state-not-saved"));
	daemon_free(d);
	text = get("good.conf");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "version = 1;"));
	end();
}

static void test_statefile_without_a_directory_saves_nothing(void)
{
	struct outcome o = { 0 };
	struct daemon *d;

	begin();
	d = daemon_new(loop, &conf, NULL, NULL);
	save(d, "x.conf", &o);
	stop(d);
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.code, 0);
	end();
}

UNIT_MAIN("statefile", UNIT(test_statefile_damaged_ones_are_set_aside_and_never_lost),
	  UNIT(test_statefile_is_never_half_read),
	  UNIT(test_statefile_of_a_later_version_stops_the_start),
	  UNIT(test_statefile_that_cannot_be_read_stops_the_start),
	  UNIT(test_statefile_without_a_version_is_an_old_one),
	  UNIT(test_statefile_tells_when_it_is_saved),
	  UNIT(test_statefile_without_a_directory_saves_nothing))
