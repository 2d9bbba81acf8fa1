/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole logins without authentication, as tgtd, LIO and istgt do them, and as none should.
 * Numbers in comments are those of the UNH-IOL login suite, or sections of RFC 7143. */
#include "login_play.h"

/* 1.1, 11.1; 11.12 */
static void test_login_first_request(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p;

	cfg.initiator_alias = "host1";
	p = begin(&cfg);
	CU_ASSERT_FALSE(memcmp(p.bhs, "\x43\x81\x00\x00", 4)); /* immediate; T, CSG 0, NSG 1 */
	CU_ASSERT_FALSE(memcmp(p.bhs + 8, "\x80\x12\x34\x56\x00\x01\x00\x00", 8));  /* TSIH 0 */
	CU_ASSERT_FALSE(memcmp(p.bhs + 16, "\x00\x00\x47\x11\x00\x05\x00\x00", 8)); /* CID 5 */
	CU_ASSERT_FALSE(memcmp(p.bhs + 24, "\0\0\0\x7b\0\0\0\0", 8)); /* CmdSN, no ExpStatSN */
	check_request(&p, true, 0,
		      "InitiatorName=" INITIATOR " InitiatorAlias=host1 TargetName=" TARGET
		      " SessionType=Normal AuthMethod=None ");
	CU_ASSERT_EQUAL(login_status(p.l), -1);
	end(&p);
}

static void test_login_without_authentication(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);
	struct login_result r;

	check_request(&p, true, 1,
		      "HeaderDigest=None DataDigest=None MaxConnections=1 InitialR2T=No "
		      "ImmediateData=Yes MaxRecvDataSegmentLength=1048576 "
		      "MaxBurstLength=1048576 FirstBurstLength=262144 DefaultTime2Wait=0 "
		      "DefaultTime2Retain=20 MaxOutstandingR2T=8 DataPDUInOrder=Yes "
		      "DataSequenceInOrder=Yes ErrorRecoveryLevel=0 ");
	CU_ASSERT_EQUAL(p.req.exp_stat_sn, 1001);
	p.rsp.exp_cmd_sn = CMD_SN;
	p.rsp.max_cmd_sn = CMD_SN + 128;
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	CU_ASSERT_EQUAL_FATAL(login_state(p.l), LOGIN_FULL_FEATURE);
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.tsih, TSIH);
	CU_ASSERT_EQUAL(r.exp_stat_sn, 1002);
	CU_ASSERT_EQUAL(r.exp_cmd_sn, CMD_SN);
	CU_ASSERT_EQUAL(r.max_cmd_sn, CMD_SN + 128);
	CU_ASSERT_EQUAL(r.values.target_portal_group_tag, 1);
	CU_ASSERT_EQUAL(r.values.max_xmit_data_segment_length, 8192);
	CU_ASSERT_EQUAL(r.values.max_recv_data_segment_length, 1048576);
	CU_ASSERT_EQUAL(r.values.max_burst_length, 262144);
	CU_ASSERT_FALSE(r.values.initial_r2t);
	CU_ASSERT_EQUAL(login_status(p.l), 0);
	CU_ASSERT_EQUAL(login_event(p.l, NULL), 0);
	finish(&p);
}

/* A target that skips the answer to AuthMethod=None (6.3.1). */
static void test_login_target_silent_about_authmethod(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	CU_ASSERT_TRUE(transit(&p, "TargetPortalGroupTag=1"));
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	finish(&p);
}

/* 3.2: no T for a while, in both stages; keys may come by instalments */
static void test_login_t_bit_delayed(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	CU_ASSERT_TRUE(partial(&p, "AuthMethod=None"));
	check_request(&p, true, 0, "");
	CU_ASSERT_TRUE(partial(&p, ""));
	check_request(&p, true, 0, "");
	CU_ASSERT_TRUE(transit(&p, ""));
	CU_ASSERT_TRUE(partial(&p, ""));
	check_request(&p, true, 1, "");
	CU_ASSERT_TRUE(partial(&p, ANSWERS));
	check_request(&p, true, 1, "");
	CU_ASSERT_EQUAL(p.req.exp_stat_sn, 1005);
	CU_ASSERT_TRUE(transit(&p, ""));
	finish(&p);
}

static void test_login_rounds_are_bounded(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);
	int rounds = 0;

	while (partial(&p, ""))
		rounds++;
	CU_ASSERT_EQUAL(rounds, 64);
	check_protocol_failure(&p, 11, "does not come to an end");
}

/* 4.1, 4.2, 5.1 */
static void test_login_any_stat_sn(void)
{
	static const uint32_t starts[] = {
		0, 5, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff
	};

	for (size_t i = 0; i < G_N_ELEMENTS(starts); i++) {
		struct login_config cfg = config(AUTH_NONE);
		struct login_result r;
		struct play p = begin(&cfg);

		p.rsp.stat_sn = starts[i];
		CU_ASSERT_TRUE(partial(&p, ""));
		CU_ASSERT_EQUAL(p.req.exp_stat_sn, starts[i] + 1);
		CU_ASSERT_TRUE(transit(&p, "AuthMethod=None"));
		CU_ASSERT_EQUAL(p.req.exp_stat_sn, starts[i] + 2);
		CU_ASSERT_TRUE(transit(&p, ANSWERS));
		login_result(p.l, &r);
		CU_ASSERT_EQUAL(r.exp_stat_sn, starts[i] + 3);
		finish(&p);
	}
}

static void test_login_stat_sn_that_jumps(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);

	p.rsp.stat_sn++;
	CU_ASSERT_FALSE(transit(&p, ANSWERS));
	check_protocol_failure(&p, 42, "StatSN");
}

static void test_login_discovery(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct login_result r;
	struct play p;

	cfg.type = KEYS_DISCOVERY;
	cfg.target_name = NULL;
	p = begin(&cfg);
	check_request(&p, true, 0,
		      "InitiatorName=" INITIATOR " SessionType=Discovery AuthMethod=None ");
	CU_ASSERT_TRUE(transit(&p, "AuthMethod=None"));
	check_request(&p, true, 1,
		      "HeaderDigest=None DataDigest=None MaxRecvDataSegmentLength=65536 "
		      "DefaultTime2Wait=0 DefaultTime2Retain=20 ");
	/* one that proposes what is irrelevant, and leaves an answer out */
	CU_ASSERT_TRUE(partial(&p, "HeaderDigest=None DataDigest=None MaxBurstLength=262144 "
				   "ErrorRecoveryLevel=2"));
	check_request(&p, true, 1, "MaxBurstLength=Irrelevant ErrorRecoveryLevel=0 ");
	CU_ASSERT_TRUE(transit(&p, "DefaultTime2Wait=2"));
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.values.target_portal_group_tag, -1);
	CU_ASSERT_EQUAL(r.values.max_recv_data_segment_length, 65536);
	finish(&p);
}

/* LIO: proposes keys of its own, in a response with T=0 */
static void test_login_proposals_of_the_target_are_answered(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);

	CU_ASSERT_TRUE(partial(&p, ANSWERS "TaskReporting=RFC3720 IFMarker=No OFMarker=No "
					   "IFMarkInt=2048~65535 X-com.example.a=1"));
	check_request(&p, true, 1,
		      "TaskReporting=RFC3720 IFMarker=No OFMarker=No IFMarkInt=Reject "
		      "X-com.example.a=NotUnderstood ");
	CU_ASSERT_TRUE(transit(&p, ""));
	finish(&p);
}

static void test_login_proposal_in_the_final_response(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);

	CU_ASSERT_FALSE(transit(&p, ANSWERS "TaskReporting=RFC3720"));
	check_failed(&p, ISDSC_INVALID_TEXT_KEY, EPROTO, 11, "ends the stage");
	p = begin_operational(&cfg);
	CU_ASSERT_TRUE(transit(&p, ANSWERS "X-com.example.a=1 TargetAlias=a")); /* no matter */
	finish(&p);
}

static void test_login_unanswered_offer(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);

	CU_ASSERT_FALSE(transit(&p, "HeaderDigest=None DataDigest=None"));
	check_protocol_failure(&p, 11, "without an answer to MaxConnections");
}

static void test_login_required_digest(void)
{
	struct login_config cfg = config(AUTH_NONE);
	const char *pair = NULL;
	struct play p;

	cfg.wishes.header_digest = DIGEST_YES;
	p = begin_operational(&cfg);
	CU_ASSERT_FALSE(transit(&p, "HeaderDigest=None"));
	CU_ASSERT_EQUAL(login_event(p.l, &pair), 18);
	CU_ASSERT_STRING_EQUAL(pair, "HeaderDigest=None");
	check_failed(&p, ISDSC_INVALID_TEXT_KEY, EPROTO, 18, "CRC32C is required");
	cfg.type = KEYS_DISCOVERY; /* where silence is tolerated, but not about this */
	p = begin_operational(&cfg);
	CU_ASSERT_FALSE(transit(&p, "DataDigest=None"));
	check_protocol_failure(&p, 18, "HeaderDigest is required");
}

/* 6.2, 6.3, 7.3 to 7.5: what keys.c refuses ends the login */
static void test_login_bad_keys(void)
{
	static const char *const bad[] = {
		"ImmediateData=Yes ImmediateData=Yes",
		"ImmediateData=maybe",
		"FirstBurstLength=262145",
		"MaxBurstLength=NotUnderstood",
		"AuthMethod=None",
		"CHAP_A=5",
		"InitiatorName=x",
		"TargetPortalGroupTag=1",
		"no-equals-sign",
		"=1",
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct login_config cfg = config(AUTH_NONE);
		struct play p = begin_operational(&cfg);

		CU_ASSERT_FALSE(partial(&p, bad[i]));
		check_failed(&p, ISDSC_INVALID_TEXT_KEY, EPROTO, 11, "");
	}
}

static void test_login_key_twice_over_two_responses(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);

	CU_ASSERT_TRUE(partial(&p, "ImmediateData=Yes"));
	CU_ASSERT_FALSE(partial(&p, "ImmediateData=Yes"));
	check_failed(&p, ISDSC_INVALID_TEXT_KEY, EPROTO, 11, "given twice");
}

static void test_login_operational_key_in_security_stage(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	CU_ASSERT_FALSE(transit(&p, "AuthMethod=None MaxRecvDataSegmentLength=8192"));
	check_failed(&p, ISDSC_INVALID_TEXT_KEY, EPROTO, 11, "security stage");
}

/* --- a further connection --- */

static void test_login_further_connection(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct keys_values session;
	struct login_result r;
	struct play p = begin_operational(&cfg);

	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	login_result(p.l, &r);
	session = r.values;
	finish(&p);

	cfg.initiator_alias = "told by the leading login"; /* LIO: NotUnderstood here */
	cfg.tsih = TSIH;
	cfg.cid = 6;
	cfg.cmd_sn = 500;
	cfg.session_values = &session;
	p = begin(&cfg);
	CU_ASSERT_EQUAL(p.req.tsih, TSIH);
	CU_ASSERT_EQUAL(p.req.cid, 6);
	CU_ASSERT_EQUAL(p.req.cmd_sn, 500);
	check_request(&p, true, 0,
		      "InitiatorName=" INITIATOR " TargetName=" TARGET " AuthMethod=None ");
	login_set_cmd_sn(p.l, 507); /* 11.12.8 */
	CU_ASSERT_TRUE(transit(&p, "TargetPortalGroupTag=1 AuthMethod=None"));
	CU_ASSERT_EQUAL(p.req.cmd_sn, 507);
	check_request(&p, true, 1,
		      "HeaderDigest=None DataDigest=None MaxRecvDataSegmentLength=1048576 ");
	/* LIO proposes session keys here */
	CU_ASSERT_TRUE(partial(&p, "HeaderDigest=None DataDigest=None MaxBurstLength=1048576 "
				   "MaxConnections=8"));
	check_request(&p, true, 1, "MaxBurstLength=262144 MaxConnections=1 ");
	CU_ASSERT_TRUE(transit(&p, ""));
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.tsih, TSIH);
	CU_ASSERT_EQUAL(r.values.max_burst_length, 262144);
	finish(&p);
}

static void test_login_restarted_connection_acknowledges_status(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p;

	cfg.tsih = TSIH;
	cfg.exp_stat_sn = 0x1234;
	p = begin(&cfg);
	CU_ASSERT_EQUAL(p.req.exp_stat_sn, 0x1234); /* 11.12.9 */
	CU_ASSERT_TRUE(partial(&p, ""));
	CU_ASSERT_EQUAL(p.req.exp_stat_sn, 1001);
	end(&p);
}

/* 2.1 to 2.3 */
static void test_login_tsih(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);
	uint8_t bhs[ISCSI_BHS_BYTES];

	p.rsp.csg = 1; /* final with TSIH 0 */
	p.rsp.is_transit = true;
	p.rsp.nsg = 3;
	CU_ASSERT_FALSE(send_text(&p, ANSWERS));
	check_protocol_failure(&p, 11, "TSIH 0");

	p = begin(&cfg); /* early, and then another one */
	p.rsp.tsih = 9;
	CU_ASSERT_TRUE(transit(&p, "AuthMethod=None"));
	p.rsp.tsih = 10;
	CU_ASSERT_FALSE(transit(&p, ANSWERS));
	check_protocol_failure(&p, 11, "changed the TSIH");

	cfg.tsih = TSIH; /* a session's must stay */
	p = begin(&cfg);
	p.rsp.tsih = TSIH + 1;
	CU_ASSERT_FALSE(transit(&p, "AuthMethod=None"));
	check_protocol_failure(&p, 11, "changed the TSIH");

	p = begin(&cfg); /* 0 before the end is tolerated */
	p.rsp.tsih = 0;
	CU_ASSERT_TRUE(transit(&p, "AuthMethod=None"));
	pdu_put_login_response(bhs, &p.rsp);
	end(&p);
}

/* --- headers --- */

#define CHECK_FIELD(change, event, want)                           \
	do {                                                       \
		struct login_config cfg_ = config(AUTH_NONE);      \
		struct play p = begin(&cfg_);                      \
                                                                   \
		p.rsp.csg = 0;                                     \
		p.rsp.is_transit = true;                           \
		p.rsp.nsg = 1;                                     \
		change;                                            \
		CU_ASSERT_FALSE(send_text(&p, "AuthMethod=None")); \
		check_protocol_failure(&p, event, want);           \
	} while (0)

static void test_login_wrong_header(void)
{
	CHECK_FIELD(p.rsp.itt++, 11, "Initiator Task Tag");
	CHECK_FIELD(p.rsp.isid[5]++, 11, "ISID");
	CHECK_FIELD(p.rsp.csg = 2, 11, "current stage");
	CHECK_FIELD(p.rsp.csg = 1; p.rsp.nsg = 3; p.rsp.tsih = 1, 11, "another login stage");
	CHECK_FIELD(p.rsp.nsg = 2, 11, "reserved next stage");
	CHECK_FIELD(p.rsp.nsg = 0, 11, "not after the current");
	CHECK_FIELD(p.rsp.nsg = 3; p.rsp.tsih = 1, 11, "later stage than asked");
	CHECK_FIELD(p.rsp.is_continued = true, 11, "T and C bit");
	CHECK_FIELD(p.has_wrong_length = true, 11, "another length");
}

static void test_login_version_that_we_did_not_offer(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	p.rsp.version_active = 1;
	CU_ASSERT_FALSE(transit(&p, "AuthMethod=None"));
	check_failed(&p, ISDSC_VERSION_MISMATCH, EPROTO, 11, "version 0x01");
}

static void test_login_version_max_that_changes(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	p.rsp.version_max = 1;
	CU_ASSERT_TRUE(transit(&p, "AuthMethod=None"));
	p.rsp.version_max = 2;
	CU_ASSERT_FALSE(transit(&p, ANSWERS));
	check_protocol_failure(&p, 11, "Version-max");
}

static void test_login_segment_over_8192(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);
	g_autofree char *text = g_strnfill(8193, 'a');

	CU_ASSERT_FALSE(continued(&p, text, 8193));
	check_protocol_failure(&p, 11, "greater than MaxRecvDataSegmentLength");
}

/* 8.1 */
static void test_login_other_pdu(void)
{
	struct login_config cfg = config(AUTH_NONE);

	for (unsigned opcode = 0; opcode < 0x40; opcode++) {
		struct play p = begin(&cfg);
		uint8_t bhs[ISCSI_BHS_BYTES] = { (uint8_t)opcode, 0x80 };

		memset(bhs + 16, 0xff, 8);
		if (opcode == ISCSI_LOGIN_RESPONSE) {
			end(&p);
			continue;
		}
		CU_ASSERT_FALSE(login_response(p.l, bhs, NULL, 0));
		CU_ASSERT_EQUAL(login_status(p.l), -1);
		if (opcode == ISCSI_REJECT)
			check_protocol_failure(&p, 29, "rejected the Login Request");
		else
			check_protocol_failure(&p, 11, "not a Login Response");
	}
}

/* Events 3 and 4: told, and put right. 4.2.2.1: a MaxCmdSN that makes no sense is not taken. */
static void test_login_odd_numbers(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);
	struct login_result r;

	p.rsp.max_cmd_sn = CMD_SN - 2;
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.max_cmd_sn, CMD_SN + 63); /* of the response before */
	finish(&p);

	p = begin_operational(&cfg);
	p.rsp.max_cmd_sn = CMD_SN - 1; /* closed window */
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.max_cmd_sn, CMD_SN - 1);
	CU_ASSERT_EQUAL(login_event(p.l, NULL), 3);
	finish(&p);

	p = begin_operational(&cfg);
	CU_ASSERT_TRUE(partial(&p,
			       "FirstBurstLength=65536 MaxBurstLength=512 HeaderDigest=None "
			       "DataDigest=None MaxConnections=1 InitialR2T=Yes "
			       "ImmediateData=No DefaultTime2Wait=2 DefaultTime2Retain=0 "
			       "MaxOutstandingR2T=1 ErrorRecoveryLevel=0"));
	CU_ASSERT_TRUE(transit(&p, ""));
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.values.first_burst_length, 512);
	CU_ASSERT_EQUAL(login_event(p.l, NULL), 4);
	finish(&p);
}

/* --- text over several PDUs --- */

static void test_login_text_by_instalments(void)
{
	static const char text[] = "TargetAlias=a long name\0TargetPortalGroupTag=7\0";
	struct login_config cfg = config(AUTH_NONE);
	struct login_result r;
	struct play p = begin(&cfg);

	for (size_t i = 0; i + 2 < sizeof(text); i++) { /* a byte each: the last one follows */
		CU_ASSERT_TRUE_FATAL(continued(&p, text + i, 1));
		CU_ASSERT_FALSE(p.req.is_transit || p.req.is_continued);
		CU_ASSERT_STRING_EQUAL(p.said, "");
	}
	p.rsp.is_continued = false;
	CU_ASSERT_TRUE(send_bytes(&p, text + sizeof(text) - 2, 1));
	check_request(&p, true, 0, "");
	CU_ASSERT_TRUE(transit(&p, ""));
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	login_result(p.l, &r);
	CU_ASSERT_EQUAL(r.values.target_portal_group_tag, 7);
	CU_ASSERT_STRING_EQUAL(r.values.target_alias, "a long name");
	finish(&p);
}

/* The empty answers to the C bit must not set T, so T in response is a breach. */
static void test_login_t_after_continuation(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	CU_ASSERT_TRUE(continued(&p, "AuthMethod=", 11));
	CU_ASSERT_FALSE(transit(&p, "None"));
	check_protocol_failure(&p, 11, "unasked");
}

static void test_login_continuations_are_bounded(void)
{
	struct login_config cfg = config(AUTH_NONE);
	g_autofree char *text = g_strnfill(8192, 'a');
	static const struct {
		size_t bytes;
		int rounds;
	} cases[] = { { 0, 64 }, { 1, 1024 }, { 8192, 32 } };

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct play p = begin_operational(&cfg);
		int rounds = 0;

		while (continued(&p, text, cases[i].bytes))
			rounds++;
		CU_ASSERT_EQUAL(rounds, cases[i].rounds);
		check_protocol_failure(&p, 11, i < 2 ? "to an end" : "too much text");
	}
}

/* Our answers to 120 unknown keys with long names are more than 8192 bytes. */
static void test_login_own_text_over_8192(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);
	g_autoptr(GString) text = g_string_new(NULL), want = g_string_new(NULL);
	g_autofree char *first = NULL, *all = NULL;

	for (int i = 0; i < 120; i++) {
		g_autofree char *name = g_strdup_printf("X-com.example.%049d", i);

		g_string_append_printf(text, "%s= ", name);
		g_string_append_printf(want, "%s=NotUnderstood ", name);
	}
	CU_ASSERT_TRUE_FATAL(partial(&p, text->str));
	CU_ASSERT_TRUE(p.req.is_continued);
	CU_ASSERT_FALSE(p.req.is_transit);
	CU_ASSERT_EQUAL(p.req.data_bytes, 8192);
	first = g_strdup(p.said);
	CU_ASSERT_TRUE_FATAL(partial(&p, "")); /* "go on" */
	CU_ASSERT_FALSE(p.req.is_continued);
	CU_ASSERT_TRUE(p.req.is_transit);
	all = g_strconcat(first, p.said, NULL);
	CU_ASSERT_STRING_EQUAL(all, want->str);
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	finish(&p);

	p = begin_operational(&cfg);
	CU_ASSERT_TRUE_FATAL(partial(&p, text->str));
	CU_ASSERT_FALSE(partial(&p, "HeaderDigest=None"));
	check_protocol_failure(&p, 11, "text that is not complete");
}

/* --- status --- */

/* 11.13.5 */
static void test_login_status(void)
{
	static const struct {
		unsigned status;
		int code, errno_value;
		const char *want;
	} cases[] = {
		{ 0x0200, ISDSC_INITIATOR_ERROR, EPROTO, "0200 initiator error" },
		{ 0x0201, ISDSC_AUTHENTICATION_FAILURE, EACCES, "may want CHAP" },
		{ 0x0202, ISDSC_AUTHORIZATION_FAILURE, EACCES, "0202 authorization failure" },
		{ 0x0203, ISDSC_NOT_FOUND, ENOENT, "0203 target not found" },
		{ 0x0204, ISDSC_TARGET_REMOVED, ENOENT, "0204 target removed" },
		{ 0x0205, ISDSC_UNSUPPORTED_VERSION, EPROTO, "0205 unsupported version" },
		{ 0x0206, ISDSC_TOO_MANY_CONNECTIONS, EUSERS, "0206 too many connections" },
		{ 0x0207, ISDSC_MISSING_PARAMETER, EPROTO, "0207 missing parameter" },
		{ 0x0208, ISDSC_CANT_INCLUDE_IN_SESSION, EOPNOTSUPP, "0208 cannot include" },
		{ 0x0209, ISDSC_SESSION_TYPE_NOT_SUPPORTED, EOPNOTSUPP, "0209 session type" },
		{ 0x020a, ISDSC_INVALID_SESSION_ID, ENOENT, "020a session does not exist" },
		{ 0x020b, ISDSC_INITIATOR_ERROR, EPROTO, "020b invalid request" },
		{ 0x0299, ISDSC_INITIATOR_ERROR, EPROTO,
		  "0299 unknown detail (class 0x02 initiator error, detail 0x99)" },
		{ 0x0300, ISDSC_TARGET_ERROR, EIO, "0300 target error" },
		{ 0x0301, ISDSC_SERVICE_UNAVAILABLE, EBUSY, "0301 service unavailable" },
		{ 0x0302, ISDSC_OUT_OF_RESOURCES, ENOSPC,
		  "0302 target out of resources (class 0x03 target error, detail 0x02)" },
		{ 0x03ff, ISDSC_TARGET_ERROR, EIO, "03ff unknown detail" },
		{ 0x0400, ISDSC_LOGIN_FAILED, EPROTO, "0400 unknown detail (class 0x04" },
		{ 0xff01, ISDSC_LOGIN_FAILED, EPROTO, "ff01 unknown detail" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct login_config cfg = config(AUTH_NONE);
		struct play p = begin(&cfg);

		p.rsp.status_class = (uint8_t)(cases[i].status >> 8);
		p.rsp.status_detail = (uint8_t)cases[i].status;
		CU_ASSERT_FALSE(partial(&p, ""));
		CU_ASSERT_EQUAL(login_status(p.l), (int)cases[i].status);
		check_failed(&p, cases[i].code, cases[i].errno_value, 10, cases[i].want);
	}
}

/* T, CSG, NSG and the numbers mean nothing in a reject (6.3.1). */
static void test_login_status_with_odd_header(void)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin_operational(&cfg);

	p.rsp.status_class = 2;
	p.rsp.status_detail = 3;
	p.rsp.is_transit = p.rsp.is_continued = true;
	p.rsp.csg = 2;
	p.rsp.stat_sn = 0;
	p.rsp.version_active = 1;
	memset(p.rsp.isid, 0, 6);
	CU_ASSERT_FALSE(send_text(&p, ""));
	check_failed(&p, ISDSC_NOT_FOUND, ENOENT, 10, "target not found");
}

/* --- redirection --- */

static void redirects(unsigned detail, const char *text, const char *want)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);
	bool is_permanent = detail != 2;

	p.rsp.status_class = 1;
	p.rsp.status_detail = (uint8_t)detail;
	CU_ASSERT_FALSE(partial(&p, text));
	CU_ASSERT_EQUAL_FATAL(login_state(p.l), LOGIN_REDIRECTED);
	CU_ASSERT_STRING_EQUAL(login_redirect(p.l, &is_permanent), want);
	CU_ASSERT_EQUAL(is_permanent, detail == 2);
	CU_ASSERT_EQUAL(login_status(p.l), (int)(0x0100 | detail));
	CU_ASSERT_PTR_NULL(login_error(p.l));
	end(&p);
}

static void test_login_redirect(void)
{
	redirects(1, "TargetAddress=10.0.0.9:3261", "10.0.0.9:3261");
	redirects(2, "TargetAddress=10.0.0.9", "10.0.0.9");
	redirects(1, "TargetAlias=x TargetAddress=[fe80::1]:3260,1", "[fe80::1]:3260");
	redirects(1, "TargetAddress=a.example.com:3260 TargetAddress=b.example.com",
		  "a.example.com:3260");
	redirects(9, "TargetAddress=10.0.0.9", "10.0.0.9"); /* detail unknown: temporary */
}

static void refuses_redirect(const char *text, const char *want)
{
	struct login_config cfg = config(AUTH_NONE);
	struct play p = begin(&cfg);

	p.rsp.status_class = 1;
	p.rsp.status_detail = 1;
	CU_ASSERT_FALSE(partial(&p, text));
	check_failed(&p, ISDSC_TARGET_MOVED_TEMPORARILY, EPROTO, 12, want);
}

static void test_login_redirect_to_nowhere(void)
{
	refuses_redirect("", "gives no address");
	refuses_redirect("TargetName=x", "gives no address");
	refuses_redirect("TargetAddress=", "an address that is none");
	refuses_redirect("TargetAddress=[::1", "an address that is none");
	refuses_redirect("TargetAddress=10.0.0.1:99999", "an address that is none");
	refuses_redirect("garbage", "gives no address");
}

static void test_login_names_of_states(void)
{
	CU_ASSERT_STRING_EQUAL(login_state_name(LOGIN_START), "START");
	CU_ASSERT_STRING_EQUAL(login_state_name(LOGIN_REDIRECTED), "REDIRECTED");
	login_free(NULL);
}

UNIT_MAIN("login", UNIT(test_login_first_request), UNIT(test_login_without_authentication),
	  UNIT(test_login_target_silent_about_authmethod), UNIT(test_login_t_bit_delayed),
	  UNIT(test_login_rounds_are_bounded), UNIT(test_login_any_stat_sn),
	  UNIT(test_login_stat_sn_that_jumps), UNIT(test_login_discovery),
	  UNIT(test_login_proposals_of_the_target_are_answered),
	  UNIT(test_login_proposal_in_the_final_response), UNIT(test_login_unanswered_offer),
	  UNIT(test_login_required_digest), UNIT(test_login_bad_keys),
	  UNIT(test_login_key_twice_over_two_responses),
	  UNIT(test_login_operational_key_in_security_stage),
	  UNIT(test_login_further_connection),
	  UNIT(test_login_restarted_connection_acknowledges_status), UNIT(test_login_tsih),
	  UNIT(test_login_wrong_header), UNIT(test_login_version_that_we_did_not_offer),
	  UNIT(test_login_version_max_that_changes),
	  UNIT(test_login_segment_over_8192), UNIT(test_login_other_pdu),
	  UNIT(test_login_odd_numbers), UNIT(test_login_text_by_instalments),
	  UNIT(test_login_t_after_continuation), UNIT(test_login_continuations_are_bounded),
	  UNIT(test_login_own_text_over_8192), UNIT(test_login_status),
	  UNIT(test_login_status_with_odd_header), UNIT(test_login_redirect),
	  UNIT(test_login_redirect_to_nowhere), UNIT(test_login_names_of_states))
