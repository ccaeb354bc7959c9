"""What the kernel really does with one write: the requests it issues, and where the blocks lie before and after."""

import array
import fcntl
import os
import re
import struct
from contextlib import contextmanager

from commands import succeed

FS_IOC_FIEMAP = 0xC020660B
TRACING = "/tmp/tracing"
FLAGS = {0x1: "last", 0x2: "unknown", 0x4: "delalloc", 0x800: "unwritten", 0x2000: "shared"}


def fiemap(path, offset, length):
    """The pieces of a range as the tool's JSON has them, by a request of our own."""
    count = 64
    request = array.array("B", struct.pack("=QQIIII", offset, length, 0, 0, count, 0) + bytes(56 * count))
    with open(path, "rb") as file:
        fcntl.ioctl(file, FS_IOC_FIEMAP, request)
    mapped = struct.unpack_from("=I", request, 20)[0]
    extents = []
    for index in range(mapped):
        logical, physical, size, _, _, flags = struct.unpack_from("=QQQQQI", request, 32 + 56 * index)
        names = [name for bit, name in FLAGS.items() if flags & bit]
        known = not {"unknown", "delalloc"} & set(names)
        extents.append({"logical_bytes": logical, "physical_bytes": physical if known else None, "length_bytes": size,
                        "flags": names})
    return extents


def places(path, offset, length, block=4096):
    """The place of each block of a range, `None` for a hole."""
    found = {}
    for extent in fiemap(path, offset, length):
        for at in range(0, extent["length_bytes"] if extent["physical_bytes"] is not None else 0, block):
            found[extent["logical_bytes"] + at] = extent["physical_bytes"] + at
    return [found.get(at) for at in range(offset, offset + length, block)]


def start_tracing():
    os.makedirs(TRACING, exist_ok=True)
    succeed("mount", "-t", "tracefs", "nodev", TRACING)
    _write("events/block/block_rq_issue/enable", 1)
    _write("tracing_on", 0)


def _write(name, value):
    with open(f"{TRACING}/{name}", "w") as file:
        file.write(str(value))


@contextmanager
def requests(disk):
    """Write requests to a disk: their flags (U is REQ_ATOMIC), where and how long, in bytes."""
    number = os.stat(f"/dev/{disk}").st_rdev
    wanted = f"{os.major(number)},{os.minor(number)}"
    issued = []
    _write("trace", "")
    _write("tracing_on", 1)
    try:
        yield issued
    finally:
        _write("tracing_on", 0)
        with open(f"{TRACING}/trace") as file:
            for line in file:
                found = re.search(r"block_rq_issue: (\S+) (\w+) \d+ \(.*\) (\d+) \+ (\d+)", line)
                if found and found[1] == wanted and "W" in found[2]:
                    issued.append((found[2], int(found[3]) * 512, int(found[4]) * 512))
