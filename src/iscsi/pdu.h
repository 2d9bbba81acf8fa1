/* SPDX-License-Identifier: BSD-2-Clause */
/* PDU headers: one struct per type in native byte order, an encoder and a decoder for each, and
 * the checks that need nothing but the header itself. Both directions are here for every type
 * (the initiator sends the odd half; the other half is for tests, fuzzers and the trace).
 * Nothing allocates. Source: RFC 7143 section 11.
 *
 * A header is 48 bytes; an AHS (only after a SCSI Command here) and the data segment follow it.
 * Encoders write all 48 bytes, reserved ones zero, TotalAHSLength and DataSegmentLength
 * included. Decoders do not judge; pdu_check() does, before anyone looks at a field. */
#ifndef ISCSIFS_PDU_H
#define ISCSIFS_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"
#include "iscsi/proto.h"

/* --- fields at the same place in (almost) every PDU: for the receive path --- */
static inline uint8_t pdu_opcode(const uint8_t *bhs) { return bhs[0] & ISCSI_OPCODE_MASK; }
static inline uint8_t pdu_flags(const uint8_t *bhs) { return bhs[1]; }
static inline size_t pdu_ahs_bytes(const uint8_t *bhs) { return (size_t)bhs[4] * 4; }
static inline uint32_t pdu_data_bytes(const uint8_t *bhs) { return get_be24(bhs + 5); }
static inline uint32_t pdu_itt(const uint8_t *bhs) { return get_be32(bhs + 16); }
static inline uint32_t pdu_ttt(const uint8_t *bhs) { return get_be32(bhs + 20); }
static inline uint32_t pdu_stat_sn(const uint8_t *bhs) { return get_be32(bhs + 24); }
static inline uint32_t pdu_exp_cmd_sn(const uint8_t *bhs) { return get_be32(bhs + 28); }
static inline uint32_t pdu_max_cmd_sn(const uint8_t *bhs) { return get_be32(bhs + 32); }
static inline unsigned pdu_padding(uint32_t data_bytes) { return -data_bytes & 3; }

/* --- initiator to target --- */
struct pdu_scsi_command { /* 11.3 */
	bool is_immediate, is_final, is_read, is_write;
	uint8_t attr;
	uint8_t lun[8];
	uint32_t itt, expected_bytes, cmd_sn, exp_stat_sn;
	uint8_t cdb[16]; /* the first 16 bytes; the rest is in the AHS */
	uint16_t ahs_bytes; /* a multiple of four, at most ISCSI_AHS_BYTES_MAX */
	uint32_t data_bytes;
};
struct pdu_tmf_request { /* 11.5 */
	bool is_immediate;
	uint8_t function;
	uint8_t lun[8];
	uint32_t itt, referenced_itt, cmd_sn, exp_stat_sn, ref_cmd_sn, exp_data_sn;
};
struct pdu_data_out { /* 11.7 */
	bool is_final;
	uint8_t lun[8];
	uint32_t itt, ttt, exp_stat_sn, data_sn, buffer_offset, data_bytes;
};
struct pdu_text_request { /* 11.10 */
	bool is_immediate, is_final, is_continued;
	uint8_t lun[8];
	uint32_t itt, ttt, cmd_sn, exp_stat_sn, data_bytes;
};
struct pdu_login_request { /* 11.12 */
	bool is_transit, is_continued;
	uint8_t csg, nsg, version_max, version_min;
	uint8_t isid[6];
	uint16_t tsih, cid;
	uint32_t itt, cmd_sn, exp_stat_sn, data_bytes;
};
struct pdu_logout_request { /* 11.14 */
	bool is_immediate;
	uint8_t reason;
	uint16_t cid;
	uint32_t itt, cmd_sn, exp_stat_sn;
};
struct pdu_snack_request { /* 11.16 */
	uint8_t type;
	uint8_t lun[8];
	uint32_t itt, ttt, exp_stat_sn, begin_run, run_length;
};
struct pdu_nop_out { /* 11.18 */
	bool is_immediate;
	uint8_t lun[8];
	uint32_t itt, ttt, cmd_sn, exp_stat_sn, data_bytes;
};

/* --- target to initiator --- */
struct pdu_scsi_response { /* 11.4 */
	uint8_t flags; /* ISCSI_RSP_* */
	uint8_t response, status;
	uint32_t itt, snack_tag, stat_sn, exp_cmd_sn, max_cmd_sn, exp_data_sn;
	uint32_t bidi_residual, residual, data_bytes;
};
struct pdu_tmf_response { /* 11.6 */
	uint8_t response;
	uint32_t itt, stat_sn, exp_cmd_sn, max_cmd_sn;
};
struct pdu_data_in { /* 11.7 */
	uint8_t flags; /* ISCSI_FLAG_FINAL, ISCSI_DATA_IN_*, ISCSI_RSP_OVERFLOW/UNDERFLOW */
	uint8_t status;
	uint8_t lun[8];
	uint32_t itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, buffer_offset, residual;
	uint32_t data_bytes;
};
struct pdu_r2t { /* 11.8 */
	uint8_t lun[8];
	uint32_t itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, r2t_sn, buffer_offset, desired_bytes;
};
struct pdu_async_message { /* 11.9 */
	uint8_t lun[8];
	uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t event, vendor_code;
	uint16_t parameter1, parameter2, parameter3;
	uint32_t data_bytes;
};
struct pdu_text_response { /* 11.11 */
	bool is_final, is_continued;
	uint8_t lun[8];
	uint32_t itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, data_bytes;
};
struct pdu_login_response { /* 11.13 */
	bool is_transit, is_continued;
	uint8_t csg, nsg, version_max, version_active;
	uint8_t isid[6];
	uint16_t tsih;
	uint32_t itt, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint8_t status_class, status_detail;
	uint32_t data_bytes;
};
struct pdu_logout_response { /* 11.15 */
	uint8_t response;
	uint32_t itt, stat_sn, exp_cmd_sn, max_cmd_sn;
	uint16_t time2wait, time2retain;
};
struct pdu_reject { /* 11.17; the rejected header is the data segment */
	uint8_t reason;
	uint32_t stat_sn, exp_cmd_sn, max_cmd_sn, data_sn, data_bytes;
};
struct pdu_nop_in { /* 11.19 */
	uint8_t lun[8];
	uint32_t itt, ttt, stat_sn, exp_cmd_sn, max_cmd_sn, data_bytes;
};

#define PDU_TYPES(X)                                                                           \
	X(scsi_command)                                                                        \
	X(tmf_request) X(data_out) X(text_request) X(login_request) X(logout_request)          \
		X(snack_request) X(nop_out) X(scsi_response) X(tmf_response) X(data_in) X(r2t) \
			X(async_message) X(text_response) X(login_response) X(logout_response) \
				X(reject) X(nop_in)

/* void pdu_put_scsi_command(uint8_t bhs[48], const struct pdu_scsi_command *), and
 * void pdu_get_scsi_command(const uint8_t bhs[48], struct pdu_scsi_command *), for each type.
 */
#define PDU_DECLARE(type)                                                \
	void pdu_put_##type(uint8_t *bhs, const struct pdu_##type *p);  \
	void pdu_get_##type(const uint8_t *bhs, struct pdu_##type *p);
PDU_TYPES(PDU_DECLARE)
#undef PDU_DECLARE

/* Who is allowed to send a PDU type. */
enum pdu_sender { PDU_FROM_INITIATOR, PDU_FROM_TARGET };

/* What one header tells of itself, from a table by opcode: known opcode for that sender, the
 * final bit where it must be set, reserved bits of byte 1 that are not zero (tolerated when a
 * target sends them: be liberal; listed by the strict mode for tests), an AHS where none may be
 * (11.2.2: only a SCSI Command has one), TSIH/stage/version legality of a login PDU, ITT/TTT
 * that must be or must not be ffffffff, R2T length zero, DataSegmentLength greater than
 * @max_data_bytes (our MaxRecvDataSegmentLength) or non-zero where the type carries none. NULL
 * when fine, else a static text that says what is wrong. What the RFC tells the initiator to
 * ignore is ignored: TTT of a final Text Response (11.10.4), flags of a SCSI Response that is
 * no "Command Completed" (11.4.3), the A bit (needs the ErrorRecoveryLevel, 11.7.2), the stages
 * of a login reject (6.3.1). */
const char *pdu_check(const uint8_t *bhs, enum pdu_sender sender, uint32_t max_data_bytes);
/* The same, and reserved bits of bytes 0 and 1 are errors whoever sent them (pdu_check()
 * reports those of an initiator only). For tests and the trace. */
const char *pdu_check_strict(const uint8_t *bhs, enum pdu_sender sender,
			     uint32_t max_data_bytes);
/* "SCSI Command", or "opcode 0x1e" style "unknown" text for a number that is none. Static. */
const char *pdu_name(uint8_t opcode);

/* The Extended CDB AHS of 11.2.2.3 for a CDB of 17..@cdb_bytes bytes: writes it padded into
 * @ahs (room for ISCSI_AHS_BYTES_MAX) and returns its bytes, a multiple of four. */
size_t pdu_put_extended_cdb(uint8_t *ahs, const uint8_t *cdb, size_t cdb_bytes);

#endif
