# SPDX-License-Identifier: BSD-2-Clause
"""Block devices over LUNs of LIO, which can change their size while they are in use."""
import os

from lio import CONFIGFS, Disk, Lio
from mounted import Mounted
from runner import Skip, need_program, need_root, test, wait_for

MIB = 1 << 20


def bytes_of(device):
    with open(f"/sys/block/{os.path.basename(device)}/size") as f:
        return int(f.read()) * 512


def disk_on_a_loop(lio, name, size):
    """A disk of LIO over a loop device of the guest, whose size can change. The device's number is 0."""
    path = f"core/iblock_{lio.count}/{name}"
    lio.count += 1
    disk = Disk(name, size, os.path.join(CONFIGFS, path), f"/backing/{name}")
    lio.sh(f"mkdir -p {disk.path} && truncate -s {size} {disk.file} && losetup /dev/loop0 {disk.file}")
    lio.write((f"{path}/control", "udev_path=/dev/loop0"), (f"{path}/enable", 1),
              (f"{path}/wwn/vpd_unit_serial", "6f" * 16))
    return disk


@test(limit=240)
def size_of_a_mounted_device_follows(t):
    """Growing under a mounted file system, which then grows, too; and shrinking."""
    need_root("loop devices")
    need_program("losetup", "mkfs.ext4", "resize2fs", "e2fsck", "mount", "umount")
    if not os.path.exists("/dev/loop-control"):
        raise Skip("no loop devices here")
    lio = Lio(t)
    disk = disk_on_a_loop(lio, "grow", 32 * MIB)
    iqn = lio.add_target("grow", {0: disk})
    fs = Mounted(t)
    sid = fs.log_in(lio.portal, iqn, "expose=block")
    device = fs.read("targets", iqn, "lun0", "block")
    assert bytes_of(device) == 32 * MIB

    def resize(size):
        lio.sh(f"truncate -s {size} {disk.file} && losetup -c /dev/loop0")
        fs.ctl(f"sessions/{sid}", "rescan")
        assert fs.read("targets", iqn, "lun0", "size") == str(size)
        wait_for(lambda: bytes_of(device) == size, f"{device} has {size} bytes")

    place = t.path("ext4")
    os.mkdir(place)
    t.sh(f"timeout 120 mkfs.ext4 -q -F {device} && timeout 120 mount {device} {place}")
    try:
        resize(64 * MIB)
    finally:
        t.sh(f"timeout 120 umount {place}")
    # Not while it is mounted: that takes CAP_SYS_RESOURCE, which a container may lack.
    t.sh(f"timeout 120 e2fsck -f -p {device}; timeout 120 resize2fs {device} && timeout 120 mount {device} {place}")
    try:
        with open(os.path.join(place, "data"), "wb") as f:
            f.write(os.urandom(40 * MIB))
    finally:
        t.sh(f"timeout 120 umount {place}")
    t.sh(f"timeout 120 e2fsck -f -n {device}")
    resize(16 * MIB)
    resize(48 * MIB)
    fs.logout(iqn)
