import LinuxIO

/// Where the blocks of a file lie, as `FS_IOC_FIEMAP`, `cachestat(2)` and `statx(2)` tell.
package struct FixtureLayout: Sendable {
  /// In the order of the file.
  package var extents: [ExtentMap.Extent]
  package var unwrittenPages: UInt64? = 0
  /// Blocks that are counted and not mapped: set aside, or of an attribute.
  package var otherBytes: UInt64 = 0
  /// `stx_dio_read_offset_align`.
  package var readOffsetBytes: UInt32? = 512
  /// The file that was opened, where it is not the one that was looked at before and after.
  package var inode: UInt64?

  /// One extent of 1 MiB, aligned, written and unshared.
  package init(_ change: (inout FixtureLayout) -> Void = { _ in }) {
    extents = [
      ExtentMap.Extent(logicalBytes: 0, physicalBytes: 64 << 20, lengthBytes: 1 << 20)
    ]
    change(&self)
  }

  /// Written at first, only allocated after, in two places.
  package static let fragmented = FixtureLayout {
    $0.extents[0].lengthBytes = 20480
    $0.extents.append(
      ExtentMap.Extent(
        logicalBytes: 20480,
        physicalBytes: 96 << 20,
        lengthBytes: 1 << 20,
        flags: 0x800
      )
    )
  }

  /// The pieces of a range, trimmed to it as XFS does.
  func map(
    _ status: FileStatus,
    _ offset: UInt64,
    _ length: UInt64,
    countsWholeFile: Bool
  ) -> ExtentMap {
    let (sum, overflow) = offset.addingReportingOverflow(length)
    let end = overflow ? UInt64.max : sum
    var status = status
    status.directIO?.readOffsetBytes = readOffsetBytes
    status.inode = inode ?? status.inode
    let mapped = extents.reduce(0) { $0 + $1.lengthBytes }
    status.allocatedBytes = mapped + otherBytes
    return ExtentMap(
      status: status,
      extents: extents.compactMap { extent in
        let first = max(extent.logicalBytes, offset)
        let last = min(extent.endBytes, end)
        guard first < last else { return nil }
        return ExtentMap.Extent(
          logicalBytes: first,
          physicalBytes: extent.physicalBytes + (first - extent.logicalBytes),
          lengthBytes: last - first,
          flags: extent.flags
        )
      },
      unwrittenPages: unwrittenPages,
      mappedBytes: countsWholeFile ? mapped : nil
    )
  }
}
