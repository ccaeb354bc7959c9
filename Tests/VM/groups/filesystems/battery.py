"""fstests' checks of atomic writes to files, as assertions: generic/765, 767, 768 and 770."""

import os

from checks import cell, check
from direct_io import RWF_ATOMIC, atomic_write
from file_io import atomic_write_in_two, can_clone, content, fallocate, open_for_layout, punch, put

KIB = 1024


def sizes(smallest, largest):
    size = smallest
    while size <= largest:
        yield size
        size *= 2


def test_file(name, directory, unit_min, unit_max, tested):
    """`unit_max` of 0: the filesystem takes none."""
    path = f"{directory}/battery"
    if not unit_max:
        refused(f"{name} one block", path, 4 * KIB, lambda data: atomic_write(path, 0, data), "EOPNOTSUPP")
        return
    for size in tested:
        with cell(f"{name} F1 to F5 with {size}"):
            accepts(f"{name} {size}", path, size)
    for size in {tested[0], tested[-1]}:
        with cell(f"{name} F6 to F10 with {size}"):
            rejects(f"{name} {size}", path, size)
    with cell(f"{name} bounds"):
        small, large = unit_min // 2, 2 * unit_max
        refused(f"{name} half the smallest", path, unit_min, lambda data: atomic_write(path, 0, data[:small]), "EINVAL")
        refused(f"{name} twice the largest", path, large, lambda data: atomic_write(path, 0, data), "EINVAL")
    mixes(name, f"{directory}/mixed", min(64 * KIB, unit_max))
    os.unlink(path)


# ---------------------------------------------------------------- _test_atomic_file_writes


def accepts(name, path, size):
    put(path, 0, os.urandom(2 * size))
    takes(f"{name} F1 mapped", path, size)
    clone(name, path, size)
    os.unlink(path)
    put(path, 2 * size - 1, b"\0")
    fallocate(path, 0, size)
    takes(f"{name} F3 unwritten", path, size)
    punch(path, 0, size)
    takes(f"{name} F4 hole", path, size)
    takes(f"{name} F5 mapped again", path, size)


def takes(name, path, size, place=0):
    """The whole file is compared: the rest of it must not change."""
    expected, data = bytearray(content(path)), os.urandom(size)
    expected[place:place + size] = data
    check(name, size, atomic_write(path, place, data))
    check(f"{name} content", True, content(path) == expected)


def clone(name, path, size):
    copy = f"{path}-copy"
    if can_clone(path, copy):
        before = content(path)
        takes(f"{name} F2 reflinked copy", copy, size)
        check(f"{name} F2 the other file", True, content(path) == before)
    os.unlink(copy)


def rejects(name, path, size):
    for what, write, error in (
            ("F6 a byte less", lambda data: atomic_write(path, 0, data[:size - 1]), "EINVAL"),
            ("F7 a byte more", lambda data: atomic_write(path, 0, data[:size + 1]), "EINVAL"),
            ("F8 two buffers", lambda data: atomic_write_in_two(path, 0, data[:size]), "EINVAL"),
            ("F9 through the page cache",
             lambda data: atomic_write(path, 0, data[:size], flags=RWF_ATOMIC, open_flags=0), "EOPNOTSUPP"),
            ("F10 at offset 1", lambda data: atomic_write(path, 1, data[:size]), "EINVAL"),
            ("a sector off", lambda data: atomic_write(path, 512, data[:size]), "EINVAL"),
    ):
        refused(f"{name} {what}", path, 2 * size, write, error)


def refused(name, path, size, write, error):
    put(path, 0, os.urandom(size))
    before = content(path)
    check(name, error, write(os.urandom(size)))
    check(f"{name} wrote nothing", True, content(path) == before)


# ---------------------------------------------------------------- generic/770

# The range in eighths, of holes, written and unwritten blocks; behind the bar lies what follows the range.
MIXES = {
    "hole": "HHHHHHHH|W", "hole and mapped": "HHHHWWWW|W", "mapped and hole": "WWWWHHHH|W",
    "hole, mapped, hole": "HHHWWHHH|W", "mapped, hole, mapped": "WWWHHWWW|W",
    "unwritten and mapped": "UUUUWWWW|W", "unwritten, mapped, unwritten": "UUUWWUUU|W",
    "mapped, unwritten, hole": "WWWUUHHH|W", "woven": "HWHWHWHW|W", "woven with unwritten": "UWHUWHUW|W",
    "hole at the end of the file": "HHHHHHHH|", "mapped at the end of the file": "WWWWWWWW|",
    "across the end of the file": "WWWW|", "woven across the end of the file": "HWUW|", "beyond the end": "|",
}


def mixes(name, path, size):
    for what, layout in MIXES.items():
        with cell(f"{name} {size} {what}"):
            lay_out(path, size, layout)
            before = content(path)
            data = os.urandom(size)
            check(f"{name} {size} {what}", size, atomic_write(path, size, data))
            check(f"{name} {size} {what} content", True, content(path) == before[:size] + data + before[2 * size:])
            os.unlink(path)


def lay_out(path, size, layout):
    """The range begins at `size`: something written lies before it. A range of less than eight blocks has
    pieces of one block."""
    inside, behind = layout.split("|")
    piece = max(size // 8, 4 * KIB)
    with open_for_layout(path) as file:
        os.pwrite(file, os.urandom(size), 0)
        for index, kind in enumerate(inside[::8 * piece // size]):
            offset = size + index * piece
            if kind == "W":
                os.pwrite(file, os.urandom(piece), offset)
            elif kind == "U":
                fallocate(path, offset, piece)
            else:
                os.truncate(file, max(os.fstat(file).st_size, offset + piece))
        if behind:
            os.pwrite(file, os.urandom(size), 2 * size)
