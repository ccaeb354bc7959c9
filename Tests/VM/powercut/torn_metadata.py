"""Why XFS cannot always be mounted after its recovery was cut off on a drive that tears its blocks: no test, a demonstration.

    torn_metadata.py

Makes XFS on a loop device, shuts it down with a log that is to be recovered, and has a copy recovered. Then, of each kind
of block that recovery has written, one image as a power cut amid that write may leave it: its first 512 bytes new and
the rest old, and the other way round. Each is mounted and read, and the kernel says what is wrong. Root; a minute.
"""

import os
import struct
import subprocess
import tempfile

SECTOR = 512


def shell(script, **variables):
    return subprocess.run(["bash", "-euc", script], capture_output=True, text=True, env=os.environ | variables)


def succeed(script, **variables):
    done = shell(script, **variables)
    if done.returncode:
        raise SystemExit(f"{script}: {done.stderr.strip()}")


def make(folder):
    """An image whose log is to be recovered, and the same recovered."""
    succeed("""
        mkdir "$F/mount"
        truncate -s 320M "$F/before"
        mkfs.xfs -q "$F/before"
        mount -o loop "$F/before" "$F/mount"
        for i in $(seq 300); do echo $i >"$F/mount/early$i"; done
        sync -f "$F/mount"
        for i in $(seq 600); do echo $i >"$F/mount/late$i"; done
        rm "$F"/mount/early*
        xfs_io -x -c 'shutdown -f' "$F/mount"
        umount "$F/mount"
        cp "$F/before" "$F/after"
        mount -o loop "$F/after" "$F/mount"
        umount "$F/mount"
        """, F=folder)
    return [open(f"{folder}/{name}", "rb").read() for name in ("before", "after")]


def log_of(image):
    """The bytes that the log has, by the superblock (xfs_dsb in fs/xfs/libxfs/xfs_format.h), and the size of a block."""
    block, = struct.unpack_from(">I", image, 4)
    start, = struct.unpack_from(">Q", image, 48)
    group_blocks, = struct.unpack_from(">I", image, 84)
    blocks, = struct.unpack_from(">I", image, 96)
    shift = image[124]
    first = ((start >> shift) * group_blocks + (start & ((1 << shift) - 1))) * block
    return range(first, first + blocks * block), block


def changed(before, after):
    """One block of each kind that recovery has written: its magic number, and where it lies."""
    log, size = log_of(before)
    found = {}
    for at in range(0, len(before), size):
        if at not in log and before[at:at + size] != after[at:at + size]:
            magic = after[at:at + 4] if after[at:at + 4].isalnum() else after[at + 8:at + 10]
            found.setdefault(magic, at)
    return found, size


def attempt(folder, image):
    """What comes of mounting and reading it."""
    with open(f"{folder}/torn", "wb") as file:
        file.write(image)
    shell("dmesg --clear")
    done = shell("""
        mount -o loop "$F/torn" "$F/mount"
        trap 'umount "$F/mount"' EXIT
        cat "$F"/mount/late* >/dev/null && rm "$F"/mount/late3* && sync -f "$F/mount"
        """, F=folder)
    if done.returncode == 0:
        return "whole"
    said = [line for line in shell("dmesg --notime").stdout.split("\n") if "Metadata" in line]
    return f"not to be mounted or read: {said[0] if said else done.stderr.strip()}"


def main():
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        before, after = make(folder)
        kinds, size = changed(before, after)
        print(f"Linux {os.uname().release}; nothing torn: {attempt(folder, before)}")
        for magic, at in kinds.items():
            middle, end = at + SECTOR, at + size
            for name, torn in (("new head, old rest", before[:at] + after[at:middle] + before[middle:]),
                               ("old head, new rest", before[:middle] + after[middle:end] + before[end:])):
                if torn not in (before, after):
                    print(f"{magic!r} {name}: {attempt(folder, torn)}", flush=True)


main()
