/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: the same string into every parser of base/text.c. What is accepted is
 * checked for what text.h promises; what is refused must leave the outputs alone. */
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void fuzz_numbers(const char *s)
{
	uint64_t value = 3;
	int64_t ms = -7;
	bool is_yes;
	int r;

	r = text_parse_u64(s, 5, 1000, &value);
	MUST(r == 0 ? value >= 5 && value <= 1000 : value == 3);
	MUST(r == 0 || r == -EINVAL || r == -ERANGE);
	r = text_parse_seconds(s, 60000, &ms);
	MUST(r == 0 ? ms >= 0 && ms <= 60000 : ms == -7);
	text_parse_seconds(s, INT64_MAX, &ms);
	r = text_parse_bool(s, &is_yes);
	MUST(r == 0 || r == -EINVAL);
}

/* What was accepted, printed in its canonical form, is accepted again and is the same. */
static void fuzz_portal(const char *s)
{
	g_autofree char *host = NULL, *printed = NULL, *again = NULL;
	uint16_t port = 0, port_again = 0;
	int tpgt = -7, tpgt_again;

	if (text_parse_portal(s, 3260, &host, &port, &tpgt) < 0) {
		MUST(!host && !port && tpgt == -7);
		return;
	}
	MUST(port > 0 && tpgt >= -1 && tpgt <= 65535);
	MUST(*host && strlen(host) <= 253 && !strpbrk(host, "/[] ,\"\\"));
	printed = text_format_portal(host, port);
	MUST(text_parse_portal(printed, 1, &again, &port_again, &tpgt_again) == 0);
	MUST(strcmp(host, again) == 0 && port == port_again && tpgt_again == -1);
}

static void fuzz_name(const char *s)
{
	g_autoptr(GError) err = NULL;
	g_autofree char *name = text_iscsi_name(s, &err), *again = NULL;

	MUST(!name == !!err);
	if (!name)
		return;
	MUST(strlen(name) <= ISCSI_NAME_MAX && !strpbrk(name, "/ \"\\_"));
	again = text_iscsi_name(name, NULL);
	MUST(again && strcmp(name, again) == 0);
}

static void fuzz_binary(const char *s)
{
	g_autofree uint8_t *bytes = NULL, *again = NULL;
	g_autofree char *hex = NULL;
	size_t len = 0, len_again = 0;
	int error = 0;

	bytes = text_decode_binary(s, 64, &len, &error);
	if (!bytes) {
		MUST(len == 0 && (error == -EINVAL || error == -ERANGE));
		return;
	}
	MUST(len >= 1 && len <= 64);
	hex = text_encode_hex(bytes, len);
	again = text_decode_binary(hex, 64, &len_again, &error);
	MUST(again && len_again == len && memcmp(bytes, again, len) == 0);
}

/* Words, escaped and quoted, make a line of the same words. */
static void fuzz_words(const char *s)
{
	g_autoptr(GError) err = NULL;
	g_auto(GStrv) words = text_split_words(s, &err), again = NULL;
	g_autoptr(GString) line = g_string_new(NULL);

	MUST(!words == !!err);
	if (!words)
		return;
	for (size_t i = 0; words[i]; i++) {
		g_autofree char *word = text_escape(words[i], strlen(words[i]), SIZE_MAX);

		g_string_append_printf(line, "\"%s\" ", word);
	}
	again = text_split_words(line->str, NULL);
	MUST(again && g_strv_equal((const char *const *)words, (const char *const *)again));
}

static void fuzz_bytes(const uint8_t *data, size_t len)
{
	g_autofree char *escaped = text_escape(data, len, 32),
			*plain = text_from_scsi(data, len);

	MUST(strlen(escaped) <= 32 * 4 + 3);
	MUST(strlen(plain) <= len);
	for (const char *p = escaped; *p; p++)
		MUST(*p >= 0x20 && *p < 0x7f && *p != '"');
	for (const char *p = plain; *p; p++)
		MUST(*p >= 0x20 && *p < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *s = malloc(len + 1);

	MUST(s);
	memcpy(s, data, len);
	s[len] = '\0';
	fuzz_numbers(s);
	fuzz_portal(s);
	fuzz_name(s);
	fuzz_binary(s);
	fuzz_words(s);
	fuzz_bytes(data, len);
	free(s);
	return 0;
}
