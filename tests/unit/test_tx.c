/* SPDX-License-Identifier: BSD-2-Clause */
/* The transmit machine over a socket pair. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "iscsi/task.h"
#include "iscsi/tx.h"
#include "unit.h"

static struct tx tx;
static int fds[2];
static unsigned released;

static void on_released(struct tx *t, struct task *task)
{
	(void)t;
	(void)task;
	released++;
}

static void setup(void)
{
	int small = 4096;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	tx_init(&tx, on_released);
	released = 0;
}

static void teardown(void)
{
	close(fds[0]);
	close(fds[1]);
}

static void test_tx_pads_and_digests(void)
{
	static const uint8_t zero[32];
	uint8_t got[200];

	setup();
	memset(tx_header(&tx), 0, 48);
	tx_push(&tx, 0, "abcde", 5, NULL);
	CU_ASSERT_EQUAL(tx_flush(&tx, fds[0]), 0);
	CU_ASSERT_TRUE(tx_is_empty(&tx));
	CU_ASSERT_EQUAL(read(fds[1], got, sizeof(got)), 56);
	CU_ASSERT_EQUAL(memcmp(got + 48, "abcde\0\0\0", 8), 0);
	tx.has_data_digest = true;
	memset(tx_header(&tx), 0, 48);
	tx_push(&tx, 0, zero, 32, NULL);
	CU_ASSERT_EQUAL(tx_flush(&tx, fds[0]), 0);
	CU_ASSERT_EQUAL(read(fds[1], got, sizeof(got)), 84);
	CU_ASSERT_EQUAL(memcmp(got + 80, "\xaa\x36\x91\x8a", 4), 0); /* RFC 7143 appendix A.4 */
	teardown();
}

static void test_tx_releases_data_only_when_it_has_left(void)
{
	static uint8_t data[100000], got[100048];
	struct task t;
	size_t have = 0;
	unsigned i;

	setup();
	task_init(&t, TASK_SCSI, NULL);
	for (i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 199);
	memset(tx_header(&tx), 0x42, 48);
	tx_push(&tx, 0, data, sizeof(data), &t);
	CU_ASSERT_EQUAL(t.tx_refs, 1);
	for (i = 0; i < 10000 && have < sizeof(got); i++) {
		ssize_t n;

		CU_ASSERT_EQUAL(tx_flush(&tx, fds[0]), 0);
		if (!tx_is_empty(&tx)) {
			CU_ASSERT_TRUE(tx.is_blocked);
			CU_ASSERT_EQUAL(released, 0);
		}
		n = read(fds[1], got + have, sizeof(got) - have);
		if (n > 0)
			have += (size_t)n;
	}
	CU_ASSERT_EQUAL(have, sizeof(got));
	CU_ASSERT_EQUAL(memcmp(got + 48, data, sizeof(data)), 0);
	CU_ASSERT_EQUAL(released, 1);
	CU_ASSERT_EQUAL(t.tx_refs, 0);
	teardown();
}

/* Pushing while a batch is partly sent: the ring and the vector wrap many times. */
static void test_tx_keeps_the_order_when_blocked(void)
{
	uint8_t got[65536];
	unsigned pushed = 0, seen = 0;
	size_t have = 0;

	setup();
	while (seen < 5000) {
		ssize_t n;

		while (tx_has_room(&tx) && pushed < 5000) {
			static uint8_t data[5000][4];
			uint8_t *h = tx_header(&tx);

			memset(h, 0, 48);
			memcpy(h, &pushed, sizeof(pushed));
			memcpy(data[pushed], &pushed, 4);
			tx_push(&tx, 0, data[pushed], 3, NULL);
			pushed++;
		}
		CU_ASSERT_EQUAL(tx_flush(&tx, fds[0]), 0);
		n = read(fds[1], got + have, 777);
		if (n > 0)
			have += (size_t)n;
		while (have >= 52) {
			CU_ASSERT_EQUAL(memcmp(got, &seen, 4), 0);
			CU_ASSERT_EQUAL(memcmp(got + 48, &seen, 3), 0);
			memmove(got, got + 52, have -= 52);
			seen++;
		}
	}
	CU_ASSERT_TRUE(tx_is_empty(&tx));
	teardown();
}

static void test_tx_drop_gives_everything_back(void)
{
	static uint8_t data[64];
	struct task t;

	setup();
	task_init(&t, TASK_SCSI, NULL);
	for (int i = 0; i < 10; i++) {
		memset(tx_header(&tx), 0, 48);
		tx_push(&tx, 0, data, sizeof(data), &t);
	}
	CU_ASSERT_EQUAL(t.tx_refs, 10);
	tx_drop(&tx);
	CU_ASSERT_EQUAL(t.tx_refs, 0);
	CU_ASSERT_EQUAL(released, 10);
	CU_ASSERT_TRUE(tx_is_empty(&tx));
	teardown();
}

static void test_tx_tells_a_broken_connection(void)
{
	setup();
	close(fds[1]);
	memset(tx_header(&tx), 0, 48);
	tx_push(&tx, 0, NULL, 0, NULL);
	CU_ASSERT_TRUE(tx_flush(&tx, fds[0]) < 0);
	fds[1] = dup(0);
	teardown();
}

UNIT_MAIN("tx", UNIT(test_tx_pads_and_digests), UNIT(test_tx_releases_data_only_when_it_has_left),
	  UNIT(test_tx_keeps_the_order_when_blocked), UNIT(test_tx_drop_gives_everything_back),
	  UNIT(test_tx_tells_a_broken_connection))
