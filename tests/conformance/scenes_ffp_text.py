# SPDX-License-Identifier: BSD-2-Clause
"""Full feature phase group 18 (Text) and discovery: SendTargets short, long and wrong.

A discovery session is made by `add-portal` in discovery/ctl; found targets appear below
targets/."""

import json
import os
import socket

from common import BROKEN, good_read, pattern_disk, round_trip
from harness import Skip, scene
from pdu import Op, RESERVED_TAG, make_keys, sn_add
from target import IQN, Target

PREFIX = 'iqn.2026-01.org.iscsifs.test:'


def discover(s, t):
	return s.ctl('discovery/ctl', 'add-portal %s' % t.portal)


def found(s):
	return [n for n in s.ls('targets') if n != 'README']


def discovered(s, t):
	reply = discover(s, t)
	s.equal(reply.errno, 0, 'errno of add-portal (%s)' % reply.text)
	return found(s)


def gone(s, t):
	"""The discovery session is over, by Logout or disconnect."""
	t.wait(lambda: t.conns and t.conns[0].eof, 'the end of the discovery session')


def text_of(s, *names):
	with open(s.path(*names)) as f:
		return f.read()


def records(count, first=0):
	return [(PREFIX + 'd%d' % n, ['127.0.0.1:3260,1']) for n in range(first, first + count)]


@scene
def ffp_18_1_text_request_fields(s):
	"""CmdSN = ExpCmdSN of the Login Response, TTT reserved, F=1."""
	t = s.target()
	s.check(IQN in discovered(s, t), 'the target was not found')
	final = t.sent(Op.LOGIN_RSP)[-1]
	text = t.received(Op.TEXT_REQ)
	s.equal(len(text), 1, 'Text Requests')
	s.equal((text[0].cmdsn, text[0].ttt), (final.expcmdsn, RESERVED_TAG), 'CmdSN and TTT')
	s.equal(text[0].expstatsn, sn_add(final.statsn), 'ExpStatSN')
	s.check(text[0].final and not text[0].cont, 'F and C')
	s.equal(text[0].keys(), [('SendTargets', 'All')], 'keys')
	gone(s, t)


@scene
def ffp_18_2_text_continuation(s):
	"""F=0, TTT set, LUN not 0: an empty request with the same ITT, TTT and LUN follows."""
	class OddLun(Target):
		def text_reply(self, c, pdu, data, final=True, **more):
			lun = bytes(8) if final else b'\0\7\1\2\3\4\5\6'
			super().text_reply(c, pdu, data, final, lun=lun, **more)

	t = s.target(OddLun, records=records(12), text_chunk=200)
	names = discovered(s, t)
	s.check(all(n in names for n, _ in t.records), 'found only %s' % names)
	text = t.received(Op.TEXT_REQ)
	s.check(len(text) > 2, 'the scene needs several requests')
	s.check(all(p.dsl == 0 for p in text[1:]), 'a continuation is not empty')
	s.equal(len({p.itt for p in text}), 1, 'different ITTs')


class TextReply(Target):
	"""Answers SendTargets by `play(c, pdu)` of the scene's class."""

	def on_text(self, c, req, keys):
		self.play(c, req)
		return True

	def mine(self):
		return make_keys([('TargetName', self.iqn), ('TargetAddress', self.portal + ',1')])


@scene
def ffp_18_3_1_bad_ttt_final(s):
	"""F=1 with a TTT: the TTT is ignored, normal end."""
	class Bad(TextReply):
		def play(self, c, req):
			self.text_reply(c, req, self.mine(), ttt=0x1234)

	t = s.target(Bad)
	s.check(IQN in discovered(s, t), 'the target was not found')
	gone(s, t)
	s.equal(len(t.received(Op.TEXT_REQ)), 1, 'Text Requests')
	for p in t.received(Op.LOGOUT_REQ):
		s.check(p.function == 0 and p.itt != t.received(Op.TEXT_REQ)[0].itt, 'odd logout %r' % p)


@scene
def ffp_18_3_2_bad_ttt_not_final(s):
	"""F=0 with the reserved TTT: Logout or disconnect, no success."""
	class Bad(TextReply):
		def play(self, c, req):
			self.text_reply(c, req, self.mine(), final=False, ttt=RESERVED_TAG)

	t = s.target(Bad)
	s.refused(discover(s, t), *BROKEN)
	gone(s, t)
	s.equal(len(t.received(Op.TEXT_REQ)), 1, 'Text Requests')


@scene
def ffp_18_4_foreign_key(s):
	"""MaxRecvDataSegmentLength in a SendTargets answer is an error, not a negotiation."""
	class Bad(TextReply):
		def play(self, c, req):
			self.text_reply(c, req, self.mine() + make_keys([('MaxRecvDataSegmentLength', '512')]))

	t = s.target(Bad)
	s.refused(discover(s, t), *BROKEN)
	gone(s, t)


class Rejects(Target):
	"""Rejects the first `rejects` Text Requests of a normal session."""
	rejects = 1

	def on_text(self, c, req, keys):
		if self.rejects:
			self.rejects -= 1
			c.text = None
			self.reject(c, req, 0x05)
			return True


@scene
def ffp_18_5_negotiation_reset(s):
	"""Reject of a renegotiation: the connection stays, the key is negotiated again."""
	t = s.target(Rejects, luns={0: pattern_disk()})
	s.login(t, max_recv_data_segment_length=65536)
	s.command(s.session(t), 'set max_recv_data_segment_length=8192')
	text = t.received(Op.TEXT_REQ)
	s.equal(len(text), 2, 'Text Requests')
	for p in text:
		s.check(('MaxRecvDataSegmentLength', '8192') in p.keys(), 'keys %s' % p.keys())
		s.equal(p.ttt, RESERVED_TAG, 'TTT')
	s.equal(len(t.conns), 1, 'connections')
	good_read(s, t, 0, 65536)
	s.check(max(p.dsl for p in t.sent(Op.DATA_IN)[-8:]) <= 8192, 'the scene is wrong')
	s.equal(s.params(t)['MaxRecvDataSegmentLength'], '8192', 'params file')


@scene
def text_1_renegotiation(s):
	"""set of a text key while reads run: the new length is in force, no byte goes wrong."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	for size in (512, 16777215, 4096):
		jobs = [(n, s.read_job(t, n * 65536, 65536)) for n in range(8)]
		s.command(s.session(t), 'set max_recv_data_segment_length=%d' % size)
		for n, job in jobs:
			s.check(job.result() == bytes(t.luns[0].store[n * 65536:n * 65536 + 65536]), 'wrong data')
		s.equal(t.ffp_conns()[0].max_send, size, 'what the target was told')
		good_read(s, t, 0, 65536)
	s.equal(len(t.conns), 1, 'connections')
	s.event('renegotiated')


@scene
def text_2_rejected_for_ever(s):
	"""Every renegotiation is rejected: an error, the old value stays, I/O goes on (7.12)."""
	t = s.target(Rejects, luns={0: pattern_disk()}, rejects=1 << 30)
	s.login(t, max_recv_data_segment_length=65536)
	s.refused(s.ctl(s.session(t) + '/ctl', 'set max_recv_data_segment_length=1024'))
	s.check(0 < len(t.received(Op.TEXT_REQ)) < 50, 'asked %d times' % len(t.received(Op.TEXT_REQ)))
	s.equal(s.params(t)['MaxRecvDataSegmentLength'], '65536', 'params file')
	good_read(s, t, 0, 65536)
	s.check(max(p.dsl for p in t.sent(Op.DATA_IN)) > 1024, 'the scene is wrong')


@scene
def text_3_answer_not_final(s):
	"""The answers have F=0 and a TTT three times: empty requests with F=1 follow (6.4)."""
	class NotYet(Target):
		more = 3

		def text_request(self, c, pdu):
			if c.text is None:
				super().text_request(c, pdu)
			else:
				self.answer(c, pdu)

		def on_text(self, c, req, keys):
			self.answer(c, req)
			return True

		def answer(self, c, pdu):
			self.more -= 1
			self.text_reply(c, pdu, b'', final=self.more < 0)

	t = s.target(NotYet, luns={0: pattern_disk()})
	s.login(t)
	s.command(s.session(t), 'set max_recv_data_segment_length=4096')
	text = t.received(Op.TEXT_REQ)
	s.equal(len(text), 4, 'Text Requests')
	s.equal(len({p.itt for p in text}), 1, 'different ITTs')
	s.check(all(p.final for p in text) and not any(p.dsl for p in text[1:]), 'a continuation is not empty')
	good_read(s, t, 0, 4096)


@scene
def text_4_live_timeouts(s):
	"""set nop_interval= takes effect at once; a key that is not there is EINVAL."""
	import errno
	t = s.target(luns={0: pattern_disk()})
	s.login(t, nop_interval=0)
	session = s.session(t)
	s.command(session, 'set nop_interval=0.3')
	t.wait(lambda: t.received(Op.NOP_OUT)[1:], 'pings')
	s.refused(s.ctl(session + '/ctl', 'set no_such_key=1'), errno.EINVAL)
	s.check(not t.received(Op.TEXT_REQ), 'a timeout was negotiated')
	good_read(s, t)


# ----------------------------------------------------------------------------- discovery

@scene
def discovery_1_many_pdus(s):
	"""600 targets over many PDUs, cut between pairs."""
	t = s.target(records=records(600), text_chunk=4096)
	names = discovered(s, t)
	s.equal(len([n for n in names if n.startswith(PREFIX + 'd')]), 600, 'targets found')


@scene
def discovery_2_c_bit(s):
	"""Pairs cut anywhere, with the C bit; every piece is put together."""
	t = s.target(records=records(20), text_chunk=37, text_cont=True)
	names = discovered(s, t)
	s.equal(len([n for n in names if n.startswith(PREFIX + 'd')]), 20, 'targets found')
	s.check(any(p.cont for p in t.sent(Op.TEXT_RSP)), 'the scene is wrong')


@scene
def discovery_3_bad_names(s):
	"""A bad name in an answer to SendTargets makes that answer invalid, as the users' guide has it:
	none of its targets is shown, and an event holds the name; other answers are unharmed."""
	bad = ['iqn.2026-01.org.x:a b', 'iqn.2026-01.org.x:../../x', 'nonsense', 'iqn.', '', 'eui.123',
		'naa.zz', PREFIX + 'x' * 224, '..', 'iqn.2026-01.org.x:sl/ash', 'iqn.2026-13.org.x:month']
	good = [PREFIX + 'first', 'eui.02004567A425678D', 'naa.52004567BA64678D', PREFIX + 'last']
	for n in bad:
		t = s.target(records=[(m, ['127.0.0.1:3260,1']) for m in (good[0], n, good[3])])
		discover(s, t)
		names = found(s)
		s.equal(names, [], 'targets of the answer with the bad name %r' % n)
		told = [line for line in s.event_lines() if ' invalid-name ' in line]
		s.check(told and "'%s" % n[:200] in told[-1], 'no event holds the name %r: %s' % (n, told))
		s.check(any(' sendtargets-answer-invalid ' in line for line in s.event_lines()), 'the answer is not called invalid')
	t = s.target(records=[(n, ['127.0.0.1:3260,1']) for n in good])
	names = [n.lower() for n in discovered(s, t)]
	s.equal(sorted(names), sorted(n.lower() for n in good), 'targets')


@scene
def discovery_4_no_targets(s):
	"""An empty answer is no error."""
	t = s.target(records=[])
	discovered(s, t)
	gone(s, t)


@scene
def discovery_5_addresses(s):
	"""Several addresses, IPv6, host names, none at all: login works to what was found."""
	if not socket.has_ipv6:
		raise Skip('no IPv6')
	t = s.target()
	t.records = [(t.iqn, [t.portal + ',1', '[::1]:%d,2' % t.port, 'localhost:%d,1' % t.port]),
		(PREFIX + 'noaddress', [])]
	names = discovered(s, t)
	s.check(t.iqn in names and PREFIX + 'noaddress' in names, 'found %s' % names)
	reply = s.ctl('targets/%s/ctl' % t.iqn, 'login')
	s.equal(reply.errno, 0, 'errno of login (%s)' % reply.text)
	round_trip(s, t, 0, 4096)


@scene
def discovery_6_malformed_answers(s):
	"""Address before name, no =, bad port, no NUL: an error or that record dropped."""
	class Bad(TextReply):
		text = b''

		def play(self, c, req):
			self.text_reply(c, req, self.text)

	good = b'TargetName=' + PREFIX.encode() + b'good\0TargetAddress=127.0.0.1:3260,1\0'
	for n, text in enumerate((b'TargetAddress=127.0.0.1:3260,1\0' + good, good + b'TargetName\0',
			good + b'TargetName=' + PREFIX.encode() + b'p\0TargetAddress=127.0.0.1:99999,1\0',
			good[:-1], b'\0\0\0\0', b'=\0', good + b'TargetName=iqn.2026-01.org.x:\xff\xfe\0',
			good + b'TargetAddress=[::1,1\0', good + b'TargetAddress=,\0', b'TargetName=' + b'\0' * 200)):
		t = s.target(Bad, text=text)
		discover(s, t)			# how it ends is free: it ends, and the daemon lives
		s.check(s.exists('ctl'), 'the daemon is gone after answer %d' % n)
	t = s.target(records=records(1, 77))
	s.check(PREFIX + 'd77' in discovered(s, t), 'discovery does not work any more')


@scene
def discovery_7_refused_login(s):
	"""A discovery login that is refused makes add-portal fail, with the class of errno."""
	import errno

	class No(Target):
		def on_login(self, c, req, keys, reply):
			reply.refuse(0x0201)

	t = s.target(No)
	s.refused(discover(s, t), errno.EACCES)


@scene
def discovery_8_reject(s):
	"""Reject of the Text Request: an error, the session ends."""
	class No(Target):
		def on_text(self, c, req, keys):
			self.reject(c, req, 0x05)
			return True

	t = s.target(No)
	s.refused(discover(s, t))
	gone(s, t)


@scene
def discovery_9_refresh(s):
	"""refresh finds new targets."""
	t = s.target(records=records(1))
	s.check(PREFIX + 'd0' in discovered(s, t), 'first target not found')
	t.records = records(3)
	reply = s.ctl('discovery/ctl', 'refresh')
	s.equal(reply.errno, 0, 'errno of refresh')
	names = found(s)
	s.check(PREFIX + 'd2' in names, 'new target not found: %s' % names)


@scene
def discovery_10_ten_thousand(s):
	"""10,000 targets in one answer: all are shown, found by name, logged in to, and gone again."""
	count = 10000
	t = s.target(luns={0: pattern_disk()})
	t.records = records(count) + [(t.iqn, [t.portal + ',1'])]
	s.equal(len(discovered(s, t)), count + 1, 'targets')
	s.check(any(' target-found ' in line and '%d targets' % (count + 1) in line for line in s.event_lines()),
		'no event tells of all')
	for n in (0, count // 2, count - 1):
		s.equal(text_of(s, 'targets', PREFIX + 'd%d' % n, 'state').strip(), 'discovered', 'state of target %d' % n)
	s.check(not os.path.exists(s.path('targets', PREFIX + 'd%d' % count)), 'one that nobody told of')
	s.equal(len(json.loads(text_of(s, 'status.json'))['targets']), count + 1, 'targets in status.json')
	reply = s.ctl('targets/%s/ctl' % t.iqn, 'login')
	s.equal(reply.errno, 0, 'errno of login (%s)' % reply.text)
	good_read(s, t)
	reply = s.ctl('discovery/ctl', 'refresh')
	s.equal(reply.errno, 0, 'errno of refresh (%s)' % reply.text)
	s.equal(len(found(s)), count + 1, 'targets after a refresh')
	t.records = records(10)
	s.equal(s.ctl('discovery/ctl', 'refresh').errno, 0, 'errno of refresh')
	s.equal(sorted(found(s)), sorted([n for n, _ in t.records] + [t.iqn]), 'few are left, and the one in use')
	s.equal(s.ctl('discovery/ctl', 'remove-portal %s' % t.portal).errno, 0, 'errno of remove-portal')
	s.equal(found(s), [t.iqn], 'only the one in use is left')
	good_read(s, t)
	s.equal(s.ctl('targets/%s/ctl' % t.iqn, 'logout').errno, 0, 'errno of logout')
	s.equal(found(s), [], 'targets')
