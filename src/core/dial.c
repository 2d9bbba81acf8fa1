/* SPDX-License-Identifier: BSD-2-Clause */
/* From portals to a logged-in connection; see the header. Used by the login of a target, by
 * discovery, by whoever brings connections back.
 *
 *   state       true in it                                             next
 *   RESOLVING   nothing is tried: names are being resolved and none    RACING, ENDED
 *               (or not yet enough) is; or a step is queued
 *   RACING      @race connects to the addresses not tried yet          LOGGING_IN, RESOLVING
 *   LOGGING_IN  the winner logs in as @conn of @session                RESOLVING, ENDED
 *   ENDED       @conn is logged in, or @error is set; step queued      -
 *
 * A portal is a candidate; so is the address of a redirect, which remembers where it came from
 * and goes before all others. Each address of a candidate is a way, to be tried once. What a
 * callback brings is noted there, and the next step is taken from a deferred call, so that no
 * session is closed from inside its own callback. A dial that was cancelled while LOGGING_IN
 * lives until the callback of the login has come. */
#include "core/dial.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/event.h"
#include "core/portal_health.h"
#include "core/race.h"
#include "core/resolve.h"

/* Parts of the message when several addresses failed. */
#define PARTS_MAX 4
#define ORDER_DEAD 100000 /* portals that failed lately come behind this */

/* The event of a failure that the login machine did not judge. */
enum {
	EVENT_CONNECT_FAILED = 1,
	EVENT_NO_SESSION = 2,
	EVENT_NO_LOCAL_ADDRESS = 5,
	EVENT_NO_CONNECTION = 6,
	EVENT_LOGIN_FAILED = 10,
	EVENT_LOGIN_TIMED_OUT = 43,
	EVENT_ADD_TIMED_OUT = 45,
	EVENT_CLOSED_IN_LOGIN = 59,
};

struct candidate {
	struct dial *dial;
	char *host, *source;
	uint16_t port;
	char *portal;		      /* canonical name */
	const struct candidate *from; /* redirected by it; NULL: of the list */
	bool is_permanent;	      /* ... for good */
	unsigned index, hops;
	int order;		 /* lower goes first */
	struct resolve *resolve; /* under way */
};

struct way {
	struct candidate *candidate;
	struct conn_address address;
	int order;
	bool is_tried;
};

struct dial {
	struct daemon *daemon;
	char *who;
	struct session_config session_config; /* of new sessions */
	struct session *into;
	int64_t connect_ms;
	enum dial_state state;
	struct loop_call step;
	dial_fn *done; /* NULL: cancelled */
	void *arg;

	GPtrArray *candidates; /* of struct candidate * */
	GPtrArray *ways;       /* of struct way * */
	unsigned resolving;
	bool is_gathered; /* the time for names is over */
	struct loop_timer gather;
	int front; /* order of the last redirect */
	struct race *race;
	struct way *way; /* logged in by, or tried last */
	struct session *session;
	struct conn *conn; /* LOGGING_IN and after: holds a reference */
	bool is_logged_in;

	/* What went wrong so far. */
	GString *parts;
	unsigned failures;
	bool is_final; /* refused in a way that another address would repeat */
	GError *error; /* code and errno of the most telling failure */
	bool is_error_refusal;
	unsigned event;
	char *event_data; /* of it; NULL: none */
};

static const struct {
	unsigned next; /* bit per state */
} states[] = {
#define TO(state) (1u << DIAL_##state)
	[DIAL_RESOLVING] = { TO(RACING) | TO(ENDED) },
	[DIAL_RACING] = { TO(LOGGING_IN) | TO(RESOLVING) },
	[DIAL_LOGGING_IN] = { TO(RESOLVING) | TO(ENDED) },
	[DIAL_ENDED] = { 0 },
#undef TO
};

bool dial_state_may(enum dial_state from, enum dial_state to)
{
	return states[from].next & 1u << to;
}

static void set_state(struct dial *d, enum dial_state to)
{
	assert(dial_state_may(d->state, to));
	d->state = to;
}

static void go(struct dial *d, enum dial_state to)
{
	set_state(d, to);
	loop_call_queue(d->daemon->loop, &d->step);
}

/* ---- making and freeing ---- */

static void candidate_free(void *data)
{
	struct candidate *c = data;

	if (c->resolve)
		resolve_cancel(c->resolve);
	g_free(c->host);
	g_free(c->source);
	g_free(c->portal);
	g_free(c);
}

static void drop_attempt(struct dial *d)
{
	if (d->conn)
		object_unref(&d->conn->obj);
	d->conn = NULL;
	if (!d->session)
		return;
	session_close(d->session);
	object_gone(&d->session->obj);
	d->session = NULL;
}

static void dial_free(struct dial *d)
{
	loop_call_cancel(&d->step);
	loop_timer_done(&d->gather);
	race_free(d->race);
	drop_attempt(d);
	g_ptr_array_unref(d->ways);
	g_ptr_array_unref(d->candidates);
	if (d->into)
		object_unref(&d->into->obj);
	session_config_done(&d->session_config);
	g_free(d->who);
	g_string_free(d->parts, TRUE);
	g_clear_error(&d->error);
	g_free(d->event_data);
	daemon_release(d->daemon);
	g_free(d);
}

/* ---- failures ---- */

/* Statuses of 11.13.5 that tell of this portal, not of us: another one may do better. */
static bool may_try_elsewhere(int status, const GError *err)
{
	switch (status) {
	case 0x0203: /* target not found */
	case 0x0204: /* target removed */
		return true;
	}
	if (status >= 0x0200 && status < 0x0300)
		return false;
	return error_errno(err) != EACCES; /* the target did not prove itself */
}

/* One more address that did not work: @err, without the address in front. A refusal tells more
 * than a connection that did not come about; else the first failure counts. */
static void note_failure(struct dial *d, const char *portal, const char *text, int status,
			 const GError *err, unsigned event)
{
	bool is_refusal = status >= 0x0200;

	if (d->failures < PARTS_MAX)
		g_string_append_printf(d->parts, "%svia %s %s: %s", d->failures ? "; " : "",
				       portal, is_refusal ? "refused" : "failed", text);
	d->failures++;
	if (!d->error || (is_refusal && !d->is_error_refusal)) {
		g_clear_error(&d->error);
		d->error = g_error_copy(err);
		d->is_error_refusal = is_refusal;
		d->event = event;
		g_clear_pointer(&d->event_data, g_free);
	}
}

/* It is this host that is at fault. */
static bool is_want(int errno_value)
{
	return errno_value == EMFILE || errno_value == ENFILE || errno_value == ENOMEM ||
	       errno_value == ENOBUFS;
}

/* The interface or the address to come from is not there. */
static bool is_no_way_out(int errno_value)
{
	return errno_value == ENODEV || errno_value == EADDRNOTAVAIL;
}

static unsigned connect_event(const struct dial *d, int errno_value)
{
	if (is_no_way_out(errno_value))
		return EVENT_NO_LOCAL_ADDRESS;
	if (!is_want(errno_value))
		return EVENT_CONNECT_FAILED;
	return d->into ? EVENT_NO_CONNECTION : EVENT_NO_SESSION;
}

/* "iqn.x: login via A refused: ...; via B failed: ..." with the code of the one that counts. */
static GError *make_error(struct dial *d)
{
	GError *err = NULL;

	if (d->failures > PARTS_MAX)
		g_string_append_printf(d->parts, "; and %u more", d->failures - PARTS_MAX);
	error_set_errno(&err, error_info_of(d->error)->code, error_errno(d->error),
			"%s: login %s", d->who, d->parts->str);
	return err;
}

/* ---- names ---- */

static void way_new(struct dial *d, struct candidate *c, const struct conn_address *a,
		    unsigned number)
{
	struct way *w = g_new0(struct way, 1);

	w->candidate = c;
	w->address = *a;
	w->order = c->order * RESOLVE_MAX + (int)number;
	g_ptr_array_add(d->ways, w);
	if (d->state == DIAL_RACING)
		race_add(d->race, w->order, a, w);
}

static void on_resolved(void *arg, const struct conn_address *a, unsigned count,
			const GError *err)
{
	struct candidate *c = arg;
	struct dial *d = c->dial;

	c->resolve = NULL;
	d->resolving--;
	if (err)
		note_failure(d, c->portal, err->message, -1, err, EVENT_CONNECT_FAILED);
	for (unsigned i = 0; i < count; i++)
		way_new(d, c, &a[i], i);
	if (d->state == DIAL_RESOLVING)
		loop_call_queue(d->daemon->loop, &d->step);
}

static void on_gathered(struct loop_timer *t)
{
	struct dial *d = container_of(t, struct dial, gather);

	d->is_gathered = true;
	if (d->state == DIAL_RESOLVING)
		loop_call_queue(d->daemon->loop, &d->step);
}

/* Takes @host. */
static struct candidate *candidate_new(struct dial *d, char *host, uint16_t port,
				       const char *source, int order)
{
	struct candidate *c = g_new0(struct candidate, 1);

	c->dial = d;
	c->host = host;
	c->port = port;
	c->source = g_strdup(source);
	c->portal = text_format_portal(host, port);
	c->order = order;
	g_ptr_array_add(d->candidates, c);
	return c;
}

static void candidate_start(struct candidate *c)
{
	struct dial *d = c->dial;

	d->resolving++;
	d->is_gathered = false;
	loop_timer_start(&d->gather, DIAL_GATHER_MS);
	c->resolve =
		resolve_start(d->daemon->worker, c->host, c->port, c->source, on_resolved, c);
}

/* ---- redirects ---- */

static bool is_visited(const struct candidate *last, const char *portal)
{
	for (const struct candidate *c = last; c; c = c->from)
		if (!strcmp(c->portal, portal))
			return true;
	return false;
}

/* The target sent us elsewhere (C8; RFC 7143 11.13.5). FALSE and @err: to nowhere. */
static gboolean follow_redirect(struct dial *d, const struct conn_login_result *r, GError **err)
{
	enum isdsc code = r->is_permanent ? ISDSC_TARGET_MOVED_PERMANENTLY
					  : ISDSC_TARGET_MOVED_TEMPORARILY;
	const struct candidate *from = d->way->candidate;
	g_autofree char *host = NULL;
	g_autofree char *portal = NULL;
	struct candidate *c;
	uint16_t port;
	int tpgt;

	if (text_parse_portal(r->redirect, ISCSI_DEFAULT_PORT, &host, &port, &tpgt) < 0) {
		g_autofree char *shown = text_escape(r->redirect, strlen(r->redirect), 100);

		error_set_errno(err, code, EPROTO, "redirected to \"%s\", which is no address",
				shown);
		return FALSE;
	}
	portal = text_format_portal(host, port);
	if (is_visited(from, portal) || from->hops >= DIAL_REDIRECTS_MAX) {
		error_set_errno(err, code, ELOOP, "redirected to %s, %s", portal,
				is_visited(from, portal) ? "which is where this login came from"
							 : "the last of too many redirects");
		return FALSE;
	}
	log_info("%s: login via %s: moved %s to %s", d->who, from->portal,
		 r->is_permanent ? "permanently" : "temporarily", portal);
	c = candidate_new(d, g_steal_pointer(&host), port, from->source, --d->front);
	c->from = from;
	c->is_permanent = r->is_permanent;
	c->index = from->index;
	c->hops = from->hops + 1;
	candidate_start(c);
	return TRUE;
}

/* Every step from the list to @c was for good. */
static bool is_moved_to(const struct candidate *c)
{
	while (c->from && c->is_permanent)
		c = c->from;
	return !c->from;
}

static const char *moved_to(const struct candidate *c)
{
	for (; c->from; c = c->from)
		if (is_moved_to(c))
			return c->portal;
	return NULL;
}

/* ---- the login of the winner ---- */

static const char *without(const char *text, const char *prefix)
{
	return g_str_has_prefix(text, prefix) ? text + strlen(prefix) : text;
}

/* The messages of a connection begin with its address, those of a refusal say that it is one:
 * once is enough. */
static const char *login_problem(const struct conn *c, const GError *err, const char *portal)
{
	g_autofree char *address = g_strconcat(c->remote, ": ", NULL);
	const char *text = err->message;

	if (!strcmp(c->remote, portal))
		text = without(text, address);
	return without(text, "the target refused the login: ");
}

static unsigned login_failure_event(const struct dial *d, const struct conn *c,
				    const GError *err)
{
	const char *pair;
	unsigned event = c->login ? login_event(c->login, &pair) : 0;

	if (event)
		return event;
	if (is_want(error_errno(err)))
		return connect_event(d, error_errno(err));
	if (error_errno(err) == ETIMEDOUT)
		return d->into ? EVENT_ADD_TIMED_OUT : EVENT_LOGIN_TIMED_OUT;
	return error_errno(err) == ECONNRESET ? EVENT_CLOSED_IN_LOGIN : EVENT_LOGIN_FAILED;
}

/* Tell the others what is known of the portal now: a refusal of us says nothing of it. */
static void judge_portal(struct dial *d, const char *portal, int status, const GError *err)
{
	if (status >= 0x0300 || (status < 0 && error_errno(err) != EACCES))
		portal_health_failed(d->daemon->health, portal);
}

/* tgtd takes algorithm 7 for SHA-1, picks it and refuses the answer: once more without it. What
 * is left to pick from is what a target without it would pick from. */
static bool may_go_without_sha256(struct dial *d, const struct conn_login_result *r)
{
	struct chap_config *chap = d->into ? &d->into->config.chap : &d->session_config.chap;

	if (!r->wants_no_sha256 || chap->is_sha256_off)
		return false;
	log_info("%s: %s may mistake CHAP algorithm 7: again without it", d->who,
		 d->way->candidate->portal);
	chap->is_sha256_off = true;
	d->way->is_tried = false;
	d->way->order = --d->front * RESOLVE_MAX;
	return true;
}

static void on_login_failed(struct dial *d, struct conn *c, const struct conn_login_result *r)
{
	const char *portal = d->way->candidate->portal;
	g_autoptr(GError) err = NULL;

	if (r->redirect && follow_redirect(d, r, &err))
		return;
	if (may_go_without_sha256(d, r))
		return;
	if (err) {
		note_failure(d, portal, err->message, r->status, err, 12);
		d->event_data = d->event_data ? d->event_data
					      : text_escape(r->redirect, strlen(r->redirect), 160);
		return;
	}
	judge_portal(d, portal, r->status, r->error);
	if (!may_try_elsewhere(r->status, r->error))
		d->is_final = true;
	note_failure(d, portal, login_problem(c, r->error, portal), r->status, r->error,
		     login_failure_event(d, c, r->error));
	if (!d->event_data && c->login && d->event == login_event(c->login, NULL))
		d->event_data = login_event_data(c->login);
}

/* It is logged in, but what the target said is odd. */
static void on_odd_login(struct dial *d, const struct conn *c)
{
	unsigned event = c->login ? login_event(c->login, NULL) : 0;
	g_autofree char *data = NULL;

	if (!event)
		return;
	data = login_event_data(c->login);
	event_emit(d->daemon, event, "%s: login via %s: %s", d->who, d->way->candidate->portal,
		   data ? data : "odd numbers");
}

void dial_emit(struct daemon *d, const struct dial_result *r, const char *more)
{
	event_emit(d, r->event, "%.300s%s%s%s", r->error->message, more,
		   r->event_data ? "; " : "", r->event_data ? r->event_data : "");
}

static void on_login(struct conn *c, const struct conn_login_result *r, void *arg)
{
	struct dial *d = arg;

	if (!d->done) { /* cancelled */
		dial_free(d);
		return;
	}
	d->is_logged_in = r->is_ok;
	if (r->is_ok) {
		portal_health_ok(d->daemon->health, d->way->candidate->portal);
		on_odd_login(d, c);
	} else {
		on_login_failed(d, c, r);
	}
	go(d, r->is_ok ? DIAL_ENDED : DIAL_RESOLVING);
}

/* It is not the address that is at fault: @r is an errno of session_add_connection(). */
static void login_not_begun(struct dial *d, int errno_value)
{
	GError *err = NULL;

	error_set_errno(&err,
			errno_value == EUSERS ? ISDSC_TOO_MANY_CONNECTIONS
					      : ISDSC_CONNECTION_FAILED,
			errno_value, "%s", g_strerror(errno_value));
	note_failure(d, d->way->candidate->portal, err->message, -1, err,
		     is_want(errno_value) ? connect_event(d, errno_value) : EVENT_LOGIN_FAILED);
	g_error_free(err);
	d->is_final = true;
	go(d, DIAL_RESOLVING);
}

/* ---- the race ---- */

static void on_connect_failed(void *arg, void *tag, int errno_value)
{
	struct dial *d = arg;
	struct way *w = tag;
	g_autofree char *address = conn_format_address(&w->address.addr);
	g_autoptr(GError) err = NULL;
	g_autoptr(GString) why = g_string_new(g_strerror(errno_value));

	w->is_tried = true;
	d->way = w;
	if (errno_value == ETIMEDOUT && d->connect_ms)
		g_string_printf(why, "no answer within %.3g s", (double)d->connect_ms / 1000);
	error_set_errno(&err,
			errno_value == EAFNOSUPPORT ? ISDSC_ADDRESS_TYPE_NOT_SUPPORTED
						    : ISDSC_CONNECTION_FAILED,
			errno_value, "%s%scannot connect: %s",
			strcmp(address, w->candidate->portal) ? address : "",
			strcmp(address, w->candidate->portal) ? ": " : "", why->str);
	if (!is_no_way_out(errno_value))
		portal_health_failed(d->daemon->health, w->candidate->portal);
	note_failure(d, w->candidate->portal, err->message, -1, err,
		     connect_event(d, errno_value));
}

static void on_connected(void *arg, void *tag, int fd)
{
	struct dial *d = arg;
	struct session *s = d->into;
	struct conn *c;
	int r;

	race_free(g_steal_pointer(&d->race));
	d->way = tag;
	d->way->is_tried = true;
	d->way->address.fd = fd;
	set_state(d, DIAL_LOGGING_IN);
	if (!s)
		s = d->session =
			session_new(d->daemon->loop, &d->session_config, 0, NULL, NULL);
	r = session_add_connection(s, &d->way->address, on_login, d, &c);
	d->way->address.fd = 0;
	if (r < 0) {
		close(fd);
		login_not_begun(d, -r);
		return;
	}
	d->conn = c;
	object_ref(&c->obj);
}

static void on_race_lost(void *arg)
{
	struct dial *d = arg;

	race_free(g_steal_pointer(&d->race));
	go(d, DIAL_RESOLVING);
}

static const struct race_ops race_ops = {
	.failed = on_connect_failed,
	.won = on_connected,
	.lost = on_race_lost,
};

/* False: there is no way that was not tried. */
static bool start_race(struct dial *d)
{
	for (unsigned i = 0; i < d->ways->len; i++) {
		struct way *w = d->ways->pdata[i];

		if (w->is_tried)
			continue;
		if (!d->race)
			d->race = race_new(d->daemon->loop, d->connect_ms, &race_ops, d);
		race_add(d->race, w->order, &w->address, w);
	}
	return d->race;
}

/* ---- steps ---- */

static void step_resolving(struct dial *d)
{
	drop_attempt(d); /* the one before */
	if (d->is_final)
		go(d, DIAL_ENDED);
	else if (d->resolving && !d->is_gathered)
		return; /* on_resolved() or on_gathered() comes back */
	else if (start_race(d))
		set_state(d, DIAL_RACING);
	else if (!d->resolving)
		go(d, DIAL_ENDED);
}

static bool is_there(const struct conn *c)
{
	return c->state >= CONN_LOGGED_IN && c->state < CONN_CLEANUP;
}

static void set_result(struct dial *d, struct dial_result *r, GError **err)
{
	const struct candidate *c = d->way ? d->way->candidate : NULL;

	*r = (struct dial_result){ .portal = c ? c->portal : "-" };
	if (d->is_logged_in && is_there(d->conn)) {
		r->session = d->into ? d->into : g_steal_pointer(&d->session);
		r->conn = d->conn;
		r->index = c->index;
		r->moved = moved_to(c);
		return;
	}
	if (d->is_logged_in) {
		error_set_errno(err, ISDSC_CONNECTION_FAILED, ECONNRESET,
				"%s: login via %s: the connection was lost right after it",
				d->who, c->portal);
		r->event = EVENT_CLOSED_IN_LOGIN;
	} else if (d->error) {
		*err = make_error(d);
		r->event = d->event;
		r->event_data = d->event_data;
		r->is_permanent = d->is_final;
	} else {
		error_set(err, ISDSC_NO_PORTAL_SPECIFIED, "%s: no portal to log in by", d->who);
		r->event = EVENT_LOGIN_FAILED;
	}
	r->error = *err;
}

static void step_ended(struct dial *d)
{
	struct dial_result r;
	g_autoptr(GError) err = NULL;

	set_result(d, &r, &err);
	d->done(d->arg, &r);
	dial_free(d);
}

static void dial_step(struct loop_call *call)
{
	struct dial *d = container_of(call, struct dial, step);

	if (d->state == DIAL_RESOLVING)
		step_resolving(d);
	else if (d->state == DIAL_ENDED)
		step_ended(d);
}

/* ---- for the others ---- */

static void add_portal(struct dial *d, const struct dial_portal *p, unsigned index)
{
	struct candidate *c =
		candidate_new(d, g_strdup(p->host), p->port, p->source, (int)index);

	c->index = index;
	if (portal_health_is_dead(d->daemon->health, c->portal))
		c->order += ORDER_DEAD;
}

/* Addresses first: a dead name server must not keep them waiting for a helper. */
static void start_candidates(struct dial *d)
{
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < d->candidates->len; i++) {
			struct candidate *c = d->candidates->pdata[i];

			if (resolve_is_numeric(c->host) == (pass == 0))
				candidate_start(c);
		}
}

struct dial *dial_start(const struct dial_config *config, dial_fn *done, void *arg)
{
	struct dial *d = g_new0(struct dial, 1);

	d->daemon = config->daemon;
	daemon_hold(d->daemon);
	d->who = g_strdup(config->who);
	d->into = config->into;
	if (d->into) {
		object_ref(&d->into->obj);
		d->connect_ms = d->into->config.timeouts.connect_ms;
	} else {
		session_config_copy(&d->session_config, config->session);
		d->connect_ms = d->session_config.timeouts.connect_ms;
	}
	d->done = done;
	d->arg = arg;
	d->parts = g_string_new(NULL);
	d->candidates = g_ptr_array_new_with_free_func(candidate_free);
	d->ways = g_ptr_array_new_with_free_func(g_free);
	d->state = DIAL_RESOLVING;
	loop_timer_init(d->daemon->loop, &d->gather, on_gathered);
	loop_call_init(&d->step, dial_step);
	for (unsigned i = 0; i < config->count; i++)
		add_portal(d, &config->portals[i], i);
	start_candidates(d);
	loop_call_queue(d->daemon->loop, &d->step);
	return d;
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	d->done = NULL;
	if (d->into && d->is_logged_in) /* nobody was told of it */
		conn_close(d->conn);
	if (d->state != DIAL_LOGGING_IN)
		dial_free(d);
	else if (d->into) /* on_login() follows */
		conn_close(d->conn);
	else
		session_close(d->session);
}
