/* SPDX-License-Identifier: BSD-2-Clause */
/* The JSON of the tree; json.h says what it looks like. One builder a kind of text (enum
 * attr_json), each from the lines that the file of the same row shows, so that the two cannot
 * disagree. Control path: allocates, aborting like glib when memory is out. */
#include "fuse/json.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "fuse/attr.h"

static struct json_object *json_text(const char *text)
{
	return strcmp(text, "-") ? json_object_new_string(text) : NULL;
}

/* A number where @text is one, else a string. */
static struct json_object *json_number(const char *text)
{
	uint64_t value;
	char *end;

	errno = 0;
	value = g_ascii_strtoull(text, &end, 10);
	if (!g_ascii_isdigit(*text) || *end || errno)
		return json_text(text);
	return json_object_new_uint64(value);
}

static struct json_object *json_lines(char **lines)
{
	struct json_object *a = json_object_new_array();

	for (; *lines; lines++)
		if (**lines)
			json_object_array_add(a, json_object_new_string(*lines));
	return a;
}

static struct json_object *json_pairs(char **lines)
{
	struct json_object *o = json_object_new_object();

	for (; *lines; lines++) {
		g_auto(GStrv) words = g_strsplit(*lines, " ", 2);

		if (words[0] && words[1])
			json_object_object_add(o, words[0], json_number(words[1]));
	}
	return o;
}

static struct json_object *json_params(char **lines)
{
	struct json_object *o = json_object_new_object();

	for (; *lines; lines++) {
		g_auto(GStrv) words = g_strsplit(*lines, " ", 3);
		struct json_object *param;

		if (g_strv_length(words) != 3)
			continue;
		param = json_object_new_object();
		json_object_object_add(param, "requested", json_text(words[1]));
		json_object_object_add(param, "negotiated", json_text(words[2]));
		json_object_object_add(o, words[0], param);
	}
	return o;
}

static struct json_object *json_value(const struct attr *row, struct object *o)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_auto(GStrv) lines = NULL;

	row->show(o, text);
	if (text->len && text->str[text->len - 1] == '\n')
		g_string_truncate(text, text->len - 1);
	lines = g_strsplit(text->str, "\n", -1);
	switch (row->json) {
	case ATTR_JSON_TEXT:
		return json_text(text->str);
	case ATTR_JSON_NUMBER:
		return json_number(text->str);
	case ATTR_JSON_LINES:
		return json_lines(lines);
	case ATTR_JSON_PAIRS:
		return json_pairs(lines);
	case ATTR_JSON_PARAMS:
		return json_params(lines);
	}
	return NULL;
}

static struct json_object *json_failures(const struct object *o)
{
	struct json_object *a = json_object_new_array();

	for (unsigned i = 0; i < OBJECT_FAILURES && o->failures[i]; i++) {
		const struct failure *f = o->failures[i];
		const struct error_info *info = error_info((enum isdsc)f->code);
		struct json_object *entry = json_object_new_object();
		g_autoptr(GString) time = g_string_new(NULL);

		attr_print_time(time, f->time_us);
		g_strchomp(time->str);
		json_object_object_add(entry, "time", json_object_new_string(time->str));
		json_object_object_add(entry, "command", json_object_new_string(f->what));
		json_object_object_add(entry, "code", json_object_new_string(info->name));
		json_object_object_add(
			entry, "errno",
			json_object_new_string(error_errno_name(f->errno_value)));
		json_object_object_add(entry, "text", json_object_new_string(f->text));
		json_object_array_add(a, entry);
	}
	return a;
}

static struct json_object *json_child(const struct attr_dir *dir, struct object *o);

/* False when @row has no place in the JSON. */
static bool json_row(const struct attr *row, struct object *o, struct json_object **ret)
{
	switch (row->type) {
	case ATTR_VALUE:
		if (!row->show)
			return false;
		*ret = json_value(row, o);
		return true;
	case ATTR_LINK:
		*ret = json_value(row, o);
		return true;
	case ATTR_ERROR:
		*ret = json_failures(o);
		return true;
	case ATTR_DIR:
		*ret = json_child(row->dir, o);
		return true;
	default:
		return false;
	}
}

struct json_sink {
	struct attr_sink sink;
	struct json_object *to;
};

static bool json_add(struct attr_sink *s, const char *name, const struct attr *row,
		     struct object *o)
{
	struct json_sink *j = container_of(s, struct json_sink, sink);
	struct json_object *value;

	if (json_row(row, o, &value))
		json_object_object_add(j->to, name, value);
	return true;
}

static struct json_object *json_dir(const struct attr_dir *dir, struct object *o)
{
	struct json_sink j = { .sink.add = json_add, .to = json_object_new_object() };

	attr_each(dir, o, &j.sink);
	return j.to;
}

/* A directory within another one. */
static struct json_object *json_child(const struct attr_dir *dir, struct object *o)
{
	const char *only = dir->brief ? dir->brief(o) : NULL;
	struct json_object *to;

	if (!only)
		return json_dir(dir, o);
	to = json_object_new_object();
	for (const struct attr *row = dir->attrs; row->name; row++)
		if (!strcmp(row->name, only))
			json_object_object_add(to, only, json_value(row, o));
	return to;
}

void json_print(const struct attr_dir *dir, struct object *o, GString *out)
{
	struct json_object *root = json_dir(dir, o);

	g_string_append(
		out, json_object_to_json_string_ext(
			     root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	g_string_append_c(out, '\n');
	json_object_put(root);
}
