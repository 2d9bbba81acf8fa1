/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: any text into a negotiation. The first two bytes choose what it is about:
 * session type, stage, whether the session has values, what was offered. Whatever comes, the
 * values in force stay legal and our answers stay bounded.
 *
 *	clang -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -Isrc \
 *		$(pkg-config --cflags --libs glib-2.0 libcrypto) tests/fuzz/fuzz_keys.c \
 *		src/iscsi/keys.c src/iscsi/keytable.c src/base/{text,error}.c -o fuzz_keys
 */
#include "base/error.h"
#include "iscsi/keys.h"

#include <stdlib.h>
#include <string.h>

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

struct negotiation {
	struct keys *keys;
	GByteArray *reply; /* NULL: nothing can be answered */
};

static gboolean receive(void *arg, const char *key, const char *value, GError **err)
{
	struct negotiation *n = arg;
	guint before = n->reply ? n->reply->len : 0;
	gboolean is_ok;

	MUST(*key && strlen(key) <= 63 && strlen(value) <= 8192);
	is_ok = keys_receive(n->keys, key, value, n->reply, err);
	MUST(is_ok || *err);
	MUST(!n->reply || n->reply->len - before <= 63 + 64);
	return is_ok;
}

static void check_values(const struct keys *keys)
{
	g_autoptr(GString) printed = g_string_new(NULL);
	struct keys_values v;

	keys_values(keys, &v);
	MUST(v.max_recv_data_segment_length >= 512 && v.max_recv_data_segment_length < 1 << 24);
	MUST(v.max_xmit_data_segment_length >= 512 && v.max_xmit_data_segment_length < 1 << 24);
	MUST(v.max_burst_length >= 512 && v.max_burst_length < 1 << 24);
	MUST(v.first_burst_length >= 512 && v.first_burst_length <= v.max_burst_length);
	MUST(v.max_connections >= 1 && v.max_connections <= 65535);
	MUST(v.max_outstanding_r2t >= 1 && v.max_outstanding_r2t <= 65535);
	MUST(v.time2wait <= 3600 && v.time2retain <= 3600 && v.error_recovery_level <= 2);
	MUST(v.target_portal_group_tag >= -1 && v.target_portal_group_tag <= 65535);
	MUST(strnlen(v.target_alias, sizeof(v.target_alias)) < sizeof(v.target_alias));
	keys_print(keys, printed);
	MUST(printed->len && g_utf8_validate(printed->str, -1, NULL));
}

static bool is_nul_terminated(const GByteArray *text)
{
	return !text->len || !text->data[text->len - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct keys_wishes wishes;
	struct keys_values session;
	struct negotiation n = { NULL, g_byte_array_new() };
	GError *err = NULL;
	uint8_t *text, how, wish;
	gboolean is_ok;

	if (len < 2) {
		g_byte_array_unref(n.reply);
		return 0;
	}
	how = data[0];
	wish = data[1];
	keys_wishes_default(&wishes);
	wishes.header_digest = (enum digest_wish)(wish % 3);
	wishes.data_digest = (enum digest_wish)(wish / 3 % 3);
	wishes.initial_r2t = wish & 32;
	wishes.immediate_data = wish & 64;
	wishes.data_sequence_in_order = wish & 128;
	wishes.error_recovery_level = wish % 3;
	n.keys = keys_new(KEYS_NORMAL, &wishes, NULL);
	keys_values(n.keys, &session);
	keys_free(n.keys);
	n.keys = keys_new(how & 1 ? KEYS_DISCOVERY : KEYS_NORMAL, &wishes,
			  how & 2 ? &session : NULL);
	keys_set_stage(n.keys, (enum keys_stage)(how / 4 % 4 % 3));
	if (how & 16)
		keys_offer(n.keys, n.reply);
	text = malloc(len - 2 ? len - 2 : 1);
	MUST(text);
	memcpy(text, data + 2, len - 2);
	MUST(is_nul_terminated(n.reply));
	if (how & 32) {
		g_byte_array_unref(n.reply);
		n.reply = NULL;
	}
	is_ok = keys_split(text, len - 2, receive, &n, &err);
	MUST(is_ok == !err);
	g_clear_error(&err);
	check_values(n.keys);
	MUST(keys_is_settled(n.keys) == !keys_unsettled(n.keys));
	if (n.reply) {
		keys_offer(n.keys, n.reply);
		MUST(is_nul_terminated(n.reply));
		g_byte_array_unref(n.reply);
	}
	keys_free(n.keys);
	free(text);
	return 0;
}
