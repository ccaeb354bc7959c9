"""Layers on drives: what each passes on, where its seams lie, and what the kernel and the tool say of it."""

from contextlib import ExitStack, contextmanager
import os

from checks import cell, check, finish, note
from claims import check_kernel, check_limits, check_refusals, check_tool
from commands import mounted, run, succeed
from direct_io import atomic_write, read_direct
import drives
from layers import (MIB, Device, Namespace, Partition, array, crypt, dropping, linear, loop, mirror, scsi_debug, striped,
                    unload)
from mirrors import test_mirrors
import stacking

KIB = 1024
SWEPT = ("linear in windows", "striped 20k", "mirror in step", "crypt in blocks of 4k", "linear off the chunks")


def main():
    drive = {name: Namespace(*name) for name in (
        ("first", 1), ("first", 2), ("first", 3), ("second", 1), ("second", 2), ("second", 3),
        ("narrow", 1), ("small", 1), ("short", 1), ("blocks", 1), ("late", 1), ("joins0", 1), ("joins1", 1))}
    one, two = drive["first", 1], drive["second", 1]
    note(f"kernel {os.uname().release} passes atomic writes through: {sorted(find_passes(one, two)) or 'nothing'}")
    for part in (test_linear, test_striped, test_mirror, test_crypt, test_dropping, test_nested,
                 test_mirrors):
        with cell(part.__name__):
            part(drive)
    for part in (test_partitions, test_loop):
        with cell(part.__name__):
            part(drive["first", 3])
    for part in (test_memory_disk, test_scsi, test_over_scsi):
        with cell(part.__name__):
            part()
    finish()


_passes = set()


def find_passes(one, two):
    """What passes atomic writes on, found where nothing else stands in the way."""
    for target, layer in (("linear", linear("plain", (one, 0, 8 * MIB))), ("striped", striped("plain", [one, two], 64 * KIB)),
                          ("mirror", mirror("plain", [one, two])), ("crypt", crypt("plain", one)),
                          ("raid0", array("raid0", [one, two], 64 * KIB)), ("raid1", array("raid1", [one, two]))):
        with cell(f"passes {target}"), layer as device:
            if device.queue["atomic_write_unit_max_bytes"]:
                _passes.add(target)
    return _passes


def passes(device):
    """A layer passes on what every layer below it does."""
    below = getattr(device, "members", [])
    return (device.type is None or device.type in _passes) and all(passes(member) for member in below)


def examine(name, device):
    check_limits(name, device, passes(device))
    check_kernel(name, device)
    check_tool(name, device, sweep=name in SWEPT)


def each(cases):
    """A kernel that passes nothing on has one answer: every fourth case shows it."""
    for name, layer in cases if _passes else cases[::4]:
        with cell(name), layer as device:
            examine(name, device)


# ---------------------------------------------------------------- device mapper


def test_linear(drive):
    one, two = drive["first", 1], drive["second", 1]
    windows, others = drive["first", 2], drive["second", 2]
    small, narrow = drive["small", 1], drive["narrow", 1]
    odd = 8 * MIB + 4 * KIB
    each((
        ("linear", linear("cell", (one, 0, 16 * MIB))),
        ("linear later", linear("cell", (one, MIB, 8 * MIB))),
        ("linear off by a block", linear("cell", (one, 512, 8 * MIB))),
        ("linear in windows", linear("cell", (windows, 64 * KIB, 8 * MIB))),
        ("linear off the windows", linear("cell", (windows, 32 * KIB, 8 * MIB))),
        ("linear with two segments", linear("cell", (one, 0, 8 * MIB), (two, MIB, 8 * MIB))),
        ("linear with an odd seam", linear("cell", (one, 0, odd), (two, 0, 8 * MIB))),
        ("linear with a seam at a block", linear("cell", (one, 0, MIB + 512), (two, 0, 8 * MIB))),
        ("linear with three segments", linear("cell", (one, 8 * MIB, MIB), (two, 0, MIB + 16 * KIB), (one, 0, MIB))),
        ("linear with an odd seam in windows", linear("cell", (windows, 0, odd), (others, 0, 8 * MIB))),
        ("linear with unequal drives", linear("cell", (one, 0, 8 * MIB), (small, 0, 8 * MIB))),
        ("linear with unequal windows", linear("cell", (windows, 0, 8 * MIB), (narrow, 0, 8 * MIB))),
        ("linear with windows beside none", linear("cell", (windows, 0, 8 * MIB), (one, 0, 8 * MIB))),
        ("linear with a short drive", linear("cell", (one, 0, 8 * MIB), (drive["short", 1], 0, 8 * MIB))),
        ("linear with two sizes of block", linear("cell", (one, 0, 8 * MIB), (drive["blocks", 1], 0, 8 * MIB))),
        ("linear that offers more than a drive takes",
         linear("cell", (drive["short", 1], 0, 8 * MIB), (drive["blocks", 1], 0, 8 * MIB))),
        ("linear on a drive without", linear("cell", (drive["late", 1], 0, 8 * MIB))),
        ("linear on one with and one without", linear("cell", (one, 0, 8 * MIB), (drive["late", 1], 0, 8 * MIB))),
    ))


def test_striped(drive):
    pair = [drive["first", 1], drive["second", 1]]
    windows = [drive["first", 2], drive["second", 2]]
    each((
        ("striped 4k", striped("cell", pair, 4 * KIB)),
        ("striped 20k", striped("cell", pair, 20 * KIB)),
        ("striped 1m", striped("cell", pair, MIB)),
        ("striped off by a block", striped("cell", pair, 64 * KIB, [512, 0], length=16 * MIB)),
        ("striped in windows 128k", striped("cell", windows, 128 * KIB)),
        ("striped off the windows", striped("cell", windows, 128 * KIB, [0, 32 * KIB], length=16 * MIB)),
        ("striped with unequal drives", striped("cell", [*pair, drive["small", 1]], 64 * KIB)),
        ("striped with unequal windows", striped("cell", [windows[0], drive["narrow", 1]], 64 * KIB)),
        ("striped that offers more than a drive takes",
         striped("cell", [drive["short", 1], drive["blocks", 1]], 64 * KIB)),
    ))


def test_mirror(drive):
    pair = [drive["first", 1], drive["second", 1]]
    each((
        ("mirror in step", mirror("cell", pair, sync="sync")),
        ("mirror in windows", mirror("cell", [drive["first", 2], drive["second", 2]])),
        ("mirror off the windows", mirror("cell", [drive["first", 2], drive["second", 2]], starts=[0, 4 * KIB])),
        ("mirror with unequal drives", mirror("cell", [pair[0], drive["small", 1]])),
        ("mirror with small regions", mirror("cell", pair, region=16 * KIB)),
        ("mirror off by a block", mirror("cell", pair, starts=[512, 0])),
    ))


def test_crypt(drive):
    one, windows, short = drive["first", 1], drive["first", 2], drive["short", 1]
    each((
        ("crypt", crypt("cell", one)),
        ("crypt later", crypt("cell", one, start=16 * MIB)),
        ("crypt in blocks of 4k", crypt("cell", one, sector_size=4096)),
        ("crypt in windows", crypt("cell", windows, start=64 * KIB)),
        ("crypt off the windows", crypt("cell", windows, start=4 * KIB)),
        ("crypt that offers more than its drive takes", crypt("cell", short, sector_size=4096)),
        ("crypt without queues", crypt("cell", one, options=["no_read_workqueue", "no_write_workqueue"])),
        ("crypt on the same processor", crypt("cell", one, options=["same_cpu_crypt", "submit_from_crypt_cpus"])),
    ))


# ---------------------------------------------------------------- targets that drop it


def test_dropping(drive):
    one, two = drive["first", 1], drive["second", 1]
    length = 8 * MIB // 512
    for target in ("flakey", "delay", "log-writes", "snapshot", "thin-pool", "raid"):
        run(["modprobe", f"dm-{target}"])
    for name, layer in (
            ("flakey", dropping("cell", "flakey", f"{one.path} 0 60 0", [one])),
            ("delay", dropping("cell", "delay", f"{one.path} 0 0", [one])),
            ("log-writes", dropping("cell", "log-writes", f"{one.path} {two.path}", [one, two])),
            ("snapshot-origin", dropping("cell", "snapshot-origin", one.path, [one])),
            ("snapshot", dropping("cell", "snapshot", f"{one.path} {two.path} N 8", [one, two])),
            ("raid", dropping("cell", "raid", f"raid1 3 0 region_size 1024 2 - {one.path} - {two.path}", [one, two])),
    ):
        with cell(name), layer as device:
            check_limits(name, device, False)
            check_refusals(name, device)
            check_tool(name, device)
    test_thin(one, two)
    test_mixed_table(one)
    with cell("error"):
        succeed("dmsetup", "create", "cell", "--table", f"0 {length} error")
        device = Device("/dev/mapper/cell")
        check("error limits", 0, device.queue["atomic_write_unit_max_bytes"])
        check("error refuses", "EOPNOTSUPP", atomic_write(device.path, 0, os.urandom(4096)))
        succeed("dmsetup", "remove", "cell")


def test_thin(one, two):
    with cell("thin"), linear("metadata", (one, 0, 4 * MIB)) as metadata:
        with open(metadata.path, "r+b") as file:
            file.write(bytes(4096))
        with dropping("pool", "thin-pool", f"{metadata.path} {two.path} 128 0", [metadata, two]) as pool:
            succeed("dmsetup", "message", pool.path, "0", "create_thin 0")
            with dropping("thin", "thin", f"{pool.path} 0", [pool]) as device:
                for name, layer in (("thin", device), ("thin-pool", pool)):
                    check_limits(name, layer, False)
                check_refusals("thin", device)


def test_mixed_table(one):
    """One segment that drops it spoils the others."""
    with cell("linear beside flakey"):
        succeed("dmsetup", "create", "cell", "--table",
                f"0 8192 linear {one.path} 0\n8192 8192 flakey {one.path} 8192 60 0")
        device = Device("/dev/mapper/cell")
        check("linear beside flakey limits", 0, device.queue["atomic_write_unit_max_bytes"])
        check("linear beside flakey refuses", "EOPNOTSUPP", atomic_write(device.path, 0, os.urandom(4096)))
        succeed("dmsetup", "remove", "cell")


# ---------------------------------------------------------------- layers on layers


@contextmanager
def upon(make_lower, make_upper):
    with make_lower as lower, make_upper(lower) as upper:
        yield upper


def test_nested(drive):
    one, two = drive["first", 1], drive["second", 1]
    pair, windows = [one, two], [drive["first", 2], drive["second", 2]]
    odd = MIB + 4 * KIB

    def on_linear(start):
        return lambda lower: linear("upper", (lower, start, 8 * MIB))

    each((
        ("linear on striped", upon(striped("lower", pair, 16 * KIB), on_linear(MIB))),
        ("linear off the chunks", upon(striped("lower", pair, 16 * KIB), on_linear(4 * KIB))),
        ("linear on raid0", upon(array("raid0", pair, 32 * KIB), on_linear(0))),
        ("linear off the chunks of raid0", upon(array("raid0", pair, 32 * KIB), on_linear(4 * KIB))),
        # raid1 ends what it takes at each 64 MiB: a begin off the write's own length would narrow it.
        ("linear on raid1", upon(array("raid1", pair), on_linear(64 * KIB))),
        ("striped on linear", upon(linear("lower", (one, 0, 16 * MIB)),
                                   lambda lower: striped("upper", [lower, two], 32 * KIB))),
        ("striped on an odd seam", upon(linear("lower", (one, 0, odd), (one, 8 * MIB, 8 * MIB)),
                                        lambda lower: striped("upper", [lower, two], 64 * KIB, length=8 * MIB))),
        ("crypt on raid0", upon(array("raid0", windows, 64 * KIB), lambda lower: crypt("upper", lower))),
        ("linear on crypt", upon(crypt("lower", one), on_linear(4 * KIB))),
        ("mirror on striped", upon(striped("lower", pair, 32 * KIB),
                                   lambda lower: mirror("upper", [lower, drive["small", 1]]))),
        ("raid0 on linear", upon(linear("lower", (one, 0, one.size)),
                                 lambda lower: array("raid0", [lower, two], 64 * KIB))),
        ("raid0 on flakey", upon(dropping("lower", "flakey", f"{one.path} 0 60 0", [one]),
                                 lambda lower: array("raid0", [lower, two], 64 * KIB))),
    ))


# ---------------------------------------------------------------- partitions


def make_partitions(device, table):
    result = run(["sfdisk", "--quiet", device.path], ("label: dos\nunit: sectors\n" + table).encode())
    if result.code != 0:
        raise RuntimeError(f"sfdisk: {result.errors.strip()}")
    separator = "p" if device.device[-1].isdigit() else ""
    nodes = [f"/dev/{device.device}{separator}{number}" for number in range(1, table.count("start=") + 1)]
    for node in nodes:
        drives.wait_for(lambda: os.path.exists(node), node)
    return [Partition(node, device) for node in nodes]


def test_partitions(disk):
    """Windows of 64 KiB; the second partition begins inside one."""
    aligned, odd = make_partitions(disk, "start=2048, size=32768\nstart=65544, size=32768\n")
    for name, layer in (
            ("linear on a partition", linear("cell", (aligned, 0, 8 * MIB))),
            ("linear off the windows of a partition", linear("cell", (aligned, 4 * KIB, 8 * MIB))),
            ("linear on an odd partition", linear("cell", (odd, 0, 8 * MIB))),
            ("linear on an odd partition, back on the windows", linear("cell", (odd, 60 * KIB, 8 * MIB))),
            ("striped on a partition", striped("cell", [aligned, aligned], 32 * KIB, [0, 8 * MIB], length=8 * MIB)),
    ):
        with cell(name), layer as device:
            examine(name, device)
    succeed("wipefs", "--quiet", "--all", disk.path)


# ---------------------------------------------------------------- not a drive below, or not directly


def examine_without(name, device):
    check(f"{name} limits", stacking.NONE, stacking.Limits(*(
        device.queue[f"atomic_write_{field}_bytes"] for field in ("unit_min", "unit_max", "max", "boundary"))))
    check(f"{name} statx", False, device.statx["supported"])
    for length in (512, 4096):
        before = read_direct(device.path, 0, 4096)
        check(f"{name} refuses {length}", "EOPNOTSUPP", atomic_write(device.path, 0, os.urandom(length)))
        check(f"{name} is as it was", True, read_direct(device.path, 0, 4096) == before)


def test_loop(disk):
    with loop(disk.path) as node:
        examine_without("loop on a namespace", Device(node))
    succeed("mkfs.xfs", "-q", "-f", disk.path)
    with mounted(disk.path, "/tmp/xfs"):
        with open("/tmp/xfs/image", "wb") as file:
            file.write(bytes(16 * MIB))
        with loop("/tmp/xfs/image") as node:
            examine_without("loop on a file", Device(node))
    succeed("wipefs", "--quiet", "--all", disk.path)


def test_memory_disk():
    succeed("modprobe", "brd", "rd_nr=1", "rd_size=16384")
    examine_without("brd", Device("/dev/ram0"))
    unload("brd")


# ---------------------------------------------------------------- SCSI


def test_scsi():
    """blktests scsi/009."""
    with scsi_debug(1) as (disk,):
        queue, statx, block = disk.queue, disk.statx, disk.block
        parameter = {name: int(drives.read(f"/sys/module/scsi_debug/parameters/atomic_wr_{name}"))
                     for name in ("max_length", "gran")}
        unit_min, unit_max, maximum = (
            queue[f"atomic_write_{name}_bytes"] for name in ("unit_min", "unit_max", "max"))
        transfer = queue["max_hw_sectors_kb"] * KIB
        check("SCSI order", True, 0 < unit_min <= unit_max <= maximum <= transfer)
        check("SCSI maximum", min(parameter["max_length"] * block, transfer), maximum)
        check("SCSI smallest unit", parameter["gran"] * block, unit_min)
        check("SCSI statx", (unit_min, unit_max), (statx["atomic_write_unit_min"], statx["atomic_write_unit_max"]))
        check_kernel("SCSI", disk)
        note(f"SCSI: {unit_min} to {unit_max}, at most {maximum}")


def test_over_scsi():
    with ExitStack() as stack:
        one, two = stack.enter_context(scsi_debug(2, atomic_wr_align=1, atomic_wr_gran=1, atomic_wr_max_length=128))
        each((
            ("linear on SCSI", linear("cell", (one, 0, 4 * MIB), (two, 4 * MIB, 4 * MIB))),
            ("striped on SCSI", striped("cell", [one, two], 16 * KIB)),
            ("crypt on SCSI", crypt("cell", one)),
            ("SCSI beside NVMe", linear("cell", (one, 0, 4 * MIB), (Namespace("small"), 0, 4 * MIB))),
        ))


main()
