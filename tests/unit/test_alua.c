/* SPDX-License-Identifier: BSD-2-Clause */
/* ALUA bytes: ports, names, groups, sense. Typed from the tables of SPC-4. */
#include "scsi/alua.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scsi/cdb.h"
#include "scsi/sense.h"
#include "unit.h"

/* ---- VPD page 0x83 ---- */

static void test_alua_port_is_taken_from_designators_4_and_5(void)
{
	static const uint8_t page[] = {
		0x00, 0x83, 0x00, 0x20,
		/* NAA of the unit */
		0x01, 0x03, 0x00, 0x08, 0x50, 1, 2, 3, 4, 5, 6, 7,
		/* relative target port 0x0102 */
		0x51, 0x94, 0x00, 0x04, 0, 0, 1, 2,
		/* target port group 7 */
		0x51, 0x95, 0x00, 0x04, 0, 0, 0, 7,
		/* cut short */
		0x51, 0x94, 0x00, 0x04,
	};
	struct alua_port p;

	CU_ASSERT_EQUAL(alua_port_decode(page, sizeof(page), &p), 0);
	CU_ASSERT_TRUE(p.has_port);
	CU_ASSERT_EQUAL(p.port, 0x0102);
	CU_ASSERT_TRUE(p.has_group);
	CU_ASSERT_EQUAL(p.group, 7);
}

static void test_alua_port_of_the_unit_itself_is_none(void)
{
	/* Association 0, and a wrong length. */
	static const uint8_t page[] = {
		0x00, 0x83, 0x00, 0x0e, 0x01, 0x04, 0x00, 0x04, 0, 0, 0, 1,
		0x51, 0x95, 0x00, 0x02, 0,    7,
	};
	struct alua_port p;

	CU_ASSERT_EQUAL(alua_port_decode(page, sizeof(page), &p), 0);
	CU_ASSERT_FALSE(p.has_port);
	CU_ASSERT_FALSE(p.has_group);
	CU_ASSERT_EQUAL(alua_port_decode(page, 3, &p), -EPROTO);
	CU_ASSERT_EQUAL(alua_port_decode((const uint8_t[]){ 0, 0x80, 0, 0 }, 4, &p), -EPROTO);
}

/* ---- names ---- */

static void test_alua_global_names(void)
{
	static const struct {
		const char *wwid;
		bool is_global;
	} rows[] = {
		{ "naa.60014054f5a9a7e3b2c4d5e6f7a8b9c0", true },
		{ "naa.50014ee2b1234567", true },
		{ "naa.2001000c50abcdef", true },
		{ "naa.3001405000000001", false },		     /* locally assigned */
		{ "naa.60000000000000000e00000000010001", false }, /* nobody's company */
		{ "naa.60014050000000000000000000000000", false }, /* nothing but the company */
		{ "naa.6ffffffffffffffffffffffffffffff", false },
		{ "naa.6ffffffffffffffffffffffffffffff1", false },
		{ "naa.6001405", false },
		{ "naa.", false },
		{ "naa.0000000000000000", false },
		{ "naa.5001405zzzzzzzzz", false },
		{ "eui.0025385b71b00e61", true },
		{ "eui.0000000000000000", false },
		{ "eui.ffffffffffffffff", false },
		{ "eui.00253801", false },
		{ "eui.00000000000000000025385b71b00e61", true },
		{ "t10.ACME____SERIAL1", false },
		{ "iqn.2001-04.com.example:disk1", true },
		{ "iqn.x", false },
		{ "", false },
		{ "abc", false },
		{ "some name", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(alua_is_global(rows[i].wwid), rows[i].is_global);
		if (alua_is_global(rows[i].wwid) != rows[i].is_global)
			printf("  %s\n", rows[i].wwid);
	}
}

/* ---- REPORT TARGET PORT GROUPS ---- */

static const uint8_t report[] = {
	0, 0, 0, 28,			      /* 28 more */
	0x80, 0x8f, 0, 1, 0, 2, 0, 2,	      /* group 1: preferred, optimized, two ports */
	0, 0, 0, 1, 0, 0, 0, 3,		      /* ports 1 and 3 */
	0x02, 0x8f, 0x01, 0x02, 0, 0, 0, 1,   /* group 258: standby, one port */
	0, 0, 0, 9,			      /* port 9 */
	0xff,				      /* not of the list */
};

static void test_alua_groups_are_found(void)
{
	struct alua_group g;
	uint32_t needed;
	size_t at = 0;

	CU_ASSERT_EQUAL(alua_groups_needed(report, sizeof(report), &needed), 0);
	CU_ASSERT_EQUAL(needed, 32);
	CU_ASSERT_TRUE_FATAL(alua_groups_next(report, sizeof(report), &at, &g));
	CU_ASSERT_EQUAL(g.group, 1);
	CU_ASSERT_EQUAL(g.access, ALUA_OPTIMIZED);
	CU_ASSERT_TRUE(g.is_preferred);
	CU_ASSERT_EQUAL(g.ports, 2);
	CU_ASSERT_TRUE_FATAL(alua_groups_next(report, sizeof(report), &at, &g));
	CU_ASSERT_EQUAL(g.group, 258);
	CU_ASSERT_EQUAL(g.access, ALUA_STANDBY);
	CU_ASSERT_FALSE(g.is_preferred);
	CU_ASSERT_FALSE(alua_groups_next(report, sizeof(report), &at, &g));
	CU_ASSERT_TRUE(alua_groups_find(report, sizeof(report), 258, &g));
	CU_ASSERT_EQUAL(g.access, ALUA_STANDBY);
	CU_ASSERT_FALSE(alua_groups_find(report, sizeof(report), 2, &g));
	CU_ASSERT_TRUE(alua_groups_have_port(report, sizeof(report), 3));
	CU_ASSERT_TRUE(alua_groups_have_port(report, sizeof(report), 9));
	CU_ASSERT_FALSE(alua_groups_have_port(report, sizeof(report), 2));
}

static void test_alua_groups_cut_short_end_there(void)
{
	for (size_t len = 0; len < sizeof(report); len++) {
		uint8_t *cut = malloc(len ? len : 1);
		struct alua_group g;
		size_t at = 0;
		unsigned groups = 0;

		memcpy(cut, report, len);
		while (alua_groups_next(cut, len, &at, &g))
			groups++;
		CU_ASSERT_EQUAL(groups, len < 12 ? 0 : len < 28 ? 1 : 2);
		CU_ASSERT_EQUAL(alua_groups_have_port(cut, len, 9), len >= 32);
		CU_ASSERT_EQUAL(alua_groups_have_port(cut, len, 1), len >= 16);
		free(cut);
	}
}

static void test_alua_groups_of_a_liar_do_not_end_the_world(void)
{
	uint8_t data[12] = { 0xff, 0xff, 0xff, 0xff };
	struct alua_group g;
	uint32_t needed;
	size_t at = 0;

	CU_ASSERT_EQUAL(alua_groups_needed(data, sizeof(data), &needed), -EPROTO);
	CU_ASSERT_FALSE(alua_groups_next(data, sizeof(data), &at, &g));
	data[0] = 0x7f;
	data[11] = 0xff; /* 255 ports, none came */
	at = 0;
	CU_ASSERT_TRUE(alua_groups_next(data, sizeof(data), &at, &g));
	CU_ASSERT_EQUAL(g.ports, 0);
	CU_ASSERT_FALSE(alua_groups_next(data, sizeof(data), &at, &g));
}

static void test_alua_commands(void)
{
	static const uint8_t report_cdb[12] = { 0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0x10, 0 };
	static const uint8_t set_cdb[12] = { 0xa4, 0x0a, 0, 0, 0, 0, 0, 0, 0, 8 };
	static const uint8_t set_data[8] = { 0, 0, 0, 0, 0x00, 0, 0x01, 0x02 };
	static const uint8_t register_cdb[10] = { 0x5f, 0x06, 0, 0, 0, 0, 0, 0, 24 };
	uint8_t cdb[16], data[ALUA_SET_BYTES];

	CU_ASSERT_EQUAL(cdb_report_target_port_groups(cdb, 4096), 12);
	CU_ASSERT_EQUAL(memcmp(cdb, report_cdb, 12), 0);
	CU_ASSERT_EQUAL(cdb_set_target_port_groups(cdb, 8), 12);
	CU_ASSERT_EQUAL(memcmp(cdb, set_cdb, 12), 0);
	alua_set_encode(data, 258, ALUA_OPTIMIZED);
	CU_ASSERT_EQUAL(memcmp(data, set_data, 8), 0);
	CU_ASSERT_EQUAL(cdb_register_and_ignore(cdb), 10);
	CU_ASSERT_EQUAL(memcmp(cdb, register_cdb, 10), 0);
}

/* ---- sense ---- */

static void test_alua_sense_tells_the_state(void)
{
	static const struct {
		uint8_t key, asc, ascq;
		bool is_told;
		enum alua_access access;
	} rows[] = {
		{ 2, 0x04, 0x0a, true, ALUA_TRANSITIONING },
		{ 11, 0x04, 0x0a, true, ALUA_TRANSITIONING },
		{ 2, 0x04, 0x0b, true, ALUA_STANDBY },
		{ 2, 0x04, 0x0c, true, ALUA_UNAVAILABLE },
		{ 2, 0x04, 0x12, true, ALUA_OFFLINE },
		{ 2, 0x04, 0x01, false, 0 },
		{ 5, 0x04, 0x0b, false, 0 },
		{ 2, 0x05, 0x0b, false, 0 },
	};
	enum alua_access access;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sense s = { .is_valid = true, .key = rows[i].key, .asc = rows[i].asc,
				   .ascq = rows[i].ascq };

		CU_ASSERT_EQUAL(alua_sense(&s, &access), rows[i].is_told);
		if (rows[i].is_told)
			CU_ASSERT_EQUAL(access, rows[i].access);
	}
}

UNIT_MAIN("alua", UNIT(test_alua_port_is_taken_from_designators_4_and_5),
	  UNIT(test_alua_port_of_the_unit_itself_is_none), UNIT(test_alua_global_names),
	  UNIT(test_alua_groups_are_found), UNIT(test_alua_groups_cut_short_end_there),
	  UNIT(test_alua_groups_of_a_liar_do_not_end_the_world), UNIT(test_alua_commands),
	  UNIT(test_alua_sense_tells_the_state))
