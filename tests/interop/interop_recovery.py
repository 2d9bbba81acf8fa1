# SPDX-License-Identifier: BSD-2-Clause
"""Connections fail in every way that they can, and I/O goes on: at each error recovery level, with one and with two
connections, under a load that knows what each sector must hold. Against the Linux target (LIO) behind proxies that do
the damage, and tgtd that is killed.

In all of them: no wrong byte; no I/O later than its deadline; no error unless the target was away for longer than
that; the load goes on; `events` and `stats` tell what happened."""
import os
import time

from runner import LIMIT, SLOWNESS, Case, test, wait_for
from faultproxy import COMMAND, DATA_IN, DATA_OUT, IN, OUT, R2T, RESPONSE, FaultProxy
from loadcheck import TOLERANCE, Load
from mounted import Mounted
from patterns import File
from realtargets import Tgtd, restart_tgtd
from rig import DEADLINE, NOP_INTERVAL, NOP_TIMEOUT, Rig, assert_told, stats

BOTH_DIGESTS = "header_digest=yes data_digest=yes"
# How long a silence may last before it must be noticed.
SILENCE = NOP_INTERVAL + NOP_TIMEOUT + 10 * SLOWNESS


# ---- faults: each is a function of the rig, and has passed when it returns ----

def happens(fault, what):
    assert fault.done.wait(60 * SLOWNESS), f"no PDU came to {what}"


def cut_one(rig):
    """The connection breaks, by RST."""
    assert rig.proxies[0].cut() >= 1


def cut_one_in_peace(rig):
    """FIN."""
    assert rig.proxies[0].cut("fin") >= 1


def cut_all(rig):
    for proxy in rig.proxies:
        proxy.cut()


def cut_again_and_again(rig):
    """Also while it is being brought back."""
    for n in range(8):
        rig.proxies[n % 2 if rig.count > 1 else 0].cut()
        time.sleep(0.4)


def cut_in_the_next_login(rig):
    """The first attempts to come back fail in the middle of the login."""
    proxy = rig.proxies[0]
    next_one = proxy.counters()["accepted"]
    for n in range(3):
        proxy.cut_when(next_one + n, sent=1 + 60 * n)
    proxy.cut()
    wait_for(lambda: proxy.counters()["accepted"] > next_one + 2, "it tries again")


def refused_for_a_while(rig):
    rig.proxies[0].down()
    time.sleep(4)
    rig.proxies[0].accept()


def stall_then_cut(rig):
    rig.proxies[0].stall()
    time.sleep(1)
    rig.proxies[0].cut()
    rig.proxies[0].resume()


def silence(rig, direction=None):
    """Nothing comes through any more, and nothing says so: the pings must find out."""
    proxy = rig.proxies[0]
    before = proxy.counters()["accepted"]
    proxy.stall(direction)
    try:
        wait_for(lambda: proxy.counters()["accepted"] > before, "the silence is noticed, a new connection is tried",
                 SILENCE / SLOWNESS)
    finally:
        proxy.resume()


def silence_out(rig):
    silence(rig, OUT)


def silence_in(rig):
    silence(rig, IN)


def short_silence(rig):
    """Shorter than a ping may take: nothing is lost."""
    for direction in (OUT, IN):
        rig.proxies[0].stall(direction)
        time.sleep(0.5)
        rig.proxies[0].resume()
        time.sleep(0.2)


def delay(rig):
    before = [p.counters()["accepted"] for p in rig.proxies]
    for proxy in rig.proxies:
        proxy.delay(0.3)
    time.sleep(3)
    for proxy in rig.proxies:
        proxy.delay(0)
    assert before == [p.counters()["accepted"] for p in rig.proxies], "a slow network is no reason to reconnect"


def corrupted(rig, direction, opcode, at="data", offset=0, keeps_connection=False):
    """A bit flips. @keeps_connection: from ERL 1 on the connection survives that."""
    proxy = rig.proxies[0]
    before = proxy.counters()["accepted"]
    happens(proxy.corrupt(direction, opcode, at, offset, skip=3), "corrupt")
    rig.load.goes_on("after a bit flipped")
    if keeps_connection and rig.erl:
        assert proxy.counters()["accepted"] == before, "a data digest error ended the connection"


def corrupt_data_in(rig):
    corrupted(rig, IN, DATA_IN, keeps_connection=True)


def corrupt_data_in_digest(rig):
    corrupted(rig, IN, DATA_IN, "digest", keeps_connection=True)


# LIO may close the connection after asking for the data again: see lio/README.
def corrupt_data_out(rig):
    corrupted(rig, OUT, DATA_OUT)


def corrupt_immediate_data(rig):
    corrupted(rig, OUT, COMMAND)


def corrupt_header_in(rig):
    corrupted(rig, IN, DATA_IN, "header", 19)


def corrupt_status(rig):
    corrupted(rig, IN, RESPONSE, "header", 19)


def corrupt_r2t(rig):
    corrupted(rig, IN, R2T, "header", 43)


def corrupt_command(rig):
    corrupted(rig, OUT, COMMAND, "header", 37)


def corrupt_length(rig):
    """The length of what follows: with it, the framing is lost."""
    corrupted(rig, IN, DATA_IN, "header", 6)


# Not short_silence, delay: nothing fails there.
BREAKS = (cut_one, cut_one_in_peace, cut_all, cut_again_and_again, cut_in_the_next_login, refused_for_a_while,
          stall_then_cut, silence, silence_out, silence_in)
HARMLESS = (short_silence, delay)
CORRUPT_DATA = (corrupt_data_in, corrupt_data_in_digest, corrupt_data_out, corrupt_immediate_data)
CORRUPT_HEADERS = (corrupt_header_in, corrupt_status, corrupt_r2t, corrupt_command, corrupt_length)
FAULTS = BREAKS + HARMLESS + CORRUPT_DATA + CORRUPT_HEADERS


def told(rig, faults):
    """What the tree must say after these."""
    text = rig.events()
    if set(faults) & set(BREAKS):
        assert_told(rig.fs, "connection-lost", ("reconnected", "connection-up", "session-up"))
        assert rig.stats()["conns_lost"] > 0, rig.stats()
    # In silence_out the target may be the first to lose patience: it waits for data.
    if set(faults) & {silence, silence_in}:
        assert "nop-timed-out" in text or "command-timed-out" in text, text
    if corrupt_data_in in faults or corrupt_data_in_digest in faults:
        assert "data-digest-error" in text, text
    if corrupt_header_in in faults or corrupt_status in faults:
        assert "header-digest-error" in text, text


def survives(rig, faults):
    """The faults one after another under the load; a line about it."""
    load, lines = rig.load, []
    for fault in faults:
        name = fault.__name__
        fault(rig)
        rig.recovers(f"after {name}")
        lines.append(f"{name}: {load.mark_good(name)}")
    load.stop()
    assert rig.is_whole(), rig.connection_states()
    told(rig, faults)
    rig.finish()
    return "\n".join(lines)


def grid(faults):
    return [Case(f"erl{erl}-{n}con-{f.__name__}", erl=erl, connections=n, fault=f)
            for erl in (0, 1, 2) for n in (1, 2) for f in faults]


LEVELS = [Case(f"erl{erl}-{n}con", erl=erl, connections=n) for erl in (0, 1, 2) for n in (1, 2)]
SHORT = [cut_one, corrupt_data_in, corrupt_data_out, cut_all]


@test(limit=180, on=LEVELS, is_long=True)
def no_fault(t, case):
    rig = Rig(t, case.erl, case.connections, keys=BOTH_DIGESTS)
    rig.log_in()
    load = rig.run(threads=32)
    load.goes_on(count=20000)
    load.mark_good()
    window = load.stop()
    assert rig.stats()["conns_lost"] == rig.stats()["retries"] == 0, rig.stats()
    rig.finish()
    return str(window)


@test(limit=240, on=[x for x in LEVELS if x.connections == 1 or x.erl == 2])
def faults_in_short(t, case):
    rig = Rig(t, case.erl, case.connections, keys=BOTH_DIGESTS)
    rig.log_in()
    rig.run()
    return survives(rig, SHORT)


@test(limit=300, on=grid(FAULTS), is_long=True)
def fault(t, case):
    rig = Rig(t, case.erl, case.connections, keys=BOTH_DIGESTS)
    rig.log_in()
    rig.run(threads=16)
    return survives(rig, [case.fault])


@test(limit=900, on=LEVELS, is_long=True)
def all_faults_after_another(t, case):
    """One session lives through everything."""
    rig = Rig(t, case.erl, case.connections, keys=BOTH_DIGESTS)
    rig.log_in()
    rig.run(threads=16)
    return survives(rig, FAULTS)


@test(limit=300, on=[Case(f"erl{erl}", erl=erl) for erl in (0, 1, 2)], is_long=True)
def faults_with_other_words(t, case):
    """Everything waits for a transfer request, bursts in any order, no digests; the session asks for Time2Wait."""
    rig = Rig(t, case.erl, 2, keys="initial_r2t=yes immediate_data=no", InitialR2T="Yes", ImmediateData="No",
              DataSequenceInOrder="No", MaxOutstandingR2T=4, DefaultTime2Wait=2, HeaderDigest="None", DataDigest="None")
    rig.log_in()
    rig.run()
    return survives(rig, [cut_one, stall_then_cut, cut_all, silence, delay])


@test(limit=240, on=[Case(f"erl{erl}", erl=erl) for erl in (0, 2)], is_long=True)
def faults_under_a_buffered_load(t, case):
    """The page cache in between: an fsync that says yes has reached the target."""
    rig = Rig(t, case.erl, 1, keys=BOTH_DIGESTS)
    rig.log_in()
    rig.run(mode="buffered")
    return survives(rig, [cut_one, stall_then_cut, corrupt_data_in, cut_again_and_again])


# ---- the policies of several connections ----

POLICIES = ("failover", "round-robin", "round-robin-subset", "weighted", "least-queue-depth")


def used(rig, function=None):
    """Which proxies carry commands during some of the load."""
    before = [p.counters()["opcodes"][COMMAND] for p in rig.proxies]
    if function:
        function()
    else:
        rig.load.goes_on(count=100)
    after = [p.counters()["opcodes"][COMMAND] for p in rig.proxies]
    return [b - a for a, b in zip(before, after)]


def both_are_used(policy, counts):
    first, second = counts
    if policy in ("failover", "weighted"):
        # what was already under way when the policy changed is little
        assert first > 10 * second, f"{policy}: {counts}"
    elif policy in ("round-robin", "round-robin-subset"):
        assert min(counts) > sum(counts) / 3, f"{policy}: {counts}"
    else:
        assert sum(counts) > 0


@test(limit=240, on=[Case("erl0", erl=0), Case("erl2", erl=2, is_long=True)])
def policies_with_one_of_two_connections_cut(t, case):
    rig = Rig(t, case.erl, 2)
    rig.log_in()
    fs, where = rig.fs, f"sessions/{rig.sid}"
    rig.run()
    for policy in POLICIES:
        fs.ctl(where, f"policy {policy}")
        assert fs.read("sessions", rig.sid, "policy") == policy
        cids = [rig.remotes()[p.portal] for p in rig.proxies]
        for cid, role, weight in zip(cids, ("active", "standby" if policy == "failover" else "active"), (1, 9)):
            fs.ctl(f"{where}/connections/{cid}", f"role {role}")
            fs.ctl(f"{where}/connections/{cid}", f"weight {weight}")
        rig.load.goes_on(f"with {policy}")
        both_are_used(policy, used(rig))
        # The one that carries it all where there is such a one; in the long run, the other too.
        for n in (0, 1) if case.erl else (0,):
            proxy = rig.proxies[n]
            proxy.down()
            rig.load.goes_on(f"with {policy}, connection {n} cut")
            if case.erl == 2:
                assert rig.fs.read("sessions", rig.sid, "state") == "logged-in", rig.connection_states()
            proxy.accept()
            rig.recovers(f"with {policy}, after connection {n} was cut")
        rig.load.mark_good(policy)
        # a path that comes back takes its role back
        rig.load.goes_on(f"with {policy}, after all")
        both_are_used(policy, used(rig))
    assert_told(fs, "policy-changed", "connection-lost")
    rig.finish()


@test(limit=180)
def roles_and_weights_are_changed_live(t):
    rig = Rig(t, 0, 2)
    rig.log_in()
    fs, where = rig.fs, f"sessions/{rig.sid}"
    rig.run()
    cids = [rig.remotes()[p.portal] for p in rig.proxies]
    fs.ctl(where, "policy failover")
    for active in (0, 1, 0):
        for n, cid in enumerate(cids):
            fs.ctl(f"{where}/connections/{cid}", f"role {'active' if n == active else 'standby'}")
        rig.load.goes_on()
        counts = used(rig)
        assert counts[active] > 10 * counts[1 - active], counts
    fs.ctl(where, "policy weighted")
    for light in (0, 1, 0):
        for n, cid in enumerate(cids):
            fs.ctl(f"{where}/connections/{cid}", f"weight {1 if n == light else 100}")
        rig.load.goes_on()
        counts = used(rig)
        assert counts[light] > 10 * counts[1 - light], counts
    rig.load.mark_good()
    rig.finish()


@test(limit=180)
def connections_added_and_removed_under_load(t):
    rig = Rig(t, 0, 1, keys="max_connections=4")
    rig.log_in()
    fs, where = rig.fs, f"sessions/{rig.sid}"
    rig.run()
    fs.ctl(where, "policy round-robin")
    for _ in range(3):
        for n in (1, 0, 1):
            fs.ctl(where, f"add-connection portal={rig.proxies[n].portal}")
        assert len(rig.connections()) == 4, rig.connection_states()
        rig.load.goes_on("with four connections")
        for cid in list(rig.connections())[:3]:
            fs.ctl(where, f"remove-connection {cid}")
            rig.load.goes_on("with one less")
        (last,) = rig.connections()
        try:
            fs.ctl(where, f"remove-connection {last}")
            raise AssertionError("the last connection was removed")
        except OSError:
            pass
        rig.load.goes_on("with the last one")
    rig.load.mark_good()
    rig.finish()


# ---- the target itself is away ----

def both_portals_down(t, seconds, deadline):
    """For less than the deadline: I/O waits, and succeeds."""
    rig = Rig(t, 0, 2, deadline=deadline)
    rig.log_in()
    load = rig.run()
    for proxy in rig.proxies:
        proxy.down()
    wait_for(lambda: rig.fs.read("sessions", rig.sid, "state") == "retrying", "the session is shown as retrying")
    time.sleep(seconds)
    for proxy in rig.proxies:
        proxy.accept()
    rig.recovers("after both portals were down")
    load.mark_good("both down")
    assert_told(rig.fs, "session-retrying", "session-up")
    rig.finish()


@test(limit=180)
def both_portals_are_down_for_a_moment(t):
    both_portals_down(t, 3, DEADLINE)


@test(limit=180, is_long=True)
def both_portals_are_down_for_20_seconds(t):
    both_portals_down(t, 20, 30)


@test(limit=180, on=[Case("refused", silent=False), Case("silent", silent=True, is_long=True)])
def the_target_is_away_for_longer_than_the_deadline(t, case):
    """I/O fails at its deadline, not before and not much later; when the target is back it works again by itself."""
    deadline = 5
    rig = Rig(t, 0, 1, deadline=deadline)
    rig.log_in()
    load, proxy = rig.run(), rig.proxies[0]
    load.mark_good()
    if case.silent:
        proxy.stall()
    else:
        proxy.down()
    load.fails(60 * SLOWNESS)
    time.sleep(deadline)
    window = load.mark()
    assert window.errors and window.min_error_ms >= (deadline - 1) * 1000, f"an error before the deadline: {window}"
    assert window.max_ms <= (deadline + TOLERANCE) * 1000, f"{window.max_ms} ms"
    assert all("Input/output error" in line for line in load.failures), load.failures
    assert rig.fs.read("sessions", rig.sid, "state") == "retrying"
    proxy.resume()
    proxy.accept()
    # Between two attempts to come back there may be a pause.
    load.goes_on("when the target is back", limit=60 * SLOWNESS)
    window = load.mark()
    assert window.max_ms <= (deadline + TOLERANCE) * 1000, f"{window.max_ms} ms"
    load.goes_on(count=500)
    load.mark_good("after all")
    assert_told(rig.fs, "connection-lost", "io-failed", "session-up")
    rig.finish()


@test(limit=180)
def tgtd_is_killed_and_started_again(t):
    """A session restart: the same data, nothing half written."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn, f"command_timeout={DEADLINE}")
    load = Load(t, fs.disk(iqn, number), DEADLINE)
    load.start()
    for n in range(3):
        target.kill()
        time.sleep(1)
        target = restart_tgtd(t, target, [("disk1", number, backing)], f"tgtd-{n}")
        load.goes_on(f"after tgtd was killed, round {n}")
        load.mark_good(f"round {n}")
    assert fs.sids(iqn) == [sid], "the session is another one"
    assert stats(fs, "sessions", sid)["conns_lost"] >= 3, stats(fs, "sessions", sid)
    assert_told(fs, "connection-lost", ("session-up", "reconnected"))
    load.finish(backing)


@test(limit=240, is_long=True)
def tgtd_is_frozen_and_goes_on(t):
    """SIGSTOP: it answers nothing, and its kernel still takes connections."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, f"command_timeout={DEADLINE} nop_interval=1 nop_timeout=2")
    load = Load(t, fs.disk(iqn, number), DEADLINE)
    load.start()
    for seconds in (1, 8):
        os.kill(target.process.pid, 19)
        time.sleep(seconds)
        os.kill(target.process.pid, 18)
        load.goes_on(f"after {seconds} s of SIGSTOP")
        load.mark_good(f"{seconds} s")
    load.finish(backing)


@test(limit=180)
def the_guest_closes_every_connection(t):
    """The target is disabled and enabled again: logins are refused meanwhile."""
    rig = Rig(t, 0, 2)
    rig.log_in()
    load = rig.run()
    rig.lio.enable(rig.iqn, False)
    time.sleep(2)
    rig.lio.enable(rig.iqn)
    rig.recovers("after the target was disabled")
    load.mark_good("disabled")
    rig.finish()


@test(limit=180)
def logout_while_retrying(t):
    """A session that is being brought back can be ended, and ends its I/O."""
    # Its I/O would wait for much longer by itself.
    rig = Rig(t, 0, 1, deadline=int(3 * LIMIT))
    rig.log_in()
    rig.run()
    rig.proxies[0].down()
    wait_for(lambda: rig.fs.read("sessions", rig.sid, "state") == "retrying", "the session is retrying")
    started = time.monotonic()
    rig.fs.logout(rig.iqn, "force=yes")
    rig.load.fails(60 * SLOWNESS)
    assert time.monotonic() - started < LIMIT
    assert rig.fs.sids(rig.iqn) == []
    rig.load.stop()
    rig.proxies[0].accept()
    sid = rig.fs.login(rig.iqn, f"portal={rig.proxies[0].portal} {rig.keys}")
    assert sid != rig.sid
    with File(rig.fs.disk(rig.iqn, rig.number), direct=True) as f:
        f.read(4096, 0)


@test(limit=180, is_long=True)
def the_daemon_ends_while_retrying(t):
    rig = Rig(t, 0, 1)
    rig.log_in()
    rig.run()
    rig.proxies[0].down()
    wait_for(lambda: rig.fs.read("sessions", rig.sid, "state") == "retrying", "the session is retrying")
    started = time.monotonic()
    rig.fs.stop()
    assert time.monotonic() - started < DEADLINE + TOLERANCE
    rig.load.fails(30 * SLOWNESS)


@test(limit=600, is_long=True)
def an_hour_in_minutes(t):
    """Faults at random for four minutes, at ERL 2 with two connections. Several may meet the same I/O, and LIO loses
    commands (lio/README): a deadline that has room for that."""
    import random
    rng = random.Random(1)
    rig = Rig(t, 2, 2, deadline=60, keys=BOTH_DIGESTS)
    rig.log_in()
    load = rig.run(threads=24)
    end = time.monotonic() + 240
    names = []
    while time.monotonic() < end:
        chosen = rng.choice(BREAKS + HARMLESS + CORRUPT_DATA + CORRUPT_HEADERS)
        rig.proxies.reverse()
        names.append(chosen.__name__)
        chosen(rig)
        rig.recovers(f"after {', '.join(names[-5:])}")
        load.mark_good(names[-1])
    rig.finish()
    return f"{len(names)} faults: {' '.join(names)}"
