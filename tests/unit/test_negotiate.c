/* SPDX-License-Identifier: BSD-2-Clause */
/* Negotiation in full feature phase, asked for by us and by the target (RFC 7143 6.4, 11.9, 11.10,
 * 11.11). */
#include "erl_play.h"

#define NONE 0xffffffffu

static unsigned calls;
static char error[256]; /* of the last; "": none */
static char answers[256];

static void on_done(struct session *s, const GError *err, const char *told, void *arg)
{
	(void)s;
	(void)arg;
	calls++;
	g_strlcpy(answers, told, sizeof(answers));
	g_strlcpy(error, err ? err->message : "", sizeof(error));
}

static void begin(const char *const *pairs)
{
	calls = 0;
	error[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(session_negotiate(session, pairs, on_done, NULL), 0);
	CU_ASSERT_EQUAL(calls, 0);
	expect(0x04);
	CU_ASSERT_EQUAL(bhs[0], 0x44); /* immediate: a Reject leaves no hole in CmdSN */
	CU_ASSERT_EQUAL(bhs[1], 0x80);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), NONE);
}

static void until_done(void)
{
	for (int i = 0; !calls && i < 500; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(calls, 1);
}

/* Text Response (0x24, 11.11) to what is in bhs. */
static void say_text(uint8_t flags, uint32_t ttt, const char *text, uint32_t bytes)
{
	uint8_t r[48] = { 0x24, flags };

	if (ttt != NONE)
		r[9] = 6;
	put_numbers(r, get_be32(bhs + 16), stat_sn++);
	put_be32(r + 20, ttt);
	say(r, text, bytes);
}

static void say_reject(uint8_t reason)
{
	uint8_t r[48] = { 0x3f, 0x80, reason };

	put_numbers(r, NONE, stat_sn++);
	say(r, bhs, 48);
}

/* Asynchronous Message (0x32, 11.9) with Parameter3. */
static void say_async(uint8_t event, uint16_t seconds)
{
	uint8_t r[48] = { 0x32, 0x80, [36] = event };

	put_numbers(r, NONE, stat_sn++);
	put_be16(r + 42, seconds);
	say(r, NULL, 0);
}

static bool is_text(const char *text, uint32_t bytes)
{
	return data_bytes == bytes && !memcmp(data, text, bytes);
}
#define IS_TEXT(text) is_text(text, sizeof(text))

static const char *const larger[] = { "MaxRecvDataSegmentLength=2097152", "InitiatorAlias=box",
				      NULL };

static void test_negotiate_both_sides_take_effect_at_the_end(void)
{
	log_in(0, false, NULL, 30000);
	begin(larger);
	CU_ASSERT_TRUE(IS_TEXT("MaxRecvDataSegmentLength=2097152\0InitiatorAlias=box"));
	CU_ASSERT_EQUAL(conn->values.max_recv_data_segment_length, 1 << 20);
	CU_ASSERT_EQUAL(conn->rx.max_data_bytes, 2 << 20); /* it may be there already */
	say_text(0x80, NONE, "MaxRecvDataSegmentLength=4096", 30);
	until_done();
	CU_ASSERT_STRING_EQUAL(error, "");
	CU_ASSERT_EQUAL(conn->values.max_recv_data_segment_length, 2 << 20);
	CU_ASSERT_EQUAL(conn->values.max_xmit_data_segment_length, 4096);
	CU_ASSERT_EQUAL(conn->rx.max_data_bytes, 2 << 20);
	CU_ASSERT_TRUE(conn->recv_changed_us > 0);
	CU_ASSERT_EQUAL(renegotiated, 1);
	CU_ASSERT_EQUAL(session->values.max_burst_length, 16384);
	CU_ASSERT_PTR_NOT_NULL(strstr(conn->params->str, "MaxXmitDataSegmentLength - 4096\n"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(conn->params->str, "MaxRecvDataSegmentLength 2097152 2097152\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(conn->params->str, "MaxBurstLength "));
	log_out();
}

static void test_negotiate_answers_what_the_target_offers(void)
{
	uint32_t itt;

	log_in(0, false, NULL, 30000);
	begin(larger);
	itt = get_be32(bhs + 16);
	/* C bit, and a pair that is cut: 11.11.2 */
	say_text(0x40, 0x77, "X-org.x.y=1\0MaxRecvData", 23);
	expect(0x04);
	CU_ASSERT_EQUAL(data_bytes, 0);
	say_text(0x00, 0x78, "SegmentLength=512", 18);
	expect(0x04);
	CU_ASSERT_EQUAL(get_be32(bhs + 16), itt);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), 0x78);
	CU_ASSERT_EQUAL(bhs[9], 6);
	CU_ASSERT_TRUE(IS_TEXT("X-org.x.y=NotUnderstood"));
	say_text(0x80, NONE, NULL, 0);
	until_done();
	CU_ASSERT_STRING_EQUAL(error, "");
	CU_ASSERT_EQUAL(conn->values.max_xmit_data_segment_length, 512);
	log_out();
}

/* 18.5 of the suites: the connection stays, and it is tried again; with an end to it. */
static void test_negotiate_a_reject_is_tried_again(void)
{
	struct probe *p;

	log_in(0, false, NULL, 30000);
	begin(larger);
	say_reject(0x0b);
	expect(0x04);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), NONE);
	CU_ASSERT_EQUAL(calls, 0);
	say_text(0x80, NONE, NULL, 0);
	until_done();
	CU_ASSERT_STRING_EQUAL(error, "");
	CU_ASSERT_EQUAL(conn->values.max_recv_data_segment_length, 2 << 20);
	begin(NULL);
	CU_ASSERT_TRUE(IS_TEXT("MaxRecvDataSegmentLength=2097152"));
	for (int i = 0; i < 3; i++) {
		if (i)
			expect(0x04);
		say_reject(0x04);
	}
	until_done();
	CU_ASSERT_STRING_NOT_EQUAL(error, "");
	CU_ASSERT_EQUAL(conn->state, CONN_LOGGED_IN);
	p = probe_send(TASK_NO_DATA, 0);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), exp_cmd_sn - 1); /* no CmdSN is missing */
	session_close(session);
	until(p, 1);
	free(p);
	log_out();
}

static void test_negotiate_an_illegal_answer_changes_nothing(void)
{
	log_in(0, false, NULL, 30000);
	begin(larger);
	say_text(0x00, 5, "MaxRecvDataSegmentLength=512\0MaxRecvDataSegmentLength=513", 58);
	expect(0x04); /* 6.4: is reset, with the same tag */
	CU_ASSERT_EQUAL(get_be32(bhs + 20), NONE);
	CU_ASSERT_TRUE(IS_TEXT("MaxRecvDataSegmentLength=2097152\0InitiatorAlias=box"));
	for (int i = 0; i < 3; i++) { /* not in this phase */
		if (calls)
			break;
		say_text(0x80, NONE, "MaxBurstLength=512", 19);
		for (int k = 0; k < 60 && !calls; k++)
			spin();
		if (!calls)
			expect(0x04);
	}
	until_done();
	CU_ASSERT_STRING_NOT_EQUAL(error, "");
	CU_ASSERT_EQUAL(conn->values.max_xmit_data_segment_length, 8192);
	CU_ASSERT_EQUAL(conn->values.max_recv_data_segment_length, 1 << 20);
	CU_ASSERT_EQUAL(conn->rx.max_data_bytes, 1 << 20);
	CU_ASSERT_EQUAL(session->values.max_burst_length, 16384);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	log_out();
}

static void test_negotiate_refuses_what_is_not_for_this_phase(void)
{
	static const char *const wrong[][2] = {
		{ "MaxBurstLength=512" },	     { "MaxRecvDataSegmentLength=511" },
		{ "MaxRecvDataSegmentLength=16777216" }, { "MaxRecvDataSegmentLength" },
		{ "HeaderDigest=None" },
	};

	log_in(0, false, NULL, 30000);
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
		CU_ASSERT_EQUAL(session_negotiate(session, wrong[i], on_done, NULL), -EINVAL);
	CU_ASSERT_TRUE(is_silent());
	session_close(session);
	CU_ASSERT_EQUAL(session_negotiate(session, NULL, on_done, NULL), -ENOTCONN);
	log_out();
}

/* 20.4 of the suites. */
static void test_negotiate_when_the_target_asks(void)
{
	log_in(0, false, NULL, 30000);
	say_async(4, 3);
	expect(0x04);
	CU_ASSERT_TRUE(IS_TEXT("MaxRecvDataSegmentLength=1048576"));
	say_async(4, 3); /* 11.9.1: one is pending */
	CU_ASSERT_TRUE(is_silent());
	say_text(0x80, NONE, "MaxRecvDataSegmentLength=1024", 30);
	for (int i = 0; !renegotiated && i < 100; i++)
		spin();
	CU_ASSERT_EQUAL(conn->values.max_xmit_data_segment_length, 1024);
	CU_ASSERT_EQUAL(conn->recv_changed_us, 0);
	CU_ASSERT_EQUAL(conn->state, CONN_LOGGED_IN);
	CU_ASSERT_TRUE(is_silent());
	say_async(4, 1);
	expect(0x04);
	for (int i = 0; session->state == SESSION_LOGGED_IN && i < 1000; i++)
		spin(); /* no answer */
	CU_ASSERT_EQUAL(session->state, SESSION_FAILED);
	CU_ASSERT_EQUAL(events[50], 1);
	log_out();
}

/* istgt: an immediate request counts there, and the next command has to have the number after. */
static void test_negotiate_with_a_target_that_counts_immediate_requests(void)
{
	uint8_t r[48] = { 0x24, 0x80 };
	struct probe *p;
	uint32_t next;

	log_in(0, false, NULL, 30000);
	begin(larger);
	next = get_be32(bhs + 24);
	exp_cmd_sn = next + 1;
	put_numbers(r, get_be32(bhs + 16), stat_sn++);
	put_be32(r + 20, NONE);
	say(r, "MaxRecvDataSegmentLength=512", 29);
	until_done();
	CU_ASSERT_STRING_EQUAL(error, "");
	p = probe_send(TASK_NO_DATA, 0);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), next + 1);
	session_close(session);
	until(p, 1);
	free(p);
	log_out();
}

static void test_negotiate_private_keys(void)
{
	static const char *const pairs[] = { "X-org.x.colour=any", NULL };
	static const char *const wrong[][2] = { { "X-=1" }, { "X-org.x y=1" }, { "Y-org.x=1" } };

	log_in(0, false, NULL, 30000);
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++)
		CU_ASSERT_EQUAL(session_negotiate(session, wrong[i], on_done, NULL), -EINVAL);
	begin(pairs);
	CU_ASSERT_TRUE(IS_TEXT("MaxRecvDataSegmentLength=1048576\0X-org.x.colour=any"));
	say_text(0x80, NONE, "X-org.x.colour=blue", 20);
	until_done();
	CU_ASSERT_STRING_EQUAL(error, "");
	CU_ASSERT_STRING_EQUAL(answers, "X-org.x.colour=blue\n");
	log_out();
}

static unsigned texts;

static void on_text(struct session *s, const GByteArray *answer, const GError *err, void *arg)
{
	(void)s;
	(void)arg;
	texts += !err && answer->len == 4;
}

static void test_negotiate_waits_for_another_text_exchange(void)
{
	log_in(0, false, NULL, 30000);
	texts = calls = 0;
	CU_ASSERT_EQUAL(session_text(session, "SendTargets=", 13, on_text, NULL), 0);
	expect(0x04);
	exp_cmd_sn++;
	CU_ASSERT_EQUAL(bhs[0], 0x04);
	CU_ASSERT_EQUAL(session_negotiate(session, larger, on_done, NULL), 0);
	CU_ASSERT_TRUE(is_silent());
	say_text(0x80, NONE, "a=b", 4);
	expect(0x04);
	CU_ASSERT_EQUAL(texts, 1);
	CU_ASSERT_EQUAL(session_text(session, "SendTargets=", 13, on_text, NULL), -EBUSY);
	session_close(session);
	until_done();
	CU_ASSERT_STRING_NOT_EQUAL(error, "");
	log_out();
}

static void test_negotiate_asked_logout_is_told(void)
{
	log_in(0, false, NULL, 30000);
	say_async(1, 5);
	expect(0x06);
	CU_ASSERT_EQUAL(events[32], 1);
	log_out();
}

UNIT_MAIN("negotiate", UNIT(test_negotiate_both_sides_take_effect_at_the_end),
	  UNIT(test_negotiate_answers_what_the_target_offers),
	  UNIT(test_negotiate_a_reject_is_tried_again),
	  UNIT(test_negotiate_an_illegal_answer_changes_nothing),
	  UNIT(test_negotiate_refuses_what_is_not_for_this_phase),
	  UNIT(test_negotiate_when_the_target_asks),
	  UNIT(test_negotiate_with_a_target_that_counts_immediate_requests),
	  UNIT(test_negotiate_private_keys),
	  UNIT(test_negotiate_waits_for_another_text_exchange),
	  UNIT(test_negotiate_asked_logout_is_told))
