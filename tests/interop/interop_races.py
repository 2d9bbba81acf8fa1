# SPDX-License-Identifier: BSD-2-Clause
"""Many at once: verbs that take away what others are using, in any order. The daemon lives, no verb hangs, and what the
tree shows in the end is what the next daemon finds."""
import errno
import os
import random
import signal
import threading
import time

from interop_isns import US, Isnsd, OneByOne, Scripted, mounted
from mounted import unmount
from realtargets import Tgtd, free_port
from runner import LIMIT, SLOWNESS, test, wait_for

QUICK = "text_timeout = 3\nlogin_timeout = 3\nconnect_timeout = 2\nisns_period = 4\n"
# The tree's lists of what is kept.
KEPT = ("discovery/portals", "discovery/isns", "discovery/static", "persistent/logins", "initiator/instances")


class Crowd:
    """Threads that call @what(rng) again and again."""

    def __init__(self, fs, seed, count, what):
        self.fs, self.what, self.is_over, self.done, self.errors = fs, what, False, {}, []
        self.threads = [threading.Thread(target=self.run, args=(random.Random(seed * 100 + n),), daemon=True)
                        for n in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, rng):
        while not self.is_over and self.fs.is_alive():
            try:
                self.what(rng)
                outcome = "ok"
            except OSError as e:
                outcome = errno.errorcode.get(e.errno, e.errno)
            except Exception as e:
                self.errors.append(repr(e))
                return
            self.done[outcome] = self.done.get(outcome, 0) + 1

    def goes_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.fs.is_alive():
            time.sleep(0.05)
        assert self.fs.is_alive(), f"iscsifs has died, status {self.fs.process.poll()}"

    def ends(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "a verb hangs"
        assert not self.errors, self.errors
        return f"{sum(self.done.values())} verbs, {self.done.get('ok', 0)} of them went well"


def read_everything(fs):
    for place, dirs, names in os.walk(fs.point):
        dirs[:] = [d for d in dirs if not os.path.islink(os.path.join(place, d))]
        for name in names:
            if not name.startswith("events_pipe") and name not in ("disk", "scsi"):
                try:
                    with open(os.path.join(place, name), "rb") as f:
                        f.read()
                except OSError:
                    pass


def write(fs, name, value):
    with open(fs.path("initiator", name), "w") as f:
        f.write(value + "\n")


def anything(fs, iqns, portals, servers):
    """A function that does one thing out of all that change what is discovered, logged in to and kept. Not so that a
    target stays that is entered by hand and not kept: by a login to one that is not known yet, or hidden=yes."""
    def act(rng):
        iqn, portal, server = rng.choice(iqns), rng.choice(portals), rng.choice(servers)
        waits = rng.choice(("", "", "timeout=0.05", "auth=chap user=me secret=twelve-bytes-and timeout=1", "instance=x"))
        how = rng.choice((waits, waits, waits + " nowait=yes"))
        rng.choice((
            lambda: fs.ctl("discovery", f"add-portal {portal} {waits}"),
            lambda: fs.ctl("discovery", f"remove-portal {portal}"),
            lambda: fs.ctl("discovery", f"refresh {portal} nowait=yes"),
            lambda: fs.ctl("discovery", f"add-isns {server} timeout=1"),
            lambda: fs.ctl("discovery", f"remove-isns {server}"),
            lambda: fs.ctl("discovery", "refresh-isns nowait=yes"),
            lambda: fs.ctl("discovery", f"add-target {iqn} portal={portals[0]} {how} {rng.choice(('', 'merge=yes'))}"),
            lambda: fs.ctl("discovery", f"remove-target {iqn}"),
            lambda: fs.ctl("initiator", f"add-instance x source=127.0.0.{rng.randint(1, 3)}"),
            lambda: fs.ctl("initiator", "remove-instance x"),
            lambda: fs.ctl(f"targets/{iqn}", f"login {how}"),
            lambda: fs.ctl(f"targets/{iqn}", "login persist=yes timeout=2"),
            lambda: fs.ctl(f"targets/{iqn}", "logout force=yes"),
            lambda: fs.ctl(f"targets/{iqn}", "remove"),
            lambda: fs.ctl("", f"login iqn.2026-11.test:s2 portal={portal} timeout=1"),
            lambda: fs.ctl("", rng.choice(("reload", "refresh timeout=1", "refresh nowait=yes"))),
            lambda: fs.ctl("persistent", f"add-login {iqn}"),
            lambda: fs.ctl("persistent", f"remove-login {iqn}"),
            lambda: fs.ctl("persistent", rng.choice(("bind", "clear-volumes"))),
            lambda: write(fs, "name", f"{US}{rng.randint(0, 3)}"),
            lambda: write(fs, "alias", f"alias {rng.randint(0, 9)}"),
            lambda: write(fs, "chap_secret", rng.choice(("*", "twelve-bytes-and"))),
            lambda: read_everything(fs)))()
    return act


def kept(fs):
    return {where: fs.ls(where) for where in KEPT} | {name: fs.read("initiator", name) for name in ("name", "alias")}


def next_one_finds_the_same(t, fs, config):
    """Nothing is under way any more, but what nobody waits for: these end when all that was to be saved before is."""
    fs.ctl("discovery", "add-target iqn.2026-11.test:last portal=127.0.0.1")
    fs.ctl("initiator", "add-instance last source=127.0.0.9")
    before = kept(fs)
    fs.process.send_signal(signal.SIGKILL)
    fs.process.wait(LIMIT)
    unmount(fs.point)
    again = mounted(t, config, name=f"{fs.name}-again", state=fs.state)
    after = kept(again)
    assert after == before, {x: (before[x], after[x]) for x in before if before[x] != after[x]}
    return again


@test(limit=300)
def everything_by_everybody(t):
    target, real = Tgtd(t), Isnsd(t)
    servers = [Scripted(t, names=[f"iqn.2026-11.test:n{i}" for i in range(50)]).portal,
               OneByOne(t, names=[f"iqn.2026-11.test:m{i}" for i in range(60)]).portal,
               Scripted(t, reply=lambda function, xid: b"").portal, real.portal]
    iqns = [target.one_disk(size=1 << 20)[0] for _ in range(4)]
    iqns += ["iqn.2026-11.test:n3", "iqn.2026-11.test:m7", "iqn.2026-11.test:s1"]
    portals = [target.portal, f"127.0.0.1:{free_port()}", f"localhost:{target.ports[0]}"]
    seed = random.randrange(1 << 30)
    fs = mounted(t, QUICK)
    crowd = Crowd(fs, seed, 10, anything(fs, iqns, portals, servers))
    crowd.goes_on(8 * SLOWNESS)
    done = crowd.ends()
    fs = next_one_finds_the_same(t, fs, QUICK)
    # And again and again into the end of the daemon.
    for again in range(1, 7):
        crowd = Crowd(fs, seed + again, 10, anything(fs, iqns, portals, servers))
        crowd.goes_on(0.5 * SLOWNESS)
        fs.stop()
        crowd.ends()
        if again < 6:
            fs = mounted(t, QUICK, name=f"iscsi-{again}", state=fs.state)
    return f"seed {seed}: {done}"


@test
def one_login_saved_and_removed_by_many(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk(size=1 << 20)
    fs = mounted(t)
    fs.discover(target.portal)

    def act(rng):
        verb = rng.choice(("add-login", "add-login", "remove-login"))
        fs.ctl("persistent", f"{verb} {iqn}" + (f" command_timeout={rng.randint(10, 99)}" if verb == "add-login" else ""))
    crowd = Crowd(fs, random.randrange(1 << 30), 8, act)
    crowd.goes_on(3)
    done = crowd.ends()
    fs.ctl("persistent", f"add-login {iqn} command_timeout=77")
    again = next_one_finds_the_same(t, fs, "")
    assert again.ls("persistent", "logins") == [iqn]
    assert "command_timeout 77" in again.read("persistent", "logins", iqn, "options")
    return done
