/// Atomic writes that the block layer would have to cut: it refuses them, and a mirror of md takes
/// the refusal of a member for success (`drivers/md/raid1-10.c:raid1_should_handle_error`).
extension Planner {
  /// Whether the queue takes every write of the request in one piece.
  func checkNotCut(_ request: WriteRequest) throws(Objection) {
    switch target.refusalByCutting(request.range) {
    case .known(nil): return
    case .known(let refusal?): throw .refused(refusal)
    case .unknown(let fact): throw .missing(fact)
    }
  }
}

extension TargetLimits {
  /// `block/blk-merge.c:get_max_io_size`: an atomic write is cut at the lines of `chunk_sectors`
  /// where the queue has no boundary for atomic writes, and near `atomic_write_max_bytes` at the
  /// edges of physical blocks.
  func refusalByCutting(_ range: WriteRequest.Range) -> Known<PlanRefusal?> {
    guard let boundary = queue.atomicWriteBoundaryBytes else {
      return .unknown(.queue("atomic_write_boundary_bytes"))
    }
    guard let chunk = queue.chunkSectors else { return .unknown(.queue("chunk_sectors")) }
    guard let startBytes else { return .unknown(.start) }
    let distance = boundary > 0 ? boundary : chunk.multipliedOrMax(by: 512)
    let lines = AtomicBoundary(sizeBytes: distance)
    var (first, length): (UInt64, UInt64)
    switch range {
    // Blocks of a file may lie anywhere on their grid.
    case .one(_, let bytes) where kind.isFile: (first, length) = (startBytes, bytes)
    case .everyPage(let bytes): (first, length) = (startBytes, bytes)
    case .one(let offset, let bytes):
      (first, length) = (startBytes.addingOrMax(offset), bytes)
      if let lines, !lines.contains(startBytes: first, lengthBytes: length) {
        return .known(.crossesBoundary(lines, startBytes: startBytes))
      }
      let room = lines.map { $0.sizeBytes - first % $0.sizeBytes }
      return cutAtPhysicalBlock(first, until: first, length, room: room)
    }
    guard length > 0 else { return .known(nil) }
    if let lines, !lines.containsEveryPage(ofBytes: length, fromBytes: first) {
      return .known(.crossesBoundary(lines, startBytes: startBytes))
    }
    let physical = queue.physicalBlockSize ?? 0
    first %= max(1, min(length, physical))
    return cutAtPhysicalBlock(first, until: physical, length)
  }

  /// Writes that begin at one place, or a multiple of the length further on and before `end`.
  private func cutAtPhysicalBlock(
    _ first: UInt64,
    until end: UInt64,
    _ length: UInt64,
    room: UInt64? = nil
  ) -> Known<PlanRefusal?> {
    if length > 0, first % length == 0 { return .known(nil) }
    guard let physical = queue.physicalBlockSize, physical > 0 else {
      return .unknown(.queue("physical_block_size"))
    }
    guard let largest = queue.atomicWriteMaxBytes else {
      return .unknown(.queue("atomic_write_max_bytes"))
    }
    let most = min(largest, room ?? .max)
    // Whatever the place, no more than one physical block is lost.
    if most >= length, most - length >= physical { return .known(nil) }
    let refusal = PlanRefusal.canBeSplit(limitBytes: most, by: "physical_block_size")
    guard end < 1 << 16 || end == first, length > 0 else { return .known(refusal) }
    var place = first
    repeat {
      let edge = place.addingOrMax(most) / physical * physical
      if edge > place, edge - place < length { return .known(refusal) }
      place = place.addingOrMax(length)
    } while place < end
    return .known(nil)
  }
}

extension StackLimits {
  /// Why some page of this length, wherever the layers put it, is taken by one of them only to be
  /// refused further down.
  func refusal(ofPages length: UInt64) -> TargetLimits.Known<PlanRefusal?> {
    if length > granuleBytes {
      return .known(.crossesSeam(lengthBytes: length, granuleBytes: granuleBytes))
    }
    if layers.contains(where: \.isMirrored) {
      switch lossByMerging {
      case .known(nil): break
      case .known(let command?): return .known(.mirrorLosesMerged(commandBytes: command))
      case .unknown(let fact): return .unknown(fact)
      }
    }
    for layer in layers {
      let verdict = layer.refusal(ofPages: length)
      guard case .known(nil) = verdict else { return verdict }
    }
    for target in targets {
      guard let block = target.queue.logicalBlockSize else {
        return .unknown(.queue("logical_block_size"))
      }
      guard let start = target.startBytes, block > 0, start % block == 0 else {
        return .known(
          .misaligned(offsetBytes: target.startBytes ?? 0, alignmentBytes: block)
        )
      }
    }
    return .known(nil)
  }
}

extension StackLayer {
  fileprivate func refusal(ofPages length: UInt64) -> TargetLimits.Known<PlanRefusal?> {
    // block/blk-core.c:blk_validate_atomic_write_op_size, at every layer.
    guard let most = queue.atomicWriteUnitMaxBytes, let least = queue.atomicWriteUnitMinBytes else {
      return .unknown(.queue("atomic_write_unit_max_bytes"))
    }
    if length > most {
      return .known(.exceedsKernelLimit(lengthBytes: length, limitBytes: most))
    }
    if length < least {
      return .known(.belowMinimum(lengthBytes: length, minimumBytes: least))
    }
    switch kind {
    case "dm":
      // drivers/md/dm.c:__max_io_len
      guard chunkBytes != nil else { return .known(nil) }
      guard let kilobytes = queue.maxSectorsKB else { return .unknown(.queue("max_sectors_kb")) }
      let longest = kilobytes.multipliedOrMax(by: 1024)
      return .known(
        length <= longest ? nil : .canBeSplit(limitBytes: longest, by: "max_sectors_kb")
      )
    case "md", "multipath":
      // Both cut by their own queue (`md_submit_bio`, `nvme_ns_head_submit_bio`).
      for origin in originsBytes {
        var own = TargetLimits(kind: .block, drive: .none)
        (own.queue, own.startBytes) = (queue, origin)
        let verdict = own.refusalByCutting(.everyPage(sizeBytes: length))
        guard case .known(nil) = verdict else { return verdict }
      }
      return .known(nil)
    default: return .known(nil)
    }
  }
}
