/* SPDX-License-Identifier: BSD-2-Clause */
/* Recovery within a connection: PDUs that are lost, damaged, doubled or refused, at
 * ErrorRecoveryLevel 1. The other side is typed from RFC 7143 sections 7 and 11. */
#include "erl_play.h"

#define NONE 0xffffffffu
#define PART 512 /* bytes of a Data-In here */

static uint8_t disk[65536];

static struct probe *read_of(uint32_t parts)
{
	for (unsigned i = 0; i < sizeof(disk); i++)
		disk[i] = (uint8_t)(i * 11 + i / 512);
	return probe_send(TASK_READ, parts * PART);
}

/* Data-In (0x25, 11.7) number @sn with flags (F 80, A 40, S 01) and a StatSN. */
static void say_part_at(const struct probe *p, uint32_t sn, uint32_t offset, uint8_t flags,
			uint32_t status_sn)
{
	uint8_t d[48] = { 0x25, flags };

	put_numbers(d, p->task.itt, flags & 1 ? status_sn : 0);
	put_be32(d + 20, NONE);
	if (flags & 0x40) {
		d[9] = 3;
		put_be32(d + 20, 0xbeef);
	}
	put_be32(d + 36, sn);
	put_be32(d + 40, offset);
	say(d, disk + offset, PART);
}

static void say_part(const struct probe *p, uint32_t sn)
{
	say_part_at(p, sn, sn * PART, 0, 0);
}

/* SCSI Response (0x21, 11.4), GOOD. */
static void say_response(uint32_t itt, uint32_t sn, uint32_t exp_data_sn)
{
	uint8_t r[48] = { 0x21, 0x80 };

	put_numbers(r, itt, sn);
	put_be32(r + 36, exp_data_sn);
	say(r, NULL, 0);
}

/* NOP-In (0x20, 11.19) that wants nothing. */
static void say_nop(uint32_t sn)
{
	uint8_t r[48] = { 0x20, 0x80 };

	put_numbers(r, NONE, sn);
	put_be32(r + 20, NONE);
	say(r, NULL, 0);
}

/* Reject (0x3f, 11.17) of what is in bhs. */
static void say_reject(uint8_t reason, uint32_t sn)
{
	uint8_t r[48] = { 0x3f, 0x80, reason };

	put_numbers(r, NONE, sn);
	say(r, bhs, 48);
}

/* SNACK (0x10, 11.16). */
static void expect_snack(uint8_t type, uint32_t itt, uint32_t ttt, uint32_t begin, uint32_t count)
{
	expect(0x10);
	CU_ASSERT_EQUAL(bhs[0], 0x10);
	CU_ASSERT_EQUAL(bhs[1], 0x80 | type);
	CU_ASSERT_EQUAL(get_be32(bhs + 16), itt);
	CU_ASSERT_EQUAL(get_be32(bhs + 20), ttt);
	CU_ASSERT_EQUAL(get_be32(bhs + 40), begin);
	CU_ASSERT_EQUAL(get_be32(bhs + 44), count);
}

static void ends_well(struct probe *p)
{
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_RESPONDED);
	CU_ASSERT_EQUAL(p->task.status, 0);
	CU_ASSERT_FALSE(p->task.is_short);
	CU_ASSERT_EQUAL(p->task.transferred, p->task.data_bytes);
	if (p->task.direction == TASK_READ)
		CU_ASSERT_EQUAL(memcmp(p->data, disk, p->task.data_bytes), 0);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	free(p);
}

static void ends_with_the_connection(struct probe *p)
{
	until(p, 1);
	CU_ASSERT_NOT_EQUAL(p->task.result, TASK_RESULT_RESPONDED);
	CU_ASSERT_EQUAL(session->state, SESSION_FAILED);
	free(p);
}

/* The next command acknowledges all up to @sn. */
static void acknowledges(uint32_t sn)
{
	struct probe *p = probe_send(TASK_NO_DATA, 0);

	CU_ASSERT_EQUAL(get_be32(bhs + 28), sn);
	say_response(p->task.itt, stat_sn++, 0);
	ends_well(p);
}

/* --- Data-In --- */

/* 13.1 of the suites. */
static void test_snack_asks_for_exactly_what_is_missing(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(8);
	say_part(p, 0);
	say_part(p, 1);
	say_part(p, 4);
	expect_snack(0, p->task.itt, NONE, 2, 2);
	CU_ASSERT_EQUAL(bhs[9], 3);
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn);
	say_part(p, 5);
	say_part(p, 6);
	say_part_at(p, 7, 7 * PART, 0x81, stat_sn++);
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_EQUAL(p->calls, 0);
	CU_ASSERT_EQUAL(conn->exp_stat_sn, stat_sn - 1); /* 7.9: not before the data */
	say_part(p, 2);
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_EQUAL(p->calls, 0);
	say_part(p, 3);
	ends_well(p);
	CU_ASSERT_EQUAL(conn->stats.snacks_data, 1);
	CU_ASSERT_EQUAL(conn->stats.recovered_pdus, 2);
	acknowledges(stat_sn);
	log_out();
}

static void test_snack_a_second_gap_is_asked_for_when_the_first_is_closed(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(10);
	say_part(p, 0);
	say_part(p, 2);
	expect_snack(0, p->task.itt, NONE, 1, 1);
	say_part(p, 4); /* 3 is lost: dropped, as is what follows */
	say_part(p, 5);
	CU_ASSERT_TRUE(is_silent());
	say_part(p, 1);
	expect_snack(0, p->task.itt, NONE, 3, 3);
	say_part(p, 6); /* is on its way already: another gap, all of which is asked for */
	for (uint32_t sn = 3; sn < 6; sn++)
		say_part(p, sn);
	for (uint32_t sn = 7; sn < 10; sn++)
		say_part(p, sn);
	say_response(p->task.itt, stat_sn++, 10);
	ends_well(p);
	CU_ASSERT_EQUAL(conn->stats.snacks_data, 2);
	log_out();
}

static void test_snack_what_is_lost_again_is_asked_for_again(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(6);
	say_part(p, 3);
	expect_snack(0, p->task.itt, NONE, 0, 3);
	say_part(p, 1);
	CU_ASSERT_TRUE(is_silent());
	say_part(p, 2);
	expect_snack(0, p->task.itt, NONE, 0, 3);
	for (uint32_t sn = 0; sn < 6; sn++)
		say_part(p, sn); /* 3 is a duplicate */
	say_response(p->task.itt, stat_sn++, 6);
	ends_well(p);
	log_out();
}

static void test_snack_exp_data_sn_tells_of_a_missing_tail(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(4);
	say_part(p, 0);
	say_part(p, 1);
	say_response(p->task.itt, stat_sn++, 4);
	expect_snack(0, p->task.itt, NONE, 2, 0); /* all from there on */
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn - 1);
	CU_ASSERT_EQUAL(p->calls, 0);
	say_part(p, 2);
	say_part(p, 3);
	ends_well(p);
	acknowledges(stat_sn);
	log_out();
}

/* LIO: ExpDataSN is always zero. */
static void test_snack_too_few_bytes_tell_of_a_missing_tail(void)
{
	uint8_t r[48] = { 0x21, 0x82 };
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(4);
	say_part(p, 0);
	say_response(p->task.itt, stat_sn++, 0);
	expect_snack(0, p->task.itt, NONE, 1, 0);
	say_part(p, 1);
	expect_snack(0, p->task.itt, NONE, 2, 0);
	say_part(p, 2);
	expect_snack(0, p->task.itt, NONE, 3, 0);
	say_part_at(p, 3, 3 * PART, 0x80, 0);
	ends_well(p);
	p = read_of(4); /* unless that is all there was */
	say_part(p, 0);
	put_numbers(r, p->task.itt, stat_sn++);
	put_be32(r + 44, 3 * PART);
	say(r, NULL, 0);
	until(p, 1);
	CU_ASSERT_FALSE(p->task.is_short);
	CU_ASSERT_EQUAL(p->task.transferred, PART);
	free(p);
	p = read_of(4); /* or it says so itself */
	say_part(p, 0);
	say_response(p->task.itt, stat_sn++, 1);
	until(p, 1);
	CU_ASSERT_TRUE(p->task.is_short);
	free(p);
	p = read_of(4); /* and will not send more */
	say_response(p->task.itt, stat_sn++, 0);
	expect_snack(0, p->task.itt, NONE, 0, 0);
	say_reject(0x04, stat_sn++);
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_ABORTED);
	free(p);
	acknowledges(stat_sn);
	log_out();
}

static void test_snack_duplicates_are_dropped(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(3);
	say_part(p, 0);
	say_part(p, 1);
	disk[0] ^= 1;
	say_part(p, 0); /* another content: not ours any more */
	disk[0] ^= 1;
	say_part_at(p, 1, 60000, 0, 0); /* whatever it says */
	say_part_at(p, 2, 2 * PART, 0x81, stat_sn++);
	ends_well(p);
	acknowledges(stat_sn);
	log_out();
}

static void test_snack_late_data_of_an_ended_read_are_dropped(void)
{
	struct probe *p;
	uint32_t itt;

	log_in(1, false, NULL, 30000);
	p = read_of(2);
	itt = p->task.itt;
	say_part(p, 0);
	say_part_at(p, 1, PART, 0x81, stat_sn++);
	until(p, 1);
	p->task.itt = itt;
	say_part_at(p, 1, PART, 0x81, stat_sn - 1);
	say_response(itt, stat_sn - 1, 2);
	p->task.itt = NONE;
	ends_well(p);
	acknowledges(stat_sn);
	p = read_of(1); /* but a tag that was never given out is an error */
	p->task.itt += 0x10000;
	say_part(p, 0);
	p->task.itt -= 0x10000;
	ends_with_the_connection(p);
	CU_ASSERT_EQUAL(events[27], 1);
	log_out();
}

static void contradict(uint32_t sn, uint32_t offset, bool opens_gap)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(8);
	say_part(p, 0);
	say_part(p, 1);
	if (opens_gap) {
		say_part(p, 4); /* 2 and 3 have to bring 1024..2048 */
		expect_snack(0, p->task.itt, NONE, 2, 2);
		say_part(p, 2);
	}
	say_part_at(p, sn, offset, 0, 0);
	ends_with_the_connection(p);
	CU_ASSERT_EQUAL(events[23] + events[26], 1);
	log_out();
}

static void test_snack_number_and_offset_must_agree(void)
{
	contradict(2, 1000, false);  /* the next, elsewhere */
	contradict(3, 1020, false);  /* a gap, but before what is there */
	contradict(5, 64 * PART, false); /* beyond the buffer */
	contradict(3, 2 * PART, true);   /* fills the wrong half */
	contradict(3, 4 * PART, true);   /* over what is there */
	contradict(5, 6 * PART, true);   /* behind the gap, elsewhere */
	contradict(70000, 6 * PART, false);
}

/* The last of a gap is too short for it. */
static void test_snack_a_gap_must_be_filled_to_the_byte(void)
{
	uint8_t d[48] = { 0x25 };
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(4);
	say_part(p, 1);
	expect_snack(0, p->task.itt, NONE, 0, 1);
	put_numbers(d, p->task.itt, 0);
	say(d, disk, PART - 4);
	ends_with_the_connection(p);
	log_out();
}

/* --- A bit --- */

/* 13.2, 10.2 of the suites. */
static void test_snack_acknowledges_data_before_the_status(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(2);
	say_part(p, 0);
	say_part_at(p, 1, PART, 0xc0, 0);
	say_response(p->task.itt, stat_sn++, 2);
	expect_snack(2, NONE, 0xbeef, 2, 0);
	CU_ASSERT_EQUAL(bhs[9], 3);
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn - 1);
	ends_well(p);
	p = read_of(2); /* and all in one */
	say_part(p, 0);
	say_part_at(p, 1, PART, 0xc1, stat_sn++);
	expect_snack(2, NONE, 0xbeef, 2, 0);
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn - 1);
	ends_well(p);
	CU_ASSERT_EQUAL(conn->stats.snacks_ack, 2);
	log_out();
}

static void test_snack_an_ack_waits_for_what_is_missing(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(4);
	say_part(p, 0);
	say_part_at(p, 2, 2 * PART, 0xc0, 0);
	expect_snack(0, p->task.itt, NONE, 1, 1);
	CU_ASSERT_TRUE(is_silent());
	say_part(p, 1);
	expect_snack(2, NONE, 0xbeef, 3, 0);
	say_part_at(p, 3, 3 * PART, 0x81, stat_sn++);
	ends_well(p);
	log_out();
}

static void test_snack_level_0_ignores_the_a_bit_and_refuses_a_gap(void)
{
	struct probe *p;

	log_in(0, false, NULL, 30000);
	p = read_of(2);
	say_part(p, 0);
	say_part_at(p, 1, PART, 0xc1, stat_sn++);
	ends_well(p);
	CU_ASSERT_TRUE(is_silent());
	p = read_of(3);
	say_part(p, 1);
	ends_with_the_connection(p);
	log_out();
}

/* --- digests --- */

static void test_snack_damaged_data_are_asked_for_at_once(void)
{
	struct probe *p;

	log_in(1, true, NULL, 30000);
	p = read_of(4);
	say_part(p, 0);
	spoil_data = true;
	say_part(p, 1);
	expect_snack(0, p->task.itt, NONE, 1, 1);
	CU_ASSERT_EQUAL(events[25], 1);
	CU_ASSERT_EQUAL(conn->stats.digest_errors, 1);
	say_part(p, 2);
	spoil_data = true;
	say_part_at(p, 3, 3 * PART, 0x81, stat_sn); /* its status does not count */
	expect_snack(0, p->task.itt, NONE, 3, 0);
	say_part(p, 1);
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_EQUAL(p->calls, 0);
	say_part_at(p, 3, 3 * PART, 0x81, stat_sn++);
	ends_well(p);
	log_out();
}

static void test_snack_damaged_response_is_asked_for(void)
{
	static const uint8_t sense[20] = { 0, 18, 0x70, 0, 5 };
	uint8_t r[48] = { 0x21, 0x80, 0, 2 };
	struct probe *p;

	log_in(1, true, NULL, 30000);
	p = probe_send(TASK_NO_DATA, 0);
	put_numbers(r, p->task.itt, stat_sn);
	spoil_data = true;
	say(r, sense, sizeof(sense));
	expect_snack(1, NONE, NONE, stat_sn, 1);
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn);
	CU_ASSERT_EQUAL(p->calls, 0);
	say(r, sense, sizeof(sense));
	stat_sn++;
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.status, 2);
	CU_ASSERT_EQUAL(p->task.sense_bytes, 18);
	free(p);
	acknowledges(stat_sn);
	log_out();
}

static void test_snack_a_bad_header_loses_one_pdu(void)
{
	struct probe *p;

	log_in(1, true, NULL, 30000);
	p = read_of(3);
	say_part(p, 0);
	spoil_header = true;
	say_part(p, 1);
	say_part(p, 2);
	expect_snack(0, p->task.itt, NONE, 1, 1);
	CU_ASSERT_EQUAL(conn->stats.header_digest_errors, 1);
	CU_ASSERT_EQUAL(events[22], 1);
	spoil_header = true;
	say_response(p->task.itt, stat_sn, 3);
	say_part(p, 1);
	say_nop(stat_sn + 1); /* 7.1.4.2: reveals what is missing */
	expect_snack(1, NONE, NONE, stat_sn, 1);
	say_response(p->task.itt, stat_sn++, 3);
	ends_well(p);
	acknowledges(stat_sn);
	log_out();
	log_in(0, true, NULL, 30000);
	p = read_of(3);
	spoil_header = true;
	say_part(p, 0);
	ends_with_the_connection(p);
	CU_ASSERT_EQUAL(events[22], 1);
	log_out();
}

/* --- StatSN --- */

static void test_snack_asks_for_missing_statuses(void)
{
	struct probe *p[6];
	uint32_t itt;

	log_in(1, false, NULL, 30000);
	for (int i = 0; i < 6; i++)
		p[i] = probe_send(TASK_NO_DATA, 0);
	itt = p[1]->task.itt;
	say_response(p[0]->task.itt, stat_sn, 0);
	say_response(p[3]->task.itt, stat_sn + 3, 0); /* 1 and 2 are lost */
	expect_snack(1, NONE, NONE, stat_sn + 1, 2);
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn + 1);
	until(p[0], 1);
	until(p[3], 1); /* is processed, but not acknowledged */
	CU_ASSERT_EQUAL(conn->exp_stat_sn, stat_sn + 1);
	say_response(p[5]->task.itt, stat_sn + 5, 0); /* and 4 */
	expect_snack(1, NONE, NONE, stat_sn + 4, 1);
	say_response(p[2]->task.itt, stat_sn + 2, 0);
	until(p[2], 1);
	CU_ASSERT_EQUAL(conn->exp_stat_sn, stat_sn + 1);
	say_response(p[1]->task.itt, stat_sn + 1, 0);
	until(p[1], 1);
	CU_ASSERT_EQUAL(conn->exp_stat_sn, stat_sn + 4);
	say_response(itt, stat_sn + 1, 0); /* twice */
	say_response(p[4]->task.itt, stat_sn + 4, 0);
	until(p[4], 1);
	stat_sn += 6;
	for (int i = 0; i < 6; i++)
		free(p[i]);
	acknowledges(stat_sn);
	CU_ASSERT_EQUAL(conn->stats.snacks_status, 2);
	CU_ASSERT_EQUAL(conn->stats.recovered_pdus, 3);
	log_out();
}

static void jump(uint32_t by)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = probe_send(TASK_NO_DATA, 0);
	say_response(p->task.itt, stat_sn + by, 0);
	ends_with_the_connection(p);
	CU_ASSERT_EQUAL(events[42], 1);
	log_out();
}

/* 5.1 of the suites. */
static void test_snack_a_far_jump_of_stat_sn_is_an_error(void)
{
	jump(0x80000000u);
	jump(512);
	jump((uint32_t)-2000);
}

/* --- R2T --- */

static void say_r2t(const struct probe *p, uint32_t sn, uint32_t ttt, uint32_t offset,
		    uint32_t bytes)
{
	uint8_t r[48] = { 0x31, 0x80 };

	memcpy(r + 8, p->task.lun, 8);
	put_numbers(r, p->task.itt, stat_sn);
	put_be32(r + 20, ttt);
	put_be32(r + 36, sn);
	put_be32(r + 40, offset);
	put_be32(r + 44, bytes);
	say(r, NULL, 0);
}

static void expect_burst(const struct probe *p, uint32_t ttt, uint32_t offset, uint32_t bytes)
{
	for (uint32_t at = 0, sn = 0; at < bytes; at += data_bytes, sn++) {
		expect(0x05);
		CU_ASSERT_EQUAL(get_be32(bhs + 20), ttt);
		CU_ASSERT_EQUAL(get_be32(bhs + 36), sn);
		CU_ASSERT_EQUAL(get_be32(bhs + 40), offset + at);
		CU_ASSERT_EQUAL_FATAL(memcmp(data, p->data + offset + at, data_bytes), 0);
		CU_ASSERT_EQUAL(!!(bhs[1] & 0x80), at + data_bytes == bytes);
	}
}

static void test_snack_asks_for_missing_r2ts(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = probe_send(TASK_WRITE, 20000);
	say_r2t(p, 2, 12, 10000, 10000);
	expect_snack(0, p->task.itt, NONE, 0, 2);
	expect_burst(p, 12, 10000, 10000);
	say_r2t(p, 0, 10, 0, 5000);
	say_r2t(p, 2, 12, 10000, 10000); /* twice */
	say_r2t(p, 1, 11, 5000, 5000);
	expect_burst(p, 10, 0, 5000);
	expect_burst(p, 11, 5000, 5000);
	say_response(p->task.itt, stat_sn++, 0);
	ends_well(p);
	log_out();
}

/* 7.8: after a Reject for a data digest the target asks once more. */
static void test_snack_honours_a_recovery_r2t(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = probe_send(TASK_WRITE, 20000);
	say_r2t(p, 0, 10, 0, 16384);
	expect_burst(p, 10, 0, 16384);
	say_reject(0x02, stat_sn++);
	say_r2t(p, 1, 11, 8192, 8192);
	expect_burst(p, 11, 8192, 8192);
	CU_ASSERT_EQUAL(conn->stats.recovery_r2ts, 1);
	CU_ASSERT_EQUAL(events[29], 1);
	say_r2t(p, 2, 12, 16384, 3616);
	expect_burst(p, 12, 16384, 3616);
	say_response(p->task.itt, stat_sn++, 0);
	ends_well(p);
	p = probe_send(TASK_WRITE, 20000); /* asked for twice does not make up for never */
	say_r2t(p, 0, 10, 0, 10000);
	expect_burst(p, 10, 0, 10000);
	say_r2t(p, 1, 11, 0, 10000);
	expect_burst(p, 11, 0, 10000);
	say_response(p->task.itt, stat_sn++, 0);
	until(p, 1);
	CU_ASSERT_TRUE(p->task.is_short);
	free(p);
	log_out();
}

/* --- refusals --- */

/* 16.4.2 of the suites: the status is here already. */
static void test_snack_refused_after_the_status_aborts_the_read(void)
{
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(3);
	say_part(p, 0);
	say_part_at(p, 2, 2 * PART, 0x81, stat_sn++);
	expect_snack(0, p->task.itt, NONE, 1, 1);
	say_reject(0x03, stat_sn++);
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_ABORTED);
	CU_ASSERT_EQUAL(session->state, SESSION_LOGGED_IN);
	free(p);
	acknowledges(stat_sn);
	p = read_of(3); /* and it comes later: GOOD does not count, anything else does */
	say_part(p, 1);
	expect_snack(0, p->task.itt, NONE, 0, 1);
	say_reject(0x03, stat_sn++);
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_EQUAL(p->calls, 0);
	say_part_at(p, 2, 2 * PART, 0x81, stat_sn++);
	until(p, 1);
	CU_ASSERT_EQUAL(p->task.result, TASK_RESULT_ABORTED);
	free(p);
	acknowledges(stat_sn);
	log_out();
}

static void test_snack_refused_status_ends_the_connection(void)
{
	struct probe *p[2];

	log_in(1, false, NULL, 30000);
	p[0] = probe_send(TASK_NO_DATA, 0);
	p[1] = probe_send(TASK_NO_DATA, 0);
	say_response(p[1]->task.itt, stat_sn + 1, 0);
	expect_snack(1, NONE, NONE, stat_sn, 1);
	say_reject(0x04, stat_sn + 2);
	until(p[1], 1);
	free(p[1]);
	ends_with_the_connection(p[0]);
	log_out();
}

/* 7.3: the command was damaged and is sent again, the very same. */
static void test_snack_a_rejected_command_is_sent_again(void)
{
	uint8_t first[48];
	struct probe *p;

	log_in(1, false, NULL, 30000);
	p = read_of(1);
	memcpy(first, bhs, 48);
	exp_cmd_sn--;
	say_reject(0x02, stat_sn++);
	expect(0x01);
	CU_ASSERT_EQUAL(get_be32(bhs + 28), stat_sn);
	put_be32(first + 28, stat_sn);
	CU_ASSERT_EQUAL(memcmp(bhs, first, 48), 0);
	exp_cmd_sn++;
	say_part_at(p, 0, 0, 0x81, stat_sn++);
	ends_well(p);
	log_out();
}

static int tmf_result;

static void on_tmf(struct session *s, int result, void *arg)
{
	(void)s;
	(void)arg;
	tmf_result = result;
}

/* 0x06: too many immediate commands. */
static void test_snack_a_crowded_out_tmf_is_sent_again(void)
{
	uint8_t r[48] = { 0x22, 0x80 }, lun[8] = { 0, 1 };
	uint32_t itt;

	log_in(1, false, NULL, 30000);
	tmf_result = -1;
	session_tmf(session, ISCSI_TMF_LOGICAL_UNIT_RESET, lun, on_tmf, NULL);
	expect(0x02);
	itt = get_be32(bhs + 16);
	say_reject(0x06, stat_sn++);
	CU_ASSERT_TRUE(is_silent());
	expect(0x02);
	CU_ASSERT_EQUAL(get_be32(bhs + 16), itt);
	put_numbers(r, itt, stat_sn++);
	say(r, NULL, 0);
	for (int i = 0; tmf_result < 0 && i < 100; i++)
		spin();
	CU_ASSERT_EQUAL(tmf_result, 0);
	log_out();
}

/* --- the quiet watch --- */

/* 4.1 of the suites: command_ms 1800 makes 300 ms of quiet. */
static void test_snack_an_unacknowledged_command_is_retried(void)
{
	uint8_t first[48];
	struct probe *p;

	log_in(1, false, NULL, 1800);
	p = read_of(1);
	memcpy(first, bhs, 48);
	exp_cmd_sn--;
	expect(0x01);
	CU_ASSERT_EQUAL(memcmp(bhs, first, 48), 0);
	exp_cmd_sn++;
	CU_ASSERT_EQUAL(conn->stats.retries, 1);
	say_part_at(p, 0, 0, 0x81, stat_sn++);
	ends_well(p);
	log_out();
}

static void answer_ping(void)
{
	uint8_t r[48] = { 0x20, 0x80 };

	expect(0x00);
	put_numbers(r, get_be32(bhs + 16), stat_sn++);
	put_be32(r + 20, NONE);
	say(r, NULL, 0);
}

static void test_snack_a_ping_reveals_a_lost_status(void)
{
	uint32_t lost;
	struct probe *p;

	log_in(1, false, NULL, 1800);
	p = read_of(2);
	say_part(p, 0);
	say_part(p, 1);
	lost = stat_sn++;
	answer_ping();
	expect_snack(1, NONE, NONE, lost, 1);
	say_response(p->task.itt, lost, 2);
	ends_well(p);
	acknowledges(stat_sn);
	log_out();
}

static void test_snack_asks_in_the_quiet(void)
{
	struct probe *p;

	log_in(1, false, NULL, 1800);
	p = probe_send(TASK_WRITE, 4096);
	say_nop(stat_sn); /* acknowledges it */
	answer_ping();
	expect_snack(0, p->task.itt, NONE, 0, 0); /* its R2T may be lost */
	say_reject(0x04, stat_sn++);		  /* it was not */
	say_r2t(p, 0, 5, 0, 4096);
	expect_burst(p, 5, 0, 4096);
	say_response(p->task.itt, stat_sn++, 0);
	ends_well(p);
	p = read_of(4);
	say_part(p, 0);
	answer_ping();
	expect_snack(0, p->task.itt, NONE, 1, 0);
	for (uint32_t sn = 1; sn < 4; sn++)
		say_part(p, sn);
	say_response(p->task.itt, stat_sn++, 4);
	ends_well(p);
	log_out();
}

/* --- a change of MaxRecvDataSegmentLength --- */

static void test_snack_resegmented_data_come_all_anew(void)
{
	uint8_t r[48] = { 0x21, 0x80 };
	struct probe *p;
	uint32_t itt;

	log_in(1, false, NULL, 30000);
	p = read_of(6);
	itt = p->task.itt;
	say_part(p, 0);
	say_part(p, 1);
	is_silent();
	conn->recv_changed_us = loop_now_us(loop); /* a negotiation has */
	say_part(p, 3);
	expect_snack(3, itt, 1, 0, 0);
	say_part(p, 4); /* was on its way */
	say_part_at(p, 5, 5 * PART, 0x81, stat_sn);
	for (uint32_t at = 0; at < 3; at++) { /* twice as large now */
		uint8_t d[48] = { 0x25 };

		put_numbers(d, itt, 0);
		put_be32(d + 36, at);
		put_be32(d + 40, at * 2 * PART);
		say(d, disk + at * 2 * PART, 2 * PART);
	}
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_EQUAL(p->calls, 0);
	say_response(itt, stat_sn, 3); /* 11.4.4: without the tag it does not count */
	CU_ASSERT_TRUE(is_silent());
	CU_ASSERT_EQUAL(p->calls, 0);
	put_numbers(r, itt, stat_sn++);
	put_be32(r + 20, 1);
	put_be32(r + 36, 3);
	say(r, NULL, 0);
	ends_well(p);
	CU_ASSERT_EQUAL(conn->stats.snacks_rdata, 1);
	acknowledges(stat_sn);
	log_out();
}

UNIT_MAIN("snack", UNIT(test_snack_asks_for_exactly_what_is_missing),
	  UNIT(test_snack_a_second_gap_is_asked_for_when_the_first_is_closed),
	  UNIT(test_snack_what_is_lost_again_is_asked_for_again),
	  UNIT(test_snack_exp_data_sn_tells_of_a_missing_tail),
	  UNIT(test_snack_too_few_bytes_tell_of_a_missing_tail),
	  UNIT(test_snack_duplicates_are_dropped),
	  UNIT(test_snack_late_data_of_an_ended_read_are_dropped),
	  UNIT(test_snack_number_and_offset_must_agree),
	  UNIT(test_snack_a_gap_must_be_filled_to_the_byte),
	  UNIT(test_snack_acknowledges_data_before_the_status),
	  UNIT(test_snack_an_ack_waits_for_what_is_missing),
	  UNIT(test_snack_level_0_ignores_the_a_bit_and_refuses_a_gap),
	  UNIT(test_snack_damaged_data_are_asked_for_at_once),
	  UNIT(test_snack_damaged_response_is_asked_for),
	  UNIT(test_snack_a_bad_header_loses_one_pdu), UNIT(test_snack_asks_for_missing_statuses),
	  UNIT(test_snack_a_far_jump_of_stat_sn_is_an_error),
	  UNIT(test_snack_asks_for_missing_r2ts), UNIT(test_snack_honours_a_recovery_r2t),
	  UNIT(test_snack_refused_after_the_status_aborts_the_read),
	  UNIT(test_snack_refused_status_ends_the_connection),
	  UNIT(test_snack_a_rejected_command_is_sent_again),
	  UNIT(test_snack_a_crowded_out_tmf_is_sent_again),
	  UNIT(test_snack_an_unacknowledged_command_is_retried),
	  UNIT(test_snack_a_ping_reveals_a_lost_status), UNIT(test_snack_asks_in_the_quiet),
	  UNIT(test_snack_resegmented_data_come_all_anew))
