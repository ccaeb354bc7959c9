@testable import NVMeAtomic

/// What becomes of a write, worked out by trying everything that drive and kernel may do with it.
enum Fate: Equatable {
  /// Every promise is kept, whatever they do.
  case kept
  /// They may do what breaks a promise.
  case broken(String)
  /// The kernel or the drive refuses the write, or there is no such path.
  case refused(String)
  /// A fact is missing.
  case unknown(String)

  /// The first fate that is not a good one.
  static func worst(_ fates: some Sequence<Fate>) -> Fate {
    fates.first { $0 != .kept } ?? .kept
  }
}

/// The truth about one request, by brute force; it knows the rules and nothing of the planner.
struct Truth {
  let world: World
  let request: WriteRequest

  var target: TargetLimits { world.target }
  var queue: QueueLimits { world.target.queue }
  var drive: Drive { world.drive }
  var wantsPowerFail: Bool { request.promises.contains(.powerFailAtomic) }
  var wantsUntorn: Bool { request.promises.contains(.untorn) }
  var wantsDurable: Bool { request.promises.contains(.durable) }

  static func fate(of request: WriteRequest, through path: WritePath, in world: World) -> Fate {
    let truth = Truth(world: world, request: request)
    guard truth.isUsedByWriter(path) else { return .refused("the writer does not use this path") }
    if truth.wantsUntorn, world.drive.disabled == nil { return .unknown("DN") }
    return Fate.worst(
      truth.writes.lazy.map { offset, length in
        switch path {
        case .kernel: truth.kernel(offset, length)
        case .passthrough: truth.passthrough(offset, length)
        case .plain: truth.plain(offset, length)
        case .exchange, .journal: .refused("not planned by ranges")
        }
      }
    )
  }

  private func isUsedByWriter(_ path: WritePath) -> Bool {
    switch request.writer {
    case .buffered: false
    case .direct: path == .plain
    case .rwfAtomic: path != .plain
    }
  }

  /// The one write, or every page: enough of them to repeat, as if the device were longer.
  private var writes: [(UInt64, UInt64)] {
    switch request.range {
    case .one(let offset, let length): return [(offset, length)]
    case .everyPage(let size):
      guard size > 0, size < 1 << 20 else { return [(0, size)] }
      return (0..<36).map { ($0 * size, size) }
    }
  }

  /// Whether range and device are there at all.
  func exists(_ offset: UInt64, _ length: UInt64) -> Bool {
    let (end, overflow) = offset.addingReportingOverflow(length)
    guard length > 0, !overflow, end <= Int64.max else { return false }
    // fs/ext4/super.c:ext4_max_size: one block less than 2^32 of them.
    if target.filesystem?.type == "ext4", let block = target.filesystem?.blockSize,
      end > block * 0xffff_ffff
    {
      return false
    }
    let size = target.sizeBytes ?? .max
    if case .everyPage = request.range { return length <= size }
    return end <= size
  }

  /// One command at the drive.
  func command(_ range: Range<UInt64>) -> Fate {
    if wantsPowerFail, !drive.keepsOverPowerLoss(range) {
      return .broken("power loss tears the command \(range)")
    }
    if wantsUntorn, !drive.keepsApart(range) {
      return .broken("a reader sees the command \(range) torn")
    }
    return .kept
  }

  /// What a write is once the call has returned, by the kernel's flushes.
  var durability: Fate { wantsDurable ? flushes : .kept }

  /// Whether a flush of the kernel's reaches what the drive's cache holds.
  var flushes: Fate {
    if drive.cache == false { return .kept }
    switch queue.writeBack {
    case true?: return .kept
    case false?:
      return drive.cache == true ? .broken("the cache is never flushed") : .unknown("write cache")
    case nil: return .unknown("write_cache")
    }
  }

  /// The write at an absolute address, and with it every command that the block layer may make of
  /// it and neighbours of its own size.
  func merged(_ range: Range<UInt64>, ifMergeable: (Range<UInt64>) -> Bool) -> Fate {
    guard queue.nomerges != 2 else { return command(range) }
    let length = range.upperBound - range.lowerBound
    var start = range.lowerBound
    while true {
      var longest = start..<range.upperBound
      guard longest == range || ifMergeable(longest) else { return .kept }
      while ifMergeable(start..<longest.upperBound + length) {
        longest = start..<longest.upperBound + length
      }
      let fate = command(longest)
      guard fate == .kept else { return fate }
      guard start >= length else { return .kept }
      start -= length
    }
  }

  /// One command as it is given, through the character device.
  private func passthrough(_ offset: UInt64, _ length: UInt64) -> Fate {
    guard [.namespace, .partition, .generic].contains(target.kind) else {
      return .refused("no namespace")
    }
    guard drive.metadata == 0 else { return .refused("metadata") }
    guard target.passthroughObstacle == nil, target.passthroughUser == nil, target.sharing == nil
    else { return .refused("an obstacle") }
    guard exists(offset, length) else { return .refused("not there") }
    guard offset % drive.block == 0, length % drive.block == 0 else { return .refused("blocks") }
    guard let kilobytes = queue.maxHWSectorsKB else { return .unknown("max_hw_sectors_kb") }
    guard length <= drive.transfer, length <= kilobytes * 1024 else { return .refused("transfer") }
    // Durable by FUA in the command itself.
    return command(world.start + offset..<world.start + offset + length)
  }
}
