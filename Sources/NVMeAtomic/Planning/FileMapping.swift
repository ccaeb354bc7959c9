/// One piece of a file as the filesystem reports it: `struct fiemap_extent`.
public struct FileExtent: Hashable, Sendable {
  /// What the filesystem says of a piece; bits are the kernel's, `FIEMAP_EXTENT_*`.
  public struct Flags: OptionSet, Hashable, Sendable {
    /// Bits of the flags below.
    public let rawValue: UInt32

    /// Keeps the bits.
    public init(rawValue: UInt32) {
      self.rawValue = rawValue
    }

    /// The last piece of the file, or of the range that was asked for.
    public static let last = Flags(rawValue: 0x1)
    /// The place is not known.
    public static let unknown = Flags(rawValue: 0x2)
    /// No place is given yet: the page cache holds what is to be written.
    public static let delayedAllocation = Flags(rawValue: 0x4)
    /// The data cannot be read at the place.
    public static let encoded = Flags(rawValue: 0x8)
    /// The filesystem encrypts the data.
    public static let encrypted = Flags(rawValue: 0x80)
    /// The place need not be aligned to blocks.
    public static let notAligned = Flags(rawValue: 0x100)
    /// The data lie among metadata.
    public static let inline = Flags(rawValue: 0x200)
    /// Several files in one block.
    public static let tail = Flags(rawValue: 0x400)
    /// Allocated and never written; reads as zeros.
    public static let unwritten = Flags(rawValue: 0x800)
    /// The filesystem has no extents of its own and merged blocks for the report.
    public static let merged = Flags(rawValue: 0x1000)
    /// Shared with another file, or with another place of this one.
    public static let shared = Flags(rawValue: 0x2000)

    /// Those that leave the place an address on the device, as everybody reads and writes it.
    static let plain: Flags = [.last, .unwritten, .shared]

    /// The kernel's names in lower case, a bit that has none as a number.
    public var names: [String] {
      let known: [(Flags, String)] = [
        (.last, "last"), (.unknown, "unknown"), (.delayedAllocation, "delalloc"),
        (.encoded, "encoded"), (.encrypted, "data_encrypted"), (.notAligned, "not_aligned"),
        (.inline, "data_inline"), (.tail, "data_tail"), (.unwritten, "unwritten"),
        (.merged, "merged"), (.shared, "shared"),
      ]
      let others = known.reduce(self) { $0.subtracting($1.0) }.rawValue
      return known.filter { contains($0.0) }.map(\.1)
        + (0..<32).filter { others >> $0 & 1 == 1 }.map {
          "0x\(String(UInt32(1) << $0, radix: 16))"
        }
    }
  }

  /// Where it begins, in bytes from the begin of the file.
  public var logicalBytes: UInt64
  /// Where it lies, in bytes from the begin of the filesystem's device; 0 where it has no place.
  public var physicalBytes: UInt64
  /// Its length in bytes.
  public var lengthBytes: UInt64
  /// What the filesystem says of it.
  public var flags: Flags

  /// Whether ``physicalBytes`` is a place; that of a delayed or inline extent is none.
  public var hasPlace: Bool { flags.isDisjoint(with: [.unknown, .delayedAllocation, .inline]) }

  /// Keeps the four.
  public init(logicalBytes: UInt64, physicalBytes: UInt64, lengthBytes: UInt64, flags: Flags = []) {
    self.logicalBytes = logicalBytes
    self.physicalBytes = physicalBytes
    self.lengthBytes = lengthBytes
    self.flags = flags
  }
}

/// Where one range of a file lay at the moment it was looked at.
///
/// Every write through a filesystem that writes elsewhere, a clone, a truncation, a defragmentation
/// or the page cache may change it.
public struct FileMapping: Hashable, Sendable {
  /// Where the range begins, in bytes from the begin of the file.
  public var offsetBytes: UInt64
  /// Its length in bytes.
  public var lengthBytes: UInt64
  /// The pieces that it falls on, in order; a hole has none.
  public var extents: [FileExtent]
  /// Whether these are all of them.
  public var isComplete: Bool
  /// Whether the page cache has yet to write pages of the range back; `nil` where that is not told.
  public var hasUnwrittenPages: Bool?
  /// Whether XFS may have blocks set aside for copies of the range, which no report shows.
  public var mayHaveCopies: Bool

  /// Keeps the facts.
  public init(
    offsetBytes: UInt64,
    lengthBytes: UInt64,
    extents: [FileExtent],
    isComplete: Bool = true,
    hasUnwrittenPages: Bool? = false,
    mayHaveCopies: Bool = false
  ) {
    self.offsetBytes = offsetBytes
    self.lengthBytes = lengthBytes
    self.extents = extents
    self.isComplete = isComplete
    self.hasUnwrittenPages = hasUnwrittenPages
    self.mayHaveCopies = mayHaveCopies
  }

  /// The one piece that holds the whole range; `nil` where there is none.
  var coveringExtent: FileExtent? {
    guard extents.count == 1, isComplete, let extent = extents.first,
      extent.logicalBytes <= offsetBytes
    else { return nil }
    let skipped = offsetBytes - extent.logicalBytes
    guard skipped <= extent.lengthBytes, extent.lengthBytes - skipped >= lengthBytes,
      !extent.physicalBytes.addingReportingOverflow(extent.lengthBytes).overflow
    else { return nil }
    return extent
  }

  /// Where the range lies, in bytes from the begin of the filesystem's device, if it lies in one
  /// piece that a write in place stays in.
  var placeBytes: UInt64? {
    guard hasUnwrittenPages == false, let extent = coveringExtent,
      extent.flags.isSubset(of: [.last, .unwritten])
    else { return nil }
    return extent.physicalBytes + (offsetBytes - extent.logicalBytes)
  }

  /// Whether the pieces leave a part of the range without blocks.
  var hasHole: Bool {
    let (end, overflow) = offsetBytes.addingReportingOverflow(lengthBytes)
    var reached = offsetBytes
    for extent in extents {
      if extent.logicalBytes > reached { return true }
      let (extentEnd, overflow) = extent.logicalBytes.addingReportingOverflow(extent.lengthBytes)
      reached = overflow ? .max : max(reached, extentEnd)
    }
    return isComplete && !overflow && reached < end
  }

  /// Whether an XFS file may have blocks set aside for copies.
  ///
  /// They are used wherever they are, also where nothing is shared any more, and are shown by no
  /// report (`fs/xfs/xfs_reflink.c:xfs_find_trim_cow_extent`). Two facts exclude them: direct
  /// writes may be shorter than a block, which ends with the first clone
  /// (`fs/xfs/xfs_iops.c:xfs_report_dioalign`); or no block is counted that the file does not map
  /// (`fs/xfs/libxfs/xfs_bmap.c:xfs_bmap_alloc_account` counts those set aside).
  ///
  /// - Parameters:
  ///   - block: Bytes per filesystem block.
  ///   - writeAlignment: `stx_dio_offset_align`.
  ///   - readAlignment: `stx_dio_read_offset_align` (Linux 6.14).
  ///   - allocatedBytes: `stx_blocks` times 512.
  ///   - mappedBytes: What all pieces of the file take.
  /// - Returns: Whether there may be any.
  static func mayHaveCopies(
    block: UInt64?,
    writeAlignment: UInt32?,
    readAlignment: UInt32?,
    allocatedBytes: UInt64?,
    mappedBytes: UInt64?
  ) -> Bool {
    if let block, let writeAlignment, let readAlignment, writeAlignment > 0,
      writeAlignment == readAlignment, UInt64(writeAlignment) < block
    {
      return false
    }
    guard let allocatedBytes, let mappedBytes else { return true }
    return allocatedBytes != mappedBytes
  }
}
