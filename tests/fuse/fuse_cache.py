# SPDX-License-Identifier: BSD-2-Clause
"""What the page cache of this host keeps of a disk: none, through, back; by mount option and by the LUN's file."""
import errno
import os

from mounted import Mounted, read_text
from patterns import File, backing_read, backing_write, pattern, same
from realtargets import Tgtd
from runner import Case, refuses, test, wait_for

SIZE = 16 << 20
MODES = [Case(name, mode=name) for name in ("none", "through", "back")]


class Disk:
    def __init__(self, t, mode):
        self.target = Tgtd(t)
        self.iqn, self.number, self.backing = self.target.one_disk(size=SIZE)
        self.fs = Mounted(t, "-o", f"cache={mode}")
        self.fs.log_in(self.target.portal, self.iqn)
        self.path = self.fs.disk(self.iqn, self.number)
        self.lun = os.path.dirname(self.path)

    def stat(self, name):
        return int(dict(line.split() for line in read_text(os.path.join(self.lun, "stats")).splitlines())[name])


@test(on=MODES)
def what_is_written_is_read_and_gets_there(t, x):
    """Buffered and direct, by two openers; and at the target, after fsync at the latest."""
    disk = Disk(t, x.mode)
    assert read_text(os.path.join(disk.lun, "cache")) == x.mode + "\n"
    with File(disk.path) as a, File(disk.path, direct=True) as b:
        for n, (one, other) in enumerate(((a, b), (b, a), (a, a), (b, b))):
            data = pattern(65536, n)
            one.write(data, n * 65536)
            same(other.read(65536, n * 65536), data, f"{n}: written by one, read by the other")
        a.write(b"a few bytes", 300001)
        a.sync()
        same(backing_read(disk.backing, 0, 262144), b"".join(pattern(65536, n) for n in range(4)), "the target's bytes")
        same(backing_read(disk.backing, 300001, 11), b"a few bytes", "a few bytes at the target")
    with File(disk.path, os.O_RDONLY) as f:
        same(f.read(11, 300001), b"a few bytes", "read back")


@test(on=MODES)
def the_first_open_sees_what_others_wrote(t, x):
    disk = Disk(t, x.mode)
    for n in range(3):
        data = pattern(65536, 10 + n)
        backing_write(disk.backing, 0, data)
        with File(disk.path, os.O_RDONLY) as f:
            same(f.read(65536, 0), data, "after another host's write")


@test
def further_opens_share_the_cache(t):
    """The whole disk is read each time: of a part, read-ahead goes on behind the read's back."""
    disk = Disk(t, "through")
    with File(disk.path, os.O_RDONLY) as f:
        f.read(SIZE, 0)
        assert disk.stat("read_bytes") == SIZE
        for _ in range(3):
            with File(disk.path, os.O_RDONLY) as other:
                other.read(SIZE, 0)
        assert disk.stat("read_bytes") == SIZE, "read again from the target"
    with File(disk.path, os.O_RDONLY) as f:
        f.read(SIZE, 0)
    assert disk.stat("read_bytes") == 2 * SIZE, "not dropped by the first open"


@test
def who_goes_past_the_cache_does_not_keep_it(t):
    """A loop device has the disk open for good: each first open through the cache is a first one all the same."""
    disk = Disk(t, "through")
    with File(disk.path, direct=True):
        for n in range(3):
            data = pattern(65536, 30 + n)
            backing_write(disk.backing, 0, data)
            with File(disk.path, os.O_RDONLY) as f:
                same(f.read(65536, 0), data, "after another host's write")


@test
def none_asks_the_target_each_time(t):
    disk = Disk(t, "none")
    with File(disk.path) as f:
        for n in range(3):
            data = pattern(4096, 20 + n)
            backing_write(disk.backing, 8192, data)
            same(f.read(4096, 8192), data, "another host's write while the file is open")
        assert disk.stat("reads") == 3, "a read of the program is a read of the target"
        f.write(b"12345", 5)
        same(backing_read(disk.backing, 5, 5), b"12345", "at the target when write() returns")


@test
def back_writes_later(t):
    disk = Disk(t, "back")
    with File(disk.path) as f:
        for n in range(256):
            f.write(pattern(4096, n), n * 4096)
        assert disk.stat("writes") < 256, "each write went to the target by itself"
        f.sync()
        same(backing_read(disk.backing, 0, 1 << 20), b"".join(pattern(4096, n) for n in range(256)), "after fsync")


@test
def back_shows_a_new_size_to_the_next_opener(t):
    disk = Disk(t, "back")
    with File(disk.path) as f:
        f.write(b"x" * 4096, 0)
        f.sync()
        disk.target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", disk.number)
        os.truncate(disk.backing, 2 * SIZE)
        disk.target.add_lun(disk.number, disk.backing, tid=1)
        disk.fs.ctl(disk.fs.target(disk.iqn, f"lun{disk.number}"), "rescan")
        wait_for(lambda: read_text(os.path.join(disk.lun, "size")) == f"{2 * SIZE}\n", "the new size is known")
    wait_for(lambda: os.stat(disk.path).st_size == 2 * SIZE, "the file has the new size")
    with File(disk.path) as f:
        f.write(b"y" * 4096, 2 * SIZE - 4096)
        f.sync()
    same(backing_read(disk.backing, 2 * SIZE - 4096, 4096), b"y" * 4096, "the new end")


@test
def each_lun_can_have_none(t):
    disk = Disk(t, "through")
    cache = os.path.join(disk.lun, "cache")
    with open(cache, "w") as f:
        f.write("none\n")
    with File(disk.path, os.O_RDONLY) as f:
        f.read(4096, 0)
        f.read(4096, 0)
    assert disk.stat("reads") == 2

    def write(text):
        fd = os.open(cache, os.O_WRONLY)
        try:
            os.write(fd, text)
        finally:
            os.close(fd)
    refuses(errno.EOPNOTSUPP, write, b"back\n")
    refuses(errno.EINVAL, write, b"yes\n")
    assert read_text(cache) == "none\n"
    write(b"through\n")
    assert read_text(cache) == "through\n"
