# SPDX-License-Identifier: BSD-2-Clause
"""From start to end: command line, foreground and background, pid file, state directory, who may look, how it ends."""
import errno
import os
import signal
import subprocess
import time

from mounted import (Mounted, as_nobody, cpu_seconds, is_mounted, nobody, program, read_text, run_program,
                     run_unprivileged, sanitizer_environ, unmount)
from realtargets import Istgt, Tgtd
from runner import LIMIT, SLOWNESS, Skip, need_program, need_root, refuses, test, wait_for


def words(t, name="iscsi"):
    """Command line words that keep a daemon within the test's directory; (words, mount point)."""
    point, config = t.path(name), t.path(f"{name}.conf")
    os.mkdir(point)
    with open(config, "w"):
        pass
    return ["-c", config, "-s", t.path(f"{name}.state")], point


def is_running(pid):
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def in_background(t, *more, name="iscsi"):
    """Start as a user does, without -f; (pid, mount point)."""
    some, point = words(t, name)
    pidfile = t.path(f"{name}.pid")
    done = run_program(t, *some, "-p", pidfile, *more, point, name=name)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stdout}"
    # The parent has ended: everything is usable now, not soon.
    assert is_mounted(point) and os.path.exists(os.path.join(point, "ctl"))
    pid = int(read_text(pidfile))

    def end():
        if is_running(pid):
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda: not is_running(pid), "the daemon ends")
    t.defer(end)
    return pid, point


@test
def foreground(t):
    fs = Mounted(t)
    for name in ("README", "ctl", "error", "status.json", "version", "discovery", "targets", "initiator"):
        assert os.path.exists(fs.path(name)), name
    assert fs.read("version")
    fs.stop()


@test
def background_with_pid_file(t):
    pid, point = in_background(t)
    assert is_running(pid) and os.getpgid(pid) != os.getpgid(0), "it stays in the caller's process group"
    assert os.path.samefile(f"/proc/{pid}/fd/0", "/dev/null")
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_running(pid), "the daemon ends")
    assert not is_mounted(point)
    assert not os.path.exists(t.path("iscsi.pid")), "the pid file stays"


@test
def background_ends_with_umount(t):
    pid, point = in_background(t)
    unmount(point)
    wait_for(lambda: not is_running(pid), "the daemon ends")
    assert not os.path.exists(t.path("iscsi.pid"))


@test
def background_keeps_nothing_of_the_caller(t):
    """A script that starts it and reads its output to the end must not wait for the daemon."""
    some, point = words(t)
    done = subprocess.run([program(), *some, "-p", t.path("iscsi.pid"), point], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                          env=sanitizer_environ(t, "iscsi"))
    assert done.returncode == 0, done.stdout
    assert is_mounted(point)
    pid = int(read_text(t.path("iscsi.pid")))
    unmount(point)
    # Its pid file goes first, and that is not the end.
    wait_for(lambda: not is_running(pid), "the daemon ends")


def refused(t, what, *command):
    """Does not start; exit status and a text that names @what."""
    for more in ((), ("-f",)):
        done = run_program(t, *more, *command)
        assert done.returncode not in (0, None) and done.returncode > 0, f"exit status {done.returncode}: {done.stdout}"
        assert what in done.stdout, f"{what!r} is not in: {done.stdout}"
        assert "Sanitizer" not in done.stdout, done.stdout
    return done.stdout


@test
def no_mount_point_given(t):
    some, _ = words(t)
    refused(t, "sage", *some)


@test
def mount_point_is_missing(t):
    some, point = words(t)
    os.rmdir(point)
    text = refused(t, point, *some, point)
    assert os.strerror(errno.ENOENT) in text, text


@test
def mount_point_is_no_directory(t):
    some, point = words(t)
    os.rmdir(point)
    with open(point, "w"):
        pass
    text = refused(t, point, *some, point)
    assert os.strerror(errno.ENOTDIR) in text or "not a directory" in text, text


@test
def unknown_option(t):
    some, point = words(t)
    refused(t, "option", *some, "--nonsense", point)
    refused(t, "-x", *some, "-x", point)
    refused(t, "nonsense", *some, "-o", "nonsense", point)
    assert not is_mounted(point)


@test
def bad_configuration_names_file_and_line(t):
    some, point = words(t)
    config = t.path("iscsi.conf")
    for line, text in enumerate(("no_such_option = 1;", "io_depth = 999999999;", "log_level = \"loud\";", "= ;"), 1):
        with open(config, "w") as f:
            f.write("# a comment\n" * line + text + "\n")
        refused(t, f"{config}:{line + 1}", *some, point)
    os.unlink(config)
    refused(t, config, *some, point)
    assert not is_mounted(point)


@test
def state_directory_in_use_names_the_daemon(t):
    fs = Mounted(t)
    other = t.path("other")
    os.mkdir(other)
    text = refused(t, str(fs.pid), "-c", fs.config, "-s", fs.state, other)
    assert fs.state in text, text
    assert not is_mounted(other) and fs.is_alive()


@test
def second_mount_on_the_same_place_is_refused(t):
    fs = Mounted(t)
    refused(t, fs.point, "-c", fs.config, "-s", t.path("another.state"), fs.point)
    assert fs.is_alive() and fs.read("version"), "the first one must not suffer"


@test
def two_daemons_side_by_side(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    one, two = Mounted(t, name="one"), Mounted(t, name="two")
    for fs in (one, two):
        fs.log_in(target.portal, iqn)
    one.stop()
    assert os.path.exists(two.disk(iqn, number))
    assert len(target.sessions()) == 1


def ends_cleanly(t, kind, end):
    target = kind(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    wait_for(lambda: target.connections() == 1, "one connection")
    end(fs)
    fs.wait()
    wait_for(lambda: target.connections() == 0, "the target has no connection")
    if kind is Tgtd:
        assert target.sessions() == []
    else:
        # istgt writes down who logs out; a connection that merely drops leaves no such line.
        wait_for(lambda: "Logout from" in read_text(target.log).partition("Login from")[2], "a logout in istgt's log")
    left = os.listdir(fs.point)
    assert left == [], left


@test(on=(Tgtd, Istgt))
def sigterm_logs_out(t, kind):
    ends_cleanly(t, kind, lambda fs: fs.process.send_signal(signal.SIGTERM))


@test(on=(Tgtd, Istgt))
def umount_logs_out(t, kind):
    ends_cleanly(t, kind, lambda fs: unmount(fs.point))


@test
def sigint_logs_out(t):
    ends_cleanly(t, Tgtd, lambda fs: fs.process.send_signal(signal.SIGINT))


@test
def shutdown_verb_logs_out(t):
    ends_cleanly(t, Tgtd, Mounted.shut_down)


@test
def nothing_is_begun_once_the_end_has(t):
    """Least of all what nobody waits for: it would never be told, and an ok stands for a thing that is kept."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t, config="shutdown_timeout = 60")
    fs.log_in(target.portal, iqn)
    os.kill(target.process.pid, signal.SIGSTOP)
    try:
        fs.shut_down()
        for where, text in (("discovery", f"add-target {iqn}-2 portal=127.0.0.1 nowait=yes"), ("", "reload nowait=yes"),
                            ("discovery", "refresh"), ("persistent", f"add-login {iqn}"), ("", "shutdown")):
            refusal = refuses(errno.EBUSY, fs.ctl, where, text)
            assert "the daemon is shutting down" in refusal.reply, refusal.reply
    finally:
        os.kill(target.process.pid, signal.SIGCONT)
    fs.wait()


@test
def starts_again_after_kill(t):
    """A daemon that was killed leaves a dead mount and a state directory: the next start works once it is unmounted."""
    fs = Mounted(t)
    fs.process.kill()
    fs.process.wait(LIMIT)
    t.sh(f"umount -l {fs.point} 2>/dev/null || fusermount3 -u -z {fs.point}")
    again = Mounted(t, name="again", point=fs.point, state=fs.state)
    assert again.read("version")
    again.stop()


def fuse_connection(t, point):
    """/sys/fs/fuse/connections/N of a mount."""
    control = t.path("fusectl")
    os.mkdir(control)
    if t.sh(f"mount -t fusectl none {control}", ok=False).returncode:
        raise Skip("no fusectl")
    t.defer(lambda: t.sh(f"umount {control}"))
    with open("/proc/self/mountinfo") as f:
        minor = next(x.split()[2].split(":")[1] for x in reversed(f.readlines()) if x.split()[4] == point)
    return os.path.join(control, minor)


@test
def abort_leaves_no_mount(t):
    need_root("to abort a connection")
    fs = Mounted(t)
    with open(os.path.join(fuse_connection(t, fs.point), "abort"), "w") as f:
        f.write("1")
    fs.wait()  # which looks for the mount, too


@test
def forced_umount_leaves_no_mount(t):
    need_root("umount -f")
    fs = Mounted(t)
    fd = os.open(fs.path("version"), os.O_RDONLY)  # busy: the kernel cuts us off and then refuses
    subprocess.run(["umount", "-f", fs.point], check=False, timeout=LIMIT)
    fs.wait()
    os.close(fd)


@test
def end_spares_the_mount_of_another_daemon(t):
    """The old daemon's mount is detached but in use, so it lives on; a new daemon is mounted at the same place."""
    need_root("umount -l")
    old = Mounted(t, name="old")
    fd = os.open(old.path("version"), os.O_RDONLY)
    t.sh(f"umount -l {old.point}")
    new = Mounted(t, name="new", point=old.point)
    assert old.is_alive()
    old.process.send_signal(signal.SIGTERM)
    assert old.process.wait(LIMIT / 2) == 0
    os.close(fd)
    assert is_mounted(new.point) and new.read("version") and new.is_alive()
    new.stop()


@test
def slow_end_spares_the_mount_of_another_daemon(t):
    """The old daemon still logs out when the new one is mounted, perhaps with the same number."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    old = Mounted(t, name="old")
    old.log_in(target.portal, iqn, f"logout_timeout={2 * LIMIT:.0f}")
    target.process.send_signal(signal.SIGSTOP)
    try:
        unmount(old.point)
        new = Mounted(t, name="new", point=old.point)
        assert old.is_alive(), "it did not wait for the target"
        old.process.send_signal(signal.SIGTERM)  # and does not go on waiting
        assert old.process.wait(LIMIT / 2) == 0
    finally:
        target.process.send_signal(signal.SIGCONT)
    assert is_mounted(new.point) and new.read("version")
    new.stop()


@test
def allow_other(t):
    need_root("to become another user")
    need_program("runuser")
    nobody()
    mine = Mounted(t, name="mine")
    assert as_nobody(t, f"cat {mine.point}/version").returncode, "without allow_other others must not get in"
    all_ = Mounted(t, "-o", "allow_other", name="all")
    done = as_nobody(t, f"cat {all_.point}/version")
    assert done.returncode == 0, done.stdout
    # Looking is not doing: control files stay their owner's.
    done = as_nobody(t, f"bash -c 'echo refresh > {all_.point}/discovery/ctl'")
    assert done.returncode and os.strerror(errno.EACCES) in done.stdout, done.stdout


@test
def mount_options_set_owner_and_mode(t):
    fs = Mounted(t, "-o", "uid=65534,gid=65534,umask=077")
    s = os.stat(fs.path("ctl"))
    assert (s.st_uid, s.st_gid) == (65534, 65534), s
    assert s.st_mode & 0o077 == 0, oct(s.st_mode)


@test
def mounted_read_only(t):
    fs = Mounted(t, "-o", "ro")
    refuses(errno.EROFS, fs.discover, "127.0.0.1")
    assert fs.read("version")


MOVE_DATA = r"""
echo login > "$target/ctl"
dd if=/dev/urandom of=data bs=64k count=16 status=none
dd if=data of="$lun/disk" bs=64k conv=notrunc oflag=direct status=none
cmp -n 1048576 data "$lun/disk"
"""


@test(limit=240)
def unprivileged_mount_through_fusermount(t):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    _, place = run_unprivileged(t, target.portal, iqn, number, MOVE_DATA)
    with open(os.path.join(place, "data"), "rb") as f, open(backing, "rb") as g:
        assert f.read() == g.read(1 << 20)
    assert target.sessions() == []


@test
def idle_daemon_rests(t):
    """Logged in and with nothing to do: next to no processor time, and few wake-ups. What the login began may go on for
    a while on a busy machine."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)

    def wakeups():
        return sum(int(line.split()[1]) for line in read_text(f"/proc/{fs.pid}/status").splitlines()
                   if "ctxt_switches" in line)
    time.sleep(0.5)
    seen = []
    for _ in range(10):
        seconds, turns = cpu_seconds(fs.pid), wakeups()
        time.sleep(5)
        seconds, turns = cpu_seconds(fs.pid) - seconds, wakeups() - turns
        if seconds <= 0.1 and turns <= 100:
            return
        seen.append(f"{seconds:.2f} s of processor time and {turns} wake-ups in 5 s")
    raise AssertionError("\n".join(seen))


@test
def descriptors_do_not_leak_into_the_tree(t):
    """Many opens and closes of every sort of file leave no descriptor behind in the daemon."""
    fs = Mounted(t)
    before = len(os.listdir(f"/proc/{fs.pid}/fd"))
    for _ in range(100):
        for top, _, names in os.walk(fs.point):
            for name in names:
                try:
                    with open(os.path.join(top, name), "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as f:
                        f.read()
                except OSError:
                    pass
    assert len(os.listdir(f"/proc/{fs.pid}/fd")) <= before + 1


@test
def from_fstab(t):
    """As mount(8) does for a line of type fuse.iscsifs."""
    need_root("mount(8)")
    helper = need_program("mount.fuse3")
    point, bin_ = t.path("point"), t.path("bin")
    os.mkdir(point)
    os.mkdir(bin_)
    os.symlink(program(), os.path.join(bin_, "iscsifs"))  # mount.fuse3 looks for it on PATH
    open(t.path("c.conf"), "w").close()
    environ = sanitizer_environ(t, "fstab")
    environ["PATH"] = bin_ + ":" + environ["PATH"]
    options = (f"allow_other,noexec,_netdev,x-systemd.automount,config={t.path('c.conf')},state_dir={t.path('state')},"
               f"pidfile={t.path('pid')}")
    t.sh(f"timeout {60 * SLOWNESS:.0f} {helper} iscsifs {point} -t fuse.iscsifs -o {options}", env=environ)
    assert is_mounted(point) and os.path.exists(os.path.join(point, "ctl"))
    pid = int(read_text(t.path("pid")))
    with open("/proc/self/mountinfo") as f:
        line = next(x for x in f if x.split()[4] == point)
    assert " fuse.iscsifs " in line and "allow_other" in line and "noexec" in line, line
    unmount(point)
    wait_for(lambda: not is_running(pid), "the daemon ends")
