"""A drive with a volatile cache, as a record of writes: what a power cut at any moment may leave of it.

Offsets and lengths are bytes. Moments are indexes into the one order that the session gives to writes, their ends,
flushes, and what a workload was told; see session.py.
"""

import bisect

BLOCK = 512
CHUNK = 16 << 10
NEVER = 1 << 62


class Content:
    """Sparse bytes, cheap to copy: a chunk that is not there is zeros, and one that is there never changes."""

    def __init__(self, chunks=None):
        self.chunks = dict(chunks or {})

    def copy(self):
        return Content(self.chunks)

    def read(self, offset, length):
        pieces, end = [], offset + length
        while offset < end:
            number, begin = divmod(offset, CHUNK)
            count = min(CHUNK - begin, end - offset)
            chunk = self.chunks.get(number)
            pieces.append(bytes(count) if chunk is None else chunk[begin:begin + count])
            offset += count
        return b"".join(pieces)

    def write(self, offset, data):
        begin = 0
        while begin < len(data):
            number, at = divmod(offset + begin, CHUNK)
            count = min(CHUNK - at, len(data) - begin)
            piece = data[begin:begin + count]
            if count < CHUNK:
                chunk = self.chunks.get(number) or bytes(CHUNK)
                piece = chunk[:at] + piece + chunk[at + count:]
            if piece.count(0) == CHUNK:
                self.chunks.pop(number, None)
            else:
                self.chunks[number] = piece
            begin += count


class Write:
    """One write command, and the moments at which it was sent, ended, and was on stable storage."""

    __slots__ = ("offset", "data", "issued", "ended", "durable", "marks")

    def __init__(self, offset, data, issued):
        self.offset, self.data, self.issued = offset, data, issued
        self.ended = self.durable = NEVER
        self.marks = None


class Record:
    """What was sent to a drive since its power came on.

    Writes land in the order in which they were sent. Commands on their way at the same time may also land the other way
    round, which matters only where they overlap: `crossings` counts those, and a stream that has some cannot be judged.
    """

    def __init__(self, base, unit, marks=None, whole_begin=0):
        """`marks` says what versions of plain pages the base holds; see Image. Writes that begin in the first `whole_begin`
        bytes are never torn, however long."""
        self.base, self.unit, self.marks, self.whole_begin = base, unit, marks or {}, whole_begin
        self.writes, self.loose, self.flushes = [], [], []
        self.on_the_way, self.crossings = [], 0

    def add(self, offset, data, moment):
        write = Write(offset, data, moment)
        self.on_the_way = [other for other in self.on_the_way if other.ended == NEVER]
        self.crossings += any(other.offset < offset + len(data) and offset < other.offset + len(other.data)
                              for other in self.on_the_way)
        self.on_the_way.append(write)
        self.writes.append(write)
        self.loose.append(write)
        return write

    def begin_flush(self):
        """What a flush that arrives now makes durable: writes that have ended, and no others."""
        return [write for write in self.loose if write.ended != NEVER]

    def end_flush(self, covered, moment):
        self.flushes.append(moment)
        for write in covered:
            write.durable = min(write.durable, moment)
        self.loose = [write for write in self.loose if write.durable == NEVER]

    def may_tear(self, write):
        return len(write.data) > self.unit and write.offset >= self.whole_begin

    def sent_before(self, moment):
        return self.writes[:bisect.bisect_right(self.writes, moment, key=lambda write: write.issued)]


class Image:
    """What is left of a drive: whole writes and torn ones, in the order in which they were sent.

    `kept` decides about each write that no flush has made durable: None or False drops it, True keeps it, and a list of
    booleans keeps those of its blocks. A write no longer than the drive's unit is never torn: the NVM Command Set
    Specification has no boundary here (NABSPF 0), so that alignment plays no part.
    """

    def __init__(self, record, moment, kept):
        self.content = record.base.copy()
        self.dropped = self.torn = 0
        self.marks = dict(record.marks)
        for write in record.sent_before(moment):
            chosen = True if write.durable <= moment else kept(write)
            if chosen is True:
                self.content.write(write.offset, write.data)
                self._mark(write, None)
            elif chosen:
                if not record.may_tear(write):
                    raise ValueError("a write within the unit was to be torn")
                self.torn += 1
                for number, keep in enumerate(chosen):
                    if keep:
                        at = number * BLOCK
                        self.content.write(write.offset + at, write.data[at:at + BLOCK])
                self._mark(write, chosen)
            else:
                self.dropped += 1

    def _mark(self, write, chosen):
        """Which version of what lies in each block of a plain write's page."""
        for number, page, block, version in write.marks or ():
            if chosen is None or chosen[number]:
                self.marks[page, block] = version

    def torn_pages(self):
        """Pages of plain writes that hold blocks of several versions; all of a page's blocks are written at once."""
        versions = {}
        for (page, _), version in self.marks.items():
            versions.setdefault(page, []).append(version)
        return {page for page, found in versions.items() if len(set(found)) > 1 or len(found) < page_blocks(page)}


def page_blocks(page):
    """A page is named by its number and its length."""
    return page[1] // BLOCK


# ---------------------------------------------------------------- what is kept


def tear(random, write):
    """Some of a write's blocks: its begin, its end, one of them, all but one, or any."""
    count = len(write.data) // BLOCK
    cut = random.randrange(1, count)
    return random.choice((
        lambda: [number < cut for number in range(count)],
        lambda: [number >= cut for number in range(count)],
        lambda: [number == cut for number in range(count)],
        lambda: [number != cut for number in range(count)],
        lambda: [number == cut or number != cut - 1 and random.random() < 0.5 for number in range(count)],
    ))()


def policy(name, random, record, moment):
    """A rule for writes that are not durable: `nothing`, `everything`, `latest`, `torn` or `any`."""
    if name == "nothing":
        return lambda write: False
    if name == "everything":
        return lambda write: True
    loose = [write for write in record.sent_before(moment) if write.durable > moment]
    latest = loose[-1] if loose else None

    def torn(write):
        return tear(random, write) if record.may_tear(write) else True

    def of_latest(write):
        return write is latest and torn(write)

    def any_of_them(write):
        if random.random() < 0.5:
            return False
        return torn(write) if random.random() < 0.5 else True

    return {"latest": of_latest, "torn": torn, "any": any_of_them}[name]


POLICIES = ("nothing", "everything", "latest", "torn", "any")
