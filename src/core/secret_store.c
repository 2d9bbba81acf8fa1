/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and opening secrets; the header is the manual. A sealed word is the base64 of
 *
 *	nonce (12 bytes, random) | ciphertext | tag (16 bytes)
 *
 * with the place as additional authenticated data. Random nonces of 96 bits are good for 2^32
 * secrets under one key (SP 800-38D 8.3); a host seals some each time it saves. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/secret_store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

#define PREFIX "aes-256-gcm:"
#define NONCE_BYTES 12
#define TAG_BYTES 16
#define KEY_TEXT_BYTES (2 * SECRET_STORE_KEY_BYTES)

struct secret_store {
	uint8_t key[SECRET_STORE_KEY_BYTES];
	char *error; /* NULL: @key is one */
};

/* --- the key --- */

/* NULL: it is good. */
static const char *judge_file(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return g_strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_mode & 077)
		return "others than its owner have access to it (chmod 600)";
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return "belongs to another user";
	return NULL;
}

/* As bytes, or as hex digits with or without a newline. */
static bool take_key(struct secret_store *s, const char *text, size_t bytes)
{
	if (bytes == SECRET_STORE_KEY_BYTES) {
		memcpy(s->key, text, bytes);
		return true;
	}
	if (bytes == KEY_TEXT_BYTES + 1 && text[KEY_TEXT_BYTES] == '\n')
		bytes--;
	if (bytes != KEY_TEXT_BYTES)
		return false;
	for (size_t i = 0; i < SECRET_STORE_KEY_BYTES; i++) {
		int high = g_ascii_xdigit_value(text[2 * i]);
		int low = g_ascii_xdigit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		s->key[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static ssize_t read_all(int fd, char *to, size_t size)
{
	size_t used = 0;
	ssize_t n;

	do {
		n = read(fd, to + used, size - used);
		if (n > 0)
			used += (size_t)n;
	} while (used < size && (n > 0 || (n < 0 && errno == EINTR)));
	return n < 0 ? -errno : (ssize_t)used;
}

/* 0, or -errno and the reason in s->error; -ENOENT says nothing. */
static int read_key(struct secret_store *s, const char *path)
{
	char text[KEY_TEXT_BYTES + 2]; /* one more shows that it is too long */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = -EINVAL;
	const char *why;
	ssize_t n;

	if (fd < 0) {
		r = -errno;
		if (r != -ENOENT)
			s->error = g_strdup_printf("%s: %s", path, g_strerror(-r));
		return r;
	}
	why = judge_file(fd);
	if (!why) {
		n = read_all(fd, text, sizeof(text));
		if (n < 0)
			why = g_strerror((int)-n);
		else if (!take_key(s, text, (size_t)n))
			why = "no key: 64 hex digits, or 32 bytes, are wanted";
		else
			r = 0;
	}
	if (r < 0)
		s->error = g_strdup_printf("%s: %s", path, why);
	text_wipe(text, sizeof(text));
	close(fd);
	return r;
}

/* A crash leaves no key, or a whole one: it is linked into place when it is on the disk. */
static int write_key(const char *path, const char *temporary, const char *text, size_t bytes)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) < 0 || write(fd, text, bytes) != (ssize_t)bytes || fsync(fd) < 0)
		r = errno ? -errno : -EIO;
	if (close(fd) < 0 && !r)
		r = -errno;
	if (!r && link(temporary, path) < 0)
		r = -errno;
	unlink(temporary);
	return r;
}

static void sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	fsync(fd);
	close(fd);
}

static int make_key(struct secret_store *s, const char *state_dir, const char *path)
{
	g_autofree char *temporary = g_strconcat(path, ".tmp", NULL);
	char text[KEY_TEXT_BYTES + 2];
	int r = 0;

	if (getrandom(s->key, sizeof(s->key), 0) != (ssize_t)sizeof(s->key))
		r = -EIO;
	for (size_t i = 0; i < sizeof(s->key); i++)
		g_snprintf(text + 2 * i, 3, "%02x", s->key[i]);
	text[KEY_TEXT_BYTES] = '\n';
	if (!r)
		r = write_key(path, temporary, text, KEY_TEXT_BYTES + 1);
	text_wipe(text, sizeof(text));
	if (r < 0)
		s->error = g_strdup_printf("cannot make %s: %s", path, g_strerror(-r));
	else
		sync_directory(state_dir);
	return r;
}

static void find_key(struct secret_store *s, const char *state_dir, const char *key_file)
{
	const char *credentials = getenv("CREDENTIALS_DIRECTORY");
	g_autofree char *credential =
		credentials ? g_build_filename(credentials, SECRET_CREDENTIAL, NULL) : NULL;
	g_autofree char *own = g_build_filename(state_dir, SECRET_KEY_FILE, NULL);

	if (key_file) {
		if (read_key(s, key_file) == -ENOENT)
			s->error = g_strdup_printf("%s (secret_key_file): %s", key_file,
						   g_strerror(ENOENT));
		return;
	}
	if (credential && read_key(s, credential) != -ENOENT)
		return;
	if (read_key(s, own) == -ENOENT)
		make_key(s, state_dir, own);
}

struct secret_store *secret_store_new(const char *state_dir, const char *key_file)
{
	struct secret_store *s = g_new0(struct secret_store, 1);

	find_key(s, state_dir, key_file);
	return s;
}

struct secret_store *secret_store_new_with_key(const uint8_t key[static SECRET_STORE_KEY_BYTES])
{
	struct secret_store *s = g_new0(struct secret_store, 1);

	memcpy(s->key, key, SECRET_STORE_KEY_BYTES);
	return s;
}

void secret_store_free(struct secret_store *s)
{
	if (!s)
		return;
	text_wipe(s->key, sizeof(s->key));
	g_free(s->error);
	g_free(s);
}

const char *secret_store_error(const struct secret_store *s)
{
	return s->error;
}

/* --- AES-256-GCM --- */

bool secret_store_gcm(bool is_sealing, const uint8_t key[static SECRET_STORE_KEY_BYTES],
		      const uint8_t nonce[static 12], const void *aad, size_t aad_bytes,
		      const uint8_t *in, size_t bytes, uint8_t *out, uint8_t tag[static 16])
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0, rest = 0;
	bool is_ok;

	is_ok = c && aad_bytes <= INT_MAX && bytes <= INT_MAX &&
		EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, is_sealing) == 1 &&
		(!aad_bytes || EVP_CipherUpdate(c, NULL, &n, aad, (int)aad_bytes) == 1) &&
		(!bytes || EVP_CipherUpdate(c, out, &n, in, (int)bytes) == 1) &&
		(is_sealing ||
		 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1) &&
		EVP_CipherFinal_ex(c, out + (bytes ? n : 0), &rest) == 1 &&
		(!is_sealing ||
		 EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1);
	if (!is_ok)
		text_wipe(out, bytes);
	EVP_CIPHER_CTX_free(c);
	return is_ok;
}

/* --- words --- */

static gboolean refuse(GError **err, const char *why)
{
	error_set(err, ISDSC_CACHE_CORRUPTED, "%s", why);
	return FALSE;
}

static gboolean check_key(const struct secret_store *s, GError **err)
{
	if (!s->error)
		return TRUE;
	error_set(err, ISDSC_CACHE_CORRUPTED, "no key for stored secrets: %s", s->error);
	return FALSE;
}

char *secret_store_seal(struct secret_store *s, const char *place, const char *secret,
			GError **err)
{
	uint8_t raw[NONCE_BYTES + SECRET_STORE_TEXT_MAX + TAG_BYTES];
	size_t bytes = strlen(secret);
	g_autofree char *base64 = NULL;

	if (!check_key(s, err))
		return NULL;
	if (bytes > SECRET_STORE_TEXT_MAX) {
		refuse(err, "the secret is too long to be stored");
		return NULL;
	}
	if (getrandom(raw, NONCE_BYTES, 0) != NONCE_BYTES ||
	    !secret_store_gcm(true, s->key, raw, place, strlen(place), (const uint8_t *)secret,
			      bytes, raw + NONCE_BYTES, raw + NONCE_BYTES + bytes)) {
		refuse(err, "the secret cannot be encrypted: no random bytes, or no AES");
		return NULL;
	}
	base64 = g_base64_encode(raw, NONCE_BYTES + bytes + TAG_BYTES);
	return g_strconcat(PREFIX, base64, NULL);
}

/* The word as bytes; NULL: it is none. g_free(). */
static uint8_t *decode(const char *sealed, size_t *ret_bytes)
{
	size_t len = strlen(sealed), prefix = strlen(PREFIX);
	g_autofree uint8_t *raw = NULL;

	if (len > 2 * (SECRET_STORE_TEXT_MAX + NONCE_BYTES + TAG_BYTES) ||
	    !g_str_has_prefix(sealed, PREFIX))
		return NULL;
	raw = g_base64_decode(sealed + prefix, ret_bytes);
	if (*ret_bytes < NONCE_BYTES + TAG_BYTES)
		return NULL;
	return g_steal_pointer(&raw);
}

char *secret_store_unseal(struct secret_store *s, const char *place, const char *sealed,
			  GError **err)
{
	g_autofree uint8_t *raw = NULL;
	size_t bytes = 0;
	char *secret;

	if (!check_key(s, err))
		return NULL;
	raw = decode(sealed, &bytes);
	if (!raw) {
		refuse(err, "a stored secret is damaged");
		return NULL;
	}
	bytes -= NONCE_BYTES + TAG_BYTES;
	secret = g_malloc0(bytes + 1);
	if (secret_store_gcm(false, s->key, raw, place, strlen(place), raw + NONCE_BYTES, bytes,
			     (uint8_t *)secret, raw + NONCE_BYTES + bytes) &&
	    !memchr(secret, '\0', bytes))
		return secret;
	text_wipe(secret, bytes);
	g_free(secret);
	refuse(err, "a stored secret does not open with this host's key");
	return NULL;
}
