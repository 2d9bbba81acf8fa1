/* SPDX-License-Identifier: BSD-2-Clause */
/* Dialling: from the portals of a target (or of a discovery) to one session that is logged in.
 * Resolves names, tries the addresses of each portal in order, follows redirects. Every attempt
 * is a session of its own; those that failed are closed before the next one starts. */
#ifndef ISCSIFS_DIAL_H
#define ISCSIFS_DIAL_H

#include "core/target.h"
#include "iscsi/session.h"

#define DIAL_REDIRECTS_MAX 8

struct dial;

/* All is copied. */
struct dial_config {
	struct daemon *daemon;
	const char *who; /* "iqn.x", "discovery": messages begin with it */
	const struct session_config *session;
	const struct target_portal *portals; /* in the order to try */
	unsigned count;
	const char *source; /* numeric address to come from; NULL: any */
};

/* @s: logged in, its reference is the callee's, who sets its sid, ops and arg; or NULL and
 * @err: "iqn.x: login via 10.0.0.5:3260 refused: 0201 authentication failure". @portal: by
 * which the login went, or the last one tried. */
typedef void dial_fn(void *arg, struct session *s, const char *portal, const GError *err);

/* @done runs later, exactly once, unless cancelled. */
struct dial *dial_start(const struct dial_config *config, dial_fn *done, void *arg);
/* done() will not run; what is under way is dropped. NULL is fine. */
void dial_cancel(struct dial *d);

enum dial_state { DIAL_PORTAL, DIAL_RESOLVING, DIAL_ADDRESS, DIAL_LOGGING_IN, DIAL_ENDED };
/* Is the transition in the table? For the setter, and for the test that walks it. */
bool dial_state_may(enum dial_state from, enum dial_state to);

#endif
