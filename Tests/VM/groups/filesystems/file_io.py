"""System calls on files that only this group makes."""

from contextlib import contextmanager
import ctypes
import errno
import fcntl
import mmap
import os

from direct_io import RWF_ATOMIC, error_name

_libc = ctypes.CDLL(None, use_errno=True)
_libc.pwritev2.restype = ctypes.c_ssize_t
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
KEEP_SIZE, PUNCH_HOLE = 1, 2
FICLONE = 0x40049409


class _IOVector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def atomic_write_in_two(path, offset, data):
    """One pwritev2 of two buffers: the number of bytes written, or the name of the error."""
    buffer = mmap.mmap(-1, len(data))
    buffer.write(data)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    half = len(data) // 2
    vectors = (_IOVector * 2)(_IOVector(address, half), _IOVector(address + half, len(data) - half))
    descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        written = _libc.pwritev2(descriptor, vectors, 2, ctypes.c_long(offset), RWF_ATOMIC)
        return written if written >= 0 else error_name(ctypes.get_errno())
    finally:
        os.close(descriptor)


def fallocate(path, offset, length, mode=0):
    descriptor = os.open(path, os.O_RDWR)
    try:
        if _libc.fallocate(descriptor, mode, offset, length) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


def punch(path, offset, length):
    fallocate(path, offset, length, KEEP_SIZE | PUNCH_HOLE)


def can_clone(source, target):
    """Makes `target` share the blocks of `source`; false where the filesystem cannot."""
    with open(source, "rb") as old, open(target, "wb") as new:
        try:
            fcntl.ioctl(new, FICLONE, old.fileno())
            return True
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL):
                return False
            raise


def content(path):
    with open(path, "rb") as file:
        return file.read()


@contextmanager
def open_for_layout(path):
    """What was written is on the drive, and out of the page cache, in the end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield descriptor
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def put(path, offset, data):
    with open_for_layout(path) as descriptor:
        os.pwrite(descriptor, data, offset)
