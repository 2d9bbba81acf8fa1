#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Random file operations on a file of fixed size, beside a model in memory that says what each byte must be: reads and
writes of any offset and length by several descriptors (page cache, O_DIRECT, O_SYNC, O_DSYNC) and through mmap, holes
and zeros, syncs, dropped caches, reopening, sizes that must not change.

    fsx = Fsx(path, seed=1)
    fsx.run(2000)
    fsx.finish(backing)      all of it, read in each way, and the target's own file
    fsx.report()             what was done, and what was refused

Operation N of a seed is always the same, whatever the others did. When one goes wrong, the seed, the last operations and
the shortest run of operations before it that goes wrong again are told, and how to repeat them. What a file does not
offer (EOPNOTSUPP) is counted and leaves the bytes alone.

By hand, on anything whose content does not matter; its size must be a multiple of align:

    python3 -B tests/lib/fsx.py FILE [seed=N] [count=N] [start=N] [align=BYTES] [is_disk=0]

start: bring the file to where it was before that operation. align: of O_DIRECT, 512 or 4096 for most files and all
block devices; a LUN's file takes any (1). is_disk=0: a plain file, which writes make longer and ftruncate() cuts.
"""
import ctypes
import errno
import mmap
import os
import random
import stat
import sys
import time

from patterns import File, differ, read_fully, write_fully

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
LONGEST = 160 << 10
EDGE = 4096
# Descriptor: (flags, is it O_DIRECT?)
WAYS = {"buffered": 0, "direct": os.O_DIRECT, "sync": os.O_SYNC, "dsync": os.O_DSYNC,
        "direct-sync": os.O_DIRECT | os.O_SYNC}
UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def fallocate(fd, mode, offset, length):
    if _libc.fallocate(fd, mode, offset, length):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Wrong(AssertionError):
    """The file is not what it must be."""


class Step:
    """Operation @n: what, by which descriptor, where, how much, and where to (copy)."""

    def __init__(self, n, kind, way, offset, length, other):
        self.n, self.kind, self.way, self.offset, self.length, self.other = n, kind, way, offset, length, other

    def __str__(self):
        where = f" to {self.other}" if self.kind == "copy" else ""
        return f"{self.n}: {self.kind} {self.way} offset {self.offset} ({self.offset:#x}) length {self.length}{where}"


class Fsx:
    """@kinds: {operation: weight} instead of all. @backing: the target's own file, if it can be seen: looked into after
    each sync. @is_disk: it has an end that writes cannot move. The file's content is overwritten."""

    def __init__(self, path, seed, kinds=None, backing=None, is_disk=True, align=1, block=512, longest=LONGEST,
                 keep_log=20):
        self.path, self.seed, self.backing, self.align, self.keep_log = path, seed, backing, align, keep_log
        self.block, self.longest = block, longest
        self.is_disk = is_disk
        self.fds = {}
        self._open()
        self.kinds = dict(kinds or WEIGHTS)
        if not is_disk:
            self.kinds.pop("truncate", None)
        if not stat.S_ISREG(os.fstat(self.fds["buffered"]).st_mode):
            self.kinds.pop("holes", None)  # block devices do not tell
        self.size = os.lseek(self.fds["buffered"], 0, os.SEEK_END)
        self.model = bytearray()
        self.done = {}  # operation: how often
        self.refused = {}
        self.count = 0
        self.set_model(self._first())

    def _first(self):
        """Random bytes, and zeros in each fourth part of it."""
        rng = random.Random(f"{self.seed}/first")
        part = max(self.block, self.size // 16)
        pieces = [bytes(part) if n % 4 == 3 else rng.randbytes(part) for n in range(-(-self.size // part))]
        return b"".join(pieces)[:self.size]

    def set_model(self, data):
        """Write all of the file."""
        self.model[:] = data
        write_fully(self.fds["buffered"], data, 0)
        os.fsync(self.fds["buffered"])

    def _open(self):
        for way, flags in WAYS.items():
            self.fds[way] = os.open(self.path, os.O_RDWR | flags)

    def close(self):
        for fd in self.fds.values():
            os.close(fd)
        self.fds.clear()

    # ---- which operation ----

    def step(self, n):
        rng = random.Random(f"{self.seed}/{n}")
        kind = rng.choices(list(self.kinds), list(self.kinds.values()))[0]
        way = rng.choice(list(WAYS))
        length = self._length(rng)
        offset = rng.randrange(self.size)
        if rng.random() < 0.5:  # at or around an edge of a block or page
            offset = max(0, offset - offset % rng.choice((self.block, EDGE)) + rng.choice((0, 0, 0, 1, -1, -length)))
        is_over = rng.random() < 0.04  # the end
        other = rng.randrange(self.size)
        if self.align > 1 and ("direct" in way or kind in ALIGNED):
            offset, length, other = (x - x % self.align for x in (offset, length + self.align, other))
        if is_over and self.is_disk and kind in ENDLESS:
            offset = max(0, self.size - length // 2)
        else:
            length = min(length, self.size)
            offset = max(0, min(offset, self.size - length))
        return Step(n, kind, way, offset, length, other)

    def _length(self, rng):
        way = rng.random()
        if way < 0.25:  # within a block
            return rng.randrange(1, self.block)
        if way < 0.45:
            return rng.choice((self.block, EDGE)) * rng.randrange(1, 9)
        if way < 0.85:
            return rng.randrange(1, 20000)
        return rng.randrange(1, self.longest)

    # ---- running ----

    def run(self, count, start=None):
        """The next @count operations, or those from @start on."""
        first = self.count if start is None else start
        log = []
        for n in range(first, first + count):
            step = self.step(n)
            log = log[1 - self.keep_log:] + [str(step)]
            try:
                self._do(step)
            except (Wrong, OSError) as e:
                raise Wrong(self._tell(n, e, log)) from e
            self.count = n + 1

    def _do(self, step):
        self.done[step.kind] = self.done.get(step.kind, 0) + 1
        try:
            OPERATIONS[step.kind](self, step)
        except OSError as e:
            if step.kind not in OPTIONAL or e.errno not in UNSUPPORTED:
                raise
            why = self.refused.setdefault(step.kind, {})
            why[e.strerror] = why.get(e.strerror, 0) + 1

    def _tell(self, n, error, log):
        lines = [f"seed {self.seed}, operation {n}: {error}", "the last operations:", *log, self._shrink(n)]
        lines.append(f"to repeat: tests/lib/fsx.py FILE seed={self.seed} count={n + 1} "
                     f"(a file of {self.size} bytes)")
        return "\n".join(lines)

    def _shrink(self, last, limit=30):
        """How many of the operations up to @last are needed to see it again: a text."""
        end = time.monotonic() + limit
        length = 1
        while time.monotonic() < end:
            length = min(length, last + 1)
            try:
                again = self._again(last + 1 - length, last)
            except (Wrong, OSError) as e:
                return f"it cannot be repeated: {e}"
            if again:
                return f"seen again with start={last + 1 - length}, {length} operations: {again}"
            if length > last:
                return "not seen again when repeated"
            length *= 4
        return f"not seen again with the last {length // 4} operations"

    def _again(self, first, last):
        """Bring the file to where it was before @first, do up to @last: what went wrong, or None."""
        simulation = Simulation(self)
        for n in range(first):
            simulation.do(self.step(n))
        self.close()
        self._open()
        self.set_model(simulation.model)
        try:
            for n in range(first, last + 1):
                self._do(self.step(n))
        except (Wrong, OSError) as e:
            return str(e)
        return None

    def report(self):
        text = f"seed {self.seed}: {self.count} operations ({', '.join(f'{v} {k}' for k, v in sorted(self.done.items()))})"
        for kind, why in sorted(self.refused.items()):
            text += "".join(f"; {kind} REFUSED {count} times: {reason}" for reason, count in why.items())
        return text

    def finish(self, backing=None):
        """Every byte, read in each way, and those of @backing."""
        os.fsync(self.fds["buffered"])
        self.close()
        self._open()
        for way, fd in self.fds.items():
            self.same(self._read(way, self.size, 0), bytes(self.model), f"all of it by {way}")
        with mmap.mmap(self.fds["buffered"], self.size) as m:
            self.same(m[:], bytes(self.model), "all of it by mmap")
        self.close()
        for path in filter(None, {backing, self.backing}):
            with open(path, "rb") as f:
                self.same(f.read(), bytes(self.model), "the target's own file")

    # ---- what operations are made of ----

    @staticmethod
    def same(got, want, what):
        text = differ(got, want, what)
        if text:
            raise Wrong(text)

    def expected(self, offset, length):
        return bytes(self.model[offset:offset + length])

    def _read(self, way, length, offset):
        fd = self.fds[way]
        if "direct" not in way:
            return read_fully(fd, length, offset)
        with mmap.mmap(-1, max(1, length)) as page, memoryview(page) as view:
            done = 0
            while done < length:
                n = os.preadv(fd, [view[done:length]], offset + done)
                if not n:
                    break
                done += n
            return bytes(view[:done])

    def _write(self, way, data, offset):
        """As much of it as was taken."""
        fd, done = self.fds[way], 0
        with mmap.mmap(-1, max(1, len(data))) as page, memoryview(page) as view:
            view[:len(data)] = data
            while done < len(data):
                try:
                    n = os.pwrite(fd, view[done:len(data)], offset + done)
                except OSError as e:
                    if e.errno == errno.ENOSPC and offset + done >= self.size:
                        break  # the end of a disk
                    raise
                if not n:
                    raise Wrong(f"a write of nothing at {offset + done}")
                done += n
        return done

    def _look_behind(self, offset, length, what):
        """What has been synced is in the target's own file."""
        if self.backing:
            with open(self.backing, "rb") as f:
                f.seek(offset)
                self.same(f.read(length), self.expected(offset, length), f"the target's own file after {what}")

    def _window(self, step):
        """(map, where the step begins in it)"""
        start = step.offset - step.offset % mmap.ALLOCATIONGRANULARITY
        m = mmap.mmap(self.fds["buffered"], step.offset - start + step.length, offset=start)
        return m, step.offset - start

    def payload(self, step):
        return random.Random(f"{self.seed}/{step.n}/data").randbytes(step.length)

    # ---- operations ----

    def read(self, step):
        self.same(self._read(step.way, step.length, step.offset), self.expected(step.offset, step.length), f"{step}")

    def write(self, step):
        done = self._write(step.way, self.payload(step), step.offset)
        wanted = min(step.length, max(0, self.size - step.offset))
        if done != wanted:
            raise Wrong(f"{done} bytes of {wanted} written: {step}")
        Simulation.write(self, step)
        if "sync" in step.way:
            self._look_behind(step.offset, done, f"{step}")

    def map_read(self, step):
        m, at = self._window(step)
        with m:
            self.same(m[at:at + step.length], self.expected(step.offset, step.length), f"{step}")

    def map_write(self, step):
        """Not synced: whoever reads has to see it all the same."""
        m, at = self._window(step)
        with m:
            m[at:at + step.length] = self.payload(step)
        Simulation.write(self, step)

    def map_sync(self, step):
        m, at = self._window(step)
        with m:
            m[at:at + step.length] = self.payload(step)
            m.flush()
        Simulation.write(self, step)
        self._look_behind(step.offset, step.length, f"{step}")

    def sync(self, step):
        os.fsync(self.fds[step.way])
        self._look_behind(0, self.size, f"{step}")

    def data_sync(self, step):
        os.fdatasync(self.fds[step.way])
        self._look_behind(0, self.size, f"{step}")

    def punch(self, step):
        fallocate(self.fds[step.way], PUNCH_HOLE | KEEP_SIZE, step.offset, step.length)
        Simulation.punch(self, step)
        self.read(step)

    def zero(self, step):
        fallocate(self.fds[step.way], ZERO_RANGE | KEEP_SIZE, step.offset, step.length)
        Simulation.punch(self, step)
        self.read(step)

    def copy(self, step):
        """copy_file_range within the file; not when the two ranges meet, which is EINVAL."""
        length = min(step.length, self.size - max(step.offset, step.other))
        if abs(step.offset - step.other) < length:
            return
        done = 0
        while done < length:
            n = os.copy_file_range(self.fds["buffered"], self.fds["sync"], length - done, step.offset + done,
                                   step.other + done)
            if not n:
                raise Wrong(f"{done} bytes of {length} copied: {step}")
            done += n
        Simulation.copy(self, step)
        self.same(self._read(step.way, length, step.other), self.expected(step.other, length), f"{step}")

    def holes(self, step):
        """What is told to be a hole must read as zeros."""
        fd, at = self.fds["buffered"], step.offset
        os.fsync(fd)
        while at < self.size:
            try:
                data = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise
                data = self.size
            if not at <= data <= self.size:
                raise Wrong(f"SEEK_DATA from {at} gives {data}: {step}")
            self.same(bytes(data - at), self.expected(at, data - at), f"what SEEK_DATA calls a hole at {at}")
            if data == self.size:
                break
            at = os.lseek(fd, data, os.SEEK_HOLE)
            if not data < at <= self.size:
                raise Wrong(f"SEEK_HOLE from {data} gives {at}: {step}")

    def truncate(self, step):
        """Refused; and nothing is different (which the reads to come find out)."""
        try:
            os.ftruncate(self.fds[step.way], step.offset + 2 * self.size * (step.other % 2))
        except OSError as e:
            if e.errno not in (errno.EINVAL, errno.EPERM, errno.EACCES):
                raise
        else:
            if step.offset != self.size:
                raise Wrong(f"truncated: {step}")
        size = os.lseek(self.fds[step.way], 0, os.SEEK_END)
        if size != self.size:
            raise Wrong(f"{size} bytes, not {self.size}, after {step}")

    def reopen(self, _step):
        self.close()
        self._open()

    def forget(self, step):
        """Out of the page cache with it."""
        os.posix_fadvise(self.fds["buffered"], step.offset, step.length, os.POSIX_FADV_DONTNEED)
        self.read(step)


class Simulation:
    """What operations do to the model, without the file. The methods take a Simulation or an Fsx."""

    def __init__(self, fsx):
        self.fsx, self.seed, self.size = fsx, fsx.seed, fsx.size
        self.model = bytearray(fsx._first())

    def payload(self, step):
        return self.fsx.payload(step)

    def do(self, step):
        effect = EFFECTS.get(step.kind)
        if effect and step.kind not in self.fsx.refused:
            effect(self, step)

    def write(self, step):
        end = min(step.offset + step.length, self.size)
        if end > step.offset:
            self.model[step.offset:end] = self.payload(step)[:end - step.offset]

    def punch(self, step):
        end = min(step.offset + step.length, self.size)
        self.model[step.offset:end] = bytes(max(0, end - step.offset))

    def copy(self, step):
        length = min(step.length, self.size - max(step.offset, step.other))
        if abs(step.offset - step.other) >= length:
            self.model[step.other:step.other + length] = self.model[step.offset:step.offset + length]


OPERATIONS = {"read": Fsx.read, "write": Fsx.write, "map-read": Fsx.map_read, "map-write": Fsx.map_write,
              "map-sync": Fsx.map_sync, "fsync": Fsx.sync, "fdatasync": Fsx.data_sync, "punch": Fsx.punch,
              "zero": Fsx.zero, "copy": Fsx.copy, "holes": Fsx.holes, "truncate": Fsx.truncate, "reopen": Fsx.reopen,
              "forget": Fsx.forget}
EFFECTS = {"write": Simulation.write, "map-write": Simulation.write, "map-sync": Simulation.write,
           "punch": Simulation.punch, "zero": Simulation.punch, "copy": Simulation.copy}
WEIGHTS = {"read": 25, "write": 25, "map-read": 5, "map-write": 6, "map-sync": 4, "fsync": 2, "fdatasync": 2,
           "punch": 5, "zero": 5, "copy": 3, "holes": 1, "truncate": 2, "reopen": 2, "forget": 4}
# A file need not offer these.
OPTIONAL = ("punch", "zero", "copy", "holes")
# These may reach over the end of the file.
ENDLESS = ("read", "write")
# Block devices want whole blocks here, whatever the descriptor.
ALIGNED = ("punch", "zero")


def by_hand(path, seed=None, count=10000, start=0, align=1, is_disk=1):
    seed = int(seed) if seed is not None else random.randrange(1 << 32)
    count, start = int(count), int(start)
    print(f"seed {seed}", flush=True)
    fsx = Fsx(path, seed, align=int(align), is_disk=bool(int(is_disk)))
    if start:
        simulation = Simulation(fsx)
        for n in range(start):
            simulation.do(fsx.step(n))
        fsx.set_model(simulation.model)
    try:
        fsx.run(count - start, start)
        fsx.finish()
    except Wrong as e:
        sys.exit(str(e))
    print(fsx.report())


if __name__ == "__main__":
    if len(sys.argv) < 2 or any("=" not in word for word in sys.argv[2:]):
        sys.exit(__doc__)
    by_hand(sys.argv[1], **dict(word.split("=", 1) for word in sys.argv[2:]))
