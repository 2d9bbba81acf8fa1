/* SPDX-License-Identifier: BSD-2-Clause */
/* What the answer to a query for targets (RFC 4171 5.7.5.2) tells: nodes, portals, and the portal
 * groups that join them. An object begins with its key: a node with its name, a portal with its
 * address, a group with its node. */
#ifndef ISCSIFS_ISNS_ANSWER_H
#define ISCSIFS_ISNS_ANSWER_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#define ISNS_TARGETS_MAX 16384	 /* of an answer */
#define ISNS_PORTALS_MAX 256	 /* of a target */
#define ISNS_BAD_MAX 64		 /* bad names that are told */
/* Bytes of an answer: more than the targets that are allowed need, with a few portals each. */
#define ISNS_ANSWER_MAX (16u * 1024 * 1024)

struct isns_target {
	char *name;	 /* valid, and prepared */
	char *alias;	 /* NULL: none */
	GArray *portals; /* of struct target_portal; never empty */
};

/* @payload: of a successful answer, without its status. Of struct isns_target *, each name once,
 * g_ptr_array_unref(); NULL and @err (EPROTO). Not among them: nodes that are no targets, @self
 * (NULL: nobody), targets without a portal, and those with a bad name: these are told, escaped, in
 * @ret_bad (of char *; may be NULL). */
GPtrArray *isns_answer_targets(const uint8_t *payload, size_t len, const char *self,
			       GPtrArray *ret_bad, GError **err);

#endif
