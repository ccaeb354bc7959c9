"""Native multipath: heads, the hidden disks below them, and what the kernel should make of them."""

import glob
import os
from dataclasses import dataclass

from commands import identify_controller, identify_namespace
import drives
import rules

PAGE = 4096


@dataclass
class Path:
    """One way to a namespace: the hidden disk, and its own controller's answers."""
    disk: str
    controller: str
    identify: dict
    namespace: dict

    @property
    def queue(self):
        return drives.queue(self.disk)

    @property
    def mdts_bytes(self):
        return rules.MINIMUM_PAGE << self.identify["mdts"] if self.identify["mdts"] else None

    def setting(self, name):
        return drives.read(drives.queue_setting(self.disk, name))

    def set(self, name, value):
        drives.write(drives.queue_setting(self.disk, name), value)


@dataclass
class Head:
    disk: str
    subsystem: str
    expected_paths: int

    @property
    def node(self):
        return f"/dev/{self.disk}"

    @property
    def queue(self):
        return drives.queue(self.disk)

    @property
    def paths(self):
        """In the order of the controllers' numbers. Each controller is asked by its own node."""
        namespace = identify_namespace(self.node)
        return [Path(os.path.basename(disk), controller, identify_controller(f"/dev/{controller}"), namespace)
                for controller, disk in hidden_disks(self)]

    def policy(self, name):
        drives.write(f"{self.subsystem}/iopolicy", name)


def hidden_disks(head):
    number, namespace = head.disk.removeprefix("nvme").split("n")
    found = [(controller, disk)
             for controller in controllers(head.subsystem)
             for disk in glob.glob(f"/sys/class/nvme/{controller}/nvme{number}c*n{namespace}")]
    return sorted(found, key=lambda pair: int(pair[0].removeprefix("nvme")))


def controllers(subsystem):
    return [name for name in os.listdir(subsystem) if name.startswith("nvme") and name[4:].isdigit()]


def subsystem(name):
    """The emulator puts a prefix before the name; nvmet does not."""
    for path in glob.glob("/sys/class/nvme-subsystem/*"):
        if drives.read(f"{path}/subsysnqn").split(":")[-1] == name:
            return os.path.realpath(path)
    return None


def find(name, paths):
    """The head of a subsystem's namespace, once that many paths lead to it."""
    def complete():
        path = subsystem(name)
        if not path:
            return None
        for disk in glob.glob(f"{path}/nvme*n*"):
            if "c" in os.path.basename(disk).removeprefix("nvme"):
                continue
            head = Head(os.path.basename(disk), path, paths)
            if len(hidden_disks(head)) == paths and os.path.exists(head.node):
                return head
        return None
    return drives.wait_for(complete, f"{paths} paths of {name}")


# ---------------------------------------------------------------- what the kernel should say


def unit_limit(path):
    """`block/blk-settings.c:blk_atomic_writes_update_limits`: what one command can carry, whichever way its
    buffer lies."""
    block = rules.lba_size(path.namespace)
    segments = min(256, int(path.setting("max_segments")))
    carried = min(segments, 2) * block + max(segments - 2, 0) * PAGE
    return rules.floor_power_of_two(min(path.queue["max_hw_sectors_kb"] * 1024, carried))


def expected_atomics(path, power_fail, boundary):
    """`queue/` of one path, of a drive whose limit the kernel takes to be `power_fail`; zeros where it takes none."""
    most = min(power_fail, path.queue["max_hw_sectors_kb"] * 1024)
    limit = unit_limit(path)
    return {
        "atomic_write_unit_min_bytes": min(rules.lba_size(path.namespace), limit),
        "atomic_write_unit_max_bytes": min(rules.floor_power_of_two(power_fail), limit),
        "atomic_write_max_bytes": most,
        "atomic_write_boundary_bytes": boundary,
    }


def stacked(queues):
    """`blk_stack_atomic_writes_limits` over equal boundaries: the smallest of each limit, the largest minimum."""
    if len({queue["atomic_write_boundary_bytes"] for queue in queues}) > 1:
        return dict.fromkeys(atomics(queues[0]), 0)
    least = {key: min(queue[key] for queue in queues) for key in atomics(queues[0])}
    least["atomic_write_unit_min_bytes"] = max(queue["atomic_write_unit_min_bytes"] for queue in queues)
    return least


def atomics(queue):
    return {key: value for key, value in queue.items() if key.startswith("atomic_write_")}
