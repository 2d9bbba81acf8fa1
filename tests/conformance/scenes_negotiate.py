# SPDX-License-Identifier: BSD-2-Clause
"""Negotiation in full feature phase: on several connections, of every key that may be, and the
target's own wish for it (Asynchronous Message, event 4)."""

import errno

from common import good_read, pattern_disk
from harness import scene
from pdu import Op, RESERVED_TAG, make_keys
from target import Target

KEY = 'MaxRecvDataSegmentLength'


def conn_params(s, session):
	"""{key: (requested, negotiated)} of each connection, by CID."""
	found = {}
	for cid in s.cids(session):
		lines = s.cat(session, 'connections', cid, 'params').splitlines()
		found[cid] = {line.split()[0]: tuple(line.split()[1:]) for line in lines}
	return found


def renegotiated(s):
	return [line for line in s.event_lines() if ' renegotiated ' in line]


def texts(t):
	return t.received(Op.TEXT_REQ)


@scene
def negotiate_1_every_connection(s):
	"""The key is of a connection (13.12): each of a session negotiates it, with digests, while
	reads go on over both."""
	t = s.target(luns={0: pattern_disk()}, values={'MaxConnections': 2})
	session, cids = s.two_connections(t, header_digest='yes', data_digest='yes')
	s.all_logged_in(session, 2)
	s.command(session, 'policy round-robin')
	for n, size in enumerate((512, 16777215, 4096), 1):
		jobs = [(k, s.read_job(t, k * 65536, 65536)) for k in range(16)]
		s.command(session, 'set max_recv_data_segment_length=%d' % size)
		for k, job in jobs:
			s.check(job.result() == bytes(t.luns[0].store[k * 65536:k * 65536 + 65536]), 'wrong data')
		s.equal([c.max_send for c in t.ffp_conns()], [size, size], 'what the target was told')
		s.equal(len(texts(t)), 2 * n, 'Text Requests')
		s.equal(len(renegotiated(s)), 2 * n, 'events')
		for p in conn_params(s, session).values():
			s.equal(p[KEY], (str(size), str(size)), 'params')
	s.equal(sorted(s.cids(session)), sorted(cids), 'connections')
	# A connection that is made later asks for the same.
	s.command(session, 'remove-connection %s' % cids[1])
	s.command(session, 'add-connection portal=%s' % t.portals[-1].address)
	t.wait(lambda: len(t.ffp_conns()) == 2, 'two connections')
	s.equal([c.max_send for c in t.ffp_conns()], [4096, 4096], 'what the target was told')


@scene
def negotiate_2_keys_of_the_login(s):
	"""What only a login negotiates is refused, and the message says so; no Text Request goes."""
	t = s.target(luns={0: pattern_disk()})
	s.login(t)
	session = s.session(t)
	for key in ('header_digest', 'data_digest', 'max_connections', 'initial_r2t', 'immediate_data', 'max_burst_length',
			'first_burst_length', 'time2wait', 'time2retain', 'max_outstanding_r2t', 'data_pdu_in_order',
			'data_sequence_in_order', 'erl', 'auth', 'HeaderDigest', 'MaxBurstLength', 'ErrorRecoveryLevel', 'TargetName'):
		reply = s.refused(s.ctl(session + '/ctl', 'set %s=1' % key), errno.EINVAL)
		s.check('only a login' in reply.text and 'RFC 7143 1' in reply.text, '%s: %r' % (key, reply))
	for line, word in (('set SendTargets=All', 'discovery'), ('set TargetAlias=x', 'the target tells'),
			('set MaxRecvDataSegmentLength=512', 'max_recv_data_segment_length='), ('set X-a=1', 'extension='),
			('set extension=nonsense', 'X-KEY=VALUE'), ('set extension=MaxBurstLength=512', 'X-KEY=VALUE'),
			('set extension=X-=1', 'X-KEY=VALUE'), ('set initiator_alias=%s' % ('x' * 256), '255'),
			('set initiator_alias=a\\x0ab', 'control'), ('set extension=X-a=b\\x0ac', 'X-KEY=VALUE'),
			('set max_recv_data_segment_length=511', '512..16777215')):
		reply = s.refused(s.ctl(session + '/ctl', line), errno.EINVAL)
		s.check(word in reply.text, '%s: %r' % (line[:40], reply))
	s.equal(texts(t), [], 'Text Requests')
	good_read(s, t)


@scene
def negotiate_3_alias_and_private_key(s):
	"""InitiatorAlias and a private key go once, over one connection; the answer is in the reply."""
	class Knows(Target):
		def text_answer(self, c, pdu, keys):
			return make_keys([('X-org.example.colour', 'blue')] +
				[(k, 'NotUnderstood') for k, _ in keys if k == 'X-org.example.size'])

	t = s.target(Knows, luns={0: pattern_disk()}, values={'MaxConnections': 2})
	session, _ = s.two_connections(t)
	reply = s.command(session, 'set initiator_alias="a box" extension=X-org.example.colour=any')
	s.equal(reply.fields.get('answer'), 'X-org.example.colour=blue', 'the answer')
	s.equal(len(texts(t)), 1, 'Text Requests')
	keys = texts(t)[0].keys()
	s.check(('InitiatorAlias', 'a box') in keys and ('X-org.example.colour', 'any') in keys, 'keys %s' % keys)


@scene
def negotiate_4_target_asks(s):
	"""Event 4: a Text Request on that connection, at once; what the target declares then is in
	force and in params."""
	class Asks(Target):
		def text_answer(self, c, pdu, keys):
			super().text_answer(c, pdu, keys)
			return make_keys([(KEY, '4096'), ('TargetAlias', 'moved')])

	t = s.target(Asks, luns={0: pattern_disk()}, values={'MaxConnections': 2})
	session, cids = s.two_connections(t)
	s.all_logged_in(session, 2)
	second = t.ffp_conns()[1]
	t.async_message(second, 4, p3=10)
	t.wait(lambda: texts(t), 'a Text Request')
	s.wait(lambda: renegotiated(s), 'the event')
	s.equal(len(texts(t)), 1, 'Text Requests')
	s.check(t.event_of(texts(t)[0]).conn is second, 'it came on the other connection')
	params = conn_params(s, session)
	told = [p for p in params.values() if p['MaxXmitDataSegmentLength'][1] == '4096']
	s.equal(len(told), 1, 'connections with the new value: %s' % params)
	s.equal(told[0]['TargetAlias'][1], 'moved', 'TargetAlias')
	good_read(s, t)


@scene
def negotiate_5_target_asks_and_does_not_answer(s):
	"""Event 4, and our Text Request has no answer within Parameter3: event 50, the connection is
	dropped and comes back, and I/O goes on."""
	class Deaf(Target):
		def on_text(self, c, req, keys):
			return True

	t = s.target(Deaf, luns={0: pattern_disk()})
	s.login(t)
	t.async_message(t.ffp_conns()[0], 4, p3=1)
	t.wait(lambda: texts(t), 'a Text Request')
	t.wait(lambda: len(t.conns) > 1 and t.conns[0].eof, 'the end of the connection, and another')
	good_read(s, t)
	s.event('text-timed-out')


@scene
def negotiate_6_refused_with_a_word(s):
	"""The answer to what we declare is a reserved word: an error, all stays as it was."""
	class Says(Target):
		word = None

		def text_answer(self, c, pdu, keys):
			return make_keys([(KEY, self.word)])

	for word in ('Reject', 'NotUnderstood', 'Irrelevant'):
		t = s.target(Says, luns={0: pattern_disk()}, word=word, iqn='iqn.2026-01.org.iscsifs.test:' + word.lower())
		s.login(t, max_recv_data_segment_length=65536)
		session = s.session(t)
		reply = s.refused(s.ctl(session + '/ctl', 'set max_recv_data_segment_length=8192'), errno.EPROTO)
		s.equal(reply.fields.get('code'), 'ISDSC_INVALID_TEXT_KEY', 'code')
		s.check(word in reply.text, 'the reply: %r' % reply)
		s.equal([p[KEY][1] for p in conn_params(s, session).values()], ['65536'], 'params')
		good_read(s, t, 0, 65536)
		s.equal(len(t.conns), 1, 'connections')


@scene
def negotiate_7_long_answer(s):
	"""The answer comes in pieces with the C bit, with keys that want an answer themselves."""
	class Long(Target):
		answered = None

		def on_text(self, c, req, keys):
			self.pieces = [b'X-org.example.a=1\0MaxRecvDa', b'taSegmentLength=2048\0X-org.ex', b'ample.b=2\0']
			self.go_on_text(c, req)
			return True

		def text_request(self, c, pdu):
			if c.text is None or pdu.ttt == RESERVED_TAG:
				super().text_request(c, pdu)
			elif self.pieces:
				self.go_on_text(c, pdu)
			else:
				self.answered = pdu.keys()
				self.text_reply(c, pdu, b'')

		def go_on_text(self, c, pdu):
			piece = self.pieces.pop(0)
			self.text_reply(c, pdu, piece, final=False, cont=bool(self.pieces))

	t = s.target(Long, luns={0: pattern_disk()})
	s.login(t)
	s.command(s.session(t), 'set max_recv_data_segment_length=8192')
	s.equal(sorted(t.answered or ()), [('X-org.example.a', 'NotUnderstood'), ('X-org.example.b', 'NotUnderstood')],
		'our answers')
	s.equal([p['MaxXmitDataSegmentLength'][1] for p in conn_params(s, s.session(t)).values()], ['2048'], 'params')
	s.equal(len(t.conns), 1, 'connections')


@scene
def negotiate_8_one_of_two_refuses(s):
	"""The second connection is rejected for ever: an error; the first has the new value, the
	second the old one, and reads are right over both."""
	class Half(Target):
		def on_text(self, c, req, keys):
			if c is self.conns[-1]:
				c.text = None
				self.reject(c, req, 0x05)
				return True

	t = s.target(Half, luns={0: pattern_disk()}, values={'MaxConnections': 2})
	session, cids = s.two_connections(t, max_recv_data_segment_length=65536)
	s.all_logged_in(session, 2)
	s.refused(s.ctl(session + '/ctl', 'set max_recv_data_segment_length=4096'), errno.EPROTO)
	s.equal(sorted(p[KEY][1] for p in conn_params(s, session).values()), ['4096', '65536'], 'params')
	s.command(session, 'policy round-robin')
	for n in range(8):
		good_read(s, t, n * 65536, 65536)
	s.equal(len(t.conns), 2, 'connections')
