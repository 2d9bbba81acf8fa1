# SPDX-License-Identifier: BSD-2-Clause
"""Logins that are done at each start, and what becomes of them when targets are away, refuse, or come back."""
import errno
import os
import random
import signal
import socket
import threading

from fuse_state import fails_beside
from mounted import Mounted, read_text
from realtargets import SECRET, USER, Tgtd, free_port, restart_tgtd
from runner import SLOWNESS, refuses, test, wait_for


def silent(t):
    """A portal that takes connections and says nothing."""
    s = socket.create_server(("127.0.0.1", 0))
    t.defer(s.close)
    return "127.0.0.1:%d" % s.getsockname()[1]


def state(fs, name):
    return fs.read("persistent", "logins", name, "state")


def has_failed(fs, name):
    """Tried, and waiting for the next time; before the first it is waiting, too."""
    return int(fs.read("persistent", "logins", name, "attempts")) and state(fs, name) == "waiting"


def is_in(fs, name):
    return wait_for(lambda: state(fs, name) == "logged-in" and fs.sids(name.split(",")[0]), f"{name} is logged in", 90)


def again(t, old, how=signal.SIGTERM, name="again", **more):
    """Another daemon with the state of @old, which ends first."""
    if how == signal.SIGKILL:
        old.process.kill()
        old.process.wait()
        t.sh(f"umount -l {old.point}")
    else:
        old.stop(how)
    return Mounted(t, name=name, state=old.state, **more)


def events(fs, name):
    return [x for x in fs.read("events").splitlines() if f" {name} " in x]


@test
def a_login_with_persist_is_done_at_the_next_start(t):
    """With its secret, its options and the portal that discovery gave; without a new discovery."""
    target = Tgtd(t)
    iqn, number, _ = target.chap_disk()
    fs = Mounted(t)
    assert fs.ls("persistent", "logins") == [] and fs.read("persistent", "ready") == "yes"
    fs.discover(target.portal)
    refuses(errno.EACCES, fs.ctl, fs.target(iqn), f"login user={USER} secret=wrong{SECRET} persist=yes")
    assert fs.ls("persistent", "logins") == [], "what failed is not saved"
    reply = fs.ctl(fs.target(iqn), f"login user={USER} secret={SECRET} max_burst_length=65536 nop_interval=7 persist=yes")
    assert f"saved={iqn}" in reply, reply
    assert fs.ls("persistent", "logins") == [iqn] and state(fs, iqn) == "logged-in"
    entry = fs.json("persistent", "logins", iqn)
    assert entry["target"] == iqn and entry["portals"] == [f"{target.portal},1"], entry
    assert entry["options"] == {"user": USER, "secret": "***", "max_burst_length": 65536, "nop_interval": 7}, entry
    fs = again(t, fs)
    is_in(fs, iqn)
    assert fs.read("persistent", "logins", iqn, "attempts") == "1"
    assert fs.params(iqn, fs.sids(iqn)[0])["MaxBurstLength"][1] == "65536"
    assert os.path.getsize(fs.disk(iqn, number)) == 16 << 20
    assert SECRET not in fs.read("persistent", "logins", iqn, "status.json")
    assert SECRET not in fs.read("events")
    with open(os.path.join(fs.state, "logins.conf")) as f:
        assert SECRET not in f.read()
    assert len(events(fs, "persistent-login")) == 1
    # It may be written back as it is.
    fs = again(t, fs, signal.SIGKILL, "third")
    is_in(fs, iqn)


@test
def a_logout_is_respected_until_the_next_start(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.login(iqn, "persist=yes")
    fs = again(t, fs)
    is_in(fs, iqn)
    fs.logout(iqn)
    assert state(fs, iqn) == "logged-out"
    t.sh("sleep 2.5")
    assert state(fs, iqn) == "logged-out" and not fs.sids(iqn)
    fs.ctl(f"persistent/logins/{iqn}", "login")
    assert state(fs, iqn) == "logged-in"
    refuses(errno.EEXIST, fs.ctl, f"persistent/logins/{iqn}", "login")
    fs.logout(iqn)
    fs = again(t, fs, name="third")
    is_in(fs, iqn)
    fs.ctl("persistent", f"remove-login {iqn}")
    assert fs.ls("persistent", "logins") == [] and fs.sids(iqn), "the session stays"
    fs = again(t, fs, name="fourth")
    t.sh("sleep 1")
    assert fs.ls("persistent", "logins") == [] and not fs.sids(iqn)


@test
def add_login_only_saves(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    e = refuses(errno.ENOENT, fs.ctl, "persistent", f"add-login {iqn}")
    assert "ISDSC_TARGET_NOT_FOUND" in e.reply and "portal=" in e.reply, e.reply
    refuses(errno.EINVAL, fs.ctl, "persistent", f"add-login {iqn} portal={target.portal} auth=chap")
    refuses(errno.EINVAL, fs.ctl, "persistent", "add-login nonsense portal=127.0.0.1")
    refuses(errno.EINVAL, fs.ctl, "persistent", f"add-login {iqn} portal=127.0.0.1:x")
    e = refuses(errno.ENOENT, fs.ctl, "persistent", f"remove-login {iqn}")
    assert "ISDSC_TARGET_NOT_FOUND" in e.reply, e.reply
    assert fs.ls("persistent", "logins") == [] and fs.ls("targets") == []
    name = f"{iqn},{target.portal}"
    assert f"saved={name}" in fs.ctl("persistent", f"add-login {iqn} portal={target.portal} data_digest=yes")
    assert fs.ls("persistent", "logins") == [name] and state(fs, name) == "saved"
    assert not fs.sids(iqn) and fs.ls("targets", iqn, "instances") == ["persistent"]
    # Once more replaces it.
    fs.ctl("persistent", f"add-login {iqn} portal={target.portal} nop_interval=9")
    assert fs.json("persistent", "logins", name)["options"].get("data_digest") is None
    fs = again(t, fs)
    is_in(fs, name)
    e = refuses(errno.ENOENT, fs.ctl, "persistent", f"remove-login {iqn} portal=127.0.0.2")
    fs.ctl("persistent", f"remove-login {iqn} portal={target.portal}")
    assert fs.ls("persistent", "logins") == []
    fs.logout(iqn)
    assert fs.ls("targets") == [], "nobody knows it any more"


@test
def a_target_that_is_away_at_start_is_logged_in_when_it_comes(t):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.login(iqn, "persist=yes connect_timeout=3")
    target.kill()
    fs = again(t, fs)
    wait_for(lambda: has_failed(fs, iqn), "it waits")
    wait_for(lambda: int(fs.read("persistent", "logins", iqn, "attempts")) >= 2, "it tries again")
    assert "CONNECT" in fs.read("persistent", "logins", iqn, "error") or fs.read("persistent", "logins", iqn, "error")
    assert events(fs, "persistent-login-failed")
    wait_for(lambda: fs.read("persistent", "logins", iqn, "next_try") != "-", "the next try is told")
    restart_tgtd(t, target, [("disk1", number, backing)])
    is_in(fs, iqn)
    assert fs.read("persistent", "logins", iqn, "next_try") == "-"


@test
def chap_that_was_refused_works_when_it_is_mended(t):
    target = Tgtd(t)
    iqn, _, _ = target.chap_disk()
    fs = Mounted(t)
    fs.ctl("persistent", f"add-login {iqn} portal={target.portal} user=harry secret={SECRET}")
    name = f"{iqn},{target.portal}"
    fs = again(t, fs)
    wait_for(lambda: has_failed(fs, name), "it was refused")
    assert "AUTHENTICATION" in fs.read("persistent", "logins", name, "error").upper()
    target.add_account("harry", SECRET)
    is_in(fs, name)


@test
def logging_in_by_hand_ends_the_retries(t):
    target = Tgtd(t)
    iqn, _, _ = target.chap_disk()
    fs = Mounted(t)
    fs.ctl("persistent", f"add-login {iqn} portal={target.portal} user=harry secret={SECRET}")
    name = f"{iqn},{target.portal}"
    fs = again(t, fs)
    wait_for(lambda: has_failed(fs, name), "it was refused")
    fs.login(iqn, f"portal={target.portal} user={USER} secret={SECRET}")
    assert state(fs, name) == "logged-in" and fs.read("persistent", "logins", name, "next_try") == "-"
    fs.logout(iqn)
    assert state(fs, name) == "logged-out"


@test
def removing_while_it_is_tried(t):
    """Also in the middle of an attempt: nobody answers at that address."""
    fs = Mounted(t, )
    iqns = [f"iqn.2026-11.test:{n}" for n in range(6)]
    for n, iqn in enumerate(iqns):
        portal = silent(t) if n % 2 else f"127.0.0.1:{free_port()}"
        fs.ctl("persistent", f"add-login {iqn} portal={portal}")
    fs = again(t, fs, config="login_timeout = 60.0;\n")
    names = fs.ls("persistent", "logins")
    wait_for(lambda: all(state(fs, x) in ("trying", "waiting") for x in names), "all have begun")
    for name in names:
        fs.ctl(f"persistent/logins/{name}", "remove")
    assert fs.ls("persistent", "logins") == []
    wait_for(lambda: fs.ls("targets") == [], "nothing is left of them")
    fs = again(t, fs, name="third")
    assert fs.ls("persistent", "logins") == []


@test
def several_entries_of_a_target_make_several_sessions(t):
    target = Tgtd(t, ports_each=2)
    iqn, number, _ = target.one_disk()
    portals = [f"127.0.0.1:{p}" for p in target.ports]
    fs = Mounted(t)
    for p in portals:
        fs.ctl("", f"login {iqn} portal={p} multipath=yes persist=yes")
    assert fs.ls("persistent", "logins") == sorted(f"{iqn},{p}" for p in portals)
    fs = again(t, fs)
    for p in portals:
        is_in(fs, f"{iqn},{p}")
    assert len(fs.sids(iqn)) == 2
    wait_for(lambda: set(fs.sids(iqn)) <= set(fs.ls("targets", iqn, f"lun{number}", "paths")), "two paths")
    fs.ctl("persistent", f"remove-login {iqn}")
    assert fs.ls("persistent", "logins") == []


@test
def a_path_beside_a_session_that_is_none_is_not_there(t):
    """The first login was saved without multipath=yes; another one cannot be, and must not look as if it were."""
    target = Tgtd(t, ports_each=2)
    iqn, _, _ = target.one_disk()
    first, second = (f"127.0.0.1:{p}" for p in target.ports)
    fs = Mounted(t)
    fs.ctl("", f"login {iqn} portal={first} persist=yes")
    fs.ctl("persistent", f"add-login {iqn} portal={second} multipath=yes")
    one, two = sorted(fs.ls("persistent", "logins"), key=lambda x: x != iqn and not x.endswith(first))
    is_in(fs, one)
    assert state(fs, two) == "saved", state(fs, two)
    refusal = refuses(errno.EEXIST, fs.ctl, f"persistent/logins/{two}", "login")
    assert "without multipath=yes, which all must have" in refusal.reply, refusal.reply
    assert state(fs, two) == "waiting" and "multipath" in fs.read("persistent", "logins", two, "error")
    assert len(fs.sids(iqn)) == 1
    fs.logout(iqn)
    fs.ctl(f"persistent/logins/{two}", "login")
    is_in(fs, two)


@test
def ending_while_logins_are_tried(t):
    fs = Mounted(t)
    for n in range(8):
        portal = silent(t) if n % 2 else f"127.0.0.1:{free_port()}"
        fs.ctl("persistent", f"add-login iqn.2026-11.test:{n} portal={portal}")
    for how in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        fs = again(t, fs, how, f"end{random.random()}", config="login_timeout = 60.0;\n")
        wait_for(lambda: any(state(fs, x) == "trying" for x in fs.ls("persistent", "logins")), "they are tried")


@test
def logins_that_are_late_are_an_event(t):
    fs = Mounted(t)
    fs.ctl("persistent", f"add-login iqn.2026-11.test:late portal=127.0.0.1:{free_port()}")
    fs = again(t, fs, config="volumes_timeout = 0.5;\n")
    wait_for(lambda: events(fs, "persistent-logins-timeout"), "the event")
    assert "ISDSC_PERSISTENT_LOGIN_TIMEOUT" in fs.read("persistent", "error")
    assert fs.read("persistent", "ready") == "yes", "no volume is bound"


@test
def what_cannot_be_saved_is_told(t):
    """A directory is where the file is to be."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    place = os.path.join(fs.state, "logins.conf")
    os.makedirs(os.path.join(place, "x"))
    e = refuses(errno.EIO, fs.ctl, "persistent", f"add-login {iqn}")
    assert "ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA" in e.reply, e.reply
    assert fs.ls("persistent", "logins") == []
    e = refuses(errno.EIO, fs.ctl, fs.target(iqn), "login persist=yes")
    assert fs.ls("persistent", "logins") == [] and fs.sids(iqn), "the session is there"
    os.rmdir(os.path.join(place, "x"))
    os.rmdir(place)
    fs.ctl("persistent", f"add-login {iqn}")
    os.unlink(place)
    os.makedirs(os.path.join(place, "x"))
    e = refuses(errno.EIO, fs.ctl, "persistent", f"remove-login {iqn}")
    assert "ISDSC_COULD_NOT_REMOVE_PERSISTENT_LOGIN_DATA" in e.reply, e.reply
    assert fs.ls("persistent", "logins") == [iqn]


@test
def one_that_fails_beside_one_that_does_not(t):
    """What was said to have failed is not in the file either that the next change has had written at the same time."""
    fs = Mounted(t)
    for name in ("a", "b"):
        fs.ctl("persistent", f"add-login iqn.2026-11.test:{name} portal=127.0.0.1:{free_port()}")

    fails_beside(fs, "logins.conf", "persistent", "remove-login iqn.2026-11.test:a", f"add-login iqn.2026-11.test:c "
                 f"portal=127.0.0.1:{free_port()}")
    fails_beside(fs, "logins.conf", "persistent", f"add-login iqn.2026-11.test:d portal=127.0.0.1:{free_port()}",
                 "remove-login iqn.2026-11.test:b")
    want = [f"iqn.2026-11.test:{x}" for x in "ac"]
    assert [x.split(",")[0] for x in fs.ls("persistent", "logins")] == want
    wait_for(lambda: "test:d" not in read_text(os.path.join(fs.state, "logins.conf")), "it is written once more")
    fs = again(t, fs, signal.SIGKILL)
    assert [x.split(",")[0] for x in fs.ls("persistent", "logins")] == want


@test
def a_removal_that_fails_does_not_end_the_retries(t):
    iqn = "iqn.2026-11.test:x"
    fs = Mounted(t)
    fs.ctl("persistent", f"add-login {iqn} portal=127.0.0.1:{free_port()}")
    fs = again(t, fs)
    name, = fs.ls("persistent", "logins")
    wait_for(lambda: has_failed(fs, name), "it is tried")
    place = os.path.join(fs.state, "logins.conf.tmp")
    os.mkdir(place)
    for text in (f"remove-login {iqn}", f"add-login {iqn} portal={name.split(',')[1]}"):
        tries = int(fs.read("persistent", "logins", name, "attempts"))
        refuses(errno.EIO, fs.ctl, "persistent", text)
        wait_for(lambda: int(fs.read("persistent", "logins", name, "attempts")) > tries, f"it is tried on after {text}")
    os.rmdir(place)


@test
def more_portals_than_are_kept(t):
    """The file must be one that the next start takes."""
    iqn = "iqn.2026-11.test:x"
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {iqn} portal=127.0.0.1:40000")
    for n in range(1, 256):
        fs.ctl("discovery", f"add-target {iqn} portal=127.0.0.1:{40000 + n} merge=yes")
    fs.ctl("persistent", f"add-login {iqn} portal=127.0.0.1:{free_port()}")
    before = fs.ls("persistent", "logins")
    fs = again(t, fs)
    assert fs.ls("persistent", "logins") == before and before


@test(limit=300)
def kill_9_at_any_time_loses_nothing_that_was_answered(t):
    """Entries are added and removed as fast as it goes; each time the next daemon has those that were told to be kept, and
    perhaps the one that was being changed."""
    fs = Mounted(t, name="k0")
    known, random_ = set(), random.Random(7)
    for turn in range(1, 11):
        doubt = []

        def change():
            n = 0
            try:
                while True:
                    n += 1
                    if known and random_.random() < 0.3:
                        iqn = random_.choice(sorted(known))
                        doubt[:] = [iqn]
                        fs.ctl("persistent", f"remove-login {iqn}")
                        known.discard(iqn)
                    else:
                        iqn = f"iqn.2026-11.test:{turn}-{n}"
                        doubt[:] = [iqn]
                        fs.ctl("persistent", f"add-login {iqn} portal=127.0.0.1:9 secret=secretsecret{turn}")
                        known.add(iqn)
                    doubt.clear()
            except OSError:
                pass
        thread = threading.Thread(target=change)
        thread.start()
        t.sh(f"sleep {random_.uniform(0.1, 0.4) * SLOWNESS}")
        fs.process.kill()
        fs.process.wait()
        thread.join()
        t.sh(f"umount -l {fs.point}")
        fs = Mounted(t, name=f"k{turn}", state=fs.state)
        found = {x.split(",")[0] for x in fs.ls("persistent", "logins")}
        assert found - set(doubt) == known - set(doubt), (found ^ known, doubt)
        assert not [x for x in os.listdir(fs.state) if x.endswith(".bad")]
        known = found
