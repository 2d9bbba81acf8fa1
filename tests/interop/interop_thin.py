# SPDX-License-Identifier: BSD-2-Clause
"""Holes and zeros: fallocate() and lseek() on LUN files against targets that do it in different ways, compared with
what the target itself has, byte by byte and in how much it keeps of it."""
import ctypes
import errno
import os
import random

from lio import MIB, Lio
from mounted import Mounted, read_text
from patterns import File, backing_read, pattern, same
from realtargets import Istgt, Tgtd
from runner import Skip, need_program, need_root, refuses, test, wait_for

KEEP_SIZE, PUNCH_HOLE, COLLAPSE_RANGE, ZERO_RANGE = 1, 2, 8, 16
SIZE = 16 * MIB
libc = ctypes.CDLL(None, use_errno=True)


def fallocate(fd, mode, offset, size):
    if libc.fallocate(fd, mode, ctypes.c_int64(offset), ctypes.c_int64(size)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def blocks(path):
    """Bytes that a backing file takes, in the file system that it is in."""
    return os.stat(path).st_blocks * 512


class Tgt:
    """@thin: the unit can UNMAP. @has_holes: fallocate() makes holes, @has_zeros: ... or zeros."""

    def __init__(self, t, thin=True, block_bytes=512):
        self.target = Tgtd(t)
        iqn = self.target.add_target("thin")
        self.backing = t.file("backing", SIZE)
        self.target.add_lun(1, self.backing, block_bytes=block_bytes, **({"thin_provisioning": 1} if thin else {}))
        self.fs = Mounted(t)
        self.fs.log_in(self.target.portal, iqn)
        self.lun = os.path.dirname(self.fs.disk(iqn, 1))
        self.disk, self.has_holes, self.has_zeros = self.fs.disk(iqn, 1), thin, True

    def bytes(self):
        return backing_read(self.backing, 0, SIZE)

    def used(self):
        return blocks(self.backing)


class LioDisk:
    def __init__(self, t, block_bytes=512, **attributes):
        self.lio = Lio(t)
        self.unit = self.lio.add_disk("thin", SIZE, block_bytes=block_bytes, **attributes)
        iqn = self.lio.add_target("thin", {0: self.unit})
        self.fs = Mounted(t)
        self.fs.log_in(self.lio.portal, iqn)
        self.disk = self.fs.disk(iqn, 0)
        self.lun = os.path.dirname(self.disk)
        # Without unmap_zeroes_data it does not say what an unmapped block reads as.
        self.has_holes = bool(attributes.get("unmap_zeroes_data"))
        self.has_zeros = True

    def bytes(self):
        self.lio.sh(f"sync {self.unit.file} || sync")
        with open(self.lio.fetch(self.unit), "rb") as f:
            return f.read()

    def used(self):
        return int(self.lio.sh(f"stat -c %b {self.unit.file}")) * 512


class IstgtDisk:
    def __init__(self, t):
        self.target = Istgt(t)
        iqn, number, self.backing = self.target.one_disk()
        self.fs = Mounted(t)
        self.fs.log_in(self.target.portal, iqn)
        self.disk = self.fs.disk(iqn, number)
        self.lun = os.path.dirname(self.disk)
        self.has_holes, self.has_zeros = False, None  # as it says

    def bytes(self):
        return backing_read(self.backing, 0, SIZE)


KINDS = {
    "tgtd": Tgt,
    "tgtd-4096": lambda t: Tgt(t, block_bytes=4096),
    "tgtd-thick": lambda t: Tgt(t, thin=False),
    "lio": lambda t: LioDisk(t, unmap_zeroes_data=1),
    "lio-4096": lambda t: LioDisk(t, block_bytes=4096, unmap_zeroes_data=1),
    "lio-anything": LioDisk,
    "lio-thick": lambda t: LioDisk(t, emulate_tpu=0, emulate_tpws=0),
    "lio-unmap": lambda t: LioDisk(t, emulate_tpws=0, unmap_zeroes_data=1),
    "istgt": IstgtDisk,
}


def kind(name):
    def make(t):
        return KINDS[name](t)
    make.__name__ = name
    return make


@test(on=[kind(name) for name in KINDS])
def holes_and_zeros_at_any_offset(t, make):
    """What is punched or zeroed reads as zeros, here and at the target; all else stays."""
    unit = make(t)
    rng = random.Random(1)
    model = bytearray(pattern(SIZE, 1))
    done, refused = 0, 0
    with File(unit.disk) as f:
        f.write(bytes(model), 0)
        f.sync()
        for n in range(60):
            size = rng.choice((1, 100, 512, 4096, 5000, 65536, 100001, MIB, 3 * MIB))
            offset = rng.randrange(SIZE - size) // rng.choice((1, 512, 4096)) * 1
            if n % 3 == 0:
                offset -= offset % 4096
            mode = rng.choice((PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE | KEEP_SIZE, ZERO_RANGE))
            try:
                fallocate(f.fd, mode, offset, size)
                model[offset:offset + size] = bytes(size)
                done += 1
            except OSError as e:
                assert e.errno == errno.EOPNOTSUPP, e
                is_able = unit.has_holes if mode & PUNCH_HOLE else unit.has_zeros
                assert not is_able, f"mode {mode} is refused: {read_text(os.path.join(unit.lun, 'error'))}"
                refused += 1
            if n % 4 == 0:  # a write into it, or over its edge
                data = pattern(3000, n)
                at = max(0, min(offset - 1500 + rng.randrange(3000), SIZE - 3000))
                f.write(data, at)
                model[at:at + 3000] = data
            same(f.read(size, offset), bytes(model[offset:offset + size]), f"{n}: read back")
        f.sync()
    with File(unit.disk, os.O_RDONLY, direct=True) as f:
        same(f.read(SIZE, 0), bytes(model), "the whole disk")
    same(unit.bytes(), bytes(model), "the target's own bytes")
    assert os.stat(unit.disk).st_size == SIZE
    return f"{done} done, {refused} not supported"


@test(on=[kind(name) for name in ("tgtd", "lio", "lio-unmap")])
def holes_are_given_back(t, make):
    unit = make(t)
    with File(unit.disk) as f:
        f.write(pattern(SIZE, 2), 0)
        f.sync()
        assert unit.used() >= SIZE
        fallocate(f.fd, PUNCH_HOLE | KEEP_SIZE, 4 * MIB, 8 * MIB)
        f.sync()
    used = unit.used()
    assert used <= 9 * MIB, f"{used} bytes are in use at the target"
    return f"{used >> 20} of 16 MiB left in use"


def extents(fd):
    found, at = [], 0
    while True:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            assert e.errno == errno.ENXIO
            return found
        end = os.lseek(fd, at, os.SEEK_HOLE)
        found.append((at, end))
        at = end


@test
def holes_are_found(t):
    unit = Tgt(t)
    with File(unit.disk) as f:
        f.write(pattern(2 * MIB, 3), 4 * MIB)
        f.write(pattern(MIB, 4), 10 * MIB)
        f.sync()
        wait_for(lambda: os.stat(unit.disk).st_blocks * 512 == 3 * MIB, "st_blocks is what is mapped")
        with File(unit.disk, os.O_RDWR | os.O_DSYNC, direct=True) as g:  # what leaves no flush to do counts as well
            g.write(pattern(MIB, 5), 8 * MIB)
        wait_for(lambda: os.stat(unit.disk).st_blocks * 512 == 4 * MIB, "st_blocks grows")
        # What a writer's page cache holds is not mapped yet, and is data all the same.
        assert os.lseek(f.fd, 5, os.SEEK_DATA) == 5
        assert os.lseek(f.fd, 5, os.SEEK_HOLE) == SIZE
        refuses(errno.ENXIO, os.lseek, f.fd, SIZE, os.SEEK_DATA)
    for direct, mode in ((False, os.O_RDONLY), (True, os.O_RDWR)):
        with File(unit.disk, mode, direct=direct) as f:
            assert extents(f.fd) == [(4 * MIB, 6 * MIB), (8 * MIB, 9 * MIB), (10 * MIB, 11 * MIB)]
            refuses(errno.ENXIO, os.lseek, f.fd, SIZE, os.SEEK_DATA)
    with File(unit.disk) as f:
        f.write(b"x", 15 * MIB)
        assert os.fstat(f.fd).st_blocks * 512 > 4 * MIB, "less than there is"
        f.sync()
        fallocate(f.fd, PUNCH_HOLE | KEEP_SIZE, 0, SIZE)
        wait_for(lambda: os.fstat(f.fd).st_blocks * 512 == 4096, "next to nothing is mapped")


@test(on=[kind(name) for name in ("tgtd-thick", "lio", "istgt")])
def all_is_data_where_the_target_does_not_tell(t, make):
    unit = make(t)
    with File(unit.disk) as f:
        assert os.lseek(f.fd, 5, os.SEEK_DATA) == 5
        assert os.lseek(f.fd, 5, os.SEEK_HOLE) == SIZE


@test
def copies_stay_sparse(t):
    """cp and qemu-img see the holes, and their copies are right."""
    need_program("qemu-img")
    unit = Tgt(t)
    data = pattern(MIB, 5)
    with File(unit.disk) as f:
        f.write(data, 3 * MIB)
        f.sync()
    for command in (f"cp {unit.disk} copy", f"qemu-img convert -f raw -O raw {unit.disk} copy",
                    f"cp --sparse=always {unit.disk} copy"):
        t.sh(f"rm -f copy; {command}")
        copy = t.path("copy")
        same(backing_read(copy, 0, SIZE), unit.bytes(), command)
        if "always" in command or "qemu" in command:
            assert blocks(copy) <= 2 * MIB, f"{command}: {blocks(copy)} bytes"
    # And back into the LUN: what is zeros there need not be kept.
    t.sh(f"qemu-img convert -n -f raw -O raw copy {unit.disk}")
    same(unit.bytes(), backing_read(t.path("copy"), 0, SIZE), "qemu-img convert into the LUN")


@test
def what_cannot_be_done_is_refused(t):
    unit = Tgt(t)
    with File(unit.disk) as f:
        refuses(errno.EOPNOTSUPP, fallocate, f.fd, 0, 0, 4096)
        refuses(errno.EOPNOTSUPP, fallocate, f.fd, KEEP_SIZE, 0, 4096)
        refuses(errno.EOPNOTSUPP, fallocate, f.fd, COLLAPSE_RANGE, 0, 4096)
        refuses(errno.EINVAL, fallocate, f.fd, ZERO_RANGE, SIZE - 4096, 8192)
        refuses(errno.EINVAL, fallocate, f.fd, PUNCH_HOLE | KEEP_SIZE, SIZE, 4096)
        f.write(pattern(8192, 6), SIZE - 8192)
        fallocate(f.fd, PUNCH_HOLE | KEEP_SIZE, SIZE - 4096, 1 << 40)  # up to the end
        f.sync()
    same(backing_read(unit.backing, SIZE - 8192, 8192), pattern(8192, 6)[:4096] + bytes(4096), "the end")
    with File(unit.disk, os.O_RDONLY) as f:
        refuses(errno.EBADF, fallocate, f.fd, PUNCH_HOLE | KEEP_SIZE, 0, 4096)


@test
def discard_through_a_loop_device(t):
    """mkfs with discard, and fstrim of a file that was removed."""
    need_root("loop devices")
    mkfs, fstrim, losetup = need_program("mkfs.ext4", "fstrim", "losetup")
    if not os.access("/dev/loop-control", os.W_OK):
        raise Skip("no loop devices here")
    unit = Tgt(t)
    with File(unit.disk) as f:
        f.write(pattern(SIZE, 7), 0)
        f.sync()
    device = t.sh(f"{losetup} --find --show --direct-io=on {unit.disk}").stdout.strip()
    t.defer(lambda: t.sh(f"{losetup} -d {device}"))
    t.sh(f"{mkfs} -q -E discard {device}")
    assert unit.used() < 4 * MIB, f"mkfs left {unit.used()} bytes"
    os.mkdir(t.path("mnt"))
    t.sh(f"mount {device} mnt")
    try:
        t.sh("dd if=/dev/urandom of=mnt/file bs=1M count=8 status=none && sync -f mnt")
        assert unit.used() > 8 * MIB
        t.sh(f"rm mnt/file && sync -f mnt && {fstrim} mnt")
        used = unit.used()
    finally:
        t.sh("umount mnt")
    assert used < 5 * MIB, f"fstrim left {used} bytes"
    t.sh(f"e2fsck -fn {device}")


@test
def copies_made_by_the_target(t):
    """copy_file_range() between LUN files of one target is EXTENDED COPY; what it cannot do, the kernel does."""
    lio = Lio(t)
    units = {n: lio.add_disk(f"copy{n}", SIZE, block_bytes=b) for n, b in enumerate((512, 512, 4096))}
    iqn = lio.add_target("copy", units)
    fs = Mounted(t)
    fs.log_in(lio.portal, iqn)
    data = pattern(SIZE, 8)

    def stat(number, name):
        text = fs.read("targets", iqn, f"lun{number}", "stats")
        return int(dict(line.split() for line in text.splitlines())[name])

    def copy(f, g, size, offset, to):
        done = 0
        while done < size:
            n = os.copy_file_range(f.fd, g.fd, size - done, offset + done, to + done)
            assert n > 0
            done += n
    with File(fs.disk(iqn, 0)) as f, File(fs.disk(iqn, 1)) as g, File(fs.disk(iqn, 2)) as other:
        f.write(data, 0)
        g.write(pattern(SIZE, 9), 0)
        g.read(SIZE, 0)  # into the page cache: what is copied over it must not be read from there
        copy(f, g, 10 * MIB, MIB, 2 * MIB)
        assert stat(1, "copied_bytes") == 10 * MIB, f"not by the target: {fs.read('targets', iqn, 'lun1', 'error')}"
        assert stat(0, "read_bytes") == 0
        same(g.read(10 * MIB, 2 * MIB), data[MIB:11 * MIB], "the copy, through the page cache")
        same(g.read(2 * MIB, 0), pattern(SIZE, 9)[:2 * MIB], "what is before it")
        copy(g, g, MIB, 2 * MIB, 13 * MIB)  # within one
        same(g.read(MIB, 13 * MIB), data[MIB:2 * MIB], "a copy within the LUN")
        copy(f, g, 100001, 7, 12345)  # no whole blocks: by the kernel
        same(g.read(100001, 12345), data[7:100008], "a copy that is not of whole blocks")
        copy(f, other, MIB, 0, MIB)  # of blocks of another size: by the kernel
        same(other.read(MIB, MIB), data[:MIB], "a copy to another block size")
        assert stat(2, "copies") == 0
        for x in (g, other):
            x.sync()
        want = g.read(SIZE, 0)
    with open(lio.fetch(units[1]), "rb") as f:
        same(f.read(), want, "the target's own bytes")


@test
def copies_where_the_target_makes_none(t):
    unit = Tgt(t)
    data = pattern(MIB, 10)
    with File(unit.disk) as f:
        f.write(data, 0)
        done = 0
        while done < MIB:
            done += os.copy_file_range(f.fd, f.fd, MIB - done, done, 4 * MIB + done)
        f.sync()
    same(backing_read(unit.backing, 4 * MIB, MIB), data, "copied by the kernel")
