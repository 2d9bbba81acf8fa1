# SPDX-License-Identifier: BSD-2-Clause
"""The tree against its page: every file that is mounted is described in man/iscsi-tree.7."""
import os

from mounted import Mounted
from realtargets import Tgtd
from runner import Skip, test

WALK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "walk_tree")


@test
def page_names_every_file(t):
    if not os.access(WALK, os.X_OK):
        raise Skip("no tests/fuse/walk_tree")
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.ctl("discovery", "add-target iqn.2026-11.test:by-hand portal=127.0.0.1:1")
    fs.log_in(target.portal, iqn, "persist=yes")
    fs.ctl("persistent", "bind")
    t.sh(f"timeout 120 {WALK} {fs.point}")


@test
def everything_can_be_read_twice(t):
    """Every file gives the same sort of text at any time, and stat() and ls agree with what is there."""
    target = Tgtd(t)
    iqn, _, _ = target.one_disk(size=1 << 20)
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, "persist=yes")
    fs.ctl("persistent", "bind")
    seen = 0
    for top, dirs, names in os.walk(fs.point):
        for name in names:
            path = os.path.join(top, name)
            if os.access(path, os.R_OK) and not name.startswith("events_pipe"):  # reading those waits
                with open(path, "rb") as f, open(path, "rb") as g:
                    one, two = f.read(), g.read()
                    assert (not one) == (not two), path
                if name not in ("disk", "error") and one:
                    assert one.endswith(b"\n"), f"{path} does not end with a newline"
                seen += 1
        for name in dirs:
            os.stat(os.path.join(top, name))
    assert seen > 50, seen


@test
def status_of_the_top_is_brief(t):
    """Of targets that are merely known it has the state, of those logged in everything."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk(size=1 << 20)
    fs = Mounted(t)
    with open(t.path("script"), "w") as f:
        for n in range(5000):
            f.write(f"add-target iqn.2026-11.test:number-{n:05d} portal=127.0.0.1:3260 persist=no\n")
    t.sh(f"cat {t.path('script')} > {fs.path('discovery', 'ctl')}")
    fs.log_in(target.portal, iqn)
    status = fs.json()
    assert status["targets"]["iqn.2026-11.test:number-00000"] == {"state": "discovered"}
    assert len(status["targets"]) == 5001
    assert status["targets"][iqn][f"lun{number}"]["size"] == 1 << 20
    assert "instances" in fs.json("targets", "iqn.2026-11.test:number-00000")
    # Made once for many opens; but a command is seen at once.
    files = [open(fs.path("status.json")) for _ in range(200)]
    assert all(f.read(100) for f in files)
    fs.logout(iqn)
    assert fs.json()["targets"][iqn]["state"] == "discovered"
    for f in files:
        f.close()


@test
def inode_numbers_differ(t):
    target = Tgtd(t)
    names = [target.one_disk(size=1 << 20)[0] for _ in range(3)]
    fs = Mounted(t)
    fs.discover(target.portal)
    for name in names:
        fs.login(name)
    paths = [os.path.join(top, name) for top, dirs, files in os.walk(fs.point) for name in dirs + files]
    inodes = {}
    for path in paths:
        if not os.path.islink(path):
            inodes.setdefault(os.lstat(path).st_ino, []).append(path)
    twice = [x for x in inodes.values() if len(x) > 1]
    assert not twice, twice[:3]
