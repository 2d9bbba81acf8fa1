# SPDX-License-Identifier: BSD-2-Clause
"""The verifying load (loadcheck.c, which tells how it knows what is right) as a test sees it:

    load = Load(t, fs.disk(iqn, number), deadline=30)
    load.start()
    ... a fault ...
    load.goes_on("after the fault")        new I/O succeeds
    load.mark_good()                       since start or the last mark: no error, nothing later than the deadline
    load.finish(backing)                   no wrong byte, neither through the disk nor in the target's own file

What is found wrong is told at the next call of any of these.
"""
import os
import subprocess
import threading
import time

from runner import LIMIT, SLOWNESS, need_program

HERE = os.path.dirname(os.path.abspath(__file__))
# What a machine that stands still now and then may add to a deadline, in seconds.
TOLERANCE = 30


def build(t):
    """Path of the program, compiled for this test unless LOADCHECK names one."""
    named = os.environ.get("LOADCHECK")
    if named:
        return named
    path = t.path("loadcheck")
    if not os.path.exists(path):
        done = subprocess.run([need_program("cc"), "-std=gnu17", "-O2", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
                               "-pthread", "-o", path, os.path.join(HERE, "loadcheck.c")],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return path


class Window(dict):
    """What loadcheck counted in some time: seconds, good, reads, writes, bytes, errors, bad, max_ms, min_error_ms,
    max_error_ms, gap_ms (the longest time without a good I/O), inflight."""

    def __getattr__(self, name):
        return self[name]

    def __str__(self):
        text = f"{self.good} I/Os, the longest {self.max_ms:.0f} ms, without any for {self.gap_ms:.0f} ms"
        return text + (f", {self.errors} errors" if self.errors else "")


class Load:
    """@deadline: seconds that an I/O may take. @is_alive: is the daemon? @options: those of loadcheck. Has written all
    of the disk when this returns."""

    def __init__(self, t, path, deadline=30, name="load", is_alive=lambda: True, **options):
        self.deadline, self.name, self.is_alive = deadline, name, is_alive
        self.bad, self.failures, self.answers = [], [], []  # lines
        self.good = self.errors = self.oldest_ms = 0
        self.condition = threading.Condition()
        self.is_running = False
        self.log = t.path(f"{name}.log")
        options.setdefault("threads", 8)
        # Beyond any deadline: it hangs.
        options.setdefault("hang", int(3 * deadline + 30 * SLOWNESS))
        self.hang, self.threads = options["hang"], options["threads"]
        words = [f"{k}={v}" for k, v in options.items()]
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([build(t), path, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=log, text=True)
        t.defer(self._end)
        threading.Thread(target=self._read, daemon=True).start()
        self._answer("ready", limit=60)

    def _read(self):
        with open(self.log, "a") as log:
            for line in self.process.stdout:
                word, _, rest = line.rstrip("\n").partition(" ")
                if word != "at":
                    log.write(line)
                    log.flush()
                with self.condition:
                    if word == "at":
                        now = _values(rest)
                        self.good, self.errors, self.oldest_ms = now["good"], now["errors"], now["oldest_ms"]
                    elif word in ("bad", "hang"):
                        self.bad.append(line.strip())
                    elif word == "error":
                        self.failures.append(rest)
                    else:
                        self.answers.append((word, rest))
                    self.condition.notify_all()
        with self.condition:
            self.answers.append(("end", ""))
            self.condition.notify_all()

    def _answer(self, word, limit):
        with self.condition:
            came = self.condition.wait_for(lambda: self.answers, limit * SLOWNESS)
            assert came, f"{self.name} does not answer: {word}"
            got, rest = self.answers.pop(0)
        assert got == word, f"{self.name} ended or says {got} {rest}, not {word} (status {self.process.poll()})"
        return rest

    def _tell(self, command, word, limit=30):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer(word, limit)

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            pass  # it hangs in an I/O that ends with the daemon

    def check(self):
        """Nothing wrong until now."""
        assert not self.bad, "\n".join([f"{self.name}:"] + self.bad[:20])

    def start(self):
        self._tell("start", "started")
        self.is_running = True
        self.goes_on("from the start")

    def goes_on(self, when="", count=50, limit=None):
        """So many I/Os that start from now on succeed, in at most @limit seconds (the deadline and the tolerance). Returns
        how long that took."""
        limit = limit or self.deadline + TOLERANCE
        started = time.monotonic()
        wanted = _values(self._tell("now", "now"))["good"] + self.threads + count
        with self.condition:
            went = self.condition.wait_for(lambda: self.good >= wanted or self.bad or not self.is_alive(), limit)
        self.check()
        assert self.is_alive(), f"{self.name}: iscsifs has died {when}"
        assert went, (f"{self.name}: the load does not go on {when}: {self.good} good I/Os, {wanted} expected, after "
                      f"{limit:.0f} s; {self.errors} errors, the oldest waits for {self.oldest_ms} ms")
        return time.monotonic() - started

    def fails(self, limit):
        """An I/O fails within @limit seconds."""
        before = _values(self._tell("now", "now"))["errors"]
        with self.condition:
            assert self.condition.wait_for(lambda: self.errors > before or self.bad, limit), "no I/O has failed"
        self.check()

    def mark(self):
        """A Window since the last one."""
        window = Window(_values(self._tell("mark", "mark")))
        print(f"{self.name}: {window}", flush=True)
        self.check()
        return window

    def mark_good(self, when="", limit=None):
        """As mark(), and it must have been good: no error, nothing later than @limit seconds (the deadline)."""
        window = self.mark()
        limit = (limit or self.deadline) + TOLERANCE
        assert window.good, f"{self.name} {when}: no I/O"
        assert not window.errors, f"{self.name} {when}: {window.errors} I/Os failed; see its log"
        assert window.max_ms <= limit * 1000, f"{self.name} {when}: an I/O took {window.max_ms:.0f} ms"
        return window

    def stop(self):
        """A Window over all since start()."""
        self.is_running = False
        window = Window(_values(self._tell("stop", "stopped", self.hang + 30)))
        self.check()
        return window

    def compare(self, path):
        verdict = self._tell(f"compare {path}", "compared", 120)
        self.check()
        assert verdict == "ok", f"{path}: {verdict}"

    def finish(self, backing=None):
        """Stop; everything must be right, through the disk and in @backing (a path, or a function that gives one)."""
        window = self.stop() if self.is_running else None
        verdict = self._tell("verify", "verified", 120)
        self.check()
        assert verdict == "ok", verdict
        if backing:
            self.compare(backing() if callable(backing) else backing)
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        assert self.process.wait(LIMIT) == 0, f"{self.name}: status {self.process.returncode}"
        return window


def _values(text):
    """{name: number} of NAME=VALUE words."""
    pairs = [word.split("=", 1) for word in text.split() if "=" in word]
    return {k: float(v) if "." in v else int(v) for k, v in pairs}
