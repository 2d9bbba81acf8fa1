/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that send task management functions (RFC 7143 11.5): of a target, by one of its
 * sessions; of a unit's task set, by every session that shows it. None can be taken back: who
 * no longer waits lets it go on. */
#ifndef ISCSIFS_TMF_H
#define ISCSIFS_TMF_H

#include "core/lun.h"
#include "core/operation.h"
#include "core/target.h"

/* TARGET WARM RESET, TARGET COLD RESET; after the latter the target closes all connections. */
void tmf_reset_target(struct nexus *n, bool is_cold, struct operation *op);
/* ABORT TASK SET or CLEAR TASK SET of @l. What is under way here is sent again. "sessions=N" in
 * the reply. */
void tmf_unit(struct lun *l, enum iscsi_tmf function, struct operation *op);

#endif
