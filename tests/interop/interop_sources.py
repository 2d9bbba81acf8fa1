# SPDX-License-Identifier: BSD-2-Clause
"""Where targets come from, side by side: entered by hand (hidden, merged) and discovered; which of them a login uses, and
whose options count."""
import errno
import signal

from runner import refuses, test, wait_for
from mounted import Mounted
from realtargets import SECRET, USER, Tgtd, free_port


def code(e):
    return e.reply.split()[1].removeprefix("code=")


def events(fs, name):
    return [line for line in fs.read("events").splitlines() if f" {name} " in line]


def instances(fs, iqn):
    return sorted(fs.ls("targets", iqn, "instances"))


def where(portal):
    return f"sendtargets:{portal}"


@test
def hidden_target_is_shown_when_it_is_discovered(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {iqn} portal={target.portal} hidden=yes alias=shelf")
    assert fs.ls("targets") == []
    refuses(errno.ENOENT, fs.ls, "targets", iqn)
    assert fs.ls("discovery", "static") == [iqn]
    assert fs.json("discovery", "static", iqn)["hidden"] == "yes"
    e = refuses(errno.ENOENT, fs.ctl, "", f"login {iqn}")
    assert code(e) == "ISDSC_TARGET_NOT_FOUND" and "hidden=yes" in e.reply, e.reply
    assert "targets=0" in fs.ctl("discovery", "refresh")
    fs.discover(target.portal)
    assert fs.ls("targets") == [iqn]
    assert instances(fs, iqn) == sorted([where(target.portal), "static"])
    assert fs.read("targets", iqn, "alias") == "shelf"
    sid = fs.login(iqn)
    fs.ctl("discovery", f"remove-portal {target.portal}")
    assert fs.ls("targets") == [iqn], "a session is with it"
    assert fs.sids(iqn) == [sid]
    fs.logout(iqn)
    assert fs.ls("targets") == []
    fs.ctl("discovery", f"remove-target {iqn}")
    assert fs.ls("discovery", "static") == []


@test
def hidden_is_kept(t):
    fs = Mounted(t)
    iqn = "iqn.2026-11.test:hidden"
    fs.ctl("discovery", f"add-target {iqn} hidden=yes")
    fs.stop(signal.SIGTERM)
    fs = Mounted(t, name="second", state=fs.state)
    assert fs.ls("targets") == [] and fs.ls("discovery", "static") == [iqn]
    assert fs.json("discovery", "static", iqn)["portals"] == []
    fs.ctl("discovery", f"add-target {iqn} merge=yes hidden=no portal=127.0.0.1")
    assert fs.ls("targets") == [iqn]


@test
def merging_adds_to_what_was_entered(t):
    fs = Mounted(t)
    iqn = "iqn.2026-11.test:merged"
    add = f"add-target {iqn} "
    e = refuses(errno.EINVAL, fs.ctl, "discovery", add)
    assert code(e) == "ISDSC_MISSING_PARAMETER", e.reply
    fs.ctl("discovery", add + f"portal=127.0.0.1:3261 header_digest=yes time2wait=3 auth=chap user={USER} secret={SECRET}")
    e = refuses(errno.EEXIST, fs.ctl, "discovery", add + "portal=127.0.0.1:3262")
    assert code(e) == "ISDSC_TARGET_ALREADY_EXISTS" and "merge=yes" in e.reply, e.reply
    fs.ctl("discovery", add + "merge=yes portal=127.0.0.1:3262,7 alias=second time2wait=4")
    fs.ctl("discovery", add + "merge=yes portal=127.0.0.1:3262,7")
    now = fs.json("discovery", "static", iqn)
    assert now["portals"] == ["127.0.0.1:3261", "127.0.0.1:3262,7"], now
    options = now["options"]
    assert options["time2wait"] == 4 and options["header_digest"] == "yes" and options["user"] == USER, options
    fs.ctl("discovery", add + "merge=yes auth=chap user=other secret=another-secret-1")
    options = fs.json("discovery", "static", iqn)["options"]
    assert options["user"] == "other" and options["secret"] == "***", options
    assert fs.read("targets", iqn, "alias") == "second"
    fs.stop(signal.SIGTERM)
    again = Mounted(t, name="second", state=fs.state)
    assert again.json("discovery", "static", iqn) == now | {"options": options}


@test
def secret_of_the_static_target_serves_the_discovered_one(t):
    target = Tgtd(t)
    iqn, number, backing = target.chap_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    refuses(errno.EACCES, fs.login, iqn)
    fs.ctl("discovery", f"add-target {iqn} portal=127.0.0.1:{free_port()} user={USER} secret={SECRET} auth=chap")
    sid = fs.login(iqn)  # by the portal of the discovery: nobody listens at the other one
    assert fs.params(iqn, sid)["AuthMethod"][1] == "CHAP"
    with open(fs.disk(iqn, number), "rb") as disk, open(backing, "rb") as there:
        assert disk.read(4096) == there.read(4096)
    fs.logout(iqn)
    refuses(errno.EACCES, fs.login, iqn, "auth=none")


@test
def what_is_given_goes_before_the_instance_and_that_before_the_static_target(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal, "time2retain=11 header_digest=prefer mapping=1:9")
    fs.ctl("discovery", f"add-target {iqn} hidden=yes time2retain=12 data_digest=prefer mapping=1:5 max_burst_length=65536")
    sid = fs.login(iqn, "max_burst_length=131072")
    asked = {key: value[0] for key, value in fs.params(iqn, sid).items()}
    assert asked["DefaultTime2Retain"] == "11", asked
    assert asked["HeaderDigest"] == asked["DataDigest"] == "CRC32C,None", asked
    assert asked["MaxBurstLength"] == "131072", asked
    assert "lun5" in fs.ls("targets", iqn), "the mapping is not that of the static target"
    fs.logout(iqn)
    fs.login(iqn, "mapping=1:3")
    assert "lun3" in fs.ls("targets", iqn)


@test
def mechanism_chooses_what_is_used(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal, "time2retain=11")
    nobody = free_port()
    fs.ctl("discovery", f"add-target {iqn} portal=127.0.0.1:{nobody} time2retain=12")
    e = refuses(errno.ECONNREFUSED, fs.login, iqn, "mechanism=static")
    assert str(nobody) in e.reply, e.reply
    e = refuses(errno.ENOENT, fs.login, iqn, "mechanism=isns")
    assert code(e) == "ISDSC_DISCOVERY_MECHANISM_NOT_FOUND", e.reply
    refuses(errno.ENOENT, fs.login, iqn, "mechanism=send")
    for name in ("sendtargets", where(target.portal)):
        sid = fs.login(iqn, f"mechanism={name}")
        assert fs.params(iqn, sid)["DefaultTime2Retain"][0] == "11"
        fs.logout(iqn)
    refuses(errno.EINVAL, fs.ctl, "discovery", f"add-target {iqn} merge=yes mechanism=static")
    refuses(errno.EINVAL, fs.ctl, "discovery", f"add-portal 127.0.0.1:{nobody} mechanism=static")


@test
def target_of_two_portals_stays_while_one_tells_of_it(t):
    target = Tgtd(t, ports_each=2)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    first, second = (f"127.0.0.1:{port}" for port in target.ports)
    fs.discover(first)
    fs.discover(second)
    assert instances(fs, iqn) == sorted([where(first), where(second)])
    fs.ctl("discovery", f"remove-portal {first}")
    assert instances(fs, iqn) == [where(second)]
    fs.login(iqn)
    target.admin_do("--op", "new", "--mode", "target", "--tid", 7, "-T", "iqn.2026-11.test:late")
    target.admin_do("--op", "bind", "--mode", "target", "--tid", 7, "-I", "ALL")
    fs.ctl("discovery", "refresh")
    assert fs.ls("targets") == sorted([iqn, "iqn.2026-11.test:late"])
    fs.ctl("discovery", f"remove-portal {second}")
    assert fs.ls("targets") == [iqn], "logged in to, it stays"
    assert instances(fs, iqn) == []
    fs.logout(iqn)
    wait_for(lambda: fs.ls("targets") == [], "it is gone with its last session")


@test
def targets_that_come_and_go_are_events(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    assert [iqn in line and target.portal in line for line in events(fs, "target-found")] == [True]
    fs.ctl("discovery", "refresh")
    assert len(events(fs, "target-found")) == 1, "it was there already"
    fs.ctl("discovery", f"add-target iqn.2026-11.test:by-hand portal=127.0.0.1:{free_port()}")
    for tid in range(2, 4):
        target.add_target(f"late{tid}")
    fs.login(iqn)
    fs.ctl("discovery", "refresh")
    assert len(events(fs, "target-found")) == 3 and events(fs, "target-vanished") == []
    target.admin_do("--op", "delete", "--mode", "target", "--tid", 2)
    fs.ctl("discovery", "refresh")
    gone = events(fs, "target-vanished")
    assert len(gone) == 1 and "late2" in gone[0], gone
    assert fs.ls("targets") == sorted([iqn, "iqn.2026-11.test:by-hand", Tgtd.base + "late3"])
    for tid in range(4, 24):
        target.admin_do("--op", "new", "--mode", "target", "--tid", tid, "-T", f"iqn.2026-11.test:n{tid}")
        target.admin_do("--op", "bind", "--mode", "target", "--tid", tid, "-I", "ALL")
    fs.ctl("discovery", "refresh")
    found = events(fs, "target-found")
    assert len(found) == 4 and "20 targets found" in found[-1], found
    for tid in range(4, 24):
        target.admin_do("--op", "delete", "--mode", "target", "--tid", tid)
    fs.ctl("discovery", "refresh")
    gone = events(fs, "target-vanished")
    assert len(gone) == 2 and "20 targets gone" in gone[-1], gone
    fs.logout(iqn)
    assert iqn in fs.ls("targets"), "the portal still tells of it"
