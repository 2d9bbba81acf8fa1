/* SPDX-License-Identifier: BSD-2-Clause */
/* Dialling: from the portals of a target (or of a discovery) to one connection that is logged
 * in: the first of a new session, or one more of a session there is (which may have FAILED:
 * then it begins anew with it). Resolves all names at the same time, lets the addresses race
 * (race.h), follows redirects. Portals that failed lately (portal_health.h) are tried last.
 *
 * Every attempt at a new session is a session of its own; one that failed is closed before the
 * next begins. A session that is dialled into is never closed. */
#ifndef ISCSIFS_DIAL_H
#define ISCSIFS_DIAL_H

#include "core/target.h"
#include "iscsi/session.h"

#define DIAL_REDIRECTS_MAX 8
#define DIAL_GATHER_MS \
	50 /* for names that take longer to be resolved, before the race begins */

struct dial;

struct dial_portal {
	const char *host;
	uint16_t port;
	const char *source; /* as in resolve.h; NULL: any */
};

/* All is copied; a reference of @into is held. */
struct dial_config {
	struct daemon *daemon;
	const char *who;      /* "iqn.x", "discovery": messages begin with it */
	struct session *into; /* NULL: a new session, as @session says */
	const struct session_config *session;
	const struct dial_portal *portals; /* in the order to try */
	unsigned count;
};

/* How it ended; borrowed for the time of the callback. */
struct dial_result {
	/* Logged in: @into, or a new one, whose reference is the callee's, who sets its sid,
	 * ops and arg. NULL: see @error. */
	struct session *session;
	struct conn *conn;  /* of it */
	const char *portal; /* by which the login went, or the last one tried; "-": none */
	unsigned index;	    /* of the one of dial_config.portals that led there */
	const char *moved; /* that one has moved here for good (C8): its new address; or NULL */
	/* "iqn.x: login via 10.0.0.5:3260 refused: 0201 authentication failure; via ..." */
	const GError *error;
	unsigned event;	   /* the event (event.h) that tells the failure best */
	const char *event_data; /* what belongs to it: the target's answer ...; or NULL */
	bool is_permanent; /* refused for what we are: asking again soon has little hope */
};
typedef void dial_fn(void *arg, const struct dial_result *r);
/* A failure, as an event of @d; @more ("; trying on") follows the error. */
void dial_emit(struct daemon *d, const struct dial_result *r, const char *more);

/* @done runs later, exactly once, unless cancelled. */
struct dial *dial_start(const struct dial_config *config, dial_fn *done, void *arg);
/* done() will not run; what is under way is dropped. NULL is fine. */
void dial_cancel(struct dial *d);

enum dial_state { DIAL_RESOLVING, DIAL_RACING, DIAL_LOGGING_IN, DIAL_ENDED };
/* Is the transition in the table? For the setter, and for the test that walks it. */
bool dial_state_may(enum dial_state from, enum dial_state to);

#endif
