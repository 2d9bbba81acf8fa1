/* SPDX-License-Identifier: BSD-2-Clause */
/* The query for targets: of all at once (DevAttrQry); or, of a server that finds such an answer too
 * long (open-isns tells no more than 8 KiB, and "internal error" instead), from target to target
 * (DevGetNext), each with a query of its own. One request at a time.
 *
 *   state     the request under way              its answer leads to
 *   IDLE      none                               -
 *   ALL       the query for all                  IDLE (that was it), NEXT (internal error)
 *   NEXT      which target comes after @at?      ONE, IDLE (there is no other)
 *   ONE       the query for @at                  NEXT (also when it has just gone)
 *
 * Any other refusal, and what is no answer, leads to IDLE. */
#ifndef ISCSIFS_ISNS_QUERY_H
#define ISCSIFS_ISNS_QUERY_H

#include "core/isns_client.h"

enum isns_query_state { ISNS_QUERY_IDLE, ISNS_QUERY_ALL, ISNS_QUERY_NEXT, ISNS_QUERY_ONE };

struct isns_query {
	enum isns_query_state state;
	struct isns_client *client;
	char *node, *self;    /* by whom; who is not among the targets */
	GPtrArray *found;     /* of struct isns_target * */
	GPtrArray *bad;	      /* of char *, as isns_answer_targets() tells them */
	GHashTable *taken;    /* names of @found; the texts are theirs */
	GHashTable *names;    /* that a walk came by, as the server tells them */
	const char *at;	      /* of these: the last one */
	unsigned asked_count; /* requests of this query */
};

enum isns_query_outcome {
	ISNS_QUERY_GOES_ON, /* another request was sent */
	ISNS_QUERY_DONE,    /* @found and @bad are there, until it begins anew or is dropped */
	ISNS_QUERY_REFUSED, /* the status tells why */
	ISNS_QUERY_BROKEN,  /* @err (EPROTO) tells why */
};

/* From IDLE, with an OPEN client; @node is registered there. */
void isns_query_begin(struct isns_query *q, struct isns_client *c, const char *node,
		      const char *self);
/* As isns_client_calls.answered got it. */
enum isns_query_outcome isns_query_answered(struct isns_query *q, uint32_t status,
					    const uint8_t *payload, size_t len, GError **err);
/* To IDLE, whatever was under way; idempotent. */
void isns_query_drop(struct isns_query *q);

#endif
