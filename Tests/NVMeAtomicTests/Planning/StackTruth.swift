@testable import NVMeAtomic

/// What becomes of a write to a stack: every block of it is followed down to the drives, and every
/// queue on the way is asked what it does.
struct StackTruth {
  let world: StackWorld
  let request: WriteRequest
  /// What `statx(2)` says, and where a filesystem puts things: as discovery hands them on.
  let target: TargetLimits

  var length: UInt64 { request.lengthBytes }
  var wantsUntorn: Bool { request.promises.contains(.untorn) }

  var fate: Fate {
    guard request.writer != .buffered, isTaken, !addresses.isEmpty else {
      return .refused("the system call")
    }
    return Fate.worst(
      addresses.lazy.map { address in
        let fate =
          request.writer == .direct
          ? plain(world.top, address) : atomic(world.top, address, copies: 1)
        return Fate.worst([fate, software, flushed])
      }
    )
  }

  // MARK: Where it begins

  /// Every place on the top device where the write may lie.
  private var addresses: [UInt64] {
    guard length > 0, length <= 1 << 20 else { return [] }
    let size = world.devices[world.top].size
    if let block = target.filesystem?.blockSize {
      let unit = max(length, block)
      var inBlock: UInt64 = 0
      if case .one(let offset, _) = request.range { inBlock = length < block ? offset % block : 0 }
      return places(every: unit, in: size).map { $0 + inBlock }
    }
    switch request.range {
    case .one(let offset, _): return offset + length <= size ? [offset] : []
    case .everyPage: return places(every: length, in: size)
    }
  }

  /// The first ones, and those around 64 MiB, where mirrors end what they take.
  private func places(every unit: UInt64, in size: UInt64) -> [UInt64] {
    let begin = world.disk(of: .init(device: world.top, start: 0)).start
    let middle = ((64 << 20) - begin) / unit
    let indices = Array(0..<20) + [middle - 1, middle, middle + 1]
    return indices.map { $0 * unit }.filter { $0 + unit <= size }
  }

  /// What `pwritev2(2)` and the filesystem see to before anything reaches a queue. A write that is
  /// refused here is no yes of the planner's; the caller asks.
  var isTaken: Bool {
    guard request.writer == .rwfAtomic else { return true }
    guard let statx = target.statx, let most = statx.atomicWriteUnitMax, most > 0 else {
      return false
    }
    let least = UInt64(statx.atomicWriteUnitMin ?? 0)
    guard length.nonzeroBitCount == 1, least <= length, length <= UInt64(most) else { return false }
    if case .one(let offset, _) = request.range, offset % length != 0 { return false }
    return length % UInt64(statx.dioOffsetAlign ?? 512) == 0
  }

  // MARK: On the way down

  /// One atomic bio on one device, and whatever becomes of it further down.
  func atomic(_ device: Int, _ address: UInt64, copies above: Int) -> Fate {
    let own = world.devices[device]
    if case .partition(let place) = own.shape {
      return atomic(place.device, place.start + address, copies: above)
    }
    if isOnlySoftware { return .kept }
    let range = address..<address + length
    let refused: Fate = above > 1 ? .broken("refused and reported as written") : .refused("layer")
    guard isTakenWhole(own, range) else { return refused }
    switch own.shape {
    case .drive(let drive): return Leaf(self, drive, own.queue.facts).atomic(range, copies: above)
    case .head(let paths):
      return Fate.worst(
        paths.lazy.map { path in
          guard isTakenWhole(.init(shape: .drive(path.drive), queue: path.queue, size: 0), range)
          else { return refused }
          return Leaf(self, path.drive, path.queue.facts).atomic(range, copies: above)
        }
      )
    default: break
    }
    guard let pieces = pieces(of: range, on: device) else { return refused }
    var copies = above
    if case .raid1 = own.shape { copies = max(2, pieces.count) }
    if case .raid10 = own.shape { copies = max(2, pieces.count) }
    return Fate.worst(pieces.lazy.map { atomic($0.device, $0.address, copies: copies) })
  }

  /// Where each copy of a range lies, if it lies there in one piece.
  func pieces(of range: Range<UInt64>, on device: Int) -> [(device: Int, address: UInt64)]? {
    let first = world.copies(of: range.lowerBound, on: device)
    if first.isEmpty { return nil }
    for block in stride(from: range.lowerBound, to: range.upperBound, by: 512) {
      let copies = world.copies(of: block, on: device)
      guard copies.count == first.count else { return nil }
      for (copy, begin) in zip(copies, first) {
        guard copy.device == begin.device,
          copy.address == begin.address + (block - range.lowerBound)
        else { return nil }
      }
    }
    return first
  }

  /// `submit_bio_noacct`, and what the layer itself does to a bio before it maps it.
  func isTakenWhole(_ device: StackWorld.Device, _ range: Range<UInt64>) -> Bool {
    let queue = device.queue.facts
    guard let most = queue.atomicWriteUnitMaxBytes, let least = queue.atomicWriteUnitMinBytes,
      least > 0, length <= most, length % least == 0
    else { return false }
    switch device.shape {
    case .partition: return true
    case .linear(let segments):
      var edges: [UInt64] = [0]
      for segment in segments { edges.append((edges.last ?? 0) + segment.length) }
      return !edges.contains { range.lowerBound < $0 && $0 < range.upperBound }
        && range.upperBound <= edges.last ?? 0
    case .striped(_, let chunk):
      return !Lines(size: chunk).cut(near: range) && length <= (queue.maxSectorsKB ?? 0) * 1024
    case .raid1:
      return length <= Truth.longestUncut(at: range.lowerBound, queue)
        && !Lines(size: 64 << 20).cut(near: range)
    case .raid0(_, let chunk), .raid10(_, let chunk):
      return length <= Truth.longestUncut(at: range.lowerBound, queue)
        && !Lines(size: chunk).cut(near: range)
    case .drive, .head: return length <= Truth.longestUncut(at: range.lowerBound, queue)
    }
  }

  // MARK: Ordinary writes

  private func plain(_ device: Int, _ address: UInt64) -> Fate {
    let own = world.devices[device]
    switch own.shape {
    case .partition(let place): return plain(place.device, place.start + address)
    case .drive(let drive): return Leaf(self, drive, own.queue.facts).plain(address)
    case .head(let paths):
      var head = own.queue.facts
      head.nomerges = 2
      let fates = paths.map { Leaf(self, $0.drive, $0.queue.facts).plain(address) }
      return Fate.worst([Leaf(self, paths[0].drive, head).plain(address)] + fates)
    case .linear:
      guard let pieces = pieces(of: address..<address + length, on: device) else {
        return .broken("divided")
      }
      return Fate.worst(pieces.map { plain($0.device, $0.address) })
    default: return .unknown("a layer that may divide ordinary writes")
    }
  }

  // MARK: Files and flushes

  private var optimal: UInt64 { UInt64(target.statx?.atomicWriteUnitMaxOpt ?? 0) }
  private var movesBlocks: Bool {
    target.filesystem?.type == "xfs" && target.filesystem?.reflink == true
  }
  /// XFS writes it elsewhere, and the drive's atomic unit plays no part.
  private var isOnlySoftware: Bool { movesBlocks && length > optimal }

  private var software: Fate {
    guard movesBlocks, request.writer == .rwfAtomic else { return .kept }
    if wantsUntorn { return .broken("software is seen torn") }
    return flushes(world.top, true)
  }

  private var flushed: Fate {
    request.promises.contains(.durable) ? flushes(world.top, true) : .kept
  }

  /// Whether a flush passes every queue down to each cache.
  private func flushes(_ device: Int, _ above: Bool) -> Fate {
    let own = world.devices[device]
    let passes = above && own.queue.facts.writeBack == true
    switch own.shape {
    case .drive(let drive):
      return drive.cache == false || passes ? .kept : .broken("a cache is never flushed")
    case .head(let paths):
      let isKept = paths.allSatisfy {
        $0.drive.cache == false || passes && $0.queue.facts.writeBack == true
      }
      return isKept ? .kept : .broken("a cache is never flushed")
    case .partition(let place): return flushes(place.device, above)
    case .linear(let segments):
      return Fate.worst(segments.map { flushes($0.place.device, passes) })
    case .striped(let places, _), .raid0(let places, _), .raid1(let places),
      .raid10(let places, _):
      return Fate.worst(places.map { flushes($0.device, passes) })
    }
  }
}

/// A drive and its queue at the end of the way down.
struct Leaf {
  let truth: Truth
  let request: WriteRequest

  init(_ stack: StackTruth, _ drive: Drive, _ queue: QueueLimits) {
    var world = World(drive)
    world.target.queue = queue
    request = stack.request
    truth = Truth(world: world, request: request)
  }

  /// `nvme_valid_atomic_write`, and what is merged with atomic neighbours of any number.
  func atomic(_ range: Range<UInt64>, copies: Int) -> Fate {
    let (drive, queue) = (truth.drive, truth.queue)
    guard drive.metadata == 0 else { return .unknown("metadata") }
    if request.promises.contains(.untorn), copies > 1 { return .unknown("two copies") }
    let (length, most) = (request.lengthBytes, queue.atomicWriteUnitMaxBytes ?? 0)
    let lines =
      (queue.atomicWriteBoundaryBytes ?? 0) > 0
      ? Lines(size: queue.atomicWriteBoundaryBytes ?? 0) : nil
    guard range.lowerBound % drive.block == 0, length % drive.block == 0 else {
      return .broken("lands elsewhere")
    }
    guard length <= most, lines?.cut(near: range) != true else { return .refused("driver") }
    let merged = queue.atomicWriteMaxBytes ?? 0
    if copies > 1, queue.nomerges != 2, merged > most, length < merged {
      return .broken("merged, refused, and reported as written")
    }
    return truth.merged(range) {
      $0.upperBound - $0.lowerBound <= min(merged, most) && lines?.cut(near: $0) != true
    }
  }

  func plain(_ address: UInt64) -> Fate {
    let drive = truth.drive
    guard drive.metadata == 0 else { return .unknown("metadata") }
    guard address % drive.block == 0, request.lengthBytes % drive.block == 0 else {
      return .refused("blocks")
    }
    return truth.ordinary([address], request.lengthBytes)
  }
}

extension Lines {
  /// The same as ``cut(_:)`` for lines without an offset, also far from the begin.
  func cut(near range: Range<UInt64>) -> Bool {
    range.lowerBound / size != (range.upperBound - 1) / size
  }
}
