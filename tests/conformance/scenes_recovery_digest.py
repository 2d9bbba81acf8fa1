# SPDX-License-Identifier: BSD-2-Clause
"""Error recovery within a connection (ErrorRecoveryLevel 1): PDUs whose digest is wrong, or
that do not come at all, in each direction.

The rule for all: the bytes are right in the end, or the I/O fails; a wrong or missing PDU is
never taken for a good one.  At level 1 SNACK and retry do it without a new command; after a
wrong header digest the initiator may also drop the connection (7.8), which it must at 0."""

import errno

import scsi
from common import (Holder, LONG_DEADLINE, Lossy, at_level, conn_of, data_in, data_outs, good_read, is_read_pdu,
	is_write_pdu, once, pattern, reads, right, snacks, writes, written)
from harness import scene
from pdu import Op, Pdu, RESERVED_TAG

TEST = 'iqn.2026-01.org.iscsifs.test:'
BOTH = {'header_digest': 'yes', 'data_digest': 'yes'}
SOLICITED = {'InitialR2T': 'Yes', 'ImmediateData': 'No'}
SOLICITED_KEYS = {'initial_r2t': 'yes', 'immediate_data': 'no'}


def digests(s, level, cls=Lossy, **config):
	config.setdefault('data_in_size', 1024)
	t = at_level(s, level, cls, keys=dict(BOTH, **config.pop('keys', {})), **config)
	c = t.ffp_conns()[0]
	s.check(c.header_digest and c.data_digest, 'no digests were agreed')
	return t


def unspoilt(s, t, n=1):
	"""What was lost was recovered on the connection that was there, by one READ."""
	s.check(t.tx is None or not t.tx.left[0], 'nothing was lost: the scene is wrong')
	s.equal(len(t.conns), 1, 'connections')
	s.equal(len({p.cmdsn for p in reads(t)}), n, 'READs sent')	# a retry is no new one


def one_write(s, t):
	s.equal((len({p.cmdsn for p in writes(t)}), len(t.conns)), (1, 1), 'WRITEs and connections')


@scene
def recovery_1_header_digest_erl_1(s):
	"""Header digest of a Data-In wrong: resync and SNACK, or a new connection; right bytes."""
	for n in (0, 2, 3):
		t = digests(s, 1, iqn=TEST + 'header%d' % n)
		t.tx = once('header', data_in(n))
		right(s, t, s.read_job(t, 16384, 4096), 16384)
		s.check(not t.tx.left[0], 'the scene is wrong')
		good_read(s, t, 65536)


@scene
def recovery_1_header_digest_everywhere(s):
	"""Header digest wrong in a SCSI Response, an R2T, a NOP-In, while others run."""
	for name, fits in (('response', lambda p: p.opcode == Op.SCSI_RSP), ('r2t', lambda p: p.opcode == Op.R2T),
			('nop', lambda p: p.opcode == Op.NOP_IN)):
		t = at_level(s, 1, keys=dict(BOTH, nop_interval=1, **SOLICITED_KEYS), values=SOLICITED,
			status_in_data=False, iqn=TEST + name)
		t.tx = once('header', fits)
		data = pattern(65536, 16384, name.encode())
		wjob = s.write_job(t, 65536, data)
		jobs = [s.read_job(t, k * 131072, 4096) for k in range(2, 6)]
		for k, job in enumerate(jobs, 2):
			right(s, t, job, k * 131072)
		written(s, t, wjob, 65536, data)
		t.wait(lambda: not t.tx.left[0], 'the loss')
		good_read(s, t)


@scene
def recovery_1_header_digest_erl_0(s):
	"""The same at ERL 0: that connection is given up; a new one serves the read."""
	t = digests(s, 0)
	t.tx = once('header', data_in(1))
	right(s, t, s.read_job(t, 16384, 4096), 16384)
	t.wait(lambda: t.conns[0].eof and len(t.conns) > 1, 'the connection to be given up')
	s.check(not snacks(t), 'SNACK at ERL 0')


@scene
def recovery_2_data_digest_erl_1(s):
	"""Data digest of a Data-In wrong: it is asked for by SNACK, nothing else is."""
	for n in (0, 2):
		t = digests(s, 1, iqn=TEST + 'data%d' % n)
		t.tx = once('data', data_in(n))
		right(s, t, s.read_job(t, 16384, 4096), 16384)
		asked = snacks(t, 0)
		s.check([(p.begrun, p.runlength) for p in asked] in ([(n, 1)], [(0, 0)]), 'SNACKs %s' % asked)
		unspoilt(s, t)
	s.event('data-digest-error', r'[0-9a-f]{8}, where the target says [0-9a-f]{8}')


@scene
def recovery_2_data_digest_last_data_in(s):
	"""The Data-In with the status in it has a wrong data digest: SNACK, then it is taken."""
	t = digests(s, 1)
	t.tx = once('data', lambda p: p.opcode == Op.DATA_IN and p.has_status and len(p.data) == 1024)
	right(s, t, s.read_job(t, 16384, 4096), 16384)
	s.check(snacks(t, 0, 1), 'no SNACK')
	unspoilt(s, t)


@scene
def recovery_2_data_digest_many(s):
	"""Every third Data-In of eight reads is spoilt once: all come out right, no new READ."""
	t = digests(s, 1)
	spoilt = set()

	def third(c, p):
		key = (p.itt, p.datasn)
		if p.opcode == Op.DATA_IN and p.datasn % 3 == 1 and key not in spoilt:
			spoilt.add(key)
			return 'data'
		return None
	t.tx = third
	jobs = [s.read_job(t, n * 65536, 16384) for n in range(8)]
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536, 16384)
	s.check(len(spoilt) >= 30, 'only %d were spoilt' % len(spoilt))
	s.equal((len(t.conns), len({p.cmdsn for p in reads(t)})), (1, 8), 'connections and READs')


@scene
def recovery_2_data_digest_erl_0(s):
	"""At ERL 0: the data is never used; the connection goes, a new one serves the read."""
	t = digests(s, 0)
	t.tx = once('data', data_in(1))
	right(s, t, s.read_job(t, 16384, 4096), 16384)
	s.check(len(t.conns) > 1 or len(reads(t)) > 1, 'the read was not repeated')
	s.check(not snacks(t), 'SNACK at ERL 0')


@scene
def recovery_2_data_digest_of_sense(s):
	"""A SCSI Response with sense data has a wrong digest: status SNACK; the error is that one."""
	t = digests(s, 1)
	t.luns[0].errors = {130: scsi.READ_ERROR}
	t.tx = once('data', lambda p: p.opcode == Op.SCSI_RSP and p.status == 2)
	s.fails(s.read_job(t, 65536, 4096), errno.EIO)
	s.check(not t.tx.left[0], 'the scene is wrong')
	lost = [p for p in t.sent(Op.SCSI_RSP) if p.bad_data_digest][0]
	asked = snacks(t, 1)
	s.check(asked, 'no status SNACK')
	s.check(all(p.itt == RESERVED_TAG and (p.begrun in (lost.statsn, 0)) for p in asked), 'SNACKs %s' % asked)
	s.equal(len(t.conns), 1, 'connections')
	t.luns[0].errors = {}
	good_read(s, t, 65536)


@scene
def recovery_3_recovery_r2t(s):
	"""Our Data-Out is rejected for its digest: Reject 0x02, then a recovery R2T is served."""
	for n in (0, 1, 3):
		t = at_level(s, 1, values=SOLICITED, keys=SOLICITED_KEYS, max_recv=1024, iqn=TEST + 'reject%d' % n)
		t.rx = once('digest', lambda p: p.opcode == Op.DATA_OUT and p.datasn == n)
		data = pattern(65536, 4096, b'recovery')
		written(s, t, s.write_job(t, 65536, data), 65536, data)
		s.check(t.sent(Op.REJECT), 'the scene is wrong')
		last = t.sent(Op.R2T)[-1]
		s.equal((last.datasn, last.offset, last.ddtl), (1, n * 1024, 1024), 'recovery R2T')
		one_write(s, t)


@scene
def recovery_3_immediate_data_rejected(s):
	"""The data digest of a command with immediate data: Reject 0x02, the command again."""
	t = at_level(s, 1, values={'InitialR2T': 'Yes', 'ImmediateData': 'Yes'})
	t.rx = once('digest', is_write_pdu)
	data = pattern(65536, 4096, b'immediate')
	jobs = [s.read_job(t, n * 131072, 4096) for n in range(1, 4)]
	wjob = s.write_job(t, 65536, data)
	written(s, t, wjob, 65536, data)
	for n, job in enumerate(jobs, 1):
		right(s, t, job, n * 131072)
	s.check(t.sent(Op.REJECT), 'the scene is wrong')
	s.equal(len({p.cmdsn for p in writes(t)}), 1, 'CmdSNs: the hole has to be plugged')
	s.equal(len(t.conns), 1, 'connections')


@scene
def recovery_3_lost_data_out(s):
	"""A Data-Out, also the last one, is lost on the way: a recovery R2T for it is served."""
	for n in (1, 3):
		t = at_level(s, 1, values=SOLICITED, keys=SOLICITED_KEYS, max_recv=1024, iqn=TEST + 'lost%d' % n)
		t.rx = once('lost', lambda p: p.opcode == Op.DATA_OUT and p.datasn == n)
		data = pattern(65536, 4096, b'lost')
		job = s.write_job(t, 65536, data)
		written(s, t, job, 65536, data)
		s.equal(len(data_outs(t, writes(t)[0])), 5, 'Data-Outs')
		one_write(s, t)


@scene
def recovery_3_unsolicited_data_lost(s):
	"""An unsolicited Data-Out is lost: the recovery R2T for it is served."""
	t = at_level(s, 1, values={'InitialR2T': 'No', 'ImmediateData': 'No', 'FirstBurstLength': 4096},
		keys={'initial_r2t': 'no', 'immediate_data': 'no'}, max_recv=1024)
	t.rx = once('lost', lambda p: p.opcode == Op.DATA_OUT and p.ttt == RESERVED_TAG and p.datasn == 1)
	data = pattern(65536, 16384, b'unsolicited')
	written(s, t, s.write_job(t, 65536, data), 65536, data)
	if t.rx.left[0]:
		s.check(not [p for p in t.received(Op.DATA_OUT) if p.ttt == RESERVED_TAG], 'the scene is wrong')
	one_write(s, t)


@scene
def recovery_4_lost_r2t(s):
	"""The first of several R2Ts is lost: SNACK for it; or a single one, and the target asks anew."""
	values = dict(SOLICITED, MaxOutstandingR2T=4, DataSequenceInOrder='No')	# 13.19
	t = at_level(s, 1, values=values, keys=dict(SOLICITED_KEYS, max_outstanding_r2t=4, data_sequence_in_order='no'),
		r2t_size=1024)
	s.equal(t.sessions[-1].params['MaxOutstandingR2T'], 4, 'MaxOutstandingR2T')
	t.tx = once('lost', lambda p: p.opcode == Op.R2T and p.datasn == 0)
	data = pattern(65536, 4096, b'r2t')
	written(s, t, s.write_job(t, 65536, data), 65536, data)
	asked = [(p.itt, p.begrun, p.runlength) for p in snacks(t, 0)]
	s.check(asked and all(a[0] == writes(t)[0].itt and a[1:] in ((0, 1), (0, 0)) for a in asked), 'SNACKs %s' % asked)
	one_write(s, t)


@scene
def recovery_4_lost_single_r2t(s):
	"""The only R2T is lost; the target sends a recovery R2T a while later (7.1.4.1)."""
	class Patient(Lossy):
		def send_r2t(self, task, offset, length, ttt=None, **fields):
			super().send_r2t(task, offset, length, ttt, **fields)
			if task.r2ts[-1].lost:
				self.later(1, self.again, task)

		def again(self, task):
			with task.conn.session.lock:
				if not task.finished and not task.got:
					self.sequence_timeout(task)

	t = at_level(s, 1, Patient, values=SOLICITED, keys=SOLICITED_KEYS)
	t.tx = once('lost', lambda p: p.opcode == Op.R2T)
	data = pattern(65536, 4096, b'single')
	written(s, t, s.write_job(t, 65536, data), 65536, data)
	s.check(not t.tx.left[0], 'the scene is wrong')
	one_write(s, t)


@scene
def recovery_5_lost_response(s):
	"""A SCSI Response is lost, with others behind it, or as the last: status SNACK."""
	for others in (4, 0):
		t = at_level(s, 1, status_in_data=False, iqn=TEST + 'behind%d' % others)
		t.tx = once('lost', lambda p: p.opcode == Op.SCSI_RSP)
		job = s.read_job(t, 65536, 4096)
		t.wait(lambda: not t.tx.left[0], 'the loss')
		for n in range(others):
			good_read(s, t, n * 8192)
		right(s, t, job, 65536)
		s.check(snacks(t, 1), 'no status SNACK')
		unspoilt(s, t, others + 1)


@scene
def recovery_5_lost_response_of_a_write(s):
	"""The SCSI Response of a WRITE is lost: the WRITE is not given twice."""
	t = at_level(s, 1)
	t.tx = once('lost', lambda p: p.opcode == Op.SCSI_RSP)
	data = pattern(65536, 4096, b'write')
	written(s, t, s.write_job(t, 65536, data), 65536, data)
	s.check(snacks(t, 1), 'no status SNACK')
	one_write(s, t)


@scene
def recovery_5_lost_data_in_with_status(s):
	"""The last Data-In, with the status, is lost: found out by a ping, or by what follows."""
	t = at_level(s, 1, data_in_size=1024)
	t.tx = once('lost', lambda p: p.opcode == Op.DATA_IN and p.has_status)
	right(s, t, s.read_job(t, 65536, 4096), 65536)
	s.check(snacks(t, 0, 1), 'no SNACK')
	unspoilt(s, t)


@scene
def recovery_5_lost_async_and_nop(s):
	"""An async message and a Reject are lost: the gap in StatSN is filled, reads go on."""
	t = at_level(s, 1)
	for n, fits in enumerate((Op.ASYNC, Op.REJECT)):
		t.tx = once('lost', lambda p: p.opcode == fits)
		c = t.ffp_conns()[0]
		if fits == Op.ASYNC:
			t.async_message(c, 255, vcode=1)
		else:
			c.send(Pdu(Op.REJECT, final=True, itt=RESERVED_TAG, response=9, data=bytes(48)))
		for k in range(4):
			good_read(s, t, k * 8192)
		t.wait(lambda: snacks(t, 1)[n:], 'a status SNACK')
	s.equal(len(t.conns), 1, 'connections')


@scene
def recovery_6_lost_command(s):
	"""The first of eight commands is lost: the hole in CmdSN is plugged by a retry."""
	for fits in (is_read_pdu, is_write_pdu):
		t = at_level(s, 1, iqn=TEST + fits.__name__.replace('_', '-'))
		t.rx = once('lost', fits)
		data = pattern(0, 4096, b'command')
		wjob = s.write_job(t, 0, data)
		jobs = [s.read_job(t, n * 65536, 4096) for n in range(1, 8)]
		for n, job in enumerate(jobs, 1):
			right(s, t, job, n * 65536)
		written(s, t, wjob, 0, data)
		lost = [e.pdu for e, f in zip(t.events, t.events[1:]) if 'is lost' in f.text and e.pdu][0]
		same = [p for p in t.received(Op.SCSI_CMD) if p.cmdsn == lost.cmdsn]
		s.check(len(same) >= 2, 'no retry')
		s.equal({(p.itt, p.cdb, p.lun) for p in same}, {(lost.itt, lost.cdb, lost.lun)}, 'ITT, CDB, LUN')
		s.equal({conn_of(t, p).id for p in same}, {1}, 'connection of the retry')


@scene
def recovery_6_lost_command_among_idle(s):
	"""The only command is lost, nothing comes after it: a retry before the first abort."""
	t = at_level(s, 1)
	for _ in range(2):
		t.rx = once('lost', is_read_pdu)
		right(s, t, s.read_job(t, 65536, 4096), 65536)
	s.check(not t.received(Op.TMF_REQ), 'an abort was needed')
	s.equal(len({p.cmdsn for p in reads(t)}), 2, 'different CmdSNs')


@scene
def recovery_18_r_data(s):
	"""MaxRecvDataSegmentLength changes while data is missing: R-Data SNACK, tag in the response."""
	class Waits(Holder):
		def begin(self, task):
			self.data = self.run(task).data
			self.data_pdu(task, 0, self.data[:4096], 0)
			self.data_pdu(task, 4096, self.data[4096:8192], 1)	# this one is lost

		def go_on_here(self):
			task = self.held[0]
			with task.conn.session.lock:
				self.data_pdu(task, 8192, self.data[8192:10240], 2, final=True)
				task.data_in_sent = 3
				self.data_pdu(task, 10240, self.data[10240:12288], 3, final=True)
				self.respond(task)

	t = at_level(s, 1, Waits, keys={'max_recv_data_segment_length': 4096})
	t.tx = once('lost', data_in(1))
	t.armed, t.most = True, 1
	job = s.read_job(t, 65536, 12288)
	t.wait(lambda: t.held and not t.tx.left[0], 'the loss')
	s.command(s.session(t), 'set max_recv_data_segment_length=2048')
	t.go_on_here()
	right(s, t, job, 65536, 12288)
	s.check(snacks(t, 3), 'no R-Data SNACK')
	s.check(not snacks(t, 0), 'Data SNACK where R-Data is due')
	tag = snacks(t, 3)[-1].ttt
	s.equal(t.sent(Op.SCSI_RSP)[-1].snack_tag, tag, 'SNACK Tag of the last response')
	s.equal((len(t.conns), len({p.cmdsn for p in reads(t)})), (1, 1), 'connections and READs')


@scene
def recovery_19_dataack_waits_for_a_hole(s):
	"""A=1 while a Data-In is missing: DataACK only after the hole is filled (11.16.2)."""
	t = at_level(s, 1, data_in_size=1024, values={'MaxBurstLength': 4096, 'DataSequenceInOrder': 'No'},
		keys={'data_sequence_in_order': 'no'})		# or only the last sequence may be asked for (13.19)
	t.a_bit = True
	t.tx = once('lost', data_in(1))
	right(s, t, s.read_job(t, 0, 16384), 0, 16384)
	t.wait(lambda: snacks(t, 2), 'a DataACK')
	kinds = [p.snack_type for p in snacks(t)]
	s.check(0 in kinds and 2 in kinds, 'SNACKs %s' % kinds)
	s.check(kinds.index(0) < kinds.index(2), 'DataACK before the Data SNACK')
	unspoilt(s, t)


@scene
def recovery_20_lost_again(s):
	"""What was asked for by SNACK, or was retried, is lost again: once more."""
	for name, fits, in_data in (('data', data_in(2), True), ('response', lambda p: p.opcode == Op.SCSI_RSP, False)):
		t = at_level(s, 1, data_in_size=1024, status_in_data=in_data, iqn=TEST + name)
		t.tx = once('lost', fits, 2)
		right(s, t, s.read_job(t, 65536, 4096), 65536)
		s.check(not t.tx.left[0], 'the scene is wrong')
		good_read(s, t)
	t = at_level(s, 1, iqn=TEST + 'command')
	t.rx = once('lost', is_read_pdu, 2)
	right(s, t, s.read_job(t, 65536, 4096), 65536)


@scene
def recovery_21_recovery_data_lost_again(s):
	"""The answer to a recovery R2T is rejected for its digest too: a second recovery R2T."""
	t = at_level(s, 1, values=SOLICITED, keys=SOLICITED_KEYS, max_recv=1024)
	t.rx = once('digest', lambda p: p.opcode == Op.DATA_OUT and p.offset == 2048, 2)
	data = pattern(65536, 4096, b'twice')
	written(s, t, s.write_job(t, 65536, data), 65536, data)
	s.equal([p.datasn for p in t.sent(Op.R2T)], [0, 1, 2], 'R2TSNs')
	one_write(s, t)


@scene
def recovery_22_duplicates(s):
	"""Data-Ins and R2Ts that come twice, as replicas, are dropped (7.9)."""
	class Twice(Lossy):
		def before_send(self, c, pdu):
			if c.phase == 'ffp' and (pdu.opcode == Op.R2T or pdu.opcode == Op.DATA_IN and not pdu.has_status) \
					and self.armed:
				return [pdu, pdu.copy()]
			return None
		armed = False

	t = at_level(s, 1, Twice, data_in_size=1024, values=SOLICITED, keys=SOLICITED_KEYS)
	t.armed = True
	right(s, t, s.read_job(t, 65536, 4096), 65536)
	data = pattern(131072, 4096, b'dup')
	written(s, t, s.write_job(t, 131072, data), 131072, data)
	s.equal(len(t.conns), 1, 'connections')


@scene(is_slow=True)
def recovery_23_load_with_losses(s):
	"""Reads and writes under way together, one PDU in twenty lost or spoilt each way."""
	import random
	rnd = random.Random(7)
	t = digests(s, 1, values={'InitialR2T': 'Yes', 'ImmediateData': 'No'}, r2t_size=4096, max_recv=2048,
		keys={'command_timeout': LONG_DEADLINE})

	def out(c, p):
		if p.resent or p.opcode not in (Op.DATA_IN, Op.SCSI_RSP, Op.R2T) or rnd.random() > 0.05:
			return None
		return 'data' if p.data and rnd.random() < 0.5 else 'lost'

	def into(c, p):
		if p.opcode == Op.DATA_OUT and not p.final and rnd.random() < 0.05:
			return 'digest'
		if p.opcode == Op.SCSI_CMD and (is_read_pdu(p) or is_write_pdu(p)) and rnd.random() < 0.05:
			return 'lost'
		return None
	t.tx, t.rx = out, into
	data = {n: pattern(n * 65536, 16384, b'load') for n in range(32, 48)}
	jobs = [(n, s.read_job(t, n * 65536, 16384)) for n in range(16)]
	wjobs = [(n, s.write_job(t, n * 65536, d)) for n, d in data.items()]
	for n, job in jobs:
		right(s, t, job, n * 65536, 16384)
	for n, job in wjobs:
		written(s, t, job, n * 65536, data[n])
	t.tx = t.rx = None
	good_read(s, t)
