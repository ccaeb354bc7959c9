import NVMeAtomic

/// What a write was kept to, in one line.
struct WriteText {
  let line: String

  init(_ receipt: WriteReceipt, _ target: String) {
    let promise = receipt.powerFailAtomic
    let atomic =
      promise.map { promise in
        promise.assumptions.first.map { "assumed (\($0))" } ?? "yes, by \(promise.backing.rawValue)"
      } ?? "no"
    let what = "\(ByteText(receipt.lengthBytes)) at \(receipt.offsetBytes)"
    let text =
      "\(target): \(what) by \(receipt.path.words); "
      + "power-fail atomic: \(atomic); untorn for readers: \(receipt.untorn.text); "
      + "durable: \(receipt.isDurable.map { $0 ? "yes" : "no" } ?? "not known")"
    line = text.printable
  }
}

extension WritePath {
  /// How one write is done.
  var words: String {
    switch self {
    case .kernel: "RWF_ATOMIC"
    case .passthrough: "an NVMe command"
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
