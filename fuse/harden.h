/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty pages of a file system on one of our own LUNs must be able to leave through this
 * process when memory is short (architecture, rule 5): so it stays in memory, is the last to be
 * killed, and its own allocations do not wait for such pages to be written.
 *
 * It is scheduled in batches (SCHED_BATCH): when a request wakes it, it does not push aside who is
 * submitting more of them, or the target that is answering more, but finds all of them when its
 * turn comes. With a deep queue that is fewer switches and more requests a turn; with one request
 * at a time, when the processor has nothing else to do, it changes nothing. */
#ifndef ISCSIFS_HARDEN_H
#define ISCSIFS_HARDEN_H

#include <stdbool.h>

/* All that this user may do of it; what may not be done is left, with a line at debug level. In
 * the loop thread, before others are made: they inherit it. */
void harden_process(bool lock_memory);

#endif
