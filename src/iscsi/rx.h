/* SPDX-License-Identifier: BSD-2-Clause */
/* The receive machine of one connection: bytes in, whole PDUs out. It knows framing, digests
 * and where the data of a PDU is wanted; what a PDU means is its user's (conn.c). It knows no
 * session.
 *
 *   state   true in it                                                       next
 *   HEADER  collecting BHS, AHS and header digest in the staging buffer      DATA, HEADER, BROKEN
 *   DATA    header accepted; data segment goes straight to @dest (or is      TRAILER
 *           skipped when there is none); @data_left of it is missing
 *   TRAILER padding and data digest come through the staging buffer          HEADER
 *   BROKEN  a framing, digest or handler error: nothing more is read         -
 *
 * After a header digest error the stream is BROKEN, unless @may_resync: then the header's lengths
 * are tried (7.8: they may be what is wrong), its data segment is skipped, and the stream is good
 * again when the digest of the header after it is right (@is_lost until then). One that is wrong as
 * well is the end.
 *
 * Small PDUs arrive many to a system call in the staging buffer; of a large data segment, what
 * is not there yet is read straight to its place, with the staging buffer behind it in the same
 * readv, so that the next header costs no call of its own. */
#ifndef ISCSIFS_RX_H
#define ISCSIFS_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "iscsi/proto.h"

#define RX_STAGING_BYTES 65536

struct rx;

enum rx_status {
	RX_AGAIN,  /* the socket has no more, or the budget is used up */
	RX_CLOSED, /* end of file */
	RX_ERROR,  /* socket error: errno in @error */
	RX_BROKEN, /* @problem says what is wrong with the stream */
	RX_STOPPED, /* a handler asked to stop; nothing more may be touched */
};

enum rx_verdict { RX_OK, RX_STOP };

/* What is wrong with a header. */
enum rx_fault { RX_FAULT_DIGEST, RX_FAULT_LENGTH };

struct rx_ops {
	/* A header (with its AHS at bhs + 48, not longer than @max_ahs_bytes) has come and
	 * passed its digest. Says where its data segment goes: *ret_dest for at most *ret_room
	 * bytes (the rest is skipped); NULL skips it all. RX_STOP: the user closed us. */
	enum rx_verdict (*header)(struct rx *rx, const uint8_t *bhs, uint8_t **ret_dest,
				  uint32_t *ret_room);
	/* The data segment is complete and its digest is right, or (is_digest_ok false) is not. */
	enum rx_verdict (*complete)(struct rx *rx, const uint8_t *bhs, bool is_digest_ok);
	/* A header will not be handed out: RX_BROKEN follows, or the stream goes on after it. For
	 * counting and telling only. May be NULL. */
	void (*bad_header)(struct rx *rx, const uint8_t *bhs, enum rx_fault fault);
};

enum rx_state { RX_STATE_HEADER, RX_STATE_DATA, RX_STATE_TRAILER, RX_STATE_BROKEN };

struct rx {
	const struct rx_ops *ops;
	enum rx_state state;
	bool has_header_digest, has_data_digest;
	bool may_resync, is_lost;
	uint32_t max_data_bytes; /* our MaxRecvDataSegmentLength */
	const char *problem;	 /* RX_BROKEN */
	int error;		 /* RX_ERROR: positive errno */
	uint64_t bytes, pdus;	 /* statistics */

	uint8_t *staging; /* RX_STAGING_BYTES */
	size_t begin, end;
	uint8_t header[ISCSI_BHS_BYTES + ISCSI_AHS_BYTES_MAX];
	uint8_t *dest;
	uint32_t data_left, room_left, crc;
	uint32_t given_crc; /* of the last data segment: what its digest said (@crc: what it was) */
	unsigned trailer_bytes;
};

/* @staging is the caller's, RX_STAGING_BYTES of it. */
void rx_init(struct rx *rx, const struct rx_ops *ops, uint8_t *staging);
/* Read from @fd and hand out PDUs until it has no more or @budget bytes are used up. */
enum rx_status rx_run(struct rx *rx, int fd, size_t budget);
/* Something is in the staging buffer that was not handed out yet (the digest setting changed
 * between: login). */
bool rx_has_buffered(const struct rx *rx);

#endif
