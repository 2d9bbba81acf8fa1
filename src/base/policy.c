/* SPDX-License-Identifier: BSD-2-Clause */
/* Policies: see policy.h for what each means. */
#include "base/policy.h"

#include <errno.h>
#include <string.h>

static const char *const names[POLICIES] = {
	[POLICY_FAILOVER] = "failover",
	[POLICY_ROUND_ROBIN] = "round-robin",
	[POLICY_ROUND_ROBIN_SUBSET] = "round-robin-subset",
	[POLICY_WEIGHTED] = "weighted",
	[POLICY_LEAST_QUEUE_DEPTH] = "least-queue-depth",
};

const char *policy_name(enum policy p)
{
	return names[p];
}

int policy_parse(const char *name, enum policy *ret)
{
	for (unsigned i = 0; i < POLICIES; i++)
		if (!strcmp(names[i], name)) {
			*ret = (enum policy)i;
			return 0;
		}
	return -EINVAL;
}

void lane_init(struct lane *l, uint64_t order)
{
	*l = (struct lane){ .weight = POLICY_WEIGHT_DEFAULT, .order = order };
}

bool policy_prefers(enum policy p, const struct lane *a, const struct lane *b)
{
	bool has_roles = p == POLICY_FAILOVER || p == POLICY_ROUND_ROBIN_SUBSET;

	if (has_roles && a->is_standby != b->is_standby)
		return b->is_standby;
	if (p == POLICY_FAILOVER)
		return a->order < b->order;
	if (p == POLICY_WEIGHTED && a->weight != b->weight)
		return a->weight < b->weight;
	if (p == POLICY_LEAST_QUEUE_DEPTH && a->in_flight != b->in_flight)
		return a->in_flight < b->in_flight;
	return a->turn < b->turn;
}
