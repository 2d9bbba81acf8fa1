/* SPDX-License-Identifier: BSD-2-Clause */
/* Events: what happens to sessions, connections, paths and units, each with its number in
 * Appendix B of the users' guide (driver events 1 to 62), a severity, and a text for people with
 * what the guide calls dump data in it. Events that the guide has no number for have ours, from
 * 1000 on. Kept in a ring, the newest EVENT_RING of them, and told to the log.
 *
 * One row of a table (event.c) an id: name, severity, the text of the guide in our words. */
#ifndef ISCSIFS_EVENT_H
#define ISCSIFS_EVENT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct daemon;

#define EVENT_RING 4096 /* kept; older ones are dropped and counted */
#define EVENT_TEXT_MAX 512

/* Ours; those of the guide are known by their number (event.c has the table). */
enum event_own {
	EVENT_CONNECTION_UP = 1000, /* a connection of a session is logged in */
	EVENT_CONNECTION_REMOVED,   /* in peace: logged out, removed by a person */
	EVENT_SESSION_RETRYING,	    /* no connection is left: being brought back */
	EVENT_SESSION_UP,
	EVENT_SESSION_ENDED,
	EVENT_PATH_ADDED,
	EVENT_PATH_REMOVED,
	EVENT_PATH_FAILED,
	EVENT_PATH_RESTORED,
	EVENT_PATH_STATE,    /* ALUA: optimized, standby ... */
	EVENT_POLICY_CHANGED, /* policy, role or weight */
	EVENT_LUN_ADDED,
	EVENT_LUN_REMOVED,
	EVENT_LUN_REPLACED,  /* another unit where one was: ESTALE */
	EVENT_LUN_RESIZED,
	EVENT_LUN_NOT_MERGED, /* two units tell the same identity, but are not one */
	EVENT_IO_FAILED,     /* a request failed at its deadline or for good */
	EVENT_TASKS_REASSIGNED,
	EVENT_TASK_ABORTED,  /* a rung of the ladder: abort, LUN reset, target reset, restart */
	EVENT_RENEGOTIATED,
	EVENT_CACHE_LOST,    /* a unit was without power, and its write cache was not empty */
	EVENT_CACHE_IN_DOUBT, /* ... or perhaps: it was reset */
	EVENT_RESERVATION_CHANGED, /* by another initiator, or a key of ours is gone */
	EVENT_BLOCK_ATTACHED, /* a loop device over a LUN (attach.h) */
	EVENT_BLOCK_DETACHED,
	EVENT_BLOCK_FAILED,  /* it could not be attached */

	/* The guide's service events, in its order (it gives them no numbers). */
	EVENT_VOLUMES_SEARCH_FAILED,
	EVENT_VOLUMES_TIMEOUT,
	EVENT_DYNAMIC_DISK_FAILED,
	EVENT_IPSEC_ACCESS_FAILED,
	EVENT_START_FAILED,
	EVENT_SECRET_FAILED,
	EVENT_HBA_CHECK_FAILED,
	EVENT_UPCALL_MALFORMED,
	EVENT_REQUEST_FAILED,
	EVENT_STATIC_FAILED,
	EVENT_ISNS_FAILED,
	EVENT_SENDTARGETS_FAILED,
	EVENT_SENDTARGETS_INVALID,
	EVENT_FIRMWARE_FAILED,
	EVENT_REMOVAL_VETOED,
	EVENT_IPSEC_REQUIRED_FAILED,
	EVENT_EVALUATION_OVER,
	EVENT_LOCAL_ADDRESSES_FAILED,
	EVENT_FIREWALL_CLOSED,
	EVENT_FIREWALL_CHECK_FAILED,

	/* Ours again. */
	EVENT_INVALID_NAME,
	EVENT_TARGET_FOUND,
	EVENT_TARGET_VANISHED,
	EVENT_ISNS_REGISTERED,
	EVENT_ISNS_CHANGED,
	EVENT_PERSISTENT_LOGIN,
	EVENT_PERSISTENT_LOGIN_FAILED,
	EVENT_PERSISTENT_LOGINS_TIMEOUT,
	EVENT_VOLUMES_READY,
	EVENT_STATE_DAMAGED,
	EVENT_STATE_NOT_SAVED,
	EVENT_CONF_RELOADED,
	EVENT_CONF_REFUSED,
	EVENT_INITIATOR_CHANGED,
	EVENT_OWN_END
};

enum event_severity { EVENT_INFO, EVENT_WARNING, EVENT_ERROR };
const char *event_severity_name(enum event_severity s); /* "info", "warning", "error" */

struct event {
	uint64_t seq; /* from 1, no gap */
	int64_t time_us; /* wall clock */
	unsigned id;
	enum event_severity severity;
	char text[EVENT_TEXT_MAX]; /* "session 3 iqn.x: ...", one line */
};

struct event_log; /* struct daemon has one: events */

struct event_log *event_log_new(void);
void event_log_free(struct event_log *e);
/* Remember and log (a storm of them is cut short in the log, not in the ring). Allocates nothing;
 * may be called from anywhere in the loop thread. An id that is not in the table is a programmer's
 * error. @fmt says what happened, the object first; a text that is too long is cut, bytes that
 * could forge a line are escaped. */
void event_emit(struct daemon *d, unsigned id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* How events are written down, a line each: "TIME SEVERITY ID NAME TEXT", or a JSON object with
 * time, seq, id, name, severity and text. TIME is UTC with milliseconds. */
enum event_format { EVENT_LINES, EVENT_JSON, EVENT_FORMATS };

/* As lines, oldest first; before them a line "# ..." when older ones were dropped. */
void event_print(const struct event_log *e, GString *out);
/* Those with seq > @after, for readers that follow: as many as fit until @out has @max_bytes or a
 * little more. When some of them were dropped, a line before them tells how many: "# ...", or
 * {"missing":N}. Returns the last seq printed. */
uint64_t event_print_after(const struct event_log *e, enum event_format format, uint64_t after,
			   size_t max_bytes, GString *out);
/* The seq of the newest; 0: there is none. */
uint64_t event_log_last(const struct event_log *e);
/* How long the lines of all are together, those that were dropped included: where the next one will
 * begin for a reader that has followed from the start. */
uint64_t event_log_bytes(const struct event_log *e, enum event_format format);
/* When the newest was (wall clock); 0: there is none. */
int64_t event_log_time_us(const struct event_log *e);
/* @fn is called at each event, in the middle of anything: it may do no more than take a note
 * (loop_call_queue()), and allocate nothing. One watcher; NULL: none. */
void event_log_watch(struct event_log *e, void (*fn)(void *arg), void *arg);

/* The table, for the man page and tests: row by row, FALSE past the end. */
struct event_info {
	unsigned id;
	enum event_severity severity;
	const char *name; /* "connection-lost" */
	const char *text; /* what it means, when it is raised */
	bool is_raised;	  /* false: the row only keeps the guide's number */
	const char *why_not; /* it is not raised; NULL: it is */
	/* Raises it and looks for it in `events`: "conformance/SCENE", "fuse_FILE.TEST",
	 * "interop_FILE.TEST" or "test_FILE.TEST" (unit). NULL: none does. */
	const char *test;
	const char *data; /* what the text has of what the guide calls dump data; NULL: none */
};
gboolean event_info_at(size_t index, struct event_info *ret);

#endif
