/* SPDX-License-Identifier: BSD-2-Clause */
/* What one refresh of a mechanism tells of: each target gets (or keeps) the mechanism's instance,
 * and those that it does not tell of any more lose it. Events say which targets came into the tree
 * by that, and which went. */
#ifndef ISCSIFS_FOUND_H
#define ISCSIFS_FOUND_H

#include "core/target.h"

/* One refresh: from found_begin() to found_end(), in one turn of the loop. */
struct found {
	struct daemon *daemon;
	const char *mechanism, *who; /* borrowed */
	unsigned priority;
	GHashTable *names;   /* told of; owns them */
	GPtrArray *appeared; /* of char *, of @names */
};

#define FOUND_EVENTS_MAX 16 /* a refresh; more become one event that counts */

/* @mechanism: the name of its instances; @who: "discovery at 10.0.0.5:3260", for events. Both stay
 * until found_end(). */
void found_begin(struct found *f, struct daemon *d, const char *mechanism, unsigned priority,
		 const char *who);
/* It tells of @name (normalised), as target_set_instance(). The instance. */
struct instance *found_add(struct found *f, const char *name, const struct target_portal *p,
			   unsigned count, const struct login_options *o);
/* It has told of all. */
void found_end(struct found *f);

#endif
