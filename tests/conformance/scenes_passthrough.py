# SPDX-License-Identifier: BSD-2-Clause
"""SCSI from the shell: lunN/scsi, one command a line, and the verbs that decode what a unit tells."""

import errno
import json
import shlex
import signal
import subprocess

import scsi
from common import Codes, Holder, LOST, good_read, pattern, pattern_disk, tmfs
from harness import scene
from pdu import Op
from scsi import BUSY, Disk, Result
from target import Target

TUR = '00 00 00 00 00 00'


def is_tur(task):
	return task.cdb[0] == scsi.TEST_UNIT_READY


def turs(t):
	return t.commands(scsi.TEST_UNIT_READY)


def scsi_path(t, lun=0):
	return 'targets/%s/lun%d/scsi' % (t.iqn, lun)


def send(s, t, line, lun=0):
	"""Its answer, as a dict; the write must succeed."""
	reply = s.ctl(scsi_path(t, lun), line)
	s.check(not reply.errno, '%s: %r' % (line[:80], reply))
	return dict(word.split('=', 1) for word in shlex.split(reply.text))


def refused(s, t, line, *errnos):
	reply = s.ctl(scsi_path(t), line)
	s.check(reply.errno in errnos, '%s: %r' % (line[:80], reply))
	s.check(reply.text.startswith('error code='), 'the reply: %r' % reply)
	return reply


@scene
def passthrough_1_unit_attention_is_told(s):
	"""A unit attention is the answer: one command went out, and what it tells of is looked into."""
	t = s.target(luns={0: pattern_disk(1 << 20)})
	s.login(t)
	before = len(turs(t))
	t.luns[0].store.extend(bytes(1 << 20))
	t.luns[0].blocks *= 2
	t.sessions[-1].attention.setdefault(0, []).append(scsi.CAPACITY_CHANGED)
	answer = send(s, t, TUR)
	s.equal((answer['status'], answer['key'], answer['asc'], answer['ascq']), ('0x02', '0x06', '0x2a', '0x09'),
		'status and sense')
	s.equal(answer['status_name'], 'check condition', 'status_name')
	s.wait(lambda: s.cat('targets', t.iqn, 'lun0', 'size') == str(2 << 20), 'the new size')
	sent = turs(t)[before:]
	s.check(all(p.cdb == bytes(16) for p in sent), 'CDBs: %r' % sent)
	# Whoever looks at the unit then sends TEST UNIT READYs of its own.
	s.equal(send(s, t, '1b 00 00 00 01 00')['text'], 'illegal request, invalid command operation code (05/20/00)',
		'START STOP UNIT')
	s.equal(len(t.commands(0x1b)), 1, 'commands for one line')
	s.equal(send(s, t, TUR)['status'], '0x00', 'status of the next one')


@scene
def passthrough_2_nothing_is_sent_again(s):
	"""Unit attention, BUSY, TASK SET FULL, ABORTED COMMAND, NOT READY: each is told, and sent once."""
	t = s.target(Codes, luns={0: pattern_disk()}, on=lambda task: task.cdb[0] == 0x1b)
	s.login(t)
	cases = ((scsi.POWER_ON, '0x02'), (BUSY, '0x08'), (scsi.TASK_SET_FULL, '0x28'), (scsi.CRC_ERROR, '0x02'),
		((0x02, 0x04, 0x01), '0x02'), (scsi.RESERVATION_CONFLICT, '0x18'), (0x77, '0x77'))
	for n, (code, status) in enumerate(cases, 1):
		t.codes = [code]
		answer = send(s, t, '1b 00 00 00 01 00')
		s.equal(answer['status'], status, 'status')
		if isinstance(code, tuple):
			s.equal(tuple(int(answer[k], 16) for k in ('key', 'asc', 'ascq')), code, 'sense')
			s.equal(bytes.fromhex(answer['sense'][2:]), scsi.make_sense(*code), 'sense bytes')
		else:
			s.check('sense' not in answer, 'sense data that did not come: %r' % answer)
		s.equal(len(t.commands(0x1b)), n, 'commands for %d lines' % n)


@scene
def passthrough_3_session_lost(s):
	"""The connection ends while a command is out: an error, nothing is sent again; all works after."""
	t = s.target(Holder, luns={0: pattern_disk()}, on=lambda task: task.cdb[0] == 0x1b)
	s.login(t)
	t.armed = True
	job = s.ctl_job(scsi_path(t), '1b 00 00 00 01 00\n1b 00 00 00 00 00')
	t.wait(lambda: t.held, 'the command')
	t.armed = False
	t.ffp_conns()[0].reset()
	reply = job.result()
	s.equal(reply.errno, errno.EIO, 'errno of %r' % reply)
	s.check('may have been carried out' in reply.text, 'the reply: %r' % reply)
	good_read(s, t)
	s.equal(len(t.commands(0x1b)), 1, 'commands')
	s.equal(send(s, t, '12 00 00 00 24 00 in=36')['bytes'], '36', 'bytes of INQUIRY')


@scene
def passthrough_4_timeout(s):
	"""timeout= ends the write, ABORT TASK the command; the session lives on."""
	t = s.target(Holder, luns={0: pattern_disk()}, on=lambda task: task.cdb[0] == 0x1b)
	s.login(t)
	t.armed = True
	reply = s.ctl(scsi_path(t), '1b 00 00 00 01 00 timeout=0.5')
	s.equal(reply.errno, errno.ETIMEDOUT, 'errno of %r' % reply)
	t.wait(lambda: tmfs(t, 1), 'ABORT TASK')
	s.equal(tmfs(t, 1)[0].rtt, t.held[0].itt, 'the task that is aborted')
	good_read(s, t)
	s.equal(len(t.conns), 1, 'connections')
	s.equal(len(t.commands(0x1b)), 1, 'commands')


@scene
def passthrough_5_long_command(s):
	"""timeout=600: a quiet command is left alone, long after a third of command_timeout."""
	t = s.target(Holder, luns={0: pattern_disk()}, on=lambda task: task.cdb[0] == 0x1b)
	s.login(t)
	s.set(t, command_timeout=3)
	t.armed = True
	job = s.ctl_job(scsi_path(t), '1b 00 00 00 01 00 timeout=600')
	t.wait(lambda: t.held, 'the command')
	before = len(tmfs(t))
	s.pause(4)
	s.equal(len(tmfs(t)), before, 'task management')
	t.let_go()
	s.check('status=0x02' in job.result().text, 'the reply: %r' % job.result())
	s.equal(len(t.conns), 1, 'connections')


@scene
def passthrough_6_interrupted(s):
	"""Ctrl-C ends the writer at once; the answer that comes later harms nobody."""
	t = s.target(Holder, luns={0: pattern_disk()}, on=lambda task: task.cdb[0] == 0x1b)
	s.login(t)
	t.armed = True
	with subprocess.Popen(['sh', '-c', 'exec printf "1b 00 00 00 01 00\\n1b0000000000\\n" > "$0"',
			s.path(scsi_path(t))]) as writer:
		t.wait(lambda: t.held, 'the command')
		writer.send_signal(signal.SIGINT)
		s.wait(lambda: writer.poll() is not None, 'the writer to end')
	t.let_go()
	good_read(s, t)
	s.equal(len(t.commands(0x1b)), 1, 'commands')
	s.equal(send(s, t, TUR)['status'], '0x00', 'status')


@scene
def passthrough_7_only_what_came(s):
	"""Less data than asked for, or more: what came is shown, and the residual."""
	class Odd(Target):
		def run(self, task):
			if task.cdb[0] == 0xc0:
				return Result(bytes(range(100)), status=task.cdb[1],
					sense=scsi.make_sense(5, 0x24, 0) if task.cdb[1] else b'')
			return super().run(task)

	t = s.target(Odd, luns={0: pattern_disk()})
	s.login(t)
	for line, size, residual, overflow in (('c00000000000 in=100', 100, '0', None),
			('c00000000000 in=4096', 100, '3996', None), ('c00000000000 in=64', 64, '0', '36')):
		answer = send(s, t, line)
		s.equal(answer['status'], '0x00', 'status')
		s.equal(bytes.fromhex(answer['data'][2:]), bytes(range(size)), 'data')
		s.equal((answer['bytes'], answer['residual'], answer.get('overflow')), (str(size), residual, overflow),
			'bytes, residual and overflow')
	answer = send(s, t, 'c00200000000 in=4096')
	s.equal(answer['status'], '0x02', 'status')
	s.equal(answer['bytes'], '0', 'bytes with CHECK CONDITION')
	s.equal(answer['data'], '0x', 'data with CHECK CONDITION')


@scene
def passthrough_8_long_cdbs_and_data(s):
	"""A CDB of 32 bytes travels whole, and so do 512 KiB of data, both ways."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	cdb = bytes([0x7f] + [0] * 6 + [24]) + bytes(range(8, 32))
	s.equal(send(s, t, cdb.hex())['asc'], '0x20', 'ASC')
	p = t.commands(0x7f)[0]
	s.equal(p.cdb + p.ahs[4:20], cdb, 'the CDB')
	s.equal(p.ahs[:3], b'\0\x11\1', 'header of the AHS')
	data = pattern(0, 512 << 10, b'out')
	answer = send(s, t, '2a 00 00000000 00 0400 00 out=' + data.hex(' '))
	s.equal((answer['status'], answer['bytes']), ('0x00', str(512 << 10)), 'status and bytes')
	s.check(bytes(t.luns[0].store[:512 << 10]) == data, 'the disk does not have what was written')
	# The kernel splits what is over 1 MiB: it is the second piece that is refused.
	reply = s.ctl(scsi_path(t), '2a 00 00000000 00 0401 00 out=' + data.hex() + '00')
	s.check('more than 524288 bytes' in reply.text, 'the reply: %r' % reply)
	refused(s, t, '28 00 00000000 00 0401 00 in=%d' % (513 << 10), errno.EINVAL)
	s.equal(len(t.commands(scsi.WRITE_10)), 1, 'WRITEs')
	s.equal(len(t.commands(scsi.READ_10)), 0, 'READs')


@scene
def passthrough_9_several_lines(s):
	"""Lines run in order, an answer each; the first that is not understood ends them."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	before = len(turs(t))
	reply = s.ctl(scsi_path(t), '%s\n# no command\n\n1f 00 00 00 00 00\n%s\nzz\n%s' % (TUR, TUR, TUR))
	s.equal(reply.errno, errno.EINVAL, 'errno of %r' % reply)
	s.equal([x.split()[0] for x in reply.text.splitlines()], ['status=0x00', 'status=0x02', 'status=0x00', 'error'],
		'the replies')
	s.equal(len(turs(t)) - before, 2, 'TEST UNIT READYs')


@scene
def passthrough_10_target_failure(s):
	"""Response codes that bring no status are errors; nothing is sent again."""
	class Failing(Target):
		def on_scsi_command(self, c, task):
			if task.cdb[0] != 0x1b:
				return False
			self.respond(task, response=1)
			return True

	t = s.target(Failing, luns={0: pattern_disk()})
	s.login(t)
	reply = refused(s, t, '1b 00 00 00 00 00', errno.EIO)
	s.check('the target failed' in reply.text, 'the reply: %r' % reply)
	s.equal(len(t.commands(0x1b)), 1, 'commands')


class Pages(Disk):
	"""A vendor's page of 5,000 bytes, and one that says 65,535 and has less."""
	def vpd(self, page):
		return {0xc0: bytes(range(250)) * 20, 0xc1: bytes(65535)}.get(page) or super().vpd(page)


@scene
def inspect_1_long_pages(s):
	"""A page longer than what was asked for is asked for again, once, and within bounds."""
	t = s.target(luns={0: Pages()})
	s.login(t)
	lun = 'targets/%s/lun0/ctl' % t.iqn
	for page, size in ((0xc0, 5004), (0xc1, 65535)):
		before = len(t.commands(scsi.INQUIRY))
		reply = s.ctl(lun, 'inquiry 0x%02x' % page)
		s.check(not reply.errno, '%r' % reply)
		s.equal(reply.fields['bytes'], str(size), 'bytes')
		s.equal(len(t.commands(scsi.INQUIRY)) - before, 2, 'INQUIRYs')
	reply = s.ctl(lun, 'inquiry 0xc0 json=yes')
	s.equal(bytes.fromhex(json.loads(reply.text)['data'][2:])[4:], bytes(range(250)) * 20, 'the page')


@scene
def inspect_2_capacity_10(s):
	"""READ CAPACITY(16) is not known: read-capacity asks with (10)."""
	class Old(Disk):
		def service_action_in(self, cdb):
			return Result.check(scsi.INVALID_OPCODE)

	t = s.target(luns={0: Old(size=1 << 20)})
	s.login(t)
	reply = s.ctl('targets/%s/lun0/ctl' % t.iqn, 'read-capacity')
	s.check(not reply.errno, '%r' % reply)
	s.equal((reply.fields['command'], reply.fields['blocks'], reply.fields['size']),
		('READ CAPACITY(10)', '2048', str(1 << 20)), 'the reply')


@scene
def inspect_3_pages_that_lie(s):
	"""Pages that are cut, empty, another one, or longer than they are: a reply each time, no crash."""
	class Liar(Disk):
		answer = b''

		def inquiry(self, cdb):
			if self.answer is None:
				return super().inquiry(cdb)
			return Result(self.answer[:int.from_bytes(cdb[3:5], 'big')])

	disk = Liar()
	disk.answer = None
	t = s.target(luns={0: disk})
	s.login(t)
	lun = 'targets/%s/lun0/ctl' % t.iqn
	for page in (0x00, 0x80, 0x83, 0x86, 0xb0, 0xb1, 0xb2):
		whole = bytes((0, page, 0, 60)) + bytes(range(60))
		for answer in (b'', whole[:1], whole[:3], whole[:4], whole[:5], whole[:9], whole[:40], b'\xff' * 64,
				bytes((0, page, 0xff, 0xff)) + b'\xff' * 300, bytes((0, page, 0, 0)) + b'\1' * 9):
			disk.answer = answer
			for line in ('inquiry 0x%02x' % page, 'inquiry 0x%02x json=yes' % page, 'inquiry json=yes'):
				reply = s.ctl(lun, line)
				s.check(not reply.errno or reply.text.startswith('error '), '%s: %r' % (line, reply))
				if not reply.errno and 'json' in line:
					json.loads(reply.text)
	disk.answer = None
	good_read(s, t)
