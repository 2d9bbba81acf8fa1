/* SPDX-License-Identifier: BSD-2-Clause */
/* Pass-through: one SCSI command as a person or a program wrote it, sent once to a unit, and
 * what the target answered (F6). The file `scsi` of a unit is a control file whose lines are
 *
 *	CDB [in=BYTES] [out=HEX] [timeout=SECONDS]
 *
 * and whose replies are
 *
 *	status=0x02 status_name="check condition" sense=0x70... key=0x05 \
 *	key_name="illegal request" asc=0x20 ascq=0x00 text="..." residual=N bytes=N data=0x...
 *
 * in one line. Any SCSI status is an answer, and the line has succeeded. It fails when it is
 * not understood (EINVAL), or when the command could not be sent or got no status.
 *
 * One line is one task: nothing is sent again, not after a unit attention either. (What the
 * session does to keep a task alive when a connection is lost, it does: that is one task
 * still.) A unit attention, or a deferred error, is also told to the unit's owner as if a query
 * had met it. Who no longer waits, or for whom the time is up, leaves the command to the
 * session, which aborts it when its time is up. */
#ifndef ISCSIFS_PASSTHROUGH_H
#define ISCSIFS_PASSTHROUGH_H

#include <glib.h>
#include <stdint.h>

#include "core/command.h"
#include "iscsi/task.h"

#define PASSTHROUGH_DATA_MAX (512 * 1024) /* in a line with a blank behind each byte, too */

/* The table of `scsi`, for struct lun objects. */
extern const struct verb passthrough_verbs[];

/* --- for tests --- */

struct passthrough {
	uint8_t cdb[TASK_CDB_MAX];
	uint8_t cdb_bytes;
	enum task_direction direction;
	uint8_t *data;	     /* TASK_WRITE: @data_bytes of it; else NULL */
	uint32_t data_bytes; /* to be sent, or the most that is to come */
	int64_t timeout_ms;  /* 0: none was given */
};

/* The CDB has the length that its opcode says (SPC-4 4.3, SAM-5 5.2), the data are within
 * PASSTHROUGH_DATA_MAX. FALSE and @err (EINVAL), and *ret is untouched. g_free() @data. */
gboolean passthrough_parse(const char *line, struct passthrough *ret, GError **err);
/* The reply line to a task that the target answered. */
void passthrough_print(const struct task *t, GString *out);

#endif
