"""What the power cuts rest on, without a machine: what a drive may keep, and that a judge sees what is wrong."""

import unittest
from random import Random

import check
import payload
import workload
from disk import BLOCK, CHUNK, POLICIES, Content, Image, Record, policy, tear

RUN = 7


def block(number):
    return bytes([number]) * BLOCK


class ContentTests(unittest.TestCase):
    def test_writes_anywhere_read_back_and_copies_are_apart(self):
        random, content, plain = Random(1), Content(), bytearray(5 * CHUNK)
        for _ in range(500):
            offset = random.randrange(len(plain))
            data = random.randbytes(min(random.randrange(1, 2 * CHUNK), len(plain) - offset))
            data = random.choice((data, bytes(len(data))))
            before, copy = bytes(plain), content.copy()
            content.write(offset, data)
            plain[offset:offset + len(data)] = data
            self.assertEqual(content.read(0, len(plain)), plain)
            self.assertEqual(copy.read(0, len(plain)), before)


class RecordTests(unittest.TestCase):
    def setUp(self):
        self.record = Record(Content(), 2 * BLOCK)

    def image(self, moment, kept):
        return Image(self.record, moment, kept).content.read(0, 4 * BLOCK)

    def test_a_flush_covers_what_had_ended_when_it_came(self):
        first = self.record.add(0, block(1), 1)
        first.ended = 2
        self.record.add(BLOCK, block(2), 3)
        covered = self.record.begin_flush()
        self.record.writes[1].ended = 4
        self.record.end_flush(covered, 5)
        self.assertEqual(self.image(5, lambda write: False), block(1) + bytes(3 * BLOCK))
        self.assertEqual(self.image(4, lambda write: False), bytes(4 * BLOCK))

    def test_what_was_not_sent_is_not_there(self):
        self.record.add(0, block(1), 1)
        self.record.add(0, block(2), 2)
        self.assertEqual(self.image(1, lambda write: True)[:BLOCK], block(1))

    def test_an_older_write_never_comes_over_a_newer_durable_one(self):
        self.record.add(0, block(1), 1)
        newer = self.record.add(0, block(2), 2)
        newer.ended = newer.durable = 3
        self.assertEqual(self.image(3, lambda write: True)[:BLOCK], block(2))

    def test_writes_that_overlap_on_their_way_are_counted(self):
        first = self.record.add(0, block(1) * 2, 1)
        self.record.add(2 * BLOCK, block(2), 2)
        self.assertEqual(self.record.crossings, 0)
        self.record.add(BLOCK, block(3) * 2, 3)
        self.assertEqual(self.record.crossings, 1)
        first.ended = 4
        self.record.add(0, block(4), 5)
        self.assertEqual(self.record.crossings, 1)

    def test_nothing_is_torn_where_the_beginning_is_whole(self):
        self.record.whole_begin = BLOCK
        data = b"".join(block(number) for number in range(1, 5))
        self.record.add(0, data, 1)
        for seed in range(100):
            for name in POLICIES:
                image = self.image(1, policy(name, Random(seed), self.record, 1))
                self.assertIn(image, (data, bytes(4 * BLOCK)))

    def test_nothing_within_the_unit_is_torn_by_any_rule(self):
        random = Random(2)
        for number in range(40):
            self.record.add(random.randrange(2) * BLOCK, block(number) * random.choice((1, 2, 3)), number)
        torn = 0
        for name in POLICIES * 20:
            torn += Image(self.record, 40, policy(name, random, self.record, 40)).torn
        self.assertGreater(torn, 20)
        with self.assertRaises(ValueError):
            Image(self.record, 40, lambda write: [True] + [False] * (len(write.data) // BLOCK - 1))

    def test_a_tear_keeps_some_and_drops_some(self):
        write = self.record.add(0, block(1) * 4, 1)
        for seed in range(200):
            kept = tear(Random(seed), write)
            self.assertEqual(len(kept), 4)
            self.assertEqual({True, False}, set(kept))


class JudgeTests(unittest.TestCase):
    def setUp(self):
        self.random = Random(3)
        self.chain = workload.Chain(100, 4096, 128 * 1024, workload.scattered, 128 * 1024, payload.ATOMIC)
        for _ in range(12):
            self.chain.next(self.random, RUN)
        self.states = [bytes(state) for state in self.chain.states(12)]

    def judge(self, found, sent=12, told=10):
        return check.chain(found, self.chain, RUN, sent, told).kind

    def test_what_was_told_and_more_is_whole(self):
        self.assertEqual([self.judge(self.states[count]) for count in range(13)], [check.LOST] * 10 + [check.WHOLE] * 3)

    def test_what_one_cut_has_left_is_not_lost_by_the_next(self):
        for number, operation in enumerate(self.chain.operations):
            operation.issued, operation.told = number, None if number == 4 else number
        self.chain.settle(5)
        self.assertEqual(self.chain.told(100), 5)
        self.assertEqual(self.judge(self.states[4], sent=5, told=self.chain.told(100)), check.LOST)

    def test_what_nobody_has_sent_is_not_whole(self):
        self.assertEqual(self.judge(self.states[12], sent=11), check.TORN)

    def test_one_block_of_an_older_state_is_torn(self):
        older, newer = self.states[9], self.states[12]
        seen = 0
        for at in range(0, len(newer), BLOCK):
            found = newer[:at] + older[at:at + BLOCK] + newer[at + BLOCK:]
            if found not in self.states:
                seen += found != newer
                self.assertEqual(self.judge(found), check.TORN)
        self.assertGreater(seen, 0)

    def test_an_operation_left_out_is_torn(self):
        found = bytearray(self.chain.length)
        for operation in self.chain.operations[:10] + self.chain.operations[11:]:
            for offset, data in operation.ranges:
                found[offset - 4096:offset - 4096 + len(data)] = data
        self.assertEqual(self.judge(bytes(found)), check.TORN)

    def test_a_file_that_grows_has_its_length(self):
        tail = workload.Chain(100, 0, 192 * 1024, workload.growing, 0, payload.ATOMIC)
        for _ in range(8):
            tail.next(self.random, RUN)
        states = [bytes(state) for state in tail.states(8)]
        self.assertLess(len(states[4]), len(states[8]))
        self.assertEqual(check.chain(states[8], tail, RUN, 8, 8).kind, check.WHOLE)
        self.assertEqual(check.chain(states[8][:-1], tail, RUN, 8, 8).kind, check.TORN)
        self.assertEqual(check.chain(states[8] + b"\0", tail, RUN, 8, 8).kind, check.TORN)

    def test_every_mixed_page_is_reported_and_no_other(self):
        page = 8 * BLOCK
        old, new = (payload.make(payload.PLAIN, RUN, 0, version, 0, page) for version in (1, 2))
        for mask in range(256):
            found = b"".join((new if mask >> number & 1 else old)[number * BLOCK:(number + 1) * BLOCK] for number in range(8))
            self.assertEqual(check.torn_pages(found, 0, page, RUN), {0} if 0 < mask < 255 else set())
        spoilt = bytearray(new)
        spoilt[700] ^= 1
        self.assertEqual(check.torn_pages(bytes(spoilt), 0, page, RUN), {0})

    def test_tears_that_are_made_are_known(self):
        page, record = 8 * BLOCK, Record(Content(), BLOCK)
        for version in (1, 2):
            data = payload.make(payload.PLAIN, RUN, 3, version, 3 * page, page)
            record.add(3 * page, data, version).marks = payload.marks(data, RUN, lambda owner: page)
        halves = [number < 4 for number in range(8)]
        for kept, torn in ((lambda write: True, set()), (lambda write: halves if write.issued == 2 else True, {(3, page)}),
                           (lambda write: False, set()), (lambda write: halves if write.issued == 1 else False, {(3, page)}),
                           (lambda write: halves if write.issued == 1 else True, set())):
            image = Image(record, 2, kept)
            self.assertEqual(image.torn_pages(), torn)
            self.assertEqual({at // page for at in check.torn_pages(image.content.read(0, 4 * page), 0, page, RUN)},
                             {owner for owner, _ in torn})


def holds():
    """Whether all is as it must be; what is not is printed."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(__import__("selftest"))
    return unittest.TextTestRunner(verbosity=0).run(suite).wasSuccessful()


if __name__ == "__main__":
    unittest.main()
