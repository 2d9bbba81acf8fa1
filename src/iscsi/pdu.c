/* SPDX-License-Identifier: BSD-2-Clause */
/* Headers of all PDU types of RFC 7143 section 11: encoders, decoders, and the checks that need
 * nothing but the 48 bytes. Called by the receive and transmit machines for every PDU, so the
 * code is straight-line: a flag is shifted into its bit, never tested.
 *
 * Invariants: an encoder writes all 48 bytes, reserved ones as zero; a decoder reads any bytes
 * and keeps no reserved bit, so encode(decode(x)) clears exactly what is reserved in x. */
#include <assert.h>

#include "iscsi/pdu.h"

#define LUN_BYTES 8
#define ISID_BYTES 6

/* Bits of byte 1 that have a meaning. */
#define DATA_IN_FLAGS                                                                      \
	(ISCSI_FLAG_FINAL | ISCSI_DATA_IN_ACK | ISCSI_RSP_OVERFLOW | ISCSI_RSP_UNDERFLOW | \
	 ISCSI_DATA_IN_STATUS)
#define RESPONSE_FLAGS                                                             \
	(ISCSI_RSP_BIDI_OVERFLOW | ISCSI_RSP_BIDI_UNDERFLOW | ISCSI_RSP_OVERFLOW | \
	 ISCSI_RSP_UNDERFLOW)
#define ATTR_MASK 0x07
#define FUNCTION_MASK 0x7f /* task management function, logout reason: bits 1-7 */
#define SNACK_TYPE_MASK 0x0f
#define STAGE_MASK 0x03
#define CSG_SHIFT 2

/* --- parts that several types share --- */

/* A bool as the single bit @mask. */
#define BIT(is_set, mask) ((uint8_t)((unsigned)(is_set) * (mask)))

/* Everything up to the length fields; the rest of the header is zero after it. */
static inline void put_start(uint8_t *bhs, uint8_t byte0, uint8_t flags, uint32_t data_bytes)
{
	assert(data_bytes <= ISCSI_DSL_MAX);
	memset(bhs, 0, ISCSI_BHS_BYTES);
	bhs[0] = byte0;
	bhs[1] = flags;
	put_be32(bhs + 4, data_bytes); /* TotalAHSLength 0 */
}

static inline void put_lun(uint8_t *bhs, const uint8_t *lun)
{
	memcpy(bhs + 8, lun, LUN_BYTES);
}

static inline void get_lun(const uint8_t *bhs, uint8_t *lun)
{
	memcpy(lun, bhs + 8, LUN_BYTES);
}

static inline void put_tags(uint8_t *bhs, uint32_t itt, uint32_t ttt)
{
	put_be32(bhs + 16, itt);
	put_be32(bhs + 20, ttt);
}

static inline void put_request_sn(uint8_t *bhs, uint32_t cmd_sn, uint32_t exp_stat_sn)
{
	put_be32(bhs + 24, cmd_sn);
	put_be32(bhs + 28, exp_stat_sn);
}

static inline void put_response_sn(uint8_t *bhs, uint32_t stat_sn, uint32_t exp_cmd_sn,
				   uint32_t max_cmd_sn)
{
	put_be32(bhs + 24, stat_sn);
	put_be32(bhs + 28, exp_cmd_sn);
	put_be32(bhs + 32, max_cmd_sn);
}

#define IMMEDIATE(p) BIT((p)->is_immediate, ISCSI_FLAG_IMMEDIATE)
#define FINAL(p) BIT((p)->is_final, ISCSI_FLAG_FINAL)

static inline bool has_immediate(const uint8_t *bhs)
{
	return bhs[0] & ISCSI_FLAG_IMMEDIATE;
}

static inline bool has_final(const uint8_t *bhs)
{
	return bhs[1] & ISCSI_FLAG_FINAL;
}

/* --- initiator to target --- */

void pdu_put_scsi_command(uint8_t *bhs, const struct pdu_scsi_command *p)
{
	assert(p->ahs_bytes % 4 == 0 && p->ahs_bytes <= ISCSI_AHS_BYTES_MAX);
	put_start(bhs, IMMEDIATE(p) | ISCSI_SCSI_COMMAND,
		  FINAL(p) | BIT(p->is_read, ISCSI_CMD_READ) |
			  BIT(p->is_write, ISCSI_CMD_WRITE) | (p->attr & ATTR_MASK),
		  p->data_bytes);
	bhs[4] = (uint8_t)(p->ahs_bytes / 4);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->expected_bytes);
	put_request_sn(bhs, p->cmd_sn, p->exp_stat_sn);
	memcpy(bhs + 32, p->cdb, sizeof(p->cdb));
}

void pdu_get_scsi_command(const uint8_t *bhs, struct pdu_scsi_command *p)
{
	p->is_immediate = has_immediate(bhs);
	p->is_final = has_final(bhs);
	p->is_read = bhs[1] & ISCSI_CMD_READ;
	p->is_write = bhs[1] & ISCSI_CMD_WRITE;
	p->attr = bhs[1] & ATTR_MASK;
	p->ahs_bytes = (uint16_t)pdu_ahs_bytes(bhs);
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->expected_bytes = get_be32(bhs + 20);
	p->cmd_sn = get_be32(bhs + 24);
	p->exp_stat_sn = get_be32(bhs + 28);
	memcpy(p->cdb, bhs + 32, sizeof(p->cdb));
}

void pdu_put_tmf_request(uint8_t *bhs, const struct pdu_tmf_request *p)
{
	put_start(bhs, IMMEDIATE(p) | ISCSI_TMF_REQUEST,
		  ISCSI_FLAG_FINAL | (p->function & FUNCTION_MASK), 0);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->referenced_itt);
	put_request_sn(bhs, p->cmd_sn, p->exp_stat_sn);
	put_be32(bhs + 32, p->ref_cmd_sn);
	put_be32(bhs + 36, p->exp_data_sn);
}

void pdu_get_tmf_request(const uint8_t *bhs, struct pdu_tmf_request *p)
{
	p->is_immediate = has_immediate(bhs);
	p->function = bhs[1] & FUNCTION_MASK;
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->referenced_itt = get_be32(bhs + 20);
	p->cmd_sn = get_be32(bhs + 24);
	p->exp_stat_sn = get_be32(bhs + 28);
	p->ref_cmd_sn = get_be32(bhs + 32);
	p->exp_data_sn = get_be32(bhs + 36);
}

void pdu_put_data_out(uint8_t *bhs, const struct pdu_data_out *p)
{
	put_start(bhs, ISCSI_DATA_OUT, FINAL(p), p->data_bytes);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_be32(bhs + 28, p->exp_stat_sn);
	put_be32(bhs + 36, p->data_sn);
	put_be32(bhs + 40, p->buffer_offset);
}

void pdu_get_data_out(const uint8_t *bhs, struct pdu_data_out *p)
{
	p->is_final = has_final(bhs);
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->exp_stat_sn = get_be32(bhs + 28);
	p->data_sn = get_be32(bhs + 36);
	p->buffer_offset = get_be32(bhs + 40);
}

void pdu_put_text_request(uint8_t *bhs, const struct pdu_text_request *p)
{
	put_start(bhs, IMMEDIATE(p) | ISCSI_TEXT_REQUEST,
		  FINAL(p) | BIT(p->is_continued, ISCSI_TEXT_CONTINUE), p->data_bytes);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_request_sn(bhs, p->cmd_sn, p->exp_stat_sn);
}

void pdu_get_text_request(const uint8_t *bhs, struct pdu_text_request *p)
{
	p->is_immediate = has_immediate(bhs);
	p->is_final = has_final(bhs);
	p->is_continued = bhs[1] & ISCSI_TEXT_CONTINUE;
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->cmd_sn = get_be32(bhs + 24);
	p->exp_stat_sn = get_be32(bhs + 28);
}

/* The I bit is fixed: Login Requests are always immediate (11.12). */
void pdu_put_login_request(uint8_t *bhs, const struct pdu_login_request *p)
{
	put_start(bhs, ISCSI_FLAG_IMMEDIATE | ISCSI_LOGIN_REQUEST,
		  (uint8_t)(BIT(p->is_transit, ISCSI_LOGIN_TRANSIT) |
			    BIT(p->is_continued, ISCSI_LOGIN_CONTINUE) |
			    (p->csg & STAGE_MASK) << CSG_SHIFT | (p->nsg & STAGE_MASK)),
		  p->data_bytes);
	bhs[2] = p->version_max;
	bhs[3] = p->version_min;
	memcpy(bhs + 8, p->isid, ISID_BYTES);
	put_be16(bhs + 14, p->tsih);
	put_be32(bhs + 16, p->itt);
	put_be16(bhs + 20, p->cid);
	put_request_sn(bhs, p->cmd_sn, p->exp_stat_sn);
}

void pdu_get_login_request(const uint8_t *bhs, struct pdu_login_request *p)
{
	p->is_transit = bhs[1] & ISCSI_LOGIN_TRANSIT;
	p->is_continued = bhs[1] & ISCSI_LOGIN_CONTINUE;
	p->csg = bhs[1] >> CSG_SHIFT & STAGE_MASK;
	p->nsg = bhs[1] & STAGE_MASK;
	p->version_max = bhs[2];
	p->version_min = bhs[3];
	p->data_bytes = pdu_data_bytes(bhs);
	memcpy(p->isid, bhs + 8, ISID_BYTES);
	p->tsih = get_be16(bhs + 14);
	p->itt = pdu_itt(bhs);
	p->cid = get_be16(bhs + 20);
	p->cmd_sn = get_be32(bhs + 24);
	p->exp_stat_sn = get_be32(bhs + 28);
}

void pdu_put_logout_request(uint8_t *bhs, const struct pdu_logout_request *p)
{
	put_start(bhs, IMMEDIATE(p) | ISCSI_LOGOUT_REQUEST,
		  ISCSI_FLAG_FINAL | (p->reason & FUNCTION_MASK), 0);
	put_be32(bhs + 16, p->itt);
	put_be16(bhs + 20, p->cid);
	put_request_sn(bhs, p->cmd_sn, p->exp_stat_sn);
}

void pdu_get_logout_request(const uint8_t *bhs, struct pdu_logout_request *p)
{
	p->is_immediate = has_immediate(bhs);
	p->reason = bhs[1] & FUNCTION_MASK;
	p->itt = pdu_itt(bhs);
	p->cid = get_be16(bhs + 20);
	p->cmd_sn = get_be32(bhs + 24);
	p->exp_stat_sn = get_be32(bhs + 28);
}

void pdu_put_snack_request(uint8_t *bhs, const struct pdu_snack_request *p)
{
	put_start(bhs, ISCSI_SNACK_REQUEST, ISCSI_FLAG_FINAL | (p->type & SNACK_TYPE_MASK), 0);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_be32(bhs + 28, p->exp_stat_sn);
	put_be32(bhs + 40, p->begin_run);
	put_be32(bhs + 44, p->run_length);
}

void pdu_get_snack_request(const uint8_t *bhs, struct pdu_snack_request *p)
{
	p->type = bhs[1] & SNACK_TYPE_MASK;
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->exp_stat_sn = get_be32(bhs + 28);
	p->begin_run = get_be32(bhs + 40);
	p->run_length = get_be32(bhs + 44);
}

void pdu_put_nop_out(uint8_t *bhs, const struct pdu_nop_out *p)
{
	put_start(bhs, IMMEDIATE(p) | ISCSI_NOP_OUT, ISCSI_FLAG_FINAL, p->data_bytes);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_request_sn(bhs, p->cmd_sn, p->exp_stat_sn);
}

void pdu_get_nop_out(const uint8_t *bhs, struct pdu_nop_out *p)
{
	p->is_immediate = has_immediate(bhs);
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->cmd_sn = get_be32(bhs + 24);
	p->exp_stat_sn = get_be32(bhs + 28);
}

/* --- target to initiator --- */

void pdu_put_scsi_response(uint8_t *bhs, const struct pdu_scsi_response *p)
{
	put_start(bhs, ISCSI_SCSI_RESPONSE, ISCSI_FLAG_FINAL | (p->flags & RESPONSE_FLAGS),
		  p->data_bytes);
	bhs[2] = p->response;
	bhs[3] = p->status;
	put_tags(bhs, p->itt, p->snack_tag);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	put_be32(bhs + 36, p->exp_data_sn);
	put_be32(bhs + 40, p->bidi_residual);
	put_be32(bhs + 44, p->residual);
}

void pdu_get_scsi_response(const uint8_t *bhs, struct pdu_scsi_response *p)
{
	p->flags = bhs[1] & RESPONSE_FLAGS;
	p->response = bhs[2];
	p->status = bhs[3];
	p->data_bytes = pdu_data_bytes(bhs);
	p->itt = pdu_itt(bhs);
	p->snack_tag = get_be32(bhs + 20);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->exp_data_sn = get_be32(bhs + 36);
	p->bidi_residual = get_be32(bhs + 40);
	p->residual = get_be32(bhs + 44);
}

void pdu_put_tmf_response(uint8_t *bhs, const struct pdu_tmf_response *p)
{
	put_start(bhs, ISCSI_TMF_RESPONSE, ISCSI_FLAG_FINAL, 0);
	bhs[2] = p->response;
	put_be32(bhs + 16, p->itt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
}

void pdu_get_tmf_response(const uint8_t *bhs, struct pdu_tmf_response *p)
{
	p->response = bhs[2];
	p->itt = pdu_itt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
}

void pdu_put_data_in(uint8_t *bhs, const struct pdu_data_in *p)
{
	put_start(bhs, ISCSI_DATA_IN, p->flags & DATA_IN_FLAGS, p->data_bytes);
	bhs[3] = p->status;
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	put_be32(bhs + 36, p->data_sn);
	put_be32(bhs + 40, p->buffer_offset);
	put_be32(bhs + 44, p->residual);
}

void pdu_get_data_in(const uint8_t *bhs, struct pdu_data_in *p)
{
	p->flags = bhs[1] & DATA_IN_FLAGS;
	p->status = bhs[3];
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->data_sn = get_be32(bhs + 36);
	p->buffer_offset = get_be32(bhs + 40);
	p->residual = get_be32(bhs + 44);
}

void pdu_put_r2t(uint8_t *bhs, const struct pdu_r2t *p)
{
	put_start(bhs, ISCSI_R2T, ISCSI_FLAG_FINAL, 0);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	put_be32(bhs + 36, p->r2t_sn);
	put_be32(bhs + 40, p->buffer_offset);
	put_be32(bhs + 44, p->desired_bytes);
}

void pdu_get_r2t(const uint8_t *bhs, struct pdu_r2t *p)
{
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->r2t_sn = get_be32(bhs + 36);
	p->buffer_offset = get_be32(bhs + 40);
	p->desired_bytes = get_be32(bhs + 44);
}

void pdu_put_async_message(uint8_t *bhs, const struct pdu_async_message *p)
{
	put_start(bhs, ISCSI_ASYNC_MESSAGE, ISCSI_FLAG_FINAL, p->data_bytes);
	put_lun(bhs, p->lun);
	put_be32(bhs + 16, ISCSI_TAG_NONE);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	bhs[36] = p->event;
	bhs[37] = p->vendor_code;
	put_be16(bhs + 38, p->parameter1);
	put_be16(bhs + 40, p->parameter2);
	put_be16(bhs + 42, p->parameter3);
}

void pdu_get_async_message(const uint8_t *bhs, struct pdu_async_message *p)
{
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->event = bhs[36];
	p->vendor_code = bhs[37];
	p->parameter1 = get_be16(bhs + 38);
	p->parameter2 = get_be16(bhs + 40);
	p->parameter3 = get_be16(bhs + 42);
}

void pdu_put_text_response(uint8_t *bhs, const struct pdu_text_response *p)
{
	put_start(bhs, ISCSI_TEXT_RESPONSE,
		  FINAL(p) | BIT(p->is_continued, ISCSI_TEXT_CONTINUE), p->data_bytes);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
}

void pdu_get_text_response(const uint8_t *bhs, struct pdu_text_response *p)
{
	p->is_final = has_final(bhs);
	p->is_continued = bhs[1] & ISCSI_TEXT_CONTINUE;
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
}

void pdu_put_login_response(uint8_t *bhs, const struct pdu_login_response *p)
{
	put_start(bhs, ISCSI_LOGIN_RESPONSE,
		  (uint8_t)(BIT(p->is_transit, ISCSI_LOGIN_TRANSIT) |
			    BIT(p->is_continued, ISCSI_LOGIN_CONTINUE) |
			    (p->csg & STAGE_MASK) << CSG_SHIFT | (p->nsg & STAGE_MASK)),
		  p->data_bytes);
	bhs[2] = p->version_max;
	bhs[3] = p->version_active;
	memcpy(bhs + 8, p->isid, ISID_BYTES);
	put_be16(bhs + 14, p->tsih);
	put_be32(bhs + 16, p->itt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	bhs[36] = p->status_class;
	bhs[37] = p->status_detail;
}

void pdu_get_login_response(const uint8_t *bhs, struct pdu_login_response *p)
{
	p->is_transit = bhs[1] & ISCSI_LOGIN_TRANSIT;
	p->is_continued = bhs[1] & ISCSI_LOGIN_CONTINUE;
	p->csg = bhs[1] >> CSG_SHIFT & STAGE_MASK;
	p->nsg = bhs[1] & STAGE_MASK;
	p->version_max = bhs[2];
	p->version_active = bhs[3];
	p->data_bytes = pdu_data_bytes(bhs);
	memcpy(p->isid, bhs + 8, ISID_BYTES);
	p->tsih = get_be16(bhs + 14);
	p->itt = pdu_itt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->status_class = bhs[36];
	p->status_detail = bhs[37];
}

void pdu_put_logout_response(uint8_t *bhs, const struct pdu_logout_response *p)
{
	put_start(bhs, ISCSI_LOGOUT_RESPONSE, ISCSI_FLAG_FINAL, 0);
	bhs[2] = p->response;
	put_be32(bhs + 16, p->itt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	put_be16(bhs + 40, p->time2wait);
	put_be16(bhs + 42, p->time2retain);
}

void pdu_get_logout_response(const uint8_t *bhs, struct pdu_logout_response *p)
{
	p->response = bhs[2];
	p->itt = pdu_itt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->time2wait = get_be16(bhs + 40);
	p->time2retain = get_be16(bhs + 42);
}

void pdu_put_reject(uint8_t *bhs, const struct pdu_reject *p)
{
	put_start(bhs, ISCSI_REJECT, ISCSI_FLAG_FINAL, p->data_bytes);
	bhs[2] = p->reason;
	put_be32(bhs + 16, ISCSI_TAG_NONE);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
	put_be32(bhs + 36, p->data_sn);
}

void pdu_get_reject(const uint8_t *bhs, struct pdu_reject *p)
{
	p->reason = bhs[2];
	p->data_bytes = pdu_data_bytes(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
	p->data_sn = get_be32(bhs + 36);
}

void pdu_put_nop_in(uint8_t *bhs, const struct pdu_nop_in *p)
{
	put_start(bhs, ISCSI_NOP_IN, ISCSI_FLAG_FINAL, p->data_bytes);
	put_lun(bhs, p->lun);
	put_tags(bhs, p->itt, p->ttt);
	put_response_sn(bhs, p->stat_sn, p->exp_cmd_sn, p->max_cmd_sn);
}

void pdu_get_nop_in(const uint8_t *bhs, struct pdu_nop_in *p)
{
	p->data_bytes = pdu_data_bytes(bhs);
	get_lun(bhs, p->lun);
	p->itt = pdu_itt(bhs);
	p->ttt = pdu_ttt(bhs);
	p->stat_sn = pdu_stat_sn(bhs);
	p->exp_cmd_sn = pdu_exp_cmd_sn(bhs);
	p->max_cmd_sn = pdu_max_cmd_sn(bhs);
}

size_t pdu_put_extended_cdb(uint8_t *ahs, const uint8_t *cdb, size_t cdb_bytes)
{
	size_t spill = cdb_bytes - 16, total = 4 + (spill + 3) / 4 * 4;

	assert(cdb_bytes > 16 && total <= ISCSI_AHS_BYTES_MAX);
	memset(ahs, 0, total);
	put_be16(ahs, (uint16_t)(cdb_bytes - 15)); /* counts the reserved byte 3 */
	ahs[2] = ISCSI_AHS_EXTENDED_CDB;
	memcpy(ahs + 4, cdb + 16, spill);
	return total;
}

/* --- checks: one row an opcode --- */

enum rule_flags {
	RULE_FINAL = 1,	    /* bit 0 of byte 1 is fixed to 1 */
	RULE_NO_DATA = 2,   /* DataSegmentLength must be 0 */
	RULE_AHS = 4,	    /* may have an AHS */
	RULE_ITT = 8,	    /* belongs to a task */
	RULE_NO_ITT = 16,   /* belongs to none */
	RULE_NO_I_BIT = 32, /* bit 1 of byte 0 is reserved (every target PDU) */
};

struct rule {
	const char *name; /* NULL: no such opcode */
	enum pdu_sender sender;
	uint8_t flags;
	uint8_t reserved;			  /* bits of byte 1 without a meaning */
	const char *(*check)(const uint8_t *bhs); /* what is special about the type, or NULL */
};

static const char *check_scsi_command(const uint8_t *bhs)
{
	if (!(bhs[1] & (ISCSI_FLAG_FINAL | ISCSI_CMD_WRITE)))
		return "neither F nor W bit"; /* 11.3.1 */
	if ((bhs[1] & ATTR_MASK) > ISCSI_ATTR_ACA)
		return "reserved task attribute";
	if (!(bhs[1] & (ISCSI_CMD_READ | ISCSI_CMD_WRITE)) && get_be32(bhs + 20))
		return "data expected but neither R nor W bit";
	return NULL;
}

static const char *check_tmf_request(const uint8_t *bhs)
{
	unsigned function = bhs[1] & FUNCTION_MASK;
	bool is_for_task =
		function == ISCSI_TMF_ABORT_TASK || function == ISCSI_TMF_TASK_REASSIGN;

	if (!function || function > 12) /* 9 to 12: RFC 7144 */
		return "unassigned task management function";
	if (function <= ISCSI_TMF_TASK_REASSIGN &&
	    is_for_task != (pdu_ttt(bhs) != ISCSI_TAG_NONE))
		return "wrong Referenced Task Tag for the function"; /* 11.5.4 */
	if (function == ISCSI_TMF_TASK_REASSIGN && !has_immediate(bhs))
		return "TASK REASSIGN is not immediate";
	return NULL;
}

/* C with T (login) or F (text): 11.10.2, 11.11.2, 11.12.2, 11.13.7. */
static bool is_continued_and_last(const uint8_t *bhs)
{
	const uint8_t both = ISCSI_FLAG_FINAL | ISCSI_TEXT_CONTINUE;

	return (bhs[1] & both) == both;
}

static const char *check_stages(const uint8_t *bhs)
{
	unsigned csg = bhs[1] >> CSG_SHIFT & STAGE_MASK, nsg = bhs[1] & STAGE_MASK;

	if (is_continued_and_last(bhs))
		return "T and C bit together";
	if (csg > ISCSI_STAGE_OPERATIONAL)
		return "reserved or illegal current stage";
	if (!(bhs[1] & ISCSI_LOGIN_TRANSIT)) /* NSG is reserved then, 11.12.3 */
		return NULL;
	if (nsg == 2)
		return "reserved next stage";
	if (nsg <= csg)
		return "next stage is not after the current one"; /* table of 6.3 */
	return NULL;
}

static const char *check_login_request(const uint8_t *bhs)
{
	if (!has_immediate(bhs))
		return "Login Request is not immediate";
	if (bhs[3] > bhs[2])
		return "Version-min is greater than Version-max";
	return check_stages(bhs);
}

static const char *check_text_request(const uint8_t *bhs)
{
	return is_continued_and_last(bhs) ? "F and C bit together" : NULL;
}

static const char *check_logout_request(const uint8_t *bhs)
{
	return (bhs[1] & FUNCTION_MASK) > ISCSI_LOGOUT_RECOVERY ? "reserved logout reason"
								: NULL;
}

static const char *check_snack_request(const uint8_t *bhs)
{
	unsigned type = bhs[1] & SNACK_TYPE_MASK;
	bool is_for_task = type == ISCSI_SNACK_DATA_R2T || type == ISCSI_SNACK_R_DATA;
	bool has_ttt = type == ISCSI_SNACK_DATA_ACK || type == ISCSI_SNACK_R_DATA;

	if (type > ISCSI_SNACK_R_DATA)
		return "reserved SNACK type";
	if (is_for_task != (pdu_itt(bhs) != ISCSI_TAG_NONE))
		return "wrong Initiator Task Tag for the SNACK type"; /* 11.16.4 */
	if (has_ttt != (pdu_ttt(bhs) != ISCSI_TAG_NONE) ||
	    (type == ISCSI_SNACK_R_DATA && !pdu_ttt(bhs))) /* 11.16.5 */
		return "wrong Target Transfer Tag or SNACK Tag for the SNACK type";
	if (type == ISCSI_SNACK_R_DATA && get_be32(bhs + 40))
		return "BegRun of a R-Data SNACK is not 0";
	if (has_ttt && get_be32(bhs + 44))
		return "RunLength is not 0";
	return NULL;
}

static const char *check_nop_out(const uint8_t *bhs)
{
	if (pdu_itt(bhs) == ISCSI_TAG_NONE && !has_immediate(bhs))
		return "NOP-Out without a task is not immediate"; /* 11.18.1 */
	return NULL;
}

static bool has_both(uint8_t flags, uint8_t both)
{
	return (flags & both) == both;
}

static const char *check_scsi_response(const uint8_t *bhs)
{
	if (bhs[2] != ISCSI_RESPONSE_COMPLETED) /* flags and status are to be ignored, 11.4.3 */
		return NULL;
	if (has_both(bhs[1], ISCSI_RSP_OVERFLOW | ISCSI_RSP_UNDERFLOW) ||
	    has_both(bhs[1], ISCSI_RSP_BIDI_OVERFLOW | ISCSI_RSP_BIDI_UNDERFLOW))
		return "residual overflow and underflow together"; /* 11.4.1 */
	return NULL;
}

static const char *check_data_in(const uint8_t *bhs)
{
	if (!(bhs[1] & ISCSI_DATA_IN_STATUS)) /* O and U mean nothing without S */
		return NULL;
	if (!has_final(bhs))
		return "S bit without F bit"; /* 11.7.3 */
	if (has_both(bhs[1], ISCSI_RSP_OVERFLOW | ISCSI_RSP_UNDERFLOW))
		return "residual overflow and underflow together";
	return NULL;
}

static const char *check_r2t(const uint8_t *bhs)
{
	if (pdu_ttt(bhs) == ISCSI_TAG_NONE)
		return "R2T with the reserved Target Transfer Tag"; /* 11.8.5 */
	if (!get_be32(bhs + 44))
		return "R2T for no data"; /* 11.8.4 */
	return NULL;
}

static const char *check_text_response(const uint8_t *bhs)
{
	if (is_continued_and_last(bhs))
		return "F and C bit together";
	if (!has_final(bhs) && pdu_ttt(bhs) == ISCSI_TAG_NONE)
		return "partial Text Response without a Target Transfer Tag"; /* 11.11.1 */
	return NULL;
}

static const char *check_login_response(const uint8_t *bhs)
{
	const char *wrong;

	if (bhs[36]) /* a reject: T, CSG, NSG are reserved, the numbers mean nothing */
		return NULL;
	wrong = check_stages(bhs);
	if (wrong)
		return wrong;
	if (bhs[3] != ISCSI_VERSION)
		return "Version-active is outside the range we offered"; /* 11.13.2 */
	if ((bhs[1] & ISCSI_LOGIN_TRANSIT) &&
	    (bhs[1] & STAGE_MASK) == ISCSI_STAGE_FULL_FEATURE && !get_be16(bhs + 14))
		return "final Login Response with TSIH 0"; /* 11.13.3 */
	return NULL;
}

static const char *check_nop_in(const uint8_t *bhs)
{
	if (pdu_itt(bhs) == ISCSI_TAG_NONE)
		return pdu_data_bytes(bhs) ? "NOP-In with data that answers no ping" : NULL;
	if (pdu_ttt(bhs) != ISCSI_TAG_NONE)
		return "NOP-In that is both an answer and a ping"; /* 7.7 */
	return NULL;
}

#define FROM_I .sender = PDU_FROM_INITIATOR
#define FROM_T .sender = PDU_FROM_TARGET

static const struct rule rules[ISCSI_OPCODE_MASK + 1] = {
	[ISCSI_NOP_OUT] = { "NOP-Out", FROM_I, RULE_FINAL, 0x7f, check_nop_out },
	[ISCSI_SCSI_COMMAND] = { "SCSI Command", FROM_I, RULE_AHS | RULE_ITT, 0x18,
				 check_scsi_command },
	[ISCSI_TMF_REQUEST] = { "Task Management Function Request", FROM_I,
				RULE_FINAL | RULE_NO_DATA | RULE_ITT, 0x00, check_tmf_request },
	[ISCSI_LOGIN_REQUEST] = { "Login Request", FROM_I, RULE_ITT, 0x30,
				  check_login_request },
	[ISCSI_TEXT_REQUEST] = { "Text Request", FROM_I, RULE_ITT, 0x3f, check_text_request },
	[ISCSI_DATA_OUT] = { "SCSI Data-Out", FROM_I, RULE_ITT | RULE_NO_I_BIT, 0x7f, NULL },
	[ISCSI_LOGOUT_REQUEST] = { "Logout Request", FROM_I,
				   RULE_FINAL | RULE_NO_DATA | RULE_ITT, 0x00,
				   check_logout_request },
	[ISCSI_SNACK_REQUEST] = { "SNACK Request", FROM_I,
				  RULE_FINAL | RULE_NO_DATA | RULE_NO_I_BIT, 0x70,
				  check_snack_request },

	[ISCSI_NOP_IN] = { "NOP-In", FROM_T, RULE_FINAL | RULE_NO_I_BIT, 0x7f, check_nop_in },
	[ISCSI_SCSI_RESPONSE] = { "SCSI Response", FROM_T,
				  RULE_FINAL | RULE_ITT | RULE_NO_I_BIT, 0x61,
				  check_scsi_response },
	[ISCSI_TMF_RESPONSE] = { "Task Management Function Response", FROM_T,
				 RULE_FINAL | RULE_NO_DATA | RULE_ITT | RULE_NO_I_BIT, 0x7f,
				 NULL },
	[ISCSI_LOGIN_RESPONSE] = { "Login Response", FROM_T, RULE_ITT | RULE_NO_I_BIT, 0x30,
				   check_login_response },
	[ISCSI_TEXT_RESPONSE] = { "Text Response", FROM_T, RULE_ITT | RULE_NO_I_BIT, 0x3f,
				  check_text_response },
	[ISCSI_DATA_IN] = { "SCSI Data-In", FROM_T, RULE_ITT | RULE_NO_I_BIT, 0x38,
			    check_data_in },
	[ISCSI_LOGOUT_RESPONSE] = { "Logout Response", FROM_T,
				    RULE_FINAL | RULE_NO_DATA | RULE_ITT | RULE_NO_I_BIT, 0x7f,
				    NULL },
	[ISCSI_R2T] = { "Ready To Transfer", FROM_T,
			RULE_FINAL | RULE_NO_DATA | RULE_ITT | RULE_NO_I_BIT, 0x7f, check_r2t },
	[ISCSI_ASYNC_MESSAGE] = { "Asynchronous Message", FROM_T,
				  RULE_FINAL | RULE_NO_ITT | RULE_NO_I_BIT, 0x7f, NULL },
	[ISCSI_REJECT] = { "Reject", FROM_T, RULE_FINAL | RULE_NO_ITT | RULE_NO_I_BIT, 0x7f,
			   NULL },
};

static bool has_reserved_bits(const struct rule *rule, const uint8_t *bhs)
{
	uint8_t byte0 = rule->flags & RULE_NO_I_BIT ? 0xc0 : 0x80;

	return (bhs[0] & byte0) || (bhs[1] & rule->reserved);
}

const char *pdu_check(const uint8_t *bhs, enum pdu_sender sender, uint32_t max_data_bytes)
{
	const struct rule *rule = &rules[pdu_opcode(bhs)];
	uint32_t data_bytes = pdu_data_bytes(bhs);
	bool has_itt = pdu_itt(bhs) != ISCSI_TAG_NONE;

	if (!rule->name)
		return "unassigned opcode";
	if (rule->sender != sender)
		return "opcode of the other direction";
	if (bhs[4] && !(rule->flags & RULE_AHS))
		return "additional header segment where none may be"; /* 11.2.1.5 */
	if (data_bytes > max_data_bytes)
		return "DataSegmentLength is greater than MaxRecvDataSegmentLength";
	if (data_bytes && (rule->flags & RULE_NO_DATA))
		return "data segment where none may be";
	if ((rule->flags & RULE_FINAL) && !has_final(bhs))
		return "final bit is not set";
	if ((rule->flags & RULE_ITT) && !has_itt)
		return "reserved Initiator Task Tag";
	if ((rule->flags & RULE_NO_ITT) && has_itt)
		return "Initiator Task Tag where none may be";
	if (sender == PDU_FROM_INITIATOR && has_reserved_bits(rule, bhs))
		return "reserved bits are set";
	return rule->check ? rule->check(bhs) : NULL;
}

const char *pdu_check_strict(const uint8_t *bhs, enum pdu_sender sender,
			     uint32_t max_data_bytes)
{
	const char *wrong = pdu_check(bhs, sender, max_data_bytes);

	if (!wrong && has_reserved_bits(&rules[pdu_opcode(bhs)], bhs))
		return "reserved bits are set";
	return wrong;
}

#define SIXTEEN(d)                                                                          \
	"opcode 0x" d "0", "opcode 0x" d "1", "opcode 0x" d "2", "opcode 0x" d "3",         \
		"opcode 0x" d "4", "opcode 0x" d "5", "opcode 0x" d "6", "opcode 0x" d "7", \
		"opcode 0x" d "8", "opcode 0x" d "9", "opcode 0x" d "a", "opcode 0x" d "b", \
		"opcode 0x" d "c", "opcode 0x" d "d", "opcode 0x" d "e", "opcode 0x" d "f"

const char *pdu_name(uint8_t opcode)
{
	static const char *const unknown[ISCSI_OPCODE_MASK + 1] = {
		SIXTEEN("0"),
		SIXTEEN("1"),
		SIXTEEN("2"),
		SIXTEEN("3"),
	};
	unsigned index = opcode & ISCSI_OPCODE_MASK;

	return rules[index].name ? rules[index].name : unknown[index];
}
