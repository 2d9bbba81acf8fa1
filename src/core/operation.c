/* SPDX-License-Identifier: BSD-2-Clause */
/* Operations: state, result, time-out and cancellation of what takes time; states are in the
 * header. Called by script.c, which starts them, and by target, discovery and lun, which carry
 * them out.
 *
 * Invariants: done() runs from the loop, at most once, never from inside a call of this file;
 * while it is queued the queue holds a reference. The timer runs only while RUNNING. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "base/log.h"
#include "core/operation.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const bool transitions[3][3] = {
	[OPERATION_RUNNING] = { [OPERATION_CANCELLING] = true, [OPERATION_FINISHED] = true },
	[OPERATION_CANCELLING] = { [OPERATION_FINISHED] = true },
};

bool operation_state_may(enum operation_state from, enum operation_state to)
{
	return transitions[from][to];
}

static void set_state(struct operation *op, enum operation_state state)
{
	assert(operation_state_may(op->state, state));
	op->state = state;
	loop_timer_stop(&op->timer);
}

static void run_done(struct loop_call *call)
{
	struct operation *op = container_of(call, struct operation, done_call);
	void (*done)(struct operation *, void *) = op->done;

	op->done = NULL;
	if (done)
		done(op, op->arg);
	operation_unref(op);
}

static void on_timeout(struct loop_timer *timer)
{
	operation_cancel(container_of(timer, struct operation, timer), ETIMEDOUT);
}

struct operation *operation_new(struct loop *l, void (*done)(struct operation *, void *),
				void *arg)
{
	struct operation *op = g_new0(struct operation, 1);

	op->refs = 1;
	op->loop = l;
	op->state = OPERATION_RUNNING;
	op->result = g_string_new(NULL);
	op->done = done;
	op->arg = arg;
	loop_timer_init(l, &op->timer, on_timeout);
	loop_call_init(&op->done_call, run_done);
	return op;
}

struct operation *operation_ref(struct operation *op)
{
	assert(op->refs > 0);
	op->refs++;
	return op;
}

/* Nobody is left who could finish it; whoever waits for it is told. */
static void finish_forgotten(struct operation *op)
{
	GError *err = NULL;

	error_set(&err, ISDSC_DRIVER_BUG, "it was dropped before its end");
	log_error("%s: %s", op->where ? op->where : "a command", err->message);
	operation_finish(op, err);
}

void operation_unref(struct operation *op)
{
	if (!op)
		return;
	assert(op->refs > 0);
	if (op->refs == 1 && op->state == OPERATION_RUNNING && op->done)
		finish_forgotten(op);
	if (--op->refs)
		return;
	loop_timer_done(&op->timer);
	loop_call_cancel(&op->done_call);
	g_clear_error(&op->error);
	g_string_free(op->result, TRUE);
	g_free(op->reply);
	g_free(op->where);
	g_free(op);
}

void operation_step(struct operation *op, void (*cancel)(struct operation *), void *step)
{
	op->cancel = cancel;
	op->step = step;
}

void operation_set_timeout(struct operation *op, int64_t timeout_ms)
{
	op->timeout_ms = timeout_ms;
	if (op->state != OPERATION_RUNNING || timeout_ms <= 0)
		loop_timer_stop(&op->timer);
	else
		loop_timer_start(&op->timer, timeout_ms);
}

void operation_result(struct operation *op, const char *key, const char *fmt, ...)
{
	g_autofree char *value = NULL;
	va_list args;

	va_start(args, fmt);
	value = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_string_append_printf(op->result, " %s=", key);
	operation_quote(op->result, value, false);
}

void operation_reply(struct operation *op, const char *line)
{
	g_free(op->reply);
	op->reply = g_strdup(line);
}

void operation_where(struct operation *op, const char *fmt, ...)
{
	char *before = op->where; /* may be among the arguments */
	va_list args;

	va_start(args, fmt);
	op->where = g_strdup_vprintf(fmt, args);
	va_end(args);
	g_free(before);
}

void operation_finish(struct operation *op, GError *err)
{
	if (op->state != OPERATION_RUNNING)
		g_clear_error(&err);
	if (op->state == OPERATION_FINISHED)
		return;
	if (err)
		op->error = err;
	op->cancel = NULL;
	set_state(op, OPERATION_FINISHED);
	if (!op->done)
		return;
	operation_ref(op); /* run_done()'s */
	loop_call_queue(op->loop, &op->done_call);
}

static void set_cancel_error(struct operation *op, int errno_value)
{
	if (errno_value == ETIMEDOUT && op->timeout_ms > 0)
		error_set_errno(&op->error, ISDSC_SERVICE_DID_NOT_RESPOND, ETIMEDOUT,
				"not finished within %g s", (double)op->timeout_ms / 1000);
	else if (errno_value == ETIMEDOUT)
		error_set_errno(&op->error, ISDSC_SERVICE_DID_NOT_RESPOND, ETIMEDOUT,
				"not finished in time");
	else if (errno_value == EINTR)
		error_set_errno(&op->error, ISDSC_NON_SPECIFIC_ERROR, EINTR, "interrupted");
	else if (errno_value == EBUSY)
		error_set_errno(&op->error, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"the daemon is shutting down");
	else
		error_set_errno(&op->error, ISDSC_NON_SPECIFIC_ERROR, errno_value,
				"given up: %s", g_strerror(errno_value));
}

void operation_cancel(struct operation *op, int errno_value)
{
	void (*cancel)(struct operation *) = op->cancel;

	if (op->state != OPERATION_RUNNING)
		return;
	operation_ref(op);
	set_cancel_error(op, errno_value);
	set_state(op, OPERATION_CANCELLING);
	op->cancel = NULL;
	if (cancel)
		cancel(op);
	else
		operation_finish(op, NULL);
	operation_unref(op);
}

void operation_detach(struct operation *op)
{
	bool is_queued = list_is_linked(&op->done_call.link);

	op->done = NULL;
	loop_call_cancel(&op->done_call);
	if (is_queued)
		operation_unref(op); /* run_done() will not */
}

static bool needs_quotes(const char *value)
{
	return !*value || *value == '#' || strpbrk(value, " \"");
}

static void append_escaped(GString *out, const char *from, const char *end)
{
	for (; from < end; from++)
		g_string_append_printf(out, "\\x%02x", (unsigned char)*from);
}

void operation_quote(GString *out, const char *value, bool is_forced)
{
	bool is_quoted = is_forced || needs_quotes(value);
	const char *next;

	if (is_quoted)
		g_string_append_c(out, '"');
	for (const char *p = value; *p; p = next) {
		gunichar c = g_utf8_get_char_validated(p, -1);
		bool is_valid = c < 0x110000; /* else (gunichar)-1 or -2 */

		next = is_valid ? g_utf8_next_char(p) : p + 1;
		if (c == '"' || c == '\\')
			g_string_append_c(out, '\\');
		if (is_valid && g_unichar_isprint(c))
			g_string_append_len(out, p, next - p);
		else
			append_escaped(out, p, next);
	}
	if (is_quoted)
		g_string_append_c(out, '"');
}
