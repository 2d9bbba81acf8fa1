/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE session in the reactor. The device is a descriptor of the loop like any other: each
 * turn takes some requests from it, gives those on LUN data to blkio.c and the rest to libfuse,
 * which calls fsops.c; answers are written when they are known, from the same thread.
 *
 *   state     true in it                                               next
 *   NEW       session made, nothing mounted                            MOUNTED
 *   MOUNTED   the kernel has the mount; requests are taken as they     READY, ENDED
 *             come, FUSE_INIT first
 *   READY     FUSE_INIT was answered: the tree is usable               ENDED
 *   ENDED     the kernel has let go (umount), or fs_unmount() has      -
 *             run; no request comes any more
 *
 * What the page cache keeps of a disk (enum cache_mode; conf.h, lun->cache):
 *
 *   NONE     nothing: each read and write goes to the target, as with O_DIRECT
 *   THROUGH  what was read; a write returns when the target has it. Dropped at the first open
 *   BACK     as with a block device: writes go to the target later, fsync() waits. The kernel has
 *            that for a whole mount or not at all, and then believes no size but its own: so a
 *            disk of a new size is a new inode for whoever opens it next (op_lookup)
 *
 * This process never touches its own mount: it would wait for itself. Nor does it unmount what
 * is not its own: its mount may have been taken away (umount -l) and another be there instead,
 * or be left although the kernel has let go (umount -f, abort). Which it is, mountinfo tells:
 * as long as we hold the device and are not cut off, nobody else's mount has our number. */
#ifndef ISCSIFS_FS_H
#define ISCSIFS_FS_H

#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/loop.h"
#include "core/daemon.h"
#include "fuse/blkio.h"
#include "fuse/event_file.h"
#include "fuse/interrupt.h"
#include "fuse/node.h"
#include "fuse/permissions.h"
#include "fuse/texts.h"

enum fs_state { FS_NEW, FS_MOUNTED, FS_READY, FS_ENDED };

struct fs_config {
	const char *fuse_options; /* for libfuse: "allow_other,ro" */
	struct permissions permissions;
};

struct fs {
	struct loop *loop;
	struct daemon *daemon; /* borrowed */
	struct fs_config config;
	enum fs_state state;
	struct fuse_session *session;
	char *mountpoint; /* while something is mounted there */
	char *device;	  /* "0:57", our mount's number; NULL: unknown */
	struct loop_fd watch;
	struct loop_call ready_call;
	struct blkio blkio;
	struct interrupt_watch interrupts;
	struct node_table nodes;
	struct list handles;	 /* open files */
	struct texts texts;	 /* what they say */
	struct event_files event_files;
	struct timespec started; /* the time of every file */
	bool has_direct_open;	 /* see FS_DIRECT_OPEN_MINOR */
	bool has_writeback;	 /* cache=back is in force */
	/* Called from the loop, each at most once. */
	void (*ready)(struct fs *fs, void *arg);
	void (*ended)(struct fs *fs, void *arg); /* the kernel let go, not we */
	void *arg;
};

/* NULL and @err: an option that libfuse does not know, no memory for the pools. */
struct fs *fs_new(struct loop *l, struct daemon *d, const struct fs_config *c,
		  void (*ready)(struct fs *, void *), void (*ended)(struct fs *, void *),
		  void *arg, GError **err);
/* Mount, and take requests from the next turn of the loop on. */
gboolean fs_mount(struct fs *fs, const char *mountpoint, GError **err);
/* Interrupt the commands that control files are carrying out, and opens that wait for a target. */
void fs_cancel_commands(struct fs *fs);
/* The daemon's configuration has changed: what of it is copied here. */
void fs_take_conf(struct fs *fs);
/* No data request, no command and no open is under way. */
bool fs_is_idle(const struct fs *fs);
/* Close the device and unmount, if it is still our mount. Idempotent. */
void fs_unmount(struct fs *fs);
/* Unmounts if need be. Must be idle. NULL is fine. */
void fs_free(struct fs *fs);

/* The node of an id the kernel gave. */
struct node *fs_node(struct fs *fs, fuse_ino_t ino);
/* What stat(2) shows of a file. */
void fs_stat(const struct fs *fs, const struct object *o, const struct attr *row,
	     struct stat *ret);

/* The table of operations: fsops.c. */
extern const struct fuse_lowlevel_ops fsops;

#endif
