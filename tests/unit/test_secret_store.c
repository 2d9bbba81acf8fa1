/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealed secrets: AES-256-GCM against the vectors of its specification (McGrew and Viega, test
 * cases 13, 14 and 16), every way to damage a sealed word, key files, and login options. */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/event.h"
#include "core/options_state.h"
#include "core/secret_store.h"
#include "unit.h"

static const uint8_t key[SECRET_STORE_KEY_BYTES] = { 1, 2, 3 };

/* ---- the cipher ---- */

static const struct {
	const char *key, *nonce, *aad, *plain, *cipher, *tag;
} vectors[] = {
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b" },
	{ "0000000000000000000000000000000000000000000000000000000000000000",
	  "000000000000000000000000", "", "00000000000000000000000000000000",
	  "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919" },
	{ "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
	  "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	  "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c9595680953"
	  "2fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3d"
	  "a7b08b1056828838c5f61e6393ba7a0abcc9f662",
	  "76fc6ece0f4e1768cddf8853bb2d551b" },
};

static size_t from_hex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 |
				   g_ascii_xdigit_value(hex[2 * i + 1]));
	return n;
}

static void test_secret_store_cipher_is_that_of_the_specification(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
		uint8_t k[32], nonce[12], aad[32], plain[64], cipher[64], tag[16], out[64], t[16];
		size_t bytes = from_hex(vectors[i].plain, plain);
		size_t aad_bytes = from_hex(vectors[i].aad, aad);

		from_hex(vectors[i].key, k);
		from_hex(vectors[i].nonce, nonce);
		from_hex(vectors[i].cipher, cipher);
		from_hex(vectors[i].tag, tag);
		CU_ASSERT_TRUE(secret_store_gcm(true, k, nonce, aad, aad_bytes, plain, bytes, out,
						t));
		CU_ASSERT_EQUAL(memcmp(out, cipher, bytes), 0);
		CU_ASSERT_EQUAL(memcmp(t, tag, 16), 0);
		CU_ASSERT_TRUE(secret_store_gcm(false, k, nonce, aad, aad_bytes, cipher, bytes,
						out, tag));
		CU_ASSERT_EQUAL(memcmp(out, plain, bytes), 0);
		tag[15] ^= 1;
		CU_ASSERT_FALSE(secret_store_gcm(false, k, nonce, aad, aad_bytes, cipher, bytes,
						 out, tag));
	}
}

/* ---- words ---- */

static void test_secret_store_opens_what_it_sealed(void)
{
	struct secret_store *s = secret_store_new_with_key(key);
	char *a = secret_store_seal(s, "place", "a secret of mine", NULL);
	char *b = secret_store_seal(s, "place", "a secret of mine", NULL);
	char *back = secret_store_unseal(s, "place", a, NULL);

	CU_ASSERT_PTR_NOT_NULL_FATAL(back);
	CU_ASSERT_STRING_EQUAL(back, "a secret of mine");
	CU_ASSERT_STRING_NOT_EQUAL(a, b); /* a nonce of its own */
	CU_ASSERT_TRUE(g_str_has_prefix(a, "aes-256-gcm:"));
	text_free_secret(back);
	g_free(a);
	g_free(b);
	secret_store_free(s);
}

/* The code it is refused with. */
static int check_shut(struct secret_store *s, const char *place, const char *word)
{
	GError *err = NULL;
	int code;
	char *back = secret_store_unseal(s, place, word, &err);

	CU_ASSERT_PTR_NULL(back);
	CU_ASSERT_PTR_NOT_NULL_FATAL(err);
	code = err->code;
	CU_ASSERT_PTR_NULL(strstr(err->message, "mine"));
	g_error_free(err);
	return code;
}

static void test_secret_store_opens_nothing_else(void)
{
	static const uint8_t other_key[SECRET_STORE_KEY_BYTES] = { 1, 2, 4 };
	struct secret_store *s = secret_store_new_with_key(key);
	struct secret_store *other = secret_store_new_with_key(other_key);
	g_autofree char *word = secret_store_seal(s, "place", "a secret of mine", NULL);
	const char *base64 = word + strlen("aes-256-gcm:");
	size_t bytes;
	g_autofree uint8_t *raw = g_base64_decode(base64, &bytes);

	CU_ASSERT_EQUAL(check_shut(other, "place", word), ISDSC_CACHE_CORRUPTED);
	CU_ASSERT_EQUAL(check_shut(s, "another", word), ISDSC_CACHE_CORRUPTED);
	CU_ASSERT_EQUAL(check_shut(s, "place", ""), ISDSC_CACHE_CORRUPTED);
	CU_ASSERT_EQUAL(check_shut(s, "place", "aes-256-gcm:"), ISDSC_CACHE_CORRUPTED);
	CU_ASSERT_EQUAL(check_shut(s, "place", "aes-256-gcm:!!!!"), ISDSC_CACHE_CORRUPTED);
	CU_ASSERT_EQUAL(check_shut(s, "place", base64), ISDSC_CACHE_CORRUPTED);
	for (size_t i = 0; i < bytes; i++) {
		g_autofree char *bad = NULL, *text = NULL;

		raw[i] ^= 0x10;
		bad = g_base64_encode(raw, bytes);
		text = g_strconcat("aes-256-gcm:", bad, NULL);
		CU_ASSERT_EQUAL(check_shut(s, "place", text), ISDSC_CACHE_CORRUPTED);
		raw[i] ^= 0x10;
	}
	for (size_t n = 0; n < bytes; n++) {
		g_autofree char *bad = g_base64_encode(raw, n);
		g_autofree char *text = g_strconcat("aes-256-gcm:", bad, NULL);

		CU_ASSERT_EQUAL(check_shut(s, "place", text), ISDSC_CACHE_CORRUPTED);
	}
	secret_store_free(s);
	secret_store_free(other);
}

static void test_secret_store_takes_no_endless_secret(void)
{
	struct secret_store *s = secret_store_new_with_key(key);
	char text[SECRET_STORE_TEXT_MAX + 2];
	char *word;

	memset(text, 'a', sizeof(text));
	text[SECRET_STORE_TEXT_MAX + 1] = '\0';
	CU_ASSERT_PTR_NULL(secret_store_seal(s, "p", text, NULL));
	text[SECRET_STORE_TEXT_MAX] = '\0';
	word = secret_store_seal(s, "p", text, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(word);
	text_free_secret(secret_store_unseal(s, "p", word, NULL));
	g_free(word);
	secret_store_free(s);
}

/* ---- key files ---- */

static char *dir;

static void begin(void)
{
	log_set_level(LOG_LEVEL_ERROR - 1);
	unsetenv("CREDENTIALS_DIRECTORY");
	dir = g_strdup("/tmp/iscsifs-secret-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(g_mkdtemp(dir));
}

static char *path_of(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void put(const char *name, const char *text, size_t len, int mode)
{
	g_autofree char *path = path_of(name);

	CU_ASSERT_TRUE(g_file_set_contents(path, text, (gssize)len, NULL));
	CU_ASSERT_EQUAL(g_chmod(path, mode), 0);
}

static void end(void)
{
	static const char *const names[] = { "secret.key", "iscsifs.key", "mine", "lock" };

	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		g_autofree char *path = path_of(names[i]);

		g_unlink(path);
	}
	CU_ASSERT_EQUAL(g_rmdir(dir), 0);
	g_free(dir);
}

static void check_error(const char *key_file, const char *want)
{
	struct secret_store *s = secret_store_new(dir, key_file);
	const char *why = secret_store_error(s);

	CU_ASSERT_PTR_NOT_NULL_FATAL(why);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, want));
	CU_ASSERT_PTR_NULL(secret_store_seal(s, "p", "a secret of mine", NULL));
	secret_store_free(s);
}

static void test_secret_store_makes_a_key_and_finds_it_again(void)
{
	struct secret_store *a, *b;
	g_autofree char *path = NULL, *word = NULL;
	struct stat st;
	char *back;

	begin();
	path = path_of("secret.key");
	a = secret_store_new(dir, NULL);
	CU_ASSERT_PTR_NULL(secret_store_error(a));
	CU_ASSERT_EQUAL(g_stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(st.st_size, 65);
	word = secret_store_seal(a, "p", "a secret of mine", NULL);
	b = secret_store_new(dir, NULL);
	back = secret_store_unseal(b, "p", word, NULL);
	CU_ASSERT_PTR_NOT_NULL(back);
	text_free_secret(back);
	secret_store_free(a);
	secret_store_free(b);
	end();
}

static void test_secret_store_refuses_key_files_that_are_none(void)
{
	static const char hex[] =
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	g_autofree char *mine = NULL;
	struct secret_store *s;

	begin();
	mine = path_of("mine");
	check_error(mine, "No such file");
	put("mine", hex, 65, 0644);
	check_error(mine, "chmod 600");
	put("mine", hex, 63, 0600);
	check_error(mine, "64 hex digits");
	put("mine", hex, 0, 0600);
	check_error(mine, "64 hex digits");
	put("mine", "x00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 64, 0600);
	check_error(mine, "64 hex digits");
	check_error(dir, "not a regular file");
	put("mine", hex, 32, 0600); /* bytes */
	s = secret_store_new(dir, mine);
	CU_ASSERT_PTR_NULL(secret_store_error(s));
	secret_store_free(s);
	/* Not made anew over one that is damaged. */
	put("secret.key", "what is this", 12, 0600);
	check_error(NULL, "secret.key");
	end();
}

static void test_secret_store_takes_the_credential_of_systemd(void)
{
	static const char hex[] =
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	struct secret_store *s;
	g_autofree char *own = NULL;

	begin();
	own = path_of("secret.key");
	put("iscsifs.key", hex, 65, 0400);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	s = secret_store_new(dir, NULL);
	CU_ASSERT_PTR_NULL(secret_store_error(s));
	CU_ASSERT_FALSE(g_file_test(own, G_FILE_TEST_EXISTS));
	secret_store_free(s);
	unsetenv("CREDENTIALS_DIRECTORY");
	end();
}

/* ---- login options ---- */

static struct daemon d;

static void daemon_begin(void)
{
	log_set_level(LOG_LEVEL_ERROR - 1);
	d = (struct daemon){ .state_dir = (char *)"/nowhere",
			     .secrets = secret_store_new_with_key(key),
			     .events = event_log_new() };
}

static void daemon_end(void)
{
	secret_store_free(d.secrets);
	event_log_free(d.events);
}

/* A value that each key takes. */
static char *value_for(const struct command_key *k)
{
	static const struct {
		const char *key, *value;
	} special[] = {
		{ "portal", "10.0.0.1:3260,1" }, { "source", "10.0.0.2" },
		{ "mapping", "0:1" },		 { "user", "tom \"x\" \xc3\xb6" },
		{ "secret", "a secret of mine" }, { "secret_in", "0x00112233445566778899aabbcc" },
		{ "persist", "no" },		 { "ipsec_required", "no" },
		{ "security_flags", "0" },
	};

	for (size_t i = 0; i < G_N_ELEMENTS(special); i++)
		if (!strcmp(special[i].key, k->name))
			return g_strdup(special[i].value);
	switch (k->type) {
	case COMMAND_BOOL:
		return g_strdup("yes");
	case COMMAND_NUMBER:
		return g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)k->min);
	case COMMAND_SECONDS:
		return g_strdup("2.5");
	case COMMAND_CHOICE:
		return g_strndup(k->choices, strcspn(k->choices, "|"));
	default:
		return g_strdup("word");
	}
}

static void fill(struct login_options *o)
{
	for (const struct command_key *k = login_keys; k->name; k++) {
		g_autofree char *value = value_for(k);
		GError *err = NULL;

		if (g_str_has_suffix(k->name, "_file"))
			continue;
		if (!login_options_set(o, k->name, value, &err)) {
			/* What this version cannot do yet. */
			CU_ASSERT_EQUAL(err->code, ISDSC_REQUEST_NOT_SUPPORTED);
			g_error_free(err);
		}
	}
}

/* The text of a state file with @o in the group "options". */
static char *saved(const struct login_options *o, const char *context)
{
	char *text = NULL, *copy;
	size_t bytes;
	FILE *f = open_memstream(&text, &bytes);
	config_t cfg;

	config_init(&cfg);
	login_options_save(o, &d, context,
			   config_setting_add(config_root_setting(&cfg), "options",
					      CONFIG_TYPE_GROUP));
	config_write(&cfg, f);
	fclose(f);
	config_destroy(&cfg);
	copy = g_strdup(text);
	free(text);
	return copy;
}

static gboolean loaded(struct login_options *o, const char *text, const char *context, GError **err)
{
	gboolean is_ok;
	config_t cfg;

	config_init(&cfg);
	CU_ASSERT_FATAL(config_read_string(&cfg, text));
	is_ok = login_options_load(o, &d, context, config_lookup(&cfg, "options"), err);
	config_destroy(&cfg);
	return is_ok;
}

static void test_options_state_every_key_comes_back(void)
{
	struct login_options o = { 0 }, back;
	g_autofree char *text = NULL;

	daemon_begin();
	fill(&o);
	text = saved(&o, "there");
	CU_ASSERT_PTR_NULL(strstr(text, "mine"));
	CU_ASSERT_PTR_NULL(strstr(text, "0011"));
	CU_ASSERT_TRUE_FATAL(loaded(&back, text, "there", NULL));
	for (const struct command_key *k = login_keys; k->name; k++) {
		const char *a = login_option(&o, k->name), *b = login_option(&back, k->name);

		CU_ASSERT_EQUAL(a == NULL, b == NULL);
		if (a && b)
			CU_ASSERT_STRING_EQUAL(a, b);
	}
	login_options_done(&o);
	login_options_done(&back);
	daemon_end();
}

static void test_options_state_keeps_what_does_not_open(void)
{
	struct login_options o = { 0 }, back, again;
	g_autoptr(GString) events = g_string_new(NULL);
	g_autofree char *text = NULL, *second = NULL;

	daemon_begin();
	CU_ASSERT_TRUE(login_options_set(&o, "secret", "a secret of mine", NULL));
	text = saved(&o, "there");
	CU_ASSERT_TRUE_FATAL(loaded(&back, text, "elsewhere", NULL));
	CU_ASSERT_TRUE(secret_is_sealed(login_option(&back, "secret")));
	event_print(d.events, events);
	CU_ASSERT_PTR_NOT_NULL(strstr(events->str, "secret-failed"));
	second = saved(&back, "elsewhere");
	CU_ASSERT_STRING_EQUAL(text, second);
	CU_ASSERT_TRUE_FATAL(loaded(&again, second, "there", NULL));
	CU_ASSERT_STRING_EQUAL(login_option(&again, "secret"), "a secret of mine");
	login_options_done(&o);
	login_options_done(&back);
	login_options_done(&again);
	daemon_end();
}

static void test_options_state_refuses_nonsense(void)
{
	static const char *const texts[] = {
		"options = { no_such_key = \"1\"; };",
		"options = { erl = \"7\"; };",
		"options = { erl = 1; };",
		"options = { portal = \"::::\"; };",
		"options = { secret_file = \"/etc/passwd\"; };",
		"options = { user = { a = 1; }; };",
	};

	daemon_begin();
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		struct login_options o;
		GError *err = NULL;

		CU_ASSERT_FALSE(loaded(&o, texts[i], "there", &err));
		CU_ASSERT_PTR_NOT_NULL(err);
		g_clear_error(&err);
	}
	daemon_end();
}

UNIT_MAIN("secret_store", UNIT(test_secret_store_cipher_is_that_of_the_specification),
	  UNIT(test_secret_store_opens_what_it_sealed), UNIT(test_secret_store_opens_nothing_else),
	  UNIT(test_secret_store_takes_no_endless_secret),
	  UNIT(test_secret_store_makes_a_key_and_finds_it_again),
	  UNIT(test_secret_store_refuses_key_files_that_are_none),
	  UNIT(test_secret_store_takes_the_credential_of_systemd),
	  UNIT(test_options_state_every_key_comes_back),
	  UNIT(test_options_state_keeps_what_does_not_open),
	  UNIT(test_options_state_refuses_nonsense))
