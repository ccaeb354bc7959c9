import LinuxIO
import SystemPackage

/// Makes all slots blank, by the path that the workload takes.
struct CrashPreparation {
  private let plan: CrashPlan
  private let target: AtomicTarget
  /// Whether something was written, if only of the control.
  private var hasWritten = false

  init(_ plan: CrashPlan, _ target: AtomicTarget) {
    self.plan = plan
    self.target = target
  }

  /// Whether it came to its end; a signal may come first.
  ///
  /// - Throws: What writing does. Only an outcome that is unknown says that something was written.
  mutating func run(_ progress: (CrashRun.Progress) -> Void) throws(AtomicWriteError) -> Bool {
    var done: UInt64 = 0
    var told = HostProcess.monotonicNanoseconds
    let isDone: Bool
    do throws(AtomicWriteError) {
      try clearControl()
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
  private mutating func clearControl() throws(AtomicWriteError) {
    if plan.controls == 0 { return }
    var access = TargetAccess(target)
    let zeros = try AlignedBuffer(reserving: plan.controlBytes)
    for control in 0..<plan.controls {
      try access.writeOrdinary(zeros, atBytes: plan.offset(ofControl: control), isDurable: true)
      hasWritten = true
    }
  }

  private static func cause(_ error: AtomicWriteError) -> FailureCause {
    if case .notWritten(let cause) = error { cause } else { FailureCause(.ioError) }
  }

  private func run(_ goesOn: (UInt64) -> Bool) throws(AtomicWriteError) -> Bool {
    switch target.path {
    case .exchange, .journal: try clearByTransactions(goesOn)
    case .kernel, .passthrough, .plain: try clearByWrites(goesOn)
    }
  }

  private func clearByWrites(_ goesOn: (UInt64) -> Bool) throws(AtomicWriteError) -> Bool {
    var writer = AtomicWriter(target)
    let zeros = try AlignedBuffer(reserving: plan.slotBytes)
    // A Flush command may be the wrong one where several controllers lead to a namespace.
    let durability: Durability = target.path == .passthrough ? .onReturn : .none
    for slot in 0..<plan.slots {
      try writer.writeUnreported(
        zeros,
        atBytes: plan.offset(ofSlot: slot),
        durability: durability,
        isStrict: false
      )
      if !goesOn(1) { return false }
    }
    if target.path != .passthrough { try writer.flush() }
    return true
  }

  private func clearByTransactions(_ goesOn: (UInt64) -> Bool) throws(AtomicWriteError) -> Bool {
    var transaction = try AtomicTransaction(on: target)
    let most = target.journal?.mostTogether(byteCount: plan.slotBytes) ?? .max
    let together = UInt64(max(1, min(most, (1 << 20) / plan.slotBytes)))
    let zeros = try AlignedBuffer(reserving: plan.slotBytes)
    for first in stride(from: 0, to: plan.slots, by: Int(together)) {
      let slots = first..<min(first + together, plan.slots)
      for slot in slots {
        // SAFETY: the bytes are lent for the call.
        unsafe try zeros.withBytes { bytes throws(AtomicWriteError) in
          unsafe try transaction.write(bytes, atBytes: plan.offset(ofSlot: slot))
        }
      }
      try transaction.commit(durability: .onReturn)
      if !goesOn(UInt64(slots.count)) { return false }
    }
    try target.checkpoint()
    return true
  }
}
