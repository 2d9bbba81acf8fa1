# SPDX-License-Identifier: BSD-2-Clause
"""Discovery: SendTargets portals by address, IPv6 and name; targets entered by hand; what comes and goes in the tree."""
import errno
import os

from runner import refuses, test, wait_for
from mounted import Mounted
from realtargets import SECRET, SECRET_IN, USER, USER_IN, Istgt, Tgtd, free_port, need_ipv6

BOTH = (Tgtd, Istgt)


@test(on=BOTH)
def add_portal_shows_targets(t, kind):
    target = kind(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    reply = fs.discover(target.portal)
    assert reply.startswith("ok"), reply
    assert iqn in fs.ls("targets"), fs.ls("targets")
    assert target.portal in fs.ls("discovery", "portals"), fs.ls("discovery", "portals")
    assert fs.json("discovery", "portals", target.portal)
    assert any("sendtargets" in x for x in fs.ls("targets", iqn, "instances"))
    assert not fs.sids(iqn), "discovery must not log in to targets"


@test(on=BOTH)
def discovery_session_is_closed(t, kind):
    target = kind(t)
    target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    wait_for(lambda: target.connections() == 0, "the discovery session is closed")


@test
def several_targets_of_one_portal(t):
    target = Tgtd(t)
    names = sorted(target.one_disk(size=1 << 20)[0] for _ in range(40))
    fs = Mounted(t)
    fs.discover(target.portal)
    assert fs.ls("targets") == names


@test
def refresh_follows_the_target(t):
    target = Tgtd(t)
    first, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    second, _, _ = target.one_disk()
    fs.ctl("discovery", "refresh")
    assert fs.ls("targets") == sorted([first, second])
    target.admin_do("--op", "delete", "--mode", "target", "--tid", 1)
    fs.ctl("discovery", f"refresh {target.portal}")
    assert fs.ls("targets") == [second]


@test
def remove_portal_removes_its_targets(t):
    target = Tgtd(t)
    target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.ctl("discovery", f"remove-portal {target.portal}")
    assert fs.ls("targets") == []
    assert target.portal not in fs.ls("discovery", "portals")
    refuses(errno.ENOENT, fs.ctl, "discovery", f"remove-portal {target.portal}")


@test
def two_portals_know_one_target(t):
    target = Tgtd(t, ports_each=2)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    for port in target.ports:
        fs.discover(f"127.0.0.1:{port}")
    assert fs.ls("targets") == [iqn]
    assert len(fs.ls("targets", iqn, "instances")) >= 2, fs.ls("targets", iqn, "instances")
    fs.ctl("discovery", f"remove-portal 127.0.0.1:{target.ports[0]}")
    assert fs.ls("targets") == [iqn]


@test(on=BOTH)
def ipv6_portal(t, kind):
    need_ipv6()
    target = kind(t, hosts=("::1",))
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.login(iqn)
    assert os.stat(fs.disk(iqn, number)).st_size == 16 << 20


@test
def dns_name_portal(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    # localhost may also be ::1, where nobody listens: the other address is to be tried then.
    fs.discover(f"localhost:{target.port}")
    fs.login(iqn)
    assert os.stat(fs.disk(iqn, number)).st_size == 16 << 20


@test
def unknown_name_is_told(t):
    fs = Mounted(t)
    e = refuses(errno.ENOENT, fs.discover, "no-such-host.invalid:3260")
    assert "error code=" in e.reply and "no-such-host.invalid" in fs.read("discovery", "error"), e.reply
    assert fs.ls("discovery", "portals") == []


@test
def refused_connection_is_told(t):
    fs = Mounted(t)
    portal = f"127.0.0.1:{free_port()}"
    e = refuses(errno.ECONNREFUSED, fs.discover, portal)
    assert "errno=ECONNREFUSED" in e.reply, e.reply
    assert portal in fs.read("discovery", "error")
    assert fs.ls("discovery", "portals") == []


@test(on=BOTH)
def static_target_logs_in(t, kind):
    target = kind(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target {iqn} portal={target.portal}")
    assert fs.ls("targets") == [iqn]
    assert iqn in fs.ls("discovery", "static")
    fs.login(iqn)
    assert os.stat(fs.disk(iqn, number)).st_size == 16 << 20
    refuses(errno.EEXIST, fs.ctl, "discovery", f"add-target {iqn} portal={target.portal}")


@test
def static_target_is_removed(t):
    fs = Mounted(t)
    iqn = "iqn.2026-11.test:nobody"
    fs.ctl("discovery", f"add-target {iqn} portal=127.0.0.1:{free_port()}")
    refuses(errno.ECONNREFUSED, fs.login, iqn)
    assert iqn in fs.ls("targets")
    fs.ctl("discovery", f"remove-target {iqn}")
    assert fs.ls("targets") == []
    refuses(errno.ENOENT, fs.ctl, "discovery", f"remove-target {iqn}")


@test
def login_at_the_top_finds_the_target(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    fs.ctl("", f"login {iqn}")
    assert len(fs.sids(iqn)) == 1
    refuses(errno.ENOENT, fs.ctl, "", "login iqn.2026-11.test:no-such-target")


@test
def target_name_is_folded_and_checked(t):
    fs = Mounted(t)
    fs.ctl("discovery", f"add-target IQN.2026-11.TEST:Upper portal=127.0.0.1:{free_port()}")
    assert fs.ls("targets") == ["iqn.2026-11.test:upper"]
    for bad in ("nonsense", "iqn.2026-13.test:x", "iqn.2026-11.test:" + "x" * 223, "eui.12"):
        refuses(errno.EINVAL, fs.ctl, "discovery", f"add-target {bad} portal=127.0.0.1:3260")


@test
def initiator_name_reaches_the_target(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    name = "iqn.2026-11.test:my-initiator"
    with open(fs.path("initiator", "name"), "w") as f:
        f.write(name + "\n")
    assert fs.read("initiator", "name") == name
    fs.log_in(target.portal, iqn)
    assert target.sessions() == [name]


@test
def portal_that_demands_chap(t):
    demands_chap(t, "CHAP")


@test
def portal_that_demands_mutual_chap(t):
    demands_chap(t, "CHAP Mutual")


def demands_chap(t, method):
    """Its secrets are kept: the next daemon asks it again without being told them."""
    target = Istgt(t, DiscoveryAuthMethod=method, DiscoveryAuthGroup="AuthGroup1")
    iqn, _, _ = target.find("disk")
    fs = Mounted(t)
    keys = f"user={USER} secret={SECRET}" + (f" user_in={USER_IN} secret_in={SECRET_IN}" if method != "CHAP" else "")
    refuses(errno.EACCES, fs.discover, target.portal)
    refuses(errno.EACCES, fs.discover, target.portal, keys.replace(SECRET, "not-that-secret"))
    if method != "CHAP":
        refuses(errno.EACCES, fs.discover, target.portal, keys.replace(SECRET_IN, "not-that-secret"))
    assert fs.ls("discovery", "portals") == []
    fs.discover(target.portal, keys)
    assert iqn in fs.ls("targets")
    fs.stop()
    again = Mounted(t, name="again", state=fs.state)
    wait_for(lambda: iqn in again.ls("targets"), "the portal is asked again")
    reply = again.ctl("discovery", f"refresh {target.portal}")
    assert reply.startswith("ok"), reply
    shown = again.read("discovery", "portals", target.portal, "options")
    assert f"user {USER}" in shown and SECRET not in shown and SECRET_IN not in shown, shown
