/* SPDX-License-Identifier: BSD-2-Clause */
/* The disk layer over a session of the test's own: the functions of session.h that disk.c calls are
 * defined here (so the linker leaves the real ones out), keep what was submitted, and let each test
 * answer in the order it likes from a medium in memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "core/disk.h"
#include "unit.h"

#define BLOCK 512u
#define BLOCKS 64u
#define BYTES (BLOCK * BLOCKS)

static struct loop *loop;
static struct pool bounce;
static struct disk *disk;
static struct path *path;
static unsigned failures;
static char last_why[512];
static struct session session;
static uint8_t medium[BYTES];
static struct list submitted;
static bool session_is_up;
static unsigned submits;

bool session_is_usable(const struct session *s)
{
	(void)s;
	return session_is_up;
}

int session_submit(struct session *s, struct task *t)
{
	if (!session_is_up)
		return -ENOTCONN;
	(void)s;
	t->state = TASK_QUEUED;
	t->status = t->response = 0;
	t->sense_bytes = 0;
	t->is_short = t->has_underflow = false;
	list_push_tail(&submitted, &t->link);
	submits++;
	return 0;
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

void session_event(struct session *s, const struct conn *c, unsigned id, const char *fmt, ...)
{
	(void)s;
	(void)c;
	(void)id;
	(void)fmt;
}

static uint64_t cdb_lba(const struct task *t)
{
	return t->cdb_bytes == 16 ? get_be64(t->cdb + 2) : get_be32(t->cdb + 2);
}

/* Carry @t out on the medium and answer GOOD. */
static void answer(struct task *t)
{
	uint64_t at = t->direction == TASK_NO_DATA ? 0 : cdb_lba(t) * BLOCK;

	CU_ASSERT_TRUE_FATAL(at + t->data_bytes <= BYTES);
	if (t->direction == TASK_READ)
		memcpy(t->data, medium + at, t->data_bytes);
	if (t->direction == TASK_WRITE)
		memcpy(medium + at, t->data, t->data_bytes);
	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = TASK_RESULT_RESPONDED;
	t->transferred = t->data_bytes;
	t->done(t);
}

static void answer_sense_code(struct task *t, uint8_t code, uint8_t key, uint8_t asc,
			      uint8_t ascq)
{
	uint8_t sense[18] = { code, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq };

	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = TASK_RESULT_RESPONDED;
	t->status = 0x02;
	memcpy(t->sense, sense, sizeof(sense));
	t->sense_bytes = sizeof(sense);
	t->transferred = 0;
	t->done(t);
}

static void answer_sense(struct task *t, uint8_t key, uint8_t asc, uint8_t ascq)
{
	answer_sense_code(t, 0x70, key, asc, ascq);
}

static void answer_deferred(struct task *t)
{
	answer_sense_code(t, 0x71, 0x03, 0x0c, 0x00);
}

static struct task *first(void)
{
	struct list *node = list_first(&submitted);

	return node ? list_entry(node, struct task, link) : NULL;
}

static void on_failed(struct disk *d, const char *what, int code, int errno_value,
		      const char *why)
{
	(void)d;
	(void)what;
	(void)code;
	(void)errno_value;
	g_strlcpy(last_why, why, sizeof(last_why));
	failures++;
}

static const struct disk_ops ops = { .failed = on_failed };

static void session_free_(struct object *o)
{
	object_done(o);
}

static void setup(uint32_t bounce_buffers)
{
	struct capacity c = { .blocks = BLOCKS, .block_bytes = BLOCK };
	const uint8_t lun[8] = { 0, 3 };

	loop = loop_new();
	memset(&session, 0, sizeof(session));
	object_init(&session.obj, loop, OBJECT_SESSION, session_free_);
	CU_ASSERT_EQUAL_FATAL(pool_init(&bounce, bounce_buffers, DISK_BOUNCE_BYTES, 4096), 0);
	disk = disk_new(loop, &ops, &bounce);
	failures = 0;
	CU_ASSERT_EQUAL_FATAL(disk_set_geometry(disk, &c, NULL), 0);
	path = disk_path_add(disk, NULL, &session, lun);
	path->is_verified = true;
	disk_path_update(path);
	list_init(&submitted);
	for (unsigned i = 0; i < BYTES; i++)
		medium[i] = (uint8_t)(i * 7 + i / 512);
	session_is_up = true;
	submits = 0;
}

static void teardown(void)
{
	disk_unref(disk);
	loop_run_once(loop, 0);
	pool_done(&bounce);
	object_gone(&session.obj);
	loop_run_once(loop, 0);
	loop_free(loop);
}

struct request {
	struct disk_io io;
	uint8_t data[BYTES];
	int result;
	unsigned calls;
};

static void request_done(struct disk_io *io, int result)
{
	struct request *r = container_of(io, struct request, io);

	r->result = result;
	r->calls++;
}

static int submit(struct request *r, enum disk_op op, uint64_t offset, uint32_t bytes)
{
	r->io.op = op;
	r->io.offset = offset;
	r->io.bytes = bytes;
	r->io.data = r->data;
	r->io.done = request_done;
	r->io.is_fua = false;
	r->calls = 0;
	r->result = 1;
	return disk_submit(disk, &r->io);
}

static struct request *request_new(void)
{
	return calloc(1, sizeof(struct request));
}

/* --- tests --- */

static void test_disk_reads_whole_blocks_with_one_command(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 2 * BLOCK, 3 * BLOCK), 0);
	CU_ASSERT_EQUAL(r->calls, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	CU_ASSERT_EQUAL(first()->cdb[0], 0x28);
	CU_ASSERT_EQUAL(first()->lun[1], 3);
	CU_ASSERT_EQUAL(get_be16(first()->cdb + 7), 3);
	CU_ASSERT_PTR_EQUAL(first()->data, r->data);
	answer(first());
	CU_ASSERT_EQUAL(r->calls, 1);
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(memcmp(r->data, medium + 2 * BLOCK, 3 * BLOCK), 0);
	teardown();
	free(r);
}

static void test_disk_reads_any_bytes(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 700, 1000), 0);
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(memcmp(r->data, medium + 700, 1000), 0);
	teardown();
	free(r);
}

static void test_disk_write_of_part_of_a_block_keeps_the_rest(void)
{
	struct request *r = request_new();
	uint8_t want[BYTES];

	setup(2);
	memcpy(want, medium, BYTES);
	memset(r->data, 0xab, 700);
	memset(want + 100, 0xab, 700);
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 100, 700), 0);
	while (first())
		answer(first());
	CU_ASSERT_EQUAL(submits, 3); /* head, tail, write */
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(memcmp(want, medium, BYTES), 0);
	teardown();
	free(r);
}

static void test_disk_parallel_writers_of_halves_of_a_block_lose_nothing(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(2);
	memset(a->data, 0x11, 256);
	memset(b->data, 0x22, 256);
	CU_ASSERT_EQUAL(submit(a, DISK_WRITE, 0, 256), 0);
	CU_ASSERT_EQUAL(submit(b, DISK_WRITE, 256, 256), 0);
	/* The second must not have read the block before the first has written it. */
	CU_ASSERT_EQUAL(submits, 1);
	while (first() || a->calls + b->calls < 2) {
		while (first())
			answer(first());
		loop_run_once(loop, 0);
	}
	for (unsigned i = 0; i < 256; i++) {
		CU_ASSERT_EQUAL(medium[i], 0x11);
		CU_ASSERT_EQUAL(medium[256 + i], 0x22);
	}
	teardown();
	free(a);
	free(b);
}

static void test_disk_whole_block_write_waits_for_read_modify_write(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(2);
	memset(a->data, 0x11, 10);
	memset(b->data, 0x22, BLOCK);
	CU_ASSERT_EQUAL(submit(a, DISK_WRITE, 5, 10), 0);
	CU_ASSERT_EQUAL(submit(b, DISK_WRITE, 0, BLOCK), 0);
	CU_ASSERT_EQUAL(submits, 1);
	while (first() || a->calls + b->calls < 2) {
		while (first())
			answer(first());
		loop_run_once(loop, 0);
	}
	CU_ASSERT_EQUAL(medium[5], 0x22); /* the later one, whole */
	CU_ASSERT_EQUAL(medium[511], 0x22);
	teardown();
	free(a);
	free(b);
}

static void test_disk_splits_at_the_maximum_transfer_length(void)
{
	struct capacity c = { .blocks = BLOCKS, .block_bytes = BLOCK };
	struct block_limits limits = { .max_transfer_blocks = 4 };
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(disk_set_geometry(disk, &c, &limits), 0);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, 10 * BLOCK), 0);
	while (first()) {
		CU_ASSERT_TRUE(first()->data_bytes <= 4 * BLOCK);
		answer(first());
	}
	CU_ASSERT_EQUAL(submits, 3);
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(memcmp(r->data, medium, 10 * BLOCK), 0);
	teardown();
	free(r);
}

static void test_disk_refuses_what_is_outside(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, BYTES, 1), -EINVAL);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, BYTES - 1, 2), -EINVAL);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, UINT64_MAX, 2), -EINVAL);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, 0), -EINVAL);
	disk->is_read_only = true;
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), -EROFS);
	disk_path_remove(path); /* none at all */
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), -ENODEV);
	CU_ASSERT_EQUAL(submits, 0);
	CU_ASSERT_EQUAL(r->calls, 0);
	teardown();
	free(r);
}

static void test_disk_sends_again_after_a_unit_attention(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	answer_sense(first(), 0x06, 0x29, 0x00); /* power on or reset */
	CU_ASSERT_EQUAL(r->calls, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(disk->stats.retries, 1);
	teardown();
	free(r);
}

static void test_disk_gives_up_on_endless_unit_attentions(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	for (int i = 0; i < 1000 && first(); i++)
		answer_sense(first(), 0x06, 0x29, 0x00);
	CU_ASSERT_EQUAL(r->calls, 1);
	CU_ASSERT_TRUE(r->result < 0);
	CU_ASSERT_EQUAL(failures, 1);
	teardown();
	free(r);
}

static void test_disk_medium_error_fails_at_once(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	answer_sense(first(), 0x03, 0x11, 0x00);
	CU_ASSERT_EQUAL(r->calls, 1);
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_EQUAL(submits, 1);
	teardown();
	free(r);
}

static void test_disk_good_status_with_missing_bytes_is_an_error(void)
{
	struct request *r = request_new();
	struct task *t;

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, 2 * BLOCK), 0);
	t = first();
	list_remove(&t->link);
	t->result = TASK_RESULT_RESPONDED;
	t->transferred = BLOCK;
	t->has_underflow = true;
	t->residual = BLOCK;
	t->done(t);
	CU_ASSERT_EQUAL(r->result, -EIO);
	teardown();
	free(r);
}

/* Its session hands @t back. */
static void hand_back(struct task *t, enum task_result result)
{
	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = result;
	t->done(t);
}

static void test_disk_lost_command_is_sent_again(void)
{
	static const enum task_result results[] = {
		TASK_RESULT_NEVER_SENT, TASK_RESULT_MAYBE_EXECUTED, TASK_RESULT_ABORTED
	};
	static const enum disk_op ops_[] = { DISK_READ, DISK_WRITE, DISK_FLUSH };
	struct request *r = request_new();

	setup(2);
	disk_set_caches(disk, true, false);
	for (size_t i = 0; i < 9; i++) {
		enum disk_op op = ops_[i % 3];

		CU_ASSERT_EQUAL(submit(r, op, 0, op == DISK_FLUSH ? 0 : BLOCK), 0);
		hand_back(first(), results[i / 3]);
		CU_ASSERT_EQUAL(r->calls, 0);
		CU_ASSERT_PTR_NOT_NULL_FATAL(first());
		answer(first());
		CU_ASSERT_EQUAL(r->result, 0);
	}
	CU_ASSERT_EQUAL(disk->stats.retries, 9);
	CU_ASSERT_EQUAL(path->stats.errors, 9);
	CU_ASSERT_EQUAL(failures, 0);
	teardown();
	free(r);
}

static void test_disk_waits_for_a_path_and_goes_on(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(a, DISK_READ, 0, BLOCK), 0);
	session_is_up = false;
	hand_back(first(), TASK_RESULT_MAYBE_EXECUTED);
	CU_ASSERT_EQUAL(submit(b, DISK_WRITE, BLOCK, BLOCK), 0); /* no path is no error */
	CU_ASSERT_EQUAL(a->io.state, DISK_IO_WAIT_PATH);
	CU_ASSERT_EQUAL(b->io.state, DISK_IO_WAIT_PATH);
	path->is_lost = true;
	disk_path_update(path);
	CU_ASSERT_EQUAL(path->state, PATH_LOST);
	loop_run_once(loop, 0);
	CU_ASSERT_PTR_NULL(first());
	session_is_up = true;
	loop_run_once(loop, 0);
	CU_ASSERT_PTR_NULL(first()); /* the session is there, the path not yet */
	path->is_lost = false;
	disk_path_update(path);
	loop_run_once(loop, 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	CU_ASSERT_EQUAL(first()->direction, TASK_READ); /* the older one first */
	answer(first());
	answer(first());
	CU_ASSERT_EQUAL(a->result, 0);
	CU_ASSERT_EQUAL(b->result, 0);
	CU_ASSERT_EQUAL(path->stats.failures, 1);
	CU_ASSERT_EQUAL(path->stats.recoveries, 1);
	teardown();
	free(a);
	free(b);
}

static void test_disk_session_that_comes_back_unannounced_is_seen(void)
{
	struct request *r = request_new();

	setup(2);
	session_is_up = false;
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	session_is_up = true;
	for (int i = 0; i < 100 && !first(); i++)
		loop_run_once(loop, 100);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	teardown();
	free(r);
}

static void test_disk_fails_at_the_deadline_what_found_no_path(void)
{
	struct request *r = request_new();
	int64_t start;

	setup(2);
	session_is_up = false;
	disk->timeout_ms = 120;
	start = loop_now_us(loop);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	for (int i = 0; i < 100 && !r->calls; i++)
		loop_run_once(loop, 1000);
	CU_ASSERT_EQUAL(r->calls, 1);
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_EQUAL(submits, 0);
	CU_ASSERT_TRUE(loop_now_us(loop) - start >= 120000);
	CU_ASSERT_TRUE(loop_now_us(loop) - start < 400000);
	CU_ASSERT_EQUAL(failures, 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(last_why, "no usable path"));
	CU_ASSERT_PTR_NOT_NULL(strstr(last_why, "lost"));
	CU_ASSERT_EQUAL(disk->active_count, 0);
	teardown();
	free(r);
}

static void test_disk_lost_again_and_again_fails_at_the_deadline(void)
{
	struct request *r = request_new();
	unsigned tries = 0;

	setup(2);
	disk->timeout_ms = 400;
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	for (int i = 0; i < 1000 && !r->calls; i++) {
		while (first()) {
			hand_back(first(), TASK_RESULT_MAYBE_EXECUTED);
			tries++;
		}
		loop_run_once(loop, 50);
	}
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_TRUE(tries >= 3 && tries <= 10); /* with pauses */
	teardown();
	free(r);
}

static void test_disk_waiting_for_a_path_keeps_its_range(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(2);
	session_is_up = false;
	memset(a->data, 0x11, 10);
	memset(b->data, 0x22, BLOCK);
	CU_ASSERT_EQUAL(submit(a, DISK_WRITE, 5, 10), 0);
	CU_ASSERT_EQUAL(submit(b, DISK_WRITE, 0, BLOCK), 0);
	CU_ASSERT_EQUAL(a->io.state, DISK_IO_WAIT_PATH);
	CU_ASSERT_EQUAL(b->io.state, DISK_IO_WAIT_RANGE);
	session_is_up = true;
	disk_kick(disk);
	while (a->calls + b->calls < 2) {
		loop_run_once(loop, 0);
		while (first())
			answer(first());
	}
	CU_ASSERT_EQUAL(medium[5], 0x22);
	teardown();
	free(a);
	free(b);
}

static void test_disk_gone_while_waiting_for_a_path(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(2);
	session_is_up = false;
	CU_ASSERT_EQUAL(submit(a, DISK_READ, 0, BLOCK), 0);
	CU_ASSERT_EQUAL(submit(b, DISK_READ, 0, BLOCK), 0);
	CU_ASSERT_TRUE(disk_withdraw(&b->io));
	disk_shutdown(disk, ESTALE);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(a->result, -ESTALE);
	CU_ASSERT_EQUAL(b->calls, 0);
	CU_ASSERT_EQUAL(submit(b, DISK_READ, 0, BLOCK), -ESTALE);
	CU_ASSERT_EQUAL(disk->active_count, 0);
	teardown();
	free(a);
	free(b);
}

static void answer_status(struct task *t, uint8_t status)
{
	t->status = status;
	hand_back(t, TASK_RESULT_RESPONDED);
}

static void test_disk_reservation_conflict_is_tried_for_a_second(void)
{
	struct request *r = request_new();
	unsigned tries = 0;
	int64_t start;

	setup(2);
	start = loop_now_us(loop);
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	while (!r->calls && tries < 20) {
		while (first()) {
			answer_status(first(), 0x18);
			tries++;
		}
		if (!r->calls)
			loop_run_once(loop, 1000);
	}
	CU_ASSERT_EQUAL(r->result, -EBUSY);
	CU_ASSERT_EQUAL(tries, 6);
	CU_ASSERT_TRUE(loop_now_us(loop) - start < 2000000);
	CU_ASSERT_EQUAL(path->state, PATH_OPTIMIZED); /* not the path's fault */
	teardown();
	free(r);
}

static void test_disk_busy_is_tried_until_the_deadline(void)
{
	struct request *r = request_new();
	unsigned tries = 0;

	setup(2);
	disk->timeout_ms = 600;
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	for (int i = 0; i < 1000 && !r->calls; i++) {
		while (first()) {
			answer_status(first(), tries % 2 ? 0x08 : 0x28);
			tries++;
		}
		loop_run_once(loop, 1000);
	}
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_TRUE(tries >= 4 && tries <= 8); /* 50, 100, 200, 400 ... */
	CU_ASSERT_PTR_NOT_NULL(strstr(last_why, "busy") ? last_why
							: strstr(last_why, "task set full"));
	teardown();
	free(r);
}

static void test_disk_busy_is_sent_again_after_a_pause(void)
{
	struct request *r = request_new();
	struct task *t;

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	t = first();
	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = TASK_RESULT_RESPONDED;
	t->status = 0x08;
	t->done(t);
	CU_ASSERT_PTR_NULL(first());
	while (!first())
		loop_run_once(loop, 1000);
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	teardown();
	free(r);
}

static void test_disk_durable_write_without_fua_is_synchronized(void)
{
	struct request *r = request_new();

	setup(2);
	disk_set_caches(disk, true, false);
	submit(r, DISK_WRITE, 0, BLOCK);
	CU_ASSERT_TRUE(disk_withdraw(&r->io));
	r->io.is_fua = true;
	CU_ASSERT_EQUAL(disk_submit(disk, &r->io), 0);
	CU_ASSERT_EQUAL(first()->cdb[1] & 0x08, 0);
	answer(first());
	CU_ASSERT_EQUAL(r->calls, 0); /* not yet durable */
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	CU_ASSERT_TRUE(first()->cdb[0] == 0x35 || first()->cdb[0] == 0x91);
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	disk->has_fua = true;
	CU_ASSERT_EQUAL(disk_submit(disk, &r->io), 0);
	CU_ASSERT_EQUAL(first()->cdb[1] & 0x08, 0x08);
	answer(first());
	CU_ASSERT_EQUAL(r->calls, 2);
	CU_ASSERT_PTR_NULL(first());
	teardown();
	free(r);
}

static void test_disk_deferred_error_fails_the_next_flush(void)
{
	struct request *r = request_new();

	setup(2);
	disk_set_caches(disk, true, false);
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	answer_deferred(first());
	CU_ASSERT_EQUAL(r->calls, 0); /* did not run: sent again */
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer(first());
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	CU_ASSERT_PTR_NULL(first()); /* that was done, and told */
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	answer(first());
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer_deferred(first());
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first()); /* the last one did not run */
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	teardown();
	free(r);
}

/* A flush is sent when there may be something to flush, and only then. */
static void test_disk_flushes_what_was_written_since(void)
{
	struct request *r = request_new(), *w = request_new();

	setup(2);
	disk_set_caches(disk, true, true);
	CU_ASSERT_TRUE(disk_is_dirty(disk)); /* who knows what was before */
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer(first());
	CU_ASSERT_FALSE(disk_is_dirty(disk));
	submit(w, DISK_WRITE, 0, BLOCK);
	CU_ASSERT_TRUE(disk_withdraw(&w->io));
	w->io.is_fua = true; /* goes past the cache */
	CU_ASSERT_EQUAL(disk_submit(disk, &w->io), 0);
	answer(first());
	CU_ASSERT_FALSE(disk_is_dirty(disk));
	CU_ASSERT_EQUAL(submit(w, DISK_WRITE, 0, BLOCK), 0);
	answer(first());
	CU_ASSERT_TRUE(disk_is_dirty(disk));
	/* What is acknowledged while a flush is under way is for the next one. */
	CU_ASSERT_EQUAL(submit(w, DISK_WRITE, 0, BLOCK), 0);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer(first());
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	CU_ASSERT_TRUE(disk_is_dirty(disk));
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer(first());
	CU_ASSERT_FALSE(disk_is_dirty(disk));
	teardown();
	free(r);
	free(w);
}

static void test_disk_power_lost_with_a_full_cache_fails_the_next_flush(void)
{
	struct request *r = request_new();

	setup(2);
	disk_set_caches(disk, true, false);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer(first());
	CU_ASSERT_FALSE(disk_lost_power(disk, NULL)); /* it was empty */
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	answer(first());
	CU_ASSERT_TRUE(disk_lost_power(disk, NULL));
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	answer(first());
	CU_ASSERT_EQUAL(r->result, -EIO);
	CU_ASSERT_FALSE(disk_lost_power(disk, NULL)); /* another path tells it again */
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(r->result, 0);
	teardown();
	free(r);
}

static struct session other_session;

/* By another session; not used for I/O as long as it is not verified. */
static struct path *add_path(void)
{
	const uint8_t lun[8] = { 0, 3 };

	memset(&other_session, 0, sizeof(other_session));
	object_init(&other_session.obj, loop, OBJECT_SESSION, session_free_);
	return disk_path_add(disk, NULL, &other_session, lun);
}

static void write_a_block(struct request *r)
{
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	answer(first());
	CU_ASSERT_TRUE(disk_is_dirty(disk));
}

/* Every path has its own unit attention of it, and some come late. */
static void test_disk_power_lost_once_is_told_by_two_paths(void)
{
	struct request *r = request_new();
	struct path *other;

	setup(2);
	other = add_path();
	disk_set_caches(disk, true, false);
	disk->flushed = disk->written;
	CU_ASSERT_FALSE(disk_lost_power(disk, path)); /* nothing was in it */
	write_a_block(r);
	CU_ASSERT_FALSE(disk_lost_power(disk, other)); /* that was before the write */
	CU_ASSERT_EQUAL(disk->losses, disk->losses_told);
	CU_ASSERT_TRUE(disk_lost_power(disk, path)); /* the next one */
	CU_ASSERT_FALSE(disk_lost_power(disk, other));
	object_gone(&other_session.obj);
	teardown();
	free(r);
}

static void test_disk_power_lost_twice_is_told_by_another_path(void)
{
	struct request *r = request_new();
	struct path *other;

	setup(2);
	other = add_path();
	disk_set_caches(disk, true, false);
	disk->flushed = disk->written;
	disk_lost_power(disk, path);
	disk_lost_power(disk, other);
	write_a_block(r);
	CU_ASSERT_TRUE(disk_lost_power(disk, other)); /* the first path does not come back */
	/* It has told of the last one, but was away since: is that one meant or another? */
	disk->flushed = disk->written;
	CU_ASSERT_FALSE(disk_lost_power(disk, path));
	CU_ASSERT_FALSE(disk_lost_power(disk, path));
	write_a_block(r);
	path->is_lost = true;
	disk_path_update(path);
	CU_ASSERT_TRUE(disk_lost_power(disk, other));
	object_gone(&other_session.obj);
	teardown();
	free(r);
}

static void test_disk_counts_changes_without_a_write_cache(void)
{
	struct request *r = request_new();
	struct capacity c = { .blocks = BLOCKS / 2, .block_bytes = BLOCK };
	uint64_t before;

	setup(2);
	before = disk->changes;
	CU_ASSERT_EQUAL(submit(r, DISK_READ, 0, BLOCK), 0);
	answer(first());
	CU_ASSERT_EQUAL(disk->changes, before);
	CU_ASSERT_EQUAL(submit(r, DISK_WRITE, 0, BLOCK), 0);
	answer(first());
	CU_ASSERT_EQUAL(disk->changes, before + 1);
	CU_ASSERT_FALSE(disk_is_dirty(disk));
	CU_ASSERT_EQUAL(disk_set_geometry(disk, &c, NULL), 0);
	CU_ASSERT_EQUAL(disk->changes, before + 2);
	teardown();
	free(r);
}

static void test_disk_flush_without_write_cache_sends_nothing(void)
{
	struct request *r = request_new();

	setup(2);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	CU_ASSERT_EQUAL(r->calls, 0); /* never inside submit */
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(r->calls, 1);
	CU_ASSERT_EQUAL(r->result, 0);
	disk_set_caches(disk, true, false);
	CU_ASSERT_EQUAL(submit(r, DISK_FLUSH, 0, 0), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(first());
	CU_ASSERT_EQUAL(first()->cdb[0] & 0x0f, first()->cdb[0] == 0x35 ? 0x05 : 0x01);
	answer(first());
	CU_ASSERT_EQUAL(r->result, 0);
	teardown();
	free(r);
}

static void test_disk_waits_for_a_bounce_buffer(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(1);
	memset(a->data, 1, 10);
	memset(b->data, 2, 10);
	CU_ASSERT_EQUAL(submit(a, DISK_WRITE, 1, 10), 0);
	CU_ASSERT_EQUAL(submit(b, DISK_WRITE, 10 * BLOCK + 1, 10), 0);
	CU_ASSERT_EQUAL(submits, 1);
	while (a->calls + b->calls < 2) {
		while (first())
			answer(first());
		loop_run_once(loop, 100);
	}
	CU_ASSERT_EQUAL(medium[1], 1);
	CU_ASSERT_EQUAL(medium[10 * BLOCK + 10], 2);
	teardown();
	free(a);
	free(b);
}

static void test_disk_shutdown_ends_what_waits(void)
{
	struct request *a = request_new(), *b = request_new(), *c = request_new();

	setup(2);
	submit(a, DISK_WRITE, 1, 10);
	submit(b, DISK_WRITE, 2, 10);
	submit(c, DISK_WRITE, 3, 10);
	disk_shutdown(disk, ENODEV);
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(b->result, -ENODEV);
	CU_ASSERT_EQUAL(c->result, -ENODEV);
	CU_ASSERT_EQUAL(a->calls, 0);
	answer(first()); /* its head was read: nothing more is sent */
	loop_run_once(loop, 0);
	CU_ASSERT_EQUAL(a->result, -ENODEV);
	CU_ASSERT_PTR_NULL(first());
	CU_ASSERT_EQUAL(submit(a, DISK_READ, 0, BLOCK), -ENODEV);
	teardown();
	free(a);
	free(b);
	free(c);
}

static void test_disk_withdraws_what_was_not_sent(void)
{
	struct request *a = request_new(), *b = request_new();

	setup(2);
	submit(a, DISK_WRITE, 1, 10);
	submit(b, DISK_WRITE, 2, 10);
	CU_ASSERT_TRUE(disk_withdraw(&b->io));
	CU_ASSERT_TRUE(disk_withdraw(&a->io));
	CU_ASSERT_PTR_NULL(first());
	submit(a, DISK_READ, 0, BLOCK);
	first()->state = TASK_SENT;
	CU_ASSERT_FALSE(disk_withdraw(&a->io));
	answer(first());
	CU_ASSERT_EQUAL(a->calls, 1);
	CU_ASSERT_EQUAL(b->calls, 0);
	loop_run_once(loop, 0);
	teardown();
	free(a);
	free(b);
}

/* Random writes whose ranges are the writer's own byte by byte, answered in random order: every
 * byte must be its last writer's, because a writer waits for its own earlier write. */
#define WRITERS 12
static void test_disk_random_writes_answered_in_random_order(void)
{
	struct request *r[WRITERS];
	uint8_t model[BYTES];
	unsigned rounds = 0;

	setup(4);
	srandom(20261122);
	memcpy(model, medium, BYTES);
	for (unsigned i = 0; i < WRITERS; i++) {
		r[i] = request_new();
		r[i]->calls = 1;
	}
	while (rounds < 4000) {
		unsigned w = (unsigned)random() % WRITERS, n = 0, pick;
		/* Writer w owns the bytes whose number of 100-byte stripe is w modulo WRITERS. */
		uint64_t stripe = (uint64_t)((unsigned)random() % (BYTES / 100 / WRITERS)) * WRITERS + w;
		uint32_t skip = (uint32_t)random() % 50, bytes = 1 + (uint32_t)random() % 50;

		if (r[w]->calls) {
			memset(r[w]->data, (int)random(), bytes);
			memcpy(model + stripe * 100 + skip, r[w]->data, bytes);
			CU_ASSERT_EQUAL_FATAL(submit(r[w], DISK_WRITE, stripe * 100 + skip, bytes), 0);
			rounds++;
		}
		list_for_each(pos, &submitted)
			n++;
		if (n) {
			struct list *pos = submitted.next;

			for (pick = (unsigned)random() % n; pick; pick--)
				pos = pos->next;
			answer(list_entry(pos, struct task, link));
		}
		loop_run_once(loop, 0);
	}
	for (bool busy = true; busy;) {
		busy = false;
		while (first())
			answer(first());
		loop_run_once(loop, 10);
		for (unsigned i = 0; i < WRITERS; i++)
			busy |= !r[i]->calls;
	}
	CU_ASSERT_EQUAL(memcmp(model, medium, BYTES), 0);
	CU_ASSERT_EQUAL(disk->active_count, 0);
	CU_ASSERT_EQUAL(bounce.free_count, 4);
	teardown();
	for (unsigned i = 0; i < WRITERS; i++)
		free(r[i]);
}

UNIT_MAIN("disk", UNIT(test_disk_reads_whole_blocks_with_one_command),
	  UNIT(test_disk_reads_any_bytes),
	  UNIT(test_disk_write_of_part_of_a_block_keeps_the_rest),
	  UNIT(test_disk_parallel_writers_of_halves_of_a_block_lose_nothing),
	  UNIT(test_disk_whole_block_write_waits_for_read_modify_write),
	  UNIT(test_disk_splits_at_the_maximum_transfer_length),
	  UNIT(test_disk_refuses_what_is_outside),
	  UNIT(test_disk_sends_again_after_a_unit_attention),
	  UNIT(test_disk_gives_up_on_endless_unit_attentions),
	  UNIT(test_disk_medium_error_fails_at_once),
	  UNIT(test_disk_good_status_with_missing_bytes_is_an_error),
	  UNIT(test_disk_lost_command_is_sent_again),
	  UNIT(test_disk_waits_for_a_path_and_goes_on),
	  UNIT(test_disk_session_that_comes_back_unannounced_is_seen),
	  UNIT(test_disk_fails_at_the_deadline_what_found_no_path),
	  UNIT(test_disk_lost_again_and_again_fails_at_the_deadline),
	  UNIT(test_disk_waiting_for_a_path_keeps_its_range),
	  UNIT(test_disk_gone_while_waiting_for_a_path),
	  UNIT(test_disk_reservation_conflict_is_tried_for_a_second),
	  UNIT(test_disk_busy_is_tried_until_the_deadline),
	  UNIT(test_disk_busy_is_sent_again_after_a_pause),
	  UNIT(test_disk_durable_write_without_fua_is_synchronized),
	  UNIT(test_disk_deferred_error_fails_the_next_flush),
	  UNIT(test_disk_flushes_what_was_written_since),
	  UNIT(test_disk_power_lost_with_a_full_cache_fails_the_next_flush),
	  UNIT(test_disk_power_lost_once_is_told_by_two_paths),
	  UNIT(test_disk_power_lost_twice_is_told_by_another_path),
	  UNIT(test_disk_counts_changes_without_a_write_cache),
	  UNIT(test_disk_flush_without_write_cache_sends_nothing),
	  UNIT(test_disk_waits_for_a_bounce_buffer), UNIT(test_disk_shutdown_ends_what_waits),
	  UNIT(test_disk_withdraws_what_was_not_sent),
	  UNIT(test_disk_random_writes_answered_in_random_order))
