import Foundation
import Testing

@testable import nvme_atomic

@Suite struct JSONValueTests {
  private static func parsed(_ value: JSONValue) throws -> Any {
    try JSONSerialization.jsonObject(with: Data(value.rendered.utf8), options: .fragmentsAllowed)
  }

  @Test(arguments: [
    "", "plain", "\"quoted\"", "back\\slash", "\\\"", "tab\tline\nreturn\r", "slash/",
    "caf\u{e9}", "cafe\u{301}", "日本語", "🦊", "\u{2028}\u{2029}", "\u{fffd}",
    "</script>", "\\u0041", "a\u{0}b", "\u{7f}\u{80}\u{9f}", "\u{10ffff}",
  ])
  func stringSurvives(text: String) throws {
    #expect(try Self.parsed(.string(text)) as? String == text)
    let object = try Self.parsed(.object([text: .string(text)])) as? [String: String]
    #expect(object == [text: text])
  }

  /// RFC 8259 wants U+0000 to U+001F escaped; a terminal wants U+007F so too.
  @Test(arguments: Array(0...0x1f) + [0x7f] as [UInt32])
  func controlCharacterIsEscaped(code: UInt32) throws {
    let scalar = try #require(Unicode.Scalar(code))
    let rendered = JSONValue.string(String(scalar)).rendered
    #expect(rendered.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7f })
    #expect(try Self.parsed(.string(String(scalar))) as? String == String(scalar))
  }

  @Test(
    arguments: [
      (.null, "null"), (.bool(true), "true"), (.bool(false), "false"), (.number(0), "0"),
      (.number(.max), "18446744073709551615"), (.string("a\"\\\n\t\u{1}"), #""a\"\\\n\t\u0001""#),
      (.array([]), "[]"), (.object([:]), "{}"), (.optional(nil as UInt64?), "null"),
      (.optional(nil as Bool?), "null"), (.optional(nil as String?), "null"),
      (.optional(7 as UInt16?), "7"), (.optional(false), "false"), (.optional("x"), #""x""#),
      (.array([.number(1), .null]), "[\n  1,\n  null\n]"),
      (
        .object(["b": .null, "a": .object(["c": .array([.bool(true)])])]),
        "{\n  \"b\": null,\n  \"a\": {\n    \"c\": [\n      true\n    ]\n  }\n}"
      ),
    ] as [(JSONValue, String)]
  )
  func valueIsRendered(value: JSONValue, text: String) {
    #expect(value.rendered == text)
  }
}
