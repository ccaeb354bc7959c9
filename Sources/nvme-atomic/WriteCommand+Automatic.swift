import NVMeAtomic
import SystemPackage

/// What `--path auto` has chosen, and what was read for that.
struct AutomaticChoice: Decodable {
  /// The rule that applied.
  let rule: String
  /// What was read of standard input to know how long it is.
  let readAhead: [UInt8]?
}

/// `--path auto`: the first rule that applies, in a fixed order.
extension WriteCommand {
  /// The same command with a path.
  func withPathChosen(_ place: borrowing NewTarget) throws(Failure) -> Self {
    let report = try probe(place)
    var readAhead: [UInt8]?
    var range: WriteRequest.Range?
    if load.isAsked {
      range = .everyPage(sizeBytes: load.blockSize?.bytes ?? 0)
    } else if let at, offsets.count == 1, let input {
      let length = try inputLength(input, &readAhead, limit: kernelLimit(report))
      range = length.map { .one(offsetBytes: at.bytes, lengthBytes: $0) }
    }
    // The input may have been waited for, and another drive be there by now.
    if readAhead != nil, try !probe(place).isSameTarget(as: report) {
      throw failure(.targetChanged)
    }
    var rule = Planner(report.limits).automaticRule(
      AutomaticRequest(
        range,
        durability: load.isAsked && durable != .each ? .none : durabilityOfOne,
        isLoad: load.isAsked,
        isJournalNamed: journal.isGiven,
        hasJournal: TargetJournal.isMarked(report)
      )
    )
    // Several ranges have no other path.
    if rule == .none, offsets.count > 1 { rule = .journal }
    if place.isNew, rule.path == .journal {
      // It has no name yet that its journal could be called by.
      guard offsets.count <= 1 else { throw newFileFailure }
      rule = .none
    }
    if explain, !json { printOrder(rule) }
    var command = self
    command.automatic = AutomaticChoice(rule: rule.rawValue, readAhead: readAhead)
    command.path =
      switch rule.path {
      case .kernel, .passthrough, .plain: .kernel
      case .exchange: .exchange
      case .journal: .journal
      }
    return command
  }

  private var newFileFailure: Failure {
    Failure(
      target: target,
      code: .unsupported,
      message: "several ranges of a file that --size makes need XFS with exchange=1",
      remedy: "make the file first, and write to it without --size",
      outcome: .notWritten
    )
  }

  private func kernelLimit(_ report: TargetReport) -> Int {
    Int(report.limits.statx?.atomicWriteUnitMax ?? 0)
  }

  /// `nil` for what is longer than one write may be.
  private func inputLength(
    _ input: String,
    _ readAhead: inout [UInt8]?,
    limit: Int
  ) throws(Failure) -> UInt64? {
    if input != "-", let status = try? FilePath(input).stat(), status.type == .regular {
      return UInt64(max(0, status.size))
    }
    // A pipe is read once; only standard input is kept for later.
    guard input == "-" else { return nil }
    let bytes = try InputFile.readAhead(limit + 1)
    readAhead = bytes
    return bytes.count > limit ? nil : UInt64(bytes.count)
  }

  private func printOrder(_ chosen: AutomaticRule) {
    Terminal.print("auto takes the first that applies:")
    for rule in AutomaticRule.allCases {
      Terminal.print(
        "  \(rule == chosen ? "*" : " ") \(rule.path.rawValue): \(rule.condition)"
      )
    }
  }
}
