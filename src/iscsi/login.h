/* SPDX-License-Identifier: BSD-2-Clause */
/* The login phase of one connection as a machine that knows no socket: it produces Login
 * Requests and takes Login Responses (RFC 7143 sections 6, 11.12, 11.13, 12). conn.c moves the
 * bytes.
 *
 *   state         true in it                                           next
 *   START         nothing sent                                         SECURITY
 *   SECURITY      names and AuthMethod offered, or CHAP running        OPERATIONAL, (end)
 *   OPERATIONAL   authenticated if that was asked; keys in progress    FULL_FEATURE, (end)
 *   FULL_FEATURE  final response taken; values are in force            -
 *   FAILED        error is set                                         -
 *   REDIRECTED    redirect_address is set                              -
 *   (end): FAILED or REDIRECTED
 * The security stage always asks for the operational one next, where our keys go.
 *
 * With auth=none the first request still goes to the security stage offering AuthMethod=None,
 * so that a target that wants CHAP can say so plainly. With auth=chap only CHAP is offered:
 * None is never accepted then. */
#ifndef ISCSIFS_LOGIN_H
#define ISCSIFS_LOGIN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "iscsi/chap.h"
#include "iscsi/keys.h"

enum login_state {
	LOGIN_START,
	LOGIN_SECURITY,
	LOGIN_OPERATIONAL,
	LOGIN_FULL_FEATURE,
	LOGIN_FAILED,
	LOGIN_REDIRECTED,
};
const char *login_state_name(enum login_state s);

enum auth_method { AUTH_NONE, AUTH_CHAP, AUTH_MUTUAL };

/* All pointers are borrowed and must outlive the login. */
struct login_config {
	enum keys_session type;
	const char *initiator_name, *initiator_alias; /* alias may be NULL */
	const char *target_name;		      /* NULL in a discovery session */
	uint8_t isid[6];
	uint16_t tsih, cid; /* tsih 0: leading login */
	uint32_t cmd_sn;    /* the session's CmdSN at this time */
	uint32_t itt;
	uint32_t exp_stat_sn; /* when this login restarts a connection (same CID): that
				 one's, 11.12.9; else 0 */
	enum auth_method auth;
	const struct chap_config *chap; /* NULL only with AUTH_NONE */
	struct chap_history *chap_history; /* the session's: challenges we sent (reflection) */
	struct keys_wishes wishes;
	const struct keys_values *session_values; /* NULL for the leading connection */
};

struct login; /* opaque */

/* A CHAP configuration that cannot work (see chap_config_check(), to be asked before) fails the
 * login when the first response comes: nothing is ever answered with it. */
struct login *login_new(const struct login_config *cfg);
/* Wipes what was secret. NULL is fine. */
void login_free(struct login *l);
enum login_state login_state(const struct login *l);

/* Further connections only: the session's CmdSN has moved on, the next requests carry it
 * (11.12.8). */
void login_set_cmd_sn(struct login *l, uint32_t cmd_sn);

/* The next request: writes @bhs (48 bytes) and *ret_data (its data segment, not padded, NULL
 * when empty, valid until login_free(); never more than 8192 bytes: longer text goes out in
 * several requests with the C bit). There is one request before each response: a second
 * response that comes before the request has left is for the caller to refuse. */
void login_request(struct login *l, uint8_t *bhs, const uint8_t **ret_data,
		   uint32_t *ret_data_bytes);
/* A PDU that came (any opcode: one that is no Login Response fails the login). TRUE: call
 * login_request() next, or the state is FULL_FEATURE; FALSE: state is FAILED or REDIRECTED.
 * Bounds the number of exchanges and the size of continued text. */
gboolean login_response(struct login *l, const uint8_t *bhs, const uint8_t *data,
			uint32_t data_bytes);

/* After FULL_FEATURE. */
struct login_result {
	struct keys_values values;
	uint16_t tsih;
	uint32_t exp_stat_sn, exp_cmd_sn, max_cmd_sn;
};
void login_result(const struct login *l, struct login_result *ret);
/* The "KEY REQUESTED NEGOTIATED" lines, for the params file; auth lines included (never a
 * secret). */
void login_print(const struct login *l, GString *out);

/* After FAILED (ownership stays with the login): code by status class and detail of 11.13.5,
 * errno by tree.md. */
const GError *login_error(const struct login *l);
/* The event of the users' guide, appendix B, that tells the failure best, and the key=value
 * that it is about (NULL: none): 10 refused, 11 invalid response, 12 redirect, 13 AuthMethod,
 * 14 to 17 and 33 CHAP, 18 and 19 digests, 29 Reject, 38 target does no CHAP, 40 target wants
 * CHAP, 41 no AuthMethod, 42 StatSN. After FULL_FEATURE: 3 or 4 (odd numbers that were put
 * right), else 0. */
unsigned login_event(const struct login *l, const char **ret_pair);
/* What the guide calls the dump data of that event, as words (g_free()); NULL: there is none. The
 * header of the response for 10, 11, 29 and 60 on, with the numbers or the key=value that it is
 * about. Of CHAP the answers are left out, by which a secret could be guessed. */
char *login_event_data(const struct login *l);
/* The raw status of the last response, class << 8 | detail; -1 when none came. */
int login_status(const struct login *l);
/* After FAILED: the target took our SHA-256 response for a broken message (status 0200), as
 * tgtd and IET do, which mean SHA-1 by algorithm 7. The same login again, at once, with
 * chap_config.is_sha256_off set may well succeed. Nothing is lost by it: the choice of the
 * algorithm is not protected anyhow, and MD5 is always in the offer (12.1.3). */
bool login_wants_no_sha256(const struct login *l);
/* After REDIRECTED: "addr:port" as the target wrote it (TPGT cut off), and whether it is
 * permanent. */
const char *login_redirect(const struct login *l, bool *ret_is_permanent);

#endif
