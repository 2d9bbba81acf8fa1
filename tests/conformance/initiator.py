# SPDX-License-Identifier: BSD-2-Clause
"""A very small initiator, for testing the scripted target itself (see selftest).

Synchronous, one command at a time, one connection.  tweak(pdu) may spoil each PDU before
it is sent, which is how the self-test proves that the checker notices."""

import os
import socket
import struct

import chap
from pdu import Op, Pdu, RESERVED_TAG, lun_encode, make_keys, parse_keys, read_pdu, sn_add

NAME = 'iqn.2026-01.org.iscsifs.test:selftest'


class Refused(Exception):
	"""Login refused; args[0] is the status."""


class Initiator:
	def __init__(self, portal_port, iqn=None, family=socket.AF_INET, tweak=None):
		self.sock = socket.socket(family, socket.SOCK_STREAM)
		self.sock.settimeout(20)
		self.sock.connect(('127.0.0.1' if family == socket.AF_INET else '::1', portal_port))
		self.iqn, self.tweak = iqn, tweak
		self.itt, self.cmdsn, self.expstatsn = 1, 100, 0
		self.isid, self.tsih = bytes((0x80,)) + os.urandom(3) + bytes(2), 0
		self.params = {}
		self.max_send = 8192
		self.hd = self.dd = False
		self.answers = []

	# ---------------------------------------------------------------------- plumbing

	def send(self, pdu):
		if self.tweak:
			pdu = self.tweak(pdu) or pdu
		login = pdu.opcode == Op.LOGIN_REQ
		self.sock.sendall(pdu.encode(self.hd and not login, self.dd and not login))

	def recv(self):
		pdu = read_pdu(self.sock, self.hd, self.dd)
		counts = pdu.opcode != Op.R2T and not (pdu.opcode == Op.NOP_IN and pdu.itt == RESERVED_TAG) \
			and not (pdu.opcode == Op.DATA_IN and not pdu.has_status)
		if counts:
			self.expstatsn = sn_add(pdu.statsn)
		return pdu

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
		req = Pdu(Op.LOGIN_REQ, imm=True, isid=self.isid, tsih=self.tsih, itt=1, cmdsn=self.cmdsn,
			expstatsn=self.expstatsn, csg=csg, data=make_keys(keys))
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

	def login(self, discovery=False, auth=None, offers=(), max_recv=65536):
		"""auth: None, or (user, secret, target_secret or None)."""
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
		self.hd = self.params.get('HeaderDigest') == 'CRC32C'
		self.dd = self.params.get('DataDigest') == 'CRC32C'
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
		self.send(pdu)
		if not pdu.final:
			self.burst(pdu, write, sent, unsolicited, RESERVED_TAG)
		buf = bytearray(read)
		while True:
			rsp = self.recv()
			if rsp.opcode == Op.R2T:
				self.burst(pdu, write, rsp.offset, rsp.offset + rsp.ddtl, rsp.ttt)
			elif rsp.opcode == Op.DATA_IN:
				buf[rsp.offset:rsp.offset + rsp.dsl] = rsp.data
				if rsp.has_status:
					break
			elif rsp.opcode == Op.SCSI_RSP:
				break
			else:
				raise AssertionError('unexpected %r' % rsp)
		left = rsp.residual if rsp.under else 0
		return rsp.status, bytes(buf[:read - left]), rsp

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
