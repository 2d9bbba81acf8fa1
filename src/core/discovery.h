/* SPDX-License-Identifier: BSD-2-Clause */
/* Where targets come from: SendTargets portals (a discovery session each time), the firmware of
 * this host (firmware.h), and targets entered by hand. Each source that knows a target gives it an instance (target.h). */
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
	bool is_kept;		   /* in the state directory */
	char *mechanism;	   /* "sendtargets:ADDR:PORT", the name of its instances */
	struct operation *running; /* of a refresh under way */
	struct refresh *refresh;
	struct loop_timer retry; /* of one that was kept, until it has answered once ... */
	int64_t retry_ms;	 /* ... next after that long; 0: no more */
};
const char *portal_state_name(const struct portal *p); /* "never", "ok", "failed", "busy" */

struct portal *discovery_find(struct discovery *d, const char *name);
/* What is added is kept, unless with persist=no, and what is removed is not: the operation ends
 * when that is on the disk; one that cannot be saved changes nothing
 * (ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA).
 *
 * Add a portal and discover there at once; it stays only if the discovery worked (add-portal
 * fails otherwise, and says why). */
void discovery_add_portal(struct discovery *d, const struct command *cmd, struct operation *op);
void discovery_remove_portal(struct discovery *d, const struct command *cmd,
			     struct operation *op);
/* Targets entered by hand: static_target.c. */
void discovery_add_target(struct discovery *d, const struct command *cmd, struct operation *op);
void discovery_remove_target(struct discovery *d, const struct command *cmd,
			     struct operation *op);
/* The verb `remove` of a portal, of a target entered by hand, of a target. */
void discovery_forget_portal(struct portal *p, struct operation *op);
void discovery_forget_instance(struct instance *i, struct operation *op);
void discovery_forget_target(struct target *t, struct operation *op);
/* One discovery session with @p: targets that are new appear, those that are gone lose this
 * instance. EBUSY when one is under way. */
void portal_refresh(struct portal *p, struct operation *op);
/* The portal that is cmd's first argument. */
void discovery_refresh_portal(struct discovery *d, const struct command *cmd,
			      struct operation *op);
/* All portals and iSNS servers and the firmware's table, in parallel; when some fail, so does @op,
 * after all have ended. */
void discovery_refresh_all(struct discovery *d, struct operation *op);
void discovery_refresh_isns(struct discovery *d, struct operation *op);
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
/* ADDR[:PORT] as a person writes it. Outputs are g_free()d by the caller. */
gboolean portal_parse(const char *text, char **ret_host, uint16_t *ret_port, char **ret_name,
		      GError **err);
/* Into discovery's list. Takes @options. */
struct portal *portal_new(struct discovery *d, const char *host, uint16_t port,
			  const struct login_options *options);

/* The login options of an add-... command, which can be kept if they are to be (persist=). FALSE
 * and @err; @ret is the caller's to free. */
gboolean discovery_take_options(struct discovery *d, const struct command *cmd,
				struct login_options *ret, bool *ret_is_kept, GError **err);
/* @obj, which is there already, is to be kept (*@is_kept, of it): @op finishes when that is on the
 * disk. If it cannot be, @undo takes it away again. */
void discovery_keep(struct discovery *d, struct object *obj, bool *is_kept,
		    void (*undo)(struct object *obj), struct operation *op);
/* @obj goes (@carry_out), after its record if it has one, or had one that may still be in the
 * file. If that cannot be saved it stays. */
void discovery_forget(struct discovery *d, struct object *obj, bool *is_kept,
		      void (*carry_out)(struct object *obj), struct operation *op);

/* --- what is kept (discovery_state.c) --- */

/* Everything that is to be kept of discovery goes to discovery.conf; @op (may be NULL) finishes
 * when it is on disk: an error is ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA. Those that come
 * while the file is being written share the next one. */
void discovery_save(struct discovery *d, struct operation *op);
/* At start: portals and targets as they were kept. As soon as the loop runs the portals are asked,
 * in the background, again and again until they have answered once. Blocks (a file). */
void discovery_load(struct discovery *d);

#endif
