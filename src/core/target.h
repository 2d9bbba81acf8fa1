/* SPDX-License-Identifier: BSD-2-Clause */
/* A target, by its name: the mechanisms that know it (instances), the sessions with it (each an
 * I_T nexus) and its logical units. It exists as long as any of these does.
 *
 *   target state   true in it
 *   DISCOVERED     known, no session
 *   LOGGING_IN     a login is under way
 *   LOGGED_IN      a session is logged in and its units have been scanned
 *   FAILED         sessions exist, none is usable
 */
#ifndef ISCSIFS_TARGET_H
#define ISCSIFS_TARGET_H

#include "core/attach.h"
#include "core/daemon.h"
#include "core/disk.h"
#include "core/lun.h"
#include "core/mapping.h"
#include "core/options.h"

struct target_portal {
	char *host;
	uint16_t port;
	int tpgt; /* -1: not told */
	/* What an iSNS server told of IPsec there (RFC 4171 6.3.9, the values of security_flags=):
	 * bit 0 says that the others mean something; 0: nothing was told. */
	uint32_t security;
};

/* Priorities of B5; lower is better. */
enum instance_priority {
	INSTANCE_FIRMWARE,
	INSTANCE_SENDTARGETS,
	INSTANCE_ISNS,
	INSTANCE_STATIC,
	INSTANCE_PERSISTENT, /* what was known when a login was saved (logins.h) */
};
#define INSTANCE_STATIC_NAME "static"

/* What one mechanism knows of the target (B5). */
struct instance {
	struct object obj; /* OBJECT_INSTANCE */
	struct target *target;
	char *mechanism;   /* "sendtargets:ADDR:PORT", "static": its name in the tree */
	unsigned priority; /* enum instance_priority */
	char *alias;	   /* that the mechanism gave; NULL: none */
	GArray *portals;   /* of struct target_portal */
	bool is_kept;	   /* entered by hand, and in the state directory */
	/* Of the source: the discovery portal's, the static target's. */
	struct login_options options;
	bool is_hidden; /* static: does not show the target by itself */
	struct before *merging; /* static: changes that are being saved (static_target.c) */
};

struct target {
	struct object obj; /* OBJECT_TARGET */
	struct daemon *daemon;
	char *name;
	GList *link;		      /* its place in daemon->targets ... */
	GSequenceIter *place;	      /* ... and in daemon->targets_sorted */
	GList *instances;	      /* of struct instance *, by priority */
	GList *nexuses;		      /* of struct nexus *, oldest first */
	GList *luns;		      /* of struct lun *, by number */
	struct operation *logging_in; /* a login under way holds the target: one at a time */
};
/* "discovered", "logging-in", "logged-in", "failed" */
const char *target_state_name(const struct target *t);
/* The alias the target gave at login, or discovery; "" if none. Any bytes but NUL. */
const char *target_alias(const struct target *t);

/* Create or find. @name is normalised already. */
struct target *target_get(struct daemon *d, const char *name);
struct target *target_find(struct daemon *d, const char *name);
/* The mechanism knows it with these portals (copied): adds or replaces the instance. @o may be
 * NULL. */
void target_set_instance(struct target *t, const char *mechanism, unsigned priority,
			 const struct target_portal *p, unsigned count,
			 const struct login_options *o);
void target_drop_instance(struct target *t, const char *mechanism);
/* No mechanism tells of it but by hand, hidden=yes, and it is not logged in to: not in the tree. */
bool target_is_hidden(const struct target *t);
/* How many are not hidden. */
unsigned target_count_shown(const struct daemon *d);
struct instance *target_find_instance(struct target *t, const char *mechanism);
void instance_set_alias(struct instance *i, const char *alias); /* NULL: none */
/* Nothing knows it and no session is left: it goes. Called after each change. */
void target_maybe_gone(struct target *t);

/* A session with a target and what it showed (nexus.c). Owns the session. */
struct nexus {
	struct target *target;
	struct session *session;
	char *portal;	   /* its leading connection logged in by */
	char *instance;	   /* of the initiator, that it was made by; NULL: default */
	struct scan *scan; /* under way, or NULL */
	bool is_scanned;
	bool is_logging_out;
	bool is_failed;	  /* its session has no connection: its paths rest */
	bool is_verified; /* its units have been looked at since the session last began */
	unsigned lives;	  /* session->lives when that was asked last */
	struct operation *verify;	/* the scan that finds out, or NULL */
	struct loop_timer verify_timer; /* ... once more */
	struct revive *revive;		/* the connections it is to have */
	struct operation *adding;	/* a further connection (mcs.c), or NULL */
	bool is_multipath;  /* logged in with multipath=yes: may be one of several (C5) */
	enum expose expose; /* all sessions of a target have the same ... */
	struct mapping *mapping; /* ... and the same of these */
	bool has_pr_key;    /* to be registered at each unit (pr_key=) */
	uint64_t pr_key;
	bool is_guarded; /* guard=yes: its units are written to only while reserved for us */
};
/* "retrying" while it has no connection and is being brought back; else the session's state. */
const char *nexus_state_name(const struct nexus *n);
struct nexus *target_find_nexus(struct target *t, unsigned sid);
/* What becomes of its units, as its newest session asks; EXPOSE_FILE without one. */
enum expose target_expose(const struct target *t);

/* The verb: resolve, connect, log in, follow redirects, scan, attach. */
void target_login(struct target *t, const struct command *cmd, struct operation *op);
/* The same with these options (copied), which were checked when they were saved: persist= is not
 * among them. */
void target_login_with(struct target *t, const struct login_options *given,
		       struct operation *op);
/* What is known of @t for a login with @given: the options that it would take besides (B over C;
 * *ret_known need not be initialised), and where all instances but "persistent" say that it is,
 * the best first: "ADDR:PORT[,TPGT]", appended to @portals (of char *, g_free()) unless they are
 * there. */
void target_login_known(struct target *t, const struct login_options *given,
			struct login_options *ret_known, GPtrArray *portals);
/* The verb of the root: the target is cmd's first argument. One that is not known is made, with
 * a static instance of the portal= given; it goes again when the login fails. */
void target_login_by_name(struct daemon *d, const struct command *cmd, struct operation *op);
/* All sessions of the target. Refused (EBUSY) while a LUN file is open, naming the process,
 * unless @is_forced. */
void target_logout(struct target *t, bool is_forced, struct operation *op);
void nexus_logout(struct nexus *n, bool is_forced, struct operation *op);

extern const struct verb target_verbs[], session_verbs[], conn_verbs[];

/* --- for the rest of core --- */

/* Every nexus, scan and unit goes now, then the target. For the end of the daemon. */
void target_drop(struct target *t);

/* @s is logged in: it becomes one of @t's and gets its number. Takes the caller's reference of
 * @s and @s's callbacks. @portal is copied. */
struct nexus *nexus_new(struct target *t, struct session *s, const char *portal);
void nexus_set_portal(struct nexus *n, const char *portal); /* copied */
/* Closes the session if it is not closed yet; its paths, units without another path, and the
 * nexus itself (the memory, too) go. So does the target, if that was all there was of it. */
void nexus_remove(struct nexus *n);
bool nexus_is_usable(const struct nexus *n);
/* The nexus of a session object; NULL when it has none (any more). */
struct nexus *nexus_of_session(const struct session *s);

#endif
