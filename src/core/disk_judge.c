/* SPDX-License-Identifier: BSD-2-Clause */
/* The verdict on a command that came back; called by disk.c for each. */
#include "core/disk_judge.h"

#include <errno.h>
#include <stdio.h>

static struct disk_verdict judge_unanswered(const struct task *t, char *why, size_t size)
{
	if (t->result == TASK_RESULT_RESPONDED) /* 11.4.3: target failure */
		snprintf(why, size, "the target failed: iSCSI response 0x%02x", t->response);
	else
		snprintf(why, size, "%s (command %s)",
			 t->result == TASK_RESULT_ABORTED ? "the command was aborted"
							  : "the connection was lost",
			 task_result_name(t->result));
	return (struct disk_verdict){ .class = SENSE_PATH, .errno_value = EIO };
}

static bool is_incomplete(const struct task *t)
{
	return t->direction != TASK_NO_DATA && (t->is_short || t->transferred != t->data_bytes);
}

/* INVALID COMMAND OPERATION CODE, INVALID FIELD IN CDB, ... IN PARAMETER LIST, ILLEGAL FUNCTION; or
 * a copy that was not begun, or not ended. */
static bool is_refusal(const struct sense *s)
{
	if (s->key == SENSE_KEY_COPY_ABORTED)
		return true;
	return s->key == SENSE_KEY_ILLEGAL_REQUEST &&
	       (s->asc == 0x20 || s->asc == 0x22 || s->asc == 0x24 || s->asc == 0x26);
}

struct disk_verdict disk_judge(const struct task *t, bool is_exact, char *why, size_t size)
{
	struct sense sense = { 0 };
	const struct sense *told = NULL;
	struct disk_verdict v = { .class = SENSE_OK };
	struct sense_verdict judged;

	if (t->result != TASK_RESULT_RESPONDED || t->response != ISCSI_RESPONSE_COMPLETED)
		return judge_unanswered(t, why, size);
	if (t->status == SCSI_CHECK_CONDITION) {
		sense_decode(t->sense, t->sense_bytes, &sense);
		told = sense.is_valid ? &sense : NULL;
	}
	judged = sense_judge(t->status, told);
	v.class = judged.class;
	v.errno_value = judged.errno_value;
	v.is_deferred = sense.is_deferred;
	v.is_refused = told && !sense.is_deferred && is_refusal(told);
	v.is_conflict = t->status == SCSI_RESERVATION_CONFLICT;
	if (v.class != SENSE_OK) {
		v.has_access = alua_sense(&sense, &v.access);
		sense_format(t->status, told, why, size);
	} else if (is_exact && is_incomplete(t)) {
		snprintf(why, size, "the target moved %u of %u bytes and called it good",
			 t->transferred, t->data_bytes);
		return (struct disk_verdict){ .class = SENSE_FAIL, .errno_value = EIO };
	}
	return v;
}
