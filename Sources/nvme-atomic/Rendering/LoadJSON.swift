import NVMeAtomic

/// A load as a document.
struct LoadJSON {
  let document: JSONValue

  init(_ summary: LoadSummary, _ failure: Failure?, _ explanation: JSONValue) {
    let (plan, result) = (summary.plan, summary.result)
    document = .object([
      "format": .string(WriteCommand.format),
      "path": .string(summary.path.rawValue),
      "power_fail_atomic": .string(summary.promise.word),
      "durable": .optional(summary.isDurable),
      "bytes": .number(summary.bytes),
      "ranges": .array([
        .object([
          "offset": .number(plan.offsetBytes),
          "length": .number(plan.blocks * UInt64(plan.blockBytes)),
        ])
      ]),
      "backing": .optional(summary.promise?.backing.rawValue),
      "assumptions": .array(
        (summary.promise?.assumptions ?? []).map { .string($0.description) }
      ),
      "explanation": explanation,
      "operations": .number(result.operations),
      "elapsed_seconds": .decimal(summary.seconds),
      "iops": .decimal(summary.iops),
      "bytes_per_second": .decimal(summary.bytesPerSecond),
      "latency_ns": .object([
        "p50": .optional(summary.percentile(50)), "p90": .optional(summary.percentile(90)),
        "p99": .optional(summary.percentile(99)), "p999": .optional(summary.percentile(99.9)),
        "max": .optional(summary.longest),
      ]),
      "cpu": .object([
        "user_seconds": .decimal(summary.userSeconds),
        "system_seconds": .decimal(summary.systemSeconds),
      ]),
      "device_bytes_written": .optional(summary.deviceBytes),
      "write_amplification": .optional(summary.writeAmplification),
      "paths": Self.paths(summary),
      "block_size": .number(UInt64(plan.blockBytes)),
      "pattern": .string(plan.pattern.rawValue),
      "engine": .string(plan.engine.rawValue),
      "queue_depth": .number(UInt64(plan.depth)),
      "threads": .number(UInt64(plan.threads)),
      "durability": .string(plan.durable.rawValue),
      "seed": .number(plan.seed),
      "resent": .number(result.resent),
      "interrupted": .bool(result.isInterrupted),
      "error": failure?.error ?? .null,
    ])
  }

  private static func paths(_ summary: LoadSummary) -> JSONValue {
    func count(_ path: WritePath) -> JSONValue {
      .number(summary.path == path ? summary.result.operations : 0)
    }
    return .object([
      "kernel": count(.kernel), "passthrough": count(.passthrough), "plain": count(.plain),
      "journal": count(.journal),
    ])
  }
}
