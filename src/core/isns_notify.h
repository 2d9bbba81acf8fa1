/* SPDX-License-Identifier: BSD-2-Clause */
/* The port that iSNS servers reach us at, with inquiries (ESI) and notifications (SCN), by TCP and
 * by UDP: one a daemon, made with the first server. Anybody can send to it: what comes is bounded,
 * and who sends something that is no iSNS is hung up on. */
#ifndef ISCSIFS_ISNS_NOTIFY_H
#define ISCSIFS_ISNS_NOTIFY_H

#include "base/loop.h"
#include "core/isns_pdu.h"

#define ISNS_NOTIFY_CONNECTIONS 32 /* a further one takes the place of the one silent longest */
#define ISNS_NOTIFY_MESSAGE_MAX 65536 /* bytes */

struct isns_notify;

/* @told: a request came from @peer; the answer, or NULL to hang up (by UDP: to say nothing). NULL
 * and @err: no such port to be had. @port 0: any. */
struct isns_notify *isns_notify_new(struct loop *l, uint16_t port,
				    GByteArray *(*told)(void *arg, const struct isns_message *m,
							const struct sockaddr_storage *peer),
				    void *arg, GError **err);
void isns_notify_free(struct isns_notify *n); /* NULL is fine */
uint16_t isns_notify_port(const struct isns_notify *n);

#endif
