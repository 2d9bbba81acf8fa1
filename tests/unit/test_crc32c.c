/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/crc32c.c, both implementations. The bytes are typed from RFC 7143
 * appendix A.4 (RFC 3720 B.4). */
#include "base/crc32c.h"

#include <string.h>

#include "base/wire.h"
#include "unit.h"

typedef uint32_t update_fn(uint32_t crc, const void *data, size_t len);

static update_fn *const both[] = { crc32c_update, crc32c_update_portable };

static void expect_digest(const uint8_t *data, size_t len, const uint8_t expected[4])
{
	uint8_t wire[4];

	for (size_t i = 0; i < 2; i++) {
		put_le32(wire, crc32c_final(both[i](CRC32C_INIT, data, len)));
		CU_ASSERT_EQUAL(memcmp(wire, expected, 4), 0);
	}
	put_le32(wire, crc32c(data, len));
	CU_ASSERT_EQUAL(memcmp(wire, expected, 4), 0);
}

static void test_crc32c_of_32_zero_bytes(void)
{
	uint8_t data[32] = { 0 };

	expect_digest(data, 32, (const uint8_t[]){ 0xaa, 0x36, 0x91, 0x8a });
}

static void test_crc32c_of_32_one_bytes(void)
{
	uint8_t data[32];

	memset(data, 0xff, sizeof(data));
	expect_digest(data, 32, (const uint8_t[]){ 0x43, 0xab, 0xa8, 0x62 });
}

static void test_crc32c_of_incrementing_bytes(void)
{
	uint8_t data[32];

	for (int i = 0; i < 32; i++)
		data[i] = (uint8_t)i;
	expect_digest(data, 32, (const uint8_t[]){ 0x4e, 0x79, 0xdd, 0x46 });
}

static void test_crc32c_of_decrementing_bytes(void)
{
	uint8_t data[32];

	for (int i = 0; i < 32; i++)
		data[i] = (uint8_t)(31 - i);
	expect_digest(data, 32, (const uint8_t[]){ 0x5c, 0xdb, 0x3f, 0x11 });
}

static void test_crc32c_of_a_scsi_read_pdu(void)
{
	static const uint8_t pdu[48] = {
		0x01, 0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00,
		0x00, 0x00, 0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28, 0x00, 0x00, 0x00,
		0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
	};

	expect_digest(pdu, 48, (const uint8_t[]){ 0x56, 0x3a, 0x96, 0xd9 });
}

static void test_crc32c_of_nothing_is_zero(void)
{
	expect_digest((const uint8_t *)"", 0, (const uint8_t[]){ 0, 0, 0, 0 });
	CU_ASSERT_EQUAL(crc32c_update(0x12345678, NULL, 0), 0x12345678);
	CU_ASSERT_EQUAL(crc32c_update_portable(0x12345678, NULL, 0), 0x12345678);
}

static void test_crc32c_continues_at_any_split(void)
{
	uint8_t data[300];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + 3);
	whole = crc32c_update(CRC32C_INIT, data, sizeof(data));
	for (size_t split = 0; split <= sizeof(data); split++) {
		for (size_t i = 0; i < 2; i++) {
			uint32_t crc = both[i](CRC32C_INIT, data, split);

			crc = both[!i](crc, data + split, sizeof(data) - split);
			CU_ASSERT_EQUAL(crc, whole);
		}
	}
}

static void test_crc32c_implementations_agree_at_any_length_and_address(void)
{
	static uint8_t data[5000];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(data); i++) {
		x = x * 1664525 + 1013904223;
		data[i] = (uint8_t)(x >> 24);
	}
	for (size_t offset = 0; offset < 17; offset++)
		for (size_t len = 0; len < 300; len++)
			CU_ASSERT_EQUAL(crc32c_update(x, data + offset, len),
					crc32c_update_portable(x, data + offset, len));
	for (size_t len = 300; len < sizeof(data) - 3; len += 97)
		CU_ASSERT_EQUAL(crc32c_update(x, data + 3, len),
				crc32c_update_portable(x, data + 3, len));
}

UNIT_MAIN("crc32c", UNIT(test_crc32c_of_32_zero_bytes), UNIT(test_crc32c_of_32_one_bytes),
	  UNIT(test_crc32c_of_incrementing_bytes), UNIT(test_crc32c_of_decrementing_bytes),
	  UNIT(test_crc32c_of_a_scsi_read_pdu), UNIT(test_crc32c_of_nothing_is_zero),
	  UNIT(test_crc32c_continues_at_any_split),
	  UNIT(test_crc32c_implementations_agree_at_any_length_and_address))
