/* SPDX-License-Identifier: BSD-2-Clause */
/* Unit tests of base/text.c: what is accepted, and that hostile input is not. */
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "unit.h"

/* ---- numbers ---- */

static void test_text_u64_accepts_decimal_and_hex(void)
{
	static const struct {
		const char *s;
		uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "007", 7 },
		{ "0x0", 0 },
		{ "0xfF", 255 },
		{ "0X10", 16 },
		{ "18446744073709551615", UINT64_MAX },
		{ "0xffffffffffffffff", UINT64_MAX },
		{ "0000000000000000000000000000001", 1 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		uint64_t value = 99;

		CU_ASSERT_EQUAL(text_parse_u64(good[i].s, 0, UINT64_MAX, &value), 0);
		CU_ASSERT_EQUAL(value, good[i].value);
	}
}

static void test_text_u64_refuses_what_is_no_number(void)
{
	static const char *const bad[] = {
		"",    " 1", "1 ",  "+1",   "-1", "0x",	  "x1", "1x",
		"0x ", "1.", "1e3", "0x1g", "１", "0b11", "\n", "1\n"
	};
	uint64_t value = 99;

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		CU_ASSERT_EQUAL(text_parse_u64(bad[i], 0, UINT64_MAX, &value), -EINVAL);
	CU_ASSERT_EQUAL(value, 99);
}

static void test_text_u64_refuses_what_is_out_of_bounds(void)
{
	uint64_t value = 99;

	CU_ASSERT_EQUAL(text_parse_u64("18446744073709551616", 0, UINT64_MAX, &value), -ERANGE);
	CU_ASSERT_EQUAL(text_parse_u64("0x10000000000000000", 0, UINT64_MAX, &value), -ERANGE);
	CU_ASSERT_EQUAL(text_parse_u64("99999999999999999999999999", 0, UINT64_MAX, &value),
			-ERANGE);
	CU_ASSERT_EQUAL(text_parse_u64("99999999999999999999999999x", 0, UINT64_MAX, &value),
			-EINVAL);
	CU_ASSERT_EQUAL(text_parse_u64("4", 5, 10, &value), -ERANGE);
	CU_ASSERT_EQUAL(text_parse_u64("11", 5, 10, &value), -ERANGE);
	CU_ASSERT_EQUAL(value, 99);
	CU_ASSERT_EQUAL(text_parse_u64("10", 5, 10, &value), 0);
	CU_ASSERT_EQUAL(value, 10);
}

static void test_text_bool_knows_its_words(void)
{
	static const char *const yes[] = { "yes", "on", "true", "1", "Yes" };
	static const char *const no[] = { "no", "off", "false", "0", "OFF" };
	static const char *const bad[] = { "", "y", "yes ", "2", "01", "truefalse" };
	bool value;

	for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
		value = false;
		CU_ASSERT_EQUAL(text_parse_bool(yes[i], &value), 0);
		CU_ASSERT(value);
		CU_ASSERT_EQUAL(text_parse_bool(no[i], &value), 0);
		CU_ASSERT_FALSE(value);
	}
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		CU_ASSERT_EQUAL(text_parse_bool(bad[i], &value), -EINVAL);
}

static void expect_seconds(const char *s, int64_t max_ms, int expected, int64_t expected_ms)
{
	int64_t ms = -7;

	CU_ASSERT_EQUAL(text_parse_seconds(s, max_ms, &ms), expected);
	CU_ASSERT_EQUAL(ms, expected ? -7 : expected_ms);
}

static void test_text_seconds_have_a_fraction(void)
{
	expect_seconds("0", 1000, 0, 0);
	expect_seconds("30", 60000, 0, 30000);
	expect_seconds("0.5", 1000, 0, 500);
	expect_seconds("1.25", 2000, 0, 1250);
	expect_seconds("1.001", 2000, 0, 1001);
	expect_seconds("0.0001", 1000, 0, 1);
	expect_seconds("0.50000000000000000000000000000", 1000, 0, 500);
	expect_seconds("9223372036854775.807", INT64_MAX, 0, INT64_MAX);
}

static void test_text_seconds_refuse_what_is_none(void)
{
	static const char *const bad[] = { "",	 ".5", "1.",  "-1",  "+1", "1,5", "1.5.1",
					   "1s", " 1", "1e3", "0x1", "1 ", "1.x", "." };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		expect_seconds(bad[i], INT64_MAX, -EINVAL, 0);
	expect_seconds("1.001", 1000, -ERANGE, 0);
	expect_seconds("9223372036854775.808", INT64_MAX, -ERANGE, 0);
	expect_seconds("9223372036854775.8071", INT64_MAX, -ERANGE, 0);
	expect_seconds("99999999999999999999999", INT64_MAX, -ERANGE, 0);
}

/* ---- portals ---- */

static void test_text_portal_accepts_addresses_and_names(void)
{
	static const struct {
		const char *s, *host;
		uint16_t port;
		int tpgt;
	} good[] = {
		{ "10.0.0.5", "10.0.0.5", 3260, -1 },
		{ "10.0.0.5:860", "10.0.0.5", 860, -1 },
		{ "10.0.0.5:3260,1", "10.0.0.5", 3260, 1 },
		{ "10.0.0.5,0", "10.0.0.5", 3260, 0 },
		{ "10.0.0.5:65535,65535", "10.0.0.5", 65535, 65535 },
		{ "[::1]", "::1", 3260, -1 },
		{ "[FE80::1]:3261,2", "fe80::1", 3261, 2 },
		{ "[fe80::1%eth0]:3260", "fe80::1%eth0", 3260, -1 },
		{ "2001:db8::10", "2001:db8::10", 3260, -1 },
		{ "2001:0DB8:0:0:0:0:0:10,3", "2001:db8::10", 3260, 3 },
		{ "::ffff:10.0.0.5", "::ffff:10.0.0.5", 3260, -1 },
		{ "::", "::", 3260, -1 },
		{ "Array-1.Example.ORG:3260", "array-1.example.org", 3260, -1 },
		{ "array.example.org.", "array.example.org", 3260, -1 },
		{ "my_host", "my_host", 3260, -1 },
		{ "1host", "1host", 3260, -1 },
		{ "4.3.2.1.example", "4.3.2.1.example", 3260, -1 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autofree char *host = NULL;
		uint16_t port = 0;
		int tpgt = -9;

		CU_ASSERT_EQUAL_FATAL(text_parse_portal(good[i].s, 3260, &host, &port, &tpgt),
				      0);
		CU_ASSERT_STRING_EQUAL(host, good[i].host);
		CU_ASSERT_EQUAL(port, good[i].port);
		CU_ASSERT_EQUAL(tpgt, good[i].tpgt);
	}
}

static void expect_no_portal(const char *s)
{
	char *host = NULL;
	uint16_t port = 7;
	int tpgt = 7;

	CU_ASSERT(text_parse_portal(s, 3260, &host, &port, &tpgt) < 0);
	CU_ASSERT_PTR_NULL(host);
	CU_ASSERT(port == 7 && tpgt == 7);
}

static void test_text_portal_refuses_bad_grammar(void)
{
	static const char *const bad[] = {
		"",
		":3260",
		"10.0.0.5:",
		"10.0.0.5:0",
		"10.0.0.5:65536",
		"10.0.0.5:0x10",
		"10.0.0.5:-1",
		"10.0.0.5: 1",
		"10.0.0.5:1:2",
		"10.0.0.5,",
		"10.0.0.5,65536",
		"10.0.0.5,1,2",
		"10.0.0.5,x",
		"10.0.0",
		"10.0.0.256",
		"1",
		"300.1.1.1",
		"010.0.0.5.",
		"[::1",
		"::1]",
		"[::1]3260",
		"[::1]:",
		"[]",
		"[10.0.0.5]",
		"[::1%]",
		"[::1%/x]",
		"[::1%abcdefghijklmnop]",
		":::",
		"1::2::3",
		"a b",
		"a/b",
		"../..",
		"-a",
		"a-",
		"a..b",
		".a",
		".",
		"a\nb",
		"\xff",
		"h\xc3\xb6st",
		"a%eth0",
		"[[::1]]",
		"host:http",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		expect_no_portal(bad[i]);
}

static void test_text_portal_limits_the_length_of_names(void)
{
	g_autofree char *label = g_strnfill(64, 'a');
	g_autofree char *huge = g_strnfill(100000, 'a');
	g_autofree char *digits = g_strnfill(100000, '1');
	g_autofree char *colons = g_strnfill(100000, ':');
	GString *name = g_string_new("x");
	g_autofree char *host = NULL;
	uint16_t port;
	int tpgt;

	expect_no_portal(label);
	CU_ASSERT_EQUAL(text_parse_portal(label + 1, 3260, &host, &port, &tpgt), 0);
	expect_no_portal(huge);
	expect_no_portal(digits);
	expect_no_portal(colons);
	while (name->len < 253)
		g_string_append(name, ".a");
	g_clear_pointer(&host, g_free);
	CU_ASSERT_EQUAL(text_parse_portal(name->str, 3260, &host, &port, &tpgt), 0);
	g_string_append(name, "b");
	expect_no_portal(name->str);
	g_string_free(name, TRUE);
}

static void test_text_portal_prints_what_it_reads(void)
{
	static const char *const canonical[] = { "10.0.0.5:3260", "[2001:db8::1]:860",
						 "[fe80::1%eth0]:3260", "host.example:1" };

	for (size_t i = 0; i < G_N_ELEMENTS(canonical); i++) {
		g_autofree char *host = NULL, *printed = NULL;
		uint16_t port;
		int tpgt;

		CU_ASSERT_EQUAL_FATAL(text_parse_portal(canonical[i], 1, &host, &port, &tpgt),
				      0);
		printed = text_format_portal(host, port);
		CU_ASSERT_STRING_EQUAL(printed, canonical[i]);
	}
}

/* ---- names ---- */

static void test_text_name_accepts_the_three_forms(void)
{
	static const char *const good[] = {
		"iqn.2001-04.com.example:storage.tape1.sys1.xyz", /* RFC 7143 4.2.7.4 */
		"iqn.2001-04.com.example",
		"iqn.1991-05.com.microsoft:host-1.corp.example.com",
		"iqn.2003-01.org.linux-iscsi.host.x8664:sn.0123456789ab",
		"iqn.2001-04.com.example:a:b::c",
		"iqn.2001-04.com.example:",
		"eui.02004567a425678d",
		"naa.52004567ba64678d",
		"naa.62004567ba64678d0123456789abcdef",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
		g_autoptr(GError) err = NULL;
		g_autofree char *name = text_iscsi_name(good[i], &err);

		CU_ASSERT_PTR_NULL(err);
		CU_ASSERT_PTR_NOT_NULL_FATAL(name);
		CU_ASSERT_STRING_EQUAL(name, good[i]);
	}
}

static void test_text_name_is_folded_to_lower_case(void)
{
	g_autofree char *iqn = text_iscsi_name("IQN.2001-04.COM.Example:Disk-A", NULL);
	g_autofree char *eui = text_iscsi_name("EUI.02004567A425678D", NULL);

	CU_ASSERT_STRING_EQUAL(iqn, "iqn.2001-04.com.example:disk-a");
	CU_ASSERT_STRING_EQUAL(eui, "eui.02004567a425678d");
}

/* RFC 3722 by its tables: typed from RFC 3454 (B.1, B.2) and Unicode's compatibility forms. */
static void test_text_name_is_prepared(void)
{
	static const struct {
		const char *from, *to;
	} names[] = {
		/* full-width letters and digits, U+FF29 ... */
		{ "\xef\xbc\xa9\xef\xbc\xb1\xef\xbc\xae.2001-04.com.example:\xef\xbc\x91",
		  "iqn.2001-04.com.example:1" },
		{ "iqn\xef\xbc\x8e" "2001-04.com.example", "iqn.2001-04.com.example" }, /* U+FF0E */
		{ "iqn.2001-04.com.ex\xc2\xad" "ample", "iqn.2001-04.com.example" }, /* soft hyphen */
		{ "iqn.2001-04.com.example\xe2\x80\x8b", "iqn.2001-04.com.example" }, /* U+200B */
		{ "\xef\xbb\xbfiqn.2001-04.com.example", "iqn.2001-04.com.example" }, /* U+FEFF */
		{ "iqn.2001-04.com.example:\xe2\x84\xaa", "iqn.2001-04.com.example:k" }, /* Kelvin */
		{ "iqn.2001-04.com.example:\xe2\x93\x90", "iqn.2001-04.com.example:a" }, /* circled */
		{ "iqn.2001-04.com.example:\xef\xac\x81", "iqn.2001-04.com.example:fi" }, /* fi */
		{ "iqn.2001-04.com.example:\xc2\xb2", "iqn.2001-04.com.example:2" }, /* squared */
		{ "iqn.2001-04.com.example:stra\xc3\x9f" "e", "iqn.2001-04.com.example:strasse" },
		/* and what stays forbidden: */
		{ "iqn.2001-04.com.example:\xe3\x80\x82", NULL }, /* U+3002 */
		{ "iqn.2001-04.com.example:\xef\xbd\xa1", NULL }, /* U+FF61, becomes it */
		{ "iqn.2001-04.com.example:\xc2\xa0", NULL },	  /* becomes a blank */
		{ "iqn.2001-04.com.example:\xef\xbc\x8f", NULL }, /* becomes a slash */
		{ "iqn.2001-04.com.example:\xe2\x80\xa8", NULL }, /* line separator */
		{ "iqn.2001-04.com.example:\xd7\x90", NULL },	  /* Hebrew */
		{ "iqn.2001-04.com.example:\xed\xa0\x80", NULL }, /* a surrogate: no UTF-8 */
		{ "iqn.2001-04.com.example:\xc0\xae", NULL },	  /* overlong dot */
	};

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *name = text_iscsi_name(names[i].from, NULL);

		CU_ASSERT_EQUAL(name == NULL, names[i].to == NULL);
		if (name && names[i].to)
			CU_ASSERT_STRING_EQUAL(name, names[i].to);
	}
}

/* What is counted is what is sent. */
static void test_text_name_is_measured_when_prepared(void)
{
	g_autoptr(GString) s = g_string_new("iqn.2001-04.com.example:");
	g_autofree char *name = NULL;

	for (unsigned n = 24; n < 223; n++)
		g_string_append(s, "\xef\xbd\x81"); /* full-width a */
	name = text_iscsi_name(s->str, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(name);
	CU_ASSERT_EQUAL(strlen(name), 223);
	g_string_append(s, "\xef\xbd\x81");
	CU_ASSERT_PTR_NULL(text_iscsi_name(s->str, NULL));
}

static void test_text_name_refuses_others_and_says_why(void)
{
	static const char *const bad[] = {
		"",
		"iqn",
		"iqn.",
		"iqn.2001",
		"iqn.2001-04",
		"iqn.2001-04.",
		"iqn.2001-04.:x",
		"iqn.2001-00.com.example",
		"iqn.2001-13.com.example",
		"iqn.200a-04.com.example",
		"iqn.2001-4.com.example",
		"iqn.2001-04.com..example",
		"iqn.2001-04.com.:x",
		"iqn.2001-04.com.example:my_disk",
		"iqn.2001-04.com.example:a b",
		"iqn.2001-04.com.example:a/b",
		"iqn.2001-04.com.example:a\n",
		"iqn.2001-04.com.example:\xc3\xa4",
		"iqn.2001-04.com.example:\xff",
		"eui.",
		"eui.02004567a425678",
		"eui.02004567a425678d0",
		"eui.02004567a425678g",
		"naa.",
		"naa.52004567ba64678d0",
		"naa.62004567ba64678d0123456789abcdef0",
		"nqn.2014-08.org.nvmexpress",
		"../../etc/passwd",
		".",
		"*",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) err = NULL;

		CU_ASSERT_PTR_NULL(text_iscsi_name(bad[i], &err));
		CU_ASSERT(g_error_matches(err, ERROR_ISDSC, ISDSC_INVALID_ISCSI_NAME));
		CU_ASSERT(err && strstr(err->message, "is not an iSCSI name: "));
		CU_ASSERT(err && !strpbrk(err->message, "\n\xff\xc3"));
	}
}

static void test_text_name_is_at_most_223_bytes(void)
{
	g_autoptr(GString) s = g_string_new("iqn.2001-04.com.example:");
	g_autofree char *name = NULL, *huge = g_strnfill(1000000, 'a');
	g_autoptr(GError) err = NULL;

	while (s->len < 223)
		g_string_append_c(s, 'a');
	name = text_iscsi_name(s->str, NULL);
	CU_ASSERT_PTR_NOT_NULL(name);
	g_string_append_c(s, 'a');
	CU_ASSERT_PTR_NULL(text_iscsi_name(s->str, NULL));
	CU_ASSERT_PTR_NULL(text_iscsi_name(huge, &err));
	CU_ASSERT(err && strlen(err->message) < 1000);
}

/* ---- binary values ---- */

static void expect_binary(const char *s, size_t max, const void *expected, size_t expected_len)
{
	size_t len = 0;
	int error = 0;
	g_autofree uint8_t *data = text_decode_binary(s, max, &len, &error);

	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	CU_ASSERT_EQUAL(len, expected_len);
	CU_ASSERT(len == expected_len && memcmp(data, expected, len) == 0);
	CU_ASSERT_EQUAL(error, 0);
}

static void expect_no_binary(const char *s, size_t max, int expected)
{
	size_t len = 77;
	int error = 0;

	CU_ASSERT_PTR_NULL(text_decode_binary(s, max, &len, &error));
	CU_ASSERT_EQUAL(error, expected);
	CU_ASSERT_EQUAL(len, 77);
}

static void test_text_binary_reads_hex(void)
{
	expect_binary("0x00", 1, "\0", 1);
	expect_binary("0xdeadBEEF", 4, "\xde\xad\xbe\xef", 4);
	expect_binary("0X1", 4, "\x01", 1);
	expect_binary("0x123", 4, "\x01\x23", 2);
	expect_no_binary("0x", 4, -EINVAL);
	expect_no_binary("0x0g", 4, -EINVAL);
	expect_no_binary("0x 1", 4, -EINVAL);
	expect_no_binary("0x12345", 2, -ERANGE);
	expect_no_binary("0x1", 0, -ERANGE);
	expect_no_binary("0x00\n", 4, -EINVAL);
}

static void test_text_binary_reads_base64(void)
{
	/* RFC 4648 section 10 */
	expect_binary("0bZg==", 9, "f", 1);
	expect_binary("0bZm8=", 9, "fo", 2);
	expect_binary("0BZm9v", 9, "foo", 3);
	expect_binary("0bZm9vYg==", 9, "foob", 4);
	expect_binary("0bZm9vYmE=", 9, "fooba", 5);
	expect_binary("0bZm9vYmFy", 6, "foobar", 6);
	expect_binary("0b+/+/", 9, "\xfb\xff\xbf", 3);
}

static void test_text_binary_refuses_bad_base64(void)
{
	static const char *const bad[] = {
		"0b",	   "0bZ",	 "0bZg",     "0bZg=",
		"0bZg===", "0b====",	 "0b=g==",   "0bZ===",
		"0bZm9v=", "0bZg==Zg==", "0bZm 9v",  "0bZm9-",
		"0bZh==",  "0bZm9=",	 "0bZm9v\n", "0b\xff\xff\xff\xff"
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		expect_no_binary(bad[i], 100, -EINVAL);
	expect_no_binary("0bZm9vYmFy", 5, -ERANGE);
}

static void test_text_binary_needs_a_prefix(void)
{
	static const char *const bad[] = { "", "0", "12", "x12", "deadbeef", "1x00", " 0x00" };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		expect_no_binary(bad[i], 100, -EINVAL);
}

static void test_text_binary_checks_the_limit_before_it_allocates(void)
{
	g_autofree char *huge = g_strnfill(4000000, '1');

	memcpy(huge, "0x", 2);
	expect_no_binary(huge, 1024, -ERANGE);
	memcpy(huge, "0b11", 4);
	huge[3999998] = '\0';
	expect_no_binary(huge, 1024, -ERANGE);
}

static void test_text_hex_is_lower_case(void)
{
	g_autofree char *s = text_encode_hex("\x00\xAB\x7f", 3), *none = text_encode_hex("", 0);

	CU_ASSERT_STRING_EQUAL(s, "0x00ab7f");
	CU_ASSERT_STRING_EQUAL(none, "0x");
}

/* ---- bytes from outside ---- */

static void expect_escape(const char *data, size_t len, size_t max, const char *expected)
{
	g_autofree char *s = text_escape(data, len, max);

	CU_ASSERT_STRING_EQUAL(s, expected);
}

static void test_text_escape_leaves_printable_ascii_only(void)
{
	expect_escape("abc ~!", 6, 100, "abc ~!");
	expect_escape("a\0b\n\x1b[2J", 8, 100, "a\\x00b\\x0a\\x1b[2J");
	expect_escape("\"\\\x7f\xff", 4, 100, "\\x22\\x5c\\x7f\\xff");
	expect_escape("", 0, 100, "");
	expect_escape("abcdef", 6, 3, "abc...");
	expect_escape("abc", 3, 3, "abc");
	expect_escape("abc", 3, 0, "...");
}

static void test_text_from_scsi_trims_and_replaces(void)
{
	static const struct {
		const char *data;
		size_t len;
		const char *expected;
	} t[] = {
		{ "LIO-ORG ", 8, "LIO-ORG" },
		{ "        ", 8, "" },
		{ "ab\0\0\0 \0", 7, "ab" },
		{ " a b ", 5, " a b" },
		{ "a\0b\x1b", 4, "a?b?" },
		{ "\xe4\"/\\", 4, "?\"/\\" },
		{ "", 0, "" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(t); i++) {
		g_autofree char *s = text_from_scsi(t[i].data, t[i].len);

		CU_ASSERT_STRING_EQUAL(s, t[i].expected);
	}
}

/* ---- control lines ---- */

/* @expected: the words, each followed by '|'. */
static void expect_words(const char *line, const char *expected)
{
	g_autoptr(GError) err = NULL;
	g_auto(GStrv) words = text_split_words(line, &err);
	g_autoptr(GString) all = g_string_new(NULL);

	CU_ASSERT_PTR_NULL(err);
	CU_ASSERT_PTR_NOT_NULL_FATAL(words);
	for (size_t i = 0; words[i]; i++)
		g_string_append_printf(all, "%s|", words[i]);
	CU_ASSERT_STRING_EQUAL(all->str, expected);
}

static void test_text_words_are_separated_by_blanks(void)
{
	expect_words("login", "login|");
	expect_words("  login \t user=x  ", "login|user=x|");
	expect_words("", "");
	expect_words(" \t ", "");
	expect_words("a\xc3\xa4", "a\xc3\xa4|");
}

static void test_text_words_may_be_quoted(void)
{
	expect_words("alias=\"my disk\" x", "alias=my disk|x|");
	expect_words("\"\"", "|");
	expect_words("a\"\"b", "ab|");
	expect_words("\"a\" \"b\"", "a|b|");
	expect_words("\"a\"\"b c\"d", "ab cd|");
	expect_words("secret=\"a#b\"", "secret=a#b|");
}

static void expect_plain(const char *s, size_t size, const char *expected)
{
	char out[64];

	memset(out, 'X', sizeof(out));
	text_plain(s, strlen(s), out, size);
	CU_ASSERT_STRING_EQUAL(out, expected);
	CU_ASSERT(strlen(out) < size);
	CU_ASSERT_EQUAL(out[size], 'X');
}

static void test_text_plain_keeps_words_and_cuts_between_characters(void)
{
	expect_plain("a \xc3\xa4\n\x1b\xff\\\"", 60, "a \xc3\xa4\\x0a\\x1b\\xff\\\"");
	expect_plain("", 8, "");
	expect_plain("1234567", 8, "1234567");
	expect_plain("12345678", 8, "1234...");
	expect_plain("123\xc3\xa4\x01", 8, "123...");
	expect_plain("\x01\x02", 8, "\\x01...");
	expect_plain("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8, "\xc3\xa4\xc3\xa4...");
}

static void test_text_words_have_escapes(void)
{
	expect_words("a\\x20b", "a b|");
	expect_words("\"a\\x0ab\"", "a\nb|");
	expect_words("\\\\ \\\" \"\\\"\"", "\\|\"|\"|");
	expect_words("\\x41\\xfF", "A\xff|");
	expect_words("\\x23x", "#x|");
}

static void test_text_words_end_at_a_comment(void)
{
	expect_words("# all", "");
	expect_words("login # now", "login|");
	expect_words("a#b", "a#b|");
	expect_words("a #", "a|");
	expect_words("\"#\" b", "#|b|");
	expect_words("a #\"\x01", "a|");
}

static void test_text_words_refuse_bad_lines_without_showing_them(void)
{
	static const char *const bad[] = {
		"hush \"",	 "\"hush",	"hush\"x",    "hush \\",    "hush \\n",
		"hush \\x",	 "hush \\x1",	"hush \\xg1", "hush \\x1g", "hush \\x00",
		"hush\n",	 "hush\r",	"hush\x7f",   "\"hush\t\"", "hush\x1b[0m",
		"hush \"a\nb\"", "hush \"\\\"",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		g_autoptr(GError) err = NULL;

		CU_ASSERT_PTR_NULL(text_split_words(bad[i], &err));
		CU_ASSERT(g_error_matches(err, ERROR_ISDSC, ISDSC_INVALID_PARAMETER));
		CU_ASSERT(err && g_str_has_prefix(err->message, "column "));
		CU_ASSERT(err && !strstr(err->message, "hush"));
		CU_ASSERT_PTR_NULL(text_split_words(bad[i], NULL));
	}
}

static void test_text_words_take_long_lines(void)
{
	enum { WORDS = 20000 };
	g_autoptr(GString) line = g_string_new(NULL);
	g_auto(GStrv) words = NULL;

	for (int i = 0; i < WORDS; i++)
		g_string_append(line, "\\x41\"b\" ");
	words = text_split_words(line->str, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(words);
	CU_ASSERT_EQUAL(g_strv_length(words), WORDS);
	CU_ASSERT_STRING_EQUAL(words[WORDS - 1], "Ab");
}

static void test_text_secrets_are_wiped(void)
{
	char secret[] = "hush", *copy = g_strdup(secret);

	text_wipe(secret, sizeof(secret));
	CU_ASSERT_EQUAL(memcmp(secret, "\0\0\0\0", 5), 0);
	text_free_secret(copy);
	text_wipe(NULL, 0);
	text_free_secret(NULL);
}

UNIT_MAIN("text", UNIT(test_text_u64_accepts_decimal_and_hex),
	  UNIT(test_text_u64_refuses_what_is_no_number),
	  UNIT(test_text_u64_refuses_what_is_out_of_bounds),
	  UNIT(test_text_bool_knows_its_words), UNIT(test_text_seconds_have_a_fraction),
	  UNIT(test_text_seconds_refuse_what_is_none),
	  UNIT(test_text_portal_accepts_addresses_and_names),
	  UNIT(test_text_portal_refuses_bad_grammar),
	  UNIT(test_text_portal_limits_the_length_of_names),
	  UNIT(test_text_portal_prints_what_it_reads),
	  UNIT(test_text_name_accepts_the_three_forms),
	  UNIT(test_text_name_is_folded_to_lower_case),
	  UNIT(test_text_name_is_prepared), UNIT(test_text_name_is_measured_when_prepared),
	  UNIT(test_text_name_refuses_others_and_says_why),
	  UNIT(test_text_name_is_at_most_223_bytes), UNIT(test_text_binary_reads_hex),
	  UNIT(test_text_binary_reads_base64), UNIT(test_text_binary_refuses_bad_base64),
	  UNIT(test_text_binary_needs_a_prefix),
	  UNIT(test_text_binary_checks_the_limit_before_it_allocates),
	  UNIT(test_text_hex_is_lower_case), UNIT(test_text_escape_leaves_printable_ascii_only),
	  UNIT(test_text_from_scsi_trims_and_replaces),
	  UNIT(test_text_words_are_separated_by_blanks), UNIT(test_text_words_may_be_quoted),
	  UNIT(test_text_plain_keeps_words_and_cuts_between_characters),
	  UNIT(test_text_words_have_escapes), UNIT(test_text_words_end_at_a_comment),
	  UNIT(test_text_words_refuse_bad_lines_without_showing_them),
	  UNIT(test_text_words_take_long_lines), UNIT(test_text_secrets_are_wiped))
