/* SPDX-License-Identifier: BSD-2-Clause */
/* Several paths of a disk over sessions of the test's own (as in test_disk.c): which one is taken,
 * how paths fail and come back, what ALUA makes of it. The test answers what is sent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/wire.h"
#include "core/disk.h"
#include "core/disk_watch.h"
#include "unit.h"

#define BLOCK 512u
#define BLOCKS 1024u
#define PATHS 3

static struct loop *loop;
static struct disk *disk;
static struct session sessions[PATHS];
static bool is_up[PATHS];
static struct path *paths[PATHS];
static struct list submitted;
static unsigned failures, changes;
static enum sense_class last_change;

static unsigned index_of(const struct session *s)
{
	return (unsigned)(s - sessions);
}

bool session_is_usable(const struct session *s)
{
	return is_up[index_of(s)];
}

int session_submit(struct session *s, struct task *t)
{
	if (!is_up[index_of(s)])
		return -ENOTCONN;
	t->session = s;
	t->state = TASK_QUEUED;
	t->status = t->response = t->sense_bytes = 0;
	t->is_short = t->has_underflow = false;
	t->transferred = 0;
	list_push_tail(&submitted, &t->link);
	return 0;
}

void session_event(struct session *s, const struct conn *c, unsigned id, const char *fmt, ...)
{
	(void)s;
	(void)c;
	(void)id;
	(void)fmt;
}

bool session_withdraw(struct session *s, struct task *t)
{
	(void)s;
	if (t->state != TASK_QUEUED)
		return false;
	list_remove(&t->link);
	t->state = TASK_IDLE;
	return true;
}

static void on_failed(struct disk *d, const char *what, int code, int errno_value,
		      const char *why)
{
	(void)d;
	(void)what;
	(void)code;
	(void)errno_value;
	(void)why;
	failures++;
}

static void on_changed(struct disk *d, struct path *p, enum sense_class what)
{
	(void)p;
	changes++;
	last_change = what;
	if (what == SENSE_ALUA_CHANGED)
		disk_watch_changed(d);
}

static void on_path_changed(struct disk *d, struct path *p, enum path_state before)
{
	(void)before;
	if (path_state_is_usable(p->state))
		d->is_activated = false;
	if (p->state != PATH_OPTIMIZED)
		disk_watch(d, p->state == PATH_FAILED ? PATH_TRY_MS : 0);
}

static const struct disk_ops ops = {
	.changed = on_changed,
	.failed = on_failed,
	.path_changed = on_path_changed,
	.look = disk_watch_look,
};

static void nothing(struct object *o)
{
	object_done(o);
}

static void add_path(unsigned i)
{
	const uint8_t lun[8] = { 0, (uint8_t)i };

	memset(&sessions[i], 0, sizeof(sessions[i]));
	object_init(&sessions[i].obj, loop, OBJECT_SESSION, nothing);
	sessions[i].sid = i + 1;
	sessions[i].loop = loop;
	is_up[i] = true;
	paths[i] = disk_path_add(disk, NULL, &sessions[i], lun);
	object_ref(&paths[i]->obj); /* so that a removed one can be asked */
	paths[i]->is_verified = true;
	disk_path_update(paths[i]);
}

static void setup(void)
{
	struct capacity c = { .blocks = BLOCKS, .block_bytes = BLOCK };

	loop = loop_new();
	list_init(&submitted);
	disk = disk_new(loop, &ops, NULL);
	failures = changes = 0;
	CU_ASSERT_EQUAL_FATAL(disk_set_geometry(disk, &c, NULL), 0);
	for (unsigned i = 0; i < PATHS; i++)
		add_path(i);
}

static struct task *first(void)
{
	struct list *node = list_first(&submitted);

	return node ? list_entry(node, struct task, link) : NULL;
}

static void hand_back(struct task *t, enum task_result result)
{
	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = result;
	t->done(t);
}

static void answer(struct task *t)
{
	t->transferred = t->data_bytes;
	hand_back(t, TASK_RESULT_RESPONDED);
}

static void answer_sense(struct task *t, uint8_t key, uint8_t asc, uint8_t ascq)
{
	uint8_t sense[18] = { 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq };

	t->status = 0x02;
	memcpy(t->sense, sense, sizeof(sense));
	t->sense_bytes = sizeof(sense);
	hand_back(t, TASK_RESULT_RESPONDED);
}

/* The next command with this opcode. */
static struct task *wait_for(uint8_t opcode)
{
	for (int i = 0; i < 100; i++) {
		list_for_each(pos, &submitted) {
			struct task *t = list_entry(pos, struct task, link);

			if (t->cdb[0] == opcode)
				return t;
		}
		loop_run_once(loop, 100);
	}
	return NULL;
}

/* An end to all that is asked: queries are cancelled with their paths. */
static void teardown(void)
{
	for (unsigned i = 0; i < PATHS; i++) {
		if (paths[i]->disk)
			disk_path_remove(paths[i]);
		object_unref(&paths[i]->obj);
		is_up[i] = false;
	}
	while (first())
		hand_back(first(), TASK_RESULT_NEVER_SENT);
	CU_ASSERT_EQUAL(disk->active_count, 0);
	disk_unref(disk);
	loop_run_once(loop, 0);
	for (unsigned i = 0; i < PATHS; i++)
		object_gone(&sessions[i].obj);
	loop_run_once(loop, 0);
	loop_free(loop);
}

struct request {
	struct disk_io io;
	uint8_t data[BLOCK];
	int result;
	unsigned calls;
};

static void request_done(struct disk_io *io, int result)
{
	struct request *r = container_of(io, struct request, io);

	r->result = result;
	r->calls++;
}

static int submit(struct request *r, enum disk_op op)
{
	r->io = (struct disk_io){
		.op = op, .bytes = BLOCK, .data = r->data, .done = request_done
	};
	r->calls = 0;
	r->result = 1;
	return disk_submit(disk, &r->io);
}

/* By which path does the next request go? It is answered. */
static int next_path(void)
{
	struct request r;
	int i;

	if (submit(&r, DISK_READ) < 0 || !first()) {
		disk_withdraw(&r.io);
		return -1;
	}
	i = (int)index_of(r.io.task.session);
	CU_ASSERT_EQUAL(r.io.task.lun[1], i);
	answer(&r.io.task);
	CU_ASSERT_EQUAL(r.result, 0);
	return i;
}

/* ---- policies ---- */

static void test_paths_failover_takes_the_oldest_active_one(void)
{
	setup();
	disk->policy = POLICY_FAILOVER;
	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(next_path(), 0);
	paths[0]->lane.is_standby = true;
	CU_ASSERT_EQUAL(next_path(), 1);
	is_up[1] = is_up[2] = false;
	CU_ASSERT_EQUAL(next_path(), 0); /* a standby one is better than none */
	is_up[1] = true;
	CU_ASSERT_EQUAL(next_path(), 1); /* which takes its role back */
	teardown();
}

static void test_paths_round_robin_takes_turns(void)
{
	unsigned count[PATHS] = { 0 };

	setup();
	disk->policy = POLICY_ROUND_ROBIN;
	for (int i = 0; i < 30; i++)
		count[next_path()]++;
	for (int i = 0; i < PATHS; i++)
		CU_ASSERT_EQUAL(count[i], 10);
	disk->policy = POLICY_ROUND_ROBIN_SUBSET;
	paths[2]->lane.is_standby = true;
	for (int i = 0; i < 30; i++)
		count[next_path()]++;
	CU_ASSERT_EQUAL(count[0], 25);
	CU_ASSERT_EQUAL(count[1], 25);
	CU_ASSERT_EQUAL(count[2], 10);
	teardown();
}

static void test_paths_weighted_takes_the_lightest(void)
{
	setup();
	disk->policy = POLICY_WEIGHTED;
	paths[0]->lane.weight = 7;
	paths[1]->lane.weight = 3;
	paths[2]->lane.weight = 5;
	CU_ASSERT_EQUAL(next_path(), 1);
	is_up[1] = false;
	CU_ASSERT_EQUAL(next_path(), 2);
	teardown();
}

static void test_paths_least_queue_depth_evens_out(void)
{
	struct request r[9];

	setup();
	CU_ASSERT_EQUAL(disk->policy, POLICY_LEAST_QUEUE_DEPTH);
	for (int i = 0; i < 9; i++)
		CU_ASSERT_EQUAL(submit(&r[i], DISK_READ), 0);
	for (int i = 0; i < PATHS; i++)
		CU_ASSERT_EQUAL(paths[i]->lane.in_flight, 3);
	for (int i = 0; i < 9; i++)
		if (index_of(r[i].io.task.session) == 1)
			answer(&r[i].io.task);
	CU_ASSERT_EQUAL(paths[1]->lane.in_flight, 0);
	CU_ASSERT_EQUAL(next_path(), 1);
	while (first())
		answer(first());
	CU_ASSERT_EQUAL(paths[0]->stats.ios, 3);
	teardown();
}

/* ---- trouble ---- */

static void test_paths_command_that_fails_goes_by_another(void)
{
	struct request r;
	struct session *was;

	setup();
	disk->policy = POLICY_FAILOVER;
	CU_ASSERT_EQUAL(submit(&r, DISK_WRITE), 0);
	was = first()->session;
	CU_ASSERT_EQUAL(index_of(was), 0);
	hand_back(first(), TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	CU_ASSERT_PTR_NOT_EQUAL(first()->session, was);
	answer(first());
	CU_ASSERT_EQUAL(r.result, 0);
	CU_ASSERT_EQUAL(paths[0]->state, PATH_OPTIMIZED); /* once is not always */
	CU_ASSERT_EQUAL(next_path(), 0);
	teardown();
}

static void test_paths_an_attempt_leaves_time_for_another(void)
{
	struct request r;

	setup();
	disk->timeout_ms = 10000;
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	CU_ASSERT_EQUAL(first()->deadline_us, r.io.deadline_us);
	CU_ASSERT_TRUE(first()->is_hurried);
	answer(first());
	disk_path_remove(paths[1]);
	disk_path_remove(paths[2]);
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	CU_ASSERT_FALSE(first()->is_hurried); /* the only one */
	answer(first());
	teardown();
}

static void test_paths_removed_path_hands_its_command_to_another(void)
{
	struct request r;

	setup();
	disk->policy = POLICY_FAILOVER;
	CU_ASSERT_EQUAL(submit(&r, DISK_WRITE), 0);
	disk_path_remove(paths[0]);
	CU_ASSERT_EQUAL(r.calls, 0);
	hand_back(first(), TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(index_of(first()->session), 1);
	answer(first());
	CU_ASSERT_EQUAL(r.result, 0);
	teardown();
}

/* Fails every attempt by path 0 until it is given up. */
static void fail_path_0(void)
{
	for (int i = 0; i < PATH_ERRORS_MAX; i++) {
		struct request r;

		CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
		CU_ASSERT_EQUAL(index_of(r.io.task.session), 0);
		hand_back(&r.io.task, TASK_RESULT_ABORTED);
		answer(&r.io.task); /* by another */
		CU_ASSERT_EQUAL(r.result, 0);
		usleep(1000);
		loop_run_once(loop, 0);
	}
}

static void test_paths_errors_in_a_row_fail_a_path_which_is_tried_again(void)
{
	struct task *t;

	setup();
	disk->policy = POLICY_FAILOVER;
	fail_path_0();
	CU_ASSERT_EQUAL(paths[0]->state, PATH_FAILED);
	CU_ASSERT_EQUAL(paths[0]->stats.failures, 1);
	CU_ASSERT_EQUAL(next_path(), 1);
	t = wait_for(0x00);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_EQUAL(index_of(t->session), 0);
	hand_back(t, TASK_RESULT_ABORTED); /* still silent */
	CU_ASSERT_EQUAL(paths[0]->state, PATH_FAILED);
	t = wait_for(0x00);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer_sense(t, 0x06, 0x29, 0x00); /* any word will do */
	t = wait_for(0x00);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer(t);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(paths[0]->state, PATH_OPTIMIZED);
	CU_ASSERT_EQUAL(paths[0]->stats.recoveries, 1);
	CU_ASSERT_EQUAL(next_path(), 0);
	teardown();
}

static void test_paths_burst_of_lost_commands_counts_once(void)
{
	struct request r[20];

	setup();
	disk->policy = POLICY_FAILOVER;
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(submit(&r[i], DISK_READ), 0);
	for (int i = 0; i < 20; i++)
		hand_back(&r[i].io.task, TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(paths[0]->state, PATH_OPTIMIZED);
	CU_ASSERT_EQUAL(paths[0]->stats.errors, 20);
	while (first())
		answer(first());
	for (int i = 0; i < 20; i++)
		CU_ASSERT_EQUAL(r[i].result, 0);
	teardown();
}

static void test_paths_standby_without_alua_fails_the_path(void)
{
	struct request r;

	setup();
	disk->policy = POLICY_FAILOVER;
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	answer_sense(first(), 0x02, 0x04, 0x0b);
	CU_ASSERT_EQUAL(paths[0]->state, PATH_FAILED);
	CU_ASSERT_EQUAL(index_of(first()->session), 1);
	answer(first());
	CU_ASSERT_EQUAL(r.result, 0);
	teardown();
}

/* ---- ALUA ---- */

static void set_alua(unsigned i, uint8_t tpgs, uint16_t group, enum alua_access access)
{
	paths[i]->tpgs = tpgs;
	paths[i]->port = (struct alua_port){ .has_group = true, .group = group,
					     .has_port = true, .port = (uint16_t)(i + 1) };
	paths[i]->access = access;
	disk_path_update(paths[i]);
}

/* REPORT TARGET PORT GROUPS: one port in each of the groups 1 to 3. */
static void answer_groups(struct task *t, uint8_t a, uint8_t b, uint8_t c)
{
	uint8_t report[4 + 3 * 12] = { 0, 0, 0, 36, a, 0x8f, 0, 1, 0, 2, 0, 1, 0, 0, 0, 1,
				       b, 0x8f, 0,  2, 0, 2,	0, 1, 0, 0, 0, 2, c, 0x8f,
				       0, 3,	0,  2, 0, 1,	0, 0, 0, 3 };

	CU_ASSERT_TRUE_FATAL(t->data_bytes >= sizeof(report));
	memcpy(t->data, report, sizeof(report));
	t->transferred = sizeof(report);
	hand_back(t, TASK_RESULT_RESPONDED);
	loop_run_once(loop, 0);
}

static void test_paths_optimized_goes_before_all_policies(void)
{
	setup();
	disk->policy = POLICY_ROUND_ROBIN;
	set_alua(0, ALUA_IMPLICIT, 1, ALUA_NON_OPTIMIZED);
	set_alua(1, ALUA_IMPLICIT, 2, ALUA_OPTIMIZED);
	set_alua(2, ALUA_IMPLICIT, 3, ALUA_STANDBY);
	paths[1]->lane.is_standby = true;
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(next_path(), 1);
	is_up[1] = false;
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(next_path(), 0);
	is_up[0] = false;
	CU_ASSERT_EQUAL(next_path(), -1); /* standby never */
	teardown();
}

static void test_paths_told_standby_by_sense_asks_for_the_groups(void)
{
	struct request r;
	struct task *t;

	setup();
	disk->policy = POLICY_FAILOVER;
	for (unsigned i = 0; i < PATHS; i++)
		set_alua(i, ALUA_IMPLICIT, (uint16_t)(i + 1), ALUA_OPTIMIZED);
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	answer_sense(first(), 0x02, 0x04, 0x0b);
	CU_ASSERT_EQUAL(paths[0]->state, PATH_STANDBY);
	answer(first());
	CU_ASSERT_EQUAL(r.result, 0);
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_EQUAL(t->cdb[1], 0x0a);
	answer_groups(t, ALUA_STANDBY, ALUA_NON_OPTIMIZED, ALUA_OPTIMIZED);
	CU_ASSERT_EQUAL(paths[1]->state, PATH_NON_OPTIMIZED);
	CU_ASSERT_EQUAL(paths[2]->state, PATH_OPTIMIZED);
	CU_ASSERT_EQUAL(next_path(), 2);
	teardown();
}

static void test_paths_transition_is_waited_for(void)
{
	struct request r;
	struct task *t;

	setup();
	for (unsigned i = 0; i < PATHS; i++)
		set_alua(i, ALUA_IMPLICIT, (uint16_t)(i + 1), ALUA_TRANSITIONING);
	CU_ASSERT_EQUAL(submit(&r, DISK_WRITE), 0);
	CU_ASSERT_EQUAL(r.io.state, DISK_IO_WAIT_PATH);
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer_groups(t, ALUA_TRANSITIONING, ALUA_TRANSITIONING, ALUA_TRANSITIONING);
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer_groups(t, ALUA_STANDBY, ALUA_STANDBY, ALUA_OPTIMIZED);
	loop_run_once(loop, 0);
	t = wait_for(0x2a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_EQUAL(index_of(t->session), 2);
	answer(t);
	CU_ASSERT_EQUAL(r.result, 0);
	teardown();
}

static void test_paths_all_standby_one_is_activated_once(void)
{
	struct request r;
	struct task *t;
	int64_t start;

	setup();
	disk->policy = POLICY_FAILOVER;
	for (unsigned i = 0; i < PATHS; i++)
		set_alua(i, ALUA_EXPLICIT, (uint16_t)(i + 1), ALUA_STANDBY);
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer_groups(t, ALUA_STANDBY, ALUA_STANDBY, ALUA_STANDBY);
	list_for_each(pos, &submitted) /* nobody wants to read: nothing is taken */
		CU_ASSERT_NOT_EQUAL(list_entry(pos, struct task, link)->cdb[0], 0xa4);
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(wait_for(0xa3));
	start = loop_now_us(loop);
	while (first()->cdb[0] != 0xa4) { /* not at once */
		answer_groups(first(), ALUA_STANDBY, ALUA_STANDBY, ALUA_STANDBY);
		for (int i = 0; i < 100 && !first(); i++)
			loop_run_once(loop, 100);
		CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	}
	CU_ASSERT_TRUE(loop_now_us(loop) - start > 500000);
	t = wait_for(0xa4);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	CU_ASSERT_EQUAL(t->cdb[1], 0x0a);
	CU_ASSERT_EQUAL(t->direction, TASK_WRITE);
	CU_ASSERT_EQUAL(t->data[4], 0x00);
	CU_ASSERT_EQUAL(get_be16(t->data + 6), 1);
	answer(t);
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer_groups(t, ALUA_STANDBY, ALUA_STANDBY, ALUA_STANDBY); /* it did not help */
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	list_for_each(pos, &submitted)
		CU_ASSERT_NOT_EQUAL(list_entry(pos, struct task, link)->cdb[0], 0xa4);
	answer_groups(t, ALUA_OPTIMIZED, ALUA_STANDBY, ALUA_STANDBY);
	t = wait_for(0x28);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer(t);
	CU_ASSERT_EQUAL(r.result, 0);
	teardown();
}

static void test_paths_implicit_only_is_never_activated(void)
{
	struct request r;

	setup();
	disk->timeout_ms = 700;
	for (unsigned i = 0; i < PATHS; i++)
		set_alua(i, ALUA_IMPLICIT, (uint16_t)(i + 1), ALUA_STANDBY);
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	for (int i = 0; i < 100 && !r.calls; i++) {
		while (first() && !r.calls) {
			CU_ASSERT_EQUAL_FATAL(first()->cdb[0], 0xa3);
			answer_groups(first(), ALUA_STANDBY, ALUA_UNAVAILABLE, ALUA_STANDBY);
		}
		loop_run_once(loop, 50);
	}
	CU_ASSERT_EQUAL(r.result, -EIO);
	CU_ASSERT_EQUAL(paths[1]->state, PATH_UNAVAILABLE);
	teardown();
}

static void test_paths_unit_attention_2a_06_asks_for_the_groups(void)
{
	struct request r;
	struct task *t;

	setup();
	disk->policy = POLICY_FAILOVER;
	for (unsigned i = 0; i < PATHS; i++)
		set_alua(i, ALUA_IMPLICIT, (uint16_t)(i + 1), ALUA_OPTIMIZED);
	CU_ASSERT_EQUAL(submit(&r, DISK_READ), 0);
	answer_sense(first(), 0x06, 0x2a, 0x06);
	CU_ASSERT_EQUAL(last_change, SENSE_ALUA_CHANGED);
	answer(first());
	CU_ASSERT_EQUAL(r.result, 0);
	t = wait_for(0xa3);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	answer_groups(t, ALUA_NON_OPTIMIZED, ALUA_OPTIMIZED, ALUA_STANDBY);
	CU_ASSERT_EQUAL(next_path(), 1);
	teardown();
}

/* ---- states ---- */

static void test_paths_state_follows_from_facts(void)
{
	static const struct {
		bool is_lost, is_verified, is_failed;
		enum alua_access access;
		enum path_state state;
	} rows[] = {
		{ false, true, false, ALUA_OPTIMIZED, PATH_OPTIMIZED },
		{ false, true, false, ALUA_NON_OPTIMIZED, PATH_NON_OPTIMIZED },
		{ false, true, false, ALUA_LBA_DEPENDENT, PATH_NON_OPTIMIZED },
		{ false, true, false, ALUA_TRANSITIONING, PATH_TRANSITIONING },
		{ false, true, false, ALUA_STANDBY, PATH_STANDBY },
		{ false, true, false, ALUA_UNAVAILABLE, PATH_UNAVAILABLE },
		{ false, true, false, ALUA_OFFLINE, PATH_UNAVAILABLE },
		{ false, true, true, ALUA_OPTIMIZED, PATH_FAILED },
		{ false, false, true, ALUA_OPTIMIZED, PATH_UNVERIFIED },
		{ true, true, true, ALUA_OPTIMIZED, PATH_LOST },
	};

	setup();
	for (size_t from = 0; from < G_N_ELEMENTS(rows); from++)
		for (size_t to = 0; to < G_N_ELEMENTS(rows); to++) {
			size_t pair[] = { from, to };

			for (int i = 0; i < 2; i++) {
				paths[0]->is_lost = rows[pair[i]].is_lost;
				paths[0]->is_verified = rows[pair[i]].is_verified;
				paths[0]->is_failed = rows[pair[i]].is_failed;
				paths[0]->access = rows[pair[i]].access;
				disk_path_update(paths[0]);
				CU_ASSERT_EQUAL(paths[0]->state, rows[pair[i]].state);
				CU_ASSERT_EQUAL(disk->usable_paths,
						PATHS - 1 +
							path_state_is_usable(paths[0]->state));
			}
		}
	CU_ASSERT_STRING_EQUAL(path_state_name(PATH_NON_OPTIMIZED), "non-optimized");
	teardown();
}

static void test_paths_unverified_and_lost_carry_nothing(void)
{
	setup();
	disk->policy = POLICY_FAILOVER;
	paths[0]->is_verified = false;
	disk_path_update(paths[0]);
	CU_ASSERT_EQUAL(next_path(), 1);
	paths[1]->is_lost = true;
	disk_path_update(paths[1]);
	CU_ASSERT_EQUAL(next_path(), 2);
	CU_ASSERT_PTR_EQUAL(disk->only, paths[2]);
	paths[0]->is_verified = true;
	disk_path_update(paths[0]);
	CU_ASSERT_EQUAL(next_path(), 0);
	teardown();
}

UNIT_MAIN("paths", UNIT(test_paths_failover_takes_the_oldest_active_one),
	  UNIT(test_paths_round_robin_takes_turns),
	  UNIT(test_paths_weighted_takes_the_lightest),
	  UNIT(test_paths_least_queue_depth_evens_out),
	  UNIT(test_paths_command_that_fails_goes_by_another),
	  UNIT(test_paths_an_attempt_leaves_time_for_another),
	  UNIT(test_paths_removed_path_hands_its_command_to_another),
	  UNIT(test_paths_errors_in_a_row_fail_a_path_which_is_tried_again),
	  UNIT(test_paths_burst_of_lost_commands_counts_once),
	  UNIT(test_paths_standby_without_alua_fails_the_path),
	  UNIT(test_paths_optimized_goes_before_all_policies),
	  UNIT(test_paths_told_standby_by_sense_asks_for_the_groups),
	  UNIT(test_paths_transition_is_waited_for),
	  UNIT(test_paths_all_standby_one_is_activated_once),
	  UNIT(test_paths_implicit_only_is_never_activated),
	  UNIT(test_paths_unit_attention_2a_06_asks_for_the_groups),
	  UNIT(test_paths_state_follows_from_facts),
	  UNIT(test_paths_unverified_and_lost_carry_nothing))
