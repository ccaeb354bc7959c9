"""The journal beside fio's plain durable writes, on disks whose flushes cost something: two that are flushed for real,
to the host's disk, and the model of a drive without capacitors, each behind nvme-loop.

    Tests/VM/rig boot --kernel newest --group ../../benchmarks --guest Tests/benchmarks/journal_guest.py --tool FILE --timeout 1200
"""

import json
import os
import statistics

from checks import finish, note, verdict
from commands import TOOL, succeed
from disks import SECONDS, fio, remote, scsi, serial, spread
import drives
import fabric

ROUNDS = 5
MIB = 1 << 20
DATA, JOURNAL = 128 * MIB, f"{160 * MIB}:{16 * MIB}"


def journal(path, options):
    document = json.loads(succeed(
        *TOOL, "write", path, "--path", "journal", "--journal-region", JOURNAL, "--block-size", "16k", "--range", f"0:{DATA}",
        "--durable", "each", "--runtime", f"{SECONDS}s", "--json", *options))
    return document["iops"]


def main():
    fabric.start()
    disks = {"cached": remote("cached", serial("cached"))}
    for module in ("sd_mod", "virtio_scsi"):
        succeed("modprobe", module)
    for name in ("fua", "model"):
        disks[name] = remote(name, drives.wait_for(lambda: scsi(name), f"the SCSI disk {name}"))
    for path in disks.values():
        with open(path, "r+b") as device:
            for _ in range(DATA // MIB):
                device.write(os.urandom(MIB))
            os.fsync(device.fileno())
        succeed(*TOOL, "journal", "init", path, "--journal-region", JOURNAL, "--overwrite-existing-data")
    ways = {
        "depth 1": (["--ioengine=pvsync2"], []),
        "depth 32": (["--ioengine=io_uring", "--iodepth=32"], ["--engine", "io_uring", "--queue-depth", "32"]),
    }
    figures = {(name, way): ([], []) for name in disks for way in ways}
    for number in range(ROUNDS):
        for (name, way), (plain, journalled) in figures.items():
            theirs, ours = ways[way]
            plain.append(fio(disks[name], ["--direct=1", "--sync=dsync", f"--size={DATA}", *theirs], number + 1))
            journalled.append(journal(disks[name], ours))
    note(f"Linux {os.uname().release}, {ROUNDS} rounds of {SECONDS} s")
    for (name, way), (plain, journalled) in figures.items():
        ratio = statistics.median(journalled) / statistics.median(plain)
        note(f"| {name}, {way} | {spread(plain)} | {spread(journalled)} | {ratio:.2f} |")
        verdict(f"{name}, {way} was measured", min(plain) > 0 and min(journalled) > 0, "both", (plain, journalled))
    finish()


main()
