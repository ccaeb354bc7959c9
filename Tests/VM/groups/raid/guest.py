"""Every way to join four drives, with every size of chunk: what the kernel makes of their limits, and the tool of both."""

import os

from checks import cell, check, finish, note
from claims import check_kernel, check_limits, check_tool
from layers import Namespace, array, linear, mirror, scsi_debug, striped

KIB, MIB = 1024, 1 << 20
# The last two are for those that take any multiple of a page.
CHUNKS = [size * KIB for size in (16, 32, 64, 128, 24, 96)]
FEW_CHUNKS = ("unequal", "blocks of 4 KiB", "SCSI")
SWEPT = ("whole raid0 chunk 24k", "whole raid1", "whole raid10 chunk 64k", "windows striped chunk 64k")
KINDS = {"whole": 1, "windows": 2, "unequal": 3, "blocks of 4 KiB": 4}


def main():
    note(f"kernel {os.uname().release} passes atomic writes through: {sorted(kernel_passes()) or 'nothing'}")
    for kind, nsid in KINDS.items():
        members = [Namespace(f"member{number}", nsid) for number in range(4)]
        test_members(kind, members)
    with cell("SCSI"), scsi_debug(4, atomic_wr_align=1, atomic_wr_gran=1) as disks:
        test_members("SCSI", disks)
    finish()


def joined(members, chunks):
    """Name, the layer, and what the kernel calls it."""
    for level in ("raid0", "raid10"):
        for chunk in chunks:
            if level == "raid10" and chunk & (chunk - 1):
                continue
            yield f"{level} chunk {chunk // KIB}k", array(level, members, chunk), level
    yield "raid1", array("raid1", members), "raid1"
    yield "raid5", array("raid5", members, 64 * KIB), "raid5"
    for chunk in chunks:
        yield f"striped chunk {chunk // KIB}k", striped("joined", members, chunk), "striped"
    yield "linear", linear("joined", *((member, 0, 8 * MIB) for member in members)), "linear"
    yield "mirror", mirror("joined", members), "mirror"


_passes = {}


def kernel_passes():
    """What passes atomic writes on, found with members that leave no other reason to refuse."""
    if not _passes:
        members = [Namespace(f"member{number}") for number in range(4)]
        for name, layer, kind in joined(members, [64 * KIB]):
            with cell(f"passes {name}"), layer as device:
                _passes[kind] = device.queue["atomic_write_unit_max_bytes"] > 0
    return {kind for kind, passes in _passes.items() if passes}


def test_members(kind, members):
    chunks = [64 * KIB, 24 * KIB] if kind in FEW_CHUNKS else CHUNKS
    for name, layer, target in joined(members, chunks):
        with cell(f"{kind} {name}"), layer as device:
            test_layer(f"{kind} {name}", device, target)


def test_layer(name, device, target):
    check_limits(name, device, target in kernel_passes())
    check_kernel(name, device)
    check_tool(name, device, sweep=name in SWEPT)


main()
