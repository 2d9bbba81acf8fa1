/* SPDX-License-Identifier: BSD-2-Clause */
/* What block devices rest on, from a sysfs made of files; names of volumes; when a saved login is
 * tried again. */
#include "core/volumes.h"

#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "core/logins.h"
#include "core/volmap.h"
#include "tests/unit/unit.h"

#define DISK(n) "/iscsi/targets/iqn.a:b/lun" #n "/disk"

static char *top; /* of the sysfs */

static void set_up(void)
{
	top = g_dir_make_tmp("iscsifs-volmap.XXXXXX", NULL);
	g_assert_nonnull(top);
}

static void tear_down(void)
{
	g_autofree char *command = g_strdup_printf("rm -rf '%s'", top);

	if (g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL))
		g_clear_pointer(&top, g_free);
}

/* A file below the top, with its directories. */
static void put(const char *path, const char *text)
{
	g_autofree char *whole = g_build_filename(top, path, NULL);
	g_autofree char *directory = g_path_get_dirname(whole);

	g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
	g_assert_true(g_file_set_contents(whole, text, -1, NULL));
}

static void put_of(const char *device, const char *file, const char *text)
{
	g_autofree char *path = g_build_filename("devices", device, file, NULL);

	put(path, text);
}

/* The kernel's link in class/block. */
static void link_block(const char *device)
{
	g_autofree char *name = g_path_get_basename(device);
	g_autofree char *blocks = g_build_filename(top, "class", "block", NULL);
	g_autofree char *from = g_build_filename(blocks, name, NULL);
	g_autofree char *to = g_build_filename(top, "devices", device, NULL);

	g_assert_cmpint(g_mkdir_with_parents(blocks, 0700), ==, 0);
	g_assert_cmpint(symlink(to, from), ==, 0);
}

static void put_device(const char *device, const char *number)
{
	put_of(device, "dev", number);
	link_block(device);
}

/* "loop3: NUMBER FILE..." of all, sorted by path. */
static char *scan(const char *mountinfo)
{
	g_autofree char *mounts = g_build_filename(top, "mountinfo", NULL);
	GString *out = g_string_new(NULL);
	g_autoptr(GPtrArray) found = NULL;

	put("mountinfo", mountinfo);
	found = volmap_scan(top, mounts, NULL);
	if (!found)
		return g_string_free(g_string_append(out, "error"), FALSE);
	for (guint i = 0; i < found->len; i++) {
		const struct volmap_device *v = found->pdata[i];

		g_string_append_printf(out, "%s %s%s:", v->path, v->number,
				       v->has_above ? " below" : "");
		for (guint k = 0; k < v->loops->len; k++) {
			const struct volmap_loop *l = v->loops->pdata[k];

			g_string_append_printf(out, " %s=%s", l->device, l->file);
		}
		for (guint k = 0; k < v->mounts->len; k++)
			g_string_append_printf(out, " on %s", (char *)v->mounts->pdata[k]);
		g_string_append_c(out, '\n');
	}
	return g_string_free(out, FALSE);
}

static void check(const char *mountinfo, const char *want)
{
	g_autofree char *got = scan(mountinfo);

	CU_ASSERT_STRING_EQUAL(got, want);
	if (strcmp(got, want))
		fprintf(stderr, "got:\n%s", got);
}

static void test_volmap_finds_loop_devices_over_luns(void)
{
	set_up();
	put_device("loop0", "7:0\n");
	put_of("loop0", "loop/backing_file", DISK(0) "\n");
	put_device("loop1", "7:1\n");
	put_of("loop1", "loop/backing_file", DISK(1) " (deleted)\n");
	put_device("loop2", "7:2\n"); /* of others */
	put_of("loop2", "loop/backing_file", "/var/lib/image\n");
	put_device("loop3", "7:3\n"); /* over nothing */
	put_device("sda", "8:0\n");
	link_block("gone"); /* while it looks */
	check("36 35 7:1 / /mnt rw - ext4 /dev/loop1 rw\n"
	      "37 35 7:1 / /other\\040place rw - ext4 /dev/loop1 rw\n"
	      "38 35 7:1 / /mnt rw - ext4 /dev/loop1 rw\n" /* over itself */
	      "39 35 7:2 / /not rw - ext4 /dev/loop2 rw\n",
	      "/dev/loop0 7:0: /dev/loop0=" DISK(0) "\n"
	      "/dev/loop1 7:1: /dev/loop1=" DISK(1) " on /mnt on /other place\n");
	tear_down();
}

static void test_volmap_follows_partitions_mapper_and_md(void)
{
	set_up();
	put_device("loop0", "7:0\n");
	put_of("loop0", "loop/backing_file", DISK(0) "\n");
	put_of("loop0/loop0p1", "partition", "1\n");
	put_device("loop0/loop0p1", "259:0\n");
	put_of("loop0/loop0p1", "holders/dm-0", "");
	put_of("loop0/loop0p2", "partition", "2\n");
	put_device("loop0/loop0p2", "259:1\n");
	put_device("loop1", "7:1\n");
	put_of("loop1", "loop/backing_file", DISK(1) "\n");
	put_of("loop1", "holders/md127", "");
	/* md over loop1 and a disk of the host, then LVM over it and the partition. */
	put_device("sda", "8:0\n");
	put_device("md127", "9:127\n");
	put_of("md127", "slaves/loop1", "");
	put_of("md127", "slaves/sda", "");
	put_of("md127", "holders/dm-0", "");
	put_device("dm-0", "253:0\n");
	put_of("dm-0", "dm/name", "group-volume\n");
	put_of("dm-0", "slaves/md127", "");
	put_of("dm-0", "slaves/loop0p1", "");
	check("36 35 0:50 / /data rw - btrfs /dev/mapper/group-volume rw\n",
	      "/dev/loop0 7:0 below: /dev/loop0=" DISK(0) "\n"
	      "/dev/loop0p1 259:0 below: /dev/loop0=" DISK(0) "\n"
	      "/dev/loop0p2 259:1: /dev/loop0=" DISK(0) "\n"
	      "/dev/loop1 7:1 below: /dev/loop1=" DISK(1) "\n"
	      "/dev/mapper/group-volume 253:0: /dev/loop0=" DISK(0) " /dev/loop1=" DISK(1)
	      " on /data\n"
	      "/dev/md127 9:127 below: /dev/loop1=" DISK(1) "\n");
	tear_down();
}

static void test_volmap_ends_when_devices_go_round(void)
{
	set_up();
	put_device("dm-0", "253:0\n");
	put_of("dm-0", "slaves/dm-1", "");
	put_device("dm-1", "253:1\n");
	put_of("dm-1", "slaves/dm-0", "");
	check("", "");
	tear_down();
}

static void test_volmap_tells_when_there_is_no_sysfs(void)
{
	set_up();
	check("", "error");
	tear_down();
}

static void test_volumes_names_are_names_of_files(void)
{
	static const char *const rows[][2] = {
		{ "/mnt/data", "mnt-data" },
		{ "/dev/mapper/a-b", "dev-mapper-a-b" },
		{ "iqn.a:b/lun3", "iqn.a:b-lun3" },
		{ "/a b/\xc3\xa9", "a b-\xc3\xa9" },
		{ "/", "_" },
		{ "/..", "_.." },
		{ "/a\nb", "a_b" },
		{ "/a\xff", "a\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *name = volume_name_of(rows[i][0]);

		CU_ASSERT_STRING_EQUAL(name, rows[i][1]);
	}
	for (size_t bytes = 190; bytes < 300; bytes++) {
		g_autofree char *path = g_strnfill(bytes, 'x');
		g_autofree char *name = volume_name_of(path);

		CU_ASSERT_TRUE(strlen(name) < 220);
	}
}

static void test_logins_wait_longer_and_longer(void)
{
	CU_ASSERT_EQUAL(saved_login_delay_ms(1, false, 0.5), 1000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(2, false, 0.5), 2000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(3, false, 0), 3000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(3, false, 1), 5000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(100, false, 0.5), 60000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(UINT_MAX, false, 1), 75000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(1, true, 0.5), 10000);
	CU_ASSERT_EQUAL(saved_login_delay_ms(100, true, 0.5), 300000);
}

UNIT_MAIN("volumes", UNIT(test_volmap_finds_loop_devices_over_luns),
	  UNIT(test_volmap_follows_partitions_mapper_and_md),
	  UNIT(test_volmap_ends_when_devices_go_round),
	  UNIT(test_volmap_tells_when_there_is_no_sysfs),
	  UNIT(test_volumes_names_are_names_of_files),
	  UNIT(test_logins_wait_longer_and_longer))
