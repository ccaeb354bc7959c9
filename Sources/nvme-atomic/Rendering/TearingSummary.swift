import ArgumentParser
import NVMeAtomic

/// What a hunt for torn reads has found, for people and for programs.
struct TearingSummary {
  let target: String
  let path: WritePath
  let options: TearingOptions
  let range: Range<UInt64>
  let blockBytes: UInt64
  let result: TearingResult
  let failure: Failure?

  var exitCode: ExitCode {
    if let failure { return failure.exitCode }
    if result.isInterrupted { return ExitCode(130) }
    return switch result.conclusion {
    case .untorn: ExitStatus.yes
    case .torn: ExitStatus.no
    case .notPromised, .inconclusive: ExitStatus.notDone
    }
  }

  // MARK: For people

  private static let columns = [
    "writes of", "promised", "writes", "reads", "during a write", "saw old", "saw new", "torn",
  ]

  var text: String {
    let seconds = (Double(options.runtimeNanoseconds) / 1e9).rounded(to: 3)
    var lines = [
      "\(target.printable): \(path.words), \(options.writers) threads write and "
        + "\(options.readers) read, \(seconds) s for each size", "  " + selfCheck, "",
    ]
    lines += table
    lines += remarks
    if result.isInterrupted { lines.append("  interrupted: what would have followed was not done") }
    lines += [
      "", "\(result.conclusion.rawValue): \(result.because)",
      "This is what readers see while the power is on; it says nothing about power failures.",
    ]
    return lines.joined(separator: "\n")
  }

  private var selfCheck: String {
    guard let check = result.selfCheck else { return "self-check: not done" }
    let onTarget =
      switch check.onTarget {
      case true?: "noticed on the target"
      case false?: "NOT NOTICED on the target"
      case nil: "not tried on the target, as no size has two blocks"
      }
    return "self-check: torn data made on purpose were "
      + "\(check.inMemory ? "noticed" : "NOT NOTICED") in memory, and \(onTarget)"
  }

  private var table: [String] {
    let rows = [Self.columns] + result.parts.map(Self.row)
    let widths = Self.columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = zip(row, widths).enumerated().map { index, cell in
        let blanks = String(repeating: " ", count: cell.1 - cell.0.count)
        return index < 2 ? cell.0 + blanks : blanks + cell.0
      }
      return "  " + cells.joined(separator: "  ")
    }
  }

  private static func row(_ part: TearingResult.Part) -> [String] {
    let count = part.count
    return [
      ByteText(part.step.sizeBytes).description, part.step.promise?.word ?? "control",
      "\(count.writes)", "\(count.reads)", "\(count.overlappedReads)", "\(count.sawOld)",
      "\(count.sawNew)", "\(count.torn + count.damaged)",
    ]
  }

  /// What rows do not say; what holds of several is said once.
  private var remarks: [String] {
    let all = result.parts.enumerated().flatMap { index, part in
      remarks(part).map { (part: index, text: $0) }
    }
    var lines: [String] = []
    for (index, remark) in all.enumerated()
    where !all[..<index].contains(where: { $0.text == remark.text }) {
      lines.append(
        "  \(sizes(of: all.filter { $0.text == remark.text }.map(\.part))): \(remark.text)"
      )
    }
    return lines
  }

  /// The sizes of some parts; neighbours as a span.
  private func sizes(of parts: [Int]) -> String {
    let sizes = parts.map { ByteText(result.parts[$0].step.sizeBytes).description }
    guard let first = parts.first, let last = parts.last, parts.count > 2,
      last - first == parts.count - 1
    else { return sizes.joined(separator: ", ") }
    return "\(sizes[0]) to \(sizes[sizes.count - 1])"
  }

  private func remarks(_ part: TearingResult.Part) -> [String] {
    let (step, count) = (part.step, part.count)
    var remarks: [String] = []
    switch step.kind {
    case .oneCommand: remarks.append("ordinary writes, one command each, beyond the limits")
    case .severalCommands: remarks.append("ordinary writes, several commands each")
    case .path: break
    }
    if let promise = step.promise, !step.isPromised { remarks.append("promised: \(promise.text)") }
    if step.readBytes < step.sizeBytes {
      remarks.append("each read is \(ByteText(step.readBytes)) of them")
    }
    switch step.readMayBeSplit {
    case false?: break
    case true?: remarks.append("a read may be several commands, and torn though no write was")
    case nil: remarks.append("whether a read is one command is not known")
    }
    for (what, number) in [
      ("torn reads of a block that no write left so, torn inside or damaged", count.damaged),
      ("reads of a block that was not written there", count.foreign),
      ("reads of older data than had been written before", count.stale),
      ("ranges left torn by writes that met", count.leftTorn),
    ] where number > 0 {
      remarks.append("\(what): \(number)")
    }
    if step.kind == .path, let first = part.evidence.first { remarks.append(Self.words(first)) }
    return remarks
  }

  private static func words(_ evidence: TearingEvidence) -> String {
    let pieces = evidence.pieces.prefix(4).map { piece in
      "\(piece.blocks) of " + (piece.sequence.map { "write \($0)" } ?? "no write")
    }
    let more = evidence.pieces.count > 4 ? ", and more" : ""
    return "\(evidence.kind.rawValue) at \(evidence.readOffsetBytes), "
      + "\(ByteText(evidence.readBytes)): blocks " + pieces.joined(separator: ", ") + more
  }

  // MARK: For programs

  var document: JSONValue {
    .object([
      "format": .string(VerifyTearingCommand.format),
      "result": .string(result.conclusion.rawValue),
      "because": .string(result.because),
      "path": .string(path.rawValue),
      "range": .object([
        "offset": .number(range.lowerBound), "length": .number(UInt64(range.count)),
      ]),
      "block_bytes": .number(blockBytes),
      "threads": .number(UInt64(options.writers)),
      "readers": .number(UInt64(options.readers)),
      "runtime_seconds": .decimal(Double(options.runtimeNanoseconds) / 1e9),
      "run": .number(result.run),
      "self_check": result.selfCheck.map {
        .object([
          "in_memory": .bool($0.inMemory), "on_target": .optional($0.onTarget),
        ])
      } ?? .null,
      "sizes": .array(result.parts.map(Self.document)),
      "interrupted": .bool(result.isInterrupted),
      "error": failure?.error ?? .null,
    ])
  }

  private static func document(_ part: TearingResult.Part) -> JSONValue {
    let (step, count) = (part.step, part.count)
    return .object([
      "bytes": .number(step.sizeBytes),
      "control": step.kind == .path ? .null : .string(step.kind.rawValue),
      "promised": .optional(step.promise?.word),
      "promise": .optional(step.promise?.text),
      "read_bytes": .number(step.readBytes),
      "read_may_be_split": .optional(step.readMayBeSplit),
      "offsets": .array(step.offsetsBytes.map { .number($0) }),
      "elapsed_seconds": .decimal(Double(count.elapsedNanoseconds) / 1e9),
      "writes": .number(count.writes),
      "overlapped_writes": .number(count.overlappedWrites),
      "reads": .number(count.reads),
      "overlapped_reads": .number(count.overlappedReads),
      "saw_old": .number(count.sawOld),
      "saw_new": .number(count.sawNew),
      "torn": .number(count.torn),
      "damaged": .number(count.damaged),
      "damaged_alone": .number(count.damagedAlone),
      "foreign": .number(count.foreign),
      "foreign_alone": .number(count.foreignAlone),
      "stale": .number(count.stale),
      "stale_alone": .number(count.staleAlone),
      "left_torn": .number(count.leftTorn),
      "evidence": .array(part.evidence.map(document)),
    ])
  }

  private static func document(_ evidence: TearingEvidence) -> JSONValue {
    .object([
      "kind": .string(evidence.kind.rawValue),
      "offset": .number(evidence.offsetBytes),
      "length": .number(evidence.sizeBytes),
      "read_offset": .number(evidence.readOffsetBytes),
      "read_length": .number(evidence.readBytes),
      "overlaps": .number(evidence.overlaps),
      "pieces": .array(
        evidence.pieces.map {
          .object([
            "blocks": .number($0.blocks), "sequence": .optional($0.sequence),
            "writer": .optional($0.writer), "offset": .optional($0.offsetBytes),
            "own": .optional($0.isOwn),
          ])
        }
      ),
    ])
  }
}
