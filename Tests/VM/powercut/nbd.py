"""Drives for QEMU by the NBD protocol: each request in the session's one order, and what is told when.

Benchmarks have a model of a drive's times in Tests/benchmarks/drive.py, whose negotiation this shares.
"""

import asyncio
import struct

from disk import Record

OPTION, REPLY, REQUEST, SIMPLE = 0x49484156454F5054, 0x3E889045565A9, 0x25609513, 0x67446698
GO, INFO, ABORT = 7, 6, 2
READ, WRITE, END, FLUSH = 0, 1, 2, 3
FUA = 1
HAS_FLAGS, SEND_FLUSH, SEND_FUA = 1, 4, 8
NOT_KNOWN = 0x80000001


async def negotiate(reader, writer, size):
    """The fixed newstyle handshake; False where the other side goes."""
    writer.write(b"NBDMAGIC" + struct.pack(">QH", OPTION, 3))
    await reader.readexactly(4)
    while True:
        _, option, length = struct.unpack(">QII", await reader.readexactly(16))
        await reader.readexactly(length)
        if option in (GO, INFO):
            export = struct.pack(">HQH", 0, size, HAS_FLAGS | SEND_FLUSH | SEND_FUA)
            writer.write(struct.pack(">QIII", REPLY, option, 3, len(export)) + export)
        known = option in (GO, INFO, ABORT)
        writer.write(struct.pack(">QIII", REPLY, option, 1 if known else NOT_KNOWN, 0))
        if option in (GO, ABORT):
            return option == GO


class Drive:
    """One drive: its bytes as a reader sees them, and the record of what was sent since it got them."""

    def __init__(self, size, unit, content, clock, whole_begin=0):
        self.size, self.unit, self.clock, self.whole_begin = size, unit, clock, whole_begin
        self.is_slow = False
        self.counts = {"writes": 0, "fua": 0, "flushes": 0}
        self.marker = lambda data: None
        self.load(content)

    def load(self, content, marks=None):
        """Another content, as of a power cut; whoever reads must keep nothing of the old one."""
        self.content, self.record = content.copy(), Record(content, self.unit, marks, self.whole_begin)

    async def serve(self, reader, writer):
        """One connection, until the power is cut; the machine that has lost it is answered no more."""
        power = self.clock.power
        if not self.clock.is_on:
            writer.close()
            return
        try:
            if not await negotiate(reader, writer, self.size):
                return
            while power == self.clock.power:
                await self._request(reader, writer, power)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _request(self, reader, writer, power):
        magic, flags, kind, cookie, offset, length = struct.unpack(">IHHQQI", await reader.readexactly(28))
        if magic != REQUEST or kind == END:
            raise ConnectionError
        data = await reader.readexactly(length) if kind == WRITE else b""
        if power != self.clock.power:
            return
        if kind == READ:
            writer.write(_reply(cookie) + self.content.read(offset, length))
        elif kind == WRITE:
            self._write(writer, cookie, offset, data, flags & FUA)
        elif kind == FLUSH:
            self._flush(writer, cookie)
        else:
            raise ConnectionError
        await writer.drain()

    def _write(self, writer, cookie, offset, data, is_durable):
        write = self.record.add(offset, data, self.clock.tick())
        write.marks = self.marker(data)
        self.content.write(offset, data)
        self.counts["writes"] += 1
        self.counts["fua"] += bool(is_durable)

        def end():
            write.ended = self.clock.tick()
            if is_durable:
                self.record.end_flush([write], write.ended)
        self._later(writer, cookie, end)
        self.clock.sent()

    def _flush(self, writer, cookie):
        covered, record = self.record.begin_flush(), self.record
        self.counts["flushes"] += 1
        self._later(writer, cookie, lambda: record.end_flush(covered, self.clock.tick()))

    def _later(self, writer, cookie, end):
        """Ends a request after a while, if there is still power; in any order, as the drive likes."""
        power = self.clock.power

        def tell():
            if power == self.clock.power:
                end()
                writer.write(_reply(cookie))
        if self.is_slow:
            asyncio.get_running_loop().call_later(self.clock.random.uniform(0, 0.002), tell)
        else:
            tell()


def _reply(cookie):
    return struct.pack(">IIQ", SIMPLE, 0, cookie)
