"""The independent judge: what is on a target after a power cut, against what was sent and what was told.

It knows nothing of the tool: it is given bytes that were read after recovery, and the operations of each chain.
"""

import payload

WHOLE, LOST, TORN = "whole", "lost", "torn"


class Finding:
    """What one chain holds: the first `count` operations, or no such state at all."""

    def __init__(self, kind, count, text=""):
        self.kind, self.count, self.text = kind, count, text


def chain(found, one, run, sent, told):
    """`found` is the chain's bytes; what `told` to `sent` operations leave is expected."""
    alike = [count for count, state in enumerate(one.states(sent)) if found == state]
    if not alike:
        return Finding(TORN, None, _describe(found, one, run, sent, told))
    if alike[-1] >= told:
        return Finding(WHOLE, alike[-1])
    return Finding(LOST, alike[-1], f"chain {one.owner}: holds {alike[-1]} operations, {told} were told as done")


def _describe(found, one, run, sent, told):
    """Which blocks are not of the state that is nearest."""
    wrong = {count: _unlike(found, state) for count, state in enumerate(one.states(sent))}
    nearest = min(wrong, key=lambda count: len(wrong[count]))
    seen = []
    for at in wrong[nearest][:4]:
        mark = payload.read(found[at:at + payload.BLOCK], payload.ATOMIC, run)
        seen.append(f"{one.begin + at}: " + (f"operation {mark[1]}" if mark else "no whole block"))
    return (f"chain {one.owner}: no state of {told} to {sent} operations; nearest {nearest}, "
            f"{len(wrong[nearest])} blocks differ: {'; '.join(seen)}")


def _unlike(found, wanted):
    length = max(len(found), len(wanted))
    return [at for at in range(0, length, payload.BLOCK) if found[at:at + payload.BLOCK] != wanted[at:at + payload.BLOCK]]


def torn_pages(found, begin, page_length, run):
    """Pages of plain writes, by their begin, in which blocks of several versions lie, or none that can be read."""
    torn = set()
    for at in range(0, len(found), page_length):
        versions = set()
        for place in range(at, at + page_length, payload.BLOCK):
            block = found[place:place + payload.BLOCK]
            mark = payload.read(block, payload.PLAIN, run)
            if mark and mark[2] == begin + place:
                versions.add(mark[1])
            else:
                versions.add(0 if block.count(0) == payload.BLOCK else (place, "unreadable"))
        if len(versions) > 1:
            torn.add(begin + at)
    return torn
