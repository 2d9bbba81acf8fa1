/* SPDX-License-Identifier: BSD-2-Clause */
/* SendTargets answers: the examples of RFC 7143 appendix C, what real targets send, and what
 * nobody should. The text is typed as on the wire: pairs with a NUL behind each. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "core/discovery.h"
#include "unit.h"

#define ANSWER(text) text, sizeof(text) - 1 /* the literal's own NUL is no part of it */

static GPtrArray *bad;

static GPtrArray *parse(const char *text, size_t len)
{
	g_clear_pointer(&bad, g_ptr_array_unref);
	bad = g_ptr_array_new_with_free_func(g_free);
	return sendtargets_parse((const uint8_t *)text, len, bad, NULL);
}

static const struct found_target *target_at(const GPtrArray *found, unsigned i)
{
	CU_ASSERT_FATAL(found && i < found->len);
	return found->pdata[i];
}

static void check_portal(const struct found_target *f, unsigned i, const char *host, int port,
			 int tpgt)
{
	const struct target_portal *p;

	CU_ASSERT_FATAL(i < f->portals->len);
	p = &g_array_index(f->portals, struct target_portal, i);
	CU_ASSERT_STRING_EQUAL(p->host, host);
	CU_ASSERT_EQUAL(p->port, port);
	CU_ASSERT_EQUAL(p->tpgt, tpgt);
}

static void check_refused(const char *text, size_t len, const char *why)
{
	GError *err = NULL;

	CU_ASSERT_PTR_NULL(sendtargets_parse((const uint8_t *)text, len, NULL, &err));
	CU_ASSERT_FATAL(err != NULL);
	CU_ASSERT_EQUAL(err->code, ISDSC_INVALID_SENDTARGETS_TEXT);
	CU_ASSERT_EQUAL(error_errno(err), EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, why));
	g_error_free(err);
}

/* ---- what the RFC shows ---- */

static void test_sendtargets_without_address_means_the_one_asked(void)
{
	g_autoptr(GPtrArray) found =
		parse(ANSWER("TargetName=iqn.1993-11.com.example:diskarray.sn.8675309\0"));

	CU_ASSERT_EQUAL(found->len, 1);
	CU_ASSERT_STRING_EQUAL(target_at(found, 0)->name,
			       "iqn.1993-11.com.example:diskarray.sn.8675309");
	CU_ASSERT_EQUAL(target_at(found, 0)->portals->len, 0);
	CU_ASSERT_EQUAL(bad->len, 0);
}

static void test_sendtargets_two_targets_with_two_addresses(void)
{
	g_autoptr(GPtrArray) found =
		parse(ANSWER("TargetName=iqn.1993-11.com.example:diskarray.sn.8675309\0"
			     "TargetAddress=10.1.0.45:3000,1\0"
			     "TargetAddress=10.1.1.45:3000,2\0"
			     "TargetName=iqn.1993-11.com.example:diskarray.sn.1234567\0"
			     "TargetAddress=10.1.0.45:3000,1\0"
			     "TargetAddress=10.1.1.45:3000,2\0"));

	CU_ASSERT_EQUAL(found->len, 2);
	for (unsigned i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(target_at(found, i)->portals->len, 2);
		check_portal(target_at(found, i), 0, "10.1.0.45", 3000, 1);
		check_portal(target_at(found, i), 1, "10.1.1.45", 3000, 2);
	}
	CU_ASSERT_STRING_EQUAL(target_at(found, 1)->name,
			       "iqn.1993-11.com.example:diskarray.sn.1234567");
}

static void test_sendtargets_address_forms_of_13_8(void)
{
	g_autoptr(GPtrArray) found =
		parse(ANSWER("TargetName=naa.62004567BA64678D0123456789ABCDEF\0"
			     "TargetAddress=10.0.0.1:5003,1\0"
			     "TargetAddress=[1080:0:0:0:8:800:200C:417A],65\0"
			     "TargetAddress=[1080::8:800:200C:417A]:5003,1\0"
			     "TargetAddress=computingcenter.example.com,23\0"
			     "TargetAddress=10.0.0.2\0"));
	const struct found_target *f = target_at(found, 0);

	CU_ASSERT_STRING_EQUAL(f->name, "naa.62004567ba64678d0123456789abcdef");
	CU_ASSERT_EQUAL(f->portals->len, 5);
	check_portal(f, 0, "10.0.0.1", 5003, 1);
	CU_ASSERT_EQUAL(g_array_index(f->portals, struct target_portal, 1).port, 3260);
	CU_ASSERT_EQUAL(g_array_index(f->portals, struct target_portal, 1).tpgt, 65);
	CU_ASSERT_EQUAL(g_array_index(f->portals, struct target_portal, 2).port, 5003);
	check_portal(f, 3, "computingcenter.example.com", 3260, 23);
	check_portal(f, 4, "10.0.0.2", 3260, -1);
}

static void test_sendtargets_empty_answer_is_no_target(void)
{
	g_autoptr(GPtrArray) found = parse("", 0);

	CU_ASSERT_PTR_NOT_NULL_FATAL(found);
	CU_ASSERT_EQUAL(found->len, 0);
}

/* ---- what real targets do ---- */

/* targets.md, LIO quirk 5. */
static void test_sendtargets_target_told_in_two_pieces_is_one(void)
{
	g_autoptr(GPtrArray) found = parse(ANSWER("TargetName=iqn.2026-01.local.lio:main\0"
						  "TargetAddress=10.78.0.2:3260,1\0"
						  "TargetName=iqn.2026-01.local.lio:chap\0"
						  "TargetAddress=10.78.0.2:3260,1\0"
						  "TargetName=iqn.2026-01.local.lio:main\0"
						  "TargetAddress=10.78.0.2:3260,1\0"
						  "TargetAddress=10.78.0.3:3260,2\0"));

	CU_ASSERT_EQUAL(found->len, 2);
	CU_ASSERT_STRING_EQUAL(target_at(found, 0)->name, "iqn.2026-01.local.lio:main");
	CU_ASSERT_EQUAL(target_at(found, 0)->portals->len, 2);
	check_portal(target_at(found, 0), 1, "10.78.0.3", 3260, 2);
	CU_ASSERT_EQUAL(target_at(found, 1)->portals->len, 1);
}

static void test_sendtargets_name_is_folded_before_it_is_compared(void)
{
	g_autoptr(GPtrArray) found = parse(ANSWER("TargetName=iqn.2026-01.local:Disk\0"
						  "TargetName=iqn.2026-01.local:disk\0"));

	CU_ASSERT_EQUAL(found->len, 1);
	CU_ASSERT_STRING_EQUAL(target_at(found, 0)->name, "iqn.2026-01.local:disk");
}

static void test_sendtargets_alias_is_tolerated(void)
{
	g_autoptr(GPtrArray) found = parse(ANSWER("TargetName=iqn.2026-01.local:disk\0"
						  "TargetAlias=Bob-s Disk\0"
						  "TargetAddress=10.0.0.1,1\0"));

	CU_ASSERT_STRING_EQUAL(target_at(found, 0)->alias, "Bob-s Disk");
	CU_ASSERT_EQUAL(target_at(found, 0)->portals->len, 1);
}

/* ---- what is wrong ---- */

/* UNH-IOL FFP 18.4. */
static void test_sendtargets_foreign_key_is_a_protocol_error(void)
{
	check_refused(ANSWER("TargetName=iqn.2026-01.local:disk\0"
			     "MaxRecvDataSegmentLength=512\0"),
		      "MaxRecvDataSegmentLength");
	check_refused(ANSWER("targetname=iqn.2026-01.local:disk\0"), "targetname");
}

static void test_sendtargets_address_without_target_is_a_protocol_error(void)
{
	check_refused(ANSWER("TargetAddress=10.0.0.1:3260,1\0"), "TargetAddress");
}

static void test_sendtargets_broken_text_is_a_protocol_error(void)
{
	check_refused(ANSWER("TargetName=iqn.2026-01.local:disk"), "NUL");
	check_refused(ANSWER("TargetName\0"), "");
	check_refused(ANSWER("=iqn.2026-01.local:disk\0"), "");
	check_refused(ANSWER("\xff\xfe=\x80\0"), "");
}

static void check_bad_name(const char *text, size_t len, const char *want)
{
	g_autoptr(GError) err = NULL;

	CU_ASSERT_PTR_NULL(sendtargets_parse((const uint8_t *)text, len, NULL, &err));
	CU_ASSERT_FATAL(g_error_matches(err, ERROR_ISDSC, ISDSC_INVALID_ISCSI_NAME));
	CU_ASSERT_EQUAL(error_errno(err), EPROTO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err->message, want));
}

/* A1: all of the answer goes, as the guide says; the event can name it. */
static void test_sendtargets_bad_name_makes_the_answer_invalid(void)
{
	check_bad_name(ANSWER("TargetName=iqn.2026-01.local:good\0"
			      "TargetName=disk/../../etc\n\0"
			      "TargetAddress=10.0.0.9:3260,1\0"
			      "TargetName=iqn.2026-01.local:alsogood\0"
			      "TargetAddress=10.0.0.1:3260,1\0"),
		       "'disk/../../etc\\x0a'");
	check_bad_name(ANSWER("TargetName=\0"), "''");
}

static void test_sendtargets_name_of_224_bytes_is_bad(void)
{
	g_autoptr(GString) text = g_string_new("TargetName=iqn.2026-01.local:");
	GPtrArray *found;

	while (text->len < strlen("TargetName=") + 223)
		g_string_append_c(text, 'x');
	found = parse(text->str, text->len + 1);
	CU_ASSERT_EQUAL(found->len, 1);
	g_ptr_array_unref(found);
	g_string_append_c(text, 'x');
	check_bad_name(text->str, text->len + 1, "223 bytes");
}

static void test_sendtargets_bad_address_is_passed_over(void)
{
	g_autoptr(GPtrArray) found = parse(ANSWER("TargetName=iqn.2026-01.local:disk\0"
						  "TargetAddress=10.0.0.1:99999,1\0"
						  "TargetAddress=10.0.0.1:3260,1\0"
						  "TargetAddress=\0"));

	CU_ASSERT_EQUAL(target_at(found, 0)->portals->len, 1);
	CU_ASSERT_EQUAL(bad->len, 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(bad->pdata[0], "iqn.2026-01.local:disk"));
}

/* Having no address would mean the address that was asked. */
static void test_sendtargets_target_with_bad_addresses_only_is_dropped(void)
{
	g_autoptr(GPtrArray) found = parse(ANSWER("TargetName=iqn.2026-01.local:lost\0"
						  "TargetAddress=[::1:3260,1\0"
						  "TargetName=iqn.2026-01.local:disk\0"));

	CU_ASSERT_EQUAL(found->len, 1);
	CU_ASSERT_STRING_EQUAL(target_at(found, 0)->name, "iqn.2026-01.local:disk");
}

static void test_sendtargets_nobody_need_want_the_bad_ones(void)
{
	static const char text[] = "TargetName=iqn.2026-01.local:disk\0TargetAddress=bad:port\0"
				   "TargetAddress=10.0.0.1:3260,1";
	g_autoptr(GPtrArray) found =
		sendtargets_parse((const uint8_t *)text, sizeof(text), NULL, NULL);

	CU_ASSERT_EQUAL(found->len, 1);
}

/* ---- too much of it ---- */

static void test_sendtargets_addresses_of_a_target_are_bounded(void)
{
	g_autoptr(GString) text = g_string_new("TargetName=iqn.2026-01.local:disk");
	g_autoptr(GPtrArray) found = NULL;

	g_string_append_c(text, '\0');
	for (unsigned i = 0; i < 100000; i++)
		g_string_append_printf(text, "TargetAddress=10.0.%u.%u%c", i / 250, i % 250, 0);
	found = parse(text->str, text->len);
	CU_ASSERT_EQUAL(target_at(found, 0)->portals->len, SENDTARGETS_PORTALS_MAX);
}

static void test_sendtargets_targets_and_complaints_are_bounded(void)
{
	g_autoptr(GString) text = g_string_new(NULL);
	g_autoptr(GPtrArray) found = NULL;

	for (unsigned i = 0; i < SENDTARGETS_TARGETS_MAX + 1000; i++)
		g_string_append_printf(text, "TargetName=iqn.2026-01.local:%u%c", i, 0);
	found = parse(text->str, text->len);
	CU_ASSERT_EQUAL(found->len, SENDTARGETS_TARGETS_MAX);
	CU_ASSERT_EQUAL(bad->len, SENDTARGETS_BAD_MAX);
	g_clear_pointer(&bad, g_ptr_array_unref);
}

UNIT_MAIN("sendtargets", UNIT(test_sendtargets_without_address_means_the_one_asked),
	  UNIT(test_sendtargets_two_targets_with_two_addresses),
	  UNIT(test_sendtargets_address_forms_of_13_8),
	  UNIT(test_sendtargets_empty_answer_is_no_target),
	  UNIT(test_sendtargets_target_told_in_two_pieces_is_one),
	  UNIT(test_sendtargets_name_is_folded_before_it_is_compared),
	  UNIT(test_sendtargets_alias_is_tolerated),
	  UNIT(test_sendtargets_foreign_key_is_a_protocol_error),
	  UNIT(test_sendtargets_address_without_target_is_a_protocol_error),
	  UNIT(test_sendtargets_broken_text_is_a_protocol_error),
	  UNIT(test_sendtargets_bad_name_makes_the_answer_invalid),
	  UNIT(test_sendtargets_name_of_224_bytes_is_bad),
	  UNIT(test_sendtargets_bad_address_is_passed_over),
	  UNIT(test_sendtargets_target_with_bad_addresses_only_is_dropped),
	  UNIT(test_sendtargets_nobody_need_want_the_bad_ones),
	  UNIT(test_sendtargets_addresses_of_a_target_are_bounded),
	  UNIT(test_sendtargets_targets_and_complaints_are_bounded))
