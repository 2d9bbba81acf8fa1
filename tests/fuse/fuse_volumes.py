# SPDX-License-Identifier: BSD-2-Clause
"""Bound volumes, and a start that says that it is ready when they are there: to the parent process and to the service
manager. What a system does then (mount from an fstab) works at once."""
import errno
import os
import signal
import socket
import subprocess
import threading
import time
from uuid import uuid4

from loops import attach, mounted_on, need_loops
from mounted import Mounted, is_mounted, program, read_text, sanitizer_environ
from realtargets import Tgtd, restart_tgtd
from runner import LIMIT, Skip, need_program, need_root, refuses, test, wait_for

SIZE = 64 << 20


class Manager:
    """The service manager's end of NOTIFY_SOCKET. @name: a path, or "@..." for an abstract one."""

    def __init__(self, t, name=None):
        self.name = name or t.path("notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + self.name[1:] if self.name[0] == "@" else self.name)
        self.heard = []
        t.defer(self.socket.close)

    def look(self):
        """All that was told up to now: (key, value)."""
        while True:
            try:
                text = self.socket.recv(4096, socket.MSG_DONTWAIT).decode()
            except BlockingIOError:
                return self.heard
            self.heard += [tuple(line.split("=", 1)) for line in text.splitlines()]

    def is_ready(self):
        return ("READY", "1") in self.look()


def volumes(fs):
    return {x: fs.json("persistent", "volumes", x) for x in fs.ls("persistent", "volumes")}


def events(fs, name):
    return [x for x in fs.read("events").splitlines() if f" {name} " in x]


def again(t, old, name="again", **more):
    if old.process.poll() is None:
        old.stop()
    return Mounted(t, name=name, state=old.state, **more)


def one(t, keys="", **more):
    """(target, its name, LUN number, backing file, daemon that is logged in)"""
    need_loops()
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(size=SIZE)
    fs = Mounted(t, **more)
    fs.discover(target.portal)
    fs.login(iqn, f"persist=yes {keys}")
    return target, iqn, number, backing, fs


@test(limit=300)
def bind_captures_what_there_is(t):
    """A mounted loop device of ours, one of losetup's without a file system, and a file that nothing is over."""
    target, iqn, number, _, fs = one(t, "expose=block")
    other, _, _ = target.one_disk(size=SIZE)
    bare, _, _ = target.one_disk(size=SIZE)
    fs.ctl("discovery", "refresh")
    fs.login(other)
    fs.login(bare)
    device = fs.read("targets", iqn, f"lun{number}", "block")
    loop = attach(t, fs.disk(other, 1))
    t.sh(f"mkfs.ext4 -q -F {device}")
    place = t.path("mnt")
    with mounted_on(t, device, place):
        reply = fs.ctl("persistent", "bind")
        found = {x["path"]: (x["kind"], x["luns"][0].split()[:-1]) for x in volumes(fs).values()}
        want = {place: ("mount", [f"{iqn}/lun{number}", "ready", "block"]),
                loop: ("device", [f"{other}/lun1", "ready"]),
                f"targets/{bare}/lun1": ("lun", [f"{bare}/lun1", "ready"])}
        assert found == want, found
        assert "volumes=3 new=3 dropped=0" in reply, reply
        assert "volumes=3 new=0 dropped=0" in fs.ctl("persistent", "bind")
    fs.logout(bare)
    assert fs.read("persistent", "volumes", f"{bare}-lun1", "state") == "missing"
    reply = fs.ctl("persistent", "bind")
    assert "volumes=2 new=1 dropped=2" in reply, (reply, volumes(fs))
    assert sorted(x["path"] for x in volumes(fs).values()) == sorted([device, loop])
    fs.ctl("persistent", "clear-volumes")
    assert fs.ls("persistent", "volumes") == []


@test(limit=300)
def add_and_remove(t):
    target, iqn, number, _, fs = one(t, "expose=block")
    device = fs.read("targets", iqn, f"lun{number}", "block")
    lun = f"targets/{iqn}/lun{number}"
    place, link = t.path("a place"), t.path("link")
    t.sh(f"mkfs.ext4 -q -F {device}")
    os.symlink(device, link)

    def add(path):
        return fs.ctl("persistent", f'add-volume "{path}"')

    def remove(path):
        return fs.ctl("persistent", f'remove-volume "{path}"')
    os.mkdir(place)
    e = refuses(errno.EINVAL, add, place)
    assert "ISDSC_VOLUME_NOT_ISCSI" in e.reply, e.reply
    for path in ("/", "/proc", "/dev/null", "/etc/passwd"):
        assert "ISDSC_VOLUME_NOT_ISCSI" in refuses(errno.EINVAL, add, path).reply
    for path in ("/no/such", fs.path("targets", "no")):
        assert "ISDSC_VOLUME_NOT_FOUND" in refuses(errno.ENOENT, add, path).reply
    refuses(errno.EINVAL, add, "relative")
    assert fs.ls("persistent", "volumes") == []
    t.sh(f"mount {device} '{place}'")
    try:
        assert "volume=" in add(place + "/")
    finally:
        t.sh(f"umount '{place}'")
    assert "ISDSC_VOLUME_ALREADY_PERSISTENTLY_BOUND" in refuses(errno.EEXIST, add, place).reply
    add(link)
    assert "ISDSC_VOLUME_ALREADY_PERSISTENTLY_BOUND" in refuses(errno.EEXIST, add, device).reply
    add(fs.disk(iqn, number))
    for path in (lun, fs.path(lun), fs.path(lun, "disk"), lun + "/disk"):
        assert "ISDSC_VOLUME_ALREADY_PERSISTENTLY_BOUND" in refuses(errno.EEXIST, add, path).reply
    refuses(errno.EEXIST, add, fs.path("by-id", fs.read(lun, "wwid")))
    assert sorted(x["path"] for x in volumes(fs).values()) == sorted([place, device, lun])
    # All of it is there after a start, under its name.
    names = fs.ls("persistent", "volumes")
    fs = again(t, fs)
    assert fs.ls("persistent", "volumes") == names
    remove(place)
    fs.ctl(f"persistent/volumes/{iqn}-lun{number}", "remove")
    remove(device)
    assert fs.ls("persistent", "volumes") == []
    for path in (place, device, "/no/such", "x", lun):
        assert "ISDSC_VOLUME_NOT_FOUND" in refuses(errno.ENOENT, remove, path).reply


@test(limit=300)
def ready_when_a_target_that_starts_late_is_there(t):
    """The recipe of iscsifs(8): a unit with Type=notify, and mounts of an fstab that need it. One disk is a device of the
    daemon's, the other one a file that mount makes a loop device of."""
    target, iqn, number, backing, fs = one(t, "expose=block")
    second, _, file_backing = target.one_disk(size=SIZE)
    fs.ctl("discovery", "refresh")
    fs.login(second, "persist=yes")
    device = fs.read("targets", iqn, f"lun{number}", "block")
    a, b = t.path("a"), t.path("b")
    os.mkdir(b)
    uuid = str(uuid4())
    t.sh(f"mkfs.ext4 -q -F -U {uuid} {device}")
    loop = t.sh(f"losetup -f --show {fs.disk(second, 1)}").stdout.strip()
    t.sh(f"mkfs.ext4 -q -F {loop}")
    with mounted_on(t, device, a), mounted_on(t, loop, b):
        t.sh(f"echo one > {a}/file; echo two > {b}/file")
        fs.ctl("persistent", "bind")
    t.sh(f"losetup -d {loop}")
    fs.stop()
    target.kill()
    manager = Manager(t)
    fs = again(t, fs, environ={"NOTIFY_SOCKET": manager.name})
    assert fs.read("persistent", "ready") == "no"
    assert set(x["state"] for x in volumes(fs).values()) == {"missing"}
    wait_for(lambda: [x for x in manager.look() if x[0] == "STATUS" and "2 of 2" in x[1]], "it tells what it waits for")
    assert [x for x in manager.look() if x[0] == "EXTEND_TIMEOUT_USEC" and int(x[1]) > 120e6]
    time.sleep(1)
    assert not manager.is_ready()
    restart_tgtd(t, target, [("disk1", number, backing), ("disk2", 1, file_backing)])
    wait_for(manager.is_ready, "ready", 90)
    assert ("MAINPID", str(fs.pid)) in manager.heard
    table = t.path("fstab")
    with open(table, "w") as f:
        f.write(f"UUID={uuid} {a} ext4 _netdev,noauto 0 0\n{fs.disk(second, 1)} {b} ext4 loop,_netdev,noauto 0 0\n")
    for place, text in ((a, "one\n"), (b, "two\n")):
        t.sh(f"timeout {LIMIT:.0f} mount -T {table} {place}")
        try:
            assert read_text(os.path.join(place, "file")) == text
        finally:
            t.sh(f"timeout {LIMIT:.0f} umount {place}")
    assert fs.read("persistent", "ready") == "yes" and events(fs, "volumes-ready")
    fs.stop()
    assert ("STOPPING", "1") in manager.look()


@test
def after_a_crash_they_come_back(t):
    """kill -9: the loop device of the dead daemon stays until somebody detaches it, and is nothing to wait for."""
    _, iqn, number, _, fs = one(t, "expose=block")
    device = fs.read("targets", iqn, f"lun{number}", "block")
    fs.ctl("persistent", f"add-volume {device}")
    fs.process.kill()
    fs.process.wait()
    t.sh(f"umount -l {fs.point}")
    try:
        manager = Manager(t)
        fs = again(t, fs, environ={"NOTIFY_SOCKET": manager.name})
        wait_for(manager.is_ready, "ready", 60)
        assert [x["state"] for x in volumes(fs).values()] == ["ready"]
        live = fs.read("targets", iqn, f"lun{number}", "block")
        assert live not in (device, "-"), "a new one"
        # The kernel names the file of the dead one as it would that of any other tree that is not mounted.
        assert "volumes=1 " in fs.ctl("persistent", "bind")
        assert [x["path"] for x in volumes(fs).values()] == [live]
        refusal = refuses(errno.EINVAL, fs.ctl, "persistent", f"add-volume {device}")
        assert "ISDSC_VOLUME_NOT_ISCSI" in refusal.reply, refusal.reply
    finally:
        t.sh(f"losetup -d {device}", ok=False)


@test
def without_volumes_it_is_ready_at_once(t):
    """Also in an abstract socket, and whether the logins are done or not."""
    manager = Manager(t, f"@iscsifs-test-{os.getpid()}")
    fs = Mounted(t)
    fs.ctl("persistent", "add-login iqn.2026-11.test:x portal=127.0.0.1:9")
    fs = again(t, fs, environ={"NOTIFY_SOCKET": manager.name})
    wait_for(manager.is_ready, "ready", 5)
    assert not [x for x in manager.heard if x[0] == "EXTEND_TIMEOUT_USEC"]


@test
def ready_all_the_same_when_the_time_is_up(t):
    target, iqn, number, _, fs = one(t)
    fs.ctl("persistent", f"add-volume targets/{iqn}/lun{number}")
    fs.stop()
    target.kill()
    manager = Manager(t)
    fs = again(t, fs, config="volumes_timeout = 1.5;\n", environ={"NOTIFY_SOCKET": manager.name})
    wait_for(manager.is_ready, "ready", 30)
    assert f"targets/{iqn}/lun{number} ({iqn}/lun{number} is not there)" in events(fs, "volumes-timeout")[0]
    assert fs.read("persistent", "ready") == "yes"
    assert fs.read("persistent", "volumes", f"{iqn}-lun{number}", "state") == "missing"


@test(limit=300)
def what_a_volume_waits_for_in_vain_is_told(t):
    """Nobody will make its loop device, and then not even its login."""
    _, iqn, number, _, fs = one(t)
    fs.ctl(f"targets/{iqn}/lun{number}", "attach")
    fs.ctl("persistent", "add-volume " + fs.read("targets", iqn, f"lun{number}", "block"))
    fs = again(t, fs, config="volumes_timeout = 1.5;\n")
    told = wait_for(lambda: events(fs, "volumes-timeout"), "the time is up")
    assert f"{iqn}/lun{number} has no loop device: expose=block makes one" in told[0], told
    fs.ctl("persistent", f"remove-login {iqn}")
    fs = again(t, fs, "third", config="volumes_timeout = 1.5;\n")
    told = wait_for(lambda: events(fs, "volumes-timeout"), "the time is up")
    assert f"{iqn}/lun{number} is not there, and no login to it is saved: see add-login" in told[0], told


@test
def a_signal_while_it_waits(t):
    """In the background: the parent tells why, and its status says so."""
    target, iqn, number, _, fs = one(t)
    fs.ctl("persistent", f"add-volume targets/{iqn}/lun{number}")
    fs.stop()
    target.kill()
    for how in ("term", "umount"):
        point, pid, out = t.path(f"{how}.point"), t.path(f"{how}.pid"), t.path(f"{how}.out")
        os.mkdir(point)
        with open(out, "w") as f:
            parent = subprocess.Popen([program(), "-c", fs.config, "-s", fs.state, "-p", pid, point], stdout=f, stderr=f,
                                      stdin=subprocess.DEVNULL, env=sanitizer_environ(t, how))
        t.defer(parent.wait)
        t.defer(parent.kill)
        wait_for(lambda: is_mounted(point) and os.path.exists(os.path.join(point, "persistent")), "the tree is there")
        assert parent.poll() is None
        assert read_text(os.path.join(point, "persistent", "ready")) == "no\n", "it can be used meanwhile"
        child = int(read_text(pid))
        if how == "term":
            os.kill(child, signal.SIGTERM)
        else:
            t.sh(f"umount {point}")
        assert parent.wait(LIMIT / 2) == 1
        assert "before all bound volumes were there" in read_text(out), read_text(out)
        wait_for(lambda: not os.path.exists(f"/proc/{child}") and not is_mounted(point), "the daemon has ended")


@test
def the_parent_ends_when_they_are_there(t):
    target, iqn, number, backing, fs = one(t)
    fs.ctl("persistent", f"add-volume targets/{iqn}/lun{number}")
    fs.stop()
    target.kill()
    point, pid = t.path("point"), t.path("pid")
    os.mkdir(point)
    parent = subprocess.Popen([program(), "-c", fs.config, "-s", fs.state, "-p", pid, point], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=sanitizer_environ(t, "bg"))
    t.defer(parent.wait)
    t.defer(parent.kill)
    wait_for(lambda: is_mounted(point), "the tree is there")
    time.sleep(0.5)
    assert parent.poll() is None
    restart_tgtd(t, target, [("disk1", number, backing)])
    assert parent.wait(LIMIT / 2) == 0
    assert os.path.getsize(os.path.join(point, "targets", iqn, f"lun{number}", "disk")) == SIZE
    os.kill(int(read_text(pid)), signal.SIGTERM)
    wait_for(lambda: not is_mounted(point), "the daemon has ended")


@test
def a_partition(t):
    sfdisk = need_program("sfdisk")
    _, iqn, number, _, fs = one(t, "expose=block")
    device = fs.read("targets", iqn, f"lun{number}", "block")
    part = device + "p1"
    t.sh(f"echo ',,L' | {sfdisk} -q {device}", ok=False)
    try:
        wait_for(lambda: os.path.exists(f"/sys/class/block/{os.path.basename(part)}"), "the partition", 5)
    except AssertionError:
        raise Skip("the kernel shows no partitions of loop devices here")
    if not os.path.exists(part):
        t.sh(f"mknod {part} b {read_text(f'/sys/class/block/{os.path.basename(part)}/dev').strip().replace(':', ' ')}")
        t.defer(os.unlink, part)
    fs.ctl("persistent", "bind")
    [v] = volumes(fs).values()
    assert v["path"] == part and v["luns"][0].split()[:-1] == [f"{iqn}/lun{number}", "ready", "block"], v


@test
def device_mapper_over_two_disks(t):
    """It rests on both, mounted or not."""
    need_root("device mapper")
    dmsetup = need_program("dmsetup")
    target, iqn, number, _, fs = one(t, "expose=block")
    second, _, _ = target.one_disk(size=SIZE)
    fs.ctl("discovery", "refresh")
    fs.login(second)
    device = fs.read("targets", iqn, f"lun{number}", "block")
    loop = attach(t, fs.disk(second, 1))
    name, sectors = f"iscsifs{os.getpid()}", SIZE // 512
    table = f"0 {sectors} linear {device} 0\\n{sectors} {sectors} linear {loop} 0"
    done = t.sh(f"printf '{table}\\n' | {dmsetup} create {name}", ok=False)
    if done.returncode:
        raise Skip(f"dmsetup: {done.stdout.strip()}")
    t.defer(t.sh, f"{dmsetup} remove {name}")
    mapped = f"/dev/mapper/{name}"
    fs.ctl("persistent", "bind")
    [v] = volumes(fs).values()
    assert v["path"] == mapped and v["kind"] == "device", v
    assert sorted(x.split()[0] for x in v["luns"]) == sorted([f"{iqn}/lun{number}", f"{second}/lun1"]), v
    t.sh(f"mkfs.ext4 -q -F {mapped}")
    with mounted_on(t, mapped, t.path("mnt")):
        fs.ctl("persistent", "bind")
        [v] = volumes(fs).values()
        assert v["path"] == t.path("mnt") and len(v["luns"]) == 2, v


@test
def without_sysfs_nothing_is_bound(t):
    """A daemon that sees an empty /sys, in a mount namespace of its own: its tree is seen through /proc/PID/root."""
    need_root("mount namespaces")
    point, config = t.path("point"), t.path("conf")
    os.mkdir(point)
    open(config, "w").close()
    masked = ["unshare", "-m", "--propagation", "private", "sh", "-c", 'mount -t tmpfs none /sys && exec "$@"', "sh"]
    process = t.start([*masked, program(), "-f", "-c", config, "-s", t.path("state"), point], t.path("masked.log"),
                      env=sanitizer_environ(t, "masked"))
    view = f"/proc/{process.pid}/root{point}"
    wait_for(lambda: os.path.exists(f"{view}/persistent/ctl"), "the tree")

    def bind():
        with open(f"{view}/persistent/ctl", "w") as f:
            f.write("bind\n")
    refuses(errno.ENOENT, bind)
    assert "volumes-search-failed /sys/class/block" in read_text(f"{view}/events"), read_text(f"{view}/events")
    process.terminate()
    assert process.wait(LIMIT / 2) == 0


@test
def a_damaged_list_is_set_aside(t):
    _, iqn, number, _, fs = one(t)
    fs.ctl("persistent", f"add-volume targets/{iqn}/lun{number}")
    fs.stop()
    path = os.path.join(fs.state, "volumes.conf")
    text = read_text(path)
    for n, bad in enumerate((text.replace("lun =", "moon ="), text.replace('"lun"', '"sun"'), "volumes = (", "volumes = 7;",
                text.replace("luns =", "suns ="))):
        with open(path, "w") as f:
            f.write(bad)
        fs = again(t, fs, name=f"bad{n}")
        assert fs.ls("persistent", "volumes") == [] and os.path.exists(path + ".bad")
        fs.stop()
        os.unlink(path + ".bad")


@test
def many_commands_and_an_end_in_the_middle(t):
    _, iqn, number, _, fs = one(t)
    stop = threading.Event()

    def work(n):
        while not stop.is_set():
            try:
                fs.ctl("persistent", ("bind", "clear-volumes", f"add-volume targets/{iqn}/lun{number}",
                                      "add-volume /proc", "remove-volume /nowhere")[n])
            except OSError as e:
                if e.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.ENODEV) and not fs.is_alive():
                    return
    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for x in threads:
        x.start()
    time.sleep(1)
    fs.process.send_signal(signal.SIGTERM)
    try:
        fs.wait()
    finally:
        stop.set()
        for x in threads:
            x.join()
