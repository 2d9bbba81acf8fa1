/* SPDX-License-Identifier: BSD-2-Clause */
/* A query: one SCSI command that the control path wants the answer of (the scan, the verbs of a
 * unit, reservations). Allocates; not for the data path.
 *
 * What only reads may be sent again, a bounded number of times: at once after a unit attention
 * or without an answer, after a pause when the unit is busy. What changes something
 * (query_write()) says "now" or "next", and twice is not once: it is sent again only when it
 * surely was not carried out (unit attention, BUSY, not ready, never sent). All else is told to
 * its owner as what it was: @fate. */
#ifndef ISCSIFS_QUERY_H
#define ISCSIFS_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "iscsi/session.h"
#include "scsi/sense.h"

/* Borrowed for the time of the callback. */
struct query_answer {
	int result;	       /* 0, or -errno */
	enum task_result fate; /* when not @has_response: what became of the command */
	const char *text;      /* why not 0: "illegal request, ... (05/25/00)" */
	const uint8_t *data;   /* result 0: what came */
	uint32_t bytes;
	bool has_response; /* the target answered: @status, @sense are its word */
	uint8_t status;
	struct sense sense;
	/* Unit attentions met on the way: bit 1u << enum sense_class. */
	unsigned seen;
};

struct query;

/* Send @cdb to @lun by @s and gather at most @data_bytes of answer (0: none is asked for).
 * @done runs later, exactly once, unless cancelled: result -ENOTCONN when the session cannot
 * carry it, -EREMOTEIO and the like as the table of sense.c judges. */
struct query *query_start(struct session *s, const uint8_t lun[8], const uint8_t *cdb,
			  unsigned cdb_bytes, uint32_t data_bytes,
			  void (*done)(void *arg, const struct query_answer *a), void *arg);
/* The same with @data_bytes of parameters (copied), for a command that changes something.
 * -ETIMEDOUT when it was sent and not answered. */
struct query *query_write(struct session *s, const uint8_t lun[8], const uint8_t *cdb,
			  unsigned cdb_bytes, const uint8_t *data, uint32_t data_bytes,
			  void (*done)(void *arg, const struct query_answer *a), void *arg);
/* A unit attention that it meets is told to the session's owner (session_ops.unit_news), unless it is
 * the scan's own, which looks at the unit anyway (but not at reservations, nor at what was in its
 * write cache); a deferred error always is. */
void query_by_scan(struct query *q);
/* One that is to find out whether there is an answer at all: without one it ends at once. */
void query_once(struct query *q);
/* Nobody waits for it, as for those two: that no answer comes is no event of a verb (47). */
void query_by_itself(struct query *q);
/* The target answered a command for @lun so: if that is a unit attention, or a deferred error, the
 * session's owner is told as by a query that meets one. */
void query_tell(struct session *s, const uint8_t lun[8], uint8_t status,
		const struct sense *sense);
/* done() will not run. NULL is fine. */
void query_cancel(struct query *q);

/* Is the answer "there is no such unit"? (05/25/00, or a type that says so is the caller's.) */
bool query_is_no_unit(const struct query_answer *a);
/* Is it "I do not know this command, or not so" (05/20/00, 05/24/00)? */
bool query_is_refused(const struct query_answer *a);

#endif
