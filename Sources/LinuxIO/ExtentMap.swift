import CNVMeAtomic
package import SystemPackage

/// Where a range of a file lies, as the filesystem said at one moment.
package struct ExtentMap: Sendable, Equatable {
  /// One piece of a file. `FIEMAP_EXTENT_*` are its flags.
  package struct Extent: Sendable, Equatable {
    /// Bytes from the begin of the file.
    package var logicalBytes: UInt64
    /// Bytes from the begin of the filesystem's device.
    package var physicalBytes: UInt64
    package var lengthBytes: UInt64
    package var flags: UInt32

    package init(
      logicalBytes: UInt64,
      physicalBytes: UInt64,
      lengthBytes: UInt64,
      flags: UInt32 = 0
    ) {
      self.logicalBytes = logicalBytes
      self.physicalBytes = physicalBytes
      self.lengthBytes = lengthBytes
      self.flags = flags
    }
  }

  /// What the descriptor stands for.
  package var status: FileStatus
  /// The pieces that the range falls on, in order; holes have none.
  package var extents: [Extent]
  /// Whether these are all of them.
  package var isComplete: Bool
  /// Pages of the range that the page cache has yet to write back; `nil` where that is not told.
  package var unwrittenPages: UInt64?
  /// The bytes that all pieces of the whole file take; `nil` where that was not counted, or where
  /// there are more than one request tells of.
  package var mappedBytes: UInt64?

  package init(
    status: FileStatus,
    extents: [Extent],
    isComplete: Bool = true,
    unwrittenPages: UInt64? = 0,
    mappedBytes: UInt64? = nil
  ) {
    self.status = status
    self.extents = extents
    self.isComplete = isComplete
    self.unwrittenPages = unwrittenPages
    self.mappedBytes = mappedBytes
  }

  /// Asks for the first 32 pieces of a range, and writes nothing back for it.
  ///
  /// Pages are counted first: one that is written back in between leaves its mark in the pieces.
  /// The corresponding calls are `statx(2)`, `cachestat(2)` (Linux 6.5) and `FS_IOC_FIEMAP`.
  ///
  /// - Parameters:
  ///   - descriptor: The open file.
  ///   - offset: Bytes from the begin of the file.
  ///   - length: Bytes, at least one.
  ///   - countsWholeFile: Whether to ask for the pieces of the whole file too, up to 256.
  /// - Throws: `EINVAL` for an empty range, `EOPNOTSUPP` where the filesystem tells no pieces,
  ///   `EFBIG` beyond the largest file.
  package init(
    of descriptor: borrowing OwnedFileDescriptor,
    offsetBytes offset: UInt64,
    lengthBytes length: UInt64,
    countsWholeFile: Bool
  ) throws(Errno) {
    // To cachestat(2) nothing is everything.
    guard length > 0 else { throw .invalidArgument }
    var pages: UInt64 = 0
    // SAFETY: the shim fills one integer.
    let result = unsafe nvmeatomic_unwritten_pages(descriptor.rawValue, offset, length, &pages)
    let limit = 32
    let found = try Self.extents(of: descriptor, offset, length, limit: limit)
    let end = offset.addingReportingOverflow(length)
    // A full answer may have been cut short, unless its last piece reaches the end.
    let isCut = found.count == limit && (found.last.map(\.endBytes) ?? 0) < end.partialValue
    self.init(
      status: try FileStatus(of: descriptor),
      extents: found,
      isComplete: !isCut && !end.overflow,
      unwrittenPages: result < 0 ? nil : pages
    )
    guard countsWholeFile else { return }
    let most = Int(NVMEATOMIC_EXTENTS_MAX)
    let all = try Self.extents(of: descriptor, 0, .max, limit: most)
    guard all.count < most else { return }
    mappedBytes = all.reduce(0) { $0 &+ $1.lengthBytes }
    // What changed while it was counted is not known.
    if try FileStatus(of: descriptor).allocatedBytes != status.allocatedBytes { mappedBytes = nil }
  }

  private static func extents(
    of descriptor: borrowing OwnedFileDescriptor,
    _ offset: UInt64,
    _ length: UInt64,
    limit: Int
  ) throws(Errno) -> [Extent] {
    var result: CInt = 0
    // SAFETY: the shim fills at most `limit` structures; only those it reports are kept.
    let extents = unsafe withUnsafeTemporaryAllocation(
      of: nvmeatomic_extent.self,
      capacity: limit
    ) { buffer in
      result = unsafe nvmeatomic_extents(
        descriptor.rawValue,
        offset,
        length,
        buffer.baseAddress,
        UInt32(limit)
      )
      // SAFETY: the shim has filled as many as it reports.
      return unsafe buffer.prefix(Int(max(result, 0))).map {
        Extent(
          logicalBytes: $0.logical,
          physicalBytes: $0.physical,
          lengthBytes: $0.length,
          flags: $0.flags
        )
      }
    }
    _ = try kernelValue(result)
    return extents
  }
}

extension ExtentMap.Extent {
  /// The first byte of the file behind it.
  package var endBytes: UInt64 {
    let (end, overflow) = logicalBytes.addingReportingOverflow(lengthBytes)
    return overflow ? .max : end
  }
}
