/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty pages of a file system on one of our own LUNs must be able to leave through this
 * process when memory is short (architecture, rule 5): so it stays in memory, is the last to be
 * killed, and its own allocations do not wait for such pages to be written. */
#ifndef ISCSIFS_HARDEN_H
#define ISCSIFS_HARDEN_H

#include <stdbool.h>

/* All that this user may do of it; what may not be done is left, with a line at debug level. In
 * the loop thread, before others are made: they inherit it. */
void harden_process(bool lock_memory);

#endif
