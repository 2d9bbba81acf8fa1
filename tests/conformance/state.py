# SPDX-License-Identifier: BSD-2-Clause
"""What the scripted target keeps: log lines, tasks, sessions, connections, portals."""

import socket
import threading
import time

from login import Login, default_params
from pdu import Op, Pdu, RESERVED_TAG, lun_decode, sn_add, sn_le, sn_lt
from recovery import Cover

# PDUs whose StatSN counts (4.2.2.2; NOP-In and Data-In by their fields)
STATUS_OPS = (Op.SCSI_RSP, Op.TMF_RSP, Op.LOGIN_RSP, Op.TEXT_RSP, Op.LOGOUT_RSP, Op.ASYNC, Op.REJECT)


class Event:
	"""One line of the log.  kind: rx, tx or a note."""

	def __init__(self, kind, conn, pdu, text=''):
		self.time = time.monotonic()
		self.kind, self.conn, self.pdu, self.text = kind, conn, pdu, text

	def __str__(self):
		return '%10.4f %d %s %s' % (self.time % 100000, self.conn.id if self.conn else 0, self.kind,
			self.text if self.pdu is None else repr(self.pdu))


class Sequence:
	"""Data-Out PDUs that belong together: unsolicited data, or the answer to an R2T."""

	def __init__(self, start, end, ttt=RESERVED_TAG):
		self.start, self.end, self.ttt = start, end, ttt
		self.next, self.datasn, self.done = start, 0, False
		self.lost = False		# its R2T did not arrive
		self.resent = False		# by a SNACK: its place in the order is not sure


class Task:
	"""A SCSI command (or another request that has an ITT) until its last response."""

	def __init__(self, conn, pdu):
		self.conn, self.pdu = conn, pdu
		self.itt, self.lun, self.cmdsn, self.imm = pdu.itt, pdu.lun, pdu.cmdsn, pdu.imm
		self.number = lun_decode(pdu.lun)
		scsi = pdu.opcode == Op.SCSI_CMD
		self.cdb = pdu.cdb if scsi else b''
		self.read, self.write = (pdu.read, pdu.write) if scsi else (False, False)
		self.edtl = pdu.edtl if scsi else 0
		self.data = bytearray(self.edtl if self.write else 0)
		self.cover = Cover()		# bytes of the write that came
		self.unsolicited = None		# Sequence, when F=0 announced one
		self.r2ts = []			# Sequences
		self.r2tsn = 0
		self.asked = 0			# end of what R2Ts asked for
		self.data_in_sent = 0
		self.manual = False		# the scene sends the R2Ts
		self.finished = False
		# for recovery
		self.sent = {}			# DataSN or R2TSN -> Pdu
		self.lost = set()		# DataSNs that cannot have arrived
		self.data_acked = 0		# by DataACK or ExpDataSN
		self.segment = 0		# the initiator's segment limit when data was sent
		self.allegiant = True		# False after a logout of its connection for recovery
		self.snack_tag = 0
		self.status_pdu = self.statsn = self.status_conn = None

	@property
	def got(self):
		return self.cover.size


class Session:
	def __init__(self, isid, cmdsn, tsih):
		self.isid, self.tsih = isid, tsih
		self.initiator = ''
		self.discovery = False
		self.missing = False		# asked for with an unknown TSIH
		self.conns = {}			# CID -> Conn
		self.tasks = {}			# ITT -> Task
		self.held = {}			# CmdSN -> (Conn, Pdu), a hole is before them
		self.held_data = {}		# ITT of a held command -> its Data-Out PDUs
		self.params = default_params()
		self.expcmdsn = cmdsn
		self.maxcmdsn_sent = sn_add(cmdsn, -1)
		self.next_cmdsn = cmdsn		# after the highest that was seen
		self.plain = True		# one connection only, none ever lost
		self.broken = False		# a connection was lost: what was on its way is sent again
		self.dead = False
		self.finished = {}		# ITT -> Task with a status not acknowledged yet (ERL 1, 2)
		self.failed = {}		# CID -> Conn that nobody has logged out
		self.seen = {}			# CmdSN -> (Conn, Pdu)
		self.plugged, self.rejected = set(), set()	# CmdSNs
		self.lost_itts = set()
		self.aborted = {}		# ITT -> (Conn, StatSN of the answer to the function)
		self.attention = {}		# LUN -> sense triples for this nexus only
		self.lock = threading.RLock()

	@property
	def fast_abort(self):
		return self.params['TaskReporting'] == 'FastAbort'


class Conn:
	"""One TCP connection."""

	def __init__(self, target, sock, ident):
		self.target, self.sock, self.id = target, sock, ident
		self.login = Login()
		self.session = None
		self.cid = None
		self.phase = 'login'
		self.statsn = target.first_statsn
		self.acked = target.first_statsn	# highest ExpStatSN seen
		self.max_recv = 8192
		self.max_send = 8192			# the initiator's MaxRecvDataSegmentLength
		self.max_send_next = None
		self.new_digests = {'HeaderDigest': 'None', 'DataDigest': 'None'}
		self.header_digest = self.data_digest = False
		self.portal = None
		self.peer = sock.getpeername() if sock.fileno() >= 0 else None
		self.history = {}			# StatSN -> answer not acknowledged (ERL 1, 2)
		self.acks = {}				# TTT of an A bit -> (Task, next DataSN, LUN)
		self.lost_status = set()		# StatSNs that cannot have arrived
		self.last_cmdsn = None
		self.told = []				# (StatSN, ExpCmdSN) of what was sent
		self.logged_out = False
		self.gone = False			# logged out by another: what it still sends is not looked at
		self.pings = {}				# TTT of our NOP-In -> LUN
		self.unsolicited = []			# tasks whose unsolicited data comes, in order
		self.text = None
		self.logging_out = False
		self.logout_by = None			# (Conn, CmdSN) of the Logout Request that ended it
		self.alive = True
		self.eof = False			# the initiator closed
		self.send_lock = threading.RLock()

	def enter_ffp(self):
		self.phase = 'ffp'
		self.header_digest = self.new_digests['HeaderDigest'] == 'CRC32C'
		self.data_digest = self.new_digests['DataDigest'] == 'CRC32C'
		self.target.on_ffp(self)

	def stamp(self, pdu):
		"""StatSN, ExpCmdSN and MaxCmdSN of an answer (11.4.9 and others)."""
		s = self.session
		counts = pdu.opcode in STATUS_OPS
		if pdu.opcode == Op.NOP_IN:
			counts = pdu.itt != RESERVED_TAG
		elif pdu.opcode == Op.DATA_IN:
			counts = pdu.has_status
		if counts or pdu.opcode != Op.DATA_IN:
			pdu.statsn = self.statsn
		if counts:
			self.statsn = sn_add(self.statsn)
		if s is not None:
			pdu.expcmdsn = s.expcmdsn
			pdu.maxcmdsn = self.target.max_cmdsn(s)

	def send(self, pdu, stamp=True):
		"""Number and send a PDU; before_send() may change, drop or replace it."""
		with self.send_lock:
			if stamp:
				self.stamp(pdu)
			for name, value in pdu.lies.items():
				setattr(pdu, name, value)
			self.target.remember(self, pdu)
			self.offer(pdu)

	def offer(self, pdu):
		"""The scene may spoil this one sending of it."""
		with self.send_lock:
			out = self.target.before_send(self, pdu)
			if out is None:
				out = pdu
			if out is False:
				self.target.mark_lost(self, pdu, True)
				self.target.note(self, 'not sent: %r' % pdu)
				return
			for item in out if isinstance(out, list) else [out]:
				if isinstance(item, Pdu):
					self._send_one(item)
				else:
					self.send_raw(item)

	def _send_one(self, pdu):
		s = self.session
		if s is not None and sn_lt(s.maxcmdsn_sent, pdu.maxcmdsn) and \
				sn_le(sn_add(pdu.expcmdsn, -1), pdu.maxcmdsn):
			s.maxcmdsn_sent = pdu.maxcmdsn
		digests = self.phase == 'ffp' and pdu.opcode != Op.LOGIN_RSP
		raw = pdu.encode(self.header_digest and digests, self.data_digest and digests)
		spoilt = pdu.bad_header_digest and self.header_digest or pdu.bad_data_digest and self.data_digest
		self.target.mark_lost(self, pdu, bool(spoilt and digests))
		if spoilt:
			self.target.note(self, 'the next PDU has a wrong digest')
		elif s is not None and (pdu.opcode in STATUS_OPS or pdu.opcode == Op.DATA_IN and pdu.has_status):
			self.told.append((pdu.statsn, pdu.expcmdsn))
		self.target.log(Event('tx', self, pdu))
		self.send_raw(raw)

	def send_raw(self, data):
		"""Bytes as they are; one by one when the target dribbles."""
		with self.send_lock:
			try:
				if not self.target.dribble:
					self.sock.sendall(data)
					return
				for n in range(len(data)):
					self.sock.sendall(data[n:n + 1])
			except OSError as e:
				self.target.note(self, 'send failed: %s' % e)

	def close(self):
		"""Close at once, both directions."""
		self.alive = False
		try:
			self.sock.shutdown(socket.SHUT_RDWR)
		except OSError:
			pass

	def reset(self):
		"""Close with a TCP reset."""
		try:
			self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
		except OSError:
			pass
		self.alive = False
		try:
			self.sock.shutdown(socket.SHUT_RD)	# wakes a reader, or close() would wait for it
		except OSError:
			pass
		self.sock.close()


class Portal:
	"""A listening socket.  mute: connections are accepted and not served."""

	def __init__(self, target, host, tag):
		self.target, self.host, self.tag = target, host, tag
		self.mute = False
		self.listener = None
		self.port = 0
		self.open()

	def open(self):
		self.listener = socket.socket(socket.AF_INET6 if ':' in self.host else socket.AF_INET)
		self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		self.listener.bind((self.host, self.port))
		self.listener.listen(64)
		self.port = self.listener.getsockname()[1]
		self.target._thread(self.target._accept, self, self.listener)

	@property
	def address(self):
		return '%s:%d' % ('[%s]' % self.host if ':' in self.host else self.host, self.port)

	def close(self, drop=False):
		"""Connections are refused from now on; drop: those that are there end too."""
		try:
			self.listener.shutdown(socket.SHUT_RDWR)
		except OSError:
			pass
		self.listener.close()
		if drop:
			for c in [c for c in self.target.conns if c.portal is self]:
				c.close()
