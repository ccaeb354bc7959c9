/// Who would write one range of a file atomically, as the range lies now: arithmetic on a mapping.
public struct RangePlacement: Hashable, Sendable {
  /// What becomes of one write with `RWF_ATOMIC`.
  public enum Fate: Hashable, Sendable {
    /// One command to the drive, at this place of the filesystem's device in bytes; `nil` where the
    /// blocks are allocated by the write, or where the place is not known.
    case drive(atBytes: UInt64?)
    /// XFS writes it elsewhere and moves the blocks in its log.
    case moved(MoveCause)
    /// Neither: the kernel refuses it.
    case refused
    /// It cannot be told.
    case unknown(PlacementDoubt)
  }

  /// The range as the filesystem reported it; `nil` where it could not be asked.
  public let mapping: FileMapping?
  /// What becomes of the write.
  public let fate: Fate

  /// Decides for the range of the mapping.
  public init(_ mapping: FileMapping, on target: TargetLimits) {
    self.mapping = mapping
    fate = Self.fate(of: mapping, on: target)
  }

  /// The filesystem could not be asked; the reason is a clause.
  init(unreadable reason: String) {
    mapping = nil
    fate = .unknown(.unreadable(reason))
  }

  /// Whether this is about the very range of a request.
  func isAbout(_ request: WriteRequest) -> Bool {
    guard case .one(let offset, let length) = request.range, let mapping else { return false }
    return offset == mapping.offsetBytes && length == mapping.lengthBytes
  }

  private static func fate(of mapping: FileMapping, on target: TargetLimits) -> Fate {
    guard let statx = target.statx else { return .unknown(.filesystem) }
    let (offset, length) = (mapping.offsetBytes, mapping.lengthBytes)
    guard statx.acceptsAtomicWrites, length.isPowerOfTwo, offset % length == 0,
      length >= UInt64(statx.atomicWriteUnitMin ?? .max),
      length <= UInt64(statx.atomicWriteUnitMax ?? 0)
    else { return .refused }
    let split = target.hardwareAndSoftware
    guard let hardware = split.hardwareMaximumBytes, let software = split.softwareMaximumBytes,
      let filesystem = target.filesystem
    else { return .unknown(.filesystem) }
    if length > hardware {
      if length > software { return .refused }
      return .moved(hardware == 0 ? .noDrive : .longerThanDrive(limitBytes: hardware))
    }
    // Where nothing is written elsewhere, one command writes whatever is there: XFS without reflink
    // one block, ext4 what it has made one mapping of.
    if software == 0, filesystem.reflink != true {
      let allowed = FileExtent.Flags.plain.union([.unknown, .delayedAllocation])
      if let doubt = mapping.reportDoubt(allowed) { return .unknown(doubt) }
      return .drive(atBytes: mapping.placeBytes)
    }
    if let doubt = mapping.pageDoubt ?? mapping.reportDoubt(.plain) { return .unknown(doubt) }
    return xfsFate(of: mapping, filesystem)
  }

  /// `fs/xfs/xfs_iomap.c:xfs_direct_write_iomap_begin`: what it refuses by `ENOPROTOOPT`, and what
  /// it finds shared, is written elsewhere.
  private static func xfsFate(of mapping: FileMapping, _ filesystem: FileSystemReport) -> Fate {
    if mapping.extents.contains(where: { $0.flags.contains(.shared) }) { return .moved(.shared) }
    guard let extent = mapping.coveringExtent else {
      if mapping.extents.isEmpty || mapping.hasHole {
        // One block is allocated and then sent to the drive.
        guard mapping.extents.isEmpty, mapping.lengthBytes == filesystem.blockSize else {
          return .moved(.hole(isWhole: mapping.extents.isEmpty))
        }
        return mapping.mayHaveCopies ? .unknown(.copiesSetAside) : .drive(atBytes: nil)
      }
      return .moved(.fragmented(pieces: mapping.extents.count, isAll: mapping.isComplete))
    }
    let place = extent.physicalBytes + (mapping.offsetBytes - extent.logicalBytes)
    // Counted from the begin of an allocation group, which is a multiple of every length that is
    // taken (`fs/xfs/xfs_mount.c:xfs_calc_group_awu_max`).
    guard place % mapping.lengthBytes == 0 else { return .moved(.misaligned(atBytes: place)) }
    return mapping.mayHaveCopies ? .unknown(.copiesSetAside) : .drive(atBytes: place)
  }
}

/// Why XFS writes a range elsewhere.
public enum MoveCause: Hashable, Sendable {
  /// The drive serves no atomic writes of this filesystem.
  case noDrive
  /// Longer than the optimal length.
  case longerThanDrive(limitBytes: UInt64)
  /// Blocks of it belong to another file too.
  case shared
  /// It lies in several pieces; `isAll` tells whether these are all of them.
  case fragmented(pieces: Int, isAll: Bool)
  /// Blocks of it are yet to be allocated.
  case hole(isWhole: Bool)
  /// It does not lie at a multiple of its length.
  case misaligned(atBytes: UInt64)
}

/// Why it cannot be told who writes a range.
public enum PlacementDoubt: Hashable, Sendable {
  /// The filesystem could not be asked, a clause says why.
  case unreadable(String)
  /// The filesystem's way of writing is not known.
  case filesystem
  /// The page cache has pages to write back.
  case unwrittenPages
  /// Whether it has is not told.
  case pagesNotCounted
  /// An extent without a place that everybody uses.
  case placeless(FileExtent.Flags)
  /// The report contradicts itself.
  case contradiction
  /// XFS may have blocks set aside for copies.
  case copiesSetAside
}

extension FileMapping {
  /// Whether the page cache will change the report before a write finds it: direct I/O has it
  /// written back first.
  fileprivate var pageDoubt: PlacementDoubt? {
    switch hasUnwrittenPages {
    case false?: nil
    case true?: .unwrittenPages
    case nil: .pagesNotCounted
    }
  }

  /// What makes the report no word on where a write would go.
  fileprivate func reportDoubt(_ allowed: FileExtent.Flags) -> PlacementDoubt? {
    var reached: UInt64 = 0
    for extent in extents {
      if !extent.flags.isSubset(of: allowed) {
        return .placeless(extent.flags.subtracting(allowed))
      }
      let (end, overflow) = extent.logicalBytes.addingReportingOverflow(extent.lengthBytes)
      guard !overflow, extent.lengthBytes > 0, extent.logicalBytes >= reached else {
        return .contradiction
      }
      reached = end
    }
    return nil
  }
}
