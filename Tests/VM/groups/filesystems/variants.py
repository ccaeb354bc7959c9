"""Filesystems, how each is made, and what it is expected to promise: worked out from the drive's facts by
fs/ext4/super.c, fs/xfs/xfs_iops.c and the words of the README, without the tool."""

from dataclasses import dataclass, field

KIB = 1024
MIB = 1 << 20
BLOCK = 4 * KIB
XFS = ["mkfs.xfs", "-q", "-f", "-K"]
EXT4 = ["mkfs.ext4", "-q", "-F", "-b", "4096"]
CLUSTERS = ["-O", "bigalloc", "-C"]


@dataclass
class Variant:
    name: str
    make: list
    serial: str = "small"
    options: str = ""
    type: str = None  # by mountinfo; the first word of the name where it is left out
    # What the kernel offers: "block", "cluster", "software", "nothing".
    offer: str = "nothing"
    cluster: int = BLOCK
    reflink: object = None
    # What the tool may claim of that: all, nothing for want of a fact, or nothing at all.
    claim: str = "all"
    findings: list = field(default_factory=list)
    # Whether one block of an ordinary direct write may be answered with yes.
    in_place: bool = False
    software_limit: int = 0  # 0: the kernel's own choice

    @property
    def kind(self):
        return self.type or self.name.split()[0]


def ext4(name, *make, **values):
    return Variant(f"ext4 {name}", [*EXT4, *make], **{"in_place": True, **values})


def clustered(name, cluster, *make, **values):
    return ext4(name, *CLUSTERS, str(cluster), *make, **{"offer": "cluster", "cluster": cluster, **values})


def xfs(name, *make, **values):
    return Variant(f"xfs {name}", [*XFS, *make], **{"offer": "software", "reflink": True,
                                                    "findings": ["range-falls-to-software"], **values})


JOURNAL_ELSEWHERE = "journal elsewhere"
REALTIME = "real-time"
SOFTWARE_ONLY = ["software-backed"]

VARIANTS = [
    ext4("with blocks", offer="block", findings=["filesystem-single-block"]),
    clustered("with clusters", 16 * KIB),
    clustered("with large clusters", 64 * KIB),
    clustered("with clusters larger than the drive's limit", 256 * KIB),
    clustered("on 4 KiB blocks", 64 * KIB, serial="large"),
    clustered("within a boundary", 64 * KIB, serial="bounded"),
    # The drive caches writes, and nothing keeps their order.
    clustered("without a journal", 16 * KIB, "-O", "^has_journal", claim="none", in_place=False),
    clustered("without barriers", 16 * KIB, options="nobarrier", claim="none", in_place=False),
    clustered(JOURNAL_ELSEWHERE, 16 * KIB, claim="unknown", in_place=False),
    ext4(f"with blocks, {JOURNAL_ELSEWHERE}", offer="block", claim="unknown", in_place=False,
         findings=["filesystem-single-block"]),
    clustered("with journalled data", 16 * KIB, options="data=journal", claim="none",
              findings=["journalled-data"], in_place=False),
    ext4("on a limit of the controller", serial="controller-wide", findings=["filesystem-without-atomics"]),
    xfs("with reflink"),
    xfs("on 4 KiB blocks", serial="large"),
    xfs("within a boundary", serial="bounded"),
    xfs("without reflink", "-m", "reflink=0", offer="block", reflink=False, findings=["filesystem-single-block"],
        in_place=True),
    xfs("limited to 64 KiB", options="max_atomic_write=64k", software_limit=64 * KIB),
    xfs("limited to 4 MiB", options="max_atomic_write=4m", software_limit=4 * MIB),
    xfs("on a limit of the controller", serial="controller-wide", findings=SOFTWARE_ONLY),
    xfs(REALTIME, "-m", "reflink=0", "-d", "rtinherit=1", offer="block", reflink=False, claim="unknown", findings=[]),
    Variant("btrfs", ["mkfs.btrfs", "-q", "-f"], findings=["filesystem-without-atomics"]),
    Variant("ext2", ["mkfs.ext2", "-q", "-F", "-b", "4096"], findings=["filesystem-without-atomics"]),
    Variant("ext3", ["mkfs.ext3", "-q", "-F", "-b", "4096"], findings=["filesystem-without-atomics"]),
    Variant("f2fs", ["mkfs.f2fs", "-q", "-f"], findings=["filesystem-without-atomics"]),
    Variant("vfat", ["/proc/1/root/bin/busybox", "mkdosfs"], findings=["filesystem-without-atomics"]),
    Variant("tmpfs", [], findings=["filesystem-without-atomics"]),
]
