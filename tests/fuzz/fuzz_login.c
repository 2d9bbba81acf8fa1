/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: a login fed with whatever responses. The first byte is the configuration.
 *Then a record a response: a byte of flags, two of length, the text; the header is made right
 *from the request, then bent where a flag says so, by 48 bytes of the input.
 *
 * Whatever comes: it ends within a bounded number of exchanges, fails with an error, and a
 *login that wants CHAP never passes the security stage: with mutual CHAP nobody here can prove
 *himself, with one-way CHAP our response must have left before.
 *
 *	clang -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -Isrc \
 *		$(pkg-config --cflags --libs glib-2.0 libcrypto) tests/fuzz/fuzz_login.c \
 *		src/iscsi/{login,pdu,chap,keys,keytable}.c src/base/{text,error,log}.c -o
 *fuzz_login
 */
#include "base/error.h"
#include "base/log.h"
#include "iscsi/login.h"
#include "iscsi/pdu.h"

#include <stdlib.h>
#include <string.h>

#define EXCHANGES_MAX 4096

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

enum {
	FLAG_TRANSIT = 1,
	FLAG_CONTINUED = 2,
	FLAG_REJECT = 4, /* status from the header bytes */
	FLAG_BENT = 8,	 /* 48 bytes to be xored into the header */
	FLAG_RAW = 16,	 /* ... or to be the header */
};

struct input {
	const uint8_t *data;
	size_t left;
};

static uint8_t take_byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->data++;
}

/* A copy in a block of its own; shorter than asked at the end of the input. */
static uint8_t *take_bytes(struct input *in, size_t want, size_t *ret_len)
{
	size_t len = want < in->left ? want : in->left;
	uint8_t *copy = malloc(len ? len : 1);

	MUST(copy);
	memcpy(copy, in->data, len);
	in->data += len;
	in->left -= len;
	*ret_len = len;
	return copy;
}

static bool has_text(const uint8_t *data, uint32_t bytes, const char *text)
{
	return bytes && memmem(data, bytes, text, strlen(text));
}

/* The header of a right answer to the request, bent as @flags and the input say. */
static void make_header(struct input *in, const uint8_t *request, uint8_t flags,
			uint32_t stat_sn, size_t text_bytes, uint8_t *bhs)
{
	struct pdu_login_request req;
	struct pdu_login_response rsp = {
		.is_transit = flags & FLAG_TRANSIT,
		.is_continued = flags & FLAG_CONTINUED,
		.stat_sn = stat_sn,
		.exp_cmd_sn = 1,
		.max_cmd_sn = 2,
		.data_bytes = (uint32_t)text_bytes,
	};
	uint8_t *bent;
	size_t len;

	pdu_get_login_request(request, &req);
	memcpy(rsp.isid, req.isid, sizeof(rsp.isid));
	rsp.itt = req.itt;
	rsp.csg = req.csg;
	rsp.nsg = rsp.is_transit ? (req.csg ? 3 : 1) : 0;
	rsp.tsih = req.tsih ? req.tsih : rsp.nsg == 3 ? 7 : 0;
	if (flags & FLAG_REJECT) {
		rsp.status_class = take_byte(in);
		rsp.status_detail = take_byte(in);
	}
	pdu_put_login_response(bhs, &rsp);
	if (!(flags & (FLAG_BENT | FLAG_RAW)))
		return;
	bent = take_bytes(in, ISCSI_BHS_BYTES, &len);
	for (size_t i = 0; i < len; i++)
		bhs[i] = (flags & FLAG_RAW) ? bent[i] : bhs[i] ^ bent[i];
	free(bent);
}

static void play(struct login *l, const struct login_config *cfg, struct input *in)
{
	uint8_t request[ISCSI_BHS_BYTES], bhs[ISCSI_BHS_BYTES], flags, *text;
	const uint8_t *said;
	uint32_t bytes;
	bool has_responded = false;
	size_t len;

	for (uint32_t exchange = 0; in->left; exchange++) {
		MUST(exchange < EXCHANGES_MAX);
		login_request(l, request, &said, &bytes);
		MUST(bytes <= 8192);
		MUST(!pdu_check_strict(request, PDU_FROM_INITIATOR, 8192));
		MUST(!has_text(said, bytes, "secretsecret12"));
		if (cfg->auth != AUTH_NONE)
			MUST(!has_text(said, bytes, "AuthMethod=None"));
		has_responded |= has_text(said, bytes, "CHAP_R=");
		flags = take_byte(in);
		len = (size_t)take_byte(in) << 8 | take_byte(in);
		text = take_bytes(in, len % 8300, &len);
		make_header(in, request, flags, exchange, len, bhs);
		if (!login_response(l, bhs, text, (uint32_t)len)) {
			free(text);
			MUST(login_state(l) == LOGIN_FAILED ||
			     login_state(l) == LOGIN_REDIRECTED);
			return;
		}
		free(text);
		if (login_state(l) >= LOGIN_OPERATIONAL)
			MUST(cfg->auth == AUTH_NONE ||
			     (cfg->auth == AUTH_CHAP && has_responded));
		if (login_state(l) == LOGIN_FULL_FEATURE)
			return;
	}
}

static void check_end(const struct login *l)
{
	g_autoptr(GString) printed = g_string_new(NULL);
	struct login_result r;

	login_print(l, printed);
	MUST(!strstr(printed->str, "secretsecret12") &&
	     !strstr(printed->str, "mutualsecret34"));
	MUST(g_utf8_validate(printed->str, -1, NULL));
	MUST((login_state(l) == LOGIN_FAILED) == (login_error(l) != NULL));
	MUST((login_state(l) == LOGIN_REDIRECTED) == (login_redirect(l, NULL) != NULL));
	if (login_error(l))
		MUST(error_errno(login_error(l)) > 0 && *login_error(l)->message);
	if (login_state(l) != LOGIN_FULL_FEATURE)
		return;
	login_result(l, &r);
	MUST(r.tsih);
	MUST(r.values.first_burst_length <= r.values.max_burst_length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct chap_config chap = {
		.user = (char *)"tom",
		.secret = (uint8_t *)"secretsecret12",
		.secret_bytes = 14,
		.secret_in = (uint8_t *)"mutualsecret34",
		.secret_in_bytes = 14,
	};
	struct input in = { data, len };
	uint8_t how = take_byte(&in);
	struct login_config cfg = {
		.type = how & 1 ? KEYS_DISCOVERY : KEYS_NORMAL,
		.initiator_name = "iqn.2001-04.com.example:host",
		.target_name = how & 1 ? NULL : "iqn.2001-04.com.example:disk",
		.isid = { 0x80, 1, 2, 3, 4, 5 },
		.tsih = how & 2 ? 7 : 0,
		.cmd_sn = 1,
		.itt = 0x12345678,
		.auth = (enum auth_method)((how >> 2) % 3),
		.chap = &chap,
	};
	struct login *l;

	/* what the input says itself may come back: in the answer to an unknown key, in print */
	if (has_text(data, (uint32_t)len, "secretsecret12") ||
	    has_text(data, (uint32_t)len, "mutualsecret34"))
		return 0;
	log_set_level(LOG_LEVEL_ERROR);
	keys_wishes_default(&cfg.wishes);
	cfg.wishes.header_digest = (enum digest_wish)((how >> 4) % 3);
	l = login_new(&cfg);
	play(l, &cfg, &in);
	check_end(l);
	login_free(l);
	return 0;
}
