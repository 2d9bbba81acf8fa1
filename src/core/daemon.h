/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon: owner of everything that is not a file. One of these a process today; nothing of
 * it is global.
 *
 * Its state directory (mode 0700 when made here) holds `lock`, flock'ed as long as the daemon
 * lives and naming its pid, the files that statefile.h writes, and `secret.key` (secret_store.h). */
#ifndef ISCSIFS_DAEMON_H
#define ISCSIFS_DAEMON_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/object.h"
#include "base/pool.h"
#include "base/worker.h"
#include "core/command.h"
#include "core/conf.h"
#include "core/options.h"

struct attacher;
struct event_log;
struct logins;
struct lun;
struct persistent;
struct policies;
struct portal_health;
struct secret_store;
struct reloader;
struct target;
struct volumes;

struct initiator {
	struct object obj; /* OBJECT_INITIATOR */
	struct daemon *daemon;
	char *name;	    /* in force */
	bool is_name_fixed; /* set by a person; else generated from the host name */
	char *alias;	    /* NULL: none */
	bool is_name_kept, is_alias_kept; /* set through the tree: in the state file */
	char *chap_secret; /* that targets prove themselves with (mutual CHAP); NULL: none */
	struct initiator_save *last_save; /* under way; NULL: none is */
};

struct discovery {
	struct object obj; /* OBJECT_DISCOVERY */
	struct daemon *daemon;
	GList *portals; /* of struct portal *, in the order they were added */
	GList *isns_servers; /* of struct isns_server *, in that order */
	GList *isns_leaving; /* the same: removed, and being left */
	struct isns_notify *isns_notify; /* where they reach us; made with the first */
	struct firmware *firmware;
	/* Of struct operation *: their change is in the file being written, and in the next. */
	GList *saving, *to_save;
	bool is_saving;
};

struct daemon {
	struct object obj; /* OBJECT_DAEMON */
	struct loop *loop;
	struct worker *worker;
	struct conf conf;
	struct reloader *reloader; /* of @conf (reload.h); set by main; NULL: none */
	struct event_log *events; /* from before anything can happen until the memory goes */
	struct portal_health *health; /* which portals failed lately; as long */
	char *state_dir; /* NULL: nothing is kept */
	int state_lock;	 /* descriptor holding the lock of the state directory */
	GError *state_error; /* a state file must not be written over: see statefile.h */
	struct secret_store *secrets; /* seals what is kept; NULL without a state directory */
	/* Of the configuration (conf_secrets.h). */
	struct login_options defaults;
	char *conf_chap_secret; /* NULL: none */
	struct initiator *initiator;
	struct discovery *discovery;
	struct policies *policies;
	GList *instances; /* of struct initiator_instance * */
	struct persistent *persistent;
	struct logins *logins;	 /* done at each start */
	struct volumes *volumes; /* that readiness waits for */
	GList *targets;		     /* of struct target *, by name */
	GSequence *targets_sorted;   /* the same, to find a place among them quickly */
	GHashTable *targets_by_name; /* keys are the targets' own */
	GHashTable *luns_by_wwid;    /* char * -> struct lun * (the first one that has it) */
	unsigned next_sid;	     /* session ids of the tree */
	uint8_t isid_random[3];	     /* of this run: RFC 7143 11.12.5, type 10b */
	uint16_t isid_qualifier;     /* next */
	GList *fetching;	     /* of struct operation *: they wait for a secret file */
	GList *pings;		     /* of struct ping * (inspect.c) */
	struct chap_history *chap_history; /* of all sessions */
	struct attacher *attacher;   /* of loop devices (attach.h) */
	struct pool bounce;	     /* of DISK_BOUNCE_BYTES */
	int64_t started_us;	     /* wall clock */

	bool is_shutting_down;
	unsigned pending; /* things under way that call back: see daemon_hold() */
	struct loop_timer shutdown_timer;
	struct loop_call shutdown_call;
	void (*shutdown_done)(struct daemon *d, void *arg);
	void *shutdown_arg;

	/* Set by the file tree: `shutdown` was written to the control file. */
	void (*quit)(void *arg);
	void *quit_arg;
	/* ... The absolute path of a unit's `disk`, g_free(); NULL: nothing is mounted. This
	 * process must never open it. NULL: there is no tree (tests). */
	char *(*disk_path)(const struct lun *l, void *arg);
	void *disk_path_arg;
};

/* Takes a copy of @conf. NULL and @err: the state directory cannot be made or is in use by
 * another daemon (its pid is named), bad name ... Blocks (files), so call it before the loop
 * runs. @state_dir NULL: no state is read or kept (for tests). */
struct daemon *daemon_new(struct loop *l, const struct conf *conf, const char *state_dir,
			  GError **err);
/* Detach what was attached (attach.h), in a few seconds at most; log out of everything, all in
 * parallel and at most conf's shutdown_ms, and wait for what is still being saved; then @done,
 * later and once. */
void daemon_shutdown(struct daemon *d, void (*done)(struct daemon *, void *), void *arg);
/* After shutdown (or when nothing was ever logged in). Memory goes at the end of the turn. */
void daemon_free(struct daemon *d);

/* Set the initiator's name; "*" goes back to the generated one. Sessions that exist keep
 * theirs. Saving it happens in the background; a failure of that is logged and on the failures
 * of @i. */
gboolean initiator_set_name(struct initiator *i, const char *name, GError **err);
/* Name and alias of d->conf, which has changed, where nobody set them through the tree. */
void initiator_take_conf(struct initiator *i);
/* "" takes the alias away. At most 255 bytes of UTF-8 without control characters. */
gboolean initiator_set_alias(struct initiator *i, const char *alias, GError **err);
/* The secret of mutual CHAP for all targets, used with auth=mutual without secret_in=; "*" takes it
 * away. Kept sealed. Sessions that exist keep theirs. */
gboolean initiator_set_chap_secret(struct initiator *i, const char *secret, GError **err);
/* @op finishes when what was set last is on the disk. */
void initiator_wait_saved(struct initiator *i, struct operation *op);
/* The default made of a host name as A2 says ("iqn.2026-11.io.iscsifs:HOST"). g_free(). */
char *initiator_default_name(const char *host);

/* The verbs of an object's control file; NULL when its kind has none. */
const struct verb *daemon_verbs(enum object_kind kind);

/* --- for the rest of core --- */

/* Name and alias: from the state directory, else from conf, else generated. */
struct initiator *initiator_new(struct daemon *d, GError **err);
struct discovery *discovery_new(struct daemon *d);
/* Both end with object_gone(). */

/* Something that will call back is under way: shutdown waits for its release. */
void daemon_hold(struct daemon *d);
void daemon_release(struct daemon *d);
/* A session went: is the shutdown complete? */
void daemon_check_shutdown(struct daemon *d);

#endif
