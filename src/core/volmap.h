/* SPDX-License-Identifier: BSD-2-Clause */
/* What block devices rest on, as sysfs and mountinfo tell: which of them lead down to a loop
 * device over a LUN's `disk`, through partitions, device mapper and md (all of which have
 * `slaves`), and where they are mounted. Only reads those two, never a file system: it may be
 * slow (a job for the helper thread), but waits for nobody. */
#ifndef ISCSIFS_VOLMAP_H
#define ISCSIFS_VOLMAP_H

#include <glib.h>
#include <stdbool.h>

/* A loop device, and the file that the kernel says is under it: for one that was unlinked
 * without the " (deleted)". */
struct volmap_loop {
	char *device; /* "/dev/loop3" */
	char *file;
};

struct volmap_device {
	char *name;	   /* "loop3p1", "dm-0" */
	char *path;	   /* "/dev/loop3p1"; of device mapper "/dev/mapper/NAME" */
	char *number;	   /* "7:3" */
	GPtrArray *loops;  /* of struct volmap_loop *: all that it rests on, one at least */
	GPtrArray *mounts; /* of char *: where it is mounted */
	bool has_above;	   /* it has partitions, or another device is made of it */
};

/* All devices that rest on files which may be LUNs (".../targets/IQN/lunN/disk": whoever asks
 * knows which are ours), of struct volmap_device *; g_ptr_array_unref(). @sysfs: "/sys",
 * @mountinfo: "/proc/self/mountinfo". NULL and @err when either cannot be read. Blocks. */
GPtrArray *volmap_scan(const char *sysfs, const char *mountinfo, GError **err);

#endif
