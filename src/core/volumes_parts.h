/* SPDX-License-Identifier: BSD-2-Clause */
/* What volumes.c and volumes_look.c have in common; nobody else includes it. */
#ifndef ISCSIFS_VOLUMES_PARTS_H
#define ISCSIFS_VOLUMES_PARTS_H

#include "core/helper.h"
#include "core/volumes.h"

struct volumes {
	struct daemon *daemon;
	GList *all;	/* of struct volume *, by name */
	GList *looks;	/* of struct look *: verbs under way (volumes_look.c) */
	struct helpers helpers;
	bool is_ending;
	/* volumes_wait() */
	struct loop_timer wait_timer;
	int64_t wait_until_ms;
	unsigned told_missing; /* 0: nothing yet */
	void (*progress)(void *arg, unsigned missing, unsigned total);
	void (*ready)(void *arg); /* NULL: nobody waits */
	void *wait_arg;
};

/* --- volumes.c --- */
GPtrArray *volume_luns_new(void); /* of struct volume_lun *; g_ptr_array_unref() */
void volume_luns_add(GPtrArray *luns, const char *target, uint32_t number, const char *wwid,
		     bool is_block);
struct volume *volumes_find(const struct volumes *v, const char *path);
/* It shows in the tree. @luns: gets a reference. */
struct volume *volumes_insert(struct volumes *v, enum volume_kind kind, const char *path,
			      GPtrArray *luns);
void volumes_drop(struct volumes *v, struct volume *x);
/* Finishes @op when the list is on disk. */
void volumes_save(struct volumes *v, struct operation *op);

/* --- volumes_look.c --- */
/* The daemon ends: operations of looks under way fail; their jobs still end by themselves. */
void volumes_looks_give_up(struct volumes *v);

#endif
