# SPDX-License-Identifier: BSD-2-Clause
"""A LUN's file behaves as a file (tests/lib/fsx.py): random operations of every kind against a model, on each target and
block size, the target's own bytes compared; and writers who share a block."""
import errno
import os
import random
import subprocess
import sys

from fsx import Fsx
from lio import MIB, Lio
from mounted import Mounted
from patterns import File, same
from realtargets import Istgt, Tgtd
from runner import LIMIT, Case, Skip, test

SIZE = 2 * MIB
# With --long chosen anew for each run, and told; FSX_SEED brings it back.
SEED = os.environ.get("FSX_SEED") or "1"
if "--long" in sys.argv and "FSX_SEED" not in os.environ:
    SEED = str(random.SystemRandom().randrange(1 << 32))
    print(f"# FSX_SEED={SEED}")
SHORT, LONG = 1500, 100000


class Setup:
    """A daemon logged in to a new disk: its path, and how to see the target's own bytes while it runs (None: not) and at
    the end (a function)."""

    def __init__(self, t, kind, block=512, size=SIZE, keys="", **parameters):
        self.t, self.block = t, block
        if kind is Lio:
            lio = Lio(t)
            disk = lio.add_disk("fsx", size, block_bytes=block, **parameters)
            iqn, number, self.backing = lio.add_target("fsx", {0: disk}), 0, None
            self.copy = lambda: lio.fetch(disk)
            portal = lio.portal
        else:
            target = kind(t)
            if kind is Tgtd:
                iqn, number, self.backing = target.one_disk(size=size, block_bytes=block, **parameters)
            else:
                iqn, number, self.backing = target.find("disk" if block == 512 else "big")
            self.copy = lambda: self.backing
            portal = target.portal
        self.fs = Mounted(t)
        self.fs.log_in(portal, iqn, keys)
        self.iqn, self.number = iqn, number
        self.disk = self.fs.disk(iqn, number)
        assert self.fs.read("targets", iqn, f"lun{number}", "block_size") == str(block)


def case(kind, block, name="", is_long=False, **parameters):
    name = f"{kind.__name__}-{block}{name}{'-long' if is_long else ''}"
    return Case(name, kind=kind, block=block, parameters=parameters, is_long=is_long)


DISKS = [case(Tgtd, 512), case(Tgtd, 4096, "-thin", thin_provisioning=1), case(Istgt, 512), case(Lio, 4096)]
LONG_DISKS = [case(kind, block, name, True, **parameters) for kind, block, name, parameters in
              ((Tgtd, 512, "", {}), (Tgtd, 512, "-thin", {"thin_provisioning": 1}),
               (Tgtd, 4096, "", {}), (Tgtd, 4096, "-thin", {"thin_provisioning": 1}), (Istgt, 512, "", {}),
               (Istgt, 4096, "", {}), (Lio, 512, "", {}), (Lio, 4096, "", {}))]


@test(on=DISKS + LONG_DISKS, limit=1800)
def random_operations(t, x):
    """On 2 MiB, so that operations meet; the long ones go on for minutes."""
    setup = Setup(t, x.kind, x.block, **x.parameters)
    fsx = Fsx(setup.disk, SEED, backing=setup.backing, block=x.block)
    fsx.run(LONG if x.is_long else SHORT)
    fsx.finish(setup.copy())
    return fsx.report()


HOLES = {"punch": 5, "zero": 5, "write": 8, "map-write": 2, "read": 3, "holes": 1, "fsync": 1}


@test(on=[case(Tgtd, 512, "-thin", thin_provisioning=1), case(Tgtd, 4096, "-thin", thin_provisioning=1),
          case(Istgt, 512), case(Lio, 512)] + LONG_DISKS, limit=1800)
def holes_and_zeros(t, x):
    """Mostly punch hole and zero range, of whole blocks and less, among writes. Skipped where both are refused."""
    setup = Setup(t, x.kind, x.block, **x.parameters)
    fsx = Fsx(setup.disk, SEED, kinds=HOLES, backing=setup.backing, block=x.block)
    fsx.run(LONG // 4 if x.is_long else SHORT // 2)
    fsx.finish(setup.copy())
    if {"punch", "zero"} <= set(fsx.refused):
        raise Skip("punch hole and zero range are refused: " + ", ".join(fsx.refused["punch"]))
    return fsx.report()


@test(limit=300)
def random_operations_with_digests_and_small_bursts(t):
    """Each operation is many PDUs: R2Ts, several Data-In, CRC32C."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(size=SIZE)
    target.set(1, HeaderDigest="CRC32C,None", DataDigest="CRC32C,None", MaxBurstLength=16384, FirstBurstLength=4096,
               MaxRecvDataSegmentLength=4096, InitialR2T="Yes", ImmediateData="No")
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, "header_digest=yes data_digest=yes max_recv_data_segment_length=8192")
    fsx = Fsx(fs.disk(iqn, number), SEED, backing=backing)
    fsx.run(SHORT)
    fsx.finish()
    return fsx.report()


# ---- writers who share a block ----

# DISK WAY PART PARTS BLOCK ROUNDS LIB: write one part of each of some blocks, again and again; the others' parts belong
# to other processes. What it has written, it must read.
SHARER = """
import os, sys
sys.path.insert(0, sys.argv[7])
from patterns import File
path, way, (part, parts, block, rounds) = sys.argv[1], sys.argv[2], map(int, sys.argv[3:7])
step = block // parts
flags = {"fsync": 0, "fdatasync": 0, "sync": os.O_SYNC, "dsync": os.O_DSYNC, "direct": os.O_DIRECT}[way]
look = None
with File(path, os.O_RDWR | flags) as f:
    for n in range(rounds):
        at = n % 5 * block + part * step
        data = (b"%02d %08d " % (part, n)).ljust(16) * (step // 16)
        if os.pwrite(f.fd, data, at) != step:
            sys.exit(f"round {n}: a short write")
        if way in ("fsync", "fdatasync"):
            getattr(os, way)(f.fd)
        if n % 16 == 0:
            with File(path, os.O_RDONLY, direct=True) as look:
                got = look.read(block, n % 5 * block)[part * step:(part + 1) * step]
            if got != data:
                sys.exit(f"round {n}, part {part}: {got[:32]} instead of {data[:32]}")
"""


def sharing(paths, way, block, copy, rounds=1500, parts=2):
    """One process a part, @paths in turn; then the target's own bytes."""
    lib = os.path.dirname(os.path.abspath(sys.modules["patterns"].__file__))
    running = [subprocess.Popen([sys.executable, "-B", "-c", SHARER, paths[p % len(paths)], way, str(p), str(parts),
                                 str(block), str(rounds), lib]) for p in range(parts)]
    assert [p.wait(LIMIT) for p in running] == [0] * parts, "see test.log"
    step = block // parts
    with open(copy(), "rb") as f:
        for n in range(rounds - 5, rounds):
            for part in range(parts):
                f.seek(n % 5 * block + part * step)
                same(f.read(step), (b"%02d %08d " % (part, n)).ljust(16) * (step // 16), f"block {n % 5}, part {part}")


def odd_direct_io(disk):
    """Does the kernel let O_DIRECT of half a block through?"""
    with File(disk, os.O_RDWR | os.O_DIRECT) as f:
        try:
            os.pwrite(f.fd, bytes(256), 256)
        except OSError as e:
            if e.errno == errno.EINVAL:
                return False
            raise
    return True


@test(on=[case(Tgtd, 512), case(Istgt, 4096)] + [case(kind, block, "", True) for kind in (Tgtd, Istgt, Lio)
                                                 for block in (512, 4096)], limit=1800)
def processes_write_the_halves_of_a_block(t, x):
    """Neither half may be lost, whatever the other process does meanwhile."""
    setup = Setup(t, x.kind, x.block)
    # O_DIRECT by both is what meets in the daemon: through the page cache, the kernel lets one write at a time in.
    ways = ["fsync", "sync"] + ["fdatasync", "dsync"] * x.is_long + ["direct"] * odd_direct_io(setup.disk)
    for way in ways:
        sharing([setup.disk], way, x.block, setup.copy, 20000 if x.is_long else 1500)
    return ", ".join(ways)


@test(limit=300)
def processes_write_the_halves_of_a_block_by_two_names(t):
    """Of a disk that two targets show: for the kernel these are two files, so nothing but the daemon keeps their writes
    apart."""
    lio = Lio(t)
    (one, two), number, disk = lio.shared_disk()
    fs = Mounted(t)
    fs.discover(lio.portal)
    for iqn in (one, two):
        fs.login(iqn, "multipath=yes")
    paths = [fs.disk(iqn, number) for iqn in (one, two)]
    shown = fs.read("targets", one, f"lun{number}", "paths", "all")
    assert len(shown.splitlines()) == 2, f"one disk with two paths: {shown}"
    for way in ["sync"] + ["direct"] * odd_direct_io(paths[0]):
        sharing(paths, way, 512, lambda: lio.fetch(disk))
