/* SPDX-License-Identifier: BSD-2-Clause */
/* A logical unit of a target: what it says of itself, and the disk made of it. Made and
 * refreshed by a scan of a session (scan.c):
 *
 *   REPORT LUNS (again, larger, when the list did not fit) -> for each LUN, several at a time:
 *   INQUIRY, VPD 00, 80, 83, B0, TEST UNIT READY until unit attentions are gone (bounded),
 *   READ CAPACITY(16) (else 10), MODE SENSE caching page.
 *
 * A step that fails does not fail the scan: the LUN's state tells; what is missing is shown as
 * "-".
 *
 * A unit lives as long as it has a path (a session that shows it). It is the same unit when the
 * identity it tells is the same: open files survive a new session then. Else the old unit is
 * gone (ESTALE) and a new one takes the number. */
#ifndef ISCSIFS_LUN_H
#define ISCSIFS_LUN_H

#include "base/object.h"
#include "core/command.h"
#include "core/disk.h"
#include "core/operation.h"
#include "scsi/inquiry.h"

struct target;
struct nexus;

/* What a scan found out about a unit. */
struct lun_facts {
	uint32_t number;
	uint8_t wire[8];
	struct inquiry inquiry;
	char serial[256], wwid[256]; /* "" if not told */
	struct block_limits limits;
	struct mode_caching mode;
	struct capacity capacity;
	bool has_mode, has_capacity; /* else @mode, @capacity are worth nothing */
	int not_ready;		     /* positive errno: why there is no capacity; 0 */
};

struct lun {
	struct object obj; /* OBJECT_LUN */
	struct target *target;
	uint32_t number;
	uint8_t wire[8];
	struct inquiry inquiry;
	char serial[256], wwid[256]; /* "" if not told */
	struct block_limits limits;
	struct mode_caching mode;
	struct capacity capacity;
	/* A direct access device with a known capacity: @disk may be used. Stays true (with
	 * what was known) when the unit is not ready for a while. */
	bool has_disk;
	int not_ready; /* positive errno: why there is no capacity (now); 0 */
	struct disk disk;
	unsigned open_count; /* files open on `disk` */
	unsigned open_writers;
	/* For C7: GINT_TO_POINTER(pid) -> GUINT_TO_POINTER(count), and under -pid what identified that
	 * process at its first open (the text of /proc/PID/stat). */
	GHashTable *open_pids;
};
/* "ready", "not-ready", "no-path", "gone" */
const char *lun_state_name(const struct lun *l);
/* "iqn...: lun 3 is open by pid 123 (dd)"; NULL when not open. g_free(). */
char *lun_holder(const struct lun *l);
struct lun *target_find_lun(struct target *t, uint32_t number);
/* Best size of a transfer in bytes: a power of two, 4096..1 MiB. */
uint32_t lun_block_size_hint(const struct lun *l);

/* Look at all LUNs of @n's session: new ones appear, changed ones are updated, missing ones go.
 * Then operation_finish(@op), with "luns=N" in the reply. When a scan of @n is under way, it
 * does another round for @op. Cancelling @op does not stop the scan. */
struct scan *lun_scan(struct nexus *n, struct operation *op);
/* The scan ends; its operations fail. */
void lun_scan_cancel(struct scan *s);
/* The session is no more: its paths leave, LUNs without a path and without a session go. */
void lun_remove_nexus(struct nexus *n);

extern const struct verb lun_verbs[];

/* --- for the rest of core --- */

/* Look at one unit again, by its best session. @op may be NULL (in the background). */
void lun_rescan(struct lun *l, struct operation *op);
/* A scan of @n found this: the unit is made, updated or replaced, and has a path by @n. */
void lun_found(struct nexus *n, const struct lun_facts *f);
/* A scan of @n did not find it (any more). */
void lun_missing(struct nexus *n, struct lun *l);
/* The unit has a path by this session. */
bool lun_has_session(const struct lun *l, const struct session *s);
/* A path whose session can carry a command now; NULL: none. */
struct path *lun_usable_path(const struct lun *l);
/* @n's session came or failed: I/O by its paths begins or stops. */
void lun_set_usable(struct nexus *n, bool is_usable);
/* How long its requests may take, as @s is configured. */
void lun_take_timeout(struct lun *l, const struct session *s);
/* No session but @n's leads to @l. */
bool lun_depends_on(const struct lun *l, const struct nexus *n);
/* Do @l and @f tell the same identity: wwid, else serial number, else vendor and product? */
bool lun_is_same(const struct lun *l, const struct lun_facts *f);
void lun_gone(struct lun *l);

#endif
