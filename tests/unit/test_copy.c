/* SPDX-License-Identifier: BSD-2-Clause */
/* EXTENDED COPY: parameters typed from SPC-4 6.4.3, 6.4.5.2 and 6.4.6.2. */
#include "scsi/copy.h"

#include <string.h>

#include "unit.h"

static void test_copy_command(void)
{
	uint8_t cdb[16];

	memset(cdb, 0xee, sizeof(cdb));
	CU_ASSERT_EQUAL(copy_cdb(cdb), 16);
	CU_ASSERT_EQUAL(memcmp(cdb, "\x83\0\0\0\0\0\0\0\0\0\0\0\0\x6c\0\0", 16), 0);
}

static void test_copy_parameters(void)
{
	static const char want[] =
		"\x00\x18\x00\x40\x00\x00\x00\x00\x00\x00\x00\x1c\x00\x00\x00\x00"
		"\xe4\x00\x00\x00\x01\x03\x00\x10"
		"\x60\x01\x40\x51\x11\x11\x11\x11\x22\x22\x22\x22\x33\x33\x33\x33"
		"\x00\x00\x00\x00\x00\x00\x02\x00"
		"\xe4\x00\x00\x00\x01\x03\x00\x08"
		"\x50\x01\x40\x51\x11\x11\x11\x11\x00\x00\x00\x00\x00\x00\x00\x00"
		"\x00\x00\x00\x00\x00\x00\x10\x00"
		"\x02\x00\x00\x18\x00\x00\x00\x01\x00\x00\xff\xfe"
		"\x00\x00\x00\x01\x02\x03\x04\x05\x00\x00\x00\x00\x00\x00\x00\x07";
	struct copy_end from = { .block_bytes = 512, .lba = 0x102030405 };
	struct copy_end to = { .block_bytes = 4096, .lba = 7 };
	uint8_t data[COPY_BYTES];

	from.naa_bytes = copy_naa_of("naa.60014051111111112222222233333333", from.naa);
	to.naa_bytes = copy_naa_of("naa.5001405111111111", to.naa);
	CU_ASSERT_EQUAL(from.naa_bytes, 16);
	CU_ASSERT_EQUAL(to.naa_bytes, 8);
	memset(data, 0xee, sizeof(data));
	copy_encode(data, &from, &to, 0xfffe);
	CU_ASSERT_EQUAL(sizeof(want) - 1, COPY_BYTES);
	CU_ASSERT_EQUAL(memcmp(data, want, COPY_BYTES), 0);
}

static void test_copy_names_of_another_sort(void)
{
	static const char *const names[] = {
		"",
		"naa.",
		"naa.5001",
		"eui.5001405111111111",
		"naa.500140511111111g",
		"naa.5001405111111111 ",
		"naa.600140511111111122222222333333334",
		"t10.x",
	};
	uint8_t naa[COPY_NAA_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CU_ASSERT_EQUAL(copy_naa_of(names[i], naa), 0);
}

UNIT_MAIN("copy", UNIT(test_copy_command), UNIT(test_copy_parameters),
	  UNIT(test_copy_names_of_another_sort))
