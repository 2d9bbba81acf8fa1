# SPDX-License-Identifier: BSD-2-Clause
"""Targets that the firmware knows (iBFT), from a directory in the kernel's format, with a real target behind it."""
import errno
import os
import shutil

from runner import refuses, test, wait_for
from mounted import Mounted
from realtargets import SECRET, SECRET_IN, USER, USER_IN, Tgtd, free_port

OTHER = "iqn.2026-11.test:other"


class Table:
    def __init__(self, t):
        self.path = t.path("ibft")
        os.mkdir(self.path)
        self.put("initiator", flags=3, initiator_name="iqn.2026-11.test:by-firmware")
        self.put("ethernet0", flags=3, mac="52:54:00:12:34:56", ip_addr="127.0.0.1", subnet_mask="255.0.0.0", vlan=0)
        self.put("ethernet1", flags=1, mac="52:54:00:12:34:57", ip_addr="192.0.2.77")

    def put(self, block, **values):
        os.makedirs(os.path.join(self.path, block), exist_ok=True)
        for name, value in values.items():
            with open(os.path.join(self.path, block, name.replace("_", "-")), "w") as f:
                f.write(f"{value}\n")

    def target(self, number, iqn, port, nic=0, **values):
        self.put(f"target{number}", flags=3, target_name=iqn, ip_addr="127.0.0.1", port=port, lun="00000000",
                 **{"nic_assoc": nic, "chap_type": 0} | values)

    def drop(self, block):
        shutil.rmtree(os.path.join(self.path, block))


def mount(t, table, **keys):
    """Once the table has been read."""
    fs = Mounted(t, config=f'ibft_path = "{table.path if table else t.path("nowhere")}";\n', **keys)
    wait_for(lambda: fs.read("discovery", "firmware", "state") not in ("never", "busy"), "the table is read")
    return fs


def state(fs):
    return fs.read("discovery", "firmware", "state")


@test
def no_table_is_no_error(t):
    fs = mount(t, None)
    assert state(fs) == "none"
    assert fs.read("discovery", "firmware", "error") == "" and fs.ls("targets") == []
    assert "targets=0" in fs.ctl("discovery/firmware", "refresh")
    fs.ctl("discovery", "refresh")
    got = fs.json("discovery", "firmware")
    assert got["state"] == "none" and got["last_ok"] is None and got["nics"] == [], got


@test
def firmware_goes_before_sendtargets(t):
    target = Tgtd(t)
    iqn, number, backing = target.chap_disk(mutual=True)
    table = Table(t)
    table.target(0, iqn, target.port, chap_type=2, chap_name=USER, chap_secret=SECRET, rev_chap_name=USER_IN,
                 rev_chap_name_secret=SECRET_IN)
    fs = mount(t, table)
    assert state(fs) == "ok" and fs.ls("targets") == [iqn]
    got = fs.json("discovery", "firmware")
    assert got["targets"] == 1 and got["initiator_name"] == "iqn.2026-11.test:by-firmware", got
    assert got["nics"][0].startswith("ethernet0 mac=52:54:00:12:34:56 address=127.0.0.1 mask=255.0.0.0"), got
    assert got["nics"][0].endswith("here=yes") and got["nics"][1].endswith("here=no"), got
    fs.discover(target.portal)
    assert sorted(fs.ls("targets", iqn, "instances")) == ["firmware", f"sendtargets:{target.portal}"]
    sid = fs.login(iqn)
    assert fs.params(iqn, sid)["AuthMethod"][1] == "CHAP"
    with open(fs.disk(iqn, number), "rb") as disk, open(backing, "rb") as there:
        assert disk.read(65536) == there.read(65536)
    options = fs.json("targets", iqn, "instances", "firmware")["options"]
    assert options["source"] == "127.0.0.1" and options["secret"] == options["secret_in"] == "***", options
    for place in ((), ("discovery",), ("targets", iqn)):
        text = fs.read(*place, "status.json")
        assert SECRET not in text and SECRET_IN not in text
    fs.logout(iqn)
    refuses(errno.EACCES, fs.login, iqn, f"mechanism=sendtargets:{target.portal}")


@test
def card_that_is_not_here_gives_no_source(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    table = Table(t)
    table.target(0, iqn, target.port, nic=1)
    fs = mount(t, table)
    assert "source" not in fs.json("targets", iqn, "instances", "firmware")["options"]
    fs.login(iqn)


@test
def targets_of_the_table_come_and_go(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    table = Table(t)
    table.target(0, iqn, target.port)
    fs = mount(t, table)
    table.target(1, OTHER, free_port())
    table.target(2, OTHER, 3261)
    assert "targets=2" in fs.ctl("discovery/firmware", "refresh")
    assert fs.ls("targets") == sorted([iqn, OTHER])
    assert len(fs.json("targets", OTHER, "instances", "firmware")["portals"]) == 2, "one target, two portals"
    fs.login(iqn)
    table.drop("target0")
    fs.ctl("discovery", "refresh")
    assert fs.ls("targets") == sorted([iqn, OTHER]), "logged in to, it stays"
    assert fs.ls("targets", iqn, "instances") == []
    fs.logout(iqn)
    wait_for(lambda: fs.ls("targets") == [OTHER], "it is gone with its session")
    shutil.rmtree(table.path)
    fs.ctl("", "refresh")
    assert state(fs) == "none" and fs.ls("targets") == []


@test
def damage_leaves_what_was_known(t):
    table = Table(t)
    table.target(0, OTHER, 3261)
    fs = mount(t, table)
    table.put("target0", port="65536")
    e = refuses(errno.EIO, fs.ctl, "discovery/firmware", "refresh")
    assert "target0/port" in e.reply and "where=discovery/firmware" in e.reply, e.reply
    assert state(fs) == "failed" and fs.ls("targets") == [OTHER]
    assert "target0/port" in fs.read("discovery", "firmware", "error")
    assert " firmware-discovery-failed " in fs.read("events")
    refuses(errno.EIO, fs.ctl, "discovery", "refresh")
    table.put("target0", port="3262")
    fs.ctl("discovery", "refresh")
    assert state(fs) == "ok" and fs.read("targets", OTHER, "instances", "firmware", "portals") == "127.0.0.1:3262"


@test
def one_that_is_bad_is_passed_over(t):
    table = Table(t)
    table.target(0, "iqn.2026-11.test:under_score", 3261)
    table.target(1, OTHER, 3261)
    table.target(2, "iqn.2026-11.test:short", 3261, chap_type=1, chap_name="u", chap_secret="short")
    fs = mount(t, table)
    assert state(fs) == "ok" and fs.ls("targets") == [OTHER]
    assert " invalid-name " in fs.read("events")
    text = fs.read("discovery", "firmware", "error")
    assert "under_score" in text and "target2" in text and '"short"' not in text, text
