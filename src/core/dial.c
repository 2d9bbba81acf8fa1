/* SPDX-License-Identifier: BSD-2-Clause */
/* From portals to a logged-in session; see the header. Used by the login of a target and by a
 * discovery.
 *
 *   state       true in it                                             next
 *   PORTAL      the next of @portals is to be taken; step queued       RESOLVING, ENDED
 *   RESOLVING   its name is being resolved                             ADDRESS, PORTAL
 *   ADDRESS     the next of @addresses is to be tried; step queued     LOGGING_IN, PORTAL
 *   LOGGING_IN  @session connects and logs in                          ADDRESS, PORTAL, ENDED
 *   ENDED       @session is logged in, or @error is set; step queued   -
 *
 * A redirect puts its address in front of @portals and goes to PORTAL; @visited holds the chain
 * of addresses that led here. What a callback brings is noted there, and the next step is taken
 * from a deferred call, so that no session is closed from inside its own callback. A dial that
 * was cancelled while LOGGING_IN lives until the callback of the login has come. */
#include "core/dial.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/daemon.h"
#include "core/resolve.h"

/* Parts of the message when several addresses failed. */
#define PARTS_MAX 4

struct candidate {
	char *host;
	uint16_t port;
	bool is_redirect; /* of the one tried before */
};

struct dial {
	struct daemon *daemon;
	char *who;
	struct session_config session_config;
	char *source;
	enum dial_state state;
	struct loop_call step;
	dial_fn *done; /* NULL: cancelled */
	void *arg;

	GQueue portals; /* of struct candidate *: to be tried */
	char *portal;	/* the one being tried: canonical name */
	GPtrArray *visited;
	struct resolve *resolve;
	struct conn_address addresses[RESOLVE_MAX];
	unsigned address_count, address_next;
	struct session *session;
	bool is_logged_in;

	/* What went wrong so far. */
	GString *parts;
	unsigned failures;
	bool is_final; /* refused in a way that another address would repeat */
	GError *error; /* code and errno of the most telling failure */
	bool is_error_refusal;
};

static const struct {
	unsigned next; /* bit per state */
} states[] = {
#define TO(state) (1u << DIAL_##state)
	[DIAL_PORTAL] = { TO(RESOLVING) | TO(ENDED) },
	[DIAL_RESOLVING] = { TO(ADDRESS) | TO(PORTAL) },
	[DIAL_ADDRESS] = { TO(LOGGING_IN) | TO(PORTAL) },
	[DIAL_LOGGING_IN] = { TO(ADDRESS) | TO(PORTAL) | TO(ENDED) },
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

static struct candidate *candidate_new(const char *host, uint16_t port, bool is_redirect)
{
	struct candidate *c = g_new0(struct candidate, 1);

	c->host = g_strdup(host);
	c->port = port;
	c->is_redirect = is_redirect;
	return c;
}

static void candidate_free(void *data)
{
	struct candidate *c = data;

	g_free(c->host);
	g_free(c);
}

static void drop_session(struct dial *d)
{
	if (!d->session)
		return;
	session_close(d->session);
	object_gone(&d->session->obj);
	d->session = NULL;
}

static void dial_free(struct dial *d)
{
	loop_call_cancel(&d->step);
	if (d->resolve)
		resolve_cancel(d->resolve);
	drop_session(d);
	g_queue_clear_full(&d->portals, candidate_free);
	g_ptr_array_unref(d->visited);
	session_config_done(&d->session_config);
	g_free(d->who);
	g_free(d->source);
	g_free(d->portal);
	g_string_free(d->parts, TRUE);
	g_clear_error(&d->error);
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
static void note_failure(struct dial *d, const char *how, const char *text, int status,
			 const GError *err)
{
	bool is_refusal = status >= 0x0200;

	if (d->failures < PARTS_MAX)
		g_string_append_printf(d->parts, "%svia %s%s%s: %s", d->failures ? "; " : "",
				       d->portal, *how ? " " : "", how, text);
	d->failures++;
	if (!d->error || (is_refusal && !d->is_error_refusal)) {
		g_clear_error(&d->error);
		d->error = g_error_copy(err);
		d->is_error_refusal = is_refusal;
	}
	if (!may_try_elsewhere(status, err))
		d->is_final = true;
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

/* ---- steps ---- */

static void on_resolved(void *arg, const struct conn_address *a, unsigned count,
			const GError *err)
{
	struct dial *d = arg;

	d->resolve = NULL;
	if (err) {
		note_failure(d, "failed", err->message, -1, err);
		go(d, DIAL_PORTAL);
		return;
	}
	assert(count <= RESOLVE_MAX);
	memcpy(d->addresses, a, count * sizeof(*a));
	d->address_count = count;
	d->address_next = 0;
	go(d, DIAL_ADDRESS);
}

static void step_portal(struct dial *d)
{
	struct candidate *c = d->is_final ? NULL : g_queue_pop_head(&d->portals);

	if (!c) {
		go(d, DIAL_ENDED);
		return;
	}
	if (!c->is_redirect)
		g_ptr_array_set_size(d->visited, 0);
	g_free(d->portal);
	d->portal = text_format_portal(c->host, c->port);
	g_ptr_array_add(d->visited, g_strdup(d->portal));
	set_state(d, DIAL_RESOLVING);
	d->resolve =
		resolve_start(d->daemon->worker, c->host, c->port, d->source, on_resolved, d);
	candidate_free(c);
}

static bool is_visited(const struct dial *d, const char *portal)
{
	for (unsigned i = 0; i < d->visited->len; i++)
		if (!strcmp(d->visited->pdata[i], portal))
			return true;
	return false;
}

/* The target sent us elsewhere (C8; RFC 7143 11.13.5). FALSE and @err: to nowhere. */
static gboolean follow_redirect(struct dial *d, const struct conn_login_result *r, GError **err)
{
	enum isdsc code = r->is_permanent ? ISDSC_TARGET_MOVED_PERMANENTLY
					  : ISDSC_TARGET_MOVED_TEMPORARILY;
	g_autofree char *host = NULL;
	g_autofree char *portal = NULL;
	uint16_t port;
	int tpgt;

	if (text_parse_portal(r->redirect, ISCSI_DEFAULT_PORT, &host, &port, &tpgt) < 0) {
		g_autofree char *shown = text_escape(r->redirect, strlen(r->redirect), 100);

		error_set_errno(err, code, EPROTO, "redirected to \"%s\", which is no address",
				shown);
		return FALSE;
	}
	portal = text_format_portal(host, port);
	if (is_visited(d, portal) || d->visited->len > DIAL_REDIRECTS_MAX) {
		error_set_errno(err, code, ELOOP, "redirected to %s, %s", portal,
				is_visited(d, portal) ? "which is where this login came from"
						      : "the last of too many redirects");
		return FALSE;
	}
	log_info("%s: login via %s: moved %s to %s", d->who, d->portal,
		 r->is_permanent ? "permanently" : "temporarily", portal);
	g_queue_push_head(&d->portals, candidate_new(host, port, true));
	return TRUE;
}

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

static void on_login_failed(struct dial *d, struct conn *c, const struct conn_login_result *r)
{
	g_autoptr(GError) err = NULL;

	if (r->redirect && follow_redirect(d, r, &err)) {
		go(d, DIAL_PORTAL);
		return;
	}
	/* tgtd takes algorithm 7 for SHA-1, picks it and refuses the answer: once more without it.
	 * What is left to pick from is what a target without it would pick from. */
	if (r->wants_no_sha256 && !d->session_config.chap.is_sha256_off) {
		log_info("%s: %s may mistake CHAP algorithm 7: again without it", d->who,
			 d->portal);
		d->session_config.chap.is_sha256_off = true;
		d->address_next--;
		go(d, DIAL_ADDRESS);
		return;
	}
	if (err) {
		note_failure(d, "failed", err->message, r->status, err);
	} else {
		note_failure(d, r->status >= 0x0200 ? "refused" : "failed",
			     login_problem(c, r->error, d->portal), r->status, r->error);
	}
	go(d, DIAL_ADDRESS);
}

static void on_login(struct conn *c, const struct conn_login_result *r, void *arg)
{
	struct dial *d = arg;

	if (!d->done) { /* cancelled */
		dial_free(d);
		return;
	}
	if (!r->is_ok) {
		on_login_failed(d, c, r);
		return;
	}
	d->is_logged_in = true;
	go(d, DIAL_ENDED);
}

static void step_address(struct dial *d)
{
	GError *err = NULL;
	int r;

	drop_session(d); /* of the attempt before */
	if (d->is_final || d->address_next == d->address_count) {
		go(d, DIAL_PORTAL);
		return;
	}
	d->session = session_new(d->daemon->loop, &d->session_config, 0, NULL, NULL);
	set_state(d, DIAL_LOGGING_IN);
	r = session_add_connection(d->session, &d->addresses[d->address_next++], on_login, d,
				   NULL);
	if (r == 0)
		return;
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, -r, "%s", g_strerror(-r));
	note_failure(d, "failed", err->message, -1, err);
	g_error_free(err);
	go(d, DIAL_ADDRESS);
}

static void step_ended(struct dial *d)
{
	struct session *s = NULL;
	GError *err = NULL;

	if (d->is_logged_in && d->session->state == SESSION_LOGGED_IN) {
		s = g_steal_pointer(&d->session);
	} else if (d->is_logged_in) {
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET,
				"%s: login via %s: the connection was lost right after it",
				d->who, d->portal);
	} else if (d->error) {
		err = make_error(d);
	} else {
		error_set(&err, ISDSC_NO_PORTAL_SPECIFIED, "%s: no portal to log in by",
			  d->who);
	}
	d->done(d->arg, s, d->portal ? d->portal : "-", err);
	g_clear_error(&err);
	dial_free(d);
}

static void dial_step(struct loop_call *call)
{
	static void (*const steps[])(struct dial *) = {
		[DIAL_PORTAL] = step_portal,
		[DIAL_ADDRESS] = step_address,
		[DIAL_ENDED] = step_ended,
	};
	struct dial *d = container_of(call, struct dial, step);

	/* A redirect leaves the session of the attempt behind. */
	if (d->state == DIAL_PORTAL)
		drop_session(d);
	steps[d->state](d);
}

/* ---- for the others ---- */

struct dial *dial_start(const struct dial_config *config, dial_fn *done, void *arg)
{
	struct dial *d = g_new0(struct dial, 1);

	d->daemon = config->daemon;
	daemon_hold(d->daemon);
	d->who = g_strdup(config->who);
	session_config_copy(&d->session_config, config->session);
	d->source = g_strdup(config->source);
	d->done = done;
	d->arg = arg;
	d->parts = g_string_new(NULL);
	d->visited = g_ptr_array_new_with_free_func(g_free);
	g_queue_init(&d->portals);
	for (unsigned i = 0; i < config->count; i++)
		g_queue_push_tail(&d->portals, candidate_new(config->portals[i].host,
							     config->portals[i].port, false));
	d->state = DIAL_PORTAL;
	loop_call_init(&d->step, dial_step);
	loop_call_queue(d->daemon->loop, &d->step);
	return d;
}

void dial_cancel(struct dial *d)
{
	if (!d)
		return;
	d->done = NULL;
	if (d->state == DIAL_LOGGING_IN)
		session_close(d->session); /* on_login() follows */
	else
		dial_free(d);
}
