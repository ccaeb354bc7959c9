import NVMeAtomic

/// A load for people.
struct LoadText {
  let text: String

  init(_ summary: LoadSummary, target: String) {
    let (plan, result) = (summary.plan, summary.result)
    let size = ByteText(UInt64(plan.blockBytes))
    let engine = plan.engine == .sync ? "sync" : "io_uring, depth \(plan.depth)"
    let threads = plan.threads == 1 ? "" : ", \(plan.threads) threads"
    let path =
      switch summary.path {
      case .kernel: "RWF_ATOMIC"
      case .passthrough: "NVMe commands"
      case .exchange: "exchanged ranges"
      case .journal: "a journal"
      case .plain: "ordinary writes, NOT atomic"
      }
    var lines = [
      "\(target.printable): \(plan.pattern.rawValue) writes of \(size) "
        + "by \(path), \(engine)\(threads), seed \(plan.seed)"
    ]
    func add(_ name: String, _ value: String) {
      lines.append("  " + name.padded(to: 18) + value)
    }
    add("power-fail atomic", Self.atomic(summary.promise))
    add("durable", "\(summary.isDurable.map { $0 ? "yes" : "no" } ?? "not known")")
    add(
      "writes",
      "\(result.operations) in \(summary.seconds.rounded(to: 3)) s"
        + (result.isInterrupted ? ", interrupted" : "")
    )
    add(
      "throughput",
      "\(Int(summary.iops)) IOPS, \((summary.bytesPerSecond / 1_048_576).rounded(to: 1)) MiB/s"
    )
    let latency = [
      ("p50", summary.percentile(50)), ("p90", summary.percentile(90)),
      ("p99", summary.percentile(99)), ("p99.9", summary.percentile(99.9)),
      ("max", summary.longest),
    ].map { "\($0.0) \($0.1.map(Self.microseconds) ?? "not known")" }
    add("latency", latency.joined(separator: ", "))
    let (user, system) = (summary.userSeconds.rounded(to: 3), summary.systemSeconds.rounded(to: 3))
    add("CPU", "\(user) s user, \(system) s system")
    add(
      "at the device",
      summary.deviceBytes.map {
        "\($0) bytes, \((summary.writeAmplification ?? 0).rounded(to: 2)) for each written"
      } ?? "not known"
    )
    if result.resent > 0 {
      add("sent again", "\(result.resent), which the kernel had refused beside their neighbours")
    }
    text = lines.joined(separator: "\n")
  }

  private static func atomic(_ promise: PathPromise?) -> String {
    guard let promise else { return "no" }
    return promise.assumptions.first.map { "assumed, \($0)" }
      ?? "yes, by \(promise.backing.rawValue)"
  }

  private static func microseconds(_ nanoseconds: UInt64) -> String {
    "\((Double(nanoseconds) / 1000).rounded(to: 1)) us"
  }
}

extension Double {
  /// Rounded to so many digits after the point.
  func rounded(to digits: Int) -> Double {
    var factor = 1.0
    for _ in 0..<digits { factor *= 10 }
    return (self * factor).rounded() / factor
  }
}

extension String {
  /// Blanks after it, so that columns align.
  fileprivate func padded(to count: Int) -> String {
    self + String(repeating: " ", count: Swift.max(0, count - self.count))
  }
}
