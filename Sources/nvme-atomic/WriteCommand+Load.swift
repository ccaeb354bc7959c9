import ArgumentParser
import NVMeAtomic
import Synchronization

/// Many writes.
extension WriteCommand {
  func runLoad(_ place: borrowing NewTarget) throws(Failure) {
    // The target is let go before the process ends: its page cache is then emptied.
    let exitCode = try carryOutLoad(place)
    if let exitCode { Terminal.exit(exitCode) }
  }

  /// Carries it out; how the process is to end, `nil` for success.
  private func carryOutLoad(_ place: borrowing NewTarget) throws(Failure) -> ExitCode? {
    ProgramStart.noteStopSignals()
    let report = try probe(place)
    let plan = try loadPlan(report)
    let promise = try promise(report, plan)
    let target = try openTarget(report)
    if strict, let assumption = target.journalPromise?.assumptions.first {
      throw failure(.onlyAssumed(assumption))
    }
    let isFlushed = try isFlushed(plan, target)
    let run = LoadRun(plan, on: target)
    try check(run)
    let range = WriteRequest.Range.everyPage(sizeBytes: UInt64(plan.blockBytes))
    if explain, !json { printVerdicts(report, range, durability(plan)) }
    let counter = DeviceWriteCounter(report, path: writePath)
    let before = counter?.unitsWhileIdle(target)
    let histograms = (0..<plan.threads).map { _ in LatencyHistogram() }
    let progress = LoadProgress(plan)
    var naming: Failure?
    let result = run.run(
      histograms.map(\.sink),
      isWanted: {
        do throws(Failure) { try place.giveName() } catch { naming = error }
        return naming == nil
      },
      progress: progress.tell
    )
    progress.end()
    if let naming { throw naming }
    let summary = LoadSummary(
      plan,
      result,
      promise: result.promise ?? promise,
      isFlushed: isFlushed,
      path: writePath,
      latency: LatencyHistogram.merged(histograms),
      deviceBytes: deviceBytes(counter, before, target)
    )
    let failure = result.failure.map { ended(by: $0.error, at: $0.offsetBytes, result) }
    let text =
      json
      ? LoadJSON(summary, failure, explanation(report, range, durability(plan))).document.rendered
      : LoadText(summary, target: self.target).text
    if let failure { Terminal.printError(failure.line) }
    try Terminal.printReport(text, of: self.target)
    return failure?.exitCode ?? (result.isInterrupted ? ExitCode(130) : nil)
  }

  /// Exit code 2 says that nothing was written, so that it is not for a run that has written.
  private func ended(
    by error: AtomicWriteError,
    at offset: UInt64,
    _ result: LoadResult
  ) -> Failure {
    var failure = failure(error)
    if case .noResources = error, result.operations == 0 { return failure }
    failure.message = "at \(offset): \(failure.message)"
    guard result.operations > 0, failure.outcome == .notWritten else { return failure }
    failure.message += "; this write was not done, and \(result.operations) others were"
    failure.remedy = Failure.remedyOfLoad(error) ?? failure.remedy
    failure.outcome = .unknown
    return failure
  }

  private func check(_ run: LoadRun) throws(Failure) {
    do throws(AtomicWriteError) {
      try run.checkFirstWrite()
    } catch {
      throw failure(error)
    }
  }

  /// Whether flushes reach stable storage: `nil` where that is not known or nothing asks for it.
  private func isFlushed(_ plan: LoadPlan, _ target: AtomicTarget) throws(Failure) -> Bool? {
    if plan.durable == .none, writePath != .journal { return nil }
    // FUA stays with its command, and Flush commands are shared only where they serve all of them.
    if plan.durable == .each, writePath == .passthrough { return true }
    do throws(AtomicWriteError) {
      return try target.flushesReachStableStorage()
    } catch {
      throw failure(error)
    }
  }

  private func durability(_ plan: LoadPlan) -> Durability {
    plan.durable == .each ? .onReturn : .none
  }

  /// Who keeps the first write whole; refused before the target is opened, let alone written to.
  private func promise(
    _ report: TargetReport,
    _ plan: LoadPlan
  ) throws(Failure) -> PathPromise? {
    if writePath == .plain { return nil }
    if writePath == .journal { return try journalPromise(report) }
    do throws(AtomicWriteError) {
      return try AtomicWriter.promise(
        for: .one(offsetBytes: plan.offsetBytes, lengthBytes: UInt64(plan.blockBytes)),
        on: report.limits,
        path: writePath,
        durability: durability(plan),
        isStrict: strict,
        allowsShared: allowShared
      )
    } catch {
      throw failure(error)
    }
  }

  func openTarget(_ report: TargetReport) throws(Failure) -> AtomicTarget {
    do throws(AtomicWriteError) {
      return try AtomicTarget(
        opening: report,
        path: writePath,
        overwritingExistingData: overwriteExistingData,
        allowingShared: allowShared,
        journal: journal.place
      )
    } catch {
      throw failure(error)
    }
  }

  private func journalPromise(_ report: TargetReport) throws(Failure) -> PathPromise {
    switch Planner(report.limits).journal {
    case .fails(let refusal): throw failure(.refused(refusal))
    case .unknown(let fact): throw failure(.missingFact(fact))
    case .holds(let promise):
      if strict, let assumption = promise.assumptions.first {
        throw failure(.onlyAssumed(assumption))
      }
      return promise
    }
  }

  private func loadPlan(_ report: TargetReport) throws(Failure) -> LoadPlan {
    var plan = LoadPlan()
    let block = load.blockSize?.bytes ?? 0
    plan.blockBytes = Int(block)
    plan.pattern = load.pattern ?? .random
    plan.engine = load.engineUsed
    plan.durable = LoadPlan.Durable(rawValue: durable?.rawValue ?? "none") ?? .none
    plan.isStrict = strict
    plan.depth = load.depth
    plan.threads = load.threadCount
    plan.count = load.count
    plan.runtimeNanoseconds = load.runtime?.nanoseconds
    plan.seed = load.seed ?? UInt64.random(in: 1...UInt64(UInt32.max))
    guard let size = report.sizeBytes else {
      throw refusal("its size is not known", "name a block device or a file")
    }
    let offset = load.range?.offset.bytes ?? 0
    let end = load.range.map { $0.offset.bytes + $0.length.bytes } ?? size
    guard end <= size else {
      throw refusal(
        "it has \(size) bytes, and the range ends at \(end)",
        "give a range within it; a load never makes a file longer"
      )
    }
    plan.offsetBytes = offset
    plan.blocks = end > offset ? (end - offset) / block : 0
    guard plan.blocks >= UInt64(plan.threads) else {
      throw refusal(
        "the range has room for \(plan.blocks) blocks of \(ByteText(block))",
        "make the file longer, for instance with truncate, or use smaller blocks or fewer threads"
      )
    }
    return plan
  }

  private func refusal(_ message: String, _ remedy: String) -> Failure {
    Failure(
      target: target,
      code: .refused,
      message: message,
      remedy: remedy,
      outcome: .notWritten
    )
  }

  /// What reached the device; `nil` where that is not known.
  private func deviceBytes(
    _ counter: DeviceWriteCounter?,
    _ before: UInt64?,
    _ target: AtomicTarget
  ) -> UInt64? {
    guard let counter, let before else { return nil }
    return counter.bytes(since: before, target)
  }
}
