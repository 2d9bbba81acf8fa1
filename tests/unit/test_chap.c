/* SPDX-License-Identifier: BSD-2-Clause */
/* CHAP against a target played by hand. Responses were computed apart from the code under test:
 *	python3 -c "import hashlib; print(hashlib.new('md5', bytes([0x23]) + b'secretsecret12'
 *		+ bytes(range(16))).hexdigest())"
 * and so on with sha1, sha256, sha3_256. Numbers in names are those of the UNH-IOL CHAP suite.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "iscsi/chap.h"
#include "unit.h"

#define NAME "iqn.2001-04.com.example:host"
#define CHALLENGE "0x000102030405060708090a0b0c0d0e0f"

static uint8_t secret_out[] = "secretsecret12", secret_in[] = "mutualsecret34";

static struct chap_config config(void)
{
	return (struct chap_config){
		.user = (char *)"tom",
		.secret = secret_out,
		.secret_bytes = sizeof(secret_out) - 1,
		.user_in = (char *)"jerry",
		.secret_in = secret_in,
		.secret_in_bytes = sizeof(secret_in) - 1,
	};
}

/* What we say next: keys as "A=1 B=2 ". */
static char *say(struct chap *c)
{
	g_autoptr(GByteArray) out = g_byte_array_new();

	chap_append(c, out);
	for (guint i = 0; i < out->len; i++)
		out->data[i] = out->data[i] ? out->data[i] : ' ';
	return g_strndup(out->len ? (const char *)out->data : "", out->len);
}

/* The value of @key in such text, NULL when it is not there. */
static char *value_of(const char *said, const char *key)
{
	g_auto(GStrv) pairs = g_strsplit(said, " ", -1);

	for (char **p = pairs; *p; p++)
		if (g_str_has_prefix(*p, key) && (*p)[strlen(key)] == '=')
			return g_strdup(*p + strlen(key) + 1);
	return NULL;
}

/* The target sends "A=1 B=2": all taken, and what the step wants. */
static gboolean hear(struct chap *c, const char *pairs, char **ret_why)
{
	g_auto(GStrv) list = g_strsplit(pairs, " ", -1);
	GError *err = NULL;
	gboolean is_ok = TRUE;

	for (char **p = list; is_ok && *p && **p; p++) {
		g_autofree char *key = g_strndup(*p, (gsize)(strchr(*p, '=') - *p));

		is_ok = chap_receive(c, key, strchr(*p, '=') + 1, &err);
	}
	is_ok = is_ok && chap_step_done(c, &err);
	CU_ASSERT_EQUAL(is_ok, !err);
	if (err) {
		CU_ASSERT_EQUAL(err->code, ISDSC_AUTHENTICATION_FAILURE);
		CU_ASSERT_EQUAL(error_errno(err), EACCES);
		CU_ASSERT_FALSE(chap_is_authenticated(c));
		if (ret_why)
			*ret_why = g_strdup(err->message);
		g_clear_error(&err);
	}
	return is_ok;
}

static void hears(struct chap *c, const char *pairs)
{
	CU_ASSERT_TRUE_FATAL(hear(c, pairs, NULL));
}

static void refuses(struct chap *c, const char *pairs, unsigned event, const char *want)
{
	g_autofree char *why = NULL;

	CU_ASSERT_FALSE(hear(c, pairs, &why));
	CU_ASSERT_EQUAL(chap_event(c), event);
	if (!why || !strstr(why, want))
		printf("\"%s\" instead of \"%s\"\n", why ? why : "nothing", want);
	CU_ASSERT_TRUE(why && strstr(why, want));
}

/* A one-way exchange up to our response; @answer is what the target says to CHAP_A. */
static char *respond(struct chap_config *cfg, const char *answer)
{
	struct chap *c = chap_new(cfg, NAME, false, NULL);
	char *said;

	g_free(say(c));
	CU_ASSERT_FALSE(chap_has_answered(c));
	hears(c, answer);
	CU_ASSERT_FALSE(chap_has_answered(c));
	CU_ASSERT_FALSE(chap_is_authenticated(c));
	said = say(c);
	CU_ASSERT_TRUE(chap_has_answered(c));
	CU_ASSERT_TRUE(chap_is_authenticated(c));
	chap_free(c);
	return said;
}

static void responds(struct chap_config *cfg, const char *answer, const char *want)
{
	g_autofree char *said = respond(cfg, answer);

	CU_ASSERT_STRING_EQUAL(said, want);
}

static void refuses_challenge(const char *answer, unsigned event, const char *want)
{
	struct chap_config cfg = config();
	struct chap *c = chap_new(&cfg, NAME, false, NULL);

	g_free(say(c));
	refuses(c, answer, event, want);
	chap_free(c);
}

/* 1.1 */
static void test_chap_offers_strongest_first_and_md5(void)
{
	struct chap_config cfg = config();
	struct chap *c = chap_new(&cfg, NAME, false, NULL);
	g_autofree char *said = say(c), *again = say(c);

	CU_ASSERT_STRING_EQUAL(said, "CHAP_A=8,7,6,5 ");
	CU_ASSERT_STRING_EQUAL(again, "");
	CU_ASSERT_STRING_EQUAL(chap_algorithm_name(c), "-");
	chap_free(c);
}

/* tgtd and its kin: see chap.h */
static void test_chap_sha256_left_out(void)
{
	struct chap_config cfg = config();
	g_autoptr(GString) out = g_string_new(NULL);
	g_autofree char *said = NULL;
	struct chap *c;

	cfg.is_sha256_off = true;
	c = chap_new(&cfg, NAME, false, NULL);
	said = say(c);
	CU_ASSERT_STRING_EQUAL(said, "CHAP_A=8,6,5 ");
	chap_print(c, out);
	CU_ASSERT_STRING_EQUAL(out->str, "CHAP_A 8,6,5 -\nCHAP_N tom -\n");
	refuses(c, "CHAP_A=7 CHAP_I=1 CHAP_C=" CHALLENGE, 14, "did not offer");
	chap_free(c);
}

static void test_chap_responses_of_each_algorithm(void)
{
	struct chap_config cfg = config();

	responds(&cfg, "CHAP_A=5 CHAP_I=35 CHAP_C=" CHALLENGE,
		 "CHAP_N=tom CHAP_R=0x78faec21ba7a17fb9bef3ce96a331303 ");
	responds(&cfg, "CHAP_A=6 CHAP_I=0x23 CHAP_C=" CHALLENGE,
		 "CHAP_N=tom CHAP_R=0x1df2a1082ba7fff97ea5e89936ad19c04082be76 ");
	responds(&cfg, "CHAP_A=7 CHAP_I=35 CHAP_C=" CHALLENGE,
		 "CHAP_N=tom "
		 "CHAP_R=0x77c201a894898bf41311aaa674fd438a0180408646244f4d0234eccc32279f92 ");
	responds(&cfg, "CHAP_A=8 CHAP_I=35 CHAP_C=" CHALLENGE,
		 "CHAP_N=tom "
		 "CHAP_R=0x2b0cd65283965c8c49bdd2f52ab18e01dcf162437623f3b11c87f3cf9e33b727 ");
}

/* Order within a response does not matter; nor does the form of the challenge. */
static void test_chap_forms_of_a_challenge(void)
{
	struct chap_config cfg = config();
	const char *want = "CHAP_N=tom CHAP_R=0x78faec21ba7a17fb9bef3ce96a331303 ";

	responds(&cfg, "CHAP_C=0X000102030405060708090A0B0C0D0E0F CHAP_I=35 CHAP_A=5", want);
	responds(&cfg, "CHAP_A=5 CHAP_C=0bAAECAwQFBgcICQoLDA0ODw== CHAP_I=35", want);
	responds(&cfg, "CHAP_A=0x5 CHAP_C=0BAAECAwQFBgcICQoLDA0ODw== CHAP_I=35", want);
	/* odd number of digits: 0x0abc, 6.1; secret f0 to ff, identifier 7 */
	cfg.secret =
		(uint8_t *)"\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9\xfa\xfb\xfc\xfd\xfe\xff";
	cfg.secret_bytes = 16;
	responds(&cfg, "CHAP_A=5 CHAP_I=7 CHAP_C=0xabc",
		 "CHAP_N=tom CHAP_R=0x965413ac67dfa5e2f3e5afdc6d7de51f ");
}

/* 2.1, 3.1, 3.2 */
static void test_chap_extremes_of_challenge_and_identifier(void)
{
	struct chap_config cfg = config();
	g_autofree char *zeros = g_strnfill(2048, '0');
	g_autofree char *big = g_strconcat("CHAP_A=5 CHAP_I=255 CHAP_C=0x", zeros, NULL);

	responds(&cfg, "CHAP_A=5 CHAP_I=0 CHAP_C=0x05",
		 "CHAP_N=tom CHAP_R=0x0a59ee236307057dbf07bf237beed54e ");
	responds(&cfg, big, "CHAP_N=tom CHAP_R=0x78e63b1f46a5a822878e2ed33ed0e7fd ");
}

/* 3.3, 3.4 */
static void test_chap_challenge_too_big_or_empty(void)
{
	g_autofree char *zeros = g_strnfill(2049, '0');
	g_autofree char *big = g_strconcat("CHAP_A=5 CHAP_I=255 CHAP_C=0x", zeros, NULL);

	refuses_challenge(big, 33, "longer than 1024 bytes");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=0x", 15, "neither hex nor base64");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=", 15, "neither hex nor base64");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=0b", 15, "neither hex nor base64");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=0x0g", 15, "neither hex nor base64");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=1234", 15, "neither hex nor base64");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=0bAAEC*wQF", 15, "neither hex nor base64");
}

/* 1.2 */
static void test_chap_algorithm_invalid(void)
{
	refuses_challenge("CHAP_A=4 CHAP_I=1 CHAP_C=" CHALLENGE, 14, "did not offer");
	refuses_challenge("CHAP_A=9 CHAP_I=1 CHAP_C=" CHALLENGE, 14, "did not offer");
	refuses_challenge("CHAP_A=4294967301 CHAP_I=1 CHAP_C=" CHALLENGE, 14, "not a number");
	refuses_challenge("CHAP_A=md5 CHAP_I=1 CHAP_C=" CHALLENGE, 14, "not a number");
	refuses_challenge("CHAP_A=5,6 CHAP_I=1 CHAP_C=" CHALLENGE, 14, "not a number");
	refuses_challenge("CHAP_A= CHAP_I=1 CHAP_C=" CHALLENGE, 14, "not a number");
	refuses_challenge("CHAP_A=Reject", 14, "not a number");
}

/* 2.2 */
static void test_chap_identifier_invalid(void)
{
	refuses_challenge("CHAP_A=5 CHAP_I=256 CHAP_C=" CHALLENGE, 16, "0..255");
	refuses_challenge("CHAP_A=5 CHAP_I=-1 CHAP_C=" CHALLENGE, 16, "0..255");
	refuses_challenge("CHAP_A=5 CHAP_I=x CHAP_C=" CHALLENGE, 16, "0..255");
	refuses_challenge("CHAP_A=5 CHAP_I= CHAP_C=" CHALLENGE, 16, "0..255");
}

/* 1.3, 2.3, 3.5, 4.5: a key missing, twice, or of another step */
static void test_chap_keys_out_of_order(void)
{
	struct chap_config cfg = config();
	struct chap *c;

	refuses_challenge("CHAP_A=5 CHAP_I=1", 16, "did not send CHAP_A, CHAP_I and CHAP_C");
	refuses_challenge("CHAP_I=1 CHAP_C=" CHALLENGE, 16, "did not send");
	refuses_challenge("", 16, "did not send");
	refuses_challenge("CHAP_A=5 CHAP_A=5", 16, "twice");
	refuses_challenge("CHAP_N=jerry", 16, "out of order");
	refuses_challenge("CHAP_A=5 CHAP_I=1 CHAP_C=" CHALLENGE " CHAP_R=0x00", 16,
			  "out of order");
	refuses_challenge("CHAP_X=1", 16, "does not have");
	c = chap_new(&cfg, NAME, false, NULL); /* before we have said anything */
	refuses(c, "CHAP_A=5 CHAP_I=1 CHAP_C=" CHALLENGE, 16, "out of order");
	chap_free(c);
}

static void test_chap_one_way_wants_nothing_after_the_response(void)
{
	struct chap_config cfg = config();
	struct chap *c = chap_new(&cfg, NAME, false, NULL);
	GError *err = NULL;

	g_free(say(c));
	hears(c, "CHAP_A=5 CHAP_I=1 CHAP_C=" CHALLENGE);
	g_free(say(c));
	hears(c, "");
	CU_ASSERT_FALSE(chap_receive(c, "CHAP_N", "jerry", &err));
	CU_ASSERT_PTR_NOT_NULL(err);
	g_clear_error(&err);
	chap_free(c);
}

static void test_chap_user_defaults_to_the_initiator_name(void)
{
	struct chap_config cfg = config();
	g_autofree char *said = NULL, *name = NULL;

	cfg.user = NULL;
	said = respond(&cfg, "CHAP_A=5 CHAP_I=1 CHAP_C=" CHALLENGE);
	name = value_of(said, "CHAP_N");
	CU_ASSERT_STRING_EQUAL(name, NAME);
}

/* --- mutual --- */

static const struct {
	unsigned number;
	const char *digest;
	size_t bytes;
} peer_algorithms[] = {
	{ 5, "MD5", 16 },
	{ 6, "SHA1", 20 },
	{ 7, "SHA2-256", 32 },
	{ 8, "SHA3-256", 32 },
};

/* What a target that knows @secret says to our CHAP_I and CHAP_C: hex, or base64. */
static char *proof(size_t algorithm, const char *said, const char *secret, bool is_base64)
{
	g_autofree char *id = value_of(said, "CHAP_I"), *challenge = value_of(said, "CHAP_C");
	g_autoptr(GByteArray) text = g_byte_array_new();
	uint8_t id_byte, digest[EVP_MAX_MD_SIZE];
	size_t len, digest_bytes;
	int r;
	g_autofree uint8_t *bytes = NULL;
	g_autofree char *coded = NULL;

	CU_ASSERT_PTR_NOT_NULL_FATAL(id);
	CU_ASSERT_PTR_NOT_NULL_FATAL(challenge);
	id_byte = (uint8_t)atoi(id);
	bytes = text_decode_binary(challenge, 1024, &len, &r);
	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	CU_ASSERT_TRUE(len >= 16);
	g_byte_array_append(text, &id_byte, 1);
	g_byte_array_append(text, (const guint8 *)secret, (guint)strlen(secret));
	g_byte_array_append(text, bytes, (guint)len);
	EVP_Q_digest(NULL, peer_algorithms[algorithm].digest, NULL, text->data, text->len,
		     digest, &digest_bytes);
	CU_ASSERT_EQUAL(digest_bytes, peer_algorithms[algorithm].bytes);
	if (!is_base64)
		return text_encode_hex(digest, digest_bytes);
	coded = g_base64_encode(digest, digest_bytes);
	return g_strconcat("0b", coded, NULL);
}

/* Up to our response and challenge, with MD5 or @algorithm. */
static struct chap *challenge_target(struct chap_config *cfg, struct chap_history *h,
				     size_t algorithm, const char *challenge, char **ret_said)
{
	struct chap *c = chap_new(cfg, NAME, true, h);
	g_autofree char *answer = g_strdup_printf("CHAP_A=%u CHAP_I=35 CHAP_C=%s",
						  peer_algorithms[algorithm].number, challenge);

	g_free(say(c));
	hears(c, answer);
	*ret_said = say(c);
	CU_ASSERT_TRUE(chap_has_answered(c));
	CU_ASSERT_FALSE(chap_is_authenticated(c));
	return c;
}

static void test_chap_mutual_with_each_algorithm(void)
{
	struct chap_config cfg = config();

	for (size_t i = 0; i < 2 * G_N_ELEMENTS(peer_algorithms); i++) {
		g_autofree char *said = NULL, *response = NULL, *answer = NULL;
		struct chap *c = challenge_target(&cfg, NULL, i / 2, CHALLENGE, &said);

		response = proof(i / 2, said, "mutualsecret34", i % 2);
		answer = g_strdup_printf("CHAP_N=jerry CHAP_R=%s", response);
		hears(c, answer);
		CU_ASSERT_TRUE(chap_is_authenticated(c));
		chap_free(c);
	}
}

/* 5.x, 4.8: whatever is wrong in the target's proof */
static void refuses_proof(const char *name, const char *secret, const char *tail,
			  const char *want, unsigned event)
{
	struct chap_config cfg = config();
	g_autofree char *said = NULL, *response = NULL, *answer = NULL;
	struct chap *c = challenge_target(&cfg, NULL, 0, CHALLENGE, &said);

	response = secret ? proof(0, said, secret, false) : g_strdup("0x");
	answer = g_strdup_printf("CHAP_N=%s CHAP_R=%s%s", name, response, tail);
	refuses(c, answer, event, want);
	chap_free(c);
}

static void test_chap_wrong_proof(void)
{
	refuses_proof("jerry", "mutualsecret35", "", "does not know the secret", 17);
	refuses_proof("jerry", "mutualsecret34", "00", "does not know the secret",
		      17);						    /* big */
	refuses_proof("jerry", NULL, "00", "does not know the secret", 17); /* small */
	refuses_proof("jerry", NULL, "", "not a binary value", 17);
	refuses_proof("jerry", NULL, "xyz", "not a binary value", 17);
	refuses_proof("tom", "mutualsecret34", "", "another name", 16);
	refuses_proof("jerr", "mutualsecret34", "", "another name", 16);
	refuses_proof("", "mutualsecret34", "", "1 to 255 bytes", 16);
}

/* 9.2.1: a target with our own secret would make reflection work */
static void test_chap_target_with_our_secret(void)
{
	refuses_proof("jerry", "secretsecret12", "", "our secret as its own", 17);
}

static void test_chap_proof_incomplete(void)
{
	struct chap_config cfg = config();
	g_autofree char *said = NULL;
	struct chap *c = challenge_target(&cfg, NULL, 0, CHALLENGE, &said);

	refuses(c, "CHAP_N=jerry", 16, "did not send CHAP_N and CHAP_R");
	chap_free(c);
	g_free(said);
	c = challenge_target(&cfg, NULL, 0, CHALLENGE, &said);
	refuses(c, "", 16, "did not send CHAP_N and CHAP_R");
	chap_free(c);
}

/* 4.1 to 4.4 */
static void test_chap_names_of_the_target(void)
{
	g_autofree char *name255 = g_strnfill(255, 'j'), *name256 = g_strnfill(256, 'j');
	struct chap_config cfg = config();
	g_autofree char *said = NULL, *response = NULL, *answer = NULL, *longer = NULL;
	struct chap *c;

	cfg.user_in = NULL; /* any */
	c = challenge_target(&cfg, NULL, 0, CHALLENGE, &said);
	response = proof(0, said, "mutualsecret34", false);
	answer = g_strdup_printf("CHAP_R=%s CHAP_N=%s", response, name255);
	longer = g_strdup_printf("CHAP_N=%s CHAP_R=%s", name256, response);
	hears(c, answer);
	CU_ASSERT_TRUE(chap_is_authenticated(c));
	chap_free(c);
	g_free(said);
	c = challenge_target(&cfg, NULL, 0, CHALLENGE, &said);
	refuses(c, longer, 16, "1 to 255 bytes");
	chap_free(c);
}

/* 3.7, 3.8: ours comes back, on the same connection or on another one of the session */
static void test_chap_reflected_challenge(void)
{
	struct chap_config cfg = config();
	struct chap_history *h = chap_history_new();
	g_autofree char *said = NULL, *ours = NULL, *reflected = NULL, *other = NULL;
	struct chap *first = challenge_target(&cfg, h, 0, CHALLENGE, &said);
	struct chap *second = chap_new(&cfg, NAME, true, h);

	ours = value_of(said, "CHAP_C");
	reflected = g_strdup_printf("CHAP_A=5 CHAP_I=1 CHAP_C=%s", ours);
	g_free(say(second));
	refuses(second, reflected, 15, "reflection");
	other = say(second);
	CU_ASSERT_STRING_EQUAL(other, ""); /* no response leaves */
	chap_free(second);
	second = chap_new(&cfg, NAME, false, h); /* one-way: no less */
	g_free(say(second));
	refuses(second, reflected, 15, "reflection");
	chap_free(second);
	chap_free(first);
	chap_history_free(h);
}

/* 3.6: ours are never the same; a target's that comes again is refused, except where it is so
 * short that chance may do it */
static void test_chap_challenges_are_used_once(void)
{
	struct chap_config cfg = config();
	struct chap_history *h = chap_history_new();
	g_autoptr(GHashTable) ours =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	struct chap *c;

	log_set_level(LOG_LEVEL_ERROR); /* short challenges are warned of */
	for (unsigned i = 0; i < 300; i++) {
		g_autofree char *said = NULL, *challenge = g_strdup_printf("0x%04x", i);

		c = challenge_target(&cfg, h, 0, challenge, &said);
		CU_ASSERT_TRUE(g_hash_table_add(ours, value_of(said, "CHAP_C")));
		chap_free(c);
	}
	for (int i = 0; i < 2; i++) {
		c = chap_new(&cfg, NAME, false, h);
		g_free(say(c));
		hears(c, "CHAP_A=5 CHAP_I=1 CHAP_C=0x012b");
		chap_free(c);
	}
	for (int i = 0; i < 2; i++) {
		c = chap_new(&cfg, NAME, false, h);
		g_free(say(c));
		hears(c, "CHAP_A=5 CHAP_I=1 CHAP_C=" CHALLENGE); /* warned of, not refused */
		chap_free(c);
	}
	log_set_level(LOG_LEVEL_INFO);
	chap_history_free(h);
}

/* 2.4, 2.5: a target may repeat its identifier; ours is never the one it sent */
static void test_chap_identifiers(void)
{
	struct chap_config cfg = config();

	for (int i = 0; i < 300; i++) {
		g_autofree char *said = NULL, *id = NULL;
		struct chap *c = challenge_target(&cfg, NULL, 0, CHALLENGE, &said);

		id = value_of(said, "CHAP_I");
		CU_ASSERT_TRUE(atoi(id) >= 0 && atoi(id) <= 255 && atoi(id) != 35);
		chap_free(c);
	}
}

/* --- configuration --- */

static void refuses_config(struct chap_config cfg, bool is_mutual, int code)
{
	GError *err = NULL;

	CU_ASSERT_FALSE(chap_config_check(&cfg, is_mutual, &err));
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(err->code, code);
	CU_ASSERT_PTR_NULL(strstr(err->message, "secretsecret"));
	g_clear_error(&err);
}

static void test_chap_config_check(void)
{
	g_autofree char *name224 = g_strnfill(224, 'n');
	struct chap_config cfg = config();
	GError *err = NULL;

	CU_ASSERT_TRUE(chap_config_check(&cfg, true, &err));
	cfg.secret_in = NULL;
	CU_ASSERT_TRUE(chap_config_check(&cfg, false, &err));
	refuses_config(cfg, true, ISDSC_TARGET_AUTHINFO_UNAVAILABLE);
	cfg = config();
	cfg.secret = NULL;
	refuses_config(cfg, false, ISDSC_TARGET_AUTHINFO_UNAVAILABLE);
	cfg = config();
	cfg.secret_bytes = 11;
	refuses_config(cfg, false, ISDSC_SHORT_CHAP_SECRET);
	cfg = config();
	cfg.secret_in_bytes = 11;
	refuses_config(cfg, true, ISDSC_SHORT_CHAP_SECRET);
	cfg = config();
	cfg.secret_bytes = 256;
	refuses_config(cfg, false, ISDSC_INVALID_TARGET_CHAP_SECRET);
	cfg = config();
	cfg.secret_in = secret_out; /* the same in both directions, 9.2.1 */
	refuses_config(cfg, true, ISDSC_INVALID_CHAP_SECRET);
	cfg = config();
	cfg.user = name224;
	refuses_config(cfg, false, ISDSC_INVALID_CHAP_USER_NAME);
	cfg.user = (char *)"";
	refuses_config(cfg, false, ISDSC_INVALID_CHAP_USER_NAME);
}

static void parses_secret(const char *text, const char *want, size_t want_bytes)
{
	uint8_t *secret = NULL;
	size_t bytes = 0;
	GError *err = NULL;

	CU_ASSERT_TRUE_FATAL(chap_secret_parse(text, &secret, &bytes, &err));
	CU_ASSERT_EQUAL_FATAL(bytes, want_bytes);
	CU_ASSERT_FALSE(memcmp(secret, want, bytes));
	g_free(secret);
}

static void refuses_secret(const char *text, int code)
{
	uint8_t *secret = NULL;
	size_t bytes = 0;
	GError *err = NULL;

	CU_ASSERT_FALSE(chap_secret_parse(text, &secret, &bytes, &err));
	CU_ASSERT_PTR_NULL(secret);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	CU_ASSERT_EQUAL(err->code, code);
	CU_ASSERT_PTR_NULL(strstr(err->message, text));
	g_clear_error(&err);
}

static void test_chap_secret_parse(void)
{
	g_autofree char *s255 = g_strnfill(255, 's'), *s256 = g_strnfill(256, 's');
	g_autofree char *hex256 = g_strnfill(512, 'a'),
			*long_hex = g_strconcat("0x", hex256, NULL);

	parses_secret("twelve bytes", "twelve bytes", 12);
	parses_secret("0bnot base64 at all", "0bnot base64 at all", 19);
	parses_secret("0x000102030405060708090a0B", "\0\1\2\3\4\5\6\7\10\11\12\13", 12);
	parses_secret("0X00102030405060708090a0b", "\0\1\2\3\4\5\6\7\10\11\12\13", 12);
	parses_secret("gro\xc3\x9f"
		      "er Schl\xc3\xbcssel",
		      "gro\xc3\x9f"
		      "er Schl\xc3\xbcssel",
		      18);
	parses_secret(s255, s255, 255);
	refuses_secret("eleven byte", ISDSC_SHORT_CHAP_SECRET);
	refuses_secret("0x0001020304050607080910", ISDSC_SHORT_CHAP_SECRET);
	refuses_secret("0xylophone secrets", ISDSC_INVALID_CHAP_SECRET);
	refuses_secret("line one\nline two", ISDSC_INVALID_CHAP_SECRET);
	refuses_secret(s256, ISDSC_INVALID_CHAP_SECRET);
	refuses_secret(long_hex, ISDSC_INVALID_CHAP_SECRET);
}

static void test_chap_config_done_is_idempotent(void)
{
	struct chap_config cfg = {
		.user = g_strdup("tom"),
		.secret = (uint8_t *)g_strdup("secretsecret12"),
		.secret_bytes = 14,
	};

	chap_config_done(&cfg);
	chap_config_done(&cfg);
	CU_ASSERT_PTR_NULL(cfg.secret);
	CU_ASSERT_PTR_NULL(cfg.user);
}

static void test_chap_print_tells_no_secret(void)
{
	struct chap_config cfg = config();
	g_autoptr(GString) out = g_string_new(NULL);
	g_autofree char *said = NULL, *response = NULL, *answer = NULL;
	struct chap *c = challenge_target(&cfg, NULL, 2, CHALLENGE, &said);

	response = proof(2, said, "mutualsecret34", false);
	answer = g_strdup_printf("CHAP_N=jerry CHAP_R=%s", response);
	hears(c, answer);
	chap_print(c, out);
	CU_ASSERT_STRING_EQUAL(out->str, "CHAP_A 8,7,6,5 7\nCHAP_N tom jerry\n");
	CU_ASSERT_STRING_EQUAL(chap_algorithm_name(c), "SHA-256");
	chap_free(c);
}

UNIT_MAIN("chap", UNIT(test_chap_offers_strongest_first_and_md5),
	  UNIT(test_chap_sha256_left_out), UNIT(test_chap_responses_of_each_algorithm),
	  UNIT(test_chap_forms_of_a_challenge),
	  UNIT(test_chap_extremes_of_challenge_and_identifier),
	  UNIT(test_chap_challenge_too_big_or_empty), UNIT(test_chap_algorithm_invalid),
	  UNIT(test_chap_identifier_invalid), UNIT(test_chap_keys_out_of_order),
	  UNIT(test_chap_one_way_wants_nothing_after_the_response),
	  UNIT(test_chap_user_defaults_to_the_initiator_name),
	  UNIT(test_chap_mutual_with_each_algorithm), UNIT(test_chap_wrong_proof),
	  UNIT(test_chap_target_with_our_secret), UNIT(test_chap_proof_incomplete),
	  UNIT(test_chap_names_of_the_target), UNIT(test_chap_reflected_challenge),
	  UNIT(test_chap_challenges_are_used_once), UNIT(test_chap_identifiers),
	  UNIT(test_chap_config_check), UNIT(test_chap_secret_parse),
	  UNIT(test_chap_config_done_is_idempotent), UNIT(test_chap_print_tells_no_secret))
