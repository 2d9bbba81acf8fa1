# SPDX-License-Identifier: BSD-2-Clause
"""An in-memory SCSI disk for the scripted target (SPC-3 and SBC-2 read for itself).

Knows no iSCSI: a CDB and the data of a write go in, a Result comes out.  Scenes override
it by filling `errors` (LBA -> sense), `unit_attention`, `write_protect`, `ready`, or by
subclassing."""

import struct
from pdu import lun_encode

GOOD, CHECK, CONDITION_MET, BUSY = 0x00, 0x02, 0x04, 0x08
RESERVATION_CONFLICT, TASK_SET_FULL = 0x18, 0x28

# (sense key, ASC, ASCQ)
NOT_READY = (0x02, 0x04, 0x03)
NO_MEDIUM = (0x02, 0x3A, 0x00)
READ_ERROR = (0x03, 0x11, 0x00)
WRITE_ERROR = (0x03, 0x0C, 0x00)
HARDWARE_ERROR = (0x04, 0x44, 0x00)
INVALID_OPCODE = (0x05, 0x20, 0x00)
LBA_OUT_OF_RANGE = (0x05, 0x21, 0x00)
INVALID_FIELD = (0x05, 0x24, 0x00)
LU_NOT_SUPPORTED = (0x05, 0x25, 0x00)
POWER_ON = (0x06, 0x29, 0x00)
BUS_RESET = (0x06, 0x29, 0x03)
NEXUS_LOSS = (0x06, 0x29, 0x07)
LUNS_CHANGED = (0x06, 0x3F, 0x0E)
CLEARED_BY_ISCSI = (0x06, 0x47, 0x7F)
CAPACITY_CHANGED = (0x06, 0x2A, 0x09)
WRITE_PROTECTED = (0x07, 0x27, 0x00)
CRC_ERROR = (0x0B, 0x47, 0x05)
UNEXPECTED_DATA = (0x0B, 0x0C, 0x0C)
NOT_ENOUGH_DATA = (0x0B, 0x0C, 0x0D)
SNACK_REJECTED = (0x0B, 0x11, 0x13)

TEST_UNIT_READY, REQUEST_SENSE, READ_6, WRITE_6, INQUIRY, MODE_SENSE_6 = \
	0x00, 0x03, 0x08, 0x0A, 0x12, 0x1A
READ_CAPACITY_10, READ_10, WRITE_10, SYNC_CACHE_10, MODE_SENSE_10 = 0x25, 0x28, 0x2A, 0x35, 0x5A
READ_16, WRITE_16, SYNC_CACHE_16, SERVICE_ACTION_IN, REPORT_LUNS = 0x88, 0x8A, 0x91, 0x9E, 0xA0
READ_12, WRITE_12 = 0xA8, 0xAA
READS = (READ_6, READ_10, READ_12, READ_16)
WRITES = (WRITE_6, WRITE_10, WRITE_12, WRITE_16)


def make_sense(key, asc, ascq, info=None):
	"""Fixed format sense data, 18 bytes (SPC-3 4.5.3)."""
	valid = 0x80 if info is not None else 0
	return struct.pack('>BBBIB4sBBBBBB', 0x70 | valid, 0, key, (info or 0) & 0xFFFFFFFF, 10,
		bytes(4), asc, ascq, 0, 0, 0, 0)


class Result:
	def __init__(self, data=b'', status=GOOD, sense=b''):
		self.data, self.status, self.sense = data, status, sense

	@classmethod
	def check(cls, sense, info=None):
		return cls(status=CHECK, sense=make_sense(*sense, info=info))


def rw_range(cdb):
	"""(lba, blocks) of a READ or WRITE of any size, None for other commands."""
	op = cdb[0]
	if op in (READ_6, WRITE_6):
		return int.from_bytes(cdb[1:4], 'big') & 0x1FFFFF, cdb[4] or 256
	if op in (READ_10, WRITE_10):
		return struct.unpack_from('>I', cdb, 2)[0], struct.unpack_from('>H', cdb, 7)[0]
	if op in (READ_12, WRITE_12):
		return struct.unpack_from('>II', cdb, 2)
	if op in (READ_16, WRITE_16):
		return struct.unpack_from('>QI', cdb, 2)
	return None


class Disk:
	def __init__(self, block_size=512, size=4 << 20, write_protect=False, serial='CONF0001'):
		self.block_size = block_size
		self.blocks = size // block_size
		self.store = bytearray(size)
		self.write_protect = write_protect
		self.serial = serial
		self.vendor, self.product, self.revision = 'ISCSIFS', 'SCRIPTED DISK', '0001'
		self.wwid = bytes.fromhex('60014050') + serial.encode().ljust(12, b'0')[:12]	# NAA 6
		self.ready = None			# a sense triple while not ready
		self.unit_attention = []		# sense triples, reported once each
		self.errors = {}			# LBA -> sense triple
		self.optimal_blocks = 0			# VPD B0: maximum transfer length, 0 = no limit
		self.max_blocks = 0

	# ------------------------------------------------------------------ entry points

	def wants(self, cdb):
		"""How many bytes of data-out this command takes."""
		if cdb[0] in WRITES:
			return rw_range(cdb)[1] * self.block_size
		return 0

	def execute(self, cdb, data=b'', luns=(0,)):
		op = cdb[0]
		if op not in (INQUIRY, REPORT_LUNS, REQUEST_SENSE):
			if self.unit_attention:
				return Result.check(self.unit_attention.pop(0))
			if self.ready:
				return Result.check(self.ready)
		if op in READS or op in WRITES:
			return self.read_write(cdb, data)
		handler = {
			TEST_UNIT_READY: lambda c: Result(),
			REQUEST_SENSE: lambda c: Result(make_sense(0, 0, 0)[:c[4]]),
			INQUIRY: self.inquiry,
			MODE_SENSE_6: self.mode_sense_6,
			MODE_SENSE_10: self.mode_sense_10,
			READ_CAPACITY_10: self.read_capacity_10,
			SERVICE_ACTION_IN: self.service_action_in,
			SYNC_CACHE_10: lambda c: Result(),
			SYNC_CACHE_16: lambda c: Result(),
			REPORT_LUNS: lambda c: self.report_luns(c, luns),
		}.get(op)
		return handler(cdb) if handler else Result.check(INVALID_OPCODE)

	# ---------------------------------------------------------------------- commands

	def read_write(self, cdb, data):
		lba, count = rw_range(cdb)
		if lba + count > self.blocks:
			return Result.check(LBA_OUT_OF_RANGE, lba)
		for bad, sense in self.errors.items():
			if lba <= bad < lba + count:
				return Result.check(sense, bad)
		first, length = lba * self.block_size, count * self.block_size
		if cdb[0] in READS:
			return Result(bytes(self.store[first:first + length]))
		if self.write_protect:
			return Result.check(WRITE_PROTECTED)
		self.store[first:first + min(length, len(data))] = data[:length]
		return Result()

	def inquiry(self, cdb):
		alloc = struct.unpack_from('>H', cdb, 3)[0]
		if not cdb[1] & 1:
			if cdb[2]:
				return Result.check(INVALID_FIELD)
			return Result(self.standard_inquiry()[:alloc])
		page = self.vpd(cdb[2])
		if page is None:
			return Result.check(INVALID_FIELD)
		return Result((struct.pack('>BBH', 0, cdb[2], len(page)) + page)[:alloc])

	def standard_inquiry(self):
		head = bytes((0, 0, 0x05, 0x02, 91, 0, 0, 0x02))	# SPC-3, CmdQue
		text = self.vendor.ljust(8)[:8] + self.product.ljust(16)[:16] + self.revision.ljust(4)[:4]
		tail = bytes(22) + struct.pack('>HHH', 0x0960, 0x0300, 0x0320)	# iSCSI, SPC-3, SBC-2
		return (head + text.encode() + tail).ljust(96, b'\0')

	def vpd(self, page):
		if page == 0x00:
			return bytes((0x00, 0x80, 0x83, 0xB0))
		if page == 0x80:
			return self.serial.encode()
		if page == 0x83:
			naa = struct.pack('>BBBB', 0x01, 0x03, 0, len(self.wwid)) + self.wwid
			t10 = (self.vendor.ljust(8) + self.serial).encode()
			return naa + struct.pack('>BBBB', 0x02, 0x01, 0, len(t10)) + t10
		if page == 0xB0:
			body = bytearray(60)
			struct.pack_into('>II', body, 4, self.max_blocks, self.optimal_blocks)
			return bytes(body)
		return None

	def mode_page(self, cdb):
		"""Pages, or None for one that is not there (caching page 08h only; DPOFUA is
		in the header)."""
		caching = bytes((0x08, 0x12, 0x04)) + bytes(17)		# WCE=1
		page = cdb[2] & 0x3F
		if page in (0x08, 0x3F):
			return caching
		return None

	def mode_sense_6(self, cdb):
		page = self.mode_page(cdb)
		if page is None:
			return Result.check(INVALID_FIELD)
		head = bytes((3 + len(page), 0, 0x90 if self.write_protect else 0x10, 0))
		return Result((head + page)[:cdb[4]])

	def mode_sense_10(self, cdb):
		page = self.mode_page(cdb)
		if page is None:
			return Result.check(INVALID_FIELD)
		head = struct.pack('>HBBBBH', 6 + len(page), 0, 0x90 if self.write_protect else 0x10, 0, 0, 0)
		return Result((head + page)[:struct.unpack_from('>H', cdb, 7)[0]])

	def read_capacity_10(self, cdb):
		return Result(struct.pack('>II', min(self.blocks - 1, 0xFFFFFFFF), self.block_size))

	def service_action_in(self, cdb):
		if cdb[1] & 0x1F != 0x10:
			return Result.check(INVALID_FIELD)
		data = struct.pack('>QI', self.blocks - 1, self.block_size) + bytes(20)
		return Result(data[:struct.unpack_from('>I', cdb, 10)[0]])

	def report_luns(self, cdb, luns):
		body = b''.join(lun_encode(n) for n in luns)
		data = struct.pack('>II', len(body), 0) + body
		return Result(data[:struct.unpack_from('>I', cdb, 6)[0]])
