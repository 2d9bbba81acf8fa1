/* SPDX-License-Identifier: BSD-2-Clause */
/* One connection to an iSNS server; isns_client.h is the manual. Failures are told from the loop
 * only: sending waits until the socket says that it can take something. */
#include "core/isns_client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/wire.h"
#include "core/isns_answer.h"

#define READ_BYTES 65536 /* a turn */
#define OUT_MAX (256 * 1024) /* replies to a server that does not read them */

static void on_timer(struct loop_timer *t);
static void try_next(struct isns_client *c);

void isns_client_init(struct isns_client *c, struct loop *l, struct worker *w, const char *name,
		      const char *host, uint16_t port, const struct isns_client_calls *calls,
		      void *arg)
{
	*c = (struct isns_client){ .loop = l,
				   .worker = w,
				   .name = name,
				   .host = host,
				   .port = port,
				   .calls = calls,
				   .arg = arg,
				   .fd = -1 };
	isns_reader_init(&c->reader, ISNS_ANSWER_MAX);
	c->out = g_byte_array_new();
	loop_timer_init(l, &c->timer, on_timer);
}

static void close_socket(struct isns_client *c)
{
	if (c->fd < 0)
		return;
	loop_fd_remove(&c->watch);
	close(c->fd);
	c->fd = -1;
}

void isns_client_close(struct isns_client *c)
{
	if (c->resolve)
		resolve_cancel(c->resolve);
	c->resolve = NULL;
	loop_timer_stop(&c->timer);
	close_socket(c);
	g_byte_array_set_size(c->out, 0);
	isns_reader_done(&c->reader);
	isns_reader_init(&c->reader, ISNS_ANSWER_MAX);
	c->function = 0;
	c->has_superseded = false;
	c->state = ISNS_CLIENT_CLOSED;
}

void isns_client_done(struct isns_client *c)
{
	isns_client_close(c);
	isns_reader_done(&c->reader);
	g_byte_array_unref(c->out);
	loop_timer_done(&c->timer);
}

/* Takes @err. */
static void fail(struct isns_client *c, GError *err, bool is_idle)
{
	g_autoptr(GError) e = err;

	g_prefix_error(&e, "iSNS server %s: ", c->name);
	isns_client_close(c);
	c->calls->failed(c->arg, e, is_idle);
}

static void fail_errno(struct isns_client *c, int errno_value, const char *what)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_ISNS_SERVER_NOT_FOUND, errno_value, "%s: %s", what,
			g_strerror(errno_value));
	fail(c, err, false);
}

static void on_timer(struct loop_timer *t)
{
	struct isns_client *c = container_of(t, struct isns_client, timer);
	GError *err = NULL;

	if (c->state == ISNS_CLIENT_CONNECTING) {
		c->connect_errno = ETIMEDOUT;
		try_next(c);
		return;
	}
	error_set_errno(&err, ISDSC_ISNS_SERVER_NOT_FOUND, ETIMEDOUT,
			"no answer within %g s", (double)c->answer_ms / 1000);
	fail(c, err, false);
}

/* ---- receiving ---- */

static void bad_answer(struct isns_client *c, const char *why)
{
	GError *err = NULL;

	error_set_errno(&err, ISDSC_NON_SPECIFIC_ERROR, EPROTO, "%s", why);
	fail(c, err, false);
}

static void take_answer(struct isns_client *c, const struct isns_message *m)
{
	const GByteArray *p = m->payload;

	if (m->transaction != c->transaction && c->has_superseded)
		return;
	if (m->transaction != c->transaction || !c->function)
		bad_answer(c, "an answer to a transaction that was not asked for");
	else if (m->function != (c->function | ISNS_ANSWER))
		bad_answer(c, "an answer to another function than was asked for");
	else if (p->len < 4)
		bad_answer(c, "an answer without a status");
	else {
		loop_timer_stop(&c->timer);
		c->function = 0;
		c->calls->answered(c->arg, get_be32(p->data), p->data + 4, p->len - 4);
	}
}

/* A callback may close the connection, and begin another one: @fd tells. */
static void take_bytes(struct isns_client *c, const uint8_t *data, size_t len)
{
	GError *err = NULL;
	int fd = c->fd, r;

	while ((r = isns_reader_take(&c->reader, &data, &len, &err)) > 0) {
		if (c->reader.message.function & ISNS_ANSWER)
			take_answer(c, &c->reader.message);
		else
			c->calls->told(c->arg, &c->reader.message);
		if (c->state != ISNS_CLIENT_OPEN || c->fd != fd)
			return;
	}
	if (r < 0)
		fail(c, err, false);
}

static void lost(struct isns_client *c, int errno_value)
{
	bool is_idle = !c->function && isns_reader_is_idle(&c->reader);
	GError *err = NULL;

	if (errno_value)
		error_set_errno(&err, ISDSC_ISNS_SERVER_NOT_FOUND, errno_value,
				"the connection is lost: %s", g_strerror(errno_value));
	else
		error_set_errno(&err, ISDSC_ISNS_SERVER_NOT_FOUND, ECONNRESET,
				"it closed the connection%s", is_idle ? "" : " half way");
	fail(c, err, is_idle);
}

static void receive(struct isns_client *c)
{
	static uint8_t bytes[READ_BYTES]; /* one thread; nothing stays in it */
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n > 0)
		take_bytes(c, bytes, (size_t)n);
	else if (n == 0)
		lost(c, 0);
	else if (errno != EAGAIN && errno != EINTR)
		lost(c, errno);
}

/* ---- sending ---- */

static void want(struct isns_client *c)
{
	loop_fd_set(&c->watch, c->out->len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static bool flush_out(struct isns_client *c)
{
	ssize_t n = send(c->fd, c->out->data, c->out->len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		lost(c, errno);
		return false;
	}
	if (n > 0)
		g_byte_array_remove_range(c->out, 0, (guint)n);
	want(c);
	return true;
}

static void on_ready(struct loop_fd *w, uint32_t events)
{
	struct isns_client *c = container_of(w, struct isns_client, watch);

	if (c->out->len && (events & EPOLLOUT) && !flush_out(c))
		return;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		receive(c);
}

GByteArray *isns_client_begin(struct isns_client *c, enum isns_function f, uint16_t flags)
{
	return isns_begin((uint16_t)f, flags, ++c->transaction);
}

void isns_client_ask(struct isns_client *c, GByteArray *m)
{
	c->has_superseded = c->function != 0;
	c->function = get_be16(m->data + 2);
	loop_timer_start(&c->timer, c->answer_ms);
	isns_client_reply(c, m);
}

void isns_client_reply(struct isns_client *c, GByteArray *m)
{
	if (c->state == ISNS_CLIENT_OPEN && isns_end(m) && c->out->len + m->len <= OUT_MAX) {
		g_byte_array_append(c->out, m->data, m->len);
		want(c);
	}
	g_byte_array_unref(m);
}

/* ---- connecting ---- */

/* @local is part of what is registered. */
static void take_addresses(struct isns_client *c)
{
	socklen_t len = sizeof(c->local);

	memset(&c->local, 0, sizeof(c->local));
	if (getsockname(c->fd, (struct sockaddr *)&c->local, &len) < 0)
		c->local.ss_family = 0;
	c->peer = c->addresses[c->next - 1].addr;
}

static void opened(struct isns_client *c)
{
	int one = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	take_addresses(c);
	loop_timer_stop(&c->timer);
	loop_fd_remove(&c->watch);
	c->state = ISNS_CLIENT_OPEN;
	if (loop_fd_add(c->loop, &c->watch, c->fd, EPOLLIN, on_ready) < 0)
		fail_errno(c, ENOMEM, "cannot connect");
	else
		c->calls->opened(c->arg);
}

static void on_connected(struct loop_fd *w, uint32_t events)
{
	struct isns_client *c = container_of(w, struct isns_client, watch);
	socklen_t len = sizeof(int);
	int error = 0;

	(void)events;
	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error) {
		opened(c);
		return;
	}
	c->connect_errno = error;
	try_next(c);
}

static void try_next(struct isns_client *c)
{
	close_socket(c);
	while (c->next < c->count) {
		int fd = conn_address_connect(&c->addresses[c->next++]);

		if (fd < 0) {
			c->connect_errno = -fd;
			continue;
		}
		c->fd = fd;
		if (c->connect_ms)
			loop_timer_start(&c->timer, c->connect_ms);
		if (loop_fd_add(c->loop, &c->watch, fd, EPOLLOUT, on_connected) == 0)
			return;
		close(fd);
		c->fd = -1;
		c->connect_errno = ENOMEM;
	}
	fail_errno(c, c->connect_errno, "cannot connect");
}

static void on_resolved(void *arg, const struct conn_address *a, unsigned count,
			const GError *err)
{
	struct isns_client *c = arg;

	c->resolve = NULL;
	if (err) {
		fail(c, g_error_copy(err), false);
		return;
	}
	memcpy(c->addresses, a, count * sizeof(*a));
	c->count = count;
	c->next = 0;
	c->state = ISNS_CLIENT_CONNECTING;
	try_next(c);
}

void isns_client_open(struct isns_client *c, const char *way)
{
	c->state = ISNS_CLIENT_RESOLVING;
	c->resolve = resolve_start(c->worker, c->host, c->port, way, on_resolved, c);
}
