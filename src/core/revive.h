/* SPDX-License-Identifier: BSD-2-Clause */
/* What connections a session is to have, and getting those back that were lost. One of these a
 * nexus. Nothing is revived before somebody wants it: a login that does not succeed leaves
 * nothing behind.
 *
 *   wanted conn.  true in it                                           next
 *   UP            @conn is logged in                                   WAITING, PARKED
 *   WAITING       lost; the session lives; @attempt's timer runs       DIALLING, PARKED
 *   DIALLING      a dial into the session is under way                 UP, WAITING, PARKED
 *   PARKED        lost, and the session has FAILED: first of all       UP, WAITING
 *                 that is to come back, by any of its portals
 *
 * While the session has FAILED, one attempt of the session itself does what those of the
 * connections do otherwise: it dials the portals of all of them, then the others that discovery
 * gave for the target (unless all were named by a person), and the connection by which it comes
 * back leads; the others follow at once.
 *
 * An attempt begins when Time2Wait is over, and again after every failure, with a pause that
 * grows from 0.2 s to 2 s (30 s when the target refuses us for what we are), for ever. The
 * pause ends at once when the portal answers for someone else, or a person asks. What goes
 * wrong is told when it is something new, not each time. */
#ifndef ISCSIFS_REVIVE_H
#define ISCSIFS_REVIVE_H

#include "core/operation.h"
#include "core/target.h"

#define REVIVE_PAUSE_MS 200
#define REVIVE_PAUSE_MAX_MS 2000
#define REVIVE_REFUSED_MAX_MS 30000
/* One that was lost sooner than this counts as a failure: no storm of logins. */
#define REVIVE_STEADY_MS 5000

struct revive;

enum wanted_state { WANTED_UP, WANTED_WAITING, WANTED_DIALLING, WANTED_PARKED, WANTED_STATES };
/* Is the transition in the table? For the setter, and for the test that walks it. */
bool wanted_state_may(enum wanted_state from, enum wanted_state to);

struct revive *revive_new(struct nexus *n);
/* NULL is fine. */
void revive_free(struct revive *r);

/* From now on @c, which is logged in, is wanted, with the role and weight it has. @portal:
 * where it is to be looked for first; @is_named: and nowhere else. @source may be NULL. */
void revive_want(struct revive *r, struct conn *c, const char *portal, bool is_named,
		 const char *source);
/* It is to leave, or is lost for good. Harmless when it is not wanted. */
void revive_forget(struct revive *r, const struct conn *c);
/* The one with this number in the tree, lost or not, is no longer wanted. False: there is none.
 */
bool revive_forget_cid(struct revive *r, unsigned cid);
bool revive_has_cid(const struct revive *r, unsigned cid);
/* Its role or weight was changed: it will come back with them. */
void revive_remember_lane(struct revive *r, const struct conn *c);
/* There or not. */
unsigned revive_wanted_count(const struct revive *r);
/* How many of them are not there. */
unsigned revive_missing_count(const struct revive *r);
/* For the tree: the session as a whole (@index 0, without a portal), then each wanted
 * connection. False: no more. */
struct revive_item {
	const char *portal; /* where it is looked for first; borrowed */
	unsigned cid;	    /* of the connection, or of the one that was lost */
	bool is_up, is_dialling;
	unsigned failures; /* attempts in vain, one after the other */
	int64_t away_ms;   /* since it was lost; 0: it is up */
	int64_t next_ms;   /* until the next attempt; -1: none is due */
};
bool revive_item_at(const struct revive *r, unsigned index, struct revive_item *ret);
bool revive_uses(const struct revive *r, const char *portal, const char *source);

/* The session's news. */
void revive_conn_lost(struct revive *r, struct conn *c, const GError *err);
void revive_session_failed(struct revive *r);
/* It is back, and its units have been looked at. */
void revive_verified(struct revive *r);

/* Try at once. @op ends when the session is back, with session=, connection= and portal=, or
 * with the error of an attempt that began after this call. */
void revive_kick(struct revive *r, struct operation *op);
/* Somebody else replaces the session: no attempts until resumed. */
void revive_pause(struct revive *r);
void revive_resume(struct revive *r);
/* It is being logged out: no attempts any more; nothing comes back from here on. */
void revive_stop(struct revive *r);

#endif
