/* SPDX-License-Identifier: BSD-2-Clause */
/* A logical unit of a target: what it says of itself, and the disk made of it. Made and
 * refreshed by a scan of a session (scan.c):
 *
 *   REPORT LUNS (again, larger, when the list did not fit) -> for each LUN, several at a time:
 *   INQUIRY, VPD 00, 80, 83, B0, B2, TEST UNIT READY until unit attentions are gone (bounded),
 *   READ CAPACITY(16) (else 10), MODE SENSE caching page.
 *
 * A step that fails does not fail the scan: the LUN's state tells; what is missing is shown as
 * "-".
 *
 * A unit lives as long as its target has a path to it (a session that shows it). Is it the same
 * unit as before?
 *
 *   seen by                          it is the same when these are
 *   the same session, no restart     wwid (else serial number, else vendor and product), block
 *                                    size; another size is news
 *   the session, restarted           wwid, serial number, vendor, product, block size, size
 *   a further session of the target  wwid or serial number, block size, size
 *   a session of another target      see lun_merge.h
 *
 * If not, that path leaves. If it was the unit's only one, the unit is gone (ESTALE for those
 * who have it open) and a new one takes the number; else it is "ignored there".
 *
 * The blocks are a disk, which units of several targets may share. Such a unit may go from the
 * tree while files are open on it: they go on by the paths of the others, until the disk is
 * gone. */
#ifndef ISCSIFS_LUN_H
#define ISCSIFS_LUN_H

#include "base/object.h"
#include "core/command.h"
#include "core/conf.h"
#include "core/disk.h"
#include "core/operation.h"
#include "scsi/inquiry.h"
#include "scsi/provision.h"

struct target;
struct nexus;

/* What a scan found out about a unit. */
struct lun_facts {
	uint32_t number;
	uint8_t wire[8];
	struct inquiry inquiry;
	char serial[256], wwid[256]; /* "" if not told */
	struct block_limits limits;
	struct provisioning provisioning; /* zeros: not told */
	struct mode_caching mode;
	struct capacity capacity;
	bool has_mode, has_capacity; /* else @mode, @capacity are worth nothing */
	int not_ready;		     /* positive errno: why there is no capacity; 0 */
	struct alua_port port;
	bool has_access; /* it knows ALUA, and told: */
	enum alua_access access;
	bool is_registered;	  /* the static reservation key of the session, just now */
	char register_error[160]; /* why a static reservation key could not be registered; "" */
	struct lun *twin;	  /* of another target, and surely the same; NULL: none known */
	char no_twin[200];	  /* why the one that tells the same name is not; "" */
};

struct lun {
	struct object obj; /* OBJECT_LUN */
	struct target *target;
	uint32_t number;
	uint8_t wire[8];
	struct inquiry inquiry;
	char serial[256], wwid[256]; /* "" if not told */
	struct block_limits limits;
	struct provisioning provisioning;
	struct mode_caching mode;
	struct capacity capacity;
	/* A direct access device with a known capacity: @disk may be used. Stays true (with
	 * what was known) when the unit is not ready for a while. */
	bool has_disk;
	int not_ready;	     /* positive errno: why there is no capacity (now); 0 */
	struct disk *disk;   /* never NULL; several units may share it: disk->luns */
	struct usage *usage;   /* what is known of it (usage.h); NULL: nothing */
	enum cache_mode cache; /* of files opened from now on */
	unsigned open_count;   /* files open on `disk` */
	unsigned open_writers;
	unsigned open_mappers; /* of these, such as can have dirty pages that we do not see */
	unsigned open_cached;  /* that use the page cache */
	bool is_merge_told; /* the event of a twin that is none */
	char *block;	    /* its loop device, "/dev/loopN" (attach.h); NULL: none */
	char *block_path;   /* the file that it was made of */
	bool is_attach_tried;
	/* For C7: GINT_TO_POINTER(pid) -> GUINT_TO_POINTER(count), and under -pid what
	 * identified that process at its first open (the text of /proc/PID/stat). */
	GHashTable *open_pids;
};
/* "ready", "not-ready", "no-path", "gone" */
const char *lun_state_name(const struct lun *l);
/* Is its disk open, by this unit or another one that is the same disk? */
bool lun_is_open(const struct lun *l);
/* Also by somebody else than loop devices of ours? */
bool lun_is_open_otherwise(const struct lun *l);
/* "iqn...: lun 3 is open by pid 123 (dd)"; NULL when not open. g_free(). */
char *lun_holder(const struct lun *l);
struct lun *target_find_lun(struct target *t, uint32_t number);
/* Best size of a transfer in bytes: a power of two, 4096..1 MiB. */
uint32_t lun_block_size_hint(const struct lun *l);

/* Look at all LUNs of @n's session, which may have been restarted: paths that were lost are
 * used again once they have been verified. New ones appear, changed ones are updated, missing
 * ones go. Then operation_finish(@op), with "luns=N" in the reply. When a scan of @n is under
 * way, it does another round for @op. Cancelling @op does not stop the scan. */
struct scan *lun_scan(struct nexus *n, struct operation *op);
/* The scan ends; its operations fail. */
void lun_scan_cancel(struct scan *s);
/* The session is no more: its paths leave, LUNs without a path and without a session go. */
void lun_remove_nexus(struct nexus *n);

/* The policy of its disk (policy.h). */
gboolean lun_set_policy(struct lun *l, const char *name, GError **err);
/* Roles and weights of all its paths, if they fit the policy @name: pathset.h. FALSE and @err: nothing
 * has changed. */
gboolean lun_set_paths(struct lun *l, const char *name, const char *paths, GError **err);
/* Role ("active", "standby"; NULL: as it is) and weight (-1: as it is) of the path by the
 * session whose number is @sid. */
gboolean lun_set_path(struct lun *l, const char *sid, const char *role, int64_t weight,
		      GError **err);

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
/* The best path of its own (not of another unit with the same disk) whose session can carry a
 * command now, though perhaps not reads and writes; NULL: none. Never an unverified one. */
struct path *lun_usable_path(const struct lun *l);
/* @n's session was restarted: paths that were lost are there again, but who knows where they
 * lead to. lun_scan() does it. */
void lun_unverify(struct nexus *n);
/* Look at the end of a path again, by it; not while its session is being scanned. */
void lun_verify(struct path *p);
/* @n's session failed: its paths are lost. Or the same session is back (no restart): they are
 * what they were. After a restart call lun_scan() instead. */
void lun_set_usable(struct nexus *n, bool is_usable);
/* How long its requests may take, as @s is configured. */
void lun_take_timeout(struct lun *l, const struct session *s);
/* Would nothing lead to the disk of @l without @n's session (NULL: without those of its
 * target)?
 */
bool lun_depends_on(const struct lun *l, const struct nexus *n);
/* A query met a unit attention, or a deferred error, of the unit that @s calls @wire: its disk is
 * told, as if I/O had met it. */
void lun_attention(const struct session *s, const uint8_t wire[8], enum sense_class what);
void lun_lost_write(const struct session *s, const uint8_t wire[8], const char *why);
/* What its units are able to, together: caches, FUA, the longest transfer. */
void lun_combine(struct disk *d);
/* Do @l and @f tell the same identity: wwid, else serial number, else vendor and product? */
bool lun_is_same(const struct lun *l, const struct lun_facts *f);
/* Made on its target's list, without a path yet. */
struct lun *lun_new(struct target *t, const struct lun_facts *f);
/* Its disk gets its name. */
void lun_name_disk(const struct lun *l);
/* It has a wwid; it has it no longer: another unit with the same takes its place in by-id. */
void lun_remember_wwid(struct lun *l);
void lun_forget_wwid(struct lun *l);
/* It goes, with its paths; @errno_value (ENODEV, ESTALE) is what files open on it say when no
 * other unit shares its disk. */
void lun_gone(struct lun *l, int errno_value);

#endif
