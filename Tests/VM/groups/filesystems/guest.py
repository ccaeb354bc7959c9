"""What each filesystem on an atomic namespace offers, keeps and is said to keep."""

from contextlib import contextmanager
import os
import time

import battery
from checks import cell, check, finish, note, verdict
from commands import run, succeed, tool, xfs_io_statx
from contract import breaches
from direct_io import atomic_write, statx_atomic
import drives
from file_io import content, put
from variants import BLOCK, JOURNAL_ELSEWHERE, KIB, MIB, REALTIME, VARIANTS
from writes import write_command

DIRECTORY = "/tmp/mount"


def main():
    started = time.monotonic()
    for variant in VARIANTS:
        with cell(variant.name):
            test_variant(variant)
        note(f"{variant.name} ended after {time.monotonic() - started:.0f} s")
    for part in (test_mount_options, test_chattr, test_overlay):
        with cell(part.__name__):
            part()
    finish()


def files_take_atomics():
    """Linux 6.13 and newer; told by the first variant, and held against all others."""
    return test_variant.offers_blocks


# ---------------------------------------------------------------- making filesystems


@contextmanager
def filesystem(variant):
    """Yields whether it could be made here."""
    device = f"/dev/{drives.namespace_node(variant.serial)}"
    os.makedirs(DIRECTORY, exist_ok=True)
    made = make(variant, device)
    if not made:
        yield False
        return
    try:
        yield True
    finally:
        succeed("umount", DIRECTORY)
        if variant.make:
            succeed("wipefs", "--quiet", "--all", device)


def make(variant, device):
    if not variant.make:
        succeed("mount", "-t", variant.kind, variant.kind, DIRECTORY)
        return True
    if not any(os.access(f"{place}/{variant.make[0]}", os.X_OK) for place in ("", "/usr/sbin")):
        note(f"{variant.name} is not tested: there is no {variant.make[0]} here")
        return False
    options, extra = list(filter(None, [variant.options])), []
    other = f"/dev/{drives.namespace_node('other')}"
    if JOURNAL_ELSEWHERE in variant.name:
        succeed("mke2fs", "-q", "-F", "-b", "4096", "-O", "journal_dev", other)
        extra = ["-J", f"device={other}"]
    if REALTIME in variant.name:
        extra, options = ["-r", f"rtdev={other}"], [f"rtdev={other}"]
    succeed(*variant.make, *extra, device)
    command = ["mount", "-t", variant.kind, *(["-o", ",".join(options)] if options else []), device, DIRECTORY]
    result = run(command)
    if result.code != 0:
        note(f"{variant.name} is not tested: {result.errors.strip()}")
        # Before Linux 6.16 XFS knows no such option.
        known = "max_atomic_write" in variant.options and not test_variant.has_software_writes
        verdict(f"{variant.name} can be mounted", known or variant.kind in ("f2fs", "vfat"), "a reason", result.errors)
    return result.code == 0


def test_variant(variant):
    with filesystem(variant) as made:
        if not made:
            return
        path = f"{DIRECTORY}/file"
        put(path, 0, bytes(MIB))
        facts = statx_atomic(path)
        put(path, 0, os.urandom(max(MIB, 2 * facts["atomic_write_unit_max"])))
        if not hasattr(test_variant, "offers_blocks"):
            test_variant.offers_blocks = facts["supported"] and facts["atomic_write_unit_max"] > 0
        if variant.name == "xfs with reflink":
            test_variant.has_software_writes = facts["atomic_write_unit_max"] > BLOCK
        offered = check_statx(variant, path, facts)
        if variant.findings != ["journalled-data"]:
            battery.test_file(variant.name, DIRECTORY, *offered, tested_sizes(variant, facts, offered))
        with cell(f"{variant.name} tool"):
            check_tool(variant, path, facts, offered)


test_variant.has_software_writes = False


def tested_sizes(variant, facts, offered):
    """Every size where the filesystem is the first of its kind; else those on either side of a limit."""
    every = list(battery.sizes(*offered)) if offered[1] else []
    if variant.name in ("ext4 with large clusters", "xfs with reflink"):
        return every
    limit = facts["atomic_write_unit_max_opt"]
    return [size for size in every if size in (every[0], limit, 2 * limit, every[-1])]


# ---------------------------------------------------------------- the kernel's offer


def device_queue(variant):
    return drives.queue(drives.namespace_node(variant.serial))


def expected_offer(variant, facts):
    """Smallest, largest, and largest that goes to the drive; what XFS does in software is its own choice."""
    if variant.offer == "nothing" or not files_take_atomics():
        return (0, 0, 0)
    queue = device_queue(variant)
    least, most = queue["atomic_write_unit_min_bytes"], queue["atomic_write_unit_max_bytes"]
    serves = least <= BLOCK <= most
    if variant.offer == "software" and test_variant.has_software_writes:
        largest = variant.software_limit or facts["atomic_write_unit_max"]
        return (BLOCK, largest, min(largest, most) if serves else 0)
    if not serves:
        return (0, 0, 0)
    return (BLOCK, min(variant.cluster, most), 0)


def check_statx(variant, path, facts):
    expected = expected_offer(variant, facts)
    offered = tuple(facts[f"atomic_write_unit_{key}"] for key in ("min", "max", "max_opt"))
    check(f"{variant.name} statx", expected, offered)
    check(f"{variant.name} statx supported", expected[1] > 0, facts["supported"])
    check(f"{variant.name} statx segments_max", 1 if expected[1] else 0, facts["atomic_write_segments_max"])
    check(f"{variant.name} statx by xfs_io", (expected[0], expected[1], 1 if expected[1] else 0),
          tuple(xfs_io_statx(path).values()))
    if variant.offer == "software" and expected[1]:
        largest = expected[1]
        verdict(f"{variant.name} statx unit_max", largest >= BLOCK and largest & (largest - 1) == 0,
                "a power of two", largest)
    if "journalled-data" in variant.findings:
        check(f"{variant.name} takes no direct I/O", 0, facts["dio_offset_align"])
    return offered[:2]


# ---------------------------------------------------------------- what the tool says


def expected_claim(variant, facts, offered):
    """(smallest, largest, by the drive, in software); None where a fact is missing."""
    if not offered[1] or variant.claim == "none":
        return (0, 0, 0, 0)
    if variant.claim == "unknown":
        return None
    smallest, largest = offered
    if variant.offer == "software" and test_variant.has_software_writes:
        return (smallest, largest, facts["atomic_write_unit_max_opt"], largest)
    # Before software, XFS with reflink has one block, which newer kernels may move.
    moved = largest if variant.reflink else 0
    return (smallest, largest, largest, moved)


def check_tool(variant, path, facts, offered):
    claim = expected_claim(variant, facts, offered)
    answers = [probe(f"{variant.name} {kind}", target) for kind, target in (("file", path), ("directory", DIRECTORY))]
    check_report(variant, answers[0], facts)
    for kind, answer in zip(("file", "directory"), answers):
        if kind == "file" or offered[1] or not variant.make:
            check_promise(f"{variant.name} {kind}", answer, claim)
    check_findings(variant, answers[0], offered)
    check_answers(variant, path, offered, claim)
    check_writes(variant, path, claim, tested_sizes(variant, facts, offered))


def probe(name, target):
    result = tool("probe", "--json", target)
    verdict(f"{name} probe exit code", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} contract", [], breaches(result.json))
    return result.json["targets"][0]


def check_report(variant, answer, facts):
    filesystem = answer["filesystem"]
    check(f"{variant.name} filesystem.type", variant.kind, filesystem["type"])
    if variant.kind in ("ext4", "xfs"):
        check(f"{variant.name} filesystem.block_size", BLOCK, filesystem["block_size"])
    check(f"{variant.name} filesystem.reflink", variant.reflink, filesystem["reflink"])
    for key, value in facts.items():
        if key != "supported":
            is_told = value or key.startswith("dio") and variant.kind in ("ext4", "xfs")
            accepted = (value,) if is_told else (0, None)
            verdict(f"{variant.name} statx.{key}", answer["statx"][key] in accepted, value, answer["statx"][key])
    if variant.kind in ("ext4", "xfs"):
        [entry] = answer["namespaces"]
        check(f"{variant.name} namespaces", (f"/dev/{drives.namespace_node(variant.serial)}", None),
              (entry["device"], entry["path"]))


def check_promise(name, answer, claim):
    kernel = answer["paths"]["kernel"]
    if claim is None:
        check(f"{name} is not known", (None, None), (kernel["available"], answer["torn_free_bytes"]))
        verdict(f"{name} max_bytes is no promise", not kernel["max_bytes"], None, kernel["max_bytes"])
        return
    smallest, largest, by_drive, in_software = claim
    check(f"{name} available", largest > 0, kernel["available"])
    check(f"{name} limits", claim,
          tuple(kernel[key] or 0 for key in ("min_bytes", "max_bytes", "hardware_max_bytes", "software_max_bytes")))
    backing = {(False, False): "unknown", (True, False): "hardware", (False, True): "software",
               (True, True): "mixed"}[by_drive > 0, in_software > 0]
    check(f"{name} backing", backing, kernel["backing"])
    check(f"{name} torn_free_bytes", None if backing == "mixed" else by_drive, answer["torn_free_bytes"])
    check(f"{name} passthrough", False, answer["paths"]["passthrough"]["available"])


FILESYSTEM_CODES = ("filesystem-single-block", "filesystem-without-atomics", "journalled-data", "software-backed",
                    "range-falls-to-software")


def check_findings(variant, answer, offered):
    codes = {finding["code"] for finding in answer["findings"]}
    expected = variant.findings
    if variant.kind in ("ext4", "xfs"):
        if not files_take_atomics():
            expected = []
        elif variant.offer == "software" and not test_variant.has_software_writes:
            expected = ["filesystem-single-block"] if offered[1] else []
    for code in FILESYSTEM_CODES:
        check(f"{variant.name} finding {code}", code in expected, code in codes)
    if variant.kind in ("ext4", "xfs"):
        check(f"{variant.name} finding kernel-too-old", not files_take_atomics(), "kernel-too-old" in codes)


def check_answers(variant, path, offered, claim):
    sizes = {2 * KIB, BLOCK, 16 * KIB, offered[1], 2 * offered[1], *([claim[1], 2 * claim[1]] if claim else [])} - {0}
    for size in sorted(sizes):
        ask(variant, path, "rwf-atomic", size, rwf_codes(size, offered, claim))
    ask(variant, path, "buffered", BLOCK, [1])
    for size in (BLOCK, 16 * KIB):
        ask(variant, path, "direct", size, [1, 2])
    if variant.make:
        check_direct_without_merges(variant, path)


def rwf_codes(size, offered, claim):
    if not offered[0] <= size <= offered[1]:
        return [1]
    if claim is None:
        return [2]
    return [0] if claim[0] <= size <= claim[1] else [1]


def check_direct_without_merges(variant, path):
    """One block of a filesystem that writes in place is one command; nothing longer is trusted."""
    setting = drives.queue_setting(drives.namespace_node(variant.serial), "nomerges")
    drives.write(setting, 2)
    ask(variant, path, "direct", BLOCK, [0] if variant.in_place else [1, 2], " without merges")
    ask(variant, path, "direct", 16 * KIB, [1, 2], " without merges")
    drives.write(setting, 0)


def ask(variant, path, writer, size, codes, when=""):
    result = tool("probe", "--json", path, "--page-size", size, "--writer", writer)
    name = f"{variant.name} {size} {writer}{when}"
    verdict(name, result.code in codes, codes, f"{result.code} {result.target['answer']}")
    check(f"{name} answer", {0: True, 1: False, 2: None}.get(result.code), result.target["answer"]["atomic"])


def check_writes(variant, path, claim, sizes):
    """Each claimed size is written as it was claimed, and nothing else is."""
    most = claim[1] if claim else 0
    for size in [size for size in {*sizes, most} if most and claim[0] <= size <= most]:
        data, before, place = os.urandom(size), content(path), size if size < most else 0
        result = write_command(path, data, place=place)
        name = f"{variant.name} write {size}"
        verdict(f"{name} exit code", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
        check(f"{name} content", True, content(path) == before[:place] + data + before[place + size:])
        if result.code == 0:
            check(f"{name} result", ("kernel", "yes", size),
                  tuple(result.json[key] for key in ("path", "power_fail_atomic", "bytes")))
    not_written(f"{variant.name} write more than is claimed", path, 2 * most or BLOCK)
    not_written(f"{variant.name} write half a block", path, BLOCK // 2)
    if variant.claim != "all":
        not_written(f"{variant.name} write a cluster", path, variant.cluster)


def not_written(name, path, size):
    before = content(path)
    result = write_command(path, os.urandom(size), place=0)
    verdict(f"{name} is refused", result.code == 2, 2, f"{result.code} {result.output[:300]}")
    check(f"{name} wrote nothing", True, content(path) == before)


# ---------------------------------------------------------------- XFS's own limit, and single files


def test_mount_options():
    """Powers of two from a block on, as far as the log reaches. What is refused does not mount."""
    device = f"/dev/{drives.namespace_node('small')}"
    succeed("mkfs.xfs", "-q", "-f", "-K", device)
    for value, size in (("0", 0), ("4k", 4 * KIB), ("16384", 16 * KIB), ("1m", MIB), ("1000", None), ("3m", None),
                        ("2k", None), ("2g", None)):
        with cell(f"max_atomic_write={value}"):
            accepted = run(["mount", "-o", f"max_atomic_write={value}", device, DIRECTORY]).code == 0
            check(f"max_atomic_write={value}", size is not None and test_variant.has_software_writes, accepted)
            if accepted:
                try:
                    check_mount_option(value, size)
                finally:
                    succeed("umount", DIRECTORY)
    succeed("wipefs", "--quiet", "--all", device)


def check_mount_option(value, size):
    path = f"{DIRECTORY}/file"
    put(path, 0, bytes(4 * MIB))
    facts = statx_atomic(path)
    name = f"max_atomic_write={value}"
    if size:
        check(f"{name} unit_max", size, facts["atomic_write_unit_max"])
    answer = probe(name, path)
    check(f"{name} max_bytes", facts["atomic_write_unit_max"], answer["paths"]["kernel"]["max_bytes"])
    hardware = facts["atomic_write_unit_max_opt"] or min(facts["atomic_write_unit_max"], BLOCK)
    check(f"{name} hardware_max_bytes", hardware, answer["paths"]["kernel"]["hardware_max_bytes"])
    check(f"{name} torn_free_bytes", None, answer["torn_free_bytes"])
    most = facts["atomic_write_unit_max"]
    check(f"{name} the largest", most, atomic_write(path, 0, os.urandom(most)))
    check(f"{name} twice the largest", "EINVAL", atomic_write(path, 0, os.urandom(2 * most)))


def test_chattr():
    """One file with journalled data on a filesystem without: only the file's own statx tells."""
    device = f"/dev/{drives.namespace_node('small')}"
    succeed("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "bigalloc", "-C", "16384", device)
    succeed("mount", "-o", "nodelalloc", device, DIRECTORY)
    try:
        path, other = f"{DIRECTORY}/journalled", f"{DIRECTORY}/ordinary"
        for name in (path, other):
            put(name, 0, bytes(MIB))
        succeed("chattr", "+j", path)
        facts = statx_atomic(path)
        check("chattr +j takes no direct I/O", 0, facts["dio_offset_align"])
        codes = {finding["code"] for finding in probe("chattr +j", path)["findings"]}
        check("chattr +j finding journalled-data", facts["atomic_write_unit_max"] > 0, "journalled-data" in codes)
        for writer in ("rwf-atomic", "direct", "buffered"):
            for size in (BLOCK, 16 * KIB):
                answer = tool("probe", path, "--page-size", size, "--writer", writer)
                check(f"chattr +j {size} {writer}", 1, answer.code)
        not_written("chattr +j write", path, BLOCK)
        expected = 0 if files_take_atomics() else 1
        check("the file beside it", expected, tool("probe", other, "--page-size", "16k", "--writer", "rwf-atomic").code)
        succeed("chattr", "-j", path)
        check("after the remedy", expected, tool("probe", path, "--page-size", "16k", "--writer", "rwf-atomic").code)
    finally:
        succeed("umount", DIRECTORY)
        succeed("wipefs", "--quiet", "--all", device)


def test_overlay():
    """The file's statx is that of the filesystem below; its writes are not."""
    device = f"/dev/{drives.namespace_node('small')}"
    succeed("mkfs.xfs", "-q", "-f", "-K", device)
    succeed("mount", device, DIRECTORY)
    merged = "/tmp/merged"
    os.makedirs(merged, exist_ok=True)
    for name in ("lower", "upper", "work"):
        os.makedirs(f"{DIRECTORY}/{name}")
    put(f"{DIRECTORY}/upper/file", 0, bytes(MIB))
    succeed("mount", "-t", "overlay", "-o",
            f"lowerdir={DIRECTORY}/lower,upperdir={DIRECTORY}/upper,workdir={DIRECTORY}/work", "overlay", merged)
    try:
        path = f"{merged}/file"
        note(f"overlay: statx offers {statx_atomic(path)['atomic_write_unit_max']}")
        battery.refused("overlay one block", path, BLOCK, lambda data: atomic_write(path, 0, data), "EOPNOTSUPP")
        answer = probe("overlay", path)
        check("overlay filesystem.type", "overlay", answer["filesystem"]["type"])
        codes = {finding["code"] for finding in answer["findings"]}
        check("overlay finding", True, "filesystem-without-atomics" in codes)
        check("overlay available", False, answer["paths"]["kernel"]["available"] is True)
        verdict("overlay torn_free_bytes", not answer["torn_free_bytes"], 0, answer["torn_free_bytes"])
        for writer in ("rwf-atomic", "direct", "buffered"):
            code = tool("probe", path, "--page-size", BLOCK, "--writer", writer).code
            verdict(f"overlay {writer}", code in ((1,) if writer == "buffered" else (1, 2)), "no yes", code)
        not_written("overlay write", path, BLOCK)
    finally:
        succeed("umount", merged)
        succeed("umount", DIRECTORY)
        succeed("wipefs", "--quiet", "--all", device)


main()
