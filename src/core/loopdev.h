/* SPDX-License-Identifier: BSD-2-Clause */
/* Loop devices over LUN files: what a child process does (helper.h), the daemon's own program
 * started as `iscsifs --loop-helper PID`. Everything here may wait for the daemon's file system;
 * nothing of it may run in the daemon, loopdev_is_over() excepted.
 *
 * The request, on standard input, is a list of NUL-terminated words:
 *
 * - attach PATH BLOCK_BYTES ro|rw: a loop device over PATH. Says "device /dev/loopN" before it is
 *   there for good: as long as "ok" has not followed, it goes with this process, or is to be
 *   detached.
 * - release detach|check|logout|force (NAME DEVICE|"" PATH)...: DEVICEs are detached, each only if
 *   it is still over PATH. detach: unless one of them is in use. logout: unless one of them is in
 *   use, or anybody else has a PATH open. Then nothing is done, and a line "busy TEXT" tells of
 *   each who is in the way. check: as logout, and nothing is done in any case. force: in any case;
 *   one that is in use goes when its users do. Says "detached DEVICE" for each that is gone, or
 *   will be so without any more to do.
 * - resize PATH: all loop devices over PATH take its size. Says "resized DEVICE" for each.
 * - look PATH: what is it? Says "device MAJOR:MINOR" of a block device, or "directory PATH" or
 *   "file PATH", without symbolic links.
 *
 * "In use" is: mounted, swapped to, held by another device (dm, md), opened by a process that we
 * can see, or opened exclusively by one that we cannot. Partitions count. */
#ifndef ISCSIFS_LOOPDEV_H
#define ISCSIFS_LOOPDEV_H

#include <glib.h>

#define LOOPDEV_OPTION "--loop-helper"

/* main() of the child. @parent: the pid of the daemon, with which it ends. */
int loopdev_main(const char *parent);

/* Is our /dev/loopN still over @path? 1, 0, or -errno when that cannot be found out. Asks sysfs,
 * which knows the name of the file without asking its file system. When the tree was unmounted
 * lazily that begins at the root of the tree. */
int loopdev_is_over(const char *device, const char *path);

/* --- for the test --- */

/* A line of mountinfo: is it a mount of the device of this name and number ("/dev/loop1",
 * "7:1")? Its place, unescaped, g_free(); else NULL. */
char *loopdev_mount_point(const char *line, const char *device, const char *number);
/* Is what sysfs or /proc says of an open file @path, perhaps unlinked meanwhile? */
gboolean loopdev_is_path(const char *said, const char *path);
/* The same of a device of ours: or the part of @path within the tree. */
gboolean loopdev_is_own_path(const char *said, const char *path);

#endif
