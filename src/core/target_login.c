/* SPDX-License-Identifier: BSD-2-Clause */
/* Logging in to a target: the operation behind the verb.
 *
 *   state      true in it                                                 next
 *   DIALLING   @dial resolves, connects, logs in, follows redirects,      SCANNING, (end)
 *              goes on to the next address
 *   SCANNING   the session is a nexus of the target; its units are        (end)
 *              being looked at by @scan, an operation of our own
 *
 * target->logging_in is set from start to end: one login of a target at a time. A login that
 * fails or is cancelled leaves nothing behind: not its session, nor a target made for it.
 *
 * A session that has FAILED is replaced: the new one has the same ISID, so that the target ends
 * what it still has of the old one (RFC 7143 6.3.5) before it takes the first new command. The
 * scan gives the old units the new session's paths, if they are the same units; then the old
 * nexus goes, and with it the units that nobody shows any more. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/dial.h"
#include "core/target.h"

enum login_phase { DIALLING, SCANNING };

struct target_login {
	struct target *target;
	struct operation *op;
	enum login_phase phase;
	struct dial *dial;
	struct operation *scan;
	unsigned sid;
	char *portal;
	uint64_t made_id; /* of the static instance made for this login; 0: none */
};

/* ---- the end ---- */

/* Unless it was removed meanwhile: one entered by hand since then stays. */
static void drop_made(struct target *t, uint64_t made_id)
{
	const struct instance *i = target_find_instance(t, INSTANCE_STATIC_NAME);

	if (i && i->obj.id == made_id)
		target_drop_instance(t, INSTANCE_STATIC_NAME);
}

/* Takes @err; a cancelled operation needs none. */
static void login_end(struct target_login *l, GError *err)
{
	bool is_cancelled = !operation_is_running(l->op);
	struct target *t = l->target;

	t->logging_in = NULL;
	if (l->portal)
		operation_where(l->op, "%s/%s", t->name, l->portal);
	if (err && !is_cancelled)
		log_warning("%s", err->message);
	if (err || is_cancelled)
		drop_made(t, l->made_id);
	operation_step(l->op, NULL, NULL);
	operation_finish(l->op, err);
	operation_unref(l->op);
	if (!t->obj.is_gone)
		target_maybe_gone(t);
	object_unref(&t->obj);
	g_free(l->portal);
	g_free(l);
}

static void replace_failed(struct target *t, const struct nexus *by)
{
	for (GList *k = t->nexuses, *next; k; k = next) {
		struct nexus *n = k->data;

		next = k->next;
		if (n == by || n->session->state != SESSION_FAILED)
			continue;
		log_info("session %u %s is replaced by session %u", n->session->sid, t->name,
			 by->session->sid);
		nexus_remove(n);
	}
}

/* ---- units ---- */

static void succeed(struct target_login *l, const struct nexus *n, const char *units)
{
	const struct conn *c = n->session->conns->data;

	replace_failed(l->target, n);
	operation_result(l->op, "session", "%u", l->sid);
	operation_result(l->op, "connection", "%u", c->cid);
	operation_result(l->op, "portal", "%s", l->portal);
	g_string_append(l->op->result, units);
	log_info("%s: logged in via %s as session %u", l->target->name, l->portal, l->sid);
}

static void on_scanned(struct operation *scan, void *arg)
{
	struct target_login *l = arg;
	struct nexus *n = target_find_nexus(l->target, l->sid);
	GError *err = NULL;

	if (scan->error)
		err = g_error_copy(scan->error);
	else if (!n || n->session->state != SESSION_LOGGED_IN)
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, EIO,
				"%s: login via %s: the session was lost right after it",
				l->target->name, l->portal);
	/* Came to nothing: at once, since a target that is asked for a logout may be slow. */
	if (n && (err || !operation_is_running(l->op)))
		nexus_remove(n);
	else if (!err)
		succeed(l, n, scan->result->str);
	operation_unref(scan);
	login_end(l, err);
}

static void on_dialled(void *arg, struct session *s, const char *portal, const GError *err)
{
	struct target_login *l = arg;
	struct nexus *n;

	l->dial = NULL;
	l->portal = g_strdup(portal);
	if (err) {
		login_end(l, g_error_copy(err));
		return;
	}
	n = nexus_new(l->target, s, portal);
	l->sid = s->sid;
	l->phase = SCANNING;
	l->scan = operation_new(l->op->loop, on_scanned, l);
	lun_scan(n, l->scan);
}

static void on_cancel(struct operation *op)
{
	struct target_login *l = op->step;

	if (l->phase == SCANNING) {
		operation_cancel(l->scan, ECANCELED); /* on_scanned() follows */
		return;
	}
	dial_cancel(l->dial);
	login_end(l, NULL);
}

/* ---- the beginning ---- */

/* The verdict on the sessions there are; the one that is to be replaced, if any. */
static gboolean check_sessions(const struct target *t, const struct nexus **ret_failed,
			       GError **err)
{
	const struct nexus *failed = NULL;

	for (GList *k = t->nexuses; k; k = k->next) {
		const struct nexus *n = k->data;

		if (n->is_logging_out) {
			error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY,
					"%s: session %u is being logged out", t->name,
					n->session->sid);
			return FALSE;
		}
		if (n->session->state != SESSION_FAILED) {
			error_set_errno(err, ISDSC_TARGET_ALREADY_LOGGED_IN, EEXIST,
					"%s: logged in already, session %u", t->name,
					n->session->sid);
			return FALSE;
		}
		failed = n;
	}
	*ret_failed = failed;
	return TRUE;
}

static gboolean may_log_in(const struct target *t, const struct nexus **ret_failed,
			   GError **err)
{
	if (t->daemon->is_shutting_down) {
		error_set_errno(err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"%s: the daemon is shutting down", t->name);
		return FALSE;
	}
	if (t->logging_in) {
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY, "%s: a login is under way",
				t->name);
		return FALSE;
	}
	return check_sessions(t, ret_failed, err);
}

static bool instance_has_portal(const struct instance *i, const struct target_portal *p)
{
	for (unsigned k = 0; k < i->portals->len; k++) {
		const struct target_portal *q =
			&g_array_index(i->portals, struct target_portal, k);

		if (q->port == p->port && !strcmp(q->host, p->host))
			return true;
	}
	return false;
}

/* By priority (B5); one that knows the portal that was named goes before the others. */
static const struct instance *pick_instance(const struct target *t,
					    const struct target_portal *named)
{
	for (GList *k = t->instances; named->host && k; k = k->next)
		if (instance_has_portal(k->data, named))
			return k->data;
	return t->instances ? t->instances->data : NULL;
}

/* What to do: portals and options by B6. Wiped by plan_done(). */
struct plan {
	struct target_portal named; /* host NULL: none was */
	const struct target_portal *portals;
	unsigned count;
	struct login_options options;
	struct session_config session;
};

static void plan_done(struct plan *p)
{
	g_free(p->named.host);
	login_options_done(&p->options);
	session_config_done(&p->session);
}

static gboolean plan_portals(struct plan *p, const struct target *t, const struct instance *i,
			     GError **err)
{
	if (p->named.host) {
		p->portals = &p->named;
		p->count = 1;
	} else if (i && i->portals->len) {
		p->portals = (const struct target_portal *)(void *)i->portals->data;
		p->count = i->portals->len;
	} else {
		error_set(err, ISDSC_NO_PORTAL_SPECIFIED, "%s: no portal to log in by",
			  t->name);
		return FALSE;
	}
	return TRUE;
}

/* A over B over C: what was given now, the instance that is used, the static target. */
static gboolean plan_make(struct plan *p, struct target *t, const struct command *cmd,
			  const struct nexus *failed, GError **err)
{
	const struct instance *fixed = target_find_instance(t, INSTANCE_STATIC_NAME), *i;
	const char *address;

	if (!login_options_from(&p->options, cmd, err))
		return FALSE;
	address = login_option(&p->options, "portal");
	if (address && text_parse_portal(address, ISCSI_DEFAULT_PORT, &p->named.host,
					 &p->named.port, &p->named.tpgt) < 0) {
		error_set(err, ISDSC_INVALID_PARAMETER, "\"%s\" is no ADDR[:PORT]", address);
		return FALSE;
	}
	i = pick_instance(t, &p->named);
	if (i)
		login_options_merge(&p->options, &i->options);
	if (fixed)
		login_options_merge(&p->options, &fixed->options);
	if (!plan_portals(p, t, i, err) ||
	    !login_options_config(&p->options, t->daemon, t->name, &p->session, err))
		return FALSE;
	if (failed)
		memcpy(p->session.isid, failed->session->config.isid, sizeof(p->session.isid));
	return TRUE;
}

static void login_start(struct target *t, const struct command *cmd, struct operation *op,
			uint64_t made_id)
{
	const struct nexus *failed = NULL;
	struct target_login *l;
	struct plan plan = { 0 };
	GError *err = NULL;

	operation_where(op, "%s", t->name);
	if (!may_log_in(t, &failed, &err) || !plan_make(&plan, t, cmd, failed, &err)) {
		plan_done(&plan);
		drop_made(t, made_id);
		operation_finish(op, err);
		return;
	}
	l = g_new0(struct target_login, 1);
	l->target = t;
	object_ref(&t->obj);
	l->op = operation_ref(op);
	l->made_id = made_id;
	t->logging_in = op;
	operation_step(op, on_cancel, l);
	l->dial = dial_start(
		&(struct dial_config){ .daemon = t->daemon,
				       .who = t->name,
				       .session = &plan.session,
				       .portals = plan.portals,
				       .count = plan.count,
				       .source = login_option(&plan.options, "source") },
		on_dialled, l);
	plan_done(&plan);
}

void target_login(struct target *t, const struct command *cmd, struct operation *op)
{
	login_start(t, cmd, op, 0);
}

/* A static instance made of the portal that was given: the target was not known. */
static struct target *make_target(struct daemon *d, const char *name, const char *address,
				  GError **err)
{
	g_autofree char *host = NULL;
	struct target_portal p;
	struct target *t;

	if (!address) {
		error_set_errno(err, ISDSC_TARGET_NOT_FOUND, ENOENT,
				"%s is not known; with portal=ADDR[:PORT] it need not be",
				name);
		return NULL;
	}
	if (text_parse_portal(address, ISCSI_DEFAULT_PORT, &host, &p.port, &p.tpgt) < 0) {
		error_set(err, ISDSC_INVALID_PARAMETER, "\"%s\" is no ADDR[:PORT]", address);
		return NULL;
	}
	p.host = host;
	t = target_get(d, name);
	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, &p, 1, NULL);
	return t;
}

void target_login_by_name(struct daemon *d, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	g_autofree char *name = text_iscsi_name(cmd->args[0], &err);
	struct target *t = name ? target_find(d, name) : NULL;

	if (t) {
		login_start(t, cmd, op, 0);
		return;
	}
	if (name)
		t = make_target(d, name, command_key(cmd, "portal"), &err);
	if (t)
		login_start(t, cmd, op, target_find_instance(t, INSTANCE_STATIC_NAME)->obj.id);
	else
		operation_finish(op, err);
}
