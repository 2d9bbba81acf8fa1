/* SPDX-License-Identifier: BSD-2-Clause */
/* All paths of a policy at once: the value of paths= of the verb `policy`, as in
 * "1/active,2/standby,3/standby/7" (ID[/ROLE][/WEIGHT]; the role is active when it is left out, the
 * weight stays what it is). For the connections of a session the ids are those of the connections,
 * for a LUN those of the sessions. Every path has to be there once: the policy and all roles
 * change together, or nothing does (users' guide, SetLoadBalancePolicy). */
#ifndef ISCSIFS_PATHSET_H
#define ISCSIFS_PATHSET_H

#include <glib.h>

#include "base/policy.h"

struct pathset_path {
	uint64_t id;
	bool is_standby;
	int weight; /* -1: as it is */
};

/* Array of struct pathset_path, the caller's; NULL and @err: ISDSC_INVALID_PARAMETER for what is no
 * path, ISDSC_DUPLICATE_PATH_SPECIFIED. */
GArray *pathset_parse(const char *text, GError **err);

/* Do @paths fit @policy, and are they the @count paths with these @ids? Else @err:
 * ISDSC_INVALID_PATH_ID, _PATH_COUNT_MISMATCH; for `failover` with other than one active,
 * ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED; with none at all where roles count,
 * ISDSC_NO_PRIMARY_PATH_SPECIFIED. */
gboolean pathset_check(const GArray *paths, enum policy policy, const uint64_t *ids,
		       unsigned count, GError **err);

/* That of @id, which is there. */
const struct pathset_path *pathset_find(const GArray *paths, uint64_t id);

#endif
