/* SPDX-License-Identifier: BSD-2-Clause */
/* An iSNS server that we are registered at and that tells us of targets (RFC 4171). What is done with
 * it goes in rounds, one at a time: connect if need be, register (DevAttrReg) and ask to be told of
 * changes (SCNReg), unless the round is for a query only, and ask for targets (DevAttrQry).
 *
 *   state        true in it                                          next
 *   NEVER        no round yet                                        CONNECTING, LEAVING
 *   CONNECTING   a connection is being made                          WITHDRAWING, REGISTERING, FAILED,
 *                                                                    LEAVING
 *   WITHDRAWING  DevDereg of what we were registered as before       REGISTERING, FAILED, LEAVING
 *   REGISTERING  DevAttrReg was sent                                 REGISTERING, SUBSCRIBING, ASKING,
 *                                                                    FAILED, LEAVING
 *   SUBSCRIBING  SCNReg was sent                                     SUBSCRIBING, ASKING, FAILED,
 *                                                                    LEAVING
 *   ASKING       the query is under way (isns_query.h)               OK, FAILED, LEAVING
 *   OK           the last round worked; the next one is planned      CONNECTING, WITHDRAWING,
 *                                                                    REGISTERING, ASKING, LEAVING
 *   FAILED       it did not; what was found stays; tried again       CONNECTING, LEAVING
 *   LEAVING      DevDereg, for a short time only; nothing begins     GONE
 *   GONE         no connection, no timer                             -
 *
 * A round comes: when somebody asks; when half of the registration period has passed; soon after an
 * SCN (a query only: registering may itself be told of by an SCN, so it would never end); after a
 * failure, later and later; when the server has closed the connection, and when our name changes. */
#ifndef ISCSIFS_ISNS_H
#define ISCSIFS_ISNS_H

#include "core/discovery.h"
#include "core/isns_client.h"
#include "core/isns_query.h"

enum isns_state {
	ISNS_STATE_NEVER,
	ISNS_STATE_CONNECTING,
	ISNS_STATE_WITHDRAWING,
	ISNS_STATE_REGISTERING,
	ISNS_STATE_SUBSCRIBING,
	ISNS_STATE_ASKING,
	ISNS_STATE_OK,
	ISNS_STATE_FAILED,
	ISNS_STATE_LEAVING,
	ISNS_STATE_GONE,
	ISNS_STATES
};
/* Is the transition in the table? For the setter, and for the test that walks it. */
bool isns_state_may(enum isns_state from, enum isns_state to);

/* What the server has of us. */
struct isns_registration {
	bool is_there;	     /* it should still have it */
	bool may_be_there;   /* it was asked for, and has not been withdrawn */
	bool is_subscribed;  /* it sends SCNs */
	char *entity, *node, *alias; /* alias NULL: none */
	struct sockaddr_storage portal; /* without the port */
	uint16_t port; /* that it reaches us at; 0: it does not */
	uint32_t period_s, esi_s; /* granted; 0: not told, none */
};

struct isns_server {
	struct object obj; /* OBJECT_ISNS */
	struct daemon *daemon;
	char *host;
	uint16_t port;
	char *name;	 /* canonical "ADDR:PORT" */
	char *mechanism; /* "isns:ADDR:PORT" */
	struct login_options options; /* given with add-isns, of its instances */
	bool is_kept;
	enum isns_state state;
	struct isns_client client;
	struct isns_query query; /* ASKING */
	struct isns_registration registered;
	unsigned targets_found;
	int64_t last_ok_us, last_scn_us; /* wall clock; 0: never */

	/* --- of isns.c --- */
	bool is_full; /* the round registers, too */
	bool replaces, without_esi, has_few_scns; /* what DevAttrReg and SCNReg try now */
	bool wants_query, wants_full; /* another round after this one */
	GList *asked, *waiting; /* of struct operation *: for this round, for the next */
	struct loop_timer soon;	   /* a query */
	struct loop_timer renewal; /* a full round; also the retry */
	struct loop_timer leave_timer;
	int64_t retry_ms, reopen_ms; /* next */
	int64_t began_ms;	     /* the last round (loop clock) */
	char *told;		     /* the last failure that an event told of; NULL: none since */
	struct operation *leave_op;  /* somebody waits for the end of LEAVING */
	bool is_held;		     /* the daemon waits for it, too */
};
const char *isns_state_name(const struct isns_server *s); /* "never", "connecting", "ok" ... */

/* Nothing begins by itself. Takes @options. The owner calls isns_leave(), then object_gone(). */
struct isns_server *isns_new(struct daemon *d, const char *host, uint16_t port,
			     const struct login_options *options);
/* A full round, after the one under way if there is one. */
void isns_refresh(struct isns_server *s, struct operation *op);
/* In the background, soon. */
void isns_refresh_soon(struct isns_server *s);
/* Name or alias of the initiator have changed. */
void isns_initiator_changed(struct isns_server *s);
/* The server told that something has changed (@bits: enum isns_scn). */
void isns_scn(struct isns_server *s, uint32_t bits);
/* Deregister, if that can be done within a short time; refreshes under way fail (EBUSY). @op (may be
 * NULL) finishes then; the daemon does not end before. The server's targets stay. */
void isns_leave(struct isns_server *s, struct operation *op);
/* At once, without a word. */
void isns_drop(struct isns_server *s);

#endif
