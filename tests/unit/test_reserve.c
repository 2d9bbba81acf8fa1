/* SPDX-License-Identifier: BSD-2-Clause */
/* Reservations, against bytes typed from the tables of SPC-4 6.15, 6.16 and 7.6.4.6. */
#include "scsi/reserve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cdb_check.h"
#include "scsi/cdb.h"

/* ---- types ---- */

static void test_reserve_types_have_names_both_ways(void)
{
	static const struct {
		uint8_t type;
		const char *name;
		bool is_shared, is_all;
	} rows[] = {
		{ 1, "write-exclusive", false, false },
		{ 3, "exclusive-access", false, false },
		{ 5, "write-exclusive-registrants-only", true, false },
		{ 6, "exclusive-access-registrants-only", true, false },
		{ 7, "write-exclusive-all-registrants", true, true },
		{ 8, "exclusive-access-all-registrants", true, true },
	};
	unsigned named = 0;
	uint8_t type;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_STRING_EQUAL(reserve_type_name(rows[i].type), rows[i].name);
		CU_ASSERT_EQUAL(reserve_type_parse(rows[i].name, &type), 0);
		CU_ASSERT_EQUAL(type, rows[i].type);
		CU_ASSERT_EQUAL(reserve_type_is_shared(type), rows[i].is_shared);
		CU_ASSERT_EQUAL(reserve_type_is_all(type), rows[i].is_all);
	}
	for (unsigned i = 0; i < 256; i++)
		named += strcmp(reserve_type_name((uint8_t)i), "unknown type") != 0;
	CU_ASSERT_EQUAL(named, 6);
	CU_ASSERT_FALSE(reserve_type_is_shared(0));
	CU_ASSERT_EQUAL(reserve_type_parse("write", &type), -EINVAL);
	CU_ASSERT_EQUAL(reserve_type_parse("", &type), -EINVAL);
}

/* ---- commands ---- */

static void test_reserve_in_commands(void)
{
	CHECK_CDB("\x5e\x00\x00\x00\x00\x00\x00\x01\x02\x00", reserve_in_cdb, RESERVE_READ_KEYS,
		  0x0102);
	CHECK_CDB("\x5e\x01\x00\x00\x00\x00\x00\x00\x18\x00", reserve_in_cdb,
		  RESERVE_READ_RESERVATION, 24);
	CHECK_CDB("\x5e\x03\x00\x00\x00\x00\x00\xff\xff\x00", reserve_in_cdb,
		  RESERVE_READ_FULL_STATUS, 65535);
}

static void test_reserve_out_commands(void)
{
	CHECK_CDB("\x5f\x00\x00\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb, RESERVE_REGISTER,
		  0);
	CHECK_CDB("\x5f\x01\x05\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb, RESERVE_RESERVE,
		  RESERVE_WRITE_EXCLUSIVE_REGISTRANTS);
	CHECK_CDB("\x5f\x02\x08\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb, RESERVE_RELEASE,
		  RESERVE_EXCLUSIVE_ACCESS_ALL);
	CHECK_CDB("\x5f\x03\x00\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb, RESERVE_CLEAR,
		  0);
	CHECK_CDB("\x5f\x04\x01\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb, RESERVE_PREEMPT,
		  RESERVE_WRITE_EXCLUSIVE);
	CHECK_CDB("\x5f\x05\x03\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb,
		  RESERVE_PREEMPT_AND_ABORT, RESERVE_EXCLUSIVE_ACCESS);
	CHECK_CDB("\x5f\x06\x00\x00\x00\x00\x00\x00\x18\x00", reserve_out_cdb,
		  RESERVE_REGISTER_AND_IGNORE, 0);
}

static void test_reserve_out_parameters(void)
{
	static const uint8_t want[24] = { 1,	2,    3,    4,	  5,	6,    7,    8,
					  0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
					  0,	0,    0,    0,	  0x01, 0,    0,    0 };
	uint8_t data[24];

	memset(data, 0xee, sizeof(data));
	reserve_out_encode(data, 0x0102030405060708, 0x1112131415161718, true);
	CU_ASSERT_EQUAL(memcmp(data, want, sizeof(want)), 0);
	reserve_out_encode(data, 0, 0, false);
	CU_ASSERT_EQUAL(data[20], 0);
}

static void test_reserve_of_old(void)
{
	CHECK_CDB("\x16\x00\x00\x00\x00\x00", reserve_legacy_cdb, false, false);
	CHECK_CDB("\x17\x00\x00\x00\x00\x00", reserve_legacy_cdb, true, false);
	CHECK_CDB("\x56\x00\x00\x00\x00\x00\x00\x00\x00\x00", reserve_legacy_cdb, false, true);
	CHECK_CDB("\x57\x00\x00\x00\x00\x00\x00\x00\x00\x00", reserve_legacy_cdb, true, true);
}

/* ---- PERSISTENT RESERVE IN ---- */

static void test_reserve_keys_as_far_as_they_came(void)
{
	static const uint8_t data[] = {
		0, 0, 1, 5, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0,    0,    0xaa,
		1, 2, 3, 4, 5, 6, 7, 8,	 0, 0, 0, 0, 0, 0xbb, 0xbb, 0xbb,
	};
	static const uint8_t none[] = { 0,    0,    0,	  9,	0,    0,    0,	  0,
					0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t endless[] = { 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff, 0, 0 };
	uint32_t generation, needed;

	CU_ASSERT_EQUAL(reserve_list_header(data, sizeof(data), &generation, &needed), 0);
	CU_ASSERT_EQUAL(generation, 0x105);
	CU_ASSERT_EQUAL(needed, 32);
	CU_ASSERT_EQUAL(reserve_keys_count(data, sizeof(data)), 3);
	CU_ASSERT_EQUAL(reserve_keys_get(data, 0), 0xaa);
	CU_ASSERT_EQUAL(reserve_keys_get(data, 1), 0x0102030405060708);
	CU_ASSERT_EQUAL(reserve_keys_get(data, 2), 0xbbbbbb);
	CU_ASSERT_EQUAL(reserve_keys_count(data, 31), 2);
	CU_ASSERT_EQUAL(reserve_keys_count(data, 8), 0);
	CU_ASSERT_EQUAL(reserve_keys_count(data, 7), 0);
	CU_ASSERT_EQUAL(reserve_list_header(data, 7, NULL, NULL), -EPROTO);
	CU_ASSERT_EQUAL(reserve_keys_count(none, sizeof(none)), 0);
	CU_ASSERT_EQUAL(reserve_list_header(endless, sizeof(endless), NULL, NULL), -EPROTO);
	CU_ASSERT_EQUAL(reserve_keys_count(endless, sizeof(endless)), 0);
}

static void test_reserve_held_tells_key_and_type(void)
{
	static const uint8_t held[] = {
		0, 0,	 0,    7, 0, 0, 0, 16, 0, 0, 0, 0, 0,
		0, 0x12, 0x34, 0, 0, 0, 0, 0,  6, 0, 0, /* scope 0, exclusive access,
							   registrants only */
	};
	static const uint8_t free_[] = { 0, 0, 0, 8, 0, 0, 0, 0 };
	struct reserve_held h;

	CU_ASSERT_EQUAL(reserve_held_decode(held, sizeof(held), &h), 0);
	CU_ASSERT_TRUE(h.is_held);
	CU_ASSERT_EQUAL(h.generation, 7);
	CU_ASSERT_EQUAL(h.key, 0x1234);
	CU_ASSERT_EQUAL(h.type, RESERVE_EXCLUSIVE_ACCESS_REGISTRANTS);
	CU_ASSERT_EQUAL(reserve_held_decode(free_, sizeof(free_), &h), 0);
	CU_ASSERT_FALSE(h.is_held);
	CU_ASSERT_EQUAL(h.generation, 8);
	for (size_t len = 0; len < sizeof(held); len++)
		CU_ASSERT_EQUAL(reserve_held_decode(held, len, &h), -EPROTO);
}

/* ---- full status ---- */

/* Two registrants: the holder, named with its ISID, and one named without. */
#define STATUS                                                                                   \
	"\0\0\0\3" /* generation */                                                             \
	"\0\0\0\x70"                                                                            \
	"\0\0\0\0\0\0\0\xaa" /* key */                                                          \
	"\0\0\0\0"                                                                              \
	"\x01\x05" /* R_HOLDER; write exclusive, registrants only */                             \
	"\0\0\0\0"                                                                              \
	"\0\x02"     /* relative target port */                                                  \
	"\0\0\0\x28" /* bytes of TransportID */                                                 \
	"\x45\0\0\x24"                                                                          \
	"iqn.2026-01.a:b,i,0x00023D000007\0\0\0\0"                                              \
	"\0\0\0\0\0\0\0\xbb"                                                                    \
	"\0\0\0\0"                                                                              \
	"\x02\x05" /* ALL_TG_PT; the type counts for a holder only */                            \
	"\0\0\0\0"                                                                              \
	"\0\x09"                                                                                 \
	"\0\0\0\x18"                                                                            \
	"\x05\0\0\x14"                                                                          \
	"iqn.2026-01.c\0\0\0\0\0\0\0"

static const uint8_t status[sizeof(STATUS) - 1] = STATUS;

/* A copy that ends where it ends, so that a sanitizer sees a read past it. */
static bool first_of(const uint8_t *data, size_t len, struct reserve_registrant *ret)
{
	uint8_t *copy = malloc(len ? len : 1);
	size_t at = 0;
	bool is_there;

	memcpy(copy, data, len);
	is_there = reserve_status_next(copy, len, &at, ret);
	free(copy);
	return is_there;
}

static void test_reserve_status_names_registrants(void)
{
	static const uint8_t isid[6] = { 0x00, 0x02, 0x3d, 0, 0, 7 };
	struct reserve_registrant r;
	size_t at = 0;

	CU_ASSERT_EQUAL_FATAL(sizeof(status), 8 + 112);
	CU_ASSERT_TRUE(reserve_status_next(status, sizeof(status), &at, &r));
	CU_ASSERT_EQUAL(r.key, 0xaa);
	CU_ASSERT_TRUE(r.is_holder);
	CU_ASSERT_EQUAL(r.type, RESERVE_WRITE_EXCLUSIVE_REGISTRANTS);
	CU_ASSERT_FALSE(r.is_all_ports);
	CU_ASSERT_EQUAL(r.port, 2);
	CU_ASSERT_STRING_EQUAL(r.name, "iqn.2026-01.a:b");
	CU_ASSERT_TRUE(r.has_isid);
	CU_ASSERT_EQUAL(memcmp(r.isid, isid, 6), 0);
	CU_ASSERT_TRUE(reserve_status_next(status, sizeof(status), &at, &r));
	CU_ASSERT_EQUAL(r.key, 0xbb);
	CU_ASSERT_FALSE(r.is_holder);
	CU_ASSERT_EQUAL(r.type, 0); /* valid for the holder only */
	CU_ASSERT_TRUE(r.is_all_ports);
	CU_ASSERT_STRING_EQUAL(r.name, "iqn.2026-01.c");
	CU_ASSERT_FALSE(r.has_isid);
	CU_ASSERT_FALSE(reserve_status_next(status, sizeof(status), &at, &r));
}

static void test_reserve_status_cut_anywhere_tells_whole_ones_only(void)
{
	struct reserve_registrant r;

	for (size_t len = 0; len <= sizeof(status); len++)
		CU_ASSERT_EQUAL(first_of(status, len, &r), len >= 8 + 24 + 40);
}

static void test_reserve_status_with_bad_names_has_none(void)
{
	static const struct {
		size_t at;
		uint8_t byte;
		bool has_name, has_isid;
	} rows[] = {
		{ 32, 0x46, false, false }, /* SAS */
		{ 34, 0xff, false, false }, /* longer than the descriptor */
		{ 35, 37, false, false },   { 35, 3, true, false }, /* "iqn" */
		{ 32, 0x05, true, false }, /* says that it is a name only, commas and all */
		{ 51, ';', true, false },  /* no separator */
		{ 60, 'x', true, false },  /* not hexadecimal */
		{ 67, 0, true, false },	   /* a digit is missing */
		{ 36, 0, false, false },
	};
	uint8_t data[sizeof(status)];
	struct reserve_registrant r;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(data, status, sizeof(data));
		data[rows[i].at] = rows[i].byte;
		CU_ASSERT_TRUE(first_of(data, sizeof(data), &r));
		CU_ASSERT_EQUAL(*r.name != '\0', rows[i].has_name);
		CU_ASSERT_EQUAL(r.has_isid, rows[i].has_isid);
		CU_ASSERT_EQUAL(r.key, 0xaa);
	}
}

static void test_reserve_status_with_long_names(void)
{
	uint8_t data[8 + 24 + 4 + 300] = { 0 };
	struct reserve_registrant r;
	uint8_t *id = data + 32;

	data[6] = 1, data[7] = 24 + 4 + 300 - 256;
	data[30] = 1, data[31] = 4 + 300 - 256;
	id[0] = 0x05;
	id[2] = 1, id[3] = 300 - 256;
	memset(id + 4, 'a', 223);
	CU_ASSERT_TRUE(first_of(data, sizeof(data), &r));
	CU_ASSERT_EQUAL(strlen(r.name), 223);
	id[4 + 223] = 'a';
	CU_ASSERT_TRUE(first_of(data, sizeof(data), &r));
	CU_ASSERT_STRING_EQUAL(r.name, "");
	memset(id + 4, 'a', 300);
	CU_ASSERT_TRUE(first_of(data, sizeof(data), &r));
	CU_ASSERT_STRING_EQUAL(r.name, "");
	id[0] = 0x45;
	memcpy(id + 4 + 223, ",i,0x00023d000001", 18);
	CU_ASSERT_TRUE(first_of(data, sizeof(data), &r));
	CU_ASSERT_EQUAL(strlen(r.name), 223);
	CU_ASSERT_TRUE(r.has_isid);
}

UNIT_MAIN("reserve", UNIT(test_reserve_types_have_names_both_ways),
	  UNIT(test_reserve_in_commands), UNIT(test_reserve_out_commands),
	  UNIT(test_reserve_out_parameters), UNIT(test_reserve_of_old),
	  UNIT(test_reserve_keys_as_far_as_they_came),
	  UNIT(test_reserve_held_tells_key_and_type),
	  UNIT(test_reserve_status_names_registrants),
	  UNIT(test_reserve_status_cut_anywhere_tells_whole_ones_only),
	  UNIT(test_reserve_status_with_bad_names_has_none),
	  UNIT(test_reserve_status_with_long_names))
