/* SPDX-License-Identifier: BSD-2-Clause */
/* Persistent logins (C6): targets that the daemon logs in to at every start, with the options
 * and portals that were known when they were saved, so that it waits for no discovery. Kept in
 * logins.conf of the state directory, secrets sealed.
 *
 *   state       true in it                                                next
 *   SAVED       kept; at the next start it is done                        TRYING
 *   WAITING     @timer runs until the next try                            TRYING, DONE
 *   TRYING      a login is under way: @trying                             WAITING, DONE
 *   DONE        it has succeeded, or the target was logged in otherwise:  TRYING
 *               whoever logs out then is not corrected until the next
 *               start
 *
 * There are as many for a target as differ in portal, source or instance. Its target has an
 * instance "persistent" (target.h), with the saved portals, as long as one is kept.
 *
 * A login that fails is tried again after a second, then after ever longer times up to a minute;
 * one that was refused for who we are, or for what was asked, up to five minutes. */
#ifndef ISCSIFS_LOGINS_H
#define ISCSIFS_LOGINS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/object.h"
#include "core/command.h"
#include "core/options.h"

struct daemon;
struct logins;
struct operation;
struct target;

#define LOGINS_INSTANCE_NAME "persistent"

enum saved_state { LOGIN_SAVED, LOGIN_WAITING, LOGIN_TRYING, LOGIN_DONE };

struct saved_login {
	struct object obj; /* OBJECT_LOGIN */
	struct daemon *daemon;
	char *name;   /* in the tree: "IQN", "IQN,ADDR:PORT", ... */
	char *target; /* IQN */
	char *portal; /* canonical; NULL: none was named */
	struct login_options options; /* as given */
	struct login_options known;   /* what the target's instances said then (B6) */
	GPtrArray *portals;	      /* of char *, "ADDR:PORT[,TPGT]", best first */
	enum saved_state state;
	unsigned attempts; /* in this run */
	unsigned failures; /* one after the other */
	int64_t next_try_us; /* WAITING: wall clock */
	struct loop_timer timer;
	struct operation *trying;
	struct operation *asked; /* waits for how @trying ends; NULL: nobody */
	unsigned sid;		 /* of the session that it made; 0: none */
	char *last_error;	 /* told as an event; NULL: none */
	bool is_leaving;	 /* is being removed: neither saved nor tried any more */
	bool was_waiting;	 /* before that, or trying: what is to go on when it stays */
	/* Until this one is on disk: what it has replaced, which comes back when that fails; owned,
	 * on no list. NULL: none. */
	struct saved_login *before;
};
/* "saved", "waiting", "trying", "logged-in", "logged-out" (after it had been logged in). */
const char *saved_login_state_name(const struct saved_login *x);
/* Milliseconds until the next try, after so many @failures, @r of 0..1 being the jitter. */
int64_t saved_login_delay_ms(unsigned failures, bool is_refused, double r);

/* Reads logins.conf: blocks, so before the loop runs. Nothing is tried yet. */
struct logins *logins_new(struct daemon *d);
/* All of them at once, when the tree is mounted. */
void logins_start(struct logins *l);
/* Nothing is tried any more; what is under way is cancelled. */
void logins_shutdown(struct logins *l);
void logins_free(struct logins *l); /* NULL is fine */
GList *logins_all(const struct logins *l); /* of struct saved_login *, by name; borrowed */

/* The verbs. What they did is on disk when @op finishes well. */
void logins_add(struct logins *l, const struct command *cmd, struct operation *op);
void logins_remove(struct logins *l, const struct command *cmd, struct operation *op);
void saved_login_remove(struct saved_login *x, struct operation *op);
void saved_login_try(struct saved_login *x, struct operation *op);

/* `login persist=yes` with these options has made session @sid: it is saved, then @op finishes.
 * One of the same name is replaced. */
void logins_keep(struct logins *l, struct target *t, const struct login_options *given,
		 unsigned sid, struct operation *op);
/* Somebody has logged in to @t: entries that wait for that are done. */
void logins_see_login(struct logins *l, struct target *t);

extern const struct command_key logins_remove_keys[];

#endif
