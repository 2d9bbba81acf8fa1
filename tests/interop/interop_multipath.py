# SPDX-License-Identifier: BSD-2-Clause
"""Several sessions to one disk: they are one file, paths leave and return under a verifying load, ALUA is respected,
and what only claims to be the same is never merged."""
import errno
import os
import time

from runner import Case, refuses, test, wait_for
from faultproxy import FaultProxy
from lio import MIB, STATES, Lio
from loadcheck import TOLERANCE
from mounted import Mounted
from patterns import File, pattern, same
from realtargets import Tgtd, restart_tgtd
from rig import DEADLINE, Rig, assert_told

USABLE = ("optimized", "non-optimized")
READ_10, WRITE_10, READ_16, WRITE_16 = 0x28, 0x2a, 0x88, 0x8a
DATA_CDBS = (READ_10, WRITE_10, READ_16, WRITE_16, 0x08, 0x0a, 0xa8, 0xaa)


class Paths(Rig):
    """A session by each portal. @targets: their names, when it is not one; each has a portal of its own."""

    def __init__(self, t, targets=None, **words):
        super().__init__(t, **words)
        self.targets = targets or [self.iqn, self.iqn]
        self.sids = []

    def log_in(self):
        for iqn, proxy in zip(self.targets, self.proxies):
            self.sids.append(self.fs.login(iqn, f"portal={proxy.portal} multipath=yes {self.keys}"))
        self.sid = self.sids[0]
        wait_for(lambda: sorted(self.states()) == sorted(self.sids), "both sessions are paths of the disk")
        return self.sids

    def luns(self):
        """Directories of units that are the disk."""
        return [("targets", iqn, f"lun{self.number}") for iqn in dict.fromkeys(self.targets)]

    def states(self):
        """{SID: state}, from all directories of the disk."""
        found = {}
        for lun in self.luns():
            for sid in self.fs.ls(*lun, "paths"):
                if sid.isdigit():
                    found[sid] = self.fs.read(*lun, "paths", sid, "state")
        return found

    def state(self, n):
        return self.states().get(self.sids[n])

    def is_whole(self):
        return all(self.state(n) in USABLE for n in range(len(self.sids)))

    def connection_states(self):
        return f"paths {self.states()}"

    def ctl(self, text):
        return self.fs.ctl(os.path.join(*self.luns()[0]), text)

    def data_commands(self, function=None):
        """Reads and writes by each proxy during some of the load."""
        def count():
            return [sum(p.counters()["cdbs"][x] for x in DATA_CDBS) for p in self.proxies]
        before = count()
        if function:
            function()
        else:
            self.load.goes_on(count=100)
        return [b - a for a, b in zip(before, count())]

    def wwid(self):
        return self.fs.read(*self.luns()[0], "wwid")


def paths_fail_and_return(rig, rounds=1):
    """One path at a time, then both for a moment."""
    load = rig.load
    for _ in range(rounds):
        for n, proxy in enumerate(rig.proxies):
            proxy.down()
            load.goes_on(f"with path {n} cut")
            wait_for(lambda n=n: rig.state(n) not in USABLE, f"path {n} is shown as failed")
            counts = rig.data_commands()
            assert counts[1 - n] and not counts[n], counts
            proxy.accept()
            rig.recovers(f"after path {n} was cut")
        for proxy in rig.proxies:
            proxy.down()
        time.sleep(2)
        for proxy in rig.proxies:
            proxy.accept()
        rig.recovers("after both paths were cut")
    load.mark_good("paths cut")
    assert_told(rig.fs, ("path-failed", "connection-lost"), "path-restored")


@test(limit=240, on=[Case("erl0", erl=0), Case("erl2", erl=2, is_long=True)])
def two_sessions_of_a_target(t, case):
    rig = Paths(t, erl=case.erl)
    refused_without_the_flag(rig)
    rig.log_in()
    assert len(rig.fs.ls("targets", rig.iqn, "sessions")) == 2
    assert rig.fs.ls("by-id").count(rig.wwid()) == 1
    rig.run()
    rig.ctl("policy round-robin")
    paths_fail_and_return(rig)
    counts = rig.data_commands()
    assert min(counts) > sum(counts) / 3, counts
    rig.finish()


def refused_without_the_flag(rig):
    """C5: a second session only with multipath=yes."""
    rig.fs.login(rig.iqn, f"portal={rig.proxies[0].portal}")
    refuses(errno.EEXIST, rig.fs.login, rig.iqn, f"portal={rig.proxies[1].portal}")
    rig.fs.logout(rig.iqn)


@test(limit=240)
def two_targets_with_one_disk(t):
    both = []

    def shared(lio, **words):
        iqns, number, disk = lio.shared_disk(**words)
        both.extend(iqns)
        return iqns[0], number, disk
    rig = Paths(t, targets=both, target=shared)
    rig.log_in()
    assert rig.fs.ls("by-id").count(rig.wwid()) == 1 and len(rig.fs.ls("by-id")) == 1, rig.fs.ls("by-id")
    assert len({rig.fs.read(*lun, "wwid") for lun in rig.luns()}) == 1
    rig.run()
    paths_fail_and_return(rig)
    # a whole target leaves; its disk stays by the other
    rig.load.goes_on()
    rig.fs.logout(both[1])
    rig.load.goes_on("with one target logged out")
    assert list(rig.states()) == rig.sids[:1] if both[1] not in rig.fs.ls("targets") else True
    rig.load.mark_good("one target logged out")
    rig.finish()


@test(limit=240)
def policies_of_paths(t):
    rig = Paths(t)
    rig.log_in()
    rig.run()
    for policy in ("failover", "round-robin", "round-robin-subset", "weighted", "least-queue-depth"):
        rig.ctl(f"policy {policy}")
        for n, sid in enumerate(rig.sids):
            rig.ctl(f"path {sid} role={'standby' if n and policy == 'failover' else 'active'} weight={1 + 9 * n}")
        rig.load.goes_on(f"with {policy}")
        first, second = rig.data_commands()
        if policy in ("failover", "weighted"):
            assert first > 10 * second, f"{policy}: {first} {second}"
        elif policy != "least-queue-depth":
            assert min(first, second) > (first + second) / 3, f"{policy}: {first} {second}"
        rig.proxies[0].down()
        rig.load.goes_on(f"with {policy} and one path")
        rig.proxies[0].accept()
        rig.recovers(f"with {policy}")
        rig.load.mark_good(policy)
    rig.finish()


@test(limit=300, is_long=True, on=[Case("silence"), Case("cuts")])
def paths_in_trouble(t, case):
    """A path that is silent rather than cut; and both cut in turn without a pause."""
    rig = Paths(t)
    rig.log_in()
    load = rig.run(threads=16)
    rig.ctl("policy round-robin")
    if case.__name__ == "silence":
        for n, proxy in enumerate(rig.proxies):
            proxy.stall()
            load.goes_on(f"with path {n} silent")
            wait_for(lambda n=n: rig.state(n) not in USABLE, f"path {n} is shown as failed")
            proxy.resume()
            rig.recovers(f"after path {n} was silent")
            load.mark_good(f"path {n} silent")
    else:
        for n in range(40):
            rig.proxies[n % 2].cut()
            time.sleep(0.3)
        rig.recovers("after all the cuts")
        load.mark_good("cuts")
    rig.finish()


@test(limit=240, is_long=True)
def both_paths_down_longer_than_the_deadline(t):
    deadline = 5
    rig = Paths(t, deadline=deadline)
    rig.log_in()
    load = rig.run()
    for proxy in rig.proxies:
        proxy.down()
    load.fails(deadline + TOLERANCE)
    time.sleep(deadline)
    window = load.mark()
    assert window.min_error_ms >= (deadline - 1) * 1000, f"an error before the deadline: {window}"
    assert window.max_ms <= (deadline + TOLERANCE) * 1000, f"{window.max_ms} ms"
    for proxy in rig.proxies:
        proxy.accept()
    load.goes_on("when the paths are back", limit=60)
    rig.recovers("when the paths are back")
    load.mark()
    load.goes_on(count=500)
    load.mark_good("after all")
    rig.finish()


# ---- ALUA ----

def alua(first, second, explicit=False):
    def make(lio, **words):
        return lio.alua_disk(first, second, explicit, **words)
    return make


def set_states(rig, *states):
    """Of the groups a and b; what gets better first, so that there is no moment without a usable path."""
    for group, state in sorted(zip("ab", states), key=lambda x: list(STATES).index(x[1])):
        rig.lio.set_state(rig.backing, group, state)


@test(limit=240)
def alua_states_are_respected(t):
    rig = Paths(t, target=alua("optimized", "standby"))
    rig.log_in()

    def shows(*states):
        wait_for(lambda: [rig.state(n) for n in range(2)] == list(states), f"the paths are {states}")
    shows("optimized", "standby")
    load = rig.run()
    rig.ctl("policy round-robin")
    counts = rig.data_commands()
    assert counts[0] and not counts[1], f"a standby path is used: {counts}"

    def change(*states):
        set_states(rig, *states)
        load.goes_on(f"with the paths {states}")
        shows(*states)
        load.goes_on(f"with the paths {states}")
        return rig.data_commands()
    counts = change("standby", "optimized")
    assert counts[1] and not counts[0], f"after the change: {counts}"
    counts = change("non-optimized", "optimized")
    assert counts[1] and not counts[0], f"a non-optimized path is used beside an optimized one: {counts}"
    counts = change("optimized", "optimized")
    assert min(counts) > sum(counts) / 3, counts
    counts = change("non-optimized", "unavailable")
    assert counts[0] and not counts[1], counts
    counts = change("optimized", "non-optimized")
    # the optimized one fails: the other is used, until it is back
    rig.proxies[0].down()
    load.goes_on("with the optimized path cut")
    counts = rig.data_commands()
    assert counts[1] and not counts[0], counts
    rig.proxies[0].accept()
    rig.recovers("after the optimized path was cut")
    wait_for(lambda: rig.data_commands()[1] == 0, "the optimized path takes over again")
    load.mark_good("ALUA")
    assert_told(rig.fs, "path-state")
    rig.finish()


@test(limit=240, is_long=True)
def alua_changes_again_and_again(t):
    rig = Paths(t, target=alua("optimized", "standby"))
    rig.log_in()
    load = rig.run(threads=16)
    for n in range(30):
        set_states(rig, *(("standby", "optimized") if n % 2 == 0 else ("optimized", "standby")))
        time.sleep(0.3)
    load.goes_on("after 30 changes")
    load.mark_good("changes")
    rig.finish()


@test(limit=240)
def alua_standby_group_is_asked_to_become_active(t):
    """Explicit ALUA: the only path that is left is a standby one."""
    rig = Paths(t, target=alua("optimized", "standby", explicit=True))
    rig.log_in()
    load = rig.run()
    rig.proxies[0].down()
    load.goes_on("with only a standby path")
    wait_for(lambda: rig.state(1) in USABLE, "the standby path is shown as active")
    rig.proxies[0].accept()
    rig.recovers("after the optimized path was cut")
    load.mark_good("explicit ALUA")
    rig.finish()


@test(limit=240, is_long=True)
def alua_both_standby_then_not(t):
    """No usable path for a while: I/O waits, and goes on."""
    rig = Paths(t, target=alua("optimized", "standby"))
    rig.log_in()
    load = rig.run()
    rig.lio.set_state(rig.backing, "a", "unavailable")
    time.sleep(3)
    rig.lio.set_state(rig.backing, "a", "optimized")
    load.goes_on("after no path was usable")
    load.mark_good("no path")
    rig.finish()


# ---- what is not the same ----

def disks_are_two(fs, places):
    """[(lun directory, backing file or function that gives its bytes)]: what is written to one is not in the other."""
    for n, (lun, backing) in enumerate(places):
        data = pattern(65536, n)
        with File(fs.path(*lun, "disk"), direct=True) as f:
            f.write(data, 65536 * n)
            same(f.read(65536, 65536 * n), data, f"{lun}: what was just written")
        same(backing(65536 * n, 65536), data, f"{lun}: the target's own file")
    for n, (lun, backing) in enumerate(places):
        other = 65536 * (1 - n)
        same(backing(other, 65536), bytes(65536), f"{lun}: where only the other was written")
        with File(fs.path(*lun, "disk"), direct=True) as f:
            same(f.read(65536, other), bytes(65536), f"{lun}: where only the other was written")


def bytes_of(path):
    def read(offset, size):
        with open(path() if callable(path) else path, "rb") as f:
            f.seek(offset)
            return f.read(size)
    return read


@test(limit=180)
def two_tgtds_with_the_same_identifiers(t):
    """tgtd makes its identifiers of numbers that every tgtd starts with."""
    fs = Mounted(t)
    places, sids = [], []
    for name in ("one", "two"):
        target = Tgtd(t, name=f"tgtd-{name}")
        target.base += f"{name}:"
        iqn, number, backing = target.one_disk()
        fs.discover(target.portal)
        sids.append(fs.login(iqn, "multipath=yes"))
        places.append((("targets", iqn, f"lun{number}"), bytes_of(backing)))
    ids = [fs.read(*lun, "serial") for lun, _ in places]
    assert ids[0] == ids[1], f"the test needs the same identifiers: {ids}"
    for (lun, _), sid in zip(places, sids):
        assert [x for x in fs.ls(*lun, "paths") if x.isdigit()] == [sid], "two disks were merged"
    disks_are_two(fs, places)


@test(limit=180)
def a_target_whose_disks_have_one_identifier(t):
    """Two units of different sizes with the same NAA name, by two sessions."""
    lio = Lio(t)
    iqn, luns = lio.twin_disks()
    fs = Mounted(t)
    fs.discover(lio.portal)
    sids = [fs.login(iqn, f"portal={portal} multipath=yes") for portal in lio.portals]
    places = [(("targets", iqn, f"lun{n}"), bytes_of(lambda d=disk: lio.fetch(d))) for n, disk in luns.items()]
    for (lun, _), disk in zip(places, luns.values()):
        assert fs.read(*lun, "size") == str(disk.size), "two disks were merged"
        assert set(x for x in fs.ls(*lun, "paths") if x.isdigit()) <= set(sids)
    disks_are_two(fs, places)


@test(limit=180)
def a_target_that_comes_back_with_another_disk(t):
    """tgtd is started again with another file of another size: nothing of it is taken for the old disk."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, f"command_timeout={DEADLINE}")
    lun = ("targets", iqn, f"lun{number}")
    with File(fs.path(*lun, "disk"), direct=True) as f:
        f.write(pattern(4096, 1), 0)
        target.kill()
        other = t.file("other", 32 * MIB)
        restart_tgtd(t, target, [("disk1", number, other)])
        try:
            for _ in range(100):
                f.write(pattern(4096, 2), 0)
                time.sleep(0.05)
        except OSError:
            pass
        else:
            raise AssertionError("a file that was open for one disk writes to another")
    same(bytes_of(other)(0, 4096), bytes(4096), "the new disk")


@test(limit=240, is_long=True)
def mpio_over_mcs(t):
    """Two sessions with two connections each; connections fail one by one, then sessions."""
    rig = Paths(t, connections=2)
    rig.log_in()
    more = FaultProxy(t, rig.lio.portals[0])
    for sid in rig.sids:
        rig.fs.ctl(f"sessions/{sid}", f"add-connection portal={more.portal}")
    load = rig.run()
    for proxy in (more, *rig.proxies, more):
        proxy.cut()
        load.goes_on("after a connection of each was cut")
        time.sleep(1)
    rig.recovers("after all")
    for sid in rig.sids:
        wait_for(lambda sid=sid: sorted(rig.connections(sid).values()) == ["logged-in"] * 2, f"session {sid} is whole")
    load.mark_good("MPIO over MCS")
    rig.finish()


@test(limit=240, is_long=True)
def buffered_load_over_two_paths(t):
    rig = Paths(t)
    rig.log_in()
    rig.run(mode="buffered")
    paths_fail_and_return(rig)
    rig.finish()
