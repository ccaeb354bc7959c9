"""Runs the tool under test, and the independent ones whose word is taken against it."""

from contextlib import contextmanager
import json
import os
import re
import subprocess
from dataclasses import dataclass

from checks import verdict
from contract import breaches

# The loader directly: the wrapper beside it would cost a shell per run.
TOOL = ["/tool/lib/ld.so", "--library-path", "/tool/lib", "--argv0", "nvme-atomic", "/tool/nvme-atomic.bin"]


@dataclass
class Result:
    code: int
    output: str
    errors: str

    @property
    def json(self):
        return json.loads(self.output)

    @property
    def target(self):
        return self.json["targets"][0]


def run(command, input=None, timeout=120):
    done = subprocess.run(command, input=input, capture_output=True, timeout=timeout)
    return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


_documents = 0


def tool(*arguments, input=None):
    result = run([*TOOL, *map(str, arguments)], input)
    if "--json" in arguments and result.output:
        _hold_to_schema(arguments, result.output)
    return result


def _hold_to_schema(arguments, output):
    """The first hundred documents of a boot and some of the rest: emulation makes each one dear."""
    global _documents
    _documents += 1
    if _documents > 100 and _documents % 16:
        return
    try:
        found = breaches(json.loads(output))
    except ValueError as error:
        found = [str(error)]
    if found:
        verdict(f"schema of {' '.join(map(str, arguments))}", False, [], found)


def succeed(*command):
    """The output of a command that a test depends on."""
    result = run([str(word) for word in command])
    if result.code != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {result.code}: {result.errors.strip()}")
    return result.output


def identify_controller(node):
    return json.loads(succeed("nvme", "id-ctrl", "-o", "json", node))


def identify_namespace(node):
    return json.loads(succeed("nvme", "id-ns", "-o", "json", node))


def disable_normal(node):
    """Feature 0Ah, bit 0."""
    text = succeed("nvme", "get-feature", "-f", "0x0a", node)
    return bool(int(re.search(r"Current value:\s*(?:0x)?([0-9a-fA-F]+)", text).group(1), 16) & 1)


def xfs_io_statx(path):
    """xfs_io's reading of the same call; field names are matched whole, since some begin alike."""
    text = succeed("xfs_io", "-r", "-c", "statx -r -m 0x12000", path)
    fields = dict(re.findall(r"^stat\.(\w+) = (\S+)$", text, re.MULTILINE))
    return {name: int(fields[name], 0) for name in
            ("atomic_write_unit_min", "atomic_write_unit_max", "atomic_write_segments_max")}


@contextmanager
def mounted(device, directory):
    os.makedirs(directory, exist_ok=True)
    succeed("mount", device, directory)
    try:
        yield directory
    finally:
        succeed("umount", directory)
