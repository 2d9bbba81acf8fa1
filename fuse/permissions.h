/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may do what with the files of the tree: owner, group and mode of each, from the rows of the
 * attribute tables, the mount options and the configuration. The kernel checks them
 * (default_permissions, always), supplementary groups included.
 *
 *   kind of file            owner      group                 mode
 *   of the daemon's owner   daemon's   daemon's              the row's
 *   control files, values   uid        operators, else gid   the row's without umask; rw for operators
 *   disks                   uid        disk_group, else gid  0660 with a disk_group; else the row's
 *                                                            without umask; with allow_other and no
 *                                                            umask nothing for others, either
 *   the rest                uid        gid                   the row's without umask
 *
 * A write-protected disk has no permission to write (fs_stat()). */
#ifndef ISCSIFS_PERMISSIONS_H
#define ISCSIFS_PERMISSIONS_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "fuse/attr.h"

#define PERMISSIONS_NOBODY UINT32_MAX /* no group */

struct permissions {
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool closes_disks; /* others are let in, and nobody said what they may do */
	gid_t operators, disk_group; /* PERMISSIONS_NOBODY: none */
};

/* Sets st_uid, st_gid and the permissions of st_mode. */
void permissions_apply(const struct permissions *p, const struct attr *row, struct stat *st);

#endif
