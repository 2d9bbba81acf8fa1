# SPDX-License-Identifier: BSD-2-Clause
"""Runs tests: each in a process of its own, with a directory of its own and a time limit, and reports in TAP.

A test is a function with the decorator @test; it gets a Scratch and ends by returning (passed; a text is told with -v),
raising Skip, or raising anything else (failed). When its time is up, its daemons are killed -- which ends every file operation that hangs on the mount --
and it has failed. What it leaves running, mounted or attached counts as a failure.

A test that failed while the machine stood still -- the runner, which wakes up five times a second, was not let for more
than STILL seconds -- is played again, once, and the report says so; likewise, up to PEER_TRIES times, one during which a
program that is not ours died of a fault of its own (Scratch.excuse). A failure without that is one at once, and so are
the last one, a test whose time was up and what a sanitizer reports.

    run [-l] [-v] [-k] [--long] [PATTERN ...]
            list; say more; keep directories; with those that take long; only tests whose name contains a PATTERN

ISCSIFS is the program under test, TMPDIR where directories are made, TEST_MEMORY where backing files are (/dev/shm),
TEST_SLOWNESS a factor for all limits (sanitizers).
"""
import faulthandler
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import sweep

sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SLOWNESS = float(os.environ.get("TEST_SLOWNESS", "1"))
# The longest that any one operation may take: what takes longer hangs.
LIMIT = 120 * SLOWNESS
# Longer between two wake-ups: the machine stood still (a tick itself is 0.2 s).
STILL, TICK = 1.0, 0.2
PEER_TRIES = 4
_tests = []


class Skip(Exception):
    pass


class Case:
    """One of those that a test is run @on: a name, and whatever else it is to know (is_long, as of test(), too)."""

    def __init__(self, name, **more):
        self.__name__ = name
        self.__dict__.update(more)


def test(function=None, *, limit=120, on=None, is_long=False):
    """@limit: seconds for the whole test. @on: run once for each of these, as the second argument. @is_long: only with
    the option --long."""
    def register(f):
        for variant in on or (None,):
            name = f"{f.__module__}.{f.__name__}" + (f"[{variant.__name__}]" if variant else "")
            _tests.append((name, f, variant, limit * SLOWNESS, is_long or getattr(variant, "is_long", False)))
        return f
    return register(function) if function else register


def wait_for(condition, what, limit=30):
    """Until condition() is true (an OSError counts as not yet); returns its value."""
    end = time.monotonic() + limit * SLOWNESS
    error = ""
    while True:
        is_late = time.monotonic() > end  # before it looks, so that it looks once more after a pause of the machine
        try:
            value = condition()
            if value:
                return value
        except OSError as e:
            error = f" (last: {e})"
        if is_late:
            raise AssertionError(f"waited {limit * SLOWNESS:.0f} s in vain: {what}{error}")
        time.sleep(0.02)


def refuses(errno_value, function, *args, **kwargs):
    """function() must fail with this errno; returns the OSError."""
    try:
        value = function(*args, **kwargs)
    except OSError as e:
        name = os.strerror(errno_value)
        assert e.errno == errno_value, f"expected {name!r}, got {e} {getattr(e, 'reply', '')}"
        return e
    raise AssertionError(f"expected {os.strerror(errno_value)!r}, but it worked: {value!r}")


class Scratch:
    """A test's own: directories, child processes, and what is to be undone at the end (in reverse order)."""

    def __init__(self, directory, fast):
        self.dir = directory
        self.fast = fast  # in memory where there is /dev/shm
        self._undo = []
        self._excuses = []

    def defer(self, function, *args):
        self._undo.append((function, args))

    def excuse(self, function):
        """function() tells, of a test that failed, which other program's fault has spoilt it; None: none has."""
        self._excuses.append(function)

    def excuses(self):
        return "; ".join(filter(None, (x() for x in self._excuses)))

    def finish(self):
        """Undo everything; the first failure is raised when all has been tried."""
        first = None
        while self._undo:
            function, args = self._undo.pop()
            try:
                function(*args)
            except Exception as e:
                first = first or e
        if first:
            raise first

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, size):
        """A backing file of @size bytes (a hole) in memory."""
        path = os.path.join(self.fast, name)
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    def sh(self, command, *, ok=True, limit=LIMIT, **kwargs):
        """Run a line of shell as a user would; returns the CompletedProcess with stdout and stderr in one text."""
        with tempfile.TemporaryFile("w+", errors="replace") as f:  # no pipe: what stays in the background may hold it
            done = subprocess.run(["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=f,
                                  stderr=f, timeout=limit, cwd=self.dir, **kwargs)
            f.seek(0)
            done.stdout = f.read()
        if ok:
            text = "\n".join(done.stdout.splitlines()[-40:])
            assert done.returncode == 0, f"$ {command}\nexit status {done.returncode}\n{text}"
        return done

    def start(self, command, log, **kwargs):
        """A background process; killed at the end when it still runs."""
        with open(log, "ab") as f:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=f, stderr=f, **kwargs)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait(LIMIT)
        self.defer(end)
        return process


def need_program(*names):
    """Paths of programs; skips the test when one is missing."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = [shutil.which(name, path=path) for name in names]
    for name, where in zip(names, found):
        if not where:
            raise Skip(f"no program {name}")
    return found if len(found) > 1 else found[0]


def need_root(why):
    if os.geteuid():
        raise Skip(f"needs root: {why}")


def _child(function, variant, directory, fast, report):
    """The test's process: its verdict goes to @report as JSON."""
    os.setpgid(0, 0)
    os.environ[sweep.VARIABLE] = directory
    os.environ["TMPDIR"] = directory
    faulthandler.register(signal.SIGUSR1, open(os.path.join(directory, "trace.log"), "w"), all_threads=True)
    log = os.open(os.path.join(directory, "test.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    scratch = Scratch(directory, fast)
    verdict, text, excuse = "passed", "", ""
    try:
        text = (function(scratch, variant) if variant else function(scratch)) or ""
    except Skip as e:
        verdict, text = "skipped", str(e)
    except BaseException:
        verdict, text, excuse = "failed", traceback.format_exc(), scratch.excuses()
    try:
        scratch.finish()
    except BaseException:
        if verdict == "failed":
            text += "\nand then, on the way out:\n"
        verdict, text = "failed", text + traceback.format_exc()
    os.write(report, json.dumps([verdict, text, excuse]).encode())
    os._exit(0)


def _tail(path, lines):
    try:
        with open(path, errors="replace") as f:
            return [line[:300] for line in f.read().splitlines()[-lines:]]
    except OSError:
        return []


def _run_one(function, variant, limit, keep):
    """(verdict, text, why it may be played again, or "", and whether that is another program's fault)"""
    directory = os.path.realpath(tempfile.mkdtemp(prefix="iscsifs-t."))
    os.chmod(directory, 0o755)
    fast = directory
    memory = os.environ.get("TEST_MEMORY", "/dev/shm")
    if os.access(memory, os.W_OK):
        fast = tempfile.mkdtemp(prefix="iscsifs-t.", dir=memory)
        os.chmod(fast, 0o755)
    sys.stdout.flush()
    sys.stderr.flush()
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _child(function, variant, directory, fast, theirs)
    os.close(theirs)
    data, end, late = b"", time.monotonic() + limit, False
    still, last = 0, time.monotonic()
    while True:
        is_ready = select.select([ours], [], [], TICK)[0]
        now = time.monotonic()
        still, last = max(still, now - last), now
        if not is_ready:
            if now < end:
                continue
            if late:
                break
            # First where it hangs, then away with its daemons; it may still clean up and tell.
            late, end = True, time.monotonic() + 30
            os.kill(pid, signal.SIGUSR1)
            time.sleep(0.5)
            for other, _ in sweep.processes(directory):
                if other != pid:
                    os.kill(other, signal.SIGKILL)
            continue
        piece = os.read(ours, 65536)
        data += piece
        if not piece:
            break
    os.close(ours)
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
    left = [x for x in sweep.sweep(directory) if not x.startswith(f"process {pid} ")]
    os.waitpid(pid, 0)
    try:
        verdict, text, excuse = json.loads(data)
    except ValueError:
        verdict, text, excuse = "failed", "the test's process died\n", ""
    if late:
        verdict, text = "failed", f"not done in {limit:.0f} s (trace.log tells where it was)\n{text}"
    if left and verdict != "skipped":
        verdict, text = "failed", text + "".join(f"left behind: {x}\n" for x in left)
    if verdict == "failed":
        for name in sorted(os.listdir(directory)):
            lines = _tail(os.path.join(directory, name), 25) if name.endswith(".log") or ".san." in name else []
            text += "".join(f"{x}\n" for x in [f"--- end of {name}"] + lines) if lines else ""
    if keep:
        text += f"kept {directory} {fast}\n"
    else:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(fast, ignore_errors=True)
    if late or "sanitizer report:" in text or ".san." in text:
        return verdict, text, "", False
    if still > STILL and not excuse:
        return verdict, text, f"the machine stood still for {still:.1f} s", False
    return verdict, text, excuse, bool(excuse)


def _run_fairly(*what):
    """(verdict, text, what is to be told even when it passed): again, when it failed for a reason that excuses it."""
    told, was_still = "", False
    for i in range(PEER_TRIES + 1):
        verdict, text, why, is_peer = _run_one(*what)
        if verdict != "failed" or not why or i == PEER_TRIES or (was_still and not is_peer):
            break
        was_still |= not is_peer
        told += f"played again: {why}\nthe time before:\n{text}"
    return verdict, text, told


def main(usable=None):
    """Run what was registered. @usable() may raise Skip: then everything is skipped for that reason."""
    # Whoever starts us in the background has it ignored, and so would every program that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    words = [a for a in sys.argv[1:] if not a.startswith("-")]
    options = [a for a in sys.argv[1:] if a.startswith("-")]
    if set(options) - {"-l", "-v", "-k", "--long"}:
        sys.exit(__doc__)
    chosen = [x for x in _tests if not words or any(w in x[0] for w in words)]
    if "--long" not in options:
        short = [x for x in chosen if not x[4]]
        left_out, chosen = len(chosen) - len(short), short
        if left_out:
            print(f"# {left_out} more with --long")
    if "-l" in options:
        print("\n".join(x[0] for x in chosen))
        return 0
    reason = None
    try:
        if usable:
            usable()
    except Skip as e:
        reason = str(e)
    print(f"1..{len(chosen)}")
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for number, (name, function, variant, limit, _) in enumerate(chosen, 1):
        started = time.monotonic()
        verdict, text, told = (("skipped", reason, "") if reason else
                               _run_fairly(function, variant, limit, "-k" in options))
        count[verdict] += 1
        seconds = time.monotonic() - started
        if verdict == "skipped":
            print(f"ok {number} - {name} # SKIP {text}")
        else:
            print(f"{'ok' if verdict == 'passed' else 'not ok'} {number} - {name} ({seconds:.1f} s)")
            for line in told.splitlines():
                print(f"# {line}")
            if verdict == "failed" or "-v" in options or "-k" in options:
                for line in text.splitlines():
                    print(f"# {line}")
        sys.stdout.flush()
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**count))
    return 1 if count["failed"] or not chosen else 0
