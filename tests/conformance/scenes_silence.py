# SPDX-License-Identifier: BSD-2-Clause
"""The target falls silent in each stage: what waits for it ends, with an error, in time.

Limits are given short by login keys, or set when what has to succeed is done.  The upper bounds here are generous (SLACK): they
tell bounded from unbounded, not fast from slow."""

import errno
import socket

from common import TIMEOUT, conn_closed, harmless, is_read, is_write, pattern, pattern_disk
from harness import scene
from net import loopback
from pdu import Op, Pdu
from scsi import GOOD
from target import SLOWNESS, Target

SLACK = 30 * SLOWNESS
ENDS = TIMEOUT + (errno.EIO, errno.EHOSTUNREACH)


def ends(s, job, *errnos):
	"""The job fails within SLACK seconds."""
	if hasattr(job, 'what') and job.what.startswith('"'):
		reply = job.result(SLACK)
		s.refused(reply, *errnos)
	else:
		s.fails(job, *errnos, limit=SLACK)


@scene
def silence_1_connect_accepted(s):
	"""The connection is accepted, nothing comes: login_timeout, then timeout=."""
	class Mute(Target):
		def on_connect(self, c):
			c.sock.recv(1 << 20)
			self.hold = getattr(self, 'hold', []) + [c.sock.dup()]
			return False

	for keys in ({'login_timeout': '0.7'}, {'timeout': '0.7'}):
		t = s.target(Mute)
		ends(s, s.login_job(t, **keys), *TIMEOUT)


@scene
def silence_2_connect_unanswered(s):
	"""A full backlog: the connection is not even made: connect_timeout."""
	with socket.socket() as full:
		full.bind((loopback(), 0))
		full.listen(0)
		address = full.getsockname()
		stuffing = []
		for _ in range(8):			# more than the backlog takes
			c = socket.socket()
			c.setblocking(False)
			c.connect_ex(address)
			stuffing.append(c)
		job = s.ctl_job('ctl', 'login iqn.2026-01.org.iscsifs.test:x portal=%s:%d '
			'connect_timeout=0.7 login_timeout=5' % address)
		ends(s, job, *ENDS)
		for c in stuffing:
			c.close()


@scene
def silence_3_refused(s):
	"""Nobody listens: ECONNREFUSED at once."""
	with socket.socket() as sock:
		sock.bind((loopback(), 0))
		reply = s.ctl('ctl', 'login iqn.2026-01.org.iscsifs.test:x portal=%s:%d' % sock.getsockname())
		s.refused(reply, errno.ECONNREFUSED)
	s.event('connect-failed', r'127\.\S+:\d+ .*efused')


class LoginSilence(Target):
	"""Answers `answers` Login Requests, then no more."""
	answers = 1

	def on_login(self, c, req, keys, reply):
		self.answers -= 1
		if self.answers < 0:
			return False
		reply.transit = False			# keeps it going
		return None


@scene
def silence_4_mid_login(s):
	"""Silence after the first and the third login answer."""
	for answers in (1, 3):
		for keys in ({'login_timeout': '0.7'}, {'timeout': '0.7'}):
			t = s.target(LoginSilence, answers=answers)
			ends(s, s.login_job(t, **keys), *TIMEOUT)
			t.wait(lambda: conn_closed(t), 'the initiator to close')
	s.event('login-timed-out', r'127\.\S+:\d+ ')


@scene
def silence_5_half_a_login_response(s):
	"""20 bytes of the header of a Login Response, then nothing."""
	class Half(Target):
		def before_send(self, c, pdu):
			if pdu.opcode == Op.LOGIN_RSP:
				c.send_raw(pdu.encode()[:20])
				return False
			return None

	t = s.target(Half)
	ends(s, s.login_job(t, login_timeout='0.7'), *TIMEOUT)


@scene
def silence_6_mid_text(s):
	"""Silence after the Text Request, and in the middle of a long answer."""
	class Mute(Target):
		after = 0

		def before_send(self, c, pdu):
			if pdu.opcode == Op.TEXT_RSP:
				self.after -= 1
				return None if self.after >= 0 else False
			return None

	for after in (0, 1):
		t = s.target(Mute, after=after, text_chunk=64,
			records=[('iqn.2026-01.org.x:%d' % n, ['127.0.0.1,1']) for n in range(20)])
		ends(s, s.ctl_job('discovery/ctl', 'add-portal %s text_timeout=0.7' % t.portal), *ENDS)
		told = [line for line in s.event_lines() if ' discovery-timed-out ' in line]
		s.check(told and t.portal in told[-1], 'no event tells of %s: %s' % (t.portal, told))
		t.wait(lambda: conn_closed(t), 'the initiator to close')


@scene
def silence_7_during_lun_scan(s):
	"""REPORT LUNS, INQUIRY or READ CAPACITY is never answered: the login ends, with an
	error or without that LUN."""
	for op in (0xA0, 0x12, 0x9E):
		class Mute(Target):
			def on_scsi_command(self, c, task):
				return task.cdb[0] == op

		t = s.target(Mute, iqn='iqn.2026-01.org.iscsifs.test:scan%02x' % op)
		t.allow('itt')
		s.login_job(t, command_timeout='0.7', timeout=5, nop_interval='0.5', nop_timeout='0.5').result(SLACK)


class Silent(Target):
	"""Once armed: swallow(task) decides how much of an answer comes; then nothing at all."""
	armed = False
	mute = False
	on = staticmethod(is_read)

	def on_pdu(self, c, pdu):
		return self.mute

	def on_scsi_command(self, c, task):
		if self.armed and self.on(task):
			self.armed = False
			self.mute = True
			self.swallow(task)
			return True
		return False

	def swallow(self, task):
		"""Nothing comes."""


def silent(s, cls, job, **keys):
	t = s.target(cls, luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:silent-' + cls.__name__.lower())
	s.login(t)
	s.read(t, 0, 4096)
	s.set(t, **keys)
	t.armed = True
	return t, job(t)


@scene(is_slow=True)
def silence_8_mid_command(s):
	"""A READ, then a WRITE, is never answered, nor anything else: NOP timeout."""
	for cls, job in ((Silent, lambda t: s.read_job(t, 4096, 4096)),
			(type('W', (Silent,), {'on': staticmethod(is_write)}), lambda t: s.write_job(t, 0, bytes(4096)))):
		t, j = silent(s, cls, job, nop_interval='0.3', nop_timeout='0.7', command_timeout='8')
		ends(s, j)
		t.wait(lambda: conn_closed(t), 'the initiator to close')


@scene
def silence_9_command_timeout(s):
	"""A READ is swallowed while pings are answered: command_timeout ends it."""
	class Swallows(Target):
		armed = False

		def on_scsi_command(self, c, task):
			if self.armed and is_read(task):
				self.armed = False
				return True
			return False

	t, j = silent(s, Swallows, lambda t: s.read_job(t, 4096, 4096), command_timeout='1')
	number = j.errno(SLACK)
	if not number:
		s.check(len(t.commands(0x28, 0x88, 0x08)) > 2, 'the read succeeded without an answer')
		s.check(j.result() == pattern(4096, 4096), 'wrong data')
	s.event('command-timed-out', r'CDB [0-9a-f]{20}')


@scene
def silence_10_mid_data_in_payload(s):
	"""Half of a Data-In payload, then nothing: the read ends, with no wrong bytes."""
	class Half(Silent):
		def swallow(self, task):
			pdu = self.data_pdu(task, 0, self.run(task).data, 0, final=True, status=GOOD)
			del pdu

		def before_send(self, c, pdu):
			if self.mute and pdu.opcode == Op.DATA_IN:
				c.send_raw(pdu.encode()[:2000])
				return False
			return None

	t, j = silent(s, Half, lambda t: s.read_job(t, 8192, 4096), nop_interval='0.3', nop_timeout='0.7',
		command_timeout='3')
	harmless(s, t, j, 8192)
	t.wait(lambda: conn_closed(t), 'the initiator to close')


@scene
def silence_11_between_data_ins(s):
	"""One of two Data-Ins, then nothing."""
	class One(Silent):
		def swallow(self, task):
			self.data_pdu(task, 0, self.run(task).data[:2048], 0)

	t, j = silent(s, One, lambda t: s.read_job(t, 8192, 4096), nop_interval='0.3', nop_timeout='0.7',
		command_timeout='8')
	harmless(s, t, j, 8192)
	t.wait(lambda: conn_closed(t), 'the initiator to close')


@scene
def silence_12_after_r2t(s):
	"""An R2T is sent and its data taken, then nothing."""
	class Takes(Silent):
		on = staticmethod(is_write)

		def swallow(self, task):
			task.manual = True
			self.send_r2t(task, task.got, task.edtl - task.got)

	t = s.target(Takes, values={'ImmediateData': 'No', 'InitialR2T': 'Yes'})
	s.login(t, immediate_data='no', initial_r2t='yes')
	s.set(t, nop_interval='0.3', nop_timeout='0.7', command_timeout='8')
	t.armed = True
	ends(s, s.write_job(t, 0, bytes(4096)))
	t.wait(lambda: conn_closed(t), 'the initiator to close')


@scene
def silence_13_target_does_not_read(s):
	"""The target stops reading: TCP fills up during a write; the write ends."""
	class Deaf(Silent):
		on = staticmethod(is_write)

		def swallow(self, task):
			import threading
			c = task.conn
			c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
			self.send_r2t(task, task.got, task.edtl - task.got)
			self.wake = threading.Event()
			self.wake.wait(60)

	t = s.target(Deaf, values={'ImmediateData': 'No', 'InitialR2T': 'Yes', 'MaxBurstLength': 16777215})
	s.login(t, immediate_data='no', initial_r2t='yes', max_burst_length=16777215)
	s.set(t, nop_interval='0.5', nop_timeout='1', command_timeout='8')
	t.allow('reinstatement')			# it does not see the end of the connection
	t.armed = True
	jobs = [s.write_job(t, n << 17, bytes(1 << 17)) for n in range(16)]
	for job in jobs:
		job.errno(SLACK)
	s.check(any(job.errno() for job in jobs), 'all writes succeeded')
	t.wake.set()
	t.conns[0].close()


@scene
def silence_14_mid_logout(s):
	"""No Logout Response, or no FIN after it: logout_timeout; the session is gone."""
	class NoAnswer(Target):
		def logout(self, c, pdu):
			c.logging_out = True

	class NoFin(Target):
		def logout(self, c, pdu):
			c.logging_out = True
			c.send(Pdu(Op.LOGOUT_RSP, final=True, itt=pdu.itt))

	for cls in (NoAnswer, NoFin):
		t = s.target(cls)
		s.login(t, logout_timeout='0.7')
		job = s.ctl_job('targets/%s/ctl' % t.iqn, 'logout')
		job.result(SLACK)			# errno 0 or not: it is over
		t.wait(lambda: conn_closed(t), 'the initiator to close')
		s.wait(lambda: not s.exists('targets', t.iqn, 'lun0'), 'the LUN to go')
	s.event('logout-timed-out')


@scene
def silence_15_logout_forced(s):
	"""logout force=yes with a dead target and a read outstanding: ends, the read with it."""
	t, j = silent(s, Silent, lambda t: s.read_job(t, 4096, 4096), logout_timeout='0.7')
	t.wait(lambda: t.mute, 'the read')
	s.ctl_job('targets/%s/ctl' % t.iqn, 'logout force=yes').result(SLACK)
	ends(s, j)


@scene
def silence_16_sigterm(s):
	"""SIGTERM with a dead target and I/O outstanding: the daemon ends (teardown checks)."""
	t, j = silent(s, Silent, lambda t: s.read_job(t, 4096, 4096), logout_timeout='0.7')
	t.wait(lambda: t.mute, 'the read')
	wrong = s.daemon.stop()
	s.running = False
	s.check(not wrong, '; '.join(wrong))
	ends(s, j)


@scene
def silence_17_control_timeout(s):
	"""timeout= bounds a login in each stage, and nothing is left behind."""
	t = s.target(LoginSilence, answers=0)
	for _ in range(3):
		ends(s, s.login_job(t, timeout='0.3'), *TIMEOUT)
	t.wait(lambda: t.conns and all(c.eof for c in t.conns), 'connections to be closed')
	t.answers = 0
	t.on_login = lambda c, req, keys, reply: None
	s.login(t)


@scene
def silence_18_nowait(s):
	"""nowait=yes returns at once, the tree goes on while the login waits."""
	t = s.target(LoginSilence, answers=0)
	reply = s.ctl('ctl', s.login_line(t, {'login_timeout': 2, 'nowait': 'yes'}), limit=SLACK)
	s.equal(reply.errno, 0, 'errno with nowait')
	good = s.target(luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:good')
	s.login(good)
	s.check(s.read(good, 0, 4096) == pattern(0, 4096), 'wrong data')
	t.wait(lambda: conn_closed(t), 'the login to time out', SLACK)


@scene
def silence_19_one_dead_session_does_not_stop_others(s):
	"""While one session hangs, another reads and writes."""
	t, j = silent(s, Silent, lambda t: s.read_job(t, 4096, 4096), command_timeout='2', nop_timeout='2')
	good = s.target(luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:good')
	s.login(good)
	for n in range(20):
		s.check(s.read(good, n * 4096, 4096) == pattern(n * 4096, 4096), 'wrong data')
	j.errno()
