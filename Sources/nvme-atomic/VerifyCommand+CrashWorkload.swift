import ArgumentParser
import NVMeAtomic
import SystemPackage

/// The workload of `verify crash`.
extension VerifyCrashCommand {
  /// Carries it out until it is ended; how the process is to end, `nil` for success.
  func runWorkload() throws(Failure) -> ExitCode? {
    guard let target, let log else { return nil }
    var findings: [CrashFinding] = []
    let place = try NewTarget(target, sizeBytes: size?.bytes)
    let report = try probe(place.path)
    let path = try chosenPath(report)
    let plan = try plan(report, path)
    let promise = try promise(report, plan)
    try checkLog(log, CrashTarget(report), &findings)
    let writer = try makeLog(log, &findings)
    do throws(Failure) {
      return try carryOut(place, plan, promise, writer, findings)
    } catch {
      // What came to nothing leaves no log behind.
      if error.outcome == .notWritten { writer.discard() }
      throw error
    }
  }

  /// Names a new file, which a power cut is to leave, and writes to it.
  private func carryOut(
    _ place: borrowing NewTarget,
    _ plan: CrashPlan,
    _ promise: PathPromise?,
    _ writer: CrashLogWriter,
    _ earlier: [CrashFinding]
  ) throws(Failure) -> ExitCode? {
    guard let target, let log else { return nil }
    var (findings, path) = (earlier, plan.path)
    try place.giveName()
    let report = try probe(target)
    let open = try openTarget(report, path)
    let run = CrashRun(
      plan,
      on: open,
      log: writer,
      count: count,
      runtimeNanoseconds: runtime?.nanoseconds
    )
    let isFlushed = try writeErrors(path) { () throws(AtomicWriteError) in
      try run.check()
      return plan.isDurable ? try open.flushesReachStableStorage() : nil
    }
    let header = try header(report, plan)
    note(header, isFlushed, &findings)
    if !json { announce(plan, findings) }
    let progress = LoadProgress(
      count: count,
      runtimeNanoseconds: runtime?.nanoseconds,
      noun: "operations acknowledged"
    )
    let result = run.run(header) { state in
      switch state {
      case .preparing(let done): progress.tell("making the range blank", done, of: plan.slots)
      case .running(let operations, let nanoseconds): progress.tell(operations, nanoseconds)
      }
    }
    progress.end()
    let failure = failure(result, path)
    if let failure { Terminal.printError(failure.line) }
    let summary = CrashRunSummary(
      header: header,
      result: result,
      promise: open.journalPromise ?? promise,
      isFlushed: isFlushed,
      log: log,
      findings: findings,
      failure: failure
    )
    try Terminal.printReport(json ? summary.document.rendered : summary.text, of: target)
    return failure?.exitCode ?? (result.isInterrupted ? ExitCode(130) : nil)
  }

  func probe(_ path: String) throws(Failure) -> TargetReport {
    let report = Probe().report(on: path)
    if let error = report.error { throw Failure(.target(error), target: path) }
    return report
  }

  func refusal(_ message: String, _ remedy: String) -> Failure {
    Failure(
      target: target ?? "",
      code: .refused,
      message: message,
      remedy: remedy,
      outcome: .notWritten
    )
  }

  func writeErrors<Value>(
    _ path: WritePath,
    _ body: () throws(AtomicWriteError) -> Value
  ) throws(Failure) -> Value {
    do throws(AtomicWriteError) {
      return try body()
    } catch {
      throw Failure(error, target: target ?? "", path: path)
    }
  }

  // MARK: What is done

  private func chosenPath(_ report: TargetReport) throws(Failure) -> WritePath {
    switch path ?? .auto {
    case .kernel: return .kernel
    case .passthrough: return .passthrough
    case .exchange: return .exchange
    case .journal: return .journal
    case .plain: return .plain
    case .auto: break
    }
    let isTransaction = (ranges ?? 1) > 1
    let rule = Planner(report.limits).automaticRule(
      AutomaticRequest(
        isTransaction ? nil : .everyPage(sizeBytes: blockBytes),
        durability: durable == Durable.none ? .none : .onReturn,
        isLoad: !isTransaction,
        isJournalNamed: journal.isGiven,
        hasJournal: TargetJournal.isMarked(report)
      )
    )
    return rule == .none && isTransaction ? .journal : rule.path
  }

  private func plan(_ report: TargetReport, _ path: WritePath) throws(Failure) -> CrashPlan {
    guard let size = report.sizeBytes else {
      throw refusal("its size is not known", "name a block device or a file")
    }
    let stampBytes = CrashTarget(report).logicalBlockBytes
    guard blockBytes % UInt64(stampBytes) == 0 else {
      throw refusal(
        "it has logical blocks of \(ByteText(UInt64(stampBytes)))",
        "give a --block-size that is a multiple of that"
      )
    }
    let offset = range?.offset.bytes ?? 0
    let end = range.map { $0.offset.bytes + $0.length.bytes } ?? min(size, 64 << 20)
    guard end <= size else {
      throw refusal(
        "it has \(size) bytes, and the range ends at \(end)",
        "give a --range within it"
      )
    }
    let control = CrashPlan.control(
      report.limits,
      path,
      stampBytes: stampBytes,
      rangeBytes: end - min(offset, end)
    )
    let slotsEnd = end - min(end, UInt64(control.bytes * control.count))
    let takesTransactions = path == .exchange || path == .journal
    let plan = CrashPlan(
      run: CrashPlan.newRun,
      path: path,
      isDurable: durable != Durable.none || path == .journal,
      offsetBytes: offset,
      slotBytes: Int(blockBytes),
      slots: slotsEnd > offset ? (slotsEnd - offset) / blockBytes : 0,
      stampBytes: stampBytes,
      ranges: takesTransactions ? ranges ?? 4 : 1,
      threads: threads ?? 1,
      seed: seed ?? UInt64.random(in: 1...UInt64(UInt32.max)),
      controlBytes: control.bytes,
      controls: control.count
    )
    guard plan.isPossible else {
      let most = ByteText(CrashPlan.mostSlots.multipliedFullWidth(by: blockBytes).low)
      throw refusal(
        "the range has room for \(plan.slots) blocks of \(ByteText(blockBytes))",
        "each of the threads needs as many as a transaction has, and all together have \(most) at "
          + "most: give another --range, --block-size, --threads or --ranges"
      )
    }
    return plan
  }

  /// Who keeps the operations whole; `nil` for plain writes.
  private func promise(
    _ report: TargetReport,
    _ plan: CrashPlan
  ) throws(Failure) -> PathPromise? {
    let verdict: PathVerdict
    switch plan.path {
    case .plain: return nil
    case .journal: verdict = Planner(report.limits).journal
    case .exchange: verdict = Planner(report.limits).exchange
    case .kernel, .passthrough:
      return try writeErrors(plan.path) { () throws(AtomicWriteError) in
        try AtomicWriter.promise(
          for: .one(offsetBytes: plan.offsetBytes, lengthBytes: UInt64(plan.slotBytes)),
          on: report.limits,
          path: plan.path,
          durability: plan.isDurable ? .onReturn : .none,
          isStrict: false,
          allowsShared: allowShared
        )
      }
    }
    return try writeErrors(plan.path) { () throws(AtomicWriteError) in
      switch verdict {
      case .fails(let refusal): throw .refused(refusal)
      case .unknown(let fact): throw .missingFact(fact)
      case .holds(let promise): promise
      }
    }
  }

  private func openTarget(
    _ report: TargetReport,
    _ path: WritePath
  ) throws(Failure) -> AtomicTarget {
    try writeErrors(path) { () throws(AtomicWriteError) in
      try AtomicTarget(
        opening: report,
        path: path,
        overwritingExistingData: overwriteExistingData,
        allowingShared: allowShared,
        journal: journal.place
      )
    }
  }

  private func header(
    _ report: TargetReport,
    _ plan: CrashPlan
  ) throws(Failure) -> CrashLogHeader {
    let bootID: String
    do throws(Errno) {
      bootID = try CrashTarget.bootID()
    } catch {
      throw refusal("the system does not say which start of it this is: \(error)", "mount /proc")
    }
    var place: String?
    if let file = journal.file {
      let path = FilePath(file)
      let isAbsolute = path.isAbsolute || (try? currentFolder()) == nil
      place = "file:" + (isAbsolute ? file : (try? currentFolder())?.pushing(path).string ?? file)
    } else if let region = journal.region {
      place = "region:\(region.offset.bytes):\(region.length.bytes)"
    }
    return CrashLogHeader(
      plan: plan,
      toolVersion: NVMeAtomicCommand.version,
      bootID: bootID,
      target: report.path,
      identity: CrashTarget(report).identity,
      sizeBytes: report.sizeBytes ?? 0,
      journal: place,
      isSent: log?.hasPrefix("tcp:") == true
    )
  }

  private func currentFolder() throws(Errno) -> FilePath {
    FilePath(try LiveMachine().canonicalPath(of: "."))
  }

  private func note(
    _ header: CrashLogHeader,
    _ isFlushed: Bool?,
    _ findings: inout [CrashFinding]
  ) {
    if header.identity == nil {
      findings.append(
        CrashFinding(
          "identity-unknown",
          .warning,
          "Nothing tells this target from another one of its name but what is written to it."
        )
      )
    }
    if header.plan.path == .plain {
      findings.append(.plain)
    } else if header.plan.controls == 0 {
      findings.append(.noControl)
    }
    if header.plan.isDurable, isFlushed == nil {
      findings.append(
        CrashFinding(
          "flushes-unknown",
          .warning,
          "Nobody can tell whether flushes reach stable storage here: what is acknowledged as "
            + "durable rests on that."
        )
      )
    }
  }

  private func announce(_ plan: CrashPlan, _ findings: [CrashFinding]) {
    let size = ByteText(UInt64(plan.slotBytes))
    let what =
      plan.ranges == 1
      ? "writes of \(size)" : "transactions of \(plan.ranges) times \(size)"
    let text =
      "\(target ?? ""): \(what) by \(plan.path.words), to \(plan.slots) blocks from "
      + "\(plan.offsetBytes) on, run \(plan.runText)"
    Terminal.print(([text.printable] + findings.map(\.line)).joined(separator: "\n"))
  }

  // MARK: The end

  private func failure(_ result: CrashRunResult, _ path: WritePath) -> Failure? {
    if let (error, offset) = result.failure {
      var failure = Failure(error, target: target ?? "", path: path)
      guard result.hasWritten else { return failure }
      failure.message =
        "at \(offset): \(failure.message); \(result.operations) operations were acknowledged"
      failure.remedy = Failure.remedyOfLoad(error) ?? failure.remedy
      failure.outcome = .unknown
      return failure
    }
    guard let error = result.logFailure else { return nil }
    var failure = logFailure(log ?? "", Errno(rawValue: error.code))
    failure.message =
      "the log takes no more: \(error); \(result.operations) operations were acknowledged"
    failure.remedy = "look at where the log goes, and begin anew"
    failure.outcome = .unknown
    return failure
  }
}
