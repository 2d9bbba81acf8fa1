/* SPDX-License-Identifier: BSD-2-Clause */
/* What a logical unit tells of itself: INQUIRY, READ CAPACITY, REPORT LUNS and MODE SENSE data
 * typed from SPC-4 and SBC-3, and the same with lengths that lie. */
#include "scsi/inquiry.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Calls @fn(bytes, ...) on a copy of exactly @len bytes, so that the address sanitizer sees a
 * step too far. */
#define ON_COPY(fn, bytes, len, ...)                                    \
	({                                                              \
		size_t copy_len = (len);                                \
		uint8_t *copy = malloc(copy_len ? copy_len : 1);        \
		memcpy(copy, (bytes), copy_len);                        \
		__auto_type result = fn(copy, copy_len, ##__VA_ARGS__); \
		free(copy);                                             \
		result;                                                 \
	})
#define ON(fn, literal, ...) ON_COPY(fn, literal, sizeof(literal) - 1, ##__VA_ARGS__)

/* @value still holds the byte that filled it. */
#define IS_UNTOUCHED(value)                                    \
	({                                                     \
		unsigned char filled[sizeof(value)];           \
		memset(filled, 0xee, sizeof(filled));          \
		memcmp(&(value), filled, sizeof(filled)) == 0; \
	})
#define FILL(value) memset(&(value), 0xee, sizeof(value))

/* ---- standard INQUIRY data -------------------------------------------------------------- */

#define STANDARD                           \
	"\x00\x00\x06\x12\x1f\x00\x10\x02" \
	"LIO-ORG "                         \
	"FILEIO          "                 \
	"4.0 "

static void test_inquiry_standard(void)
{
	struct inquiry i;

	CU_ASSERT_EQUAL(ON(inquiry_decode, STANDARD, &i), 0);
	CU_ASSERT_EQUAL(i.qualifier, 0);
	CU_ASSERT_EQUAL(i.type, 0);
	CU_ASSERT_FALSE(i.is_removable);
	CU_ASSERT_EQUAL(i.version, 6);
	CU_ASSERT_STRING_EQUAL(i.vendor, "LIO-ORG");
	CU_ASSERT_STRING_EQUAL(i.product, "FILEIO");
	CU_ASSERT_STRING_EQUAL(i.revision, "4.0");
}

static void test_inquiry_absent_unit_and_removable(void)
{
	struct inquiry i;

	CU_ASSERT_EQUAL(ON(inquiry_decode, "\x7f\x80\x05\x02\x00", &i), 0);
	CU_ASSERT_EQUAL(i.qualifier, 3);
	CU_ASSERT_EQUAL(i.type, 0x1f);
	CU_ASSERT_TRUE(i.is_removable);
	CU_ASSERT_STRING_EQUAL(i.vendor, "");
	CU_ASSERT_STRING_EQUAL(inquiry_type_name(i.type), "no device");
}

static void test_inquiry_strings_of_odd_bytes(void)
{
	struct inquiry i;

	CU_ASSERT_EQUAL(ON(inquiry_decode,
			   "\x00\x00\x06\x02\x1f\x00\x00\x00STUVWXYZ"
			   " a\x01/\xff\x7f b\0\0\0\0\0\0\0\0"
			   "\0\0\0\0",
			   &i),
			0);
	CU_ASSERT_STRING_EQUAL(i.vendor, "STUVWXYZ");
	CU_ASSERT_STRING_EQUAL(i.product, "a?/?? b");
	CU_ASSERT_STRING_EQUAL(i.revision, "");
}

static void test_inquiry_every_length_short(void)
{
	struct inquiry i;

	for (size_t len = 0; len < 5; len++) {
		FILL(i);
		CU_ASSERT_EQUAL(ON_COPY(inquiry_decode, STANDARD, len, &i), -EPROTO);
		CU_ASSERT_TRUE(IS_UNTOUCHED(i));
	}
	for (size_t len = 5; len < sizeof(STANDARD); len++) {
		CU_ASSERT_EQUAL(ON_COPY(inquiry_decode, STANDARD, len, &i), 0);
		CU_ASSERT_EQUAL(strlen(i.vendor), len < 8 ? 0 : len < 15 ? len - 8 : 7);
	}
}

static void test_inquiry_additional_length_that_lies(void)
{
	struct inquiry i;

	/* 12 ends with the first byte of the product; 255 is more than came */
	CU_ASSERT_EQUAL(ON(inquiry_decode,
			   "\x00\x00\x06\x02\x0c\x00\x00\x00VENDOR  PRODUCT         1234", &i),
			0);
	CU_ASSERT_STRING_EQUAL(i.vendor, "VENDOR");
	CU_ASSERT_STRING_EQUAL(i.product, "P");
	CU_ASSERT_STRING_EQUAL(i.revision, "");
	CU_ASSERT_EQUAL(ON(inquiry_decode,
			   "\x00\x00\x06\x02\xff\x00\x00\x00VENDOR  PRODUCT         12", &i),
			0);
	CU_ASSERT_STRING_EQUAL(i.revision, "12");
}

static void test_inquiry_type_names(void)
{
	CU_ASSERT_STRING_EQUAL(inquiry_type_name(0x00), "disk");
	CU_ASSERT_STRING_EQUAL(inquiry_type_name(0x05), "cdrom");
	CU_ASSERT_STRING_EQUAL(inquiry_type_name(0x0c), "controller");
	CU_ASSERT_STRING_EQUAL(inquiry_type_name(0x1e), "well known logical unit");
	for (unsigned type = 0; type < 256; type++)
		CU_ASSERT_PTR_NOT_NULL(inquiry_type_name((uint8_t)type));
}

/* ---- vital product data ----------------------------------------------------------------- */

static void test_inquiry_supported_pages(void)
{
#define PAGES "\x00\x00\x00\x04\x00\x80\x83\xb0"
	CU_ASSERT_TRUE(ON(inquiry_has_page, PAGES, 0x83));
	CU_ASSERT_TRUE(ON(inquiry_has_page, PAGES, 0x00));
	CU_ASSERT_FALSE(ON(inquiry_has_page, PAGES, 0xb2));
	for (size_t len = 0; len < sizeof(PAGES) - 1; len++)
		CU_ASSERT_FALSE(ON_COPY(inquiry_has_page, PAGES, len, 0xb0));
	/* the length says three; the length says 65535; another page */
	CU_ASSERT_FALSE(ON(inquiry_has_page, "\x00\x00\x00\x03\x00\x80\x83\xb0", 0xb0));
	CU_ASSERT_TRUE(ON(inquiry_has_page, "\x00\x00\xff\xff\x00\x80\x83\xb0", 0xb0));
	CU_ASSERT_FALSE(ON(inquiry_has_page, "\x00\x80\x00\x04\x00\x80\x83\xb0", 0xb0));
}

static void test_inquiry_serial_number(void)
{
	char buf[20];

	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\x00\x08  AB12  ", buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "AB12");
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\x00\x04    ", buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "");
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\x00\x00", buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "");
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\xff\xff\x01xyz", buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "?xyz");
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\x00\x08STUVWXYZ", buf, 2), 0);
	CU_ASSERT_STRING_EQUAL(buf, "S");
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\x00\x02STUVWXYZ", buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "ST");
}

static void test_inquiry_serial_of_another_page(void)
{
	char buf[20];

	FILL(buf);
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x83\x00\x04STUV", buf, sizeof(buf)), -EPROTO);
	CU_ASSERT_EQUAL(ON(inquiry_serial, "\x00\x80\x00", buf, sizeof(buf)), -EPROTO);
	CU_ASSERT_EQUAL(ON(inquiry_serial, "", buf, sizeof(buf)), -EPROTO);
	CU_ASSERT_TRUE(IS_UNTOUCHED(buf));
}

/* Designators of the logical unit: code set, type, reserved, length, bytes. */
#define D_NAA6 \
	"\x01\x03\x00\x10\x60\x01\x40\x5a\xbc\xde\xf0\x12\x34\x56\x78\x9a\xbc\xde\xf0\x12"
#define D_NAA5 "\x01\x03\x00\x08\x50\x01\x40\x5a\xbc\xde\xf0\x12"
#define D_NAA3 "\x01\x03\x00\x08\x30\x00\x00\x01\x00\x00\x00\x01"
#define D_EUI "\x01\x02\x00\x08\x00\x25\x38\x5b\x71\xb0\x0a\x01"
#define D_NAME "\x03\x08\x00\x14iqn.2001-04.a.b:c,L\0"
#define D_T10 "\x02\x01\x00\x14IET     00010001\0\0\0\0"
/* The same of the target port (association 1, with its protocol): not of the unit. */
#define D_PORT "\x51\x93\x00\x08\x50\x01\x40\x5a\xff\xff\xff\xff"

static int wwid(const char *body, size_t body_len, char *buf, size_t size)
{
	uint8_t page[512] = { 0x00, 0x83, (uint8_t)(body_len >> 8), (uint8_t)body_len };

	memcpy(page + 4, body, body_len);
	return ON_COPY(inquiry_wwid, page, 4 + body_len, buf, size);
}

#define CHECK_WWID(body, want)                                                          \
	do {                                                                            \
		char found[300];                                                        \
		CU_ASSERT_EQUAL(wwid(body, sizeof(body) - 1, found, sizeof(found)), 0); \
		CU_ASSERT_STRING_EQUAL(found, want);                                    \
	} while (0)

static void test_inquiry_wwid_of_each_kind(void)
{
	CHECK_WWID(D_NAA6, "naa.6001405abcdef0123456789abcdef012");
	CHECK_WWID(D_NAA5, "naa.5001405abcdef012");
	CHECK_WWID(D_NAA3, "naa.3000000100000001");
	CHECK_WWID(D_EUI, "eui.0025385b71b00a01");
	CHECK_WWID(D_NAME, "iqn.2001-04.a.b:c,L");
	CHECK_WWID(D_T10, "t10.IET_____00010001");
}

static void test_inquiry_wwid_takes_the_best(void)
{
	CHECK_WWID(D_PORT D_T10 D_NAME D_EUI D_NAA3 D_NAA5 D_NAA6,
		   "naa.6001405abcdef0123456789abcdef012");
	CHECK_WWID(D_PORT D_T10 D_NAME D_EUI D_NAA3 D_NAA5, "naa.5001405abcdef012");
	CHECK_WWID(D_PORT D_T10 D_NAME D_EUI D_NAA3, "eui.0025385b71b00a01");
	CHECK_WWID(D_PORT D_T10 D_NAME D_NAA3, "iqn.2001-04.a.b:c,L");
	CHECK_WWID(D_PORT D_NAA3 D_T10, "t10.IET_____00010001");
}

static void test_inquiry_wwid_is_a_file_name(void)
{
	char buf[300];

	CHECK_WWID("\x03\x08\x00\x08x/y\x01 \xffz\0", "x_y___z");
	CHECK_WWID("\x02\x01\x00\x0cS/T     ../x", "t10.S_T_____.._x");
	CU_ASSERT_EQUAL(wwid("\x03\x08\x00\x04..\0\0", 8, buf, sizeof(buf)), -ENOENT);
	CU_ASSERT_EQUAL(wwid("\x03\x08\x00\x04.\0\0\0", 8, buf, sizeof(buf)), -ENOENT);
	CU_ASSERT_EQUAL(wwid("\x03\x08\x00\x04\0\0\0\0", 8, buf, sizeof(buf)), -ENOENT);
	CU_ASSERT_EQUAL(wwid("\x03\x08\x00\x00", 4, buf, sizeof(buf)), -ENOENT);
}

static void test_inquiry_wwid_of_a_binary_t10_designator_stays_distinct(void)
{
	CHECK_WWID("\x01\x01\x00\x0aVENDOR  \x01\x02", "t10.VENDOR0102");
	CHECK_WWID("\x01\x01\x00\x0aVENDOR  \x01\x03", "t10.VENDOR0103");
}

static void test_inquiry_wwid_passes_over_what_is_wrong(void)
{
	char buf[300];

	/* NAA of a wrong length or format, EUI-64 of seven bytes, EUI-64 of zeros, T10 without
	 * more than the vendor, reserved association */
	CHECK_WWID("\x01\x03\x00\x04\x60\x01\x40\x5a" D_T10, "t10.IET_____00010001");
	CHECK_WWID("\x01\x03\x00\x08\x60\x01\x40\x5a\x00\x00\x00\x01" D_T10,
		   "t10.IET_____00010001");
	CHECK_WWID("\x01\x03\x00\x08\xf0\x01\x40\x5a\x00\x00\x00\x01" D_T10,
		   "t10.IET_____00010001");
	CHECK_WWID("\x01\x02\x00\x07\x00\x25\x38\x5b\x71\xb0\x0a" D_T10,
		   "t10.IET_____00010001");
	CHECK_WWID("\x01\x02\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00" D_T10,
		   "t10.IET_____00010001");
	CU_ASSERT_EQUAL(wwid("\x02\x01\x00\x08IET     ", 12, buf, sizeof(buf)), -ENOENT);
	CU_ASSERT_EQUAL(
		wwid("\x01\x33\x00\x08\x50\x01\x40\x5a\xbc\xde\xf0\x12", 12, buf, sizeof(buf)),
		-ENOENT);
	CU_ASSERT_EQUAL(wwid("", 0, buf, sizeof(buf)), -ENOENT);
}

static void test_inquiry_wwid_is_not_cut(void)
{
	char buf[300];

	FILL(buf);
	CU_ASSERT_EQUAL(wwid(D_NAA5 D_EUI, 24, buf, 20), -ENOENT); /* 20 and the NUL */
	CU_ASSERT_TRUE(IS_UNTOUCHED(buf));
	CU_ASSERT_EQUAL(wwid(D_NAA5 D_EUI, 24, buf, 21), 0);
	CU_ASSERT_STRING_EQUAL(buf, "naa.5001405abcdef012");
	/* a shorter one, though worse, is better than none */
	CU_ASSERT_EQUAL(wwid(D_NAA6 D_EUI, 32, buf, 21), 0);
	CU_ASSERT_STRING_EQUAL(buf, "eui.0025385b71b00a01");
	CU_ASSERT_EQUAL(wwid(D_NAA6, 20, buf, 1), -ENOENT);
}

static void test_inquiry_wwid_every_length_short(void)
{
	static const char page[] = "\x00\x83\x00\x2c" D_T10 D_NAA6;
	char buf[300];

	for (size_t len = 0; len < sizeof(page) - 1; len++) {
		int r = ON_COPY(inquiry_wwid, page, len, buf, sizeof(buf));

		CU_ASSERT_EQUAL(r, len < 4 ? -EPROTO : len < 4 + 24 ? -ENOENT : 0);
		if (r == 0)
			CU_ASSERT_STRING_EQUAL(buf, "t10.IET_____00010001");
	}
}

static void test_inquiry_wwid_lengths_inside_that_lie(void)
{
	char buf[300];

	/* the page says 24 bytes: the NAA behind them is not looked at; then 65535 */
	CU_ASSERT_EQUAL(ON(inquiry_wwid, "\x00\x83\x00\x18" D_T10 D_NAA6, buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "t10.IET_____00010001");
	CU_ASSERT_EQUAL(ON(inquiry_wwid, "\x00\x83\xff\xff" D_T10 D_NAA6, buf, sizeof(buf)), 0);
	CU_ASSERT_STRING_EQUAL(buf, "naa.6001405abcdef0123456789abcdef012");
	/* a designator of 255 bytes that are not there */
	CU_ASSERT_EQUAL(wwid("\x01\x03\x00\xff\x60\x01" D_T10, 30, buf, sizeof(buf)), -ENOENT);
}

#define LIMITS                                                             \
	"\x00\xb0\x00\x3c\x01\x02\x00\x08\x00\x01\x00\x00\x00\x00\x80\x00" \
	"\x00\x00\x10\x00\x00\x40\x00\x00\x00\x00\x00\x20\x00\x00\x00\x08" \
	"\x80\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

static void test_inquiry_block_limits(void)
{
	struct block_limits b;

	CU_ASSERT_EQUAL(ON(inquiry_block_limits, LIMITS, &b), 0);
	CU_ASSERT_EQUAL(b.optimal_granularity_blocks, 8);
	CU_ASSERT_EQUAL(b.max_transfer_blocks, 0x10000);
	CU_ASSERT_EQUAL(b.optimal_transfer_blocks, 0x8000);
	CU_ASSERT_EQUAL(b.max_unmap_blocks, 0x400000);
	CU_ASSERT_EQUAL(b.max_unmap_descriptors, 0x20);
	CU_ASSERT_EQUAL(b.unmap_granularity, 8);
	CU_ASSERT_TRUE(b.has_unmap_alignment);
	CU_ASSERT_EQUAL(b.unmap_alignment, 3);
	CU_ASSERT_EQUAL(b.max_write_same_blocks, 0x100000002);
}

static void test_inquiry_block_limits_every_length_short(void)
{
	struct block_limits b;

	for (size_t len = 0; len < sizeof(LIMITS) - 1; len++) {
		int r;

		FILL(b);
		r = ON_COPY(inquiry_block_limits, LIMITS, len, &b);
		CU_ASSERT_EQUAL(r, len < 16 ? -EPROTO : 0);
		if (r < 0) {
			CU_ASSERT_TRUE(IS_UNTOUCHED(b));
			continue;
		}
		CU_ASSERT_EQUAL(b.max_transfer_blocks, 0x10000);
		CU_ASSERT_EQUAL(b.max_unmap_blocks, len < 22 ? 0 : 0x400000);
		CU_ASSERT_EQUAL(b.has_unmap_alignment, len >= 33);
	}
	/* the page of SBC-2 says twelve, whatever follows it in the buffer */
	CU_ASSERT_EQUAL(ON(inquiry_block_limits,
			   "\x00\xb0\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03"
			   "\xff\xff\xff\xff\xff\xff\xff\xff",
			   &b),
			0);
	CU_ASSERT_EQUAL(b.optimal_transfer_blocks, 3);
	CU_ASSERT_EQUAL(b.max_unmap_blocks, 0);
}

static void test_inquiry_alignment_without_its_valid_bit(void)
{
	char page[] = LIMITS;
	struct block_limits b;

	page[32] = 0;
	CU_ASSERT_EQUAL(ON_COPY(inquiry_block_limits, page, sizeof(page) - 1, &b), 0);
	CU_ASSERT_FALSE(b.has_unmap_alignment);
	CU_ASSERT_EQUAL(b.unmap_alignment, 0);
}

/* ---- READ CAPACITY ---------------------------------------------------------------------- */

static void test_capacity_10(void)
{
	struct capacity c;

	CU_ASSERT_EQUAL(ON(capacity_decode_10, "\x00\x01\xff\xff\x00\x00\x02\x00", &c), 0);
	CU_ASSERT_EQUAL(c.blocks, 0x20000);
	CU_ASSERT_EQUAL(c.block_bytes, 512);
	CU_ASSERT_FALSE(c.is_thin || c.zeros_after_unmap || c.physical_exponent);
	CU_ASSERT_EQUAL(ON(capacity_decode_10, "\xff\xff\xff\xfe\x00\x01\x00\x00", &c), 0);
	CU_ASSERT_EQUAL(c.blocks, 0xffffffff);
	CU_ASSERT_EQUAL(ON(capacity_decode_10, "\xff\xff\xff\xff\x00\x00\x02\x00", &c),
			-EOVERFLOW);
}

/* 4 KiB physical blocks, thin, zeros after UNMAP. */
#define CAPACITY_16                                                        \
	"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02\x00\x00\x03\xc0\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

static void test_capacity_16(void)
{
	struct capacity c;

	CU_ASSERT_EQUAL(ON(capacity_decode_16, CAPACITY_16, &c), 0);
	CU_ASSERT_EQUAL(c.blocks, 0x100000001);
	CU_ASSERT_EQUAL(c.block_bytes, 512);
	CU_ASSERT_EQUAL(c.physical_exponent, 3);
	CU_ASSERT_TRUE(c.is_thin);
	CU_ASSERT_TRUE(c.zeros_after_unmap);
}

static void test_capacity_every_length_short(void)
{
	struct capacity c;

	FILL(c);
	for (size_t len = 0; len < 8; len++)
		CU_ASSERT_EQUAL(ON_COPY(capacity_decode_10, CAPACITY_16, len, &c), -EPROTO);
	for (size_t len = 0; len < 12; len++)
		CU_ASSERT_EQUAL(ON_COPY(capacity_decode_16, CAPACITY_16, len, &c), -EPROTO);
	CU_ASSERT_TRUE(IS_UNTOUCHED(c));
	for (size_t len = 12; len < 32; len++) {
		CU_ASSERT_EQUAL(ON_COPY(capacity_decode_16, CAPACITY_16, len, &c), 0);
		CU_ASSERT_EQUAL(c.physical_exponent, len > 13 ? 3 : 0);
		CU_ASSERT_EQUAL(c.is_thin, len > 14);
	}
}

static void check_range(const char *bytes12, int want)
{
	struct capacity c;

	FILL(c);
	CU_ASSERT_EQUAL(ON_COPY(capacity_decode_16, bytes12, 12, &c), want);
	CU_ASSERT_EQUAL(IS_UNTOUCHED(c), want < 0);
}

static void test_capacity_out_of_range(void)
{
	struct capacity c;

	check_range("\0\0\0\0\0\0\0\0\x00\x00\x00\x00", -ERANGE); /* block length 0 */
	check_range("\0\0\0\0\0\0\0\0\x00\x00\x02\x02", -ERANGE); /* 514 */
	check_range("\0\0\0\0\0\0\0\0\x00\x00\x02\x08", 0);	  /* 520 */
	check_range("\0\0\0\0\0\0\0\0\x00\x01\x00\x00", 0);	  /* 65536 */
	check_range("\0\0\0\0\0\0\0\0\x00\x01\x00\x04", -ERANGE);
	check_range("\0\0\0\0\0\0\0\0\x80\x00\x00\x00", -ERANGE);
	/* 2^54 blocks of 512 are 2^63 bytes; one block less is the most */
	check_range("\x00\x3f\xff\xff\xff\xff\xff\xff\x00\x00\x02\x00", -ERANGE);
	check_range("\x00\x3f\xff\xff\xff\xff\xff\xfe\x00\x00\x02\x00", 0);
	check_range("\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x02\x00", -ERANGE);
	check_range("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", -ERANGE);
	CU_ASSERT_EQUAL(ON(capacity_decode_10, "\0\0\0\0\0\0\0\0", &c), -ERANGE);
	CU_ASSERT_EQUAL(ON(capacity_decode_10, "\0\0\0\0\xff\xff\xff\xfc", &c), -ERANGE);
}

/* ---- REPORT LUNS ------------------------------------------------------------------------ */

/* LUN 0, LUN 255, flat 256, and a second level. */
#define LUNS                               \
	"\x00\x00\x00\x20\x00\x00\x00\x00" \
	"\x00\x00\x00\x00\x00\x00\x00\x00" \
	"\x00\xff\x00\x00\x00\x00\x00\x00" \
	"\x41\x00\x00\x00\x00\x00\x00\x00" \
	"\x01\x02\x03\x04\x00\x00\x00\x00"

static void test_luns_list(void)
{
	uint32_t needed;
	uint8_t lun[8];

	CU_ASSERT_EQUAL(ON(luns_needed, LUNS, &needed), 0);
	CU_ASSERT_EQUAL(needed, 40);
	CU_ASSERT_EQUAL(ON(luns_count, LUNS), 4);
	luns_get((const uint8_t *)LUNS, 3, lun);
	CU_ASSERT_EQUAL(memcmp(lun, "\x01\x02\x03\x04\0\0\0\0", 8), 0);
}

static void test_luns_every_length_short(void)
{
	for (size_t len = 0; len < sizeof(LUNS) - 1; len++) {
		uint32_t needed;

		FILL(needed);
		CU_ASSERT_EQUAL(ON_COPY(luns_needed, LUNS, len, &needed),
				len < 8 ? -EPROTO : 0);
		CU_ASSERT_EQUAL(needed, len < 8 ? 0xeeeeeeee : 40);
		CU_ASSERT_EQUAL(ON_COPY(luns_count, LUNS, len), len < 8 ? 0 : (len - 8) / 8);
	}
}

static void test_luns_length_that_lies(void)
{
	uint32_t needed;

	CU_ASSERT_EQUAL(ON(luns_count, "\x00\x00\x00\x08\0\0\0\0aaaaaaaabbbbbbbb"), 1);
	CU_ASSERT_EQUAL(ON(luns_count, "\xff\xff\xff\xff\0\0\0\0aaaaaaaabbbbbbbb"), 2);
	CU_ASSERT_EQUAL(ON(luns_count, "\x00\x00\x00\x0f\0\0\0\0aaaaaaaabbbbbbbb"), 1);
	CU_ASSERT_EQUAL(ON(luns_count, "\x00\x00\x00\x00\0\0\0\0aaaaaaaa"), 0);
	CU_ASSERT_EQUAL(ON(luns_needed, "\xff\xff\xff\xf7\0\0\0\0", &needed), 0);
	CU_ASSERT_EQUAL(needed, 0xffffffff);
	CU_ASSERT_EQUAL(ON(luns_needed, "\xff\xff\xff\xf8\0\0\0\0", &needed), -EPROTO);
	CU_ASSERT_EQUAL(ON(luns_needed, "\xff\xff\xff\xff\xff\xff\xff\xff", &needed), -EPROTO);
}

static void check_lun(const char *bytes, int want, uint32_t want_number)
{
	uint32_t number = 77;

	CU_ASSERT_EQUAL(lun_decode((const uint8_t *)bytes, &number), want);
	CU_ASSERT_EQUAL(number, want < 0 ? 77 : want_number);
}

static void test_lun_decodes_peripheral_and_flat(void)
{
	check_lun("\x00\x00\0\0\0\0\0\0", 0, 0);
	check_lun("\x00\xff\0\0\0\0\0\0", 0, 255);
	check_lun("\x40\x05\0\0\0\0\0\0", 0, 5);
	check_lun("\x41\x00\0\0\0\0\0\0", 0, 256);
	check_lun("\x7f\xff\0\0\0\0\0\0", 0, 16383);
}

static void test_lun_leaves_other_addressing_alone(void)
{
	check_lun("\x01\x00\0\0\0\0\0\0", -ENOTSUP, 0);	  /* bus 1 */
	check_lun("\x00\x01\0\x01\0\0\0\0", -ENOTSUP, 0); /* two levels */
	check_lun("\x40\x01\0\0\0\0\0\x01", -ENOTSUP, 0);
	check_lun("\x80\x01\0\0\0\0\0\0", -ENOTSUP, 0);	    /* logical unit addressing */
	check_lun("\xc1\x01\0\0\0\0\0\0", -ENOTSUP, 0);	    /* REPORT LUNS well known unit */
	check_lun("\xd2\x00\x00\x01\0\0\0\0", -ENOTSUP, 0); /* extended flat */
	check_lun("\xff\xff\xff\xff\xff\xff\xff\xff", -ENOTSUP, 0);
}

static void check_encoding(uint32_t number, const char *want)
{
	uint8_t lun[8];

	FILL(lun);
	lun_encode(number, lun);
	CU_ASSERT_EQUAL(memcmp(lun, want, 8), 0);
}

static void test_lun_encodes_peripheral_below_256(void)
{
	check_encoding(0, "\x00\x00\0\0\0\0\0\0");
	check_encoding(255, "\x00\xff\0\0\0\0\0\0");
	check_encoding(256, "\x41\x00\0\0\0\0\0\0");
	check_encoding(16383, "\x7f\xff\0\0\0\0\0\0");
}

/* ---- MODE SENSE ------------------------------------------------------------------------- */

/* Write protected, DPOFUA, a block descriptor, error recovery page, caching with WCE and RCD.
 */
#define MODE_6                                             \
	"\x2b\x00\x90\x08"                                 \
	"\x00\x00\x00\x00\x00\x00\x02\x00"                 \
	"\x81\x0a\xc0\x08\x00\x00\x00\x00\x08\x00\x00\x00" \
	"\x88\x12\x05\x00\xff\xff\x00\x00\xff\xff\xff\xff\x00\x14\x00\x00\x00\x00\x00\x00"
#define MODE_10                            \
	"\x00\x1a\x00\x10\x00\x00\x00\x00" \
	"\x08\x12\x04\x00\xff\xff\x00\x00\xff\xff\xff\xff\x00\x14\x00\x00\x00\x00\x00\x00"

static void test_mode_6(void)
{
	struct mode_caching m;

	CU_ASSERT_EQUAL(ON(mode_decode_6, MODE_6, &m), 0);
	CU_ASSERT_TRUE(m.is_write_protected);
	CU_ASSERT_TRUE(m.has_dpo_fua);
	CU_ASSERT_TRUE(m.has_page);
	CU_ASSERT_TRUE(m.write_cache);
	CU_ASSERT_TRUE(m.read_cache_disabled);
}

static void test_mode_10(void)
{
	struct mode_caching m;

	CU_ASSERT_EQUAL(ON(mode_decode_10, MODE_10, &m), 0);
	CU_ASSERT_FALSE(m.is_write_protected);
	CU_ASSERT_TRUE(m.has_dpo_fua);
	CU_ASSERT_TRUE(m.has_page);
	CU_ASSERT_TRUE(m.write_cache);
	CU_ASSERT_FALSE(m.read_cache_disabled);
}

static void test_mode_header_alone(void)
{
	struct mode_caching m;

	/* even with a mode data length of 0: protection is not to be overlooked */
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\x00\x00\x80\x00", &m), 0);
	CU_ASSERT_TRUE(m.is_write_protected);
	CU_ASSERT_FALSE(m.has_dpo_fua || m.has_page || m.write_cache);
	CU_ASSERT_EQUAL(ON(mode_decode_10, "\x00\x06\x00\x80\x00\x00\x00\x00", &m), 0);
	CU_ASSERT_TRUE(m.is_write_protected);
}

static void test_mode_every_length_short(void)
{
	struct mode_caching m;

	FILL(m);
	for (size_t len = 0; len < 4; len++)
		CU_ASSERT_EQUAL(ON_COPY(mode_decode_6, MODE_6, len, &m), -EPROTO);
	for (size_t len = 0; len < 8; len++)
		CU_ASSERT_EQUAL(ON_COPY(mode_decode_10, MODE_10, len, &m), -EPROTO);
	CU_ASSERT_TRUE(IS_UNTOUCHED(m));
	/* a page that is not all there is not believed */
	for (size_t len = 4; len < sizeof(MODE_6) - 1; len++) {
		CU_ASSERT_EQUAL(ON_COPY(mode_decode_6, MODE_6, len, &m), 0);
		CU_ASSERT_TRUE(m.is_write_protected);
		CU_ASSERT_FALSE(m.has_page || m.write_cache);
	}
	for (size_t len = 8; len < sizeof(MODE_10) - 1; len++) {
		CU_ASSERT_EQUAL(ON_COPY(mode_decode_10, MODE_10, len, &m), 0);
		CU_ASSERT_FALSE(m.has_page);
	}
}

static void test_mode_lengths_inside_that_lie(void)
{
	struct mode_caching m;

	/* mode data length ends before the page; block descriptors longer than everything */
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\x04\x00\x00\x00\x08\x02\x04\x00", &m), 0);
	CU_ASSERT_FALSE(m.has_page);
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\xff\x00\x00\xff\x08\x02\x04\x00", &m), 0);
	CU_ASSERT_FALSE(m.has_page);
	CU_ASSERT_EQUAL(
		ON(mode_decode_10, "\xff\xff\x00\x00\x00\x00\xff\xff\x08\x02\x04\x00", &m), 0);
	CU_ASSERT_FALSE(m.has_page);
	/* more data than came, but the page is there */
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\xff\x00\x00\x00\x08\x02\x04\x00", &m), 0);
	CU_ASSERT_TRUE(m.has_page && m.write_cache);
	/* a caching page of length 0 or 255; subpage 08h/01h is another page */
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\x07\x00\x00\x00\x08\x00\x04\x00", &m), 0);
	CU_ASSERT_FALSE(m.has_page);
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\x07\x00\x00\x00\x08\xff\x04\x00", &m), 0);
	CU_ASSERT_FALSE(m.has_page);
	CU_ASSERT_EQUAL(ON(mode_decode_6, "\x09\x00\x00\x00\x48\x01\x00\x02\x04\x00", &m), 0);
	CU_ASSERT_FALSE(m.has_page);
	/* a subpage is stepped over by its own length */
	CU_ASSERT_EQUAL(
		ON(mode_decode_6, "\x0c\x00\x00\x00\x4a\x01\x00\x02\x08\x02\x08\x01\x04", &m),
		0);
	CU_ASSERT_TRUE(m.has_page && m.write_cache);
}

/* ---- everything ------------------------------------------------------------------------- */

/* Bytes that promise the most everywhere, and nothing: no decoder may trip. */
static void test_all_decoders_on_uniform_bytes(void)
{
	static const uint8_t fills[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	uint8_t data[600];

	for (size_t f = 0; f < sizeof(fills); f++)
		for (size_t len = 0; len < sizeof(data); len++) {
			struct inquiry i;
			struct block_limits b;
			struct capacity c;
			struct mode_caching m;
			uint32_t needed;
			char buf[64];

			memset(data, fills[f], sizeof(data));
			ON_COPY(inquiry_decode, data, len, &i);
			ON_COPY(capacity_decode_10, data, len, &c);
			ON_COPY(capacity_decode_16, data, len, &c);
			ON_COPY(luns_needed, data, len, &needed);
			ON_COPY(luns_count, data, len);
			ON_COPY(mode_decode_6, data, len, &m);
			ON_COPY(mode_decode_10, data, len, &m);
			ON_COPY(inquiry_has_page, data, len, 0x83);
			data[1] = 0x80;
			ON_COPY(inquiry_serial, data, len, buf, sizeof(buf));
			data[1] = 0x83;
			ON_COPY(inquiry_wwid, data, len, buf, sizeof(buf));
			data[1] = 0xb0;
			ON_COPY(inquiry_block_limits, data, len, &b);
		}
	CU_PASS("came back");
}

UNIT_MAIN("inquiry", UNIT(test_inquiry_standard), UNIT(test_inquiry_absent_unit_and_removable),
	  UNIT(test_inquiry_strings_of_odd_bytes), UNIT(test_inquiry_every_length_short),
	  UNIT(test_inquiry_additional_length_that_lies), UNIT(test_inquiry_type_names),
	  UNIT(test_inquiry_supported_pages), UNIT(test_inquiry_serial_number),
	  UNIT(test_inquiry_serial_of_another_page), UNIT(test_inquiry_wwid_of_each_kind),
	  UNIT(test_inquiry_wwid_takes_the_best), UNIT(test_inquiry_wwid_is_a_file_name),
	  UNIT(test_inquiry_wwid_of_a_binary_t10_designator_stays_distinct),
	  UNIT(test_inquiry_wwid_passes_over_what_is_wrong), UNIT(test_inquiry_wwid_is_not_cut),
	  UNIT(test_inquiry_wwid_every_length_short),
	  UNIT(test_inquiry_wwid_lengths_inside_that_lie), UNIT(test_inquiry_block_limits),
	  UNIT(test_inquiry_block_limits_every_length_short),
	  UNIT(test_inquiry_alignment_without_its_valid_bit), UNIT(test_capacity_10),
	  UNIT(test_capacity_16), UNIT(test_capacity_every_length_short),
	  UNIT(test_capacity_out_of_range), UNIT(test_luns_list),
	  UNIT(test_luns_every_length_short), UNIT(test_luns_length_that_lies),
	  UNIT(test_lun_decodes_peripheral_and_flat),
	  UNIT(test_lun_leaves_other_addressing_alone),
	  UNIT(test_lun_encodes_peripheral_below_256), UNIT(test_mode_6), UNIT(test_mode_10),
	  UNIT(test_mode_header_alone), UNIT(test_mode_every_length_short),
	  UNIT(test_mode_lengths_inside_that_lie), UNIT(test_all_decoders_on_uniform_bytes))
