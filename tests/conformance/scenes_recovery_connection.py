# SPDX-License-Identifier: BSD-2-Clause
"""Connection recovery (ErrorRecoveryLevel 2), and sessions of several connections that lose
one of them at any level.

At level 2 a task outlives its connection: that is logged out for recovery (reason 2 on
another connection, or implicitly by a login with its CID), then TASK REASSIGN (8) gives the
task, with its tag, to another connection.  When that fails the command is given anew."""

import time

import scsi
from common import (DEADLINE, Holder, Load, Lossy, at_level, conn_of, good_read, is_read, is_write, logins, pattern,
	pattern_disk, reads, right, round_trip, tmfs, tree_cid, writes, written)
from harness import scene
from pdu import Op, Pdu

TEST = 'iqn.2026-01.org.iscsifs.test:'
MCS = {'MaxConnections': 2}
POLICIES = ('failover', 'round-robin', 'round-robin-subset', 'weighted', 'least-queue-depth')
SOLICITED = {'InitialR2T': 'Yes', 'ImmediateData': 'No'}
SOLICITED_KEYS = {'initial_r2t': 'yes', 'immediate_data': 'no'}


class Dies(Holder):
	"""When `most` commands are held, their connection ends.  part: what goes out before: that
	many Data-Ins of 1024, or one R2T whose data is taken."""
	most = 1
	part = 0

	def begin(self, task):
		if task.read and self.part:
			data = self.run(task).data
			for n in range(self.part):
				self.data_pdu(task, n * 1024, data[n * 1024:n * 1024 + 1024], n)
		if task.write and self.part:
			task.manual = True
			self.send_r2t(task, task.asked, 1024)
			return
		self.count()

	def on_burst(self, c, task, seq):
		if task.manual:
			self.count()
			return True
		return False

	def on_reassign(self, c, task, expdatasn):
		task.manual = False

	counted = 0

	def count(self):
		self.counted += 1
		if self.counted == self.most:
			self.armed, self.counted = False, 0
			for c in {t.conn for t in self.held}:
				self.later(0.1, c.close)
			self.held = []


def die(s, level=2, two=False, write=False, part=0, most=1, keys=None, cls=Dies, **config):
	"""A logged in target whose next commands lose their connection."""
	cls = type('D', (cls,), {'on': staticmethod(is_write if write else is_read)})
	values = dict(MCS if two else {}, ErrorRecoveryLevel=level, **(SOLICITED if write else {}))
	values.update(config.pop('values', {}))
	t = s.target(cls, luns={0: pattern_disk()}, part=part, most=most, values=values, data_in_size=1024, **config)
	keys = dict({'erl': level, 'command_timeout': DEADLINE}, **(SOLICITED_KEYS if write else {}), **(keys or {}))
	if two:
		s.two_connections(t, **keys)
	else:
		s.login(t, **keys)
	good_read(s, t)
	t.armed = True
	return t


def io(s, t, n=1, write=False):
	"""n reads or writes of 4096; all have to succeed."""
	if not write:
		for k, job in enumerate([s.read_job(t, (k + 1) * 65536, 4096) for k in range(n)]):
			right(s, t, job, (k + 1) * 65536)
		return
	data = {k: pattern(k * 65536, 4096, b'reassign') for k in range(1, n + 1)}
	for k, job in [(k, s.write_job(t, k * 65536, d)) for k, d in data.items()]:
		written(s, t, job, k * 65536, data[k])


def moved(s, t, n, write=False):
	"""n tasks were reassigned, none was given anew, the session is the same one."""
	cmds = writes(t) if write else reads(t)[1:]
	got = tmfs(t, 8)
	s.equal(sorted(p.rtt for p in got), sorted(p.itt for p in cmds), 'tags of the TASK REASSIGNs')
	s.equal(len(cmds), n, 'commands sent')
	s.check(all(p.response == 0 for p in t.sent(Op.TMF_RSP)), 'a TASK REASSIGN was refused')
	s.equal(len(t.sessions), 1, 'sessions')


@scene
def recovery_9_connection_lost_erl_2(s):
	"""The only connection is lost with 3 reads (or writes) amid their data: all are reassigned."""
	for write in (False, True):
		for part in (0, 2 if not write else 1):
			t = die(s, write=write, part=part, most=3, iqn=TEST + 'one%d%d' % (write, part))
			io(s, t, 3, write)
			moved(s, t, 3, write)
			again = logins(t)[1].pdu
			s.equal((again.tsih, again.isid), (t.sessions[0].tsih, t.sessions[0].isid), 'TSIH and ISID')
			s.equal(again.cid, t.conns[0].cid, 'CID: the login is the logout of the old one')
			for p in tmfs(t, 8) if not write else ():
				s.check(p.expdatasn in (0, part), 'ExpDataSN %d, %d were sent' % (p.expdatasn, part))
			round_trip(s, t, 1 << 20, 8192)
	s.event('tasks-reassigned')


@scene
def recovery_9_one_of_two_lost_erl_2(s):
	"""One of two connections is lost with reads (or writes) on it: logged out, reassigned."""
	for write in (False, True):
		t = die(s, two=True, write=write, part=1, most=1, iqn=TEST + 'two%d' % write)
		io(s, t, 1, write)
		moved(s, t, 1, write)
		victim = conn_of(t, (writes(t) if write else reads(t)[1:])[0])
		out = [p.cid for p in t.received(Op.LOGOUT_REQ) if p.function == 2]
		joined = [e.pdu for e in logins(t)[2:] if e.pdu.cid == victim.cid]
		s.check(out == [victim.cid] or joined, 'CID %d was not logged out for recovery' % victim.cid)
		t.wait(lambda: len(t.ffp_conns()) == 2, 'the second connection to come back')
		round_trip(s, t, 1 << 20, 8192)


@scene
def recovery_9_status_was_sent(s):
	"""The response was on its way when TCP ended: the task is reassigned, the status comes again."""
	class Loses(Lossy):
		armed = False

		def before_send(self, c, pdu):
			if self.armed and pdu.opcode == Op.SCSI_RSP:
				self.armed = False
				self.later(0.1, c.close)
				return False
			return None

	for write in (False, True):
		t = at_level(s, 2, Loses, status_in_data=False, iqn=TEST + 'status%d' % write)
		good_read(s, t)
		t.armed = True
		io(s, t, 1, write)
		moved(s, t, 1, write)


class Refuses(Dies):
	"""TASK REASSIGN is refused with `code`, or not answered (None)."""
	code = 4
	times = 1 << 30

	def tmf(self, c, pdu):
		if pdu.function != 8 or self.times <= 0:
			super().tmf(c, pdu)
			return
		self.times -= 1
		if self.code is not None:
			c.send(Pdu(Op.TMF_RSP, final=True, itt=pdu.itt, response=self.code))


@scene
def recovery_9_reassign_refused(s):
	"""TASK REASSIGN refused (1 to 5, 255): the command is given anew, in time."""
	for code in (1, 2, 3, 4, 5, 255):
		for write in (False, True):
			t = die(s, cls=Refuses, write=write, iqn=TEST + 'no%d%d' % (code, write))
			t.code = code
			io(s, t, 1, write)
			s.check(tmfs(t, 8), 'no TASK REASSIGN')
			s.check(len(tmfs(t, 8)) < 20, '%d TASK REASSIGNs' % len(tmfs(t, 8)))
			s.equal(len({p.itt for p in (writes(t) if write else reads(t)[1:])}), 2, 'tags of the command')
			good_read(s, t, 8192)


@scene
def recovery_9_still_allegiant_once(s):
	"""Response 3 (still allegiant) twice, then 0: either way the read comes out right."""
	t = die(s, cls=Refuses)
	t.code, t.times = 3, 2
	io(s, t)
	good_read(s, t, 8192)


@scene
def recovery_9_reassign_not_answered(s):
	"""TASK REASSIGN is swallowed: the read comes out right before its deadline all the same."""
	t = die(s, cls=Refuses, keys={'command_timeout': 30})
	t.code = None
	io(s, t)
	good_read(s, t, 8192)


@scene
def recovery_10_reassign_after_time2retain(s):
	"""Nobody listens until Time2Retain is over: no vain reassignment, the commands are given anew."""
	for write in (False, True):
		t = die(s, write=write, values={'DefaultTime2Retain': 1}, keys={'time2retain': 1, 'command_timeout': 40},
			iqn=TEST + 'late%d' % write)
		t.portals[0].close()
		data = pattern(65536, 4096, b'late')
		job = s.write_job(t, 65536, data) if write else s.read_job(t, 65536, 4096)
		t.wait(lambda: not t.conns[0].alive, 'the drop')
		t.wait(lambda: t.sessions[0].dead, 'the end of Time2Retain')
		t.portals[0].open()
		if write:
			written(s, t, job, 65536, data)
		else:
			right(s, t, job, 65536)
		s.equal(len(t.sessions), 2, 'sessions')
		s.equal(len({x.isid for x in t.sessions}), 1, 'ISIDs')
		good_read(s, t, 8192)


@scene
def recovery_36_session_forgotten(s):
	"""ERL 2, but the target knows nothing of the session any more (020A): a new session, TSIH 0."""
	t = die(s, amnesia=True, most=2)
	io(s, t, 2)
	s.equal((logins(t)[-1].pdu.tsih, len(t.sessions[-1].conns)), (0, 1), 'TSIH of the last login, connections')
	s.equal(len({x.isid for x in t.sessions}), 1, 'ISIDs')
	good_read(s, t, 8192)


@scene
def recovery_37_second_loss_during_reassignment(s):
	"""The new connection ends too: before, at, and after the answer to TASK REASSIGN."""
	class Again(Dies):
		times = 2
		when = ''

		def on_login(self, c, req, keys, reply):
			if self.when == 'login' and len(self.conns) > 1 and self.times:
				self.times -= 1
				c.close()
				return False

		def on_pdu(self, c, pdu):
			if self.when == 'request' and pdu.opcode == Op.TMF_REQ and self.times:
				self.times -= 1
				c.close()
				return True

		def on_reassign(self, c, task, expdatasn):
			task.manual = False
			if self.when == 'answer' and self.times:
				self.times -= 1
				self.later(0.05, c.close)
				return True

	for when in ('login', 'request', 'answer'):
		for write in (False, True):
			t = die(s, cls=Again, part=1, write=write, keys={'command_timeout': 40}, iqn=TEST + when + str(int(write)))
			t.when = when
			io(s, t, 1, write)
			s.check(t.times < 2, 'the scene is wrong')	# after one more, a new session is right too
			s.check(len({p.itt for p in (writes(t) if write else reads(t)[1:])}) == 1 or len(t.sessions) > 1,
				'given anew in the same session')
			good_read(s, t, 8192)


@scene
def recovery_38_commands_not_acknowledged(s):
	"""Commands that the target never got are on the lost connection: no hole in CmdSN stays."""
	for level in (0, 1, 2):
		t = s.target(Lossy, luns={0: pattern_disk()}, values=dict(MCS, ErrorRecoveryLevel=level), iqn=TEST + 'hole%d' % level)
		session, _ = s.two_connections(t, erl=level, command_timeout=DEADLINE)
		s.command(session, 'policy round-robin')
		first, victim = t.ffp_conns()

		def deaf(c, p):
			if c is victim and p.opcode == Op.SCSI_CMD:
				t.later(0.3, victim.close)
				return 'lost'
			return None
		t.rx = deaf
		jobs = [s.read_job(t, n * 65536, 4096) for n in range(8)]
		for n, job in enumerate(jobs):
			right(s, t, job, n * 65536)
		s.check(not victim.alive, 'the scene is wrong')
		t.rx = None
		for n in range(8):
			good_read(s, t, n * 65536)


def lost_under_load(s, policy, level):
	t = s.target(luns={0: pattern_disk()}, values=dict(MCS, ErrorRecoveryLevel=level),
		iqn=TEST + '%s%d' % (policy, level))
	session, _ = s.two_connections(t, erl=level, command_timeout=40)
	s.command(session, 'policy ' + policy)
	s.equal(s.cat(session, 'policy'), policy, 'policy')
	load = Load(s, t)
	for n in range(4):
		live = t.wait(lambda: len(t.ffp_conns()) == 2 and t.ffp_conns(), 'two connections')
		load.goes_on()
		(live[n % 2].close if n < 2 else live[n % 2].reset)()
	load.end()
	t.wait(lambda: len(t.ffp_conns()) == 2, 'the lost connection to come back')
	s.equal(len(t.sessions), 1, 'sessions')
	s.equal(s.cat(session, 'policy'), policy, 'policy in the end')
	for n in range(8):
		good_read(s, t, n * 16384)


@scene
def recovery_11_one_of_two_connections_lost(s):
	"""One of two connections is lost four times under load, with each policy, at ERL 0."""
	for policy in POLICIES:
		lost_under_load(s, policy, 0)


@scene
def recovery_11_one_of_two_connections_lost_erl_1_2(s):
	"""The same at ERL 1 and 2."""
	for policy in ('failover', 'round-robin'):
		for level in (1, 2):
			lost_under_load(s, policy, level)


@scene
def recovery_39_logout_of_the_lost_connection(s):
	"""ERL 0, one of two lost: Logout with reason 1 on the other, or a login with its CID."""
	t = die(s, level=0, two=True)
	io(s, t)
	victim = conn_of(t, reads(t)[1])
	t.wait(lambda: len(t.ffp_conns()) == 2, 'the second connection to come back')
	out = [(p.function, p.cid) for p in t.received(Op.LOGOUT_REQ)]
	joined = [e.pdu.cid for e in logins(t)[2:]]
	s.check((1, victim.cid) in out or victim.cid in joined, 'CID %d: logouts %s, logins %s'
		% (victim.cid, out, joined))
	s.check(not tmfs(t, 8), 'TASK REASSIGN at ERL 0')
	s.equal(len(t.sessions), 1, 'sessions')


@scene
def recovery_40_role_comes_back(s):
	"""failover: the active connection is lost, the standby one serves; back, it serves again."""
	t = s.target(luns={0: pattern_disk()}, values=MCS)
	session, _ = s.two_connections(t, command_timeout=40)
	s.command(session, 'policy failover')
	active, standby = t.ffp_conns()
	cid = tree_cid(s, t, session, standby)
	s.command(session + '/connections/' + cid, 'role standby')
	s.equal(s.cat(session, 'connections', cid, 'role'), 'standby', 'role')
	for round_ in range(2):
		active = [c for c in t.ffp_conns() if c is not standby][0]
		before = len(reads(t))
		for n in range(6):
			good_read(s, t, n * 8192)
		s.equal({conn_of(t, p).id for p in reads(t)[before:]}, {active.id}, 'connections used, both up')
		t.portals[0].mute = True		# it cannot come back at once
		active.close()
		before = len(reads(t))
		for n in range(6):
			good_read(s, t, n * 8192)
		s.equal({conn_of(t, p).id for p in reads(t)[before:]}, {standby.id}, 'connections used, active lost')
		t.portals[0].mute = False
		for c in t.conns:
			if c.phase != 'ffp':
				c.close()
		t.wait(lambda: len(t.ffp_conns()) == 2, 'the active one to come back')
		s.all_logged_in(session, 2)
		s.equal(s.cat(session, 'connections', tree_cid(s, t, session, standby), 'role'), 'standby', 'role')


@scene
def recovery_41_both_connections_lost(s):
	"""Both connections are lost at once: the session comes back, with both, at each level."""
	for level in (0, 1, 2):
		t = s.target(luns={0: pattern_disk()}, values=dict(MCS, ErrorRecoveryLevel=level), iqn=TEST + 'both%d' % level)
		session, _ = s.two_connections(t, erl=level, command_timeout=40)
		jobs = []
		for round_ in range(2):
			good_read(s, t)
			for c in t.ffp_conns():
				c.close()
			jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
			for n, job in enumerate(jobs):
				right(s, t, job, n * 65536)
			t.wait(lambda: len(t.ffp_conns()) == 2, 'both to come back')
		s.equal(len({x.isid for x in t.sessions}), 1, 'ISIDs')
		s.check(s.exists(session), 'the session has another directory')


@scene
def recovery_42_async_drop_of_the_other(s):
	"""Event 2 names the other of two connections: its tasks move, reads go on."""
	for level in (0, 2):
		t = s.target(Holder, luns={0: pattern_disk()}, values=dict(MCS, ErrorRecoveryLevel=level), iqn=TEST + 'other%d' % level)
		session, _ = s.two_connections(t, erl=level, command_timeout=DEADLINE)
		s.command(session, 'policy round-robin')
		t.armed, t.most = True, 1
		job = s.read_job(t, 65536, 4096)
		t.wait(lambda: t.held, 'the READ')
		victim = t.held[0].conn
		other = [c for c in t.ffp_conns() if c is not victim][0]
		t.async_message(other, 2, p1=victim.cid, p2=0, p3=10)
		t.later(0.5, victim.close)
		right(s, t, job, 65536)
		s.check(other.alive, 'the other connection is gone')
		s.equal(len(t.sessions), 1, 'sessions')
		t.wait(lambda: len(t.ffp_conns()) == 2, 'both connections')


@scene
def recovery_43_silent_connection(s):
	"""One of two connections answers nothing more, TCP stays: NOP timeout, its tasks go on."""
	for level in (0, 2):
		class Deaf(Lossy):
			deaf = None

			def on_wire(self, c, pdu):
				return 'lost' if c is self.deaf else None

		t = s.target(Deaf, luns={0: pattern_disk()}, values=dict(MCS, ErrorRecoveryLevel=level), iqn=TEST + 'deaf%d' % level)
		session, _ = s.two_connections(t, erl=level, command_timeout=40, nop_interval=0.5, nop_timeout=5)
		s.command(session, 'policy round-robin')
		t.deaf = t.ffp_conns()[1]
		jobs = [s.read_job(t, n * 65536, 4096) for n in range(8)]
		for n, job in enumerate(jobs):
			right(s, t, job, n * 65536)
		t.wait(lambda: t.deaf.eof, 'the silent connection to be given up')
		s.equal(len(t.sessions), 1, 'sessions')


@scene
def recovery_44_unit_attentions_of_logouts(s):
	"""47/7F after a connection's tasks were terminated, 29/07 after a new session: taken."""
	class Counts(Dies):
		attentions = 0

		def run(self, task):
			result = super().run(task)
			self.attentions += result.status == scsi.CHECK and bool(result.sense) and result.sense[2] == 6
			return result

	t = die(s, level=0, two=True, cls=Counts)
	io(s, t)
	for n in range(4):
		good_read(s, t, n * 8192)
	started = time.monotonic()
	for c in t.ffp_conns():
		c.close()
	io(s, t)
	s.check(t.attentions, 'the scene is wrong')
	s.check(time.monotonic() - started < 40, 'it took too long')
