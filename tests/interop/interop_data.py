# SPDX-License-Identifier: BSD-2-Clause
"""Data: what goes through the tree is compared with the target's own backing file, in both directions."""
import mmap
import os
import random
import subprocess
import sys
import threading

from runner import LIMIT, need_program, test
from lio import Lio
from mounted import Mounted
from patterns import SECTOR, File, backing_read, backing_write, pattern, same
from realtargets import Istgt, Tgtd

BOTH = (Tgtd, Istgt)
SIZES = (512, 1024, 4096, 7 * 512, 65536, 65536 + 512, 128 << 10, 1 << 20, (1 << 20) + 512, 8 << 20)


def logged_in(t, kind, keys=""):
    target = kind(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, keys)
    return fs, fs.disk(iqn, number), backing


@test(on=BOTH)
def direct_writes_reach_the_target(t, kind):
    _, disk, backing = logged_in(t, kind)
    with File(disk, direct=True) as f:
        for n, size in enumerate(SIZES):
            offset, data = n * 4096, pattern(size, n)
            f.write(data, offset)
            same(backing_read(backing, offset, size), data, f"direct write of {size} bytes")


@test(on=BOTH)
def direct_reads_come_from_the_target(t, kind):
    _, disk, backing = logged_in(t, kind)
    with File(disk, os.O_RDONLY, direct=True) as f:
        for n, size in enumerate(SIZES):
            offset, data = n * 4096, pattern(size, 100 + n)
            backing_write(backing, offset, data)
            same(f.read(size, offset), data, f"direct read of {size} bytes")


@test(on=BOTH)
def buffered_writes_reach_the_target(t, kind):
    _, disk, backing = logged_in(t, kind)
    for n, size in enumerate(SIZES):
        offset, data = n * 4096, pattern(size, 200 + n)
        with File(disk) as f:
            f.write(data, offset)
            f.sync()
        same(backing_read(backing, offset, size), data, f"buffered write of {size} bytes")


@test(on=BOTH)
def buffered_reads_come_from_the_target(t, kind):
    _, disk, backing = logged_in(t, kind)
    data = pattern(16 << 20, 300)
    backing_write(backing, 0, data)
    with File(disk, os.O_RDONLY) as f:
        same(f.read(len(data), 0), data, "a read of the whole disk")
    rng = random.Random(301)
    with File(disk, os.O_RDONLY) as f:
        for _ in range(200):
            size = rng.randrange(1, 200000)
            offset = rng.randrange(len(data) - size)
            same(f.read(size, offset), data[offset:offset + size], f"{size} bytes at {offset}")


@test(on=BOTH)
def reopening_shows_what_the_target_has(t, kind):
    """Nothing stale: a file opened anew reads what is on the target now."""
    _, disk, backing = logged_in(t, kind)
    for n in range(4):
        data = pattern(262144, 400 + n)
        backing_write(backing, 0, data)
        with File(disk, os.O_RDONLY) as f:
            same(f.read(len(data), 0), data, f"round {n}")


@test(on=BOTH)
def unaligned_writes_leave_the_rest_alone(t, kind):
    _, disk, backing = logged_in(t, kind)
    size = 1 << 20
    shadow = bytearray(pattern(size, 500))
    backing_write(backing, 0, bytes(shadow))
    rng = random.Random(501)
    with File(disk) as f:
        for n in range(150):
            length = rng.choice((1, 2, 3, 100, 511, 513, 1000, 5000, 66000))
            offset = rng.randrange(size - length)
            data = pattern(length, n)
            f.write(data, offset)
            shadow[offset:offset + length] = data
        f.sync()
    same(backing_read(backing, 0, size), bytes(shadow), "the target's file")


@test(on=BOTH)
def memory_map(t, kind):
    _, disk, backing = logged_in(t, kind)
    before = pattern(1 << 20, 600)
    backing_write(backing, 0, before)
    fd = os.open(disk, os.O_RDWR)
    with mmap.mmap(fd, 1 << 20) as m:
        same(m[:], before, "the mapped file")
        shadow = bytearray(before)
        for n, offset in enumerate((0, 4095, 100000, (1 << 20) - 5000)):
            data = pattern(5000, 601 + n)
            m[offset:offset + 5000] = data
            shadow[offset:offset + 5000] = data
        m.flush()
    os.close(fd)
    same(backing_read(backing, 0, 1 << 20), bytes(shadow), "the target's file after msync")


@test(on=BOTH)
def synchronous_writes(t, kind):
    _, disk, backing = logged_in(t, kind)
    for flag in (os.O_SYNC, os.O_DSYNC):
        with File(disk, os.O_RDWR | flag) as f:
            data = pattern(70000, flag)
            f.write(data, 12345)
            same(backing_read(backing, 12345, 70000), data, "after write() with O_SYNC or O_DSYNC")


@test(on=BOTH)
def parallel_writers_of_the_same_blocks(t, kind):
    """Threads write neighbouring parts of the same blocks at once: read-modify-write must lose none of them."""
    _, disk, backing = logged_in(t, kind)
    blocks, rounds, parts = 64, 12, 4
    step = SECTOR // parts
    expected = {}
    errors = []

    def writer(part):
        rng = random.Random(part)
        try:
            with File(disk, os.O_RDWR | os.O_SYNC) as f:
                for n in range(rounds):
                    for block in rng.sample(range(blocks), blocks):
                        data = pattern(step, (part, n, block).__hash__())
                        f.write(data, block * SECTOR + part * step)
                        expected[block, part] = data
        except BaseException as e:
            errors.append(e)
    threads = [threading.Thread(target=writer, args=(p,)) for p in range(parts)]
    for x in threads:
        x.start()
    for x in threads:
        x.join(LIMIT)
    assert not errors, errors
    for (block, part), data in expected.items():
        offset = block * SECTOR + part * step
        same(backing_read(backing, offset, step), data, f"block {block}, part {part}")


WRITER = """
import os, sys
sys.path.insert(0, sys.argv[4])
from patterns import File, pattern
with File(sys.argv[1], direct=True) as f:
    part, parts = int(sys.argv[2]), int(sys.argv[3])
    size = (16 << 20) // parts
    data = pattern(size, 700 + part)
    for at in range(0, size, 65536):
        f.write(data[at:at + 65536], part * size + at)
"""


@test(on=BOTH)
def several_processes_write_at_once(t, kind):
    _, disk, backing = logged_in(t, kind)
    parts, lib = 8, os.path.dirname(os.path.abspath(sys.modules["patterns"].__file__))
    running = [subprocess.Popen([sys.executable, "-B", "-c", WRITER, disk, str(p), str(parts), lib])
               for p in range(parts)]
    assert [p.wait(LIMIT) for p in running] == [0] * parts
    size = (16 << 20) // parts
    for p in range(parts):
        same(backing_read(backing, p * size, size), pattern(size, 700 + p), f"process {p}")


@test(on=BOTH)
def whole_disk_with_dd(t, kind):
    """As a user would: there with dd, back with cmp."""
    _, disk, backing = logged_in(t, kind)
    source = t.path("source")
    with open(source, "wb") as f:
        f.write(pattern(16 << 20, 800))
    t.sh(f"timeout 120 dd if={source} of={disk} bs=1M oflag=direct conv=notrunc status=none && cmp {source} {backing}")
    t.sh(f"timeout 120 cmp {source} {disk} && timeout 120 dd if={disk} bs=64k status=none | cmp - {source}")


@test(on=BOTH)
def verified_load_with_digests(t, kind):
    target = kind(t)
    iqn, number, backing = target.one_disk()
    if kind is Tgtd:
        target.set(1, HeaderDigest="CRC32C,None", DataDigest="CRC32C,None")
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, "header_digest=yes data_digest=yes")
    rng = random.Random(900)
    shadow = bytearray(16 << 20)
    with File(fs.disk(iqn, number), direct=True) as f:
        for n in range(60):
            size = rng.randrange(1, 1024) * SECTOR
            offset = rng.randrange((len(shadow) - size) // SECTOR) * SECTOR
            data = pattern(size, n)
            f.write(data, offset)
            shadow[offset:offset + size] = data
        same(f.read(len(shadow), 0), bytes(shadow), "a read of all")
    same(backing_read(backing, 0, len(shadow)), bytes(shadow), "the target's file")


def fio_disk(t, kind, **parameters):
    """Path of the disk, for fio and the shell."""
    if kind is Lio:
        target = Lio(t)
        iqn, number, _ = target.one_disk(**parameters)
        fs = Mounted(t)
        fs.log_in(target.portal, iqn)
        disk = fs.disk(iqn, number)
    else:
        disk = logged_in(t, kind)[1]
    return disk.replace(":", r"\\:")  # for fio a colon separates file names; \\ becomes \ in the shell


FIO_COMMON = "--verify=crc32c --verify_state_save=0 --do_verify=1 --verify_fatal=1"


@test(on=BOTH + (Lio,), limit=300)
def fio_verifies(t, kind):
    """Random reads and writes at depth 16, O_DIRECT and buffered; then writes that are not aligned to anything."""
    fio = need_program("fio")
    disk = fio_disk(t, kind)
    for name, options in (
            ("direct", "--rw=randrw --bsrange=4k-128k --size=16M --direct=1 --ioengine=libaio --iodepth=16 --loops=2"),
            ("buffered", "--rw=randrw --bsrange=512-128k --size=16M --ioengine=libaio --iodepth=16 --end_fsync=1"),
            ("threads", "--rw=randrw --bs=4k --size=1M --offset_increment=1M --numjobs=16 --thread --direct=1 "
                        "--ioengine=psync --group_reporting"),
            ("unaligned", "--rw=randwrite --bsrange=512-64k --bs_unaligned --size=8M --ioengine=psync --end_fsync=1")):
        t.sh(f"timeout 120 {fio} --name={name} --filename={disk} {options} {FIO_COMMON} --output={t.path(name)}-fio.log")


@test(on=BOTH + (Lio,), limit=1800, is_long=True)
def fio_verifies_for_minutes(t, kind):
    fio = need_program("fio")
    disk = fio_disk(t, kind)
    for n, options in enumerate(
            f"{direct} --rw={rw} --bsrange={sizes} --ioengine=libaio --iodepth={depth} --norandommap={norandommap}"
            for direct in ("--direct=1", "--direct=0 --end_fsync=1", "--direct=1 --sync=1") for rw in ("randrw", "rw")
            for sizes, depth, norandommap in (("512-1m", 16, 0), ("4k-4k", 64, 0), ("512-64k", 16, 0))):
        t.sh(f"timeout 300 {fio} --name=f{n} --filename={disk} --size=16M --loops=8 {options} {FIO_COMMON} "
             f"--output={t.path(str(n))}-fio.log", limit=400)


@test(limit=240)
def two_targets_at_once(t):
    """Sessions with tgtd and istgt, written at the same time; each gets its own bytes."""
    fs = Mounted(t)
    disks = []
    for kind in BOTH:
        target = kind(t)
        iqn, number, backing = target.one_disk()
        fs.log_in(target.portal, iqn)
        disks.append((fs.disk(iqn, number), backing))
    errors = []

    def writer(disk, seed):
        try:
            with File(disk, direct=True) as f:
                f.write(pattern(16 << 20, seed), 0)
        except BaseException as e:
            errors.append(e)
    threads = [threading.Thread(target=writer, args=(disk, 950 + n)) for n, (disk, _) in enumerate(disks)]
    for x in threads:
        x.start()
    for x in threads:
        x.join(LIMIT)
    assert not errors, errors
    for n, (_, backing) in enumerate(disks):
        same(backing_read(backing, 0, 16 << 20), pattern(16 << 20, 950 + n), f"disk {n}")
