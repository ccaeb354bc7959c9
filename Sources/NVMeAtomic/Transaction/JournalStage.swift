/// A transaction by a journal; see ``AtomicTransaction`` for what holds.
struct JournalStage: ~Copyable {
  private let session: JournalSession
  private var staged: StagedBytes
  private let number: UInt64
  /// Why some of a write is staged and the rest not: it can only be dropped.
  private var spoilt: AtomicWriteError?

  init(_ target: AtomicTarget) throws(AtomicWriteError) {
    guard let session = target.journal else {
      throw .refused(.obstacle("the target was not opened with a journal"))
    }
    self.session = session
    staged = StagedBytes(spillingTo: session.spillFolder)
    number = session.newTransaction()
  }

  deinit { session.release(number) }

  mutating func write(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    if bytes.count == 0 { throw .refused(.empty) }
    let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
    if overflow || end > UInt64(Int64.max) { throw .refused(.overflows) }
    try session.check(offset..<end)
    try session.claim(offset..<end, for: number)
    if let spoilt { throw spoilt }
    do throws(AtomicWriteError) {
      // SAFETY: the bytes are the caller's for the call.
      unsafe try staged.stage(bytes, atBytes: offset)
    } catch {
      spoilt = error
      throw error
    }
  }

  mutating func read(
    into buffer: UnsafeMutableRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) -> Int {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(buffer.count))
    if buffer.count == 0 || overflow { return 0 }
    try session.claim(offset..<end, for: number)
    // SAFETY: the memory is the caller's for the call.
    let found = unsafe try session.read(into: buffer, atBytes: offset)
    let size = max(session.sizeBytes, staged.ranges.hull?.upperBound ?? 0)
    guard offset < size else { return 0 }
    let count = Int(min(UInt64(buffer.count), size - offset))
    if count > found {
      // SAFETY: as above; between the file's end and what is staged there is nothing.
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[found..<count])
      unsafe rest.initializeMemory(as: UInt8.self, repeating: 0)
    }
    for piece in staged.ranges.pieces(of: offset..<offset + UInt64(count)) where piece.isIn {
      let start = Int(piece.range.lowerBound - offset)
      // SAFETY: as above.
      let place = unsafe UnsafeMutableRawBufferPointer(
        rebasing: buffer[start..<start + piece.range.count]
      )
      unsafe try staged.copy(piece.range, to: place)
    }
    return count
  }

  /// A journal's transactions are always durable: each is on stable storage before it is written
  /// in place.
  mutating func commit(_ durability: Durability) throws(AtomicWriteError) -> TransactionReceipt {
    if let spoilt { throw spoilt }
    let ranges = staged.ranges
    do throws(AtomicWriteError) {
      try session.commit(staged)
    } catch {
      if error.outcome == .unknown { rollback() }
      throw error
    }
    rollback()
    return TransactionReceipt(
      path: .journal,
      ranges: ranges.all,
      bytes: ranges.byteCount,
      powerFailAtomic: session.promise,
      untorn: .fails(.seenInParts),
      isDurable: session.promise.keepsDurability ? true : nil
    )
  }

  mutating func rollback() {
    staged.removeAll()
    spoilt = nil
    session.release(number)
  }
}
