# SPDX-License-Identifier: BSD-2-Clause
"""What the recovery tests rest on, tried by itself: the verifying load finds what is wrong, the proxy does what it is
told, the guest comes and goes. None of these needs iscsifs."""
import os
import re
import socket
import threading
import time

from runner import LIMIT, need_program, test, wait_for
from fsx import Fsx, Wrong
from faultproxy import COMMAND, DATA_IN, IN, OUT, RESPONSE, FaultProxy
from lio import GUEST, MIB, SECRET, USER, Lio
from loadcheck import Load

SECTOR = 512


def change(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def at(path, offset, size=SECTOR):
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(size)


def complaints(load):
    """What it finds at its end; it must end with status 1."""
    load.process.stdin.write("verify\nquit\n")
    load.process.stdin.flush()
    assert load.process.wait(LIMIT) == 1
    wait_for(lambda: load.answers and load.answers[-1][0] == "end", "its last line is read")
    return "\n".join(load.bad)


@test
def load_on_a_good_file(t):
    for mode in ("buffered", "sync"):
        path = t.file(f"good-{mode}", 8 * MIB)
        load = Load(t, path, name=mode, mode=mode)
        load.start()
        load.goes_on()
        load.mark_good()
        load.finish(path)


@test
def load_finds_a_corrupted_byte(t):
    path = t.file("file", 4 * MIB)
    load = Load(t, path)
    offset = 1234 * SECTOR + 300
    change(path, offset, bytes([at(path, offset, 1)[0] ^ 0x10]))
    text = complaints(load)
    assert "sector=1234 " in text and "1 words differ" in text and "byte 296" in text, text
    assert len(load.bad) == 1, text


@test
def load_finds_a_stale_block(t):
    """Content of the past, right in itself, comes back."""
    path = t.file("file", 4 * MIB)
    load = Load(t, path, reads=0, mode="sync")
    past = at(path, 0, 4 * MIB)
    load.start()
    load.goes_on(count=500)
    load.stop()
    now = at(path, 0, 4 * MIB)
    sector = next(n for n in range(4 * MIB // SECTOR) if past[n * SECTOR:][:SECTOR] != now[n * SECTOR:][:SECTOR])
    change(path, sector * SECTOR, past[sector * SECTOR:][:SECTOR])
    text = complaints(load)
    assert f"sector={sector} " in text and "stale" in text, text


@test
def load_finds_misplaced_and_lost_blocks(t):
    path = t.file("file", 4 * MIB)
    load = Load(t, path)
    change(path, 4096, at(path, 8192, 4096))
    change(path, MIB, bytes(SECTOR))
    text = complaints(load)
    assert "sector=8 " in text and "holds sector 16 " in text, text
    assert f"sector={MIB // SECTOR} " in text and "no stamp" in text, text
    assert len(load.bad) == 9, text


@test
def load_finds_a_wrong_byte_while_it_runs(t):
    path = t.file("file", 4 * MIB)
    load = Load(t, path, mode="sync", reads=100)
    load.start()
    change(path, 77 * SECTOR + 500, b"\xff\x00\xff\x00")
    wait_for(lambda: load.bad, "a read finds it")
    assert "sector=77 " in load.bad[0], load.bad[0]


def plain(t, seed=1, kind=Fsx, **options):
    """File operations on a file that is none of ours; O_DIRECT there may want whole pages."""
    t.file("plain", MIB)
    return kind(os.path.join(t.fast, "plain"), seed, is_disk=False, align=4096, **options)


def fsx_complains(fsx, count=2000):
    try:
        fsx.run(count)
        fsx.finish()
    except Wrong as e:
        return str(e)
    raise AssertionError("nothing was found")


@test
def fsx_on_a_good_file(t):
    fsx = plain(t, backing=os.path.join(t.fast, "plain"))
    fsx.run(2000)
    fsx.finish()
    return fsx.report()


@test
def fsx_finds_changed_bytes(t):
    """One in each page: some may be written over before they are read."""
    fsx = plain(t)
    fsx.run(200)
    for offset in range(0, MIB, 4096):
        change(fsx.path, offset, bytes([fsx.model[offset] ^ 1]))
    text = fsx_complains(fsx)
    assert "seed 1, operation " in text and "differ" in text and "not seen again" in text, text


@test
def fsx_finds_what_the_target_lacks(t):
    """A sync that did not reach the target."""
    fsx = plain(t, backing=t.file("other", MIB))
    text = fsx_complains(fsx)
    assert "the target's own file after" in text, text


class Careless(Fsx):
    """Loses the last byte of a long write to an odd offset."""

    def _write(self, way, data, offset):
        if offset % 2 and len(data) > 5000:
            super()._write(way, data[:-1], offset)
            return len(data)
        return super()._write(way, data, offset)


@test
def fsx_repeats_what_it_found(t):
    fsx = plain(t, kind=Careless)
    text = fsx_complains(fsx)
    found = re.search(r"operation (\d+).*seen again with start=(\d+), (\d+) operations", text, re.S)
    assert found, text
    last, start, length = map(int, found.groups())
    assert last + 1 == start + length and "write" in text, text


class Echo:
    """A server that sends back what it gets, and knows how connections end."""

    def __init__(self):
        self.server = socket.create_server(("127.0.0.1", 0))
        self.portal = f"127.0.0.1:{self.server.getsockname()[1]}"
        self.got, self.ends = 0, []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            s, _ = self.server.accept()
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            while data := s.recv(65536):
                self.got += len(data)
                s.sendall(data)
            self.ends.append("fin")
        except OSError:
            self.ends.append("rst")
        s.close()


def nop(text=b""):
    """A PDU by its framing only."""
    return b"\x00" + bytes(4) + len(text).to_bytes(3, "big") + bytes(40) + text + bytes(-len(text) % 4)


def exchange(s, data):
    """Send it, and it comes back."""
    threading.Thread(target=s.sendall, args=(data,)).start()
    got = b""
    while len(got) < len(data):
        piece = s.recv(65536)
        assert piece, "the connection ended"
        got += piece
    assert got == data, "other bytes came back"


@test
def proxy_passes_stalls_delays_and_cuts(t):
    server = Echo()
    proxy = FaultProxy(t, server.portal)

    def connect():
        return socket.create_connection(proxy.address, timeout=30)
    a, b = connect(), connect()
    for size in (0, 1, 4096, 1 << 20):
        exchange(a, nop(os.urandom(size)))
    # an incomplete header waits for its end
    a.sendall(nop(b"text")[:20])
    time.sleep(0.1)
    a.sendall(nop(b"text")[20:])
    assert a.recv(100) == nop(b"text")
    exchange(b, nop())
    # silence, then everything is there
    proxy.stall(OUT)
    before = server.got
    a.sendall(nop(b"held"))
    time.sleep(0.3)
    assert server.got == before
    proxy.resume()
    assert a.recv(100) == nop(b"held")
    proxy.stall(IN)
    a.sendall(nop(b"back"))
    wait_for(lambda: server.got > before + 52, "the other direction goes on")
    a.settimeout(0.3)
    try:
        assert not a.recv(100), "it came through a stall"
    except TimeoutError:
        pass
    a.settimeout(30)
    proxy.resume()
    assert a.recv(100) == nop(b"back")
    # what an initiator gave up is not delivered late
    proxy.stall(OUT)
    before = server.got
    a.sendall(nop(b"gone"))
    a.close()
    wait_for(lambda: server.ends == ["rst"], "the target's side ends")
    proxy.resume()
    time.sleep(0.2)
    assert server.got == before
    # delay
    exchange(b, nop())
    proxy.delay(0.25)
    started = time.monotonic()
    exchange(b, nop())
    assert time.monotonic() - started >= 0.5
    proxy.delay(0)
    # both ways to end
    assert proxy.cut("fin") == 1
    assert b.recv(10) == b""
    c = connect()
    exchange(c, nop())
    assert proxy.down() == 1
    try:
        assert c.recv(10) != b"", "closed in peace"
    except ConnectionResetError:
        pass
    try:
        connect()
        raise AssertionError("a connection where nobody listens")
    except ConnectionRefusedError:
        pass
    proxy.accept()
    exchange(connect(), nop())
    # the next but one
    number = proxy.counters()["accepted"] + 1
    proxy.cut_when(number, sent=100)
    d, e = connect(), connect()
    exchange(e, nop())
    exchange(d, nop())
    try:
        e.sendall(nop() + nop())
        while e.recv(100):
            pass
    except ConnectionResetError:
        pass
    exchange(d, nop())


@test
def proxy_corrupts_and_drops_what_it_is_told(t):
    """By framing alone: login answers come from a server of our own."""
    server = socket.create_server(("127.0.0.1", 0))
    proxy = FaultProxy(t, f"127.0.0.1:{server.getsockname()[1]}")
    near = socket.create_connection(proxy.address, timeout=30)
    far, _ = server.accept()
    far.settimeout(30)
    offer = b"HeaderDigest=CRC32C,None\0DataDigest=CRC32C,None\0"
    answer = b"HeaderDigest=CRC32C\0DataDigest=CRC32C\0"

    def pdu(opcode, text, flags=0x80, digests=True):
        head = bytes([opcode, flags, 0, 0, 0]) + len(text).to_bytes(3, "big") + bytes(40)
        body = text + bytes(-len(text) % 4)
        return head + (b"hhhh" if digests else b"") + body + (b"dddd" if digests and text else b"")

    def passes(source, sink, sent, want=None):
        source.sendall(sent)
        if want != b"":
            got = b""
            while len(got) < len(want or sent):
                got += sink.recv(65536)
            assert got == (want or sent), got.hex()
    passes(near, far, pdu(0x43, offer, 0x87, False))
    passes(far, near, pdu(0x23, answer, 0x87, False))

    def flipped(data, position):
        return data[:position] + bytes([data[position] ^ 1]) + data[position + 1:]
    data_in = pdu(DATA_IN, b"0123456789")
    fault = proxy.corrupt(IN, DATA_IN, skip=1, offset=3)
    passes(far, near, pdu(RESPONSE, b""))
    passes(far, near, data_in)
    assert not fault.done.is_set()
    passes(far, near, data_in, flipped(data_in, 48 + 4 + 3))
    assert fault.done.is_set()
    passes(far, near, data_in)
    proxy.corrupt(IN, at="digest")
    passes(far, near, pdu(RESPONSE, b"") + data_in, pdu(RESPONSE, b"") + flipped(data_in, 48 + 4 + 12))
    proxy.corrupt(OUT, COMMAND, at="header", offset=20)
    command = pdu(COMMAND, b"")
    passes(near, far, command, flipped(command, 20))
    proxy.drop(IN, RESPONSE)
    passes(far, near, pdu(RESPONSE, b"sense") + data_in, data_in)
    # also when it comes in small pieces
    fault = proxy.corrupt(IN, DATA_IN, offset=-1)
    for n in range(0, len(data_in), 7):
        far.sendall(data_in[n:n + 7])
        time.sleep(0.002)
    passes(far, near, data_in, flipped(data_in, 48 + 4 + 9) + data_in)
    counted = proxy.counters()
    assert counted["opcodes"][DATA_IN] == 7 and counted["opcodes"][COMMAND] == 1, counted


@test(limit=240)
def guest_serves_comes_and_goes(t):
    """With another initiator, libiscsi."""
    need_program("iscsi-inq", "iscsi-perf")
    lio = Lio(t)
    iqn, _, disk = lio.one_disk()

    def inquiry(portal, name, number=0):
        """The identifiers of a unit as text."""
        done = t.sh(f"iscsi-inq -e 1 -c 131 'iscsi://{portal}/{name}/{number}' 2>&1", ok=False, limit=60)
        return re.sub(r"\s+", " ", done.stdout) if done.returncode == 0 else ""
    proxy = FaultProxy(t, lio.portals[1])
    for portal in (*lio.portals, proxy.portal):
        assert "Designator" in inquiry(portal, iqn)
    assert proxy.counters()["opcodes"][COMMAND] > 0
    done = t.sh(f"iscsi-perf -t 1 -m 8 -b 64 iscsi://{proxy.portal}/{iqn}/0 2>&1")
    print(done.stdout.replace("\r", "\n").splitlines()[-3:])
    assert os.path.getsize(lio.fetch(disk)) == disk.size
    # CHAP
    chap = lio.add_target("chap", {0: disk}, user=USER)
    assert inquiry(f"{USER}%{SECRET}@{lio.portal}", chap) and not inquiry(lio.portal, chap)
    # port groups
    alua, _, shared = lio.alua_disk()
    assert inquiry(lio.portals[0], alua)
    lio.set_state(shared, "b", "optimized")
    assert lio.sh(f"cat {shared.path}/alua/b/alua_access_state") == "0"
    # one unit behind two targets, two units that say they are one

    def serial(*words):
        """LIO makes every identifier of it."""
        return re.findall(r"LIO-ORG FILEIO:(\w+)", inquiry(*words))
    (one, two), _, _ = lio.shared_disk()
    ids = [serial(*x) for x in zip(lio.portals, (one, two))]
    assert ids[0] and ids[0] == ids[1], ids
    twins, luns = lio.twin_disks()
    ids = [serial(lio.portal, twins, n) for n in luns]
    assert ids[0] and ids[0] == ids[1], ids
    # off and on
    lio.enable(iqn, False)
    assert not inquiry(lio.portal, iqn)
    lio.enable(iqn)
    assert inquiry(lio.portal, iqn)
    lio.stop()
    assert not answers_tcp(GUEST[0], 3260), "the guest is still there"


def answers_tcp(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False
