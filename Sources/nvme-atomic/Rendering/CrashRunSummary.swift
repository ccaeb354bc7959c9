import NVMeAtomic

/// What a workload of `verify crash` did that was ended by something else than a power cut.
struct CrashRunSummary {
  let header: CrashLogHeader
  let result: CrashRunResult
  /// Who keeps each operation whole; `nil` for plain writes.
  let promise: PathPromise?
  /// Whether flushes reach stable storage; `nil` where that is not known, or not asked.
  let isFlushed: Bool?
  let log: String
  let findings: [CrashFinding]
  let failure: Failure?

  private var seconds: Double { Double(result.elapsedNanoseconds) / 1e9 }

  var document: JSONValue {
    let plan = header.plan
    return .object([
      "format": .string(VerifyCrashCommand.format),
      "mode": .string("run"),
      "target": .string(header.target),
      "identity": .optional(header.identity),
      "workload": .workload(plan),
      "log": .string(log),
      "power_fail_atomic": .string(promise.word),
      "assumptions": .array((promise?.assumptions ?? []).map { .string($0.description) }),
      "durable": plan.isDurable ? .optional(isFlushed) : .bool(false),
      "operations": .number(result.operations),
      "elapsed_seconds": .decimal(seconds),
      "interrupted": .bool(result.isInterrupted),
      "findings": .array(findings.map(\.document)),
      "error": failure?.error ?? .null,
    ])
  }

  var text: String {
    let end = result.isInterrupted ? ", interrupted" : ""
    let meaning = failure == nil ? "no power was cut, and nothing is shown" : "ended by a failure"
    return
      ("\(header.target): \(result.operations) operations acknowledged in "
      + "\(seconds.rounded(to: 3)) s\(end); \(meaning); the log is "
      + log).printable
  }
}

extension JSONValue {
  /// What a workload writes, and where.
  static func workload(_ plan: CrashPlan) -> JSONValue {
    .object([
      "run": .string(plan.runText),
      "path": .string(plan.path.rawValue),
      "durability": .string(plan.isDurable ? "each" : "none"),
      "offset": .number(plan.offsetBytes),
      "block_size": .number(UInt64(plan.slotBytes)),
      "blocks": .number(plan.slots),
      "stamp_size": .number(UInt64(plan.stampBytes)),
      "ranges": .number(UInt64(plan.ranges)),
      "threads": .number(UInt64(plan.threads)),
      "seed": .number(plan.seed),
      "control_size": .number(UInt64(plan.controlBytes)),
      "controls": .number(UInt64(plan.controls)),
    ])
  }
}
