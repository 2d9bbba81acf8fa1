# SPDX-License-Identifier: BSD-2-Clause
"""Login phase, conformance.md section 2, cases 1 to 12.  Criteria from RFC 7143.

Scenes change the target's answer in on_login(c, req, keys, reply).  `refuses` is the common
shape: the target answers wrongly, the login has to fail and the connection to close."""

import errno

from common import (AUTH, BROKEN, login_names, pattern, pattern_disk, reads, round_trip,
	status_before)
from harness import scene
from pdu import Op, Pdu, RESERVED_TAG, sn_add
from target import Target


class Answers(Target):
	"""Calls `edit(c, req, reply)` on the answer to each operational request (or each
	request with stage=None)."""
	stage = 1

	def on_login(self, c, req, keys, reply):
		if self.stage is None or req.csg == self.stage:
			return self.edit(self, c, req, reply)

	edit = None


def answers(s, edit, stage=1, **config):
	return s.target(type('Answers', (Answers,), {'edit': staticmethod(edit), 'stage': stage}), **config)


def refuses(s, edit, errnos=BROKEN, stage=1, keys=None, **config):
	"""The initiator must not accept the answer that edit makes."""
	t = answers(s, edit, stage, **config)
	s.refused(s.try_login(t, timeout=20, **(keys or {})), *errnos)
	t.wait(lambda: t.conns and all(c.eof for c in t.conns), 'the initiator to close the connection')
	s.check(not t.received(Op.SCSI_CMD), 'SCSI commands after a login that had to fail')
	return t


def put(key, value):
	def edit(t, c, req, reply):
		if reply.get(key) is not None or key not in c.login.names:
			reply.put(key, value)
	return edit


def proposes(pairs):
	"""The target proposes keys that the initiator has not: returns edit."""
	def edit(t, c, req, reply):
		lg = c.login
		if getattr(lg, 'proposed', False):
			return
		lg.proposed = True
		for key, value in pairs:
			if key in lg.names:
				continue
			reply.put(key, value)
			lg.offers[key] = value
			reply.transit = False
	return edit


def answer_to(t, key):
	return t.conns[-1].login.answered.get(key)


@scene
def login_1_1_standard_login(s):
	"""The first Login Request is well formed."""
	t = s.target()
	s.login(t)
	first = t.received(Op.LOGIN_REQ)[0]
	names = dict(t.conns[0].login.keys)
	s.check(first.imm and first.tsih == 0, 'I and TSIH')
	s.check(names['InitiatorName'].split('.')[0] in ('iqn', 'eui', 'naa'), 'InitiatorName')
	s.equal(names['TargetName'], t.iqn, 'TargetName')
	s.equal(names.get('SessionType', 'Normal'), 'Normal', 'SessionType')
	s.check(any(first.isid), 'ISID is all zero')
	s.equal(s.cat('initiator', 'name'), names['InitiatorName'], 'initiator/name')
	round_trip(s, t, 0, 4096)


@scene
def login_2_1_tsih(s):
	"""TSIH is 0 in all requests of a leading login."""
	t = answers(s, delay_t(2))
	s.login(t)
	s.equal({p.tsih for p in t.received(Op.LOGIN_REQ)}, {0}, 'TSIHs')


@scene
def login_2_2_invalid_tsih(s):
	"""A final response with TSIH 0 is a login failure."""
	def edit(t, c, req, reply):
		if reply.transit and reply.nsg == 3:
			reply.fields['tsih'] = 0
	refuses(s, edit)


@scene
def login_2_3_tsih_second_connection(s):
	"""A second connection uses the ISID and TSIH of the session, and a new CID."""
	t = s.target(luns={0: pattern_disk()}, values={'MaxConnections': 2})
	s.two_connections(t)
	a, b = [c.login.first for c in t.ffp_conns()]
	s.equal((b.isid, b.tsih), (a.isid, t.sessions[0].tsih), 'ISID and TSIH')
	s.check(b.cid != a.cid, 'both have CID %d' % a.cid)
	names = [k for k, _ in b.keys()]
	s.check('InitiatorName' in names and 'TargetName' in names, 'first request has %s' % names)
	s.equal(len(t.sessions), 1, 'sessions')
	round_trip(s, t, 0, 65536)


@scene
def login_2_4_refused_second_connection(s):
	"""Too many connections (0206, or MaxConnections=1): EUSERS; the session lives on."""
	class No(Target):
		def on_login(self, c, req, keys, reply):
			if req.tsih:
				reply.refuse(0x0206)

	for cls, most in ((No, 2), (Target, 1)):
		t = s.target(cls, luns={0: pattern_disk()}, values={'MaxConnections': most},
			iqn='iqn.2026-01.org.iscsifs.test:most%d' % most)
		s.login(t, max_connections=2)
		session = s.session(t)
		s.refused(s.ctl(session + '/ctl', 'add-connection portal=%s' % t.portal), errno.EUSERS)
		s.equal(len(s.cids(session)), 1, 'connections')
		s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')


@scene
def login_2_5_remove_connection(s):
	"""remove-connection: Logout with reason 1 and that CID; the last one cannot go."""
	t = s.target(luns={0: pattern_disk()}, values={'MaxConnections': 2})
	session, cids = s.two_connections(t)
	victim = t.ffp_conns()[1]
	s.command(session, 'remove-connection %s' % cids[1])
	out = t.received(Op.LOGOUT_REQ)
	s.equal([(p.function, p.cid) for p in out], [(1, victim.cid)], 'Logout Requests (reason, CID)')
	t.wait(lambda: victim.eof, 'the connection to close')
	s.equal(s.cids(session), cids[:1], 'connections left')
	s.check(s.read(t, 0, 4096) == pattern(0, 4096), 'wrong data')
	s.refused(s.ctl(session + '/ctl', 'remove-connection %s' % cids[0]))
	s.check(s.read(t, 8192, 4096) == pattern(8192, 4096), 'wrong data')
	s.command(session, 'add-connection portal=%s' % t.portal)
	s.check(cids[1] not in s.cids(session), 'a connection id was used again')
	s.equal(len(t.received(Op.LOGOUT_REQ)), 1, 'Logout Requests')


@scene
def login_3_1_t_bit(s):
	"""T=1 only with a next stage after the present one; the login ends with NSG 3."""
	t = s.target()
	s.login(t)
	last = t.received(Op.LOGIN_REQ)[-1]
	s.check(last.transit and last.nsg == 3, 'last request: T=%d NSG=%d' % (last.transit, last.nsg))


def delay_t(times):
	def edit(t, c, req, reply):
		lg = c.login
		lg.delayed = getattr(lg, 'delayed', 0) + 1
		if lg.delayed <= times and not reply.status:
			reply.transit = False
	return edit


@scene
def login_3_2_t_bit_delay(s):
	"""The target returns T=0 for a while: empty requests with T=1 follow."""
	for stage in (0, 1):
		t = answers(s, delay_t(4), stage, iqn='iqn.2026-01.org.iscsifs.test:delay%d' % stage)
		s.login(t)
		mine = [p for p in t.received(Op.LOGIN_REQ) if p.csg == stage]
		if mine:
			s.check(len(mine) >= 5, 'only %d requests in stage %d' % (len(mine), stage))
			s.check(all(p.transit for p in mine[2:]), 'T=0 in a later request')


@scene
def login_3_3_t_for_ever(s):
	"""The target never returns T: the number of exchanges is capped, or the time."""
	t = answers(s, delay_t(1 << 30))
	s.refused(s.try_login(t, timeout=10, login_timeout=5))
	count = len(t.received(Op.LOGIN_REQ))
	s.check(6 <= count, 'given up after %d exchanges, six should be allowed (6.2)' % count)


@scene
def login_4_1_statsn_zero(s):
	"""The initial StatSN is 0."""
	statsn(s, 0)


@scene
def login_4_2_statsn_non_zero(s):
	"""Any initial StatSN: in the middle, at the sign, at the wrap."""
	for value in (5, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF):
		statsn(s, value)


def statsn(s, value):
	t = s.target(first_statsn=value, iqn='iqn.2026-01.org.iscsifs.test:statsn%d' % value,
		luns={0: pattern_disk()})
	s.login(t)
	for n in range(3):
		s.check(s.read(t, n * 4096, 4096) == pattern(n * 4096, 4096), 'wrong data')
	last = reads(t)[-1]
	s.equal(last.expstatsn, sn_add(status_before(t, last).statsn), 'ExpStatSN of the last READ')


@scene
def login_5_1_expstatsn(s):
	"""ExpStatSN = StatSN + 1 in each later request, reserved in the first."""
	t = answers(s, delay_t(3), first_statsn=1000)
	s.login(t)
	requests = t.received(Op.LOGIN_REQ)
	s.equal(requests[0].expstatsn, 0, 'ExpStatSN of the first request')
	for sent, p in zip(t.sent(Op.LOGIN_RSP), requests[1:]):
		s.equal(p.expstatsn, sn_add(sent.statsn), 'ExpStatSN')


@scene
def login_6_1_negotiate_once(s):
	"""No key is offered twice, also over many exchanges."""
	t = answers(s, delay_t(4))
	s.login(t)
	names = [k for k, _ in login_names(t)]
	s.equal(sorted(set(names)), sorted(names), 'keys sent')


@scene
def login_6_2_immediatedata_twice_separate(s):
	"""The target sends ImmediateData in two PDUs: the login is dropped."""
	def edit(t, c, req, reply):
		lg = c.login
		lg.count = getattr(lg, 'count', 0) + 1
		if lg.count <= 2:
			reply.put('ImmediateData', 'Yes')
			reply.transit = False
	refuses(s, edit)


@scene
def login_6_3_immediatedata_twice_same(s):
	"""The target sends ImmediateData twice in one PDU: the login is dropped."""
	def edit(t, c, req, reply):
		reply.drop('ImmediateData')
		reply.keys += [('ImmediateData', 'Yes'), ('ImmediateData', 'Yes')]
	refuses(s, edit)


@scene
def login_7_1_login_request(s):
	"""Keys are legal and in their stage (checker); no security keys without being asked."""
	t = s.target()
	s.login(t)
	s.check(not [k for k, _ in login_names(t) if k.startswith('CHAP')], 'CHAP keys were sent')


@scene
def login_7_2_list_negotiation(s):
	"""The first acceptable value of the target's list is taken; Reject when there is none."""
	t = answers(s, proposes([('TaskReporting', 'X-nonsense,ResponseFence,RFC3720')]))
	s.login(t)
	got = answer_to(t, 'TaskReporting')
	if 'TaskReporting' in t.conns[0].login.offers:
		s.check(got in ('ResponseFence', 'RFC3720', 'Reject'), 'TaskReporting=%s' % got)
	t = answers(s, proposes([('HeaderDigest', 'CRC32C,None'), ('DataDigest', 'X-foo')]),
		iqn='iqn.2026-01.org.iscsifs.test:list2')
	reply = s.try_login(t)
	if 'DataDigest' in t.conns[0].login.offers:
		got = answer_to(t, 'DataDigest')
		s.check(reply.errno or got == 'Reject', 'DataDigest=%s to an offer of X-foo' % got)
	else:
		s.equal(reply.errno, 0, 'errno')


@scene
def login_7_3_invalid_authmethod(s):
	"""An AuthMethod that was not offered: abort."""
	for value in ('SRP', 'KRB5', 'CHAP', 'Reject', 'none', 'None,CHAP', ''):
		def edit(t, c, req, reply):
			if 'AuthMethod' in c.login.names:
				reply.put('AuthMethod', value)
			else:
				reply.refuse(0x0201)	# it went without a security stage
		refuses(s, edit, BROKEN + AUTH, 0, iqn='iqn.2026-01.org.iscsifs.test:auth-' +
			value.lower().replace(',', '-'))
	s.event('unknown-auth-method', r'AuthMethod=')


@scene
def login_7_4_firstburst_too_high(s):
	"""FirstBurstLength answered over the offer: abort."""
	refuses(s, put('FirstBurstLength', '131072'), keys={'first_burst_length': 65536})


@scene
def login_7_5_immediatedata_invalid(s):
	"""ImmediateData=Maybe: abort."""
	refuses(s, put('ImmediateData', 'Maybe'))


@scene
def login_7_6_invalid_key(s):
	"""Unknown keys are answered NotUnderstood."""
	keys = [('X-com.example.key', '1'), ('NoSuchKey', 'a,b'), ('X', '')]
	t = answers(s, proposes(keys))
	s.login(t)
	for key, _ in keys:
		s.equal(answer_to(t, key), 'NotUnderstood', 'answer to ' + key)
	round_trip(s, t, 0, 4096)


@scene
def login_7_7_known_key_not_understood(s):
	"""NotUnderstood for a key of the RFC is a protocol error (6.2)."""
	refuses(s, put('MaxBurstLength', 'NotUnderstood'))


@scene
def login_8_1_invalid_pdu(s):
	"""Anything but a Login Response during login: the connection is dropped."""
	for op in (Op.NOP_IN, Op.SCSI_RSP, Op.DATA_IN, Op.R2T, Op.TEXT_RSP, Op.ASYNC, Op.LOGOUT_RSP, 0x03, 0x3E):
		def edit(t, c, req, reply):
			c.send(Pdu(op, final=True, itt=req.itt, ttt=RESERVED_TAG))
			return False
		refuses(s, edit, BROKEN, None, iqn='iqn.2026-01.org.iscsifs.test:op%d' % op)
	s.event('bad-login-response', r'header [0-9a-f]{96}')


@scene
def login_8_2_reject_pdu(s):
	"""A Reject during login ends it (7.12)."""
	def edit(t, c, req, reply):
		t.reject(c, req, 0x0B)
		return False
	refuses(s, edit, BROKEN, None)


@scene
def login_9_1_digest_offer(s):
	"""Digests are offered in the operational stage only; None is there unless forced."""
	for value, want in (('no', None), ('prefer', ['CRC32C', 'None']), ('yes', ['CRC32C'])):
		t = s.target(iqn='iqn.2026-01.org.iscsifs.test:digest-' + value)
		s.login(t, header_digest=value, data_digest=value)
		for key in ('HeaderDigest', 'DataDigest'):
			got = t.conns[0].login.get(key)
			if want is None:
				s.check(got in (None, 'None'), '%s=%s with digests off' % (key, got))
			else:
				s.equal((got or '').split(','), want, key)
		c = t.ffp_conns()[0]
		s.equal((c.header_digest, c.data_digest), (bool(want),) * 2, 'digests in force')
		round_trip(s, t, 0, 8192)


@scene
def login_9_2_digest_response(s):
	"""The answer counts: each mix of the two; None or nonsense to a forced offer: no."""
	n = 0
	for hd in ('CRC32C', 'None'):
		for dd in ('CRC32C', 'None'):
			n += 1
			t = s.target(values={'HeaderDigest': (hd,), 'DataDigest': (dd,)},
				iqn='iqn.2026-01.org.iscsifs.test:mix%d' % n)
			s.login(t, header_digest='prefer', data_digest='prefer')
			round_trip(s, t, 0, 8192)
			p = s.params(t)
			s.equal((p['HeaderDigest'], p['DataDigest']), (hd, dd), 'params file')
	for value in ('None', 'Reject', 'crc32c', 'MD5', 'CRC32C,None'):
		refuses(s, put('HeaderDigest', value), keys={'header_digest': 'yes'},
			iqn='iqn.2026-01.org.iscsifs.test:hd-' + value.lower().replace(',', '-'))
	s.event('no-header-digest')
	refuses(s, put('DataDigest', 'None'), keys={'data_digest': 'yes'}, iqn='iqn.2026-01.org.iscsifs.test:dd-none')
	s.event('no-data-digest')


@scene
def login_9_3_crc32c(s):
	"""CRC32C in force from the first PDU after the login, in both directions."""
	t = s.target(luns={0: pattern_disk()}, data_in_size=1001)
	s.login(t, header_digest='yes', data_digest='yes')
	for n in range(4):
		s.check(s.read(t, n * 65536, 65536) == pattern(n * 65536, 65536), 'wrong data')
	round_trip(s, t, 4096, 65536)


@scene
def login_10_1_maxconnections(s):
	"""An answer over the offer of 1, or 0, is refused."""
	t = s.target(values={'MaxConnections': 8})
	s.login(t, max_connections=1)
	s.equal(s.params(t)['MaxConnections'], '1', 'params file')
	for n, value in enumerate(('2', '0')):
		refuses(s, put('MaxConnections', value), keys={'max_connections': 1}, iqn='iqn.2026-01.org.iscsifs.test:max%d' % n)


@scene
def login_10_1_maxconnections_above_1(s):
	"""MaxConnections: minimum of offer and answer."""
	t = s.target(values={'MaxConnections': 2})
	s.login(t, max_connections=4)
	s.equal(t.conns[0].login.get('MaxConnections'), '4', 'offer')
	s.equal(s.params(t)['MaxConnections'], '2', 'params file')
	refuses(s, put('MaxConnections', '9'), keys={'max_connections': 4}, iqn='iqn.2026-01.org.iscsifs.test:nine')


@scene
def login_11_1_names(s):
	"""InitiatorName and TargetName are in the first request."""
	t = s.target()
	s.login(t)
	names = [k for k, _ in t.received(Op.LOGIN_REQ)[0].keys()]
	s.check('InitiatorName' in names and 'TargetName' in names, 'first request has %s' % names)


@scene
def login_12_1_markers(s):
	"""Obsolete marker keys: Reject or No, never NotUnderstood (13.25)."""
	t = answers(s, proposes([('IFMarker', 'Yes'), ('OFMarker', 'No'), ('IFMarkInt', '2048~8192'),
		('OFMarkInt', '2048')]))
	s.login(t)

	for key in ('IFMarker', 'OFMarker'):
		s.check(answer_to(t, key) in ('Reject', 'No'), '%s=%s' % (key, answer_to(t, key)))
	for key in ('IFMarkInt', 'OFMarkInt'):
		s.equal(answer_to(t, key), 'Reject', key)
	round_trip(s, t, 0, 4096)


# ------------------------------------------------------------------------- text of answers

@scene
def login_text_1_long_answer_with_c_bit(s):
	"""Answers cut anywhere with the C bit; each piece is answered by an empty request."""
	for chunk in (30, 100):
		t = s.target(login_chunk=chunk, iqn='iqn.2026-01.org.iscsifs.test:chunk%d' % chunk)
		s.login(t)
		round_trip(s, t, 0, 4096)


@scene
def login_text_2_answers_8192_and_more(s):
	"""8192 bytes of keys are accepted (6.1)."""
	keys = [('X-com.example.k%d' % n, 'v' * 200) for n in range(34)]
	t = answers(s, proposes(keys))
	s.login(t)
	s.equal([answer_to(t, k) for k, _ in keys], ['NotUnderstood'] * len(keys), 'answers')


@scene
def login_text_3_garbage(s):
	"""No NUL, no =, empty keys, NUL floods, binary: the login fails, the daemon lives."""
	for n, text in enumerate((b'TargetPortalGroupTag=1', b'TargetPortalGroupTag\0', b'=1\0', b'=\0',
			b'\xff' * 100 + b'\0', b'ImmediateData\0Yes\0', b'a' * 8191 + b'\0')):
		def edit(t, c, req, reply):
			reply.raw_text = text
		refuses(s, edit, BROKEN, None, iqn='iqn.2026-01.org.iscsifs.test:garbage%d' % n)
	t = s.target()
	s.login(t)


@scene
def login_text_4_nul_flood(s):
	"""Thousands of NULs: ends soon, either way."""
	def edit(t, c, req, reply):
		reply.raw_text = b'\0' * 8000
	t = answers(s, edit, None)
	s.try_login(t, timeout=20)
	s.check(s.exists('ctl'), 'the daemon is gone')


@scene
def login_text_5_value_of_100_kb(s):
	"""A value of 100 KB by C bits: refused, with bounded memory and time."""
	def edit(t, c, req, reply):
		reply.raw_text = b'TargetAlias=' + b'x' * 100000 + b'\0'
	t = answers(s, edit, None)
	reply = s.try_login(t, timeout=30)
	s.refused(reply, *BROKEN)


@scene
def login_text_6_c_bit_for_ever(s):
	"""C bit for ever, with and without data: capped."""
	for size in (0, 1, 8000):
		def edit(t, c, req, reply):
			reply.raw_text, reply.cont, reply.transit = b'x' * size, True, False
		t = answers(s, edit, None, iqn='iqn.2026-01.org.iscsifs.test:forever%d' % size)
		s.refused(s.try_login(t, timeout=20, login_timeout=10))
		count = len(t.received(Op.LOGIN_REQ))
		s.check(count < 20000, '%d exchanges' % count)


@scene
def login_text_7_c_with_t(s):
	"""C and T both set is a protocol error (11.13.7)."""
	def edit(t, c, req, reply):
		reply.cont = True
	refuses(s, edit)


@scene
def login_status_0_classes(s):
	"""Each login status, with the errno and the ISDSC code of it."""
	e, io = errno, errno.EIO
	table = (
		(0x0200, (io, e.EPROTO), 'ISDSC_INITIATOR_ERROR'),
		(0x0201, (e.EACCES,), 'ISDSC_AUTHENTICATION_FAILURE'),
		(0x0202, (e.EACCES,), 'ISDSC_AUTHORIZATION_FAILURE'),
		(0x0203, (e.ENOENT,), 'ISDSC_NOT_FOUND'),
		(0x0204, (e.ENOENT,), 'ISDSC_TARGET_REMOVED'),
		(0x0205, (e.EOPNOTSUPP, e.EPROTO, io), 'ISDSC_UNSUPPORTED_VERSION'),
		(0x0206, (e.EUSERS,), 'ISDSC_TOO_MANY_CONNECTIONS'),
		(0x0207, (e.EPROTO, e.EINVAL, io), 'ISDSC_MISSING_PARAMETER'),
		(0x0208, (e.EOPNOTSUPP, e.EPROTO, io), 'ISDSC_CANT_INCLUDE_IN_SESSION'),
		(0x0209, (e.EOPNOTSUPP,), 'ISDSC_SESSION_TYPE_NOT_SUPPORTED'),
		(0x020A, (e.ENOENT, e.EPROTO, io), None),
		(0x020B, (e.EPROTO, io), None),
		(0x02FF, (io, e.EPROTO), None),
		(0x0300, (io,), 'ISDSC_TARGET_ERROR'),
		(0x0301, (io, e.EBUSY, e.EAGAIN, e.EHOSTUNREACH), 'ISDSC_SERVICE_UNAVAILABLE'),
		(0x0302, (e.ENOSPC,), 'ISDSC_OUT_OF_RESOURCES'),
		(0x03FF, (io,), None),
		(0x0400, (io, e.EPROTO), None),
		(0xFF00, (io, e.EPROTO), None),
	)
	for status, errnos, code in table:
		def edit(t, c, req, reply):
			reply.refuse(status)
		t = answers(s, edit, None, iqn='iqn.2026-01.org.iscsifs.test:s%04x' % status)
		reply = s.try_login(t, timeout=20)
		s.check(reply.errno in errnos, 'status %04x: %r' % (status, reply))
		s.check(not code or reply.fields.get('code') == code, 'status %04x: expected %s, got %r'
			% (status, code, reply))
		s.check(not t.received(Op.SCSI_CMD), 'went on after status %04x' % status)
	s.event('login-failed', r'header 23[0-9a-f]{94}')


@scene
def login_status_1_retry_after_refusal(s):
	"""After a refusal a new login works; `error` holds the failure, newest first."""
	t = answers(s, lambda t, c, req, reply: reply.refuse(0x0301), None)
	s.refused(s.try_login(t))
	t.edit = lambda *a: None
	s.login(t)
	round_trip(s, t, 0, 4096)


@scene
def login_isid_1_sessions_differ(s):
	"""Two sessions of one initiator to one target have different ISIDs (10.1.1)."""
	t = s.target()
	s.login(t, multipath='yes')
	s.login(t, multipath='yes')
	isids = [x.isid for x in t.sessions]
	s.equal(len(set(isids)), 2, 'different ISIDs among %s' % [i.hex() for i in isids])
	reply = s.try_login(t)
	s.refused(reply, errno.EEXIST)


