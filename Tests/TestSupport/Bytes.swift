import Foundation

// What the tests do with many bytes lies here: their own modules are not optimised.

/// Bytes that differ from place to place and from seed to seed.
package func pattern(_ seed: Int, byteCount: Int) -> [UInt8] {
  (0..<byteCount).map { UInt8(truncatingIfNeeded: ($0 >> 8) &* 31 &+ $0 &+ seed &* 101 &+ 1) }
}

/// Bytes with some others in place of them, longer where those reach beyond the end.
package func replacing(
  _ bytes: [UInt8],
  _ pieces: [(offset: Int, bytes: [UInt8])]
) -> [UInt8] {
  var bytes = bytes
  for piece in pieces {
    let end = piece.offset + piece.bytes.count
    if end > bytes.count { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
    bytes.replaceSubrange(piece.offset..<end, with: piece.bytes)
  }
  return bytes
}

/// What a file holds.
package func contents(ofFile path: String) throws -> [UInt8] {
  [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
}

/// As the library's own, for bytes alone.
package func == (one: [UInt8], other: [UInt8]) -> Bool {
  one.elementsEqual(other)
}

/// As the library's own, for bytes alone.
package func == (one: ArraySlice<UInt8>, other: ArraySlice<UInt8>) -> Bool {
  one.elementsEqual(other)
}

/// The same byte everywhere.
package func fill(_ bytes: UnsafeMutableRawBufferPointer, with byte: UInt8) {
  for index in bytes.indices { bytes[index] = byte }
}
