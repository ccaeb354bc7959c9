"""The drives of the matrix. Run as a program, it lists them for the emulator.

All values are those of the Identify pages: 0's based, in logical blocks. What is
left out is 0. `torn_free` is written by hand, in bytes, as a second opinion beside
the rules in guest.py: one number, or a pair for kernels that do and do not use AWUPF.
"""

from dataclasses import dataclass, field


@dataclass
class Partition:
    start: int  # in logical blocks
    torn_free: int


@dataclass
class Namespace:
    lba_size: int
    torn_free: object
    limits: dict = field(default_factory=dict)
    partitions: list = field(default_factory=list)


@dataclass
class Cell:
    name: str
    namespaces: list
    controller: dict = field(default_factory=dict)
    mdts: int = 7
    dn: bool = False


KIB = 1024


def _both_block_sizes(scale, suffix):
    """The cells that exist with each block size; `scale` is the number of blocks in 4 KiB."""
    lba_size = 4096 // scale

    def blocks(kib):
        return kib * KIB // lba_size - 1

    def one(name, torn_free, limits=None, partitions=(), **controller):
        return Cell(f"{name}-{suffix}", [Namespace(lba_size, torn_free, limits or {}, list(partitions))], **controller)

    in_boundary = {"nawun": blocks(64), "nawupf": blocks(16), "nabsn": blocks(128), "nabspf": blocks(32)}
    return [
        one("nawupf", 16 * KIB, {"nawun": blocks(64), "nawupf": blocks(16)}),
        one("awupf", (16 * KIB, lba_size), controller={"awun": blocks(32), "awupf": blocks(16)}),
        one("both", 32 * KIB, {"nawun": blocks(64), "nawupf": blocks(32)},
            controller={"awun": blocks(16), "awupf": blocks(8)}),
        one("odd", 16 * KIB, {"nawun": blocks(48), "nawupf": blocks(24)}),
        one("boundary", 16 * KIB, in_boundary),
        # The windows begin 4 KiB late: the kernel gives up, and so must every natural alignment above 4 KiB.
        one("nabo", 0, {**in_boundary, "nabo": scale}),
        one("boundary24k", 0, {**in_boundary, "nabspf": blocks(24)}),
        one("dn", 16 * KIB, {"nawun": blocks(64), "nawupf": blocks(16)}, dn=True),
        # 16 KiB per command; with small blocks an unlucky buffer needs more segments than that allows.
        one("mdts", 8 * KIB if scale == 8 else 16 * KIB, {"nawun": blocks(64), "nawupf": blocks(64)}, mdts=2),
        one("partitions", 16 * KIB, in_boundary, [
            Partition(1024 * KIB // lba_size, 16 * KIB),
            Partition((8 * 1024 + 16) * KIB // lba_size, 0),  # on the limit, not on the boundary
            Partition((16 * 1024 + 4) * KIB // lba_size, 0),
            Partition((24 * 1024) * KIB // lba_size, 16 * KIB),
        ]),
        one("nothing", lba_size),
    ]


CELLS = _both_block_sizes(8, "512") + _both_block_sizes(1, "4096") + [
    Cell("two", [
        Namespace(512, 16 * KIB, {"nawun": 127, "nawupf": 31}),
        Namespace(4096, 32 * KIB, {"nawun": 15, "nawupf": 7}),
    ]),
    # A partition that begins anywhere is as good as the drive where there is no boundary.
    Cell("unaligned-free", [Namespace(512, 16 * KIB, {"nawun": 127, "nawupf": 31}, [
        Partition(63, 16 * KIB),
    ])]),
    # Large in normal operation, one block over power loss: the two must not be mixed up.
    Cell("normal-only", [Namespace(512, 512, {"nawun": 127})]),
    # The controller's limit within the namespace's boundary of 24 KiB, which some kernels overlook:
    # 16 KiB at 16 KiB would cross it, 8 KiB never does.
    Cell("awupf-boundary24k", [Namespace(512, (8 * KIB, 512), {"nabsn": 95, "nabspf": 47})],
         controller={"awun": 63, "awupf": 31}),
]


def _properties(values):
    return "".join(f",atomic.{name}={value}" for name, value in values.items())


def _emulator_lines(cell):
    dn = ",atomic.dn=on" if cell.dn else ""
    yield f"controller {cell.name} mdts={cell.mdts}{dn}{_properties(cell.controller)}"
    for nsid, namespace in enumerate(cell.namespaces, 1):
        size = namespace.lba_size
        yield (f"namespace {cell.name} {nsid} "
               f"logical_block_size={size},physical_block_size={size}{_properties(namespace.limits)}")


if __name__ == "__main__":
    for cell in CELLS:
        print(*_emulator_lines(cell), sep="\n")
