# SPDX-License-Identifier: BSD-2-Clause
"""Hostile and broken targets in full feature phase.

The rule for all of them: the daemon lives, every I/O ends, no byte comes back that was not
received for it.  Where RFC 7143 demands an end of the connection, the scene demands it.

`attack` is the common shape: log in, arm the target, do one read or write, see how it ends.
After that a fresh login must work: nothing may be stuck."""

import random

from common import LOST, harmless, is_read, is_write, pattern, pattern_disk, reads, round_trip, writes
from harness import scene
from pdu import Op, Pdu, RESERVED_TAG, make_keys
from scsi import GOOD
from target import Target

TEST = 'iqn.2026-01.org.iscsifs.test:'


class Armed(Target):
	"""play(task) answers the first READ (or WRITE, with on=is_write) after arming."""
	armed = False
	on = staticmethod(is_read)

	def on_scsi_command(self, c, task):
		if not self.armed or not self.on(task):
			return False
		self.armed = False
		self.play(self, task)
		return True

	def play(self, task):
		raise NotImplementedError


def attack(s, play, write=False, must_fail=True, must_close=False, size=4096, allow=(), keys=None, **config):
	"""Returns (target, errno or 0).  must_fail: the I/O may only succeed by a second try."""
	config.setdefault('iqn', TEST + getattr(play, '__name__', 'x').strip('_<>').replace('_', '-').lower())
	t = s.target(type('Attack', (Armed,), {'play': staticmethod(play),
		'on': staticmethod(is_write if write else is_read)}), luns={0: pattern_disk()}, **config)
	t.allow(*allow)
	s.login(t, **(keys or {}))
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data before the attack')
	s.set(t, command_timeout=5)
	count = len(writes(t) if write else reads(t))
	t.armed = True
	if write:
		job = s.write_job(t, 65536, pattern(65536, size, b'attack'))
	else:
		job = s.read_job(t, 65536, size)
	number = job.errno()
	again = len(writes(t) if write else reads(t)) > count + 1
	if not number and not write:
		s.check(job.result() == pattern(65536, size), '%s: wrong bytes came back' % t.iqn)
	if must_fail:
		s.check(number or again, '%s: success' % t.iqn)
	if must_close:
		t.wait(lambda: t.conns[0].eof, '%s: the initiator to close the connection' % t.iqn)
	return t, number


def still_works(s):
	"""A fresh target can be used: the daemon has not been harmed."""
	t = s.target(luns={0: pattern_disk()}, iqn=TEST + 'afterwards')
	s.login(t)
	round_trip(s, t, 0, 8192)


# ------------------------------------------------------------------------------- Data-In

@scene
def peer_datain_over_our_limit(s):
	"""DataSegmentLength over what we declared: the connection ends (13.12)."""
	def over(t, task):
		data = pattern(65536, 4096)
		t.data_pdu(task, 0, data, 0, final=True, status=GOOD, fake_dsl=0xFFFFFF)
		task.conn.send_raw(bytes(100000))
	attack(s, over, must_close=True)

	def double(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True, status=GOOD)
	t, _ = attack(s, double, must_fail=False, keys={'max_recv_data_segment_length': 1024}, must_close=True)
	still_works(s)
	s.event('segment-too-long', r'header [0-9a-f]{96}')


@scene
def peer_datain_ahs_that_lies(s):
	"""AHS in a response, and TotalAHSLength with nothing behind it: no wrong bytes."""
	def with_ahs(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True, status=GOOD,
			ahs=b'\0\5\2\0\0\0\1\0')

	def lying(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True, status=GOOD, fake_ahslen=255)

	attack(s, with_ahs, must_fail=False)
	attack(s, lying)
	still_works(s)


@scene
def peer_datain_unknown_itt(s):
	"""Data-In for an ITT that no task has."""
	def unknown(t, task):
		for n, itt in enumerate((task.itt ^ 0x10000, 0, 0xFFFFFFFE, 0xFFFFFFFF, 0x7FFFFFFF)):
			t.data_pdu(task, 0, b'wrong' * 800, n, itt=itt)
		t.finish(task, t.run(task))
	attack(s, unknown, must_fail=False)
	still_works(s)
	s.event('unknown-tag', r'header 25[0-9a-f]{94}')


@scene
def peer_datain_finished_itt(s):
	"""Data-In and a second response for a task that has ended, while another runs."""
	class Old(Armed):
		old = None

		def on_scsi_command(self, c, task):
			if not self.armed or not is_read(task):
				return False
			if self.old is None:
				self.old = task
				return False
			self.data_pdu(self.old, 0, b'stale bytes!' * 341 + b'1234', 0, final=True)
			self.respond(self.old)
			self.finish(task, self.run(task))
			return True

	t = s.target(Old, luns={0: pattern_disk()})
	s.login(t, command_timeout=5)
	t.armed = True
	harmless(s, t, s.read_job(t, 0, 4096), 0)
	harmless(s, t, s.read_job(t, 8192, 4096), 8192)
	still_works(s)


@scene
def peer_datain_for_a_write(s):
	"""Data-In for a WRITE: an error, the buffer of the writer is not touched."""
	def datain(t, task):
		t.data_pdu(task, 0, b'\xee' * 512, 0, final=True, status=GOOD)
	attack(s, datain, write=True)
	still_works(s)


@scene
def peer_datain_beyond_buffer(s):
	"""Offset plus length beyond EDTL, by one and by 2^32: an error, no memory touched."""
	for n, (offset, size) in enumerate(((4096, 4), (4092, 8), (0, 8192), (0xFFFFFFFC, 8), (0xFFFFF000, 4096),
			(0x80000000, 512))):
		def beyond(t, task):
			t.data_pdu(task, offset, b'\xee' * size, 0)
			t.data_pdu(task, 0, pattern(65536, 4096), 1, final=True, status=GOOD)
		attack(s, beyond, iqn=TEST + 'beyond%d' % n)
	still_works(s)
	s.event('too-much-data', r'header 25[0-9a-f]{94}')


@scene
def peer_datain_overlapping(s):
	"""The same range twice, with different bytes (DataPDUInOrder=Yes forbids it)."""
	def overlap(t, task):
		right = pattern(65536, 4096)
		t.data_pdu(task, 0, b'\xee' * 2048, 0)
		t.data_pdu(task, 1024, right[1024:3072], 1)
		t.data_pdu(task, 2048, right[2048:], 2, final=True, status=GOOD)
	attack(s, overlap)
	still_works(s)


@scene
def peer_datain_sum_is_right(s):
	"""Lengths that add up to EDTL with a hole, a repetition, or a part beyond the buffer:
	counting bytes is not enough."""
	def same_half_twice(t, task):
		half = pattern(65536, 4096)[:2048]
		t.data_pdu(task, 0, half, 0)
		t.data_pdu(task, 0, half, 1, final=True, status=GOOD)

	def second_half_twice(t, task):
		half = pattern(65536, 4096)[2048:]
		t.data_pdu(task, 2048, half, 0)
		t.data_pdu(task, 2048, half, 1, final=True, status=GOOD)

	def half_beyond(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096)[:2048], 0)
		t.data_pdu(task, 4096, b'\xee' * 2048, 1, final=True, status=GOOD)

	def shifted(t, task):
		t.data_pdu(task, 4, pattern(65536, 4096)[4:] + bytes(4), 0, final=True, status=GOOD)

	for play in (same_half_twice, second_half_twice, half_beyond, shifted):
		attack(s, play)
	still_works(s)


@scene
def peer_datain_out_of_order(s):
	"""Offsets that fall; a DataSN that jumps, repeats, starts at 5."""
	def falling(t, task):
		right = pattern(65536, 4096)
		t.data_pdu(task, 2048, right[2048:], 0)
		t.data_pdu(task, 0, right[:2048], 1, final=True, status=GOOD)

	def sn_jump(t, task):
		right = pattern(65536, 4096)
		t.data_pdu(task, 0, right[:2048], 0)
		t.data_pdu(task, 2048, right[2048:], 7, final=True, status=GOOD)

	def sn_start(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 5, final=True, status=GOOD)

	attack(s, falling, must_fail=False)
	attack(s, sn_jump)
	attack(s, sn_start)
	still_works(s)
	s.event('bad-pdu', r'header 25[0-9a-f]{94}')


@scene
def peer_datain_status_without_f(s):
	"""S=1 with F=0 (11.7.3); CHECK CONDITION in a Data-In; reserved flag bits set."""
	def s_no_f(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, status=GOOD)

	def check(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True, status=2)

	def bits(t, task):
		right = pattern(65536, 4096)
		t.data_pdu(task, 0, right, 0, flags=0x80 | 0x38)
		t.respond(task)

	attack(s, s_no_f, must_fail=False)
	attack(s, check)
	attack(s, bits, must_fail=False)
	still_works(s)


@scene
def peer_datain_more_than_asked(s):
	"""A flood of Data-In after the buffer is full, without an end: an error in bounded time."""
	def flood(t, task):
		for n in range(200):
			t.data_pdu(task, 0, pattern(65536, 4096), n)
	attack(s, flood)
	still_works(s)


# ----------------------------------------------------------------------------------- R2T

R2T = {'values': {'InitialR2T': 'Yes', 'ImmediateData': 'No', 'MaxBurstLength': 4096,
	'FirstBurstLength': 4096}}
R2T_KEYS = {'initial_r2t': 'yes', 'immediate_data': 'no'}


def r2t_attack(s, play, **more):
	more.setdefault('must_close', True)
	t, _ = attack(s, play, write=True, keys=R2T_KEYS, **dict(R2T, **more))
	return t


def first_answered(t):
	"""The Data-Outs for the first R2T: after a reconnect there may be good ones."""
	return [p for p in t.received(Op.DATA_OUT) if p.ttt == t.sent(Op.R2T)[0].ttt]


@scene
def peer_r2t_beyond_edtl(s):
	"""An R2T beyond EDTL, by offset, by length, by wrap: nothing of it is sent."""
	for n, (offset, size) in enumerate(((0, 4100), (4096, 512), (4000, 512), (0xFFFFFF00, 512), (0, 0xFFFFFFFF))):
		def beyond(t, task):
			t.send_r2t(task, offset, size)
		t = r2t_attack(s, beyond, iqn=TEST + 'edtl%d' % n)
		sent = sum(p.dsl for p in t.received(Op.DATA_OUT))
		s.check(sent <= 4096, '%d bytes sent for a write of 4096' % sent)
	still_works(s)
	s.event('bad-r2t', r'header 31[0-9a-f]{94}')


@scene
def peer_r2t_zero_length(s):
	"""Desired Data Transfer Length 0 (11.8.4)."""
	def zero(t, task):
		t.send_r2t(task, 0, 0)
	t = r2t_attack(s, zero, allow=('empty',))
	s.check(not first_answered(t), 'an empty R2T was answered')
	still_works(s)


@scene
def peer_r2t_for_a_read(s):
	"""R2T for a READ: the connection ends, no data goes out."""
	def for_read(t, task):
		task.conn.send(Pdu(Op.R2T, final=True, lun=task.lun, itt=task.itt, ttt=5, offset=0, ddtl=512))
	t, _ = attack(s, for_read, must_close=True)
	s.check(not t.received(Op.DATA_OUT), 'Data-Out for a READ')
	still_works(s)


@scene
def peer_r2t_over_maxburst(s):
	"""An R2T over MaxBurstLength."""
	def over(t, task):
		t.send_r2t(task, 0, 8192)
	t = r2t_attack(s, over, size=16384, allow=('length',), must_close=False, must_fail=False)
	s.check(not [p for p in first_answered(t) if p.offset >= 4096],
		'more than MaxBurstLength was sent for one R2T')
	still_works(s)


@scene
def peer_r2t_too_many(s):
	"""More R2Ts than MaxOutstandingR2T: never harm, an error or the data in order."""
	def many(t, task):
		task.manual = False
		for n in range(8):
			t.send_r2t(task, n * 512, 512)
	t = r2t_attack(s, many, must_fail=False, must_close=False)
	s.check(len(t.received(Op.DATA_OUT)) <= 8, 'more Data-Outs than R2Ts')
	still_works(s)


@scene
def peer_r2t_flood(s):
	"""10000 R2Ts at once: bounded memory, the connection ends."""
	def flood(t, task):
		pdus = b''.join(Pdu(Op.R2T, final=True, lun=task.lun, itt=task.itt, ttt=n, datasn=n, offset=0,
			ddtl=4096, statsn=task.conn.statsn, expcmdsn=task.conn.session.expcmdsn,
			maxcmdsn=task.conn.session.maxcmdsn_sent).encode() for n in range(10000))
		task.conn.send_raw(pdus)
	t = r2t_attack(s, flood, allow=('dataout-ttt',), must_fail=True)
	s.check(len(t.received(Op.DATA_OUT)) < 1000, '%d Data-Outs' % len(t.received(Op.DATA_OUT)))
	still_works(s)


@scene
def peer_r2t_odd(s):
	"""TTT 0xffffffff, another LUN, an unknown ITT, R2TSN that jumps."""
	def reserved_tag(t, task):
		t.send_r2t(task, 0, 4096, ttt=RESERVED_TAG)

	def other_lun(t, task):
		t.send_r2t(task, 0, 4096, lun=b'\0\1' + bytes(6))

	def unknown_itt(t, task):
		t.send_r2t(task, 0, 4096, itt=task.itt ^ 0x5500)

	def sn_jump(t, task):
		t.send_r2t(task, 0, 512)
		t.send_r2t(task, 512, 512, datasn=9)

	allow = ('unsolicited', 'dataout-lun', 'dataout-ttt', 'dataout-itt')
	for play in (reserved_tag, other_lun, unknown_itt, sn_jump):
		r2t_attack(s, play, allow=allow, must_close=False)
	still_works(s)


@scene
def peer_r2t_after_response(s):
	"""An R2T for a task that has ended."""
	def late(t, task):
		t.respond(task)
		task.conn.send(Pdu(Op.R2T, final=True, lun=task.lun, itt=task.itt, ttt=5, offset=0, ddtl=4096))
	t = r2t_attack(s, late, must_fail=False, must_close=False, allow=('dataout-itt',))
	s.check(not t.received(Op.DATA_OUT), 'data for a task that has ended')
	still_works(s)


# ---------------------------------------------------------------------- numbers and opcodes

@scene
def peer_statsn_wrong(s):
	"""StatSN that stands still, jumps a little, goes back: ends the connection or is
	tolerated, never wrong bytes."""
	for n, delta in enumerate((1, 2, 100, -1, -2, 0x40000000)):
		class Wrong(Target):
			armed = False

			def before_send(self, c, pdu):
				if self.armed and (pdu.opcode == Op.SCSI_RSP or pdu.opcode == Op.DATA_IN and pdu.has_status):
					pdu.statsn = (pdu.statsn + delta) & 0xFFFFFFFF

		t = s.target(Wrong, luns={0: pattern_disk()}, iqn=TEST + 'sn%d' % n)
		t.allow('expstatsn')			# it may believe what it was told
		s.login(t, command_timeout=2)
		t.armed = True
		for k in range(3):
			if s.exists('targets', t.iqn, 'lun0', 'disk'):
				harmless(s, t, s.read_job(t, k * 4096, 4096), k * 4096)
	still_works(s)


@scene
def peer_garbage_opcode(s):
	"""Opcodes that are unassigned, or an initiator's: the connection ends."""
	for op in (0x01, 0x05, 0x10, 0x27, 0x30, 0x33, 0x1C, 0x3B):
		def garbage(t, task):
			task.conn.send(Pdu(op, final=True, itt=task.itt))
		attack(s, garbage, must_close=True, iqn=TEST + 'op%02x' % op)
	still_works(s)
	s.event('bad-opcode', r'header [0-9a-f]{96}')


@scene
def peer_random_bytes(s):
	"""Random bytes instead of PDUs, 20 different ones: everything ends."""
	for n in range(20):
		rnd = random.Random(n)

		def noise(t, task):
			task.conn.send_raw(rnd.randbytes(rnd.choice((1, 47, 48, 500, 70000))))
			task.conn.close()
		attack(s, noise, iqn=TEST + 'noise%d' % n)
	still_works(s)


@scene(is_slow=True)
def peer_flipped_bits(s):
	"""One random bit flipped in the header of each answer, digests off: no hang, no crash."""
	class Flips(Target):
		armed = False
		n = 0

		def before_send(self, c, pdu):
			if not self.armed or c.phase != 'ffp':
				return None
			# not by what else was sent before: the number of pings differs from run to run
			counts = self.__dict__.setdefault('counts', {})
			count = counts[pdu.opcode] = counts.get(pdu.opcode, 0) + 1
			rnd = random.Random('%d %d %d' % (self.n, pdu.opcode, count))
			raw = bytearray(pdu.encode())
			raw[rnd.randrange(48)] ^= 1 << rnd.randrange(8)
			return bytes(raw)

	for first in range(0, 20, 4):
		group = [s.target(Flips, luns={0: pattern_disk()}, iqn=TEST + 'flip%d' % n, n=n)
			for n in range(first, first + 4)]
		for t in group:
			t.allow(*ANYTHING)
			s.login(t)
			s.set(t, command_timeout=2, nop_interval=1, nop_timeout=1)
		for t in group:
			t.armed = True
		for k in range(4):
			jobs = [s.read_job(t, k * 4096, 4096) for t in group if s.exists('targets', t.iqn, 'lun0', 'disk')]
			for job in jobs:
				job.errno()
		for t in group:
			t.stop()
	still_works(s)


# a target that lies about everything makes the initiator's answers wrong too
ANYTHING = ('expstatsn', 'window', 'cmdsn', 'nop', 'itt', 'dataout-itt', 'dataout-ttt', 'dataout-lun',
	'unsolicited', 'length', 'offset', 'datasn', 'dataout-read', 'text', 'after-logout', 'edtl', 'short', 'tmf')


@scene
def peer_digest_errors(s):
	"""A wrong digest in a header or in data: the data is never used, ERL 0 drops the
	connection or fails the task."""
	def bad_header(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True, status=GOOD, bad_header_digest=True)

	def bad_data(t, task):
		t.data_pdu(task, 0, b'\xee' * 4096, 0, final=True, status=GOOD, bad_data_digest=True)

	def bad_response(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True)
		t.respond(task, bad_header_digest=True)

	for play in (bad_header, bad_data, bad_response):
		attack(s, play, keys={'header_digest': 'yes', 'data_digest': 'yes'})
	still_works(s)
	s.event('header-digest-error', r'header [0-9a-f]{96}')


@scene
def peer_byte_by_byte(s):
	"""Everything comes one byte at a time, and works."""
	t = s.target(dribble=True, luns={0: pattern_disk()}, records=None)
	s.login(t, header_digest='yes', data_digest='yes')
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
	round_trip(s, t, 8192, 8192)
	reply = s.ctl('discovery/ctl', 'add-portal ' + t.portal)
	s.equal(reply.errno, 0, 'errno of add-portal')


@scene
def peer_response_before_data(s):
	"""GOOD for a WRITE before all data was asked for: success or error, then silence."""
	def early(t, task):
		t.send_r2t(task, 0, 512)
		t.respond(task)
	r2t_attack(s, early, allow=('dataout-itt',), must_fail=False, must_close=False)
	still_works(s)


@scene
def peer_two_responses(s):
	"""Two SCSI Responses for one command."""
	def twice(t, task):
		t.data_pdu(task, 0, pattern(65536, 4096), 0, final=True)
		t.respond(task)
		t.respond(task)
	t, _ = attack(s, twice, must_fail=False)
	if s.exists('targets', t.iqn, 'lun0', 'disk'):
		harmless(s, t, s.read_job(t, 0, 4096), 0)
	still_works(s)


@scene
def peer_reject(s):
	"""Reject of a command, for each reason: an error (or another try), no hang."""
	for reason in (1, 2, 4, 5, 6, 7, 9, 0x0A, 0x0C, 0xFF):
		def rejects(t, task):
			t.end_task(task)
			t.reject(task.conn, task.pdu, reason)
		attack(s, rejects, iqn=TEST + 'reject%d' % reason, allow=('cmdsn',))
	still_works(s)
	s.event('pdu-rejected', r'its header [0-9a-f]{96}')


@scene
def peer_reject_odd(s):
	"""Reject with no header, a short one, a foreign one inside: no crash."""
	for n, data in enumerate((b'', b'\1', bytes(48), b'\xff' * 48, bytes(5000))):
		def odd(t, task):
			task.conn.send(Pdu(Op.REJECT, final=True, itt=RESERVED_TAG, response=9, data=data))
			t.finish(task, t.run(task))
		attack(s, odd, must_fail=False, iqn=TEST + 'odd%d' % n)
	still_works(s)


@scene
def peer_nop_flood(s):
	"""5000 NOP-Ins that want answers: all answered in order or the connection ends."""
	def flood(t, task):
		for n in range(5000):
			task.conn.pings[n] = bytes(8)
		s_ = task.conn.session
		task.conn.send_raw(b''.join(Pdu(Op.NOP_IN, final=True, itt=RESERVED_TAG, ttt=n,
			statsn=task.conn.statsn, expcmdsn=s_.expcmdsn, maxcmdsn=s_.maxcmdsn_sent).encode()
			for n in range(5000)))
		t.finish(task, t.run(task))
	attack(s, flood, must_fail=False)
	still_works(s)


@scene
def peer_unasked_answers(s):
	"""Text, Login, Logout, TMF responses and NOP-In answers that nobody asked for."""
	for op in (Op.TEXT_RSP, Op.LOGIN_RSP, Op.LOGOUT_RSP, Op.TMF_RSP, Op.NOP_IN):
		def unasked(t, task):
			task.conn.send(Pdu(op, final=True, itt=task.itt ^ 0x1100, ttt=RESERVED_TAG,
				data=make_keys([('X', 'y')]) if op == Op.TEXT_RSP else b''))
			t.finish(task, t.run(task))
		attack(s, unasked, must_fail=False, iqn=TEST + 'unasked%02x' % op)
	still_works(s)


@scene
def peer_text_empty_for_ever(s):
	"""Empty Text Responses with F=0 (and with C=1) for ever: capped."""
	for n, cont in enumerate((False, True)):
		class Empty(Target):
			def text_request(self, c, pdu):
				if c.text is None:
					super().text_request(c, pdu)
				else:
					self.text_reply(c, pdu, b'', final=False, cont=cont)

			def on_text(self, c, req, keys):
				self.text_reply(c, req, b'', final=False, cont=cont)
				return True

		t = s.target(Empty, iqn=TEST + 'empty%d' % n)
		s.refused(s.ctl('discovery/ctl', 'add-portal %s text_timeout=10 timeout=20' % t.portal))
		count = len(t.received(Op.TEXT_REQ))
		s.check(count < 20000, '%d exchanges' % count)
	still_works(s)


@scene
def peer_text_endless_answer(s):
	"""Endless SendTargets text: capped, with bounded memory."""
	class Endless(Target):
		sent = 0

		def text_request(self, c, pdu):
			if c.text is None:
				super().text_request(c, pdu)
			else:
				self.more(c, pdu)

		def on_text(self, c, req, keys):
			self.more(c, req)
			return True

		def more(self, c, pdu):
			self.sent += 8000
			self.text_reply(c, pdu, b'TargetName=' + b'x' * 8000, final=False, cont=True)

	t = s.target(Endless)
	s.refused(s.ctl('discovery/ctl', 'add-portal %s text_timeout=10 timeout=20' % t.portal))
	s.check(t.sent < 256 << 20, 'it took %d MB of text' % (t.sent >> 20))
	still_works(s)


# ----------------------------------------------------------------------- lost connections

@scene
def peer_close_at_random_points(s):
	"""The connection ends after a random number of bytes, while reads and writes run: each
	ends with an error or with the right bytes."""
	class Cuts(Target):
		left = None

		def before_send(self, c, pdu):
			if self.left is None or c.phase != 'ffp':
				return None
			raw = pdu.encode()
			if len(raw) <= self.left:
				self.left -= len(raw)
				return None
			part, self.left = raw[:self.left], None
			c.send_raw(part)
			self.rnd.choice((c.close, c.reset))()
			return False

	for n in range(12):
		t = s.target(Cuts, luns={0: pattern_disk()}, iqn=TEST + 'cut%d' % n)
		t.rnd = random.Random(n)
		s.login(t)
		t.left = t.rnd.choice((0, 1, 47, 48, 49, 4000, t.rnd.randrange(60000)))
		jobs = [(k, s.read_job(t, k * 65536, 16384)) for k in range(4)]
		wjobs = [s.write_job(t, (40 + k) * 65536, pattern((40 + k) * 65536, 16384)) for k in range(2)]
		for k, job in jobs:
			harmless(s, t, job, k * 65536)
		for job in wjobs:
			s.check(job.errno() in LOST + (0,), '%s: errno %d' % (job.what, job.errno()))
	still_works(s)


@scene
def peer_close_when_idle(s):
	"""The target closes an idle connection: the session says so, a new login works."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	state = s.session(t) + '/state'
	s.read(t, 0, 4096)
	t.ffp_conns()[0].close()
	s.wait(lambda: len(t.conns) > 1 or not s.exists(state) or s.cat(state) == 'failed',
		'the session to notice')
	s.relogin(t)
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')


@scene
def peer_half_close(s):
	"""The target sends FIN and reads on: as good as closed."""
	import socket
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	t.conns[0].sock.shutdown(socket.SHUT_WR)
	t.wait(lambda: t.conns[0].eof, 'the initiator to close')
	s.relogin(t)
	round_trip(s, t, 0, 4096)


@scene
def peer_session_state_failed(s):
	"""A lost session shows `failed`, its directory stays readable, SIGTERM ends it."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t, command_timeout=5)
	session = s.session(t)
	before = s.cat(session, 'state')
	t.conns[0].reset()
	t.stop()
	s.wait(lambda: not s.exists(session) or s.cat(session, 'state') != before, 'the session to notice')
	s.fails(s.read_job(t, 0, 4096), *LOST)
