/// A part of a range of the target, as one record carries it.
package struct JournalPiece: Hashable, Sendable {
  /// Which of the ranges that are committed.
  var range: Int
  /// Where in that range it begins, bytes.
  var from: Int
  /// In the target, bytes: a multiple of the granule.
  package var offsetBytes: UInt64
  /// A multiple of the granule, but for one that ends with a file.
  package var byteCount: Int
}

/// The header of a record; its payload follows. `Docs/NVMeAtomic.docc/JournalFormat.md` has every
/// byte.
struct JournalRecord: Hashable, Sendable {
  var identity: JournalIdentity
  var lap: UInt64
  var sequence: UInt64
  /// Records up to this one were on stable storage when this one was sent.
  var flushedSequence: UInt64
  /// Whether a transaction begins, and ends, with it.
  var beginsTransaction: Bool
  var endsTransaction: Bool
  var headerBytes: Int
  var payloadBytes: Int
  var payloadChecksum: JournalChecksum
  var pieceCount: Int

  var byteCount: Int { headerBytes + payloadBytes }

  static let magic: UInt64 = 0x4345_5254_414d_564e  // "NVMATREC"
  fileprivate static let checksumPlace = 96
  fileprivate static let piecesPlace = 112
  fileprivate static let pieceBytes = 16

  /// Bytes of a header for so many pieces.
  static func headerBytes(pieces: Int, _ geometry: JournalGeometry) -> Int {
    geometry.roundedToBlock(piecesPlace + pieces * pieceBytes)
  }

  /// Writes the header.
  func encode(_ pieces: ArraySlice<JournalPiece>, into header: JournalBytes) {
    precondition(header.count == headerBytes && pieces.count == pieceCount)
    header.clear()
    header.put(Self.magic, at: 0)
    header.put(UInt32(headerBytes), at: 8)
    header.put(UInt32(beginsTransaction ? 1 : 0) | UInt32(endsTransaction ? 2 : 0), at: 12)
    header.put(identity.low, at: 16)
    header.put(identity.high, at: 24)
    header.put(lap, at: 32)
    header.put(sequence, at: 40)
    header.put(flushedSequence, at: 48)
    header.put(UInt64(payloadBytes), at: 56)
    header.put(UInt32(pieceCount), at: 64)
    header.put(payloadChecksum.low, at: 80)
    header.put(payloadChecksum.high, at: 88)
    for (index, piece) in pieces.enumerated() {
      let place = Self.piecesPlace + index * Self.pieceBytes
      header.put(piece.offsetBytes, at: place)
      header.put(UInt64(piece.byteCount), at: place + 8)
    }
    let checksum = header.checksum
    header.put(checksum.low, at: Self.checksumPlace)
    header.put(checksum.high, at: Self.checksumPlace + 8)
  }
}

extension JournalRecord {
  /// How long the header of a record is that a block begins with; `nil` where none begins there.
  static func headerBytes(at block: JournalBytes, _ geometry: JournalGeometry) -> Int? {
    guard block.number(at: 0, as: UInt64.self) == magic else { return nil }
    let count = Int(block.number(at: 8, as: UInt32.self))
    guard count >= Int(geometry.blockBytes), count % Int(geometry.blockBytes) == 0,
      count <= JournalGeometry.longestRecordBytes
    else { return nil }
    return count
  }

  /// Reads a header, whose checksum's place is zero afterwards.
  ///
  /// - Returns: `nil` for what is none, or is damaged.
  init?(decoding header: JournalBytes, _ geometry: JournalGeometry) {
    guard let headerBytes = Self.headerBytes(at: header, geometry), headerBytes == header.count
    else { return nil }
    var checksum = JournalChecksum()
    checksum.low = header.number(at: Self.checksumPlace)
    checksum.high = header.number(at: Self.checksumPlace + 8)
    header.put(UInt64(0), at: Self.checksumPlace)
    header.put(UInt64(0), at: Self.checksumPlace + 8)
    guard header.checksum == checksum else { return nil }
    let payload = header.number(at: 56, as: UInt64.self)
    let pieces = Int(header.number(at: 64, as: UInt32.self))
    guard payload <= JournalGeometry.longestRecordBytes - UInt64(headerBytes),
      payload % geometry.blockBytes == 0,
      Self.headerBytes(pieces: pieces, geometry) == headerBytes,
      JournalSuperblock.isCount(header.number(at: 40))
    else { return nil }
    self.headerBytes = headerBytes
    identity = JournalIdentity(low: header.number(at: 16), high: header.number(at: 24))
    lap = header.number(at: 32)
    sequence = header.number(at: 40)
    flushedSequence = header.number(at: 48)
    beginsTransaction = header.number(at: 12, as: UInt32.self) & 1 != 0
    endsTransaction = header.number(at: 12, as: UInt32.self) & 2 != 0
    payloadBytes = Int(payload)
    pieceCount = pieces
    payloadChecksum = JournalChecksum()
    payloadChecksum.low = header.number(at: 80)
    payloadChecksum.high = header.number(at: 88)
  }

  /// Where the payload goes, in its order.
  ///
  /// - Returns: `nil` where the header contradicts itself.
  func pieces(of header: JournalBytes, _ geometry: JournalGeometry) -> [JournalPiece]? {
    var pieces: [JournalPiece] = []
    pieces.reserveCapacity(pieceCount)
    var rest = payloadBytes
    for index in 0..<pieceCount {
      let place = Self.piecesPlace + index * Self.pieceBytes
      let offset = header.number(at: place, as: UInt64.self)
      let count = header.number(at: place + 8, as: UInt64.self)
      guard count > 0, count <= UInt64(rest), offset % geometry.granuleBytes == 0,
        offset <= UInt64(Int64.max) - count
      else { return nil }
      rest -= geometry.roundedToGranule(Int(count))
      guard rest >= 0 else { return nil }
      pieces.append(
        JournalPiece(range: index, from: 0, offsetBytes: offset, byteCount: Int(count))
      )
    }
    return pieces
  }
}
