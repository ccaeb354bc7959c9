"""The limits of a stacked queue, worked out anew from what lies below it. Sizes in bytes; 0 is none.

A stack takes the largest minimum and the smallest maximum of its members. Their boundaries must be
equal, every member must begin on a multiple of its smallest unit and of its boundary, and no unit
may cross the edge of a chunk. Where one of this does not hold, nothing is offered.
"""

from dataclasses import dataclass, replace
import functools

from drives import queue_setting, read
from rules import floor_power_of_two

PAGE = 4096
MAX_SEGMENTS = 256


@dataclass(frozen=True)
class Limits:
    """What hardware keeps whole, or a stack of it, before a queue's transfer limits narrow it."""
    unit_min: int
    unit_max: int
    maximum: int
    boundary: int


NONE = Limits(0, 0, 0, 0)


def of_namespace(promise):
    """What the driver makes of a namespace that declares limits of its own."""
    if promise.boundary_offset or promise.boundary & (promise.boundary - 1):
        return NONE
    return Limits(promise.lba_size, floor_power_of_two(promise.power_fail), promise.power_fail, promise.boundary)


def stacked(members, chunk=0):
    """`members` are pairs of limits and the place on that member's disk where the layer begins."""
    if not all(limits.unit_min and start % max(limits.unit_min, limits.boundary) == 0 for limits, start in members):
        return NONE
    return functools.reduce(_joined, (_within_chunk(limits, chunk) for limits, _ in members))


def _joined(one, other):
    both = Limits(max(one.unit_min, other.unit_min), min(one.unit_max, other.unit_max),
                  min(one.maximum, other.maximum), one.boundary)
    return both if one.boundary == other.boundary and both.unit_min <= both.unit_max else NONE


def _within_chunk(limits, chunk):
    """An edge of a chunk must not lie inside a window unless each is a multiple of the other's size."""
    if not chunk or not limits.unit_min:
        return limits
    long, short = max(chunk, limits.boundary), min(chunk, limits.boundary)
    if short and long % short:
        return NONE
    unit_max = min(limits.unit_max, chunk & -chunk)
    return replace(limits, unit_min=min(limits.unit_min, unit_max), unit_max=unit_max,
                   maximum=min(limits.maximum, chunk))


def offered(limits, disk):
    """The four values of the queue, which its own transfer limits narrow once more."""
    if not limits.unit_min:
        return NONE
    segments = min(MAX_SEGMENTS, int(read(queue_setting(disk, "max_segments"))))
    block = int(read(queue_setting(disk, "logical_block_size")))
    largest = int(read(queue_setting(disk, "max_hw_sectors_kb"))) * 1024
    one_buffer = min(segments, 2) * block + max(segments - 2, 0) * PAGE
    unit = floor_power_of_two(min(largest, one_buffer))
    return Limits(min(limits.unit_min, unit), min(limits.unit_max, unit), min(limits.maximum, largest),
                  limits.boundary)
