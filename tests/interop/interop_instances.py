# SPDX-License-Identifier: BSD-2-Clause
"""Initiator instances: ways out of this host by interface or address, for discovery, login and further connections. The
target is in a network namespace of its own, with two links to ours; both hosts have their addresses in one subnet, so
that routing alone takes the first link whatever was asked for."""
import ctypes
import errno
import os
import signal
import subprocess
import threading

from runner import LIMIT, Skip, need_root, refuses, test, wait_for
from mounted import Mounted
from realtargets import Tgtd

CLONE_NEWNET = 0x40000000
TARGET = "10.50.0.1"
OURS = ("10.50.0.2", "10.50.0.3")
TARGET6, OURS6 = "fd50::1", "fd50::2"
_libc = ctypes.CDLL(None, use_errno=True)


def code(e):
    return e.reply.split()[1].removeprefix("code=")


def ip(t, *words, pid=None):
    t.sh(" ".join(map(str, [*(["nsenter", "-t", pid, "-n"] if pid else []), "ip", *words])))


class Hosts:
    """Two links between the target's host and ours, t0-e0 and t1-e1. The test is at the target's until join()."""

    def __init__(self, t):
        need_root("network namespaces")
        if _libc.unshare(CLONE_NEWNET):
            raise Skip("no network namespaces here")
        self.t = t
        self.ours = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 3600"], stdout=subprocess.PIPE)
        t.defer(self._end)
        assert self.ours.stdout.readline() == b"ready\n"
        ip(t, "link", "set", "lo", "up")
        ip(t, "link", "set", "lo", "up", pid=self.ours.pid)
        for n in (0, 1):
            self.connect(n)

    def _end(self):
        self.ours.kill()
        self.ours.wait(LIMIT)

    def connect(self, n):
        t, pid = self.t, self.ours.pid
        try:
            ip(t, "link", "add", f"t{n}", "type", "veth", "peer", "name", f"e{n}", "netns", pid)
        except AssertionError as e:
            raise Skip(f"no veth here: {e}") from e
        ip(t, "addr", "add", f"{TARGET}/32", "dev", f"t{n}")
        ip(t, "link", "set", f"t{n}", "up")
        ip(t, "route", "add", OURS[n], "dev", f"t{n}")
        ip(t, "link", "set", f"e{n}", "up", pid=pid)
        ip(t, "addr", "add", f"{OURS[n]}/24", "dev", f"e{n}", pid=pid)
        if n == 0:
            ip(t, "addr", "add", f"{TARGET6}/64", "dev", "t0", "nodad")
            ip(t, "addr", "add", f"{OURS6}/64", "dev", "e0", "nodad", pid=pid)

    def at_target(self, *words):
        """After join()."""
        ip(self.t, *words, pid=self.target_pid)

    def join(self):
        """From now on the test, and what it starts, is on our host."""
        there = subprocess.Popen(["sleep", "3600"])  # keeps the target's namespace within reach
        self.t.defer(there.wait, LIMIT)
        self.t.defer(there.kill)
        self.target_pid = there.pid
        fd = os.open(f"/proc/{self.ours.pid}/ns/net", os.O_RDONLY)
        assert _libc.setns(fd, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        os.close(fd)


def setup(t, hosts=(TARGET,)):
    """The hosts, a target with a disk, and a mounted tree on ours."""
    both = Hosts(t)
    target = Tgtd(t, hosts=hosts)
    iqn, _, _ = target.one_disk()
    target.set(1, MaxConnections=4)
    both.join()
    fs = Mounted(t)
    return both, target, iqn, fs


def peers(target):
    """The addresses that its connections come from, as the target sees them."""
    text = target.admin_do("--op", "show", "--mode", "conn", "--tid", 1)
    return sorted(line.split(": ")[1] for line in text.splitlines() if "IP Address" in line)


def add(fs, line):
    fs.ctl("initiator", f"add-instance {line}")


def instance(fs, name, file):
    return fs.read("initiator", "instances", name, file)


@test
def interface_goes_before_routing(t):
    _, target, iqn, fs = setup(t)
    add(fs, "first interface=e0")
    add(fs, "second interface=e1")
    assert instance(fs, "second", "state") == "up" and OURS[1] in instance(fs, "second", "ports")
    fs.discover(target.portal)
    fs.login(iqn)
    assert peers(target) == [OURS[0]], "routing alone takes the first"
    fs.logout(iqn)
    for n, name in enumerate(("first", "second")):
        sid = fs.login(iqn, f"instance={name}")
        assert peers(target) == [OURS[n]]
        cid, = [x for x in fs.ls("targets", iqn, "sessions", sid, "connections") if x.isdigit()]
        assert fs.read("targets", iqn, "sessions", sid, "connections", cid, "local").startswith(OURS[n])
        assert instance(fs, name, "sessions") == "1"
        e = refuses(errno.EBUSY, fs.ctl, "initiator", f"remove-instance {name}")
        assert "log out" in e.reply, e.reply
        fs.logout(iqn)
    fs.ctl("initiator/instances/second", "remove")
    assert fs.ls("initiator", "instances") == ["default", "first"]


@test
def addresses_of_both_families(t):
    _, target, iqn, fs = setup(t, hosts=(TARGET, TARGET6))
    add(fs, f"four source={OURS[1]}")
    add(fs, f"six source={OURS6}")
    fs.discover(target.portal, "instance=four")
    fs.login(iqn, "instance=four")
    assert peers(target) == [OURS[1]]
    fs.logout(iqn)
    fs.login(iqn, f"instance=six portal=[{TARGET6}]:{target.port}")
    assert peers(target) == [OURS6]
    fs.logout(iqn)
    e = refuses(errno.EOPNOTSUPP, fs.login, iqn, f"instance=six portal={target.portal}")
    assert code(e) == "ISDSC_ADDRESS_TYPE_NOT_SUPPORTED", e.reply


@test
def discovery_takes_one(t):
    both, target, iqn, fs = setup(t)
    add(fs, "second interface=e1")
    both.at_target("route", "del", OURS[0], "dev", "t0")  # nothing comes back by the first
    both.at_target("route", "add", "unreachable", OURS[0])
    refuses(errno.ETIMEDOUT, fs.discover, target.portal, "connect_timeout=1")
    fs.discover(target.portal, "instance=second")
    assert fs.ls("targets") == [iqn]
    fs.login(iqn)  # the instance is among the options of the portal
    assert peers(target) == [OURS[1]]
    e = refuses(errno.EBUSY, fs.ctl, "initiator", "remove-instance second")
    fs.logout(iqn)
    e = refuses(errno.EBUSY, fs.ctl, "initiator", "remove-instance second")
    assert "portal" in e.reply, e.reply


@test
def what_is_not_there(t):
    both, target, iqn, fs = setup(t)
    fs.discover(target.portal)
    add(fs, "gone interface=nope0")
    add(fs, "foreign source=10.99.0.1")
    add(fs, "both interface=e0 source=" + OURS[0])
    assert instance(fs, "gone", "state") == "away" and instance(fs, "foreign", "state") == "away"
    e = refuses(errno.ENODEV, fs.login, iqn, "instance=gone")
    assert "nope0" in e.reply and "instance gone" in e.reply, e.reply
    e = refuses(errno.EHOSTUNREACH, fs.login, iqn, "instance=foreign")
    assert "10.99.0.1" in e.reply, e.reply
    events = [x for x in fs.read("events").splitlines() if " no-local-address " in x]
    assert len(events) == 2 and "nope0" in events[0], events
    e = refuses(errno.ENOENT, fs.login, iqn, "instance=never")
    assert code(e) == "ISDSC_INITIATOR_INSTANCE_NOT_FOUND", e.reply
    e = refuses(errno.EINVAL, fs.login, iqn, "instance=both port=7")
    assert code(e) == "ISDSC_INVALID_PORT_NUMBER", e.reply
    refuses(errno.EINVAL, fs.login, iqn, f"instance=both source={OURS[0]}")
    fs.login(iqn, "instance=both port=0")
    assert peers(target) == [OURS[0]]
    for line in ("both interface=e1", "default"):
        refuses(errno.EEXIST, add, fs, line)
    for line in ("a/b", ".x", "x interface=a/b", "x source=name.example", "x interface=" + "i" * 16):
        refuses(errno.EINVAL, add, fs, line)
    refuses(errno.ENOENT, fs.ctl, "initiator", "remove-instance never")
    refuses(errno.EOPNOTSUPP, fs.ctl, "initiator", "remove-instance default")


@test
def they_are_kept_and_configured(t):
    both, target, iqn, fs = setup(t)
    add(fs, "kept interface=e1")
    add(fs, "for-now interface=e0 persist=no")
    fs.stop(signal.SIGTERM)
    fs = Mounted(t, name="second", state=fs.state, config=f'initiator_instances = "conf=@e0, addr={OURS[1]}@e1";\n')
    assert fs.ls("initiator", "instances") == ["addr", "conf", "default", "kept"]
    assert (instance(fs, "addr", "interface"), instance(fs, "addr", "source")) == ("e1", OURS[1])
    fs.discover(target.portal)
    fs.login(iqn, "instance=kept")
    assert peers(target) == [OURS[1]]
    refuses(errno.EOPNOTSUPP, fs.ctl, "initiator", "remove-instance conf")


@test
def two_ways_are_two_paths(t):
    """I/O goes on by the other interface when one is taken away, and uses it again when it is back."""
    both, target, iqn, fs = setup(t)
    add(fs, "first interface=e0")
    add(fs, "second interface=e1")
    fs.discover(target.portal)
    keys = "multipath=yes nop_interval=1 nop_timeout=1 command_timeout=60"
    sids = [fs.login(iqn, f"instance={name} {keys}") for name in ("first", "second")]
    assert peers(target) == list(OURS)
    stop, errors, good = threading.Event(), [], [0]

    def load():
        fd = os.open(fs.disk(iqn, 1), os.O_RDONLY)
        while not stop.is_set():
            try:
                os.pread(fd, 4096, good[0] % 1000 * 4096)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                good[0] += 1
            except OSError as e:
                errors.append(e)
                break
        os.close(fd)

    def state(n):
        return fs.read("targets", iqn, "sessions", sids[n], "state")

    reader = threading.Thread(target=load)
    reader.start()
    try:
        wait_for(lambda: good[0] > 100, "reads")
        both.at_target("link", "del", "t1")
        wait_for(lambda: state(1) == "retrying", "the second session is away")
        before = good[0]
        wait_for(lambda: good[0] > before + 100 or errors, "reads go on by the first")
        assert instance(fs, "second", "state") == "away"
        # Made again: the link is another one, under the same name.
        both.at_target("link", "add", "t1", "type", "veth", "peer", "name", "e1", "netns", str(both.ours.pid))
        both.at_target("addr", "add", f"{TARGET}/32", "dev", "t1")
        both.at_target("link", "set", "t1", "up")
        both.at_target("route", "add", OURS[1], "dev", "t1")
        ip(t, "link", "set", "e1", "up")
        ip(t, "addr", "add", f"{OURS[1]}/24", "dev", "e1")
        wait_for(lambda: state(1) == "logged-in", "the second session is back")
        assert peers(target) == list(OURS)
    finally:
        stop.set()
        reader.join(LIMIT)
    assert not errors, errors


@test
def further_connection_by_another_way(t):
    both, target, iqn, fs = setup(t)
    add(fs, "second interface=e1")
    fs.discover(target.portal)
    sid = fs.login(iqn)
    e = refuses(errno.ENOENT, fs.ctl, fs.target(iqn, "sessions", sid), "add-connection instance=never")
    assert code(e) == "ISDSC_INITIATOR_INSTANCE_NOT_FOUND", e.reply
    fs.ctl(fs.target(iqn, "sessions", sid), "add-connection instance=second")
    assert peers(target) == list(OURS)
