"""Drives and the layers on them: how each is made, where it puts what is written, and what that allows.

A layer knows its `copies` of a range: each is a list of parts (member, offset, length). A write stays
whole where every copy is one part, on a drive that keeps it whole; that is all the tests rely on.
"""

from contextlib import contextmanager
from functools import cached_property
import glob
import os
import re

from commands import disable_normal, identify_controller, identify_namespace, run, succeed
from direct_io import read_direct, statx_atomic
import drives
import rules
import stacking

SECTOR = 512
MIB = 1 << 20
KEY = "00" * 32


def kernel_name(path):
    number = os.stat(path).st_rdev
    return os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}"))


class Device:
    """A block device: `start` is where it begins on the disk whose queue it uses."""
    kind, type, chunk, start = "block", None, 0, 0
    mirrored = False

    def __init__(self, path, disk=None):
        self.path = path
        self.device = kernel_name(path)
        self.disk = disk or self.device
        self.size = drives.size_bytes(self.device)

    @property
    def block(self):
        return self.queue["logical_block_size"]

    # Neither changes while the layer stands, and both are asked for each write.
    @cached_property
    def queue(self):
        return drives.queue(self.disk)

    @cached_property
    def statx(self):
        return statx_atomic(self.path)

    @property
    def unit_max(self):
        facts = self.statx
        return facts["atomic_write_unit_max"] if facts["supported"] else 0

    @property
    def unit_min(self):
        facts = self.statx
        return max(facts["atomic_write_unit_min"], self.block) if facts["supported"] else 0


class Drive(Device):
    """Has no parts: it asks its own promise."""

    def __init__(self, path):
        super().__init__(path)
        self.limits = self.learn()

    def drives(self):
        return {self}

    def edges(self):
        return set()

    def stored(self, offset, length):
        return [read_direct(self.path, offset, length)]

    def takes(self, offset, length):
        """That the kernel passes a write on to the drive."""
        boundary = self.queue["atomic_write_boundary_bytes"]
        return self.unit_min <= length <= self.unit_max and (
            not boundary or offset // boundary == (offset + length - 1) // boundary)


class Namespace(Drive):
    kind = "namespace"

    def __init__(self, serial, nsid=1):
        self.serial, self.nsid = serial, nsid
        super().__init__(f"/dev/{drives.namespace_node(serial, nsid)}")

    def learn(self):
        node = f"/dev/{drives.controller_of(self.device)}"
        self.promise = rules.promise(identify_controller(node), identify_namespace(self.path), disable_normal(node))
        return stacking.of_namespace(self.promise)

    def keeps(self, offset, length):
        return self.promise.keeps_whole(offset, length)


class ScsiDisk(Drive):
    """Its promise is the target's, which the kernel shows in the queue."""
    kind = "block"

    def learn(self):
        queue = self.queue
        return stacking.Limits(*(queue[f"atomic_write_{name}_bytes"] for name in
                                 ("unit_min", "unit_max", "max", "boundary")))

    keeps = Drive.takes


class Partition(Device):
    kind = "partition"

    def __init__(self, path, whole):
        super().__init__(path, whole.disk)
        self.start = drives.partition_start_bytes(self.device)
        self.whole = whole
        fits = not whole.limits.unit_min or self.start % max(whole.limits.unit_min, whole.limits.boundary) == 0
        self.limits = whole.limits if fits else stacking.NONE

    def copies(self, offset, length):
        return [[(self.whole, self.start + offset, length)]]

    def edges(self):
        return {edge - self.start for edge in self.whole.edges()}


# ---------------------------------------------------------------- what every layer does with its parts


def members_of(device):
    return getattr(device, "members", None) or [device.whole] if not isinstance(device, Drive) else []


def all_drives(device):
    if isinstance(device, Drive):
        return [device]
    found = []
    for member in members_of(device):
        found += [drive for drive in all_drives(member) if drive not in found]
    return found


def everywhere(device, offset, length, ask):
    """`ask(drive, offset, length)` of every drive, where each copy of the range is in one piece."""
    if isinstance(device, Drive):
        return ask(device, offset, length)
    return all(len(parts) == 1 and everywhere(*parts[0], ask) for parts in device.copies(offset, length))


def kept_whole(device, offset, length):
    return everywhere(device, offset, length, lambda drive, at, count: drive.keeps(at, count))


def in_one_piece(device, offset, length):
    return everywhere(device, offset, length, lambda *_: True)


def members_take(device, offset, length):
    return everywhere(device, offset, length, lambda drive, at, count: drive.takes(at, count))


def stored(device, offset, length):
    """What the drives hold of a range: one entry per copy."""
    if isinstance(device, Drive):
        return device.stored(offset, length)
    found = []
    for parts in device.copies(offset, length):
        versions = [stored(*part) for part in parts]
        found += [b"".join(pieces) for pieces in zip(*versions)]
    return found


# ---------------------------------------------------------------- device mapper


class Mapped(Device):
    kind = "dm"

    def __init__(self, path, members, starts, chunk=0):
        super().__init__(path)
        self.members, self.starts, self.chunk = members, starts, chunk
        self.limits = stacking.stacked(
            [(member.limits, member.start + start) for member, start in zip(members, starts)], chunk)


class Linear(Mapped):
    type = "linear"

    def __init__(self, path, segments):
        self.segments = segments  # (member, start on it, length)
        super().__init__(path, [segment[0] for segment in segments], [segment[1] for segment in segments])

    def copies(self, offset, length):
        parts, begin = [], 0
        for member, start, size in self.segments:
            low, high = max(offset, begin), min(offset + length, begin + size)
            if low < high:
                parts.append((member, start + low - begin, high - low))
            begin += size
        return [parts]

    def edges(self):
        found, begin = set(), 0
        for member, start, size in self.segments:
            found |= {begin} | {begin + edge - start for edge in member.edges() if 0 < edge - start < size}
            begin += size
        return found


class Striped(Mapped):
    type = "striped"

    def copies(self, offset, length):
        return [stripes(self.members, self.starts, self.chunk, offset, length)]

    def edges(self):
        return chunk_edges(self)


class Mirror(Mapped):
    """Regions are kept in step one by one; `region` bounds a write as a chunk does."""
    type, mirrored = "mirror", True

    def __init__(self, path, members, starts, region):
        super().__init__(path, members, starts)
        self.region = region

    def copies(self, offset, length):
        steps = list(within(self.region, offset, length))
        return [[(member, start + at, count) for at, count in steps]
                for member, start in zip(self.members, self.starts)]

    def edges(self):
        return set(range(self.region, min(self.size, 4 * self.region), self.region)) | member_edges(self)


class Crypt(Mapped):
    """One part like linear, and nobody can compare what is stored."""
    type = "crypt"

    def copies(self, offset, length):
        return [[(self.members[0], self.starts[0] + offset, length)]]

    def edges(self):
        return member_edges(self)


class Dropping(Mapped):
    """A target that passes no atomic write on."""

    def __init__(self, path, type, members):
        super().__init__(path, members, [0] * len(members))
        self.type, self.limits = type, stacking.NONE

    def edges(self):
        return set()


def within(size, offset, length):
    """The range cut at every multiple of `size`."""
    while length:
        step = min(size - offset % size, length)
        yield offset, step
        offset, length = offset + step, length - step


def stripes(members, starts, chunk, offset, length, copies=1, copy=0):
    """Chunk after chunk, each `copies` times, over all members in turn."""
    parts = []
    for at, count in within(chunk, offset, length):
        row, column = divmod(at // chunk * copies + copy, len(members))
        parts.append((members[column], starts[column] + row * chunk + at % chunk, count))
    return parts


def member_edges(layer):
    """Those of members that lie in the layer from their start on."""
    return {edge - start for member, start in zip(layer.members, layer.starts) for edge in member.edges()
            if 0 <= edge - start < layer.size}


def chunk_edges(layer, copies=1):
    """The first rounds of the members, the last, and where what lies below has an edge of its own."""
    chunk, width = layer.chunk, len(layer.members)
    last = (layer.size // chunk - 1) * chunk
    found = set(range(0, 2 * chunk * width, chunk)) | {last - chunk, last}
    for column, (member, start) in enumerate(zip(layer.members, layer.starts)):
        for edge in member.edges():
            row, inside = divmod(edge - start, chunk)
            if row >= 0:
                found.add((row * width + column) // copies * chunk + inside)
    return {edge for edge in found if 0 <= edge < layer.size}


@contextmanager
def mapping(name, rows, make):
    """`rows` are (length in bytes, target, parameters); `make` gets the node."""
    table, begin = "", 0
    for length, target, parameters in rows:
        table += f"{begin // SECTOR} {length // SECTOR} {target} {parameters}\n"
        begin += length
    # Nobody runs udev here: the library makes the node itself.
    os.environ["DM_DISABLE_UDEV"] = "1"
    result = run(["dmsetup", "create", name], table.encode())
    if result.code != 0:
        raise RuntimeError(f"dmsetup create {name}: {result.errors.strip()}")
    try:
        yield make(f"/dev/mapper/{name}")
    finally:
        succeed("dmsetup", "remove", "--retry", name)


def linear(name, *segments):
    rows = [(length, "linear", f"{member.path} {start // SECTOR}") for member, start, length in segments]
    return mapping(name, rows, lambda path: Linear(path, list(segments)))


def striped(name, members, chunk, starts=None, length=None):
    starts = starts or [0] * len(members)
    row = chunk * len(members)
    length = length or min(member.size - start for member, start in zip(members, starts)) * len(members)
    places = " ".join(f"{member.path} {start // SECTOR}" for member, start in zip(members, starts))
    return mapping(name, [(length // row * row, "striped", f"{len(members)} {chunk // SECTOR} {places}")],
                   lambda path: Striped(path, members, starts, chunk))


def mirror(name, members, region=512 * 1024, length=16 * MIB, starts=None, sync="nosync"):
    starts = starts or [0] * len(members)
    places = " ".join(f"{member.path} {start // SECTOR}" for member, start in zip(members, starts))
    log = f"core 2 {region // SECTOR} {sync}"

    def settled(path):
        device = Mirror(path, members, starts, region)
        drives.wait_for(lambda: in_step(path), f"{name} in step")
        return device

    return mapping(name, [(length, "mirror", f"{log} {len(members)} {places}")], settled)


def in_step(mirror):
    """What is not in step yet is written to one leg, and copied later."""
    done, all_regions = re.search(r" (\d+)/(\d+) ", succeed("dmsetup", "status", mirror)).groups()
    return done == all_regions


def crypt(name, member, start=0, sector_size=512, options=()):
    words = [*options, *([f"sector_size:{sector_size}"] if sector_size != 512 else [])]
    optional = f" {len(words)} {' '.join(words)}" if words else ""
    length = (member.size - start) // sector_size * sector_size
    return mapping(name, [(length, "crypt", f"aes-cbc-plain64 {KEY} 0 {member.path} {start // SECTOR}{optional}")],
                   lambda path: Crypt(path, [member], [start]))


def dropping(name, target, parameters, members, length=8 * MIB):
    return mapping(name, [(length, target, parameters)], lambda path: Dropping(path, target, members))


# ---------------------------------------------------------------- md


class Raid(Device):
    kind = "md"

    def __init__(self, path, level, members, chunk):
        super().__init__(path)
        self.type, self.members = level, members
        self.chunk = chunk if level not in ("raid1",) else 0
        self.mirrored = level in ("raid1", "raid10")
        self.starts = [self.data_offset(member) for member in members]
        places = [(member.limits, member.start + start) for member, start in zip(members, self.starts)]
        passes = level in ("raid0", "raid1", "raid10", "linear")
        self.limits = stacking.stacked(places, self.chunk) if passes else stacking.NONE

    def data_offset(self, member):
        return int(drives.read(f"/sys/block/{self.device}/md/dev-{member.device}/offset")) * SECTOR

    def copies(self, offset, length):
        if self.type == "raid1":
            return [[(member, start + offset, length)] for member, start in zip(self.members, self.starts)]
        if self.type == "raid0":
            return [stripes(self.members, self.starts, self.chunk, offset, length)]
        return [stripes(self.members, self.starts, self.chunk, offset, length, 2, copy) for copy in range(2)]

    def edges(self):
        return chunk_edges(self, 2 if self.type == "raid10" else 1) if self.chunk else member_edges(self)


@contextmanager
def array(level, members, chunk=None, number=20, options=(), action="--create"):
    path = f"/dev/md{number}"
    words = ["mdadm", action, path, f"--level={level}", f"--raid-devices={len(members)}"]
    if action == "--create":
        words += ["--run", "--metadata=1.2"]
        if level in ("raid1", "raid10", "raid5"):
            words += ["--bitmap=none", "--assume-clean"]
    if chunk:
        words.append(f"--chunk={chunk // 1024}")
    os.environ["MDADM_NO_UDEV"] = "1"
    succeed(*words, *options, *(member.path for member in members))
    try:
        yield Raid(path, level, list(members), chunk or 0)
    finally:
        succeed("mdadm", "--stop", path)


# ---------------------------------------------------------------- disks that are not NVMe


@contextmanager
def scsi_debug(count, **parameters):
    """Each disk on a host of its own, with a store of its own."""
    succeed("modprobe", "sd_mod")
    succeed("modprobe", "scsi_debug", f"add_host={count}", "per_host_store=1", "dev_size_mb=16", "atomic_wr=1",
            *(f"{key}={value}" for key, value in parameters.items()))

    def disks():
        found = [os.path.basename(path) for path in glob.glob(
            "/sys/bus/pseudo/drivers/scsi_debug/adapter*/host*/target*/*/block/*")]
        ready = [disk for disk in found if os.path.exists(f"/dev/{disk}") and drives.size_bytes(disk)]
        return sorted(ready) if len(ready) == count else None

    try:
        yield [ScsiDisk(f"/dev/{disk}") for disk in drives.wait_for(disks, "scsi_debug")]
    finally:
        unload("scsi_debug")


def unload(module):
    drives.wait_for(lambda: run(["rmmod", module]).code == 0, f"the end of {module}")


@contextmanager
def loop(path):
    succeed("modprobe", "loop")
    node = succeed("losetup", "--find", "--show", "--direct-io=on", path).strip()
    try:
        yield node
    finally:
        succeed("losetup", "--detach", node)
