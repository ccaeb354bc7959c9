"""The paths whose promise is held to power cuts, each on a drive of its own."""

import os
import subprocess
import tempfile
from dataclasses import dataclass

import payload
import workload
from disk import CHUNK, Content

KIB, MIB = 1024, 1 << 20
UNIT = 16 * KIB
CONTROL_PAGE, CONTROL_PAGES = 64 * KIB, 4
FIRST_CHAIN = 100


@dataclass(frozen=True)
class Path:
    """What is written by which lanes; `unit` is what the drive declares to keep whole."""
    name: str
    path: str
    unit: int
    lanes: tuple
    shape: object
    chain_length: int
    chains: int
    filesystem: str = ""
    make: tuple = ()
    size: int = 64 * MIB
    journal_region: str = ""
    since: tuple = (6, 11)
    is_control: bool = False
    tail_length: int = 0

    @property
    def data_begin(self):
        """Behind the blocks in which a partition table would be looked for."""
        return 0 if self.filesystem else MIB

    @property
    def whole_begin(self):
        """ext4's superblock, which it writes in place: where that is torn its checksum is wrong, and nothing can be mounted."""
        return 4096 if self.filesystem == "ext4" else 0

    @property
    def recovers(self):
        """Whether starting again writes, and can be cut off: where XFS alone recovers it is not, see PowerCuts."""
        return bool(self.filesystem or self.journal_region) and self.path != "exchange"

    @property
    def makes_journal(self):
        """By the first transaction of a file."""
        return self.path == "journal" and bool(self.filesystem)

    @property
    def data_length(self):
        return self.chain_length * self.chains

    @property
    def tail_begin(self):
        """Apart from what lies before: who makes a file longer has its last block, too."""
        return self.data_begin + self.data_length + UNIT

    @property
    def control_begin(self):
        return 0 if self.filesystem else 32 * MIB

    @property
    def control_length(self):
        return CONTROL_PAGE * CONTROL_PAGES

    def plan(self, number):
        """What the guest is to know. The drive's identity outlives a power cut, as a journal rests on it."""
        return {"name": self.name, "path": self.path, "filesystem": self.filesystem, "lanes": list(self.lanes),
                "journal_region": self.journal_region, "uuid": f"5bd0a1f0-9f1b-4c6e-8a52-0000000000{number:02}",
                "file_length": self.tail_begin, "parts": [["target", self.data_begin, self.data_length],
                ["target", self.tail_begin, self.tail_length], ["control", self.control_begin, self.control_length]],
                "control_length": self.control_length}

    def make_chains(self):
        magic = payload.PLAIN if self.is_control else payload.ATOMIC
        chains = [workload.Chain(FIRST_CHAIN + number, self.data_begin + number * self.chain_length, self.chain_length, self.shape,
                                 self.chain_length, magic) for number in range(self.chains)]
        if self.tail_length:
            chains.append(workload.Chain(FIRST_CHAIN + self.chains, self.tail_begin, self.tail_length, workload.growing, 0, magic))
        return chains

    def page_length(self, owner):
        """Of a page of plain writes."""
        return CONTROL_PAGE if owner < CONTROL_PAGES else self.chain_length

    def make_content(self, tree):
        """A new drive, with a filesystem that the virtual machines' Debian makes."""
        if not self.make:
            return Content()
        library = f"{tree}/usr/lib/x86_64-linux-gnu"
        with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
            os.truncate(file.name, self.size)
            subprocess.run([f"{library}/ld-linux-x86-64.so.2", "--library-path", library, f"{tree}/usr/sbin/{self.make[0]}",
                            *self.make[1:], file.name], check=True, stdout=subprocess.DEVNULL)
            return read_sparse(file.name, self.size)


def read_sparse(path, size):
    """What is not a hole, in whole chunks."""
    content, end = Content(), 0
    with open(path, "rb") as file:
        while end < size:
            try:
                data = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            begin = data // CHUNK * CHUNK
            end = -(-os.lseek(file.fileno(), data, os.SEEK_HOLE) // CHUNK) * CHUNK
            content.write(begin, os.pread(file.fileno(), end - begin, begin))
    return content


EXT4 = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard")
XFS = ("mkfs.xfs", "-q", "-K", "-i", "exchange=1")
PAGES = {"shape": workload.part_of_page, "chain_length": UNIT, "chains": 24, "lanes": ("queue:8", "single")}
TRANSACTIONS = {"shape": workload.scattered, "chain_length": 128 * KIB, "chains": 3}
OF_DEVICE = {**TRANSACTIONS, "lanes": ("transaction",) * 3}
OF_FILE = {**TRANSACTIONS, "lanes": ("transaction",) * 4, "tail_length": 192 * KIB}

PATHS = (
    Path("kernel", "kernel", UNIT, **PAGES),
    Path("passthrough", "passthrough", UNIT, shape=workload.blocks, chain_length=32 * KIB, chains=12, lanes=("queue:8", "single")),
    Path("kernel-ext4", "kernel", UNIT, **PAGES, filesystem="ext4", make=(*EXT4, "-O", "bigalloc", "-C", "16384"), since=(6, 16)),
    Path("kernel-xfs", "kernel", UNIT, **PAGES, filesystem="xfs", make=XFS, size=320 * MIB, since=(6, 16)),
    # XFS keeps this one, and is given the 4 KiB of its own blocks.
    Path("exchange", "exchange", 4 * KIB, **OF_FILE, filesystem="xfs", make=XFS, size=320 * MIB),
    # These rest on no drive's unit: here it is one block, and everything longer is torn.
    Path("journal", "journal", 512, **OF_DEVICE, journal_region=f"{40 * MIB}:{8 * MIB}"),
    Path("journal-ext4", "journal", 512, **OF_FILE, filesystem="ext4", make=EXT4, size=192 * MIB),
    # What users have: the workload and the check of the tool, and no judge of ours.
    Path("verify-crash", "kernel", UNIT, lanes=(), shape=None, chain_length=0, chains=0),
    Path("plain", "plain", 512, shape=workload.whole_page, chain_length=UNIT, chains=24, lanes=("queue:8",), is_control=True),
)
