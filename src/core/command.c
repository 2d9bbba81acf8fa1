/* SPDX-License-Identifier: BSD-2-Clause */
/* Control lines: from text to struct command by the tables of verbs and keys, and the help that
 * is made of the same tables. Called by script.c for each line that is written, by options.c
 * and conf.c for the types of values, and by the tree for the help.
 *
 * Invariants: a struct command obeys its tables: its verb is set, the number of arguments and
 * the type of every value have been checked. Every copy of a word is wiped before it is freed,
 * and no message repeats a secret value, or an argument that did not fit. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "core/command.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"

static const struct command_key common_keys[] = {
	{ "timeout", COMMAND_SECONDS, .help = "give up after this time; 0: no limit" },
	{ "nowait", COMMAND_BOOL,
	  .help = "return at once; a failure is told in error" },
	{ 0 },
};

#define REFUSE(err, ...) error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL, __VA_ARGS__)

/* --- types of values --- */

static bool is_text(const struct command_key *k, const char *value)
{
	(void)k;
	(void)value;
	return true;
}

static bool is_bool(const struct command_key *k, const char *value)
{
	bool b;

	(void)k;
	return text_parse_bool(value, &b) == 0;
}

static bool is_number(const struct command_key *k, const char *value)
{
	uint64_t n;

	return text_parse_u64(value, k->min, k->max, &n) == 0;
}

static int64_t max_ms(const struct command_key *k)
{
	return k->max ? (int64_t)k->max : COMMAND_MS_MAX;
}

static bool is_seconds(const struct command_key *k, const char *value)
{
	int64_t ms;

	return text_parse_seconds(value, max_ms(k), &ms) == 0 && ms >= (int64_t)k->min;
}

static bool is_choice(const struct command_key *k, const char *value)
{
	size_t len = strlen(value);

	if (!len || strchr(value, '|'))
		return false;
	for (const char *c = k->choices; c; c = strchr(c, '|')) {
		c += *c == '|';
		if (!strncmp(c, value, len) && (!c[len] || c[len] == '|'))
			return true;
	}
	return false;
}

static void print_text(const struct command_key *k, GString *out)
{
	(void)k;
	g_string_append(out, "TEXT");
}

static void print_bool(const struct command_key *k, GString *out)
{
	(void)k;
	g_string_append(out, "yes|no");
}

static void print_number(const struct command_key *k, GString *out)
{
	g_string_append_printf(out, "%" PRIu64 "..%" PRIu64, k->min, k->max);
}

static void print_seconds(const struct command_key *k, GString *out)
{
	g_string_append_printf(out, "SECONDS (%g..%g)", (double)k->min / 1000,
			       (double)max_ms(k) / 1000);
}

static void print_choice(const struct command_key *k, GString *out)
{
	g_string_append(out, k->choices);
}

static const struct {
	bool (*takes)(const struct command_key *k, const char *value);
	void (*print)(const struct command_key *k, GString *out);
} types[] = {
	[COMMAND_TEXT] = { is_text, print_text },
	[COMMAND_BOOL] = { is_bool, print_bool },
	[COMMAND_NUMBER] = { is_number, print_number },
	[COMMAND_SECONDS] = { is_seconds, print_seconds },
	[COMMAND_CHOICE] = { is_choice, print_choice },
};

void command_print_type(const struct command_key *k, GString *out)
{
	types[k->type].print(k, out);
}

gboolean command_check(const struct command_key *k, const char *value, GError **err)
{
	g_autoptr(GString) wanted = NULL;
	g_autofree char *shown = NULL;

	if (types[k->type].takes(k, value))
		return TRUE;
	wanted = g_string_new(NULL);
	command_print_type(k, wanted);
	shown = k->is_secret ? g_strdup("***") : text_escape(value, strlen(value), 64);
	error_set_errno(err, k->code ? k->code : ISDSC_INVALID_PARAMETER, EINVAL,
			"%s=%s: it takes %s", k->name, shown, wanted->str);
	return FALSE;
}

/* --- tables --- */

static const struct verb *find_verb(const struct verb *verbs, const char *name, size_t len)
{
	for (const struct verb *v = verbs; v && v->name; v++)
		if (strlen(v->name) == len && !memcmp(v->name, name, len))
			return v;
	return NULL;
}

static const struct command_key *find_in(const struct command_key *keys, const char *name,
					 size_t len)
{
	for (const struct command_key *k = keys; k && k->name; k++)
		if (strlen(k->name) == len && !memcmp(k->name, name, len))
			return k;
	return NULL;
}

static const struct command_key *find_key(const struct verb *v, const char *name, size_t len)
{
	const struct command_key *k = find_in(v->keys, name, len);

	if (!k)
		k = find_in(v->more_keys, name, len);
	return k ? k : find_in(common_keys, name, len);
}

const struct command_key *command_find_key(const struct verb *v, const char *name)
{
	return find_key(v, name, strlen(name));
}

static void list_verbs(const struct verb *verbs, GString *out)
{
	for (const struct verb *v = verbs; v && v->name; v++)
		g_string_append_printf(out, "%s%s", v == verbs ? "" : ", ", v->name);
	if (!verbs || !verbs->name)
		g_string_append(out, "none");
}

static void list_keys(const struct verb *v, GString *out)
{
	const struct command_key *const tables[] = { v->keys, v->more_keys, common_keys };
	const char *separator = "";

	for (size_t i = 0; i < G_N_ELEMENTS(tables); i++)
		for (const struct command_key *k = tables[i]; k && k->name; k++) {
			if (command_find_key(v, k->name) != k)
				continue;
			g_string_append_printf(out, "%s%s", separator, k->name);
			separator = ", ";
		}
}

/* --- parsing --- */

#define NAME_MAX_SHOWN 32

/* " NAME", if @word looks like a misspelt verb or key; else "": it may be anything. */
static const char *presentable(const char *word, size_t len,
			       char buf[static NAME_MAX_SHOWN + 2])
{
	if (!len || len > NAME_MAX_SHOWN || strspn(word, "abcdefghijklmnopqrstuvwxyz_-") < len)
		return "";
	buf[0] = ' ';
	memcpy(buf + 1, word, len);
	buf[len + 1] = '\0';
	return buf;
}

/* Length of the key when @word is key=value, else 0. */
static size_t key_bytes(const char *word)
{
	size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "0123456789_-");

	return word[len] == '=' ? len : 0;
}

static bool is_line_table(const struct verb *verbs)
{
	return verbs && verbs->max_args == COMMAND_WHOLE_LINE;
}

size_t command_line_max(const struct verb *verbs)
{
	return is_line_table(verbs) ? COMMAND_WHOLE_LINE_MAX : COMMAND_LINE_MAX;
}

static gboolean check_line(const char *line, size_t max, GError **err)
{
	size_t len = strnlen(line, max + 1);

	if (len > max) {
		REFUSE(err, "the line is longer than %zu bytes", max);
		return FALSE;
	}
	for (size_t i = 0; i < len; i++) {
		if (g_ascii_iscntrl(line[i]) && line[i] != '\t') {
			REFUSE(err, "control character 0x%02x in the line (write \\x%02x)",
			       (unsigned char)line[i], (unsigned char)line[i]);
			return FALSE;
		}
	}
	return TRUE;
}

static gboolean take_verb(struct command *cmd, const char *word, const struct verb *verbs,
			  GError **err)
{
	g_autoptr(GString) known = NULL;
	char buf[NAME_MAX_SHOWN + 2];

	cmd->verb = find_verb(verbs, word, strlen(word));
	if (cmd->verb)
		return TRUE;
	known = g_string_new(NULL);
	list_verbs(verbs, known);
	REFUSE(err, "unknown verb%s; there are: %s", presentable(word, strlen(word), buf),
	       known->str);
	return FALSE;
}

static gboolean take_arg(struct command *cmd, const char *word, GError **err)
{
	assert(cmd->verb->max_args <= COMMAND_ARGS_MAX);
	if (g_hash_table_size(cmd->keys)) {
		REFUSE(err, "%s: an argument after a key=value", cmd->verb->name);
		return FALSE;
	}
	if (cmd->arg_count == cmd->verb->max_args) {
		REFUSE(err, "%s: too many arguments, it takes %s", cmd->verb->name,
		       cmd->verb->max_args ? cmd->verb->args : "none");
		return FALSE;
	}
	cmd->args[cmd->arg_count++] = g_strdup(word);
	return TRUE;
}

static const char *why_not(const struct verb *v, const char *name)
{
	const struct command_key *end = v->keys;

	while (end && end->name)
		end++;
	return end && end->why_not ? end->why_not(name) : NULL;
}

static gboolean take_key(struct command *cmd, const char *word, size_t name_bytes,
			 GString *shown, GError **err)
{
	const struct command_key *k = find_key(cmd->verb, word, name_bytes);
	const char *value = word + name_bytes + 1;
	char buf[NAME_MAX_SHOWN + 2];

	if (!k) {
		g_autoptr(GString) known = g_string_new(NULL);
		g_autofree char *name = g_strndup(word, name_bytes);
		const char *why = why_not(cmd->verb, name);

		if (why) {
			REFUSE(err, "%s:%s: %s", cmd->verb->name,
			       presentable(word, name_bytes, buf), why);
			return FALSE;
		}
		list_keys(cmd->verb, known);
		REFUSE(err, "%s: unknown key%s; there are: %s", cmd->verb->name,
		       presentable(word, name_bytes, buf), known->str);
		return FALSE;
	}
	if (g_hash_table_contains(cmd->keys, k->name)) {
		REFUSE(err, "%s: key %s given twice", cmd->verb->name, k->name);
		return FALSE;
	}
	if (!command_check(k, value, err)) {
		g_prefix_error(err, "%s: ", cmd->verb->name);
		return FALSE;
	}
	g_hash_table_insert(cmd->keys, (char *)k->name, g_strdup(value));
	g_string_append_printf(shown, " %s=", k->name);
	if (k->is_secret)
		g_string_append(shown, "***");
	else
		operation_quote(shown, value, false);
	return TRUE;
}

static gboolean take_words(struct command *cmd, char **words, GString *shown, GError **err)
{
	g_string_append(shown, cmd->verb->name);
	for (char **w = words; *w; w++) {
		size_t name_bytes = key_bytes(*w);

		if (name_bytes) {
			if (!take_key(cmd, *w, name_bytes, shown, err))
				return FALSE;
			continue;
		}
		if (!take_arg(cmd, *w, err))
			return FALSE;
		g_string_append_c(shown, ' ');
		operation_quote(shown, *w, false);
	}
	if (cmd->arg_count < (cmd->verb->min_args & ~COMMAND_OWNERS)) {
		REFUSE(err, "%s: arguments are missing, it takes %s", cmd->verb->name,
		       cmd->verb->args);
		return FALSE;
	}
	return TRUE;
}

static void free_secret(void *s)
{
	text_free_secret(s);
}

static struct command *parse_words(char **words, const struct verb *verbs, GError **err)
{
	struct command *cmd = g_new0(struct command, 1);
	g_autoptr(GString) shown = g_string_new(NULL);

	cmd->keys = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_secret);
	if (!take_verb(cmd, words[0], verbs, err) || !take_words(cmd, words + 1, shown, err)) {
		command_free(cmd);
		return NULL;
	}
	cmd->shown = g_strdup(shown->str);
	cmd->timeout_ms = command_ms(cmd, "timeout", 0);
	cmd->is_nowait = command_bool(cmd, "nowait", false);
	return cmd;
}

/* The line is the argument. */
static struct command *take_line(const char *line, const struct verb *v)
{
	struct command *cmd;

	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return NULL;
	cmd = g_new0(struct command, 1);
	cmd->verb = v;
	cmd->keys = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_secret);
	cmd->args[cmd->arg_count++] = g_strdup(line);
	cmd->shown = g_strdup_printf("%s ...", v->name);
	return cmd;
}

struct command *command_parse(const char *line, const struct verb *verbs, GError **err)
{
	struct command *cmd = NULL;
	char **words;

	if (!check_line(line, command_line_max(verbs), err))
		return NULL;
	if (is_line_table(verbs))
		return take_line(line, verbs);
	words = text_split_words(line, err);
	if (!words)
		return NULL;
	if (words[0])
		cmd = parse_words(words, verbs, err);
	for (char **w = words; *w; w++)
		text_wipe(*w, strlen(*w));
	g_strfreev(words);
	return cmd;
}

void command_free(struct command *cmd)
{
	if (!cmd)
		return;
	for (unsigned i = 0; i < cmd->arg_count; i++)
		text_free_secret(cmd->args[i]);
	g_hash_table_unref(cmd->keys);
	g_free(cmd->shown);
	g_free(cmd);
}

char *command_shown(const char *line, const struct verb *verbs)
{
	const char *word = line + strspn(line, " \t");
	const struct verb *v = is_line_table(verbs)
				       ? verbs
				       : find_verb(verbs, word, strcspn(word, " \t"));

	return v ? g_strdup_printf("%s ...", v->name) : g_strdup("...");
}

struct command *command_copy(const struct command *cmd)
{
	struct command *copy = g_new0(struct command, 1);
	GHashTableIter iter;
	void *key, *value;

	copy->verb = cmd->verb;
	copy->arg_count = cmd->arg_count;
	for (unsigned i = 0; i < cmd->arg_count; i++)
		copy->args[i] = g_strdup(cmd->args[i]);
	copy->keys = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_secret);
	g_hash_table_iter_init(&iter, cmd->keys);
	while (g_hash_table_iter_next(&iter, &key, &value))
		g_hash_table_insert(copy->keys, key, g_strdup(value));
	copy->timeout_ms = cmd->timeout_ms;
	copy->is_nowait = cmd->is_nowait;
	copy->shown = g_strdup(cmd->shown);
	return copy;
}

void command_replace_key(struct command *cmd, const char *from, const char *to, char *value)
{
	g_hash_table_remove(cmd->keys, from);
	g_hash_table_insert(cmd->keys, (char *)to, value);
}

/* --- values --- */

const char *command_key(const struct command *cmd, const char *name)
{
	return g_hash_table_lookup(cmd->keys, name);
}

bool command_bool(const struct command *cmd, const char *name, bool otherwise)
{
	const char *value = command_key(cmd, name);

	if (value)
		text_parse_bool(value, &otherwise);
	return otherwise;
}

uint64_t command_number(const struct command *cmd, const char *name, uint64_t otherwise)
{
	const char *value = command_key(cmd, name);

	if (value)
		text_parse_u64(value, 0, UINT64_MAX, &otherwise);
	return otherwise;
}

int64_t command_ms(const struct command *cmd, const char *name, int64_t otherwise)
{
	const char *value = command_key(cmd, name);

	if (value)
		text_parse_seconds(value, INT64_MAX, &otherwise);
	return otherwise;
}

/* --- who --- */

static gboolean refuse_writer(GError **err, const struct command *cmd, const char *key)
{
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, EACCES,
			"%s%s%s%s: only for root and the user whom iscsifs runs as",
			cmd->verb->name, key ? ": " : "", key ? key : "", key ? "=" : "");
	return FALSE;
}

gboolean command_check_writer(const struct command *cmd, bool by_owner, GError **err)
{
	GHashTableIter iter;
	void *name, *value;

	if (by_owner)
		return TRUE;
	if (cmd->verb->min_args & COMMAND_OWNERS)
		return refuse_writer(err, cmd, NULL);
	g_hash_table_iter_init(&iter, cmd->keys);
	while (g_hash_table_iter_next(&iter, &name, &value))
		if (command_find_key(cmd->verb, name)->is_owners)
			return refuse_writer(err, cmd, name);
	return TRUE;
}

/* --- help --- */

/* Behind the help of what not everybody may use. */
static const char *owners_mark(bool is_owners)
{
	return is_owners ? " [owner]" : "";
}

static void print_key(const struct command_key *k, GString *out)
{
	g_autoptr(GString) usage = g_string_new(k->name);

	g_string_append_c(usage, '=');
	command_print_type(k, usage);
	if (k->help)
		g_string_append_printf(out, "\t%-42s %s%s\n", usage->str, k->help,
				       owners_mark(k->is_owners));
	else
		g_string_append_printf(out, "\t%s\n", usage->str);
}

/* The keys of one of @v's tables. */
static void print_keys(const struct verb *v, const struct command_key *keys, GString *out)
{
	for (const struct command_key *k = keys; k && k->name; k++)
		if (command_find_key(v, k->name) == k)
			print_key(k, out);
}

void command_help(const struct verb *verbs, GString *out)
{
	if (is_line_table(verbs)) {
		g_string_append(out, verbs->help);
		return;
	}
	for (const struct verb *v = verbs; v && v->name; v++) {
		bool has_args = v->args && *v->args;

		g_string_append_printf(out, "%s%s%s\n", v->name, has_args ? " " : "",
				       has_args ? v->args : "");
		if (v->help)
			g_string_append_printf(out, "\t%s%s\n", v->help,
					       owners_mark(v->min_args & COMMAND_OWNERS));
		print_keys(v, v->keys, out);
		print_keys(v, v->more_keys, out);
	}
	g_string_append(out, "every verb\n");
	for (const struct command_key *k = common_keys; k->name; k++)
		print_key(k, out);
}
