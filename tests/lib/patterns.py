# SPDX-License-Identifier: BSD-2-Clause
"""Bytes for data tests: random but repeatable, read and written at any offset, with and without the page cache. A
comparison that fails says where, and what it found there."""
import mmap
import os
import random

SECTOR = 512


def pattern(size, seed):
    return random.Random(seed).randbytes(size)


def differ(got, want, what):
    """None when equal; a text that says where the first difference is."""
    if got == want:
        return None
    if len(got) != len(want):
        return f"{what}: {len(got)} bytes, expected {len(want)}"
    first = next(i for i in range(len(want)) if got[i] != want[i])
    count = sum(a != b for a, b in zip(got, want))
    return (f"{what}: {count} of {len(want)} bytes differ, the first at {first}: "
            f"{got[first:first + 16].hex()} instead of {want[first:first + 16].hex()}")


def same(got, want, what):
    text = differ(got, want, what)
    assert not text, text


def backing_read(path, offset, size):
    with open(path, "rb") as f:
        f.seek(offset)
        return f.read(size)


def backing_write(path, offset, data):
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)


def write_fully(fd, data, offset):
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, offset)
        assert n > 0, "a write of nothing"
        view, offset = view[n:], offset + n


def read_fully(fd, size, offset):
    """Up to the end of the file."""
    pieces = []
    while size:
        piece = os.pread(fd, size, offset)
        if not piece:
            break
        pieces.append(piece)
        size, offset = size - len(piece), offset + len(piece)
    return b"".join(pieces)


class File:
    """An open file; offsets and sizes as the caller likes, or multiples of the block when @direct."""

    def __init__(self, path, flags=os.O_RDWR, direct=False):
        self.direct = direct
        self.fd = os.open(path, flags | (os.O_DIRECT if direct else 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)

    def write(self, data, offset):
        if not self.direct:
            return write_fully(self.fd, data, offset)
        page = mmap.mmap(-1, len(data))  # O_DIRECT wants aligned memory
        page.write(data)
        write_fully(self.fd, page, offset)

    def read(self, size, offset):
        if not self.direct:
            return read_fully(self.fd, size, offset)
        page, done = mmap.mmap(-1, size), 0
        while done < size:
            n = os.preadv(self.fd, [memoryview(page)[done:]], offset + done)
            if not n:
                break
            done += n
        return page[:done]

    def sync(self):
        os.fsync(self.fd)
