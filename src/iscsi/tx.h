/* SPDX-License-Identifier: BSD-2-Clause */
/* The transmit machine of one connection: a batch of PDU headers and references to their data,
 * sent with as few sendmsg calls as there are loop turns. It copies no payload: a PDU's data
 * stay where they are until they have left, and tx tells through @released when that is so.
 *
 *   state  true in it                                                     next
 *   EMPTY  nothing to send                                                READY
 *   READY  the batch holds PDUs, none or some bytes of it have left       EMPTY, BLOCKED
 *   BLOCKED as READY; the socket took no more: waits for EPOLLOUT         READY, EMPTY
 */
#ifndef ISCSIFS_TX_H
#define ISCSIFS_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "iscsi/proto.h"

#define TX_PDUS 128 /* of a batch */
#define TX_HEADER_ROOM (ISCSI_BHS_BYTES + 20 + 4) /* BHS, AHS of a 32-byte CDB, digest */

struct task;

struct tx_slot {
	uint8_t header[TX_HEADER_ROOM];
	uint8_t trailer[8]; /* padding and data digest */
	struct task *task;  /* holds a reference of it (tx_refs) while its data is in the batch,
			       else NULL */
	uint64_t end; /* position in the stream after the last byte of this PDU */
};

struct tx {
	bool has_header_digest, has_data_digest;
	bool is_blocked;
	uint64_t bytes, pdus;  /* statistics: bytes sent, PDUs queued */
	uint64_t queued_bytes; /* stream position of the batch's end */
	unsigned slot_head, slot_count; /* ring of TX_PDUS */
	unsigned iov_head, iov_count;	/* not a ring: compacted when it runs out */
	struct tx_slot slots[TX_PDUS];
	struct iovec iov[TX_PDUS * 3];
	void (*released)(struct tx *tx, struct task *t); /* one reference of @t's data came back */
};

void tx_init(struct tx *tx, void (*released)(struct tx *, struct task *));
bool tx_is_empty(const struct tx *tx);
/* Room for one more PDU. */
bool tx_has_room(const struct tx *tx);
/* Where the next PDU's header goes: 48 bytes, and 16 more for an AHS. Only when tx_has_room().
 */
uint8_t *tx_header(struct tx *tx);
/* The header at tx_header() is complete (@ahs_bytes behind it): queue the PDU with @data_bytes
 * of @data. @task, if not NULL, keeps the data: tx_refs is raised now and lowered by
 * released(). Without a task the data must stay until the batch has left or be inside @header's
 * slot. */
void tx_push(struct tx *tx, size_t ahs_bytes, const void *data, uint32_t data_bytes,
	     struct task *task);
/* Send what the socket takes. 0 (look at is_blocked), or -errno when the connection is broken.
 */
int tx_flush(struct tx *tx, int fd);
/* Drop the batch (the connection is dead): every reference is released. */
void tx_drop(struct tx *tx);

#endif
