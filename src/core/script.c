/* SPDX-License-Identifier: BSD-2-Clause */
/* A write to a control file: its lines are carried out in order, each as an operation, up to
 * the first that fails. The file tree starts one with script_run() and answers the write, and
 * the reads that follow it on the same descriptor, from done().
 *
 *   where it stands     true in it
 *   step is queued      no operation; the next line is read when the loop runs step
 *   pause is running    the same, after LINES_PER_TURN: descriptors have their turn first
 *   op is set           a line is under way; its operation's done() goes on from there
 *   done() is running   everything has been told; the memory goes when it returns
 *
 * Invariants: exactly one of the four at any time; the script holds references of the object
 * and of the operation. Everything but script_run(), script_set_...() and script_cancel()
 * runs from the loop, so done() is never called by a caller of ours. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "core/command.h"
#include "core/daemon.h"
#include "core/event.h"

#define LINES_PER_TURN 256
/* Of one write: who wants more writes again. */
#define REPLY_BYTES_MAX (16 * 1024 * 1024)

struct script {
	struct loop *loop;
	struct object *obj;
	const struct verb *verbs;
	char *text; /* wiped in the end: may hold secrets */
	size_t bytes, next;
	unsigned line; /* the one under way, from 1 */
	uint64_t turn; /* of the loop, and the lines read in it */
	unsigned turn_lines;
	int cancelled; /* errno, or 0 */
	bool by_owner;
	struct daemon *daemon; /* borrowed; its events hear of failures; NULL: nobody does */
	struct loop_call step;
	struct loop_timer pause;
	struct operation *op;
	char *shown; /* the command under way */
	char *place;
	GString *reply;
	GError *error;
	void (*done)(void *arg, const GError *err, const char *reply);
	void *arg;
};

/* A command with nowait=yes: outlives its script. */
struct background {
	struct object *obj;
	struct daemon *daemon;
	char *shown, *place;
};

static const char *const kind_names[OBJECT_KINDS] = {
	[OBJECT_DAEMON] = "daemon",
	[OBJECT_INITIATOR] = "initiator",
	[OBJECT_DISCOVERY] = "discovery",
	[OBJECT_PORTAL] = "portal",
	[OBJECT_ISNS] = "isns",
	[OBJECT_TARGET] = "target",
	[OBJECT_INSTANCE] = "instance",
	[OBJECT_SESSION] = "session",
	[OBJECT_CONN] = "connection",
	[OBJECT_LUN] = "lun",
	[OBJECT_PATH] = "path",
	[OBJECT_PERSISTENT] = "persistent",
	[OBJECT_LOGIN] = "persistent login",
	[OBJECT_VOLUME] = "volume",
	[OBJECT_INITIATOR_INSTANCE] = "initiator instance",
	[OBJECT_FIRMWARE] = "firmware",
};

/* --- replies --- */

/* What others end with, by what a person can do about it; EIO stands for the rest. */
static const struct {
	int from, to;
} errnos[] = {
	{ EINVAL, EINVAL },
	{ ENOENT, ENOENT },
	{ EEXIST, EEXIST },
	{ EACCES, EACCES },
	{ EHOSTUNREACH, EHOSTUNREACH },
	{ ECONNREFUSED, ECONNREFUSED },
	{ ETIMEDOUT, ETIMEDOUT },
	{ EBUSY, EBUSY },
	{ EUSERS, EUSERS },
	{ ENOSPC, ENOSPC },
	{ EOPNOTSUPP, EOPNOTSUPP },
	{ EPROTO, EPROTO },
	{ EINTR, EINTR },
	{ ENODEV, ENODEV },

	{ ENETUNREACH, EHOSTUNREACH },
	{ ENETDOWN, EHOSTUNREACH },
	{ EHOSTDOWN, EHOSTUNREACH },
	{ ENONET, EHOSTUNREACH },
	{ EADDRNOTAVAIL, EHOSTUNREACH },
	{ EAFNOSUPPORT, EHOSTUNREACH },
	{ ELOOP, EPROTO }, /* of redirects */
	{ EMSGSIZE, EPROTO },
	{ EBADMSG, EPROTO },
	{ ECANCELED, EINTR },
	{ EALREADY, EBUSY },
	{ EPERM, EACCES },
	{ ENOTDIR, ENOENT },
	{ EISDIR, EINVAL },
	{ ENAMETOOLONG, EINVAL },
	{ ENXIO, ENODEV },
};

int script_errno(const GError *err)
{
	int value = error_errno(err);

	for (size_t i = 0; i < G_N_ELEMENTS(errnos); i++)
		if (errnos[i].from == value)
			return errnos[i].to;
	return EIO;
}

void script_error_reply(const GError *err, const char *place, GString *out)
{
	const struct error_info *info = error_info_of(err);

	g_string_append_printf(out, "error code=%s number=0x%08X errno=%s where=", info->name,
			       info->number, error_errno_name(script_errno(err)));
	operation_quote(out, place, false);
	g_string_append(out, " text=");
	operation_quote(out, err->message, true);
	g_string_append_c(out, '\n');
}

/* @err as everybody is to see it, so that reply, list of failures and write agree. */
static GError *told(const GError *err)
{
	GError *copy = NULL;

	error_set_errno(&copy, error_info_of(err)->code, script_errno(err), "%s", err->message);
	return copy;
}

/* --- the end --- */

static void script_free(struct script *s)
{
	operation_unref(s->op);
	loop_timer_done(&s->pause);
	object_unref(s->obj);
	text_wipe(s->text, s->bytes);
	g_free(s->text);
	g_free(s->shown);
	g_free(s->place);
	g_string_free(s->reply, TRUE);
	g_clear_error(&s->error);
	g_free(s);
}

static void finish(struct script *s)
{
	s->done(s->arg, s->error, s->reply->str);
	script_free(s);
}

static void tell_event(struct daemon *d, const char *where, const char *shown, const GError *err)
{
	if (d)
		event_emit(d, EVENT_REQUEST_FAILED, "%s: %s failed with %s: %s", where, shown,
			   error_info_of(err)->name, err->message);
}

/* The line under way failed by @err. @where NULL: the object. */
static void fail(struct script *s, const GError *err, const char *where)
{
	s->error = told(err);
	if (s->line > 1)
		g_prefix_error(&s->error, "line %u: ", s->line);
	object_fail(s->obj, s->shown, s->error);
	tell_event(s->daemon, where ? where : s->place, s->shown, s->error);
	script_error_reply(s->error, where ? where : s->place, s->reply);
	finish(s);
}

/* --- commands that nobody waits for --- */

static void background_done(struct operation *op, void *arg)
{
	struct background *b = arg;

	if (op->error) {
		g_autoptr(GError) err = told(op->error);

		object_fail(b->obj, b->shown, err);
		tell_event(b->daemon, op->where ? op->where : b->place, b->shown, err);
		log_error("%s: %s: %s", op->where ? op->where : b->place, b->shown,
			  err->message);
	}
	operation_unref(op);
	object_unref(b->obj);
	g_free(b->shown);
	g_free(b->place);
	g_free(b);
}

static struct background *background_new(struct script *s)
{
	struct background *b = g_new0(struct background, 1);

	b->obj = object_ref(s->obj);
	b->daemon = s->daemon;
	b->shown = g_strdup(s->shown);
	b->place = g_strdup(s->place);
	return b;
}

/* --- lines --- */

static void on_op_done(struct operation *op, void *arg)
{
	struct script *s = arg;

	if (op->error) {
		fail(s, op->error, op->where);
		return;
	}
	if (op->reply)
		g_string_append_printf(s->reply, "%s\n", op->reply);
	else
		g_string_append_printf(s->reply, "ok%s\n", op->result->str);
	s->op = NULL;
	operation_unref(op);
	loop_call_queue(s->loop, &s->step);
}

static void start(struct script *s, const struct command *cmd)
{
	struct operation *op;

	if (cmd->is_nowait)
		op = operation_new(s->loop, background_done, background_new(s));
	else
		op = s->op = operation_new(s->loop, on_op_done, s);
	operation_set_timeout(op, cmd->timeout_ms);
	cmd->verb->run(s->obj, cmd, op);
	if (!cmd->is_nowait)
		return;
	g_string_append(s->reply, "ok\n");
	loop_call_queue(s->loop, &s->step);
}

/* The next line, made a string in place; NULL at the end. *ret_bytes counts up to the newline,
 * so that a NUL inside shows. */
static char *next_line(struct script *s, size_t *ret_bytes)
{
	char *line = s->text + s->next, *end;
	size_t left = s->bytes - s->next;

	if (!left)
		return NULL;
	end = memchr(line, '\n', left);
	*ret_bytes = end ? (size_t)(end - line) : left;
	s->next += *ret_bytes + (end != NULL);
	s->line++;
	line[*ret_bytes] = '\0';
	return line;
}

static struct command *parse_line(struct script *s, char *line, size_t bytes, GError **err)
{
	struct command *cmd = NULL;

	if (strlen(line) < bytes)
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, "NUL byte in the line");
	else
		cmd = command_parse(line, s->verbs, err);
	g_free(s->shown);
	s->shown = cmd ? g_strdup(cmd->shown) : command_shown(line, s->verbs);
	return cmd;
}

static gboolean may_go_on(const struct script *s, GError **err)
{
	if (s->cancelled == EBUSY || (s->daemon && s->daemon->is_shutting_down)) {
		error_set_errno(err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"the daemon is shutting down");
		return FALSE;
	}
	if (s->cancelled) {
		error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EINTR, "interrupted");
		return FALSE;
	}
	if (s->obj->is_gone) {
		error_set_errno(err, ISDSC_NOT_FOUND, ENODEV, "%s is no longer there",
				s->place);
		return FALSE;
	}
	if (s->reply->len > REPLY_BYTES_MAX) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
				"the replies so far have more than %d bytes: write fewer lines at "
				"a time",
				REPLY_BYTES_MAX);
		return FALSE;
	}
	return TRUE;
}

/* Calls queued by calls run in the same turn, and comments take none at all: a long script
 * would keep the loop from its descriptors. */
static bool has_had_its_turn(struct script *s)
{
	if (s->turn != loop_turns(s->loop)) {
		s->turn = loop_turns(s->loop);
		s->turn_lines = 0;
	}
	return s->turn_lines++ == LINES_PER_TURN;
}

static void run_step(struct loop_call *call)
{
	struct script *s = container_of(call, struct script, step);
	struct command *cmd = NULL;
	g_autoptr(GError) err = NULL;
	size_t bytes = 0;
	char *line;

	do {
		if (has_had_its_turn(s)) {
			loop_timer_start(&s->pause, 0);
			return;
		}
		line = next_line(s, &bytes);
		if (!line) {
			finish(s);
			return;
		}
		cmd = parse_line(s, line, bytes, &err);
	} while (!cmd && !err);

	if (err || !may_go_on(s, &err) ||
	    !command_check_writer(cmd, s->by_owner, &err))
		fail(s, err, NULL);
	else
		start(s, cmd);
	command_free(cmd);
}

static void on_pause(struct loop_timer *timer)
{
	struct script *s = container_of(timer, struct script, pause);
	g_autoptr(GError) err = NULL;

	if (s->cancelled && !may_go_on(s, &err))
		fail(s, err, NULL);
	else
		loop_call_queue(s->loop, &s->step);
}

/* --- for the file tree --- */

struct script *script_run(struct loop *l, struct object *obj, const struct verb *verbs,
			  const char *text, size_t len,
			  void (*done)(void *arg, const GError *err, const char *reply),
			  void *arg)
{
	struct script *s = g_new0(struct script, 1);

	s->loop = l;
	s->obj = object_ref(obj);
	s->verbs = verbs;
	s->text = g_malloc(len + 1); /* and a NUL behind the last line */
	if (len)
		memcpy(s->text, text, len);
	s->bytes = len;
	s->place = g_strdup(kind_names[obj->kind]);
	s->reply = g_string_new(NULL);
	s->done = done;
	s->arg = arg;
	loop_call_init(&s->step, run_step);
	loop_timer_init(l, &s->pause, on_pause);
	loop_call_queue(l, &s->step);
	return s;
}

void script_set_place(struct script *s, const char *place)
{
	g_free(s->place);
	s->place = g_strdup(place);
}

void script_set_owner(struct script *s)
{
	s->by_owner = true;
}

void script_set_daemon(struct script *s, struct daemon *d)
{
	s->daemon = d;
}

void script_cancel(struct script *s, int errno_value)
{
	if (!s->cancelled)
		s->cancelled = errno_value;
	if (s->op)
		operation_cancel(s->op, errno_value);
}
