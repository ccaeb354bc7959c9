import LinuxIO
import SystemPackage

/// Carries out a load on an open target, by as many threads as it has.
package struct LoadRun: Sendable {
  package let plan: LoadPlan
  package let target: AtomicTarget

  package init(_ plan: LoadPlan, on target: AtomicTarget) {
    self.plan = plan
    self.target = target
  }

  /// Takes latencies of one thread in nanoseconds, which are lent for the call.
  package typealias Sink = @Sendable (Span<UInt64>) -> Void

  /// Writes until the count, the time, a signal or a failure ends it.
  ///
  /// - Parameters:
  ///   - sinks: One for each thread, called on that thread.
  ///   - isWanted: Called once, when every thread has what it needs and none has written yet; the
  ///     run ends there with false.
  ///   - progress: Called about four times a second with the writes done and the nanoseconds gone.
  /// - Returns: What was done, also where that was less than asked.
  package func run(
    _ sinks: [Sink],
    isWanted: () -> Bool = { true },
    progress: (UInt64, UInt64) -> Void
  ) -> LoadResult {
    HostProcess.catchStopSignals()
    let results = LoadResults()
    var start: Start?
    var failure: AtomicWriteError?
    do throws(AtomicWriteError) {
      let control = try prepare()
      failure = runThreads(from: 0, control, results, sinks) {
        start = begin(control, isWanted)
        if let start { watch(control, results, progress, from: start.nanoseconds) }
      }
    } catch {
      failure = error
    }
    var total = results.total
    if let failure { total.fail(failure, atBytes: plan.offsetBytes) }
    if let start {
      total.elapsedNanoseconds = max(results.endNanoseconds, start.nanoseconds) - start.nanoseconds
      if target.journal != nil {
        closeJournal(&total)
      } else if plan.durable == .end, total.operations > 0 {
        flush(&total)
      }
      let used = HostProcess.processorNanoseconds
      total.userNanoseconds = used.user - start.processor.user
      total.systemNanoseconds = used.system - start.processor.system
    }
    total.isInterrupted = HostProcess.stopSignal != 0
    return total
  }

  /// Whether the first write would be admitted. Nothing is written.
  package func checkFirstWrite() throws(AtomicWriteError) {
    if let journal = target.journal {
      try journal.checkAligned(plan.offsetBytes, blockBytes: plan.blockBytes)
      let end = plan.offsetBytes + plan.blocks * UInt64(plan.blockBytes)
      return try journal.check(plan.offsetBytes..<end)
    }
    var admission = WriteAdmission(
      target,
      durability: plan.durable == .each ? .onReturn : .none,
      isStrict: plan.isStrict
    )
    try admission.admit(offset: plan.offsetBytes, length: UInt64(plan.blockBytes))
  }

  /// What all threads share. Most of what they will ask for is asked for first, as small pieces of
  /// memory that are missing later would end the process.
  private func prepare() throws(AtomicWriteError) -> LoadControl {
    // A stack, an arena, bookkeeping; for each place a buffer, the entries of a ring and more.
    let place = UInt64(plan.blockBytes) + 4096
    let thread = (10 << 20) + UInt64(plan.depth).multipliedOrMax(by: place)
    let count = UInt64(plan.threads).multipliedOrMax(by: thread).addingOrMax(64 << 20)
    do throws(Errno) {
      try HostProcess.checkMemory(byteCount: count)
    } catch {
      throw .noResources(.memory, SystemError(error))
    }
    do throws(Errno) {
      return try LoadControl()
    } catch {
      throw .noResources(.descriptor, SystemError(error))
    }
  }

  /// The clocks before the first write.
  private struct Start {
    let nanoseconds = HostProcess.monotonicNanoseconds
    let processor = HostProcess.processorNanoseconds
  }

  /// One thread after the other is made; when all are, they are watched, and then waited for.
  private func runThreads(
    from thread: Int,
    _ control: LoadControl,
    _ results: LoadResults,
    _ sinks: [Sink],
    watching watch: () -> Void
  ) -> AtomicWriteError? {
    if thread == plan.threads {
      watch()
      return nil
    }
    let (plan, target, sink) = (plan, target, sinks[thread])
    do throws(Errno) {
      let worker = try WorkerThread {
        var worker = LoadWorker(plan, target, control, thread: thread)
        worker.run(sink)
        results.add(worker.result, endNanoseconds: HostProcess.monotonicNanoseconds)
      }
      let failure = runThreads(from: thread + 1, control, results, sinks, watching: watch)
      worker.join()
      return failure
    } catch {
      control.stop()
      return .noResources(.thread, SystemError(error))
    }
  }

  /// Lets all threads write at once, when each has what it needs; `nil` where one has not, where a
  /// signal came first, or where the run is not wanted any more.
  private func begin(_ control: LoadControl, _ isWanted: () -> Bool) -> Start? {
    while control.readyThreads < plan.threads, !control.shouldStop {
      if HostProcess.stopSignal != 0 { control.stop() }
      HostProcess.pause(milliseconds: 1)
    }
    if HostProcess.stopSignal != 0 || control.shouldStop || !isWanted() {
      control.stop()
      return nil
    }
    let start = Start()
    let (deadline, overflow) = start.nanoseconds.addingReportingOverflow(
      plan.runtimeNanoseconds ?? .max
    )
    control.begin(deadlineNanoseconds: overflow ? .max : deadline)
    return start
  }

  private func watch(
    _ control: LoadControl,
    _ results: LoadResults,
    _ progress: (UInt64, UInt64) -> Void,
    from begin: UInt64
  ) {
    var told = begin
    while results.ended < plan.threads {
      HostProcess.pause(milliseconds: 5)
      if HostProcess.stopSignal != 0 { control.stop() }
      let now = HostProcess.monotonicNanoseconds
      guard now - told >= 250_000_000 else { continue }
      told = now
      progress(control.operations, now - begin)
    }
  }

  /// What the journal has is brought in place: that belongs to the work that was measured.
  private func closeJournal(_ total: inout LoadResult) {
    let begin = HostProcess.monotonicNanoseconds
    do throws(AtomicWriteError) {
      try target.close()
    } catch {
      total.fail(error, atBytes: plan.offsetBytes)
    }
    total.elapsedNanoseconds += HostProcess.monotonicNanoseconds - begin
  }

  private func flush(_ total: inout LoadResult) {
    let begin = HostProcess.monotonicNanoseconds
    do throws(AtomicWriteError) {
      var writer = AtomicWriter(target)
      try writer.flush()
    } catch {
      total.fail(error, atBytes: plan.offsetBytes)
    }
    total.elapsedNanoseconds += HostProcess.monotonicNanoseconds - begin
  }
}

/// What the threads of a load have done, added up.
private final class LoadResults: Sendable {
  private let state = Locked((total: LoadResult(), ended: 0, endNanoseconds: UInt64(0)))

  var total: LoadResult { state.withLock { $0.total } }
  var ended: Int { state.withLock { $0.ended } }
  var endNanoseconds: UInt64 { state.withLock { $0.endNanoseconds } }

  func add(_ result: LoadResult, endNanoseconds: UInt64) {
    state.withLock {
      $0.total.operations += result.operations
      $0.total.resent += result.resent
      $0.total.promise = $0.total.promise ?? result.promise
      if let failure = result.failure {
        $0.total.fail(failure.error, atBytes: failure.offsetBytes)
      }
      $0.ended += 1
      $0.endNanoseconds = max($0.endNanoseconds, endNanoseconds)
    }
  }
}
