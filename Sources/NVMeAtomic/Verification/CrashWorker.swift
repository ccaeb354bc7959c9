import LinuxIO
import SystemPackage

/// What the threads of a workload share.
final class CrashShared: Sendable {
  let control: LoadControl
  /// That of the control among them.
  let threads: Int
  private let state = Locked((total: CrashRunResult(), ended: 0))

  init(threads: Int, _ control: LoadControl) {
    (self.threads, self.control) = (threads, control)
  }

  var total: CrashRunResult { state.withLock { $0.total } }
  var endedThreads: Int { state.withLock { $0.ended } }

  func add(_ result: CrashRunResult) {
    state.withLock { state in
      state.total.operations += result.operations
      state.total.logFailure = state.total.logFailure ?? result.logFailure
      if let failure = result.failure { Self.note(failure, &state.total) }
      state.ended += 1
    }
  }

  /// Of the control.
  func fail(_ error: AtomicWriteError, atBytes offset: UInt64) {
    state.withLock { state in Self.note((error, offset), &state.total) }
    control.stop()
  }

  private static func note(
    _ failure: (error: AtomicWriteError, offsetBytes: UInt64),
    _ total: inout CrashRunResult
  ) {
    let first = total.failure
    // One whose outcome is unknown outranks those that wrote nothing.
    if first == nil || first?.error.outcome == .notWritten && failure.error.outcome == .unknown {
      total.failure = failure
    }
  }
}

/// One thread of a workload: one operation after the other, each logged when it is acknowledged.
struct CrashWorker: ~Copyable {
  private let plan: CrashPlan
  private let target: AtomicTarget
  private let log: CrashLogWriter
  private let shared: CrashShared
  private let thread: Int
  private var slots: [UInt64] = []
  private(set) var result = CrashRunResult()

  init(
    _ plan: CrashPlan,
    _ target: AtomicTarget,
    _ log: CrashLogWriter,
    _ shared: CrashShared,
    thread: Int
  ) {
    self.plan = plan
    self.target = target
    self.log = log
    self.shared = shared
    self.thread = thread
  }

  /// Writes until the count, the time, a signal or a failure ends it.
  mutating func run(count: UInt64) {
    let (plan, durability) = (plan, plan.isDurable ? Durability.onReturn : .none)
    do throws(AtomicWriteError) {
      var buffer = try AlignedBuffer(reserving: plan.slotBytes)
      switch target.path {
      case .kernel, .passthrough, .plain:
        var writer = AtomicWriter(target)
        try run(count) { slots, sequence throws(AtomicWriteError) in
          Self.fill(&buffer, plan, sequence, slots[0])
          try writer.writeUnreported(
            buffer,
            atBytes: plan.offset(ofSlot: slots[0]),
            durability: durability,
            isStrict: false
          )
        }
      case .exchange, .journal:
        var transaction = try AtomicTransaction(on: target)
        try run(count) { slots, sequence throws(AtomicWriteError) in
          for slot in slots {
            Self.fill(&buffer, plan, sequence, slot)
            // SAFETY: the bytes are lent for the call.
            unsafe try buffer.withBytes { bytes throws(AtomicWriteError) in
              unsafe try transaction.write(bytes, atBytes: plan.offset(ofSlot: slot))
            }
          }
          try transaction.commit(durability: durability)
        }
      }
    } catch {
      result.failure = (error, slots.first.map(plan.offset(ofSlot:)) ?? plan.offsetBytes)
      shared.control.stop()
    }
  }

  private static func fill(
    _ buffer: inout AlignedBuffer,
    _ plan: CrashPlan,
    _ sequence: UInt64,
    _ slot: UInt64
  ) {
    // SAFETY: the bytes are lent for the call.
    unsafe buffer.withMutableBytes { unsafe plan.fill($0, sequence, slot: slot) }
  }

  private mutating func run(
    _ count: UInt64,
    _ carryOut: ([UInt64], UInt64) throws(AtomicWriteError) -> Void
  ) throws(AtomicWriteError) {
    guard let deadline = shared.control.waitForBegin() else { return }
    while result.operations < count, !shared.control.shouldStop,
      HostProcess.monotonicNanoseconds < deadline
    {
      let sequence = plan.sequence(thread: thread, operation: result.operations)
      plan.slots(of: sequence, into: &slots)
      try carryOut(slots, sequence)
      do throws(Errno) {
        try log.append(CrashLogLine.acknowledged(sequence).text(plan.run))
      } catch {
        result.logFailure = SystemError(error)
        return shared.control.stop()
      }
      result.operations += 1
      shared.control.count(1)
    }
  }
}
