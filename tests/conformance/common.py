# SPDX-License-Identifier: BSD-2-Clause
"""Small things that many scenes share."""

import errno
import hashlib
import threading

from pdu import Op, RESERVED_TAG
from scsi import READS, WRITES, Disk, Result
from target import STATUS_OPS, Target

# errnos that tree.md allows for a peer that breaks the protocol or goes away
PROTOCOL = (errno.EPROTO, errno.EIO)
AUTH = (errno.EACCES,)
BROKEN = (errno.EPROTO, errno.EIO, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EPIPE)
TIMEOUT = (errno.ETIMEDOUT,)
# what reading a LUN may end with when the session is lost
LOST = (errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOENT, errno.ETIMEDOUT, errno.ENOTCONN)


def pattern(offset, size, seed=b''):
	"""Bytes that tell their own place: any block out of place is noticed."""
	first, last = offset // 512, (offset + size + 511) // 512
	out = b''.join((hashlib.sha256(seed + n.to_bytes(8, 'big')).digest() * 16) for n in range(first, last))
	start = offset - first * 512
	return out[start:start + size]


def pattern_disk(size=4 << 20, **config):
	disk = Disk(size=size, **config)
	disk.store[:] = pattern(0, size)
	return disk


def round_trip(s, t, offset=0, size=65536, lun=0):
	"""Write, look into the target, read back."""
	data = pattern(offset, size, b'round trip')
	s.write(t, offset, data, lun)
	s.check(t.luns[lun].store[offset:offset + size] == data, 'the disk does not have what was written')
	s.check(s.read(t, offset, size, lun) == data, 'read back something else')


def reads(t):
	return t.commands(*READS)


def writes(t):
	return t.commands(*WRITES)


def is_read(task):
	return task.cdb[0] in READS


def is_write(task):
	return task.cdb[0] in WRITES


def data_outs(t, cmd):
	return [p for p in t.received(Op.DATA_OUT) if p.itt == cmd.itt]


def unsolicited_of(t, cmd):
	return [p for p in data_outs(t, cmd) if p.ttt == RESERVED_TAG]


def conn_closed(t, n=0):
	"""The initiator has closed connection n of the target."""
	return len(t.conns) > n and t.conns[n].eof


def safe_read(s, t, offset, size, lun=0):
	"""A read that may fail, but never with wrong bytes.  True when it succeeded."""
	return harmless(s, t, s.read_job(t, offset, size, lun), offset, lun)


def harmless(s, t, job, offset, lun=0):
	try:
		got = job.result()
	except OSError:
		return False
	want = bytes(t.luns[lun].store[offset:offset + len(got)])
	s.check(got == want, '%s: wrong bytes came back' % job.what)
	return True


def login_names(t):
	"""All (key, value) that the initiator sent in its logins."""
	return [kv for c in t.conns for kv in c.login.keys]


def status_before(t, pdu):
	"""The last PDU with a status of its own that was sent before pdu came."""
	events = t.events[:t.events.index(t.event_of(pdu))]
	return [e.pdu for e in events if e.kind == 'tx' and e.pdu is not None and
		(e.pdu.opcode in STATUS_OPS or e.pdu.opcode == Op.DATA_IN and e.pdu.has_status)][-1]


class HoldReads(Target):
	"""Collects READs until `hold` of them are there, then answers all."""
	hold = 4
	most = 0			# the most that were outstanding

	def on_scsi_command(self, c, task):
		if not is_read(task):
			return False
		waiting = self.__dict__.setdefault('waiting', [])
		waiting.append(task)
		self.most = max(self.most, len(waiting))
		if len(waiting) >= self.hold:
			self.release()
		return True

	def release(self):
		self.hold = 0
		waiting, self.waiting = self.waiting, []
		for task in waiting:
			self.go_on(task)


# --------------------------------------------------------------------------- recovery

# command_timeout of the recovery scenes: a quiet task is looked after at a sixth of it, the
# first attempt ends at a third, each rung of the ladder takes another sixth.
DEADLINE = 18
# Where all rungs have to be climbed: that takes five sixths of it and a little.
LONG_DEADLINE = 30


class Lossy(Target):
	"""rx(c, pdu) names what is lost on the way in ('lost', 'digest'), tx(c, pdu) on the way
	out ('lost', or a wrong digest of 'header' or 'data')."""
	rx = tx = None

	def on_wire(self, c, pdu):
		return self.rx and self.rx(c, pdu)

	def before_send(self, c, pdu):
		how = self.tx and c.phase == 'ffp' and self.tx(c, pdu)
		if how == 'lost':
			return False
		if how:
			setattr(pdu, 'bad_%s_digest' % how, True)
		return None


def once(how, predicate, times=1):
	"""A function for Lossy.rx or tx: the first PDU (or `times` of them) that fits."""
	left = [times]

	def lose(c, pdu):
		if left[0] and predicate(pdu):
			left[0] -= 1
			return how
		return None
	lose.left = left
	return lose


def is_read_pdu(pdu):
	return pdu.opcode == Op.SCSI_CMD and pdu.cdb[0] in READS


def is_write_pdu(pdu):
	return pdu.opcode == Op.SCSI_CMD and pdu.cdb[0] in WRITES


def data_in(n):
	return lambda p: p.opcode == Op.DATA_IN and p.datasn == n


def at_level(s, level, cls=Lossy, values=None, keys=None, **config):
	"""A target at this ErrorRecoveryLevel, logged in."""
	config.setdefault('luns', {0: pattern_disk()})
	t = s.target(cls, values=dict({'ErrorRecoveryLevel': level}, **(values or {})), **config)
	s.login(t, **dict({'erl': level, 'command_timeout': DEADLINE}, **(keys or {})))
	s.equal(t.sessions[-1].params['ErrorRecoveryLevel'], level, 'ErrorRecoveryLevel')
	return t


def good_read(s, t, offset=0, size=4096, lun=0):
	s.check(s.read(t, offset, size, lun) == bytes(t.luns[lun].store[offset:offset + size]),
		'wrong data at %d' % offset)


def right(s, t, job, offset=0, size=4096, lun=0):
	"""The read job succeeds, with the bytes of the disk."""
	s.check(job.result() == bytes(t.luns[lun].store[offset:offset + size]), '%s: wrong data' % job.what)


def written(s, t, job, offset, data, lun=0):
	s.equal(job.result(), len(data), 'bytes written')
	s.check(bytes(t.luns[lun].store[offset:offset + len(data)]) == data,
		'the disk does not have what was written')


class Holder(Lossy):
	"""Once armed, commands for which on(task) is true are kept in `held`; begin(task) may send
	a part of the answer.  let_go() answers them."""
	armed = False
	on = staticmethod(is_read)
	most = 1 << 30				# how many are held

	def __init__(self, **config):
		super().__init__(**config)
		self.held = []

	def on_scsi_command(self, c, task):
		if not self.armed or len(self.held) >= self.most or not self.on(task):
			return False
		self.held.append(task)
		self.begin(task)
		return True

	def begin(self, task):
		"""Nothing is sent."""

	def let_go(self):
		self.armed, held, self.held = False, self.held, []
		for task in held:
			with task.conn.session.lock:
				if not task.finished:
					self.go_on(task)


class Codes(Target):
	"""READs and WRITEs are answered by what is in `codes`, one each: a sense triple, or a
	status; then normally.  for_ever: by that one, always."""
	for_ever = None
	on = staticmethod(lambda task: is_read(task) or is_write(task))

	def __init__(self, **config):
		super().__init__(**config)
		self.codes = []

	def run(self, task):
		if self.on(task) and (self.codes or self.for_ever):
			code = self.codes.pop(0) if self.codes else self.for_ever
			return Result.check(code) if isinstance(code, tuple) else Result(status=code)
		return super().run(task)


def logins(t):
	"""First Login Request of each connection, with its event, in order."""
	seen, out = set(), []
	for e in list(t.events):
		if e.kind == 'rx' and e.pdu is not None and e.pdu.opcode == Op.LOGIN_REQ and e.conn not in seen:
			seen.add(e.conn)
			out.append(e)
	return out


def conn_of(t, pdu):
	return t.event_of(pdu).conn


def tmfs(t, *functions):
	return [p for p in t.received(Op.TMF_REQ) if not functions or p.function in functions]


def snacks(t, *kinds):
	return [p for p in t.received(Op.SNACK) if not kinds or p.snack_type in kinds]


def tree_cid(s, t, session, conn):
	"""The directory name of a connection of the target, by the port it came from."""
	for cid in s.cids(session):
		if s.cat(session, 'connections', cid, 'local').rsplit(':', 1)[-1] == str(conn.peer[1]):
			return cid
	raise AssertionError('no connection in the tree has the port %d' % conn.peer[1])


class Load:
	"""Six workers that read and write, each its own places, until end(); all must succeed."""

	def __init__(self, s, t, workers=6):
		self.s, self.t, self.stop = s, t, threading.Event()
		self.path = s.disk(t)
		self.jobs = [s.job('worker %d' % k, self.work, k) for k in range(workers)]

	def work(self, k):
		n = 0
		while n < 20 or not self.stop.is_set():
			at = (k * 64 + n % 64) * 8192
			if k % 2:
				data = pattern(at, 4096, b'load%d' % n)
				self.s._write(self.path, at, data, True, False)
				if bytes(self.t.luns[0].store[at:at + 4096]) != data:
					raise AssertionError('the write at %d did not arrive' % at)
			elif self.s._read(self.path, at, 4096, True) != pattern(at, 4096):
				raise AssertionError('wrong data at %d' % at)
			n += 1

	def goes_on(self, count=10):
		"""Some more commands have come."""
		have = len(self.t.received(Op.SCSI_CMD))
		self.t.wait(lambda: len(self.t.received(Op.SCSI_CMD)) > have + count or
			any(j.done.is_set() for j in self.jobs), 'load')

	def end(self):
		self.stop.set()
		for job in self.jobs:
			job.result(120)
