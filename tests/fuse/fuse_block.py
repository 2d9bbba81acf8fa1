# SPDX-License-Identifier: BSD-2-Clause
"""LUNs as block devices: expose=block, `attach` and `detach`, who is in the way of a logout, and what becomes of the loop
devices when sizes change, targets vanish and daemons end."""
import contextlib
import errno
import os
import re
import signal
import subprocess

from fuse_disk import attach, need_loops
from mounted import Mounted, is_mounted, run_unprivileged
from patterns import File, backing_read, pattern, same
from realtargets import Tgtd
from runner import LIMIT, Skip, need_program, refuses, test, wait_for

SIZE = 32 << 20


def backing_of(device):
    """The file under a loop device; "" when there is none."""
    with contextlib.suppress(FileNotFoundError), open(f"/sys/block/{os.path.basename(device)}/loop/backing_file") as f:
        return f.read().strip()
    return ""


def queue(device, name):
    with open(f"/sys/block/{os.path.basename(device)}/{name}") as f:
        return f.read().strip()


def sectors(device):
    return int(queue(device, "size"))


class Block:
    """A target with one LUN, and a daemon that is logged in. @keys: of the login."""

    def __init__(self, t, keys="expose=block", size=SIZE, **parameters):
        need_loops()
        self.t = t
        self.target = Tgtd(t)
        self.iqn, self.number, self.backing = self.target.one_disk(size=size, **parameters)
        self.fs = Mounted(t)
        self.fs.discover(self.target.portal)
        self.lun = self.fs.target(self.iqn, f"lun{self.number}")
        self.disk = self.fs.disk(self.iqn, self.number)
        if keys is not None:
            self.login(keys)

    def login(self, keys="expose=block"):
        self.sid = self.fs.login(self.iqn, keys)
        return self.device()

    def device(self):
        return self.fs.read(self.lun, "block")

    def refused(self, keys=""):
        return refuses(errno.EBUSY, self.fs.logout, self.iqn, keys).reply

    @contextlib.contextmanager
    def mounted(self, device):
        """An ext4 on it, mounted."""
        place = self.t.path("ext4")
        os.mkdir(place)
        self.t.sh(f"timeout 120 mkfs.ext4 -q -F {device} && timeout 120 mount {device} {place}")
        try:
            yield place
        finally:
            if is_mounted(place):
                self.t.sh(f"timeout 120 umount {place}")


@test
def login_attaches_and_logout_detaches(t):
    b = Block(t)
    device = b.device()
    assert re.fullmatch(r"/dev/loop\d+", device), device
    assert backing_of(device) == b.disk
    assert sectors(device) * 512 == SIZE and queue(device, "ro") == "0"
    assert queue(device, "loop/dio") == "1" and queue(device, "loop/autoclear") == "0"
    assert b.fs.json(b.lun)["block"] == device
    assert f"is {device}" in b.fs.read("events") and " 1023 block-attached " in b.fs.read("events")
    data = pattern(1 << 20, 1)
    with File(device) as f:
        f.write(data, 4096)
        f.sync()
    same(backing_read(b.backing, 4096, 1 << 20), data, "what went through the loop device")
    with b.mounted(device) as place:
        told = b.refused()
        assert f"{device}, which is mounted on {place}" in told, told
        assert f"mounted on {place}" in b.fs.read(b.fs.target(b.iqn), "error")
        assert b.device() == device, "a logout that is refused detaches nothing"
    b.fs.logout(b.iqn)
    assert not backing_of(device)
    assert not b.fs.sids(b.iqn)
    assert f"{device} is detached" in b.fs.read("events") and " 1024 block-detached " in b.fs.read("events")


@test
def attach_and_detach_by_hand(t):
    b = Block(t, "")
    assert b.device() == "-" and b.fs.json(b.lun)["block"] is None
    refuses(errno.ENOENT, b.fs.ctl, b.lun, "detach")
    reply = b.fs.ctl(b.lun, "attach")
    device = b.device()
    assert f"device={device}" in reply and backing_of(device) == b.disk, reply
    refuses(errno.EEXIST, b.fs.ctl, b.lun, "attach")
    with open(device, "rb"):
        e = refuses(errno.EBUSY, b.fs.ctl, b.lun, "detach")
        assert f"pid {os.getpid()} (python3" in e.reply, e.reply
    b.fs.ctl(b.lun, "detach")
    assert b.device() == "-" and not backing_of(device)
    b.fs.ctl(f"sessions/{b.sid}", "rescan")
    assert b.device() == "-"
    b.fs.logout(b.iqn)


@test
def detached_by_hand_stays_so(t):
    b = Block(t)
    b.fs.ctl(b.lun, "detach")
    b.fs.ctl(f"sessions/{b.sid}", "rescan")
    assert b.device() == "-"
    b.fs.ctl(b.lun, "attach")
    assert backing_of(b.device()) == b.disk


@test
def detached_by_somebody_else_is_seen(t):
    """losetup -d, and then another file on the same device, which is not ours to touch."""
    b = Block(t)
    device = b.device()
    other = t.file("other", 1 << 20)
    t.sh(f"timeout 60 losetup -d {device}")
    wait_for(lambda: not backing_of(device), "it is free")
    t.sh(f"timeout 60 losetup {device} {other}")
    t.defer(t.sh, f"timeout 60 losetup -d {device}")
    assert b.device() == "-"
    b.fs.logout(b.iqn)
    assert backing_of(device) == other


@test
def read_only_lun_is_a_read_only_device(t):
    b = Block(t, readonly=1)
    assert queue(b.device(), "ro") == "1"
    done = t.sh(f"timeout 60 dd if=/dev/zero of={b.device()} bs=4k count=1 oflag=direct", ok=False)
    assert done.returncode, "a read-only device was written"
    t.sh(f"timeout 60 dd if={b.device()} of=/dev/null bs=1M status=none")


@test
def blocks_of_4096_bytes(t):
    b = Block(t, block_bytes=4096)
    assert queue(b.device(), "queue/logical_block_size") == "4096"
    assert sectors(b.device()) * 512 == SIZE


@test
def partitions_count_as_use(t):
    need_program("addpart")
    b = Block(t)
    device = b.device()
    done = t.sh(f"timeout 60 addpart {device} 1 2048 16384", ok=False)
    if done.returncode:
        raise Skip(f"no partitions here: {done.stdout.strip()}")
    part = wait_for(lambda: os.path.exists(f"{device}p1") and f"{device}p1", "the partition is there")
    with b.mounted(part) as place:
        told = b.refused()
        assert f"{device}, which is mounted on {place}" in told, told
    b.fs.logout(b.iqn)
    assert not backing_of(device)


@test
def units_that_come_and_go(t):
    b = Block(t)
    b.target.add_lun(7, t.file("seven", 8 << 20))
    b.fs.ctl(f"sessions/{b.sid}", "rescan")
    seven = wait_for(lambda: (d := b.fs.read("targets", b.iqn, "lun7", "block")) != "-" and d, "LUN 7 has its device")
    assert sectors(seven) * 512 == 8 << 20
    b.target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", 7)
    b.fs.ctl(f"sessions/{b.sid}", "rescan")
    wait_for(lambda: not backing_of(seven), "its device goes with it")
    assert backing_of(b.device())


def resize(b, size):
    """tgtd can only take a LUN away and give another one with the same identity; nobody asks in between."""
    b.target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", b.number)
    os.truncate(b.backing, size)
    b.target.add_lun(b.number, b.backing)
    b.fs.ctl(f"sessions/{b.sid}", "rescan")
    assert b.fs.read(b.lun, "size") == str(size)


@test
def size_changes_are_told(t):
    """To our device, and to one of somebody else; growing and shrinking."""
    b = Block(t)
    ours, other = b.device(), attach(t, b.disk)
    for size in (SIZE * 2, SIZE // 2, SIZE * 3):
        resize(b, size)
        for device in (ours, other):
            wait_for(lambda: sectors(device) * 512 == size, f"{device} has {size} bytes")
    data = pattern(65536, 3)
    with File(ours, direct=True) as f:
        f.write(data, SIZE * 3 - 65536)
    same(backing_read(b.backing, SIZE * 3 - 65536, 65536), data, "the new end")
    assert b.device() == ours


def with_many_units(t, name="many"):
    """24 LUNs of one target; LUN n has n MiB. (target, its name, a daemon that knows it)"""
    need_loops()
    target = Tgtd(t)
    iqn = target.add_target(name)
    for n in range(1, 25):
        target.add_lun(n, t.file(f"lun{n}", n << 20))
    fs = Mounted(t)
    fs.discover(target.portal)
    return target, iqn, fs


@test(limit=300)
def many_units(t):
    """More than are attached at a time; each gets its own, before the login returns."""
    _, iqn, fs = with_many_units(t)
    fs.login(iqn, "expose=block")
    devices = [fs.read("targets", iqn, f"lun{n}", "block") for n in range(1, 25)]
    assert len(set(devices)) == 24 and "-" not in devices, devices
    for n, device in enumerate(devices, 1):
        assert backing_of(device) == fs.disk(iqn, n) and sectors(device) * 512 == n << 20
    fs.logout(iqn)
    assert not any(map(backing_of, devices))


@test(limit=300)
def who_does_not_wait_for_the_devices_keeps_the_session(t):
    """The target falls silent while the devices are made, and who wrote `login` goes away; later all is there."""
    target, iqn, fs = with_many_units(t)
    ctl = fs.path("targets", iqn, "ctl")
    writer = subprocess.Popen(["sh", "-c", f"echo login expose=block > '{ctl}'"], stderr=subprocess.DEVNULL)
    t.defer(writer.wait)

    def devices():
        with contextlib.suppress(OSError):
            return [x for x in (fs.read("targets", iqn, f"lun{n}", "block") for n in range(1, 25)) if x != "-"]
        return []
    wait_for(devices, "the first has its device")
    target.process.send_signal(signal.SIGSTOP)
    try:
        made = len(devices())
        sid = fs.sids(iqn)[0]
        writer.terminate()
        writer.wait(LIMIT)
        assert fs.sids(iqn) == [sid], "the session went with who had asked for it"
    finally:
        target.process.send_signal(signal.SIGCONT)
    wait_for(lambda: len(devices()) == 24, "all have their devices")
    assert fs.sids(iqn) == [sid]
    fs.logout(iqn)
    return f"{made} of 24 were there"


@test
def foreign_loop_device_is_named(t):
    b = Block(t, "")
    device = attach(t, b.disk)
    told = b.refused()
    assert f"{device}, a loop device that nobody uses" in told, told
    with b.mounted(device) as place:
        told = b.refused()
        assert f"{device}, which is mounted on {place}" in told, told


@test
def swap_is_named(t):
    need_program("mkswap", "swapon")
    b = Block(t)
    device = b.device()
    t.sh(f"timeout 60 mkswap -q {device} || timeout 60 mkswap {device}")
    done = t.sh(f"timeout 60 swapon {device}", ok=False)
    if done.returncode == 0:
        try:
            assert f"{device}, which is swapped to" in b.refused()
        finally:
            t.sh(f"timeout 60 swapoff {device}")
    b.fs.logout(b.iqn)
    return "" if done.returncode == 0 else f"no swapon here: {done.stdout.strip()}"


@test
def process_that_has_the_disk_is_named_with_the_path(t):
    b = Block(t)
    with open(b.disk, "rb"):
        told = b.refused()
        assert f"is open by pid {os.getpid()} (python3" in told and b.disk in told, told
    assert b.device() != "-"
    b.fs.logout(b.iqn)


@test
def forced_logout_leaves_the_device_to_its_users(t):
    b = Block(t)
    device = b.device()
    fd = os.open(device, os.O_RDONLY)
    b.fs.logout(b.iqn, "force=yes")
    assert not b.fs.sids(b.iqn)
    assert backing_of(device) and queue(device, "loop/autoclear") == "1"
    os.close(fd)
    wait_for(lambda: not backing_of(device), "it goes with its last user")


@test
def sigterm_detaches(t):
    b = Block(t)
    device = b.device()
    b.fs.stop()
    assert not backing_of(device)


@test
def shutdown_leaves_a_used_device_to_its_users(t):
    b = Block(t)
    device = b.device()
    fd = os.open(device, os.O_RDONLY)
    b.fs.shut_down()
    b.fs.wait()
    assert backing_of(device)
    os.close(fd)
    wait_for(lambda: not backing_of(device), "it goes with its last user")


@test
def unmounting_the_tree_waits_for_the_devices(t):
    b = Block(t)
    done = t.sh(f"umount {b.fs.point}", ok=False)
    assert done.returncode, "the kernel lets nobody unmount a file system with an open file"
    b.fs.ctl(b.lun, "detach")
    t.sh(f"umount {b.fs.point}")
    b.fs.wait()


@test
def killed_daemon_leaves_a_device_that_can_be_detached(t):
    b = Block(t)
    device = b.device()
    b.fs.process.kill()
    b.fs.process.wait()
    assert backing_of(device), "nobody was there to detach it"
    done = t.sh(f"timeout 60 dd if={device} of=/dev/null bs=4k count=1 iflag=direct", ok=False)
    assert done.returncode not in (0, 124), "an error, and no hang"
    t.sh(f"timeout 60 losetup -d {device}")
    wait_for(lambda: not backing_of(device), "it is free")
    t.sh(f"umount -l {b.fs.point}")


@test(limit=240)
def target_that_dies_does_not_hang_an_attach(t):
    """The units are known, and then nobody answers: the daemon goes on, and so does its end."""
    b = Block(t, "command_timeout=4")
    os.kill(b.target.process.pid, signal.SIGSTOP)
    t.defer(os.kill, b.target.process.pid, signal.SIGCONT)
    p = subprocess.Popen(["sh", "-c", f"echo attach > {b.fs.path(b.lun, 'ctl')}"], stderr=subprocess.DEVNULL)
    for _ in range(20):
        assert b.fs.read(b.lun, "size") == str(SIZE), "all else is answered meanwhile"
    p.wait(LIMIT)
    b.fs.stop()
    assert not is_mounted(b.fs.point)


@test(limit=240)
def daemon_ends_while_an_attach_hangs(t):
    b = Block(t, "command_timeout=60")
    os.kill(b.target.process.pid, signal.SIGSTOP)
    t.defer(os.kill, b.target.process.pid, signal.SIGCONT)
    p = subprocess.Popen(["sh", "-c", f"echo attach > {b.fs.path(b.lun, 'ctl')}"], stderr=subprocess.DEVNULL)
    wait_for(lambda: "opens 1" in b.fs.read(b.lun, "stats"), "the helper has opened the disk")
    b.fs.stop()
    p.wait(LIMIT)


LOOK_AT_BLOCK = r"""
echo 'login expose=block' > "$target/ctl"
cat "$lun/block" "$lun/error"
grep block-failed point/events
echo logout > "$target/ctl"
"""


@test(limit=240)
def without_the_right_the_login_works_and_the_attach_tells(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    text, _ = run_unprivileged(t, target.portal, iqn, number, LOOK_AT_BLOCK)
    assert text.startswith("-\n"), text
    assert "attaching loop devices needs root" in text and "EACCES" in text, text
    assert " block-failed " in text, text


@test
def cancelled_attach_leaves_nothing(t):
    """Ctrl-C while the target does not answer, and when it answers again."""
    b = Block(t, "command_timeout=60")
    os.kill(b.target.process.pid, signal.SIGSTOP)
    t.defer(os.kill, b.target.process.pid, signal.SIGCONT)
    refuses(errno.ETIMEDOUT, b.fs.ctl, b.lun, "attach timeout=1")
    os.kill(b.target.process.pid, signal.SIGCONT)
    wait_for(lambda: "opens 0" in b.fs.read(b.lun, "stats"), "nothing has the disk open any more")
    assert b.device() == "-"
    wait_for(lambda: b.fs.ctl(b.lun, "attach"), "the helper process has ended")
    assert backing_of(b.device()) == b.disk
    b.fs.logout(b.iqn)
