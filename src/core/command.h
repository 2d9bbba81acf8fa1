/* SPDX-License-Identifier: BSD-2-Clause */
/* Control lines: `verb [argument ...] [key=value ...]`. Each kind of object has a table of
 * verbs; parsing, the text that reading a control file gives, and the man page come from the
 * tables. An unknown verb or key, a key given twice, a wrong number of arguments is refused
 * (EINVAL) with a message that names what is allowed.
 *
 * A word is a key=value when '=' follows one or more of A-Z a-z 0-9 _ -; any other word is an
 * argument. Arguments come before keys. No message repeats the value of a key that is secret or
 * unknown, or a word that did not fit: a mistyped line may hold a secret anywhere. */
#ifndef ISCSIFS_COMMAND_H
#define ISCSIFS_COMMAND_H

#include <glib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/object.h"
#include "core/operation.h"

struct daemon;
struct command;

enum command_key_type {
	COMMAND_TEXT,
	COMMAND_BOOL,
	COMMAND_NUMBER,
	COMMAND_SECONDS,
	COMMAND_CHOICE,
};

struct command_key {
	const char *name;
	enum command_key_type type;
	uint64_t min, max;   /* NUMBER; SECONDS: in milliseconds, max 0 is COMMAND_MS_MAX */
	const char *choices; /* CHOICE: "none|chap|mutual" */
	bool is_secret;	     /* never shown again */
	const char *help;
	enum isdsc code; /* of a value it does not take; 0: ISDSC_INVALID_PARAMETER */
	/* Of the row that ends verb->keys: why a key that is none of them cannot be given; it returns
	 * NULL when nothing is known of it. */
	const char *(*why_not)(const char *key);
	bool is_owners;	 /* names a file of this host, or the like: command_check_writer() */
};

#define COMMAND_ARGS_MAX 3
#define COMMAND_LINE_MAX 8192			   /* bytes, without the newline */
/* As max_args of the only row of a table: the lines of this file are not made of verbs and words. A
 * line, which may be so long, is the one argument as it stands; the row's name is for messages,
 * its help is all that reading the file gives. */
#define COMMAND_WHOLE_LINE UINT_MAX
#define COMMAND_WHOLE_LINE_MAX (1600 * 1024)
/* With | beside min_args: not for everybody who may write to the file: command_check_writer(). */
#define COMMAND_OWNERS 0x100u
#define COMMAND_MS_MAX (24 * 3600 * INT64_C(1000)) /* a day */

struct verb {
	const char *name;
	const char *args; /* "ADDR[:PORT]", "[PORTAL]" for the help; "" if none */
	unsigned min_args, max_args;
	/* Ended by a NULL name; NULL: none. */
	const struct command_key *keys, *more_keys;
	/* Carry it out on @obj. Must see to it that operation_finish(@op) is called, now or
	 * later. @cmd is valid during the call only (copy what is needed). @op: take a
	 * reference to keep it. */
	void (*run)(struct object *obj, const struct command *cmd, struct operation *op);
	const char *help;
};

/* Keys that every verb takes: timeout=SECONDS, nowait=yes. */
struct command {
	const struct verb *verb;
	char *args[COMMAND_ARGS_MAX + 1]; /* NULL at the end */
	unsigned arg_count;
	GHashTable *keys;   /* name -> value as given */
	int64_t timeout_ms; /* 0: none given */
	bool is_nowait;
	char *shown; /* the command with secrets blanked: for messages */
};

/* @verbs: ended by a NULL name; NULL: no verbs. NULL and @err: ISDSC_INVALID_PARAMETER, EINVAL.
 * An empty or comment line gives NULL without an error. */
struct command *command_parse(const char *line, const struct verb *verbs, GError **err);
void command_free(struct command *cmd); /* secrets wiped; NULL is fine */
struct command *command_copy(const struct command *cmd);
/* What is behind @value (a secret behind the name of its file) takes the place of key @from, as
 * key @to, which is a static string. Takes @value. */
void command_replace_key(struct command *cmd, const char *from, const char *to, char *value);
/* What may be shown of a line that command_parse() refused: the verb, if it is one. g_free().
 */
char *command_shown(const char *line, const struct verb *verbs);
/* The value of a key, or NULL when it was not given. Its type has been checked. */
const char *command_key(const struct command *cmd, const char *name);
bool command_bool(const struct command *cmd, const char *name, bool otherwise);
uint64_t command_number(const struct command *cmd, const char *name, uint64_t otherwise);
int64_t command_ms(const struct command *cmd, const char *name, int64_t otherwise);
/* The row that says what key @name is for @v, or NULL: one in keys hides one of the same name
 * in more_keys, and both hide the keys that every verb takes. */
const struct command_key *command_find_key(const struct verb *v, const char *name);
/* Is @value one that key @k takes? FALSE and @err, which says what it takes. */
gboolean command_check(const struct command_key *k, const char *value, GError **err);
/* May @cmd be run for somebody who may write to the control file, but is neither root nor the
 * user whom the daemon runs as (@by_owner false)? What reads files or ends the daemon is not for
 * him: we would do with our rights what he may not do with his. FALSE and @err (EACCES). */
gboolean command_check_writer(const struct command *cmd, bool by_owner, GError **err);
/* What @k takes, in a word: "yes|no", "512..65535", "TEXT". */
void command_print_type(const struct command_key *k, GString *out);
/* The longest line that a control file with @verbs takes. */
size_t command_line_max(const struct verb *verbs);
/* What reading the control file tells: each verb with its arguments, keys and help. */
void command_help(const struct verb *verbs, GString *out);

/* Several lines, in order, up to the first error. */
struct script;
/* Runs @text on @obj; holds a reference of it. @done runs later, exactly once: @err NULL when
 * all went well; @reply is the text for the reading side of the same descriptor, a line for
 * each line carried out ("ok key=value\n", or, the last, "error code=... number=0x... errno=...
 * where=... text=\"...\"\n"); both are borrowed, and the script is gone when @done returns.
 * Failures are put on @obj's list with the command, secrets blanked. A last line without a
 * newline counts. Commands with nowait=yes are answered at once; they go on after the script,
 * and their failures are put on the list and logged. */
struct script *script_run(struct loop *l, struct object *obj, const struct verb *verbs,
			  const char *text, size_t len,
			  void (*done)(void *arg, const GError *err, const char *reply),
			  void *arg);
/* What @obj is called in the tree ("targets/IQN"), copied: `where=` of failures that do not
 * name a place of their own. Right after script_run(). Without it: the kind of the object. */
void script_set_place(struct script *s, const char *place);
/* Root, or the user whom the daemon runs as, has written it; else a verb or key that is_owners is
 * refused. Right after script_run(). */
void script_set_owner(struct script *s);
/* Lines that fail are events of @d: request-failed. */
void script_set_daemon(struct script *s, struct daemon *d);
/* EINTR: the writer was interrupted (or is gone); EBUSY: the daemon ends. done() still runs. */
void script_cancel(struct script *s, int errno_value);

/* The errno that a write to the tree ends with by @err: one of the few that tree.md tells of,
 * since the shell's message for another ("Transport endpoint is not connected") reads as if the
 * daemon had died. What done() and the list of failures get of a script has it already. */
int script_errno(const GError *err);
/* The line "error code=... number=0x... errno=... where=@place text=\"...\"\n" of @err. */
void script_error_reply(const GError *err, const char *place, GString *out);

#endif
