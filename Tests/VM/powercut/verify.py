"""`verify crash` held to power cuts: its workload runs in a machine, its log goes to another one, which is the session,
and its check says of what is left what is known of it from how it was made.
"""

import asyncio
import json

import disk
from session import Subject

MAGIC = b"nvatomV1"
WHOLE, DAMAGED, INCONCLUSIVE = 0, 1, 2


class Stamp:
    """What each block of `verify` begins with, read without the tool: see BlockStamp.swift."""

    def __init__(self, block):
        self.is_there = block[:8] == MAGIC
        self.sequence = int.from_bytes(block[16:24], "little") if self.is_there else 0


class VerifySubject(Subject):
    """The workload and the check of `verify crash` by the kernel path, on a drive of its own."""

    log = b""
    arrivals = ()

    def ports(self):
        return [self.path.name, f"{self.path.name}.log"]

    # ------------------------------------------------------------ writing

    async def write(self, port):
        """Until there is no power; the log comes by a port of its own."""
        self.began = self.session.clock.now
        self.drive.is_slow, self.log, self.arrivals = True, b"", []
        await self.session.all_ready()
        tasks = [asyncio.ensure_future(self._take_log()), asyncio.ensure_future(port.call({"do": "verify"}))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                raise RuntimeError(f"the workload ended: {each.result()}")
        finally:
            for task in tasks:
                task.cancel()

    async def _take_log(self):
        port = await self.session.port(f"{self.path.name}.log")
        while True:
            data = await port.reader.read(1 << 16)
            if not data:
                return
            self.log += data
            self.arrivals.append((self.session.clock.tick(), len(self.log)))
            self.lanes_told = self.log.count(b"\nacked ")

    # ------------------------------------------------------------ what is left

    def keep_record(self):
        """The moments at which there is a log."""
        if self.record is not None or not self.lanes_told:
            return
        self.record, self.end, self.recorded = self.drive.record, self.session.clock.now, self.log
        self.recorded_arrivals = list(self.arrivals)
        self.record_began = next(moment for moment, end in self.recorded_arrivals if b"\n" in self.log[:end])
        self.header = json.loads(self.log.split(b"\n")[0])
        self.slots_end = self.header["offset"] + self.header["blocks"] * self.header["block_size"]
        self.moments = {
            "told": [moment for moment, _ in self.recorded_arrivals if moment >= self.record_began],
            "flush": [each - 1 for each in self.record.flushes if each > self.record_began],
            "write": [write.issued for write in self.record.writes if write.issued > self.record_began],
            "any": range(self.record_began, self.end)}

    def rewind(self):
        """What images are of is judged by the log of the first power cut."""
        self.log, self.arrivals = self.recorded, self.recorded_arrivals

    def _log(self, moment):
        """What of it had come by then; a last line that is cut off as well."""
        return self.log[:max((end for at, end in self.arrivals if at <= moment), default=0)]

    def _operations(self):
        """Writes of the workload among those of the record."""
        return [write for write in self.record.writes
                if write.issued > self.record_began and write.offset < self.slots_end and Stamp(write.data).is_there]

    def _torn_controls(self):
        """Places of the control that hold blocks of several writes."""
        content, size, torn = self.image.content, self.header["control_size"], 0
        for place in range(self.header["controls"]):
            data = content.read(self.slots_end + place * size, size)
            torn += len({Stamp(data[at:at + disk.BLOCK]).sequence for at in range(0, size, disk.BLOCK)}) > 1
        return torn

    async def _ask(self, port, log, where):
        answer, _ = await port.call({"do": "judge"}, [(0, log)])
        if "error" in answer:
            raise RuntimeError(f"{where}: {answer['error']}")
        return answer["code"], answer["check"], answer["errors"].strip()

    async def _check_whole(self, port, log, where):
        """Nothing is wrong; and the control was torn, or nothing is shown."""
        code, found, errors = await self._ask(port, log, where)
        torn = self._torn_controls()
        self.tally.injected += torn
        self.tally.reported += found["control"]["torn"]
        self.tally.torn += found["found"]["torn"]
        self.tally.lost += found["found"]["lost"] + found["found"]["misordered"]
        self.tally.in_flight_there += found["operations_in_flight_seen"]
        self.tally.in_flight_gone += self.header["threads"] - found["operations_in_flight_seen"]
        codes = [each["code"] for each in found["findings"] if each["severity"] == "inconclusive"]
        wanted = (WHOLE, []) if torn else (INCONCLUSIVE, ["control-not-torn"])
        if log.count(b"\nacked ") == 0 or not log.endswith(b"\n") and log.count(b"\n") < 2:
            wanted = (INCONCLUSIVE, ["nothing-acknowledged"] + ([] if torn else ["control-not-torn"]))
        if found["control"]["torn"] != torn or (code, codes) != wanted:
            self.tally.fail(f"{where}: exit code {code}, {codes}, {found['control']['torn']} of {torn} torn controls; {errors} {found['damage']}")

    async def check_cut(self, port, stay):
        before = len(self.tally.failures)
        self.header = json.loads(self.log.split(b"\n")[0])
        self.slots_end = self.header["offset"] + self.header["blocks"] * self.header["block_size"]
        await self._check_whole(port, self.log, f"cut {self.tally.cuts + 1}")
        self.tally.cuts += 1
        if len(self.tally.failures) > before:
            raise RuntimeError("nothing is written to what is left")

    async def check_images(self, port, count):
        for number in range(count):
            moment, rule = self.moment(), disk.POLICIES[number % len(disk.POLICIES)]
            self._load(self._image(self.record, moment, rule))
            await self._check_whole(port, self._log(moment), f"image {number} at {moment} with {rule}")
            self.tally.images += 1

    # ------------------------------------------------------------ drives that break their word

    async def check_lying(self, port, count):
        """One that ignores flushes has lost something; one that tears within its unit has torn it."""
        for _ in range(count):
            await self._expect(port, *self._flushes_ignored(), ("lost", "misordered"))
            await self._expect(port, *self._torn_within_unit(), ("torn",))

    async def _expect(self, port, moment, text, kinds):
        self.drive.load(self.image.content, self.image.marks)
        self.tally.lying += 1
        code, found, errors = await self._ask(port, self._log(moment), text)
        if code == DAMAGED and any(found["found"][kind] for kind in kinds):
            self.tally.noticed += 1
        else:
            self.tally.fail(f"{text} is not noticed: exit code {code}, {found['found']}, {errors}")

    def _flushes_ignored(self):
        """From some moment on nothing is kept, though an operation that was sent since is acknowledged in the log."""
        operations = self._operations()
        numbers = {line.split(b" ")[1] for line in self.log.split(b"\n")[1:-1]}
        acknowledged = [each for each in operations if str(Stamp(each.data).sequence).encode() in numbers]
        since = self.random.choice(acknowledged).issued - 1
        self.image = disk.Image(self.record, since, lambda write: False)
        return self.end, f"a drive that has ignored flushes from {since} on"

    def _torn_within_unit(self):
        """The write that was sent last."""
        torn = self.random.choice(self._operations())
        self.record.unit = disk.BLOCK
        self.image = disk.Image(self.record, torn.issued, lambda write: disk.tear(self.random, write) if write is torn else True)
        self.record.unit = self.path.unit
        return torn.issued, f"a drive that tears within its unit at {torn.issued}"
