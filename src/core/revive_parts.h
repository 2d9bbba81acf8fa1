/* SPDX-License-Identifier: BSD-2-Clause */
/* What a struct revive is made of: for revive.c and revive_where.c only. */
#ifndef ISCSIFS_REVIVE_PARTS_H
#define ISCSIFS_REVIVE_PARTS_H

#include "core/dial.h"
#include "core/portal_health.h"
#include "core/revive.h"

/* Of the session (wanted NULL) or of one connection. */
struct attempt {
	struct revive *revive;
	struct wanted *wanted;
	struct loop_timer timer;   /* until it begins */
	struct dial *dial;	   /* it has begun */
	GPtrArray *owners;	   /* of struct wanted *: whose portal that of this index is */
	unsigned failures;	   /* one after the other */
	bool is_refused;	   /* the last one: for what we are */
	int told_code, told_errno; /* what people know already */
	int64_t up_us, lost_us;
};

struct wanted {
	struct list link;
	enum wanted_state state;
	char *host, *portal, *source; /* @portal: canonical, @source may be NULL */
	uint16_t port;
	bool is_named, is_standby;
	unsigned weight;
	struct conn *conn; /* UP; a reference */
	unsigned cid;	   /* of @conn, or of the one that was lost */
	struct attempt attempt;
};

struct waiter {
	struct list link;
	struct revive *revive;
	struct operation *op;
	unsigned round; /* the one under way when it came: its failure is not the answer */
};

struct revive {
	struct nexus *nexus;
	struct list wanted;
	struct attempt lead; /* of the session */
	unsigned rounds;     /* of @lead */
	struct list waiters;
	struct portal_watch watch;
	bool is_paused, is_stopped;
};

static inline struct session *revive_session(const struct revive *r)
{
	return r->nexus->session;
}

static inline struct daemon *revive_daemon(const struct revive *r)
{
	return r->nexus->target->daemon;
}

static inline bool revive_session_is_up(const struct revive *r)
{
	return revive_session(r)->state == SESSION_LOGGED_IN;
}

/* --- revive_where.c --- */
/* Where @a is to go now, in this order; of struct dial_portal, whose strings are borrowed.
 * Notes in a->owners whose portal each is. */
GArray *revive_where_list(struct attempt *a);
/* Is @portal one of them? */
bool revive_where_has(struct attempt *a, const char *portal);

#endif
