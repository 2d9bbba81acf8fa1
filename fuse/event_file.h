/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of events. Two kinds of each, as lines and as JSON:
 *
 *   events       all that is kept, then end of file; grows: who reads on gets what came since
 *   events_pipe  from the opening on; a read waits for the next one, as with tracefs's trace_pipe.
 *                Each reader gets each event; one that is too slow is told how many it has missed
 *
 * poll(2) says when there is more behind a reader. The kernel asks (FUSE_POLL, answered at once)
 * and wants to be told of a change once (FUSE_NOTIFY_POLL): then it asks again. To tell it takes no
 * lock but a spin lock and wakes who waits, so it can be done in the loop's thread, unlike other
 * notifications: nothing that waits for us is held meanwhile.
 *
 *   a read of events_pipe is  true in it                                     next
 *   answered                  there was something, or O_NONBLOCK: EAGAIN     -
 *   waiting                   a struct waiter in event_files.waiting         answered, EINTR,
 *                                                                            end of file
 *
 * A signal that the reader catches, or that kills it, ends the wait (EINTR). A waiting read holds
 * nothing up: it does not count for fs_is_idle(), and ends with an end of file when the tree goes. */
#ifndef ISCSIFS_EVENT_FILE_H
#define ISCSIFS_EVENT_FILE_H

#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/list.h"
#include "base/loop.h"

struct attr;
struct daemon;
struct fs;
struct handle;

/* Of a struct fs. */
struct event_files {
	struct daemon *daemon; /* borrowed; NULL: done, or not begun */
	struct loop_call wake; /* there was an event */
	struct list waiting;   /* of struct waiter: reads that wait */
	struct list polled;    /* of struct event_reader: who wants to be told */
};

/* Of a struct handle. */
struct event_reader {
	struct list link; /* event_files.polled, when @poll is set */
	struct fuse_pollhandle *poll;
	uint64_t seen; /* seq of the last one in the text */
	/* events */
	bool is_placed;	      /* something has been read */
	uint64_t text_start;  /* where in the file the handle's text is */
	uint64_t read_end;    /* where in the file the last read ended */
	/* events_pipe */
	GString *rest; /* printed, but not read yet: from @rest_from on; NULL: nothing */
	size_t rest_from;
};

void event_files_init(struct event_files *f, struct daemon *d);
/* The tree goes: waiting reads get what there is, else the end of the file. Idempotent. */
void event_files_end(struct event_files *f);

/* Is it one of these? */
bool event_file_is(const struct attr *row);
/* The handle has just been opened: its text is made here. */
void event_file_open(struct handle *h);
/* No read waits any more: the kernel sees to that, or event_files_end() has. */
void event_file_close(struct handle *h);
/* Answers @req, now or later. @offset counts for `events` only, @flags are open(2)'s. */
void event_file_read(struct handle *h, fuse_req_t req, size_t size, uint64_t offset, int flags);
/* Takes @poll (NULL: not to be told). What of POLLIN and POLLRDNORM is true. */
unsigned event_file_poll(struct handle *h, struct fuse_pollhandle *poll);
/* Size and time, by which `tail -f` knows that there is more. */
void event_file_stat(const struct daemon *d, const struct attr *row, struct stat *st);

#endif
