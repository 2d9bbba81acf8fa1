/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a connection: connect, login, keep-alive, logout, end. See conn.h for the states. */
#include "iscsi/conn.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "iscsi/conn_snack.h"
#include "iscsi/pdu.h"
#include "iscsi/session.h"

#define CONN_RX_BUDGET (2u << 20) /* bytes a connection may receive in one loop turn */

static const struct {
	const char *name;
	unsigned next; /* bit per state */
} states[CONN_STATES] = {
#define TO(state) (1u << CONN_##state)
	[CONN_FREE] = { "free", TO(XPT_WAIT) | TO(CLEANUP) },
	[CONN_XPT_WAIT] = { "connecting", TO(IN_LOGIN) | TO(CLEANUP) },	      /* T4, T7 */
	[CONN_IN_LOGIN] = { "in-login", TO(LOGGED_IN) | TO(CLEANUP) },	      /* T5, T7 */
	[CONN_LOGGED_IN] = { "logged-in", TO(IN_LOGOUT) | TO(LOGOUT_REQUESTED) | TO(CLEANUP) },
	[CONN_LOGOUT_REQUESTED] = { "logout-requested", TO(IN_LOGOUT) | TO(CLEANUP) },
	[CONN_IN_LOGOUT] = { "in-logout", TO(CLEANUP) },
	[CONN_CLEANUP] = { "closed", 0 },
#undef TO
};

const char *conn_state_name(enum conn_state s)
{
	return states[s].name;
}

bool conn_state_may(enum conn_state from, enum conn_state to)
{
	return states[from].next & 1u << to;
}

void conn_set_state(struct conn *c, enum conn_state to)
{
	assert(conn_state_may(c->state, to));
	log_debug("connection %u of session %u: %s -> %s", c->cid, c->session->sid,
		  states[c->state].name, states[to].name);
	c->state = to;
}

bool conn_is_usable(const struct conn *c)
{
	return c->state == CONN_LOGGED_IN;
}

/* --- making and freeing --- */

static void conn_free(struct object *o)
{
	struct conn *c = container_of(o, struct conn, obj);

	assert(c->fd < 0);
	loop_timer_done(&c->phase_timer);
	loop_timer_done(&c->nop_timer);
	loop_timer_done(&c->again_timer);
	login_free(c->login);
	g_clear_error(&c->error);
	g_free(c->local);
	g_free(c->remote);
	if (c->params)
		g_string_free(c->params, TRUE);
	g_free(c->staging);
	g_free(c->control);
	object_unref(&c->session->obj);
	object_done(o);
	g_free(c);
}

/* A released reference may be the last thing that kept a responded task from its end. */
static void conn_released(struct tx *tx, struct task *t)
{
	const struct conn *c = container_of(tx, struct conn, tx);

	/* In CLEANUP, conn_shutdown() hands it back with the others. */
	if (!t->tx_refs && t->state == TASK_RESPONDED && c->state != CONN_CLEANUP)
		session_task_finish(t->session, t, TASK_RESULT_RESPONDED);
}

static void conn_phase_expired(struct loop_timer *t);
static void conn_nop_expired(struct loop_timer *t);
static void conn_again_expired(struct loop_timer *t);
static void conn_login_call(struct loop_call *call);
static void conn_nop_done(struct task *t);
static void conn_logout_done(struct task *t);

char *conn_format_address(const struct sockaddr_storage *ss)
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1] = "?";
	uint16_t port = 0;

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)ss;

		inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host));
		port = ntohs(sin->sin_port);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)ss;
		char name[IF_NAMESIZE];

		inet_ntop(AF_INET6, &sin6->sin6_addr, host, INET6_ADDRSTRLEN);
		if (sin6->sin6_scope_id && if_indextoname(sin6->sin6_scope_id, name)) {
			g_strlcat(host, "%", sizeof(host));
			g_strlcat(host, name, sizeof(host));
		}
		port = ntohs(sin6->sin6_port);
	}
	return text_format_portal(host, port);
}

struct conn *conn_new(struct session *s, unsigned cid, uint16_t wire_cid,
		      const struct conn_address *a)
{
	struct conn *c = g_new0(struct conn, 1);

	object_init(&c->obj, s->loop, OBJECT_CONN, conn_free);
	c->session = s;
	object_ref(&s->obj);
	c->cid = cid;
	c->wire_cid = wire_cid;
	c->fd = -1;
	c->address = *a;
	c->remote = conn_format_address(&a->addr);
	c->local = g_strdup("");
	lane_init(&c->lane, cid);
	c->staging = g_malloc(RX_STAGING_BYTES);
	c->control = g_malloc(CONN_CONTROL_BYTES);
	loop_timer_init(s->loop, &c->phase_timer, conn_phase_expired);
	loop_timer_init(s->loop, &c->nop_timer, conn_nop_expired);
	loop_timer_init(s->loop, &c->again_timer, conn_again_expired);
	loop_call_init(&c->login_call, conn_login_call);
	list_init(&c->outstanding);
	list_init(&c->bursts);
	list_init(&c->controls);
	task_init(&c->nop, TASK_NOP_OUT, conn_nop_done);
	task_init(&c->logout, TASK_LOGOUT, conn_logout_done);
	rx_init(&c->rx, &conn_rx_ops, c->staging);
	tx_init(&c->tx, conn_released);
	c->drop_wait_s = -1;
	session_init_conn(c);
	return c;
}

/* --- the end --- */

/* login_done() is due. The queued call holds a reference. */
static void conn_queue_login_done(struct conn *c)
{
	if (!c->login_done || loop_call_is_queued(&c->login_call))
		return;
	object_ref(&c->obj);
	loop_call_queue(c->session->loop, &c->login_call);
}

/* It never got as far as full feature phase: its CID is free again, and a session that the target
 * does not want to go on with begins anew. */
static void conn_give_up_login(struct conn *c)
{
	struct session *s = c->session;
	int status = c->login ? login_status(c->login) : -1;
	bool is_refused = status >= 0x0200 && status < 0x0300; /* 11.13.5: initiator error */

	session_return_cid(s, c->wire_cid, is_refused);
	if (is_refused && !c->is_leading && s->state == SESSION_FAILED)
		s->must_restart = true;
}

/* The socket goes, the tasks go back: common to trouble and peace. */
static void conn_shutdown(struct conn *c)
{
	conn_set_state(c, CONN_CLEANUP);
	loop_fd_remove(&c->watch);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	loop_timer_stop(&c->phase_timer);
	loop_timer_stop(&c->nop_timer);
	loop_timer_stop(&c->again_timer);
	c->rx_task = NULL;
	tx_drop(&c->tx);
	if (!c->was_up)
		conn_give_up_login(c);
	session_take_tasks(c->session, c);
	c->reply_count = 0;
	conn_queue_login_done(c);
	session_removal_ends(c);
	session_conn_closed(c->session, c);
}

void conn_fail(struct conn *c, GError *err)
{
	struct session *s = c->session;

	if (c->state == CONN_CLEANUP) {
		g_clear_error(&err);
		return;
	}
	g_prefix_error(&err, "%s: ", c->remote);
	g_clear_error(&c->error);
	c->error = err;
	c->is_wanted = c->was_up && !c->removed && !s->is_logging_out &&
		       s->state != SESSION_CLOSED;
	if (c->was_up) /* 13.15, or what the target said with its message */
		session_stay_away(s, c->drop_wait_s >= 0 ? c->drop_wait_s
							 : (int64_t)s->values.time2wait);
	conn_shutdown(c);
}

void conn_close(struct conn *c)
{
	if (c->state == CONN_CLEANUP)
		return;
	conn_shutdown(c);
}

void conn_protocol_error(struct conn *c, const char *fmt, ...)
{
	g_autofree char *what = NULL;
	GError *err = NULL;
	va_list ap;

	va_start(ap, fmt);
	what = g_strdup_vprintf(fmt, ap);
	va_end(ap);
	c->stats.protocol_errors++;
	error_set_errno(&err, ISDSC_TARGET_ERROR, EPROTO, "protocol error by the target: %s", what);
	conn_fail(c, err);
}

/* --- sending and receiving: readiness of the socket --- */

static void conn_rx_ended(struct conn *c, enum rx_status status)
{
	GError *err = NULL;

	switch (status) {
	case RX_AGAIN:
	case RX_STOPPED:
		return;
	case RX_CLOSED:
		/* LIO hangs up without a word when it wants CHAP. */
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ECONNRESET,
				"the target closed the connection%s",
				c->state == CONN_IN_LOGIN && c->login &&
						c->session->config.auth == AUTH_NONE &&
						login_state(c->login) == LOGIN_SECURITY
					? " in the login; it may want CHAP (auth=chap user= secret=)"
					: "");
		break;
	case RX_ERROR:
		error_set_errno(&err, ISDSC_TRANSPORT_ERROR, c->rx.error, "receive failed: %s",
				g_strerror(c->rx.error));
		break;
	case RX_BROKEN:
		if (c->rx.has_header_digest && strstr(c->rx.problem, "digest"))
			c->stats.digest_errors++;
		conn_protocol_error(c, "%s", c->rx.problem);
		return;
	}
	conn_fail(c, err);
}

static void conn_ready(struct loop_fd *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, watch);

	if (events & EPOLLOUT)
		session_want_flush(c->session);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_rx_ended(c, rx_run(&c->rx, c->fd, CONN_RX_BUDGET));
}

/* --- connecting --- */

static void conn_connected(struct conn *c)
{
	const struct session_config *cfg = &c->session->config;
	struct sockaddr_storage ss;
	socklen_t bytes = sizeof(ss);
	struct login_config login = {
		.type = cfg->type,
		.initiator_name = cfg->initiator_name,
		.initiator_alias = cfg->initiator_alias,
		.target_name = cfg->target_name,
		.tsih = c->is_leading ? 0 : c->session->tsih,
		.cid = c->wire_cid,
		.exp_stat_sn = c->old_exp_stat_sn,
		.cmd_sn = c->session->cmd_sn,
		.itt = (uint32_t)c->cid,
		.auth = cfg->auth,
		.chap = cfg->auth == AUTH_NONE ? NULL : &cfg->chap,
		.chap_history = cfg->chap_history,
		.wishes = cfg->wishes,
		.session_values = c->is_leading ? NULL : &c->session->values,
	};

	if (!getsockname(c->fd, (struct sockaddr *)&ss, &bytes)) {
		g_free(c->local);
		c->local = conn_format_address(&ss);
	}
	memcpy(login.isid, cfg->isid, sizeof(login.isid));
	conn_set_state(c, CONN_IN_LOGIN);
	c->rx.max_data_bytes = CONN_CONTROL_BYTES;
	login.wishes.max_outstanding_r2t =
		MIN(login.wishes.max_outstanding_r2t, TASK_R2T_MAX); /* places for them */
	c->login = login_new(&login);
	if (cfg->timeouts.login_ms)
		loop_timer_start(&c->phase_timer, cfg->timeouts.login_ms);
	else
		loop_timer_stop(&c->phase_timer);
	loop_fd_remove(&c->watch);
	if (loop_fd_add(c->session->loop, &c->watch, c->fd, EPOLLIN, conn_ready) < 0) {
		GError *err = NULL;

		error_set_errno(&err, ISDSC_INITIATOR_ERROR, ENOMEM, "cannot watch the socket");
		conn_fail(c, err);
		return;
	}
	conn_login_progress(c, NULL, 0);
}

static void conn_connect_failed(struct conn *c, int errno_value)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_CONNECTION_FAILED, errno_value, "cannot connect: %s",
			g_strerror(errno_value));
	conn_fail(c, err);
}

static void conn_connect_ready(struct loop_fd *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, watch);
	int error = 0;
	socklen_t bytes = sizeof(error);

	(void)events;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
		error = errno;
	if (error)
		conn_connect_failed(c, error);
	else
		conn_connected(c);
}

/* Nothing but the address is looked at. */
static int conn_address_bind(const struct conn_address *a, int fd)
{
	if (a->interface[0] && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, a->interface,
					  (socklen_t)strlen(a->interface)) < 0)
		return -errno;
	if (a->source.ss_family &&
	    bind(fd, (const struct sockaddr *)&a->source, a->source_bytes) < 0)
		return -errno;
	return 0;
}

int conn_address_connect(const struct conn_address *a)
{
	int fd = socket(a->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = conn_address_bind(a, fd);
	if (r == 0 && connect(fd, (const struct sockaddr *)&a->addr, a->addr_bytes) < 0 &&
	    errno != EINPROGRESS)
		r = -errno;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

/* A socket that is connected already is taken over; else one is made, and is connecting: 0, or
 * -errno. */
static int conn_open_socket(struct conn *c)
{
	int one = 1;
	int fd = c->address.fd > 0 ? c->address.fd : conn_address_connect(&c->address);

	c->address.fd = 0; /* ours to close, by c->fd */
	if (fd < 0)
		return fd;
	c->fd = fd;
	/* Small PDUs must not wait for each other; tx sends what belongs together in one call. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return loop_fd_add(c->session->loop, &c->watch, c->fd, EPOLLOUT, conn_connect_ready);
}

void conn_start(struct conn *c, conn_login_fn *done, void *arg)
{
	const struct session_timeouts *timeouts = &c->session->config.timeouts;
	int r;

	assert(c->state == CONN_FREE);
	c->login_done = done;
	c->login_arg = arg;
	conn_set_state(c, CONN_XPT_WAIT);
	r = conn_open_socket(c);
	if (r < 0)
		conn_connect_failed(c, -r);
	else if (timeouts->connect_ms)
		loop_timer_start(&c->phase_timer, timeouts->connect_ms);
}

/* --- login --- */

static void conn_send_login(struct conn *c)
{
	const uint8_t *data;
	uint32_t data_bytes;

	if (!c->is_leading)
		login_set_cmd_sn(c->login, c->session->cmd_sn);
	login_request(c->login, tx_header(&c->tx), &data, &data_bytes);
	/* The answer comes only when all of it has left, and nothing is asked of the login
	 * before that: the data stay where they are long enough. */
	tx_push(&c->tx, 0, data, data_bytes, NULL);
	session_want_flush(c->session);
}

static void conn_enter_full_feature(struct conn *c)
{
	struct login_result r;
	struct session *s = c->session;

	login_result(c->login, &r);
	c->values = r.values;
	c->exp_stat_sn = r.exp_stat_sn;
	c->rx.has_header_digest = r.values.header_digest;
	c->rx.has_data_digest = r.values.data_digest;
	c->rx.max_data_bytes = r.values.max_recv_data_segment_length;
	c->rx.may_resync = (s->tsih ? s->values : r.values).error_recovery_level > 0;
	c->tx.has_header_digest = r.values.header_digest;
	c->tx.has_data_digest = r.values.data_digest;
	c->last_rx_us = loop_now_us(s->loop);
	loop_timer_stop(&c->phase_timer);
	conn_set_state(c, CONN_LOGGED_IN);
	c->was_up = true;
	if (c->is_leading) {
		s->tsih = r.tsih;
		s->values = r.values;
		s->exp_cmd_sn = r.exp_cmd_sn;
		s->max_cmd_sn = r.max_cmd_sn;
		/* 11.13.4: the first command carries the CmdSN of the login, which the target
		 * tells as ExpCmdSN. */
		s->cmd_sn = r.exp_cmd_sn;
	} else {
		session_window(s, r.exp_cmd_sn, r.max_cmd_sn);
	}
	if (s->config.timeouts.nop_interval_ms)
		loop_timer_start(&c->nop_timer, s->config.timeouts.nop_interval_ms);
	session_conn_logged_in(s, c);
	conn_queue_login_done(c);
}

/* A PDU came in login (@bhs), or the connection stands and the login may begin (NULL). */
void conn_login_progress(struct conn *c, const uint8_t *bhs, uint32_t data_bytes)
{
	/* Only what has left can have been answered; and the batch borrows the login's text. */
	if (bhs && !tx_is_empty(&c->tx)) {
		conn_protocol_error(c, "a Login Response before the request has left");
		return;
	}
	if (bhs && !login_response(c->login, bhs, c->control, data_bytes)) {
		GError *err = NULL;

		if (login_error(c->login))
			err = g_error_copy(login_error(c->login));
		else
			error_set(&err, ISDSC_TARGET_MOVED_TEMPORARILY, "redirected to %s",
				  login_redirect(c->login, NULL));
		conn_fail(c, err);
		return;
	}
	if (login_state(c->login) == LOGIN_FULL_FEATURE)
		conn_enter_full_feature(c);
	else
		conn_send_login(c);
}

static void conn_login_call(struct loop_call *call)
{
	struct conn *c = container_of(call, struct conn, login_call);
	conn_login_fn *done = c->login_done;
	struct conn_login_result r = { .status = -1 };
	bool is_permanent = false;

	c->login_done = NULL;
	if (c->login) {
		r.status = login_status(c->login);
		if (login_state(c->login) == LOGIN_REDIRECTED) {
			r.redirect = login_redirect(c->login, &is_permanent);
			r.is_permanent = is_permanent;
		}
		if (!c->params)
			c->params = g_string_new(NULL);
		login_print(c->login, c->params);
	}
	r.is_ok = c->state != CONN_CLEANUP;
	r.wants_no_sha256 = c->login && login_wants_no_sha256(c->login);
	if (!r.is_ok && !r.redirect) {
		if (!c->error)
			error_set_errno(&c->error, ISDSC_LOGIN_FAILED, ECANCELED,
					"the login was given up");
		r.error = c->error;
	}
	done(c, &r, c->login_arg);
	login_free(c->login);
	c->login = NULL;
	object_unref(&c->obj);
}

/* --- time --- */

static void conn_phase_expired(struct loop_timer *timer)
{
	struct conn *c = container_of(timer, struct conn, phase_timer);
	const struct session_timeouts *timeouts = &c->session->config.timeouts;
	GError *err = NULL;

	switch (c->state) {
	case CONN_XPT_WAIT:
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
				"cannot connect: no answer within %.3g s",
				(double)timeouts->connect_ms / 1000);
		break;
	case CONN_IN_LOGIN:
		error_set_errno(&err, ISDSC_LOGIN_FAILED, ETIMEDOUT,
				"the target did not finish the login within %.3g s",
				(double)timeouts->login_ms / 1000);
		break;
	case CONN_LOGOUT_REQUESTED:
		conn_drained(c);
		return;
	case CONN_IN_LOGOUT:
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
				"the target did not answer the logout within %.3g s",
				(double)timeouts->logout_ms / 1000);
		session_event(c->session, c, c->is_asked ? EVENT_ASKED_LOGOUT_TIMEOUT : 44, "%s",
			      err->message);
		break;
	default:
		return;
	}
	conn_fail(c, err);
}

/* Every nop_interval: a ping when nothing has come since, and the end when a ping has not been
 * answered within nop_timeout. */
static void conn_nop_expired(struct loop_timer *timer)
{
	struct conn *c = container_of(timer, struct conn, nop_timer);
	const struct session_timeouts *timeouts = &c->session->config.timeouts;
	int64_t now = loop_now_us(c->session->loop);
	int64_t quiet_ms = (now - c->last_rx_us) / 1000;
	GError *err = NULL;

	if (c->nop.state == TASK_QUEUED || c->nop.state == TASK_SENT) {
		if (quiet_ms + 1 < timeouts->nop_timeout_ms) { /* the answer is behind what comes */
			loop_timer_start(timer, timeouts->nop_timeout_ms - quiet_ms);
			return;
		}
		c->stats.nop_timeouts++;
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ETIMEDOUT,
				"the target did not answer a NOP-Out within %.3g s",
				(double)timeouts->nop_timeout_ms / 1000);
		session_event(c->session, c, 48, "%s", err->message);
		conn_fail(c, err);
		return;
	}
	if (quiet_ms + 1 < timeouts->nop_interval_ms) {
		loop_timer_start(timer, timeouts->nop_interval_ms - quiet_ms);
		return;
	}
	conn_ping(c, NULL, NULL);
}

/* What was refused for a while may be sent again. */
static void conn_again_expired(struct loop_timer *timer)
{
	session_want_flush(container_of(timer, struct conn, again_timer)->session);
}

int conn_ping(struct conn *c, void (*done)(struct conn *c, int64_t rtt_us, void *arg), void *arg)
{
	const struct session_timeouts *timeouts = &c->session->config.timeouts;
	int r;

	if (c->nop.state == TASK_QUEUED || c->nop.state == TASK_SENT)
		return -EBUSY;
	/* 11.14: after a Logout Request for the session nothing new goes by any connection. */
	if (c->state != CONN_LOGGED_IN || session_is_leaving(c->session))
		return -ENOTCONN;
	c->nop.is_immediate = true;
	r = conn_submit_control(c, &c->nop);
	if (r < 0)
		return r;
	c->ping_done = done;
	c->ping_arg = arg;
	c->stats.pings++;
	loop_timer_start(&c->nop_timer, timeouts->nop_timeout_ms ? timeouts->nop_timeout_ms
								 : 10000);
	return 0;
}

static void conn_nop_done(struct task *t)
{
	struct conn *c = container_of(t, struct conn, nop);
	int64_t rtt_us = t->result == TASK_RESULT_RESPONDED
				 ? loop_now_us(c->session->loop) - t->sent_us
				 : -1;
	void (*done)(struct conn *, int64_t, void *) = c->ping_done;

	c->ping_done = NULL;
	if (rtt_us >= 0) {
		c->stats.pings_answered++;
		if (c->session->config.timeouts.nop_interval_ms)
			loop_timer_start(&c->nop_timer,
					 c->session->config.timeouts.nop_interval_ms);
		else
			loop_timer_stop(&c->nop_timer);
	}
	if (done)
		done(c, rtt_us, c->ping_arg);
}

/* --- logout --- */

int conn_logout(struct conn *c, enum iscsi_logout_reason reason)
{
	int64_t ms = c->session->config.timeouts.logout_ms;
	int r;

	if (c->state != CONN_LOGGED_IN && c->state != CONN_LOGOUT_REQUESTED)
		return -ENOTCONN;
	conn_set_state(c, CONN_IN_LOGOUT);
	c->logout.function = reason;
	c->logout.cid = reason == ISCSI_LOGOUT_SESSION ? 0 : c->wire_cid;
	c->logout.is_immediate = true;
	r = conn_submit_control(c, &c->logout);
	if (r < 0)
		return r;
	loop_timer_stop(&c->nop_timer);
	if (ms)
		loop_timer_start(&c->phase_timer, ms);
	else
		loop_timer_stop(&c->phase_timer);
	return 0;
}

/* One connection of several has logged out: because a person wanted that, or the target. */
static void conn_left(struct conn *c)
{
	if (!c->removed) {
		error_set_errno(&c->error, ISDSC_CONNECTION_FAILED, ESHUTDOWN,
				"%s: the target asked for a logout", c->remote);
		session_stay_away(c->session, c->logout.time2wait);
		c->is_wanted = true;
	}
	conn_close(c);
}

static void conn_logout_done(struct task *t)
{
	struct conn *c = container_of(t, struct conn, logout);

	if (t->result != TASK_RESULT_RESPONDED)
		return;
	if (t->function == ISCSI_LOGOUT_SESSION)
		session_logout_answered(c->session, c, t->response);
	else
		conn_left(c);
}

void conn_drain(struct conn *c, enum iscsi_logout_reason reason, int64_t limit_ms)
{
	if (c->state != CONN_LOGGED_IN)
		return;
	conn_set_state(c, CONN_LOGOUT_REQUESTED);
	c->drain_reason = reason;
	/* Half of the time is for what is under way, the rest for the logout itself. */
	loop_timer_start(&c->phase_timer, limit_ms / 2);
	if (!c->outstanding_count)
		conn_drained(c);
}

static bool conn_is_alone(const struct conn *c)
{
	for (GList *l = c->session->conns; l; l = l->next)
		if (l->data != c && conn_is_usable(l->data))
			return false;
	return true;
}

void conn_logout_requested(struct conn *c, int64_t limit_ms)
{
	c->is_asked = true;
	conn_drain(c, conn_is_alone(c) ? ISCSI_LOGOUT_SESSION : ISCSI_LOGOUT_CONNECTION, limit_ms);
}

/* Nothing is outstanding any more on a connection that is to log out, or time is up. */
void conn_drained(struct conn *c)
{
	GError *err = NULL;

	if (c->state != CONN_LOGOUT_REQUESTED)
		return;
	if (conn_logout(c, c->drain_reason) < 0) {
		error_set_errno(&err, ISDSC_CONNECTION_FAILED, ENOTCONN,
				"the target asked for a logout");
		conn_fail(c, err);
	}
}
