# SPDX-License-Identifier: BSD-2-Clause
"""Several ways to a unit: the policies over the connections of a session (MCS) and over the
sessions of a unit (multipath), ways that fail and return, and portal hopping."""

import socket
import time

from common import (HoldReads, conn_of, good_read, pattern, pattern_disk, reads, right, round_trip,
	tree_cid, writes)
from harness import scene
from net import loopback
from pdu import Op
from target import Target

TEST = 'iqn.2026-01.org.iscsifs.test:'


# -------------------------------------------------------------- connections of a session

def used(t, before):
	"""Connection numbers of the READs after the first `before`."""
	return [conn_of(t, p).id for p in reads(t)[before:]]


def read_many(s, t, count=12):
	before = len(reads(t))
	for n in range(count):
		good_read(s, t, n * 8192)
	return used(t, before)


def mcs(s, policy, count=2, cls=Target, **config):
	t = s.target(cls, luns={0: pattern_disk()}, values={'MaxConnections': count}, iqn=TEST + policy, **config)
	s.login(t, max_connections=count)
	session = s.session(t)
	for _ in range(count - 1):
		s.command(session, 'add-connection portal=%s' % t.portal)
	t.wait(lambda: len(t.ffp_conns()) == count, '%d connections' % count)
	s.command(session, 'policy ' + policy)
	s.equal(s.cat(session, 'policy'), policy, 'policy')
	return t, session


@scene
def paths_1_connections_failover(s):
	"""failover: one connection only, the active one; roles are changed while it runs."""
	t, session = mcs(s, 'failover')
	cids = [tree_cid(s, t, session, c) for c in t.ffp_conns()]
	for active in (0, 1, 0):
		s.command('%s/connections/%s' % (session, cids[active]), 'role active')
		s.command('%s/connections/%s' % (session, cids[1 - active]), 'role standby')
		s.equal(set(read_many(s, t)), {t.conns[active].id}, 'connections used')


@scene
def paths_2_connections_round_robin(s):
	"""round-robin: each of three connections has its turn, roles do not matter."""
	t, session = mcs(s, 'round-robin', 3)
	cid = tree_cid(s, t, session, t.conns[1])
	s.command('%s/connections/%s' % (session, cid), 'role standby')
	got = read_many(s, t, 12)
	s.equal([got.count(n) for n in (1, 2, 3)], [4, 4, 4], 'READs of each connection')


@scene
def paths_3_connections_round_robin_subset(s):
	"""round-robin-subset: only the active ones have turns, until none of them is left."""
	t, session = mcs(s, 'round-robin-subset', 3)
	cid = tree_cid(s, t, session, t.conns[2])
	s.command('%s/connections/%s' % (session, cid), 'role standby')
	got = read_many(s, t, 12)
	s.equal([got.count(n) for n in (1, 2, 3)], [6, 6, 0], 'READs of each connection')
	t.portals[0].close()
	for c in t.conns[:2]:
		c.close()
	s.equal(set(read_many(s, t, 6)), {3}, 'connections used when the others are lost')
	t.portals[0].open()
	t.wait(lambda: len(t.ffp_conns()) == 3, 'the lost ones to come back')
	s.all_logged_in(session, 3)
	got = read_many(s, t, 12)
	s.check(3 not in got and len(set(got)) == 2, 'connections used when they are back: %s' % got)


@scene
def paths_4_connections_weighted(s):
	"""weighted: the connection of the lowest weight; weights are changed while it runs."""
	t, session = mcs(s, 'weighted')
	cids = [tree_cid(s, t, session, c) for c in t.ffp_conns()]
	for best in (1, 0):
		s.command('%s/connections/%s' % (session, cids[best]), 'weight 10')
		s.command('%s/connections/%s' % (session, cids[1 - best]), 'weight 20')
		s.equal(s.cat(session, 'connections', cids[best], 'weight'), '10', 'weight')
		s.equal(set(read_many(s, t)), {t.conns[best].id}, 'connections used')


@scene
def paths_5_connections_least_queue_depth(s):
	"""least-queue-depth: while one connection has commands that wait, the other has the rest."""
	t, _ = mcs(s, 'least-queue-depth', cls=HoldReads, hold=0)
	t.hold = 1 << 30
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(6)]
	t.wait(lambda: t.most == 6, 'six READs')
	got = used(t, 0)
	s.equal([got.count(1), got.count(2)], [3, 3], 'READs of each connection')
	t.release()
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)


@scene
def paths_6_writes_keep_their_connection(s):
	"""Data-Outs go by the connection of their command, under each policy (4.2.5.1)."""
	t, _ = mcs(s, 'round-robin', cls=type('T', (Target,), {'r2t_size': 4096, 'max_recv': 2048}))
	jobs = [s.write_job(t, n * 65536, pattern(n * 65536, 32768, b'mcs')) for n in range(8)]
	for n, job in enumerate(jobs):
		job.result()
		s.check(bytes(t.luns[0].store[n * 65536:n * 65536 + 32768]) == pattern(n * 65536, 32768, b'mcs'), 'wrong data')
	where = {p.itt: conn_of(t, p) for p in writes(t)}
	s.equal(len(set(where.values())), 2, 'connections used')
	for p in t.received(Op.DATA_OUT):
		s.check(conn_of(t, p) is where[p.itt], 'a Data-Out went another way')


@scene
def paths_7_command_window_is_shared(s):
	"""Two connections, a window of four: it holds for both together (4.2.2.1)."""
	t, _ = mcs(s, 'round-robin', cls=type('T', (HoldReads,), {'window': 4, 'hold': 0}))
	t.hold = 4
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(12)]
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)


# --------------------------------------------------------------------- sessions of a unit

def two_sessions(s, policy=None, cls=Target, **keys):
	"""Two sessions by two portals; (target, path of the unit, SIDs in the order of portals)."""
	t = s.target(cls, luns={0: pattern_disk()}, iqn=TEST + (policy or 'multipath'))
	t.add_portal(loopback(2))
	s.login(t, multipath='yes', **keys)
	s.login(t, multipath='yes', **dict({'portal': t.portals[1].address}, **keys))
	sids = s.sids(t)
	s.equal(len(sids), 2, 'sessions in the tree')
	lun = 'targets/%s/lun0' % t.iqn
	s.wait(lambda: set(sids) <= set(s.ls(lun, 'paths')), 'two paths of lun0')
	luns = [n for n in s.ls('targets', t.iqn) if n.startswith('lun')]
	s.equal(luns, ['lun0'], 'units: two paths to one disk are one file')
	if policy:
		s.command(lun, 'policy ' + policy)
		s.equal(s.cat(lun, 'policy'), policy, 'policy')
	return t, lun, sids


def by_portal(t, before=0):
	return [t.portals.index(conn_of(t, p).portal) for p in reads(t)[before:]]


def path_reads(s, t, count=12):
	before = len(reads(t))
	for n in range(count):
		good_read(s, t, n * 8192)
	return by_portal(t, before)


@scene
def paths_8_sessions_failover(s):
	"""failover over sessions: the active path only; roles are changed while it runs."""
	t, lun, sids = two_sessions(s, 'failover')
	for active in (0, 1, 0):
		s.command(lun, 'path %s role=active' % sids[active])
		s.command(lun, 'path %s role=standby' % sids[1 - active])
		s.equal(s.cat(lun, 'paths', sids[1 - active], 'role'), 'standby', 'role')
		s.equal(set(path_reads(s, t)), {active}, 'portals used')


@scene
def paths_9_sessions_round_robin(s):
	"""round-robin over sessions."""
	t, _, _ = two_sessions(s, 'round-robin')
	got = path_reads(s, t)
	s.equal([got.count(0), got.count(1)], [6, 6], 'READs of each path')
	round_trip(s, t, 0, 65536)


@scene
def paths_10_sessions_weighted(s):
	"""weighted over sessions: the lowest weight."""
	t, lun, sids = two_sessions(s, 'weighted')
	for best in (1, 0):
		s.command(lun, 'path %s weight=1' % sids[best])
		s.command(lun, 'path %s weight=7' % sids[1 - best])
		s.equal(set(path_reads(s, t)), {best}, 'portals used')


@scene
def paths_11_sessions_least_queue_depth(s):
	"""least-queue-depth over sessions."""
	t, _, _ = two_sessions(s, 'least-queue-depth', cls=type('H', (HoldReads,), {'hold': 0}))
	t.hold = 1 << 30
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(6)]
	t.wait(lambda: t.most == 6, 'six READs')
	got = by_portal(t)
	s.equal([got.count(0), got.count(1)], [3, 3], 'READs of each path')
	t.release()
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)


@scene
def paths_12_path_lost_and_back(s):
	"""A path is lost: reads go on by the other at once; it comes back and takes its role."""
	t, lun, sids = two_sessions(s, 'failover', command_timeout=60)
	s.command(lun, 'path %s role=standby' % sids[1])
	for round_ in range(2):
		s.equal(set(path_reads(s, t, 4)), {0}, 'portals used, both up')
		t.portals[0].close(drop=True)
		started = time.monotonic()
		s.equal(set(path_reads(s, t, 8)), {1}, 'portals used, the first lost')
		s.check(time.monotonic() - started < 30, 'reads waited for the lost path')
		s.wait(lambda: s.cat('targets', t.iqn, 'sessions', sids[0], 'state') == 'retrying', 'state retrying')
		state = s.cat(lun, 'paths', sids[0], 'state')
		t.portals[0].open()
		t.wait(lambda: [c for c in t.ffp_conns() if c.portal is t.portals[0]], 'the first session to come back')
		s.wait(lambda: s.cat(lun, 'paths', sids[0], 'state') != state, 'the state of the path to change')
		s.wait(lambda: set(path_reads(s, t, 4)) == {0}, 'the path to take its role back')


@scene
def paths_13_io_in_flight_on_the_lost_path(s):
	"""Reads wait on a path that is lost: they are given to the other one, long before the deadline."""
	t, lun, sids = two_sessions(s, 'failover', cls=type('H', (HoldReads,), {'hold': 0}), command_timeout=120)
	s.command(lun, 'path %s role=standby' % sids[1])
	t.hold = 1 << 30
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
	t.wait(lambda: t.most == 4, 'four READs')
	t.hold = 0
	t.portals[0].close(drop=True)
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)
	s.equal(by_portal(t), [0] * 4 + [1] * 4, 'portals used')


@scene
def paths_14_all_paths_lost(s):
	"""All paths are lost for a while: reads wait; the first to come back serves them."""
	t, _, _ = two_sessions(s, 'round-robin', command_timeout=60)
	for p in t.portals:
		p.close(drop=True)
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
	s.pause(2)
	s.check(not any(j.done.is_set() for j in jobs), 'a read ended while nobody listened')
	t.portals[1].open()
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)
	t.portals[0].open()
	t.wait(lambda: len(t.ffp_conns()) == 2, 'both paths to come back')


@scene
def paths_15_logout_of_a_path(s):
	"""logout of one session takes its path away; the unit stays until the last one goes."""
	t, lun, sids = two_sessions(s, 'round-robin')
	s.command('targets/%s/sessions/%s' % (t.iqn, sids[0]), 'logout')
	s.wait(lambda: s.ls(lun, 'paths').count(sids[0]) == 0, 'the path to go')
	s.equal(set(path_reads(s, t, 6)), {1}, 'portals used')
	s.command('targets/%s/sessions/%s' % (t.iqn, sids[1]), 'logout')
	s.wait(lambda: not s.exists(lun), 'the unit to go')


@scene
def paths_16_two_units_that_look_alike(s):
	"""Two LUNs with the same serial number but other bytes are told apart, or refused: never mixed."""
	a, b = pattern_disk(serial='TWIN'), pattern_disk(size=2 << 20, serial='TWIN')
	b.store[:] = pattern(0, len(b.store), b'twin')
	t = s.target(luns={0: a, 1: b})
	s.login(t)
	for n in (0, 1):
		if s.exists('targets', t.iqn, 'lun%d' % n, 'disk'):
			for k in range(6):
				good_read(s, t, k * 8192, lun=n)


# -------------------------------------------------------------------------- portal hopping

def discovered(s, portals=3, cls=Target, **config):
	t = s.target(cls, luns={0: pattern_disk()}, **config)
	for n in range(2, portals + 1):
		t.add_portal(loopback(n))
	reply = s.ctl('discovery/ctl', 'add-portal %s' % t.portal)
	s.equal(reply.errno, 0, 'errno of add-portal (%s)' % reply.text)
	return t


@scene
def hopping_1_round(s):
	"""The portal dies: the session comes back at the next one, and so on, round again."""
	t = discovered(s)
	s.command('targets/%s' % t.iqn, 'login command_timeout=60')
	good_read(s, t)
	places = []
	for _ in range(5):
		place = t.ffp_conns()[-1].portal
		places.append(place)
		place.close(drop=True)
		good_read(s, t, 8192)
		t.wait(lambda: t.ffp_conns() and t.ffp_conns()[-1].portal is not place, 'another portal')
		if len(places) > 1:
			places[-2].open()		# two of three are alive
	s.equal(len({id(p) for p in places}), 3, 'portals used')
	s.equal(len({x.isid for x in t.sessions if not x.discovery}), 1, 'ISIDs')


@scene
def hopping_2_original_first(s):
	"""After a short loss the original portal is tried first, and taken."""
	t = discovered(s)
	s.command('targets/%s' % t.iqn, 'login command_timeout=60')
	original = t.ffp_conns()[0].portal
	for _ in range(3):
		t.ffp_conns()[-1].close()
		good_read(s, t)
		s.check(t.ffp_conns()[-1].portal is original, 'at another portal, though the original one is there')


@scene
def hopping_3_not_with_portal(s):
	"""portal= was given: no other portal is ever used."""
	t = discovered(s)
	s.command('targets/%s' % t.iqn, 'login portal=%s command_timeout=60' % t.portals[1].address)
	good_read(s, t)
	t.portals[1].close(drop=True)
	job = s.read_job(t, 8192, 4096)
	s.pause(6)
	s.check(not job.done.is_set(), 'the read ended')
	s.check(not [c for c in t.conns[2:] if c.portal is not t.portals[1]], 'another portal was tried')
	t.portals[1].open()
	right(s, t, job, 8192)


@scene
def hopping_4_login_at_a_dead_portal(s):
	"""The first portals are dead at login already: it hops on, and says so only when all are."""
	t = discovered(s)
	t.portals[0].close()
	t.portals[1].close()
	s.command('targets/%s' % t.iqn, 'login')
	s.check(t.ffp_conns()[-1].portal is t.portals[2], 'not at the living portal')
	good_read(s, t)
	s.command('targets/%s' % t.iqn, 'logout')
	t.portals[2].close()
	s.refused(s.ctl('targets/%s/ctl' % t.iqn, 'login'))


@scene
def hopping_5_refused_there(s):
	"""A portal that answers and refuses the login (0301, 0302): the next one is tried."""
	class Full(Target):
		def on_login(self, c, req, keys, reply):
			if c.portal is not self.portals[2] and not c.session.discovery:
				reply.refuse(0x0302 if c.portal is self.portals[0] else 0x0301)

	t = s.target(Full, luns={0: pattern_disk()})
	t.add_portal(loopback(2))
	t.add_portal(loopback(3))
	reply = s.ctl('discovery/ctl', 'add-portal %s' % t.portal)
	s.equal(reply.errno, 0, 'errno of add-portal')
	s.command('targets/%s' % t.iqn, 'login')
	s.check(t.ffp_conns()[-1].portal is t.portals[2], 'not at the portal that accepts')
	good_read(s, t)


class Unanswering:
	"""A listening socket whose backlog is full: a connect to it waits for ever."""

	def __init__(self, host):
		self.sock = socket.socket()
		self.sock.bind((host, 0))
		self.sock.listen(0)
		self.address = '%s:%d' % self.sock.getsockname()
		self.stuffing = []
		for _ in range(8):
			c = socket.socket()
			c.setblocking(False)
			c.connect_ex(self.sock.getsockname())
			self.stuffing.append(c)

	def close(self):
		for c in self.stuffing:
			c.close()
		self.sock.close()


def dead_address(host):
	with socket.socket() as sock:
		sock.bind((host, 0))
		return '%s:%d' % sock.getsockname()


@scene
def recovery_14_discovery_full_of_dead_portals(s):
	"""SendTargets names 30 dead portals and a living one at the end: the login takes seconds."""
	t = s.target(luns={0: pattern_disk()})
	silent = [Unanswering(loopback()) for _ in range(10)]
	try:
		dead = [dead_address(loopback(n + 2)) for n in range(20)]
		t.records = [(t.iqn, ['%s,1' % a for a in [x.address for x in silent] + dead + [t.portal]])]
		reply = s.ctl('discovery/ctl', 'add-portal %s' % t.portal)
		s.equal(reply.errno, 0, 'errno of add-portal')
		started = time.monotonic()
		reply = s.ctl('targets/%s/ctl' % t.iqn, 'login', limit=150)
		s.equal(reply.errno, 0, 'errno of login (%s)' % reply.text)
		s.check(time.monotonic() - started < 30, 'the login took %.0f s' % (time.monotonic() - started))
		good_read(s, t)
		t.ffp_conns()[0].close()		# dead portals are remembered
		job = s.read_job(t, 8192, 4096)
		right(s, t, job, 8192)
	finally:
		for x in silent:
			x.close()


@scene
def hopping_6_hops_within_the_deadline(s):
	"""The portal dies with reads in flight: they are served at the next one, before the deadline."""
	t = discovered(s, cls=type('H', (HoldReads,), {'hold': 0}))
	s.command('targets/%s' % t.iqn, 'login command_timeout=60')
	t.hold = 1 << 30
	jobs = [s.read_job(t, n * 65536, 4096) for n in range(4)]
	t.wait(lambda: t.most == 4, 'four READs')
	t.hold = 0
	t.portals[0].close(drop=True)
	for n, job in enumerate(jobs):
		right(s, t, job, n * 65536)
	s.check(t.ffp_conns()[-1].portal is not t.portals[0], 'not at another portal')
