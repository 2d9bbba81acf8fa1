/* SPDX-License-Identifier: BSD-2-Clause */
/* Initiator instances (A3): ways out of this host, by name. All have the one node name. Each
 * discovery, login and connection takes one (instance=): any way at all, those of a network
 * interface, one address of ours, or that address on that interface.
 *
 *   origin    true in it
 *   BUILT_IN  "default": any way; always there
 *   CONF      of the option initiator_instances
 *   LIVE      made with add-instance; kept in instances.conf unless with persist=no
 *
 * As a word, the `source` of dial.h and resolve.h, a way is "ADDR", "@INTERFACE" or
 * "ADDR@INTERFACE". An instance whose interface or address this host does not have is away: logins
 * by it fail at once, sessions that were made by it wait for it to come back.
 *
 * Its ports are the addresses that it has at the moment, numbered from 0. */
#ifndef ISCSIFS_INITIATOR_INSTANCE_H
#define ISCSIFS_INITIATOR_INSTANCE_H

#include <glib.h>
#include <stdbool.h>

#include "base/object.h"
#include "core/command.h"

struct daemon;
struct login_options;
struct operation;

#define INSTANCE_DEFAULT_NAME "default"
#define INITIATOR_INSTANCES_MAX 256
#define INITIATOR_PORTS_MAX 256

struct initiator_instance {
	struct object obj; /* OBJECT_INITIATOR_INSTANCE */
	struct daemon *daemon;
	char *name;
	char *interface; /* NULL: any */
	char *source;	 /* numeric address; NULL: any */
	enum { INSTANCE_BUILT_IN, INSTANCE_CONF, INSTANCE_LIVE } origin;
	bool is_kept;
};

/* The daemon's list: default, those of the configuration, those that were kept. Blocks (a file).
 * FALSE and @err: the configuration's are wrong. */
gboolean initiator_instances_load(struct daemon *d, GError **err);
void initiator_instances_free(struct daemon *d);
/* Is @text what the option initiator_instances may be: "NAME=WAY, ...", WAY as above or "any"? */
gboolean initiator_instances_check(const char *text, GError **err);

struct initiator_instance *initiator_instance_find(const struct daemon *d, const char *name);
bool initiator_instance_is_away(const struct initiator_instance *i);
/* Its addresses now (of char *, numeric), g_ptr_array_unref(). */
GPtrArray *initiator_instance_ports(const struct initiator_instance *i);
/* How many sessions were made by it. */
unsigned initiator_instance_sessions(const struct initiator_instance *i);

/* The verbs add-instance NAME interface= source= persist=, remove-instance NAME, and `remove` of
 * one. Refused while a session, a portal or a target entered by hand names it (EBUSY). */
void initiator_instance_add(struct daemon *d, const struct command *cmd, struct operation *op);
void initiator_instance_remove(struct daemon *d, const char *name, struct operation *op);

/* The way that the keys instance=, port= and source= of @o ask for: *ret_way is NULL for any,
 * g_free(). FALSE and @err: there is no such instance or port, it is away (ENODEV, and an event),
 * or the keys contradict each other. */
gboolean initiator_way(struct daemon *d, const struct login_options *o, char **ret_way,
		       GError **err);
/* The same of single words, each may be NULL. */
gboolean initiator_way_of(struct daemon *d, const char *instance, const char *port,
			  const char *source, char **ret_way, GError **err);

/* The same for what is tried again and again: whether that way is there now, shows when it is
 * taken. g_free(). */
char *initiator_way_anyhow(struct daemon *d, const struct login_options *o);

extern const struct verb initiator_verbs[], initiator_instance_verbs[];

#endif
