"""Transactions by a journal on a real driver: what lands, what a killed program and a crash leave, and whose
journal is nobody's."""

import errno
import glob
import json
import os
import random
import re
import subprocess
import time

import drives
from checks import cell, check, finish, note, verdict
from commands import TOOL, run, succeed, tool

KIB = 1024
MIB = 1 << 20
BLOCK = 16 * KIB
MOUNT = "/tmp/journal"
REGION = f"{192 * MIB}:{16 * MIB}"
DATA = 64 * MIB


def main():
    device = f"/dev/{drives.namespace_node('journal', 1)}"
    clone = f"/dev/{drives.namespace_node('journal', 2)}"
    disk = f"/dev/{drives.namespace_node('journal', 3)}"
    parts = [(test_unnamed, device), (test_region, device), (test_killed, device), (test_clone, device, clone),
             (test_signature, device)]
    for part, *arguments in parts:
        with cell(part.__name__):
            part(*arguments)
    for make in (["mkfs.ext4", "-q", "-F"], ["mkfs.xfs", "-q", "-f"]):
        succeed(*make, disk)
        os.makedirs(MOUNT, exist_ok=True)
        succeed("mount", disk, MOUNT)
        for part in (test_file, test_shutdown, test_other_path, test_late_writes):
            with cell(f"{part.__name__} {make[0]}"):
                part(disk)
        succeed("umount", MOUNT)
    with cell(test_removed.__name__):
        test_removed()
    finish()


# ---------------------------------------------------------------- writing


def write(target, ranges, *options, code=0):
    arguments = []
    for number, (offset, data) in enumerate(ranges):
        with open(f"/tmp/input{number}", "wb") as file:
            file.write(data)
        arguments += ["--at", offset, "--input", f"/tmp/input{number}"]
    result = tool("write", target, "--path", "journal", *arguments, *options, "--json")
    if result.code != code:
        verdict(f"exit code of {len(ranges)} ranges", False, code, f"{result.code}: {result.errors}")
    return result.json


def read(target, offset, count):
    """Past the page cache, which writes by others do not go through."""
    if target.startswith("/dev/"):
        succeed("blockdev", "--flushbufs", target)
    with open(target, "rb") as file:
        file.seek(offset)
        return file.read(count)


def expect(name, target, ranges):
    for offset, data in ranges:
        check(f"{name}: {len(data)} bytes at {offset}", True, read(target, offset, len(data)) == data)


def load(target, *options):
    """A load that goes on until it is ended, and has begun to write."""
    process = subprocess.Popen(
        [*TOOL, "write", target, "--path", "journal", "--block-size", "16k", "--runtime", "120s", "--range", f"0:{DATA}",
         "--engine", "io_uring", "--queue-depth", "32", *options, "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    drives.wait_for(lambda: process.poll() is not None or written_by(process) > 2 * MIB, "what a load writes", 60)
    time.sleep(random.uniform(0.2, 2))
    return process


def written_by(process):
    """Bytes that it has had written, its journal's too."""
    with open(f"/proc/{process.pid}/io") as file:
        return int(dict(line.split(": ") for line in file)["write_bytes"])


def stamps(target):
    """Each block's four stamps have one number, and their places."""
    whole = torn = 0
    succeed("sync")
    data = read(target, 0, DATA)
    for block in range(0, DATA, BLOCK):
        marks = [data[block + part:block + part + 16] for part in range(0, BLOCK, 4096)]
        places = [int.from_bytes(mark[8:], "little") for mark in marks]
        if places == [0, 0, 0, 0]:
            continue
        numbers = {mark[:8] for mark in marks}
        right = len(numbers) == 1 and places == [block + part for part in range(0, BLOCK, 4096)]
        whole, torn = whole + right, torn + (not right)
    return whole, torn


# ---------------------------------------------------------------- a block device


def test_unnamed(device):
    result = tool("write", device, "--path", "journal", "--at", 0, "--input", "/etc/hostname", "--json")
    check("without a journal: exit code", 2, result.code)
    verdict("and the advice", "--journal-region" in result.errors, "--journal-region", result.errors)


def test_region(device):
    check("region made", 0, tool("journal", "init", device, "--journal-region", REGION).code)
    check("not twice", 2, tool("journal", "init", device, "--journal-region", REGION).code)
    ranges = [(7, b"a" * 5), (4090, b"b" * 20), (MIB, os.urandom(300_000)), (192 * MIB - 1, b"z")]
    document = write(device, ranges, "--journal-region", REGION)
    expect("region", device, ranges)
    check("path", ("journal", "yes", True), tuple(document[key] for key in ("path", "power_fail_atomic", "durable")))
    write(device, [(192 * MIB, b"x")], "--journal-region", REGION, code=2)
    write(device, [(192 * MIB - 1, b"xx")], "--journal-region", REGION, code=2)
    recovered = tool("recover", device, "--journal-region", REGION, "--json").json
    check("closed", (True, False, 0), (recovered["journal"], recovered["in_use"], recovered["transactions"]))


def test_killed(device):
    succeed("dd", "if=/dev/zero", f"of={device}", "bs=1M", f"count={DATA // MIB}", "conv=fsync", "status=none")
    recovered = written = 0
    for round in range(4):
        process = load(device, "--journal-region", REGION)
        process.kill()
        process.communicate()
        found = tool("recover", device, "--journal-region", REGION, "--dry-run", "--json").json
        recovered += found["transactions"]
        refused = tool("write", device, "--path", "journal", "--at", DATA, "--input", "/etc/hostname", "--journal-region", REGION)
        check(f"round {round}: writing is refused", 2 if found["in_use"] else 0, refused.code)
        done = tool("recover", device, "--journal-region", REGION, "--json").json
        check(f"round {round}: as foretold", found["transactions"], done["transactions"])
        whole, torn = stamps(device)
        check(f"round {round}: torn", 0, torn)
        written += whole
        note(f"killed in round {round}: {found['transactions']} transactions recovered, {whole} blocks whole")
    # How far a load comes before it is killed is chance; not one that never comes anywhere.
    verdict("transactions recovered", recovered > 0, "some", recovered)
    verdict("blocks written", written > 0, "some", written)


def test_clone(device, clone):
    """The same bytes on another drive are another target."""
    process = load(device, "--journal-region", REGION)
    process.kill()
    process.communicate()
    succeed("dd", f"if={device}", f"of={clone}", "bs=1M", "conv=fsync", "status=none")
    before = read(clone, 0, DATA)
    result = tool("recover", clone, "--journal-region", REGION, "--json")
    check("clone", (2, "refused"), (result.code, result.json["error"]["code"]))
    check("clone is as it was", True, before == read(clone, 0, DATA))
    check("the original is recovered", 0, tool("recover", device, "--journal-region", REGION).code)


def when_free(device):
    """io_uring keeps what a killed process had open for a moment after its end."""
    for _ in range(100):
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        time.sleep(0.05)


def test_signature(device):
    """A filesystem that came after the journal is not written over."""
    process = load(device, "--journal-region", REGION)
    process.kill()
    process.communicate()
    when_free(device)
    succeed("mkfs.ext4", "-q", "-F", device, "64M")
    result = tool("recover", device, "--journal-region", REGION, "--json")
    check("signature", (2, "refused"), (result.code, result.json["error"]["code"]))
    check("the filesystem is whole", 0, run(["e2fsck", "-fn", device]).code)
    forced = tool("recover", device, "--journal-region", REGION, "--overwrite-existing-data")
    check("unless that is wanted", 0, forced.code)
    succeed("wipefs", "-qa", device)


# ---------------------------------------------------------------- files


def make(name, size):
    path = f"{MOUNT}/{name}"
    with open(path, "wb") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
    return path


def test_file(_disk):
    path = make("file", 100_001)
    ranges = [(3, b"c" * 9000), (99_000, b"d" * 5000), (200_000, b"e" * 123)]
    write(path, ranges)
    expect("file", path, ranges)
    check("size", 200_123, os.stat(path).st_size)
    check("its journal", True, os.path.exists(path + ".nvme-atomic-journal"))
    check("dropped", 0, tool("journal", "drop", path).code)
    check("and gone", False, os.path.exists(path + ".nvme-atomic-journal"))


def test_shutdown(disk):
    """What the filesystem had only in memory is lost, in the middle of a load."""
    path = make("crashed", DATA)
    written = 0
    check("its journal", 0, tool("journal", "init", path, "--size", "16m").code)
    for round in range(3):
        process = load(path)
        succeed("xfs_io", "-x", "-c", "shutdown", MOUNT)
        process.communicate(timeout=60)
        # 2 where the load had not begun.
        verdict(f"round {round}: exit code", process.returncode in (2, 3), "2 or 3", process.returncode)
        for _ in range(100):
            if run(["umount", MOUNT]).code == 0:
                break
            time.sleep(0.1)
        succeed("mount", disk, MOUNT)
        recovered = tool("recover", path, "--json")
        check(f"round {round}: recovered", 0, recovered.code)
        whole, torn = stamps(path)
        check(f"round {round}: torn", 0, torn)
        written += whole
    verdict("blocks written", written > 0, "some", written)


def test_other_path(_disk):
    """A write by another path brings in place first what the journal has."""
    path = make("other", DATA)
    check("its journal", 0, tool("journal", "init", path, "--size", "16m").code)
    with open("/tmp/page", "wb") as file:
        file.write(b"p" * BLOCK)
    plain = ["write", path, "--path", "plain", "--at", 0, "--input", "/tmp/page", "--json"]
    process = load(path)
    meanwhile = tool(*plain)
    check("meanwhile", (2, "busy"), (meanwhile.code, meanwhile.json["error"]["code"]))
    process.kill()
    process.communicate()
    result = tool(*plain)
    check("plain write", 0, result.code)
    check("nothing is left to recover", False, tool("recover", path, "--json").json["in_use"])
    check("the write stays", True, read(path, 0, BLOCK) == b"p" * BLOCK)
    # The page has no stamps.
    check("torn", 1, stamps(path)[1])


def test_late_writes(disk):
    """What a killed program's ring still has on its way lands late: never over what comes after it."""
    path = make("late", 4 * MIB)
    check("its journal", 0, tool("journal", "init", path, "--size", "1m").code)
    slow = slow_group(disk, 8)
    waited = 0
    for round in range(2):
        process = subprocess.Popen(
            ["sh", "-c", f"echo $$ >{slow}/cgroup.procs; exec \"$@\"", "sh", *TOOL, "write", path, "--path", "journal",
             "--block-size", "16k", "--runtime", "120s", "--engine", "io_uring", "--queue-depth", "32", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        drives.wait_for(lambda: process.poll() is not None or in_flight(process) > 8, "writes in place", 60)
        process.kill()
        process.communicate()
        # Recovers first. A journal would also wait as it sets space aside, with fallocate(2).
        with open("/tmp/newer", "wb") as file:
            file.write(bytes([round]) * 700 * KIB)
        begin = time.monotonic()
        check(f"round {round}: written", 0, tool("write", path, "--path", "plain", "--at", 0, "--input", "/tmp/newer").code)
        waited += time.monotonic() - begin
        time.sleep(8)
        check(f"round {round}: what came after stays", True, read(path, 0, 700 * KIB) == bytes([round]) * 700 * KIB)
    note(f"{waited / 2:.1f} s for a write after a killed program")


def slow_group(disk, writes):
    """A control group whose processes have so many writes a second: others overtake them."""
    folder = "/sys/fs/cgroup"
    if not os.path.exists(f"{folder}/cgroup.controllers"):
        os.makedirs(folder, exist_ok=True)
        succeed("mount", "-t", "cgroup2", "none", folder)
    drives.write(f"{folder}/cgroup.subtree_control", "+io")
    os.makedirs(f"{folder}/slow", exist_ok=True)
    number = os.stat(disk).st_rdev
    drives.write(f"{folder}/slow/io.max", f"{os.major(number)}:{os.minor(number)} wiops={writes}")
    return f"{folder}/slow"


def in_flight(process):
    """Requests of its rings that have not ended."""
    count = 0
    for path in glob.glob(f"/proc/{process.pid}/fdinfo/*"):
        try:
            with open(path) as file:
                facts = dict(re.findall(r"^(\w+):\s*(\d+)$", file.read(), re.M))
        except OSError:
            continue
        if "CqTail" in facts:
            count += int(facts["SqHead"]) - int(facts["CqTail"])
    return count


def test_removed():
    """A drive that goes away in the middle of a load: unknown, and one line."""
    device = f"/dev/{drives.namespace_node('gone', 1)}"
    check("region made", 0, tool("journal", "init", device, "--journal-region", REGION).code)
    process = load(device, "--journal-region", REGION)
    drives.write(f"/sys/block/{device[5:]}/device/device/remove", 1)
    output, errors = process.communicate(timeout=60)
    check("removal exit code", 3, process.returncode)
    check("removal one line", 1, errors.count(b"\n"))
    check("removal outcome", "unknown", (json.loads(output)["error"] or {}).get("outcome"))


main()
