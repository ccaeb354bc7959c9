@testable import NVMeAtomic

extension Truth {
  /// `RWF_ATOMIC`: what `generic_atomic_write_valid`, the filesystem and the driver make of it.
  func kernel(_ offset: UInt64, _ length: UInt64) -> Fate {
    guard let statx = target.statx else { return .unknown("statx") }
    let longest = UInt64(statx.atomicWriteUnitMax ?? 0)
    let alignment = UInt64(statx.dioOffsetAlign ?? 0)
    guard longest > 0, alignment > 0 else { return .refused("not offered") }
    guard [.namespace, .partition, .block, .file, .directory].contains(target.kind) else {
      return .refused("a character device")
    }
    guard exists(offset, length) else { return .refused("not there") }
    guard length.nonzeroBitCount == 1, offset % length == 0 else { return .refused("alignment") }
    guard offset % alignment == 0, length % alignment == 0 else { return .refused("direct I/O") }
    guard UInt64(statx.atomicWriteUnitMin ?? 0) <= length, length <= longest else {
      return .refused("unit")
    }
    guard target.kind == .file || target.kind == .directory else {
      return Fate.worst([hardware([world.start + offset], length), durability])
    }
    return below(offset, length, UInt64(statx.atomicWriteUnitMaxOpt ?? 0), longest)
  }

  private func below(
    _ offset: UInt64,
    _ length: UInt64,
    _ optimal: UInt64,
    _ longest: UInt64
  ) -> Fate {
    guard let filesystem = target.filesystem, let block = filesystem.blockSize else {
      return .unknown("filesystem")
    }
    let byDrive = {
      Fate.worst([hardware(placements(offset, length, block), length), durability, freshBlocks])
    }
    switch filesystem.type {
    case "ext4": return byDrive()
    case "xfs":
      guard filesystem.realtime == false else { return .unknown("real-time device") }
      guard let reflink = filesystem.reflink else { return .unknown("reflink") }
      guard reflink else { return byDrive() }
      if optimal > 0 { return length <= optimal ? Fate.worst([byDrive(), software]) : software }
      guard queue.atomicWriteUnitMinBytes != nil, queue.atomicWriteUnitMaxBytes != nil,
        queue.atomicWriteBoundaryBytes != nil, target.startBytes != nil
      else { return .unknown("queue") }
      guard world.blockFitsTheDrive else { return software }
      // No optimal length is told where single blocks are all: Linux 6.13 to 6.15, and later ones
      // mounted so. The drive writes them, and the log moves those that were shared.
      guard longest == block else { return .unknown("which kernel") }
      return Fate.worst([byDrive(), software])
    default: return .unknown("filesystem")
    }
  }

  /// XFS writes elsewhere and moves the blocks in its log, which must reach the drive in order.
  private var software: Fate {
    if wantsUntorn { return .broken("readers see a software write torn") }
    return wantsPowerFail || wantsDurable ? flushes : .kept
  }

  /// Blocks that were never written are in use once the journal says so, which must not reach the
  /// drive before their data.
  var freshBlocks: Fate {
    guard wantsPowerFail || wantsDurable, drive.cache != false else { return .kept }
    guard target.filesystem?.type == "ext4" else { return flushes }
    guard target.filesystem?.journal == true else { return .broken("nothing orders the two") }
    switch target.filesystem?.barriers {
    case true?: return flushes
    case false?: return .broken("the journal overtakes the data")
    case nil: return .unknown("barriers")
    }
  }

  /// Where a range of a file may lie: any block; what is longer than one begins at a multiple of
  /// its length (ext4's clusters, and the check that XFS makes before it asks the drive).
  func placements(_ offset: UInt64, _ length: UInt64, _ block: UInt64) -> [UInt64] {
    let unit = max(length, block)
    return (0..<12).map { world.start + $0 * unit + (length < block ? offset % block : 0) }
  }

  /// One atomic bio at each of some addresses, alone or merged with atomic neighbours.
  private func hardware(_ addresses: [UInt64], _ length: UInt64) -> Fate {
    // How a drive keeps a block and its metadata together is not described here.
    guard drive.metadata == 0 else { return .unknown("metadata") }
    guard let most = queue.atomicWriteUnitMaxBytes, let largest = queue.atomicWriteMaxBytes,
      let boundary = queue.atomicWriteBoundaryBytes, queue.nomerges != nil
    else { return .unknown("queue") }
    let lines = boundary == 0 ? nil : Lines(size: boundary)
    return Fate.worst(
      addresses.lazy.map { address in
        let range = address..<address + length
        // nvme_valid_atomic_write
        guard length <= most, lines?.cut(range) != true else { return .refused("by the driver") }
        guard length <= Self.longestUncut(at: address, queue) else { return .refused("cut") }
        return merged(range) { command in
          // Longer ones are built too, and refused whole by the driver: nothing is written.
          command.upperBound - command.lowerBound <= min(largest, most)
            && lines?.cut(command) != true
        }
      }
    )
  }

  /// `block/blk-merge.c:get_max_io_size` for an atomic bio: the queue's boundary counts, or else
  /// `chunk_sectors`, and then the edge of a physical block if there is one on the way.
  static func longestUncut(at address: UInt64, _ queue: QueueLimits) -> UInt64 {
    let boundary = queue.atomicWriteBoundaryBytes ?? 0
    let distance = boundary > 0 ? boundary : (queue.chunkSectors ?? 0) * 512
    let (physical, logical) = (queue.physicalBlockSize ?? 512, queue.logicalBlockSize ?? 512)
    var longest = queue.atomicWriteMaxBytes ?? 0
    if distance > 0 { longest = min(longest, distance - address % distance) }
    let edge = (address + longest) / physical * physical
    return edge > address ? edge - address : longest / logical * logical
  }
}
