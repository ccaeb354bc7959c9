"""Transactions by exchanging ranges, as the tool makes them: who wins, what lands, and what a crash leaves."""

import os
import random
import subprocess
import threading
import time

import drives
from checks import cell, check, finish, note, verdict
from commands import TOOL, run, succeed, tool
from raw import extend_by_exchange

KIB = 1024
MIB = 1 << 20
MOUNT, OTHER = "/tmp/mount", "/tmp/other"
ROUNDS = 8


def main():
    device = f"/dev/{drives.namespace_node('exchange', 1)}"
    succeed("mkfs.xfs", "-q", "-f", "-i", "exchange=1", device)
    os.makedirs(MOUNT, exist_ok=True)
    succeed("mount", device, MOUNT)
    for part in (test_probe, test_ranges, test_extension, test_conflicts, test_usage, test_large_input):
        with cell(part.__name__):
            part()
    for part in (test_raw_kernel, test_crash_after_commit, test_crash_before_commit, test_crash_in_the_middle):
        with cell(part.__name__):
            part(device)
    with cell(test_write_errors.__name__):
        test_write_errors()
    finish()


# ---------------------------------------------------------------- files


def make(name, size, fill=b"\x5a"):
    path = f"{MOUNT}/{name}"
    with open(path, "wb") as file:
        file.write(fill * size)
        file.flush()
        os.fsync(file.fileno())
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, ranges, *options, code=0):
    """One transaction of (offset, bytes); the document that it printed."""
    arguments = []
    for number, (offset, data) in enumerate(ranges):
        with open(f"/tmp/input{number}", "wb") as file:
            file.write(data)
        arguments += ["--at", offset, "--input", f"/tmp/input{number}"]
    result = tool("write", path, "--path", "exchange", *arguments, *options, "--json")
    if result.code != code:
        verdict(f"exit code of {len(ranges)} ranges", False, code, f"{result.code}: {result.errors}")
    return result.json


def applied(before, ranges):
    after = bytearray(before)
    for offset, data in ranges:
        after += bytes(max(0, offset - len(after)))
        after[offset:offset + len(data)] = data
    return bytes(after)


def crash(device):
    """What the log in memory holds is lost, as by a power failure; the mount recovers what was written of it."""
    succeed("xfs_io", "-x", "-c", "shutdown", MOUNT)
    for _ in range(100):
        if run(["umount", MOUNT]).code == 0:
            break
        time.sleep(0.1)
    succeed("mount", device, MOUNT)


# ---------------------------------------------------------------- without crashes


def test_probe():
    path = make("probed", 4096)
    exchange = tool("probe", path, "--json").target["paths"]["exchange"]
    check("exchange is offered", {"available": True, "reason": None}, exchange)
    other = f"/dev/{drives.namespace_node('exchange', 2)}"
    succeed("mkfs.xfs", "-q", "-f", "-i", "exchange=0", other)
    os.makedirs(OTHER, exist_ok=True)
    succeed("mount", other, OTHER)
    try:
        refused = tool("probe", OTHER, "--json").target["paths"]["exchange"]
        check("exchange is not offered without exchange=1", False, refused["available"])
        verdict("and why", "exchange=1" in refused["reason"], "exchange=1", refused["reason"])
        with open(f"{OTHER}/file", "wb") as file:
            file.write(bytes(4096))
        result = tool("write", f"{OTHER}/file", "--path", "exchange", "--at", 0, "--input", "/etc/hostname", "--json")
        check("nor written by", (2, "unsupported"), (result.code, result.json["error"]["code"]))
    finally:
        succeed("umount", OTHER)


def test_ranges():
    path = make("ranges", 300_001)
    ranges = [(7, b"a" * 5), (4090, b"b" * 20), (8192, b"c" * 8192), (40_000, os.urandom(30_000)),
              (45_000, b"d" * 100), (300_000, b"e")]
    document = write(path, ranges)
    check("ranges land", True, content(path) == applied(b"\x5a" * 300_001, ranges))
    check("path", "exchange", document["path"])
    check("power-fail atomic", "yes", document["power_fail_atomic"])
    check("durable", True, document["durable"])
    check("bytes", 5 + 20 + 8192 + 30_000 + 1, document["bytes"])
    check("joined ranges", [(7, 5), (4090, 20), (8192, 8192), (40_000, 30_000), (300_000, 1)],
          [(one["offset"], one["length"]) for one in document["ranges"]])
    check("not durable", False, write(path, ranges[:1], "--durable", "none")["durable"])


def test_extension():
    for size in (1, 4095, 4096, 10_001):
        for offset, count in ((size, 1), (size + 1, 4096), (20_000, 30_000), (65_536, 5)):
            path = make("extended", size)
            ranges = [(offset, os.urandom(count)), (0, b"!")]
            write(path, ranges)
            check(f"{size} bytes and {count} at {offset}", True, content(path) == applied(b"\x5a" * size, ranges))
            check("size", offset + count, os.stat(path).st_size)


class Held:
    """A transaction that has staged a mebibyte and waits for the end of its input."""

    def __init__(self, path, offset, byte):
        self.process = subprocess.Popen(
            [*TOOL, "write", path, "--path", "exchange", "--at", str(offset), "--input", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.process.stdin.write(byte * MIB)
        self.process.stdin.flush()
        self.path = path
        drives.wait_for(lambda: self.locks() > 0, "the lock", 60)

    def locks(self):
        inode = str(os.stat(self.path).st_ino)
        lines = drives.read("/proc/locks").splitlines()
        return sum("OFDLCK" in line and f":{inode} " in line and "WRITE" in line for line in lines)

    def end(self):
        _, errors = self.process.communicate()
        return self.process.returncode, errors.decode()


def test_conflicts():
    path = make("conflicts", 4 * MIB)
    held = Held(path, MIB, b"1")
    for name, offset, count, code in (("over it", MIB + 5, 10, 2), ("its first block", MIB - 1, 2, 2),
                                      ("before it", MIB - 4096, 4096, 0), ("after it", 2 * MIB, 100, 0),
                                      ("behind the end", 4 * MIB, 10, 0)):
        document = write(path, [(offset, b"2" * count)], code=code)
        check(name, "conflict" if code else "exchange", document["error"]["code"] if code else document["path"])
    check("the held one ends", (0, ""), held.end())
    expected = bytearray(b"\x5a" * 4 * MIB + b"2" * 10)
    expected[MIB:2 * MIB] = b"1" * MIB
    expected[MIB - 4096:MIB] = b"2" * 4096
    expected[2 * MIB:2 * MIB + 100] = b"2" * 100
    check("nobody lost anything", True, content(path) == bytes(expected))
    extending = Held(path, 4 * MIB + 5, b"3")
    check("two that extend", "conflict", write(path, [(9 * MIB, b"4")], code=2)["error"]["code"])
    check("one that does not", "exchange", write(path, [(0, b"4")])["path"])
    extending.process.kill()
    extending.end()
    check("nothing is left of one that was killed", 4 * MIB + 10, os.stat(path).st_size)
    check("and its place is free", "exchange", write(path, [(9 * MIB, b"4")])["path"])


def test_usage():
    path = make("usage", 64 * KIB)
    pair = ["--at", "0", "--input", "/etc/hostname"]
    for options in (["--path", "kernel", *pair, *pair], ["--path", "plain", *pair, *pair],
                    ["--path", "exchange", *pair, "--at", "4096"],
                    ["--path", "exchange", "--at", "0", "--input", "-", "--at", "9", "--input", "-"],
                    ["--path", "exchange", "--block-size", "4k", "--count", "1"]):
        check(f"usage of {' '.join(options)}", 64, tool("write", path, *options).code)


def test_large_input():
    """More than the memory that is allowed for it."""
    path = make("large", 4096)
    command = f"ulimit -v 300000; head -c 400M /dev/zero | tr '\\0' x | {' '.join(TOOL)} write {path} --path exchange --at 5 --input -"
    result = run(["bash", "-c", command], timeout=600)
    check("400 MiB are written", 0, result.code)
    check("size", 400 * MIB + 5, os.stat(path).st_size)
    os.unlink(path)


# ---------------------------------------------------------------- crashes


def test_raw_kernel(device):
    """Why the tool has blocks set aside: kernels lose what an exchange has put behind the old end."""
    for keeping in (False, True):
        path = make("raw", 8192)
        extend_by_exchange(path, 8192, b"r" * 8192, keeping)
        crash(device)
        found = content(path)
        whole = found == b"\x5a" * 8192 + b"r" * 8192
        if keeping:
            check("blocks behind the old end survive recovery where some are set aside", True, whole)
        else:
            note(f"Linux {os.uname().release} keeps blocks behind the old end without that: {whole}, {len(found)} bytes")
        os.unlink(path)


def test_crash_after_commit(device):
    for size, ranges in ((300_001, [(10, b"a" * 20_000), (299_990, b"b" * 20_000), (400_000, b"c" * 777)]),
                         (8192, [(0, b"a" * 100), (8192, b"b" * 8192)]), (1 * MIB, [(5, b"c"), (MIB - 1, b"d")]),
                         (4096, [(4096, os.urandom(MIB + 1))])):
        path = make("committed", size)
        write(path, ranges)
        expected = applied(b"\x5a" * size, ranges)
        check(f"{len(ranges)} ranges of {size} bytes before", True, content(path) == expected)
        crash(device)
        check(f"{len(ranges)} ranges of {size} bytes after a crash", True, content(path) == expected)
        check("size", len(expected), os.stat(path).st_size)
        write(path, [(0, b"z")])
        check("and goes on", True, content(path) == b"z" + expected[1:])
        os.unlink(path)


def test_crash_before_commit(device):
    path = make("staged", 2 * MIB)
    held = Held(path, 100, b"1")
    crash_while_held(device, held)
    check("nothing of what was staged", True, content(path) == b"\x5a" * 2 * MIB)


def crash_while_held(device, held):
    succeed("xfs_io", "-x", "-c", "shutdown", MOUNT)
    code, errors = held.end()
    verdict("the held one fails", code in (2, 3), "2 or 3", f"{code}: {errors}")
    succeed("umount", MOUNT)
    succeed("mount", device, MOUNT)


def test_write_errors():
    """A disk that fails while staged bytes are on their way: whatever is said, nothing of them is there."""
    disk = f"/dev/{drives.namespace_node('exchange', 2)}"
    sectors = drives.size_bytes(os.path.basename(disk)) // 512
    tables = {"well": f"0 {sectors} linear {disk} 0",
              "ill": f"0 {sectors} flakey {disk} 0 0 60 1 error_writes"}
    # Nobody runs udev here: the library makes the node itself.
    os.environ["DM_DISABLE_UDEV"] = "1"
    succeed("dmsetup", "create", "failing", "--table", tables["well"])
    try:
        succeed("mkfs.xfs", "-q", "-f", "-i", "exchange=1", "/dev/mapper/failing")
        os.makedirs(OTHER, exist_ok=True)
        succeed("mount", "/dev/mapper/failing", OTHER)
        path = f"{OTHER}/file"
        with open(path, "wb") as file:
            file.write(b"\x5a" * 4 * MIB)
            file.flush()
            os.fsync(file.fileno())
        held = Held(path, 100, b"1")
        turn("failing", tables["ill"])
        held.process.stdin.write(b"2" * MIB)
        code, errors = held.end()
        verdict("it fails", code in (2, 3), "2 or 3", f"{code}: {errors}")
        turn("failing", tables["well"])
        succeed("umount", OTHER)
        succeed("mount", "/dev/mapper/failing", OTHER)
        check("and nothing is there", True, content(path) == b"\x5a" * 4 * MIB)
        document = write(path, [(100, b"3" * 5000)])
        check("the next one is", True, document["durable"] and content(path)[100:5101] == b"3" * 5000 + b"\x5a")
    finally:
        run(["umount", OTHER])
        run(["dmsetup", "remove", "failing"])


def turn(name, table):
    succeed("dmsetup", "load", name, "--table", table)
    succeed("dmsetup", "suspend", "--noflush", "--nolockfs", name)
    succeed("dmsetup", "resume", name)


SIZE = 500_003


def version(number):
    """The ranges of a version: every other block, over blocks, and a new end."""
    byte = bytes([number % 256])
    return [(place * 16 * KIB, byte * 4096) for place in range(8)] + [
        (300_001, byte * 5000), (SIZE + 333 * (number - 1), byte * 333)]


class Writer(threading.Thread):
    """Commits one version after the other."""

    def __init__(self, path, durable):
        super().__init__()
        self.path, self.durable, self.done, self.last = path, durable, 0, 0

    def run(self):
        while True:
            arguments = []
            for place, (offset, data) in enumerate(version(self.done + 1)):
                with open(f"/tmp/version{place}", "wb") as file:
                    file.write(data)
                arguments += ["--at", str(offset), "--input", f"/tmp/version{place}"]
            self.last = run([*TOOL, "write", self.path, "--path", "exchange", "--durable", self.durable, *arguments]).code
            if self.last != 0:
                return
            self.done += 1


def test_crash_in_the_middle(device):
    choose = random.Random(1)
    for number in range(ROUNDS):
        path = make("versions", SIZE, b"\0")
        durable = ("each", "none")[number % 2]
        writer = Writer(path, durable)
        writer.start()
        time.sleep(choose.uniform(0.3, 3))
        succeed("xfs_io", "-x", "-c", "shutdown", MOUNT)
        writer.join()
        succeed("umount", MOUNT)
        succeed("mount", device, MOUNT)
        found = content(path)
        seen = (len(found) - SIZE) // 333
        expected = bytes(SIZE)
        for one in range(1, seen + 1):
            expected = applied(expected, version(one))
        check(f"round {number}: one whole version", True, found == expected)
        newest = writer.done + (1 if writer.last == 3 else 0)
        oldest = writer.done if durable == "each" else 0
        verdict(f"round {number}: which one", oldest <= seen <= newest, (oldest, newest), seen)
        verdict(f"round {number}: what was told", writer.last in (2, 3), "2 or 3", writer.last)
        os.unlink(path)


main()
