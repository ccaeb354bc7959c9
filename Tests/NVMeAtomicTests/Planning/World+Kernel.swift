@testable import NVMeAtomic

/// The NVMe driver's two ways of reading Identify.
enum KernelRules: CaseIterable {
  /// Until Linux 6.19: AWUPF counts where the namespace defines nothing.
  case awupf
  /// Since Linux 7.0: one block where the namespace defines nothing.
  case namespaceOnly
}

extension UInt64 {
  /// The largest power of two that is not larger, by trial.
  var roundedToPowerOfTwo: UInt64 {
    var power: UInt64 = 1
    while power * 2 <= self { power *= 2 }
    return self == 0 ? 0 : power
  }
}

extension World {
  /// `drivers/nvme/host/core.c:nvme_configure_atomic_write`, then
  /// `block/blk-settings.c:blk_atomic_writes_update_limits` and its validation.
  mutating func deriveQueue(_ rules: KernelRules) {
    let block = drive.block
    var largest = block
    var boundary: UInt64 = 0
    if drive.nabo != 0 {
      largest = 0
    } else if drive.isNamespaceUnit {
      largest = drive.powerFail
      boundary = drive.powerFailLines?.size ?? 0
    } else if rules == .awupf {
      largest = drive.powerFail
    }
    if boundary != 0, boundary.roundedToPowerOfTwo != boundary || largest > boundary { largest = 0 }
    let transfer = (target.queue.maxHWSectorsKB ?? 0) * 1024
    let segments = min(256, target.queue.maxSegments ?? 0)
    let guaranteed = min(segments, 2) * block + (segments - min(segments, 2)) * 4096
    let limit = min(transfer, guaranteed).roundedToPowerOfTwo
    target.queue.atomicWriteUnitMinBytes = largest == 0 ? 0 : min(block, limit)
    target.queue.atomicWriteUnitMaxBytes = min(largest.roundedToPowerOfTwo, limit)
    target.queue.atomicWriteMaxBytes = min(largest, transfer)
    target.queue.atomicWriteBoundaryBytes = largest == 0 ? 0 : boundary
  }

  /// What `statx(2)` says of a block device on this queue: `bdev_can_atomic_write` on a partition.
  mutating func deriveDeviceStatx() {
    let queue = target.queue
    let (shortest, longest) = usableUnits
    target.statx = .some(
      unitMin: shortest,
      unitMax: longest,
      optimal: 0,
      offsetAlign: queue.logicalBlockSize ?? drive.block
    )
  }

  /// The queue's units as `block/bdev.c:bdev_can_atomic_write` lets them through: none where the
  /// partition begins at the wrong place.
  var usableUnits: (UInt64, UInt64) {
    let queue = target.queue
    let (shortest, longest) = (
      queue.atomicWriteUnitMinBytes ?? 0, queue.atomicWriteUnitMaxBytes ?? 0
    )
    let alignment = max(shortest, queue.atomicWriteBoundaryBytes ?? 0)
    guard longest > 0, alignment > 0, start % alignment == 0 else { return (0, 0) }
    return (shortest, longest)
  }

  /// `fs/ext4/super.c:ext4_atomic_write_init`: one block, or one cluster of bigalloc.
  mutating func deriveExt4(block: UInt64, cluster: UInt64? = nil) {
    target.kind = .file
    target.sizeBytes = nil
    target.filesystem = FileSystemReport(type: "ext4")
    target.filesystem?.blockSize = block
    target.filesystem?.extents = true
    target.filesystem?.journal = true
    target.filesystem?.externalJournal = false
    target.filesystem?.barriers = true
    let (deviceMin, deviceMax) = usableUnits
    let shortest = max(block, deviceMin)
    let longest = deviceMax == 0 ? 0 : min(cluster ?? block, deviceMax)
    let isOffered = longest > 0 && shortest <= longest
    target.statx = .some(
      unitMin: isOffered ? shortest : 0,
      unitMax: isOffered ? longest : 0,
      optimal: 0,
      offsetAlign: drive.block
    )
  }

  /// `fs/xfs/xfs_iops.c`: one block without reflink; with it up to the software limit.
  ///
  /// `optimal` is false on Linux 6.13 to 6.15: single blocks by the drive only, nothing else told.
  mutating func deriveXFS(block: UInt64, reflink: Bool, software: UInt64, optimal: Bool = true) {
    target.kind = .file
    target.sizeBytes = nil
    var report = FileSystemReport(type: "xfs")
    (report.blockSize, report.reflink, report.realtime) = (block, reflink, false)
    report.externalLog = false
    target.filesystem = report
    let (deviceMin, deviceMax) = usableUnits
    let drives = deviceMax > 0 && deviceMin <= block && block <= deviceMax
    var (longest, best): (UInt64, UInt64) = (drives ? block : 0, 0)
    if reflink, optimal {
      longest = software
      best = drives && software > block ? min(software, deviceMax) : 0
    }
    target.statx = .some(
      unitMin: longest == 0 ? 0 : block,
      unitMax: longest,
      optimal: best,
      offsetAlign: drive.block
    )
  }
}

extension StatxLimits {
  static func some(
    unitMin: UInt64,
    unitMax: UInt64,
    optimal: UInt64,
    offsetAlign: UInt64
  ) -> StatxLimits {
    var statx = StatxLimits()
    statx.atomicWriteUnitMin = UInt32(unitMin)
    statx.atomicWriteUnitMax = UInt32(unitMax)
    statx.atomicWriteUnitMaxOpt = UInt32(optimal)
    statx.atomicWriteSegmentsMax = unitMax > 0 ? 1 : 0
    statx.dioMemAlign = 4
    statx.dioOffsetAlign = UInt32(offsetAlign)
    return statx
  }
}
