# SPDX-License-Identifier: BSD-2-Clause
"""The login phase of the scripted target: RFC 7143 sections 6, 11.12, 11.13, 12 and 13.

LoginMixin is a part of target.Target.  login_pdu() takes each Login Request, makes the
right answer as a Reply, lets the scene change it in on_login(), and sends it."""

from chap import ChapState
from pdu import Op, Pdu, make_keys, parse_keys

SECURITY, OPERATIONAL, FFP = 0, 1, 3

NUM_MAX = 0xFFFFFF

# Operational keys that are negotiated: name -> (kind, default, low, high) (13).
NEGOTIATED = {
	'HeaderDigest': ('list', 'None', None, None),
	'DataDigest': ('list', 'None', None, None),
	'MaxConnections': ('min', 1, 1, 65535),
	'InitialR2T': ('or', 'Yes', None, None),
	'ImmediateData': ('and', 'Yes', None, None),
	'MaxBurstLength': ('min', 262144, 512, NUM_MAX),
	'FirstBurstLength': ('min', 65536, 512, NUM_MAX),
	'DefaultTime2Wait': ('max', 2, 0, 3600),
	'DefaultTime2Retain': ('min', 20, 0, 3600),
	'MaxOutstandingR2T': ('min', 1, 1, 65535),
	'DataPDUInOrder': ('or', 'Yes', None, None),
	'DataSequenceInOrder': ('or', 'Yes', None, None),
	'ErrorRecoveryLevel': ('min', 0, 0, 2),
	'TaskReporting': ('list', 'RFC3720', None, None),
	'iSCSIProtocolLevel': ('min', 1, 0, 31),
}
# What is irrelevant in a discovery session (13).
NOT_IN_DISCOVERY = ('MaxConnections', 'InitialR2T', 'ImmediateData', 'MaxBurstLength',
	'FirstBurstLength', 'MaxOutstandingR2T', 'DataPDUInOrder', 'DataSequenceInOrder', 'TaskReporting')
OBSOLETE = ('IFMarker', 'OFMarker', 'IFMarkInt', 'OFMarkInt')		# 13.25
ANY_STAGE = ('SessionType', 'InitiatorName', 'TargetName', 'InitiatorAlias', 'X#NodeArchitecture')
CHAP_KEYS = ('CHAP_A', 'CHAP_I', 'CHAP_C', 'CHAP_N', 'CHAP_R')
LIST_VALUES = {'HeaderDigest': ('None', 'CRC32C'), 'DataDigest': ('None', 'CRC32C'),
	'TaskReporting': ('RFC3720', 'ResponseFence', 'FastAbort')}
CONSTANTS = ('Reject', 'Irrelevant', 'NotUnderstood')


def number(text):
	"""A numerical-value (6.1); ValueError for anything else."""
	if text[:2] in ('0x', '0X'):
		return int(text[2:], 16)
	if not text.isdigit() or (len(text) > 1 and text[0] == '0'):
		raise ValueError('not a number: ' + text)
	return int(text)


def default_params():
	return {k: v[1] for k, v in NEGOTIATED.items()}


class Login:
	"""The login of one connection."""

	def __init__(self):
		self.first = None		# the first Login Request
		self.stage = SECURITY
		self.text = b''			# what came with C bits
		self.out = b''			# rest of an answer longer than a PDU
		self.final_out = None		# the Reply that out belongs to
		self.sent_cont = False
		self.keys = []			# all (key, value) of the initiator, in order
		self.names = set()
		self.declared = False		# our MaxRecvDataSegmentLength is out
		self.offers = {}		# keys that we proposed, no answer yet
		self.answered = {}		# answers to them
		self.auth = None
		self.chap = ChapState()
		self.requests = []

	def get(self, key, default=None):
		return next((v for k, v in self.keys if k == key), default)


class Reply:
	"""An answer on its way: scenes change what they like."""

	def __init__(self, req):
		self.keys = []			# (key, value)
		self.transit = False
		self.nsg = 0
		self.csg = req.csg
		self.status = 0			# class << 8 | detail
		self.fields = {}		# header fields to overwrite
		self.raw_text = None		# bytes instead of the keys
		self.cont = False		# send with the C bit (scene)
		self.silent = False		# send nothing
		self.close = False		# close after it

	def get(self, key):
		return next((v for k, v in self.keys if k == key), None)

	def put(self, key, value):
		"""Replace the value of key, or add it."""
		for i, (k, _) in enumerate(self.keys):
			if k == key:
				self.keys[i] = (key, value)
				return
		self.keys.append((key, value))

	def drop(self, *names):
		self.keys = [(k, v) for k, v in self.keys if k not in names]

	def refuse(self, status):
		self.status, self.keys, self.transit = status, [], False


class LoginMixin:

	# ------------------------------------------------------------------ one request

	def login_pdu(self, c, req):
		lg = c.login
		self.check.login(c, req)
		if req.opcode != Op.LOGIN_REQ:
			c.close()
			return
		lg.requests.append(req)
		if lg.first is None:
			lg.first, lg.stage = req, req.csg
			self.login_start(c, req)
		if lg.out and not req.dsl:		# go on with a long answer
			self.login_send(c, req, lg.final_out)
			return
		lg.sent_cont = False
		lg.text += req.data
		if len(lg.text) > 65536 or req.cont:
			reply = Reply(req)
			if len(lg.text) > 65536:
				reply.refuse(0x0200)
			self.login_send(c, req, reply)
			return
		text, lg.text = lg.text, b''
		reply = Reply(req)
		try:
			keys = parse_keys(text)
		except ValueError as e:
			self.violation(c, req, 'text', 'login text: %s (6.1)' % e)
			keys = []
			reply.refuse(0x0200)
		if not reply.status:
			self.login_keys(c, req, keys, reply)
		if self.on_login(c, req, keys, reply) is False:
			reply.silent = True
		self.login_send(c, req, reply)

	def login_start(self, c, req):
		"""The session that this login makes or joins (6.3.1)."""
		if req.tsih:
			c.session = self.find_session(req.isid, req.tsih)
		if c.session is None:
			c.session = self.new_session(req)
			c.session.missing = bool(req.tsih)

	def login_keys(self, c, req, keys, reply):
		lg, first = c.login, req is c.login.first
		for key, _ in keys:
			if key in lg.names and key not in CHAP_KEYS:
				self.violation(c, req, 'key-twice', '%s sent twice (6.3)' % key)
				reply.refuse(0x0200)
				return
			lg.names.add(key)
		lg.keys += keys
		if first:
			self.login_names(c, req, reply)
		if reply.status:
			return
		if c.session.missing:
			reply.refuse(0x020A)
			return
		if first and req.tsih:
			self.may_join(c, req, reply)
			if reply.status:
				return
		if first and not c.session.discovery or first and lg.get('TargetName'):
			reply.keys.append(('TargetPortalGroupTag', str(self.tpgt)))
		ready = self.security(c, req, keys, reply) if req.csg == SECURITY \
			else self.operational(c, req, keys, reply)
		if reply.status:
			return
		if ready and req.transit:
			reply.transit, reply.nsg = True, req.nsg

	def login_names(self, c, req, reply):
		lg, s = c.login, c.session
		kind = lg.get('SessionType', 'Normal')
		if kind not in ('Normal', 'Discovery'):
			self.violation(c, req, 'key-value', 'SessionType=' + kind)
		s.discovery = kind == 'Discovery'
		name = lg.get('InitiatorName')
		if name is None:
			self.violation(c, req, 'names', 'no InitiatorName in the first request (6.3)')
			reply.refuse(0x0207)
			return
		if not s.initiator:
			s.initiator = name
		if not s.discovery:
			wanted = lg.get('TargetName')
			if wanted is None:
				self.violation(c, req, 'names', 'no TargetName in the first request (6.3)')
				reply.refuse(0x0207)
			elif wanted != self.iqn:
				reply.refuse(0x0203)

	# ----------------------------------------------------------------------- security

	def security(self, c, req, keys, reply):
		"""True when the target has nothing more to ask in this stage."""
		lg, chap = c.login, self.chap
		complain = lambda rule, text: self.violation(c, req, rule, text)
		for key, value in keys:
			if key in ANY_STAGE or key in CHAP_KEYS:
				continue
			if key != 'AuthMethod':
				complain('key-stage', '%s in the security stage (12)' % key)
				if key not in NEGOTIATED:
					reply.keys.append((key, 'NotUnderstood'))
				continue
			methods = value.split(',')
			mine = ['CHAP'] if chap else ['None']
			lg.auth = next((m for m in methods if m in mine), None)
			if lg.auth is None:
				reply.refuse(0x0201)
				return False
			reply.keys.append(('AuthMethod', lg.auth))
		got = dict(keys)
		if not chap:
			if any(k in got for k in CHAP_KEYS):
				complain('chap', 'CHAP keys where CHAP was not chosen')
			return True
		if lg.auth != 'CHAP':
			if req.transit:
				reply.refuse(0x0201)
			return False
		return self.chap_step(c, req, keys, reply, complain)

	def chap_step(self, c, req, keys, reply, complain):
		st, got = c.login.chap, dict(keys)
		if st.state == 'done':
			return True
		if 'AuthMethod' in got:
			if any(k in got for k in CHAP_KEYS):
				complain('chap', 'CHAP keys before CHAP was chosen (12.1)')
			return False
		if st.state == 'start':
			if 'CHAP_A' not in got or len(got) > 1:
				complain('chap', 'CHAP_A alone expected, got %s (12.1.3)' % list(got))
			answer = st.challenge_keys(self.chap, got.get('CHAP_A', ''), complain)
		else:
			if 'CHAP_A' in got:
				complain('chap', 'CHAP_A again')
			answer = st.verify(self.chap, keys, complain)
		if answer is None:
			reply.refuse(0x0201)
			return False
		reply.keys += answer
		return st.state == 'done'

	# -------------------------------------------------------------------- operational

	def operational(self, c, req, keys, reply):
		lg, s = c.login, c.session
		if self.chap and lg.chap.state != 'done':
			reply.refuse(0x0201)		# security may not be skipped (6.3.1)
			return False
		for key, value in keys:
			if key in ANY_STAGE:
				continue
			if key == 'AuthMethod' or key in CHAP_KEYS:
				self.violation(c, req, 'key-stage', '%s in the operational stage (12)' % key)
			elif key == 'MaxRecvDataSegmentLength':
				self.declared_length(c, req, value)
			elif key in lg.offers:
				self.offer_answered(c, req, key, value)
			elif key in NEGOTIATED:
				if req.tsih and key not in ('HeaderDigest', 'DataDigest'):
					self.violation(c, req, 'key-stage', '%s is for the leading login only (13)' % key)
				answer = self.negotiate(c, req, key, value)
				if answer is not None:
					reply.keys.append((key, answer))
			elif key in OBSOLETE:
				reply.keys.append((key, 'Reject'))
			else:
				reply.keys.append((key, 'NotUnderstood'))
		if s.params['ErrorRecoveryLevel'] and s.params['DataSequenceInOrder'] == 'Yes' and \
				s.params['MaxOutstandingR2T'] > 1:		# 13.19
			s.params['MaxOutstandingR2T'] = 1
			if reply.get('MaxOutstandingR2T'):
				reply.put('MaxOutstandingR2T', '1')
		first_burst, burst = (number(v) if v and v not in CONSTANTS else d for v, d in (
			(lg.get('FirstBurstLength'), 512), (lg.get('MaxBurstLength'), 262144)))
		if first_burst > burst:
			self.violation(c, req, 'key-value', 'FirstBurstLength over MaxBurstLength (13.14)')
		if not lg.declared:
			lg.declared = True
			if self.max_recv:
				reply.keys.append(('MaxRecvDataSegmentLength', str(self.max_recv)))
			for key, value in self.offers:
				lg.offers[key] = value
				reply.keys.append((key, value))
			if self.offers:
				return False
		left = [k for k in lg.offers if k not in lg.answered and not self.answer_optional(k, lg.offers[k])]
		return not left

	def declared_length(self, c, req, value):
		try:
			n = number(value)
		except ValueError:
			n = 0
		if not 512 <= n <= NUM_MAX:
			self.violation(c, req, 'key-value', 'MaxRecvDataSegmentLength=%s (13.12)' % value)
			return
		c.max_send_next = n

	def negotiate(self, c, req, key, value):
		"""The target's answer to an offer; the result goes into the parameters."""
		kind, _, low, high = NEGOTIATED[key]
		mine = self.values[key]
		if value in CONSTANTS:
			self.violation(c, req, 'key-value', '%s=%s offered (6.2)' % (key, value))
			return None
		if c.session.discovery and key in NOT_IN_DISCOVERY:
			return 'Irrelevant'
		if kind == 'list':
			answer = next((v for v in value.split(',') if v in mine), 'Reject')
			for v in value.split(','):
				if v not in LIST_VALUES[key] and v[:2] not in ('Y-', 'Z-'):
					self.violation(c, req, 'key-value', '%s=%s' % (key, value))
			if key == 'TaskReporting' and not {'RFC3720', 'ResponseFence'} <= set(value.split(',')):
				self.violation(c, req, 'key-value', 'TaskReporting=%s (13.23)' % value)
		elif kind in ('and', 'or'):
			if value not in ('Yes', 'No'):
				self.violation(c, req, 'key-value', '%s=%s is no boolean (6.1)' % (key, value))
				return 'Reject'
			pick = 'No' if kind == 'and' else 'Yes'
			answer = pick if pick in (value, mine) else ('Yes' if pick == 'No' else 'No')
		else:
			try:
				n = number(value)
				if not low <= n <= high:
					raise ValueError('out of range')
			except ValueError as e:
				self.violation(c, req, 'key-value', '%s=%s: %s (13)' % (key, value, e))
				return 'Reject'
			answer = str(max(n, mine) if kind == 'max' else min(n, mine))
		if answer != 'Reject':
			self.agree(c, key, answer)
		return answer

	@staticmethod
	def agree(c, key, value):
		kind = NEGOTIATED[key][0]
		store = c.new_digests if key in ('HeaderDigest', 'DataDigest') else c.session.params
		store[key] = int(value) if kind in ('min', 'max') else value

	@staticmethod
	def answer_optional(key, value):
		kind = NEGOTIATED.get(key, ('',))[0]
		return (kind, value) in (('and', 'No'), ('or', 'Yes')) or \
			key in ('TargetAlias', 'MaxRecvDataSegmentLength', 'X#NodeArchitecture')

	def offer_answered(self, c, req, key, value):
		"""The initiator's answer to a key that we proposed (6.2.1, 6.2.2)."""
		lg, offer = c.login, c.login.offers[key]
		lg.answered[key] = value
		kind, _, low, high = NEGOTIATED.get(key, (None, None, None, None))
		if kind is None or value in CONSTANTS:
			return
		good = True
		if kind == 'list':
			good = value in offer.split(',')
		elif kind in ('and', 'or'):
			forced = 'No' if kind == 'and' else 'Yes'
			good = value in ('Yes', 'No') and not (offer == forced and value != forced)
		else:
			try:
				n, o = number(value), number(offer)
				good = low <= n <= high and (n >= o if kind == 'max' else n <= o)
			except ValueError:
				good = False
		if not good:
			self.violation(c, req, 'key-value', '%s=%s answered to our %s (13)' % (key, value, offer))
			return
		self.agree(c, key, value)

	# ------------------------------------------------------------------------- sending

	def login_send(self, c, req, reply):
		"""Send reply, over several PDUs when it is longer than login_chunk."""
		lg, s = c.login, c.session
		if reply.silent:
			return
		if lg.out:
			text = lg.out
		else:
			text = reply.raw_text if reply.raw_text is not None else make_keys(reply.keys)
		chunk, lg.out = text[:self.login_chunk], text[self.login_chunk:]
		more = bool(lg.out)
		rsp = Pdu(Op.LOGIN_RSP, isid=req.isid, tsih=req.tsih, itt=req.itt, csg=reply.csg, data=chunk)
		lg.final_out, lg.sent_cont = (reply, True) if more else (None, reply.cont)
		rsp.cont = more or reply.cont
		if reply.status:
			rsp.login_status = reply.status
			rsp.csg = 0
		done = reply.transit and not more and (req.transit or 'transit' in reply.fields)	# 11.13.6
		if done:
			rsp.transit, rsp.nsg = True, reply.nsg
			if reply.nsg == FFP:
				if not req.tsih:
					rsp.tsih = s.tsih
		for name, value in reply.fields.items():
			setattr(rsp, name, value)
		rsp.lies = {k: v for k, v in reply.fields.items() if k in ('statsn', 'expcmdsn', 'maxcmdsn')}
		finish = done and rsp.nsg == FFP and not reply.status
		if finish:
			self.login_done(c, req)
		elif done:
			lg.stage = reply.nsg
		c.send(rsp)
		if finish:
			c.enter_ffp()
		if reply.status >> 8 or reply.close:
			c.close()

	def login_done(self, c, req):
		"""The connection joins its session."""
		c.cid = req.cid
		if not req.tsih:
			self.reinstate(c.session)
		c.max_send = c.max_send_next or 8192
		if c.login.declared:
			c.max_recv = self.max_recv or 8192
		self.join_session(c)
