import LinuxIO
import Synchronization
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
  ///   - progress: Called about four times a second with the writes done and the nanoseconds gone.
  /// - Returns: What was done, also where that was less than asked.
  package func run(_ sinks: [Sink], progress: (UInt64, UInt64) -> Void) -> LoadResult {
    HostProcess.catchStopSignals()
    let processor = HostProcess.processorNanoseconds
    let begin = HostProcess.monotonicNanoseconds
    let control = LoadControl(
      deadlineNanoseconds: plan.runtimeNanoseconds.map { begin &+ $0 } ?? .max
    )
    let results = LoadResults()
    let failure = runThreads(from: 0, control, results, sinks) {
      watch(control, results, progress, from: begin)
    }
    var total = results.total
    if let failure, total.failure == nil { total.failure = (failure, plan.offsetBytes) }
    total.elapsedNanoseconds = max(results.endNanoseconds, begin) - begin
    if plan.durable == .end, total.operations > 0 { flush(&total) }
    let used = HostProcess.processorNanoseconds
    total.userNanoseconds = used.user - processor.user
    total.systemNanoseconds = used.system - processor.system
    total.isInterrupted = HostProcess.stopSignal != 0
    return total
  }

  /// One thread after the other is begun; when all are, they are watched, and then waited for.
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
      return .notWritten(FailureCause(error))
    }
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

  private func flush(_ total: inout LoadResult) {
    let begin = HostProcess.monotonicNanoseconds
    do throws(AtomicWriteError) {
      var writer = AtomicWriter(target)
      try writer.flush()
    } catch {
      if total.failure == nil { total.failure = (error, plan.offsetBytes) }
    }
    total.elapsedNanoseconds += HostProcess.monotonicNanoseconds - begin
  }
}

/// What the threads of a load have done, added up.
private final class LoadResults: Sendable {
  private let state = Mutex((total: LoadResult(), ended: 0, endNanoseconds: UInt64(0)))

  var total: LoadResult { state.withLock { $0.total } }
  var ended: Int { state.withLock { $0.ended } }
  var endNanoseconds: UInt64 { state.withLock { $0.endNanoseconds } }

  func add(_ result: LoadResult, endNanoseconds: UInt64) {
    state.withLock {
      $0.total.operations += result.operations
      $0.total.resent += result.resent
      $0.total.promise = $0.total.promise ?? result.promise
      $0.total.failure = $0.total.failure ?? result.failure
      $0.ended += 1
      $0.endNanoseconds = max($0.endNanoseconds, endNanoseconds)
    }
  }
}
