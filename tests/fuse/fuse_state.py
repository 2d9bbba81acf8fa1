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

from mounted import Mounted, read_text
from realtargets import Tgtd, free_port
from runner import LIMIT, need_root, refuses, test, wait_for

IQN = "iqn.2026-11.test:kept-"


def again(t, fs, name, how=signal.SIGTERM, **more):
    """The next daemon with the same state directory."""
    if how == signal.SIGKILL:
        fs.process.kill()
        fs.process.wait(LIMIT)
        t.sh(["umount", "-l", fs.point])
    elif fs.is_alive():
        fs.stop(how)
    return Mounted(t, name=name, state=fs.state, **more)


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
