/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of open files; texts.h is the manual. Called by handle.c. Every text counts from
 * texts_new() until its last reference goes, which g_bytes_unref() tells text_free(). */
#include "fuse/texts.h"

#include <assert.h>

struct text {
	struct texts *texts;
	GString *s;
};

static void text_free(void *p)
{
	struct text *text = p;

	text->texts->bytes -= text->s->len;
	g_string_free(text->s, TRUE);
	g_free(text);
}

static void unref_bytes(void *p)
{
	g_bytes_unref(p);
}

static void on_timer(struct loop_timer *timer)
{
	texts_forget(container_of(timer, struct texts, timer));
}

void texts_init(struct texts *t, struct loop *l)
{
	*t = (struct texts){
		.kept = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, unref_bytes),
	};
	loop_timer_init(l, &t->timer, on_timer);
}

void texts_done(struct texts *t)
{
	if (!t->kept)
		return;
	g_hash_table_destroy(t->kept);
	loop_timer_done(&t->timer);
	assert(!t->bytes);
	*t = (struct texts){ 0 };
}

bool texts_is_full(const struct texts *t)
{
	return t->bytes >= TEXTS_BYTES_MAX;
}

GBytes *texts_new(struct texts *t, GString *s)
{
	struct text *text = g_new(struct text, 1);

	*text = (struct text){ .texts = t, .s = s };
	t->bytes += s->len;
	return g_bytes_new_with_free_func(s->str, s->len, text_free, text);
}

GBytes *texts_find(struct texts *t, uint64_t ino)
{
	GBytes *text = g_hash_table_lookup(t->kept, &ino);

	return text ? g_bytes_ref(text) : NULL;
}

void texts_keep(struct texts *t, uint64_t ino, GBytes *text)
{
	if (g_bytes_get_size(text) < TEXTS_LONG_BYTES)
		return;
	g_hash_table_insert(t->kept, g_memdup2(&ino, sizeof(ino)), g_bytes_ref(text));
	/* The first one's second counts for all. */
	if (!loop_timer_is_running(&t->timer))
		loop_timer_start(&t->timer, TEXTS_KEEP_MS);
}

void texts_forget(struct texts *t)
{
	loop_timer_stop(&t->timer);
	g_hash_table_remove_all(t->kept);
}
