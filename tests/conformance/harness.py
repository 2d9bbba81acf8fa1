# SPDX-License-Identifier: BSD-2-Clause
"""What a scene works with: a daemon of its own, targets, and file operations that cannot
hang the test.

	@scene
	def ffp_1_1_command_numbering(s):
	    "CmdSN rises by 1 for each non-immediate command."
	    t = s.target()
	    s.login(t)
	    s.write(t, 0, b'x' * 4096)
	    s.check(...)

Every operation on the mount runs in a worker thread with a limit (LIMIT): a hang is a
failed check with a message.  The daemon starts at the first use, in the directory that the
runner made for this scene; what is left over the runner removes, whatever happened."""

import errno
import mmap
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

from target import SLOWNESS, Target

LIMIT = 60 * SLOWNESS		# seconds for one file operation, and for conditions
READY_LIMIT = 60 * SLOWNESS	# until the mount is usable
STOP_LIMIT = 60 * SLOWNESS	# from SIGTERM to the end of the daemon

BAD_WORDS = ('ERROR: AddressSanitizer', 'ERROR: LeakSanitizer', 'runtime error:')

SCENES = {}		# name -> Info, in the order of definition


class Info:
	def __init__(self, fn, later, is_slow):
		self.fn, self.later, self.is_slow = fn, later, is_slow
		self.name = fn.__name__
		self.doc = (fn.__doc__ or '').strip().split('\n')[0]


def scene(fn=None, later=None, is_slow=False):
	"""Register a scene; later='MCS' names what has to come first: counted as skipped. A slow one is
	played before the others, or all would wait for it in the end."""
	def register(f):
		assert f.__name__ not in SCENES, f.__name__
		SCENES[f.__name__] = Info(f, later, is_slow)
		return f
	return register(fn) if fn else register


class Skip(Exception):
	"""This machine cannot play the scene."""


class Failed(AssertionError):
	pass


class Job:
	"""A function in a thread of its own."""

	def __init__(self, what, fn, *args, **kwargs):
		self.what, self.value, self.error = what, None, None
		self.done = threading.Event()
		self.thread = threading.Thread(target=self._run, args=(fn, args, kwargs), daemon=True)
		self.started = time.monotonic()
		self.thread.start()

	def _run(self, fn, args, kwargs):
		try:
			self.value = fn(*args, **kwargs)
		except BaseException as e:
			self.error = e
		self.ended = time.monotonic()
		self.done.set()

	def result(self, limit=LIMIT):
		"""The value, or the exception that fn raised; Failed when it hangs."""
		if not self.done.wait(limit):
			raise Failed('%s still hangs after %d s' % (self.what, limit))
		if self.error is not None:
			raise self.error
		return self.value

	def errno(self, limit=LIMIT):
		"""0, or the errno it ended with."""
		try:
			self.result(limit)
		except OSError as e:
			return e.errno
		return 0

	@property
	def seconds(self):
		return self.ended - self.started


def guarded(what, fn, *args, limit=LIMIT):
	return Job(what, fn, *args).result(limit)


def errname(number):
	return errno.errorcode.get(number, str(number)) if number else 'success'


class Reply:
	"""The outcome of a control command: errno (0 for success) and the text read back."""

	def __init__(self, number, text):
		self.errno, self.text = number, text
		self.fields = {}
		try:
			words = shlex.split(text.split('\n')[0])
		except ValueError:
			words = text.split()
		for word in words[1:]:
			key, eq, value = word.partition('=')
			if eq:
				self.fields[key] = value

	def __repr__(self):
		return '%s %r' % (errname(self.errno), self.text)


class Daemon:
	def __init__(self, directory):
		self.dir = directory
		self.mnt = os.path.join(directory, 'mnt')
		self.state = os.path.join(directory, 'state')
		self.stderr_path = os.path.join(directory, 'stderr')
		self.proc = None

	def start(self):
		binary = os.path.abspath(os.environ.get('ISCSIFS', './iscsifs'))
		if not os.access(binary, os.X_OK):
			raise Failed('no daemon: %s (set ISCSIFS)' % binary)
		for path in (self.mnt, self.state):
			os.makedirs(path, exist_ok=True)
		with open(self.stderr_path, 'ab') as err:
			self.proc = subprocess.Popen([binary, '-f', '-s', self.state, self.mnt],
				stdin=subprocess.DEVNULL, stdout=err, stderr=err, cwd=self.dir)
		with open(os.path.join(self.dir, 'pid'), 'w') as f:
			f.write('%d\n' % self.proc.pid)
		end = time.monotonic() + READY_LIMIT
		ctl = os.path.join(self.mnt, 'ctl')
		while not guarded('stat of ctl', os.path.exists, ctl):
			if self.proc.poll() is not None:
				raise Failed('the daemon ended with status %d at its start' % self.proc.returncode)
			if time.monotonic() > end:
				raise Failed('no %s after %d s' % (ctl, READY_LIMIT))
			time.sleep(0.02)

	def stop(self):
		"""SIGTERM: must log out and end.  Returns complaints."""
		wrong = []
		if self.proc is None:
			return wrong
		if self.proc.poll() is not None:
			wrong.append('the daemon ended by itself with status %d' % self.proc.returncode)
		else:
			self.proc.send_signal(signal.SIGTERM)
			try:
				status = self.proc.wait(STOP_LIMIT)
				if status:
					wrong.append('the daemon ended with status %d after SIGTERM' % status)
			except subprocess.TimeoutExpired:
				wrong.append('the daemon ignores SIGTERM for %d s' % STOP_LIMIT)
				self.proc.kill()
				self.proc.wait()
		unmount(self.mnt)
		wrong += ['stderr: ' + line for line in self.stderr_lines() if any(w in line for w in BAD_WORDS)]
		return wrong

	def stderr_lines(self):
		try:
			with open(self.stderr_path, errors='replace') as f:
				return f.read().splitlines()
		except OSError:
			return []


def is_mounted(path):
	path = os.path.realpath(path)
	with open('/proc/self/mountinfo') as f:
		return any(line.split()[4] == path for line in f)


def unmount(path):
	"""Take a mount away, lazily when it is stuck.  Never raises."""
	for command in (['fusermount3', '-u', path], ['fusermount3', '-u', '-z', path], ['umount', '-l', path]):
		if not is_mounted(path):
			return
		try:
			subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)
		except (OSError, subprocess.TimeoutExpired):
			pass


class Scene:
	"""The argument of a scene function."""

	def __init__(self, directory):
		self.daemon = Daemon(directory)
		self.running = False
		self.targets = []
		self.notes = []

	# ----------------------------------------------------------------------- set up

	def target(self, cls=Target, **config):
		t = cls(**config)
		self.targets.append(t)
		return t.start()

	def start(self):
		if not self.running:
			self.running = True
			self.daemon.start()

	def path(self, *names):
		self.start()
		return os.path.join(self.daemon.mnt, *names)

	def job(self, what, fn, *args, **kwargs):
		self.start()
		return Job(what, fn, *args, **kwargs)

	# --------------------------------------------------------------- control and tree

	def _ctl(self, path, line):
		fd = os.open(path, os.O_RDWR)
		try:
			number = 0
			try:
				os.write(fd, line.encode() + b'\n')
			except OSError as e:
				number = e.errno
			try:
				text = os.read(fd, 65536).decode(errors='replace')
			except OSError as e:
				text = '(read: %s)' % e
			return Reply(number, text)
		finally:
			os.close(fd)

	def ctl(self, path, line, limit=LIMIT):
		return guarded('"%s" > %s' % (line, path), self._ctl, self.path(path), line, limit=limit)

	def ctl_job(self, path, line):
		return self.job('"%s" > %s' % (line, path), self._ctl, self.path(path), line)

	@staticmethod
	def login_line(t, keys):
		keys = dict({'portal': t.portal}, **keys)
		return ' '.join(['login', t.iqn] + ['%s=%s' % (k, quote(v)) for k, v in keys.items()
			if v is not None])

	def try_login(self, t, **keys):
		"""Log in to target t by the root ctl; the Reply, whatever it is."""
		return self.ctl('ctl', self.login_line(t, keys))

	def login_job(self, t, **keys):
		return self.ctl_job('ctl', self.login_line(t, keys))

	def login(self, t, **keys):
		"""Log in; the scene fails when that fails."""
		reply = self.try_login(t, **keys)
		if reply.errno:
			raise Failed('login: %r' % reply)
		return reply

	def refused(self, reply, *errnos):
		"""The command must have failed, with one of these errnos if any are given."""
		if not reply.errno:
			raise Failed('success, an error was expected: %r' % reply)
		if errnos and reply.errno not in errnos:
			raise Failed('%r, expected %s' % (reply, ' or '.join(map(errname, errnos))))
		if not reply.text.startswith('error '):
			raise Failed('the reply read back is %r, not "error code=..."' % reply.text)
		return reply

	def relogin(self, t, **keys):
		"""Log in anew after a session was lost, whether it lives on as failed or not."""
		try:
			self.ctl('targets/%s/ctl' % t.iqn, 'logout force=yes')
		except OSError:
			pass
		return self.login(t, **keys)

	def logout(self, t, **keys):
		return self.ctl('targets/%s/ctl' % t.iqn, ' '.join(['logout'] + ['%s=%s' % k for k in keys.items()]))

	def cat(self, *names):
		def get():
			with open(path, errors='replace') as f:
				return f.read()
		path = self.path(*names)
		return guarded('reading ' + path, get).rstrip('\n')

	def ls(self, *names):
		path = self.path(*names)
		return sorted(guarded('ls ' + path, os.listdir, path))

	def exists(self, *names):
		path = self.path(*names)
		return guarded('stat ' + path, os.path.lexists, path)

	def stat(self, path):
		return guarded('stat of ' + path, os.stat, path)

	def session(self, t):
		"""Path of the only session of t below the mount."""
		sids = [n for n in self.ls('targets', t.iqn, 'sessions') if n.isdigit()]
		self.check(len(sids) == 1, 'one session expected, there are %s' % sids)
		return 'targets/%s/sessions/%s' % (t.iqn, sids[0])

	def sids(self, t):
		"""The sessions of t, oldest first."""
		return sorted((n for n in self.ls('targets', t.iqn, 'sessions') if n.isdigit()), key=int)

	def cids(self, session):
		return sorted((n for n in self.ls(session, 'connections') if n.isdigit()), key=int)

	def command(self, path, line, limit=LIMIT):
		"""A control command that must succeed."""
		reply = self.ctl(path + '/ctl', line, limit)
		self.check(not reply.errno, '"%s" > %s/ctl: %r' % (line, path, reply))
		return reply

	def set(self, t, **keys):
		"""Change timeouts of the only session of t; short ones come when what has to succeed is done."""
		self.command(self.session(t), ' '.join(['set'] + ['%s=%s' % k for k in keys.items()]))

	def two_connections(self, t, **keys):
		"""Log in and add a connection; (path of the session, its CIDs)."""
		self.login(t, **dict({'max_connections': 2}, **keys))
		session = self.session(t)
		self.command(session, 'add-connection portal=%s' % t.portals[-1].address)
		cids = self.cids(session)
		self.check(len(cids) == 2, 'two connections expected, there are %s' % cids)
		t.wait(lambda: len(t.ffp_conns()) == 2, 'two connections in full feature phase')
		return session, cids

	def all_logged_in(self, session, count):
		"""Wait until the daemon, too, has finished the logins of so many connections."""
		def are_up():
			try:
				states = [self.cat(session, 'connections', cid, 'state') for cid in self.cids(session)]
			except FileNotFoundError:		# one has just gone
				return False
			return states == ['logged-in'] * count
		self.wait(are_up, '%d connections in the tree' % count)

	def event_lines(self):
		return self.cat('events').splitlines()

	def event(self, name, text=''):
		"""The event has come, or comes, with what the expression @text finds."""
		wanted = re.compile(' %s .*(?:%s)' % (re.escape(name), text))
		self.wait(lambda: any(wanted.search(x) for x in self.event_lines()), 'the event %s with %r' % (name, text))

	def params(self, t):
		"""Negotiated values of the session and its only connection, by key."""
		s = self.session(t)
		found = {}
		cids = self.ls(s, 'connections')
		for path in [s + '/params'] + ['%s/connections/%s/params' % (s, c) for c in cids if c.isdigit()]:
			for line in self.cat(path).splitlines():
				words = line.split()
				if len(words) >= 2:
					found[words[0]] = words[-1]
		return found

	# -------------------------------------------------------------------------- data

	def disk(self, t, lun=0):
		return self.path('targets', t.iqn, 'lun%d' % lun, 'disk')

	@staticmethod
	def _read(path, offset, size, direct):
		fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
		try:
			if not direct:
				return os.pread(fd, size, offset)
			with mmap.mmap(-1, max(size, 4096)) as buf, memoryview(buf)[:size] as view:
				count = os.preadv(fd, [view], offset)
				return bytes(view[:count])
		finally:
			os.close(fd)

	@staticmethod
	def _write(path, offset, data, direct, sync):
		fd = os.open(path, os.O_WRONLY | (os.O_DIRECT if direct else 0))
		try:
			if direct:
				with mmap.mmap(-1, max(len(data), 4096)) as buf:
					buf[:len(data)] = data
					with memoryview(buf)[:len(data)] as view:
						count = os.pwritev(fd, [view], offset)
			else:
				count = os.pwrite(fd, data, offset)
			if sync:
				os.fsync(fd)
			return count
		finally:
			os.close(fd)

	def read(self, t, offset, size, lun=0, direct=True, limit=LIMIT):
		return self.read_job(t, offset, size, lun, direct).result(limit)

	def read_job(self, t, offset, size, lun=0, direct=True):
		path = self.disk(t, lun)
		return self.job('read of %d at %d' % (size, offset), self._read, path, offset, size, direct)

	def write(self, t, offset, data, lun=0, direct=True, sync=False, limit=LIMIT):
		count = self.write_job(t, offset, data, lun, direct, sync).result(limit)
		self.check(count == len(data), 'short write: %r of %d' % (count, len(data)))

	def write_job(self, t, offset, data, lun=0, direct=True, sync=False):
		path = self.disk(t, lun)
		return self.job('write of %d at %d' % (len(data), offset), self._write, path, offset, data,
			direct, sync)

	# ------------------------------------------------------------------------ checks

	def check(self, condition, message):
		if not condition:
			raise Failed(message)

	def equal(self, got, want, what):
		if got != want:
			raise Failed('%s: %r, expected %r' % (what, got, want))

	def fails(self, job, *errnos, limit=LIMIT):
		"""The job has to end with an OSError, one of errnos if given."""
		number = job.errno(limit)
		if not number:
			raise Failed('%s succeeded' % job.what)
		if errnos and number not in errnos:
			raise Failed('%s: %s, expected %s' % (job.what, errname(number),
				' or '.join(map(errname, errnos))))
		return number

	def wait(self, predicate, what, limit=LIMIT):
		end = time.monotonic() + limit
		while True:
			is_late = time.monotonic() > end	# if so, this is the last look
			value = predicate()
			if value:
				return value
			if is_late:
				raise Failed('waited %d s in vain for %s' % (limit, what))
			time.sleep(0.02)

	def pause(self, seconds):
		"""Watch that something does NOT happen for a while.  Never for waiting."""
		time.sleep(seconds)

	# -------------------------------------------------------------------------- end

	def finish(self):
		"""Stop all; the list of what is wrong."""
		wrong = []
		if self.running:
			wrong += self.daemon.stop()
		for t in self.targets:
			t.stop()
			wrong += ['violation by the initiator: %s' % v for v in t.unexpected()]
			wrong += ['target or scene code failed: ' + c for c in t.crashes]
		return wrong

	def report(self, out):
		"""What helps to understand a failure."""
		for line in self.daemon.stderr_lines()[-25:]:
			print('# stderr: ' + line, file=out)
		for t in self.targets:
			print('# PDUs of %s (%s), the last ones:' % (t.iqn, t.portal), file=out)
			for event in t.events[-int(os.environ.get("CONF_PDUS", 25)):]:
				print('#   %s' % event, file=out)


STILL = '# the machine stood still for '
# What no stall of the machine explains
NEVER_EXCUSED = BAD_WORDS + ('the daemon ended ',)


class Watchdog:
	"""Notices that the machine stood still: its thread slept much longer than it wanted to.  It shares the
	interpreter with the scene, which may keep it for some milliseconds, but not for a second."""
	NAP, GAP = 0.2, 1.0

	def __init__(self, out):
		self.out, self.lock = out, threading.Lock()
		self.last = time.monotonic()
		threading.Thread(target=self.run, daemon=True).start()

	def run(self):
		while True:
			time.sleep(self.NAP)
			self.look()

	def look(self):
		with self.lock:
			now = time.monotonic()
			gap, self.last = now - self.last, now
			if gap > self.GAP:
				self.out.write('%s%.1f s\n' % (STILL, gap))
				self.out.flush()


def is_worth_again(code, output):
	"""A scene ended with this status and output: was it perhaps the machine that failed?"""
	return code not in (0, 2) and STILL in output and not any(word in output for word in NEVER_EXCUSED)


def quote(value):
	value = str(value)
	if value and not any(c in ' \t"\\#' for c in value):
		return value
	return '"' + value.replace('\\', '\\x5c').replace('"', '\\x22') + '"'


def play(name, directory):
	"""Run one scene; 0 passed, 1 failed, 2 skipped.  Messages go to stdout."""
	info, out = SCENES[name], sys.stdout
	s = Scene(directory)
	problems, skipped = [], None
	try:
		info.fn(s)
	except Skip as e:
		skipped = str(e)
	except OSError as e:
		problems.append('%s: %s %s' % (type(e).__name__, errname(e.errno), e))
		problems.append(where(e))
	except AssertionError as e:
		problems.append(str(e) or 'assertion')
		problems.append(where(e))
	except Exception as e:
		problems.append('%s: %s' % (type(e).__name__, e))
		problems.append(where(e))
	problems += s.finish()
	if problems:
		for text in problems:
			for line in text.splitlines():
				print('# ' + line, file=out)
		s.report(out)
		return 1
	if skipped:
		print('# skip: ' + skipped, file=out)
		return 2
	return 0


def where(exc):
	"""The line of the scene that raised."""
	place, tb = '', exc.__traceback__
	while tb:
		code = tb.tb_frame.f_code
		if 'scenes_' in code.co_filename:
			place = 'at %s:%d in %s' % (os.path.basename(code.co_filename), tb.tb_lineno, code.co_name)
		tb = tb.tb_next
	return place
