"""Every kind of target on one emulated drive, bad input, occupied devices, and what a probe costs."""

from contextlib import contextmanager
import os
import re
import statistics
import subprocess
import tempfile
import threading
import time

from checks import cell, check, finish, note, verdict
from commands import TOOL, Result, identify_namespace, mounted, run, succeed, tool, xfs_io_statx
from contract import breaches
from direct_io import atomic_write, read_direct, statx_atomic
import drives

MIB = 1024 * 1024
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def main():
    for part in (test_kinds, test_namespace_ids, test_files, test_journalled_data, test_bad_input, test_unprivileged, test_damaged_sysfs,
                 test_occupied, test_signatures, test_removal, test_text, test_cost):
        with cell(part.__name__):
            part()
    finish()


def probe(name, path, code=0):
    """The first target's answer, once the document keeps the contract."""
    result = tool("probe", "--json", path)
    verdict(f"{name} probe exit code", result.code == code, code, f"{result.code} {result.errors.strip()}")
    document = result.json
    check(f"{name} contract", [], breaches(document))
    check(f"{name} format", "nvme-atomic-probe/1", document["format"])
    check(f"{name} kernel_release", os.uname().release, document["kernel_release"])
    return document["targets"][0]


def codes(answer):
    return {finding["code"] for finding in answer["findings"]}


def one_line(name, result):
    verdict(f"{name} one line on standard error", result.errors.count("\n") == 1 and result.errors.strip() != "",
            "one line", result.errors)


def write(path, offset, data, *options, prefix=()):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        os.chmod(file.name, 0o644)
        return run([*prefix, *TOOL, "write", path, "--path", "kernel", "--at", str(offset), "--input", file.name, "--json", *options])


def refused(name, result, code=None):
    verdict(f"{name} exit code", result.code == 2, 2, f"{result.code} {result.output[:200]} {result.errors.strip()}")
    error = result.json["error"]
    check(f"{name} error keys", ["code", "message", "remedy", "outcome"], [
        key for key in error if key in ("code", "message", "remedy", "outcome")])
    check(f"{name} outcome", "not-written", error["outcome"])
    if code:
        verdict(f"{name} code", error["code"] == code, code, error)


# ---------------------------------------------------------------- kinds


def test_kinds():
    disk = drives.namespace_node("kinds", 3)
    controller, generic = drives.controller_of(disk), drives.generic_of(disk)
    partition = make_partition(drives.namespace_node("kinds", 7))
    answers = {}
    for kind, device in (("namespace", disk), ("generic", generic), ("controller", controller),
                         ("partition", partition)):
        with cell(f"kind {kind}"):
            answers[kind] = probe(kind, f"/dev/{device}")
            check(f"{kind} kind", kind, answers[kind]["kind"])
            check(f"{kind} path", f"/dev/{device}", answers[kind]["path"])
            check(f"{kind} nvme.controller.name", controller, answers[kind]["nvme"]["controller"]["name"])
            check_symlink(kind, device, answers[kind])
    with cell("generic and namespace"):
        for key in ("nvme", "device_limits", "queue"):
            check(f"generic {key} is the namespace's", answers["namespace"][key], answers["generic"][key])
    with cell("controller and namespace"):
        check("controller identify is the namespace's", answers["namespace"]["nvme"]["controller"],
              answers["controller"]["nvme"]["controller"])


def check_symlink(kind, device, answer):
    """A link may be named as it was given; all else is the device's."""
    link = f"/tmp/link-{kind}"
    os.symlink(f"/dev/{device}", link)
    other = probe(f"{kind} by symlink", link)
    check(f"{kind} by symlink differs only in", [], [
        f"{key}: {answer[key]} {other.get(key)}" for key in answer if key != "path" and answer[key] != other.get(key)])


def make_partition(disk):
    blocks_of_2_mib = 2 * MIB // drives.queue(disk)["logical_block_size"]
    run(["sfdisk", "--quiet", f"/dev/{disk}"],
        f"label: gpt\nunit: sectors\nstart={blocks_of_2_mib}, size={4 * blocks_of_2_mib}\n".encode())
    drives.wait_for(lambda: os.path.exists(f"/dev/{disk}p1"), f"{disk}p1")
    return f"{disk}p1"


def test_namespace_ids():
    for nsid, limit in ((3, 16384), (7, 32768)):
        disk = drives.namespace_node("kinds", nsid)
        for device in (disk, drives.generic_of(disk)):
            answer = probe(f"NSID {nsid} {device}", f"/dev/{device}")
            check(f"NSID {nsid} {device} nsid", nsid, answer["nvme"]["namespace"]["nsid"])
            check(f"NSID {nsid} {device} limit", limit, answer["device_limits"]["power_fail_bytes"])
            check(f"NSID {nsid} {device} nawupf", identify_namespace(f"/dev/{disk}")["nawupf"],
                  answer["nvme"]["namespace"]["nawupf"])


# ---------------------------------------------------------------- files


FILESYSTEMS = [
    # name, NSID, mkfs, reflink
    ("xfs", 1, ["mkfs.xfs", "-q", "-K", "-m", "reflink=1"], True),
    ("ext4", 2, ["mkfs.ext4", "-q", "-b", "4096"], None),
    ("ext4-bigalloc", 3, ["mkfs.ext4", "-q", "-b", "4096", "-O", "bigalloc", "-C", "16384"], None),
    ("xfs-without-reflink", 4, ["mkfs.xfs", "-q", "-K", "-m", "reflink=0"], False),
]


def test_files():
    for name, nsid, make, reflink in FILESYSTEMS:
        with cell(name):
            disk = drives.namespace_node("files", nsid)
            succeed(*make, f"/dev/{disk}")
            with mounted(f"/dev/{disk}", f"/tmp/{name}") as directory:
                with cell(f"{name} file"):
                    test_file(name, directory, disk, reflink)
                with cell(f"{name} directory"):
                    test_directory(name, directory, disk)
    with cell("tmpfs"):
        test_tmpfs()


def new_file(path, size=4 * MIB):
    with open(path, "wb") as file:
        file.write(bytes(size))
        os.fsync(file.fileno())
    return path


def test_file(name, directory, disk, reflink):
    path = new_file(f"{directory}/file")
    facts = statx_atomic(path)
    unit_max = facts["atomic_write_unit_max"] if facts["supported"] else 0
    answer = probe(name, path)
    check(f"{name} kind", "file", answer["kind"])
    check(f"{name} filesystem.type", name.split("-")[0], answer["filesystem"]["type"])
    check(f"{name} filesystem.block_size", 4096, answer["filesystem"]["block_size"])
    if reflink is not None:
        check(f"{name} filesystem.reflink", reflink, answer["filesystem"]["reflink"])
    check(f"{name} filesystem.exchange_range", False, bool(answer["filesystem"]["exchange_range"]))
    check_backing(name, answer, disk)
    check_statx(name, answer, path, facts)
    check_file_promise(name, answer, facts, unit_max)
    check_file_findings(name, codes(answer), unit_max)
    check_kernel(name, path, unit_max)
    check_file_writes(name, path, answer["paths"]["kernel"]["max_bytes"] or 0)
    check_file_answers(name, path, unit_max)


def check_backing(name, answer, disk):
    check(f"{name} nvme.controller.serial", "files", answer["nvme"]["controller"]["serial"])
    check(f"{name} device_limits.power_fail_bytes", 16384, answer["device_limits"]["power_fail_bytes"])
    check(f"{name} queue", drives.queue(disk), {key: answer["queue"][key] for key in drives.QUEUE_FIELDS})
    devices = [os.path.basename(entry["device"] or "") for entry in answer["stack"]]
    verdict(f"{name} stack reaches the disk", disk in devices, disk, devices)


def check_statx(name, answer, path, facts):
    for key, value in xfs_io_statx(path).items():
        check(f"{name} kernel's {key} by two callers", value, facts[key])
    for key in ("dio_mem_align", "dio_offset_align"):
        check(f"{name} statx.{key}", facts[key], answer["statx"][key])
    for key in ("atomic_write_unit_min", "atomic_write_unit_max", "atomic_write_unit_max_opt",
                "atomic_write_segments_max"):
        accepted = (facts[key],) if facts[key] else (0, None)
        verdict(f"{name} statx.{key}", answer["statx"][key] in accepted, facts[key], answer["statx"][key])


def check_file_promise(name, answer, facts, unit_max):
    kernel = answer["paths"]["kernel"]
    check(f"{name} paths.kernel.available", unit_max > 0, kernel["available"])
    if not unit_max:
        verdict(f"{name} paths.kernel.max_bytes is nothing", not kernel["max_bytes"], None, kernel["max_bytes"])
        verdict(f"{name} paths.kernel.reason", bool(kernel["reason"]), "a reason", kernel["reason"])
        verdict(f"{name} torn_free_bytes is nothing", not answer["torn_free_bytes"], 0, answer["torn_free_bytes"])
        return
    software = facts["atomic_write_unit_max_opt"] > 0
    check(f"{name} paths.kernel.max_bytes", unit_max, kernel["max_bytes"])
    check(f"{name} paths.kernel.min_bytes", facts["atomic_write_unit_min"], kernel["min_bytes"])
    check(f"{name} paths.kernel.hardware_max_bytes", facts["atomic_write_unit_max_opt"] or unit_max,
          kernel["hardware_max_bytes"])
    if software:
        check(f"{name} paths.kernel.software_max_bytes", unit_max, kernel["software_max_bytes"])
        check(f"{name} torn_free_bytes depends on the range", None, answer["torn_free_bytes"])
    elif name.startswith("ext4"):
        check(f"{name} torn_free_bytes", unit_max, answer["torn_free_bytes"])
    verdict(f"{name} torn_free_bytes within the drive's limit", (answer["torn_free_bytes"] or 0) <= 16384, 16384,
            answer["torn_free_bytes"])
    check(f"{name} paths.passthrough.available", False, answer["paths"]["passthrough"]["available"])


def check_file_findings(name, found, unit_max):
    if name == "ext4" and unit_max == 4096:
        check(f"{name} finding filesystem-single-block", True, "filesystem-single-block" in found)
    if name == "ext4-bigalloc":
        check(f"{name} finding filesystem-single-block", False, "filesystem-single-block" in found)
    for code in ("not-nvme", "no-permission", "partition-misaligned", "stacked-device-drops-atomics",
                 "awupf-ignored-by-kernel", "journalled-data"):
        check(f"{name} finding {code}", False, code in found)
    check(f"{name} finding volatile-write-cache", True, "volatile-write-cache" in found)


def check_kernel(name, path, unit_max):
    if not unit_max:
        check(f"{name} kernel refuses one block", "EOPNOTSUPP", atomic_write(path, 0, os.urandom(4096)))
        return
    check(f"{name} kernel takes unit_max", unit_max, atomic_write(path, 0, os.urandom(unit_max)))
    check(f"{name} kernel refuses twice unit_max", "EINVAL", atomic_write(path, 0, os.urandom(2 * unit_max)))


def check_file_writes(name, path, max_bytes):
    if not max_bytes:
        file_write_refused(f"{name} write of one block", path, 4096)
        return
    data = os.urandom(max_bytes)
    result = write(path, 0, data)
    verdict(f"{name} write the largest", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} write the largest reads back", True, read_direct(path, 0, max_bytes) == data)
    check(f"{name} write result", ("kernel", "yes", max_bytes),
          tuple(result.json[key] for key in ("path", "power_fail_atomic", "bytes")))
    file_write_refused(f"{name} write twice the largest", path, 2 * max_bytes)
    file_write_refused(f"{name} write one block more", path, max_bytes + 512)


def file_write_refused(name, path, length):
    with open(path, "rb") as file:
        before = file.read()
    refused(name, write(path, 0, os.urandom(length)))
    with open(path, "rb") as file:
        check(f"{name} wrote nothing", True, file.read() == before)


def check_file_answers(name, path, unit_max):
    for writer, wanted in (("rwf-atomic", [0] if unit_max >= 16384 else [1]), ("buffered", [1]), ("direct", [1, 2])):
        result = tool("probe", "--page-size", "16k", "--writer", writer, path)
        verdict(f"{name} 16k {writer}", result.code in wanted, wanted, result.code)


def test_journalled_data():
    """The trap: the kernel advertises atomic writes on this file, takes them, and does not keep them."""
    device = f"/dev/{drives.namespace_node('files', 2)}"
    succeed("mkfs.ext4", "-q", "-F", device)
    succeed("mount", "-o", "data=journal", device, "/mnt")
    try:
        path = new_file("/mnt/file")
        answer = probe("journalled", path)
        check("journalled statx.dio_offset_align", 0, answer["statx"]["dio_offset_align"])
        check("journalled paths.kernel.available", False, answer["paths"]["kernel"]["available"])
        check("journalled paths.kernel.max_bytes", 0, answer["paths"]["kernel"]["max_bytes"])
        check("journalled torn_free_bytes", 0, answer["torn_free_bytes"])
        advertised = bool(answer["statx"]["atomic_write_unit_max"])
        check("journalled finding journalled-data", advertised, "journalled-data" in codes(answer))
        block = answer["filesystem"]["block_size"]
        if advertised:
            taken = atomic_write(path, 0, os.urandom(block))
            check("journalled: the kernel takes what it does not keep", block, taken)
        for writer in ("rwf-atomic", "direct", "buffered"):
            code = tool("probe", "--page-size", str(block), "--writer", writer, path).code
            check(f"journalled one block {writer}", 1, code)
        file_write_refused("journalled write", path, block)
    finally:
        succeed("umount", "/mnt")


def test_directory(name, directory, disk):
    """A directory stands for a new file in it, and probing leaves nothing behind."""
    entries = sorted(os.listdir(directory))
    answer = probe(f"{name} directory", directory)
    check(f"{name} directory kind", "directory", answer["kind"])
    check(f"{name} directory is left as it was", entries, sorted(os.listdir(directory)))
    path = new_file(f"{directory}/new", 0)
    check_statx(f"{name} directory", answer, path, statx_atomic(path))
    check_backing(f"{name} directory", answer, disk)
    link = f"/tmp/link-{name}"
    os.symlink(path, link)
    check(f"{name} file by symlink", "file", probe(f"{name} file by symlink", link)["kind"])


def test_tmpfs():
    path = new_file("/tmp/plain-file", MIB)
    for kind, target in (("file", path), ("directory", "/tmp")):
        answer = probe(f"tmpfs {kind}", target)
        check(f"tmpfs {kind} kind", kind, answer["kind"])
        check(f"tmpfs {kind} filesystem.type", "tmpfs", answer["filesystem"]["type"])
        check(f"tmpfs {kind} paths.kernel.available", False, answer["paths"]["kernel"]["available"])
        verdict(f"tmpfs {kind} torn_free_bytes", not answer["torn_free_bytes"], 0, answer["torn_free_bytes"])
        check(f"tmpfs {kind} finding", True, "filesystem-without-atomics" in codes(answer))
    file_write_refused("tmpfs write", path, 4096)


# ---------------------------------------------------------------- bad input


def test_bad_input():
    for name, path, code in (("no such target", "/dev/nvme99n1", "not-found"), ("not NVMe", "/dev/null", None)):
        with cell(name):
            result = tool("probe", path)
            check(f"{name} exit code", 2, result.code)
            one_line(name, result)
            check_error(f"{name} as JSON", tool("probe", "--json", path), code)
            refused(f"{name} write", write(path, 0, bytes(512)), code)
    with cell("one good target, one missing"):
        good = f"/dev/{drives.namespace_node('kinds', 3)}"
        result = tool("probe", "--json", good, "/dev/nvme99n1")
        check("one good, one missing exit code", 2, result.code)
        first, second = result.json["targets"]
        check("one good, one missing: the good one", (good, 16384), (first["path"], first["torn_free_bytes"]))
        check("one good, one missing: the other", True, "error" in second)
    with cell("several answers"):
        test_several_answers()
    with cell("what cannot be written"):
        disk = drives.namespace_node("kinds", 3)
        for node in (drives.generic_of(disk), drives.controller_of(disk)):
            refused(f"write to {node}", write(f"/dev/{node}", 0, bytes(512)))
        refused("write to a directory", write("/tmp", 0, bytes(4096)))
    with cell("usage"):
        check("unknown option", 64, tool("probe", "--no-such-option").code)
        check("no size", 64, tool("probe", "--page-size", "many", "/tmp").code)


def test_several_answers():
    """Not done beats no, and no beats yes."""
    yes, no, missing = f"/dev/{drives.namespace_node('kinds', 3)}", "/tmp", "/dev/nvme99n1"
    for targets, code in (((yes,), 0), ((yes, no), 1), ((no, yes), 1), ((yes, no, missing), 2), ((missing, yes), 2)):
        result = tool("probe", "--page-size", "16k", "--writer", "rwf-atomic", *targets)
        check(f"exit code of {len(targets)} answers, last {targets[-1][:9]}", code, result.code)


def check_error(name, result, code):
    check(f"{name} exit code", 2, result.code)
    error = result.target["error"]
    verdict(f"{name} message", bool(error["message"]), "a message", error)
    if code:
        check(f"{name} code", code, error["code"])


def test_unprivileged():
    with cell("closed directory"):
        os.mkdir("/tmp/closed", 0o700)
        new_file("/tmp/closed/inside", 4096)
        result = run([*NOBODY, *TOOL, "probe", "/tmp/closed/inside"])
        check("file in a closed directory exit code", 2, result.code)
        one_line("file in a closed directory", result)
        check_error("file in a closed directory as JSON",
                    run([*NOBODY, *TOOL, "probe", "--json", "/tmp/closed/inside"]), "permission")
        result = run([*NOBODY, *TOOL, "probe", "--json", "/tmp/closed"])
        verdict("closed directory exit code", result.code in (0, 2), (0, 2), result.code)
        check("closed directory gives JSON", "nvme-atomic-probe/1", result.json["format"])
    with cell("unprivileged namespace"):
        disk = drives.namespace_node("kinds", 3)
        result = run([*NOBODY, *TOOL, "probe", "--json", f"/dev/{disk}"])
        check("unprivileged exit code", 0, result.code)
        check("unprivileged contract", [], breaches(result.json))
        check_partial(result.target, disk)
    with cell("unprivileged answers"):
        for writer, wanted in (("direct", [1, 2]), ("buffered", [1])):
            answer = run([*NOBODY, *TOOL, "probe", "--page-size", "16k", "--writer", writer, f"/dev/{disk}"])
            verdict(f"unprivileged 16k {writer}", answer.code in wanted, wanted, answer.code)
    with cell("unprivileged write"):
        refused("unprivileged write", write(f"/dev/{disk}", 0, bytes(512), prefix=NOBODY), "permission")


def check_partial(answer, disk):
    """sysfs may give the names; what only Identify tells must be unknown, not 0."""
    nvme = answer["nvme"] or {}
    for part, keys in (("controller", ("awun", "awupf", "acwu", "mdts", "vwc")), ("namespace", ("nawun", "nawupf"))):
        values = [(nvme.get(part) or {}).get(key) for key in keys]
        check(f"unprivileged nvme.{part} is unknown", [None] * len(keys), values)
    check("unprivileged finding", True, "no-permission" in codes(answer))
    check("unprivileged queue", drives.queue(disk), {key: answer["queue"][key] for key in drives.QUEUE_FIELDS})
    check("unprivileged statx", 16384, answer["statx"]["atomic_write_unit_max"])
    check("unprivileged device_limits", None, (answer["device_limits"] or {}).get("power_fail_bytes"))
    verdict("unprivileged torn_free_bytes", (answer["torn_free_bytes"] or 0) <= 16384, 16384, answer["torn_free_bytes"])


def test_damaged_sysfs():
    """An attribute that is empty, cut off, or no number at all is unknown; the rest stays known."""
    disk = drives.namespace_node("kinds", 3)
    attribute = f"/sys/block/{disk}/queue/atomic_write_unit_max_bytes"
    for name, content in (("empty", ""), ("no number", "sixteen\n"), ("beyond any number", "9" * 40 + "\n")):
        with cell(f"sysfs {name}"):
            with replaced(attribute, content):
                answer = probe(f"sysfs {name}", f"/dev/{disk}")
            check(f"sysfs {name} is unknown", None, answer["queue"]["atomic_write_unit_max_bytes"])
            check(f"sysfs {name} leaves the rest", 512, answer["queue"]["logical_block_size"])
            verdict(f"sysfs {name} promises no more", (answer["torn_free_bytes"] or 0) <= 16384, 16384,
                    answer["torn_free_bytes"])


@contextmanager
def replaced(attribute, content):
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(content)
        file.flush()
        succeed("mount", "--bind", file.name, attribute)
        try:
            yield
        finally:
            succeed("umount", attribute)


# ---------------------------------------------------------------- occupied and signed devices


def scratch():
    return f"/dev/{drives.namespace_node('scratch')}"


def wipe(device):
    succeed("wipefs", "--quiet", "--all", device)


def unchanged_after(name, device, offset, attempt, code):
    before = read_direct(device, offset, 4096)
    refused(name, attempt(), code)
    check(f"{name} wrote nothing", True, read_direct(device, offset, 4096) == before)


def attempt(device, *options):
    return lambda: write(device, 32 * MIB, os.urandom(4096), "--overwrite-existing-data", *options)


def test_occupied():
    device = scratch()
    with cell("mounted"):
        succeed("mkfs.ext4", "-q", device)
        with mounted(device, "/tmp/mounted"):
            check("mounted probe", 16384, probe("mounted", device)["torn_free_bytes"])
            unchanged_after("write while mounted", device, 32 * MIB, attempt(device), "busy")
        wipe(device)
    with cell("held exclusively"), exclusively(device):
        unchanged_after("write while held", device, 32 * MIB, attempt(device), "busy")
    with cell("held by device mapper"), device_mapper_over(device):
        unchanged_after("write below device mapper", device, 32 * MIB, attempt(device), "busy")
    with cell("a partition of it is mounted"):
        make_table("dos", device)
        partition = f"{device}p1"
        drives.wait_for(lambda: os.path.exists(partition), partition)
        succeed("mkfs.ext4", "-q", partition)
        with mounted(partition, "/tmp/mounted"):
            unchanged_after("write to the disk below", device, 32 * MIB, attempt(device), "busy")
        wipe(partition)
        wipe(device)


@contextmanager
def exclusively(device):
    descriptor = os.open(device, os.O_RDONLY | os.O_EXCL)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def device_mapper_over(device):
    succeed("dmsetup", "create", "holder", "--table", f"0 {8 * MIB // 512} linear {device} 0")
    try:
        yield
    finally:
        succeed("dmsetup", "remove", "holder")


def make_table(label, device):
    """A partition table with one partition of 16 MiB."""
    result = run(["sfdisk", "--quiet", "--label", label, device], b"start=2048, size=32768\n")
    if result.code != 0:
        raise RuntimeError(f"sfdisk: {result.errors.strip()}")


def test_signatures():
    device = scratch()
    for name, make in (
        ("filesystem", lambda: succeed("mkfs.ext4", "-q", device)),
        ("partition table", lambda: make_table("gpt", device)),
    ):
        with cell(f"signature {name}"):
            make()
            check(f"{name} probe", 16384, probe(name, device)["torn_free_bytes"])
            unchanged_after(f"write over a {name}", device, 32 * MIB,
                            lambda: write(device, 32 * MIB, os.urandom(4096)), None)
            data = os.urandom(16384)
            result = write(device, 32 * MIB, data, "--overwrite-existing-data")
            verdict(f"write over a {name} when told", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
            check(f"write over a {name} reads back", True, read_direct(device, 32 * MIB, 16384) == data)
            wipe(device)
    with cell("no signature"):
        check("write to an empty drive", 0, write(device, 32 * MIB, os.urandom(4096)).code)
    with cell("not durable"):
        result = write(device, 32 * MIB, os.urandom(4096), "--durable", "none")
        check("with a volatile cache and no flush", (0, "assumed"), (result.code, result.json["power_fail_atomic"]))
    with cell("standard input"):
        data = os.urandom(4096)
        result = tool("write", device, "--at", "32m", "--input", "-", "--json", input=data)
        check("write from standard input", (0, True), (result.code, read_direct(device, 32 * MIB, 4096) == data))
    with cell("beyond the end"):
        refused("write at the end of the drive", write(device, 64 * MIB, os.urandom(4096)))


# ---------------------------------------------------------------- removal


def test_removal():
    """A drive that goes while it is probed: an answer or an error, never a crash; an answer before, an error after."""
    ends = []
    for attempt in range(4):
        name = f"removal {attempt}"
        with cell(name):
            disk = drives.namespace_node("removed")
            check(f"{name} exit code before", 0, tool("probe", "--json", f"/dev/{disk}").code)
            results = probes_during_removal(disk)
            check(f"{name} exit code after", 2, tool("probe", "--json", f"/dev/{disk}").code)
            drives.write("/sys/bus/pci/rescan", 1)
            for result in results:
                ends.append(result.code)
                verdict(f"{name} exit code", result.code in (0, 2), (0, 2), f"{result.code} {result.errors}")
                check(f"{name} gives JSON", "nvme-atomic-probe/1", result.json["format"])
    note(f"probes around the removal of their drive: {ends.count(0)} answered, {ends.count(2)} refused")


def probes_during_removal(disk):
    """Probes started one after the other while the kernel takes the drive away, which lasts longer than each."""
    slot = os.path.basename(os.path.realpath(f"/sys/block/{disk}/device/device"))
    remover = threading.Thread(target=drives.write, args=(f"/sys/bus/pci/devices/{slot}/remove", 1))
    probes = []
    for number in range(8):
        probes.append(subprocess.Popen([*TOOL, "probe", "--json", f"/dev/{disk}"], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True))
        if number == 1:
            remover.start()
        time.sleep(0.03)
    results = [finished(probe) for probe in probes]
    remover.join()
    return results


def finished(process):
    output, errors = process.communicate(timeout=120)
    return Result(process.returncode, output, errors)


# ---------------------------------------------------------------- text and cost


def test_text():
    path = f"/dev/{drives.namespace_node('kinds', 3)}"
    result = tool("probe", path)
    check("text exit code", 0, result.code)
    verdict("text names the limit", "16 KiB" in result.output, "16 KiB", result.output)
    verdict("text has no colour in a pipe", "\033" not in result.output, "no escapes", result.output)
    reading, writing = os.pipe()
    os.close(reading)
    closed = subprocess.run([*TOOL, "probe", path], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    check("a closed pipe ends quietly", "", closed.stderr)


def test_cost():
    path = f"/dev/{drives.namespace_node('kinds', 3)}"
    count_device_commands(path)
    compare_processor_time(path)


DEVICE_COMMANDS = re.compile(r"ioctl\([^,]+, (0xc0484e41|0xc0504e47|0xc0484e43|0xc0504e48)\b")


def count_device_commands(path):
    with tempfile.NamedTemporaryFile("r") as trace:
        run(["strace", "-f", "-e", "trace=ioctl", "-e", "raw=ioctl", "-o", trace.name, *TOOL, "probe", "--json", path])
        commands = len(DEVICE_COMMANDS.findall(trace.read()))
    note(f"one probe of a namespace: {commands} device commands")
    verdict("device commands per probe", 1 <= commands <= 4, "1 to 4", commands)


def usage(command):
    """User seconds and peak memory in KiB of one run."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime, used.ru_maxrss


def mean_user_time(command, runs=5):
    """One run is a few ticks of the kernel's clock; several together are measured better."""
    return sum(usage(command)[0] for _ in range(runs)) / runs


def compare_processor_time(path):
    """A figure, not a check: time is noisy under emulation. Docs/NVMeAtomic.docc/Costs.md keeps what was measured."""
    ours, theirs = [*TOOL, "probe", "--json", path], ["nvme", "id-ns", path]
    _, peak = usage(ours)
    usage(theirs)
    samples = [(mean_user_time(ours), mean_user_time(theirs)) for _ in range(5)]
    probe_time, nvme_time = (statistics.median(column) for column in zip(*samples))
    ratio = probe_time / nvme_time
    note(f"user CPU: probe {probe_time * 1000:.1f} ms, nvme id-ns {nvme_time * 1000:.1f} ms, ratio {ratio:.2f}; "
         f"peak memory {peak // 1024} MiB")
    verdict("peak memory", peak < 40 * 1024, "under 40 MiB", f"{peak} KiB")


main()
