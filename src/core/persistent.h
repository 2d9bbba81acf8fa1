/* SPDX-License-Identifier: BSD-2-Clause */
/* persistent/ of the tree: persistent logins (logins.h) and bound volumes (volumes.h), and when
 * the daemon is ready. */
#ifndef ISCSIFS_PERSISTENT_H
#define ISCSIFS_PERSISTENT_H

#include "core/daemon.h"

struct persistent {
	struct object obj; /* OBJECT_PERSISTENT */
	struct daemon *daemon;
	bool is_ready; /* all bound volumes were there, or the time was up */
	void (*progress)(void *arg, unsigned missing, unsigned total);
	void (*ready)(void *arg);
	void *arg;
};

struct persistent *persistent_new(struct daemon *d);
/* The tree is mounted: saved logins begin, and @ready runs once, later, when all bound volumes are
 * there (at once, if there are none), or after conf's volumes_timeout. @progress (may be NULL)
 * before that, whenever another number of them is missing. Neither once the daemon shuts down. */
void persistent_start(struct persistent *p,
		      void (*progress)(void *arg, unsigned missing, unsigned total),
		      void (*ready)(void *arg), void *arg);

extern const struct verb persistent_verbs[], saved_login_verbs[], volume_verbs[];

#endif
