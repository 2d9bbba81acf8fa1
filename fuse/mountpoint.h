/* SPDX-License-Identifier: BSD-2-Clause */
/* The place to mount on: is it fit, and what the kernel says of the mount there. What is
 * mounted is looked up in /proc/self/mountinfo, never by touching the place: a FUSE mount whose
 * daemon hangs would hang us too. */
#ifndef ISCSIFS_MOUNTPOINT_H
#define ISCSIFS_MOUNTPOINT_H

#include <glib.h>
#include <stdbool.h>

/* @path (absolute) can be mounted on, and FUSE is there. The resolved path, g_free(); or NULL
 * and @err, which says what to do. Blocks no longer than a local file system may. */
char *mountpoint_check(const char *path, GError **err);
/* The number of what is mounted at @path, on top if there are several: "0:57". g_free(); NULL:
 * nothing, or it cannot be told. */
char *mountpoint_device(const char *path);
/* Is that number @device? */
bool mountpoint_is(const char *path, const char *device);
/* Take the mount at @path, whose device is dead, out of the tree, also when files are open.
 * Failures are logged. */
void mountpoint_detach(const char *path);
/* Raise the read-ahead of the mount at @path to @bytes: the kernel offers 128 KiB and takes
 * more only this way. As root only; otherwise, and when it fails, nothing happens. */
void mountpoint_set_readahead(const char *path, size_t bytes);

#endif
