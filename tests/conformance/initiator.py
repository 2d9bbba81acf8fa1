# SPDX-License-Identifier: BSD-2-Clause
"""A very small initiator, for testing the scripted target itself (see selftest).

Synchronous, one command at a time.  tweak(pdu) may spoil each PDU before it is sent, which
is how the self-test proves that the checker notices.  A second Initiator joins a session
with login(join=first): CmdSN, tags and parameters are shared.  start() sends a command and
does not wait; what recovery needs is below that."""

import os
import socket
import struct

import chap
from net import loopback
from pdu import Op, Pdu, RESERVED_TAG, lun_encode, make_keys, parse_keys, read_pdu, sn_add, sn_lt

NAME = 'iqn.2026-01.org.iscsifs.test:selftest'


class Refused(Exception):
	"""Login refused; args[0] is the status."""


class Nexus:
	"""What the connections of a session share."""

	def __init__(self):
		self.itt, self.cmdsn = 1, 100
		self.isid, self.tsih = bytes((0x80,)) + os.urandom(3) + bytes(2), 0
		self.params = {}


class Initiator:
	def __init__(self, portal_port, iqn=None, family=socket.AF_INET, tweak=None, host=None):
		self.sock = socket.socket(family, socket.SOCK_STREAM)
		self.sock.settimeout(20)
		self.sock.connect((host or (loopback() if family == socket.AF_INET else '::1'), portal_port))
		self.iqn, self.tweak = iqn, tweak
		self.nexus, self.cid, self.expstatsn = Nexus(), 0, 0
		self.max_send = 8192
		self.hd = self.dd = False
		self.answers = []
		self.keep_acks = False		# statuses are not acknowledged for a while

	itt = property(lambda self: self.nexus.itt, lambda self, v: setattr(self.nexus, 'itt', v))
	cmdsn = property(lambda self: self.nexus.cmdsn, lambda self, v: setattr(self.nexus, 'cmdsn', v))
	isid = property(lambda self: self.nexus.isid, lambda self, v: setattr(self.nexus, 'isid', v))
	tsih = property(lambda self: self.nexus.tsih, lambda self, v: setattr(self.nexus, 'tsih', v))
	params = property(lambda self: self.nexus.params)

	# ---------------------------------------------------------------------- plumbing

	def send(self, pdu):
		if self.tweak:
			pdu = self.tweak(pdu) or pdu
		login = pdu.opcode == Op.LOGIN_REQ
		self.sock.sendall(pdu.encode(self.hd and not login, self.dd and not login))

	def recv(self):
		pdu = read_pdu(self.sock, self.hd, self.dd)
		if pdu.opcode == Op.R2T and pdu.ttt == RESERVED_TAG:
			raise AssertionError('odd R2T %r' % pdu)
		counts = pdu.opcode != Op.R2T and not (pdu.opcode == Op.NOP_IN and pdu.itt == RESERVED_TAG) \
			and not (pdu.opcode == Op.DATA_IN and not pdu.has_status)
		if counts:
			self.saw(pdu)
		return pdu

	def saw(self, pdu):
		"""Acknowledge up to this status; what was asked for again does not move it."""
		first = pdu.opcode == Op.LOGIN_RSP
		if first or not self.keep_acks and not sn_lt(pdu.statsn, self.expstatsn):
			self.expstatsn = sn_add(pdu.statsn)

	def request(self, op, imm=False, **fields):
		self.itt += 1
		fields.setdefault('itt', self.itt)
		pdu = Pdu(op, imm=imm, cmdsn=self.cmdsn, expstatsn=self.expstatsn, **fields)
		if not imm:
			self.cmdsn = sn_add(self.cmdsn)
		self.send(pdu)
		return pdu

	# ------------------------------------------------------------------------- login

	def exchange(self, keys, csg, nsg=None):
		"""One Login Request and its whole answer."""
		req = Pdu(Op.LOGIN_REQ, imm=True, isid=self.isid, tsih=self.tsih, itt=1, cid=self.cid,
			cmdsn=self.cmdsn, expstatsn=self.expstatsn, csg=csg, data=make_keys(keys))
		if nsg is not None:
			req.transit, req.nsg = True, nsg
		self.send(req)
		text = b''
		while True:
			rsp = self.recv()
			if rsp.login_status:
				raise Refused(rsp.login_status)
			text += rsp.data
			if not rsp.cont:
				break
			more = Pdu(Op.LOGIN_REQ, bhs=req.bhs, imm=True)
			more.expstatsn = self.expstatsn
			self.send(more)
		got = parse_keys(text)
		self.answers += got
		for key, value in got:
			if key == 'MaxRecvDataSegmentLength':
				self.max_send = int(value)
			else:
				self.params[key] = value
		return rsp, dict(got)

	def login(self, discovery=False, auth=None, offers=(), max_recv=65536, join=None, cid=0, isid=None,
			old_expstatsn=0):
		"""auth: None, or (user, secret, target_secret or None).  join: an Initiator whose session
		this connection joins (same CID: reinstatement); isid: a session to reinstate."""
		self.cid, self.expstatsn = cid, old_expstatsn
		if join:
			self.nexus = join.nexus
		if isid:
			self.isid = isid
		keys = [('InitiatorName', NAME)]
		keys.append(('SessionType', 'Discovery') if discovery else ('TargetName', self.iqn))
		keys.append(('AuthMethod', 'CHAP' if auth else 'None'))
		if auth:
			self.exchange(keys, 0)
			_, got = self.exchange([('CHAP_A', '8,7,6,5')], 0)
			self.chap(auth, got)
		else:
			self.exchange(keys, 0, 1)
		keys = [('MaxRecvDataSegmentLength', str(max_recv))] + list(offers)
		rsp, got = self.exchange(keys, 1, 3)
		while not rsp.transit:			# the target has offers of its own
			mine = [k for k, _ in keys]
			answers = [(k, v) for k, v in got.items() if k not in mine and k != 'TargetPortalGroupTag']
			rsp, got = self.exchange(answers, 1, 3)
		self.tsih = rsp.tsih
		digests = dict(self.answers)
		self.hd = digests.get('HeaderDigest') == 'CRC32C'
		self.dd = digests.get('DataDigest') == 'CRC32C'
		return self

	def chap(self, auth, got):
		user, secret, target_secret = auth
		algorithm, ident = int(got['CHAP_A']), int(got['CHAP_I'])
		proof = chap.response(algorithm, ident, secret, chap.decode(got['CHAP_C']))
		keys = [('CHAP_N', user), ('CHAP_R', chap.encode(proof))]
		challenge = os.urandom(16)
		if target_secret:
			keys += [('CHAP_I', '7'), ('CHAP_C', chap.encode(challenge, 'base64'))]
		_, got = self.exchange(keys, 0, 1)
		if target_secret:
			good = chap.response(algorithm, 7, target_secret, challenge)
			assert chap.decode(got['CHAP_R']) == good, 'mutual CHAP_R wrong'

	# ------------------------------------------------------------------ full feature

	def scsi(self, cdb, read=0, write=b'', lun=0):
		"""(status, data, response PDU); data-out as the parameters allow."""
		return self.finish(self.start(cdb, read, write, lun))

	def start(self, cdb, read=0, write=b'', lun=0):
		"""Send the command and its unsolicited data; the PDU."""
		p = self.params
		first = int(p.get('FirstBurstLength', 65536))
		pdu = Pdu(Op.SCSI_CMD, read=bool(read), write=bool(write), attr=1, lun=lun_encode(lun),
			edtl=read or len(write), cdb=bytes(cdb))
		sent, unsolicited = 0, 0
		if write:
			if p.get('ImmediateData') == 'Yes':
				sent = min(len(write), first, self.max_send)
				pdu.data = write[:sent]
			if p.get('InitialR2T') == 'No':
				unsolicited = min(len(write), first)
		pdu.final = sent >= unsolicited
		self.itt += 1
		pdu.itt, pdu.cmdsn, pdu.expstatsn = self.itt, self.cmdsn, self.expstatsn
		self.cmdsn = sn_add(self.cmdsn)
		self.out, self.buf = write, bytearray(read)
		self.send(pdu)
		if not pdu.final:
			self.burst(pdu, write, sent, unsolicited, RESERVED_TAG)
		return pdu

	def finish(self, pdu):
		"""Take what comes until the status of the last command started."""
		while True:
			rsp = self.recv()
			if rsp.opcode == Op.R2T:
				self.burst(pdu, self.out, rsp.offset, rsp.offset + rsp.ddtl, rsp.ttt)
			elif rsp.opcode == Op.DATA_IN:
				self.take(rsp)
				if rsp.has_status:
					break
			elif rsp.opcode == Op.SCSI_RSP:
				break
			else:
				raise AssertionError('unexpected %r' % rsp)
		left = rsp.residual if rsp.under else 0
		return rsp.status, bytes(self.buf[:len(self.buf) - left]), rsp

	def take(self, pdu):
		self.buf[pdu.offset:pdu.offset + pdu.dsl] = pdu.data

	def burst(self, cmd, data, at, end, ttt):
		sn = 0
		while at < end:
			part = data[at:min(end, at + self.max_send)]
			self.send(Pdu(Op.DATA_OUT, itt=cmd.itt, ttt=ttt, datasn=sn, offset=at, data=part,
				final=at + len(part) == end, expstatsn=self.expstatsn,
				lun=cmd.lun if ttt != RESERVED_TAG else bytes(8)))
			at, sn = at + len(part), sn + 1

	def read10(self, lba, count, bs=512, lun=0):
		return self.scsi(struct.pack('>BBIBHB', 0x28, 0, lba, 0, count, 0), read=count * bs, lun=lun)

	def write10(self, lba, data, bs=512, lun=0):
		return self.scsi(struct.pack('>BBIBHB', 0x2A, 0, lba, 0, len(data) // bs, 0), write=data, lun=lun)

	# ----------------------------------------------------------------------- recovery

	def again(self, pdu):
		"""A retry (7.2.1)."""
		pdu.expstatsn = self.expstatsn
		self.send(pdu)

	def snack(self, kind, begrun=0, runlength=0, itt=RESERVED_TAG, ttt=RESERVED_TAG, lun=bytes(8)):
		self.send(Pdu(Op.SNACK, final=True, snack_type=kind, lun=lun, itt=itt, ttt=ttt, begrun=begrun,
			runlength=runlength, expstatsn=self.expstatsn))

	def tmf(self, function, of=None, lun=None, wait=True, **fields):
		"""An immediate task management request; the response code."""
		if of is not None:
			fields.setdefault('rtt', of.itt)
			if function == 1:
				fields.setdefault('refcmdsn', of.cmdsn)
				lun = of.lun
		fields.setdefault('rtt', RESERVED_TAG)
		self.request(Op.TMF_REQ, imm=True, final=True, function=function, lun=lun or bytes(8), **fields)
		return self.recv().response if wait else None

	def recovery_logout(self, cid, expstatsn=None, reason=2):
		"""Log out another connection; the response PDU."""
		self.itt += 1
		self.send(Pdu(Op.LOGOUT_REQ, imm=True, final=True, function=reason, cid=cid, itt=self.itt,
			cmdsn=self.cmdsn, expstatsn=self.expstatsn if expstatsn is None else expstatsn))
		return self.recv()

	def send_targets(self):
		text, ttt, itt = b'', RESERVED_TAG, self.itt + 1
		data = make_keys([('SendTargets', 'All')])
		while True:
			self.request(Op.TEXT_REQ, final=True, itt=itt, ttt=ttt, data=data)
			rsp = self.recv()
			text += rsp.data
			if rsp.final:
				return parse_keys(text)
			ttt, data = rsp.ttt, b''

	def logout(self):
		self.request(Op.LOGOUT_REQ, imm=True, final=True)
		rsp = self.recv()
		assert rsp.opcode == Op.LOGOUT_RSP and rsp.response == 0, rsp
		assert self.sock.recv(1) == b''
		self.sock.close()

	def close(self):
		self.sock.close()
