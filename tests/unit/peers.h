/* SPDX-License-Identifier: BSD-2-Clause */
/* Small targets on loopback, for tests of what connects to them: each answers a login with a
 * status of our choice, or takes it, and then refuses every SCSI command. Their answers are
 * typed from RFC 7143 11.4, 11.13, 11.15 and 11.19. One loop, `loop`, drives them and what is
 * tested. */
#ifndef ISCSIFS_PEERS_H
#define ISCSIFS_PEERS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/wire.h"
#include "unit.h"

#define PEERS 12
#define PEER_CONNS 8

struct peer;

struct peer_conn {
	struct loop_fd watch;
	struct peer *peer;
	uint8_t in[65536];
	size_t in_bytes;
	uint32_t stat_sn;
	uint16_t cid;
	bool is_in; /* logged in */
};

/* One listener, on 127.0.0.N. */
struct peer {
	struct loop_fd listener;
	struct peer_conn conns[PEER_CONNS];
	char host[16], name[32];
	uint16_t port;
	char answer[64];   /* to a login that is refused: "TargetAddress=..."; "": none */
	uint16_t status;   /* class << 8 | detail */
	bool takes_logins; /* status 0: else it hangs up */
	bool is_mute;	   /* takes what is sent, and answers nothing */
	uint32_t max_connections;
	unsigned connects, logins, leading, logouts;
};

static struct loop *loop;
static struct peer peers[PEERS];

static void peer_conn_close(struct peer_conn *c)
{
	if (!loop_fd_is_active(&c->watch))
		return;
	loop_fd_remove(&c->watch);
	close(c->watch.fd);
	c->is_in = false;
}

static inline void peer_hang_up(struct peer *p)
{
	for (unsigned i = 0; i < PEER_CONNS; i++)
		peer_conn_close(&p->conns[i]);
}

static inline unsigned peer_conn_count(const struct peer *p)
{
	unsigned count = 0;

	for (unsigned i = 0; i < PEER_CONNS; i++)
		count += p->conns[i].is_in;
	return count;
}

/* @bhs has its opcode, flags and tag; the numbers are filled in. */
static void peer_send(struct peer_conn *c, uint8_t *bhs, uint32_t cmd_sn, const void *text,
		      uint32_t bytes)
{
	uint8_t pdu[48 + 8192] = { 0 };

	CU_ASSERT_TRUE_FATAL(bytes <= 8192);
	put_be24(bhs + 5, bytes);
	put_be32(bhs + 24, c->stat_sn++);
	put_be32(bhs + 28, cmd_sn);
	put_be32(bhs + 32, cmd_sn + 64);
	memcpy(pdu, bhs, 48);
	memcpy(pdu + 48, text, bytes);
	CU_ASSERT_TRUE(write(c->watch.fd, pdu, 48 + ((bytes + 3) & ~3u)) > 0);
}

/* What is offered is agreed to as it is, but for MaxConnections. */
static uint32_t peer_agree(const struct peer *p, const uint8_t *text, uint32_t bytes, char *out)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < bytes; i += (uint32_t)strlen((const char *)text + i) + 1) {
		const char *pair = (const char *)text + i;

		if (!strncmp(pair, "MaxConnections=", 15) && p->max_connections)
			used += (uint32_t)sprintf(out + used, "MaxConnections=%u",
						  p->max_connections) +
				1;
		else if (*pair)
			used += (uint32_t)sprintf(out + used, "%s", pair) + 1;
	}
	return used;
}

static void peer_login(struct peer_conn *c, const uint8_t *request, uint32_t bytes)
{
	static const char security[] = "AuthMethod=None\0TargetPortalGroupTag=1";
	struct peer *p = c->peer;
	bool is_security = !(request[1] & 0x0c);
	uint16_t tsih = get_be16(request + 14);
	uint8_t bhs[48] = { 0x23 };
	char text[8192];

	memcpy(bhs + 8, request + 8, 6);   /* ISID */
	memcpy(bhs + 16, request + 16, 4); /* initiator task tag */
	p->logins += is_security;
	p->leading += is_security && !tsih;
	c->cid = get_be16(request + 20);
	if (p->status) {
		put_be16(bhs + 36, p->status);
		peer_send(c, bhs, get_be32(request + 24), p->answer,
			  p->answer[0] ? (uint32_t)strlen(p->answer) + 1 : 0);
	} else if (!p->takes_logins) {
		peer_conn_close(c);
	} else if (is_security) {
		bhs[1] = 0x81; /* to the operational stage */
		put_be16(bhs + 14, tsih);
		peer_send(c, bhs, get_be32(request + 24), security, sizeof(security));
	} else {
		bhs[1] = 0x87; /* to full feature phase */
		put_be16(bhs + 14, tsih ? tsih : 7);
		c->is_in = true;
		peer_send(c, bhs, get_be32(request + 24), text,
			  peer_agree(p, request + 48, bytes, text));
	}
}

/* 11.4: check condition without sense data; 11.15; 11.19 */
static void peer_pdu(struct peer_conn *c, const uint8_t *request, uint32_t bytes)
{
	bool is_immediate = request[0] & 0x40;
	uint32_t cmd_sn = get_be32(request + 24) + !is_immediate;
	uint8_t bhs[48] = { 0 };

	if (c->peer->is_mute)
		return;
	bhs[1] = 0x80;
	memcpy(bhs + 16, request + 16, 4);
	switch (request[0] & 0x3f) {
	case 0x03:
		peer_login(c, request, bytes);
		break;
	case 0x01:
		bhs[0] = 0x21;
		bhs[3] = 0x02;
		peer_send(c, bhs, cmd_sn, "", 0);
		break;
	case 0x00:
		bhs[0] = 0x20;
		put_be32(bhs + 20, 0xffffffff);
		peer_send(c, bhs, cmd_sn, "", 0);
		break;
	case 0x06:
		c->peer->logouts++;
		bhs[0] = 0x26;
		peer_send(c, bhs, cmd_sn, "", 0);
		break;
	}
}

static void peer_on_request(struct loop_fd *w, uint32_t events)
{
	struct peer_conn *c = container_of(w, struct peer_conn, watch);
	ssize_t n = read(w->fd, c->in + c->in_bytes, sizeof(c->in) - c->in_bytes);

	(void)events;
	if (n <= 0) {
		peer_conn_close(c);
		return;
	}
	c->in_bytes += (size_t)n;
	while (c->in_bytes >= 48) {
		uint32_t bytes = get_be24(c->in + 5);
		size_t all = 48 + ((bytes + 3) & ~3u);

		if (c->in_bytes < all)
			return;
		peer_pdu(c, c->in, bytes);
		if (!loop_fd_is_active(w))
			return;
		c->in_bytes -= all;
		memmove(c->in, c->in + all, c->in_bytes);
	}
}

static void peer_on_accept(struct loop_fd *w, uint32_t events)
{
	struct peer *p = container_of(w, struct peer, listener);
	int fd = accept(w->fd, NULL, NULL);
	struct peer_conn *c = p->conns;

	(void)events;
	while (loop_fd_is_active(&c->watch))
		CU_ASSERT_TRUE_FATAL(++c < p->conns + PEER_CONNS);
	p->connects++;
	c->peer = p;
	c->in_bytes = 0;
	c->is_in = false;
	CU_ASSERT_EQUAL(loop_fd_add(loop, &c->watch, fd, EPOLLIN, peer_on_request), 0);
}

/* Once more on the same port, after peer_stop(). */
static inline void peer_listen(struct peer *p)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(p->port) };
	socklen_t bytes = sizeof(sin);
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	inet_pton(AF_INET, p->host, &sin.sin_addr);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sin, bytes), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&sin, &bytes), 0);
	p->port = ntohs(sin.sin_port);
	CU_ASSERT_EQUAL_FATAL(loop_fd_add(loop, &p->listener, fd, EPOLLIN, peer_on_accept), 0);
}

static inline void peer_start(struct peer *p, unsigned index)
{
	memset(p, 0, sizeof(*p));
	snprintf(p->host, sizeof(p->host), "127.0.0.%u", index + 1);
	peer_listen(p);
	snprintf(p->name, sizeof(p->name), "%s:%u", p->host, p->port);
}

/* Connections to it are refused from now on. */
static inline void peer_stop(struct peer *p)
{
	peer_hang_up(p);
	if (!loop_fd_is_active(&p->listener))
		return;
	loop_fd_remove(&p->listener);
	close(p->listener.fd);
}

static inline void peers_start(void)
{
	for (unsigned i = 0; i < PEERS; i++)
		peer_start(&peers[i], i);
}

static inline void peers_stop(void)
{
	for (unsigned i = 0; i < PEERS; i++)
		peer_stop(&peers[i]);
}

#endif
