/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of iSNS servers, and the port where they reach us; isns_servers.h is the manual. */
#include "core/initiator_instance.h"
#include "core/isns_servers.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/isns.h"
#include "core/isns_notify.h"
#include "core/options_state.h"

struct isns_server *isns_servers_find(struct discovery *d, const char *name)
{
	for (GList *l = d->isns_servers; l; l = l->next) {
		struct isns_server *s = l->data;

		if (!strcmp(s->name, name))
			return s;
	}
	return NULL;
}

gboolean isns_servers_parse(const char *text, char **ret_host, uint16_t *ret_port, char **ret_name,
			    GError **err)
{
	g_autofree char *host = NULL;
	int tpgt;

	if (text_parse_portal(text, ISNS_DEFAULT_PORT, &host, ret_port, &tpgt) < 0 ||
	    tpgt >= 0) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
				"\"%s\" is no ADDR[:PORT]", text);
		return FALSE;
	}
	*ret_name = text_format_portal(host, *ret_port);
	*ret_host = g_steal_pointer(&host);
	return TRUE;
}

/* What @s knew is no longer so. */
static void drop_instances(struct isns_server *s)
{
	for (GList *l = s->daemon->targets, *next; l; l = next) {
		struct target *t = l->data;

		next = l->next;
		target_drop_instance(t, s->mechanism);
	}
}

/* ---- where they reach us ---- */

static GByteArray *on_told(void *arg, const struct isns_message *m,
			   const struct sockaddr_storage *peer)
{
	return isns_servers_told(arg, m, peer);
}

void isns_servers_listen(struct discovery *d)
{
	g_autoptr(GError) err = NULL;

	if (d->isns_notify)
		return;
	d->isns_notify = isns_notify_new(d->obj.loop, (uint16_t)d->daemon->conf.isns_port, on_told,
					 d, &err);
	if (err)
		log_warning("%s", err->message);
}

uint16_t isns_servers_port(const struct discovery *d)
{
	return d->isns_notify ? isns_notify_port(d->isns_notify) : 0;
}

/* "Are you still there?" (5.6.5.13): the answer has what the question has, after a status. */
static GByteArray *told_esi(struct discovery *d, const struct isns_message *m)
{
	struct isns_cursor c = isns_attrs(m->payload->data, m->payload->len);
	const char *entity = NULL;
	struct isns_attr a;
	GByteArray *reply;
	bool is_ours = false;

	while (isns_next(&c, &a))
		if (a.tag == ISNS_TAG_ENTITY)
			entity = isns_attr_text(&a, 255);
	for (GList *l = d->isns_servers; l && entity && !c.is_bad; l = l->next) {
		const struct isns_registration *r =
			&((const struct isns_server *)l->data)->registered;

		is_ours |= r->entity && !strcmp(r->entity, entity);
	}
	if (!is_ours)
		return NULL;
	reply = isns_begin(ISNS_ESI | ISNS_ANSWER, 0, m->transaction);
	isns_put_status(reply, ISNS_OK);
	return g_byte_array_append(reply, m->payload->data, m->payload->len);
}

static const uint8_t *address_of(const struct sockaddr_storage *ss, uint8_t *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ss->ss_family == AF_INET6)
		return memcpy(out, &((const struct sockaddr_in6 *)(const void *)ss)->sin6_addr, 16);
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + 12, &((const struct sockaddr_in *)(const void *)ss)->sin_addr, 4);
	return out;
}

static bool is_from(const struct isns_server *s, const struct sockaddr_storage *peer)
{
	uint8_t a[16], b[16];

	return !memcmp(address_of(&s->client.peer, a), address_of(peer, b), sizeof(a));
}

/* Of the server at @peer; one with several addresses may use another than we do: then of all. Being
 * told costs a query, and not more often than once in a while. */
static void spread_scn(struct discovery *d, const struct sockaddr_storage *peer, uint32_t bits)
{
	bool is_known = false;

	for (GList *l = d->isns_servers; l; l = l->next)
		is_known |= is_from(l->data, peer);
	for (GList *l = d->isns_servers; l; l = l->next)
		if (!is_known || is_from(l->data, peer))
			isns_scn(l->data, bits);
}

/* 5.6.5.8: our name comes first, then what has changed. */
static GByteArray *told_scn(struct discovery *d, const struct isns_message *m,
			    const struct sockaddr_storage *peer)
{
	struct isns_cursor c = isns_attrs(m->payload->data, m->payload->len);
	const char *to = NULL;
	uint32_t bits = 0, more;
	struct isns_attr a;
	GByteArray *reply;

	while (isns_next(&c, &a)) {
		if (a.tag == ISNS_TAG_NODE && !to) {
			to = isns_attr_text(&a, ISCSI_NAME_MAX);
			if (!to)
				return NULL;
		} else if (a.tag == ISNS_TAG_SCN_BITMAP && isns_attr_number(&a, &more)) {
			bits |= more;
		}
	}
	if (!to || c.is_bad || strcmp(to, d->daemon->initiator->name))
		return NULL;
	spread_scn(d, peer, bits);
	reply = isns_begin(ISNS_SCN | ISNS_ANSWER, 0, m->transaction);
	isns_put_status(reply, ISNS_OK);
	isns_put_text(reply, ISNS_TAG_NODE, to);
	return reply;
}

GByteArray *isns_servers_told(struct discovery *d, const struct isns_message *m,
			      const struct sockaddr_storage *peer)
{
	if (m->function == ISNS_ESI)
		return told_esi(d, m);
	return m->function == ISNS_SCN ? told_scn(d, m, peer) : NULL;
}

void isns_servers_initiator_changed(struct discovery *d)
{
	for (GList *l = d ? d->isns_servers : NULL; l; l = l->next)
		isns_initiator_changed(l->data);
}

/* ---- coming and going ---- */

static struct isns_server *add(struct discovery *d, const char *host, uint16_t port,
			       const struct login_options *options)
{
	struct isns_server *s = isns_new(d->daemon, host, port, options);

	d->isns_servers = g_list_append(d->isns_servers, s);
	return s;
}

struct isns_server *isns_servers_load(struct discovery *d, const char *host, uint16_t port,
				      const struct login_options *options)
{
	struct isns_server *s = add(d, host, port, options);

	isns_refresh_soon(s);
	return s;
}

void isns_servers_left(struct isns_server *s)
{
	struct discovery *d = s->daemon->discovery;

	d->isns_leaving = g_list_remove(d->isns_leaving, s);
}

void isns_servers_take_away(struct isns_server *s, struct operation *op)
{
	struct discovery *d = s->daemon->discovery;

	object_ref(&s->obj);
	d->isns_servers = g_list_remove(d->isns_servers, s);
	drop_instances(s);
	object_gone(&s->obj);
	d->isns_leaving = g_list_prepend(d->isns_leaving, s);
	isns_leave(s, op);
	if (s->state == ISNS_STATE_GONE)
		isns_servers_left(s);
	object_unref(&s->obj);
}

/* add-isns: an inner operation registers and asks; the server goes again when that failed. */
struct addition {
	struct isns_server *server;
	struct operation *op, *refresh;
	bool is_to_be_kept;
};

static void drop_server(struct object *obj)
{
	isns_servers_take_away(container_of(obj, struct isns_server, obj), NULL);
}

static void on_added(struct operation *refresh, void *arg)
{
	struct addition *a = arg;
	struct isns_server *s = a->server;

	operation_step(a->op, NULL, NULL);
	if (refresh->error) {
		if (!s->obj.is_gone)
			isns_servers_take_away(s, NULL);
		operation_finish(a->op, g_error_copy(refresh->error));
	} else {
		g_string_append(a->op->result, refresh->result->str);
		if (a->is_to_be_kept)
			discovery_keep(s->daemon->discovery, &s->obj, &s->is_kept, drop_server,
				       a->op);
		else
			operation_finish(a->op, NULL);
	}
	operation_unref(refresh);
	operation_unref(a->op);
	object_unref(&s->obj);
	g_free(a);
}

static void on_addition_cancel(struct operation *op)
{
	struct addition *a = op->step;

	operation_cancel(a->refresh, ECANCELED);
}

static gboolean check_new(struct discovery *d, const char *name, GError **err)
{
	if (isns_servers_find(d, name)) {
		error_set_errno(err, ISDSC_TARGET_PORTAL_ALREADY_EXISTS, EEXIST,
				"iSNS server %s is there already", name);
		return FALSE;
	}
	return TRUE;
}

void isns_servers_add(struct discovery *d, const struct command *cmd, struct operation *op)
{
	g_autofree char *host = NULL, *name = NULL;
	struct login_options options;
	struct addition *a;
	uint16_t port;
	bool is_kept;
	g_autofree char *way = NULL;
	GError *err = NULL;

	if (!isns_servers_parse(cmd->args[0], &host, &port, &name, &err) ||
	    !check_new(d, name, &err) ||
	    !discovery_take_options(d, cmd, &options, &is_kept, &err)) {
		operation_finish(op, err);
		return;
	}
	if (!initiator_way(d->daemon, &options, &way, &err)) {
		login_options_done(&options);
		operation_finish(op, err);
		return;
	}
	operation_where(op, "discovery/isns/%s", name);
	a = g_new0(struct addition, 1);
	a->server = add(d, host, port, &options);
	object_ref(&a->server->obj);
	a->is_to_be_kept = is_kept;
	a->op = operation_ref(op);
	a->refresh = operation_new(op->loop, on_added, a);
	operation_step(op, on_addition_cancel, a);
	isns_refresh(a->server, a->refresh);
}

/* ---- the other verbs ---- */

static struct isns_server *find(struct discovery *d, const char *text, GError **err)
{
	g_autofree char *host = NULL, *name = NULL;
	struct isns_server *s;
	uint16_t port;

	if (!isns_servers_parse(text, &host, &port, &name, err))
		return NULL;
	s = isns_servers_find(d, name);
	if (!s)
		error_set_errno(err, ISDSC_ISNS_SERVER_NOT_FOUND, ENOENT,
				"there is no iSNS server %s", name);
	return s;
}

/* The record goes first, then the server is left. */
struct removal {
	struct isns_server *server;
	struct operation *op;
};

static void on_forgotten(struct operation *forget, void *arg)
{
	struct removal *r = arg;

	if (forget->error)
		operation_finish(r->op, g_error_copy(forget->error));
	else if (r->server->obj.is_gone) /* meanwhile */
		operation_finish(r->op, NULL);
	else
		isns_servers_take_away(r->server, r->op);
	operation_unref(forget);
	operation_unref(r->op);
	object_unref(&r->server->obj);
	g_free(r);
}

static void nothing(struct object *obj)
{
	(void)obj;
}

void isns_servers_forget(struct isns_server *s, struct operation *op)
{
	struct removal *r = g_new0(struct removal, 1);

	operation_where(op, "discovery/isns/%s", s->name);
	r->server = s;
	object_ref(&s->obj);
	r->op = operation_ref(op);
	discovery_forget(s->daemon->discovery, &s->obj, &s->is_kept, nothing,
			 operation_new(op->loop, on_forgotten, r));
}

void isns_servers_remove(struct discovery *d, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	struct isns_server *s = find(d, cmd->args[0], &err);

	if (s)
		isns_servers_forget(s, op);
	else
		operation_finish(op, err);
}

void isns_servers_refresh(struct discovery *d, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	struct isns_server *s;

	if (!cmd->arg_count) {
		discovery_refresh_isns(d, op);
		return;
	}
	s = find(d, cmd->args[0], &err);
	if (s)
		isns_refresh(s, op);
	else
		operation_finish(op, err);
}

static struct isns_server *to_server(struct object *obj)
{
	return container_of(obj, struct isns_server, obj);
}

static void run_refresh(struct object *obj, const struct command *cmd, struct operation *op)
{
	(void)cmd;
	isns_refresh(to_server(obj), op);
}

static void run_remove(struct object *obj, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;

	(void)cmd;
	if (!obj->is_gone) {
		isns_servers_forget(to_server(obj), op);
		return;
	}
	error_set_errno(&err, ISDSC_ISNS_SERVER_NOT_FOUND, ENODEV, "it is no longer there");
	operation_finish(op, err);
}

const struct verb isns_verbs[] = {
	{ "refresh", "", 0, 0, NULL, NULL, run_refresh, "register anew and ask for targets" },
	{ "remove", "", 0, 0, NULL, NULL, run_remove,
	  "deregister there, forget the server and what only it knows" },
	{ 0 },
};

/* ---- the end ---- */

void isns_servers_shutdown(struct discovery *d)
{
	for (GList *l = d->isns_servers; l; l = l->next)
		isns_leave(l->data, NULL);
}

void isns_servers_drop(struct discovery *d)
{
	while (d->isns_servers) {
		struct isns_server *s = d->isns_servers->data;

		object_ref(&s->obj);
		isns_drop(s);
		isns_servers_take_away(s, NULL);
		object_unref(&s->obj);
	}
	while (d->isns_leaving)
		isns_drop(d->isns_leaving->data);
	isns_notify_free(g_steal_pointer(&d->isns_notify));
}
