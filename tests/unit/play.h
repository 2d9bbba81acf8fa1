/* SPDX-License-Identifier: BSD-2-Clause */
/* What the unit tests share that play a target on loopback for one session: the loop, the
 * listener, and reading and sending raw PDUs. Included by one test program each. */
#ifndef ISCSIFS_TEST_PLAY_H
#define ISCSIFS_TEST_PLAY_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/wire.h"
#include "iscsi/session.h"
#include "unit.h"

static struct loop *loop;
static int listener;
static struct conn_address address;
static struct session *session;
static int outcome; /* of the last login: 0 none yet, 1 in, -1 not */
static uint8_t bhs[48], data[70000];
static uint32_t data_bytes;

static void on_login(struct conn *c, const struct conn_login_result *r, void *arg)
{
	(void)c;
	(void)arg;
	outcome = r->is_ok ? 1 : -1;
}

static inline void spin(void)
{
	loop_run_once(loop, 5);
}

static inline void play_read(int fd, void *to_, size_t bytes)
{
	uint8_t *to = to_;

	for (int i = 0; bytes && i < 5000; i++) {
		ssize_t n = recv(fd, to, bytes, MSG_DONTWAIT);

		if (n > 0) {
			to += n;
			bytes -= (size_t)n;
		} else {
			spin();
		}
	}
	CU_ASSERT_EQUAL_FATAL(bytes, 0);
}

/* One PDU of the initiator, without digests, into bhs and data. */
static inline void play_expect(int fd, uint8_t opcode)
{
	play_read(fd, bhs, 48);
	CU_ASSERT_EQUAL_FATAL(bhs[0] & 0x3f, opcode);
	data_bytes = get_be24(bhs + 5);
	CU_ASSERT_TRUE_FATAL(data_bytes < sizeof(data) - 4);
	play_read(fd, data, (data_bytes + 3) & ~3u);
}

static inline void play_say(int fd, const uint8_t *header, const void *segment, uint32_t bytes)
{
	static const uint8_t zero[4];

	CU_ASSERT_EQUAL_FATAL(send(fd, header, 48, MSG_NOSIGNAL), 48);
	if (!bytes)
		return;
	CU_ASSERT_EQUAL_FATAL(send(fd, segment, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
	if (bytes & 3)
		send(fd, zero, 4 - (bytes & 3), MSG_NOSIGNAL);
}

/* True when the initiator has nothing (more) to say for now. */
static inline bool play_is_silent(int fd)
{
	uint8_t c;

	for (int i = 0; i < 10; i++)
		spin();
	return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* A loop, a listener and its address; @cfg for a normal session to it. */
static inline void play_begin(struct session_config *cfg)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(sin);

	*cfg = (struct session_config){
		.type = KEYS_NORMAL,
		.target_name = (char *)"iqn.2026-11.test:t",
		.initiator_name = (char *)"iqn.2026-11.test:i",
		.isid = { 0x80, 1, 2, 3, 0, 1 },
	};
	keys_wishes_default(&cfg->wishes);
	session_timeouts_default(&cfg->timeouts);
	loop = loop_new();
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&sin, bytes), 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 5), 0);
	getsockname(listener, (struct sockaddr *)&sin, &bytes);
	memset(&address, 0, sizeof(address));
	memcpy(&address.addr, &sin, sizeof(sin));
	address.addr_bytes = sizeof(sin);
	outcome = 0;
}

/* The connection that the initiator has begun. */
static inline int play_accept(void)
{
	int fd = -1;

	for (int i = 0; fd < 0 && i < 2000; i++) {
		spin();
		fd = accept(listener, NULL, NULL);
	}
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	return fd;
}

static inline void play_end(void)
{
	session_close(session);
	object_gone(&session->obj);
	for (int i = 0; i < 5; i++)
		spin();
	loop_free(loop);
	close(listener);
}

#endif
