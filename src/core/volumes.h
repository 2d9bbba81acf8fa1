/* SPDX-License-Identifier: BSD-2-Clause */
/* Bound volumes (G1, G2): mount points, block devices and LUN files that rest on our LUNs, and
 * that whoever starts after us needs. Kept in volumes.conf of the state directory. At start the
 * daemon says that it is ready when all LUNs under all of them are there, or after a while.
 *
 * What is bound is told by its LUNs, since names of loop devices change: a volume is "ready"
 * when each of its LUNs has a usable path and, if it rested on a loop device of ours (attach.h),
 * has one again. Mounting the file system is for the system that waits for us.
 *
 * Paths that people name are looked at by a child process, sysfs and mountinfo by the helper
 * thread. */
#ifndef ISCSIFS_VOLUMES_H
#define ISCSIFS_VOLUMES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/object.h"
#include "core/command.h"

struct daemon;
struct operation;
struct volumes;

enum volume_kind {
	VOLUME_MOUNT,  /* path: where it is mounted */
	VOLUME_DEVICE, /* path: "/dev/..." */
	VOLUME_LUN,    /* path: "targets/IQN/lunN" of the tree, wherever that is mounted */
	VOLUME_KINDS
};
const char *volume_kind_name(enum volume_kind k); /* "mount", "device", "lun" */

/* One that a volume rests on. */
struct volume_lun {
	char *target;
	uint32_t number;
	char *wwid;    /* "": it told none */
	bool is_block; /* by a loop device that the daemon attached */
};

struct volume {
	struct object obj; /* OBJECT_VOLUME */
	struct daemon *daemon;
	char *name; /* in the tree: made of the path */
	enum volume_kind kind;
	char *path;
	GPtrArray *luns; /* of struct volume_lun * */
};
/* Are all its LUNs there? */
bool volume_is_ready(const struct volume *v);
bool volume_lun_is_there(const struct volume *v, const struct volume_lun *l);

/* Reads volumes.conf: blocks, so before the loop runs. */
struct volumes *volumes_new(struct daemon *d);
/* Nothing begins any more, and what is under way fails (EBUSY); nobody is told of readiness. */
void volumes_shutdown(struct volumes *v);
/* After the worker has ended. NULL is fine. */
void volumes_free(struct volumes *v);
GList *volumes_all(const struct volumes *v); /* of struct volume *, by name; borrowed */

/* The verbs; each finishes @op when what it did is on disk. */
void volumes_bind(struct volumes *v, struct operation *op);
void volumes_add(struct volumes *v, const char *path, struct operation *op);
void volumes_remove(struct volumes *v, const char *path, struct operation *op);
void volumes_clear(struct volumes *v, struct operation *op);
void volume_remove(struct volume *x, struct operation *op);

/* Calls @ready once, later: when all are there, or after @timeout_ms (0: at once), which is an
 * event. @progress (may be NULL) before that, whenever another number is missing. Neither after
 * volumes_shutdown(). */
void volumes_wait(struct volumes *v, int64_t timeout_ms,
		  void (*progress)(void *arg, unsigned missing, unsigned total),
		  void (*ready)(void *arg), void *arg);

/* A name for the tree, of a path: unique is for the caller. g_free(). For the test. */
char *volume_name_of(const char *path);

#endif
