/* SPDX-License-Identifier: BSD-2-Clause */
/* Logging in to a target: the operation behind the verb.
 *
 *   state      true in it                                                 next
 *   DIALLING   @dial resolves, connects, logs in, follows redirects,      SCANNING, (end)
 *              goes on to the next address
 *   SCANNING   the session is a nexus of the target; its units are        ATTACHING,
 *              being looked at by @scan, an operation of our own          (end)
 *   ATTACHING  with expose=block: its units are getting loop devices;     (end)
 *              @scan waits for that. What fails there, does not fail it;
 *              who cancels it just does not wait
 *
 * target->logging_in is set from start to end: one login of a target at a time. A login that
 * fails, or is cancelled before ATTACHING, leaves nothing behind: not its session, nor a target
 * made for it.
 *
 * What a login does with the sessions that there are (C5; judge()):
 *   none                          it makes the first
 *   all multipath, and so is it   it makes a further one, by a portal that is not in use
 *   one is up                     EEXIST
 *   all are being brought back    without keys, it waits for that, which is tried at once; with
 *                                 keys (a new secret, another portal), it replaces the session
 *
 * A session is replaced by one with the same ISID, so that the target ends what it still has of
 * the old one (RFC 7143 6.3.5) before it takes the first new command; the old one is not
 * brought back meanwhile. The scan gives the old units the new session's paths, if they are the
 * same units; then the old nexus goes, and with it the units that nobody shows any more. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/dial.h"
#include "core/event.h"
#include "core/hop.h"
#include "core/initiator_instance.h"
#include "core/logins.h"
#include "core/options_state.h"
#include "core/revive.h"
#include "core/target.h"

enum login_phase { DIALLING, SCANNING, ATTACHING };

struct target_login {
	struct target *target;
	struct operation *op;
	enum login_phase phase;
	struct dial *dial;
	struct operation *scan;
	unsigned sid;
	unsigned replaces;  /* sid of the session that goes when this succeeds; 0: none */
	char *way;	    /* out of this host: initiator_instance.h; NULL: any */
	char *portal;	    /* logged in by */
	char *original;	    /* ... sent there by; the same, but for redirects */
	bool is_named;	    /* by a person */
	GPtrArray *portals; /* of char *: those that are dialled */
	struct login_options options;
	struct login_options given; /* of these, by who asked */
	enum expose expose;
	struct mapping *mapping; /* NULL: none, or the nexus has it */
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

static struct nexus *replaced(const struct target_login *l)
{
	return l->replaces ? target_find_nexus(l->target, l->replaces) : NULL;
}

static void target_login_free(struct target_login *l)
{
	g_free(l->way);
	g_free(l->portal);
	g_free(l->original);
	g_ptr_array_unref(l->portals);
	mapping_free(l->mapping);
	login_options_done(&l->options);
	login_options_done(&l->given);
	operation_unref(l->op);
	object_unref(&l->target->obj);
	g_free(l);
}

static bool is_yes(const struct login_options *o, const char *key)
{
	const char *value = login_option(o, key);
	bool is = false;

	return value && text_parse_bool(value, &is) == 0 && is;
}

/* Takes @err; a cancelled operation needs none. */
static void login_end(struct target_login *l, GError *err)
{
	/* Cancelled while its units are attached: only the waiting ends. */
	bool has_failed = l->phase != ATTACHING && (err || !operation_is_running(l->op));
	struct target *t = l->target;

	t->logging_in = NULL;
	if (l->portal)
		operation_where(l->op, "%s/%s", t->name, l->portal);
	if (has_failed && replaced(l))
		revive_resume(replaced(l)->revive);
	if (has_failed)
		drop_made(t, l->made_id);
	operation_step(l->op, NULL, NULL);
	if (!has_failed && is_yes(&l->given, "persist"))
		logins_keep(t->daemon->logins, t, &l->given, l->sid, l->op);
	else
		operation_finish(l->op, err);
	if (!t->obj.is_gone)
		target_maybe_gone(t);
	target_login_free(l);
}

/* ---- units ---- */

static void replace_old(struct target_login *l, const struct nexus *by)
{
	struct nexus *old = replaced(l);

	if (!old)
		return;
	log_info("session %u %s is replaced by session %u", old->session->sid, l->target->name,
		 by->session->sid);
	session_set_policy(by->session, old->session->policy);
	nexus_remove(old);
}

static void succeed(struct target_login *l, struct nexus *n, const char *units)
{
	struct conn *c = n->session->conns->data;

	replace_old(l, n);
	revive_want(n->revive, c, l->original, l->is_named, l->way);
	operation_result(l->op, "session", "%u", l->sid);
	operation_result(l->op, "connection", "%u", c->cid);
	operation_result(l->op, "portal", "%s", l->portal);
	g_string_append(l->op->result, units);
	logins_see_login(l->target->daemon->logins, l->target);
	event_emit(l->target->daemon, EVENT_SESSION_UP, "session %u %s via %s: logged in",
		   l->sid, l->target->name, l->portal);
}

static void on_attached(struct operation *wait, void *arg)
{
	operation_unref(wait);
	login_end(arg, NULL);
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
	if (err || !n || n->expose != EXPOSE_BLOCK || !operation_is_running(l->op)) {
		login_end(l, err);
		return;
	}
	l->phase = ATTACHING;
	l->scan = operation_new(l->op->loop, on_attached, l);
	attach_wait(l->target, l->scan);
}

static struct nexus *make_nexus(struct target_login *l, const struct dial_result *r)
{
	struct nexus *n = nexus_new(l->target, r->session, r->portal);

	n->is_multipath = is_yes(&l->options, "multipath");
	n->is_guarded = is_yes(&l->options, "guard");
	n->expose = l->expose;
	n->mapping = g_steal_pointer(&l->mapping);
	n->instance = g_strdup(login_option(&l->options, "instance"));
	n->has_pr_key = login_option_number(&l->options, "pr_key", &n->pr_key);
	l->sid = r->session->sid;
	l->original = g_strdup(r->moved ? r->moved : l->portals->pdata[r->index]);
	return n;
}

static void on_dialled(void *arg, const struct dial_result *r)
{
	struct target_login *l = arg;
	struct nexus *n;

	l->dial = NULL;
	l->portal = g_strdup(r->portal);
	if (r->error) {
		dial_emit(l->target->daemon, r, "");
		login_end(l, g_error_copy(r->error));
		return;
	}
	n = make_nexus(l, r);
	l->phase = SCANNING;
	l->scan = operation_new(l->op->loop, on_scanned, l);
	lun_scan(n, l->scan);
}

static void on_cancel(struct operation *op)
{
	struct target_login *l = op->step;

	if (l->phase != DIALLING) {
		operation_cancel(l->scan, ECANCELED); /* on_scanned(), on_attached() follow */
		return;
	}
	dial_cancel(l->dial);
	login_end(l, NULL);
}

/* ---- the beginning ---- */

/* What to do: portals and options by B6. Wiped by plan_done(). */
struct plan {
	struct target_portal named; /* host NULL: none was */
	struct login_options given, options;
	bool is_bare; /* no key was given */
	enum { LOGIN_NEW, LOGIN_WAIT, LOGIN_REPLACE } what;
	struct nexus *old; /* WAIT, REPLACE: that one */
	char *way;	   /* as in struct target_login */
	GArray *portals;   /* of struct dial_portal */
	enum expose expose;
	struct mapping *mapping;
	struct session_config session;
};

static void plan_done(struct plan *p)
{
	g_free(p->named.host);
	g_array_unref(p->portals);
	g_free(p->way);
	mapping_free(p->mapping);
	login_options_done(&p->given);
	login_options_done(&p->options);
	session_config_done(&p->session);
}

static gboolean may_log_in(const struct target *t, GError **err)
{
	if (t->daemon->is_shutting_down)
		error_set_errno(err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"%s: the daemon is shutting down", t->name);
	else if (t->logging_in)
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY, "%s: a login is under way",
				t->name);
	else
		return TRUE;
	return FALSE;
}

/* The first session for which @is holds, or NULL. */
static struct nexus *first(const struct target *t, bool (*is)(const struct nexus *n))
{
	for (GList *k = t->nexuses; k; k = k->next)
		if (is(k->data))
			return k->data;
	return NULL;
}

static bool is_leaving(const struct nexus *n)
{
	return n->is_logging_out;
}

static bool is_single(const struct nexus *n)
{
	return !n->is_multipath;
}

static bool is_up(const struct nexus *n)
{
	return n->session->state != SESSION_FAILED;
}

static void set_exists(const struct target *t, const struct nexus *n, bool is_multipath,
		       GError **err)
{
	error_set_errno(err, ISDSC_TARGET_ALREADY_LOGGED_IN, EEXIST,
			"%s: logged in already, session %u%s", t->name, n->session->sid,
			is_multipath	  ? ", without multipath=yes, which all must have"
			: n->is_multipath ? " (a further one needs multipath=yes)"
					  : "");
}

/* See the top of the file. */
static gboolean judge(struct plan *p, const struct target *t, GError **err)
{
	bool is_multipath = is_yes(&p->options, "multipath");
	const struct nexus *n = first(t, is_leaving);

	if (n) {
		error_set_errno(err, ISDSC_SESSION_BUSY, EBUSY,
				"%s: session %u is being logged out", t->name, n->session->sid);
		return FALSE;
	}
	p->what = LOGIN_NEW;
	if (!t->nexuses || (is_multipath && !first(t, is_single)))
		return TRUE;
	n = first(t, is_up);
	if (!n && !p->is_bare && t->nexuses->next)
		n = t->nexuses->data; /* which of them is meant? */
	if (n) {
		set_exists(t, n, is_multipath, err);
		return FALSE;
	}
	p->old = t->nexuses->data;
	p->what = p->is_bare ? LOGIN_WAIT : LOGIN_REPLACE;
	return TRUE;
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

/* "sendtargets" is the first of these. */
static bool is_mechanism(const struct instance *i, const char *name)
{
	size_t len = strlen(name);

	return g_str_has_prefix(i->mechanism, name) &&
	       (!i->mechanism[len] || i->mechanism[len] == ':');
}

static gboolean pick_mechanism(const struct target *t, const char *name,
			       const struct instance **ret, GError **err)
{
	for (GList *k = t->instances; k; k = k->next)
		if (is_mechanism(k->data, name)) {
			*ret = k->data;
			return TRUE;
		}
	error_set_errno(err, ISDSC_DISCOVERY_MECHANISM_NOT_FOUND, ENOENT,
			"%s: \"%s\" does not know it: see instances/", t->name, name);
	return FALSE;
}

/* By priority (B5); one that knows the portal that was named goes before the others. *@ret NULL:
 * there is none. FALSE: not the one that mechanism= names. */
static gboolean pick_instance(const struct plan *p, const struct target *t,
			      const struct instance **ret, GError **err)
{
	const char *mechanism = login_option(&p->options, "mechanism");

	if (mechanism)
		return pick_mechanism(t, mechanism, ret, err);
	*ret = t->instances ? t->instances->data : NULL;
	for (GList *k = t->instances; p->named.host && k; k = k->next)
		if (instance_has_portal(k->data, &p->named)) {
			*ret = k->data;
			break;
		}
	return TRUE;
}

/* What the instance that is used (B) and the static target (C) add to what was given (A). The
 * mapping is A's or C's (the users' guide, How targets are organized). */
static void merge_known(struct login_options *o, const struct target *t,
			const struct instance *used)
{
	const struct instance *fixed =
		target_find_instance((struct target *)t, INSTANCE_STATIC_NAME);
	struct login_options known;

	if (used && used != fixed) {
		login_options_copy(&known, &used->options);
		if (used->priority != INSTANCE_PERSISTENT)
			login_options_drop(&known, "mapping");
		login_options_merge(o, &known);
		login_options_done(&known);
	}
	if (fixed)
		login_options_merge(o, &fixed->options);
}

static void add_portal(struct plan *p, const char *host, uint16_t port)
{
	struct dial_portal d = { host, port, p->way };

	g_array_append_val(p->portals, d);
}

/* A further session goes by a portal that none of the others uses. */
static gboolean add_instance(struct plan *p, const struct target *t, const struct instance *i,
			     GError **err)
{
	for (unsigned k = 0; k < i->portals->len; k++) {
		const struct target_portal *q =
			&g_array_index(i->portals, struct target_portal, k);
		g_autofree char *portal = text_format_portal(q->host, q->port);

		if (p->what == LOGIN_REPLACE ||
		    !hop_is_used(t, NULL, portal, p->way))
			add_portal(p, q->host, q->port);
	}
	if (p->portals->len || !i->portals->len)
		return TRUE;
	error_set_errno(
		err, ISDSC_SESSION_ALREADY_EXISTS, EEXIST,
		"%s: every portal of it is in use by a session; portal= names one to be "
		"used twice",
		t->name);
	return FALSE;
}

static gboolean plan_portals(struct plan *p, const struct target *t, const struct instance *i,
			     GError **err)
{
	if (p->named.host)
		add_portal(p, p->named.host, p->named.port);
	else if (i && !add_instance(p, t, i, err))
		return FALSE;
	if (p->portals->len)
		return TRUE;
	error_set(err, ISDSC_NO_PORTAL_SPECIFIED, "%s: no portal to log in by", t->name);
	return FALSE;
}

static gboolean plan_named(struct plan *p, GError **err)
{
	const char *address = login_option(&p->options, "portal");

	if (!address || text_parse_portal(address, ISCSI_DEFAULT_PORT, &p->named.host,
					  &p->named.port, &p->named.tpgt) == 0)
		return TRUE;
	error_set(err, ISDSC_LOGIN_USER_INFO_BAD, "\"%s\" is no ADDR[:PORT]", address);
	return FALSE;
}

/* Those that are being made count, too. */
static gboolean may_be_more(const struct plan *p, const struct target *t, GError **err)
{
	const struct daemon *d = t->daemon;
	unsigned count = 0;

	for (GList *l = d->targets; l; l = l->next) {
		const struct target *other = l->data;

		count += g_list_length(other->nexuses) + (other->logging_in != NULL);
	}
	if (p->what != LOGIN_NEW || count < d->conf.max_sessions)
		return TRUE;
	error_set(err, ISDSC_TOO_MANY_SESSIONS,
		  "%s: there are %u sessions, and max_sessions is %u", t->name, count,
		  d->conf.max_sessions);
	return FALSE;
}

/* Units have one way for all their paths: that of the sessions that stay. */
static gboolean plan_expose(struct plan *p, const struct target *t, GError **err)
{
	const char *name = login_option(&p->options, "expose");
	bool is_further = t->nexuses && p->what == LOGIN_NEW;

	p->expose = is_further ? target_expose(t) : EXPOSE_FILE;
	if (name)
		expose_parse(name, &p->expose);
	if (!is_further || p->expose == target_expose(t))
		return TRUE;
	error_set(err, ISDSC_LOGIN_USER_INFO_BAD, "%s: its other sessions have expose=%s",
		  t->name, expose_name(target_expose(t)));
	return FALSE;
}

/* Nor can they have two numbers. */
static gboolean plan_mapping(struct plan *p, const struct target *t, GError **err)
{
	const char *text = login_option(&p->options, "mapping");
	const struct nexus *other =
		p->what == LOGIN_NEW && t->nexuses ? t->nexuses->data : NULL;

	p->mapping = text ? mapping_parse(text, NULL) : NULL; /* it was checked */
	if (!text && other)
		p->mapping = mapping_copy(other->mapping);
	if (!other || mapping_is_same(p->mapping, other->mapping))
		return TRUE;
	error_set(err, ISDSC_TARGET_MAPPING_UNAVAILABLE,
		  "%s: its other sessions have another mapping", t->name);
	return FALSE;
}

/* A over B over C: what was given now, the instance that is used, the static target. */
static gboolean plan_make(struct plan *p, struct target *t, GError **err)
{
	const struct instance *i;

	login_options_copy(&p->options, &p->given);
	if (!may_log_in(t, err) || !plan_named(p, err) || !pick_instance(p, t, &i, err))
		return FALSE;
	p->is_bare = !p->options.values;
	merge_known(&p->options, t, i);
	if (!judge(p, t, err))
		return FALSE;
	if (p->what == LOGIN_WAIT)
		return TRUE;
	if (!may_be_more(p, t, err) || !plan_expose(p, t, err) || !plan_mapping(p, t, err) ||
	    !initiator_way(t->daemon, &p->options, &p->way, err) ||
	    !plan_portals(p, t, i, err) ||
	    !login_options_config(&p->options, t->daemon, t->name, &p->session, err))
		return FALSE;
	if (p->old)
		memcpy(p->session.isid, p->old->session->config.isid, sizeof(p->session.isid));
	return TRUE;
}

/* All that are away are tried at once; the oldest one is waited for. */
static void wait_for_return(struct plan *p, struct target *t, struct operation *op)
{
	for (GList *k = t->nexuses; k; k = k->next) {
		struct nexus *n = k->data;
		struct operation *other;

		if (n == p->old)
			continue;
		other = operation_new(op->loop, NULL, NULL);
		revive_kick(n->revive, other);
		operation_unref(other);
	}
	revive_kick(p->old->revive, op);
}

static struct target_login *target_login_new(struct target *t, struct plan *p,
					     struct operation *op, uint64_t made_id)
{
	struct target_login *l = g_new0(struct target_login, 1);

	l->target = t;
	object_ref(&t->obj);
	l->op = operation_ref(op);
	l->made_id = made_id;
	l->is_named = p->named.host;
	l->expose = p->expose;
	l->mapping = g_steal_pointer(&p->mapping);
	l->way = g_strdup(p->way);
	l->replaces = p->old ? p->old->session->sid : 0;
	login_options_copy(&l->options, &p->options);
	login_options_copy(&l->given, &p->given);
	l->portals = g_ptr_array_new_with_free_func(g_free);
	for (unsigned i = 0; i < p->portals->len; i++) {
		const struct dial_portal *d = &g_array_index(p->portals, struct dial_portal, i);

		g_ptr_array_add(l->portals, text_format_portal(d->host, d->port));
	}
	return l;
}

static void login_begin(struct target *t, struct plan *p, struct operation *op,
			uint64_t made_id)
{
	struct target_login *l = target_login_new(t, p, op, made_id);

	t->logging_in = op;
	if (p->old)
		revive_pause(p->old->revive);
	operation_step(op, on_cancel, l);
	l->dial = dial_start(
		&(struct dial_config){
			.daemon = t->daemon,
			.who = t->name,
			.session = &p->session,
			.portals = (const struct dial_portal *)(void *)p->portals->data,
			.count = p->portals->len },
		on_dialled, l);
}

/* Takes @plan's options; the rest of it is made here. */
static void login_start(struct target *t, struct plan *plan, struct operation *op,
			uint64_t made_id)
{
	GError *err = NULL;

	operation_where(op, "%s", t->name);
	if (!plan_make(plan, t, &err)) {
		drop_made(t, made_id);
		operation_finish(op, err);
	} else if (plan->what == LOGIN_WAIT) {
		wait_for_return(plan, t, op);
	} else {
		login_begin(t, plan, op, made_id);
	}
	plan_done(plan);
}

static gboolean check_shown(const struct target *t, GError **err)
{
	if (!target_is_hidden(t))
		return TRUE;
	error_set_errno(err, ISDSC_TARGET_NOT_FOUND, ENOENT,
			"%s was entered with hidden=yes, and no discovery tells of it", t->name);
	return FALSE;
}

static void login_command(struct target *t, const struct command *cmd, struct operation *op,
			  uint64_t made_id)
{
	struct plan plan = { .portals = g_array_new(FALSE, FALSE, sizeof(struct dial_portal)) };
	GError *err = NULL;

	if (check_shown(t, &err) && login_options_from(&plan.given, cmd, &err) &&
	    (!is_yes(&plan.given, "persist") ||
	     login_options_may_save(&plan.given, t->daemon, &err))) {
		login_start(t, &plan, op, made_id);
		return;
	}
	login_options_tell(t->daemon, err);
	operation_where(op, "%s", t->name);
	drop_made(t, made_id);
	operation_finish(op, err);
	plan_done(&plan);
}

void target_login(struct target *t, const struct command *cmd, struct operation *op)
{
	login_command(t, cmd, op, 0);
}

void target_login_with(struct target *t, const struct login_options *given,
		       struct operation *op)
{
	struct plan plan = { .portals = g_array_new(FALSE, FALSE, sizeof(struct dial_portal)) };

	login_options_copy(&plan.given, given);
	login_start(t, &plan, op, 0);
}

static void add_known(GPtrArray *portals, const struct instance *i)
{
	for (unsigned k = 0; k < i->portals->len; k++) {
		const struct target_portal *p =
			&g_array_index(i->portals, struct target_portal, k);
		g_autofree char *where = text_format_portal(p->host, p->port);
		char *text = p->tpgt < 0 ? g_strdup(where)
					 : g_strdup_printf("%s,%d", where, p->tpgt);

		if (g_ptr_array_find_with_equal_func(portals, text, g_str_equal, NULL) ||
		    g_ptr_array_find_with_equal_func(portals, where, g_str_equal, NULL))
			g_free(text);
		else
			g_ptr_array_add(portals, text);
	}
}

void target_login_known(struct target *t, const struct login_options *given,
			struct login_options *ret_known, GPtrArray *portals)
{
	const struct instance *i = NULL;
	struct plan plan = { .portals = g_array_new(FALSE, FALSE, sizeof(struct dial_portal)) };

	*ret_known = (struct login_options){ 0 };
	login_options_copy(&plan.options, given);
	plan_named(&plan, NULL);
	pick_instance(&plan, t, &i, NULL);
	merge_known(ret_known, t, i);
	if (i && i->priority != INSTANCE_PERSISTENT)
		add_known(portals, i);
	for (GList *k = t->instances; k; k = k->next)
		if (((struct instance *)k->data)->priority != INSTANCE_PERSISTENT)
			add_known(portals, k->data);
	if (!portals->len && i)
		add_known(portals, i);
	plan_done(&plan);
}

/* A static instance made of the portal that was given: the target was not known. */
static struct target *make_target(struct daemon *d, const char *name, const char *address,
				  GError **err)
{
	g_autofree char *host = NULL;
	struct target_portal p = { 0 };
	struct target *t;

	if (!address) {
		error_set_errno(err, ISDSC_TARGET_NOT_FOUND, ENOENT,
				"%s is not known; with portal=ADDR[:PORT] it need not be",
				name);
		return NULL;
	}
	if (text_parse_portal(address, ISCSI_DEFAULT_PORT, &host, &p.port, &p.tpgt) < 0) {
		error_set(err, ISDSC_LOGIN_USER_INFO_BAD, "\"%s\" is no ADDR[:PORT]", address);
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
		login_command(t, cmd, op, 0);
		return;
	}
	if (name)
		t = make_target(d, name, command_key(cmd, "portal"), &err);
	if (t)
		login_command(t, cmd, op,
			      target_find_instance(t, INSTANCE_STATIC_NAME)->obj.id);
	else
		operation_finish(op, err);
}
