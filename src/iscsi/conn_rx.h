/* SPDX-License-Identifier: BSD-2-Clause */
/* What conn_rx.c and conn_reject.c share: both are about PDUs from the target. */
#ifndef ISCSIFS_CONN_RX_H
#define ISCSIFS_CONN_RX_H

#include <stdbool.h>
#include <stdint.h>

struct conn;

/* @bhs breaks the protocol (@fmt says how): tell it as event @event, end the connection. */
void conn_refuse_pdu(struct conn *c, unsigned event, const uint8_t *bhs, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Count the StatSN of a PDU that has one. False: not to be processed; a duplicate, or it was not
 * plausible and the connection has been ended. */
bool conn_take_stat_sn(struct conn *c, const uint8_t *bhs);

/* 11.17 (conn_reject.c) */
void conn_on_reject(struct conn *c, const uint8_t *bhs);

#endif
