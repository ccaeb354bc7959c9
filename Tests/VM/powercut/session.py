"""Drives under one virtual machine: writes to them by several paths, cuts their power, and has what is left checked.

One process serves drives and lanes, one event after the other, so that there is one order of writes, their ends,
flushes, and of what was told. What a workload has told may come late: that weakens a check and makes none too strict,
as nothing is counted as told before its writes had ended.
"""

import asyncio
import json
import os
import struct
import sys
import time
from random import Random

import check
import payload
from disk import POLICIES, Image, policy
from nbd import Drive
from paths import CONTROL_PAGE, CONTROL_PAGES, FIRST_CHAIN

HERE = os.path.dirname(os.path.abspath(__file__))
FAILED = 0xFFFFFFFF
ONCE = 3             # operations of each path by the command, before the lanes begin
ENOUGH = 60          # operations of each path by its lanes, before the power is cut
FEWEST = 10          # that must be there by the time that is given them
MANY = 240           # from so many on a path leaves the machine to the others
MOST_SECONDS = 60    # for that
NESTED = 4           # one of so many images has recovery cut off, too


class Clock:
    """The one order of what happens, and whether there is power."""

    def __init__(self, random):
        self.random, self.power, self.now = random, 0, 0
        self.countdown, self.cut, self.is_on = None, None, False

    def tick(self):
        self.now += 1
        return self.now

    def sent(self):
        """A write has come: the power may be cut now."""
        if self.countdown is not None:
            self.countdown -= 1
            if self.countdown <= 0:
                self.cut()

    def turn_off(self):
        """Until another machine starts: the old one may live for a moment, and ask again."""
        self.countdown, self.is_on = None, False
        self.power += 1


class Port:
    """The host's side of a virtio-serial port."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def call(self, document, ranges=()):
        text = json.dumps(document).encode()
        self.writer.write(struct.pack("<I", len(text)) + text)
        if ranges:
            self.send(ranges)
        return await self.answer()

    async def answer(self):
        (length,) = struct.unpack("<I", await self.reader.readexactly(4))
        document = json.loads(await self.reader.readexactly(length))
        return document, await self.reader.readexactly(document["bytes"])

    def send(self, ranges):
        self.writer.write(struct.pack("<I", len(ranges)))
        for offset, data in ranges:
            self.writer.write(struct.pack("<QI", offset, len(data)) + data)

    async def number(self):
        (number,) = struct.unpack("<I", await self.reader.readexactly(4))
        if number == FAILED:
            (length,) = struct.unpack("<I", await self.reader.readexactly(4))
            raise RuntimeError((await self.reader.readexactly(length)).decode())
        return number


class Tally:
    """What one path has shown."""

    def __init__(self):
        self.images = self.cuts = self.nested = self.told = 0
        self.torn = self.lost = self.injected = self.reported = self.lying = self.noticed = 0
        self.dropped = self.torn_writes = self.in_flight_gone = self.in_flight_there = 0
        self.failures = []
        self.limits = None

    def fail(self, text):
        self.failures.append(text)


class Subject:
    """One path in a session: its drive, its chains, and what it has shown."""

    def __init__(self, path, session, number):
        self.path, self.session, self.number = path, session, number
        self.random = Random(f"{session.seed} {path.name}")
        self.run = Random(f"run {session.seed} {path.name}").getrandbits(64)
        self.tally, self.chains = Tally(), path.make_chains()
        self.versions = [0] * CONTROL_PAGES
        self.drive = Drive(path.size, path.unit, path.make_content(session.tree), session.clock, path.whole_begin)
        self.drive.marker = lambda data: payload.marks(data, self.run, path.page_length)
        self.image = self.record = self.began = self.record_began = self.end = self.recorded = None
        self.lanes_told, self.lane_counts = 0, {}

    def ports(self):
        """Names of what its machine is spoken with by, the first for requests."""
        name = self.path.name
        return [name, f"{name}.plain", *(f"{name}.{number}" for number in range(len(self.path.lanes)))]

    # ------------------------------------------------------------ writing

    async def write(self, port):
        """Operations by the command, and then by all lanes until there is no power."""
        self.began = self.session.clock.now
        self.drive.is_slow = True
        for _ in range(ONCE):
            chain = self.random.choice(self.chains)
            operation = self._begin(chain)
            answer, _ = await port.call({"do": "once"}, operation.ranges)
            if "error" in answer:
                raise RuntimeError(f"the command: {answer['error']}")
            self._told(operation)
        await self.session.all_ready()
        lanes = [self._plain_lane()] + [self._lane(number) for number in range(len(self.path.lanes))]
        tasks = [asyncio.ensure_future(lane) for lane in lanes]
        ended = asyncio.ensure_future(port.call({"do": "start"}))
        try:
            done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                answer, _ = each.result()
                raise RuntimeError(answer["error"])
        finally:
            for task in [ended, *tasks]:
                task.cancel()

    def _begin(self, chain):
        operation = chain.next(self.random, self.run)
        operation.issued = self.session.clock.tick()
        return operation

    def _told(self, operation):
        operation.told = self.session.clock.tick()

    async def _lane(self, number):
        """Each lane has chains of its own; by a queue and singly each operation is one range."""
        name, _, depth = self.path.lanes[number].partition(":")
        chains = self.chains[number::len(self.path.lanes)]
        self.lane_counts[number] = 0
        port = await self.session.port(f"{self.path.name}.{number}")
        while True:
            chosen = self.random.sample(chains, min(len(chains), int(depth or 1)))
            operations = [self._begin(chain) for chain in chosen]
            port.send([each for operation in operations for each in operation.ranges])
            for _ in operations:
                self._told(operations[await port.number()])
                self.lanes_told += 1
                self.lane_counts[number] += 1
            await asyncio.sleep(0 if self.lanes_told < MANY else 0.2)

    async def _plain_lane(self):
        """Pages longer than any unit, by ordinary writes, in the same stream."""
        port = await self.session.port(f"{self.path.name}.plain")
        while True:
            page = self.random.randrange(CONTROL_PAGES)
            self.versions[page] += 1
            offset = self.path.control_begin + page * CONTROL_PAGE
            port.send([(offset, payload.make(payload.PLAIN, self.run, page, self.versions[page], offset, CONTROL_PAGE))])
            await port.number()
            await asyncio.sleep(0.002)

    # ------------------------------------------------------------ what is left

    def cut(self):
        """Now, by chance: what was not durable is kept, dropped or torn, and the drive goes on with that."""
        if self.drive.record.crossings:
            self.tally.fail(f"{self.drive.record.crossings} writes overlapped others on their way, whose order is not tried out")
        self._load(self._image(self.drive.record, self.session.clock.now, "any"))

    def _image(self, record, moment, rule):
        return Image(record, moment, policy(rule, self.random, record, moment))

    def _load(self, image):
        self.image = image
        self.drive.load(image.content, image.marks)
        self.tally.dropped += image.dropped
        self.tally.torn_writes += image.torn

    def keep_record(self):
        """The first power cut's: what images are built from."""
        if self.record is not None or self.began is None:
            return
        self.record, self.record_began, self.end = self.drive.record, self.began, self.session.clock.now
        self.recorded = [list(chain.operations) for chain in self.chains]
        told = [operation.told for operations in self.recorded for operation in operations if operation.told is not None]
        self.moments = {
            "told": [each for each in told if each <= self.end],
            # Until then a file's journal was made.
            "first": range(self.began, min(told, default=self.end)),
            "flush": [each - 1 for each in self.record.flushes if each > self.began],
            "write": [write.issued for write in self.record.writes if write.issued > self.began],
            "any": range(self.began, self.end)}

    def rewind(self):
        """What images are of was written before the first power cut."""
        for chain, operations in zip(self.chains, self.recorded):
            chain.operations = operations

    def moment(self):
        """Of the recorded stream: at or just before something that matters, or any."""
        first = 2 if self.path.makes_journal else 0
        kind = self.random.choices(("told", "flush", "write", "any", "first"), (2, 3, 4, 1, first))[0]
        return self.random.choice(self.moments[kind] or self.moments["any"])

    async def check_images(self, port, count):
        """Images of the recorded stream, the extreme ones first; of some, recovery is cut off, too."""
        for number in range(count):
            moment = self.moment()
            rule = POLICIES[number % len(POLICIES)]
            self._load(self._image(self.record, moment, rule))
            where = f"image {number} at {moment} with {rule}"
            await self._check(port, moment, where)
            self.tally.images += 1
            if number % NESTED == NESTED - 1 and self.path.recovers:
                await self._check_nested(port, moment, where)

    async def _check_nested(self, port, moment, where):
        """Recovery writes, too: its own record is cut off at any moment, and what is left recovered again."""
        record = self.drive.record
        if not record.writes:
            return
        cut = self.random.randint(record.writes[0].issued, self.session.clock.now)
        self._load(self._image(record, cut, self.random.choice(POLICIES)))
        await self._check(port, moment, f"{where}, recovery cut off")
        self.tally.nested += 1

    async def check_cut(self, port, stay):
        """What a real cut has left; what is there counts from now on."""
        moment = self.session.clock.now
        before = len(self.tally.failures)
        found = await self._check(port, moment, f"cut {self.tally.cuts + 1}", stay)
        self.tally.cuts += 1
        if len(self.tally.failures) > before:
            raise RuntimeError("nothing is written to what is left")
        for chain, finding in zip(self.chains, found):
            chain.settle(finding.count)

    async def _check(self, port, moment, where, stay=False):
        answer, data = await port.call({"do": "recover", "stay": stay})
        if "error" in answer:
            self.tally.fail(f"{where}: {answer['error']}")
            return []
        data = self._parts(answer, data)
        findings = [] if self.path.is_control else self._judge(data, moment)
        for chain, finding in zip(self.chains, findings):
            if finding.kind == check.WHOLE and chain.told(moment) < chain.sent(moment):
                self.tally.in_flight_gone += finding.count == chain.told(moment)
                self.tally.in_flight_there += finding.count > chain.told(moment)
        for finding in findings:
            if finding.kind != check.WHOLE:
                self.tally.fail(f"{where}: {finding.kind}: {finding.text}")
        self.tally.torn += sum(each.kind == check.TORN for each in findings)
        self.tally.lost += sum(each.kind == check.LOST for each in findings)
        self._judge_plain(data, where)
        return findings

    def _parts(self, answer, data):
        """What was read of the chains, behind them, where a file may end anywhere, and of the pages beside."""
        parts, lengths = [], answer["lengths"]
        for length in lengths:
            parts.append(data[:length])
            data = data[length:]
        return {"data": parts[0], "tail": parts[1] if len(parts) == 3 else b"", "beside": parts[-1]}

    def _judge(self, data, moment):
        found = []
        for chain in self.chains:
            part, begin = ("tail", 0) if chain.begin == self.path.tail_begin else ("data", chain.begin - self.path.data_begin)
            found.append(check.chain(data[part][begin:begin + chain.length], chain, self.run, chain.sent(moment), chain.told(moment)))
        return found

    def _judge_plain(self, data, where):
        """Who judges sees exactly the tears that were made."""
        path = self.path
        pages = check.torn_pages(data["beside"], path.control_begin, CONTROL_PAGE, self.run)
        reported = {("beside", begin) for begin in pages}
        if path.is_control:
            pages = check.torn_pages(data["data"], path.data_begin, path.chain_length, self.run)
            reported |= {("data", begin) for begin in pages}
        injected = {self._page_begin(owner) for owner, _ in self.image.torn_pages()}
        self.tally.injected += len(injected)
        self.tally.reported += len(injected & reported)
        if injected != reported:
            self.tally.fail(f"{where}: plain pages torn: {sorted(injected)}, reported: {sorted(reported)}")

    def _page_begin(self, owner):
        if owner < CONTROL_PAGES:
            return "beside", self.path.control_begin + owner * CONTROL_PAGE
        return "data", self.path.data_begin + (owner - FIRST_CHAIN) * self.path.chain_length

    # ------------------------------------------------------------ a drive that ignores flushes

    async def check_lying(self, port, count):
        """From a flush on, nothing reaches stable storage whatever is told: writes told as done since are gone."""
        for _ in range(count):
            since, moment, chains = self._lie()
            if not chains:
                self.tally.fail("no moment at which a lying drive loses what was told")
                return
            self.image = Image(self.record, since, lambda write: False)
            self.drive.load(self.image.content, self.image.marks)
            answer, data = await port.call({"do": "recover"})
            self.tally.lying += 1
            if "error" in answer:
                self.tally.fail(f"what was durable at {since}, and nothing else: {answer['error']}")
                continue
            parts = self._parts(answer, data)
            # For a drive that has lost its power then, this is right.
            for finding in self._judge(parts, since):
                if finding.kind != check.WHOLE:
                    self.tally.fail(f"what was durable at {since}, and nothing else: {finding.kind}: {finding.text}")
            lost = {number for number, finding in enumerate(self._judge(parts, moment)) if finding.kind == check.LOST}
            if chains <= lost:
                self.tally.noticed += 1
            else:
                self.tally.fail(f"a drive that has ignored flushes from {since} to {moment} is not noticed for chains {chains - lost}")

    def _lie(self):
        """(since when, until when, chains of which something was told between)."""
        flushes = [each for each in self.record.flushes if self.record_began < each < self.end]
        for _ in range(100):
            since, moment = sorted((self.random.choice(flushes), self.random.randint(self.record_began, self.end)))
            chains = {number for number, chain in enumerate(self.chains) if chain.told(moment) > chain.sent(since)}
            if chains:
                return since, moment, chains
        return None, None, set()


class Session:
    """Some of the paths, under one virtual machine at a time."""

    def __init__(self, options, paths, folder, number, kinds):
        """`kinds` has a class for each path that is no Subject."""
        self.options, self.folder, self.number = options, folder, number
        self.seed, self.tree = options.seed, options.tree
        self.clock = Clock(Random(f"{options.seed} session {number}"))
        self.clock.cut = self._cut
        self.subjects = [kinds.get(path.name, Subject)(path, self, index) for index, path in enumerate(paths)]
        self.connections, self.servers = {}, []
        self.is_cut = None

    def say(self, text):
        """How far it is, for who looks."""
        if self.options.verbose:
            print(f"[{time.monotonic() - self.options.began:5.1f}] {text}", file=sys.stderr, flush=True)

    async def run(self):
        await self._serve()
        try:
            for number in range(self.options.cuts):
                await self._boot(self._write, number)
            await self._boot(self._check, self.options.cuts)
        finally:
            for server in self.servers:
                server.close()

    # ------------------------------------------------------------ sockets

    async def _serve(self):
        for subject in self.subjects:
            await self._listen(f"{subject.path.name}.drive", subject.drive.serve)
        for name in self._port_names():
            await self._listen(f"{name}.port", lambda reader, writer, name=name: self._connected(name, reader, writer))

    async def _listen(self, name, handler):
        path = f"{self.folder}/{name}"
        self.servers.append(await asyncio.start_unix_server(handler, path, limit=1 << 20))

    def _port_names(self):
        return ["session", *(port for subject in self.subjects for port in subject.ports())]

    async def _connected(self, name, reader, writer):
        self.connections[name].set_result(Port(reader, writer))

    async def port(self, name):
        return await self.connections[name]

    def _devices(self):
        """Ports on a bus for each path: of many on one, QEMU drops words about whose other side is there."""
        words = self._ports("session", ["session"])
        for subject in self.subjects:
            words += self._ports(subject.path.name, subject.ports())
            name, unit = subject.path.name, subject.path.unit
            words += ["-blockdev", f"driver=nbd,node-name={name},server.type=unix,server.path={self.folder}/{name}.drive",
                      "-device", f"virtio-blk-pci,drive={name},serial={name},physical_block_size={unit},request-merging=off"]
        return "\n".join(words)

    def _ports(self, bus, names):
        words = ["-device", f"virtio-serial-pci,id=bus-{bus}"]
        for name in names:
            words += ["-chardev", f"socket,id=port-{name},path={self.folder}/{name}.port",
                      "-device", f"virtserialport,bus=bus-{bus}.0,chardev=port-{name},name={name}"]
        return words

    # ------------------------------------------------------------ one boot

    async def _boot(self, work, number):
        """Boots, has every path worked on, and ends the machine, which is off as soon as its drives answer no more."""
        self.connections = {name: asyncio.get_running_loop().create_future() for name in self._port_names()}
        self.is_cut = asyncio.Event()
        self.clock.is_on = True
        process = await asyncio.create_subprocess_exec(
            f"{HERE}/../rig", "boot", *self._keep(work, number), "--kernel", self.options.kernel, "--group", "../powercut", "--tool", self.options.tool,
            "--beside", self.options.writer, "--timeout", str(self._seconds()), env=os.environ | {"NVME_ATOMIC_POWER_CUTS": self._devices()},
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
        working = asyncio.ensure_future(self._work(work, number))
        errors = asyncio.ensure_future(process.stderr.read())
        try:
            await asyncio.wait([working, errors], return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise RuntimeError(f"the guest ended by itself: {errors.result().decode()}")
            working.result()
        finally:
            working.cancel()
            if process.returncode is None:
                process.terminate()
            await process.wait()
            self.clock.turn_off()

    def _keep(self, work, number):
        keep = self.options.keep
        return ["--keep", f"{keep}/{self.number}{work.__name__}{number}"] if keep else []

    def _seconds(self):
        """A machine that takes longer hangs."""
        return 240 + 4 * self.options.images * len(self.subjects)

    async def _work(self, work, number):
        session = await self.port("session")
        plan = [subject.path.plan(subject.number) for subject in self.subjects]
        text = json.dumps(plan).encode()
        session.writer.write(struct.pack("<I", len(text)) + text)
        await work(number)

    async def _write(self, number):
        self.clock.countdown = None
        for subject in self.subjects:
            subject.lanes_told, subject.lane_counts = 0, {}
            subject.drive.is_slow = False
        self.waiting, self.are_ready = len(self.subjects), asyncio.Event()
        tasks = [asyncio.ensure_future(self._write_path(subject, number)) for subject in self.subjects]
        ready = asyncio.ensure_future(self._cut_when_enough())
        cut = asyncio.ensure_future(self.is_cut.wait())
        await asyncio.wait([cut])
        for task in [ready, *tasks]:
            task.cancel()
        await asyncio.gather(ready, *tasks, return_exceptions=True)

    async def _write_path(self, subject, number):
        try:
            port = await self.port(subject.path.name)
            await self._attach(subject, port)
            self.say(f"{subject.path.name} attached")
            if number == 0:
                answer, _ = await port.call({"do": "make"})
                if "error" in answer:
                    raise RuntimeError(answer["error"])
            else:
                await subject.check_cut(port, stay=True)
            self.say(f"{subject.path.name} ready")
            await subject.write(port)
        except Exception as error:
            if not self.is_cut.is_set():
                self.say(f"{subject.path.name}: {error!r}")
                self.arrive()
                subject.tally.fail(f"cut {number + 1}: {type(error).__name__}: {error}")

    def arrive(self):
        """A path has come as far as it can alone: the lanes of all begin together."""
        self.waiting -= 1
        if self.waiting <= 0:
            self.are_ready.set()

    async def all_ready(self):
        self.arrive()
        await self.are_ready.wait()

    async def _attach(self, subject, port):
        answer, _ = await port.call({"do": "attach"})
        if "error" in answer:
            raise RuntimeError(answer["error"])
        subject.tally.limits = answer["queue"]["atomic_write_unit_max_bytes"]

    async def _cut_when_enough(self):
        """Once every path has done something, at the next write but so many."""
        loop = asyncio.get_running_loop()
        deadline = None
        while True:
            await asyncio.sleep(0.05)
            if deadline is None and all(subject.lanes_told or subject.tally.failures for subject in self.subjects):
                deadline = loop.time() + MOST_SECONDS
            if deadline is None:
                continue
            if loop.time() > deadline or all(
                    subject.lanes_told >= ENOUGH or subject.tally.failures for subject in self.subjects):
                self.clock.countdown = self.clock.random.randint(1, 300)
                break
        # Where nobody writes any more there is no next write.
        await asyncio.sleep(MOST_SECONDS)
        self._cut()

    def _cut(self):
        """The moment itself: from here on nothing is taken, and nothing told."""
        self.clock.turn_off()
        for subject in self.subjects:
            subject.keep_record()
            subject.tally.told += subject.lanes_told
            for number in range(len(subject.path.lanes)):
                if not subject.lane_counts.get(number):
                    subject.tally.fail(f"lane {number} has done nothing before a cut")
            if subject.lanes_told < FEWEST:
                subject.tally.fail(f"{subject.lanes_told} operations before a cut")
            subject.cut()
        self.is_cut.set()
        self.say(f"cut; operations of lanes: {[(each.path.name, each.lanes_told) for each in self.subjects]}")

    async def _check(self, _number):
        await asyncio.gather(*(self._check_path(subject) for subject in self.subjects))

    async def _check_path(self, subject):
        subject.drive.is_slow = False
        try:
            port = await self.port(subject.path.name)
            await self._attach(subject, port)
            await subject.check_cut(port, stay=False)
            if subject.record is None:
                raise RuntimeError("nothing was recorded")
            subject.rewind()
            self.say(f"{subject.path.name} checked after the cut")
            await subject.check_images(port, self.options.images)
            self.say(f"{subject.path.name} images checked")
            if not subject.path.is_control:
                await subject.check_lying(port, max(1, self.options.images // 10))
        except Exception as error:
            self.say(f"{subject.path.name}: {error!r}")
            subject.tally.fail(f"check: {type(error).__name__}: {error}")
