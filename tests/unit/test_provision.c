/* SPDX-License-Identifier: BSD-2-Clause */
/* Logical block provisioning: VPD page 0xB2, GET LBA STATUS data and UNMAP parameters, typed
 * from SBC-3 6.6.4, 5.5.2 and 5.28.2, and the same with lengths that lie. */
#include "scsi/provision.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

/* @bytes in a block of exactly that length, so that the address sanitizer sees a step too far.
 */
static uint8_t *copy_of(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	memcpy(copy, bytes, len);
	return copy;
}

static int decode(const char *bytes, size_t len, struct provisioning *ret)
{
	uint8_t *copy = copy_of(bytes, len);
	int r = provision_decode(copy, len, ret);

	free(copy);
	return r;
}

static void test_provision_page(void)
{
	static const char all[] = "\x00\xb2\x00\x04\x00\xe6\x02\x00";
	struct provisioning p;

	CU_ASSERT_EQUAL(decode(all, 8, &p), 0);
	CU_ASSERT_TRUE(p.has_unmap && p.has_write_same_unmap && p.has_zeros);
	CU_ASSERT_EQUAL(p.type, 2);
	CU_ASSERT_EQUAL(decode("\x00\xb2\x00\x04\x00\x80\x01\x00", 8, &p), 0);
	CU_ASSERT_TRUE(p.has_unmap);
	CU_ASSERT_FALSE(p.has_write_same_unmap || p.has_zeros);
	CU_ASSERT_EQUAL(p.type, 1);
	/* SBC-4: LBPRZ is three bits wide, 010b is a pattern and not zeros */
	CU_ASSERT_EQUAL(decode("\x00\xb2\x00\x04\x00\x48\x02\x00", 8, &p), 0);
	CU_ASSERT_TRUE(p.has_write_same_unmap);
	CU_ASSERT_FALSE(p.has_unmap || p.has_zeros);
	CU_ASSERT_EQUAL(decode("\x00\xb2\x00\x02\x00\x80", 6, &p), 0);
	CU_ASSERT_EQUAL(p.type, 0);
}

static void test_provision_page_cut_short_or_another(void)
{
	static const char page[] = "\x00\xb2\x00\x04\x00\xe6\x02\x00";
	struct provisioning p = { .type = 7 };

	for (size_t len = 0; len < 6; len++)
		CU_ASSERT_EQUAL(decode(page, len, &p), -EPROTO);
	CU_ASSERT_EQUAL(decode("\x00\xb0\x00\x04\x00\xe6\x02\x00", 8, &p), -EPROTO);
	CU_ASSERT_EQUAL(decode("\x00\xb2\x00\x01\x00\xe6\x02\x00", 8, &p), -EPROTO);
	CU_ASSERT_EQUAL(p.type, 7);
}

#define EXTENT(lba, blocks, status) \
	"\x00\x00\x00\x00\x00\x00\x00" lba "\x00\x00\x00" blocks status "\x00\x00\x00"
/* 10 mapped from 0x10, 8 deallocated, 4 anchored, 6 mapped */
#define FOUR                                                                  \
	"\x00\x00\x00\x44\x00\x00\x00\x00" EXTENT("\x10", "\x0a", "\x00")     \
		EXTENT("\x1a", "\x08", "\x01") EXTENT("\x22", "\x04", "\x02") \
			EXTENT("\x26", "\x06", "\x00")

static uint64_t find(const char *bytes, size_t len, uint64_t lba, bool is_mapped,
		     uint64_t *ret_end)
{
	uint8_t *copy = copy_of(bytes, len);
	uint64_t at = provision_find(copy, len, lba, is_mapped, ret_end);

	free(copy);
	return at;
}

static void test_provision_extents(void)
{
	struct lba_extent e;
	const uint8_t *data = (const uint8_t *)FOUR;
	size_t len = sizeof(FOUR) - 1;

	CU_ASSERT_EQUAL(len, 8 + 4 * 16);
	CU_ASSERT_TRUE(provision_extent(data, len, 0, &e));
	CU_ASSERT_EQUAL(e.lba, 0x10);
	CU_ASSERT_EQUAL(e.blocks, 10);
	CU_ASSERT_TRUE(e.is_mapped);
	CU_ASSERT_TRUE(provision_extent(data, len, 1, &e));
	CU_ASSERT_FALSE(e.is_mapped);
	CU_ASSERT_TRUE(provision_extent(data, len, 2, &e));
	CU_ASSERT_FALSE(e.is_mapped);
	CU_ASSERT_TRUE(provision_extent(data, len, 3, &e));
	CU_ASSERT_FALSE(provision_extent(data, len, 4, &e));
	CU_ASSERT_FALSE(provision_extent(data, len - 1, 3, &e)); /* cut */
	/* The header says one, whatever comes behind it. */
	CU_ASSERT_FALSE(
		provision_extent((const uint8_t *)"\x00\x00\x00\x14\x00\x00\x00\x00" EXTENT(
					 "\x10", "\x01", "\x00") EXTENT("\x11", "\x01", "\x00"),
				 40, 1, &e));
	/* It claims four gigabytes. */
	CU_ASSERT_FALSE(provision_extent((const uint8_t *)"\xff\xff\xff\xff\x00\x00\x00\x00", 8,
					 0, &e));
}

static void test_provision_finds_holes_and_data(void)
{
	uint64_t end;

	CU_ASSERT_EQUAL(find(FOUR, 72, 0x14, true, &end), 0x14); /* inside the first */
	CU_ASSERT_EQUAL(end, 0x1a);
	CU_ASSERT_EQUAL(find(FOUR, 72, 0x14, false, &end), 0x1a);
	CU_ASSERT_EQUAL(end, 0x22);
	CU_ASSERT_EQUAL(find(FOUR + 0, 72 - 16, 0x14, false, &end), 0x1a);
	CU_ASSERT_EQUAL(find("\x00\x00\x00\x24\x00\x00\x00\x00" EXTENT("\x1a", "\x08", "\x01")
				     EXTENT("\x22", "\x04", "\x02"),
			     40, 0x1c, true, &end),
			0x26);
	CU_ASSERT_EQUAL(end, 0); /* but all of it up to there is a hole */
}

static void test_provision_does_not_believe_nonsense(void)
{
	uint64_t end;

	/* begins behind what was asked for */
	CU_ASSERT_EQUAL(find(FOUR, 72, 0x0f, true, &end), 0x0f);
	CU_ASSERT_EQUAL(end, 0);
	/* ends before it */
	CU_ASSERT_EQUAL(find("\x00\x00\x00\x14\x00\x00\x00\x00" EXTENT("\x10", "\x0a", "\x01"),
			     24, 0x1a, true, &end),
			0x1a);
	CU_ASSERT_EQUAL(end, 0);
	/* of no length */
	CU_ASSERT_EQUAL(find("\x00\x00\x00\x14\x00\x00\x00\x00" EXTENT("\x10", "\x00", "\x01"),
			     24, 0x10, true, &end),
			0x10);
	/* a gap: believed up to there */
	CU_ASSERT_EQUAL(find("\x00\x00\x00\x24\x00\x00\x00\x00" EXTENT("\x10", "\x04", "\x01")
				     EXTENT("\x18", "\x04", "\x00"),
			     40, 0x10, true, &end),
			0x14);
	CU_ASSERT_EQUAL(end, 0);
	/* over the end of all numbers */
	CU_ASSERT_EQUAL(find("\x00\x00\x00\x14\x00\x00\x00\x00"
			     "\xff\xff\xff\xff\xff\xff\xff\xf0\x00\x00\x00\x20\x01\x00\x00\x00",
			     24, UINT64_MAX - 8, true, &end),
			UINT64_MAX - 8);
	CU_ASSERT_EQUAL(end, 0);
}

static uint64_t count(const char *bytes, size_t len, uint64_t lba, uint64_t end,
		      uint64_t *ret_mapped)
{
	uint8_t *copy = copy_of(bytes, len);
	uint64_t at = provision_count(copy, len, lba, end, ret_mapped);

	free(copy);
	return at;
}

static void test_provision_counts_what_is_mapped(void)
{
	uint64_t mapped;

	CU_ASSERT_EQUAL(count(FOUR, 72, 0x10, 1000, &mapped), 0x2c);
	CU_ASSERT_EQUAL(mapped, 10 + 6);
	CU_ASSERT_EQUAL(count(FOUR, 72, 0x14, 1000, &mapped), 0x2c); /* from within */
	CU_ASSERT_EQUAL(mapped, 6 + 6);
	CU_ASSERT_EQUAL(count(FOUR, 72, 0x10, 0x28, &mapped), 0x28); /* beyond the end */
	CU_ASSERT_EQUAL(mapped, 10 + 2);
	CU_ASSERT_EQUAL(count(FOUR, 72, 0x0f, 1000, &mapped), 0x0f); /* none of it */
	CU_ASSERT_EQUAL(mapped, 0);
	CU_ASSERT_EQUAL(count("", 0, 5, 1000, &mapped), 5);
}

static void test_provision_unmap_parameters(void)
{
	uint8_t data[PROVISION_UNMAP_BYTES];

	memset(data, 0xee, sizeof(data));
	provision_unmap(data, 0x0102030405060708, 0x090a0b0c);
	CU_ASSERT_EQUAL(memcmp(data,
			       "\x00\x16\x00\x10\x00\x00\x00\x00"
			       "\x01\x02\x03\x04\x05\x06\x07\x08"
			       "\x09\x0a\x0b\x0c\x00\x00\x00\x00",
			       sizeof(data)),
			0);
}

UNIT_MAIN("provision", UNIT(test_provision_page),
	  UNIT(test_provision_page_cut_short_or_another), UNIT(test_provision_extents),
	  UNIT(test_provision_finds_holes_and_data),
	  UNIT(test_provision_does_not_believe_nonsense),
	  UNIT(test_provision_counts_what_is_mapped), UNIT(test_provision_unmap_parameters))
