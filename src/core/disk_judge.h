/* SPDX-License-Identifier: BSD-2-Clause */
/* What came back for a command of a disk: the table of disk.h, first column. */
#ifndef ISCSIFS_DISK_JUDGE_H
#define ISCSIFS_DISK_JUDGE_H

#include "iscsi/task.h"
#include "scsi/alua.h"
#include "scsi/sense.h"

struct disk_verdict {
	enum sense_class class; /* SENSE_PATH: whatever it was, another path may do better */
	int errno_value;	/* positive; for those but SENSE_OK when retries run out */
	/* The sense data is about an earlier write, which was acknowledged and is lost; this
	 * command did not run. */
	bool is_deferred;
	bool is_conflict; /* with a reservation */
	bool is_refused;  /* the command, or one of its fields, is not known to the unit */
	bool has_access;  /* the unit told the state of the path: */
	enum alua_access access;
};

/* @t has come back. @is_exact: all bytes of a read must have come. Unless all is well, @why (of
 * @size bytes) becomes the text for people. */
struct disk_verdict disk_judge(const struct task *t, bool is_exact, char *why, size_t size);

#endif
