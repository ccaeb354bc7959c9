"""The README's tour on an emulated drive: what a first user types, and what comes back."""

import os
import subprocess

from checks import cell, check, finish, note
from drives import namespace_node

TOOL = "/tool/nvme-atomic"
PAGE = os.urandom(16384)


def say(*arguments, data=None, expected=0):
    """Runs the tool and shows the reader all of it."""
    command = "nvme-atomic " + " ".join(arguments)
    result = subprocess.run([TOOL, *arguments], input=data, capture_output=True)
    note(f"$ {command}")
    for line in (result.stdout + result.stderr).decode().splitlines():
        note(line)
    check(f"{command} exit code", expected, result.returncode)


with cell("tour"):
    node = "/dev/" + namespace_node("tour")
    say("probe", node)
    say("probe", node, "--page-size", "16k", "--writer", "rwf-atomic")
    say("probe", node, "--page-size", "16k", "--writer", "direct", expected=1)
    say("write", node, "--at", "16k", "--input", "-", data=PAGE)
    with open(node, "rb") as device:
        device.seek(16384)
        check("reads back", True, device.read(16384) == PAGE)
    say("write", node, "--at", "0", "--input", "-", data=PAGE * 8, expected=2)

finish()
