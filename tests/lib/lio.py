#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The Linux kernel's own target (LIO) for tests: in a User-Mode Linux guest, beside the test in a network namespace
of its own.

The test's process moves into a new network namespace; what it starts from then on (the daemon too) is in there as
well, and all of it vanishes with its last process. The guest has portals at two addresses on a tap device, and a
shell on port 7000 with which it is configured while it runs: nothing but the network is fixed at its start.

By hand:   python3 -B tests/lib/lio.py [KEY=VALUE ...]
starts a guest with all of add_all(), prints it, and runs $SHELL inside the namespace; the guest ends with the shell.
KEY is a key of RFC 7143 or an attribute of LIO's.
"""
import contextlib
import ctypes
import hashlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading

from runner import SLOWNESS, TOP, Skip, need_program, need_root, wait_for

MIB = 1 << 20
USER, SECRET = "tom", "secretsecret12"
USER_IN, SECRET_IN = "jerry", "mutualsecret34"
# Documentation addresses (RFC 5737): nothing real can be meant.
HOST, GUEST = "192.0.2.1", ("192.0.2.11", "192.0.2.12")
PORT, CONTROL_PORT = 3260, 7000
STATES = {"optimized": 0, "non-optimized": 1, "standby": 2, "unavailable": 3, "transitioning": 15}
CONFIGFS = "/sys/kernel/config/target"
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1

PARAMETERS = {
    "MaxConnections": 8, "ErrorRecoveryLevel": 2, "HeaderDigest": "CRC32C,None", "DataDigest": "CRC32C,None",
    "InitialR2T": "No", "ImmediateData": "Yes", "MaxBurstLength": 1048576, "FirstBurstLength": 262144,
    "MaxRecvDataSegmentLength": 262144, "MaxOutstandingR2T": 1, "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes",
    "DefaultTime2Wait": 2, "DefaultTime2Retain": 60}
ATTRIBUTES = {"generate_node_acls": 1, "cache_dynamic_acls": 1, "demo_mode_write_protect": 0, "authentication": 0}


def _libc(name, *words):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*words):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def own_network():
    """Move this process into a new network namespace, with only a loopback device. Threads would stay behind."""
    assert threading.active_count() == 1, "the network namespace comes before any thread"
    need_root("a network namespace of its own")
    need_program("ip")
    try:
        _libc("unshare", CLONE_NEWNET)
    except OSError as e:
        raise Skip(f"no network namespace here: {e.strerror}") from None
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _add_tap(name, mtu):
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        raise Skip("no tap device here: /dev/net/tun is not there or not open to us")
    done = subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap"], capture_output=True, text=True)
    if done.returncode:
        raise Skip(f"no tap device here: {done.stderr.strip()}")
    for words in (["addr", "add", f"{HOST}/24", "dev", name], ["link", "set", name, "mtu", str(mtu), "up"]):
        subprocess.run(["ip", *words], check=True)


def guest_files():
    """The directory with kernel and initrd, built when it is not up to date."""
    done = subprocess.run([sys.executable, "-B", os.path.join(TOP, "tests/interop/lio/build")],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode == 2:
        raise Skip(done.stderr.strip())
    assert done.returncode == 0, f"tests/interop/lio/build: {done.stderr}"
    return done.stdout.strip()


class Disk:
    """A backstore: @path in configfs, @file its bytes in the guest."""

    def __init__(self, name, size, path, file):
        self.name, self.size, self.path, self.file = name, size, path, file


class Lio:
    """A guest without targets; add_disk() and add_target() fill it. Gone at the end of the test @t."""
    base = "iqn.2026-11.test.lio:"

    def __init__(self, t, name="lio", memory="400M", mtu=1500):
        self.t, self.name = t, name
        need_root("a network namespace and a tap device of its own")
        files = guest_files()
        own_network()
        _add_tap("tap0", mtu)
        self.log = t.path(f"{name}.log")
        self.count = 0
        self.portals = [f"{a}:{PORT}" for a in GUEST]
        self.portal = self.portals[0]
        # Its memory is a file that must be mapped executable.
        fast = t.dir if os.statvfs(t.fast).f_flag & os.ST_NOEXEC else t.fast
        environ = dict(os.environ, TMPDIR=fast, LD_PRELOAD=os.path.join(files, "xstate.so"))
        environ.pop("ASAN_OPTIONS", None)
        self.process = t.start(
            [os.path.join(files, "linux.uml"), f"mem={memory}", f"umid={name}", f"uml_dir={t.dir}",
             f"initrd={files}/initrd", "vec0:transport=tap,ifname=tap0,depth=128,gro=1", "con=null", "con0=null,fd:2",
             "ssl=null", "quiet", "panic=-1", f"mtu={mtu}", "addresses=" + ",".join(f"{a}/24" for a in GUEST)],
            self.log, env=environ, preexec_fn=lambda: _libc("prctl", PR_SET_PDEATHSIG, signal.SIGTERM))
        t.defer(self.stop)

        def answers():
            assert self.process.poll() is None, f"the guest ended with status {self.process.returncode}"
            return "ready" in self._console() and self.sh("true") == ""
        wait_for(answers, "the guest is ready", limit=60)
        assert "guest: no" not in self._console(), self._console()

    def _console(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def stop(self):
        """SIGTERM: it takes its helper processes along, which SIGKILL would leave behind; they end a little later."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30 * SLOWNESS)
        wait_for(lambda: not self._helpers(), "the guest's processes end")
        found = re.search(r".*(Oops|BUG:|Kernel panic|Call Trace|blocked for more than).*", self._console())
        assert not found, f"the guest's kernel had an accident: {found.group(0)}"

    def _helpers(self):
        """Processes of the guest that are still there (a zombie has no command line)."""
        mark = f"uml_dir={self.t.dir}".encode()
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{entry}/cmdline", "rb") as f:
                if mark in f.read().split(b"\0"):
                    found.append(int(entry))
        return found

    # ---- the control channel ----

    def _ask(self, text, limit=30):
        """What the guest's shell prints for @text, in pieces."""
        with socket.create_connection((GUEST[0], CONTROL_PORT), timeout=limit * SLOWNESS) as s:
            s.sendall(text.encode())
            while piece := s.recv(1 << 18):
                yield piece

    def sh(self, script, ok=True, limit=30):
        """Run lines of shell in the guest; what they print."""
        text = b"".join(self._ask(f"(\n{script}\n) </dev/null 2>&1\nprintf '\\n%d' $?\nexit\n", limit)).decode()
        said, _, status = text.rpartition("\n")
        if not status.isdigit():
            raise OSError(f"the guest's shell says {text!r}")
        assert not ok or status == "0", f"in the guest:\n{script}\nstatus {status}: {said}"
        return said.strip()

    def write(self, *pairs):
        """(file, value) pairs, below /sys/kernel/config/target or absolute."""
        self.sh("set -e\n" + "\n".join(
            f"printf %s {shlex.quote(str(value))} >{shlex.quote(os.path.join(CONFIGFS, path))} || "
            f"{{ echo cannot write {shlex.quote(str(value))} to {shlex.quote(path)}; exit 1; }}"
            for path, value in pairs))

    def fetch(self, disk):
        """A copy of the disk's bytes, as the target has them; its path."""
        path = os.path.join(self.t.fast, f"{disk.name}.copy")
        with open(path, "wb") as f:
            for piece in self._ask(f"exec cat {disk.file}\n", limit=120):
                f.write(piece)
        assert os.path.getsize(path) == disk.size, f"{disk.file}: {os.path.getsize(path)} bytes, not {disk.size}"
        return path

    # ---- disks, targets, port groups ----

    def add_disk(self, name, size=16 * MIB, serial=None, block_bytes=512, device=None, **attributes):
        """@serial: 32 digits; the disk's identifier (NAA) is made of it. @device: a loop device of the guest between LIO
        and the file, so that resize() works."""
        path = f"core/fileio_{self.count}/{name}"
        self.count += 1
        disk = Disk(name, size, os.path.join(CONFIGFS, path), f"/backing/{name}")
        serial = serial or hashlib.md5(name.encode()).hexdigest()
        self.sh(f"mkdir -p {disk.path} && truncate -s {size} {disk.file}")
        disk.device = device
        if device:
            self.sh(f"losetup {device} {disk.file}")
        self.write((f"{path}/control", f"fd_dev_name={device or disk.file},fd_dev_size={size}"), (f"{path}/enable", 1),
                   (f"{path}/wwn/vpd_unit_serial", serial), (f"{path}/attrib/block_size", block_bytes),
                   *((f"{path}/attrib/{k}", v) for k, v in
                     dict({"emulate_write_cache": 1, "emulate_tpu": 1, "emulate_tpws": 1}, **attributes).items()))
        return disk

    def resize(self, disk, size):
        """While it is used. LIO tells nobody."""
        self.sh(f"truncate -s {size} {disk.file} && losetup -c {disk.device}")
        disk.size = size

    def add_target(self, name, luns, portals=(0, 1), tpg=1, groups=None, user=None, mutual=False, **parameters):
        """Its name. @luns: {number: Disk}. @groups: {number: port group}. @user: with CHAP. @parameters: keys of RFC
        7143, or attributes of LIO (lower case)."""
        iqn = self.base + name
        path = f"iscsi/{iqn}/tpgt_{tpg}"
        words = dict(PARAMETERS, **ATTRIBUTES)
        words.update(parameters)
        words["default_erl"] = words["ErrorRecoveryLevel"]
        if user:
            words["authentication"], words["AuthMethod"] = 1, "CHAP"
        lines = [f"cd {CONFIGFS} && set -e", f"mkdir -p {path}"]
        lines += [f"mkdir -p {path}/np/{self.portals[n]}" for n in portals]
        for number, disk in luns.items():
            lines += [f"mkdir -p {path}/lun/lun_{number}", f"ln -s {disk.path} {path}/lun/lun_{number}/{disk.name}"]
        self.sh("\n".join(lines))
        self.write(*((f"{path}/{'param' if k[0].isupper() else 'attrib'}/{k}", v) for k, v in words.items()))
        if user:
            self.write((f"{path}/auth/userid", user), (f"{path}/auth/password", SECRET))
        if mutual:
            self.write((f"{path}/auth/userid_mutual", USER_IN), (f"{path}/auth/password_mutual", SECRET_IN))
        for number, group in (groups or {}).items():
            self.write((f"{path}/lun/lun_{number}/alua_tg_pt_gp", group))
        self.write((f"{path}/enable", 1))
        return iqn

    def set(self, iqn, tpg=1, **parameters):
        """For logins from now on."""
        self.write(*((f"iscsi/{iqn}/tpgt_{tpg}/{'param' if k[0].isupper() else 'attrib'}/{k}", v)
                     for k, v in parameters.items()))

    def enable(self, iqn, yes=True, tpg=1):
        """A target that is not enabled closes its connections and refuses logins."""
        self.write((f"iscsi/{iqn}/tpgt_{tpg}/enable", int(yes)))

    def add_group(self, disk, name, number, state, explicit=False):
        """A target port group of @disk. @explicit: initiators may change its state."""
        path = f"{disk.path}/alua/{name}"
        self.sh(f"mkdir -p {path}")
        self.write((f"{path}/tg_pt_gp_id", number), (f"{path}/alua_access_type", 3 if explicit else 1),
                   (f"{path}/alua_access_state", STATES[state]))

    def set_state(self, disk, group, state):
        self.write((f"{disk.path}/alua/{group}/alua_access_state", STATES[state]))

    def sessions(self, iqn, tpg=1):
        """Names of the initiators that are logged in."""
        return self.sh(f"cat {CONFIGFS}/iscsi/{iqn}/tpgt_{tpg}/dynamic_sessions").replace("\0", "\n").split()

    def connections(self, portal=None):
        """TCP connections to the portals, or to one (by number), as the guest counts them."""
        addresses = GUEST if portal is None else GUEST[portal:portal + 1]
        wanted = {"".join(f"{int(x):02X}" for x in reversed(a.split("."))) + f":{PORT:04X}" for a in addresses}
        rows = [line.split() for line in self.sh("cat /proc/net/tcp").splitlines()[1:]]
        return sum(row[1] in wanted and row[3] == "01" for row in rows)

    # ---- what most tests want ----

    def one_disk(self, size=16 * MIB, **parameters):
        """(target name, LUN number, Disk); both portals."""
        disk = self.add_disk(f"disk{self.count}", size)
        return self.add_target(disk.name, {0: disk}, **parameters), 0, disk

    def alua_disk(self, first="optimized", second="standby", explicit=False, size=16 * MIB, **parameters):
        """One target whose portals are two target port groups: (target name, LUN number, Disk). Groups "a" and "b"."""
        disk = self.add_disk(f"alua{self.count}", size)
        self.add_group(disk, "a", 10, first, explicit)
        self.add_group(disk, "b", 11, second, explicit)
        for tpg, group in ((1, "a"), (2, "b")):
            iqn = self.add_target(disk.name, {0: disk}, portals=(tpg - 1,), tpg=tpg, groups={0: group}, **parameters)
        return iqn, 0, disk

    def shared_disk(self, size=16 * MIB, **parameters):
        """Two targets, one a portal, with the same disk: ((target name, target name), LUN number, Disk)."""
        disk = self.add_disk(f"shared{self.count}", size)
        return [self.add_target(f"{disk.name}{x}", {0: disk}, portals=(n,), **parameters)
                for n, x in enumerate("ab")], 0, disk

    def twin_disks(self, size=16 * MIB, **parameters):
        """One target with two disks of different sizes that claim to be the same: (target name, {number: Disk})."""
        luns = {n: self.add_disk(f"twin{self.count}", size * (n + 1), serial="0" * 31 + "7") for n in range(2)}
        return self.add_target("twins", luns, **parameters), luns

    def add_all(self, **parameters):
        """One of each, for trying things by hand."""
        luns = {0: self.add_disk("disk0", 64 * MIB), 1: self.add_disk("big-blocks", 64 * MIB, block_bytes=4096),
                2: self.add_disk("small", MIB)}
        return [self.add_target("main", luns, **parameters),
                self.add_target("chap", luns, user=USER, **parameters),
                self.add_target("mutual", luns, user=USER, mutual=True, **parameters),
                self.add_target("plain", luns, **dict(parameters, MaxConnections=1, ErrorRecoveryLevel=0,
                                                      HeaderDigest="None", DataDigest="None")),
                self.alua_disk(**parameters)[0], *self.shared_disk(**parameters)[0], self.twin_disks(**parameters)[0]]


def by_hand():
    import tempfile
    from runner import Scratch
    parameters = dict(word.split("=", 1) for word in sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="iscsifs-lio.") as directory, contextlib.ExitStack() as stack:
        t = Scratch(directory, directory)
        stack.callback(t.finish)
        lio = Lio(t)
        names = lio.add_all(**parameters)
        print("\n".join(names + [f"portals {' '.join(lio.portals)}, secrets {USER}/{SECRET} {USER_IN}/{SECRET_IN}",
                                 f"shell in the guest: busybox nc {GUEST[0]} {CONTROL_PORT}", f"console: {lio.log}"]))
        subprocess.run([os.environ.get("SHELL", "/bin/sh")])


if __name__ == "__main__":
    try:
        by_hand()
    except Skip as reason:
        sys.exit(f"cannot: {reason}")
