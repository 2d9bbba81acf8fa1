# SPDX-License-Identifier: BSD-2-Clause
"""A target that answers pings and does nothing else: the ladder ABORT TASK, LOGICAL UNIT RESET,
TARGET WARM RESET, session restart, all within the deadline of the I/O.

A command gets a third of command_timeout for its first attempt; what comes after it has to
leave time for the command to be given anew."""

import time

from common import (DEADLINE, Holder, LONG_DEADLINE, LOST, Lossy, at_level, good_read, harmless, is_write, pattern,
	pattern_disk, reads, right, tmfs, writes, written)
from harness import scene
from pdu import Op, Pdu
from scsi import GOOD

TEST = 'iqn.2026-01.org.iscsifs.test:'
LADDER = (1, 5, 6)


class Swallows(Holder):
	"""One connection's READs are swallowed until one of `cures` was done: a TMF function, or
	'restart'.  TMF functions in `ignored` are swallowed too, those in `refused` refused."""
	cure = 1
	ignored = ()
	refused = ()
	code = 5
	stuck = False

	def on_scsi_command(self, c, task):
		if self.armed and self.on(task):
			self.armed, self.stuck = False, True
		return self.stuck and self.on(task)

	def on_ffp(self, c):
		if self.cure == 'restart' and self.stuck:
			self.stuck = False

	def tmf(self, c, pdu):
		if pdu.function in self.ignored:
			return
		if pdu.function in self.refused:
			c.send(Pdu(Op.TMF_RSP, final=True, itt=pdu.itt, response=self.code))
			return
		if pdu.function == self.cure:
			self.stuck = False
		super().tmf(c, pdu)


def climbs(s, name, write=False, timeout=DEADLINE, level=0, expect=None, keys=None, **config):
	"""The I/O succeeds before its deadline; returns the target."""
	cls = type('W', (Swallows,), {'on': staticmethod(is_write)}) if write else Swallows
	t = s.target(cls, luns={0: pattern_disk()}, iqn=TEST + name, values={'ErrorRecoveryLevel': level}, **config)
	s.login(t, **dict({'command_timeout': timeout, 'erl': level, 'nop_interval': 2, 'nop_timeout': 10}, **(keys or {})))
	good_read(s, t)
	t.armed = True
	if write:
		data = pattern(65536, 4096, b'ladder')
		job = s.write_job(t, 65536, data)
		written(s, t, job, 65536, data)
	else:
		job = s.read_job(t, 65536, 4096)
		right(s, t, job, 65536)
	s.check(job.seconds < timeout + 30, '%s took %.1f s' % (job.what, job.seconds))
	seen = []
	for p in tmfs(t):
		if p.function not in seen:
			seen.append(p.function)
	s.equal(seen, list(LADDER if expect is None else expect), 'functions, in order')
	good_read(s, t, 8192)
	return t


@scene
def recovery_12_commands_swallowed(s):
	"""A READ, then a WRITE, is swallowed, pings are not: ABORT TASK, then given anew."""
	for write in (False, True):
		t = climbs(s, 'abort%d' % write, write, expect=(1,))
		s.equal(len(t.conns), 1, 'connections')
		again = writes(t) if write else reads(t)[1:]
		s.check(again[0].itt != again[1].itt and again[0].cmdsn != again[1].cmdsn, 'given anew with the same tag')
	s.event('task-aborted')


@scene
def recovery_12_abort_swallowed(s):
	"""ABORT TASK is swallowed too: LUN RESET."""
	t = climbs(s, 'lun-reset', cure=5, ignored=(1,), expect=(1, 5))
	s.equal(len(t.conns), 1, 'connections')
	s.event('task-management-timed-out', r'function 1')


@scene
def recovery_12_lun_reset_swallowed(s):
	"""LUN RESET is swallowed too: TARGET WARM RESET."""
	climbs(s, 'target-reset', cure=6, ignored=(1, 5))
	s.event('target-reset-sent')


@scene(is_slow=True)
def recovery_12_all_swallowed(s):
	"""All of them are swallowed: the session restarts, and the READ still meets its deadline."""
	for level in (0, 2):
		t = climbs(s, 'restart%d' % level, timeout=LONG_DEADLINE, cure='restart', ignored=(1, 5, 6), level=level)
		s.check(len(t.conns) > 1, 'the scene is wrong')
		s.equal(len({x.isid for x in t.sessions}), 1, 'ISIDs')


@scene(is_slow=True)
def recovery_12_all_swallowed_write(s):
	"""The same for a WRITE, with other reads and writes under way."""
	climbs(s, 'restart-write', True, LONG_DEADLINE, cure='restart', ignored=(1, 5, 6))


@scene(is_slow=True)
def recovery_12_long_deadline(s):
	"""Level 2 with 36 s, where a rung is longer than the quiet after which SNACKs are sent: the ladder begins at a third."""
	t = climbs(s, 'restart-long', timeout=36, cure='restart', ignored=(1, 5, 6), level=2)
	read = t.event_of(reads(t)[1]).time
	s.check(t.event_of(tmfs(t)[0]).time - read < 18, 'the first ABORT TASK came too late')


@scene
def recovery_12_refused(s):
	"""Functions are refused (not supported, not authorised, rejected): the next rung, at once."""
	for code in (5, 6, 255):
		climbs(s, 'refused%d' % code, cure='restart', refused=LADDER, code=code)


@scene
def recovery_12_for_ever(s):
	"""Nothing ever helps: an error at the deadline, not before two thirds of it, not much after."""
	t = s.target(Swallows, luns={0: pattern_disk(), 1: pattern_disk(serial='ONE')}, cure=None, ignored=LADDER)
	s.login(t, command_timeout=12)
	good_read(s, t)
	t.armed = True
	job = s.read_job(t, 65536, 4096)
	s.fails(job, *LOST)
	s.check(8 <= job.seconds < 40, 'it failed after %.1f s' % job.seconds)
	t.stuck = False
	good_read(s, t)


@scene
def recovery_12_other_unit_goes_on(s):
	"""While LUN 0 is stuck and aborted, LUN 1 is read and written without an error."""
	class OneUnit(Swallows):
		on = staticmethod(lambda task: task.read and task.number == 0 and task.cdb[0] == 0x28)

	t = s.target(OneUnit, luns={0: pattern_disk(), 1: pattern_disk(serial='ONE')}, cure=5, ignored=(1,))
	s.login(t, command_timeout=DEADLINE)
	t.armed = True
	job = s.read_job(t, 65536, 4096)
	n = 0
	while not job.done.is_set():
		good_read(s, t, n % 32 * 65536, lun=1)
		n += 1
		s.pause(0.05)
	right(s, t, job, 65536)
	s.check(n > 5, 'LUN 1 was served %d times' % n)
	s.equal(len(t.conns), 1, 'connections')


@scene
def recovery_12_late_answers(s):
	"""The answer of an aborted READ comes with, and after, that of ABORT TASK: no wrong bytes."""
	class Late(Swallows):
		after = False

		def tmf(self, c, pdu):
			task = c.session.tasks.get(pdu.rtt)
			if task and not self.after:
				self.finish(task, self.run(task))
			super().tmf(c, pdu)
			if task and self.after:		# a wrong target
				task.finished = False
				self.data_pdu(task, 0, b'\xee' * task.edtl, 0, final=True, status=GOOD)

	for after in (False, True):
		t = s.target(Late, luns={0: pattern_disk()}, after=after, iqn=TEST + 'late%d' % after)
		s.login(t, command_timeout=DEADLINE)
		good_read(s, t)
		t.armed = True
		right(s, t, s.read_job(t, 65536, 4096), 65536)
		for n in range(8):
			good_read(s, t, n * 8192)


@scene
def recovery_12_task_does_not_exist(s):
	"""ABORT TASK is answered with 1 (no such task), nothing else comes: the READ is given anew."""
	class Gone(Swallows):
		def tmf(self, c, pdu):
			self.stuck = False
			self.end_task(c.session.tasks[pdu.rtt])
			c.send(Pdu(Op.TMF_RSP, final=True, itt=pdu.itt, response=1))

	t = s.target(Gone, luns={0: pattern_disk()})
	s.login(t, command_timeout=DEADLINE)
	t.armed = True
	right(s, t, s.read_job(t, 65536, 4096), 65536)
	s.equal([p.function for p in tmfs(t)], [1], 'functions')


@scene
def recovery_12_half_answered(s):
	"""Half of the data comes, then nothing but pings: aborted and given anew; an R2T likewise."""
	class Half(Swallows):
		def on_scsi_command(self, c, task):
			stuck = super().on_scsi_command(c, task)
			if stuck and task.read:
				self.data_pdu(task, 0, b'\xdd' * 2048, 0)
			elif stuck and not task.r2ts:
				task.manual = True
				self.send_r2t(task, task.asked, task.edtl - task.asked)
			return stuck

		def on_burst(self, c, task, seq):
			return task.manual

	for write in (False, True):
		cls = type('W', (Half,), {'on': staticmethod(is_write)}) if write else Half
		t = s.target(cls, luns={0: pattern_disk()}, values={'InitialR2T': 'Yes', 'ImmediateData': 'No'},
			iqn=TEST + 'half%d' % write)
		s.login(t, command_timeout=DEADLINE, initial_r2t='yes', immediate_data='no')
		t.armed = True
		if write:
			data = pattern(65536, 4096, b'half')
			written(s, t, s.write_job(t, 65536, data), 65536, data)
		else:
			right(s, t, s.read_job(t, 65536, 4096), 65536)
		s.check(tmfs(t, 1), 'no ABORT TASK')


@scene(is_slow=True)
def recovery_45_many_swallowed(s):
	"""Sixteen commands of two units swallowed at once, aborts too: all come through."""
	class All(Swallows):
		on = staticmethod(lambda task: task.cdb[0] in (0x28, 0x2A, 0x88, 0x8A))

	t = s.target(All, luns={0: pattern_disk(), 1: pattern_disk(serial='ONE')}, cure='restart', ignored=LADDER)
	s.login(t, command_timeout=LONG_DEADLINE, nop_interval=2, nop_timeout=10)
	t.armed = True
	jobs = [(n, s.read_job(t, n * 65536, 4096, lun=n % 2)) for n in range(12)]
	data = {n: pattern(n * 65536, 4096, b'many') for n in range(20, 24)}
	wjobs = [(n, s.write_job(t, n * 65536, d)) for n, d in data.items()]
	for n, job in jobs:
		right(s, t, job, n * 65536, lun=n % 2)
	for n, job in wjobs:
		written(s, t, job, n * 65536, data[n])


@scene
def recovery_46_ping_not_answered(s):
	"""Commands and pings are swallowed, TCP lives: NOP timeout, a new session, the READ is done."""
	class Deaf(Lossy):
		deaf = None

		def on_wire(self, c, pdu):
			return 'lost' if c is self.deaf else None

	for level in (0, 1, 2):
		t = at_level(s, level, Deaf, keys={'nop_interval': 1, 'nop_timeout': 1, 'command_timeout': 40},
			iqn=TEST + 'deaf%d' % level)
		good_read(s, t)
		t.deaf = t.ffp_conns()[0]
		started = time.monotonic()
		job = s.read_job(t, 65536, 4096)
		right(s, t, job, 65536)
		s.check(time.monotonic() - started < 40, 'after %.1f s' % (time.monotonic() - started))
		t.wait(lambda: t.deaf.eof, 'the silent connection to be given up')
	s.event('nop-timed-out')


@scene
def recovery_47_abort_of_a_lost_command(s):
	"""ERL 0: the target loses a command, so that the ones behind it wait: all come through."""
	t = s.target(Lossy, luns={0: pattern_disk()})
	s.login(t, command_timeout=DEADLINE)
	good_read(s, t)
	lost = []

	def loses(c, p):
		if p.opcode == Op.SCSI_CMD and not lost:
			lost.append(p)
			return 'lost'
		return None
	t.rx = loses
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)
	s.check(harmless(s, t, s.read_job(t, 8192, 4096), 8192), 'a read failed afterwards')
