"""Each remedy that is a command, typed as it is printed: what it must take away, and what must hold then."""

import glob
import os
import tempfile
from contextlib import contextmanager

import drives
from checks import cell, check, finish, note, verdict
from commands import disable_normal, identify_namespace, run, succeed, tool
from direct_io import atomic_write, read_direct, write_direct

PAGE = 16384
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
COMMANDS = ("sudo ", "echo ", "nvme-atomic ")
ADVICE = ("ask", "boot", "build", "make", "probe", "put", "replace")
MOUNT = "/tmp/mount"


def main():
    make_commands()
    parts = (separate_twins, test_merging, test_adjacent_batch, test_normal_disabled, test_cache, test_permission,
             test_unreadable, test_partitions, test_partition_below_a_file, test_rescan, test_single_block,
             test_smaller_blocks, test_journalled_data, test_aligned_files, test_advice, test_metadata,
             test_transfer_limit)
    # What an older kernel makes of it; the commands are the same ones.
    for part in parts if has_file_atomics() else (separate_twins, test_single_block, test_advice):
        with cell(part.__name__):
            part()
    finish()


# ---------------------------------------------------------------- typing


def make_commands():
    """What a shell finds: the tool by its name, and a sudo, as everything here is root's already."""
    os.mkdir("/tmp/bin")
    with open("/tmp/bin/sudo", "w") as file:
        file.write('#!/bin/sh\nexec "$@"\n')
    os.chmod("/tmp/bin/sudo", 0o755)
    os.symlink("/tool/nvme-atomic", "/tmp/bin/nvme-atomic")
    os.environ["PATH"] = "/tmp/bin:" + os.environ["PATH"]
    os.makedirs(MOUNT)


def findings(path, prefix=()):
    document = run([*prefix, "/tool/nvme-atomic", "probe", "--json", path]).json
    return {finding["code"]: finding for finding in document["targets"][0]["findings"]}


def typed(code, path, found=None):
    """The remedy's line, given to a shell as it is; its output."""
    remedy = (found or findings(path))[code]["remedy"]
    note(f"{code}: {remedy}")
    verdict(f"{code} has a command", bool(remedy) and remedy.startswith(COMMANDS), COMMANDS, remedy)
    result = run(["bash", "-c", remedy])
    verdict(f"{code} remedy works", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    return result.output


def helped(code, path):
    check(f"{code} is gone", False, code in findings(path))


def promise(path):
    return tool("probe", "--json", path).target["torn_free_bytes"]


def answer(path, writer, size=PAGE):
    return tool("probe", path, "--page-size", size, "--writer", writer).code


def node(serial, nsid=1):
    return f"/dev/{drives.namespace_node(serial, nsid)}"


def has_file_atomics():
    """Linux 6.13 for one block, 6.16 for several; a later one here has both."""
    return os.uname().release.split(".")[:2] != ["6", "12"]


# ---------------------------------------------------------------- queue and features


def test_merging():
    device = node("plain")
    check("16k direct while neighbours merge", 1, answer(device, "direct"))
    typed("neighbours-may-merge", device)
    helped("neighbours-may-merge", device)
    check("16k direct without merges", 0, answer(device, "direct"))


def adjacent_batch(device):
    """Adjacent atomic writes of 8 KiB, sixteen handed over in one call."""
    return run(["fio", "--name=batch", f"--filename={device}", "--rw=write", "--bs=8k", "--size=256k",
                "--direct=1", "--atomic=1", "--ioengine=io_uring", "--iodepth=16", "--iodepth_batch_submit=16"]).code


def test_adjacent_batch():
    device = node("adjacent")
    check("one atomic write", PAGE, atomic_write(device, 0, os.urandom(PAGE)))
    verdict("a batch of neighbours is rejected", adjacent_batch(device) != 0, "an error", 0)
    typed("adjacent-batch-hazard", device)
    helped("adjacent-batch-hazard", device)
    check("a batch of neighbours is written", 0, adjacent_batch(device))


def test_normal_disabled():
    device = node("plain")
    controller = f"/dev/{drives.controller_of(drives.namespace_node('plain'))}"
    succeed("nvme", "set-feature", controller, "--feature-id=0x0a", "--value=1")
    check("DN is set", True, disable_normal(device))
    limits = tool("probe", "--json", device).target["device_limits"]
    check("with DN readers see no more than power failures leave", PAGE, limits["normal_bytes"])
    typed("write-atomicity-normal-disabled", device)
    helped("write-atomicity-normal-disabled", device)
    check("DN is clear", False, disable_normal(device))
    check("untorn again", 65536, tool("probe", "--json", device).target["device_limits"]["normal_bytes"])


def write(device, data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return tool("write", device, "--path", "kernel", "--at", 0, "--input", file.name, "--json", "--overwrite-existing-data")


def test_cache():
    device = node("plain")
    drives.write(drives.queue_setting(drives.namespace_node("plain"), "write_cache"), "write through")
    check("no durable write where nothing is flushed", 2, write(device, os.urandom(PAGE)).code)
    typed("cache-never-flushed", device)
    helped("cache-never-flushed", device)
    data = os.urandom(PAGE)
    result = write(device, data)
    check("a durable write", (0, True), (result.code, result.json.get("durable")))
    check("it reads back", True, read_direct(device, 0, PAGE) == data)


# ---------------------------------------------------------------- access


def test_permission():
    """The udev rule is typed in the group `unprivileged`; with it, this is what is left."""
    device = node("plain")
    os.chmod(f"/dev/{drives.generic_of(os.path.basename(device))}", 0o444)
    output = typed("no-permission", device, findings(device, NOBODY))
    check("root learns the drive's word", True, "NAWUPF" in output and "no-permission" not in output)


@contextmanager
def unreadable(attribute):
    with tempfile.NamedTemporaryFile() as file:
        succeed("mount", "--bind", file.name, attribute)
        try:
            yield
        finally:
            succeed("umount", attribute)


def test_unreadable():
    device = node("plain")
    attribute = drives.queue_setting(drives.namespace_node("plain"), "max_hw_sectors_kb")
    with unreadable(attribute):
        found = findings(device)
    check("the attribute is named", True, attribute.split("/")[-1] in found["unreadable-attribute"]["message"])
    check("a second reading is whole", False, "unreadable-attribute" in typed("unreadable-attribute", device, found))


# ---------------------------------------------------------------- partitions


def partition(disk, number, start, size):
    """In sectors of the disk's logical block."""
    result = run(["sfdisk", "--quiet", "--partno", str(number), f"/dev/{disk}"],
                 f"start={start}, size={size}\n".encode())
    if result.code != 0:
        raise RuntimeError(f"sfdisk: {result.errors.strip()}")
    return drives.wait_for(lambda: os.path.exists(f"/dev/{disk}p{number}"), f"{disk}p{number}")


def table(disk):
    run(["sfdisk", "--quiet", f"/dev/{disk}"], b"label: gpt\n")


def end(disk, number):
    return drives.partition_start_bytes(f"{disk}p{number}") + drives.size_bytes(f"{disk}p{number}")


def test_partitions():
    for nsid in (1, 2):
        disk = drives.namespace_node("boundary", nsid)
        mebibyte = (1 << 20) // drives.queue(disk)["logical_block_size"]
        table(disk)
        partition(disk, 1, mebibyte + 1, mebibyte)
        partition(disk, 2, 3 * mebibyte, mebibyte)
        device, before = f"/dev/{disk}p1", end(disk, 1)
        check(f"off the boundary of namespace {nsid}", 1, answer(device, "rwf-atomic"))
        typed("partition-misaligned", device)
        helped("partition-misaligned", device)
        check(f"on the boundary of namespace {nsid}", PAGE, promise(device))
        check(f"16k on the boundary of namespace {nsid}", 0, answer(device, "rwf-atomic"))
        check(f"the end stays where it was on namespace {nsid}", before, end(disk, 1))
        check(f"the neighbour stays where it was on namespace {nsid}", 3 << 20,
              drives.partition_start_bytes(f"{disk}p2"))


def test_partition_below_a_file():
    disk = drives.namespace_node("boundary")
    partition(disk, 3, (8 << 11) + 1, 40 << 11)
    device = f"/dev/{disk}p3"
    with mounted(device, "mkfs.ext4", "-q", "-b", "4096") as path:
        typed("partition-misaligned", path)
    check("the filesystem was taken off", False, os.path.ismount(MOUNT))
    helped("partition-misaligned", device)
    check("below the file on the boundary", PAGE, promise(device))


# ---------------------------------------------------------------- formats


def separate_twins():
    """Without native multipath a namespace under two controllers is two disks. The root is on neither."""
    succeed("modprobe", "-r", "nvme")
    succeed("modprobe", "-r", "nvme_core")
    succeed("modprobe", "nvme_core", "multipath=N")
    succeed("modprobe", "nvme")
    check("the twins are two disks", 2, len(twins()))


def twins():
    """Both have one serial, as controllers of a subsystem must."""
    def find():
        disks = [disk for disk in glob.glob("/sys/block/nvme*n*") if drives.read(f"{disk}/device/serial") == "twins"]
        return sorted(os.path.basename(disk) for disk in disks) if len(disks) == 2 else None
    return drives.wait_for(find, "the twins")


def test_rescan():
    """A format by way of one controller leaves the kernel's picture of the other as it was."""
    one, two = (f"/dev/{disk}" for disk in twins())
    check("16k before", PAGE, promise(two))
    succeed("nvme", "format", "--force", "--lbaf=4", one)
    check("nothing is promised while the two disagree", None, promise(two))
    typed("limits-disagree", two)
    helped("limits-disagree", two)
    check("the kernel's block", 4096, drives.queue(two.split("/")[-1])["logical_block_size"])
    check("what is promised then", drives.queue(two.split("/")[-1])["atomic_write_unit_max_bytes"], promise(two))


def test_metadata():
    device = node("metadata")
    typed("metadata-format", device)
    namespace = identify_namespace(device)
    chosen = namespace["lbafs"][namespace["flbas"] & 0x0F]
    check("blocks as before, without metadata", (9, 0), (chosen["ds"], chosen["ms"]))
    helped("metadata-format", device)
    target = tool("probe", "--json", device).target
    check("16k whole", (PAGE, PAGE), (target["torn_free_bytes"], target["paths"]["passthrough"]["max_bytes"]))
    check("16k for who uses RWF_ATOMIC", 0, answer(device, "rwf-atomic"))


def test_transfer_limit():
    """The drive's unit is counted in blocks and grows with them: it stays capped, at twice as much."""
    device = node("capped")
    before = promise(device)
    check("half of one command", PAGE, before)
    typed("capped-by-transfer-limit", device)
    check("one command", 2 * before, promise(device))
    check("it is written", 2 * before, atomic_write(device, 0, os.urandom(2 * before)))
    check("there is no second remedy", None, findings(device)["capped-by-transfer-limit"]["remedy"])


# ---------------------------------------------------------------- filesystems


@contextmanager
def mounted(device, *make, options=()):
    """A filesystem with one file of 1 MiB, which a remedy may have taken away in the end."""
    force = [] if not make else ["-F"] if make[0] == "mkfs.ext4" else ["-f"]
    if make:
        succeed(*make, *force, device)
    succeed("mount", *options, device, MOUNT)
    try:
        yield new_file(f"{MOUNT}/file")
    finally:
        if os.path.ismount(MOUNT):
            succeed("umount", MOUNT)


def new_file(path):
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(bytes(1 << 20))
            os.fsync(file.fileno())
    return path


def test_single_block():
    device = node("files")
    for make in (["mkfs.ext4", "-q", "-b", "4096"], ["mkfs.xfs", "-q", "-m", "reflink=0"]):
        name = make[0].split(".")[1]
        with mounted(device, *make) as path:
            check(f"16k on {name} at first", 1, answer(path, "rwf-atomic"))
            if not has_file_atomics():
                verdict(f"{name} wants a newer kernel", findings(path)["kernel-too-old"]["remedy"].startswith("boot "),
                        "advice", findings(path)["kernel-too-old"])
                continue
            typed("filesystem-single-block", path)
        with mounted(device) as path:
            helped("filesystem-single-block", path)
            check(f"16k on {name} made anew", 0, answer(path, "rwf-atomic"))
            check(f"16k is written on {name}", PAGE, atomic_write(path, 0, os.urandom(PAGE)))


def test_smaller_blocks():
    """A drive that keeps 2 KiB, under filesystems that write 4."""
    if not has_file_atomics():
        return
    device = node("files", 2)
    with mounted(device, "mkfs.ext4", "-q", "-b", "4096") as path:
        check("2k in blocks of 4k", 1, answer(path, "rwf-atomic", 2048))
        typed("filesystem-without-atomics", path)
    with mounted(device) as path:
        helped("filesystem-without-atomics", path)
        check("2k in blocks of 2k", (0, 2048), (answer(path, "rwf-atomic", 2048), promise(path)))
        check("2k is written", 2048, atomic_write(path, 0, os.urandom(2048)))


def test_journalled_data():
    if not has_file_atomics():
        return
    device, make = node("files"), ["mkfs.ext4", "-q", "-b", "4096", "-O", "bigalloc", "-C", "16384"]
    with mounted(device, *make, options=("-o", "data=journal")) as path:
        check("16k by the mount", 1, answer(path, "rwf-atomic"))
        typed("journalled-data", path)
        kept_again(path)
    with mounted(device, *make, options=("-o", "nodelalloc")) as path:
        succeed("chattr", "+j", path)
        check("16k by the file", 1, answer(path, "rwf-atomic"))
        typed("journalled-data", path)
        kept_again(path)


def kept_again(path):
    helped("journalled-data", path)
    check("16k without journalled data", (0, PAGE), (answer(path, "rwf-atomic"), promise(path)))


def test_aligned_files():
    """An atomic write that the drive takes stays where it was; one that XFS keeps goes elsewhere."""
    if not has_file_atomics():
        return
    device = node("files")
    with mounted(device, "mkfs.xfs", "-q") as path:
        verdict("pages move where extents are not aligned", set(pages_that_move()) != {False}, "some", "none")
        succeed("xfs_io", "-c", f"extsize {PAGE}", MOUNT)
        verdict("the hint alone does not align", set(pages_that_move()) != {False}, "some move", "none")
        typed("range-falls-to-software", path)
    with mounted(device) as path:
        check("no page moves in a file made anew", {False}, set(pages_that_move()))
        check("16k for who uses RWF_ATOMIC", 0, answer(path, "rwf-atomic"))


def pages_that_move():
    """Two files of pages, one grown page by page and one filled in disorder, among files of single blocks."""
    name = f"{MOUNT}/pages-{len(os.listdir(MOUNT))}"
    for number in range(5):
        write_block(f"{name}-odd-{number}", 0)
    moved = []
    for order in (range(8), (5, 0, 7, 2, 6, 1, 4, 3)):
        path = f"{name}-{order[0]}"
        with open(path, "wb") as file:
            file.truncate(8 * PAGE if order[0] else 0)
        for page in order:
            write_direct(path, page * PAGE, os.urandom(PAGE))
            write_block(f"{path}-beside", page * 4096)
        for page in order:
            before = place(path)
            check("a page is written", PAGE, atomic_write(path, page * PAGE, os.urandom(PAGE)))
            moved.append(place(path) != before)
    return moved


def write_block(path, offset):
    with open(path, "ab"):
        pass
    write_direct(path, offset, bytes(4096))


def place(path):
    return succeed("xfs_io", "-r", "-c", "bmap -p", path)


# ---------------------------------------------------------------- advice


def test_advice():
    """What is no command does not look like one, on every target that has something to say."""
    produced = found_on("plain", ["volatile-write-cache"])
    produced |= found_on("adjacent", ["rounded-down-to-power-of-two"])
    wide = tool("probe", "--json", node("wide")).target["queue"]["atomic_write_unit_max_bytes"]
    produced |= found_on("wide", ["controller-wide-limit" if wide > 512 else "awupf-ignored-by-kernel"])
    produced |= found_on("edges", ["boundary-offset-unsupported"])
    produced |= found_at(node("edges", 2), ["boundary-not-power-of-two"])
    produced |= found_at(f"/dev/{twins()[0]}", ["shared-namespace"])
    produced |= found_at("/proc", ["no-new-file"])
    with loop() as device:
        produced |= found_at(device, ["stacked-device-drops-atomics", "not-nvme"])
        in_software = has_file_atomics()
        with mounted(device, "mkfs.xfs", "-q") as path:
            produced |= found_at(path, ["software-backed" if in_software else "kernel-too-old"])
    with stripes(node("plain"), node("files", 2), 16384) as device:
        narrows = tool("probe", "--json", device).target["queue"]["atomic_write_unit_max_bytes"]
        produced |= found_at(device, ["stacked-device-narrows-atomics" if narrows else "stacked-device-drops-atomics"])
    with mounted(node("files"), "mkfs.btrfs", "-q") as path:
        produced |= found_at(path, ["filesystem-without-atomics"])
        check("btrfs", "put the file on XFS, or on ext4 with bigalloc",
              findings(path)["filesystem-without-atomics"]["remedy"])
    note(f"findings without a command to type: {', '.join(sorted(produced))}")


def found_on(serial, codes):
    return found_at(node(serial), codes)


def found_at(path, codes):
    """Findings that must be there; of all that are, the codes of those whose remedy is advice or nothing."""
    found = findings(path)
    for code in codes:
        verdict(f"{code} of {path}", code in found, code, sorted(found))
    for code, finding in found.items():
        remedy = finding["remedy"]
        verdict(f"{code} of {path} is a command or advice", not remedy or remedy.startswith(COMMANDS)
                or remedy.split()[0] in ADVICE, "one of both", remedy)
    return {code for code, finding in found.items() if not (finding["remedy"] or "").startswith(COMMANDS)}


@contextmanager
def stripes(first, second, chunk):
    """Two drives by turns; the second keeps less than the first."""
    succeed("modprobe", "dm_mod")
    succeed("wipefs", "--quiet", "--all", first, second)
    succeed("dmsetup", "create", "stripes", "--table", f"0 65536 striped 2 {chunk // 512} {first} 0 {second} 0")
    try:
        yield "/dev/" + succeed("dmsetup", "info", "-c", "--noheadings", "-o", "blkdevname", "stripes").strip()
    finally:
        succeed("dmsetup", "remove", "stripes")


@contextmanager
def loop():
    succeed("modprobe", "loop")
    image = "/tmp/image"
    with open(image, "wb") as file:
        file.truncate(400 << 20)
    device = succeed("losetup", "--show", "--find", image).strip()
    try:
        yield device
    finally:
        succeed("losetup", "--detach", device)
        os.unlink(image)


main()
