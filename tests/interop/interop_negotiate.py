# SPDX-License-Identifier: BSD-2-Clause
"""Negotiation in full feature phase: what each target makes of it, and that I/O goes on."""
import errno

from lio import Lio
from mounted import Mounted
from patterns import File, pattern, same
from realtargets import Istgt, Tgtd
from runner import refuses, test, wait_for

KEY = "MaxRecvDataSegmentLength"
SIZE = 1 << 20


def begin(t, kind):
    target = kind(t)
    iqn, number = target.one_disk()[:2]
    fs = Mounted(t)
    sid = fs.log_in(target.portal, iqn, "max_recv_data_segment_length=65536")
    data = pattern(SIZE, 7)
    with File(fs.disk(iqn, number), direct=True) as f:
        f.write(data, 0)
    return fs, iqn, number, f"targets/{iqn}/sessions/{sid}", data


def reads(fs, iqn, number, data):
    with File(fs.disk(iqn, number), direct=True) as f:
        same(f.read(SIZE, 0), data, "what was written")


def negotiated(fs, session):
    cid, = fs.ls(session, "connections")
    lines = fs.read(session, "connections", cid, "params").splitlines()
    return {x.split()[0]: x.split()[-1] for x in lines}[KEY]


@test
def renegotiation_with_istgt(t):
    fs, iqn, number, session, data = begin(t, Istgt)
    before = fs.ls(session, "connections")
    for size in (8192, 262144, 512):
        assert fs.ctl(session, f"set max_recv_data_segment_length={size}").startswith("ok")
        assert negotiated(fs, session) == str(size)
        reads(fs, iqn, number, data)
    assert fs.ls(session, "connections") == before
    assert len([x for x in fs.read("events").splitlines() if " renegotiated " in x]) == 3


@test(on=(Tgtd, Lio))
def target_that_negotiates_only_in_a_login(t, kind):
    """It closes the connection; that comes back with what the login had, and data move."""
    fs, iqn, number, session, data = begin(t, kind)
    e = refuses(errno.EIO, fs.ctl, session, "set max_recv_data_segment_length=8192")
    assert "ISDSC_CONNECTION_FAILED" in e.reply or "ISDSC_TRANSPORT_ERROR" in e.reply, e.reply
    assert "log out, and in with the key" in e.reply, e.reply
    wait_for(lambda: fs.read(session, "state") == "logged-in", "the session is back")
    assert negotiated(fs, session) == "65536"
    reads(fs, iqn, number, data)
    fs.logout(iqn)
    sid = fs.login(iqn, "max_recv_data_segment_length=8192")
    assert negotiated(fs, f"targets/{iqn}/sessions/{sid}") == "8192"
    reads(fs, iqn, number, data)
