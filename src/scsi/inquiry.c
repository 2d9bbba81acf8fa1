/* SPDX-License-Identifier: BSD-2-Clause */
/* Standard INQUIRY data and the pages of vital product data that a disk needs: supported pages,
 * serial number, device identification, block limits. Two lengths bound every look: how many
 * bytes came, and how many the data says it has; the smaller counts. SPC-4 6.6 and 7.8,
 * SBC-3 6.6. */
#include "scsi/inquiry.h"

#include "base/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	PAGE_SUPPORTED = 0x00,
	PAGE_SERIAL = 0x80,
	PAGE_IDENTIFICATION = 0x83,
	PAGE_BLOCK_LIMITS = 0xb0,
	PAGE_HEADER = 4,
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_printable(uint8_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

/* Blanks, and the NULs that some targets fill up with. */
static bool is_filler(uint8_t c)
{
	return c == ' ' || c == '\0';
}

/* @len bytes of @src without the filler around them, unprintable ones as '?', terminated. */
static void copy_text(char *buf, size_t size, const uint8_t *src, size_t len)
{
	while (len > 0 && is_filler(src[len - 1]))
		len--;
	for (; len > 0 && is_filler(src[0]); len--)
		src++;
	len = smaller(len, size - 1);
	for (size_t i = 0; i < len; i++)
		buf[i] = is_printable(src[i]) ? (char)src[i] : '?';
	buf[len] = '\0';
}

/* The text at @at to @end of a field, as far as the first @len bytes of @data hold it. */
static void copy_field(char *buf, size_t size, const uint8_t *data, size_t len, size_t at,
		       size_t end)
{
	end = smaller(end, len);
	copy_text(buf, size, data + smaller(at, end), end - smaller(at, end));
}

int inquiry_decode(const uint8_t *data, size_t len, struct inquiry *ret)
{
	if (len < 5)
		return -EPROTO;
	len = smaller(len, 5 + (size_t)data[4]);
	*ret = (struct inquiry){
		.qualifier = data[0] >> 5,
		.type = data[0] & 0x1f,
		.is_removable = data[1] & 0x80,
		.version = data[2],
		.tpgs = len > 5 ? data[5] >> 4 & 3 : 0,
		.can_copy = len > 5 && data[5] & 0x08,
	};
	copy_field(ret->vendor, sizeof(ret->vendor), data, len, 8, 16);
	copy_field(ret->product, sizeof(ret->product), data, len, 16, 32);
	copy_field(ret->revision, sizeof(ret->revision), data, len, 32, 36);
	return 0;
}

const char *inquiry_type_name(uint8_t type)
{
	static const char *const names[32] = {
		[0x00] = "disk",
		[0x01] = "tape",
		[0x02] = "printer",
		[0x03] = "processor",
		[0x04] = "write once disk",
		[0x05] = "cdrom",
		[0x06] = "scanner",
		[0x07] = "optical memory",
		[0x08] = "media changer",
		[0x09] = "communications",
		[0x0c] = "controller",
		[0x0d] = "enclosure",
		[0x0e] = "simplified disk",
		[0x0f] = "card reader",
		[0x11] = "object storage",
		[0x12] = "automation drive interface",
		[0x13] = "security manager",
		[0x14] = "zoned disk",
		[0x1e] = "well known logical unit",
		[0x1f] = "no device",
	};
	const char *name = names[type & 0x1f];

	return name ? name : "unknown";
}

/* ---- vital product data --------------------------------------------------------------- */

/* Is this @page? Then @ret_body and @ret_len are what both lengths allow of its body. */
static int page_body(const uint8_t *data, size_t len, uint8_t page, const uint8_t **ret_body,
		     size_t *ret_len)
{
	if (len < PAGE_HEADER || data[1] != page)
		return -EPROTO;
	*ret_body = data + PAGE_HEADER;
	*ret_len = smaller(get_be16(data + 2), len - PAGE_HEADER);
	return 0;
}

bool inquiry_has_page(const uint8_t *page00, size_t len, uint8_t page)
{
	const uint8_t *body;

	if (page_body(page00, len, PAGE_SUPPORTED, &body, &len) < 0)
		return false;
	return len > 0 && memchr(body, page, len);
}

int inquiry_serial(const uint8_t *data, size_t len, char *buf, size_t size)
{
	const uint8_t *body;
	int r = page_body(data, len, PAGE_SERIAL, &body, &len);

	assert(size >= 2);
	if (r < 0)
		return r;
	copy_text(buf, size, body, len);
	return 0;
}

int inquiry_block_limits(const uint8_t *data, size_t len, struct block_limits *ret)
{
	/* Byte numbers as in SBC-3 6.6.3; what an older page does not have stays zero. */
	uint8_t page[44] = { 0 };
	const uint8_t *body;
	int r = page_body(data, len, PAGE_BLOCK_LIMITS, &body, &len);

	if (r < 0)
		return r;
	if (len < 12) /* SBC-2 */
		return -EPROTO;
	memcpy(page + PAGE_HEADER, body, smaller(len, sizeof(page) - PAGE_HEADER));
	*ret = (struct block_limits){
		.optimal_granularity_blocks = get_be16(page + 6),
		.max_transfer_blocks = get_be32(page + 8),
		.optimal_transfer_blocks = get_be32(page + 12),
		.max_unmap_blocks = get_be32(page + 20),
		.max_unmap_descriptors = get_be32(page + 24),
		.unmap_granularity = get_be32(page + 28),
		.has_unmap_alignment = page[32] & 0x80,
		.max_write_same_blocks = get_be64(page + 36),
	};
	if (ret->has_unmap_alignment)
		ret->unmap_alignment = get_be32(page + 32) & 0x7fffffff;
	return 0;
}

/* ---- device identification ------------------------------------------------------------ */

enum {
	DESIGNATOR_HEADER = 4,
	DESIGNATOR_T10 = 1,
	DESIGNATOR_EUI64 = 2,
	DESIGNATOR_NAA = 3,
	DESIGNATOR_SCSI_NAME = 8,
	CODE_SET_BINARY = 1,
	ASSOCIATION_LOGICAL_UNIT = 0,
	T10_VENDOR_BYTES = 8,
};

/* Takes the next designator off @body. No: the end, or one that is cut short. */
static bool next_designator(const uint8_t **body, size_t *len, struct inquiry_designator *ret)
{
	const uint8_t *d = *body;

	if (*len < DESIGNATOR_HEADER || d[3] > *len - DESIGNATOR_HEADER)
		return false;
	*ret = (struct inquiry_designator){
		.code_set = d[0] & 0x0f,
		.association = d[1] >> 4 & 3,
		.type = d[1] & 0x0f,
		.has_protocol = (d[1] & 0x80) && (d[1] >> 4 & 3) != ASSOCIATION_LOGICAL_UNIT,
		.protocol = d[0] >> 4,
		.id = d + DESIGNATOR_HEADER,
		.len = d[3],
	};
	*body += DESIGNATOR_HEADER + ret->len;
	*len -= DESIGNATOR_HEADER + ret->len;
	return true;
}

bool inquiry_next_designator(const uint8_t *data, size_t len, size_t *at,
			     struct inquiry_designator *ret)
{
	const uint8_t *body, *next;

	if (page_body(data, len, PAGE_IDENTIFICATION, &body, &len) < 0 || *at >= len)
		return false;
	next = body + *at;
	len -= *at;
	if (!next_designator(&next, &len, ret))
		return false;
	*at = (size_t)(next - body);
	return true;
}

/* Text being written into the caller's buffer; overflow is remembered, not written. */
struct writer {
	char *buf;
	size_t size, used;
	bool is_full;
};

static void write_char(struct writer *w, char c)
{
	if (w->used + 1 >= w->size) {
		w->is_full = true;
		return;
	}
	w->buf[w->used++] = c;
}

static void write_string(struct writer *w, const char *s)
{
	while (*s)
		write_char(w, *s++);
}

static void write_hex(struct writer *w, const uint8_t *id, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		write_char(w, digits[id[i] >> 4]);
		write_char(w, digits[id[i] & 0x0f]);
	}
}

/* As a file name: what cannot be in one, and blanks, as '_'. Filler at the end goes. */
static void write_name(struct writer *w, const uint8_t *id, size_t len)
{
	while (len > 0 && is_filler(id[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++) {
		bool is_fit = is_printable(id[i]) && id[i] != ' ' && id[i] != '/';

		write_char(w, is_fit ? (char)id[i] : '_');
	}
}

static void write_naa(struct writer *w, const struct inquiry_designator *d)
{
	write_string(w, "naa.");
	write_hex(w, d->id, d->len);
}

static void write_eui64(struct writer *w, const struct inquiry_designator *d)
{
	write_string(w, "eui.");
	write_hex(w, d->id, d->len);
}

static void write_scsi_name(struct writer *w, const struct inquiry_designator *d)
{
	write_name(w, d->id, d->len);
}

/* Vendor and what it chose. That may be binary, whatever the standard says: as '_' two units
 * would look like one, so then it is written in hex. */
static void write_t10(struct writer *w, const struct inquiry_designator *d)
{
	write_string(w, "t10.");
	if (d->code_set != CODE_SET_BINARY) {
		write_name(w, d->id, d->len);
		return;
	}
	write_name(w, d->id, T10_VENDOR_BYTES);
	write_hex(w, d->id + T10_VENDOR_BYTES, d->len - T10_VENDOR_BYTES);
}

static unsigned naa_format(const struct inquiry_designator *d)
{
	return d->id[0] >> 4;
}

static bool is_naa_6(const struct inquiry_designator *d)
{
	return d->len == 16 && naa_format(d) == 6;
}

static bool is_naa_2_or_5(const struct inquiry_designator *d)
{
	return d->len == 8 && (naa_format(d) == 2 || naa_format(d) == 5);
}

static bool is_naa_3(const struct inquiry_designator *d)
{
	return d->len == 8 && naa_format(d) == 3;
}

static bool is_eui64(const struct inquiry_designator *d)
{
	return d->len == 8 || d->len == 12 || d->len == 16;
}

static bool has_vendor(const struct inquiry_designator *d)
{
	return d->len > T10_VENDOR_BYTES;
}

static bool is_any(const struct inquiry_designator *d)
{
	return d->len > 0;
}

/* Best first. The length is checked before the bytes are looked at. */
static const struct designator_kind {
	uint8_t type;
	bool (*is_fit)(const struct inquiry_designator *d);
	void (*write)(struct writer *w, const struct inquiry_designator *d);
} kinds[] = {
	{ DESIGNATOR_NAA, is_naa_6, write_naa },
	{ DESIGNATOR_NAA, is_naa_2_or_5, write_naa },
	{ DESIGNATOR_EUI64, is_eui64, write_eui64 },
	{ DESIGNATOR_SCSI_NAME, is_any, write_scsi_name },
	{ DESIGNATOR_T10, has_vendor, write_t10 },
	{ DESIGNATOR_NAA, is_naa_3, write_naa },
};

static bool is_of_kind(const struct inquiry_designator *d, const struct designator_kind *kind)
{
	return d->association == ASSOCIATION_LOGICAL_UNIT && d->type == kind->type &&
	       kind->is_fit(d);
}

/* Zero bytes name nothing: some targets send such a designator until they are configured. */
static bool is_blank(const struct inquiry_designator *d)
{
	for (size_t i = 0; i < d->len; i++)
		if (!is_filler(d->id[i]))
			return false;
	return true;
}

static bool is_file_name(const char *s)
{
	return *s && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static bool write_designator(const struct inquiry_designator *d, const struct designator_kind *kind,
			     char *buf, size_t size)
{
	char name[4 + 2 * 255 + 1]; /* a prefix, and the longest designator in hex */
	struct writer w = { .buf = name, .size = smaller(sizeof(name), size) };

	kind->write(&w, d);
	name[w.used] = '\0';
	if (w.is_full || !is_file_name(name))
		return false;
	memcpy(buf, name, w.used + 1);
	return true;
}

/* The first designator of @kind in @body that can be written. */
static bool find_designator(const uint8_t *body, size_t len, const struct designator_kind *kind,
			    char *buf, size_t size)
{
	struct inquiry_designator d;

	while (next_designator(&body, &len, &d))
		if (is_of_kind(&d, kind) && !is_blank(&d) &&
		    write_designator(&d, kind, buf, size))
			return true;
	return false;
}

int inquiry_wwid(const uint8_t *data, size_t len, char *buf, size_t size)
{
	const uint8_t *body;
	int r = page_body(data, len, PAGE_IDENTIFICATION, &body, &len);

	assert(size > 0);
	if (r < 0)
		return r;
	for (size_t i = 0; i < COUNT(kinds); i++)
		if (find_designator(body, len, &kinds[i], buf, size))
			return 0;
	return -ENOENT;
}
