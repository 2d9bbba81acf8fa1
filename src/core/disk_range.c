/* SPDX-License-Identifier: BSD-2-Clause */
/* Punching, zeroing and seeking: disk_range.h has the ways and steps. Nothing is allocated: an
 * UNMAP's parameters and GET LBA STATUS data are in the scratch memory of the request's sender,
 * zeros are in the program. */
#include "core/disk_range.h"

#include <assert.h>
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "core/disk.h"
#include "scsi/cdb.h"

/* In bytes, what one command may be asked for even if the target sets no limit: it must be done
 * in the time of one command, where blocks have to be written. */
#define WRITE_SAME_BYTES_MAX (64u << 20)
#define UNMAP_BYTES_MAX (1u << 30)
/* After a refusal, when it told no limit: it may have one (LIO has: 4096 blocks). */
#define WRITE_SAME_BYTES_SMALL (1u << 20)
#define COPY_BYTES_MAX (16u << 20)
#define WRITE_SAME_UNMAP_BIT 0x08 /* in byte 1 of the CDB */
/* A seek over a disk in shreds: after that many commands the rest counts as data. */
#define SEEK_COMMANDS_MAX 4096

static uint8_t zeros[DISK_BLOCK_BYTES_MAX]; /* never written */

/* --- what the unit can --- */

void disk_provision_set(struct disk_provision *p, const struct capacity *c,
			const struct block_limits *b, const struct provisioning *told)
{
	*p = (struct disk_provision){
		.is_thin = c->is_thin,
		.has_zeros = c->zeros_after_unmap || told->has_zeros,
		.has_unmap = c->is_thin && told->has_unmap && b->max_unmap_blocks &&
			     b->max_unmap_descriptors,
		.has_write_same_unmap = c->is_thin && told->has_write_same_unmap,
		.max_unmap_blocks = b->max_unmap_blocks,
		.granularity = MAX(b->unmap_granularity, 1),
		.alignment = b->has_unmap_alignment ? b->unmap_alignment : 0,
		.max_write_same_blocks = b->max_write_same_blocks,
	};
}

static uint64_t lesser_limit(uint64_t a, uint64_t b)
{
	return a && b ? MIN(a, b) : MAX(a, b);
}

void disk_provision_add(struct disk_provision *p, const struct disk_provision *other)
{
	p->is_thin &= other->is_thin;
	p->has_zeros &= other->has_zeros;
	p->has_unmap &= other->has_unmap && p->granularity == other->granularity &&
			p->alignment == other->alignment;
	p->has_write_same_unmap &= other->has_write_same_unmap;
	p->max_unmap_blocks = MIN(p->max_unmap_blocks, other->max_unmap_blocks);
	p->max_write_same_blocks =
		lesser_limit(p->max_write_same_blocks, other->max_write_same_blocks);
}

static bool can_unmap(const struct disk_provision *p)
{
	return p->has_unmap && p->has_zeros && !p->refuses_unmap;
}

static bool can_check(const struct disk_provision *p)
{
	return p->is_thin && !p->refuses_status;
}

static bool can_same_unmap(const struct disk_provision *p)
{
	return p->has_write_same_unmap && p->has_zeros && !p->refuses_write_same_unmap;
}

/* The way: its first step, or false. */
static bool find_way(const struct disk_provision *p, bool is_punch, enum disk_range_step *ret)
{
	if (is_punch && can_unmap(p) && (can_check(p) || !can_same_unmap(p)))
		*ret = RANGE_UNMAP;
	else if (can_same_unmap(p))
		*ret = RANGE_SAME_UNMAP;
	else if (!is_punch && !p->refuses_write_same)
		*ret = RANGE_SAME;
	else
		return false;
	return true;
}

bool disk_provision_can(const struct disk_provision *p, bool is_punch)
{
	enum disk_range_step step;

	return find_way(p, is_punch, &step);
}

/* A target that does not have the source could take another unit for it. */
static bool is_source_everywhere(const struct disk *from, const struct disk *to)
{
	list_for_each(pos, &to->paths)
		if (!disk_path_find(from, list_entry(pos, struct path, link)->session))
			return false;
	return true;
}

bool disk_can_copy(const struct disk *from, const struct disk *to)
{
	return to->name_for_copy.can_copy && from->name_for_copy.naa_bytes &&
	       to->name_for_copy.naa_bytes && from->block_bytes == to->block_bytes &&
	       is_source_everywhere(from, to);
}

bool disk_range_is(const struct disk_io *io)
{
	return io->op >= DISK_PUNCH;
}

static bool is_seek(const struct disk_io *io)
{
	return io->op == DISK_SEEK_DATA || io->op == DISK_SEEK_HOLE;
}

bool disk_range_is_exact(const struct disk *d, const struct disk_io *io)
{
	switch (io->range.step) {
	case RANGE_CHECK:
	case RANGE_STATUS:
		return false;
	case RANGE_UNMAP:
		return !can_check(&d->provision);
	default:
		return true;
	}
}

static uint64_t end_lba(const struct disk_io *io)
{
	return io->lba + io->blocks;
}

/* --- the next command --- */

static uint64_t limit_blocks(const struct disk *d, uint64_t told, uint32_t bytes_max)
{
	return lesser_limit(told, MAX(bytes_max / d->block_bytes, 1));
}

/* The first block at @lba or after it where a granule begins. */
static uint64_t granule_after(const struct disk_provision *p, uint64_t lba)
{
	uint64_t past = (lba + p->granularity - p->alignment % p->granularity) % p->granularity;

	return past ? lba + p->granularity - past : lba;
}

/* How many blocks from next_lba on, which begins a granule, one UNMAP can take; 0: not one
 * granule is left. A unit whose limit is less than its granule gets what it can take. */
static uint64_t unmap_blocks(const struct disk *d, const struct disk_io *io)
{
	const struct disk_provision *p = &d->provision;
	uint64_t most = limit_blocks(d, p->max_unmap_blocks, UNMAP_BYTES_MAX);
	uint64_t left = end_lba(io) - io->next_lba;

	left -= left % p->granularity;
	if (most > p->granularity)
		most -= most % p->granularity;
	return MIN(left, most);
}

static void plan_unmap(const struct disk *d, struct disk_io *io)
{
	uint64_t begin = granule_after(&d->provision, io->next_lba);
	uint64_t blocks;

	io->range.unmap_end = 0;
	io->range.fill_end = MIN(begin, end_lba(io));
	io->range.step = RANGE_FILL;
	if (begin > io->next_lba)
		return;
	io->range.fill_end = end_lba(io);
	blocks = unmap_blocks(d, io);
	if (!blocks)
		return;
	io->range.step = RANGE_UNMAP;
	io->range.unmap_end = io->next_lba + blocks;
}

/* From next_lba on. 0: send; 1: complete; -EOPNOTSUPP. */
static int plan(const struct disk *d, struct disk_io *io)
{
	if (io->next_lba == end_lba(io))
		return 1;
	if (io->op == DISK_COPY) {
		io->range.step = RANGE_COPY;
		return disk_can_copy(io->source, d) ? 0 : -EOPNOTSUPP;
	}
	if (!find_way(&d->provision, io->op == DISK_PUNCH, &io->range.step))
		return -EOPNOTSUPP;
	if (io->range.step == RANGE_UNMAP)
		plan_unmap(d, io);
	return 0;
}

static int move_to(const struct disk *d, struct disk_io *io, uint64_t lba)
{
	io->next_lba = lba;
	return plan(d, io);
}

/* --- seeking --- */

/* It ends at @lba, or in the block in the middle of which it began. */
static int seek_found(const struct disk *d, struct disk_io *io, uint64_t lba)
{
	io->found = MAX(io->offset, lba * d->block_bytes);
	return 1;
}

/* From next_lba on nothing is known: that is data. */
static int seek_unknown(const struct disk *d, struct disk_io *io)
{
	return seek_found(d, io, io->op == DISK_SEEK_DATA ? io->next_lba : d->blocks);
}

static int seek_advance(const struct disk *d, struct disk_io *io)
{
	bool is_for_data = io->op == DISK_SEEK_DATA;
	uint64_t end, lba = provision_find(io->data, io->task.transferred, io->next_lba,
					   is_for_data, &end);

	if (lba >= d->blocks) {
		io->found = disk_bytes(d);
		return is_for_data ? -ENXIO : 1;
	}
	if (end)
		return seek_found(d, io, lba);
	if (lba == io->next_lba || ++io->range.commands > SEEK_COMMANDS_MAX) {
		io->next_lba = lba;
		return seek_unknown(d, io);
	}
	io->next_lba = lba;
	return 0;
}

/* --- steps --- */

int disk_range_begin(struct disk *d, struct disk_io *io)
{
	io->range = (struct disk_range){ .step = RANGE_STATUS };
	if (!is_seek(io))
		return plan(d, io);
	return can_check(&d->provision) && d->provision.has_zeros ? 0 : seek_unknown(d, io);
}

static void build_status(struct disk_io *io, uint64_t lba)
{
	struct task *t = &io->task;

	t->cdb_bytes = (uint8_t)cdb_get_lba_status(t->cdb, lba, DISK_RANGE_SCRATCH_BYTES);
	t->direction = TASK_READ;
	t->data = io->data;
	t->data_bytes = DISK_RANGE_SCRATCH_BYTES;
}

static void build_unmap(struct disk_io *io)
{
	struct task *t = &io->task;

	provision_unmap(io->data, io->next_lba, (uint32_t)(io->range.unmap_end - io->next_lba));
	t->cdb_bytes = (uint8_t)cdb_unmap(t->cdb, PROVISION_UNMAP_BYTES);
	t->direction = TASK_WRITE;
	t->data = io->data;
	t->data_bytes = PROVISION_UNMAP_BYTES;
}

static void build_same(const struct disk *d, struct disk_io *io, uint64_t end)
{
	uint64_t most =
		limit_blocks(d, d->provision.max_write_same_blocks, WRITE_SAME_BYTES_MAX);
	struct task *t = &io->task;

	io->command_blocks = (uint32_t)MIN(most, end - io->next_lba);
	t->cdb_bytes = (uint8_t)cdb_write_same(
		t->cdb, io->next_lba, io->command_blocks,
		io->range.step == RANGE_SAME_UNMAP ||
			(io->range.step == RANGE_FILL && can_same_unmap(&d->provision)));
	t->direction = TASK_WRITE;
	t->data = zeros;
	t->data_bytes = d->block_bytes;
}

static struct copy_end end_of(const struct disk *d, uint64_t lba)
{
	struct copy_end e = { .naa_bytes = d->name_for_copy.naa_bytes,
			      .block_bytes = d->block_bytes,
			      .lba = lba };

	memcpy(e.naa, d->name_for_copy.naa, sizeof(e.naa));
	return e;
}

static void build_copy(const struct disk *d, struct disk_io *io)
{
	uint64_t most = MIN(limit_blocks(d, 0, COPY_BYTES_MAX), COPY_BLOCKS_MAX);
	struct copy_end to = end_of(d, io->next_lba);
	struct copy_end from = end_of(io->source, io->source_offset / d->block_bytes +
							  (io->next_lba - io->lba));
	struct task *t = &io->task;

	io->command_blocks = (uint32_t)MIN(most, end_lba(io) - io->next_lba);
	copy_encode(io->data, &from, &to, (uint16_t)io->command_blocks);
	t->cdb_bytes = (uint8_t)copy_cdb(t->cdb);
	t->direction = TASK_WRITE;
	t->data = io->data;
	t->data_bytes = COPY_BYTES;
}

/* For a unit without WRITE SAME. */
static void build_zeros(const struct disk *d, struct disk_io *io)
{
	uint64_t most = MIN(d->max_command_blocks, sizeof(zeros) / d->block_bytes);
	struct task *t = &io->task;

	io->command_blocks = (uint32_t)MIN(most, io->range.fill_end - io->next_lba);
	t->cdb_bytes = (uint8_t)cdb_write(t->cdb, io->next_lba, io->command_blocks, false);
	t->direction = TASK_WRITE;
	t->data = zeros;
	t->data_bytes = io->command_blocks * d->block_bytes;
}

void disk_range_build(const struct disk *d, struct disk_io *io)
{
	switch (io->range.step) {
	case RANGE_UNMAP:
		build_unmap(io);
		break;
	case RANGE_CHECK:
	case RANGE_STATUS:
		build_status(io, io->next_lba);
		break;
	case RANGE_FILL:
		if (d->provision.refuses_write_same && !can_same_unmap(&d->provision))
			build_zeros(d, io);
		else
			build_same(d, io, io->range.fill_end);
		break;
	case RANGE_SAME:
	case RANGE_SAME_UNMAP:
		build_same(d, io, end_lba(io));
		break;
	case RANGE_COPY:
		build_copy(d, io);
		break;
	}
}

/* What is mapped still, or not told of, gets zeros; then it goes on behind that. */
static int check_advance(const struct disk *d, struct disk_io *io)
{
	struct disk_range *r = &io->range;
	uint64_t end,
		lba = provision_find(io->data, io->task.transferred, io->next_lba, true, &end);

	if (lba >= r->unmap_end)
		return move_to(d, io, r->unmap_end);
	if (!end && lba > io->next_lba) { /* there is more to be told */
		io->next_lba = lba;
		return 0;
	}
	io->next_lba = lba;
	r->step = RANGE_FILL;
	r->fill_end = end ? MIN(end, r->unmap_end) : r->unmap_end;
	return 0;
}

static int fill_advance(const struct disk *d, struct disk_io *io)
{
	io->next_lba += io->command_blocks;
	if (io->next_lba < io->range.fill_end)
		return 0;
	if (io->next_lba >= io->range.unmap_end)
		return plan(d, io);
	io->range.step = RANGE_CHECK;
	return 0;
}

int disk_range_advance(struct disk *d, struct disk_io *io)
{
	if (io->is_cancelled)
		return -EINTR;
	switch (io->range.step) {
	case RANGE_UNMAP:
		if (!can_check(&d->provision)) /* not any more, perhaps: see find_way() */
			return can_same_unmap(&d->provision)
				       ? plan(d, io)
				       : move_to(d, io, io->range.unmap_end);
		io->range.step = RANGE_CHECK;
		return 0;
	case RANGE_CHECK:
		return check_advance(d, io);
	case RANGE_STATUS:
		return seek_advance(d, io);
	case RANGE_FILL:
		return fill_advance(d, io);
	case RANGE_SAME:
	case RANGE_SAME_UNMAP:
	case RANGE_COPY:
		return move_to(d, io, io->next_lba + io->command_blocks);
	}
	return -EIO;
}

/* Was that WRITE SAME perhaps just too long, or of a form that is known by now not to do? Others are
 * under way at the same time: only a refusal of what still counts as possible says anything new. */
static void refused_write_same(struct disk *d, const struct disk_io *io)
{
	struct disk_provision *p = &d->provision;
	uint32_t small = MAX(WRITE_SAME_BYTES_SMALL / d->block_bytes, 1);
	bool may_unmap = io->task.cdb[1] & WRITE_SAME_UNMAP_BIT;

	if (p->max_write_same_blocks && io->command_blocks > p->max_write_same_blocks)
		return;
	if (!p->max_write_same_blocks && io->command_blocks > small)
		p->max_write_same_blocks = small;
	else if (may_unmap)
		p->refuses_write_same_unmap = true;
	else
		p->refuses_write_same = true;
}

int disk_range_refused(struct disk *d, struct disk_io *io)
{
	struct disk_provision *p = &d->provision;

	switch (io->task.cdb[0]) {
	case SCSI_UNMAP:
		p->refuses_unmap = true;
		return plan(d, io);
	case SCSI_WRITE_SAME_16:
		refused_write_same(d, io);
		/* disk_range_build() finds what is left */
		return io->range.step == RANGE_FILL ? 0 : plan(d, io);
	case SCSI_SERVICE_ACTION_IN_16:
		p->refuses_status = true;
		if (io->range.step == RANGE_STATUS)
			return seek_unknown(d, io);
		/* Was it unmapped? WRITE SAME can tell, where there is that. */
		return can_same_unmap(p) ? plan(d, io) : move_to(d, io, io->range.unmap_end);
	case SCSI_EXTENDED_COPY:
		d->name_for_copy.can_copy = false;
		return -EOPNOTSUPP;
	default: /* a plain WRITE of zeros */
		return -EOPNOTSUPP;
	}
}
