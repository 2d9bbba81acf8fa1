/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection of a session: its socket, its login, its receive and transmit machines, its
 * keep-alive and the tasks that are allegiant to it. States of RFC 7143 section 8.1.1
 * (initiator):
 *
 *   state             true in it                              next
 *   FREE              no socket, nothing pending        (S1)  XPT_WAIT, CLEANUP
 *   XPT_WAIT          connect() is under way            (S2)  IN_LOGIN, CLEANUP
 *   IN_LOGIN          login machine runs                (S4)  LOGGED_IN, CLEANUP
 *   LOGGED_IN         full feature phase                (S5)  IN_LOGOUT, LOGOUT_REQUESTED, CLEANUP
 *   LOGOUT_REQUESTED  the target wants us out           (S7)  IN_LOGOUT, CLEANUP
 *   IN_LOGOUT         Logout Request is queued or sent  (S6)  CLEANUP
 *   CLEANUP           socket closed, tasks handed back  (S8)  -
 *
 * conn_fail() is the only function that closes the socket in trouble; conn_close() does it in
 * peace. Both hand every allegiant task back (session_task_lost()).
 *
 * conn.c has the life of a connection, conn_rx.c what PDUs from the target mean, conn_tx.c how
 * ours are built. */
#ifndef ISCSIFS_CONN_H
#define ISCSIFS_CONN_H

#include <glib.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/loop.h"
#include "base/object.h"
#include "base/policy.h"
#include "iscsi/keys.h"
#include "iscsi/login.h"
#include "iscsi/pdu.h"
#include "iscsi/rx.h"
#include "iscsi/task.h"
#include "iscsi/tx.h"

struct session;
typedef void session_logout_fn(struct session *s, const GError *err, void *arg);

enum conn_state {
	CONN_FREE,
	CONN_XPT_WAIT,
	CONN_IN_LOGIN,
	CONN_LOGGED_IN,
	CONN_LOGOUT_REQUESTED,
	CONN_IN_LOGOUT,
	CONN_CLEANUP,
	CONN_STATES
};
const char *conn_state_name(enum conn_state s);
/* Is the transition in the table? For the setter, and for the test that walks it. */
bool conn_state_may(enum conn_state from, enum conn_state to);

/* An address to connect to, resolved. */
struct conn_address {
	struct sockaddr_storage addr;
	socklen_t addr_bytes;
	struct sockaddr_storage source; /* ss_family 0: any */
	socklen_t source_bytes;
	char interface[IF_NAMESIZE]; /* "": any */
	/* Connected to @addr already: taken over by the connection (closed by it in any case). 0: not. */
	int fd;
};
/* A socket made, bound and connecting (not blocking): the descriptor, or -errno. */
int conn_address_connect(const struct conn_address *a);
/* "10.0.0.5:3260", "[fe80::1%eth0]:3260": canonical. g_free(). */
char *conn_format_address(const struct sockaddr_storage *ss);

/* How the attempt to connect and log in ended. Borrowed for the time of the callback. */
struct conn_login_result {
	bool is_ok;
	const GError *error;  /* !is_ok and no redirect */
	const char *redirect; /* "addr:port": follow it; NULL if none */
	bool is_permanent;
	bool wants_no_sha256; /* try again with chap.is_sha256_off: see login_wants_no_sha256() */
	int status; /* login status class << 8 | detail, -1: none came */
};
typedef void conn_login_fn(struct conn *c, const struct conn_login_result *r, void *arg);

struct conn_stats {
	uint64_t digest_errors, protocol_errors, nop_timeouts, pings, pings_answered, rejects;
	uint64_t r2ts, data_outs, data_ins;
	/* ErrorRecoveryLevel 1 */
	uint64_t header_digest_errors, snacks_data, snacks_status, snacks_ack, snacks_rdata;
	uint64_t recovered_pdus, recovery_r2ts, retries;
};

/* A NOP-Out that answers a NOP-In (11.18): as many as this may wait to be sent. */
#define CONN_REPLIES 32
struct conn_reply {
	uint8_t lun[8];
	uint32_t ttt;
};

/* Recovery within the connection: conn_snack.h. */
#define CONN_SNACKS 32	     /* as many wait for room in the batch */
#define CONN_STAT_WINDOW 512 /* StatSNs that may be out of order; a power of two */

/* Data segments of other PDUs than Data-In: kept up to this size, skipped beyond. */
#define CONN_CONTROL_BYTES 65536

struct conn {
	struct object obj; /* OBJECT_CONN */
	struct session *session;
	uint16_t wire_cid; /* CID of the protocol */
	unsigned cid;	   /* number in the tree: never used twice in a session */
	enum conn_state state;
	int fd;
	struct loop_fd watch;
	struct loop_timer phase_timer; /* connect, login, logout */
	struct loop_timer nop_timer;
	char *local, *remote; /* "addr:port", canonical; "" while unknown */
	struct conn_address address;
	struct keys_values values;
	GString *params; /* "KEY REQUESTED NEGOTIATED" lines, made when the login ends */

	struct login *login;	    /* while IN_LOGIN, and until login_done() has run */
	struct loop_call login_call; /* runs login_done(): never from inside conn_start() */
	conn_login_fn *login_done;   /* NULL when it has run */
	void *login_arg;
	GError *error; /* why it closed */

	struct rx rx;
	struct tx tx;
	uint8_t *staging, *control; /* RX_STAGING_BYTES, CONN_CONTROL_BYTES */
	uint32_t exp_stat_sn;
	struct list outstanding; /* tasks SENT or RESPONDED */
	unsigned outstanding_count;
	struct list bursts;   /* struct burst: Data-Out to send, in order of arrival */
	struct list controls; /* NOP, text, logout, TMF tasks to send on this connection */
	struct conn_reply replies[CONN_REPLIES];
	unsigned reply_head, reply_count;
	struct task *rx_task; /* whose data segment is being received */
	bool is_rx_kept;      /* and goes to its place */
	uint32_t stat_ahead;  /* StatSNs from @exp_stat_sn on that were given out */
	uint64_t stat_came[CONN_STAT_WINDOW / 64], stat_held[CONN_STAT_WINDOW / 64];
	int64_t stat_asked_us;	 /* when the last Status SNACK was sent */
	int64_t recv_changed_us; /* our MaxRecvDataSegmentLength; 0: as in the login */
	struct pdu_snack_request snacks[CONN_SNACKS];
	unsigned snack_head, snack_count;
	struct loop_timer again_timer; /* control tasks that wait (task.not_before_us) */

	struct task nop; /* our ping */
	int64_t last_rx_us;
	void (*ping_done)(struct conn *c, int64_t rtt_us, void *arg); /* rtt_us < 0: lost */
	void *ping_arg;
	struct task logout;
	enum iscsi_logout_reason drain_reason; /* LOGOUT_REQUESTED: what to log out then */
	bool is_leading;  /* its login began a session (TSIH 0) */
	bool was_up;	  /* it has been in full feature phase */
	bool is_asked;	  /* the target asked for the logout that is under way */
	bool is_response_data_told; /* event 60 */
	bool is_wanted;	  /* closed, but its session wants it back */
	int drop_wait_s;  /* Time2Wait of the message that announced its end; -1: none */
	uint32_t old_exp_stat_sn; /* of the connection that it reinstates; 0: none */
	struct loop_call lost_call; /* tells the session's owner */
	session_logout_fn *removed; /* session_remove_connection(); NULL: not asked for */
	void *removed_arg;
	struct loop_call removed_call;
	struct conn_stats stats;
	struct lane lane; /* role and weight among the connections of the session (MCS) */
	unsigned round; /* session_for_each_conn() */
};

struct conn *conn_new(struct session *s, unsigned cid, uint16_t wire_cid,
		      const struct conn_address *a);
/* Connect and log in. @done runs later, once. */
void conn_start(struct conn *c, conn_login_fn *done, void *arg);
/* The connection is broken or the target misbehaves: close the socket, hand back the tasks,
 * tell the session. @err is taken. Harmless when already closed (then @err is freed). */
void conn_fail(struct conn *c, GError *err);
/* Same in peace: after a logout response, or because the session is closed by its owner. */
void conn_close(struct conn *c);
/* Send a Logout Request; the session hears of the answer. -ENOTCONN when not logged in. */
int conn_logout(struct conn *c, enum iscsi_logout_reason reason);
/* In full feature phase, and commands may be sent. */
bool conn_is_usable(const struct conn *c);
/* Send a NOP-Out and wait for the answer. @done runs once. -EBUSY: one is under way; -ENOTCONN.
 */
int conn_ping(struct conn *c, void (*done)(struct conn *c, int64_t rtt_us, void *arg),
	      void *arg);

/* --- conn_tx.c --- */
/* Queue a NOP, text, logout or TMF task on this connection. -ENOTCONN. */
int conn_submit_control(struct conn *c, struct task *t);
/* Send a control task once more with the tag it has: the next request of a text exchange. */
void conn_resubmit_control(struct conn *c, struct task *t);
/* Allegiance of a command begins here: @t has its ITT; gets its CmdSN; its PDU joins the batch.
 * Needs tx_has_room(). */
void conn_send_command(struct conn *c, struct task *t);
/* The same PDU once more: on this connection, as long as the target has not acknowledged it, or
 * on this one after the first was logged out (7.2.1). False: it cannot be now. */
bool conn_retry_command(struct conn *c, struct task *t);
/* Put @t, which is on no list, on the outstanding ones of @c. */
void conn_adopt(struct conn *c, struct task *t);
/* Data-Out of @t no longer wanted. */
void conn_cancel_bursts(struct task *t);
/* Fill the batch and send it: before the loop sleeps. */
void conn_flush(struct conn *c);

/* --- conn_snack.c --- */
/* @t, SENT, has not been heard of for session_quiet_ms(), nor looked after: one step.
 * The next that the target waits for (ExpCmdSN): the command once more. Acknowledged: a ping,
 * whose answer shows what statuses are missing; when it has come and nothing else, a SNACK for
 * what @t waits for. */
void conn_look_after(struct conn *c, struct task *t);

/* --- conn_rx.c --- */
extern const struct rx_ops conn_rx_ops;

/* --- conn.c, for the other two --- */
void conn_protocol_error(struct conn *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void conn_set_state(struct conn *c, enum conn_state to);
void conn_login_progress(struct conn *c, const uint8_t *bhs, uint32_t data_bytes);
/* The target asked for a logout (async event 1) within @limit_ms: no new tasks; log out when
 * what is under way has ended, or shortly before the limit. */
void conn_logout_requested(struct conn *c, int64_t limit_ms);
/* No new tasks; log out for @reason when what is under way has ended, or half of @limit_ms has. */
void conn_drain(struct conn *c, enum iscsi_logout_reason reason, int64_t limit_ms);
void conn_drained(struct conn *c);

#endif
