"""Readers and writers on a real NVMe driver: what is promised holds, what is beyond it is seen torn, and the tool tells which."""

import drives
from checks import cell, check, finish, note, verdict
from commands import mounted, succeed, tool, xfs_io_statx

KIB, MIB = 1024, 1024 * 1024
TIME = "500ms"


def main():
    for part in (test_kernel, test_passthrough, test_nothing_beyond, test_disabled, test_mergeable, test_files, test_refusals):
        with cell(part.__name__):
            part()
    finish()


def node(serial):
    return "/dev/" + drives.namespace_node(serial)


def verify(name, path, *options, code, result):
    """One run; its document, and the sizes by kind and length."""
    done = tool("verify", "tearing", path, "--json", *options)
    verdict(f"{name} exit code", done.code == code, code, f"{done.code} {done.errors.strip()} {done.output[:400]}")
    document = done.json
    check(f"{name} result", result, document.get("result"))
    check(f"{name} self-check", {"in_memory": True, "on_target": True}, document["self_check"])
    sizes = {(size["control"], size["bytes"]): size for size in document["sizes"]}
    for (control, length), size in sizes.items():
        note(f"{name} {control or 'path'} {length}: {size['writes']} writes, {size['reads']} reads, "
             f"{size['overlapped_reads']} during a write, {torn(size)} torn, {size['stale'] + size['foreign']} of other data")
        if control or size["promised"] != "no":
            check(f"{name} {control} {length} is never stale nor foreign", (0, 0), (size["stale"], size["foreign"]))
        seen = size["saw_old"] + size["saw_new"] + size["torn"] + size["damaged"] + size["stale"] + size["foreign"]
        check(f"{name} {control} {length} adds up", size["reads"], seen)
    note(f"{name}: {document['because']}")
    return sizes


def torn(size):
    return size["torn"] + size["damaged"] + size["left_torn"]


def holds(name, sizes, expected):
    """Each size within the limits is promised, was overlapped, and was never seen torn."""
    within = {length: size for (control, length), size in sizes.items() if control is None}
    check(f"{name} sizes", expected, sorted(within))
    for length, size in within.items():
        check(f"{name} {length} is promised", ("yes", False), (size["promised"], size["read_may_be_split"]))
        verdict(f"{name} {length} overlaps", size["overlapped_reads"] > 20 and size["overlapped_writes"] > 0, "> 20, > 0",
                (size["overlapped_reads"], size["overlapped_writes"]))
        check(f"{name} {length} torn", 0, torn(size))


def test_kernel():
    sizes = verify("kernel", node("keeps"), "--runtime", TIME, code=0, result="untorn")
    holds("kernel", sizes, [4 * KIB, 8 * KIB, 16 * KIB])
    control = sizes["one-command", 512 * KIB]
    verdict("kernel control is seen torn", torn(control) >= 10, ">= 10", torn(control))
    check("kernel several commands", True, ("several-commands", 2 * MIB) in sizes)


def test_passthrough():
    """Also what is no power of two, by the character device; the namespace is free again afterwards."""
    sizes = verify("passthrough", node("keeps").replace("nvme", "ng", 1), "--path", "passthrough", "--block-size", "4k",
                   "--block-size", "12k", "--runtime", TIME, code=0, result="untorn")
    holds("passthrough", sizes, [4 * KIB, 12 * KIB])


def test_nothing_beyond():
    """A drive that says that it keeps any command whole: several commands are seen torn, and that shows nothing of one."""
    sizes = verify("any", node("any"), "--block-size", "16k", "--runtime", TIME, code=2, result="inconclusive")
    holds("any", sizes, [16 * KIB])
    check("any has no longer command", False, any(control == "one-command" for control, _ in sizes))


def test_disabled():
    """DN: the host has told the drive that readers do not matter, and none is promised anything."""
    path = node("keeps")
    set_normal(path, 1)
    sizes = verify("disabled", path, "--block-size", "16k", "--runtime", "100ms", code=2, result="not-promised")
    check("disabled is not promised", "no", sizes[None, 16 * KIB]["promised"])
    set_normal(path, 0)


def set_normal(path, disabled):
    controller = "/dev/" + drives.controller_of(path[5:])
    succeed("nvme", "set-feature", controller, "-f", "0x0a", "--value", disabled)


def test_mergeable():
    """Ordinary writes that the kernel may merge are promised nothing."""
    sizes = verify("mergeable", node("keeps"), "--path", "plain", "--block-size", "16k", "--runtime", "100ms", code=2,
                   result="not-promised")
    check("mergeable is not promised", "no", sizes[None, 16 * KIB]["promised"])


def test_files():
    """On XFS the drive keeps what lies in one aligned piece, which is looked at before and after."""
    path = node("keeps")
    succeed("mkfs.xfs", "-q", "-f", "-K", path)
    with mounted(path, "/tmp/tearing"):
        with open("/tmp/tearing/other", "wb") as other:
            other.write(bytes(4096))
        has_atomics = xfs_io_statx("/tmp/tearing/other")["atomic_write_unit_max"] > 0
        if has_atomics:
            see_xfs("/tmp/tearing/file")
    succeed("wipefs", "-a", path)
    if not has_atomics:
        note("this kernel has no RWF_ATOMIC on files")
        see_ordinary(path)


def see_xfs(file):
    sizes = verify("xfs", file, "--size", "64m", "--block-size", "4k", "--block-size", "16k", "--runtime", TIME, code=0,
                   result="untorn")
    holds("xfs", sizes, [4 * KIB, 16 * KIB])
    sizes = verify("xfs beyond", file, "--block-size", "32k", "--runtime", TIME, code=2, result="not-promised")
    check("xfs beyond is not promised", "no", sizes[None, 32 * KIB]["promised"])
    note("xfs beyond: where writers meet, a read may see other data than were written there: Linux 7.3 does that")


def see_ordinary(path):
    """Ordinary writes that nobody can merge or split are promised what the drive promises."""
    drives.write(drives.queue_setting(path[5:], "nomerges"), 2)
    sizes = verify("ordinary", path, "--path", "plain", "--block-size", "16k", "--runtime", TIME, code=0, result="untorn")
    holds("ordinary", sizes, [16 * KIB])
    drives.write(drives.queue_setting(path[5:], "nomerges"), 0)


def test_refusals():
    path = node("keeps")
    succeed("mkfs.ext4", "-q", "-F", path)
    done = tool("verify", "tearing", path, "--json")
    check("signature", (2, "refused"), (done.code, done.json["error"]["code"]))
    with mounted(path, "/tmp/tearing"):
        done = tool("verify", "tearing", path, "--json", "--overwrite-existing-data")
        check("mounted", (2, "busy"), (done.code, done.json["error"]["code"]))


main()
