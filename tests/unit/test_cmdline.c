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

static void test_cmdline_plain(void)
{
	struct cmdline c;

	CU_ASSERT_TRUE(parse(&c, "/iscsi", NULL));
	CU_ASSERT_STRING_EQUAL(c.mountpoint, "/iscsi");
	CU_ASSERT_FALSE(c.is_foreground);
	CU_ASSERT_FALSE(c.is_debug);
	CU_ASSERT_EQUAL(c.uid, geteuid());
	CU_ASSERT_EQUAL(c.gid, getegid());
	CU_ASSERT_EQUAL(c.umask, 0);
	CU_ASSERT_PTR_NULL(c.conf_file);
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
	CU_ASSERT_EQUAL(c.uid, 7);
	CU_ASSERT_EQUAL(c.gid, 8);
	CU_ASSERT_EQUAL(c.umask, 027);
	CU_ASSERT_STRING_EQUAL(c.fuse_options->str, "allow_other,ro,nodev");
	CU_ASSERT_FALSE(c.has_cache);
	cmdline_done(&c);
	CU_ASSERT_TRUE(parse(&c, "-o cache=back /iscsi", NULL));
	CU_ASSERT_TRUE(c.has_cache);
	CU_ASSERT_EQUAL(c.cache, CACHE_BACK);
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
		{ "-o uid=me /iscsi", "uid=me" },
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
	  UNIT(test_cmdline_mistakes_are_named), UNIT(test_cmdline_help_needs_no_mount_point))
