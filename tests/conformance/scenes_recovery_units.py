# SPDX-License-Identifier: BSD-2-Clause
"""What a target tells by unit attentions and SCSI async messages: units come, go, grow and
shrink, and become others.  The tree follows, without a login."""

import errno
import os

import scsi
from common import (Codes, LOST, good_read, pattern, pattern_disk, reads, right, round_trip,
		    writes)
from harness import Job, scene
from scsi import make_sense
from target import Target

GONE = LOST + (errno.EBADF,)


def tell(t, sense, luns=None):
	"""Each unit of the session has this to say at the next command."""
	for number in luns or t.luns:
		t.sessions[-1].attention.setdefault(number, []).append(sense)


@scene
def recovery_15_lun_list_changed(s):
	"""3F/0E at a READ: the new unit appears, the one that went disappears; the READ is right."""
	t = s.target(luns={0: pattern_disk(), 1: pattern_disk(serial='ONE')})
	s.login(t)
	t.luns[7] = pattern_disk(serial='SEVEN')
	tell(t, scsi.LUNS_CHANGED, [0])
	good_read(s, t)
	s.wait(lambda: s.exists('targets', t.iqn, 'lun7', 'disk'), 'lun7 to appear')
	round_trip(s, t, 0, 8192, 7)
	gone = t.luns.pop(1)
	tell(t, scsi.LUNS_CHANGED, [0])
	good_read(s, t)
	s.wait(lambda: not s.exists('targets', t.iqn, 'lun1'), 'lun1 to go')
	t.luns[1] = gone
	tell(t, scsi.LUNS_CHANGED, [0, 7])
	good_read(s, t)
	s.wait(lambda: s.exists('targets', t.iqn, 'lun1', 'disk'), 'lun1 to come back')
	good_read(s, t, lun=1)
	s.equal(len(t.conns), 1, 'connections')


@scene
def recovery_15_lun_list_changed_async(s):
	"""3F/0E in an async message (event 0): the list is read again without any I/O."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	t.luns[3] = pattern_disk(serial='THREE')
	t.async_message(t.ffp_conns()[0], 0, sense=make_sense(*scsi.LUNS_CHANGED))
	s.wait(lambda: s.exists('targets', t.iqn, 'lun3', 'disk'), 'lun3 to appear')
	good_read(s, t, lun=3)


@scene
def recovery_15_unit_goes_while_open(s):
	"""A unit goes while its file is open and read: errors, never old bytes; others are unharmed."""
	t = s.target(luns={0: pattern_disk(), 1: pattern_disk(serial='ONE')})
	s.login(t)
	fd = s.job('open', os.open, s.disk(t, 1), os.O_RDONLY).result()
	try:
		del t.luns[1]
		tell(t, scsi.LUNS_CHANGED, [0])
		good_read(s, t)
		s.wait(lambda: not s.exists('targets', t.iqn, 'lun1'), 'lun1 to go')
		s.fails(Job('read of the unit that went', os.pread, fd, 4096, 65536), *GONE)
	finally:
		os.close(fd)
	good_read(s, t)


@scene
def recovery_15_rescan(s):
	"""rescan of the session finds units, too."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	t.luns[2] = pattern_disk(serial='TWO')
	s.command(s.session(t), 'rescan')
	s.check(s.exists('targets', t.iqn, 'lun2', 'disk'), 'lun2 is not there after rescan')
	good_read(s, t, lun=2)


def resize(disk, size):
	disk.store[len(disk.store):] = pattern(len(disk.store), max(0, size - len(disk.store)))
	del disk.store[size:]
	disk.blocks = size // disk.block_size


@scene
def recovery_16_capacity_changed(s):
	"""2A/09: size and st_size follow, up and down; new blocks are read, cut ones not."""
	t = s.target(luns={0: pattern_disk(1 << 20)})
	s.login(t)
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
	for size in (3 << 20, 2 << 20, 4 << 20):
		resize(t.luns[0], size)
		tell(t, scsi.CAPACITY_CHANGED)
		good_read(s, t)
		s.wait(lambda: s.cat('targets', t.iqn, 'lun0', 'size') == str(size), 'size %d' % size)
		s.equal(s.stat(s.disk(t)).st_size, size, 'st_size')
		s.check(s.read(t, size - 4096, 8192) == pattern(size - 4096, 4096), 'wrong data at the end')
		s.equal(s.read(t, size, 4096), b'', 'bytes beyond the end')
	round_trip(s, t, (4 << 20) - 8192, 8192)
	s.equal(len(t.conns), 1, 'connections')


@scene
def recovery_16_capacity_changed_async(s):
	"""2A/09 in an async message."""
	t = s.target(luns={0: pattern_disk(1 << 20)})
	s.login(t)
	resize(t.luns[0], 2 << 20)
	t.async_message(t.ffp_conns()[0], 0, lun=t.lun_of(0), sense=make_sense(*scsi.CAPACITY_CHANGED))
	s.wait(lambda: s.cat('targets', t.iqn, 'lun0', 'size') == str(2 << 20), 'the new size')


@scene
def recovery_16_grown_while_open(s):
	"""A file that was open when its unit grew: the new blocks can be written and read."""
	t = s.target(luns={0: pattern_disk(1 << 20)})
	s.login(t)
	fd = s.job('open', os.open, s.disk(t), os.O_RDWR).result()
	try:
		resize(t.luns[0], 2 << 20)
		tell(t, scsi.CAPACITY_CHANGED)
		s.check(s.read(t, 8192, 4096) == pattern(8192, 4096), 'wrong data')
		s.wait(lambda: s.cat('targets', t.iqn, 'lun0', 'size') == str(2 << 20), 'the new size')
		data = pattern(3 << 19, 4096, b'grown')
		s.equal(Job('write', os.pwrite, fd, data, 3 << 19).result(), 4096, 'bytes written')
		Job('fsync', os.fsync, fd).result()
		s.check(bytes(t.luns[0].store[3 << 19:(3 << 19) + 4096]) == data, 'not written')
	finally:
		os.close(fd)


@scene
def recovery_16_seen_by_open_files(s):
	"""Told by async message, without a command of ours: files that are open, through the page cache and
	with O_DIRECT, have the new size, grown and shrunk; its end is theirs."""
	t = s.target(luns={0: pattern_disk(1 << 20)})
	s.login(t)
	fds = [s.job('open', os.open, s.disk(t), os.O_RDWR | flag).result() for flag in (0, os.O_DIRECT)]
	try:
		for size in (3 << 20, 1 << 20, 2 << 20):
			resize(t.luns[0], size)
			before = len(reads(t)) + len(writes(t))
			t.async_message(t.ffp_conns()[0], 0, lun=t.lun_of(0), sense=make_sense(*scsi.CAPACITY_CHANGED))
			for fd in fds:
				s.wait(lambda: s.job('fstat', os.fstat, fd).result().st_size == size, 'st_size %d' % size)
			s.equal(len(reads(t)) + len(writes(t)), before, 'reads and writes')
			for fd in fds:
				end_is(s, fd, size)
			s.equal(bytes(t.luns[0].store[-4096:]), pattern(size - 4096, 4096), 'the last bytes')
		s.wait(lambda: sum('lun-resized' in x for x in s.event_lines()) == 3, 'three events')
	finally:
		for fd in fds:
			os.close(fd)


def end_is(s, fd, size):
	"""Reads give nothing beyond @size and what is there before it; writes ENOSPC, or the part that fits."""
	def read(offset, bytes):
		return Job('read', os.pread, fd, bytes, offset).result()

	def write(offset, bytes):
		return Job('write', os.pwrite, fd, pattern(offset, bytes), offset)
	s.equal(read(size, 4096), b'', 'bytes at the end')
	s.equal(read(size + (1 << 20), 4096), b'', 'bytes beyond the end')
	s.check(read(size - 4096, 8192) == pattern(size - 4096, 4096), 'wrong data before the end')
	s.equal(write(size - 4096, 8192).result(), 4096, 'bytes written over the end')
	s.fails(write(size, 4096), errno.ENOSPC)
	s.fails(write(size + (1 << 20), 4096), errno.ENOSPC)


@scene
def recovery_16_shrunk_under_io(s):
	"""The unit shrinks, and nobody is told but by 05/21/00: an error for what is cut off."""
	t = s.target(luns={0: pattern_disk(2 << 20)})
	s.login(t)
	resize(t.luns[0], 1 << 20)
	s.fails(s.read_job(t, 3 << 19, 4096))
	good_read(s, t)


@scene
def recovery_48_identity_changed(s):
	"""3F/03 or 3F/0E, and LUN 0 is another disk: ESTALE for who has it open, never its bytes."""
	for name, sense in (('inquiry', (0x06, 0x3F, 0x03)), ('list', scsi.LUNS_CHANGED)):
		t = s.target(luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:' + name)
		s.login(t)
		fd = s.job('open', os.open, s.disk(t), os.O_RDWR | os.O_DIRECT).result()
		try:
			other = pattern_disk(serial='OTHER')
			other.store[:] = pattern(0, len(other.store), b'other unit')
			t.luns[0] = other
			tell(t, sense)
			stale(s, t, fd)
		finally:
			os.close(fd)


def stale(s, t, fd):
	import mmap

	def read():
		with mmap.mmap(-1, 4096) as buf, memoryview(buf) as view:
			got = os.preadv(fd, [view], 65536)
			return bytes(view[:got])
	first = Job('read', read)
	if first.errno() == 0:		# it may have been on its way before the change was known
		s.check(first.result() != pattern(65536, 4096, b'other unit'), 'the bytes of another unit')
	s.wait(lambda: Job('read', read).errno() == errno.ESTALE, 'ESTALE for the open file', 30)


@scene
def recovery_49_attention_while_scanning(s):
	"""Unit attentions at each command of the LUN scan after a unit attention: it comes to an end."""
	class Nervous(Target):
		left = 0

		def run(self, task):
			if self.left and task.cdb[0] not in (scsi.INQUIRY, scsi.REPORT_LUNS, scsi.REQUEST_SENSE):
				self.left -= 1
				return scsi.Result.check(scsi.CAPACITY_CHANGED)
			return super().run(task)

	t = s.target(Nervous, luns={0: pattern_disk(1 << 20), 1: pattern_disk(1 << 20, serial='ONE')})
	s.login(t)
	resize(t.luns[0], 2 << 20)
	t.left = 4
	right(s, t, s.read_job(t, 0, 4096))
	s.wait(lambda: s.cat('targets', t.iqn, 'lun0', 'size') == str(2 << 20), 'the new size')
	good_read(s, t, lun=1)
	s.check(len(t.commands()) < 500, '%d commands' % len(t.commands()))


@scene
def recovery_50_attention_for_ever(s):
	"""A unit attention at every READ: an error at the deadline, not a busy loop."""
	t = s.target(Codes, luns={0: pattern_disk()})
	s.login(t)
	s.set(t, command_timeout=4)
	t.for_ever = scsi.LUNS_CHANGED
	s.fails(s.read_job(t, 0, 4096), *LOST)
	s.check(len(t.commands()) < 5000, '%d commands' % len(t.commands()))
	t.for_ever = None
	s.set(t, command_timeout=40)
	good_read(s, t)
