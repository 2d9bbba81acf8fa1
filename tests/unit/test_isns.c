/* SPDX-License-Identifier: BSD-2-Clause */
/* iSNS messages, typed by hand from the layout of RFC 4171: reading and joining fragments, attributes,
 * what a query's answer tells, what we write; and the states of a server. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/isns.h"
#include "core/isns_answer.h"
#include "core/target.h"
#include "unit.h"

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static struct isns_reader reader;
static GByteArray *payload; /* of the last message */
static int last_code;

/* All of @data, in pieces of @step bytes: how many messages came; -1: refused. */
static int feed(const uint8_t *data, size_t len, size_t step, size_t max_bytes)
{
	int count = 0;

	isns_reader_done(&reader);
	isns_reader_init(&reader, max_bytes);
	if (!payload)
		payload = g_byte_array_new();
	while (len) {
		size_t left = MIN(step, len), ate = left;
		const uint8_t *at = data;
		GError *err = NULL;
		int r;

		while ((r = isns_reader_take(&reader, &at, &left, &err)) > 0) {
			g_byte_array_set_size(payload, 0);
			g_byte_array_append(payload, reader.message.payload->data,
					    reader.message.payload->len);
			count++;
		}
		if (r < 0) {
			last_code = err->code;
			g_error_free(err);
			return -1;
		}
		data += ate;
		len -= ate;
	}
	return count;
}

static void test_isns_reads_a_message_in_any_pieces(void)
{
	static const uint8_t message[] = {
		0, 1, 0x80, 2, 0, 4, 0x4c, 0, 0x12, 0x34, 0, 0, /* DevAttrQryRsp, 4 bytes */
		0, 0, 0, 9,
	};

	for (size_t step = 1; step <= sizeof(message); step++) {
		CU_ASSERT_EQUAL(feed(message, sizeof(message), step, 100), 1);
		CU_ASSERT_EQUAL(reader.message.function, 0x8002);
		CU_ASSERT_EQUAL(reader.message.transaction, 0x1234);
		CU_ASSERT_EQUAL(payload->len, 4);
		CU_ASSERT(isns_reader_is_idle(&reader));
	}
}

static void test_isns_joins_fragments(void)
{
	static const uint8_t three[] = {
		0, 1, 0x80, 2, 0, 4, 0x44, 0, 0, 7, 0, 0, 'a', 'b', 'c', 'd', /* first */
		0, 1, 0x80, 2, 0, 4, 0x40, 0, 0, 7, 0, 1, 'e', 'f', 'g', 'h',
		0, 1, 0x80, 2, 0, 4, 0x48, 0, 0, 7, 0, 2, 'i', 'j', 'k', 'l', /* last */
		0, 1, 0, 8, 0, 0, 0x4c, 0, 0, 8, 0, 0, /* the next message */
	};

	CU_ASSERT_EQUAL(feed(three, 32, 5, 100), 0);
	CU_ASSERT_FALSE(isns_reader_is_idle(&reader));
	CU_ASSERT_EQUAL(feed(three, 48, 5, 100), 1);
	CU_ASSERT_EQUAL(payload->len, 12);
	CU_ASSERT_EQUAL(memcmp(payload->data, "abcdefghijkl", 12), 0);
	CU_ASSERT_EQUAL(feed(three, sizeof(three), sizeof(three), 100), 2);
	CU_ASSERT_EQUAL(payload->len, 0);
	CU_ASSERT_EQUAL(feed(three, 48, 48, 8), -1); /* longer than we take */
}

static void test_isns_refuses_what_is_none(void)
{
	CU_ASSERT_EQUAL(feed(BYTES(0, 2, 0x80, 2, 0, 0, 0x4c, 0, 0, 1, 0, 0), 12, 100), -1);
	CU_ASSERT_EQUAL(last_code, ISDSC_INCOMPATIBLE_ISNS_VERSION);
	CU_ASSERT_EQUAL(feed(BYTES('G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1'),
			     12, 100),
			-1);
	/* a length of 3 */
	CU_ASSERT_EQUAL(feed(BYTES(0, 1, 0x80, 2, 0, 3, 0x4c, 0, 0, 1, 0, 0), 12, 100), -1);
	CU_ASSERT_EQUAL(last_code, ISDSC_NON_SPECIFIC_ERROR);
	/* too long by 4 */
	CU_ASSERT_EQUAL(feed(BYTES(0, 1, 0x80, 2, 0, 104, 0x4c, 0, 0, 1, 0, 0), 12, 100), -1);
	/* begins with fragment 1 */
	CU_ASSERT_EQUAL(feed(BYTES(0, 1, 0x80, 2, 0, 0, 0x48, 0, 0, 1, 0, 1), 12, 100), -1);
	/* the second fragment: of another transaction; of another function; empty */
	CU_ASSERT_EQUAL(feed(BYTES(0, 1, 0x80, 2, 0, 0, 0x44, 0, 0, 1, 0, 0, 0, 1, 0x80, 2, 0,
				   4, 0x48, 0, 0, 2, 0, 1),
			     24, 100),
			-1);
	CU_ASSERT_EQUAL(feed(BYTES(0, 1, 0x80, 2, 0, 0, 0x44, 0, 0, 1, 0, 0, 0, 1, 0x80, 5, 0,
				   4, 0x48, 0, 0, 1, 0, 1),
			     24, 100),
			-1);
	CU_ASSERT_EQUAL(feed(BYTES(0, 1, 0x80, 2, 0, 0, 0x44, 0, 0, 1, 0, 0, 0, 1, 0x80, 2, 0,
				   0, 0x40, 0, 0, 1, 0, 1),
			     24, 100),
			-1);
}

static void test_isns_attributes_stay_within_the_message(void)
{
	static const uint8_t good[] = { 0, 0, 0, 33, 0, 0, 0, 4, 0, 0, 0, 2,
					0, 0, 0, 34, 0, 0, 0, 4, 'h', 'i', 0, 0 };
	static const uint8_t bad[][12] = {
		{ 0, 0, 0, 33, 0, 0, 0, 8, 0, 0, 0, 2 },	       /* beyond the end */
		{ 0, 0, 0, 33, 0, 0, 0, 3, 0, 0, 0, 2 },	       /* not padded */
		{ 0, 0, 0, 33, 0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 2 }, /* would wrap */
		{ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 33 },	       /* half a header follows */
	};
	struct isns_cursor c = isns_attrs(good, sizeof(good));
	struct isns_attr a;
	uint32_t n;

	CU_ASSERT(isns_next(&c, &a) && a.tag == 33 && isns_attr_number(&a, &n) && n == 2);
	CU_ASSERT(isns_next(&c, &a) && !strcmp(isns_attr_text(&a, 2), "hi"));
	CU_ASSERT_PTR_NULL(isns_attr_text(&a, 1));
	CU_ASSERT(!isns_next(&c, &a) && !c.is_bad);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		c = isns_attrs(bad[i], sizeof(bad[i]));
		while (isns_next(&c, &a))
			;
		CU_ASSERT(c.is_bad);
	}
}

/* ---- answers to a query ---- */

#define V4(a, b, c, d) 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d
#define NODE(letter, type) 0, 0, 0, 32, 0, 0, 0, 20, 'i', 'q', 'n', '.', '2', '0', '0', '1', '-', \
			   '0', '1', '.', 'a', '.', 'b', ':', letter, 0, 0, 0, \
			   0, 0, 0, 33, 0, 0, 0, 4, 0, 0, 0, type
#define GROUP(letter, port, tag) 0, 0, 0, 48, 0, 0, 0, 20, 'i', 'q', 'n', '.', '2', '0', '0', '1', \
			   '-', '0', '1', '.', 'a', '.', 'b', ':', letter, 0, 0, 0, \
			   0, 0, 0, 49, 0, 0, 0, 16, V4(10, 0, 0, 5), \
			   0, 0, 0, 50, 0, 0, 0, 4, 0, 0, port, \
			   0, 0, 0, 51, 0, 0, 0, 4, 0, 0, 0, tag
#define PORTAL(port, security) 0, 0, 0, 16, 0, 0, 0, 16, V4(10, 0, 0, 5), \
			   0, 0, 0, 17, 0, 0, 0, 4, 0, 0, port, \
			   0, 0, 0, 27, 0, 0, 0, 4, 0, 0, 0, security
#define KEY 0, 0, 0, 33, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0
#define P3260 0x0c, 0xbc
#define P3261 0x0c, 0xbd

static const struct target_portal *portal_at(const struct isns_target *t, unsigned i)
{
	CU_ASSERT_FATAL(i < t->portals->len);
	return &g_array_index(t->portals, struct target_portal, i);
}

static void test_isns_groups_join_targets_and_portals(void)
{
	g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) found = isns_answer_targets(
		BYTES(KEY, NODE('t', 1), PORTAL(P3260, 7), GROUP('t', P3260, 2), PORTAL(P3261, 0),
		      GROUP('t', P3261, 3), NODE('i', 2), GROUP('i', P3260, 1), NODE('u', 3),
		      GROUP('u', P3261, 9), NODE('T', 1), NODE('_', 1), NODE('s', 1),
		      GROUP('s', P3261, 9)),
		"iqn.2001-01.a.b:s", bad, NULL);
	const struct isns_target *t;

	/* the initiator, ourselves, the same in upper case, a bad name: not among them */
	CU_ASSERT_FATAL(found && found->len == 2);
	t = found->pdata[0];
	CU_ASSERT_STRING_EQUAL(t->name, "iqn.2001-01.a.b:t");
	CU_ASSERT_EQUAL(t->portals->len, 2);
	CU_ASSERT_STRING_EQUAL(portal_at(t, 0)->host, "10.0.0.5");
	CU_ASSERT_EQUAL(portal_at(t, 0)->port, 3260);
	CU_ASSERT_EQUAL(portal_at(t, 0)->tpgt, 2);
	CU_ASSERT_EQUAL(portal_at(t, 0)->security, 7);
	CU_ASSERT_EQUAL(portal_at(t, 1)->tpgt, 3);
	CU_ASSERT_EQUAL(portal_at(t, 1)->security, 0);
	t = found->pdata[1];
	CU_ASSERT_STRING_EQUAL(t->name, "iqn.2001-01.a.b:u");
	CU_ASSERT_EQUAL(t->portals->len, 1);
	CU_ASSERT_FATAL(bad->len == 1);
	CU_ASSERT_STRING_EQUAL(bad->pdata[0], "iqn.2001-01.a.b:_");
}

static void test_isns_without_groups_the_portals_of_the_entity_count(void)
{
	g_autoptr(GPtrArray) found = isns_answer_targets(
		BYTES(KEY, 0, 0, 0, 1, 0, 0, 0, 4, 'e', '1', 0, 0, NODE('t', 1), PORTAL(P3260, 0),
		      0, 0, 0, 1, 0, 0, 0, 4, 'e', '2', 0, 0, NODE('u', 1), NODE('v', 1),
		      PORTAL(P3261, 0)),
		NULL, NULL, NULL);

	CU_ASSERT_FATAL(found && found->len == 3);
	CU_ASSERT_EQUAL(portal_at(found->pdata[0], 0)->port, 3260);
	CU_ASSERT_EQUAL(portal_at(found->pdata[1], 0)->port, 3261);
	CU_ASSERT_EQUAL(portal_at(found->pdata[2], 0)->port, 3261);
}

static void test_isns_answer_that_is_cut_is_refused(void)
{
	static const uint8_t whole[] = { KEY, NODE('t', 1), GROUP('t', P3260, 2) };
	GError *err = NULL;

	CU_ASSERT_PTR_NULL(isns_answer_targets(whole, sizeof(whole) - 4, NULL, NULL, &err));
	CU_ASSERT_EQUAL(error_errno(err), EPROTO);
	g_clear_error(&err);
}

/* ---- what we write ---- */

static void test_isns_writes_what_the_rfc_shows(void)
{
	static const uint8_t wanted[] = {
		0, 1, 0, 1, 0, 56, 0x9c, 0, 0, 5, 0, 0, /* DevAttrReg; client, replace, whole */
		0, 0, 0, 32, 0, 0, 0, 8, 'i', 'q', 'n', '.', 'a', 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 1, 0x2c,
		0, 0, 0, 32, 0, 0, 0, 12, 'i', 'q', 'n', '.', 'a', 'b', 'c', 'd', 0, 0, 0, 0,
	};
	g_autoptr(GByteArray) m = isns_begin(ISNS_DEV_ATTR_REG, ISNS_REPLACE, 5);

	isns_put_text(m, ISNS_TAG_NODE, "iqn.a");
	isns_put_tag(m, ISNS_TAG_DELIMITER);
	isns_put_number(m, ISNS_TAG_PERIOD, 300);
	isns_put_text(m, ISNS_TAG_NODE, "iqn.abcd");
	CU_ASSERT(isns_end(m));
	CU_ASSERT_FATAL(m->len == sizeof(wanted));
	CU_ASSERT_EQUAL(memcmp(m->data, wanted, sizeof(wanted)), 0);
}

static void test_isns_addresses_are_mapped(void)
{
	static const uint8_t wanted[] = { 0, 0, 0, 16, 0, 0, 0, 16, V4(192, 0, 2, 1) };
	static const uint8_t old[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1 };
	static const uint8_t loopback[16] = { [15] = 1 };
	g_autoptr(GByteArray) m = g_byte_array_new();
	struct sockaddr_storage ss = { .ss_family = AF_INET };
	char text[INET6_ADDRSTRLEN];
	struct isns_attr a = { 16, 16, wanted + 8 };

	((struct sockaddr_in *)(void *)&ss)->sin_addr.s_addr = htonl(0xc0000201);
	isns_put_address(m, ISNS_TAG_PORTAL_ADDRESS, &ss);
	CU_ASSERT_FATAL(m->len == sizeof(wanted));
	CU_ASSERT_EQUAL(memcmp(m->data, wanted, sizeof(wanted)), 0);
	CU_ASSERT(isns_attr_address(&a, text) && !strcmp(text, "192.0.2.1"));
	a.value = old;
	CU_ASSERT(isns_attr_address(&a, text) && !strcmp(text, "192.0.2.1"));
	a.value = loopback;
	CU_ASSERT(isns_attr_address(&a, text) && !strcmp(text, "::1"));
	a.len = 4;
	CU_ASSERT_FALSE(isns_attr_address(&a, text));
}

static void test_isns_status_has_a_text(void)
{
	CU_ASSERT_STRING_EQUAL(isns_status_text(9), "no such entry");
	CU_ASSERT_STRING_EQUAL(isns_status_text(23), "registration feature not supported");
	CU_ASSERT_STRING_EQUAL(isns_status_text(4294967295u), "status 4294967295");
}

/* Every state but the last leads somewhere; from every one that is busy it can fail, and from
 * every one before the end it can be left. */
static void test_isns_states(void)
{
	for (unsigned from = 0; from < ISNS_STATE_LEAVING; from++)
		CU_ASSERT(isns_state_may(from, ISNS_STATE_LEAVING));
	for (unsigned from = ISNS_STATE_CONNECTING; from <= ISNS_STATE_ASKING; from++)
		CU_ASSERT(isns_state_may(from, ISNS_STATE_FAILED));
	for (unsigned to = 0; to < ISNS_STATES; to++) {
		CU_ASSERT_FALSE(isns_state_may(ISNS_STATE_GONE, to));
		CU_ASSERT_EQUAL(isns_state_may(ISNS_STATE_LEAVING, to), to == ISNS_STATE_GONE);
		CU_ASSERT_FALSE(isns_state_may(to, ISNS_STATE_NEVER));
	}
	CU_ASSERT(isns_state_may(ISNS_STATE_ASKING, ISNS_STATE_OK));
	CU_ASSERT_FALSE(isns_state_may(ISNS_STATE_FAILED, ISNS_STATE_OK));
}

UNIT_MAIN("isns", UNIT(test_isns_reads_a_message_in_any_pieces), UNIT(test_isns_joins_fragments),
	  UNIT(test_isns_refuses_what_is_none),
	  UNIT(test_isns_attributes_stay_within_the_message),
	  UNIT(test_isns_groups_join_targets_and_portals),
	  UNIT(test_isns_without_groups_the_portals_of_the_entity_count),
	  UNIT(test_isns_answer_that_is_cut_is_refused),
	  UNIT(test_isns_writes_what_the_rfc_shows), UNIT(test_isns_addresses_are_mapped),
	  UNIT(test_isns_status_has_a_text), UNIT(test_isns_states))
