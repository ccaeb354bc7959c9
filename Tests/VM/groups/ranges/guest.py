"""Who writes a range of a file: each claim is put to the test by the write that it is about."""

import mmap
import os
import random
import subprocess

import drives
from checks import cell, check, finish, note, verdict
from commands import succeed, tool
from direct_io import atomic_write, read_direct, statx_atomic, write_direct
from observe import fiemap, places, requests, start_tracing

KIB = 1024
MIB = 1 << 20
BLOCK = 4096
UNIT = 16 * KIB
MOUNT = "/tmp/mount"


def main():
    start_tracing()
    for part in (test_xfs, test_xfs_with_large_sectors, test_xfs_without_reflink, test_ext4, test_direct_writers):
        with cell(part.__name__):
            part()
    finish()


# ---------------------------------------------------------------- claims, and what becomes of them


def probe(path, offset, length, writer="rwf-atomic"):
    return tool("probe", path, "--at", offset, "--length", length, "--writer", writer, "--json").target


def finding(target):
    return {found["code"]: found for found in target["findings"]}.get("range-falls-to-software")


def this_range(target):
    """What the finding says of the range itself; without its place it says what holds of any."""
    found = finding(target)
    return found["message"] if found and found["message"].startswith("This range") else None


def observe(disk, path, offset, length):
    """Writes the range atomically, and tells by whom it was written."""
    before = places(path, offset, length)
    data = os.urandom(length)
    with requests(disk) as issued:
        result = atomic_write(path, offset, data)
    if result != length:
        return result
    if read_direct(path, offset, length) != data:
        return "damaged"
    after = places(path, offset, length)
    one = (after[0], length)
    in_one = after == list(range(after[0], after[0] + length, BLOCK))
    if in_one and any("U" in flags and (at, size) == one for flags, at, size in issued):
        # In place, or in blocks that there were none of before.
        if all(old in (None, new) for old, new in zip(before, after)):
            return "hardware"
    if before != after and not any(old == new for old, new in zip(before, after)):
        return "software"
    return f"neither: {before} {after} {issued}"


def put_to_the_test(name, disk, path, offset, length, expected=None):
    """Probes, writes, compares. `expected` is None where the kernel alone decides."""
    target = probe(path, offset, length)
    answer = target["answer"]
    check(f"{name}: extents", fiemap(path, offset, length), answer["extents"])
    seen = observe(disk, path, offset, length)
    claim = answer["backing"]
    check(f"{name}: atomic", True, answer["atomic"])
    if claim == "unknown":
        verdict(f"{name}: may be unknown", expected == "unknown" or expected is None, expected, answer["because"])
        verdict(f"{name}: was written", seen in ("hardware", "software"), "by one of the two", seen)
        return claim, seen
    check(f"{name}: the claim holds", claim, seen)
    if expected is not None:
        check(f"{name}: by whom", expected, seen)
    check(f"{name}: range-falls-to-software", seen == "software", this_range(target) is not None)
    return claim, seen


def both_ways(name, disk, path, offset, length, expected, cause):
    """What falls to software says why; what does not is said to be the drive's."""
    target = probe(path, offset, length)
    said = this_range(target) or target["answer"]["because"]
    verdict(f"{name}: says why", cause in said, cause, said)
    put_to_the_test(name, disk, path, offset, length, expected)


# ---------------------------------------------------------------- files of every shape


def fill(path, length, at=0):
    """Written and on the drive, whatever the allocator made of it."""
    with open(path, "r+b" if os.path.exists(path) else "wb") as file:
        file.seek(at)
        file.write(os.urandom(length))
        os.fsync(file.fileno())


def preallocated(name, length):
    path = f"{MOUNT}/{name}"
    succeed("xfs_io", "-f", "-c", f"falloc 0 {length}", path)
    return path


def remainder(path, unit=UNIT):
    extents = fiemap(path, 0, os.path.getsize(path))
    return extents[0]["physical_bytes"] % unit if len(extents) == 1 else None


def placed(name, is_wanted, length=256 * KIB):
    """A preallocated file in one extent whose remainder is wanted; small ones in between shift the next."""
    for attempt in range(64):
        path = preallocated(f"{name}-{attempt}", length)
        found = remainder(path)
        if found is not None and is_wanted(found):
            return path
        preallocated(f"{name}-shift-{attempt}", BLOCK)
    raise RuntimeError(f"no file like {name}")


def aligned(name):
    path = placed(name, lambda rest: rest == 0)
    fill(path, 256 * KIB)
    return path


def fragmented(name):
    """Two files that grow by turns, a block at a time."""
    paths = [f"{MOUNT}/{name}-{side}" for side in "ab"]
    for path in paths:
        open(path, "wb").close()
    for index in range(16):
        for path in paths:
            write_direct(path, index * BLOCK, os.urandom(BLOCK))
    return paths[0]


def clone(path):
    copy = path + "-clone"
    succeed("cp", "--reflink=always", path, copy)
    return copy


def make(device, *command):
    subprocess.run(["wipefs", "-aq", device], check=True, capture_output=True)
    succeed(*command, device)
    os.makedirs(MOUNT, exist_ok=True)
    succeed("mount", device, MOUNT)


def offers(path):
    return statx_atomic(path)["atomic_write_unit_max"]


def nothing_offered(path):
    """A kernel without atomic writes on files of more than a block: no is said, and the kernel refuses."""
    answer = probe(path, 0, UNIT)["answer"]
    check("not offered: answer", False, answer["atomic"])
    check("not offered: extents", fiemap(path, 0, UNIT), answer["extents"])
    verdict("not offered: refused", isinstance(atomic_write(path, 0, os.urandom(UNIT)), str), "an error", "written")


# ---------------------------------------------------------------- XFS


def test_xfs():
    disk = drives.namespace_node("files", 1)
    make(f"/dev/{disk}", "mkfs.xfs", "-q", "-f")
    try:
        path = aligned("offered")
        if offers(path) < UNIT:
            return nothing_offered(path)
        shapes(disk)
        once_shared(disk, "unknown")
        random_files(disk, seed=1)
    finally:
        succeed("umount", MOUNT)


def test_xfs_with_large_sectors():
    """Sectors as large as blocks: whether a file ever shared any does not show in its alignment."""
    disk = drives.namespace_node("files", 2)
    make(f"/dev/{disk}", "mkfs.xfs", "-q", "-f")
    try:
        path = aligned("offered")
        if offers(path) < UNIT:
            return nothing_offered(path)
        shapes(disk)
        once_shared(disk, "unknown")
        random_files(disk, seed=2)
    finally:
        succeed("umount", MOUNT)


def shapes(disk):
    both_ways("aligned", disk, aligned("aligned"), UNIT, UNIT, "hardware", "one extent at")
    both_ways("aligned, one block", disk, aligned("block"), BLOCK, BLOCK, "hardware", "one extent at")
    path = placed("misaligned", lambda rest: rest != 0)
    fill(path, 256 * KIB)
    both_ways("misaligned", disk, path, UNIT, UNIT, "software", "not a multiple of its length")
    check("misaligned, one block", "hardware", put_to_the_test("a block of it", disk, path, 0, BLOCK)[1])
    both_ways("fragmented", disk, fragmented("fragmented"), 0, UNIT, "software", "extents")
    both_ways("longer", disk, aligned("longer"), 0, 2 * UNIT, "software", "longer than the drive's 16 KiB")
    path = aligned("shared")
    clone(path)
    both_ways("shared", disk, path, UNIT, UNIT, "software", "shared")
    both_ways("shared, one block", disk, path, 8 * UNIT, BLOCK, "software", "shared")
    path = f"{MOUNT}/sparse"
    with open(path, "wb") as file:
        file.truncate(MIB)
    both_ways("hole of one block", disk, path, 8 * UNIT, BLOCK, "hardware", "allocated by the write")
    both_ways("hole", disk, path, 0, UNIT, "software", "no blocks are allocated")
    both_ways("partly a hole", disk, path, 8 * UNIT, UNIT, "software", "parts of it have no blocks")
    path = placed("unwritten", lambda rest: rest == 0)
    both_ways("unwritten", disk, path, UNIT, UNIT, "hardware", "one extent at")
    fill(path, BLOCK, at=4 * UNIT)
    both_ways("partly unwritten", disk, path, 4 * UNIT, UNIT, "software", "extents")
    dirty(disk)
    refused()
    remedies(disk)


def dirty(disk):
    path = f"{MOUNT}/dirty"
    with open(path, "wb") as file:
        file.truncate(MIB)
        file.seek(UNIT)
        file.write(bytes(UNIT))
        file.flush()
        both_ways("dirty pages", disk, path, UNIT, UNIT, "unknown", "pages of it to write back")
    path = aligned("mapped")
    with open(path, "r+b") as file:
        pages = mmap.mmap(file.fileno(), 2 * UNIT)
        pages[UNIT] = 1
        both_ways("dirty mapping", disk, path, UNIT, UNIT, "unknown", "pages of it to write back")
        both_ways("clean pages beside it", disk, path, 0, UNIT, "hardware", "one extent at")
        pages.close()


def refused():
    path = aligned("refused")
    for offset, length in ((512, UNIT), (BLOCK, UNIT), (0, 3 * BLOCK), (0, 512), (0, 1 << 30)):
        target = probe(path, offset, length)
        check(f"refused {length} at {offset}: answer", False, target["answer"]["atomic"])
        check(f"refused {length} at {offset}: backing", None, target["answer"]["backing"])
        if length <= MIB:
            check(f"refused {length} at {offset}: by the kernel", "EINVAL", atomic_write(path, offset, bytes(length)))


def remedies(disk):
    """Typed as printed; the range is the drive's afterwards."""
    path = aligned("remedy")
    clone(path)
    subprocess.run(finding(probe(path, UNIT, UNIT))["remedy"], shell=True, check=True, capture_output=True)
    os.sync()
    check("unshared: no longer shared", False, is_shared(path, UNIT, UNIT))
    claim, seen = put_to_the_test("unshared", disk, path, UNIT, UNIT)
    verdict("unshared: is told again", claim != "unknown", "hardware or software", claim)
    note(f"a file that was unshared is written by {seen}")
    path = fragmented("scattered")
    command = finding(probe(path, 0, UNIT))["remedy"].replace("NEW", f"{MOUNT}/healed")
    subprocess.run(command, shell=True, check=True, capture_output=True)
    os.sync()
    put_to_the_test("copied with a hint", disk, f"{MOUNT}/healed", 0, UNIT, "hardware")


def give_back(path):
    os.sync()
    succeed("xfs_spaceman", "-c", "prealloc -s", MOUNT)
    mapped = sum(extent["length_bytes"] for extent in fiemap(path, 0, 1 << 40))
    return os.stat(path).st_blocks * 512 == mapped


def is_shared(path, offset, length):
    return any("shared" in extent["flags"] for extent in fiemap(path, offset, length))


def once_shared(disk, expected):
    """A clone that is gone again leaves blocks set aside, which are used and shown by no report."""
    path = aligned("once")
    copy = clone(path)
    write_direct(path, 0, os.urandom(BLOCK))
    os.unlink(copy)
    # Files that are gone give their blocks back in the background.
    drives.wait_for(lambda: not is_shared(path, UNIT, UNIT), "the file without shared blocks")
    claim, seen = put_to_the_test("once shared", disk, path, UNIT, UNIT, expected)
    check("once shared: claim", expected, claim)
    check("once shared: moved all the same", "software", seen)
    # Where nothing is set aside any more, every block that is counted is mapped.
    drives.wait_for(lambda: give_back(path), "the file without blocks set aside")
    claim, seen = put_to_the_test("once shared, given back", disk, path, 2 * UNIT, UNIT)
    check("once shared, given back: claim", "hardware", claim)


def random_files(disk, seed):
    """Whatever was done to a file, what is claimed of its ranges is what the kernel does."""
    chance = random.Random(seed)
    counts = {}
    for number in range(4):
        path = preallocated(f"random-{number}", MIB) if number % 2 else f"{MOUNT}/random-{number}"
        if not number % 2:
            fill(path, MIB)
        for step in range(8):
            act_on(path, chance)
            length = chance.choice([BLOCK, 2 * BLOCK, UNIT, UNIT, 2 * UNIT])
            offset = chance.randrange(MIB // length) * length
            claim, seen = put_to_the_test(f"random {seed}.{number}.{step}", disk, path, offset, length)
            counts[claim, seen] = counts.get((claim, seen), 0) + 1
    note(f"claims and what became of them, seed {seed}: {counts}")
    verdict("random: both are met", {claim for claim, _ in counts} >= {"hardware", "software"}, "both", counts)


def act_on(path, chance):
    offset = chance.randrange(MIB // BLOCK - 8) * BLOCK
    length = chance.randrange(1, 9) * BLOCK
    act = chance.randrange(6)
    if act == 0:
        succeed("xfs_io", "-c", f"fpunch {offset} {length}", path)
    elif act == 1:
        write_direct(path, offset, os.urandom(length))
    elif act == 2:
        fill(path, length, at=offset)
    elif act == 3:
        succeed("xfs_io", "-c", f"falloc {offset} {length}", path)
    elif act == 4:
        succeed("xfs_io", "-f", "-c", f"reflink {path} {offset} {offset} {length}", path + "-part")
        if chance.randrange(2):
            os.unlink(path + "-part")
    else:
        succeed("xfs_io", "-c", f"funshare {offset} {length}", path)
    os.sync()


def test_xfs_without_reflink():
    disk = drives.namespace_node("files", 4)
    make(f"/dev/{disk}", "mkfs.xfs", "-q", "-f", "-m", "reflink=0")
    try:
        path = placed("plain", lambda rest: rest != 0)
        if not offers(path):
            return nothing_offered(path)
        check("without reflink: two blocks are refused", False, probe(path, 0, 2 * BLOCK)["answer"]["atomic"])
        check("without reflink: by the kernel", "EINVAL", atomic_write(path, 0, bytes(2 * BLOCK)))
        both_ways("without reflink, unwritten", disk, path, BLOCK, BLOCK, "hardware", "one extent at")
        both_ways("without reflink, written", disk, path, BLOCK, BLOCK, "hardware", "one extent at")
        with open(path, "r+b") as file:
            file.truncate(MIB)
        both_ways("without reflink, hole", disk, path, 512 * KIB, BLOCK, "hardware", "allocated by the write")
    finally:
        succeed("umount", MOUNT)


# ---------------------------------------------------------------- ext4


def test_ext4():
    disk = drives.namespace_node("files", 3)
    make(f"/dev/{disk}", "mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "bigalloc", "-C", "65536")
    try:
        path = f"{MOUNT}/file"
        fill(path, MIB)
        if offers(path) < UNIT:
            return nothing_offered(path)
        put_to_the_test("ext4 written", disk, path, UNIT, UNIT, "hardware")
        path = preallocated("unwritten", MIB)
        put_to_the_test("ext4 unwritten", disk, path, UNIT, UNIT, "hardware")
        fill(path, BLOCK, at=4 * UNIT)
        put_to_the_test("ext4 partly unwritten", disk, path, 4 * UNIT, UNIT, "hardware")
        path = f"{MOUNT}/sparse"
        with open(path, "wb") as file:
            file.truncate(MIB)
        put_to_the_test("ext4 hole", disk, path, 0, UNIT, "hardware")
        write_direct(path, 4 * UNIT, os.urandom(BLOCK))
        put_to_the_test("ext4 partly a hole", disk, path, 4 * UNIT, UNIT, "hardware")
        with open(path, "r+b") as file:
            file.seek(8 * UNIT)
            file.write(bytes(UNIT))
            file.flush()
            put_to_the_test("ext4 dirty pages", disk, path, 8 * UNIT, UNIT, "hardware")
        check("ext4 longer: answer", False, probe(path, 0, 2 * UNIT)["answer"]["atomic"])
        check("ext4 longer: by the kernel", "EINVAL", atomic_write(path, 0, bytes(2 * UNIT)))
    finally:
        succeed("umount", MOUNT)


# ---------------------------------------------------------------- ordinary direct writes


def test_direct_writers():
    """Lines at 2 KiB and every 16 KiB from there: the block's own place decides, on every kernel."""
    disk = drives.namespace_node("lines")
    start = 3 * MIB + BLOCK
    subprocess.run(["sfdisk", "--quiet", f"/dev/{disk}"], input=f"start={start // 512}\n".encode(), check=True)
    drives.wait_for(lambda: os.path.exists(f"/dev/{disk}p1"), "the partition")
    drives.write(drives.queue_setting(disk, "nomerges"), 2)
    for name, command in (("ext4", ["mkfs.ext4", "-q", "-F", "-b", "4096"]),
                          ("xfs", ["mkfs.xfs", "-q", "-f", "-m", "reflink=0"])):
        make(f"/dev/{disk}p1", *command)
        try:
            path = f"{MOUNT}/file"
            fill(path, 256 * KIB)
            verdicts = [direct_block(name, disk, path, start, index) for index in range(8)]
            check(f"{name}: two of eight blocks cross", 2, verdicts.count(False))
            answer = probe(path, 0, 2 * BLOCK, "direct")["answer"]
            check(f"{name}: two blocks are not trusted", False, answer["atomic"])
            with open(path, "r+b") as file:
                file.truncate(MIB)
            check(f"{name}: a hole has no place", None, probe(path, 512 * KIB, BLOCK, "direct")["answer"]["atomic"])
        finally:
            succeed("umount", MOUNT)


def direct_block(name, disk, path, start, index):
    offset = index * BLOCK
    answer = probe(path, offset, BLOCK, "direct")["answer"]
    extents = fiemap(path, offset, BLOCK)
    check(f"{name} block {index}: extents", extents, answer["extents"])
    with requests(disk) as issued:
        write_direct(path, offset, os.urandom(BLOCK))
    absolute = start + extents[0]["physical_bytes"]
    touching = [(at, size) for _, at, size in issued if at < absolute + BLOCK and absolute < at + size]
    check(f"{name} block {index}: one command, there", [(absolute, BLOCK)], touching)
    crosses = (absolute - 2048) // UNIT != (absolute + BLOCK - 1 - 2048) // UNIT
    check(f"{name} block {index}: crosses a line or not", not crosses, answer["atomic"])
    return answer["atomic"]


main()
