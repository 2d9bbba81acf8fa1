/* SPDX-License-Identifier: BSD-2-Clause */
/* Negotiation of text keys: what we offer, what we accept as answers, how we answer, by the
 * rules of RFC 7143 sections 6 and 13. Numbers in names are those of the UNH-IOL login suite.
 */
#include <string.h>

#include "base/error.h"
#include "iscsi/keys.h"
#include "unit.h"

/* Keys as "A=1 B=2 " instead of with NULs; freed by the caller. */
static char *shown(const GByteArray *text)
{
	char *s;

	if (!text->len)
		return g_strdup("");
	s = g_strndup((const char *)text->data, text->len);
	for (guint i = 0; i < text->len; i++)
		s[i] = text->data[i] ? (char)text->data[i] : ' ';
	return s;
}

static struct keys *start(enum keys_session type, const struct keys_wishes *wishes)
{
	struct keys_wishes defaults;

	keys_wishes_default(&defaults);
	return keys_new(type, wishes ? wishes : &defaults, NULL);
}

static char *offer(struct keys *k)
{
	g_autoptr(GByteArray) out = g_byte_array_new();

	keys_offer(k, out);
	return shown(out);
}

/* Hand in "KEY=VALUE"; the answer as text, "" for none, NULL when it was refused. */
static char *take(struct keys *k, const char *pair, bool can_answer)
{
	g_autoptr(GByteArray) reply = g_byte_array_new();
	g_autofree char *key = g_strndup(pair, (gsize)(strchr(pair, '=') - pair));
	GError *err = NULL;

	if (keys_receive(k, key, strchr(pair, '=') + 1, can_answer ? reply : NULL, &err)) {
		CU_ASSERT_PTR_NULL(err);
		return shown(reply);
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(err->domain, ERROR_ISDSC);
	CU_ASSERT_EQUAL(err->code, ISDSC_INVALID_TEXT_KEY);
	CU_ASSERT_EQUAL(reply->len, 0);
	g_clear_error(&err);
	return NULL;
}

static void accepts(struct keys *k, const char *pair)
{
	g_autofree char *reply = take(k, pair, true);

	if (!reply)
		printf("refused: %s\n", pair);
	CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
	CU_ASSERT_STRING_EQUAL(reply, "");
}

static void refuses(struct keys *k, const char *pair)
{
	g_autofree char *reply = take(k, pair, true);

	if (reply)
		printf("accepted: %s, answer \"%s\"\n", pair, reply);
	CU_ASSERT_PTR_NULL(reply);
}

static void answers(struct keys *k, const char *pair, const char *want)
{
	g_autofree char *reply = take(k, pair, true);

	CU_ASSERT_PTR_NOT_NULL_FATAL(reply);
	if (strcmp(reply, want))
		printf("%s answered with \"%s\"\n", pair, reply);
	CU_ASSERT_STRING_EQUAL(reply, want);
}

/* A new negotiation in which everything is offered; one answer to it. */
static void refuses_answer(const struct keys_wishes *wishes, const char *pair)
{
	struct keys *k = start(KEYS_NORMAL, wishes);

	g_free(offer(k));
	refuses(k, pair);
	keys_free(k);
}

static struct keys_values accepts_answer(const struct keys_wishes *wishes, const char *pair)
{
	struct keys *k = start(KEYS_NORMAL, wishes);
	struct keys_values v;

	g_free(offer(k));
	accepts(k, pair);
	keys_values(k, &v);
	keys_free(k);
	return v;
}

/* A new negotiation in which nothing is offered yet; the target proposes. */
static struct keys_values answers_proposal(const struct keys_wishes *wishes, const char *pair,
					   const char *want)
{
	struct keys *k = start(KEYS_NORMAL, wishes);
	struct keys_values v;

	answers(k, pair, want);
	keys_values(k, &v);
	keys_free(k);
	return v;
}

static void refuses_proposal(const char *pair)
{
	struct keys *k = start(KEYS_NORMAL, NULL);

	refuses(k, pair);
	keys_free(k);
}

/* --- offers --- */

static void test_keys_default_offer(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	g_autofree char *text = offer(k), *again = offer(k);

	CU_ASSERT_STRING_EQUAL(text, "HeaderDigest=None DataDigest=None MaxConnections=1 "
				     "InitialR2T=No ImmediateData=Yes "
				     "MaxRecvDataSegmentLength=1048576 MaxBurstLength=1048576 "
				     "FirstBurstLength=262144 DefaultTime2Wait=0 "
				     "DefaultTime2Retain=20 MaxOutstandingR2T=8 "
				     "DataPDUInOrder=Yes DataSequenceInOrder=Yes "
				     "ErrorRecoveryLevel=0 ");
	CU_ASSERT_STRING_EQUAL(again, "");
	keys_free(k);
}

static void test_keys_discovery_offer_has_nothing_irrelevant(void)
{
	struct keys *k = start(KEYS_DISCOVERY, NULL);
	g_autofree char *text = offer(k);

	CU_ASSERT_STRING_EQUAL(text, "HeaderDigest=None DataDigest=None "
				     "MaxRecvDataSegmentLength=65536 DefaultTime2Wait=0 "
				     "DefaultTime2Retain=20 ");
	keys_free(k);
}

static void test_keys_digest_offers(void)
{
	static const char *const want[] = { "HeaderDigest=None ", "HeaderDigest=CRC32C ",
					    "HeaderDigest=CRC32C,None " };
	struct keys_wishes w;

	keys_wishes_default(&w);
	for (int wish = DIGEST_NO; wish <= DIGEST_PREFER; wish++) {
		struct keys *k;
		g_autofree char *text = NULL;

		w.header_digest = (enum digest_wish)wish;
		k = start(KEYS_NORMAL, &w);
		text = offer(k);
		CU_ASSERT_TRUE(g_str_has_prefix(text, want[wish]));
		keys_free(k);
	}
}

/* 16.3 */
static void test_keys_first_burst_is_not_offered_above_max_burst(void)
{
	struct keys_wishes w;
	struct keys *k;
	g_autofree char *text = NULL;

	keys_wishes_default(&w);
	w.max_burst_length = 4096;
	w.first_burst_length = 65536;
	k = start(KEYS_NORMAL, &w);
	text = offer(k);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " MaxBurstLength=4096 FirstBurstLength=4096 "));
	keys_free(k);
}

static void test_keys_wishes_are_cut_to_legal_values(void)
{
	struct keys_wishes w;
	struct keys *k;
	g_autofree char *text = NULL;

	keys_wishes_default(&w);
	w.max_recv_data_segment_length = 100;
	w.max_burst_length = 1u << 30;
	w.max_connections = 0;
	w.max_outstanding_r2t = 70000;
	w.time2wait = 4000;
	w.error_recovery_level = 3;
	w.data_sequence_in_order = false;
	k = start(KEYS_NORMAL, &w);
	text = offer(k);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " MaxRecvDataSegmentLength=512 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " MaxBurstLength=16777215 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " MaxConnections=1 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " MaxOutstandingR2T=65535 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " DefaultTime2Wait=3600 "));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " ErrorRecoveryLevel=2 "));
	keys_free(k);
}

/* 13.19: with recovery and sequences in order MaxOutstandingR2T MUST be 1. */
static void test_keys_recovery_level_limits_outstanding_r2t(void)
{
	struct keys_wishes w;
	struct keys_values v;
	struct keys *k;
	g_autofree char *text = NULL;

	keys_wishes_default(&w);
	w.error_recovery_level = 1;
	k = start(KEYS_NORMAL, &w);
	text = offer(k);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, " MaxOutstandingR2T=1 "));
	keys_free(k);

	w.data_sequence_in_order = false; /* then it comes out of the negotiation */
	k = start(KEYS_NORMAL, &w);
	g_free(offer(k));
	accepts(k, "ErrorRecoveryLevel=1");
	accepts(k, "MaxOutstandingR2T=8");
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.max_outstanding_r2t, 1); /* DataSequenceInOrder is Yes by default */
	accepts(k, "DataSequenceInOrder=No");
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.max_outstanding_r2t, 8);
	keys_free(k);
}

static void test_keys_defaults_before_negotiation(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	struct keys_values v;

	keys_values(k, &v);
	CU_ASSERT_FALSE(v.header_digest || v.data_digest);
	CU_ASSERT_EQUAL(v.max_recv_data_segment_length, 8192);
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 8192);
	CU_ASSERT_EQUAL(v.max_burst_length, 262144);
	CU_ASSERT_EQUAL(v.first_burst_length, 65536);
	CU_ASSERT_EQUAL(v.max_connections, 1);
	CU_ASSERT_EQUAL(v.max_outstanding_r2t, 1);
	CU_ASSERT_EQUAL(v.time2wait, 2);
	CU_ASSERT_EQUAL(v.time2retain, 20);
	CU_ASSERT_EQUAL(v.error_recovery_level, 0);
	CU_ASSERT_TRUE(v.initial_r2t && v.immediate_data);
	CU_ASSERT_TRUE(v.data_pdu_in_order && v.data_sequence_in_order);
	CU_ASSERT_EQUAL(v.target_portal_group_tag, -1);
	CU_ASSERT_STRING_EQUAL(v.target_alias, "");
	keys_free(k);
}

/* --- answers to our offer --- */

/* 10.1, 15.1, 16.2, 17.1, 19.1, 20.1 and 7.4 */
static void test_keys_minimum(void)
{
	CU_ASSERT_EQUAL(accepts_answer(NULL, "MaxBurstLength=1048576").max_burst_length,
			1048576);
	CU_ASSERT_EQUAL(accepts_answer(NULL, "MaxBurstLength=65536").max_burst_length, 65536);
	CU_ASSERT_EQUAL(accepts_answer(NULL, "MaxBurstLength=0x10000").max_burst_length, 65536);
	CU_ASSERT_EQUAL(accepts_answer(NULL, "MaxBurstLength=0X2fF").max_burst_length, 767);
	CU_ASSERT_EQUAL(accepts_answer(NULL, "DefaultTime2Retain=0").time2retain, 0);
	refuses_answer(NULL, "MaxBurstLength=1048577");
	refuses_answer(NULL, "FirstBurstLength=262145");
	refuses_answer(NULL, "MaxConnections=2");
	refuses_answer(NULL, "MaxOutstandingR2T=9");
	refuses_answer(NULL, "DefaultTime2Retain=21");
	refuses_answer(NULL, "ErrorRecoveryLevel=1");
}

/* 18.1 */
static void test_keys_maximum(void)
{
	struct keys_wishes w;

	keys_wishes_default(&w);
	w.time2wait = 2;
	CU_ASSERT_EQUAL(accepts_answer(&w, "DefaultTime2Wait=2").time2wait, 2);
	CU_ASSERT_EQUAL(accepts_answer(&w, "DefaultTime2Wait=3600").time2wait, 3600);
	refuses_answer(&w, "DefaultTime2Wait=1");
	refuses_answer(&w, "DefaultTime2Wait=3601");
}

static void test_keys_bad_numbers(void)
{
	static const char *const bad[] = {
		"MaxBurstLength=",
		"MaxBurstLength=511",
		"MaxBurstLength=0",
		"MaxBurstLength=-512",
		"MaxBurstLength=+512",
		"MaxBurstLength= 512",
		"MaxBurstLength=512 ",
		"MaxBurstLength=512k",
		"MaxBurstLength=0x",
		"MaxBurstLength=0xg00",
		"MaxBurstLength=many",
		"MaxBurstLength=512~1024",
		"MaxBurstLength=512,513",
		"MaxBurstLength=512.0",
		"MaxOutstandingR2T=0",
		"MaxConnections=0",
		"MaxBurstLength=None",
		"ErrorRecoveryLevel=3",
		"MaxBurstLength=18446744073709552128", /* 2^64 + 512 */
		"MaxBurstLength=0x10000000000000200",
		"MaxBurstLength=4294967808",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		refuses_answer(NULL, bad[i]);
}

/* 13.1 to 13.3, 7.5 */
static void test_keys_booleans(void)
{
	struct keys_wishes w;

	keys_wishes_default(&w);
	CU_ASSERT_FALSE(accepts_answer(&w, "InitialR2T=No").initial_r2t);
	CU_ASSERT_TRUE(accepts_answer(&w, "InitialR2T=Yes").initial_r2t);
	CU_ASSERT_TRUE(accepts_answer(&w, "ImmediateData=Yes").immediate_data);
	CU_ASSERT_FALSE(accepts_answer(&w, "ImmediateData=No").immediate_data);
	refuses_answer(&w, "DataPDUInOrder=No"); /* OR: our Yes decides */
	refuses_answer(&w, "DataSequenceInOrder=No");
	refuses_answer(&w, "ImmediateData=yes");
	refuses_answer(&w, "ImmediateData=YES");
	refuses_answer(&w, "ImmediateData=1");
	refuses_answer(&w, "ImmediateData=");
	refuses_answer(&w, "ImmediateData=Yes,No");
	w.initial_r2t = true;
	w.immediate_data = false;
	refuses_answer(&w, "InitialR2T=No");
	refuses_answer(&w, "ImmediateData=Yes"); /* AND: our No decides */
}

/* 9.1 to 9.3, 7.2 */
static void test_keys_digests(void)
{
	struct keys_wishes w;

	keys_wishes_default(&w);
	CU_ASSERT_FALSE(accepts_answer(&w, "HeaderDigest=None").header_digest);
	refuses_answer(&w, "HeaderDigest=CRC32C"); /* not offered */
	refuses_answer(&w, "HeaderDigest=MD5");
	w.header_digest = w.data_digest = DIGEST_PREFER;
	CU_ASSERT_TRUE(accepts_answer(&w, "HeaderDigest=CRC32C").header_digest);
	CU_ASSERT_TRUE(accepts_answer(&w, "DataDigest=CRC32C").data_digest);
	CU_ASSERT_FALSE(accepts_answer(&w, "DataDigest=None").data_digest);
	CU_ASSERT_FALSE(accepts_answer(&w, "DataDigest=Reject").data_digest);
	refuses_answer(&w, "DataDigest=CRC32C,None");
	refuses_answer(&w, "DataDigest=");
	refuses_answer(&w, "DataDigest=CRC32");
	refuses_answer(&w, "DataDigest=crc32c");
}

static void test_keys_required_digest_is_not_given_up(void)
{
	static const char *const bad[] = { "HeaderDigest=None", "HeaderDigest=Reject",
					   "HeaderDigest=Irrelevant" };
	struct keys_wishes w;

	keys_wishes_default(&w);
	w.header_digest = w.data_digest = DIGEST_YES;
	CU_ASSERT_TRUE(accepts_answer(&w, "HeaderDigest=CRC32C").header_digest);
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct keys *k = start(KEYS_NORMAL, &w);

		g_free(offer(k));
		CU_ASSERT_EQUAL(keys_event(k), 0);
		refuses(k, bad[i]);
		CU_ASSERT_EQUAL(keys_event(k), 18);
		keys_free(k);
	}
}

static void test_keys_refused_offer_leaves_the_default(void)
{
	struct keys_wishes w;
	struct keys_values v;

	keys_wishes_default(&w);
	w.max_connections = 4;
	CU_ASSERT_EQUAL(accepts_answer(&w, "MaxConnections=Reject").max_connections, 1);
	CU_ASSERT_EQUAL(accepts_answer(&w, "MaxBurstLength=Irrelevant").max_burst_length,
			262144);
	CU_ASSERT_TRUE(accepts_answer(&w, "InitialR2T=Reject").initial_r2t);
	refuses_answer(&w, "MaxBurstLength=NotUnderstood"); /* 6.2: a key of the RFC */
	refuses_answer(&w, "InitialR2T=NotUnderstood");
	refuses_answer(&w, "MaxRecvDataSegmentLength=NotUnderstood");
	refuses_answer(&w, "MaxRecvDataSegmentLength=Reject"); /* 7.12 */
	v = accepts_answer(&w, "MaxRecvDataSegmentLength=Irrelevant");
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 8192);
}

/* 14.1 */
static void test_keys_max_recv_data_segment_length(void)
{
	struct keys_values v = accepts_answer(NULL, "MaxRecvDataSegmentLength=16777215");

	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 16777215);
	CU_ASSERT_EQUAL(v.max_recv_data_segment_length, 1048576);
	v = accepts_answer(NULL, "MaxRecvDataSegmentLength=512");
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 512);
	refuses_answer(NULL, "MaxRecvDataSegmentLength=511");
	refuses_answer(NULL, "MaxRecvDataSegmentLength=16777216");
	refuses_answer(NULL, "MaxRecvDataSegmentLength=0");
	/* said first by the target: no answer, and ours is still declared */
	v = answers_proposal(NULL, "MaxRecvDataSegmentLength=262144", "");
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 262144);
	CU_ASSERT_EQUAL(v.max_recv_data_segment_length, 8192);
}

/* 16.2: coped with */
static void test_keys_first_burst_is_cut_to_max_burst(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	struct keys_values v;

	g_free(offer(k));
	accepts(k, "FirstBurstLength=65536");
	CU_ASSERT_EQUAL(keys_warning(k), 0);
	accepts(k, "MaxBurstLength=4096");
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.first_burst_length, 4096);
	CU_ASSERT_EQUAL(v.max_burst_length, 4096);
	CU_ASSERT_EQUAL(keys_warning(k), 4);
	keys_free(k);
}

/* 6.1 to 6.3 */
static void test_keys_no_key_twice(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);

	g_free(offer(k));
	accepts(k, "ImmediateData=Yes");
	refuses(k, "ImmediateData=Yes");
	accepts(k, "MaxRecvDataSegmentLength=65536");
	refuses(k, "MaxRecvDataSegmentLength=65536");
	accepts(k, "TargetPortalGroupTag=1");
	refuses(k, "TargetPortalGroupTag=1");
	answers(k, "IFMarker=No", "IFMarker=No ");
	refuses(k, "IFMarker=No");
	answers(k, "X-com.example=1", "X-com.example=NotUnderstood ");
	refuses(k, "X-com.example=2");
	accepts(k, "TargetAddress=10.0.0.1:3260,1"); /* the one that may repeat */
	accepts(k, "TargetAddress=10.0.0.2:3260,1");
	keys_free(k);
}

static void test_keys_settled_when_all_is_answered(void)
{
	static const char *const pairs[] = {
		"HeaderDigest=None",	"DataDigest=None",	 "MaxConnections=1",
		"InitialR2T=Yes",	"ImmediateData=Yes",	 "MaxBurstLength=262144",
		"DefaultTime2Wait=2",	"DefaultTime2Retain=20", "MaxOutstandingR2T=1",
		"ErrorRecoveryLevel=0",
	};
	struct keys *k = start(KEYS_NORMAL, NULL);

	CU_ASSERT_TRUE(keys_is_settled(k));
	g_free(offer(k));
	for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
		CU_ASSERT_FALSE(keys_is_settled(k));
		accepts(k, pairs[i]);
	}
	CU_ASSERT_STRING_EQUAL(keys_unsettled(k), "FirstBurstLength");
	accepts(k, "FirstBurstLength=Irrelevant");
	/* DataPDUInOrder=Yes and DataSequenceInOrder=Yes need no answer (6.2.2) */
	CU_ASSERT_TRUE(keys_is_settled(k));
	CU_ASSERT_PTR_NULL(keys_unsettled(k));
	keys_free(k);
}

static void test_keys_offer_that_decides_needs_no_answer(void)
{
	struct keys_wishes w;
	struct keys *k;
	struct keys_values v;

	keys_wishes_default(&w);
	w.initial_r2t = true;
	w.immediate_data = false;
	k = start(KEYS_NORMAL, &w);
	g_free(offer(k));
	keys_values(k, &v);
	CU_ASSERT_TRUE(v.initial_r2t);
	CU_ASSERT_FALSE(v.immediate_data);
	keys_free(k);
}

/* --- what the target proposes or declares --- */

/* LIO proposes what we leave out: by the result functions */
static void test_keys_proposals_are_answered(void)
{
	struct keys_wishes w;
	struct keys_values v;

	keys_wishes_default(&w);
	w.max_connections = 4;
	w.time2wait = 2;
	v = answers_proposal(&w, "MaxConnections=8", "MaxConnections=4 ");
	CU_ASSERT_EQUAL(v.max_connections, 4);
	v = answers_proposal(&w, "MaxConnections=2", "MaxConnections=2 ");
	CU_ASSERT_EQUAL(v.max_connections, 2);
	v = answers_proposal(&w, "DefaultTime2Wait=0", "DefaultTime2Wait=2 ");
	CU_ASSERT_EQUAL(v.time2wait, 2);
	v = answers_proposal(&w, "DefaultTime2Wait=0x10", "DefaultTime2Wait=16 ");
	CU_ASSERT_EQUAL(v.time2wait, 16);
	v = answers_proposal(&w, "ErrorRecoveryLevel=2", "ErrorRecoveryLevel=0 ");
	CU_ASSERT_EQUAL(v.error_recovery_level, 0);
	v = answers_proposal(&w, "InitialR2T=No", "InitialR2T=No ");
	CU_ASSERT_FALSE(v.initial_r2t);
	v = answers_proposal(&w, "InitialR2T=Yes", "InitialR2T=Yes ");
	CU_ASSERT_TRUE(v.initial_r2t);
	v = answers_proposal(&w, "ImmediateData=No", "ImmediateData=No ");
	CU_ASSERT_FALSE(v.immediate_data);
	v = answers_proposal(&w, "DataPDUInOrder=No", "DataPDUInOrder=Yes ");
	CU_ASSERT_TRUE(v.data_pdu_in_order);
}

static void test_keys_answered_proposal_is_not_offered(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	g_autofree char *text = NULL;

	answers(k, "MaxConnections=8", "MaxConnections=1 ");
	text = offer(k);
	CU_ASSERT_PTR_NULL(strstr(text, "MaxConnections"));
	keys_free(k);
}

/* 7.2: the first of the list that we may use */
static void test_keys_list_proposals(void)
{
	struct keys_wishes w;

	keys_wishes_default(&w);
	answers_proposal(&w, "HeaderDigest=CRC32C,None", "HeaderDigest=None ");
	answers_proposal(&w, "HeaderDigest=CRC32C", "HeaderDigest=Reject ");
	answers_proposal(&w, "HeaderDigest=Y-x,None,CRC32C", "HeaderDigest=None ");
	w.header_digest = DIGEST_PREFER;
	CU_ASSERT_TRUE(answers_proposal(&w, "HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C ")
			       .header_digest);
	CU_ASSERT_FALSE(answers_proposal(&w, "HeaderDigest=None,CRC32C", "HeaderDigest=None ")
				.header_digest);
	answers_proposal(&w, "TaskReporting=FastAbort,ResponseFence,RFC3720",
			 "TaskReporting=RFC3720 ");
	answers_proposal(&w, "TaskReporting=FastAbort", "TaskReporting=Reject ");
	answers_proposal(&w, "iSCSIProtocolLevel=2", "iSCSIProtocolLevel=1 ");
	answers_proposal(&w, "iSCSIProtocolLevel=0", "iSCSIProtocolLevel=0 ");
	refuses_proposal("iSCSIProtocolLevel=32");
}

/* 12.1; 13.25: never NotUnderstood, the intervals always Reject */
static void test_keys_obsolete_keys(void)
{
	answers_proposal(NULL, "IFMarker=Yes", "IFMarker=No ");
	answers_proposal(NULL, "OFMarker=No", "OFMarker=No ");
	answers_proposal(NULL, "IFMarkInt=2048~8192", "IFMarkInt=Reject ");
	answers_proposal(NULL, "OFMarkInt=2048", "OFMarkInt=Reject ");
}

/* 7.6 */
static void test_keys_unknown_keys(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	g_autofree char *late = NULL;

	answers(k, "X-com.example.foo=bar", "X-com.example.foo=NotUnderstood ");
	answers(k, "X#bogus=", "X#bogus=NotUnderstood ");
	answers(k, "Foo=1", "Foo=NotUnderstood ");
	answers(k, "maxburstlength=512", "maxburstlength=NotUnderstood "); /* case counts */
	accepts(k, "X#NodeArchitecture=ExampleOS/v1234");		   /* declared, 13.26 */
	refuses(k, "Bar=NotUnderstood"); /* an answer to nothing; and no echo war */
	refuses(k, "Baz=Reject");
	late = take(k, "Late=1", false);
	CU_ASSERT_STRING_EQUAL(late, "");
	keys_free(k);
}

static void test_keys_unknown_keys_are_bounded(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);

	for (int i = 0; i < 128; i++) {
		g_autofree char *pair = g_strdup_printf("X-%d=1", i);

		g_free(take(k, pair, true));
	}
	refuses(k, "X-one-more=1");
	keys_free(k);
}

static void test_keys_reserved_words_are_no_proposals(void)
{
	refuses_proposal("MaxConnections=Reject");
	refuses_proposal("InitialR2T=Irrelevant");
	refuses_proposal("HeaderDigest=NotUnderstood");
	refuses_proposal("TargetAlias=NotUnderstood");
	refuses_proposal("IFMarker=Reject");
}

static void test_keys_bad_proposals(void)
{
	refuses_proposal("MaxConnections=0");
	refuses_proposal("MaxConnections=65536");
	refuses_proposal("ErrorRecoveryLevel=3");
	refuses_proposal("ImmediateData=maybe");
	refuses_proposal("MaxRecvDataSegmentLength=511");
}

static void test_keys_of_the_initiator_are_not_for_targets(void)
{
	static const char *const bad[] = {
		"InitiatorName=iqn.2001-04.com.example:x",
		"InitiatorAlias=x",
		"SessionType=Normal",
		"SendTargets=All",
		"AuthMethod=None",
		"CHAP_A=5",
		"TargetName=iqn.2001-04.com.example:t",
		"CHAP_R=0x00",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		refuses_proposal(bad[i]);
}

/* LIO, on further connections */
static void test_keys_initiator_alias_may_be_refused(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);

	keys_set_stage(k, KEYS_SECURITY);
	accepts(k, "InitiatorAlias=NotUnderstood");
	refuses(k, "InitiatorAlias=x");
	refuses(k, "InitiatorName=NotUnderstood");
	keys_free(k);
}

/* 23.1: what a target declares */
static void test_keys_target_portal_group_tag(void)
{
	struct keys_wishes w;

	keys_wishes_default(&w);
	CU_ASSERT_EQUAL(accepts_answer(&w, "TargetPortalGroupTag=1").target_portal_group_tag,
			1);
	CU_ASSERT_EQUAL(accepts_answer(&w, "TargetPortalGroupTag=0").target_portal_group_tag,
			0);
	CU_ASSERT_EQUAL(
		accepts_answer(&w, "TargetPortalGroupTag=65535").target_portal_group_tag,
		65535);
	CU_ASSERT_EQUAL(
		accepts_answer(&w, "TargetPortalGroupTag=0x00ff").target_portal_group_tag, 255);
	CU_ASSERT_EQUAL(
		accepts_answer(&w, "TargetPortalGroupTag=0bAQI=").target_portal_group_tag,
		0x0102);
	refuses_answer(&w, "TargetPortalGroupTag=65536");
	refuses_answer(&w, "TargetPortalGroupTag=0bAQID");
	refuses_answer(&w, "TargetPortalGroupTag=");
	refuses_answer(&w, "TargetPortalGroupTag=-1");
}

static void test_keys_target_alias(void)
{
	g_autofree char *fits = g_strnfill(255, 'a'),
			*pair = g_strconcat("TargetAlias=", fits, NULL);
	g_autofree char *longer = g_strconcat(pair, "a", NULL);

	CU_ASSERT_STRING_EQUAL(accepts_answer(NULL, "TargetAlias=Bob-s Disk").target_alias,
			       "Bob-s Disk");
	CU_ASSERT_STRING_EQUAL(accepts_answer(NULL, "TargetAlias=a=b\x1b\xff").target_alias,
			       "a=b\x1b\xff");
	CU_ASSERT_STRING_EQUAL(accepts_answer(NULL, pair).target_alias, fits);
	refuses_answer(NULL, longer);
}

static void test_keys_response_that_ends_the_stage(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	char *reply;

	reply = take(k, "InitialR2T=Yes", false); /* needs no answer */
	CU_ASSERT_STRING_EQUAL(reply, "");
	g_free(reply);
	CU_ASSERT_PTR_NULL(take(k, "MaxConnections=4", false));
	CU_ASSERT_PTR_NULL(take(k, "DataPDUInOrder=No", false));
	CU_ASSERT_PTR_NULL(take(k, "IFMarker=No", false));
	reply = take(k, "TargetAlias=a", false);
	CU_ASSERT_STRING_EQUAL(reply, "");
	g_free(reply);
	keys_free(k);
}

/* --- stages and session types --- */

static void test_keys_security_stage(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	g_autofree char *text = NULL;

	keys_set_stage(k, KEYS_SECURITY);
	text = offer(k);
	CU_ASSERT_STRING_EQUAL(text, "");
	accepts(k, "TargetAlias=a");
	accepts(k, "TargetPortalGroupTag=1");
	accepts(k, "TargetAddress=10.0.0.1");
	refuses(k, "MaxRecvDataSegmentLength=8192");
	refuses(k, "HeaderDigest=None");
	refuses(k, "IFMarker=No");
	keys_set_stage(k, KEYS_OPERATIONAL);
	refuses(k, "TargetAlias=a"); /* once in a login */
	accepts(k, "MaxRecvDataSegmentLength=8192");
	keys_free(k);
}

static void test_keys_discovery_proposals(void)
{
	struct keys *k = start(KEYS_DISCOVERY, NULL);
	struct keys_values v;

	g_free(offer(k));
	answers(k, "MaxConnections=8", "MaxConnections=Irrelevant ");
	answers(k, "MaxBurstLength=262144", "MaxBurstLength=Irrelevant ");
	answers(k, "TaskReporting=RFC3720", "TaskReporting=Irrelevant ");
	answers(k, "ErrorRecoveryLevel=2", "ErrorRecoveryLevel=0 "); /* 7.4.1 */
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.max_connections, 1);
	CU_ASSERT_EQUAL(v.error_recovery_level, 0);
	CU_ASSERT_EQUAL(v.max_recv_data_segment_length, 65536);
	keys_free(k);
}

/* What a session has agreed on, for the connections after the first. */
static struct keys_values session_values(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	struct keys_values v;

	g_free(offer(k));
	accepts(k, "MaxBurstLength=131072");
	accepts(k, "FirstBurstLength=32768");
	accepts(k, "InitialR2T=Yes");
	accepts(k, "ImmediateData=No");
	accepts(k, "MaxRecvDataSegmentLength=65536");
	accepts(k, "TargetPortalGroupTag=3");
	keys_values(k, &v);
	keys_free(k);
	v.header_digest = v.data_digest = true;
	return v;
}

static void test_keys_further_connection_offers_no_session_keys(void)
{
	struct keys_values session = session_values(), v;
	struct keys_wishes w;
	struct keys *k;
	g_autofree char *text = NULL;

	keys_wishes_default(&w);
	k = keys_new(KEYS_NORMAL, &w, &session);
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.max_burst_length, 131072);
	CU_ASSERT_FALSE(v.immediate_data);
	CU_ASSERT_FALSE(v.header_digest || v.data_digest); /* the connection's own */
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 8192);
	text = offer(k);
	CU_ASSERT_STRING_EQUAL(text, "HeaderDigest=None DataDigest=None "
				     "MaxRecvDataSegmentLength=1048576 ");
	keys_free(k);
}

/* LIO proposes session keys there too: answered with the session's values, which stay. */
static void test_keys_further_connection_keeps_session_values(void)
{
	struct keys_values session = session_values(), v;
	struct keys_wishes w;
	struct keys *k;

	keys_wishes_default(&w);
	k = keys_new(KEYS_NORMAL, &w, &session);
	g_free(offer(k));
	answers(k, "MaxBurstLength=262144", "MaxBurstLength=131072 ");
	answers(k, "FirstBurstLength=512", "FirstBurstLength=512 ");
	answers(k, "InitialR2T=No", "InitialR2T=Yes ");
	answers(k, "ImmediateData=Yes", "ImmediateData=No ");
	refuses(k, "TargetPortalGroupTag=4"); /* a session is in one portal group */
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.max_burst_length, 131072);
	CU_ASSERT_EQUAL(v.first_burst_length, 32768);
	CU_ASSERT_TRUE(v.initial_r2t);
	CU_ASSERT_FALSE(v.immediate_data);
	CU_ASSERT_EQUAL(v.target_portal_group_tag, 3);
	keys_free(k);
}

static void test_keys_renegotiation_in_full_feature_phase(void)
{
	struct keys_values session = session_values(), v;
	struct keys_wishes w;
	struct keys *k;
	g_autofree char *text = NULL;

	keys_wishes_default(&w);
	w.max_recv_data_segment_length = 16384;
	k = keys_new(KEYS_NORMAL, &w, &session);
	keys_set_stage(k, KEYS_FULL_FEATURE);
	keys_values(k, &v);
	CU_ASSERT_TRUE(v.header_digest && v.data_digest);
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 65536);
	text = offer(k);
	CU_ASSERT_STRING_EQUAL(text, "MaxRecvDataSegmentLength=16384 ");
	accepts(k, "MaxRecvDataSegmentLength=4096");
	accepts(k, "TargetAlias=new name");
	refuses(k, "MaxBurstLength=512");
	refuses(k, "HeaderDigest=None");
	keys_values(k, &v);
	CU_ASSERT_EQUAL(v.max_recv_data_segment_length, 16384);
	CU_ASSERT_EQUAL(v.max_xmit_data_segment_length, 4096);
	CU_ASSERT_EQUAL(v.max_burst_length, 131072);
	CU_ASSERT_STRING_EQUAL(v.target_alias, "new name");
	keys_free(k);
}

/* --- the params file, the table --- */

static void test_keys_print(void)
{
	struct keys *k = start(KEYS_NORMAL, NULL);
	g_autoptr(GString) out = g_string_new(NULL);

	g_free(offer(k));
	accepts(k, "MaxBurstLength=4096");
	accepts(k, "MaxRecvDataSegmentLength=16384");
	accepts(k, "TargetAlias=a\nb");
	accepts(k, "InitialR2T=Yes");
	keys_print(k, out);
	CU_ASSERT_STRING_EQUAL(out->str, "HeaderDigest None None\n"
					 "DataDigest None None\n"
					 "MaxConnections 1 1\n"
					 "InitialR2T No Yes\n"
					 "ImmediateData Yes Yes\n"
					 "MaxRecvDataSegmentLength 1048576 1048576\n"
					 "MaxXmitDataSegmentLength - 16384\n"
					 "MaxBurstLength 1048576 4096\n"
					 "FirstBurstLength 262144 4096\n"
					 "DefaultTime2Wait 0 2\n"
					 "DefaultTime2Retain 20 20\n"
					 "MaxOutstandingR2T 8 1\n"
					 "DataPDUInOrder Yes Yes\n"
					 "DataSequenceInOrder Yes Yes\n"
					 "ErrorRecoveryLevel 0 0\n"
					 "TargetAlias - a\\x0ab\n"
					 "TargetPortalGroupTag - -\n");
	keys_free(k);
}

/* 13, each key's default and bounds once more, typed from the RFC */
static void test_keys_table_is_that_of_the_rfc(void)
{
	static const struct {
		const char *name, *result;
		bool is_session_wide;
		uint32_t min, max, preset;
	} rfc[] = {
		{ "MaxConnections", "minimum", true, 1, 65535, 1 },
		{ "MaxRecvDataSegmentLength", "declared", false, 512, 16777215, 8192 },
		{ "MaxBurstLength", "minimum", true, 512, 16777215, 262144 },
		{ "FirstBurstLength", "minimum", true, 512, 16777215, 65536 },
		{ "DefaultTime2Wait", "maximum", true, 0, 3600, 2 },
		{ "DefaultTime2Retain", "minimum", true, 0, 3600, 20 },
		{ "MaxOutstandingR2T", "minimum", true, 1, 65535, 1 },
		{ "ErrorRecoveryLevel", "minimum", true, 0, 2, 0 },
		{ "InitialR2T", "or", true, 0, 0, 1 },
		{ "ImmediateData", "and", true, 0, 0, 1 },
		{ "DataPDUInOrder", "or", true, 0, 0, 1 },
		{ "DataSequenceInOrder", "or", true, 0, 0, 1 },
		{ "HeaderDigest", "list", false, 0, 0, 0 },
		{ "DataDigest", "list", false, 0, 0, 0 },
	};
	struct keys_info info;
	size_t rows = 0, offered = 0;

	for (; keys_info_at(rows, &info); rows++) {
		CU_ASSERT_PTR_NOT_NULL(info.name);
		CU_ASSERT_PTR_NOT_NULL(info.rfc);
		offered += info.is_offered;
		for (size_t i = 0; i < G_N_ELEMENTS(rfc); i++) {
			if (strcmp(rfc[i].name, info.name))
				continue;
			CU_ASSERT_STRING_EQUAL(info.result, rfc[i].result);
			CU_ASSERT_EQUAL(info.is_session_wide, rfc[i].is_session_wide);
			CU_ASSERT_EQUAL(info.min, rfc[i].min);
			CU_ASSERT_EQUAL(info.max, rfc[i].max);
			CU_ASSERT_EQUAL(info.preset, rfc[i].preset);
		}
	}
	CU_ASSERT_EQUAL(offered, G_N_ELEMENTS(rfc));
	CU_ASSERT_EQUAL(rows, 35);
	CU_ASSERT_FALSE(keys_info_at((size_t)-1, &info));
}

/* --- text --- */

static gboolean collect(void *arg, const char *key, const char *value, GError **err)
{
	if (!strcmp(key, "Stop")) {
		error_set(err, ISDSC_INVALID_TEXT_KEY, "stopped");
		return FALSE;
	}
	g_string_append_printf(arg, "<%s|%s>", key, value);
	return TRUE;
}

/* The pairs found, NULL when the text is refused. The text lies in a block of its own, so that
 * ASan sees a step too far. */
static char *split(const char *text, size_t len)
{
	g_autoptr(GString) found = g_string_new(NULL);
	g_autofree uint8_t *copy = g_malloc(len ? len : 1);
	GError *err = NULL;

	memcpy(copy, text, len);
	if (keys_split(copy, len, collect, found, &err))
		return g_strdup(found->str);
	CU_ASSERT_PTR_NOT_NULL(err);
	g_clear_error(&err);
	return NULL;
}

#define SPLITS(text, want)                                              \
	do {                                                            \
		g_autofree char *found = split(text, sizeof(text) - 1); \
		CU_ASSERT_PTR_NOT_NULL_FATAL(found);                    \
		CU_ASSERT_STRING_EQUAL(found, want);                    \
	} while (0)
#define DOES_NOT_SPLIT(text) CU_ASSERT_PTR_NULL(split(text, sizeof(text) - 1))

static void test_keys_split(void)
{
	SPLITS("", "");
	SPLITS("A=1\0", "<A|1>");
	SPLITS("A=1\0B=\0C=x=y\0", "<A|1><B|><C|x=y>");
	SPLITS("A=1\0\0\0\0", "<A|1>"); /* padding counted as data */
	SPLITS("\0\0A=1\0", "<A|1>");
	SPLITS("X#NodeArchitecture=a,b\0iSCSIProtocolLevel=1\0X-a.b-c@d+e_f=1\0",
	       "<X#NodeArchitecture|a,b><iSCSIProtocolLevel|1><X-a.b-c@d+e_f|1>");
	SPLITS("TargetAlias=B\xc3\xbcro \x01\0", "<TargetAlias|B\xc3\xbcro \x01>");
}

static void test_keys_split_refuses_bad_text(void)
{
	DOES_NOT_SPLIT("A=1"); /* no NUL at the end: cut off */
	DOES_NOT_SPLIT("A=1\0B=2");
	DOES_NOT_SPLIT("A\0");	/* no value */
	DOES_NOT_SPLIT("=1\0"); /* no key */
	DOES_NOT_SPLIT("A B=1\0");
	DOES_NOT_SPLIT("A\x01=1\0");
	DOES_NOT_SPLIT("\xff=1\0");
	DOES_NOT_SPLIT("A,B=1\0");
	DOES_NOT_SPLIT("A=1\0Stop=1\0B=2\0"); /* the caller's refusal */
}

static void test_keys_split_limits(void)
{
	g_autofree char *key63 = g_strnfill(63, 'K'), *key64 = g_strnfill(64, 'K');
	g_autofree char *value8192 = g_strnfill(8192, 'v'), *value8193 = g_strnfill(8193, 'v');
	g_autofree char *fits = g_strconcat(key63, "=", value8192, NULL);
	g_autofree char *long_key = g_strconcat(key64, "=1", NULL);
	g_autofree char *long_value = g_strconcat("A=", value8193, NULL);
	g_autofree char *found = split(fits, strlen(fits) + 1);

	CU_ASSERT_PTR_NOT_NULL(found);
	CU_ASSERT_PTR_NULL(split(long_key, strlen(long_key) + 1));
	CU_ASSERT_PTR_NULL(split(long_value, strlen(long_value) + 1));
}

static void test_keys_append(void)
{
	g_autoptr(GByteArray) out = g_byte_array_new();

	keys_append(out, "SendTargets", "All");
	keys_append(out, "A", "");
	CU_ASSERT_EQUAL(out->len, 19);
	CU_ASSERT_FALSE(memcmp(out->data, "SendTargets=All\0A=\0", 19));
}

UNIT_MAIN("keys", UNIT(test_keys_default_offer),
	  UNIT(test_keys_discovery_offer_has_nothing_irrelevant), UNIT(test_keys_digest_offers),
	  UNIT(test_keys_first_burst_is_not_offered_above_max_burst),
	  UNIT(test_keys_wishes_are_cut_to_legal_values),
	  UNIT(test_keys_recovery_level_limits_outstanding_r2t),
	  UNIT(test_keys_defaults_before_negotiation), UNIT(test_keys_minimum),
	  UNIT(test_keys_maximum), UNIT(test_keys_bad_numbers), UNIT(test_keys_booleans),
	  UNIT(test_keys_digests), UNIT(test_keys_required_digest_is_not_given_up),
	  UNIT(test_keys_refused_offer_leaves_the_default),
	  UNIT(test_keys_max_recv_data_segment_length),
	  UNIT(test_keys_first_burst_is_cut_to_max_burst), UNIT(test_keys_no_key_twice),
	  UNIT(test_keys_settled_when_all_is_answered),
	  UNIT(test_keys_offer_that_decides_needs_no_answer),
	  UNIT(test_keys_proposals_are_answered),
	  UNIT(test_keys_answered_proposal_is_not_offered), UNIT(test_keys_list_proposals),
	  UNIT(test_keys_obsolete_keys), UNIT(test_keys_unknown_keys),
	  UNIT(test_keys_unknown_keys_are_bounded),
	  UNIT(test_keys_reserved_words_are_no_proposals), UNIT(test_keys_bad_proposals),
	  UNIT(test_keys_of_the_initiator_are_not_for_targets),
	  UNIT(test_keys_initiator_alias_may_be_refused),
	  UNIT(test_keys_target_portal_group_tag), UNIT(test_keys_target_alias),
	  UNIT(test_keys_response_that_ends_the_stage), UNIT(test_keys_security_stage),
	  UNIT(test_keys_discovery_proposals),
	  UNIT(test_keys_further_connection_offers_no_session_keys),
	  UNIT(test_keys_further_connection_keeps_session_values),
	  UNIT(test_keys_renegotiation_in_full_feature_phase), UNIT(test_keys_print),
	  UNIT(test_keys_table_is_that_of_the_rfc), UNIT(test_keys_split),
	  UNIT(test_keys_split_refuses_bad_text), UNIT(test_keys_split_limits),
	  UNIT(test_keys_append))
