# SPDX-License-Identifier: BSD-2-Clause
"""iSNS: the real server (open-isns), with tgtd and isnsadm registering targets; and a server of the test's own that
does what none should (RFC 4171, bytes by hand)."""
import contextlib
import errno
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import zlib

from runner import LIMIT, need_program, refuses, test, wait_for
from mounted import Mounted
from realtargets import Tgtd, answers, free_port, need_ipv6, portal

US = "iqn.2026-11.test:us"
CONFIG = f'initiator_name = "{US}"\n'


# Inquires each second.
INQUIRES = {"ESIMaxInterval": "1s", "ESIRetries": 2}


class Isnsd:
    """The real server, in memory. It dies of SIGPIPE unless that is ignored. At times it dies of the second thing that
    it tells a client (a connection that it has freed when the client asked something meanwhile): no fault of the test."""

    def __init__(self, t, host="127.0.0.1", name="isnsd", port=None, **settings):
        self.daemon, self.admin = need_program("isnsd", "isnsadm")
        self.t, self.name, self.host = t, name, host
        self.dir = t.path(name)
        os.mkdir(self.dir)
        for _ in range(5):
            self.port = port or free_port((host,))
            self.portal = portal(host, self.port)
            self._configure(settings)
            self.start()
            if self.process.poll() is None:
                return
        raise AssertionError(f"isnsd does not start: {open(t.path(name + '.log')).read()}")

    def _configure(self, settings):
        server = {"SourceName": "iqn.2026-11.test:isns-server", "BindAddress": self.portal, "Security": 0,
                  "SLPRegister": 0, "DefaultDiscoveryDomain": 1, "ESIMinInterval": "1s", "SCNTimeout": 3,
                  "ControlSocket": f"{self.dir}/ctl", "PIDFile": f"{self.dir}/pid", **settings}
        client = {"SourceName": "iqn.2026-11.test:admin", "ServerAddress": self.portal, "Security": 0,
                  "ControlSocket": f"{self.dir}/ctl",
                  "Control.SourceName": "iqn.2026-11.test:isns-server.control"}
        for file, values in (("server", server), ("client", client)):
            with open(f"{self.dir}/{file}", "w") as f:
                f.writelines(f"{k} = {v}\n" for k, v in values.items())

    def start(self):
        self.process = self.t.start(
            ["sh", "-c", f"trap '' PIPE; exec {self.daemon} -c {self.dir}/server -f"], self.t.path(f"{self.name}.log"))
        self.t.excuse(lambda process=self.process: f"{self.name} died of a fault of its own"
                      if process.poll() in (-signal.SIGSEGV, -signal.SIGABRT) else None)
        wait_for(lambda: self.process.poll() is not None or self._is_there(), "isnsd answers")

    def _is_there(self):
        try:
            return answers(self.host, self.port)
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT)

    def ask(self, *words):
        # An inquiry or a notification that the server sends meanwhile makes its own tool's call fail.
        for _ in range(5):
            assert self.process.poll() is None, f"isnsd has ended: {self.process.returncode}"
            done = subprocess.run([self.admin, "-c", f"{self.dir}/client", *words], capture_output=True, text=True,
                                  timeout=LIMIT, stdin=subprocess.DEVNULL)
            if "Timed out while waiting" not in done.stdout + done.stderr:
                break
        assert done.returncode == 0, f"isnsadm {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def add(self, name, tag=1):
        """A target that is nowhere. The server takes a portal for one entity only."""
        iqn, port = f"iqn.2026-11.test:{name}", 40000 + zlib.crc32(name.encode()) % 20000
        self.ask("--register", f"entity={name}.host", f"target={iqn},alias={name}", f"portal=127.0.0.1:{port}",
                 f"pg,pgt={tag}")
        return iqn

    def initiators(self):
        return re.findall(r'iSCSI name = "([^"]*)"', self.ask("--local", "--query", "iscsi-node-type=initiator"))


def mounted(t, config="", **kwargs):
    return Mounted(t, config=CONFIG + config, **kwargs)


def add(fs, server, keys=""):
    reply = fs.ctl("discovery", f"add-isns {server.portal} {keys}")
    assert reply.startswith("ok"), reply
    return reply


def known(fs, *iqns):
    """Exactly these become the targets, by themselves."""
    try:
        wait_for(lambda: fs.ls("targets") == sorted(iqns), "the targets are these")
    except AssertionError as e:
        there, wanted = set(fs.ls("targets")), set(iqns)
        raise AssertionError(f"{e}: {sorted(wanted - there)[:9]} are missing, {sorted(there - wanted)[:9]} are too many") from None


def state(fs, server):
    return fs.read("discovery", "isns", server.portal, "state")


def registers_itself(tgtd, server):
    for name, value in (("iSNSServerIP", server.host), ("iSNSServerPort", server.port), ("iSNS", "On")):
        tgtd.admin_do("--op", "update", "--mode", "sys", "--name", name, "-v", value)


# ---- with the real server ----

@test
def discovery_and_login(t):
    server, target = Isnsd(t), Tgtd(t)
    registers_itself(target, server)
    iqn, _, _ = target.one_disk()
    fs = mounted(t)
    add(fs, server)
    known(fs, iqn)
    assert fs.ls("targets", iqn, "instances") == [f"isns:{server.portal}"]
    assert fs.ls("discovery", "isns") == [server.portal]
    fs.login(iqn)
    status = fs.json("discovery", "isns", server.portal)
    assert status["targets"] == 1 and status["registered"]["entity"] == US, status
    assert status["registered"]["scn"] == "yes", status
    assert server.initiators() == [US]


@test
def tree_follows_by_scn(t):
    server, target = Isnsd(t), Tgtd(t)
    registers_itself(target, server)
    first, _, _ = target.one_disk()
    fs = mounted(t)
    add(fs, server)
    known(fs, first)
    second, _, _ = target.one_disk()
    known(fs, first, second)
    third = server.add("third")
    known(fs, first, second, third)
    assert fs.read("discovery", "isns", server.portal, "last_scn") != "-"
    assert "isns-changed" in fs.read("events")
    assert any(" target-found " in line and third in line and server.portal in line for line in fs.read("events").splitlines())


@test
def tags_and_addresses_of_portals(t):
    server = Isnsd(t)
    server.ask("--register", "entity=e", "target=iqn.2026-11.test:t,alias=disk", "portal=127.0.0.1:3260", "pg,pgt=2",
               "portal=[fd00::5]:3261", "pg,pgt=3")
    fs = mounted(t)
    add(fs, server)
    known(fs, "iqn.2026-11.test:t")
    where = ("targets", "iqn.2026-11.test:t")
    assert sorted(fs.read(*where, "instances", f"isns:{server.portal}", "portals").splitlines()) == \
        ["127.0.0.1:3260,2", "[fd00::5]:3261,3"]
    assert fs.read(*where, "alias") == "disk"


@test
def a_server_by_an_instance_of_ours(t):
    server = Isnsd(t)
    fs = mounted(t)
    fs.ctl("initiator", "add-instance second source=127.0.0.2")
    fs.ctl("initiator", "add-instance gone interface=nope0")
    refuses(errno.ENODEV, fs.ctl, "discovery", f"add-isns {server.portal} instance=gone")
    refuses(errno.ENOENT, fs.ctl, "discovery", f"add-isns {server.portal} instance=never")
    add(fs, server, "instance=second")
    assert "127.0.0.2" in fs.read("discovery", "isns", server.portal, "registered")


@test
def inquiries_are_answered(t):
    server = Isnsd(t, **INQUIRES)
    fs = mounted(t, "isns_period = 600\n")
    add(fs, server)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert server.initiators() == [US]
        time.sleep(0.5)


@test
def killed_we_are_forgotten_and_come_back(t):
    server = Isnsd(t, **INQUIRES)
    iqn = server.add("one")
    fs = mounted(t, "isns_period = 4\n")
    add(fs, server)
    assert server.initiators() == [US]
    fs.process.send_signal(signal.SIGKILL)
    fs.process.wait(LIMIT)
    t.sh(f"umount -l {fs.point} || fusermount3 -uz {fs.point}", ok=False)
    wait_for(lambda: server.initiators() == [], "the server has forgotten us", limit=60)
    again = mounted(t, name="again", state=fs.state)
    wait_for(lambda: server.initiators() == [US], "registered again")
    known(again, iqn)


@test
def server_killed_and_back(t):
    server = Isnsd(t)
    iqn = server.add("one")
    fs = mounted(t)
    add(fs, server)
    known(fs, iqn)
    server.kill()
    wait_for(lambda: state(fs, server) == "failed", "the loss is noticed")
    assert fs.ls("targets") == [iqn], "what was found stays"
    refuses(errno.ECONNREFUSED, fs.ctl, "discovery", f"refresh-isns {server.portal}")
    assert "isns-discovery-failed" in fs.read("events")
    server.start()
    server.add("two")
    wait_for(lambda: server.initiators() == [US], "registered anew", limit=60)
    known(fs, "iqn.2026-11.test:two")
    assert fs.read("events").count("isns-registered") == 2
    assert state(fs, server) == "ok"


@test
def two_servers(t):
    one, two = Isnsd(t, name="one"), Isnsd(t, name="two")
    both, only = one.add("both"), two.add("only")
    two.add("both")
    fs = mounted(t)
    add(fs, one)
    add(fs, two)
    known(fs, both, only)
    assert len(fs.ls("targets", both, "instances")) == 2
    reply = fs.ctl("discovery", "refresh")
    assert "isns=2" in reply, reply
    fs.ctl("discovery", f"remove-isns {two.portal}")
    known(fs, both)
    assert two.initiators() == [] and one.initiators() == [US]


@test
def ipv6(t):
    need_ipv6()
    server = Isnsd(t, host="::1")
    iqn = server.add("six")
    fs = mounted(t)
    add(fs, server)
    known(fs, iqn)
    assert "portal [::1]:" in fs.read("discovery", "isns", server.portal, "registered")
    known(fs, iqn, server.add("seven"))


@test
def discovery_domains(t):
    server = Isnsd(t, DefaultDiscoveryDomain=0)
    iqn = server.add("one")
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == [], "no common domain yet"
    server.ask("--local", "--dd-register", "dd-name=lab", f"dd-member-name={US}", f"dd-member-name={iqn}")
    known(fs, iqn)
    # A member that is removed is not told of: half of our own period does it.
    server.ask("--local", "--dd-deregister", "1", f"dd-member-name={iqn}")
    fs.ctl("discovery", "refresh-isns")
    known(fs)


@test
def another_name_is_registered_anew(t):
    server = Isnsd(t)
    fs = mounted(t)
    add(fs, server)
    with open(fs.path("initiator", "name"), "w") as f:
        f.write("iqn.2026-11.test:other\n")
    wait_for(lambda: server.initiators() == ["iqn.2026-11.test:other"], "the new name alone is registered")


@test
def kept_unless_asked_otherwise(t):
    one, two = Isnsd(t, name="one"), Isnsd(t, name="two")
    iqn = one.add("one")
    fs = mounted(t)
    add(fs, one, "auth=none")
    add(fs, two, "persist=no")
    fs.stop()
    assert one.initiators() == [] and two.initiators() == [], "an orderly end deregisters"
    again = mounted(t, name="again", state=fs.state)
    assert again.ls("discovery", "isns") == [one.portal]
    known(again, iqn)
    assert "auth none" in again.read("discovery", "isns", one.portal, "options")
    again.ctl(f"discovery/isns/{one.portal}", "remove")
    again.stop()
    assert mounted(t, name="last", state=fs.state).ls("discovery", "isns") == []


@test
def nobody_there(t):
    fs = mounted(t)
    port = free_port()
    e = refuses(errno.ECONNREFUSED, fs.ctl, "discovery", f"add-isns 127.0.0.1:{port}")
    assert "ISDSC_ISNS_SERVER_NOT_FOUND" in e.reply, e.reply
    assert fs.ls("discovery", "isns") == []
    refuses(errno.ENOENT, fs.ctl, "discovery", f"remove-isns 127.0.0.1:{port}")
    refuses(errno.ENOENT, fs.ctl, "discovery", "add-isns nowhere.invalid")
    refuses(errno.EINVAL, fs.ctl, "discovery", f"add-isns 127.0.0.1:{port} portal=1.2.3.4")


@test
def forty_targets(t):
    server = Isnsd(t)
    names = sorted(server.add(f"t{i}") for i in range(40))
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == names


# ---- with messages of our own ----

def attr(tag, value=b""):
    value += b"\0" * (-len(value) % 4)
    return struct.pack(">II", tag, len(value)) + value


def number(tag, value):
    return attr(tag, struct.pack(">I", value))


def text(tag, value):
    return attr(tag, value.encode() + b"\0")


def pdu(function, xid, payload=b"", flags=0x4c00, sequence=0, version=1):
    return struct.pack(">HHHHHH", version, function, len(payload), flags, xid, sequence) + payload


def fragments(function, xid, payload, most=65532):
    pieces = [payload[i:i + most] for i in range(0, len(payload), most)] or [b""]
    for i, piece in enumerate(pieces):
        flags = 0x4000 | (0x400 if i == 0 else 0) | (0x800 if i == len(pieces) - 1 else 0)
        yield pdu(function, xid, piece, flags, i)


def register(server, names, port):
    """These, as the targets of one host; by hand, for tgtd would wait for each to hear of each."""
    with socket.create_connection((server.host, server.port), LIMIT) as s:
        for i in range(0, len(names), 20):
            payload = text(32, names[0]) + text(1, "one.host") + attr(0) + text(1, "one.host") + number(2, 2)
            payload += attr(16, b"\0" * 10 + b"\xff\xff" + socket.inet_aton("127.0.0.1")) + number(17, port)
            payload += b"".join(text(32, name) + number(33, 1) for name in names[i:i + 20])
            s.sendall(pdu(1, i, payload, 0x8c00))
            reply = s.recv(65536)
            assert reply[2:4] == b"\x80\x01" and reply[12:16] == bytes(4), reply
    return names


@test
def target_that_is_deregistered_goes(t):
    server = Isnsd(t)
    one, two, three = register(server, [f"iqn.2026-11.test:{x}" for x in ("one", "two", "three")], 3260)
    fs = mounted(t)
    add(fs, server)
    known(fs, one, two, three)
    with socket.create_connection((server.host, server.port), LIMIT) as s:
        s.sendall(pdu(4, 1, text(32, one) + attr(0) + text(32, two), 0x8c00))
        reply = s.recv(65536)
        assert reply[2:4] == b"\x80\x04" and reply[12:16] == bytes(4), reply
    known(fs, one, three)
    told = fs.read("events")
    assert "isns-changed" in told and f"{two}: " in told and "target-vanished" in told, told


@test
def three_hundred_targets_of_one_host(t):
    """More than fit in the 8 KiB that this server tells at once: they are asked for one by one."""
    server, target = Isnsd(t), Tgtd(t)
    there, _, _ = target.one_disk()
    names = register(server, [there] + [f"iqn.2026-11.test:d{i:03}" for i in range(299)], target.ports[0])
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == sorted(names)
    fs.login(there)
    # Not all of them again: the server dies of notifications that do not fit in 8 KiB either.
    register(server, [there, "iqn.2026-11.test:later"], target.ports[0])
    known(fs, *names, "iqn.2026-11.test:later")


# ---- with one that goes wrong ----

def found(name, port=3260, address="127.0.0.1"):
    mapped = b"\0" * 10 + b"\xff\xff" + socket.inet_aton(address)
    return (text(32, name) + number(33, 1) + attr(48, name.encode() + b"\0") + attr(49, mapped) + number(50, port) +
            number(51, 1))


def answer_of(names):
    return struct.pack(">I", 0) + number(33, 1) + attr(0) + b"".join(found(n) for n in names)


class Scripted:
    """An iSNS server of this process. @reply(function, xid): bytes to send, an iterable of them, or None for silence;
    False hangs up. None: it answers well, with @names as targets."""

    def __init__(self, t, reply=None, names=()):
        self.reply, self.names, self.requests = reply, list(names), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.portal = f"127.0.0.1:{self.port}"
        self.connections = []
        t.defer(self.close)
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        for s in [self.listener, *self.connections]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                s, _ = self.listener.accept()
                self.connections.append(s)
                threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def well(self, function, xid):
        if function == 2:
            return fragments(0x8002, xid, answer_of(self.names))
        return pdu(0x8000 | function, xid, struct.pack(">I", 0))

    def serve(self, s):
        with contextlib.suppress(OSError):
            stream = s.makefile("rb")
            while header := stream.read(12):
                _, function, length, _, xid, _ = struct.unpack(">HHHHHH", header)
                payload = stream.read(length)
                if function & 0x8000:
                    continue
                self.requests.append((function, payload))
                reply = self.reply(function, xid) if self.reply else None
                if reply is None and not self.reply:
                    reply = self.well(function, xid)
                if reply is False:
                    s.shutdown(socket.SHUT_RDWR)
                    return
                for piece in [reply] if isinstance(reply, bytes) else reply or ():
                    s.sendall(piece)


def attributes(payload):
    """(tag, value) of each."""
    while payload:
        tag, length = struct.unpack(">II", payload[:8])
        yield tag, payload[8:8 + length]
        payload = payload[8 + length:]


class OneByOne(Scripted):
    """Tells of one target at a time only. @answer(name), if any: the answer to the query for one; @after(name): the
    name that comes next ("": the first), None after the last."""
    answer = None

    def after(self, name):
        i = self.names.index(name) + 1 if name else 0
        return self.names[i] if i < len(self.names) else None

    def well(self, function, xid):
        if function not in (2, 3):
            return super().well(function, xid)
        key = list(attributes(self.requests[-1][1]))[1]
        name = key[1].rstrip(b"\0").decode()
        if function == 3:
            name = self.after(name)
            reply = struct.pack(">I", 9) if name is None else struct.pack(">I", 0) + text(32, name) + attr(0) + text(32, name)
        elif key[0] == 33:
            reply = struct.pack(">I", 11)
        else:
            reply = (self.answer or (lambda name: answer_of([name])))(name)
        return pdu(0x8000 | function, xid, reply)


def only_query(bad):
    """Registration goes well; @bad(xid) answers the query."""
    def reply(function, xid):
        return bad(xid) if function == 2 else pdu(0x8000 | function, xid, struct.pack(">I", 0))
    return reply


def memory_kb(fs):
    with open(f"/proc/{fs.pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


@test
def hostile_answers(t):
    def endless(xid):
        yield pdu(0x8002, xid, struct.pack(">I", 0) + attr(0, b"x" * 65000), 0x4400, 0)
        for i in range(1, 65536):
            yield pdu(0x8002, xid, b"\0" * 65532, 0x4000, i)

    cases = {
        "version": (lambda f, x: pdu(0x8000 | f, x, struct.pack(">I", 0), version=2), "ISDSC_INCOMPATIBLE_ISNS_VERSION"),
        "refused": (lambda f, x: pdu(0x8000 | f, x, struct.pack(">I", 10)), "ISDSC_INCOMPATIBLE_ISNS_VERSION"),
        "status": (lambda f, x: pdu(0x8000 | f, x, struct.pack(">I", 3)), "invalid registration"),
        "transaction": (lambda f, x: pdu(0x8000 | f, x + 1 & 0xffff, struct.pack(">I", 0)), "transaction"),
        "function": (lambda f, x: pdu(0x8009, x, struct.pack(">I", 0)), "function"),
        "no status": (lambda f, x: pdu(0x8000 | f, x), "without a status"),
        "truncated": (only_query(lambda x: pdu(0x8002, x, answer_of(["iqn.2026-11.test:a"])[:-4])), "not understood"),
        "attribute": (only_query(lambda x: pdu(0x8002, x, struct.pack(">IIII", 0, 0, 0, 32) + b"\xff\xff\xff\xf0")),
                      "not understood"),
        "length": (only_query(lambda x: pdu(0x8002, x, b"\0" * 7)), "multiple of 4"),
        "garbage": (lambda f, x: b"HTTP/1.1 400 Bad Request\r\n\r\n", "ISDSC_INCOMPATIBLE_ISNS_VERSION"),
        "gap": (only_query(lambda x: [pdu(0x8002, x, b"\0" * 4, 0x4400, 0), pdu(0x8002, x, b"\0" * 4, 0x4800, 2)]),
                "fragment"),
        "endless": (only_query(endless), "more than"),
        "closes": (lambda f, x: False, "closed the connection"),
        "half way": (only_query(lambda x: [pdu(0x8002, x, b"\0" * 64)[:20], b""]), "no answer"),
        "silence": (lambda f, x: b"", "no answer"),
    }
    fs = mounted(t, "text_timeout = 2\n")
    before = memory_kb(fs)
    for name, (reply, wanted) in cases.items():
        server = Scripted(t, reply)
        try:
            fs.ctl("discovery", f"add-isns {server.portal}")
        except OSError as e:
            assert wanted in e.reply, f"{name}: {e.reply}"
        else:
            raise AssertionError(f"{name}: taken")
        server.close()
        assert fs.ls("discovery", "isns") == [], name
    assert memory_kb(fs) < before + 100 * 1024, (before, memory_kb(fs))


@test
def one_by_one(t):
    names = [f"iqn.2026-11.test:disk{i:04}" for i in range(2000)]
    server = OneByOne(t, names=names + ["iqn.2026-11.test:b a\x1bd", "IQN.2026-11.test:DISK0007", US])
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == names
    assert fs.read("events").count("invalid-name") == 1
    server.names = names[5:8]
    fs.ctl("discovery", f"refresh-isns {server.portal}")
    assert fs.ls("targets") == names[5:8]
    server.names = []
    fs.ctl("discovery", f"refresh-isns {server.portal}")
    assert fs.ls("targets") == []


@test
def one_by_one_goes_wrong(t):
    names = [f"iqn.2026-11.test:disk{i}" for i in range(4)]
    server = OneByOne(t, names=names)
    fs = mounted(t, "text_timeout = 2\n")
    add(fs, server)
    ok = struct.pack(">I", 0)
    # One has gone since it was named; another's answer tells of the others, too.
    server.answer = lambda name: struct.pack(">I", 9) if name == names[1] else answer_of(names[:1] + names[2:])
    fs.ctl("discovery", f"refresh-isns {server.portal}")
    assert fs.ls("targets") == names[:1] + names[2:]
    for answer, wanted in ((lambda name: struct.pack(">I", 6), "source unknown"),
                           (lambda name: ok + attr(0) + b"\0\0\0\x20\xff\xff\xff\xf0", "not understood")):
        server.answer = answer
        e = refuses(errno.EPROTO, fs.ctl, "discovery", f"refresh-isns {server.portal}")
        assert wanted in e.reply, e.reply
    server.answer = None
    for after, wanted in ((lambda name: names[1], "second time"), (lambda name: "", "no name"),
                          (lambda name: "x" * 300, "no name"), (lambda name: f"iqn.2026-11.test:{len(name)}{time.monotonic_ns()}",
                                                                "too many targets")):
        server.after = after
        e = refuses(errno.EPROTO, fs.ctl, "discovery", f"refresh-isns {server.portal}")
        assert wanted in e.reply, e.reply
    assert fs.ls("targets") == names[:1] + names[2:], "what was found stays"


@test
def bad_names_are_dropped_alone(t):
    server = Scripted(t, names=["iqn.2026-11.test:good", "iqn.2026-11.test:b a\x1bd", "nonsense", US])
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == ["iqn.2026-11.test:good"]
    lines = [x for x in fs.read("events").splitlines() if "invalid-name" in x]
    assert len(lines) == 2 and "b a\\x1bd" in lines[0] and "nonsense" in lines[1], lines


@test
def names_that_are_none_at_all_are_told(t):
    ok = struct.pack(">I", 0) + number(33, 1) + attr(0)
    nodes = struct.pack(">II", 32, 24) + b"iqn.2026-11.test:no-end!" + text(32, "iqn.2026-11.test:" + "x" * 1100) + found("iqn.2026-11.test:good")
    server = Scripted(t, reply=only_query(lambda xid: pdu(0x8002, xid, ok + nodes)))
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == ["iqn.2026-11.test:good"]
    lines = [x for x in fs.read("events").splitlines() if "invalid-name" in x]
    assert len(lines) == 2 and "test:no-end" in lines[0] and "xxxx" in lines[1], lines


def entity(name, *objects):
    return text(1, name) + b"".join(objects)


def node(name):
    return text(32, name) + number(33, 1)


def place(address):
    return attr(16, b"\0" * 10 + b"\xff\xff" + socket.inet_aton(address)) + number(17, 3260)


@test
def without_groups_a_host_has_its_own_portals(t):
    """And answers that would make millions of portals of a few bytes stay small."""
    ok = struct.pack(">I", 0) + number(33, 1) + attr(0)
    a, b = "iqn.2026-11.test:a", "iqn.2026-11.test:b"
    hosts = entity("one", node(a), place("10.0.0.1")) + entity("two", node(b), place("10.0.0.2"))
    server = Scripted(t, reply=only_query(lambda xid: fragments(0x8002, xid, ok + hosts)))
    fs = mounted(t)
    add(fs, server)
    asked = [tag for f, payload in server.requests if f == 2 for tag, _ in attributes(payload)]
    assert 1 in asked, "a server tells what it is asked for"
    for name, address in ((a, "10.0.0.1"), (b, "10.0.0.2")):
        told = fs.read("targets", name, "instances", f"isns:{server.portal}", "portals")
        assert [x.split(",")[0] for x in told.split()] == [f"{address}:3260"], told
    before = memory_kb(fs)
    hosts = entity("one", *(node(f"iqn.2026-11.test:{i}") for i in range(16000)),
                   *(place(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") for i in range(65000)))
    fs.ctl("discovery", f"refresh-isns {server.portal}")
    grown = memory_kb(fs) - before
    assert grown < 200 << 10, f"{grown} KiB"
    fs.ctl("discovery", f"remove-isns {server.portal}")


@test
def nothing_of_ours_is_left_there(t):
    """Once it was asked to register us, it is asked to forget us, however it went on."""
    def status(function, value):
        return lambda f, xid: pdu(0x8000 | f, xid, struct.pack(">I", value if f == function else 0))
    fs = mounted(t, "text_timeout = 0\n")
    for reply in (status(2, 5), lambda f, xid: b"" if f == 1 else status(0, 0)(f, xid)):
        server = Scripted(t, reply=reply)
        refuses((errno.EPROTO, errno.ETIMEDOUT)[reply(1, 0) == b""], fs.ctl, "discovery", f"add-isns {server.portal} timeout=2")
        wait_for(lambda: 4 in [f for f, _ in server.requests], "it is asked to forget us")
        assert fs.ls("discovery", "isns") == []
    server = Scripted(t)
    add(fs, server)
    server.reply = status(2, 12)
    refuses(errno.EPROTO, fs.ctl, "discovery", f"refresh-isns {server.portal}")
    fs.ctl("discovery", f"remove-isns {server.portal}")
    assert 4 in [f for f, _ in server.requests]


@test
def ten_thousand_targets(t):
    names = [f"iqn.2026-11.test:disk{i:05}" for i in range(10000)]
    server = Scripted(t, names=names)
    fs = mounted(t)
    add(fs, server)
    assert fs.ls("targets") == names
    server.names = names[:5]
    fs.ctl("discovery", f"refresh-isns {server.portal}")
    assert fs.ls("targets") == names[:5]
    server.names = [f"iqn.2026-11.test:disk{i:05}" for i in range(20000)]
    e = refuses(errno.EPROTO, fs.ctl, "discovery", f"refresh-isns {server.portal}")
    assert "too many" in e.reply, e.reply
    assert fs.ls("targets") == names[:5], "what was found stays"


@test
def one_that_closes_after_each_answer(t):
    server = Scripted(t, names=["iqn.2026-11.test:a"])
    good = server.well

    def well(function, xid):
        if function != 2:
            return good(function, xid)
        threading.Timer(0.05, lambda: server.connections[-1].shutdown(socket.SHUT_RDWR)).start()
        return good(function, xid)
    server.well = well
    fs = mounted(t)
    add(fs, server)
    wait_for(lambda: len(server.connections) >= 3, "it is connected to again")
    assert fs.ls("targets") == ["iqn.2026-11.test:a"]
    assert "isns-discovery-failed" not in fs.read("events")


def notify_port(fs, server):
    return int(re.search(r"portal \S+:(\d+)", fs.read("discovery", "isns", server.portal, "registered")).group(1))


def scn(xid, name=US):
    return pdu(8, xid, text(32, name) + attr(4, b"\0" * 8) + number(35, 8) + text(32, "iqn.2026-11.test:x"))


@test
def strangers_at_our_port(t):
    server = Scripted(t, names=["iqn.2026-11.test:a"])
    fs = mounted(t)
    add(fs, server)
    port = notify_port(fs, server)
    garbage = [b"GET / HTTP/1.0\r\n\r\n", os.urandom(4096), scn(1, "iqn.2026-11.test:somebody"), pdu(13, 1),
               pdu(13, 1, text(1, "somebody")), pdu(1, 1, text(32, US)), pdu(8, 1, number(32, 5)),
               pdu(8, 1, b"\xff" * 64), pdu(0x8001, 1, b"\0" * 4), pdu(8, 1, b"\0" * 65532, 0x4400) * 2]
    for bytes_ in garbage:
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.settimeout(LIMIT)
            with contextlib.suppress(ConnectionError):
                s.sendall(bytes_)
                s.shutdown(socket.SHUT_WR)
                assert s.recv(100) == b"", bytes_[:40]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(bytes_[:60000], ("127.0.0.1", port))
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]  # and say nothing
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(LIMIT)
        s.sendall(pdu(13, 77, attr(4, b"\0" * 8) + text(1, US)))
        reply = s.recv(4096)
        assert struct.unpack(">HHHHHHI", reply[:16])[1:6:3] == (0x800d, 77) and reply[12:16] == b"\0" * 4, reply
    for s in held:
        s.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(LIMIT)
        s.sendto(scn(9), ("127.0.0.1", port))
        assert s.recv(4096)[2:4] == b"\x80\x08"
    assert fs.is_alive() and state(fs, server) in ("ok", "asking")


@test
def storm_of_notifications(t):
    server = Scripted(t, names=["iqn.2026-11.test:a"])
    fs = mounted(t)
    add(fs, server)
    port = notify_port(fs, server)
    server.names.append("iqn.2026-11.test:b")
    before, began = len(server.requests), time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(LIMIT)
        for i in range(5000):
            s.sendall(scn(i))
            s.recv(65536)
    known(fs, "iqn.2026-11.test:a", "iqn.2026-11.test:b")
    seconds = time.monotonic() - began
    asked = [f for f, _ in server.requests[before:]]
    assert set(asked) == {2}, asked
    server.names.pop()
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(scn(1))
        known(fs, "iqn.2026-11.test:a")
    assert len(asked) <= seconds + 3, f"{len(asked)} queries in {seconds} s"


@test
def removal_does_not_wait_for_one_that_is_silent(t):
    server = Scripted(t)
    server.reply = lambda f, x: b"" if f == 4 else next(iter([*server.well(f, x)])) if f == 2 else server.well(f, x)
    fs = mounted(t)
    add(fs, server)
    fs.ctl("discovery", f"remove-isns {server.portal}")
    assert fs.ls("discovery", "isns") == []
    assert 4 in [f for f, _ in server.requests]
