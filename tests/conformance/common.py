# SPDX-License-Identifier: BSD-2-Clause
"""Small things that many scenes share."""

import errno
import hashlib

from pdu import Op, RESERVED_TAG
from scsi import READS, WRITES, Disk
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
