"""Ways to a wrong yes that were seen once: what the tool must not say, and must not write, there."""

import glob
import mmap
import os
import signal
import subprocess
import time

import drives
from checks import cell, check, finish, note, verdict
from commands import TOOL, succeed, tool
from direct_io import read_direct

MIB = 1 << 20
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
PAGE = 16384


def main():
    for part in (test_multipath_head, test_mapping, test_signature_without_mbr, test_replaced_drive,
                 test_ext4, test_xfs_external_log, test_unknown_cache):
        with cell(part.__name__):
            part()
    finish()


def answer(path, writer, *options, size=PAGE):
    return tool("probe", path, "--page-size", size, "--writer", writer, *options).code


def write(path, data, *options, offset=0, prefix=()):
    return subprocess.run([*prefix, *TOOL, "write", path, "--path", "kernel", "--at", str(offset), "--input", "-", "--json", *options],
                          input=data, capture_output=True)


def findings(path):
    return {finding["code"]: finding for finding in tool("probe", "--json", path).target["findings"]}


def set_queue(disk, name, value):
    drives.write(drives.queue_setting(disk, name), value)


# ---------------------------------------------------------------- native multipath


def multipath_disks():
    """The head, and the hidden disk that its requests really go through."""
    def find():
        disks = [os.path.basename(path) for path in glob.glob("/sys/block/nvme*n1")]
        head = [disk for disk in disks if os.path.exists(f"/sys/block/{disk}/device/subsysnqn")
                and "c" not in disk and drives.read(f"/sys/block/{disk}/device/serial") == "head"]
        path = [disk for disk in disks if head and disk.startswith(head[0].split("n1")[0] + "c")]
        return (head[0], path[0]) if head and path else None
    return drives.wait_for(find, "the multipath head")


def test_multipath_head():
    head, path = multipath_disks()
    node = f"/dev/{head}"
    # Linux 6.12 passes no atomic writes through a head.
    offered = drives.queue(head)["atomic_write_unit_max_bytes"]
    check("head rwf-atomic", 0 if offered >= PAGE else 1, answer(node, "rwf-atomic"))
    check("head direct with merges", 1, answer(node, "direct"))
    remedy = findings(node)["neighbours-may-merge"]["remedy"]
    check("the remedy names head and path", True, f"/{head}/" in remedy and f"/{path}/" in remedy)
    set_queue(head, "nomerges", 2)
    check("merges off on the head alone", 2, answer(node, "direct"))
    check("finding paths-disagree", True, "paths-disagree" in findings(node))
    set_queue(path, "nomerges", 2)
    check("merges off on head and path", 0, answer(node, "direct"))
    check("finding paths-disagree", drives.queue(head) != drives.queue(path), "paths-disagree" in findings(node))
    check("durable with both caches flushed", 0 if offered else 2,
          write(node, os.urandom(PAGE), "--overwrite-existing-data").returncode)
    set_queue(path, "write_cache", "write through")
    before = read_direct(node, 0, PAGE)
    result = write(node, os.urandom(PAGE), "--overwrite-existing-data")
    check("not durable where the path never flushes", 2, result.returncode)
    check("nothing was written", True, read_direct(node, 0, PAGE) == before)


# ---------------------------------------------------------------- block devices in other hands


def dirty_for_ever(node):
    """Another program, without O_EXCL, keeps the range dirty in the page cache."""
    pid = os.fork()
    if pid == 0:
        descriptor = os.open(node, os.O_RDWR)
        pages = mmap.mmap(descriptor, PAGE)
        count = 0
        while True:
            count = (count + 1) % 256
            for offset in range(0, PAGE, 4096):
                pages[offset] = count
    return pid


def test_mapping():
    node = "/dev/" + drives.namespace_node("busy")
    with open(node, "rb") as file:
        file.read(PAGE)
    check("clean cached pages are no obstacle", 0, write(node, os.urandom(PAGE)).returncode)
    pid = dirty_for_ever(node)
    time.sleep(0.5)
    codes, kinds = [], []
    while len(codes) < 8 or not kinds and len(codes) < 200:
        codes.append(write(node, os.urandom(PAGE), "--overwrite-existing-data"))
        kinds = [b'"code": "busy"' in result.stdout for result in codes if result.returncode == 2]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    note(f"of {len(codes)} writes beside a mapping writer {len(kinds)} were refused as busy")
    check("a mapping writer means done or busy", True, all(result.returncode in (0, 2) for result in codes))
    check("every refusal is busy", True, all(kinds))
    verdict("a mapping writer is noticed", len(kinds) > 0, "at least once", len(kinds))
    data = os.urandom(PAGE)
    check("alone again", 0, write(node, data, "--overwrite-existing-data").returncode)
    check("alone again reads back", True, read_direct(node, 0, PAGE) == data)


def test_signature_without_mbr():
    node = "/dev/" + drives.namespace_node("busy")
    subprocess.run(["sfdisk", "--quiet", "--label", "gpt", node], input=b",\n", check=True, capture_output=True)
    with open(node, "r+b") as device:
        device.write(bytes(512))
        os.fsync(device.fileno())
    result = write(node, os.urandom(4096), offset=32 * MIB)
    check("a GPT without its protective MBR", (2, True), (result.returncode, b'"code": "refused"' in result.stdout))


def test_replaced_drive():
    """While the tool waits for its input, the drive goes and one comes back under the same number."""
    disk = drives.namespace_node("replaced")
    number = os.stat(f"/dev/{disk}").st_rdev
    node = "/tmp/static-node"
    os.mknod(node, 0o60600, number)
    waiting = subprocess.Popen([*TOOL, "write", node, "--at", "0", "--input", "-", "--json"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(2)
    controller = drives.controller_of(disk)
    function = os.path.realpath(f"/sys/class/nvme/{controller}/device")
    drives.write(f"{function}/remove", 1)
    time.sleep(1)
    drives.write("/sys/bus/pci/rescan", 1)
    back = drives.namespace_node("replaced")
    note(f"the number {'is the same' if os.stat(f'/dev/{back}').st_rdev == number else 'changed'} after the return")
    data = os.urandom(4096)
    output, errors = waiting.communicate(data, timeout=60)
    check("a drive that went and came back is not written to", 2, waiting.returncode)
    verdict("and that is said", b"no longer what was probed" in errors or b"no such" in errors
            or b"no block device" in errors, "what happened", errors)
    check("nothing was written to it", True, read_direct(f"/dev/{back}", 0, 4096) == bytes(4096))


# ---------------------------------------------------------------- filesystems


def with_filesystem(options, make, use):
    device = f"/dev/{drives.namespace_node('files', 1)}"
    succeed(*make, device)
    os.makedirs("/tmp/mount", exist_ok=True)
    succeed("mount", *options, device, "/tmp/mount")
    try:
        with open("/tmp/mount/file", "wb") as file:
            file.write(bytes(MIB))
            os.fsync(file.fileno())
        os.chmod("/tmp/mount/file", 0o666)
        use("/tmp/mount/file")
    finally:
        succeed("umount", "/tmp/mount")


def offers(path):
    return bool(tool("probe", "--json", path).target["statx"]["atomic_write_unit_max"])


def test_ext4():
    cluster = ["mkfs.ext4", "-q", "-F", "-b", "4096", "-O"]

    def without_journal(path):
        verdict("16k without a journal", answer(path, "rwf-atomic") in (1, 2), "no yes", "yes")
        check("16k write without a journal", 2, write(path, os.urandom(PAGE)).returncode)
        check("one block without a journal, above a cache", 2, write(path, os.urandom(4096)).returncode)

    def without_barriers(path):
        verdict("16k without barriers", answer(path, "rwf-atomic") in (1, 2), "no yes", "yes")
        check("durable write without barriers", 2, write(path, os.urandom(4096)).returncode)

    def ordinary(path):
        check("16k with both", 0 if offers(path) else 1, answer(path, "rwf-atomic"))

    def without_extents(path):
        disk = drives.namespace_node("files", 1)
        set_queue(disk, "nomerges", 2)
        verdict("direct without extents", answer(path, "direct", size=4096) in (1, 2), "no yes", "yes")
        verdict("rwf-atomic without extents", answer(path, "rwf-atomic", size=4096) in (1, 2), "no yes", "yes")
        set_queue(disk, "nomerges", 0)

    for name, options, features, use in (
            ("no journal", [], "bigalloc,^has_journal", without_journal),
            ("nobarrier", ["-o", "nobarrier"], "bigalloc", without_barriers),
            ("ordinary", [], "bigalloc", ordinary)):
        with cell(f"ext4 {name}"):
            with_filesystem(options, [*cluster, features, "-C", "16384"], use)
    with cell("ext4 no extents"):
        with_filesystem([], [*cluster, "^extent,^64bit"], without_extents)


def test_xfs_external_log():
    log = f"/dev/{drives.namespace_node('files', 2)}"

    def use(path):
        verdict("16k with an external log", answer(path, "rwf-atomic") in (1, 2), "no yes", "yes")
        check("256k with an external log", 2, write(path, os.urandom(256 * 1024), "--strict").returncode)

    with_filesystem(["-o", f"logdev={log}"], ["mkfs.xfs", "-q", "-f", "-l", f"logdev={log}"], use)


def test_unknown_cache():
    """Unprivileged, on a drive whose cache the kernel was told not to flush."""
    disk = drives.namespace_node("files", 1)

    def use(path):
        set_queue(disk, "write_cache", "write through")
        result = write(path, os.urandom(4096), prefix=NOBODY)
        verdict("durable on nobody's word", b'"durable": true' not in result.stdout, "not true", result.stdout)
        set_queue(disk, "write_cache", "write back")

    with_filesystem([], ["mkfs.ext4", "-q", "-F", "-b", "4096"], use)


main()
