# SPDX-License-Identifier: BSD-2-Clause
"""Loop devices when the daemon ends in the middle of something, and when a logout is refused for what the helper process
does not see."""
import os
import signal
import subprocess
import time

from fuse_block import SIZE, Block, backing_of, sectors, with_many_units
from mounted import is_mounted
from patterns import File
from runner import LIMIT, Case, need_root, test, wait_for


def over(iqn):
    """Loop devices over LUNs of this target; where the tree was mounted is not told any more when it is not."""
    return [x for x in os.listdir("/sys/block") if x.startswith("loop") and f"/{iqn}/" in backing_of(x)]


@test(on=[Case(f"{ms}ms", ms=ms) for ms in (5, 20, 60, 150, 400)], limit=300)
def ending_while_devices_are_made_leaves_none(t, x):
    _, iqn, fs = with_many_units(t, f"many{os.getpid()}")
    writer = subprocess.Popen(["sh", "-c", f"echo login expose=block > '{fs.path('targets', iqn, 'ctl')}'"],
                              stderr=subprocess.DEVNULL)
    t.defer(writer.wait)
    wait_for(lambda: fs.sids(iqn), "the session")
    time.sleep(x.ms / 1000)
    fs.process.send_signal(signal.SIGTERM)
    fs.process.wait(LIMIT)
    wait_for(lambda: not over(iqn), "no loop device is left")
    assert not is_mounted(fs.point)


@test(limit=300)
def ending_while_the_device_of_a_gone_unit_is_detached(t):
    b = Block(t)
    device = b.device()
    b.target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", b.number)
    ctl, pid = b.fs.path("sessions", b.sid, "ctl"), b.fs.process.pid
    subprocess.run(["sh", "-c", f"echo rescan > '{ctl}'; kill -TERM {pid}"], check=True)
    b.fs.process.wait(LIMIT)
    wait_for(lambda: not backing_of(device), f"{device} is gone")


@test(limit=300)
def a_logout_that_is_refused_detaches_nothing(t):
    """Also when the disk is open by a name that the helper process cannot find."""
    need_root("bind mounts")
    b = Block(t)
    device = b.device()
    place = t.path("elsewhere")
    os.mkdir(place)
    t.sh(f"mount --bind {b.fs.point} {place}")
    t.defer(subprocess.run, ["umount", "-l", place])
    disk = os.path.join(place, os.path.relpath(b.disk, b.fs.point))
    with File(disk, os.O_RDONLY):
        told = b.refused()
        assert f"pid {os.getpid()} (" in told, told
        assert b.device() == device and backing_of(device), "it was detached"
    b.fs.logout(b.iqn)
    assert not backing_of(device)


@test(limit=300)
def reading_block_while_it_is_detached_accuses_nobody(t):
    b = Block(t, "")
    reader = t.start(["sh", "-c", f"while cat '{b.fs.path(b.lun, 'block')}' >/dev/null; do :; done"], t.path("reader.log"))
    for _ in range(30):
        b.fs.ctl(b.lun, "attach")
        b.fs.ctl(b.lun, "detach")
    reader.kill()
    reader.wait(LIMIT)
    told = b.fs.read("events")
    assert told.count("is detached") == 30 and "somebody else" not in told, told


@test(limit=300)
def a_tree_that_was_unmounted_lazily_takes_its_devices_along(t):
    need_root("umount -l")
    b = Block(t)
    device = b.device()
    t.sh(f"umount -l {b.fs.point}")
    b.fs.process.send_signal(signal.SIGTERM)
    b.fs.process.wait(LIMIT)
    wait_for(lambda: not backing_of(device), f"{device} is gone")


@test(limit=300)
def a_gone_unit_is_not_in_the_way_of_the_next_one(t):
    """Its device is in use still; the unit that has its number now has a device of its own, and can be logged out."""
    b = Block(t)
    old = b.device()
    with open(old, "rb") as user:
        b.target.admin_do("--op", "delete", "--mode", "logicalunit", "--tid", 1, "--lun", b.number)
        b.fs.ctl(f"sessions/{b.sid}", "rescan")
        b.target.add_lun(b.number, t.file("another", 2 * SIZE), tid=1)
        b.fs.ctl(f"sessions/{b.sid}", "rescan")
        wait_for(lambda: b.device() not in ("-", old), "the new unit has its device")
        new = b.device()
        assert sectors(new) * 512 == 2 * SIZE
        b.fs.logout(b.iqn)
        assert not backing_of(new)
        user.seek(0)
    wait_for(lambda: not backing_of(old), f"{old} is gone with its user")
