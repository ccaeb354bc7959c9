"""Finds drives by serial, and reads what sysfs says of them."""

import glob
import os
import time

QUEUE_FIELDS = (
    "atomic_write_unit_min_bytes", "atomic_write_unit_max_bytes", "atomic_write_max_bytes",
    "atomic_write_boundary_bytes", "logical_block_size", "physical_block_size", "max_sectors_kb", "max_hw_sectors_kb",
)


def read(path):
    with open(path) as file:
        return file.read().strip()


def write(path, value):
    with open(path, "w") as file:
        file.write(str(value))


def wait_for(find, what, seconds=20):
    """Drives answer, and nodes appear, when they like."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not appear")
        time.sleep(0.05)
    return found


def namespace_node(serial, nsid=1):
    """The name of a namespace's disk. Neither number in it is the NSID or the order of creation."""
    def find():
        for disk in glob.glob("/sys/block/nvme*n*"):
            if read(f"{disk}/device/serial") == serial and read(f"{disk}/nsid") == str(nsid):
                return os.path.basename(disk)
    return wait_for(find, f"namespace {nsid} of {serial}")


def controller_of(disk):
    return os.path.basename(os.path.realpath(f"/sys/block/{disk}/device"))


def generic_of(disk):
    """The character device of a namespace: the same numbers, another prefix."""
    return disk.replace("nvme", "ng", 1)


def queue(disk):
    return {field: int(read(f"/sys/block/{disk}/queue/{field}")) for field in QUEUE_FIELDS}


def queue_setting(disk, name):
    return f"/sys/block/{disk}/queue/{name}"


def partition_start_bytes(partition):
    return int(read(f"/sys/class/block/{partition}/start")) * 512


def size_bytes(device):
    return int(read(f"/sys/class/block/{device}/size")) * 512


def completed_writes(disk):
    return int(read(f"/sys/block/{disk}/stat").split()[4])
