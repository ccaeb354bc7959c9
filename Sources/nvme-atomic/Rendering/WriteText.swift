import NVMeAtomic

/// What a write was kept to, in one line.
struct WriteText {
  let line: String

  init(_ receipt: WriteReceipt, _ target: String) {
    let what = "\(ByteText(receipt.lengthBytes)) at \(receipt.offsetBytes)"
    self.init(
      "\(target): \(what) by \(receipt.path.words)",
      receipt.powerFailAtomic,
      untorn: receipt.untorn,
      isDurable: receipt.isDurable
    )
  }

  init(_ receipt: TransactionReceipt, _ target: String) {
    let first = receipt.ranges.first?.lowerBound ?? 0
    let place =
      receipt.ranges.count == 1
      ? "at \(first)" : "in \(receipt.ranges.count) ranges from \(first) on"
    self.init(
      "\(target): \(ByteText(receipt.bytes)) \(place) by \(receipt.path.words)",
      receipt.powerFailAtomic,
      untorn: receipt.untorn,
      isDurable: receipt.isDurable
    )
  }

  private init(
    _ what: String,
    _ promise: PathPromise?,
    untorn: PathVerdict,
    isDurable: Bool?
  ) {
    let atomic =
      promise.map { promise in
        promise.assumptions.first.map { "assumed (\($0))" } ?? "yes, by \(promise.backing.rawValue)"
      } ?? "no"
    let text =
      "\(what); power-fail atomic: \(atomic); untorn for readers: \(untorn.text); "
      + "durable: \(isDurable.map { $0 ? "yes" : "no" } ?? "not known")"
    line = text.printable
  }
}

extension WritePath {
  /// How one write is done.
  var words: String {
    switch self {
    case .kernel: "RWF_ATOMIC"
    case .passthrough: "an NVMe command"
    case .exchange: "exchanged ranges"
    case .journal: "a journal"
    case .plain: "an ordinary write"
    }
  }
}

extension PathVerdict {
  /// `yes`, `no` or `unknown`.
  var word: String {
    switch self {
    case .holds(let promise): promise.assumptions.contains { $0.isDoubt } ? "unknown" : "yes"
    case .fails: "no"
    case .unknown: "unknown"
    }
  }

  /// The word and its reason.
  var text: String {
    switch self {
    case .holds(let promise):
      if let doubt = promise.assumptions.first(where: \.isDoubt) {
        "not known, \(doubt)"
      } else if let assumption = promise.assumptions.first {
        "assumed, \(assumption)"
      } else {
        "yes, by \(promise.backing.rawValue)"
      }
    case .fails(let refusal): "no, \(refusal)"
    case .unknown(let fact): "not known, \(fact)"
    }
  }
}
