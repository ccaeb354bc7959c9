import LinuxIO
import SystemPackage

/// Makes all slots blank, by the path that the workload takes.
struct CrashPreparation {
  private let plan: CrashPlan
  private let target: AtomicTarget
  /// Begins the log; whether that was done.
  private let beginLog: () -> Bool
  /// Whether something was written, if only the mark.
  private var hasWritten = false

  init(_ plan: CrashPlan, _ target: AtomicTarget, beginLog: @escaping () -> Bool) {
    self.plan = plan
    self.target = target
    self.beginLog = beginLog
  }

  /// Whether it came to its end; a signal may come first, and the log may not be taken.
  ///
  /// - Throws: What writing does. Only an outcome that is unknown says that something was written.
  mutating func run(_ progress: (CrashRun.Progress) -> Void) throws(AtomicWriteError) -> Bool {
    var done: UInt64 = 0
    var told = HostProcess.monotonicNanoseconds
    let isDone: Bool
    do throws(AtomicWriteError) {
      isDone = try run { count in
        done += count
        let now = HostProcess.monotonicNanoseconds
        if now - told >= 250_000_000 {
          told = now
          progress(.preparing(done: done))
        }
        return HostProcess.stopSignal == 0
      }
    } catch {
      // What went before is written.
      if done == 0, !hasWritten { throw error }
      throw error.outcome == .unknown ? error : .outcomeUnknown(Self.cause(error))
    }
    return isDone
  }

  /// Long writes, so that these are no unwritten blocks of a file either.
  private func clearControl() throws(AtomicWriteError) {
    if plan.controls == 0 { return }
    var access = TargetAccess(target)
    let zeros = try AlignedBuffer(reserving: plan.controlBytes)
    for control in 0..<plan.controls {
      try access.writeOrdinary(zeros, atBytes: plan.offset(ofControl: control), isDurable: true)
    }
  }

  private static func cause(_ error: AtomicWriteError) -> FailureCause {
    if case .notWritten(let cause) = error { cause } else { FailureCause(.ioError) }
  }

  /// From before anything else is written until all of it is blank, durably, and the log has begun,
  /// the first slot says whose run has begun: by the log of an earlier one, blank slots would be
  /// operations that the drive has lost, and a control that is torn would show something.
  private mutating func run(_ goesOn: (UInt64) -> Bool) throws(AtomicWriteError) -> Bool {
    var mark = try AlignedBuffer(reserving: plan.slotBytes)
    // SAFETY: the bytes are lent for the call.
    unsafe mark.withMutableBytes { unsafe plan.fillMark($0) }
    let zeros = try AlignedBuffer(reserving: plan.slotBytes)
    switch target.path {
    case .exchange, .journal:
      var transaction = try AtomicTransaction(on: target)
      try commit(&transaction, mark, 0..<1)
      hasWritten = true
      try clearControl()
      let most = target.journal?.mostTogether(byteCount: plan.slotBytes) ?? .max
      let together = UInt64(max(1, min(most, (1 << 20) / plan.slotBytes)))
      for first in stride(from: 1, to: plan.slots, by: Int(together)) {
        let slots = first..<min(first + together, plan.slots)
        try commit(&transaction, zeros, slots)
        if !goesOn(UInt64(slots.count)) { return false }
      }
      guard beginLog() else { return false }
      try commit(&transaction, zeros, 0..<1)
      try target.checkpoint()
    case .kernel, .passthrough, .plain:
      var writer = AtomicWriter(target)
      try write(&writer, mark, 0)
      hasWritten = true
      try flush(&writer)
      try clearControl()
      for slot in 1..<plan.slots {
        try write(&writer, zeros, slot)
        if !goesOn(1) { return false }
      }
      try flush(&writer)
      guard beginLog() else { return false }
      try write(&writer, zeros, 0)
      try flush(&writer)
    }
    return true
  }

  private func flush(_ writer: inout AtomicWriter) throws(AtomicWriteError) {
    if target.path != .passthrough { try writer.flush() }
  }

  private func write(
    _ writer: inout AtomicWriter,
    _ content: borrowing AlignedBuffer,
    _ slot: UInt64
  ) throws(AtomicWriteError) {
    // A Flush command may be the wrong one where several controllers lead to a namespace.
    let durability: Durability = target.path == .passthrough ? .onReturn : .none
    try writer.writeUnreported(
      content,
      atBytes: plan.offset(ofSlot: slot),
      durability: durability,
      isStrict: false
    )
  }

  private func commit(
    _ transaction: inout AtomicTransaction,
    _ content: borrowing AlignedBuffer,
    _ slots: Range<UInt64>
  ) throws(AtomicWriteError) {
    for slot in slots {
      // SAFETY: the bytes are lent for the call.
      unsafe try content.withBytes { bytes throws(AtomicWriteError) in
        unsafe try transaction.write(bytes, atBytes: plan.offset(ofSlot: slot))
      }
    }
    try transaction.commit(durability: .onReturn)
  }
}
