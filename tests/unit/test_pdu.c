/* SPDX-License-Identifier: BSD-2-Clause */
/* PDU headers against bytes typed from the diagrams of RFC 7143 section 11, a line a word. Every
 * field has a value of its own, so that a swap shows. */
#include <string.h>

#include "iscsi/pdu.h"
#include "unit.h"

#define I PDU_FROM_INITIATOR
#define T PDU_FROM_TARGET
#define LUN { 0x40, 0x01, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7 }
#define LUN_BYTES "\x40\x01\xa2\xa3" "\xa4\xa5\xa6\xa7"
#define ZERO4 "\0\0\0\0"
#define NONE4 "\xff\xff\xff\xff"
#define MAX_DATA 0x20000

/* clang-format off: one word of the diagrams a string */

typedef uint8_t header[ISCSI_BHS_BYTES];

/* The encoder makes exactly these bytes. The decoder finds in them what the encoder, now known to
 * be right, turns into the same bytes again. */
#define CHECK_TYPE(type, sender, bytes, ...)                                              \
	do {                                                                              \
		const struct pdu_##type want = { __VA_ARGS__ };                           \
		struct pdu_##type got;                                                    \
		header bhs, again;                                                        \
                                                                                          \
		CU_ASSERT_EQUAL(sizeof(bytes) - 1, ISCSI_BHS_BYTES);                      \
		memset(bhs, 0xee, sizeof(bhs));                                           \
		pdu_put_##type(bhs, &want);                                               \
		CU_ASSERT_FALSE(memcmp(bhs, bytes, ISCSI_BHS_BYTES));                     \
		memset(&got, 0xee, sizeof(got));                                          \
		pdu_get_##type((const uint8_t *)bytes, &got);                             \
		pdu_put_##type(again, &got);                                              \
		CU_ASSERT_FALSE(memcmp(again, bytes, ISCSI_BHS_BYTES));                   \
		CU_ASSERT_PTR_NULL(pdu_check_strict((const uint8_t *)bytes, sender, MAX_DATA)); \
	} while (0)

/* 11.3 */
#define SCSI_COMMAND                                                             \
	"\x41\xe2\x00\x00" "\x05\x01\x02\x03" LUN_BYTES "\x11\x12\x13\x14"       \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	"\x88\x01\x02\x03" "\x04\x05\x06\x07" "\x08\x09\x0a\x0b" "\x0c\x0d\x0e\x0f"

static void test_pdu_scsi_command(void)
{
	CHECK_TYPE(scsi_command, I, SCSI_COMMAND, .is_immediate = true, .is_final = true,
		   .is_read = true, .is_write = true, .attr = ISCSI_ATTR_ORDERED, .lun = LUN,
		   .itt = 0x11121314, .expected_bytes = 0x21222324, .cmd_sn = 0x31323334,
		   .exp_stat_sn = 0x41424344,
		   .cdb = { 0x88, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
		   .ahs_bytes = 20, .data_bytes = 0x010203);
}

/* 11.5 */
#define TMF_REQUEST                                                              \
	"\x42\x81\x00\x00" ZERO4 LUN_BYTES "\x11\x12\x13\x14"                    \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	"\x51\x52\x53\x54" "\x61\x62\x63\x64" ZERO4 ZERO4

static void test_pdu_tmf_request(void)
{
	CHECK_TYPE(tmf_request, I, TMF_REQUEST, .is_immediate = true,
		   .function = ISCSI_TMF_ABORT_TASK, .lun = LUN, .itt = 0x11121314,
		   .referenced_itt = 0x21222324, .cmd_sn = 0x31323334, .exp_stat_sn = 0x41424344,
		   .ref_cmd_sn = 0x51525354, .exp_data_sn = 0x61626364);
}

/* 11.7 */
#define DATA_OUT                                                                 \
	"\x05\x80\x00\x00" "\x00\x01\x02\x03" LUN_BYTES "\x11\x12\x13\x14"       \
	"\x21\x22\x23\x24" ZERO4 "\x31\x32\x33\x34" ZERO4 "\x41\x42\x43\x44"     \
	"\x51\x52\x53\x54" ZERO4

static void test_pdu_data_out(void)
{
	CHECK_TYPE(data_out, I, DATA_OUT, .is_final = true, .lun = LUN, .itt = 0x11121314,
		   .ttt = 0x21222324, .exp_stat_sn = 0x31323334, .data_sn = 0x41424344,
		   .buffer_offset = 0x51525354, .data_bytes = 0x010203);
}

/* 11.10 */
#define TEXT_REQUEST                                                             \
	"\x44\x40\x00\x00" "\x00\x00\x02\x03" LUN_BYTES "\x11\x12\x13\x14"       \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	ZERO4 ZERO4 ZERO4 ZERO4

static void test_pdu_text_request(void)
{
	CHECK_TYPE(text_request, I, TEXT_REQUEST, .is_immediate = true, .is_continued = true,
		   .lun = LUN, .itt = 0x11121314, .ttt = 0x21222324, .cmd_sn = 0x31323334,
		   .exp_stat_sn = 0x41424344, .data_bytes = 0x0203);
}

/* 11.12: T, CSG 1, NSG 3 */
#define LOGIN_REQUEST                                                            \
	"\x43\x87\x02\x01" "\x00\x00\x02\x03" "\x80\xb1\xb2\xb3" "\xb4\xb5\xc1\xc2" \
	"\x11\x12\x13\x14" "\xd1\xd2\x00\x00" "\x31\x32\x33\x34"                 \
	"\x41\x42\x43\x44" ZERO4 ZERO4 ZERO4 ZERO4

static void test_pdu_login_request(void)
{
	CHECK_TYPE(login_request, I, LOGIN_REQUEST, .is_transit = true, .csg = 1, .nsg = 3,
		   .version_max = 2, .version_min = 1,
		   .isid = { 0x80, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5 }, .tsih = 0xc1c2, .cid = 0xd1d2,
		   .itt = 0x11121314, .cmd_sn = 0x31323334, .exp_stat_sn = 0x41424344,
		   .data_bytes = 0x0203);
}

/* 11.14 */
#define LOGOUT_REQUEST                                                           \
	"\x46\x82\x00\x00" ZERO4 ZERO4 ZERO4 "\x11\x12\x13\x14"                  \
	"\xd1\xd2\x00\x00" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	ZERO4 ZERO4 ZERO4 ZERO4

static void test_pdu_logout_request(void)
{
	CHECK_TYPE(logout_request, I, LOGOUT_REQUEST, .is_immediate = true,
		   .reason = ISCSI_LOGOUT_RECOVERY, .cid = 0xd1d2, .itt = 0x11121314,
		   .cmd_sn = 0x31323334, .exp_stat_sn = 0x41424344);
}

/* 11.16 */
#define SNACK_REQUEST                                                            \
	"\x10\x80\x00\x00" ZERO4 LUN_BYTES "\x11\x12\x13\x14"                    \
	NONE4 ZERO4 "\x41\x42\x43\x44" ZERO4 ZERO4 "\x51\x52\x53\x54" "\x61\x62\x63\x64"

static void test_pdu_snack_request(void)
{
	CHECK_TYPE(snack_request, I, SNACK_REQUEST, .type = ISCSI_SNACK_DATA_R2T, .lun = LUN,
		   .itt = 0x11121314, .ttt = ISCSI_TAG_NONE, .exp_stat_sn = 0x41424344,
		   .begin_run = 0x51525354, .run_length = 0x61626364);
}

/* 11.18 */
#define NOP_OUT                                                                  \
	"\x40\x80\x00\x00" "\x00\x00\x02\x03" LUN_BYTES "\x11\x12\x13\x14"       \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	ZERO4 ZERO4 ZERO4 ZERO4

static void test_pdu_nop_out(void)
{
	CHECK_TYPE(nop_out, I, NOP_OUT, .is_immediate = true, .lun = LUN, .itt = 0x11121314,
		   .ttt = 0x21222324, .cmd_sn = 0x31323334, .exp_stat_sn = 0x41424344,
		   .data_bytes = 0x0203);
}

/* 11.4: o and U */
#define SCSI_RESPONSE                                                            \
	"\x21\x92\x00\x02" "\x00\x00\x02\x03" ZERO4 ZERO4 "\x11\x12\x13\x14"     \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	"\x51\x52\x53\x54" "\x61\x62\x63\x64" "\x71\x72\x73\x74" "\x81\x82\x83\x84"

static void test_pdu_scsi_response(void)
{
	CHECK_TYPE(scsi_response, T, SCSI_RESPONSE,
		   .flags = ISCSI_RSP_BIDI_OVERFLOW | ISCSI_RSP_UNDERFLOW, .status = 2,
		   .itt = 0x11121314, .snack_tag = 0x21222324, .stat_sn = 0x31323334,
		   .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354, .exp_data_sn = 0x61626364,
		   .bidi_residual = 0x71727374, .residual = 0x81828384, .data_bytes = 0x0203);
}

/* 11.6 */
#define TMF_RESPONSE                                                             \
	"\x22\x80\xff\x00" ZERO4 ZERO4 ZERO4 "\x11\x12\x13\x14"                  \
	ZERO4 "\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54"           \
	ZERO4 ZERO4 ZERO4

static void test_pdu_tmf_response(void)
{
	CHECK_TYPE(tmf_response, T, TMF_RESPONSE, .response = ISCSI_TMF_REJECTED,
		   .itt = 0x11121314, .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344,
		   .max_cmd_sn = 0x51525354);
}

/* 11.7: F, A, O, S */
#define DATA_IN                                                                  \
	"\x25\xc5\x00\x04" "\x00\x01\x02\x03" LUN_BYTES "\x11\x12\x13\x14"       \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	"\x51\x52\x53\x54" "\x61\x62\x63\x64" "\x71\x72\x73\x74" "\x81\x82\x83\x84"

static void test_pdu_data_in(void)
{
	CHECK_TYPE(data_in, T, DATA_IN,
		   .flags = ISCSI_FLAG_FINAL | ISCSI_DATA_IN_ACK | ISCSI_RSP_OVERFLOW |
			    ISCSI_DATA_IN_STATUS,
		   .status = 4, .lun = LUN, .itt = 0x11121314, .ttt = 0x21222324,
		   .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354,
		   .data_sn = 0x61626364, .buffer_offset = 0x71727374, .residual = 0x81828384,
		   .data_bytes = 0x010203);
}

/* 11.8 */
#define R2T                                                                      \
	"\x31\x80\x00\x00" ZERO4 LUN_BYTES "\x11\x12\x13\x14"                    \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44"                 \
	"\x51\x52\x53\x54" "\x61\x62\x63\x64" "\x71\x72\x73\x74" "\x81\x82\x83\x84"

static void test_pdu_r2t(void)
{
	CHECK_TYPE(r2t, T, R2T, .lun = LUN, .itt = 0x11121314, .ttt = 0x21222324,
		   .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354,
		   .r2t_sn = 0x61626364, .buffer_offset = 0x71727374,
		   .desired_bytes = 0x81828384);
}

/* 11.9 */
#define ASYNC_MESSAGE                                                            \
	"\x32\x80\x00\x00" "\x00\x00\x02\x03" LUN_BYTES NONE4 ZERO4              \
	"\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54"                 \
	"\xff\x61\x62\x63" "\x64\x65\x66\x67" ZERO4

static void test_pdu_async_message(void)
{
	CHECK_TYPE(async_message, T, ASYNC_MESSAGE, .lun = LUN, .stat_sn = 0x31323334,
		   .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354,
		   .event = ISCSI_ASYNC_VENDOR, .vendor_code = 0x61, .parameter1 = 0x6263,
		   .parameter2 = 0x6465, .parameter3 = 0x6667, .data_bytes = 0x0203);
}

/* 11.11 */
#define TEXT_RESPONSE                                                            \
	"\x24\x40\x00\x00" "\x00\x00\x02\x03" LUN_BYTES "\x11\x12\x13\x14"       \
	"\x21\x22\x23\x24" "\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54" \
	ZERO4 ZERO4 ZERO4

static void test_pdu_text_response(void)
{
	CHECK_TYPE(text_response, T, TEXT_RESPONSE, .is_continued = true, .lun = LUN,
		   .itt = 0x11121314, .ttt = 0x21222324, .stat_sn = 0x31323334,
		   .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354, .data_bytes = 0x0203);
}

/* 11.13: C, CSG 1; Version-max 3 */
#define LOGIN_RESPONSE                                                           \
	"\x23\x44\x03\x00" "\x00\x00\x02\x03" "\x80\xb1\xb2\xb3" "\xb4\xb5\xc1\xc2" \
	"\x11\x12\x13\x14" ZERO4 "\x31\x32\x33\x34" "\x41\x42\x43\x44"           \
	"\x51\x52\x53\x54" ZERO4 ZERO4 ZERO4

static void test_pdu_login_response(void)
{
	CHECK_TYPE(login_response, T, LOGIN_RESPONSE, .is_continued = true, .csg = 1,
		   .version_max = 3, .isid = { 0x80, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5 },
		   .tsih = 0xc1c2, .itt = 0x11121314, .stat_sn = 0x31323334,
		   .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354, .data_bytes = 0x0203);
}

/* 11.13 with status 0102: stage bits are reserved */
#define LOGIN_REJECT                                                             \
	"\x23\x00\x00\x01" ZERO4 ZERO4 ZERO4 "\x11\x12\x13\x14" ZERO4 ZERO4      \
	ZERO4 ZERO4 "\x01\x02\x00\x00" ZERO4 ZERO4

static void test_pdu_login_reject(void)
{
	CHECK_TYPE(login_response, T, LOGIN_REJECT, .version_active = 1, .itt = 0x11121314,
		   .status_class = 1, .status_detail = 2);
}

/* 11.15 */
#define LOGOUT_RESPONSE                                                          \
	"\x26\x80\x03\x00" ZERO4 ZERO4 ZERO4 "\x11\x12\x13\x14" ZERO4            \
	"\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54"                 \
	ZERO4 "\x61\x62\x63\x64" ZERO4

static void test_pdu_logout_response(void)
{
	CHECK_TYPE(logout_response, T, LOGOUT_RESPONSE, .response = 3, .itt = 0x11121314,
		   .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354,
		   .time2wait = 0x6162, .time2retain = 0x6364);
}

/* 11.17 */
#define REJECT                                                                   \
	"\x3f\x80\x09\x00" "\x00\x00\x00\x30" ZERO4 ZERO4 NONE4 ZERO4            \
	"\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54"                 \
	"\x61\x62\x63\x64" ZERO4 ZERO4

static void test_pdu_reject(void)
{
	CHECK_TYPE(reject, T, REJECT, .reason = ISCSI_REJECT_INVALID_PDU_FIELD,
		   .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354,
		   .data_sn = 0x61626364, .data_bytes = 48);
}

/* 11.19: a ping, without data */
#define NOP_IN                                                                   \
	"\x20\x80\x00\x00" ZERO4 LUN_BYTES NONE4 "\x21\x22\x23\x24"              \
	"\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54"                 \
	ZERO4 ZERO4 ZERO4

static void test_pdu_nop_in(void)
{
	CHECK_TYPE(nop_in, T, NOP_IN, .lun = LUN, .itt = ISCSI_TAG_NONE, .ttt = 0x21222324,
		   .stat_sn = 0x31323334, .exp_cmd_sn = 0x41424344, .max_cmd_sn = 0x51525354);
}

/* --- the common fields --- */

static void test_pdu_common_fields(void)
{
	const uint8_t *bhs = (const uint8_t *)SCSI_COMMAND;

	CU_ASSERT_EQUAL(pdu_opcode(bhs), ISCSI_SCSI_COMMAND);
	CU_ASSERT_EQUAL(pdu_flags(bhs), 0xe2);
	CU_ASSERT_EQUAL(pdu_ahs_bytes(bhs), 20);
	CU_ASSERT_EQUAL(pdu_data_bytes(bhs), 0x010203);
	CU_ASSERT_EQUAL(pdu_itt(bhs), 0x11121314);
	bhs = (const uint8_t *)R2T;
	CU_ASSERT_EQUAL(pdu_ttt(bhs), 0x21222324);
	CU_ASSERT_EQUAL(pdu_stat_sn(bhs), 0x31323334);
	CU_ASSERT_EQUAL(pdu_exp_cmd_sn(bhs), 0x41424344);
	CU_ASSERT_EQUAL(pdu_max_cmd_sn(bhs), 0x51525354);
}

static void test_pdu_padding(void)
{
	CU_ASSERT_EQUAL(pdu_padding(0), 0);
	CU_ASSERT_EQUAL(pdu_padding(1), 3);
	CU_ASSERT_EQUAL(pdu_padding(2), 2);
	CU_ASSERT_EQUAL(pdu_padding(3), 1);
	CU_ASSERT_EQUAL(pdu_padding(4), 0);
	CU_ASSERT_EQUAL(pdu_padding(0xffffff), 1);
}

static void test_pdu_largest_lengths(void)
{
	struct pdu_scsi_command p = { .is_final = true, .ahs_bytes = ISCSI_AHS_BYTES_MAX,
				      .data_bytes = ISCSI_DSL_MAX };
	struct pdu_scsi_command got;
	header bhs;

	pdu_put_scsi_command(bhs, &p);
	CU_ASSERT_FALSE(memcmp(bhs + 4, "\xff\xff\xff\xff", 4));
	pdu_get_scsi_command(bhs, &got);
	CU_ASSERT_EQUAL(got.ahs_bytes, 1020);
	CU_ASSERT_EQUAL(got.data_bytes, 0xffffff);
}

/* 11.2.2.3: AHSLength is CDBLength - 15 and counts the reserved byte */
static void test_pdu_extended_cdb(void)
{
	uint8_t cdb[32], ahs[ISCSI_AHS_BYTES_MAX];

	for (unsigned i = 0; i < sizeof(cdb); i++)
		cdb[i] = (uint8_t)(0x60 + i);
	memset(ahs, 0xee, sizeof(ahs));
	CU_ASSERT_EQUAL(pdu_put_extended_cdb(ahs, cdb, 32), 20);
	CU_ASSERT_FALSE(memcmp(ahs, "\x00\x11\x01\x00", 4));
	CU_ASSERT_FALSE(memcmp(ahs + 4, cdb + 16, 16));
	CU_ASSERT_EQUAL(ahs[20], 0xee);
	CU_ASSERT_EQUAL(pdu_put_extended_cdb(ahs, cdb, 17), 8);
	CU_ASSERT_FALSE(memcmp(ahs, "\x00\x02\x01\x00" "\x70\x00\x00\x00", 8));
	CU_ASSERT_EQUAL(pdu_put_extended_cdb(ahs, cdb, 21), 12);
	CU_ASSERT_FALSE(memcmp(ahs, "\x00\x06\x01\x00" "\x70\x71\x72\x73" "\x74\0\0\0", 12));
}

/* --- checks --- */

/* A good header with @value put at byte @at. */
struct fault {
	const char *bhs;
	enum pdu_sender sender;
	unsigned at;
	const char *bytes;
	unsigned count;
	const char *want; /* part of the complaint; NULL: must be tolerated */
};

#define AT(at, bytes) at, bytes, sizeof(bytes) - 1

static void check_faults(const struct fault *faults, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct fault *f = &faults[i];
		const char *complaint;
		header bhs;

		memcpy(bhs, f->bhs, sizeof(bhs));
		memcpy(bhs + f->at, f->bytes, f->count);
		complaint = pdu_check(bhs, f->sender, MAX_DATA);
		if (!f->want) {
			CU_ASSERT_PTR_NULL(complaint);
			continue;
		}
		CU_ASSERT_PTR_NOT_NULL(complaint);
		if (complaint && !strstr(complaint, f->want)) {
			printf("fault %zu: \"%s\" instead of \"%s\"\n", i, complaint, f->want);
			CU_FAIL("another complaint");
		}
	}
}

#define CHECK_FAULTS(faults) check_faults(faults, sizeof(faults) / sizeof((faults)[0]))

static void test_pdu_check_refuses_what_is_common(void)
{
	static const struct fault faults[] = {
		{ R2T, I, AT(0, "\x31"), "other direction" },
		{ NOP_OUT, T, AT(0, "\x40"), "other direction" },
		{ R2T, T, AT(0, "\x27"), "unassigned opcode" },
		{ R2T, T, AT(0, "\x3e"), "unassigned opcode" }, /* vendor-specific */
		{ DATA_IN, T, AT(4, "\x01"), "additional header" },
		{ DATA_IN, T, AT(5, "\x02\x00\x01"), "greater than MaxRecv" },
		{ DATA_IN, T, AT(5, "\x02\x00\x00"), NULL },
		{ DATA_IN, T, AT(5, "\x00\x00\x00"), NULL }, /* 11.7.7 */
		{ DATA_IN, T, AT(16, NONE4), "reserved Initiator Task Tag" },
		{ SCSI_RESPONSE, T, AT(16, NONE4), "reserved Initiator Task Tag" },
		{ R2T, T, AT(7, "\x01"), "data segment where none" },
		{ TMF_RESPONSE, T, AT(7, "\x01"), "data segment where none" },
		{ LOGOUT_RESPONSE, T, AT(7, "\x01"), "data segment where none" },
		{ LOGOUT_REQUEST, I, AT(7, "\x01"), "data segment where none" },
		{ TMF_REQUEST, I, AT(7, "\x01"), "data segment where none" },
		{ SNACK_REQUEST, I, AT(7, "\x01"), "data segment where none" },
		{ R2T, T, AT(1, "\0"), "final bit" },
		{ NOP_IN, T, AT(1, "\0"), "final bit" },
		{ REJECT, T, AT(1, "\0"), "final bit" },
		{ ASYNC_MESSAGE, T, AT(1, "\0"), "final bit" },
		{ SCSI_RESPONSE, T, AT(1, "\0"), "final bit" },
		{ REJECT, T, AT(16, ZERO4), "where none may be" },
		{ ASYNC_MESSAGE, T, AT(16, ZERO4), "where none may be" },
	};

	CHECK_FAULTS(faults);
}

static void test_pdu_check_refuses_what_a_target_may_not_send(void)
{
	static const struct fault faults[] = {
		{ R2T, T, AT(20, NONE4), "reserved Target Transfer Tag" }, /* 11.8.5 */
		{ R2T, T, AT(44, ZERO4), "R2T for no data" },		    /* 11.8.4 */
		{ DATA_IN, T, AT(1, "\x41"), "S bit without F" },
		{ DATA_IN, T, AT(1, "\x87"), "overflow and underflow" },
		{ DATA_IN, T, AT(1, "\x86"), NULL }, /* without S they mean nothing */
		{ SCSI_RESPONSE, T, AT(1, "\x86"), "overflow and underflow" },
		{ SCSI_RESPONSE, T, AT(1, "\x98"), "overflow and underflow" },
		{ SCSI_RESPONSE, T, AT(1, "\x9e\x01"), NULL }, /* 11.4.3: flags are ignored */
		{ TEXT_RESPONSE, T, AT(1, "\xc0"), "F and C bit" },
		{ TEXT_RESPONSE, T, AT(20, NONE4), "without a Target Transfer Tag" },
		{ NOP_IN, T, AT(16, ZERO4), "both an answer and a ping" }, /* 7.7 */
		{ NOP_IN, T, AT(7, "\x04"), "data that answers no ping" },
		{ LOGIN_RESPONSE, T, AT(1, "\xc7"), "T and C bit" },
		{ LOGIN_RESPONSE, T, AT(1, "\x08"), "current stage" },
		{ LOGIN_RESPONSE, T, AT(1, "\x0c"), "current stage" },
		{ LOGIN_RESPONSE, T, AT(1, "\x82"), "reserved next stage" },
		{ LOGIN_RESPONSE, T, AT(1, "\x84"), "not after the current" },
		{ LOGIN_RESPONSE, T, AT(1, "\x85"), "not after the current" },
		{ LOGIN_RESPONSE, T, AT(1, "\x80"), "not after the current" },
		{ LOGIN_RESPONSE, T, AT(1, "\x04"), NULL }, /* NSG is reserved without T */
		{ LOGIN_RESPONSE, T, AT(1, "\x06"), NULL },
		{ LOGIN_RESPONSE, T, AT(1, "\x81"), NULL },
		{ LOGIN_RESPONSE, T, AT(1, "\x83"), NULL },
		{ LOGIN_RESPONSE, T, AT(1, "\x87"), NULL },
		{ LOGIN_RESPONSE, T, AT(3, "\x01"), "Version-active" },
		{ LOGIN_REJECT, T, AT(1, "\xcf"), NULL }, /* all reserved in a reject */
	};
	header final;

	CHECK_FAULTS(faults);
	memcpy(final, LOGIN_RESPONSE, sizeof(final));
	final[1] = 0x87;
	final[14] = final[15] = 0;
	CU_ASSERT_STRING_EQUAL(pdu_check(final, T, MAX_DATA), "final Login Response with TSIH 0");
	final[1] = 0x81; /* not final */
	CU_ASSERT_PTR_NULL(pdu_check(final, T, MAX_DATA));
	memcpy(final, TEXT_RESPONSE, sizeof(final));
	final[1] = 0x80; /* TTT of a final Text Response is ignored, 11.10.4 */
	CU_ASSERT_PTR_NULL(pdu_check(final, T, MAX_DATA));
}

static void test_pdu_check_refuses_what_an_initiator_may_not_send(void)
{
	static const struct fault faults[] = {
		{ SCSI_COMMAND, I, AT(1, "\x41"), "neither F nor W" },
		{ SCSI_COMMAND, I, AT(1, "\x81"), "neither R nor W" },
		{ SCSI_COMMAND, I, AT(1, "\xe5"), "reserved task attribute" },
		{ SCSI_COMMAND, I, AT(1, "\xe9"), "reserved bits" },
		{ SCSI_COMMAND, I, AT(16, NONE4), "reserved Initiator Task Tag" },
		{ TMF_REQUEST, I, AT(1, "\x80"), "unassigned task management" },
		{ TMF_REQUEST, I, AT(1, "\x8d"), "unassigned task management" },
		{ TMF_REQUEST, I, AT(1, "\x82"), "Referenced Task Tag" },
		{ TMF_REQUEST, I, AT(20, NONE4), "Referenced Task Tag" },
		{ TMF_REQUEST, I, AT(0, "\x02\x88"), "not immediate" },
		{ TMF_REQUEST, I, AT(1, "\x88"), NULL },
		{ LOGIN_REQUEST, I, AT(0, "\x03"), "not immediate" },
		{ LOGIN_REQUEST, I, AT(2, "\x00\x01"), "Version-min" },
		{ LOGIN_REQUEST, I, AT(1, "\x97"), "reserved bits" },
		{ TEXT_REQUEST, I, AT(1, "\xc0"), "F and C" },
		{ LOGOUT_REQUEST, I, AT(1, "\x83"), "reserved logout reason" },
		{ SNACK_REQUEST, I, AT(1, "\x84"), "reserved SNACK type" },
		{ SNACK_REQUEST, I, AT(1, "\x81"), "Initiator Task Tag" }, /* status: none */
		{ SNACK_REQUEST, I, AT(20, ZERO4), "Target Transfer Tag" },
		{ SNACK_REQUEST, I, AT(1, "\x83"), "Target Transfer Tag" }, /* R-Data: a tag */
		{ NOP_OUT, I, AT(0, "\x00"), NULL },
		{ DATA_OUT, I, AT(0, "\x45"), "reserved bits" },
	};
	header bhs;

	CHECK_FAULTS(faults);
	memcpy(bhs, NOP_OUT, sizeof(bhs));
	bhs[0] = 0;
	memset(bhs + 16, 0xff, 4);
	CU_ASSERT_PTR_NOT_NULL(pdu_check(bhs, I, MAX_DATA)); /* 11.18.1 */
	bhs[0] = ISCSI_FLAG_IMMEDIATE;
	CU_ASSERT_PTR_NULL(pdu_check(bhs, I, MAX_DATA));
}

static void test_pdu_check_snack_types(void)
{
	header bhs;

	memcpy(bhs, SNACK_REQUEST, sizeof(bhs));
	bhs[1] = 0x82; /* DataACK: no ITT, a TTT, RunLength 0 */
	memset(bhs + 16, 0xff, 4);
	memset(bhs + 20, 0x11, 4);
	CU_ASSERT_STRING_EQUAL(pdu_check(bhs, I, 0), "RunLength is not 0");
	memset(bhs + 44, 0, 4);
	CU_ASSERT_PTR_NULL(pdu_check(bhs, I, 0));
	bhs[1] = 0x83; /* R-Data: ITT, a SNACK tag that is not 0, BegRun 0 */
	memset(bhs + 16, 0x22, 4);
	CU_ASSERT_STRING_EQUAL(pdu_check(bhs, I, 0), "BegRun of a R-Data SNACK is not 0");
	memset(bhs + 40, 0, 4);
	CU_ASSERT_PTR_NULL(pdu_check(bhs, I, 0));
	memset(bhs + 20, 0, 4);
	CU_ASSERT_PTR_NOT_NULL(pdu_check(bhs, I, 0));
}

static void test_pdu_check_tolerates_reserved_bits_of_a_target(void)
{
	header bhs;

	memcpy(bhs, R2T, sizeof(bhs));
	bhs[0] |= 0xc0;
	bhs[1] |= 0x7f;
	CU_ASSERT_PTR_NULL(pdu_check(bhs, T, 0));
	CU_ASSERT_STRING_EQUAL(pdu_check_strict(bhs, T, 0), "reserved bits are set");
	memcpy(bhs, R2T, sizeof(bhs));
	bhs[1] |= 0x01;
	CU_ASSERT_PTR_NOT_NULL(pdu_check_strict(bhs, T, 0));
}

static void test_pdu_names(void)
{
	CU_ASSERT_STRING_EQUAL(pdu_name(ISCSI_SCSI_COMMAND), "SCSI Command");
	CU_ASSERT_STRING_EQUAL(pdu_name(ISCSI_REJECT), "Reject");
	CU_ASSERT_STRING_EQUAL(pdu_name(ISCSI_FLAG_IMMEDIATE | ISCSI_NOP_OUT), "NOP-Out");
	CU_ASSERT_STRING_EQUAL(pdu_name(0x1e), "opcode 0x1e");
	CU_ASSERT_STRING_EQUAL(pdu_name(0x07), "opcode 0x07");
	CU_ASSERT_STRING_EQUAL(pdu_name(0x30), "opcode 0x30");
}

UNIT_MAIN("pdu", UNIT(test_pdu_scsi_command), UNIT(test_pdu_tmf_request),
	  UNIT(test_pdu_data_out), UNIT(test_pdu_text_request), UNIT(test_pdu_login_request),
	  UNIT(test_pdu_logout_request), UNIT(test_pdu_snack_request), UNIT(test_pdu_nop_out),
	  UNIT(test_pdu_scsi_response), UNIT(test_pdu_tmf_response), UNIT(test_pdu_data_in),
	  UNIT(test_pdu_r2t), UNIT(test_pdu_async_message), UNIT(test_pdu_text_response),
	  UNIT(test_pdu_login_response), UNIT(test_pdu_login_reject),
	  UNIT(test_pdu_logout_response), UNIT(test_pdu_reject), UNIT(test_pdu_nop_in),
	  UNIT(test_pdu_common_fields), UNIT(test_pdu_padding), UNIT(test_pdu_largest_lengths),
	  UNIT(test_pdu_extended_cdb), UNIT(test_pdu_check_refuses_what_is_common),
	  UNIT(test_pdu_check_refuses_what_a_target_may_not_send),
	  UNIT(test_pdu_check_refuses_what_an_initiator_may_not_send),
	  UNIT(test_pdu_check_snack_types),
	  UNIT(test_pdu_check_tolerates_reserved_bits_of_a_target), UNIT(test_pdu_names))
