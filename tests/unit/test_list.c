/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/list.h. */
#include "base/list.h"

#include "unit.h"

struct item {
	int number;
	struct list link;
};

static struct item items[4] = {
	{ .number = 0 }, { .number = 1 }, { .number = 2 }, { .number = 3 }
};

static void fill(struct list *head, int from, int to)
{
	list_init(head);
	for (int i = from; i <= to; i++)
		list_push_tail(head, &items[i].link);
}

/* The numbers on @head as decimal digits: 1, 2, 3 is 123. */
static int numbers(const struct list *head)
{
	int all = 0;

	list_for_each (node, head)
		all = all * 10 + list_entry(node, struct item, link)->number;
	return all;
}

static void test_list_is_empty_when_new(void)
{
	struct list head;

	list_init(&head);
	CU_ASSERT(list_is_empty(&head));
	CU_ASSERT_PTR_NULL(list_first(&head));
	CU_ASSERT_PTR_NULL(list_pop(&head));
}

static void test_list_pops_in_order(void)
{
	struct list head;

	fill(&head, 1, 3);
	CU_ASSERT_PTR_EQUAL(list_pop(&head), &items[1].link);
	CU_ASSERT_PTR_EQUAL(list_pop(&head), &items[2].link);
	CU_ASSERT_PTR_EQUAL(list_pop(&head), &items[3].link);
	CU_ASSERT_PTR_NULL(list_pop(&head));
}

static void test_list_push_head_comes_first(void)
{
	struct list head;

	fill(&head, 1, 2);
	list_push_head(&head, &items[3].link);
	CU_ASSERT_EQUAL(numbers(&head), 312);
	CU_ASSERT_PTR_EQUAL(list_first(&head), &items[3].link);
	CU_ASSERT_EQUAL(numbers(&head), 312);
}

static void test_list_remove_unlinks_and_may_be_repeated(void)
{
	struct list head;

	fill(&head, 1, 3);
	CU_ASSERT(list_is_linked(&items[2].link));
	list_remove(&items[2].link);
	CU_ASSERT_FALSE(list_is_linked(&items[2].link));
	list_remove(&items[2].link);
	CU_ASSERT_EQUAL(numbers(&head), 13);
}

static void test_list_for_each_safe_may_remove_each(void)
{
	struct list head;

	fill(&head, 0, 3);
	list_for_each_safe (node, &head)
		list_remove(node);
	CU_ASSERT(list_is_empty(&head));
}

static void test_list_splice_appends_and_empties_the_source(void)
{
	struct list a, b;

	fill(&a, 0, 1);
	fill(&b, 2, 3);
	list_splice_tail(&a, &b);
	CU_ASSERT_EQUAL(numbers(&a), 123);
	CU_ASSERT(list_is_empty(&b));
	list_splice_tail(&a, &b);
	CU_ASSERT_EQUAL(numbers(&a), 123);
	list_splice_tail(&b, &a);
	CU_ASSERT(list_is_empty(&a));
	CU_ASSERT_PTR_EQUAL(list_pop(&b), &items[0].link);
	CU_ASSERT_EQUAL(numbers(&b), 123);
}

UNIT_MAIN("list", UNIT(test_list_is_empty_when_new), UNIT(test_list_pops_in_order),
	  UNIT(test_list_push_head_comes_first),
	  UNIT(test_list_remove_unlinks_and_may_be_repeated),
	  UNIT(test_list_for_each_safe_may_remove_each),
	  UNIT(test_list_splice_appends_and_empties_the_source))
