/* SPDX-License-Identifier: BSD-2-Clause */
/* Command descriptor blocks, against bytes typed from the tables of SPC-4 and SBC-3. */
#include "scsi/cdb.h"

#include "cdb_check.h"

static void test_cdb_test_unit_ready(void)
{
	CHECK_CDB("\x00\x00\x00\x00\x00\x00", cdb_test_unit_ready);
}

static void test_cdb_inquiry_standard_and_vpd(void)
{
	CHECK_CDB("\x12\x00\x00\x00\x24\x00", cdb_inquiry, false, 0, 36);
	CHECK_CDB("\x12\x01\x83\x01\x02\x00", cdb_inquiry, true, 0x83, 0x0102);
	CHECK_CDB("\x12\x01\xff\xff\xff\x00", cdb_inquiry, true, 0xff, 0xffff);
}

static void test_cdb_report_luns_allocates_from_byte_6(void)
{
	CHECK_CDB("\xa0\x00\x00\x00\x00\x00\x00\x01\x02\x03\x00\x00", cdb_report_luns,
		  0x010203);
}

static void test_cdb_read_capacity_both_forms(void)
{
	CHECK_CDB("\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00", cdb_read_capacity_10);
	CHECK_CDB("\x9e\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00",
		  cdb_read_capacity_16, 32);
}

static void test_cdb_mode_sense_both_forms(void)
{
	CHECK_CDB("\x1a\x08\x08\x00\xc0\x00", cdb_mode_sense_6, true, 0x08, 192);
	CHECK_CDB("\x1a\x00\x3f\x00\xff\x00", cdb_mode_sense_6, false, 0x3f, 255);
	CHECK_CDB("\x5a\x08\x08\x00\x00\x00\x00\x01\x02\x00", cdb_mode_sense_10, true, 0x08,
		  0x0102);
}

static void test_cdb_read_takes_10_while_it_can(void)
{
	CHECK_CDB("\x28\x00\x00\x00\x00\x00\x00\x00\x01\x00", cdb_read, 0, 1);
	CHECK_CDB("\x28\x00\x12\x34\x56\x78\x00\x9a\xbc\x00", cdb_read, 0x12345678, 0x9abc);
	CHECK_CDB("\x28\x00\xff\xff\xff\xff\x00\xff\xff\x00", cdb_read, 0xffffffff, 0xffff);
}

static void test_cdb_read_takes_16_beyond_lba_or_length(void)
{
	CHECK_CDB("\x88\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00", cdb_read,
		  0x100000000, 1);
	CHECK_CDB("\x88\x00\x00\x00\x00\x00\x00\x00\x00\x05\x00\x01\x00\x00\x00\x00", cdb_read,
		  5, 0x10000);
	CHECK_CDB("\x88\x00\x01\x23\x45\x67\x89\xab\xcd\xef\x0f\x1e\x2d\x3c\x00\x00", cdb_read,
		  0x0123456789abcdef, 0x0f1e2d3c);
}

static void test_cdb_write_and_its_fua_bit(void)
{
	CHECK_CDB("\x2a\x00\x00\x00\x00\x07\x00\x00\x08\x00", cdb_write, 7, 8, false);
	CHECK_CDB("\x2a\x08\x00\x00\x00\x07\x00\x00\x08\x00", cdb_write, 7, 8, true);
	CHECK_CDB("\x8a\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00", cdb_write,
		  0x100000002, 3, false);
	CHECK_CDB("\x8a\x08\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00", cdb_write,
		  0x100000002, 3, true);
}

static void test_cdb_synchronize_cache_both_forms(void)
{
	CHECK_CDB("\x35\x00\x00\x00\x00\x00\x00\x00\x00\x00", cdb_synchronize_cache, 0, 0);
	CHECK_CDB("\x35\x00\x00\x00\x01\x00\x00\x00\x80\x00", cdb_synchronize_cache, 256, 128);
	CHECK_CDB("\x91\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		  cdb_synchronize_cache, 0x1000000000, 0);
	CHECK_CDB("\x91\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",
		  cdb_synchronize_cache, 0, 0x10000);
}

static void test_cdb_provisioning(void)
{
	CHECK_CDB("\x42\x00\x00\x00\x00\x00\x00\x00\x18\x00", cdb_unmap, 24);
	CHECK_CDB("\x93\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x01\x00\x00\x00\x00",
		  cdb_write_same, 0x100000002, 0x10000, false);
	CHECK_CDB("\x93\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00",
		  cdb_write_same, 0, 1, true);
	CHECK_CDB("\x9e\x12\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x10\x00\x00\x00",
		  cdb_get_lba_status, 0x100000002, 4096);
}

static void check_name(const char *cdb_bytes, const char *want)
{
	CU_ASSERT_STRING_EQUAL(cdb_name((const uint8_t *)cdb_bytes), want);
}

static void test_cdb_name_by_opcode_and_service_action(void)
{
	check_name("\x00\x00", "TEST UNIT READY");
	check_name("\x28\x08", "READ(10)");
	check_name("\x88\x00", "READ(16)");
	check_name("\x8a\xe8", "WRITE(16)");
	check_name("\x9e\x10", "READ CAPACITY(16)");
	check_name("\x9e\xf0", "READ CAPACITY(16)"); /* only five bits are the service action */
	check_name("\x9e\x1f", "SERVICE ACTION IN(16)");
	check_name("\x5f\x04", "PERSISTENT RESERVE OUT, PREEMPT");
	check_name("\xa3\x0a", "REPORT TARGET PORT GROUPS");
}

static void test_cdb_name_of_unknown_opcodes(void)
{
	const char *first;

	check_name("\x02\x00", "command 0x02");
	check_name("\xff\xff", "command 0xff");
	check_name("\xc0\x00", "command 0xc0");
	/* a name stays what it was when another is asked for */
	first = cdb_name((const uint8_t *)"\xd1\x00");
	check_name("\xd2\x00", "command 0xd2");
	CU_ASSERT_STRING_EQUAL(first, "command 0xd1");
}

static void test_cdb_name_never_null(void)
{
	for (unsigned opcode = 0; opcode < 256; opcode++)
		for (unsigned action = 0; action < 256; action++) {
			uint8_t cdb[2] = { (uint8_t)opcode, (uint8_t)action };

			CU_ASSERT_FATAL(cdb_name(cdb) && *cdb_name(cdb));
		}
}

UNIT_MAIN("cdb", UNIT(test_cdb_test_unit_ready), UNIT(test_cdb_inquiry_standard_and_vpd),
	  UNIT(test_cdb_report_luns_allocates_from_byte_6),
	  UNIT(test_cdb_read_capacity_both_forms), UNIT(test_cdb_mode_sense_both_forms),
	  UNIT(test_cdb_read_takes_10_while_it_can),
	  UNIT(test_cdb_read_takes_16_beyond_lba_or_length),
	  UNIT(test_cdb_write_and_its_fua_bit), UNIT(test_cdb_synchronize_cache_both_forms),
	  UNIT(test_cdb_provisioning),
	  UNIT(test_cdb_name_by_opcode_and_service_action),
	  UNIT(test_cdb_name_of_unknown_opcodes), UNIT(test_cdb_name_never_null))
