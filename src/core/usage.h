/* SPDX-License-Identifier: BSD-2-Clause */
/* How many blocks of a thin unit are mapped: what stat(2) tells as st_blocks, by which cp, du
 * and tar see that a file has holes. The target is asked in the background (GET LBA STATUS over
 * the whole unit), when a unit is found and when somebody wants to know and something was
 * written since. Until the answer is there, and for a unit that does not tell, or is in so many
 * pieces that it would take too long, all of it counts as mapped: less than there is would be
 * dangerous. So would be none at all, which tar takes for "nothing to read": somebody else may
 * have written. */
#ifndef ISCSIFS_USAGE_H
#define ISCSIFS_USAGE_H

#include <stdint.h>

struct lun;

/* What is known now, in bytes; asks for news, if there may be some. */
uint64_t usage_bytes(struct lun *l);
/* Ask, if there may be news. */
void usage_look(struct lun *l);

#endif
