# SPDX-License-Identifier: BSD-2-Clause
"""The scripted iSCSI target: full feature phase, discovery, and the plumbing.

One thread for each connection, blocking sockets, ports chosen by the kernel.  By default
it is a correct target with an in-memory disk.  A scene subclasses Target and overrides
hooks (the on_... methods and before_send), or sets attributes.

	with Target(luns={0: Disk()}) as t:     starts listening; t.port
	    ...
	    t.wait(lambda: t.received(Op.LOGOUT_REQ), 'a Logout Request')
	    t.violations                        what the initiator did wrong

Every PDU received and sent is in t.events with its time.  Hooks run in the thread of the
connection, with the session's lock held."""

import os
import socket
import threading
import time

from checker import Checker, Violation
from login import LoginMixin, NEGOTIATED
from net import loopback
from pdu import Closed, FramingError, Op, Pdu, RESERVED_TAG, lun_encode, read_pdu, sn_add, sn_le
from recovery import RecoveryMixin
from scsi import CHECK, Disk, GOOD, INQUIRY, LU_NOT_SUPPORTED, REPORT_LUNS, REQUEST_SENSE, Result
from state import STATUS_OPS, Conn, Event, Portal, Sequence, Session, Task
from text import TextMixin

IQN = 'iqn.2026-01.org.iscsifs.test:disk'
SLOWNESS = float(os.environ.get('TEST_SLOWNESS', '1'))		# a factor for limits (sanitizers)


class Target(TextMixin, LoginMixin, RecoveryMixin):
	STATUS_OPS = STATUS_OPS

	# What a scene may set, as attribute or constructor argument.
	iqn = IQN
	tpgt = 1
	luns = None			# LUN number -> Disk
	chap = None			# chap.Chap
	max_recv = 262144		# our MaxRecvDataSegmentLength, 0: not declared
	window = 32			# MaxCmdSN - ExpCmdSN + 1
	first_statsn = 1
	login_chunk = 8192		# login answers longer than this go with C bits
	text_chunk = None		# SendTargets answers likewise; None: what the initiator takes
	text_cont = False		# split SendTargets inside a pair, with C=1
	values = {}			# our side of the negotiation, over VALUES
	offers = ()			# (key, value) that the target proposes by itself
	records = None			# SendTargets: list of (name, [address,tpgt]), None: ourselves
	data_in_size = None		# Data-In PDU size, None: as large as allowed
	status_in_data = True		# GOOD in the last Data-In
	r2t_size = None			# length of an R2T, None: MaxBurstLength
	a_bit = False			# ask for DataACK at the end of each sequence (ERL 1, 2)
	amnesia = False			# a session without connections is forgotten at once
	reset_attention = True		# a reset makes unit attentions
	dribble = False			# send byte by byte
	family = socket.AF_INET

	VALUES = {
		'HeaderDigest': ('CRC32C', 'None'), 'DataDigest': ('CRC32C', 'None'),
		'MaxConnections': 1, 'InitialR2T': 'No', 'ImmediateData': 'Yes',
		'MaxBurstLength': 262144, 'FirstBurstLength': 65536, 'DefaultTime2Wait': 0,
		'DefaultTime2Retain': 20, 'MaxOutstandingR2T': 8, 'DataPDUInOrder': 'Yes',
		'DataSequenceInOrder': 'Yes', 'ErrorRecoveryLevel': 0,
		'TaskReporting': ('ResponseFence', 'RFC3720'), 'iSCSIProtocolLevel': 1,
	}

	def __init__(self, **config):
		for name, value in config.items():
			if not hasattr(type(self), name):
				raise AttributeError('no target setting ' + name)
			setattr(self, name, value)
		if self.luns is None:
			self.luns = {0: Disk()}
		for key in self.values:
			assert key in NEGOTIATED, key
		self.values = {**self.VALUES, **self.values}
		self.check = Checker(self)
		self.events, self.violations, self.allowed = [], [], set()
		self.crashes = []
		self.cond = threading.Condition()
		self.sessions, self.conns = [], []
		self.threads, self.timers = [], []
		self.next_tsih, self.next_ttt = 1, 0x1000
		self.stopped = False
		self.portals = []

	# --------------------------------------------------------------------- life

	def start(self):
		self.add_portal('::1' if self.family == socket.AF_INET6 else loopback())
		return self

	def add_portal(self, host, tag=None):
		self.portals.append(Portal(self, host, self.tpgt if tag is None else tag))
		return self.portals[-1]

	@property
	def port(self):
		return self.portals[0].port

	@property
	def portal(self):
		return self.portals[0].address

	def stop(self):
		self.stopped = True
		for timer in self.timers:
			timer.cancel()
		for portal in self.portals:
			portal.close()
		for c in list(self.conns):
			c.close()
		with self.cond:
			self.cond.notify_all()
		for thread in self.threads:
			if thread is not threading.current_thread():
				thread.join(10)

	def __enter__(self):
		return self.start()

	def __exit__(self, *exc):
		self.stop()

	def _thread(self, fn, *args):
		thread = threading.Thread(target=fn, args=args, daemon=True)
		self.threads.append(thread)
		thread.start()

	def later(self, seconds, fn, *args):
		"""Run fn after some time, unless the target is stopped before."""
		def run():
			try:
				fn(*args)
			except Exception as e:			# a dead connection, mostly
				self.note(None, 'later: %r' % e)
		timer = threading.Timer(seconds, run)
		timer.daemon = True
		self.timers.append(timer)
		timer.start()
		return timer

	def _accept(self, portal, listener):
		while not self.stopped:
			try:
				sock, _ = listener.accept()
			except OSError:
				return
			sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
			with self.cond:
				c = Conn(self, sock, len(self.conns) + 1)
				c.portal = portal
				self.conns.append(c)
			self.note(c, 'connected' + (' to %s' % portal.address if portal is not self.portals[0] else ''))
			if not portal.mute:
				self._thread(self._serve, c)

	def _serve(self, c):
		try:
			if self.on_connect(c) is not False:
				while c.alive:
					pdu = read_pdu(c.sock, c.header_digest, c.data_digest)
					if not c.alive or c.gone:	# it came too late
						break
					self.log(Event('rx', c, pdu))
					self._one(c, pdu)
		except Closed as e:
			c.eof = True
			self.note(c, str(e))
		except FramingError as e:
			self.violation(c, None, 'framing', str(e))
		except Exception as e:
			if not self.stopped:
				import traceback
				self.crashes.append(traceback.format_exc())
				self.note(c, 'scene or target failed: %r' % e)
		finally:
			c.alive = False
			self.leave_session(c)
			try:
				c.sock.close()
			except OSError:
				pass
			self.note(c, 'connection over')

	def _one(self, c, pdu):
		if c.phase == 'login':
			self.login_pdu(c, pdu)
			return
		with c.session.lock:
			if c.gone:
				return
			self.check.pdu(c, pdu)
			how = self.on_wire(c, pdu)
			if how:
				self.lose(c, pdu, how)
				return
			if pdu.opcode == Op.DATA_OUT and pdu.itt in c.session.lost_itts:
				return			# its command did not arrive
			if pdu.opcode != Op.DATA_OUT:
				c.session.lost_itts.discard(pdu.itt)
			if pdu.opcode in (Op.SCSI_CMD, Op.TMF_REQ, Op.NOP_OUT, Op.TEXT_REQ, Op.LOGOUT_REQ) \
					and not pdu.imm:
				self.numbered(c, pdu)
			elif pdu.opcode == Op.DATA_OUT and any(p.itt == pdu.itt for _, p in c.session.held.values()):
				c.session.held_data.setdefault(pdu.itt, []).append(pdu)
			else:
				self.execute(c, pdu)

	# ---------------------------------------------------------------- log and waiting

	def log(self, event):
		with self.cond:
			self.events.append(event)
			self.cond.notify_all()

	def note(self, c, text):
		self.log(Event('--', c, None, text))

	def violation(self, c, pdu, rule, text):
		self.note(c, 'VIOLATION %s: %s' % (rule, text))
		with self.cond:
			self.violations.append(Violation(rule, text, c.id if c else 0, pdu))

	def allow(self, *rules):
		"""Breaches of these rules are expected in this scene."""
		self.allowed.update(rules)

	def unexpected(self):
		return [v for v in self.violations if v.rule not in self.allowed]

	def wait(self, predicate, what, timeout=60 * SLOWNESS):
		"""Until predicate() is true; looked at after each event."""
		end = time.monotonic() + timeout
		with self.cond:
			while True:
				left = end - time.monotonic()	# if it is over, this is the last look
				value = predicate()
				if value:
					return value
				if left <= 0:
					raise AssertionError('waited %d s in vain for %s' % (timeout, what))
				self.cond.wait(min(left, 0.25))

	def pdus(self, kind, *ops):
		with self.cond:
			return [e.pdu for e in self.events if e.kind == kind and e.pdu is not None
				and (not ops or e.pdu.opcode in ops)]

	def received(self, *ops):
		return self.pdus('rx', *ops)

	def sent(self, *ops):
		return self.pdus('tx', *ops)

	def commands(self, *cdb_ops):
		"""SCSI Command PDUs received, of these operation codes."""
		return [p for p in self.received(Op.SCSI_CMD) if not cdb_ops or p.cdb[0] in cdb_ops]

	def event_of(self, pdu):
		with self.cond:
			return next(e for e in self.events if e.pdu is pdu)

	def ffp_conns(self):
		return [c for c in self.conns if c.phase == 'ffp' and c.alive and not c.session.discovery]

	# ------------------------------------------------------------------------- hooks

	def on_connect(self, c):
		"""A connection came.  False: do not serve it (it stays open, silent)."""

	def on_login(self, c, req, keys, reply):
		"""Change reply (login.Reply) as you like; False: no answer at all."""

	def on_ffp(self, c):
		"""The connection has reached full feature phase."""

	def on_wire(self, c, pdu):
		"""Any PDU of full feature phase as it comes in.  'lost': as if its header digest were
		wrong, 'digest': as if its data digest were."""

	def on_pdu(self, c, pdu):
		"""Any request in its turn.  True: the scene has dealt with it."""

	def on_scsi_command(self, c, task):
		"""A new SCSI command.  True: the scene answers it."""

	def on_reassign(self, c, task, expdatasn):
		"""TASK REASSIGN was granted.  True: the scene goes on with the task."""

	def on_burst(self, c, task, seq):
		"""All Data-Out of a sequence came.  True: the scene goes on with the task."""

	def on_text(self, c, req, keys):
		"""A complete Text Request.  True: the scene answers it."""

	def before_send(self, c, pdu):
		"""A numbered PDU on its way.  Change it in place, or return False to drop it, or
		a PDU, bytes, or a list of these to send instead."""

	def max_cmdsn(self, s):
		return sn_add(s.expcmdsn, self.window - 1)

	def lun_of(self, number):
		return lun_encode(number)

	# ---------------------------------------------------------------------- sessions

	def new_session(self, req):
		s = Session(req.isid, req.cmdsn, self.next_tsih)
		self.next_tsih += 1
		self.sessions.append(s)
		return s

	# ----------------------------------------------------------------- full feature

	def execute(self, c, pdu):
		if self.on_pdu(c, pdu):
			return
		handler = {
			Op.SCSI_CMD: self.scsi_command, Op.DATA_OUT: self.data_out, Op.NOP_OUT: self.nop_out,
			Op.TEXT_REQ: self.text_request, Op.LOGOUT_REQ: self.logout, Op.TMF_REQ: self.tmf,
			Op.SNACK: self.snack,
		}.get(pdu.opcode)
		if handler:
			handler(c, pdu)
		else:
			self.reject(c, pdu, 0x05)

	def scsi_command(self, c, pdu):
		s, task = c.session, Task(c, pdu)
		s.tasks[task.itt] = task
		if task.write:
			size = min(len(pdu.data), task.edtl)
			task.data[:size] = pdu.data[:size]
			task.cover.add(0, size)
			task.asked = size
			if not pdu.final:
				end = min(task.edtl, s.params['FirstBurstLength'])
				task.unsolicited = Sequence(size, end)
				task.asked = end
				c.unsolicited.append(task)
		if not self.on_scsi_command(c, task):
			self.go_on(task)

	def go_on(self, task):
		"""Ask for more data, or execute."""
		if task.finished or (task.unsolicited and not task.unsolicited.done):
			return
		if task.write:
			if task.manual:
				return
			p = task.conn.session.params
			step = self.r2t_size or p['MaxBurstLength']
			open_ = sum(not r.done for r in task.r2ts)
			while task.asked < task.edtl and open_ < p['MaxOutstandingR2T']:
				size = min(step, p['MaxBurstLength'], task.edtl - task.asked)
				self.send_r2t(task, task.asked, size)
				open_ += 1
			if not open_ and task.got < task.edtl:
				self.recover_data(task)
			if open_ or task.got < task.edtl:
				return
		self.finish(task, self.run(task))

	def run(self, task):
		"""The SCSI part: a Result."""
		disk = self.luns.get(task.number)
		waiting = task.conn.session.attention.get(task.number)
		if waiting and disk and task.cdb[0] not in (INQUIRY, REPORT_LUNS, REQUEST_SENSE):
			return Result.check(waiting.pop(0))
		if task.cdb[0] == REPORT_LUNS:
			return (disk or Disk(size=512)).execute(task.cdb, luns=sorted(self.luns))
		if disk is None:
			if task.cdb[0] == INQUIRY:
				return Result(bytes((0x7F, 0, 5, 2, 31)) + bytes(31))
			return Result.check(LU_NOT_SUPPORTED)
		return disk.execute(task.cdb, bytes(task.data), sorted(self.luns))

	def send_r2t(self, task, offset, length, ttt=None, **fields):
		"""Ask for data; scenes give odd values."""
		if ttt is None:
			ttt, self.next_ttt = self.next_ttt, self.next_ttt + 1
		task.r2ts.append(Sequence(offset, offset + length, ttt))
		task.asked = max(task.asked, offset + length)
		r2t = Pdu(Op.R2T, final=True, lun=task.lun, itt=task.itt, ttt=ttt, datasn=task.r2tsn,
			offset=offset, ddtl=length)
		for name, value in fields.items():
			setattr(r2t, name, value)
		task.r2tsn += 1
		task.conn.send(r2t)

	def data_out(self, c, pdu, lost=''):
		task = c.session.tasks.get(pdu.itt)
		gone = c.session.aborted.get(pdu.itt)
		if task is None and gone and gone[0] is c and sn_le(pdu.expstatsn, gone[1]):
			return				# sent before it knew
		seq = self.check.data_out(c, pdu, task)
		if seq is None:
			return
		end = min(pdu.offset + pdu.dsl, len(task.data))
		if pdu.offset < end and not lost:
			task.data[pdu.offset:end] = pdu.data[:end - pdu.offset]
			task.cover.add(pdu.offset, end)
		seq.next = pdu.offset + pdu.dsl
		seq.datasn += 1
		if not pdu.final:
			return
		seq.done = True
		if task in c.unsolicited and seq is task.unsolicited:
			c.unsolicited.remove(task)
		if lost == 'lost':
			return				# that it was the last one is not known
		if not self.on_burst(c, task, seq):
			self.go_on(task)

	# --------------------------------------------------------------------- responses

	def finish(self, task, result):
		"""Data and status of a command, with residuals (11.4.5)."""
		data = b'' if result.status == CHECK or not task.read else result.data[:task.edtl]
		wanted = task.edtl if task.write and result.status == GOOD else len(result.data)
		if result.status == CHECK:
			wanted = 0 if task.read else task.edtl
		phase_ok = result.status == GOOD and not result.sense and self.status_in_data
		sent_status = self.send_data(task, data, wanted, phase_ok)
		if not sent_status:
			self.respond(task, result.status, result.sense, wanted)

	def finish_from(self, task, result, at):
		"""finish(), for a READ whose first bytes are sent already."""
		data = result.data[:task.edtl]
		if not self.send_data(task, data, len(result.data), self.status_in_data, at):
			self.respond(task, result.status, result.sense, len(result.data))

	def send_data(self, task, data, wanted, with_status, at=0):
		"""Data-In PDUs; True when the last one carried the status."""
		c, p = task.conn, task.conn.session.params
		size = min(c.max_send, self.data_in_size or c.max_send)
		burst = 0
		while at < len(data):
			part = data[at:at + min(size, p['MaxBurstLength'] - burst)]
			last = at + len(part) == len(data)
			burst += len(part)
			pdu = Pdu(Op.DATA_IN, itt=task.itt, ttt=RESERVED_TAG, datasn=task.data_in_sent, offset=at,
				data=part, final=last or burst >= p['MaxBurstLength'])
			if pdu.final:
				burst = 0
				self.ask_ack(task, pdu)
			task.data_in_sent += 1
			at += len(part)
			if last and with_status:
				pdu.has_status = True
				pdu.status = GOOD
				self.residual(task, pdu, wanted)
				self.end_task(task)
				c.send(pdu)
				return True
			c.send(pdu)
		return False

	def ask_ack(self, task, pdu):
		"""The A bit, with the tag and LUN that belong to it (11.7.2, 11.7.4)."""
		if self.a_bit and task.conn.session.params['ErrorRecoveryLevel']:
			pdu.ack, pdu.lun, pdu.ttt, self.next_ttt = True, task.lun, self.next_ttt, self.next_ttt + 1

	def data_pdu(self, task, offset, data, sn, final=False, status=None, **fields):
		"""One Data-In by hand; with a status it ends the task."""
		pdu = Pdu(Op.DATA_IN, itt=task.itt, ttt=RESERVED_TAG, datasn=sn, offset=offset, data=data,
			final=final)
		if status is not None:
			pdu.has_status, pdu.status = True, status
			self.end_task(task)
		for name, value in fields.items():
			setattr(pdu, name, value)
		task.data_in_sent += 1
		task.conn.send(pdu)
		return pdu

	def residual(self, task, pdu, wanted):
		if wanted < task.edtl:
			pdu.under, pdu.residual = True, task.edtl - wanted
		elif wanted > task.edtl:
			pdu.over, pdu.residual = True, wanted - task.edtl

	def respond(self, task, status=GOOD, sense=b'', wanted=None, response=0, **fields):
		"""A SCSI Response; wanted: bytes that the SCSI layer would have moved."""
		pdu = Pdu(Op.SCSI_RSP, final=True, itt=task.itt, response=response, status=status,
			expdatasn=task.data_in_sent if response == 0 else 0, snack_tag=task.snack_tag)
		if response == 0:
			self.residual(task, pdu, task.edtl if wanted is None else wanted)
		if sense:
			pdu.data = len(sense).to_bytes(2, 'big') + sense
		for name, value in fields.items():
			setattr(pdu, name, value)
		self.end_task(task)
		task.conn.send(pdu)

	def end_task(self, task):
		task.finished = True
		s = task.conn.session
		s.tasks.pop(task.itt, None)
		if s.params['ErrorRecoveryLevel']:
			s.finished[task.itt] = task
		if task in task.conn.unsolicited:
			task.conn.unsolicited.remove(task)

	def reject(self, c, pdu, reason):
		if c.session is not None:
			self.unreceive(c, pdu)
		c.send(Pdu(Op.REJECT, final=True, itt=RESERVED_TAG, response=reason,
			data=bytes(pdu.bhs) + pdu.ahs))

	def ping(self, c, lun=bytes(8), ttt=None, data=b'', **fields):
		"""NOP-In that wants an answer; returns its TTT."""
		if ttt is None:
			ttt, self.next_ttt = self.next_ttt, self.next_ttt + 1
		c.pings[ttt] = lun
		c.send(Pdu(Op.NOP_IN, final=True, itt=RESERVED_TAG, ttt=ttt, lun=lun, data=data, **fields))
		return ttt

	def announce(self, c):
		"""NOP-In that wants no answer: it carries a new MaxCmdSN."""
		c.send(Pdu(Op.NOP_IN, final=True, itt=RESERVED_TAG, ttt=RESERVED_TAG))

	def async_message(self, c, event, p1=0, p2=0, p3=0, lun=bytes(8), sense=b'', vcode=0):
		data = len(sense).to_bytes(2, 'big') + sense if sense else b''
		c.send(Pdu(Op.ASYNC, final=True, itt=RESERVED_TAG, lun=lun, async_event=event,
			async_vcode=vcode, param1=p1, param2=p2, param3=p3, data=data))

	def nop_out(self, c, pdu):
		c.pings.pop(pdu.ttt, None)
		if pdu.itt != RESERVED_TAG:
			c.send(Pdu(Op.NOP_IN, final=True, itt=pdu.itt, ttt=RESERVED_TAG,
				data=pdu.data[:c.max_send]))
