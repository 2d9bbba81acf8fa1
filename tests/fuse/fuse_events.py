# SPDX-License-Identifier: BSD-2-Clause
"""Who reads events: to the end, waiting for the next, by poll and epoll; many, slow, killed, and when the tree goes."""
import errno
import json
import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time

from fuse_paths import events, put
from mounted import Mounted, is_mounted, program, read_text, result, unmount
from patterns import File
from realtargets import Tgtd
from runner import LIMIT, SLOWNESS, refuses, test, wait_for

FILES = ("events", "events.json", "events_pipe", "events_pipe.json")

READER = """
import os, signal, sys
for n in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
    signal.signal(n, lambda *a: (_ for _ in ()).throw(InterruptedError()))
fd = os.open(sys.argv[1], os.O_RDONLY)
print("ready", flush=True)
try:
    print(len(os.read(fd, 65536)))
except InterruptedError:
    print("EINTR")
except OSError as e:
    print(e)
"""


def happen(fs, count=1, first=0):
    """So many events: commands that are refused."""
    for n in range(first, first + count):
        refuses(errno.ENOENT, fs.ctl, "discovery", f"remove-portal 127.0.0.1:{n + 1}")


def numbers(text):
    """Which of those are told, in the order they are."""
    return [int(x) - 1 for x in re.findall(r": remove-portal 127\.0\.0\.1:(\d+) failed", text)]


def close(fd):
    try:
        os.close(fd)
    except OSError as e:  # of a tree that is gone
        assert e.errno in (errno.ENOTCONN, errno.ECONNABORTED), e


def opened(t, fs, name, flags=0):
    fd = os.open(fs.path(name), os.O_RDONLY | flags)
    t.defer(close, fd)
    return fd


def drain(fd):
    """All that a descriptor with O_NONBLOCK has."""
    text = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except BlockingIOError:
            return text.decode()
        assert piece, "an end of file"
        text += piece


def readable(fd, seconds=0):
    p = select.poll()
    p.register(fd, select.POLLIN)
    return bool(p.poll(seconds * 1000))


def is_waiting(pid):
    """In read(2)."""
    with open(f"/proc/{pid}/syscall") as f:
        return f.read().split()[0] in ("0", "63")  # amd64, arm64


def waiting_reader(t, fs, name="events_pipe"):
    p = subprocess.Popen([sys.executable, "-B", "-c", READER, fs.path(name)], stdout=subprocess.PIPE, text=True)
    t.defer(p.stdout.close)
    t.defer(p.wait)
    t.defer(p.kill)
    assert p.stdout.readline() == "ready\n"
    wait_for(lambda: is_waiting(p.pid), "it waits in read")
    return p


@test
def refused_commands_are_events(t):
    fs = Mounted(t)
    secret = "not-to-be-told"
    refuses(errno.EINVAL, fs.ctl, "discovery", f"add-portal 127.0.0.1 secret={secret} nonsense=1")
    found = events(fs, "request-failed")
    assert len(found) == 1 and found[0][:2] == ("warning", 1034), found
    assert found[0][3].startswith("discovery: add-portal ") and "ISDSC_" in found[0][3], found
    assert secret not in fs.read("events") and secret not in read_text(fs.log)


@test
def waiting_for_the_next(t):
    fs = Mounted(t)
    happen(fs)
    fd = opened(t, fs, "events_pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append(os.read(fd, 65536).decode()))
    reader.start()
    time.sleep(0.3)
    assert not got, "what was before the opening does not count"
    happen(fs, 1, 1)
    reader.join(LIMIT)
    assert numbers(got[0]) == [1] and got[0].endswith("\n"), got
    refuses(errno.ESPIPE, os.pread, fd, 100, 0)


@test
def not_to_wait(t):
    fs = Mounted(t)
    for name in FILES[2:]:
        fd = opened(t, fs, name, os.O_NONBLOCK)
        refuses(errno.EAGAIN, os.read, fd, 100)
        happen(fs, 3)
        assert numbers(drain(fd)) == [0, 1, 2], name
        refuses(errno.EAGAIN, os.read, fd, 100)
        os.set_blocking(fd, True)  # afterwards as well
        os.set_blocking(fd, False)
        refuses(errno.EAGAIN, os.read, fd, 100)


@test
def short_reads_lose_nothing(t):
    fs = Mounted(t)
    fd = opened(t, fs, "events_pipe", os.O_NONBLOCK)
    happen(fs, 5)
    text = b""
    while True:
        try:
            text += os.read(fd, 7)
        except BlockingIOError:
            break
    assert text.decode() == fs.read("events") + "\n"


@test
def json_lines(t):
    fs = Mounted(t)
    fd = opened(t, fs, "events_pipe.json", os.O_NONBLOCK)
    refuses(errno.EINVAL, fs.ctl, "", 'login "iqn.2026-01.org.example:a\\\\b\u00e4"')
    happen(fs, 2)
    text = drain(fd)
    assert text == fs.read("events.json") + "\n"
    found = [json.loads(line) for line in text.splitlines()]
    assert [x["seq"] for x in found] == [1, 2, 3] and {x["id"] for x in found} == {1034}
    assert all(set(x) == {"time", "seq", "id", "name", "severity", "text"} for x in found)
    lines = fs.read("events").splitlines()
    for x, line in zip(found, lines):
        assert f"{x['time']} {x['severity']} {x['id']} {x['name']} {x['text']}" == line
    assert os.stat(fs.path("events.json")).st_size == len(text.encode())
    assert os.stat(fs.path("events_pipe")).st_size == 0


@test
def many_readers_get_each_event(t):
    fs = Mounted(t)
    fds = [opened(t, fs, FILES[2 + n % 2]) for n in range(40)]
    got = [""] * len(fds)

    def read(n):
        while ":300 failed" not in got[n]:
            got[n] += os.read(fds[n], 4096 if n % 3 else 100).decode()
    readers = [threading.Thread(target=read, args=(n,), daemon=True) for n in range(len(fds))]
    for reader in readers:
        reader.start()
    happen(fs, 300)
    for reader in readers:
        reader.join(LIMIT)
    for text in got:
        assert numbers(text) == list(range(300))
    assert fs.is_alive()


@test
def slow_reader_is_told_what_is_missing(t):
    fs = Mounted(t)
    plain, objects = (opened(t, fs, name, os.O_NONBLOCK) for name in FILES[2:])
    happen(fs, 4196)
    lines = drain(plain).splitlines()
    assert lines[0] == "# 100 older ones were dropped" and len(lines) == 4097, (lines[0], len(lines))
    found = [json.loads(line) for line in drain(objects).splitlines()]
    assert found[0] == {"missing": 100} and len(found) == 4097, found[0]
    assert [x["seq"] for x in found[1:]] == list(range(101, 4197))
    happen(fs)
    assert numbers(drain(plain)) == [0], "and then it goes on"


@test
def poll_tells_when_there_is_more(t):
    fs = Mounted(t)
    happen(fs)
    for name in FILES:
        fd = opened(t, fs, name, os.O_NONBLOCK)
        if name in FILES[:2]:
            assert readable(fd), f"{name}: what was before"
            while os.read(fd, 65536):
                pass
        assert not readable(fd), name
        timer = threading.Timer(0.3, happen, (fs, 1, 7))
        timer.start()
        assert readable(fd, LIMIT), name
        timer.join()
        assert readable(fd), f"{name}: still"
        assert numbers(os.read(fd, 65536).decode()) == [7]
        assert not readable(fd), f"{name}: all is read"
    for name in ("ctl", "version", "status.json"):
        assert readable(opened(t, fs, name)), name


@test
def epoll_by_level_and_by_edge(t):
    fs = Mounted(t)
    fds = [opened(t, fs, name, os.O_NONBLOCK) for name in FILES[2:] for _ in range(2)]
    for edge in (0, select.EPOLLET):
        with select.epoll() as e:
            for fd in fds:
                e.register(fd, select.EPOLLIN | edge)
            assert e.poll(0) == []
            for n in range(5):
                happen(fs, 1, n)
                seen = set()
                while seen != set(fds):
                    ready = e.poll(LIMIT)
                    assert ready, (edge, n, seen)
                    seen |= {fd for fd, _ in ready}
                for fd in fds:
                    assert numbers(drain(fd)) == [n]
                assert e.poll(0) == [] or edge


@test
def many_pollers_under_load(t):
    """The kernel's requests to poll and our notifications cross each other."""
    fs = Mounted(t)
    count, total = 60, 1500
    fds = [opened(t, fs, FILES[n % 4], os.O_NONBLOCK) for n in range(count)]
    got = [""] * count

    def follow(n):
        p = select.poll() if n % 2 else select.epoll()
        p.register(fds[n], select.POLLIN if n % 2 else select.EPOLLIN | (select.EPOLLET if n % 8 == 2 else 0))
        while f":{total} failed" not in got[n]:
            assert p.poll(LIMIT * (1000 if n % 2 else 1)), f"reader {n} of {FILES[n % 4]} heard nothing"
            try:
                while piece := os.read(fds[n], 65536):
                    got[n] += piece.decode()
            except BlockingIOError:
                pass
    pollers = [threading.Thread(target=follow, args=(n,), daemon=True) for n in range(count)]
    for poller in pollers:
        poller.start()
    happen(fs, total)
    for poller in pollers:
        poller.join(LIMIT)
    for n, text in enumerate(got):
        assert numbers(text) == list(range(total)), (n, FILES[n % 4], len(numbers(text)))
    with open(f"/proc/{fs.pid}/stat") as f:
        assert f.read().rsplit(")", 1)[1].split()[0] in "SR", "the daemon is neither stopped nor stuck"


@test
def signals_end_the_wait(t):
    fs = Mounted(t)
    for how in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD):
        p = waiting_reader(t, fs)
        p.send_signal(how)
        assert result(p) == "EINTR", how
    p = waiting_reader(t, fs)
    p.kill()
    assert p.wait(LIMIT) == -signal.SIGKILL
    happen(fs)
    assert fs.is_alive()


@test
def killed_pollers_are_forgotten(t):
    fs = Mounted(t)
    script = ("import os, select, sys\nfd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)\n"
              "p = select.poll()\np.register(fd, select.POLLIN)\nprint('ready', flush=True)\np.poll()\n")
    for _ in range(10):
        p = subprocess.Popen([sys.executable, "-B", "-c", script, fs.path("events_pipe")], stdout=subprocess.PIPE, text=True)
        t.defer(p.stdout.close)
        t.defer(p.wait)
        t.defer(p.kill)
        assert p.stdout.readline() == "ready\n"
        p.kill()
        p.wait(LIMIT)
        happen(fs)
    assert fs.is_alive()


@test
def shell_loop_reads_the_pipe(t):
    fs = Mounted(t)
    out = t.path("out")
    shell = t.start(["sh", "-c", 'while read -r when severity id name text; do echo "$id $text"; done < "$1"', "-",
                     fs.path("events_pipe")], out)
    wait_for(lambda: is_waiting(shell.pid), "it waits")
    happen(fs, 3)
    wait_for(lambda: numbers(read_text(out)) == [0, 1, 2], "the shell has read three")


def ends_with_waiting_readers(t, end):
    fs = Mounted(t)
    readers = [waiting_reader(t, fs, FILES[2 + n % 2]) for n in range(6)]
    fd = opened(t, fs, "events_pipe", os.O_NONBLOCK)
    poller = threading.Thread(target=readable, args=(fd, LIMIT))
    poller.start()
    started = time.monotonic()
    end(fs)
    assert time.monotonic() - started < 8 * SLOWNESS, "waiting readers do not hold it up"
    for p in readers:
        line = result(p)
        assert line == "0" or re.search("not connected|abort", line), line
    poller.join(LIMIT)
    assert not poller.is_alive()


@test
def sigterm_with_waiting_readers(t):
    ends_with_waiting_readers(t, lambda fs: fs.stop())


@test
def shutdown_with_waiting_readers(t):
    ends_with_waiting_readers(t, lambda fs: (fs.shut_down(), fs.wait()))


@test
def umount_after_readers(t):
    """As with any open file: busy; but not any more when the reader is gone."""
    fs = Mounted(t)
    p = waiting_reader(t, fs)
    assert t.sh(f"umount {fs.point}", ok=False).returncode
    p.kill()
    p.wait(LIMIT)
    t.sh(f"umount {fs.point}")
    fs.wait()


@test
def refused_logout_is_an_event(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk(size=1 << 20)
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    with File(fs.disk(iqn, number), os.O_RDONLY):
        refuses(errno.EBUSY, fs.ctl, f"targets/{iqn}", "logout")
    found = events(fs, "removal-vetoed")
    assert len(found) == 1 and iqn in found[0][3] and str(os.getpid()) in found[0][3], found
    fs.logout(iqn)


@test
def changes_of_the_initiator_are_events(t):
    fs = Mounted(t)
    put(fs, "iqn.2026-01.org.example:other", "initiator", "name")
    put(fs, "a \"host\"", "initiator", "alias")
    found = events(fs, "initiator-changed")
    assert len(found) == 2 and "iqn.2026-01.org.example:other" in found[0][3] and 'a "host"' in found[1][3], found


def first_free(pid):
    """The descriptor that it would get next."""
    used = {int(x) for x in os.listdir(f"/proc/{pid}/fd")}
    return min(set(range(len(used) + 1)) - used)


@test
def no_descriptor_for_a_session(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk(size=1 << 20)
    fs = Mounted(t)
    fs.discover(target.portal)
    limits = resource.prlimit(fs.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(fs.pid, resource.RLIMIT_NOFILE, (first_free(fs.pid), limits[1]))
    try:
        fs.login(iqn)
        raise AssertionError("a session without a descriptor")
    except OSError:
        pass
    resource.prlimit(fs.pid, resource.RLIMIT_NOFILE, limits)
    wait_for(lambda: events(fs, "no-session-resources"), "it is told")
    fs.login(iqn)
    fs.logout(iqn)


@test
def no_descriptor_to_list_addresses(t):
    fs = Mounted(t)
    limits = resource.prlimit(fs.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(fs.pid, resource.RLIMIT_NOFILE, (first_free(fs.pid), limits[1]))
    assert fs.read("initiator", "instances", "default", "ports") == ""
    resource.prlimit(fs.pid, resource.RLIMIT_NOFILE, limits)
    wait_for(lambda: events(fs, "local-addresses-failed"), "it is told")
    assert "127.0.0.1" in fs.read("initiator", "instances", "default", "ports")


@test
def journal_gets_fields(t):
    """A daemon in the background, and a socket where the journal's would be."""
    path, point = t.path("journal"), t.path("point")
    os.mkdir(point)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(path)
        journal.settimeout(LIMIT)
        t.sh(f"{program()} -s {t.path('state')} -p {t.path('pid')} {point}", env=dict(os.environ, ISCSIFS_JOURNAL=path))
        t.defer(lambda: is_mounted(point) and unmount(point))
        with open(t.path("pid")) as f:
            pid = int(f.read())
        try:
            with open(f"{point}/ctl", "w") as f:
                f.write("login iqn.2026-01.org.example:none\n")
        except OSError as e:
            assert e.errno == errno.ENOENT, e
        lines = journal.recv(65536).decode().splitlines()
        fields = dict(x.split("=", 1) for x in lines)
        assert fields["ISCSI_EVENT_ID"] == "1034" and fields["ISCSI_EVENT_NAME"] == "request-failed", fields
        assert fields["ISCSI_TARGET"] == "iqn.2026-01.org.example:none", fields
        assert fields["PRIORITY"] == "4" and fields["SYSLOG_IDENTIFIER"] == "iscsifs", fields
        assert fields["MESSAGE"].endswith("(event 1034 request-failed)"), fields
        t.sh(f"umount {point}")
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the daemon ends")
