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

import socket
import threading
import time

from checker import Checker, Violation
from login import Login, LoginMixin, NEGOTIATED, default_params
from pdu import (Closed, FramingError, Op, Pdu, RESERVED_TAG, lun_decode, read_pdu, sn_add, sn_le,
	sn_lt)
from scsi import CHECK, Disk, GOOD, INQUIRY, LU_NOT_SUPPORTED, REPORT_LUNS, Result
from text import TextMixin

IQN = 'iqn.2026-01.org.iscsifs.test:disk'

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
		self.got = 0			# contiguous bytes of the write that came
		self.unsolicited = None		# Sequence, when F=0 announced one
		self.r2ts = []			# Sequences
		self.r2tsn = 0
		self.asked = 0			# end of what R2Ts asked for
		self.data_in_sent = 0
		self.manual = False		# the scene sends the R2Ts
		self.finished = False


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
		self.pings = {}				# TTT of our NOP-In -> LUN
		self.unsolicited = []			# tasks whose unsolicited data comes, in order
		self.text = None
		self.logging_out = False
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
			out = self.target.before_send(self, pdu)
			if out is None:
				out = pdu
			if out is False:
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


class Target(TextMixin, LoginMixin):

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
		self.listener = self.port = None

	# --------------------------------------------------------------------- life

	def start(self):
		self.listener = socket.socket(self.family, socket.SOCK_STREAM)
		self.listener.bind(('::1' if self.family == socket.AF_INET6 else '127.0.0.1', 0))
		self.listener.listen(64)
		self.port = self.listener.getsockname()[1]
		self._thread(self._accept)
		return self

	@property
	def portal(self):
		host = '[::1]' if self.family == socket.AF_INET6 else '127.0.0.1'
		return '%s:%d' % (host, self.port)

	def stop(self):
		self.stopped = True
		for timer in self.timers:
			timer.cancel()
		if self.listener:
			try:
				self.listener.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass
			self.listener.close()
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

	def _accept(self):
		while not self.stopped:
			try:
				sock, _ = self.listener.accept()
			except OSError:
				return
			sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
			c = Conn(self, sock, len(self.conns) + 1)
			self.conns.append(c)
			self.note(c, 'connected')
			self._thread(self._serve, c)

	def _serve(self, c):
		try:
			if self.on_connect(c) is not False:
				while c.alive:
					pdu = read_pdu(c.sock, c.header_digest, c.data_digest)
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
			self.check.pdu(c, pdu)
			if pdu.opcode in (Op.SCSI_CMD, Op.TMF_REQ, Op.NOP_OUT, Op.TEXT_REQ, Op.LOGOUT_REQ) \
					and not pdu.imm:
				self.numbered(c, pdu)
			elif pdu.opcode == Op.DATA_OUT and any(p.itt == pdu.itt for _, p in c.session.held.values()):
				c.session.held_data.setdefault(pdu.itt, []).append(pdu)
			else:
				self.execute(c, pdu)

	def numbered(self, c, pdu):
		"""Deliver non-immediate commands in the order of CmdSN (4.2.2.1)."""
		s = c.session
		if sn_lt(pdu.cmdsn, s.expcmdsn) or not sn_le(pdu.cmdsn, s.maxcmdsn_sent):
			return			# silently ignored
		s.held[pdu.cmdsn] = (c, pdu)
		while s.expcmdsn in s.held:
			conn, p = s.held.pop(s.expcmdsn)
			s.expcmdsn = sn_add(s.expcmdsn)
			self.execute(conn, p)
			for data in s.held_data.pop(p.itt, ()):
				self.execute(conn, data)

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

	def wait(self, predicate, what, timeout=60):
		"""Until predicate() is true; looked at after each event."""
		end = time.monotonic() + timeout
		with self.cond:
			while True:
				value = predicate()
				if value:
					return value
				left = end - time.monotonic()
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

	def on_pdu(self, c, pdu):
		"""Any request in its turn.  True: the scene has dealt with it."""

	def on_scsi_command(self, c, task):
		"""A new SCSI command.  True: the scene answers it."""

	def on_burst(self, c, task, seq):
		"""All Data-Out of a sequence came.  True: the scene goes on with the task."""

	def on_text(self, c, req, keys):
		"""A complete Text Request.  True: the scene answers it."""

	def before_send(self, c, pdu):
		"""A numbered PDU on its way.  Change it in place, or return False to drop it, or
		a PDU, bytes, or a list of these to send instead."""

	def max_cmdsn(self, s):
		return sn_add(s.expcmdsn, self.window - 1)

	# ---------------------------------------------------------------------- sessions

	def new_session(self, req):
		s = Session(req.isid, req.cmdsn, self.next_tsih)
		self.next_tsih += 1
		self.sessions.append(s)
		return s

	def find_session(self, isid, tsih):
		return next((s for s in self.sessions if s.isid == isid and s.tsih == tsih and s.conns), None)

	def join_session(self, c):
		old = c.session.conns.get(c.cid)
		c.session.conns[c.cid] = c
		if old is not None and old is not c:
			old.close()				# connection reinstatement (6.3.4)

	def leave_session(self, c):
		s = c.session
		if s is None:
			return
		with s.lock:
			if s.conns.get(c.cid) is c:
				del s.conns[c.cid]
			for itt in [i for i, t in s.tasks.items() if t.conn is c]:
				del s.tasks[itt]

	# ----------------------------------------------------------------- full feature

	def execute(self, c, pdu):
		if self.on_pdu(c, pdu):
			return
		handler = {
			Op.SCSI_CMD: self.scsi_command, Op.DATA_OUT: self.data_out, Op.NOP_OUT: self.nop_out,
			Op.TEXT_REQ: self.text_request, Op.LOGOUT_REQ: self.logout, Op.TMF_REQ: self.tmf,
			Op.SNACK: lambda c, p: self.reject(c, p, 0x03),
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
			task.got = task.asked = size
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
			if open_ or task.got < task.edtl:
				return
		self.finish(task, self.run(task))

	def run(self, task):
		"""The SCSI part: a Result."""
		disk = self.luns.get(task.number)
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

	def data_out(self, c, pdu):
		task = c.session.tasks.get(pdu.itt)
		seq = self.check.data_out(c, pdu, task)
		if seq is None:
			return
		end = min(pdu.offset + pdu.dsl, len(task.data))
		if pdu.offset < end:
			task.data[pdu.offset:end] = pdu.data[:end - pdu.offset]
		seq.next = pdu.offset + pdu.dsl
		seq.datasn += 1
		task.got += pdu.dsl
		if not pdu.final:
			return
		seq.done = True
		if task in c.unsolicited and seq is task.unsolicited:
			c.unsolicited.remove(task)
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

	def send_data(self, task, data, wanted, with_status):
		"""Data-In PDUs; True when the last one carried the status."""
		c, p = task.conn, task.conn.session.params
		size = min(c.max_send, self.data_in_size or c.max_send)
		at, burst = 0, 0
		while at < len(data):
			part = data[at:at + min(size, p['MaxBurstLength'] - burst)]
			last = at + len(part) == len(data)
			burst += len(part)
			pdu = Pdu(Op.DATA_IN, itt=task.itt, ttt=RESERVED_TAG, datasn=task.data_in_sent, offset=at,
				data=part, final=last or burst >= p['MaxBurstLength'])
			if pdu.final:
				burst = 0
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
			expdatasn=task.data_in_sent if response == 0 else 0)
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
		task.conn.session.tasks.pop(task.itt, None)
		if task in task.conn.unsolicited:
			task.conn.unsolicited.remove(task)

	def reject(self, c, pdu, reason):
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

	def logout(self, c, pdu):
		"""Answer, then FIN, then wait for the initiator's FIN (11.14)."""
		s = c.session
		c.logging_out = True
		victims = [c] if pdu.function == 0 else [s.conns[pdu.cid]] if pdu.cid in s.conns else []
		c.send(Pdu(Op.LOGOUT_RSP, final=True, itt=pdu.itt, response=0 if victims else 1,
			time2wait=s.params['DefaultTime2Wait'], time2retain=s.params['DefaultTime2Retain']))
		if pdu.function == 0:
			victims = list(s.conns.values())
		for v in victims:
			v.logging_out = True
			try:
				v.sock.shutdown(socket.SHUT_WR)
			except OSError:
				pass

	def tmf(self, c, pdu):
		s, fn, response = c.session, pdu.function, 0
		if fn == 1:
			task = s.tasks.get(pdu.rtt)
			if task:
				self.end_task(task)
			elif sn_lt(pdu.refcmdsn, s.expcmdsn):
				response = 1
			else:
				s.expcmdsn = sn_add(s.expcmdsn)
		elif fn in (2, 4, 5, 6, 7):
			for task in list(s.tasks.values()):
				if fn >= 6 or task.lun == pdu.lun:
					self.end_task(task)
		elif fn == 8:
			response = 4
		else:
			response = 5
		c.send(Pdu(Op.TMF_RSP, final=True, itt=pdu.itt, response=response))
		if fn == 7:
			c.close()
