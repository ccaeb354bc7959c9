import LinuxIO

/// The control of a workload: ordinary writes that are longer than what the drive keeps whole, one
/// after the other, while the workload writes. Where a power cut tears not even these, that it has
/// torn nothing else shows nothing about the drive.
struct CrashControl: ~Copyable {
  private let plan: CrashPlan
  private let target: AtomicTarget
  private let shared: CrashShared
  private var offset: UInt64

  init(_ plan: CrashPlan, _ target: AtomicTarget, _ shared: CrashShared) {
    (self.plan, self.target, self.shared) = (plan, target, shared)
    offset = plan.offset(ofControl: 0)
  }

  /// Writes until the run has ended.
  mutating func run() {
    do throws(AtomicWriteError) {
      try write()
    } catch {
      shared.fail(error, atBytes: offset)
    }
  }

  private mutating func write() throws(AtomicWriteError) {
    let plan = plan
    var access = TargetAccess(target)
    var buffer = try AlignedBuffer(reserving: plan.controlBytes)
    guard shared.control.waitForBegin() != nil else { return }
    var sequence: UInt64 = 1
    while !shared.control.shouldStop {
      let control = Int(sequence % UInt64(plan.controls))
      offset = plan.offset(ofControl: control)
      // SAFETY: the bytes are lent for the call.
      unsafe buffer.withMutableBytes { unsafe plan.fillControl($0, sequence, control) }
      try access.writeOrdinary(buffer, atBytes: offset)
      sequence += 1
    }
  }
}

extension CrashPlan {
  /// Whether each write of the control is one command to one drive, on a target with such limits.
  /// What is not known makes it several.
  ///
  /// - Parameters:
  ///   - limits: The target's.
  ///   - file: The file that is the target; what was written is there by now. `nil` for a block
  ///     device.
  /// - Returns: Whether that is known.
  package func controlIsOneCommand(_ limits: TargetLimits, file: String? = nil) -> Bool {
    guard let most = TearingPlan.oneCommand(limits, path), UInt64(controlBytes) <= most else {
      return false
    }
    return (0..<controls).allSatisfy { control in
      let offset = offset(ofControl: control)
      guard let place = file == nil ? offset : Self.place(offset, controlBytes, ofFile: file ?? "")
      else { return false }
      // Commands of our own are cut by nobody.
      if path == .passthrough { return true }
      guard let start = limits.startBytes else { return false }
      return Self.isOneCommand(start.addingOrMax(place), UInt64(controlBytes), limits.queue)
    }
  }

  /// `block/blk-merge.c:get_max_io_size` cuts at lines of `chunk_sectors`, and what is as long as a
  /// command can be at edges of physical blocks, if it does not begin at one.
  private static func isOneCommand(
    _ start: UInt64,
    _ length: UInt64,
    _ queue: QueueLimits
  ) -> Bool {
    guard let chunk = queue.chunkSectors, let physical = queue.physicalBlockSize, physical > 0,
      let kilobytes = queue.maxSectorsKB
    else { return false }
    if let lines = AtomicBoundary(sizeBytes: chunk.multipliedOrMax(by: 512)),
      !lines.contains(startBytes: start, lengthBytes: length)
    {
      return false
    }
    let limit = kilobytes.multipliedOrMax(by: 1024)
    let isAligned = start % physical == 0 && length <= limit / physical * physical
    return isAligned || limit - length >= physical
  }

  /// Whether each place of the control lies in one piece of a file, so that its writes need not be
  /// several commands.
  package func controlIsInOnePiece(ofFile path: String) -> Bool {
    (0..<controls).allSatisfy { control in
      Self.place(offset(ofControl: control), controlBytes, ofFile: path) != nil
    }
  }

  /// Where a range of a file that lies in one piece lies in what the filesystem is on.
  private static func place(_ offset: UInt64, _ length: Int, ofFile path: String) -> UInt64? {
    guard
      let map = try? LiveMachine().extents(
        of: path,
        offsetBytes: offset,
        lengthBytes: UInt64(length),
        countsWholeFile: false
      )
    else { return nil }
    let mapping = FileMapping(map, offsetBytes: offset, lengthBytes: UInt64(length))
    guard let extent = mapping.coveringExtent, extent.flags.isSubset(of: .plain) else {
      return nil
    }
    return extent.physicalBytes + (offset - extent.logicalBytes)
  }

  private static let longestControlBytes: UInt64 = 1 << 20
  private static let mostControls: UInt64 = 4

  /// How long the writes of the control are, and how many places they have: the longest command
  /// there is, if the drive does not keep that whole. A quarter of the range is theirs at most.
  ///
  /// - Returns: None where no write is long enough, or the range is too short.
  package static func control(
    _ limits: TargetLimits,
    _ path: WritePath,
    stampBytes: Int,
    rangeBytes: UInt64
  ) -> (bytes: Int, count: Int) {
    // Ordinary writes need no keeping.
    if path == .plain { return (0, 0) }
    let device = limits.drive.limits ?? limits.commandDrive.limits
    let kept = max(device?.powerFailBytes ?? 0, UInt64(stampBytes))
    var size = TearingPlan.oneCommand(limits, path) ?? longestControlBytes
    size = min(size, longestControlBytes)
    while size > rangeBytes / 8 { size /= 2 }
    guard size > kept, size % UInt64(stampBytes) == 0 else { return (0, 0) }
    return (Int(size), Int(min(rangeBytes / 4 / size, mostControls)))
  }
}
