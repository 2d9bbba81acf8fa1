# SPDX-License-Identifier: BSD-2-Clause
"""Full feature phase, groups 1, 2, 3, 5, 10, 14, 15: commands, window, status, NOP, async.

Criteria: conformance.md section 1, with RFC 7143 above it.  The checker verifies each PDU
besides; a scene asserts what the checker cannot know, or that the thing happened at all."""

import errno
import time

from common import (HoldReads, LOST, at_level, conn_closed, conn_of, good_read, harmless, is_read,
	is_read_pdu, logins, once, pattern, pattern_disk, reads, right, round_trip, snacks)
from harness import scene
from pdu import Op, RESERVED_TAG, sn_add, sn_lt
from scsi import READ_CAPACITY_10, SERVICE_ACTION_IN
from target import Target


def numbered(t):
	"""The requests with a CmdSN of their own, in order, normal sessions only."""
	return [p for p in t.received(Op.SCSI_CMD, Op.NOP_OUT, Op.TEXT_REQ, Op.LOGOUT_REQ, Op.TMF_REQ)
		if not p.imm]


@scene
def ffp_1_1_command_numbering(s):
	"""CmdSN rises by exactly 1 a non-immediate command, from the first Login Request on."""
	t = s.target()
	s.login(t)
	for n in range(8):
		round_trip(s, t, n * 8192, 4096)
	first = t.received(Op.LOGIN_REQ)[0].cmdsn
	got = [p.cmdsn for p in numbered(t)]
	s.check(len(got) >= 16, 'only %d commands' % len(got))
	s.equal(got, [sn_add(first, n) for n in range(len(got))], 'CmdSNs')


@scene
def ffp_2_1_immediate_delivery(s):
	"""An immediate PDU carries the current CmdSN, the next command uses the same."""
	t = s.target()
	s.login(t)
	s.read(t, 0, 4096)
	c = t.ffp_conns()[0]
	ttt = t.ping(c)
	nop = t.wait(lambda: [p for p in t.received(Op.NOP_OUT) if p.ttt == ttt], 'the NOP-Out')[0]
	s.check(nop.imm, 'the answer to a ping is not immediate')
	s.read(t, 8192, 4096)
	after = t.received()
	after = [p for p in after[after.index(nop) + 1:] if p.opcode == Op.SCSI_CMD][0]
	s.equal(after.cmdsn, nop.cmdsn, 'CmdSN of the next command')


@scene
def ffp_2_2_immediate_tmf(s):
	"""An immediate TMF carries the CmdSN of the next command."""
	t = s.target()
	s.login(t)
	s.read(t, 0, 4096)
	reply = s.ctl('targets/%s/lun0/ctl' % t.iqn, 'reset')
	s.equal(reply.errno, 0, 'errno of reset (%s)' % reply.text)
	s.read(t, 8192, 4096)
	pdus = t.received()
	tmf = [p for p in pdus if p.opcode == Op.TMF_REQ][0]
	s.check(tmf.imm, 'the TMF is not immediate')
	after = [p for p in pdus[pdus.index(tmf) + 1:] if p.opcode == Op.SCSI_CMD][0]
	s.equal(after.cmdsn, tmf.cmdsn, 'CmdSN of the next command')


class ClosesWindow(Target):
	"""MaxCmdSN = ExpCmdSN; after close_at the answer to the next READ closes the window."""
	window = 1
	armed = False

	def on_scsi_command(self, c, task):
		if self.armed and is_read(task):
			self.armed = False
			self.window = 0


def closed_window(s, status_in_data):
	t = s.target(ClosesWindow, luns={0: pattern_disk()}, status_in_data=status_in_data)
	s.login(t)
	t.armed = True
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
	s.equal(t.window, 0, 'the window is closed')
	before = len(t.commands())
	job = s.read_job(t, 65536, 4096)
	s.pause(1.5)
	s.equal(len(t.commands()), before, 'SCSI Commands sent into the closed window')
	t.window = 4				# MaxCmdSN = ExpCmdSN + 3
	t.announce(t.ffp_conns()[0])
	s.check(job.result() == pattern(65536, 4096), 'wrong data after the window opened')
	return t


@scene
def ffp_3_1_window_closed(s):
	"""No command into a closed window, until a NOP-In opens it."""
	closed_window(s, True)


@scene
def ffp_3_2_large_window(s):
	"""Several commands are outstanding without waiting for responses."""
	t = s.target(HoldReads, window=100, luns={0: pattern_disk()}, hold=0)
	s.login(t)
	t.hold = 4
	jobs = [s.read_job(t, n * 16384, 4096) for n in range(8)]
	for n, job in enumerate(jobs):
		s.check(job.result() == pattern(n * 16384, 4096), 'wrong data in read %d' % n)
	s.check(t.most >= 4, 'at most %d outstanding' % t.most)


class WindowOfOne(Target):
	"""MaxCmdSN = ExpCmdSN while nothing is outstanding, else closed; slow answers."""
	window = 1
	busy = most = 0
	narrow = True

	def max_cmdsn(self, s):
		if not self.narrow:
			return sn_add(s.expcmdsn, 31)
		return sn_add(s.expcmdsn, -1 if s.tasks else 0)

	def on_scsi_command(self, c, task):
		self.busy += 1
		self.most = max(self.most, self.busy)
		self.later(0.02, self.answer, c, task)
		return True

	def answer(self, c, task):
		with c.session.lock:
			self.busy -= 1
			self.go_on(task)


@scene
def ffp_3_3_window_of_one(s):
	"""Never more than one command until the window grows."""
	t = s.target(WindowOfOne, luns={0: pattern_disk()})
	s.login(t)
	for narrow in (True, False):
		t.narrow, t.most = narrow, 0
		jobs = [s.read_job(t, n * 16384, 4096) for n in range(12)]
		for n, job in enumerate(jobs):
			s.check(job.result() == pattern(n * 16384, 4096), 'wrong data in read %d' % n)
		if narrow:
			s.equal(t.most, 1, 'commands outstanding in a window of one')
	s.check(t.most > 1, 'the larger window is not used')


@scene
def ffp_3_4_maxcmdsn_falls_or_lies(s):
	"""A smaller MaxCmdSN, and one below ExpCmdSN - 1, are ignored (4.2.2.1)."""
	class Lies(Target):
		lie = 0

		def max_cmdsn(self, session):
			return sn_add(session.expcmdsn, self.lie or 31)

	t = s.target(Lies, luns={0: pattern_disk()})
	s.login(t)
	for lie in (4, -1, -5, -1000, -0x7FFFFFF0):
		t.lie = lie
		for n in range(2):			# well inside the 31 that were granted
			s.check(s.read(t, n * 4096, 4096) == pattern(n * 4096, 4096), 'wrong data')


@scene
def ffp_3_5_statsn_wraps(s):
	"""StatSN passes 2^32 while commands run."""
	t = s.target(first_statsn=0xFFFFFFF0, luns={0: pattern_disk()})
	s.login(t)
	for n in range(24):
		s.check(s.read(t, n * 4096, 4096) == pattern(n * 4096, 4096), 'wrong data')
	s.check(t.conns[0].statsn < 0x1000, 'StatSN did not wrap: the scene shows nothing')


@scene
def ffp_4_1_command_retry(s):
	"""A command that is never acknowledged is sent again, the same, on the same connection."""
	t = at_level(s, 1)
	t.rx = once('lost', is_read_pdu)
	right(s, t, s.read_job(t, 65536, 4096), 65536)
	got = reads(t)
	s.equal(len(got), 2, 'READs sent')
	for name in ('itt', 'cmdsn', 'flags', 'lun', 'cdb', 'edtl'):
		s.equal(getattr(got[1], name), getattr(got[0], name), name + ' of the retry')
	s.check(conn_of(t, got[0]) is conn_of(t, got[1]), 'the retry went another way')
	for p in snacks(t):
		s.check(conn_of(t, p) is conn_of(t, got[0]), 'a SNACK went another way')


@scene
def ffp_4_1_command_retry_at_login(s):
	"""The same with the first READ CAPACITY, while the LUNs are looked at."""
	class Loses(Target):
		lost = None

		def on_wire(self, c, pdu):
			if not self.lost and pdu.opcode == Op.SCSI_CMD and \
					pdu.cdb[0] in (READ_CAPACITY_10, SERVICE_ACTION_IN):
				self.lost = pdu
				return 'lost'
			return None

	t = s.target(Loses, luns={0: pattern_disk()}, values={'ErrorRecoveryLevel': 1})
	s.login(t, erl=1, command_timeout=12)
	s.check(t.lost, 'no READ CAPACITY was sent')
	again = [p for p in t.commands(t.lost.cdb[0]) if p.cmdsn == t.lost.cmdsn]
	s.equal([p.itt for p in again], [t.lost.itt] * 2, 'ITTs with that CmdSN')
	s.equal(len(t.conns), 1, 'connections')
	good_read(s, t)


class StatSNJump(Target):
	armed = False

	def before_send(self, c, pdu):
		if self.armed and (pdu.opcode == Op.SCSI_RSP or pdu.opcode == Op.DATA_IN and pdu.has_status):
			self.armed = False
			pdu.statsn = sn_add(pdu.statsn, 0x80000000)


@scene
def ffp_5_1_statsn_jump(s):
	"""StatSN 2^31 away from ExpStatSN: recovery starts, at ERL 0 the session closes."""
	t = s.target(StatSNJump, luns={0: pattern_disk()})
	s.login(t)
	t.armed = True
	harmless(s, t, s.read_job(t, 0, 4096), 0)
	t.wait(lambda: conn_closed(t), 'the initiator to close the connection')


@scene
def ffp_10_1_status_in_data_in(s):
	"""Status in the last Data-In completes the command, without a SCSI Response."""
	t = s.target(luns={0: pattern_disk()}, data_in_size=1024)
	s.login(t)
	for n in range(4):
		s.check(s.read(t, n * 8192, 8192) == pattern(n * 8192, 8192), 'wrong data')
	itts = {p.itt for p in reads(t)}
	s.check(not [p for p in t.sent(Op.SCSI_RSP) if p.itt in itts], 'a SCSI Response was needed')


@scene
def ffp_10_1_status_in_response(s):
	"""The same with the status always in a SCSI Response."""
	t = s.target(luns={0: pattern_disk()}, data_in_size=1024, status_in_data=False)
	s.login(t)
	for n in range(4):
		s.check(s.read(t, n * 8192, 8192) == pattern(n * 8192, 8192), 'wrong data')
	itts = {p.itt for p in reads(t)}
	s.check(len([p for p in t.sent(Op.SCSI_RSP) if p.itt in itts]) == len(itts), 'the scene is wrong')


class AsksForAck(Target):
	"""The last Data-In of a READ has A=1; the response comes after the DataACK, so that no
	ExpStatSN can have acknowledged the data before."""
	armed = False
	waiting = None

	def on_scsi_command(self, c, task):
		if not self.armed or not is_read(task):
			return False
		self.waiting = task
		self.data_pdu(task, 0, self.run(task).data, 0, final=True, ack=True, ttt=0xACED0001, lun=task.lun)
		return True

	def snack_ack(self, c, pdu):
		super().snack_ack(c, pdu)
		self.respond(self.waiting)


@scene
def ffp_10_2_a_bit(s):
	"""A=1 in the last Data-In, no status yet: SNACK DataACK with its TTT and LUN."""
	t = at_level(s, 1, AsksForAck, luns={0: pattern_disk(), 7: pattern_disk(serial='SEVEN')})
	t.armed = True
	right(s, t, s.read_job(t, 8192, 4096, lun=7), 8192, lun=7)
	got = snacks(t)
	s.equal([(p.snack_type, p.itt, p.ttt, p.begrun, p.runlength) for p in got],
		[(2, RESERVED_TAG, 0xACED0001, 1, 0)], 'SNACKs')
	s.equal(len(reads(t)), 1, 'READs sent')


@scene
def ffp_10_3_a_bit_at_erl_0(s):
	"""The A bit is ignored at ERL 0 (11.7.2)."""
	class Acks(Target):
		def before_send(self, c, pdu):
			if pdu.opcode == Op.DATA_IN:
				pdu.ack = True
				pdu.ttt = 0x1234

	t = s.target(Acks, luns={0: pattern_disk()})
	s.login(t)
	s.check(s.read(t, 0, 8192) == pattern(0, 8192), 'wrong data')
	s.check(not t.received(Op.SNACK), 'SNACK at ERL 0')


@scene
def ffp_14_1_async_logout_request(s):
	"""AsyncEvent 1: Logout within Parameter3 seconds (30), nothing new before it."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	s.read(t, 0, 4096)
	c = t.ffp_conns()[0]
	sent = time.monotonic()
	t.async_message(c, 1, p3=30)
	out = t.wait(lambda: t.received(Op.LOGOUT_REQ), 'the Logout Request')[0]
	s.check(t.event_of(out).time - sent <= 30, 'the logout came too late')
	s.check(out.function in (0, 1), 'reason %d' % out.function)
	after = [e.pdu for e in t.events if e.kind == 'rx' and e.conn is c and e.pdu and e.time > sent]
	s.check(not [p for p in after if p.opcode == Op.SCSI_CMD], 'new commands after the event')
	s.equal(out.expstatsn, sn_add(t.sent(Op.ASYNC)[0].statsn), 'ExpStatSN of the logout')
	s.check(not out.ahs and not out.dsl, 'AHS or data in a Logout Request')
	t.wait(lambda: c.eof, 'the initiator to close after the logout')
	s.event('logout-requested', r'iqn\.')


@scene
def ffp_14_2_async_logout_two_connections(s):
	"""Event 1 on one of two connections: that one (or all) logs out, I/O goes on."""
	t = s.target(luns={0: pattern_disk()}, values={'MaxConnections': 2})
	s.two_connections(t)
	first, victim = t.ffp_conns()
	good_read(s, t)
	sent = time.monotonic()
	t.async_message(victim, 1, p3=30)
	out = t.wait(lambda: t.received(Op.LOGOUT_REQ), 'the Logout Request')[0]
	s.check(t.event_of(out).time - sent <= 30, 'the logout came too late')
	s.check(out.function in (0, 1), 'reason %d' % out.function)
	s.check(out.function == 0 or out.cid == victim.cid, 'logout of CID %d, asked was %d' % (out.cid, victim.cid))
	late = [e.pdu for e in t.events if e.kind == 'rx' and e.conn is victim and e.pdu and e.time > sent]
	s.check(not [p for p in late if p.opcode == Op.SCSI_CMD], 'new commands after the event')
	t.wait(lambda: victim.eof, 'the initiator to close')
	for n in range(8):
		good_read(s, t, n * 8192)
	if out.function == 1:
		s.check(first.alive and not first.logging_out, 'the other connection was lost too')


@scene
def ffp_15_1_nop_out_answer(s):
	"""NOP-In with a TTT: TTT and LUN come back, ITT reserved, I=1, no data, CmdSN kept."""
	t = s.target()
	s.login(t)
	c = t.ffp_conns()[0]
	for ttt, lun in ((0x12345678, bytes(8)), (0, b'\0\5' + bytes(6)), (0xFFFFFFFE, b'\x41\x2c' + bytes(6))):
		t.ping(c, lun=lun, ttt=ttt)
		nop = t.wait(lambda: [p for p in t.received(Op.NOP_OUT) if p.ttt == ttt], 'NOP-Out')[0]
		s.equal(nop.itt, RESERVED_TAG, 'ITT')
		s.check(nop.imm and nop.lun == lun and nop.dsl == 0, 'wrong answer %r' % nop)
	s.read(t, 0, 4096)
	s.equal(reads(t)[-1].cmdsn, nop.cmdsn, 'CmdSN of the next command')


@scene
def ffp_15_2_nop_out_ping(s):
	"""Silence: a NOP-Out with a valid ITT, TTT reserved, LUN 0."""
	t = s.target()
	s.login(t, nop_interval='0.3')
	nops = t.wait(lambda: t.received(Op.NOP_OUT)[2:], 'three pings')
	for p in t.received(Op.NOP_OUT):
		s.check(p.itt != RESERVED_TAG and p.ttt == RESERVED_TAG and not any(p.lun), 'odd ping %r' % p)
	s.check(nops, '')
	s.read(t, 0, 4096)


@scene
def ffp_15_2_ping_unanswered(s):
	"""Pings without an answer: the connection is given up, I/O ends with an error."""
	class Deaf(Target):
		deaf = False

		def on_pdu(self, c, pdu):
			return self.deaf

	t = s.target(Deaf)
	s.login(t, nop_interval='0.3', nop_timeout='0.7')
	s.read(t, 0, 4096)
	t.deaf = True
	job = s.read_job(t, 0, 4096)
	t.wait(lambda: conn_closed(t), 'the connection to be given up')
	t.deaf = False
	if job.errno() == 0:			# a reconnect has served it
		s.check(len(t.conns) > 1, 'the read succeeded without an answer')


@scene
def ffp_15_3_expstatsn_is_acknowledged(s):
	"""Some PDU acknowledges the last StatSN; a pure NOP-Out has both tags reserved, I=1."""
	t = s.target()
	s.login(t, nop_interval='0.5')
	s.read(t, 0, 4096)
	c = t.ffp_conns()[0]
	last = t.sent(Op.DATA_IN)[-1].statsn
	t.wait(lambda: sn_lt(last, c.acked), 'the last status to be acknowledged')
	for p in t.received(Op.NOP_OUT):
		if p.itt == RESERVED_TAG:
			s.check(p.imm and p.dsl == 0, 'odd NOP-Out %r' % p)


@scene
def ffp_16_5_window_closed_by_response(s):
	"""A SCSI Response closes the window, a NOP-In opens it."""
	t = closed_window(s, False)
	s.check(t.sent(Op.SCSI_RSP), 'the scene is wrong')


@scene
def ffp_16_1_1_command_fields_immediate(s):
	"""Fields of a SCSI Command with immediate data."""
	fields(s, 'Yes')


@scene
def ffp_16_1_2_command_fields_no_immediate(s):
	"""Fields of a SCSI Command without immediate data."""
	fields(s, 'No')


def fields(s, immediate):
	t = s.target(values={'ImmediateData': immediate, 'InitialR2T': 'Yes'})
	s.login(t, immediate_data=immediate.lower(), initial_r2t='yes')
	data = pattern(0, 4096)
	s.write(t, 0, data)
	final = t.sent(Op.LOGIN_RSP)[-1]
	commands = numbered(t)
	s.equal(commands[0].cmdsn, final.expcmdsn, 'first CmdSN = ExpCmdSN of the Login Response')
	s.equal(commands[0].expstatsn, sn_add(final.statsn), 'first ExpStatSN = StatSN + 1')
	itts = [p.itt for p in commands]
	s.equal(len(set(itts)), len(itts), 'number of different ITTs')
	w = t.commands(0x0A, 0x2A, 0x8A)
	s.equal(sum(p.edtl for p in w), 4096, 'bytes written')
	for p in w:
		s.equal(p.dsl, p.edtl if immediate == 'Yes' else 0, 'DataSegmentLength')
		s.equal(p.ahslen, 0, 'TotalAHSLength')
		s.check(p.write and not p.read and p.final, 'flags of %r' % p)
	s.check(t.luns[0].store[:4096] == data, 'wrong data written')


@scene
def ffp_17_1_logout(s):
	"""The logout verb: Logout Request, nothing after it, both sides close."""
	t = s.target()
	s.login(t)
	s.read(t, 0, 4096)
	reply = s.logout(t)
	s.equal(reply.errno, 0, 'errno of logout')
	out = t.received(Op.LOGOUT_REQ)
	s.equal(len(out), 1, 'Logout Requests')
	t.wait(lambda: conn_closed(t), 'the initiator to close')
	s.check(not s.exists('targets', t.iqn, 'lun0'), 'the LUN is still there after the logout')
	s.login(t)
	s.read(t, 0, 4096)


@scene
def ffp_17_1_logout_then_reconnect(s):
	"""Async logout request: Logout, nothing after it, FIN, then a login at the same address."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	good_read(s, t)
	c = t.ffp_conns()[0]
	t.async_message(c, 1, p3=3)
	t.wait(lambda: t.received(Op.LOGOUT_REQ), 'the Logout Request')
	t.wait(lambda: c.eof, 'the initiator to close')
	again = t.wait(lambda: [x for x in t.ffp_conns() if x is not c], 'the session to come back')[0]
	s.equal(again.session.isid, c.session.isid, 'ISID of the new session')
	for n in range(4):
		good_read(s, t, n * 8192)


@scene
def ffp_20_1_async_logout_in_one_second(s):
	"""AsyncEvent 1 with Parameter3=1: Logout at once, no new command before it."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	s.read(t, 0, 4096)
	count = len(t.received())
	t.async_message(t.ffp_conns()[0], 1, p3=1)
	out = t.wait(lambda: t.received(Op.LOGOUT_REQ), 'the Logout Request', 30)[0]
	came = t.received()
	s.check(not [p for p in came[count:came.index(out)] if p.opcode == Op.SCSI_CMD], 'new commands after the event')
	s.check(out.function in (0, 1), 'reason %d' % out.function)


@scene
def ffp_20_2_async_drop_connection(s):
	"""AsyncEvent 2, Time2Wait 0, Time2Retain 1: disconnected, and soon back."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	good_read(s, t)
	c = t.ffp_conns()[0]
	t.async_message(c, 2, p1=c.cid, p2=0, p3=1)
	t.later(0.2, c.close)
	t.wait(lambda: logins(t)[1:], 'the initiator to come back', 30)
	good_read(s, t, 8192)


@scene
def ffp_20_3_async_drop_session(s):
	"""AsyncEvent 3, Time2Wait 1, Time2Retain 2: all connections close; back after 1 s, soon."""
	t = s.target(luns={0: pattern_disk()}, values={'MaxConnections': 2})
	s.two_connections(t)
	good_read(s, t)
	old = t.ffp_conns()
	sent = time.monotonic()
	t.async_message(old[0], 3, p2=1, p3=2)
	t.later(0.5, lambda: [c.close() for c in old])
	again = t.wait(lambda: logins(t)[2:], 'the initiator to come back')[0]
	s.check(all(not c.alive for c in old), 'a login while an old connection is open')
	s.check(1 <= again.time - sent <= 30, 'it came back after %.1f s' % (again.time - sent))
	good_read(s, t, 8192)
	t.wait(lambda: len(t.ffp_conns()) == 2, 'both connections to come back')


@scene
def ffp_20_4_async_negotiate(s):
	"""AsyncEvent 4, Parameter3 3: a Text Request on that connection."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	good_read(s, t)
	c = t.ffp_conns()[0]
	t.async_message(c, 4, p3=3)
	text = t.wait(lambda: t.received(Op.TEXT_REQ), 'the Text Request', 30)[0]
	s.check(t.event_of(text).conn is c, 'the Text Request came by another connection')
	s.equal(text.ttt, RESERVED_TAG, 'TTT')
	t.wait(lambda: t.sent(Op.TEXT_RSP), 'the answer')
	for n in range(4):
		good_read(s, t, n * 8192)
	s.equal(len(t.conns), 1, 'connections')


@scene
def async_each_event(s):
	"""Events 0, 2, 3, 5 and vendor ones while reads run: never a crash, never wrong bytes."""
	for event, p in ((0, {}), (255, {'vcode': 3, 'sense': b'vendor'}), (77, {}), (5, {}),
			(2, {'p2': 0, 'p3': 1}), (3, {'p2': 0, 'p3': 1})):
		t = s.target(luns={0: pattern_disk()}, iqn='iqn.2026-01.org.iscsifs.test:async%d' % event)
		s.login(t)
		s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
		if event == 0:
			p = {'sense': bytes.fromhex('70000600000000' + '0a' + '00000000' + '3f0e' + '00000000')}
		c = t.ffp_conns()[0]
		t.async_message(c, event, **dict(p, p1=c.cid if event == 2 else 0))
		job = s.read_job(t, 8192, 4096)
		ok = harmless(s, t, job, 8192)
		if event in (0, 255):
			s.check(ok, 'a read failed after event %d' % event)


@scene
def async_drop_notification_then_close(s):
	"""Event 2, then the target closes: outstanding reads end, no wrong bytes."""
	class Drops(Target):
		armed = False

		def on_scsi_command(self, c, task):
			if self.armed and is_read(task):
				self.async_message(c, 2, p1=c.cid, p2=0, p3=0)
				c.close()
				return True

	t = s.target(Drops, luns={0: pattern_disk()})
	s.login(t)
	t.armed = True
	job = s.read_job(t, 0, 4096)
	t.wait(lambda: t.conns and not t.conns[0].alive, 'the drop')
	t.armed = False
	if not harmless(s, t, job, 0):
		s.check(job.errno() in LOST, 'errno %s' % errno.errorcode.get(job.errno()))
	s.event('connection-lost')
