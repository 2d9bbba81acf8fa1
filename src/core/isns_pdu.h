/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages of the Internet Storage Name Service (RFC 4171): their bytes. All numbers are big
 * endian. A message is one PDU, or several (fragments) whose payloads are joined:
 *
 *   byte  0 version (1)        2 function            4 length of what follows the header
 *         6 flags              8 transaction        10 sequence, of the fragment: 0, 1, ...
 *
 * The payload is attributes: tag, length (a multiple of 4, padding included), value. That of an
 * answer has a status before them. Texts end with a NUL, and are padded with more of them. */
#ifndef ISCSIFS_ISNS_PDU_H
#define ISCSIFS_ISNS_PDU_H

#include <glib.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define ISNS_VERSION 1
#define ISNS_DEFAULT_PORT 3205
#define ISNS_HEADER_BYTES 12
#define ISNS_PDU_MAX 65532 /* bytes of payload */

enum isns_function { /* RFC 4171 4.1.3 */
	ISNS_DEV_ATTR_REG = 1,
	ISNS_DEV_ATTR_QRY = 2,
	ISNS_DEV_GET_NEXT = 3,
	ISNS_DEV_DEREG = 4,
	ISNS_SCN_REG = 5,
	ISNS_SCN = 8,
	ISNS_ESI = 13,
	ISNS_ANSWER = 0x8000, /* added to that of the request */
};

enum isns_flag { /* 5.1.4 */
	ISNS_FROM_CLIENT = 0x8000,
	ISNS_FROM_SERVER = 0x4000,
	ISNS_HAS_AUTHENTICATION = 0x2000,
	ISNS_REPLACE = 0x1000,
	ISNS_LAST = 0x0800,
	ISNS_FIRST = 0x0400,
};

enum isns_status { /* 5.4 */
	ISNS_OK = 0,
	ISNS_NO_SUCH_ENTRY = 9,
	ISNS_VERSION_NOT_SUPPORTED = 10,
	ISNS_INTERNAL_ERROR = 11,
	ISNS_SCN_REFUSED = 17,
	ISNS_ESI_NOT_AVAILABLE = 21,
};
/* "no such entry"; "status 99" in a static buffer for one that is not known. */
const char *isns_status_text(uint32_t status);

enum isns_tag { /* 6.1 */
	ISNS_TAG_DELIMITER = 0,
	ISNS_TAG_ENTITY = 1,
	ISNS_TAG_ENTITY_PROTOCOL = 2, /* 2: iSCSI */
	ISNS_TAG_TIMESTAMP = 4,
	ISNS_TAG_PERIOD = 6,	 /* seconds */
	ISNS_TAG_PORTAL_ADDRESS = 16, /* 16 bytes; IPv4 mapped to IPv6 */
	ISNS_TAG_PORTAL_PORT = 17,	 /* 0x10000: UDP */
	ISNS_TAG_ESI_INTERVAL = 19,
	ISNS_TAG_ESI_PORT = 20,
	ISNS_TAG_SCN_PORT = 23,
	ISNS_TAG_SECURITY = 27, /* of the portal */
	ISNS_TAG_NODE = 32,
	ISNS_TAG_NODE_TYPE = 33, /* enum isns_node_type */
	ISNS_TAG_ALIAS = 34,
	ISNS_TAG_SCN_BITMAP = 35,
	ISNS_TAG_PG_NODE = 48,
	ISNS_TAG_PG_ADDRESS = 49,
	ISNS_TAG_PG_PORT = 50,
	ISNS_TAG_PG_TAG = 51,
};

enum isns_node_type { ISNS_IS_TARGET = 1, ISNS_IS_INITIATOR = 2 };

enum isns_scn { /* 6.4.4: what one wants to be told of */
	ISNS_SCN_MEMBER_ADDED = 0x01,
	ISNS_SCN_MEMBER_REMOVED = 0x02,
	ISNS_SCN_UPDATED = 0x04,
	ISNS_SCN_ADDED = 0x08,
	ISNS_SCN_REMOVED = 0x10,
	ISNS_SCN_TARGETS_AND_SELF = 0x40, /* of these nodes only */
};

/* ---- reading ---- */

struct isns_message {
	uint16_t function, flags, transaction;
	GByteArray *payload; /* of all fragments */
};

/* Messages out of a stream of bytes. */
struct isns_reader {
	size_t max_bytes; /* of a message's payload */
	uint8_t header[ISNS_HEADER_BYTES];
	size_t header_bytes; /* of it that are there */
	size_t missing;	     /* of the fragment's payload, once the header is complete */
	bool is_joining;     /* a fragment is there, and was not the last */
	bool is_complete;    /* @message was given out */
	uint16_t sequence;   /* of the fragment that is due */
	struct isns_message message;
};
void isns_reader_init(struct isns_reader *r, size_t max_bytes);
void isns_reader_done(struct isns_reader *r);
/* Nothing of a message is there. */
bool isns_reader_is_idle(const struct isns_reader *r);
/* Eat from *@data. 1: r->message is a message, until the next call; 0: all is eaten, and more is
 * wanted; -1 and @err (EPROTO; ISDSC_INCOMPATIBLE_ISNS_VERSION, or ISDSC_NON_SPECIFIC_ERROR for
 * what is no iSNS or too long): the stream is of no use any more. */
int isns_reader_take(struct isns_reader *r, const uint8_t **data, size_t *len, GError **err);

/* Attributes, one after the other. */
struct isns_cursor {
	const uint8_t *at;
	size_t left;
	bool is_bad; /* a length that cannot be */
};
struct isns_attr {
	uint32_t tag, len;
	const uint8_t *value;
};
static inline struct isns_cursor isns_attrs(const uint8_t *data, size_t len)
{
	return (struct isns_cursor){ data, len, false };
}
/* False at the end, and when @c is bad. */
bool isns_next(struct isns_cursor *c, struct isns_attr *ret);
/* False: not of four bytes. */
bool isns_attr_number(const struct isns_attr *a, uint32_t *ret);
/* The text up to its NUL, which must be there. Borrowed; any bytes. NULL: no text, or one that is
 * longer than @max bytes. */
const char *isns_attr_text(const struct isns_attr *a, size_t max);
/* "10.0.0.5", "fe80::1"; false: no address, or one that nobody can be at. @out: of
 * INET6_ADDRSTRLEN bytes. */
bool isns_attr_address(const struct isns_attr *a, char *out);

/* ---- writing ---- */

/* A message, of one PDU: begin, put attributes, end; g_byte_array_unref(). */
GByteArray *isns_begin(uint16_t function, uint16_t flags, uint16_t transaction);
void isns_put(GByteArray *m, uint32_t tag, const void *value, size_t len); /* is padded */
void isns_put_number(GByteArray *m, uint32_t tag, uint32_t value);
void isns_put_text(GByteArray *m, uint32_t tag, const char *text);
void isns_put_address(GByteArray *m, uint32_t tag, const struct sockaddr_storage *ss);
/* Without a value: the delimiter, or an attribute that is asked for. */
void isns_put_tag(GByteArray *m, uint32_t tag);
void isns_put_status(GByteArray *m, uint32_t status);
/* False: it is too long for a PDU. */
bool isns_end(GByteArray *m);

#endif
