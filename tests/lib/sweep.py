# SPDX-License-Identifier: BSD-2-Clause
"""What a test left behind: processes, mounts and loop devices that belong to one directory.

A process belongs to directory D when its environment has ISCSIFS_TEST_DIR=D (or something below D): children inherit
the variable, so a daemon that detached itself is found too, and nobody else's process ever is. Mounts and loop devices
belong to D when their mount point or backing file is below it.

    python3 sweep.py DIR     removes what is left, names it on stdout; exit status 1 if there was anything
"""
import os
import re
import signal
import subprocess
import sys
import time

VARIABLE = "ISCSIFS_TEST_DIR"


def _is_below(path, top):
    return path == top or path.startswith(top.rstrip("/") + "/")


def _ancestors():
    """This process and those that it runs under: they bear the mark as well."""
    pid, found = os.getpid(), set()
    while pid > 1:
        found.add(pid)
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                pid = int(f.read().rsplit(b")", 1)[1].split()[1])
        except OSError:
            break
    return found


def processes(top):
    """(pid, name) of the live processes marked with @top, without this one and its ancestors."""
    found, mine = [], _ancestors()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) in mine:
            continue
        try:
            with open(f"/proc/{entry}/environ", "rb") as f:
                environ = f.read().split(b"\0")
            with open(f"/proc/{entry}/stat", "rb") as f:
                stat = f.read()
        except OSError:
            continue
        state = stat.rsplit(b")", 1)[1].split()[0]
        mark = next((e.split(b"=", 1)[1].decode(errors="replace") for e in environ
                     if e.startswith(VARIABLE.encode() + b"=")), None)
        if mark and state not in (b"Z", b"X") and _is_below(mark, top):
            name = stat.split(b"(", 1)[1].rsplit(b")", 1)[0].decode(errors="replace")
            found.append((int(entry), name))
    return found


def mounts(top):
    """Mount points below @top, deepest first."""
    found = []
    with open("/proc/self/mountinfo") as f:
        for line in f:
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), line.split()[4])
            if _is_below(point, top):
                found.append(point)
    return sorted(found, key=len, reverse=True)


def loops(top):
    """(device, backing file) of loop devices over files below @top."""
    found = []
    for name in os.listdir("/sys/block") if os.path.isdir("/sys/block") else []:
        try:
            with open(f"/sys/block/{name}/loop/backing_file") as f:
                backing = f.read().strip()
        except OSError:
            continue
        if _is_below(backing, top):
            found.append((f"/dev/{name}", backing))
    return found


def _run(*command):
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, timeout=30).returncode
    except (OSError, subprocess.TimeoutExpired):
        return -1


def kill(top, limit=10):
    """SIGKILL every process marked with @top. A dead daemon also ends all I/O that waits for its file system."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        left = processes(top)
        if not left:
            return
        for pid, _ in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.02)


def sweep(top):
    """Remove what is left of @top; what there was, one text each."""
    top = os.path.realpath(top)
    found = [f"process {pid} ({name})" for pid, name in processes(top)]
    found += [f"mount {point}" for point in mounts(top)]
    found += [f"loop device {device} over {backing}" for device, backing in loops(top)]
    kill(top)
    for point in mounts(top):
        if _run("umount", point) and _run("umount", "-l", point):
            _run("fusermount3", "-u", "-z", point)
    for device, _ in loops(top):
        _run("losetup", "-d", device)
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    left = sweep(sys.argv[1])
    for text in left:
        print(f"left behind: {text}")
    sys.exit(1 if left else 0)
