/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths: the ways to a logical unit. A path is one session's view of the unit; it belongs to
 * the lun object of that session's target, and to the disk that may have paths of several
 * targets.
 *
 * What is known of a path (its facts) gives its state; disk_path_update() is the one place that
 * computes and sets it, tells of a change, and wakes requests that waited. Of several reasons
 * the last of this list counts:
 *
 *   state          true in it                                            I/O
 *   OPTIMIZED      ALUA active/optimized, or the unit knows no ALUA      first
 *   NON_OPTIMIZED  ALUA active/non-optimized (or LBA dependent)          when no optimized is
 *   TRANSITIONING  ALUA: about to become something else                  waits for it
 *   STANDBY        ALUA standby: becomes active when told so (explicit   never
 *                  ALUA), or when the target likes
 *   UNAVAILABLE    ALUA unavailable or offline                           never
 *   FAILED         errors while its session looked well: PATH_ERRORS_MAX never; tried every
 *                  in a row, or a word of the target against it          PATH_TRY_MS
 *   UNVERIFIED     its session is new: it is not known yet whether it    never; looked at
 *                  leads to the same unit                                again every second
 *   LOST           its session is away                                   never
 *
 * Any state may follow any other. A path is removed (and its object gone) when its session
 * ends, when the target no longer shows the unit there, or when another unit is found at its
 * end. */
#ifndef ISCSIFS_DISK_PATH_H
#define ISCSIFS_DISK_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/object.h"
#include "base/policy.h"
#include "iscsi/session.h"
#include "scsi/alua.h"

struct disk;
struct lun;
struct query;

enum path_state {
	PATH_OPTIMIZED,
	PATH_NON_OPTIMIZED,
	PATH_TRANSITIONING,
	PATH_STANDBY,
	PATH_UNAVAILABLE,
	PATH_FAILED,
	PATH_UNVERIFIED,
	PATH_LOST,
	PATH_STATES
};
const char *path_state_name(enum path_state s); /* "optimized", "non-optimized" ... */

#define PATH_ERRORS_MAX 4
#define PATH_TRY_MS 1000

struct path_stats {
	uint64_t ios;	     /* commands sent by it */
	uint64_t errors;     /* of these: not answered, or with a word against the path */
	uint64_t failures;   /* times that it left the usable states for FAILED or LOST */
	uint64_t recoveries; /* times that it came back from there */
};

struct path {
	struct object obj;	 /* OBJECT_PATH: for the tree. The disk's reference */
	struct list link;	 /* disk->paths, oldest first */
	struct disk *disk;	 /* NULL: removed */
	struct lun *lun;	 /* of its session's target; not a reference. NULL in tests */
	struct session *session; /* a reference */
	uint8_t wire[8];	 /* the unit's number there */
	enum path_state state;
	int64_t since_us; /* wall clock: when it took this state */
	struct lane lane; /* role, weight, commands under way */
	struct path_stats stats;

	/* the facts */
	bool is_lost;	  /* the session is away */
	bool is_verified; /* leads to this unit: identity and size were seen by this session */
	bool is_doubted;  /* a unit attention says that another unit may be there now */
	unsigned doubts;  /* how often one did */
	bool is_failed;
	bool is_announced; /* its event was emitted: from now on changes are told */
	uint8_t tpgs;	   /* enum alua_tpgs */
	struct alua_port port;
	enum alua_access access; /* as told last; OPTIMIZED without ALUA */
	bool is_mute;		 /* did not answer when asked for target port groups */

	/* its persistent reservation key, as far as is known (reservation.h) */
	bool has_key;
	bool is_key_shared; /* by the verb: further paths get it, too */
	bool is_key_kept;   /* ... with APTPL */
	unsigned key_life;  /* session->lives when it was registered, or found to be */
	uint64_t key;
	unsigned legacy_life; /* session->lives when it did RESERVE of SCSI-2; 0: it did not */

	int64_t ok_us; /* loop time of the last command that went well; 0: none did */
	/* The last of disk->outages that it told of, and its stats.failures then. */
	uint64_t outage, outage_failures;
	unsigned errors_in_row;
	int64_t error_us; /* loop time of the last one: those sent before do not count again */
	struct query *look; /* under way: to find out how it is (disk_watch.c) */
};

static inline bool path_state_is_usable(enum path_state s)
{
	return s <= PATH_NON_OPTIMIZED;
}

/* Is I/O possible by it, now? */
static inline bool path_is_usable(const struct path *p)
{
	return path_state_is_usable(p->state) && session_is_usable(p->session);
}

/* A further path by @s, whose number for the unit is @wire. Unverified: set the facts, then
 * disk_path_update(). Holds a reference of @s. */
struct path *disk_path_add(struct disk *d, struct lun *lun, struct session *s,
			   const uint8_t wire[8]);
/* Commands under way by it come back from its session; their requests go on. */
void disk_path_remove(struct path *p);
/* Its disk is merged into @d: there it goes. No request of the old one may be outstanding. */
void disk_path_move(struct path *p, struct disk *d);
struct path *disk_path_find(const struct disk *d, const struct session *s);
/* The facts have changed: set the state that follows from them. */
void disk_path_update(struct path *p);

/* The usable path that the policy prefers among those in the best state, and not @avoid (may be
 * NULL) when another one is usable in any state. NULL: there is none. */
struct path *disk_path_pick(struct disk *d, const struct path *avoid);
/* A command sent at @sent_us (loop time) ended with a word against the path, or without an
 * answer. */
void disk_path_error(struct path *p, int64_t sent_us);
/* The unit says by sense data in what state it is by this path. */
void disk_path_told(struct path *p, enum alua_access access);
/* "session 1: lost, session 2: standby": for people. */
char *disk_path_list(const struct disk *d, char *buf, size_t size);

#endif
