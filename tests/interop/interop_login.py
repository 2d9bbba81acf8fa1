# SPDX-License-Identifier: BSD-2-Clause
"""Login and logout: negotiation as asked for, CHAP one way and mutual, redirect, and what must be refused."""
import errno
import itertools
import os
import subprocess
import sys

from runner import LIMIT, refuses, test, wait_for
from mounted import Mounted
from patterns import File, backing_read, pattern, same
from realtargets import SECRET, SECRET_IN, USER, USER_IN, Istgt, Tgtd

BOTH = (Tgtd, Istgt)
# tgtd takes digests only when told so, for each target.
DIGESTS = {"HeaderDigest": "CRC32C,None", "DataDigest": "CRC32C,None"}
WORDS = {"yes": "Yes", "no": "No"}


def shows_disk(fs, iqn, number):
    return os.path.exists(fs.disk(iqn, number))


def moves_data(fs, iqn, number, backing, seed=1):
    """Some bytes there and back, compared with the target's own file."""
    with File(fs.disk(iqn, number), direct=True) as f:
        for offset, size in ((0, 512), (4096, 8192), (1 << 20, 1 << 20)):
            data = pattern(size, seed + offset)
            f.write(data, offset)
            same(backing_read(backing, offset, size), data, "the target's file after a write")
            same(f.read(size, offset), data, "a read of what was written")


@test(on=BOTH)
def login_then_logout(t, kind):
    target = kind(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn)
    wait_for(lambda: target.connections() == 1, "one connection")
    assert shows_disk(fs, iqn, number)
    assert fs.read("targets", iqn, "state").lower().replace("-", "_") == "logged_in", fs.read("targets", iqn, "state")
    assert fs.read("targets", iqn, "sessions", sid, "tsih") not in ("0", "0x0000")
    assert sid in fs.ls("sessions")
    assert os.path.samefile(fs.path("sessions", sid), fs.path("targets", iqn, "sessions", sid))
    assert fs.json("targets", iqn) and fs.json("targets", iqn, "sessions", sid)
    moves_data(fs, iqn, number, backing)
    assert fs.logout(iqn).startswith("ok")
    assert fs.sids(iqn) == [] and not shows_disk(fs, iqn, number)
    wait_for(lambda: target.connections() == 0, "the target has no connection")
    if kind is Tgtd:
        assert target.sessions() == []


@test
def session_ids_are_never_used_twice(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    seen = set()
    for _ in range(5):
        sid = fs.login(iqn)
        assert sid not in seen
        seen.add(sid)
        fs.ctl(f"sessions/{sid}", "logout")


@test(on=BOTH)
def second_login_is_refused(t, kind):
    target = kind(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    e = refuses(errno.EEXIST, fs.login, iqn)
    assert "errno=EEXIST" in e.reply and "text=" in e.reply, e.reply
    assert len(fs.sids(iqn)) == 1
    wait_for(lambda: target.connections() == 1, "one connection")


@test(on=BOTH)
def logout_of_an_open_disk_names_the_process(t, kind):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    # Another process, so that its name can be told from ours.
    holder = subprocess.Popen(["sleep", "1000"], stdin=open(fs.disk(iqn, number)))
    try:
        e = refuses(errno.EBUSY, fs.logout, iqn)
        told = e.reply + fs.read("targets", iqn, "error")
        # The descriptor was opened by this process and is held by that one: naming either is right.
        assert any(str(pid) in told for pid in (holder.pid, os.getpid())), told
        assert len(fs.sids(iqn)) == 1
    finally:
        holder.kill()
        holder.wait()
    wait_for(lambda: fs.logout(iqn), "logout works once the disk is closed")


@test
def forced_logout_of_an_open_disk(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    with File(fs.disk(iqn, number), direct=True) as f:
        f.read(512, 0)
        fs.logout(iqn, "force=yes")
        try:
            f.read(4096, 0)
        except OSError:
            pass
        else:
            raise AssertionError("a read worked after a forced logout")
    assert fs.sids(iqn) == [] and target.sessions() == []


@test(on=BOTH)
def digests_as_asked_for(t, kind):
    target = kind(t)
    iqn, number, backing = target.one_disk()
    if kind is Tgtd:
        target.set(1, **DIGESTS)
    fs = Mounted(t)
    fs.discover(target.portal)
    for header, data in itertools.product(("no", "yes"), repeat=2):
        sid = fs.login(iqn, f"header_digest={header} data_digest={data}")
        params = fs.params(iqn, sid)
        want = {"no": "None", "yes": "CRC32C"}
        assert params["HeaderDigest"][1] == want[header], params
        assert params["DataDigest"][1] == want[data], params
        moves_data(fs, iqn, number, backing, seed=hash((header, data)) & 0xffff)
        fs.logout(iqn)


@test(on=BOTH)
def preferred_digests_are_agreed(t, kind):
    target = kind(t)
    iqn, number, backing = target.one_disk()
    if kind is Tgtd:
        target.set(1, **DIGESTS)
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn, "header_digest=prefer data_digest=prefer")
    params = fs.params(iqn, sid)
    assert params["HeaderDigest"][1] == params["DataDigest"][1] == "CRC32C", params
    moves_data(fs, iqn, number, backing)


@test
def digests_required_but_refused_by_the_target(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    target.set(1, HeaderDigest="None", DataDigest="None")
    fs = Mounted(t)
    fs.discover(target.portal)
    try:
        fs.login(iqn, "header_digest=yes")
    except OSError:
        assert fs.sids(iqn) == []
    else:
        raise AssertionError("logged in without the digest that was asked for")
    fs.login(iqn, "header_digest=prefer data_digest=prefer")


@test
def first_burst_combinations(t):
    """InitialR2T and ImmediateData in all four combinations, with bursts small enough to matter."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    target.set(1, InitialR2T="No", ImmediateData="Yes", FirstBurstLength=16384, MaxBurstLength=65536,
               MaxRecvDataSegmentLength=8192)
    fs = Mounted(t)
    fs.discover(target.portal)
    for r2t, immediate in itertools.product(("no", "yes"), repeat=2):
        sid = fs.login(iqn, f"initial_r2t={r2t} immediate_data={immediate}")
        params = fs.params(iqn, sid)
        assert params["InitialR2T"][1] == WORDS[r2t] and params["ImmediateData"][1] == WORDS[immediate], params
        assert params["FirstBurstLength"][1] == "16384" and params["MaxBurstLength"][1] == "65536", params
        moves_data(fs, iqn, number, backing, seed=hash((r2t, immediate)) & 0xffff)
        fs.logout(iqn)


@test(on=BOTH)
def chap_with_the_right_secret(t, kind):
    target = kind(t)
    iqn, number, backing = target.chap_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, f"auth=chap user={USER} secret={SECRET}")
    moves_data(fs, iqn, number, backing)


@test(on=BOTH)
def chap_with_a_wrong_secret(t, kind):
    target = kind(t)
    iqn, number, backing = target.chap_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    wrong = "a-wrong-secret-0815"
    e = refuses(errno.EACCES, fs.login, iqn, f"auth=chap user={USER} secret={wrong}")
    assert "errno=EACCES" in e.reply and "ISDSC_" in e.reply and "text=" in e.reply, e.reply
    told = fs.read("targets", iqn, "error")
    assert "login" in told, told
    # C3: a secret is told nowhere.
    assert wrong not in told + e.reply + open(fs.log).read()
    refuses(errno.EACCES, fs.login, iqn)
    refuses(errno.EACCES, fs.login, iqn, f"auth=chap user=nobody secret={SECRET}")
    assert fs.sids(iqn) == []
    fs.login(iqn, f"auth=chap user={USER} secret={SECRET}")
    moves_data(fs, iqn, number, backing)


@test
def chap_secret_in_hexadecimal_and_from_a_file(t):
    target = Tgtd(t)
    iqn, _, _ = target.chap_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.login(iqn, f"auth=chap user={USER} secret=0x{SECRET.encode().hex()}")
    fs.logout(iqn)
    path = t.path("secret")
    with open(path, "w") as f:
        os.fchmod(f.fileno(), 0o600)
        f.write(SECRET + "\n")
    fs.login(iqn, f"auth=chap user={USER} secret_file={path}")
    fs.logout(iqn)
    os.chmod(path, 0o644)
    try:
        fs.login(iqn, f"auth=chap user={USER} secret_file={path}")
    except OSError:
        pass
    else:
        raise AssertionError("a secret that everybody can read was taken")


@test
def chap_secret_too_short(t):
    target = Tgtd(t)
    iqn, _, _ = target.chap_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    refuses(errno.EINVAL, fs.login, iqn, f"auth=chap user={USER} secret=short")
    refuses(errno.EINVAL, fs.login, iqn, "auth=chap")


@test(on=BOTH)
def mutual_chap(t, kind):
    target = kind(t)
    iqn, number, backing = target.chap_disk(mutual=True)
    fs = Mounted(t)
    fs.discover(target.portal)
    ours = f"auth=mutual user={USER} secret={SECRET}"
    fs.login(iqn, f"{ours} user_in={USER_IN} secret_in={SECRET_IN}")
    moves_data(fs, iqn, number, backing)
    fs.logout(iqn)
    e = refuses(errno.EACCES, fs.login, iqn, f"{ours} user_in={USER_IN} secret_in=not-the-real-secret")
    assert "errno=EACCES" in e.reply, e.reply
    refuses(errno.EACCES, fs.login, iqn, f"{ours} user_in=somebody secret_in={SECRET_IN}")
    assert fs.sids(iqn) == []


@test
def mutual_chap_wanted_but_target_does_not_prove_itself(t):
    target = Tgtd(t)
    iqn, _, _ = target.chap_disk(mutual=False)
    fs = Mounted(t)
    fs.discover(target.portal)
    try:
        fs.login(iqn, f"auth=mutual user={USER} secret={SECRET} user_in={USER_IN} secret_in={SECRET_IN}")
    except OSError as e:
        assert e.errno in (errno.EACCES, errno.EPROTO), e
    else:
        raise AssertionError("logged in although the target did not prove itself")


@test
def chap_wanted_but_target_asks_for_none(t):
    """C2: never a silent fall to none."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    try:
        fs.login(iqn, f"auth=chap user={USER} secret={SECRET}")
    except OSError as e:
        assert e.errno in (errno.EACCES, errno.EPROTO), e
        assert fs.sids(iqn) == []
    else:
        raise AssertionError("asked for CHAP, logged in without")


def redirects(target, to, reason):
    """tgtd sends to @to whoever logs in to its only target. (Only when that address is not the initiator's own: 127.0.0.2.)"""
    target.set(1, RedirectAddress=to.hosts[0], RedirectPort=to.port, RedirectReason=reason)


@test
def redirect_is_followed(t):
    """C8: temporary and permanent, within one login."""
    for reason in ("Temporary", "Permanent"):
        here = Tgtd(t, name=f"here-{reason}")
        there = Tgtd(t, name=f"there-{reason}", hosts=("127.0.0.2",))
        iqn, _, _ = here.one_disk()
        _, number, backing = there.one_disk()
        redirects(here, there, reason)
        fs = Mounted(t, name=f"iscsi-{reason}")
        sid = fs.log_in(here.portal, iqn)
        remotes = [fs.read("targets", iqn, "sessions", sid, "connections", c, "remote")
                   for c in fs.ls("targets", iqn, "sessions", sid, "connections")]
        assert remotes == [there.portal], remotes
        moves_data(fs, iqn, number, backing)
        fs.stop()


@test
def redirect_in_a_circle_ends(t):
    here, there = Tgtd(t, name="here", hosts=("127.0.0.3",)), Tgtd(t, name="there", hosts=("127.0.0.2",))
    for target, to in ((here, there), (there, here)):
        iqn, _, _ = target.one_disk()
        redirects(target, to, "Temporary")
    fs = Mounted(t)
    fs.discover(here.portal)
    refuses(errno.EPROTO, fs.login, iqn)
    assert fs.sids(iqn) == []


@test
def redirect_to_nowhere_fails(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    target.set(1, RedirectAddress="127.0.0.2", RedirectPort=target.port, RedirectReason="Temporary")
    fs = Mounted(t)
    fs.discover(target.portal)
    refuses(errno.ECONNREFUSED, fs.login, iqn)
    assert fs.sids(iqn) == []


@test
def login_by_a_portal_of_choice(t):
    target = Tgtd(t, ports_each=2)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    sid = fs.login(iqn, f"portal=127.0.0.1:{target.ports[1]}")
    connections = [c for c in fs.ls("targets", iqn, "sessions", sid, "connections") if c.isdigit()]
    assert len(connections) == 1
    remote = fs.read("targets", iqn, "sessions", sid, "connections", connections[0], "remote")
    assert remote == f"127.0.0.1:{target.ports[1]}", remote


@test(limit=240)
def many_logins_and_logouts(t):
    """Nothing leaks: descriptors stay what they were."""
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)
    fs.logout(iqn)

    def descriptors():
        return len(os.listdir(f"/proc/{fs.pid}/fd"))
    before = descriptors()
    for _ in range(50):
        fs.login(iqn)
        fs.logout(iqn)
    wait_for(lambda: descriptors() <= before, "descriptors are closed again")
    wait_for(lambda: target.connections() == 0, "connections are closed again")


@test
def parallel_logins(t):
    target = Tgtd(t)
    names = [target.one_disk(size=1 << 20)[0] for _ in range(16)]
    fs = Mounted(t)
    fs.discover(target.portal)
    script = "import sys; f = open(sys.argv[1], 'w'); f.write('login\\n'); f.close()"
    running = [subprocess.Popen([sys.executable, "-c", script, fs.path("targets", n, "ctl")]) for n in names]
    assert [p.wait(LIMIT) for p in running] == [0] * len(names)
    assert all(len(fs.sids(n)) == 1 for n in names)
    assert len(fs.ls("sessions")) >= len(names)
