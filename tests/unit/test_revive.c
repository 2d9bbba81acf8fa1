/* SPDX-License-Identifier: BSD-2-Clause */
/* Sessions and connections that were lost come back, against small targets on loopback
 * (peers.h): by the same portal or another one, with what they had, whatever else goes wrong
 * meanwhile; and what people may ask for: further connections and sessions, fewer, an end. */
#include <errno.h>

#include "base/error.h"
#include "base/log.h"
#include "core/command.h"
#include "core/event.h"
#include "core/mcs.h"
#include "core/portal_health.h"
#include "core/revive.h"
#include "peers.h"

static struct daemon *d;
static struct target *t;
static struct conf conf;

/* How the last verb ended. */
static bool is_done;
static int verb_errno;
static char *verb_text;

static void begin(unsigned portals)
{
	struct target_portal list[PEERS];

	log_set_level(LOG_LEVEL_ERROR);
	conf_default(&conf);
	conf.initiator_name = g_strdup("iqn.2026-11.test:host");
	conf.wishes.time2wait = 0;
	conf.timeouts.logout_ms = 120000;
	loop = loop_new();
	d = daemon_new(loop, &conf, NULL, NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	peers_start();
	for (unsigned i = 0; i < PEERS; i++)
		peers[i].takes_logins = true;
	for (unsigned i = 0; i < portals; i++)
		list[i] = (struct target_portal){ peers[i].host, peers[i].port, 1, 0 };
	t = target_get(d, "iqn.2026-11.test:disk");
	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, list, portals, NULL);
}

static void on_shut_down(struct daemon *gone, void *arg)
{
	(void)gone;
	(void)arg;
	loop_stop(loop);
}

static void end(void)
{
	int64_t started = g_get_monotonic_time();

	daemon_shutdown(d, on_shut_down, NULL);
	CU_ASSERT_EQUAL(loop_run(loop), 0);
	CU_ASSERT_TRUE(g_get_monotonic_time() - started < 30 * G_USEC_PER_SEC);
	daemon_free(d);
	peers_stop();
	loop_free(loop);
	conf_done(&conf);
	g_clear_pointer(&verb_text, g_free);
}

static void on_op(struct operation *op, void *arg)
{
	(void)arg;
	is_done = true;
	verb_errno = op->error ? error_errno(op->error) : 0;
	g_free(verb_text);
	verb_text = g_strdup(op->error ? op->error->message : op->result->str);
}

static void verb_start(struct object *obj, const struct verb *verbs, const char *line)
{
	struct operation *op = operation_new(loop, on_op, NULL);
	GError *err = NULL;
	struct command *cmd = command_parse(line, verbs, &err);

	CU_ASSERT_PTR_NOT_NULL_FATAL(cmd);
	is_done = false;
	cmd->verb->run(obj, cmd, op);
	command_free(cmd);
	operation_unref(op);
}

static bool wait_until(bool (*is)(void))
{
	int64_t started = g_get_monotonic_time();

	while (!is() && g_get_monotonic_time() - started < 60 * G_USEC_PER_SEC)
		loop_run_once(loop, 20);
	return is();
}

static void run_ms(int64_t ms)
{
	int64_t started = g_get_monotonic_time();

	while (g_get_monotonic_time() - started < ms * 1000)
		loop_run_once(loop, 10);
}

static bool verb_is_done(void)
{
	return is_done;
}

/* 0 or a positive errno. */
static int verb(struct object *obj, const struct verb *verbs, const char *line)
{
	verb_start(obj, verbs, line);
	CU_ASSERT_TRUE_FATAL(wait_until(verb_is_done));
	return verb_errno;
}

static int login(const char *line)
{
	return verb(&t->obj, target_verbs, line);
}

static struct nexus *nexus(unsigned index)
{
	return g_list_nth_data(t->nexuses, index);
}

static int session_verb(const char *line)
{
	return verb(&nexus(0)->session->obj, session_verbs, line);
}

static bool is_retrying(void)
{
	return !strcmp(nexus_state_name(nexus(0)), "retrying");
}

static bool is_up(void)
{
	return nexus(0)->session->state == SESSION_LOGGED_IN && nexus(0)->is_verified &&
	       !revive_missing_count(nexus(0)->revive);
}

static bool is_session_there(void)
{
	return nexus(0)->session->state == SESSION_LOGGED_IN;
}

static unsigned count_events(const char *name)
{
	g_autoptr(GString) out = g_string_new(NULL);
	unsigned count = 0;

	event_print(d->events, out);
	for (const char *p = out->str; (p = strstr(p, name)); p++)
		count++;
	return count;
}

/* The first connection by which the session goes now. */
static struct conn *conn(unsigned index)
{
	return g_list_nth_data(nexus(0)->session->conns, index);
}

/* ---- */

static void test_revive_states_follow_the_table(void)
{
	/* by hand from the header comment of revive.h */
	static const bool may[WANTED_STATES][WANTED_STATES] = {
		[WANTED_UP] = { [WANTED_WAITING] = true, [WANTED_PARKED] = true },
		[WANTED_WAITING] = { [WANTED_DIALLING] = true, [WANTED_PARKED] = true },
		[WANTED_DIALLING] = { [WANTED_UP] = true,
				      [WANTED_WAITING] = true,
				      [WANTED_PARKED] = true },
		[WANTED_PARKED] = { [WANTED_UP] = true, [WANTED_WAITING] = true },
	};

	for (unsigned from = 0; from < WANTED_STATES; from++)
		for (unsigned to = 0; to < WANTED_STATES; to++)
			CU_ASSERT_EQUAL(wanted_state_may(from, to), may[from][to]);
}

static void test_revive_session_comes_back_by_itself(void)
{
	unsigned sid;

	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	sid = nexus(0)->session->sid;
	peer_hang_up(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	CU_ASSERT_TRUE_FATAL(wait_until(is_up));
	CU_ASSERT_EQUAL(nexus(0)->session->sid, sid);
	CU_ASSERT_EQUAL(nexus(0)->session->lives, 2);
	CU_ASSERT_EQUAL(peers[0].leading, 2);
	CU_ASSERT_EQUAL(count_events(" connection-lost "), 1);
	CU_ASSERT_EQUAL(count_events(" session-retrying "), 1);
	CU_ASSERT_EQUAL(count_events(" reconnected "), 1);
	end();
}

static void test_revive_tries_until_the_target_is_there_again(void)
{
	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peer_stop(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(800);
	CU_ASSERT_TRUE(is_retrying());
	CU_ASSERT_EQUAL(count_events(" connect-failed "), 1); /* told once */
	peer_listen(&peers[0]);
	CU_ASSERT_TRUE(wait_until(is_up));
	end();
}

/* The target is up, takes connections, and fails in the login: each time in another way. */
static void test_revive_survives_failures_while_reviving(void)
{
	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login login_timeout=0.3"), 0);
	peers[0].takes_logins = false; /* hangs up */
	peer_hang_up(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(300);
	peers[0].takes_logins = true;
	peers[0].is_mute = true; /* no answer */
	run_ms(900);
	peers[0].is_mute = false;
	peers[0].status = 0x0203; /* not there yet */
	run_ms(500);
	CU_ASSERT_TRUE(is_retrying());
	peers[0].status = 0;
	CU_ASSERT_TRUE(wait_until(is_up));
	end();
}

static void test_revive_hops_to_another_portal(void)
{
	begin(3);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peer_stop(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	CU_ASSERT_TRUE_FATAL(wait_until(is_up));
	CU_ASSERT_STRING_EQUAL(nexus(0)->portal, peers[1].name);
	/* ... and the original one is still the first choice. */
	peer_listen(&peers[0]);
	portal_health_ok(d->health, peers[0].name);
	peer_hang_up(&peers[1]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	CU_ASSERT_TRUE_FATAL(wait_until(is_up));
	CU_ASSERT_STRING_EQUAL(nexus(0)->portal, peers[0].name);
	end();
}

static void test_revive_does_not_hop_from_a_portal_that_was_named(void)
{
	g_autofree char *line = NULL;

	begin(3);
	line = g_strdup_printf("login portal=%s", peers[1].name);
	CU_ASSERT_EQUAL_FATAL(login(line), 0);
	peer_stop(&peers[1]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(1000);
	CU_ASSERT_TRUE(is_retrying());
	CU_ASSERT_EQUAL(peers[0].connects + peers[2].connects, 0);
	peer_listen(&peers[1]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_up));
	end();
}

static void test_revive_follows_one_that_moved_for_good(void)
{
	begin(1);
	peers[0].status = 0x0102;
	snprintf(peers[0].answer, sizeof(peers[0].answer), "TargetAddress=%s", peers[5].name);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL(peers[0].logins, 1);
	peer_hang_up(&peers[5]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	CU_ASSERT_TRUE_FATAL(wait_until(is_up));
	CU_ASSERT_EQUAL(peers[0].logins, 1); /* not asked again */
	CU_ASSERT_EQUAL(peers[5].leading, 2);
	end();
}

static void test_revive_connection_comes_back_with_its_role_and_weight(void)
{
	g_autofree char *line = NULL;

	begin(2);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	line = g_strdup_printf("add-connection portal=%s role=standby weight=7", peers[1].name);
	CU_ASSERT_EQUAL_FATAL(session_verb(line), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(verb_text, " connection=2"));
	CU_ASSERT_TRUE(conn(1)->lane.is_standby);
	CU_ASSERT_EQUAL(conn_set_weight(conn(1), 9), 0);
	peer_hang_up(&peers[1]);
	loop_run_once(loop, 20);
	CU_ASSERT_TRUE_FATAL(wait_until(is_up));
	CU_ASSERT_EQUAL(nexus(0)->session->lives, 1);
	CU_ASSERT_EQUAL_FATAL(g_list_length(nexus(0)->session->conns), 2);
	CU_ASSERT_TRUE(conn(1)->lane.is_standby);
	CU_ASSERT_EQUAL(conn(1)->lane.weight, 9);
	CU_ASSERT_EQUAL(conn(1)->cid, 3);
	CU_ASSERT_FALSE(conn(0)->lane.is_standby);
	end();
}

static bool has_two(void)
{
	return is_up() && g_list_length(nexus(0)->session->conns) == 2;
}

static void test_revive_all_connections_come_back_after_a_restart(void)
{
	begin(2);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL_FATAL(session_verb("add-connection"), 0);
	CU_ASSERT_TRUE(strstr(verb_text, peers[1].name) != NULL); /* the one not in use */
	peer_stop(&peers[0]);
	peer_stop(&peers[1]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(300);
	peer_listen(&peers[1]); /* the second one leads */
	peer_listen(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(has_two));
	CU_ASSERT_EQUAL(nexus(0)->session->lives, 2);
	end();
}

/* While a connection is being brought back, the session is lost, too. */
static void test_revive_session_lost_while_a_connection_is_dialled(void)
{
	begin(2);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL_FATAL(session_verb("add-connection"), 0);
	peers[1].is_mute = true;
	peer_hang_up(&peers[1]);
	run_ms(300); /* a login that is not answered is under way */
	CU_ASSERT_EQUAL(revive_missing_count(nexus(0)->revive), 1);
	peer_hang_up(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	peers[1].is_mute = false;
	CU_ASSERT_TRUE_FATAL(wait_until(has_two));
	end();
}

static void test_revive_refusal_is_told_once(void)
{
	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peers[0].status = 0x0201;
	peer_hang_up(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(1800);
	CU_ASSERT_TRUE(peers[0].logins >= 3);
	CU_ASSERT_EQUAL(count_events(" login-failed "), 1);
	CU_ASSERT_EQUAL(nexus(0)->session->obj.failures_total, 2); /* lost, refused */
	peers[0].status = 0;
	CU_ASSERT_TRUE(wait_until(is_up));
	end();
}

static void test_revive_is_woken_when_the_portal_answers(void)
{
	unsigned logins;

	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peers[0].status = 0x0201;
	peer_hang_up(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(2200); /* the pause is longer than a second now */
	logins = peers[0].logins;
	portal_health_ok(d->health, "10.9.9.9:3260");
	run_ms(100);
	CU_ASSERT_EQUAL(peers[0].logins, logins);
	portal_health_ok(d->health, peers[0].name);
	run_ms(100);
	CU_ASSERT_EQUAL(peers[0].logins, logins + 1);
	end();
}

static void test_revive_login_waits_for_the_return(void)
{
	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peer_stop(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(100);
	CU_ASSERT_EQUAL(login("login"), ECONNREFUSED); /* of one round */
	peer_listen(&peers[0]);
	CU_ASSERT_EQUAL(login("login"), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(verb_text, "session=1"));
	CU_ASSERT_TRUE(is_up());
	CU_ASSERT_EQUAL(login("login"), EEXIST);
	end();
}

static void test_revive_login_with_keys_replaces_the_session(void)
{
	g_autofree char *line = NULL;
	uint8_t isid[6];

	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	memcpy(isid, nexus(0)->session->config.isid, sizeof(isid));
	peer_stop(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	CU_ASSERT_EQUAL(login("login command_timeout=5"), ECONNREFUSED);
	CU_ASSERT_EQUAL_FATAL(g_list_length(t->nexuses), 1);
	line = g_strdup_printf("login portal=%s", peers[4].name);
	CU_ASSERT_EQUAL(login(line), 0);
	CU_ASSERT_EQUAL_FATAL(g_list_length(t->nexuses), 1);
	CU_ASSERT_EQUAL(nexus(0)->session->sid, 2);
	CU_ASSERT_EQUAL(memcmp(isid, nexus(0)->session->config.isid, sizeof(isid)), 0);
	end();
}

static void test_revive_logout_ends_it_at_once(void)
{
	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peers[0].is_mute = true;
	peer_hang_up(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(100); /* in a login that is not answered */
	CU_ASSERT_EQUAL(login("logout"), 0);
	CU_ASSERT_PTR_NULL(t->nexuses);
	end();
}

static void test_revive_daemon_ends_in_each_phase(void)
{
	for (unsigned turns = 0; turns < 30; turns++) {
		begin(2);
		CU_ASSERT_EQUAL_FATAL(login("login"), 0);
		CU_ASSERT_EQUAL_FATAL(session_verb("add-connection"), 0);
		peer_hang_up(&peers[0]);
		peer_hang_up(&peers[1]);
		for (unsigned i = 0; i < turns; i++)
			loop_run_once(loop, 5);
		end();
	}
}

static void test_mcs_adds_and_removes(void)
{
	begin(1);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL(session_verb("remove-connection 1"), EBUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(verb_text, "log the session out"));
	CU_ASSERT_EQUAL(session_verb("add-connection"), 0); /* the same portal again */
	CU_ASSERT_EQUAL(session_verb("remove-connection 7"), ENOENT);
	CU_ASSERT_EQUAL(session_verb("remove-connection 1"), 0);
	CU_ASSERT_EQUAL(peers[0].logouts, 1);
	run_ms(300);
	CU_ASSERT_EQUAL(g_list_length(nexus(0)->session->conns), 1); /* it stays away */
	CU_ASSERT_EQUAL(revive_wanted_count(nexus(0)->revive), 1);
	CU_ASSERT_EQUAL(session_verb("policy weighted"), 0);
	CU_ASSERT_EQUAL(nexus(0)->session->policy, POLICY_WEIGHTED);
	CU_ASSERT_EQUAL(session_verb("policy best"), EINVAL);
	CU_ASSERT_EQUAL(count_events(" policy-changed "), 1);
	end();
}

/* RFC 7143 4.4.1: a session is with one portal group. */
static void test_mcs_stays_in_the_portal_group(void)
{
	struct target_portal list[3];

	begin(1);
	for (unsigned i = 0; i < 3; i++)
		list[i] =
			(struct target_portal){ peers[i].host, peers[i].port,
					       i == 1 ? 2 : 1, 0 };
	target_set_instance(t, INSTANCE_STATIC_NAME, INSTANCE_STATIC, list, 3, NULL);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL_FATAL(session_verb("add-connection"), 0);
	CU_ASSERT_STRING_EQUAL(conn(1)->remote, peers[2].name);
	CU_ASSERT_EQUAL(peers[1].connects, 0);
	/* A session that begins anew may be with another group. */
	peer_stop(&peers[0]);
	peer_stop(&peers[2]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	CU_ASSERT_TRUE_FATAL(wait_until(is_session_there));
	CU_ASSERT_STRING_EQUAL(nexus(0)->portal, peers[1].name);
	end();
}

static void test_mcs_respects_max_connections(void)
{
	begin(1);
	peers[0].max_connections = 1;
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL(session_verb("add-connection"), EUSERS);
	CU_ASSERT_PTR_NOT_NULL(strstr(verb_text, "no more than 1 connection "));
	end();
}

static void test_mcs_add_fails_and_is_not_wanted(void)
{
	begin(2);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	peer_stop(&peers[1]);
	CU_ASSERT_EQUAL(session_verb("add-connection"), ECONNREFUSED);
	CU_ASSERT_EQUAL(revive_wanted_count(nexus(0)->revive), 1);
	peers[0].is_mute = true;
	verb_start(&nexus(0)->session->obj, session_verbs, "add-connection portal=127.0.0.1:1");
	verb_start(&nexus(0)->session->obj, session_verbs, "add-connection");
	CU_ASSERT_TRUE_FATAL(wait_until(verb_is_done));
	CU_ASSERT_EQUAL(verb_errno, EBUSY); /* one after the other */
	peers[0].is_mute = false;
	end();
}

static void test_sessions_further_ones_need_multipath(void)
{
	g_autofree char *line = NULL;

	begin(2);
	CU_ASSERT_EQUAL_FATAL(login("login"), 0);
	CU_ASSERT_EQUAL(login("login multipath=yes"), EEXIST);
	CU_ASSERT_EQUAL(login("logout"), 0);
	CU_ASSERT_EQUAL_FATAL(login("login multipath=yes"), 0);
	CU_ASSERT_EQUAL(login("login"), EEXIST);
	CU_ASSERT_EQUAL(login("login multipath=yes"), 0);
	CU_ASSERT_EQUAL_FATAL(g_list_length(t->nexuses), 2);
	CU_ASSERT_STRING_EQUAL(nexus(1)->portal, peers[1].name); /* not in use */
	CU_ASSERT_NOT_EQUAL(
		memcmp(nexus(0)->session->config.isid, nexus(1)->session->config.isid, 6), 0);
	CU_ASSERT_EQUAL(login("login multipath=yes"), EEXIST); /* all are in use */
	line = g_strdup_printf("login multipath=yes portal=%s", peers[1].name);
	CU_ASSERT_EQUAL(login(line), 0); /* as asked for */
	CU_ASSERT_EQUAL(g_list_length(t->nexuses), 3);
	end();
}

/* Its portal is dead: not to the one of the other session, which would be no second way. */
static void test_sessions_do_not_hop_to_each_other(void)
{
	begin(2);
	CU_ASSERT_EQUAL_FATAL(login("login multipath=yes"), 0);
	CU_ASSERT_EQUAL_FATAL(login("login multipath=yes"), 0);
	peer_stop(&peers[0]);
	CU_ASSERT_TRUE_FATAL(wait_until(is_retrying));
	run_ms(700);
	CU_ASSERT_TRUE(is_retrying());
	peer_listen(&peers[0]);
	CU_ASSERT_TRUE(wait_until(is_up));
	end();
}

UNIT_MAIN("revive", UNIT(test_revive_states_follow_the_table),
	  UNIT(test_revive_session_comes_back_by_itself),
	  UNIT(test_revive_tries_until_the_target_is_there_again),
	  UNIT(test_revive_survives_failures_while_reviving),
	  UNIT(test_revive_hops_to_another_portal),
	  UNIT(test_revive_does_not_hop_from_a_portal_that_was_named),
	  UNIT(test_revive_follows_one_that_moved_for_good),
	  UNIT(test_revive_connection_comes_back_with_its_role_and_weight),
	  UNIT(test_revive_all_connections_come_back_after_a_restart),
	  UNIT(test_revive_session_lost_while_a_connection_is_dialled),
	  UNIT(test_revive_refusal_is_told_once),
	  UNIT(test_revive_is_woken_when_the_portal_answers),
	  UNIT(test_revive_login_waits_for_the_return),
	  UNIT(test_revive_login_with_keys_replaces_the_session),
	  UNIT(test_revive_logout_ends_it_at_once), UNIT(test_revive_daemon_ends_in_each_phase),
	  UNIT(test_mcs_adds_and_removes), UNIT(test_mcs_stays_in_the_portal_group),
	  UNIT(test_mcs_respects_max_connections), UNIT(test_mcs_add_fails_and_is_not_wanted),
	  UNIT(test_sessions_further_ones_need_multipath),
	  UNIT(test_sessions_do_not_hop_to_each_other))
