"""NVMe over Fabrics within one machine: nvmet targets, reached through nvme-loop."""

import glob
import os
import time

from commands import succeed
import drives

NVMET = "/sys/kernel/config/nvmet"
HOST = "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000000{}"


def start():
    for module in ("nvmet", "nvme_loop"):
        succeed("modprobe", module)
    if not os.path.isdir(NVMET):
        succeed("mount", "-t", "configfs", "none", "/sys/kernel/config")
    port = f"{NVMET}/ports/1"
    os.mkdir(port)
    drives.write(f"{port}/addr_trtype", "loop")


def export(name, backing=None, passthru=None, settings=()):
    """A subsystem with one namespace, or with a whole controller passed through."""
    subsystem = f"{NVMET}/subsystems/{name}"
    os.mkdir(subsystem)
    drives.write(f"{subsystem}/attr_allow_any_host", 1)
    if passthru:
        drives.write(f"{subsystem}/passthru/device_path", passthru)
        drives.write(f"{subsystem}/passthru/enable", 1)
    else:
        namespace = f"{subsystem}/namespaces/1"
        os.mkdir(namespace)
        drives.write(f"{namespace}/device_path", backing)
        for setting, value in settings:
            drives.write(f"{namespace}/{setting}", value)
        drives.write(f"{namespace}/enable", 1)
    os.symlink(subsystem, f"{NVMET}/ports/1/subsystems/{name}")


def connect(name, host=1):
    """Another host number is another connection to the same subsystem."""
    with open("/dev/nvme-fabrics", "r+b", buffering=0) as fabrics:
        identity = HOST.format(host)
        fabrics.write(f"transport=loop,nqn={name},hostnqn={identity},hostid={identity[-36:]}".encode())
        return fabrics.read(200).decode()


def node(name):
    """The block device of the subsystem's only namespace."""
    def find():
        for path in glob.glob("/sys/block/nvme*n*"):
            disk = os.path.basename(path)
            subsystem = f"{path}/device/subsysnqn"
            if os.path.exists(f"/dev/{disk}") and os.path.exists(subsystem) and drives.read(subsystem) == name:
                return f"/dev/{disk}"
    return drives.wait_for(find, "the remote namespace")


def disconnect(controller):
    drives.write(f"/sys/class/nvme/{controller}/delete_controller", 1)
    deadline = time.monotonic() + 20
    while os.path.exists(f"/sys/class/nvme/{controller}") and time.monotonic() < deadline:
        time.sleep(0.05)


def retire(name):
    os.unlink(f"{NVMET}/ports/1/subsystems/{name}")
    drives.write(f"{NVMET}/subsystems/{name}/namespaces/1/enable", 0)
    os.rmdir(f"{NVMET}/subsystems/{name}/namespaces/1")
    os.rmdir(f"{NVMET}/subsystems/{name}")


def stop():
    """What `start` began, once nothing is exported."""
    os.rmdir(f"{NVMET}/ports/1")
    for module in ("nvme_loop", "nvmet"):
        succeed("modprobe", "-r", module)
