# SPDX-License-Identifier: BSD-2-Clause
"""CHAP as the authenticator (the target) sees it: RFC 7143 12.1.3 and 9.2.1, RFC 1994.

Chap is the configuration, one for a target; ChapState is one exchange on a connection."""

import base64
import hashlib
import os

ALGORITHMS = {5: 'md5', 6: 'sha1', 7: 'sha256', 8: 'sha3_256'}


class BadValue(ValueError):
	pass


def encode(value, how='hex'):
	"""A binary-value (6.1)."""
	if how == 'base64':
		return '0b' + base64.b64encode(value).decode()
	return ('0X' if how == 'HEX' else '0x') + value.hex()


def decode(text):
	"""The bytes of a binary-value; a hex-constant of n digits has (n + 1) / 2 bytes."""
	try:
		if text[:2] in ('0x', '0X') and len(text) > 2:
			digits = text[2:]
			return bytes.fromhex(digits if len(digits) % 2 == 0 else '0' + digits)
		if text[:2] in ('0b', '0B') and len(text) > 2:
			return base64.b64decode(text[2:], validate=True)
	except ValueError as e:
		raise BadValue(str(e)) from None
	raise BadValue('not a binary value: %r' % text[:40])


def response(algorithm, ident, secret, challenge):
	"""The hash of identifier, secret and challenge (RFC 1994 4.1)."""
	return hashlib.new(ALGORITHMS[algorithm], bytes((ident,)) + secret + challenge).digest()


class Chap:
	"""What the target wants of the initiator and, for mutual CHAP, what it proves.

	encoding: hex, HEX (capital X) or base64, of the values that the target sends;
	algorithms: those the target supports, it takes the first of the initiator's list."""

	def __init__(self, user='tom', secret=b'secretsecret12', target_user=None, target_secret=None,
			algorithms=(5, 6, 7, 8), encoding='hex', challenge_size=16):
		self.user, self.secret = user, secret
		self.target_user, self.target_secret = target_user, target_secret
		self.algorithms, self.encoding = algorithms, encoding
		self.challenge_size = challenge_size
		self.challenges = set()		# all that initiators sent us
		self.sent = set()		# all that we sent


class ChapState:
	"""start -> asked (challenge sent) -> done."""

	def __init__(self):
		self.state = 'start'
		self.algorithm = self.ident = self.challenge = None
		self.their_ident = self.their_challenge = None
		self.mutual = False

	def challenge_keys(self, chap, offer, complain):
		"""Answer CHAP_A=offer; None when the login has to be refused."""
		try:
			wanted = [int(n) for n in offer.split(',')]
		except ValueError:
			complain('chap', 'CHAP_A=%s is not a list of numbers' % offer)
			return None
		if 5 not in wanted:
			complain('chap', 'MD5 must always be offered: CHAP_A=%s (12.1.3)' % offer)
		if len(set(wanted)) != len(wanted):
			complain('chap', 'CHAP_A=%s repeats itself' % offer)
		self.algorithm = next((a for a in wanted if a in chap.algorithms), None)
		if self.algorithm is None:
			return None
		self.ident = os.urandom(1)[0]
		self.challenge = os.urandom(chap.challenge_size)
		chap.sent.add(self.challenge)
		self.state = 'asked'
		return [('CHAP_A', str(self.algorithm)), ('CHAP_I', str(self.ident)),
			('CHAP_C', encode(self.challenge, chap.encoding))]

	def verify(self, chap, keys, complain):
		"""Check CHAP_N and CHAP_R; the keys of the answer, None to refuse the login."""
		got = dict(keys)
		if 'CHAP_N' not in got or 'CHAP_R' not in got:
			complain('chap', 'CHAP_N and CHAP_R expected together (12.1.3)')
			return None
		if ('CHAP_I' in got) != ('CHAP_C' in got):
			complain('chap', 'CHAP_I and CHAP_C belong together (12.1.3)')
			return None
		try:
			proof = decode(got['CHAP_R'])
		except BadValue as e:
			complain('chap', 'CHAP_R: %s' % e)
			return None
		good = response(self.algorithm, self.ident, chap.secret, self.challenge)
		if len(proof) != len(good):
			complain('chap', 'CHAP_R of %d bytes for algorithm %d' % (len(proof), self.algorithm))
		if got['CHAP_N'] != chap.user or proof != good:
			return None
		self.state = 'done'
		if 'CHAP_I' not in got:
			return []
		self.mutual = True
		return self.prove(chap, got, complain)

	def prove(self, chap, got, complain):
		try:
			self.their_ident = int(got['CHAP_I'])
			self.their_challenge = decode(got['CHAP_C'])
		except ValueError as e:
			complain('chap', 'CHAP_I or CHAP_C: %s' % e)
			return None
		if not 0 <= self.their_ident <= 255:
			complain('chap', 'CHAP_I=%d' % self.their_ident)
			return None
		if not 1 <= len(self.their_challenge) <= 1024:
			complain('chap', 'CHAP_C of %d bytes (12.1.3)' % len(self.their_challenge))
		elif len(self.their_challenge) < 16:
			complain('chap', 'CHAP_C of %d bytes only' % len(self.their_challenge))
		if self.their_challenge in chap.sent:
			complain('chap-reflect', 'our own challenge comes back (9.2.1)')
		if self.their_challenge in chap.challenges:
			complain('chap-repeat', 'the same challenge twice (9.2.1)')
		chap.challenges.add(self.their_challenge)
		if chap.target_secret is None:
			return None
		mine = response(self.algorithm, self.their_ident, chap.target_secret, self.their_challenge)
		return [('CHAP_N', chap.target_user or ''), ('CHAP_R', encode(mine, chap.encoding))]
