/* SPDX-License-Identifier: BSD-2-Clause */
/* An operation: something asked for by a person that takes time -- a login, a discovery, a
 * logout. Whoever started it (a write to a control file) gets done() when it has ended; whoever
 * carries it out calls operation_finish().
 *
 *   state      true in it                                             next
 *   RUNNING    a step is under way; cancel() of that step is set      CANCELLING, FINISHED
 *   CANCELLING cancel() was called; the step ends soon, and its own   FINISHED
 *              outcome no longer counts
 *   FINISHED   error or result are final; done() runs, once, later    -
 *
 * Reference counted: the starter has one, and each step that is under way has one of its own.
 * An operation made of several steps asks operation_is_running() before it begins the next
 * one: cancel() is called at most once, so a step begun while CANCELLING would not hear of it.
 */
#ifndef ISCSIFS_OPERATION_H
#define ISCSIFS_OPERATION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

enum operation_state { OPERATION_RUNNING, OPERATION_CANCELLING, OPERATION_FINISHED };

struct operation {
	unsigned refs;
	struct loop *loop;
	enum operation_state state;
	GError *error;	 /* FINISHED: why it failed, or NULL; CANCELLING: why it will */
	GString *result; /* " key=value" words for the reply */
	char *reply;	 /* the whole line, in place of "ok" and @result; NULL: those */
	char *where;	 /* what the error is about, "TARGET/PORTAL"; NULL: the object itself */
	int64_t timeout_ms;
	struct loop_timer timer;
	struct loop_call done_call;
	void (*done)(struct operation *op, void *arg);
	void *arg;
	/* Set by the step that is under way: give up soon, then call operation_finish(). NULL:
	 * nothing to undo, the operation ends at once. Called at most once. */
	void (*cancel)(struct operation *op);
	void *step; /* the step's own */
};

/* Is the transition in the table? For the setter, and for the test that walks it. */
bool operation_state_may(enum operation_state from, enum operation_state to);

/* @done may be NULL. One reference, the caller's. */
struct operation *operation_new(struct loop *l, void (*done)(struct operation *, void *),
				void *arg);
struct operation *operation_ref(struct operation *op);
void operation_unref(struct operation *op); /* NULL is fine */
/* Name what the step under way is (NULL, NULL: none). */
void operation_step(struct operation *op, void (*cancel)(struct operation *), void *step);
/* Ends with ETIMEDOUT when not finished in time; 0: no limit. */
void operation_set_timeout(struct operation *op, int64_t timeout_ms);
/* Add "key=value" to the reply; values with blanks or quotes are quoted. */
void operation_result(struct operation *op, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The reply is this line (copied, without a newline) when the operation ends well. */
void operation_reply(struct operation *op, const char *line);
/* What an error from now on is about: `where=` of the reply. The last call counts. */
void operation_where(struct operation *op, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The first call counts, others only free @err (taken; NULL: success). A cancelled operation
 * keeps its own error. done() runs later. */
void operation_finish(struct operation *op, GError *err);
/* The starter no longer wants it (EINTR), has no more time (ETIMEDOUT), or the daemon ends
 * (EBUSY). Harmless when finished. */
void operation_cancel(struct operation *op, int errno_value);
/* The starter goes away: done() will not be called; the operation goes on. */
void operation_detach(struct operation *op);
static inline bool operation_is_running(const struct operation *op)
{
	return op->state == OPERATION_RUNNING;
}

/* Append @value so that a control line reads it back as one word: printable characters (UTF-8)
 * as they are, the rest as \xNN; in double quotes when it needs them or @is_forced. */
void operation_quote(GString *out, const char *value, bool is_forced);

#endif
