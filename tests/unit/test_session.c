/* SPDX-License-Identifier: BSD-2-Clause */
/* A session against a target played by the test on loopback: its PDUs are typed here from RFC 7143
 * section 11, independent of pdu.c. */
#include "base/error.h"
#include "play.h"

static int peer;
static unsigned state_calls, logout_calls;
static int state_code; /* of the last error */
static unsigned last_event;
static uint32_t stat_sn;

static void on_state(struct session *s, const GError *err, void *arg)
{
	(void)s;
	(void)arg;
	state_calls++;
	if (err)
		state_code = err->code;
}

static void on_event(struct session *s, const struct conn *c, unsigned id, const char *text,
		     void *arg)
{
	(void)s;
	(void)c;
	(void)text;
	(void)arg;
	last_event = id;
}

static bool is_last_event(unsigned id)
{
	return last_event == id;
}

static const struct session_ops ops = { .state_changed = on_state, .event = on_event };

static void expect(uint8_t opcode)
{
	play_expect(peer, opcode);
}

static bool is_silent(void)
{
	return play_is_silent(peer);
}

static void say(const uint8_t *header, const void *segment, uint32_t bytes)
{
	play_say(peer, header, segment, bytes);
}

/* Login Response (0x23), 11.13. */
static void say_login(uint8_t flags, uint16_t tsih, const char *keys, uint32_t bytes,
		      uint16_t status)
{
	uint8_t r[48] = { 0x23, flags };

	put_be24(r + 5, bytes);
	memcpy(r + 8, bhs + 8, 6); /* ISID */
	put_be16(r + 14, tsih);
	memcpy(r + 16, bhs + 16, 4); /* ITT */
	put_be32(r + 24, stat_sn++);
	put_be32(r + 28, get_be32(bhs + 24)); /* ExpCmdSN: the request's CmdSN */
	put_be32(r + 32, get_be32(bhs + 24) + 1); /* MaxCmdSN: a window of two */
	put_be16(r + 36, status);
	say(r, keys, bytes);
}

static void setup(void)
{
	struct session_config cfg;

	play_begin(&cfg);
	cfg.timeouts.command_ms = 300;
	state_calls = logout_calls = 0;
	state_code = 0;
	last_event = 0;
	stat_sn = 1000;
	session = session_new(loop, &cfg, 1, &ops, NULL);
	CU_ASSERT_EQUAL_FATAL(session_add_connection(session, &address, on_login, NULL, NULL), 0);
	CU_ASSERT_EQUAL(outcome, 0);
	peer = play_accept();
}

static void teardown(void)
{
	play_end();
	if (peer >= 0)
		close(peer);
}

/* Security to operational, then to full feature with every answer in one go. */
static void log_in(void)
{
	static const char security[] = "AuthMethod=None\0TargetPortalGroupTag=1";
	static const char operational[] =
		"HeaderDigest=None\0DataDigest=None\0MaxConnections=1\0InitialR2T=No\0"
		"ImmediateData=Yes\0MaxRecvDataSegmentLength=8192\0MaxBurstLength=16384\0"
		"FirstBurstLength=8192\0DefaultTime2Wait=2\0DefaultTime2Retain=0\0"
		"MaxOutstandingR2T=1\0DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0"
		"ErrorRecoveryLevel=0";

	expect(0x03);
	CU_ASSERT_EQUAL(bhs[0], 0x43);
	say_login(0x81, 0, security, sizeof(security), 0); /* T, CSG 0, NSG 1 */
	expect(0x03);
	say_login(0x87, 7, operational, sizeof(operational), 0); /* T, CSG 1, NSG 3 */
	for (int i = 0; !outcome && i < 1000; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(outcome, 1);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	CU_ASSERT_EQUAL(session->tsih, 7);
}

struct probe {
	struct task task;
	uint8_t data[65536];
	unsigned calls;
};

static void probe_done(struct task *t)
{
	container_of(t, struct probe, task)->calls++;
}

static struct probe *probe_new(enum task_direction direction, uint32_t bytes)
{
	struct probe *p = calloc(1, sizeof(*p));

	task_init(&p->task, TASK_SCSI, probe_done);
	p->task.cdb[0] = direction == TASK_WRITE ? 0x2a : 0x28;
	p->task.cdb_bytes = 10;
	p->task.direction = direction;
	p->task.data = p->data;
	p->task.data_bytes = bytes;
	return p;
}

static void until(const struct probe *p, unsigned calls)
{
	for (int i = 0; p->calls < calls && i < 2000; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(p->calls, calls);
}

/* SCSI Response (0x21), status GOOD, 11.4. */
static void say_response(uint32_t itt, uint32_t exp_cmd_sn, uint32_t max_cmd_sn)
{
	uint8_t r[48] = { 0x21, 0x80 };

	put_be32(r + 16, itt);
	put_be32(r + 24, stat_sn++);
	put_be32(r + 28, exp_cmd_sn);
	put_be32(r + 32, max_cmd_sn);
	say(r, NULL, 0);
}

/* --- tests --- */

static void test_session_tables_lead_only_where_the_header_says(void)
{
	CU_ASSERT_TRUE(session_state_may(SESSION_FREE, SESSION_LOGGED_IN));
	CU_ASSERT_FALSE(session_state_may(SESSION_FREE, SESSION_FAILED));
	CU_ASSERT_TRUE(session_state_may(SESSION_LOGGED_IN, SESSION_FAILED));
	CU_ASSERT_TRUE(session_state_may(SESSION_FAILED, SESSION_LOGGED_IN));
	for (int s = 0; s < SESSION_STATES; s++) {
		CU_ASSERT_FALSE(session_state_may(SESSION_CLOSED, s));
		CU_ASSERT_PTR_NOT_NULL(session_state_name(s));
	}
	for (int from = 0; from < CONN_STATES; from++) {
		CU_ASSERT_FALSE(conn_state_may(from, CONN_FREE));
		CU_ASSERT_EQUAL(conn_state_may(from, CONN_CLEANUP), from != CONN_CLEANUP);
		CU_ASSERT_EQUAL(conn_state_may(from, CONN_LOGGED_IN), from == CONN_IN_LOGIN);
		CU_ASSERT_PTR_NOT_NULL(conn_state_name(from));
	}
}

static void test_session_logs_in_and_numbers_commands_from_the_login(void)
{
	struct probe *p = probe_new(TASK_NO_DATA, 0);

	setup();
	log_in();
	CU_ASSERT_EQUAL(session_submit(session, &p->task), 0);
	expect(0x01);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), 1);	       /* CmdSN of the login */
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn); /* ExpStatSN */
	say_response(get_be32(bhs + 16), 2, 3);
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_RESPONDED);
	teardown();
	free(p);
}

static void test_session_keeps_to_the_command_window(void)
{
	struct probe *p[4];
	uint32_t itt[2];

	setup();
	log_in(); /* a window of two */
	for (int i = 0; i < 4; i++) {
		p[i] = probe_new(TASK_NO_DATA, 0);
		CU_ASSERT_EQUAL(session_submit(session, &p[i]->task), 0);
	}
	for (int i = 0; i < 2; i++) {
		expect(0x01);
		CU_ASSERT_EQUAL(get_be32(bhs + 24), (uint32_t)i + 1);
		itt[i] = get_be32(bhs + 16);
	}
	CU_ASSERT_NOT_EQUAL(itt[0], itt[1]);
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_TRUE(session_withdraw(session, &p[3]->task));
	CU_ASSERT_FALSE(session_withdraw(session, &p[0]->task));
	say_response(itt[0], 3, 2); /* closed: MaxCmdSN = ExpCmdSN - 1 */
	until(p[0], 1);
	CU_ASSERT_TRUE(is_silent());
	say_response(itt[1], 3, 3);
	expect(0x01);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), 3);
	CU_ASSERT_TRUE(get_be32(bhs + 16) != itt[0] && get_be32(bhs + 16) != itt[1]);
	say_response(get_be32(bhs + 16), 4, 4);
	until(p[2], 1);
	CU_ASSERT_EQUAL(p[3]->calls, 0);
	teardown();
	for (int i = 0; i < 4; i++)
		free(p[i]);
}

static void test_session_write_follows_the_agreed_bursts(void)
{
	struct probe *p = probe_new(TASK_WRITE, 20000);
	uint8_t r2t[48] = { 0x31, 0x80 };
	uint32_t itt, got;

	setup();
	log_in(); /* FirstBurst 8192, segments of 8192, MaxBurst 16384 */
	for (unsigned i = 0; i < 20000; i++)
		p->data[i] = (uint8_t)(i * 5 + i / 256);
	session_submit(session, &p->task);
	expect(0x01);
	itt = get_be32(bhs + 16);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), 20000);
	CU_ASSERT_EQUAL(data_bytes, 8192);
	CU_ASSERT_EQUAL(bhs[1] & 0xa0, 0xa0); /* F: nothing unsolicited follows; W */
	CU_ASSERT_EQUAL(memcmp(data, p->data, 8192), 0);
	CU_ASSERT_TRUE(is_silent());
	put_be32(r2t + 16, itt);
	put_be32(r2t + 20, 0xabbaabba);
	put_be32(r2t + 24, stat_sn);
	put_be32(r2t + 28, 2);
	put_be32(r2t + 32, 3);
	put_be32(r2t + 40, 8192);
	put_be32(r2t + 44, 11808);
	say(r2t, NULL, 0);
	for (got = 8192; got < 20000; got += data_bytes) {
		expect(0x05);
		CU_ASSERT_EQUAL(get_be32(bhs + 20), 0xabbaabba);
		CU_ASSERT_EQUAL(get_be32(bhs + 36), got == 8192 ? 0 : 1);
		CU_ASSERT_EQUAL(get_be32(bhs + 40), got);
		CU_ASSERT_EQUAL(memcmp(data, p->data + got, data_bytes), 0);
		CU_ASSERT_EQUAL(bhs[1] & 0x80, got + data_bytes == 20000 ? 0x80 : 0);
	}
	say_response(itt, 2, 3);
	until(p, 1);
	CU_ASSERT_FALSE(p->task.is_short);
	CU_ASSERT_EQUAL(p->task.transferred, 20000);
	teardown();
	free(p);
}

/* Data-In (0x25) of @bytes at @offset, 11.7. */
static void say_data_in(uint32_t itt, uint32_t data_sn, uint32_t offset, const void *segment,
			uint32_t bytes, bool has_status)
{
	uint8_t d[48] = { 0x25, has_status ? 0x81 : 0 };

	put_be24(d + 5, bytes);
	put_be32(d + 16, itt);
	put_be32(d + 20, 0xffffffff);
	if (has_status)
		put_be32(d + 24, stat_sn++);
	put_be32(d + 28, 2);
	put_be32(d + 32, 3);
	put_be32(d + 36, data_sn);
	put_be32(d + 40, offset);
	say(d, segment, bytes);
}

static void test_session_read_ends_with_status_in_data(void)
{
	struct probe *p = probe_new(TASK_READ, 1000);
	uint8_t blob[1000];

	setup();
	log_in();
	memset(blob, 0x5c, sizeof(blob));
	session_submit(session, &p->task);
	expect(0x01);
	say_data_in(get_be32(bhs + 16), 0, 0, blob, 600, false);
	say_data_in(get_be32(bhs + 16), 1, 600, blob, 400, true);
	until(p, 1);
	CU_ASSERT_FALSE(p->task.is_short);
	CU_ASSERT_EQUAL(p->task.transferred, 1000);
	CU_ASSERT_EQUAL(memcmp(p->data, blob, 1000), 0);
	teardown();
	free(p);
}

static void test_session_good_with_too_few_bytes_is_short(void)
{
	struct probe *p = probe_new(TASK_READ, 1000);
	uint8_t blob[600] = { 1 };

	setup();
	log_in();
	session_submit(session, &p->task);
	expect(0x01);
	say_data_in(get_be32(bhs + 16), 0, 0, blob, 600, true);
	until(p, 1);
	CU_ASSERT_TRUE(p->task.is_short);
	teardown();
	free(p);
}

/* What no sane target sends ends the connection, and with it the task: never its data. */
static void lie(uint32_t data_sn, uint32_t offset, uint32_t bytes, uint32_t itt_change)
{
	struct probe *p = probe_new(TASK_READ, 1000);
	static uint8_t blob[4096];

	setup();
	log_in();
	session_submit(session, &p->task);
	expect(0x01);
	say_data_in(get_be32(bhs + 16) + itt_change, data_sn, offset, blob, bytes, true);
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(session->state, SESSION_FAILED);
	CU_ASSERT_PTR_NOT_NULL(session->why);
	CU_ASSERT_EQUAL(session_submit(session, &p->task), -ENOTCONN);
	teardown();
	free(p);
}

static void test_session_refuses_data_beyond_the_buffer(void)
{
	lie(0, 0, 1004, 0);
}

static void test_session_refuses_data_at_a_wrong_offset(void)
{
	lie(0, 4, 100, 0);
	lie(0, 0xfffffff0u, 100, 0);
}

static void test_session_refuses_a_gap_in_data_sn(void)
{
	lie(1, 0, 1000, 0);
}

static void test_session_refuses_a_tag_of_another_life(void)
{
	lie(0, 0, 1000, 0x10000);
	lie(0, 0, 1000, 0xffff);
}

static void test_session_hands_tasks_back_when_the_connection_goes(void)
{
	struct probe *p[4];

	setup();
	log_in();
	for (int i = 0; i < 4; i++) {
		p[i] = probe_new(TASK_READ, 512);
		session_submit(session, &p[i]->task);
	}
	expect(0x01);
	expect(0x01);
	close(peer);
	peer = -1;
	for (int i = 0; i < 4; i++)
		until(p[i], 1);
	CU_ASSERT_EQUAL(p[0]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(p[1]->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(p[2]->task.result, TASK_RESULT_NEVER_SENT);
	CU_ASSERT_EQUAL(p[3]->task.result, TASK_RESULT_NEVER_SENT);
	CU_ASSERT_EQUAL(session->outstanding_count, 0);
	CU_ASSERT_EQUAL(session->free_slots, SESSION_SLOTS);
	teardown();
	for (int i = 0; i < 4; i++)
		free(p[i]);
}

/* Reset by the network: the reading side notices. */
static void test_session_receive_fails(void)
{
	struct probe *p = probe_new(TASK_READ, 512);
	struct linger at_once = { 1, 0 };

	setup();
	log_in();
	session_submit(session, &p->task);
	expect(0x01);
	CU_ASSERT_EQUAL(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(peer);
	peer = -1;
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(state_code, ISDSC_TRANSPORT_ERROR);
	teardown();
	free(p);
}

static void test_session_send_fails(void)
{
	struct probe *p = probe_new(TASK_READ, 512);

	setup();
	log_in();
	CU_ASSERT_EQUAL(shutdown(session_any_conn(session)->fd, SHUT_WR), 0);
	session_submit(session, &p->task);
	until(p, 1);
	CU_ASSERT_EQUAL(state_code, ISDSC_SEND_FAILED);
	CU_ASSERT(is_last_event(7));
	teardown();
	free(p);
}

static void test_session_gives_up_on_a_silent_target(void)
{
	struct probe *p = probe_new(TASK_READ, 512);

	setup();
	log_in();
	session_submit(session, &p->task);
	expect(0x01);
	until(p, 1); /* command_ms of setup() */
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(session->stats.timeouts, 1);
	teardown();
	free(p);
}

static void test_session_answers_a_ping(void)
{
	uint8_t nop[48] = { 0x20, 0x80, [9] = 5 };

	setup();
	log_in();
	put_be32(nop + 16, 0xffffffff);
	put_be32(nop + 20, 0x1234);
	put_be32(nop + 24, stat_sn);
	put_be32(nop + 28, 1);
	put_be32(nop + 32, 2);
	say(nop, NULL, 0);
	expect(0x00);
	CU_ASSERT_EQUAL(bhs[0], 0x40);
	CU_ASSERT_EQUAL(bhs[9], 5);
	CU_ASSERT_EQUAL(get_be32(bhs + 16), 0xffffffff);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), 0x1234);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), 1); /* the next command's CmdSN, not used up */
	CU_ASSERT_EQUAL(data_bytes, 0);
	teardown();
}

static void on_logout(struct session *s, const GError *err, void *arg)
{
	(void)s;
	(void)arg;
	CU_ASSERT_PTR_NULL(err);
	logout_calls++;
}

static void test_session_logs_out(void)
{
	uint8_t r[48] = { 0x26, 0x80 };

	setup();
	log_in();
	CU_ASSERT_EQUAL(session_logout(session, on_logout, NULL), 0);
	CU_ASSERT_EQUAL(session_logout(session, on_logout, NULL), -EALREADY);
	expect(0x06);
	CU_ASSERT_EQUAL(bhs[1], 0x80); /* reason 0: close the session */
	put_be32(r + 16, get_be32(bhs + 16));
	put_be32(r + 24, stat_sn++);
	put_be32(r + 28, 1);
	put_be32(r + 32, 2);
	say(r, NULL, 0);
	for (int i = 0; !logout_calls && i < 1000; i++)
		spin();
	CU_ASSERT_EQUAL(logout_calls, 1);
	CU_ASSERT_EQUAL(session->state, SESSION_CLOSED);
	teardown();
}

static void test_session_refused_login_is_told_once(void)
{
	setup();
	expect(0x03);
	say_login(0x00, 0, NULL, 0, 0x0201);
	for (int i = 0; !outcome && i < 1000; i++)
		spin();
	CU_ASSERT_EQUAL(outcome, -1);
	CU_ASSERT_EQUAL(session->state, SESSION_FREE);
	CU_ASSERT_PTR_NULL(session->conns);
	teardown();
}

static void test_session_close_in_login_tells_the_caller(void)
{
	setup();
	expect(0x03);
	session_close(session);
	CU_ASSERT_EQUAL(outcome, 0);
	spin();
	CU_ASSERT_EQUAL(outcome, -1);
	teardown();
}

/* Two answers in one segment: the second answers nothing that has left. */
static void test_session_refuses_a_login_response_before_its_request(void)
{
	static const char security[] = "AuthMethod=None";

	setup();
	expect(0x03);
	say_login(0x81, 0, security, sizeof(security), 0);
	say_login(0x87, 7, NULL, 0, 0);
	for (int i = 0; !outcome && i < 1000; i++)
		spin();
	CU_ASSERT_EQUAL(outcome, -1);
	teardown();
}

/* The target takes nothing more and says GOOD: what has not left it cannot have. */
static void test_session_good_for_data_that_did_not_leave_is_short(void)
{
	static uint8_t big[8 << 20];
	struct probe *p = probe_new(TASK_WRITE, 0);
	uint8_t r2t[48] = { 0x31, 0x80 };
	uint32_t itt;

	setup();
	log_in();
	session->values.max_burst_length = sizeof(big); /* one R2T for all of it */
	p->task.data = big;
	p->task.data_bytes = sizeof(big);
	session_submit(session, &p->task);
	expect(0x01);
	itt = get_be32(bhs + 16);
	put_be32(r2t + 16, itt);
	put_be32(r2t + 20, 1);
	put_be32(r2t + 24, stat_sn);
	put_be32(r2t + 28, 2);
	put_be32(r2t + 32, 3);
	put_be32(r2t + 40, 8192);
	put_be32(r2t + 44, sizeof(big) - 8192);
	say(r2t, NULL, 0);
	for (int i = 0; i < 20; i++)
		spin(); /* until the socket is full */
	say_response(itt, 2, 3);
	for (int i = 0; p->task.state == TASK_SENT && i < 1000; i++)
		spin();
	CU_ASSERT_TRUE(p->task.is_short);
	close(peer);
	peer = -1;
	until(p, 1);
	CU_ASSERT_TRUE(p->task.result != TASK_RESULT_RESPONDED || p->task.is_short);
	teardown();
	free(p);
}

static void test_session_a_closed_window_does_not_hold_a_task_for_ever(void)
{
	struct probe *p[3];

	setup();
	log_in();
	for (int i = 0; i < 3; i++) {
		p[i] = probe_new(TASK_NO_DATA, 0);
		session_submit(session, &p[i]->task); /* the third finds the window closed */
	}
	expect(0x01);
	say_response(get_be32(bhs + 16), 2, 2);
	expect(0x01);
	say_response(get_be32(bhs + 16), 3, 2);
	until(p[0], 1);
	until(p[1], 1);
	until(p[2], 1); /* command_ms of setup() */
	CU_ASSERT_EQUAL(p[2]->task.result, TASK_RESULT_NEVER_SENT);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	teardown();
	for (int i = 0; i < 3; i++)
		free(p[i]);
}

/* 11.2.2.3: a CDB of 32 bytes has its second half in an AHS of 20. */
static void test_session_sends_a_long_cdb(void)
{
	struct probe *p = probe_new(TASK_NO_DATA, 0);
	uint8_t ahs[20];

	setup();
	log_in();
	p->task.cdb_bytes = 32;
	for (int i = 0; i < 32; i++)
		p->task.cdb[i] = (uint8_t)(0x7f - i);
	session_submit(session, &p->task);
	play_read(peer, bhs, 48);
	CU_ASSERT_EQUAL(bhs[4], 5); /* words of AHS */
	play_read(peer, ahs, 20);
	CU_ASSERT_EQUAL(get_be16(ahs), 17); /* AHSLength: 16 bytes and the reserved one */
	CU_ASSERT_EQUAL(ahs[2], 1);
	CU_ASSERT_EQUAL(memcmp(bhs + 32, p->task.cdb, 16), 0);
	CU_ASSERT_EQUAL(memcmp(ahs + 4, p->task.cdb + 16, 16), 0);
	say_response(get_be32(bhs + 16), 2, 3);
	until(p, 1);
	teardown();
	free(p);
}

static unsigned text_calls, text_errors;

static void on_text(struct session *s, const GByteArray *answer, const GError *err, void *arg)
{
	(void)s;
	(void)answer;
	(void)arg;
	text_calls++;
	text_errors += err != NULL;
}

static void test_session_a_rejected_text_ends_and_another_may_follow(void)
{
	uint8_t r[48] = { 0x3f, 0x80, 0x04 }; /* Reject: protocol error */

	setup();
	log_in();
	text_calls = text_errors = 0;
	for (unsigned round = 1; round <= 3; round++) {
		CU_ASSERT_EQUAL(session_text(session, "SendTargets=", 13, on_text, NULL), 0);
		CU_ASSERT_EQUAL(session_text(session, "SendTargets=", 13, on_text, NULL), -EBUSY);
		expect(0x04);
		put_be24(r + 5, 48);
		put_be32(r + 16, 0xffffffff);
		put_be32(r + 24, stat_sn++);
		put_be32(r + 28, round + 1);
		put_be32(r + 32, round + 2);
		say(r, bhs, 48);
		for (int i = 0; text_calls < round && i < 1000; i++)
			spin();
		CU_ASSERT_EQUAL(text_calls, round);
		CU_ASSERT_EQUAL(text_errors, round);
		CU_ASSERT_EQUAL(session->outstanding_count, 0);
	}
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	teardown();
}

static int tmf_result = -1;

static void on_tmf(struct session *s, int result, void *arg)
{
	(void)s;
	(void)arg;
	tmf_result = result;
}

/* 11.5, 11.6: immediate, of the unit, and what was under way there comes back as aborted. */
static void test_session_unit_reset_hands_its_tasks_back(void)
{
	struct probe *mine = probe_new(TASK_READ, 512), *other = probe_new(TASK_READ, 512);
	uint8_t r[48] = { 0x22, 0x80 };
	const uint8_t lun[8] = { 0, 5 };

	setup();
	log_in();
	mine->task.lun[1] = 5;
	session_submit(session, &mine->task);
	session_submit(session, &other->task);
	expect(0x01);
	expect(0x01);
	tmf_result = -1;
	CU_ASSERT_EQUAL(session_tmf(session, ISCSI_TMF_LOGICAL_UNIT_RESET, lun, on_tmf, NULL), 0);
	expect(0x02);
	CU_ASSERT_EQUAL(bhs[0], 0x42);
	CU_ASSERT_EQUAL(bhs[1], 0x85);
	CU_ASSERT_EQUAL(bhs[9], 5);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), 0xffffffff);
	CU_ASSERT_EQUAL(get_be32(bhs + 24), 3); /* the next command's CmdSN */
	CU_ASSERT_EQUAL(get_be32(bhs + 32), 0);
	put_be32(r + 16, get_be32(bhs + 16));
	put_be32(r + 24, stat_sn++);
	put_be32(r + 28, 3);
	put_be32(r + 32, 4);
	say(r, NULL, 0);
	until(mine, 1);
	CU_ASSERT_EQUAL(mine->task.result, TASK_RESULT_ABORTED);
	CU_ASSERT_EQUAL(tmf_result, ISCSI_TMF_COMPLETE);
	CU_ASSERT_EQUAL(other->calls, 0);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	tmf_result = -1;
	CU_ASSERT_EQUAL(session_tmf(session, ISCSI_TMF_LOGICAL_UNIT_RESET, lun, on_tmf, NULL), 0);
	close(peer); /* and without an answer */
	peer = -1;
	until(other, 1);
	for (int i = 0; tmf_result == -1 && i < 100; i++)
		spin();
	CU_ASSERT_EQUAL(tmf_result, -EIO);
	teardown();
	free(mine);
	free(other);
}

UNIT_MAIN("session", UNIT(test_session_tables_lead_only_where_the_header_says),
	  UNIT(test_session_logs_in_and_numbers_commands_from_the_login),
	  UNIT(test_session_keeps_to_the_command_window),
	  UNIT(test_session_write_follows_the_agreed_bursts),
	  UNIT(test_session_read_ends_with_status_in_data),
	  UNIT(test_session_good_with_too_few_bytes_is_short),
	  UNIT(test_session_refuses_data_beyond_the_buffer),
	  UNIT(test_session_refuses_data_at_a_wrong_offset),
	  UNIT(test_session_refuses_a_gap_in_data_sn),
	  UNIT(test_session_refuses_a_tag_of_another_life),
	  UNIT(test_session_hands_tasks_back_when_the_connection_goes),
	  UNIT(test_session_receive_fails), UNIT(test_session_send_fails),
	  UNIT(test_session_gives_up_on_a_silent_target), UNIT(test_session_answers_a_ping),
	  UNIT(test_session_logs_out), UNIT(test_session_refused_login_is_told_once),
	  UNIT(test_session_close_in_login_tells_the_caller),
	  UNIT(test_session_refuses_a_login_response_before_its_request),
	  UNIT(test_session_good_for_data_that_did_not_leave_is_short),
	  UNIT(test_session_a_closed_window_does_not_hold_a_task_for_ever),
	  UNIT(test_session_sends_a_long_cdb),
	  UNIT(test_session_a_rejected_text_ends_and_another_may_follow),
	  UNIT(test_session_unit_reset_hands_its_tasks_back))
