/* SPDX-License-Identifier: BSD-2-Clause */
/* The listener for what iSNS servers send unasked; isns_notify.h is the manual. */
#include "core/isns_notify.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"

#define TRIES 16 /* to find a port that is free for TCP and UDP */
#define ACCEPTS 8 /* a turn */
#define DATAGRAMS 32 /* a turn */
#define READ_BYTES 16384 /* a turn and connection */
#define OUT_MAX 65536 /* bytes of answers that are not taken */
#define PAUSE_MS 1000 /* without descriptors */

struct isns_notify {
	struct loop *loop;
	GByteArray *(*told)(void *arg, const struct isns_message *m,
			    const struct sockaddr_storage *peer);
	void *arg;
	int tcp_fd, udp_fd;
	uint16_t port;
	struct loop_fd tcp, udp;
	struct loop_timer pause;
	GQueue callers; /* of struct caller *, the one heard of last at the tail */
};

struct caller {
	struct isns_notify *notify;
	int fd;
	struct loop_fd watch;
	struct sockaddr_storage peer;
	struct isns_reader reader;
	GByteArray *out;
};

/* ---- connections ---- */

static void caller_free(struct caller *c)
{
	g_queue_remove(&c->notify->callers, c);
	loop_fd_remove(&c->watch);
	close(c->fd);
	isns_reader_done(&c->reader);
	g_byte_array_unref(c->out);
	g_free(c);
}

/* False: it is gone. */
static bool caller_flush(struct caller *c)
{
	ssize_t n = c->out->len ? send(c->fd, c->out->data, c->out->len, MSG_NOSIGNAL) : 0;

	if ((n < 0 && errno != EAGAIN && errno != EINTR) || c->out->len > OUT_MAX) {
		caller_free(c);
		return false;
	}
	if (n > 0)
		g_byte_array_remove_range(c->out, 0, (guint)n);
	loop_fd_set(&c->watch, c->out->len ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return true;
}

/* False: nothing to be answered. */
static bool answer(struct isns_notify *n, const struct isns_message *m,
		   const struct sockaddr_storage *peer, GByteArray *out)
{
	g_autoptr(GByteArray) reply = n->told(n->arg, m, peer);

	if (!reply || !isns_end(reply))
		return false;
	g_byte_array_append(out, reply->data, reply->len);
	return true;
}

static void caller_receive(struct caller *c)
{
	static uint8_t bytes[READ_BYTES]; /* one thread; nothing stays in it */
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
	const uint8_t *data = bytes;
	size_t len = n > 0 ? (size_t)n : 0;
	int r;

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		caller_free(c);
		return;
	}
	g_queue_remove(&c->notify->callers, c);
	g_queue_push_tail(&c->notify->callers, c);
	while ((r = isns_reader_take(&c->reader, &data, &len, NULL)) > 0)
		if (!answer(c->notify, &c->reader.message, &c->peer, c->out)) {
			caller_free(c);
			return;
		}
	if (r < 0)
		caller_free(c);
	else
		caller_flush(c);
}

static void on_caller(struct loop_fd *w, uint32_t events)
{
	struct caller *c = container_of(w, struct caller, watch);

	if ((events & EPOLLOUT) && !caller_flush(c))
		return;
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		caller_receive(c);
}

static void caller_new(struct isns_notify *n, int fd, const struct sockaddr_storage *peer)
{
	struct caller *c = g_new0(struct caller, 1);

	if (n->callers.length >= ISNS_NOTIFY_CONNECTIONS)
		caller_free(g_queue_peek_head(&n->callers));
	c->notify = n;
	c->fd = fd;
	c->peer = *peer;
	isns_reader_init(&c->reader, ISNS_NOTIFY_MESSAGE_MAX);
	c->out = g_byte_array_new();
	g_queue_push_tail(&n->callers, c);
	if (loop_fd_add(n->loop, &c->watch, fd, EPOLLIN, on_caller) < 0)
		caller_free(c);
}

static void on_pause(struct loop_timer *t)
{
	loop_fd_set(&container_of(t, struct isns_notify, pause)->tcp, EPOLLIN);
}

static void on_tcp(struct loop_fd *w, uint32_t events)
{
	struct isns_notify *n = container_of(w, struct isns_notify, tcp);

	(void)events;
	for (unsigned i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t len = sizeof(peer);
		int fd = accept4(n->tcp_fd, (struct sockaddr *)&peer, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			caller_new(n, fd, &peer);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			loop_fd_set(&n->tcp, 0);
			loop_timer_start(&n->pause, PAUSE_MS);
		}
		return;
	}
}

/* ---- datagrams ---- */

/* A message by UDP is one PDU. */
static void on_datagram(struct isns_notify *n, const uint8_t *data, size_t len,
			const struct sockaddr_storage *peer, socklen_t peer_bytes)
{
	g_autoptr(GByteArray) out = g_byte_array_new();
	struct isns_reader reader;

	isns_reader_init(&reader, ISNS_NOTIFY_MESSAGE_MAX);
	if (isns_reader_take(&reader, &data, &len, NULL) > 0 &&
	    answer(n, &reader.message, peer, out))
		sendto(n->udp_fd, out->data, out->len, MSG_NOSIGNAL | MSG_DONTWAIT,
		       (const struct sockaddr *)peer, peer_bytes);
	isns_reader_done(&reader);
}

static void on_udp(struct loop_fd *w, uint32_t events)
{
	static uint8_t bytes[65536]; /* one thread; nothing stays in it */
	struct isns_notify *n = container_of(w, struct isns_notify, udp);

	(void)events;
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		struct sockaddr_storage peer = { 0 };
		socklen_t peer_bytes = sizeof(peer);
		ssize_t got = recvfrom(n->udp_fd, bytes, sizeof(bytes), 0,
				       (struct sockaddr *)&peer, &peer_bytes);

		if (got < 0)
			return;
		on_datagram(n, bytes, (size_t)got, &peer, peer_bytes);
	}
}

/* ---- the port ---- */

static int open_socket(int family, int type, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int zero = 0, one = 1, r;

	if (fd < 0)
		return -errno;
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
		r = bind(fd, (const struct sockaddr *)&in6, sizeof(in6));
	} else {
		r = bind(fd, (const struct sockaddr *)&in, sizeof(in));
	}
	if (r == 0 && type == SOCK_STREAM)
		r = listen(fd, 16);
	if (r == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Both, at one port: 0 or -errno. */
static int open_both(struct isns_notify *n, int family, uint16_t port)
{
	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);
	int tcp = open_socket(family, SOCK_STREAM, port), udp;

	if (tcp < 0)
		return tcp;
	if (getsockname(tcp, (struct sockaddr *)&name, &len) < 0) {
		close(tcp);
		return -EIO;
	}
	/* In the same place in both. */
	n->port = ntohs(((const struct sockaddr_in *)(const void *)&name)->sin_port);
	udp = open_socket(family, SOCK_DGRAM, n->port);
	if (udp < 0) {
		close(tcp);
		return udp;
	}
	n->tcp_fd = tcp;
	n->udp_fd = udp;
	return 0;
}

static int find_port(struct isns_notify *n, uint16_t port)
{
	int r = -EADDRINUSE;

	for (unsigned i = 0; i < (port ? 1 : TRIES) && r == -EADDRINUSE; i++) {
		r = open_both(n, AF_INET6, port);
		if (r < 0 && r != -EADDRINUSE)
			r = open_both(n, AF_INET, port);
	}
	return r;
}

struct isns_notify *isns_notify_new(struct loop *l, uint16_t port,
				    GByteArray *(*told)(void *arg, const struct isns_message *m,
							const struct sockaddr_storage *peer),
				    void *arg, GError **err)
{
	struct isns_notify *n = g_new0(struct isns_notify, 1);
	int r;

	n->loop = l;
	n->told = told;
	n->arg = arg;
	n->tcp_fd = n->udp_fd = -1;
	g_queue_init(&n->callers);
	loop_timer_init(l, &n->pause, on_pause);
	r = find_port(n, port);
	if (r == 0)
		r = loop_fd_add(l, &n->tcp, n->tcp_fd, EPOLLIN, on_tcp);
	if (r == 0)
		r = loop_fd_add(l, &n->udp, n->udp_fd, EPOLLIN, on_udp);
	if (r == 0)
		return n;
	error_set_errno(err, ISDSC_NON_SPECIFIC_ERROR, -r,
			"cannot listen for iSNS servers at port %u: %s (isns_notify_port)", port,
			g_strerror(-r));
	isns_notify_free(n);
	return NULL;
}

void isns_notify_free(struct isns_notify *n)
{
	if (!n)
		return;
	while (n->callers.length)
		caller_free(g_queue_peek_head(&n->callers));
	loop_fd_remove(&n->tcp);
	loop_fd_remove(&n->udp);
	loop_timer_done(&n->pause);
	if (n->tcp_fd >= 0)
		close(n->tcp_fd);
	if (n->udp_fd >= 0)
		close(n->udp_fd);
	g_free(n);
}

uint16_t isns_notify_port(const struct isns_notify *n)
{
	return n->port;
}
