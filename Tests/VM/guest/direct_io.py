"""System calls that Python has no word for, and reads and writes past the page cache."""

import ctypes
import errno
import mmap
import os
import struct

RWF_DSYNC = 0x02
RWF_NOWAIT = 0x08
RWF_ATOMIC = 0x40

STATX_BASIC_STATS = 0x07FF
STATX_DIOALIGN = 0x2000
STATX_WRITE_ATOMIC = 0x10000
STATX_ATTR_WRITE_ATOMIC = 0x400000
AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)
_libc.pwritev2.restype = ctypes.c_ssize_t


class _IOVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def _page_aligned(data):
    buffer = mmap.mmap(-1, max(len(data), 1))
    buffer.write(data)
    return buffer


def error_name(number):
    """Two names share one number; the kernel's documents use this one."""
    return "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode[number]


def atomic_write(path, offset, data, flags=RWF_ATOMIC | RWF_DSYNC, open_flags=os.O_DIRECT):
    """One pwritev2: the number of bytes written, or the name of the error."""
    buffer = _page_aligned(data)
    address = ctypes.c_char.from_buffer(buffer)
    vector = _IOVector(ctypes.addressof(address), len(data))
    descriptor = os.open(path, os.O_WRONLY | open_flags)
    try:
        written = _libc.pwritev2(descriptor, ctypes.byref(vector), 1, ctypes.c_long(offset), flags)
        return written if written >= 0 else error_name(ctypes.get_errno())
    finally:
        os.close(descriptor)
        del address


def read_direct(path, offset, length):
    buffer = mmap.mmap(-1, length)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        count = os.preadv(descriptor, [buffer], offset)
        return buffer[:count]
    finally:
        os.close(descriptor)


def write_direct(path, offset, data, place_in_page=0):
    buffer = memoryview(_page_aligned(bytes(place_in_page) + data))[place_in_page:]
    descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        return os.pwritev(descriptor, [buffer], offset)
    finally:
        os.close(descriptor)


def statx_atomic(path):
    """The kernel's answer in the words of the JSON contract; 0 where it gives none."""
    buffer = ctypes.create_string_buffer(256)
    mask = STATX_BASIC_STATS | STATX_DIOALIGN | STATX_WRITE_ATOMIC
    if _libc.statx(AT_FDCWD, os.fsencode(path), 0, mask, buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)

    def word(offset):
        return struct.unpack_from("=I", buffer, offset)[0]

    attributes = struct.unpack_from("=Q", buffer, 8)[0]
    return {
        "supported": bool(word(0) & STATX_WRITE_ATOMIC and attributes & STATX_ATTR_WRITE_ATOMIC),
        "atomic_write_unit_min": word(0xA8),
        "atomic_write_unit_max": word(0xAC),
        "atomic_write_unit_max_opt": word(0xB8),
        "atomic_write_segments_max": word(0xB0),
        "dio_mem_align": word(0x98),
        "dio_offset_align": word(0x9C),
    }
