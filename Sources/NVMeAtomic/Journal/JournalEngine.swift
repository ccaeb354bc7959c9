package import LinuxIO
import SystemPackage

/// The redo journal of one target, on any two storages: one that writes to the journal, one to the
/// target; they may lie on the same device.
///
/// A transaction is written to the log and flushed, then it is done; then it is written in place,
/// together with others, and while the next one is on its way to the log where that takes less
/// time (``JournalPace``). When the log is full, what was written in place is flushed, and the log
/// begins anew: its next lap. One owner, one transaction at a time.
@safe package struct JournalEngine<Storage: AtomicStorage & ~Copyable>: ~Copyable {
  /// Writes what no direct write can: the last bytes of a file, which end within a granule.
  package typealias TailWriter = (UnsafeRawBufferPointer, UInt64) -> StorageResult

  var log: Storage
  var target: Storage
  let geometry: JournalGeometry
  let rules: JournalRules
  let writeTail: TailWriter

  /// Records lie one after the other in one half; those of the other one are on their way in place.
  var memory: AlignedBuffer
  let halfBytes: Int
  /// So much of one half is filled before its turn, as those of a last half, before the log begins
  /// anew, have nothing beside them.
  let besideBytes: Int
  /// As much as one record has, header and all.
  let longestRecord: Int
  /// Where the half begins that is filled, and how much of it has records.
  var half = 0
  var halfFilled = 0
  /// Whether both are filled, as one: nothing is on its way in place then.
  var fillsBoth = false
  var pace: JournalPace
  /// What the records of this half are to write in place, in their order.
  var waiting: [JournalPlacement] = []
  /// What is on its way in place, or about to be: none over another.
  var placing: [JournalPlacement] = []
  /// So many of them were sent.
  var sentCount = 0

  /// As both superblocks have it, or are about to.
  package internal(set) var superblock: JournalSuperblock
  /// The number of the next record, and where it goes.
  var sequence: UInt64 = 1
  var position: UInt64 = 0
  /// Records up to this one are on stable storage.
  var flushedSequence: UInt64 = 0
  /// Whether recovery has run, or the journal was just made.
  var isOpen = false
  /// What has ended this journal's work; what it says as done is done.
  package internal(set) var failure: JournalProblem?

  var pieces: [JournalPiece] = []
  /// Where the pieces of each record end.
  var recordEnds: [Int] = []
  /// What each token's write in place is, and the tokens that are free.
  var expected: [JournalPlacement]
  var freeTokens: [UInt32]

  /// Takes the storages on; ``recover(check:proceeds:)`` or ``format(_:)`` comes next.
  ///
  /// - Parameters:
  ///   - log: Writes to the journal.
  ///   - target: Writes in place.
  ///   - geometry: Where the journal lies.
  ///   - recordBytes: As much as a record may have.
  ///   - longestBytes: As much as any record of this journal has, whoever wrote it.
  ///   - memoryBytes: Records wait in so much memory, or as much as the log has room for, before
  ///     they are written in place; never less than twice a record.
  ///   - rules: What keeps the promises.
  ///   - pace: When records are written in place.
  ///   - writeTail: Writes bytes that end within a granule.
  /// - Throws: ``AtomicWriteError/noResources(_:_:)``.
  package init(
    log: consuming Storage,
    target: consuming Storage,
    _ geometry: JournalGeometry,
    recordBytes: UInt64 = JournalGeometry.longestRecordBytes,
    longestBytes: UInt64 = JournalGeometry.longestRecordBytes,
    memoryBytes: UInt64 = JournalGeometry.usualMemoryBytes,
    rules: JournalRules = JournalRules(),
    pace: JournalPace,
    writeTail: @escaping TailWriter
  ) throws(AtomicWriteError) {
    let most = min(recordBytes, longestBytes, geometry.logBytes)
    // Recovery reads records whole.
    let longest = min(longestBytes, geometry.logBytes)
    let record = max(most, (longest + 1) / 2, 2 * geometry.blockBytes)
    longestRecord = geometry.roundedToBlock(Int(record))
    let half = max(record, min(memoryBytes, geometry.logBytes) / 2)
    halfBytes = geometry.roundedToBlock(Int(half))
    memory = try AlignedBuffer(reserving: 2 * halfBytes)
    self.geometry = geometry
    self.rules = rules
    self.pace = pace
    besideBytes = max(longestRecord, min(halfBytes, Int(geometry.logBytes / 4)))
    // Filled twice, but for what the last record of each has no room for.
    self.pace.windowBytes = UInt64(2 * max(halfBytes, 2 * longestRecord) - longestRecord)
    // SAFETY: it is lent memory for each call.
    unsafe self.writeTail = writeTail
    superblock = JournalSuperblock(identity: .random, geometry: geometry)
    expected = Array(
      repeating: JournalPlacement(offsetBytes: 0, place: 0, byteCount: 0),
      count: target.depth
    )
    freeTokens = (0..<UInt32(target.depth)).reversed()
    self.log = log
    self.target = target
  }

  /// A part of the memory.
  func bytes(_ range: Range<Int>) -> JournalBytes {
    // SAFETY: within the memory of this value, which outlives every use of it.
    unsafe JournalBytes(
      UnsafeMutableRawBufferPointer(start: memory.base, count: 2 * halfBytes)
    )[range]
  }

  // MARK: Transactions

  /// Commits ranges of the target, all or none, in the order of commits.
  ///
  /// When it returns, the transaction is on stable storage, and may still be on its way in place:
  /// ``read(into:atBytes:)`` waits for that.
  ///
  /// - Parameters:
  ///   - ranges: Bytes of the target, none over another; multiples of the granule, but for one that
  ///     ends with the file.
  ///   - fill: Stores so many bytes of a range, from a place in it on. Called more than once for a
  ///     transaction longer than memory.
  /// - Throws: ``JournalProblem/exceeds(byteCount:limitBytes:)`` and ``JournalProblem/source``
  ///   before anything was written; ``JournalProblem/log(_:)`` where nobody knows, and what ended
  ///   the journal's work before.
  package mutating func commit(
    _ ranges: [Range<UInt64>],
    fill: (_ memory: UnsafeMutableRawBufferPointer, _ range: Int, _ from: Int)
      throws(JournalProblem) ->
      Void
  ) throws(JournalProblem) {
    if let failure { throw failure.asStopped }
    precondition(isOpen)
    let recordsBytes = try checkedByteCount(ranges)
    if recordsBytes == 0 { return }
    pace.beginCommit()
    do throws(JournalProblem) {
      if recordsBytes > geometry.logEnd - position { try beginLap(isClean: false) }
      if superblock.isClean { try writeSuperblocks { $0.isClean = false } }
      if recordEnds.count == 1 {
        try makeRoom(byteCount: recordBytes(0))
      } else {
        try settle()
        fillsBoth = false
      }
    } catch {
      // Nothing of this one is in the log.
      throw error.asStopped
    }
    // SAFETY: what `fill` stores to is lent to it for the call.
    if recordEnds.count == 1 { unsafe try commitOne(fill) } else { unsafe try commitMany(fill) }
  }

  /// What the records of a transaction will have, which is not begun.
  ///
  /// - Throws: ``JournalProblem/exceeds(byteCount:limitBytes:)`` where the log has no room for it.
  @discardableResult
  mutating func checkedByteCount(_ ranges: [Range<UInt64>]) throws(JournalProblem) -> UInt64 {
    let byteCount = cut(ranges)
    if byteCount <= geometry.logBytes { return byteCount }
    throw .exceeds(byteCount: byteCount, limitBytes: geometry.logBytes)
  }

  /// A transaction of one record: it is written in place together with those before and after it.
  private mutating func commitOne(
    _ fill: (UnsafeMutableRawBufferPointer, Int, Int) throws(JournalProblem) -> Void
  ) throws(JournalProblem) {
    let start = half + halfFilled
    // SAFETY: as above.
    let record = unsafe try build(0, at: start, fill)
    try append(record, at: start, isDurable: rules.flushesRecords)
    // It is done from here on: a failure in place shows with what comes next.
    wait(for: 0, record, at: start)
    halfFilled += record.byteCount
    do throws(JournalProblem) { try send() } catch { failure = error }
    pace.endCommit(byteCount: record.byteCount)
  }

  /// A transaction of several records: none is written in place before all are on stable storage.
  private mutating func commitMany(
    _ fill: (UnsafeMutableRawBufferPointer, Int, Int) throws(JournalProblem) -> Void
  ) throws(JournalProblem) {
    let firstSequence = sequence
    do throws(JournalProblem) {
      for number in recordEnds.indices {
        // SAFETY: as above.
        let record = unsafe try build(number, at: half, fill)
        try append(record, at: half, isDurable: false)
      }
    } catch {
      // Without its end it is none; the next one begins a lap, or else records of this one could be
      // taken for those that it has lost.
      if error == .source, sequence > firstSequence {
        (position, sequence) = (geometry.logEnd, firstSequence)
      }
      throw error
    }
    if rules.flushesRecords { try flushLog() }
    do throws(JournalProblem) {
      for number in recordEnds.indices {
        // SAFETY: as above.
        let record = unsafe try build(number, at: half, fill)
        wait(for: number, record, at: half)
        try turn()
      }
    } catch {
      // What could be read once and not twice is in the log.
      failure = error == .source ? .place(.host(.ioError)) : error
    }
  }

  // MARK: Reading

  /// Waits until everything committed is in place: whoever reads the target finds it there.
  package mutating func settle() throws(JournalProblem) {
    if let failure { throw failure }
    do throws(JournalProblem) {
      if !waiting.isEmpty { try turn() }
      try finish()
    } catch {
      throw fail(error)
    }
  }

  /// One operation, with nothing else on its way by the same storage.
  mutating func perform(
    _ kind: StorageOperation.Kind,
    onLog: Bool,
    _ memory: UnsafeMutableRawPointer,
    _ byteCount: Int,
    at offset: UInt64,
    isDurable: Bool
  ) -> StorageResult {
    var operation = StorageOperation(kind, token: 0)
    operation.isDurable = isDurable
    operation.byteCount = UInt32(byteCount)
    operation.offsetBytes = offset
    // SAFETY: the memory lives until the operation has ended, as it is waited for.
    unsafe operation.memory = memory
    return onLog ? log.perform(operation).result : target.perform(operation).result
  }
}
