/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: the configuration file. What is accepted must be within the bounds that the
 * rest of the daemon relies on. Of files that are included there are a few in a directory of
 * this run: "good", "bad" and "self"; a path that leads elsewhere is left out, not to read
 * whatever the fuzzer makes up. */
#include "core/conf.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

/* libconfig 1.5 forgets the texts before a syntax error. */
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
	MUST(!c->state_dir || g_path_is_absolute(c->state_dir));
	MUST(!c->umask || strlen(c->umask) == 3);
	MUST(!c->uid || strspn(c->uid, "0123456789") == strlen(c->uid));
	MUST(!c->initiator_alias || g_utf8_validate(c->initiator_alias, -1, NULL));
	check_wishes(&c->wishes);
}

static const struct {
	const char *name, *text;
} files[] = {
	{ "good", "io_depth = 16;\n" },
	{ "bad", "\nio_depth = 1;\n" },
	{ "self", "# again\n@include \"self\"\n" },
};

static char *dir, *name;

static void remove_files(void)
{
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = g_build_filename(dir, files[i].name, NULL);

		g_remove(path);
	}
	g_rmdir(dir);
	g_clear_pointer(&dir, g_free);
	g_clear_pointer(&name, g_free);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	dir = g_dir_make_tmp("fuzz_conf-XXXXXX", NULL);
	MUST(dir);
	name = g_build_filename(dir, "FILE", NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
		g_autofree char *path = g_build_filename(dir, files[i].name, NULL);

		MUST(g_file_set_contents(path, files[i].text, -1, NULL));
	}
	atexit(remove_files);
	return 0;
}

/* Has it a line that may lead out of our directory? */
static bool leads_elsewhere(const char *text)
{
	const char *c = text;

	while ((c = strstr(c, "@include"))) {
		c += strlen("@include");
		if (memchr(c, '/', strcspn(c, "\n")))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup((const char *)data, len);
	g_autoptr(GError) err = NULL;
	struct conf c;

	if (leads_elsewhere(text))
		return 0;
	conf_default(&c);
	if (conf_read_text(&c, name, text, &err)) {
		MUST(!err);
		check_conf(&c);
	} else {
		MUST(err && g_str_has_prefix(err->message, dir));
	}
	conf_done(&c);
	return 0;
}
