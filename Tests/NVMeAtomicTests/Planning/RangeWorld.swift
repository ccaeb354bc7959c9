@testable import NVMeAtomic

/// A file of four blocks on XFS, and what `fs/xfs` does with it, by brute force.
///
/// Written down from `xfs_direct_write_iomap_begin`, `xfs_reflink_allocate_cow` and
/// `xfs_read_iomap_begin` block by block, apart from the code under test, which sees extents only.
struct RangeWorld {
  enum Block: CaseIterable { case hole, written, unwritten, shared }

  /// How a block follows the one before.
  enum Step: CaseIterable {
    /// In the same record.
    case joined
    /// Next to it, in a record of its own.
    case beside
    /// Elsewhere.
    case away
  }

  static let blockSize: UInt64 = 4096

  var blocks: [Block]
  /// One fewer than ``blocks``.
  var steps: [Step]
  /// Where the first block lies, in blocks.
  var base: UInt64
  /// Blocks of the file that have others set aside.
  var copies: Set<UInt64> = []
  /// Whether the file ever shared blocks.
  var isReflinked: Bool

  /// Where each block lies, in blocks from the begin of the device.
  var places: [UInt64] {
    steps.reduce(into: [base]) { places, step in
      places.append((places.last ?? 0) + (step == .away ? 4 : 1))
    }
  }

  /// The record that a block belongs to.
  private var records: [Int] {
    var number = 0
    return blocks.indices.map { index in
      guard index > 0 else { return number }
      let isJoined =
        steps[index - 1] == .joined && isAllocated(index) == isAllocated(index - 1)
        && (blocks[index] == .unwritten) == (blocks[index - 1] == .unwritten)
      if !isJoined { number += 1 }
      return number
    }
  }

  private func isAllocated(_ index: Int) -> Bool { blocks[index] != .hole }

  private func isShared(_ index: Int) -> Bool { isReflinked && blocks[index] == .shared }

  /// The blocks from `first` on that the kernel finds as one mapping.
  private func mapping(from first: Int, to end: Int) -> Range<Int> {
    let records = records
    var last = first
    while last + 1 < end,
      blocks[first] == .hole
        ? blocks[last + 1] == .hole : records[last + 1] == records[first]
    {
      last += 1
    }
    return first..<last + 1
  }

  enum Outcome: Hashable {
    /// In place, at this block.
    case drive(UInt64)
    /// By the drive, in a block that is allocated for it.
    case driveAllocates
    case moved
  }

  /// One atomic write of `count` blocks at a multiple of `count`.
  func outcome(first: Int, count: Int, largest: Int) -> Outcome {
    let end = first + count
    if count > largest { return .moved }
    var found = mapping(from: first, to: end)
    if isReflinked {
      // xfs_find_trim_cow_extent, then xfs_reflink_trim_around_shared
      if copies.contains(UInt64(first)) { return .moved }
      if let cut = found.first(where: { copies.contains(UInt64($0)) }) {
        found = found.lowerBound..<cut
      }
      if blocks[first] != .hole {
        if isShared(first) { return .moved }
        if let cut = found.first(where: isShared) { found = found.lowerBound..<cut }
      }
    }
    if blocks[first] == .hole { return count == 1 ? .driveAllocates : .moved }
    // xfs_bmap_hw_atomic_write_possible
    let start = places[first]
    guard start % UInt64(found.count) == 0, found.upperBound >= end else { return .moved }
    return .drive(start)
  }

  /// What `FS_IOC_FIEMAP` tells of a range.
  func extents(first: Int, count: Int) -> [FileExtent] {
    var extents: [FileExtent] = []
    var index = first
    while index < first + count {
      var found = mapping(from: index, to: first + count)
      if let cut = found.first(where: { isShared($0) != isShared(index) }) {
        found = found.lowerBound..<cut
      }
      if blocks[index] != .hole {
        var flags: FileExtent.Flags = blocks[index] == .unwritten ? .unwritten : []
        if isShared(index) { flags.insert(.shared) }
        extents.append(
          FileExtent(
            logicalBytes: UInt64(index) * Self.blockSize,
            physicalBytes: places[index] * Self.blockSize,
            lengthBytes: UInt64(found.count) * Self.blockSize,
            flags: flags
          )
        )
      }
      index = found.upperBound
    }
    if let last = extents.indices.last { extents[last].flags.insert(.last) }
    return extents
  }
}
