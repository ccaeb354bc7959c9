"""What a stack claims, put to the test: by the kernel alone, and by the tool against the drives."""

import os
import random

from checks import check, verdict
from commands import TOOL, run, tool
from contract import breaches
from direct_io import RWF_ATOMIC, RWF_NOWAIT, atomic_write, read_direct, write_direct
from layers import Crypt, Drive, Dropping, all_drives, kept_whole, kernel_name, members_of, members_take, stored
import stacking

PLACES = 6
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
    for length, step in {least: 3, unit: 1}.items():
        wrong = [verdict_of(device, offset, length) for offset in places(device, length)[::step]]
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


# ---------------------------------------------------------------- the tool

LOOKED_THROUGH = ("linear", "striped", "crypt", "raid0", "raid1", "raid10")


def whole_tree(device):
    """The device and everything below it, drives last; a device that two rest on comes once."""
    found = [device]
    for member in members_of(device):
        found += [one for one in whole_tree(member) if one not in found]
    return found


def is_known_through(device):
    """Whether the tool says it can look through every layer, down to drives that it can ask."""
    return all(one.kind == "namespace" if isinstance(one, Drive) else one.type in LOOKED_THROUGH or one.kind == "partition"
               for one in whole_tree(device))


def truth(device):
    """The largest power of two that is taken and kept whole at every place, as far as the model goes."""
    length, chance = device.unit_max, random.Random(device.size)
    while length and length >= device.unit_min:
        blocks = range(device.size // length)
        offsets = {min(edge // length + step, blocks[-1]) * length for edge in device.edges() for step in (-1, 0, 1)
                   if edge // length + step >= 0}
        offsets |= {chance.choice(blocks) * length for _ in range(100)}
        if all(members_take(device, offset, length) and kept_whole(device, offset, length) for offset in offsets):
            return length
        length //= 2
    return 0


def loses_what_is_joined(device):
    """A mirror of md takes a refusal for success, and the drives refuse what grows by joining neighbours."""
    mirrors = [one for one in whole_tree(device) if one.kind == "md" and one.mirrored]
    return any(drive.queue["atomic_write_max_bytes"] > drive.queue["atomic_write_unit_max_bytes"]
               for one in mirrors for drive in all_drives(one))


def check_tool(name, device, sweep=False):
    """`sweep`: asks for every length, and writes."""
    result = tool("probe", "--json", device.path)
    verdict(f"{name} probe", result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} contract", [], breaches(result.json))
    answer = result.target
    check_graph(name, device, answer)
    check_claim(name, device, answer)
    check_stack_findings(name, device, answer)
    claim = answer["paths"]["kernel"]["max_bytes"]
    check_answers(name, device, claim, sweep)
    # The planner's rules for writes are the same everywhere: they are tried where something narrows.
    if sweep or claim != device.unit_max:
        check_tool_writes(name, device, claim)


def check_graph(name, device, answer):
    entries = {(kernel_name(entry["device"]), entry["kind"]): entry for entry in answer["stack"]
               if entry["kind"] not in ("controller", "file")}
    devices = whole_tree(device)
    check(f"{name} stack has every layer once", sorted((one.device, one.kind) for one in devices), sorted(entries))
    check(f"{name} target stands first", (device.device, []),
          (kernel_name(answer["stack"][0]["device"]), answer["stack"][0]["parents"]))
    for one in devices:
        entry = entries.get((one.device, one.kind))
        if not entry:
            continue
        above = [entries[other.device, other.kind]["id"] for other in devices if one in members_of(other)
                 and (other.device, other.kind) in entries]
        facts = (sorted(above), None if isinstance(one, Drive) else one.type, one.chunk or None,
                 None if one.kind == "partition" else one.queue["atomic_write_unit_max_bytes"])
        shown_facts = (sorted(entry["parents"]), entry["type"], entry["chunk_bytes"],
                       None if one.kind == "partition" else entry["atomic_write_unit_max_bytes"])
        check(f"{name} stack entry of {one.kind} {one.type or ''}", facts, shown_facts)
    namespaces = sorted(drive.path for drive in all_drives(device) if drive.kind == "namespace")
    check(f"{name} namespaces", namespaces, sorted(entry["device"] for entry in answer["namespaces"]))
    for entry in answer["namespaces"]:
        drive = next(drive for drive in all_drives(device) if drive.path == entry["device"])
        check(f"{name} {drive.serial} power_fail_bytes", drive.promise.power_fail, entry["device_limits"]["power_fail_bytes"])
        check(f"{name} {drive.serial} queue", drive.queue["atomic_write_unit_max_bytes"],
              entry["queue"]["atomic_write_unit_max_bytes"])
    if len(namespaces) != 1:
        check(f"{name} no drive of its own", (None, None), (answer["nvme"], answer["device_limits"]))


def check_claim(name, device, answer):
    kernel, torn_free = answer["paths"]["kernel"], answer["torn_free_bytes"]
    most = 0 if loses_what_is_joined(device) else truth(device)
    verdict(f"{name} claims no more than the truth", (kernel["max_bytes"] or 0) <= most and (torn_free or 0) <= most,
            most, (kernel["max_bytes"], torn_free))
    if is_known_through(device) or not device.unit_max:
        check(f"{name} claim", (most > 0, most, most), (kernel["available"], kernel["max_bytes"], torn_free))
    if most and kernel["max_bytes"]:
        verdict(f"{name} min_bytes", kernel["min_bytes"] >= device.unit_min, device.unit_min, kernel["min_bytes"])
    if not kernel["available"]:
        verdict(f"{name} reason", bool(kernel["reason"]), "a reason", kernel["reason"])


def check_stack_findings(name, device, answer):
    found = {code: [finding for finding in answer["findings"] if finding["code"] == code]
             for code in ("stacked-device-drops-atomics", "stacked-device-narrows-atomics")}
    layers = [one for one in whole_tree(device) if not isinstance(one, Drive) and one.kind != "partition"]
    for layer in layers:
        named = [finding["severity"] for finding in found["stacked-device-drops-atomics"]
                 if finding["message"].startswith(f"/dev/{layer.device} ")]
        drops = not layer.queue["atomic_write_unit_max_bytes"]
        severity = "warning" if device.unit_max else "blocking"
        check(f"{name} finding drops of {layer.type}", [severity] if drops else [], named)
    below = [one.queue["atomic_write_unit_max_bytes"] for one in whole_tree(device)[1:]]
    narrows = device.unit_max and (device.unit_max < max(below) or truth(device) < device.unit_max)
    if narrows and is_known_through(device):
        verdict(f"{name} finding narrows", bool(found["stacked-device-narrows-atomics"]), "a finding",
                [finding["code"] for finding in answer["findings"]])
    if not narrows:
        check(f"{name} no finding narrows", [], found["stacked-device-narrows-atomics"])


def check_answers(name, device, claim, sweep):
    """Yes exactly up to the claim; beyond it no, or not known where nothing is known."""
    lengths = {claim, 2 * claim} if claim else {device.block, device.unit_max}
    if sweep:
        lengths |= {device.unit_max, 2 * device.unit_max, *(device.block << step for step in range(9))}
    for length in sorted(lengths - {0}):
        code = tool("probe", "--page-size", length, "--writer", "rwf-atomic", device.path).code
        if claim is None and length <= device.unit_max:
            wanted = (1, 2)
        else:
            wanted = (0,) if device.unit_min <= length <= (claim or 0) else (1,)
        verdict(f"{name} answer for {length}", code in wanted, wanted, code)
    if sweep:
        code = tool("probe", "--page-size", 16384, "--writer", "buffered", device.path).code
        check(f"{name} answer for buffered writes", 1, code)


def check_tool_writes(name, device, claim):
    """The largest at one edge, and the smallest that is too much somewhere."""
    if claim:
        one_tool_write(f"{name} write of {claim}", device, max(places(device, claim)[:-1]), claim)
    too_much = 2 * (claim or device.block // 2)
    refused_at = next((place for place in places(device, too_much) if not (
        expected_to_pass(device, place, too_much) and kept_whole_if_known(device, place, too_much))), None)
    if refused_at is not None:
        before = holds(device, refused_at, too_much)
        result = write_command(device, refused_at, os.urandom(too_much))
        check(f"{name} write of {too_much} at {refused_at} is refused", 2, result.code)
        check(f"{name} refused write changes nothing", True, holds(device, refused_at, too_much) == before)


def kept_whole_if_known(device, offset, length):
    return is_known_through(device) and kept_whole(device, offset, length)


def write_command(device, offset, data):
    return run([*TOOL, "write", device.path, "--path", "kernel", "--at", str(offset), "--input", "-", "--json",
                "--overwrite-existing-data"], data)


def one_tool_write(name, device, offset, length):
    """Where the kernel knows no RWF_NOWAIT through a layer the tool writes nothing."""
    data, before = os.urandom(length), holds(device, offset, length)
    result = write_command(device, offset, data)
    if result.code == 2 and not knows_nowait(device, offset, length):
        check(f"{name} refused, nothing changed", True, holds(device, offset, length) == before)
        return
    verdict(name, result.code == 0, 0, f"{result.code} {result.errors.strip()}")
    check(f"{name} reads back", True, read_direct(device.path, offset, length) == data)
    if comparable(device):
        check(f"{name} is on every copy", [True], sorted({copy == data for copy in holds(device, offset, length)}))


def knows_nowait(device, offset, length):
    data = read_direct(device.path, offset, length)
    return atomic_write(device.path, offset, data, RWF_ATOMIC | RWF_NOWAIT) != "EOPNOTSUPP"
