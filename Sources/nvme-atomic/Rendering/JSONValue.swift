/// A JSON document whose keys keep their order and whose nulls stay.
///
/// Foundation's encoder drops nil keys and orders the others by chance; the contract of this
/// program's documents is a fixed order with every key present.
enum JSONValue {
  case null
  case bool(Bool)
  case number(UInt64)
  case string(String)
  case array([JSONValue])
  case object(KeyValuePairs<String, JSONValue>)

  static func optional(_ value: (some BinaryInteger)?) -> JSONValue {
    value.map { .number(UInt64($0)) } ?? .null
  }

  static func optional(_ value: Bool?) -> JSONValue {
    value.map { .bool($0) } ?? .null
  }

  static func optional(_ value: String?) -> JSONValue {
    value.map { .string($0) } ?? .null
  }

  /// The document, indented by two blanks.
  var rendered: String {
    var text = ""
    render(into: &text, indent: "")
    return text
  }

  private func render(into text: inout String, indent: String) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .number(let value): text += String(value)
    case .string(let value): Self.render(value, into: &text)
    case .array(let values):
      Self.render(values, "[", "]", into: &text, indent) { value, text, indent in
        value.render(into: &text, indent: indent)
      }
    case .object(let pairs):
      Self.render(Array(pairs), "{", "}", into: &text, indent) { pair, text, indent in
        Self.render(pair.key, into: &text)
        text += ": "
        pair.value.render(into: &text, indent: indent)
      }
    }
  }

  private static func render<Element>(
    _ elements: [Element],
    _ open: String,
    _ close: String,
    into text: inout String,
    _ indent: String,
    _ body: (Element, inout String, String) -> Void
  ) {
    guard !elements.isEmpty else {
      text += open + close
      return
    }
    let inner = indent + "  "
    for (index, element) in elements.enumerated() {
      text += (index == 0 ? open : ",") + "\n" + inner
      body(element, &text, inner)
    }
    text += "\n" + indent + close
  }

  /// RFC 8259, section 7.
  private static func render(_ string: String, into text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\t": text += "\\t"
      case "\u{0}"..<"\u{20}", "\u{7f}":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
