/* SPDX-License-Identifier: BSD-2-Clause */
/* Tasks themselves do little: session.c and conn_*.c move them through their states. */
#include "iscsi/task.h"

#include <string.h>

void task_init(struct task *t, enum task_kind kind, void (*done)(struct task *))
{
	memset(t, 0, sizeof(*t));
	list_init(&t->link);
	t->kind = kind;
	t->done = done;
	t->attr = ISCSI_ATTR_SIMPLE;
	t->itt = ISCSI_TAG_NONE;
	for (unsigned i = 0; i <= TASK_R2T_MAX; i++)
		list_init(&t->bursts[i].link);
}

void task_reset(struct task *t)
{
	t->state = TASK_IDLE;
	t->itt = ISCSI_TAG_NONE;
	t->session = NULL;
	t->conn = NULL;
	t->response = t->status = 0;
	t->sense_bytes = 0;
	t->has_overflow = t->has_underflow = t->is_short = false;
	t->residual = t->transferred = 0;
	t->data_in_sn = t->r2t_sn = 0;
	t->received = t->requested = 0;
	memset(&t->covered, 0, sizeof(t->covered));
	memset(&t->data_in, 0, sizeof(t->data_in));
	memset(&t->recovery, 0, sizeof(t->recovery));
	t->sent_us = t->quiet_us = t->looked_us = 0;
	t->is_reassigning = t->is_unproven = t->is_r2t_sn_open = false;
	t->attempt_us = t->not_before_us = 0;
	t->reassigns = 0;
	t->time2wait = t->time2retain = 0;
}

const char *task_result_name(enum task_result r)
{
	static const char *const names[] = {
		[TASK_RESULT_RESPONDED] = "responded",
		[TASK_RESULT_NEVER_SENT] = "never sent",
		[TASK_RESULT_MAYBE_EXECUTED] = "maybe executed",
		[TASK_RESULT_ABORTED] = "aborted",
	};

	return names[r];
}
