import LinuxIO
import NVMeAtomic
import TestSupport

extension FindingTests {
  /// Severity and layer, code, a target that has the cause, one that has not, part of the message.
  typealias Row = (String, FindingCode, String, String, String)

  static let rows: [Row] = driveRows + cloudRows + kernelRows + stackRows + filesystemRows

  private static let driveRows: [Row] = [
    ("warning device", .writeAtomicityNormalDisabled, "namespace-dn", "namespace", "DN is set"),
    ("info device", .volatileWriteCache, "namespace-4k-cached", "namespace", "caches writes"),
    ("info device", .volatileWriteCache, "controller-cached", "controller", "caches writes"),
    ("info device", .volatileWriteCache, "xfs-cached", "namespace-cache-off", "caches writes"),
    (
      "blocking kernel", .cacheNeverFlushed, "namespace-never-flushed", "namespace-4k-cached",
      "no flush"
    ),
    ("info device", .multipleAtomicityMode, "mam", "no mam", "Multiple Atomicity Mode"),
    ("info device", .sharedNamespace, "shared", "not shared", "several controllers"),
    ("warning device", .metadataFormat, "namespace-metadata", "namespace", "8 bytes of metadata"),
    (
      "warning device", .pathsNotExamined, "namespace-hidden-path", "namespace-one-path",
      "Which paths"
    ),
    (
      "warning kernel", .pathsDisagree, "namespace-path-merges", "namespace-one-path", "nvme0c0n1"
    ),
    ("warning device", .fabricsClaimDerived, "namespace-tcp", "namespace-nomerges", "(tcp)"),
  ]

  private static let cloudRows: [Row] = [
    (
      "info device", .vendorTornWriteFields, "amazon-volume", "amazon-bytes-elsewhere",
      "RWF_ATOMIC gains nothing"
    ),
    (
      "warning device", .vendorTornWriteFields, "amazon-volume-contradiction",
      "amazon-volume-zeroes", "not counted"
    ),
    (
      "info device", .cloudVolume, "amazon-volume", "amazon-bytes-elsewhere",
      "the provider's documentation, not the device, says that 4 KiB, 8 KiB and 16 KiB stay whole"
    ),
    (
      "info device", .cloudVolume, "azure-volume", "azure-name-over-tcp",
      "disks-torn-write-prevention"
    ),
    ("info device", .cloudVolume, "google-local", "namespace", "promises no length"),
    (
      "warning partition", .partitionMisaligned, "amazon-partition-misaligned",
      "amazon-partition", "16 KiB"
    ),
  ]

  private static let kernelRows: [Row] = [
    ("blocking kernel", .kernelTooOld, "namespace-6.10", "namespace-6.12", "for block devices"),
    ("blocking kernel", .kernelTooOld, "ext4 on 6.12", "ext4-6.14", "Linux 6.12 has no"),
    (
      "blocking kernel", .awupfIgnoredByKernel, "namespace-awupf-7.3", "namespace-awupf-6.12",
      "16 KiB controller-wide"
    ),
    (
      "warning kernel", .controllerWideLimit, "namespace-awupf-6.12", "namespace-awupf-7.3",
      "AWUPF"
    ),
    (
      "blocking kernel", .boundaryOffsetUnsupported, "namespace-boundary-offset",
      "namespace-boundary", "begin at 4 KiB"
    ),
    (
      "blocking kernel", .boundaryNotPowerOfTwo, "namespace-odd-boundary", "namespace-boundary",
      "24 KiB"
    ),
    (
      "warning device", .boundaryNotPowerOfTwo, "ignored odd boundary", "namespace-awupf-7.3",
      "at most 8 KiB"
    ),
    ("warning kernel", .cappedByTransferLimit, "mdts 2", "mdts 3", "kernel's limit is 8 KiB"),
    ("info kernel", .roundedDownToPowerOfTwo, "24 KiB", "32 KiB", "24 KiB whole"),
    ("warning kernel", .adjacentBatchHazard, "24 KiB", "32 KiB", "merged up to 24 KiB"),
    ("info kernel", .neighboursMayMerge, "namespace", "namespace-nomerges", "up to 128 KiB"),
    ("info kernel", .neighboursMayMerge, "namespace-boundary", "128 KiB", "up to 128 KiB"),
  ]

  private static let stackRows: [Row] = [
    (
      "blocking partition", .partitionMisaligned, "partition-misaligned", "partition-boundary",
      "begins at 1052672"
    ),
    (
      "blocking partition", .partitionMisaligned, "ext4-misaligned-partition", "ext4-partition",
      "16 KiB"
    ),
    (
      "blocking stack", .stackedDeviceDropsAtomics, "dm-without-atomics", "dm",
      "this kernel passes none through linear"
    ),
    (
      "blocking stack", .stackedDeviceDropsAtomics, "dm-snapshot", "dm-linear",
      "the target snapshot takes none"
    ),
    ("blocking stack", .stackedDeviceDropsAtomics, "md-raid5", "md-raid1", "md raid5 takes none"),
    (
      "blocking stack", .stackedDeviceDropsAtomics, "dm-unequal-boundaries", "dm",
      "members differ (none, 16 KiB)"
    ),
    (
      "blocking stack", .stackedDeviceDropsAtomics, "dm-misaligned", "dm-boundary",
      "begins at 4096 on /dev/nvme0n1, off a multiple of 16 KiB"
    ),
    (
      "blocking stack", .stackedDeviceDropsAtomics, "dm-chunk-off-boundary", "dm-striped",
      "chunk of 12 KiB does not go into the boundary of 16 KiB"
    ),
    (
      "warning stack", .stackedDeviceNarrowsAtomics, "dm-striped-small", "dm-striped",
      "its chunk is 8 KiB"
    ),
    ("warning stack", .stackedDeviceNarrowsAtomics, "md-raid0-small", "md-raid0", "is 4 KiB"),
    (
      "warning stack", .stackedDeviceNarrowsAtomics, "dm-odd-seam", "dm",
      "begin at multiples of 4 KiB only"
    ),
    (
      "warning stack", .stackedDeviceNarrowsAtomics, "dm-unequal-units", "dm",
      "its member /dev/nvme0n1 takes 4 KiB, others more"
    ),
    (
      "warning stack", .stackedDeviceNarrowsAtomics, "dm-offers-too-much", "dm",
      "offers atomic writes of up to 16 KiB, of which its member /dev/nvme0n1 takes 4 KiB only"
    ),
    ("warning stack", .stackedDeviceDropsAtomics, "xfs-on-loop", "xfs", "/dev/loop0 (loop)"),
    ("info stack", .notNVMe, "loop", "namespace", "nothing is known of the hardware"),
    ("info stack", .notNVMe, "btrfs", "tmpfs", "nothing is known of the hardware"),
  ]

  private static let filesystemRows: [Row] = [
    ("blocking filesystem", .filesystemWithoutAtomics, "btrfs", "ext4", "btrfs has no atomic"),
    (
      "blocking filesystem", .filesystemWithoutAtomics, "ext4 on 2 KiB", "ext4 on 4 KiB",
      "4 KiB blocks offers no atomic writes on a device that takes up to 2 KiB"
    ),
    (
      "warning filesystem", .noNewFile, "directory-no-unnamed-files", "directory-ext4",
      "No file can be made"
    ),
    ("warning filesystem", .filesystemSingleBlock, "ext4", "ext4-bigalloc", "one block of 4 KiB"),
    ("warning filesystem", .filesystemSingleBlock, "xfs-no-reflink", "xfs", "block of 4 KiB"),
    (
      "warning filesystem", .filesystemSingleBlock, "xfs-no-reflink", "xfs-no-reflink-realtime",
      "block of 4 KiB"
    ),
    ("warning filesystem", .softwareBacked, "xfs-software", "xfs", "up to 2 MiB whole by copy"),
    ("warning filesystem", .softwareBacked, "xfs-on-loop", "xfs-no-reflink", "copy-on-write"),
    ("warning filesystem", .rangeFallsToSoftware, "xfs", "xfs-software", "Up to 16 KiB the drive"),
    ("blocking filesystem", .journalledData, "ext4-journalled", "ext4", "journalled"),
  ]

  /// A fixture by its name, or one that no other test wants.
  static func target(_ name: String) -> FixtureTarget? {
    switch name {
    case "mam": drive { $0.nsfeat = 0x42 }
    case "no mam": drive { $0.nsfeat = 0x82 }
    case "shared": drive { $0.nmic = 1 }
    case "not shared": drive { $0.nmic = 2 }
    case "mdts 2": drive { $0.mdts = 2 }
    case "mdts 3": drive { $0.mdts = 3 }
    case "24 KiB": drive { $0.nawupf = 47 }
    case "32 KiB": drive { $0.nawupf = 63 }
    case "128 KiB": drive { ($0.nawun, $0.nawupf) = (255, 255) }
    case "ignored odd boundary":
      .namespace(name, .linux7_3, .controllerWide.with { $0.nabspf = 47 })
    case "ext4 on 2 KiB": ext4(FixtureDrive { $0.nawupf = 3 })
    case "ext4 on 4 KiB": ext4(FixtureDrive { $0.nawupf = 7 })
    case "ext4 on 6.12":
      .file(name, .linux6_12) { .ext4(on: $0).with { $0.atomicWrite = nil } }
    default: FixtureTarget.named(name)
    }
  }

  private static func drive(_ change: (inout FixtureDrive) -> Void) -> FixtureTarget {
    .namespace("drive", .linux7_3, FixtureDrive(change))
  }

  private static func ext4(_ drive: FixtureDrive) -> FixtureTarget {
    .file("ext4", device: { $0.addNamespace(drive) }) { .ext4(on: $0) }
  }
}
