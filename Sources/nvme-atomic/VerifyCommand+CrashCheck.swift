import ArgumentParser
import NVMeAtomic
import SystemPackage

/// `verify crash --check`
extension VerifyCrashCommand {
  /// How the process is to end; `nil` where all is whole.
  func runCheck() throws(Failure) -> ExitCode? {
    guard let target, let path = log else { return nil }
    let blind = CrashSelfCheck.blindness()
    guard blind.isEmpty else { throw Self.blindness(blind, target: target) }
    let log = try readLog(path)
    // From here on there is something to tell of.
    ProgramStart.noteStopSignals()
    let report = try probe(target)
    try checkIdentity(report, log.header)
    var summary = CrashCheckSummary(target: target, log: log)
    try checkBoot(log, &summary)
    noteLog(log, &summary)
    if log.header.plan.path == .journal, report.kind == .file {
      // Nothing of a later run is brought in place by the log of an earlier one.
      var before = summary
      try read(report, log, &before)
      try checkRun(before, onlyLater: true)
    }
    guard try recover(report, log.header, &summary) else {
      return try end(summary)
    }
    noteSize(report, log.header, &summary)
    try read(report, log, &summary)
    try checkRun(summary)
    noteNothing(&summary)
    return try end(summary)
  }

  /// Where nothing had to be durable, there may be nothing that could be torn.
  private func noteNothing(_ summary: inout CrashCheckSummary) {
    guard !summary.log.header.plan.isDurable, summary.result.whole == 0 else { return }
    summary.findings.append(
      CrashFinding(
        "nothing-left",
        .inconclusive,
        "Nothing of what was written is there, and nothing had to be.",
        remedy: "let the workload run for longer, or with --durable each"
      )
    )
  }

  private func end(_ summary: CrashCheckSummary) throws(Failure) -> ExitCode? {
    let text = json ? summary.document.rendered : summary.text
    let hasWritten = (summary.recovered ?? 0) > 0
    try Terminal.printReport(text, of: summary.target, hasWritten: hasWritten)
    if let line = summary.inconclusiveLine { Terminal.printError(line) }
    switch summary.verdict {
    case .whole: return nil
    case .damaged: return ExitStatus.no
    case .inconclusive: return ExitStatus.notDone
    }
  }

  // MARK: What it is about

  private func readLog(_ path: String) throws(Failure) -> CrashLog {
    let result: Result<CrashLog, CrashLogProblem>
    do throws(Errno) {
      result = try CrashLog.read(path)
    } catch {
      throw logFailure(path, error)
    }
    do throws(CrashLogProblem) {
      return try result.get()
    } catch {
      let (message, remedy): (String, String) =
        switch error {
        case .empty:
          (
            "the log is empty: no power was cut after the first operation",
            "let the workload run for a while, and cut the power then"
          )
        case .noHeader:
          ("it is no log of verify crash, or its first line is damaged", "check --log")
        case .version:
          ("it was written by a later version of this program", "check it by that one")
        case .severalRuns:
          ("it has more than one run", "keep each run in a log of its own")
        }
      throw Failure(
        target: path,
        code: .refused,
        message: message,
        remedy: remedy,
        outcome: .notWritten
      )
    }
  }

  private func checkIdentity(
    _ report: TargetReport,
    _ header: CrashLogHeader
  ) throws(Failure) {
    guard let identity = header.identity else { return }
    if let error = CrashReader.openError(report.path) {
      throw refusal("it cannot be opened to be read: \(error)", "run it as root; mount it first")
    }
    let found = CrashTarget(report).identity
    if found == identity { return }
    throw refusal(
      "it is not what the log is of: that was \(header.target), '\(identity)', and this is "
        + (found.map { "'\($0)'" } ?? "something that nothing tells from others"),
      "name the target that the workload wrote to; one that was replaced or copied cannot be "
        + "checked"
    )
  }

  private func checkBoot(
    _ log: CrashLog,
    _ summary: inout CrashCheckSummary
  ) throws(Failure) {
    let bootID: String
    do throws(Errno) {
      bootID = try CrashTarget.bootID()
    } catch {
      throw refusal("the system does not say which start of it this is: \(error)", "mount /proc")
    }
    summary.isSameBoot = bootID == log.header.bootID
    guard summary.isSameBoot, !sameBoot else { return }
    summary.findings.append(
      CrashFinding(
        "same-boot",
        .inconclusive,
        "The system has not started anew since the workload: if no power was cut, nothing is shown "
          + "about the drive.",
        remedy: "cut the power, or pass --same-boot if only the drive's was cut"
      )
    )
  }

  private func noteLog(_ log: CrashLog, _ summary: inout CrashCheckSummary) {
    func note(
      _ code: String,
      _ weight: CrashFinding.Weight,
      _ message: String,
      _ remedy: String? = nil
    ) {
      summary.findings.append(CrashFinding(code, weight, message, remedy: remedy))
    }
    if log.total == 0 {
      note(
        "nothing-acknowledged",
        .inconclusive,
        "No operation was acknowledged before the end of the log.",
        "let the workload run for a while, and cut the power then"
      )
    }
    if log.droppedBytes > 0 {
      note(
        "log-cut",
        .info,
        "The last \(log.droppedBytes) bytes of the log are no whole line, and were dropped."
      )
    }
    if log.damagedLines > 0 {
      note(
        "log-damaged",
        .inconclusive,
        "Lines of the log are damaged or missing.",
        "keep the log elsewhere, and begin anew"
      )
    }
    if log.ended != nil {
      note(
        "run-had-ended",
        .inconclusive,
        "The workload had ended by itself: nothing was on its way when the power was cut, if it "
          + "was.",
        "cut the power amid a workload"
      )
    }
    if !log.header.plan.isDurable {
      note(
        "not-durable",
        .info,
        "Nothing was asked to be durable: only what is torn can be found, and nothing lost."
      )
    }
  }

  private func noteSize(
    _ report: TargetReport,
    _ header: CrashLogHeader,
    _ summary: inout CrashCheckSummary
  ) {
    let end = header.plan.endBytes
    guard let size = report.sizeBytes, size < end else { return }
    summary.findings.append(
      CrashFinding(
        "target-shorter",
        .damage,
        "The target had \(header.sizeBytes) bytes, and has \(size) now."
      )
    )
  }

  // MARK: The journal

  /// Brings in place what a file's journal has, as any open for writing would. False where that
  /// shows the journal to be damaged, and nothing more can be said.
  private func recover(
    _ report: TargetReport,
    _ header: CrashLogHeader,
    _ summary: inout CrashCheckSummary
  ) throws(Failure) -> Bool {
    guard header.plan.path == .journal else { return true }
    let isFile = report.kind == .file
    do throws(AtomicWriteError) {
      // Nothing tells a block device from its clone: that is never done unasked.
      let found = try TargetJournal.recover(report, place(header), dryRun: !isFile)
      if let found, found.wasInUse, !isFile {
        throw .journal(.needsRecovery(transactions: found.transactions))
      }
      summary.recovered = found?.transactions
    } catch .journal(.corrupt(let clause)) {
      summary.findings.append(
        CrashFinding(
          "journal-corrupt",
          .damage,
          "The journal is damaged, so that the target cannot be recovered: \(clause).",
          remedy: "keep a copy of the target and its journal, and report it"
        )
      )
      return false
    } catch {
      throw Failure(error, target: target ?? "", path: .journal)
    }
    return true
  }

  private func place(_ header: CrashLogHeader) -> JournalPlace {
    if journal.isGiven { return journal.place }
    guard let text = header.journal else { return .automatic }
    let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
    if parts.count == 2, parts[0] == "file" { return .file(parts[1]) }
    guard parts.count == 2, let region = RangeArgument(argument: parts[1]) else {
      return .automatic
    }
    return .region(offsetBytes: region.offset.bytes, lengthBytes: region.length.bytes)
  }

  // MARK: The blocks

  private func read(
    _ report: TargetReport,
    _ log: CrashLog,
    _ summary: inout CrashCheckSummary
  ) throws(Failure) {
    let plan = log.header.plan
    guard let path = CrashTarget(report).blockPath else {
      throw refusal("its block device is not known", "name that instead")
    }
    var check = CrashCheck(plan, acknowledged: log.acknowledged)
    let progress = LoadProgress(count: nil, runtimeNanoseconds: nil)
    var told: UInt64 = 0
    let reader: CrashReader
    do throws(Errno) {
      reader = try CrashReader(path, plan, isFile: report.kind == .file)
    } catch .resourceBusy {
      throw refusal("it is in use", "end what writes to it, the workload of this log perhaps")
    } catch {
      throw refusal("it cannot be opened to be read: \(error)", "run it as root; mount it first")
    }
    defer { progress.end() }
    do throws(AtomicWriteError) {
      summary.isComplete = try reader.read(into: &check) { done in
        if (done - told) * UInt64(plan.slotBytes) >= 16 << 20 {
          told = done
          progress.tell("reading", done, of: plan.slots)
        }
        return !ProgramStart.isToStop
      }
    } catch {
      throw Failure(error, target: target ?? "", path: plan.path)
    }
    summary.result = check.finish()
    if !summary.isComplete {
      summary.findings.append(
        CrashFinding("interrupted", .inconclusive, "Not all blocks were read.")
      )
    }
    noteAhead(log, &summary)
    noteControl(plan, report.limits, file: report.kind == .file ? path : nil, &summary)
  }

  /// Where not even the control was torn, nothing was shown about the drive.
  private func noteControl(
    _ plan: CrashPlan,
    _ limits: TargetLimits,
    file: String?,
    _ summary: inout CrashCheckSummary
  ) {
    if plan.path == .plain { return summary.findings.append(.plain) }
    if plan.controls == 0 { return summary.findings.append(.noControl) }
    let isOneCommand = plan.controlIsOneCommand(limits, file: file)
    if !isOneCommand { summary.findings.append(.controlOfSeveralCommands) }
    if summary.isComplete, summary.result.controlsTorn == 0 {
      let size = ByteText(UInt64(plan.controlBytes))
      summary.findings.append(
        CrashFinding(
          "control-not-torn",
          .inconclusive,
          "Not even an ordinary write of \(size) was torn: that nothing else was shows nothing "
            + "about the drive.",
          remedy: "cut the power again amid a workload; a drive with capacitors may never tear one"
        )
      )
    }
  }

  /// Only a log that has lost lines lets a block be newer than what may have been begun.
  private func noteAhead(_ log: CrashLog, _ summary: inout CrashCheckSummary) {
    guard summary.result.ahead > 0 else { return }
    let count = summary.result.ahead
    // What was on its way through the network is little, or little beside what has come.
    let isOnItsWay = log.header.isSent && count <= max(16, log.total / 16)
    summary.findings.append(
      isOnItsWay
        ? CrashFinding(
          "log-behind",
          .info,
          "\(count) operations that were acknowledged had not arrived in the log."
        )
        : CrashFinding(
          "log-behind",
          .inconclusive,
          "The log lacks its last \(count) lines or more: what they acknowledged may be lost.",
          remedy: log.header.isSent
            ? "give the whole log; let the workload run for longer, to a peer that keeps up"
            : "keep it on a drive that keeps what it was told to flush, or use tcp:HOST:PORT"
        )
    )
  }

  /// Whether anything at all is of the run; or only that nothing is of a later one.
  private func checkRun(
    _ summary: CrashCheckSummary,
    onlyLater: Bool = false
  ) throws(Failure) {
    let (result, run) = (summary.result, summary.log.header.plan.run)
    if onlyLater, result.otherRun ?? 0 <= run { return }
    guard let other = result.otherRun, other > run || result.ownBlocks == 0 else {
      // A drive of that identity that has nothing has lost it.
      guard result.ownBlocks == 0, summary.log.header.identity == nil, summary.log.total > 0
      else { return }
      throw refusal(
        "it has nothing of the run, and nothing tells it from another target",
        "name the target that the workload wrote to"
      )
    }
    // Blocks of an earlier run are what the drive has lost all of this one over.
    if other < run, summary.log.header.identity != nil, summary.log.total > 0 { return }
    // Only a run that had nothing in place yet is noticed after its journal was recovered.
    let recovered = summary.recovered ?? 0
    var failure = refusal(
      "its blocks are of run \(String(other, radix: 16)), and the log is of run "
        + String(run, radix: 16)
        + (recovered > 0 ? "; \(recovered) transactions of its journal are in place now" : ""),
      "give the log of the last workload that wrote to it"
    )
    if recovered > 0 { failure.outcome = .unknown }
    throw failure
  }
}
