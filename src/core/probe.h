/* SPDX-License-Identifier: BSD-2-Clause */
/* A probe looks at one unit by one session: INQUIRY and its pages, target port groups,
 * readiness, capacity, mode page; registers a static reservation key; and compares the unit
 * with one of another target that tells the same name (lun_merge.h). A member of the scan. */
#ifndef ISCSIFS_PROBE_H
#define ISCSIFS_PROBE_H

#include "core/lun.h"
#include "core/lun_merge.h"
#include "core/query.h"
#include "scsi/cdb.h"

#define PAGE_BYTES 252

struct probe {
	struct nexus *nexus;
	struct query *query; /* NULL: between two steps */
	struct merge *merge; /* comparing; NULL: not */
	unsigned step;
	struct lun_facts facts;
	uint8_t pages[PAGE_BYTES]; /* VPD 00 */
	uint32_t pages_bytes;
	uint8_t parameters[CDB_REGISTER_BYTES];
	unsigned seen; /* unit attentions met: as in struct query_answer */
	bool is_missing;
	bool is_silent;	  /* not even INQUIRY */
	bool is_doubtful; /* a page with its identity could not be had this time */
	bool is_not_ready;
	void (*done)(struct probe *p, bool is_cut_off);
};

/* @done runs later, once: what was found is in the flags and in @facts. @is_cut_off: the
 * session was lost, it is worth nothing. */
void probe_start(struct probe *p, struct nexus *n, uint32_t number, const uint8_t wire[8],
		 void (*done)(struct probe *p, bool is_cut_off));
/* done() will not run (any more); what the facts hold is given back. Harmless on a zeroed one,
 * and twice. */
void probe_stop(struct probe *p);

#endif
