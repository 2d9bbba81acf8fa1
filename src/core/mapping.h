/* SPDX-License-Identifier: BSD-2-Clause */
/* Mappings (C10): under which number N of lunN a unit of a target is shown. Text as in the
 * login key, "TARGET_LUN:NUMBER[,TARGET_LUN:NUMBER...]". A unit that is not named keeps the
 * target's number, unless that was given to another one: then it is not shown.
 *
 * The guide has bus, target and LUN numbers here. A target is a directory of its own in the
 * tree, so there is only the last of them to choose. */
#ifndef ISCSIFS_MAPPING_H
#define ISCSIFS_MAPPING_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define MAPPING_LUN_MAX 16383 /* flat space addressing, SAM-5 4.7.7 */

struct mapping; /* NULL: every number is the target's */

/* NULL and @err: it is none, or a number is in it twice. mapping_free(). */
struct mapping *mapping_parse(const char *text, GError **err);
struct mapping *mapping_copy(const struct mapping *m);
void mapping_free(struct mapping *m);
/* The number that the target's @lun is shown under. False: it is another one's. */
bool mapping_find(const struct mapping *m, uint32_t lun, uint32_t *ret_number);
/* Do they say the same? */
bool mapping_is_same(const struct mapping *a, const struct mapping *b);

#endif
