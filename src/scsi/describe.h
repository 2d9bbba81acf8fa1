/* SPDX-License-Identifier: BSD-2-Clause */
/* What a logical unit tells of itself, for people and scripts: every field of standard INQUIRY
 * data, of the common pages of vital product data, of READ CAPACITY and REPORT LUNS, by name.
 * The fields are tables (describe.c); whoever wants them gives a sink, so that text and JSON
 * come from the same rows. SPC-4 6.6, 6.33 and 7.8, SBC-3 5.15, 5.16 and 6.6.
 *
 * As everywhere in src/scsi, no length inside the data is believed beyond the bytes that came:
 * a field of which a byte is missing is not told. */
#ifndef ISCSIFS_DESCRIBE_H
#define ISCSIFS_DESCRIBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum describe_kind {
	DESCRIBE_NUMBER,
	DESCRIBE_HEX,	/* a number too, which people know in hexadecimal */
	DESCRIBE_FLAG,	/* 0 or 1 */
	DESCRIBE_TEXT,	/* printable ASCII */
	DESCRIBE_BYTES, /* what has no better form */
};

struct describe_value {
	enum describe_kind kind;
	uint64_t number; /* NUMBER, HEX, FLAG */
	const char *text;
	const uint8_t *bytes;
	size_t len; /* of @bytes */
};

/* Told one thing after the other; what the pointers lead to is there for the call only.
 *
 *	put(name, value)                                              a field
 *	begin(name, false) put(NULL, value)... end()                  a list of values
 *	begin(name, true) item() put(name, value)... item() ... end() a list of records
 */
struct describe_sink {
	void (*put)(struct describe_sink *s, const char *name, const struct describe_value *v);
	void (*begin)(struct describe_sink *s, const char *name, bool has_records);
	void (*item)(struct describe_sink *s);
	void (*end)(struct describe_sink *s);
};

/* Standard INQUIRY data. 0, or -EPROTO: too short to be that, and nothing was told. */
int describe_inquiry(const uint8_t *data, size_t len, struct describe_sink *s);
/* A page of vital product data. Nothing is told of one that is not in the table, or when the
 * data are another page. */
void describe_page(uint8_t page, const uint8_t *data, size_t len, struct describe_sink *s);
/* "device identification"; NULL: not one of those that we know. */
const char *describe_page_name(uint8_t page);
/* The length that standard INQUIRY data, or a page, says it has in all: up to 65,539. 0: not
 * even that came. */
uint32_t describe_inquiry_bytes(bool is_page, const uint8_t *data, size_t len);

/* READ CAPACITY(10) and (16) data; errors as those of capacity_decode_10() and _16(). */
int describe_capacity_10(const uint8_t *data, size_t len, struct describe_sink *s);
int describe_capacity_16(const uint8_t *data, size_t len, struct describe_sink *s);

/* REPORT LUNS data: how many there are, and of those that came the number (else the eight
 * bytes) and the addressing method. -EPROTO: not even a header. */
int describe_luns(const uint8_t *data, size_t len, struct describe_sink *s);

#endif
