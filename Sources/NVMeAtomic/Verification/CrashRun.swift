import LinuxIO
import SystemPackage

/// What the workload of `verify crash` has done until it was ended by something else than a power
/// cut.
package struct CrashRunResult: Sendable {
  /// Operations that were acknowledged, and logged.
  package var operations: UInt64 = 0
  package var elapsedNanoseconds: UInt64 = 0
  package var isInterrupted = false
  /// What ended the run early, and where.
  package var failure: (error: AtomicWriteError, offsetBytes: UInt64)?
  /// Why the log took no more.
  package var logFailure: SystemError?
  /// Whether something was written, if only zeros.
  package var hasWritten = false
}

/// Carries out the workload of `verify crash` on an open target.
package struct CrashRun: Sendable {
  package let plan: CrashPlan
  package let target: AtomicTarget
  package let log: CrashLogWriter
  /// Operations in all; `nil` for as many as the time allows.
  package let count: UInt64?
  /// `nil` for as long as the operations take.
  package let runtimeNanoseconds: UInt64?

  package init(
    _ plan: CrashPlan,
    on target: AtomicTarget,
    log: CrashLogWriter,
    count: UInt64? = nil,
    runtimeNanoseconds: UInt64? = nil
  ) {
    self.plan = plan
    self.target = target
    self.log = log
    self.count = count
    self.runtimeNanoseconds = runtimeNanoseconds
  }

  /// Whether each slot can be written by the path. Nothing is written.
  ///
  /// - Throws: ``AtomicWriteError/refused(_:)``, ``AtomicWriteError/missingFact(_:)`` or
  ///   ``AtomicWriteError/journal(_:)``.
  package func check() throws(AtomicWriteError) {
    if let journal = target.journal {
      try journal.checkAligned(plan.offsetBytes, blockBytes: plan.slotBytes)
      return try journal.check(plan.offsetBytes..<plan.endBytes)
    }
    if target.path == .exchange {
      // Two threads' slots must not meet in one block of the filesystem.
      let unit = target.report.limits.filesystem?.blockSize ?? 1
      guard UInt64(plan.slotBytes) % unit == 0 else {
        throw .refused(
          .partialBlock(lengthBytes: UInt64(plan.slotBytes), blockBytes: unit)
        )
      }
      return
    }
    var admission = WriteAdmission(
      target,
      durability: plan.isDurable ? .onReturn : .none,
      isStrict: false
    )
    for slot in 0..<plan.slots {
      try admission.admit(offset: plan.offset(ofSlot: slot), length: UInt64(plan.slotBytes))
    }
  }

  /// What is being done, for people.
  package enum Progress: Sendable {
    /// Slots that are blank by now.
    case preparing(done: UInt64)
    case running(operations: UInt64, nanoseconds: UInt64)
  }

  /// Makes all slots blank and durable, with the log's header at the end of that, and then writes
  /// until the count, the time, a signal or a failure ends it, or the power is cut.
  ///
  /// - Parameters:
  ///   - header: The first line of the log.
  ///   - progress: Called about four times a second.
  /// - Returns: What was done, and what ended it.
  package func run(
    _ header: CrashLogHeader,
    progress: (Progress) -> Void
  ) -> CrashRunResult {
    HostProcess.catchStopSignals()
    var result = CrashRunResult()
    do throws(AtomicWriteError) {
      result.hasWritten = true
      var logFailure: SystemError?
      var preparation = CrashPreparation(plan, target) {
        logFailure = append(header.line + "\n")
        return logFailure == nil
      }
      guard try preparation.run(progress) else {
        (result.logFailure, result.isInterrupted) = (logFailure, logFailure == nil)
        return result
      }
    } catch {
      result.hasWritten = error.outcome == .unknown
      result.failure = (error, plan.offsetBytes)
      return result
    }
    write(&result, progress)
    do throws(AtomicWriteError) {
      try target.close()
    } catch {
      result.failure = result.failure ?? (error, plan.offsetBytes)
    }
    result.isInterrupted = HostProcess.stopSignal != 0
    // What failed was on its way, as when the drive alone has lost its power.
    if result.failure == nil {
      result.logFailure =
        result.logFailure ?? append(CrashLogLine.ended(result.operations).text(plan.run))
    }
    return result
  }

  /// Why the log does not take it; `nil` where it has.
  private func append(_ text: String) -> SystemError? {
    do throws(Errno) {
      try log.append(text)
      return nil
    } catch {
      return SystemError(error)
    }
  }

  private func write(_ result: inout CrashRunResult, _ progress: (Progress) -> Void) {
    let shared: CrashShared
    do throws(Errno) {
      shared = try CrashShared(threads: plan.threads + (plan.controls > 0 ? 1 : 0), LoadControl())
    } catch {
      result.failure = (.noResources(.descriptor, SystemError(error)), plan.offsetBytes)
      return
    }
    let start = HostProcess.monotonicNanoseconds
    let failure = runThreads(from: 0, shared) {
      watch(shared, progress)
    }
    let sum = shared.total
    result.operations = sum.operations
    result.failure = sum.failure ?? failure.map { ($0, plan.offsetBytes) }
    result.logFailure = sum.logFailure
    result.elapsedNanoseconds = HostProcess.monotonicNanoseconds - start
  }

  /// One thread after the other is made; when all are, they are watched, and then waited for.
  private func runThreads(
    from thread: Int,
    _ shared: CrashShared,
    watching watch: () -> Void
  ) -> AtomicWriteError? {
    if thread == shared.threads {
      watch()
      // The control has no end of its own.
      shared.control.stop()
      return nil
    }
    let (plan, target, log) = (plan, target, log)
    let each = count.map { $0 / UInt64(plan.threads) }
    let remaining = each.map {
      $0 + (UInt64(thread) < (count ?? 0) % UInt64(plan.threads) ? 1 : 0)
    }
    do throws(Errno) {
      let worker = try WorkerThread {
        if thread == plan.threads {
          var control = CrashControl(plan, target, shared)
          return control.run()
        }
        var worker = CrashWorker(plan, target, log, shared, thread: thread)
        worker.run(count: remaining ?? .max)
        shared.add(worker.result)
      }
      let failure = runThreads(from: thread + 1, shared, watching: watch)
      worker.join()
      return failure
    } catch {
      shared.control.stop()
      return .noResources(.thread, SystemError(error))
    }
  }

  private func watch(_ shared: CrashShared, _ progress: (Progress) -> Void) {
    let control = shared.control
    while control.readyThreads < shared.threads, !control.shouldStop {
      if HostProcess.stopSignal != 0 { control.stop() }
      HostProcess.pause(milliseconds: 1)
    }
    let start = HostProcess.monotonicNanoseconds
    let (deadline, overflow) = start.addingReportingOverflow(runtimeNanoseconds ?? .max)
    control.begin(deadlineNanoseconds: overflow ? .max : deadline)
    var told = start
    while shared.endedThreads < plan.threads {
      HostProcess.pause(milliseconds: 5)
      if HostProcess.stopSignal != 0 { control.stop() }
      if shared.endedThreads == plan.threads { break }
      let now = HostProcess.monotonicNanoseconds
      guard now - told >= 250_000_000 else { continue }
      told = now
      progress(.running(operations: control.operations, nanoseconds: now - start))
    }
  }
}
