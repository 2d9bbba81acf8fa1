# SPDX-License-Identifier: BSD-2-Clause
"""A target that dies, drops connections or comes back: every I/O ends in bounded time, and the daemon lives."""
import os
import re
import threading
import time

from runner import LIMIT, SLOWNESS, test, wait_for
from mounted import Mounted
from patterns import File, backing_read, pattern, same
from realtargets import Istgt, Tgtd, restart_tgtd

# An I/O may wait for its command's time limit and for the session to come back; not longer.
KEYS = "command_timeout=10"
BOUND = 90


class Load:
    """Threads that read and write until told to stop; remembers each result."""

    def __init__(self, disk, threads=8):
        self.stop, self.good, self.bad = False, 0, []
        self.threads = [threading.Thread(target=self._run, args=(disk, n), daemon=True) for n in range(threads)]
        for x in self.threads:
            x.start()

    def _run(self, disk, n):
        data = pattern(65536, n)
        try:
            with File(disk, direct=True) as f:
                while not self.stop:
                    try:
                        f.write(data, n << 20)
                        got = f.read(65536, n << 20)
                        if got != data:
                            self.bad.append("a read gave other bytes than were written")
                            return
                        self.good += 1
                    except OSError as e:
                        self.bad.append(e.strerror)
                        time.sleep(0.05)
        except OSError as e:
            self.bad.append(e.strerror)

    def end(self):
        """Stops; seconds until the last thread came back."""
        self.stop, started = True, time.monotonic()
        for x in self.threads:
            x.join(LIMIT)
        assert not any(x.is_alive() for x in self.threads), "an I/O has not ended"
        assert "a read gave other bytes than were written" not in self.bad
        return time.monotonic() - started


def killed_and_restarted(t, kind, start):
    """@start(ports): the same target again."""
    target = start(None)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, KEYS)
    load = Load(fs.disk(iqn, number))
    wait_for(lambda: load.good > 20, "the load runs")
    target.kill()
    time.sleep(1)
    took = load.end()
    assert took < BOUND * SLOWNESS, f"the last I/O took {took:.0f} s"
    assert fs.is_alive() and fs.read("version"), "the daemon is well"
    return target, fs, iqn, number, backing


@test(limit=300)
def tgtd_killed_under_load(t):
    target, fs, iqn, number, backing = killed_and_restarted(t, Tgtd, lambda _: Tgtd(t))
    again = restart_tgtd(t, target, [("disk1", number, backing)])
    if fs.sids(iqn):
        fs.logout(iqn, "force=yes")
    fs.discover(again.portal) if again.portal not in fs.ls("discovery", "portals") else fs.ctl("discovery", "refresh")
    fs.login(iqn)
    data = pattern(65536, 42)
    with File(fs.disk(iqn, number), direct=True) as f:
        f.write(data, 0)
    same(backing_read(backing, 0, 65536), data, "a write after the target came back")


@test(limit=300)
def istgt_killed_under_load(t):
    target, fs, iqn, number, _ = killed_and_restarted(t, Istgt, lambda _: Istgt(t))
    again = Istgt(t, name="istgt-again")
    if fs.sids(iqn):
        fs.logout(iqn, "force=yes")
    fs.discover(again.portal)
    fs.login(iqn, f"portal={again.portal}")
    _, _, backing = again.one_disk()
    data = pattern(65536, 43)
    with File(fs.disk(iqn, number), direct=True) as f:
        f.write(data, 0)
    same(backing_read(backing, 0, 65536), data, "a write to the new target")


@test(limit=300)
def connection_dropped_by_the_target(t):
    """tgtd closes the connection under load: I/O goes on after a new login, or ends; nothing reads wrong bytes."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, KEYS)
    load = Load(fs.disk(iqn, number), threads=4)
    wait_for(lambda: load.good > 20, "the load runs")
    text = target.admin_do("--op", "show", "--mode", "conn", "--tid", 1)
    session, cid = (re.search(rf"{word}: *(\d+)", text).group(1) for word in ("Session", "Connection"))
    target.admin_do("--op", "delete", "--mode", "conn", "--tid", 1, "--sid", session, "--cid", cid)
    time.sleep(1)
    assert load.end() < BOUND * SLOWNESS
    assert fs.is_alive() and fs.read("version")
    for sid in fs.sids(iqn):
        assert fs.json("sessions", sid)


@test(limit=300)
def frozen_target_does_not_hang_the_tree(t):
    """A target that stops answering (SIGSTOP): its I/O ends with an error in bounded time, all else goes on meanwhile."""
    target, other = Tgtd(t), Tgtd(t, name="tgtd-other")
    iqn, number, _ = target.one_disk()
    other.base += "other:"
    iqn2, number2, _ = other.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, KEYS)
    fs.log_in(other.portal, iqn2, KEYS)
    os.kill(target.process.pid, 19)
    load = Load(fs.disk(iqn, number), threads=2)
    try:
        time.sleep(1)
        fs.ls("targets")
        fs.json("targets", iqn)
        with File(fs.disk(iqn2, number2), direct=True) as f:
            f.read(1 << 20, 0)
        assert not load.good and not load.bad, "all that was while the target did not answer"
        wait_for(lambda: load.bad, "the I/O ends with an error", limit=BOUND)
    finally:
        os.kill(target.process.pid, 18)
        load.end()


@test(limit=240)
def daemon_ends_with_a_dead_target(t):
    """SIGTERM with a session whose target is gone: the end comes in bounded time."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, KEYS)
    os.kill(target.process.pid, 19)
    fs.stop()  # before LIMIT
    os.kill(target.process.pid, 18)
