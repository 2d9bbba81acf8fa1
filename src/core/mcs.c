/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections of a live session: see the header. The verbs of session and connection lead here;
 * the files `policy`, `role` and `weight` of the tree, too. */
#include "core/mcs.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/dial.h"
#include "core/event.h"
#include "core/hop.h"
#include "core/initiator_instance.h"
#include "core/pathset.h"
#include "core/policies.h"
#include "core/revive.h"

/* ---- one more ---- */

const struct command_key mcs_add_keys[] = {
	{ "portal", COMMAND_TEXT, .help = "by this one; default: the next that is not used" },
	{ "source", COMMAND_TEXT, .help = "numeric address of ours to connect from" },
	{ "instance", COMMAND_TEXT,
	  .help = "way out of this host; default: that of the session" },
	{ "port", COMMAND_TEXT, .help = "of the instance: a number in its file ports" },
	{ "role", COMMAND_CHOICE, .choices = "active|standby", .help = "default: active" },
	{ "weight", COMMAND_NUMBER, 0, POLICY_WEIGHT_MAX,
	  .help = "default: 1; low goes first" },
	{ 0 },
};

/* nexus->adding is set from start to end, and ends it before the nexus goes. */
struct add {
	struct nexus *nexus;
	struct operation *op;
	struct dial *dial;
	char *source;
	bool is_named, is_standby;
	unsigned weight;
	GPtrArray *portals; /* of char *: those that are dialled */
};

static void add_free(struct add *a)
{
	a->nexus->adding = NULL;
	g_ptr_array_unref(a->portals);
	operation_unref(a->op);
	g_free(a->source);
	g_free(a);
}

static void add_end(struct add *a, GError *err)
{
	operation_step(a->op, NULL, NULL);
	operation_finish(a->op, err);
	add_free(a);
}

static void on_cancel(struct operation *op)
{
	struct add *a = op->step;

	dial_cancel(a->dial);
	add_end(a, NULL);
}

static void add_succeeds(struct add *a, const struct dial_result *r)
{
	struct nexus *n = a->nexus;

	r->conn->lane.is_standby = a->is_standby;
	r->conn->lane.weight = a->weight;
	revive_want(n->revive, r->conn, r->moved ? r->moved : a->portals->pdata[r->index],
		    a->is_named, a->source);
	operation_result(a->op, "connection", "%u", r->conn->cid);
	operation_result(a->op, "portal", "%s", r->portal);
	event_emit(n->target->daemon, EVENT_CONNECTION_UP,
		   "session %u %s connection %u via %s: added", n->session->sid,
		   n->target->name, r->conn->cid, r->portal);
}

static void on_dialled(void *arg, const struct dial_result *r)
{
	struct add *a = arg;
	GError *err = NULL;

	operation_where(a->op, "%s/%s", a->nexus->target->name, r->portal);
	if (r->error) {
		dial_emit(a->nexus->target->daemon, r, "");
		err = g_error_copy(r->error);
	} else {
		add_succeeds(a, r);
	}
	add_end(a, err);
}

static gboolean may_add(const struct nexus *n, GError **err)
{
	const struct session *s = n->session;

	if (!nexus_is_usable(n)) {
		error_set_errno(err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: session %u has no connection; it is being brought back",
				n->target->name, s->sid);
	} else if (n->adding) {
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY,
				"%s: session %u: another connection is being added",
				n->target->name, s->sid);
	} else if (revive_wanted_count(n->revive) >= s->values.max_connections) {
		error_set_errno(
			err, ISDSC_TOO_MANY_CONNECTIONS, EUSERS,
			"%s: session %u: no more than %u connection%s (MaxConnections as "
			"negotiated)",
			n->target->name, s->sid, s->values.max_connections,
			s->values.max_connections == 1 ? "" : "s");
	} else {
		return TRUE;
	}
	return FALSE;
}

static void add_portal(struct add *a, GArray *portals, const char *host, uint16_t port)
{
	struct dial_portal p = { host, port, a->source };

	g_array_append_val(portals, p);
	g_ptr_array_add(a->portals, text_format_portal(host, port));
}

/* In the order of discovery, those that the session does not use. */
static void add_unused(struct add *a, GArray *portals)
{
	const struct nexus *n = a->nexus;
	g_autoptr(GArray) hops = hop_list(n->target, hop_group(n->session));

	for (unsigned i = 0; i < hops->len; i++) {
		const struct hop *h = &g_array_index(hops, struct hop, i);
		g_autofree char *portal = text_format_portal(h->host, h->port);

		if (!revive_uses(n->revive, portal, a->source))
			add_portal(a, portals, h->host, h->port);
	}
}

/* FALSE and @err: @named (NULL: none was) is no portal. *ret_host: to be freed after @portals.
 */
static gboolean pick_portals(struct add *a, const char *named, GArray *portals, char **ret_host,
			     GError **err)
{
	const char *fallback = named ? named : a->nexus->portal;
	uint16_t port;
	int tpgt;

	if (!named)
		add_unused(a, portals);
	if (portals->len)
		return TRUE;
	if (text_parse_portal(fallback, ISCSI_DEFAULT_PORT, ret_host, &port, &tpgt) < 0) {
		error_set(err, ISDSC_INVALID_PARAMETER, "\"%s\" is no ADDR[:PORT]", fallback);
		return FALSE;
	}
	add_portal(a, portals, *ret_host, port);
	return TRUE;
}

/* That of the session, unless another one or an address is given. */
static gboolean pick_way(struct add *a, const struct command *cmd, GError **err)
{
	const char *instance = command_key(cmd, "instance"), *source = command_key(cmd, "source");

	if (!instance && !source)
		instance = a->nexus->instance;
	return initiator_way_of(a->nexus->target->daemon, instance, command_key(cmd, "port"),
				source, &a->source, err);
}

static struct add *add_new(struct nexus *n, const struct command *cmd, struct operation *op)
{
	struct add *a = g_new0(struct add, 1);

	a->nexus = n;
	a->op = operation_ref(op);
	a->is_named = command_key(cmd, "portal");
	a->is_standby = !g_strcmp0(command_key(cmd, "role"), "standby");
	a->weight = (unsigned)command_number(cmd, "weight", POLICY_WEIGHT_DEFAULT);
	a->portals = g_ptr_array_new_with_free_func(g_free);
	n->adding = op;
	return a;
}

void mcs_add(struct nexus *n, const struct command *cmd, struct operation *op)
{
	g_autoptr(GArray) portals = g_array_new(FALSE, FALSE, sizeof(struct dial_portal));
	g_autofree char *who =
		g_strdup_printf("session %u %s", n->session->sid, n->target->name);
	g_autofree char *host = NULL;
	GError *err = NULL;
	struct add *a;

	operation_where(op, "%s", n->target->name);
	if (!may_add(n, &err)) {
		operation_finish(op, err);
		return;
	}
	a = add_new(n, cmd, op);
	operation_step(op, on_cancel, a);
	if (!pick_way(a, cmd, &err) ||
	    !pick_portals(a, command_key(cmd, "portal"), portals, &host, &err)) {
		add_end(a, err);
		return;
	}
	a->dial = dial_start(
		&(struct dial_config){
			.daemon = n->target->daemon,
			.who = who,
			.into = n->session,
			.portals = (const struct dial_portal *)(void *)portals->data,
			.count = portals->len },
		on_dialled, a);
}

void mcs_give_up(struct nexus *n)
{
	if (n->adding)
		operation_cancel(n->adding, ECANCELED);
}

/* ---- one less ---- */

struct removal {
	struct target *target;
	struct operation *op;
	unsigned sid, cid;
};

/* Whatever the target said, the connection is gone. */
static void on_removed(struct session *s, const GError *err, void *arg)
{
	struct removal *r = arg;
	struct daemon *d = r->target->daemon;

	(void)s;
	event_emit(d, EVENT_CONNECTION_REMOVED, "session %u %s connection %u: removed%s%s",
		   r->sid, r->target->name, r->cid,
		   err ? ", without the target's consent: " : "", err ? err->message : "");
	if (err)
		operation_result(r->op, "unconfirmed", "1");
	operation_finish(r->op, NULL);
	operation_unref(r->op);
	object_unref(&r->target->obj);
	g_free(r);
	daemon_release(d);
}

static void set_removal_error(const struct nexus *n, unsigned cid, int errno_value,
			      GError **err)
{
	bool is_last = errno_value == EBUSY;

	error_set_errno(err,
			is_last			? ISDSC_CANT_REMOVE_LAST_CONNECTION
			: errno_value == ENOENT ? ISDSC_INVALID_CONNECTION_ID
						: ISDSC_REMOVE_CONNECTION_IN_PROGRESS,
			errno_value == ENOENT ? ENOENT : EBUSY,
			"%s: session %u: connection %u %s", n->target->name, n->session->sid,
			cid,
			is_last			? "is the last one: log the session out instead"
			: errno_value == ENOENT ? "is not there"
						: "is leaving already");
}

static struct conn *find_conn(const struct session *s, unsigned cid)
{
	for (GList *l = s->conns; l; l = l->next) {
		struct conn *c = l->data;

		if (c->cid == cid)
			return c;
	}
	return NULL;
}

/* One that is lost: 0, or -errno. */
static int remove_lost(struct nexus *n, unsigned cid)
{
	if (revive_wanted_count(n->revive) < 2)
		return revive_has_cid(n->revive, cid) ? -EBUSY : -ENOENT;
	return revive_forget_cid(n->revive, cid) ? 0 : -ENOENT;
}

static int remove_there(struct nexus *n, struct conn *c, struct operation *op)
{
	struct removal *r = g_new0(struct removal, 1);
	int rc = session_remove_connection(n->session, c, on_removed, r);

	if (rc < 0) {
		g_free(r);
		return rc;
	}
	revive_forget(n->revive, c);
	r->target = n->target;
	object_ref(&r->target->obj);
	r->op = operation_ref(op);
	r->sid = n->session->sid;
	r->cid = c->cid;
	daemon_hold(n->target->daemon);
	return 0;
}

void mcs_remove(struct nexus *n, unsigned cid, struct operation *op)
{
	struct conn *c = find_conn(n->session, cid);
	GError *err = NULL;
	int rc;

	operation_where(op, "%s", n->target->name);
	rc = c ? remove_there(n, c, op) : remove_lost(n, cid);
	if (rc == 0 && c)
		return; /* on_removed() follows */
	if (rc < 0)
		set_removal_error(n, cid, -rc, &err);
	operation_finish(op, err);
}

/* ---- which is taken ---- */

void mcs_set_policy(struct nexus *n, enum policy p)
{
	bool is_new = n->session->policy != p;

	session_set_policy(n->session, p);
	policies_set(n->target->daemon->policies, POLICIES_TARGETS, n->target->name, p);
	if (is_new)
		event_emit(n->target->daemon, EVENT_POLICY_CHANGED, "session %u %s: policy %s",
			   n->session->sid, n->target->name, policy_name(p));
}

const char *conn_role_name(const struct conn *c)
{
	return c->lane.is_standby ? "standby" : "active";
}

static void lane_changed(struct conn *c)
{
	struct nexus *n = nexus_of_session(c->session);

	if (!n)
		return;
	revive_remember_lane(n->revive, c);
	event_emit(n->target->daemon, EVENT_POLICY_CHANGED,
		   "session %u %s connection %u: role %s, weight %u", c->session->sid,
		   n->target->name, c->cid, conn_role_name(c), c->lane.weight);
}

void conn_set_role(struct conn *c, bool is_standby)
{
	if (c->lane.is_standby == is_standby)
		return;
	c->lane.is_standby = is_standby;
	lane_changed(c);
}

int conn_set_weight(struct conn *c, unsigned weight)
{
	if (weight > POLICY_WEIGHT_MAX)
		return -EINVAL;
	if (c->lane.weight == weight)
		return 0;
	c->lane.weight = weight;
	lane_changed(c);
	return 0;
}

gboolean mcs_set_paths(struct nexus *n, enum policy p, const char *paths, GError **err)
{
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(uint64_t));
	g_autoptr(GArray) set = pathset_parse(paths, err);

	for (GList *l = n->session->conns; l; l = l->next) {
		uint64_t cid = ((struct conn *)l->data)->cid;

		g_array_append_val(ids, cid);
	}
	if (!set ||
	    !pathset_check(set, p, (const uint64_t *)(void *)ids->data, ids->len, err)) {
		g_prefix_error(err, "%s: session %u: ", n->target->name, n->session->sid);
		return FALSE;
	}
	for (GList *l = n->session->conns; l; l = l->next) {
		struct conn *c = l->data;
		const struct pathset_path *path = pathset_find(set, c->cid);

		conn_set_role(c, path->is_standby);
		if (path->weight >= 0)
			conn_set_weight(c, (unsigned)path->weight);
	}
	return TRUE;
}
