import TestSupport
import Testing

@testable import NVMeAtomic

/// What is told to type, with the nodes and numbers of the target. The virtual machines' group
/// `remedies` types each of these and looks whether it helped.
@Suite struct RemedyTests {
  typealias Row = (FindingCode, FixtureTarget, String?)

  static let rows: [Row] =
    queueRows + driveRows + formatRows + partitionRows + filesystemRows + accessRows

  private static let queueRows: [Row] = [
    (
      .neighboursMayMerge, .namespace(""), "echo 2 | sudo tee /sys/block/nvme0n1/queue/nomerges"
    ),
    (
      .adjacentBatchHazard, drive { $0.nawupf = 47 },
      "echo 2 | sudo tee /sys/block/nvme0n1/queue/nomerges"
    ),
    (
      .cacheNeverFlushed, named("namespace-never-flushed"),
      "echo 'write back' | sudo tee /sys/block/nvme0n1/queue/write_cache"
    ),
  ]

  private static let driveRows: [Row] = [
    (
      .writeAtomicityNormalDisabled, named("namespace-dn"),
      "sudo nvme set-feature /dev/nvme0 --feature-id=0x0a --value=0"
    ),
    (.volatileWriteCache, named("namespace-4k-cached"), nil),
  ]

  private static let formatRows: [Row] = [
    // The decoys have 64 KiB blocks: there is nothing to format to.
    (.metadataFormat, named("namespace-metadata"), nil),
    (
      .metadataFormat, drive { ($0.metadataBytes, $0.decoyLBADS) = (8, 9) },
      "sudo nvme format /dev/nvme0n1 --lbaf=0   # destroys all data"
    ),
    (
      .metadataFormat,
      drive { ($0.metadataBytes, $0.decoyLBADS, $0.flbas, $0.fna) = (8, 12, 0, 1) },
      "sudo nvme format /dev/nvme0n1 --lbaf=1   # destroys all data of every namespace of the drive"
    ),
    (.cappedByTransferLimit, drive { $0.mdts = 2 }, nil),
  ]

  private static let partitionRows: [Row] = [
    (
      .partitionMisaligned, named("partition-misaligned"),
      "echo 'start=2080, size=1048552' | sudo sfdisk --partno 1 /dev/nvme0n1"
        + "   # destroys all data of the partition"
    )
  ]

  private static let filesystemRows: [Row] = [
    (
      .filesystemSingleBlock, named("ext4"),
      "sudo umount /dev/nvme0n1 && sudo mkfs.ext4 -O bigalloc -C 16384 /dev/nvme0n1"
        + "   # destroys all data"
    ),
    (
      .filesystemSingleBlock, named("xfs-no-reflink"),
      "sudo umount /dev/nvme0n1 && sudo mkfs.xfs -f -m reflink=1 /dev/nvme0n1"
        + "   # destroys all data"
    ),
    (.filesystemWithoutAtomics, named("btrfs"), "put the file on XFS, or on ext4 with bigalloc"),
    (.journalledData, named("ext4-journalled"), "sudo chattr -j /mnt/file"),
    (
      .rangeFallsToSoftware, named("xfs"),
      "sudo umount /dev/nvme0n1 && sudo mkfs.xfs -f -d su=16384,sw=1,extszinherit=4 /dev/nvme0n1"
        + "   # destroys all data"
    ),
    (.softwareBacked, named("xfs-software"), nil),
  ]

  private static let accessRows: [Row] = [
    (.noNewFile, named("directory-no-unnamed-files"), "probe a file that is there"),
    (.kernelTooOld, named("namespace-6.10"), "boot Linux 6.11 or newer"),
  ]

  @Test(arguments: rows)
  func remedyNamesWhatIsThere(code: FindingCode, target: FixtureTarget, remedy: String?) throws {
    let finding = try #require(target.report().findings.first { $0.code == code })
    #expect(finding.remedy == remedy)
  }

  @Test(
    arguments: [
      ("/dev/nvme0n1", "/dev/nvme0n1"), ("/a b", "'/a b'"), ("/it's", #"'/it'\''s'"#),
      ("/$(x)", "'/$(x)'"), ("-rf", "./-rf"), ("", "''"), ("/ü", "'/ü'"),
      ("/a\nb'", #"$'/a\012b\047'"#), ("/\u{7f}", #"$'/\177'"#), ("\u{1}\\", #"$'\001\134'"#),
    ]
  )
  func pathIsOneWordOfTheShell(path: String, word: String) {
    #expect(ShellWord(path).description == word)
  }

  private static func named(_ name: String) -> FixtureTarget {
    FixtureTarget.named(name) ?? .namespace("no fixture is called \(name)")
  }

  private static func drive(_ change: (inout FixtureDrive) -> Void) -> FixtureTarget {
    .namespace("drive", .linux7_3, FixtureDrive(change))
  }
}
