/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking after paths that are not as they should be, by commands to the unit:
 *
 *   what is wrong            what is done about it                       how often
 *   FAILED                   TEST UNIT READY; any word of the unit but   PATH_TRY_MS
 *                            "not by this path" brings it back
 *   UNVERIFIED, its          the unit is looked at again (lun.h)         PATH_TRY_MS
 *   session is there
 *   ALUA, not                REPORT TARGET PORT GROUPS, which tells      ALUA_REPORT_MS;
 *   active/optimized         the state of all paths                      when requests wait
 *                                                                        ALUA_HURRY_MS
 *   requests wait, only      SET TARGET PORT GROUPS, once until a path   after a report,
 *   standby is left, the     is usable again; only on demand, since      ALUA_GRACE_MS after
 *   target does explicit     hosts that share the unit must not take it  the last path went
 *   ALUA                     from each other for nothing
 *
 * A target that changes states only by itself (implicit ALUA) is waited for. Nothing of this
 * runs while all paths are optimized, or away with their sessions. */
#ifndef ISCSIFS_DISK_WATCH_H
#define ISCSIFS_DISK_WATCH_H

#include "core/disk.h"

#define ALUA_REPORT_MS 5000
#define ALUA_HURRY_MS 250
#define ALUA_GRACE_MS 1000 /* for a target to make another path active by itself */
#define ALUA_SOON_MS 50 /* not sooner after the last one, however many commands were denied */

/* disk_ops.look: do what is due, and have the disk look again if need be. */
void disk_watch_look(struct disk *d);
/* The unit said that states have changed, or denied a command: ask, soon. */
void disk_watch_changed(struct disk *d);
/* The data of REPORT TARGET PORT GROUPS, as it came by some path: states of all. */
void disk_watch_report(struct disk *d, const uint8_t *data, uint32_t bytes);

#endif
