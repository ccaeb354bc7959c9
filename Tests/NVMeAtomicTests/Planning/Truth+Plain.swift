@testable import NVMeAtomic

extension Truth {
  /// An ordinary direct write, which the block layer may split and merge as it likes.
  func plain(_ offset: UInt64, _ length: UInt64) -> Fate {
    guard [.namespace, .partition, .block, .file, .directory].contains(target.kind) else {
      return .refused("a character device")
    }
    guard exists(offset, length) else { return .refused("not there") }
    guard drive.metadata == 0 else { return .unknown("metadata") }
    guard offset % drive.block == 0, length % drive.block == 0 else { return .refused("blocks") }
    guard target.kind == .file || target.kind == .directory else {
      return Fate.worst([ordinary([world.start + offset], length), durability])
    }
    return plainBelow(offset, length)
  }

  private func plainBelow(_ offset: UInt64, _ length: UInt64) -> Fate {
    guard let filesystem = target.filesystem, let block = filesystem.blockSize else {
      return .unknown("filesystem")
    }
    guard let alignment = target.statx?.dioOffsetAlign else { return .unknown("statx") }
    guard alignment > 0 else { return .broken("buffered") }
    // ext4 with encryption writes what is not aligned through the page cache.
    guard offset % UInt64(alignment) == 0, length % UInt64(alignment) == 0 else {
      return .broken("buffered")
    }
    switch filesystem.type {
    case "ext4": break
    case "xfs":
      guard filesystem.realtime == false else { return .unknown("real-time device") }
      guard let reflink = filesystem.reflink else { return .unknown("reflink") }
      guard !reflink else { return .broken("a shared block is written elsewhere") }
    case "btrfs", "f2fs": return .broken("written elsewhere")
    default: return .unknown("filesystem")
    }
    guard offset / block == (offset + length - 1) / block else {
      return .broken("two blocks may lie in two places")
    }
    return Fate.worst(
      [ordinary(placements(offset, length, block), length), durability, freshBlocks]
    )
  }

  /// One ordinary bio at each of some addresses: is it split, and what is merged with it?
  func ordinary(_ addresses: [UInt64], _ length: UInt64) -> Fate {
    guard let kilobytes = queue.maxSectorsKB, let segments = queue.maxSegments,
      let chunk = queue.chunkSectors, let physical = queue.physicalBlockSize,
      queue.nomerges != nil
    else { return .unknown("queue") }
    // A buffer at a multiple of 4 may begin in the last 4 bytes of a page; a bio has 256 pages.
    let pages = (4092 + length + 4095) / 4096
    guard pages <= segments, pages <= 256 else { return .broken("scattered in memory") }
    let lines = chunk == 0 ? nil : Lines(size: chunk * 512)
    return Fate.worst(
      addresses.lazy.map { address in
        guard length <= longestUnsplit(at: address, kilobytes * 1024, lines, physical) else {
          return .broken("split")
        }
        return merged(address..<address + length) { command in
          command.upperBound - command.lowerBound <= kilobytes * 1024
            && lines?.cut(command) != true
        }
      }
    )
  }

  /// `block/blk-merge.c:get_max_io_size`: up to the next line of `chunk_sectors`, and then back to
  /// the edge of a physical block if there is one on the way.
  private func longestUnsplit(
    at address: UInt64,
    _ limit: UInt64,
    _ lines: Lines?,
    _ physical: UInt64
  ) -> UInt64 {
    var longest = limit
    if let lines { longest = min(longest, lines.size - address % lines.size) }
    let edge = (address + longest) / physical * physical
    return edge > address ? edge - address : longest / drive.block * drive.block
  }
}
