/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections that are lost, and commands that are not answered: what becomes of them, by RFC 7143
 * 7.2 and 11. */
#include "recover_play.h"

/* --- tests --- */

/* 7.1.4.3, 7.2.1 */
static void test_recover_unseen_commands_are_sent_again_as_they_were(void)
{
	uint8_t cmd[4][48];
	struct probe *p[4];

	setup(0, 2);
	four_commands(p, cmd, 4); /* CmdSN 4 did not arrive; 2, on the same connection, did */
	cut(&peers[1]);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(bhs[0], 0x46);		    /* immediate */
	CU_ASSERT_EQUAL(bhs[1], 0x81);		    /* close the connection */
	CU_ASSERT_EQUAL(get_be16(bhs + 20), 2);	    /* its CID */
	CU_ASSERT_EQUAL(get_be32(bhs + 24), 5);	    /* CmdSN is not used up */
	CU_ASSERT_EQUAL(p[1]->calls + p[3]->calls, 0);
	CU_ASSERT_EQUAL(lost_calls, 1);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 0);
	expect(&peers[0], 0x01);
	CU_ASSERT_EQUAL(memcmp(bhs, cmd[3], 28), 0); /* flags, LUN, ITT, length, CmdSN */
	CU_ASSERT_EQUAL(memcmp(bhs + 32, cmd[3] + 32, 16), 0);
	until(p[1]);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	exp_cmd_sn = 5;
	good(&peers[0], get_be32(cmd[3] + 16));
	until(p[3]);
	CU_ASSERT_EQUAL(p[3]->task.result, TASK_RESULT_RESPONDED);
	good(&peers[0], get_be32(cmd[0] + 16));
	good(&peers[0], get_be32(cmd[2] + 16));
	until(p[2]);
	CU_ASSERT_EQUAL(p[0]->task.result, TASK_RESULT_RESPONDED);
	CU_ASSERT_EQUAL(session->stats.retries, 1);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	free_all(p, 4);
	teardown();
}

/* 7.2.2, 11.5: function 8, the same ITT, ExpDataSN of what came */
static void test_recover_reassigns_at_level_2(void)
{
	uint8_t cmd[4][48], r[48] = { 0x25, 0x00 };
	struct probe *p[4];

	setup(2, 2);
	four_commands(p, cmd, 5);
	put_be24(r + 5, 4096); /* half of the data of the second, DataSN 0 */
	memcpy(r + 16, cmd[1] + 16, 4);
	put_be32(r + 20, 0xffffffff);
	put_be32(r + 28, 5);
	put_be32(r + 32, 36);
	memset(data, 0x33, 4096);
	say(&peers[1], r, data, 4096);
	for (int i = 0; p[1]->task.received < 4096 && i < 2000; i++)
		spin();
	cut(&peers[1]);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x82); /* remove the connection for recovery */
	CU_ASSERT_EQUAL(get_be16(bhs + 20), 2);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 0);
	for (unsigned i = 1; i < 4; i += 2) {
		expect(&peers[0], 0x02);
		CU_ASSERT_EQUAL(bhs[0], 0x42);
		CU_ASSERT_EQUAL(bhs[1], 0x88);
		CU_ASSERT_EQUAL(memcmp(bhs + 20, cmd[i] + 16, 4), 0); /* Referenced Task Tag */
		CU_ASSERT_EQUAL(get_be32(bhs + 32), 0);		      /* RefCmdSN: reserved */
		CU_ASSERT_EQUAL(get_be32(bhs + 36), 0); /* ExpDataSN: nothing was acknowledged */
		answer(&peers[0], 0x22, get_be32(bhs + 16), 0);
	}
	put_be32(r + 28, 5);
	put_be32(r + 32, 36);
	memset(data, 0x33, 4096);
	say(&peers[0], r, data, 4096); /* all of it again */
	r[1] = 0x81;
	put_be32(r + 36, 1);
	put_be32(r + 40, 4096);
	put_numbers(&peers[0], r);
	memset(data, 0x44, 4096);
	say(&peers[0], r, data, 4096);
	until(p[1]);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_RESPONDED);
	CU_ASSERT_EQUAL(p[1]->task.transferred, 8192);
	CU_ASSERT_EQUAL(p[1]->data[4095], 0x33);
	CU_ASSERT_EQUAL(p[1]->data[4096], 0x44);
	good(&peers[0], get_be32(cmd[0] + 16));
	good(&peers[0], get_be32(cmd[2] + 16));
	good(&peers[0], get_be32(cmd[3] + 16));
	until(p[3]);
	CU_ASSERT_EQUAL(session->stats.reassigned, 2);
	free_all(p, 4);
	teardown();
}

static void test_recover_ends_tasks_whose_reassignment_is_refused(void)
{
	uint8_t cmd[4][48];
	struct probe *p[4];

	setup(2, 2);
	four_commands(p, cmd, 5);
	cut(&peers[1]);
	expect(&peers[0], 0x06);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 0);
	expect(&peers[0], 0x02);
	answer(&peers[0], 0x22, get_be32(bhs + 16), 1); /* no such task */
	expect(&peers[0], 0x02);
	answer(&peers[0], 0x22, get_be32(bhs + 16), 4); /* not supported */
	until(p[1]);
	until(p[3]);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(p[3]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_TRUE(session->is_reassign_refused);
	good(&peers[0], get_be32(cmd[0] + 16));
	good(&peers[0], get_be32(cmd[2] + 16));
	until(p[2]);
	free_all(p, 4);
	teardown();
}

/* 11.15.1: response 2, recovery is not supported */
static void test_recover_closes_where_recovery_is_not_supported(void)
{
	uint8_t cmd[4][48];
	struct probe *p[4];

	setup(2, 2);
	four_commands(p, cmd, 5);
	cut(&peers[1]);
	expect(&peers[0], 0x06);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 2);
	expect(&peers[0], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x81);
	answer(&peers[0], 0x26, get_be32(bhs + 16), 0);
	until(p[3]);
	CU_ASSERT_EQUAL(p[3]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	cut(&peers[0]);
	until(p[2]);
	CU_ASSERT_FALSE(session_may_resume(session));
	free_all(p, 4);
	teardown();
}

/* 6.3.4: the same ISID, TSIH and CID; then the tasks move */
static void test_recover_resumes_a_session_of_one_connection(void)
{
	struct probe *p[2];
	uint32_t itt[2];

	setup(2, 1);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = submit(TASK_READ);
		expect(&peers[0], 0x01);
		itt[i] = get_be32(bhs + 16);
	}
	exp_cmd_sn = 2; /* the second did not arrive */
	cut(&peers[0]);
	for (int i = 0; session->state != SESSION_FAILED && i < 2000; i++)
		spin();
	CU_ASSERT_TRUE_FATAL(session_may_resume(session));
	CU_ASSERT_EQUAL(p[0]->calls + p[1]->calls, 0);
	begin_login(1);
	CU_ASSERT_EQUAL(get_be16(bhs + 14), 7); /* TSIH */
	CU_ASSERT_EQUAL(get_be16(bhs + 20), 1); /* CID */
	end_login(1, 2, false);
	CU_ASSERT_EQUAL(session->lives, 1);
	CU_ASSERT_EQUAL(session->stats.resumes, 1);
	for (unsigned i = 0; i < 2; i++) {
		play_read(peers[1].fd, bhs, 48);
		if ((bhs[0] & 0x3f) == 0x02) {
			CU_ASSERT_EQUAL(bhs[1], 0x88);
			CU_ASSERT_EQUAL(get_be32(bhs + 20), itt[0]);
			answer(&peers[1], 0x22, get_be32(bhs + 16), 0);
		} else {
			CU_ASSERT_EQUAL(bhs[0], 0x01);
			CU_ASSERT_EQUAL(get_be32(bhs + 16), itt[1]);
			CU_ASSERT_EQUAL(get_be32(bhs + 24), 2);
		}
	}
	exp_cmd_sn = 3;
	good(&peers[1], itt[0]);
	good(&peers[1], itt[1]);
	until(p[1]);
	CU_ASSERT_EQUAL(p[0]->task.result, TASK_RESULT_RESPONDED);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_RESPONDED);
	free_all(p, 2);
	teardown();
}

/* Who has another path does not wait for this session. */
static void test_recover_gives_back_at_once_what_has_another_path(void)
{
	struct probe *p;

	setup(2, 1);
	p = submit(TASK_READ);
	p->task.is_hurried = true;
	expect(&peers[0], 0x01);
	exp_cmd_sn = 2;
	cut(&peers[0]);
	until(p);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_FALSE(session_may_resume(session));
	begin_login(1);
	CU_ASSERT_EQUAL(get_be16(bhs + 14), 0); /* TSIH */
	free(p);
	teardown();
}

static void test_recover_begins_anew_when_the_target_has_forgotten(void)
{
	struct probe *p;

	setup(2, 1);
	p = submit(TASK_WRITE);
	expect(&peers[0], 0x01);
	cut(&peers[0]);
	for (int i = 0; session->state != SESSION_FAILED && i < 2000; i++)
		spin();
	begin_login(1);
	answer_login(&peers[1], 0x00, NULL, 0, 0x020a); /* session does not exist */
	until_login(-1);
	CU_ASSERT_FALSE(session_may_resume(session));
	begin_login(2);
	CU_ASSERT_EQUAL(get_be16(bhs + 14), 0);
	until(p);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	end_login(2, 2, true);
	CU_ASSERT_EQUAL(session->lives, 2);
	free(p);
	teardown();
}

static void test_recover_level_0_restarts_with_the_same_isid(void)
{
	uint8_t isid[6];
	struct probe *p;

	setup(0, 1);
	memcpy(isid, session->config.isid, 6);
	p = submit(TASK_READ);
	expect(&peers[0], 0x01);
	cut(&peers[0]);
	until(p);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(session->state, SESSION_FAILED);
	begin_login(1);
	CU_ASSERT_EQUAL(memcmp(bhs + 8, isid, 6), 0);
	CU_ASSERT_EQUAL(get_be16(bhs + 14), 0);
	end_login(1, 0, true);
	CU_ASSERT_EQUAL(session->lives, 2);
	free(p);
	teardown();
}

static void test_recover_second_failure_while_recovering(void)
{
	uint8_t cmd[4][48];
	struct probe *p[4];

	setup(2, 3);
	session_set_policy(session, POLICY_FAILOVER);
	for (unsigned i = 0; i < 4; i++) {
		p[i] = submit(TASK_READ);
		expect(&peers[0], 0x01);
		memcpy(cmd[i], bhs, 48);
	}
	exp_cmd_sn = 5;
	cut(&peers[0]);
	expect(&peers[1], 0x06);
	cut(&peers[1]); /* instead of an answer */
	expect(&peers[2], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x82);
	CU_ASSERT_EQUAL(get_be16(bhs + 20), 1);
	answer(&peers[2], 0x26, get_be32(bhs + 16), 0);
	for (unsigned i = 0; i < 4; i++) {
		expect(&peers[2], 0x02);
		CU_ASSERT_EQUAL(bhs[1], 0x88);
		answer(&peers[2], 0x22, get_be32(bhs + 16), 0);
	}
	for (unsigned i = 0; i < 4; i++)
		good(&peers[2], get_be32(cmd[i] + 16));
	until(p[3]);
	CU_ASSERT_EQUAL(lost_calls, 2);
	free_all(p, 4);
	teardown();
}

static void test_recover_keeps_away_for_time2wait(void)
{
	setup(0, 1);
	session->values.time2wait = 300;
	CU_ASSERT_EQUAL(session_wait_ms(session), 0);
	cut(&peers[0]);
	for (int i = 0; session->state != SESSION_FAILED && i < 2000; i++)
		spin();
	CU_ASSERT_TRUE(session_wait_ms(session) > 200000 && session_wait_ms(session) <= 300000);
	teardown();
}

/* --- removal, policies --- */

static void test_recover_removes_a_connection_but_not_the_last(void)
{
	struct conn *second;

	setup(0, 2);
	second = g_list_nth_data(session->conns, 1);
	CU_ASSERT_EQUAL(session_remove_connection(session, second, on_removed, NULL), 0);
	CU_ASSERT_EQUAL(session_remove_connection(session, second, on_removed, NULL), -EALREADY);
	expect(&peers[1], 0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x81);
	CU_ASSERT_EQUAL(get_be16(bhs + 20), 2);
	answer(&peers[1], 0x26, get_be32(bhs + 16), 0);
	CU_ASSERT_TRUE(is_closed(&peers[1]));
	for (int i = 0; !removed_calls && i < 2000; i++)
		spin();
	CU_ASSERT_EQUAL(removed_calls, 1);
	CU_ASSERT_EQUAL(lost_calls, 0);
	CU_ASSERT_EQUAL(session_remove_connection(session, session->conns->data, on_removed, NULL),
			-EBUSY);
	teardown();
}

static void test_recover_standby_takes_over_and_gives_back(void)
{
	struct probe *p[3];

	setup(0, 2);
	session_set_policy(session, POLICY_FAILOVER);
	((struct conn *)session->conns->data)->lane.is_standby = true;
	p[0] = submit(TASK_NO_DATA);
	expect(&peers[1], 0x01);
	exp_cmd_sn = 2;
	answer(&peers[1], 0x21, get_be32(bhs + 16), 0);
	until(p[0]);
	cut(&peers[1]);
	for (int i = 0; lost_calls < 1 && i < 2000; i++)
		spin();
	p[1] = submit(TASK_NO_DATA);
	expect(&peers[0], 0x01);
	exp_cmd_sn = 3;
	answer(&peers[0], 0x21, get_be32(bhs + 16), 0);
	until(p[1]);
	begin_login(2);
	CU_ASSERT_EQUAL(get_be16(bhs + 14), 7);
	end_login(2, 0, false); /* active again */
	p[2] = submit(TASK_NO_DATA);
	expect(&peers[2], 0x01);
	exp_cmd_sn = 4;
	answer(&peers[2], 0x21, get_be32(bhs + 16), 0);
	until(p[2]);
	free_all(p, 3);
	teardown();
}

/* --- the ladder --- */

/* A NOP-In that wants no answer. */
static void say_alive(struct peer *p)
{
	uint8_t r[48] = { 0x20, 0x80 };

	put_be32(r + 16, 0xffffffff);
	put_be32(r + 20, 0xffffffff);
	put_be32(r + 24, p->stat_sn);
	put_be32(r + 28, exp_cmd_sn);
	put_be32(r + 32, exp_cmd_sn + 31);
	say(p, r, NULL, 0);
}

static void test_recover_ends_a_connection_that_is_silent(void)
{
	struct probe *p;

	setup(0, 1);
	session->config.timeouts.command_ms = 1500;
	p = submit(TASK_READ);
	p->task.is_hurried = true;
	expect(&peers[0], 0x01);
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(bhs[1], 0x81);
	CU_ASSERT_TRUE(is_closed(&peers[0]));
	until(p);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(session->state, SESSION_FAILED);
	free(p);
	teardown();
}

static void test_recover_climbs_from_abort_to_restart(void)
{
	struct probe *p;
	uint32_t itt, cmd_sn;

	setup(0, 1);
	session->config.timeouts.command_ms = 3000;
	p = submit(TASK_READ);
	memset(p->task.lun, 0, 8);
	p->task.lun[1] = 5;
	expect(&peers[0], 0x01);
	itt = get_be32(bhs + 16);
	cmd_sn = get_be32(bhs + 24);
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(bhs[0], 0x42);
	CU_ASSERT_EQUAL(bhs[1], 0x81); /* ABORT TASK */
	CU_ASSERT_EQUAL(bhs[9], 5);    /* LUN */
	CU_ASSERT_EQUAL(get_be32(bhs + 20), itt);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), cmd_sn + 1); /* CmdSN of the next command */
	CU_ASSERT_EQUAL(get_be32(bhs + 32), cmd_sn);	 /* RefCmdSN */
	say_alive(&peers[0]);
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(bhs[1], 0x85); /* LOGICAL UNIT RESET */
	CU_ASSERT_EQUAL(bhs[9], 5);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), 0xffffffff);
	answer(&peers[0], 0x22, get_be32(bhs + 16), 5); /* not supported */
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(bhs[1], 0x86); /* TARGET WARM RESET */
	CU_ASSERT_TRUE(is_closed(&peers[0]));
	until(p);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_TRUE(session->must_restart);
	CU_ASSERT_EQUAL(session->state, SESSION_FAILED);
	free(p);
	teardown();
}

static void test_recover_aborts_one_after_the_other(void)
{
	struct probe *p[3];
	uint32_t itt[3];

	setup(0, 1);
	session->config.timeouts.command_ms = 2000;
	for (unsigned i = 0; i < 3; i++) {
		p[i] = submit(TASK_READ);
		expect(&peers[0], 0x01);
		itt[i] = get_be32(bhs + 16);
	}
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), itt[0]);
	exp_cmd_sn = 4;
	answer(&peers[0], 0x22, get_be32(bhs + 16), 0);
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), itt[1]);
	good(&peers[0], itt[1]); /* late, before the answer (19.4.3) */
	answer(&peers[0], 0x22, get_be32(bhs + 16), 1);
	expect(&peers[0], 0x02);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), itt[2]);
	answer(&peers[0], 0x22, get_be32(bhs + 16), 1);
	until(p[2]);
	CU_ASSERT_EQUAL(p[0]->task.result, TASK_RESULT_ABORTED);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_RESPONDED);
	CU_ASSERT_EQUAL(p[2]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	CU_ASSERT_TRUE(is_silent(&peers[0]));
	free_all(p, 3);
	teardown();
}

/* The time-out of the session is not a patient one's: nobody touches it before its own is near. */
static void test_recover_leaves_a_patient_task_its_time(void)
{
	int64_t two_rungs_us, deadline_us;
	struct probe *p[2];

	setup(0, 1);
	two_rungs_us = 2 * session_rung_ms(session) * 1000;
	deadline_us = loop_now_us(loop) + INT64_C(3600) * 1000000;
	for (unsigned i = 0; i < 2; i++) {
		p[i] = submit(TASK_NO_DATA);
		p[i]->task.deadline_us = deadline_us;
		p[i]->task.is_patient = i == 1;
		expect(&peers[0], 0x01);
	}
	CU_ASSERT_TRUE(p[0]->task.attempt_us < deadline_us - two_rungs_us);
	CU_ASSERT_EQUAL(p[1]->task.attempt_us, deadline_us - two_rungs_us);
	for (unsigned i = 0; i < 2; i++) {
		exp_cmd_sn = 3;
		answer(&peers[0], 0x21, p[i]->task.itt, 0);
		until(p[i]);
	}
	free_all(p, 2);
	teardown();
}

UNIT_MAIN("recover", UNIT(test_recover_unseen_commands_are_sent_again_as_they_were),
	  UNIT(test_recover_reassigns_at_level_2),
	  UNIT(test_recover_ends_tasks_whose_reassignment_is_refused),
	  UNIT(test_recover_closes_where_recovery_is_not_supported),
	  UNIT(test_recover_resumes_a_session_of_one_connection),
	  UNIT(test_recover_gives_back_at_once_what_has_another_path),
	  UNIT(test_recover_begins_anew_when_the_target_has_forgotten),
	  UNIT(test_recover_level_0_restarts_with_the_same_isid),
	  UNIT(test_recover_second_failure_while_recovering),
	  UNIT(test_recover_keeps_away_for_time2wait),
	  UNIT(test_recover_removes_a_connection_but_not_the_last),
	  UNIT(test_recover_standby_takes_over_and_gives_back),
	  UNIT(test_recover_climbs_from_abort_to_restart),
	  UNIT(test_recover_leaves_a_patient_task_its_time),
	  UNIT(test_recover_ends_a_connection_that_is_silent),
	  UNIT(test_recover_aborts_one_after_the_other))
