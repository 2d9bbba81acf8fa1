/* SPDX-License-Identifier: BSD-2-Clause */
/* Child processes for what this process must not do itself, not even in a thread: open a file
 * of its own mount. A thread that waits for its own file system keeps the process from ending;
 * a child can be killed, and given up when even that does not help.
 *
 *   state     true in it                                              next
 *   RUNNING   the child works; its output is collected                ENDED, KILLED
 *   KILLED    its time was up (or nobody wants it any more): SIGKILL  ENDED, ORPHAN
 *   ORPHAN    it did not even die: it waits for the kernel, which     ENDED
 *             waits for a target; done() has been called
 *   ENDED     it has been waited for; done() has been called          -
 *
 * A child gets its request as standard input and answers on standard output, in lines. The last
 * one is "ok", or "error ERRNO TEXT"; those before it are its own affair. It is in a session of
 * its own (so that Ctrl-C at a terminal is not for it) and has no other descriptor of ours. */
#ifndef ISCSIFS_HELPER_H
#define ISCSIFS_HELPER_H

#include <glib.h>
#include <stdint.h>

#include "base/list.h"

struct loop;
struct helper;

/* All children of one owner. */
struct helpers {
	struct loop *loop;
	struct list all;
};

struct helper_answer {
	int error;	  /* 0: "ok"; else a positive errno: ETIMEDOUT, ECHILD (it died) ... */
	const char *text; /* why; never NULL */
	char **lines;	  /* all of them, NULL-terminated; borrowed */
};

void helpers_init(struct helpers *h, struct loop *l);
/* Kills all children and forgets them; no done() runs. Idempotent. */
void helpers_done(struct helpers *h);

/* Start @argv (NULL-terminated; [0] is the program's path) with @request (copied) as its input.
 * @done runs once, later. What cannot be started is an answer, too. */
struct helper *helper_start(struct helpers *all, const char *const argv[],
			    const GString *request, int64_t limit_ms,
			    void (*done)(void *arg, const struct helper_answer *a), void *arg);
/* The child is killed; done() runs when it has ended, or is given up. */
void helper_kill(struct helper *h);
/* done() will not run; the child is killed. NULL is fine. */
void helper_cancel(struct helper *h);

/* What the lines of a child say; for the test. */
void helper_parse(char **lines, struct helper_answer *ret);

#endif
