"""What the workload writes: blocks that say whose they are, and a second reading of them.

Each 512 bytes of an operation's range begin with: magic (8), run (8), page or chain (4), operation (4), place in the
target (8), bytes that follow in the range (4), checksum of the block (4); the rest is filled from the header's own
bytes. Numbers are little-endian; the checksum is CRC-32 with its own field zero.
"""

import struct
import zlib

BLOCK = 512
HEADER = struct.Struct("<8sQIIQII")
PLAIN, ATOMIC = b"plain wr", b"atomic w"


def make(magic, run, owner, operation, offset, length):
    """The bytes of one range."""
    pieces = []
    for at in range(0, length, BLOCK):
        pieces.append(_block(magic, run, owner, operation, offset + at, length - at))
    return b"".join(pieces)[:length]


def _block(magic, run, owner, operation, place, rest):
    header = HEADER.pack(magic, run, owner, operation, place, rest, 0)
    filling = (zlib.crc32(header).to_bytes(4, "little") + header[16:24]) * 40
    body = filling[:BLOCK - HEADER.size]
    checksum = zlib.crc32(header + body)
    return HEADER.pack(magic, run, owner, operation, place, rest, checksum) + body


def read(block, magic, run):
    """(owner, operation, place) of a whole block; None where it is none of this run's."""
    if len(block) < BLOCK:
        return None
    found, its_run, owner, operation, place, rest, checksum = HEADER.unpack_from(block)
    if (found, its_run) != (magic, run):
        return None
    bare = HEADER.pack(found, its_run, owner, operation, place, rest, 0)
    if zlib.crc32(bare + block[HEADER.size:BLOCK]) != checksum:
        return None
    return owner, operation, place


def marks(data, run, page_length):
    """Of a write to the drive: (block of the write, page, block of the page, version) for each block of a plain page.

    A page is its owner and its length, which `page_length` tells, and lies at a multiple of that.
    """
    found = []
    for number in range(len(data) // BLOCK):
        at = number * BLOCK
        if data[at:at + 8] != PLAIN:
            continue
        mark = read(data[at:at + BLOCK], PLAIN, run)
        if mark:
            owner, operation, place = mark
            length = page_length(owner)
            found.append((number, (owner, length), place % length // BLOCK, operation))
    return found
