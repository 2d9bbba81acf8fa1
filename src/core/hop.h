/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a connection of a session may go: the portals that discovery gave for the target, and
 * which of them are in use ("Portal Hopping" of the users' guide). */
#ifndef ISCSIFS_HOP_H
#define ISCSIFS_HOP_H

#include "core/target.h"

#define HOP_ANY_GROUP (-1)

/* A portal of a target, borrowed from its instance: valid until the loop comes round. */
struct hop {
	const char *host;
	uint16_t port;
	int tpgt; /* -1: not told */
};

/* All portals that the instances of @t give, the best instance first, each once. @tpgt: only
 * those of this portal group, or of one that was not told; HOP_ANY_GROUP: all. Of struct hop;
 * g_array_unref(). */
GArray *hop_list(const struct target *t, int tpgt);
/* What further connections of @s must have (RFC 7143 4.4.1: a session stays within one portal
 * group), or HOP_ANY_GROUP when the target did not tell. */
int hop_group(const struct session *s);
/* Has a session of @t but @except a connection (there or wanted) by @portal from @source? */
bool hop_is_used(const struct target *t, const struct nexus *except, const char *portal,
		 const char *source);

#endif
