# SPDX-License-Identifier: BSD-2-Clause
"""Memory: what the daemon needs, and that dirty pages of what stands on its own disks leave through it when memory is
short: nothing may dead-lock, and not a byte be lost."""
import hashlib
import os
import random
import re
import subprocess
import sys
import time

from lio import MIB
from loops import attach, mounted_on, need_loops
from memcg import MemoryGroup
from mounted import Mounted, read_text
from patterns import same
from realtargets import Tgtd
from runner import LIMIT, SLOWNESS, Case, Skip, need_program, test

LIMIT_BYTES = 192 * MIB
FILE_BYTES = 64 * MIB
IO_DEPTH = 128  # of iscsifs.conf, by default


def memory(pid):
    """{VmRSS, RssAnon, VmLck ...: bytes}"""
    found = re.findall(r"^(\w+):\s+(\d+) kB$", read_text(f"/proc/{pid}/status"), re.M)
    return {name: int(value) << 10 for name, value in found}


def mib(value):
    return f"{value / MIB:.1f} MiB"


# DIRECTORY SEED FILES BYTES: files of random bytes, all of them dirty, then synced; the digest of each is printed.
WRITER = """
import hashlib, os, random, sys
place, seed, files, size = sys.argv[1], *map(int, sys.argv[2:5])
rng = random.Random(seed)
for n in range(files):
    digest = hashlib.sha256()
    with open(os.path.join(place, f"{seed}-{n}"), "wb", buffering=0) as f:
        for _ in range(size >> 20):
            data = rng.randbytes(1 << 20)
            digest.update(data)
            assert f.write(data) == len(data)
        if n == files - 1:
            os.fsync(f.fileno())
    print(f"{seed}-{n}", digest.hexdigest(), flush=True)
"""
def need_plain_build(fs):
    """Sanitizers have memory of their own, much of it."""
    if "libasan" in read_text(f"/proc/{fs.pid}/maps"):
        raise Skip("a build with sanitizers")


class Pressure:
    """tgtd outside; the daemon, and what run() starts, in a group of LIMIT_BYTES. A dead-lock between them would outlive
    every signal, and stop each sync() of this machine: break_up() ends it."""

    def __init__(self, t, size):
        self.t = t
        self.group = MemoryGroup(t, LIMIT_BYTES)
        self.control = t.path("fusectl")
        os.mkdir(self.control)
        done = t.sh(f"mount -t fusectl none {self.control}", ok=False)
        if done.returncode:
            raise Skip(f"no fusectl, so a dead-lock could not be ended: {done.stdout.strip()}")
        t.defer(t.sh, f"umount {self.control}")
        target = Tgtd(t)
        self.iqn, self.number, self.backing = target.one_disk(size)
        self.fs = Mounted(t)
        need_plain_build(self.fs)
        self.connection = os.path.join(self.control, str(os.minor(os.stat(self.fs.point).st_dev)))
        self.group.add(self.fs.pid)
        self.fs.log_in(target.portal, self.iqn)
        self.disk = self.fs.disk(self.iqn, self.number)

    def run(self, name, script, *words):
        """Start a Python script in the group; what it prints goes to a file @name."""
        return self.t.start([*self.group.prefix(), sys.executable, "-B", "-c", script, *map(str, words)], self.t.path(name))

    def wait(self, running, limit):
        """All of them end well."""
        end = time.monotonic() + limit * SLOWNESS
        for x in running:
            try:
                status = x.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                text = self.where()
                self.break_up()
                for each in running:
                    each.kill()
                    each.wait(LIMIT)
                raise AssertionError(f"not done in {limit * SLOWNESS:.0f} s: a dead-lock?\n{text}") from None
            assert status == 0, f"status {status}"

    def where(self):
        """What the daemon waits for in the kernel."""
        try:
            return "iscsifs is in:\n" + read_text(f"/proc/{self.fs.pid}/stack")
        except OSError as e:
            return f"no stack: {e}"

    def break_up(self):
        """All that waits for the daemon's file system fails."""
        with open(os.path.join(self.connection, "abort"), "w") as f:
            f.write("1")

    def report(self):
        assert self.fs.is_alive() and not self.group.kills(), f"{self.group.kills()} processes were killed"
        peak = self.group.stat("max_usage")
        used = memory(self.fs.pid)
        return f"the group used at most {mib(peak) if peak else '?'}, the daemon at most {mib(used['VmHWM'])}"


def check_copy(t, backing, want):
    """By a plain loop device over the target's own bytes."""
    device = attach(t, backing, "-r")
    t.sh(f"timeout 120 e2fsck -f -n {device}")
    with mounted_on(t, device, t.path("copy"), "-o ro,noload") as place:
        for name, digest in want.items():
            got = hashlib.sha256()
            with open(os.path.join(place, name), "rb") as f:
                while data := f.read(MIB):
                    got.update(data)
            assert got.hexdigest() == digest, f"{name} is not what was written"


def loads(is_long):
    return [Case(f"{loop}{'-long' if is_long else ''}", loop=loop, is_long=is_long, files=64 if is_long else 8)
            for loop in ("buffered", "direct")]


@test(on=loads(False) + loads(True), limit=900)
def dirty_files_of_several_times_the_memory(t, x):
    """Two writers, ext4, a loop device and the daemon in one group that could hold a part of what they write."""
    need_loops()
    need_program("mkfs.ext4", "e2fsck", "mount", "umount")
    size = x.files * FILE_BYTES
    p = Pressure(t, size + size // 8 + 64 * MIB)
    device = attach(t, p.disk, "--direct-io=on" if x.loop == "direct" else "")
    t.sh(f"timeout 120 mkfs.ext4 -q -F {device}")
    names = ["writer-1", "writer-2"]
    with mounted_on(t, device, t.path("place")) as place:
        p.wait([p.run(name, WRITER, place, n, x.files // 2, FILE_BYTES) for n, name in enumerate(names)],
               600 if x.is_long else 120)
    told = p.report()
    want = dict(line.split() for name in names for line in read_text(t.path(name)).splitlines())
    assert len(want) == x.files
    check_copy(t, p.backing, want)
    return f"{mib(size)} written; {told}"


# FILE SEED BYTES: dirty pages of a map of the disk itself.
MAPPER = """
import mmap, os, random, sys
path, seed, size = sys.argv[1], *map(int, sys.argv[2:4])
rng = random.Random(seed)
with mmap.mmap(os.open(path, os.O_RDWR), size) as m:
    for at in range(0, size, 1 << 20):
        m[at:at + (1 << 20)] = rng.randbytes(1 << 20)
    m.flush()
"""


@test(limit=300)
def dirty_map_of_several_times_the_memory(t):
    """Without any file system between: the pages are those of the LUN's file."""
    size = 8 * FILE_BYTES
    p = Pressure(t, size)
    p.wait([p.run("mapper", MAPPER, p.disk, 5, size)], 120)
    told = p.report()
    rng = random.Random(5)
    with open(p.backing, "rb") as f:
        for at in range(0, size, MIB):
            same(f.read(MIB), rng.randbytes(MIB), f"the target's bytes at {at}")
    return f"{mib(size)} written; {told}"


# ---- what it needs ----

# What a request may need: a buffer of 1 MiB and a header, one of 64 KiB, and a quarter more requests than io_depth.
BUFFERS = IO_DEPTH * 5 // 4 * (MIB + 68 * 1024)


def load(t, disks):
    """Deep random I/O of 1 MiB on all of @disks at once, so that every buffer is used."""
    words = " ".join(f"--name=d{n} --filename={disk}" for n, disk in enumerate(x.replace(":", r"\\:") for x in disks))
    t.sh(f"timeout 120 {need_program('fio')} --rw=randrw --bs=1m --size=16M --loops=8 --direct=1 --ioengine=libaio "
         f"--iodepth=32 {words} --output={t.path('fio.log')}")


@test(limit=300)
def memory_of_fifty_sessions(t):
    """Idle, with sessions, under load, and after all of it: what is told is measured; the bounds are generous."""
    target = Tgtd(t)
    names = []
    for _ in range(50):
        iqn, number, _ = target.one_disk()
        names.append(iqn)
    fs = Mounted(t)
    need_plain_build(fs)
    told = []

    def look(when):
        now = memory(fs.pid)
        told.append(f"{when}: RSS {mib(now['VmRSS'])}, anonymous {mib(now['RssAnon'])}")
        return now
    idle = look("idle")
    fs.discover(target.portal)
    for n, iqn in enumerate(names, 1):
        fs.login(iqn)
        if n in (1, 10, 50):
            logged_in = look(f"{n} sessions")
    each = (logged_in["RssAnon"] - idle["RssAnon"]) / 50
    told.append(f"a session: {each / 1024:.0f} KiB")
    load(t, [fs.disk(iqn, number) for iqn in names[:8]])
    loaded = look("after a load of 1 MiB at depth 256")
    for iqn in names:
        fs.logout(iqn)
    look("logged out")
    for iqn in names:
        fs.login(iqn)
    again = look("50 sessions again")
    assert idle["VmRSS"] < 64 * MIB + BUFFERS, told
    assert each < MIB, told
    assert max(loaded["VmHWM"], again["VmHWM"]) < 64 * MIB + 50 * MIB + 2 * BUFFERS, told
    # What came once and went does not come again.
    assert again["RssAnon"] < loaded["RssAnon"] + 8 * MIB, told
    return "; ".join(told)


@test(limit=300)
def logins_leave_no_memory_behind(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    need_plain_build(fs)
    fs.discover(target.portal)

    def rounds(count):
        for _ in range(count):
            fs.login(iqn)
            fs.logout(iqn)
        return memory(fs.pid)["RssAnon"]
    warm = rounds(700)  # events and failures that are kept fill their lists
    later = rounds(2000)
    # A leak of half a KiB a login would be twice as much.
    assert later < warm + MIB // 2, f"{mib(warm)} after 700 logins, {mib(later)} after 2700"
    return f"{mib(warm)} after 700 logins, {mib(later)} after 2700"
