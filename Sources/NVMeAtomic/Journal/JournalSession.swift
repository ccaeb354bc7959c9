import LinuxIO
import Synchronization
import SystemPackage

/// Bytes to be committed, as somebody keeps them.
protocol JournalSource: ~Copyable {
  /// Which bytes of the target.
  var ranges: ByteRanges { get }
  /// Stores all of a range, which is one of ``ranges`` or a part of one.
  func copy(
    _ range: Range<UInt64>,
    to memory: UnsafeMutableRawBufferPointer
  ) throws(AtomicWriteError)
}

/// A target that is open together with its journal, for as many threads as like: one commits at a
/// time.
final class JournalSession: Sendable {
  /// What recovery found on opening.
  let recovered: JournalReport
  /// Who keeps transactions whole, and on what assumptions.
  let promise: PathPromise
  /// Ranges are rounded to multiples of it, bytes.
  let granuleBytes: UInt64
  let geometry: JournalGeometry

  private let files: JournalFiles
  private let state: Locked<State>
  /// What open transactions have read or staged.
  private let claims = Locked<[UInt64: ByteRanges]>([:])
  private let transactions = Atomic<UInt64>(0)
  private let queue: JournalQueue

  /// One thread at a time has it, whichever.
  private struct State: ~Copyable, @unchecked Sendable {
    var engine: JournalEngine<RingOrCallStorage>
    /// Of a file as committed; of a block device all of it.
    var sizeBytes: UInt64
    /// Where space was set aside.
    var reserved: ByteRanges
  }

  /// Takes on what ``JournalOpening`` has opened.
  init(
    _ files: JournalFiles,
    _ engine: consuming JournalEngine<RingOrCallStorage>,
    _ geometry: JournalGeometry,
    recovered: JournalReport,
    promise: PathPromise
  ) throws(AtomicWriteError) {
    self.files = files
    self.recovered = recovered
    self.promise = promise
    self.geometry = geometry
    granuleBytes = geometry.granuleBytes
    queue = JournalQueue(
      recordBytes: min(JournalGeometry.longestRecordBytes, geometry.logBytes)
    )
    let size = try files.sizeBytes()
    state = Locked(State(engine: engine, sizeBytes: size, reserved: try files.allocated(size)))
  }

  deinit {
    // Whoever wants to know calls close() first.
    try? close()
  }

  // MARK: Transactions

  /// Commits ranges of any offset and length, all or none.
  func commit(_ source: borrowing some JournalSource & ~Copyable) throws(AtomicWriteError) {
    let staged = source.ranges
    if staged.isEmpty { return }
    for range in staged.all { try check(range) }
    if queue.leadsAtOnce() {
      defer { queue.leave([]) }
      return try commitAlone(source, staged)
    }
    let entry = try JournalQueue.Entry(payload(of: source, staged))
    let group = queue.wait(entry)
    defer { if !group.isEmpty { queue.leave(group) } }
    if entry.payload == nil { return try commitAlone(source, staged) }
    if !group.isEmpty { commitTogether(group) }
    if let error = entry.error { throw error }
  }

  /// Commits whole granules that do not overlap, of a device or within a file, as one group.
  func commitAligned(
    _ ranges: [Range<UInt64>],
    fill: (_ memory: UnsafeMutableRawBufferPointer, _ range: Int, _ from: Int) -> Void
  ) throws(AtomicWriteError) {
    let byteCount = ranges.reduce(0) { $0 + UInt64($1.count) }
    if queue.leadsAtOnce() {
      defer { queue.leave([]) }
      // SAFETY: the memory is lent for the call.
      return unsafe try commitAlone(ranges, fill)
    }
    var payload: JournalQueue.Payload?
    if byteCount <= queue.longestBytes {
      var bytes = try AlignedBuffer(reserving: Int(byteCount))
      // SAFETY: the bytes are lent for the call.
      unsafe bytes.withMutableBytes { bytes in
        var place = 0
        for (index, range) in ranges.enumerated() {
          let end = place + range.count
          unsafe fill(UnsafeMutableRawBufferPointer(rebasing: bytes[place..<end]), index, 0)
          place = end
        }
      }
      payload = JournalQueue.Payload(ranges: ranges, bytes: bytes)
    }
    let entry = JournalQueue.Entry(payload)
    let group = queue.wait(entry)
    defer { if !group.isEmpty { queue.leave(group) } }
    // SAFETY: as above.
    if entry.payload == nil { return unsafe try commitAlone(ranges, fill) }
    if !group.isEmpty { commitTogether(group) }
    if let error = entry.error { throw error }
  }

  /// One whose bytes are taken from where they are.
  private func commitAlone(
    _ source: borrowing some JournalSource & ~Copyable,
    _ staged: ByteRanges
  ) throws(AtomicWriteError) {
    guard let hull = staged.hull else { return }
    try state.withLock { state throws(AtomicWriteError) in
      let end = max(state.sizeBytes, hull.upperBound)
      var units = staged.rounded(toUnit: granuleBytes).all
      // The last one ends with the file.
      if let last = units.last, last.upperBound > end {
        units[units.count - 1] = last.lowerBound..<end
      }
      try checkFits(units, &state.engine)
      try files.reserve(units, &state.reserved)
      // What lies around the ranges in their granules is read from the target.
      if units != staged.all { try Self.settle(&state.engine) }
      var edges = try AlignedBuffer(reserving: units == staged.all ? 0 : Int(granuleBytes))
      var failure: AtomicWriteError?
      do throws(JournalProblem) {
        // SAFETY: the memory is lent for the call.
        unsafe try state.engine.commit(units) { memory, range, from throws(JournalProblem) in
          let begin = units[range].lowerBound + UInt64(from)
          do throws(AtomicWriteError) {
            unsafe try fill(memory, begin, staged, source, &edges)
          } catch {
            failure = error
            throw .source
          }
        }
      } catch {
        throw failure ?? Self.error(error)
      }
      state.sizeBytes = end
    }
  }

  private func commitAlone(
    _ ranges: [Range<UInt64>],
    _ fill: (UnsafeMutableRawBufferPointer, Int, Int) -> Void
  ) throws(AtomicWriteError) {
    try state.withLock { state throws(AtomicWriteError) in
      try checkFits(ranges, &state.engine)
      try files.reserve(ranges, &state.reserved)
      do throws(JournalProblem) {
        // SAFETY: the memory is lent for the call.
        unsafe try state.engine.commit(ranges) { memory, range, from in
          unsafe fill(memory, range, from)
        }
      } catch {
        throw Self.error(error)
      }
    }
  }

  /// Whether the journal has room for a transaction, before space is set aside for it in place.
  private func checkFits(
    _ ranges: [Range<UInt64>],
    _ engine: inout JournalEngine<RingOrCallStorage>
  ) throws(AtomicWriteError) {
    // Short ones always fit, but for the shortest journals.
    let byteCount = ranges.reduce(0) { $0 + UInt64($1.count) }
    if byteCount <= queue.longestBytes / 2 { return }
    do throws(JournalProblem) {
      try engine.checkedByteCount(ranges)
    } catch {
      throw Self.error(error)
    }
  }

  /// A copy for whoever commits it together with others; `nil` for one that is to go alone, as it
  /// is long, or does not consist of whole granules.
  private func payload(
    of source: borrowing some JournalSource & ~Copyable,
    _ staged: ByteRanges
  ) throws(AtomicWriteError) -> JournalQueue.Payload? {
    guard staged.byteCount <= queue.longestBytes,
      staged.rounded(toUnit: granuleBytes).all == staged.all
    else { return nil }
    var bytes = try AlignedBuffer(reserving: Int(staged.byteCount))
    // SAFETY: the bytes are lent for the call.
    unsafe try bytes.withMutableBytes { bytes throws(AtomicWriteError) in
      var place = 0
      for range in staged.all {
        let end = place + range.count
        unsafe try source.copy(
          range,
          to: UnsafeMutableRawBufferPointer(rebasing: bytes[place..<end])
        )
        place = end
      }
    }
    return JournalQueue.Payload(ranges: staged.all, bytes: bytes)
  }

  /// Transactions of several threads, as one: all of them are there after a power failure, or none.
  private func commitTogether(_ group: [JournalQueue.Entry]) {
    state.withLock { state in
      var (owners, places, ranges) = ([JournalQueue.Entry](), [Int](), [Range<UInt64>]())
      for entry in group {
        do throws(AtomicWriteError) {
          try files.reserve(entry.ranges, &state.reserved)
        } catch {
          entry.error = error
          continue
        }
        var place = 0
        for range in entry.ranges {
          owners.append(entry)
          places.append(place)
          ranges.append(range)
          place += range.count
        }
      }
      do throws(JournalProblem) {
        // SAFETY: the memory is lent for the call, and as long as a part of the range.
        unsafe try state.engine.commit(ranges) { memory, range, from in
          unsafe owners[range].copy(places[range] + from, to: memory)
        }
        state.sizeBytes = max(state.sizeBytes, ranges.map(\.upperBound).max() ?? 0)
      } catch {
        for entry in owners { entry.error = Self.error(error) }
      }
    }
  }

  /// How many writes of a length one record has room for, at least 1.
  func mostTogether(byteCount: Int) -> Int {
    let record = min(JournalGeometry.longestRecordBytes, geometry.logBytes)
    return max(1, Int(record) / (byteCount + 32) - 1)
  }

  /// Whether writes of a length, one after the other, are whole granules.
  func checkAligned(_ offset: UInt64, blockBytes: Int) throws(AtomicWriteError) {
    guard UInt64(blockBytes) % granuleBytes == 0 else {
      throw .refused(
        .partialBlock(lengthBytes: UInt64(blockBytes), blockBytes: granuleBytes)
      )
    }
    guard offset % granuleBytes == 0 else {
      throw .refused(.misaligned(offsetBytes: offset, alignmentBytes: granuleBytes))
    }
  }

  /// Fills whole granules: from what is staged, and else from what is there.
  private func fill(
    _ memory: UnsafeMutableRawBufferPointer,
    _ begin: UInt64,
    _ staged: ByteRanges,
    _ source: borrowing some JournalSource & ~Copyable,
    _ edges: inout AlignedBuffer
  ) throws(AtomicWriteError) {
    for (range, isStaged) in staged.pieces(of: begin..<begin + UInt64(memory.count)) {
      let start = Int(range.lowerBound - begin)
      // SAFETY: within the memory, which is lent for the call.
      let place = unsafe UnsafeMutableRawBufferPointer(
        rebasing: memory[start..<start + range.count]
      )
      if isStaged {
        unsafe try source.copy(range, to: place)
      } else {
        // SAFETY: as above.
        unsafe try files.read(range, into: place, granuleBytes, &edges)
      }
    }
  }

  /// Whether a range lies where it may.
  func check(_ range: Range<UInt64>) throws(AtomicWriteError) {
    let end = range.upperBound
    if let size = files.deviceBytes, end > size {
      throw .refused(.beyondEnd(endBytes: end, sizeBytes: size))
    }
    let limit = HostProcess.fileSizeLimitBytes
    if files.deviceBytes == nil, end > limit {
      throw .refused(.exceedsFileSizeLimit(endBytes: end, limitBytes: limit))
    }
    guard let region = files.region else { return }
    if range.rounded(toUnit: granuleBytes).overlaps(region) {
      throw .journal(
        .overlapsRegion(offsetBytes: region.lowerBound, lengthBytes: UInt64(region.count))
      )
    }
  }

  // MARK: Claims

  /// Gives a transaction of this process the granules of a range, until it ends.
  ///
  /// - Throws: ``AtomicWriteError/conflict(offsetBytes:lengthBytes:)`` where another one has any.
  func claim(_ range: Range<UInt64>, for transaction: UInt64) throws(AtomicWriteError) {
    let granules = range.rounded(toUnit: granuleBytes)
    let isFree = claims.withLock { claims in
      for (other, ranges) in claims where other != transaction {
        if ranges.overlaps(granules) { return false }
      }
      claims[transaction, default: ByteRanges()].insert(granules)
      return true
    }
    if !isFree {
      throw .conflict(offsetBytes: range.lowerBound, lengthBytes: UInt64(range.count))
    }
  }

  /// The transaction has ended.
  func release(_ transaction: UInt64) {
    claims.withLock { $0[transaction] = nil }
  }

  /// A number that no other transaction has.
  func newTransaction() -> UInt64 {
    transactions.wrappingAdd(1, ordering: .relaxed).newValue
  }

  // MARK: Reading

  /// What the target has as committed.
  ///
  /// - Returns: How many bytes; fewer where the file ends.
  func read(
    into memory: UnsafeMutableRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) -> Int {
    try state.withLock { state throws(AtomicWriteError) in
      guard offset < state.sizeBytes else { return 0 }
      let count = Int(min(UInt64(memory.count), state.sizeBytes - offset))
      try Self.settle(&state.engine)
      // SAFETY: the memory is the caller's for the call.
      let place = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[..<count])
      let granules = min(UInt64(count).addingOrMax(2 * granuleBytes), 1 << 20)
      var scratch = try AlignedBuffer(
        reserving: Int((0..<granules).rounded(toUnit: granuleBytes).upperBound)
      )
      unsafe try files.read(
        offset..<offset + UInt64(count),
        into: place,
        granuleBytes,
        &scratch
      )
      return count
    }
  }

  /// Whether what is written to the journal is not seen on the target's device.
  var isElsewhere: Bool { files.isJournalElsewhere }

  /// Where what is too much for memory can be kept.
  var spillFolder: String { files.folder }

  /// The number of the next record.
  var nextRecord: UInt64 { state.withLock { $0.engine.sequence } }

  /// Of a file, as committed.
  var sizeBytes: UInt64 { state.withLock { $0.sizeBytes } }

  // MARK: The end

  /// Brings everything in place, and has that on stable storage.
  func checkpoint() throws(AtomicWriteError) {
    try state.withLock { state throws(AtomicWriteError) in
      do throws(JournalProblem) { try state.engine.close() } catch { throw Self.error(error) }
    }
  }

  /// The same; the journal is clean then, and the target free for others.
  func close() throws(AtomicWriteError) {
    try checkpoint()
    files.target.settle()
  }

  private static func settle(
    _ engine: inout JournalEngine<RingOrCallStorage>
  ) throws(AtomicWriteError) {
    do throws(JournalProblem) {
      try engine.settle()
    } catch {
      throw Self.error(error.asStopped)
    }
  }
}
