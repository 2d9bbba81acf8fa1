/* SPDX-License-Identifier: BSD-2-Clause */
/* Command descriptor blocks: builders for what this initiator sends. Each writes @cdb (at
 * least 16 bytes, zeroed first) and returns its length. Lengths are checked by the caller
 * against what the command can carry (asserted here). SPC-4, SBC-3. */
#ifndef ISCSIFS_CDB_H
#define ISCSIFS_CDB_H

#include <stdbool.h>
#include <stdint.h>

enum scsi_opcode {
	SCSI_TEST_UNIT_READY = 0x00,
	SCSI_REQUEST_SENSE = 0x03,
	SCSI_INQUIRY = 0x12,
	SCSI_RESERVE_6 = 0x16,
	SCSI_RELEASE_6 = 0x17,
	SCSI_MODE_SENSE_6 = 0x1a,
	SCSI_READ_CAPACITY_10 = 0x25,
	SCSI_READ_10 = 0x28,
	SCSI_WRITE_10 = 0x2a,
	SCSI_SYNCHRONIZE_CACHE_10 = 0x35,
	SCSI_UNMAP = 0x42,
	SCSI_RESERVE_10 = 0x56,
	SCSI_RELEASE_10 = 0x57,
	SCSI_MODE_SENSE_10 = 0x5a,
	SCSI_PERSISTENT_RESERVE_IN = 0x5e,
	SCSI_PERSISTENT_RESERVE_OUT = 0x5f,
	SCSI_EXTENDED_COPY = 0x83,
	SCSI_READ_16 = 0x88,
	SCSI_WRITE_16 = 0x8a,
	SCSI_SYNCHRONIZE_CACHE_16 = 0x91,
	SCSI_WRITE_SAME_16 = 0x93,
	SCSI_SERVICE_ACTION_IN_16 = 0x9e,
	SCSI_REPORT_LUNS = 0xa0,
	SCSI_MAINTENANCE_IN = 0xa3,
	SCSI_MAINTENANCE_OUT = 0xa4,
	SCSI_READ_12 = 0xa8,
	SCSI_WRITE_12 = 0xaa,
};

unsigned cdb_test_unit_ready(uint8_t *cdb);
/* Standard data (@is_vpd no, @page 0) or a page of vital product data. */
unsigned cdb_inquiry(uint8_t *cdb, bool is_vpd, uint8_t page, uint16_t allocation);
/* All logical units but the well known ones; @allocation at least 16 (SPC-4 6.33). */
unsigned cdb_report_luns(uint8_t *cdb, uint32_t allocation);
unsigned cdb_read_capacity_10(uint8_t *cdb);
unsigned cdb_read_capacity_16(uint8_t *cdb, uint32_t allocation);
/* Current values of @page (0 to 0x3f). */
unsigned cdb_mode_sense_6(uint8_t *cdb, bool no_block_descriptors, uint8_t page,
			  uint8_t allocation);
unsigned cdb_mode_sense_10(uint8_t *cdb, bool no_block_descriptors, uint8_t page,
			   uint16_t allocation);
/* The shortest of READ/WRITE(10) and (16) that carries @lba and @blocks. (12) is never needed
 * then. @lba + @blocks must not pass 2^64. */
unsigned cdb_read(uint8_t *cdb, uint64_t lba, uint32_t blocks);
unsigned cdb_write(uint8_t *cdb, uint64_t lba, uint32_t blocks, bool is_fua);
/* @blocks 0: to the end of the medium. */
unsigned cdb_synchronize_cache(uint8_t *cdb, uint64_t lba, uint32_t blocks);
/* UNMAP with @bytes of parameters (provision.h), SBC-3 5.28. */
unsigned cdb_unmap(uint8_t *cdb, uint16_t bytes);
/* WRITE SAME(16): one block of data for all @blocks (not 0: that may mean the whole medium).
 * @may_unmap: instead of writing, when what is read then is the same. SBC-3 5.46. */
unsigned cdb_write_same(uint8_t *cdb, uint64_t lba, uint32_t blocks, bool may_unmap);
/* GET LBA STATUS from @lba on, SBC-3 5.5. */
unsigned cdb_get_lba_status(uint8_t *cdb, uint64_t lba, uint32_t allocation);
/* REPORT TARGET PORT GROUPS, SPC-4 6.37 (plain format), and SET TARGET PORT GROUPS with @bytes of
 * parameters, 6.46. */
unsigned cdb_report_target_port_groups(uint8_t *cdb, uint32_t allocation);
unsigned cdb_set_target_port_groups(uint8_t *cdb, uint32_t bytes);
/* PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY (SPC-4 6.16): its parameters are 24
 * bytes, the new key in bytes 8 to 15. */
#define CDB_REGISTER_BYTES 24
unsigned cdb_register_and_ignore(uint8_t *cdb);
/* Name by opcode (and service action): "READ(16)", for any thread and for ever; unknown ones
 * are "command 0xnn". Reads two bytes of @cdb. */
const char *cdb_name(const uint8_t *cdb);

#endif
