# SPDX-License-Identifier: BSD-2-Clause
"""What is safe when the target loses power: a unit with a volatile write cache forgets what was not asked to be kept.
Each scene asserts both: what had to be there, and what was lost (so that the unit's cache is known to be one)."""

import errno
import os

from common import pattern, writes
from harness import scene
from scsi import SYNC_CACHE_10, SYNC_CACHE_16, WRITES, Disk, Result, rw_range
from target import Target

POWER_ON = (0x06, 0x29, 0x01)		# POWER ON OCCURRED, and nothing else

SIZE = 1 << 20
PIECE = 8192


class Volatile(Disk):
	"""@store is what it shows, @medium what is left when the power goes."""

	def __init__(self, has_fua=True, **config):
		super().__init__(size=SIZE, **config)
		self.has_fua = has_fua
		self.medium = bytearray(self.store)
		self.syncs = 0

	def execute(self, cdb, data=b'', luns=(0,)):
		result = super().execute(cdb, data, luns)
		if result.status:
			return result
		if cdb[0] in (SYNC_CACHE_10, SYNC_CACHE_16):
			self.medium[:] = self.store
			self.syncs += 1
		elif cdb[0] in WRITES and self.has_fua and cdb[1] & 0x08:
			lba, blocks = rw_range(cdb)
			at = slice(lba * self.block_size, (lba + blocks) * self.block_size)
			self.medium[at] = self.store[at]
		return result

	def mode_sense_6(self, cdb):
		result = super().mode_sense_6(cdb)
		if result.status or self.has_fua:
			return result
		head = bytearray(result.data)
		head[2] &= ~0x10		# DPOFUA
		return Result(bytes(head))

	def power_fails(self):
		self.store[:] = self.medium


def logged_in(s, **config):
	disk = Volatile(**config)
	t = s.target(luns={0: disk})
	s.login(t)
	return t, disk


def crash(t, disk):
	"""The power fails, and is back at once."""
	for c in t.ffp_conns():
		c.close()
	disk.power_fails()


def open_disk(s, t, flags=0):
	return os.open(s.disk(t), os.O_RDWR | flags)


def settled(s, t, disk):
	"""Nothing is in its cache; how many SYNCHRONIZE CACHEs there were."""
	fd = open_disk(s, t)
	try:
		os.fsync(fd)
	finally:
		os.close(fd)
	return disk.syncs


def there(s, t, offset, want, what):
	s.check(s.read(t, offset, len(want)) == want, what)


@scene
def durability_1_fsync(s):
	"""What fsync and fdatasync acknowledged is there after a crash; what came after is not."""
	t, disk = logged_in(s)
	s.equal(s.cat('targets', t.iqn, 'lun0', 'write_cache'), 'yes', 'write_cache')
	s.equal(s.cat('targets', t.iqn, 'lun0', 'fua'), 'yes', 'fua')
	for n, sync in enumerate((os.fsync, os.fdatasync)):
		at = n * 4 * PIECE
		fd = open_disk(s, t)
		try:
			os.pwrite(fd, pattern(at, PIECE, b'safe'), at)
			sync(fd)
			os.pwrite(fd, pattern(at, PIECE, b'late'), at + PIECE)
		finally:
			os.close(fd)
		crash(t, disk)
		there(s, t, at, pattern(at, PIECE, b'safe'), 'what %s acknowledged is lost' % sync.__name__)
		there(s, t, at + PIECE, bytes(PIECE), 'nothing was lost: the scene is wrong')


@scene
def durability_2_fsync_of_another_descriptor(s):
	"""fsync is for all that was written before, by whomever; also when nothing was by this one."""
	t, disk = logged_in(s)
	s.write(t, 0, pattern(0, PIECE, b'one'), direct=False)
	s.write(t, PIECE, pattern(0, PIECE, b'two'), direct=True)
	fd = os.open(s.disk(t), os.O_RDONLY)
	try:
		os.fsync(fd)
	finally:
		os.close(fd)
	s.write(t, 2 * PIECE, pattern(0, PIECE, b'three'), direct=True)
	crash(t, disk)
	there(s, t, 0, pattern(0, PIECE, b'one') + pattern(0, PIECE, b'two'), 'what fsync acknowledged is lost')
	there(s, t, 2 * PIECE, bytes(PIECE), 'nothing was lost: the scene is wrong')


@scene
def durability_3_o_dsync(s):
	"""O_DSYNC and O_SYNC, buffered and direct: by FUA, without a SYNCHRONIZE CACHE."""
	t, disk = logged_in(s)
	synced = settled(s, t, disk)
	for n, flags in enumerate((os.O_DSYNC, os.O_SYNC, os.O_DSYNC | os.O_DIRECT)):
		at = n * PIECE
		job = s.job('write', write_aligned, s.disk(t), flags, pattern(at, PIECE, b'sync'), at)
		s.equal(job.result(), PIECE, 'bytes written')
	s.write(t, 8 * PIECE, pattern(0, PIECE, b'plain'), direct=True)
	s.equal(disk.syncs, synced, 'SYNCHRONIZE CACHE')
	crash(t, disk)
	for n in range(3):
		there(s, t, n * PIECE, pattern(n * PIECE, PIECE, b'sync'), 'what O_DSYNC wrote is lost')
	there(s, t, 8 * PIECE, bytes(PIECE), 'nothing was lost: the scene is wrong')


@scene
def durability_4_o_dsync_without_fua(s):
	"""A unit without FUA: the write, and a SYNCHRONIZE CACHE before it is acknowledged."""
	t, disk = logged_in(s, has_fua=False)
	s.equal(s.cat('targets', t.iqn, 'lun0', 'fua'), 'no', 'fua')
	synced = settled(s, t, disk)
	job = s.job('write', write_aligned, s.disk(t), os.O_DSYNC, pattern(0, PIECE, b'sync'), 0)
	s.equal(job.result(), PIECE, 'bytes written')
	s.equal(disk.syncs, synced + 1, 'SYNCHRONIZE CACHE')
	s.write(t, PIECE, pattern(0, PIECE, b'plain'), direct=True)
	crash(t, disk)
	there(s, t, 0, pattern(0, PIECE, b'sync'), 'what O_DSYNC wrote is lost')
	there(s, t, PIECE, bytes(PIECE), 'nothing was lost: the scene is wrong')
	s.check(not any(p.cdb[1] & 0x08 for p in writes(t)), 'FUA was sent to a unit that has none')


@scene
def durability_5_part_of_a_block(s):
	"""O_DSYNC within a block: the read-modify-write is durable as a whole."""
	t, disk = logged_in(s)
	s.write(t, 0, pattern(0, 4096, b'old'), direct=True, sync=True)
	fd = open_disk(s, t, os.O_DSYNC)
	try:
		os.pwrite(fd, b'in the middle', 700)
	finally:
		os.close(fd)
	crash(t, disk)
	want = bytearray(pattern(0, 4096, b'old'))
	want[700:713] = b'in the middle'
	there(s, t, 0, bytes(want), 'the write is lost')


@scene
def durability_6_close_makes_nothing_safe(s):
	"""close() is no fsync: documented, and so."""
	t, disk = logged_in(s)
	s.write(t, 0, pattern(0, PIECE, b'closed'), direct=False)
	s.equal(disk.syncs, 0, 'SYNCHRONIZE CACHE')
	there(s, t, 0, pattern(0, PIECE, b'closed'), 'what was written is not read')
	crash(t, disk)
	there(s, t, 0, bytes(PIECE), 'it was safe')


@scene
def durability_7_crash_during_fsync(s):
	"""The power fails while SYNCHRONIZE CACHE is under way: fsync does not say yes to what is gone."""
	class Dies(Target):
		is_armed = False

		def on_scsi_command(self, c, task):
			if not self.is_armed or task.cdb[0] not in (SYNC_CACHE_10, SYNC_CACHE_16):
				return False
			self.is_armed = False
			self.luns[0].power_fails()
			self.luns[0].unit_attention = [POWER_ON]
			c.close()
			return True

	disk = Volatile()
	t = s.target(Dies, luns={0: disk})
	s.login(t)
	fd = open_disk(s, t)
	try:
		os.pwrite(fd, pattern(0, PIECE, b'gone'), 0)
		t.is_armed = True
		try:
			os.fsync(fd)
			answer = 0
		except OSError as e:
			answer = e.errno
	finally:
		os.close(fd)
	s.check(s.read(t, 0, PIECE) == bytes(PIECE), 'nothing was lost: the scene is wrong')
	s.equal(answer, errno.EIO, 'errno of fsync, and what was written is gone')
	fd = open_disk(s, t)
	try:
		os.fsync(fd)			# told once
	finally:
		os.close(fd)
	s.check('cache-lost' in s.cat('events'), 'no event')


@scene
def durability_8_power_lost_between(s):
	"""The power fails while nothing is under way: the next fsync tells, not only the one that met it."""
	t, disk = logged_in(s)
	s.write(t, 0, pattern(0, PIECE, b'gone'), direct=True)
	disk.unit_attention = [POWER_ON]
	crash(t, disk)
	there(s, t, 0, bytes(PIECE), 'nothing was lost: the scene is wrong')
	fd = open_disk(s, t)
	try:
		s.write(t, PIECE, pattern(0, PIECE, b'new'), direct=True)
		try:
			os.fsync(fd)
			raise AssertionError('fsync succeeded, and what was written is gone')
		except OSError as e:
			s.equal(e.errno, errno.EIO, 'errno of fsync')
		os.fsync(fd)
	finally:
		os.close(fd)


@scene
def durability_9_reset_is_no_loss(s):
	"""29/00 is told after any reset, and by some targets to each new session: an event, no error."""
	t, disk = logged_in(s)
	s.write(t, 0, pattern(0, PIECE, b'kept'), direct=True)
	disk.unit_attention = [(0x06, 0x29, 0x00)]
	for c in t.ffp_conns():
		c.close()
	there(s, t, 0, pattern(0, PIECE, b'kept'), 'what was written is lost')
	fd = open_disk(s, t)
	try:
		os.fsync(fd)
	finally:
		os.close(fd)
	s.check('cache-in-doubt' in s.cat('events'), 'no event')


def write_aligned(path, flags, data, offset):
	import mmap
	fd = os.open(path, os.O_WRONLY | flags)
	try:
		with mmap.mmap(-1, len(data)) as page:
			page[:] = data
			return os.pwrite(fd, page, offset)
	finally:
		os.close(fd)
