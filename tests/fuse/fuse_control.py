# SPDX-License-Identifier: BSD-2-Clause
"""Control files: grammar, replies, errors told three times, scripts, time limits and Ctrl-C."""
import errno
import mmap
import os
import signal
import socket
import time

from mounted import Mounted, caller, is_waiting, result
from realtargets import Tgtd, free_port
from runner import LIMIT, refuses, test, wait_for

HERE = "iqn.2026-11.test:somewhere"


def silent_listener(t):
    """A socket that takes connections and never says a word."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(64)
    t.defer(s.close)
    return s


def with_silent_target(t, listener=None):
    """A tree with a target that will never answer a login."""
    fs = Mounted(t)
    port = (listener or silent_listener(t)).getsockname()[1]
    fs.ctl("discovery", f"add-target {HERE} portal=127.0.0.1:{port}")
    return fs


# A login that nothing but what the test does will end.
FOR_EVER = f"timeout={30 * LIMIT:.0f} login_timeout={30 * LIMIT:.0f}"


def hanging_login(t, fs):
    """A program whose login hangs: waiting.result() tells how it ends."""
    p = caller(t, "write", fs.path("targets", HERE, "ctl"), f"login {FOR_EVER}")
    wait_for(lambda: state(fs) == "logging-in", "the login is under way")
    return p


def state(fs):
    return fs.read("targets", HERE, "state")


@test
def reading_a_ctl_prints_its_verbs(t):
    fs = Mounted(t)
    assert all(x in fs.read("ctl") for x in ("refresh", "login", "shutdown"))
    text = fs.read("discovery", "ctl")
    assert all(x in text for x in ("add-portal", "remove-portal", "refresh", "add-target", "remove-target")), text
    fs.ctl("discovery", f"add-target {HERE} portal=127.0.0.1")
    text = fs.read("targets", HERE, "ctl")
    assert all(x in text for x in ("login", "logout", "portal", "header_digest", "secret")), text


@test
def every_directory_has_a_readme(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    for top, _, names in os.walk(fs.point):
        assert "README" in names, top
        assert open(os.path.join(top, "README")).read().strip(), top


@test
def shell_sees_the_errno(t):
    fs = Mounted(t)
    done = t.sh(f"echo nonsense > {fs.point}/ctl", ok=False)
    assert done.returncode and os.strerror(errno.EINVAL) in done.stdout, done.stdout
    assert "nonsense" in fs.read("error")


@test
def reply_to_a_command_that_takes_away_its_own_file(t):
    """As the shell does it: what reads looks at the file first."""
    fs = Mounted(t)
    fs.ctl("discovery", "add-target iqn.2026-11.test:x portal=127.0.0.1")
    place = fs.path("discovery", "static", "iqn.2026-11.test:x", "ctl")
    said = t.sh(f"exec 3<>{place}; echo remove >&3; cat <&3; echo remove >&3", ok=False).stdout
    assert said.startswith("ok\n") and "No such device" in said[3:], said


@test
def reply_on_the_same_descriptor(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    done = t.sh(f"exec 3<>{fs.point}/discovery/ctl; echo 'add-portal {target.portal}' >&3 && cat <&3")
    assert done.stdout.startswith("ok"), done.stdout
    assert len(done.stdout.splitlines()) == 1, done.stdout
    done = t.sh(f"exec 3<>{fs.point}/targets/{iqn}/ctl; echo 'login header_digest=maybe' >&3; cat <&3", ok=False)
    line = done.stdout.splitlines()[-1]
    assert line.startswith("error code=ISDSC_") and "errno=EINVAL" in line, line
    assert "number=0x" in line and "where=" in line and 'text="' in line, line
    # Command after command on one descriptor; each reply is that of the last one.
    done = t.sh(f"exec 3<>{fs.point}/targets/{iqn}/ctl; echo login >&3 && cat <&3; echo logout >&3 && cat <&3")
    assert [x.split()[0] for x in done.stdout.splitlines()] == ["ok", "ok"], done.stdout


@test
def wrong_grammar_is_refused(t):
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {HERE} portal=127.0.0.1:1")
    for where, text in (
            ("", "nonsense"), ("", "login"), ("", "shutdown now"),
            ("discovery", "add-portal"), ("discovery", "add-portal a b"), ("discovery", "add-portal 127.0.0.1 colour=red"),
            ("discovery", "add-portal 127.0.0.1:99999"), ("discovery", "add-portal [::1"),
            (f"targets/{HERE}", "login portal"), (f"targets/{HERE}", "login colour=red"),
            (f"targets/{HERE}", "login header_digest=perhaps"), (f"targets/{HERE}", "login timeout=soon"),
            (f"targets/{HERE}", "login initial_r2t=yes initial_r2t=no"), (f"targets/{HERE}", "login first_burst_length=1"),
            (f"targets/{HERE}", 'login user="open'), (f"targets/{HERE}", "LOGOUT everything")):
        e = refuses(errno.EINVAL, fs.ctl, where, text)
        assert e.reply.startswith("error ") and "errno=EINVAL" in e.reply, (text, e.reply)
    assert fs.ls("targets") == [HERE]


@test
def message_names_what_is_allowed(t):
    fs = Mounted(t)
    assert "add-portal" in refuses(errno.EINVAL, fs.ctl, "discovery", "add-portl 127.0.0.1").reply
    fs.ctl("discovery", f"add-target {HERE} portal=127.0.0.1:1")
    assert "header_digest" in refuses(errno.EINVAL, fs.ctl, f"targets/{HERE}", "login header_digst=yes").reply


@test
def script_of_several_lines(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    with open(t.path("script"), "w") as f:
        f.write(f"# find it\n\n   \nadd-portal {target.portal}\nadd-target {HERE} portal=127.0.0.1:1  # never there\n")
    t.sh(f"cat {t.path('script')} > {fs.point}/discovery/ctl")
    assert fs.ls("targets") == sorted([iqn, HERE])
    # The write returns when all is done: no waiting in between.
    t.sh(f"cd {fs.point}/targets/{iqn} && echo login > ctl && dd if=lun{number}/disk of=/dev/null bs=64k status=none && "
         "echo logout > ctl")


@test
def script_stops_at_the_first_error(t):
    fs = Mounted(t)
    names = [f"iqn.2026-11.test:line{n}" for n in range(4)]
    text = (f"add-target {names[0]} portal=127.0.0.1\nadd-target {names[1]} portal=127.0.0.1\n"
            f"nonsense\nadd-target {names[3]} portal=127.0.0.1")
    e = refuses(errno.EINVAL, fs.ctl, "discovery", text)
    assert fs.ls("targets") == names[:2]
    assert "nonsense" in e.reply


@test
def long_script(t):
    """More than a page, in one write."""
    fs = Mounted(t)
    names = sorted(f"iqn.2026-11.test:number-{n:04d}" for n in range(400))
    with open(t.path("script"), "w") as f:
        for name in names:
            f.write(f"add-target {name} portal=127.0.0.1:3260\n")
    t.sh(f"cat {t.path('script')} > {fs.point}/discovery/ctl")
    assert fs.ls("targets") == names


def script_of(t, count, width=100):
    """A script that enters @count targets, each on a line of about @width bytes; (path, their names)."""
    names = [f"iqn.2026-11.test:number-{n:06d}-".ljust(width - 50, "x") for n in range(count)]
    with open(t.path("script"), "w") as f:
        for name in names:
            f.write(f"add-target {name} portal=127.0.0.1:3260 persist=no\n")
    return t.path("script"), names


@test
def script_in_pieces(t):
    """Whoever writes buffer by buffer cuts lines; nothing is lost, and no stump is run."""
    for tool in ("cat {0} > {1}", "awk '{{ print }}' {0} > {1}", "dd if={0} of={1} bs=4096 status=none",
                 "dd if={0} bs=128k of={1} status=none", "split -b 4096 --filter='cat >&3' {0} 3> {1}"):
        fs = Mounted(t, name="-".join(tool.split()[:3]).translate({ord(x): "_" for x in "{}'>/"}))
        script, names = script_of(t, 3000)
        t.sh(tool.format(script, fs.path("discovery", "ctl")))
        assert fs.ls("targets") == names, tool
        assert fs.read("discovery", "error") == "", tool
        fs.stop()


@test
def script_split_by_the_kernel(t):
    """More than the 1 MiB of a FUSE request in one write(), from memory that begins anywhere in a page."""
    script, names = script_of(t, 9000, 250)
    text = read_bytes(script)
    assert len(text) > 2 << 20
    for shift in (0, 1, 4095):
        fs = Mounted(t, name=f"shift{shift}")
        memory = mmap.mmap(-1, len(text) + 4096)
        memory[shift:shift + len(text)] = text
        fd = os.open(fs.path("discovery", "ctl"), os.O_WRONLY)
        with memoryview(memory) as view, view[shift:shift + len(text)] as part:
            assert os.write(fd, part) == len(text)
        os.close(fd)
        memory.close()
        assert fs.ls("targets") == names
        fs.stop()


def read_bytes(path):
    with open(path, "rb") as f:
        return f.read()


@test
def script_in_pieces_stops_at_the_first_error(t):
    fs = Mounted(t)
    script, names = script_of(t, 300)
    lines = read_bytes(script).splitlines(True)
    text = b"".join(lines[:50]) + b"nonsense\n" + b"".join(lines[50:])
    fd = os.open(fs.path("discovery", "ctl"), os.O_RDWR)
    refused = []
    for begin in range(0, len(text), 4096):
        try:
            os.write(fd, text[begin:begin + 4096])
        except OSError as e:
            refused.append(e.errno)
    # A writer that does not look at errors, too: nothing behind the error is run.
    assert refused and set(refused) == {errno.EINVAL}, refused
    assert fs.ls("targets") == names[:50]
    assert "nonsense" in os.read(fd, 65536).decode()
    # The script is over; the descriptor is good for the next one.
    os.write(fd, lines[60])
    os.close(fd)
    assert fs.ls("targets") == names[:50] + names[60:61]
    assert fs.read("discovery", "error").count("command:") == 1


@test
def last_line_that_is_cut_off_is_not_run(t):
    fs = Mounted(t)
    secret = "never-tell-this-one"
    line = f"add-target {HERE}-2 portal=127.0.0.1 secret={secret}-and-mo"
    first = f"add-target {HERE} portal=127.0.0.1"
    text = first + " " * (4096 - len(first) - len(line) - 1) + "\n" + line
    assert len(text) == 4096
    fd = os.open(fs.path("discovery", "ctl"), os.O_WRONLY)
    assert os.write(fd, text.encode()) == 4096
    os.close(fd)
    wait_for(lambda: "cut off" in fs.read("discovery", "error"), "the cut line is in error")
    assert fs.ls("targets") == [HERE]
    told = fs.read("discovery", "error")
    assert "add-target ..." in told and secret not in told, told
    assert "cut off" in open(fs.log).read() and secret not in open(fs.log).read()


@test
def last_line_needs_no_newline(t):
    fs = Mounted(t)
    t.sh(f"printf %s 'add-target {HERE} portal=127.0.0.1' > {fs.point}/discovery/ctl")
    assert fs.ls("targets") == [HERE]


@test
def line_that_is_too_long_is_refused(t):
    fs = Mounted(t)
    fd = os.open(fs.path("discovery", "ctl"), os.O_WRONLY)
    os.write(fd, b"#" * 4096)
    os.write(fd, b"#" * 4096)
    refuses(errno.EINVAL, os.write, fd, b"#" * 4096)
    os.close(fd)


@test
def quoted_and_escaped_values(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    target.add_account("two words", "secret with blanks")
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.login(iqn, r'auth=chap user="two words" secret="secret\x20with blanks"')


@test
def failures_are_listed_newest_first(t):
    fs = Mounted(t)
    for word in ("nonsense", "rubbish", "drivel"):
        refuses(errno.EINVAL, fs.ctl, "", word)
    text = fs.read("error")
    assert 0 <= text.find("drivel") < text.find("rubbish") < text.find("nonsense"), text
    for _ in range(100):
        refuses(errno.EINVAL, fs.ctl, "", "twaddle")
    assert "twaddle" in fs.read("error") and "drivel" not in fs.read("error"), "the list has a limit"


@test
def secrets_are_blanked(t):
    fs = with_silent_target(t)
    secret = "never-tell-this-one"
    refuses(errno.ETIMEDOUT, fs.ctl, f"targets/{HERE}", f"login auth=chap user=tom secret={secret} timeout=0.3")
    refuses(errno.EINVAL, fs.ctl, f"targets/{HERE}", f"login secret={secret} nonsense=1")
    refuses(errno.EINVAL, fs.ctl, f"targets/{HERE}", f"lgin secret={secret}")
    everything = "".join(open(os.path.join(top, name), errors="replace").read()
                         for top, _, names in os.walk(fs.point) for name in names
                         if not name.startswith("events_pipe"))  # reading those waits
    assert secret not in everything and secret not in open(fs.log).read()


@test
def ctrl_c_cancels_a_login_that_hangs(t):
    fs = with_silent_target(t)
    p = hanging_login(t, fs)
    time.sleep(0.5)
    # Meanwhile the rest answers.
    fs.ls("targets")
    fs.json("targets", HERE)
    fs.read("version")
    assert p.poll() is None and is_waiting(p.pid), "it ended by itself"
    started = time.monotonic()
    p.send_signal(signal.SIGINT)
    assert result(p) == "EINTR"
    assert time.monotonic() - started < LIMIT
    assert fs.sids(HERE) == []
    # And it can be tried again.
    refuses(errno.ETIMEDOUT, fs.ctl, f"targets/{HERE}", "login timeout=0.3")


@test
def killing_the_writer_ends_its_command(t):
    fs = with_silent_target(t)
    p = hanging_login(t, fs)
    p.kill()
    p.wait()
    wait_for(lambda: state(fs) == "discovered", "the login is given up")


@test
def timeout_is_kept(t):
    fs = with_silent_target(t)
    started = time.monotonic()
    e = refuses(errno.ETIMEDOUT, fs.ctl, f"targets/{HERE}", f"login timeout=1 login_timeout={30 * LIMIT:.0f}")
    took = time.monotonic() - started
    assert 0.9 < took < LIMIT, f"{took:.1f} s"
    assert "errno=ETIMEDOUT" in e.reply, e.reply


@test
def login_timeout_is_kept(t):
    fs = with_silent_target(t)
    started = time.monotonic()
    refuses(errno.ETIMEDOUT, fs.ctl, f"targets/{HERE}", f"login login_timeout=1 timeout={30 * LIMIT:.0f}")
    assert 0.9 < time.monotonic() - started < LIMIT


@test
def nowait_returns_at_once(t):
    listener = silent_listener(t)
    fs = with_silent_target(t, listener)
    fs.ctl(f"targets/{HERE}", f"login nowait=yes {FOR_EVER}")
    assert state(fs) == "logging-in" and fs.read("targets", HERE, "error") == "", "it has waited for the login"
    listener.accept()[0].close()
    listener.close()
    wait_for(lambda: "login" in fs.read("targets", HERE, "error"), "the failure is told in error")


@test
def nowait_login_succeeds_later(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.ctl(f"targets/{iqn}", "login nowait=yes")
    wait_for(lambda: os.path.exists(fs.disk(iqn, number)), "the LUN appears")


@test
def two_logins_at_once_are_one(t):
    fs = with_silent_target(t)
    p = hanging_login(t, fs)
    try:
        fs.ctl(f"targets/{HERE}", "login timeout=1")
    except OSError as e:
        assert e.errno in (errno.EBUSY, errno.EEXIST, errno.EALREADY, errno.ETIMEDOUT), e
    else:
        raise AssertionError("a login with a target that does not answer worked")
    p.send_signal(signal.SIGINT)
    assert result(p) == "EINTR"


@test
def daemon_ends_while_a_login_hangs(t):
    fs = with_silent_target(t)
    p = hanging_login(t, fs)
    fs.stop()  # before LIMIT
    told = result(p)
    assert told == "EBUSY", f"{told}: the command is to be broken off at once"


@test
def refused_connection_is_told_three_times(t):
    fs = Mounted(t)
    port = free_port()
    fs.ctl("discovery", f"add-target {HERE} portal=127.0.0.1:{port}")
    e = refuses(errno.ECONNREFUSED, fs.ctl, f"targets/{HERE}", "login")
    assert "errno=ECONNREFUSED" in e.reply and HERE in e.reply, e.reply
    assert str(port) in fs.read("targets", HERE, "error")


@test
def nothing_but_values_can_be_changed(t):
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {HERE} portal=127.0.0.1:1")
    for function, *arguments in (
            (os.mkdir, fs.path("new")), (os.unlink, fs.path("ctl")), (os.rmdir, fs.path("targets")),
            (os.rename, fs.path("ctl"), fs.path("ctl2")), (os.symlink, "x", fs.path("link")),
            (os.mkdir, fs.path("targets", "iqn.2026-11.test:new")), (open, fs.path("new"), "w"),
            (os.link, fs.path("ctl"), fs.path("hard"))):
        try:
            function(*arguments)
        except OSError as e:
            assert e.errno in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.EOPNOTSUPP), e
        else:
            raise AssertionError(f"{function.__name__}{arguments} worked")
    try:
        with open(fs.path("version"), "w") as f:
            f.write("2")
        raise AssertionError("version was written")
    except OSError as e:
        assert e.errno in (errno.EACCES, errno.EPERM, errno.EINVAL, errno.EROFS), e


@test
def values_take_what_they_print(t):
    fs = Mounted(t)
    for parts in (("initiator", "name"), ("initiator", "alias")):
        text = open(fs.path(*parts)).read()
        with open(fs.path(*parts), "w") as f:
            f.write(text)
        assert open(fs.path(*parts)).read() == text, parts
    for bad in ("no-such-format", "iqn.2026-11.test:" + "x" * 300, "iqn.2026-11.test:has blank"):
        refuses(errno.EINVAL, write_value, fs.path("initiator", "name"), bad)


def write_value(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


@test
def gone_directories_do_not_come_back_to_life(t):
    """A file held open over the end of its object answers with an error, and the daemon lives."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn)
    status = open(fs.path("sessions", sid, "status.json"))
    here = os.open(fs.path("sessions", sid), os.O_PATH)
    ctl = os.open(fs.path("targets", iqn, f"lun{number}", "ctl"), os.O_RDWR)
    fs.logout(iqn)
    for function in (lambda: os.write(ctl, b"rescan\n"), lambda: os.open("state", os.O_RDONLY, dir_fd=here)):
        try:
            function()
        except OSError as e:
            assert e.errno in (errno.ENODEV, errno.ESTALE, errno.ENOENT), e
        else:
            raise AssertionError("worked on something that is gone")
    try:
        status.read()
    except OSError:
        pass
    os.close(here), os.close(ctl), status.close()
    assert fs.is_alive()
    assert fs.login(iqn) != sid
