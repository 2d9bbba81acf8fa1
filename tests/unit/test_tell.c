/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of a unit as the reply of an operation: words, and one line of JSON. */
#include "core/tell.h"

#include <json-c/json.h>
#include <string.h>

#include "scsi/describe.h"
#include "unit.h"

/* VPD 0x83: an NAA designator of the unit, and the relative port 2. */
#define PAGE_83                                                            \
	"\x00\x83\x00\x14\x01\x03\x00\x08\x50\x01\x02\x03\x04\x05\x06\x07" \
	"\x51\x94\x00\x04\x00\x00\x00\x02"

static struct loop *loop;
static struct operation *op;

static struct tell *begin(bool is_json)
{
	loop = loop_new();
	op = operation_new(loop, NULL, NULL);
	return tell_new(op, is_json);
}

static void end(void)
{
	operation_finish(op, NULL);
	operation_unref(op);
	loop_run_once(loop, 0);
	loop_free(loop);
}

static void tell_all(struct tell *t)
{
	tell_hex(t, "page", 0x83);
	tell_hex(t, "code", 0x960);
	tell_number(t, "big", UINT64_MAX);
	tell_text(t, "name", "a \"name\"");
	describe_page(0x83, (const uint8_t *)PAGE_83, sizeof(PAGE_83) - 1, tell_sink(t));
	describe_page(0x00, (const uint8_t *)"\0\0\0\2\0\x80", 6, tell_sink(t));
	describe_page(0xb2, (const uint8_t *)"\0\xb2\0\4\0\x80", 6, tell_sink(t));
	tell_bytes(t, "data", (const uint8_t *)"\1\xfe", 2);
}

static void test_tell_words(void)
{
	struct tell *t = begin(false);

	tell_all(t);
	tell_end(t);
	CU_ASSERT_PTR_NULL(op->reply);
	CU_ASSERT_STRING_EQUAL(
		op->result->str,
		" page=0x83 code=0x0960 big=18446744073709551615 name=\"a \\\"name\\\"\""
		" wwid=naa.5001020304050607"
		" designators.1.association=\"logical unit\" designators.1.code_set=binary"
		" designators.1.type=naa designators.1.value=0x5001020304050607"
		" designators.2.association=\"target port\" designators.2.code_set=binary"
		" designators.2.type=\"relative target port\" designators.2.protocol=iscsi"
		" designators.2.value=2 designators=2"
		" pages=0x00,0x80"
		" threshold_exponent=0 lbpu=yes lbpws=no lbpws10=no lbprz=no anc_sup=no dp=no"
		" data=0x01fe");
	end();
}

static void test_tell_words_of_empty_lists(void)
{
	struct tell *t = begin(false);

	describe_page(0x83, (const uint8_t *)"\0\x83\0\0", 4, tell_sink(t));
	describe_page(0x00, (const uint8_t *)"\0\0\0\0", 4, tell_sink(t));
	tell_bytes(t, "data", NULL, 0);
	tell_end(t);
	CU_ASSERT_STRING_EQUAL(op->result->str, " designators=0 pages=\"\" data=0x");
	end();
}

static struct json_object *get(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	CU_ASSERT_TRUE_FATAL(json_object_object_get_ex(o, name, &value));
	return value;
}

static void test_tell_json_is_one_line_of_the_same(void)
{
	struct tell *t = begin(true);
	struct json_object *root, *list, *first;

	tell_all(t);
	tell_end(t);
	CU_ASSERT_STRING_EQUAL(op->result->str, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(op->reply);
	CU_ASSERT_PTR_NULL(strchr(op->reply, '\n'));
	root = json_tokener_parse(op->reply);
	CU_ASSERT_PTR_NOT_NULL_FATAL(root);
	CU_ASSERT_EQUAL(json_object_get_uint64(get(root, "page")), 0x83);
	CU_ASSERT_EQUAL(json_object_get_uint64(get(root, "big")), UINT64_MAX);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(get(root, "name")), "a \"name\"");
	CU_ASSERT_TRUE(json_object_is_type(get(root, "lbpu"), json_type_boolean));
	CU_ASSERT_TRUE(json_object_get_boolean(get(root, "lbpu")));
	CU_ASSERT_STRING_EQUAL(json_object_get_string(get(root, "data")), "0x01fe");
	list = get(root, "designators");
	CU_ASSERT_EQUAL_FATAL(json_object_array_length(list), 2);
	first = json_object_array_get_idx(list, 0);
	CU_ASSERT_STRING_EQUAL(json_object_get_string(get(first, "value")),
			       "0x5001020304050607");
	list = get(root, "pages");
	CU_ASSERT_EQUAL(json_object_array_length(list), 2);
	CU_ASSERT_EQUAL(json_object_get_int(json_object_array_get_idx(list, 1)), 0x80);
	/* after the list of records: of the page itself again */
	CU_ASSERT_FALSE(json_object_get_boolean(get(root, "dp")));
	json_object_put(root);
	end();
}

static void test_tell_dropped_tells_nothing(void)
{
	struct tell *t = begin(true);

	tell_number(t, "count", 1);
	tell_drop(t);
	CU_ASSERT_PTR_NULL(op->reply);
	end();
}

UNIT_MAIN("tell", UNIT(test_tell_words), UNIT(test_tell_words_of_empty_lists),
	  UNIT(test_tell_json_is_one_line_of_the_same), UNIT(test_tell_dropped_tells_nothing))
