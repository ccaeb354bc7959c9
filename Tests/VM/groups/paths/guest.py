"""Several paths to one namespace: native multipath, and NVMe over Fabrics by nvme-loop."""

import os
import time

import fabric
import heads
import nvme059
import rules
from checks import cell, check, finish, note, verdict
from commands import TOOL, disable_normal, identify_controller, identify_namespace, mounted, run, succeed, tool
from contract import breaches
from direct_io import RWF_ATOMIC, atomic_write, statx_atomic, write_direct
import drives
from writes import MIB, PLACE, check_limits, tool_refuses, tool_writes

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
NAMESPACE_ENTRY = ["device", "path", "nvme", "device_limits", "queue"]


def main():
    started = time.monotonic()
    for part in (test_heads, test_policies, test_settings, test_normal_disabled, test_unprivileged, test_partition,
                 test_layers, test_removal, test_nvme059, test_fabrics, test_forwarded):
        with cell(part.__name__):
            part()
            note(f"{part.__name__} ended after {time.monotonic() - started:.0f} s")
    finish()


# ---------------------------------------------------------------- native multipath


def test_heads():
    for name, paths in (("agreeing", 2), ("unequal", 2), ("three", 3), ("common", 2), ("mixed", 2)):
        with cell(name):
            check_head(name, heads.find(name, paths))


def kernel_passes_atomics():
    """Whether heads take RWF_ATOMIC at all."""
    return heads.find("agreeing", 2).queue["atomic_write_unit_max_bytes"] > 0


def check_head(name, head):
    paths = head.paths
    with cell(f"{name} kernel's limits"):
        check_kernel_limits(name, head, paths)
    with cell(f"{name} kernel's writes"):
        queue = head.queue
        check_limits(name, head.node, queue["atomic_write_unit_min_bytes"], queue["atomic_write_unit_max_bytes"],
                     queue["logical_block_size"])
    with cell(f"{name} tool"):
        check_tool(name, head, paths)


def check_kernel_limits(name, head, paths):
    limits = [kernel_limits(path) for path in paths]
    for path in paths:
        check(f"{name} {path.disk} is what some path allows", True, heads.atomics(path.queue) in kernel_limits(path))
        check(f"{name} {path.disk} carries MDTS", path.mdts_bytes, path.queue["max_hw_sectors_kb"] * 1024)
    expected = heads.stacked([path.queue for path in paths])
    if not kernel_passes_atomics():
        expected = dict.fromkeys(expected, 0)
    check(f"{name} head is the least of its paths", expected, heads.atomics(head.queue))
    statx = statx_atomic(head.node)
    check(f"{name} head by statx", (expected["atomic_write_unit_min_bytes"], expected["atomic_write_unit_max_bytes"]),
          (statx["atomic_write_unit_min"], statx["atomic_write_unit_max"]))
    return limits


def kernel_limits(path):
    """What the kernel may make of one path: Linux 6.12 takes the AWUPF of the subsystem's first controller."""
    block = rules.lba_size(path.namespace)
    if path.namespace["nsfeat"] & rules.NAMESPACE_FIELDS_VALID and path.namespace["nawupf"]:
        boundary = (path.namespace["nabspf"] + 1) * block if path.namespace["nabspf"] else 0
        return [heads.expected_atomics(path, (path.namespace["nawupf"] + 1) * block, boundary)]
    if not nvme059.kernel_uses_awupf():
        return [heads.expected_atomics(path, block, 0)]
    common = {identify_controller(f"/dev/{controller}")["awupf"] for controller in heads.controllers(
        subsystem_of(path))}
    return [heads.expected_atomics(path, (awupf + 1) * block, 0) for awupf in sorted(common)]


def subsystem_of(path):
    nqn = drives.read(f"/sys/class/nvme/{path.controller}/subsysnqn")
    return heads.subsystem(nqn.split(":")[-1])


def promise(path):
    return rules.promise(path.identify, path.namespace, normal_is_disabled(path))


def normal_is_disabled(path):
    """nvmet has no feature 0Ah; what holds over a power failure does not depend on it."""
    is_remote = drives.read(f"/sys/class/nvme/{path.controller}/transport") != "pcie"
    return False if is_remote else disable_normal(f"/dev/{path.controller}")


def kept(head, paths, start=0):
    """The truth: what every path's kernel queue and every path's drive keep, through the head."""
    unit = head.queue["atomic_write_unit_max_bytes"]
    for path in paths:
        unit = min(unit, path.queue["atomic_write_unit_max_bytes"],
                   promise(path).kept_whole_at_every_natural_place(start))
    return unit


def probe(name, node, code=0):
    result = tool("probe", "--json", node)
    verdict(f"{name} probe exit code", result.code == code, code, f"{result.code} {result.errors.strip()}")
    check(f"{name} contract", [], breaches(result.json))
    return result.json["targets"][0]


def codes(answer):
    return {finding["code"] for finding in answer["findings"]}


def check_tool(name, head, paths):
    answer = probe(name, head.node)
    check(f"{name} kind", "namespace", answer["kind"])
    check_entries(name, head, paths, answer)
    check_disagreement(name, paths, answer)
    check_promise(name, head, paths, answer)
    check(f"{name} passthrough on a shared namespace", False, answer["paths"]["passthrough"]["available"] is True)
    check(f"{name} finding shared-namespace", True, "shared-namespace" in codes(answer))
    check(f"{name} finding fabrics-claim-derived", False, "fabrics-claim-derived" in codes(answer))
    generic = probe(f"{name} generic", f"/dev/{drives.generic_of(head.disk)}")
    check(f"{name} generic namespaces", answer["namespaces"], generic["namespaces"])
    check(f"{name} generic passthrough", False, generic["paths"]["passthrough"]["available"] is True)


def check_entries(name, head, paths, answer):
    entries = answer["namespaces"]
    check(f"{name} entries", [(head.node, path.disk) for path in paths],
          [(entry["device"], entry["path"]) for entry in entries])
    by_path = {entry["path"]: entry for entry in entries}
    for path in paths:
        entry = by_path[path.disk]
        check(f"{name} {path.disk} keys", NAMESPACE_ENTRY, [key for key in entry if key in NAMESPACE_ENTRY])
        controller, limits = entry["nvme"]["controller"], entry["device_limits"]
        check(f"{name} {path.disk} controller",
              (path.controller, *(path.identify[key] for key in ("mdts", "awun", "awupf", "vwc"))),
              tuple(controller[key] for key in ("name", "mdts", "awun", "awupf", "vwc")))
        check(f"{name} {path.disk} namespace", {key: path.namespace[key] for key in ("nawupf", "nabspf", "nabo")},
              {key: entry["nvme"]["namespace"][key] for key in ("nawupf", "nabspf", "nabo")})
        own = promise(path)
        check(f"{name} {path.disk} device_limits", (own.power_fail, own.boundary, own.max_transfer),
              tuple(limits[key] for key in ("power_fail_bytes", "power_fail_boundary_bytes", "max_transfer_bytes")))
        queue = {key: entry["queue"][key] for key in path.queue}
        if len(paths) > 1 or path.queue == head.queue:
            check(f"{name} {path.disk} queue", path.queue, queue)
    several = len(paths) > 1
    check(f"{name} no single drive at the top", (several, several),
          (answer["nvme"] is None, answer["device_limits"] is None))
    check(f"{name} queue is the head's", head.queue, {key: answer["queue"][key] for key in head.queue})
    stack = answer["stack"]
    if several:
        check(f"{name} stack has the paths", sorted(path.disk for path in paths),
              sorted(entry["device"] for entry in stack if entry["kind"] == "path"))
    check(f"{name} stack has the controllers", sorted(f"/dev/{path.controller}" for path in paths),
          sorted(entry["device"] for entry in stack if entry["kind"] == "controller"))


SETTINGS = ("nomerges", "write_cache", "max_segments", "chunk_sectors")


def check_disagreement(name, paths, answer):
    """Queues, or what the drives keep; that numbers and names differ says nothing."""
    def limits(path):
        own = promise(path)
        return (tuple(path.queue.values()), *map(path.setting, SETTINGS), own.power_fail, own.normal, own.max_transfer)
    differ = len({limits(path) for path in paths}) > 1
    check(f"{name} finding paths-disagree", differ, "paths-disagree" in codes(answer))


def check_promise(name, head, paths, answer):
    kernel, most = answer["paths"]["kernel"], kept(head, paths)
    check(f"{name} available", most > 0, kernel["available"])
    check(f"{name} max_bytes", most, kernel["max_bytes"])
    check(f"{name} torn_free_bytes", most, answer["torn_free_bytes"])
    if most:
        check(f"{name} backing", "hardware", kernel["backing"])
        tool_writes(f"{name} write the largest", head.node, most)
    block = head.queue["logical_block_size"]
    tool_refuses(f"{name} write too much", head.node, 2 * most or block)
    for size in sizes_around(most, block):
        expected = 0 if block <= size <= most else 1
        ask(name, head.node, "rwf-atomic", size, [expected])
    ask(name, head.node, "buffered", block, [1])


def sizes_around(most, block):
    return sorted({size for size in (block // 2, block, most // 2, most, 2 * most, 1 * MIB) if size >= 512})


def ask(name, node, writer, size, codes):
    result = tool("probe", "--json", node, "--page-size", size, "--writer", writer)
    verdict(f"{name} {size} {writer}", result.code in codes, codes, f"{result.code} {result.target['answer']}")
    check(f"{name} {size} {writer} answer", {0: True, 1: False, 2: None}.get(result.code),
          result.target["answer"]["atomic"])


def test_policies():
    """Which path a command takes changes no answer, though the admin commands of a probe may take another each time."""
    for name, count in (("agreeing", 2), ("unequal", 2)):
        head = heads.find(name, count)
        answers = {}
        for policy in ("numa", "round-robin"):
            with cell(f"{name} {policy}"):
                head.policy(policy)
                answers[policy] = check_policy(name, policy, head)
        check(f"{name} says the same by either policy", answers["numa"], answers["round-robin"])
        head.policy("numa")


def check_policy(name, policy, head):
    paths = head.paths
    used = paths_used(head, paths)
    check(f"{name} {policy} uses", 1 if policy == "numa" else len(paths), len([count for count in used if count]))
    check(f"{name} {policy} sends each write once", 8, sum(used))
    asked = {identify_controller(head.node)["cntlid"] for _ in range(6)}
    note(f"{name} {policy}: Identify of the head was answered by {len(asked)} of {len(paths)} controllers")
    most = kept(head, paths)
    answers = [tool("probe", "--json", head.node).target for _ in range(2)]
    check(f"{name} {policy} twice the same", True, answers[0] == answers[1])
    check(f"{name} {policy} max_bytes", most, answers[0]["paths"]["kernel"]["max_bytes"])
    return {key: answers[0][key] for key in ("namespaces", "queue", "paths", "torn_free_bytes")}


def paths_used(head, paths):
    """How many of eight writes each path took."""
    before = [drives.completed_writes(path.disk) for path in paths]
    length = head.queue["atomic_write_unit_max_bytes"]
    for number in range(8):
        place = PLACE + number * (length or 4096)
        if length:
            check(f"{head.disk} write {number}", length,
                  atomic_write(head.node, place, os.urandom(length), flags=RWF_ATOMIC))
        else:
            write_direct(head.node, place, os.urandom(4096))
    return [drives.completed_writes(path.disk) - old for path, old in zip(paths, before)]


# ---------------------------------------------------------------- one path's own settings


def test_settings():
    head = heads.find("agreeing", 2)
    paths = head.paths
    size = promise(paths[0]).power_fail
    first, second = paths
    with cell("merges"):
        ask("merges on", head.node, "direct", size, [1, 2])
        first.set("nomerges", 2)
        expect_disagreement("merges off on one path", head, True)
        ask("merges off on one path", head.node, "direct", size, [1, 2])
        second.set("nomerges", 2)
        expect_disagreement("merges off on both paths", head, False)
        one_command("merges off on both paths", head, paths, size)
    with cell("the remedy as it is given"):
        first.set("nomerges", 0)
        second.set("nomerges", 0)
        remedy_is_typed(head, size)
    with cell("small commands"):
        drives.write(drives.queue_setting(head.disk, "nomerges"), 2)
        first.set("nomerges", 2)
        second.set("nomerges", 2)
        old = second.setting("max_sectors_kb")
        second.set("max_sectors_kb", 8)
        expect_disagreement("small commands on one path", head, True)
        ask("small commands on one path", head.node, "direct", size, [1, 2])
        ask("small commands on one path", head.node, "direct", 8192, [0])
        check("the kernel divides there", [1, 2], sorted(commands_by_path(head, paths, size)))
        check_promise("small commands on one path", head, paths, probe("small commands", head.node))
        second.set("max_sectors_kb", old)
    with cell("a cache that is not flushed"):
        second.set("write_cache", "write through")
        answer = expect_disagreement("no flush on one path", head, True)
        check("no flush on one path: finding", True, "cache-never-flushed" in codes(answer))
        tool_refuses("no flush on one path: durable write", head.node, 4096)
        ask("no flush on one path", head.node, "buffered", 4096, [1])
        second.set("write_cache", "write back")
        expect_disagreement("flushed again", head, False)
    for path in paths:
        path.set("nomerges", 0)
    drives.write(drives.queue_setting(head.disk, "nomerges"), 0)


def expect_disagreement(name, head, expected):
    answer = probe(name, head.node)
    check(f"{name}: finding paths-disagree", expected, "paths-disagree" in codes(answer))
    return answer


def remedy_is_typed(head, size):
    [finding] = [finding for finding in probe("remedy", head.node)["findings"]
                 if finding["code"] == "neighbours-may-merge"]
    result = run(["sh", "-c", finding["remedy"].replace("sudo ", "")])
    check("the remedy can be typed", 0, result.code)
    check("the remedy is heard", {"2"}, {path.setting("nomerges") for path in head.paths})
    ask("after the remedy", head.node, "direct", size, [0])


def one_command(name, head, paths, size):
    """A yes to ordinary writes stands on each being one command on whichever path."""
    drives.write(drives.queue_setting(head.disk, "nomerges"), 2)
    ask(name, head.node, "direct", size, [0])
    check(f"{name}: one command by each path", [1, 1], commands_by_path(head, paths, size))


def commands_by_path(head, paths, size):
    """The commands that one ordinary write becomes on each path."""
    head.policy("round-robin")
    counts = [0] * len(paths)
    while not all(counts):
        before = [drives.completed_writes(path.disk) for path in paths]
        write_direct(head.node, PLACE, os.urandom(size), 512)
        for index, path in enumerate(paths):
            counts[index] = max(counts[index], drives.completed_writes(path.disk) - before[index])
    head.policy("numa")
    return counts


# ---------------------------------------------------------------- what one controller was told, and who may ask


def test_normal_disabled():
    """DN is the controller's: readers by that path may see a write torn, a power failure still not."""
    head = heads.find("agreeing", 2)
    second = head.paths[1]
    succeed("nvme", "set-feature", f"/dev/{second.controller}", "-f", "0x0a", "-V", "1")
    answer = probe("DN on one path", head.node)
    check("DN on one path by entry", [False, True],
          [entry["nvme"]["write_atomicity_normal"]["dn"] for entry in answer["namespaces"]])
    check("DN on one path findings", True, {"write-atomicity-normal-disabled", "paths-disagree"} <= codes(answer))
    check_promise("DN on one path", head, head.paths, answer)
    succeed("nvme", "set-feature", f"/dev/{second.controller}", "-f", "0x0a", "-V", "0")
    expect_disagreement("DN on no path", head, False)


def test_unprivileged():
    head = heads.find("agreeing", 2)
    result = run([*NOBODY, *TOOL, "probe", "--json", head.node, "--page-size", "4096", "--writer", "rwf-atomic"])
    answer = result.target
    check("unprivileged entries", [path.disk for path in head.paths], [entry["path"] for entry in answer["namespaces"]])
    check("unprivileged Identify", {(None, None)},
          {(entry["nvme"]["controller"]["mdts"], entry["device_limits"]) for entry in answer["namespaces"]})
    check("unprivileged finding", True, "no-permission" in codes(answer))
    check("unprivileged answer", 2 if kernel_passes_atomics() else 1, result.code)
    check("unprivileged torn_free_bytes", None if kernel_passes_atomics() else 0, answer["torn_free_bytes"])


# ---------------------------------------------------------------- partitions of a head, layers over one


def test_partition():
    """512-byte blocks without a boundary: as good as the head. Within a boundary: only where it begins on one."""
    for name, count, start, aligned in (("agreeing", 2, 63, True), ("three", 3, 256 + 1, False)):
        with cell(f"partition of {name}"):
            head = heads.find(name, count)
            block = head.queue["logical_block_size"]
            table = f"label: dos\nunit: sectors\nstart={start}, size={32 * MIB // block}\n"
            check(f"partition of {name} is made", 0, run(["sfdisk", "--quiet", head.node], table.encode()).code)
            node = f"{head.node}p1"
            drives.wait_for(lambda: os.path.exists(node), node)
            answer = probe(f"partition of {name}", node)
            check(f"partition of {name} entries", [path.disk for path in head.paths],
                  [entry["path"] for entry in answer["namespaces"]])
            most = kept(head, head.paths, start * block) if aligned else 0
            offered = statx_atomic(node)["atomic_write_unit_max"]
            check(f"partition of {name} by statx", head.queue["atomic_write_unit_max_bytes"] if aligned else 0, offered)
            check(f"partition of {name} max_bytes", most, answer["paths"]["kernel"]["max_bytes"] or 0)
            check(f"partition of {name} passthrough", False, answer["paths"]["passthrough"]["available"] is True)
            succeed("wipefs", "--quiet", "--all", head.node)
            run(["partx", "--delete", head.node])


def test_layers():
    """A head below something else is asked by all its paths all the same."""
    head = heads.find("unequal", 2)
    blocks = 16 * MIB // 512
    with cell("linear over a head"):
        os.environ["DM_DISABLE_UDEV"] = "1"  # there is none here
        succeed("dmsetup", "create", "over", "--table", f"0 {4 * blocks} linear {head.node} 0")
        answer = probe("linear over a head", "/dev/dm-0")
        check("linear over a head entries", [path.disk for path in head.paths],
              [entry["path"] for entry in answer["namespaces"]])
        offered = statx_atomic("/dev/dm-0")["atomic_write_unit_max"]
        most = min(offered, kept(head, head.paths))
        check("linear over a head max_bytes", most, answer["paths"]["kernel"]["max_bytes"])
        for size in sizes_around(most, 512):
            ask("linear over a head", "/dev/dm-0", "rwf-atomic", size, [0 if 512 <= size <= most else 1])
        if most:
            tool_writes("linear over a head", "/dev/dm-0", most)
        tool_refuses("linear over a head too much", "/dev/dm-0", 2 * most or 512)
        succeed("dmsetup", "remove", "over")
    with cell("file on a head"):
        succeed("mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "bigalloc", "-C", "65536", head.node)
        with mounted(head.node, "/tmp/mounted") as directory:
            with open(f"{directory}/file", "wb") as file:
                file.write(bytes(MIB))
                os.fsync(file.fileno())
            check_file(f"{directory}/file", head)
        succeed("wipefs", "--quiet", "--all", head.node)


def check_file(path, head):
    answer = probe("file on a head", path)
    check("file on a head entries", [disk.disk for disk in head.paths],
          [entry["path"] for entry in answer["namespaces"]])
    most = min(statx_atomic(path)["atomic_write_unit_max"], kept(head, head.paths))
    check("file on a head max_bytes", most, answer["paths"]["kernel"]["max_bytes"])
    check("file on a head torn_free_bytes", most, answer["torn_free_bytes"])
    for size in sizes_around(most, 4096):
        ask("file on a head", path, "rwf-atomic", size, [0 if 4096 <= size <= most else 1])
    ask("file on a head", path, "direct", 16384, [1, 2])


# ---------------------------------------------------------------- paths that go and come


def test_removal():
    for name, count in (("three", 3), ("unequal", 2)):
        with cell(f"removal from {name}"):
            head = heads.find(name, count)
            limits = heads.atomics(head.queue)
            smallest = min(head.paths, key=lambda path: path.mdts_bytes)
            slot = os.path.realpath(f"/sys/class/nvme/{smallest.controller}/device")
            drives.write(f"{slot}/remove", 1)
            head = heads.find(name, count - 1)
            check(f"{name} without its smallest path: the head's limits do not grow", limits, heads.atomics(head.queue))
            check_after_change(f"{name} without its smallest path", head)
            drives.write("/sys/bus/pci/rescan", 1)
            head = heads.find(name, count)
            check(f"{name} with all paths again", limits, heads.atomics(head.queue))
            check_after_change(f"{name} with all paths again", head)


def check_after_change(name, head):
    paths = head.paths
    answer = probe(name, head.node)
    check_entries(name, head, paths, answer)
    check_promise(name, head, paths, answer)


# ---------------------------------------------------------------- blktests


def test_nvme059():
    for name, serial, nsid in nvme059.NAMESPACES:
        with cell(f"nvme/059 {name}"):
            nvme059.test(f"nvme/059 {name}", serial, nsid)


# ---------------------------------------------------------------- NVMe over Fabrics


def test_fabrics():
    fabric.start()
    disk = drives.namespace_node("backing")
    for name, backing, settings in (
            ("over-scsi", scsi_disk(), ()),
            ("over-ram", ram_disk(), ()),
            ("over-drive", f"/dev/{disk}", ()),
            ("over-file", sparse_file(), [("buffered_io", 1)])):
        with cell(name):
            fabric.export(name, backing, settings=settings)
            fabric.connect(name)
            check_remote(name, heads.find(name, 1), backing)
    with cell("two connections"):
        fabric.connect("over-scsi", host=2)
        head = heads.find("over-scsi", 2)
        check_remote("two connections", head, None)
        fabric.disconnect(head.paths[-1].controller)
        head = heads.find("over-scsi", 1)
        check_remote("one connection again", head, None)


def scsi_disk():
    """Sixteen-KiB physical blocks, and no atomic writes at all."""
    before = set(os.listdir("/sys/block"))
    succeed("modprobe", "sd_mod")
    succeed("modprobe", "scsi_debug", "dev_size_mb=64", "physblk_exp=5")
    new = drives.wait_for(lambda: [disk for disk in set(os.listdir("/sys/block")) - before if disk.startswith("sd")],
                          "the SCSI disk")
    node = f"/dev/{new[0]}"
    drives.wait_for(lambda: os.path.exists(node), node)
    check("the SCSI disk takes no atomic writes", (16384, 0),
          (drives.queue(new[0])["physical_block_size"], drives.queue(new[0])["atomic_write_unit_max_bytes"]))
    return node


def ram_disk():
    succeed("modprobe", "brd", "rd_nr=1", "rd_size=65536")
    return "/dev/ram0"


def sparse_file():
    with open("/tmp/backing", "wb") as file:
        file.truncate(64 * MIB)
    return "/tmp/backing"


def check_remote(name, head, backing):
    paths = head.paths
    with cell(f"{name} claim"):
        if backing and backing.startswith("/dev/"):
            check_derived(name, paths[0].namespace, os.path.basename(backing))
        elif backing:
            check(f"{name} claims nothing", 0, paths[0].namespace["nsfeat"] & rules.NAMESPACE_FIELDS_VALID)
    with cell(f"{name} kernel's limits"):
        check_remote_limits(name, head, paths)
    with cell(f"{name} kernel's writes"):
        queue = head.queue
        check_limits(name, head.node, queue["atomic_write_unit_min_bytes"], queue["atomic_write_unit_max_bytes"],
                     queue["logical_block_size"])
    with cell(f"{name} tool"):
        check_remote_tool(name, head, paths)


def check_derived(name, namespace, disk):
    """`drivers/nvme/target/io-cmd-bdev.c:nvmet_bdev_set_limits`: the limit is the backing disk's physical block,
    whatever that disk keeps whole."""
    queue = drives.queue(disk)
    derived = queue["physical_block_size"] // queue["logical_block_size"] - 1
    check(f"{name} claims a block size", (True, derived, derived, 0),
          (bool(namespace["nsfeat"] & rules.NAMESPACE_FIELDS_VALID), namespace["nawun"], namespace["nawupf"],
           namespace["nabspf"]))


def check_remote_limits(name, head, paths):
    for path in paths:
        check(f"{name} {path.disk} limits", True, heads.atomics(path.queue) in kernel_limits(path))
    expected = heads.stacked([path.queue for path in paths])
    if not kernel_passes_atomics():
        expected = dict.fromkeys(expected, 0)
    check(f"{name} head", expected, heads.atomics(head.queue))


def check_remote_tool(name, head, paths):
    answer = probe(name, head.node)
    check_entries(name, head, paths, answer)
    check(f"{name} transport", {"loop"}, {entry["nvme"]["controller"]["transport"] for entry in answer["namespaces"]})
    check(f"{name} finding fabrics-claim-derived", True, "fabrics-claim-derived" in codes(answer))
    offered, block = head.queue["atomic_write_unit_max_bytes"], head.queue["logical_block_size"]
    kernel = answer["paths"]["kernel"]
    check(f"{name} available", None if offered else False, kernel["available"])
    verdict(f"{name} max_bytes is no promise", not kernel["max_bytes"], None, kernel["max_bytes"])
    verdict(f"{name} torn_free_bytes is no promise", not answer["torn_free_bytes"], None, answer["torn_free_bytes"])
    check(f"{name} passthrough", False, answer["paths"]["passthrough"]["available"] is True)
    for size in (block, offered):
        if size:
            ask(name, head.node, "rwf-atomic", size, [2] if offered else [1])
    ask(name, head.node, "rwf-atomic", 2 * offered or block, [1])
    for path in paths:
        path.set("nomerges", 2)
    drives.write(drives.queue_setting(head.disk, "nomerges"), 2)
    ask(name, head.node, "direct", block, [1, 2])
    ask(name, head.node, "direct", 16384, [1, 2])
    ask(name, head.node, "buffered", block, [1])
    tool_refuses(f"{name} strict write", head.node, offered or block, ["--strict"])
    tool_refuses(f"{name} write too much", head.node, 2 * offered or block)
    if offered:
        check_remote_write(name, head, paths, offered)


def check_remote_write(name, head, paths, size):
    """A target without a cache tells the kernel so by Identify CNS 08h, which the tool does not read: it sees a cache
    that nobody flushes."""
    if all(path.setting("write_cache") == "write back" for path in paths):
        tool_writes(f"{name} write", head.node, size, "assumed")
    else:
        tool_refuses(f"{name} durable write", head.node, size)
        tool_writes(f"{name} write", head.node, size, "assumed", ["--durable", "none"])


def test_forwarded():
    """A whole controller passed through: the drive's own Identify arrives, and so does its identity."""
    disk = drives.namespace_node("forwarded")
    fabric.export("forwarding", passthru=f"/dev/{drives.controller_of(disk)}")
    fabric.connect("forwarding")
    head = heads.find("forwarding", 1)
    check("forwarded wwid", drives.read(f"/sys/block/{disk}/wwid"), drives.read(f"/sys/block/{head.disk}/wwid"))
    local, remote = identify_namespace(f"/dev/{disk}"), identify_namespace(head.node)
    keys = ("nsfeat", "nawun", "nawupf", "nabspf", "nabo")
    check("forwarded fields", {key: local[key] & (0xFF if key != "nsfeat" else 2) for key in keys},
          {key: remote[key] & (0xFF if key != "nsfeat" else 2) for key in keys})
    check_remote("forwarded", head, None)


main()
