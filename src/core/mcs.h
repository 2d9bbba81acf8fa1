/* SPDX-License-Identifier: BSD-2-Clause */
/* Several connections in a session (MCS), as people ask for them: one more, one less, how
 * commands are spread over them (D1, D2). What is set here is remembered with the wanted
 * connections (revive.h): one that comes back has the role and weight it had. */
#ifndef ISCSIFS_MCS_H
#define ISCSIFS_MCS_H

#include "core/command.h"
#include "core/target.h"

/* Keys of `add-connection`. Ended by a NULL name. */
extern const struct command_key mcs_add_keys[];

/* A further connection: by the portal named, else by the next one of the target that the
 * session does not use (of its portal group), else by its own once more. EUSERS: as many as the
 * target allows are there, or on their way back. */
void mcs_add(struct nexus *n, const struct command *cmd, struct operation *op);
/* Log it out; or, if it is lost, do not bring it back. EBUSY: it is the last one. */
void mcs_remove(struct nexus *n, unsigned cid, struct operation *op);
/* An add that is under way is given up: the session is ending. */
void mcs_give_up(struct nexus *n);

/* All emit EVENT_POLICY_CHANGED. */
void mcs_set_policy(struct nexus *n, enum policy p);
/* Roles and weights of all its connections, if they fit @p: pathset.h. FALSE and @err: nothing has
 * changed. */
gboolean mcs_set_paths(struct nexus *n, enum policy p, const char *paths, GError **err);
void conn_set_role(struct conn *c, bool is_standby);
/* -EINVAL: more than POLICY_WEIGHT_MAX. */
int conn_set_weight(struct conn *c, unsigned weight);
/* "active", "standby" */
const char *conn_role_name(const struct conn *c);

#endif
