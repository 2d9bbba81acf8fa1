/* SPDX-License-Identifier: BSD-2-Clause */
/* CHAP for the initiator: RFC 7143 12.1.3 and 9.2.1, RFC 1994. Called by login.c: chap_append()
 * when a request is made up, chap_receive() for each key of a response, chap_step_done() after
 * the last.
 *
 *   step       true in it                                             next
 *   OFFER      nothing said                                           CHALLENGE
 *   CHALLENGE  our CHAP_A is out; A, I and C are due, all three       ANSWER
 *   ANSWER     our response (and challenge) is made, not sent yet     VERDICT, PROOF
 *   PROOF      mutual: our challenge is out; N and R are due          VERDICT
 *   VERDICT    nothing more is due; the target moves on or refuses    -
 *
 * Invariants: no response leaves for a challenge that we sent ourselves on any connection of
 * the session; VERDICT is reached in mutual CHAP only by the right proof. */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "iscsi/chap.h"
#include "iscsi/keys.h"

#define PEER_NAME_MAX 255      /* a simple-value, 6.1 */
#define OWN_CHALLENGE_BYTES 16 /* some targets take no more than 50 */
#define CHALLENGE_SHORT 16     /* below it, chance may repeat a challenge */
#define HISTORY_MAX 256
#define RESPONSE_MAX EVP_MAX_MD_SIZE

enum chap_step { STEP_OFFER, STEP_CHALLENGE, STEP_ANSWER, STEP_PROOF, STEP_VERDICT };

/* In order of preference. One that OpenSSL does not have (MD5 in FIPS mode) is not offered. */
static const struct algorithm {
	unsigned number; /* on the wire */
	const char *name, *openssl_name;
} algorithms[] = {
	{ 8, "SHA3-256", "SHA3-256" },
	{ 7, "SHA-256", "SHA2-256" },
	{ 6, "SHA-1", "SHA1" },
	{ 5, "MD5", "MD5" },
};

struct chap_history {
	GQueue sent, seen; /* of GBytes, oldest first */
};

struct chap {
	const struct chap_config *cfg;
	const char *own_name;
	bool is_mutual;
	struct chap_history *history; /* the caller's, or own_history */
	struct chap_history *own_history;
	enum chap_step step;
	unsigned received; /* bits of enum key_index, in this step */
	unsigned event;

	EVP_MD *digests[G_N_ELEMENTS(algorithms)]; /* NULL: not available */
	int algorithm;				   /* index, -1: none picked */
	uint8_t id, own_id;
	uint8_t *challenge; /* the target's */
	size_t challenge_bytes;
	uint8_t response[RESPONSE_MAX]; /* ours */
	size_t response_bytes;
	uint8_t own_challenge[OWN_CHALLENGE_BYTES];
	char *peer_name;
};

/* --- configuration --- */

static void wipe_bytes(uint8_t **secret, size_t *bytes)
{
	text_wipe(*secret, *bytes);
	g_free(*secret);
	*secret = NULL;
	*bytes = 0;
}

void chap_config_done(struct chap_config *c)
{
	wipe_bytes(&c->secret, &c->secret_bytes);
	wipe_bytes(&c->secret_in, &c->secret_in_bytes);
	g_clear_pointer(&c->user, g_free);
	g_clear_pointer(&c->user_in, g_free);
}

static gboolean check_secret(const uint8_t *secret, size_t bytes, enum isdsc code,
			     const char *whose, GError **err)
{
	if (!secret) {
		error_set_errno(err, ISDSC_TARGET_AUTHINFO_UNAVAILABLE, EACCES,
				"CHAP: no secret of the %s is configured", whose);
		return FALSE;
	}
	if (bytes < CHAP_SECRET_MIN) {
		error_set(err, ISDSC_SHORT_CHAP_SECRET,
			  "CHAP: the secret of the %s has fewer than %d bytes", whose,
			  CHAP_SECRET_MIN);
		return FALSE;
	}
	if (bytes > CHAP_SECRET_MAX) {
		error_set(err, code, "CHAP: the secret of the %s has more than %d bytes", whose,
			  CHAP_SECRET_MAX);
		return FALSE;
	}
	return TRUE;
}

static gboolean check_name(const char *name, size_t max, GError **err)
{
	if (!name || (*name && strlen(name) <= max))
		return TRUE;
	error_set(err, ISDSC_INVALID_CHAP_USER_NAME,
		  "CHAP: a user name must have 1 to %zu bytes", max);
	return FALSE;
}

/* The secret that proves the initiator is the target's to know ("target CHAP secret" in the
 * users' guide), the other one is the initiator's. */
gboolean chap_config_check(const struct chap_config *c, bool is_mutual, GError **err)
{
	if (!check_name(c->user, CHAP_NAME_MAX, err) ||
	    !check_name(c->user_in, PEER_NAME_MAX, err))
		return FALSE;
	if (!check_secret(c->secret, c->secret_bytes, ISDSC_INVALID_TARGET_CHAP_SECRET,
			  "initiator", err))
		return FALSE;
	if (!is_mutual)
		return TRUE;
	if (!check_secret(c->secret_in, c->secret_in_bytes, ISDSC_INVALID_INITIATOR_CHAP_SECRET,
			  "target", err))
		return FALSE;
	if (c->secret_bytes == c->secret_in_bytes &&
	    !CRYPTO_memcmp(c->secret, c->secret_in, c->secret_bytes)) {
		error_set(err, ISDSC_INVALID_CHAP_SECRET,
			  "CHAP: the secrets of the two directions must differ");
		return FALSE;
	}
	return TRUE;
}

static bool has_control_char(const char *text)
{
	for (; *text; text++)
		if (g_ascii_iscntrl(*text))
			return true;
	return false;
}

gboolean chap_secret_parse(const char *text, uint8_t **ret_secret, size_t *ret_bytes,
			   GError **err)
{
	bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	uint8_t *secret = NULL;
	size_t bytes = strlen(text);
	int r = -EINVAL;

	if (is_hex)
		secret = text_decode_binary(text, CHAP_SECRET_MAX, &bytes, &r);
	else if (bytes > CHAP_SECRET_MAX)
		r = -ERANGE;
	else if (!has_control_char(text))
		secret = g_memdup2(text, bytes + 1);
	if (!secret) {
		error_set(err, ISDSC_INVALID_CHAP_SECRET, "CHAP: the secret %s",
			  r == -ERANGE ? "has more than 255 bytes"
			  : is_hex     ? "begins with 0x but is not hexadecimal"
				       : "has a control character");
		return FALSE;
	}
	if (bytes < CHAP_SECRET_MIN) {
		wipe_bytes(&secret, &bytes);
		error_set(err, ISDSC_SHORT_CHAP_SECRET,
			  "CHAP: the secret has fewer than %d bytes", CHAP_SECRET_MIN);
		return FALSE;
	}
	*ret_secret = secret;
	*ret_bytes = bytes;
	return TRUE;
}

/* --- history --- */

struct chap_history *chap_history_new(void)
{
	struct chap_history *h = g_new0(struct chap_history, 1);

	g_queue_init(&h->sent);
	g_queue_init(&h->seen);
	return h;
}

void chap_history_free(struct chap_history *h)
{
	if (!h)
		return;
	g_queue_clear_full(&h->sent, (GDestroyNotify)g_bytes_unref);
	g_queue_clear_full(&h->seen, (GDestroyNotify)g_bytes_unref);
	g_free(h);
}

static bool history_has(const GQueue *q, const void *challenge, size_t bytes)
{
	for (const GList *l = q->head; l; l = l->next) {
		gsize len;
		const void *old = g_bytes_get_data(l->data, &len);

		if (len == bytes && !memcmp(old, challenge, bytes))
			return true;
	}
	return false;
}

static void history_add(GQueue *q, const void *challenge, size_t bytes)
{
	g_queue_push_tail(q, g_bytes_new(challenge, bytes));
	if (q->length > HISTORY_MAX)
		g_bytes_unref(g_queue_pop_head(q));
}

/* --- the exchange --- */

struct chap *chap_new(const struct chap_config *cfg, const char *initiator_name, bool is_mutual,
		      struct chap_history *history)
{
	struct chap *c = g_new0(struct chap, 1);

	c->cfg = cfg;
	c->own_name = cfg->user ? cfg->user : initiator_name;
	c->is_mutual = is_mutual;
	if (!history)
		history = c->own_history = chap_history_new();
	c->history = history;
	c->algorithm = -1;
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++)
		if (algorithms[i].number != 7 || !cfg->is_sha256_off)
			c->digests[i] = EVP_MD_fetch(NULL, algorithms[i].openssl_name, NULL);
	return c;
}

void chap_free(struct chap *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++)
		EVP_MD_free(c->digests[i]);
	g_free(c->challenge);
	g_free(c->peer_name);
	chap_history_free(c->own_history);
	text_wipe(c, sizeof(*c));
	g_free(c);
}

/* RFC 1994 4.1: the digest of identifier, secret, challenge. False when OpenSSL fails. */
static bool make_response(const struct chap *c, uint8_t id, const uint8_t *secret,
			  size_t secret_bytes, const uint8_t *challenge, size_t challenge_bytes,
			  uint8_t *ret_response, size_t *ret_bytes)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned bytes = 0;
	bool is_ok = ctx && EVP_DigestInit_ex2(ctx, c->digests[c->algorithm], NULL) &&
		     EVP_DigestUpdate(ctx, &id, 1) &&
		     EVP_DigestUpdate(ctx, secret, secret_bytes) &&
		     EVP_DigestUpdate(ctx, challenge, challenge_bytes) &&
		     EVP_DigestFinal_ex(ctx, ret_response, &bytes);

	EVP_MD_CTX_free(ctx); /* wipes its state */
	*ret_bytes = bytes;
	return is_ok;
}

static void append_binary(GByteArray *out, const char *key, const uint8_t *data, size_t bytes)
{
	g_autofree char *hex = text_encode_hex(data, bytes);

	keys_append(out, key, hex);
}

static void list_algorithms(const struct chap *c, GString *list)
{
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++)
		if (c->digests[i])
			g_string_append_printf(list, "%s%u", list->len ? "," : "",
					       algorithms[i].number);
}

/* Never the target's, never one of ours again, on the same terms for the identifier (RFC 1994
 * 4.1: it MUST change with each challenge). */
static bool make_own_challenge(struct chap *c)
{
	do {
		if (RAND_bytes(c->own_challenge, sizeof(c->own_challenge)) != 1 ||
		    RAND_bytes(&c->own_id, 1) != 1)
			return false;
	} while (c->own_id == c->id ||
		 history_has(&c->history->seen, c->own_challenge, sizeof(c->own_challenge)) ||
		 history_has(&c->history->sent, c->own_challenge, sizeof(c->own_challenge)));
	history_add(&c->history->sent, c->own_challenge, sizeof(c->own_challenge));
	return true;
}

static void append_answer(struct chap *c, GByteArray *out)
{
	g_autofree char *id = g_strdup_printf("%u", c->own_id);

	keys_append(out, "CHAP_N", c->own_name);
	append_binary(out, "CHAP_R", c->response, c->response_bytes);
	if (!c->is_mutual)
		return;
	keys_append(out, "CHAP_I", id);
	append_binary(out, "CHAP_C", c->own_challenge, sizeof(c->own_challenge));
}

void chap_append(struct chap *c, GByteArray *out)
{
	g_autoptr(GString) list = NULL;

	if (c->step == STEP_ANSWER) {
		append_answer(c, out);
		c->step = c->is_mutual ? STEP_PROOF : STEP_VERDICT;
	} else if (c->step == STEP_OFFER) {
		list = g_string_new(NULL);
		list_algorithms(c, list);
		keys_append(out, "CHAP_A", list->str);
		c->step = STEP_CHALLENGE;
	}
}

/* --- what the target says --- */

static gboolean refuse(struct chap *c, unsigned event, GError **err, const char *why)
{
	c->event = event;
	error_set_errno(err, ISDSC_AUTHENTICATION_FAILURE, EACCES, "CHAP: %s", why);
	return FALSE;
}

static gboolean take_algorithm(struct chap *c, const char *value, GError **err)
{
	uint64_t number;

	if (text_parse_u64(value, 0, UINT32_MAX, &number) < 0)
		return refuse(c, 14, err, "the target's algorithm (CHAP_A) is not a number");
	for (size_t i = 0; i < G_N_ELEMENTS(algorithms); i++) {
		if (algorithms[i].number != number || !c->digests[i])
			continue;
		c->algorithm = (int)i;
		return TRUE;
	}
	return refuse(c, 14, err,
		      "the target picked an algorithm (CHAP_A) that we did not offer");
}

static gboolean take_id(struct chap *c, const char *value, GError **err)
{
	uint64_t id;

	if (text_parse_u64(value, 0, UINT8_MAX, &id) < 0)
		return refuse(c, 16, err, "the target's identifier (CHAP_I) is not in 0..255");
	c->id = (uint8_t)id;
	return TRUE;
}

static gboolean take_challenge(struct chap *c, const char *value, GError **err)
{
	size_t bytes;
	int r;
	uint8_t *challenge = text_decode_binary(value, CHAP_CHALLENGE_MAX, &bytes, &r);

	if (!challenge)
		return r == -ERANGE
			       ? refuse(c, 33, err,
					"the target's challenge is longer than 1024 bytes")
			       : refuse(c, 15, err,
					"the target's challenge is neither hex nor base64");
	g_free(c->challenge);
	c->challenge = challenge;
	c->challenge_bytes = bytes;
	if (history_has(&c->history->sent, challenge, bytes))
		return refuse(
			c, 15, err,
			"the target sends our own challenge back: an attack by reflection");
	/* That endangers the target, which takes an old response for a new one, not us. */
	if (history_has(&c->history->seen, challenge, bytes))
		log_warning("CHAP: a target uses a challenge for the second time");
	else
		history_add(&c->history->seen, challenge, bytes);
	if (bytes < CHALLENGE_SHORT)
		log_warning("CHAP: the challenge of a target has only %zu bytes", bytes);
	return TRUE;
}

static gboolean take_name(struct chap *c, const char *value, GError **err)
{
	if (!*value || strlen(value) > PEER_NAME_MAX)
		return refuse(c, 16, err, "the target's name (CHAP_N) has not 1 to 255 bytes");
	if (c->cfg->user_in && strcmp(c->cfg->user_in, value))
		return refuse(c, 16, err,
			      "the target gives another name than the configured one");
	g_free(c->peer_name);
	c->peer_name = g_strdup(value);
	return TRUE;
}

/* The proof is the response to our challenge under the target's secret. If it is the one that
 * our own secret gives, the target knows that instead: 9.2.1 wants it refused. */
static gboolean take_response(struct chap *c, const char *value, GError **err)
{
	uint8_t right[RESPONSE_MAX], own[RESPONSE_MAX];
	size_t right_bytes, own_bytes, bytes;
	int r;
	g_autofree uint8_t *response =
		text_decode_binary(value, CHAP_CHALLENGE_MAX, &bytes, &r);
	bool is_right, is_own;

	if (!response)
		return refuse(c, 17, err,
			      "the target's response (CHAP_R) is not a binary value");
	if (!make_response(c, c->own_id, c->cfg->secret_in, c->cfg->secret_in_bytes,
			   c->own_challenge, sizeof(c->own_challenge), right, &right_bytes) ||
	    !make_response(c, c->own_id, c->cfg->secret, c->cfg->secret_bytes, c->own_challenge,
			   sizeof(c->own_challenge), own, &own_bytes))
		return refuse(c, 17, err, "the digest cannot be computed");
	is_right = bytes == right_bytes && !CRYPTO_memcmp(response, right, bytes);
	is_own = bytes == own_bytes && !CRYPTO_memcmp(response, own, bytes);
	text_wipe(right, sizeof(right));
	text_wipe(own, sizeof(own));
	if (is_own)
		return refuse(c, 17, err, "the target uses our secret as its own");
	if (!is_right)
		return refuse(c, 17, err,
			      "the target does not know the secret that it must prove to know");
	return TRUE;
}

/* Which keys each step wants: exactly these, each once. */
static const struct key {
	const char *name;
	enum chap_step step;
	gboolean (*take)(struct chap *c, const char *value, GError **err);
} keys[] = {
	{ "CHAP_A", STEP_CHALLENGE, take_algorithm }, { "CHAP_I", STEP_CHALLENGE, take_id },
	{ "CHAP_C", STEP_CHALLENGE, take_challenge }, { "CHAP_N", STEP_PROOF, take_name },
	{ "CHAP_R", STEP_PROOF, take_response },
};

static unsigned wanted(enum chap_step step)
{
	unsigned bits = 0;

	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
		if (keys[i].step == step)
			bits |= 1u << i;
	return bits;
}

gboolean chap_receive(struct chap *c, const char *key, const char *value, GError **err)
{
	size_t i = 0;

	while (i < G_N_ELEMENTS(keys) && strcmp(keys[i].name, key))
		i++;
	if (i == G_N_ELEMENTS(keys))
		return refuse(c, 16, err, "the target sends a key that CHAP does not have");
	if (keys[i].step != c->step)
		return refuse(c, 16, err, "the target sends a key out of order");
	if (c->received & 1u << i)
		return refuse(c, 16, err, "the target sends a key twice");
	c->received |= 1u << i;
	return keys[i].take(c, value, err);
}

/* The challenge is complete and no reflection: make what the next request says. */
static gboolean prepare_answer(struct chap *c, GError **err)
{
	if (!make_response(c, c->id, c->cfg->secret, c->cfg->secret_bytes, c->challenge,
			   c->challenge_bytes, c->response, &c->response_bytes))
		return refuse(c, 0, err, "the digest cannot be computed");
	if (c->is_mutual && !make_own_challenge(c))
		return refuse(c, 0, err, "no random numbers are to be had");
	c->step = STEP_ANSWER;
	return TRUE;
}

gboolean chap_step_done(struct chap *c, GError **err)
{
	unsigned received = c->received;

	c->received = 0;
	if (received != wanted(c->step))
		return refuse(c, 16, err,
			      c->step == STEP_CHALLENGE
				      ? "the target did not send CHAP_A, CHAP_I and CHAP_C"
				      : "the target did not send CHAP_N and CHAP_R");
	if (c->step == STEP_CHALLENGE)
		return prepare_answer(c, err);
	if (c->step == STEP_PROOF)
		c->step = STEP_VERDICT;
	return TRUE;
}

bool chap_is_authenticated(const struct chap *c)
{
	return c->step == STEP_VERDICT;
}

bool chap_has_answered(const struct chap *c)
{
	return c->step == STEP_PROOF || c->step == STEP_VERDICT;
}

int chap_algorithm(const struct chap *c)
{
	return c->algorithm < 0 ? -1 : (int)algorithms[c->algorithm].number;
}

const char *chap_algorithm_name(const struct chap *c)
{
	return c->algorithm < 0 ? "-" : algorithms[c->algorithm].name;
}

unsigned chap_event(const struct chap *c)
{
	return c->event;
}

void chap_print(const struct chap *c, GString *out)
{
	g_autoptr(GString) list = g_string_new(NULL);
	g_autofree char *own = text_escape(c->own_name, strlen(c->own_name), PEER_NAME_MAX);
	g_autofree char *peer = NULL;

	if (c->peer_name)
		peer = text_escape(c->peer_name, strlen(c->peer_name), PEER_NAME_MAX);
	list_algorithms(c, list);
	g_string_append_printf(out, "CHAP_A %s ", list->str);
	if (c->algorithm >= 0)
		g_string_append_printf(out, "%d", chap_algorithm(c));
	else
		g_string_append_c(out, '-');
	g_string_append_printf(out, "\nCHAP_N %s %s\n", own, peer ? peer : "-");
}
