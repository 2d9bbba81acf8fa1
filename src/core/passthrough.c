/* SPDX-License-Identifier: BSD-2-Clause */
/* A line becomes a task, and the task a reply; see the header. Called by script.c for each line
 * of a `scsi` file. An errand lives from its submit to its done(), since the session reads and
 * writes its data until then; it holds references of the unit and the session, and the end of
 * the daemon waits for it (sessions are closed by then, so that is soon). */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/passthrough.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/query.h"
#include "core/target.h"
#include "scsi/cdb.h"
#include "scsi/sense.h"

#define REFUSE(err, ...) error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, __VA_ARGS__)

/* ---- a line ---- */

struct parser {
	const char *line, *word; /* @word: the one that is looked at */
	size_t len;		 /* of @word */
	struct passthrough *to;
	GByteArray *out;
	const struct key *key; /* the last one; NULL: the CDB is being read */
	bool has_in, has_out, has_timeout;
};

/* Takes the value of a key: @value to @end. */
struct key {
	const char *name;
	size_t has; /* offset of the bool that says that it was given */
	gboolean (*take)(struct parser *p, const char *value, size_t len, GError **err);
};

static size_t column(const struct parser *p)
{
	return (size_t)(p->word - p->line) + 1;
}

/* Pairs of hexadecimal digits, perhaps behind 0x, into @bytes (@max is left). Returns how many
 * bytes, or -1 and @err. */
static ssize_t parse_hex(const struct parser *p, const char *s, size_t len, uint8_t *bytes,
			 size_t max, const char *what, GError **err)
{
	if (len >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		s += 2;
		len -= 2;
	}
	if (len % 2 || len / 2 > max) {
		if (len % 2)
			REFUSE(err, "column %zu: two hexadecimal digits a byte are wanted",
			       column(p));
		else
			REFUSE(err, "%s", what);
		return -1;
	}
	for (size_t i = 0; i < len; i += 2) {
		int high = g_ascii_xdigit_value(s[i]), low = g_ascii_xdigit_value(s[i + 1]);

		if (high < 0 || low < 0) {
			REFUSE(err,
			       "column %zu: hexadecimal digits, or in=, out=, timeout= are "
			       "wanted",
			       column(p));
			return -1;
		}
		bytes[i / 2] = (uint8_t)(high << 4 | low);
	}
	return (ssize_t)(len / 2);
}

static gboolean take_cdb(struct parser *p, GError **err)
{
	struct passthrough *to = p->to;
	ssize_t n = parse_hex(p, p->word, p->len, to->cdb + to->cdb_bytes,
			      sizeof(to->cdb) - to->cdb_bytes,
			      "the CDB is longer than 32 bytes; data go behind out=", err);

	if (n < 0)
		return FALSE;
	to->cdb_bytes = (uint8_t)(to->cdb_bytes + n);
	return TRUE;
}

static gboolean take_out(struct parser *p, const char *value, size_t len, GError **err)
{
	guint had = p->out->len;
	ssize_t n;

	g_byte_array_set_size(p->out, had + (guint)(len / 2));
	n = parse_hex(p, value, len, len > 1 ? p->out->data + had : NULL,
		      PASSTHROUGH_DATA_MAX - had, "out=: more than 524288 bytes", err);
	g_byte_array_set_size(p->out, had + (guint)MAX(n, 0));
	return n >= 0;
}

static gboolean take_in(struct parser *p, const char *value, size_t len, GError **err)
{
	g_autofree char *text = g_strndup(value, len);
	uint64_t bytes;

	if (text_parse_u64(text, 0, PASSTHROUGH_DATA_MAX, &bytes) < 0) {
		REFUSE(err, "in=: a number of bytes from 0 to %d is wanted",
		       PASSTHROUGH_DATA_MAX);
		return FALSE;
	}
	p->to->data_bytes = (uint32_t)bytes;
	return TRUE;
}

static gboolean take_timeout(struct parser *p, const char *value, size_t len, GError **err)
{
	g_autofree char *text = g_strndup(value, len);

	if (text_parse_seconds(text, COMMAND_MS_MAX, &p->to->timeout_ms) < 0 ||
	    !p->to->timeout_ms) {
		REFUSE(err, "timeout=: seconds from 0.001 to 86400 are wanted");
		return FALSE;
	}
	return TRUE;
}

static const struct key keys[] = {
	{ "in", offsetof(struct parser, has_in), take_in },
	{ "out", offsetof(struct parser, has_out), take_out },
	{ "timeout", offsetof(struct parser, has_timeout), take_timeout },
};

static gboolean take_key(struct parser *p, size_t name_len, GError **err)
{
	for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
		const struct key *k = &keys[i];
		bool *has = G_STRUCT_MEMBER_P(p, k->has);

		if (strlen(k->name) != name_len || memcmp(k->name, p->word, name_len))
			continue;
		if (*has) {
			REFUSE(err, "%s= is given twice", k->name);
			return FALSE;
		}
		*has = true;
		p->key = k;
		return k->take(p, p->word + name_len + 1, p->len - name_len - 1, err);
	}
	REFUSE(err, "column %zu: unknown key; there are: in=, out=, timeout=", column(p));
	return FALSE;
}

static gboolean take_word(struct parser *p, GError **err)
{
	const char *equals = memchr(p->word, '=', p->len);

	if (equals)
		return take_key(p, (size_t)(equals - p->word), err);
	if (!p->key)
		return take_cdb(p, err);
	if (p->key->take == take_out)
		return take_out(p, p->word, p->len, err);
	REFUSE(err, "column %zu: in=, out= or timeout= is wanted; the CDB comes first",
	       column(p));
	return FALSE;
}

static gboolean take_words(struct parser *p, GError **err)
{
	static const char blanks[] = " \t";

	for (p->word = p->line;; p->word += p->len) {
		p->word += strspn(p->word, blanks);
		p->len = strcspn(p->word, blanks);
		if (!p->len || *p->word == '#')
			return TRUE;
		if (!take_word(p, err))
			return FALSE;
	}
}

/* SPC-4 4.3.2, 4.3.3: the three high bits of the opcode tell the length. Vendors' groups have
 * any; of the reserved opcodes nobody knows it. */
enum { GROUP_VARIABLE = 3, VARIABLE_LENGTH_CDB = 0x7f, VARIABLE_HEADER = 8 };

static unsigned wanted_length(const struct passthrough *c)
{
	static const uint8_t by_group[8] = { 6, 10, 10, 0, 16, 12, 0, 0 };
	unsigned group = c->cdb[0] >> 5;

	if (c->cdb[0] == VARIABLE_LENGTH_CDB && c->cdb_bytes >= VARIABLE_HEADER)
		return VARIABLE_HEADER + c->cdb[7];
	return by_group[group];
}

static bool is_usual_length(unsigned bytes)
{
	return bytes == 6 || bytes == 10 || bytes == 12 || bytes == 16;
}

static gboolean check_length(const struct passthrough *c, GError **err)
{
	unsigned opcode = c->cdb[0], wanted = wanted_length(c);

	if (!c->cdb_bytes)
		REFUSE(err, "a CDB is wanted, in hexadecimal, as 120000006000 in=96");
	else if (opcode == VARIABLE_LENGTH_CDB && c->cdb_bytes < VARIABLE_HEADER)
		REFUSE(err,
		       "opcode 0x7f: the CDB has 8 bytes, and as many more as byte 7 says");
	else if (opcode == VARIABLE_LENGTH_CDB && (wanted != c->cdb_bytes || wanted % 4))
		REFUSE(err,
		       "opcode 0x7f: byte 7 of the CDB says %u bytes in all, %u were given; "
		       "a multiple of 4 up to %d is wanted",
		       wanted, c->cdb_bytes, TASK_CDB_MAX);
	else if (opcode != VARIABLE_LENGTH_CDB && opcode >> 5 == GROUP_VARIABLE)
		REFUSE(err, "opcode 0x%02x is reserved: nobody knows how long its CDB is",
		       opcode);
	else if (wanted && wanted != c->cdb_bytes)
		REFUSE(err, "opcode 0x%02x: its CDB has %u bytes, %u were given", opcode,
		       wanted, c->cdb_bytes);
	else if (!wanted && !is_usual_length(c->cdb_bytes))
		REFUSE(err,
		       "opcode 0x%02x: a CDB of 6, 10, 12 or 16 bytes is wanted, %u were given",
		       opcode, c->cdb_bytes);
	else
		return TRUE;
	return FALSE;
}

static gboolean check_data(const struct parser *p, GError **err)
{
	if (p->has_out && p->has_in) {
		REFUSE(err, "in= or out=, not both: bidirectional commands are not supported");
		return FALSE;
	}
	if (p->has_out && !p->out->len) {
		REFUSE(err, "out=: the bytes to be sent are wanted, in hexadecimal");
		return FALSE;
	}
	return TRUE;
}

gboolean passthrough_parse(const char *line, struct passthrough *ret, GError **err)
{
	struct passthrough c = { .direction = TASK_NO_DATA };
	struct parser p = { .line = line, .to = &c, .out = g_byte_array_new() };

	if (!take_words(&p, err) || !check_length(&c, err) || !check_data(&p, err)) {
		g_byte_array_unref(p.out);
		return FALSE;
	}
	if (p.has_out) {
		c.direction = TASK_WRITE;
		c.data_bytes = p.out->len;
		c.data = g_byte_array_free(p.out, FALSE);
	} else {
		c.direction = c.data_bytes ? TASK_READ : TASK_NO_DATA;
		g_byte_array_unref(p.out);
	}
	*ret = c;
	return TRUE;
}

/* ---- the answer ---- */

static void print_quoted(GString *out, const char *name, const char *value)
{
	g_string_append_printf(out, " %s=", name);
	operation_quote(out, value, true);
}

static void print_hex(GString *out, const char *name, const uint8_t *bytes, size_t len)
{
	g_autofree char *hex = text_encode_hex(bytes, len);

	g_string_append_printf(out, " %s=", name);
	g_string_append(out, hex);
}

void passthrough_print(const struct task *t, GString *out)
{
	struct sense sense;
	char text[200];

	sense_decode(t->sense, t->sense_bytes, &sense);
	g_string_append_printf(out, "status=0x%02x", t->status);
	print_quoted(out, "status_name", scsi_status_name(t->status));
	if (t->sense_bytes)
		print_hex(out, "sense", t->sense, t->sense_bytes);
	if (sense.is_valid) {
		g_string_append_printf(out, " key=0x%02x", sense.key);
		print_quoted(out, "key_name", sense_key_name(sense.key));
		g_string_append_printf(out, " asc=0x%02x ascq=0x%02x", sense.asc, sense.ascq);
	}
	print_quoted(out, "text", sense_format(t->status, &sense, text, sizeof(text)));
	g_string_append_printf(out, " residual=%u", t->has_underflow ? t->residual : 0);
	if (t->has_overflow)
		g_string_append_printf(out, " overflow=%u", t->residual);
	g_string_append_printf(out, " bytes=%u", t->transferred);
	if (t->direction == TASK_READ)
		print_hex(out, "data", t->data, t->transferred);
}

/* ---- errands ---- */

struct errand {
	struct task task;
	struct lun *lun;
	struct session *session;
	struct operation *op; /* NULL: nobody waits any more */
	uint8_t *data;
};

static void errand_free(struct errand *e)
{
	daemon_release(e->lun->target->daemon);
	object_unref(&e->session->obj);
	object_unref(&e->lun->obj);
	g_free(e->data);
	g_free(e);
}

/* Takes @err. */
static void errand_end(struct errand *e, GError *err)
{
	struct operation *op = e->op;

	operation_step(op, NULL, NULL);
	operation_finish(op, err);
	operation_unref(op);
	errand_free(e);
}

static GError *no_answer(const struct errand *e)
{
	static const char *const texts[] = {
		[TASK_RESULT_NEVER_SENT] = "the session was lost, and it was not sent",
		[TASK_RESULT_MAYBE_EXECUTED] = "the session was lost before the answer came: "
					       "it may have been carried out",
		[TASK_RESULT_ABORTED] = "it was aborted",
	};
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO, "%s: %s: %s", e->lun->disk->name,
			cdb_name(e->task.cdb), texts[e->task.result]);
	return err;
}

static GError *target_failure(const struct errand *e)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_SCSI_REQUEST_FAILED, EIO,
			"%s: %s: the target failed (response 0x%02x)", e->lun->disk->name,
			cdb_name(e->task.cdb), e->task.response);
	return err;
}

static void on_done(struct task *t)
{
	struct errand *e = container_of(t, struct errand, task);
	bool is_answered =
		t->result == TASK_RESULT_RESPONDED && t->response == ISCSI_RESPONSE_COMPLETED;
	g_autoptr(GString) reply = NULL;
	struct sense sense;

	if (t->direction != TASK_READ) /* FORMAT UNIT, WRITE SAME with NDOB ... have no data */
		disk_written(e->lun->disk);
	if (is_answered) {
		sense_decode(t->sense, t->sense_bytes, &sense);
		query_tell(e->session, t->lun, t->status, &sense);
	}
	if (!e->op) {
		errand_free(e);
	} else if (is_answered) {
		reply = g_string_new(NULL);
		passthrough_print(t, reply);
		operation_reply(e->op, reply->str);
		errand_end(e, NULL);
	} else {
		errand_end(e, t->result == TASK_RESULT_RESPONDED ? target_failure(e)
								 : no_answer(e));
	}
}

/* What has been sent goes on at the target. */
static void on_cancel(struct operation *op)
{
	struct errand *e = op->step;

	e->op = NULL;
	operation_finish(op, NULL);
	operation_unref(op);
	if (session_withdraw(e->session, &e->task))
		errand_free(e);
}

/* Until @timeout_ms nobody touches the command; then the session has two rungs of its ladder to
 * end it. */
static void set_times(struct errand *e, int64_t timeout_ms)
{
	struct session *s = e->session;

	if (!timeout_ms)
		timeout_ms = s->config.timeouts.command_ms;
	if (!timeout_ms)
		return;
	e->task.is_patient = true;
	e->task.deadline_us =
		loop_now_us(s->loop) + (timeout_ms + 2 * session_rung_ms(s)) * 1000;
	operation_set_timeout(e->op, timeout_ms);
}

/* Takes what @c has. */
static struct errand *errand_new(struct lun *l, struct path *p, const struct passthrough *c,
				 struct operation *op)
{
	struct errand *e = g_new0(struct errand, 1);
	struct task *t = &e->task;

	task_init(t, TASK_SCSI, on_done);
	memcpy(t->lun, p->wire, sizeof(t->lun));
	memcpy(t->cdb, c->cdb, c->cdb_bytes);
	t->cdb_bytes = c->cdb_bytes;
	t->direction = c->direction;
	t->data_bytes = c->data_bytes;
	e->data = c->direction == TASK_READ ? g_malloc0(c->data_bytes) : c->data;
	t->data = e->data;
	e->lun = l;
	object_ref(&l->obj);
	e->session = p->session;
	object_ref(&p->session->obj);
	daemon_hold(l->target->daemon);
	e->op = operation_ref(op);
	return e;
}

static void submit(struct lun *l, const struct passthrough *c, struct operation *op)
{
	struct path *p = lun_usable_path(l);
	struct errand *e;
	GError *err = NULL;

	if (!p) {
		g_free(c->data);
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: no session to send it by; nothing was sent",
				l->disk->name);
		operation_finish(op, err);
		return;
	}
	e = errand_new(l, p, c, op);
	set_times(e, c->timeout_ms);
	if (session_submit(e->session, &e->task) == 0) {
		operation_step(op, on_cancel, e);
		return;
	}
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
			"%s: the session has no usable connection; nothing was sent",
			l->disk->name);
	errand_end(e, err);
}

static void run_line(struct object *obj, const struct command *cmd, struct operation *op)
{
	struct passthrough c;
	GError *err = NULL;

	if (passthrough_parse(cmd->args[0], &c, &err))
		submit(container_of(obj, struct lun, obj), &c, op);
	else
		operation_finish(op, err);
}

_Static_assert(COMMAND_WHOLE_LINE_MAX > 3 * PASSTHROUGH_DATA_MAX + 1024,
	       "the most data fit into a line");

const struct verb passthrough_verbs[] = {
	{ .name = "scsi",
	  .args = "CDB",
	  .min_args = 1,
	  .max_args = COMMAND_WHOLE_LINE,
	  .run = run_line,
	  .help = "# A line is one SCSI command, which is sent once, to this unit:\n"
		  "#\n"
		  "#	CDB [in=BYTES] [out=HEX] [timeout=SECONDS]\n"
		  "#\n"
		  "# CDB and HEX are hexadecimal, two digits a byte, with blanks or without.\n"
		  "# BYTES: the most that is to come; up to 524288 either way. The answer is "
		  "read\n"
		  "# from the same descriptor: status=, sense data, residual=, bytes=, data=.\n"
		  "#\n"
		  "#	exec 3<>scsi\n"
		  "#	echo '12 00 00 00 60 00 in=96' >&3; cat <&3	# INQUIRY\n"
		  "#	echo '00 00 00 00 00 00' >&3; cat <&3		# TEST UNIT READY\n" },
	{ 0 },
};
