# SPDX-License-Identifier: BSD-2-Clause
"""Real targets for the tests: Debian's tgtd and istgt, each a process of the test on free loopback ports, with all its
files in the test's directories. Neither needs root."""
import os
import random
import re
import signal
import socket
import subprocess
import time

from runner import LIMIT, Skip, need_program, wait_for

USER, SECRET = "tom", "secretsecret12"
USER_IN, SECRET_IN = "jerry", "mutualsecret34"


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
            return True
    except OSError:
        return False


def free_port(hosts=("127.0.0.1",)):
    """A port that nobody listens on at any of @hosts. Below the range of outgoing connections, so that it stays free."""
    for _ in range(200):
        port = random.randrange(15000, 32000)
        try:
            for host in hosts:
                with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    s.bind((host, port))
            return port
        except OSError:
            continue
    raise AssertionError("no free port")


def answers(host, port):
    with socket.create_connection((host, port), timeout=5):
        return True


def portal(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def established(port):
    """TCP connections on a local server port, as the kernel counts them."""
    count = 0
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name) as f:
                for line in f.readlines()[1:]:
                    fields = line.split()
                    count += fields[3] == "01" and int(fields[1].rsplit(":", 1)[1], 16) == port
        except OSError:
            pass
    return count


class Target:
    """What tests ask of either: portal (text), port, base (start of target names), connections(), kill()."""
    process = None

    def connections(self):
        return sum(established(port) for port in self.ports)

    def kill(self):
        """As if it had crashed."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT)


class Tgtd(Target):
    """tgtd without targets; add_target() and add_lun() fill it. @hosts: each gets @ports_each portals."""
    base = "iqn.2026-11.test.tgtd:"

    def __init__(self, t, hosts=("127.0.0.1",), ports_each=1, ports=None, name="tgtd"):
        self.daemon, self.admin = need_program("tgtd", "tgtadm")
        self.t, self.hosts, self.count = t, hosts, 0
        self.dir = t.path(name)
        os.mkdir(self.dir)
        # Its control socket is SOCKET.N and its name holds at most 107 bytes.
        self.environ = dict(os.environ, TGT_IPC_SOCKET=os.path.join(self.dir, "s"))
        self.log = t.path(f"{name}.log")
        for _ in range(5):
            self.ports = ports or [free_port(hosts) for _ in range(ports_each)]
            if self._start():
                break
        else:
            raise AssertionError(f"tgtd does not start: {open(self.log).read()}")
        self.port = self.ports[0]
        self.portal = portal(hosts[0], self.port)

    def _start(self):
        """False when someone else has taken a port meanwhile: tgtd only logs that."""
        with open(self.log, "w"):
            pass
        portals = ",".join(f"portal={portal(h, p)}" for h in self.hosts for p in self.ports)
        self.process = self.t.start([self.daemon, "-f", "-C", "1", "-t", "4", "--iscsi", portals],
                                    self.log, env=self.environ)
        wait_for(lambda: self.process.poll() is not None or self._admin("--op", "show", "--mode", "sys")[0] == 0,
                 "tgtd answers tgtadm")
        with open(self.log) as f:
            if self.process.poll() is None and "unable to bind" not in f.read():
                return True
        self.kill()
        return False

    def _admin(self, *words):
        done = subprocess.run([self.admin, "-C", "1", "--lld", "iscsi", *map(str, words)], env=self.environ,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
        return done.returncode, done.stdout + done.stderr

    def admin_do(self, *words):
        status, text = self._admin(*words)
        assert status == 0, f"tgtadm {words}: {text}"
        return text

    def add_target(self, name, **parameters):
        """Returns its name. @parameters: as tgtadm calls them, e.g. MaxBurstLength=8192."""
        self.count += 1
        iqn = self.base + name
        self.admin_do("--op", "new", "--mode", "target", "--tid", self.count, "-T", iqn)
        self.set(self.count, **parameters)
        self.admin_do("--op", "bind", "--mode", "target", "--tid", self.count, "-I", "ALL")
        return iqn

    def set(self, tid, **parameters):
        for key, value in parameters.items():
            self.admin_do("--op", "update", "--mode", "target", "--tid", tid, "--name", key, "--value", value)

    def add_lun(self, number, backing, tid=None, block_bytes=512, store="rdwr", **parameters):
        """@parameters: as tgtadm --params calls them, e.g. readonly=1, vendor_id="ACME"."""
        tid = tid or self.count
        self.admin_do("--op", "new", "--mode", "logicalunit", "--tid", tid, "--lun", number, "-b", backing,
                      "--bstype", store, "--blocksize", block_bytes)
        if parameters:
            self.admin_do("--op", "update", "--mode", "logicalunit", "--tid", tid, "--lun", number, "--params",
                          ",".join(f"{k}={v}" for k, v in parameters.items()))

    def add_account(self, user, secret, outgoing=False, tid=None):
        if not re.search(rf"^\s*{user}$", self._admin("--op", "show", "--mode", "account")[1], re.M):
            self.admin_do("--op", "new", "--mode", "account", "--user", user, "--password", secret)
        self.admin_do("--op", "bind", "--mode", "account", "--tid", tid or self.count, "--user", user,
                      *(["--outgoing"] if outgoing else []))

    def sessions(self, tid=1):
        """Names of the initiators that are logged in, one a session."""
        text = self.admin_do("--op", "show", "--mode", "conn", "--tid", tid)
        return re.findall(r"Initiator: (\S+)", text)

    def one_disk(self, size=16 << 20, number=1, **parameters):
        """The usual: one target with one LUN. Returns (target name, LUN number, backing file)."""
        iqn = self.add_target(f"disk{self.count + 1}")
        backing = self.t.file(f"tgtd-{self.port}-{self.count}-{number}", size)
        self.add_lun(number, backing, **parameters)
        return iqn, number, backing

    def chap_disk(self, mutual=False):
        iqn, number, backing = self.one_disk()
        self.add_account(USER, SECRET)
        if mutual:
            self.add_account(USER_IN, SECRET_IN, outgoing=True)
        return iqn, number, backing


def restart_tgtd(t, old, disks, name="tgtd-again"):
    """Another tgtd in the place of @old with the same disks: [(end of the target's name, LUN number, backing file)]."""
    again = Tgtd(t, ports=old.ports, name=name)
    for tid, (target, number, backing) in enumerate(disks, 1):
        # Its units are there before anybody may log in.
        again.admin_do("--op", "new", "--mode", "target", "--tid", tid, "-T", again.base + target)
        again.count = tid
        again.add_lun(number, backing)
        again.admin_do("--op", "bind", "--mode", "target", "--tid", tid, "-I", "ALL")
    return again


class Istgt(Target):
    """istgt. It reads its configuration once: all targets are there from the start, made by @targets, dicts with
    name, luns (backing files) and optionally auth ("None", "CHAP", "CHAP Mutual") and lines (more configuration)."""
    base = "iqn.2026-11.test.istgt:"

    def __init__(self, t, targets=None, hosts=("127.0.0.1",), name="istgt", **settings):
        self.daemon = need_program("istgt")
        self.t, self.hosts = t, hosts
        self.dir = t.path(name)
        os.mkdir(self.dir)
        self.log = t.path(f"{name}.log")
        self.settings = {
            "Timeout": 30, "NopInInterval": 20, "MaxSessions": 32, "MaxConnections": 4, "MaxR2T": 32,
            "MaxOutstandingR2T": 16, "DefaultTime2Wait": 2, "DefaultTime2Retain": 20, "FirstBurstLength": 65536,
            "MaxBurstLength": 262144, "MaxRecvDataSegmentLength": 262144, "InitialR2T": "Yes",
            "ImmediateData": "Yes", "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes",
            "ErrorRecoveryLevel": 0, "DiscoveryAuthMethod": "None", **settings}
        self.size = 16 << 20
        self.targets = targets if targets is not None else [
            self.target("disk"), self.target("chap", "CHAP"), self.target("mutual", "CHAP Mutual"),
            self.target("big", lines=["BlockLength 4096"]), self.target("fixed", lines=["ReadOnly Yes"])]
        for _ in range(5):
            self.ports = [free_port(hosts)]
            if self._start():
                break
        else:
            raise AssertionError(f"istgt does not start: {open(self.log).read()}")
        self.port = self.ports[0]
        self.portal = portal(hosts[0], self.port)

    def target(self, name, auth="None", lines=(), luns=1):
        return {"name": name, "auth": auth, "lines": lines,
                "luns": [self.t.file(f"istgt-{name}-{n}", self.size) for n in range(luns)]}

    def _config(self, port, control):
        secrets = os.path.join(self.dir, "auth.conf")
        with open(secrets, "w") as f:
            os.fchmod(f.fileno(), 0o600)
            f.write(f'[AuthGroup1]\n  Auth "{USER}" "{SECRET}" "{USER_IN}" "{SECRET_IN}"\n'
                    '[AuthGroup2]\n  Auth "control" "controlsecret1" "lortnoc" "1terceslortnoc"\n')
        masks = {"127.0.0.0/8"} | {"[::1]/128" for h in self.hosts if ":" in h}
        lines = ["[Global]", f'  NodeBase "{self.base[:-1]}"', f"  PidFile {self.dir}/pid", f"  AuthFile {secrets}",
                 f"  MediaDirectory {self.dir}", "  LogFacility local7"]
        lines += [f"  {k} {v}" for k, v in self.settings.items()]
        lines += ["[UnitControl]", "  AuthMethod CHAP Mutual", "  AuthGroup AuthGroup2",
                  f"  Portal UC1 127.0.0.1:{control}", "  Netmask 127.0.0.1"]
        lines += ["[PortalGroup1]"] + [f"  Portal DA{n} {portal(h, port)}" for n, h in enumerate(self.hosts, 1)]
        lines += ["[InitiatorGroup1]", '  InitiatorName "ALL"'] + [f"  Netmask {m}" for m in sorted(masks)]
        for n, x in enumerate(self.targets, 1):
            lines += [f"[LogicalUnit{n}]", f'  TargetName {x["name"]}', "  Mapping PortalGroup1 InitiatorGroup1",
                      f'  AuthMethod {x.get("auth", "None")}', "  AuthGroup AuthGroup1", "  UseDigest Auto",
                      "  UnitType Disk", "  QueueDepth 64"]
            lines += [f"  {line}" for line in x.get("lines", ())]
            lines += [f"  LUN{i} Storage {backing} Auto" for i, backing in enumerate(x["luns"])]
        path = os.path.join(self.dir, "istgt.conf")
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        return path

    def _start(self):
        config = self._config(self.ports[0], free_port())
        self.process = self.t.start([self.daemon, "-D", "-c", config, "-p", os.path.join(self.dir, "pid")], self.log)

        def is_up():
            if self.process.poll() is not None:
                return True
            return all(answers(h, self.ports[0]) for h in self.hosts)
        wait_for(is_up, "istgt listens")
        time.sleep(0.05)
        return self.process.poll() is None

    def find(self, name):
        """(target name, first LUN number, its backing file)"""
        x = next(x for x in self.targets if x["name"] == name)
        return self.base[:-1] + ":" + name, 0, x["luns"][0]

    def one_disk(self):
        return self.find("disk")

    def chap_disk(self, mutual=False):
        return self.find("mutual" if mutual else "chap")


def need_ipv6():
    if not has_ipv6():
        raise Skip("no IPv6 on the loopback interface")
