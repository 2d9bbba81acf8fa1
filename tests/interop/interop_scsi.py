# SPDX-License-Identifier: BSD-2-Clause
"""SCSI from the shell: what units tell, decoded, against the bytes and another decoder of them (sg3-utils); and
commands as they are written, with the file `scsi`."""
import errno
import json
import os
import pwd
import random
import re
import stat

from lio import Lio
from mounted import Mounted, read_all
from patterns import File, backing_read, pattern, same
from realtargets import Istgt, Tgtd
from runner import Skip, need_program, need_root, refuses, test, wait_for

TUR, INQUIRY = "00 00 00 00 00 00", "12 00 00 00 24 00 in=36"
KINDS = (Tgtd, Istgt, Lio)
UNIT_ATTENTION, ILLEGAL = "0x06", "0x05"


HEXADECIMAL = ("page", "pages", "versions")


def fields(line):
    """The key=value of a reply."""
    return {key: value or quoted for key, quoted, value in re.findall(r'(\S+?)=(?:"([^"]*)"|(\S*))', line)}


class Unit:
    """A LUN that is logged in to; @backing(offset, size) reads what the target has."""

    def __init__(self, t, kind):
        if kind is Lio:
            target = Lio(t)
            iqn, number, disk = target.one_disk()
            self.backing = lambda offset, size: backing_read(target.fetch(disk), offset, size)
        else:
            target = kind(t)
            iqn, number, path = target.one_disk()
            self.backing = lambda offset, size: backing_read(path, offset, size)
        self.t, self.kind, self.iqn, self.number = t, kind, iqn, number
        self.fs = Mounted(t)
        self.fs.log_in(target.portal, iqn)
        self.dir = self.fs.target(iqn, f"lun{number}")
        self.disk = self.fs.disk(iqn, number)

    def scsi(self, text, where=None):
        """The answers to lines of @text, a dict each. A refusal is an OSError with .reply."""
        fd = os.open(self.fs.path(where or self.dir, "scsi"), os.O_RDWR)
        try:
            os.write(fd, text.encode() + b"\n")
            return [fields(line) for line in read_all(fd).splitlines()]
        except OSError as e:
            e.reply = read_all(fd)
            e.add_note(f"{text[:80]}: {e.reply}")
            raise
        finally:
            os.close(fd)

    def one(self, line, where=None):
        answers = self.scsi(line, where)
        assert len(answers) == 1, answers
        return answers[0]

    def good(self, line):
        """Its answer; a unit attention on the way is told, and does not count."""
        for _ in range(8):
            answer = self.one(line)
            if answer.get("key") != UNIT_ATTENTION:
                break
        assert answer["status"] == "0x00", f"{line[:80]}: {answer}"
        return answer

    def ask(self, line):
        """The reply of a verb as JSON, which must say the same as the words, and its bytes."""
        told = json.loads(self.fs.ctl(self.dir, f"{line} json=yes"))
        words = self.fs.ctl(self.dir, line)
        assert words.startswith("ok "), words
        text = fields(words)
        for key, value in flat(told):
            said = text.pop(key)
            if key in HEXADECIMAL:
                said = ",".join(str(int(x, 16)) for x in said.split(",") if x)
            assert said == value, f"{line}: {key} is {said}, in JSON {value}"
        assert not text, f"{line}: not in the JSON: {text}"
        return told, bytes.fromhex(told["data"][2:])


def word(value):
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def flat(told):
    """The JSON of a reply as words: key and value of each."""
    for key, value in told.items():
        if not isinstance(value, list):
            yield key, word(value)
        elif value and isinstance(value[0], dict):
            for n, record in enumerate(value, 1):
                yield from ((f"{key}.{n}.{name}", word(x)) for name, x in record.items())
            yield key, str(len(value))
        else:
            yield key, ",".join(map(word, value))


# ---- what units tell ----

# Our name: how sg_inq and sg_vpd write the same field.
STANDARD = {"removable": "RMB", "lu_cong": "LU_CONG", "normaca": "NormACA", "hisup": "HiSUP", "sccs": "SCCS", "acc": "ACC",
            "response_format": "Resp_data_format", "third_party_copy": "3PC", "protect": "Protect", "encserv": "EncServ",
            "multip": "MultiP", "cmdque": "CmdQue", "qualifier": "PQual"}
EXTENDED = {x: x.upper() for x in ("activate_microcode", "spt", "grd_chk", "app_chk", "ref_chk", "uask_sup", "group_sup",
                                   "prior_sup", "headsup", "ordsup", "simpsup", "wu_sup", "crd_sup", "nv_sup", "v_sup",
                                   "p_i_i_sup", "luiclr", "r_sup", "cbcs", "poa_sup", "hra_sup", "vsa_sup")}
EXTENDED.update(multi_nexus_microcode="Multi I_T nexus microcode download",
                self_test_minutes="Extended self-test completion minutes",
                max_sense_bytes="Maximum supported sense data length")
LIMITS = {"wsnz": "(WSNZ)", "max_compare_and_write": "Maximum compare and write length",
          "optimal_granularity": "Optimal transfer length granularity", "max_transfer": "Maximum transfer length",
          "optimal_transfer": "Optimal transfer length", "max_prefetch": "Maximum prefetch transfer length",
          "max_unmap": "Maximum unmap LBA count", "max_unmap_descriptors": "Maximum unmap block descriptor count",
          "unmap_granularity": "Optimal unmap granularity", "ugavalid": "Unmap granularity alignment valid",
          "unmap_alignment": "Unmap granularity alignment", "max_write_same": "Maximum write same length"}
CHARACTERISTICS = {x: x.upper() for x in ("wabereq", "wacereq", "zoned", "fuab", "vbuls")}
PROVISIONING = {x: f"({x.upper()})" for x in ("lbpu", "lbpws", "lbpws10", "lbprz", "anc_sup", "dp")}
PROVISIONING.update(threshold_exponent="Threshold exponent", provisioning_type="Provisioning type")
FIELDS = {None: STANDARD, 0x86: EXTENDED, 0xb0: LIMITS, 0xb1: CHARACTERISTICS, 0xb2: PROVISIONING}
WORDS = {"true": 1, "false": 0, "full": 0, "resource": 1, "thin": 2}


def number(value):
    """A field as a number: what has no limit is -1 to them, and all ones to us."""
    if isinstance(value, str):
        value = WORDS[value] if value in WORDS else int(value, 0)
    return int(value) & 0xffffffff


def decoded(t, data, page):
    """What sg3-utils make of the bytes."""
    with open(t.path("page"), "w") as f:
        f.write(data.hex(" ") + "\n")
    return t.sh("sg_inq --inhex=page -d" if page is None else "sg_vpd --inhex=page").stdout


def check_fields(told, other, fields):
    for ours, theirs in fields.items():
        found = re.search(rf"(?<!\w){re.escape(theirs)}\s*[=:]\s*(-?\w+)", other)
        assert found, f"{theirs} is not in:\n{other}"
        assert ours in told, f"{ours} is not told: {told}"
        assert number(told[ours]) == number(found.group(1)), f"{ours} is {told[ours]}, {found.group(0)}"


def check_standard(told, other):
    for key in ("vendor", "product", "revision"):
        assert re.search(rf"(?i){key}[^:\n]*: *{re.escape(told[key])} *\n", other), f"{key}: {told[key]}\n{other}"
    assert f"[{told['version_name']}]" in other and f"TPGS={TPGS[told['tpgs']]}" in other, other
    standards = re.findall(r"^    (\S+) \(no version claimed\)", other, re.M)
    assert standards, other
    assert [x for x, code in zip(told["version_names"], told["versions"]) if not code % 32] == standards, told


def check_designators(told, other):
    assert len(told["designators"]) == other.count("designator type:"), other
    for x in told["designators"]:
        value = f"0x{x['value']:x}" if isinstance(x["value"], int) else x["value"]
        if x["type"] == "t10":
            value = value[8:].strip()
        elif x["type"] == "logical unit group":
            continue  # not for a target port, says sg_vpd, where istgt has one
        assert value in other, f"{x}:\n{other}"


def check_characteristics(told, other):
    assert f"form factor: {told['form_factor']}" in other or f"form factor {told['form_factor']}" in other, other
    rate = {0: "rate is not reported", 1: "Non-rotating"}.get(told["rotation_rate"], f"{told['rotation_rate']} rpm")
    assert rate in other, other


def check_serial(told, other):
    assert other.rstrip().endswith(told["serial"]), other


TPGS = {"none": 0, "implicit": 1, "explicit": 2, "both": 3}
MORE = {None: check_standard, 0x80: check_serial, 0x83: check_designators, 0xb1: check_characteristics}


@test(on=KINDS, limit=180)
def pages_say_what_another_decoder_says(t, kind):
    """Every page that the unit has: JSON, words, the bytes of `scsi`, and what sg3-utils read from those."""
    need_program("sg_inq", "sg_vpd")
    unit = Unit(t, kind)
    pages = unit.ask("inquiry 0")[0]["pages"]
    assert {0x00, 0x80, 0x83, 0xb0} <= set(pages), pages
    for page in [None, *pages]:
        told, data = unit.ask("inquiry" if page is None else f"inquiry 0x{page:02x}")
        size, cdb = (252, "12 00 00 00 fc 00") if page is None else (4096, f"12 01 {page:02x} 10 00 00")
        raw = unit.good(f"{cdb} in={size}")
        assert bytes.fromhex(raw["data"][2:]) == data, f"page {page}"
        assert told["length"] == told["bytes"] == len(data), told
        other = decoded(t, data, page)
        check_fields(told, other, FIELDS.get(page, {}))
        if page in MORE:
            MORE[page](told, other)
    assert unit.fs.ctl(unit.dir, "inquiry page=0x83") == unit.fs.ctl(unit.dir, "inquiry 0x83")
    refuses(errno.EINVAL, unit.fs.ctl, unit.dir, "inquiry 0x83 page=0x83")
    refuses(errno.EINVAL, unit.fs.ctl, unit.dir, "inquiry 0x100")


@test(on=KINDS, limit=180)
def capacity_and_lun_list(t, kind):
    unit = Unit(t, kind)
    told, data = unit.ask("read-capacity")
    last, block, flags = int.from_bytes(data[:8], "big"), int.from_bytes(data[8:12], "big"), data[14]
    assert (told["last_lba"], told["blocks"], told["block_size"]) == (last, last + 1, block), told
    assert told["size"] == (last + 1) * block == os.stat(unit.disk).st_size
    assert told["lbppbe"] == data[13] & 15 and told["physical_block_size"] == block << (data[13] & 15)
    assert (told["prot_en"], told["p_type"], told["p_i_exponent"]) == (data[12] & 1 == 1, data[12] >> 1 & 7, data[13] >> 4)
    assert (told["lbpme"], told["lbprz"], told["thin"]) == (flags >= 128, flags & 64 == 64, flags >= 128), told
    assert told["lowest_aligned_lba"] == int.from_bytes(data[14:16], "big") & 0x3fff
    assert bytes.fromhex(unit.good("9e10 0000000000000000 00000020 0000 in=32")["data"][2:]) == data
    told, data = unit.ask("report-luns")
    assert told["count"] == len(told["luns"]) == len(told["methods"]) == (len(data) - 8) // 8
    assert unit.number in told["luns"] and set(told["methods"]) == {"peripheral"}, told


# ---- commands as they are written ----

@test(on=KINDS, limit=180)
def read_and_write(t, kind):
    unit = Unit(t, kind)
    unit.good(TUR)
    assert unit.good(INQUIRY)["data"].startswith("0x00")
    data = pattern(4096, 1)
    with File(unit.disk) as f:
        f.write(data, 8192)
        f.sync()
    answer = unit.good("28 00 00000010 00 0008 00 in=4096")
    same(bytes.fromhex(answer["data"][2:]), data, "READ(10) of what was written to disk")
    assert (answer["bytes"], answer["residual"]) == ("4096", "0"), answer
    other = pattern(1 << 19, 2)
    answer = unit.good("2a 00 00000800 00 0400 00 out=" + other.hex())
    assert answer["bytes"] == str(1 << 19), answer
    unit.good("35 00 00000000 00 0000 00")
    with File(unit.disk, direct=True) as f:
        same(f.read(1 << 19, 1 << 20), other, "disk after WRITE(10)")
        same(f.read(4096, 8192), data, "disk beside it")
    same(unit.backing(1 << 20, 1 << 19), other, "the target's file")
    same(bytes.fromhex(unit.good("28 00 00000800 00 0400 00 in=524288")["data"][2:]), other, "READ(10)")


@test(on=(Tgtd, Lio), limit=180)
def what_is_not_there(t, kind):
    unit = Unit(t, kind)
    unit.good(TUR)
    answer = unit.one("1f 00 00 00 00 00")
    assert [answer[x] for x in ("status", "key", "asc", "ascq")] == ["0x02", ILLEGAL, "0x20", "0x00"], answer
    assert answer["status_name"] == "check condition" and "(05/20/00)" in answer["text"], answer
    assert bytes.fromhex(answer["sense"][2:])[0] & 0x7e in (0x70, 0x72), answer
    answer = unit.one("28 00 ffffff00 00 0001 00 in=512")
    assert [answer[x] for x in ("status", "key", "asc", "bytes", "data")] == ["0x02", ILLEGAL, "0x21", "0", "0x"], answer


@test
def lines_and_errors(t):
    unit = Unit(t, Tgtd)
    unit.good(TUR)
    answers = unit.scsi(f"{INQUIRY}\n# nothing\n\n1f 00 00 00 00 00\n{TUR}")
    assert [x["status"] for x in answers] == ["0x00", "0x02", "0x00"], answers
    e = refuses(errno.EINVAL, unit.scsi, f"{TUR}\n12 00\n{TUR}")
    first, second = e.reply.splitlines()
    assert first.startswith("status=0x00 ") and "6 bytes, 2 were given" in second and "line 2" in unit.fs.read(
        unit.dir, "error"), e.reply
    # by the shell, as the help says
    text = unit.fs.read(unit.dir, "scsi")
    assert "in=BYTES" in text, text
    lines = "\n".join(x.lstrip("#\t ") for x in text.splitlines() if "exec" in x or "echo" in x)
    done = t.sh(f"cd {unit.fs.path(unit.dir)} && {lines}")
    assert done.stdout.count('status=0x00 status_name="good"') == 2, done.stdout
    # a program that writes in pieces, as cat does from a pipe, and dd
    with open(t.path("lines"), "w") as f:
        f.write("28 00 00000000 00 0001 00 in=512\n" * 400)
    t.sh(f"dd if=lines of={unit.fs.path(unit.dir, 'scsi')} bs=4096 status=none")


@test(on=(Tgtd, Lio), limit=240)
def any_line_and_any_bytes(t, kind):
    """Random lines; random CDBs of commands that only read, with any allocation length: the daemon lives, and so does the
    session, or comes back: LIO ends a connection by which data are asked for that a command does not have."""
    unit = Unit(t, kind)
    rng = random.Random(20)
    letters = "0123456789abcdefxX= \t#inouttimeout.-\"\\,\x01\xe4"
    for _ in range(400):
        line = "".join(rng.choice(letters) for _ in range(rng.choice((1, 5, 20, 80))))
        try:
            unit.scsi(line)
        except OSError as e:
            assert e.errno == errno.EINVAL, e
    for _ in range(30):
        line = rng.choice((INQUIRY, "2800000000000000 0100 in=512", "00" * 6, "9e10" + "00" * 14 + " in=32 timeout=9"))
        cut = line[:rng.randrange(len(line))]
        try:
            unit.scsi(cut + rng.choice(("", "\0", " out=", " in=", "\xff", " timeout=-1")))
        except OSError as e:
            assert e.errno == errno.EINVAL, e
    lengths = (6, 10, 10, 0, 16, 12)
    harmless = (0x00, 0x03, 0x12, 0x1a, 0x25, 0x28, 0x4d, 0x5a, 0x5e, 0x88, 0x9e, 0xa0, 0xa3, 0xa8)
    lost = 0
    for n in range(300 if kind is Tgtd else 60):
        opcode = rng.choice(harmless)
        cdb = bytearray(rng.randbytes(lengths[opcode >> 5]))
        cdb[0] = opcode
        if n % 2:  # with something to it
            for k in range(1, len(cdb)):
                cdb[k] = rng.choice((0, 0, 0, 1, cdb[k]))
        try:
            answers = unit.scsi(cdb.hex() + f" in={rng.choice((0, 1, 36, 255, 512, 4096, 65536, 524288))}")
        except OSError as e:
            assert kind is Lio and e.errno == errno.EIO, e
            lost += 1
            wait_for(lambda: unit.fs.read(unit.dir, "state") == "ready", "the session comes back")
            continue
        assert len(answers) == 1 and int(answers[0]["status"], 16) <= 255, answers
        got = bytes.fromhex(answers[0].get("data", "0x")[2:])
        assert len(got) == int(answers[0]["bytes"]), answers
    unit.good(TUR)
    assert unit.fs.is_alive() and unit.fs.sids(unit.iqn), "the session is still the same"
    with File(unit.disk, direct=True) as f:
        f.read(4096, 0)
    return f"{lost} connections lost"


@test
def for_whoever_runs_the_daemon_alone(t):
    """Mode 0600 and root's, with whatever mount options; nobody is refused, here with the rights to all else."""
    need_root("to be somebody else")
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise Skip("no user nobody") from None
    target = Tgtd(t)
    iqn, number, _ = target.one_disk()
    fs = Mounted(t, "-o", f"allow_other,umask=000,uid={nobody.pw_uid},gid={nobody.pw_gid}")
    fs.log_in(target.portal, iqn)
    lun = fs.path("targets", iqn, f"lun{number}")
    s = os.stat(os.path.join(lun, "scsi"))
    assert (stat.S_IMODE(s.st_mode), s.st_uid) == (0o600, os.geteuid()), s
    assert os.stat(os.path.join(lun, "ctl")).st_uid == nobody.pw_uid
    refuses(errno.EPERM, os.chmod, os.path.join(lun, "scsi"), 0o666)
    refuses(errno.EPERM, os.chown, os.path.join(lun, "scsi"), nobody.pw_uid, nobody.pw_gid)

    def errno_as_nobody(name, flags):
        pid = os.fork()
        if pid == 0:
            result = 0
            try:
                os.setgroups([])
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
                os.close(os.open(os.path.join(lun, name), flags))
            except OSError as e:
                result = e.errno
            os._exit(result)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        assert errno_as_nobody("ctl", flags) == 0, "everything else is theirs"
        assert errno_as_nobody("scsi", flags) == errno.EACCES


@test
def a_controller_has_no_disk(t):
    """tgtd's LUN 0: its directory, without `disk`, and with everything to ask and command it."""
    unit = Unit(t, Tgtd)
    where = unit.fs.target(unit.iqn, "lun0")
    names = unit.fs.ls(where)
    assert "disk" not in names and {"scsi", "ctl", "error", "paths"} <= set(names), names
    assert unit.fs.read(where, "type") == "controller"
    unit.one(TUR, where)
    answer = unit.one(INQUIRY, where)
    assert answer["status"] == "0x00" and answer["data"].startswith("0x0c"), answer
    assert json.loads(unit.fs.ctl(where, "inquiry json=yes"))["type"] == "controller"
    assert json.loads(unit.fs.ctl(where, "report-luns json=yes"))["luns"] == [0, unit.number]
    refuses(errno.EOPNOTSUPP, unit.fs.ctl, where, "read-capacity")
    answer = unit.one("28 00 00000000 00 0001 00 in=512", where)
    assert answer["status"] == "0x02" and answer["data"] == "0x", answer
