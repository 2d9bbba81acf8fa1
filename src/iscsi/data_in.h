/* SPDX-License-Identifier: BSD-2-Clause */
/* Which Data-In PDUs of a read have come, and so which of its bytes. Knows no connection: conn_rx.c
 * asks for each PDU, conn_snack.c sends what is to be asked for.
 *
 * A read whose data come in order (DataPDUInOrder and DataSequenceInOrder are Yes) is
 *
 *   DataSN    0 ......... data_in_sn ......... gap_sn ......... tail_sn
 *             | have them  |  missing           | have them      |  next
 *   bytes     0 ......... received ........... gap_offset ..... tail_offset
 *
 * with at most one gap (has_gap; without one the tail is empty and data_in_sn is next). What would
 * open a second is dropped, remembered in @seen_sn, and asked for when the first is closed. A PDU
 * is taken only where its DataSN and its Buffer Offset say the same: the PDUs [data_in_sn, gap_sn)
 * have to fill [received, gap_offset) exactly. So @received bytes are right, and a read is complete
 * when there is no gap and all of @seen_sn have come.
 *
 * Where data may come in any order the DataSN alone cannot tell where a missing PDU belongs: what
 * comes after a gap is dropped, and the places are kept in the task's @covered. */
#ifndef ISCSIFS_DATA_IN_H
#define ISCSIFS_DATA_IN_H

#include <stdbool.h>
#include <stdint.h>

struct task;

/* DataSNs that a PDU may be ahead: a transfer of 16 MiB in segments of 512 has half of them. */
#define DATA_IN_WINDOW 65536

struct data_in {
	bool has_gap;
	uint32_t gap_sn, gap_offset, tail_sn, tail_offset;
	uint32_t end_sn;   /* one after the last DataSN; 0: not told yet */
	uint32_t seen_sn;  /* DataSNs below were sent, by the word of the target */
	uint32_t asked_sn; /* DataSNs below have come or were asked for */
	uint32_t acked_sn, acked_bytes; /* of the last DataACK */
	bool is_resegmented; /* all was asked for anew: nothing out of order counts */
};

struct data_in_rules {
	bool may_recover; /* ErrorRecoveryLevel 1 or more */
	bool is_ordered;  /* DataPDUInOrder and DataSequenceInOrder */
	uint32_t max_bytes; /* our MaxRecvDataSegmentLength */
};

struct data_in_place {
	uint32_t sn, offset, bytes;
};

enum data_in_verdict {
	DATA_IN_TAKE,  /* its place is in the buffer, and not filled yet */
	DATA_IN_DROP,  /* we have it, or cannot tell yet where it belongs */
	DATA_IN_WRONG, /* DataSN, offset and length contradict each other or what came before */
};

/* What is to become of this PDU of @t? Changes nothing. */
enum data_in_verdict data_in_judge(const struct task *t, const struct data_in_rules *rules,
				   const struct data_in_place *p);
/* It was TAKE, and its data are in place and right. True: it filled a hole. */
bool data_in_take(struct task *t, const struct data_in_rules *rules,
		  const struct data_in_place *p);
/* DataSNs below @sn exist; all of them, when @is_end. */
void data_in_know(struct task *t, uint32_t sn, bool is_end);
/* Everything that is known to exist has come. */
bool data_in_is_complete(const struct task *t);
/* What to ask for now that was not asked for yet: *ret_count PDUs from *ret_begin. False: none. */
bool data_in_ask(struct task *t, uint32_t *ret_begin, uint32_t *ret_count);
/* What is missing, asked for or not. */
bool data_in_missing(const struct task *t, uint32_t *ret_begin, uint32_t *ret_count);
/* Does the arrival of @sn (not taken yet) show that what was asked for got lost once more? */
bool data_in_is_lost_again(const struct task *t, uint32_t sn);
/* Back to what is in order: the rest comes anew. */
void data_in_drop_tail(struct task *t);
/* Back to what is acknowledged: the rest comes anew on another connection. */
void data_in_rewind(struct task *t);
/* Back to what is acknowledged: the rest comes anew and in other segments (11.16.3). */
void data_in_restart(struct task *t);

#endif
