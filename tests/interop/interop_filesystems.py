# SPDX-License-Identifier: BSD-2-Clause
"""File systems of the kernel on a loop device over a LUN's file: made, filled, emptied, mounted again, checked -- through
the loop device, and in the target's own copy, where none of our code has a hand in it."""
import hashlib
import os
import random
import re

from lio import MIB, Lio
from loops import attach, mounted_on, need_loops
from mounted import Mounted
from realtargets import Tgtd
from runner import Case, Skip, need_program, test

# name: (make, make without discard, check; each takes a device or a file, size). xfs wants 300 MiB and more.
KINDS = {
    "ext4": ("mkfs.ext4 -q -F", "mkfs.ext4 -q -F -E nodiscard", "e2fsck -f -n", 96 * MIB),
    "xfs": ("mkfs.xfs -q -f", "mkfs.xfs -q -f -K", "xfs_repair -n", 320 * MIB),
    "btrfs": ("mkfs.btrfs -q -f", "mkfs.btrfs -q -f -K", "btrfs check --readonly", 160 * MIB),
}


def need_kind(t, kind):
    """Programs, and the kernel's part."""
    need_loops()
    need_program("mount", "umount", "fstrim", *{line.split()[0] for line in KINDS[kind][:3]})

    def is_known():
        with open("/proc/filesystems") as f:
            return re.search(rf"\b{kind}$", f.read(), re.M)
    if not is_known():
        t.sh(f"modprobe {kind}", ok=False)
        if not is_known():
            raise Skip(f"this kernel has no {kind}")


def fill(place, rng, files=250):
    """A tree of files of all sizes, names and links."""
    for n in range(files):
        directory = os.path.join(place, *(f"d{rng.randrange(4)}" for _ in range(rng.randrange(4))))
        os.makedirs(directory, exist_ok=True)
        size = rng.choice((0, 1, 100, 511, 4096, 4097, 20000, 65536, 200000))
        with open(os.path.join(directory, f"{n}-" + "long" * rng.randrange(20)), "wb") as f:
            f.write(rng.randbytes(size))
    with open(os.path.join(place, "sparse"), "wb") as f:
        for at in range(0, 8 * MIB, MIB):
            f.seek(at + rng.randrange(MIB // 2))
            f.write(rng.randbytes(3000))
    os.symlink("sparse", os.path.join(place, "link"))


def digest(place):
    """{name below @place: what is there}"""
    found = {}
    for directory, _, names in os.walk(place):
        for name in names:
            path = os.path.join(directory, name)
            if os.path.islink(path):
                found[os.path.relpath(path, place)] = os.readlink(path)
                continue
            with open(path, "rb") as f:
                found[os.path.relpath(path, place)] = hashlib.sha256(f.read()).hexdigest()
    return found


def same_tree(got, want, when):
    wrong = sorted(name for name in {*got, *want} if got.get(name) != want.get(name))
    assert not wrong, f"{when}: {len(wrong)} of {len(want)} files are not what they were: {wrong[:10]}"


def use(t, place):
    """Copy, remove, write over; what is left."""
    rng = random.Random(11)
    fill(os.path.join(place, "one"), rng)
    t.sh(f"timeout 120 cp -a {place}/one {place}/two")
    t.sh(f"timeout 120 find {place}/one -type f -name '*[13579]-*' -delete")
    t.sh(f"timeout 120 cp -a {place}/two {place}/three && timeout 120 rm -r {place}/two")
    for name, _ in zip(sorted(os.listdir(f"{place}/three")), range(20)):
        path = f"{place}/three/{name}"
        if os.path.isfile(path) and not os.path.islink(path):
            with open(path, "r+b") as f:
                f.write(rng.randbytes(5000))
                os.fsync(f.fileno())
    with open(f"{place}/three/sparse", "r+b") as f:
        f.truncate(3 * MIB + 17)
    return digest(place)


def trim(t, place):
    """What fstrim says: the disk may not be able to."""
    done = t.sh(f"LC_ALL=C timeout 120 fstrim -v {place}", ok=False)
    text = done.stdout.strip().splitlines()[-1].replace(place, "")
    refusal = re.search("not supported|Remote I/O error", text)
    assert done.returncode == 0 or refusal, done.stdout
    return f"fstrim {text}"


def case(kind, target, loop, discard, is_long=False, block=512, **parameters):
    name = f"{kind}-{target.__name__}-{loop}{'-discard' if discard else ''}{'-4096' if block == 4096 else ''}"
    return Case(name, kind=kind, target=target, loop=loop, discard=discard, block=block, parameters=parameters,
                is_long=is_long)


# xfs not on LIO: the guest has not the memory for its 320 MiB.
CASES = [case(kind, Tgtd, loop, discard, thin_provisioning=int(discard))
         for kind in KINDS for loop in ("buffered", "direct") for discard in (False, True)]
CASES += [case(kind, Tgtd, "direct", True, block=4096, thin_provisioning=1) for kind in KINDS]
CASES += [case("ext4", Lio, "direct", True)]
CASES += [case(kind, Lio, loop, discard, True) for kind in ("ext4", "btrfs")
          for loop in ("buffered", "direct") for discard in (False, True) if (kind, loop, discard) != ("ext4", "direct", True)]


@test(on=CASES, limit=600)
def file_system(t, x):
    need_kind(t, x.kind)
    make, make_without_discard, check, size = KINDS[x.kind]
    if x.target is Lio:
        lio = Lio(t)
        iqn, number, disk = lio.one_disk(size)
        portal, copy = lio.portal, lambda: lio.fetch(disk)
        allocated = lambda: int(lio.sh(f"stat -c %b {disk.file}")) * 512 // MIB
    else:
        target = Tgtd(t)
        iqn, number, backing = target.one_disk(size, block_bytes=x.block, **x.parameters)
        portal, copy = target.portal, lambda: backing
        allocated = lambda: os.stat(backing).st_blocks * 512 // MIB
    fs = Mounted(t)
    fs.log_in(portal, iqn)
    device = attach(t, fs.disk(iqn, number), f"--sector-size {x.block}", "--direct-io=on" if x.loop == "direct" else "")
    with open(f"/sys/block/{os.path.basename(device)}/loop/dio") as f:
        assert f.read().strip() == str(int(x.loop == "direct")), f"{device} is not {x.loop}"
    t.sh(f"timeout 120 {make if x.discard else make_without_discard} {device}")
    place = t.path("place")
    told = []
    with mounted_on(t, device, place, "-o discard" if x.discard else ""):
        want = use(t, place)
        t.sh(f"timeout 120 sync -f {place}")
        if x.discard:
            before = allocated()
            told = [trim(t, place), f"the target has {before} MiB allocated before, {allocated()} MiB after"]
            same_tree(digest(place), want, "after fstrim")
    t.sh(f"timeout 120 {check} {device}")
    with mounted_on(t, device, place):
        same_tree(digest(place), want, "mounted again")
    # Not through iscsifs: a plain loop device over the target's own bytes.
    other = attach(t, copy(), "-r", f"--sector-size {x.block}")
    t.sh(f"timeout 120 {check} {other}")
    stats = fs.read("targets", iqn, f"lun{number}", "stats")
    assert "errors 0\n" in stats + "\n", stats
    return "; ".join(told)
