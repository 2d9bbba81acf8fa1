/* SPDX-License-Identifier: BSD-2-Clause */
/* Attribute tables: finding, printing, writing, JSON; and that the tables of the real tree keep
 * the rules that people and tests rely on. */
#include "fuse/attr.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "fuse/tree.h"
#include "unit.h"

/* --- a directory: README value number stats params missing hidden secret error, and children
 * --- */

struct thing {
	struct object obj;
	char value[64];
	bool shows_hidden;
	struct thing *children[3];
};

static void nothing(struct object *o)
{
	object_done(o);
}

static struct thing *thing_of(const struct object *o)
{
	return container_of(o, struct thing, obj);
}

static void show_value(struct object *o, GString *out)
{
	attr_print_text(out, thing_of(o)->value);
}

static void show_number(struct object *o, GString *out)
{
	(void)o;
	g_string_append(out, "18446744073709551615\n");
}

static void show_stats(struct object *o, GString *out)
{
	(void)o;
	attr_print_count(out, "reads", 7);
	g_string_append(out, "state all right\n");
}

static void show_params(struct object *o, GString *out)
{
	(void)o;
	g_string_append(out, "HeaderDigest CRC32C,None None\nTargetAlias - a b\n");
}

static void show_missing(struct object *o, GString *out)
{
	(void)o;
	attr_print_text(out, NULL);
}

static bool is_hidden_shown(const struct object *o)
{
	return thing_of(o)->shows_hidden;
}

static gboolean store_value(struct object *o, const char *value, GError **err)
{
	if (!strcmp(value, "bad")) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, ERANGE, "a bad \"value\"");
		return FALSE;
	}
	g_strlcpy(thing_of(o)->value, value, sizeof(thing_of(o)->value));
	return TRUE;
}

static const struct attr attrs[] = {
	ATTR_README_ROW,
	{ "value", ATTR_VALUE, .mode = 0644, .show = show_value, .store = store_value },
	ATTR_FILE("number", ATTR_JSON_NUMBER, show_number),
	ATTR_FILE("stats", ATTR_JSON_PAIRS, show_stats),
	ATTR_FILE("params", ATTR_JSON_PARAMS, show_params),
	ATTR_FILE("missing", ATTR_JSON_NUMBER, show_missing),
	{ "hidden", ATTR_VALUE, .mode = 0444, .show = show_value, .is_shown = is_hidden_shown },
	{ "secret", ATTR_VALUE, .mode = 0200, .store = store_value },
	ATTR_ERROR_ROW,
	{ 0 },
};

static const struct attr leaf_attrs[] = {
	ATTR_FILE("value", ATTR_JSON_TEXT, show_value),
	ATTR_FILE("number", ATTR_JSON_NUMBER, show_number),
	{ 0 },
};
static const char *brief_leaf(const struct object *o)
{
	return strcmp(thing_of(o)->value, "brief") ? NULL : "value";
}

static const struct attr_dir leaf_dir = {
	.name = "leaf",
	.attrs = leaf_attrs,
	.brief = brief_leaf,
};
static const struct attr child_row = { "N", ATTR_DIR, .mode = 0555, .dir = &leaf_dir };

static bool list(struct object *o, const struct attr *child, struct attr_sink *s)
{
	struct thing *t = thing_of(o);

	for (unsigned i = 0; i < 3 && t->children[i]; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%u", i);
		if (!s->add(s, name, child, &t->children[i]->obj))
			return false;
	}
	return true;
}

static const struct attr_dir dir = {
	.name = "things",
	.readme = "Things.\n",
	.attrs = attrs,
	.list = list,
	.child = &child_row,
};

static const struct attr *row_named(const char *name)
{
	for (const struct attr *row = attrs; row->name; row++)
		if (!strcmp(row->name, name))
			return row;
	return NULL;
}

static void thing_init(struct thing *t, struct loop *l, const char *value)
{
	*t = (struct thing){ 0 };
	object_init(&t->obj, l, OBJECT_INSTANCE, nothing);
	g_strlcpy(t->value, value, sizeof(t->value));
}

static char *printed(const char *name, struct thing *t)
{
	GString *out = g_string_new(NULL);

	attr_print(&dir, row_named(name), &t->obj, out);
	return g_string_free(out, FALSE);
}

#define ASSERT_PRINTS(thing, name, text)                      \
	do {                                                  \
		g_autofree char *got_ = printed(name, thing); \
		CU_ASSERT_STRING_EQUAL(got_, text);           \
	} while (0)

/* --- finding --- */

static void test_attr_finds_rows_and_children(void)
{
	const struct attr *row = NULL;
	struct object *o = NULL;
	struct thing t, a, b;

	thing_init(&t, NULL, "x");
	thing_init(&a, NULL, "a");
	thing_init(&b, NULL, "b");
	t.children[0] = &a;
	t.children[1] = &b;
	CU_ASSERT_TRUE(attr_find(&dir, &t.obj, "number", &row, &o));
	CU_ASSERT_PTR_EQUAL(row, row_named("number"));
	CU_ASSERT_PTR_EQUAL(o, &t.obj);
	CU_ASSERT_TRUE(attr_find(&dir, &t.obj, "1", &row, &o));
	CU_ASSERT_PTR_EQUAL(row, &child_row);
	CU_ASSERT_PTR_EQUAL(o, &b.obj);
	CU_ASSERT_FALSE(attr_find(&dir, &t.obj, "2", &row, &o));
	CU_ASSERT_FALSE(attr_find(&dir, &t.obj, "N", &row, &o));
	CU_ASSERT_FALSE(attr_find(&dir, &t.obj, "", &row, &o));
}

static void test_attr_hides_what_is_not_shown(void)
{
	const struct attr *row = NULL;
	struct object *o = NULL;
	struct thing t;

	thing_init(&t, NULL, "x");
	CU_ASSERT_FALSE(attr_find(&dir, &t.obj, "hidden", &row, &o));
	t.shows_hidden = true;
	CU_ASSERT_TRUE(attr_find(&dir, &t.obj, "hidden", &row, &o));
}

struct counter {
	struct attr_sink sink;
	unsigned count, limit;
};

static bool count_one(struct attr_sink *s, const char *name, const struct attr *row,
		      struct object *o)
{
	struct counter *c = container_of(s, struct counter, sink);

	(void)name;
	(void)row;
	(void)o;
	return ++c->count < c->limit;
}

static void test_attr_each_tells_all_until_it_is_enough(void)
{
	struct counter c = { .sink.add = count_one, .limit = 100 };
	struct thing t, a;

	thing_init(&t, NULL, "x");
	thing_init(&a, NULL, "a");
	t.children[0] = &a;
	attr_each(&dir, &t.obj, &c.sink);
	CU_ASSERT_EQUAL(c.count, 9); /* eight rows, and the child */
	c.count = 0;
	c.limit = 2;
	attr_each(&dir, &t.obj, &c.sink);
	CU_ASSERT_EQUAL(c.count, 2);
}

/* --- reading --- */

static void test_attr_prints_by_type(void)
{
	struct thing t;

	thing_init(&t, NULL, "x");
	ASSERT_PRINTS(&t, "README", "Things.\n");
	ASSERT_PRINTS(&t, "value", "x\n");
	ASSERT_PRINTS(&t, "missing", "-\n");
	ASSERT_PRINTS(&t, "error", "");
	ASSERT_PRINTS(&t, "secret", "");
}

static void test_attr_print_text_escapes_what_is_not_clean(void)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{ "", "-\n" },
		{ NULL, "-\n" },
		{ "plain text", "plain text\n" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f\n" },
		{ "two\nlines", "two\\x0alines\n" },
		{ "\x1b[31m", "\\x1b[31m\n" },
		{ "\xff", "\\xff\n" },
		{ "\xc2\x9b", "\\xc2\\x9b\n" }, /* a C1 control character */
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) out = g_string_new(NULL);

		attr_print_text(out, cases[i].text);
		CU_ASSERT_STRING_EQUAL(out->str, cases[i].shown);
	}
}

static void test_attr_print_time_is_utc(void)
{
	g_autoptr(GString) out = g_string_new(NULL);

	attr_print_time(out, INT64_C(1000000000) * 1000000 + 999999);
	attr_print_time(out, 0);
	CU_ASSERT_STRING_EQUAL(out->str, "2001-09-09T01:46:40Z\n-\n");
}

/* --- writing --- */

static void test_attr_write_trims_and_answers_with_the_value(void)
{
	g_autoptr(GString) reply = g_string_new("old");
	struct thing t;

	thing_init(&t, NULL, "x");
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("value"), &t.obj, "  new \n", 7, reply), 0);
	CU_ASSERT_STRING_EQUAL(t.value, "new");
	CU_ASSERT_STRING_EQUAL(reply->str, "new\n");
}

static void test_attr_write_accepts_what_it_prints(void)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	g_autofree char *text = NULL;
	struct thing t;

	thing_init(&t, NULL, "some value");
	text = printed("value", &t);
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("value"), &t.obj, text, strlen(text), reply),
			0);
	ASSERT_PRINTS(&t, "value", text);
}

static void test_attr_write_tells_a_failure_in_reply_and_error(void)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	g_autofree char *error = NULL;
	struct thing t;

	thing_init(&t, NULL, "x");
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("value"), &t.obj, "bad\n", 4, reply),
			ERANGE);
	CU_ASSERT_PTR_NOT_NULL(
		strstr(reply->str, "error code=ISDSC_INVALID_PARAMETER number=0x"));
	CU_ASSERT_PTR_NOT_NULL(strstr(reply->str, "errno=ERANGE where=things text=\"a bad "));
	CU_ASSERT_PTR_EQUAL(strchr(reply->str, '\n'), reply->str + reply->len - 1);
	error = printed("error", &t);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "command: value=bad"));
	CU_ASSERT_STRING_EQUAL(t.value, "x");
	object_done(&t.obj);
}

static void test_attr_write_never_repeats_a_secret(void)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	g_autofree char *error = NULL;
	struct thing t;

	thing_init(&t, NULL, "x");
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("secret"), &t.obj, "bad", 3, reply), ERANGE);
	error = printed("error", &t);
	CU_ASSERT_PTR_NOT_NULL(strstr(error, "command: secret=***"));
	object_done(&t.obj);
}

static void test_attr_write_refuses(void)
{
	g_autoptr(GString) reply = g_string_new(NULL);
	struct thing t;

	thing_init(&t, NULL, "x");
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("value"), &t.obj, "a\0b", 3, reply), EINVAL);
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("number"), &t.obj, "1", 1, reply), EACCES);
	t.obj.is_gone = true;
	CU_ASSERT_EQUAL(attr_write(&dir, row_named("value"), &t.obj, "1", 1, reply), ENODEV);
	CU_ASSERT_STRING_EQUAL(t.value, "x");
	object_done(&t.obj);
}

/* --- JSON --- */

static struct json_object *status(struct thing *t)
{
	static const struct attr row = ATTR_STATUS_ROW;
	g_autoptr(GString) out = g_string_new(NULL);

	attr_print(&dir, &row, &t->obj, out);
	return json_tokener_parse(out->str);
}

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	CU_ASSERT_TRUE(json_object_object_get_ex(o, name, &value));
	return value;
}

static void test_attr_status_of_a_brief_child_is_one_value(void)
{
	struct thing t, a, b;
	struct json_object *o;

	thing_init(&t, NULL, "x");
	thing_init(&a, NULL, "long");
	thing_init(&b, NULL, "brief");
	t.children[0] = &a;
	t.children[1] = &b;
	o = status(&t);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_EQUAL(json_object_object_length(member(o, "0")), 2);
	CU_ASSERT_EQUAL(json_object_object_length(member(o, "1")), 1);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(member(o, "1"), "value")),
			       "brief");
	json_object_put(o);
}

static void test_attr_status_has_everything(void)
{
	struct json_object *o, *params;
	struct thing t, a;

	thing_init(&t, NULL, "a \"quoted\" value");
	thing_init(&a, NULL, "child");
	t.children[0] = &a;
	object_fail_text(&t.obj, "login", ISDSC_LOGIN_FAILED, EACCES, "refused");
	o = status(&t);
	CU_ASSERT_PTR_NOT_NULL_FATAL(o);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(o, "value")),
			       "a \"quoted\" value");
	CU_ASSERT_EQUAL(json_object_get_uint64(member(o, "number")), UINT64_MAX);
	CU_ASSERT_PTR_NULL(member(o, "missing"));
	CU_ASSERT_EQUAL(json_object_get_int(member(member(o, "stats"), "reads")), 7);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(member(o, "stats"), "state")),
			       "all right");
	params = member(o, "params");
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(member(member(params, "HeaderDigest"), "requested")),
		"CRC32C,None");
	CU_ASSERT_PTR_NULL(member(member(params, "TargetAlias"), "requested"));
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(member(member(params, "TargetAlias"), "negotiated")),
		"a b");
	CU_ASSERT_STRING_EQUAL(json_object_get_string(member(member(o, "0"), "value")),
			       "child");
	CU_ASSERT_EQUAL(json_object_array_length(member(o, "error")), 1);
	CU_ASSERT_STRING_EQUAL(
		json_object_get_string(
			member(json_object_array_get_idx(member(o, "error"), 0), "errno")),
		"EACCES");
	CU_ASSERT_FALSE(json_object_object_get_ex(o, "secret", NULL));
	CU_ASSERT_FALSE(json_object_object_get_ex(o, "hidden", NULL));
	CU_ASSERT_FALSE(json_object_object_get_ex(o, "README", NULL));
	json_object_put(o);
	object_done(&t.obj);
}

/* --- the real tree --- */

static bool has_row(const struct attr_dir *d, const char *name)
{
	for (const struct attr *row = d->attrs; row->name; row++)
		if (!strcmp(row->name, name))
			return true;
	return false;
}

static void check_row(const struct attr *row)
{
	switch (row->type) {
	case ATTR_VALUE:
		CU_ASSERT_TRUE(row->show || row->store);
		/* A secret shows status.json that there is one. */
		CU_ASSERT_TRUE(row->show || !(row->mode & 0444));
		CU_ASSERT_TRUE(row->mode & 0444 || !row->show || row->is_owners);
		CU_ASSERT_EQUAL(!!(row->mode & 0222), !!row->store);
		break;
	case ATTR_LINK:
		CU_ASSERT_PTR_NOT_NULL(row->show);
		break;
	case ATTR_DIR:
		CU_ASSERT_PTR_NOT_NULL(row->dir);
		CU_ASSERT_EQUAL(row->mode, 0555);
		break;
	default:
		break;
	}
}

static void check_dir(const struct attr_dir *d)
{
	CU_ASSERT_TRUE(has_row(d, "README"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(d->readme);
	CU_ASSERT_EQUAL(d->readme[strlen(d->readme) - 1], '\n');
	CU_ASSERT_PTR_NOT_NULL(strstr(d->readme, "\n\n\t")); /* an example */
	CU_ASSERT_EQUAL(!d->list, !d->child);
	/* A command or a value that fails is told in `error` next to it. */
	CU_ASSERT_TRUE(!has_row(d, "ctl") || has_row(d, "error"));
	for (const struct attr *row = d->attrs; row->name; row++) {
		check_row(row);
		CU_ASSERT_TRUE(!row->store || has_row(d, "error"));
		for (const struct attr *other = d->attrs; other < row; other++)
			CU_ASSERT_STRING_NOT_EQUAL(other->name, row->name);
		if (row->type == ATTR_DIR)
			check_dir(row->dir);
	}
	if (d->child && d->child->type == ATTR_DIR)
		check_dir(d->child->dir);
}

static void test_attr_tables_of_the_tree_keep_the_rules(void)
{
	check_dir(tree_root_row.dir);
}

UNIT_MAIN("attr", UNIT(test_attr_finds_rows_and_children),
	  UNIT(test_attr_hides_what_is_not_shown),
	  UNIT(test_attr_each_tells_all_until_it_is_enough), UNIT(test_attr_prints_by_type),
	  UNIT(test_attr_print_text_escapes_what_is_not_clean),
	  UNIT(test_attr_print_time_is_utc),
	  UNIT(test_attr_write_trims_and_answers_with_the_value),
	  UNIT(test_attr_write_accepts_what_it_prints),
	  UNIT(test_attr_write_tells_a_failure_in_reply_and_error),
	  UNIT(test_attr_write_never_repeats_a_secret), UNIT(test_attr_write_refuses),
	  UNIT(test_attr_status_has_everything),
	  UNIT(test_attr_status_of_a_brief_child_is_one_value),
	  UNIT(test_attr_tables_of_the_tree_keep_the_rules))
