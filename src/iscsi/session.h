/* SPDX-License-Identifier: BSD-2-Clause */
/* A session with one target (or a discovery session): its connections, its command window, its
 * initiator task tags and the queue of tasks that wait for the window. States of RFC 7143 8.3:
 *
 *   state      true in it                                                  next
 *   FREE       no connection is logged in, none has been        (Q1)       LOGGED_IN, CLOSED
 *   LOGGED_IN  at least one connection is in full feature phase (Q3)       FAILED, CLOSED
 *   FAILED     had connections, has none: no I/O is possible    (Q4)       LOGGED_IN, CLOSED
 *   CLOSED     logged out or dropped; nothing starts any more              -
 *
 * The command window (4.2.2.1): tasks wait on @queue until MaxCmdSN allows them; CmdSN and ITT are
 * given when the PDU is built, so a task on the queue was surely not sent. The ITT is
 * generation << 16 | index into @slots: an answer to a tag of an earlier life is recognised.
 *
 * session.c has the states, the window and the queue; session_recover.c what becomes of the tasks
 * of a lost connection; session_ladder.c what is done about commands that are not answered;
 * session_tmf.c, session_text.c and session_negotiate.c the requests of those names.
 *
 * How a session talks to its owner: struct session_ops, called from the loop, never from inside a
 * session_ call. */
#ifndef ISCSIFS_SESSION_H
#define ISCSIFS_SESSION_H

#include "base/policy.h"
#include "iscsi/conn.h"
#include "iscsi/pdu.h"

enum session_state {
	SESSION_FREE,
	SESSION_LOGGED_IN,
	SESSION_FAILED,
	SESSION_CLOSED,
	SESSION_STATES
};
const char *session_state_name(enum session_state s);
bool session_state_may(enum session_state from, enum session_state to);

struct session_timeouts { /* milliseconds; 0: none */
	int64_t connect_ms, login_ms, logout_ms, text_ms;
	int64_t nop_interval_ms, nop_timeout_ms, command_ms;
};
void session_timeouts_default(struct session_timeouts *t); /* 10, 15, 10, 15; 10, 10, 30 s */

struct session_config {
	enum keys_session type;
	char *target_name; /* NULL: discovery */
	char *initiator_name, *initiator_alias;
	uint8_t isid[6];
	enum auth_method auth;
	struct chap_config chap;
	/* Challenges sent and seen, so that one reflected is known: best one for all sessions of the
	 * process. Borrowed; NULL: the session has its own. */
	struct chap_history *chap_history;
	struct keys_wishes wishes;
	struct session_timeouts timeouts;
};
/* Wipes and frees the members. */
void session_config_done(struct session_config *c);
/* Deep copy. */
void session_config_copy(struct session_config *to, const struct session_config *from);

struct session_ops {
	/* The state has changed. @err (may be NULL) says why, borrowed. */
	void (*state_changed)(struct session *s, const GError *err, void *arg);
	/* Connection @c has been lost unexpectedly (@err, may be NULL); the session lives on or has
	 * FAILED (state_changed follows). Its owner may bring it back: session_add_connection().
	 * Deferred: @c is in CLEANUP, off the list, and stays in memory during the call. */
	void (*conn_lost)(struct session *s, struct conn *c, const GError *err, void *arg);
	/* Something that people want to know: @id as in Appendix B of the users' guide, or one of
	 * core/event.h given by number. @c may be NULL. May run inside any
	 * session_ call; must not call back. */
	void (*event)(struct session *s, const struct conn *c, unsigned id, const char *text,
		      void *arg);
	/* A command of the control path met what the I/O of unit @lun must know of: a unit attention
	 * (@what: enum sense_class), or a deferred error (@lost_write: its text, else NULL). Called by
	 * who sent the command (core/query.c), not by the session. */
	void (*unit_news)(struct session *s, const uint8_t lun[8], int what,
			  const char *lost_write, void *arg);
	/* The target sent an async message that the session does not deal with alone: SCSI events
	 * (11.9, event 0: @data holds sense) and whatever else came, to be told to people. */
	void (*async)(struct session *s, const struct pdu_async_message *m, const uint8_t *data,
		      uint32_t bytes, void *arg);
};

/* The most tasks outstanding in a session, whatever window the target offers. Some slots are
 * kept for NOP, logout and TMF. */
#define SESSION_SLOTS 512
#define SESSION_SLOTS_RESERVED 16

struct itt_slot {
	struct task *task; /* NULL: free */
	uint16_t generation;
	uint16_t next_free;
};

struct session_stats {
	uint64_t commands, read_bytes, write_bytes, timeouts, window_waits, failures;
	uint64_t logins; /* of the session: the first and every restart */
	uint64_t resumes; /* came back as the same session (ErrorRecoveryLevel 2) */
	uint64_t conns_lost, conns_added;
	uint64_t retries; /* same CmdSN and ITT: 7.2.1 */
	uint64_t reassigned, reassign_refused;
	uint64_t restarts; /* came back as another session */
	uint64_t aborts, lun_resets, target_resets; /* rungs of the ladder */
};

/* One set of keys of the target's is complete: @text, and @is_final when it has no more to say and
 * may not be answered (11.11.1). What is to be said to it is appended to @reply. */
enum text_turn {
	TEXT_GO_ON, /* ask for the rest (or that was all) */
	TEXT_RESET, /* begin anew, with @reply (6.4); not when @is_final */
	TEXT_FAIL,  /* @err is set */
};
typedef enum text_turn session_text_turn_fn(struct session *s, const GByteArray *text, bool is_final,
					    GByteArray *reply, void *arg, GError **err);
/* @answers: lines "KEY=VALUE" of what the target said to keys of ours that no RFC has; may be "". */
typedef void session_negotiated_fn(struct session *s, const GError *err, const char *answers,
				   void *arg);
typedef void session_text_fn(struct session *s, const GByteArray *answer, const GError *err,
			     void *arg);

/* A text exchange (session_text.c). */
struct session_text {
	struct task task;
	struct conn *conn;
	GByteArray *request, *answer;
	struct loop_timer timer;
	int64_t started_ms;
	unsigned empty_answers;
	session_text_turn_fn *turn; /* NULL: the answer is only gathered */
	int64_t limit_ms;	    /* for an answer; 0: none */
	session_text_fn *done;	    /* NULL: none under way */
	void *arg;
	struct loop_call call; /* runs done() */
	GError *error;
};

/* A connection that is gone while the target may still have tasks of it (session_recover.c, with
 * the table of states). */
enum lost_state { LOST_WAIT, LOST_READY, LOST_LOGOUT, LOST_CLEAN, LOST_REINSTATING };
struct lost_conn {
	struct list link; /* session->lost_conns */
	struct session *session;
	enum lost_state state;
	uint16_t wire_cid;
	uint32_t exp_stat_sn;
	bool must_close;	 /* it had tasks: not without a logout */
	int64_t retain_until_us; /* the target may have forgotten the tasks after that */
	struct list tasks;	 /* STRANDED */
	struct task logout;	 /* by another connection */
	struct loop_timer timer; /* of the state */
};

struct session {
	struct object obj; /* OBJECT_SESSION */
	struct loop *loop;
	const struct session_ops *ops; /* NULL when the owner has gone */
	void *arg;
	struct session_config config;
	enum session_state state;
	unsigned sid;  /* number in the tree */
	uint16_t tsih; /* 0 until logged in */
	uint32_t cmd_sn, exp_cmd_sn, max_cmd_sn;
	struct keys_values values; /* of the leading login */
	struct chap_history *own_chap_history; /* or NULL: config.chap_history */
	GList *conns; /* of struct conn *, oldest first */
	unsigned next_cid;
	unsigned lives; /* leading logins so far */
	enum policy policy;
	uint64_t policy_clock;
	unsigned round; /* of session_for_each_conn() */

	struct list queue; /* tasks QUEUED */
	unsigned queue_count, outstanding_count;
	struct itt_slot slots[SESSION_SLOTS];
	uint16_t free_slot;
	unsigned free_slots;
	struct loop_call flush;	   /* builds and sends: before the loop sleeps */
	struct list lost;	   /* tasks handed back, done() not run yet */
	struct list lost_conns;	   /* struct lost_conn */
	struct list retries;	   /* STRANDED: to be sent again as they were */
	struct list reassigns;	   /* STRANDED: to be reassigned */
	unsigned reassigning;	   /* TASK REASSIGNs under way */
	bool is_reassign_refused;  /* the target cannot, whatever it agreed to */
	bool must_restart;	   /* its state at the target is not to be relied on: TSIH 0 next */
	struct loop_call restart_call;
	int64_t wait_until_us;	   /* Time2Wait */
	uint16_t next_wire_cid;
	int64_t progress_us;	   /* when a command was last answered */
	int64_t ladder_us;	   /* when the last ladder ended; 0: none has */
	unsigned ladder_rung;	   /* ... and on which rung */
	struct list ladders;	   /* struct ladder (session_ladder.c) */
	struct loop_call lost_call;
	struct loop_timer tick;	   /* looks for tasks beyond their deadline */
	struct loop_call state_call; /* tells the owner */
	enum session_state told_state;
	GError *why; /* of the last failure */

	bool is_logging_out;
	session_logout_fn *logout_done; /* NULL: none asked for */
	void *logout_arg;
	struct loop_call logout_call;
	GError *logout_error;
	struct session_text text;
	struct list negotiations; /* session_negotiate.c */
	struct session_stats stats;
	int64_t logged_in_us; /* wall clock; 0: never */
};

/* Takes a deep copy of @config. One reference, the caller's: give it back with session_close()
 * and then object_gone(). Control path: allocates. */
struct session *session_new(struct loop *l, const struct session_config *config, unsigned sid,
			    const struct session_ops *ops, void *arg);

/* Connect to @address and log in: the leading connection when the session has none, else a
 * further one. @done runs later, exactly once. -EUSERS: MaxConnections reached; -EBUSY: the
 * leading login is under way; -ENOTCONN: closed. @ret_conn may be NULL. */
int session_add_connection(struct session *s, const struct conn_address *address,
			   conn_login_fn *done, void *arg, struct conn **ret_conn);

/* --- coming back ---
 *
 * session_add_connection() is also how a session that lost connections gets them back:
 *
 *   LOGGED_IN  a further connection. Where a lost one is still to be recovered, it takes that
 *              one's CID (6.3.4: what is left of it at the target ends with that).
 *   FAILED     when session_may_resume(): the same session goes on (same TSIH and CID) and tasks
 *              are reassigned to the connection; a target that refuses that makes it forget its
 *              TSIH, and the next attempt is a new session. Else a new session with the same
 *              ISID, which replaces what the target still has of the old (6.3.5): @lives is
 *              raised, and who used the session looks again at whom it has before it.
 */
/* How long Time2Wait still asks us to stay away (ms, 0: not). */
int64_t session_wait_ms(const struct session *s);
/* FAILED, but at ErrorRecoveryLevel 2 and within Time2Retain. */
bool session_may_resume(const struct session *s);

/* Log one connection out (reason 1); @done runs later, once. -EBUSY: it is the last one: log
 * the session out instead. -EALREADY, -ENOTCONN. Tasks under way on it are waited for as long as
 * logout_ms / 2, then go to the others. */
int session_remove_connection(struct session *s, struct conn *c, session_logout_fn *done,
			      void *arg);
void session_set_policy(struct session *s, enum policy p);

/* Send @t on any usable connection. Takes @t until its done() runs: exactly once, never before
 * this returns. -ENOTCONN: no usable connection, @t untouched. Allocates nothing. */
int session_submit(struct session *s, struct task *t);
bool session_is_usable(const struct session *s);
/* A connection in full feature phase that takes work, or NULL. */
struct conn *session_any_conn(const struct session *s);

/* Take back a task that is still QUEUED: its done() then never runs. False: it is under way, and
 * done() will come. */
bool session_withdraw(struct session *s, struct task *t);

/* Log out: Logout Request (close the session) on a connection, then everything is closed and @done
 * runs (later, once), at the latest after logout_ms. @err is NULL when the target agreed. Tasks
 * still outstanding end as MAYBE_EXECUTED. -EALREADY: a logout is under way. */
int session_logout(struct session *s, session_logout_fn *done, void *arg);
/* Drop everything at once; state CLOSED. Tasks are handed back; callbacks of pending logins,
 * texts and logouts run, with an error. Idempotent. */
void session_close(struct session *s);
/* No callback of session_ops will run any more. */
void session_detach(struct session *s);

/* A text exchange: sends @request ("key=value\0"...) and gathers the answer over as many PDUs as it
 * takes (at most 16 MiB). @done runs later, once. -ENOTCONN, -EBUSY. */
int session_text(struct session *s, const void *request, uint32_t bytes, session_text_fn *done,
		 void *arg);

/* Renegotiate in full feature phase (6.4, session_negotiate.c): offer @pairs ("Key=value", NULL at the
 * end) to the target, take its answer and what it offers itself. Keys that may be: those of use ALL
 * that are ours, MaxRecvDataSegmentLength (13.12), which each connection negotiates, one after the
 * other, and InitiatorAlias (13.7), and at most SESSION_OWN_KEYS private ones, X-... (13.22), which
 * one of them tells; @pairs NULL: the first, as it is, on one. A refusal (Reject) leaves all as it
 * was on that connection, and those after it are not asked; it is tried a few times. @done runs
 * later, once. No answer ends the connection (tgtd and LIO end it at once). -EINVAL: another key,
 * a bad value; -ENOTCONN. */
#define SESSION_OWN_KEYS 8
int session_negotiate(struct session *s, const char *const *pairs, session_negotiated_fn *done,
		      void *arg);

/* A task management function of a whole unit or target (those of a single task need more). @done
 * runs later, once: @result is the response of 11.6.1 (enum iscsi_tmf_response), or -EIO when the
 * connection was lost. After a completed LOGICAL UNIT RESET the unit's tasks have been handed back
 * as ABORTED. -ENOTCONN: no usable connection. */
#define SESSION_TMF_MS 10000 /* for the answer; then the connection is given up */
typedef void session_tmf_fn(struct session *s, int result, void *arg);
int session_tmf(struct session *s, enum iscsi_tmf function, const uint8_t lun[8],
		session_tmf_fn *done, void *arg);

/* --- the ladder (session_ladder.c): abort task, LUN reset, target reset, session restart --- */
/* Start it for @t, which is SENT, now. Harmless when one is under way for its unit. */
void session_abort_task(struct session *s, struct task *t);
/* How long a task may be without a sign of life before it is looked after (level 1). */
int64_t session_quiet_ms(const struct session *s);
/* How long one rung has, and the answer to one task management function. */
int64_t session_rung_ms(const struct session *s);
/* Loop time at which @t fails. */
int64_t session_deadline_us(const struct session *s, const struct task *t);
/* When this attempt of @t, sent now, has had its time. */
int64_t session_attempt_us(const struct session *s, const struct task *t);
/* Has @t had its time, on a target that does nothing? */
bool session_is_stuck(const struct session *s, const struct task *t);
void session_ladder_drop(struct session *s);
/* Everything is closed and begins anew, with another TSIH. Takes @err. */
void session_restart(struct session *s, GError *err);
/* The same in this turn, from where connections cannot be closed; nothing is sent any more. */
void session_restart_soon(struct session *s);
void session_restart_call(struct loop_call *call);

/* One task management function. @task: the one it is about (NULL: a unit, the target); @conn:
 * where it must go (NULL: any usable one). @done as in session_tmf(), and -ETIMEDOUT after @ms
 * (the connection is left alone). */
int session_tmf_send(struct session *s, enum iscsi_tmf function, const uint8_t lun[8],
		     struct task *task, struct conn *conn, int64_t ms, session_tmf_fn *done,
		     void *arg);

/* --- connection recovery (session_recover.c) --- */
/* @c is closing: what becomes of its tasks? */
void session_take_tasks(struct session *s, struct conn *c);
/* @c is in full feature phase: what was lost can go on by it. */
void session_recover_by(struct session *s, struct conn *c);
/* CID for a new connection; *ret_exp_stat_sn: of the one that it reinstates, or 0. */
uint16_t session_take_cid(struct session *s, uint32_t *ret_exp_stat_sn);
/* A login with that CID failed: @is_refused by the target. */
void session_return_cid(struct session *s, uint16_t cid, bool is_refused);
/* Tasks that wait to be retried or reassigned: as many as fit. Before new commands. */
void session_send_stranded(struct session *s);
/* Commands of a lost connection wait: nothing behind them in the command order is acknowledged. */
bool session_is_recovering(const struct session *s);
/* Deadlines and Time2Retain of what is stranded. */
void session_recover_tick(struct session *s);
/* All stranded tasks are handed back as maybe executed; the session is not resumed. */
void session_forget(struct session *s);

/* Events that the users' guide has no number for; the same in core/event.h. */
enum session_event_id {
	SESSION_EVENT_TASKS_REASSIGNED = 1017,
	SESSION_EVENT_TASK_ABORTED = 1018,
	SESSION_EVENT_RENEGOTIATED = 1019,
};
/* Tell the owner: struct session_ops.event. */
void session_event(struct session *s, const struct conn *c, unsigned id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* --- for conn*.c --- */
/* The connection for the next command, by the policy; NULL: none has room. */
struct conn *session_pick(struct session *s);
bool session_is_acknowledged(const struct session *s, const struct task *t);
/* A tag for @t; false when the table is full (@is_control may use the reserve). */
bool session_slot_get(struct session *s, struct task *t, bool is_control);
/* The task of a tag, or NULL when no such tag is in use. */
struct task *session_task_by_itt(const struct session *s, uint32_t itt);
/* ExpCmdSN and MaxCmdSN of a PDU from the target, by the rules of 4.2.2.1. */
void session_window(struct session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn);
bool session_window_is_open(const struct session *s);
/* @t has its answer and nothing reads its data any more: run its done(), now. */
void session_task_finish(struct session *s, struct task *t, enum task_result result);
/* Its connection is gone: done() runs later. */
void session_task_lost(struct session *s, struct task *t, enum task_result result);
void session_conn_logged_in(struct session *s, struct conn *c);
void session_init_conn(struct conn *c);
/* A Logout Request for the session has been sent, or is about to be. */
bool session_is_leaving(const struct session *s);
/* @c is closed: whoever asked for its removal is told. */
void session_removal_ends(struct conn *c);
/* Nobody may log in or recover for so long (Time2Wait). */
void session_stay_away(struct session *s, int64_t seconds);
void session_conn_closed(struct session *s, struct conn *c);
void session_logout_answered(struct session *s, struct conn *c, uint8_t response);
void session_text_answered(struct session *s, const struct pdu_text_response *p,
			   const uint8_t *data);
void session_text_fail(struct session *s, GError *err); /* takes @err; none under way: frees it */
/* session_text() on @c, key by key; -EBUSY when one is under way. Immediate: what is refused leaves
 * no hole in CmdSN. */
int session_text_talk(struct session *s, struct conn *c, const GByteArray *request,
		      int64_t limit_ms, session_text_turn_fn *turn, session_text_fn *done,
		      void *arg);
/* The target asked for a negotiation on @c within @seconds (11.9.1, event 4). */
void session_negotiation_requested(struct session *s, struct conn *c, unsigned seconds);
/* Those that wait give up, soon. */
void session_negotiate_drop(struct session *s);
void session_text_init(struct session *s);
void session_text_done(struct session *s);
/* Something is to be sent: flush before the loop sleeps. */
void session_want_flush(struct session *s);

#endif
