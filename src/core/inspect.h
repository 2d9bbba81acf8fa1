/* SPDX-License-Identifier: BSD-2-Clause */
/* Verbs that ask a unit or a connection something and tell the answer: INQUIRY, READ CAPACITY,
 * REPORT LUNS (F6) and ping. The answer is the reply of the operation. */
#ifndef ISCSIFS_INSPECT_H
#define ISCSIFS_INSPECT_H

#include <stdbool.h>

#include "core/daemon.h"
#include "core/lun.h"
#include "core/operation.h"
#include "iscsi/conn.h"

/* @page -1: standard INQUIRY data. @is_json: the reply is a line of JSON, else "ok key=value". */
void inspect_inquiry(struct lun *l, int page, bool is_json, struct operation *op);
/* READ CAPACITY(16), or (10) when the target does not know that. */
void inspect_capacity(struct lun *l, bool is_json, struct operation *op);
void inspect_luns(struct lun *l, bool is_json, struct operation *op);
/* @count pings, one after the other. */
void inspect_ping(struct daemon *d, struct conn *c, unsigned count, struct operation *op);

/* LOGICAL UNIT RESET: the unit's commands under way are aborted, and sent again. */
void inspect_reset(struct lun *l, struct operation *op);

#endif
