/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies that people set are there again: that of a target's sessions by the target's name, that
 * of a disk by its worldwide name. In policies.conf of the state directory. */
#ifndef ISCSIFS_POLICIES_H
#define ISCSIFS_POLICIES_H

#include <glib.h>
#include <stdbool.h>

#include "base/policy.h"

struct daemon;
struct operation;
struct policies;

#define POLICIES_MAX 4096 /* kept of each kind; the one that was set first goes */

enum policies_kind { POLICIES_TARGETS, POLICIES_DISKS };

/* Reads the file: blocks, so before the loop runs. Never NULL. */
struct policies *policies_new(struct daemon *d);
void policies_free(struct policies *p); /* NULL is fine */

/* @name is a target's, or a wwid ("": a disk without one, of which nothing is kept). Saved in the
 * background; policies_wait() waits for it. */
void policies_set(struct policies *p, enum policies_kind kind, const char *name,
		  enum policy policy);
/* False: none was set. */
bool policies_find(const struct policies *p, enum policies_kind kind, const char *name,
		   enum policy *ret);
/* Finishes @op when what was set is on the disk, or cannot be
 * (ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA; it is in force all the same). */
void policies_wait(struct policies *p, struct operation *op);

#endif
