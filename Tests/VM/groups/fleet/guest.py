"""A machine with many block devices: which are listed, that each is told as it is alone, and what
happens to those that go away meanwhile."""

import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import tempfile

import drives
from checks import cell, check, finish, note, verdict
from commands import TOOL, run, succeed, tool
from contract import breaches

DISKS = 64
DEVICE_COMMANDS = re.compile(r"ioctl\([^,]+, (0xc0484e41|0xc0504e47|0xc0484e43|0xc0504e48)\b")


def main():
    with cell("setting up"):
        fleet = set_up()
        for part in (test_list, test_entries, test_sharing, test_metrics, test_question, test_capabilities,
                     test_removal, test_cost):
            with cell(part.__name__):
                part(fleet)
    finish()


# ---------------------------------------------------------------- the machine


def set_up():
    """Makes the devices, and returns all that are to be listed."""
    namespaces = [drives.namespace_node("fleet", nsid) for nsid in range(1, 12)] + [drives.namespace_node("gone")]
    scsi = add_scsi_disks()
    partitioned = namespaces[0]
    run(["sfdisk", "--quiet", f"/dev/{partitioned}"], b"label: gpt\nsize=8M\nsize=8M\nsize=8M\n")
    partitions = [f"{partitioned}p{number}" for number in (1, 2, 3)]
    loops = add_loops()
    succeed("modprobe", "brd", "rd_nr=2", "rd_size=1024")
    succeed("dmsetup", "create", "fleet", "--table", f"0 8192 linear /dev/{partitions[1]} 0")
    # What udev would do.
    succeed("dmsetup", "mknodes")
    mapper = succeed("dmsetup", "info", "--columns", "--noheadings", "-o", "blkdevname", "fleet").strip()
    array = add_array(namespaces[1:3])
    wait_for_nodes([*namespaces, *scsi, *partitions, *loops, mapper, array])
    guest = [disk for disk in os.listdir("/sys/block") if disk.startswith("vd")]
    return [*namespaces, *scsi, *partitions, *loops, mapper, array, *guest]


def add_scsi_disks():
    succeed("modprobe", "sd_mod")
    succeed("modprobe", "scsi_debug", f"max_luns={DISKS}", "dev_size_mb=8", "delay=0", "atomic_wr=1")

    def find():
        disks = [disk for disk in os.listdir("/sys/block") if disk.startswith("sd")]
        sizes = [drives.size_bytes(disk) for disk in disks]
        return disks if len(disks) == DISKS and all(sizes) else None
    return drives.wait_for(find, f"{DISKS} disks of scsi_debug", 60)


def add_loops():
    """Three with a file among those without."""
    succeed("modprobe", "loop", "max_loop=8")
    loops = []
    for number in range(3):
        path = f"/tmp/loop{number}.image"
        with open(path, "wb") as image:
            image.truncate(8 << 20)
        loops.append(os.path.basename(succeed("losetup", "--find", "--show", path).strip()))
    return loops


def add_array(members):
    succeed("modprobe", "raid0")
    succeed("mdadm", "--create", "/dev/md0", "--run", "--level=0", "--raid-devices=2", "--chunk=16", "--metadata=1.2",
            *[f"/dev/{member}" for member in members])
    return "md0"


def wait_for_nodes(names):
    for name in names:
        drives.wait_for(lambda: os.path.exists(f"/dev/{name}"), f"/dev/{name}")


def natural(name):
    """Digits by value; of one driver's letters the longer come later."""
    return [(0, int(part)) if part.isdigit() else (1, part[:2], len(part), part)
            for part in re.findall(r"\d+|\D+", name)]


# ---------------------------------------------------------------- what is told


def every(*options, code=0):
    result = tool("probe", "--all", "--json", *options)
    verdict(f"--all {' '.join(options)} exit code", result.code == code, code, f"{result.code} {result.errors.strip()}")
    return result.json


def paths(document):
    return [target["path"] for target in document["targets"]]


def test_list(fleet):
    document = every()
    check("schema", [], breaches(document))
    check("the devices", {f"/dev/{name}" for name in fleet}, set(paths(document)))
    check("each once", len(fleet), len(paths(document)))
    check("natural order", sorted(fleet, key=natural), [path.removeprefix("/dev/") for path in paths(document)])
    kernel_names = succeed("lsblk", "--noempty", "--noheadings", "-lpo", "KNAME").split()
    check("lsblk's list", set(), set(kernel_names) ^ set(paths(document)))
    for left_out in ("ram0", "loop7"):
        check(f"{left_out} is there", True, os.path.exists(f"/sys/block/{left_out}"))
        check(f"{left_out} is left out", False, f"/dev/{left_out}" in paths(document))


def test_entries(fleet):
    """Whoever is probed with all others is told as alone; all of NVMe and of stacks, and some disks."""
    document = every()
    chosen = [name for name in fleet if not name.startswith("sd")] + ["sda", "sdz", "sdaa"]
    for target in document["targets"]:
        if target["path"].removeprefix("/dev/") in chosen:
            check(f"{target['path']} as alone", tool("probe", "--json", target["path"]).target, target)
    kinds = {target["path"]: target["kind"] for target in document["targets"]}
    check("a namespace", "namespace", kinds[f"/dev/{fleet[0]}"])
    check("a partition", "partition", kinds[f"/dev/{fleet[0]}p1"])
    check("a stack", "block", kinds["/dev/md0"])


def test_sharing(fleet):
    """A drive is asked once, whatever rests on it."""
    disk = f"/dev/{fleet[0]}"
    targets = [disk, *[f"{disk}p{number}" for number in (1, 2, 3)], "/dev/mapper/fleet"]
    with tempfile.NamedTemporaryFile("r") as trace:
        done = run(["strace", "-f", "-e", "trace=ioctl", "-e", "raw=ioctl", "-o", trace.name, *TOOL, "probe", "--json",
                    *targets])
        commands = len(DEVICE_COMMANDS.findall(trace.read()))
    check("five targets on one drive are told", [False] * 5, ["error" in target for target in done.json["targets"]])
    verdict("device commands for five targets on one drive", 1 <= commands <= 4, "1 to 4", commands)


# ---------------------------------------------------------------- metrics


def samples(text):
    """The series of a document, read by the grammar of the format; raises where that does not fit."""
    found, family = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
        elif line.startswith("# TYPE "):
            if line.split(" ")[2:] != [family, "gauge"]:
                raise ValueError(line)
        else:
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\d+)", line).groups()
            if name != family or line.rsplit(" ", 1)[0] in found:
                raise ValueError(line)
            pairs = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            found[line.rsplit(" ", 1)[0]] = (name.removeprefix("nvme_atomic_"), pairs, int(value))
    return list(found.values())


def test_metrics(fleet):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "fleet.prom")
        result = tool("probe", "--all", "--prometheus", "--output", file)
        check("metrics exit code", 0, result.code)
        check("nothing on standard output", "", result.output)
        check("one file", ["fleet.prom"], os.listdir(folder))
        with open(file) as stream:
            series = samples(stream.read())
    values = {(name, labels.get("device")): value for name, labels, value in series}
    document = every()
    wrong = []
    for target in document["targets"]:
        expected = {
            "probe_success": 1, "torn_free_bytes": target["torn_free_bytes"],
            "device_power_fail_bytes": (target["device_limits"] or {}).get("power_fail_bytes"),
            "kernel_max_bytes": target["paths"]["kernel"]["max_bytes"],
            "queue_unit_max_bytes": (target["queue"] or {}).get("atomic_write_unit_max_bytes"),
        }
        for name, value in expected.items():
            if values.get((name, target["path"])) != value:
                wrong.append((target["path"], name, value, values.get((name, target["path"]))))
        findings = {labels["code"] for name, labels, _ in series
                    if name == "finding" and labels["device"] == target["path"]}
        if findings != {finding["code"] for finding in target["findings"]}:
            wrong.append((target["path"], "finding", findings))
    check("metrics are those of the document", [], wrong)
    verdict("some drive keeps 16 KiB", 16384 in [value for name, _, value in series
                                                  if name == "device_power_fail_bytes"], 16384, "none")


def test_question(fleet):
    document = every("--page-size", "4k", "--writer", "buffered", code=1)
    answers = {target["answer"]["atomic"] for target in document["targets"]}
    check("every device is answered for", {False}, answers)


def test_capabilities(_fleet):
    """What the example service keeps: root without any capability but one."""
    document = every()
    kept = run(["setpriv", "--bounding-set=-all,+sys_admin", "--inh-caps=-all", "--no-new-privs", *TOOL, "probe",
                "--all", "--json"])
    check("exit code with one capability", 0, kept.code)
    check("all is told with one capability", document, kept.json)
    less = run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *TOOL, "probe", "--all",
                "--json"])
    verdict("less is told with none", less.json != document, "another document", "the same")


# ---------------------------------------------------------------- devices that go away


@contextlib.contextmanager
def stopped_after_listing(*options):
    """The program, stopped by strace when it has the names of the devices and nothing of them yet.

    The second getdents64 is the one that finds no more names. Then strace is ended, which traces from
    aside: it would make every later call two changes of process."""
    with tempfile.NamedTemporaryFile("r") as trace:
        process = subprocess.Popen(
            ["strace", "-D", "-o", trace.name, "-e", "trace=getdents64", "-e", "inject=getdents64:signal=SIGSTOP:when=2",
             *TOOL, "probe", "--all", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        drives.wait_for(lambda: "stopped by SIGSTOP" in open(trace.name).read(), "the stop", 60)
        os.kill(int(status(process)["TracerPid"]), signal.SIGKILL)
        drives.wait_for(lambda: status(process)["State"].startswith("T"), "the stop without strace")
        yield process
        process.send_signal(signal.SIGCONT)


def status(process):
    lines = drives.read(f"/proc/{process.pid}/status").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_removal(fleet):
    """A SCSI disk and a whole drive go between the listing and the probe; both are entries with an error."""
    gone = {f"/dev/{name}" for name in remove_after_listing(fleet)}
    after = every()
    check("afterwards they are not listed", set(), gone & set(paths(after)))


def remove_after_listing(fleet):
    disk, namespace = max((name for name in fleet if name.startswith("sd")), key=natural), drives.namespace_node("gone")
    before = {target["path"]: target for target in every()["targets"]}
    with stopped_after_listing("--json") as process:
        drives.write(f"/sys/block/{disk}/device/delete", 1)
        slot = os.path.basename(os.path.realpath(f"/sys/block/{namespace}/device/device"))
        drives.write(f"/sys/bus/pci/devices/{slot}/remove", 1)
        drives.wait_for(lambda: not os.path.exists(f"/dev/{namespace}") and not os.path.exists(f"/dev/{disk}"),
                        "the removal")
    output, errors = process.communicate(timeout=120)
    check("removal exit code", 2, process.returncode)
    document = json.loads(output)
    check("removal schema", [], breaches(document))
    check("nobody is lost", list(before), paths(document))
    for target in document["targets"]:
        if target["path"] in (f"/dev/{disk}", f"/dev/{namespace}"):
            check(f"{target['path']} is an error", "not-found", target.get("error", {}).get("code"))
        elif target != before[target["path"]]:
            check(f"{target['path']} as before", before[target["path"]], target)
    check("a line for each", 2, errors.count("no such file or device"))
    return disk, namespace


# ---------------------------------------------------------------- cost


def test_cost(fleet):
    """A figure, not a check: time is noisy under emulation."""
    seconds = []
    for _ in range(5):
        process = subprocess.Popen([*TOOL, "probe", "--all", "--json"], stdout=subprocess.DEVNULL)
        seconds.append(os.wait4(process.pid, 0)[2].ru_utime)
        process.returncode = 0
    note(f"probe --all --json of {len(fleet) - 2} devices: {statistics.median(seconds) * 1000:.0f} ms user CPU, "
         "median of 5, emulated")


main()
