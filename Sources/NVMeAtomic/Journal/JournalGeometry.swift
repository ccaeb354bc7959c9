/// Where a journal lies, and how it is divided: two superblocks, the first and the last block, and
/// between them the log.
package struct JournalGeometry: Hashable, Sendable {
  /// Where it begins in what its storage writes to, bytes.
  package let startBytes: UInt64
  /// All of it, bytes.
  package let lengthBytes: UInt64
  /// Superblocks, and begins and ends of records, are multiples of it: a power of two.
  package let blockBytes: UInt64
  /// Ranges of the target begin at multiples of it: its logical block, a power of two.
  package let granuleBytes: UInt64

  /// Blocks of 4096 bytes, or as large as the larger logical block.
  package static let usualBlockBytes: UInt64 = 4096
  /// As much as one record may have, header and all.
  package static let longestRecordBytes: UInt64 = 4 << 20
  /// Records wait in so much memory at most before they are written in place: the more of them,
  /// the closer together they lie in the target.
  package static let usualMemoryBytes: UInt64 = 32 << 20

  /// Divides a journal.
  ///
  /// - Returns: `nil` where that is no journal: too short, or no multiple of its blocks.
  package init?(
    startBytes: UInt64 = 0,
    lengthBytes: UInt64,
    blockBytes: UInt64 = Self.usualBlockBytes,
    granuleBytes: UInt64
  ) {
    guard blockBytes.isPowerOfTwo, granuleBytes.isPowerOfTwo, granuleBytes <= blockBytes,
      blockBytes >= 512, blockBytes <= 1 << 20, lengthBytes % blockBytes == 0,
      startBytes % blockBytes == 0, lengthBytes / blockBytes >= 5,
      !startBytes.addingReportingOverflow(lengthBytes).overflow
    else { return nil }
    self.startBytes = startBytes
    self.lengthBytes = lengthBytes
    self.blockBytes = blockBytes
    self.granuleBytes = granuleBytes
  }

  package var superblocks: [UInt64] { [startBytes, startBytes + lengthBytes - blockBytes] }
  var logStart: UInt64 { startBytes + blockBytes }
  var logEnd: UInt64 { startBytes + lengthBytes - blockBytes }
  /// As much as one transaction may have, headers and all.
  package var logBytes: UInt64 { logEnd - logStart }

  func roundedToBlock(_ byteCount: Int) -> Int {
    (byteCount + Int(blockBytes) - 1) & ~(Int(blockBytes) - 1)
  }

  func roundedToGranule(_ byteCount: Int) -> Int {
    (byteCount + Int(granuleBytes) - 1) & ~(Int(granuleBytes) - 1)
  }
}
