/* SPDX-License-Identifier: BSD-2-Clause */
/* A race of TCP connects (after RFC 8305): several addresses are tried one after the other,
 * each a little after the one before, at once when that one has failed; all are kept going
 * until one stands. So a dead address costs a quarter of a second, not a time-out.
 *
 *   entrant     true in it                                          next
 *   WAITING     not begun: others of a lower order are to go first   RUNNING
 *   RUNNING     connect() is under way, its time runs                (gone)
 *
 * Invariants: an entrant is on the list of its race until it has ended; once won() or lost()
 * has been called nothing is under way, and nothing is called any more unless entrants are
 * added. */
#ifndef ISCSIFS_RACE_H
#define ISCSIFS_RACE_H

#include <stdint.h>

#include "base/loop.h"
#include "iscsi/conn.h"

#define RACE_STAGGER_MS 250
/* The first of a long list may have this head start each; the others follow faster, or a list
 * of dead addresses would take minutes. */
#define RACE_STAGGERED 6
#define RACE_STAGGER_LATER_MS 25
#define RACE_RUNNING_MAX 128 /* at once: descriptors are not ours alone */

struct race;

/* Called from the loop, never from inside a race_ call. @tag: of the entrant. */
struct race_ops {
	/* It could not be connected to (positive errno). May add entrants, must not free. */
	void (*failed)(void *arg, void *tag, int errno_value);
	/* @fd is connected, not watched, and the callee's; all the others have been given up
	 * without a word. May free the race. */
	void (*won)(void *arg, void *tag, int fd);
	/* All have failed. May free the race. */
	void (*lost)(void *arg);
};

/* @connect_ms: how long each connect may take; 0: as long as the kernel likes. */
struct race *race_new(struct loop *l, int64_t connect_ms, const struct race_ops *ops,
		      void *arg);
/* A further entrant, at any time (also while others run); those of the lowest order go first.
 * @a is copied. */
void race_add(struct race *r, int order, const struct conn_address *a, void *tag);
/* Closes what is under way. NULL is fine. */
void race_free(struct race *r);

#endif
