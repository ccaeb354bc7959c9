"""Many atomic writes on their way at once, on a real NVMe driver: the kernel's traps, and the tool clear of them."""

import json
import os
import signal
import struct
import subprocess
import threading

from batch import atomic_writes
from checks import cell, check, finish, note, verdict
from commands import TOOL, mounted, run, succeed, tool
from contract import breaches
from direct_io import atomic_write, read_direct
import drives

KIB, MIB = 1024, 1024 * 1024
STAMP_EVERY = 4096
AREA = 4 * KIB * KIB


def main():
    for part in (test_trap, test_fixed_buffers, test_append, test_sequential, test_threads, test_engines, test_limits, test_short_queue, test_shared_flush, test_no_flush, test_cached_readers, test_signal, test_removal):
        with cell(part.__name__):
            part()
    finish()


def node(serial):
    return "/dev/" + drives.namespace_node(serial)


def load(name, path, block, *options, code=0):
    result = tool("write", path, "--json", "--overwrite-existing-data", "--block-size", block, *options)
    verdict(f"{name} exit code", result.code == code, code, f"{result.code} {result.errors.strip()} {result.output[:300]}")
    return result.json


def written(path, block, blocks, first=0):
    """Which write each block holds; a list of complaints is in its place where the stamps disagree."""
    found = []
    data = read_direct(path, first * block, blocks * block)
    for number in range(blocks):
        stamps = [struct.unpack_from("<QQ", data, place) for place in range(number * block, (number + 1) * block, STAMP_EVERY)]
        places = [(first + number) * block + step * STAMP_EVERY for step in range(len(stamps))]
        whole = len({stamp[0] for stamp in stamps}) == 1 and [stamp[1] for stamp in stamps] == places
        found.append(stamps[0][0] if whole else f"torn block {first + number}: {stamps[:4]}")
    return found


def last_of_each(count, blocks):
    """What a sequential load that goes round leaves."""
    return [max(range(block, count, blocks)) for block in range(blocks)]


# ---------------------------------------------------------------- neighbours


def test_trap():
    """The kernel, without the tool: neighbours of one batch are joined and then refused, all of them."""
    path = node("wide")
    limits = drives.queue(path[5:])
    verdict("trap: the queue joins more than it takes",
            limits["atomic_write_max_bytes"] > limits["atomic_write_unit_max_bytes"] > 0, "max > unit_max", limits)
    length = limits["atomic_write_unit_max_bytes"]
    before = read_direct(path, 0, 4 * length)
    batch = [(number * length, os.urandom(length)) for number in range(4)]
    check("trap: neighbours in one batch are refused", {"EINVAL"}, set(atomic_writes(path, batch)))
    check("trap: nothing was written", True, read_direct(path, 0, 4 * length) == before)
    apart = [(number * 2 * length, data) for number, (_, data) in enumerate(batch)]
    check("trap: apart they are taken", {length}, set(atomic_writes(path, apart)))
    drives.write(drives.queue_setting(path[5:], "nomerges"), 2)
    check("trap: nomerges keeps them apart", {length}, set(atomic_writes(path, batch)))
    drives.write(drives.queue_setting(path[5:], "nomerges"), 0)


def test_fixed_buffers():
    """The kernel takes no RWF_ATOMIC with registered buffers; the tool's queue owns buffers and registers none there."""
    path = node("even")
    job = ["fio", "--name=job", f"--filename={path}", "--rw=write", "--bs=16k", "--size=64k", "--direct=1", "--ioengine=io_uring", "--atomic=1"]
    check("trap: without registered buffers", 0, run(job).code)
    fixed = run([*job, "--fixedbufs=1"])
    verdict("trap: with registered buffers", fixed.code != 0 and "Invalid argument" in fixed.errors + fixed.output, "EINVAL",
            f"{fixed.code} {(fixed.errors + fixed.output)[:300]}")
    document = load("queue-owned buffers", path, 16 * KIB, "--count", 64, "--engine", "io_uring", "--queue-depth", 8)
    check("queue-owned buffers write", (64, None), (document["operations"], document["error"]))


def test_append():
    """With O_APPEND the offset means nothing and the write lands at the end; the tool never opens so, and has no append."""
    path = node("gone")
    succeed("mkfs.xfs", "-q", "-K", path)
    with mounted(path, "/tmp/append"):
        file = "/tmp/append/file"
        with open(file, "wb") as made:
            made.write(bytes(64 * KIB))
            os.fsync(made.fileno())
        data = os.urandom(16 * KIB)
        result = atomic_write(file, 0, data, open_flags=os.O_DIRECT | os.O_APPEND)
        contents = read_direct(file, 0, 128 * KIB)
        verdict("trap: appended, refused or elsewhere", contents[:16 * KIB] != data, "not at 0", result)
        note(f"RWF_ATOMIC with O_APPEND gave {result}, and the file has {os.path.getsize(file)} bytes")
        with open("/tmp/input", "wb") as input_file:
            input_file.write(data)
        size = os.path.getsize(file)
        once = tool("write", file, "--path", "kernel", "--at", 0, "--input", "/tmp/input", "--json")
        # Linux 6.12 has no RWF_ATOMIC on files.
        taken = result == len(data)
        check("the tool's lands where it was told", (0 if taken else 2, taken, size),
              (once.code, read_direct(file, 0, 16 * KIB) == data, os.path.getsize(file)))
    wipe(path)


def wipe(path):
    """The removal test wants the device without a filesystem."""
    with open(path, "r+b") as device:
        device.write(bytes(1 << 20))
        os.fsync(device.fileno())


def test_sequential():
    resent = 0
    for serial in ("wide", "even"):
        path = node(serial)
        for scheduler in schedulers(path):
            drives.write(drives.queue_setting(path[5:], "scheduler"), scheduler)
            for nomerges in (0, 1, 2):
                drives.write(drives.queue_setting(path[5:], "nomerges"), nomerges)
                for block in (16 * KIB,) if serial == "even" else (16 * KIB, 64 * KIB):
                    blocks, count = AREA // block, AREA // block + 60
                    name = f"sequential {serial} {scheduler} nomerges {nomerges} of {block}"
                    document = load(name, path, block, "--count", count, "--pattern", "sequential", "--range", f"0:{AREA}",
                                    "--engine", "io_uring", "--queue-depth", 32)
                    check(f"{name} writes", (count, None), (document["operations"], document["error"]))
                    check(f"{name} data", last_of_each(count, blocks), written(path, block, blocks))
                    resent += document["resent"]
            drives.write(drives.queue_setting(path[5:], "nomerges"), 0)
        drives.write(drives.queue_setting(path[5:], "scheduler"), "none")
    note(f"writes sent again singly: {resent}")


def test_threads():
    """Neighbours of two threads can meet in a scheduler, where no batch keeps them apart."""
    path = node("wide")
    for scheduler in schedulers(path):
        drives.write(drives.queue_setting(path[5:], "scheduler"), scheduler)
        for engine, depth in (("sync", 1), ("io_uring", 16)):
            name = f"threads {scheduler} {engine}"
            blocks = 16
            document = load(name, path, 64 * KIB, "--count", 400, "--pattern", "sequential", "--range", f"0:{blocks * 64 * KIB}",
                            "--engine", engine, "--queue-depth", depth, "--threads", 4)
            check(f"{name} writes", (400, None), (document["operations"], document["error"]))
            check(f"{name} data", [], [each for each in written(path, 64 * KIB, blocks) if isinstance(each, str)])
    drives.write(drives.queue_setting(path[5:], "scheduler"), "none")


def schedulers(path):
    known = drives.read(drives.queue_setting(path[5:], "scheduler")).replace("[", "").replace("]", "").split()
    return [name for name in ("none", "mq-deadline") if name in known]


# ---------------------------------------------------------------- every engine


def test_engines():
    for serial in ("wide", "even"):
        path = node(serial)
        for engine, depth, threads in (("sync", 1, 1), ("sync", 1, 3), ("io_uring", 1, 1), ("io_uring", 7, 1), ("io_uring", 32, 2)):
            for durable in ("none", "each", "end"):
                name = f"random {serial} {engine} depth {depth} threads {threads} durable {durable}"
                document = load(name, path, 16 * KIB, "--count", 300, "--seed", 3, "--range", f"0:{AREA}", "--engine", engine,
                                "--queue-depth", depth, "--threads", threads, "--durable", durable)
                check(f"{name} writes", (300, "kernel", durable != "none"),
                      (document["operations"], document["path"], document["durable"]))
                # Until the flush that it shares a write is in the cache.
                sure = durable == "each" and depth == 1
                check(f"{name} promise", ("yes" if sure else "assumed", "hardware"), (document["power_fail_atomic"], document["backing"]))
                check(f"{name} data", [], [each for each in written(path, 16 * KIB, AREA // 16 // KIB) if isinstance(each, str)])
    document = load("strict", path, 16 * KIB, "--count", 300, "--engine", "io_uring", "--queue-depth", 32, "--durable", "each", "--strict")
    check("strict sends FUA with each", ("yes", True), (document["power_fail_atomic"], document["durable"]))
    document = load("device bytes", node("even"), 16 * KIB, "--count", 200)
    check("device bytes are counted", (200 * 16 * KIB, 1), (document["device_bytes_written"], document["write_amplification"]))


def test_limits():
    for serial in ("wide", "even"):
        path = node(serial)
        unit = drives.queue(path[5:])["atomic_write_unit_max_bytes"]
        for engine, depth in (("sync", 1), ("io_uring", 8)):
            options = ("--count", 20, "--engine", engine, "--queue-depth", depth, "--range", f"0:{AREA}")
            document = load(f"limits {serial} {engine} the largest", path, unit, *options)
            check(f"limits {serial} {engine} the largest writes", 20, document["operations"])
            before = read_direct(path, 0, AREA)
            document = load(f"limits {serial} {engine} twice as large", path, 2 * unit, *options, code=2)
            check(f"limits {serial} {engine} refusal", ("exceeds-limit", "not-written"),
                  (document["error"]["code"], document["error"]["outcome"]))
            check(f"limits {serial} {engine} refusal changes nothing", True, read_direct(path, 0, AREA) == before)
            load(f"limits {serial} {engine} plain", path, 2 * unit, *options, "--path", "plain")
            # Of several commands, which RWF_NOWAIT would refuse.
            load(f"limits {serial} {engine} plain, large", path, MIB, "--count", 8, "--engine", engine, "--queue-depth", depth,
                 "--range", f"0:{AREA}", "--path", "plain")


def test_short_queue():
    """More writes on their way than the queue has places: each waits, and none is given up."""
    path = node("even")
    setting = drives.queue_setting(path[5:], "nr_requests")
    before = drives.read(setting)
    drives.write(drives.queue_setting(path[5:], "scheduler"), "mq-deadline")
    drives.write(setting, 4)
    document = load("short queue", path, 16 * KIB, "--count", 1000, "--engine", "io_uring", "--queue-depth", 128,
                    "--range", f"0:{AREA}")
    check("short queue writes", (1000, None), (document["operations"], document["error"]))
    check("short queue data", [], [each for each in written(path, 16 * KIB, AREA // 16 // KIB) if isinstance(each, str)])
    drives.write(drives.queue_setting(path[5:], "scheduler"), "none")
    note(f"nr_requests was {before}")


def test_shared_flush():
    """Durable writes on their way together share flushes: the drive sees fewer flushes than writes, and some."""
    path = node("even")
    def flushes():
        return int(drives.read(f"/sys/block/{path[5:]}/stat").split()[15])
    before = flushes()
    load("shared flush", path, 16 * KIB, "--count", 120, "--engine", "io_uring", "--queue-depth", 32, "--durable", "each")
    shared = flushes() - before
    verdict("shared flushes are fewer than writes", 3 <= shared <= 60, "3 to 60", shared)
    note(f"120 durable writes at depth 32 took {shared} flushes")


def test_no_flush():
    """The drive caches, and the kernel was told not to flush: nothing is durable, by whichever path and however asked for."""
    path = node("even")
    setting = drives.queue_setting(path[5:], "write_cache")
    before = drives.read(setting)
    drives.write(setting, "write through")
    for way in ("kernel", "plain"):
        for durable in ("each", "end"):
            data = read_direct(path, 0, 64 * KIB)
            document = load(f"no flush {way} {durable}", path, 16 * KIB, "--count", 3, "--range", "0:64k", "--path", way,
                            "--durable", durable, code=2)
            check(f"no flush {way} {durable} error", ("unsupported", "not-written"),
                  (document["error"]["code"], document["error"]["outcome"]))
            check(f"no flush {way} {durable} writes nothing", True, read_direct(path, 0, 64 * KIB) == data)
        document = load(f"no flush {way} none", path, 16 * KIB, "--count", 3, "--path", way)
        check(f"no flush {way} none", (3, False), (document["operations"], document["durable"]))
    drives.write(setting, before)
    document = load("flush plain end", path, 16 * KIB, "--count", 3, "--path", "plain", "--durable", "end")
    check("flush plain end", (3, True), (document["operations"], document["durable"]))


# ---------------------------------------------------------------- others


def test_cached_readers():
    """A reader through the page cache is in the way of direct writes; none may become a buffered one."""
    path = node("even")
    stop = threading.Event()

    def read_on():
        while not stop.is_set():
            with open(path, "rb") as file:
                while file.read(256 * KIB) and not stop.is_set():
                    pass
    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for engine, depth in (("sync", 1), ("io_uring", 16)):
            document = load(f"cached readers {engine}", path, 16 * KIB, "--count", 500, "--range", f"0:{AREA}",
                            "--engine", engine, "--queue-depth", depth)
            check(f"cached readers {engine} writes", (500, None), (document["operations"], document["error"]))
            check(f"cached readers {engine} data", [],
                  [each for each in written(path, 16 * KIB, AREA // 16 // KIB) if isinstance(each, str)])
    finally:
        stop.set()
        reader.join()


def begin(path, *options):
    command = [*TOOL, "write", path, "--json", "--overwrite-existing-data", "--block-size", "16k", "--runtime", "60s", *options]
    before = sectors_written(path)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # The figures go on in batches: some hundreds of writes make sure of one.
    drives.wait_for(lambda: sectors_written(path) > before + 600 * 32 or process.poll() is not None, "the load's writes", 60)
    return process


def sectors_written(path):
    return int(drives.read(f"/sys/block/{path[5:]}/stat").split()[6])


def test_signal():
    path = node("even")
    for number in (signal.SIGINT, signal.SIGTERM):
        process = begin(path, "--engine", "io_uring", "--queue-depth", "32")
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
        document = json.loads(output)
        check(f"signal {number.name}", (130, True, None), (process.returncode, document["interrupted"], document["error"]))
        verdict(f"signal {number.name} writes", document["operations"] > 0, "some", document["operations"])


def test_removal():
    """A drive that goes away in the middle: the outcome is unknown, and what was done is told."""
    path = node("gone")
    process = begin(path, "--engine", "io_uring", "--queue-depth", "8")
    drives.write(f"/sys/block/{path[5:]}/device/device/remove", 1)
    output, errors = process.communicate(timeout=60)
    document = json.loads(output)
    verdict("removal exit code", process.returncode == 3, 3, f"{process.returncode} {errors.decode()}")
    check("removal one line", 1, errors.count(b"\n"))
    check("removal schema", [], breaches(document))
    check("removal outcome", "unknown", (document["error"] or {}).get("outcome"))
    verdict("removal writes", document["operations"] > 0, "some", document["operations"])


main()
