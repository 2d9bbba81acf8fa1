/* SPDX-License-Identifier: BSD-2-Clause */
/* Holes, zeros and seeks of a disk, over a unit played here: a thin one whose medium knows
 * which blocks are mapped, and which can be told to refuse, to forget, or to take UNMAP for the
 * hint that it is. What must hold in every case: afterwards the range reads as zeros, and
 * nothing else has changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "core/disk.h"
#include "unit.h"

#define BLOCK 512u
#define BLOCKS 4096u
#define NAMES_MAX 256

static struct loop *loop;
static struct pool bounce;
static struct disk *disk;
static struct session session;
static struct list submitted;
static struct {
	uint8_t store[BLOCKS * BLOCK];
	bool is_mapped[BLOCKS];
	bool refuses_unmap, refuses_same_unmap, refuses_same, refuses_status;
	uint32_t keeps_from, keeps_to; /* UNMAP leaves these as they are */
	unsigned extents_max;	       /* in an answer of GET LBA STATUS */
	uint32_t same_max;
	bool refuses_copy;
	bool is_garbled; /* ... says nonsense */
} unit;
static char sent[NAMES_MAX]; /* a letter a command */
static unsigned unmap_blocks_max_seen;
static bool is_unaligned_seen;

bool session_is_usable(const struct session *s)
{
	(void)s;
	return true;
}

int session_submit(struct session *s, struct task *t)
{
	(void)s;
	t->state = TASK_QUEUED;
	t->status = t->response = 0;
	t->sense_bytes = 0;
	t->is_short = t->has_underflow = false;
	list_push_tail(&submitted, &t->link);
	return 0;
}

bool session_withdraw(struct session *s, struct task *t)
{
	(void)s;
	(void)t;
	return false;
}

void session_event(struct session *s, const struct conn *c, unsigned id, const char *fmt, ...)
{
	(void)s;
	(void)c;
	(void)id;
	(void)fmt;
}

/* --- the unit --- */

static void note(char letter)
{
	size_t at = strlen(sent);

	if (at < NAMES_MAX - 1)
		sent[at] = letter;
}

static void finish(struct task *t, uint32_t transferred, uint8_t asc)
{
	uint8_t sense[18] = { 0x70, 0, 0x05, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc };

	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = TASK_RESULT_RESPONDED;
	t->transferred = transferred;
	if (asc) {
		t->status = 0x02;
		memcpy(t->sense, sense, sizeof(sense));
		t->sense_bytes = sizeof(sense);
	}
	t->done(t);
}

static void put_blocks(uint64_t lba, uint64_t count, const uint8_t *data, size_t step)
{
	CU_ASSERT_TRUE_FATAL(count && lba + count <= BLOCKS);
	for (uint64_t i = 0; i < count; i++) {
		memcpy(unit.store + (lba + i) * BLOCK, data + i * step, BLOCK);
		unit.is_mapped[lba + i] = true;
	}
}

static void unmap(uint64_t lba, uint64_t count)
{
	CU_ASSERT_TRUE_FATAL(count && lba + count <= BLOCKS);
	for (uint64_t i = lba; i < lba + count; i++) {
		if (i >= unit.keeps_from && i < unit.keeps_to)
			continue;
		memset(unit.store + i * BLOCK, 0, BLOCK);
		unit.is_mapped[i] = false;
	}
}

static void do_unmap(struct task *t)
{
	uint64_t lba = get_be64(t->data + 8);
	uint32_t count = get_be32(t->data + 16);
	const struct disk_provision *p = &disk->provision;

	note('U');
	if (unit.refuses_unmap) {
		finish(t, 0, 0x20);
		return;
	}
	CU_ASSERT_EQUAL(t->data_bytes, 24);
	unmap_blocks_max_seen = MAX(unmap_blocks_max_seen, count);
	is_unaligned_seen |= lba % p->granularity != p->alignment || count % p->granularity;
	unmap(lba, count);
	finish(t, t->data_bytes, 0);
}

static void do_write_same(struct task *t)
{
	static const uint8_t zeros[BLOCK];
	uint64_t lba = get_be64(t->cdb + 2);
	uint32_t count = get_be32(t->cdb + 10);
	bool may_unmap = t->cdb[1] & 0x08;

	note(may_unmap ? 'W' : 'S');
	if ((may_unmap ? unit.refuses_same_unmap : unit.refuses_same) ||
	    (unit.same_max && count > unit.same_max)) {
		finish(t, 0, 0x24);
		return;
	}
	CU_ASSERT_EQUAL(t->data_bytes, BLOCK);
	CU_ASSERT_EQUAL(memcmp(t->data, zeros, BLOCK), 0);
	put_blocks(lba, count, t->data, 0);
	if (may_unmap)
		unmap(lba, count);
	finish(t, t->data_bytes, 0);
}

static void do_status(struct task *t)
{
	uint64_t lba = get_be64(t->cdb + 2);
	uint8_t *p = t->data + 8;
	unsigned count = 0;

	note('G');
	if (unit.refuses_status) {
		finish(t, 0, 0x20);
		return;
	}
	memset(t->data, 0, t->data_bytes);
	while (lba < BLOCKS && count < unit.extents_max) {
		uint64_t end = lba;

		while (end < BLOCKS && unit.is_mapped[end] == unit.is_mapped[lba])
			end++;
		put_be64(p, unit.is_garbled ? lba + 7 : lba);
		put_be32(p + 8, (uint32_t)(end - lba));
		p[12] = unit.is_mapped[lba] ? 0 : 1;
		p += 16;
		lba = end;
		count++;
	}
	put_be32(t->data, 4 + 16 * count);
	finish(t, 8 + 16 * count, 0);
}

static void do_copy(struct task *t)
{
	const uint8_t *segment = t->data + 16 + 2 * 32;
	uint16_t blocks = get_be16(segment + 10);
	uint64_t from = get_be64(segment + 12), to = get_be64(segment + 20);

	note('C');
	if (unit.refuses_copy) {
		finish(t, 0, 0x26);
		return;
	}
	CU_ASSERT_EQUAL(t->data_bytes, 16 + 2 * 32 + 28);
	CU_ASSERT_EQUAL(memcmp(t->data + 16 + 8, "\x60\x01", 2), 0);
	CU_ASSERT_TRUE_FATAL(blocks && from + blocks <= BLOCKS && to + blocks <= BLOCKS);
	put_blocks(to, blocks, unit.store + from * BLOCK, BLOCK);
	finish(t, t->data_bytes, 0);
}

static void do_write(struct task *t)
{
	uint64_t lba = t->cdb_bytes == 16 ? get_be64(t->cdb + 2) : get_be32(t->cdb + 2);

	note('w');
	put_blocks(lba, t->data_bytes / BLOCK, t->data, BLOCK);
	finish(t, t->data_bytes, 0);
}

static void play_one(void)
{
	struct task *t = list_entry(list_first(&submitted), struct task, link);

	switch (t->cdb[0]) {
	case 0x42:
		do_unmap(t);
		break;
	case 0x93:
		do_write_same(t);
		break;
	case 0x83:
		do_copy(t);
		break;
	case 0x9e:
		do_status(t);
		break;
	case 0x2a:
	case 0x8a:
		do_write(t);
		break;
	default:
		CU_FAIL_FATAL("an unexpected command");
	}
}

static void play(void)
{
	for (unsigned i = 0; i < 10000 && list_first(&submitted); i++)
		play_one();
	loop_run_once(loop, 0);
}

static void session_free_(struct object *o)
{
	object_done(o);
}

static void setup(void)
{
	struct capacity c = { .blocks = BLOCKS, .block_bytes = BLOCK };
	const uint8_t lun[8] = { 0, 3 };
	struct path *path;

	loop = loop_new();
	memset(&session, 0, sizeof(session));
	object_init(&session.obj, loop, OBJECT_SESSION, session_free_);
	CU_ASSERT_EQUAL_FATAL(pool_init(&bounce, 1, DISK_BOUNCE_BYTES, 4096), 0);
	disk = disk_new(loop, NULL, &bounce);
	CU_ASSERT_EQUAL_FATAL(disk_set_geometry(disk, &c, NULL), 0);
	disk->provision = (struct disk_provision){
		.is_thin = true,
		.has_zeros = true,
		.has_unmap = true,
		.has_write_same_unmap = true,
		.max_unmap_blocks = 1u << 20,
		.granularity = 1,
	};
	path = disk_path_add(disk, NULL, &session, lun);
	path->is_verified = true;
	disk_path_update(path);
	list_init(&submitted);
	memset(&unit, 0, sizeof(unit));
	memset(unit.is_mapped, true, sizeof(unit.is_mapped));
	memset(unit.store, 0xa5, sizeof(unit.store));
	unit.extents_max = 255;
	unmap_blocks_max_seen = 0;
	is_unaligned_seen = false;
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

static struct request {
	struct disk_io io;
	uint8_t scratch[DISK_RANGE_SCRATCH_BYTES];
	int result;
	unsigned calls;
} request;

static void request_done(struct disk_io *io, int result)
{
	struct request *r = container_of(io, struct request, io);

	r->result = result;
	r->calls++;
}

static int start(struct request *r, enum disk_op op, uint64_t lba, uint64_t blocks)
{
	memset(r, 0, sizeof(*r));
	r->io.op = op;
	r->io.offset = lba * BLOCK;
	r->io.length = blocks * BLOCK;
	r->io.data = r->scratch;
	r->io.done = request_done;
	return disk_submit(disk, &r->io);
}

/* The result; what was sent is in @sent. */
static int run(enum disk_op op, uint64_t lba, uint64_t blocks)
{
	struct request *r = &request;
	int error;

	memset(sent, 0, sizeof(sent));
	error = start(r, op, lba, blocks);
	if (error)
		return error;
	CU_ASSERT_EQUAL(r->calls, 0);
	play();
	CU_ASSERT_EQUAL_FATAL(r->calls, 1);
	return r->result;
}

/* Zeros in [lba, lba + blocks), and what was there anywhere else. */
static bool is_zeroed_just_there(uint64_t lba, uint64_t blocks)
{
	for (uint64_t i = 0; i < BLOCKS; i++) {
		uint8_t want = i >= lba && i < lba + blocks ? 0 : 0xa5;

		for (unsigned k = 0; k < BLOCK; k++)
			if (unit.store[i * BLOCK + k] != want)
				return false;
	}
	return true;
}

static unsigned count_mapped(uint64_t lba, uint64_t blocks)
{
	unsigned count = 0;

	for (uint64_t i = lba; i < lba + blocks; i++)
		count += unit.is_mapped[i];
	return count;
}

/* --- holes --- */

static void test_range_hole_is_unmapped_and_checked(void)
{
	setup();
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UG");
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	CU_ASSERT_EQUAL(count_mapped(10, 100), 0);
	CU_ASSERT_EQUAL(disk->stats.punches, 1);
	CU_ASSERT_EQUAL(disk->stats.punched_bytes, 100 * BLOCK);
	teardown();
}

static void test_range_what_unmap_left_gets_zeros(void)
{
	setup();
	disk->provision.has_write_same_unmap = false;
	unit.keeps_from = 50;
	unit.keeps_to = 60;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UGSG");
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	CU_ASSERT_EQUAL(count_mapped(10, 100), 10); /* those, and no others */
	unit.refuses_same = true;
	memset(unit.store, 0xa5, sizeof(unit.store));
	memset(unit.is_mapped, true, sizeof(unit.is_mapped));
	unit.keeps_to = 110;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UGSw"); /* plain zeros, where there is no WRITE SAME */
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	teardown();
}

static void test_range_check_goes_on_where_the_answer_ended(void)
{
	setup();
	unit.extents_max = 1;
	unit.keeps_from = 20; /* so that one extent is not all */
	unit.keeps_to = 28;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UGGWG");
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	unit.keeps_from = unit.keeps_to = 0;
	unit.is_garbled = true;
	memset(unit.store, 0xa5, sizeof(unit.store));
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UGW"); /* nonsense proves nothing */
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	teardown();
}

static void test_range_granules_and_limits(void)
{
	setup();
	disk->provision.granularity = 16;
	disk->provision.alignment = 5;
	disk->provision.max_unmap_blocks = 40;	      /* 2 granules */
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0); /* granules from 21 to 101 */
	CU_ASSERT_STRING_EQUAL(sent, "WUGUGUGW");
	CU_ASSERT_FALSE(is_unaligned_seen);
	CU_ASSERT_EQUAL(unmap_blocks_max_seen, 32);
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	CU_ASSERT_EQUAL(count_mapped(21, 80), 0);
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 200, 8), 0); /* within one granule */
	CU_ASSERT_STRING_EQUAL(sent, "W");
	teardown();
}

static void test_range_without_lba_status_write_same_unmaps(void)
{
	setup();
	unit.refuses_status = true;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UGW"); /* not known whether UNMAP did it */
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 110, 50), 0);
	CU_ASSERT_STRING_EQUAL(sent, "W"); /* learnt */
	CU_ASSERT_EQUAL(count_mapped(10, 150), 0);
	teardown();
}

static void test_range_with_unmap_alone(void)
{
	setup();
	unit.refuses_status = true;
	disk->provision.has_write_same_unmap = false;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UG");
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 200, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "U");
	teardown();
}

static void test_range_no_hole_where_it_would_not_read_as_zeros(void)
{
	setup();
	disk->provision.has_zeros = false;
	/* Not by WRITE SAME either: LIO unmaps then, and never looks at the zeros. */
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, "");
	CU_ASSERT_EQUAL(disk->stats.errors, 0);
	CU_ASSERT_EQUAL(run(DISK_ZERO, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "S");
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	teardown();
}

static void test_range_ways_that_are_refused(void)
{
	setup();
	unit.refuses_unmap = true;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), 0);
	CU_ASSERT_STRING_EQUAL(sent, "UW");
	unit.refuses_same_unmap = true;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, "W");
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 10, 100), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, "");
	CU_ASSERT_FALSE(disk_provision_can(&disk->provision, true));
	CU_ASSERT_TRUE(disk_provision_can(&disk->provision, false));
	teardown();
}

/* Several at once: what the refusal of one teaches must not be wrong for another. */
static void test_range_unmap_is_not_trusted_by_anothers_refusal(void)
{
	static struct request two[2];

	setup();
	unit.refuses_status = true;
	unit.keeps_to = BLOCKS; /* UNMAP is a hint here, and leaves all as it is */
	memset(sent, 0, sizeof(sent));
	CU_ASSERT_EQUAL(start(&two[0], DISK_PUNCH, 10, 100), 0);
	play_one(); /* its UNMAP; GET LBA STATUS, to be refused, is next */
	CU_ASSERT_EQUAL(start(&two[1], DISK_PUNCH, 500, 100), 0);
	play();
	CU_ASSERT_EQUAL(two[0].result, 0);
	CU_ASSERT_EQUAL(two[1].result, 0);
	for (unsigned i = 0; i < 100 * BLOCK; i++)
		CU_ASSERT_EQUAL_FATAL(unit.store[10 * BLOCK + i] | unit.store[500 * BLOCK + i], 0);
	teardown();
}

static void test_range_two_are_too_long_at_once(void)
{
	static struct request two[2];

	setup();
	disk->provision = (struct disk_provision){ .granularity = 1 };
	unit.same_max = 2048;
	CU_ASSERT_EQUAL(start(&two[0], DISK_ZERO, 0, 3000), 0);
	CU_ASSERT_EQUAL(start(&two[1], DISK_ZERO, 1000, 3000), 0);
	play();
	CU_ASSERT_EQUAL(two[0].result, 0);
	CU_ASSERT_EQUAL(two[1].result, 0);
	CU_ASSERT_FALSE(disk->provision.refuses_write_same);
	CU_ASSERT_TRUE(is_zeroed_just_there(0, 4000));
	teardown();
}

static void test_range_one_form_is_refused_of_several(void)
{
	static struct request three[3];

	setup();
	disk->provision.granularity = 8;
	unit.refuses_same_unmap = true;
	memset(sent, 0, sizeof(sent));
	for (unsigned i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(start(&three[i], DISK_PUNCH, 1 + 100 * i, 20), 0);
	play();
	for (unsigned i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(three[i].result, 0);
		for (unsigned k = 0; k < 20 * BLOCK; k++)
			CU_ASSERT_EQUAL_FATAL(unit.store[(1 + 100 * i) * BLOCK + k], 0);
	}
	CU_ASSERT_TRUE(disk->provision.refuses_write_same_unmap);
	CU_ASSERT_FALSE(disk->provision.refuses_write_same);
	CU_ASSERT_TRUE(strchr(sent, 'S') && !strchr(sent, 'w'));
	teardown();
}

static void test_range_ends_where_it_is_cancelled(void)
{
	static struct request r;

	setup();
	disk->provision.max_write_same_blocks = 16;
	CU_ASSERT_EQUAL(start(&r, DISK_ZERO, 0, 100), 0);
	play_one();
	CU_ASSERT_FALSE(disk_withdraw(&r.io));
	play();
	CU_ASSERT_EQUAL(r.result, -EINTR);
	CU_ASSERT_TRUE(is_zeroed_just_there(0, 32)); /* whole commands, and no more of them */
	/* Zeros written block by block, and looking for a hole, as well. */
	unit.refuses_same = unit.refuses_same_unmap = disk->provision.refuses_write_same =
		disk->provision.refuses_write_same_unmap = true;
	unit.keeps_to = BLOCKS;
	CU_ASSERT_EQUAL(start(&r, DISK_PUNCH, 0, BLOCKS), 0);
	for (unsigned i = 0; i < 3; i++)
		play_one();
	CU_ASSERT_FALSE(disk_withdraw(&r.io));
	memset(sent, 0, sizeof(sent));
	play();
	CU_ASSERT_EQUAL(r.result, -EINTR);
	CU_ASSERT_EQUAL(strlen(sent), 1);
	for (unsigned i = 0; i < BLOCKS; i++)
		unit.is_mapped[i] = i % 2;
	unit.extents_max = 1;
	CU_ASSERT_EQUAL(start(&r, DISK_SEEK_DATA, 0, 0), 0);
	CU_ASSERT_FALSE(disk_withdraw(&r.io));
	memset(sent, 0, sizeof(sent));
	play();
	CU_ASSERT_EQUAL(r.result, -EINTR);
	CU_ASSERT_STRING_EQUAL(sent, "G");
	teardown();
}

/* --- zeros --- */

static void test_range_zeros(void)
{
	setup();
	unit.same_max = disk->provision.max_write_same_blocks = 64;
	CU_ASSERT_EQUAL(run(DISK_ZERO, 3, 150), 0);
	CU_ASSERT_STRING_EQUAL(sent, "WWW");
	CU_ASSERT_TRUE(is_zeroed_just_there(3, 150));
	unit.refuses_same_unmap = true;
	memset(unit.store, 0xa5, sizeof(unit.store));
	CU_ASSERT_EQUAL(run(DISK_ZERO, 3, 150), 0);
	CU_ASSERT_STRING_EQUAL(sent, "WSSS");
	CU_ASSERT_TRUE(is_zeroed_just_there(3, 150));
	unit.refuses_same = true;
	CU_ASSERT_EQUAL(run(DISK_ZERO, 3, 150), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, "S");
	CU_ASSERT_FALSE(disk_provision_can(&disk->provision, false));
	teardown();
}

static void test_range_a_limit_that_was_not_told(void)
{
	setup();
	unit.same_max = 2048;
	CU_ASSERT_EQUAL(run(DISK_ZERO, 0, 4000), 0);
	CU_ASSERT_STRING_EQUAL(sent, "WWW"); /* the first is refused */
	CU_ASSERT_TRUE(is_zeroed_just_there(0, 4000));
	CU_ASSERT_EQUAL(run(DISK_ZERO, 0, 4000), 0);
	CU_ASSERT_STRING_EQUAL(sent, "WW");
	teardown();
}

static void test_range_zeros_of_a_thick_unit(void)
{
	setup();
	disk->provision = (struct disk_provision){ .granularity = 1 };
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 0, 1), -EOPNOTSUPP);
	CU_ASSERT_EQUAL(run(DISK_ZERO, 0, BLOCKS), 0);
	CU_ASSERT_STRING_EQUAL(sent, "S");
	CU_ASSERT_TRUE(is_zeroed_just_there(0, BLOCKS));
	teardown();
}

static void test_range_out_of_bounds_or_read_only(void)
{
	setup();
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 0, BLOCKS + 1), -EINVAL);
	CU_ASSERT_EQUAL(run(DISK_PUNCH, BLOCKS, 1), -EINVAL);
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(run(DISK_ZERO, 1, UINT64_MAX / BLOCK), -EINVAL);
	disk->is_read_only = true;
	CU_ASSERT_EQUAL(run(DISK_PUNCH, 0, 1), -EROFS);
	CU_ASSERT_EQUAL(run(DISK_ZERO, 0, 1), -EROFS);
	teardown();
}

/* A write of a part of a block reads it, and writes it back later: not around a hole. */
static void test_range_waits_for_a_write_of_a_part_of_a_block(void)
{
	static struct request w;
	struct task *t;

	setup();
	memset(&w, 0, sizeof(w));
	w.io = (struct disk_io){ .op = DISK_WRITE,
				 .offset = 20 * BLOCK + 7,
				 .bytes = 10,
				 .data = w.scratch,
				 .done = request_done };
	CU_ASSERT_EQUAL_FATAL(disk_submit(disk, &w.io), 0);
	request = (struct request){ .io = { .op = DISK_PUNCH,
					    .offset = 10 * BLOCK,
					    .length = 100 * BLOCK,
					    .data = request.scratch,
					    .done = request_done } };
	memset(sent, 0, sizeof(sent));
	CU_ASSERT_EQUAL_FATAL(disk_submit(disk, &request.io), 0);
	t = list_entry(list_first(&submitted), struct task, link);
	CU_ASSERT_EQUAL(t->cdb[0], 0x28);
	CU_ASSERT_PTR_EQUAL(list_first(&submitted)->next, &submitted); /* and nothing else */
	memcpy(t->data, unit.store + 20 * BLOCK, BLOCK);
	finish(t, BLOCK, 0);
	play();
	play();
	CU_ASSERT_STRING_EQUAL(sent, "wUG");
	CU_ASSERT_EQUAL(w.calls, 1);
	CU_ASSERT_EQUAL(request.calls, 1);
	CU_ASSERT_TRUE(is_zeroed_just_there(10, 100));
	teardown();
}

/* --- seeks --- */

static int seek(enum disk_op op, uint64_t offset, uint64_t *ret_found)
{
	int r;

	memset(sent, 0, sizeof(sent));
	memset(&request, 0, sizeof(request));
	request.io.op = op;
	request.io.offset = offset;
	request.io.data = request.scratch;
	request.io.done = request_done;
	r = disk_submit(disk, &request.io);
	if (r)
		return r;
	play();
	CU_ASSERT_EQUAL_FATAL(request.calls, 1);
	*ret_found = request.io.found;
	return request.result;
}

#define SEEK(op, offset, want)                                 \
	do {                                                   \
		uint64_t found_ = 1;                           \
		CU_ASSERT_EQUAL(seek(op, offset, &found_), 0); \
		CU_ASSERT_EQUAL(found_, (uint64_t)(want));     \
	} while (0)

static void test_range_seeks(void)
{
	uint64_t found;

	setup();
	for (unsigned i = 0; i < BLOCKS; i++)
		unit.is_mapped[i] = i >= 16 && i < 64 && i % 4; /* shreds */
	for (unsigned max = 255; max; max /= 16) {
		unit.extents_max = max;
		SEEK(DISK_SEEK_DATA, 0, 17 * BLOCK);
		SEEK(DISK_SEEK_DATA, 17 * BLOCK + 5, 17 * BLOCK + 5);
		SEEK(DISK_SEEK_HOLE, 0, 0);
		SEEK(DISK_SEEK_HOLE, 5, 5);
		SEEK(DISK_SEEK_HOLE, 17 * BLOCK + 5, 20 * BLOCK);
		SEEK(DISK_SEEK_HOLE, 63 * BLOCK, 64 * BLOCK);
		CU_ASSERT_EQUAL(seek(DISK_SEEK_DATA, 64 * BLOCK, &found), -ENXIO);
	}
	CU_ASSERT_EQUAL(seek(DISK_SEEK_DATA, (uint64_t)BLOCKS * BLOCK, &found), -ENXIO);
	CU_ASSERT_EQUAL(seek(DISK_SEEK_HOLE, (uint64_t)BLOCKS * BLOCK, &found), -ENXIO);
	memset(unit.is_mapped, true, sizeof(unit.is_mapped));
	SEEK(DISK_SEEK_HOLE, 100, BLOCKS * BLOCK);
	SEEK(DISK_SEEK_DATA, 100, 100);
	CU_ASSERT_EQUAL(disk->stats.errors, 0);
	teardown();
}

static void test_range_seeks_where_all_is_data(void)
{
	setup();
	unit.is_mapped[0] = false;
	unit.is_garbled = true;
	SEEK(DISK_SEEK_DATA, 0, 0);
	SEEK(DISK_SEEK_HOLE, 0, BLOCKS * BLOCK);
	unit.is_garbled = false;
	unit.refuses_status = true;
	SEEK(DISK_SEEK_DATA, 7, 7);
	CU_ASSERT_STRING_EQUAL(sent, "G");
	SEEK(DISK_SEEK_HOLE, 7, BLOCKS * BLOCK);
	CU_ASSERT_STRING_EQUAL(sent, "");
	unit.refuses_status = disk->provision.refuses_status = false;
	disk->provision.has_zeros = false; /* holes that hold who knows what */
	SEEK(DISK_SEEK_HOLE, 0, BLOCKS * BLOCK);
	CU_ASSERT_STRING_EQUAL(sent, "");
	teardown();
}

/* --- copies --- */

static int start_copy(struct disk *from, uint64_t from_lba, uint64_t lba, uint64_t blocks)
{
	struct request *r = &request;

	memset(sent, 0, sizeof(sent));
	memset(r, 0, sizeof(*r));
	r->io.op = DISK_COPY;
	r->io.offset = lba * BLOCK;
	r->io.length = blocks * BLOCK;
	r->io.source = from;
	r->io.source_offset = from_lba * BLOCK;
	r->io.data = r->scratch;
	r->io.done = request_done;
	return disk_submit(disk, &r->io);
}

static int run_copy(struct disk *from, uint64_t from_lba, uint64_t lba, uint64_t blocks)
{
	int error = start_copy(from, from_lba, lba, blocks);

	if (error)
		return error;
	play();
	CU_ASSERT_EQUAL_FATAL(request.calls, 1);
	return request.result;
}

static void test_range_copies_within_the_unit(void)
{
	setup();
	disk->name_for_copy = (struct disk_name){ .naa = { 0x60, 0x01 }, .naa_bytes = 16,
						  .can_copy = true };
	for (unsigned i = 0; i < 1000 * BLOCK; i++)
		unit.store[i] = (uint8_t)(i / BLOCK + i);
	CU_ASSERT_EQUAL(run_copy(disk, 3, 2000, 900), 0);
	CU_ASSERT_STRING_EQUAL(sent, "C");
	CU_ASSERT_EQUAL(memcmp(unit.store + 2000 * BLOCK, unit.store + 3 * BLOCK, 900 * BLOCK), 0);
	CU_ASSERT_EQUAL(unit.store[2900 * BLOCK], 0xa5);
	CU_ASSERT_EQUAL(disk->stats.copied_bytes, 900 * BLOCK);
	CU_ASSERT_EQUAL(run_copy(disk, 3, 10, 100), -EINVAL); /* onto itself */
	CU_ASSERT_EQUAL(run_copy(disk, BLOCKS - 1, 10, 2), -EINVAL);
	unit.refuses_copy = true;
	CU_ASSERT_EQUAL(run_copy(disk, 3, 2000, 900), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, "C");
	CU_ASSERT_EQUAL(run_copy(disk, 3, 2000, 900), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, ""); /* learnt */
	teardown();
}

/* Its last LUN may become part of another disk meanwhile. */
static void test_range_copy_keeps_its_source(void)
{
	const uint8_t lun[8] = { 0, 4 };
	struct capacity c = { .blocks = BLOCKS, .block_bytes = BLOCK };
	struct disk *from;

	setup();
	from = disk_new(loop, NULL, NULL);
	CU_ASSERT_EQUAL(disk_set_geometry(from, &c, NULL), 0);
	disk->name_for_copy = (struct disk_name){ .naa = { 0x60, 0x01 }, .naa_bytes = 16,
						  .can_copy = true };
	from->name_for_copy = (struct disk_name){ .naa = { 0x60, 0x01 }, .naa_bytes = 16 };
	/* A target that does not have it could not copy from it. */
	CU_ASSERT_EQUAL(run_copy(from, 0, 2000, 10), -EOPNOTSUPP);
	CU_ASSERT_STRING_EQUAL(sent, "");
	disk_path_add(from, NULL, &session, lun);
	CU_ASSERT_EQUAL(start_copy(from, 0, 2000, 10), 0);
	disk_unref(from);
	loop_run_once(loop, 0);
	play();
	CU_ASSERT_EQUAL(request.result, 0);
	CU_ASSERT_STRING_EQUAL(sent, "C");
	teardown();
}

/* --- what units can --- */

static void test_range_abilities_of_a_unit_and_of_two(void)
{
	struct capacity c = { .is_thin = true };
	struct block_limits b = { .max_unmap_blocks = 100,
				  .max_unmap_descriptors = 1,
				  .unmap_granularity = 8,
				  .unmap_alignment = 3 };
	struct provisioning told = { .has_unmap = true, .has_zeros = true };
	struct disk_provision p, q;

	disk_provision_set(&p, &c, &b, &told);
	CU_ASSERT_TRUE(p.has_unmap && p.has_zeros && p.is_thin);
	CU_ASSERT_EQUAL(p.granularity, 8);
	CU_ASSERT_EQUAL(p.alignment, 0); /* its valid bit is off */
	b.max_unmap_descriptors = 0;
	disk_provision_set(&q, &c, &b, &told);
	CU_ASSERT_FALSE(q.has_unmap);
	b.max_unmap_descriptors = 1;
	b.max_unmap_blocks = 50;
	b.max_write_same_blocks = 7;
	disk_provision_set(&q, &c, &b, &told);
	disk_provision_add(&p, &q);
	CU_ASSERT_TRUE(p.has_unmap);
	CU_ASSERT_EQUAL(p.max_unmap_blocks, 50);
	CU_ASSERT_EQUAL(p.max_write_same_blocks, 7);
	b.unmap_granularity = 4;
	disk_provision_set(&q, &c, &b, &told);
	disk_provision_add(&p, &q);
	CU_ASSERT_FALSE(p.has_unmap);
	c.is_thin = false;
	disk_provision_set(&q, &c, &b, &told);
	CU_ASSERT_FALSE(disk_provision_can(&q, true));
}

UNIT_MAIN("disk_range", UNIT(test_range_hole_is_unmapped_and_checked),
	  UNIT(test_range_what_unmap_left_gets_zeros),
	  UNIT(test_range_check_goes_on_where_the_answer_ended),
	  UNIT(test_range_granules_and_limits),
	  UNIT(test_range_without_lba_status_write_same_unmaps),
	  UNIT(test_range_with_unmap_alone),
	  UNIT(test_range_no_hole_where_it_would_not_read_as_zeros),
	  UNIT(test_range_ways_that_are_refused),
	  UNIT(test_range_unmap_is_not_trusted_by_anothers_refusal),
	  UNIT(test_range_two_are_too_long_at_once),
	  UNIT(test_range_one_form_is_refused_of_several),
	  UNIT(test_range_ends_where_it_is_cancelled), UNIT(test_range_zeros),
	  UNIT(test_range_a_limit_that_was_not_told), UNIT(test_range_zeros_of_a_thick_unit),
	  UNIT(test_range_out_of_bounds_or_read_only),
	  UNIT(test_range_waits_for_a_write_of_a_part_of_a_block), UNIT(test_range_seeks),
	  UNIT(test_range_seeks_where_all_is_data),
	  UNIT(test_range_copies_within_the_unit), UNIT(test_range_copy_keeps_its_source),
	  UNIT(test_range_abilities_of_a_unit_and_of_two))
