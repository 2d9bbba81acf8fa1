/* SPDX-License-Identifier: BSD-2-Clause */
/* Transmit machine: see tx.h. */
#include "iscsi/tx.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/crc32c.h"
#include "iscsi/pdu.h"
#include "iscsi/task.h"

#define TX_IOVS (TX_PDUS * 3)

void tx_init(struct tx *tx, void (*released)(struct tx *, struct task *))
{
	memset(tx, 0, sizeof(*tx));
	tx->released = released;
}

bool tx_is_empty(const struct tx *tx)
{
	return !tx->slot_count;
}

bool tx_has_room(const struct tx *tx)
{
	return tx->slot_count < TX_PDUS;
}

static struct tx_slot *tx_next_slot(struct tx *tx)
{
	assert(tx_has_room(tx));
	return &tx->slots[(tx->slot_head + tx->slot_count) % TX_PDUS];
}

uint8_t *tx_header(struct tx *tx)
{
	return tx_next_slot(tx)->header;
}

/* A slot needs at most three entries, so that there is always room after compacting. */
static void tx_add_iov(struct tx *tx, const void *base, size_t bytes)
{
	if (tx->iov_head + tx->iov_count == TX_IOVS) {
		memmove(tx->iov, tx->iov + tx->iov_head, tx->iov_count * sizeof(tx->iov[0]));
		tx->iov_head = 0;
	}
	tx->iov[tx->iov_head + tx->iov_count++] =
		(struct iovec){ .iov_base = (void *)(uintptr_t)base, .iov_len = bytes };
	tx->queued_bytes += bytes;
}

void tx_push(struct tx *tx, size_t ahs_bytes, const void *data, uint32_t data_bytes,
	     struct task *task)
{
	struct tx_slot *slot = tx_next_slot(tx);
	size_t header_bytes = ISCSI_BHS_BYTES + ahs_bytes, trailer_bytes = pdu_padding(data_bytes);

	assert(header_bytes + 4 <= sizeof(slot->header));
	if (tx->has_header_digest) {
		put_le32(slot->header + header_bytes, crc32c(slot->header, header_bytes));
		header_bytes += 4;
	}
	tx_add_iov(tx, slot->header, header_bytes);
	slot->task = NULL;
	if (data_bytes) {
		tx_add_iov(tx, data, data_bytes);
		memset(slot->trailer, 0, sizeof(slot->trailer));
		if (tx->has_data_digest) {
			uint32_t crc = crc32c_update(CRC32C_INIT, data, data_bytes);

			crc = crc32c_update(crc, slot->trailer, trailer_bytes);
			put_le32(slot->trailer + trailer_bytes, crc32c_final(crc));
			trailer_bytes += 4;
		}
		if (trailer_bytes)
			tx_add_iov(tx, slot->trailer, trailer_bytes);
		if (task) {
			slot->task = task;
			task->tx_refs++;
		}
	}
	slot->end = tx->queued_bytes;
	tx->slot_count++;
	tx->pdus++;
}

static void tx_release_first(struct tx *tx)
{
	struct task *t = tx->slots[tx->slot_head].task;

	tx->slots[tx->slot_head].task = NULL;
	tx->slot_head = (tx->slot_head + 1) % TX_PDUS;
	tx->slot_count--;
	if (t) {
		t->tx_refs--;
		tx->released(tx, t);
	}
}

/* @bytes have left: forget the entries they came from. */
static void tx_advance(struct tx *tx, size_t bytes)
{
	tx->bytes += bytes;
	while (bytes) {
		struct iovec *v = &tx->iov[tx->iov_head];

		if (bytes < v->iov_len) {
			v->iov_base = (uint8_t *)v->iov_base + bytes;
			v->iov_len -= bytes;
			break;
		}
		bytes -= v->iov_len;
		tx->iov_head++;
		tx->iov_count--;
	}
	if (!tx->iov_count)
		tx->iov_head = 0;
	while (tx->slot_count && tx->slots[tx->slot_head].end <= tx->bytes)
		tx_release_first(tx);
}

int tx_flush(struct tx *tx, int fd)
{
	tx->is_blocked = false;
	while (tx->iov_count) {
		struct msghdr msg = {
			.msg_iov = tx->iov + tx->iov_head,
			.msg_iovlen = tx->iov_count,
		};
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno == EAGAIN) {
				tx->is_blocked = true;
				return 0;
			}
			return -errno;
		}
		tx_advance(tx, (size_t)n);
	}
	return 0;
}

void tx_drop(struct tx *tx)
{
	tx->iov_head = tx->iov_count = 0;
	tx->queued_bytes = tx->bytes;
	tx->is_blocked = false;
	while (tx->slot_count)
		tx_release_first(tx);
}
