# SPDX-License-Identifier: BSD-2-Clause
"""Error codes: each is told by the errno of the write, by the line that the descriptor gives, and by the file error with what to do about it."""
import errno
import os
import re
import socket

from mounted import Mounted, caller, read_all, read_text, result
from realtargets import Istgt, Tgtd, free_port
from runner import LIMIT, TOP, refuses, test, wait_for

HERE = "iqn.2026-11.test:somewhere"


def codes():
    """{name: (number, errno, advice)} as iscsi-errors(7) has them."""
    text = read_text(os.path.join(TOP, "man", "iscsi-errors.7")).replace("\\-", "-")
    text = text.replace("\\fB", "`").replace("\\fP", "`")
    found = re.findall(r"\.TP\n\.B (ISDSC_\w+)\n(0x[0-9A-F]{8}), (E\w+)\.\n.*?\nTo do: (.*?)\.\n", text, re.S)
    assert len(found) == 99, len(found)
    return {name: more for name, *more in found}


CODES = codes()


def name_of(number):
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]  # Python says ENOTSUP


def told(fs, code, number, where, command, there=None):
    """@command is refused with @code and errno @number, and told in all three ways; what the line says."""
    e = refuses(number, fs.ctl, where, command)
    line = e.reply.splitlines()[-1]
    assert re.match(rf"error code={code} number={CODES[code][0]} errno={name_of(number)} where=\S+ text=\".+\"$", line), line
    there = where if there is None else there
    entry = fs.read(there, "error").split("\n\n")[0]
    assert code in entry and CODES[code][2] in entry, (line, entry)
    return line


def add(fs, iqn=HERE, port=1):
    fs.ctl("discovery", f"add-target {iqn} portal=127.0.0.1:{port}")
    return f"targets/{iqn}"


def silent_port(t):
    """Connections are taken there, and nobody says a word."""
    s = socket.socket()
    s.bind(("127.0.0.1", 0))
    s.listen(64)
    t.defer(s.close)
    return s.getsockname()[1]


def logged_in(t, keys="", **parameters):
    target = Tgtd(t)
    iqn, number, backing = target.one_disk(**parameters)
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn, keys)
    return target, fs, iqn, number, sid


@test
def discovery_refuses(t):
    fs = Mounted(t)
    add(fs)
    told(fs, "ISDSC_TARGET_ALREADY_EXISTS", errno.EEXIST, "discovery", f"add-target {HERE} portal=127.0.0.1:1")
    told(fs, "ISDSC_TARGET_NOT_FOUND", errno.ENOENT, "discovery", "remove-target iqn.2026-11.test:nowhere")
    told(fs, "ISDSC_PORTAL_NOT_FOUND", errno.ENOENT, "discovery", "remove-portal 127.0.0.1:1")
    told(fs, "ISDSC_INVALID_ISCSI_NAME", errno.EINVAL, "discovery", "add-target nonsense portal=127.0.0.1:1")
    told(fs, "ISDSC_INVALID_PARAMETER", errno.EINVAL, "discovery", "add-portal 127.0.0.1:99999")
    told(fs, "ISDSC_DNS_NAME_UNRESOLVED", errno.ENOENT, "discovery", "add-portal name.invalid")
    target = Tgtd(t)
    target.one_disk()
    fs.discover(target.portal)
    told(fs, "ISDSC_TARGET_PORTAL_ALREADY_EXISTS", errno.EEXIST, "discovery", f"add-portal {target.portal}")


@test
def nobody_listens(t):
    fs = Mounted(t)
    where = add(fs, port=free_port())
    told(fs, "ISDSC_CONNECTION_FAILED", errno.ECONNREFUSED, where, "login")


@test
def refresh_of_two(t):
    fs = Mounted(t)
    target = Tgtd(t)
    target.one_disk()
    fs.discover(target.portal)
    other = Tgtd(t, name="other")
    other.one_disk()
    fs.discover(other.portal)
    other.kill()
    told(fs, "ISDSC_OPERATION_NOT_ALL_SUCCESS", errno.ECONNREFUSED, "discovery", "refresh")
    events = [line for line in fs.read("events").splitlines() if "sendtargets-discovery-failed" in line]
    assert len(events) == 1 and other.portal in events[0], events


@test
def a_login_that_nobody_answers(t):
    fs = Mounted(t)
    where = add(fs, port=silent_port(t))
    told(fs, "ISDSC_LOGIN_FAILED", errno.ETIMEDOUT, where, "login login_timeout=0.2")
    told(fs, "ISDSC_SERVICE_DID_NOT_RESPOND", errno.ETIMEDOUT, where, f"login timeout=0.2 login_timeout={30 * LIMIT:.0f}")
    p = caller(t, "write", fs.path(where, "ctl"), f"login timeout={30 * LIMIT:.0f} login_timeout={30 * LIMIT:.0f}")
    wait_for(lambda: fs.read(where, "state") == "logging-in", "the login is under way")
    told(fs, "ISDSC_SESSION_BUSY", errno.EBUSY, where, "login")
    told(fs, "ISDSC_SESSION_BUSY", errno.EBUSY, where, "logout")
    p.kill()
    p.wait()


@test
def sessions_and_connections(t):
    target, fs, iqn, number, sid = logged_in(t)
    where = f"targets/{iqn}"
    session = f"{where}/sessions/{sid}"
    cid = fs.ls(session, "connections")[0]
    told(fs, "ISDSC_TARGET_ALREADY_LOGGED_IN", errno.EEXIST, where, f"login portal={target.portal}")
    told(fs, "ISDSC_CANT_REMOVE_LAST_CONNECTION", errno.EBUSY, session, f"remove-connection {cid}")
    told(fs, "ISDSC_CANT_REMOVE_LAST_CONNECTION", errno.EBUSY, f"{session}/connections/{cid}", "remove")
    told(fs, "ISDSC_INVALID_CONNECTION_ID", errno.ENOENT, session, "remove-connection 99")
    told(fs, "ISDSC_TOO_MANY_CONNECTIONS", errno.EUSERS, session, "add-connection")
    fs.logout(iqn)
    told(fs, "ISDSC_INVALID_SESSION_ID", errno.ENOENT, where, "logout")


@test
def no_portal_is_left(t):
    """One more session, and discovery has forgotten the target's portals."""
    target, fs, iqn, _, _ = logged_in(t, "multipath=yes")
    fs.ctl("discovery", f"remove-portal {target.portal}")
    told(fs, "ISDSC_NO_PORTAL_SPECIFIED", errno.EHOSTUNREACH, f"targets/{iqn}", "login multipath=yes")


@test
def unit_refuses(t):
    _, fs, iqn, number, _ = logged_in(t)
    told(fs, "ISDSC_SCSI_REQUEST_FAILED", errno.EINVAL, f"targets/{iqn}/lun{number}", "inquiry page=0xc7")


@test
def unit_in_use(t):
    _, fs, iqn, number, sid = logged_in(t)
    where = f"targets/{iqn}"
    with open(fs.disk(iqn, number), "rb"):
        line = told(fs, "ISDSC_DEVICE_BUSY_ON_SESSION", errno.EBUSY, where, "logout")
        assert str(os.getpid()) in line, line
        told(fs, "ISDSC_DEVICE_BUSY_ON_SESSION", errno.EBUSY, f"{where}/sessions/{sid}", "logout")


@test
def mappings(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t)
    fs.discover(target.portal)
    where = f"targets/{iqn}"
    told(fs, "ISDSC_INVALID_TARGET_MAPPING", errno.EINVAL, where, "login mapping=1:2,1:3")
    told(fs, "ISDSC_TARGET_MAPPING_OUT_OF_RANGE", errno.EINVAL, where, "login mapping=1:99999999")
    fs.login(iqn, f"mapping=1:7 multipath=yes portal={target.portal}")
    told(fs, "ISDSC_TARGET_MAPPING_UNAVAILABLE", errno.EBUSY, where, f"login mapping=1:8 multipath=yes portal={target.portal}")


@test
def two_units_under_one_number(t):
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    target.add_lun(2, t.file("two", 1 << 20))
    fs = Mounted(t)
    fs.log_in(target.portal, iqn, "mapping=1:2")
    entry = fs.read("targets", iqn, "error")
    assert "ISDSC_TARGET_MAPPING_EXISTS" in entry and CODES["ISDSC_TARGET_MAPPING_EXISTS"][2] in entry, entry


@test
def login_keys(t):
    fs = Mounted(t)
    where = add(fs)
    told(fs, "ISDSC_SHORT_CHAP_SECRET", errno.EINVAL, where, "login auth=chap secret=short")
    assert " initiator-secret-short " in fs.read("events") and "=short" not in fs.read("events")
    told(fs, "ISDSC_INVALID_CHAP_SECRET", errno.EINVAL, where, "login auth=chap secret=0xnothexatall")
    told(fs, "ISDSC_INVALID_CHAP_USER_NAME", errno.EINVAL, where, f"login auth=chap secret=twelve-bytes-and user={'x' * 224}")
    told(fs, "ISDSC_INVALID_LOGON_AUTH_TYPE", errno.EINVAL, where, "login auth=kerberos")
    told(fs, "ISDSC_LOGIN_USER_INFO_BAD", errno.EINVAL, where, "login portal=a:b:c:")
    told(fs, "ISDSC_LOGIN_USER_INFO_BAD", errno.EINVAL, where, "login auth=none user=me")
    told(fs, "ISDSC_MISSING_PARAMETER", errno.EINVAL, where, "login auth=chap")
    told(fs, "ISDSC_INVALID_INITIATOR_CHAP_SECRET", errno.EINVAL, where,
         "login auth=mutual secret=one-for-both-sides secret_in=one-for-both-sides")
    line = told(fs, "ISDSC_INVALID_CHAP_SECRET", errno.EINVAL, where, "login auth=chap secret=0xnothexatall")
    assert "nothex" not in line and "nothex" not in fs.read(where, "error")


@test
def not_supported(t):
    fs = Mounted(t)
    where = add(fs)
    told(fs, "ISDSC_REQUEST_NOT_SUPPORTED", errno.EOPNOTSUPP, where, "login security_flags=2")
    told(fs, "ISDSC_IPSEC_NOT_SUPPORTED_ON_OS", errno.EOPNOTSUPP, where, "login ipsec_required=yes")


@test(on=(Tgtd, Istgt))
def target_wants_chap(t, kind):
    """A real target, once without and once with a wrong secret."""
    target = kind(t)
    iqn = target.chap_disk()[0]
    fs = Mounted(t)
    where = add(fs, iqn, target.ports[0])
    # istgt begins CHAP unasked, tgtd sends status 0201.
    told(fs, "ISDSC_LOGON_FAILED" if kind is Istgt else "ISDSC_AUTHENTICATION_FAILURE", errno.EACCES, where, "login")
    assert (" chap-required " in fs.read("events")) == (kind is Istgt)
    told(fs, "ISDSC_AUTHENTICATION_FAILURE", errno.EACCES, where, "login auth=chap user=nobody secret=twelve-bytes-and")


@test
def target_does_not_let_us_in(t):
    """tgtd with another address in its access list: it does as if the target were not there. LIO: interop_refusals."""
    target = Tgtd(t)
    iqn = target.one_disk()[0]
    target.admin_do("--op", "unbind", "--mode", "target", "--tid", 1, "-I", "ALL")
    target.admin_do("--op", "bind", "--mode", "target", "--tid", 1, "-I", "192.0.2.1")
    fs = Mounted(t)
    where = add(fs, iqn, target.ports[0])
    told(fs, "ISDSC_NOT_FOUND", errno.ENOENT, where, "login")


@test(on=(Tgtd, Istgt))
def target_does_not_know_the_name(t, kind):
    target = kind(t)
    target.one_disk()
    fs = Mounted(t)
    where = add(fs, port=target.ports[0])
    told(fs, "ISDSC_NOT_FOUND", errno.ENOENT, where, "login")


@test
def policies(t):
    _, fs, iqn, number, sid = logged_in(t)
    lun = f"targets/{iqn}/lun{number}"
    for where in (lun, f"targets/{iqn}/sessions/{sid}"):
        told(fs, "ISDSC_INVALID_LOAD_BALANCE_POLICY", errno.EINVAL, where, "policy fastest")
    told(fs, "ISDSC_INVALID_PATH_ID", errno.ENOENT, lun, "path 99 role=standby")


@test
def all_paths_at_once(t):
    """policy with paths=: all change together, or none."""
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    target.set(1, MaxConnections=2)
    fs = Mounted(t)
    sids = [fs.log_in(target.portal, iqn, f"multipath=yes portal={target.portal}")]
    sids.append(fs.login(iqn, f"multipath=yes portal={target.portal}"))
    lun = f"targets/{iqn}/lun{number}"
    a, b = sids
    session = f"targets/{iqn}/sessions/{a}"
    fs.ctl(session, f"add-connection portal={target.portal}")
    for where, place, (x, y) in ((lun, f"{lun}/paths", sids), (session, f"{session}/connections", fs.ls(session, "connections"))):
        before = fs.read(where, "policy")
        for code, number, paths in (
                ("ISDSC_DUPLICATE_PATH_SPECIFIED", errno.EINVAL, f"{x},{y},{x}"),
                ("ISDSC_PATH_COUNT_MISMATCH", errno.EINVAL, f"{x}"),
                ("ISDSC_INVALID_PATH_ID", errno.ENOENT, f"{x},99/standby"),
                ("ISDSC_MULTIPLE_PRIMARY_PATHS_SPECIFIED", errno.EINVAL, f"{x},{y}/active"),
                ("ISDSC_NO_PRIMARY_PATH_SPECIFIED", errno.EINVAL, f"{x}/standby,{y}/standby"),
                ("ISDSC_INVALID_PARAMETER", errno.EINVAL, f"{x},{y}/idle")):
            told(fs, code, number, where, f"policy failover paths={paths}")
            assert fs.read(where, "policy") == before
            assert fs.read(place, x, "role") == fs.read(place, y, "role") == "active"
        fs.ctl(where, f"policy failover paths={x}/standby/7,{y}")
        assert fs.read(where, "policy") == "failover"
        assert fs.read(place, x, "role") == "standby" and fs.read(place, x, "weight") == "7"
        assert fs.read(place, y, "role") == "active" and fs.read(place, y, "weight") == "1"


@test
def a_further_session_by_the_same_portal(t):
    target, fs, iqn, _, _ = logged_in(t, "multipath=yes")
    told(fs, "ISDSC_SESSION_ALREADY_EXISTS", errno.EEXIST, f"targets/{iqn}", "login multipath=yes")


@test
def no_more_sessions_than_configured(t):
    target = Tgtd(t)
    iqn, _, _ = target.one_disk()
    fs = Mounted(t, config="max_sessions = 1;\n")
    fs.log_in(target.portal, iqn, "multipath=yes")
    told(fs, "ISDSC_TOO_MANY_SESSIONS", errno.EUSERS, f"targets/{iqn}", f"login multipath=yes portal={target.portal}")
    fs.logout(iqn)
    fs.login(iqn)


@test
def address_of_another_family(t):
    fs = Mounted(t)
    where = add(fs)
    told(fs, "ISDSC_ADDRESS_TYPE_NOT_SUPPORTED", errno.EOPNOTSUPP, where, "login source=::1")


@test
def while_it_ends(t):
    """A login that is under way when the daemon is told to end."""
    fs = Mounted(t)
    where = add(fs, port=silent_port(t))
    p = caller(t, "write", fs.path(where, "ctl"), f"login timeout={30 * LIMIT:.0f} login_timeout={30 * LIMIT:.0f}")
    wait_for(lambda: fs.read(where, "state") == "logging-in", "the login is under way")
    fs.process.terminate()
    how = result(p)
    assert how == "EBUSY", how  # ISDSC_SERVICE_NOT_RUNNING: the tree is gone before one could read it
    fs.wait()
