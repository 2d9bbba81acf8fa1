# SPDX-License-Identifier: BSD-2-Clause
"""Disks larger than what 32 bits count: 2 TiB is 2^32 blocks of 512 bytes, 16 TiB 2^32 blocks of 4096. Around those, and
at the very end, what is written comes back, from its place and no other: by the LUN's file, by a loop device over it, and
in the target's own file, which is sparse."""
import os

from lio import MIB, Lio
from loops import attach, need_loops
from mounted import Mounted
from patterns import File, pattern, same
from realtargets import Tgtd
from runner import Case, Skip, need_program, test

TIB = 1 << 40
CASES = [Case(f"{kind.__name__}-{size >> 40}TiB-{block}", kind=kind, size=size, block=block)
         for kind, size, block in ((Tgtd, 5 * TIB, 512), (Tgtd, 17 * TIB, 4096), (Lio, 5 * TIB, 512))]
PIECE = 256 << 10


def places(size):
    """Offsets: beginnings of pieces that lie across the edges, at the end, and where they would land if an upper half of a
    number was lost."""
    edges = [n * TIB for n in (2, 4, 16) if n * TIB < size]
    found = [0, size - PIECE]
    for edge in edges:
        found += [edge - PIECE // 2, edge + PIECE]
    for low in sorted({x % limit for x in found for limit in (2 * TIB, 1 << 32)}):
        if all(abs(low - x) >= PIECE for x in found):
            found.append(low)
    return found


class Large:
    def __init__(self, t, x):
        self.size = x.size
        if x.kind is Lio:
            lio = Lio(t)
            disk = lio.add_disk("large", x.size, block_bytes=x.block)
            iqn, number, portal = lio.add_target("large", {0: disk}), 0, lio.portal
            self.backing = None
        else:
            target = Tgtd(t)
            try:
                iqn, number, self.backing = target.one_disk(x.size, block_bytes=x.block)
            except OSError as e:
                raise Skip(f"no sparse file of {x.size >> 40} TiB in {t.fast}: {e.strerror}") from None
            portal = target.portal
        self.fs = Mounted(t)
        self.fs.log_in(portal, iqn)
        self.disk = self.fs.disk(iqn, number)
        assert self.fs.read("targets", iqn, f"lun{number}", "size") == str(x.size)
        assert os.stat(self.disk).st_size == x.size

    def write_all(self, path, seed, direct):
        with File(path, direct=direct) as f:
            for offset in places(self.size):
                f.write(pattern(PIECE, f"{seed}/{offset}"), offset)
            f.sync()

    def check_all(self, path, seed, direct=False):
        with File(path, os.O_RDONLY, direct=direct) as f:
            for offset in places(self.size):
                same(f.read(PIECE, offset), pattern(PIECE, f"{seed}/{offset}"), f"{path} at {offset}")
            assert f.read(PIECE, self.size) == b"" and len(f.read(PIECE, self.size - 4096)) == 4096
            assert os.lseek(f.fd, 0, os.SEEK_END) == self.size

    def check(self, seed, *paths):
        for path in filter(None, [self.disk, self.backing, *paths]):
            self.check_all(path, seed)


@test(on=CASES, limit=300)
def file_beyond_32_bits(t, x):
    """Buffered, direct, and not aligned to blocks."""
    large = Large(t, x)
    large.write_all(large.disk, 1, direct=False)
    large.check(1)
    large.write_all(large.disk, 2, direct=True)
    large.check(2)
    large.check_all(large.disk, 2, direct=True)
    with File(large.disk) as f:
        for offset in places(x.size):
            f.write(b"across", offset + PIECE // 2 - 3)
            f.write(b"x", offset + PIECE - 1)
        f.sync()
    for path in filter(None, [large.disk, large.backing]):
        with File(path, os.O_RDONLY) as f:
            for offset in places(x.size):
                want = bytearray(pattern(PIECE, f"2/{offset}"))
                want[PIECE // 2 - 3:PIECE // 2 + 3], want[-1:] = b"across", b"x"
                same(f.read(PIECE, offset), bytes(want), f"{path} at {offset}")


@test(on=CASES, limit=300)
def loop_device_beyond_32_bits(t, x):
    need_loops()
    large = Large(t, x)
    for seed, direct in ((3, "off"), (4, "on")):
        device = attach(t, large.disk, f"--sector-size {x.block} --direct-io={direct}")
        large.write_all(device, seed, direct=direct == "on")
        large.check(seed, device)


@test(limit=300)
def partitions_at_the_end_of_a_large_disk(t):
    """GPT has its second copy in the last blocks."""
    sfdisk = need_program("sfdisk")
    large = Large(t, CASES[0])
    t.sh(f"printf 'label: gpt\\n1MiB,3TiB\\n,,\\n' | timeout 120 {sfdisk} -q --no-reread --no-tell-kernel {large.disk}")
    for path in (large.disk, large.backing):
        text = t.sh(f"timeout 120 {sfdisk} --verify {path} && timeout 120 {sfdisk} -d {path}").stdout
        assert "No errors detected" in text and text.count("start=") == 2, text
