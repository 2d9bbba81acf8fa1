# SPDX-License-Identifier: BSD-2-Clause
"""The configuration is read again while the daemon runs: SIGHUP and `reload`."""
import errno
import os
import signal
import stat
import time

from fuse_mount import in_background
from fuse_volumes import Manager
from mounted import Mounted, read_text
from patterns import File
from realtargets import Tgtd
from runner import need_root, refuses, test, wait_for


def write(fs, text):
    with open(fs.config, "w") as f:
        f.write(text)


def events(fs, name):
    return [line for line in fs.read("events").splitlines() if f" {name} " in line]


@test
def reload_changes_what_new_logins_ask_for(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    other, _, _ = target.one_disk()
    fs = Mounted(t, config="first_burst_length = 8192;\n")
    fs.discover(target.portal)
    old = fs.login(iqn)
    write(fs, "first_burst_length = 16384;\nio_depth = 64;\n")
    reply = fs.ctl("", "reload")
    assert reply == (f"ok file={fs.config} new_logins=first_burst_length restart=io_depth "
                     "code=ISDSC_OPERATION_REQUIRES_REBOOT number=0xAFFF003B\n"), reply
    new = fs.login(other)
    assert fs.params(iqn, old)["FirstBurstLength"][0] == "8192"
    assert fs.params(other, new)["FirstBurstLength"][0] == "16384"
    told = events(fs, "configuration-reloaded")
    assert len(told) == 1 and "for new logins: first_burst_length; after a restart: io_depth" in told[0], told


@test
def times_set_in_a_session_stay(t):
    """The read would fail after five minutes only, had it the file's time."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn)
    fs.ctl(f"sessions/{sid}", "set command_timeout=2")
    write(fs, "command_timeout = 300;\n")
    assert "new_logins=command_timeout" in fs.ctl("", "reload")
    target.kill()
    with File(fs.disk(iqn, number), os.O_RDONLY, direct=True) as f:
        refuses(errno.EIO, f.read, 4096, 0)
    fs.logout(iqn, "force=yes")


@test
def what_no_start_would_take_is_refused(t):
    fs = Mounted(t)
    secret = t.path("secret")
    with open(secret, "w") as f:
        f.write("twelve-bytes-and\n")
    os.chmod(secret, 0o600)
    for text, want in (("login_auth = \"chap\";", "login_secret_file: auth=chap needs secret= or secret_file="),
                       ("login_secret_file = \"/nope\";", "option login_secret_file: secret file /nope"),
                       (f"login_secret_file = \"{secret}\";\nlogin_auth = \"mutual\";", "needs secret_in=")):
        write(fs, f"log_level = \"debug\";\n{text}\n")
        refusal = refuses(errno.EINVAL if "nope" not in text else errno.ENOENT, fs.ctl, "", "reload")
        assert want in refusal.reply and fs.config in refusal.reply, refusal.reply
    assert len(events(fs, "configuration-refused")) == 3
    assert not events(fs, "configuration-reloaded")
    write(fs, f"login_secret_file = \"{secret}\";\nchap_secret_file = \"{secret}2\";\nlogin_auth = \"mutual\";")
    with open(f"{secret}2", "w") as f:
        f.write("another-of-twelve\n")
    os.chmod(f"{secret}2", 0o600)
    assert "restart=" in fs.ctl("", "reload")
    fs.stop()
    Mounted(t, name="next", config=read_text(fs.config), state=fs.state)


@test
def wrong_file_changes_nothing(t):
    fs = Mounted(t, config="")
    write(fs, "log_level = \"debug\";\n\nio_dept = 64;\n")
    where = f"{fs.config}:3: unknown option io_dept: is io_depth meant?"
    error = refuses(errno.EINVAL, fs.ctl, "", "reload")
    assert where in error.reply, error.reply
    assert where in fs.read("error")
    assert where in events(fs, "configuration-refused")[0]
    assert where in read_text(fs.log)
    before = len(read_text(fs.log))
    write(fs, "")
    assert fs.ctl("", "reload") == f"ok file={fs.config}\n"
    assert "debug:" not in read_text(fs.log)[before:]


@test
def sighup_reloads(t):
    fs = Mounted(t, config="")
    write(fs, "log_level = \"debug\";\n")
    fs.process.send_signal(signal.SIGHUP)
    wait_for(lambda: events(fs, "configuration-reloaded"), "it was read again")
    assert "changed: log_level" in events(fs, "configuration-reloaded")[0]
    write(fs, "log_level = loud;\n")
    fs.process.send_signal(signal.SIGHUP)
    wait_for(lambda: events(fs, "configuration-refused"), "it was refused")
    assert f"{fs.config}:1: " in fs.read("error") and "SIGHUP" in fs.read("error")
    assert fs.is_alive()


@test
def service_manager_is_told(t):
    """As Type=notify-reload wants it: reloading, with the time, then ready; and for a file that is refused, too."""
    manager = Manager(t)
    fs = Mounted(t, environ={"NOTIFY_SOCKET": manager.name})
    wait_for(manager.is_ready, "ready")
    for text in ("busy_poll = 9;\n", "nonsense\n"):
        manager.heard.clear()
        write(fs, text)
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        fs.process.send_signal(signal.SIGHUP)
        wait_for(manager.is_ready, "ready again")
        heard = dict(manager.heard)
        assert manager.heard[0] == ("RELOADING", "1") and ("READY", "1") in manager.heard[1:], manager.heard
        assert int(heard["MONOTONIC_USEC"]) >= before


@test
def log_level_counts_at_once(t):
    fs = Mounted(t, config="log_level = \"error\";\n")
    write(fs, "log_level = \"info\";\n")
    assert "changed=log_level" in fs.ctl("", "reload")
    assert "configuration-reloaded" in read_text(fs.log)


@test
def name_that_was_set_in_the_tree_stays(t):
    fs = Mounted(t, config="")
    write(fs, 'initiator_name = "iqn.2026-11.test:file"; initiator_alias = "file";\n')
    fs.ctl("", "reload")
    assert fs.read("initiator", "name") == "iqn.2026-11.test:file" and fs.read("initiator", "alias") == "file"
    with open(fs.path("initiator", "name"), "w") as f:
        f.write("iqn.2026-11.test:tree\n")
    write(fs, 'initiator_name = "iqn.2026-11.test:again"; initiator_alias = "again";\n')
    fs.ctl("", "reload")
    assert fs.read("initiator", "name") == "iqn.2026-11.test:tree"
    assert fs.read("initiator", "alias") == "again"


@test
def included_file_that_is_no_file_does_not_end_the_daemon(t):
    """libconfig by itself would end the process, or wait for good."""
    fs = Mounted(t, config="")
    os.mkfifo(t.path("pipe"))
    for what, named in ((t.path("pipe"), "not a regular file"), (t.dir, "a directory"),
                        (t.path("missing"), os.strerror(errno.ENOENT)), (fs.config, "files deep")):
        write(fs, f'# first\n@include "{what}"\n')
        try:
            fs.ctl("", "reload")
            raise AssertionError(f"{what} was accepted")
        except OSError as e:
            assert f"{fs.config}:2: @include" in e.reply and named in e.reply, e.reply
    assert fs.is_alive()


@test
def relative_names_lead_there_in_the_background(t):
    """The daemon has gone to / by then."""
    _, point = in_background(t)
    with open(t.path("more"), "w") as f:
        f.write("busy_poll = 6;\n")
    with open(t.path("iscsi.conf"), "w") as f:
        f.write('@include "more"\n')
    with open(os.path.join(point, "ctl"), "r+b", buffering=0) as f:
        f.write(b"reload\n")
        assert b"changed=busy_poll" in f.read(4096)


@test
def permissions_of_files_wait_for_a_restart(t):
    need_root("to give files away")
    fs = Mounted(t, config="")
    write(fs, 'umask = "077"; uid = 1;\n')
    reply = fs.ctl("", "reload")
    assert "restart=uid,umask" in reply, reply
    s = os.stat(fs.path("ctl"))
    assert (s.st_uid, stat.S_IMODE(s.st_mode)) == (0, 0o644), s
