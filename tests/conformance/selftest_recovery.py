# SPDX-License-Identifier: BSD-2-Clause
"""Self-test of the target's error recovery: the tiny initiator recovers rightly, and the
target serves it without a violation; then it breaks one rule at a time, and is noticed.

A part of selftest; tests(broken) gives the functions."""

import os

import scsi
from common import is_read, is_write, pattern, pattern_disk
from initiator import Initiator, Refused
from net import loopback
from pdu import Op, RESERVED_TAG, make_keys, sn_add
from target import IQN, Target

ERL1 = {'ErrorRecoveryLevel': 1}
ERL2 = {'ErrorRecoveryLevel': 2, 'MaxConnections': 2}
OFFER1, OFFER2 = [('ErrorRecoveryLevel', '1')], [('ErrorRecoveryLevel', '2'), ('MaxConnections', '2')]
READ = [0x28, 0, 0, 0, 0, 0, 0, 0, 16, 0]		# 16 blocks at 0
SIZE = 8192


class Lossy(Target):
	"""Loses the PDUs that `loses(pdu)` names, each opcode-and-number once."""

	def loses(self, pdu):
		return False

	def before_send(self, c, pdu):
		if c.phase == 'ffp' and not pdu.resent and self.loses(pdu):
			return False
		return None


def lossy(loses, **config):
	cls = type('L', (Lossy,), {'loses': lambda self, pdu: loses(pdu)})
	return cls(luns={0: pattern_disk(1 << 20)}, values=dict(ERL1, **config.pop('values', {})), **config)


def clean(t):
	assert not t.crashes, t.crashes[0]
	assert not t.violations, '\n'.join(str(v) for v in t.violations)


def connected(t, offers=OFFER1, **more):
	return Initiator(t.port, IQN).login(offers=offers, **more)


def lose_data(n):
	return lambda p: p.opcode == Op.DATA_IN and p.datasn == n


def get(i, cmd, skip=()):
	"""Data-Ins until a status; the status PDU."""
	while True:
		p = i.recv()
		if p.opcode == Op.DATA_IN:
			i.take(p)
		if p.opcode == Op.SCSI_RSP or p.opcode == Op.DATA_IN and p.has_status:
			return p


def data_snack():
	for in_data in (True, False):
		with lossy(lose_data(3), data_in_size=1024, status_in_data=in_data) as t:
			i = connected(t)
			i.keep_acks = True
			cmd = i.start(READ, read=SIZE)
			last = get(i, cmd)
			assert bytes(i.buf) != pattern(0, SIZE)
			i.snack(0, 3, 1, itt=cmd.itt)
			p = i.recv()
			assert p.opcode == Op.DATA_IN and p.datasn == 3 and p.resent is False
			i.take(p)
			assert bytes(i.buf) == pattern(0, SIZE)
			i.keep_acks = False
			i.saw(last)
			i.snack(0, 0, 1, itt=0x4711)		# no such task
			assert i.recv().response == 4
			assert [v.rule for v in t.violations] == ['snack']
			t.violations.clear()
			i.logout()
			clean(t)


def data_snack_for_all():
	with lossy(lose_data(2), data_in_size=1024, status_in_data=False) as t:
		i = connected(t)
		i.keep_acks = True
		cmd = i.start(READ, read=SIZE)
		last = get(i, cmd)
		i.snack(0, 0, 0, itt=cmd.itt)
		for n in range(8):
			p = i.recv()
			assert p.datasn == n
			i.take(p)
		assert bytes(i.buf) == pattern(0, SIZE)
		i.keep_acks = False
		i.saw(last)
		i.logout()
		clean(t)


def status_snack():
	with lossy(lambda p: p.opcode == Op.SCSI_RSP and p.status == 2) as t:
		i = connected(t)
		t.luns[0].errors = {3: scsi.READ_ERROR}
		cmd = i.start(READ, read=SIZE)
		t.wait(lambda: any('not sent' in e.text for e in t.events), 'the loss')
		i.snack(1, i.expstatsn, 1)
		p = i.recv()
		assert p.opcode == Op.SCSI_RSP and p.itt == cmd.itt and p.status == 2 and p.data[4] == 3
		i.logout()
		clean(t)


def r2t_snack():
	with lossy(lambda p: p.opcode == Op.R2T and p.datasn == 0,
			values={'ImmediateData': 'No', 'InitialR2T': 'Yes'}) as t:
		i = connected(t, offers=OFFER1 + [('ImmediateData', 'No'), ('InitialR2T', 'Yes')])
		cmd = i.start([0x2A, 0, 0, 0, 0, 0, 0, 0, 16, 0], write=b'w' * SIZE)
		t.wait(lambda: any('not sent' in e.text for e in t.events), 'the loss')
		i.snack(0, 0, 1, itt=cmd.itt)
		assert i.finish(cmd)[0] == 0
		assert t.luns[0].store[:SIZE] == b'w' * SIZE
		i.logout()
		clean(t)


def r_data_snack():
	for in_data in (True, False):
		with lossy(lose_data(1), status_in_data=in_data, data_in_size=2048) as t:
			i = connected(t, max_recv=4096)
			i.keep_acks = True
			cmd = i.start(READ, read=SIZE)
			last = get(i, cmd)
			i.request(Op.TEXT_REQ, imm=True, final=True, ttt=RESERVED_TAG,
				data=make_keys([('MaxRecvDataSegmentLength', '1024')]))
			assert i.recv().opcode == Op.TEXT_RSP
			i.snack(3, itt=cmd.itt, ttt=0x77)
			i.buf = bytearray(SIZE)
			for n in range(8):
				p = i.recv()
				assert (p.opcode, p.datasn, p.dsl) == (Op.DATA_IN, n, 1024), p
				i.take(p)
			p = i.recv()
			assert p.opcode == Op.SCSI_RSP and p.snack_tag == 0x77 and p.statsn == last.statsn
			assert bytes(i.buf) == pattern(0, SIZE)
			i.keep_acks = False
			i.expstatsn = t.conns[0].statsn
			i.logout()
			clean(t)


def dataack():
	with lossy(lambda p: False, a_bit=True, data_in_size=1024, values={'MaxBurstLength': 4096}) as t:
		i = connected(t, offers=OFFER1 + [('MaxBurstLength', '4096')])
		i.keep_acks = True
		cmd = i.start(READ, read=SIZE)
		asked = []
		while len(asked) < 2:
			p = i.recv()
			if p.ack:
				i.snack(2, sn_add(p.datasn), ttt=p.ttt, lun=p.lun)
				asked.append(p.datasn)
		assert asked == [3, 7]
		t.wait(lambda: len(t.received(Op.SNACK)) == 2 and not t.conns[0].acks, 'DataACKs')
		i.keep_acks = False
		i.saw(p)
		i.logout()
		assert cmd.itt and not t.sent(Op.REJECT)
		clean(t)


class Wire(Target):
	"""Loses the first PDU for which loses(pdu) is true on the way in."""
	loses = None
	how = 'lost'

	def on_wire(self, c, pdu):
		if self.loses and self.loses(pdu):
			self.loses = None
			return self.how
		return None


def wire(loses, how='lost', **config):
	t = Wire(luns={0: pattern_disk(1 << 20)}, how=how, values=dict(ERL1, **config.pop('values', {})), **config)
	t.loses = loses
	return t


def retry_of_a_lost_command():
	for how in ('lost', 'digest'):
		with wire(lambda p: p.opcode == Op.SCSI_CMD, how) as t:
			i = connected(t)
			cmd = i.start(READ, read=SIZE)
			i.request(Op.NOP_OUT, final=True, ttt=RESERVED_TAG)	# waits behind the hole
			if how == 'digest':
				p = i.recv()
				assert p.opcode == Op.REJECT and p.response == 2 and p.data == bytes(cmd.bhs)
			i.again(cmd)
			status, data, _ = i.finish(cmd)
			assert status == 0 and data == pattern(0, SIZE)
			assert i.recv().opcode == Op.NOP_IN
			assert any('retry' in e.text for e in t.events) or how == 'digest'
			i.logout()
			clean(t)


def retry_of_what_arrived_is_ignored():
	with wire(None) as t:
		hold = []
		t.on_scsi_command = lambda c, task: hold.append(task) or True
		i = connected(t)
		cmd = i.start(READ, read=SIZE)
		t.wait(lambda: hold, 'the command')
		i.again(cmd)
		t.wait(lambda: any('retry' in e.text for e in t.events), 'the retry')
		assert len(hold) == 1
		with t.sessions[0].lock:
			t.go_on(hold[0])
		assert i.finish(cmd)[1] == pattern(0, SIZE)
		i.logout()
		clean(t)


def recovery_r2t():
	data = os.urandom(SIZE)
	for how in ('lost', 'digest'):
		for which in (0, 2, 7):
			with wire(lambda p: p.opcode == Op.DATA_OUT and p.datasn == which, how, max_recv=1024,
					values={'ImmediateData': 'No', 'InitialR2T': 'Yes'}) as t:
				if which == 7 and how == 'lost':
					t.loses = None
				i = connected(t, offers=OFFER1 + [('ImmediateData', 'No'), ('InitialR2T', 'Yes')])
				cmd = i.start([0x2A, 0, 0, 0, 0, 0, 0, 0, 16, 0], write=data)
				rejects = []
				old, i.recv = i.recv, lambda: skip(old, rejects)
				assert i.finish(cmd)[0] == 0
				assert bytes(t.luns[0].store[:SIZE]) == data
				assert len(rejects) == (how == 'digest')
				r2ts = t.sent(Op.R2T)
				if t.loses is None and not (which == 7 and how == 'lost'):
					assert [(p.datasn, p.offset, p.ddtl) for p in r2ts][1:] == [(1, which * 1024, 1024)], r2ts
				i.recv = old
				i.logout()
				clean(t)


def skip(recv, rejects):
	while True:
		p = recv()
		if p.opcode != Op.REJECT:
			return p
		rejects.append(p)


def abort_plugs_a_hole():
	with wire(lambda p: p.opcode == Op.SCSI_CMD) as t:
		i = connected(t)
		cmd = i.start(READ, read=SIZE)
		assert i.tmf(1, cmd) == 0
		assert i.read10(0, 1)[1] == pattern(0, 512)
		i.logout()
		clean(t)


def two_connections():
	with Target(luns={0: pattern_disk(1 << 20)}, values=ERL2) as t:
		a = connected(t, OFFER2)
		b = Initiator(t.port, IQN).login(join=a, cid=5)
		for n in range(6):
			assert (a, b)[n % 2].read10(n, 1)[1] == pattern(n * 512, 512)
		early = b.cmdsn				# b's command overtakes a's
		b.cmdsn = sn_add(early)
		second = b.start(READ, read=SIZE)
		a.cmdsn = early
		first = a.start(READ, read=SIZE)
		a.cmdsn = sn_add(early, 2)
		assert a.finish(first)[1] == b.finish(second)[1] == pattern(0, SIZE)
		try:
			Initiator(t.port, IQN).login(join=a, cid=6)
			raise AssertionError('a third connection')
		except Refused as e:
			assert e.args[0] == 0x0206
		assert a.recovery_logout(5, b.expstatsn, reason=1).response == 0
		assert a.recovery_logout(9, reason=1).response == 1
		t.violations.clear()			# that CID is unknown
		a.logout()
		clean(t)


class Holds(Target):
	"""Keeps commands until let go; part: that many Data-Ins of a READ go out before."""
	part = 0
	holding = True

	def on_scsi_command(self, c, task):
		if not self.holding or not (is_read(task) or is_write(task)):
			return False
		if is_read(task):
			data = self.run(task).data
			for n in range(self.part):
				self.data_pdu(task, n * 1024, data[n * 1024:n * 1024 + 1024], n)
		elif self.part:
			self.send_r2t(task, task.asked, min(4096, task.edtl - task.asked))
			task.manual = True
		else:
			return False
		self.held = task
		return True

	def on_burst(self, c, task, seq):
		return self.holding and task.manual

	def on_reassign(self, c, task, expdatasn):
		task.manual = False


def reassign(after, write=False, part=2, new_cid=None, **config):
	"""One connection of two dies with a task; after(a, b, cmd) does the rest."""
	config.setdefault('values', ERL2)
	with Holds(luns={0: pattern_disk(1 << 20)}, part=part, data_in_size=1024, **config) as t:
		a = connected(t, OFFER2)
		b = Initiator(t.port, IQN).login(join=a, cid=1)
		cmd = b.start([0x2A, 0, 0, 0, 0, 0, 0, 0, 16, 0], write=b'r' * SIZE) if write else \
			b.start(READ, read=SIZE)
		for n in range(part if not write else 0):
			b.take(b.recv())
		t.wait(lambda: getattr(t, 'held', None), 'the command')
		b.close()
		t.wait(lambda: t.conns[1].eof and t.sessions[0].failed, 'the loss')
		t.holding = False
		a.buf, a.out = b.buf, b.out
		after(t, a, b, cmd)
		assert not t.crashes, t.crashes[0]
		return [v.rule for v in t.violations]


def reassign_read():
	def right(t, a, b, cmd):
		assert a.recovery_logout(1, b.expstatsn).response == 0
		assert a.tmf(8, cmd, expdatasn=2) == 0
		status, data, _ = a.finish(cmd)
		assert status == 0 and data == pattern(0, SIZE)
		assert [p.datasn for p in t.sent(Op.DATA_IN) if p.itt == cmd.itt] == list(range(8))
		a.logout()
	assert reassign(right) == []

	def from_zero(t, a, b, cmd):
		a.recovery_logout(1, b.expstatsn)
		assert a.tmf(8, cmd) == 0
		assert a.finish(cmd)[1] == pattern(0, SIZE)
		a.logout()
	assert reassign(from_zero) == []

	def by_reinstatement(t, a, b, cmd):
		c = Initiator(t.port, IQN).login(join=a, cid=1, old_expstatsn=b.expstatsn)
		assert c.tmf(8, cmd, expdatasn=2) == 0
		c.buf, c.out = b.buf, b.out
		assert c.finish(cmd)[1] == pattern(0, SIZE)
		a.logout()
	assert reassign(by_reinstatement) == []


def reassign_a_write():
	def right(t, a, b, cmd):
		assert a.recovery_logout(1, b.expstatsn).response == 0
		assert a.tmf(8, cmd) == 0
		assert a.finish(cmd)[0] == 0
		assert t.luns[0].store[:SIZE] == b'r' * SIZE
		a.logout()
	assert reassign(right, write=True) == []


def reassign_a_finished_task():
	def right(t, a, b, cmd):
		assert a.recovery_logout(1, b.expstatsn).response == 0
		assert a.tmf(8, cmd, expdatasn=3) == 0
		assert a.finish(cmd)[1] == pattern(0, SIZE)
		a.logout()

	for in_data in (True, False):
		with Target(luns={0: pattern_disk(1 << 20)}, values=ERL2, data_in_size=1024, status_in_data=in_data) as t:
			a = connected(t, OFFER2)
			b = Initiator(t.port, IQN).login(join=a, cid=1)
			cmd = b.start(READ, read=SIZE)
			for _ in range(3):
				b.take(b.recv())
			t.wait(lambda: t.sessions[0].finished, 'the status')
			b.close()
			t.wait(lambda: t.sessions[0].failed, 'the loss')
			a.buf = b.buf
			right(t, a, b, cmd)
			clean(t)


def reassign_refused():
	def before_logout(t, a, b, cmd):
		assert a.tmf(8, cmd) == 3
	assert reassign(before_logout) == ['reassign']

	def not_immediate(t, a, b, cmd):
		a.recovery_logout(1, b.expstatsn)
		a.request(Op.TMF_REQ, final=True, function=8, rtt=cmd.itt)
		a.recv()
	assert reassign(not_immediate) == ['tmf']

	def unknown(t, a, b, cmd):
		a.recovery_logout(1, b.expstatsn)
		assert a.tmf(8, rtt=0x999) == 1
	assert reassign(unknown) == []

	def bad_datasn(t, a, b, cmd):
		a.recovery_logout(1, b.expstatsn)
		a.tmf(8, cmd, expdatasn=7)
	assert reassign(bad_datasn) == ['reassign']

	def too_late(t, a, b, cmd):
		assert a.recovery_logout(1, b.expstatsn).response == 0
		t.wait(lambda: not t.sessions[0].tasks, 'the end of Time2Retain')
		assert a.tmf(8, cmd) == 1
		a.logout()
	assert reassign(too_late, values=dict(ERL2, DefaultTime2Retain=1)) == []

	def below_2(t, a, b, cmd):
		assert a.recovery_logout(1, b.expstatsn).response == 2
		assert a.recovery_logout(1, b.expstatsn, reason=1).response == 0
		assert a.tmf(8, cmd) == 4
	assert sorted(reassign(below_2, values=dict(ERL2, ErrorRecoveryLevel=1))) == ['logout', 'reassign']


def reinstating_a_live_connection_is_noticed():
	with Target(values=ERL2) as t:
		a = connected(t, OFFER2)
		Initiator(t.port, IQN).login(join=a, cid=0)
		assert [v.rule for v in t.violations] == ['reinstatement'], t.violations


def session_reinstatement():
	with Holds(luns={0: pattern_disk(1 << 20)}) as t:
		a = connected(t, ())
		a.start(READ, read=SIZE)
		t.wait(lambda: getattr(t, 'held', None), 'the command')
		t.holding = False
		a.close()
		t.wait(lambda: t.conns[0].eof, 'the loss')
		b = connected(t, (), isid=a.isid)
		assert b.tsih != a.tsih and t.sessions[0].dead and t.held.finished
		status, _, rsp = b.read10(0, 1)
		assert status == 2 and rsp.data[14:16] == bytes((0x29, 0x07)), rsp.data.hex()
		assert b.read10(0, 1)[1] == pattern(0, 512)
		try:
			Initiator(t.port, IQN).login(join=a, cid=3)
			raise AssertionError('joined a session that was reinstated')
		except Refused as e:
			assert e.args[0] == 0x020A
		b.logout()
		clean(t)


def time2retain_ends_a_session():
	with Target(values={'DefaultTime2Retain': 1}) as t:
		a = connected(t, [('DefaultTime2Retain', '1')])
		a.close()
		t.wait(lambda: t.sessions[0].dead, 'the end of the session')


def logout_of_a_connection_ends_its_tasks():
	def close(t, a, b, cmd):
		assert a.recovery_logout(1, b.expstatsn, reason=1).response == 0
		assert not t.sessions[0].tasks
		status, _, rsp = a.read10(0, 1)
		assert status == 2 and rsp.data[14:16] == bytes((0x47, 0x7F))
		assert a.read10(0, 1)[0] == 0
		a.logout()
	assert reassign(close) == []


def resets():
	with Target(luns={0: pattern_disk(1 << 20), 1: pattern_disk(1 << 20)}) as t:
		i = connected(t, ())
		assert i.tmf(5, lun=b'\0\1' + bytes(6)) == 0
		assert i.read10(0, 1)[0] == 0 and i.read10(0, 1, lun=1)[0] == 2 and i.read10(0, 1, lun=1)[0] == 0
		assert i.tmf(6) == 0
		assert i.read10(0, 1)[0] == 2 and i.read10(0, 1, lun=1)[0] == 2
		assert i.tmf(7) == 0
		try:
			assert i.sock.recv(1) == b''
		except OSError:
			pass
		clean(t)


def portals():
	with Target() as t:
		second = t.add_portal(loopback(2))
		assert [v for k, v in connected_discovery(t) if k == 'TargetAddress'] == \
			[t.portal + ',1', second.address + ',1']
		second.close()
		try:
			Initiator(second.port, host=loopback(2))
			raise AssertionError('connected to a closed portal')
		except OSError:
			pass
		second.open()
		Initiator(second.port, IQN, host=loopback(2)).login().logout()
		clean(t)


def connected_discovery(t):
	i = Initiator(t.port).login(discovery=True)
	keys = i.send_targets()
	i.logout()
	return keys


def breaches(broken):
	"""One rule at a time (the second half of this page)."""
	def play():
		lose3 = type('L', (Lossy,), {'loses': lambda self, p: lose_data(3)(p)})
		lost_cmd = type('W', (Wire,), {'loses': staticmethod(lambda p: p.opcode == Op.SCSI_CMD and p.read)})
		lost_status = type('S', (Lossy,), {'loses': lambda self, p: p.opcode == Op.SCSI_RSP})
		acks = type('A', (Target,), {'a_bit': True})
		one = dict(offers=OFFER1, values=ERL1)

		def acked_too_early(i, t):
			cmd = i.start(READ, read=SIZE)
			get(i, cmd)
			i.read10(0, 1)
		broken('early-ack', acked_too_early, cls=lose3, data_in_size=1024, **one)

		def status_skipped(i, t):
			i.start([0] * 6)
			t.wait(lambda: any('not sent' in e.text for e in t.events), 'the loss')
			i.expstatsn = t.conns[0].statsn
			i.request(Op.NOP_OUT, imm=True, final=True, ttt=RESERVED_TAG)
			i.recv()
		broken('early-ack', status_skipped, cls=lost_status, **one)

		def never_sent(i, t):
			i.keep_acks = True
			cmd = i.start(READ, read=SIZE)
			get(i, cmd)
			i.snack(0, 90, 1, itt=cmd.itt)
			i.recv()
		broken('snack', never_sent, data_in_size=1024, **one)
		broken('snack', lambda i, t: i.snack(1, i.expstatsn + 5, 1), **one)
		broken('snack', lambda i, t: (i.read10(0, 1), i.read10(0, 1), i.snack(1, i.expstatsn - 2, 1)), **one)
		broken('snack', lambda i, t: i.snack(2, 1, ttt=0x5555), **one)
		broken('snack', lambda i, t: i.snack(1, i.expstatsn, 1, itt=5), **one)

		def wrong_ack(**fields):
			def do(i, t):
				i.keep_acks = True
				p = get(i, i.start(READ, read=SIZE))
				i.snack(2, **dict({'begrun': sn_add(p.datasn), 'ttt': p.ttt, 'lun': p.lun}, **fields))
			return do
		broken('snack', wrong_ack(lun=b'\0\3'), cls=acks, **one)
		broken('snack', wrong_ack(runlength=1), cls=acks, **one)
		broken('snack', wrong_ack(begrun=0), cls=acks, **one)
		broken('snack', wrong_ack(itt=4), cls=acks, **one)

		def late_ack(i, t):
			p = get(i, i.start(READ, read=SIZE))
			i.read10(0, 1)
			i.snack(2, sn_add(p.datasn), ttt=p.ttt, lun=p.lun)
		broken('snack', late_ack, cls=acks, **one)

		def acked_data_again(i, t):
			i.keep_acks = True
			cmd = i.start(READ, read=SIZE)
			p = get(i, cmd)
			i.snack(2, sn_add(p.datasn), ttt=p.ttt, lun=p.lun)
			i.snack(0, 0, 1, itt=cmd.itt)
		broken('snack', acked_data_again, cls=acks, **one)

		def data_snack_where_r_data_is_due(i, t):
			i.keep_acks = True
			cmd = i.start(READ, read=SIZE)
			get(i, cmd)
			i.request(Op.TEXT_REQ, imm=True, final=True, ttt=RESERVED_TAG,
				data=make_keys([('MaxRecvDataSegmentLength', '1024')]))
			i.recv()
			i.snack(0, 3, 1, itt=cmd.itt)
		broken('snack', data_snack_where_r_data_is_due, cls=lose3, data_in_size=1024, **one)

		def spoilt_retry(**fields):
			def do(i, t):
				cmd = i.start(READ, read=SIZE)
				for k, v in fields.items():
					setattr(cmd, k, v)
				i.again(cmd)
				i.finish(cmd)
			return do
		broken('retry', spoilt_retry(cdb=bytes([0x28]) + bytes(7) + b'\1\0'), cls=lost_cmd, **one)
		broken('retry', spoilt_retry(attr=0), cls=lost_cmd, **one)
		broken('retry', spoilt_retry(lun=b'\0\1'), cls=lost_cmd, **one)
		broken('cmdsn', spoilt_retry(itt=0x999), cls=lost_cmd, **one)
		broken('cmdsn', spoilt_retry(cmdsn=200), cls=lost_cmd, **one)

		def acknowledged(i, t):
			cmd = i.start(READ, read=SIZE)
			i.finish(cmd)
			i.again(cmd)
			i.read10(0, 1)
		broken('retry', acknowledged, **one)
		broken('retry', spoilt_retry())		# ERL 0, nothing was lost

		def elsewhere(i, t):
			j = Initiator(t.port, IQN).login(join=i, cid=1)
			cmd = i.start(READ, read=SIZE)
			j.again(cmd)
		broken('retry', elsewhere, cls=lost_cmd, offers=OFFER2, values=ERL2)
		broken('reassign', lambda i, t: i.tmf(8, rtt=5), **one)
		broken('tmf', lambda i, t: i.tmf(8, rtt=5, lun=b'\0\1'), **one)
		broken('tmf', lambda i, t: i.tmf(14, rtt=5), **one)
		broken('cmdsn', lambda i, t: (setattr(i, 'cmdsn', i.cmdsn + 1), i.read10(0, 1)))

		def backwards(i, t):
			i.cmdsn += 1
			i.start(READ, read=SIZE)
			i.cmdsn -= 2
			i.start(READ, read=SIZE)
			i.recv()

		def two(i, t):
			j = Initiator(t.port, IQN).login(join=i, cid=1)
			backwards(i, t)
			j.close()
		broken('cmdsn', two, offers=OFFER2, values=ERL2)
	play.__name__ = 'checker_notices_breaches_of_recovery'
	return play


def after_a_logout():
	"""A session logout by one connection: what comes by the other one is judged by its CmdSN."""
	with Target(luns={0: pattern_disk(1 << 20)}, values=ERL2) as t:
		def logged_out(send):
			a = connected(t, offers=OFFER2)
			b = Initiator(t.port, IQN).login(join=a, cid=1)
			count = len(t.violations)
			a.request(Op.LOGOUT_REQ, imm=True, final=True)
			assert a.recv().opcode == Op.LOGOUT_RSP
			have = len(t.received(Op.NOP_OUT))
			send(a, b)
			t.wait(lambda: len(t.received(Op.NOP_OUT)) > have, 'the NOP-Out')
			a.close()
			b.close()
			t.wait(lambda: all(not c.alive for c in t.conns), 'the end of the connections')
			return [v.rule for v in t.violations[count:]]
		ping = dict(final=True, ttt=RESERVED_TAG)
		assert logged_out(lambda a, b: b.request(Op.NOP_OUT, imm=True, **ping)) == []
		assert logged_out(lambda a, b: b.request(Op.NOP_OUT, **ping)) == ['after-logout']
		assert logged_out(lambda a, b: a.request(Op.NOP_OUT, imm=True, **ping)) == ['after-logout']


def tests(broken):
	return [data_snack, data_snack_for_all, status_snack, r2t_snack, r_data_snack, dataack,
		retry_of_a_lost_command, retry_of_what_arrived_is_ignored, recovery_r2t, abort_plugs_a_hole,
		two_connections, reassign_read, reassign_a_write, reassign_a_finished_task, reassign_refused,
		reinstating_a_live_connection_is_noticed, session_reinstatement, time2retain_ends_a_session,
		logout_of_a_connection_ends_its_tasks, after_a_logout, resets, portals, breaches(broken)]
