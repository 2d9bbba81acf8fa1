/* SPDX-License-Identifier: BSD-2-Clause */
/* One device, shown by several targets? Two units of different targets are made one disk only
 * when all of this is so; a wrong yes would write one disk over another:
 *
 *   - both sessions were logged in with multipath=yes;
 *   - they tell the same wwid, of a kind that is unique in the world (alua_is_global()), and
 * the same serial number, vendor, product, size, block size and write protection;
 *   - their target ports do not contradict: a device has each relative target port identifier
 *     once; and if it reports its target port groups, both ports are in both reports;
 *   - the first 64 KiB and the last block, read by both paths, are the same (someone who writes
 *     meanwhile makes them differ: the next scan tries again);
 *   - and say something: a blank disk is like any other, and a path in standby cannot be read.
 *     Then the reports of target port groups must be there.
 *
 * Two devices that tell the same name, and are not merged, get an event, once. */
#ifndef ISCSIFS_LUN_MERGE_H
#define ISCSIFS_LUN_MERGE_H

#include "core/lun.h"

struct merge;

/* A probe of @n found @f (borrowed until @done): look for a twin of it, and compare. NULL:
 * nothing tells the same name. Else @done runs later, once: f->twin (a reference) or f->no_twin
 * is set. */
struct merge *merge_start(struct nexus *n, struct lun_facts *f, void (*done)(void *arg),
			  void *arg);
/* done() will not run. NULL is fine. */
void merge_cancel(struct merge *m);

/* What decides, of the unit that is known [0] and the one that was found [1]. */
struct merge_answer {
	uint8_t *data; /* NULL: not told */
	uint32_t bytes;
};
struct merge_evidence {
	struct merge_answer first[2], last[2]; /* blocks */
	struct merge_answer groups[2];	       /* REPORT TARGET PORT GROUPS */
	struct alua_port port[2];	       /* by which they were asked */
};
/* NULL: they are one device. Else why they are not, or may not be: for people. The first looks
 * at what is told, the second at what was read. */
const char *merge_why_never(const struct lun *l, const struct lun_facts *f,
			    const struct alua_port *port);
const char *merge_why_not(const struct merge_evidence *e);

/* The paths of @l's disk become paths of the disk of @f->twin, if there is one. Not while
 * requests are under way: then the next scan tries again. */
void lun_merge(struct lun *l, const struct lun_facts *f);

#endif
