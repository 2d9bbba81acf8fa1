/* SPDX-License-Identifier: BSD-2-Clause */
/* Owner, group and mode of each kind of file, by every sort of configuration. */
#include "fuse/permissions.h"

#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static const struct attr ctl = ATTR_CTL_ROW, told = ATTR_ERROR_ROW;
static const struct attr setting = { "name", ATTR_VALUE, .mode = 0644 };
static const struct attr disk = { "disk", ATTR_DISK, .mode = 0644 };
static const struct attr dir = { "targets", ATTR_DIR, .mode = 0555 };
static const struct attr scsi = { "scsi", ATTR_CTL, .mode = 0600, .is_owners = true };

static const struct permissions plain = {
	.uid = 7,
	.gid = 8,
	.operators = PERMISSIONS_NOBODY,
	.disk_group = PERMISSIONS_NOBODY,
};

static void expect(const struct permissions *p, const struct attr *row, uid_t uid, gid_t gid,
		   mode_t mode)
{
	struct stat st = { .st_mode = attr_format(row) };

	permissions_apply(p, row, &st);
	CU_ASSERT_EQUAL(st.st_uid, uid);
	CU_ASSERT_EQUAL(st.st_gid, gid);
	CU_ASSERT_EQUAL(st.st_mode, attr_format(row) | mode);
}

static void test_permissions_are_those_of_the_rows(void)
{
	expect(&plain, &ctl, 7, 8, 0644);
	expect(&plain, &setting, 7, 8, 0644);
	expect(&plain, &told, 7, 8, 0444);
	expect(&plain, &disk, 7, 8, 0644);
	expect(&plain, &dir, 7, 8, 0555);
}

static void test_permissions_umask_takes_from_all(void)
{
	struct permissions p = plain;

	p.umask = 027;
	expect(&p, &ctl, 7, 8, 0640);
	expect(&p, &told, 7, 8, 0440);
	expect(&p, &disk, 7, 8, 0640);
	expect(&p, &dir, 7, 8, 0550);
	p.umask = 077;
	expect(&p, &disk, 7, 8, 0600);
}

static void test_permissions_disks_are_closed_to_others(void)
{
	struct permissions p = plain;

	p.closes_disks = true;
	expect(&p, &disk, 7, 8, 0640);
	expect(&p, &ctl, 7, 8, 0644);
	expect(&p, &told, 7, 8, 0444);
}

static void test_permissions_of_a_disk_group(void)
{
	struct permissions p = plain;

	p.disk_group = 6;
	expect(&p, &disk, 7, 6, 0660);
	expect(&p, &ctl, 7, 8, 0644);
	p.closes_disks = true;
	p.umask = 077;
	expect(&p, &disk, 7, 6, 0660);
	expect(&p, &ctl, 7, 8, 0600);
}

static void test_permissions_of_operators(void)
{
	struct permissions p = plain;

	p.operators = 9;
	expect(&p, &ctl, 7, 9, 0664);
	expect(&p, &setting, 7, 9, 0664);
	expect(&p, &told, 7, 8, 0444);
	expect(&p, &disk, 7, 8, 0644);
	expect(&p, &dir, 7, 8, 0555);
	p.umask = 077;
	expect(&p, &ctl, 7, 9, 0660);
	expect(&p, &disk, 7, 8, 0600);
}

static void test_permissions_keep_what_is_the_owners(void)
{
	struct permissions p = { .uid = 7, .gid = 8, .operators = 9, .disk_group = 6 };

	expect(&p, &scsi, geteuid(), getegid(), 0600);
	expect(&plain, &scsi, geteuid(), getegid(), 0600);
}

UNIT_MAIN("permissions", UNIT(test_permissions_are_those_of_the_rows),
	  UNIT(test_permissions_umask_takes_from_all),
	  UNIT(test_permissions_disks_are_closed_to_others),
	  UNIT(test_permissions_of_a_disk_group), UNIT(test_permissions_of_operators),
	  UNIT(test_permissions_keep_what_is_the_owners))
