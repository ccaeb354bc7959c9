"""Every cell of the matrix: what the tool says of a drive, against the drive, the kernel, and the rules."""

from contextlib import contextmanager
import functools
import os
import tempfile

from cells import CELLS
from checks import cell, check, finish, note, verdict
from commands import disable_normal, identify_controller, identify_namespace, succeed, tool, xfs_io_statx
from direct_io import atomic_write, read_direct, statx_atomic, write_direct
import drives
import rules

PAGE = 16 * 1024


class Target:
    """A namespace or a partition, with everything that was learnt of it without the tool."""

    def __init__(self, name, kind, device, disk, facts, start, torn_free):
        self.name = name
        self.kind = kind
        self.path = f"/dev/{device}"
        self.device = device
        self.disk = disk
        self.controller, self.namespace, self.normal_disabled = facts
        self.start = start
        self.hand_written_torn_free = torn_free
        self.promise = rules.promise(*facts)
        self.queue = drives.queue(disk)
        self.statx = statx_atomic(self.path)
        self.has_table = kind == "namespace" and any(
            entry.startswith(disk) for entry in os.listdir(f"/sys/block/{disk}"))

    @property
    def unit_max(self):
        return self.statx["atomic_write_unit_max"] if self.statx["supported"] else 0

    @property
    def device_unit(self):
        return self.promise.kept_whole_at_every_natural_place(self.start)

    @property
    def torn_free(self):
        return min(self.unit_max, self.device_unit)

    @property
    def max_hw_bytes(self):
        return self.queue["max_hw_sectors_kb"] * 1024

    @property
    def passthrough_max(self):
        limits = [self.promise.power_fail, self.max_hw_bytes, self.promise.max_transfer, self.promise.boundary]
        return min(limit for limit in limits if limit)


def main():
    note(f"kernel {os.uname().release} {'uses' if kernel_uses_awupf() else 'ignores'} AWUPF")
    for entry in CELLS:
        with cell(entry.name):
            test_cell(entry)
    finish()


@functools.cache
def kernel_uses_awupf():
    queue = drives.queue(drives.namespace_node("awupf-512"))
    return queue["atomic_write_unit_max_bytes"] > queue["logical_block_size"]


def test_cell(entry):
    for nsid, declared in enumerate(entry.namespaces, 1):
        disk = drives.namespace_node(entry.name, nsid)
        name = entry.name if len(entry.namespaces) == 1 else f"{entry.name}/{nsid}"
        facts = learn(entry, declared, disk, name)
        partitions = make_partitions(disk, declared)
        test_target(Target(name, "namespace", disk, disk, facts, 0, hand_written(declared.torn_free)))
        for number, (device, partition) in enumerate(zip(partitions, declared.partitions), 1):
            with cell(f"{name}/p{number}"):
                start = partition.start * declared.lba_size
                check(f"{name}/p{number} starts where it should", start, drives.partition_start_bytes(device))
                test_target(Target(
                    f"{name}/p{number}", "partition", device, disk, facts, start, partition.torn_free))


def hand_written(torn_free):
    if isinstance(torn_free, tuple):
        return torn_free[0 if kernel_uses_awupf() else 1]
    return torn_free


def learn(entry, declared, disk, name):
    """The raw values by nvme-cli. A drive that is not what the cell says would prove nothing."""
    node = f"/dev/{drives.controller_of(disk)}"
    controller, namespace = identify_controller(node), identify_namespace(f"/dev/{disk}")
    disabled = disable_normal(node)
    wanted = {"awun": 0, "awupf": 0, **entry.controller, "mdts": entry.mdts}
    check(f"{name} drive: controller", wanted, {key: controller[key] for key in wanted})
    wanted = {"nawun": 0, "nawupf": 0, "nabsn": 0, "nabspf": 0, "nabo": 0, **declared.limits}
    check(f"{name} drive: namespace", wanted, {key: namespace[key] for key in wanted})
    check(f"{name} drive: block size", declared.lba_size, rules.lba_size(namespace))
    check(f"{name} drive: DN", entry.dn, disabled)
    return controller, namespace, disabled


def make_partitions(disk, declared):
    if not declared.partitions:
        return []
    blocks = 2 * 1024 * 1024 // declared.lba_size
    table = "label: dos\nunit: sectors\n" + "".join(
        f"start={partition.start}, size={blocks}, type=83\n" for partition in declared.partitions)
    with tempfile.NamedTemporaryFile("w") as script:
        script.write(table)
        script.flush()
        succeed("sh", "-c", f"sfdisk --quiet /dev/{disk} < {script.name}")
    names = [f"{disk}p{number}" for number in range(1, len(declared.partitions) + 1)]
    for name in names:
        drives.wait_for(lambda: os.path.exists(f"/dev/{name}"), name)
    return names


def test_target(target):
    result = tool("probe", "--json", target.path)
    check(f"{target.name} probe exit code", 0, result.code)
    answer = result.target
    with cell(f"{target.name} numbers"):
        check_identify(target, answer["nvme"])
        check_queue_and_statx(target, answer)
        check_device_limits(target, answer["device_limits"])
        check_stack(target, answer)
    with cell(f"{target.name} promises"):
        check_promises(target, answer)
        check_findings(target, {finding["code"] for finding in answer["findings"]})
    with cell(f"{target.name} kernel"):
        check_kernel(target)
    with cell(f"{target.name} write"):
        check_writes(target, answer["paths"]["kernel"]["max_bytes"] or 0)
    with cell(f"{target.name} answers"):
        check_answers(target)


# ---------------------------------------------------------------- the numbers


def check_identify(target, nvme):
    controller = nvme["controller"]
    for key in ("awun", "awupf", "acwu", "mdts", "vwc"):
        check(f"{target.name} nvme.controller.{key}", target.controller[key], controller[key])
    for key, raw in (("model", "mn"), ("serial", "sn"), ("firmware", "fr")):
        check(f"{target.name} nvme.controller.{key}", target.controller[raw].strip(), controller[key])
    check(f"{target.name} nvme.controller.name", drives.controller_of(target.disk), controller["name"])
    namespace = nvme["namespace"]
    for key in ("nsfeat", "flbas", "nawun", "nawupf", "nacwu", "nabsn", "nabo", "nabspf"):
        check(f"{target.name} nvme.namespace.{key}", target.namespace[key], namespace[key])
    check(f"{target.name} nvme.namespace.nsid", int(drives.read(f"/sys/block/{target.disk}/nsid")), namespace["nsid"])
    check(f"{target.name} nvme.namespace.lba_size", target.promise.lba_size, namespace["lba_size"])
    check(f"{target.name} nvme.namespace.metadata_size", 0, namespace["metadata_size"])
    check(f"{target.name} nvme.write_atomicity_normal.dn", target.normal_disabled, nvme["write_atomicity_normal"]["dn"])


def check_queue_and_statx(target, answer):
    for key, value in target.queue.items():
        check(f"{target.name} queue.{key}", value, answer["queue"][key])
    independent = xfs_io_statx(target.path)
    for key, value in independent.items():
        check(f"{target.name} kernel's {key} by two callers", value, target.statx[key])
    for key in ("dio_mem_align", "dio_offset_align"):
        check(f"{target.name} statx.{key}", target.statx[key], answer["statx"][key])
    for key in ("atomic_write_unit_min", "atomic_write_unit_max", "atomic_write_unit_max_opt",
                "atomic_write_segments_max"):
        check_statx_limit(target, key, answer["statx"][key])


def check_statx_limit(target, key, actual):
    """A limit that the kernel leaves out may be 0, as it is in the structure, or unknown."""
    expected = target.statx[key]
    accepted = (expected,) if expected else (0, None)
    verdict(f"{target.name} statx.{key}", actual in accepted, expected, actual)


def check_device_limits(target, limits):
    promise = target.promise
    expected = {
        "normal_bytes": promise.normal,
        "normal_boundary_bytes": promise.normal_boundary,
        "power_fail_bytes": promise.power_fail,
        "power_fail_boundary_bytes": promise.boundary,
        "boundary_offset_bytes": promise.boundary_offset,
        "power_fail_source": promise.power_fail_source,
        "max_transfer_bytes": promise.max_transfer,
    }
    if not target.normal_disabled:
        expected["normal_source"] = promise.normal_source
    for key, value in expected.items():
        check(f"{target.name} device_limits.{key}", value, limits[key])


def check_stack(target, answer):
    check(f"{target.name} kind", target.kind, answer["kind"])
    check(f"{target.name} path", target.path, answer["path"])
    stack = answer["stack"]
    check(f"{target.name} stack begins with the target", target.device, os.path.basename(stack[0]["device"]))
    if target.kind == "partition":
        check(f"{target.name} stack.start_bytes", target.start, stack[0]["start_bytes"])
    devices = [os.path.basename(entry["device"]) for entry in stack]
    verdict(f"{target.name} stack reaches the disk", target.disk in devices, target.disk, devices)


# ---------------------------------------------------------------- the promises


def check_promises(target, answer):
    kernel, passthrough = answer["paths"]["kernel"], answer["paths"]["passthrough"]
    check(f"{target.name} torn_free_bytes by hand", target.hand_written_torn_free, answer["torn_free_bytes"])
    check(f"{target.name} torn_free_bytes by the rules", target.torn_free, answer["torn_free_bytes"])
    check(f"{target.name} paths.kernel.available", target.torn_free > 0, kernel["available"])
    if target.torn_free:
        check(f"{target.name} paths.kernel.max_bytes", target.torn_free, kernel["max_bytes"])
        check(f"{target.name} paths.kernel.hardware_max_bytes", target.torn_free, kernel["hardware_max_bytes"])
        check(f"{target.name} paths.kernel.min_bytes", target.statx["atomic_write_unit_min"], kernel["min_bytes"])
        check(f"{target.name} paths.kernel.backing", "hardware", kernel["backing"])
        check(f"{target.name} paths.kernel.boundary_bytes",
              target.queue["atomic_write_boundary_bytes"], kernel["boundary_bytes"])
    else:
        at_most(f"{target.name} paths.kernel.max_bytes", 0, kernel["max_bytes"])
        verdict(f"{target.name} paths.kernel.reason", bool(kernel["reason"]), "a reason", kernel["reason"])
    at_most(f"{target.name} paths.kernel.software_max_bytes", 0, kernel["software_max_bytes"])
    check(f"{target.name} paths.passthrough.available", True, passthrough["available"])
    check(f"{target.name} paths.passthrough.max_bytes", target.passthrough_max, passthrough["max_bytes"])
    check(f"{target.name} paths.passthrough.granule_bytes", target.promise.lba_size, passthrough["granule_bytes"])
    check(f"{target.name} paths.passthrough.boundary_bytes", target.promise.boundary, passthrough["boundary_bytes"])
    check(f"{target.name} paths.passthrough.boundary_offset_bytes",
          target.promise.boundary_offset, passthrough["boundary_offset_bytes"])
    check(f"{target.name} paths.exchange.available", False, answer["paths"]["exchange"]["available"])


def at_most(name, limit, actual):
    verdict(f"{name} at most {limit}", actual is None or actual <= limit, limit, actual)


def check_findings(target, codes):
    promise, queue = target.promise, target.queue
    misaligned = target.kind == "partition" and not target.unit_max and queue["atomic_write_unit_max_bytes"]
    ignored = (promise.power_fail_source == "controller" and promise.power_fail > promise.lba_size
               and queue["atomic_write_unit_max_bytes"] == promise.lba_size)
    capped = min(promise.max_transfer, target.max_hw_bytes) < promise.power_fail
    causes = {
        "awupf-ignored-by-kernel": ignored,
        "boundary-offset-unsupported": promise.boundary_offset != 0,
        # Also where the kernel overlooks it: it still narrows what natural alignment can use.
        "boundary-not-power-of-two": promise.boundary != 0 and not rules.is_power_of_two(promise.boundary),
        "write-atomicity-normal-disabled": target.normal_disabled,
        "capped-by-transfer-limit": capped,
        "partition-misaligned": bool(misaligned),
        "adjacent-batch-hazard": queue["atomic_write_max_bytes"] > queue["atomic_write_unit_max_bytes"] > 0,
        "volatile-write-cache": bool(target.controller["vwc"] & 1),
    }
    if not capped:
        causes["rounded-down-to-power-of-two"] = not rules.is_power_of_two(promise.power_fail)
    for code in ("kernel-too-old", "stacked-device-drops-atomics", "filesystem-without-atomics",
                 "filesystem-single-block", "software-backed", "vendor-torn-write-fields", "no-permission", "not-nvme",
                 "metadata-format", "journalled-data", "multiple-atomicity-mode", "range-falls-to-software",
                 "paths-disagree", "fabrics-claim-derived"):
        causes[code] = False
    for code, expected in causes.items():
        check(f"{target.name} finding {code}", expected, code in codes)


# ---------------------------------------------------------------- the kernel, without the tool


def check_kernel(target):
    """That the kernel does what it says is the ground the other checks stand on."""
    block = target.promise.lba_size
    if target.unit_max:
        check(f"{target.name} kernel takes unit_max", target.unit_max,
              atomic_write(target.path, scratch(target), os.urandom(target.unit_max)))
        check(f"{target.name} kernel refuses twice unit_max", "EINVAL",
              atomic_write(target.path, scratch(target), os.urandom(2 * target.unit_max)))
    else:
        check(f"{target.name} kernel refuses one block", "EOPNOTSUPP",
              atomic_write(target.path, scratch(target), os.urandom(block)))


def scratch(target):
    """A place far from any table, aligned to all sizes in use."""
    return 1024 * 1024 if target.kind == "partition" else 48 * 1024 * 1024


# ---------------------------------------------------------------- one write by the tool


def check_writes(target, max_bytes):
    offset, block = scratch(target), target.promise.lba_size
    if not max_bytes:
        refused(target, "one block where nothing is promised", offset, block)
        return
    accepted(target, "the largest", offset, max_bytes)
    accepted(target, "one block", offset + max_bytes, block)
    refused(target, "twice the largest", too_much_at(target, 2 * max_bytes), 2 * max_bytes)
    if max_bytes > block:
        refused(target, "one block more", offset, max_bytes + block)
        refused(target, "the largest, off its alignment", offset + max_bytes // 2, max_bytes)
    refused(target, "part of a block", offset, block // 2)


def too_much_at(target, length):
    """A place where a naturally aligned write of that length is not kept whole. With odd windows
    some places are, and a plan for one write may use them."""
    offset = scratch(target)
    while length <= target.unit_max and target.promise.keeps_whole(target.start + offset, length):
        offset += length
    return offset


def write_command(target, offset, data):
    overwrite = ["--overwrite-existing-data"] if target.has_table else []
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return tool("write", target.path, "--path", "kernel", "--at", offset, "--input", file.name, "--json", *overwrite)


def accepted(target, what, offset, length):
    name, data = f"{target.name} write {what} ({length})", os.urandom(length)
    result = write_command(target, offset, data)
    verdict(f"{name} exit code", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} reads back", True, read_direct(target.path, offset, length) == data)
    document = result.json
    facts = {key: document[key] for key in ("format", "path", "power_fail_atomic", "bytes")}
    check(f"{name} result", {
        "format": "nvme-atomic-write/1", "path": "kernel", "power_fail_atomic": "yes", "bytes": length}, facts)


def refused(target, what, offset, length):
    name = f"{target.name} write {what} ({length})"
    room = -(-length // target.promise.lba_size) * target.promise.lba_size
    before = os.urandom(room)
    write_direct(target.path, offset, before)
    result = write_command(target, offset, os.urandom(length))
    check(f"{name} refused", 2, result.code)
    check(f"{name} wrote nothing", True, read_direct(target.path, offset, room) == before)
    check(f"{name} says so", ("nvme-atomic", "not-written"),
          (result.json["format"][:11], result.json["error"]["outcome"]))


# ---------------------------------------------------------------- yes or no


def check_answers(target):
    ask(target, "rwf-atomic", [0] if target.torn_free >= PAGE else [1])
    ask(target, "buffered", [1])
    ask_direct(target, PAGE)
    # Neighbours can no longer be joined; now the drive's own limit decides.
    with queue_set(target, "nomerges", 2):
        ask_direct(target, PAGE, " without merges")
    if target.name in ("nawupf-512", "boundary-512", "both-512"):
        small_commands(target)
    if target.name.startswith("boundary-"):
        concrete_writes(target)


def ask(target, writer, codes, size=PAGE, when=""):
    result = tool("probe", "--json", "--page-size", size, "--writer", writer, target.path)
    name = f"{target.name} {size // 1024}k {writer}{when}"
    verdict(f"{name} exit code", result.code in codes, codes, result.code)
    check(f"{name} answer", {0: True, 1: False, 2: None}.get(result.code), result.target["answer"]["atomic"])


def ask_direct(target, size, when=""):
    """A wrong yes costs somebody a database: it is expected only where nothing can split a page,
    or join it with its neighbours into a command that the drive does not keep whole."""
    if target.device_unit < size:
        codes = [1]
    elif may_split(target, size) or may_join_too_much(target, size):
        codes = [1, 2]
    else:
        codes = [0]
        check_one_command(target, size, when)
    ask(target, "direct", codes, size, when)


def check_one_command(target, size, when):
    """That the kernel does not split such a write is seen in the drive's own count."""
    before = drives.completed_writes(target.disk)
    for place in (0, 512, 4096 - target.statx["dio_mem_align"]):
        write_direct(target.path, scratch(target), os.urandom(size), place)
    check(f"{target.name} {size // 1024}k is one command{when}", 3, drives.completed_writes(target.disk) - before)


def may_split(target, size):
    """One buffer, wherever it lies, touches one page more than it fills."""
    segments = int(drives.read(drives.queue_setting(target.disk, "max_segments")))
    return size > largest_command(target) or size // 4096 + 1 > segments


def may_join_too_much(target, size):
    if drives.read(drives.queue_setting(target.disk, "nomerges")) == "2":
        return False
    joins = size + target.promise.lba_size <= largest_command(target)
    return joins and (largest_command(target) > target.promise.power_fail or target.promise.boundary > 0)


def largest_command(target):
    return int(drives.read(drives.queue_setting(target.disk, "max_sectors_kb"))) * 1024


@contextmanager
def queue_set(target, name, value):
    setting = drives.queue_setting(target.disk, name)
    before = drives.read(setting)
    drives.write(setting, value)
    try:
        yield
    finally:
        drives.write(setting, before)


def small_commands(target):
    """Joined pages stay within the limit, but across a boundary they tear; larger pages are split."""
    with queue_set(target, "max_sectors_kb", 16):
        for size in (4096, PAGE, 2 * PAGE):
            ask_direct(target, size, " with max_sectors_kb at 16")
        with queue_set(target, "nomerges", 2):
            ask_direct(target, 2 * PAGE, " with max_sectors_kb at 16, without merges")


def concrete_writes(target):
    """Inside a window, across one, off its alignment, and too long."""
    for offset, length, code in ((16, 16, 0), (32, 16, 0), (24, 16, 1), (4, 8, 1), (0, 32, 1), (24, 8, 0)):
        result = tool("probe", "--json", "--at", f"{offset}k", "--length", f"{length}k", "--writer", "rwf-atomic",
                      target.path)
        check(f"{target.name} {length} KiB at {offset} KiB", code, result.code)


main()
