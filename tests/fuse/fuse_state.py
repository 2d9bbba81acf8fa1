# SPDX-License-Identifier: BSD-2-Clause
"""The state directory: what was set is there again at the next start, whatever ended the daemon; what is damaged costs
nothing else."""
import errno
import os
import random
import re
import signal
import threading
import time

from mounted import Mounted, read_text, unmount
from realtargets import SECRET, SECRET_IN, USER, USER_IN, Tgtd
from runner import LIMIT, SLOWNESS, need_root, refuses, test, wait_for

IQN = "iqn.2026-11.test:kept-"


def again(t, fs, name, how=signal.SIGTERM, **more):
    """The next daemon with the same state directory."""
    if how == signal.SIGKILL:
        fs.process.kill()
        fs.process.wait(LIMIT)
        unmount(fs.point)
    elif fs.is_alive():
        fs.stop(how)
    return Mounted(t, name=name, state=fs.state, **more)


def fails_beside(fs, file, where, first, second):
    """The first command is at its state file when the second comes; then the writing for the first fails."""
    errors, place = [], os.path.join(fs.state, f"{file}.tmp")
    os.mkfifo(place, 0o600)

    def run(text):
        try:
            fs.ctl(where, text)
        except OSError as e:
            errors.append((text, e))
    threads = [threading.Thread(target=run, args=(text,)) for text in (first, second)]
    for x in threads:
        x.start()
        time.sleep(0.3 * SLOWNESS)  # for the order
    with open(place, "rb") as f:
        f.read()
    for x in threads:
        x.join(LIMIT)
    assert [x[0] for x in errors] == [first], errors
    wait_for(lambda: not os.path.exists(place), "it is written once more")


def is_known(fs, iqn):
    return iqn in fs.ls("targets")


@test
def portals_and_targets_are_there_again(t):
    tgtd = Tgtd(t)
    tgtd.one_disk()
    iqn = f"{tgtd.base}disk1"
    fs = Mounted(t)
    fs.ctl("discovery", f"add-portal {tgtd.portal} header_digest=prefer")
    fs.ctl("discovery", f"add-target {IQN}1 portal=10.9.8.7:1234,5 alias=shelf")
    fs.ctl("discovery", f"add-target {IQN}2 portal=127.0.0.1 persist=no")
    names = fs.ls("targets")
    fs = again(t, fs, "second")
    assert fs.ls("discovery", "portals") == [tgtd.portal]
    assert fs.ls("discovery", "static") == [f"{IQN}1"]
    assert "10.9.8.7:1234,5" in fs.read("discovery", "static", f"{IQN}1", "portals")
    assert "header_digest" in fs.read("discovery", "portals", tgtd.portal, "options")
    wait_for(lambda: fs.read("discovery", "portals", tgtd.portal, "state") == "ok", "the portal has been asked")
    assert fs.ls("targets") == [x for x in names if x != f"{IQN}2"]
    fs.ctl("discovery", f"remove-portal {tgtd.portal}")
    fs.ctl(f"targets/{IQN}1", "remove")
    fs = again(t, fs, "third")
    assert fs.ls("targets") == [] and fs.ls("discovery", "portals") == []
    assert iqn not in read_text(os.path.join(fs.state, "discovery.conf"))


def portals(fs, iqn):
    return sorted(x.split()[0].split(",")[0] for x in fs.read("discovery", "static", iqn, "portals").splitlines())


@test
def merges_beside_one_that_fails(t):
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1:1")
    fails_beside(fs, "discovery.conf", "discovery", f"add-target {IQN}1 portal=127.0.0.1:2 merge=yes alias=two",
                 f"add-target {IQN}1 portal=127.0.0.1:3 merge=yes")
    want = ["127.0.0.1:1", "127.0.0.1:3"]
    assert portals(fs, f"{IQN}1") == want, portals(fs, f"{IQN}1")
    wait_for(lambda: "127.0.0.1:2" not in read_text(os.path.join(fs.state, "discovery.conf")), "the file is right")
    fs = again(t, fs, "second", signal.SIGKILL)
    assert portals(fs, f"{IQN}1") == want
    assert "two" not in fs.read("discovery", "static", f"{IQN}1", "status.json")


@test
def a_merge_with_what_was_not_kept_is_kept(t):
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1:1 persist=no")
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1:2 merge=yes persist=no")
    fs.ctl("discovery", f"add-target {IQN}2 portal=127.0.0.1:1 persist=no")
    fs.ctl("discovery", f"add-target {IQN}2 portal=127.0.0.1:2 merge=yes")
    fs = again(t, fs, "second")
    assert fs.ls("discovery", "static") == [f"{IQN}2"]
    assert portals(fs, f"{IQN}2") == ["127.0.0.1:1", "127.0.0.1:2"]


@test
def a_portal_with_persist_no_is_gone(t):
    tgtd = Tgtd(t)
    tgtd.one_disk()
    fs = Mounted(t)
    fs.ctl("discovery", f"add-portal {tgtd.portal} persist=no")
    fs = again(t, fs, "second")
    assert fs.ls("discovery", "portals") == []


@test
def a_portal_that_is_away_at_start_is_asked_until_it_is_back(t):
    tgtd = Tgtd(t)
    tgtd.one_disk()
    fs = Mounted(t)
    fs.ctl("discovery", f"add-portal {tgtd.portal}")
    fs.stop()
    tgtd.kill()
    fs = again(t, fs, "second")
    wait_for(lambda: fs.read("discovery", "portals", tgtd.portal, "state") == "failed", "it was asked")
    assert "refresh" in fs.read("discovery", "portals", tgtd.portal, "error")
    back = Tgtd(t, ports=tgtd.ports, name="back")
    back.one_disk()
    wait_for(lambda: fs.read("discovery", "portals", tgtd.portal, "state") == "ok", "it was asked again")
    assert fs.ls("targets")


@test
def a_damaged_file_is_set_aside_and_the_rest_works(t):
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1")
    with open(fs.path("initiator", "alias"), "w") as f:
        f.write("me\n")
    path = os.path.join(fs.state, "discovery.conf")
    good = read_text(path)
    fs.stop()
    for n, text in enumerate((good[:len(good) // 2], good.replace(f"{IQN}1", "no name"), good + "targets = 7;",
                              good.replace("address", "adress").replace("portals =", "portal ="))):
        with open(path, "w") as f:
            f.write(text)
        fs = again(t, fs, f"damaged-{n}")
        assert fs.ls("targets") == [] and fs.read("initiator", "alias") == "me"
        events = fs.read("events")
        assert "state-damaged" in events and "static-discovery-failed" in events, events
        assert read_text(path + ".bad" + (f".{n}" if n else "")) == text
        fs.stop()


@test
def a_file_of_a_later_version_stops_the_start(t):
    fs = Mounted(t)
    fs.stop()
    path = os.path.join(fs.state, "discovery.conf")
    text = "version = 99;\nportals = ( );\n"
    with open(path, "w") as f:
        f.write(text)
    fs = Mounted(t, name="second", state=fs.state, wait=False)
    fs.wait(1)
    assert "discovery.conf" in read_text(fs.log) and "99" in read_text(fs.log), read_text(fs.log)
    assert read_text(path) == text


def set_value(fs, name, value):
    with open(fs.path("initiator", name), "w") as f:
        f.write(value + "\n")


def reply_of(fs, name, value):
    """A value that is refused: what the descriptor tells then."""
    fd = os.open(fs.path("initiator", name), os.O_RDWR)
    try:
        os.write(fd, value.encode())
        raise AssertionError(f"{name}: {value} was taken")
    except OSError:
        return os.pread(fd, 4096, 0).decode()
    finally:
        os.close(fd)


@test
def the_chap_secret_of_all_targets(t):
    tgtd = Tgtd(t)
    iqn, number, _ = tgtd.chap_disk(mutual=True)
    fs = Mounted(t)
    keys = f"auth=mutual user={USER} secret={SECRET} user_in={USER_IN}"
    fs.discover(tgtd.portal)
    refuses(errno.EINVAL, fs.login, iqn, keys)
    for text, code in (("short", "ISDSC_SHORT_CHAP_SECRET"), ("0xnothing", "ISDSC_INVALID_CHAP_SECRET"),
                       ("0x0011223344", "ISDSC_SHORT_CHAP_SECRET")):
        assert code in reply_of(fs, "chap_secret", text)
    assert " target-secret-short " in fs.read("events")
    assert fs.json("initiator")["chap_secret"] is None
    assert os.stat(fs.path("initiator", "chap_secret")).st_mode & 0o777 == 0o200
    set_value(fs, "chap_secret", SECRET)
    e = refuses(errno.EINVAL, fs.login, iqn, keys)
    assert "ISDSC_INVALID_INITIATOR_CHAP_SECRET" in e.reply, e.reply
    set_value(fs, "chap_secret", "0x" + SECRET_IN.encode().hex())
    assert fs.json("initiator")["chap_secret"] == "***"
    fs = again(t, fs, "second", signal.SIGKILL)
    wait_for(lambda: is_known(fs, iqn), "the portal has been asked")
    sid = fs.login(iqn, keys)
    assert fs.read("targets", iqn, "sessions", sid, "auth") == "mutual"
    fs.logout(iqn)
    set_value(fs, "chap_secret", "wrong-secret-56")
    refuses(errno.EACCES, fs.login, iqn, keys)
    set_value(fs, "chap_secret", "*")
    refuses(errno.EINVAL, fs.login, iqn, keys)


@test
def another_key_loses_no_secret(t):
    tgtd = Tgtd(t)
    iqn, _, _ = tgtd.chap_disk()
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {iqn} portal={tgtd.portal} user={USER} secret={SECRET}")
    fs.stop()
    key = os.path.join(fs.state, "secret.key")
    os.rename(key, key + ".away")
    fs = again(t, fs, "without")
    assert "secret-failed" in fs.read("events")
    e = refuses(errno.EIO, fs.login, iqn)
    assert "ISDSC_CACHE_CORRUPTED" in e.reply, e.reply
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1")
    fs.stop()
    os.rename(key + ".away", key)
    fs = again(t, fs, "with")
    fs.login(iqn)


# --- policies ---

def find_disk(fs, iqn):
    return [x for x in fs.ls("targets", iqn) if x.startswith("lun") and x != "lun0"][0]


@test
def policies_are_in_force_again(t):
    tgtd = Tgtd(t)
    iqn, _, _ = tgtd.one_disk()
    other, _, _ = tgtd.one_disk()
    fs = Mounted(t)
    fs.discover(tgtd.portal)
    sid = fs.login(iqn)
    fs.ctl(fs.target(iqn, "sessions", sid), "policy weighted")
    disk = find_disk(fs, iqn)
    with open(fs.path("targets", iqn, disk, "policy"), "w") as f:
        f.write("least-queue-depth\n")
    fs = again(t, fs, "second", signal.SIGKILL)
    wait_for(lambda: is_known(fs, iqn), "the portal has been asked")
    sid = fs.login(iqn)
    assert fs.read("targets", iqn, "sessions", sid, "policy") == "weighted"
    assert fs.read("targets", iqn, disk, "policy") == "least-queue-depth"
    sid = fs.login(other)
    assert fs.read("targets", other, "sessions", sid, "policy") != "weighted"
    fs.stop()
    with open(os.path.join(fs.state, "policies.conf"), "w") as f:
        f.write('version = 1; targets = ( { name = "x"; policy = "round-robin"; }, { name = "y"; policy = "no"; } );')
    fs = again(t, fs, "third")
    assert "state-damaged" in fs.read("events") and "policies.conf.bad" in os.listdir(fs.state)


# --- authentication by configuration ---

@test
def configuration_authenticates(t):
    tgtd = Tgtd(t)
    iqn, _, _ = tgtd.chap_disk(mutual=True)
    for name, text in (("secret", SECRET), ("chap", SECRET_IN), ("open", SECRET), ("short", "short")):
        with open(t.path(name), "w") as f:
            os.fchmod(f.fileno(), 0o644 if name == "open" else 0o600)
            f.write(text + "\n")
    both = f'login_auth = "mutual"; login_user = "{USER}"; login_secret_file = "{t.path("secret")}";'
    fs = Mounted(t, name="first", config=f'login_user = "{USER}"; login_secret_file = "{t.path("secret")}";')
    fs.ctl("discovery", f"add-target {iqn} portal={tgtd.portal}")
    sid = fs.login(iqn)
    assert fs.read("targets", iqn, "sessions", sid, "auth") == "chap"
    fs.logout(iqn)
    refuses(errno.EACCES, fs.login, iqn, "auth=none")
    refuses(errno.EACCES, fs.login, iqn, f"user={USER} secret=another-secret-1")
    fs = again(t, fs, "mutual", config=both + f'chap_secret_file = "{t.path("chap")}";')
    sid = fs.login(iqn)
    assert fs.read("targets", iqn, "sessions", sid, "auth") == "mutual"
    fs.logout(iqn)
    set_value(fs, "chap_secret", "not-that-secret")
    refuses(errno.EACCES, fs.login, iqn)
    set_value(fs, "chap_secret", "*")
    fs.login(iqn)
    fs.stop()
    for config, want in ((both.replace(t.path("secret"), t.path("open")), "chmod 600"),
                         (both.replace(t.path("secret"), t.path("short")), "fewer than 12 bytes"),
                         (both.replace(t.path("secret"), t.path("nowhere")), "No such file"),
                         ('login_auth = "chap";', "login_auth")):
        bad = Mounted(t, name=f"bad-{len(want)}-{want[0]}", config=config, wait=False)
        bad.wait(status=1)
        with open(bad.log) as f:
            text = f.read()
        assert want in text and SECRET not in text, text


# --- killed at any time ---

def change(fs, n, acknowledged):
    """One more change, and what of the state it is to be seen in. KeyError etc. when the daemon was killed in it."""
    what = n % 6
    if what == 0:
        set_value(fs, "alias", f"alias {n}")
        acknowledged["alias"] = f"alias {n}"
    elif what == 1:
        set_value(fs, "name", f"iqn.2026-11.test:name-{n}")
        acknowledged["name"] = f"iqn.2026-11.test:name-{n}"
    elif what == 2:
        fs.ctl("discovery", f"add-target {IQN}{n} portal=127.0.0.1 secret=secret-of-{n:06d}")
        acknowledged["static"] = acknowledged.get("static", frozenset()) | {f"{IQN}{n}"}
    elif what == 3:
        fs.ctl("persistent", f"add-login {IQN}{n} portal=127.0.0.1:1 command_timeout={n}")
        acknowledged["logins"] = acknowledged.get("logins", frozenset()) | {f"{IQN}{n},127.0.0.1:1"}
    elif what == 4:
        gone = sorted(acknowledged.get("logins", ()))[:-2]
        if gone:
            fs.ctl("persistent", f"remove-login {gone[0].partition(',')[0]}")
            acknowledged["logins"] = acknowledged["logins"] - {gone[0]}
    else:
        gone = sorted(acknowledged.get("static", ()))[:-2]
        if gone:
            fs.ctl("discovery", f"remove-target {gone[0]}")
            acknowledged["static"] = acknowledged["static"] - {gone[0]}


def changes(fs, first, acknowledged):
    """Until the daemon is killed."""
    n = first
    try:
        while True:
            change(fs, n, acknowledged)
            n += 1
    except (OSError, AssertionError):
        return


@test
def killed_at_any_time_it_keeps_what_it_acknowledged(t):
    fs, acknowledged, n = Mounted(t), {}, 0
    for turn in range(12):
        writer = threading.Thread(target=changes, args=(fs, n, acknowledged))
        writer.start()
        time.sleep(random.uniform(0.02, 0.3))
        fs.process.kill()
        writer.join(LIMIT)
        assert not writer.is_alive()
        n += 1000
        fs = again(t, fs, f"after-{turn}", signal.SIGKILL)
        assert not re.search(" (state-damaged|secret-failed) ", fs.read("events"))
        # The one that was under way may have come through, or not.
        for kind, where in (("static", "discovery/static"), ("logins", "persistent/logins")):
            there = frozenset(fs.ls(where))
            assert len(there ^ acknowledged.get(kind, frozenset())) <= 1, (there, acknowledged)
            acknowledged[kind] = there
        for name in ("alias", "name"):
            got, want = fs.read("initiator", name), acknowledged.get(name)
            assert want is None or got == want or number(got) > number(want), (got, want)
            acknowledged[name] = got
    assert n and acknowledged["static"] and acknowledged["logins"]


def number(text):
    return int(re.search(r"(\d+)$", text).group(1))


@test
def a_full_disk_is_told_and_changes_nothing(t):
    need_root("a small file system")
    state = t.path("state")
    os.mkdir(state, 0o700)
    t.sh(f"mount -t tmpfs -o size=64k,mode=0700 none {state}")
    t.defer(unmount, state)
    fs = Mounted(t, state=state)
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1")
    set_value(fs, "alias", "before")
    with open(os.path.join(state, "filler"), "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError as e:
            assert e.errno == errno.ENOSPC
    e = refuses(errno.ENOSPC, fs.ctl, "discovery", f"add-target {IQN}2 portal=127.0.0.1")
    assert "ISDSC_COULD_NOT_SAVE_PERSISTENT_LOGIN_DATA" in e.reply, e.reply
    refuses(errno.ENOSPC, fs.ctl, "discovery", f"remove-target {IQN}1")
    refuses(errno.ENOSPC, fs.ctl, "persistent", f"add-login {IQN}1")
    assert fs.ls("persistent", "logins") == []
    assert fs.ls("discovery", "static") == [f"{IQN}1"]
    assert "No space left" in reply_of(fs, "alias", "after")
    assert "state-not-saved" in fs.read("events")
    fs.ctl("discovery", f"add-target {IQN}3 portal=127.0.0.1 persist=no")
    os.unlink(os.path.join(state, "filler"))
    fs.ctl("discovery", f"add-target {IQN}2 portal=127.0.0.1")
    fs = again(t, fs, "second", signal.SIGKILL)
    assert fs.ls("discovery", "static") == [f"{IQN}1", f"{IQN}2"]
