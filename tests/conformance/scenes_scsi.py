# SPDX-License-Identifier: BSD-2-Clause
"""SCSI through the tree: many LUNs, sizes, sense data to errnos, residuals."""

import errno

import scsi
from common import LOST, HoldReads, is_read, is_write, pattern, pattern_disk, reads, right, round_trip, writes
from harness import scene
from pdu import Op
from scsi import CHECK, Disk, GOOD, Result, make_sense
from target import Target

IO = (errno.EIO,)
PREFIX = 'iqn.2026-01.org.iscsifs.test:'


@scene
def luns_1_numbers_over_255(s):
	"""LUNs 0, 255, 256, 300 and 16383, by flat addressing."""
	numbers = (0, 255, 256, 300, 16383)
	t = s.target(luns={n: pattern_disk(1 << 20, serial='LUN%05d' % n) for n in numbers})
	s.login(t)
	for n in numbers:
		s.equal(int(s.cat('targets', t.iqn, 'lun%d' % n, 'size')), 1 << 20, 'size of lun%d' % n)
		round_trip(s, t, 0, 4096, n)


@scene
def luns_2_list_of_600(s):
	"""A REPORT LUNS list of 600: asked again with room for all."""
	disk = Disk(size=1 << 20)
	t = s.target(luns={n: disk for n in range(600)}, window=64)
	s.login(t)
	names = [n for n in s.ls('targets', t.iqn) if n.startswith('lun')]
	s.equal(len(names), 600, 'LUN directories')


@scene
def luns_3_no_lun_0(s):
	"""No LUN 0: the others are found."""
	t = s.target(luns={3: pattern_disk(), 7: pattern_disk(serial='SEVEN')})
	s.login(t)
	names = [n for n in s.ls('targets', t.iqn) if n.startswith('lun')]
	s.equal(sorted(names), ['lun3', 'lun7'], 'LUN directories')
	round_trip(s, t, 0, 4096, 7)


@scene
def luns_4_odd_report_luns(s):
	"""A list with other addressing methods, duplicates, a wrong length: no crash."""
	class Odd(Target):
		answer = b''

		def on_scsi_command(self, c, task):
			if task.cdb[0] != scsi.REPORT_LUNS:
				return False
			size = int.from_bytes(task.cdb[6:10], 'big')
			self.finish(task, Result(self.answer[:size]))
			return True

	lun = bytes(8)
	good = (8).to_bytes(4, 'big') + bytes(4) + lun
	for n, answer in enumerate(((24).to_bytes(4, 'big') + bytes(4) + lun + lun + b'\xc1\1' + bytes(6),
			(0xFFFFFFF8).to_bytes(4, 'big') + bytes(4) + lun, (9).to_bytes(4, 'big') + bytes(4) + lun + b'\0',
			b'\0\0\0', b'', (0).to_bytes(4, 'big') + bytes(4), good)):
		t = s.target(Odd, answer=answer, iqn='iqn.2026-01.org.iscsifs.test:odd%d' % n)
		s.try_login(t, timeout=30)
		s.check(s.exists('ctl'), 'the daemon is gone after list %d' % n)
	round_trip(s, t, 0, 4096)


@scene
def disk_1_attributes(s):
	"""size, block_size, vendor, product, serial, wwid, and the mode of a disk."""
	t = s.target(luns={0: Disk(block_size=4096, size=8 << 20), 1: Disk(write_protect=True, serial='RO')})
	s.login(t)
	lun = ('targets', t.iqn, 'lun0')
	s.equal(s.cat(*lun, 'size'), str(8 << 20), 'size')
	s.equal(s.cat(*lun, 'block_size'), '4096', 'block_size')
	s.equal(s.cat(*lun, 'vendor').strip(), 'ISCSIFS', 'vendor')
	s.equal(s.cat(*lun, 'product').strip(), 'SCRIPTED DISK', 'product')
	s.equal(s.cat(*lun, 'serial').strip(), 'CONF0001', 'serial')
	s.check('60014050' in s.cat(*lun, 'wwid'), 'wwid: ' + s.cat(*lun, 'wwid'))
	s.equal(s.stat(s.disk(t)).st_size, 8 << 20, 'st_size of disk')
	s.equal(s.stat(s.disk(t, 1)).st_mode & 0o222, 0, 'write bits of a protected disk')


@scene
def disk_2_beyond_the_end(s):
	"""Reads at the end are short, beyond it empty; writes beyond fail; nothing is sent."""
	t = s.target(luns={0: pattern_disk(1 << 20)})
	s.login(t)
	s.equal(len(s.read(t, (1 << 20) - 4096, 8192)), 4096, 'bytes at the end')
	s.equal(len(s.read(t, 1 << 20, 4096)), 0, 'bytes beyond the end')
	s.fails(s.write_job(t, 1 << 20, bytes(4096)), errno.ENOSPC, errno.EFBIG, errno.EIO)
	for p in reads(t) + writes(t):
		lba, count = scsi.rw_range(p.cdb)
		s.check(lba + count <= 2048, 'LBA beyond the capacity was asked')


def sense_scene(s, sense, errnos, write=False):
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	t.luns[0].errors = {130: sense}			# byte 66560
	job = s.write_job(t, 65536, bytes(4096)) if write else s.read_job(t, 65536, 4096)
	s.fails(job, *errnos)
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'other blocks cannot be read any more')
	t.luns[0].errors = {}
	s.check(s.read(t, 65536, 4096) == pattern(65536, 4096), 'wrong data when the error is gone')


@scene
def sense_1_medium_error(s):
	"""03/11/00: EIO, only for those blocks, and old bytes never."""
	sense_scene(s, scsi.READ_ERROR, IO)


@scene
def sense_2_write_error(s):
	"""03/0C/00 on a write: EIO."""
	sense_scene(s, scsi.WRITE_ERROR, IO, write=True)


@scene
def sense_3_hardware_error(s):
	"""04/44/00: EIO."""
	sense_scene(s, scsi.HARDWARE_ERROR, IO)


@scene
def sense_4_illegal_lba(s):
	"""05/21/00: an error."""
	sense_scene(s, scsi.LBA_OUT_OF_RANGE, (errno.EIO, errno.EINVAL, errno.ENXIO, errno.ENOSPC))


@scene
def sense_5_not_ready(s):
	"""02/04/03 (manual intervention): an error, soon."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	t.luns[0].ready = scsi.NOT_READY
	s.fails(s.read_job(t, 0, 4096), errno.EIO, errno.EAGAIN, errno.EBUSY, errno.ENXIO, errno.ENODEV)
	t.luns[0].ready = None
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data when it is ready')


@scene
def sense_6_write_protect(s):
	"""07/27/00 at a write: EROFS or EPERM; known at login: mode 0444, open refused."""
	t = s.target(luns={0: pattern_disk(), 1: pattern_disk(write_protect=True, serial='RO')})
	s.login(t)
	t.luns[0].write_protect = True			# behind the initiator's back
	s.fails(s.write_job(t, 0, bytes(4096)), errno.EROFS, errno.EPERM, errno.EACCES)
	s.fails(s.write_job(t, 0, bytes(4096), lun=1), errno.EROFS, errno.EPERM, errno.EACCES)
	s.check(s.read(t, 0, 4096, lun=1) == pattern(0, 4096), 'wrong data')
	s.check(t.luns[1].store[:4096] == pattern(0, 4096), 'a protected disk was written')


@scene
def sense_7_unit_attention(s):
	"""Unit attentions at login and at I/O are taken, and the command is issued again."""
	disk = pattern_disk()
	disk.unit_attention = [scsi.POWER_ON] * 2
	t = s.target(luns={0: disk})
	s.login(t)
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
	disk.unit_attention = [scsi.POWER_ON]
	s.check(s.read(t, 8192, 4096) == pattern(8192, 4096), 'wrong data after a unit attention')
	disk.unit_attention = [(0x06, 0x47, 0x7F)]	# some commands cleared by iSCSI (11.14.5)
	round_trip(s, t, 16384, 4096)


@scene
def sense_8_odd_sense_data(s):
	"""Descriptor format, short, none, lying SenseLength: an error each time, no crash."""
	class Odd(Target):
		data = None

		def on_scsi_command(self, c, task):
			if self.data is None or not is_read(task):
				return False
			self.respond(task, CHECK, wanted=0, data=self.data)
			return True

	descriptor = bytes((0x72, 0x03, 0x11, 0x00, 0, 0, 0, 0))
	fixed = make_sense(*scsi.READ_ERROR)
	cases = [(8).to_bytes(2, 'big') + descriptor, (2).to_bytes(2, 'big') + fixed[:2],
		(500).to_bytes(2, 'big') + fixed, (0).to_bytes(2, 'big'), b'\0', (18).to_bytes(2, 'big') + bytes(18),
		(1).to_bytes(2, 'big') + b'\x70', (252).to_bytes(2, 'big') + fixed + bytes(234),
		(3).to_bytes(2, 'big') + b'\x7f\xff\xff']
	for n, data in enumerate(cases):
		t = s.target(Odd, luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:sense%d' % n)
		s.login(t)
		t.data = data
		s.fails(s.read_job(t, 0, 4096), *LOST)
	s.check(s.exists('ctl'), 'the daemon is gone')


@scene
def sense_9_check_without_sense(s):
	"""CHECK CONDITION with no data segment is a format error (7.7): never success."""
	class Bare(Target):
		armed = False

		def on_scsi_command(self, c, task):
			if self.armed and is_read(task):
				self.armed = False
				self.respond(task, CHECK, wanted=0)
				return True

	t = s.target(Bare, luns={0: pattern_disk()})
	s.login(t)
	t.armed = True
	job = s.read_job(t, 0, 4096)
	if job.errno() == 0:
		s.check(len(reads(t)) > 1, 'the read succeeded')
		s.check(job.result() == pattern(0, 4096), 'wrong data')


@scene
def status_1_target_failure(s):
	"""iSCSI response code 1 and vendor codes: an error, whatever the status field says."""
	class Fails(Target):
		code = 0

		def on_scsi_command(self, c, task):
			if self.code and is_read(task):
				self.respond(task, GOOD, response=self.code)
				return True

	t = s.target(Fails, luns={0: pattern_disk()})
	s.login(t, command_timeout=3)
	for code in (1, 0x80, 0xFF, 2):
		if not s.exists('targets', t.iqn, 'lun0', 'disk'):
			s.relogin(t)
		t.code = code
		s.fails(s.read_job(t, 0, 4096), *LOST)
		t.code = 0


@scene
def status_2_unknown_status(s):
	"""SCSI status values that say neither good nor known: an error."""
	class Odd(Target):
		code = 0

		def on_scsi_command(self, c, task):
			if self.code and is_read(task):
				self.respond(task, self.code, wanted=0)
				return True

	t = s.target(Odd, luns={0: pattern_disk()})
	s.login(t)
	for code in (0x30, 0x40, 0x7F, 0xFF):
		t.code = code
		s.fails(s.read_job(t, 0, 4096))
		t.code = 0


# --------------------------------------------------------------------------- residuals

class Residual(Target):
	"""Answers READs by play(task, data) once armed."""
	armed = False

	def on_scsi_command(self, c, task):
		if self.armed and (is_read(task) or is_write(task)):
			self.armed = False
			if is_read(task):
				self.play(task, self.run(task).data)
				return True
			task.spoiled = True


def residual_read(s, play):
	"""(target, bytes or None when it failed) of one read of 4096 at 8192; the bytes that
	come back must be right as far as they go, after the page was read as zeroes before."""
	t = s.target(type('R', (Residual,), {'play': play}), luns={0: pattern_disk()})
	s.login(t)
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
	t.armed = True
	try:
		got = s.read(t, 8192, 4096)
	except OSError as e:
		s.check(e.errno in LOST, 'errno %s' % e)
		return t, None
	if len(reads(t)) > 2:
		s.check(got == pattern(8192, 4096), 'wrong data after a second try')
		return t, None
	s.check(got == pattern(8192, 4096)[:len(got)], 'bytes that were not received')
	return t, got


@scene
def residual_1_underflow(s):
	"""Half the data, U and a residual of the other half: an error, or just that half."""
	def play(t, task, data):
		t.data_pdu(task, 0, data[:2048], 0, final=True, status=GOOD, under=True, residual=2048)
	_, got = residual_read(s, play)
	s.check(got is None or len(got) == 2048, 'full length returned')


@scene
def residual_2_underflow_in_response(s):
	"""The same with a SCSI Response."""
	def play(t, task, data):
		t.data_pdu(task, 0, data[:2048], 0, final=True)
		t.respond(task, wanted=2048)
	_, got = residual_read(s, play)
	s.check(got is None or len(got) == 2048, 'full length returned')


@scene
def residual_3_short_data_no_residual(s):
	"""Short Data-In, then GOOD without a residual: an error, never old bytes."""
	def status_in_data(t, task, data):
		t.data_pdu(task, 0, data[:2048], 0, final=True, status=GOOD)

	def response(t, task, data):
		t.data_pdu(task, 0, data[:2048], 0, final=True)
		t.respond(task)

	def nothing(t, task, data):
		t.respond(task)

	def hole(t, task, data):
		t.data_pdu(task, 0, data[:1024], 0)
		t.data_pdu(task, 2048, data[2048:], 1, final=True, status=GOOD)

	def only_tail(t, task, data):
		t.data_pdu(task, 2048, data[2048:], 0, final=True, status=GOOD)

	def lost_datasn(t, task, data):
		t.data_pdu(task, 0, data[:2048], 0)
		t.data_pdu(task, 2048, data[2048:], 2, final=True)
		t.respond(task, expdatasn=3)

	for play in (status_in_data, response, nothing, hole, only_tail):
		_, got = residual_read_named(s, play)
		s.check(got is None, '%s: success with %d bytes' % (play.__name__, len(got or b'')))
	residual_read_named(s, lost_datasn)


def residual_read_named(s, play):
	t = s.target(type('R', (Residual,), {'play': play}), luns={0: pattern_disk()},
		iqn='iqn.2026-01.org.iscsifs.test:' + play.__name__.replace('_', '-'))
	s.login(t)
	t.armed = True
	try:
		got = s.read(t, 8192, 4096)
	except OSError:
		return t, None
	s.check(got == pattern(8192, 4096)[:len(got)], '%s: bytes that were not received' % play.__name__)
	return t, None if len(reads(t)) > 1 else got


@scene
def residual_4_overflow(s):
	"""All the data with O set: the data or an error, no wrong bytes."""
	def play(t, task, data):
		t.data_pdu(task, 0, data, 0, final=True, status=GOOD, over=True, residual=512)
	residual_read(s, play)


@scene
def residual_5_lies(s):
	"""U with all the data there, U over EDTL, O and U together: never wrong bytes."""
	for n, fields in enumerate(({'under': True, 'residual': 1024}, {'under': True, 'residual': 0xFFFFFFFF},
			{'over': True, 'under': True, 'residual': 1}, {'under': True, 'residual': 4096})):
		def play(t, task, data):
			t.data_pdu(task, 0, data, 0, final=True, status=GOOD, **fields)
		play.__name__ = 'lie%d' % n
		residual_read_named(s, play)
	s.check(s.exists('ctl'), 'the daemon is gone')


@scene
def residual_6_write_underflow(s):
	"""A WRITE answered GOOD with U: the bytes were not all taken, so an error."""
	class Less(Target):
		armed = False

		def run(self, task):
			if self.armed and is_write(task):
				self.armed, self.less = False, task
			return super().run(task)

		def before_send(self, c, pdu):
			if getattr(self, 'less', None) and pdu.opcode == Op.SCSI_RSP and pdu.itt == self.less.itt:
				self.less = None
				pdu.under, pdu.residual = True, 2048

	t = s.target(Less)
	s.login(t)
	t.armed = True
	job = s.write_job(t, 0, bytes(4096))
	if job.errno() == 0:
		s.check(len(writes(t)) > 1, 'success, though half was not written')


@scene
def residual_7_large_disk(s):
	"""A disk over 2 TiB: READ CAPACITY(16) and 16-byte READ and WRITE."""
	class Huge(Disk):
		def __init__(self):
			super().__init__(size=1 << 20)
			self.blocks = (4 << 40) // 512

		def read_write(self, cdb, data):
			lba, count = scsi.rw_range(cdb)
			if lba >= 1 << 32:
				wrapped = bytearray(cdb)
				wrapped[2:10] = (lba - (1 << 32)).to_bytes(8, 'big')
				cdb = bytes(wrapped)
			return super().read_write(cdb, data)

	t = s.target(luns={0: Huge()})
	s.login(t)
	s.equal(s.cat('targets', t.iqn, 'lun0', 'size'), str(4 << 40), 'size')
	data = pattern(0, 4096)
	s.write(t, (1 << 41) + 8192, data)
	s.check(t.luns[0].store[8192:12288] == data, 'written to the wrong place')
	s.check(s.read(t, (1 << 41) + 8192, 4096) == data, 'wrong data')
	s.check(t.commands(0x9E), 'READ CAPACITY(16) was not used')


@scene
def disk_3_transfer_limits(s):
	"""MAXIMUM TRANSFER LENGTH of VPD B0 is kept."""
	disk = pattern_disk()
	disk.max_blocks = 16
	t = s.target(luns={0: disk})
	s.login(t)
	round_trip(s, t, 0, 65536)
	for p in reads(t) + writes(t):
		s.check(scsi.rw_range(p.cdb)[1] <= 16, '%d blocks in one command' % scsi.rw_range(p.cdb)[1])


@scene
def disk_5_pieces_together(s):
	"""A request over MAXIMUM or OPTIMAL TRANSFER LENGTH: its commands are under way together."""
	for n, limits in enumerate(((16, 0), (0, 128), (1024, 256))):
		disk = pattern_disk(serial='PIECES%d' % n)
		disk.max_blocks, disk.optimal_blocks = limits
		piece = min(x for x in limits if x)
		t = s.target(type('H', (HoldReads,), {'hold': 0}), luns={0: disk}, iqn='%spieces%d' % (PREFIX, n))
		s.login(t)
		t.hold = 1 << 30
		job = s.read_job(t, 4096, 8 * piece * 512)
		t.wait(lambda: t.most >= 4, 'four READs')
		t.hold = 0
		t.release()
		right(s, t, job, 4096, 8 * piece * 512)
		round_trip(s, t, 0, 8 * piece * 512)
		for p in reads(t) + writes(t):
			s.check(scsi.rw_range(p.cdb)[1] <= piece, '%d blocks in one command' % scsi.rw_range(p.cdb)[1])


@scene
def disk_4_small_disks_and_odd_blocks(s):
	"""512, 520 and 4096 byte blocks, a disk of one block."""
	for n, (bs, blocks) in enumerate(((512, 1), (4096, 1), (2048, 9), (520, 64))):
		disk = Disk(block_size=bs, size=bs * blocks)
		disk.store[:] = pattern(0, bs * blocks)
		t = s.target(luns={0: disk}, iqn='iqn.2026-01.org.iscsifs.test:bs%d-%d' % (bs, blocks))
		s.login(t)
		if bs == 520 and not s.exists('targets', t.iqn, 'lun0', 'disk'):
			continue				# refusing it is an answer too
		s.check(s.read(t, 0, bs * blocks, direct=False) == disk.store, 'wrong data (%d)' % n)


@scene
def expose_none(s):
	"""expose=none: INQUIRY, REPORT LUNS and READ CAPACITY are all that is sent; there is no file to open."""
	t = s.target(luns={0: pattern_disk(1 << 20), 1: pattern_disk(2 << 20, serial='ONE')})
	s.login(t, expose='none', pr_key='0x1234')
	allowed = (scsi.INQUIRY, scsi.REPORT_LUNS, scsi.READ_CAPACITY_10, scsi.SERVICE_ACTION_IN)
	for n, size in ((0, 1 << 20), (1, 2 << 20)):
		s.equal(int(s.cat('targets', t.iqn, 'lun%d' % n, 'size')), size, 'size of lun%d' % n)
		s.check(not s.exists('targets', t.iqn, 'lun%d' % n, 'disk'), 'there is a disk')
		s.check(not s.exists('targets', t.iqn, 'lun%d' % n, 'block'), 'there is a block')
	for verb in ('inquiry', 'inquiry page=0x83', 'read-capacity', 'report-luns', 'rescan'):
		s.ctl('targets/%s/lun0/ctl' % t.iqn, verb)
	for verb in ('attach', 'reset', 'abort-task-set', 'clear-task-set'):
		s.refused(s.ctl('targets/%s/lun0/ctl' % t.iqn, verb), errno.EOPNOTSUPP)
	for p in t.commands():
		s.check(p.cdb[0] in allowed, 'command 0x%02x was sent' % p.cdb[0])
	s.check(len(t.commands(scsi.INQUIRY)) > 4, 'hardly anything was asked')
	s.check(not t.received(Op.TMF_REQ), 'a task management request was sent')
