/* SPDX-License-Identifier: BSD-2-Clause */
/* Two sinks, for words and for JSON; see the header. Control path: allocates. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/tell.h"

#include <inttypes.h>
#include <json-c/json.h>

#include "base/list.h"
#include "base/text.h"

struct tell {
	struct describe_sink sink;
	struct operation *op;
	const char *list; /* the one that was begun; NULL: none */
	bool has_records;
	unsigned items; /* records of it so far */
	/* words */
	GString *values; /* of the list */
	/* JSON */
	struct json_object *root, *array, *record;
};

static struct tell *tell_of(struct describe_sink *s)
{
	return container_of(s, struct tell, sink);
}

/* ---- words ------------------------------------------------------------------------------ */

static char *word_of(const struct describe_value *v)
{
	switch (v->kind) {
	case DESCRIBE_NUMBER:
		return g_strdup_printf("%" PRIu64, v->number);
	case DESCRIBE_HEX:
		return g_strdup_printf(v->number > 0xff ? "0x%04" PRIx64 : "0x%02" PRIx64,
				       v->number);
	case DESCRIBE_FLAG:
		return g_strdup(v->number ? "yes" : "no");
	case DESCRIBE_TEXT:
		return g_strdup(v->text);
	case DESCRIBE_BYTES:
		return text_encode_hex(v->bytes, v->len);
	}
	return g_strdup("");
}

static void word_put(struct describe_sink *s, const char *name, const struct describe_value *v)
{
	struct tell *t = tell_of(s);
	g_autofree char *word = word_of(v);
	g_autofree char *key = NULL;

	if (!name) {
		g_string_append_printf(t->values, "%s%s", t->values->len ? "," : "", word);
		return;
	}
	if (t->list)
		name = key = g_strdup_printf("%s.%u.%s", t->list, t->items, name);
	operation_result(t->op, name, "%s", word);
}

static void word_begin(struct describe_sink *s, const char *name, bool has_records)
{
	struct tell *t = tell_of(s);

	t->list = name;
	t->has_records = has_records;
	t->items = 0;
	g_string_truncate(t->values, 0);
}

static void word_item(struct describe_sink *s)
{
	tell_of(s)->items++;
}

static void word_end(struct describe_sink *s)
{
	struct tell *t = tell_of(s);

	if (t->has_records)
		operation_result(t->op, t->list, "%u", t->items);
	else
		operation_result(t->op, t->list, "%s", t->values->str);
	t->list = NULL;
}

/* ---- JSON ------------------------------------------------------------------------------- */

static struct json_object *json_of(const struct describe_value *v)
{
	g_autofree char *hex = NULL;

	switch (v->kind) {
	case DESCRIBE_NUMBER:
	case DESCRIBE_HEX:
		return json_object_new_uint64(v->number);
	case DESCRIBE_FLAG:
		return json_object_new_boolean(v->number != 0);
	case DESCRIBE_TEXT:
		return json_object_new_string(v->text);
	case DESCRIBE_BYTES:
		hex = text_encode_hex(v->bytes, v->len);
		return json_object_new_string(hex);
	}
	return NULL;
}

static void json_put(struct describe_sink *s, const char *name, const struct describe_value *v)
{
	struct tell *t = tell_of(s);

	if (!name)
		json_object_array_add(t->array, json_of(v));
	else
		json_object_object_add(t->record ? t->record : t->root, name, json_of(v));
}

static void json_begin(struct describe_sink *s, const char *name, bool has_records)
{
	struct tell *t = tell_of(s);

	(void)has_records;
	t->array = json_object_new_array();
	json_object_object_add(t->root, name, t->array);
}

static void json_item(struct describe_sink *s)
{
	struct tell *t = tell_of(s);

	t->record = json_object_new_object();
	json_object_array_add(t->array, t->record);
}

static void json_end(struct describe_sink *s)
{
	struct tell *t = tell_of(s);

	t->array = t->record = NULL;
}

/* ---- for the verbs ---------------------------------------------------------------------- */

struct tell *tell_new(struct operation *op, bool is_json)
{
	static const struct describe_sink words = { word_put, word_begin, word_item, word_end };
	static const struct describe_sink json = { json_put, json_begin, json_item, json_end };
	struct tell *t = g_new0(struct tell, 1);

	t->op = op;
	t->sink = is_json ? json : words;
	t->values = g_string_new(NULL);
	t->root = is_json ? json_object_new_object() : NULL;
	return t;
}

struct describe_sink *tell_sink(struct tell *t)
{
	return &t->sink;
}

static void tell(struct tell *t, const char *name, struct describe_value v)
{
	t->sink.put(&t->sink, name, &v);
}

void tell_number(struct tell *t, const char *name, uint64_t number)
{
	tell(t, name, (struct describe_value){ .kind = DESCRIBE_NUMBER, .number = number });
}

void tell_hex(struct tell *t, const char *name, uint64_t number)
{
	tell(t, name, (struct describe_value){ .kind = DESCRIBE_HEX, .number = number });
}

void tell_text(struct tell *t, const char *name, const char *text)
{
	tell(t, name, (struct describe_value){ .kind = DESCRIBE_TEXT, .text = text });
}

void tell_bytes(struct tell *t, const char *name, const uint8_t *bytes, size_t len)
{
	tell(t, name,
	     (struct describe_value){ .kind = DESCRIBE_BYTES, .bytes = bytes, .len = len });
}

void tell_end(struct tell *t)
{
	if (t->root)
		operation_reply(t->op,
				json_object_to_json_string_ext(
					t->root, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE));
	tell_drop(t);
}

void tell_drop(struct tell *t)
{
	json_object_put(t->root);
	g_string_free(t->values, TRUE);
	g_free(t);
}
