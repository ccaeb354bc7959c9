import ArgumentParser
import NVMeAtomic

/// The options of `write` that make it a load.
struct LoadOptions: ParsableArguments {
  @Option(help: "Bytes of each write, 16k.")
  var blockSize: SizeArgument?

  @Option(help: "How many writes, over all threads.")
  var count: UInt64?

  @Option(help: "How long to write: 10s, 500ms or 2m.")
  var runtime: TimeArgument?

  @Option(help: "Where the next write goes: random or sequential, round and round.")
  var pattern: LoadPlan.Pattern?

  @Option(help: "Writes on their way at once, per thread; more than 1 needs --engine io_uring.")
  var queueDepth: Int?

  @Option(help: "sync, one system call per write, or io_uring.")
  var engine: LoadPlan.Engine?

  @Option(help: "Threads; each writes to a part of the range of its own.")
  var threads: Int?

  @Option(help: "Write within OFFSET:LENGTH only. The default is the whole target.")
  var range: RangeArgument?

  @Option(help: "Decides the order of random writes. The default is printed with the result.")
  var seed: UInt64?

  /// Whether any of them was given.
  var isAsked: Bool {
    blockSize != nil || count != nil || runtime != nil || pattern != nil || queueDepth != nil
      || engine != nil || threads != nil || range != nil || seed != nil
  }

  var depth: Int { queueDepth ?? 1 }
  var threadCount: Int { threads ?? 1 }
  var engineUsed: LoadPlan.Engine { engine ?? .sync }

  func validateLoad() throws {
    guard let blockSize else { throw ValidationError("A load needs --block-size.") }
    guard count != nil || runtime != nil else {
      throw ValidationError("A load needs --count or --runtime.")
    }
    guard blockSize.bytes >= 512, blockSize.bytes % 512 == 0, blockSize.bytes <= 1 << 30 else {
      throw ValidationError("--block-size is a multiple of 512 bytes, up to 1 GiB.")
    }
    guard count != 0 else { throw ValidationError("--count is at least 1.") }
    guard (1...4096).contains(depth) else {
      throw ValidationError("--queue-depth is 1 to 4096.")
    }
    guard engineUsed == .ioUring || depth == 1 else {
      throw ValidationError("--queue-depth \(depth) needs --engine io_uring.")
    }
    guard (1...1024).contains(threadCount) else { throw ValidationError("--threads is 1 to 1024.") }
    guard (range?.offset.bytes ?? 0) % blockSize.bytes == 0 else {
      throw ValidationError("--range begins at a multiple of --block-size.")
    }
  }
}

extension LoadPlan.Pattern: ExpressibleByArgument {}
extension LoadPlan.Engine: ExpressibleByArgument {}

/// `OFFSET:LENGTH`, both sizes.
struct RangeArgument: ExpressibleByArgument, Equatable {
  var offset: SizeArgument
  var length: SizeArgument

  init?(argument: String) {
    let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let offset = SizeArgument(argument: String(parts[0])),
      let length = SizeArgument(argument: String(parts[1])), length.bytes > 0,
      !offset.bytes.addingReportingOverflow(length.bytes).overflow
    else { return nil }
    self.offset = offset
    self.length = length
  }
}

/// A time: `10s`, `500ms`, `2m`; seconds where no unit is given.
struct TimeArgument: ExpressibleByArgument, Equatable {
  let nanoseconds: UInt64

  init(seconds: UInt64) {
    nanoseconds = seconds * 1_000_000_000
  }

  var defaultValueDescription: String { "\(nanoseconds / 1_000_000_000)s" }

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    let units: [String: UInt64] = [
      "": 1_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "m": 60_000_000_000,
    ]
    guard let number = UInt64(digits), number > 0,
      let unit = units[String(argument.dropFirst(digits.count))]
    else { return nil }
    let (nanoseconds, overflow) = number.multipliedReportingOverflow(by: unit)
    guard !overflow, nanoseconds < UInt64(Int64.max) else { return nil }
    self.nanoseconds = nanoseconds
  }
}
