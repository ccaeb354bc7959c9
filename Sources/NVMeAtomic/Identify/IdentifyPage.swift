/// Little-endian reads of an Identify data structure. Every offset is checked against 4096.
struct IdentifyPage {
  static let byteCount = 4096
  let bytes: [UInt8]

  init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  func uint8(_ offset: Int) -> UInt8 { bytes[offset] }

  func uint16(_ offset: Int) -> UInt16 {
    UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
  }

  func uint64(_ offset: Int) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
  }

  /// An ASCII field, padding removed; a byte that is not printable shows as `?`.
  func text(_ range: Range<Int>) -> String {
    let printable = bytes[range].map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }
    let padding: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") }
    let nulls = bytes[range].reversed().prefix { $0 == 0 }.count
    let trimmed = printable.dropLast(nulls).drop(while: padding)
    return String(decoding: trimmed.reversed().drop(while: padding).reversed(), as: UTF8.self)
  }
}
