/* SPDX-License-Identifier: BSD-2-Clause */
/* Secrets at rest: sealed with AES-256-GCM (NIST SP 800-38D) under a key of this host, each with a
 * nonce of its own and for one place ("logins/IQN/secret"): moved to another place of the files, or
 * changed by a bit, it does not open.
 *
 * The key is 32 bytes, in a file as 64 hex digits or as they are; read once, before the loop runs,
 * from the first of these that is given:
 *
 *   option secret_key_file          must be there
 *   $CREDENTIALS_DIRECTORY/iscsifs.key   a systemd credential; else the next
 *   STATE_DIR/secret.key            made, with random bytes, when it is not there
 *
 * A key file that others may read, or that is not ours or root's, is refused. Without its key a
 * sealed secret is of no use: whoever backs up the state directory decides whether the key goes
 * with it. */
#ifndef ISCSIFS_SECRET_STORE_H
#define ISCSIFS_SECRET_STORE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SECRET_KEY_FILE "secret.key"	    /* of the state directory */
#define SECRET_CREDENTIAL "iscsifs.key"	    /* systemd's name of it */
#define SECRET_STORE_KEY_BYTES 32
#define SECRET_STORE_TEXT_MAX 4096 /* of a secret, in bytes */

struct secret_store;

/* Never NULL. Without a usable key everything that is asked of it fails, with the reason, which
 * secret_store_error() tells, too. @key_file NULL: as above. Blocks. */
struct secret_store *secret_store_new(const char *state_dir, const char *key_file);
/* With this key. For tests. */
struct secret_store *secret_store_new_with_key(const uint8_t key[static SECRET_STORE_KEY_BYTES]);
void secret_store_free(struct secret_store *s); /* wipes the key; NULL is fine */
/* Why there is no key; NULL: there is one. Borrowed. */
const char *secret_store_error(const struct secret_store *s);

/* @secret as one word to be kept at @place: "aes-256-gcm:BASE64". NULL and @err
 * (ISDSC_CACHE_CORRUPTED): no key, too long. g_free(). */
char *secret_store_seal(struct secret_store *s, const char *place, const char *secret,
			GError **err);
/* The secret that secret_store_seal() made @sealed of, for the same place: text_free_secret().
 * NULL and @err (ISDSC_CACHE_CORRUPTED): another key, place, or a damaged word. */
char *secret_store_unseal(struct secret_store *s, const char *place, const char *sealed,
			  GError **err);

/* The GCM beneath, for the vectors of a test: @tag has 16 bytes, @out as many as @in. False: it is
 * not authentic (nothing is in @out then), or OpenSSL failed. */
bool secret_store_gcm(bool is_sealing, const uint8_t key[static SECRET_STORE_KEY_BYTES],
		      const uint8_t nonce[static 12], const void *aad, size_t aad_bytes,
		      const uint8_t *in, size_t bytes, uint8_t *out, uint8_t tag[static 16]);

#endif
