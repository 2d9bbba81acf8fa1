/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of persistent logins, and doing them; logins_state.c keeps them. logins.h is the
 * manual. */
#include "core/logins.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/event.h"
#include "core/logins_parts.h"
#include "core/options_state.h"
#include "core/persistent.h"
#include "core/target.h"

#define FIRST_MS 1000
#define REFUSED_FIRST_MS 10000
#define LONGEST_MS 60000
#define REFUSED_LONGEST_MS 300000
#define BUSY_MS 100 /* another login to the same target is under way */

GList *logins_all(const struct logins *l)
{
	return l->all;
}

/* ---- is it logged in? ---- */

/* A session by the portal of another entry is that one's. */
static bool is_others(const struct saved_login *x, const struct nexus *n)
{
	for (GList *k = x->daemon->logins->all; k; k = k->next) {
		const struct saved_login *other = k->data;

		if (other != x && !strcmp(other->target, x->target) && other->portal &&
		    !strcmp(other->portal, n->portal))
			return true;
	}
	return false;
}

static bool is_multipath(const struct saved_login *x)
{
	const char *asked = login_option(&x->options, "multipath");

	return !g_strcmp0(asked ? asked : login_option(&x->known, "multipath"), "yes");
}

/* Sessions do not tell by which source or instance they were asked for. One that is no path among
 * others is all that there can be; it is not what a login asked for that wants a path. */
static bool is_its(const struct saved_login *x, const struct nexus *n)
{
	if (n->session->sid == x->sid)
		return true;
	if (!n->is_multipath)
		return !is_multipath(x);
	if (login_option(&x->options, "source") || login_option(&x->options, "instance"))
		return false;
	return x->portal ? !strcmp(x->portal, n->portal) : !is_others(x, n);
}

static bool is_logged_in(const struct saved_login *x)
{
	struct target *t = target_find(x->daemon, x->target);

	for (GList *k = t ? t->nexuses : NULL; k; k = k->next)
		if (is_its(x, k->data))
			return true;
	return false;
}

const char *saved_login_state_name(const struct saved_login *x)
{
	static const char *const names[] = {
		[LOGIN_SAVED] = "saved", [LOGIN_WAITING] = "waiting", [LOGIN_TRYING] = "trying",
		[LOGIN_DONE] = "logged-out"
	};

	return x->state != LOGIN_TRYING && is_logged_in(x) ? "logged-in" : names[x->state];
}

/* ---- entries ---- */

static void saved_login_free(struct object *o)
{
	struct saved_login *x = container_of(o, struct saved_login, obj);

	login_options_done(&x->options);
	login_options_done(&x->known);
	g_ptr_array_unref(x->portals);
	g_free(x->name);
	g_free(x->target);
	g_free(x->portal);
	g_free(x->last_error);
	object_done(o);
	g_free(x);
}

static void add_part(GString *name, const char *part)
{
	if (part)
		g_string_append_printf(name, ",%s", part);
}

/* What is in it comes from people: no slash may be in the name of a file. */
char *saved_login_name(const char *target, const char *portal, const char *source,
		       const char *instance)
{
	GString *name = g_string_new(target);

	add_part(name, portal);
	add_part(name, source);
	add_part(name, instance);
	return g_strdelimit(g_string_free(name, FALSE), "/", '_');
}

static char *canonical_portal(const char *text)
{
	g_autofree char *host = NULL;
	uint16_t port;
	int tpgt;

	if (!text || text_parse_portal(text, ISCSI_DEFAULT_PORT, &host, &port, &tpgt) < 0)
		return NULL;
	return text_format_portal(host, port);
}

static void on_timer(struct loop_timer *t);

struct saved_login *saved_login_new(struct daemon *d, const char *target,
				    const struct login_options *given)
{
	struct saved_login *x = g_new0(struct saved_login, 1);

	object_init(&x->obj, d->loop, OBJECT_LOGIN, saved_login_free);
	x->daemon = d;
	x->target = g_strdup(target);
	x->portal = canonical_portal(login_option(given, "portal"));
	x->name = saved_login_name(target, x->portal, login_option(given, "source"),
				   login_option(given, "instance"));
	x->portals = g_ptr_array_new_with_free_func(g_free);
	login_options_copy(&x->options, given);
	login_options_drop(&x->options, "persist");
	loop_timer_init(d->loop, &x->timer, on_timer);
	return x;
}

struct saved_login *logins_find(const struct logins *l, const char *name)
{
	for (GList *k = l->all; k; k = k->next)
		if (!strcmp(((struct saved_login *)k->data)->name, name))
			return k->data;
	return NULL;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
	return strcmp(((const struct saved_login *)a)->name,
		      ((const struct saved_login *)b)->name);
}

void logins_insert(struct logins *l, struct saved_login *x)
{
	l->all = g_list_insert_sorted(l->all, x, compare_names);
}

static void stop_trying(struct saved_login *x, int errno_value)
{
	loop_timer_stop(&x->timer);
	if (x->trying)
		operation_cancel(x->trying, errno_value);
}

/* It is on no list any more, nor anybody's @before. */
static void let_go(struct saved_login *x)
{
	if (x->before)
		let_go(g_steal_pointer(&x->before));
	stop_trying(x, ECANCELED);
	loop_timer_done(&x->timer);
	object_gone(&x->obj);
}

/* ---- what its target is told ---- */

static void add_portal(GPtrArray *portals, const char *text)
{
	if (!g_ptr_array_find_with_equal_func(portals, text, g_str_equal, NULL))
		g_ptr_array_add(portals, g_strdup(text));
}

static void set_instance(struct target *t, const GPtrArray *portals,
			 const struct login_options *known)
{
	GArray *all = g_array_new(FALSE, TRUE, sizeof(struct target_portal));

	for (guint i = 0; i < portals->len; i++) {
		struct target_portal p = { 0 };

		if (text_parse_portal(portals->pdata[i], ISCSI_DEFAULT_PORT, &p.host, &p.port,
				      &p.tpgt) == 0)
			g_array_append_val(all, p);
	}
	target_set_instance(t, LOGINS_INSTANCE_NAME, INSTANCE_PERSISTENT,
			    (const struct target_portal *)(void *)all->data, all->len, known);
	for (guint i = 0; i < all->len; i++)
		g_free(g_array_index(all, struct target_portal, i).host);
	g_array_unref(all);
}

/* Its instance has the portals of all entries, and goes with the last. */
static void tell_target(struct logins *l, const char *name)
{
	g_autoptr(GPtrArray) portals = g_ptr_array_new_with_free_func(g_free);
	const struct saved_login *last = NULL;
	struct target *t;

	for (GList *k = l->all; k; k = k->next) {
		const struct saved_login *x = k->data;

		if (strcmp(x->target, name))
			continue;
		last = x;
		for (guint i = 0; i < x->portals->len; i++)
			add_portal(portals, x->portals->pdata[i]);
	}
	if (last) {
		set_instance(target_get(l->daemon, name), portals, &last->known);
		return;
	}
	t = target_find(l->daemon, name);
	if (t)
		target_drop_instance(t, LOGINS_INSTANCE_NAME);
}

/* ---- trying ---- */

int64_t saved_login_delay_ms(unsigned failures, bool is_refused, double r)
{
	int64_t longest = is_refused ? REFUSED_LONGEST_MS : LONGEST_MS;
	int64_t ms = is_refused ? REFUSED_FIRST_MS : FIRST_MS;

	for (unsigned i = 1; i < failures && ms < longest; i++)
		ms *= 2;
	ms = MIN(ms, longest);
	return ms - ms / 4 + (int64_t)((double)ms / 2 * r); /* 0.75 to 1.25 of it */
}

static void wait_ms(struct saved_login *x, int64_t ms)
{
	x->state = LOGIN_WAITING;
	x->next_try_us = g_get_real_time() + ms * 1000;
	loop_timer_start(&x->timer, ms);
}

static void set_done(struct saved_login *x)
{
	x->state = LOGIN_DONE;
	x->failures = 0;
	g_clear_pointer(&x->last_error, g_free);
	loop_timer_stop(&x->timer);
}

/* Trying soon again is of no use: the target does not want us so, or we cannot do it so. */
static bool is_refusal(const GError *err)
{
	int errno_value = error_errno(err);

	return errno_value == EACCES || errno_value == EINVAL || errno_value == EOPNOTSUPP ||
	       errno_value == EPERM || errno_value == EEXIST ||
	       error_info_of(err)->code == ISDSC_CACHE_CORRUPTED;
}

static void take_failure(struct saved_login *x, const GError *err)
{
	int64_t ms;

	x->failures++;
	ms = saved_login_delay_ms(x->failures, is_refusal(err), g_random_double());
	object_fail(&x->obj, "login", err);
	if (g_strcmp0(x->last_error, err->message))
		event_emit(x->daemon, EVENT_PERSISTENT_LOGIN_FAILED,
			   "%s; tried again in %d s", err->message, (int)((ms + 999) / 1000));
	g_free(x->last_error);
	x->last_error = g_strdup(err->message);
	wait_ms(x, ms);
}

static unsigned sid_of(const struct operation *op)
{
	const char *at = strstr(op->result->str, " session=");

	return at ? (unsigned)g_ascii_strtoull(at + 9, NULL, 10) : 0;
}

static void take_outcome(struct saved_login *x, const struct operation *op)
{
	enum isdsc code = op->error ? error_info_of(op->error)->code : 0;

	if (!op->error) {
		unsigned sid = sid_of(op);

		x->sid = sid ? sid : x->sid; /* none: an old one came back */
		set_done(x);
		event_emit(x->daemon, EVENT_PERSISTENT_LOGIN, "%s: logged in%s", x->target,
			   op->result->str);
	} else if (code == ISDSC_TARGET_ALREADY_LOGGED_IN && is_logged_in(x)) {
		set_done(x);
	} else if (code == ISDSC_SESSION_BUSY) {
		wait_ms(x, BUSY_MS);
	} else {
		take_failure(x, op->error);
	}
}

static void answer(struct saved_login *x, const struct operation *tried)
{
	struct operation *op = g_steal_pointer(&x->asked);

	if (!op)
		return;
	operation_step(op, NULL, NULL);
	g_string_append(op->result, tried->result->str);
	operation_finish(op, tried->error ? g_error_copy(tried->error) : NULL);
	operation_unref(op);
}

static void on_tried(struct operation *op, void *arg)
{
	struct saved_login *x = arg;
	struct daemon *d = x->daemon;

	x->trying = NULL;
	if (d->logins->is_ending || x->is_leaving || x->obj.is_gone)
		x->state = LOGIN_SAVED;
	else
		take_outcome(x, op);
	answer(x, op);
	operation_unref(op);
	object_unref(&x->obj);
	daemon_release(d);
}

static void try(struct saved_login *x)
{
	struct target *t = target_find(x->daemon, x->target);

	if (!t || !target_find_instance(t, LOGINS_INSTANCE_NAME)) /* `remove` was said */
		tell_target(x->daemon->logins, x->target);
	t = target_get(x->daemon, x->target);
	if (t->logging_in) {
		wait_ms(x, BUSY_MS);
		return;
	}
	loop_timer_stop(&x->timer);
	x->state = LOGIN_TRYING;
	x->attempts++;
	object_ref(&x->obj);
	daemon_hold(x->daemon);
	x->trying = operation_new(x->daemon->loop, on_tried, x);
	target_login_with(t, &x->options, x->trying);
}

static void on_timer(struct loop_timer *t)
{
	struct saved_login *x = container_of(t, struct saved_login, timer);

	if (is_logged_in(x))
		set_done(x);
	else
		try(x);
}

static void on_asked_cancel(struct operation *op)
{
	struct saved_login *x = op->step;

	x->asked = NULL;
	operation_step(op, NULL, NULL);
	operation_finish(op, NULL);
	operation_unref(op);
}

void saved_login_try(struct saved_login *x, struct operation *op)
{
	struct target *t = target_find(x->daemon, x->target);
	GError *err = NULL;

	if (x->daemon->logins->is_ending)
		error_set_errno(&err, ISDSC_SERVICE_NOT_RUNNING, EBUSY,
				"%s: the daemon is shutting down", x->name);
	else if (x->trying || x->is_leaving || (t && t->logging_in))
		error_set_errno(&err, ISDSC_SESSION_BUSY, EBUSY, "%s: a login is under way",
				x->target);
	else if (is_logged_in(x))
		error_set_errno(&err, ISDSC_TARGET_ALREADY_LOGGED_IN, EEXIST,
				"%s: logged in already", x->target);
	if (err) {
		operation_finish(op, err);
		return;
	}
	x->asked = operation_ref(op);
	operation_step(op, on_asked_cancel, x);
	x->failures = 0;
	try(x);
}

void logins_see_login(struct logins *l, struct target *t)
{
	for (GList *k = l ? l->all : NULL; k; k = k->next) {
		struct saved_login *x = k->data;

		if (x->state == LOGIN_WAITING && !strcmp(x->target, t->name) && is_logged_in(x))
			set_done(x);
	}
}

/* ---- adding ---- */

struct keeping {
	struct logins *logins;
	struct saved_login *login;
	struct operation *op;
};

static void go_on(struct saved_login *x)
{
	x->is_leaving = false;
	if (x->was_waiting)
		wait_ms(x, BUSY_MS);
	x->was_waiting = false;
}

static void stand_back(struct saved_login *x)
{
	if (!x->is_leaving)
		x->was_waiting = x->state == LOGIN_WAITING || x->state == LOGIN_TRYING;
	x->is_leaving = true;
	stop_trying(x, ECANCELED);
}

/* Take @x from where it is, the list or the @before of one that has replaced it; what @x has replaced
 * (NULL: nothing) comes there. Then @x is told so, and gone. */
static void give_way(struct logins *l, struct saved_login *x)
{
	struct saved_login *before = g_steal_pointer(&x->before);
	struct saved_login *y = logins_find(l, x->name);

	if (y == x) {
		l->all = g_list_remove(l->all, x);
		if (before) {
			logins_insert(l, before);
			go_on(before);
		}
	} else {
		while (y && y->before != x)
			y = y->before;
		assert(y);
		y->before = before;
	}
	tell_target(l, x->target);
	let_go(x);
}

static void save(struct logins *l, void (*done)(void *arg, const GError *why), void *arg)
{
	l->saving++;
	logins_save(l, done, arg);
}

/* After each save(), when what is to be is in @l again. */
static void saved(struct logins *l, const GError *why)
{
	l->saving--;
	if (why)
		l->is_stale = true;
	if (l->saving || !l->is_stale || l->is_ending)
		return;
	l->is_stale = false;
	logins_save(l, NULL, NULL);
}

static void on_kept(void *arg, const GError *why)
{
	struct keeping *k = arg;
	struct saved_login *x = k->login;
	GError *err = NULL;

	if (why)
		error_set_errno(&err, ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA, error_errno(why),
				"%s: the login could not be saved: %s", x->target,
				why->message);
	if (!x->obj.is_gone && why && !k->logins->is_ending)
		give_way(k->logins, x);
	else if (x->before)
		let_go(g_steal_pointer(&x->before));
	saved(k->logins, why);
	operation_finish(k->op, err);
	operation_unref(k->op);
	object_unref(&k->login->obj);
	g_free(k);
}

/* Takes @x and shows it; finishes @op when it is on disk. */
static void keep(struct logins *l, struct saved_login *x, struct operation *op)
{
	struct saved_login *old = logins_find(l, x->name);
	struct keeping *k;
	GError *err = NULL;

	if (!old && g_list_length(l->all) >= LOGINS_MAX) {
		error_set(&err, ISDSC_OUT_OF_RESOURCES, "%s: %d logins are saved already",
			  x->target, LOGINS_MAX);
		let_go(x);
		operation_finish(op, err);
		return;
	}
	k = g_new0(struct keeping, 1);
	k->logins = l;
	k->login = x;
	object_ref(&x->obj);
	k->op = operation_ref(op);
	if (old) {
		l->all = g_list_remove(l->all, old);
		stand_back(old);
		/* What it waited for, the new one does. */
		if (x->state == LOGIN_SAVED && old->was_waiting)
			wait_ms(x, BUSY_MS);
		else if (x->state == LOGIN_SAVED)
			x->state = old->state;
		x->sid = x->sid ? x->sid : old->sid;
		x->before = old;
	}
	logins_insert(l, x);
	tell_target(l, x->target);
	operation_result(op, "saved", "%s", x->name);
	save(l, on_kept, k);
}

/* What is known of the target, and where it is. */
static void capture(struct saved_login *x, struct target *t)
{
	if (x->portal)
		add_portal(x->portals, x->portal);
	if (t)
		target_login_known(t, &x->options, &x->known, x->portals);
	if (x->portals->len > LOGIN_PORTALS_MAX)
		g_ptr_array_set_size(x->portals, LOGIN_PORTALS_MAX);
}

void logins_keep(struct logins *l, struct target *t, const struct login_options *given,
		 unsigned sid, struct operation *op)
{
	struct saved_login *x = saved_login_new(l->daemon, t->name, given);

	capture(x, t);
	x->sid = sid;
	x->state = LOGIN_DONE;
	keep(l, x, op);
}

/* Would a login take these? FALSE and @err. */
static gboolean check(struct saved_login *x, GError **err)
{
	struct session_config config;
	struct login_options all;
	gboolean is_ok;

	if (login_option(&x->options, "portal") && !x->portal) {
		error_set(err, ISDSC_INVALID_PARAMETER, "\"%s\" is no ADDR[:PORT]",
			  login_option(&x->options, "portal"));
		return FALSE;
	}
	login_options_copy(&all, &x->options);
	login_options_merge(&all, &x->known);
	is_ok = login_options_may_save(&all, x->daemon, err) &&
		login_options_config(&all, x->daemon, x->target, &config, err);
	if (is_ok)
		session_config_done(&config);
	login_options_done(&all);
	return is_ok;
}

void logins_add(struct logins *l, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	g_autofree char *name = text_iscsi_name(cmd->args[0], &err);
	struct saved_login *x = NULL;
	struct login_options given;
	struct target *t;

	if (name && login_options_from(&given, cmd, &err)) {
		t = target_find(l->daemon, name);
		x = saved_login_new(l->daemon, name, &given);
		login_options_done(&given);
		capture(x, t);
		if (!t && !x->portal)
			error_set_errno(&err, ISDSC_TARGET_NOT_FOUND, ENOENT,
					"%s is not known; with portal=ADDR[:PORT] it need not "
					"be",
					name);
		else
			check(x, &err);
	}
	if (!err) {
		keep(l, x, op);
		return;
	}
	operation_finish(op, err);
	if (x)
		let_go(x);
}

/* ---- removing ---- */

const struct command_key logins_remove_keys[] = {
	{ "portal", COMMAND_TEXT, .help = "only the one saved with this portal" },
	{ "source", COMMAND_TEXT, .help = "only the one saved with this source" },
	{ "instance", COMMAND_TEXT, .help = "only the one saved with this instance" },
	{ 0 },
};

struct removal {
	struct logins *logins;
	GPtrArray *which; /* of struct saved_login *: references */
	struct operation *op;
};

static void on_removed(void *arg, const GError *why)
{
	struct removal *r = arg;
	GError *err = NULL;

	if (why)
		error_set_errno(&err, ISDSC_COULD_NOT_REMOVE_PERSISTENT_LOGIN_DATA,
				error_errno(why), "the saved login could not be removed: %s",
				why->message);
	for (guint i = 0; i < r->which->len; i++) {
		struct saved_login *x = r->which->pdata[i];

		if (why && !x->obj.is_gone && logins_find(r->logins, x->name) == x)
			go_on(x);
		if (!why && !x->obj.is_gone && !r->logins->is_ending) {
			if (x->before) /* was not on disk either */
				let_go(g_steal_pointer(&x->before));
			give_way(r->logins, x);
		}
		object_unref(&x->obj);
	}
	g_ptr_array_unref(r->which);
	saved(r->logins, why);
	operation_finish(r->op, err);
	operation_unref(r->op);
	g_free(r);
}

/* Takes @which, of struct saved_login *. What is under way for them ends at once; they show as
 * long as the file on disk has them. */
static void remove_all(struct logins *l, GPtrArray *which, struct operation *op)
{
	struct removal *r = g_new0(struct removal, 1);

	r->logins = l;
	r->which = which;
	r->op = operation_ref(op);
	for (guint i = 0; i < which->len; i++) {
		struct saved_login *x = which->pdata[i];

		object_ref(&x->obj);
		stand_back(x);
		if (x->state == LOGIN_WAITING)
			x->state = LOGIN_SAVED;
	}
	save(l, on_removed, r);
}

void saved_login_remove(struct saved_login *x, struct operation *op)
{
	GPtrArray *which = g_ptr_array_new();

	g_ptr_array_add(which, x);
	remove_all(x->daemon->logins, which, op);
}

static bool has_part(const char *given, const char *kept)
{
	return !given || (kept && !strcmp(given, kept));
}

static bool is_meant(const struct saved_login *x, const char *target, const char *portal,
		     const struct command *cmd)
{
	return !strcmp(x->target, target) && has_part(portal, x->portal) &&
	       has_part(command_key(cmd, "source"), login_option(&x->options, "source")) &&
	       has_part(command_key(cmd, "instance"), login_option(&x->options, "instance"));
}

void logins_remove(struct logins *l, const struct command *cmd, struct operation *op)
{
	GError *err = NULL;
	g_autofree char *name = text_iscsi_name(cmd->args[0], &err);
	const char *address = command_key(cmd, "portal");
	g_autofree char *portal = canonical_portal(address);
	GPtrArray *which = g_ptr_array_new();

	if (name && address && !portal)
		error_set(&err, ISDSC_INVALID_PARAMETER, "\"%s\" is no ADDR[:PORT]", address);
	for (GList *k = l->all; k && !err; k = k->next)
		if (is_meant(k->data, name, portal, cmd))
			g_ptr_array_add(which, k->data);
	if (!err && !which->len)
		error_set_errno(&err, ISDSC_TARGET_NOT_FOUND, ENOENT,
				"%s%s%s: no such login is saved", name, portal ? " by " : "",
				portal ? portal : "");
	if (!err) {
		operation_result(op, "removed", "%u", which->len);
		remove_all(l, which, op);
		return;
	}
	g_ptr_array_unref(which);
	operation_finish(op, err);
}

/* ---- from begin to end ---- */

void logins_drop_all(struct logins *l)
{
	while (l->all) {
		struct saved_login *x = l->all->data;

		l->all = g_list_remove(l->all, x);
		let_go(x);
	}
}

static bool is_outstanding(const struct saved_login *x)
{
	return (x->state == LOGIN_WAITING || x->state == LOGIN_TRYING) && !is_logged_in(x);
}

static void on_late(struct loop_timer *t)
{
	struct logins *l = container_of(t, struct logins, late_timer);
	g_autoptr(GError) err = NULL;
	unsigned count = 0;

	for (GList *k = l->all; k; k = k->next)
		count += is_outstanding(k->data);
	if (!count)
		return;
	error_set(&err, ISDSC_PERSISTENT_LOGIN_TIMEOUT,
		  "%u of %u persistent logins were not done in time: they are tried on", count,
		  g_list_length(l->all));
	event_emit(l->daemon, EVENT_PERSISTENT_LOGINS_TIMEOUT, "%s", err->message);
	object_fail(&l->daemon->persistent->obj, "start", err);
}

struct logins *logins_new(struct daemon *d)
{
	struct logins *l = g_new0(struct logins, 1);

	l->daemon = d;
	d->logins = l;
	loop_timer_init(d->loop, &l->late_timer, on_late);
	logins_load(l);
	return l;
}

void logins_start(struct logins *l)
{
	for (GList *k = l->all; k; k = k->next) {
		struct saved_login *x = k->data;

		tell_target(l, x->target);
		wait_ms(x, 0);
	}
	if (l->all && l->daemon->conf.volumes_timeout_ms)
		loop_timer_start(&l->late_timer, l->daemon->conf.volumes_timeout_ms);
}

void logins_shutdown(struct logins *l)
{
	l->is_ending = true;
	loop_timer_stop(&l->late_timer);
	for (GList *k = l->all; k; k = k->next)
		stop_trying(k->data, EBUSY);
}

void logins_free(struct logins *l)
{
	if (!l)
		return;
	l->is_ending = true;
	logins_drop_all(l);
	loop_timer_done(&l->late_timer);
	g_free(l);
}
