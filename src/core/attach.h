/* SPDX-License-Identifier: BSD-2-Clause */
/* LUNs as block devices: a loop device over the file `disk`, made and taken away by child
 * processes (helper.h, loopdev.h), since the daemon must not open files of its own mount.
 *
 * With expose=block each unit gets its device when it becomes a disk, once: what a person has
 * detached stays so, and what failed is told in the unit's `error` and waits for `attach`. Of
 * units that are the same disk one gets a device. A unit that goes takes its device along: at
 * once when nobody uses it, else when its users are gone.
 *
 * Who detaches our device by hand (losetup -d) does no harm: whether it is still over our file
 * is looked up (sysfs) whenever it is shown or used. */
#ifndef ISCSIFS_ATTACH_H
#define ISCSIFS_ATTACH_H

#include <glib.h>
#include <stdbool.h>

struct attacher;
struct daemon;
struct lun;
struct operation;
struct target;

/* What a session makes of its units (C9). */
enum expose {
	EXPOSE_FILE,  /* `disk` */
	EXPOSE_BLOCK, /* and a loop device over it */
	EXPOSE_NONE,  /* neither: INQUIRY, REPORT LUNS and READ CAPACITY is all that is sent */
	EXPOSE_WAYS
};
const char *expose_name(enum expose e); /* "file", "block", "none" */
/* False: there is none of that name. */
bool expose_parse(const char *name, enum expose *ret);

struct attacher *attacher_new(struct daemon *d);
/* Kills what is under way, and begins nothing any more. NULL is fine, also below. */
void attacher_stop(struct attacher *a);
/* After attacher_stop(), when no unit is left. */
void attacher_free(struct attacher *a);
/* The daemon ends: nothing is attached any more; devices are detached, in use or not, after what
 * is under way has ended. @done runs at once when there is nothing to do, else later, after a few
 * seconds at most. */
void attacher_shutdown(struct attacher *a, void (*done)(void *arg), void *arg);

/* The verbs. "device=/dev/loopN" in the reply; EEXIST, EOPNOTSUPP (expose=none) ... */
void attach_start(struct lun *l, struct operation *op);
/* ENOENT: it has none; EBUSY: in use, with the user's name, unless @is_forced. */
void attach_stop(struct lun *l, bool is_forced, struct operation *op);
/* Its device, "/dev/loopN", or NULL. */
const char *attach_device(struct lun *l);

/* --- for the rest of core --- */

/* A scan found it (again): does it want a device? */
void attach_found(struct lun *l);
/* Its size has changed: loop devices over it, ours or not, are told. */
void attach_resized(struct lun *l);
/* It goes. */
void attach_gone(struct lun *l);
/* Finishes @op when nothing is being attached of @t any more, or after two minutes. */
void attach_wait(struct target *t, struct operation *op);
enum attach_release {
	ATTACH_CHECK,  /* are they in use, or is anything else in the way of a logout? */
	ATTACH_LOGOUT, /* the same, and if not, detach them */
	ATTACH_FORCE,  /* detach them in any case */
};
/* The devices of @luns (of struct lun *; borrowed). @done runs later, once: with NULL, or EBUSY
 * and the names of all that are in the way. */
void attach_release(struct daemon *d, const GPtrArray *luns, enum attach_release how,
		    void (*done)(void *arg, const GError *err), void *arg);

#endif
