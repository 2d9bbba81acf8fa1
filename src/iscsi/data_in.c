/* SPDX-License-Identifier: BSD-2-Clause */
/* Data-In PDUs of one read: see data_in.h. */
#include "iscsi/data_in.h"

#include "iscsi/task.h"

static uint32_t later(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* The PDUs of [sn, sn_end) have to bring [offset, offset_end). Could they? */
static bool can_fill(uint32_t sn, uint32_t sn_end, uint32_t offset, uint32_t offset_end,
		     uint32_t max_bytes)
{
	if (offset > offset_end)
		return false;
	return offset_end - offset <= (uint64_t)(sn_end - sn) * max_bytes;
}

/* Data in order, @p is not one that we have, and not an empty one. */
static enum data_in_verdict judge_place(const struct task *t, const struct data_in_rules *rules,
					const struct data_in_place *p)
{
	const struct data_in *d = &t->data_in;
	bool fits;

	if (p->sn == t->data_in_sn)
		fits = p->offset == t->received &&
		       (!d->has_gap || can_fill(p->sn + 1, d->gap_sn, p->offset + p->bytes,
						d->gap_offset, rules->max_bytes));
	else if (d->has_gap)
		fits = p->offset == d->tail_offset;
	else
		fits = can_fill(t->data_in_sn, p->sn, t->received, p->offset, rules->max_bytes);
	return fits ? DATA_IN_TAKE : DATA_IN_WRONG;
}

/* An empty PDU may say any offset. It fills its number, but cannot show where a gap ends. */
static enum data_in_verdict judge_empty(const struct task *t, const struct data_in_rules *rules,
					const struct data_in_place *p)
{
	const struct data_in *d = &t->data_in;

	if (p->sn == t->data_in_sn)
		return !d->has_gap || can_fill(p->sn + 1, d->gap_sn, t->received, d->gap_offset,
					       rules->max_bytes)
			       ? DATA_IN_TAKE
			       : DATA_IN_WRONG;
	return d->has_gap ? DATA_IN_TAKE : DATA_IN_DROP;
}

static enum data_in_verdict judge_unordered(const struct task *t, const struct data_in_place *p)
{
	struct extents after = t->covered;

	if (extents_overlap(&after, p->offset, p->offset + p->bytes) ||
	    !extents_add(&after, p->offset, p->offset + p->bytes))
		return DATA_IN_WRONG;
	return DATA_IN_TAKE;
}

enum data_in_verdict data_in_judge(const struct task *t, const struct data_in_rules *rules,
				   const struct data_in_place *p)
{
	const struct data_in *d = &t->data_in;
	bool is_next = p->sn == t->data_in_sn || (d->has_gap && p->sn == d->tail_sn);

	if (!is_next && !rules->may_recover)
		return DATA_IN_WRONG;
	if (p->sn < t->data_in_sn || (d->has_gap && p->sn >= d->gap_sn && p->sn < d->tail_sn))
		return DATA_IN_DROP; /* 7.9: duplicates are discarded */
	if (p->sn - t->data_in_sn >= DATA_IN_WINDOW)
		return DATA_IN_WRONG;
	if (p->bytes && (p->offset > t->data_bytes || p->bytes > t->data_bytes - p->offset))
		return DATA_IN_WRONG;
	if (d->is_resegmented) /* what is still on its way from before may say anything */
		return p->sn == t->data_in_sn && (!p->bytes || p->offset == t->received)
			       ? DATA_IN_TAKE
			       : DATA_IN_DROP;
	if (!is_next && (d->has_gap || !rules->is_ordered))
		return DATA_IN_DROP; /* a second gap */
	if (!p->bytes)
		return judge_empty(t, rules, p);
	return rules->is_ordered ? judge_place(t, rules, p) : judge_unordered(t, p);
}

static void close_gap(struct task *t)
{
	struct data_in *d = &t->data_in;

	if (!d->has_gap || t->data_in_sn != d->gap_sn)
		return;
	t->data_in_sn = d->tail_sn;
	t->received = d->tail_offset;
	d->has_gap = false;
}

bool data_in_take(struct task *t, const struct data_in_rules *rules,
		  const struct data_in_place *p)
{
	struct data_in *d = &t->data_in;
	bool fills = p->sn < d->seen_sn;

	if (p->sn == t->data_in_sn) {
		t->data_in_sn++;
		if (rules->is_ordered) {
			t->received += p->bytes;
		} else {
			extents_add(&t->covered, p->offset, p->offset + p->bytes);
			t->received = extents_prefix(&t->covered);
		}
		close_gap(t);
	} else if (d->has_gap) {
		d->tail_sn++;
		d->tail_offset += p->bytes;
	} else {
		d->has_gap = true;
		d->gap_sn = p->sn;
		d->gap_offset = p->offset;
		d->tail_sn = p->sn + 1;
		d->tail_offset = p->offset + p->bytes;
	}
	data_in_know(t, p->sn + 1, false);
	return fills;
}

void data_in_know(struct task *t, uint32_t sn, bool is_end)
{
	t->data_in.seen_sn = later(t->data_in.seen_sn, sn);
	if (is_end)
		t->data_in.end_sn = sn;
}

bool data_in_is_complete(const struct task *t)
{
	return !t->data_in.has_gap && t->data_in_sn >= t->data_in.seen_sn;
}

bool data_in_missing(const struct task *t, uint32_t *ret_begin, uint32_t *ret_count)
{
	const struct data_in *d = &t->data_in;
	uint32_t end = d->has_gap ? d->gap_sn : d->seen_sn;

	if (end <= t->data_in_sn)
		return false;
	*ret_begin = t->data_in_sn;
	*ret_count = end - t->data_in_sn;
	return true;
}

bool data_in_ask(struct task *t, uint32_t *ret_begin, uint32_t *ret_count)
{
	struct data_in *d = &t->data_in;
	uint32_t end = d->has_gap ? d->gap_sn : d->seen_sn;
	uint32_t begin = later(t->data_in_sn, d->asked_sn);

	/* Without a gap to put things behind, one run after the other. */
	if (begin >= end || (!d->has_gap && t->data_in_sn < d->asked_sn))
		return false;
	d->asked_sn = end;
	*ret_begin = begin;
	*ret_count = end - begin;
	return true;
}

/* TCP keeps the order, and the target sends a run in its order: what comes first of a run that was
 * asked for and is not its beginning tells that the beginning is lost; inside a gap, where nothing
 * is taken out of order, the last of the run tells. */
bool data_in_is_lost_again(const struct task *t, uint32_t sn)
{
	const struct data_in *d = &t->data_in;

	if (sn <= t->data_in_sn)
		return false;
	if (d->has_gap)
		return sn + 1 == d->gap_sn;
	return t->covered.count || d->is_resegmented ? sn + 1 == d->asked_sn : sn < d->asked_sn;
}

void data_in_drop_tail(struct task *t)
{
	t->data_in.has_gap = t->data_in.is_resegmented = false;
	t->data_in.end_sn = 0;
	t->data_in.seen_sn = t->data_in.asked_sn = t->data_in_sn;
}

void data_in_rewind(struct task *t)
{
	t->data_in_sn = t->data_in.acked_sn;
	t->received = t->data_in.acked_bytes;
	data_in_drop_tail(t);
}

void data_in_restart(struct task *t)
{
	data_in_rewind(t);
	t->data_in.is_resegmented = true;
}
