# SPDX-License-Identifier: BSD-2-Clause
"""Login phase, conformance.md section 2, cases 13 to 23, and redirection."""

import errno
import socket

from common import BROKEN, login_names, pattern, pattern_disk, round_trip, writes
from harness import Skip, scene
from net import loopback
from pdu import Op
from scenes_login import answers, proposes, put, refuses
from target import Target

TEST = 'iqn.2026-01.org.iscsifs.test:'

BOOLEANS = ('InitialR2T', 'ImmediateData', 'DataPDUInOrder', 'DataSequenceInOrder')


@scene
def login_13_1_boolean_negotiation(s):
	"""What is offered is Yes or No."""
	t = s.target()
	s.login(t)
	for key, value in login_names(t):
		if key in BOOLEANS:
			s.check(value in ('Yes', 'No'), '%s=%s' % (key, value))


@scene
def login_13_2_boolean_legal(s):
	"""Every legal answer is accepted, and acted upon."""
	for n, (r2t, imm) in enumerate((a, b) for a in ('Yes', 'No') for b in ('Yes', 'No')):
		t = s.target(values={'InitialR2T': r2t, 'ImmediateData': imm}, iqn=TEST + 'bool%d' % n)
		s.login(t, initial_r2t='no', immediate_data='yes')
		p = s.params(t)
		s.equal((p['InitialR2T'], p['ImmediateData']), (r2t, imm), 'params file')
		round_trip(s, t, 0, 65536)


@scene
def login_13_3_boolean_illegal(s):
	"""Illegal boolean values, and results that the function forbids, abort."""
	cases = [(k, v) for k in BOOLEANS for v in ('yes', '1', '', 'True')]
	for n, (key, value) in enumerate(cases):
		refuses(s, put(key, value), iqn=TEST + 'ill%d' % n)
	refuses(s, put('InitialR2T', 'No'), keys={'initial_r2t': 'yes'}, iqn=TEST + 'or')
	refuses(s, put('ImmediateData', 'Yes'), keys={'immediate_data': 'no'}, iqn=TEST + 'and')


@scene
def login_14_1_maxrecvdatasegmentlength(s):
	"""Declared for each direction by itself; the limits of the range work, beyond not."""
	for ours, theirs in ((512, None), (16777215, None), (0, None), (4096, 512), (4096, 65536)):
		t = s.target(max_recv=ours, luns={0: pattern_disk()}, iqn=TEST + 'mrdsl%d-%d' % (ours, theirs or 0))
		s.login(t, **({'max_recv_data_segment_length': theirs} if theirs else {}))
		if theirs:
			s.equal(t.conns[0].login.get('MaxRecvDataSegmentLength'), str(theirs), 'declared')
		s.check(s.read(t, 0, 65536) == pattern(0, 65536), 'wrong data')
		round_trip(s, t, 65536, 65536)
		limit = ours or 8192
		s.check(max(p.dsl for p in t.received(Op.SCSI_CMD, Op.DATA_OUT)) <= limit, 'segment over %d' % limit)
	for n, value in enumerate(('511', '16777216', '0', '-1', 'many', '')):
		refuses(s, put('MaxRecvDataSegmentLength', value), iqn=TEST + 'bad%d' % n)


@scene
def login_15_1_maxburstlength(s):
	"""Minimum; an answer over the offer, or under 512, is refused."""
	t = s.target(values={'MaxBurstLength': 4096, 'FirstBurstLength': 4096})
	s.login(t)
	s.equal(s.params(t)['MaxBurstLength'], '4096', 'params file')
	round_trip(s, t, 0, 65536)
	for n, value in enumerate(('65537', '511', '0')):
		refuses(s, put('MaxBurstLength', value), keys={'max_burst_length': 65536}, iqn=TEST + 'burst%d' % n)


@scene
def login_16_1_firstburst_below_maxburst(s):
	"""FirstBurstLength 512, MaxBurstLength 8192."""
	t = s.target(values={'FirstBurstLength': 512, 'MaxBurstLength': 8192, 'InitialR2T': 'No'})
	s.login(t, initial_r2t='no', immediate_data='yes')
	round_trip(s, t, 0, 65536)


@scene
def login_16_2_firstburst_over_maxburst(s):
	"""The target's answers break FirstBurstLength <= MaxBurstLength: refused, or coped with."""
	t = answers(s, put('MaxBurstLength', '4096'))
	t.values = dict(t.values, FirstBurstLength=65536)
	reply = s.try_login(t, initial_r2t='no', immediate_data='yes', first_burst_length=65536)
	if reply.errno == 0:
		t.sessions[-1].params['MaxBurstLength'] = 4096
		round_trip(s, t, 0, 65536)
		for p in writes(t):
			s.check(p.dsl <= 4096, 'immediate data of %d' % p.dsl)
	else:
		s.refused(reply, *BROKEN)
	s.event('bad-burst-lengths', r'FirstBurstLength \d+, MaxBurstLength \d+')


@scene
def login_16_3_firstburst_offered(s):
	"""FirstBurstLength over MaxBurstLength is never offered (checker), whatever is asked."""
	t = s.target()
	reply = s.try_login(t, first_burst_length=65536, max_burst_length=4096)
	if reply.errno:
		s.refused(reply, errno.EINVAL)
	else:
		round_trip(s, t, 0, 65536)


def minimum(s, key, option, offer, good, bad):
	t = s.target(values={key: good}, iqn=TEST + key.lower() + '-good')
	s.login(t, **{option: offer})
	s.equal(t.conns[0].login.get(key), str(offer), 'offer of ' + key)
	s.equal(s.params(t)[key], str(good), 'params file')
	round_trip(s, t, 0, 4096)
	refuses(s, put(key, str(bad)), keys={option: offer}, iqn=TEST + key.lower() + '-bad')


@scene
def login_17_1_defaulttime2retain(s):
	"""Minimum."""
	minimum(s, 'DefaultTime2Retain', 'time2retain', 20, 5, 21)


@scene
def login_18_1_defaulttime2wait(s):
	"""Maximum: an answer below the offer is refused."""
	minimum(s, 'DefaultTime2Wait', 'time2wait', 2, 3, 1)


@scene
def login_19_1_maxoutstandingr2t(s):
	"""Minimum."""
	minimum(s, 'MaxOutstandingR2T', 'max_outstanding_r2t', 4, 2, 5)


@scene
def login_20_1_errorrecoverylevel(s):
	"""Minimum."""
	t = s.target(values={'ErrorRecoveryLevel': 0})
	s.login(t, erl=0)
	s.equal(s.params(t)['ErrorRecoveryLevel'], '0', 'params file')
	refuses(s, put('ErrorRecoveryLevel', '1'), keys={'erl': 0}, iqn=TEST + 'erl1')
	refuses(s, put('ErrorRecoveryLevel', '3'), keys={'erl': 0}, iqn=TEST + 'erl3')


@scene
def login_20_2_data_order_keys(s):
	"""DataPDUInOrder and DataSequenceInOrder: OR; No to our Yes is refused."""
	t = s.target()
	s.login(t)
	for key in ('DataPDUInOrder', 'DataSequenceInOrder'):
		if t.conns[0].login.get(key) == 'Yes':
			refuses(s, put(key, 'No'), iqn=TEST + key.lower())
	s.event('data-pdu-order-refused', r'DataPDUInOrder=No')
	s.event('data-sequence-order-refused', r'DataSequenceInOrder=No')


@scene
def login_21_1_sessiontype(s):
	"""Normal (or none) for a login, Discovery for discovery, in the first request."""
	t = s.target()
	s.login(t)
	s.check(t.conns[0].login.get('SessionType', 'Normal') == 'Normal', 'SessionType')
	reply = s.ctl('discovery/ctl', 'add-portal ' + t.portal)
	s.equal(reply.errno, 0, 'errno of add-portal (%s)' % reply.text)
	first = t.conns[1].login.requests[0]
	s.check(('SessionType', 'Discovery') in first.keys(), 'no SessionType=Discovery')


@scene
def login_22_1_authmethod(s):
	"""auth=none offers None only; auth=chap and mutual offer CHAP and never None."""
	t = s.target()
	s.login(t, auth='none')
	s.check(t.conns[0].login.get('AuthMethod') in (None, 'None'), 'AuthMethod without CHAP')
	for auth in ('chap', 'mutual'):
		t = s.target(iqn=TEST + auth)
		s.refused(s.try_login(t, auth=auth, user='tom', secret='secretsecret12', secret_in='mutualsecret34'
			if auth == 'mutual' else None), errno.EACCES)
		for c in t.conns:
			offered = (c.login.get('AuthMethod') or '').split(',')
			s.equal(offered, ['CHAP'], 'AuthMethod with auth=' + auth)


@scene
def login_23_1_targetalias(s):
	"""TargetAlias is shown in targets/IQN/alias; odd bytes do no harm."""
	def alias(value):
		def edit(t, c, req, reply):
			if c.login.first is req:
				reply.put('TargetAlias', value)
		return edit

	t = answers(s, alias('Büro-Platte 7'), None)
	s.login(t)
	s.equal(s.cat('targets', t.iqn, 'alias'), 'Büro-Platte 7', 'alias')
	t = answers(s, alias(b'a\nb/..\xff\x1b[2J'), None, iqn=TEST + 'odd')
	reply = s.try_login(t)
	if not reply.errno:
		text = s.cat('targets', t.iqn, 'alias')
		s.check('\x1b' not in text and '\n' not in text, 'control characters come through: %r' % text)


@scene
def login_23_2_targetportalgrouptag(s):
	"""TPGT 0, 65535, hexadecimal, absent."""
	for n, value in enumerate(('0', '65535', '0x10', None)):
		def edit(t, c, req, reply):
			if reply.get('TargetPortalGroupTag') is not None:
				if value is None:
					reply.drop('TargetPortalGroupTag')
				else:
					reply.put('TargetPortalGroupTag', value)
		t = answers(s, edit, None, iqn=TEST + 'tpgt%d' % n)
		reply = s.try_login(t)
		s.check(value is None or not reply.errno, 'TPGT %s: %r' % (value, reply))


@scene
def login_23_3_target_offers(s):
	"""Keys that the target proposes by itself are answered within the rules (13)."""
	keys = [('MaxConnections', '8'), ('ErrorRecoveryLevel', '2'), ('DefaultTime2Wait', '1'),
		('DefaultTime2Retain', '30'), ('InitialR2T', 'No'), ('ImmediateData', 'Yes'),
		('MaxBurstLength', '131072'), ('FirstBurstLength', '131072'), ('MaxOutstandingR2T', '16'),
		('DataPDUInOrder', 'No'), ('DataSequenceInOrder', 'No'), ('TaskReporting', 'FastAbort,RFC3720')]
	t = answers(s, proposes(keys))
	s.login(t)
	lg = t.conns[0].login
	for key in lg.offers:
		s.check(key in lg.answered, '%s was not answered' % key)
	round_trip(s, t, 0, 65536)


# --------------------------------------------------------------------------- response header

@scene
def login_header_1_wrong_fields(s):
	"""Wrong ITT, ISID, version, stage in a Login Response: refused."""
	def field(**fields):
		def edit(t, c, req, reply):
			reply.fields.update(fields)
		return edit

	def backwards(t, c, req, reply):
		reply.transit, reply.nsg, reply.fields = True, 0, {'csg': 1, 'nsg': 0, 'transit': True}

	cases = {'itt': field(itt=0x7777), 'isid': field(isid=b'\x80\1\2\3\4\5'),
		'csg': field(csg=2), 'csg3': field(csg=3), 'active': field(version_min=1),
		'nsg2': field(transit=True, nsg=2), 'back': backwards,
		'ahs': lambda t, c, req, reply: reply.fields.update(ahs=bytes(8))}
	for name, edit in cases.items():
		refuses(s, edit, BROKEN + (errno.EOPNOTSUPP,), None, iqn=TEST + 'head-' + name)


@scene
def login_header_2_statsn_jumps(s):
	"""StatSN not the next one within the login: refused."""
	def edit(t, c, req, reply):
		if c.login.first is not req:
			reply.fields['statsn'] = 0x1234567
		else:
			reply.transit = False
	refuses(s, edit, stage=None)
	s.event('bad-status-number', r'StatSN \d+ expected, \d+ given')


@scene
def login_header_3_t_without_being_asked(s):
	"""T=1 in answer to T=0 is a protocol error (11.13.6); FFP from security with NSG=1 too."""
	def over(t, c, req, reply):
		if req.nsg == 1:
			reply.fields.update(transit=True, nsg=3, tsih=5)
		else:
			reply.refuse(0x0300)
	refuses(s, over, BROKEN, None)


@scene
def login_header_4_keys_with_t(s):
	"""A key that needs an answer, in a response with T=1 NSG=3: refused or ignored, no hang."""
	def edit(t, c, req, reply):
		if reply.transit:
			reply.put('X-com.example.late', '1')
	t = answers(s, edit)
	reply = s.try_login(t, timeout=20)
	if reply.errno:
		s.refused(reply, *BROKEN)
	else:
		round_trip(s, t, 0, 4096)


# ------------------------------------------------------------------------------- redirection

class Redirects(Target):
	"""Refuses each login with a redirection to `to`."""
	to = None
	status = 0x0101
	times = 1 << 30

	def on_login(self, c, req, keys, reply):
		if self.times <= 0:
			return
		self.times -= 1
		reply.refuse(self.status)
		to = self.to
		reply.keys = [('TargetAddress', a) for a in (to if isinstance(to, list) else [to]) if a is not None]


@scene
def redirect_1_temporary(s):
	"""0101: the login goes on at the new address."""
	real = s.target()
	t = s.target(Redirects, to=real.portal)
	s.login(t)
	s.check(real.ffp_conns(), 'not logged in at the new address')
	round_trip(s, real, 0, 4096)
	s.equal(len(t.conns), 1, 'connections to the old address')


@scene
def redirect_2_permanent(s):
	"""0102: likewise."""
	real = s.target()
	t = s.target(Redirects, to=real.portal, status=0x0102)
	s.login(t)
	round_trip(s, real, 0, 4096)


@scene
def redirect_3_loop(s):
	"""Two addresses that redirect to each other: an error in the end, soon."""
	a, b = s.target(Redirects), s.target(Redirects)
	a.to, b.to = b.portal, a.portal
	s.refused(s.try_login(a, timeout=30))
	count = len(a.conns) + len(b.conns)
	s.check(count <= 64, '%d logins in the loop' % count)


@scene
def redirect_4_ipv6(s):
	"""A bracketed IPv6 address."""
	try:
		real = s.target(family=socket.AF_INET6)
	except OSError:
		raise Skip('no IPv6 loopback') from None
	t = s.target(Redirects, to=real.portal)
	s.login(t)
	round_trip(s, real, 0, 4096)


@scene
def redirect_5_host_name(s):
	"""A host name with a port."""
	real = s.target()
	t = s.target(Redirects, to='localhost:%d' % real.add_portal('127.0.0.1').port)
	s.login(t)
	round_trip(s, real, 0, 4096)


@scene
def redirect_6_malformed(s):
	"""No address, or nonsense: an error, no hang."""
	for n, to in enumerate((None, '', ':', '[::1', '127.0.0.1:99999', '127.0.0.1:0', 'a' * 5000,
			'127.0.0.1:3260:3260:1', '\x01\x02', '[]:3260', '127.0.0.1:x')):
		t = s.target(Redirects, to=to, iqn=TEST + 'to%d' % n)
		s.refused(s.try_login(t, timeout=20))
	s.check(s.exists('ctl'), 'the daemon is gone')
	s.event('bad-redirect', r'TargetAddress=')


@scene
def redirect_7_refused_there(s):
	"""The new address refuses the connection: that error is told."""
	with socket.socket() as sock:
		sock.bind((loopback(), 0))		# bound, not listening
		t = s.target(Redirects, to='%s:%d' % sock.getsockname())
		s.refused(s.try_login(t, timeout=20), errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT)


@scene
def redirect_8_with_portal_group_tag(s):
	"""A tag where it does not belong (13.8) is tolerated or refused; it never hangs."""
	real = s.target()
	t = s.target(Redirects, to=real.portal + ',1')
	reply = s.try_login(t, timeout=20)
	if not reply.errno:
		round_trip(s, real, 0, 4096)


@scene
def redirect_9_discovery(s):
	"""A discovery login is redirected likewise."""
	real = s.target()
	t = s.target(Redirects, to=real.portal)
	reply = s.ctl('discovery/ctl', 'add-portal ' + t.portal)
	s.equal(reply.errno, 0, 'errno of add-portal (%s)' % reply.text)
	s.check(real.iqn in s.ls('targets'), 'the target was not found')


