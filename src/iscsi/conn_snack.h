/* SPDX-License-Identifier: BSD-2-Clause */
/* Error recovery within a connection (ErrorRecoveryLevel 1 and more; RFC 7143 7.1.4.1, 7.1.4.2,
 * 7.8, 7.9, 11.16): what is lost is noticed by the numbers of what comes after it, and asked for by a
 * SNACK; what nothing comes after is noticed by the quiet.
 *
 *   lost          noticed by                                       recovered by
 *   Data-In       DataSN of the next, ExpDataSN, its data digest   Data SNACK (or R-Data SNACK)
 *   response      StatSN of the next, NOP-In, its data digest      Status SNACK
 *   R2T           R2TSN of the next; quiet                         R2T SNACK
 *   our command   quiet, ExpCmdSN does not pass it                 the same command again (7.2.1)
 *   our Data-Out  the target: Reject, or its own time              its recovery R2T
 *
 * StatSN: exp_stat_sn is what we acknowledge. Of the @stat_ahead StatSNs from there on it is known
 * that they were given out; those that came are in @stat_came, those of them that must not be
 * acknowledged yet (data of the read are missing: 7.9) in @stat_held. At ErrorRecoveryLevel 0
 * @stat_ahead is 0 and whatever is not the next StatSN is an error.
 *
 * A SNACK joins the batch at once, so that it leaves before any acknowledgement that comes after it
 * (11.16.1, 11.7.2); only when the batch is full it waits in @snacks, before all else. */
#ifndef ISCSIFS_CONN_SNACK_H
#define ISCSIFS_CONN_SNACK_H

#include <stdbool.h>
#include <stdint.h>

#include "iscsi/proto.h"

struct conn;
struct task;

/* Events of the users' guide, appendix B. */
enum conn_event {
	EVENT_SEND_FAILED = 7,
	EVENT_SEGMENT_TOO_LONG = 21,
	EVENT_HEADER_DIGEST = 22,
	EVENT_INVALID_PDU = 23,
	EVENT_INVALID_OPCODE = 24,
	EVENT_DATA_DIGEST = 25,
	EVENT_TOO_MUCH_DATA = 26,
	EVENT_NO_SUCH_TASK = 27,
	EVENT_INVALID_R2T = 28,
	EVENT_REJECTED = 29,
	EVENT_LOGOUT_REQUESTED = 32,
	EVENT_INVALID_STAT_SN = 42,
	EVENT_TEXT_TIMEOUT = 50,
	EVENT_ASKED_LOGOUT_TIMEOUT = 51,
	EVENT_RESPONSE_DATA = 60,
};

/* A header in hexadecimal, for events. */
#define CONN_HEADER_TEXT (2 * ISCSI_BHS_BYTES + 1)
void conn_format_header(char ret_text[CONN_HEADER_TEXT], const uint8_t *bhs);

/* Session of ErrorRecoveryLevel 1 or more? */
bool conn_may_recover(const struct conn *c);

/* --- StatSN --- */
enum stat_sn { STAT_SN_NEW, STAT_SN_OLD, STAT_SN_WRONG };
/* OLD: a duplicate, to be dropped. WRONG: not plausible. */
enum stat_sn conn_stat_sn_judge(const struct conn *c, uint32_t stat_sn);
/* A PDU with this StatSN, which is NEW, has come. @is_held: not to be acknowledged before
 * conn_stat_sn_release(). */
void conn_stat_sn_count(struct conn *c, uint32_t stat_sn, bool is_held);
/* It came, but its data digest was wrong. */
void conn_stat_sn_lost(struct conn *c, uint32_t stat_sn);
/* The target tells the next one that it will give out: @stat_sn, plausible. */
void conn_stat_sn_told(struct conn *c, uint32_t stat_sn);
/* Is one of the @count StatSNs from @begin missing? */
bool conn_stat_sn_is_missing(const struct conn *c, uint32_t begin, uint32_t count);

/* --- tasks --- */
/* Has our MaxRecvDataSegmentLength changed since @t was sent? */
bool conn_has_resized(const struct conn *c, const struct task *t);
/* Something was heard of @t. */
void conn_heard_of(struct conn *c, struct task *t);
/* Data-In with the A bit: its DataSN, tag and LUN are kept until what came before it is there. */
void conn_want_ack(struct task *t, const uint8_t *bhs);
/* The answer for a read; its StatSN is held until conn_read_goes_on() finds the read complete. */
void conn_hold_stat_sn(struct conn *c, struct task *t, uint32_t stat_sn);
void conn_release_stat_sn(struct conn *c, struct task *t);
/* Send what is due for a read after a PDU of it: DataACK, SNACKs for what is missing. */
void conn_ask_for_data(struct conn *c, struct task *t);
/* Ask once more for what was asked for in vain; too often ends in ABORT TASK. */
void conn_ask_again(struct conn *c, struct task *t);
/* The data of this Data-In were wrong; @is_last: no other comes after it. */
void conn_ask_for_pdu(struct conn *c, struct task *t, uint32_t sn, bool is_last);
/* R2Ts @count from @begin; 0: all from there on. */
void conn_ask_for_r2t(struct conn *c, struct task *t, uint32_t begin, uint32_t count);
/* @t leaves its connection, finished or stranded: nothing here waits for it any more. */
void conn_forget_recovery(struct task *t);

/* The SNACKs that waited for room: before anything else that is built. */
void conn_build_snacks(struct conn *c);

#endif
