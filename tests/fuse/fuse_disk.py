# SPDX-License-Identifier: BSD-2-Clause
"""The disk as a file: its end, its size, what cannot be done to it, and file systems on loop devices over it."""
import errno
import mmap
import os
import re
import subprocess
import time

from loops import attach, need_loops
from mounted import Mounted, program, read_text, sanitizer_environ
from patterns import File, backing_read, pattern, same
from realtargets import Tgtd
from runner import LIMIT, need_program, need_root, refuses, test, wait_for

SIZE = 16 << 20


def one_disk(t, size=SIZE, **parameters):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(size=size, **parameters)
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    return fs, fs.disk(iqn, number), backing, iqn


@test
def reading_past_the_end(t):
    _, disk, _, _ = one_disk(t)
    with File(disk, os.O_RDONLY) as f:
        assert len(f.read(8192, SIZE - 4096)) == 4096
        assert f.read(4096, SIZE) == b"" and f.read(4096, SIZE + (1 << 40)) == b""
        assert os.lseek(f.fd, 0, os.SEEK_END) == SIZE
    with File(disk, os.O_RDONLY, direct=True) as f:
        assert len(f.read(8192, SIZE - 4096)) == 4096
        assert f.read(4096, SIZE) == b""


@test
def writing_past_the_end(t):
    _, disk, backing, _ = one_disk(t)
    for direct in (False, True):
        with File(disk, direct=direct) as f, mmap.mmap(-1, 8192) as page:
            data = pattern(8192, 1 + direct)
            page.write(data)
            assert os.pwrite(f.fd, page, SIZE - 4096) == 4096, "a write over the end is cut there"
            refuses(errno.ENOSPC, os.pwrite, f.fd, page, SIZE)
            f.sync()
            same(backing_read(backing, SIZE - 4096, 4096), data[:4096], "the last 4096 bytes")
    assert os.stat(disk).st_size == SIZE


@test
def dd_to_the_end_of_the_disk(t):
    _, disk, backing, _ = one_disk(t)
    for flags in ("", "oflag=direct"):
        done = t.sh(f"LC_ALL=C timeout 120 dd if=/dev/zero of={disk} bs=1M conv=notrunc {flags}", ok=False)
        assert done.returncode == 1 and "No space left on device" in done.stdout, done.stdout
        assert f"{SIZE} bytes" in done.stdout, done.stdout
    # A block that does not divide the disk: the last one is written in part.
    done = t.sh(f"LC_ALL=C timeout 120 dd if=/dev/zero of={disk} bs=3M conv=notrunc", ok=False)
    assert "No space left" in done.stdout and f"{SIZE} bytes" in done.stdout, done.stdout
    done = t.sh(f"LC_ALL=C timeout 120 dd if={disk} of=/dev/null bs=3M 2>&1")
    assert f"{SIZE} bytes" in done.stdout, done.stdout


@test
def size_cannot_be_changed(t):
    _, disk, backing, _ = one_disk(t)
    data = pattern(65536, 5)
    with File(disk) as f:
        f.write(data, 0)
        f.sync()
        for size in (0, SIZE // 2, SIZE * 2):
            try:
                os.ftruncate(f.fd, size)
            except OSError as e:
                assert e.errno in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP, errno.EACCES), e
            else:
                raise AssertionError(f"truncated to {size}")
    # `dd of=disk` and `> disk` open with O_TRUNC: nothing must be lost.
    os.close(os.open(disk, os.O_WRONLY | os.O_TRUNC))
    t.sh(f": > {disk}")
    assert os.stat(disk).st_size == SIZE
    same(backing_read(backing, 0, 65536), data, "the data after O_TRUNC")
    t.sh(f"printf hello > {disk}")
    same(backing_read(backing, 0, 65536), b"hello" + data[5:], "the data after printf")


@test
def disk_cannot_be_removed(t):
    fs, disk, _, _ = one_disk(t)
    for function, *arguments in ((os.unlink, disk), (os.rename, disk, disk + "2"), (os.link, disk, disk + "3")):
        try:
            function(*arguments)
        except OSError as e:
            assert e.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.EOPNOTSUPP), e
        else:
            raise AssertionError(f"{function.__name__} worked")


@test
def several_openers(t):
    """What one wrote and synced, all the others read."""
    _, disk, _, _ = one_disk(t)
    files = [File(disk) for _ in range(8)]
    try:
        for n, f in enumerate(files):
            data = pattern(20000, n)
            f.write(data, 1000 + n * 7777)
            f.sync()
            for other in files:
                same(other.read(20000, 1000 + n * 7777), data, f"opener {n}")
    finally:
        for f in files:
            os.close(f.fd)


@test
def mapped_by_two(t):
    _, disk, backing, _ = one_disk(t)
    one, two = os.open(disk, os.O_RDWR), os.open(disk, os.O_RDWR)
    with mmap.mmap(one, 65536) as a, mmap.mmap(two, 65536) as b:
        a[100:105] = b"hello"
        assert b[100:105] == b"hello"
        b[200:205] = b"world"
        a.flush()
        b.flush()
    os.close(one), os.close(two)
    assert backing_read(backing, 100, 5) == b"hello" and backing_read(backing, 200, 5) == b"world"


@test
def statistics_count(t):
    fs, disk, _, iqn = one_disk(t)
    stats = fs.path(os.path.dirname(os.path.relpath(disk, fs.point)), "stats")

    def count(name):
        return int(next(x.split()[1] for x in open(stats) if x.split()[0] == name))
    read, written = count("read_bytes"), count("write_bytes")
    with File(disk, direct=True) as f:
        f.write(bytes(1 << 20), 0)
        f.read(2 << 20, 0)
    assert count("write_bytes") - written == 1 << 20
    assert count("read_bytes") - read == 2 << 20


def file_system_on_loop(t, *options, **parameters):
    need_loops()
    need_program("mkfs.ext4", "e2fsck", "mount", "umount")
    fs, disk, backing, iqn = one_disk(t, size=64 << 20, **parameters)
    device = attach(t, disk, *options)
    t.sh(f"timeout 120 mkfs.ext4 -q -F {device}")
    place = t.path("ext4")
    os.mkdir(place)
    data = pattern(20 << 20, 9)
    t.sh(f"timeout 120 mount {device} {place}")
    try:
        with open(os.path.join(place, "data"), "wb") as f:
            f.write(data)
        for n in range(200):
            with open(os.path.join(place, f"small-{n}"), "w") as f:
                f.write(f"{n}\n" * n)
        t.sh(f"timeout 120 sync -f {place}")
    finally:
        t.sh(f"timeout 120 umount {place}")
    t.sh(f"timeout 120 e2fsck -f -n {device}")
    # The target's own file holds a sound file system: seen without any of our code.
    t.sh(f"timeout 120 e2fsck -f -n {backing}")
    t.sh(f"timeout 120 mount {device} {place}")
    try:
        with open(os.path.join(place, "data"), "rb") as f:
            same(f.read(), data, "the file after mounting again")
        assert open(os.path.join(place, "small-199")).read() == "199\n" * 199
    finally:
        t.sh(f"timeout 120 umount {place}")
    return fs, iqn, device


@test(limit=240)
def ext4_on_a_buffered_loop(t):
    fs, iqn, _ = file_system_on_loop(t)
    # C7 in practice: the loop device holds the disk open.
    refuses(errno.EBUSY, fs.logout, iqn)


@test(limit=240)
def ext4_on_a_direct_loop(t):
    file_system_on_loop(t, "--direct-io=on")


@test(limit=240)
def ext4_on_a_loop_over_4096_byte_blocks(t):
    file_system_on_loop(t, "--direct-io=on", "--sector-size", "4096", block_bytes=4096)


@test
def read_only_loop(t):
    need_loops()
    _, disk, _, _ = one_disk(t, readonly=1)
    device = attach(t, disk, "-r")
    t.sh(f"timeout 120 dd if={device} of=/dev/null bs=1M status=none")
    done = t.sh(f"timeout 120 dd if=/dev/zero of={device} bs=4k count=1 oflag=direct", ok=False)
    assert done.returncode, "a read-only loop device was written"


@test
def partitions_on_a_loop(t):
    """qemu-img, parted and the like see an ordinary disk: a partition table is found by the kernel or told by sfdisk."""
    sfdisk = need_program("sfdisk")
    _, disk, _, _ = one_disk(t)
    t.sh(f"printf 'label: gpt\\n1MiB,4MiB\\n,,\\n' | timeout 120 {sfdisk} -q --no-reread --no-tell-kernel {disk}")
    done = t.sh(f"timeout 120 {sfdisk} -d {disk}")
    assert done.stdout.count("start=") == 2, done.stdout


def holder(fs, iqn):
    return refuses(errno.EBUSY, fs.logout, iqn).reply


@test
def holder_is_named_while_it_lives(t):
    fs, disk, _, iqn = one_disk(t)
    # The shell opens it, and then is another program; a loop in a thread would be the same process.
    p = subprocess.Popen(["sh", "-c", 'exec 3<"$1"; exec sleep 1000', "sh", disk])
    wait_for(lambda: "opens 1" in fs.read("targets", iqn, "lun1", "stats"), "it is open")
    wait_for(lambda: "(sleep)" in holder(fs, iqn), "sleep holds it")
    assert f"is open by pid {p.pid} (sleep)" in holder(fs, iqn)
    p.kill()
    p.wait()
    wait_for(lambda: "opens 0" in fs.read("targets", iqn, "lun1", "stats"), "it is closed")
    fs.logout(iqn)


@test
def holder_is_who_has_it_not_who_opened_it(t):
    """The shell opens the disk, hands it to a child, and has ended."""
    fs, disk, _, iqn = one_disk(t)
    done = t.sh(f"sh -c 'exec 3<{disk}; sleep 1000 >/dev/null 2>&1 & echo $$ $!'")
    opener, keeper = map(int, done.stdout.split())
    t.defer(lambda: os.kill(keeper, 9) if os.path.exists(f"/proc/{keeper}") else None)
    wait_for(lambda: f"pid {keeper} (sleep)" in holder(fs, iqn), "the child is another program")
    told = holder(fs, iqn)
    assert f"is open by pid {keeper} (sleep): {disk}" in told and f"pid {opener} " not in told, told
    os.kill(keeper, 9)
    wait_for(lambda: "opens 0" in fs.read("targets", iqn, "lun1", "stats"), "it is closed")
    fs.logout(iqn)


@test
def open_from_another_pid_namespace_is_counted(t):
    """The daemon is in a pid namespace of its own, and cannot see who opens files."""
    need_root("unshare")
    need_program("unshare")
    target = Tgtd(t)
    iqn, number, _ = target.one_disk(size=SIZE)
    point, pidfile = t.path("point"), t.path("pid")
    os.mkdir(point)
    open(t.path("c.conf"), "w").close()
    daemon = t.start(["unshare", "-p", "-f", "--kill-child", program(), "-f", "-c", t.path("c.conf"), "-s", t.path("state"),
                      point], t.path("daemon.log"), env=sanitizer_environ(t, "daemon"))
    wait_for(lambda: os.path.exists(os.path.join(point, "ctl")), "the tree is mounted")
    t.sh(f"echo 'add-portal {target.portal}' > {point}/discovery/ctl; echo login > {point}/targets/{iqn}/ctl")
    lun = f"{point}/targets/{iqn}/lun{number}"
    with open(f"{lun}/disk", "rb"):
        done = t.sh(f"echo logout > {point}/targets/{iqn}/ctl", ok=False)
        assert done.returncode and os.strerror(errno.EBUSY) in done.stdout
        with open(f"{point}/targets/{iqn}/error") as f:
            # Whom FUSE cannot name is found in /proc, which is the outer namespace's here.
            assert f"is open by pid {os.getpid()} (python3" in f.read()
        with open(f"{lun}/stats") as f:
            assert "opens 1\n" in f.read()
    wait_for(lambda: "opens 0\n" in read_text(f"{lun}/stats"), "it is closed")
    t.sh(f"echo logout > {point}/targets/{iqn}/ctl")
    t.sh(f"umount {point}")
    daemon.wait(LIMIT)


@test
def gone_disk_is_eio(t):
    """From the first moment to after the time that attributes are cached."""
    fs, disk, _, iqn = one_disk(t)
    directory = os.open(os.path.dirname(disk), os.O_PATH)
    size = os.open(os.path.join(os.path.dirname(disk), "size"), os.O_RDONLY)
    path = os.open(disk, os.O_PATH)
    fd = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    memory = mmap.mmap(-1, 4096)
    fs.logout(iqn, "force=yes")
    for _ in range(2):
        refuses(errno.EIO, os.preadv, fd, [memory], 0)
        time.sleep(1.2)
    refuses(errno.EIO, os.fstat, fd)
    refuses(errno.EIO, os.open, f"/proc/self/fd/{path}", os.O_RDONLY)
    refuses(errno.ENODEV, os.fstat, size)
    refuses(errno.ESTALE, os.fstat, directory)
    for x in (directory, size, path, fd):
        os.close(x)
