# SPDX-License-Identifier: BSD-2-Clause
"""Loop devices over a file, gone at the end of the test, and what is mounted on them."""
import contextlib
import os
import re

from runner import Skip, need_program, need_root, wait_for


def need_loops():
    need_root("loop devices")
    losetup = need_program("losetup")
    if not os.path.exists("/dev/loop-control"):
        raise Skip("no loop devices here")
    return losetup


def attach(t, disk, *options):
    """A loop device over @disk, detached at the end."""
    losetup = need_loops()
    done = t.sh(f"timeout 120 {losetup} -f --show {' '.join(options)} {disk}", ok=False)
    if done.returncode and re.search("not permitted|No such device|cannot find an unused", done.stdout):
        raise Skip(f"losetup: {done.stdout.strip()}")
    assert done.returncode == 0, done.stdout
    device = done.stdout.strip()

    def detach():
        t.sh(f"timeout 120 {losetup} -d {device}")
        name = os.path.basename(device)
        wait_for(lambda: not os.path.exists(f"/sys/block/{name}/loop/backing_file"), f"{device} is free")
    t.defer(detach)
    return device


@contextlib.contextmanager
def mounted_on(t, device, place, options=""):
    """@device is mounted on the directory @place, made if need be."""
    os.makedirs(place, exist_ok=True)
    t.sh(f"timeout 120 mount {options} {device} {place}")
    try:
        yield place
    finally:
        t.sh(f"timeout 120 umount {place}")
