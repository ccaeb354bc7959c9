/// One line of the log of `verify crash` after the header.
///
/// `acked 17 0b5e9f3a` says that operation 17 was acknowledged, and `ended 40 …` that the run
/// ended by itself after 40 of them. The last word is a checksum of the line together with the run.
enum CrashLogLine: Hashable {
  case acknowledged(UInt64)
  case ended(UInt64)

  /// The line, with its end.
  func text(_ run: UInt64) -> String {
    let text =
      switch self {
      case .acknowledged(let sequence): "acked \(sequence)"
      case .ended(let operations): "ended \(operations)"
      }
    return "\(text) \(Self.check(run, Array(text.utf8)))\n"
  }

  /// - Returns: `nil` for what no run of that number has written so.
  init?(_ line: ArraySlice<UInt8>, _ run: UInt64) {
    let isEnd = line.starts(with: "ended ".utf8)
    guard isEnd || line.starts(with: "acked ".utf8) else { return nil }
    var number: UInt64 = 0
    let digits = line.dropFirst(6).prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard !digits.isEmpty, digits.count < 20 else { return nil }
    for digit in digits { number = number &* 10 &+ UInt64(digit - UInt8(ascii: "0")) }
    self = isEnd ? .ended(number) : .acknowledged(number)
    // Neither a leading zero nor anything else passes that was not written so.
    guard line.elementsEqual(text(run).utf8.dropLast()) else { return nil }
  }

  static func hex(_ number: UInt64, digits count: Int = 16) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: max(0, count - digits.count)) + digits
  }

  /// FNV-1a of 64 bits, folded to 32: for accidents, not against an adversary.
  static func check(_ run: UInt64, _ bytes: some Sequence<UInt8>) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ run
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hex(hash >> 32 ^ hash & 0xffff_ffff, digits: 8)
  }
}

/// Why a log says nothing.
package enum CrashLogProblem: Error, Hashable, Sendable {
  /// It has no whole line.
  case empty
  /// Its first line is none of this program, or damaged.
  case noHeader
  /// It was written by a later version of this program.
  case version
  /// A second run begins in it.
  case severalRuns
}

/// What a log of `verify crash` says.
package struct CrashLog: Hashable, Sendable {
  package var header: CrashLogHeader
  /// Operations of each thread that were acknowledged: its first so many.
  package var acknowledged: [UInt64]
  /// Operations in all when the run ended by itself; `nil` for one that was cut off, or failed.
  package var ended: UInt64?
  /// Bytes behind the last line of the run: dropped.
  package var droppedBytes: UInt64 = 0
  /// Lines that are damaged or missing.
  package var damagedLines: UInt64 = 0

  /// Operations that were acknowledged.
  package var total: UInt64 { acknowledged.reduce(0, &+) }
}

/// Reads a log piece by piece.
package struct CrashLogReader {
  private var log: CrashLog?
  private var line: [UInt8] = []
  /// Lines that were no lines of the run, behind the last one that was.
  private var strayLines: UInt64 = 0
  private var strayBytes: UInt64 = 0
  /// A header is a few hundred bytes.
  private static let longestLine = 65_536
  /// Operations of one thread that may be missing amid the log.
  private static let longestGap: UInt64 = 1 << 24

  package init() {}

  /// Takes the next bytes.
  package mutating func feed(_ bytes: some Sequence<UInt8>) throws(CrashLogProblem) {
    for byte in bytes {
      if byte != UInt8(ascii: "\n") {
        if line.count < Self.longestLine {
          line.append(byte)
        } else if log == nil {
          throw .noHeader
        } else {
          strayBytes &+= 1
        }
        continue
      }
      try take()
      line.removeAll(keepingCapacity: true)
    }
  }

  /// What the whole log says. A last line without an end is dropped.
  package consuming func finish() throws(CrashLogProblem) -> CrashLog {
    guard var log else { throw line.isEmpty ? .empty : Self.problem(line, isWhole: false) }
    log.droppedBytes = strayBytes &+ UInt64(line.count)
    // What a power cut leaves has no end; a line that has one was whole once.
    log.damagedLines &+= strayLines
    return log
  }

  private mutating func take() throws(CrashLogProblem) {
    guard var log else {
      guard let header = CrashLogHeader(line: line) else {
        throw Self.problem(line, isWhole: true)
      }
      let threads = header.plan.threads
      self.log = CrashLog(
        header: header,
        acknowledged: [UInt64](repeating: 0, count: threads)
      )
      return
    }
    if line.starts(with: CrashLogHeader.begin) { throw .severalRuns }
    guard let entry = CrashLogLine(line[...], log.header.plan.run) else {
      strayLines &+= 1
      strayBytes &+= UInt64(line.count + 1)
      return
    }
    // The log is not copied: nothing else refers to it meanwhile.
    self.log = nil
    log.damagedLines &+= strayLines
    (strayLines, strayBytes) = (0, 0)
    switch entry {
    case .ended(let operations): log.ended = operations
    case .acknowledged(0): log.damagedLines &+= 1
    case .acknowledged(let sequence):
      let (thread, operation) = log.header.plan.origin(of: sequence)
      let expected = log.acknowledged[thread]
      // No log lags so far behind; whatever made it up.
      guard operation < expected &+ Self.longestGap else {
        log.damagedLines &+= 1
        break
      }
      // A thread's operations follow each other.
      if operation > expected { log.damagedLines &+= operation - expected }
      if operation < expected { log.damagedLines &+= 1 }
      log.acknowledged[thread] = max(expected, operation &+ 1)
    }
    if let ended = log.ended, ended != log.total { log.damagedLines &+= 1 }
    self.log = log
  }

  private static func problem(_ line: [UInt8], isWhole: Bool) -> CrashLogProblem {
    guard line.starts(with: CrashLogHeader.begin) else { return .noHeader }
    let version = line.dropFirst(CrashLogHeader.begin.count).prefix { $0 != UInt8(ascii: "\"") }
    // One that is cut off within the header has nothing yet.
    if !isWhole { return .empty }
    return version.elementsEqual("1".utf8) ? .noHeader : .version
  }
}
