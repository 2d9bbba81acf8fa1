# SPDX-License-Identifier: BSD-2-Clause
"""Full feature phase, groups 6, 8, 9, 11, 12, 16: data out and data in.

The checker follows each Data-Out: DataSN, offset, F bit, limits, order of R2Ts.  The
scenes set the parameters that provoke each case, and assert that it took place."""

from common import (at_level, data_in, data_outs, harmless, is_read, is_write, once, pattern,
	pattern_disk, reads, right, round_trip, snacks, unsolicited_of, writes)
from harness import scene
from pdu import Op, RESERVED_TAG
from scsi import GOOD
from target import Target

BURSTS = {'FirstBurstLength': 512, 'MaxBurstLength': 1024}


def setup(s, r2t, immediate, first=512, burst=1024, cls=Target, **config):
	"""A logged in target with these data modes."""
	t = s.target(cls, values={'InitialR2T': r2t, 'ImmediateData': immediate,
		'FirstBurstLength': first, 'MaxBurstLength': burst}, **config)
	s.login(t, initial_r2t=r2t.lower(), immediate_data=immediate.lower())
	p = t.sessions[-1].params
	s.equal((p['InitialR2T'], p['ImmediateData']), (r2t, immediate), 'InitialR2T, ImmediateData')
	return t


@scene
def ffp_6_1_datasn(s):
	"""DataSN of Data-Outs starts at 0 and rises by 1, for two WRITEs."""
	t = setup(s, 'Yes', 'No', burst=262144, max_recv=512)
	round_trip(s, t, 0, 4096)
	round_trip(s, t, 65536, 4096)
	for cmd in writes(t):
		got = [p.datasn for p in data_outs(t, cmd)]
		s.check(len(got) > 1, 'only %d Data-Outs' % len(got))
		s.equal(got, list(range(len(got))), 'DataSNs')


@scene
def ffp_8_1_unsolicited_and_solicited(s):
	"""Immediate and unsolicited data up to FirstBurstLength, the rest after R2Ts."""
	t = setup(s, 'No', 'Yes')
	round_trip(s, t, 0, 8192)
	for cmd in writes(t):
		early = cmd.dsl + sum(p.dsl for p in unsolicited_of(t, cmd))
		s.check(early <= 512, '%d bytes unsolicited, FirstBurstLength is 512' % early)
		solicited = sum(p.dsl for p in data_outs(t, cmd) if p.ttt != RESERVED_TAG)
		s.equal(early + solicited, cmd.edtl, 'bytes sent')


@scene
def ffp_8_1_unsolicited_data_out_larger_burst(s):
	"""The same with a FirstBurstLength over the PDU size: immediate data, then Data-Outs."""
	t = setup(s, 'No', 'Yes', first=16384, burst=32768, max_recv=4096)
	round_trip(s, t, 0, 65536)
	for cmd in writes(t):
		early = cmd.dsl + sum(p.dsl for p in unsolicited_of(t, cmd))
		s.check(early <= 16384, '%d bytes unsolicited' % early)


@scene
def ffp_8_2_solicited_only(s):
	"""InitialR2T=Yes, ImmediateData=No: nothing before an R2T."""
	t = setup(s, 'Yes', 'No')
	round_trip(s, t, 0, 8192)
	for cmd in writes(t):
		s.equal((cmd.dsl, unsolicited_of(t, cmd)), (0, []), 'immediate and unsolicited data')


@scene
def ffp_8_3_unsolicited_data_out_only(s):
	"""InitialR2T=No, ImmediateData=No: separate unsolicited PDUs up to FirstBurstLength."""
	t = setup(s, 'No', 'No')
	round_trip(s, t, 0, 8192)
	for cmd in writes(t):
		s.equal(cmd.dsl, 0, 'immediate data')
		early = sum(p.dsl for p in unsolicited_of(t, cmd))
		s.check(early in (0, 512), '%d bytes unsolicited: neither none nor FirstBurstLength' % early)


class OddTags(Target):
	"""R2Ts with tags that a sloppy initiator mistakes for something else."""
	tags = (0xABBAABBA, 0, 0xFFFFFFFE, 1, 0x80000000)
	used = 0

	def send_r2t(self, task, offset, length, ttt=None, **fields):
		self.used += 1
		super().send_r2t(task, offset, length, self.tags[self.used % len(self.tags)], **fields)


@scene
def ffp_9_1_target_transfer_tag(s):
	"""Every Data-Out echoes the tag of its R2T."""
	t = setup(s, 'Yes', 'No', cls=OddTags)
	round_trip(s, t, 0, 8192)
	for cmd in writes(t):
		asked = [p.ttt for p in t.sent(Op.R2T) if p.itt == cmd.itt]
		s.equal([p.ttt for p in data_outs(t, cmd)], asked, 'tags')


@scene
def ffp_11_1_1_data_out_segment_size(s):
	"""The target's MaxRecvDataSegmentLength of 512 holds for all Data-Outs."""
	for r2t, imm in (('Yes', 'No'), ('No', 'Yes'), ('No', 'No')):
		t = setup(s, r2t, imm, first=4096, burst=8192, max_recv=512,
			iqn='iqn.2026-01.org.iscsifs.test:%s%s' % (r2t.lower(), imm.lower()))
		round_trip(s, t, 0, 16384)
		s.check(t.received(Op.DATA_OUT), 'no Data-Out at all')
		s.check(max(p.dsl for p in t.received(Op.DATA_OUT, Op.SCSI_CMD)) <= 512, 'segment over 512')


class ByHand(Target):
	"""READs are answered by play(task, data), a method of the scene's class."""
	armed = False

	def on_scsi_command(self, c, task):
		if not self.armed or not is_read(task):
			return False
		self.play(task, self.run(task).data)
		return True


@scene
def ffp_11_1_2_data_in_length_0(s):
	"""A Data-In without data, at the start, in the middle, at the end, is no error."""
	class Empty(ByHand):
		def play(self, task, data):
			half = len(data) // 2
			self.data_pdu(task, 0, b'', 0)
			self.data_pdu(task, 0, data[:half], 1)
			self.data_pdu(task, half, b'', 2)
			self.data_pdu(task, half, data[half:], 3)
			self.data_pdu(task, len(data), b'', 4, final=True, status=GOOD)

	t = s.target(Empty, luns={0: pattern_disk()})
	s.login(t)
	t.armed = True
	s.check(s.read(t, 4096, 4096) == pattern(4096, 4096), 'wrong data')


@scene
def ffp_11_1_3_data_in_sequences(s):
	"""Data-In in several sequences (F set at each), odd sizes, padding not zero."""
	class Odd(ByHand):
		def play(self, task, data):
			cuts = [0, 1, 512, 515, 2048, 2049, len(data)]
			for n, (a, b) in enumerate(zip(cuts, cuts[1:])):
				last = b == len(data)
				self.data_pdu(task, a, data[a:b], n, final=last or n % 2 == 1, status=GOOD if last else None)

	t = s.target(Odd, luns={0: pattern_disk()})
	s.login(t)
	t.armed = True
	for n in range(3):
		s.check(s.read(t, n * 4096, 4096) == pattern(n * 4096, 4096), 'wrong data')


@scene
def ffp_11_2_1_f_bit_unsolicited(s):
	"""The last unsolicited PDU has F=1, all within FirstBurstLength."""
	t = setup(s, 'No', 'Yes', first=8192, burst=65536, max_recv=2048)
	round_trip(s, t, 0, 16384)
	for cmd in writes(t):
		early = unsolicited_of(t, cmd)
		if not cmd.final:
			s.check(early and early[-1].final, 'no F at the end of unsolicited data')
			s.check(not any(p.final for p in early[:-1]), 'F too early')


@scene
def ffp_11_2_2_f_bit_solicited(s):
	"""An R2T for 65536 bytes: the last Data-Out has F=1, no other."""
	t = setup(s, 'Yes', 'No', first=65536, burst=65536, max_recv=8192)
	round_trip(s, t, 0, 65536)
	for r2t in t.sent(Op.R2T):
		outs = [p for p in t.received(Op.DATA_OUT) if (p.itt, p.ttt) == (r2t.itt, r2t.ttt)]
		s.equal([p.final for p in outs], [False] * (len(outs) - 1) + [True], 'F bits')


@scene
def ffp_11_3_datasn_per_r2t(s):
	"""DataSN starts at 0 for each R2T."""
	t = setup(s, 'Yes', 'No', first=65536, burst=8192, max_recv=2048)
	round_trip(s, t, 0, 65536)
	r2ts = t.sent(Op.R2T)
	s.check(len(r2ts) > 2, 'the scene needs several R2Ts')
	for r2t in r2ts:
		got = [p.datasn for p in t.received(Op.DATA_OUT) if (p.itt, p.ttt) == (r2t.itt, r2t.ttt)]
		s.equal(got, list(range(4)), 'DataSNs of one R2T')


@scene
def ffp_11_4_buffer_offset(s):
	"""Buffer offsets are right and rise."""
	t = setup(s, 'No', 'Yes', first=8192, burst=16384, max_recv=2048)
	round_trip(s, t, 12288, 65536)
	for cmd in writes(t):
		at = cmd.dsl
		for p in data_outs(t, cmd):
			s.equal(p.offset, at, 'Buffer Offset')
			at += p.dsl
		s.equal(at, cmd.edtl, 'end of the data')


@scene
def ffp_12_1_r2t_single_pdu(s):
	"""R2Ts of 2048 bytes with tag 0xABBAABBA: one Data-Out each, same offset and length."""
	t = setup(s, 'Yes', 'No', first=65536, burst=262144, cls=OddTags, tags=(0xABBAABBA,), r2t_size=2048)
	round_trip(s, t, 0, 4096)
	for r2t, out in zip(t.sent(Op.R2T), t.received(Op.DATA_OUT)):
		s.equal((out.ttt, out.offset, out.dsl), (0xABBAABBA, r2t.offset, r2t.ddtl), 'tag, offset, length')
	s.equal(len(t.received(Op.DATA_OUT)), len(t.sent(Op.R2T)), 'Data-Outs')


@scene
def ffp_12_2_r2t_many_pdus(s):
	"""An R2T of 4096 bytes, 512 a PDU: contiguous rising offsets, F on the last."""
	t = setup(s, 'Yes', 'No', first=65536, burst=262144, max_recv=512, r2t_size=4096)
	round_trip(s, t, 0, 8192)
	for r2t in t.sent(Op.R2T):
		outs = [p for p in t.received(Op.DATA_OUT) if (p.itt, p.ttt) == (r2t.itt, r2t.ttt)]
		s.equal([p.offset for p in outs], list(range(r2t.offset, r2t.offset + 4096, 512)), 'offsets')


@scene
def ffp_12_3_several_r2ts_outstanding(s):
	"""MaxOutstandingR2T=4: R2Ts that come together are answered in their order."""
	t = s.target(values={'InitialR2T': 'Yes', 'ImmediateData': 'No', 'MaxOutstandingR2T': 4},
		r2t_size=1024, max_recv=512)
	s.login(t, initial_r2t='yes', immediate_data='no', max_outstanding_r2t='4')
	round_trip(s, t, 0, 16384)
	s.equal(t.sessions[0].params['MaxOutstandingR2T'], 4, 'MaxOutstandingR2T')
	for cmd in writes(t):
		asked = [p.ttt for p in t.sent(Op.R2T) if p.itt == cmd.itt]
		answered = []
		for p in data_outs(t, cmd):
			if not answered or answered[-1] != p.ttt:
				answered.append(p.ttt)
		s.equal(answered, asked, 'order of tags')


class FallingOffsets(Target):
	"""The R2Ts of a WRITE, 1024 bytes each, come at once and last first."""

	def on_scsi_command(self, c, task):
		if not is_write(task):
			return False
		task.manual = True
		for offset in range(task.edtl - 1024, -1, -1024):
			self.send_r2t(task, offset, 1024)
		return True

	def on_burst(self, c, task, seq):
		if not any(not r.done for r in task.r2ts):
			task.manual = False


@scene
def ffp_12_3_r2t_order(s):
	"""DataSequenceInOrder=No, R2Ts at falling offsets: fulfilled in the order of arrival."""
	t = s.target(FallingOffsets, max_recv=512, values={'InitialR2T': 'Yes', 'ImmediateData': 'No',
		'DataSequenceInOrder': 'No', 'MaxOutstandingR2T': 8})
	s.login(t, initial_r2t='yes', immediate_data='no', data_sequence_in_order='no', max_outstanding_r2t=8)
	p = t.sessions[0].params
	s.equal((p['DataSequenceInOrder'], p['MaxOutstandingR2T']), ('No', 8), 'negotiated')
	round_trip(s, t, 0, 8192)
	for cmd in writes(t):
		starts = [p.offset for p in data_outs(t, cmd) if p.datasn == 0]
		s.equal(starts, [p.offset for p in t.sent(Op.R2T) if p.itt == cmd.itt], 'offsets of the sequences')


class SecondFirst(Target):
	"""Waits for two WRITEs, then sends the R2T of the second one first."""
	held = ()

	def on_scsi_command(self, c, task):
		if not is_write(task):
			return False
		task.manual = True
		self.held = list(self.held) + [task]
		if len(self.held) == 2:
			for one in reversed(self.held):
				self.send_r2t(one, 0, one.edtl)
		return True

	def on_burst(self, c, task, seq):
		task.manual = False


@scene
def ffp_12_4_r2ts_of_parallel_writes(s):
	"""Data-Outs follow the arrival of the R2Ts, not the order of the commands."""
	t = setup(s, 'Yes', 'No', first=65536, burst=262144, max_recv=1024, cls=SecondFirst)
	data = [pattern(n, 4096, b'parallel') for n in (0, 65536)]
	jobs = [s.write_job(t, n * 65536, d) for n, d in enumerate(data)]
	for job in jobs:
		job.result()
	for n, d in enumerate(data):
		s.check(t.luns[0].store[n * 65536:n * 65536 + 4096] == d, 'wrong data in write %d' % n)
	order = []
	for p in t.received(Op.DATA_OUT):
		if not order or order[-1] != p.itt:
			order.append(p.itt)
	s.equal(order, [p.itt for p in t.sent(Op.R2T)], 'order of the tasks in the data')


@scene
def ffp_13_1_data_snack(s):
	"""DataSN 3 does not come: Data SNACK for it, no acknowledgement of the status before."""
	for n, in_data in enumerate((True, False)):
		t = at_level(s, 1, data_in_size=1024, status_in_data=in_data,
			iqn='iqn.2026-01.org.iscsifs.test:snack%d' % n)
		t.tx = once('lost', data_in(3))
		right(s, t, s.read_job(t, 16384, 8192), 16384, 8192)
		asked = snacks(t, 0)
		s.check(asked, 'no Data SNACK')
		for p in asked:
			s.equal((p.itt, p.ttt), (reads(t)[0].itt, RESERVED_TAG), 'ITT and TTT')
			s.check((p.begrun, p.runlength) in ((3, 1), (0, 0)), 'BegRun %d RunLength %d' % (p.begrun, p.runlength))
		s.equal(len(reads(t)), 1, 'READs sent')
		s.equal(len(t.conns), 1, 'connections')


@scene
def ffp_13_2_dataack_snack(s):
	"""A=1 after each MaxBurstLength bytes: DataACK, RunLength 0, ITT reserved, TTT copied."""
	t = at_level(s, 1, data_in_size=1024, a_bit=True, values={'MaxBurstLength': 4096})
	right(s, t, s.read_job(t, 0, 16384), 0, 16384)
	s.read(t, 65536, 4096)				# acknowledges the last status at the latest
	asked = [p for p in t.sent(Op.DATA_IN) if p.ack and p.itt == reads(t)[0].itt]
	s.equal([p.datasn for p in asked], [3, 7, 11, 15], 'Data-Ins with the A bit')
	got = snacks(t)
	for one in asked[:3]:				# the status may acknowledge the last
		mine = [p for p in got if p.ttt == one.ttt]
		s.equal([(p.snack_type, p.itt, p.runlength) for p in mine], [(2, RESERVED_TAG, 0)], 'DataACKs')
	s.check({p.snack_type for p in got} == {2}, 'other SNACKs')


@scene
def ffp_16_2_1_immediate_yes_r2t_yes(s):
	"""ImmediateData=Yes InitialR2T=Yes, FirstBurst 2^24-1: EDTL = DSL implies F=1."""
	big = 16777215
	t = s.target(values={'InitialR2T': 'Yes', 'ImmediateData': 'Yes', 'FirstBurstLength': big,
		'MaxBurstLength': big})
	s.login(t, initial_r2t='yes', immediate_data='yes', first_burst_length=big, max_burst_length=big)
	round_trip(s, t, 0, 4096)
	for cmd in writes(t):
		s.check(cmd.dsl != cmd.edtl or cmd.final, 'all data is there but F=0')
	s.check(any(p.dsl for p in writes(t)), 'immediate data is allowed and never used')


@scene
def ffp_16_2_2_immediate_no_r2t_yes(s):
	"""ImmediateData=No InitialR2T=Yes: DSL=0, W=1, the last Data-Out has F=1."""
	t = setup(s, 'Yes', 'No', first=65536, burst=65536)
	round_trip(s, t, 0, 65536)
	for cmd in writes(t):
		s.check(cmd.dsl == 0 and cmd.write and cmd.final, 'wrong command %r' % cmd)
		s.check(data_outs(t, cmd)[-1].final, 'no F on the last Data-Out')


@scene
def ffp_16_2_3_immediate_no_r2t_no(s):
	"""ImmediateData=No InitialR2T=No: DSL=0, W=1."""
	t = setup(s, 'No', 'No', first=65536, burst=65536)
	round_trip(s, t, 0, 65536)
	for cmd in writes(t):
		s.check(cmd.dsl == 0 and cmd.write, 'wrong command %r' % cmd)
		s.check(data_outs(t, cmd)[-1].final, 'no F on the last Data-Out')


@scene
def ffp_16_2_4_immediate_yes_r2t_no(s):
	"""ImmediateData=Yes InitialR2T=No: immediate within FirstBurst, last Data-Out F=1."""
	t = setup(s, 'No', 'Yes', first=4096, burst=65536)
	round_trip(s, t, 0, 65536)
	for cmd in writes(t):
		s.check(cmd.dsl <= 4096 and cmd.write, 'wrong command %r' % cmd)
		s.check(data_outs(t, cmd)[-1].final, 'no F on the last Data-Out')


@scene
def ffp_16_3_1_f_bit_r2t_yes(s):
	"""InitialR2T=Yes: no Data-Out before an R2T, F=1 on the last one."""
	t = setup(s, 'Yes', 'Yes', first=4096, burst=65536)
	round_trip(s, t, 0, 65536)
	seen = set()
	for e in t.events:
		if e.pdu is None:
			continue
		if e.pdu.opcode == Op.R2T:
			seen.add((e.pdu.itt, e.pdu.ttt))
		elif e.pdu.opcode == Op.DATA_OUT:
			s.check((e.pdu.itt, e.pdu.ttt) in seen, 'Data-Out before its R2T')
	s.check(all(p.final for p in writes(t)), 'F=0 announces what may not be sent')


@scene
def ffp_16_6_edtl(s):
	"""DSL = EDTL implies F=1; EDTL over FirstBurst: the immediate part, the rest by R2T."""
	t = setup(s, 'Yes', 'Yes', first=4096, burst=65536)
	round_trip(s, t, 0, 4096)
	round_trip(s, t, 65536, 16384)
	for cmd in writes(t):
		s.check(cmd.dsl <= 4096, 'immediate data over FirstBurstLength')
		s.check(cmd.dsl < cmd.edtl or cmd.final, 'all data is there but F=0')
		s.equal(cmd.dsl + sum(p.dsl for p in data_outs(t, cmd)), cmd.edtl, 'bytes sent')


@scene
def data_1_every_mode_with_digests(s):
	"""All data modes with both digests, small segments, parallel reads and writes."""
	n = 0
	for r2t in ('Yes', 'No'):
		for imm in ('Yes', 'No'):
			n += 1
			t = s.target(values={'InitialR2T': r2t, 'ImmediateData': imm, 'FirstBurstLength': 4096,
				'MaxBurstLength': 8192}, max_recv=2048, data_in_size=3000,
				iqn='iqn.2026-01.org.iscsifs.test:mode%d' % n)
			s.login(t, initial_r2t=r2t.lower(), immediate_data=imm.lower(), header_digest='yes',
				data_digest='yes')
			data = [pattern(k * 32768, 32768, b'mode%d' % n) for k in range(6)]
			for k, job in enumerate([s.write_job(t, k * 32768, d) for k, d in enumerate(data)]):
				job.result()
			for k, job in enumerate([s.read_job(t, k * 32768, 32768) for k in range(6)]):
				s.check(job.result() == data[k], 'wrong data in part %d' % k)
			s.check(all(c.header_digest and c.data_digest for c in t.ffp_conns()), 'no digests agreed')


@scene
def data_2_buffered_and_unaligned(s):
	"""Buffered and unaligned writes and reads, fsync reaches the target as SYNCHRONIZE CACHE."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	s.write(t, 1000, b'unaligned' * 100, direct=False, sync=True)
	want = bytearray(pattern(0, 8192))
	want[1000:1900] = b'unaligned' * 100
	s.check(t.luns[0].store[:8192] == want, 'the disk is wrong after an unaligned write')
	s.check(s.read(t, 0, 8192, direct=False) == want, 'wrong data read')
	s.check(s.read(t, 1001, 777, direct=False) == want[1001:1778], 'wrong unaligned data read')
	s.check(t.commands(0x35, 0x91), 'fsync sent no SYNCHRONIZE CACHE')


@scene
def data_3_large_block_sizes(s):
	"""4096-byte blocks: EDTL and LBAs are in those blocks."""
	t = s.target(luns={0: pattern_disk(block_size=4096)})
	s.login(t)
	round_trip(s, t, 40960, 16384)
	s.write(t, 100, b'x' * 50, direct=False, sync=True)
	s.check(t.luns[0].store[100:150] == b'x' * 50, 'read-modify-write failed')
	s.check(t.luns[0].store[150:4096] == pattern(0, 4096)[150:], 'neighbours of a small write changed')


@scene
def data_4_responses_in_any_order(s):
	"""Eight reads answered last first: each gets its own bytes."""
	class Backwards(Target):
		hold, held = 0, ()

		def on_scsi_command(self, c, task):
			if not self.hold or not is_read(task):
				return False
			self.held = [task] + list(self.held)
			if len(self.held) == self.hold:
				self.hold = 0
				for one in self.held:
					self.go_on(one)
			return True

	t = s.target(Backwards, luns={0: pattern_disk()})
	s.login(t)
	t.hold = 8
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(8)]
	for n, job in enumerate(jobs):
		s.check(job.result() == pattern(n * 65536, 4096), 'wrong data in read %d' % n)


@scene
def data_6_data_in_out_of_order(s):
	"""DataPDUInOrder=No, DataSequenceInOrder=No: Data-Ins at falling offsets are put right."""
	class Falls(ByHand):
		def play(self, task, data):
			parts = list(range(0, len(data), 1024))
			for n, at in enumerate(reversed(parts)):
				last = n == len(parts) - 1
				self.data_pdu(task, at, data[at:at + 1024], n, final=last, status=GOOD if last else None)

	t = s.target(Falls, luns={0: pattern_disk()}, values={'DataPDUInOrder': 'No', 'DataSequenceInOrder': 'No'})
	s.login(t, data_pdu_in_order='no', data_sequence_in_order='no')
	p = t.sessions[0].params
	s.equal((p['DataPDUInOrder'], p['DataSequenceInOrder']), ('No', 'No'), 'negotiated')
	t.armed = True
	for n in range(3):
		s.check(s.read(t, n * 8192, 8192) == pattern(n * 8192, 8192), 'wrong data')


@scene
def data_5_interleaved_data_in(s):
	"""Data-Ins of four reads interleaved PDU by PDU."""
	class Mix(Target):
		hold, held = 0, ()

		def on_scsi_command(self, c, task):
			if not self.hold or not is_read(task):
				return False
			self.held = list(self.held) + [task]
			if len(self.held) == self.hold:
				self.hold = 0
				self.mix()
			return True

		def mix(self):
			for at in range(0, 4096, 512):
				for task in self.held:
					last = at + 512 == task.edtl
					self.data_pdu(task, at, self.run(task).data[at:at + 512], at // 512, final=last,
						status=GOOD if last else None)

	t = s.target(Mix, luns={0: pattern_disk()})
	s.login(t)
	t.hold = 4
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
	for n, job in enumerate(jobs):
		s.check(harmless(s, t, job, n * 65536), 'read %d failed' % n)
	s.check(len(reads(t)) >= 4, 'the scene is wrong')
