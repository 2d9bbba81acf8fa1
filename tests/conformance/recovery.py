# SPDX-License-Identifier: BSD-2-Clause
"""Error recovery and several connections, the target's side: RFC 7143 sections 6.3.4, 6.3.5,
7, 11.5, 11.14 and 11.16.

RecoveryMixin is a part of target.Target.  What it keeps:

	Conn.history      StatSN -> answer, until ExpStatSN acknowledges it (ERL 1 and 2)
	Task.sent         DataSN or R2TSN -> Data-In or R2T
	Session.finished  ITT -> Task whose status is not acknowledged yet
	Session.failed    CID -> Conn that broke and that nobody has logged out
	Session.seen      CmdSN -> what came with it: a retry has to be the same again

A task of a lost connection waits for a logout (explicit or by reinstatement), then, at
ERL 2, for TASK REASSIGN; all of it ends Time2Wait + Time2Retain after the loss."""

import time

from pdu import Op, Pdu, RESERVED_TAG, sn_add, sn_le, sn_lt
from scsi import BUS_RESET, CLEARED_BY_ISCSI, GOOD, NEXUS_LOSS

SESSION, CONNECTION, RECOVERY = 0, 1, 2		# reasons of a logout


class Cover:
	"""Which bytes of a transfer are there."""

	def __init__(self):
		self.parts = []			# sorted, apart from each other

	def add(self, start, end):
		if start >= end:
			return
		keep = [p for p in self.parts if p[1] < start or p[0] > end]
		touch = [p for p in self.parts if p not in keep]
		self.parts = sorted(keep + [(min([start] + [p[0] for p in touch]),
			max([end] + [p[1] for p in touch]))])

	@property
	def size(self):
		return sum(b - a for a, b in self.parts)

	def gaps(self, end):
		at, out = 0, []
		for a, b in self.parts:
			if a > at:
				out.append((at, min(a, end)))
			at = max(at, b)
		if at < end:
			out.append((at, end))
		return out


class RecoveryMixin:

	# ---------------------------------------------------------------- what was sent

	def keeps(self, c):
		return c.phase == 'ffp' and c.session.params['ErrorRecoveryLevel'] > 0

	def find_task(self, s, itt):
		return s.tasks.get(itt) or s.finished.get(itt)

	def remember(self, c, pdu):
		"""Called for each numbered PDU before a scene may spoil or lose it."""
		if not self.keeps(c):
			return
		s = c.session
		task = self.find_task(s, pdu.itt)
		if pdu.opcode in (Op.DATA_IN, Op.R2T) and task:
			task.sent[pdu.datasn] = pdu.copy()
			task.segment = c.max_send
			if pdu.opcode == Op.DATA_IN and pdu.ack:
				c.acks[pdu.ttt] = (task, sn_add(pdu.datasn), pdu.lun)
		if pdu.opcode in self.STATUS_OPS or pdu.opcode == Op.DATA_IN and pdu.has_status or \
				pdu.opcode == Op.NOP_IN and pdu.itt != RESERVED_TAG:
			c.history[pdu.statsn] = pdu.copy()
			if task and task.finished and pdu.opcode in (Op.SCSI_RSP, Op.DATA_IN):
				task.status_pdu, task.statsn, task.status_conn = pdu.copy(), pdu.statsn, c

	def mark_lost(self, c, pdu, lost):
		"""What the initiator cannot have got: a status may not be acknowledged, nor that of a
		command whose Data-In is missing."""
		if not self.keeps(c):
			return
		if pdu.statsn in c.history and (pdu.opcode != Op.DATA_IN or pdu.has_status) and pdu.opcode != Op.R2T:
			(c.lost_status.add if lost else c.lost_status.discard)(pdu.statsn)
		if pdu.opcode == Op.R2T:
			task = self.find_task(c.session, pdu.itt)
			for r in task.r2ts if task else ():
				if r.ttt == pdu.ttt:
					r.lost, r.resent = lost, r.resent or pdu.resent
					r.done = r.done and (lost or r.datasn > 0)	# now it is answered, too
		elif pdu.opcode == Op.DATA_IN:
			task = self.find_task(c.session, pdu.itt)
			if task:
				(task.lost.add if lost else task.lost.discard)(pdu.datasn)

	def acknowledged(self, c, expstatsn):
		"""ExpStatSN has moved."""
		for sn in [n for n in c.history if sn_lt(n, expstatsn)]:
			del c.history[sn]
			if sn in c.lost_status:
				c.lost_status.discard(sn)
				self.violation(c, None, 'early-ack', 'status %08x acknowledged, which was lost (7.9)' % sn)
		s = c.session
		if s is None:
			return
		for itt, task in list(s.finished.items()):
			if task.status_conn is c and sn_lt(task.statsn, expstatsn):
				del s.finished[itt]
				if task.lost:
					self.violation(c, task.pdu, 'early-ack', 'status acknowledged while Data-In %s is '
						'missing (7.9, 11.7.2)' % sorted(task.lost))

	def resend(self, c, pdu):
		"""An exact replica, with the current ExpCmdSN and MaxCmdSN (11.16)."""
		out = pdu.copy()
		out.expcmdsn, out.maxcmdsn = c.session.expcmdsn, self.max_cmdsn(c.session)
		if out.opcode == Op.R2T:
			out.statsn = c.statsn
		out.resent = True
		c.offer(out)

	# ------------------------------------------------------------------------ SNACK

	def snack(self, c, pdu):
		if c.session.params['ErrorRecoveryLevel'] == 0:
			self.reject(c, pdu, 0x03)
			return
		(self.snack_data, self.snack_status, self.snack_ack, self.snack_rdata)[pdu.snack_type & 3](c, pdu)

	def snack_data(self, c, pdu):
		task = self.find_task(c.session, pdu.itt)
		if task is None or task.conn is not c:
			self.reject(c, pdu, 0x04)
			return
		if not pdu.begrun and not pdu.runlength:
			wanted = [n for n in sorted(task.sent) if n >= task.data_acked]
		else:
			end = pdu.begrun + pdu.runlength if pdu.runlength else max(task.sent, default=0) + 1
			wanted = list(range(pdu.begrun, max(end, pdu.begrun + 1)))
		if any(n not in task.sent or n < task.data_acked for n in wanted):
			self.reject(c, pdu, 0x04)
			return
		for n in wanted:
			self.resend(c, task.sent[n])

	def snack_status(self, c, pdu):
		if not pdu.begrun and not pdu.runlength:
			wanted = list(c.history)
		else:
			count = pdu.runlength or (c.statsn - pdu.begrun & 0xFFFFFFFF)
			wanted = [sn_add(pdu.begrun, n) for n in range(min(count, 4096))]
		if not wanted or any(n not in c.history for n in wanted):
			self.reject(c, pdu, 0x04)
			return
		for n in wanted:
			self.resend(c, c.history[n])

	def snack_ack(self, c, pdu):
		task, until, _ = c.acks.pop(pdu.ttt, (None, 0, None))
		if task is None:
			self.reject(c, pdu, 0x08)
			return
		task.data_acked = max(task.data_acked, min(pdu.begrun, until))

	def snack_rdata(self, c, pdu):
		"""All unacknowledged data again, cut anew, and a response with the tag (11.16.3)."""
		task = self.find_task(c.session, pdu.itt)
		if task is None or task.conn is not c:
			self.reject(c, pdu, 0x04)
			return
		task.snack_tag = pdu.ttt
		old = task.sent
		task.sent = {n: p for n, p in old.items() if n < task.data_acked}
		again = [p for n, p in sorted(old.items()) if n >= task.data_acked]
		sn = task.data_acked
		for p in again:
			for at in range(0, len(p.data), c.max_send):
				part = p.data[at:at + c.max_send]
				new = Pdu(Op.DATA_IN, itt=p.itt, ttt=RESERVED_TAG, datasn=sn, offset=p.offset + at, data=part,
					final=p.final and at + len(part) == len(p.data))
				sn += 1
				task.sent[new.datasn], task.segment = new.copy(), c.max_send
				task.lost.discard(new.datasn)
				self.resend(c, new)
		task.data_in_sent = sn
		task.lost = {n for n in task.lost if n in task.sent}
		if not task.finished:
			return
		rsp, was = Pdu(Op.SCSI_RSP, final=True, itt=task.itt, status=GOOD), task.status_pdu
		rsp.statsn, rsp.under, rsp.over, rsp.residual = was.statsn, was.under, was.over, was.residual
		rsp.status, rsp.snack_tag, rsp.expdatasn = was.status, task.snack_tag, sn
		if was.opcode == Op.SCSI_RSP:
			rsp.data = was.data
		c.history[rsp.statsn] = task.status_pdu = rsp.copy()
		self.resend(c, rsp)

	# ------------------------------------------------- requests that do not arrive whole

	def lose(self, c, pdu, how):
		"""on_wire() says that a digest was wrong.  'lost': the header, nothing is known of the
		PDU.  'digest': the data: Reject, and the PDU is gone (7.8)."""
		s = c.session
		self.note(c, 'this PDU is lost (%s)' % how)
		if pdu.opcode != Op.DATA_OUT:
			s.lost_itts.add(pdu.itt)
		if how == 'digest':
			self.reject(c, pdu, 0x02)
		if pdu.opcode == Op.DATA_OUT and pdu.itt not in s.lost_itts:
			self.data_out(c, pdu, lost=how)
			task = s.tasks.get(pdu.itt)
			if pdu.final and task and how == 'lost' and not task.manual:
				self.later(0.3, self.data_missing, task)

	def sequence_timeout(self, task):
		"""Nothing more comes for the R2Ts that are open: ask again (7.1.4.1)."""
		for r in task.r2ts:
			r.done = True
		if task.unsolicited:
			task.unsolicited.done = True
		self.recover_data(task)

	def data_missing(self, task):
		with task.conn.session.lock:
			if not task.finished and task.conn.alive:
				self.recover_data(task)

	def recover_data(self, task):
		"""Recovery R2Ts for what is missing below `asked` (11.8)."""
		if task.finished or any(not r.done for r in task.r2ts):
			return
		burst = task.conn.session.params['MaxBurstLength']
		for a, b in task.cover.gaps(min(task.asked, task.edtl)):
			self.send_r2t(task, a, min(b - a, burst))
			break				# one at a time: MaxOutstandingR2T

	# ---------------------------------------------------------------------- numbering

	def numbered(self, c, pdu):
		"""Deliver non-immediate commands in the order of CmdSN (4.2.2.1)."""
		s = c.session
		if sn_lt(pdu.cmdsn, s.expcmdsn) or not sn_le(pdu.cmdsn, s.maxcmdsn_sent) or pdu.cmdsn in s.held:
			return			# silently ignored
		s.held[pdu.cmdsn] = (c, pdu)
		self.deliver(s)

	def deliver(self, s):
		while True:
			if s.expcmdsn in s.plugged:
				s.plugged.discard(s.expcmdsn)
				s.expcmdsn = sn_add(s.expcmdsn)
			elif s.expcmdsn in s.held:
				conn, p = s.held.pop(s.expcmdsn)
				s.expcmdsn = sn_add(s.expcmdsn)
				self.execute(conn, p)
				for data in s.held_data.pop(p.itt, ()):
					self.execute(conn, data)
			else:
				return

	def plug(self, s, cmdsn):
		"""Take a CmdSN as received (7.11)."""
		s.held.pop(cmdsn, None)
		if not sn_lt(cmdsn, s.expcmdsn):
			s.plugged.add(cmdsn)
			self.deliver(s)

	def unreceive(self, c, pdu):
		"""A rejected command leaves a hole in CmdSN; anything may plug it (7.3)."""
		s = c.session
		if pdu.imm or pdu.opcode not in (Op.SCSI_CMD, Op.TEXT_REQ, Op.TMF_REQ, Op.NOP_OUT, Op.LOGOUT_REQ):
			return
		if s.expcmdsn == sn_add(pdu.cmdsn):
			s.expcmdsn = pdu.cmdsn
		s.seen.pop(pdu.cmdsn, None)
		s.rejected.add(pdu.cmdsn)

	# ----------------------------------------------------------------------- sessions

	def find_session(self, isid, tsih):
		return next((s for s in self.sessions if s.isid == isid and s.tsih == tsih and not s.dead), None)

	def reinstate(self, new):
		"""Session reinstatement: same ISID and name, TSIH 0 (6.3.5)."""
		for old in self.sessions:
			if old is new or old.dead or old.isid != new.isid or old.initiator != new.initiator or \
					old.discovery != new.discovery:
				continue
			for c in list(old.conns.values()):
				if not self.settles(c):
					self.violation(c, None, 'reinstatement', 'a session that works is reinstated (6.3.5)')
			with old.lock:
				self.end_session(old)
			if not new.discovery:
				new.attention = {lun: [NEXUS_LOSS] for lun in self.luns}
			self.note(None, 'session %d is reinstated' % old.tsih)

	def settles(self, c, seconds=2):
		"""True when the connection is known to be broken: its FIN may be on the way."""
		end = time.monotonic() + seconds
		while c.alive and not c.eof and not c.logging_out and time.monotonic() < end:
			time.sleep(0.01)
		return not c.alive or c.eof or c.logging_out

	def end_session(self, s):
		s.dead = True
		for task in list(s.tasks.values()):
			self.drop_task(task)
		s.finished.clear()
		s.held.clear()
		for c in list(s.conns.values()):
			c.logged_out = c.gone = True
			c.close()
		s.conns, s.failed = {}, {}

	def drop_task(self, task):
		task.finished = True
		task.conn.session.tasks.pop(task.itt, None)

	def may_join(self, c, req, reply):
		"""First request of a login into a session: is there room (11.13.5)?"""
		s = c.session
		old = s.conns.get(req.cid)
		if old is not None and not self.settles(old):
			self.violation(c, req, 'reinstatement', 'CID %d works and is reinstated (6.3.4)' % req.cid)
		others = [o for cid, o in s.conns.items() if cid != req.cid and o.alive]
		if len(others) >= s.params['MaxConnections']:
			others = [o for o in others if not self.settles(o, 1)]
		if len(others) >= s.params['MaxConnections']:
			reply.refuse(0x0206)
		known = old or s.failed.get(req.cid)
		if known is not None and req.expstatsn:		# 11.12.9
			if not sn_le(req.expstatsn, known.statsn):
				self.violation(c, req, 'expstatsn', 'ExpStatSN %08x of a reinstating login, the old '
					'connection is at %08x (11.12.9)' % (req.expstatsn, known.statsn))
			else:
				with s.lock:
					self.acknowledged(known, req.expstatsn)

	def join_session(self, c):
		s = c.session
		with s.lock:
			old = s.conns.get(c.cid) or s.failed.get(c.cid)
			if old is not None and old is not c:	# connection reinstatement (6.3.4)
				level = s.params['ErrorRecoveryLevel']
				self.log_out(s, old, RECOVERY if level == 2 else CONNECTION)
				old.gone = s.broken = True
				old.close()
			s.conns[c.cid] = c
			if len(s.conns) > 1 or s.failed or old is not None:
				s.plain = False

	def leave_session(self, c):
		"""The connection is over."""
		s = c.session
		if s is None:
			return
		with s.lock:
			if s.conns.get(c.cid) is not c:
				return
			del s.conns[c.cid]
			if s.dead or c.logged_out:
				pass
			elif self.amnesia and not s.conns:
				self.end_session(s)
			else:
				s.failed[c.cid] = c
				s.plain, s.broken = False, True
				p = s.params
				self.later(p['DefaultTime2Wait'] + p['DefaultTime2Retain'], self.retained, s, c)
			if not s.conns and not s.failed and not any(not t.allegiant for t in s.tasks.values()):
				s.dead = True

	def retained(self, s, c):
		"""Time2Retain is over: nobody came for the connection."""
		with s.lock:
			if s.failed.get(c.cid) is c:
				self.note(c, 'Time2Retain is over')
				self.log_out(s, c, CONNECTION)
				c.gone = s.broken = True
			for task in [t for t in s.tasks.values() if t.conn is c]:
				self.drop_task(task)
			for itt in [i for i, t in s.finished.items() if t.conn is c]:
				del s.finished[itt]
			if not s.conns and not s.failed:
				self.end_session(s)

	def log_out(self, s, victim, reason):
		"""What a logout, explicit or not, does to the tasks of a connection (11.14)."""
		victim.logged_out = victim.logging_out = True
		s.conns.pop(victim.cid, None)
		s.failed.pop(victim.cid, None)
		for sn in [n for n, (conn, _) in s.held.items() if conn is victim]:
			del s.held[sn]			# not acknowledged: discarded
		mine = [t for t in list(s.tasks.values()) + list(s.finished.values()) if t.conn is victim]
		for task in mine:
			if reason == RECOVERY and not task.imm:
				task.allegiant = False
				continue
			s.finished.pop(task.itt, None)
			if not task.finished:
				self.drop_task(task)
				if task.number in self.luns:
					s.attention.setdefault(task.number, []).append(CLEARED_BY_ISCSI)
		if reason == RECOVERY and mine:
			p = s.params
			self.later(p['DefaultTime2Wait'] + p['DefaultTime2Retain'], self.retained, s, victim)
		self.note(victim, 'logged out, reason %d, %d tasks' % (reason, len(mine)))

	def logout(self, c, pdu):
		"""Answer, then FIN, then wait for the initiator's FIN (11.14)."""
		s, reason, response = c.session, pdu.function, 0
		victim = s.conns.get(pdu.cid) or s.failed.get(pdu.cid)
		victims = list(s.conns.values()) if reason == SESSION else [victim] if victim else []
		if not victims:
			response = 1
		elif reason == RECOVERY and s.params['ErrorRecoveryLevel'] < 2:
			response, victims = 2, []
		for v in victims:
			v.logout_by = (c, pdu.cmdsn)
			self.log_out(s, v, reason if reason else CONNECTION)
			v.gone = v is not c and reason != SESSION
			s.broken = s.broken or v.gone
		c.send(Pdu(Op.LOGOUT_RSP, final=True, itt=pdu.itt, response=response,
			time2wait=s.params['DefaultTime2Wait'], time2retain=s.params['DefaultTime2Retain']))
		for v in victims:
			if not v.alive:
				continue
			try:
				v.sock.shutdown(2 if v.eof else 1)		# FIN
			except OSError:
				pass
		if reason == SESSION or victims and not s.conns and not s.failed and \
				not any(not t.allegiant for t in s.tasks.values()):
			s.dead = True

	# ---------------------------------------------------------------- task management

	def tmf(self, c, pdu):
		s, fn, response = c.session, pdu.function, 0
		before = dict(s.tasks)
		if fn == 1:
			response = self.abort_task(c, pdu)
		elif fn in (2, 4, 5, 6, 7):
			self.abort_many(c, pdu)
		elif fn == 8:
			response = self.may_reassign(s, pdu)
		else:
			response = 5
		task = self.find_task(s, pdu.rtt) if fn == 8 else None
		for itt, gone in before.items():
			if itt not in s.tasks:
				s.aborted[itt] = (gone.conn, c.statsn)
		c.send(Pdu(Op.TMF_RSP, final=True, itt=pdu.itt, response=response))
		if fn == 7:
			for other in self.sessions:
				for conn in list(other.conns.values()):
					conn.close()
		if fn == 8 and not response:
			self.reassign(c, task, pdu.expdatasn)

	def abort_task(self, c, pdu):
		s, task = c.session, c.session.tasks.get(pdu.rtt)
		if task:
			self.end_task(task)
			s.finished.pop(task.itt, None)
			return 0
		if sn_lt(pdu.refcmdsn, s.expcmdsn):
			s.finished.pop(pdu.rtt, None)		# given up: its status may be acknowledged
			return 1
		s.lost_itts.discard(pdu.rtt)
		self.plug(s, pdu.refcmdsn)
		return 0

	def abort_many(self, c, pdu):
		s, fn = c.session, pdu.function
		for sn, (_, held) in list(s.held.items()):
			if sn_lt(sn, pdu.cmdsn) and held.opcode == Op.SCSI_CMD and (fn >= 6 or held.lun == pdu.lun):
				self.plug(s, sn)
		for task in list(s.tasks.values()):
			if fn >= 6 or task.lun == pdu.lun:
				self.end_task(task)
				s.finished.pop(task.itt, None)
		if fn >= 5 and self.reset_attention:
			for number in [n for n in self.luns if fn > 5 or self.lun_of(n) == pdu.lun]:
				for other in self.sessions:
					other.attention.setdefault(number, []).append(BUS_RESET)

	def may_reassign(self, s, pdu):
		task = self.find_task(s, pdu.rtt)
		if s.params['ErrorRecoveryLevel'] < 2:
			return 4
		if task is None:
			return 1
		if task.allegiant:
			return 3
		return 0

	def reassign(self, c, task, expdatasn):
		"""After the response: go on where the initiator says (7.2.2)."""
		task.conn, task.allegiant, task.snack_tag = c, True, 0
		task.data_acked = max(task.data_acked, expdatasn)
		if self.on_reassign(c, task, expdatasn):
			return
		for n, p in sorted(task.sent.items()):
			if p.opcode == Op.DATA_IN and n >= expdatasn and not p.has_status:
				self.resend(c, p)
		if task.finished:
			last = task.status_pdu.copy()
			if last.opcode == Op.DATA_IN and last.datasn < expdatasn:
				rsp = Pdu(Op.SCSI_RSP, final=True, itt=task.itt, status=last.status, residual=last.residual,
					expdatasn=task.data_in_sent)
				rsp.under, rsp.over = last.under, last.over
				last = rsp
			c.send(last)			# a StatSN of this connection
		elif task.read:
			at = max([p.offset + len(p.data) for p in task.sent.values()], default=0)
			result = self.run(task)
			if at:
				self.finish_from(task, result, at)
			else:
				self.finish(task, result)
		elif task.write:
			self.reassign_write(task)
		else:
			self.finish(task, self.run(task))

	def reassign_write(self, task):
		"""What is missing is asked for by recovery R2Ts (11.8)."""
		if task.unsolicited:
			task.unsolicited.done = True
			if task in task.conn.unsolicited:
				task.conn.unsolicited.remove(task)
		for r in task.r2ts:
			r.done = True
		if not task.cover.gaps(task.edtl):
			self.go_on(task)
		elif task.asked > task.cover.size:
			self.recover_data(task)
		else:
			self.go_on(task)
