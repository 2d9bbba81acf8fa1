/* SPDX-License-Identifier: BSD-2-Clause */
/* CHAP of RFC 7143 section 12.1 (RFC 1994 with algorithms 5 MD5, 6 SHA-1, 7 SHA-256, 8
 * SHA3-256), the initiator's side, one-way and mutual. Digests and random bytes are OpenSSL's.
 * Control path: may allocate; wipes what it held. */
#ifndef ISCSIFS_CHAP_H
#define ISCSIFS_CHAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CHAP_SECRET_MIN 12 /* bytes: 96 bits, 12.1.3 */
#define CHAP_SECRET_MAX 255
#define CHAP_NAME_MAX 223
#define CHAP_CHALLENGE_MAX 1024

/* Secrets are bytes. Names are at most CHAP_NAME_MAX bytes. */
struct chap_config {
	char *user; /* CHAP_N we send; NULL: the initiator name */
	uint8_t *secret; /* proves us to the target */
	size_t secret_bytes;
	char *user_in; /* the name the target must give in mutual CHAP; NULL: any */
	uint8_t *secret_in; /* the target must prove it knows this one; NULL with one-way */
	size_t secret_in_bytes;
	/* Do not offer algorithm 7. tgtd, IET and their kin take its number for SHA-1 and pick
	 * it before MD5: every login fails then. See login_wants_no_sha256(). */
	bool is_sha256_off;
};
void chap_config_done(struct chap_config *c); /* wipes and frees the members; idempotent */
/* Lengths and names are right, what is needed is there, and the two secrets differ (9.2.1). */
gboolean chap_config_check(const struct chap_config *c, bool is_mutual, GError **err);
/* A secret given as text: hex with 0x, else its bytes. Checks length and characters. The result
 * is the caller's to wipe and g_free(). */
gboolean chap_secret_parse(const char *text, uint8_t **ret_secret, size_t *ret_bytes,
			   GError **err);

/* Challenges we sent and saw in this session, on any of its connections and over all of its
 * logins, so that a reflected one is never answered (9.2.1) and none is used twice. Remembers
 * the last few hundred of each. */
struct chap_history;
struct chap_history *chap_history_new(void);
void chap_history_free(struct chap_history *h);

struct chap;
/* Borrows everything. @history may be NULL: then only this exchange is looked at. */
struct chap *chap_new(const struct chap_config *cfg, const char *initiator_name, bool is_mutual,
		      struct chap_history *history);
void chap_free(struct chap *c);
/* Append what we say next ("CHAP_A=8,7,6,5"; "CHAP_N", "CHAP_R" and, if mutual, "CHAP_I",
 * "CHAP_C"). */
void chap_append(struct chap *c, GByteArray *out);
/* One CHAP_x key of the target. */
gboolean chap_receive(struct chap *c, const char *key, const char *value, GError **err);
/* All keys of one response have been taken: are they the ones that this step wants? */
gboolean chap_step_done(struct chap *c, GError **err);
/* We have answered, and if mutual the target has proved itself. */
bool chap_is_authenticated(const struct chap *c);
/* We have sent our response and wait for nothing but the verdict (one-way) or the target's
 * proof (mutual). */
bool chap_has_answered(const struct chap *c);
/* Number of the algorithm picked (5 to 8), -1: none yet; its name, or "-". */
int chap_algorithm(const struct chap *c);
const char *chap_algorithm_name(const struct chap *c);
/* Lines "CHAP_A OFFERED PICKED" and "CHAP_N OURS THEIRS", for the params file; never a secret.
 */
void chap_print(const struct chap *c, GString *out);
/* Event of the users' guide, appendix B, that tells the last failure best: 14 algorithm, 15
 * challenge, 16 key, 17 response, 33 challenge too long; 0: none does. */
unsigned chap_event(const struct chap *c);

#endif
