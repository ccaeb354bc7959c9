"""Writes whose effect is read back, by the kernel's own call and by the tool."""

import os
import tempfile

from checks import check, verdict
from commands import tool
from direct_io import atomic_write, read_direct, write_direct

MIB = 1 << 20
# Far from any table, and aligned to all sizes in use.
PLACE = 16 * MIB


def check_limits(name, node, unit_min, unit_max, block):
    """The kernel takes its smallest and its largest, and refuses what lies beyond, leaving the old data."""
    if not unit_max:
        kernel_refuses(f"{name}: one block where none is offered", node, block, "EOPNOTSUPP")
        return
    kernel_takes(f"{name}: the largest", node, unit_max)
    kernel_takes(f"{name}: the smallest", node, unit_min)
    kernel_refuses(f"{name}: twice the largest", node, 2 * unit_max, "EINVAL")
    kernel_refuses(f"{name}: a block more", node, unit_max + block, "EINVAL")
    if unit_max > block:
        kernel_refuses(f"{name}: a block less", node, unit_max - block, "EINVAL" if unit_max > 2 * block else None)
        kernel_refuses(f"{name}: off its alignment", node, unit_max, "EINVAL", PLACE + unit_max // 2)
    if unit_min > 512:
        kernel_refuses(f"{name}: less than the smallest", node, unit_min // 2, "EINVAL")


def kernel_takes(name, node, length, place=PLACE):
    data = os.urandom(length)
    check(name, length, atomic_write(node, place, data))
    check(f"{name} reads back", True, read_direct(node, place, length) == data)


def kernel_refuses(name, node, length, error, place=PLACE):
    """`error` of None: the length is one that the kernel takes."""
    if error is None:
        return kernel_takes(name, node, length, place)
    before = filled(node, place, length)
    check(name, error, atomic_write(node, place, os.urandom(length)))
    check(f"{name} wrote nothing", True, read_direct(node, place, len(before)) == before)
    return None


def filled(node, place, length):
    """Fresh data in the whole blocks that a write of that length would touch."""
    before = os.urandom(-(-length // 4096) * 4096)
    write_direct(node, place, before)
    return before


def write_command(node, data, *options, place=PLACE):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return tool("write", node, "--path", "kernel", "--at", place, "--input", file.name, "--json", *options)


def tool_writes(name, node, length, kept="yes", options=()):
    data = os.urandom(length)
    result = write_command(node, data, *options)
    verdict(f"{name} exit code", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} reads back", True, read_direct(node, PLACE, length) == data)
    if result.code == 0:
        check(f"{name} result", ("kernel", kept, length),
              tuple(result.json[key] for key in ("path", "power_fail_atomic", "bytes")))


def tool_refuses(name, node, length, options=()):
    before = filled(node, PLACE, length)
    result = write_command(node, os.urandom(length), *options)
    verdict(f"{name} is refused", result.code == 2, 2, f"{result.code} {result.output[:200]}")
    check(f"{name} wrote nothing", True, read_direct(node, PLACE, len(before)) == before)
    if result.code == 2:
        check(f"{name} says so", "not-written", result.json["error"]["outcome"])
