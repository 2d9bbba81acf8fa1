# SPDX-License-Identifier: BSD-2-Clause
"""A session to recover: LIO, a fault proxy before each of its portals, iscsifs logged in through them, and the
verifying load on the disk. For the tests of recovery and of several paths."""
from runner import SLOWNESS, wait_for
from faultproxy import FaultProxy
from lio import Lio
from loadcheck import Load
from mounted import Mounted

# Seconds. Long beside what a busy machine needs for anything, short enough to be waited for.
DEADLINE = 20
NOP_INTERVAL, NOP_TIMEOUT = 1, 3 * SLOWNESS
# PDUs of each kind: unsolicited data, transfer requests for several bursts, several Data-Out and Data-In. What LIO
# calls MaxXmit is what it declares to receive.
SMALL_BURSTS = {"FirstBurstLength": 8192, "MaxBurstLength": 16384, "MaxXmitDataSegmentLength": 8192}
DEFAULT_KEYS = {"time2wait": 0, "nop_interval": NOP_INTERVAL, "nop_timeout": int(NOP_TIMEOUT),
                "max_recv_data_segment_length": 8192}


class Rig:
    """@connections: of the session, one by each proxy in turn. @erl: asked for. @keys: more login keys. @parameters:
    of the target. Starts no load; run() does."""

    def __init__(self, t, erl=0, connections=1, deadline=DEADLINE, keys="", target=None, **parameters):
        self.t, self.erl, self.count, self.deadline = t, erl, connections, deadline
        self.lio = Lio(t)
        words = dict(SMALL_BURSTS, DefaultTime2Wait=0)
        words.update(parameters)
        self.iqn, self.number, self.backing = (target or Lio.one_disk)(self.lio, **words)
        self.proxies = [FaultProxy(t, portal) for portal in self.lio.portals]
        self.fs = Mounted(t)
        self.fs.discover(self.lio.portal)
        wanted = dict(DEFAULT_KEYS, erl=erl, max_connections=max(2, connections), command_timeout=deadline)
        wanted.update(word.split("=", 1) for word in keys.split())
        self.keys = " ".join(f"{k}={v}" for k, v in wanted.items())
        self.load = None
        self.sid = None

    def log_in(self):
        """The one session, with all its connections."""
        self.sid = self.fs.login(self.iqn, f"portal={self.proxies[0].portal} {self.keys}")
        for n in range(1, self.count):
            self.fs.ctl(f"sessions/{self.sid}", f"add-connection portal={self.proxies[n % len(self.proxies)].portal}")
        assert self.is_whole(), self.connection_states()
        got = self.fs.params(self.iqn, self.sid)["ErrorRecoveryLevel"][1]
        assert got == str(self.erl), f"ErrorRecoveryLevel {got}"
        return self.sid

    def run(self, **options):
        """Start the load; returns it."""
        self.load = Load(self.t, self.fs.disk(self.iqn, self.number), self.deadline, is_alive=self.fs.is_alive,
                         **options)
        self.load.start()
        return self.load

    def connections(self, sid=None):
        """{CID: state}"""
        where = ("sessions", sid or self.sid, "connections")
        return {cid: self.fs.read(*where, cid, "state") for cid in self.fs.ls(*where)}

    def remotes(self):
        """{portal: CID}"""
        where = ("sessions", self.sid, "connections")
        return {self.fs.read(*where, cid, "remote"): cid for cid in self.fs.ls(*where)}

    def connection_states(self):
        return f"session {self.fs.read('sessions', self.sid, 'state')}, connections {self.connections()}"

    def is_whole(self):
        """As it was after the login."""
        return (self.fs.read("sessions", self.sid, "state") == "logged-in"
                and sorted(self.connections().values()) == ["logged-in"] * self.count)

    def recovers(self, when, limit=60):
        """The load goes on, and all connections are there again."""
        self.load.goes_on(when)
        try:
            wait_for(self.is_whole, f"all connections are there again {when}", limit)
        except AssertionError as e:
            raise AssertionError(f"{e}: {self.connection_states()}\n{self.events()}") from None

    def stats(self, *where):
        """{name: number} of a stats file."""
        return stats(self.fs, *(where or ("sessions", self.sid)))

    def events(self):
        return self.fs.read("events")

    def finish(self):
        """No wrong byte, none in the target's own copy either."""
        return self.load.finish(lambda: self.lio.fetch(self.backing))


def stats(fs, *where):
    pairs = (line.split() for line in fs.read(*where, "stats").splitlines())
    return {name: int(value) for name, value in pairs if value.isdigit()}


def assert_told(fs, *names):
    """Each of the events (one name of each, when it is a tuple) is in `events`."""
    text = fs.read("events")
    for name in names:
        wanted = name if isinstance(name, tuple) else (name,)
        assert any(f" {x} " in text for x in wanted), f"no event {' or '.join(wanted)}:\n{text}"
