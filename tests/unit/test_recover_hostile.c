/* SPDX-License-Identifier: BSD-2-Clause */
/* Recovery against a target that answers in the wrong moment, or says what makes no sense. */
#include "recover_play.h"

static unsigned logged_out, given_back;

static void on_logged_out(struct session *s, const GError *err, void *arg)
{
	(void)s;
	(void)err;
	(void)arg;
	logged_out++;
}

static void until_logged_out(void)
{
	for (int i = 0; !logged_out && i < 5000; i++)
		spin();
	CU_ASSERT_EQUAL(logged_out, 1);
	CU_ASSERT_EQUAL(session->state, SESSION_CLOSED);
}

/* A READ on each of the two connections; the target has seen those below @seen. */
static void one_each(struct probe *p[2], uint32_t itt[2], uint32_t seen,
		     enum task_direction direction)
{
	for (unsigned i = 0; i < 2; i++) {
		p[i] = submit(direction);
		expect(&peers[i], 0x01);
		itt[i] = get_be32(bhs + 16);
	}
	exp_cmd_sn = seen;
}

static void test_hostile_logout_is_not_answered_by_one_of_two(void)
{
	logged_out = 0;
	setup(0, 2);
	session->config.timeouts.logout_ms = 100;
	CU_ASSERT_EQUAL(session_logout(session, on_logged_out, NULL), 0);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x80); /* close the session */
	until_logged_out();
	teardown();
}

static void test_hostile_logout_while_a_connection_is_removed(void)
{
	logged_out = 0;
	setup(0, 2);
	session->config.timeouts.logout_ms = 100;
	CU_ASSERT_EQUAL(
		session_remove_connection(session, session->conns->data, on_removed, NULL), 0);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(session_logout(session, on_logged_out, NULL), 0);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 0);
	until_logged_out();
	teardown();
}

static void give_back(struct task *t)
{
	given_back++;
	free(container_of(t, struct probe, task)); /* as a pool would use it again */
}

/* An R2T for a task, and in the same breath that it cannot be reassigned. */
static void test_hostile_asks_for_data_of_a_task_that_it_refuses(void)
{
	uint8_t r[96] = { 0x31, 0x80 }, *m = r + 48;
	struct probe *p[2];
	uint32_t itt[2];

	setup(2, 2);
	one_each(p, itt, 3, TASK_WRITE);
	p[1]->task.done = give_back;
	given_back = 0;
	cut(&peers[1]);
	expect(&peers[0], 0x06);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 0);
	expect(&peers[0], 0x02);
	put_be32(r + 16, itt[1]);
	put_be32(r + 20, 0x77);
	put_be32(r + 24, peers[0].stat_sn);
	put_be32(r + 28, 3);
	put_be32(r + 32, 34);
	put_be32(r + 44, 8192);
	m[0] = 0x22;
	m[1] = 0x80;
	m[2] = 1; /* no such task */
	memcpy(m + 16, bhs + 16, 4);
	put_numbers(&peers[0], m);
	CU_ASSERT_EQUAL(send(peers[0].fd, r, sizeof(r), MSG_NOSIGNAL), (ssize_t)sizeof(r));
	for (int i = 0; !given_back && i < 5000; i++)
		spin();
	CU_ASSERT_EQUAL(given_back, 1);
	CU_ASSERT_TRUE(is_silent(&peers[0]));
	teardown();
	free(p[0]);
}

static void test_hostile_says_for_ever_that_recovery_is_not_supported(void)
{
	struct probe *p[2];
	uint32_t itt[2];

	setup(2, 2);
	one_each(p, itt, 3, TASK_READ);
	cut(&peers[1]);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x82);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 2);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x81);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 2);
	until(p[1]);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_TRUE(is_silent(&peers[0]));
	teardown();
	free(p[0]);
	free(p[1]);
}

/* Retries do not make its time begin anew. */
static void test_hostile_never_acknowledges_a_command(void)
{
	struct probe *p;

	setup(1, 1);
	session->config.timeouts.command_ms = 1200;
	p = submit(TASK_READ);
	until(p);
	CU_ASSERT_NOT_EQUAL(p->task.result, TASK_RESULT_RESPONDED);
	teardown();
	free(p);
}

/* What it had not seen when the connection was removed goes to the other one. */
static void test_hostile_has_not_seen_a_command_of_a_removed_connection(void)
{
	struct probe *p[2];
	uint32_t itt[2];

	setup(1, 2);
	session->config.timeouts.logout_ms = 200;
	one_each(p, itt, 2, TASK_READ);
	good(&peers[0], itt[0]);
	until(p[0]);
	CU_ASSERT_EQUAL(session_remove_connection(session, session->conns->next->data, on_removed,
						  NULL),
			0);
	expect(&peers[1], 0x06);
	answer(&peers[1], 0x26, get_be32(bhs + 16), 0);
	expect(&peers[0], 0x06);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 1); /* it knows that CID no more */
	expect(&peers[0], 0x01);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), 2);
	CU_ASSERT_EQUAL(get_be32(bhs + 16), itt[1]);
	exp_cmd_sn = 3;
	good(&peers[0], itt[1]);
	until(p[1]);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_RESPONDED);
	teardown();
	free(p[0]);
	free(p[1]);
}

/* Time2Retain ends in the middle of the login: no session goes on with a hole in its commands. */
static void test_hostile_keeps_a_login_until_time2retain_is_over(void)
{
	struct probe *p;

	setup(2, 1);
	session->values.time2retain = 1;
	p = submit(TASK_READ);
	expect(&peers[0], 0x01);
	cut(&peers[0]);
	for (int i = 0; session->state != SESSION_FAILED && i < 2000; i++)
		spin();
	begin_login(1);
	until(p);
	until_login(-1);
	CU_ASSERT_FALSE(session_may_resume(session));
	teardown();
	free(p);
}

UNIT_MAIN("hostile", UNIT(test_hostile_logout_is_not_answered_by_one_of_two),
	  UNIT(test_hostile_logout_while_a_connection_is_removed),
	  UNIT(test_hostile_asks_for_data_of_a_task_that_it_refuses),
	  UNIT(test_hostile_says_for_ever_that_recovery_is_not_supported),
	  UNIT(test_hostile_never_acknowledges_a_command),
	  UNIT(test_hostile_has_not_seen_a_command_of_a_removed_connection),
	  UNIT(test_hostile_keeps_a_login_until_time2retain_is_over))
