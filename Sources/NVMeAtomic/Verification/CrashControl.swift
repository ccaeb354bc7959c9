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
  package func controlIsOneCommand(_ limits: TargetLimits) -> Bool {
    TearingPlan.oneCommand(limits, path).map { UInt64(controlBytes) <= $0 } ?? false
  }

  /// Whether each place of the control lies in one piece of a file, so that its writes need not be
  /// several commands. What was written is there by now.
  package func controlIsInOnePiece(ofFile path: String) -> Bool {
    (0..<controls).allSatisfy { control in
      let offset = offset(ofControl: control)
      guard
        let map = try? LiveMachine().extents(
          of: path,
          offsetBytes: offset,
          lengthBytes: UInt64(controlBytes),
          countsWholeFile: false
        )
      else { return false }
      let mapping = FileMapping(map, offsetBytes: offset, lengthBytes: UInt64(controlBytes))
      return mapping.coveringExtent?.flags.isSubset(of: .plain) ?? false
    }
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
