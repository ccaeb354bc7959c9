"""A model of a drive, as a disk for QEMU: writes end in its cache at once; each write with FUA, and each flush, takes
its time, one after the other. Only times are modelled: the bytes are kept in memory.

    drive.py SOCKET BYTES MILLISECONDS

Serves one connection by the NBD protocol, and ends with it.
"""

import os
import queue
import socket
import struct
import sys
import threading
import time

OPTION, REPLY, REQUEST, SIMPLE = 0x49484156454F5054, 0x3E889045565A9, 0x25609513, 0x67446698
GO, INFO, ABORT = 7, 6, 2
READ, WRITE, END, FLUSH = 0, 1, 2, 3
FUA = 1


def take(connection, count):
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def negotiate(connection, size):
    connection.sendall(b"NBDMAGIC" + struct.pack(">QH", OPTION, 3))
    take(connection, 4)
    while True:
        _, option, length = struct.unpack(">QII", take(connection, 16))
        take(connection, length)
        if option in (GO, INFO):
            export = struct.pack(">HQH", 0, size, 1 | 4 | 8)
            connection.sendall(struct.pack(">QIII", REPLY, option, 3, len(export)) + export)
        supported = option in (GO, INFO, ABORT)
        connection.sendall(struct.pack(">QIII", REPLY, option, 1 if supported else 0x80000001, 0))
        if option == GO:
            return
        if option == ABORT:
            raise EOFError


def serve(connection, content, seconds):
    lock, slow = threading.Lock(), queue.SimpleQueue()

    def reply(cookie, data=b""):
        with lock:
            connection.sendall(struct.pack(">IIQ", SIMPLE, 0, cookie) + data)

    def take_time():
        while (cookie := slow.get()) is not None:
            time.sleep(seconds)
            reply(cookie)

    threading.Thread(target=take_time, daemon=True).start()
    while True:
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", take(connection, 28))
        if magic != REQUEST or kind == END:
            return
        if kind == WRITE:
            content[offset:offset + length] = take(connection, length)
        if kind == FLUSH or flags & FUA:
            slow.put(cookie)
        else:
            reply(cookie, content[offset:offset + length] if kind == READ else b"")


def main():
    path, size, milliseconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(120)
        connection, _ = listener.accept()
    os.unlink(path)
    connection.settimeout(None)
    try:
        negotiate(connection, size)
        serve(connection, bytearray(size), milliseconds / 1000)
    except (EOFError, ConnectionError):
        pass


main()
