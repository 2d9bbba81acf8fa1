# SPDX-License-Identifier: BSD-2-Clause
"""A TCP proxy before a portal that does to iSCSI connections what bad networks do. Used inside a test:

    proxy = FaultProxy(t, target.portal)          listens on proxy.portal
    proxy.cut()                                   every connection through it, by RST; new ones are let through
    proxy.refuse(); proxy.accept()                nobody listens; somebody listens again
    proxy.stall(OUT); proxy.resume()              nothing passes from initiator to target, and is kept meanwhile
    proxy.corrupt(IN, DATA_IN)                    flips a bit in the next such PDU
    proxy.delay(0.2); proxy.delay(0)

One thread runs all connections; what a method does happens between two steps of it, and is done when the method
returns. The proxy reads along in both directions (headers; from the login, whether digests follow), so that a fault
can be put at a place in a PDU. A header is passed on only when it is there as a whole.

The headers of the last PDUs are in proxy-PORT.log when the test has ended (run -k keeps it).

What an initiator has sent over a connection that it then closed is not delivered late: a stall forgets it, as the
network does with a connection that is gone.
"""
import collections
import os
import select
import socket
import struct
import threading
import time

IN, OUT = "in", "out"  # as the initiator sees it
BHS = 48
CHUNK = 1 << 18
# A direction takes no more than this from its source before it got rid of it.
QUEUE_LIMIT = 1 << 22
# RFC 7143 11.2.1.2
NOP_OUT, COMMAND, TMF_REQUEST, LOGIN, TEXT, DATA_OUT, LOGOUT, SNACK = 0, 1, 2, 3, 4, 5, 6, 16
NOP_IN, RESPONSE, TMF_RESPONSE, LOGIN_RESPONSE, TEXT_RESPONSE, DATA_IN, LOGOUT_RESPONSE = 32, 33, 34, 35, 36, 37, 38
R2T, ASYNC, REJECT = 49, 50, 63
NAMES = {NOP_OUT: "NOP-Out", COMMAND: "Command", TMF_REQUEST: "TMF", LOGIN: "Login", TEXT: "Text", DATA_OUT: "Data-Out",
         LOGOUT: "Logout", SNACK: "SNACK", NOP_IN: "NOP-In", RESPONSE: "Response", TMF_RESPONSE: "TMF resp.",
         LOGIN_RESPONSE: "Login resp.", TEXT_RESPONSE: "Text resp.", DATA_IN: "Data-In",
         LOGOUT_RESPONSE: "Logout resp.", R2T: "R2T", ASYNC: "Async", REJECT: "Reject"}
LINGER_RST = struct.pack("ii", 1, 0)
PAST = 5000


class Fault:
    """What to do with one PDU; @done is set when it has happened."""

    def __init__(self, what, opcode, at="data", offset=0, skip=0):
        assert at in ("header", "data", "digest")
        self.what, self.opcode, self.at, self.offset, self.skip = what, opcode, at, offset, skip
        self.done = threading.Event()


class Flow:
    """One direction of a connection."""

    def __init__(self, direction, source, sink):
        self.direction, self.source, self.sink = direction, source, sink
        self.queue = collections.deque()  # [due, bytes] not sent yet
        self.queued = 0
        self.head = b""  # an incomplete header
        self.left = self.position = 0  # of what follows the header: still to come, seen
        self.flip_at = -1  # a position to corrupt
        self.is_dropped = False
        self.text_range = None  # positions of a login PDU's text
        self.text = b""
        self.is_final_login = False
        self.is_ended = False  # the source has closed it
        self.is_end_sent = False


class Link:
    """A connection to the proxy and its connection to the target."""

    def __init__(self, number, near, far):
        self.number, self.near, self.far = number, near, far
        self.out, self.into = Flow(OUT, near, far), Flow(IN, far, near)
        self.flows = (self.out, self.into)
        self.masks = {}
        self.sent = 0  # bytes from the initiator
        self.is_full_feature = self.is_closed = self.is_far_gone = False
        self.digests = {b"HeaderDigest": False, b"DataDigest": False}


class FaultProxy:
    """@target: ADDR:PORT it leads to. @host, @port: where it listens; port 0 is any."""

    def __init__(self, t, target, host="127.0.0.1", port=0):
        there, _, there_port = target.rpartition(":")
        self.there = there.strip("[]"), int(there_port)
        self.links, self.faults = [], {IN: [], OUT: []}
        self.accepted = 0
        self.doomed = {}
        self.hits = 0  # faults that have happened
        self.stalled, self.delays = set(), {IN: 0, OUT: 0}
        self.bytes = {IN: 0, OUT: 0}
        self.past = collections.deque(maxlen=PAST)  # (time, connection, direction, header or None, text)
        self.opcodes, self.cdbs = collections.Counter(), collections.Counter()
        self.buffer = memoryview(bytearray(CHUNK))
        self.handlers = {}
        self.epoll = select.epoll()
        self.lock, self.calls, self.bell = threading.Lock(), collections.deque(), os.eventfd(0, os.EFD_NONBLOCK)
        self._register(self.bell, self._on_bell)
        self.address = host, port
        self._listen()
        self.address = self.listener.getsockname()[:2]
        self.portal = f"[{host}]:{self.address[1]}" if ":" in host else f"{host}:{self.address[1]}"
        self.log = t.path(f"proxy-{self.address[1]}.log")
        self.is_running, self.failure = True, None
        self.thread = threading.Thread(target=self._run, name=f"proxy {self.portal}", daemon=True)
        self.thread.start()
        t.defer(self.stop)

    # ---- what tests call ----

    def cut(self, how="rst", number=None):
        """End all connections, or the one with this @number (they count from 0 as they come), by "rst" or "fin". How
        many."""
        def work():
            links = [x for x in self.links if number in (None, x.number)]
            for link in links:
                self._close(link, how == "rst")
            return len(links)
        return self._call(work)

    def cut_when(self, number, sent=0):
        """Connection @number, perhaps one still to come, ends when its initiator has sent so many bytes."""
        self._call(lambda: self.doomed.update({number: sent}))

    def refuse(self):
        """New connections are refused; those that are there go on."""
        def work():
            if self.listener:
                self._forget(self.listener)
                self.listener.close()
                self.listener = None
        self._call(work)

    def accept(self):
        self._call(lambda: self.listener or self._listen())

    def down(self):
        """As if the portal were switched off (with an answer: RST). accept() brings it back."""
        self.refuse()
        return self.cut()

    def stall(self, direction=None):
        """Hold everything (new connections are accepted, and nothing comes of it), or what goes in one direction."""
        self._call(lambda: self.stalled.update([direction] if direction else [IN, OUT]))

    def resume(self):
        self._call(self.stalled.clear)

    def delay(self, seconds, direction=None):
        """What comes from now on is sent that much later."""
        self._call(lambda: self.delays.update({d: seconds for d in (IN, OUT) if direction in (None, d)}))

    def corrupt(self, direction, opcode=None, at="data", offset=0, skip=0):
        """Flip one bit in the next PDU that has such a part (data, digest of the data, header), after @skip of them.
        Only in full feature phase. Returns the Fault: its .done is a threading.Event."""
        return self._add_fault(direction, Fault("corrupt", opcode, at, offset, skip))

    def drop(self, direction, opcode, skip=0):
        """Take out a whole PDU."""
        return self._add_fault(direction, Fault("drop", opcode, "header", 0, skip))

    def connections(self):
        return self._call(lambda: len(self.links))

    def counters(self):
        """Since the start: bytes per direction, PDUs per opcode, commands per first byte of the CDB, connections
        accepted."""
        return self._call(lambda: {"bytes": dict(self.bytes), "opcodes": self.opcodes.copy(),
                                   "cdbs": self.cdbs.copy(), "accepted": self.accepted})

    def stop(self):
        if self.thread.is_alive():
            def work():
                self.is_running = False
            self._call(work)
            self.thread.join(10)
            self._write_past()
        if self.failure:
            raise self.failure

    def _write_past(self):
        with open(self.log, "w") as f:
            for when, number, direction, header, text in self.past:
                f.write(f"{when:.4f} {number} {'->' if direction == OUT else '<-'} ")
                if header:
                    opcode = header[0] & 0x3f
                    words = " ".join(f"{n}:{header[n:n + 4].hex()}" for n in range(16, BHS, 4))
                    f.write(f"{NAMES.get(opcode, opcode):11} {header[1]:02x} {header[2]:02x} "
                            f"{int.from_bytes(header[5:8], 'big'):6} {words} ")
                f.write(text + "\n")

    def _add_fault(self, direction, fault):
        self._call(lambda: self.faults[direction].append(fault))
        return fault

    def _call(self, function):
        """Run it in the thread, between two steps; its value."""
        done, result = threading.Event(), []

        def work():
            try:
                result.append(function())
            finally:
                done.set()
        with self.lock:
            self.calls.append(work)
        os.eventfd_write(self.bell, 1)
        while not done.wait(0.2):
            if not self.thread.is_alive():
                raise self.failure or RuntimeError("the proxy has ended")
        return result[0]

    # ---- its thread ----

    def _register(self, file, handler, mask=select.EPOLLIN):
        fd = file if isinstance(file, int) else file.fileno()
        self.handlers[fd] = handler
        self.epoll.register(fd, mask)

    def _forget(self, file):
        if self.handlers.pop(file.fileno(), None):
            self.epoll.unregister(file.fileno())

    def _listen(self):
        listener = socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(self.address)
        listener.listen(64)
        listener.setblocking(False)
        self.listener = listener
        self._register(listener, self._on_listener)

    def _run(self):
        try:
            while self.is_running:
                for fd, events in self.epoll.poll(self._timeout()):
                    handler = self.handlers.get(fd)
                    if handler:
                        handler(events)
                if any(self.delays.values()) or any(f.queue for x in self.links for f in x.flows):
                    self._look_after_all()
        except BaseException as e:
            self.failure = e
        for link in list(self.links):
            self._close(link, True)
        if self.listener:
            self.listener.close()
        self.epoll.close()
        os.close(self.bell)

    def _timeout(self):
        """Until the next delayed piece is due. What only waits for room is woken by its socket."""
        now = time.monotonic()
        return min((max(0.001, f.queue[0][0] - now) for x in self.links for f in x.flows
                    if f.queue and f.queue[0][0] > now and f.direction not in self.stalled), default=None)

    def _on_bell(self, _):
        os.eventfd_read(self.bell)
        while True:
            with self.lock:
                work = self.calls.popleft() if self.calls else None
            if not work:
                break
            work()
        self._look_after_all()

    def _on_listener(self, _):
        near, _ = self.listener.accept()
        number, self.accepted = self.accepted, self.accepted + 1
        try:
            # A target is close by: it answers or refuses at once.
            far = socket.create_connection(self.there, timeout=5)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
            near.close()
            return
        for s in (near, far):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(number, near, far)
        self.links.append(link)
        for s in (near, far):
            link.masks[s] = 0
            self._register(s, lambda events, s=s: self._on_socket(link, s, events), 0)
        self._look_after(link)

    def _close(self, link, is_rst):
        if link.is_closed:
            return
        link.is_closed = True
        self.past.append((time.time() % 60, link.number, OUT, None, "closed" + (", RST" if is_rst else "")))
        self.links.remove(link)
        for s in (link.near, link.far):
            self._forget(s)
            if is_rst:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RST)
            s.close()

    def _look_after_all(self):
        for link in list(self.links):
            self._look_after(link)

    def _look_after(self, link):
        """Send what is due; then wait for what can happen next."""
        if link.is_far_gone and IN not in self.stalled:
            return self._close(link, True)
        if link.sent >= self.doomed.get(link.number, link.sent + 1):
            del self.doomed[link.number]
            return self._close(link, True)
        try:
            for flow in link.flows:
                self._flush(flow)
        except OSError:
            return self._close(link, True)
        if all(f.is_end_sent for f in link.flows):
            return self._close(link, False)
        now = time.monotonic()
        for s, reads, writes in ((link.near, link.out, link.into), (link.far, link.into, link.out)):
            if s.fileno() not in self.handlers:
                continue
            mask = 0
            if not reads.is_ended and reads.direction not in self.stalled and reads.queued < QUEUE_LIMIT:
                mask |= select.EPOLLIN
            if not reads.is_ended and reads.direction in self.stalled:
                mask |= select.EPOLLRDHUP
            if writes.queue and writes.queue[0][0] <= now and writes.direction not in self.stalled:
                mask |= select.EPOLLOUT
            if mask != link.masks[s]:
                link.masks[s] = mask
                self.epoll.modify(s.fileno(), mask)

    def _on_socket(self, link, s, events):
        reads = link.out if s is link.near else link.into
        is_gone = events & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
        if is_gone and reads.direction in self.stalled:
            # Nobody learns yet that the target is gone; an initiator that is gone takes along what was held.
            if reads is link.out:
                return self._close(link, True)
            self._forget(s)
            link.is_far_gone = True
            return
        try:
            if events & select.EPOLLIN or is_gone:
                self._receive(link, reads)
        except BlockingIOError:
            pass
        except OSError:
            return self._close(link, True)
        if not link.is_closed:
            self._look_after(link)

    def _receive(self, link, flow):
        if flow.is_ended:
            return
        n = flow.source.recv_into(self.buffer)
        if not n:
            flow.is_ended = True
            return
        self.bytes[flow.direction] += n
        if flow.direction == OUT:
            link.sent += n
        due = self.delays[flow.direction] and time.monotonic() + self.delays[flow.direction]
        for piece in self._inspect(link, flow, self.buffer[:n]):
            if not due and not flow.queue:
                try:
                    piece = piece[flow.sink.send(piece):]
                except BlockingIOError:
                    pass
            if piece:
                flow.queue.append([due, bytes(piece)])
                flow.queued += len(piece)

    def _flush(self, flow):
        if flow.direction in self.stalled:
            return
        now = time.monotonic()
        while flow.queue and flow.queue[0][0] <= now:
            piece = flow.queue[0][1]
            try:
                n = flow.sink.send(piece)
            except BlockingIOError:
                return
            flow.queued -= n
            if n == len(piece):
                flow.queue.popleft()
            else:
                flow.queue[0][1] = piece[n:]
        if flow.is_ended and not flow.queue and not flow.is_end_sent:
            flow.is_end_sent = True
            try:
                flow.sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    # ---- PDUs ----

    def _inspect(self, link, flow, data):
        """The pieces of @data to send on."""
        if flow.head:
            data = memoryview(bytearray(flow.head) + data)
            flow.head = b""
        pieces, at, kept = [], 0, 0  # data[kept:at] is to be sent
        while at < len(data):
            if not flow.left:
                if len(data) - at < BHS:
                    flow.head = bytes(data[at:])
                    break
                header = bytes(data[at:at + BHS])
                hits = self.hits
                was_dropped = self._on_header(link, flow, data[at:at + BHS])
                self.past.append((time.time() % 60, link.number, flow.direction, header,
                                  "FAULT" if hits != self.hits else ""))
                if was_dropped:
                    pieces.append(data[kept:at])
                at += BHS
                if was_dropped:
                    kept = at
                if flow.left:
                    continue
            else:
                n = min(flow.left, len(data) - at)
                if flow.text_range:
                    first, last = (min(n, max(0, x - flow.position)) for x in flow.text_range)
                    flow.text += bytes(data[at + first:at + last])
                if flow.position <= flow.flip_at < flow.position + n:
                    data[at + flow.flip_at - flow.position] ^= 1
                    flow.flip_at = -1
                flow.position += n
                flow.left -= n
                at += n
                if flow.is_dropped:
                    kept = at
            if not flow.left:
                flow.is_dropped = False
                if not link.is_full_feature:
                    self._on_login_end(link, flow)
        pieces.append(data[kept:at])
        return [p for p in pieces if p]

    def _on_header(self, link, flow, header):
        """A whole header, which may be changed. Returns whether this PDU is dropped."""
        opcode = header[0] & 0x3f
        ahs, length = header[4] * 4, int.from_bytes(header[5:8], "big")
        padded = -(-length // 4) * 4
        has_digest = link.is_full_feature and link.digests[b"HeaderDigest"]
        has_data_digest = length and link.is_full_feature and link.digests[b"DataDigest"]
        data_at = ahs + (4 if has_digest else 0)
        flow.left = data_at + padded + (4 if has_data_digest else 0)
        flow.position, flow.flip_at, flow.text_range = 0, -1, None
        self.opcodes[opcode] += 1
        if not link.is_full_feature:
            if opcode in (LOGIN, LOGIN_RESPONSE):
                flow.text_range, flow.text = (data_at, data_at + length), b""
                # T, and NSG full feature phase; status class 0
                flow.is_final_login = opcode == LOGIN_RESPONSE and header[1] & 0x83 == 0x83 and header[36] == 0
            return False
        if opcode == COMMAND and flow.direction == OUT:
            self.cdbs[header[32]] += 1
        faults = self.faults[flow.direction]
        for fault in faults if faults else ():
            if fault.opcode not in (None, opcode) or (fault.at == "data" and not length) or (
                    fault.at == "digest" and not has_data_digest):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            faults.remove(fault)
            self.hits += 1
            fault.done.set()
            if fault.what == "drop":
                flow.is_dropped = bool(flow.left)
                return True
            if fault.at == "header":
                header[fault.offset] ^= 1
            elif fault.at == "data":
                flow.flip_at = data_at + fault.offset % length
            else:
                flow.flip_at = data_at + padded + fault.offset % 4
            break
        return False

    def _on_login_end(self, link, flow):
        """A PDU of the login is complete. The answer to a key comes after its offer: the last value counts."""
        for pair in flow.text.split(b"\0"):
            key, _, value = pair.partition(b"=")
            if key in link.digests:
                link.digests[key] = value == b"CRC32C"
        flow.text = b""
        if flow.is_final_login:
            link.is_full_feature = True
