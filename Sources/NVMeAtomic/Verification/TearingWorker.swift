import LinuxIO

/// What the threads of one step share.
///
/// Under a ``Monitor``, as the Thread Sanitizer does not see what a `Mutex` orders.
final class TearingShared: @unchecked Sendable {
  /// More than so many of a kind say nothing new.
  private static let mostEvidence = 4

  let step: TearingStep
  let run: UInt64
  let blockBytes: Int
  let slots: [TearingSlot]
  let control: LoadControl

  private struct State {
    var count = TearingCount()
    var evidence: [TearingEvidence] = []
    var failure: (error: AtomicWriteError, offsetBytes: UInt64)?
    var ended = 0
  }
  private let monitor = Monitor()
  /// Only with the monitor's lock.
  private var state = State()

  init(
    _ step: TearingStep,
    run: UInt64,
    blockBytes: UInt64,
    writers: Int,
    _ control: LoadControl
  ) {
    (self.step, self.run, self.control) = (step, run, control)
    self.blockBytes = Int(blockBytes)
    slots = step.offsetsBytes.map { TearingSlot($0..<$0 + step.sizeBytes, writers: writers) }
  }

  var count: TearingCount { monitor.withLock { state.count } }
  var evidence: [TearingEvidence] { monitor.withLock { state.evidence } }
  var ended: Int { monitor.withLock { state.ended } }
  var failure: (error: AtomicWriteError, offsetBytes: UInt64)? {
    monitor.withLock { state.failure }
  }

  func add(_ count: TearingCount) {
    monitor.withLock { state.count.add(count) }
  }

  func add(_ evidence: TearingEvidence) {
    monitor.withLock {
      let alike = state.evidence.count { $0.kind == evidence.kind }
      if alike < Self.mostEvidence { state.evidence.append(evidence) }
    }
  }

  func end() {
    monitor.withLock { state.ended += 1 }
  }

  /// The first failure counts; but one whose outcome is unknown outranks those that wrote nothing.
  func fail(_ error: AtomicWriteError, at offset: UInt64) {
    monitor.withLock {
      let counts = state.failure.map {
        $0.error.outcome == .notWritten && error.outcome == .unknown
      }
      if counts ?? true { state.failure = (error, offset) }
    }
    control.stop()
  }
}

/// One thread of a step.
struct TearingWorker<Access: TearingAccess & ~Copyable>: ~Copyable {
  /// Counts are handed on so often that progress shows.
  private static var batchNanoseconds: UInt64 { 100_000_000 }

  private let shared: TearingShared
  private var access: Access
  private var buffer: AlignedBuffer
  private var moment: TearingSlot.Moment
  private var count = TearingCount()
  private var handedOver: UInt64 = 0
  private var random: SplitMix64

  init(
    _ shared: TearingShared,
    _ access: consuming Access,
    bufferBytes: UInt64,
    writers: Int,
    seed: UInt64
  ) throws(AtomicWriteError) {
    let buffer = try AlignedBuffer(reserving: Int(bufferBytes))
    self.shared = shared
    self.access = access
    self.buffer = buffer
    moment = TearingSlot.Moment(writers: writers)
    random = SplitMix64(seed)
  }

  /// Runs the body over and over, each time with one of the ranges, until the time is over.
  private mutating func loop(
    _ body: (inout Self, TearingSlot) throws(AtomicWriteError) -> Void
  ) {
    guard let deadline = shared.control.waitForBegin() else { return }
    while !shared.control.shouldStop {
      let now = HostProcess.monotonicNanoseconds
      guard now < deadline else { break }
      if now &- handedOver >= Self.batchNanoseconds { hand(over: now) }
      let slot = shared.slots[Int(random.below(UInt64(shared.slots.count)))]
      do throws(AtomicWriteError) {
        try body(&self, slot)
      } catch {
        shared.fail(error, at: slot.range.lowerBound)
        break
      }
    }
    hand(over: 0)
  }

  private mutating func hand(over now: UInt64) {
    shared.add(count)
    count = TearingCount()
    handedOver = now
  }

  // MARK: Writing

  mutating func write(as writer: Int) {
    loop { worker, slot throws(AtomicWriteError) in try worker.write(slot, as: writer) }
  }

  /// All ranges once, so that each block is of some write.
  mutating func fillAll() {
    for slot in shared.slots where !shared.control.shouldStop {
      do throws(AtomicWriteError) {
        try write(slot, as: 0)
      } catch {
        shared.fail(error, at: slot.range.lowerBound)
      }
    }
  }

  private mutating func write(_ slot: TearingSlot, as writer: Int) throws(AtomicWriteError) {
    let number = slot.takeNumber()
    let stamp = shared.stamp(number, at: slot.range.lowerBound, writer)
    let block = shared.blockBytes
    // SAFETY: the bytes are lent for the call.
    unsafe buffer.withMutableBytes { unsafe StampedRange.fill($0, blockBytes: block, stamp) }
    slot.begin(&moment)
    try access.write(
      buffer,
      atBytes: slot.range.lowerBound,
      isOrdinary: shared.step.kind != .path
    )
    let others = slot.end(number, by: writer, moment)
    count.writes += 1
    if others > 0 { count.overlappedWrites += 1 }
  }

  // MARK: Reading

  mutating func read(alignmentBytes: UInt64) {
    let places = (shared.step.sizeBytes - shared.step.readBytes) / alignmentBytes + 1
    loop { worker, slot throws(AtomicWriteError) in
      let offset = slot.range.lowerBound + worker.random.below(places) * alignmentBytes
      let found = try worker.read(slot, at: offset)
      worker.count.reads += 1
      if found.overlaps > 0 { worker.count.overlappedReads += 1 }
      worker.note(found, slot, at: offset)
    }
  }

  /// What is left of all ranges when all writes have ended.
  mutating func checkAll() -> TearingCount {
    for slot in shared.slots {
      do throws(AtomicWriteError) {
        let found = try read(slot, at: slot.range.lowerBound)
        if case .whole(let stamp) = found.verdict, slot.age(of: stamp, moment) == .old { continue }
        note(found, slot, at: slot.range.lowerBound, isAfterAll: true)
      } catch {
        shared.fail(error, at: slot.range.lowerBound)
      }
    }
    return count
  }

  struct Found {
    var verdict: StampedRange.Verdict
    var overlaps: UInt64
  }

  private mutating func read(
    _ slot: TearingSlot,
    at offset: UInt64
  ) throws(AtomicWriteError) -> Found {
    slot.look(&moment)
    try access.read(into: &buffer, atBytes: offset)
    let overlaps = slot.writesSince(moment)
    let (block, run) = (shared.blockBytes, shared.run)
    // SAFETY: the bytes are lent for the call.
    let verdict = unsafe buffer.withMutableBytes {
      unsafe StampedRange.judge($0, blockBytes: block, at: offset, run: run, partOf: slot.range)
    }
    return Found(verdict: verdict, overlaps: overlaps)
  }

  private mutating func note(
    _ found: Found,
    _ slot: TearingSlot,
    at offset: UInt64,
    isAfterAll: Bool = false
  ) {
    let kind: TearingEvidence.Kind
    switch found.verdict {
    case .whole(let stamp):
      switch slot.age(of: stamp, moment) {
      case .old: return count.sawOld += 1
      case .new: return count.sawNew += 1
      case .stale: kind = .stale
      case nil: kind = .foreign
      }
    case .torn: kind = isAfterAll ? .leftTorn : .torn
    case .wrong(_, .damaged): kind = .damaged
    case .blank, .wrong: kind = .foreign
    }
    count.count(kind)
    if kind == .damaged, found.overlaps == 0 { count.damagedAlone += 1 }
    if kind == .foreign, found.overlaps == 0 { count.foreignAlone += 1 }
    if kind == .stale, found.overlaps == 0 { count.staleAlone += 1 }
    shared.add(
      TearingEvidence(
        kind: kind,
        offsetBytes: slot.range.lowerBound,
        sizeBytes: shared.step.sizeBytes,
        readOffsetBytes: offset,
        readBytes: UInt64(buffer.byteCount),
        overlaps: found.overlaps,
        pieces: pieces()
      )
    )
  }

  /// What is in the buffer, neighbours together.
  private mutating func pieces() -> [TearingEvidence.Piece] {
    let (block, run) = (shared.blockBytes, shared.run)
    // SAFETY: the bytes are lent for the call.
    return unsafe buffer.withMutableBytes { memory in
      var pieces: [TearingEvidence.Piece] = []
      for start in stride(from: 0, to: memory.count, by: block) {
        // SAFETY: the subscript checks the bounds.
        let reading = unsafe BlockStamp.read(
          UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + block])
        )
        let piece = TearingEvidence.Piece(reading, run: run)
        if var last = pieces.last, last.isAlike(piece) {
          last.blocks += 1
          pieces[pieces.count - 1] = last
        } else if pieces.count < 64 {
          pieces.append(piece)
        }
      }
      return pieces
    }
  }
}

extension TearingShared {
  func stamp(_ number: UInt64, at offset: UInt64, _ writer: Int) -> BlockStamp {
    BlockStamp(
      run: run,
      sequence: number,
      blockOffset: offset,
      writeOffset: offset,
      writeBytes: UInt32(step.sizeBytes),
      writer: UInt32(writer)
    )
  }
}

extension TearingCount {
  fileprivate mutating func count(_ kind: TearingEvidence.Kind) {
    switch kind {
    case .torn: torn += 1
    case .leftTorn: leftTorn += 1
    case .damaged: damaged += 1
    case .foreign: foreign += 1
    case .stale: stale += 1
    }
  }
}

extension TearingEvidence.Piece {
  fileprivate init(_ reading: BlockStamp.Reading, run: UInt64) {
    self.init(blocks: 1)
    guard case .stamped(let stamp) = reading else { return }
    (sequence, writer, offsetBytes) = (stamp.sequence, stamp.writer, stamp.writeOffset)
    isOwn = stamp.run == run
  }

  fileprivate func isAlike(_ other: Self) -> Bool {
    var other = other
    other.blocks = blocks
    return self == other
  }
}
