/* SPDX-License-Identifier: BSD-2-Clause */
/* iSNS messages: bytes to attributes and back; isns_pdu.h is the manual. Nothing here knows
 * sockets. */
#include "core/isns_pdu.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/wire.h"

#define ATTR_HEADER_BYTES 8

const char *isns_status_text(uint32_t status)
{
	static const char *const texts[] = {
		"successful",
		"unknown error",
		"message format error",
		"invalid registration",
		"status 4",
		"invalid query",
		"source unknown",
		"source absent",
		"source not authorized",
		"no such entry",
		"version not supported",
		"internal error",
		"busy",
		"option not understood",
		"invalid update",
		"message not supported",
		"SCN event rejected",
		"SCN registration rejected",
		"attribute not implemented",
		"FC domain id not available",
		"FC domain id not allocated",
		"ESI not available",
		"invalid deregistration",
		"registration feature not supported",
	};
	static char other[sizeof("status 4294967295")];

	if (status < G_N_ELEMENTS(texts))
		return texts[status];
	snprintf(other, sizeof(other), "status %u", (unsigned)status);
	return other;
}

/* ---- reading a stream ---- */

void isns_reader_init(struct isns_reader *r, size_t max_bytes)
{
	memset(r, 0, sizeof(*r));
	r->max_bytes = max_bytes;
	r->message.payload = g_byte_array_new();
}

void isns_reader_done(struct isns_reader *r)
{
	g_clear_pointer(&r->message.payload, g_byte_array_unref);
}

bool isns_reader_is_idle(const struct isns_reader *r)
{
	return !r->header_bytes && !r->is_joining;
}

static gboolean refuse(GError **err, const char *why)
{
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EPROTO, "not understood: %s", why);
	return FALSE;
}

/* Fragments of one message follow each other (5.1.6); the first one says so, and has number 0. */
static gboolean check_place(struct isns_reader *r, GError **err)
{
	uint16_t function = get_be16(r->header + 2), flags = get_be16(r->header + 6);
	uint16_t transaction = get_be16(r->header + 8), sequence = get_be16(r->header + 10);

	if (sequence != r->sequence)
		return refuse(err, "a fragment is missing");
	if (r->is_joining && (function != r->message.function ||
			      transaction != r->message.transaction))
		return refuse(err, "a message amidst another one");
	if (r->is_joining && !r->missing)
		return refuse(err, "an empty fragment");
	r->message.function = function;
	r->message.flags = flags;
	r->message.transaction = transaction;
	return TRUE;
}

static gboolean take_header(struct isns_reader *r, GError **err)
{
	uint16_t version = get_be16(r->header);

	if (version != ISNS_VERSION) {
		error_set_errno(err, ISDSC_INCOMPATIBLE_ISNS_VERSION, EPROTO,
				"iSNS version %u is told, not 1", version);
		return FALSE;
	}
	r->missing = get_be16(r->header + 4);
	if (r->missing % 4)
		return refuse(err, "a length that is no multiple of 4");
	if (r->missing > r->max_bytes - r->message.payload->len) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EPROTO,
				"a message of more than %zu bytes", r->max_bytes);
		return FALSE;
	}
	return check_place(r, err);
}

static void eat(const uint8_t **data, size_t *len, size_t n)
{
	*data += n;
	*len -= n;
}

/* The fragment is there: was it the last one? */
static bool end_fragment(struct isns_reader *r)
{
	r->header_bytes = 0;
	r->is_joining = !(r->message.flags & ISNS_LAST);
	r->sequence = (uint16_t)(r->is_joining ? r->sequence + 1 : 0);
	r->is_complete = !r->is_joining;
	return r->is_complete;
}

int isns_reader_take(struct isns_reader *r, const uint8_t **data, size_t *len, GError **err)
{
	size_t n;

	if (r->is_complete) {
		g_byte_array_set_size(r->message.payload, 0);
		r->is_complete = false;
	}
	while (*len) {
		if (r->header_bytes < ISNS_HEADER_BYTES) {
			n = MIN(*len, ISNS_HEADER_BYTES - r->header_bytes);
			memcpy(r->header + r->header_bytes, *data, n);
			r->header_bytes += n;
			eat(data, len, n);
			if (r->header_bytes < ISNS_HEADER_BYTES)
				return 0;
			if (!take_header(r, err))
				return -1;
		}
		n = MIN(*len, r->missing);
		g_byte_array_append(r->message.payload, *data, (guint)n);
		r->missing -= n;
		eat(data, len, n);
		if (r->missing)
			return 0;
		if (end_fragment(r))
			return 1;
	}
	return 0;
}

/* ---- reading attributes ---- */

bool isns_next(struct isns_cursor *c, struct isns_attr *ret)
{
	uint32_t len;

	if (c->is_bad || !c->left)
		return false;
	if (c->left < ATTR_HEADER_BYTES) {
		c->is_bad = true;
		return false;
	}
	len = get_be32(c->at + 4);
	if (len % 4 || len > c->left - ATTR_HEADER_BYTES) {
		c->is_bad = true;
		return false;
	}
	*ret = (struct isns_attr){ get_be32(c->at), len, c->at + ATTR_HEADER_BYTES };
	c->at += ATTR_HEADER_BYTES + len;
	c->left -= ATTR_HEADER_BYTES + len;
	return true;
}

bool isns_attr_number(const struct isns_attr *a, uint32_t *ret)
{
	if (a->len != 4)
		return false;
	*ret = get_be32(a->value);
	return true;
}

const char *isns_attr_text(const struct isns_attr *a, size_t max)
{
	const uint8_t *end = a->len ? memchr(a->value, '\0', a->len) : NULL;

	return end && (size_t)(end - a->value) <= max ? (const char *)a->value : NULL;
}

bool isns_attr_address(const struct isns_attr *a, char *out)
{
	struct in6_addr in6;

	if (a->len != sizeof(in6))
		return false;
	memcpy(&in6, a->value, sizeof(in6));
	if (IN6_IS_ADDR_UNSPECIFIED(&in6) || IN6_IS_ADDR_MULTICAST(&in6))
		return false;
	/* open-isns's own tools register IPv4 addresses in the old, compatible form. */
	if (!IN6_IS_ADDR_V4MAPPED(&in6) && !IN6_IS_ADDR_V4COMPAT(&in6))
		return inet_ntop(AF_INET6, &in6, out, INET6_ADDRSTRLEN) != NULL;
	return get_be32(in6.s6_addr + 12) &&
	       inet_ntop(AF_INET, in6.s6_addr + 12, out, INET6_ADDRSTRLEN);
}

/* ---- writing ---- */

GByteArray *isns_begin(uint16_t function, uint16_t flags, uint16_t transaction)
{
	GByteArray *m = g_byte_array_new();
	uint8_t header[ISNS_HEADER_BYTES] = { 0 };

	put_be16(header, ISNS_VERSION);
	put_be16(header + 2, function);
	put_be16(header + 6, flags | ISNS_FROM_CLIENT | ISNS_FIRST | ISNS_LAST);
	put_be16(header + 8, transaction);
	return g_byte_array_append(m, header, sizeof(header));
}

static void put_header(GByteArray *m, uint32_t tag, size_t len)
{
	uint8_t header[ATTR_HEADER_BYTES];

	put_be32(header, tag);
	put_be32(header + 4, (uint32_t)len);
	g_byte_array_append(m, header, sizeof(header));
}

void isns_put(GByteArray *m, uint32_t tag, const void *value, size_t len)
{
	static const uint8_t zeros[4];
	size_t padding = -len & 3;

	put_header(m, tag, len + padding);
	g_byte_array_append(m, value, (guint)len);
	g_byte_array_append(m, zeros, (guint)padding);
}

void isns_put_number(GByteArray *m, uint32_t tag, uint32_t value)
{
	uint8_t bytes[4];

	put_be32(bytes, value);
	isns_put(m, tag, bytes, sizeof(bytes));
}

void isns_put_text(GByteArray *m, uint32_t tag, const char *text)
{
	isns_put(m, tag, text, strlen(text) + 1);
}

void isns_put_address(GByteArray *m, uint32_t tag, const struct sockaddr_storage *ss)
{
	uint8_t bytes[16] = { [10] = 0xff, [11] = 0xff };

	if (ss->ss_family == AF_INET6)
		memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)ss)->sin6_addr, 16);
	else
		memcpy(bytes + 12, &((const struct sockaddr_in *)(const void *)ss)->sin_addr, 4);
	isns_put(m, tag, bytes, sizeof(bytes));
}

void isns_put_tag(GByteArray *m, uint32_t tag)
{
	put_header(m, tag, 0);
}

void isns_put_status(GByteArray *m, uint32_t status)
{
	uint8_t bytes[4];

	put_be32(bytes, status);
	g_byte_array_append(m, bytes, sizeof(bytes));
}

bool isns_end(GByteArray *m)
{
	size_t len = m->len - ISNS_HEADER_BYTES;

	if (len > ISNS_PDU_MAX)
		return false;
	put_be16(m->data + 4, (uint16_t)len);
	return true;
}
