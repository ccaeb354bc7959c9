/// One of the ways into the program by which bytes that it did not make reach it.
///
/// A fuzzer takes any bytes at all, hands them to a decoder, and says what is wrong with what comes
/// out; a trap speaks for itself. `Tests/fuzz/run` has libFuzzer make the bytes up.
package enum Fuzzer: String, CaseIterable, CustomStringConvertible {
  /// A whole journal, as recovery reads it.
  case journal
  /// Superblocks, headers of records, and the mark of a file, one by one.
  case records
  /// Identify pages, and the limits that are computed from them.
  case identify
  /// Tables and texts of sysfs and procfs, one by one.
  case tables
  /// A probe of a machine whose texts and drives say anything.
  case probe
  /// The command line.
  case arguments

  package var description: String { rawValue }

  /// What is wrong; `nil` where everything is as it is promised.
  package func problem(with bytes: [UInt8]) -> String? {
    var input = FuzzInput(bytes)
    do throws(Finding) {
      switch self {
      case .journal: try JournalFuzzer.run(&input)
      case .records: try RecordFuzzer.run(&input)
      case .identify: try IdentifyFuzzer.run(&input)
      case .tables: try TableFuzzer.run(&input)
      case .probe: try ProbeFuzzer.run(&input)
      case .arguments: try ArgumentFuzzer.run(&input)
      }
    } catch {
      return error.text
    }
    return nil
  }

  /// Inputs that reach far, made by the code that writes such bytes.
  package var seeds: [[UInt8]] {
    switch self {
    case .journal: JournalFuzzer.seeds
    case .records: RecordFuzzer.seeds
    case .identify: IdentifyFuzzer.seeds
    case .tables: TableFuzzer.seeds
    case .probe: ProbeFuzzer.seeds
    case .arguments: ArgumentFuzzer.seeds
    }
  }
}

/// What a fuzzer has found to be wrong.
struct Finding: Error {
  var text: String
}

func require(_ condition: Bool, _ text: @autoclosure () -> String) throws(Finding) {
  if !condition { throw Finding(text: text()) }
}

/// Bytes, taken one by one; zeros when there are no more.
struct FuzzInput {
  private var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) { rest = bytes[...] }

  var isEmpty: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

  /// Little-endian.
  mutating func number<Number: FixedWidthInteger & UnsignedInteger>(
    _ type: Number.Type = Number.self
  ) -> Number {
    (0..<Number.bitWidth / 8).reduce(0) { $0 | Number(byte()) << (8 * $1) }
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  /// Those that are left.
  mutating func all() -> [UInt8] { bytes(rest.count) }

  /// As text, repaired as the program repairs what the kernel says.
  mutating func text() -> String { String(decoding: all(), as: UTF8.self) }
}
