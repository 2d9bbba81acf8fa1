# SPDX-License-Identifier: BSD-2-Clause
"""What the tree tells of recovery and of several paths: events, states, policies, roles, weights, the directories of paths."""
import errno
import os
import re
import subprocess
import time

from mounted import Mounted, read_all, read_text
from patterns import File, pattern, same
from realtargets import Istgt, Tgtd, restart_tgtd
from runner import SLOWNESS, refuses, test, wait_for

POLICIES = ("failover", "round-robin", "round-robin-subset", "weighted", "least-queue-depth")
LINE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (info|warning|error) (\d+) ([a-z0-9-]+) (\S.*)")


def put(fs, value, *parts):
    """Write a value file; what reading the same descriptor tells then. A refusal is an OSError with .reply."""
    fd = os.open(fs.path(*parts), os.O_RDWR)
    try:
        os.write(fd, f"{value}\n".encode())
        return read_all(fd)
    except OSError as e:
        e.reply = read_all(fd)
        raise
    finally:
        os.close(fd)


def events(fs, name=None):
    """(severity, number, name, text) of each event, or of those with this name."""
    found = []
    for line in fs.read("events").splitlines():
        match = LINE.fullmatch(line)
        assert match, f"not an event: {line}"
        found.append((match[2], int(match[3]), match[4], match[5]))
    return [x for x in found if name in (None, x[2])]


def stats(fs, *parts):
    return {k: int(v) for k, v in (line.split() for line in fs.read(*parts, "stats").splitlines())}


def wait_state(fs, state, *parts, limit=30):
    wait_for(lambda: fs.read(*parts, "state") == state, f"{'/'.join(map(str, parts))} is {state}", limit)


def logged_in(t, keys="", **parameters):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(**parameters)
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn, keys)
    return target, fs, iqn, number, backing, sid


@test
def settings_accept_what_they_print(t):
    _, fs, iqn, number, _, sid = logged_in(t)
    session, lun = ("targets", iqn, "sessions", sid), ("targets", iqn, f"lun{number}")
    conn = (*session, "connections", fs.ls(*session, "connections")[0])
    path = (*lun, "paths", sid)
    for where, good, bad in (
            ((*session, "policy"), POLICIES, ("", "fastest", "failover weighted", "Failover")),
            ((*lun, "policy"), POLICIES, ("", "fastest")),
            ((*conn, "role"), ("standby", "active"), ("", "passive")),
            ((*conn, "weight"), ("7", "0", "65535"), ("", "65536", "-1", "heavy", "1.5")),
            ((*path, "role"), ("standby", "active"), ("", "passive")),
            ((*path, "weight"), ("7", "0", "65535"), ("", "65536", "-1", "heavy"))):
        assert put(fs, fs.read(*where), *where) == fs.read(*where) + "\n", where
        for value in good:
            assert put(fs, value, *where) == value + "\n", (where, value)
            assert fs.read(*where) == value, (where, value)
        for value in bad:
            e = refuses(errno.EINVAL, put, fs, value, *where)
            assert e.reply.startswith("error code=ISDSC_") and "errno=EINVAL" in e.reply, e.reply
            assert fs.read(*where) == good[-1]
        assert good[0] in e.reply or "0 to 65535" in e.reply, "it tells what is allowed"
        assert f"{where[-1]}=" in fs.read(*where[:-1], "error"), "and so does the file error"
    assert fs.json(*session)["policy"] == fs.json(*lun)["policy"] == POLICIES[-1]
    assert fs.json(*conn)["weight"] == fs.json(*path)["weight"] == 65535


@test
def settings_that_change_are_events(t):
    _, fs, iqn, number, _, sid = logged_in(t)
    session = ("targets", iqn, "sessions", sid)
    conn = fs.ls(*session, "connections")[0]
    put(fs, "weighted", *session, "policy")
    put(fs, "standby", *session, "connections", conn, "role")
    put(fs, "round-robin", "targets", iqn, f"lun{number}", "policy")
    put(fs, "9", "targets", iqn, f"lun{number}", "paths", sid, "weight")
    texts = [x[3] for x in events(fs, "policy-changed")]
    assert len(texts) == 4, texts
    assert f"session {sid} {iqn}" in texts[0] and texts[0].endswith("policy weighted"), texts
    assert f"session {sid} {iqn} connection {conn}" in texts[1] and "role standby" in texts[1], texts
    assert iqn in texts[2] and f"lun {number}" in texts[2] and texts[2].endswith("policy round-robin"), texts
    assert f"session {sid}" in texts[3] and texts[3].endswith("weight 9"), texts


@test
def events_are_lines_to_grep(t):
    target, fs, iqn, number, _, sid = logged_in(t)
    fs.logout(iqn)
    names = [x[2] for x in events(fs)]
    for name in ("session-up", "lun-added", "path-added", "session-ended", "path-removed", "lun-removed"):
        assert name in names, (name, names)
    for name in ("lun-added", "session-up"):
        assert names.index(name) < names.index("session-ended"), names
    assert t.sh(f"grep ' session {sid} ' {fs.path('events')}").stdout.count("\n") >= 2
    assert "events" not in fs.json()
    refuses(errno.EACCES, put, fs, "anything", "events")


@test
def events_can_be_followed(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk(size=1 << 20)
    fs = Mounted(t)
    out = t.path("followed")
    with open(out, "w") as f:
        follower = subprocess.Popen(["tail", "-n", "+1", "-s", "0.1", "-f", fs.path("events")], stdout=f,
                                    stdin=subprocess.DEVNULL)
    t.defer(follower.wait)
    t.defer(follower.kill)
    with open(fs.path("events")) as reader:  # the same with read(2)
        assert reader.read() == fs.read("events")
        sid = fs.log_in(target.portal, iqn)
        put(fs, "weighted", "targets", iqn, "sessions", sid, "policy")
        wait_for(lambda: "policy weighted" in read_text(out), "tail -f shows an event")
        put(fs, "round-robin", "targets", iqn, "sessions", sid, "policy")
        wait_for(lambda: "policy round-robin" in read_text(out), "tail -f shows another one")
        assert os.pread(reader.fileno(), 1 << 20, 0).decode() == read_text(out) == fs.read("events") + "\n"
    follower.kill()  # or the tree is busy
    follower.wait()


@test
def old_events_are_dropped(t):
    _, fs, iqn, number, _, sid = logged_in(t, size=1 << 20)
    weight = ("targets", iqn, f"lun{number}", "paths", sid, "weight")
    early = os.open(fs.path("events"), os.O_RDONLY)
    t.defer(os.close, early)
    seen = os.read(early, 1 << 20)
    for n in range(4200):
        put(fs, n, *weight)
    lines = fs.read("events").splitlines()
    assert len(lines) == 1 + 4096, len(lines)
    dropped = re.fullmatch(r"# (\d+) older ones were dropped", lines[0])
    assert dropped and int(dropped[1]) >= 104, lines[0]
    assert lines[1].endswith("weight 104") and lines[-1].endswith("weight 4199"), (lines[1], lines[-1])
    assert t.sh(f"tail -n 3 {fs.path('events')}").stdout.splitlines() == lines[-3:]
    assert t.sh(f"tail -c 200 {fs.path('events')}").stdout == ("\n".join(lines) + "\n")[-200:]
    more = os.read(early, 1 << 20)
    while piece := os.read(early, 1 << 20):
        more += piece
    assert seen and more.decode().splitlines()[-4096:] == lines[1:], "who has read before goes on"
    os.lseek(early, 0, os.SEEK_SET)
    assert os.read(early, 100).decode() == fs.read("events")[:100]


@test
def path_directory_tells_of_the_way(t):
    target, fs, iqn, number, _, sid = logged_in(t)
    lun = ("targets", iqn, f"lun{number}")
    path = (*lun, "paths", sid)
    assert fs.ls(*lun, "paths") == sorted([sid, "all"])
    assert fs.ls(*path) == sorted(["error", "status.json", "state", "since", "portal", "role", "weight", "alua", "stats"])
    assert fs.read(*path, "state") == "optimized"
    assert fs.read(*path, "portal") == target.portal
    assert fs.read(*path, "role") == "active" and fs.read(*path, "weight") == "1"
    assert fs.read(*lun, "paths", "all") == f"{sid} optimized active 1 {target.portal} targets/{iqn}/lun{number}/paths/{sid}"
    before = stats(fs, *path)["commands"]
    with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
        f.read(65536, 0)
    assert stats(fs, *path)["commands"] > before
    status = fs.json(*lun)
    assert status["paths"][sid]["state"] == "optimized" and status["paths"][sid]["stats"]["failures"] == 0, status
    fs.logout(iqn)
    refuses(errno.ENOENT, fs.read, *path, "state")


@test
def two_sessions_are_two_paths(t):
    target = Tgtd(t, ports_each=2)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    one = fs.log_in(f"127.0.0.1:{target.ports[0]}", iqn, f"portal=127.0.0.1:{target.ports[0]} multipath=yes")
    two = fs.login(iqn, f"portal=127.0.0.1:{target.ports[1]} multipath=yes")
    lun = ("targets", iqn, f"lun{number}")
    assert fs.ls(*lun, "paths") == sorted([one, two, "all"])
    ports = [fs.read(*lun, "paths", sid, "portal").rsplit(":", 1)[1] for sid in (one, two)]
    assert ports == [str(p) for p in target.ports], ports

    def commands(sid):
        return stats(fs, *lun, "paths", sid)["commands"]

    def read_some(count=40):
        before = [commands(x) for x in (one, two)]
        with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
            for n in range(count):
                f.read(4096, n * 4096)
        return [commands(x) - y for x, y in zip((one, two), before)]
    put(fs, "failover", *lun, "policy")
    put(fs, "standby", *lun, "paths", two, "role")
    used = read_some()
    assert used[0] >= 40 and used[1] <= 4, used
    put(fs, "standby", *lun, "paths", one, "role")
    put(fs, "active", *lun, "paths", two, "role")
    used = read_some()
    assert used[1] >= 40 and used[0] <= 4, used
    put(fs, "round-robin", *lun, "policy")
    used = read_some()
    assert min(used) >= 18, used
    put(fs, "weighted", *lun, "policy")
    put(fs, "5", *lun, "paths", two, "weight")
    used = read_some()
    assert used[0] >= 40 and used[1] <= 4, used
    fs.ctl(os.path.join("targets", iqn, "sessions", one), "logout")
    assert fs.ls(*lun, "paths") == sorted([two, "all"])
    with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
        assert len(f.read(4096, 0)) == 4096
    assert fs.read(*lun, "state") == "ready"
    assert events(fs, "path-removed"), events(fs)


@test
def session_is_retrying_while_its_target_is_away(t):
    target, fs, iqn, number, backing, sid = logged_in(t)
    session, lun = ("targets", iqn, "sessions", sid), ("targets", iqn, f"lun{number}")
    data = pattern(65536, 3)
    with File(fs.disk(iqn, number), direct=True) as f:
        f.write(data, 0)
        logins = stats(fs, *session)["logins"]
        target.kill()
        wait_state(fs, "retrying", *session)
        wait_state(fs, "lost", *lun, "paths", sid)
        assert fs.read(*lun, "state") == "no-path"
        assert fs.ls(*session, "connections") == []
        number_of = r"\d+\.\d"
        assert re.fullmatch(rf"session lost {number_of} attempts \d+ next ({number_of}|now)\n"
                            rf"connection\.1 {target.portal} lost {number_of} attempts \d+ next -",
                            fs.read(*session, "retry")), fs.read(*session, "retry")
        assert "lost" in fs.json(*session)["retry"]["session"]
        lost = events(fs, "connection-lost")
        assert len(lost) == 1 and lost[0][:2] == ("warning", 20), lost
        assert f"session {sid} {iqn} connection 1 via {target.portal} was lost: " in lost[0][3], lost
        assert len(events(fs, "session-retrying")) == 1
        restart_tgtd(t, target, [("disk1", number, backing)])
        wait_state(fs, "logged-in", *session)
        assert fs.read(*session, "retry").splitlines()[0] == "session up"
        same(f.read(65536, 0), data, "what was written before")
    wait_state(fs, "optimized", *lun, "paths", sid)
    names = [x[2] for x in events(fs)]
    assert names.index("connection-lost") < names.index("session-retrying") < names.index("reconnected"), names
    assert [x[1] for x in events(fs, "reconnected")] == [34]
    assert "path-failed" in names and "path-restored" in names, names
    now = stats(fs, *session)
    assert now["logins"] + now["resumes"] > logins and now["conns_lost"] == 1, now
    path = stats(fs, *lun, "paths", sid)
    assert path["failures"] == 1 and path["recoveries"] == 1, path
    fs.logout(iqn)


@test
def reading_waits_while_a_session_is_retrying(t):
    """Nobody sees that the target was away for less than command_timeout."""
    target, fs, iqn, number, backing, sid = logged_in(t)
    data = pattern(1 << 20, 5)
    with File(fs.disk(iqn, number), direct=True) as f:
        f.write(data, 0)
    target.kill()
    started = time.monotonic()
    reader = subprocess.Popen(["dd", f"if={fs.disk(iqn, number)}", f"of={t.path('copy')}", "bs=64k", "count=16",
                               "iflag=direct"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    t.defer(reader.kill)
    time.sleep(3)
    assert reader.poll() is None, "it waits"
    restart_tgtd(t, target, [("disk1", number, backing)])
    assert reader.wait(60 * SLOWNESS) == 0, f"{time.monotonic() - started:.0f} s"
    with open(t.path("copy"), "rb") as f:
        same(f.read(), data, "what was read")
    assert not events(fs, "io-failed")
    fs.logout(iqn)


@test
def reading_fails_when_its_time_is_up(t):
    target, fs, iqn, number, _, sid = logged_in(t, "command_timeout=3")
    target.kill()
    started = time.monotonic()
    with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
        refuses(errno.EIO, f.read, 4096, 0)
    took = time.monotonic() - started
    assert 2 < took < 30 * SLOWNESS, took
    assert [x[:2] for x in events(fs, "io-failed")] == [("error", 1016)]
    assert fs.read("targets", iqn, "sessions", sid, "state") == "retrying"
    fs.logout(iqn, "force=yes")
    assert fs.sids(iqn) == []


@test
def connections_have_roles(t):
    """MCS: the policy of the session, with istgt, which takes several connections."""
    target = Istgt(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn)
    session = ("targets", iqn, "sessions", sid)
    where = os.path.join(*session)
    fs.ctl(where, f"add-connection portal={target.portal}")
    one, two = fs.ls(*session, "connections")
    assert "connection-up" in [x[2] for x in events(fs)]

    def sent(cid):
        return stats(fs, *session, "connections", cid)["pdus_sent"]

    def read_some():
        before = [sent(x) for x in (one, two)]
        with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
            for n in range(40):
                f.read(4096, n * 4096)
        return [sent(x) - y for x, y in zip((one, two), before)]
    put(fs, "failover", *session, "policy")
    put(fs, "standby", *session, "connections", one, "role")
    used = read_some()
    assert used[1] >= 40 and used[0] <= 4, used
    put(fs, "round-robin", *session, "policy")
    used = read_some()
    assert min(used) >= 18, used
    fs.ctl(where, f"remove-connection {two}")
    assert fs.ls(*session, "connections") == [one]
    assert len(events(fs, "connection-removed")) == 1
    refuses(errno.EBUSY, fs.ctl, where, f"remove-connection {one}")
    assert fs.read(*session, "state") == "logged-in"
    with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
        assert len(f.read(4096, 0)) == 4096
