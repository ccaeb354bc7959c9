"""Operations, in chains: within one each begins when the one before it was told as done, so that after a power cut a
chain holds what its first operations made, as many as were told, or more of those that were sent.
"""

import payload

KIB = 1024
PAGE = 16 * KIB


class Operation:
    """Ranges of (offset in the target, bytes), all or none of which a power cut may leave."""

    def __init__(self, number, ranges):
        self.number, self.ranges = number, ranges
        self.issued = self.told = None

    def that_is_there(self):
        """Another one, as the first record is still to say that nobody was told of this one."""
        there = Operation(self.number, self.ranges)
        there.issued = there.told = self.issued
        return there


class Chain:
    """A part of the target, and what was written to it, oldest first; `there` bytes of it were there before."""

    def __init__(self, owner, begin, length, shape, there, magic):
        self.owner, self.begin, self.length, self.shape, self.there, self.magic = owner, begin, length, shape, there, magic
        self.operations, self.last = [], 0

    def next(self, random, run):
        """A new operation that nobody has begun; its number is never used again."""
        self.last += 1
        ranges = [(self.begin + offset, payload.make(self.magic, run, self.owner, self.last, self.begin + offset, length))
                  for offset, length in self.shape(random, self.length, self._end())]
        self.operations.append(Operation(self.last, ranges))
        return self.operations[-1]

    def _end(self):
        """How long it is, which the file's end tells where it is the last part."""
        return max([self.there, *(offset + len(data) - self.begin for operation in self.operations for offset, data in operation.ranges)])

    def states(self, count):
        """The bytes that no operation, the first one, the first two and so on leave: one buffer, changed on the way."""
        made = bytearray(self.there)
        yield made
        for operation in self.operations[:count]:
            for offset, data in operation.ranges:
                at = offset - self.begin
                made += bytes(max(0, at - len(made)))
                made[at:at + len(data)] = data
            yield made

    def sent(self, moment):
        return sum(operation.issued is not None and operation.issued <= moment for operation in self.operations)

    def told(self, moment):
        return sum(operation.told is not None and operation.told <= moment for operation in self.operations)

    def settle(self, count):
        """After a power cut: what is not there will never be, and what is was there before anything that follows."""
        self.operations = [operation if operation.told is not None else operation.that_is_there()
                           for operation in self.operations[:count]]


# ---------------------------------------------------------------- shapes: (offset in the chain, length) of each range


def whole_page(_random, length, _end):
    return [(0, length)]


def part_of_page(random, length, _end):
    """What RWF_ATOMIC takes: a power of two, at a multiple of itself."""
    size = random.choice((length, length, length // 2, length // 4))
    return [(random.randrange(length // size) * size, size)]


def blocks(random, length, _end):
    """What a command takes: any number of blocks, anywhere."""
    count = random.randrange(1, PAGE // payload.BLOCK + 1)
    return [(random.randrange(length // payload.BLOCK - count + 1) * payload.BLOCK, count * payload.BLOCK)]


def scattered(random, length, _end):
    """Any bytes: a few ranges of any length, which may touch and overlap."""
    ranges = []
    for _ in range(random.choice((1, 2, 3, 5))):
        size = random.choice((random.randrange(1, 600), 4 * KIB, random.randrange(1, 24 * KIB)))
        ranges.append((random.randrange(length - size + 1), size))
    return ranges


def growing(random, length, end):
    """Behind the end, or with a hole between, and something before it in the same operation; until all is there."""
    size = random.choice((random.randrange(1, 600), 4 * KIB, random.randrange(1, 12 * KIB)))
    begin = end + random.choice((0, 0, 1, random.randrange(6000)))
    if begin + size > length:
        return scattered(random, length, end)
    before = random.randrange(1, 6000)
    return [(begin, size)] + ([(random.randrange(end - before + 1), before)] if end > before else [])
