# SPDX-License-Identifier: BSD-2-Clause
"""CHAP, conformance.md section 3, from RFC 7143 12.1.3, 9.2.1 and RFC 1994.

The target asks for CHAP (chap.Chap); a scene changes its security answers in on_login.
What the initiator sends (algorithms, proof, its own challenge) the target verifies."""

import errno

from chap import Chap, encode
from common import AUTH, BROKEN, round_trip
from harness import scene
from pdu import Op
from target import Target

TEST = 'iqn.2026-01.org.iscsifs.test:'
USER, SECRET = 'tom', 'secretsecret12'
PEER, PEER_SECRET = 'jerry', 'mutualsecret34'
KEYS = {'auth': 'chap', 'user': USER, 'secret': SECRET}
MUTUAL = {'auth': 'mutual', 'user': USER, 'secret': SECRET, 'secret_in': PEER_SECRET}
REFUSED = AUTH + BROKEN


def one_way(**config):
	return Chap(USER, SECRET.encode(), **config)


def two_way(**config):
	return Chap(USER, SECRET.encode(), PEER, PEER_SECRET.encode(), **config)


class Edits(Target):
	"""Calls edit(t, c, req, reply, step) on security answers; step: method, challenge,
	proof (the answer to CHAP_R)."""
	edit = None

	def on_login(self, c, req, keys, reply):
		got = dict(keys)
		step = 'proof' if 'CHAP_R' in got else 'challenge' if 'CHAP_A' in got else 'method' \
			if 'AuthMethod' in got else None
		if step:
			return self.edit(self, c, req, reply, step)


def edited(s, edit, mutual=False, **config):
	config.setdefault('chap', two_way() if mutual else one_way())
	return s.target(type('Edits', (Edits,), {'edit': staticmethod(edit)}), **config)


def refuses(s, edit, mutual=False, keys=None, no_proof=False, **config):
	"""The login fails, the connection closes; no_proof: CHAP_R must not be sent at all."""
	t = edited(s, edit, mutual, **config)
	s.refused(s.try_login(t, timeout=20, **dict(MUTUAL if mutual else KEYS, **(keys or {}))), *REFUSED)
	t.wait(lambda: t.conns and all(c.eof for c in t.conns), 'the initiator to close')
	s.check(not t.received(Op.SCSI_CMD), 'SCSI commands after a login that had to fail')
	if no_proof:
		s.check(not proofs(t), 'CHAP_R was sent')
	return t


def proofs(t):
	return [v for c in t.conns for k, v in c.login.keys if k == 'CHAP_R']


def accepted(s, edit, mutual=False, keys=None, **config):
	t = edited(s, edit, mutual, **config)
	s.login(t, **dict(MUTUAL if mutual else KEYS, **(keys or {})))
	round_trip(s, t, 0, 4096)
	return t


def replace(key, value, when='challenge'):
	def edit(t, c, req, reply, step):
		if step == when:
			if value is None:
				reply.drop(key)
			else:
				reply.put(key, value)
	return edit


def leave(t, c, req, reply, step):
	"""No change."""


@scene
def chap_1_1_a_valid(s):
	"""CHAP_A lists SHA3-256, SHA-256, SHA-1, MD5 in this order; each works."""
	for a in (5, 6, 7, 8):
		t = accepted(s, leave, chap=one_way(algorithms=(a,)), iqn=TEST + 'alg%d' % a)
		s.equal(t.conns[0].login.get('CHAP_A'), '8,7,6,5', 'CHAP_A')
		s.equal(t.conns[0].login.chap.algorithm, a, 'algorithm')


@scene
def chap_1_2_1_a_invalid_numeric(s):
	"""An algorithm that was not offered: abort."""
	for n, value in enumerate(('99', '4', '0', '-5', '4294967301', '261')):
		refuses(s, replace('CHAP_A', value), no_proof=True, iqn=TEST + 'num%d' % n)
	s.event('unknown-chap-algorithm', r'CHAP_A=')


@scene
def chap_1_2_2_a_not_numeric(s):
	"""CHAP_A that is no number: abort."""
	for n, value in enumerate(('abc', '', '5,6', '5 ', 'Reject', None)):
		refuses(s, replace('CHAP_A', value), no_proof=True, iqn=TEST + 'nan%d' % n)


@scene
def chap_1_3_a_out_of_order(s):
	"""CHAP_A with the AuthMethod answer, or again at the end: abort."""
	refuses(s, replace('CHAP_A', '5', 'method'), iqn=TEST + 'early')
	refuses(s, replace('CHAP_A', '5', 'proof'), iqn=TEST + 'late')


def fixed_ident(value):
	"""CHAP_I=value, and the target checks the proof with it."""
	def edit(t, c, req, reply, step):
		if step == 'challenge':
			c.login.chap.ident = value
			reply.put('CHAP_I', str(value))
	return edit


@scene
def chap_2_1_i_valid(s):
	"""CHAP_I 0 and 255."""
	for value in (0, 255):
		accepted(s, fixed_ident(value), iqn=TEST + 'i%d' % value)


@scene
def chap_2_2_i_invalid(s):
	"""CHAP_I outside of 0..255 or no number: abort."""
	for n, value in enumerate(('256', '-1', 'x', '', '4294967296', '1,2', None)):
		refuses(s, replace('CHAP_I', value), no_proof=True, iqn=TEST + 'i%d' % n)


@scene
def chap_2_3_i_out_of_order(s):
	"""CHAP_I with the AuthMethod answer, or at the end of a one-way exchange: abort."""
	refuses(s, replace('CHAP_I', '5', 'method'), iqn=TEST + 'early')
	refuses(s, replace('CHAP_I', '5', 'proof'), iqn=TEST + 'late')


@scene
def chap_2_4_i_same(s):
	"""The same CHAP_I in several logins is no fault."""
	for n in range(3):
		accepted(s, fixed_ident(77), iqn=TEST + 'same%d' % n)


@scene
def chap_2_5_i_reflected(s):
	"""Our own CHAP_I comes back as a key of the last answer: abort."""
	def edit(t, c, req, reply, step):
		if step == 'proof':
			reply.keys.append(('CHAP_I', dict(c.login.keys)['CHAP_I']))
	refuses(s, edit, mutual=True)


@scene
def chap_2_6_i_different(s):
	"""Different CHAP_I in several mutual logins."""
	for n in (1, 2, 200):
		accepted(s, fixed_ident(n), mutual=True, iqn=TEST + 'diff%d' % n)


def fixed_challenge(value, how='hex'):
	def edit(t, c, req, reply, step):
		if step == 'challenge':
			c.login.chap.challenge = value
			reply.put('CHAP_C', encode(value, how))
	return edit


@scene
def chap_3_1_c_big(s):
	"""A challenge of 1024 bytes, hex and base64."""
	for n, how in enumerate(('hex', 'HEX', 'base64')):
		accepted(s, fixed_challenge(bytes(range(256)) * 4, how), iqn=TEST + 'big%d' % n)


@scene
def chap_3_2_c_small(s):
	"""A challenge of one byte is accepted."""
	accepted(s, fixed_challenge(b'\x7f'))


@scene
def chap_3_3_c_too_big(s):
	"""1025 bytes and more: abort."""
	for size in (1025, 2000):
		refuses(s, fixed_challenge(b'z' * size), no_proof=True, iqn=TEST + 'c%d' % size)
	refuses(s, fixed_challenge(b'z' * 1026, 'base64'), no_proof=True, iqn=TEST + 'c64')
	s.event('chap-challenge-too-long')


@scene
def chap_3_4_c_too_small(s):
	"""An empty challenge, none, or one that is no binary value: abort."""
	for n, value in enumerate(('0x', '0b', '', None, '0xzz', '12345', '0b!!!!', '0b=', '0x12 34', 'x12')):
		refuses(s, replace('CHAP_C', value), no_proof=True, iqn=TEST + 'c%d' % n)
	s.event('bad-chap-challenge')


@scene
def chap_3_5_c_out_of_order(s):
	"""CHAP_C with the AuthMethod answer, or at the end: abort."""
	refuses(s, replace('CHAP_C', '0x' + '12' * 16, 'method'), iqn=TEST + 'early')
	refuses(s, replace('CHAP_C', '0x' + '12' * 16, 'proof'), iqn=TEST + 'late')


@scene
def chap_3_6_1_c_never_twice_serial(s):
	"""Our challenges all differ, in logins one after the other."""
	both = two_way()
	for n in range(4):
		accepted(s, leave, True, chap=both, iqn=TEST + 'n%d' % n)
	s.equal(len(both.challenges), 4, 'different challenges')


@scene
def chap_3_6_2_c_never_twice_parallel(s):
	"""Likewise in logins at the same time."""
	both = two_way()
	targets = [edited(s, leave, True, chap=both, iqn=TEST + 'p%d' % n) for n in range(4)]
	for job in [s.login_job(t, **MUTUAL) for t in targets]:
		reply = job.result()
		s.equal(reply.errno, 0, 'errno (%s)' % reply.text)
	s.equal(len(both.challenges), 4, 'different challenges')


@scene
def chap_3_6_3_c_repeated_by_target_serial(s):
	"""A target that repeats its challenge is noticed: login refused, or a warning."""
	repeated(s, fixed_challenge(b'one challenge 16'))


def repeated(s, edit):
	"""Two logins to one target, one after the other."""
	t = edited(s, edit)
	s.login(t, **KEYS)
	s.logout(t)
	reply = s.try_login(t, timeout=20, **KEYS)
	if not reply.errno:
		said = '\n'.join(s.daemon.stderr_lines()).lower()
		s.check('challenge' in said, 'login accepted, and not a word about the repeated challenge')


@scene
def chap_3_6_4_c_repeated_by_target_base64(s):
	"""The same when the second time it comes in the other encoding."""
	count = iter(('hex', 'base64'))

	def edit(t, c, req, reply, step):
		if step == 'challenge':
			fixed_challenge(b'one challenge 16', next(count))(t, c, req, reply, step)
	repeated(s, edit)


@scene
def chap_3_7_c_reflect(s):
	"""A target sends the challenge that we just sent on another connection: no answer."""
	both = two_way()

	def stall(t, c, req, reply, step):
		return False if step == 'proof' else None

	def reflect(t, c, req, reply, step):
		if step == 'challenge':
			c.login.chap.challenge = next(iter(both.challenges))
			reply.put('CHAP_C', encode(c.login.chap.challenge, 'base64'))

	keys = ' '.join('%s=%s' % kv for kv in MUTUAL.items())
	for n, discovery in enumerate((True, False)):
		both.challenges.clear()
		first = edited(s, stall, True, chap=both, iqn=TEST + 'rogue%d' % n)
		second = edited(s, reflect, True, chap=two_way(), iqn=TEST + ('rogue%d' if discovery else 'other%d') % n)
		if discovery:		# the same target name, over two connections
			job = s.ctl_job('discovery/ctl', 'add-portal %s login_timeout=8 timeout=10 %s' % (first.portal, keys))
		else:
			job = s.login_job(first, login_timeout=8, timeout=10, **MUTUAL)
		first.wait(lambda: both.challenges, 'our challenge on the first connection')
		reply = s.try_login(second, timeout=20, **MUTUAL)
		s.check(not proofs(second), 'a reflected challenge was answered: CHAP_R was sent')
		s.refused(reply, *REFUSED)
		first.conns[0].close()
		s.check(job.result().errno, 'the stalled login succeeded')


@scene
def chap_3_8_c_reflected(s):
	"""Our challenge is never the one that the target sent (checker)."""
	for n in range(3):
		accepted(s, fixed_challenge(bytes(16)), True, iqn=TEST + 'own%d' % n)


def named(name):
	return Chap(USER, SECRET.encode(), name, PEER_SECRET.encode())


@scene
def chap_4_1_n_valid(s):
	"""The name that was configured."""
	accepted(s, leave, True, {'user_in': PEER})


@scene
def chap_4_2_n_big(s):
	"""A name of 223 bytes, ours and theirs; 255 of theirs."""
	long = 'n' * 223
	accepted(s, leave, chap=Chap(long, SECRET.encode()), keys={'user': long}, iqn=TEST + 'ours')
	accepted(s, leave, True, chap=named('m' * 223), iqn=TEST + 'theirs')
	accepted(s, leave, True, chap=named('m' * 255), iqn=TEST + 'theirs255')


@scene
def chap_4_3_n_small(s):
	"""A name of one byte."""
	accepted(s, leave, True, chap=named('x'))
	accepted(s, leave, chap=Chap('y', SECRET.encode()), keys={'user': 'y'}, iqn=TEST + 'ours')


@scene
def chap_4_4_n_too_big(s):
	"""A name over 255 bytes: abort.  Ours over 223: EINVAL."""
	refuses(s, leave, True, chap=named('m' * 256))
	refuses(s, leave, True, chap=named('m' * 5000), iqn=TEST + 'n5000')
	t = s.target(chap=one_way(), iqn=TEST + 'ours')
	s.refused(s.try_login(t, **dict(KEYS, user='n' * 224)), errno.EINVAL)


@scene
def chap_4_5_n_out_of_order(s):
	"""CHAP_N with the challenge: abort."""
	refuses(s, replace('CHAP_N', PEER), no_proof=True)
	refuses(s, replace('CHAP_N', PEER, 'method'), True, no_proof=True, iqn=TEST + 'method')
	s.event('bad-chap-key', r'CHAP_N=')


@scene
def chap_4_6_n_reflected(s):
	"""The target gives our own name as its own: abort when a name is configured."""
	refuses(s, leave, True, chap=named(USER), keys={'user_in': PEER})


@scene
def chap_4_7_n_same(s):
	"""The same name in several logins."""
	for n in range(2):
		accepted(s, leave, True, {'user_in': PEER}, iqn=TEST + 'same%d' % n)


@scene
def chap_4_8_n_different(s):
	"""A name other than the configured one: abort."""
	for n, name in enumerate(('jerri', 'jerryy', 'jerr', 'JERRY', '')):
		refuses(s, leave, True, chap=named(name), keys={'user_in': PEER}, iqn=TEST + 'other%d' % n)


@scene
def chap_5_1_r_invalid(s):
	"""A wrong proof of the target: abort, EACCES."""
	wrong = Chap(USER, SECRET.encode(), PEER, b'not-the-secret')
	t = edited(s, leave, True, chap=wrong)
	s.refused(s.try_login(t, timeout=20, **MUTUAL), errno.EACCES)
	t.wait(lambda: t.conns[0].eof, 'the initiator to close')
	s.check(not t.received(Op.SCSI_CMD), 'went on')
	s.event('wrong-chap-response')


def spoil_proof(fn):
	def edit(t, c, req, reply, step):
		if step == 'proof' and reply.get('CHAP_R'):
			value = fn(reply.get('CHAP_R'))
			reply.put('CHAP_R', value) if value is not None else reply.drop('CHAP_R')
	return edit


@scene
def chap_5_2_r_too_big(s):
	"""The right proof with more behind it: abort."""
	for n, fn in enumerate((lambda r: r + '00', lambda r: r + 'ab' * 1009, lambda r: r + 'ab' * 3000)):
		refuses(s, spoil_proof(fn), True, iqn=TEST + 'big%d' % n)


@scene
def chap_5_3_r_too_small(s):
	"""A part of the right proof, or none: abort."""
	for n, fn in enumerate((lambda r: r[:-2], lambda r: '0x', lambda r: r[:4], lambda r: '', lambda r: None)):
		refuses(s, spoil_proof(fn), True, iqn=TEST + 'small%d' % n)


@scene
def chap_5_4_r_malformed(s):
	"""The proof in no encoding: abort."""
	for n, fn in enumerate((lambda r: r[2:], lambda r: r + 'g', lambda r: '0b####', lambda r: '0q' + r[2:])):
		refuses(s, spoil_proof(fn), True, iqn=TEST + 'mal%d' % n)


@scene
def chap_5_5_target_skips_its_proof(s):
	"""Mutual: T=1 without CHAP_N and CHAP_R is no authentication: abort."""
	def nothing(t, c, req, reply, step):
		if step == 'proof':
			reply.drop('CHAP_N', 'CHAP_R')
	refuses(s, nothing, True)
	refuses(s, replace('CHAP_N', None, 'proof'), True, iqn=TEST + 'noname')


@scene
def chap_5_6_same_secret_both_ways(s):
	"""One secret for both directions is refused (9.2.1)."""
	t = edited(s, leave, True, chap=Chap(USER, SECRET.encode(), PEER, SECRET.encode()))
	s.refused(s.try_login(t, timeout=20, **dict(MUTUAL, secret_in=SECRET)), errno.EACCES, errno.EINVAL)


# ------------------------------------------------------------------------- encodings, policy

@scene
def chap_encoding_1_hex_and_base64(s):
	"""0x, 0X, 0b, 0B values of the target, in both directions of mutual CHAP."""
	def capital(t, c, req, reply, step):
		for key in ('CHAP_C', 'CHAP_R'):
			value = reply.get(key)
			if value and value[:2] == '0b':
				reply.put(key, '0B' + value[2:])
	for n, (how, edit) in enumerate((('hex', leave), ('HEX', leave), ('base64', leave), ('base64', capital))):
		accepted(s, edit, True, chap=two_way(encoding=how), iqn=TEST + 'enc%d' % n)


@scene
def chap_encoding_2_odd_length_hex(s):
	"""An odd number of hex digits: (n + 1) / 2 bytes (6.1)."""
	def edit(t, c, req, reply, step):
		if step == 'challenge':
			c.login.chap.challenge = bytes.fromhex('0abc' + '11' * 15)
			reply.put('CHAP_C', '0xABC' + '11' * 15)
	accepted(s, edit)


@scene
def chap_encoding_3_mixed_case(s):
	"""Upper and lower case digits mixed."""
	def edit(t, c, req, reply, step):
		if step == 'challenge':
			c.login.chap.challenge = bytes.fromhex('abcdef' * 6)
			reply.put('CHAP_C', '0X' + 'aBcDeF' * 6)
	accepted(s, edit)


@scene
def chap_encoding_4_names_like_hex(s):
	"""Names that look like hex or base64 are text."""
	for n, name in enumerate(('0xABCDEF', '0bQUJD', '12345', 'a=b', 'tom jones')):
		accepted(s, leave, True, keys={'user': name, 'user_in': '0x1234'}, iqn=TEST + 'name%d' % n,
			chap=Chap(name, SECRET.encode(), '0x1234', PEER_SECRET.encode()))


@scene
def chap_secret_1_hex(s):
	"""A secret with 0x is bytes; one that only looks so is told, not guessed."""
	raw = bytes(range(16))
	accepted(s, leave, chap=Chap(USER, raw), keys={'secret': '0x' + raw.hex()})


@scene
def chap_secret_2_too_short(s):
	"""A secret under 12 bytes is EINVAL, nothing is sent."""
	t = s.target(chap=Chap(USER, b'short'))
	s.refused(s.try_login(t, **dict(KEYS, secret='short')), errno.EINVAL)
	s.refused(s.try_login(t, **dict(KEYS, secret='0x0102030405060708090a0b')), errno.EINVAL)
	s.check(not t.received(), 'something was sent')


@scene
def chap_secret_3_missing(s):
	"""auth=chap without a secret never becomes None; nor mutual without secret_in."""
	t = s.target()
	s.refused(s.try_login(t, auth='chap', user=USER))
	s.refused(s.try_login(t, auth='mutual', user=USER, secret=SECRET))
	s.check(not t.received(Op.SCSI_CMD), 'logged in without authentication')


@scene
def chap_secret_4_wrong(s):
	"""A wrong secret or name: EACCES, and neither secret nor proof in `error`."""
	t = s.target(chap=one_way())
	reply = s.refused(s.try_login(t, **dict(KEYS, secret='wrong-wrong-wrong')), errno.EACCES)
	s.equal(reply.fields.get('code'), 'ISDSC_AUTHENTICATION_FAILURE', 'code')
	s.refused(s.try_login(t, **dict(KEYS, user='tim')), errno.EACCES)
	told = reply.text + s.cat('error') + '\n'.join(s.daemon.stderr_lines())
	s.check('wrong-wrong' not in told and SECRET not in told, 'a secret is in the messages')


@scene
def chap_policy_1_target_wants_none(s):
	"""CHAP was asked, the target answers AuthMethod=None: EACCES, never a silent fall."""
	def none(t, c, req, reply, step):
		reply.put('AuthMethod', 'None')
		reply.transit, reply.nsg = req.transit, 1 if req.transit else 0
	for name, keys in (('chap', KEYS), ('mutual', MUTUAL)):
		t = edited(s, none, iqn=TEST + name)
		s.refused(s.try_login(t, timeout=20, **keys), errno.EACCES)
		t.wait(lambda: t.conns[0].eof, 'the initiator to close')
		s.check(not t.received(Op.SCSI_CMD), 'logged in without authentication')
	s.event('chap-not-offered', r'AuthMethod=None')


@scene
def chap_policy_2_target_skips_chap(s):
	"""T=1 at the method or the challenge step, or straight to full feature phase: abort."""
	def jump(when, nsg, keep=()):
		def edit(t, c, req, reply, step):
			if step == when:
				reply.keys = [kv for kv in reply.keys if kv[0] in keep]
				reply.fields.update(transit=True, nsg=nsg, **({'tsih': 9} if nsg == 3 else {}))
		return edit
	n = 0
	for when in ('method', 'challenge'):
		for nsg in (1, 3):
			for keep in ((), ('AuthMethod',)):
				n += 1
				refuses(s, jump(when, nsg, keep), iqn=TEST + 'skip%d' % n)


@scene
def chap_policy_3_target_reject(s):
	"""AuthMethod=Reject, or a refusal 0201: EACCES."""
	def reject(t, c, req, reply, step):
		reply.put('AuthMethod', 'Reject')
	t = edited(s, reject)
	s.refused(s.try_login(t, timeout=20, **KEYS), errno.EACCES, errno.EPROTO)
	t = s.target(chap=one_way(), iqn=TEST + 'none')
	s.refused(s.try_login(t), errno.EACCES)


@scene
def chap_policy_4_method_proposed_by_target(s):
	"""Digests on, long answers by C bits, delayed T: CHAP works all the same."""
	t = s.target(chap=two_way(), login_chunk=40)
	s.login(t, header_digest='yes', data_digest='yes', **MUTUAL)
	round_trip(s, t, 0, 8192)


@scene
def chap_policy_5_discovery(s):
	"""add-portal takes the same keys."""
	t = s.target(chap=one_way())
	s.refused(s.ctl('discovery/ctl', 'add-portal ' + t.portal), errno.EACCES)
	reply = s.ctl('discovery/ctl', 'add-portal %s auth=chap user=%s secret=%s' % (t.portal, USER, SECRET))
	s.equal(reply.errno, 0, 'errno of add-portal (%s)' % reply.text)
	s.check(t.iqn in s.ls('targets'), 'the target was not found')


@scene
def chap_policy_6_user_defaults_to_node_name(s):
	"""Without user= the name is the initiator's."""
	both = one_way()
	t = s.target(chap=both)
	both.user = s.cat('initiator', 'name')
	s.login(t, auth='chap', secret=SECRET)
	round_trip(s, t, 0, 4096)


@scene
def chap_policy_7_secrets_not_in_tree(s):
	"""No file of the session shows the secrets."""
	t = accepted(s, leave, True)
	told = ''.join(s.cat(*path) for path in (('status.json',), ('targets', t.iqn, 'status.json'),
		(s.session(t), 'status.json'), (s.session(t), 'params')) if s.exists(*path))
	for secret in (SECRET, PEER_SECRET, SECRET.encode().hex(), PEER_SECRET.encode().hex()):
		s.check(secret not in told, 'a secret can be read')


