/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of open files: how much is held, and for how long a long one is shared. */
#include "fuse/texts.h"

#include <string.h>

#include "unit.h"

struct fixture {
	struct loop *loop;
	struct texts texts;
};

static void start(struct fixture *f)
{
	f->loop = loop_new();
	texts_init(&f->texts, f->loop);
}

static void stop(struct fixture *f)
{
	texts_done(&f->texts);
	loop_free(f->loop);
}

static GBytes *text_of(struct fixture *f, size_t bytes)
{
	GString *s = g_string_sized_new(bytes);

	g_string_set_size(s, bytes);
	memset(s->str, 'x', bytes);
	return texts_new(&f->texts, s);
}

static void test_texts_counts_what_is_held(void)
{
	struct fixture f;
	GBytes *a, *b;

	start(&f);
	a = text_of(&f, 100);
	b = g_bytes_ref(a);
	CU_ASSERT_EQUAL(f.texts.bytes, 100);
	g_bytes_unref(a);
	CU_ASSERT_EQUAL(f.texts.bytes, 100);
	g_bytes_unref(b);
	CU_ASSERT_EQUAL(f.texts.bytes, 0);
	stop(&f);
}

static void test_texts_is_full_at_the_limit(void)
{
	struct fixture f;
	GBytes *a;

	start(&f);
	a = text_of(&f, TEXTS_BYTES_MAX - 1);
	CU_ASSERT_FALSE(texts_is_full(&f.texts));
	g_bytes_unref(a);
	a = text_of(&f, TEXTS_BYTES_MAX);
	CU_ASSERT_TRUE(texts_is_full(&f.texts));
	g_bytes_unref(a);
	CU_ASSERT_FALSE(texts_is_full(&f.texts));
	stop(&f);
}

static void test_texts_shares_a_long_one(void)
{
	struct fixture f;
	GBytes *a, *b;

	start(&f);
	a = text_of(&f, TEXTS_LONG_BYTES);
	CU_ASSERT_PTR_NULL(texts_find(&f.texts, 7));
	texts_keep(&f.texts, 7, a);
	b = texts_find(&f.texts, 7);
	CU_ASSERT_PTR_EQUAL(a, b);
	CU_ASSERT_PTR_NULL(texts_find(&f.texts, 8));
	g_bytes_unref(a);
	g_bytes_unref(b);
	texts_forget(&f.texts);
	CU_ASSERT_PTR_NULL(texts_find(&f.texts, 7));
	CU_ASSERT_EQUAL(f.texts.bytes, 0);
	stop(&f);
}

static void test_texts_does_not_keep_a_short_one(void)
{
	struct fixture f;
	GBytes *a;

	start(&f);
	a = text_of(&f, TEXTS_LONG_BYTES - 1);
	texts_keep(&f.texts, 7, a);
	CU_ASSERT_PTR_NULL(texts_find(&f.texts, 7));
	g_bytes_unref(a);
	stop(&f);
}

static void test_texts_forgets_after_a_second(void)
{
	struct fixture f;
	GBytes *a;
	int64_t started;

	start(&f);
	loop_run_once(f.loop, 0);
	started = loop_now_ms(f.loop);
	a = text_of(&f, TEXTS_LONG_BYTES);
	texts_keep(&f.texts, 7, a);
	g_bytes_unref(a);
	while (f.texts.bytes && loop_now_ms(f.loop) - started < 10 * TEXTS_KEEP_MS)
		loop_run_once(f.loop, 100);
	CU_ASSERT_EQUAL(f.texts.bytes, 0);
	CU_ASSERT_TRUE(loop_now_ms(f.loop) - started >= TEXTS_KEEP_MS);
	stop(&f);
}

UNIT_MAIN("texts", UNIT(test_texts_counts_what_is_held), UNIT(test_texts_is_full_at_the_limit),
	  UNIT(test_texts_shares_a_long_one), UNIT(test_texts_does_not_keep_a_short_one),
	  UNIT(test_texts_forgets_after_a_second))
