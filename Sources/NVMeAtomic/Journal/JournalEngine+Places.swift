import LinuxIO
import SystemPackage

/// Bytes in memory that are to be written in place.
struct JournalPlacement {
  /// In the target, bytes.
  var offsetBytes: UInt64
  /// Where they are in memory.
  var place: Int
  var byteCount: Int

  var range: Range<UInt64> { offsetBytes..<offsetBytes + UInt64(byteCount) }

  /// A part of it.
  func part(_ range: Range<UInt64>) -> JournalPlacement {
    JournalPlacement(
      offsetBytes: range.lowerBound,
      place: place + Int(range.lowerBound - offsetBytes),
      byteCount: range.count
    )
  }
}

/// Writes in place: those of many records together, as the log has them all.
extension JournalEngine where Storage: ~Copyable {
  /// A record is in the log: its bytes wait for the half to be full.
  mutating func wait(for number: Int, _ record: JournalRecord, at start: Int) {
    var place = start + record.headerBytes
    for piece in pieces(ofRecord: number) {
      waiting.append(
        JournalPlacement(
          offsetBytes: piece.offsetBytes,
          place: place,
          byteCount: piece.byteCount
        )
      )
      place += geometry.roundedToGranule(piece.byteCount)
    }
  }

  /// Has room in memory for a record, that of what was written in place before.
  mutating func makeRoom(byteCount: Int) throws(JournalProblem) {
    let isFull = byteCount > (fillsBoth ? 2 * halfBytes : besideBytes) - halfFilled
    // Each lap ends with the longest flush: short ones are timed as a whole.
    let isEnd = isLogShort ? position == geometry.logStart : isFull || isIdle
    if isFull {
      if pace.isOver, isEnd, pace.mayChange { try settle() } else { try turn() }
    }
    if pace.isOver, isEnd { pace.endWindow() }
    if isIdle { (half, fillsBoth) = (0, pace.isAlone) }
  }

  /// Whether memory has room for a whole lap.
  private var isLogShort: Bool { geometry.logBytes <= 2 * UInt64(halfBytes) }

  /// Whether no record waits, nor is any on its way in place.
  private var isIdle: Bool {
    waiting.isEmpty && sentCount == placing.count && freeTokens.count == expected.count
  }

  /// Begins to write in place what waits, once the other half's writes have ended, and goes on in
  /// that half; or writes both in place, and goes on with both.
  mutating func turn() throws(JournalProblem) {
    if rules.keepsOrder { try finish() }
    placing.removeSubrange(..<sentCount)
    sentCount = 0
    addNewest()
    waiting.removeAll(keepingCapacity: true)
    halfFilled = 0
    if fillsBoth {
      if rules.sparesMemory { try finish() } else { try send() }
      return
    }
    half = half == 0 ? halfBytes : 0
    try send()
  }

  /// In ascending order, which spares a disk ways and lets it take neighbours together. Of writes
  /// to one place only the newest counts, so that none lies over another.
  private mutating func addNewest() {
    if !rules.keepsOrder { return placing += waiting }
    // Newer ones lie behind older ones in memory.
    waiting.sort { ($0.offsetBytes, $0.place) < ($1.offsetBytes, $1.place) }
    var first = 0
    while first < waiting.count {
      var (last, end) = (first + 1, waiting[first].range.upperBound)
      while last < waiting.count, waiting[last].offsetBytes < end {
        end = max(end, waiting[last].range.upperBound)
        last += 1
      }
      if last - first == 1 { placing.append(waiting[first]) } else { addNewest(first..<last) }
      first = last
    }
  }

  /// Those that lie over each other.
  private mutating func addNewest(_ numbers: Range<Int>) {
    var covered = ByteRanges()
    for placement in waiting[numbers].sorted(by: { $0.place > $1.place }) {
      for (range, isCovered) in covered.pieces(of: placement.range) where !isCovered {
        placing.append(placement.part(range))
      }
      covered.insert(placement.range)
    }
  }

  /// Sends as many writes as there is room for, and waits for none.
  mutating func send() throws(JournalProblem) {
    guard sentCount < placing.count || freeTokens.count < expected.count else { return }
    push()
    try submit(waitingFor: 0)
    try writeTails()
  }

  /// Waits until nothing is on its way in place.
  mutating func finish() throws(JournalProblem) {
    while sentCount < placing.count || freeTokens.count < expected.count {
      push()
      try submit(waitingFor: freeTokens.count < expected.count ? 1 : 0)
      try writeTails()
    }
    placing.removeAll(keepingCapacity: true)
    sentCount = 0
  }

  /// Hands writes to the storage while it has room.
  private mutating func push() {
    while sentCount < placing.count, tailBytes(placing[sentCount]) == 0,
      let token = freeTokens.popLast()
    {
      push(placing[sentCount], token)
      sentCount += 1
    }
  }

  private mutating func push(_ placement: JournalPlacement, _ token: UInt32) {
    expected[Int(token)] = placement
    var operation = StorageOperation(.write, token: token)
    operation.byteCount = UInt32(placement.byteCount)
    operation.offsetBytes = placement.offsetBytes
    // SAFETY: the memory is not written to before the write has ended.
    unsafe operation.memory = memory.base + placement.place
    target.push(operation)
  }

  /// Bytes at the end of a file that no direct write can write.
  private func tailBytes(_ placement: JournalPlacement) -> Int {
    placement.byteCount & (Int(geometry.granuleBytes) - 1)
  }

  /// Writes the last bytes of a file where they are next; what is whole before them comes after.
  private mutating func writeTails() throws(JournalProblem) {
    while sentCount < placing.count {
      let placement = placing[sentCount]
      let count = tailBytes(placement)
      if count == 0 { return }
      let whole = placement.byteCount - count
      // SAFETY: within the memory of the record.
      let tail = unsafe UnsafeRawBufferPointer(
        start: memory.base + placement.place + whole,
        count: count
      )
      let result = unsafe writeTail(tail, placement.offsetBytes + UInt64(whole))
      guard result.isAll(of: count) else { throw fail(.place(result)) }
      if whole == 0 { sentCount += 1 } else { placing[sentCount].byteCount = whole }
      push()
      try submit(waitingFor: 0)
    }
  }

  /// Hands over what was pushed, and looks at what has ended.
  private mutating func submit(waitingFor count: Int) throws(JournalProblem) {
    do throws(Errno) {
      try target.submit(waitingFor: count)
    } catch {
      throw fail(.place(.host(error)))
    }
    var canceled: [UInt32] = []
    while let ended = target.next() {
      // What the thread has left to kernel threads that sent it ends with it (`io_uring/io-wq.c`).
      if ended.result == .host(.canceled) {
        canceled.append(ended.token)
        continue
      }
      freeTokens.append(ended.token)
      guard ended.result.isAll(of: expected[Int(ended.token)].byteCount) else {
        throw fail(.place(ended.result))
      }
    }
    if canceled.isEmpty { return }
    for token in canceled { push(expected[Int(token)], token) }
    try submit(waitingFor: count > 0 ? 1 : 0)
  }

  @discardableResult
  mutating func fail(_ problem: JournalProblem) -> JournalProblem {
    failure = failure ?? problem
    return problem
  }
}
