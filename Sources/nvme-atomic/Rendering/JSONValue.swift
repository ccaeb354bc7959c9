/// A JSON document whose keys keep their order and whose nulls stay.
///
/// Foundation's encoder drops nil keys and orders the others by chance; the contract of this
/// program's documents is a fixed order with every key present.
enum JSONValue {
  case null
  case bool(Bool)
  case number(UInt64)
  /// Not an integer; six digits after the point.
  case decimal(Double)
  case string(String)
  case array([JSONValue])
  case object(KeyValuePairs<String, JSONValue>)

  static func optional(_ value: (some BinaryInteger)?) -> JSONValue {
    value.map { .number(UInt64($0)) } ?? .null
  }

  static func optional(_ value: Double?) -> JSONValue {
    value.map { .decimal($0) } ?? .null
  }

  static func optional(_ value: Bool?) -> JSONValue {
    value.map { .bool($0) } ?? .null
  }

  static func optional(_ value: String?) -> JSONValue {
    value.map { .string($0) } ?? .null
  }

  /// The document, indented by two blanks.
  var rendered: String {
    var writer = JSONWriter()
    writer.write(self, depth: 0)
    return String(decoding: writer.bytes, as: UTF8.self)
  }
}

/// Collects bytes: appending to text scalar by scalar cost more than the whole probe.
private struct JSONWriter {
  var bytes: [UInt8] = []

  init() {
    bytes.reserveCapacity(8192)
  }

  mutating func write(_ value: JSONValue, depth: Int) {
    switch value {
    case .null: append("null")
    case .bool(let value): append(value ? "true" : "false")
    case .number(let value): append(String(value))
    case .decimal(let value): append(value.isFinite ? "\(value.rounded(to: 6))" : "null")
    case .string(let value): write(value)
    case .array(let values):
      append("[")
      for (index, value) in values.enumerated() {
        startLine(isFirst: index == 0, depth: depth + 1)
        write(value, depth: depth + 1)
      }
      close("]", isEmpty: values.isEmpty, depth: depth)
    case .object(let pairs):
      append("{")
      for (index, pair) in pairs.enumerated() {
        startLine(isFirst: index == 0, depth: depth + 1)
        write(pair.key)
        append(": ")
        write(pair.value, depth: depth + 1)
      }
      close("}", isEmpty: pairs.isEmpty, depth: depth)
    }
  }

  /// RFC 8259, section 7.
  private mutating func write(_ string: String) {
    append("\"")
    for byte in string.utf8 {
      switch byte {
      case UInt8(ascii: "\""): append("\\\"")
      case UInt8(ascii: "\\"): append("\\\\")
      case UInt8(ascii: "\n"): append("\\n")
      case UInt8(ascii: "\t"): append("\\t")
      case 0..<0x20, 0x7f:
        append(byte < 0x10 ? "\\u000" : "\\u00")
        append(String(byte, radix: 16))
      default: bytes.append(byte)
      }
    }
    append("\"")
  }

  private mutating func append(_ text: String) {
    bytes.append(contentsOf: text.utf8)
  }

  private mutating func close(_ bracket: String, isEmpty: Bool, depth: Int) {
    if !isEmpty { startLine(isFirst: true, depth: depth) }
    append(bracket)
  }

  private mutating func startLine(isFirst: Bool, depth: Int) {
    append(isFirst ? "\n" : ",\n")
    bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
  }
}
