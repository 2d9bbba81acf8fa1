# SPDX-License-Identifier: BSD-2-Clause
"""Strict checks of everything an initiator sends, RFC 7143 section by section.

A real target forgives much; this one writes down each breach as a Violation with a short
rule name, and goes on where it can.  A scene fails when there is a violation that it did
not announce with target.allow(RULE).  The checks run under the session's lock, before
the target acts on the PDU."""

from pdu import INITIATOR_OPS, Op, RESERVED_TAG, lun_decode, sn_add, sn_le, sn_lt
from scsi import READS, WRITES, rw_range

# Bits that must be zero: opcode -> [(byte, mask)] (11.3 to 11.18).
def _range(first, last):
	return [(n, 0xFF) for n in range(first, last + 1)]


RESERVED = {
	Op.NOP_OUT: [(0, 0x80), (1, 0x7F)] + _range(2, 4) + _range(32, 47),
	Op.SCSI_CMD: [(0, 0x80), (1, 0x18)] + _range(2, 3),
	Op.TMF_REQ: [(0, 0x80)] + _range(2, 7) + _range(40, 47),
	Op.LOGIN_REQ: [(0, 0x80), (1, 0x30), (4, 0xFF)] + _range(22, 23) + _range(32, 47),
	Op.TEXT_REQ: [(0, 0x80), (1, 0x3F)] + _range(2, 4) + _range(32, 47),
	Op.DATA_OUT: [(0, 0xC0), (1, 0x7F)] + _range(2, 4) + _range(24, 27) + _range(32, 35) + _range(44, 47),
	Op.LOGOUT_REQ: [(0, 0x80)] + _range(2, 15) + _range(22, 23) + _range(32, 47),
	Op.SNACK: [(0, 0xC0), (1, 0x70)] + _range(2, 7) + _range(24, 27) + _range(32, 39),
}

# PDUs that carry CmdSN
NUMBERED = (Op.NOP_OUT, Op.SCSI_CMD, Op.TMF_REQ, Op.TEXT_REQ, Op.LOGOUT_REQ)

FINAL_ALWAYS = (Op.NOP_OUT, Op.TMF_REQ, Op.LOGOUT_REQ, Op.SNACK)

REPORT_LUNS_WLUN = b'\xc1\x01' + bytes(6)		# SAM-3 4.9.7, for REPORT LUNS only

TMF_WITH_LUN = (1, 2, 3, 4, 5)


class Violation:
	def __init__(self, rule, text, conn, pdu):
		self.rule, self.text, self.conn, self.pdu = rule, text, conn, pdu

	def __str__(self):
		return '%s: %s (connection %d) %r' % (self.rule, self.text, self.conn, self.pdu)


class Checker:
	"""One for each target; `bad` collects through target.violation()."""

	def __init__(self, target):
		self.target = target

	def bad(self, c, pdu, rule, text):
		self.target.violation(c, pdu, rule, text)

	def pdu(self, c, pdu):
		"""Any PDU in full feature phase, before the handlers."""
		self.template(c, pdu)
		op = pdu.opcode
		if op not in INITIATOR_OPS:
			return
		if op == Op.LOGIN_REQ:
			self.bad(c, pdu, 'login-in-ffp', 'Login Request in full feature phase (6.3)')
			return
		if pdu.dsl > c.max_recv:
			self.bad(c, pdu, 'dsl', 'DataSegmentLength %d over our MaxRecvDataSegmentLength %d '
				'(13.12)' % (pdu.dsl, c.max_recv))
		self.expstatsn(c, pdu)
		if op in NUMBERED and self.cmdsn(c, pdu):
			return				# a retry: looked at when it came first
		if c.logging_out and self.is_after_logout(c, pdu):
			self.bad(c, pdu, 'after-logout', 'request after the Logout Request (11.14)')
		s = c.session
		if s.discovery and op not in (Op.TEXT_REQ, Op.LOGOUT_REQ):
			self.bad(c, pdu, 'discovery-op', 'only Text and Logout in a discovery session (13.21)')
		check = {
			Op.NOP_OUT: self.nop_out, Op.SCSI_CMD: self.scsi_cmd, Op.TMF_REQ: self.tmf,
			Op.TEXT_REQ: self.text, Op.DATA_OUT: None, Op.LOGOUT_REQ: self.logout,
			Op.SNACK: self.snack,
		}[op]
		if check:
			check(c, pdu)

	@staticmethod
	def is_after_logout(c, pdu):
		"""There is no order between connections: where the Logout Request did not come by, a PDU may have been
		under way before it, and only a CmdSN of its own tells."""
		if c.logout_by is None or c.logout_by[0] is c:
			return True
		return pdu.opcode in NUMBERED and not pdu.imm and not sn_lt(pdu.cmdsn, c.logout_by[1])

	# -------------------------------------------------------------------- every PDU

	def template(self, c, pdu):
		op = pdu.opcode
		if op not in INITIATOR_OPS:
			self.bad(c, pdu, 'opcode', 'not an initiator opcode: 0x%02x (11.2.1.2)' % op)
			return
		for byte, mask in RESERVED[op]:
			if pdu.bhs[byte] & mask:
				self.bad(c, pdu, 'reserved', 'reserved bits set in byte %d: 0x%02x & 0x%02x '
					'(11)' % (byte, pdu.bhs[byte], mask))
				break
		if op in FINAL_ALWAYS and not pdu.final:
			self.bad(c, pdu, 'f-bit', 'bit 0 of byte 1 must be 1')
		if any(pdu.pad):
			self.bad(c, pdu, 'padding', 'padding is not zero (11.1)')
		if pdu.ahs:
			self.ahs(c, pdu)

	def ahs(self, c, pdu):
		if pdu.opcode != Op.SCSI_CMD:
			self.bad(c, pdu, 'ahs', 'AHS in a PDU that has none (11.2.1.5)')
			return
		at, seen = 0, set()
		while at < len(pdu.ahs):
			length = int.from_bytes(pdu.ahs[at:at + 2], 'big')
			kind = pdu.ahs[at + 2]
			end = at + 3 + length
			padded = at + (3 + length + 3 & ~3)
			if kind not in (1, 2) or padded > len(pdu.ahs) or kind in seen or length == 0:
				self.bad(c, pdu, 'ahs', 'AHS type %d length %d (11.2.2)' % (kind, length))
				return
			if kind == 2 and length != 5:
				self.bad(c, pdu, 'ahs', 'bidirectional AHS of length %d (11.2.2.4)' % length)
			if kind == 1 and length < 2:
				self.bad(c, pdu, 'ahs', 'extended CDB shorter than 17 bytes (11.2.2.3)')
			if pdu.ahs[at + 3] or any(pdu.ahs[end:padded]):
				self.bad(c, pdu, 'ahs', 'reserved or padding bytes of an AHS not zero')
			seen.add(kind)
			at = padded

	def expstatsn(self, c, pdu):
		"""Never back, never over what was sent (4.2.2.2)."""
		got = pdu.expstatsn
		if pdu.opcode == Op.LOGOUT_REQ and pdu.function and pdu.cid != c.cid:
			c = c.session.conns.get(pdu.cid) or c.session.failed.get(pdu.cid)
			if c is None:			# 11.14.4: it is about the connection to be closed
				return
		if not sn_le(got, c.statsn):
			self.bad(c, pdu, 'expstatsn', 'ExpStatSN %08x acknowledges what was not sent '
				'(next StatSN %08x)' % (got, c.statsn))
		elif sn_lt(got, c.acked):
			self.bad(c, pdu, 'expstatsn', 'ExpStatSN %08x goes back from %08x' % (got, c.acked))
		else:
			c.acked = got
			self.target.acknowledged(c, got)

	def cmdsn(self, c, pdu):
		"""4.2.2.1; True for a retry.  Several connections interleave: there, only the order on
		each of them and the window are sure."""
		s, sn = c.session, pdu.cmdsn
		if pdu.imm:
			if s.plain and sn != s.next_cmdsn:
				self.bad(c, pdu, 'cmdsn', 'immediate with CmdSN %d, the current one is %d' % (sn, s.next_cmdsn))
			return False
		if sn in s.seen and self.retry(c, pdu):
			return True
		if not sn_le(sn, s.maxcmdsn_sent):
			self.bad(c, pdu, 'window', 'CmdSN %d over MaxCmdSN %d' % (sn, s.maxcmdsn_sent))
		plugs = sn in s.rejected		# 7.3: any command may fill that hole
		if plugs:
			s.rejected.discard(sn)
		elif s.plain and sn != s.next_cmdsn:
			self.bad(c, pdu, 'cmdsn', 'CmdSN %d, expected %d' % (sn, s.next_cmdsn))
		elif c.last_cmdsn is not None and not sn_lt(c.last_cmdsn, sn) and not s.broken:
			self.bad(c, pdu, 'cmdsn', 'CmdSN %d after %d on one connection' % (sn, c.last_cmdsn))
		s.seen[sn] = (c, pdu)
		if c.last_cmdsn is None or sn_lt(c.last_cmdsn, sn):
			c.last_cmdsn = sn
		if not sn_lt(sn, s.next_cmdsn):
			s.next_cmdsn = sn_add(sn)
		return False

	def retry(self, c, pdu):
		"""The same CmdSN again (7.2.1): the same ITT, flags, LUN, CDB, on the same connection.
		False: that is something else."""
		s, f = c.session, self.bad
		conn, first = s.seen[pdu.cmdsn]
		if first.itt != pdu.itt or first.opcode != pdu.opcode:
			f(c, pdu, 'cmdsn', 'CmdSN %d was given to ITT %08x' % (pdu.cmdsn, first.itt))
			return False
		if s.params['ErrorRecoveryLevel'] == 0 and not s.lost_itts and conn is c:
			f(c, pdu, 'retry', 'retry at ErrorRecoveryLevel 0, where nothing was lost')
		same = lambda p: bytes(p.bhs[:4]) + bytes(p.bhs[8:28]) + bytes(p.bhs[32:]) + p.ahs
		if same(first) != same(pdu):
			f(c, pdu, 'retry', 'a retry differs from %r (7.2.1)' % first)
		if conn is not c and not conn.logged_out:
			f(c, pdu, 'retry', 'a retry on another connection before the logout of the first (7.2.1)')
		if conn is c and any(sn_lt(n, pdu.expstatsn) and sn_lt(pdu.cmdsn, e) for n, e in c.told[-64:]):
			f(c, pdu, 'retry', 'a retry of a command that was acknowledged by ExpCmdSN (7.2.1)')
		self.target.note(c, 'that is a retry')
		s.seen[pdu.cmdsn] = (c, pdu)
		return True

	def new_itt(self, c, pdu):
		if pdu.itt == RESERVED_TAG:
			self.bad(c, pdu, 'itt', 'reserved ITT given to a task (11.2.1.8)')
		elif pdu.itt in c.session.tasks:
			self.bad(c, pdu, 'itt', 'ITT %08x is in use (11.2.1.8)' % pdu.itt)

	# -------------------------------------------------------------------- each opcode

	def scsi_cmd(self, c, pdu):
		p, f = c.session.params, self.bad
		self.new_itt(c, pdu)
		if not pdu.write and not pdu.final:
			f(c, pdu, 'f-bit', 'neither W nor F set (11.3.1)')
		if pdu.edtl and not (pdu.read or pdu.write):
			f(c, pdu, 'rw-bits', 'EDTL %d without R or W (11.3.1)' % pdu.edtl)
		if pdu.attr > 4:
			f(c, pdu, 'attr', 'reserved task attribute %d (11.3.1)' % pdu.attr)
		if lun_decode(pdu.lun) is None and pdu.lun != REPORT_LUNS_WLUN:
			f(c, pdu, 'lun', 'LUN %s is neither peripheral nor flat' % pdu.lun.hex())
		if pdu.read and pdu.write and (not pdu.ahs or pdu.ahs[2] != 2):
			f(c, pdu, 'ahs', 'bidirectional command without its AHS (11.3.4)')
		if pdu.dsl:
			if not pdu.write:
				f(c, pdu, 'immediate', 'immediate data in a command that is no write')
			if p['ImmediateData'] != 'Yes':
				f(c, pdu, 'immediate', 'immediate data, ImmediateData=No (13.11)')
			if pdu.dsl > p['FirstBurstLength']:
				f(c, pdu, 'immediate', 'immediate data %d over FirstBurstLength %d (13.14)'
					% (pdu.dsl, p['FirstBurstLength']))
			if pdu.dsl > pdu.edtl:
				f(c, pdu, 'immediate', 'immediate data %d over EDTL %d' % (pdu.dsl, pdu.edtl))
			if pdu.dsl == pdu.edtl and not pdu.final:
				f(c, pdu, 'f-bit', 'all data is immediate, F must be 1 (11.3.4)')
		if pdu.write and not pdu.final:
			if p['InitialR2T'] != 'No':
				f(c, pdu, 'f-bit', 'F=0 announces unsolicited data, InitialR2T=Yes (13.10)')
			if pdu.dsl >= min(pdu.edtl, p['FirstBurstLength']):
				f(c, pdu, 'f-bit', 'F=0 but no unsolicited data may follow')
		self.cdb(c, pdu)

	def cdb(self, c, pdu):
		"""EDTL, R and W as the CDB says, for the commands whose length is certain."""
		op = pdu.cdb[0]
		if op in READS + WRITES:
			want = pdu.write if op in WRITES else pdu.read
			lba, count = rw_range(pdu.cdb)
			if count and not want:
				self.bad(c, pdu, 'rw-bits', 'R/W bit does not fit the CDB')
			disk = c.target.luns.get(lun_decode(pdu.lun))
			if disk and pdu.edtl != count * disk.block_size:
				self.bad(c, pdu, 'edtl', 'EDTL %d for %d blocks of %d'
					% (pdu.edtl, count, disk.block_size))

	def data_out(self, c, pdu, task):
		"""A Data-Out for `task` (None: unknown ITT), with the sequence it belongs to."""
		f = self.bad
		if task is None:
			f(c, pdu, 'dataout-itt', 'Data-Out for an unknown ITT')
			return None
		if not task.write:
			f(c, pdu, 'dataout-read', 'Data-Out for a command without W')
			return None
		p = c.session.params
		if pdu.ttt == RESERVED_TAG:
			seq = task.unsolicited
			if seq is None or seq.done:
				f(c, pdu, 'unsolicited', 'unsolicited Data-Out that was not announced (11.3.1)')
				return None
			if any(pdu.lun):
				f(c, pdu, 'dataout-lun', 'LUN set without a Target Transfer Tag (11.7.4)')
			if c.unsolicited and c.unsolicited[0] is not task:
				f(c, pdu, 'unsolicited-order', 'unsolicited data not in command order (4.2.5.2)')
		else:
			same = [r for r in task.r2ts if r.ttt == pdu.ttt]	# a target may use a tag again
			seq = next((r for r in same if not r.done), same[-1] if same else None)
			if seq is None:
				f(c, pdu, 'dataout-ttt', 'TTT %08x was not given for this task (11.7.4)' % pdu.ttt)
				return None
			if pdu.lun != task.lun:
				f(c, pdu, 'dataout-lun', 'LUN differs from the command\'s (11.7.4)')
			if seq.done:
				f(c, pdu, 'dataout-ttt', 'Data-Out after the F bit of its R2T')
				return None
			if next(r for r in task.r2ts if not r.done and not r.lost) is not seq and \
					not any(r.resent for r in task.r2ts):
				f(c, pdu, 'r2t-order', 'R2T answered out of order (11.8)')
		if pdu.datasn != seq.datasn:
			f(c, pdu, 'datasn', 'DataSN %d, expected %d (11.7.5)' % (pdu.datasn, seq.datasn))
		if pdu.offset != seq.next:
			f(c, pdu, 'offset', 'Buffer Offset %d, expected %d (11.7.6)' % (pdu.offset, seq.next))
		end = pdu.offset + pdu.dsl
		if end > seq.end:
			f(c, pdu, 'length', 'data up to %d, the sequence ends at %d (11.8, 13.14)' % (end, seq.end))
		if not pdu.dsl:
			f(c, pdu, 'empty', 'Data-Out without data (11.7.7)')
		if pdu.final and end < seq.end:
			f(c, pdu, 'short', 'F at %d, the sequence ends at %d (4.2.5.2, 11.8)' % (end, seq.end))
		if not pdu.final and end >= seq.end:
			f(c, pdu, 'f-bit', 'last Data-Out of a sequence without F (11.7.1)')
		if not pdu.final and pdu.dsl % 4:
			f(c, pdu, 'alignment', 'Data-Out of %d bytes inside a sequence (11.7.7)' % pdu.dsl)
		if end > task.edtl or seq.end - seq.start > p['MaxBurstLength']:
			f(c, pdu, 'length', 'data over EDTL or MaxBurstLength')
		return seq

	def nop_out(self, c, pdu):
		f = self.bad
		if pdu.itt == RESERVED_TAG:
			if not pdu.imm:
				f(c, pdu, 'nop', 'ITT reserved but I=0 (11.18.1)')
			if pdu.dsl:
				f(c, pdu, 'nop', 'ping data where no answer is asked (11.18.3)')
		else:
			self.new_itt(c, pdu)
		if pdu.ttt == RESERVED_TAG:
			if any(pdu.lun) and not c.session.fast_abort:
				f(c, pdu, 'nop', 'LUN set without a TTT (11.18.2)')
			return
		if pdu.ttt not in c.pings:
			f(c, pdu, 'nop', 'TTT %08x is not of a NOP-In that waits (11.18.2)' % pdu.ttt)
		elif pdu.lun != c.pings[pdu.ttt]:
			f(c, pdu, 'nop', 'LUN not copied from the NOP-In (11.18.2)')

	def text(self, c, pdu):
		f = self.bad
		if pdu.cont and pdu.final:
			f(c, pdu, 'text', 'C and F both set (11.10.2)')
		t = c.text
		if pdu.ttt == RESERVED_TAG and t is None:
			self.new_itt(c, pdu)
			if any(pdu.lun):
				f(c, pdu, 'text', 'LUN set in a new Text Request')
			return
		if t is None:
			f(c, pdu, 'text', 'continuation of nothing')
			return
		if t.waiting_reply:
			f(c, pdu, 'text', 'second outstanding Text Request (11.10)')
		if pdu.itt != t.itt:
			f(c, pdu, 'text', 'ITT %08x, the sequence has %08x (11.10.3)' % (pdu.itt, t.itt))
		if pdu.imm != t.imm:
			f(c, pdu, 'text', 'I bit changed within a sequence (11.10.3)')
		if pdu.ttt != RESERVED_TAG and pdu.ttt != t.ttt:
			f(c, pdu, 'text', 'TTT %08x, given was %08x (11.10.4)' % (pdu.ttt, t.ttt))
		if pdu.ttt != RESERVED_TAG and pdu.lun != t.lun:
			f(c, pdu, 'text', 'LUN not copied (11.11.4)')
		if t.sent_cont and pdu.dsl:
			f(c, pdu, 'text', 'data in the answer to a C bit (6.2)')

	def logout(self, c, pdu):
		self.new_itt(c, pdu)
		if pdu.function > 2:
			self.bad(c, pdu, 'logout', 'reserved reason %d (11.14.1)' % pdu.function)
		if pdu.function == 0 and pdu.cid:
			self.bad(c, pdu, 'logout', 'CID set where it is reserved (11.14.3)')
		if pdu.function and pdu.cid not in c.session.conns and pdu.cid not in c.session.failed:
			self.bad(c, pdu, 'logout', 'CID %d is not of this session' % pdu.cid)
		if c.session.discovery and pdu.function != 0:
			self.bad(c, pdu, 'logout', 'reason %d in a discovery session (13.21)' % pdu.function)
		if pdu.function == 2 and c.session.params['ErrorRecoveryLevel'] < 2:
			self.bad(c, pdu, 'logout', 'reason 2 below ErrorRecoveryLevel 2')

	def tmf(self, c, pdu):
		f, fn = self.bad, pdu.function
		self.new_itt(c, pdu)
		if not 1 <= fn <= 8:
			f(c, pdu, 'tmf', 'function %d (11.5.1)' % fn)
		if fn == 8 and not pdu.imm:
			f(c, pdu, 'tmf', 'TASK REASSIGN must be immediate (11.5.1)')
		if fn not in TMF_WITH_LUN and any(pdu.lun):
			f(c, pdu, 'tmf', 'LUN is reserved for function %d (11.5.3)' % fn)
		if fn not in (1, 8) and pdu.rtt != RESERVED_TAG:
			f(c, pdu, 'tmf', 'Referenced Task Tag must be reserved (11.5.4)')
		if fn != 1 and pdu.refcmdsn:
			f(c, pdu, 'tmf', 'RefCmdSN is reserved (11.5.5)')
		if fn != 8 and pdu.expdatasn:
			f(c, pdu, 'tmf', 'ExpDataSN is reserved (11.5.6)')
		task = c.session.tasks.get(pdu.rtt)
		if fn == 1 and task is not None:
			if pdu.lun != task.lun:
				f(c, pdu, 'tmf', 'LUN is not the task\'s (11.5.3)')
			want = pdu.cmdsn if task.imm else task.cmdsn
			if pdu.refcmdsn != want:
				f(c, pdu, 'tmf', 'RefCmdSN %d, the task has %d (11.5.5)' % (pdu.refcmdsn, want))
			if task.conn is not c and not task.conn.logged_out:
				f(c, pdu, 'tmf', 'ABORT TASK on another connection (11.5.1)')
		if fn == 8:
			self.reassign(c, pdu)

	def reassign(self, c, pdu):
		f, s = self.bad, c.session
		if s.params['ErrorRecoveryLevel'] < 2:
			f(c, pdu, 'reassign', 'TASK REASSIGN below ErrorRecoveryLevel 2 (7.1.5)')
		task = self.target.find_task(s, pdu.rtt)
		if task is None:
			return
		if task.allegiant:
			f(c, pdu, 'reassign', 'TASK REASSIGN before the logout of the connection (7.2.2)')
		if pdu.expdatasn and not task.data_acked <= pdu.expdatasn <= max(task.sent, default=-1) + 1:
			f(c, pdu, 'reassign', 'ExpDataSN %d, acknowledged %d, sent %d (11.5.6)'
				% (pdu.expdatasn, task.data_acked, max(task.sent, default=-1) + 1))

	def snack(self, c, pdu):
		f, kind = self.bad, pdu.snack_type
		if c.session.params['ErrorRecoveryLevel'] == 0:
			f(c, pdu, 'snack', 'SNACK at ErrorRecoveryLevel 0')
			return
		if kind > 3:
			f(c, pdu, 'snack', 'type %d (11.16.1)' % kind)
		if kind in (1, 2) and pdu.itt != RESERVED_TAG:
			f(c, pdu, 'snack', 'ITT must be reserved (11.16.4)')
		if kind in (0, 1) and pdu.ttt != RESERVED_TAG:
			f(c, pdu, 'snack', 'TTT must be reserved (11.16.5)')
		if kind in (2, 3) and pdu.runlength:
			f(c, pdu, 'snack', 'RunLength must be 0 (11.16.7)')
		if kind == 1:
			wanted = pdu.begrun or pdu.runlength
			if wanted and not sn_lt(pdu.begrun, c.statsn):
				f(c, pdu, 'snack', 'status %08x was never sent (11.16)' % pdu.begrun)
			if wanted and sn_lt(pdu.begrun, c.acked):
				f(c, pdu, 'snack', 'status %08x is acknowledged already (11.16)' % pdu.begrun)
		elif kind == 2:
			self.dataack(c, pdu)
		else:
			self.snack_task(c, pdu)

	def dataack(self, c, pdu):
		f = self.bad
		if pdu.ttt not in c.acks:
			f(c, pdu, 'snack', 'DataACK with TTT %08x, which no A bit waits for (11.16.5)' % pdu.ttt)
			return
		task, until, lun = c.acks[pdu.ttt]
		if pdu.lun != lun:
			f(c, pdu, 'snack', 'LUN not copied from the Data-In (11.16.5)')
		if pdu.begrun < until or pdu.begrun > max(task.sent) + 1:
			f(c, pdu, 'snack', 'DataACK up to %d, the Data-In was before %d (11.16.6)' % (pdu.begrun, until))
		if any(n < pdu.begrun for n in task.lost):
			f(c, pdu, 'snack', 'DataACK over a hole at %s (11.16.2)' % sorted(task.lost))
		if task.statsn is not None and sn_lt(task.statsn, c.acked):
			f(c, pdu, 'snack', 'DataACK after the status was acknowledged (11.7.2)')

	def snack_task(self, c, pdu):
		"""Data/R2T SNACK and R-Data SNACK."""
		f = self.bad
		task = self.target.find_task(c.session, pdu.itt)
		if task is None:
			f(c, pdu, 'snack', 'ITT %08x: no such task, or its status is acknowledged (11.16)' % pdu.itt)
			return
		if task.conn is not c:
			f(c, pdu, 'snack', 'SNACK on another connection (4.2.5.1)')
		if pdu.snack_type == 3:
			if pdu.begrun:
				f(c, pdu, 'snack', 'BegRun of R-Data must be 0 (11.16.6)')
			if pdu.ttt in (0, RESERVED_TAG) or pdu.ttt == task.snack_tag:
				f(c, pdu, 'snack', 'SNACK Tag %08x (11.16.5)' % pdu.ttt)
			return
		if (pdu.begrun or pdu.runlength) and pdu.begrun < task.data_acked:
			f(c, pdu, 'snack', 'DataSN %d is acknowledged already (11.16.2)' % pdu.begrun)
		if pdu.begrun + max(pdu.runlength, 1) > max(task.sent, default=-1) + 1:
			f(c, pdu, 'snack', 'asks for DataSN %d, %d are sent (11.16)' % (pdu.begrun
				+ max(pdu.runlength, 1) - 1, max(task.sent, default=-1) + 1))
		if task.read and task.sent and task.segment != c.max_send:
			f(c, pdu, 'snack', 'MaxRecvDataSegmentLength has changed: R-Data is due (11.16.3)')

	# -------------------------------------------------------------------------- login

	def login(self, c, pdu):
		"""Header of a Login Request (11.12); the keys are looked at in login.py."""
		f, lg = self.bad, c.login
		self.template(c, pdu)
		if pdu.opcode != Op.LOGIN_REQ:
			f(c, pdu, 'login-op', 'not a Login Request during login (6.3)')
			return
		if not pdu.imm:
			f(c, pdu, 'login', 'I must be 1 (11.12)')
		if pdu.cont and pdu.transit:
			f(c, pdu, 'login', 'C and T both set (11.12.2)')
		if pdu.csg not in (0, 1):
			f(c, pdu, 'login', 'CSG %d (11.12.3)' % pdu.csg)
		if pdu.transit and (pdu.nsg not in (1, 3) or pdu.nsg <= pdu.csg):
			f(c, pdu, 'login', 'NSG %d from CSG %d (6.3)' % (pdu.nsg, pdu.csg))
		if not pdu.transit and pdu.nsg:
			f(c, pdu, 'login', 'NSG is reserved when T=0 (11.12.3)')
		if pdu.version_max or pdu.version_min:
			f(c, pdu, 'login', 'version %d/%d (11.12.4)' % (pdu.version_max, pdu.version_min))
		if pdu.dsl > 8192:
			f(c, pdu, 'dsl', 'over the default MaxRecvDataSegmentLength in login (6.3)')
		self.isid(c, pdu)
		if pdu.itt == RESERVED_TAG:
			f(c, pdu, 'itt', 'reserved ITT given to a task (11.2.1.8)')
		if lg.first is None:
			if pdu.expstatsn and not pdu.tsih:
				f(c, pdu, 'login', 'ExpStatSN %08x in the first request of a leading login '
					'is reserved (11.12.9)' % pdu.expstatsn)
			return
		for name in ('isid', 'tsih', 'itt', 'cid'):
			if getattr(pdu, name) != getattr(lg.first, name):
				f(c, pdu, 'login', '%s changed within the login (11.12)' % name)
		if pdu.cmdsn != lg.first.cmdsn and not pdu.tsih:
			f(c, pdu, 'cmdsn', 'CmdSN changed within a leading login (11.12.8)')
		if pdu.expstatsn != c.statsn:
			f(c, pdu, 'expstatsn', 'ExpStatSN %08x, expected %08x (11.12.9)' % (pdu.expstatsn, c.statsn))
		c.acked = c.statsn
		if pdu.csg != lg.stage:
			f(c, pdu, 'login', 'CSG %d, the stage is %d (6.3)' % (pdu.csg, lg.stage))
		if lg.sent_cont and pdu.dsl:
			f(c, pdu, 'login', 'data in the answer to a C bit (6.2)')

	def isid(self, c, pdu):
		kind, isid = pdu.isid[0] >> 6, pdu.isid
		if kind == 3:
			self.bad(c, pdu, 'isid', 'T=11b is reserved (11.12.5)')
		elif kind in (1, 2) and isid[0] & 0x3F:
			self.bad(c, pdu, 'isid', 'A is reserved for T=%d (11.12.5)' % kind)


