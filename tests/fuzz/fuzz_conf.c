/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: the configuration file. What is accepted must be within the bounds that the
 * rest of the daemon relies on. Files that include others are left out: not to read whatever
 * path the fuzzer makes up. */
#include "core/conf.h"

#include <stdlib.h>
#include <string.h>

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

/* libconfig 1.5 forgets its buffer when a string is not closed. The daemon then ends. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig_yylex\nleak:strbuf_append";
}

static bool is_ms(int64_t ms)
{
	return ms >= 0 && ms <= 24 * 3600 * INT64_C(1000);
}

static void check_wishes(const struct keys_wishes *w)
{
	MUST(w->header_digest <= DIGEST_PREFER && w->data_digest <= DIGEST_PREFER);
	MUST(w->max_burst_length >= 512 && w->max_burst_length < 1 << 24);
	MUST(w->first_burst_length >= 512 && w->first_burst_length <= w->max_burst_length);
	MUST(w->max_recv_data_segment_length >= 512);
	MUST(w->max_recv_data_segment_length < 1 << 24);
	MUST(w->max_outstanding_r2t >= 1 && w->max_outstanding_r2t <= 65535);
	MUST(w->time2wait <= 3600 && w->time2retain <= 3600);
}

static void check_conf(const struct conf *c)
{
	MUST(c->log_level <= LOG_LEVEL_DEBUG);
	MUST(c->io_depth >= 16 && c->io_depth <= 1024);
	MUST(is_ms(c->shutdown_ms) && is_ms(c->timeouts.connect_ms));
	MUST(is_ms(c->timeouts.login_ms) && is_ms(c->timeouts.command_ms));
	MUST(!c->initiator_name || strlen(c->initiator_name) <= 223);
	MUST(!c->initiator_alias || g_utf8_validate(c->initiator_alias, -1, NULL));
	check_wishes(&c->wishes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup((const char *)data, len);
	g_autoptr(GError) err = NULL;
	struct conf c;

	if (strstr(text, "@include"))
		return 0;
	conf_default(&c);
	if (conf_read_text(&c, "FILE", text, &err)) {
		MUST(!err);
		check_conf(&c);
	} else {
		MUST(err && g_str_has_prefix(err->message, "FILE:"));
	}
	conf_done(&c);
	return 0;
}
