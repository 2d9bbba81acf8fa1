/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: letters, mount options as people and mount(8) give them, mistakes. */
#include "fuse/cmdline.h"

#include <string.h>
#include <unistd.h>

#include "unit.h"

/* Parses "iscsifs @words"; getopt() starts afresh. */
static gboolean parse(struct cmdline *c, const char *words, GError **err)
{
	g_autofree char *line = g_strconcat("iscsifs ", words, NULL);
	g_auto(GStrv) argv = g_strsplit(line, " ", -1);

	optind = 0;
	return cmdline_parse(c, (int)g_strv_length(argv), argv, err);
}

/* What @c does not tell comes from a file of @text. */
static gboolean try_fill(struct cmdline *c, const char *text, GError **err)
{
	struct conf conf;
	gboolean is_ok;

	conf_default(&conf);
	CU_ASSERT_TRUE_FATAL(conf_read_text(&conf, "FILE", text, NULL));
	is_ok = cmdline_fill(c, &conf, err);
	conf_done(&conf);
	return is_ok;
}

static void fill(struct cmdline *c, const char *text)
{
	CU_ASSERT_TRUE_FATAL(try_fill(c, text, NULL));
}

static void test_cmdline_plain(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "/iscsi", NULL));
	CU_ASSERT_STRING_EQUAL(c.mountpoint, "/iscsi");
	CU_ASSERT_FALSE(c.is_foreground);
	CU_ASSERT_FALSE(c.is_debug);
	fill(&c, "");
	CU_ASSERT_EQUAL(c.permissions.uid, geteuid());
	CU_ASSERT_EQUAL(c.permissions.gid, getegid());
	CU_ASSERT_EQUAL(c.permissions.umask, 0);
	CU_ASSERT_EQUAL(c.permissions.operators, PERMISSIONS_NOBODY);
	CU_ASSERT_EQUAL(c.permissions.disk_group, PERMISSIONS_NOBODY);
	CU_ASSERT_FALSE(c.permissions.closes_disks);
	CU_ASSERT_TRUE(c.wants_syslog);
	CU_ASSERT_PTR_NULL(c.conf_file);
	CU_ASSERT_PTR_NULL(c.pid_file);
	CU_ASSERT_TRUE(g_path_is_absolute(c.state_dir));
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "");
	cmdline_done(&c);
}

static void test_cmdline_letters(void)
{
	g_autofree char *cwd = g_get_current_dir();
	g_autofree char *conf = g_build_filename(cwd, "x.conf", NULL);
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "-d -c x.conf -s /s/ -p /run/../p /iscsi", NULL));
	CU_ASSERT_TRUE(c.is_foreground);
	CU_ASSERT_TRUE(c.is_debug);
	CU_ASSERT_STRING_EQUAL(c.conf_file, conf); /* the daemon goes to / */
	CU_ASSERT_STRING_EQUAL(c.state_dir, "/s");
	CU_ASSERT_STRING_EQUAL(c.pid_file, "/p");
	cmdline_done(&c);
}

static void test_cmdline_mount_options(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(
		parse(&c, "-o allow_other,uid=7,ro -o gid=8,umask=027,nodev /iscsi", NULL));
	CU_ASSERT_EQUAL(c.permissions.uid, 7);
	CU_ASSERT_EQUAL(c.permissions.gid, 8);
	CU_ASSERT_EQUAL(c.permissions.umask, 027);
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "allow_other,ro,nodev");
	CU_ASSERT_FALSE(c.has_cache);
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "-o cache=back /iscsi", NULL));
	CU_ASSERT_TRUE(c.has_cache);
	CU_ASSERT_EQUAL(c.cache, CACHE_BACK);
	cmdline_done(&c);
}

static const char filled[] = "uid = 1; gid = \"2\"; umask = \"022\"; allow_other = true;\n"
			     "operators = 3; disk_group = 4; state_dir = \"/S/\";\n"
			     "pid_file = \"/P\";\n";

static void test_cmdline_is_filled_from_the_configuration(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "-o ro /iscsi", NULL));
	fill(&c, filled);
	CU_ASSERT_EQUAL(c.permissions.uid, 1);
	CU_ASSERT_EQUAL(c.permissions.gid, 2);
	CU_ASSERT_EQUAL(c.permissions.umask, 022);
	CU_ASSERT_EQUAL(c.permissions.operators, 3);
	CU_ASSERT_EQUAL(c.permissions.disk_group, 4);
	CU_ASSERT_FALSE(c.permissions.closes_disks);
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "ro,allow_other");
	CU_ASSERT_STRING_EQUAL(c.state_dir, "/S");
	CU_ASSERT_STRING_EQUAL(c.pid_file, "/P");
	cmdline_done(&c);
}

static void test_cmdline_goes_before_the_configuration(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "-s /s -p /p -o uid=root,gid=0,umask=0,allow_other /iscsi",
			     NULL));
	fill(&c, filled);
	CU_ASSERT_EQUAL(c.permissions.uid, 0);
	CU_ASSERT_EQUAL(c.permissions.gid, 0);
	CU_ASSERT_EQUAL(c.permissions.umask, 0);
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "allow_other");
	CU_ASSERT_STRING_EQUAL(c.state_dir, "/s");
	CU_ASSERT_STRING_EQUAL(c.pid_file, "/p");
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "-o allow_root /iscsi", NULL));
	fill(&c, "allow_other = true;");
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "allow_root");
	CU_ASSERT_FALSE(c.permissions.closes_disks);
	cmdline_done(&c);
}

static void test_cmdline_others_without_umask_close_the_disks(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "-o allow_other /iscsi", NULL));
	fill(&c, "");
	CU_ASSERT_TRUE(c.permissions.closes_disks);
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "-o allow_other,umask=000 /iscsi", NULL));
	fill(&c, "");
	CU_ASSERT_FALSE(c.permissions.closes_disks);
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "/iscsi", NULL));
	fill(&c, "allow_other = true;");
	CU_ASSERT_TRUE(c.permissions.closes_disks);
	cmdline_done(&c);
}

static void test_cmdline_log_target(void)
{
	g_autoptr(GError) err = NULL;
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "-f /iscsi", NULL));
	fill(&c, "");
	CU_ASSERT_FALSE(c.wants_syslog);
	fill(&c, "log_target = \"syslog\";");
	CU_ASSERT_TRUE(c.wants_syslog);
	fill(&c, "log_target = \"stderr\";");
	CU_ASSERT_FALSE(c.wants_syslog);
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "/iscsi", NULL));
	CU_ASSERT_FALSE(try_fill(&c, "log_target = \"stderr\";", &err));
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, "needs -f"));
	cmdline_done(&c);
}

static void test_cmdline_as_mount_gives_it(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c,
			     "none /iscsi -o rw,_netdev,nofail,noauto,x-systemd.automount,"
			     "config=/c,state_dir=/s,pidfile=/p,dev,suid",
			     NULL));
	CU_ASSERT_STRING_EQUAL(c.mountpoint, "/iscsi");
	CU_ASSERT_STRING_EQUAL(c.conf_file, "/c");
	CU_ASSERT_STRING_EQUAL(c.state_dir, "/s");
	CU_ASSERT_STRING_EQUAL(c.pid_file, "/p");
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "rw,dev,suid");
	cmdline_done(&c);
}

static void test_cmdline_mistakes_are_named(void)
{
	static const struct {
		const char *words, *named;
	} cases[] = {
		{ "-f", "no mount point" },
		{ "a b c", "too many" },
		{ "-x /iscsi", "-x" },
		{ "/iscsi -o", "-o" },
		{ "-o uid=no_such_user /iscsi", "uid=no_such_user: there is no user" },
		{ "-o uid=4294967295 /iscsi", "uid=4294967295" },
		{ "-o gid=no_such_group /iscsi", "there is no group no_such_group" },
		{ "-o gid=-1 /iscsi", "gid=-1" },
		{ "-o umask=9 /iscsi", "umask=9" },
		{ "-o umask=1777 /iscsi", "umask=1777" },
		{ "-o umask= /iscsi", "umask=" },
		{ "-o cache=yes /iscsi", "cache=yes" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) err = NULL;
		struct cmdline c;

		CU_ASSERT_FALSE(parse(&c, cases[i].words, &err));
		CU_ASSERT_PTR_NOT_NULL_FATAL(err);
		CU_ASSERT_PTR_NOT_NULL(strstr(err->message, cases[i].named));
		cmdline_done(&c);
	}
}

static void test_cmdline_help_needs_no_mount_point(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "-h", NULL));
	CU_ASSERT_TRUE(c.wants_help);
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "-V", NULL));
	CU_ASSERT_TRUE(c.wants_version);
	cmdline_done(&c);
}

UNIT_MAIN("cmdline", UNIT(test_cmdline_plain), UNIT(test_cmdline_letters),
	  UNIT(test_cmdline_mount_options), UNIT(test_cmdline_as_mount_gives_it),
	  UNIT(test_cmdline_is_filled_from_the_configuration),
	  UNIT(test_cmdline_goes_before_the_configuration),
	  UNIT(test_cmdline_others_without_umask_close_the_disks),
	  UNIT(test_cmdline_log_target),
	  UNIT(test_cmdline_mistakes_are_named), UNIT(test_cmdline_help_needs_no_mount_point))
