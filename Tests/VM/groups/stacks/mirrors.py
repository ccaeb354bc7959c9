"""Mirrors that say they wrote what they did not: what the kernel does, and that the tool has no part in it."""

from contextlib import contextmanager
import os
import threading

from batch import atomic_writes
from checks import cell, check, note, verdict
from claims import attempt, check_tool, holds, write_command
from commands import succeed, tool
from direct_io import atomic_write
import drives
from layers import MIB, array, linear, mirror, stored

KIB = 1024


def test_mirrors(drive):
    pair = [drive["first", 1], drive["second", 1]]
    for part in (test_refused_by_a_member, test_joined, test_seam_below_a_mirror):
        with cell(part.__name__):
            part(drive)
    for part in (test_states, test_without_metadata):
        with cell(part.__name__):
            part(pair)


def claim(device):
    return tool("probe", "--json", device.path).target["paths"]["kernel"]["max_bytes"]


@contextmanager
def no_merges(members):
    """Each request stays what it is; the limits have to be read anew."""
    for member in members:
        drives.write(drives.queue_setting(member.disk, "nomerges"), 2)
    try:
        yield
    finally:
        for member in members:
            drives.write(drives.queue_setting(member.disk, "nomerges"), 0)


def refuses_to_write(name, device, offset, length):
    before = holds(device, offset, length)
    result = write_command(device, offset, os.urandom(length))
    check(f"{name} write is refused", 2, result.code)
    check(f"{name} write changes nothing", True, holds(device, offset, length) == before)


def answers_no(name, device, lengths):
    codes = {length: tool("probe", "--page-size", length, "--writer", "rwf-atomic", device.path).code
             for length in lengths}
    verdict(f"{name} is never a yes", 0 not in codes.values(), "no 0", codes)


# ---------------------------------------------------------------- a member that takes less than the stack offers


def test_refused_by_a_member(drive):
    members = [drive["short", 1], drive["blocks", 1]]
    for name, layer in (("raid1 over unlike drives", array("raid1", members)),
                        ("raid10 over unlike drives", array("raid10", members, 64 * KIB)),
                        ("mirror over unlike drives", mirror("cell", members))):
        with cell(name), layer as device:
            offered, least = device.unit_max, min(member.unit_max for member in members)
            if offered > least:
                answer, states = attempt(device, 0, offered)
                note(f"{name} offers {offered}, a member takes {least}: the kernel says {answer}, copies are {states}")
            answers_no(name, device, [offered or 4096])
            refuses_to_write(name, device, 0, offered or 4096)
            with no_merges(members):
                known = claim(device)
                verdict(f"{name} claims what each takes", known == (least if offered else 0) or (
                    known is None and device.kind == "dm"), least, known)


# ---------------------------------------------------------------- neighbours that are joined


def test_joined(drive):
    """A drive whose queue joins atomic writes to more than its driver takes."""
    members = [drive["joins0", 1], drive["joins1", 1]]
    for level, chunk in (("raid1", None), ("raid10", 512 * KIB)):
        with cell(f"{level} joins"), array(level, members, chunk) as device:
            if not device.unit_max:
                continue
            lost = lost_writes(device)
            note(f"{level}: of writes in batches that were reported done, {lost} were never done")
            note(f"{level}: of writes by two threads that were reported done, {lost_by_threads(device)} were never done")
            check(f"{level} joins claim", 0, claim(device))
            answers_no(f"{level} joins", device, [4096, 16 * KIB, device.unit_max])
            refuses_to_write(f"{level} joins", device, 0, device.unit_max)
            with no_merges(members):
                check(f"{level} without merges loses nothing", 0, lost_writes(device))
                check(f"{level} without merges claim", device.unit_max, claim(device))
                code = tool("probe", "--page-size", device.unit_max, "--writer", "rwf-atomic", device.path).code
                check(f"{level} without merges answer", 0, code)


def lost_writes(device, rounds=4):
    """Batches of neighbours: how many were reported done and are on no copy, or not on all."""
    length, lost = device.unit_max, 0
    for _ in range(rounds):
        writes = [(number * length, os.urandom(length)) for number in range(3)]
        for (offset, data), answer in zip(writes, atomic_writes(device.path, writes)):
            lost += answer == length and set(stored(device, offset, length)) != {data}
    return lost


def lost_by_threads(device, rounds=40):
    """Two writers who know nothing of each other."""
    length, lost = device.unit_max, [0, 0]
    start = threading.Barrier(2)

    def writer(number):
        for _ in range(rounds):
            data = os.urandom(length)
            start.wait()
            answer = atomic_write(device.path, number * length, data)
            start.wait()
            lost[number] += answer == length and set(stored(device, number * length, length)) != {data}

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(lost)


# ---------------------------------------------------------------- seams and errors below a mirror


def test_seam_below_a_mirror(drive):
    one, two = drive["first", 1], drive["second", 1]
    seam = 4 * MIB + 4 * KIB
    with linear("lower", (one, 0, seam), (one, 8 * MIB, 8 * MIB)) as lower, array("raid1", [lower, two]) as device:
        check_tool("raid1 over an odd seam", device)
        if not device.unit_max:
            return
        place = (seam - device.starts[0]) // device.unit_max * device.unit_max
        answers_no("raid1 over an odd seam", device, [device.unit_max])
        refuses_to_write("raid1 over an odd seam", device, place, device.unit_max)
        answer = atomic_write(device.path, place, os.urandom(device.unit_max))
        state = drives.read(f"/sys/block/{device.device}/md/dev-{lower.device}/state")
        note(f"raid1 over an odd seam: a write across it gives {answer}, and the member is {state}")
        if "write_error" in state or "faulty" in state:
            answers_no("raid1 after a write error", device, [4096] if "write_error" in state else [device.unit_max])


# ---------------------------------------------------------------- states of an array


def test_states(pair):
    with cell("degraded"), array("raid1", pair) as device:
        whole = claim(device)
        check("raid1 claim", device.unit_max, whole)
        succeed("mdadm", device.path, "--fail", pair[1].path)
        check("raid1 with one leg claims the same", whole, claim(device))
        check("raid1 with one leg answer", 0 if whole else 1,
              tool("probe", "--page-size", 4096, "--writer", "rwf-atomic", device.path).code)
    with cell("write-mostly"), array("raid1", pair) as device:
        state = f"/sys/block/{device.device}/md/dev-{pair[1].device}/state"
        drives.write(state, "writemostly")
        answers_no("raid1 with a leg that lags", device, [4096])
        drives.write(state, "-writemostly")
        check("raid1 with all legs alike again", device.unit_max, claim(device))
    with cell("write error"), array("raid1", pair) as device:
        drives.write(f"/sys/block/{device.device}/md/dev-{pair[1].device}/state", "write_error")
        answers_no("raid1 after a write error", device, [4096])


def test_without_metadata(pair):
    """Nobody notes which regions differ after a crash."""
    succeed("mdadm", "--zero-superblock", *(member.path for member in pair))
    for options in ((), ("--assume-clean",)):
        name = " ".join(("raid1 without metadata", *options))
        with cell(name), array("raid1", pair, options=options, action="--build") as device:
            answers_no(name, device, [4096])
            verdict(f"{name} claims nothing", not claim(device), 0, claim(device))
            refuses_to_write(name, device, 0, 4096)
