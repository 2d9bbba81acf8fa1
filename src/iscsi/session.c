/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions: see session.h for the states and for who owns what. */
#include "iscsi/session.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "iscsi/conn_snack.h"

#define SESSION_TICK_MS 250 /* how exactly a task's deadline is kept */

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[SESSION_STATES] = {
#define TO(state) (1u << SESSION_##state)
	[SESSION_FREE] = { "free", TO(LOGGED_IN) | TO(CLOSED) },	  /* N1 */
	[SESSION_LOGGED_IN] = { "logged-in", TO(FAILED) | TO(CLOSED) },	  /* N5, N3 */
	[SESSION_FAILED] = { "failed", TO(LOGGED_IN) | TO(CLOSED) },	  /* N4, N6 */
	[SESSION_CLOSED] = { "closed", 0 },
#undef TO
};

const char *session_state_name(enum session_state s)
{
	return states[s].name;
}

bool session_state_may(enum session_state from, enum session_state to)
{
	return states[from].next & 1u << to;
}

/* A call that is queued holds a reference: its function gives it back. */
static void session_queue(struct session *s, struct loop_call *call)
{
	if (loop_call_is_queued(call))
		return;
	object_ref(&s->obj);
	loop_call_queue(s->loop, call);
}

static void session_set_state(struct session *s, enum session_state to)
{
	assert(session_state_may(s->state, to));
	log_debug("session %u: %s -> %s", s->sid, states[s->state].name, states[to].name);
	s->state = to;
	session_queue(s, &s->state_call);
}

static void session_state_call(struct loop_call *call)
{
	struct session *s = container_of(call, struct session, state_call);

	if (s->told_state != s->state) {
		s->told_state = s->state;
		if (s->ops && s->ops->state_changed)
			s->ops->state_changed(s, s->why, s->arg);
	}
	object_unref(&s->obj);
}

/* --- configuration --- */

void session_timeouts_default(struct session_timeouts *t)
{
	*t = (struct session_timeouts){
		.connect_ms = 10000,
		.login_ms = 15000,
		.logout_ms = 10000,
		.text_ms = 15000,
		.nop_interval_ms = 10000,
		.nop_timeout_ms = 10000,
		.command_ms = 30000,
	};
}

void session_config_done(struct session_config *c)
{
	g_free(c->target_name);
	g_free(c->initiator_name);
	g_free(c->initiator_alias);
	chap_config_done(&c->chap);
	memset(c, 0, sizeof(*c));
}

static uint8_t *copy_bytes(const uint8_t *p, size_t bytes)
{
	return p ? g_memdup2(p, bytes) : NULL;
}

void session_config_copy(struct session_config *to, const struct session_config *from)
{
	*to = *from;
	to->target_name = g_strdup(from->target_name);
	to->initiator_name = g_strdup(from->initiator_name);
	to->initiator_alias = g_strdup(from->initiator_alias);
	to->chap.user = g_strdup(from->chap.user);
	to->chap.user_in = g_strdup(from->chap.user_in);
	to->chap.secret = copy_bytes(from->chap.secret, from->chap.secret_bytes);
	to->chap.secret_in = copy_bytes(from->chap.secret_in, from->chap.secret_in_bytes);
}

/* --- tags --- */

static void session_slots_init(struct session *s)
{
	for (unsigned i = 0; i < SESSION_SLOTS; i++)
		s->slots[i].next_free = (uint16_t)(i + 1);
	s->free_slot = 0;
	s->free_slots = SESSION_SLOTS;
}

bool session_slot_get(struct session *s, struct task *t, bool is_control)
{
	unsigned i = s->free_slot;

	if (s->free_slots <= (is_control ? 0 : SESSION_SLOTS_RESERVED))
		return false;
	s->free_slot = s->slots[i].next_free;
	s->free_slots--;
	s->slots[i].task = t;
	t->itt = (uint32_t)s->slots[i].generation << 16 | i;
	s->outstanding_count++;
	return true;
}

static void session_slot_put(struct session *s, struct task *t)
{
	struct itt_slot *slot;
	unsigned i = t->itt & 0xffff;

	if (t->itt == ISCSI_TAG_NONE)
		return;
	slot = &s->slots[i];
	assert(slot->task == t);
	slot->task = NULL;
	slot->generation++;
	slot->next_free = s->free_slot;
	s->free_slot = (uint16_t)i;
	s->free_slots++;
	s->outstanding_count--;
	t->itt = ISCSI_TAG_NONE;
}

struct task *session_task_by_itt(const struct session *s, uint32_t itt)
{
	unsigned i = itt & 0xffff;

	if (i >= SESSION_SLOTS || s->slots[i].generation != itt >> 16)
		return NULL;
	return s->slots[i].task;
}

/* --- command window --- */

/* Serial number arithmetic of RFC 1982, as 4.2.2.1 wants: is a later than b? */
static bool serial_after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

void session_window(struct session *s, uint32_t exp_cmd_sn, uint32_t max_cmd_sn)
{
	/* "If the PDU MaxCmdSN is less than the PDU ExpCmdSN - 1 they are both ignored"; else each
	 * counts only when it rises. */
	if (serial_after(exp_cmd_sn - 1, max_cmd_sn))
		return;
	if (serial_after(exp_cmd_sn, s->exp_cmd_sn))
		s->exp_cmd_sn = exp_cmd_sn;
	if (serial_after(max_cmd_sn, s->max_cmd_sn)) {
		s->max_cmd_sn = max_cmd_sn;
		session_want_flush(s);
	}
}

bool session_window_is_open(const struct session *s)
{
	return !serial_after(s->cmd_sn, s->max_cmd_sn);
}

/* --- tasks --- */

void session_want_flush(struct session *s)
{
	if (loop_call_is_queued(&s->flush))
		return;
	object_ref(&s->obj);
	loop_flush_queue(s->loop, &s->flush);
}

struct conn *session_pick(struct session *s)
{
	struct conn *best = NULL;

	for (GList *l = s->conns; l; l = l->next) {
		struct conn *c = l->data;

		if (conn_is_usable(c) && tx_has_room(&c->tx) &&
		    (!best || policy_prefers(s->policy, &c->lane, &best->lane)))
			best = c;
	}
	return best;
}

void session_set_policy(struct session *s, enum policy p)
{
	s->policy = p;
}

static void session_send_queued(struct session *s)
{
	struct list *node;

	while ((node = list_first(&s->queue))) {
		struct task *t = list_entry(node, struct task, link);
		struct conn *c;

		if (!session_window_is_open(s)) {
			s->stats.window_waits++;
			return;
		}
		c = session_pick(s);
		if (!c || !session_slot_get(s, t, false))
			return;
		list_remove(node);
		s->queue_count--;
		policy_take(&c->lane, &s->policy_clock);
		conn_send_command(c, t);
	}
}

/* @f may end any connection, and with it others. */
static void session_for_each_conn(struct session *s, void (*f)(struct conn *c))
{
	unsigned round = ++s->round;

again:
	for (GList *l = s->conns; l; l = l->next) {
		struct conn *c = l->data;

		if (c->round == round)
			continue;
		c->round = round;
		f(c);
		goto again;
	}
}

static void session_flush(struct loop_call *call)
{
	struct session *s = container_of(call, struct session, flush);

	if (!list_is_empty(&s->retries) || !list_is_empty(&s->reassigns))
		session_send_stranded(s);
	session_send_queued(s);
	session_for_each_conn(s, conn_flush);
	/* A batch was full and has left: nobody else would wake what still waits. */
	if (s->queue_count && session_window_is_open(s) && session_pick(s) &&
	    s->free_slots > SESSION_SLOTS_RESERVED)
		session_want_flush(s);
	object_unref(&s->obj);
}

struct conn *session_any_conn(const struct session *s)
{
	for (GList *l = s->conns; l; l = l->next)
		if (conn_is_usable(l->data))
			return l->data;
	return NULL;
}

bool session_is_usable(const struct session *s)
{
	return s->state == SESSION_LOGGED_IN && !s->is_logging_out && !s->must_restart &&
	       session_any_conn(s);
}

int session_submit(struct session *s, struct task *t)
{
	if (!session_is_usable(s))
		return -ENOTCONN;
	task_reset(t);
	t->session = s;
	t->sent_us = loop_now_us(s->loop); /* until it is sent: when its time began */
	t->state = TASK_QUEUED;
	list_push_tail(&s->queue, &t->link);
	s->queue_count++;
	s->stats.commands++;
	session_want_flush(s);
	if (!loop_timer_is_running(&s->tick))
		loop_timer_start(&s->tick, SESSION_TICK_MS);
	return 0;
}

bool session_withdraw(struct session *s, struct task *t)
{
	if (t->state != TASK_QUEUED || t->kind != TASK_SCSI)
		return false;
	list_remove(&t->link);
	s->queue_count--;
	t->state = TASK_IDLE;
	return true;
}

/* Off every list, its tag free. */
static void session_task_unlink(struct session *s, struct task *t)
{
	list_remove(&t->link);
	if (t->recovery.is_stat_held)
		conn_forget_recovery(t);
	if (t->state == TASK_SENT || t->state == TASK_RESPONDED) {
		t->conn->outstanding_count--;
		t->conn->lane.in_flight -= t->kind == TASK_SCSI;
	} else if (t->state == TASK_QUEUED && t->kind == TASK_SCSI) {
		s->queue_count--;
	}
	session_slot_put(s, t);
	t->state = TASK_DONE;
}

void session_task_finish(struct session *s, struct task *t, enum task_result result)
{
	struct conn *c = t->conn;

	session_task_unlink(s, t);
	t->result = result;
	if (t->kind == TASK_SCSI)
		s->progress_us = loop_now_us(s->loop);
	if (t->direction == TASK_READ)
		s->stats.read_bytes += t->transferred;
	else
		s->stats.write_bytes += t->transferred;
	if (!list_is_empty(&s->queue))
		session_want_flush(s);
	t->done(t);
	if (c && c->state == CONN_LOGOUT_REQUESTED && !c->outstanding_count)
		conn_drained(c);
}

void session_task_lost(struct session *s, struct task *t, enum task_result result)
{
	session_task_unlink(s, t);
	t->result = result;
	list_push_tail(&s->lost, &t->link);
	session_queue(s, &s->lost_call);
}

static void session_lost_call(struct loop_call *call)
{
	struct session *s = container_of(call, struct session, lost_call);
	struct list *node;

	while ((node = list_pop(&s->lost))) {
		struct task *t = list_entry(node, struct task, link);

		t->done(t);
	}
	object_unref(&s->obj);
}

static void session_lose_queue(struct session *s)
{
	list_for_each_safe(pos, &s->queue)
		session_task_lost(s, list_entry(pos, struct task, link), TASK_RESULT_NEVER_SENT);
}

/* --- deadlines --- */

int64_t session_deadline_us(const struct session *s, const struct task *t)
{
	if (t->deadline_us)
		return t->deadline_us;
	if (!s->config.timeouts.command_ms || !t->sent_us)
		return INT64_MAX;
	return t->sent_us + s->config.timeouts.command_ms * 1000;
}

/* @t is SENT and at its deadline: it fails now. Its data are the target's to read and write as long
 * as the connection lives. */
static void session_overdue(struct conn *c, const struct task *t)
{
	struct session *s = c->session;
	GError *err = NULL;

	if (loop_now_us(s->loop) < t->attempt_us) /* else the ladder has counted it */
		s->stats.timeouts++;
	error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
			"no answer to SCSI command 0x%02x within %.3g s", t->cdb[0],
			(double)(loop_now_us(s->loop) - t->sent_us) / 1e6);
	conn_fail(c, err);
}

/* A command without an answer: looked after (level 1), aborted when its attempt has had its time
 * (session_ladder.c), failed at its deadline. */
static void session_check_conn(struct conn *c)
{
	struct session *s = c->session;
	int64_t now = loop_now_us(s->loop), quiet_us = session_quiet_ms(s) * 1000;
	bool may_look = s->values.error_recovery_level && !session_is_recovering(s);

	list_for_each(pos, &c->outstanding) {
		struct task *t = list_entry(pos, struct task, link);

		if (t->kind != TASK_SCSI)
			continue;
		if (now >= session_deadline_us(s, t)) {
			session_overdue(c, t);
			return;
		}
		if (t->state != TASK_SENT || t->is_reassigning || c->state != CONN_LOGGED_IN)
			continue;
		if (session_is_stuck(s, t))
			session_abort_task(s, t);
		else if (may_look && !t->is_unproven &&
			 now - MAX(t->quiet_us, t->looked_us) >= quiet_us)
			conn_look_after(c, t);
		if (c->state == CONN_CLEANUP)
			return;
	}
}

static void session_tick(struct loop_timer *timer)
{
	struct session *s = container_of(timer, struct session, tick);
	int64_t now = loop_now_us(s->loop);

	object_ref(&s->obj);
	list_for_each_safe(pos, &s->queue) {
		struct task *t = list_entry(pos, struct task, link);

		if (now >= session_deadline_us(s, t))
			session_task_lost(s, t, TASK_RESULT_NEVER_SENT);
	}
	session_for_each_conn(s, session_check_conn);
	session_recover_tick(s);
	if (s->queue_count || s->outstanding_count)
		loop_timer_start(&s->tick, SESSION_TICK_MS);
	object_unref(&s->obj);
}

/* --- connections --- */

static unsigned session_count_conns(const struct session *s, bool (*is)(const struct conn *))
{
	unsigned count = 0;

	for (GList *l = s->conns; l; l = l->next)
		count += is(l->data);
	return count;
}

static bool conn_is_up(const struct conn *c)
{
	return c->state >= CONN_LOGGED_IN && c->state < CONN_CLEANUP;
}

/* Which of them can be added to: those that are up, or about to be. */
static bool conn_counts(const struct conn *c)
{
	return c->state < CONN_CLEANUP;
}

int session_add_connection(struct session *s, const struct conn_address *address,
			   conn_login_fn *done, void *arg, struct conn **ret_conn)
{
	uint32_t old_exp_stat_sn;
	struct conn *c;
	uint16_t cid;

	if (s->state == SESSION_CLOSED || s->is_logging_out)
		return -ENOTCONN;
	if (s->state != SESSION_LOGGED_IN && s->conns)
		return -EBUSY;
	if (s->state == SESSION_LOGGED_IN &&
	    session_count_conns(s, conn_counts) >= s->values.max_connections)
		return -EUSERS;
	if (s->state != SESSION_LOGGED_IN && !session_may_resume(s)) {
		session_forget(s);
		s->tsih = 0; /* 6.3.5: a new session, which replaces what is left of the old */
	}
	cid = session_take_cid(s, &old_exp_stat_sn);
	c = conn_new(s, s->next_cid++, cid, address);
	c->is_leading = !s->tsih;
	c->old_exp_stat_sn = old_exp_stat_sn;
	s->conns = g_list_append(s->conns, c);
	if (ret_conn)
		*ret_conn = c;
	conn_start(c, done, arg);
	return 0;
}

void session_conn_logged_in(struct session *s, struct conn *c)
{
	if (c->is_leading) {
		s->stats.restarts += s->lives > 0;
		s->lives++;
		s->stats.logins++;
		s->must_restart = false;
		s->ladder_us = 0;
		s->is_reassign_refused = false;
	} else if (s->state == SESSION_FAILED) {
		s->stats.resumes++;
	}
	if (c->cid > 1)
		s->stats.conns_added++;
	if (s->state != SESSION_LOGGED_IN) {
		g_clear_error(&s->why);
		s->logged_in_us = g_get_real_time();
		session_set_state(s, SESSION_LOGGED_IN);
	}
	session_recover_by(s, c);
}

/* Its logout is the session's. */
static bool session_is_leaving_by(const struct conn *c)
{
	return c->state == CONN_IN_LOGOUT && c->logout.function == ISCSI_LOGOUT_SESSION;
}

bool session_is_leaving(const struct session *s)
{
	return session_count_conns(s, session_is_leaving_by);
}

static void session_logout_finish(struct session *s, GError *err)
{
	if (s->logout_done && !s->logout_error)
		s->logout_error = err;
	else
		g_clear_error(&err);
	if (s->logout_done)
		session_queue(s, &s->logout_call);
}

static void session_logout_call(struct loop_call *call)
{
	struct session *s = container_of(call, struct session, logout_call);
	session_logout_fn *done = s->logout_done;

	s->logout_done = NULL;
	if (done)
		done(s, s->logout_error, s->logout_arg);
	g_clear_error(&s->logout_error);
	object_unref(&s->obj);
}

/* The last connection is gone. */
static void session_conns_gone(struct session *s, const struct conn *last)
{
	g_clear_error(&s->why);
	s->why = last->error ? g_error_copy(last->error) : NULL;
	if (s->is_logging_out) {
		session_logout_finish(s, last->error ? g_error_copy(last->error) : NULL);
		session_close(s);
		return;
	}
	s->stats.failures++;
	session_set_state(s, SESSION_FAILED);
	session_lose_queue(s);
	if (session_may_resume(s))
		return;
	session_forget(s);
	while (s->conns) { /* a further one in its login: there is nothing to join any more */
		GError *err = NULL;

		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNABORTED,
				"the session was lost meanwhile");
		conn_fail(s->conns->data, err);
	}
}

void session_conn_closed(struct session *s, struct conn *c)
{
	GList *l = g_list_find(s->conns, c);

	if (!l)
		return;
	s->conns = g_list_delete_link(s->conns, l);
	if (s->text.conn == c)
		session_text_fail(s, c->error ? g_error_copy(c->error) : NULL);
	if (c->is_wanted) {
		s->stats.conns_lost++;
		session_queue(s, &c->lost_call);
		object_ref(&c->obj);
	}
	if (s->state == SESSION_LOGGED_IN &&
	    (!session_count_conns(s, conn_is_up) ||
	     (s->is_logging_out && !session_count_conns(s, session_is_leaving_by))))
		session_conns_gone(s, c);
	object_gone(&c->obj);
}

void session_stay_away(struct session *s, int64_t seconds)
{
	s->wait_until_us =
		MAX(s->wait_until_us, loop_now_us(s->loop) + seconds * INT64_C(1000000));
}

/* --- logout and end --- */

int session_logout(struct session *s, session_logout_fn *done, void *arg)
{
	if (s->is_logging_out || s->logout_done)
		return -EALREADY;
	s->logout_done = done;
	s->logout_arg = arg;
	s->is_logging_out = true;
	for (GList *l = s->conns; l && s->state == SESSION_LOGGED_IN; l = l->next)
		if (session_is_leaving_by(l->data) || !conn_logout(l->data, ISCSI_LOGOUT_SESSION))
			return 0;
	/* Only some that are being logged out one by one: the last ends the session. */
	if (s->state == SESSION_LOGGED_IN && session_count_conns(s, conn_is_up))
		return 0;
	session_logout_finish(s, NULL); /* nobody to say good-bye to */
	session_close(s);
	return 0;
}

/* The target asked for it (11.9.1, event 1): it may be back later, and so shall we. */
static void session_left(struct session *s)
{
	s->must_restart = true;
	while (s->conns) {
		struct conn *c = s->conns->data;

		if (!c->error)
			error_set_errno(&c->error, ISDSC_CONNECTION_FAILED, ESHUTDOWN,
					"the target asked for a logout");
		c->is_wanted = conn_is_up(c);
		conn_close(c);
	}
}

void session_logout_answered(struct session *s, struct conn *c, uint8_t response)
{
	GError *err = NULL;

	/* 11.15.1: 1, CID not found, comes from targets that were faster than us. */
	if (response > 1)
		error_set_errno(&err, ISDSC_TARGET_ERROR, EPROTO,
				"the target answered the logout with response %u", response);
	if (!s->is_logging_out) {
		g_clear_error(&err);
		session_stay_away(s, c->logout.time2wait);
		session_left(s);
		return;
	}
	session_logout_finish(s, err);
	session_close(s);
}

/* --- one connection of several --- */

static void session_removed_call(struct loop_call *call)
{
	struct conn *c = container_of(call, struct conn, removed_call);
	session_logout_fn *removed = c->removed;

	c->removed = NULL;
	if (removed)
		removed(c->session, c->error, c->removed_arg);
	object_unref(&c->obj);
}

static void session_lost_conn_call(struct loop_call *call)
{
	struct conn *c = container_of(call, struct conn, lost_call);
	struct session *s = c->session;

	if (s->ops && s->ops->conn_lost && s->state != SESSION_CLOSED)
		s->ops->conn_lost(s, c, c->error, s->arg);
	object_unref(&c->obj);
	object_unref(&s->obj);
}

void session_init_conn(struct conn *c)
{
	loop_call_init(&c->removed_call, session_removed_call);
	loop_call_init(&c->lost_call, session_lost_conn_call);
}

void session_removal_ends(struct conn *c)
{
	if (!c->removed || loop_call_is_queued(&c->removed_call))
		return;
	object_ref(&c->obj);
	loop_call_queue(c->session->loop, &c->removed_call);
}

int session_remove_connection(struct session *s, struct conn *c, session_logout_fn *done,
			      void *arg)
{
	if (s->state != SESSION_LOGGED_IN || s->is_logging_out || !conn_is_up(c))
		return -ENOTCONN;
	if (c->state != CONN_LOGGED_IN || c->removed)
		return -EALREADY;
	if (session_count_conns(s, conn_is_usable) < 2)
		return -EBUSY;
	c->removed = done;
	c->removed_arg = arg;
	conn_drain(c, ISCSI_LOGOUT_CONNECTION, s->config.timeouts.logout_ms);
	return 0;
}

void session_event(struct session *s, const struct conn *c, unsigned id, const char *fmt, ...)
{
	g_autofree char *text = NULL;
	va_list ap;

	if (!s->ops || !s->ops->event)
		return;
	va_start(ap, fmt);
	text = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	s->ops->event(s, c, id, text, s->arg);
}

void session_close(struct session *s)
{
	if (s->state == SESSION_CLOSED)
		return;
	object_ref(&s->obj);
	session_set_state(s, SESSION_CLOSED); /* first: so that what follows is no failure */
	session_ladder_drop(s);
	while (s->conns)
		conn_close(s->conns->data);
	session_lose_queue(s);
	session_forget(s);
	session_text_fail(s, NULL);
	session_negotiate_drop(s);
	if (s->logout_done)
		session_queue(s, &s->logout_call);
	loop_timer_stop(&s->tick);
	object_unref(&s->obj);
}

void session_detach(struct session *s)
{
	s->ops = NULL;
	s->arg = NULL;
}

static void session_free(struct object *o)
{
	struct session *s = container_of(o, struct session, obj);

	assert(!s->conns && list_is_empty(&s->queue) && list_is_empty(&s->lost));
	loop_timer_done(&s->tick);
	session_text_done(s);
	session_config_done(&s->config);
	chap_history_free(s->own_chap_history);
	g_clear_error(&s->why);
	g_clear_error(&s->logout_error);
	object_done(o);
	g_free(s);
}

struct session *session_new(struct loop *l, const struct session_config *config, unsigned sid,
			    const struct session_ops *ops, void *arg)
{
	struct session *s = g_new0(struct session, 1);

	object_init(&s->obj, l, OBJECT_SESSION, session_free);
	s->loop = l;
	s->sid = sid;
	s->ops = ops;
	s->arg = arg;
	session_config_copy(&s->config, config);
	if (!s->config.chap_history)
		s->config.chap_history = s->own_chap_history = chap_history_new();
	s->cmd_sn = 1;
	s->next_cid = 1;
	s->policy = POLICY_LEAST_QUEUE_DEPTH;
	session_slots_init(s);
	list_init(&s->queue);
	list_init(&s->lost);
	list_init(&s->lost_conns);
	list_init(&s->retries);
	list_init(&s->reassigns);
	list_init(&s->ladders);
	list_init(&s->negotiations);
	loop_call_init(&s->flush, session_flush);
	loop_call_init(&s->restart_call, session_restart_call);
	loop_call_init(&s->lost_call, session_lost_call);
	loop_call_init(&s->state_call, session_state_call);
	loop_call_init(&s->logout_call, session_logout_call);
	loop_timer_init(l, &s->tick, session_tick);
	session_text_init(s);
	return s;
}
