/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection to an iSNS server: resolve, connect, one request at a time, and what the server
 * sends unasked. Nothing blocks; everything has a time limit. Who has it decides what to do about
 * failures (isns.c).
 *
 *   state       true in it                                        next
 *   CLOSED      nothing is under way                              RESOLVING
 *   RESOLVING   the name is being resolved                        CONNECTING, CLOSED
 *   CONNECTING  one address after the other; the timer runs       OPEN, CLOSED
 *   OPEN        requests may go                                   CLOSED
 */
#ifndef ISCSIFS_ISNS_CLIENT_H
#define ISCSIFS_ISNS_CLIENT_H

#include "base/loop.h"
#include "core/isns_pdu.h"
#include "core/resolve.h"

enum isns_client_state {
	ISNS_CLIENT_CLOSED,
	ISNS_CLIENT_RESOLVING,
	ISNS_CLIENT_CONNECTING,
	ISNS_CLIENT_OPEN,
};

/* From the loop, never from inside a call of the functions below. Each may call these functions. */
struct isns_client_calls {
	void (*opened)(void *arg);
	/* Of the request: its status was taken off. @payload: borrowed. */
	void (*answered)(void *arg, uint32_t status, const uint8_t *payload, size_t len);
	/* An SCN or ESI that came this way. */
	void (*told)(void *arg, const struct isns_message *m);
	/* It is CLOSED now. @is_idle: the server closed it while nothing was asked of it. */
	void (*failed)(void *arg, const GError *err, bool is_idle);
};

struct isns_client {
	struct loop *loop;
	struct worker *worker;
	const char *name, *host; /* of the server: borrowed */
	uint16_t port;
	const struct isns_client_calls *calls;
	void *arg;
	enum isns_client_state state;
	int64_t connect_ms, answer_ms; /* set by the owner */
	struct resolve *resolve;
	struct conn_address addresses[RESOLVE_MAX];
	unsigned count, next;
	struct sockaddr_storage local, peer; /* OPEN; ss_family 0: not known */
	int fd;
	int connect_errno; /* of the last address */
	struct loop_fd watch;
	struct loop_timer timer; /* of the connect, of the answer */
	struct isns_reader reader;
	GByteArray *out; /* to be sent */
	uint16_t transaction; /* the last one used */
	uint16_t function; /* asked, no answer yet; 0: nothing is */
	bool has_superseded; /* an answer to an earlier request may still come */
};

/* All but the two times. @name, @host: must live as long. */
void isns_client_init(struct isns_client *c, struct loop *l, struct worker *w, const char *name,
		      const char *host, uint16_t port, const struct isns_client_calls *calls,
		      void *arg);
void isns_client_done(struct isns_client *c); /* closes */
/* From CLOSED. @way: as the source of resolve.h. */
void isns_client_open(struct isns_client *c, const char *way);
/* In peace, at once: no call comes any more. Idempotent. */
void isns_client_close(struct isns_client *c);
/* A message to be filled and given to isns_client_send(); OPEN only. */
GByteArray *isns_client_begin(struct isns_client *c, enum isns_function f, uint16_t flags);
/* Takes @m. An earlier request that was not answered yet no longer counts. */
void isns_client_ask(struct isns_client *c, GByteArray *m);
/* An answer to what the server told. Takes @m. */
void isns_client_reply(struct isns_client *c, GByteArray *m);

#endif
