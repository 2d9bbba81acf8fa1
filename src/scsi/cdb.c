/* SPDX-License-Identifier: BSD-2-Clause */
/* Command descriptor blocks. Every field that is not written is zero: the builders start from
 * sixteen zero bytes, the longest CDB we send, so that a shorter one leaves nothing behind.
 * The numbers in the comments are byte positions in the tables of SPC-4 and SBC-3. */
#include "scsi/cdb.h"

#include "base/wire.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

enum {
	CDB_BYTES = 16,
	INQUIRY_EVPD = 0x01,
	MODE_SENSE_DBD = 0x08,
	RW_FUA = 0x08,
	WRITE_SAME_UNMAP = 0x08,
	SERVICE_ACTION_REGISTER_AND_IGNORE = 0x06,
	SERVICE_ACTION_TARGET_PORT_GROUPS = 0x0a,
	SERVICE_ACTION_READ_CAPACITY_16 = 0x10,
	SERVICE_ACTION_GET_LBA_STATUS = 0x12,
	SERVICE_ACTION_MASK = 0x1f,
};

static void cdb_begin(uint8_t *cdb, uint8_t opcode)
{
	memset(cdb, 0, CDB_BYTES);
	cdb[0] = opcode;
}

unsigned cdb_test_unit_ready(uint8_t *cdb)
{
	cdb_begin(cdb, SCSI_TEST_UNIT_READY);
	return 6;
}

unsigned cdb_inquiry(uint8_t *cdb, bool is_vpd, uint8_t page, uint16_t allocation)
{
	assert(is_vpd || page == 0);
	cdb_begin(cdb, SCSI_INQUIRY);
	cdb[1] = is_vpd ? INQUIRY_EVPD : 0;
	cdb[2] = page;
	put_be16(cdb + 3, allocation);
	return 6;
}

unsigned cdb_report_luns(uint8_t *cdb, uint32_t allocation)
{
	assert(allocation >= 16);
	cdb_begin(cdb, SCSI_REPORT_LUNS);
	put_be32(cdb + 6, allocation);
	return 12;
}

unsigned cdb_read_capacity_10(uint8_t *cdb)
{
	cdb_begin(cdb, SCSI_READ_CAPACITY_10);
	return 10;
}

unsigned cdb_read_capacity_16(uint8_t *cdb, uint32_t allocation)
{
	cdb_begin(cdb, SCSI_SERVICE_ACTION_IN_16);
	cdb[1] = SERVICE_ACTION_READ_CAPACITY_16;
	put_be32(cdb + 10, allocation);
	return 16;
}

static void mode_sense_begin(uint8_t *cdb, uint8_t opcode, bool no_block_descriptors,
			     uint8_t page)
{
	assert(page <= 0x3f);
	cdb_begin(cdb, opcode);
	cdb[1] = no_block_descriptors ? MODE_SENSE_DBD : 0;
	cdb[2] = page; /* page control 0: current values */
}

unsigned cdb_mode_sense_6(uint8_t *cdb, bool no_block_descriptors, uint8_t page,
			  uint8_t allocation)
{
	mode_sense_begin(cdb, SCSI_MODE_SENSE_6, no_block_descriptors, page);
	cdb[4] = allocation;
	return 6;
}

unsigned cdb_mode_sense_10(uint8_t *cdb, bool no_block_descriptors, uint8_t page,
			   uint16_t allocation)
{
	mode_sense_begin(cdb, SCSI_MODE_SENSE_10, no_block_descriptors, page);
	put_be16(cdb + 7, allocation);
	return 10;
}

/* READ, WRITE and SYNCHRONIZE CACHE lay out their (10) and (16) forms alike: LBA and number of
 * blocks at 2 and 7, or at 2 and 10. */
static unsigned block_range(uint8_t *cdb, uint8_t opcode_10, uint8_t opcode_16, uint64_t lba,
			    uint32_t blocks)
{
	assert(blocks <= UINT64_MAX - lba);
	if (lba <= UINT32_MAX && blocks <= UINT16_MAX) {
		cdb_begin(cdb, opcode_10);
		put_be32(cdb + 2, (uint32_t)lba);
		put_be16(cdb + 7, (uint16_t)blocks);
		return 10;
	}
	cdb_begin(cdb, opcode_16);
	put_be64(cdb + 2, lba);
	put_be32(cdb + 10, blocks);
	return 16;
}

unsigned cdb_read(uint8_t *cdb, uint64_t lba, uint32_t blocks)
{
	return block_range(cdb, SCSI_READ_10, SCSI_READ_16, lba, blocks);
}

unsigned cdb_write(uint8_t *cdb, uint64_t lba, uint32_t blocks, bool is_fua)
{
	unsigned len = block_range(cdb, SCSI_WRITE_10, SCSI_WRITE_16, lba, blocks);

	cdb[1] = is_fua ? RW_FUA : 0;
	return len;
}

unsigned cdb_synchronize_cache(uint8_t *cdb, uint64_t lba, uint32_t blocks)
{
	return block_range(cdb, SCSI_SYNCHRONIZE_CACHE_10, SCSI_SYNCHRONIZE_CACHE_16, lba,
			   blocks);
}

unsigned cdb_unmap(uint8_t *cdb, uint16_t bytes)
{
	cdb_begin(cdb, SCSI_UNMAP);
	put_be16(cdb + 7, bytes);
	return 10;
}

unsigned cdb_write_same(uint8_t *cdb, uint64_t lba, uint32_t blocks, bool may_unmap)
{
	assert(blocks && blocks <= UINT64_MAX - lba);
	cdb_begin(cdb, SCSI_WRITE_SAME_16);
	cdb[1] = may_unmap ? WRITE_SAME_UNMAP : 0;
	put_be64(cdb + 2, lba);
	put_be32(cdb + 10, blocks);
	return 16;
}

unsigned cdb_get_lba_status(uint8_t *cdb, uint64_t lba, uint32_t allocation)
{
	cdb_begin(cdb, SCSI_SERVICE_ACTION_IN_16);
	cdb[1] = SERVICE_ACTION_GET_LBA_STATUS;
	put_be64(cdb + 2, lba);
	put_be32(cdb + 10, allocation);
	return 16;
}

unsigned cdb_report_target_port_groups(uint8_t *cdb, uint32_t allocation)
{
	cdb_begin(cdb, SCSI_MAINTENANCE_IN);
	cdb[1] = SERVICE_ACTION_TARGET_PORT_GROUPS;
	put_be32(cdb + 6, allocation);
	return 12;
}

unsigned cdb_set_target_port_groups(uint8_t *cdb, uint32_t bytes)
{
	cdb_begin(cdb, SCSI_MAINTENANCE_OUT);
	cdb[1] = SERVICE_ACTION_TARGET_PORT_GROUPS;
	put_be32(cdb + 6, bytes);
	return 12;
}

unsigned cdb_register_and_ignore(uint8_t *cdb)
{
	cdb_begin(cdb, SCSI_PERSISTENT_RESERVE_OUT);
	cdb[1] = SERVICE_ACTION_REGISTER_AND_IGNORE;
	put_be32(cdb + 5, CDB_REGISTER_BYTES);
	return 10;
}

/* ---- names ---------------------------------------------------------------------------- */

static const char *const opcode_names[256] = {
	[0x00] = "TEST UNIT READY",
	[0x03] = "REQUEST SENSE",
	[0x04] = "FORMAT UNIT",
	[0x07] = "REASSIGN BLOCKS",
	[0x08] = "READ(6)",
	[0x0a] = "WRITE(6)",
	[0x12] = "INQUIRY",
	[0x15] = "MODE SELECT(6)",
	[0x16] = "RESERVE(6)",
	[0x17] = "RELEASE(6)",
	[0x1a] = "MODE SENSE(6)",
	[0x1b] = "START STOP UNIT",
	[0x1c] = "RECEIVE DIAGNOSTIC RESULTS",
	[0x1d] = "SEND DIAGNOSTIC",
	[0x1e] = "PREVENT ALLOW MEDIUM REMOVAL",
	[0x25] = "READ CAPACITY(10)",
	[0x28] = "READ(10)",
	[0x2a] = "WRITE(10)",
	[0x2e] = "WRITE AND VERIFY(10)",
	[0x2f] = "VERIFY(10)",
	[0x34] = "PRE-FETCH(10)",
	[0x35] = "SYNCHRONIZE CACHE(10)",
	[0x37] = "READ DEFECT DATA(10)",
	[0x3b] = "WRITE BUFFER",
	[0x3c] = "READ BUFFER(10)",
	[0x3e] = "READ LONG(10)",
	[0x3f] = "WRITE LONG(10)",
	[0x41] = "WRITE SAME(10)",
	[0x42] = "UNMAP",
	[0x48] = "SANITIZE",
	[0x4c] = "LOG SELECT",
	[0x4d] = "LOG SENSE",
	[0x55] = "MODE SELECT(10)",
	[0x56] = "RESERVE(10)",
	[0x57] = "RELEASE(10)",
	[0x5a] = "MODE SENSE(10)",
	[0x5e] = "PERSISTENT RESERVE IN",
	[0x5f] = "PERSISTENT RESERVE OUT",
	[0x7f] = "variable length command",
	[0x83] = "EXTENDED COPY",
	[0x84] = "RECEIVE COPY RESULTS",
	[0x86] = "ACCESS CONTROL IN",
	[0x87] = "ACCESS CONTROL OUT",
	[0x88] = "READ(16)",
	[0x89] = "COMPARE AND WRITE",
	[0x8a] = "WRITE(16)",
	[0x8b] = "ORWRITE(16)",
	[0x8c] = "READ ATTRIBUTE",
	[0x8d] = "WRITE ATTRIBUTE",
	[0x8e] = "WRITE AND VERIFY(16)",
	[0x8f] = "VERIFY(16)",
	[0x90] = "PRE-FETCH(16)",
	[0x91] = "SYNCHRONIZE CACHE(16)",
	[0x93] = "WRITE SAME(16)",
	[0x9c] = "WRITE ATOMIC(16)",
	[0x9e] = "SERVICE ACTION IN(16)",
	[0x9f] = "SERVICE ACTION OUT(16)",
	[0xa0] = "REPORT LUNS",
	[0xa2] = "SECURITY PROTOCOL IN",
	[0xa3] = "MAINTENANCE IN",
	[0xa4] = "MAINTENANCE OUT",
	[0xa8] = "READ(12)",
	[0xaa] = "WRITE(12)",
	[0xae] = "WRITE AND VERIFY(12)",
	[0xaf] = "VERIFY(12)",
	[0xb5] = "SECURITY PROTOCOL OUT",
	[0xb7] = "READ DEFECT DATA(12)",
};

static const struct service_action_name {
	uint8_t opcode, service_action;
	const char *name;
} service_action_names[] = {
	{ 0x5e, 0x00, "PERSISTENT RESERVE IN, READ KEYS" },
	{ 0x5e, 0x01, "PERSISTENT RESERVE IN, READ RESERVATION" },
	{ 0x5e, 0x02, "PERSISTENT RESERVE IN, REPORT CAPABILITIES" },
	{ 0x5e, 0x03, "PERSISTENT RESERVE IN, READ FULL STATUS" },
	{ 0x5f, 0x00, "PERSISTENT RESERVE OUT, REGISTER" },
	{ 0x5f, 0x01, "PERSISTENT RESERVE OUT, RESERVE" },
	{ 0x5f, 0x02, "PERSISTENT RESERVE OUT, RELEASE" },
	{ 0x5f, 0x03, "PERSISTENT RESERVE OUT, CLEAR" },
	{ 0x5f, 0x04, "PERSISTENT RESERVE OUT, PREEMPT" },
	{ 0x5f, 0x05, "PERSISTENT RESERVE OUT, PREEMPT AND ABORT" },
	{ 0x5f, 0x06, "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY" },
	{ 0x5f, 0x07, "PERSISTENT RESERVE OUT, REGISTER AND MOVE" },
	{ 0x9e, 0x10, "READ CAPACITY(16)" },
	{ 0x9e, 0x11, "READ LONG(16)" },
	{ 0x9e, 0x12, "GET LBA STATUS" },
	{ 0x9e, 0x13, "REPORT REFERRALS" },
	{ 0x9f, 0x11, "WRITE LONG(16)" },
	{ 0xa3, 0x05, "REPORT IDENTIFYING INFORMATION" },
	{ 0xa3, 0x0a, "REPORT TARGET PORT GROUPS" },
	{ 0xa3, 0x0b, "REPORT ALIASES" },
	{ 0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES" },
	{ 0xa3, 0x0d, "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS" },
	{ 0xa3, 0x0f, "REPORT TIMESTAMP" },
	{ 0xa4, 0x06, "SET IDENTIFYING INFORMATION" },
	{ 0xa4, 0x0a, "SET TARGET PORT GROUPS" },
	{ 0xa4, 0x0f, "SET TIMESTAMP" },
};

/* All 256 unknown names, made by the preprocessor: no buffer that two callers would share. */
#define UNKNOWN(high, low) "command 0x" #high #low
#define UNKNOWN_ROW(h)                                                                     \
	UNKNOWN(h, 0), UNKNOWN(h, 1), UNKNOWN(h, 2), UNKNOWN(h, 3), UNKNOWN(h, 4),         \
		UNKNOWN(h, 5), UNKNOWN(h, 6), UNKNOWN(h, 7), UNKNOWN(h, 8), UNKNOWN(h, 9), \
		UNKNOWN(h, a), UNKNOWN(h, b), UNKNOWN(h, c), UNKNOWN(h, d), UNKNOWN(h, e), \
		UNKNOWN(h, f)

static const char unknown_names[256][sizeof("command 0xnn")] = {
	UNKNOWN_ROW(0), UNKNOWN_ROW(1), UNKNOWN_ROW(2), UNKNOWN_ROW(3),
	UNKNOWN_ROW(4), UNKNOWN_ROW(5), UNKNOWN_ROW(6), UNKNOWN_ROW(7),
	UNKNOWN_ROW(8), UNKNOWN_ROW(9), UNKNOWN_ROW(a), UNKNOWN_ROW(b),
	UNKNOWN_ROW(c), UNKNOWN_ROW(d), UNKNOWN_ROW(e), UNKNOWN_ROW(f),
};

const char *cdb_name(const uint8_t *cdb)
{
	const size_t count = sizeof(service_action_names) / sizeof(service_action_names[0]);
	uint8_t service_action = cdb[1] & SERVICE_ACTION_MASK;

	for (size_t i = 0; i < count; i++) {
		const struct service_action_name *n = &service_action_names[i];

		if (n->opcode == cdb[0] && n->service_action == service_action)
			return n->name;
	}
	return opcode_names[cdb[0]] ? opcode_names[cdb[0]] : unknown_names[cdb[0]];
}
