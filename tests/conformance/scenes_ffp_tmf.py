# SPDX-License-Identifier: BSD-2-Clause
"""Full feature phase groups 7 and 19: task management, and TASK REASSIGN.

Functions come from the tree (reset, abort-task-set, clear-task-set, reset target-warm) and
from commands that the target swallows (ABORT TASK)."""

from common import (DEADLINE, Holder, at_level, conn_of, good_read, harmless, pattern, pattern_disk, reads,
	right, snacks, tmfs)
from harness import scene
from pdu import Op, Pdu, RESERVED_TAG

DISKS = lambda: {0: pattern_disk(), 5: pattern_disk(serial='FIVE'), 300: pattern_disk(serial='300')}


def lun_path(t, lun=0):
	return 'targets/%s/lun%d' % (t.iqn, lun)


def swallowed(s, lun=0):
	"""A READ of `lun` is not answered, and aborted in the end; (target, READ, ABORT TASK)."""
	t = s.target(Holder, luns=DISKS())
	s.login(t, command_timeout=DEADLINE)
	t.armed, t.most = True, 1
	job = s.read_job(t, 8192, 4096, lun)
	right(s, t, job, 8192, lun=lun)
	s.check(tmfs(t, 1), 'no ABORT TASK was sent')
	return t, reads(t)[0], tmfs(t, 1)[0]


@scene
def ffp_19_1_tmf_cmdsn(s):
	"""A TMF that is immediate has the CmdSN of the next command, else one of its own."""
	t = s.target(luns=DISKS())
	s.login(t)
	good_read(s, t)
	s.command(lun_path(t), 'reset')
	good_read(s, t)
	s.command(lun_path(t), 'abort-task-set')
	good_read(s, t)
	s.command(lun_path(t), 'clear-task-set')
	good_read(s, t)
	s.command(s.session(t), 'reset target-warm')
	good_read(s, t)
	got = tmfs(t)
	s.equal([p.function for p in got], [5, 2, 4, 6], 'functions')
	pdus = [p for p in t.received() if p.opcode in (Op.SCSI_CMD, Op.TMF_REQ)]
	for p in got:
		after = pdus[pdus.index(p) + 1]
		s.equal((after.cmdsn - p.cmdsn) & 0xFFFFFFFF, 0 if p.imm else 1, 'CmdSN of the next command less')


@scene
def ffp_19_2_tmf_lun(s):
	"""The LUN is that of the command, or of the unit; reserved for a target reset."""
	t, read, abort = swallowed(s, 300)
	s.equal(abort.lun, read.lun, 'LUN of ABORT TASK')
	for verb, function in (('reset', 5), ('abort-task-set', 2), ('clear-task-set', 4)):
		s.command(lun_path(t, 5), verb)
		got = tmfs(t, function)[-1]
		s.equal((got.lun.hex(), got.rtt), ('0005' + '00' * 6, RESERVED_TAG), 'LUN and tag of ' + verb)
	s.command(s.session(t), 'reset target-warm')
	s.equal(tmfs(t, 6)[0].lun, bytes(8), 'LUN of TARGET WARM RESET')


@scene
def ffp_19_3_refcmdsn(s):
	"""ABORT TASK: the tag and CmdSN of the command, on its connection."""
	t, read, abort = swallowed(s)
	s.equal((abort.rtt, abort.refcmdsn), (read.itt, read.cmdsn), 'Referenced Task Tag and RefCmdSN')
	s.check(abort.itt != read.itt, 'the TMF has the tag of the command')
	s.check(conn_of(t, abort) is conn_of(t, read), 'ABORT TASK went another way')


class Busy(Holder):
	"""A task set function is answered when the scene says so."""
	waits = None

	def on_pdu(self, c, pdu):
		if pdu.opcode == Op.TMF_REQ and pdu.function in (2, 4) and self.waits is None:
			self.waits = (c, pdu)
			self.play(c)
			return True

	def conclude(self):
		c, pdu = self.waits
		with c.session.lock:
			self.tmf(c, pdu)


def task_set(s, cls, level=0, verb='abort-task-set', size=4096):
	t = at_level(s, level, cls, iqn='iqn.2026-01.org.iscsifs.test:' + verb)
	good_read(s, t)
	t.armed, t.most = True, 1
	job = s.read_job(t, 8192, size)
	t.wait(lambda: t.held, 'the READ')
	ctl = s.ctl_job(lun_path(t) + '/ctl', verb)
	sent(s, t, ctl)
	return t, job, ctl


def sent(s, t, ctl):
	t.wait(lambda: t.waits or ctl.done.is_set(), 'the task set function')
	s.check(t.waits, 'no task set function was sent: %r' % (ctl.value or ctl.error))


def over(s, t, job, ctl, at=8192):
	"""The function is done; the READ was aborted: an error, or issued anew."""
	s.equal(ctl.result().errno, 0, 'errno of the verb')
	harmless(s, t, job, at)
	s.equal(len(t.conns), 1, 'connections')
	good_read(s, t, 65536)


@scene
def ffp_19_4_1_abort_task_set_nop_in(s):
	"""After ABORT TASK SET and CLEAR TASK SET, a NOP-In with a TTT is still answered."""
	class Pings(Busy):
		def play(self, c):
			self.ping(c, ttt=0x4E4F5000)

	for verb in ('abort-task-set', 'clear-task-set'):
		t, job, ctl = task_set(s, Pings, verb=verb)
		t.wait(lambda: [p for p in t.received(Op.NOP_OUT) if p.ttt == 0x4E4F5000], 'the NOP-Out')
		t.conclude()
		over(s, t, job, ctl)


@scene
def ffp_19_4_2_abort_task_set_data_in_a(s):
	"""The same, and a Data-In with A=1 of the aborted task: both are answered."""
	class Acks(Busy):
		def play(self, c):
			task = self.held[0]
			self.ping(c, ttt=0x4E4F5001)
			self.data_pdu(task, 0, self.run(task).data, 0, final=True, ack=True, ttt=0xACED0002,
				lun=task.lun)

	t, job, ctl = task_set(s, Acks, level=1)
	t.wait(lambda: [p for p in t.received(Op.NOP_OUT) if p.ttt == 0x4E4F5001], 'the NOP-Out')
	t.wait(lambda: [p for p in snacks(t, 2) if p.ttt == 0xACED0002], 'the DataACK')
	t.conclude()
	over(s, t, job, ctl)


@scene
def ffp_19_4_3_abort_task_set_late_response(s):
	"""The SCSI Response of the task comes before that of the function: it is taken."""
	class Answers(Busy):
		def play(self, c):
			task = self.held[0]
			self.finish(task, self.run(task))

	for status_in_data in (True, False):
		Answers.status_in_data = status_in_data
		Answers.iqn = 'iqn.2026-01.org.iscsifs.test:late%d' % status_in_data
		t, job, ctl = task_set(s, Answers, verb='abort-task-set' if status_in_data else 'clear-task-set')
		t.conclude()
		over(s, t, job, ctl)


@scene
def tmf_1_r2t_after_abort_task_set(s):
	"""An R2T after ABORT TASK SET is answered, the sequence ends with F=1 (4.2.3.3, 11.5.1)."""
	class Asks(Busy):
		on = staticmethod(lambda task: task.write)

		def play(self, c):
			task = self.held[0]
			task.manual = True
			self.send_r2t(task, task.asked, task.edtl - task.asked)

		def on_burst(self, c, task, seq):
			return task.manual

	t = s.target(Asks, luns=DISKS(), values={'InitialR2T': 'Yes', 'ImmediateData': 'No'})
	s.login(t, immediate_data='no', initial_r2t='yes', command_timeout=DEADLINE)
	t.armed, t.most = True, 1
	job = s.write_job(t, 8192, pattern(0, 4096, b'abort'))
	t.wait(lambda: t.held, 'the WRITE')
	ctl = s.ctl_job(lun_path(t) + '/ctl', 'abort-task-set')
	sent(s, t, ctl)
	t.wait(lambda: [p for p in t.received(Op.DATA_OUT) if p.final], 'data with the F bit')
	t.conclude()
	s.equal(ctl.result().errno, 0, 'errno of the verb')
	job.errno()
	s.equal(len(t.conns), 1, 'connections')
	good_read(s, t, 65536)


@scene
def tmf_2_answers(s):
	"""Each response code to a reset, and none: the verb says success or an error, in time."""
	class Says(Holder):
		code = 0

		def on_pdu(self, c, pdu):
			if pdu.opcode != Op.TMF_REQ or not self.code:
				return False
			if self.code > 0:
				c.send(Pdu(Op.TMF_RSP, final=True, itt=pdu.itt, response=self.code))
			return True

	t = s.target(Says, luns=DISKS())
	s.login(t)
	for code in (1, 2, 3, 4, 5, 6, 255):
		t.code = code
		reply = s.ctl(lun_path(t) + '/ctl', 'reset')
		if code > 1:
			s.refused(reply)
		good_read(s, t)
	t.code = -1
	s.refused(s.ctl(lun_path(t) + '/ctl', 'reset timeout=2'))
	t.code = 0
	good_read(s, t)


@scene
def tmf_3_reset_with_commands_in_flight(s):
	"""LUN RESET and TARGET WARM RESET while reads wait: those are issued anew, with new tags."""
	for verb in ('lun', 'target'):
		t = s.target(Holder, luns=DISKS(), iqn='iqn.2026-01.org.iscsifs.test:' + verb)
		s.login(t)
		t.armed, t.most = True, 4
		jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
		t.wait(lambda: len(t.held) == 4, 'four READs')
		t.armed = False
		if verb == 'lun':
			s.command(lun_path(t), 'reset')
		else:
			s.command(s.session(t), 'reset target-warm')
		for n, job in enumerate(jobs):
			s.check(harmless(s, t, job, n * 65536), '%s failed' % job.what)
		s.check(len(reads(t)) >= 8, 'only %d READs' % len(reads(t)))
		s.equal(len({p.itt for p in reads(t)}), len(reads(t)), 'different tags')
		s.equal(len(t.conns), 1, 'connections')


@scene
def tmf_4_target_cold_reset(s):
	"""TARGET COLD RESET ends all connections: the session comes back, reads go on."""
	t = s.target(luns=DISKS())
	s.login(t)
	good_read(s, t)
	s.ctl(s.session(t) + '/ctl', 'reset target-cold')	# its answer may be lost (11.5.1)
	s.equal([p.function for p in tmfs(t)], [7], 'functions')
	for n in range(4):
		good_read(s, t, n * 8192)
	s.check(len(t.conns) > 1, 'the scene is wrong')


# ------------------------------------------------------------------------- reassignment

class DropsAfterData(Holder):
	"""All data of the READ is sent, no status; then the connection ends."""

	def begin(self, task):
		data = self.run(task).data
		for n in range(4):
			self.data_pdu(task, n * 1024, data[n * 1024:n * 1024 + 1024], n, final=n == 3)
		self.later(0.1, task.conn.close)


def reassigned(s, t, read, victim):
	"""TASK REASSIGN for this READ, on another connection, with its tag."""
	got = tmfs(t, 8)
	s.equal([p.rtt for p in got], [read.itt], 'referenced tags of TASK REASSIGN')
	s.check(got[0].itt != read.itt and got[0].imm, 'odd TASK REASSIGN %r' % got[0])
	s.check(conn_of(t, got[0]) is not victim, 'on the connection that was lost')
	s.equal([p.response for p in t.sent(Op.TMF_RSP)], [0], 'answers of the target')
	s.equal(len([p for p in reads(t) if p.cdb == read.cdb]), 1, 'READs sent')


@scene
def ffp_7_1_connection_reassignment(s):
	"""ERL 2, TCP dropped after the data: a new connection, TASK REASSIGN (8), the read ends."""
	t = at_level(s, 2, DropsAfterData)
	t.armed, t.most = True, 1
	job = s.read_job(t, 8192, 4096)
	right(s, t, job, 8192)
	reassigned(s, t, reads(t)[0], t.conns[0])
	s.check(tmfs(t, 8)[0].expdatasn in (0, 4), 'ExpDataSN %d' % tmfs(t, 8)[0].expdatasn)
	s.equal(len(t.sessions), 1, 'sessions')
	good_read(s, t, 65536)


@scene
def ffp_19_5_task_reassign_two_connections(s):
	"""ERL 2, one of two connections dies: Logout with reason 2, TASK REASSIGN on the other."""
	t = s.target(DropsAfterData, luns=DISKS(), values={'ErrorRecoveryLevel': 2, 'MaxConnections': 2})
	session, _ = s.two_connections(t, erl=2, command_timeout=DEADLINE)
	s.command(session, 'policy round-robin')
	t.armed, t.most = True, 1
	job = s.read_job(t, 8192, 4096)
	right(s, t, job, 8192)
	read = reads(t)[0]
	victim = conn_of(t, read)
	reassigned(s, t, read, victim)
	out = [p for p in t.received(Op.LOGOUT_REQ) if p.function == 2]
	joined = [c for c in t.conns[2:] if c.cid == victim.cid]
	s.check([p.cid for p in out] == [victim.cid] or joined, 'no logout for recovery of CID %d' % victim.cid)
	s.equal(len(t.sessions), 1, 'sessions')
	for n in range(4):
		good_read(s, t, n * 8192)
