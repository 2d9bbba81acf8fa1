/* SPDX-License-Identifier: BSD-2-Clause */
/* Login options: what `login`, `add-portal` and `add-connection` lines may ask for, from one
 * table of keys. Each is either given or not, so that several sources merge option by option
 * (B6). */
#ifndef ISCSIFS_OPTIONS_H
#define ISCSIFS_OPTIONS_H

#include "core/command.h"
#include "core/conf.h"
#include "iscsi/session.h"

/* The keys of tree.md plus timeouts and negotiation keys. Ended by a NULL name. */
extern const struct command_key login_keys[];
/* Those that a source of targets may have as well: all but portal and mechanism, which choose among
 * what is known of a target. */
#define SOURCE_KEYS (login_keys + 2)
/* NULL when there is none of that name. */
const struct command_key *login_key(const char *name);

/* Values as given, by key; NULL where not given. Authentication (auth, user, secret, user_in,
 * secret_in) moves as a unit. */
struct login_options {
	GHashTable *values; /* name -> text; NULL: none */
};
struct daemon;

/* Calls @run with a copy of @cmd in which secret_file has become secret, read from the file
 * (secret_file.h: at most 1 KiB, a trailing newline off; mode looser than 0600 is refused), and
 * secret_in_file secret_in: now, if @cmd has neither. Finishes @op instead, when a file cannot
 * be read or @obj went meanwhile. The end of the daemon waits for it. */
void login_options_fetch(struct daemon *d, struct object *obj, const struct command *cmd,
			 struct operation *op,
			 void (*run)(struct object *obj, const struct command *cmd,
				     struct operation *op));
/* The daemon ends: those that wait for a file fail (EBUSY). */
void login_options_give_up(struct daemon *d);

/* Copies those of @cmd that are login keys; no secret_file is among them any more. What this
 * version cannot do yet is refused here (EOPNOTSUPP). @o need not be initialised; written only
 * on success. FALSE and @err. */
gboolean login_options_from(struct login_options *o, const struct command *cmd, GError **err);
/* @err of that: a secret that is too short is an event (35, 36), too. */
void login_options_tell(struct daemon *d, const GError *err);
/* As if @key=@value were on a line: FALSE and @err, when it is not one that may be. For state
 * files. */
gboolean login_options_set(struct login_options *o, const char *key, const char *value,
			   GError **err);
/* A secret that was checked when it was given, or is kept sealed (options_state.h). Takes @value. */
void login_options_set_secret(struct login_options *o, const char *key, char *value);
/* @to need not be initialised. */
void login_options_copy(struct login_options *to, const struct login_options *from);
/* Options of @under fill what @o lacks: one by one, but authentication as a unit; the auth=none of
 * @under counts for nothing. */
void login_options_merge(struct login_options *o, const struct login_options *under);
/* As if @key had not been given. */
void login_options_drop(struct login_options *o, const char *key);
void login_options_done(struct login_options *o); /* wipes secrets; idempotent */
const char *login_option(const struct login_options *o, const char *key);
/* False when it was not given; *ret is then untouched. */
bool login_option_number(const struct login_options *o, const char *key, uint64_t *ret);

/* A session's configuration from the daemon's defaults and @o, with an ISID not used yet.
 * @target_name NULL: discovery. FALSE and @err (bad combination: auth=chap without a secret, a
 * secret too short ...); *ret is then untouched.
 *
 * Without auth=, a secret means chap, and secret_in besides means mutual: what was given to
 * authenticate is never left unused. */
gboolean login_options_config(const struct login_options *o, struct daemon *d,
			      const char *target_name, struct session_config *ret,
			      GError **err);

#endif
