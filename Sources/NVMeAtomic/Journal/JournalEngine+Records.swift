import LinuxIO

/// Records: put together, and written to the log.
extension JournalEngine where Storage: ~Copyable {
  /// Divides ranges into records; the bytes of all.
  mutating func cut(_ ranges: [Range<UInt64>]) -> UInt64 {
    pieces.removeAll(keepingCapacity: true)
    recordEnds.removeAll(keepingCapacity: true)
    var (total, payload, first) = (UInt64(0), 0, 0)
    for (number, range) in ranges.enumerated() where !range.isEmpty {
      var from = 0
      while from < range.count {
        let header = JournalRecord.headerBytes(pieces: pieces.count - first + 1, geometry)
        let room = (longestRecord - header - payload) & ~(Int(geometry.granuleBytes) - 1)
        if room <= 0 {
          total += endRecord(&first, &payload)
          continue
        }
        let count = min(range.count - from, room)
        pieces.append(
          JournalPiece(
            range: number,
            from: from,
            offsetBytes: range.lowerBound + UInt64(from),
            byteCount: count
          )
        )
        payload += geometry.roundedToGranule(count)
        from += count
      }
    }
    if payload > 0 { total += endRecord(&first, &payload) }
    return total
  }

  mutating func endRecord(_ first: inout Int, _ payload: inout Int) -> UInt64 {
    recordEnds.append(pieces.count)
    defer { (first, payload) = (pieces.count, 0) }
    let header = JournalRecord.headerBytes(pieces: pieces.count - first, geometry)
    return UInt64(header + geometry.roundedToBlock(payload))
  }

  func pieces(ofRecord number: Int) -> ArraySlice<JournalPiece> {
    pieces[(number == 0 ? 0 : recordEnds[number - 1])..<recordEnds[number]]
  }

  /// How long a record is.
  func recordBytes(_ number: Int) -> Int {
    let pieces = pieces(ofRecord: number)
    return JournalRecord.headerBytes(pieces: pieces.count, geometry)
      + geometry.roundedToBlock(
        pieces.reduce(0) { $0 + geometry.roundedToGranule($1.byteCount) }
      )
  }

  /// Puts a record together in memory.
  mutating func build(
    _ number: Int,
    at start: Int,
    _ fill: (UnsafeMutableRawBufferPointer, Int, Int) throws(JournalProblem) -> Void
  ) throws(JournalProblem) -> JournalRecord {
    let pieces = pieces(ofRecord: number)
    let headerBytes = JournalRecord.headerBytes(pieces: pieces.count, geometry)
    var place = start + headerBytes
    for piece in pieces {
      // SAFETY: records are cut to what a half has room for.
      let pieceMemory = unsafe UnsafeMutableRawBufferPointer(
        start: memory.base + place,
        count: piece.byteCount
      )
      unsafe try fill(pieceMemory, piece.range, piece.from)
      let end = place + geometry.roundedToGranule(piece.byteCount)
      if end > place + piece.byteCount { bytes(place + piece.byteCount..<end).clear() }
      place = end
    }
    let payloadBytes = geometry.roundedToBlock(place - start - headerBytes)
    let end = start + headerBytes + payloadBytes
    if end > place { bytes(place..<end).clear() }
    let record = JournalRecord(
      identity: superblock.identity,
      lap: superblock.lap,
      sequence: sequence,
      flushedSequence: flushedSequence,
      beginsTransaction: number == 0,
      endsTransaction: number == recordEnds.count - 1,
      headerBytes: headerBytes,
      payloadBytes: payloadBytes,
      payloadChecksum: bytes(start + headerBytes..<end).checksum,
      pieceCount: pieces.count
    )
    record.encode(pieces, into: bytes(start..<start + headerBytes))
    return record
  }

  /// Writes a record to the log.
  mutating func append(
    _ record: JournalRecord,
    at start: Int,
    isDurable: Bool
  ) throws(JournalProblem) {
    // SAFETY: the record lies in memory, and is not changed before the write has ended.
    let result = unsafe perform(
      .write,
      onLog: true,
      memory.base + start,
      record.byteCount,
      at: position,
      isDurable: isDurable
    )
    guard result.isAll(of: record.byteCount) else { throw fail(.log(result)) }
    if isDurable { flushedSequence = sequence }
    position += UInt64(record.byteCount)
    sequence += 1
  }

  mutating func flushLog() throws(JournalProblem) {
    let result = log.perform(StorageOperation(.flush, token: 0)).result
    guard result.isAll(of: 0) else { throw fail(.log(result)) }
    flushedSequence = sequence - 1
  }
}
