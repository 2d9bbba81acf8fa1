# SPDX-License-Identifier: BSD-2-Clause
"""How LIO refuses a login, and that each way has its code."""
import errno

from lio import Lio
from mounted import Mounted
from runner import refuses, test


def refused(fs, iqn, code, number, keys=""):
    e = refuses(number, fs.login, iqn, keys)
    assert f"code={code} " in e.reply, e.reply
    assert code in fs.read("targets", iqn, "error").split("\n\n")[0]


@test
def login_to_lio_is_refused(t):
    target = Lio(t)
    iqn = target.one_disk()[0]
    fs = Mounted(t)
    fs.discover(target.portal)
    target.set(iqn, generate_node_acls=0)
    refused(fs, iqn, "ISDSC_AUTHORIZATION_FAILURE", errno.EACCES)
    target.set(iqn, generate_node_acls=1)
    fs.ctl("discovery", f"add-target iqn.2026-11.test:nowhere portal={target.portal}")
    refused(fs, "iqn.2026-11.test:nowhere", "ISDSC_SERVICE_UNAVAILABLE", errno.EBUSY)
    target.enable(iqn, False)
    refused(fs, iqn, "ISDSC_SERVICE_UNAVAILABLE", errno.EBUSY)
    target.enable(iqn)
    fs.login(iqn)
