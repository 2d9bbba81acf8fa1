/* SPDX-License-Identifier: BSD-2-Clause */
/* Reservations of a unit: asking the target who is registered and who holds it, the verbs that
 * change it, what we are registered with ourselves, and the guard that keeps people from
 * opening a disk for writing that somebody else has reserved.
 *
 * A registration belongs to an I_T nexus, so each path has one of its own (path->key), which
 * outlasts the connections of its session and is gone with the session: the next one has
 * another ISID. What a path is registered with is known from our own verbs, and corrected by
 * every answer to reservation_ask(): another host may have preempted us, also while we were not
 * listening. A path that comes later is registered with what the verb `register` gave the
 * others, after the target was asked whether it still knows that key: who was fenced off must
 * not come back by a new path. After its session was restarted a path's registration is looked
 * after, since some targets forget it then.
 *
 * All of it is control path and allocates. reservation_ask.c asks, reservation.c knows,
 * reservation_verbs.c changes. */
#ifndef ISCSIFS_RESERVATION_H
#define ISCSIFS_RESERVATION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/command.h"
#include "core/lun.h"
#include "core/operation.h"
#include "scsi/reserve.h"

struct disk;
struct nexus;
struct path;

/* What the target told. */
struct reservation_view {
	uint32_t generation;
	bool is_held;
	uint8_t type;	     /* if @is_held */
	uint64_t holder;     /* its key, if @is_held; of no use when all registrants hold it */
	bool has_names;	     /* READ FULL STATUS: the registrants are named, one a nexus */
	bool is_cut;	     /* there are more than the answer had room for */
	GArray *registrants; /* of struct reserve_registrant; without names only keys */
};

/* ---- asking ---- */

struct reservation_ask;
/* Ask by the best path to the disk of @l. @done runs later, exactly once unless cancelled: with
 * @v, which is correct as of its being asked, or with @err: EOPNOTSUPP, EBUSY (somebody's
 * RESERVE of old is in force) ... Both are borrowed. Paths have been told what they are
 * registered with by then. */
struct reservation_ask *reservation_ask(struct lun *l,
					void (*done)(void *arg,
						     const struct reservation_view *v,
						     const GError *err),
					void *arg);
void reservation_ask_cancel(struct reservation_ask *a); /* NULL is fine */

/* The path of @d that is registrant @i of @v; NULL: somebody else, or unknown. */
struct path *reservation_path(const struct disk *d, const struct reservation_view *v,
			      unsigned i);
/* Does this side hold it (as one of all registrants, too)? */
bool reservation_is_held_here(const struct disk *d, const struct reservation_view *v);
/* ... or may it do what the holder may? */
bool reservation_is_open_here(const struct disk *d, const struct reservation_view *v);
/* "held by iqn.x (key 0x..., write-exclusive)", for messages. */
void reservation_describe(const struct disk *d, const struct reservation_view *v, GString *out);
/* What somebody who wants to use it can do, in the same sentence. */
void reservation_advise(const struct disk *d, const struct reservation_view *v, GString *out);

/* ---- for the tree ---- */

extern const struct verb reservation_verbs[];
/* What reading the file tells, into op->result. */
void reservation_list(struct object *lun, struct operation *op);
/* Does some session to its disk have guard=yes? */
bool reservation_is_guarded(const struct lun *l);
/* The guard: fails with EBUSY unless this side holds the persistent reservation now. */
void reservation_check(struct object *lun, struct operation *op);

/* ---- for the rest of core ---- */

/* A scan of @n found the unit at the end of @p and registered the key of the session, or did
 * not. */
void reservation_found(struct path *p, const struct nexus *n, const struct lun_facts *f);
/* Unit attention by @p (NULL: it is gone): reservations are not what they were. */
void reservation_attention(struct disk *d, struct path *p);
/* I/O met RESERVATION CONFLICT: find out who has it, in the background and now and then. */
void reservation_conflict(struct disk *d);
/* "held by ...", and what to do, for the failure of such I/O; "": not known. */
const char *reservation_blame(const struct disk *d);
/* A path of @d is usable, or has become one of its paths: does it lack a key that others have,
 * or has its session been restarted since it was registered? */
void reservation_share(struct disk *d);
/* Something of ours was changed: answers to questions asked before are old. */
void reservation_changed(struct disk *d);
/* Paths of the disk of @l that have no key are registered with @key. */
void reservation_register_rest(struct lun *l, uint64_t key);
/* Those whose session was restarted are registered with the key that they have; it is forgotten
 * if the target says that they had another one, or none. */
void reservation_register_again(struct lun *l);
/* It was registered before its session was restarted. */
bool reservation_is_in_doubt(const struct path *p);
/* The key of @p is gone: an event tells it. */
void reservation_lose_key(struct path *p);

/* --- between the files of this --- */

/* When was the last change of ours? For reservation_learn(). */
unsigned reservation_changes(const struct disk *d);
/* The target told @v, asked when there were @changes of ours. */
void reservation_learn(struct disk *d, const struct reservation_view *v, unsigned changes);
/* The best path of @d that can carry a command now, whatever its unit; @is_registered: of those
 * that we have a key for. NULL: none. */
struct path *reservation_pick(const struct disk *d, bool is_registered);

#endif
