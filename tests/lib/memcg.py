# SPDX-License-Identifier: BSD-2-Clause
"""A memory cgroup for a test: version 1 or 2, whichever the kernel has its memory controller in.

    group = MemoryGroup(t, 192 << 20)
    group.add(pid)                 what it uses from now on counts
    [*group.prefix(), "dd", ...]   a command that is in the group from its start
    group.stat("max_usage")

The test itself stays outside: who is inside may wait for memory for as long as a dead-lock lasts.
"""
import os

from runner import Skip, need_root, wait_for


def _where():
    """(version, directory of the group that this process may make one in)"""
    places = {}
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, right = line.split(" - ")
            kind, _, options = right.split()[:3]
            if kind == "cgroup2":
                places.setdefault(2, left.split()[4])
            elif kind == "cgroup" and "memory" in options.split(","):
                places[1] = left.split()[4]
    if 1 in places:
        return 1, places[1]
    if 2 in places:
        with open(os.path.join(places[2], "cgroup.controllers")) as f:
            if "memory" in f.read().split():
                return 2, places[2]
    raise Skip("no memory cgroup controller here")


FILES = {1: {"limit": "memory.limit_in_bytes", "max_usage": "memory.max_usage_in_bytes",
             "usage": "memory.usage_in_bytes"},
         2: {"limit": "memory.max", "max_usage": "memory.peak", "usage": "memory.current"}}


class MemoryGroup:
    """Of @limit bytes; removed at the end of the test, when its last process has ended."""

    def __init__(self, t, limit):
        need_root("a memory cgroup")
        self.version, top = _where()
        self.path = os.path.join(top, f"iscsifs-test-{os.getpid()}")
        try:
            if self.version == 2:
                self._write(os.path.join(top, "cgroup.subtree_control"), "+memory")
            os.mkdir(self.path)
        except OSError as e:
            raise Skip(f"no memory cgroup can be made in {top}: {e.strerror}") from None
        t.defer(self._remove)
        try:
            self._write(os.path.join(self.path, FILES[self.version]["limit"]), limit)
        except OSError as e:
            raise Skip(f"a memory cgroup cannot be limited: {e}") from None

    @staticmethod
    def _write(path, value):
        with open(path, "w") as f:
            f.write(str(value))

    def add(self, pid):
        self._write(os.path.join(self.path, "cgroup.procs"), pid)

    def prefix(self):
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', os.path.join(self.path, "cgroup.procs")]

    def stat(self, name):
        """Bytes; None when this kernel does not tell."""
        try:
            with open(os.path.join(self.path, FILES[self.version][name])) as f:
                return int(f.read())
        except OSError:
            return None

    def kills(self):
        """How many processes the kernel has killed in it for want of memory."""
        name = {1: "memory.oom_control", 2: "memory.events"}[self.version]
        with open(os.path.join(self.path, name)) as f:
            words = dict(line.split() for line in f)
        return int(words.get("oom_kill", 0))

    def _remove(self):
        def gone():
            os.rmdir(self.path)
            return True
        wait_for(gone, f"{self.path} is empty")
