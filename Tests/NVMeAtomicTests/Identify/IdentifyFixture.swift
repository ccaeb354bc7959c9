@testable import NVMeAtomic

/// Identify pages made by hand, byte by byte.
enum IdentifyFixture {
  static let byteCount = 4096

  static func randomPage(_ random: inout SplitMix64) -> [UInt8] {
    (0..<byteCount).map { _ in random.byte() }
  }

  /// A page of zeroes with some bytes set.
  static func page(_ bytes: [Int: UInt8] = [:]) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: byteCount)
    for (offset, byte) in bytes { page[offset] = byte }
    return page
  }

  static func controller(_ bytes: [Int: UInt8] = [:]) -> IdentifyController {
    guard let decoded = IdentifyController(page: page(bytes)) else {
      fatalError("4096 bytes are a page")
    }
    return decoded
  }

  static func namespace(_ bytes: [Int: UInt8] = [:]) -> IdentifyNamespace {
    guard let decoded = IdentifyNamespace(page: page(bytes)) else {
      fatalError("4096 bytes are a page")
    }
    return decoded
  }

  /// The most significant byte first, unlike the decoder.
  static func number(_ page: [UInt8], _ offset: Int, bytes: Int) -> UInt64 {
    page[offset..<offset + bytes].reversed().reduce(0) { $0 * 256 + UInt64($1) }
  }
}
