/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of several ways a command takes: the connections of a session (MCS) and the paths of a
 * disk (MPIO) follow the same five policies (users' guide, "Multipathing I/O").
 *
 *   policy               the next command goes by the usable way that
 *   failover             is active (oldest first); a standby one only when no active one is there
 *   round-robin          was used least recently; roles do not count
 *   round-robin-subset   was used least recently of the active ones; else of the standby ones
 *   weighted             has the lowest weight (of equals: least recently used)
 *   least-queue-depth    has the fewest commands under way (of equals: least recently used)
 *
 * A way that fails just is not usable; when it comes back it is chosen again by the same rule, so
 * roles and weights need no memory of their own. */
#ifndef ISCSIFS_POLICY_H
#define ISCSIFS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum policy {
	POLICY_FAILOVER,
	POLICY_ROUND_ROBIN,
	POLICY_ROUND_ROBIN_SUBSET,
	POLICY_WEIGHTED,
	POLICY_LEAST_QUEUE_DEPTH,
	POLICIES
};
const char *policy_name(enum policy p);
/* 0, or -EINVAL and *ret is untouched. */
int policy_parse(const char *name, enum policy *ret);

#define POLICY_WEIGHT_MAX 65535
#define POLICY_WEIGHT_DEFAULT 1

/* One way, as a member of the connection or path. */
struct lane {
	bool is_standby;
	unsigned weight;
	unsigned in_flight; /* commands under way */
	uint64_t turn;	    /* when it was used last: policy_take() */
	uint64_t order;	    /* its age: lower is older; the owner's */
};
void lane_init(struct lane *l, uint64_t order);

/* Is @a to be preferred to @b, both being usable? */
bool policy_prefers(enum policy p, const struct lane *a, const struct lane *b);
/* @l has been chosen. @clock counts the choices of its group. */
static inline void policy_take(struct lane *l, uint64_t *clock)
{
	l->turn = ++*clock;
}

#endif
