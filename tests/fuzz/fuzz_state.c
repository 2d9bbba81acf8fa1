/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: files of the state directory. Whatever is in one, the daemon starts or says why
 * not, and never both loses the file and counts something of it: one that was set aside has left
 * no portal and no target. The first byte says which file it is. */
#include <glib/gstdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/discovery.h"

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

static char *dir;

static char *path_of(const char *name)
{
	return g_build_filename(dir, name, NULL);
}

static void remove_all(void)
{
	GDir *all = g_dir_open(dir, 0, NULL);
	const char *name;

	while ((name = g_dir_read_name(all))) {
		g_autofree char *path = path_of(name);

		g_remove(path);
	}
	g_dir_close(all);
}

static void at_end(void)
{
	g_rmdir(dir);
}

static void begin(void)
{
	dir = g_strdup("/tmp/iscsifs-fuzz-state-XXXXXX");
	MUST(g_mkdtemp(dir));
	atexit(at_end);
	log_set_level(LOG_LEVEL_ERROR - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *path = NULL, *bad = NULL;
	g_autoptr(GError) err = NULL;
	struct loop *loop;
	struct daemon *d;
	struct conf conf;
	bool is_bad;

	if (!size)
		return 0;
	if (!dir)
		begin();
	path = path_of(data[0] & 1 ? "initiator.conf" : "discovery.conf");
	bad = g_strconcat(path, ".bad", NULL);
	MUST(g_file_set_contents(path, (const char *)data + 1, (gssize)size - 1, NULL));
	conf_default(&conf);
	loop = loop_new();
	d = daemon_new(loop, &conf, dir, &err);
	MUST(!d == !!err);
	is_bad = g_file_test(bad, G_FILE_TEST_EXISTS);
	MUST(is_bad != g_file_test(path, G_FILE_TEST_EXISTS));
	MUST(!d || !is_bad || (!d->discovery->portals && !d->targets));
	MUST(!d || !is_bad || (!d->initiator->is_name_kept && !d->initiator->chap_secret));
	if (d)
		daemon_free(d);
	loop_free(loop);
	conf_done(&conf);
	remove_all();
	return 0;
}
