/* SPDX-License-Identifier: BSD-2-Clause */
/* Where targets come from: SendTargets portals (a discovery session each time), and targets
 * entered by hand. Each source that knows a target gives it an instance (target.h). */
#ifndef ISCSIFS_DISCOVERY_H
#define ISCSIFS_DISCOVERY_H

#include "core/daemon.h"
#include "core/options.h"
#include "core/target.h"

struct refresh;

/*   portal state  true in it
 *   NEVER         not asked yet
 *   BUSY          a discovery session is under way: @running, @refresh
 *   OK            the last one worked
 *   FAILED        it did not; the targets found before stay
 */
struct portal {
	struct object obj; /* OBJECT_PORTAL */
	struct daemon *daemon;
	char *host;
	uint16_t port;
	char *name;		      /* canonical "ADDR:PORT" */
	struct login_options options; /* given with add-portal */
	enum { PORTAL_NEVER, PORTAL_OK, PORTAL_FAILED, PORTAL_BUSY } state;
	unsigned targets_found;
	int64_t last_ok_us;	   /* wall clock; 0: never */
	char *mechanism;	   /* "sendtargets:ADDR:PORT", the name of its instances */
	struct operation *running; /* of a refresh under way */
	struct refresh *refresh;
};
const char *portal_state_name(const struct portal *p); /* "never", "ok", "failed", "busy" */

struct portal *discovery_find(struct discovery *d, const char *name);
/* Add a portal and discover there at once; it stays only if the discovery worked (add-portal
 * fails otherwise, and says why). */
void discovery_add_portal(struct discovery *d, const struct command *cmd, struct operation *op);
void discovery_remove_portal(struct discovery *d, const struct command *cmd,
			     struct operation *op);
void discovery_add_target(struct discovery *d, const struct command *cmd, struct operation *op);
void discovery_remove_target(struct discovery *d, const struct command *cmd,
			     struct operation *op);
/* One discovery session with @p: targets that are new appear, those that are gone lose this
 * instance. EBUSY when one is under way. */
void portal_refresh(struct portal *p, struct operation *op);
/* The portal that is cmd's first argument. */
void discovery_refresh_portal(struct discovery *d, const struct command *cmd,
			      struct operation *op);
/* All portals, in parallel; when some fail, so does @op, after all have ended. */
void discovery_refresh_all(struct discovery *d, struct operation *op);
/* Refreshes under way are given up. */
void discovery_shutdown(struct discovery *d);

/* A SendTargets answer (RFC 7143 13.3, 13.8 and appendix C) taken apart, in the order of the
 * answer; a target told in several pieces becomes one. NULL and @err (EPROTO) when it is no such
 * thing: ISDSC_INVALID_ISCSI_NAME for a name that is none (in the message, printable),
 * ISDSC_INVALID_SENDTARGETS_TEXT else (a foreign key is a protocol error, appendix C). A bad
 * address drops that address (and the target, if it had no other), and is told in @ret_bad (may be
 * NULL; of char *, printable). Also bounded: the targets, and the addresses of each. */
#define SENDTARGETS_TARGETS_MAX 16384
#define SENDTARGETS_PORTALS_MAX 256
#define SENDTARGETS_BAD_MAX 64
struct found_target {
	char *name;
	char *alias;	      /* NULL: none */
	GArray *portals;      /* of struct target_portal; empty: the address asked */
	bool has_bad_address; /* one was passed over */
};
/* Of struct found_target *; g_ptr_array_unref(). */
GPtrArray *sendtargets_parse(const uint8_t *text, size_t len, GPtrArray *ret_bad, GError **err);

extern const struct verb discovery_verbs[], portal_verbs[];

/* --- for the rest of core --- */

/* Its targets lose their instance; a refresh under way is given up. */
void portal_remove(struct portal *p);

#endif
