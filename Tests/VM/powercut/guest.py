"""The guest's side of the power cuts: does what the session on the host asks for, by one thread for each path.

It judges nothing, and keeps nothing: what it has read after recovery goes to the host as it is.
"""

import fcntl
import glob
import json
import mmap
import os
import socket
import struct
import subprocess
import threading

import drives
import fabric
from commands import TOOL, run, succeed

WRITER = [*TOOL[:3], "--argv0", "power-cut-writer", "/tool/power-cut-writer.bin"]
MIB = 1 << 20


def port(name):
    """The device of a virtio-serial port."""
    def find():
        for path in glob.glob("/sys/class/virtio-ports/*/name"):
            if drives.read(path) == name:
                return f"/dev/{path.split('/')[4]}"
    return drives.wait_for(find, f"port {name}")


class Port:
    """Requests of one line of JSON and perhaps bytes; answers likewise."""

    def __init__(self, name):
        self.descriptor = os.open(port(name), os.O_RDWR)
        self.pending = b""

    def take(self, count):
        while len(self.pending) < count:
            piece = os.read(self.descriptor, 1 << 17)
            if not piece:
                raise EOFError
            self.pending += piece
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def request(self):
        (length,) = struct.unpack("<I", self.take(4))
        return json.loads(self.take(length))

    def answer(self, document, data=b""):
        text = json.dumps(document | {"bytes": len(data)}).encode()
        message = memoryview(struct.pack("<I", len(text)) + text + data)
        while message:
            message = message[os.write(self.descriptor, message):]

    def ranges(self):
        """As the writer's lanes get them."""
        (count,) = struct.unpack("<I", self.take(4))
        for _ in range(count):
            offset, length = struct.unpack("<QI", self.take(12))
            yield offset, self.take(length)


def page_aligned(length):
    return mmap.mmap(-1, length)


def read_direct(path, offset, length):
    buffer = page_aligned(length)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        count = os.preadv(descriptor, [buffer], offset)
    finally:
        os.close(descriptor)
    return buffer[:count]


class Path:
    """One way to write, on a drive of its own."""

    def __init__(self, plan, lock):
        self.plan, self.lock, self.name = plan, lock, plan["name"]
        self.port = Port(self.name)
        self.directory = f"/tmp/{self.name}"
        self.node = None

    def serve(self):
        """Until the power is cut, or no more is asked for."""
        while True:
            request = self.port.request()
            try:
                answer = getattr(self, "do_" + request["do"])(request)
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}, b""
            if request["do"] == "end":
                return
            self.port.answer(*answer)

    @property
    def target(self):
        return f"{self.directory}/data" if self.plan["filesystem"] else self.node

    @property
    def control(self):
        """Where plain writes go."""
        return f"{self.directory}/control" if self.plan["filesystem"] else self.node

    @property
    def options(self):
        region = self.plan["journal_region"]
        return [*(["--journal-region", region] if region else []), *(["--allow-shared"] if self.plan["path"] == "passthrough" else [])]

    # ------------------------------------------------------------ what is asked

    def do_attach(self, _request):
        """nvme-loop above the drive, which nobody joins or splits writes for."""
        with self.lock:
            disk = next(path.split("/")[3] for path in glob.glob("/sys/block/vd*/serial") if drives.read(path) == self.name)
            drives.write(drives.queue_setting(disk, "nomerges"), 2)
            fabric.export(self.name, f"/dev/{disk}", settings=(("device_uuid", self.plan["uuid"]), ("device_nguid", self.plan["uuid"])))
            fabric.connect(self.name)
            self.node = fabric.node(self.name)
        return {"node": self.node, "queue": drives.queue(self.node[5:])}, b""

    def do_make(self, _request):
        """Files, all of whose blocks are written, and a device's journal; a file's is made by its first transaction."""
        self._mount()
        if self.plan["filesystem"]:
            for path, length in ((self.target, self.plan["file_length"]), (self.control, self.plan["control_length"])):
                with open(path, "wb") as file:
                    file.write(bytes(length))
                    file.flush()
                    os.fsync(file.fileno())
        if self.plan["journal_region"]:
            succeed(*TOOL, "journal", "init", self.target, *self.options)
        succeed("sync")
        return {}, b""

    def do_recover(self, _request):
        """What a machine does that starts again, and what then is on the target."""
        self._mount()
        try:
            answer = {}
            if self.plan["path"] == "journal":
                result = run([*TOOL, "recover", self.target, *self.options, "--json"])
                answer = {"code": result.code, "recover": json.loads(result.output or "null")}
                if result.code != 0:
                    answer["error"] = f"recover: exit code {result.code}: {result.errors.strip()}"
            parts = [read_direct(getattr(self, name), begin, length) for name, begin, length in self.plan["parts"] if length]
            return answer | {"lengths": [len(part) for part in parts]}, b"".join(parts)
        finally:
            if not _request.get("stay"):
                self._unmount()

    def do_once(self, _request):
        """One operation by the command."""
        arguments = []
        for number, (offset, data) in enumerate(self.port.ranges()):
            path = f"/tmp/{self.name}.input{number}"
            with open(path, "wb") as file:
                file.write(data)
            arguments += ["--at", str(offset), "--input", path]
        result = run([*TOOL, "write", self.target, "--path", self.plan["path"], *arguments, *self.options, "--durable",
                      "none" if self.plan["path"] == "plain" else "each"])
        return ({} if result.code == 0 else {"error": f"exit code {result.code}: {result.errors.strip()}"}), b""

    def do_start(self, _request):
        """Everything at once, until the power is cut; returns only where that ends too early."""
        threading.Thread(target=self._write_plainly, daemon=True).start()
        lanes = [word for number, kind in enumerate(self.plan["lanes"])
                 for word in self._lane(kind, port(f"{self.name}.{number}"))]
        result = subprocess.run([*WRITER, self.target, self.plan["path"], *self.options, *lanes], capture_output=True)
        return {"error": f"the writer ended: {result.returncode} {(result.stdout + result.stderr).decode()}"}, b""

    def _lane(self, kind, device):
        name, _, depth = kind.partition(":")
        return [f"--{name}", f"{depth}:{device}" if depth else device]

    def _write_plainly(self):
        """Ordinary direct writes beside, which nobody keeps whole."""
        lane = Port(f"{self.name}.plain")
        buffers = {}
        descriptor = os.open(self.control, os.O_WRONLY | os.O_DIRECT)
        while True:
            for number, (offset, data) in enumerate(lane.ranges()):
                buffer = buffers.setdefault(len(data), page_aligned(len(data)))
                buffer[:] = data
                os.pwritev(descriptor, [buffer], offset)
                os.write(lane.descriptor, struct.pack("<I", number))

    def do_verify(self, _request):
        """`verify crash`, whose log goes to another machine, the host: through a connection within this one."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self._forward, args=(server,), daemon=True).start()
            result = run([*TOOL, "verify", "crash", self.target, "--log", f"tcp:127.0.0.1:{server.getsockname()[1]}", "--path",
                          self.plan["path"], "--range", "1m:4m", "--threads", "2"], timeout=None)
        return {"error": f"exit code {result.code}: {result.output}{result.errors}"}, b""

    def _forward(self, server):
        connection, _ = server.accept()
        descriptor = os.open(port(f"{self.name}.log"), os.O_WRONLY)
        while data := connection.recv(1 << 16):
            while data:
                data = data[os.write(descriptor, data):]

    def do_judge(self, _request):
        """What `verify crash --check` says by a log that comes from the host."""
        log = f"/tmp/{self.name}.log"
        with open(log, "wb") as file:
            file.writelines(data for _, data in self.port.ranges())
        result = run([*TOOL, "verify", "crash", self.target, "--check", "--log", log, "--json"])
        return {"code": result.code, "check": json.loads(result.output or "null"), "errors": result.errors}, b""

    def _mount(self):
        if self.plan["filesystem"]:
            os.makedirs(self.directory, exist_ok=True)
            succeed("mount", self.node, self.directory)

    def _unmount(self):
        if self.plan["filesystem"]:
            succeed("umount", self.directory)


def begin_loopback():
    """SIOCSIFFLAGS with IFF_UP, by which it gets its address, too."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1))


def main():
    plan = Port("session").request()
    begin_loopback()
    fabric.start()
    lock = threading.Lock()
    threads = [threading.Thread(target=Path(each, lock).serve) for each in plan]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
