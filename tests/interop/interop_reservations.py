# SPDX-License-Identifier: BSD-2-Clause
"""Reservations: two daemons with different initiator names fight for a disk."""
import errno
import os

from runner import LIMIT, refuses, test, wait_for
from faultproxy import FaultProxy
from lio import Lio
from mounted import Mounted, read_all
from patterns import File, pattern, same
from realtargets import Tgtd

TYPES = [f"{what}{who}" for who in ("", "-registrants-only", "-all-registrants")
         for what in ("write-exclusive", "exclusive-access")]
BOTH = (Tgtd, Lio)
BLOCK = 4096
OPENAT = ("257", "56")  # of amd64, arm64


class Side:
    """A host of its own: a daemon with an initiator name, logged in to LUN @number of @iqn by each of @portals."""

    def __init__(self, t, name, iqn, number, portals, keys=""):
        self.iqn, self.number, self.name = iqn, number, f"iqn.2026-11.test.host:{name}"
        self.fs = Mounted(t, name=name, config=f'initiator_name = "{self.name}";\n')
        self.fs.discover(portals[0])
        many = "multipath=yes" if len(portals) > 1 else ""
        self.sids = [self.fs.login(iqn, f"portal={p} {many} {keys}") for p in portals]

    def lun(self, *parts):
        return self.fs.path("targets", self.iqn, f"lun{self.number}", *parts)

    def __call__(self, *lines):
        """Lines for the file `reservations`; the reply."""
        fd = os.open(self.lun("reservations"), os.O_RDWR)
        try:
            os.write(fd, "".join(x + "\n" for x in lines).encode())
            return read_all(fd)
        except OSError as e:
            e.reply = read_all(fd)
            e.add_note(f"{self.name}: {lines}: {e.reply}")
            raise
        finally:
            os.close(fd)

    def refused(self, errno_value, line):
        """The text of the refusal."""
        return refuses(errno_value, self, line).reply

    def listed(self):
        """What the file says: ([words of each registrant], words of the holder)."""
        with open(self.lun("reservations")) as f:
            rows = [line.split() for line in f]
        assert rows[0][0] == "generation" and rows[0][1].isdigit(), rows
        assert all(row[0] == "key" for row in rows[1:-1]) and rows[-1][0] == "holder", rows
        return [row[1:] for row in rows[1:-1]], rows[-1][1:]

    def keys(self, mark=None):
        """Keys that are registered; @mark: that have this word."""
        return sorted(int(row[0], 16) for row in self.listed()[0] if not mark or mark in row)

    def holder(self):
        return self.listed()[1]

    def errors(self):
        return self.fs.read("targets", self.iqn, f"lun{self.number}", "error")

    def events(self):
        return self.fs.read("events")

    def write(self, seed=1):
        with File(self.lun("disk"), direct=True) as f:
            f.write(pattern(BLOCK, seed), 0)

    def read(self):
        with File(self.lun("disk"), os.O_RDONLY, direct=True) as f:
            return f.read(BLOCK, 0)


def two_sides(t, kind, keys=""):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    return [Side(t, name, iqn, number, [target.portal], keys) for name in "ab"]


def can(function, *words):
    """False when it meets a reservation."""
    try:
        function(*words)
        return True
    except OSError as e:
        assert e.errno == errno.EBUSY, e
        return False


def is_named(target):
    """Whether it has READ FULL STATUS."""
    return isinstance(target, Lio)


@test(on=BOTH, limit=180)
def six_types(t, kind):
    """Who may read and write: the holder, somebody registered, somebody who is not."""
    a, b = two_sides(t, kind)
    for name in TYPES:
        is_shared, is_exclusive = name.count("-") > 1, name.startswith("exclusive")
        a("register 0xaa")
        assert a(f"reserve {name}") == "ok paths=1\n"
        who = a.holder()
        assert who[:3] == ["all" if "all" in name else f"0x{0xaa:016x}", "type", name], who
        assert who[-1] == "this" and "this" not in b.holder(), (who, b.holder())
        a("register 0xaa", f"reserve {name}")  # what one has, one may have again
        a.write()
        assert a.read() == pattern(BLOCK, 1)
        assert not can(b.write), name
        assert can(b.read) != is_exclusive, name
        b("register 0xbb")
        assert can(b.write) == is_shared, name
        assert can(b.read) == (is_shared or not is_exclusive), name
        a("release")
        assert a.holder() == ["none"] and a.keys() == [0xaa, 0xbb]
        b.write(2)
        b("clear")
        assert a.keys() == b.keys() == []
    a.write(3)


@test(on=BOTH)
def a_conflict_names_the_holder(t, kind):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    a, b = (Side(t, name, iqn, number, [target.portal]) for name in "ab")
    a("register 0xaa", "reserve write-exclusive")
    b("register 0xbb")
    who = a.name if is_named(target) else "another initiator"
    text = b.refused(errno.EBUSY, "reserve write-exclusive")
    assert f"held by {who} (key 0xaa, write-exclusive)" in text and "preempt 0xaa" in text, text
    text = b.refused(errno.EBUSY, "release")
    assert f"not ours to release: held by {who}" in text, text
    refuses(errno.EBUSY, b.write)
    newest = b.errors().split("\n\n")[0]
    assert "command: write of 4096 bytes at 0" in newest, newest
    assert f"reservation conflict: held by {who} (key 0xaa, write-exclusive)" in newest, newest
    marks = [a.name if is_named(target) else None, "holder"]
    for side in (a, b):
        row = next(r for r in side.listed()[0] if int(r[0], 16) == 0xaa)
        assert all(m in row for m in marks if m) and ("this" in row) == (side is a), row


@test(on=BOTH)
def preempt_takes_it_away(t, kind):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    a, b = (Side(t, name, iqn, number, [target.portal]) for name in "ab")
    a("register 0xaa", "reserve exclusive-access")
    b("register 0xbb")
    assert not can(b.read)
    text = b.refused(errno.ENOENT, "preempt 0xcc")
    assert "nobody is registered with that key" in text, text
    b("preempt 0xaa")
    assert b.keys() == [0xbb] and b.holder()[:3] == [f"0x{0xbb:016x}", "type", "exclusive-access"]
    b.write()
    assert not can(a.read) and not can(a.write)
    wait_for(lambda: "key 0xaa is not registered any more" in a.events(), "it is told that the key is gone")
    assert " reservation-changed " in a.events()
    text = a.refused(errno.EINVAL, "reserve exclusive-access")
    assert "not registered" in text, text
    a("register 0xab")
    if not is_named(target):  # tgtd has no PREEMPT AND ABORT
        assert "invalid field" in a.refused(errno.EINVAL, "preempt 0xbb abort=yes")
    how = "abort=yes" if is_named(target) else ""
    a(f"preempt 0xbb {how} type=write-exclusive-registrants-only")
    assert a.keys() == [0xab] and a.holder()[2] == "write-exclusive-registrants-only"
    a.write(2)
    assert b.read() == pattern(BLOCK, 2)
    assert not can(b.write)


@test(on=BOTH)
def registrations_end(t, kind):
    a, b = two_sides(t, kind)
    a("register 170")  # 0xaa
    b("register 0xbb")
    assert a.keys() == [0xaa, 0xbb] and a.keys("this") == [0xaa] and b.keys("this") == [0xbb]
    a("register 0xac")
    assert b.keys() == [0xac, 0xbb] and a.keys("this") == [0xac]
    b("register 0xac ignore=yes", "register 0xbd")
    assert a.keys() == [0xac, 0xbd]
    a("reserve write-exclusive-registrants-only")
    a("register 0")  # with the holder's registration goes the reservation
    assert b.keys() == [0xbd] and b.holder() == ["none"]
    a.refused(errno.EINVAL, "clear")
    b("register 0")
    assert a.keys() == []
    a.write()


@test(on=BOTH)
def what_is_no_command(t, kind):
    a, _ = two_sides(t, kind)
    for line, word in (("register", "KEY"), ("register aa", "is no key"), ("register 0x10000000000000000", "is no key"),
                       ("reserve", "TYPE"), ("reserve shared", "is no type"), ("preempt 1 type=x", "is no type"),
                       ("steal", "steal"), ("release 1", ""), ("reserve write-exclusive", "register KEY")):
        text = a.refused(errno.EINVAL, line)
        assert word in text, text
    assert "register KEY" in a.fs.read("targets", a.iqn, f"lun{a.number}", "error")
    assert a.keys() == []
    fd = os.open(a.lun("reservations"), os.O_RDWR)
    try:
        assert "register KEY" in read_all(fd)
    finally:
        os.close(fd)


@test(on=BOTH)
def reserve_of_old(t, kind):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    a, b = (Side(t, name, iqn, number, [target.portal]) for name in "ab")
    a("reserve-legacy")
    a.write()
    assert not can(b.read)
    text = b.refused(errno.EBUSY, "reserve-legacy")
    assert "by RESERVE of SCSI-2" in text, text
    if is_named(target):  # LIO tells nobody anything then
        assert "this side has it by `reserve-legacy`" in a.refused(errno.EBUSY, "reserve write-exclusive")
    b("release-legacy")  # not its own: nothing happens
    assert not can(b.read)
    a("release-legacy")
    b.write(2)
    assert a.read() == pattern(BLOCK, 2)
    b("reserve-legacy")
    b.fs.logout(iqn)
    a.write(3)


@test
def no_persistent_reservations(t):
    lio = Lio(t)
    disk = lio.add_disk("old", emulate_pr=0)
    a = Side(t, "a", lio.add_target("old", {0: disk}), 0, [lio.portal], "guard=yes")
    refuses(errno.EOPNOTSUPP, a.listed)
    assert "the target does no persistent reservations here" in a.errors(), a.errors()
    a.refused(errno.EOPNOTSUPP, "reserve write-exclusive")
    text = a.refused(errno.EOPNOTSUPP, "register 1")
    assert "register by session" in text, text
    refuses(errno.EOPNOTSUPP, a.write)
    a.read()


@test(on=BOTH)
def guard(t, kind):
    """Opening for writing needs the reservation, and asks the target each time."""
    a, b = two_sides(t, kind, "guard=yes")

    def is_open(side):
        return can(lambda: os.close(os.open(side.lun("disk"), os.O_WRONLY)))
    assert not is_open(a)
    newest = a.errors().split("\n\n")[0]
    assert "command: opening disk for writing" in newest and "nobody holds it" in newest, newest
    assert "`register KEY` and `reserve TYPE`" in newest, newest
    same(a.read(), bytes(BLOCK), "what can be read")
    a("register 0xaa")
    assert not is_open(a)
    a("reserve write-exclusive")
    assert is_open(a) and not is_open(b)
    assert "preempt 0xaa" in b.errors().split("\n\n")[0], b.errors()
    a.write()
    b("register 0xbb")
    assert not is_open(b)
    b("preempt 0xaa")
    assert is_open(b) and not is_open(a)
    b("release", "reserve exclusive-access-registrants-only")
    a("register 0xaa")
    assert is_open(a) and is_open(b)
    b("clear")
    assert not is_open(a) and not is_open(b)


@test(on=BOTH)
def static_key(t, kind):
    """pr_key= of the login is a registration."""
    target = kind(t)
    iqn, number, _ = target.one_disk()
    a = Side(t, "a", iqn, number, [target.portal], "pr_key=0x51")
    assert a.keys("this") == [0x51]
    a("reserve write-exclusive")
    a.write()
    a("register 0x52")
    assert a.keys("this") == [0x52] and a.holder()[0] == f"0x{0x52:016x}"


@test
def key_outlasts_connections(t):
    lio = Lio(t)
    iqn, number, _ = lio.one_disk()
    proxy = FaultProxy(t, lio.portal)
    a = Side(t, "a", iqn, number, [proxy.portal])
    b = Side(t, "b", iqn, number, [lio.portal])
    a("register 0xaa", "reserve write-exclusive")
    for n in range(3):
        proxy.cut()
        a.write(n)
        assert a.keys("this") == [0xaa] and a.holder()[-1] == "this"
        assert not can(b.write)
    proxy.cut()
    a("release")
    b.write(9)
    a("reserve exclusive-access", "release", "register 0")
    assert b.keys() == []


@test
def key_that_the_target_lost(t):
    """tgtd takes a session that comes back for another initiator, and tells no names: that is found out."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    proxy = FaultProxy(t, target.portal)
    a = Side(t, "a", iqn, number, [proxy.portal], "guard=yes")
    a("register 0xaa", "reserve write-exclusive")
    a.write()
    proxy.cut()
    wait_for(lambda: "key 0xaa is not registered any more" in a.events(), "that the key is lost is told")
    assert a.keys() == [0xaa] and a.keys("this") == [] and a.holder()[-1] != "this"
    refuses(errno.EBUSY, a.write)
    a("register 0xab")
    a("preempt 0xaa")
    assert a.keys("this") == [0xab]
    a.write(2)


@test
def two_paths(t):
    """Each path is registered, one that comes later too, and all of them are fenced off together."""
    lio = Lio(t)
    iqn, number, _ = lio.one_disk()
    a = Side(t, "a", iqn, number, lio.portals)
    b = Side(t, "b", iqn, number, [lio.portals[0]])
    a.fs.ctl(f"targets/{iqn}/lun{number}", "policy round-robin")
    assert a("register 0xaa") == "ok paths=2\n"
    rows = a.listed()[0]
    assert len(rows) == 2 and all("this" in r and a.name in r for r in rows), rows
    assert len({r[r.index("isid") + 1] for r in rows}) == 2, rows
    reply = a("reserve write-exclusive-registrants-only")
    assert reply == "ok paths=1\n", reply
    before = used(a)
    for n in range(8):
        a.write(n)
    assert all(x > y for x, y in zip(used(a), before)), "both paths are written by"
    assert not can(b.write)
    a.fs.login(iqn, f"portal={lio.portals[1]} multipath=yes")
    wait_for(lambda: a.keys("this") == [0xaa] * 3, "the path that came later is registered")
    for n in range(9):
        a.write(n)
    for line in ("release", "reserve exclusive-access-registrants-only", "release"):
        a(line)
    assert "note=" in a("reserve write-exclusive")
    b("register 0xbb", "preempt 0xaa")
    assert b.keys() == [0xbb]
    a.fs.login(iqn, f"portal={lio.portals[0]} multipath=yes")
    assert not can(a.write)
    assert b.keys() == [0xbb], "who was fenced off must not come back by a new path"
    b("clear")
    assert a("register 0xad") == "ok paths=4\n"
    assert a("register 0") == "ok paths=4\n" and a.keys() == []


@test
def preempting_all_others_keeps_our_paths(t):
    """Key 0 takes the registrations of all other nexuses: those of our own further paths are made again."""
    lio = Lio(t)
    iqn, number, _ = lio.one_disk()
    a = Side(t, "a", iqn, number, lio.portals)
    b = Side(t, "b", iqn, number, [lio.portals[0]])
    a.fs.ctl(f"targets/{iqn}/lun{number}", "policy round-robin")
    b("register 0xbb")
    a("register 0xaa", "reserve write-exclusive-all-registrants", "preempt 0")
    wait_for(lambda: a.keys() == [0xaa] * 2, "both paths are registered, and nobody else")
    before = used(a)
    for n in range(8):
        a.write(n)
    assert all(x > y for x, y in zip(used(a), before)), "both paths are written by"
    assert not can(b.write)


def used(side):
    """Commands sent by each path."""
    where = ("targets", side.iqn, f"lun{side.number}", "paths")
    text = [side.fs.read(*where, sid, "stats") for sid in side.sids]
    return [int(dict(line.split() for line in x.splitlines())["commands"]) for x in text]


@test
def waiting_opens_end(t):
    """An open that waits for a target that is silent: interrupted, and at the end of the daemon."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    proxy = FaultProxy(t, target.portal)
    a = Side(t, "a", iqn, number, [proxy.portal], "guard=yes")
    a("register 0xaa", "reserve write-exclusive")
    proxy.stall()

    def start(name, *words):
        return t.start(words, t.path(f"{name}.log"))
    cats = [start(f"cat{n}", "cat", a.lun("reservations")) for n in range(2)]
    dd = start("dd", "dd", f"of={a.lun('disk')}", "if=/dev/zero", "bs=4096", "count=1", "conv=notrunc")
    wait_for(lambda: all(is_opening(p) for p in (*cats, dd)), "all of them wait in open(2)")
    assert a.fs.read("version"), "other files answer"
    cats[0].terminate()
    cats[0].wait(LIMIT)
    assert cats[1].poll() is None and dd.poll() is None
    a.fs.stop()
    assert cats[1].wait(LIMIT) and dd.wait(LIMIT), "they failed"


def is_opening(process):
    """Waiting in openat(2), and in FUSE, if the kernel tells that: a program that starts opens libraries, too."""
    with open(f"/proc/{process.pid}/syscall") as f, open(f"/proc/{process.pid}/wchan") as g:
        where = g.read().strip()
        return f.read().split()[0] in OPENAT and (where in ("", "0") or "fuse" in where or "request_wait" in where)
