import NVMeAtomic

/// What `verify crash --check` has found.
struct CrashCheckSummary {
  enum Verdict: String {
    case whole, damaged, inconclusive
  }

  let target: String
  let log: CrashLog
  var findings: [CrashFinding] = []
  var isSameBoot = false
  /// Transactions that the journal had; `nil` for paths without one.
  var recovered: UInt64?
  var result = CrashCheck.Result()
  /// Whether every block was read.
  var isComplete = false

  init(target: String, log: CrashLog) {
    self.target = target
    self.log = log
  }

  /// Damage is damage, whatever else there is to be said.
  var verdict: Verdict {
    if result.damaged > 0 || findings.contains(where: { $0.weight == .damage }) { return .damaged }
    return findings.contains { $0.weight == .inconclusive } ? .inconclusive : .whole
  }

  /// One line about why nothing was shown; `nil` where something was.
  var inconclusiveLine: String? {
    guard verdict == .inconclusive, let why = findings.first(where: { $0.weight == .inconclusive })
    else { return nil }
    let message = String(why.message.prefix(1)).lowercased() + why.message.dropFirst().dropLast()
    return "nvme-atomic: \(target): inconclusive: \(message)"
      + (why.remedy.map { "; \($0)" } ?? "")
  }

  private func count(_ kind: CrashCheck.Kind) -> UInt64 { result.counts[kind] ?? 0 }

  // MARK: JSON

  var document: JSONValue {
    let header = log.header
    return .object([
      "format": .string(VerifyCrashCommand.format),
      "mode": .string("check"),
      "target": .string(target),
      "identity": .optional(header.identity),
      "workload": .workload(header.plan),
      "verdict": .string(verdict.rawValue),
      "same_boot": .bool(isSameBoot),
      "self_check": .bool(true),
      "recovered_transactions": .optional(recovered),
      "operations_acknowledged": .number(log.total),
      "operations_in_flight_seen": .number(result.seenInFlight),
      "ended_by_itself": .bool(log.ended != nil),
      "complete": .bool(isComplete),
      "found": .object([
        "blank": .number(result.blank), "whole": .number(result.whole),
        "transactions": .number(result.transactions), "torn": .number(count(.torn)),
        "torn_transactions": .number(count(.tornTransaction)), "lost": .number(count(.lost)),
        "misordered": .number(count(.misordered)), "damaged": .number(count(.damaged)),
        "misplaced": .number(count(.misplaced)), "foreign": .number(count(.foreign)),
        "unreadable": .number(count(.unreadable)),
      ]),
      "control": .object([
        "torn": .number(result.controlsTorn), "whole": .number(result.controlsWhole),
      ]),
      "damage": .array(result.damages.map(Self.document)),
      "findings": .array(findings.map(\.document)),
    ])
  }

  private static func document(_ damage: CrashCheck.Damage) -> JSONValue {
    .object([
      "kind": .string(damage.kind.rawValue), "offset": .number(damage.offsetBytes),
      "length": .number(damage.lengthBytes), "operation": .optional(damage.sequence),
      "detail": .string(damage.detail),
    ])
  }

  // MARK: Text

  private static let mostLines = 20

  var text: String {
    let plan = log.header.plan
    let size = ByteText(UInt64(plan.slotBytes))
    var lines = [
      "\(target): \(verdict.rawValue): \(log.total) operations by \(plan.path.words) were "
        + "acknowledged; of \(plan.slots) blocks of \(size), \(result.whole) are whole and "
        + "\(result.blank) blank; \(damageText)"
    ]
    lines += result.damages.prefix(Self.mostLines).map { damage in
      "  \(damage.kind.rawValue) at \(damage.offsetBytes): \(damage.detail)"
    }
    let rest = result.damaged - UInt64(min(result.damages.count, Self.mostLines))
    if rest > 0 { lines.append("  and \(rest) more") }
    if plan.controls > 0, isComplete {
      let size = ByteText(UInt64(plan.controlBytes))
      lines.append(
        "  control: of \(plan.controls) places of ordinary writes of \(size), "
          + "\(result.controlsTorn) are torn"
      )
    }
    return (lines.map(\.printable) + findings.map(\.line)).joined(separator: "\n")
  }

  private var damageText: String {
    let found: [String] = CrashCheck.Kind.allCases.filter { count($0) > 0 }.map { kind in
      "\(count(kind)) \(kind.rawValue)"
    }
    let nothing = log.header.plan.isDurable ? "none torn, none lost" : "none torn"
    return found.isEmpty ? nothing : found.joined(separator: ", ")
  }
}
