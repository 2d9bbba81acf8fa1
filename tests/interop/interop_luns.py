# SPDX-License-Identifier: BSD-2-Clause
"""Logical units: what the tree says of them against what the target was told to offer."""
import errno
import os
import random
import stat

from runner import refuses, test, wait_for
from lio import Lio
from mounted import Mounted
from patterns import File, backing_read, backing_write, pattern, same
from realtargets import Istgt, Tgtd

BOTH = (Tgtd, Istgt)


@test
def attributes_are_what_the_target_was_told(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk(size=20 << 20, vendor_id="ACME", product_id="RoadRunner", product_rev="0042",
                                     scsi_sn="SN-0815-4711")
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    lun = fs.target(iqn, f"lun{number}")
    assert fs.read(lun, "vendor").strip() == "ACME"
    assert fs.read(lun, "product").strip() == "RoadRunner"
    assert fs.read(lun, "revision").strip() == "0042"
    assert fs.read(lun, "serial").strip() == "SN-0815-4711"
    assert fs.read(lun, "size") == str(20 << 20)
    assert fs.read(lun, "block_size") == "512"
    assert fs.read(lun, "state") == "ready"
    status = fs.json(lun)
    assert "ACME" in str(status), status
    s = os.stat(fs.disk(iqn, number))
    assert stat.S_ISREG(s.st_mode) and s.st_size == 20 << 20
    assert s.st_mode & 0o222, "writable"
    assert s.st_blksize >= 512 and s.st_blksize & (s.st_blksize - 1) == 0


@test(on=BOTH)
def by_id_leads_to_the_lun(t, kind):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    wwid = fs.read("targets", iqn, f"lun{number}", "wwid")
    assert wwid and os.path.samefile(fs.path("by-id", wwid), fs.path("targets", iqn, f"lun{number}"))
    fs.logout(iqn)
    assert fs.ls("by-id") == [] or wwid not in fs.ls("by-id")


@test
def attributes_of_istgt(t):
    target = Istgt(t, targets=None)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    lun = fs.target(iqn, f"lun{number}")
    assert fs.read(lun, "vendor").strip() == "FreeBSD"
    assert fs.read(lun, "size") == str(16 << 20)
    assert fs.read(lun, "serial").strip() == "10000001"


def round_trip(fs, iqn, number, backing, size, block):
    rng = random.Random(7)
    shadow = bytearray(backing_read(backing, 0, size))
    with File(fs.disk(iqn, number)) as f:
        for n in range(40):
            length = rng.choice((1, 511, 512, block, block + 1, 3 * block, 65536, 100001))
            offset = rng.randrange(size - length)
            data = pattern(length, n)
            f.write(data, offset)
            shadow[offset:offset + length] = data
        f.sync()
        same(backing_read(backing, 0, size), bytes(shadow), "the target's file")
    with File(fs.disk(iqn, number), direct=True) as f:
        same(f.read(size, 0), bytes(shadow), "a direct read of all")


@test
def blocks_of_4096_bytes_on_tgtd(t):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(size=4 << 20, block_bytes=4096)
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    assert fs.read("targets", iqn, f"lun{number}", "block_size") == "4096"
    round_trip(fs, iqn, number, backing, 4 << 20, 4096)


@test
def blocks_of_4096_bytes_on_istgt(t):
    target = Istgt(t)
    iqn, number, backing = target.find("big")
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    assert fs.read("targets", iqn, f"lun{number}", "block_size") == "4096"
    round_trip(fs, iqn, number, backing, target.size, 4096)


def refuses_writes(fs, iqn, number, backing):
    disk = fs.disk(iqn, number)
    before = pattern(65536, 3)
    backing_write(backing, 0, before)
    assert stat.S_IMODE(os.stat(disk).st_mode) == 0o444, oct(os.stat(disk).st_mode)
    # Root may open what the mode forbids; the file system then says EROFS itself. Others get EACCES or EROFS.
    try:
        os.close(os.open(disk, os.O_RDWR))
        raise AssertionError("opened for writing")
    except OSError as e:
        assert e.errno in (errno.EROFS, errno.EACCES), e
        assert os.geteuid() or e.errno == errno.EROFS, e
    with File(disk, os.O_RDONLY) as f:
        same(f.read(65536, 0), before, "a read of a read-only LUN")
    same(backing_read(backing, 0, 65536), before, "the target's file")


@test
def read_only_lun_on_tgtd(t):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(readonly=1)
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    refuses_writes(fs, iqn, number, backing)


@test
def read_only_lun_on_istgt(t):
    target = Istgt(t)
    iqn, number, backing = target.find("fixed")
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    refuses_writes(fs, iqn, number, backing)


@test
def lun_that_is_not_ready(t):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(online=0)
    target.add_lun(2, t.file("second", 1 << 20))
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn)
    assert os.stat(fs.disk(iqn, 2)).st_size == 1 << 20, "one bad LUN must not hide the others"
    lun = fs.path("targets", iqn, f"lun{number}")
    if os.path.exists(lun):
        assert fs.read("targets", iqn, f"lun{number}", "state") != "ready"
    target.admin_do("--op", "update", "--mode", "logicalunit", "--tid", 1, "--lun", number, "--params", "online=1")
    fs.ctl(f"sessions/{sid}", "rescan")
    assert os.stat(fs.disk(iqn, number)).st_size == 16 << 20


@test
def rescan_shows_luns_that_come_and_go(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn)
    target.add_lun(7, t.file("seven", 3 << 20))
    fs.ctl(f"sessions/{sid}", "rescan")
    assert os.stat(fs.disk(iqn, 7)).st_size == 3 << 20
    target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", 7)
    fs.ctl(f"sessions/{sid}", "rescan")
    wait_for(lambda: not os.path.exists(fs.disk(iqn, 7)), "LUN 7 leaves the tree")
    assert os.path.exists(fs.disk(iqn, number))


def ends_at(path, size, fd):
    """The file at @path, and @fd, opened long ago, have this size and this end."""
    wait_for(lambda: os.stat(path).st_size == os.fstat(fd).st_size == size, f"the file has {size} bytes")
    data = pattern(8192, size)
    assert os.pwrite(fd, data, size - 4096) == 4096, "a write over the end is cut there"
    refuses(errno.ENOSPC, os.pwrite, fd, data, size)
    os.fsync(fd)
    assert os.pread(fd, 4096, size) == b"" and os.pread(fd, 4096, size + (1 << 30)) == b""
    for direct in (False, True):
        with File(path, os.O_RDONLY, direct=direct) as f:
            same(f.read(8192, size - 4096), data[:4096], f"the last bytes of {size}")


@test
def resized_disk_of_lio(t):
    """It tells nobody, so `rescan` of the unit does it; files that are open follow."""
    lio = Lio(t)
    disk = lio.add_disk("resized", 16 << 20, device="/dev/loop0")
    iqn = lio.add_target("resized", {0: disk})
    fs = Mounted(t)
    fs.log_in(lio.portal, iqn)
    path = fs.disk(iqn, 0)
    fd = os.open(path, os.O_RDWR)
    t.defer(os.close, fd)
    ends_at(path, 16 << 20, fd)
    for size in (48 << 20, 8 << 20, 24 << 20):
        lio.resize(disk, size)
        fs.ctl(fs.target(iqn, "lun0"), "rescan")
        assert fs.read("targets", iqn, "lun0", "size") == str(size)
        ends_at(path, size, fd)
        with open(lio.fetch(disk), "rb") as f:
            f.seek(size - 4096)
            same(f.read(), pattern(8192, size)[:4096], "the last bytes, of the target")


@test
def resized_disk_of_tgtd(t):
    """It cannot, but a unit can be taken away and come back longer: told by a unit attention at the next command."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    target.add_lun(2, t.file("second", 1 << 20))
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    for size in (48 << 20, 8 << 20):
        target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", number)
        os.truncate(backing, size)
        target.add_lun(number, backing)
        # Any command will do; no rescan.
        with File(fs.disk(iqn, 2), os.O_RDONLY, direct=True) as f:
            f.read(4096, 0)
        wait_for(lambda: fs.read("targets", iqn, f"lun{number}", "size") == str(size), f"it has {size} bytes")
        path = fs.disk(iqn, number)
        fd = os.open(path, os.O_RDWR)
        try:
            ends_at(path, size, fd)
        finally:
            os.close(fd)


@test(limit=300)
def three_hundred_luns(t):
    """More than one REPORT LUNS of the usual size holds, and numbers beyond 255 (flat space addressing)."""
    target = Tgtd(t)
    iqn = target.add_target("many")
    numbers = [*range(1, 291), 300, 511, 1000, 4095, 8191]
    for n in numbers:
        target.add_lun(n, t.file(f"lun{n}", (n % 7 + 1) << 12))
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    shown = {int(x[3:]) for x in fs.ls("targets", iqn) if x.startswith("lun") and x[3:].isdigit()}
    assert set(numbers) <= shown, f"missing: {sorted(set(numbers) - shown)}"
    assert shown <= set(numbers) | {0}, f"not from the target: {sorted(shown - set(numbers))}"
    for n in numbers:
        assert os.stat(fs.disk(iqn, n)).st_size == (n % 7 + 1) << 12, n
    for n in (1, 255, 256, 257, 300, 1000, 8191):
        if n not in numbers:
            continue
        data = pattern(4096, n)
        with File(fs.disk(iqn, n), direct=True) as f:
            f.write(data, 0)
        same(backing_read(os.path.join(t.fast, f"lun{n}"), 0, 4096), data, f"LUN {n}")
    fs.logout(iqn)
    assert not any(x.startswith("lun") for x in fs.ls("targets", iqn))


@test
def verbs_of_a_lun(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    lun = fs.target(iqn, f"lun{number}")
    assert fs.ctl(lun, "read-capacity").startswith("ok")
    assert fs.ctl(lun, "inquiry").startswith("ok")
    assert fs.ctl(lun, "inquiry page=0x83").startswith("ok")
    assert fs.ctl(lun, "report-luns").startswith("ok")
    assert fs.ctl(lun, "rescan").startswith("ok")
    refuses(errno.EINVAL, fs.ctl, lun, "inquiry page=0x1ff")


def identity(fs, iqn, shown):
    """{number: (size, target's number)}"""
    return {n: (fs.read("targets", iqn, f"lun{n}", "size"), fs.json(fs.target(iqn, f"lun{n}"))["mapping"]["target_lun"])
            for n in shown}


@test
def mapping_chooses_the_numbers(t):
    target = Tgtd(t)
    iqn = target.add_target("many")
    for n in (1, 2, 3, 10):
        target.add_lun(n, t.file(f"lun{n}", n << 20))
    fs = Mounted(t)
    fs.discover(target.portal)
    for bad in ("1", "1:", "1:2,1:3", "1:5,2:5", "1:99999", '""'):
        e = refuses(errno.EINVAL, fs.login, iqn, f"mapping={bad}")
        assert "mapping: " in e.reply and "MAPPING" in e.reply, e.reply
    assert not fs.sids(iqn)
    # 1 goes to 10, so that the target's 10 has no place; 2 and 3 change places.
    sid = fs.login(iqn, "mapping=1:10,2:3,3:2")
    shown = sorted(int(x[3:]) for x in fs.ls("targets", iqn) if x.startswith("lun"))
    assert shown == [0, 2, 3, 10], shown
    assert identity(fs, iqn, (2, 3, 10)) == {2: (str(3 << 20), 3), 3: (str(2 << 20), 2), 10: (str(1 << 20), 1)}
    assert fs.read("targets", iqn, "lun10", "mapping") == "target_lun 1\nlun 10"
    assert "LUN 10 is not shown" in fs.read("targets", iqn, "error")
    # Each leads to its own blocks.
    for n, backing in ((2, "lun3"), (3, "lun2"), (10, "lun1")):
        data = pattern(4096, n)
        with File(fs.disk(iqn, n), direct=True) as f:
            f.write(data, 8192)
        same(backing_read(os.path.join(t.fast, backing), 8192, 4096), data, f"lun{n}")
    fs.ctl(f"sessions/{sid}", "rescan")
    fs.ctl(fs.target(iqn, "lun10"), "rescan")
    assert sorted(int(x[3:]) for x in fs.ls("targets", iqn) if x.startswith("lun")) == shown
    fs.logout(iqn)
    fs.login(iqn)
    assert identity(fs, iqn, (1, 10)) == {1: (str(1 << 20), 1), 10: (str(10 << 20), 10)}


@test
def further_sessions_have_the_same_units(t):
    """mapping= and expose= are the target's: taken over by a further session, or refused."""
    target = Tgtd(t, ports_each=2)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    one, two = (f"127.0.0.1:{p}" for p in target.ports)
    fs.login(iqn, f"portal={one} multipath=yes mapping={number}:7 expose=none")
    for other in ("mapping=1:8", "expose=file", "expose=block"):
        try:
            fs.login(iqn, f"portal={two} multipath=yes {other}")
        except OSError as e:
            assert "its other sessions have" in e.reply, e.reply
        else:
            raise AssertionError(f"{other} was accepted")
    fs.login(iqn, f"portal={two} multipath=yes")
    assert len(fs.sids(iqn)) == 2 and set(fs.sids(iqn)) <= set(fs.ls("targets", iqn, "lun7", "paths"))
    assert not os.path.exists(fs.disk(iqn, 7))
