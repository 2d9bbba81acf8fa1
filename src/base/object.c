/* SPDX-License-Identifier: BSD-2-Clause */
/* Reference counts and the memory of failures; object.h is the manual. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/object.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"

/* Longer texts are cut: what a peer sends must not fill our memory. */
#define FAILURE_TEXT_MAX 1000

static void failure_free(struct failure *f)
{
	if (!f)
		return;
	g_free(f->what);
	g_free(f->text);
	g_free(f);
}

void object_init(struct object *o, struct loop *l, enum object_kind kind,
		 void (*free)(struct object *))
{
	/* Atomic, since sharded loops may come (architecture, rule 7). */
	static _Atomic uint64_t last_id;

	*o = (struct object){
		.loop = l, .kind = kind, .refs = 1, .id = ++last_id, .free = free
	};
	list_init(&o->reap.link);
}

void object_done(struct object *o)
{
	for (unsigned i = 0; i < OBJECT_FAILURES; i++) {
		failure_free(o->failures[i]);
		o->failures[i] = NULL;
	}
}

struct object *object_ref(struct object *o)
{
	assert(o->refs);
	o->refs++;
	return o;
}

static void object_reaped(struct loop_reap *r)
{
	struct object *o = container_of(r, struct object, reap);

	o->free(o);
}

void object_unref(struct object *o)
{
	if (!o)
		return;
	assert(o->refs);
	if (--o->refs)
		return;
	loop_reap(o->loop, &o->reap, object_reaped);
}

void object_gone(struct object *o)
{
	assert(!o->is_gone);
	o->is_gone = true;
	object_unref(o);
}

/* ---- failures ---- */

/* Valid UTF-8, so that it can go into JSON as it is. */
static char *failure_string(const char *s)
{
	return g_utf8_make_valid(s, (gssize)strnlen(s, FAILURE_TEXT_MAX));
}

void object_fail_text(struct object *o, const char *what, int code, int errno_value,
		      const char *text)
{
	struct failure *f = g_new0(struct failure, 1);

	f->time_us = g_get_real_time();
	f->what = failure_string(what);
	f->text = failure_string(text);
	f->code = code;
	f->errno_value = errno_value;

	failure_free(o->failures[OBJECT_FAILURES - 1]);
	memmove(&o->failures[1], &o->failures[0],
		(OBJECT_FAILURES - 1) * sizeof(o->failures[0]));
	o->failures[0] = f;
	o->failures_total++;
}

void object_fail(struct object *o, const char *what, const GError *err)
{
	object_fail_text(o, what, error_info_of(err)->code, error_errno(err), err->message);
}

static void print_time(int64_t time_us, GString *out)
{
	time_t seconds = (time_t)(time_us / 1000000);
	struct tm tm;
	char buf[64];

	if (!gmtime_r(&seconds, &tm) || !strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm))
		buf[0] = '\0';
	g_string_append_printf(out, "%s.%06dZ", buf, (int)(time_us % 1000000));
}

/* The command as it was typed; what cannot be typed as \xNN. */
static void print_command(const char *s, GString *out)
{
	for (; *s; s++) {
		if (*s >= 0x20 && *s < 0x7f)
			g_string_append_c(out, *s);
		else
			g_string_append_printf(out, "\\x%02x", (unsigned char)*s);
	}
}

static void print_failure(const struct failure *f, GString *out)
{
	const struct error_info *info = error_info((enum isdsc)f->code);
	g_autofree char *text = text_escape(f->text, strlen(f->text), SIZE_MAX);

	g_string_append(out, "time: ");
	print_time(f->time_us, out);
	g_string_append(out, "\ncommand: ");
	print_command(f->what, out);
	g_string_append_c(out, '\n');
	g_string_append_printf(out, "error: code=%s number=0x%08X errno=%s text=\"%s\"\n",
			       info->name, info->number, error_errno_name(f->errno_value),
			       text);
	g_string_append_printf(out, "advice: %s\n", info->advice);
}

void object_failures_print(const struct object *o, GString *out)
{
	for (unsigned i = 0; i < OBJECT_FAILURES && o->failures[i]; i++) {
		if (i)
			g_string_append_c(out, '\n');
		print_failure(o->failures[i], out);
	}
}
