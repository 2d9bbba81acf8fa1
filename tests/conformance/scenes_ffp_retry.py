# SPDX-License-Identifier: BSD-2-Clause
"""Full feature phase group 16.4, and more that the initiator has to try again by itself.

A status says that the command had no effect, or that it may be given again: a new command,
with a CmdSN of its own, not a retry (7.2.1), and not an error at once.  How often is up to
the initiator; for ever is too often, the deadline of the I/O ends it."""

import errno

import scsi
from common import (Codes, DEADLINE, LOST, Holder, Lossy, at_level, data_in, good_read, harmless, is_read,
	once, pattern, pattern_disk, reads, right, snacks, writes, written)
from harness import scene
from scsi import BUSY, RESERVATION_CONFLICT, TASK_SET_FULL
from target import Target

REFUSED = (errno.EBADE, errno.EBUSY, errno.EIO, errno.ETIMEDOUT)


def issued_anew(s, codes, times=1):
	"""A READ and a WRITE get `codes` first: given again with new CmdSNs, and done."""
	t = s.target(Codes, luns={0: pattern_disk()})
	s.login(t, command_timeout=DEADLINE)
	t.codes = [codes] * times
	right(s, t, s.read_job(t, 65536, 4096), 65536)
	t.codes = [codes] * times
	data = pattern(131072, 4096, b'again')
	written(s, t, s.write_job(t, 131072, data), 131072, data)
	for got in (reads(t), writes(t)):
		s.equal(len(got), times + 1, 'commands sent')
		s.equal(len({p.cmdsn for p in got}), times + 1, 'number of different CmdSNs')
		s.equal(len({bytes(p.cdb) for p in got}), 1, 'number of different CDBs')
	s.equal(len(t.conns), 1, 'connections')


def never_done(s, code, *errnos, seconds=60):
	"""Always the same answer: an error in bounded time; then the unit works again."""
	t = s.target(Codes, luns={0: pattern_disk()})
	s.login(t, command_timeout=6)
	t.for_ever = code
	for job in (s.read_job(t, 0, 4096), s.write_job(t, 8192, bytes(4096))):
		s.fails(job, *errnos, limit=seconds)
	s.check(len(reads(t)) < 3000, '%d READs' % len(reads(t)))
	t.for_ever = None
	s.check(bytes(t.luns[0].store[8192:12288]) == pattern(8192, 4096), 'the scene is wrong')
	good_read(s, t)


@scene
def ffp_16_4_1_crc_error(s):
	"""0B/47/05: issued again with a new CmdSN."""
	issued_anew(s, scsi.CRC_ERROR)


class RefusesSnack(Lossy):
	"""SNACK is answered by Reject 0x03; early: the status has been sent before (7.8 a.2)."""
	early = False

	def on_scsi_command(self, c, task):
		if self.early or not self.tx or not self.tx.left[0] or not is_read(task):
			return False
		self.waiting = task
		data = self.run(task).data
		for n in range(4):
			self.data_pdu(task, n * 1024, data[n * 1024:n * 1024 + 1024], n, final=n == 3)
		return True

	def snack(self, c, pdu):
		self.reject(c, pdu, 0x03)
		if pdu.snack_type:
			return
		task = self.find_task(c.session, pdu.itt)
		task.lost.clear()
		if not self.early:
			self.respond(task, scsi.CHECK, scsi.make_sense(*scsi.SNACK_REJECTED), 0)


@scene
def ffp_16_4_2_snack_rejected(s):
	"""A Data-In is missing and the SNACK is rejected: no short data, a new command instead."""
	for early in (False, True):
		t = at_level(s, 1, RefusesSnack, data_in_size=1024, early=early,
			iqn='iqn.2026-01.org.iscsifs.test:refuses%d' % early)
		t.tx = once('lost', data_in(1))
		right(s, t, s.read_job(t, 65536, 4096), 65536)
		s.check(snacks(t, 0), 'no SNACK')
		got = reads(t)
		s.equal(len(got), 2, 'READs sent')
		s.check(got[0].cmdsn != got[1].cmdsn, 'the same CmdSN again')


@scene
def ffp_16_4_3_unexpected_unsolicited_data(s):
	"""0B/0C/0C: issued again with a new CmdSN."""
	issued_anew(s, scsi.UNEXPECTED_DATA)


@scene
def ffp_16_4_4_not_enough_unsolicited_data(s):
	"""0B/0C/0D: issued again with a new CmdSN."""
	issued_anew(s, scsi.NOT_ENOUGH_DATA)


@scene
def ffp_16_4_5_busy(s):
	"""BUSY: issued again with a new CmdSN, more than once."""
	issued_anew(s, BUSY, 3)


@scene
def ffp_16_4_6_reservation_conflict(s):
	"""RESERVATION CONFLICT: issued again with a new CmdSN."""
	issued_anew(s, RESERVATION_CONFLICT)


@scene
def retry_1_task_set_full(s):
	"""TASK SET FULL: issued again, more than once."""
	issued_anew(s, TASK_SET_FULL, 3)


@scene
def retry_2_busy_for_ever(s):
	"""BUSY and TASK SET FULL for ever: an error at the deadline, without a flood of commands."""
	never_done(s, BUSY, *REFUSED)
	never_done_again(s, TASK_SET_FULL)


def never_done_again(s, code):
	t = s.target(Codes, luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:again')
	s.login(t, command_timeout=6)
	t.for_ever = code
	s.fails(s.read_job(t, 0, 4096), *REFUSED)
	s.check(len(reads(t)) < 3000, '%d READs' % len(reads(t)))


@scene
def retry_3_reservation_conflict_for_ever(s):
	"""RESERVATION CONFLICT for ever: a few tries, then EBADE or EBUSY, before the deadline."""
	t = s.target(Codes, luns={0: pattern_disk()})
	s.login(t, command_timeout=60)
	t.for_ever = RESERVATION_CONFLICT
	s.fails(s.read_job(t, 0, 4096), errno.EBADE, errno.EBUSY, limit=45)
	s.check(2 <= len(reads(t)) <= 100, '%d READs' % len(reads(t)))
	t.for_ever = None
	good_read(s, t)


@scene
def retry_4_task_set_full_under_load(s):
	"""A target that takes four commands: twelve readers and writers all come through."""
	class Small(Target):
		most = 0

		def on_scsi_command(self, c, task):
			if task.cdb[0] not in scsi.READS + scsi.WRITES:
				return False
			busy = sum(t.cdb[0] in scsi.READS + scsi.WRITES for t in c.session.tasks.values())
			self.most = max(self.most, busy)
			if busy > 4:
				self.respond(task, TASK_SET_FULL, wanted=0)
				return True
			self.later(0.02, self.answer, c, task)
			return True

		def answer(self, c, task):
			with c.session.lock:
				if not task.finished:
					self.go_on(task)

	t = s.target(Small, luns={0: pattern_disk()}, values={'InitialR2T': 'Yes', 'ImmediateData': 'Yes'})
	s.login(t)
	jobs = [(n, s.read_job(t, n * 65536, 4096)) for n in range(8)]
	data = [pattern(n * 65536, 4096, b'full') for n in range(20, 24)]
	wjobs = [s.write_job(t, n * 65536, d) for n, d in enumerate(data, 20)]
	for n, job in jobs:
		right(s, t, job, n * 65536)
	for n, job in enumerate(wjobs):
		written(s, t, job, (20 + n) * 65536, data[n])
	s.check(t.most > 4, 'the scene is wrong: at most %d at once' % t.most)


@scene
def retry_5_becoming_ready(s):
	"""02/04/01 (becoming ready) a few times: waited for."""
	t = s.target(Codes, luns={0: pattern_disk()})
	s.login(t, command_timeout=DEADLINE)
	t.codes = [(0x02, 0x04, 0x01)] * 3
	right(s, t, s.read_job(t, 0, 4096))


@scene
def retry_6_many_unit_attentions(s):
	"""Five unit attentions in a row, of each usual kind, at a READ and at a WRITE."""
	kinds = [scsi.POWER_ON, scsi.BUS_RESET, scsi.NEXUS_LOSS, scsi.CLEARED_BY_ISCSI, (0x06, 0x2F, 0x00)]
	t = s.target(Codes, luns={0: pattern_disk()})
	s.login(t)
	t.codes = list(kinds)
	right(s, t, s.read_job(t, 0, 4096))
	t.codes = list(kinds)
	data = pattern(8192, 4096, b'attention')
	written(s, t, s.write_job(t, 8192, data), 8192, data)


@scene
def retry_7_aborted_command_for_ever(s):
	"""0B/47/05 for ever: an error in bounded time, not success, not for ever."""
	never_done(s, scsi.CRC_ERROR, *LOST)


@scene
def retry_8_reject_of_a_command(s):
	"""A READ is rejected (0x06, 0x0A): the hole in CmdSN is plugged, the READ comes through."""
	for reason in (0x06, 0x0A):
		class Rejects(Target):
			left = 0

			def on_pdu(self, c, pdu):
				if self.left and pdu.opcode == 1 and pdu.cdb[0] in scsi.READS:
					self.left -= 1
					self.reject(c, pdu, reason)
					return True

		t = s.target(Rejects, luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:reject%d' % reason)
		s.login(t, command_timeout=DEADLINE)
		t.left = 1
		jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
		for n, job in enumerate(jobs):
			right(s, t, job, n * 65536)


@scene
def retry_9_waiting_for_logout(s):
	"""Commands after an async logout request are rejected with 0x0C: they come through later."""
	class Leaves(Holder):
		def on_pdu(self, c, pdu):
			if self.leaving is c and pdu.opcode == 1:
				self.reject(c, pdu, 0x0C)
				return True
		leaving = None

	t = s.target(Leaves, luns={0: pattern_disk()})
	s.login(t)
	good_read(s, t)
	t.leaving = t.ffp_conns()[0]
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
	t.async_message(t.leaving, 1, p3=3)
	for n, job in enumerate(jobs):
		s.check(harmless(s, t, job, n * 65536), '%s failed' % job.what)
