# SPDX-License-Identifier: BSD-2-Clause
"""./quickstart as a newcomer runs it, with the program under test, its state and its mount in the test's directory."""
import os

from mounted import is_mounted, program, sanitizer_environ
from patterns import backing_read, backing_write, pattern, same
from realtargets import Tgtd
from runner import LIMIT, TOP, need_program, need_root, test, wait_for
from sweep import loops, mounts, processes


class Quickstart:
    def __init__(self, t):
        self.t, self.point, self.state = t, t.path("iscsi"), t.path("quickstart")
        self.environ = dict(sanitizer_environ(t, "quickstart"), ISCSIFS=program(), QUICKSTART_DIR=self.state,
                            QUICKSTART_MOUNT=self.point, QUICKSTART_MEMORY=t.fast)
        t.defer(self.run, "stop")

    def run(self, words="", ok=True):
        return self.t.sh(f"timeout {LIMIT:.0f} {TOP}/quickstart {words}", ok=ok, limit=2 * LIMIT,
                         env=self.environ).stdout


@test(limit=240)
def demo_and_stop(t):
    need_program("tgtd")
    quick = Quickstart(t)
    text = quick.run()
    assert is_mounted(quick.point)
    assert os.stat(quick.state).st_mode & 0o777 == 0o700
    for line in ("$ echo login > ctl", "$ dd if=lun1/disk", "hello, target", "quickstart stop"):
        assert line in text, f"{line!r} is not in:\n{text}"
    if os.geteuid() == 0 and os.path.exists("/dev/loop-control"):
        assert "this file is on an iSCSI disk" in text or "losetup says" in text, text
    # Again: nothing breaks, nothing is there twice.
    before = len(processes(t.dir))
    text = quick.run()
    assert "already" in text and len(processes(t.dir)) == before, text
    assert f"$ cd {quick.point}/targets/iqn.2026-11.io.iscsifs:demo\n" in text, text
    if loops(t.dir):
        assert "Writing with dd is not shown" in text and "dd of=" not in text, text
    text = quick.run("stop")
    assert "All is taken down" in text, text
    assert not mounts(t.dir) and not loops(t.dir) and not processes(t.dir)
    assert not os.path.exists(quick.state) and not os.path.exists(quick.point)
    assert "Nothing runs here" in quick.run("stop")


@test(limit=240)
def own_portal_is_only_read(t):
    target = Tgtd(t)
    iqn, _, backing = target.one_disk()
    data = pattern(16 << 20, 1)
    backing_write(backing, 0, data)
    quick = Quickstart(t)
    text = quick.run(target.portal)
    assert iqn in text and "Only reading is shown" in text, text
    wait_for(lambda: target.connections() == 1, "one connection")
    same(backing_read(backing, 0, 16 << 20), data, "the person's disk")
    quick.run("stop")
    wait_for(lambda: target.connections() == 0, "the target has no connection")
    assert target.process.poll() is None
    same(backing_read(backing, 0, 16 << 20), data, "the person's disk")


@test(limit=240)
def own_portal_whose_first_target_wants_chap(t):
    target = Tgtd(t)
    refusing, _, _ = target.chap_disk()
    iqn, _, _ = target.one_disk()
    quick = Quickstart(t)
    text = quick.run(f"{target.portal} {refusing}", ok=False)
    for part in (f"Not let in by {refusing}", "No target let us in", "stays mounted", "secret_file=",
                 "quickstart stop"):
        assert part in text, f"{part!r} is not in:\n{text}"
    assert "code=ISDSC" not in text, text
    assert is_mounted(quick.point)
    wait_for(lambda: target.connections() == 0, "the target has no connection")
    text = quick.run(target.portal)
    assert f"Not let in by {refusing}" in text and "Only reading is shown" in text, text
    text = quick.run(target.portal)
    assert f"Logged in to {iqn} already" in text and "Not let in" not in text, text
    assert "shows no target iqn.none" in quick.run(f"{target.portal} iqn.none", ok=False)
    quick.run("stop")


@test(limit=240)
def stop_names_loop_devices_that_block_it(t):
    need_program("tgtd")
    need_root("for loop devices")
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    quick = Quickstart(t)
    quick.run(target.portal)
    disk = f"{quick.point}/targets/{iqn}/lun{number}/disk"
    device = t.sh(f"losetup -f --show {disk}").stdout.strip()
    t.defer(t.sh, f"losetup -d {device} 2>/dev/null || :")
    text = quick.run("stop", ok=False)
    assert "NAME" in text and device in text and disk in text and "code=ISDSC" not in text, text
    t.sh(f"losetup -d {device}")
    assert "All is taken down" in quick.run("stop")


@test(limit=240)
def failures_say_what_to_do(t):
    quick = Quickstart(t)
    for words, part in (("--what", "unknown option --what"), ("stop now", "stop takes nothing more"),
                        ("''", "is empty"), ("a b c", "too many words: c")):
        text = quick.run(words, ok=False)
        assert part in text and "./quickstart stop" in text, text
    quick.environ["ISCSIFS"] = "/nonexistent"
    assert "is no program" in quick.run(ok=False) and not os.path.exists(quick.state)
    quick.environ["ISCSIFS"] = program()
    text = quick.run("127.0.0.1:9", ok=False)
    assert "Discovery at 127.0.0.1:9 failed" in text and "Is the address right" in text, text
    assert "code=ISDSC" not in text and "What was started so far: ./quickstart stop ends it" in text, text
    quick.run("stop")
    os.mkdir(quick.point)
    open(os.path.join(quick.point, "something"), "w").close()
    text = quick.run(ok=False)
    assert "not empty" in text and "QUICKSTART_MOUNT" in text, text
    assert "demo target" not in text and not os.path.exists(quick.state), text


@test(limit=240)
def demo_after_its_processes_were_killed(t):
    """As after a crash: the next run tidies up by itself."""
    need_program("tgtd")
    quick = Quickstart(t)
    quick.run()
    for pid, name in processes(t.dir):
        if name in ("iscsifs", "tgtd"):
            os.kill(pid, 9)
    quick.run("stop", ok=False)
    text = quick.run()
    assert "hello, target" in text, text
    quick.run("stop")
