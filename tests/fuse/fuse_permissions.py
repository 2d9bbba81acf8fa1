# SPDX-License-Identifier: BSD-2-Clause
"""Who may do what: other users, operators, the disk group; what stays with whoever runs the daemon."""
import errno
import fcntl
import json
import os
import stat
import subprocess
import threading

from mounted import Mounted, nobody, read_all, read_text, run_program, run_unprivileged, unmount
from realtargets import SECRET, SECRET_IN, USER, USER_IN, Tgtd
from runner import LIMIT, need_root, need_program, test, wait_for

OTHER, GROUP, DISKS = 54321, 54322, 54323  # ids that nobody has


def run_as(uid, groups, function, *args):
    """In a child that is another user, in @groups besides a group of his own; what @function returned, by JSON."""
    out, to = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(out)
        try:
            os.setgroups(groups)
            os.setgid(uid)
            os.setuid(uid)
            told = json.dumps(function(*args))
        except BaseException as e:
            told = json.dumps({"raised": repr(e)})
        with os.fdopen(to, "w") as f:
            f.write(told)
        os._exit(0)
    os.close(to)
    with os.fdopen(out) as f:
        told = json.loads(f.read())
    os.waitpid(pid, 0)
    assert not isinstance(told, dict) or "raised" not in told, told
    return told


def error_of(function, *args):
    """errno, or 0."""
    try:
        function(*args)
    except OSError as e:
        return e.errno
    return 0


def write_line(path, line):
    """[errno or 0, reply]"""
    result, reply = 0, ""
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError as e:
        return [e.errno, ""]
    try:
        os.write(fd, line.encode() + b"\n")
    except OSError as e:
        result = e.errno
    reply = read_all(fd)
    os.close(fd)
    return [result, reply]


def write_as(uid, groups, path, line):
    """(errno or 0, reply)"""
    return tuple(run_as(uid, groups, write_line, path, line))


def look(paths):
    """{path: [text or errno, may write]}"""
    found = {}
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                told = os.read(fd, 65536).decode(errors="replace")
            except OSError as e:
                told = e.errno
            os.close(fd)
        except OSError as e:
            told = e.errno
        may_write = error_of(lambda: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))) == 0
        found[path] = [told, may_write]
    return found


def all_files(fs):
    """Of the whole tree, below no link."""
    return [os.path.join(top, name) for top, _, names in os.walk(fs.point) for name in names]


def look_as(fs, uid, groups=()):
    """{path in the tree: (text or errno, may write)}"""
    found = run_as(uid, groups, look, all_files(fs))
    return {os.path.relpath(path, fs.point): tuple(x) for path, x in found.items()}


def mounted(t, *words, config="", **more):
    """A daemon of root's that lets others in, logged in to a disk with secrets; (daemon, target name, directory)."""
    need_root("to become another user")
    target = Tgtd(t)
    iqn, number, _ = target.chap_disk(mutual=True)
    fs = Mounted(t, "-o", ",".join(("allow_other", *words)), config=config, **more)
    secret = t.path("secret")
    with open(secret, "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(SECRET + "\n")
    fs.log_in(target.portal, iqn,
              f"auth=mutual user={USER} secret_file={secret} user_in={USER_IN} secret_in={SECRET_IN}")
    return fs, iqn, fs.target(iqn, f"lun{number}")


def mode(fs, *parts):
    s = os.stat(fs.path(*parts))
    return s.st_uid, s.st_gid, stat.S_IMODE(s.st_mode)


def closed(path):
    """Files that nobody but the owner may look at."""
    return os.path.basename(path) in ("scsi", "chap_secret")


@test
def others_look_at_all_but_disks_and_secrets(t):
    fs, iqn, lun = mounted(t)
    found = look_as(fs, OTHER)
    assert len(found) > 50 and f"{lun}/disk" in found and f"{lun}/scsi" in found, sorted(found)
    for path, (told, may_write) in found.items():
        assert not may_write, f"{path} can be written"
        if closed(path) or path.endswith("/disk"):
            assert told == errno.EACCES, f"{path}: {told!r}"
        elif told == errno.EAGAIN:
            pass  # it waits for something to happen
        elif isinstance(told, str):
            for secret in (SECRET, SECRET_IN):
                assert secret not in told, f"{path} holds a secret"
        else:
            assert os.stat(fs.path(path)).st_mode & 0o444 == 0, f"{path}: {os.strerror(told)}"
    assert found["version"][0].strip() == fs.read("version")
    assert mode(fs, lun, "disk") == (0, 0, 0o640)
    # Not by other ways, either.
    ways = (lambda p: os.truncate(p, 0), lambda p: os.open(p, os.O_RDONLY | os.O_TRUNC), os.unlink,
            lambda p: os.chmod(p, 0o777), lambda p: os.chown(p, OTHER, -1),
            lambda p: os.rename(p, p + "2"), lambda p: os.link(p, p + "2"), lambda p: os.utime(p, (0, 0)),
            lambda p: os.setxattr(p, "user.x", b""))
    for path in (fs.path(lun, "disk"), fs.path("ctl"), fs.path(lun, "scsi")):
        for number, way in enumerate(ways):
            got = run_as(OTHER, [], error_of, way, path)
            assert got in (errno.EACCES, errno.EPERM, errno.EOPNOTSUPP), f"way {number}, {path}: {got}"


def misuse(path):
    """What a descriptor for reading only lets one do besides: [(name, errno or 0)]."""
    fd = os.open(path, os.O_RDONLY)
    ways = {"write": lambda: os.write(fd, b"refresh\n"), "truncate": lambda: os.ftruncate(fd, 0),
            "allocate": lambda: os.posix_fallocate(fd, 0, 4096), "mode": lambda: os.fchmod(fd, 0o666),
            "open again": lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR),
            "flags": lambda: fcntl.ioctl(fd, 0x40086602, b"\0" * 8),  # FS_IOC_SETFLAGS
            "size of a device": lambda: fcntl.ioctl(fd, 0x80081272, b"\0" * 8)}  # BLKGETSIZE64
    return [(name, error_of(way)) for name, way in ways.items()]


@test
def reading_is_no_way_to_write(t):
    fs, iqn, lun = mounted(t, config=f"disk_group = {DISKS};\n")
    for path in ("ctl", f"targets/{iqn}/ctl", "initiator/name", f"{lun}/policy"):
        for name, error in run_as(OTHER, [], misuse, fs.path(path)):
            assert error, f"{path}: {name} works"
    with open(fs.path("initiator", "name")) as f:
        assert f.read().startswith("iqn.")


@test
def write_protected_disks_are_closed_too(t):
    need_root("to become another user")
    target = Tgtd(t)
    iqn, number, _ = target.one_disk(readonly=1)
    fs = Mounted(t, "-o", "allow_other")
    fs.log_in(target.portal, iqn)
    assert mode(fs, "targets", iqn, f"lun{number}", "disk") == (0, 0, 0o440)


@test
def disks_are_as_documented_without_others(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    assert mode(fs, "targets", iqn, f"lun{number}", "disk") == (os.geteuid(), os.getegid(), 0o644)


@test
def a_umask_decides_for_disks_too(t):
    fs, _, lun = mounted(t, "umask=000")
    assert mode(fs, lun, "disk")[2] == 0o644
    assert mode(fs, lun, "scsi")[2] == 0o600


@test
def disk_group_uses_disks_and_nothing_else(t):
    fs, _, lun = mounted(t, config=f"disk_group = {DISKS};\n")
    assert mode(fs, lun, "disk") == (0, DISKS, 0o660)
    found = look_as(fs, OTHER, [DISKS])
    writable = {path for path, (_, may_write) in found.items() if may_write}
    assert writable == {f"{lun}/disk"}, writable
    assert isinstance(found[f"{lun}/disk"][0], str)
    assert look_as(fs, OTHER)[f"{lun}/disk"] == (errno.EACCES, False)


@test
def operators_log_in_and_out(t):
    fs, iqn, lun = mounted(t, config=f"operators = {GROUP};\n")
    assert mode(fs, "ctl") == (0, GROUP, 0o664) and mode(fs, "initiator", "alias") == (0, GROUP, 0o664)
    ctl = fs.path("targets", iqn, "ctl")
    assert write_as(OTHER, [], ctl, "logout")[0] == errno.EACCES and fs.sids(iqn)
    done, reply = write_as(OTHER, [GROUP], ctl, "logout")
    assert done == 0 and reply.startswith("ok") and not fs.sids(iqn), reply
    done, reply = write_as(OTHER, [GROUP], ctl, f"login auth=mutual user={USER} secret={SECRET} user_in={USER_IN} "
                           f"secret_in={SECRET_IN}")
    assert done == 0 and reply.startswith("ok"), reply
    assert write_as(OTHER, [GROUP], fs.path("initiator", "alias"), "theirs")[0] == 0
    assert fs.read("initiator", "alias") == "theirs"
    found = look_as(fs, OTHER, [GROUP])
    for path, (told, may_write) in found.items():
        if closed(path) or path.endswith("/disk"):
            assert (told, may_write) == (errno.EACCES, False), f"{path}: {told!r}, {may_write}"
        elif os.path.basename(path) == "ctl":
            assert may_write, path


@test
def operators_cannot_have_files_read(t):
    """The daemon may read what they may not: it must not do so for them."""
    fs, iqn, _ = mounted(t, config=f"operators = {GROUP};\n")
    fs.logout(iqn)
    hidden = t.path("hidden")
    with open(hidden, "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write("a text that only root may read\n")
    ctl = fs.path("targets", iqn, "ctl")
    for line in (f"login secret_file={hidden}", f"login secret_in_file={hidden} secret={SECRET}",
                 f"login secret_file={hidden} nowait=yes", f"login secret_file={hidden}.not_there"):
        done, reply = write_as(OTHER, [GROUP], ctl, line)
        assert done == errno.EACCES and "only for root" in reply, reply
        assert "a text that" not in reply and "No such" not in reply, reply
    for where, line in (("discovery", f"add-portal 127.0.0.1 secret_file={hidden}"),
                        ("discovery", f"add-target iqn.2026-11.test:x portal=127.0.0.1 secret_file={hidden}"),
                        ("", f"login {iqn} secret_file={hidden}"), ("", "shutdown"), ("", "reload"),
                        ("persistent", f"add-volume {hidden}")):
        done, reply = write_as(OTHER, [GROUP], fs.path(where, "ctl"), line)
        assert done == errno.EACCES and "only for root" in reply, f"{line}: {reply}"
    assert fs.is_alive()
    # Root may, and what the file holds is not told.
    try:
        fs.ctl(fs.target(iqn), f"login user={USER} secret_file={hidden}")
    except OSError as e:
        assert "a text that" not in e.reply, e.reply
    assert "a text that" not in fs.read("targets", iqn, "error")


@test
def a_descriptor_gives_nobody_more_rights(t):
    """What operators have opened and a program of root's writes to, and the other way round."""
    fs, iqn, _ = mounted(t, config=f"operators = {GROUP};\n")
    fs.logout(iqn)
    line = f"login user={USER} secret_file={t.path('secret')}"
    ctl = fs.path("targets", iqn, "ctl")
    fd = os.open(ctl, os.O_RDWR)  # of root
    try:
        assert run_as(OTHER, [], error_of, os.write, fd, line.encode() + b"\n") == errno.EACCES
    finally:
        os.close(fd)
    groups = os.getgroups()
    os.setgroups([GROUP])
    os.seteuid(OTHER)
    try:
        fd = os.open(ctl, os.O_RDWR)
    finally:
        os.seteuid(0)
        os.setgroups(groups)
    try:
        os.write(fd, line.encode() + b"\n")
        raise AssertionError("root wrote for an operator")
    except OSError as e:
        assert e.errno == errno.EACCES and "only for root" in read_all(fd), e
    finally:
        os.close(fd)
    assert not fs.sids(iqn)


@test
def groups_without_allow_other_are_told_of(t):
    fs = Mounted(t, config=f"operators = {GROUP};\n")
    assert "no effect" in read_text(fs.log)


@test
def owner_and_mode_come_from_the_file(t):
    fs = Mounted(t, config='uid = 65534; gid = "65533"; umask = "027"; allow_other = true;\n')
    assert mode(fs, "ctl") == (65534, 65533, 0o640)
    assert mode(fs, "targets") == (65534, 65533, 0o550)


@test
def options_go_before_the_file(t):
    user = nobody()
    fs = Mounted(t, "-o", "uid=nobody,gid=0,umask=077", config='uid = 1; gid = 1; umask = "027";\n')
    assert mode(fs, "ctl") == (user.pw_uid, 0, 0o600)


@test
def file_names_state_and_pid(t):
    """Neither -s nor -p."""
    point, config = t.path("point"), t.path("c.conf")
    os.mkdir(point)
    with open(config, "w") as f:
        f.write(f'state_dir = "{t.path("state")}"; pid_file = "{t.path("pid")}";\n')
    done = run_program(t, "-c", config, point)
    assert done.returncode == 0, done.stdout
    try:
        assert os.path.exists(t.path("state") + "/lock")
        with open(t.path("pid")) as f:
            pid = int(f.read())
    finally:
        unmount(point)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon ends")


DEMO = r"""
test "$(stat -c %a "$lun" 2>/dev/null)" = "" # not logged in yet
echo login > "$target/ctl"
test "$(stat -c %a:%u "$lun/disk")" = "644:$(id -u)"
test "$(stat -c %a:%u "$lun/scsi")" = "600:$(id -u)"
printf 'a secret of its own' > own; chmod 600 own
echo logout > "$target/ctl"
echo "login secret_file=$PWD/own" > "$target/ctl" && exit 1 || grep -q ISDSC "$target/error"
echo login > "$target/ctl"
dd if=/dev/zero of="$lun/disk" bs=64k count=1 conv=notrunc status=none
touch ready
for _ in $(seq 600); do test -e go && break; sleep 0.1; done
test -e go
echo logout > "$target/ctl"
"""


@test(limit=240)
def not_even_root_enters_a_users_tree(t):
    """The daemon of a plain user, without allow_other: the demo works for him, and root is kept out."""
    need_root("to become another user")
    need_program("nsenter")
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    place, failed = t.path("private"), []

    def look_as_root():
        wait_for(lambda: os.path.exists(os.path.join(place, "ready")) or finished.is_set(), "the user is there")
        if not finished.is_set():
            with open(os.path.join(place, "pid")) as f:
                pid = f.read().strip()
            for path in ("version", f"targets/{iqn}/lun{number}/disk"):
                done = subprocess.run(["nsenter", "-t", pid, "-m", "cat", f"{place}/point/{path}"], capture_output=True,
                                      text=True, timeout=LIMIT)
                if done.returncode == 0 or os.strerror(errno.EACCES) not in done.stderr:
                    failed.append(f"root reads {path}: {done}")
        with open(os.path.join(place, "go"), "w"):
            pass

    finished = threading.Event()
    looker = threading.Thread(target=look_as_root)
    looker.start()
    try:
        run_unprivileged(t, target.portal, iqn, number, DEMO)
    finally:
        finished.set()
        looker.join()
    assert not failed, failed
