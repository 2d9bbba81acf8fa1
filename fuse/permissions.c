/* SPDX-License-Identifier: BSD-2-Clause */
/* Owner, group and mode of files; permissions.h has the rules. Called by fs_stat(). */
#include "fuse/permissions.h"

#include <unistd.h>

static bool is_for_operators(const struct attr *row)
{
	return row->mode & S_IWUSR && row->type != ATTR_DISK && row->type != ATTR_DIR;
}

static mode_t disk_mode(const struct permissions *p, mode_t mode)
{
	if (p->disk_group != PERMISSIONS_NOBODY)
		return 0660;
	mode &= ~p->umask;
	return p->closes_disks ? mode & ~(mode_t)S_IRWXO : mode;
}

void permissions_apply(const struct permissions *p, const struct attr *row, struct stat *st)
{
	mode_t mode = row->mode & ~p->umask;

	st->st_uid = p->uid;
	st->st_gid = p->gid;
	if (row->is_owners) {
		mode = row->mode;
		st->st_uid = geteuid();
		st->st_gid = getegid();
	} else if (row->type == ATTR_DISK) {
		mode = disk_mode(p, row->mode);
		if (p->disk_group != PERMISSIONS_NOBODY)
			st->st_gid = p->disk_group;
	} else if (p->operators != PERMISSIONS_NOBODY && is_for_operators(row)) {
		mode |= S_IRGRP | S_IWGRP;
		st->st_gid = p->operators;
	}
	st->st_mode = (st->st_mode & ~(mode_t)07777) | mode;
}
