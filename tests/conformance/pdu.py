# SPDX-License-Identifier: BSD-2-Clause
"""iSCSI PDUs on the wire, written from RFC 7143 section 11 only.

Nothing here is shared with the C code under test: a mistake in reading the RFC that
both sides made would be invisible.  Used by the scripted target (target.py) and by the
small initiator of the self-test (initiator.py).

A Pdu is its 48-byte Basic Header Segment, the AHS bytes and the data segment.  Every
header field is a property at its place in the header; the same place has several names
(edtl, ttt and cid begin at byte 20, for instance).  Lengths are filled in by encode()
unless a scene sets `fake_dsl` or `fake_ahslen` to lie about them.
"""

import struct

RESERVED_TAG = 0xFFFFFFFF


class Op:
	"""Opcodes, RFC 7143 11.2.1.2."""
	NOP_OUT, SCSI_CMD, TMF_REQ, LOGIN_REQ, TEXT_REQ, DATA_OUT, LOGOUT_REQ = range(7)
	SNACK = 0x10
	NOP_IN, SCSI_RSP, TMF_RSP, LOGIN_RSP, TEXT_RSP, DATA_IN, LOGOUT_RSP = range(0x20, 0x27)
	R2T = 0x31
	ASYNC = 0x32
	REJECT = 0x3F


OP_NAMES = {v: k for k, v in vars(Op).items() if k.isupper()}
INITIATOR_OPS = (0, 1, 2, 3, 4, 5, 6, 0x10)

# ---------------------------------------------------------------- CRC32C (RFC 7143 13.1)

_POLY = 0x82F63B78		# 0x11edc6f41 with its bits reversed
_table16 = None


def _make_table():
	table8 = []
	for n in range(256):
		crc = n
		for _ in range(8):
			crc = (crc >> 1) ^ (_POLY if crc & 1 else 0)
		table8.append(crc)
	table16 = []
	for n in range(65536):
		crc = table8[n & 0xFF]
		crc = (crc >> 8) ^ table8[(crc ^ (n >> 8)) & 0xFF]
		table16.append(crc)
	return table16


def crc32c(data):
	"""The digest of data as the 32-bit number whose least significant byte goes first.

	Two bytes a step through a table of 65536 entries; the header examples of RFC 7143
	A.4 are checked by the self-test."""
	global _table16
	if _table16 is None:
		_table16 = _make_table()
	table = _table16
	crc = 0xFFFFFFFF
	even = len(data) & ~1
	for (h,) in struct.iter_unpack('<H', memoryview(data)[:even]):
		crc = table[(crc ^ h) & 0xFFFF] ^ (crc >> 16)
	if even != len(data):
		crc ^= data[even]
		for _ in range(8):
			crc = (crc >> 1) ^ (_POLY if crc & 1 else 0)
	return crc ^ 0xFFFFFFFF


def digest(data):
	"""The four digest bytes as they stand on the wire."""
	return struct.pack('<I', crc32c(data))


# ---------------------------------------------------------------------------- the PDU

def _field(offset, fmt):
	packer = struct.Struct('>' + fmt)

	def get(self):
		return packer.unpack_from(self.bhs, offset)[0]

	def put(self, value):
		packer.pack_into(self.bhs, offset, value)
	return property(get, put)


def _bit(offset, mask):
	def get(self):
		return bool(self.bhs[offset] & mask)

	def put(self, value):
		if value:
			self.bhs[offset] |= mask
		else:
			self.bhs[offset] &= ~mask & 0xFF
	return property(get, put)


def _bits(offset, shift, mask):
	def get(self):
		return (self.bhs[offset] >> shift) & mask

	def put(self, value):
		self.bhs[offset] = (self.bhs[offset] & ~(mask << shift) & 0xFF) | (value & mask) << shift
	return property(get, put)


def _slice(offset, size):
	def get(self):
		return bytes(self.bhs[offset:offset + size])

	def put(self, value):
		value = bytes(value)
		if len(value) > size:
			raise ValueError('field of %d bytes given %d' % (size, len(value)))
		self.bhs[offset:offset + size] = value.ljust(size, b'\0')
	return property(get, put)


class Pdu:
	"""One PDU.  Pdu(Op.NOP_IN, itt=1, ttt=2, data=b'')."""

	# byte 0 and 1
	opcode = _bits(0, 0, 0x3F)
	imm = _bit(0, 0x40)
	flags = _field(1, 'B')
	final = _bit(1, 0x80)		# F, or T in login PDUs
	transit = final
	cont = _bit(1, 0x40)		# C of text and login PDUs
	read = _bit(1, 0x40)		# R and W of a SCSI Command
	write = _bit(1, 0x20)
	attr = _bits(1, 0, 7)
	ack = _bit(1, 0x40)		# A of a Data-In
	over = _bit(1, 0x04)		# O, U, S of Data-In and SCSI Response
	under = _bit(1, 0x02)
	has_status = _bit(1, 0x01)
	csg = _bits(1, 2, 3)
	nsg = _bits(1, 0, 3)
	function = _bits(1, 0, 0x7F)	# TMF function, logout reason
	snack_type = _bits(1, 0, 0x0F)
	# bytes 2 and 3
	version_max = _field(2, 'B')
	version_min = _field(3, 'B')	# Version-active in a response
	response = _field(2, 'B')	# SCSI, TMF and Logout response; Reject reason
	status = _field(3, 'B')
	# lengths
	ahslen = _field(4, 'B')
	# bytes 8 and following
	lun = _slice(8, 8)
	isid = _slice(8, 6)
	tsih = _field(14, 'H')
	itt = _field(16, 'I')
	ttt = _field(20, 'I')
	edtl = _field(20, 'I')
	cid = _field(20, 'H')
	rtt = _field(20, 'I')		# Referenced Task Tag
	snack_tag = _field(20, 'I')
	cmdsn = _field(24, 'I')
	statsn = _field(24, 'I')
	expstatsn = _field(28, 'I')
	expcmdsn = _field(28, 'I')
	cdb = _slice(32, 16)
	maxcmdsn = _field(32, 'I')
	refcmdsn = _field(32, 'I')
	datasn = _field(36, 'I')	# also R2TSN and ExpDataSN
	expdatasn = datasn
	status_class = _field(36, 'B')
	status_detail = _field(37, 'B')
	login_status = _field(36, 'H')
	async_event = _field(36, 'B')
	async_vcode = _field(37, 'B')
	param1 = _field(38, 'H')
	param2 = _field(40, 'H')
	param3 = _field(42, 'H')
	time2wait = _field(40, 'H')
	time2retain = _field(42, 'H')
	offset = _field(40, 'I')
	begrun = _field(40, 'I')
	residual = _field(44, 'I')
	ddtl = _field(44, 'I')		# Desired Data Transfer Length of an R2T
	runlength = _field(44, 'I')

	def __init__(self, opcode=0, bhs=None, **fields):
		self.bhs = bytearray(bhs) if bhs is not None else bytearray(48)
		self.ahs = b''
		self.data = b''
		self.pad = b''			# as received
		self.fake_dsl = None		# DataSegmentLength to send instead of the truth
		self.fake_ahslen = None		# TotalAHSLength to send instead (words)
		self.lies = {}			# fields to set after numbering (target.py)
		self.bad_header_digest = False	# send a wrong digest
		self.bad_data_digest = False
		self.resent = False		# an answer to a SNACK or a reassignment
		if bhs is None:
			self.opcode = opcode
		for name, value in fields.items():
			if not hasattr(type(self), name) and name not in self.__dict__:
				raise AttributeError('no PDU field ' + name)
			setattr(self, name, value)

	def copy(self):
		"""What was to be sent, without what a scene does to one sending of it."""
		out = Pdu(bhs=self.bhs)
		out.ahs, out.data = self.ahs, self.data
		return out

	@property
	def dsl(self):
		return int.from_bytes(self.bhs[5:8], 'big')

	@property
	def name(self):
		return OP_NAMES.get(self.opcode, 'op 0x%02x' % self.opcode)

	def encode(self, header_digest=False, data_digest=False):
		"""The bytes for the wire, with true lengths unless told to lie."""
		ahs = bytes(self.ahs) + bytes(-len(self.ahs) % 4)
		words = len(ahs) // 4 if self.fake_ahslen is None else self.fake_ahslen
		length = len(self.data) if self.fake_dsl is None else self.fake_dsl
		self.bhs[4] = words & 0xFF
		self.bhs[5:8] = (length & 0xFFFFFF).to_bytes(3, 'big')
		head = bytes(self.bhs) + ahs
		out = [head]
		if header_digest:
			d = digest(head)
			out.append(bytes(b ^ 0xFF for b in d) if self.bad_header_digest else d)
		if self.data:
			body = bytes(self.data) + bytes(-len(self.data) % 4)
			out.append(body)
			if data_digest:
				d = digest(body)
				out.append(bytes(b ^ 0xFF for b in d) if self.bad_data_digest else d)
		return b''.join(out)

	def keys(self):
		"""The data segment as a list of (key, value); see parse_keys()."""
		return parse_keys(self.data)

	def __repr__(self):
		f = ['%s%s' % (self.name, '/I' if self.imm and self.opcode < 0x20 else '')]
		op = self.opcode
		f.append('flags=%02x' % self.flags)
		if op in (Op.LOGIN_REQ, Op.LOGIN_RSP):
			f.append('csg=%d nsg=%d isid=%s tsih=%d' % (self.csg, self.nsg, self.isid.hex(), self.tsih))
			if op == Op.LOGIN_REQ:
				f.append('cid=%d' % self.cid)
			else:
				f.append('status=%04x' % self.login_status)
		elif any(self.lun):
			f.append('lun=' + self.lun.hex())
		f.append('itt=%08x' % self.itt)
		if op == Op.SCSI_CMD:
			f.append('edtl=%d cdb=%s' % (self.edtl, self.cdb.hex()))
		elif op in (Op.DATA_IN, Op.DATA_OUT, Op.R2T):
			f.append('ttt=%08x sn=%d off=%d' % (self.ttt, self.datasn, self.offset))
			if op == Op.R2T:
				f.append('ddtl=%d' % self.ddtl)
		elif op == Op.SCSI_RSP:
			f.append('rsp=%d status=%02x residual=%d' % (self.response, self.status, self.residual))
		elif op not in (Op.LOGIN_REQ, Op.LOGIN_RSP):
			f.append('f20=%08x' % self.ttt)
		if op >= 0x20:
			f.append('StatSN=%08x Exp=%d Max=%d' % (self.statsn, self.expcmdsn, self.maxcmdsn))
		else:
			f.append('CmdSN=%d ExpStatSN=%08x' % (self.cmdsn, self.expstatsn))
		if self.ahs:
			f.append('ahs=%d' % len(self.ahs))
		if self.data or self.fake_dsl is not None:
			f.append('dsl=%d' % (len(self.data) if self.fake_dsl is None else self.fake_dsl))
		if op in (Op.LOGIN_REQ, Op.LOGIN_RSP, Op.TEXT_REQ, Op.TEXT_RSP) and self.data:
			f.append(repr(bytes(self.data[:300]).replace(b'\0', b' ')))
		return '<' + ' '.join(f) + '>'


# --------------------------------------------------------------- reading from a stream

class Closed(Exception):
	"""The peer closed or reset the connection."""


class FramingError(Exception):
	"""Bytes that cannot be a PDU as agreed (digest, length)."""


def recv_exact(sock, count):
	"""count bytes from a blocking socket, or Closed."""
	parts, have = [], 0
	while have < count:
		try:
			part = sock.recv(min(count - have, 1 << 20))
		except OSError as e:
			raise Closed(str(e)) from None
		if not part:
			raise Closed('closed after %d of %d bytes' % (have, count) if have else 'closed')
		parts.append(part)
		have += len(part)
	return b''.join(parts)


def read_pdu(sock, header_digest=False, data_digest=False, max_dsl=1 << 24):
	"""Read one PDU.  Digest errors are reported as FramingError: nothing else is known
	about the stream then."""
	bhs = recv_exact(sock, 48)
	pdu = Pdu(bhs=bhs)
	if pdu.ahslen:
		pdu.ahs = recv_exact(sock, pdu.ahslen * 4)
	if header_digest:
		if recv_exact(sock, 4) != digest(bhs + pdu.ahs):
			raise FramingError('header digest wrong: %r' % pdu)
	length = pdu.dsl
	if length > max_dsl:
		raise FramingError('DataSegmentLength %d over %d: %r' % (length, max_dsl, pdu))
	if length:
		body = recv_exact(sock, (length + 3) & ~3)
		if data_digest and recv_exact(sock, 4) != digest(body):
			raise FramingError('data digest wrong: %r' % pdu)
		pdu.data, pdu.pad = body[:length], body[length:]
	return pdu


# ------------------------------------------------------------------------ text (6.1)

def make_keys(pairs):
	"""key=value pairs, each followed by one NUL (6.1)."""
	out = []
	for key, value in pairs:
		key = key.encode() if isinstance(key, str) else key
		value = value.encode() if isinstance(value, str) else value
		out.append(key + b'=' + value + b'\0')
	return b''.join(out)


def parse_keys(data):
	"""The pairs of a whole logical text data segment.  ValueError when it is not one."""
	if not data:
		return []
	if data[-1]:
		raise ValueError('text does not end with NUL')
	pairs = []
	for item in bytes(data[:-1]).split(b'\0'):
		key, eq, value = item.partition(b'=')
		if not eq:
			raise ValueError('no = in %r' % item)
		pairs.append((key.decode('utf-8', 'surrogateescape'), value.decode('utf-8', 'surrogateescape')))
	return pairs


# -------------------------------------------------- 32-bit serial arithmetic (RFC 1982)

def sn_lt(a, b):
	return a != b and ((b - a) & 0xFFFFFFFF) < 0x80000000


def sn_le(a, b):
	return a == b or sn_lt(a, b)


def sn_add(a, n=1):
	return (a + n) & 0xFFFFFFFF


# --------------------------------------------------------------------- LUNs (SAM-2 4.9)

def lun_encode(number):
	"""8 bytes of a LUN: peripheral addressing up to 255, flat addressing above."""
	if number < 256:
		return bytes((0, number)) + bytes(6)
	return bytes((0x40 | number >> 8, number & 0xFF)) + bytes(6)


def lun_decode(lun):
	"""The number of an 8-byte LUN, None when it is neither peripheral nor flat."""
	if any(lun[2:]) or lun[0] >> 6 > 1:
		return None
	if lun[0] >> 6 == 0:
		return lun[1] if lun[0] == 0 else None
	return (lun[0] & 0x3F) << 8 | lun[1]
