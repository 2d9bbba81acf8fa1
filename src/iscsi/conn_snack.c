/* SPDX-License-Identifier: BSD-2-Clause */
/* ErrorRecoveryLevel 1. */
#include "iscsi/conn.h"

void conn_look_after(struct conn *c, struct task *t)
{
	(void)c;
	(void)t;
}
