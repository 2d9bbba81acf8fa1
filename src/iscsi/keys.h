/* SPDX-License-Identifier: BSD-2-Clause */
/* Text keys and their negotiation (RFC 7143 sections 6 and 13): one table row a key, with its
 * kind (declared, minimum, maximum, and, or, list), bounds, default, the stages and session
 * types where it may appear, who may send it and whether only the leading connection may.
 * Offers, answers, checks, the `params` file and the man page come from that table.
 *
 * A struct keys is one negotiation: it remembers what was requested and what came of it,
 * refuses a key given twice (6.2: a protocol error), answers what the target originates,
 * answers unknown keys with NotUnderstood and irrelevant ones with Irrelevant. Control path: it
 * may allocate. */
#ifndef ISCSIFS_KEYS_H
#define ISCSIFS_KEYS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "iscsi/proto.h"

enum digest_wish { DIGEST_NO, DIGEST_YES, DIGEST_PREFER };

/* What we ask for. keys_wishes_default() fills in what suits a fast disk. */
struct keys_wishes {
	enum digest_wish header_digest,
		data_digest; /* NO: None; YES: CRC32C; PREFER: CRC32C,None */
	uint32_t max_recv_data_segment_length;	     /* declared: what we accept; 512..2^24-1 */
	uint32_t max_burst_length, first_burst_length;
	uint32_t max_connections, max_outstanding_r2t;
	uint32_t time2wait, time2retain; /* seconds, 0..3600 */
	uint32_t error_recovery_level;	 /* 0..2 */
	bool initial_r2t, immediate_data;
	bool data_pdu_in_order, data_sequence_in_order;
};
void keys_wishes_default(struct keys_wishes *w);

/* What is in force. Before the negotiation: the RFC's defaults. */
struct keys_values {
	bool header_digest, data_digest;
	uint32_t max_recv_data_segment_length; /* ours */
	uint32_t max_xmit_data_segment_length; /* the target's MaxRecvDataSegmentLength */
	uint32_t max_burst_length, first_burst_length;
	uint32_t max_connections, max_outstanding_r2t;
	uint32_t time2wait, time2retain;
	uint32_t error_recovery_level;
	bool initial_r2t, immediate_data;
	bool data_pdu_in_order, data_sequence_in_order;
	int32_t target_portal_group_tag; /* -1: not told */
	char target_alias[256];		 /* as it came; may hold any byte but NUL */
};

enum keys_session { KEYS_NORMAL = 1, KEYS_DISCOVERY = 2 };

struct keys; /* one negotiation: a connection's login, or a renegotiation */

/* Where the negotiation stands, which says what may be offered and what may come (12, 13:
 * Any-Stage, LO, IO, ALL). A new one stands in KEYS_OPERATIONAL. */
enum keys_stage { KEYS_SECURITY, KEYS_OPERATIONAL, KEYS_FULL_FEATURE };

/* @session_values: what the session has agreed on before (a further connection: session-wide
 * keys are taken from it and never offered), or NULL for the leading connection. Copies what it
 * needs. */
struct keys *keys_new(enum keys_session type, const struct keys_wishes *wishes,
		      const struct keys_values *session_values);
void keys_free(struct keys *k); /* NULL is fine */
/* Going to KEYS_FULL_FEATURE (a renegotiation by Text Requests, 6.4): @session_values of
 * keys_new() are then those in force on this very connection, connection-wide ones included,
 * and only keys of use ALL are offered. */
void keys_set_stage(struct keys *k, enum keys_stage stage);

/* Append the operational keys we offer and have not offered yet, as "key=value\0", to @out. */
void keys_offer(struct keys *k, GByteArray *out);
/* Take one key from the target (no NUL in either). Appends our answer to @reply where one is
 * due. FALSE with @err (ISDSC_INVALID_TEXT_KEY): illegal value, twice, not allowed here,
 * outside the offer. @reply is NULL when the response ends the stage: then a key that needs an
 * answer is an error too (11.13.6). */
gboolean keys_receive(struct keys *k, const char *key, const char *value, GByteArray *reply,
		      GError **err);
/* All that we offered has been answered. (Declared keys need no answer, nor does a boolean
 * whose result our offer decides, 6.2.2.) */
gboolean keys_is_settled(const struct keys *k);
/* Name of the first key that is not settled, or NULL. */
const char *keys_unsettled(const struct keys *k);
/* Event of the users' guide, appendix B, that tells the last failure best: 18 or 19 (a digest
 * that we insist on was refused), else 0. */
unsigned keys_event(const struct keys *k);
/* At the end: event 4 when FirstBurstLength came out greater than MaxBurstLength (keys_values()
 * cuts it), else 0. */
unsigned keys_warning(const struct keys *k);
/* FirstBurstLength and MaxBurstLength as they were negotiated, before they are put right. */
void keys_bursts(const struct keys *k, uint32_t *ret_first, uint32_t *ret_max);
/* Cross checks at the end (FirstBurstLength > MaxBurstLength is cut to it ...), then the values
 * in force. */
void keys_values(const struct keys *k, struct keys_values *ret_values);
/* Lines "KEY REQUESTED NEGOTIATED", "-" where there is none: the `params` file. What the target
 * declared as its MaxRecvDataSegmentLength stands as MaxXmitDataSegmentLength. */
void keys_print(const struct keys *k, GString *out);

/* The table, for the man page and tests: row by row, FALSE past the end. */
struct keys_info {
	const char *name;
	const char *result; /* "minimum", "and", "declared" ...; NULL: the target never sends it
			       in a negotiation */
	const char *rfc;    /* section of RFC 7143 */
	bool is_offered, is_session_wide;
	uint32_t min, max,
		preset; /* numbers: bounds; preset: the RFC's default (booleans: 1 is Yes) */
};
gboolean keys_info_at(size_t index, struct keys_info *ret_info);

/* Split a data segment of text into key and value pairs, calling @each in order. It must end in
 * NUL (6.1); NULs too many are skipped; a pair without '=', an empty key, a key over 63 bytes
 * or with characters outside 6.1, a value over 8192 bytes is an error. */
gboolean keys_split(const uint8_t *text, size_t len,
		    gboolean (*each)(void *arg, const char *key, const char *value, GError **err),
		    void *arg, GError **err);
/* Append "key=value\0". */
void keys_append(GByteArray *out, const char *key, const char *value);

#endif
