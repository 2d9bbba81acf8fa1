/* SPDX-License-Identifier: BSD-2-Clause */
/* The bookkeeping of a read, against a target that loses, doubles and repeats at random: whatever
 * comes, a byte is only counted when it was written by the PDU it belongs to. */
#include <stdlib.h>
#include <string.h>

#include "iscsi/data_in.h"
#include "iscsi/extents.h"
#include "iscsi/task.h"
#include "unit.h"

#define PARTS 40
#define PART_MAX 512

static uint32_t sizes[PARTS], offsets[PARTS], total;
static uint8_t disk[PARTS * PART_MAX], buffer[PARTS * PART_MAX];
static struct task task;

static unsigned below(unsigned limit)
{
	return (unsigned)rand() % limit; /* NOLINT: repeatable is what is wanted */
}

static void begin(void)
{
	total = 0;
	for (unsigned i = 0; i < PARTS; i++) {
		sizes[i] = below(8) ? 4 * (1 + below(PART_MAX / 4)) : 0;
		offsets[i] = total;
		total += sizes[i];
	}
	for (unsigned i = 0; i < total; i++)
		disk[i] = (uint8_t)(1 + below(255));
	memset(buffer, 0, sizeof(buffer));
	task_init(&task, TASK_SCSI, NULL);
	task_reset(&task);
	task.direction = TASK_READ;
	task.data = buffer;
	task.data_bytes = total;
}

/* PDU @sn comes. */
static void come(const struct data_in_rules *rules, uint32_t sn)
{
	struct data_in_place p = { sn, sizes[sn] ? offsets[sn] : below(10), sizes[sn] };
	enum data_in_verdict verdict = data_in_judge(&task, rules, &p);

	CU_ASSERT_NOT_EQUAL_FATAL(verdict, DATA_IN_WRONG);
	if (verdict == DATA_IN_DROP) {
		data_in_know(&task, sn + 1, false);
		return;
	}
	for (uint32_t i = 0; i < p.bytes; i++) /* never twice to the same place */
		CU_ASSERT_EQUAL_FATAL(buffer[p.offset + i], 0);
	if (p.bytes)
		memcpy(buffer + p.offset, disk + p.offset, p.bytes);
	data_in_take(&task, rules, &p);
	CU_ASSERT_EQUAL_FATAL(memcmp(buffer, disk, task.received), 0);
}

/* What is asked for comes, but for some of it. */
static void repeat(const struct data_in_rules *rules, uint32_t sn, uint32_t count)
{
	CU_ASSERT_TRUE_FATAL(sn < PARTS && count <= PARTS - sn);
	for (; count; count--, sn++)
		if (below(4))
			come(rules, sn);
}

static void play(const struct data_in_rules *rules)
{
	uint32_t from, count;

	begin();
	for (uint32_t sn = 0; sn < PARTS; sn++) {
		if (below(5))
			come(rules, sn);
		if (!below(6))
			come(rules, below(sn + 1));
		if (!below(3) && data_in_ask(&task, &from, &count))
			repeat(rules, from, count);
	}
	data_in_know(&task, PARTS, true); /* the status tells */
	for (unsigned round = 0; !data_in_is_complete(&task); round++) {
		CU_ASSERT_TRUE_FATAL(round < 1000);
		if (data_in_missing(&task, &from, &count))
			repeat(rules, from, count);
	}
	CU_ASSERT_EQUAL(task.received, total);
	CU_ASSERT_EQUAL(memcmp(buffer, disk, total), 0);
}

static void test_data_in_survives_what_is_lost_doubled_and_late(void)
{
	const struct data_in_rules rules = { true, true, PART_MAX };

	srand(7);
	for (unsigned i = 0; i < 500; i++)
		play(&rules);
}

static void test_data_in_any_order_goes_by_offsets(void)
{
	const struct data_in_rules rules = { false, false, PART_MAX };
	static const uint32_t order[] = { 2, 3, 0, 1 };

	begin();
	task.data_bytes = 4 * PART_MAX;
	for (uint32_t sn = 0; sn < 4; sn++) {
		struct data_in_place p = { sn, order[sn] * PART_MAX, PART_MAX };

		CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_TAKE);
		data_in_take(&task, &rules, &p);
		CU_ASSERT_EQUAL(task.received, sn < 2 ? 0 : sn < 3 ? PART_MAX : 4 * PART_MAX);
		p.sn++; /* over what is there */
		CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_WRONG);
		p.sn++;
		CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_WRONG);
	}
}

static void test_data_in_any_order_recovers_one_after_the_other(void)
{
	const struct data_in_rules rules = { true, false, PART_MAX };
	uint32_t from, count;

	begin();
	task.data_bytes = 4 * PART_MAX;
	for (uint32_t sn = 1; sn < 4; sn++) {
		struct data_in_place p = { sn, sn * PART_MAX, PART_MAX };

		CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_DROP);
		data_in_know(&task, sn + 1, false);
		CU_ASSERT_EQUAL(data_in_ask(&task, &from, &count), sn == 1);
	}
	CU_ASSERT_EQUAL(from, 0);
	CU_ASSERT_EQUAL(count, 2);
	for (uint32_t sn = 0; sn < 2; sn++) {
		struct data_in_place p = { sn, sn * PART_MAX, PART_MAX };

		CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_TAKE);
		data_in_take(&task, &rules, &p);
	}
	CU_ASSERT_TRUE(data_in_ask(&task, &from, &count));
	CU_ASSERT_EQUAL(from, 2);
	CU_ASSERT_EQUAL(count, 2);
}

static void test_data_in_level_0_takes_only_the_next(void)
{
	const struct data_in_rules rules = { false, true, PART_MAX };
	static const struct data_in_place wrong[] = {
		{ 1, 0, 4 },   { 1, 4, 4 },		{ 0, 4, 4 }, { 0, 0, 1004 },
		{ 0, 1000, 4 }, { 0, 0xfffffffeu, 4 }, { 0xffffffffu, 0, 4 },
	};
	struct data_in_place p = { 0, 0, 4 };

	begin();
	task.data_bytes = 1000;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &wrong[i]), DATA_IN_WRONG);
	CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_TAKE);
	data_in_take(&task, &rules, &p);
	CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_WRONG);
	p = (struct data_in_place){ 1, 77777, 0 }; /* empty ones may say any offset */
	CU_ASSERT_EQUAL(data_in_judge(&task, &rules, &p), DATA_IN_TAKE);
}

static void test_extents_become_one_when_they_touch(void)
{
	struct extents e = { 0 };

	CU_ASSERT_TRUE(extents_add(&e, 10, 20));
	CU_ASSERT_TRUE(extents_add(&e, 30, 40));
	CU_ASSERT_TRUE(extents_add(&e, 50, 60));
	CU_ASSERT_TRUE(extents_add(&e, 7, 7));
	CU_ASSERT_EQUAL(e.count, 3);
	CU_ASSERT_EQUAL(extents_bytes(&e), 30);
	CU_ASSERT_EQUAL(extents_prefix(&e), 0);
	CU_ASSERT_FALSE(extents_overlap(&e, 20, 30));
	CU_ASSERT_TRUE(extents_overlap(&e, 20, 31));
	CU_ASSERT_TRUE(extents_add(&e, 20, 35));
	CU_ASSERT_EQUAL(e.count, 2);
	CU_ASSERT_TRUE(extents_add(&e, 0, 100));
	CU_ASSERT_EQUAL(e.count, 1);
	CU_ASSERT_EQUAL(extents_prefix(&e), 100);
	CU_ASSERT_TRUE(extents_add(&e, 40, 50));
	CU_ASSERT_EQUAL(extents_bytes(&e), 100);
}

static void test_extents_refuse_one_too_many(void)
{
	struct extents e = { 0 }, before;

	for (unsigned i = 0; i < EXTENTS_MAX; i++)
		CU_ASSERT_TRUE(extents_add(&e, i * 10, i * 10 + 5));
	before = e;
	CU_ASSERT_FALSE(extents_add(&e, 1000, 1001));
	CU_ASSERT_EQUAL(memcmp(&e, &before, sizeof(e)), 0);
	CU_ASSERT_TRUE(extents_add(&e, 5, 10));
	CU_ASSERT_TRUE(extents_add(&e, 1000, 1001));
}

UNIT_MAIN("data_in", UNIT(test_data_in_survives_what_is_lost_doubled_and_late),
	  UNIT(test_data_in_any_order_goes_by_offsets),
	  UNIT(test_data_in_any_order_recovers_one_after_the_other),
	  UNIT(test_data_in_level_0_takes_only_the_next),
	  UNIT(test_extents_become_one_when_they_touch), UNIT(test_extents_refuse_one_too_many))
