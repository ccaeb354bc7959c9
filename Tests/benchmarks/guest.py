"""The tool's loads beside fio's same jobs, in turn, on an emulated drive and on a disk with a cache that is flushed."""

import json
import os
import re
import statistics
import subprocess

from checks import finish, note, verdict
from commands import TOOL, succeed
from disks import SECONDS, fio, remote, scsi, serial, spread
import drives
import fabric

ROUNDS = 5
SLOW_FLUSH = 40  # milliseconds
FIXED = ["--fixedbufs=1", "--registerfiles=1"]


def main():
    fast = "/dev/" + drives.namespace_node("fast")
    fabric.start()
    cached = remote("cached", serial("cached"))
    for module in ("sd_mod", "virtio_scsi"):
        succeed("modprobe", module)
    fua, model = (remote(name, drives.wait_for(lambda: scsi(name), f"the SCSI disk {name}")) for name in ("fua", "model"))
    late = remote("slow", slow(serial("slow"), SLOW_FLUSH))
    with open(fast, "r+b") as device:
        device.write(os.urandom(1 << 20) * 200)
    os.sync()
    kernel, commands = ["--atomic=1", "--direct=1"], ["--ioengine=io_uring_cmd", "--cmd_type=nvme", *FIXED]
    sync, ring = ["--engine", "sync"], ["--engine", "io_uring", "--queue-depth"]
    each = ["--durable", "each"]
    jobs = {
        # name: (path of each, fio's options, the tool's)
        "depth 1": (fast, fast, [*kernel, "--ioengine=pvsync2"], sync),
        "depth 32": (fast, fast, [*kernel, "--ioengine=io_uring", "--iodepth=32"], [*ring, "32"]),
        "commands, depth 1": (generic(fast), fast, commands, [*ring, "1", "--path", "passthrough"]),
        "commands, depth 32": (generic(fast), fast, [*commands, "--iodepth=32"],
                               [*ring, "32", "--path", "passthrough"]),
        "durable, depth 1": (cached, cached, [*kernel, "--ioengine=pvsync2", "--sync=dsync"], [*sync, *each]),
        "durable, depth 32": (cached, cached, [*kernel, "--ioengine=io_uring", "--iodepth=32", "--sync=dsync"], [*ring, "32", *each]),
        "FUA, depth 1": (fua, fua, [*kernel, "--ioengine=pvsync2", "--sync=dsync"], [*sync, *each]),
        "FUA, depth 32": (fua, fua, [*kernel, "--ioengine=io_uring", "--iodepth=32", "--sync=dsync"], [*ring, "32", *each]),
        "model, depth 1": (model, model, [*kernel, "--ioengine=pvsync2", "--sync=dsync"], [*sync, *each]),
        "model, depth 32": (model, model, [*kernel, "--ioengine=io_uring", "--iodepth=32", "--sync=dsync"], [*ring, "32", *each]),
        "slow flush, depth 1": (late, late, [*kernel, "--ioengine=pvsync2", "--sync=dsync"], [*sync, *each]),
        "slow flush, depth 32": (late, late, [*kernel, "--ioengine=io_uring", "--iodepth=32", "--sync=dsync"],
                                 [*ring, "32", *each]),
    }
    figures = {name: ([], []) for name in jobs}
    for number in range(ROUNDS):
        for name, (theirs, ours, fio_options, tool_options) in jobs.items():
            figures[name][0].append(fio(theirs, fio_options, number + 1))
            figures[name][1].append(tool(ours, tool_options, number + 1))
    version = subprocess.run(["fio", "--version"], capture_output=True, text=True).stdout.strip()
    note(f"Linux {os.uname().release}, {version}, {ROUNDS} rounds of {SECONDS} s")
    for name, (theirs, ours) in figures.items():
        note(f"| {name} | {spread(theirs)} | {spread(ours)} | {statistics.median(ours) / statistics.median(theirs):.2f} |")
        verdict(f"{name} was measured", min(theirs) > 0 and min(ours) > 0, "both", (theirs, ours))
    finish()


def slow(disk, milliseconds):
    """A disk whose flushes take so long, one after the other: a loop device above ext4 above dm-delay."""
    for module in ("dm_delay", "loop"):
        succeed("modprobe", module)
    sectors = drives.read(f"/sys/block/{disk}/size")
    at_once, late = f"/dev/{disk} 0 0", f"/dev/{disk} 0 {milliseconds}"
    succeed("dmsetup", "create", "slow", "--table", f"0 {sectors} delay {at_once} {at_once} {late}")
    succeed("mkfs.ext4", "-q", "/dev/dm-0")
    os.makedirs("/writable/slow", exist_ok=True)
    succeed("mount", "/dev/dm-0", "/writable/slow")
    with open("/writable/slow/image", "wb") as image:
        for _ in range(208):
            image.write(bytes(1 << 20))
        os.fsync(image.fileno())
    return succeed("losetup", "--find", "--show", "--direct-io=on", "--sector-size", "16384", "/writable/slow/image").strip().split("/")[-1]


def generic(path):
    return re.sub("nvme", "ng", path, count=1)


def tool(path, options, seed):
    result = subprocess.run(
        [*TOOL, "write", path, "--block-size", "16k", "--runtime", f"{SECONDS}s", "--range", "0:200m", "--seed", str(seed), "--json",
         "--overwrite-existing-data", *options], capture_output=True, text=True)
    document = json.loads(result.stdout)
    if result.returncode != 0:
        raise RuntimeError(f"{options}: {result.stderr}")
    return document["iops"]


main()
