/* SPDX-License-Identifier: BSD-2-Clause */
/* What logins.c and logins_state.c have in common; nobody else includes it. */
#ifndef ISCSIFS_LOGINS_PARTS_H
#define ISCSIFS_LOGINS_PARTS_H

#include "core/logins.h"

#define LOGINS_MAX 16384
#define LOGIN_PORTALS_MAX 256 /* the best of them */

struct logins {
	struct daemon *daemon;
	GList *all; /* of struct saved_login *, by name */
	bool is_ending;
	unsigned saving; /* changes that are being written */
	/* What was told to have failed may be in a file that another change has had written since, or
	 * that was in its place when its directory could not be synchronised: to be written again. */
	bool is_stale;
	struct loop_timer late_timer; /* at start: not all were done in time */
};

/* --- logins.c --- */
/* On no list yet; one reference, the caller's. @given is copied. */
struct saved_login *saved_login_new(struct daemon *d, const char *target,
				    const struct login_options *given);
char *saved_login_name(const char *target, const char *portal, const char *source,
		       const char *instance);
struct saved_login *logins_find(const struct logins *l, const char *name);
void logins_insert(struct logins *l, struct saved_login *x); /* takes it */
void logins_drop_all(struct logins *l);

/* --- logins_state.c --- */
/* All that are not leaving; @done runs later, once. */
void logins_save(struct logins *l, void (*done)(void *arg, const GError *err), void *arg);
void logins_load(struct logins *l);

#endif
