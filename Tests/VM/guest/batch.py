"""Several atomic writes in one system call, which the block layer may join into one request."""

import ctypes
import mmap
import os
import struct

from direct_io import RWF_ATOMIC, error_name

_IO_SETUP, _IO_DESTROY, _IO_GETEVENTS, _IO_SUBMIT = 206, 207, 208, 209  # x86-64
_PWRITE = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _call(*arguments):
    result = _libc.syscall(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def atomic_writes(path, writes):
    """Pairs of offset and data; for each the number of bytes, or the name of the error, in that order."""
    context = ctypes.c_ulong(0)
    _call(_IO_SETUP, len(writes), ctypes.byref(context))
    descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
    try:
        buffers, blocks = [], []
        for number, (offset, data) in enumerate(writes):
            buffer = mmap.mmap(-1, len(data))
            buffer.write(data)
            buffers.append(ctypes.c_char.from_buffer(buffer))
            blocks.append(ctypes.create_string_buffer(struct.pack(
                "=QIIHhIQQqQII", number, 0, RWF_ATOMIC, _PWRITE, 0, descriptor,
                ctypes.addressof(buffers[-1]), len(data), offset, 0, 0, 0)))
        pointers = (ctypes.c_void_p * len(blocks))(*(ctypes.addressof(block) for block in blocks))
        submitted = _call(_IO_SUBMIT, context, ctypes.c_long(len(blocks)), pointers)
        events = ctypes.create_string_buffer(32 * submitted)
        _call(_IO_GETEVENTS, context, ctypes.c_long(submitted), ctypes.c_long(submitted), events, None)
        results = {}
        for number in range(submitted):
            key, _, result, _ = struct.unpack_from("=QQqq", events, 32 * number)
            results[key] = result if result >= 0 else error_name(-result)
        return [results.get(number) for number in range(len(writes))]
    finally:
        _call(_IO_DESTROY, context)
        os.close(descriptor)
