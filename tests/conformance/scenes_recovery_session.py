# SPDX-License-Identifier: BSD-2-Clause
"""Session recovery (ErrorRecoveryLevel 0): the only connection is lost, the session comes
back, and what was under way is given again.

While no connection is up, I/O waits; it fails at its deadline (command_timeout), not before.
A read is never completed with bytes that were not received for it."""

import errno
import os
import time

from common import (DEADLINE, Holder, LOST, Load, Lossy, at_level, good_read, harmless, is_write, logins,
	pattern, pattern_disk, reads, right, round_trip, writes, written)
from harness import Job, scene
from net import loopback

TEST = 'iqn.2026-01.org.iscsifs.test:'
ENDS = {
	'fin': lambda c: c.close(),
	'rst': lambda c: c.reset(),
}


class Drops(Holder):
	"""The connection ends when `most` commands are held; how: a function of the connection."""
	most = 1
	how = staticmethod(ENDS['fin'])
	part = 0			# Data-Ins sent before

	def begin(self, task):
		if task.read and self.part:
			self.data_pdu(task, 0, self.run(task).data[:1024], 0)
		if task.write and task.asked < task.edtl and self.part:
			task.manual = True
			self.send_r2t(task, task.asked, 1024)
		if len(self.held) == self.most:
			self.armed, self.held = False, []
			self.later(0.1, self.how, task.conn)


def same_nexus(s, t, session, before):
	"""The session is the same directory, back at work, by session reinstatement or the like."""
	s.equal(len({x.isid for x in t.sessions}), 1, 'ISIDs')
	s.wait(lambda: s.cat(session, 'state') == before, 'state %s' % before)


def lost_in_flight(s, level):
	for n, (name, how) in enumerate(ENDS.items()):
		for part in (0, 1):
			t = at_level(s, level, type('D', (Drops,), {'how': staticmethod(how)}), part=part,
				iqn=TEST + '%s%d' % (name, part))
			session = 'targets/%s/sessions/%s' % (t.iqn, s.sids(t)[0])
			before = s.cat(session, 'state')
			good_read(s, t)
			t.armed, t.most = True, 4
			jobs = [s.read_job(t, (k + 1) * 65536, 4096) for k in range(4)]
			for k, job in enumerate(jobs):
				right(s, t, job, (k + 1) * 65536)
			s.check(len(t.conns) > 1, 'the scene is wrong')
			same_nexus(s, t, session, before)
			good_read(s, t, 8192)
			if n == 0 and part == 0 and level == 0:
				s.check([p for p in reads(t) if p.cdb == reads(t)[1].cdb][1:], 'the scene is wrong')


@scene
def recovery_7_connection_lost_read(s):
	"""ERL 0: READs in flight when TCP ends (FIN, RST; before and amid the data): given anew."""
	lost_in_flight(s, 0)


@scene
def recovery_7_connection_lost_read_erl_1(s):
	"""The same at ERL 1."""
	lost_in_flight(s, 1)


@scene
def recovery_8_connection_lost_write(s):
	"""ERL 0 and 1: WRITEs in flight, with and without an R2T served: given anew, whole."""
	for level in (0, 1):
		for part in (0, 1):
			t = at_level(s, level, type('D', (Drops,), {'on': staticmethod(is_write)}), part=part,
				values={'ImmediateData': 'No', 'InitialR2T': 'Yes'},
				keys={'immediate_data': 'no', 'initial_r2t': 'yes'}, iqn=TEST + 'write%d%d' % (level, part))
			good_read(s, t)
			t.armed, t.most = True, 3
			data = {k: pattern(k * 65536, 8192, b'w%d' % level) for k in (1, 2, 3)}
			jobs = [(k, s.write_job(t, k * 65536, d)) for k, d in data.items()]
			for k, job in jobs:
				written(s, t, job, k * 65536, data[k])
			s.check(len(t.conns) > 1 and len(writes(t)) >= 6, 'the scene is wrong')
			round_trip(s, t, 1 << 20, 8192)


@scene
def recovery_13_second_error_in_recovery(s):
	"""The connection fails again: while it is made, in the login, at the first command."""
	class Unlucky(Drops):
		bad = ()
		at = 0

		def on_connect(self, c):
			if self.step(c) in ('close', 'silent'):
				if c.plan == 'close':
					c.close()
				else:
					c.login_silent = True

		def step(self, c):
			c.plan = self.bad[self.at] if self.at < len(self.bad) and len(self.conns) > 1 else ''
			self.at += bool(c.plan)
			return c.plan

		def on_login(self, c, req, keys, reply):
			if c.plan == 'silent' or c.plan == 'half' and len(c.login.requests) > 1:
				if c.plan == 'half':
					c.close()
				return False
			if c.plan == 'busy':
				reply.refuse(0x0301)
			return None

		def on_scsi_command(self, c, task):
			if c.plan == 'command':
				c.close()
				return True
			return super().on_scsi_command(c, task)

	for n, bad in enumerate((['close', 'half'], ['busy', 'busy', 'half'], ['command', 'close'], ['silent'])):
		t = s.target(Unlucky, luns={0: pattern_disk()}, bad=bad, iqn=TEST + 'bad%d' % n)
		s.login(t, command_timeout=40, login_timeout=2)
		good_read(s, t)
		t.armed = True
		job = s.read_job(t, 65536, 4096)
		right(s, t, job, 65536)
		s.equal(t.at, len(bad), 'failures played')
		good_read(s, t, 8192)
	s.event('closed-in-login', r'127\.')


@scene
def recovery_17_no_old_buffers(s):
	"""The bytes change while the connection is down: what a read brings is all new."""
	t = s.target(Drops, luns={0: pattern_disk(16 << 20)}, part=1)
	s.login(t, command_timeout=40)
	for round_ in range(6):
		new = pattern(0, len(t.luns[0].store), b'round%d' % round_)
		c = t.ffp_conns()[-1]

		def swap_and_close(conn):		# it may be back before anything else is done
			t.luns[0].store[:] = new
			conn.close()
		t.how, t.most = swap_and_close, 4
		t.armed = True
		places = [k * 65536 for k in range(4)]
		jobs = [s.read_job(t, at, 16384) for at in places]
		t.wait(lambda: not c.alive, 'the drop')
		for at, job in zip(places, jobs):
			s.check(job.result() == pattern(at, 16384, b'round%d' % round_),
				'round %d, read at %d: bytes from before the reconnect' % (round_, at))
		t.wait(lambda: t.ffp_conns(), 'the session to come back')
		at = (round_ + 1) << 21			# buffered, beyond what was read ahead before
		s.check(s.read(t, at, 16384, direct=False) == pattern(at, 16384, b'round%d' % round_), 'wrong data')


@scene
def recovery_24_outage(s):
	"""Nobody listens for 4 s: state retrying, reads and writes wait, and are done afterwards."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t, command_timeout=40)
	session = s.session(t)
	before = s.cat(session, 'state')
	good_read(s, t)
	t.portals[0].close(drop=True)
	s.wait(lambda: s.cat(session, 'state') == 'retrying', 'state retrying')
	data = pattern(0, 4096, b'outage')
	jobs = [s.read_job(t, k * 65536, 4096) for k in range(1, 4)]
	wjob = s.write_job(t, 0, data)
	s.pause(4)
	s.check(not any(j.done.is_set() for j in jobs + [wjob]), 'I/O ended while nobody listened')
	s.equal(s.cat(session, 'state'), 'retrying', 'state')
	s.check(s.exists('targets', t.iqn, 'lun0', 'disk'), 'the LUN is gone')
	t.portals[0].open()
	for k, job in enumerate(jobs, 1):
		right(s, t, job, k * 65536)
	written(s, t, wjob, 0, data)
	same_nexus(s, t, session, before)
	s.equal(s.sids(t), [session.rsplit('/', 1)[1]], 'sessions in the tree')


@scene
def recovery_25_outage_beyond_the_deadline(s):
	"""An outage longer than command_timeout: an error then, not before; later reads work."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	good_read(s, t)
	s.set(t, command_timeout=3)
	t.portals[0].close(drop=True)
	jobs = [s.read_job(t, 8192, 4096), s.write_job(t, 65536, bytes(4096))]
	for job in jobs:
		s.fails(job, *LOST)
		s.check(job.seconds > 2, '%s failed after %.1f s' % (job.what, job.seconds))
	t.portals[0].open()
	t.wait(lambda: t.ffp_conns(), 'the session to come back')
	s.set(t, command_timeout=40)
	good_read(s, t)
	s.check(bytes(t.luns[0].store[65536:69632]) == pattern(65536, 4096), 'a failed write was done')


@scene
def recovery_26_time2wait(s):
	"""DefaultTime2Wait 2: nobody comes back before; also with that of a drop notification."""
	for event in (False, True):
		t = s.target(luns={0: pattern_disk()}, values={'DefaultTime2Wait': 0 if event else 2}, iqn=TEST + 'wait%d' % event)
		s.login(t, time2wait=0)
		good_read(s, t)
		c = t.ffp_conns()[0]
		t.portals[0].close()			# so that nothing is missed
		t.portals[0].open()
		down = time.monotonic()			# before the daemon can know of it
		if event:
			t.async_message(c, 2, p1=c.cid, p2=2, p3=10)
		c.close()
		job = s.read_job(t, 8192, 4096)
		again = t.wait(lambda: logins(t)[1:], 'the initiator to come back')[0]
		s.check(again.time - down >= 1.9, 'it came back after %.2f s' % (again.time - down))
		right(s, t, job, 8192)


@scene
def recovery_27_session_reinstatement(s):
	"""It comes back with the same ISID; if that is a new session, TSIH is 0 and all is renegotiated."""
	t = s.target(Drops, luns={0: pattern_disk()}, amnesia=True)
	s.login(t, command_timeout=DEADLINE)
	t.armed = True
	right(s, t, s.read_job(t, 0, 4096))
	new = t.sessions[-1]
	s.equal((len(t.sessions), new.isid), (2, t.sessions[0].isid), 'sessions, and ISID of the new one')
	first, again = [e.pdu for e in logins(t)][0], [e.pdu for e in logins(t)][-1]
	s.equal((again.tsih, again.isid), (0, first.isid), 'TSIH and ISID')
	s.equal(dict(t.conns[0].login.keys).get('TargetName'), dict(t.conns[-1].login.keys).get('TargetName'),
		'TargetName')
	s.check('MaxBurstLength' in dict(t.conns[-1].login.keys), 'the parameters were not negotiated again')


@scene
def recovery_28_redirect_during_reconnect(s):
	"""The reconnect is redirected (0101): the session goes on at the other address."""
	class Moves(Drops):
		moved = False

		def on_login(self, c, req, keys, reply):
			if self.moved and c.portal is self.portals[0]:
				reply.refuse(0x0101)
				reply.keys = [('TargetAddress', '%s,1' % self.portals[1].address)]

	t = s.target(Moves, luns={0: pattern_disk()})
	t.add_portal(loopback(2))
	s.login(t, command_timeout=40)
	good_read(s, t)
	t.moved = t.armed = True
	right(s, t, s.read_job(t, 65536, 4096), 65536)
	s.check(t.ffp_conns()[-1].portal is t.portals[1], 'not at the other address')
	good_read(s, t, 8192)


class NewUnit(Drops):
	"""After the first session another unit stands at LUN 0."""

	def on_ffp(self, c):
		if len(self.sessions) > 1 and self.luns[0].serial != 'OTHER':
			other = pattern_disk(serial='OTHER')
			other.store[:] = pattern(0, len(other.store), b'other unit')
			self.luns[0] = other


@scene
def recovery_29_another_unit_after_restart(s):
	"""LUN 0 is another disk after the session restart: ESTALE for who has it open, never its bytes."""
	t = s.target(NewUnit, luns={0: pattern_disk()}, amnesia=True)
	s.login(t, command_timeout=DEADLINE)
	good_read(s, t)
	path = s.disk(t)
	fd = s.job('open', os.open, path, os.O_RDWR | os.O_DIRECT).result()
	try:
		t.armed = True
		job = s.read_job(t, 65536, 4096)
		if job.errno() == 0:
			s.check(job.result() == bytes(t.luns[0].store[65536:69632]), 'wrong data')
		t.wait(lambda: len(t.sessions) > 1, 'the new session')
		s.wait(lambda: Job('read', held_read, fd).errno() == errno.ESTALE, 'ESTALE for the open file', 30)
		s.fails(Job('write', held_write, fd), errno.ESTALE)
		s.check(bytes(t.luns[0].store[:4096]) == pattern(0, 4096, b'other unit'), 'the other unit was written')
		s.event('lun-replaced', 'lun 0')
	finally:
		os.close(fd)


def held_read(fd):
	import mmap
	with mmap.mmap(-1, 4096) as buf, memoryview(buf) as view:
		got = os.preadv(fd, [view], 0)
		data = bytes(view[:got])
	if data == pattern(0, 4096, b'other unit'):
		raise AssertionError('the bytes of another unit')
	return data


def held_write(fd):
	import mmap
	with mmap.mmap(-1, 4096) as buf, memoryview(buf) as view:
		return os.pwritev(fd, [view], 0)


@scene(is_slow=True)
def recovery_30_twenty_drops_under_load(s):
	"""The connection ends again and again while six readers and writers run: all comes right."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t, command_timeout=40)
	session = s.session(t)
	load = Load(s, t)
	for n in range(20):
		live = t.wait(lambda: t.ffp_conns(), 'a connection')
		load.goes_on()
		(live[0].close if n % 2 else live[0].reset)()
	load.end()
	s.equal(len({x.isid for x in t.sessions}), 1, 'ISIDs')
	good_read(s, t)
	s.check(s.exists(session), 'the session has another directory')


@scene
def recovery_31_idle_session_comes_back(s):
	"""No I/O at all: a lost session comes back by itself; a failed login is tried again."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	session = s.session(t)
	before = s.cat(session, 'state')
	t.portals[0].close(drop=True)
	s.wait(lambda: s.cat(session, 'state') == 'retrying', 'state retrying')
	t.portals[0].open()
	t.wait(lambda: t.ffp_conns(), 'the session to come back')
	same_nexus(s, t, session, before)
	good_read(s, t)


@scene
def recovery_32_logout_while_retrying(s):
	"""logout while nobody listens: it ends, waiting I/O with it, and nobody comes back."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t, command_timeout=40, logout_timeout=2)
	session = s.session(t)
	t.portals[0].close(drop=True)
	s.wait(lambda: s.cat(session, 'state') == 'retrying', 'state retrying')
	job = s.read_job(t, 0, 4096)
	s.ctl_job('targets/%s/ctl' % t.iqn, 'logout force=yes').result(30)
	s.fails(job, *LOST)
	s.wait(lambda: not s.exists(session), 'the session to go')
	count = len(t.conns)
	t.portals[0].open()
	s.pause(3)
	s.equal(len(t.conns), count, 'connections after the logout')
	s.login(t)
	good_read(s, t)


@scene
def recovery_33_login_refused_when_back(s):
	"""Back, the target refuses (0201, 0203): tried on or given up, but I/O ends at its deadline."""
	for status in (0x0201, 0x0203):
		class Refuses(Lossy):
			refuses = False

			def on_login(self, c, req, keys, reply):
				if self.refuses:
					reply.refuse(status)

		t = s.target(Refuses, luns={0: pattern_disk()}, iqn=TEST + 'status%x' % status)
		s.login(t)
		good_read(s, t)
		s.set(t, command_timeout=4)
		t.refuses = True
		t.conns[0].close()
		s.fails(s.read_job(t, 0, 4096), *LOST)
		t.refuses = False
		s.relogin(t)
		good_read(s, t)


@scene
def recovery_34_buffered_writes_survive(s):
	"""Buffered writes and fsync over a drop: all bytes are on the disk when fsync returns."""
	t = s.target(type('D', (Drops,), {'on': staticmethod(is_write)}), luns={0: pattern_disk()})
	s.login(t, command_timeout=40)
	t.armed, t.most = True, 2
	data = pattern(65536, 1 << 20, b'buffered')
	s.write(t, 65536, data, direct=False, sync=True)
	s.check(len(t.conns) > 1, 'the scene is wrong')
	s.check(bytes(t.luns[0].store[65536:65536 + len(data)]) == data, 'the disk does not have what was written')


@scene
def recovery_35_open_file_lives_on(s):
	"""A file descriptor that was open before the loss works after it."""
	t = s.target(Drops, luns={0: pattern_disk()})
	s.login(t, command_timeout=DEADLINE)
	fd = s.job('open', os.open, s.disk(t), os.O_RDWR | os.O_DIRECT).result()
	try:
		for _ in range(3):
			t.armed = True
			s.check(Job('read', held_read, fd).result() == pattern(0, 4096), 'wrong data')
			s.check(harmless(s, t, s.read_job(t, 8192, 4096), 8192), 'a read failed')
	finally:
		os.close(fd)
