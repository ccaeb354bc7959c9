"""NVMe commands of the tool's own, on a real driver: what they write, where, and what they must never touch."""

from contextlib import contextmanager
import ctypes
import fcntl
import glob
import json
import mmap
import os
import random
import re
import struct
import subprocess
import tempfile
import time

from checks import cell, check, finish, note, verdict
from commands import TOOL, mounted, run, succeed, tool
from contract import breaches
from direct_io import read_direct, write_direct
import drives
import fabric

KIB, MIB = 1024, 1024 * 1024
PLACE = 16 * MIB
BLKFLSBUF = 0x1261
IO64 = 0xC0504E48
OVERWRITE = "--overwrite-existing-data"


def main():
    for part in (test_kernel, test_once, test_limits, test_loads, test_closed_output, test_durable, test_partition, test_in_use, test_opened, test_shared, test_several_paths, test_fabric,
                 test_page_caches, test_statuses, test_failed_flush, test_feature, test_format, test_removal, test_twins):
        with cell(part.__name__):
            part()
    finish()


def node(serial, nsid=1):
    """A disk that has a node: the hidden ones of native multipath have a serial too."""
    def find():
        for disk in glob.glob("/sys/block/nvme*n*"):
            if (os.path.exists(f"/dev/{os.path.basename(disk)}") and drives.read(f"{disk}/device/serial") == serial
                    and drives.read(f"{disk}/nsid") == str(nsid)):
                return f"/dev/{os.path.basename(disk)}"
    return drives.wait_for(find, f"namespace {nsid} of {serial}")


def generic(path):
    return path.replace("nvme", "ng", 1)


def block_of(path):
    return drives.queue(path[5:])["logical_block_size"]


def write(path, offset, data, *options):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return tool("write", path, "--at", offset, "--input", file.name, "--path", "passthrough", "--json", *options)


def writes(name, path, offset, length, *options, reader=None, kept="yes"):
    """The write is done as told, and nothing beside it."""
    reader, block = reader or path, 4096
    low, high = max(0, offset - block) // block * block, -(-(offset + length + block) // block) * block
    before, data = read_direct(reader, low, high - low), os.urandom(length)
    result = write(path, offset, data, *options)
    verdict(f"{name} exit code", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} data", True, read_direct(reader, low, high - low)
          == before[:offset - low] + data + before[offset - low + length:])
    if result.code == 0:
        check(f"{name} result", ("passthrough", kept, length), tuple(result.json[key] for key in ("path", "power_fail_atomic", "bytes")))
    return result


def refuses(name, path, offset, length, code, *options, reader=None):
    reader = reader or path
    before = read_direct(reader, PLACE, MIB)
    result = write(path, offset, os.urandom(length), *options)
    error = result.json.get("error", {})
    verdict(f"{name} is refused", (result.code, error.get("code"), error.get("outcome")) == (2, code, "not-written"),
            (2, code, "not-written"), f"{result.code} {result.output[:300]}")
    check(f"{name} one line", 1, result.errors.count("\n"))
    check(f"{name} wrote nothing", True, read_direct(reader, PLACE, MIB) == before)
    return error


# ---------------------------------------------------------------- the kernel alone


class Command(ctypes.Structure):
    """struct nvme_passthru_cmd64 of linux/nvme_ioctl.h."""
    _fields_ = [("opcode", ctypes.c_uint8), ("flags", ctypes.c_uint8), ("reserved", ctypes.c_uint16), ("nsid", ctypes.c_uint32),
                ("cdw2", ctypes.c_uint32), ("cdw3", ctypes.c_uint32), ("metadata", ctypes.c_uint64), ("addr", ctypes.c_uint64),
                ("metadata_len", ctypes.c_uint32), ("data_len", ctypes.c_uint32), ("cdw10", ctypes.c_uint32), ("cdw11", ctypes.c_uint32),
                ("cdw12", ctypes.c_uint32), ("cdw13", ctypes.c_uint32), ("cdw14", ctypes.c_uint32), ("cdw15", ctypes.c_uint32),
                ("timeout_ms", ctypes.c_uint32), ("reserved2", ctypes.c_uint32), ("result", ctypes.c_uint64)]


def raw_write(path, nsid, first_block, blocks, data):
    """One Write command, without the tool: 0, a status, or -errno."""
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    memory = ctypes.c_char.from_buffer(buffer)
    command = Command(opcode=1, nsid=nsid, addr=ctypes.addressof(memory), data_len=len(data), cdw10=first_block & 0xFFFFFFFF,
                      cdw11=first_block >> 32, cdw12=blocks - 1)
    descriptor = os.open(path, os.O_RDWR)
    try:
        return fcntl.ioctl(descriptor, IO64, command)
    except OSError as error:
        return -error.errno
    finally:
        os.close(descriptor)
        del memory


def test_kernel():
    """What nothing below guards against: the traps that the tool has to keep clear of by itself."""
    path = node("wide", 3)
    first = os.open(generic(path), os.O_RDWR | os.O_EXCL)
    second = os.open(generic(path), os.O_RDWR | os.O_EXCL)
    check("trap: O_EXCL on a character device keeps nobody out", True, first != second)
    os.close(first)
    os.close(second)
    kept = 128 * 512
    data = os.urandom(2 * kept)
    check("trap: a command beyond NAWUPF succeeds", 0, raw_write(generic(path), 3, PLACE // 512, 256, data))
    check("trap: and is written", True, read_direct(path, PLACE, 2 * kept) == data)
    # Old bytes that are dirty in the page cache come back over new ones.
    old, new = b"o" * 4096, b"n" * 4096
    with open(path, "r+b") as cached:
        cached.seek(PLACE)
        cached.write(old)
        cached.flush()
        check("trap: beside a dirty page", 0, raw_write(generic(path), 3, PLACE // 512, 8, new))
        fcntl.ioctl(cached, BLKFLSBUF)
    check("trap: BLKFLSBUF puts old bytes back", True, read_direct(path, PLACE, 4096) == old)
    with open(path, "rb") as cached:
        cached.seek(PLACE)
        cached.read(4096)
        check("trap: beside a clean page", 0, raw_write(generic(path), 3, PLACE // 512, 8, new))
        cached.seek(PLACE)
        check("trap: readers of the page cache see old bytes", True, cached.read(4096) == old)


# ---------------------------------------------------------------- what is written


DRIVES = (("wide", 3, 128 * 512, 512), ("four", 1, 8 * 4096, 4096), ("common", 1, 32 * 512, 512), ("lines", 1, 32 * 512, 512))


def test_once():
    """Lengths that are no powers of two, offsets off their alignment, through both nodes, on every drive."""
    generator = random.Random(4)
    for serial, nsid, limit, block in DRIVES:
        path = node(serial, nsid)
        check(f"{serial} blocks", block, block_of(path))
        most = limit // block
        counts = sorted({1, 2, 3, 5, most - 1, most} | {generator.randint(1, most) for _ in range(4)})
        for number, count in enumerate(counts):
            shift = generator.randrange(1, 64)
            # The lines of the last drive lie at 4 KiB and every 32 KiB from there.
            start = 4096 // block + 64 * generator.randrange(100, 200) if serial == "lines" else PLACE // block + shift
            name = f"once {serial} {count} blocks at {start}"
            target, reader = (path, path) if number % 2 == 0 else (generic(path), path)
            writes(name, target, start * block, count * block, reader=reader)
        writes(f"once {serial} at the end", path, drives.size_bytes(path[5:]) - most * block if serial != "lines" else
               drives.size_bytes(path[5:]) - block, most * block if serial != "lines" else block)
        writes(f"once {serial} at the begin", path, 0, block, OVERWRITE)
        writes(f"once {serial} not durable", path, PLACE if serial != "lines" else PLACE + 4096, most * block, "--durable", "none", kept="assumed")
        offered = drives.queue(path[5:])["atomic_write_unit_max_bytes"]
        note(f"{serial} keeps {limit} whole; RWF_ATOMIC takes {offered} on {os.uname().release}")
    path = node("common")
    check("AWUPF alone: the kernel offers a block, or all of it", True,
          drives.queue(path[5:])["atomic_write_unit_max_bytes"] in (512, 16 * KIB))
    check("offset lines: the kernel offers none", 0, drives.queue(node("lines")[5:])["atomic_write_unit_max_bytes"])


def test_limits():
    for serial, nsid, limit, block in DRIVES:
        path = node(serial, nsid)
        at = PLACE + (4096 if serial == "lines" else block)
        writes(f"limit of {serial}, the largest", path, at, limit)
        refuses(f"limit of {serial}, a block more", path, at, limit + block, "exceeds-limit")
        refuses(f"limit of {serial}, part of a block", path, at, limit - block // 2, "exceeds-limit")
        refuses(f"limit of {serial}, off a block", path, at + block // 2, block, "exceeds-limit")
        size = drives.size_bytes(path[5:])
        refuses(f"limit of {serial}, beyond the end", path, size - block, 2 * block, "exceeds-limit")
        refuses(f"limit of {serial}, behind the end", path, size, block, "exceeds-limit")
        refuses(f"limit of {serial}, at the end of all addresses", path, 2 ** 63 - block, block, "exceeds-limit")
    path = node("lines")
    for line in (PLACE + 4096, PLACE + 4096 + 64 * 512):
        writes(f"up to the line at {line}", path, line - 32 * 512, 32 * 512)
        writes(f"from the line at {line}", path, line, 32 * 512)
        refuses(f"a block across the line at {line}", path, line - 31 * 512, 32 * 512, "exceeds-limit")
        refuses(f"two blocks across the line at {line}", path, line - 512, 1024, "exceeds-limit")
    # One command carries 16 KiB there, and the drive would keep 64.
    path = node("capped")
    writes("MDTS, the largest", path, PLACE + 512, 16 * KIB)
    refuses("MDTS, a block more", path, PLACE + 512, 16 * KIB + 512, "exceeds-limit")


# ---------------------------------------------------------------- loads


def load(name, path, block, *options, code=0):
    result = tool("write", path, "--json", "--path", "passthrough", OVERWRITE, "--block-size", block, *options)
    verdict(f"{name} exit code", result.code == code, code, f"{result.code} {result.errors.strip()} {result.output[:300]}")
    return result.json


def torn(path, block, blocks, first=0):
    """Blocks whose stamps disagree with each other or with their place."""
    data, found = read_direct(path, first * block, blocks * block), []
    for number in range(blocks):
        stamps = [struct.unpack_from("<QQ", data, place) for place in range(number * block, (number + 1) * block, 4096)]
        places = [(first + number) * block + step * 4096 for step in range(len(stamps))]
        if len({stamp[0] for stamp in stamps}) != 1 or [stamp[1] for stamp in stamps] != places:
            found.append((number, stamps[:3]))
    return found


def test_loads():
    for serial, nsid, block in (("wide", 3, 12 * KIB), ("wide", 3, 64 * KIB), ("four", 1, 20 * KIB), ("common", 1, 16 * KIB)):
        path = node(serial, nsid)
        for engine, depth, threads in (("sync", 1, 1), ("sync", 1, 2), ("io_uring", 1, 1), ("io_uring", 32, 1), ("io_uring", 9, 2)):
            for pattern in ("random", "sequential"):
                blocks = 48
                name = f"load {serial} {block} {engine} {depth} {threads} {pattern}"
                write_direct(path, 0, bytes(blocks * block))
                document = load(name, path, block, "--count", 400, "--engine", engine, "--queue-depth", depth, "--threads", threads,
                                "--pattern", pattern, "--range", f"0:{blocks * block}", "--seed", 5)
                check(f"{name} writes", (400, "passthrough", {"kernel": 0, "passthrough": 400, "plain": 0, "journal": 0}, None),
                      tuple(document[key] for key in ("operations", "path", "paths", "error")))
                found = torn(path, block, blocks)
                # A block that chance has left out holds zeros, as before.
                check(f"{name} data", [], [each for each in found if each[1] != [(0, 0)] * min(3, -(-block // 4096))])
                verdict(f"{name} nearly every block was written", len(found) <= 3, "up to 3", found)
    path = node("wide", 3)
    document = load("load beyond the limit", path, 68 * KIB, "--count", 5, code=2)
    check("load beyond the limit says so", "exceeds-limit", document["error"]["code"])
    check("few bytes are none that the drive can tell", None, load("few bytes", path, 16 * KIB, "--count", 5)["device_bytes_written"])
    size = 64 * KIB
    document = load("many bytes", path, size, "--count", 9000, "--engine", "io_uring", "--queue-depth", 32)
    verdict("many bytes are counted by the drive", 0.99 < (document["write_amplification"] or 0) < 1.01, "about 1", document["write_amplification"])
    for engine, depth in (("sync", 1), ("io_uring", 32)):
        rates = [load(f"rate {engine}", path, 16 * KIB, "--count", 2000, "--engine", engine, "--queue-depth", depth)["iops"],
                 tool("write", path, "--json", OVERWRITE, "--block-size", "16k", "--count", 2000, "--engine", engine,
                      "--queue-depth", depth).json["iops"]]
        note(f"{engine} depth {depth}: passthrough {rates[0]:.0f}, kernel {rates[1]:.0f} writes a second under emulation")


def test_closed_output():
    """What is closed must not become the block device that is held, which takes what is printed: it has no O_DIRECT."""
    path = node("wide", 3)
    before = read_direct(path, 0, 64 * KIB)
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        result = run(["sh", "-c", f'exec "$@" {closed}', "sh", *TOOL, "write", path, "--path", "passthrough", OVERWRITE, "--json",
                      "--block-size", "16k", "--count", "3", "--range", "1m:1m"])
        verdict(f"closed {closed} exit code", result.code == 0, 0, f"{result.code} {result.errors}")
        check(f"closed {closed} leaves what is outside the range", True, read_direct(path, 0, 64 * KIB) == before)


def test_durable():
    """A flush is a command too: the block layer counts the one that empties the page cache in the beginning, and no other."""
    path = node("wide", 3)
    counted = f"/sys/block/{path[5:]}/stat"
    before = drives.read(counted).split()
    for engine, depth in (("sync", 1), ("io_uring", 1), ("io_uring", 16)):
        for durable, kept in (("each", "yes" if depth == 1 else "assumed"), ("end", "assumed")):
            name = f"durable {durable} {engine} {depth}"
            document = load(name, path, 16 * KIB, "--count", 200, "--engine", engine, "--queue-depth", depth, "--durable", durable)
            check(name, (200, True, kept), tuple(document[key] for key in ("operations", "durable", "power_fail_atomic")))
    runs, after = 6, drives.read(counted).split()
    verdict("the block layer saw no write", int(after[6]) == int(before[6]), before[6], after[6])
    check("and a flush for each run", runs, int(after[15]) - int(before[15]))
    refuses("strict without a flush", path, PLACE, 4096, "refused", "--durable", "none", "--strict")


# ---------------------------------------------------------------- partitions


def make_partitions(path, *extents):
    lines = "".join(f"start={start // 512}, size={size // 512}\n" for start, size in extents)
    run(["sfdisk", "--quiet", "--wipe", "never", path], f"label: gpt\nunit: sectors\n{lines}".encode())
    parts = [f"{path}p{number + 1}" for number in range(len(extents))]
    for part in parts:
        drives.wait_for(lambda: os.path.exists(part), part)
    return parts


def clear_partitions(path):
    write_direct(path, 0, bytes(MIB))
    write_direct(path, drives.size_bytes(path[5:]) - MIB, bytes(MIB))
    succeed("blockdev", "--rereadpt", path)


def test_partition():
    """Addresses are the namespace's, and the partition's neighbours begin one block away."""
    path = node("wide", 3)
    start, size = 20 * MIB + 3 * 512, 5 * MIB
    before = os.urandom(48 * MIB)
    for begin in range(0, len(before), 8 * MIB):
        write_direct(path, begin, before[begin:begin + 8 * MIB])
    first, part, last = make_partitions(path, (18 * MIB, start - 18 * MIB), (start, size), (start + size, 4 * MIB))
    before = bytearray(before)
    table = read_direct(path, 0, 2 * MIB)
    before[:2 * MIB] = table

    def step(name, offset, length):
        data = os.urandom(length)
        result = write(part, offset, data)
        verdict(f"partition {name} exit code", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
        before[start + offset:start + offset + length] = data

    for name, offset, length in (("first block", 0, 512), ("last block", size - 512, 512), ("last 64 KiB", size - 64 * KIB, 64 * KIB),
                                 ("odd", 513 * 512, 77 * 512)):
        step(name, offset, length)
    for name, offset, length in (("beyond the end", size - 512, 1024), ("behind the end", size, 512), ("in the last partition", size + MIB, 512)):
        refuses(f"partition {name}", part, offset, length, "exceeds-limit", reader=path)
    check("partition and its neighbours", True, bytes(before) == b"".join(
        read_direct(path, begin, 8 * MIB) for begin in range(0, len(before), 8 * MIB)))
    blocks = 60
    name = "partition load"
    write_direct(part, 0, bytes(blocks * 12 * KIB))
    load(name, part, 12 * KIB, "--count", 500, "--engine", "io_uring", "--queue-depth", 16, "--range", f"0:{blocks * 12 * KIB}", "--seed", 2)
    check(f"{name} data", [], [each for each in torn(part, 12 * KIB, blocks) if each[1] != [(0, 0)] * 3])
    outside = [(18 * MIB, start - 18 * MIB), (start + blocks * 12 * KIB, 48 * MIB - start - blocks * 12 * KIB)]
    for begin, length in outside:
        low, high = begin // 512 * 512, begin + length
        check(f"{name} leaves {begin} alone", True, bytes(before[low:high]) == b"".join(
            read_direct(path, at, min(8 * MIB, high - at)) for at in range(low, high, 8 * MIB)))
    # A neighbour in use is nobody's business; the whole disk is.
    succeed("mkfs.ext4", "-q", last)
    with mounted(last, "/tmp/last"):
        check("beside a mounted partition", 0, write(part, 0, os.urandom(4096)).code)
        for target in (path, generic(path), last):
            refuses(f"{target} with a mounted partition", target, PLACE, 4096, "busy", OVERWRITE, reader=path)
    refuses("a partition that carries a filesystem", last, MIB, 4096, "refused", reader=path)
    refuses("a disk that carries a table", path, PLACE, 4096, "refused")
    refuses("its character device", generic(path), PLACE, 4096, "refused", reader=path)
    clear_partitions(path)


# ---------------------------------------------------------------- others


@contextmanager
def opened(path, flags):
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def test_in_use():
    path = node("busy")
    succeed("mkfs.ext4", "-q", "-F", path)
    with mounted(path, "/tmp/busy"):
        for target in (path, generic(path)):
            error = refuses(f"mounted {target}", target, PLACE, 4096, "busy", OVERWRITE, reader=path)
            verdict(f"mounted {target} says where", "/tmp/busy" in error.get("message", ""), "/tmp/busy", error)
    succeed("mkswap", path)
    succeed("swapon", path)
    refuses("swap", path, PLACE, 4096, "busy", OVERWRITE)
    succeed("swapoff", path)
    succeed("modprobe", "dm_mod")
    succeed("dmsetup", "create", "held", "--table", f"0 {drives.size_bytes(path[5:]) // 512} linear {path} 0")
    for target in (path, generic(path)):
        refuses(f"held by dm {target}", target, PLACE, 4096, "busy", OVERWRITE, reader=path)
    held = next(f"/dev/{name}" for name in os.listdir("/sys/block") if name.startswith("dm-"))
    result = write(held, PLACE, os.urandom(4096))
    check("dm takes no commands", (2, "unsupported"), (result.code, result.json["error"]["code"]))
    succeed("dmsetup", "remove", "held")
    refuses("a signature of swap", path, PLACE, 4096, "refused")
    write_direct(path, 0, bytes(MIB))
    check("free again", 0, write(path, PLACE, os.urandom(4096)).code)
    with tempfile.NamedTemporaryFile() as file:
        result = write(file.name, 0, os.urandom(4096))
        check("a file takes no commands", (2, "unsupported"), (result.code, result.json["error"]["code"]))
    result = write(f"/dev/{drives.controller_of(path[5:])}", 0, os.urandom(4096))
    check("a controller takes no commands", (2, "unsupported"), (result.code, result.json["error"]["code"]))


def test_opened():
    path = node("busy")
    part, = make_partitions(path, (20 * MIB, 4 * MIB))
    with opened(path, os.O_RDWR | os.O_EXCL):
        for target in (path, generic(path), part):
            refuses(f"disk held, {target}", target, MIB, 4096, "busy", OVERWRITE, reader=path)
    with opened(part, os.O_RDWR | os.O_EXCL):
        for target in (path, generic(path), part):
            refuses(f"partition held, {target}", target, MIB, 4096, "busy", OVERWRITE, reader=path)
    clear_partitions(path)
    # The tool holds what it writes to, by every name of it.
    process = begin(path)
    for name, flags, error in (("O_EXCL", os.O_RDWR | os.O_EXCL, "EBUSY"),):
        try:
            os.close(os.open(path, flags))
            check(f"while it writes, {name}", error, "opened")
        except OSError as found:
            check(f"while it writes, {name}", error, os.strerror(found.errno) and "EBUSY" if found.errno == 16 else str(found))
    for target in (path, generic(path)):
        result = write(target, PLACE, os.urandom(4096), OVERWRITE)
        check(f"while it writes, another to {target}", (2, "busy"), (result.code, result.json["error"]["code"]))
    process.terminate()
    output, _ = process.communicate(timeout=60)
    check("the writer was left alone", (130, None), (process.returncode, json.loads(output)["error"]))


def test_shared():
    path = node("shared")
    for target in (path, generic(path)):
        error = refuses(f"shared {target}", target, PLACE, 4096, "refused", reader=path)
        verdict(f"shared {target} remedy", "--allow-shared" in error.get("remedy", ""), "--allow-shared", error)
        result = writes(f"shared {target} allowed", target, PLACE + 512, 12 * KIB, "--allow-shared", reader=path, kept="assumed")
        verdict(f"shared {target} says what is assumed", "no other host" in str(result.json.get("assumptions")), "no other host",
                result.json.get("assumptions"))
    refuses("shared, strictly", path, PLACE, 4096, "refused", "--allow-shared", "--strict")
    document = load("shared load", path, 12 * KIB, "--count", 200, "--engine", "io_uring", "--queue-depth", 8, "--allow-shared")
    check("shared load", (200, "assumed"), (document["operations"], document["power_fail_atomic"]))


def test_several_paths():
    """Native multipath: the kernel chooses a path for each command, and the least of all counts, 8 KiB here."""
    path = node("several")
    disks = [disk for disk in glob.glob(f"/sys/block/{path[5:]}/device/nvme*/nvme*c*n*") if drives.read(f"{disk}/hidden") == "1"]
    check("several: paths", 2, len(disks))
    drives.write(f"/sys/block/{path[5:]}/device/iopolicy", "round-robin")
    for target in (path, generic(path)):
        refuses(f"several {target}, not told to", target, PLACE, 4096, "refused", reader=path)
        for offset, length in ((PLACE, 8 * KIB), (PLACE + 512, 6 * KIB), (PLACE + 3 * 512, 512)):
            writes(f"several {target} {length} at {offset}", target, offset, length, "--allow-shared", reader=path, kept="assumed")
        refuses(f"several {target}, more", target, PLACE, 8 * KIB + 512, "exceeds-limit", "--allow-shared", reader=path)
    # FUA stays with its command; a Flush command serves what its own controller has completed, and no other.
    for engine, depth in (("sync", 1), ("io_uring", 1), ("io_uring", 16)):
        for durable, expected in (("each", True), ("end", None), ("none", False)):
            document = load(f"several {engine} {depth} {durable}", path, 8 * KIB, "--count", 300, "--engine", engine, "--queue-depth", depth,
                            "--durable", durable, "--allow-shared", "--range", "0:4m")
            check(f"several {engine} {depth} {durable}", (300, expected, "assumed"),
                  tuple(document[key] for key in ("operations", "durable", "power_fail_atomic")))
    process = begin(path, "--block-size", "8k", "--allow-shared", "--engine", "io_uring", "--queue-depth", "8")
    weakest = min(disks, key=lambda disk: json.loads(succeed("nvme", "id-ctrl", "-o", "json", "/dev/" + disk.split("/")[-2]))["awupf"])
    drives.write(f"/sys/class/nvme/{weakest.split('/')[-2]}/device/remove", "1")
    output, errors = process.communicate(timeout=90)
    document = json.loads(output)
    verdict("several: a path that goes ends the load", process.returncode == 3, 3, f"{process.returncode} {errors.decode()}")
    check("several: one line", 1, errors.count(b"\n"))
    check("several: outcome", "unknown", (document["error"] or {}).get("outcome"))
    writes("several: the path that is left keeps more", path, PLACE, 16 * KIB, "--allow-shared", kept="assumed")
    refuses("several: and no more than that", path, PLACE, 16 * KIB + 512, "exceeds-limit", "--allow-shared")


def test_fabric():
    """Behind nvme-loop: a namespace whose claim is a block size, and which other hosts can reach."""
    backing = node("gone")
    fabric.start()
    fabric.export("remote", backing)
    fabric.connect("remote")
    def find():
        for disk in glob.glob("/sys/block/nvme*n*"):
            name = os.path.basename(disk)
            if os.path.exists(f"/dev/{name}") and os.path.exists(f"{disk}/device/subsysnqn") and drives.read(f"{disk}/device/subsysnqn") == "remote":
                return f"/dev/{name}"
    path = drives.wait_for(find, "the remote namespace")
    error = refuses("fabric", path, PLACE, 512, "refused")
    verdict("fabric remedy", "--allow-shared" in error.get("remedy", ""), "--allow-shared", error)
    result = write(path, PLACE, os.urandom(512), "--allow-shared")
    verdict("fabric allowed", (result.code, result.code == 0 and result.json["power_fail_atomic"]) == (0, "assumed"), (0, "assumed"),
            f"{result.code} {result.output[:300]}")
    fabric.disconnect(next(name for name in os.listdir(f"/sys/block/{path[5:]}/device") if re.fullmatch(r"nvme\d+", name)))
    fabric.retire("remote")
    fabric.stop()


def test_page_caches():
    """Disk and partition have caches of their own, and commands pass both by."""
    path = node("busy")
    part, = make_partitions(path, (PLACE, 4 * MIB))
    old, new = os.urandom(16 * KIB), os.urandom(16 * KIB)
    for name, target, place, readers in (("through the disk", path, PLACE + 8192, ((part, 8192),)),
                                         ("through the partition", part, 8192, ((path, PLACE + 8192),)),
                                         ("through the character device", generic(path), PLACE + 8192, ((path, PLACE + 8192), (part, 8192)))):
        with cell(f"page caches {name}"):
            held = []
            for cached, at in readers:
                file = open(cached, "r+b")
                file.seek(at - 4096)
                file.write(old)
                file.flush()
                held.append((file, at))
            result = write(target, place, new, OVERWRITE)
            verdict(f"page caches {name} exit code", result.code == 0, 0, f"{result.code} {result.errors}")
            # Old dirty pages were written before, and come not again.
            for file, at in held:
                os.fsync(file.fileno())
                fcntl.ioctl(file, BLKFLSBUF)
            check(f"page caches {name}: new data stay", True, read_direct(path, PLACE + 8192, len(new)) == new)
            check(f"page caches {name}: what was dirty was written", True, read_direct(path, PLACE + 4096, 4096) == old[:4096])
            for file, _ in held:
                file.close()
    # What is read while it writes is dropped when it ends.
    process = begin(path)
    with open(path, "rb", buffering=0) as file:
        file.seek(PLACE)
        seen = file.read(MIB)
        time.sleep(1)
        process.terminate()
        process.communicate(timeout=60)
        file.seek(PLACE)
        check("clean pages are dropped at the end", True, file.read(MIB) == read_direct(path, PLACE, MIB))
        note(f"what was cached meanwhile was old: {seen != read_direct(path, PLACE, MIB)}")
    clear_partitions(path)


# ---------------------------------------------------------------- failures


def test_statuses():
    """A drive that fails a sector: the status is told, the outcome unknown, and all else goes on."""
    path = node("worn")
    result = write(path, 4 * MIB - 4096, os.urandom(12 * KIB))
    error = result.json["error"]
    verdict("write fault", (result.code, error["code"], error["outcome"]) == (3, "device-status", "unknown"), (3, "device-status", "unknown"),
            f"{result.code} {result.output}")
    verdict("write fault has its name", "0x280 (Write Fault)" in error["message"], "0x280 (Write Fault)", error["message"])
    check("write fault one line", 1, result.errors.count("\n"))
    check("beside it", 0, write(path, 8 * MIB, os.urandom(16 * KIB)).code)
    for engine, depth in (("sync", 1), ("io_uring", 16)):
        document = load(f"write fault {engine}", path, 16 * KIB, "--count", 2000, "--engine", engine, "--queue-depth", depth,
                        "--range", "0:5m", "--pattern", "sequential", code=3)
        error = document["error"]
        check(f"write fault {engine}", ("device-status", "unknown"), (error["code"], error["outcome"]))
        verdict(f"write fault {engine} says where", f"at {4 * MIB}:" in error["message"], 4 * MIB, error["message"])
        verdict(f"write fault {engine} counts what was done", document["operations"] >= 256, "256 or more", document["operations"])


def test_failed_flush():
    for number, engine, depth, durable in ((1, "sync", 1, "end"), (2, "io_uring", 16, "each"), (3, "io_uring", 16, "end")):
        path = node(f"volatile-{number}")
        name = f"failed flush {engine} {durable}"
        document = load(name, path, 16 * KIB, "--count", 100, "--engine", engine, "--queue-depth", depth, "--durable", durable, code=3)
        check(name, ("device-status", "unknown"), (document["error"]["code"], document["error"]["outcome"]))
        verdict(f"{name} words", "the flush failed: NVMe status 0x280 (Write Fault)" in document["error"]["message"], "the flush failed",
                document["error"]["message"])
        # Now there is something to be flushed before the first command, and the drive still cannot.
        error = refuses(f"{name} again", path, PLACE, 4096, "io")
        verdict(f"{name} again says why", "could not be written back" in error["message"], "could not be written back", error)


def begin(path, *options):
    command = [*TOOL, "write", path, "--json", "--path", "passthrough", OVERWRITE, *([] if "--block-size" in options else ["--block-size", "16k"]),
               "--runtime", "60s", *options]
    before = read_direct(path, 0, 16 * MIB)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    drives.wait_for(lambda: read_direct(path, 0, 16 * MIB) != before or process.poll() is not None, "the load's writes", 60)
    time.sleep(1)
    return process


def ended(name, process, code, error, outcome):
    output, errors = process.communicate(timeout=90)
    document = json.loads(output)
    verdict(f"{name} exit code", process.returncode == code, code, f"{process.returncode} {errors.decode()}")
    check(f"{name} one line", 1, errors.count(b"\n"))
    check(f"{name} schema", [], breaches(document))
    verdict(f"{name} error", ((document["error"] or {}).get("code"), (document["error"] or {}).get("outcome")) == (error, outcome),
            (error, outcome), document["error"])
    verdict(f"{name} tells what was done", document["operations"] > 0, "some", document["operations"])


def test_feature():
    """Nothing fails, and still the drive is not what it was: it is asked again every second."""
    path = node("busy")
    controller = f"/dev/{drives.controller_of(path[5:])}"
    for engine, depth in (("sync", 1), ("io_uring", 8)):
        process = begin(path, "--engine", engine, "--queue-depth", str(depth))
        changed = time.monotonic()
        succeed("nvme", "set-feature", controller, "-f", "0x0a", "-V", "1")
        ended(f"Write Atomicity Normal switched off, {engine}", process, 3, "conflict", "unknown")
        verdict(f"noticed soon, {engine}", time.monotonic() - changed < 20, "20 seconds", time.monotonic() - changed)
        succeed("nvme", "set-feature", controller, "-f", "0x0a", "-V", "0")


def test_format():
    """Another root process formats the namespace in the middle: its blocks are others now, and nothing more is written."""
    path = node("formatted")
    process = begin(path, "--engine", "io_uring", "--queue-depth", "4")
    # Its last step, telling the kernel, finds the device held.
    run(["nvme", "format", "--force", "--lbaf=4", path])
    output, errors = process.communicate(timeout=90)
    document = json.loads(output)
    error = document["error"] or {}
    verdict("formatted exit code", process.returncode in (2, 3), "2 or 3", f"{process.returncode} {errors.decode()}")
    verdict("formatted error", error.get("code") in ("conflict", "device-status"), "conflict or device-status", error)
    check("formatted blocks", 4096, block_of(path))
    writes("after the format", path, PLACE, 3 * 4096)
    refuses("after the format, the old block", path, PLACE + 512, 512, "exceeds-limit")


def test_removal():
    path = node("gone")
    process = begin(path, "--engine", "io_uring", "--queue-depth", "8")
    drives.write(f"/sys/block/{path[5:]}/device/device/remove", 1)
    output, errors = process.communicate(timeout=90)
    document = json.loads(output)
    error = document["error"] or {}
    verdict("removal exit code", process.returncode in (2, 3), "2 or 3", f"{process.returncode} {errors.decode()}")
    check("removal one line", 1, errors.count(b"\n"))
    check("removal schema", [], breaches(document))
    verdict("removal error", error.get("code") in ("io", "device-status", "conflict"), "an error", error)
    verdict("removal tells what was done", document["operations"] > 0, "some", document["operations"])


# ---------------------------------------------------------------- one namespace by two nodes


def test_twins():
    """Without native multipath a namespace under two controllers is two disks: who holds one holds both."""
    succeed("modprobe", "-r", "nvme")
    succeed("modprobe", "-r", "nvme_core")
    succeed("modprobe", "nvme_core", "multipath=N")
    succeed("modprobe", "nvme")

    def find():
        disks = [disk for disk in glob.glob("/sys/block/nvme*n*") if drives.read(f"{disk}/device/serial") == "twins"]
        return sorted(f"/dev/{os.path.basename(disk)}" for disk in disks) if len(disks) == 2 else None
    one, two = drives.wait_for(find, "the twins")
    check("twins are one namespace", drives.read(f"/sys/block/{one[5:]}/wwid"), drives.read(f"/sys/block/{two[5:]}/wwid"))
    writes("twin", one, PLACE, 12 * KIB, "--allow-shared", reader=two, kept="assumed")
    with opened(two, os.O_RDONLY | os.O_EXCL):
        for target in (one, generic(one), two, generic(two)):
            refuses(f"twin held, {target}", target, PLACE, 4096, "busy", "--allow-shared", reader=one)
    succeed("mkfs.ext4", "-q", "-F", two)
    with mounted(two, "/tmp/twin"):
        for target in (one, generic(one)):
            refuses(f"twin mounted, {target}", target, PLACE, 4096, "busy", "--allow-shared", OVERWRITE, reader=one)
    with open(two, "r+b") as file:
        file.seek(PLACE)
        file.write(b"o" * 8192)
        file.flush()
        data = os.urandom(4096)
        check("twin with dirty pages", 0, write(one, PLACE, data, "--allow-shared", OVERWRITE).code)
        os.fsync(file.fileno())
        fcntl.ioctl(file, BLKFLSBUF)
    check("twin: new data stay", True, read_direct(one, PLACE, 8192) == data + b"o" * 4096)


main()
