/* SPDX-License-Identifier: BSD-2-Clause */
/* Dialling a small target on loopback that answers each Login Request with a status of our
 * choice: redirects followed and ended, refusals that end it and such that do not. Its answers
 * are typed from RFC 7143 11.13. */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/dial.h"
#include "core/portal_health.h"
#include "peers.h"

static struct daemon *d;
static struct conf conf;

/* How the dial ended. */
static bool is_done, is_logged_in, was_permanent;
static char *message, *portal, *moved;
static int errno_value;
static unsigned code, event, dialled_index;
static struct session *session; /* of a dial that succeeded */

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
	peers_start();
	is_done = is_logged_in = false;
	session = NULL;
}

static void on_shut_down(struct daemon *gone, void *arg)
{
	(void)gone;
	(void)arg;
	loop_stop(loop);
}

static void end(void)
{
	if (session) {
		session_close(session);
		object_gone(&session->obj);
	}
	peers_stop();
	daemon_shutdown(d, on_shut_down, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	daemon_free(d);
	loop_free(loop);
	conf_done(&conf);
	g_clear_pointer(&message, g_free);
	g_clear_pointer(&portal, g_free);
	g_clear_pointer(&moved, g_free);
}

static void on_dialled(void *arg, const struct dial_result *r)
{
	(void)arg;
	is_done = true;
	is_logged_in = r->session != NULL;
	session = r->session;
	portal = g_strdup(r->portal);
	moved = g_strdup(r->moved);
	dialled_index = r->index;
	message = g_strdup(r->error ? r->error->message : "");
	errno_value = r->error ? error_errno(r->error) : 0;
	code = r->error ? (unsigned)r->error->code : 0;
	event = r->event;
	was_permanent = r->is_permanent;
}

/* A dial of the first @count peers, into @into or a new session. */
static struct dial *dial_into(unsigned count, struct session *into)
{
	struct login_options none = { 0 };
	struct session_config config;
	struct dial_portal portals[PEERS] = { 0 };
	struct dial *x;

	for (unsigned i = 0; i < count; i++)
		portals[i] = (struct dial_portal){ peers[i].host, peers[i].port, NULL };
	CU_ASSERT_TRUE_FATAL(
		login_options_config(&none, d, "iqn.2026-11.test:disk", &config, NULL));
	x = dial_start(&(struct dial_config){ .daemon = d,
					      .who = "iqn.2026-11.test:disk",
					      .session = &config,
					      .into = into,
					      .portals = portals,
					      .count = count },
		       on_dialled, NULL);
	session_config_done(&config);
	return x;
}

static struct dial *dial(unsigned count)
{
	return dial_into(count, NULL);
}

static void wait_done(void)
{
	for (int i = 0; i < 1000 && !is_done; i++)
		loop_run_once(loop, 1000);
	CU_ASSERT_TRUE_FATAL(is_done);
}

static void dial_and_wait(unsigned count)
{
	dial(count);
	wait_done();
	CU_ASSERT_FALSE(is_logged_in);
}

/* ---- */

static void test_dial_states_follow_the_table(void)
{
	/* by hand from the header comment of dial.c */
	static const bool may[4][4] = {
		[DIAL_RESOLVING] = { [DIAL_RACING] = true, [DIAL_ENDED] = true },
		[DIAL_RACING] = { [DIAL_LOGGING_IN] = true, [DIAL_RESOLVING] = true },
		[DIAL_LOGGING_IN] = { [DIAL_RESOLVING] = true, [DIAL_ENDED] = true },
	};

	for (int from = DIAL_RESOLVING; from <= DIAL_ENDED; from++)
		for (int to = DIAL_RESOLVING; to <= DIAL_ENDED; to++)
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
	CU_ASSERT_EQUAL(event, 10);
	CU_ASSERT_TRUE(was_permanent);
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
		for (unsigned i = 0; i < turns && !is_done; i++)
			loop_run_once(loop, 1000);
		CU_ASSERT_FALSE_FATAL(is_done);
		dial_cancel(x);
		end(); /* waits for what is still to be called back; ASan sees the rest */
		CU_ASSERT_FALSE(is_done);
	}
}

static void take_logins(unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++)
		peers[i].takes_logins = true;
}

static void test_dial_logs_in_by_the_first_that_answers(void)
{
	begin();
	take_logins(1, 2);
	peer_stop(&peers[0]);
	dial(3);
	wait_done();
	CU_ASSERT_TRUE(is_logged_in);
	CU_ASSERT_STRING_EQUAL(portal, peers[1].name);
	CU_ASSERT_EQUAL(dialled_index, 1);
	CU_ASSERT_PTR_NULL(moved);
	CU_ASSERT_EQUAL(peers[2].connects, 0);
	end();
}

/* Addresses that nobody answers at (a full queue of a listener that does not accept drops what
 * is more): each costs its head start, not the connect time-out. */
static void test_dial_does_not_wait_for_silent_addresses(void)
{
	int64_t started;

	begin();
	conf.timeouts.connect_ms = 300000;
	take_logins(2, 1);
	peers[0].is_mute = peers[1].is_mute = true;
	for (unsigned i = 0; i < 2;
	     i++) { /* nobody accepts: listen(0), and its one place taken */
		loop_fd_remove(&peers[i].listener);
		listen(peers[i].listener.fd, 0);
		for (unsigned k = 0; k < 2; k++) {
			struct sockaddr_in sin = { .sin_family = AF_INET,
						   .sin_port = htons(peers[i].port) };
			int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

			inet_pton(AF_INET, peers[i].host, &sin.sin_addr);
			connect(fd, (struct sockaddr *)&sin, sizeof(sin));
		}
	}
	started = g_get_monotonic_time();
	dial(3);
	wait_done();
	CU_ASSERT_TRUE(is_logged_in);
	CU_ASSERT_STRING_EQUAL(portal, peers[2].name);
	CU_ASSERT_TRUE(g_get_monotonic_time() - started < 30 * G_USEC_PER_SEC);
	end();
}

static void test_dial_tries_those_that_failed_lately_last(void)
{
	begin();
	take_logins(0, 3);
	portal_health_failed(d->health, peers[0].name);
	dial(3);
	wait_done();
	CU_ASSERT_STRING_EQUAL(portal, peers[1].name);
	end();
	begin();
	peer_stop(&peers[0]);
	dial_and_wait(1);
	CU_ASSERT_TRUE(portal_health_is_dead(d->health, peers[0].name));
	CU_ASSERT_EQUAL(event, 1);
	CU_ASSERT_FALSE(was_permanent);
	end();
}

static void test_dial_remembers_what_moved_for_good(void)
{
	begin();
	take_logins(2, 1);
	redirect(&peers[0], peers[1].name, true);
	redirect(&peers[1], peers[2].name, false);
	dial(1);
	wait_done();
	CU_ASSERT_TRUE(is_logged_in);
	CU_ASSERT_STRING_EQUAL(portal, peers[2].name);
	CU_ASSERT_STRING_EQUAL_FATAL(moved, peers[1].name);
	end();
	begin();
	take_logins(1, 1);
	redirect(&peers[0], peers[1].name, false);
	dial(1);
	wait_done();
	CU_ASSERT_PTR_NULL(moved);
	end();
}

static void test_dial_into_a_session_adds_a_connection_and_never_closes_it(void)
{
	struct session *s;

	begin();
	take_logins(0, 2);
	dial(1);
	wait_done();
	CU_ASSERT_TRUE_FATAL(is_logged_in);
	s = session;
	is_done = false;
	peers[1].status = 0x0206; /* too many connections */
	g_free(portal);
	g_free(message);
	dial_into(2, s);
	wait_done();
	CU_ASSERT_PTR_EQUAL_FATAL(session, s); /* the first answers again */
	CU_ASSERT_EQUAL(g_list_length(s->conns), 2);
	CU_ASSERT_EQUAL(peers[0].leading, 1);
	peers[0].status = 0x0206;
	is_done = false;
	g_free(portal);
	g_free(message);
	dial_into(2, s);
	wait_done();
	CU_ASSERT_PTR_NULL(session);
	CU_ASSERT_EQUAL(s->state, SESSION_LOGGED_IN);
	session = s;
	end();
}

UNIT_MAIN("dial", UNIT(test_dial_states_follow_the_table),
	  UNIT(test_dial_says_who_was_refused_where_and_why),
	  UNIT(test_dial_does_not_ask_others_after_a_refusal_of_us),
	  UNIT(test_dial_goes_on_when_a_portal_does_not_work),
	  UNIT(test_dial_follows_redirects), UNIT(test_dial_ends_a_circle_of_redirects),
	  UNIT(test_dial_ends_after_eight_redirects),
	  UNIT(test_dial_counts_redirects_by_portal),
	  UNIT(test_dial_can_be_cancelled_at_each_step),
	  UNIT(test_dial_logs_in_by_the_first_that_answers),
	  UNIT(test_dial_does_not_wait_for_silent_addresses),
	  UNIT(test_dial_tries_those_that_failed_lately_last),
	  UNIT(test_dial_remembers_what_moved_for_good),
	  UNIT(test_dial_into_a_session_adds_a_connection_and_never_closes_it))
