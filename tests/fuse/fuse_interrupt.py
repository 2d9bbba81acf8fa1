# SPDX-License-Identifier: BSD-2-Clause
"""Signals for a program that waits in the tree: which of them cancel what it waits for."""
import os
import signal
import time

from fuse_control import HERE, hanging_login, with_silent_target
from mounted import Mounted, caller, is_waiting, result
from patterns import File, backing_write, pattern
from realtargets import Tgtd, restart_tgtd
from runner import SLOWNESS, test, wait_for

HARMLESS = (signal.SIGCHLD, signal.SIGUSR1, signal.SIGWINCH, signal.SIGURG, signal.SIGUSR2, signal.SIGCONT)


@test
def what_asks_nobody_to_end_cancels_no_command(t):
    fs = with_silent_target(t)
    p = hanging_login(t, fs)
    for n in HARMLESS:
        p.send_signal(n)
        time.sleep(0.1)
    time.sleep(0.5)
    assert is_waiting(p.pid), "the login was cancelled"
    assert fs.read("targets", HERE, "error") == "", "it has failed"
    p.send_signal(signal.SIGTERM)  # also after the others
    assert result(p) == "EINTR"
    assert fs.sids(HERE) == []


@test
def a_shell_whose_child_ends_goes_on(t):
    """bash catches SIGCHLD: each end of a job in the background is an interrupt of what it waits for."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    os.kill(target.process.pid, signal.SIGSTOP)
    t.defer(os.kill, target.process.pid, signal.SIGCONT)
    shell = t.start(["bash", "-c", "cat $1 >$2 & echo $! >$3; echo login >$4", "-", make_fifo(t, "fifo"), t.path("out"),
                     t.path("child"), fs.path("targets", iqn, "ctl")], t.path("shell.log"))
    wait_for(lambda: os.path.exists(t.path("child")) and open(t.path("child")).read(), "its child runs")
    wait_for(lambda: is_waiting(shell.pid) and "iscsi" in os.readlink(f"/proc/{shell.pid}/fd/1"), "it waits")
    with open(t.path("fifo"), "w"):
        pass  # the child ends
    child = int(open(t.path("child")).read())
    wait_for(lambda: open(f"/proc/{child}/stat").read().rsplit(")", 1)[1].split()[0] == "Z", "the child has ended")
    time.sleep(0.5)
    os.kill(target.process.pid, signal.SIGCONT)
    assert shell.wait(100 * SLOWNESS) == 0, open(t.path("shell.log")).read()
    assert fs.sids(iqn) and fs.ls("targets", iqn, f"lun{number}")


def make_fifo(t, name):
    os.mkfifo(t.path(name))
    return t.path(name)


def away(t, words=""):
    """A disk whose target is away, for as long as its I/O may wait."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn, "command_timeout=100 " + words)
    disk = fs.disk(iqn, number)
    with File(disk) as f:
        assert f.read(4096, 1 << 20)
    backing_write(backing, 0, pattern(65536, 7))
    target.kill()
    wait_for(lambda: fs.read("targets", iqn, "sessions", sid, "state") == "retrying", "the session is lost")
    return target, fs, iqn, number, backing, disk


@test
def a_disk_is_deaf_to_signals(t):
    """As any disk is: nothing that is not deadly makes a read fail."""
    target, _, _, number, backing, disk = away(t)
    p = caller(t, "read", disk, t.path("read"))
    for n in HARMLESS + (signal.SIGALRM, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        p.send_signal(n)
        time.sleep(0.1)
    time.sleep(0.5)
    assert is_waiting(p.pid)
    restart_tgtd(t, target, [("disk1", number, backing)])
    assert result(p) == "65536"
    assert open(t.path("read"), "rb").read() == pattern(65536, 7)


@test
def who_is_killed_does_not_wait_for_a_disk(t):
    """A request that has not been sent is taken back: the program is gone long before its time is up."""
    _, fs, iqn, number, _, disk = away(t)

    def ends(name, *words):
        p = t.start(words, t.path("reader.log"))
        wait_for(lambda: disk in [os.readlink(f"/proc/{p.pid}/fd/{x}") for x in os.listdir(f"/proc/{p.pid}/fd")],
                 "it has opened the disk")
        time.sleep(0.3)
        started = time.monotonic()
        p.send_signal(name)
        p.wait(90)
        assert time.monotonic() - started < 60, "it waited for the target"
    ends(signal.SIGKILL, "dd", f"if={disk}", "of=/dev/null", "bs=64k", "count=1", "iflag=direct")
    wait_for(lambda: "opens 0" in fs.read("targets", iqn, f"lun{number}", "stats"), "nobody has it open")
    ends(signal.SIGINT, "cat", disk)
    ends(signal.SIGTERM, "cat", disk)
