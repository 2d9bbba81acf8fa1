/* SPDX-License-Identifier: BSD-2-Clause */
/* The sources of targets: portals added, removed and refreshed (portal.c does one refresh). Targets
 * entered by hand are in static_target.c. */
#include "core/discovery.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/firmware.h"
#include "core/isns.h"
#include "core/isns_servers.h"
#include "core/options_state.h"

static void discovery_free(struct object *o)
{
	object_done(o);
	g_free(container_of(o, struct discovery, obj));
}

struct discovery *discovery_new(struct daemon *d)
{
	struct discovery *y = g_new0(struct discovery, 1);

	object_init(&y->obj, d->loop, OBJECT_DISCOVERY, discovery_free);
	y->daemon = d;
	return y;
}

void discovery_shutdown(struct discovery *d)
{
	for (GList *l = d->portals; l; l = l->next) {
		struct portal *p = l->data;

		p->retry_ms = 0;
		loop_timer_stop(&p->retry);
		if (p->running)
			operation_cancel(p->running, EBUSY);
	}
	isns_servers_shutdown(d);
}

/* ---- changes that are kept ---- */

/* A change and its saving. What is added is there already and goes again when it cannot be saved;
 * what is to go is still there, and stays then. */
struct change {
	struct discovery *discovery;
	struct object *obj;
	bool *is_kept; /* of @obj */
	bool was_kept;
	void (*undo)(struct object *obj);  /* of an addition; NULL: it is a removal */
	void (*carry_out)(struct object *obj); /* of a removal */
	struct operation *op;
};

static void change_failed(struct change *c)
{
	if (c->undo) {
		*c->is_kept = false;
		c->undo(c->obj);
	} else if (c->was_kept) {
		*c->is_kept = true;
	}
	/* A file that another change had written meanwhile may tell otherwise. */
	discovery_save(c->discovery, NULL);
}

static void on_change_saved(struct operation *save, void *arg)
{
	struct change *c = arg;

	if (!c->obj->is_gone && save->error)
		change_failed(c);
	else if (!c->obj->is_gone && c->carry_out)
		c->carry_out(c->obj);
	operation_finish(c->op, save->error ? g_error_copy(save->error) : NULL);
	operation_unref(c->op);
	operation_unref(save);
	object_unref(c->obj);
	object_unref(&c->discovery->obj);
	g_free(c);
}

/* @carry_out NULL: @obj is to be kept from now on; else no more. */
static void save_change(struct discovery *d, struct object *obj, bool *is_kept,
			void (*undo)(struct object *), void (*carry_out)(struct object *),
			struct operation *op)
{
	struct change *c = g_new0(struct change, 1);
	struct operation *save = operation_new(d->obj.loop, on_change_saved, c);

	object_ref(&d->obj);
	*c = (struct change){ .discovery = d,
			      .obj = object_ref(obj),
			      .is_kept = is_kept,
			      .was_kept = *is_kept,
			      .undo = undo,
			      .carry_out = carry_out,
			      .op = operation_ref(op) };
	*is_kept = !carry_out;
	operation_step(op, NULL, NULL);
	discovery_save(d, save);
}

void discovery_keep(struct discovery *d, struct object *obj, bool *is_kept,
		    void (*undo)(struct object *obj), struct operation *op)
{
	save_change(d, obj, is_kept, undo, NULL, op);
}

void discovery_forget(struct discovery *d, struct object *obj, bool *is_kept,
		      void (*carry_out)(struct object *obj), struct operation *op)
{
	if (!*is_kept && !d->is_saving) {
		carry_out(obj);
		operation_finish(op, NULL);
		return;
	}
	save_change(d, obj, is_kept, NULL, carry_out, op);
}

/* ---- portals ---- */

static void portal_free(struct object *o)
{
	struct portal *p = container_of(o, struct portal, obj);

	loop_timer_done(&p->retry);
	login_options_done(&p->options);
	g_free(p->host);
	g_free(p->name);
	g_free(p->mechanism);
	object_done(o);
	g_free(p);
}

struct portal *discovery_find(struct discovery *d, const char *name)
{
	for (GList *l = d->portals; l; l = l->next) {
		struct portal *p = l->data;

		if (!strcmp(p->name, name))
			return p;
	}
	return NULL;
}

gboolean portal_parse(const char *text, char **ret_host, uint16_t *ret_port, char **ret_name,
		      GError **err)
{
	char *host;
	int tpgt;

	if (text_parse_portal(text, ISCSI_DEFAULT_PORT, &host, ret_port, &tpgt) < 0) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
				"\"%s\" is no ADDR[:PORT]", text);
		return FALSE;
	}
	if (tpgt >= 0) {
		error_set_errno(err, ISDSC_INVALID_PARAMETER, EINVAL,
				"\"%s\": a discovery portal has no group tag", text);
		g_free(host);
		return FALSE;
	}
	*ret_host = host;
	*ret_name = text_format_portal(host, *ret_port);
	return TRUE;
}

/* What was kept is asked again and again until it has answered once; from then on whoever wants to
 * know asks. */
#define RETRY_FIRST_MS 1000
#define RETRY_LAST_MS 60000

static void on_retried(struct operation *refresh, void *arg)
{
	struct portal *p = arg;

	if (refresh->error && p->retry_ms && !p->obj.is_gone) {
		if (p->retry_ms == RETRY_FIRST_MS)
			log_warning("%s; it is tried again", refresh->error->message);
		object_fail(&p->obj, "refresh", refresh->error);
		loop_timer_start(&p->retry, p->retry_ms);
		p->retry_ms = MIN(2 * p->retry_ms, RETRY_LAST_MS);
	}
	operation_unref(refresh);
	object_unref(&p->obj);
}

static void on_retry_timer(struct loop_timer *timer)
{
	struct portal *p = container_of(timer, struct portal, retry);

	if (p->last_ok_us) {
		p->retry_ms = 0;
		return;
	}
	if (!p->retry_ms)
		p->retry_ms = RETRY_FIRST_MS;
	object_ref(&p->obj);
	portal_refresh(p, operation_new(p->obj.loop, on_retried, p));
}

struct portal *portal_new(struct discovery *d, const char *host, uint16_t port,
			  const struct login_options *options)
{
	struct portal *p = g_new0(struct portal, 1);

	object_init(&p->obj, d->obj.loop, OBJECT_PORTAL, portal_free);
	p->daemon = d->daemon;
	p->host = g_strdup(host);
	p->port = port;
	p->name = text_format_portal(host, port);
	p->mechanism = g_strdup_printf("sendtargets:%s", p->name);
	p->options = *options;
	loop_timer_init(d->obj.loop, &p->retry, on_retry_timer);
	d->portals = g_list_append(d->portals, p);
	return p;
}

/* add-portal: an inner operation discovers; the portal goes again when that failed. */
struct addition {
	struct portal *portal;
	struct operation *op, *refresh;
	bool is_to_be_kept;
};

static void drop_portal(struct object *obj)
{
	portal_remove(container_of(obj, struct portal, obj));
}

static void on_added(struct operation *refresh, void *arg)
{
	struct addition *a = arg;

	operation_step(a->op, NULL, NULL);
	if (refresh->error) {
		if (operation_is_running(a->op))
			log_warning("%s", refresh->error->message);
		if (!a->portal->obj.is_gone)
			portal_remove(a->portal);
		operation_finish(a->op, g_error_copy(refresh->error));
	} else {
		g_string_append(a->op->result, refresh->result->str);
		if (a->is_to_be_kept)
			save_change(a->portal->daemon->discovery, &a->portal->obj,
				    &a->portal->is_kept, drop_portal, NULL, a->op);
		else
			operation_finish(a->op, NULL);
	}
	operation_unref(refresh);
	operation_unref(a->op);
	object_unref(&a->portal->obj);
	g_free(a);
}

static void on_addition_cancel(struct operation *op)
{
	struct addition *a = op->step;

	operation_cancel(a->refresh, ECANCELED);
}

static gboolean check_new_portal(struct discovery *d, const char *name, GError **err)
{
	if (discovery_find(d, name)) {
		error_set_errno(err, ISDSC_TARGET_PORTAL_ALREADY_EXISTS, EEXIST,
				"discovery portal %s is there already", name);
		return FALSE;
	}
	return TRUE;
}

gboolean discovery_take_options(struct discovery *d, const struct command *cmd,
				struct login_options *ret, bool *ret_is_kept, GError **err)
{
	bool is_kept = command_bool(cmd, "persist", true);
	struct login_options options;
	GError *why = NULL;

	if (!login_options_from(&options, cmd, &why)) {
		login_options_tell(d->daemon, why);
		g_propagate_error(err, why);
		return FALSE;
	}
	if (is_kept && !login_options_may_save(&options, d->daemon, err)) {
		login_options_done(&options);
		return FALSE;
	}
	*ret = options;
	*ret_is_kept = is_kept;
	return TRUE;
}

void discovery_add_portal(struct discovery *d, const struct command *cmd, struct operation *op)
{
	g_autofree char *host = NULL, *name = NULL;
	struct login_options options;
	struct addition *a;
	uint16_t port;
	bool is_kept;
	GError *err = NULL;

	if (!portal_parse(cmd->args[0], &host, &port, &name, &err) ||
	    !check_new_portal(d, name, &err) ||
	    !discovery_take_options(d, cmd, &options, &is_kept, &err)) {
		operation_finish(op, err);
		return;
	}
	operation_where(op, "discovery/portals/%s", name);
	a = g_new0(struct addition, 1);
	a->portal = portal_new(d, host, port, &options);
	object_ref(&a->portal->obj);
	a->is_to_be_kept = is_kept;
	a->op = operation_ref(op);
	a->refresh = operation_new(op->loop, on_added, a);
	operation_step(op, on_addition_cancel, a);
	portal_refresh(a->portal, a->refresh);
}

static struct portal *find_portal(struct discovery *d, const char *text, GError **err)
{
	g_autofree char *host = NULL, *name = NULL;
	struct portal *p;
	uint16_t port;

	if (!portal_parse(text, &host, &port, &name, err))
		return NULL;
	p = discovery_find(d, name);
	if (!p)
		error_set_errno(err, ISDSC_PORTAL_NOT_FOUND, ENOENT,
				"there is no discovery portal %s", name);
	return p;
}

void discovery_remove_portal(struct discovery *d, const struct command *cmd,
			     struct operation *op)
{
	GError *err = NULL;
	struct portal *p = find_portal(d, cmd->args[0], &err);

	if (p)
		discovery_forget_portal(p, op);
	else
		operation_finish(op, err);
}

void discovery_forget_portal(struct portal *p, struct operation *op)
{
	discovery_forget(p->daemon->discovery, &p->obj, &p->is_kept, drop_portal, op);
}

void discovery_refresh_portal(struct discovery *d, const struct command *cmd,
			      struct operation *op)
{
	GError *err = NULL;
	struct portal *p = find_portal(d, cmd->args[0], &err);

	if (p)
		portal_refresh(p, op);
	else
		operation_finish(op, err);
}

/* ---- all portals, all iSNS servers, the firmware ---- */

struct sweep {
	struct daemon *daemon;
	struct operation *op;
	unsigned portals, isns, failed;
	bool has_firmware_failed; /* it counts only then */
	GList *running; /* of struct sweep_part * */
	GError *first;
	bool is_starting;
};

struct sweep_part {
	struct sweep *sweep;
	struct object *source; /* portal, iSNS server, firmware */
	struct operation *op;
};

static const char *sources_name(const struct sweep *s)
{
	if (s->has_firmware_failed)
		return "sources";
	if (!s->isns)
		return "portals";
	return s->portals ? "portals and iSNS servers" : "iSNS servers";
}

static void sweep_end(struct sweep *s)
{
	GError *err = NULL;
	unsigned total;

	if (s->running || s->is_starting)
		return;
	total = s->portals + s->isns + s->has_firmware_failed;
	if (s->failed && total == 1)
		err = g_error_copy(s->first);
	else if (s->failed)
		error_set_errno(&err, ISDSC_OPERATION_NOT_ALL_SUCCESS, error_errno(s->first),
				"%u of %u %s failed; %s", s->failed, total, sources_name(s),
				s->first->message);
	operation_step(s->op, NULL, NULL);
	operation_result(s->op, "portals", "%u", s->portals);
	if (s->isns)
		operation_result(s->op, "isns", "%u", s->isns);
	operation_result(s->op, "targets", "%u", target_count_shown(s->daemon));
	operation_finish(s->op, err);
	operation_unref(s->op);
	g_clear_error(&s->first);
	g_free(s);
}

static void on_part_done(struct operation *op, void *arg)
{
	struct sweep_part *part = arg;
	struct sweep *s = part->sweep;

	s->running = g_list_remove(s->running, part);
	if (op->error) {
		s->failed++;
		s->has_firmware_failed |= part->source->kind == OBJECT_FIRMWARE;
		if (!s->first)
			s->first = g_error_copy(op->error);
		if (operation_is_running(s->op) && part->source->kind == OBJECT_PORTAL)
			log_warning("%s", op->error->message);
		if (part->source->kind != OBJECT_ISNS) /* that sees to it itself */
			object_fail(part->source, "refresh", op->error);
	}
	operation_unref(op);
	object_unref(part->source);
	g_free(part);
	sweep_end(s);
}

static void on_sweep_cancel(struct operation *op)
{
	struct sweep *s = op->step;

	for (GList *l = s->running; l; l = l->next)
		operation_cancel(((struct sweep_part *)l->data)->op, ECANCELED);
}

/* The operation of one of them. */
static struct operation *sweep_part(struct sweep *s, struct object *source)
{
	struct sweep_part *part = g_new0(struct sweep_part, 1);

	part->sweep = s;
	part->source = object_ref(source);
	part->op = operation_new(s->op->loop, on_part_done, part);
	s->running = g_list_prepend(s->running, part);
	return part->op;
}

static struct sweep *sweep_begin(struct discovery *d, struct operation *op)
{
	struct sweep *s = g_new0(struct sweep, 1);

	s->daemon = d->daemon;
	s->op = operation_ref(op);
	s->is_starting = true;
	operation_step(op, on_sweep_cancel, s);
	return s;
}

static void sweep_isns(struct sweep *s)
{
	for (GList *l = s->daemon->discovery->isns_servers; l; l = l->next) {
		struct isns_server *i = l->data;

		s->isns++;
		isns_refresh(i, sweep_part(s, &i->obj));
	}
}

static void sweep_go(struct sweep *s)
{
	s->is_starting = false;
	sweep_end(s);
}

void discovery_refresh_isns(struct discovery *d, struct operation *op)
{
	struct sweep *s = sweep_begin(d, op);

	sweep_isns(s);
	sweep_go(s);
}

void discovery_refresh_all(struct discovery *d, struct operation *op)
{
	struct sweep *s = sweep_begin(d, op);

	for (GList *l = d->portals; l; l = l->next) {
		struct portal *p = l->data;

		if (p->refresh) /* it is being done already */
			continue;
		s->portals++;
		portal_refresh(p, sweep_part(s, &p->obj));
	}
	sweep_isns(s);
	firmware_refresh(d->firmware, sweep_part(s, &d->firmware->obj));
	sweep_go(s);
}
