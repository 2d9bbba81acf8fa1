/* SPDX-License-Identifier: BSD-2-Clause */
/* Dialling a small target on loopback that answers each Login Request with a status of our
 * choice: redirects followed and ended, refusals that end it and such that do not. Its answers
 * are typed from RFC 7143 11.13. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"
#include "base/wire.h"
#include "core/dial.h"
#include "unit.h"

#define PEERS 12

/* One listener, on 127.0.0.N; takes one connection at a time. */
struct peer {
	struct loop_fd listener, conn;
	char name[32];
	char answer[64]; /* "TargetAddress=..."; "": none */
	uint16_t status; /* class << 8 | detail */
	unsigned logins;
};

static struct loop *loop;
static struct daemon *d;
static struct peer peers[PEERS];
static struct conf conf;

/* How the dial ended. */
static bool is_done, is_logged_in;
static char *message, *portal;
static int errno_value;
static unsigned code;

static void peer_answer(struct peer *p, const uint8_t *request)
{
	uint8_t pdu[48 + sizeof(p->answer) + 3] = { 0x23 };
	uint32_t bytes = p->answer[0] ? (uint32_t)strlen(p->answer) + 1 : 0;

	pdu[1] = 0;
	put_be24(pdu + 5, bytes);
	memcpy(pdu + 8, request + 8, 6);		/* ISID */
	memcpy(pdu + 16, request + 16, 4);		/* initiator task tag */
	put_be32(pdu + 28, get_be32(request + 24));	/* ExpCmdSN */
	put_be32(pdu + 32, get_be32(request + 24) + 1); /* MaxCmdSN */
	pdu[36] = (uint8_t)(p->status >> 8);
	pdu[37] = (uint8_t)p->status;
	memcpy(pdu + 48, p->answer, bytes);
	CU_ASSERT_TRUE(write(p->conn.fd, pdu, 48 + ((bytes + 3) & ~3u)) > 0);
}

static void peer_hang_up(struct peer *p)
{
	if (!loop_fd_is_active(&p->conn))
		return;
	loop_fd_remove(&p->conn);
	close(p->conn.fd);
}

static void on_request(struct loop_fd *w, uint32_t events)
{
	struct peer *p = container_of(w, struct peer, conn);
	uint8_t request[8192];

	(void)events;
	if (read(w->fd, request, sizeof(request)) < 48) {
		peer_hang_up(p);
		return;
	}
	p->logins++;
	if (p->status)
		peer_answer(p, request);
	else
		peer_hang_up(p);
}

static void on_accept(struct loop_fd *w, uint32_t events)
{
	struct peer *p = container_of(w, struct peer, listener);
	int fd = accept(w->fd, NULL, NULL);

	(void)events;
	peer_hang_up(p);
	CU_ASSERT_EQUAL(loop_fd_add(loop, &p->conn, fd, EPOLLIN, on_request), 0);
}

static void peer_start(struct peer *p, unsigned index)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(p, 0, sizeof(*p));
	sin.sin_addr.s_addr = htonl(0x7f000001 + index);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&sin, bytes), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&sin, &bytes), 0);
	snprintf(p->name, sizeof(p->name), "127.0.0.%u:%u", index + 1, ntohs(sin.sin_port));
	CU_ASSERT_EQUAL_FATAL(loop_fd_add(loop, &p->listener, fd, EPOLLIN, on_accept), 0);
}

static void peer_stop(struct peer *p)
{
	peer_hang_up(p);
	if (!loop_fd_is_active(&p->listener))
		return;
	loop_fd_remove(&p->listener);
	close(p->listener.fd);
}

static void redirect(struct peer *from, const char *to, bool is_permanent)
{
	from->status = is_permanent ? 0x0102 : 0x0101;
	snprintf(from->answer, sizeof(from->answer), "TargetAddress=%s", to);
}

static void begin(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	conf_default(&conf);
	conf.initiator_name = g_strdup("iqn.2026-11.test:host");
	loop = loop_new();
	d = daemon_new(loop, &conf, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	for (unsigned i = 0; i < PEERS; i++)
		peer_start(&peers[i], i);
	is_done = is_logged_in = false;
}

static void on_shut_down(struct daemon *gone, void *arg)
{
	(void)gone;
	(void)arg;
	loop_stop(loop);
}

static void end(void)
{
	for (unsigned i = 0; i < PEERS; i++)
		peer_stop(&peers[i]);
	daemon_shutdown(d, on_shut_down, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	daemon_free(d);
	loop_free(loop);
	conf_done(&conf);
	g_clear_pointer(&message, g_free);
	g_clear_pointer(&portal, g_free);
}

static void on_dialled(void *arg, struct session *s, const char *by, const GError *err)
{
	(void)arg;
	is_done = true;
	is_logged_in = s != NULL;
	portal = g_strdup(by);
	message = g_strdup(err ? err->message : "");
	errno_value = err ? error_errno(err) : 0;
	code = err ? (unsigned)err->code : 0;
}

/* A dial of the first @count peers. */
static struct dial *dial(unsigned count)
{
	struct login_options none = { 0 };
	struct session_config config;
	struct target_portal portals[PEERS];
	struct dial *x;

	for (unsigned i = 0; i < count; i++) {
		int tpgt;

		CU_ASSERT_EQUAL_FATAL(text_parse_portal(peers[i].name, 0, &portals[i].host,
							&portals[i].port, &tpgt),
				      0);
	}
	CU_ASSERT_TRUE_FATAL(
		login_options_config(&none, d, "iqn.2026-11.test:disk", &config, NULL));
	x = dial_start(&(struct dial_config){ .daemon = d,
					      .who = "iqn.2026-11.test:disk",
					      .session = &config,
					      .portals = portals,
					      .count = count },
		       on_dialled, NULL);
	session_config_done(&config);
	for (unsigned i = 0; i < count; i++)
		g_free(portals[i].host);
	return x;
}

static void dial_and_wait(unsigned count)
{
	dial(count);
	for (int i = 0; i < 1000 && !is_done; i++)
		loop_run_once(loop, 1000);
	CU_ASSERT_TRUE_FATAL(is_done);
	CU_ASSERT_FALSE(is_logged_in);
}

/* ---- */

static void test_dial_states_follow_the_table(void)
{
	/* by hand from the header comment of dial.c */
	static const bool may[5][5] = {
		[DIAL_PORTAL] = { [DIAL_RESOLVING] = true, [DIAL_ENDED] = true },
		[DIAL_RESOLVING] = { [DIAL_ADDRESS] = true, [DIAL_PORTAL] = true },
		[DIAL_ADDRESS] = { [DIAL_LOGGING_IN] = true, [DIAL_PORTAL] = true },
		[DIAL_LOGGING_IN] = { [DIAL_ADDRESS] = true,
				      [DIAL_PORTAL] = true,
				      [DIAL_ENDED] = true },
	};

	for (int from = DIAL_PORTAL; from <= DIAL_ENDED; from++)
		for (int to = DIAL_PORTAL; to <= DIAL_ENDED; to++)
			CU_ASSERT_EQUAL(dial_state_may(from, to), may[from][to]);
}

static void test_dial_says_who_was_refused_where_and_why(void)
{
	g_autofree char *want = NULL;

	begin();
	peers[0].status = 0x0201;
	dial_and_wait(1);
	want = g_strdup_printf("iqn.2026-11.test:disk: login via %s refused: 0201 ",
			       peers[0].name);
	CU_ASSERT_TRUE(g_str_has_prefix(message, want));
	CU_ASSERT_EQUAL(code, ISDSC_AUTHENTICATION_FAILURE);
	CU_ASSERT_EQUAL(errno_value, EACCES);
	CU_ASSERT_STRING_EQUAL(portal, peers[0].name);
	end();
}

static void test_dial_does_not_ask_others_after_a_refusal_of_us(void)
{
	begin();
	peers[0].status = 0x0202; /* authorization */
	peers[1].status = 0x0202;
	dial_and_wait(2);
	CU_ASSERT_EQUAL(peers[0].logins, 1);
	CU_ASSERT_EQUAL(peers[1].logins, 0);
	end();
}

static void test_dial_goes_on_when_a_portal_does_not_work(void)
{
	begin();
	peer_stop(&peers[0]);	  /* connection refused */
	peers[1].status = 0x0301; /* service unavailable */
	peers[2].status = 0x0203; /* not found */
	dial_and_wait(3);	  /* the fourth is not asked */
	CU_ASSERT_EQUAL(peers[1].logins, 1);
	CU_ASSERT_EQUAL(peers[2].logins, 1);
	/* A refusal tells more than a failed connect. */
	CU_ASSERT_EQUAL(code, ISDSC_SERVICE_UNAVAILABLE);
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_PTR_NOT_NULL(strstr(message, peers[i].name));
	end();
}

static void test_dial_follows_redirects(void)
{
	begin();
	redirect(&peers[0], peers[1].name, false);
	redirect(&peers[1], peers[2].name, true);
	peers[2].status = 0x0202;
	dial_and_wait(1);
	CU_ASSERT_EQUAL(peers[2].logins, 1);
	CU_ASSERT_STRING_EQUAL(portal, peers[2].name);
	CU_ASSERT_EQUAL(code, ISDSC_AUTHORIZATION_FAILURE);
	end();
}

static void test_dial_ends_a_circle_of_redirects(void)
{
	begin();
	redirect(&peers[0], peers[1].name, false);
	redirect(&peers[1], peers[0].name, true);
	dial_and_wait(1);
	CU_ASSERT_EQUAL(peers[0].logins, 1);
	CU_ASSERT_EQUAL(peers[1].logins, 1);
	CU_ASSERT_EQUAL(code, ISDSC_TARGET_MOVED_PERMANENTLY);
	CU_ASSERT_EQUAL(errno_value, ELOOP);
	CU_ASSERT_PTR_NOT_NULL(strstr(message, peers[0].name));
	end();
}

static void test_dial_ends_after_eight_redirects(void)
{
	begin();
	for (unsigned i = 0; i + 1 < PEERS; i++)
		redirect(&peers[i], peers[i + 1].name, false);
	dial_and_wait(1);
	CU_ASSERT_EQUAL(peers[8].logins, 1);
	CU_ASSERT_EQUAL(peers[9].logins, 0);
	CU_ASSERT_EQUAL(code, ISDSC_TARGET_MOVED_TEMPORARILY);
	CU_ASSERT_EQUAL(errno_value, ELOOP);
	end();
}

/* Two portals may send us to the same third one: that is no circle. */
static void test_dial_counts_redirects_by_portal(void)
{
	begin();
	redirect(&peers[0], peers[2].name, false);
	redirect(&peers[1], peers[2].name, false);
	peers[2].status = 0x0301;
	dial_and_wait(2);
	CU_ASSERT_EQUAL(peers[2].logins, 2);
	CU_ASSERT_EQUAL(code, ISDSC_SERVICE_UNAVAILABLE);
	end();
}

static void test_dial_can_be_cancelled_at_each_step(void)
{
	for (unsigned turns = 0; turns < 8; turns++) {
		struct dial *x;

		begin();
		redirect(&peers[0], peers[1].name, false);
		redirect(&peers[1], peers[2].name, false);
		redirect(&peers[2], peers[3].name, false);
		redirect(&peers[3], peers[4].name, false);
		redirect(&peers[4], peers[5].name, false);
		x = dial(1);
		for (unsigned i = 0; i < turns; i++)
			loop_run_once(loop, 1000);
		CU_ASSERT_FALSE_FATAL(is_done);
		dial_cancel(x);
		end(); /* waits for what is still to be called back; ASan sees the rest */
		CU_ASSERT_FALSE(is_done);
	}
}

UNIT_MAIN("dial", UNIT(test_dial_states_follow_the_table),
	  UNIT(test_dial_says_who_was_refused_where_and_why),
	  UNIT(test_dial_does_not_ask_others_after_a_refusal_of_us),
	  UNIT(test_dial_goes_on_when_a_portal_does_not_work),
	  UNIT(test_dial_follows_redirects), UNIT(test_dial_ends_a_circle_of_redirects),
	  UNIT(test_dial_ends_after_eight_redirects),
	  UNIT(test_dial_counts_redirects_by_portal),
	  UNIT(test_dial_can_be_cancelled_at_each_step))
