/// The names that a journal goes by: its own, and its target's.
package struct JournalIdentity: Hashable, Sendable {
  /// Drawn when the journal was made.
  package var low: UInt64
  package var high: UInt64

  package init(low: UInt64, high: UInt64) {
    self.low = low
    self.high = high
  }

  /// A new one.
  package static var random: Self {
    var generator = SystemRandomNumberGenerator()
    return Self(low: generator.next(), high: generator.next())
  }
}

/// What both superblocks of a journal say. `Docs/NVMeAtomic.docc/JournalFormat.md` has every byte.
package struct JournalSuperblock: Hashable, Sendable {
  package var identity: JournalIdentity
  package var geometry: JournalGeometry
  /// Counts every writing of the superblocks.
  package var generation: UInt64 = 1
  /// Counts how often the log has begun anew; records of other laps are of the past.
  package var lap: UInt64 = 1
  /// The number of the first record of this lap.
  package var firstSequence: UInt64 = 1
  /// Whether nothing is in the log.
  package var isClean = true
  /// What the system says of the target, so that no other one is mistaken for it.
  package var target = ""
  /// The signature that the target's own bytes carry; empty for none, and for a file.
  package var signature = ""

  package static let version: UInt32 = 1
  private static let magic: UInt64 = 0x4c4e_4a54_414d_564e  // "NVMATJNL"
  private static let checksumPlace = 96
  private static let textPlace = 112

  package init(identity: JournalIdentity, geometry: JournalGeometry) {
    self.identity = identity
    self.geometry = geometry
  }

  /// Bytes that names may have in all.
  static func mostTextBytes(blockBytes: UInt64) -> Int { Int(blockBytes) - textPlace }

  /// Writes one block.
  ///
  /// - Precondition: The names fit.
  func encode(into block: JournalBytes) {
    precondition(
      target.utf8.count + signature.utf8.count
        <= Self.mostTextBytes(blockBytes: geometry.blockBytes)
    )
    block.clear()
    block.put(Self.magic, at: 0)
    block.put(Self.version, at: 8)
    block.put(UInt32(geometry.blockBytes), at: 12)
    block.put(identity.low, at: 16)
    block.put(identity.high, at: 24)
    block.put(geometry.startBytes, at: 32)
    block.put(geometry.lengthBytes, at: 40)
    block.put(generation, at: 48)
    block.put(lap, at: 56)
    block.put(firstSequence, at: 64)
    block.put(UInt32(isClean ? 1 : 0), at: 72)
    block.put(UInt32(geometry.granuleBytes), at: 76)
    block.put(UInt32(target.utf8.count), at: 80)
    block.put(UInt32(signature.utf8.count), at: 84)
    block.put(target, at: Self.textPlace)
    block.put(signature, at: Self.textPlace + target.utf8.count)
    let checksum = block.checksum
    block.put(checksum.low, at: Self.checksumPlace)
    block.put(checksum.high, at: Self.checksumPlace + 8)
  }

  /// Whether any block of 4096 bytes begins as superblocks or records do.
  static func isAnyJournal(_ bytes: JournalBytes) -> Bool {
    for place in stride(from: 0, to: bytes.count - 7, by: 4096) {
      let number = bytes.number(at: place, as: UInt64.self)
      if number == magic || number == JournalRecord.magic { return true }
    }
    return false
  }

  /// What a block's begin says it is, whether or not the rest is whole.
  enum Content {
    case superblock(JournalSuperblock)
    /// Of a later version.
    case version(UInt32)
    /// One that is damaged.
    case damaged
    /// Something else.
    case other
  }

  /// Reads a block. Its checksum is taken over the block with zeros in the checksum's place, which
  /// is left so.
  static func decode(_ block: JournalBytes, startBytes: UInt64) -> Content {
    guard block.number(at: 0, as: UInt64.self) == magic else { return .other }
    var checksum = JournalChecksum()
    checksum.low = block.number(at: checksumPlace)
    checksum.high = block.number(at: checksumPlace + 8)
    block.put(UInt64(0), at: checksumPlace)
    block.put(UInt64(0), at: checksumPlace + 8)
    guard block.checksum == checksum else { return .damaged }
    let version = block.number(at: 8, as: UInt32.self)
    guard version == Self.version else { return .version(version) }
    guard
      let geometry = JournalGeometry(
        startBytes: block.number(at: 32),
        lengthBytes: block.number(at: 40),
        blockBytes: UInt64(block.number(at: 12, as: UInt32.self)),
        granuleBytes: UInt64(block.number(at: 76, as: UInt32.self))
      ), geometry.startBytes == startBytes, geometry.blockBytes == UInt64(block.count),
      let target = block.text(
        at: textPlace,
        byteCount: Int(block.number(at: 80, as: UInt32.self))
      ),
      let signature = block.text(
        at: textPlace + target.utf8.count,
        byteCount: Int(block.number(at: 84, as: UInt32.self))
      )
    else { return .damaged }
    let identity = JournalIdentity(low: block.number(at: 16), high: block.number(at: 24))
    var superblock = JournalSuperblock(identity: identity, geometry: geometry)
    superblock.generation = block.number(at: 48)
    superblock.lap = block.number(at: 56)
    superblock.firstSequence = block.number(at: 64)
    superblock.isClean = block.number(at: 72, as: UInt32.self) == 1
    superblock.target = target
    superblock.signature = signature
    guard [superblock.generation, superblock.lap, superblock.firstSequence].allSatisfy(isCount)
    else { return .damaged }
    return .superblock(superblock)
  }

  /// Whether a journal can have counted so far: from 1 on, and never to where a number ends.
  static func isCount(_ number: UInt64) -> Bool {
    (1...UInt64(Int64.max)).contains(number)
  }
}
