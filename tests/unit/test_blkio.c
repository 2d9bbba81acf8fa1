/* SPDX-License-Identifier: BSD-2-Clause */
/* LUN data requests over a socket pair in the kernel's place: what is ours, what the ends of
 * the disk and a disk that is gone answer, and that pools are whole again afterwards. The disk
 * has no path, so that nothing is ever sent. */
#include "fuse/blkio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/daemon.h"
#include "base/wire.h"
#include "core/lun.h"
#include "fuse/node.h"
#include "unit.h"

#define DISK_BYTES (1024 * 512)

/* A session of the test's own: session.h's functions that the disk calls (so the linker leaves the
 * real ones out) keep what was submitted. */
static struct list submitted;

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
	t->is_short = false;
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
	(void)t;
	return false;
}

static const struct attr disk_row = { "disk", ATTR_DISK, .mode = 0644 };
static const struct attr size_row = { "size", ATTR_VALUE, .mode = 0444 };

struct fixture {
	struct loop *loop;
	struct blkio blkio;
	int kernel; /* our end of the pair */
	struct lun lun;
	struct node node;
	unsigned rooms;
};

static void nothing(struct object *o)
{
	object_done(o);
}

static void on_room(struct blkio *b)
{
	container_of(b, struct fixture, blkio)->rooms++;
}

static void start(struct fixture *f)
{
	int fds[2] = { -1, -1 };

	memset(f, 0, sizeof(*f));
	f->loop = loop_new();
	object_init(&f->lun.obj, f->loop, OBJECT_LUN, nothing);
	f->lun.disk = disk_new(f->loop, NULL, NULL);
	f->lun.disk->blocks = DISK_BYTES / 512;
	f->lun.disk->block_bytes = 512;
	f->lun.has_disk = true;
	f->node.obj = &f->lun.obj;
	f->node.row = &disk_row;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	CU_ASSERT_EQUAL_FATAL(blkio_init(&f->blkio, 4, NULL, on_room), 0);
	f->blkio.fd = fds[0];
	f->kernel = fds[1];
	fcntl(f->kernel, F_SETFL, O_NONBLOCK);
}

static void stop(struct fixture *f)
{
	struct blkio *b = &f->blkio;

	loop_run_once(f->loop, 0);
	CU_ASSERT_TRUE(blkio_is_idle(b));
	CU_ASSERT_EQUAL(b->ios.free_count, b->ios.count);
	CU_ASSERT_EQUAL(b->small.free_count, b->small.count);
	CU_ASSERT_EQUAL(b->big.free_count + (b->rx != NULL), b->big.count);
	close(b->fd);
	close(f->kernel);
	blkio_done(b);
	disk_unref(f->lun.disk);
	object_unref(&f->lun.obj);
	loop_free(f->loop);
}

/* A request of @arg and @data bytes behind it. */
static bool take(struct fixture *f, uint32_t opcode, const void *arg, size_t arg_bytes,
		 size_t data)
{
	struct fuse_in_header in = {
		.len = (uint32_t)(sizeof(in) + arg_bytes + data),
		.opcode = opcode,
		.unique = 77,
		.nodeid = (uintptr_t)&f->node,
	};

	CU_ASSERT_TRUE_FATAL(blkio_reserve(&f->blkio));
	memcpy(f->blkio.rx, &in, sizeof(in));
	memcpy(f->blkio.rx + sizeof(in), arg, arg_bytes);
	return blkio_take(&f->blkio, in.len);
}

static bool take_read(struct fixture *f, uint64_t offset, uint32_t bytes)
{
	struct fuse_read_in arg = { .offset = offset, .size = bytes };

	return take(f, FUSE_READ, &arg, sizeof(arg), 0);
}

static bool take_write(struct fixture *f, uint64_t offset, uint32_t bytes)
{
	struct fuse_write_in arg = { .offset = offset, .size = bytes };

	return take(f, FUSE_WRITE, &arg, sizeof(arg), bytes);
}

/* The answer came: @error (0 or negative) and so many bytes behind the header. */
static void assert_reply(struct fixture *f, int error, size_t bytes)
{
	uint8_t buf[4096];
	struct fuse_out_header out = { 0 };
	ssize_t n = read(f->kernel, buf, sizeof(buf));

	CU_ASSERT_EQUAL_FATAL(n, (ssize_t)(sizeof(out) + bytes));
	memcpy(&out, buf, sizeof(out));
	CU_ASSERT_EQUAL(out.len, (uint32_t)n);
	CU_ASSERT_EQUAL(out.unique, 77);
	CU_ASSERT_EQUAL(out.error, error);
	CU_ASSERT_TRUE(read(f->kernel, buf, sizeof(buf)) < 0);
}

static void test_blkio_reads_nothing_past_the_end(void)
{
	struct fixture f;

	start(&f);
	CU_ASSERT_TRUE(take_read(&f, DISK_BYTES, 4096));
	assert_reply(&f, 0, 0);
	CU_ASSERT_TRUE(take_read(&f, UINT64_MAX - 10, 4096));
	assert_reply(&f, 0, 0);
	CU_ASSERT_TRUE(take_read(&f, 0, 0));
	assert_reply(&f, 0, 0);
	stop(&f);
}

static void test_blkio_has_no_space_past_the_end(void)
{
	struct fixture f;

	start(&f);
	CU_ASSERT_TRUE(take_write(&f, DISK_BYTES, 512));
	assert_reply(&f, -ENOSPC, 0);
	CU_ASSERT_TRUE(take_write(&f, UINT64_MAX, 512));
	assert_reply(&f, -ENOSPC, 0);
	CU_ASSERT_TRUE(take_write(&f, DISK_BYTES, 0));
	assert_reply(&f, 0, sizeof(struct fuse_write_out));
	stop(&f);
}

static void test_blkio_without_a_path_is_an_io_error(void)
{
	struct fixture f;

	start(&f);
	CU_ASSERT_TRUE(take_read(&f, 0, 4096));
	assert_reply(&f, -EIO, 0);
	CU_ASSERT_TRUE(take_read(&f, 0, DISK_BYTES));
	assert_reply(&f, -EIO, 0);
	CU_ASSERT_TRUE(take_write(&f, 4, 4096));
	assert_reply(&f, -EIO, 0);
	stop(&f);
}

static void test_blkio_of_a_gone_lun_is_an_io_error(void)
{
	struct fixture f;
	struct fuse_fsync_in arg = { 0 };

	start(&f);
	f.lun.obj.is_gone = true;
	CU_ASSERT_TRUE(take_read(&f, 0, 4096));
	assert_reply(&f, -EIO, 0);
	CU_ASSERT_TRUE(take_write(&f, 0, 4096));
	assert_reply(&f, -EIO, 0);
	CU_ASSERT_TRUE(take(&f, FUSE_FSYNC, &arg, sizeof(arg), 0));
	assert_reply(&f, -EIO, 0);
	stop(&f);
}

static void test_blkio_takes_only_what_is_a_disks(void)
{
	struct fixture f;
	struct fuse_interrupt_in interrupt = { .unique = 5 };
	struct fuse_getattr_in getattr = { 0 };

	start(&f);
	CU_ASSERT_FALSE(take(&f, FUSE_GETATTR, &getattr, sizeof(getattr), 0));
	CU_ASSERT_FALSE(take(&f, FUSE_INTERRUPT, &interrupt, sizeof(interrupt), 0));
	CU_ASSERT_FALSE(take(&f, 4000, &getattr, sizeof(getattr), 0));
	f.node.row = &size_row;
	CU_ASSERT_FALSE(take_read(&f, 0, 4096));
	CU_ASSERT_FALSE(take_write(&f, 0, 4));
	stop(&f);
}

static void test_blkio_believes_no_length(void)
{
	struct fixture f;
	struct fuse_write_in write = { .size = 4096 };
	struct fuse_read_in read_arg = { .size = DISK_IO_BYTES_MAX + 1 };

	start(&f);
	CU_ASSERT_TRUE(
		take(&f, FUSE_WRITE, &write, sizeof(write), 100)); /* 4096 said, 100 there */
	assert_reply(&f, -EIO, 0);
	CU_ASSERT_TRUE(take(&f, FUSE_READ, &read_arg, 8, 0)); /* arguments cut short */
	assert_reply(&f, -EIO, 0);
	CU_ASSERT_TRUE(take(&f, FUSE_READ, &read_arg, sizeof(read_arg), 0));
	assert_reply(&f, -EINVAL, 0);
	CU_ASSERT_FALSE(blkio_take(&f.blkio, 10));
	stop(&f);
}

/* --- in pieces --- */

static struct session session;
static struct pool bounce;

/* A unit that takes four blocks a command. */
static void start_with_path(struct fixture *f)
{
	const uint8_t lun[8] = { 0 };
	struct path *p;

	start(f);
	list_init(&submitted);
	memset(&session, 0, sizeof(session));
	object_init(&session.obj, f->loop, OBJECT_SESSION, nothing);
	CU_ASSERT_EQUAL_FATAL(pool_init(&bounce, 2, DISK_BOUNCE_BYTES, 4096), 0);
	f->lun.disk->bounce = &bounce;
	f->lun.disk->max_command_blocks = 4;
	p = disk_path_add(f->lun.disk, &f->lun, &session, lun);
	p->is_verified = true;
	disk_path_update(p);
}

static unsigned count_submitted(void)
{
	unsigned count = 0;

	list_for_each(pos, &submitted)
		count++;
	return count;
}

/* The @i-th of them: a read gets the number of each block as its bytes. */
static void answer(unsigned i, uint8_t status)
{
	struct list *node = submitted.next;
	struct task *t;

	while (i--)
		node = node->next;
	t = list_entry(node, struct task, link);
	list_remove(&t->link);
	t->state = TASK_DONE;
	t->result = TASK_RESULT_RESPONDED;
	t->status = status;
	t->transferred = status ? 0 : t->data_bytes;
	for (uint32_t k = 0; !status && t->direction == TASK_READ && k < t->data_bytes; k++)
		t->data[k] = (uint8_t)(get_be32(t->cdb + 2) + k / 512);
	t->done(t);
}

static void stop_with_path(struct fixture *f)
{
	disk_path_remove(list_entry(list_first(&f->lun.disk->paths), struct path, link));
	object_gone(&session.obj);
	stop(f);
	pool_done(&bounce);
}

static void test_blkio_pieces_are_under_way_together(void)
{
	struct fixture f;
	struct fuse_out_header out;
	uint8_t buf[sizeof(out) + 64 * 512];
	unsigned together;

	start_with_path(&f);
	CU_ASSERT_TRUE(take_read(&f, 512, 64 * 512)); /* 16 pieces */
	together = count_submitted();
	CU_ASSERT_TRUE(together > 1);
	CU_ASSERT_TRUE(f.blkio.ios.free_count > 0); /* not all ios for one */
	while (count_submitted()) /* the last one first: in any order */
		answer(count_submitted() - 1, 0);
	CU_ASSERT_EQUAL(read(f.kernel, buf, sizeof(buf)), (ssize_t)sizeof(buf));
	memcpy(&out, buf, sizeof(out));
	CU_ASSERT_EQUAL(out.error, 0);
	CU_ASSERT_EQUAL(out.unique, 77);
	for (unsigned i = 0; i < 64; i++)
		CU_ASSERT_EQUAL(buf[sizeof(out) + i * 512 + 100], 1 + i);
	stop_with_path(&f);
}

static void test_blkio_pieces_begin_at_blocks(void)
{
	struct fixture f;

	start_with_path(&f);
	CU_ASSERT_TRUE(take_read(&f, 100, 8 * 512)); /* of nine blocks, two in part */
	list_for_each(pos, &submitted) {
		const struct task *t = list_entry(pos, struct task, link);

		CU_ASSERT_EQUAL(get_be32(t->cdb + 2) % 4, 0);
		CU_ASSERT_TRUE(get_be16(t->cdb + 7) <= 4);
	}
	while (count_submitted())
		answer(0, 0);
	{
		uint8_t buf[sizeof(struct fuse_out_header) + 8 * 512];

		CU_ASSERT_EQUAL(read(f.kernel, buf, sizeof(buf)), (ssize_t)sizeof(buf));
		CU_ASSERT_EQUAL(buf[sizeof(struct fuse_out_header)], 0);
		CU_ASSERT_EQUAL(buf[sizeof(buf) - 1], 8);
	}
	stop_with_path(&f);
}

static void test_blkio_a_piece_that_fails_is_the_answer(void)
{
	struct fixture f;

	start_with_path(&f);
	CU_ASSERT_TRUE(take_write(&f, 0, 64 * 512));
	answer(1, 0x30); /* ACA ACTIVE */
	CU_ASSERT_TRUE(read(f.kernel, &(char){ 0 }, 1) < 0); /* not before the others are back */
	while (count_submitted())
		answer(0, 0);
	assert_reply(&f, -EIO, 0);
	stop_with_path(&f);
}

static void test_blkio_pieces_of_a_write(void)
{
	struct fixture f;
	uint64_t blocks = 0;

	start_with_path(&f);
	CU_ASSERT_TRUE(take_write(&f, 0, 64 * 512));
	while (count_submitted()) {
		blocks += get_be16(list_entry(submitted.next, struct task, link)->cdb + 7);
		answer(0, 0);
	}
	CU_ASSERT_EQUAL(blocks, 64);
	assert_reply(&f, 0, sizeof(struct fuse_write_out));
	stop_with_path(&f);
}

UNIT_MAIN("blkio", UNIT(test_blkio_pieces_are_under_way_together),
	  UNIT(test_blkio_pieces_begin_at_blocks),
	  UNIT(test_blkio_a_piece_that_fails_is_the_answer), UNIT(test_blkio_pieces_of_a_write),
	  UNIT(test_blkio_reads_nothing_past_the_end),
	  UNIT(test_blkio_has_no_space_past_the_end),
	  UNIT(test_blkio_without_a_path_is_an_io_error),
	  UNIT(test_blkio_of_a_gone_lun_is_an_io_error),
	  UNIT(test_blkio_takes_only_what_is_a_disks), UNIT(test_blkio_believes_no_length))
