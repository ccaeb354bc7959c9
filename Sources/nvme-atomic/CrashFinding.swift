import NVMeAtomic

/// Something worth knowing about a run of `verify crash`, or about its check.
struct CrashFinding: Equatable {
  enum Weight: String {
    /// Good to know.
    case info
    /// Less is shown by it.
    case warning
    /// Nothing is shown.
    case inconclusive
    /// A promise is broken.
    case damage
  }

  var code: String
  var weight: Weight
  /// One sentence.
  var message: String
  var remedy: String?

  init(_ code: String, _ weight: Weight, _ message: String, remedy: String? = nil) {
    self.code = code
    self.weight = weight
    self.message = message
    self.remedy = remedy
  }

  static let plain = CrashFinding(
    "plain",
    .inconclusive,
    "Nobody promises to keep an ordinary write whole: that none was torn shows nothing.",
    remedy: "run it by another --path"
  )

  static let noControl = CrashFinding(
    "no-control",
    .inconclusive,
    "No ordinary write beside the workload was longer than what the drive keeps whole: that "
      + "nothing was torn shows nothing about the drive.",
    remedy: "give a longer --range, if its writes can be longer"
  )

  static let controlOfSeveralCommands = CrashFinding(
    "control-of-several-commands",
    .inconclusive,
    "The ordinary writes beside the workload may have been several commands, or have gone to "
      + "several drives: torn or not, they show nothing about one.",
    remedy: "name one drive, or a partition or file of it"
  )

  static let logStays = CrashFinding(
    "log-on-this-machine",
    .warning,
    "The log goes to an address of this machine, which may lose its power, too.",
    remedy: "let another machine listen, or cut the power of the drive alone"
  )

  var document: JSONValue {
    .object([
      "code": .string(code), "severity": .string(weight.rawValue), "message": .string(message),
      "remedy": .optional(remedy),
    ])
  }

  var line: String {
    "  \(weight.rawValue): \(message)\(remedy.map { " Next: \($0)." } ?? "")".printable
  }
}

extension CrashPlan {
  var runText: String {
    let digits = String(run, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
