/* SPDX-License-Identifier: BSD-2-Clause */
/* A task: one thing asked of a target that has an initiator task tag -- a SCSI command above all,
 * and the requests that keep a connection going. A task is a member of its user's object (the
 * pooled I/O, the NOP of a connection), so that sending one allocates nothing.
 *
 *   state      true in it                                                next
 *   IDLE       the user's; not known to any session                      QUEUED
 *   QUEUED     on the session's queue: no ITT, no CmdSN, nothing sent    SENT, DONE
 *   SENT       has ITT (and CmdSN), allegiant to @conn, in its list      RESPONDED, STRANDED, DONE
 *   STRANDED   has ITT and CmdSN; its connection is gone, the target     SENT, DONE
 *              may still have the task: on a struct lost_conn's list
 *   RESPONDED  the answer is here, but a send still reads @data, or a    DONE
 *              read lacks nothing but that
 *   DONE       done() is about to run, or has run: the user's again      QUEUED
 *
 * done() runs exactly once per submit, from the loop, never inside session_submit(). It finds in
 * @result what is known of the task's fate; what that means is the disk layer's to decide:
 *
 *   RESPONDED       the target answered: @response, @status, sense and residual are valid
 *   NEVER_SENT      not one byte left: it was surely not executed
 *   MAYBE_EXECUTED  it was (perhaps partly) sent, no answer came: nobody knows
 *   ABORTED         a task management function or the target's word says it is gone
 */
#ifndef ISCSIFS_TASK_H
#define ISCSIFS_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "iscsi/data_in.h"
#include "iscsi/extents.h"
#include "iscsi/proto.h"

struct conn;
struct session;
struct task;

enum task_kind { TASK_SCSI, TASK_NOP_OUT, TASK_TEXT, TASK_LOGOUT, TASK_TMF };
enum task_state {
	TASK_IDLE,
	TASK_QUEUED,
	TASK_SENT,
	TASK_STRANDED,
	TASK_RESPONDED,
	TASK_DONE,
};
enum task_result {
	TASK_RESULT_RESPONDED,
	TASK_RESULT_NEVER_SENT,
	TASK_RESULT_MAYBE_EXECUTED,
	TASK_RESULT_ABORTED,
};
enum task_direction { TASK_NO_DATA, TASK_READ, TASK_WRITE };

#define TASK_CDB_MAX 32	  /* longer CDBs than 16 travel in an AHS */
#define TASK_SENSE_MAX 96 /* kept of the sense data; the rest is of no use to us */
#define TASK_R2T_MAX 8	  /* MaxOutstandingR2T we agree to */

/* A burst of Data-Out that the target asked for (or the unsolicited one, with TTT ffffffff). */
struct burst {
	struct list link; /* on the connection's list, in order of arrival: 12.3, 12.4 of the suites */
	struct task *task;
	uint32_t ttt;
	uint32_t offset, bytes; /* what is left of it */
	uint32_t data_sn;
};

/* What recovery within the connection knows of a task (conn_snack.h). */
struct task_recovery {
	bool is_lost;	   /* the target will not send again what is missing */
	bool has_status;   /* the answer is here (the next four), but data are missing */
	uint8_t flags, response, status;
	uint32_t residual;
	bool is_stat_held; /* its StatSN is not acknowledged */
	uint32_t stat_sn;
	bool is_end_guessed; /* data_in.end_sn is not the target's word */
	bool has_ack;	   /* a DataACK is due when all before @ack_sn has come */
	uint8_t ack_lun[8];
	uint32_t ack_sn, ack_ttt;
	uint32_t snack_tag; /* of the last R-Data SNACK; 0: none */
	uint32_t r2t_ahead; /* bit i: R2TSN @r2t_sn + 1 + i has come */
	unsigned tries;	    /* SNACKs in vain */
	unsigned looks;	    /* of the quiet watch, since something was heard */
	unsigned rejects;
};

struct task {
	struct list link;	 /* session queue, then the connection's outstanding list */
	enum task_kind kind;
	enum task_state state;
	enum task_result result;
	void (*done)(struct task *t);

	/* What to do: set by the user before submit. */
	uint8_t lun[8];
	uint8_t cdb[TASK_CDB_MAX];
	uint8_t cdb_bytes;
	uint8_t attr; /* enum iscsi_task_attr */
	enum task_direction direction;
	uint8_t *data; /* @data_bytes of it, the user's until done() */
	uint32_t data_bytes; /* ExpectedDataTransferLength */
	bool is_hurried;     /* there is another way for it: do not try long before giving it back */
	bool is_patient;     /* it may take its time: no ladder before two rungs are left */
	int64_t deadline_us; /* loop time after which the session gives up on it; 0: its own timeout */

	/* How it went: valid in done() when RESPONDED. */
	uint8_t response, status;
	uint8_t sense_bytes;
	uint8_t sense[TASK_SENSE_MAX];
	bool has_overflow, has_underflow;
	uint32_t residual;
	uint32_t transferred; /* read: bytes of @data that are valid, from its start; write: acknowledged */

	/* Under way: the session's and connection's own. */
	struct session *session;
	struct conn *conn;
	uint32_t itt, cmd_sn;
	uint32_t data_in_sn; /* next DataSN expected */
	uint32_t r2t_sn;     /* next R2TSN expected */
	uint32_t received;   /* read: contiguous bytes received (and digest-checked) */
	uint32_t requested;  /* write: bytes covered by unsolicited data and R2Ts so far */
	struct extents covered; /* where these are, when they may come in any order, or again */
	struct data_in data_in;
	struct task_recovery recovery;
	uint32_t ttt;	     /* text: of the target's last answer */
	uint32_t referenced_itt, ref_cmd_sn; /* task management */
	uint8_t function;    /* task management function, or reason of a logout */
	uint16_t cid;	     /* logout: the connection meant */
	const uint32_t *exp_stat_sn; /* logout of another connection: that one's (11.14.4) */
	int64_t not_before_us; /* control kinds: refused for a while, sent again after that */
	bool is_short;	     /* status GOOD, but the bytes that came or went are not all */
	bool is_immediate;   /* control kinds: travels outside the command order */
	uint16_t tx_refs;    /* entries of the transmit batch that still read @data */
	uint16_t bursts_used; /* bit per entry of @bursts */
	struct burst bursts[TASK_R2T_MAX + 1]; /* the last one is the unsolicited burst */
	int64_t sent_us;   /* first, or when it was reassigned */
	int64_t quiet_us;  /* when something was last heard of it, or it was sent */
	int64_t looked_us; /* when it was looked after, last (conn_look_after()) */
	int64_t attempt_us; /* when this attempt has had its time: the ladder begins */
	unsigned reassigns;  /* TASK REASSIGNs sent for it */
	int64_t data_left_us; /* write: when the last burst asked for had been given to the batch */
	uint32_t exp_r2t_sn;  /* stranded write: R2Ts below need not come again */
	bool is_unproven;    /* reassigned, and nothing has come of it yet */
	bool is_reassigning; /* TASK REASSIGN is under way: the target has not said yes */
	bool is_r2t_sn_open; /* reassigned write: the next R2T says where R2TSN goes on */
	uint16_t time2wait, time2retain; /* logout: of its response, seconds */
};

/* Make @t idle, everything zero but @done and @kind. */
void task_init(struct task *t, enum task_kind kind, void (*done)(struct task *));
/* Clear what the last round left, for another submit: session_submit() does it. */
void task_reset(struct task *t);
const char *task_result_name(enum task_result r);

#endif
