/* SPDX-License-Identifier: BSD-2-Clause */
/* A target played by a test on loopback, for sessions that recover: one connection, its PDUs typed
 * from RFC 7143 section 11, with or without digests. Included by one test program each. */
#ifndef ISCSIFS_TEST_ERL_PLAY_H
#define ISCSIFS_TEST_ERL_PLAY_H

#include "base/crc32c.h"
#include "play.h"

static int peer;
static struct conn *conn;
static uint32_t stat_sn, exp_cmd_sn, max_cmd_sn;
static bool has_digests, spoil_header, spoil_data; /* the next PDU that is said */
static unsigned events[64];			   /* how often each of the guide's was told */
static unsigned renegotiated;

struct probe {
	struct task task;
	uint8_t data[65536];
	unsigned calls;
};

static void on_event(struct session *s, const struct conn *c, unsigned id, const char *text,
		     void *arg)
{
	(void)s;
	(void)c;
	(void)text;
	(void)arg;
	if (id < 64)
		events[id]++;
	renegotiated += id == SESSION_EVENT_RENEGOTIATED;
}

static const struct session_ops ops = { .event = on_event };

/* One PDU of the initiator into bhs and data. */
static inline void expect(uint8_t opcode)
{
	uint8_t digest[4];

	play_read(peer, bhs, 48);
	if (has_digests) {
		play_read(peer, digest, 4);
		CU_ASSERT_EQUAL(get_le32(digest), crc32c(bhs, 48));
	}
	CU_ASSERT_EQUAL_FATAL(bhs[0] & 0x3f, opcode);
	data_bytes = get_be24(bhs + 5);
	CU_ASSERT_TRUE_FATAL(data_bytes < sizeof(data) - 4);
	play_read(peer, data, (data_bytes + 3) & ~3u);
	if (has_digests && data_bytes) {
		play_read(peer, digest, 4);
		CU_ASSERT_EQUAL(get_le32(digest), crc32c(data, (data_bytes + 3) & ~3u));
	}
}

static inline bool is_silent(void)
{
	return play_is_silent(peer);
}

static inline void say(const uint8_t *header, const void *segment, uint32_t bytes)
{
	static uint8_t out[80000];
	uint32_t at = 48, padded = (bytes + 3) & ~3u;

	memset(out, 0, 48 + 8 + padded);
	memcpy(out, header, 48);
	put_be24(out + 5, bytes);
	if (has_digests) {
		put_le32(out + at, crc32c(out, 48) ^ (spoil_header ? 1 : 0));
		at += 4;
	}
	if (bytes) {
		memcpy(out + at, segment, bytes);
		if (has_digests)
			put_le32(out + at + padded,
				 crc32c(out + at, padded) ^ (spoil_data ? 1 : 0));
		at += padded + (has_digests ? 4 : 0);
	}
	spoil_header = spoil_data = false;
	CU_ASSERT_EQUAL_FATAL(send(peer, out, at, MSG_NOSIGNAL), (ssize_t)at);
}

/* ITT, StatSN @sn, ExpCmdSN, MaxCmdSN. */
static inline void put_numbers(uint8_t *r, uint32_t itt, uint32_t sn)
{
	put_be32(r + 16, itt);
	put_be32(r + 24, sn);
	put_be32(r + 28, exp_cmd_sn);
	put_be32(r + 32, max_cmd_sn);
}

static inline void say_login(uint8_t flags, uint16_t tsih, const char *keys, uint32_t bytes)
{
	uint8_t r[48] = { 0x23, flags };
	bool digests = has_digests;

	memcpy(r + 8, bhs + 8, 6); /* ISID */
	put_be16(r + 14, tsih);
	put_numbers(r, get_be32(bhs + 16), stat_sn++);
	has_digests = false;
	say(r, keys, bytes);
	has_digests = digests;
}

static inline void start(unsigned erl, bool digests, int64_t command_ms)
{
	struct session_config cfg;

	play_begin(&cfg);
	cfg.wishes.time2wait = 0;
	cfg.wishes.error_recovery_level = erl;
	cfg.wishes.header_digest = cfg.wishes.data_digest = digests ? DIGEST_YES : DIGEST_NO;
	cfg.timeouts.command_ms = command_ms;
	stat_sn = 1000;
	memset(events, 0, sizeof(events));
	renegotiated = 0;
	has_digests = spoil_header = spoil_data = false;
	session = session_new(loop, &cfg, 1, &ops, NULL);
	CU_ASSERT_EQUAL_FATAL(session_add_connection(session, &address, on_login, NULL, &conn), 0);
	peer = play_accept();
}

/* Logged in at @erl, with @extra keys ("Key=value", or NULL) of the target's. */
static inline void log_in(unsigned erl, bool digests, const char *extra, int64_t command_ms)
{
	static const char security[] = "AuthMethod=None\0TargetPortalGroupTag=1";
	char keys[1024];
	size_t bytes = 0;

	start(erl, digests, command_ms);
	expect(0x03);
	exp_cmd_sn = get_be32(bhs + 24);
	max_cmd_sn = exp_cmd_sn + 31;
	say_login(0x81, 0, security, sizeof(security));
	expect(0x03);
#define KEY(...) bytes += (size_t)g_snprintf(keys + bytes, sizeof(keys) - bytes, __VA_ARGS__) + 1
	KEY("HeaderDigest=%s", digests ? "CRC32C" : "None");
	KEY("DataDigest=%s", digests ? "CRC32C" : "None");
	KEY("MaxConnections=1");
	KEY("InitialR2T=Yes");
	KEY("ImmediateData=No");
	KEY("MaxRecvDataSegmentLength=8192");
	KEY("MaxBurstLength=16384");
	KEY("FirstBurstLength=8192");
	KEY("DefaultTime2Wait=0");
	KEY("DefaultTime2Retain=20");
	KEY("MaxOutstandingR2T=1");
	KEY("DataPDUInOrder=Yes");
	KEY("DataSequenceInOrder=Yes");
	KEY("ErrorRecoveryLevel=%u", erl);
	if (extra)
		KEY("%s", extra);
#undef KEY
	say_login(0x87, 7, keys, (uint32_t)bytes);
	for (int i = 0; !outcome && i < 1000; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(outcome, 1);
	CU_ASSERT_EQUAL_FATAL(session->values.error_recovery_level, erl);
	has_digests = digests;
}

static inline void log_out(void)
{
	play_end();
	if (peer >= 0)
		close(peer);
}

static void probe_done(struct task *t)
{
	container_of(t, struct probe, task)->calls++;
}

/* A task sent: its command is in bhs. */
static inline struct probe *probe_send(enum task_direction direction, uint32_t bytes)
{
	struct probe *p = calloc(1, sizeof(*p));

	task_init(&p->task, TASK_SCSI, probe_done);
	p->task.cdb[0] = direction == TASK_WRITE ? 0x2a : 0x28;
	p->task.cdb_bytes = 10;
	p->task.lun[1] = 3;
	p->task.direction = direction;
	p->task.data = p->data;
	p->task.data_bytes = bytes;
	if (direction == TASK_WRITE)
		for (uint32_t i = 0; i < bytes; i++)
			p->data[i] = (uint8_t)(i * 7 + i / 256);
	CU_ASSERT_EQUAL_FATAL(session_submit(session, &p->task), 0);
	expect(0x01);
	exp_cmd_sn++;
	return p;
}

static inline void until(const struct probe *p, unsigned calls)
{
	for (int i = 0; p->calls < calls && i < 1000; i++)
		spin();
	CU_ASSERT_EQUAL_FATAL(p->calls, calls);
}

#endif
