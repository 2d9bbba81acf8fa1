/* SPDX-License-Identifier: BSD-2-Clause */
/* Receive machine: see rx.h for its states. */
#include "iscsi/rx.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "base/crc32c.h"
#include "iscsi/pdu.h"

void rx_init(struct rx *rx, const struct rx_ops *ops, uint8_t *staging)
{
	memset(rx, 0, sizeof(*rx));
	rx->ops = ops;
	rx->staging = staging;
	rx->max_data_bytes = ISCSI_DSL_MAX;
}

bool rx_has_buffered(const struct rx *rx)
{
	return rx->begin != rx->end;
}

static enum rx_status rx_break(struct rx *rx, const char *problem)
{
	rx->state = RX_STATE_BROKEN;
	rx->problem = problem;
	return RX_BROKEN;
}

static size_t rx_available(const struct rx *rx)
{
	return rx->end - rx->begin;
}

static enum rx_status rx_complete(struct rx *rx, bool is_digest_ok)
{
	rx->state = RX_STATE_HEADER;
	if (rx->is_lost) /* of a header that was wrong: skipped */
		return RX_AGAIN;
	rx->pdus++;
	if (rx->ops->complete(rx, rx->header, is_digest_ok) == RX_STOP)
		return RX_STOPPED;
	return RX_AGAIN;
}

/* @data_bytes follow, the first @room of them wanted at @dest (or nowhere: NULL). */
static void rx_begin_data(struct rx *rx, uint32_t data_bytes, uint8_t *dest, uint32_t room)
{
	rx->dest = dest;
	rx->room_left = dest && room < data_bytes ? room : dest ? data_bytes : 0;
	rx->data_left = data_bytes;
	rx->crc = CRC32C_INIT;
	rx->trailer_bytes = pdu_padding(data_bytes) + (rx->has_data_digest ? 4 : 0);
	rx->state = RX_STATE_DATA;
}

static void rx_tell(struct rx *rx, const uint8_t *bhs, enum rx_fault fault)
{
	if (rx->ops->bad_header)
		rx->ops->bad_header(rx, bhs, fault);
}

/* The header at @p, of @need bytes with its digest, has a wrong one. */
static enum rx_status rx_lose_header(struct rx *rx, const uint8_t *p, size_t need)
{
	uint32_t data_bytes = pdu_data_bytes(p);

	rx_tell(rx, p, RX_FAULT_DIGEST);
	if (!rx->may_resync)
		return rx_break(rx, "header digest error");
	if (rx->is_lost)
		return rx_break(rx, "header digest errors in a row");
	if (data_bytes > rx->max_data_bytes)
		return rx_break(rx, "header digest error, and a length that cannot be");
	rx->is_lost = true;
	rx->begin += need;
	if (data_bytes)
		rx_begin_data(rx, data_bytes, NULL, 0);
	return RX_AGAIN;
}

/* RX_AGAIN with the state unchanged: more bytes are needed. */
static enum rx_status rx_parse_header(struct rx *rx)
{
	const uint8_t *p = rx->staging + rx->begin;
	uint32_t data_bytes, room = 0;
	uint8_t *dest = NULL;
	size_t need, bytes;

	if (rx_available(rx) < ISCSI_BHS_BYTES)
		return RX_AGAIN;
	bytes = ISCSI_BHS_BYTES + pdu_ahs_bytes(p); /* one byte of words: at most 48 + 1020 */
	need = bytes + (rx->has_header_digest ? 4 : 0);
	if (rx_available(rx) < need)
		return RX_AGAIN;
	if (rx->has_header_digest && crc32c(p, bytes) != get_le32(p + bytes))
		return rx_lose_header(rx, p, need);
	rx->is_lost = false;
	data_bytes = pdu_data_bytes(p);
	if (data_bytes > rx->max_data_bytes) {
		rx_tell(rx, p, RX_FAULT_LENGTH);
		return rx_break(rx, "data segment longer than our MaxRecvDataSegmentLength");
	}
	memcpy(rx->header, p, bytes);
	rx->begin += need;
	if (rx->ops->header(rx, rx->header, &dest, &room) == RX_STOP)
		return RX_STOPPED;
	if (!data_bytes)
		return rx_complete(rx, true);
	rx_begin_data(rx, data_bytes, dest, room);
	return RX_AGAIN;
}

/* @bytes of the data segment are at @dest already (a direct read). */
static void rx_took(struct rx *rx, size_t bytes)
{
	if (rx->has_data_digest)
		rx->crc = crc32c_update(rx->crc, rx->dest, bytes);
	rx->dest += bytes;
	rx->room_left -= (uint32_t)bytes;
	rx->data_left -= (uint32_t)bytes;
}

static void rx_parse_data(struct rx *rx)
{
	size_t bytes = rx_available(rx), kept;

	if (bytes > rx->data_left)
		bytes = rx->data_left;
	kept = bytes < rx->room_left ? bytes : rx->room_left;
	if (rx->has_data_digest)
		rx->crc = crc32c_update(rx->crc, rx->staging + rx->begin, bytes);
	if (kept) {
		memcpy(rx->dest, rx->staging + rx->begin, kept);
		rx->dest += kept;
		rx->room_left -= (uint32_t)kept;
	}
	rx->begin += bytes;
	rx->data_left -= (uint32_t)bytes;
}

/* Padding is covered by the digest (13.1). */
static enum rx_status rx_parse_trailer(struct rx *rx)
{
	const uint8_t *p = rx->staging + rx->begin;
	unsigned padding = rx->trailer_bytes & 3;
	bool is_ok = true;

	if (rx->has_data_digest) {
		rx->crc = crc32c_final(crc32c_update(rx->crc, p, padding));
		rx->given_crc = get_le32(p + padding);
		is_ok = rx->crc == rx->given_crc;
	}
	rx->begin += rx->trailer_bytes;
	return rx_complete(rx, is_ok);
}

/* Hand out what the staging buffer holds. RX_AGAIN: it is used up as far as it goes. */
static enum rx_status rx_parse(struct rx *rx)
{
	for (;;) {
		enum rx_status status = RX_AGAIN;
		enum rx_state before = rx->state;
		size_t begin = rx->begin;

		switch (rx->state) {
		case RX_STATE_HEADER:
			status = rx_parse_header(rx);
			break;
		case RX_STATE_DATA:
			rx_parse_data(rx);
			if (!rx->data_left)
				rx->state = RX_STATE_TRAILER;
			break;
		case RX_STATE_TRAILER:
			if (rx_available(rx) >= rx->trailer_bytes)
				status = rx_parse_trailer(rx);
			break;
		case RX_STATE_BROKEN:
			return RX_BROKEN;
		}
		if (status != RX_AGAIN)
			return status;
		if (rx->state == before && rx->begin == begin)
			return RX_AGAIN;
	}
}

/* One readv: to where the data segment goes, if its staging part is used up, and behind that into
 * the staging buffer. RX_AGAIN also when the socket gave less than asked (*ret_is_drained). */
static enum rx_status rx_fill(struct rx *rx, int fd, size_t *ret_bytes, bool *ret_is_drained)
{
	struct iovec iov[2];
	int count = 0;
	size_t direct = 0, want;
	ssize_t n;

	if (rx->begin) {
		memmove(rx->staging, rx->staging + rx->begin, rx_available(rx));
		rx->end -= rx->begin;
		rx->begin = 0;
	}
	if (rx->state == RX_STATE_DATA && rx->room_left) {
		direct = rx->room_left;
		iov[count++] = (struct iovec){ rx->dest, direct };
	}
	want = direct;
	if (!direct || direct == rx->data_left) {
		iov[count++] = (struct iovec){ rx->staging + rx->end, RX_STAGING_BYTES - rx->end };
		want += RX_STAGING_BYTES - rx->end;
	}
	do
		n = readv(fd, iov, count);
	while (n < 0 && errno == EINTR);
	if (n < 0) {
		*ret_is_drained = true;
		*ret_bytes = 0;
		if (errno == EAGAIN)
			return RX_AGAIN;
		rx->error = errno;
		return RX_ERROR;
	}
	if (!n)
		return RX_CLOSED;
	rx->bytes += (size_t)n;
	*ret_bytes = (size_t)n;
	*ret_is_drained = (size_t)n < want;
	if (direct) {
		size_t took = (size_t)n < direct ? (size_t)n : direct;

		rx_took(rx, took);
		n -= (ssize_t)took;
	}
	rx->end += (size_t)n;
	return RX_AGAIN;
}

enum rx_status rx_run(struct rx *rx, int fd, size_t budget)
{
	for (;;) {
		enum rx_status status = rx_parse(rx);
		bool is_drained;
		size_t bytes;

		if (status != RX_AGAIN)
			return status;
		status = rx_fill(rx, fd, &bytes, &is_drained);
		if (status != RX_AGAIN)
			return status;
		if (is_drained || bytes >= budget)
			return rx_parse(rx);
		budget -= bytes;
	}
}
