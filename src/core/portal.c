/* SPDX-License-Identifier: BSD-2-Clause */
/* SendTargets portals: one discovery session for each refresh.
 *
 *   refresh state  true in it                                          next
 *   DIALLING       a discovery session is being made: @dial            ASKING, (end)
 *   ASKING         SendTargets=All was sent by @session                LEAVING, (end)
 *   LEAVING        the answer is known; the logout is under way        (end)
 *
 * portal->refresh is set from start to end, and the portal is BUSY meanwhile. The session's
 * callbacks come exactly once each, also after a cancel: it only closes the session then, lets
 * go of portal and operation, and the refresh ends with the callback. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/dial.h"
#include "core/discovery.h"
#include "core/event.h"
#include "core/found.h"
#include "core/initiator_instance.h"

#define EVENT_DISCOVERY_TIMEOUT 46 /* of the guide */

enum refresh_state { REFRESH_DIALLING, REFRESH_ASKING, REFRESH_LEAVING };

struct refresh {
	struct daemon *daemon;
	struct portal *portal; /* NULL: cancelled */
	struct operation *op;
	enum refresh_state state;
	struct dial *dial;
	struct session *session;
	GPtrArray *found;
	GError *error;
};

const char *portal_state_name(const struct portal *p)
{
	static const char *const names[] = {
		[PORTAL_NEVER] = "never",
		[PORTAL_OK] = "ok",
		[PORTAL_FAILED] = "failed",
		[PORTAL_BUSY] = "busy",
	};

	return names[p->state];
}

/* ---- what was found ---- */

static void report_bad(struct portal *p, const GPtrArray *bad)
{
	for (unsigned i = 0; i < bad->len; i++) {
		g_autofree char *text =
			g_strdup_printf("discovery at %s: not understood and passed over: %s",
					p->name, (const char *)bad->pdata[i]);

		log_warning("%s", text);
		object_fail_text(&p->obj, "refresh", ISDSC_INVALID_SENDTARGETS_TEXT, EPROTO, text);
	}
}

static void set_instance(struct portal *p, struct found *found, const struct found_target *f)
{
	struct target_portal asked = { .host = p->host, .port = p->port, .tpgt = -1 };
	struct instance *i;

	if (f->portals->len)
		i = found_add(found, f->name,
			      (const struct target_portal *)(void *)f->portals->data,
			      f->portals->len, &p->options);
	else
		i = found_add(found, f->name, &asked, 1, &p->options);
	instance_set_alias(i, f->alias);
}

/* What @p knew is no longer so. */
static void drop_instances(struct portal *p)
{
	for (GList *l = p->daemon->targets, *next; l; l = next) {
		struct target *t = l->data;

		next = l->next;
		target_drop_instance(t, p->mechanism);
	}
}

static void take_found(struct portal *p, const GPtrArray *found)
{
	g_autofree char *who = g_strdup_printf("discovery at %s", p->name);
	struct found all;

	found_begin(&all, p->daemon, p->mechanism, INSTANCE_SENDTARGETS, who);
	for (unsigned i = 0; i < found->len; i++)
		set_instance(p, &all, found->pdata[i]);
	found_end(&all);
	p->targets_found = found->len;
	p->last_ok_us = g_get_real_time();
	log_info("discovery at %s: %u targets", p->name, found->len);
}

/* ---- a refresh ---- */

static void refresh_free(struct refresh *r)
{
	if (r->session) {
		session_close(r->session);
		object_gone(&r->session->obj);
	}
	if (r->found)
		g_ptr_array_unref(r->found);
	g_clear_error(&r->error);
	daemon_release(r->daemon);
	g_free(r);
}

/* The portal and the operation get the outcome, and are let go. */
static void refresh_tell(struct refresh *r)
{
	struct portal *p = r->portal;

	r->portal = NULL;
	p->refresh = NULL;
	p->running = NULL;
	if (r->error) {
		p->state = PORTAL_FAILED;
		event_emit(r->daemon, EVENT_SENDTARGETS_FAILED, "%s", r->error->message);
	} else {
		p->state = PORTAL_OK;
		take_found(p, r->found);
		operation_result(r->op, "targets", "%u", p->targets_found);
	}
	operation_where(r->op, "discovery/portals/%s", p->name);
	operation_step(r->op, NULL, NULL);
	operation_finish(r->op, g_steal_pointer(&r->error));
	operation_unref(r->op);
	object_unref(&p->obj);
}

static void refresh_end(struct refresh *r)
{
	if (r->portal)
		refresh_tell(r);
	refresh_free(r);
}

static void on_logged_out(struct session *s, const GError *err, void *arg)
{
	(void)s;
	(void)err; /* it has told all that we wanted */
	refresh_end(arg);
}

static bool is_code(const GError *err, enum isdsc code)
{
	return g_error_matches(err, ERROR_ISDSC, (int)code);
}

/* What is wrong with the answer, or that there was none. */
static void tell_answer(struct refresh *r)
{
	bool is_name = is_code(r->error, ISDSC_INVALID_ISCSI_NAME);
	GError *told = NULL;

	if (is_name)
		event_emit(r->daemon, EVENT_INVALID_NAME, "%s", r->error->message);
	if (is_name || is_code(r->error, ISDSC_INVALID_SENDTARGETS_TEXT))
		event_emit(r->daemon, EVENT_SENDTARGETS_INVALID, "%s", r->error->message);
	else if (error_errno(r->error) == ETIMEDOUT)
		event_emit(r->daemon, EVENT_DISCOVERY_TIMEOUT, "%s", r->error->message);
	if (!is_name)
		return;
	error_set_errno(&told, ISDSC_INVALID_SENDTARGETS_TEXT, EPROTO, "%s", r->error->message);
	g_clear_error(&r->error);
	r->error = told;
}

static void on_answer(struct session *s, const GByteArray *answer, const GError *err, void *arg)
{
	struct refresh *r = arg;
	g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func(g_free);

	if (!r->portal) {
		refresh_end(r);
		return;
	}
	if (err)
		r->error = g_error_copy(err);
	else
		r->found = sendtargets_parse(answer->data, answer->len, bad, &r->error);
	if (r->error && g_str_has_prefix(r->error->message, r->portal->name))
		g_prefix_error(&r->error, "discovery at ");
	else if (r->error)
		g_prefix_error(&r->error, "discovery at %s: ", r->portal->name);
	if (r->error)
		tell_answer(r);
	report_bad(r->portal, bad);
	r->state = REFRESH_LEAVING;
	if (session_logout(s, on_logged_out, r) < 0)
		refresh_end(r);
}

static void on_dialled(void *arg, const struct dial_result *result)
{
	static const char request[] = "SendTargets=All";
	struct refresh *r = arg;
	int rc;

	r->dial = NULL;
	if (result->error) {
		dial_emit(r->daemon, result, "");
		r->error = g_error_copy(result->error);
		refresh_end(r);
		return;
	}
	r->session = result->session;
	r->state = REFRESH_ASKING;
	rc = session_text(r->session, request, sizeof(request), on_answer, r);
	if (rc == 0)
		return;
	error_set_errno(&r->error, ISDSC_CONNECTION_FAILED, -rc, "discovery at %s: %s",
			r->portal->name, g_strerror(-rc));
	refresh_end(r);
}

static void refresh_cancel(struct refresh *r)
{
	GError *err = NULL;
	bool is_called_back = r->state != REFRESH_DIALLING;

	error_set_errno(&err, ISDSC_PORTAL_NOT_FOUND, ENODEV,
			"discovery at %s: the portal was removed", r->portal->name);
	g_clear_error(&r->error);
	r->error = err;
	refresh_tell(r);
	if (is_called_back) {
		session_close(r->session);
	} else {
		dial_cancel(r->dial);
		refresh_free(r);
	}
}

/* Why is known to the operation already, but not what of. */
static void on_cancel(struct operation *op)
{
	struct refresh *r = op->step;

	g_prefix_error(&op->error, "discovery at %s: ", r->portal->name);
	refresh_cancel(r);
}

static gboolean may_refresh(const struct portal *p, GError **err)
{
	if (p->daemon->is_shutting_down)
		error_set_errno(err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"discovery at %s: the daemon is shutting down", p->name);
	else if (p->refresh)
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY,
				"discovery at %s: one is under way", p->name);
	else
		return TRUE;
	return FALSE;
}

void portal_refresh(struct portal *p, struct operation *op)
{
	struct dial_portal portal = { p->host, p->port, NULL };
	g_autofree char *way = NULL;
	struct session_config config;
	struct refresh *r;
	GError *err = NULL;

	operation_where(op, "discovery/portals/%s", p->name);
	if (!may_refresh(p, &err) || !initiator_way(p->daemon, &p->options, &way, &err) ||
	    !login_options_config(&p->options, p->daemon, NULL, &config, &err)) {
		operation_finish(op, err);
		return;
	}
	portal.source = way;
	r = g_new0(struct refresh, 1);
	r->daemon = p->daemon;
	daemon_hold(r->daemon);
	r->portal = p;
	object_ref(&p->obj);
	r->op = operation_ref(op);
	p->refresh = r;
	p->running = op;
	p->state = PORTAL_BUSY;
	operation_step(op, on_cancel, r);
	r->dial = dial_start(&(struct dial_config){ .daemon = p->daemon,
						    .who = "discovery",
						    .session = &config,
						    .portals = &portal,
						    .count = 1 },
			     on_dialled, r);
	session_config_done(&config);
}

void portal_remove(struct portal *p)
{
	struct discovery *d = p->daemon->discovery;

	p->retry_ms = 0;
	loop_timer_stop(&p->retry);
	if (p->refresh)
		refresh_cancel(p->refresh);
	d->portals = g_list_remove(d->portals, p);
	drop_instances(p);
	object_gone(&p->obj);
}
