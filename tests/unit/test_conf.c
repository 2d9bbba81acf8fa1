/* SPDX-License-Identifier: BSD-2-Clause */
/* The configuration file: every option, errors with file and line, and that the sample in
 * config/ and the options in man/ are what conf_print() and conf_print_page() say. With --write
 * it writes those two instead. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf_table.h"
#include "unit.h"

static struct conf conf;

static void read_text(const char *text)
{
	GError *err = NULL;

	conf_default(&conf);
	conf_read_text(&conf, "FILE", text, &err);
	if (err)
		printf("\n%s\n%s\n", text, err->message);
	CU_ASSERT_PTR_NULL_FATAL(err);
}

/* @text is refused by a message that begins with @start. */
static void refuses(const char *text, const char *start)
{
	g_autoptr(GError) err = NULL;

	conf_default(&conf);
	CU_ASSERT_FALSE(conf_read_text(&conf, "FILE", text, &err));
	conf_done(&conf);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(error_errno(err), EINVAL);
	CU_ASSERT_TRUE(g_str_has_prefix(err->message, start));
	if (!g_str_has_prefix(err->message, start))
		printf("\n%s: %s\n", text, err->message);
}

static void check_defaults(const struct conf *c)
{
	struct conf defaults;

	conf_default(&defaults);
	CU_ASSERT_PTR_NULL(c->initiator_name);
	CU_ASSERT_PTR_NULL(c->initiator_alias);
	CU_ASSERT_EQUAL(c->log_level, defaults.log_level);
	CU_ASSERT_EQUAL(memcmp(&c->timeouts, &defaults.timeouts, sizeof(c->timeouts)), 0);
	CU_ASSERT_EQUAL(c->wishes.header_digest, defaults.wishes.header_digest);
	CU_ASSERT_EQUAL(c->wishes.data_digest, defaults.wishes.data_digest);
	CU_ASSERT_EQUAL(c->wishes.initial_r2t, defaults.wishes.initial_r2t);
	CU_ASSERT_EQUAL(c->wishes.immediate_data, defaults.wishes.immediate_data);
	CU_ASSERT_EQUAL(c->wishes.first_burst_length, defaults.wishes.first_burst_length);
	CU_ASSERT_EQUAL(c->wishes.max_burst_length, defaults.wishes.max_burst_length);
	CU_ASSERT_EQUAL(c->wishes.max_recv_data_segment_length,
			defaults.wishes.max_recv_data_segment_length);
	CU_ASSERT_EQUAL(c->wishes.max_outstanding_r2t, defaults.wishes.max_outstanding_r2t);
	CU_ASSERT_EQUAL(c->wishes.time2wait, defaults.wishes.time2wait);
	CU_ASSERT_EQUAL(c->wishes.time2retain, defaults.wishes.time2retain);
	CU_ASSERT_EQUAL(c->shutdown_ms, defaults.shutdown_ms);
	CU_ASSERT_EQUAL(c->io_depth, defaults.io_depth);
	CU_ASSERT_EQUAL(c->lock_memory, defaults.lock_memory);
	conf_done(&defaults);
}

static void test_conf_empty_file_is_the_defaults(void)
{
	read_text("");
	check_defaults(&conf);
	conf_done(&conf);
	read_text("# nothing\n");
	conf_done(&conf);
}

static void test_conf_reads_every_option(void)
{
	read_text("initiator_name = \"IQN.2003-01.org.example:Us\";\n"
		  "initiator_alias = \"us\"; log_level = \"debug\";\n"
		  "shutdown_timeout = 1.5; max_sessions = 11; io_depth = 17; lock_memory = false;\n"
		  "connect_timeout = 1; login_timeout = 2; logout_timeout = 3;\n"
		  "text_timeout = 4; nop_interval = 5; nop_timeout = 6; command_timeout = 7;\n"
		  "header_digest = \"yes\"; data_digest = \"prefer\";\n"
		  "initial_r2t = true; immediate_data = \"no\";\n"
		  "first_burst_length = 513; max_burst_length = 0x400;\n"
		  "max_recv_data_segment_length = 16777215; max_outstanding_r2t = 9L;\n"
		  "time2wait = 0; time2retain = 3600;\n");
	CU_ASSERT_STRING_EQUAL(conf.initiator_name, "iqn.2003-01.org.example:us");
	CU_ASSERT_STRING_EQUAL(conf.initiator_alias, "us");
	CU_ASSERT_EQUAL(conf.log_level, LOG_LEVEL_DEBUG);
	CU_ASSERT_EQUAL(conf.shutdown_ms, 1500);
	CU_ASSERT_EQUAL(conf.max_sessions, 11);
	CU_ASSERT_EQUAL(conf.io_depth, 17);
	CU_ASSERT_FALSE(conf.lock_memory);
	CU_ASSERT_EQUAL(conf.timeouts.connect_ms, 1000);
	CU_ASSERT_EQUAL(conf.timeouts.login_ms, 2000);
	CU_ASSERT_EQUAL(conf.timeouts.logout_ms, 3000);
	CU_ASSERT_EQUAL(conf.timeouts.text_ms, 4000);
	CU_ASSERT_EQUAL(conf.timeouts.nop_interval_ms, 5000);
	CU_ASSERT_EQUAL(conf.timeouts.nop_timeout_ms, 6000);
	CU_ASSERT_EQUAL(conf.timeouts.command_ms, 7000);
	CU_ASSERT_EQUAL(conf.wishes.header_digest, DIGEST_YES);
	CU_ASSERT_EQUAL(conf.wishes.data_digest, DIGEST_PREFER);
	CU_ASSERT_TRUE(conf.wishes.initial_r2t);
	CU_ASSERT_FALSE(conf.wishes.immediate_data);
	CU_ASSERT_EQUAL(conf.wishes.first_burst_length, 513);
	CU_ASSERT_EQUAL(conf.wishes.max_burst_length, 1024);
	CU_ASSERT_EQUAL(conf.wishes.max_recv_data_segment_length, 16777215);
	CU_ASSERT_EQUAL(conf.wishes.max_outstanding_r2t, 9);
	CU_ASSERT_EQUAL(conf.wishes.time2wait, 0);
	CU_ASSERT_EQUAL(conf.wishes.time2retain, 3600);
	conf_done(&conf);
}

static void test_conf_errors_name_file_and_line(void)
{
	refuses("\nio_dept = 32;\n", "FILE:2: unknown option io_dept: is io_depth meant?");
	refuses("loginTimeout = 1;", "FILE:1: unknown option loginTimeout: is login_timeout");
	refuses("portal = \"a\";", "FILE:1: unknown option portal: it is a key of login");
	refuses("surprise = 1;", "FILE:1: unknown option surprise; iscsifs.conf(5) lists all");
	refuses("\n\nio_depth = 1;", "FILE:3: io_depth=1: it takes 16..1024");
	refuses("io_depth = 32;\nio_depth = 32;\n", 
		"FILE:2: duplicate setting io_depth: it is set in FILE:1, too");
	refuses("io_depth = 32;\nlogin_timeout = 5; io_depth = 32;\n",
		"FILE:2: duplicate setting io_depth: it is set in FILE:1, too");
	refuses("\nlogin_timeout = 5; io_depth = 32; io_depth = 32;\n",
		"FILE:2: duplicate setting io_depth: it is set in FILE:2, too");
	/* Which libconfig takes for 32, or for another number. */
	refuses("io_depth = 4294967328;", "FILE:1: io_depth=4294967328: it takes");
	refuses("login_timeout = 5; io_depth =\t99999999999 ;", "FILE:1: io_depth=99999999999: it takes");
	refuses("io_depth: -4294967264;", "FILE:1: io_depth=-4294967264: it takes");
	refuses("\nio_depth = ;\n", "FILE:2: syntax error");
	refuses("\nio_depth = \"32", "FILE:2: a text that does not end on its line");
	refuses("/* \n", "FILE:1: a comment that does not end");
	refuses("log_level = debug;", "FILE:1: syntax error; a setting is: name = value;");
	refuses("a = 1;", "FILE:1: unknown option a");
	refuses("login_timeout = ( 1, 2 );", "FILE:1: login_timeout: a single value");
	refuses("login_timeout = { a = 1; };", "FILE:1: login_timeout: a single value");
}

static void test_conf_values_are_checked_like_those_of_control_files(void)
{
	refuses("io_depth = -1;", "FILE:1: io_depth=-1: it takes");
	refuses("io_depth = 17.0;", "FILE:1: io_depth=17.000: it takes");
	refuses("io_depth = 4294967328L;", "FILE:1: io_depth=4294967328: it takes");
	refuses("io_depth = 99999999999999999999L;", "FILE:1: io_depth=");
	refuses("login_timeout = -0.5;", "FILE:1: login_timeout=-0.500: it takes");
	refuses("login_timeout = 1e300;", "FILE:1: login_timeout=1");
	refuses("login_timeout = \"soon\";", "FILE:1: login_timeout=soon: it takes");
	refuses("log_level = \"loud\";", "FILE:1: log_level=loud: it takes error|warning");
	refuses("lock_memory = 2;", "FILE:1: lock_memory=2: it takes yes|no");
	refuses("initiator_name = \"us\";", "FILE:1: ");
	refuses("initiator_alias = \"\xff\";", "FILE:1: initiator_alias: not UTF-8");
}

static void test_conf_first_burst_is_at_most_max_burst(void)
{
	refuses("max_burst_length = 1024;\nfirst_burst_length = 1025;",
		"FILE:2: first_burst_length 1025 is more than max_burst_length 1024");
	read_text("max_burst_length = 1024;");
	CU_ASSERT_EQUAL(conf.wishes.first_burst_length, 1024);
	conf_done(&conf);
}

static void test_conf_reads_a_file(void)
{
	g_autofree char *path = g_strdup("/tmp/iscsifs-XXXXXX"), *start = NULL;
	g_autoptr(GError) err = NULL;

	close(g_mkstemp(path));
	CU_ASSERT_FATAL(g_file_set_contents(path, "io_depth = 32;\n", -1, NULL));
	conf_default(&conf);
	CU_ASSERT_TRUE(conf_read(&conf, path, NULL));
	CU_ASSERT_EQUAL(conf.io_depth, 32);
	CU_ASSERT_FATAL(g_file_set_contents(path, "io_depth = 1;\n", -1, NULL));
	CU_ASSERT_FALSE(conf_read(&conf, path, &err));
	start = g_strdup_printf("%s:1: io_depth", path);
	CU_ASSERT_TRUE(g_str_has_prefix(err->message, start));
	CU_ASSERT_FATAL(g_file_set_contents(path, "\0io_depth = 1;\n", 15, NULL));
	CU_ASSERT_FALSE(conf_read(&conf, path, NULL));
	g_unlink(path);
	conf_done(&conf);
}

static void test_conf_who_is_a_name_or_a_number(void)
{
	read_text("uid = \"root\"; gid = \"root\"; umask = \"27\"; allow_other = true;\n"
		  "operators = 1000; disk_group = \"0x10\"; state_dir = \"/s\";\n"
		  "pid_file = \"/p\"; log_target = \"syslog\";");
	CU_ASSERT_STRING_EQUAL(conf.uid, "0");
	CU_ASSERT_STRING_EQUAL(conf.gid, "0");
	CU_ASSERT_STRING_EQUAL(conf.umask, "027");
	CU_ASSERT_STRING_EQUAL(conf.operators, "1000");
	CU_ASSERT_STRING_EQUAL(conf.disk_group, "16");
	CU_ASSERT_STRING_EQUAL(conf.state_dir, "/s");
	CU_ASSERT_STRING_EQUAL(conf.pid_file, "/p");
	CU_ASSERT_TRUE(conf.allow_other);
	CU_ASSERT_EQUAL(conf.log_target, LOG_TARGET_SYSLOG);
	conf_done(&conf);
	refuses("uid = \"no_such_user\";", "FILE:1: uid: there is no user no_such_user");
	refuses("uid = -1;", "FILE:1: uid: there is no user -1");
	refuses("gid = 4294967295L;", "FILE:1: gid: there is no group 4294967295");
	refuses("operators = \"\";", "FILE:1: operators: there is no group ");
	refuses("umask = 27;", "FILE:1: umask: a text in double quotes is wanted");
	refuses("umask = \"1777\";", "FILE:1: umask: an octal number");
	refuses("umask = \"\";", "FILE:1: umask: an octal number");
	refuses("umask = \"8\";", "FILE:1: umask: an octal number");
	refuses("state_dir = \"s\";", "FILE:1: state_dir: not an absolute path");
	refuses("initiator_alias = 5;", "FILE:1: initiator_alias: a text in double quotes");
	refuses("initiator_alias = \"a\\nb\";", "FILE:1: initiator_alias: an alias has no");
}

static void test_conf_copies_are_their_own(void)
{
	struct conf copy;

	read_text("uid = 7; initiator_alias = \"us\"; io_depth = 17;");
	conf_copy(&copy, &conf);
	conf_done(&conf);
	CU_ASSERT_STRING_EQUAL(copy.uid, "7");
	CU_ASSERT_STRING_EQUAL(copy.initiator_alias, "us");
	CU_ASSERT_PTR_NULL(copy.gid);
	CU_ASSERT_EQUAL(copy.io_depth, 17);
	conf_done(&copy);
}

/* --- @include --- */

static char *dir;

static void put(const char *name, const char *text)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);

	CU_ASSERT_TRUE_FATAL(g_file_set_contents(path, text, -1, NULL));
}

static void take_away(const char *name)
{
	g_autofree char *path = g_build_filename(dir, name, NULL);

	CU_ASSERT_EQUAL(g_remove(path), 0);
}

/* Reads DIR/main of @text. @wanted NULL: it is fine; else the message, in which % is DIR. */
static void include_says(const char *text, const char *wanted)
{
	g_autofree char *path = g_build_filename(dir, "main", NULL), *start = NULL;
	g_auto(GStrv) parts = g_strsplit(wanted ? wanted : "", "%", -1);
	g_autoptr(GError) err = NULL;
	gboolean is_ok;

	put("main", text);
	conf_default(&conf);
	is_ok = conf_read(&conf, path, &err);
	CU_ASSERT_EQUAL(is_ok, !wanted);
	if (wanted) {
		start = g_strjoinv(dir, parts);
		CU_ASSERT_PTR_NOT_NULL_FATAL(err);
		CU_ASSERT_TRUE(g_str_has_prefix(err->message, start));
		if (!g_str_has_prefix(err->message, start))
			printf("\n%s\nis not: %s\n", err->message, start);
	} else if (err) {
		printf("\n%s\n", err->message);
	}
	conf_done(&conf);
	take_away("main");
}

static void make_dir(void)
{
	dir = g_dir_make_tmp("iscsifs-XXXXXX", NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
}

static void remove_dir(void)
{
	CU_ASSERT_EQUAL(g_rmdir(dir), 0);
	g_clear_pointer(&dir, g_free);
}

static void test_conf_includes_files(void)
{
	g_autofree char *path = NULL;

	make_dir();
	path = g_build_filename(dir, "main", NULL);
	put("one", "io_depth = 32;");
	put("two", "# the second\n@include \"one\"\nbusy_poll = 7;\n");
	put("main", "time2wait = 1;\n  @include \"two\" # why\ntime2retain = 2;\n");
	conf_default(&conf);
	CU_ASSERT_TRUE(conf_read(&conf, path, NULL));
	CU_ASSERT_EQUAL(conf.io_depth, 32);
	CU_ASSERT_EQUAL(conf.busy_poll, 7);
	CU_ASSERT_EQUAL(conf.wishes.time2wait, 1);
	CU_ASSERT_EQUAL(conf.wishes.time2retain, 2);
	conf_done(&conf);
	include_says("/*\n@include \"nothing\"\n*/ # /*\n// /*\n", NULL);
	include_says("initiator_alias = \"/* # \\\" //\";\n@include \"one\"\n", NULL);
	take_away("one");
	take_away("two");
	remove_dir();
}

static void test_conf_errors_of_included_files_name_them(void)
{
	make_dir();
	put("bad", "\nio_depth = 1;\n");
	put("odd", "\n\n= 1;\n");
	put("unknown", "io_dept = 16;");
	put("good", "io_depth = 16;\n\n");
	put("self", "\n@include \"self\"\n");
	put("open", "/*\n");
	put("text", "busy_poll = \"1\n\";");
	put("deep", "@include \"none\"\n");
	include_says("\n@include \"bad\"\n", "%/bad:2: io_depth=1: it takes");
	include_says("@include \"odd\"\n", "%/odd:3: syntax error");
	include_says("@include \"good\"\n@include \"unknown\"\n", "%/unknown:1: unknown");
	include_says("@include \"good\"\nbusy_poll = 5000;\n", "%/main:2: busy_poll=5000");
	include_says("@include \"good\"\n\nio_depth = 17;\n",
		     "%/main:3: duplicate setting io_depth: it is set in %/good:1, too");
	include_says("@include \"self\"\n", "%/self:2: @include: more than 10 files deep");
	include_says("@include \"open\"\n", "%/open:1: a comment that does not end");
	include_says("@include \"text\"\n", "%/text:1: a text that does not end");
	include_says("\n@include \"none\"\n",
		     "%/main:2: @include: %/none: No such file or directory");
	include_says("\n@include \"deep\"\n", "%/deep:1: @include: %/none: No such file");
	include_says("@include \".\"\n", "%/main:1: @include: %/.: a directory");
	include_says("@include \"/dev/zero\"\n", "%/main:1: @include: /dev/zero: not a regular");
	include_says("@include none\n", "%/main:1: @include wants the name");
	include_says("@include \"none\n", "%/main:1: @include wants the name");
	include_says("@include \"\"\n", "%/main:1: @include wants the name");
	for (const char *const *f = (const char *const[]){ "bad", "odd", "unknown", "good",
							   "self", "open", "text", "deep", NULL };
	     *f; f++)
		take_away(*f);
	remove_dir();
}

static void test_conf_size_is_bounded_with_what_is_included(void)
{
	GString *half = g_string_new("#");

	make_dir();
	for (int i = 0; i < 600; i++)
		g_string_append_printf(half, "%01023d\n#", 0);
	put("half", half->str);
	include_says("@include \"half\"\n", NULL);
	include_says("@include \"half\"\n@include \"half\"\n", "%/half:");
	g_string_append(half, half->str);
	put("half", half->str);
	include_says("@include \"half\"\n", "%/main:1: @include: %/half: longer than 1 MiB");
	take_away("half");
	g_string_free(half, TRUE);
	remove_dir();
}

static void test_conf_named_file_must_be_there(void)
{
	g_autoptr(GError) missing = NULL;

	conf_default(&conf);
	CU_ASSERT_FALSE(conf_read(&conf, "/nonexistent/iscsifs.conf", &missing));
	CU_ASSERT_EQUAL(error_errno(missing), ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(missing->message, "/nonexistent/iscsifs.conf"));
	CU_ASSERT_FALSE(conf_read(&conf, "/tmp", NULL));
	CU_ASSERT_TRUE(conf_read(&conf, "/dev/null", NULL));
	conf_done(&conf);
}

static void test_conf_sets_options_by_name(void)
{
	conf_default(&conf);
	CU_ASSERT_TRUE(conf_set(&conf, "time2wait", "33"));
	CU_ASSERT_EQUAL(conf.wishes.time2wait, 33);
	CU_ASSERT_FALSE(conf_set(&conf, "portal", "10.0.0.1"));
	conf_done(&conf);
}

/* All "#name = value;" lines of @sample without their '#'; users and groups of its examples need
 * not be here. */
static char *uncomment(const char *sample)
{
	g_auto(GStrv) lines = g_strsplit(sample, "\n", -1);
	GString *out = g_string_new(NULL);

	for (char **line = lines; *line; line++)
		if ((*line)[0] == '#' && g_ascii_islower((*line)[1]))
			g_string_append_printf(out, "%s\n", *line + 1);
	g_string_replace(out, "\"storage\"", "\"1\"", 0);
	g_string_replace(out, "\"disk\"", "\"1\"", 0);
	return g_string_free(out, FALSE);
}

static void test_conf_sample_says_the_defaults(void)
{
	g_autoptr(GString) sample = g_string_new(NULL);
	g_autofree char *options = NULL;

	conf_print(sample);
	read_text(sample->str);
	check_defaults(&conf);
	conf_done(&conf);
	options = uncomment(sample->str);
	read_text(options);
	CU_ASSERT_STRING_EQUAL(conf.initiator_name, "iqn.2026-11.io.iscsifs:host1");
	g_clear_pointer(&conf.initiator_name, g_free); /* these have no default */
	g_clear_pointer(&conf.initiator_alias, g_free);
	check_defaults(&conf);
	conf_done(&conf);
}

/* --- the files made of the table --- */

#define PAGE_BEGIN ".\\\" What follows is printed from the table in src/core/conf.c: see there.\n"
#define PAGE_END ".\\\" End of what is printed.\n"

static char *sample(void)
{
	GString *s = g_string_new(NULL);

	conf_print(s);
	return g_string_free(s, FALSE);
}

/* @page with the options as they should be; NULL: it has no place for them. */
static char *page_with_options(const char *page)
{
	const char *begin = strstr(page, PAGE_BEGIN), *end = begin ? strstr(begin, PAGE_END) : NULL;
	GString *s;

	if (!end)
		return NULL;
	begin += strlen(PAGE_BEGIN);
	s = g_string_new_len(page, begin - page);
	conf_print_page(s);
	g_string_append(s, end);
	return g_string_free(s, FALSE);
}

/* automake gives srcdir to tests; run by hand, from the top directory. */
static char *source_path(const char *part, const char *name)
{
	const char *top = g_getenv("srcdir");

	return g_build_filename(top ? top : ".", part, name, NULL);
}

static void test_conf_sample_file_is_up_to_date(void)
{
	g_autofree char *path = source_path("config", "iscsifs.conf"), *file = NULL;
	g_autofree char *wanted = sample();

	CU_ASSERT_FATAL(g_file_get_contents(path, &file, NULL, NULL));
	CU_ASSERT_STRING_EQUAL(file, wanted);
	if (strcmp(file, wanted))
		printf("\n%s is not what the table says: test_conf --write", path);
}

static void test_conf_page_is_up_to_date(void)
{
	g_autofree char *path = source_path("man", "iscsifs.conf.5"), *file = NULL, *wanted = NULL;

	CU_ASSERT_FATAL(g_file_get_contents(path, &file, NULL, NULL));
	wanted = page_with_options(file);
	CU_ASSERT_PTR_NOT_NULL_FATAL(wanted);
	CU_ASSERT_STRING_EQUAL(file, wanted);
	if (strcmp(file, wanted))
		printf("\n%s is not what the table says: test_conf --write", path);
}

static void test_conf_every_option_has_a_reason(void)
{
	for (const struct conf_option *o = conf_options; o->key.name; o++) {
		const struct command_key *k = conf_option_key(o);
		bool is_told = k && k->help && o->why && g_str_has_suffix(o->why, ".");

		CU_ASSERT_TRUE(is_told);
		if (!is_told)
			printf("\n%s: no help, or no reason, or it is no sentence", o->key.name);
		CU_ASSERT_PTR_EQUAL(conf_option_find(o->key.name), o);
	}
}

static int write_files(void)
{
	g_autofree char *path = source_path("config", "iscsifs.conf"), *text = sample();
	g_autofree char *page = source_path("man", "iscsifs.conf.5"), *old = NULL, *new = NULL;

	if (!g_file_set_contents(path, text, -1, NULL) ||
	    !g_file_get_contents(page, &old, NULL, NULL))
		return 1;
	new = page_with_options(old);
	return new && g_file_set_contents(page, new, -1, NULL) ? 0 : 1;
}

static const struct unit_test all_tests[] = {
	UNIT(test_conf_empty_file_is_the_defaults),
	UNIT(test_conf_reads_every_option),
	UNIT(test_conf_errors_name_file_and_line),
	UNIT(test_conf_values_are_checked_like_those_of_control_files),
	UNIT(test_conf_first_burst_is_at_most_max_burst),
	UNIT(test_conf_reads_a_file),
	UNIT(test_conf_who_is_a_name_or_a_number),
	UNIT(test_conf_copies_are_their_own),
	UNIT(test_conf_includes_files),
	UNIT(test_conf_errors_of_included_files_name_them),
	UNIT(test_conf_size_is_bounded_with_what_is_included),
	UNIT(test_conf_named_file_must_be_there),
	UNIT(test_conf_sets_options_by_name),
	UNIT(test_conf_sample_says_the_defaults),
	UNIT(test_conf_sample_file_is_up_to_date),
	UNIT(test_conf_page_is_up_to_date),
	UNIT(test_conf_every_option_has_a_reason),
};

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--write"))
		return write_files();
	return unit_run("conf", all_tests, G_N_ELEMENTS(all_tests));
}
