/* SPDX-License-Identifier: BSD-2-Clause */
/* A target played in a unit test, with up to four connections of one session; its PDUs are typed
 * from RFC 7143 sections 7.2 and 11. For test_recover.c and test_recover_hostile.c. */
#ifndef ISCSIFS_RECOVER_PLAY_H
#define ISCSIFS_RECOVER_PLAY_H

#include "play.h"

#define PEERS 4

static struct peer {
	int fd;
	uint32_t stat_sn;
} peers[PEERS];
static unsigned lost_calls, removed_calls;
static uint32_t exp_cmd_sn; /* what the target says */

struct probe {
	struct task task;
	uint8_t data[8192];
	unsigned calls;
};

static inline void on_lost(struct session *s, struct conn *c, const GError *err, void *arg)
{
	(void)s;
	(void)arg;
	CU_ASSERT_EQUAL(c->state, CONN_CLEANUP);
	CU_ASSERT_PTR_NOT_NULL(err);
	lost_calls++;
}

static const struct session_ops ops = { .conn_lost = on_lost };

static inline void on_removed(struct session *s, const GError *err, void *arg)
{
	(void)s;
	(void)arg;
	CU_ASSERT_PTR_NULL(err);
	removed_calls++;
}

static inline void expect(struct peer *p, uint8_t opcode)
{
	play_expect(p->fd, opcode);
}

static inline bool is_silent(const struct peer *p)
{
	return play_is_silent(p->fd);
}

static inline void say(struct peer *p, const uint8_t *header, const void *segment, uint32_t bytes)
{
	play_say(p->fd, header, segment, bytes);
}

/* The initiator has closed it. */
static inline bool is_closed(const struct peer *p)
{
	uint8_t c;

	for (int i = 0; i < 2000; i++) {
		ssize_t n = recv(p->fd, &c, 1, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		spin();
	}
	return false;
}

static inline void put_numbers(struct peer *p, uint8_t *r)
{
	put_be32(r + 24, p->stat_sn++);
	put_be32(r + 28, exp_cmd_sn);
	put_be32(r + 32, exp_cmd_sn + 31);
}

/* A response of @opcode to the PDU in bhs, with @response in byte 2. */
static inline void answer(struct peer *p, uint8_t opcode, uint32_t itt, uint8_t response)
{
	uint8_t r[48] = { opcode, 0x80, response };

	put_be32(r + 16, itt);
	put_numbers(p, r);
	say(p, r, NULL, 0);
}

static inline void answer_login(struct peer *p, uint8_t flags, const char *keys, uint32_t bytes,
			 uint16_t status)
{
	uint8_t r[48] = { 0x23, flags };

	put_be24(r + 5, bytes);
	memcpy(r + 8, bhs + 8, 6);
	put_be16(r + 14, flags & 0x80 && (flags & 3) == 3 ? 7 : get_be16(bhs + 14));
	memcpy(r + 16, bhs + 16, 4);
	put_numbers(p, r);
	put_be16(r + 36, status);
	say(p, r, keys, bytes);
}

/* Connect and log in as connection @i: the first request is in bhs when this returns. */
static inline void begin_login(unsigned i)
{
	outcome = 0;
	CU_ASSERT_EQUAL_FATAL(session_add_connection(session, &address, on_login, NULL, NULL), 0);
	peers[i] = (struct peer){ .fd = play_accept(), .stat_sn = 1000 * (i + 1) };
	expect(&peers[i], 0x03);
}

static inline void until_login(int wanted)
{
	for (int i = 0; !outcome && i < 2000; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(outcome, wanted);
}

static inline void end_login(unsigned i, unsigned erl, bool is_leading)
{
	static const char security[] = "AuthMethod=None\0TargetPortalGroupTag=1";
	char keys[512];
	size_t bytes = 0;

#define KEY(...) bytes += (size_t)g_snprintf(keys + bytes, sizeof(keys) - bytes, __VA_ARGS__) + 1
	KEY("HeaderDigest=None");
	KEY("DataDigest=None");
	KEY("MaxRecvDataSegmentLength=8192");
	if (is_leading) {
		KEY("MaxConnections=4");
		KEY("InitialR2T=Yes");
		KEY("ImmediateData=No");
		KEY("MaxBurstLength=16384");
		KEY("FirstBurstLength=8192");
		KEY("DefaultTime2Wait=0");
		KEY("DefaultTime2Retain=20");
		KEY("MaxOutstandingR2T=1");
		KEY("DataPDUInOrder=Yes");
		KEY("DataSequenceInOrder=Yes");
		KEY("ErrorRecoveryLevel=%u", erl);
	}
#undef KEY
	answer_login(&peers[i], 0x81, security, sizeof(security), 0);
	expect(&peers[i], 0x03);
	answer_login(&peers[i], 0x87, keys, (uint32_t)bytes, 0);
	until_login(1);
}

static inline void setup(unsigned erl, unsigned conns)
{
	struct session_config cfg;

	play_begin(&cfg);
	cfg.wishes.error_recovery_level = erl;
	cfg.wishes.max_connections = 4;
	cfg.wishes.time2wait = 0;
	lost_calls = removed_calls = 0;
	exp_cmd_sn = 1;
	for (unsigned i = 0; i < PEERS; i++)
		peers[i].fd = -1;
	session = session_new(loop, &cfg, 1, &ops, NULL);
	session_set_policy(session, POLICY_ROUND_ROBIN);
	for (unsigned i = 0; i < conns; i++) {
		begin_login(i);
		CU_ASSERT_EQUAL(get_be16(bhs + 14), i ? 7 : 0); /* TSIH */
		end_login(i, erl, !i);
	}
}

static inline void teardown(void)
{
	play_end();
	for (unsigned i = 0; i < PEERS; i++)
		if (peers[i].fd >= 0)
			close(peers[i].fd);
}

static inline void probe_done(struct task *t)
{
	container_of(t, struct probe, task)->calls++;
}

static inline struct probe *submit(enum task_direction direction)
{
	struct probe *p = calloc(1, sizeof(*p));

	task_init(&p->task, TASK_SCSI, probe_done);
	p->task.cdb[0] = direction == TASK_WRITE ? 0x2a : direction == TASK_READ ? 0x28 : 0x00;
	p->task.cdb_bytes = 10;
	p->task.direction = direction;
	p->task.data = p->data;
	p->task.data_bytes = direction == TASK_NO_DATA ? 0 : sizeof(p->data);
	CU_ASSERT_EQUAL(session_submit(session, &p->task), 0);
	return p;
}

static inline void until(const struct probe *p)
{
	for (int i = 0; !p->calls && i < 5000; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(p->calls, 1);
}

static inline void cut(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

/* Two commands on each of two connections; the target has seen those below @seen. */
static inline void four_commands(struct probe *p[4], uint8_t cmd[4][48], uint32_t seen)
{
	for (unsigned i = 0; i < 4; i++) {
		p[i] = submit(TASK_READ);
		expect(&peers[i & 1], 0x01);
		CU_ASSERT_EQUAL(get_be32(bhs + 24), i + 1);
		memcpy(cmd[i], bhs, 48);
	}
	exp_cmd_sn = seen;
}

static inline void free_all(struct probe *p[], unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		CU_ASSERT_EQUAL(p[i]->calls, 1);
		free(p[i]);
	}
}

static inline void good(struct peer *p, uint32_t itt)
{
	uint8_t r[48] = { 0x25, 0x81 }; /* Data-In with F and S: all of it in one */

	put_be24(r + 5, 8192);
	put_be32(r + 16, itt);
	put_be32(r + 20, 0xffffffff);
	put_numbers(p, r);
	memset(data, 0x5a, 8192);
	say(p, r, data, 8192);
}

#endif
