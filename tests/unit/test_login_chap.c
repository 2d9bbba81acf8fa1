/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole logins with CHAP, one-way and mutual, and all the ways in which a target could do
 * without. */
#include <openssl/evp.h>

#include "login_play.h"

#define CHALLENGE "0x000102030405060708090a0b0c0d0e0f"

static const struct {
	unsigned number;
	const char *digest;
	const char *response; /* computed with hashlib, see test_chap.c */
} algorithms[] = {
	{ 5, "MD5", "0x78faec21ba7a17fb9bef3ce96a331303" },
	{ 6, "SHA1", "0x1df2a1082ba7fff97ea5e89936ad19c04082be76" },
	{ 7, "SHA2-256", "0x77c201a894898bf41311aaa674fd438a0180408646244f4d0234eccc32279f92" },
	{ 8, "SHA3-256", "0x2b0cd65283965c8c49bdd2f52ab18e01dcf162437623f3b11c87f3cf9e33b727" },
};

/* CHAP chosen and our algorithms offered. */
static struct play begin_chap(const struct login_config *cfg)
{
	struct play p = begin(cfg);

	check_request(&p, false, 0,
		      "InitiatorName=" INITIATOR " TargetName=" TARGET
		      " SessionType=Normal AuthMethod=CHAP ");
	CU_ASSERT_TRUE(partial(&p, "TargetPortalGroupTag=1 AuthMethod=CHAP"));
	check_request(&p, false, 0, "CHAP_A=8,7,6,5 ");
	return p;
}

/* A challenge for the algorithm; our response is out then. */
static gboolean challenge(struct play *p, size_t algorithm)
{
	g_autofree char *text = g_strdup_printf("CHAP_A=%u CHAP_I=35 CHAP_C=" CHALLENGE,
						algorithms[algorithm].number);

	return partial(p, text);
}

static void test_login_chap_one_way(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++) {
		struct login_config cfg = config(AUTH_CHAP);
		struct play p = begin_chap(&cfg);
		g_autofree char *want =
			g_strdup_printf("CHAP_N=tom CHAP_R=%s ", algorithms[i].response);

		CU_ASSERT_TRUE(challenge(&p, i));
		check_request(&p, true, 0, want);
		CU_ASSERT_TRUE(transit(&p, ""));
		CU_ASSERT_EQUAL(login_state(p.l), LOGIN_OPERATIONAL);
		CU_ASSERT_TRUE(transit(&p, ANSWERS));
		finish(&p);
	}
}

static void test_login_chap_verdict_delayed(void)
{
	struct login_config cfg = config(AUTH_CHAP);
	struct play p = begin_chap(&cfg);

	CU_ASSERT_TRUE(challenge(&p, 0));
	CU_ASSERT_TRUE(partial(&p, ""));
	check_request(&p, true, 0, "");
	CU_ASSERT_TRUE(transit(&p, ""));
	check_request(&p, true, 1, NULL);
	end(&p);
}

static void test_login_chap_rejected(void)
{
	struct login_config cfg = config(AUTH_CHAP);
	struct play p = begin_chap(&cfg);

	CU_ASSERT_TRUE(challenge(&p, 0));
	p.rsp.status_class = 2;
	p.rsp.status_detail = 1;
	CU_ASSERT_FALSE(partial(&p, ""));
	check_failed(&p, ISDSC_AUTHENTICATION_FAILURE, EACCES, 10, "are user and secret");
}

/* tgtd 1.0.85 with our offer: picks 7, wants SHA-1's 20 bytes, answers 0200. */
static void test_login_chap_target_that_mistakes_sha256(void)
{
	static const struct {
		size_t algorithm;
		unsigned detail;
		bool want;
	} cases[] = { { 2, 0, true }, { 2, 1, false }, { 3, 0, false }, { 0, 0, false } };

	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct login_config cfg = config(AUTH_CHAP);
		struct play p = begin_chap(&cfg);

		CU_ASSERT_TRUE(challenge(&p, cases[i].algorithm));
		CU_ASSERT_FALSE(login_wants_no_sha256(p.l));
		p.rsp.status_class = 2;
		p.rsp.status_detail = (uint8_t)cases[i].detail;
		CU_ASSERT_FALSE(partial(&p, ""));
		CU_ASSERT_EQUAL(login_wants_no_sha256(p.l), cases[i].want);
		end(&p);
	}
}

/* The proof of a target that knows @secret, over our challenge in p->said. */
static char *prove(const struct play *p, size_t algorithm, const char *secret)
{
	g_autofree char *challenge_text = g_strdup(strstr(p->said, "CHAP_C=") + 7);
	g_autoptr(GByteArray) text = g_byte_array_new();
	uint8_t id = (uint8_t)atoi(strstr(p->said, "CHAP_I=") + 7), digest[EVP_MAX_MD_SIZE];
	size_t len, bytes;
	int r;
	g_autofree uint8_t *own = NULL;

	*strchr(challenge_text, ' ') = '\0';
	own = text_decode_binary(challenge_text, 1024, &len, &r);
	g_byte_array_append(text, &id, 1);
	g_byte_array_append(text, (const guint8 *)secret, (guint)strlen(secret));
	g_byte_array_append(text, own, (guint)len);
	EVP_Q_digest(NULL, algorithms[algorithm].digest, NULL, text->data, text->len, digest,
		     &bytes);
	return text_encode_hex(digest, bytes);
}

static void test_login_chap_mutual(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++) {
		struct login_config cfg = config(AUTH_MUTUAL);
		g_autoptr(GString) params = g_string_new(NULL);
		struct play p = begin_chap(&cfg);
		g_autofree char *response = NULL, *text = NULL, *line = NULL;

		CU_ASSERT_TRUE(challenge(&p, i));
		check_request(&p, true, 0, NULL);
		CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(p.said, " CHAP_C=0x"));
		response = prove(&p, i, "mutualsecret34");
		text = g_strdup_printf("CHAP_N=jerry CHAP_R=%s", response);
		CU_ASSERT_TRUE(transit(&p, text));
		CU_ASSERT_TRUE(transit(&p, ANSWERS));
		login_print(p.l, params);
		line = g_strdup_printf("AuthMethod CHAP CHAP\nCHAP_A 8,7,6,5 %u\n"
				       "CHAP_N tom jerry\nHeaderDigest None None\n",
				       algorithms[i].number);
		CU_ASSERT_TRUE(g_str_has_prefix(params->str, line));
		CU_ASSERT_PTR_NULL(strstr(params->str, "secret"));
		finish(&p);
	}
}

/* A target that proves itself with T=0 first. */
static void test_login_chap_mutual_in_two_steps(void)
{
	struct login_config cfg = config(AUTH_MUTUAL);
	struct play p = begin_chap(&cfg);
	g_autofree char *response = NULL, *text = NULL;

	CU_ASSERT_TRUE(challenge(&p, 0));
	response = prove(&p, 0, "mutualsecret34");
	text = g_strdup_printf("CHAP_N=jerry CHAP_R=%s", response);
	CU_ASSERT_TRUE(partial(&p, text));
	check_request(&p, true, 0, "");
	CU_ASSERT_TRUE(transit(&p, ""));
	CU_ASSERT_TRUE(transit(&p, ANSWERS));
	finish(&p);
}

static void refuses_proof(const char *name, const char *secret, bool is_transit, unsigned event)
{
	struct login_config cfg = config(AUTH_MUTUAL);
	struct play p = begin_chap(&cfg);
	g_autofree char *response = NULL, *text = NULL;
	const char *pair;

	CU_ASSERT_TRUE(challenge(&p, 0));
	response = prove(&p, 0, secret ? secret : "");
	text = secret ? g_strdup_printf("CHAP_N=%s CHAP_R=%s", name, response) : g_strdup(name);
	CU_ASSERT_FALSE(is_transit ? transit(&p, text) : partial(&p, text));
	login_event(p.l, &pair);
	check_failed(&p, ISDSC_AUTHENTICATION_FAILURE, EACCES, event, "CHAP: ");
}

static void test_login_chap_mutual_failures(void)
{
	refuses_proof("jerry", "wrongsecret12", true, 17);
	refuses_proof("jerry", "secretsecret12", true, 17); /* ours */
	refuses_proof("tom", "mutualsecret34", true, 16);
	refuses_proof("", NULL, true, 16); /* goes on without a proof */
	refuses_proof("", NULL, false, 16);
	refuses_proof("CHAP_N=jerry", NULL, true, 16);
	refuses_proof("CHAP_R=0x00", NULL, true, 17);
}

/* Ours comes back on a second connection of the session. */
static void test_login_chap_reflection(void)
{
	struct login_config cfg = config(AUTH_MUTUAL);
	struct chap_history *h = chap_history_new();
	g_autofree char *text = NULL;
	struct play first, second;

	cfg.chap_history = h;
	first = begin_chap(&cfg);
	CU_ASSERT_TRUE(challenge(&first, 0));
	second = begin_chap(&cfg);
	text = g_strdup_printf("CHAP_A=5 CHAP_I=1 %s", strstr(first.said, "CHAP_C="));
	CU_ASSERT_FALSE(partial(&second, text));
	check_failed(&second, ISDSC_AUTHENTICATION_FAILURE, EACCES, 15, "reflection");
	end(&first);
	chap_history_free(h);
}

static void test_login_chap_challenge_used_again(void)
{
	struct login_config cfg = config(AUTH_CHAP);
	struct chap_history *h = chap_history_new();
	struct play p;

	cfg.chap_history = h;
	p = begin_chap(&cfg);
	CU_ASSERT_TRUE(challenge(&p, 0));
	end(&p);
	p = begin_chap(&cfg);
	CU_ASSERT_TRUE(challenge(&p, 0)); /* warned of, not refused */
	end(&p);
	chap_history_free(h);
}

static void test_login_chap_bad_steps(void)
{
	static const struct {
		const char *text;
		unsigned event;
	} bad[] = {
		{ "CHAP_A=4 CHAP_I=1 CHAP_C=0x00", 14 },
		{ "CHAP_A=5 CHAP_I=1", 16 },
		{ "CHAP_A=5 CHAP_I=256 CHAP_C=0x00", 16 },
		{ "CHAP_A=5 CHAP_I=1 CHAP_C=zz", 15 },
		{ "CHAP_N=jerry CHAP_R=0x00", 16 },
		{ "CHAP_Q=1", 16 },
		{ "AuthMethod=CHAP", 13 },
		{ "", 16 },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct login_config cfg = config(AUTH_CHAP);
		struct play p = begin_chap(&cfg);

		CU_ASSERT_FALSE(partial(&p, bad[i].text));
		check_failed(&p,
			     bad[i].event == 13 ? ISDSC_LOGON_FAILED
						: ISDSC_AUTHENTICATION_FAILURE,
			     EACCES, bad[i].event, "");
	}
}

static void test_login_chap_challenge_of_1024_bytes(void)
{
	g_autofree char *zeros = g_strnfill(2048, '0');

	for (int more = 0; more < 2; more++) {
		struct login_config cfg = config(AUTH_CHAP);
		struct play p = begin_chap(&cfg);
		g_autofree char *text = g_strdup_printf("CHAP_A=5 CHAP_I=255 CHAP_C=0x%s%s",
							more ? "00" : "", zeros);

		CU_ASSERT_EQUAL(partial(&p, text), !more);
		if (more) {
			check_failed(&p, ISDSC_AUTHENTICATION_FAILURE, EACCES, 33, "1024");
			continue;
		}
		CU_ASSERT_STRING_EQUAL(p.said,
				       "CHAP_N=tom CHAP_R=0x78e63b1f46a5a822878e2ed33ed0e7fd ");
		end(&p);
	}
}

/* auth=chap and a target that would rather not: never without. */
static void test_login_chap_is_never_skipped(void)
{
	static const struct {
		const char *text;
		bool is_transit;
		unsigned event;
	} bad[] = {
		{ "AuthMethod=None", true, 38 },       { "AuthMethod=None", false, 38 },
		{ "AuthMethod=CHAP", true, 38 },       { "", true, 38 },
		{ "AuthMethod=Reject", false, 38 },    { "AuthMethod=SRP", false, 13 },
		{ "AuthMethod=", false, 13 },	       { "", false, 41 },
		{ "AuthMethod=CHAP,None", false, 13 }, { "AuthMethod=Irrelevant", false, 38 },
	};

	for (size_t i = 0; i < 2 * G_N_ELEMENTS(bad); i++) {
		struct login_config cfg = config(i % 2 ? AUTH_MUTUAL : AUTH_CHAP);
		struct play p = begin(&cfg);
		gboolean goes_on = bad[i / 2].is_transit ? transit(&p, bad[i / 2].text)
							 : partial(&p, bad[i / 2].text);

		CU_ASSERT_FALSE(goes_on);
		check_failed(&p,
			     bad[i / 2].is_transit || !*bad[i / 2].text
				     ? ISDSC_AUTHENTICATION_FAILURE
				     : ISDSC_LOGON_FAILED,
			     EACCES, bad[i / 2].event, "");
	}
}

/* The same between the steps of CHAP. */
static void test_login_chap_is_never_cut_short(void)
{
	struct login_config cfg = config(AUTH_CHAP);
	struct play p = begin_chap(&cfg);

	CU_ASSERT_FALSE(transit(&p, ""));
	check_failed(&p, ISDSC_AUTHENTICATION_FAILURE, EACCES, 38, "goes on without");
	p = begin_chap(&cfg);
	CU_ASSERT_FALSE(transit(&p, "CHAP_A=5 CHAP_I=1 CHAP_C=" CHALLENGE));
	check_failed(&p, ISDSC_AUTHENTICATION_FAILURE, EACCES, 38, "goes on without");
}

/* auth=none and a target that wants more: what to do is said. */
static void test_login_target_insists_on_chap(void)
{
	static const char *const bad[] = { "AuthMethod=CHAP", "AuthMethod=Reject", "CHAP_A=5" };

	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		struct login_config cfg = config(AUTH_NONE);
		struct play p = begin(&cfg);

		CU_ASSERT_FALSE(partial(&p, bad[i]));
		check_failed(&p, ISDSC_LOGON_FAILED, EACCES, 40,
			     "auth=chap user= secret=");
	}
}

/* A configuration that cannot work: nothing but the AuthMethod is ever said. */
static void test_login_without_secret_is_no_login_without_chap(void)
{
	struct login_config cfg = config(AUTH_CHAP);
	struct chap_config no_secret = { .user = (char *)"tom" };
	struct play p;

	cfg.chap = NULL;
	p = begin(&cfg);
	CU_ASSERT_PTR_NOT_NULL(strstr(p.said, "AuthMethod=CHAP "));
	CU_ASSERT_FALSE(partial(&p, "AuthMethod=CHAP"));
	check_failed(&p, ISDSC_TARGET_AUTHINFO_UNAVAILABLE, EACCES, 0, "no user and secret");
	cfg.chap = &no_secret;
	p = begin(&cfg);
	CU_ASSERT_FALSE(transit(&p, "AuthMethod=None"));
	check_failed(&p, ISDSC_TARGET_AUTHINFO_UNAVAILABLE, EACCES, 0, "no secret");
}

UNIT_MAIN("login_chap", UNIT(test_login_chap_one_way), UNIT(test_login_chap_verdict_delayed),
	  UNIT(test_login_chap_rejected), UNIT(test_login_chap_target_that_mistakes_sha256),
	  UNIT(test_login_chap_mutual), UNIT(test_login_chap_mutual_in_two_steps),
	  UNIT(test_login_chap_mutual_failures), UNIT(test_login_chap_reflection),
	  UNIT(test_login_chap_challenge_used_again), UNIT(test_login_chap_bad_steps),
	  UNIT(test_login_chap_challenge_of_1024_bytes), UNIT(test_login_chap_is_never_skipped),
	  UNIT(test_login_chap_is_never_cut_short), UNIT(test_login_target_insists_on_chap),
	  UNIT(test_login_without_secret_is_no_login_without_chap))
