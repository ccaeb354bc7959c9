@testable import NVMeAtomic

/// Sets the checksums of made-up bytes right, which no fuzzer would ever guess.
enum JournalMender {
  private static let superblockMagic = Array("NVMATJNL".utf8)
  private static let recordMagic = Array("NVMATREC".utf8)

  /// Of the superblock, or of the header, that the bytes are.
  static func mend(_ bytes: inout ArraySlice<UInt8>) {
    let start = bytes.startIndex
    guard bytes.count >= 112 else { return }
    bytes.replaceSubrange(start + 96..<start + 112, with: repeatElement(0, count: 16))
    let sum = checksum(bytes)
    bytes.replaceSubrange(start + 96..<start + 112, with: sum)
  }

  /// Of a whole journal: superblocks where they are, and records wherever a block begins as one.
  static func mend(journal: inout [UInt8], blockBytes: Int, payloads: Bool) {
    for start in stride(from: 0, to: journal.count - blockBytes + 1, by: blockBytes) {
      let magic = Array(journal[start..<start + 8])
      if magic == superblockMagic { mend(&journal[start..<start + blockBytes]) }
      guard magic == recordMagic else { continue }
      let header = number(journal, start + 8, 4)
      guard header >= 112, header <= journal.count - start else { continue }
      let payload = number(journal, start + 56, 8)
      if payloads, payload <= journal.count - start - header {
        let from = start + header
        journal.replaceSubrange(
          start + 80..<start + 96,
          with: checksum(journal[from..<from + payload])
        )
      }
      mend(&journal[start..<start + header])
    }
  }

  static func checksum(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
    var copy = Array(bytes)
    let sum = copy.withUnsafeMutableBytes { JournalChecksum(of: $0.baseAddress, $0.count) }
    return [sum.low, sum.high].flatMap { number in
      (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) }
    }
  }

  /// Little-endian; the largest where it is more than fits.
  static func number(_ bytes: [UInt8], _ place: Int, _ count: Int) -> Int {
    let number = (0..<count).reduce(UInt64(0)) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
    return Int(exactly: number) ?? .max
  }
}
