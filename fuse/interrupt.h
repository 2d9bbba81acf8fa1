/* SPDX-License-Identifier: BSD-2-Clause */
/* What a FUSE_INTERRUPT means. The kernel sends one when a program that waits in a request has
 * any signal to look at, and no second one: also when a child of a shell has ended (SIGCHLD),
 * when a window got another size, when a Go program switches tasks (SIGURG). None of these may
 * cancel a login, or fail a write to a disk. So /proc tells which signals are pending, now and,
 * until the request ends, every INTERRUPT_LOOK_MS again.
 *
 *   an interrupt is   true in it                          next
 *   idle              linked nowhere                      waiting, or meant() was called
 *   waiting           on watch->waiting, the timer runs   idle: meant() was called, or it was
 *                                                         forgotten
 */
#ifndef ISCSIFS_INTERRUPT_H
#define ISCSIFS_INTERRUPT_H

#include <sys/types.h>

#include "base/list.h"
#include "base/loop.h"

#define INTERRUPT_LOOK_MS 100

enum interrupt_kind {
	INTERRUPT_NONE,	  /* no signal that matters */
	INTERRUPT_CAUGHT, /* another one that the program catches: its handler waits for us */
	INTERRUPT_ASKED,  /* INT, TERM, HUP, QUIT or ALRM, which the program catches */
	INTERRUPT_KILLED, /* one that ends the program, whatever it would like */
};

struct interrupt_watch {
	struct loop_timer timer;
	struct list waiting;
};

/* Part of what the request belongs to. */
struct interrupt {
	struct list link;
	pid_t thread;		   /* of the request; 0: one that we cannot see, as killed */
	enum interrupt_kind needs; /* what is meant: this, or more */
	/* May forget it, or free what it is part of. At most once for each interrupt_came(). */
	void (*meant)(struct interrupt *i);
};

void interrupt_watch_init(struct interrupt_watch *w, struct loop *l);
/* Nothing may be waiting. Harmless on a zeroed one. */
void interrupt_watch_done(struct interrupt_watch *w);

void interrupt_init(struct interrupt *i, pid_t thread, enum interrupt_kind needs,
		    void (*meant)(struct interrupt *i));
/* The kernel says that the request is interrupted. Calls meant() now, later or never. */
void interrupt_came(struct interrupt_watch *w, struct interrupt *i);
/* The request has ended. Idempotent. */
void interrupt_forget(struct interrupt *i);

/* By the text of /proc/THREAD/status; NULL (no such thread, or not for our eyes): killed. */
enum interrupt_kind interrupt_judge(const char *status);

#endif
