import ArgumentParser
import NVMeAtomic

@testable import nvme_atomic

/// The command line: a word a line.
enum ArgumentFuzzer {
  static func run(_ input: inout FuzzInput) throws(Finding) {
    let words = input.text().split(separator: "\n", omittingEmptySubsequences: false)
      .prefix(24).map(String.init)
    for word in words {
      try size(word)
      try range(word)
      try time(word)
    }
    let plain = ProbeRun(plain: words)
    let command: any ParsableCommand
    do {
      command = try NVMeAtomicCommand.parseAsRoot(words)
    } catch {
      let code = NVMeAtomicCommand.exitCode(for: error)
      try require(code == ExitCode(0) || code == ExitCode(64), "exit code \(code.rawValue)")
      _ = NVMeAtomicCommand.fullMessage(for: error)
      try require(plain == nil, "the short way takes what is wrong usage")
      return
    }
    switch command {
    case let probe as ProbeCommand: try check(probe, plain)
    case let write as WriteCommand: try check(write)
    case let recover as RecoverCommand: try check(recover.journal)
    case let make as JournalInitCommand: try check(make.journal)
    case let drop as JournalDropCommand: try check(drop.journal)
    default: break
    }
    if !(command is ProbeCommand) { try require(plain == nil, "the short way probes") }
  }

  // MARK: Commands

  private static func check(_ probe: ProbeCommand, _ plain: ProbeRun?) throws(Finding) {
    if let plain { try require(plain == probe.probeRun, "the short way: \(plain)") }
    try require(probe.all == probe.targets.isEmpty, "targets and --all, or neither")
    try require((probe.at == nil) == (probe.length == nil), "half a question")
    try require(probe.pageSize?.bytes != 0 && probe.length?.bytes != 0, "of no bytes")
  }

  private static func check(_ write: WriteCommand) throws(Finding) {
    try check(write.journal)
    try require(write.load.isAsked != (write.at != nil), "a load and one write, or neither")
    guard write.load.isAsked else {
      try require(write.offsets.count == write.inputs.count, "an offset without input")
      try require(write.inputs.count { $0 == "-" } <= 1, "standard input twice")
      return
    }
    let bytes = write.load.blockSize?.bytes ?? 0
    try require(bytes >= 512 && bytes % 512 == 0 && bytes <= 1 << 30, "blocks of \(bytes)")
    try require((1...4096).contains(write.load.depth), "depth \(write.load.depth)")
    try require((1...1024).contains(write.load.threadCount), "threads")
    try require(write.load.count != nil || write.load.runtime != nil, "a load without end")
    try require(write.path != .exchange, "a load by exchange")
  }

  private static func check(_ journal: JournalOptions) throws(Finding) {
    try require(journal.file == nil || journal.region == nil, "two journals")
    _ = journal.place
  }

  // MARK: Values

  /// Digits, then a unit; the product in 128 bits.
  private static func size(_ word: String) throws(Finding) {
    let bytes = SizeArgument(argument: word)?.bytes
    let digits = word.utf8.prefix { (0x30...0x39).contains($0) }
    let unit = String(decoding: word.utf8.dropFirst(digits.count), as: UTF8.self).lowercased()
    let names = ["k", "m", "g", "t", "p"]
    var shift = ["", "b"].contains(unit) ? 0 : nil as Int?
    for (index, name) in names.enumerated() where [name, name + "b", name + "ib"].contains(unit) {
      shift = 10 * (index + 1)
    }
    var expected: UInt64?
    if let shift, let number = UInt64(String(decoding: digits, as: UTF8.self)) {
      expected = UInt64(exactly: Int128(number) << Int128(shift))
    }
    try require(bytes == expected, "'\(word)' is \(bytes.map { "\($0)" } ?? "none")")
    guard let bytes else { return }
    let text = "\(ByteText(bytes))".split(separator: " ").joined()
    // What is printed may be typed, but for exbibytes.
    if !text.hasSuffix("EiB") {
      try require(SizeArgument(argument: text)?.bytes == bytes, "\(text) is not \(bytes)")
    }
  }

  private static func range(_ word: String) throws(Finding) {
    guard let range = RangeArgument(argument: word) else { return }
    let end = range.offset.bytes.addingReportingOverflow(range.length.bytes)
    try require(range.length.bytes > 0 && !end.overflow, "'\(word)'")
  }

  private static func time(_ word: String) throws(Finding) {
    guard let time = TimeArgument(argument: word) else { return }
    try require(time.nanoseconds > 0 && time.nanoseconds < Int64.max, "'\(word)'")
    try require(time.nanoseconds % 1_000_000 == 0, "'\(word)' is \(time.nanoseconds) ns")
  }

  static var seeds: [[UInt8]] {
    [
      "probe\n/dev/x", "probe\n--json\n/dev/x\n/dev/y", "probe\n--all\n--prometheus\n--output\nx",
      "probe\n/dev/x\n--page-size\n16KiB\n--writer\nrwf-atomic\n--strict",
      "probe\n/dev/x\n--at=1m\n--length=4k", "probe\n--prometheus\n--all", "probe\n--\n-x",
      "write\n/dev/x\n--at\n0\n--input\n-\n--path\nexchange\n--at\n5\n--input\nx",
      "write\n/dev/x\n--at\n1m\n--input\npage\n--durable\nnone\n--explain\n--json\n--size\n1g",
      "write\n/dev/x\n--block-size\n16k\n--count\n9\n--runtime\n2m\n--pattern\nsequential\n"
        + "--queue-depth\n32\n--engine\nio_uring\n--threads\n2\n--range\n1m:64k\n--seed\n7",
      "write\nf\n--journal-region\n0:1m\n--at\n0\n--input\nx\n--allow-shared",
      "recover\n/dev/x\n--journal\nj\n--dry-run", "journal\ninit\nf\n--size\n1m",
      "journal\ndrop\nf\n--json", "--help", "write\n--help", "--version", "help\nwrite",
      "--generate-completion-script\nbash", "16EiB\n17179869184g\n500ms", "",
    ].map { Array($0.utf8) }
  }
}
