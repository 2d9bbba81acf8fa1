/* SPDX-License-Identifier: BSD-2-Clause */
/* The verb `set` of a session: time limits, in force at once, and what RFC 7143 lets an initiator
 * negotiate in full feature phase (use ALL in its section 13): MaxRecvDataSegmentLength on every
 * connection, InitiatorAlias, and private keys. What only a login can negotiate is refused and
 * says so. What was agreed on is what connections that are made later ask for. */
#ifndef ISCSIFS_RENEGOTIATE_H
#define ISCSIFS_RENEGOTIATE_H

#include "core/command.h"

extern const struct command_key renegotiate_keys[];
/* A session's object. A private key's answer is in the reply: answer="KEY=VALUE". */
void renegotiate_run(struct object *obj, const struct command *cmd, struct operation *op);
#endif
