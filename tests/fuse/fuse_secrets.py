# SPDX-License-Identifier: BSD-2-Clause
"""Secrets: set by every way there is, then looked for everywhere they must not be."""
import base64
import os
import re

from mounted import Mounted, read_text
from realtargets import USER, USER_IN, Tgtd
from runner import need_root, test

IQN = "iqn.2026-11.test:secret-"
# Each way its own, so that what is found tells where it came from.
WAYS = {way: f"Zq{n:02d}-{way}-Wk7vX" for n, way in enumerate((
    "login", "login-in", "login-file", "target", "target-file", "portal", "initiator", "wrong", "typo", "unfinished", "script",
    "configured", "configured-in"))}


def forms(secret):
    """As text, hexadecimal in both cases, base64."""
    raw = secret.encode()
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw).rstrip(b"=")]


def search(data, where, found, ways=WAYS):
    for way, secret in ways.items():
        for form in forms(secret):
            # Names of files and messages have the way in them; the secret has more around it.
            if form in data:
                found.append(f"{way} in {where}")
                break


def secret_file(t, way):
    path = t.path(f"file-{way}")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(WAYS[way] + "\n")
    return path


def tries(function, *args):
    try:
        function(*args)
    except OSError as e:
        return getattr(e, "reply", "")
    return ""


def use_all(t, fs, tgtd, iqn, replies):
    """Every way once. Leaves nothing logged in."""
    mutual = f"user={USER} secret={WAYS['login']} user_in={USER_IN}"
    path = {way: secret_file(t, way) for way in ("login-file", "target-file")}
    with open(fs.path("initiator", "chap_secret"), "w") as f:
        f.write(WAYS["initiator"] + "\n")
    replies.append(tries(fs.login, iqn, f"auth=mutual {mutual}"))
    fs.ctl(f"targets/{iqn}", f"login {mutual} secret_in={WAYS['login-in']}")
    fs.logout(iqn)
    replies.append(tries(fs.login, iqn, f"user={USER} secret_file={path['login-file']}"))
    replies.append(tries(fs.login, iqn, f"user={USER} secret={WAYS['wrong']}"))
    replies.append(tries(fs.ctl, "discovery", f"add-portal {tgtd.portal} user={USER} secret={WAYS['portal']} no-key=1"))
    replies.append(tries(fs.ctl, f"targets/{iqn}", f"login secert={WAYS['typo']}"))
    replies.append(tries(fs.ctl, f"targets/{iqn}", f"login user={USER} {WAYS['typo']}"))
    # tgtd has no accounts for discoveries: refused, after the secret was used.
    replies.append(tries(fs.ctl, "discovery", f"add-portal {tgtd.portal} user={USER} secret={WAYS['portal']}"))
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1 user={USER} secret={WAYS['target']}")
    fs.ctl("discovery", f"add-target {IQN}2 portal=127.0.0.1 user={USER} secret_file={path['target-file']}")
    # A page without a newline is the beginning of a line that never comes.
    fd = os.open(fs.path("targets", iqn, "ctl"), os.O_WRONLY)
    os.write(fd, f"login secret={WAYS['unfinished']} user=".ljust(4096, "x").encode())
    os.close(fd)
    tries(fs.ctl, f"targets/{iqn}", "# far into a long request\n" * 100 + f"login user={USER} secret={WAYS['script']}")
    for p in path.values():
        os.unlink(p)


def read_tree(fs):
    for place, dirs, names in os.walk(fs.point):
        dirs[:] = [d for d in dirs if not os.path.islink(os.path.join(place, d))]
        for name in names:
            path = os.path.join(place, name)
            # Reading these waits for what happens next, or is the disk.
            if name.startswith("events_pipe") or name in ("disk", "scsi"):
                continue
            try:
                with open(path, "rb") as f:
                    yield path[len(fs.point):], f.read()
            except OSError:
                pass


def read_directory(place):
    for name in os.listdir(place):
        with open(os.path.join(place, name), "rb") as f:
            yield os.path.join(place, name), f.read()


def memory(pid):
    """What the process can write to, a piece each."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw\S* \S+ \S+ \S+ *(.*)", line)
            if not m or m[3] in ("[vvar]", "[vsyscall]"):
                continue
            start, end = int(m[1], 16), int(m[2], 16)
            try:
                mem.seek(start)
                if end - start < 1 << 32:  # larger ones are the shadow memory of a sanitizer
                    yield m[3] or "anonymous memory", mem.read(end - start)
            except (OSError, ValueError):
                pass


def prepare(t):
    tgtd = Tgtd(t)
    iqn, _, _ = tgtd.one_disk()
    tgtd.add_account(USER, WAYS["login"])
    tgtd.add_account(USER_IN, WAYS["login-in"], outgoing=True)
    # At debug level, where the log says most.
    fs = Mounted(t, "-d")
    fs.discover(tgtd.portal, "persist=no")
    fs.ctl("discovery", f"remove-portal {tgtd.portal}")
    fs.ctl("discovery", f"add-target {iqn} portal={tgtd.portal}")
    return fs, tgtd, iqn


def look_everywhere(fs, replies):
    """Where they are found."""
    found = []
    for reply in replies:
        search(reply.encode(), "a reply", found)
    for path, data in read_tree(fs):
        search(data, path, found)
    for path, data in read_directory(fs.state):
        search(data, path, found)
    search(read_text(fs.log).encode(), "the log", found)
    for name in ("cmdline", "environ"):
        with open(f"/proc/{fs.pid}/{name}", "rb") as f:
            search(f.read(), name, found)
    return found


@test
def they_are_nowhere_to_be_read(t):
    fs, tgtd, iqn = prepare(t)
    replies = []
    use_all(t, fs, tgtd, iqn, replies)
    found = look_everywhere(fs, replies)
    assert not found, found
    # They are kept, though: each is needed and found again.
    text = read_text(os.path.join(fs.state, "discovery.conf"))
    assert text.count("aes-256-gcm:") == 2, text
    assert "aes-256-gcm:" in read_text(os.path.join(fs.state, "initiator.conf"))


@test
def configured_ones_are_nowhere_either(t):
    tgtd = Tgtd(t)
    iqn, _, _ = tgtd.one_disk()
    tgtd.add_account(USER, WAYS["configured"])
    tgtd.add_account(USER_IN, WAYS["configured-in"], outgoing=True)
    path = {way: secret_file(t, way) for way in ("configured", "configured-in")}
    fs = Mounted(t, "-d", config=f"""
        login_auth = "mutual"; login_user = "{USER}"; login_secret_file = "{path["configured"]}";
        login_user_in = "{USER_IN}"; chap_secret_file = "{path["configured-in"]}";""")
    fs.ctl("discovery", f"add-target {iqn} portal={tgtd.portal}")
    replies = [fs.ctl(f"targets/{iqn}", "login"), tries(fs.ctl, f"targets/{iqn}", "login user=nobody"), fs.ctl("", "reload")]
    fs.ctl("discovery", f"add-target {IQN}1 portal=127.0.0.1")
    with open(fs.path("initiator", "chap_secret"), "w") as f:
        f.write(WAYS["initiator"] + "\n")
    found = look_everywhere(fs, replies)
    assert not found, found


@test
def they_are_wiped_from_memory(t):
    need_root("another process's memory")
    fs, tgtd, iqn = prepare(t)
    use_all(t, fs, tgtd, iqn, [])
    seen = []
    for where, data in memory(fs.pid):
        search(data, where, seen)
    assert any(x.startswith("target ") for x in seen), f"what is in use must be found, else this finds nothing: {seen}"
    for name in (f"{IQN}1", f"{IQN}2"):
        fs.ctl("discovery", f"remove-target {name}")
    with open(fs.path("initiator", "chap_secret"), "w") as f:
        f.write("*\n")
    found = []
    for where, data in memory(fs.pid):
        search(data, where, found)
    assert not found, sorted(set(found))
