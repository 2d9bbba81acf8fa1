# SPDX-License-Identifier: BSD-2-Clause
"""The program under test: one daemon with its tree mounted, started by a test and ended with it; and who uses it."""
import contextlib
import errno
import glob
import json
import os
import re
import pwd
import shutil
import signal
import subprocess
import sys

from runner import LIMIT, SLOWNESS, TOP, Skip, need_program, wait_for


def program():
    """The iscsifs to test: ISCSIFS, else the one at the top of a build directory."""
    named = os.environ.get("ISCSIFS")
    if named:
        if not os.access(named, os.X_OK):
            raise SystemExit(f"ISCSIFS={named}: no such program")
        return os.path.abspath(named)
    for place in (os.getcwd(), TOP, os.path.join(TOP, "build")):
        path = os.path.join(place, "iscsifs")
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise SystemExit("no iscsifs here: build it first, or name it with ISCSIFS=")


def usable():
    """Skip unless this process can mount a FUSE file system."""
    program()
    if not os.path.exists("/dev/fuse"):
        raise Skip("no /dev/fuse")
    if os.geteuid():
        need_program("fusermount3")
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            raise Skip("/dev/fuse is not open to this user")


def is_mounted(point):
    with open("/proc/self/mountinfo") as f:
        return any(line.split()[4] == point for line in f)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_text(path):
    with open(path) as f:
        return f.read()


def read_all(fd):
    """What a descriptor has to say up to its end."""
    pieces = []
    while True:
        piece = os.read(fd, 65536)
        if not piece:
            return b"".join(pieces).decode(errors="replace")
        pieces.append(piece)


class Mounted:
    """@words: more command line. @config: text of the configuration file. @environ: more of that. @wait=False: do not insist that it starts."""

    def __init__(self, t, *words, config="", name="iscsi", state=None, wait=True, point=None, environ=None):
        self.t, self.name = t, name
        self.program = program()
        self.point = point or t.path(name)
        if not point:
            os.mkdir(self.point)
        self.state = state or t.path(f"{name}.state")
        self.log = t.path(f"{name}.log")
        self.config = t.path(f"{name}.conf")
        with open(self.config, "w") as f:
            f.write(config)
        self.environ = dict(sanitizer_environ(t, name), **(environ or {}))
        self.command = [self.program, "-f", "-c", self.config, "-s", self.state, *words, self.point]
        self.process = t.start(self.command, self.log, env=self.environ)
        self.pid = self.process.pid
        t.defer(self._end)
        if wait:
            wait_for(lambda: self.process.poll() is not None or (is_mounted(self.point) and os.listdir(self.point)),
                     "the tree is mounted")
            assert self.process.poll() is None, f"iscsifs ended with status {self.process.returncode}"

    def _end(self):
        """At the end of the test: it must still be there, and end well."""
        if self.process.poll() is None:
            self.stop()
        check_sanitizer(self.t, self.name)

    def is_alive(self):
        return self.process.poll() is None

    def stop(self, how=signal.SIGTERM, status=0):
        self.process.send_signal(how)
        self.wait(status)

    def wait(self, status=0):
        got = self.process.wait(LIMIT / 2)
        assert got == status, f"iscsifs ended with status {got}, not {status}"
        assert not is_mounted(self.point), "iscsifs has ended and is still mounted"

    def path(self, *parts):
        return os.path.join(self.point, *map(str, parts))

    @contextlib.contextmanager
    def _alive(self):
        """No use to wait for a daemon that is dead."""
        try:
            yield
        except OSError as e:
            if e.errno in (errno.ENOTCONN, errno.ECONNABORTED):
                raise AssertionError(f"iscsifs has died, status {self.process.poll()}: {e}") from None
            raise

    def read(self, *parts):
        """A file's text without the newline at its end."""
        with self._alive():
            text = read_text(self.path(*parts))
        return text[:-1] if text.endswith("\n") else text

    def json(self, *parts):
        return json.loads(self.read(*parts, "status.json"))

    def ls(self, *parts):
        """What a directory holds besides its README."""
        with self._alive():
            return sorted(x for x in os.listdir(self.path(*parts)) if x != "README")

    def ctl(self, where, text):
        """Write to the control file of directory @where; its reply. A refusal is an OSError with .reply."""
        fd = os.open(self.path(where, "ctl"), os.O_RDWR)
        try:
            os.write(fd, text.encode() + b"\n")
            return read_all(fd)
        except OSError as e:
            e.reply = read_all(fd)
            e.add_note(f"{where}/ctl: {text}: {e.reply}")
            raise
        finally:
            os.close(fd)

    def shut_down(self):
        """With the verb."""
        try:
            self.ctl("", "shutdown")
        except OSError as e:  # the tree may be gone before the answer is read
            assert e.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV), e

    def discover(self, portal, keys=""):
        return self.ctl("discovery", f"add-portal {portal} {keys}")

    def target(self, iqn, *parts):
        return os.path.join("targets", iqn, *map(str, parts))

    def login(self, iqn, keys=""):
        """Log in; the session's number."""
        before = set(self.sids(iqn))
        reply = self.ctl(self.target(iqn), f"login {keys}")
        assert reply.startswith("ok"), reply
        new = set(self.sids(iqn)) - before
        assert len(new) == 1, f"one more session expected, got {new}: {reply}"
        return new.pop()

    def logout(self, iqn, keys=""):
        return self.ctl(self.target(iqn), f"logout {keys}")

    def sids(self, iqn):
        try:
            return [x for x in self.ls("targets", iqn, "sessions") if x.isdigit()]
        except FileNotFoundError:
            return []

    def disk(self, iqn, number):
        return self.path("targets", iqn, f"lun{number}", "disk")

    def log_in(self, portal, iqn, keys=""):
        """Discover and log in."""
        self.discover(portal)
        return self.login(iqn, keys)

    def params(self, iqn, sid):
        """{key: (requested, negotiated)}, session and connection together."""
        found = {}
        places = [self.path("targets", iqn, "sessions", sid, "params")]
        places += glob.glob(glob.escape(self.path("targets", iqn, "sessions", sid)) + "/connections/*/params")
        for place in places:
            for line in read_text(place).splitlines():
                key, requested, negotiated = line.split(None, 2)
                found.setdefault(key, (requested, negotiated))
        return found


def sanitizer_environ(t, name):
    """Reports of a sanitizer build go to files in the test's directory, also when the daemon has no terminal."""
    log = t.path(f"{name}.san")
    common = f"log_path={log}:log_exe_name=0"
    return dict(os.environ, ASAN_OPTIONS=f"{common}:detect_leaks=1:abort_on_error=0:exitcode=99",
                UBSAN_OPTIONS=f"{common}:print_stacktrace=1:halt_on_error=1:exitcode=99",
                G_SLICE="always-malloc")


# What the search for leaks says when its process is killed meanwhile, as a child that is no longer wanted.
KILLED_AT_ITS_END = re.compile(r"==\d+==Unable to get registers from thread \d+\.\n?")


def check_sanitizer(t, name):
    for path in glob.glob(glob.escape(t.path(f"{name}.san")) + ".*"):
        text = read_text(path)
        if KILLED_AT_ITS_END.sub("", text).strip():
            raise AssertionError(f"sanitizer report:\n{text[:4000]}")


def run_program(t, *words, limit=LIMIT, name="run"):
    """Run iscsifs to its end (or to where its parent process ends); the CompletedProcess, texts in one."""
    # A file and no pipe: a daemon that goes to the background might keep the pipe open.
    with open(t.path(f"{name}.out"), "w+") as f:
        done = subprocess.run([program(), *words], stdin=subprocess.DEVNULL, stdout=f, stderr=f, timeout=limit,
                              env=sanitizer_environ(t, name))
        f.seek(0)
        done.stdout = f.read()
    return done


def unmount(point):
    if os.geteuid() == 0:
        subprocess.run(["umount", point], check=True, timeout=LIMIT)
    else:
        subprocess.run([shutil.which("fusermount3"), "-u", point], check=True, timeout=LIMIT)


# ---- a program that waits in one call on a file of the tree ----

# A call of libc's, so that Python does not try again by itself; its handlers run afterwards. Ready when the
# line is there, with all signals of SIGNALS caught.
CALLER = """
import ctypes, errno, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
SIGNALS = ("INT", "TERM", "HUP", "CHLD", "USR1", "USR2", "WINCH", "URG", "CONT", "ALRM")
for name in SIGNALS:
    signal.signal(getattr(signal, "SIG" + name), lambda *_: None)
if sys.argv[1] == "write":
    fd, data = os.open(sys.argv[2], os.O_RDWR), sys.argv[3].encode() + b"\\n"
    call = lambda: libc.write(fd, data, len(data))
else:
    import mmap
    fd, data = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECT), mmap.mmap(-1, 65536)
    place = ctypes.c_char.from_buffer(data)
    call = lambda: libc.pread(fd, ctypes.byref(place), 65536, 0)
print("ready", flush=True)
n = call()
print(errno.errorcode[ctypes.get_errno()] if n < 0 else n, flush=True)
if sys.argv[1] == "read" and n > 0:
    open(sys.argv[3], "wb").write(data[:n])
"""


def caller(t, *words):
    """Waits in the call when this returns. @words: "write", path, text; or "read", path, a file for what was read."""
    p = subprocess.Popen([sys.executable, "-B", "-c", CALLER, *words], stdout=subprocess.PIPE, text=True)
    t.defer(p.stdout.close)
    t.defer(p.wait)
    t.defer(p.kill)
    assert p.stdout.readline() == "ready\n"
    wait_for(lambda: is_waiting(p.pid), "it waits in its call")
    return p


def is_waiting(pid):
    """In the call: asleep, in write(2) or pread64(2)."""
    with open(f"/proc/{pid}/syscall") as f:
        return f.read().split()[0] in ("1", "17", "64", "67")  # amd64, arm64


def result(p):
    """How the call ended: the number of bytes, or the error's name."""
    line = p.stdout.readline().strip()
    p.wait()
    return line


# ---- as a user who is not root, and may use FUSE ----

def nobody():
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        raise Skip("no user nobody")


def as_nobody(t, command):
    return t.sh(f"runuser -u nobody -- timeout {LIMIT / 2:.0f} {command}", ok=False)


def _as_user(t, place, run):
    """The command line @run for a user who is not root; @place becomes his."""
    if os.geteuid():
        return run
    user = nobody()
    need_program("runuser", "unshare")
    os.chown(place, user.pw_uid, user.pw_gid)
    if as_nobody(t, f"test -x {place}").returncode:
        raise Skip(f"{t.dir} is closed to nobody")
    run = f"runuser -u nobody -- {run}"
    if os.stat("/dev/fuse").st_mode & 0o002:
        return run
    # Closed here, open to all on an ordinary Debian: a device file of our own, in a mount namespace of our own.
    dev = t.path("dev")
    os.mkdir(dev)
    return (f"unshare -m --propagation private bash -ec 'mount -t tmpfs -o mode=755,dev none {dev}; "
            f"mknod -m 666 {dev}/fuse c 10 229; mount --bind {dev}/fuse /dev/fuse; exec {run}'")


def _sanitizer_environ_at(t, place):
    """Reports in a directory that the other user can write."""
    environ = sanitizer_environ(t, "private")
    for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        environ[key] = environ[key].replace(t.path("private.san"), os.path.join(place, "private.san"))
    return environ


SCRIPT = r"""
set -eu
cd "$1"; iscsifs=$2 portal=$3 target=point/targets/$4 lun=point/targets/$4/lun$5
mkdir point
"$iscsifs" -c empty.conf -s state -p pid point
test "$(id -u)" != 0
echo "add-portal $portal" > point/discovery/ctl
"""

END = r"""
pid=$(cat pid)
fusermount3 -u point
for _ in $(seq SECONDS); do
	for _ in $(seq 20); do kill -0 "$pid" 2>/dev/null || exit 0; sleep 0.05; done
done
echo "the daemon is still there"; exit 1
"""


def run_unprivileged(t, portal, iqn, number, commands):
    """From mount to umount: lines of shell in @place, which has the mount `point`, for $target and $lun of it. What was
    printed, and @place."""
    need_program("fusermount3", "timeout")
    place = t.path("private")
    os.mkdir(place)
    binary = shutil.copy(program(), place)  # the build directory may be closed to others
    open(os.path.join(place, "empty.conf"), "w").close()
    script = os.path.join(place, "script")
    with open(script, "w") as f:
        f.write(SCRIPT + commands + END.replace("SECONDS", f"{60 * SLOWNESS:.0f}"))
    run = _as_user(t, place, f"bash {script} {place} {binary} {portal} {iqn} {number}")
    done = t.sh(f"timeout {LIMIT:.0f} {run}", env=_sanitizer_environ_at(t, place), limit=LIMIT + 30)
    return done.stdout, place
