/* SPDX-License-Identifier: BSD-2-Clause */
/* The race of connects: who wins, what each failure costs, that nothing is left open. */
#include <dirent.h>
#include <errno.h>

#include "core/race.h"
#include "peers.h"

static struct race *race;
static int won_fd;
static void *won_tag;
static unsigned failures, last_errno;
static bool is_lost;
static int64_t started;

static void on_failed(void *arg, void *tag, int errno_value)
{
	(void)arg;
	(void)tag;
	failures++;
	last_errno = (unsigned)errno_value;
}

static void on_won(void *arg, void *tag, int fd)
{
	(void)arg;
	won_tag = tag;
	won_fd = fd;
}

static void on_lost(void *arg)
{
	(void)arg;
	is_lost = true;
}

static const struct race_ops ops = { .failed = on_failed, .won = on_won, .lost = on_lost };

static unsigned descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static unsigned descriptors_before;

static void begin(int64_t connect_ms)
{
	descriptors_before = descriptors();
	loop = loop_new();
	peers_start();
	race = race_new(loop, connect_ms, &ops, NULL);
	won_fd = -1;
	won_tag = NULL;
	failures = last_errno = 0;
	is_lost = false;
	started = loop_now_ms(loop);
}

static void end(void)
{
	race_free(race);
	if (won_fd >= 0)
		close(won_fd);
	peers_stop();
	loop_free(loop);
	CU_ASSERT_EQUAL(descriptors(), descriptors_before);
}

static void add(int order, unsigned index)
{
	struct conn_address a = { .addr_bytes = sizeof(struct sockaddr_in) };
	struct sockaddr_in *sin = (void *)&a.addr;

	sin->sin_family = AF_INET;
	sin->sin_port = htons(peers[index].port);
	inet_pton(AF_INET, peers[index].host, &sin->sin_addr);
	race_add(race, order, &a, &peers[index]);
}

static void run(void)
{
	for (int i = 0; i < 1000 && won_fd < 0 && !is_lost; i++)
		loop_run_once(loop, 2000);
}

/* Connecting to it takes for ever: nobody accepts, and its queue is full. */
static void make_silent(unsigned index, int fds[static 2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(peers[index].port) };

	loop_fd_remove(&peers[index].listener);
	listen(peers[index].listener.fd, 0);
	inet_pton(AF_INET, peers[index].host, &sin.sin_addr);
	for (unsigned i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		connect(fds[i], (struct sockaddr *)&sin, sizeof(sin));
	}
}

static void end_silent(unsigned index, const int fds[static 2])
{
	close(fds[0]);
	close(fds[1]);
	close(peers[index].listener.fd);
}

static void test_race_first_in_order_wins(void)
{
	int64_t took;

	begin(5000);
	add(2, 2);
	add(1, 1);
	add(3, 3);
	run();
	CU_ASSERT_PTR_EQUAL(won_tag, &peers[1]);
	CU_ASSERT_EQUAL(failures, 0);
	took = loop_now_ms(loop) - started;
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(loop, 20);
	if (took < RACE_STAGGER_MS) /* else it was the second one's turn, on a slow machine */
		CU_ASSERT_EQUAL(peers[2].connects + peers[3].connects, 0);
	end();
}

/* Faster than a turn takes: what a slow machine makes of it does not happen each time. */
static void test_race_goes_on_at_once_after_a_refusal(void)
{
	int64_t took = RACE_STAGGER_MS;

	for (unsigned n = 0; n < 20 && took >= RACE_STAGGER_MS; n++) {
		begin(5000);
		for (unsigned i = 0; i < 5; i++)
			peer_stop(&peers[i]);
		for (unsigned i = 0; i < 6; i++)
			add((int)i, i);
		run();
		CU_ASSERT_PTR_EQUAL(won_tag, &peers[5]);
		CU_ASSERT_EQUAL(failures, 5);
		CU_ASSERT_EQUAL(last_errno, ECONNREFUSED);
		took = loop_now_ms(loop) - started;
		end();
	}
	CU_ASSERT_TRUE(took < RACE_STAGGER_MS);
}

static void test_race_does_not_wait_for_the_silent(void)
{
	int fds[2];

	begin(300000);
	make_silent(0, fds);
	add(0, 0);
	add(1, 1);
	run();
	CU_ASSERT_PTR_EQUAL(won_tag, &peers[1]);
	CU_ASSERT_EQUAL(failures, 0); /* given up without a word */
	CU_ASSERT_TRUE(loop_now_ms(loop) - started >= RACE_STAGGER_MS - 1);
	CU_ASSERT_TRUE(loop_now_ms(loop) - started < 30000);
	end_silent(0, fds);
	end();
}

static void test_race_all_fail_is_lost_in_time(void)
{
	int fds[2];

	begin(300);
	make_silent(0, fds);
	peer_stop(&peers[1]);
	add(0, 0);
	add(1, 1);
	run();
	CU_ASSERT_TRUE(is_lost);
	CU_ASSERT_EQUAL(failures, 2);
	CU_ASSERT_EQUAL(last_errno, ETIMEDOUT);
	CU_ASSERT_TRUE(loop_now_ms(loop) - started < 30000);
	end_silent(0, fds);
	end();
}

/* A long list of dead addresses before the one that works: seconds, not minutes. */
static void test_race_many_silent_ones_cost_seconds(void)
{
	int64_t took = 60 * RACE_STAGGER_MS;
	int fds[2];

	/* Again when the machine was slow. */
	for (unsigned n = 0; n < 5 && took >= 40 * RACE_STAGGER_MS; n++) {
		begin(30000);
		make_silent(0, fds);
		for (int i = 0; i < 60; i++)
			add(i, 0);
		add(60, 1);
		run();
		CU_ASSERT_PTR_EQUAL(won_tag, &peers[1]);
		took = loop_now_ms(loop) - started;
		end_silent(0, fds);
		end();
	}
	CU_ASSERT_TRUE(took < 40 * RACE_STAGGER_MS);
}

/* Those of a name that took longer to be resolved. */
static void test_race_takes_entrants_while_it_runs(void)
{
	int fds[2];

	begin(5000);
	make_silent(0, fds);
	add(0, 0);
	for (unsigned i = 0; i < 3; i++)
		loop_run_once(loop, 10);
	add(1, 1);
	run();
	CU_ASSERT_PTR_EQUAL(won_tag, &peers[1]);
	end_silent(0, fds);
	end();
}

/* When all have failed, another one may come, and the race goes on. */
static void test_race_goes_on_after_it_was_lost(void)
{
	begin(5000);
	peer_stop(&peers[0]);
	add(0, 0);
	run();
	CU_ASSERT_TRUE(is_lost);
	is_lost = false;
	add(1, 1);
	run();
	CU_ASSERT_PTR_EQUAL(won_tag, &peers[1]);
	end();
}

static void test_race_freed_in_the_middle_leaves_nothing_open(void)
{
	int fds[2];

	begin(5000);
	make_silent(0, fds);
	add(0, 0);
	add(1, 1);
	loop_run_once(loop, 10);
	race_free(race);
	race = NULL;
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(won_fd, -1);
	end_silent(0, fds);
	end();
}

UNIT_MAIN("race", UNIT(test_race_first_in_order_wins),
	  UNIT(test_race_goes_on_at_once_after_a_refusal),
	  UNIT(test_race_does_not_wait_for_the_silent),
	  UNIT(test_race_all_fail_is_lost_in_time),
	  UNIT(test_race_many_silent_ones_cost_seconds),
	  UNIT(test_race_takes_entrants_while_it_runs),
	  UNIT(test_race_goes_on_after_it_was_lost),
	  UNIT(test_race_freed_in_the_middle_leaves_nothing_open))
