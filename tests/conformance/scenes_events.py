# SPDX-License-Identifier: BSD-2-Clause
"""Events of the users' guide, appendix B, that no other scene raises on its way: each by the
fault that it tells of."""

import errno
import os
import resource

from chap import Chap
from common import TIMEOUT, conn_closed, good_read, pattern_disk
from harness import Job, scene
from pdu import Op, Pdu, RESERVED_TAG, sn_add
from scsi import INQUIRY, READS
from target import Target

MCS = {'MaxConnections': 2}


@scene
def events_1_window_of_the_login(s):
	"""MaxCmdSN before ExpCmdSN in the last Login Response: event 3, and nothing is sent until it opens."""
	class Closed(Target):
		early = None

		def on_login(self, c, req, keys, reply):
			if reply.transit and reply.nsg == 3:
				reply.fields = dict(expcmdsn=req.cmdsn, maxcmdsn=sn_add(req.cmdsn, -1))

		def on_ffp(self, c):
			self.later(0.5, self.open_window, c)

		def open_window(self, c):
			with c.session.lock:
				self.early = len(self.received(Op.SCSI_CMD))
				c.send(Pdu(Op.NOP_IN, final=True, itt=RESERVED_TAG, ttt=RESERVED_TAG))

	t = s.target(Closed, luns={0: pattern_disk()})
	s.login(t)
	s.equal(t.early, 0, 'commands while the window was closed')
	good_read(s, t)
	s.event('bad-command-window', r'ExpCmdSN \d+, MaxCmdSN \d+')


@scene
def events_2_auth_method_left_out(s):
	"""AuthMethod=CHAP is offered and the target goes on without a word on it: EACCES, event 41."""
	class Mute(Target):
		def on_login(self, c, req, keys, reply):
			reply.drop('AuthMethod')

	t = s.target(Mute, chap=Chap())
	s.refused(s.try_login(t, timeout=20, auth='chap', user='tom', secret='secretsecret12'), errno.EACCES)
	t.wait(lambda: t.conns and all(c.eof for c in t.conns), 'the initiator to close')
	s.event('no-auth-method')


@scene
def events_3_second_connection_has_no_answer(s):
	"""A further connection's login is not answered: ETIMEDOUT, event 45, and the session goes on."""
	class Deaf(Target):
		def on_login(self, c, req, keys, reply):
			return False if len(self.conns) > 1 else None

	t = s.target(Deaf, luns={0: pattern_disk()}, values=MCS)
	s.login(t, max_connections=2, login_timeout='0.7')
	session = s.session(t)
	reply = s.ctl(session + '/ctl', 'add-connection portal=%s' % t.portal)
	s.refused(reply, *TIMEOUT)
	t.wait(lambda: conn_closed(t, 1), 'the initiator to close it')
	good_read(s, t)
	s.event('add-connection-timed-out', r'127\.\S+:\d+ ')


@scene
def events_4_no_descriptor_for_a_connection(s):
	"""A further connection finds no descriptor: an error, event 6, and the session goes on."""
	t = s.target(luns={0: pattern_disk()}, values=MCS)
	s.login(t, max_connections=2)
	session, pid = s.session(t), s.daemon.proc.pid
	fd = s.job('open', os.open, s.path(session, 'ctl'), os.O_RDWR).result()
	try:
		limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
		used = {int(x) for x in os.listdir('/proc/%d/fd' % pid)}
		resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), limits[1]))
		line = b'add-connection portal=%s\n' % t.portal.encode()
		s.fails(Job('add-connection', os.write, fd, line), errno.EIO)
		resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
	finally:
		os.close(fd)
	s.event('no-connection-resources')
	good_read(s, t)
	s.command(session, 'add-connection portal=%s' % t.portal)
	s.all_logged_in(session, 2)


@scene
def events_5_verb_has_no_answer(s):
	"""The target answers no INQUIRY any more: the verb ends with ETIMEDOUT, event 47 has the CDB."""
	class Mute(Target):
		armed = False

		def on_scsi_command(self, c, task):
			return self.armed and task.cdb[0] == INQUIRY

	t = s.target(Mute, luns={0: pattern_disk()})
	s.login(t, command_timeout=1)
	t.armed = True
	s.refused(s.ctl('targets/%s/lun0/ctl' % t.iqn, 'inquiry 0x83'), *TIMEOUT)
	s.event('verb-timed-out', r'CDB 120183')
	t.armed = False
	good_read(s, t)


@scene
def events_6_asked_logout_has_no_answer(s):
	"""The target asks for a logout and does not answer it: event 51, the session comes back."""
	class Fickle(Target):
		def logout(self, c, pdu):
			if len(self.conns) > 1:
				super().logout(c, pdu)
			else:
				c.logging_out = True

	t = s.target(Fickle, luns={0: pattern_disk()})
	s.login(t, logout_timeout='0.7')
	good_read(s, t)
	t.async_message(t.ffp_conns()[0], 1, p3=1)
	t.wait(lambda: t.received(Op.LOGOUT_REQ), 'the Logout Request')
	t.wait(lambda: conn_closed(t), 'the initiator to close')
	s.event('asked-logout-timed-out')


@scene
def events_7_data_in_a_response(s):
	"""A SCSI Response carries data that is not sense data: event 60 with its header, once; the data is not taken."""
	class Chatty(Target):
		status_in_data = False

		def before_send(self, c, pdu):
			if pdu.opcode == Op.SCSI_RSP and pdu.status == 0:
				pdu.data = b'\0\0' + b'not asked for'

	t = s.target(Chatty, luns={0: pattern_disk()})
	s.login(t)
	good_read(s, t)
	good_read(s, t, 8192)
	s.event('data-in-response', r'header 21')
	s.equal(len([x for x in s.event_lines() if ' data-in-response ' in x]), 1, 'events')


@scene
def events_8_alike_and_not_merged(s):
	"""Two targets have units of the same name and of other sizes: event 1015, and each keeps its own bytes."""
	a = s.target(luns={0: pattern_disk(serial='TWIN')}, iqn='iqn.2026-01.org.iscsifs.test:one')
	b = s.target(luns={0: pattern_disk(size=2 << 20, serial='TWIN')}, iqn='iqn.2026-01.org.iscsifs.test:two')
	for t in (a, b):
		s.login(t, multipath='yes')
	s.event('lun-not-merged', 'their sizes differ')
	for t in (a, b):
		good_read(s, t)
		s.check(len(t.commands(*READS)), 'the reads went elsewhere')
