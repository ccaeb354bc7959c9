"""What a stack claims, put to the test: by the kernel alone, and by the tool against the drives."""

import os
import random

from checks import check, note, verdict
from commands import TOOL, run, tool
from contract import breaches
from direct_io import atomic_write, read_direct, write_direct
from layers import Crypt, Drive, Dropping, all_drives, in_one_piece, kept_whole, kernel_name, members_of, members_take, stored
import stacking

PLACES = 10
FIELDS = ("unit_min", "unit_max", "max", "boundary")


# ---------------------------------------------------------------- the limits that the kernel shows


def shown(device):
    queue = device.queue
    return stacking.Limits(*(queue[f"atomic_write_{field}_bytes"] for field in FIELDS))


def check_limits(name, device, passes):
    """The queue of the stack against the model; statx against the queue."""
    expected = stacking.offered(device.limits, device.disk) if passes else stacking.NONE
    limits = shown(device)
    check(f"{name} limits", expected, limits)
    check(f"{name} order", True, limits.unit_min <= limits.unit_max <= limits.maximum <= max(
        limits.maximum, device.queue["max_hw_sectors_kb"] * 1024))
    statx = device.statx
    check(f"{name} statx", (limits.unit_min > 0, limits.unit_min, limits.unit_max),
          (statx["supported"], statx["atomic_write_unit_min"], statx["atomic_write_unit_max"]))


# ---------------------------------------------------------------- the kernel, without the tool


def places(device, length):
    """Aligned offsets: around every edge, at both ends, and some in between."""
    last = (device.size // length - 1) * length
    found = {0, last}
    for edge in device.edges():
        found |= {edge // length * length + step * length for step in (-1, 0, 1)}
    found = sorted(place for place in found if 0 <= place <= last)
    chance = random.Random(length)
    if len(found) > PLACES:
        found = sorted(chance.sample(found, PLACES))
    return sorted({*found, *(chance.randrange(last // length + 1) * length for _ in range(2))})


def holds(device, offset, length):
    """What each copy holds: on the drives, or through the device where it cannot be compared there."""
    if comparable(device):
        return stored(device, offset, length)
    return [read_direct(device.path, offset, length)]


def comparable(device):
    if isinstance(device, Drive):
        return True
    return not isinstance(device, (Crypt, Dropping)) and all(comparable(member) for member in members_of(device))


def expected_to_pass(device, offset, length):
    """By the model: the layer takes the size, and every copy is one part that its drive takes."""
    return (device.unit_min <= length <= device.unit_max and not length & (length - 1) and offset % length == 0
            and members_take(device, offset, length))


def attempt(device, offset, length):
    """One atomic write: the kernel's answer, and whether each copy is new, old, or neither."""
    room = -(-length // device.block) * device.block
    before = holds(device, offset, room)
    data = os.urandom(length)
    answer = atomic_write(device.path, offset, data)
    after = holds(device, offset, room)
    states = ["new" if now == data else "old" if now == then else "mixed" for then, now in zip(before, after)]
    if answer == length and read_direct(device.path, offset, length) != data:
        states.append("reads back something else")
    return answer, states


def verdict_of(device, offset, length):
    """None where the kernel did what the model says; else what it did."""
    answer, states = attempt(device, offset, length)
    if expected_to_pass(device, offset, length):
        right = answer == length and set(states) == {"new"}
    else:
        right = answer in ("EINVAL", "EIO", "EOPNOTSUPP") and set(states) == {"old"}
    return None if right else (offset, length, answer, states)


def check_kernel(name, device):
    """Largest accepted, smallest refused, and that what is refused changes nothing."""
    unit, block = device.unit_max, device.block
    if not unit:
        check_refusals(name, device)
        return
    least = device.unit_min
    for length in sorted({unit, least}):
        wrong = [verdict_of(device, offset, length) for offset in places(device, length)]
        check(f"{name} atomic writes of {length} everywhere", [], [one for one in wrong if one])
    for what, offset, length in (
            ("a block more", 0, unit + block), ("twice", 0, 2 * unit), ("a block less", 0, unit - block),
            ("less than the least", 0, least - block if least > block else 0), ("off its alignment", block, unit)):
        if length and (length & (length - 1) or length > unit or offset % length or length < least):
            answer, states = attempt(device, offset, length)
            check(f"{name} refuses {what}", ("EINVAL", {"old"}), (answer, set(states)))


def check_refusals(name, device):
    """A dropped promise: not even one block, and nothing changes."""
    write_direct(device.path, 0, os.urandom(16384))  # the same on every leg, whichever is read
    for length in (device.block, 4096, 16384):
        answer, states = attempt(device, 0, length)
        check(f"{name} refuses {length}", ("EOPNOTSUPP", {"old"}), (answer, set(states)))
