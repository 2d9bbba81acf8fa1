/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer target: what is written to control files. The first byte picks the kind of object,
 * and so the table of verbs; the rest is parsed as one line and run as a script. The verbs'
 * names and keys are the real ones, but they do nothing: every third fails, every other ends
 * later. */
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "core/command.h"
#include "core/daemon.h"
#include "core/passthrough.h"

#include <stdlib.h>
#include <string.h>

#define MUST(fact)               \
	do {                     \
		if (!(fact))     \
			abort(); \
	} while (0)

#define VERBS_MAX 32

static struct loop *loop;
static struct operation *pending;
static unsigned runs, done_count;

static void run_nothing(struct object *obj, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;

	MUST(obj && cmd->arg_count <= COMMAND_ARGS_MAX && !cmd->args[cmd->arg_count]);
	operation_result(op, "shown", "%s", cmd->shown);
	if (++runs % 3 == 0)
		error_set(&err, ISDSC_TARGET_ERROR, "%s", cmd->shown);
	if (runs % 2 || pending) {
		operation_finish(op, err);
		return;
	}
	g_clear_error(&err);
	pending = operation_ref(op);
}

static void end_pending(void)
{
	struct operation *op = pending;

	pending = NULL;
	if (!op)
		return;
	operation_finish(op, NULL);
	operation_unref(op);
}

static void copy_verbs(struct verb *to, const struct verb *from)
{
	size_t count = 0;

	for (; from && from->name; from++, count++) {
		MUST(count < VERBS_MAX);
		to[count] = *from;
		to[count].run = run_nothing;
	}
	to[count] = (struct verb){ 0 };
}

/* What is shown of a line that was accepted is itself accepted, and shown the same. */
static void fuzz_line(const char *line, const struct verb *verbs)
{
	GError *err = NULL;
	struct command *cmd = command_parse(line, verbs, &err), *again;
	g_autofree char *brief = command_shown(line, verbs);

	MUST(!(cmd && err) && *brief);
	g_clear_error(&err);
	if (!cmd)
		return;
	MUST(cmd->arg_count >= (cmd->verb->min_args & ~COMMAND_OWNERS));
	MUST(cmd->arg_count <= cmd->verb->max_args);
	MUST(cmd->arg_count <= COMMAND_ARGS_MAX);
	again = strlen(cmd->shown) > COMMAND_LINE_MAX ? NULL
						      : command_parse(cmd->shown, verbs, NULL);
	MUST(strlen(cmd->shown) > COMMAND_LINE_MAX || again);
	MUST(!again || !strcmp(cmd->shown, again->shown));
	command_free(again);
	command_free(cmd);
}

static void on_done(void *arg, const GError *err, const char *reply)
{
	g_auto(GStrv) lines = g_strsplit(reply, "\n", -1);
	unsigned count = g_strv_length(lines);

	(void)arg;
	MUST(!count || !*lines[count - 1]); /* the last one ends in a newline, too */
	for (unsigned i = 0; i + 1 < count; i++)
		MUST(g_str_has_prefix(lines[i], err && i + 2 == count ? "error code=" : "ok"));
	MUST(!err || count > 1);
	done_count++;
}

static void free_object(struct object *o)
{
	object_done(o);
	g_free(o);
}

static void fuzz_script(const char *text, size_t len, const struct verb *verbs,
			enum object_kind kind)
{
	struct object *obj = g_new0(struct object, 1);

	object_init(obj, loop, kind, free_object);
	done_count = 0;
	script_run(loop, obj, verbs, text, len, on_done, NULL);
	for (unsigned i = 0; i < 100000 && !done_count; i++) {
		loop_run_once(loop, 0);
		end_pending();
	}
	MUST(done_count == 1);
	object_gone(obj);
	loop_run_once(loop, 0);
}

/* A line of the file `scsi`. */
static void fuzz_passthrough(const char *line)
{
	struct passthrough c = { .cdb_bytes = 0xee };
	GError *err = NULL;

	if (!passthrough_parse(line, &c, &err)) {
		MUST(err && c.cdb_bytes == 0xee && !c.data);
		g_clear_error(&err);
		return;
	}
	MUST(!err && c.cdb_bytes >= 6 && c.cdb_bytes <= TASK_CDB_MAX);
	MUST(c.data_bytes <= PASSTHROUGH_DATA_MAX && c.timeout_ms <= COMMAND_MS_MAX);
	MUST((c.direction == TASK_NO_DATA) == (c.data_bytes == 0));
	MUST((c.direction == TASK_WRITE) == (c.data != NULL));
	g_free(c.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct verb verbs[VERBS_MAX + 1];
	g_autofree char *text = NULL;
	enum object_kind kind;

	if (!loop) {
		log_init(LOG_LEVEL_ERROR, true); /* not to the terminal */
		loop = loop_new();
	}
	if (!len)
		return 0;
	kind = (enum object_kind)(data[0] % OBJECT_KINDS);
	copy_verbs(verbs, data[0] & 0x80 ? passthrough_verbs : daemon_verbs(kind));
	text = g_strndup((const char *)data + 1, len - 1);
	fuzz_line(text, verbs);
	fuzz_passthrough(text);
	fuzz_script((const char *)data + 1, len - 1, verbs, kind);
	return 0;
}
