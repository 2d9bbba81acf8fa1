# SPDX-License-Identifier: BSD-2-Clause
"""Error codes that want a target which misbehaves: errno, the code in the reply, and the file error."""

import errno

from common import pattern_disk
from harness import scene
from pdu import Op, make_keys
from target import Target


def told(s, reply, code, *numbers, place=None):
	"""Refused with this code; the directory @place has it in its file error."""
	s.refused(reply, *numbers)
	s.equal(reply.fields.get('code'), code, 'code of %r' % reply)
	if place is not None:
		entry = s.cat(place, 'error').split('\n\n')[0]
		s.check(code in entry and 'advice: ' in entry, 'the file error of %s: %r' % (place, entry))


@scene
def error_1_answer_to_sendtargets(s):
	"""An answer to SendTargets that breaks the rules is called so."""
	class Bad(Target):
		def on_text(self, c, req, keys):
			self.text_reply(c, req, b'TargetAddress=127.0.0.1:3260,1\0')
			return True

	t = s.target(Bad)
	told(s, s.ctl('discovery/ctl', 'add-portal %s' % t.portal), 'ISDSC_INVALID_SENDTARGETS_TEXT', errno.EPROTO,
		place='discovery')


@scene
def error_2_connection_removed_twice(s):
	"""A second remove of a connection, while the target thinks about the first."""
	class Slow(Target):
		holds, held = True, None

		def logout(self, c, pdu):
			if self.holds:
				self.held = (c, pdu)
			else:
				super().logout(c, pdu)

	t = s.target(Slow, luns={0: pattern_disk()}, values={'MaxConnections': 2})
	session, cids = s.two_connections(t)
	first = s.ctl_job(session + '/ctl', 'remove-connection %s' % cids[1])
	t.wait(lambda: t.held, 'the Logout Request')
	told(s, s.ctl(session + '/ctl', 'remove-connection %s' % cids[1]), 'ISDSC_REMOVE_CONNECTION_IN_PROGRESS',
		errno.EBUSY, place=session)
	t.holds = False
	t.logout(*t.held)
	s.equal(first.result().errno, 0, 'errno of the first remove')


@scene
def error_3_out_of_resources(s):
	"""A Text Request that is rejected for want of resources (Reject 0x0a), each time."""
	class Full(Target):
		def on_text(self, c, req, keys):
			c.text = None
			self.reject(c, req, 0x0a)
			return True

	t = s.target(Full, luns={0: pattern_disk()})
	s.login(t)
	session = s.session(t)
	told(s, s.ctl(session + '/ctl', 'set max_recv_data_segment_length=4096'), 'ISDSC_TARGET_OUT_OF_RESORCES',
		errno.ENOSPC, place=session)
	s.equal(len(t.conns), 1, 'connections')


@scene
def error_4_version(s):
	"""The Login Response says that another version is active: ISDSC_VERSION_MISMATCH."""
	class Newer(Target):
		def before_send(self, c, pdu):
			if pdu.opcode == Op.LOGIN_RSP:
				pdu.version_min = 1		# Version-active

	t = s.target(Newer)
	told(s, s.try_login(t), 'ISDSC_VERSION_MISMATCH', errno.EPROTO, place='')
