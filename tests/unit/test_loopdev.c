/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read of the kernel's texts about loop devices. Attaching itself takes root and a
 * kernel with loop devices: tests/fuse/fuse_block.py. */
#include "core/loopdev.h"

#include <string.h>

#include "core/attach.h"
#include "tests/unit/unit.h"

/* Lines as proc(5) describes them, and as Linux 6.1 writes them. */
static void test_loopdev_finds_mounts_by_number_and_by_source(void)
{
	static const struct {
		const char *line, *place;
	} rows[] = {
		{ "36 35 7:3 / /mnt rw,noatime master:1 - ext4 /dev/loop3 rw", "/mnt" },
		{ "36 35 7:3 / /mnt rw - ext4 /dev/root rw", "/mnt" },
		/* btrfs has a number of its own. */
		{ "36 35 0:44 /sub /mnt rw shared:2 master:1 - btrfs /dev/loop3 rw", "/mnt" },
		{ "36 35 7:3 / /two\\040words\\134x rw - ext4 /dev/loop3 rw", "/two words\\x" },
		{ "36 35 7:33 / /mnt rw - ext4 /dev/loop33 rw", NULL },
		{ "36 35 7:33 / /dev/loop3 rw - ext4 /dev/loop33 rw", NULL },
		{ "36 35 7:3 / /mnt rw", NULL },
		{ "36 35 7:3 / /mnt rw -", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		g_autofree char *place = loopdev_mount_point(rows[i].line, "/dev/loop3", "7:3");

		CU_ASSERT_STRING_EQUAL(place ? place : "-",
				       rows[i].place ? rows[i].place : "-");
	}
}

static void test_loopdev_knows_a_path_that_was_unlinked(void)
{
	CU_ASSERT_TRUE(loopdev_is_path("/a/disk", "/a/disk"));
	CU_ASSERT_TRUE(loopdev_is_path("/a/disk (deleted)", "/a/disk"));
	CU_ASSERT_FALSE(loopdev_is_path("/a/disk2", "/a/disk"));
	CU_ASSERT_FALSE(loopdev_is_path("/a/dis", "/a/disk"));
	CU_ASSERT_FALSE(loopdev_is_path("/a/disk (deleted) (deleted)", "/a/disk"));
}

static void test_loopdev_of_ours_after_a_lazy_unmount(void)
{
	const char *path = "/mnt/targets/x/targets/iqn.a:b/lun1/disk"; /* mounted on x */

	CU_ASSERT_TRUE(loopdev_is_own_path(path, path));
	CU_ASSERT_TRUE(loopdev_is_own_path("/targets/iqn.a:b/lun1/disk", path));
	CU_ASSERT_TRUE(loopdev_is_own_path("/targets/iqn.a:b/lun1/disk (deleted)", path));
	CU_ASSERT_FALSE(loopdev_is_own_path("/targets/iqn.a:b/lun2/disk", path));
	CU_ASSERT_FALSE(loopdev_is_own_path("/lun1/disk", path));
	CU_ASSERT_FALSE(loopdev_is_own_path("", path));
	CU_ASSERT_FALSE(loopdev_is_own_path("/targets/iqn.a:b/lun1/disk", "/elsewhere/disk"));
}

static void test_loopdev_that_is_not_there_is_over_nothing(void)
{
	/* Or there is no sysfs here at all: then it is not known. */
	CU_ASSERT(loopdev_is_over("/dev/loop99999", "/a/disk") <= 0);
}

static void test_expose_names(void)
{
	enum expose e = EXPOSE_WAYS;

	for (unsigned i = 0; i < EXPOSE_WAYS; i++) {
		CU_ASSERT_TRUE(expose_parse(expose_name((enum expose)i), &e));
		CU_ASSERT_EQUAL((unsigned)e, i);
	}
	CU_ASSERT_FALSE(expose_parse("", &e));
	CU_ASSERT_FALSE(expose_parse("Block", &e));
	CU_ASSERT_EQUAL((unsigned)e, EXPOSE_WAYS - 1);
}

UNIT_MAIN("loopdev", UNIT(test_loopdev_finds_mounts_by_number_and_by_source),
	  UNIT(test_loopdev_knows_a_path_that_was_unlinked),
	  UNIT(test_loopdev_of_ours_after_a_lazy_unmount),
	  UNIT(test_loopdev_that_is_not_there_is_over_nothing), UNIT(test_expose_names))
