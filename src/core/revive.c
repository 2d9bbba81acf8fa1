/* SPDX-License-Identifier: BSD-2-Clause */
/* Bringing sessions and connections back; see the header. Called by nexus.c with the news of
 * the session, by target_login.c, logout.c and mcs.c with what people want. Dials into the
 * session that there is: the object stays the same, whatever becomes of its connections. */
#include "core/revive.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/dial.h"
#include "core/event.h"
#include "core/revive_parts.h"

#define EVENT_CONNECTION_LOST 20
#define EVENT_RECONNECTED 34

static const struct {
	unsigned next; /* bit per state */
} states[WANTED_STATES] = {
#define TO(state) (1u << WANTED_##state)
	[WANTED_UP] = { TO(WAITING) | TO(PARKED) },
	[WANTED_WAITING] = { TO(DIALLING) | TO(PARKED) },
	[WANTED_DIALLING] = { TO(UP) | TO(WAITING) | TO(PARKED) },
	[WANTED_PARKED] = { TO(UP) | TO(WAITING) },
#undef TO
};

bool wanted_state_may(enum wanted_state from, enum wanted_state to)
{
	return states[from].next & 1u << to;
}

static void wanted_set_state(struct wanted *w, enum wanted_state to)
{
	assert(wanted_state_may(w->state, to));
	w->state = to;
}

/* "session 3 iqn.x", "session 3 iqn.x connection 2". g_free(). */
static char *name_of(const struct attempt *a)
{
	const struct revive *r = a->revive;

	return a->wanted ? g_strdup_printf("session %u %s connection %u", revive_session(r)->sid,
					   r->nexus->target->name, a->wanted->cid)
			 : g_strdup_printf("session %u %s", revive_session(r)->sid,
					   r->nexus->target->name);
}

/* ---- when ---- */

static void on_timer(struct loop_timer *t);

static void attempt_init(struct attempt *a, struct revive *r, struct wanted *w)
{
	a->revive = r;
	a->wanted = w;
	a->owners = g_ptr_array_new();
	a->up_us = loop_now_us(revive_session(r)->loop);
	loop_timer_init(revive_session(r)->loop, &a->timer, on_timer);
}

static void attempt_stop(struct attempt *a)
{
	loop_timer_stop(&a->timer);
	dial_cancel(g_steal_pointer(&a->dial));
}

static void attempt_done(struct attempt *a)
{
	attempt_stop(a);
	loop_timer_done(&a->timer);
	g_ptr_array_unref(a->owners);
}

/* Of several that were lost together, not all shall come in the same moment: a quarter more or
 * less. */
static int64_t pause_ms(const struct attempt *a)
{
	int64_t most = a->is_refused ? REVIVE_REFUSED_MAX_MS : REVIVE_PAUSE_MAX_MS;
	int64_t ms;

	if (!a->failures)
		return 0;
	ms = MIN((int64_t)REVIVE_PAUSE_MS << MIN(a->failures - 1, 16), most);
	return ms * g_random_int_range(75, 126) / 100;
}

static void schedule(struct attempt *a)
{
	struct revive *r = a->revive;
	int64_t ms = pause_ms(a);

	if (r->is_paused || r->is_stopped || list_is_empty(&r->wanted) || a->dial)
		return;
	loop_timer_start(&a->timer, MAX(ms, session_wait_ms(revive_session(r))));
}

/* What was up for a while begins with a clean slate. */
static void attempt_lost(struct attempt *a)
{
	int64_t now = loop_now_us(revive_session(a->revive)->loop);

	a->failures = now - a->up_us < REVIVE_STEADY_MS * 1000 ? a->failures + 1 : 0;
	a->is_refused = false;
	a->lost_us = now;
}

static void attempt_up(struct attempt *a)
{
	a->up_us = loop_now_us(revive_session(a->revive)->loop);
	a->is_refused = false;
	a->told_code = a->told_errno = 0;
	loop_timer_stop(&a->timer);
}

/* ---- woken ---- */

/* Somebody got through there: those that pause need not. */
static void wake(struct attempt *a, const char *portal)
{
	if (loop_timer_is_running(&a->timer) && revive_where_has(a, portal))
		loop_timer_start(&a->timer, session_wait_ms(revive_session(a->revive)));
}

static void on_answered(struct portal_watch *watch, const char *portal)
{
	struct revive *r = container_of(watch, struct revive, watch);

	wake(&r->lead, portal);
	list_for_each(pos, &r->wanted)
		wake(&list_entry(pos, struct wanted, link)->attempt, portal);
}

/* ---- those who wait ---- */

static void waiter_end(struct waiter *w, GError *err)
{
	list_remove(&w->link);
	operation_step(w->op, NULL, NULL);
	operation_finish(w->op, err);
	operation_unref(w->op);
	g_free(w);
}

static void on_waiter_cancel(struct operation *op)
{
	waiter_end(op->step, NULL);
}

/* The round that has just failed began after they came. */
static void waiters_fail(struct revive *r, const GError *err)
{
	list_for_each_safe(pos, &r->waiters) {
		struct waiter *w = list_entry(pos, struct waiter, link);

		if (w->round < r->rounds)
			waiter_end(w, g_error_copy(err));
	}
}

static void waiters_succeed(struct revive *r)
{
	const struct session *s = revive_session(r);
	const struct conn *c = s->conns ? s->conns->data : NULL;

	list_for_each_safe(pos, &r->waiters) {
		struct waiter *w = list_entry(pos, struct waiter, link);

		operation_result(w->op, "session", "%u", s->sid);
		if (c)
			operation_result(w->op, "connection", "%u", c->cid);
		operation_result(w->op, "portal", "%s", r->nexus->portal);
		waiter_end(w, NULL);
	}
}

/* ---- what came of it ---- */

/* Once for each kind of trouble. */
static void tell_failure(struct attempt *a, const struct dial_result *result)
{
	struct revive *r = a->revive;
	const GError *err = result->error;
	int code = (int)error_info_of(err)->code;

	if (a->told_code == code && a->told_errno == error_errno(err)) {
		log_debug("%s (again, %u)", err->message, a->failures);
		return;
	}
	a->told_code = code;
	a->told_errno = error_errno(err);
	dial_emit(revive_daemon(r), result, "; trying on");
	object_fail(&r->nexus->target->obj, "reconnect", err);
	object_fail(&revive_session(r)->obj, "reconnect", err);
}

static void wanted_move(struct wanted *w, const char *portal)
{
	int tpgt;

	g_free(w->host);
	g_free(w->portal);
	w->portal = g_strdup(portal);
	text_parse_portal(portal, ISCSI_DEFAULT_PORT, &w->host, &w->port, &tpgt);
}

/* Takes a reference of @c. */
static void wanted_set_conn(struct wanted *w, struct conn *c)
{
	w->conn = c;
	object_ref(&c->obj);
	w->cid = c->cid;
}

static void wanted_drop_conn(struct wanted *w)
{
	if (w->conn)
		object_unref(&w->conn->obj);
	w->conn = NULL;
}

static void wanted_up(struct wanted *w, const struct dial_result *result)
{
	struct revive *r = w->attempt.revive;
	struct session *s = revive_session(r);
	double away = (double)(loop_now_us(s->loop) - w->attempt.lost_us) / 1e6;

	wanted_set_state(w, WANTED_UP);
	wanted_set_conn(w, result->conn);
	w->conn->lane.is_standby = w->is_standby;
	w->conn->lane.weight = w->weight;
	if (result->moved)
		wanted_move(w, result->moved);
	attempt_up(&w->attempt);
	event_emit(revive_daemon(r), EVENT_RECONNECTED,
		   "session %u %s connection %u via %s is back after %.1f s", s->sid,
		   r->nexus->target->name, w->cid, result->portal, away);
}

static void session_is_up(struct revive *r, const struct dial_result *result)
{
	struct session *s = revive_session(r);

	attempt_up(&r->lead);
	nexus_set_portal(r->nexus, result->portal);
	event_emit(revive_daemon(r), EVENT_SESSION_UP, "session %u %s via %s is back", s->sid,
		   r->nexus->target->name, result->portal);
	list_for_each(pos, &r->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		if (w->state != WANTED_PARKED)
			continue;
		wanted_set_state(w, WANTED_WAITING);
		schedule(&w->attempt);
	}
	if (r->nexus->is_verified)
		waiters_succeed(r);
}

static void on_dialled(void *arg, const struct dial_result *result)
{
	struct attempt *a = arg;
	struct revive *r = a->revive;
	struct wanted *w = a->wanted;

	a->dial = NULL;
	if (!result->error) {
		wanted_up(a->owners->pdata[result->index], result);
		if (!w)
			session_is_up(r, result);
		return;
	}
	a->failures++;
	a->is_refused = result->is_permanent;
	tell_failure(a, result);
	if (w)
		wanted_set_state(w, WANTED_WAITING);
	else
		waiters_fail(r, result->error);
	schedule(a);
}

static void on_timer(struct loop_timer *t)
{
	struct attempt *a = container_of(t, struct attempt, timer);
	struct revive *r = a->revive;
	g_autoptr(GArray) portals = revive_where_list(a);
	g_autofree char *who = name_of(a);

	if (a->wanted)
		wanted_set_state(a->wanted, WANTED_DIALLING);
	else
		r->rounds++;
	a->dial = dial_start(
		&(struct dial_config){
			.daemon = revive_daemon(r),
			.who = who,
			.into = revive_session(r),
			.portals = (const struct dial_portal *)(void *)portals->data,
			.count = portals->len },
		on_dialled, a);
}

/* ---- the session's news ---- */

static struct wanted *find(const struct revive *r, const struct conn *c)
{
	list_for_each(pos, &r->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		if (w->conn == c)
			return w;
	}
	return NULL;
}

static void wanted_lost(struct wanted *w, const GError *err)
{
	struct revive *r = w->attempt.revive;
	bool is_up = revive_session_is_up(r);

	event_emit(revive_daemon(r), EVENT_CONNECTION_LOST,
		   "session %u %s connection %u via %s was lost: %s; will retry",
		   revive_session(r)->sid, r->nexus->target->name, w->cid, w->conn->remote,
		   err ? err->message : "closed");
	/* A portal that has fallen silent may still take connections, and be silent by them: the
	 * others first. */
	if (err && error_errno(err) == ETIMEDOUT)
		portal_health_failed(revive_daemon(r)->health, w->conn->remote);
	wanted_drop_conn(w);
	attempt_lost(&w->attempt);
	wanted_set_state(w, is_up ? WANTED_WAITING : WANTED_PARKED);
	if (is_up)
		schedule(&w->attempt);
}

void revive_conn_lost(struct revive *r, struct conn *c, const GError *err)
{
	struct wanted *w = r->is_stopped ? NULL : find(r, c);

	if (w)
		wanted_lost(w, err);
}

void revive_session_failed(struct revive *r)
{
	if (list_is_empty(&r->wanted) || r->is_stopped)
		return;
	list_for_each(pos, &r->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		if (w->state == WANTED_UP)
			wanted_lost(w, w->conn->error);
		attempt_stop(&w->attempt);
		if (w->state != WANTED_PARKED)
			wanted_set_state(w, WANTED_PARKED);
	}
	event_emit(revive_daemon(r), EVENT_SESSION_RETRYING,
		   "session %u %s: no connection is left, being brought back",
		   revive_session(r)->sid, r->nexus->target->name);
	attempt_lost(&r->lead);
	if (revive_session(r)->why) /* it came back, and was lost again */
		waiters_fail(r, revive_session(r)->why);
	schedule(&r->lead);
}

void revive_verified(struct revive *r)
{
	waiters_succeed(r);
}

/* ---- what people want ---- */

void revive_want(struct revive *r, struct conn *c, const char *portal, bool is_named,
		 const char *source)
{
	struct wanted *w = g_new0(struct wanted, 1);

	wanted_move(w, portal);
	w->source = g_strdup(source);
	w->is_named = is_named;
	w->is_standby = c->lane.is_standby;
	w->weight = c->lane.weight;
	w->state = WANTED_UP;
	wanted_set_conn(w, c);
	attempt_init(&w->attempt, r, w);
	list_push_tail(&r->wanted, &w->link);
}

static void wanted_free(struct wanted *w)
{
	list_remove(&w->link);
	attempt_done(&w->attempt);
	wanted_drop_conn(w);
	g_free(w->host);
	g_free(w->portal);
	g_free(w->source);
	g_free(w);
}

/* The session's own attempt may be at a portal of @w. */
static void wanted_forget(struct revive *r, struct wanted *w)
{
	bool is_dialling = r->lead.dial != NULL;

	if (is_dialling)
		attempt_stop(&r->lead);
	wanted_free(w);
	if (is_dialling)
		schedule(&r->lead);
}

void revive_forget(struct revive *r, const struct conn *c)
{
	struct wanted *w = find(r, c);

	if (w)
		wanted_forget(r, w);
}

static struct wanted *find_cid(const struct revive *r, unsigned cid)
{
	list_for_each(pos, &r->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		if (w->cid == cid)
			return w;
	}
	return NULL;
}

bool revive_has_cid(const struct revive *r, unsigned cid)
{
	return find_cid(r, cid) != NULL;
}

bool revive_forget_cid(struct revive *r, unsigned cid)
{
	struct wanted *w = find_cid(r, cid);

	if (w)
		wanted_forget(r, w);
	return w;
}

void revive_remember_lane(struct revive *r, const struct conn *c)
{
	struct wanted *w = find(r, c);

	if (!w)
		return;
	w->is_standby = c->lane.is_standby;
	w->weight = c->lane.weight;
}

unsigned revive_wanted_count(const struct revive *r)
{
	unsigned count = 0;

	list_for_each(pos, &r->wanted)
		count++;
	return count;
}

unsigned revive_missing_count(const struct revive *r)
{
	unsigned count = 0;

	list_for_each(pos, &r->wanted)
		count += list_entry(pos, struct wanted, link)->state != WANTED_UP;
	return count;
}

static void describe(const struct attempt *a, bool is_up, struct revive_item *ret)
{
	int64_t now = loop_now_us(revive_session(a->revive)->loop);
	bool is_due = !is_up && loop_timer_is_running(&a->timer);

	*ret = (struct revive_item){
		.is_up = is_up,
		.is_dialling = a->dial != NULL,
		.failures = is_up ? 0 : a->failures,
		.away_ms = is_up ? 0 : (now - a->lost_us) / 1000,
		.next_ms = is_due ? MAX(a->timer.due_us - now, 0) / 1000 : -1,
	};
}

bool revive_item_at(const struct revive *r, unsigned index, struct revive_item *ret)
{
	if (!index) {
		describe(&r->lead, revive_session_is_up(r), ret);
		return true;
	}
	list_for_each(pos, &r->wanted) {
		const struct wanted *w = list_entry(pos, struct wanted, link);

		if (--index)
			continue;
		describe(&w->attempt, w->state == WANTED_UP, ret);
		ret->portal = w->portal;
		ret->cid = w->cid;
		return true;
	}
	return false;
}

bool revive_uses(const struct revive *r, const char *portal, const char *source)
{
	list_for_each(pos, &r->wanted) {
		const struct wanted *w = list_entry(pos, struct wanted, link);

		if (!strcmp(w->portal, portal) && !g_strcmp0(w->source, source))
			return true;
	}
	return false;
}

void revive_kick(struct revive *r, struct operation *op)
{
	struct waiter *w = g_new0(struct waiter, 1);

	w->revive = r;
	w->op = operation_ref(op);
	w->round = r->rounds;
	list_push_tail(&r->waiters, &w->link);
	operation_step(op, on_waiter_cancel, w);
	if (revive_session_is_up(r) && r->nexus->is_verified)
		waiters_succeed(r);
	else if (!revive_session_is_up(r) && !r->lead.dial && !r->is_paused && !r->is_stopped)
		loop_timer_start(&r->lead.timer, session_wait_ms(revive_session(r)));
}

void revive_pause(struct revive *r)
{
	r->is_paused = true;
	attempt_stop(&r->lead);
	list_for_each(pos, &r->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		attempt_stop(&w->attempt);
		if (w->state == WANTED_DIALLING)
			wanted_set_state(w, WANTED_WAITING);
	}
}

void revive_resume(struct revive *r)
{
	r->is_paused = false;
	if (!revive_session_is_up(r)) {
		schedule(&r->lead);
		return;
	}
	list_for_each(pos, &r->wanted) {
		struct wanted *w = list_entry(pos, struct wanted, link);

		if (w->state == WANTED_WAITING)
			schedule(&w->attempt);
	}
}

static void waiters_give_up(struct revive *r)
{
	list_for_each_safe(pos, &r->waiters) {
		GError *err = NULL;

		error_set_errno(&err, ISDSC_SESSION_BUSY, EBUSY,
				"%s: session %u has been logged out", r->nexus->target->name,
				revive_session(r)->sid);
		waiter_end(list_entry(pos, struct waiter, link), err);
	}
}

void revive_stop(struct revive *r)
{
	r->is_stopped = true;
	portal_watch_stop(&r->watch);
	revive_pause(r);
	waiters_give_up(r);
}

struct revive *revive_new(struct nexus *n)
{
	struct revive *r = g_new0(struct revive, 1);

	r->nexus = n;
	list_init(&r->wanted);
	list_init(&r->waiters);
	attempt_init(&r->lead, r, NULL);
	portal_watch_init(&r->watch, on_answered);
	portal_watch_start(revive_daemon(r)->health, &r->watch);
	return r;
}

void revive_free(struct revive *r)
{
	if (!r)
		return;
	revive_stop(r);
	list_for_each_safe(pos, &r->wanted)
		wanted_free(list_entry(pos, struct wanted, link));
	attempt_done(&r->lead);
	g_free(r);
}
