"""What a process without root learns: nothing of the drive, then what the printed udev rule gives."""

import grp
import os
import stat
import subprocess

import drives
from checks import cell, check, finish, note, verdict
from commands import TOOL, identify_namespace, mounted, run, succeed, tool
from contract import breaches

PAGE = 16384
# Groups are those of the user database at that moment, as after a new login.
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--init-groups"]
# udev's own tools refuse to work in a chroot, which the guest's tree is.
UDEV = {**os.environ, "SYSTEMD_IGNORE_CHROOT": "1"}
UDEV_LOG = "/run/udevd.log"


def main():
    start_udev()
    disk, other = drives.namespace_node("closed", 1), drives.namespace_node("closed", 4)
    with cell("by root"):
        by_root(disk)
    with cell("nothing may be opened"):
        nothing_may_be_opened(disk)
    with cell("the rule as printed"):
        type_the_rule(disk)
    for part in (by_the_rule, targets, answers, what_the_rule_gives, block_node):
        with cell(part.__name__):
            part(disk, other)
    finish()


def start_udev():
    """The guest has no service manager; the daemon is the system's own."""
    os.makedirs("/run/udev", exist_ok=True)
    with open(UDEV_LOG, "w") as log:
        subprocess.Popen(["/usr/lib/systemd/systemd-udevd"], env=UDEV, stdout=log, stderr=log)
    drives.wait_for(lambda: subprocess.run(["udevadm", "control", "--ping"], env=UDEV, capture_output=True).returncode == 0,
                    "udev", 60)
    # Nobody is root here already.
    with open("/usr/bin/sudo", "w") as file:
        file.write('#!/bin/sh\nexec "$@"\n')
    os.chmod("/usr/bin/sudo", 0o755)


def unprivileged(*arguments):
    return run([*NOBODY, *TOOL, *map(str, arguments)])


def probe(name, path):
    result = unprivileged("probe", "--json", path)
    check(f"{name} exit code", 0, result.code)
    check(f"{name} contract", [], breaches(result.json))
    return result.target


def finding(target, code):
    found = [finding for finding in target["findings"] if finding["code"] == code]
    return found[0] if found else {"message": "", "remedy": ""}


def codes(target):
    return {finding["code"] for finding in target["findings"]}


def mode(path):
    status = os.stat(path)
    return grp.getgrgid(status.st_gid).gr_name, oct(stat.S_IMODE(status.st_mode))


def by_root(disk):
    target = tool("probe", "--json", f"/dev/{disk}").target
    check("root lacks nothing", False, "no-permission" in codes(target))
    check("root DN", False, target["nvme"]["write_atomicity_normal"]["dn"])
    check("root normal", 128 * 512, target["device_limits"]["normal_bytes"])


def nothing_may_be_opened(disk):
    generic = drives.generic_of(disk)
    for node in (disk, generic):
        opened = run([*NOBODY, "head", "-c", "1", f"/dev/{node}"])
        verdict(f"{node[:2]} node is closed", opened.code != 0, "refused", opened.code)
    target = probe("closed", f"/dev/{disk}")
    nvme = target["nvme"]
    for part, keys in (("controller", ("awun", "awupf", "acwu", "mdts", "vwc")),
                       ("namespace", ("nsid", "nsfeat", "nawun", "nawupf", "nabspf", "lba_size"))):
        check(f"closed nvme.{part} is unknown", [None] * len(keys), [(nvme[part] or {}).get(key) for key in keys])
    check("closed DN", None, nvme["write_atomicity_normal"]["dn"])
    check("closed device_limits", None, target["device_limits"])
    check("closed torn_free_bytes", None, target["torn_free_bytes"])
    # What sysfs and statx give to everybody.
    check("closed model", "QEMU NVMe Ctrl", nvme["controller"]["model"])
    check("closed serial", "closed", nvme["controller"]["serial"])
    check("closed transport", "pcie", nvme["controller"]["transport"])
    check("closed queue", drives.queue(disk), {key: target["queue"][key] for key in drives.QUEUE_FIELDS})
    check("closed statx", PAGE, target["statx"]["atomic_write_unit_max"])
    check("closed stack", [f"/dev/{disk}", f"/dev/{drives.controller_of(disk)}"],
          [entry["device"] for entry in target["stack"]])
    message = finding(target, "no-permission")["message"]
    verdict("closed finding names both nodes", message.startswith(f"/dev/{disk} and /dev/{generic} may not be opened"),
            "both nodes", message)
    for writer in ("direct", "rwf-atomic"):
        answer = unprivileged("probe", "--page-size", PAGE, "--writer", writer, f"/dev/{disk}").code
        verdict(f"closed {writer} is no yes", answer in (1, 2), "1 or 2", answer)
    check("closed rwf-atomic is not known", 2,
          unprivileged("probe", "--page-size", PAGE, "--writer", "rwf-atomic", f"/dev/{disk}").code)


def type_the_rule(disk):
    """The remedy word for word, by a shell; $USER is whom it is for."""
    generic = drives.generic_of(disk)
    remedy = finding(probe("rule", f"/dev/{disk}"), "no-permission")["remedy"]
    note(f"typed: {remedy}")
    typed = subprocess.run(["bash", "-c", remedy], env={**UDEV, "USER": "nobody"}, capture_output=True, text=True)
    verdict("the rule is typed without a complaint", typed.returncode == 0, 0,
            f"{typed.returncode} {typed.stderr} {drives.read(UDEV_LOG)[-500:]}")
    expected = ("nvme-read", "0o440")
    drives.wait_for(lambda: mode(f"/dev/{generic}") == expected, f"{expected} on {generic}, which has {mode(f'/dev/{generic}')}")
    for node in (disk, drives.generic_of(drives.namespace_node("closed", 4))):
        wanted = expected if node.startswith("ng") else ("disk", "0o660")
        verdict(f"mode of the other {node[:2]} node", mode(f"/dev/{node}") in (wanted, ("root", "0o600")), wanted,
                mode(f"/dev/{node}"))
    again = subprocess.run(["bash", "-c", remedy], env={**UDEV, "USER": "nobody"}, capture_output=True, text=True)
    verdict("typing it twice does no harm", again.returncode == 0, 0, f"{again.returncode} {again.stderr}")


def by_the_rule(disk, other):
    """Identify is known, Get Features is not."""
    generic = drives.generic_of(disk)
    root = tool("probe", "--json", f"/dev/{disk}").target
    target = probe("by the rule", f"/dev/{disk}")
    check("by the rule nvme.controller", root["nvme"]["controller"], target["nvme"]["controller"])
    check("by the rule nvme.namespace", root["nvme"]["namespace"], target["nvme"]["namespace"])
    check("by the rule nawupf", identify_namespace(f"/dev/{disk}")["nawupf"], target["nvme"]["namespace"]["nawupf"])
    check("by the rule DN", None, target["nvme"]["write_atomicity_normal"]["dn"])
    normal = ("normal_bytes", "normal_source")
    check("by the rule normal", [None, None], [target["device_limits"][key] for key in normal])
    check("by the rule the other limits", {**root["device_limits"], **dict.fromkeys(normal)}, target["device_limits"])
    check("by the rule torn_free_bytes", root["torn_free_bytes"], target["torn_free_bytes"])
    for path in ("kernel", "passthrough"):
        check(f"by the rule paths.{path}", root["paths"][path], target["paths"][path])
    found = finding(target, "no-permission")
    verdict("by the rule finding names the command and the node",
            "Get Features 0Ah" in found["message"] and f"/dev/{generic}" in found["message"]
            and "volatile cache counts as in use" in found["message"], "feature, node, cache", found["message"])
    check("by the rule remedy", f"sudo nvme-atomic probe /dev/{disk}", found["remedy"])
    check("by the rule cache is taken for one in use", True, "volatile-write-cache" in codes(target))
    check("the second namespace is not mixed up", 16 * 512,
          probe("second", f"/dev/{other}")["device_limits"]["power_fail_bytes"])


def targets(disk, other):
    """Every target that leads to the namespace is asked through the one node that may be opened."""
    check("generic target", 32 * 512,
          probe("generic", f"/dev/{drives.generic_of(disk)}")["device_limits"]["power_fail_bytes"])
    controller = probe("controller", f"/dev/{drives.controller_of(disk)}")
    check("controller target stays closed", None, controller["nvme"]["controller"]["awupf"])
    os.symlink(f"/dev/{disk}", "/tmp/link")
    check("link", 32 * 512, probe("link", "/tmp/link")["device_limits"]["power_fail_bytes"])
    succeed("mkfs.xfs", "-q", "-f", f"/dev/{other}")
    with mounted(f"/dev/{other}", "/tmp/xfs"):
        os.chmod("/tmp/xfs", 0o755)
        with open("/tmp/xfs/file", "wb") as file:
            file.write(bytes(PAGE))
        target = probe("file", "/tmp/xfs/file")
        check("file", 16 * 512, target["device_limits"]["power_fail_bytes"])
        root = tool("probe", "--json", "/tmp/xfs/file").target
        check("file paths", root["paths"], target["paths"])
        check("file device_limits but for DN", {**root["device_limits"], "normal_bytes": None, "normal_source": None},
              target["device_limits"])
    subprocess.run(["sfdisk", "-q", f"/dev/{disk}"], input="label: gpt\nstart=2048\n", text=True, check=True)
    partition = f"{disk}p1"
    drives.wait_for(lambda: os.path.exists(f"/dev/{partition}"), partition)
    target = probe("partition", f"/dev/{partition}")
    check("partition", 32 * 512, target["device_limits"]["power_fail_bytes"])
    check("partition torn_free_bytes", PAGE, target["torn_free_bytes"])
    succeed("wipefs", "-q", "-a", f"/dev/{disk}")
    succeed("blockdev", "--rereadpt", f"/dev/{disk}")


def answers(disk, other):
    """Power-fail: a yes that is assumed, since the cache may hold the write; strictly that is a no."""
    ask = lambda *options: unprivileged("probe", "--page-size", PAGE, *options, f"/dev/{disk}").code
    check("rwf-atomic", 0, ask("--writer", "rwf-atomic"))
    check("rwf-atomic strictly", 1, ask("--writer", "rwf-atomic", "--strict"))
    check("direct may merge", 1, ask("--writer", "direct"))
    answer = unprivileged("probe", "--json", "--page-size", PAGE, "--writer", "rwf-atomic", f"/dev/{disk}").target["answer"]
    check("rwf-atomic is assumed", "assumed", answer["power_fail_atomic"])
    check("too large", 1, unprivileged("probe", "--page-size", "32k", "--writer", "rwf-atomic", f"/dev/{disk}").code)
    # A cache that root switched off is still one in use to whom nobody tells.
    succeed("nvme", "set-feature", "-f", "6", "-V", "0", f"/dev/{drives.controller_of(disk)}")
    check("root knows that the cache is off", 0,
          tool("probe", "--page-size", PAGE, "--writer", "rwf-atomic", "--strict", f"/dev/{disk}").code)
    check("others do not", 1, ask("--writer", "rwf-atomic", "--strict"))
    succeed("nvme", "set-feature", "-f", "6", "-V", "1", f"/dev/{drives.controller_of(disk)}")


def what_the_rule_gives(disk, other):
    """Read access to the character device is read access to all data, and to nothing else."""
    generic = f"/dev/{drives.generic_of(disk)}"
    with open(f"/dev/{disk}", "r+b") as file:
        file.write(b"secret".ljust(512, b"."))
        os.fsync(file.fileno())
    read = run([*NOBODY, "nvme", "read", generic, "-s", "0", "-c", "0", "-z", "512"])
    note(f"nvme read through {generic} as nobody: exit {read.code} {read.errors.strip()[:100]}")
    verdict("data can be read", read.code == 0 and read.output.startswith("secret"), "the data", read.output[:20])
    written = run([*NOBODY, "nvme", "write", generic, "-s", "0", "-c", "0", "-z", "512", "-d", "/etc/passwd"])
    verdict("data cannot be written", written.code != 0, "refused", written.code)
    with open(f"/dev/{disk}", "rb") as file:
        check("data is unchanged", b"secret", file.read(6))
    for command in (("get-feature", "-f", "0x0a"), ("get-feature", "-f", "6"), ("smart-log",), ("format", "--force")):
        done = run([*NOBODY, "nvme", command[0], generic, *command[1:]])
        verdict(f"nvme {command[0]} is refused", done.code != 0, "refused", done.code)
    refused = run([*NOBODY, *TOOL, "write", f"/dev/{disk}", "--at", "0", "--input", "/etc/passwd", "--json"])
    check("write is refused", 2, refused.code)


def block_node(disk, other):
    """The other way round: read access to the block device gives Identify too."""
    generic = f"/dev/{drives.generic_of(disk)}"
    os.chmod(generic, 0o600)
    os.chmod(f"/dev/{disk}", 0o644)
    target = probe("block node", f"/dev/{disk}")
    check("block node", 32 * 512, target["device_limits"]["power_fail_bytes"])
    verdict("block node is named", f"/dev/{disk}" in finding(target, "no-permission")["message"], disk,
            finding(target, "no-permission")["message"])
    check("generic target by the block node", 32 * 512,
          probe("generic by block", generic)["device_limits"]["power_fail_bytes"])
    controller = f"/dev/{drives.controller_of(disk)}"
    os.chmod(controller, 0o444)
    check("controller node", 7, probe("controller node", controller)["nvme"]["controller"]["vwc"])


main()
