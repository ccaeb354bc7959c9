"""What the benchmarks in a virtual machine share: their disks, and fio."""

import glob
import json
import os
import statistics
import subprocess

import drives
import fabric

SECONDS = 4


def scsi(name):
    """By its serial number, in page 80h of the vital product data."""
    for page in glob.glob("/sys/block/sd*/device/vpd_pg80"):
        with open(page, "rb") as file:
            if file.read()[4:].decode().strip() == name:
                return page.split("/")[3]
    return None


def serial(name):
    return next(disk(path) for path in glob.glob("/sys/block/vd*/serial") if drives.read(path) == name)


def disk(serial_path):
    return os.path.basename(os.path.dirname(serial_path))


def remote(name, backing):
    """nvme-loop above a disk of 16 KiB physical blocks: NAWUPF is one such block."""
    fabric.export(name, f"/dev/{backing}")
    fabric.connect(name)

    def find():
        for path in glob.glob("/sys/block/nvme*n*"):
            node = os.path.basename(path)
            subsystem = f"{path}/device/subsysnqn"
            if os.path.exists(f"/dev/{node}") and os.path.exists(subsystem) and drives.read(subsystem) == name:
                return f"/dev/{node}"
    return drives.wait_for(find, "the remote namespace")


def fio(path, options, seed):
    result = subprocess.run(
        ["fio", "--name=job", f"--filename={path}", "--rw=randwrite", "--bs=16k", "--norandommap", "--size=200m", "--time_based",
         f"--runtime={SECONDS}", f"--randseed={seed}", "--output-format=json", *options], capture_output=True, text=True)
    try:
        return json.loads(result.stdout[result.stdout.index("{"):])["jobs"][0]["write"]["iops"]
    except ValueError as error:
        raise RuntimeError(f"fio {options}: {result.stderr[:400]} {result.stdout[:400]}") from error


def spread(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"
