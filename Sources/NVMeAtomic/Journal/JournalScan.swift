import LinuxIO
import SystemPackage

/// The log as recovery reads it, in pieces that any record fits into.
extension JournalEngine where Storage: ~Copyable {
  /// Finds the records that count, and holds what follows them against them.
  mutating func scanLog(_ scan: inout JournalScan) throws(JournalProblem) {
    var window = JournalWindow()
    while scan.position < geometry.logEnd {
      guard let (header, record) = try look(at: scan.position, &window), isNext(record, scan),
        try isWhole(record, header, scan.position, &window)
      else { break }
      scan.take(record)
    }
    try checkNothingFollows(scan)
    scan.drop()
  }

  private func isNext(_ record: JournalRecord, _ scan: JournalScan) -> Bool {
    if rules.checksIdentity, record.identity != superblock.identity { return false }
    if rules.checksLap, record.lap != superblock.lap { return false }
    // What an abandoned transaction has left is no part of another one.
    if rules.waitsForEnd, record.beginsTransaction == scan.isWithinTransaction { return false }
    return !rules.checksSequence || record.sequence == scan.nextSequence
  }

  /// The header of the record at a place, in memory, its checksum's place zero; `nil` where there
  /// is none that is whole.
  private mutating func look(
    at position: UInt64,
    _ window: inout JournalWindow
  ) throws(JournalProblem) -> (JournalBytes, JournalRecord)? {
    let block = try view(position, Int(geometry.blockBytes), &window)
    guard let count = JournalRecord.headerBytes(at: block, geometry),
      count <= 2 * longestRecord, UInt64(count) <= geometry.logEnd - position
    else { return nil }
    let header = try view(position, count, &window)
    return JournalRecord(decoding: header, geometry).map { (header, $0) }
  }

  private mutating func isWhole(
    _ record: JournalRecord,
    _ header: JournalBytes,
    _ position: UInt64,
    _ window: inout JournalWindow
  ) throws(JournalProblem) -> Bool {
    guard UInt64(record.byteCount) <= geometry.logEnd - position,
      record.byteCount <= 2 * longestRecord, record.pieces(of: header, geometry) != nil
    else { return false }
    if !rules.checksPayload { return true }
    let all = try view(position, record.byteCount, &window)
    return all[record.headerBytes..<record.byteCount].checksum == record.payloadChecksum
  }

  /// A record that was sent when the missing one had been flushed proves that this one is no
  /// torn end but damage.
  mutating func checkNothingFollows(_ scan: JournalScan) throws(JournalProblem) {
    guard rules.noticesDamage else { return }
    var (position, window) = (scan.position, JournalWindow())
    let block = Int(geometry.blockBytes)
    // A clean journal has nothing at all; one look at the begin of its log is enough.
    let end =
      superblock.isClean
      ? min(geometry.logEnd, position + UInt64(2 * longestRecord)) : geometry.logEnd
    while position < end {
      let start = try view(position, block, &window)
      if JournalRecord.headerBytes(at: start, geometry) != nil,
        let (_, record) = try look(at: position, &window),
        record.identity == superblock.identity
      {
        let isLater = superblock.isClean || record.flushedSequence >= scan.nextSequence
        if record.lap > superblock.lap || record.lap == superblock.lap && isLater {
          throw .corrupt(
            "record \(scan.nextSequence) is damaged, which record \(record.sequence) at byte "
              + "\(position) proves to have been whole"
          )
        }
      }
      position += UInt64(block)
    }
  }

  /// Bytes of the log in memory, read in pieces.
  private mutating func view(
    _ position: UInt64,
    _ byteCount: Int,
    _ window: inout JournalWindow
  ) throws(JournalProblem) -> JournalBytes {
    if position < window.position
      || position + UInt64(byteCount) > window.position + UInt64(window.byteCount)
    {
      let count = Int(min(UInt64(2 * longestRecord), geometry.logEnd - position))
      _ = try readLog(position, count)
      window = JournalWindow(position: position, byteCount: count)
    }
    let start = Int(position - window.position)
    return bytes(start..<start + byteCount)
  }

  /// Reads into the begin of the memory.
  mutating func readLog(
    _ position: UInt64,
    _ byteCount: Int,
    at start: Int = 0
  ) throws(JournalProblem) -> JournalBytes {
    // SAFETY: the memory has as many bytes, and is not used before the read has ended.
    let result = unsafe perform(
      .read,
      onLog: true,
      memory.base + start,
      byteCount,
      at: position,
      isDurable: false
    )
    guard result.isAll(of: byteCount) else { throw .read(result) }
    return bytes(start..<start + byteCount)
  }

  // MARK: Replay

  /// Writes in place what every complete transaction says, in their order: the records in one half
  /// of the memory are on their way while the next ones are read into the other.
  mutating func replay(_ scan: JournalScan) throws(JournalProblem) {
    var position = geometry.logStart
    while position < scan.replayEnd {
      let count = Int(min(UInt64(halfBytes), scan.replayEnd - position))
      let read = try takeRecords(at: position, try readLog(position, count, at: half), half)
      if read > 0 {
        try turn()
        position += UInt64(read)
        continue
      }
      // One that was written with more memory needs all of it.
      try finish()
      let all = Int(min(UInt64(2 * halfBytes), scan.replayEnd - position))
      let whole = try takeRecords(at: position, try readLog(position, all), 0)
      guard whole > 0 else { throw .read(.host(.ioError)) }
      try turn()
      try finish()
      position += UInt64(whole)
    }
    try finish()
  }

  /// Has the records that lie whole in memory wait to be written in place; the bytes that they
  /// have.
  private mutating func takeRecords(
    at position: UInt64,
    _ memory: JournalBytes,
    _ start: Int
  ) throws(JournalProblem) -> Int {
    var done = 0
    while done < memory.count {
      let rest = memory[done..<memory.count]
      guard let count = JournalRecord.headerBytes(at: rest, geometry), count <= rest.count else {
        return done
      }
      let header = rest[0..<count]
      // It was whole when it was looked at before.
      guard let record = JournalRecord(decoding: header, geometry),
        let pieces = record.pieces(of: header, geometry)
      else { throw .read(.host(.ioError)) }
      if record.byteCount > rest.count { return done }
      var place = start + done + record.headerBytes
      for piece in pieces {
        waiting.append(
          JournalPlacement(
            offsetBytes: piece.offsetBytes,
            place: place,
            byteCount: piece.byteCount
          )
        )
        place += geometry.roundedToGranule(piece.byteCount)
      }
      done += record.byteCount
    }
    return done
  }
}

/// Which part of the journal is in memory.
struct JournalWindow {
  var position: UInt64 = 0
  var byteCount = 0
}

/// How far the log was read.
struct JournalScan {
  /// Where the next record would be, and its number.
  var position: UInt64
  var nextSequence: UInt64
  /// Where the last complete transaction ends.
  var replayEnd: UInt64
  var report = JournalReport()
  private var pending = JournalReport()

  /// Whether the end of a transaction is still to come.
  var isWithinTransaction: Bool { pending.records > 0 }
  private let waitsForEnd: Bool

  init(_ superblock: JournalSuperblock, waitsForEnd: Bool) {
    self.waitsForEnd = waitsForEnd
    position = superblock.geometry.logStart
    replayEnd = position
    nextSequence = superblock.firstSequence
  }

  mutating func take(_ record: JournalRecord) {
    position += UInt64(record.byteCount)
    nextSequence = record.sequence + 1
    pending.records += 1
    pending.bytes += UInt64(record.payloadBytes)
    guard record.endsTransaction || !waitsForEnd else { return }
    report.transactions += 1
    report.records += pending.records
    report.bytes += pending.bytes
    pending = JournalReport()
    report.lastTransactionBytes = replayEnd
    replayEnd = position
  }

  /// What has no end is none.
  mutating func drop() {
    report.droppedRecords = pending.records
  }
}
