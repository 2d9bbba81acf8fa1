# SPDX-License-Identifier: BSD-2-Clause
"""What a target can do, by the word of libiscsi's conformance tests (iscsi-test-cu), which know nothing of us: what it can
must work through the tree, and what it cannot must be refused as not supported."""
import errno
import os
import re

from interop_thin import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate
from lio import MIB, Lio
from mounted import Mounted
from patterns import File, pattern
from realtargets import Tgtd
from runner import Case, need_program, test

SIZE = 16 * MIB
CASES = [Case("tgtd-thin", kind=Tgtd, parameters={"thin_provisioning": 1}), Case("tgtd-thick", kind=Tgtd, parameters={}),
         Case("lio", kind=Lio, parameters={"unmap_zeroes_data": 1}), Case("lio-thick", kind=Lio, parameters={"emulate_tpu": 0, "emulate_tpws": 0})]


def says(t, portal, iqn, number, name):
    """True: it passes test @name. False: it says that there is no such thing. A failure is none of ours to judge: None."""
    done = t.sh(f"timeout 60 iscsi-test-cu -d -t SCSI.{name} iscsi://{portal}/{iqn}/{number}", ok=False)
    # What it asks for at the start, of every target, is another matter.
    if re.search(r"\[SKIPPED\] (?!REPORT_SUPPORTED_OPCODES)", done.stdout):
        return False
    return True if re.search(r"tests +1 +1 +1 +0", done.stdout) and done.returncode == 0 else None


def works(function, *words):
    try:
        function(*words)
    except OSError as e:
        assert e.errno == errno.EOPNOTSUPP, f"{function.__name__}: {e} {getattr(e, 'reply', '')}"
        return False
    return True


@test(on=CASES, limit=600)
def iscsifs_can_what_the_target_can(t, x):
    need_program("iscsi-test-cu")
    if x.kind is Tgtd:
        target = Tgtd(t)
        iqn, number, _ = target.one_disk(size=SIZE, **x.parameters)
    else:
        target = Lio(t)
        iqn, number = target.add_target("disk", {0: target.add_disk("disk", SIZE, **x.parameters)}), 0
    told = {name: says(t, target.portal, iqn, number, name) for name in
            ("Unmap.Simple", "WriteSame16.Simple", "GetLBAStatus.Simple", "ExtendedCopy.Simple", "ProutRegister.Simple")}
    fs = Mounted(t)
    fs.log_in(target.portal, iqn)

    def copied(f):
        os.copy_file_range(f.fd, f.fd, MIB, 0, 8 * MIB)
        stats = fs.read("targets", iqn, f"lun{number}", "stats")
        return int(re.search(r"^copies (\d+)", stats, re.M)[1]) > 0

    def hole_is_seen(path):
        with File(path) as f:
            f.write(pattern(SIZE, 1), 0)
            f.sync()
            if not works(fallocate, f.fd, PUNCH_HOLE | KEEP_SIZE, 4 * MIB, MIB):
                return False
        with File(path, os.O_RDONLY) as f:
            return os.lseek(f.fd, 0, os.SEEK_HOLE) == 4 * MIB
    hole = hole_is_seen(fs.disk(iqn, number))
    with File(fs.disk(iqn, number)) as f:
        got = {"Unmap.Simple": works(fallocate, f.fd, PUNCH_HOLE | KEEP_SIZE, 0, MIB),
               "WriteSame16.Simple": works(fallocate, f.fd, ZERO_RANGE | KEEP_SIZE, MIB, MIB),
               "GetLBAStatus.Simple": hole, "ExtendedCopy.Simple": copied(f),
               "ProutRegister.Simple": works(fs.read, "targets", iqn, f"lun{number}", "reservations")}
    told["GetLBAStatus.Simple"] &= told["Unmap.Simple"]  # where nothing can be a hole, none is found
    wrong = {name: (told[name], got[name]) for name in told if told[name] is not None and told[name] != got[name]}
    assert not wrong, f"the target's word and what the tree can: {wrong}"
    return ", ".join(f"{name} {'yes' if can else 'no' if can is False else 'FAILS THERE'}" for name, can in told.items())
