import LinuxIO
import SystemPackage

/// Keeps writes on their way, by the rules that no storage knows: what overlaps stays in order,
/// what the kernel would join and refuse stays apart, and what is to be durable is told only after
/// a flush that began after its own completion.
///
/// One thread owns it. The memory of a write is the caller's until ``next()`` has told of it.
struct WriteEngine<Storage: AtomicStorage & ~Copyable>: ~Copyable {
  /// What the engine must know of its target beside the storage.
  struct Rules {
    var isAtomic = true
    /// Each write carries `RWF_DSYNC` or FUA.
    var isDurable = false
    /// Writes are durable by flushes that several share.
    var sharesFlushes = false
    /// Neighbours in one batch would be joined and refused.
    var keepsNeighboursApart = false
    /// EAGAIN means that pages or a full queue were in the way. Of a command it is no such word.
    var triesAgain = true
  }

  /// The end of a write.
  struct Ended {
    var slot: Int
    /// `nil` when all of it was written, and is durable where that was asked for.
    var failure: WriteFailure?
  }

  private enum State {
    case free
    /// Pushed since the last batch was handed over.
    case pushed
    case inFlight
    /// To be pushed again: the queue was full, or pages were in the way.
    case postponed
    /// To be pushed again with nothing beside it: it may have been joined with a neighbour.
    case toBeAlone
    /// Completed, but not by a flush yet.
    case written
    /// Completed before the flush began that is on its way.
    case beingFlushed
    /// To be told.
    case ended
  }

  private struct Tries {
    var count: UInt8 = 0
    var isAlone = false
  }

  var storage: Storage
  var rules: Rules
  let depth: Int
  /// How often a write is tried, by itself, whose pages are in use by somebody else.
  static var mostAttempts: UInt8 { 8 }

  private var states: FixedArray<State>
  private var tries: FixedArray<Tries>
  private var operations: FixedArray<StorageOperation>
  private var results: FixedArray<WriteFailure?>
  private var ranges: WriteRanges
  private var freeSlots: FixedArray<Int32>
  private var endedSlots: FixedArray<Int32>
  private var freeCount: Int
  private var endedFirst = 0
  private var endedCount = 0
  /// Pushed or on their way, the flush not counted.
  private var busyCount = 0
  private var postponedCount = 0
  private var aloneCount = 0
  private var writtenCount = 0
  private var isFlushing = false
  /// Writes that were sent again singly after they had been refused together.
  private(set) var resentCount = 0

  private static var flushToken: UInt32 { .max }

  init(_ storage: consuming Storage, _ rules: Rules) {
    depth = storage.depth
    self.storage = storage
    self.rules = rules
    states = FixedArray(repeating: .free, count: depth)
    tries = FixedArray(repeating: Tries(), count: depth)
    operations = FixedArray(repeating: StorageOperation(.flush, token: 0), count: depth)
    results = FixedArray(repeating: nil, count: depth)
    ranges = WriteRanges(slots: depth)
    freeSlots = FixedArray(repeating: 0, count: depth)
    endedSlots = FixedArray(repeating: 0, count: depth)
    for index in 0..<depth { freeSlots[index] = Int32(depth - 1 - index) }
    freeCount = depth
  }

  /// Writes that were begun and not told of.
  var inFlightCount: Int { depth - freeCount }
  /// Whether another write can be begun.
  var hasRoom: Bool { freeCount > 0 }

  // MARK: Beginning

  /// Begins a write that was planned; its slot.
  ///
  /// - Precondition: ``hasRoom``.
  mutating func begin(
    _ memory: UnsafeMutableRawPointer,
    byteCount: Int,
    atBytes offset: UInt64,
    isRegistered: Bool = false
  ) throws(Errno) -> Int {
    precondition(freeCount > 0)
    let end = offset + UInt64(byteCount)
    // What waits to be sent alone would wait for ever.
    while aloneCount > 0 { try advance() }
    try clearTheWay(from: offset, to: end)
    freeCount -= 1
    let slot = Int(freeSlots[freeCount])
    var operation = StorageOperation(rules.isAtomic ? .atomicWrite : .write, token: UInt32(slot))
    operation.isDurable = rules.isDurable
    operation.isRegistered = isRegistered
    operation.byteCount = UInt32(byteCount)
    operation.offsetBytes = offset
    // SAFETY: the caller keeps the memory until the write has ended.
    unsafe operation.memory = memory
    operations[slot] = operation
    tries[slot] = Tries()
    results[slot] = nil
    ranges.set(slot, from: offset, to: end)
    push(slot)
    return slot
  }

  /// Waits for what overlaps, and hands over what would be joined with it.
  private mutating func clearTheWay(from start: UInt64, to end: UInt64) throws(Errno) {
    while ranges.touchesAny(from: start, to: end) {
      var overlaps = false
      var touchesBatch = false
      for slot in 0..<depth where ranges.touches(slot, from: start, to: end) {
        overlaps = overlaps || ranges.overlaps(slot, from: start, to: end)
        touchesBatch = touchesBatch || states[slot] == .pushed
      }
      if overlaps {
        try advance()
        continue
      }
      if touchesBatch, rules.keepsNeighboursApart { try handOver(waitingFor: 0) }
      return
    }
  }

  private mutating func push(_ slot: Int) {
    states[slot] = .pushed
    busyCount += 1
    storage.push(operations[slot])
  }

  private mutating func handOver(waitingFor count: Int) throws(Errno) {
    try storage.submit(waitingFor: count)
    guard rules.keepsNeighboursApart else { return }
    for slot in 0..<depth where states[slot] == .pushed {
      states[slot] = .inFlight
    }
  }

  // MARK: Ending

  /// Waits for the next write to end, in whatever order they do; `nil` when none was begun.
  mutating func next() throws(Errno) -> Ended? {
    while endedCount == 0 {
      if freeCount == depth { return nil }
      try advance()
    }
    let slot = Int(endedSlots[endedFirst])
    endedFirst = endedFirst + 1 == depth ? 0 : endedFirst + 1
    endedCount -= 1
    states[slot] = .free
    freeSlots[freeCount] = Int32(slot)
    freeCount += 1
    return Ended(slot: slot, failure: results[slot])
  }

  /// Whether ``next()`` need not wait.
  var hasEnded: Bool { endedCount > 0 }

  /// Writes, tried again while pages of somebody else or a full queue are in the way.
  ///
  /// - Precondition: Nothing else is on its way.
  mutating func writeAlone(
    _ memory: UnsafeMutableRawPointer,
    byteCount: Int,
    atBytes offset: UInt64
  ) -> StorageResult {
    var operation = StorageOperation(rules.isAtomic ? .atomicWrite : .write, token: 0)
    operation.isDurable = rules.isDurable
    operation.byteCount = UInt32(byteCount)
    operation.offsetBytes = offset
    // SAFETY: the caller's memory lives through the call.
    unsafe operation.memory = memory
    var result = alone(operation)
    var tries: UInt8 = 1
    while isTemporary(result), tries < Self.mostAttempts {
      storage.dropPages(offset: offset, count: UInt64(byteCount))
      if tries > 1 { HostProcess.pause(milliseconds: 2) }
      tries += 1
      result = alone(operation)
    }
    return result
  }

  /// Whether nothing was written, for a reason that passes: pages in the way, a full queue, a
  /// neighbour of another thread that it was joined with in the disk's scheduler.
  private func isTemporary(_ result: StorageResult) -> Bool {
    switch result {
    case .host(.resourceTemporarilyUnavailable): rules.triesAgain
    case .host(.invalidArgument): rules.keepsNeighboursApart
    default: false
    }
  }

  /// Makes durable all that has completed.
  ///
  /// - Precondition: Nothing else is on its way.
  mutating func flush() -> StorageResult {
    alone(StorageOperation(.flush, token: Self.flushToken))
  }

  /// Reads, at most as many bytes as 32 bits can say.
  ///
  /// - Precondition: Nothing else is on its way.
  mutating func readAlone(
    _ memory: UnsafeMutableRawPointer,
    byteCount: Int,
    atBytes offset: UInt64
  ) -> StorageResult {
    var operation = StorageOperation(.read, token: Self.flushToken)
    // SAFETY: the caller's memory lives through the call.
    unsafe operation.memory = memory
    operation.byteCount = UInt32(byteCount)
    operation.offsetBytes = offset
    return alone(operation)
  }

  private mutating func alone(_ operation: StorageOperation) -> StorageResult {
    precondition(busyCount == 0 && !isFlushing)
    storage.push(operation)
    do throws(Errno) {
      try storage.submit(waitingFor: 1)
    } catch {
      return .host(error)
    }
    return storage.next()?.result ?? .host(.ioError)
  }

  /// Takes one step: sends again what was postponed, begins a flush, waits for a completion.
  private mutating func advance() throws(Errno) {
    if collect() { return }
    if aloneCount > 0, busyCount == 0, !isFlushing { pushOneAlone() }
    if postponedCount > 0, aloneCount == 0 { pushPostponed() }
    beginFlush()
    guard busyCount > 0 || isFlushing else { return }
    try handOver(waitingFor: 1)
    _ = collect()
  }

  /// Takes what the storage has to tell; whether that was anything.
  private mutating func collect() -> Bool {
    var isAny = false
    while let completion = storage.next() {
      isAny = true
      if completion.token == Self.flushToken {
        endFlush(completion.result)
      } else {
        complete(Int(completion.token), completion.result)
      }
    }
    return isAny
  }

  private mutating func complete(_ slot: Int, _ result: StorageResult) {
    busyCount -= 1
    let operation = operations[slot]
    if result.isAll(of: Int(operation.byteCount)) {
      guard rules.sharesFlushes else { return end(slot, nil) }
      states[slot] = .written
      writtenCount += 1
      // Others may write there now; only the flush is missing.
      ranges.clear(slot)
      return
    }
    if result == .host(.resourceTemporarilyUnavailable), rules.triesAgain,
      busyCount > 0 || tries[slot].count + 1 < Self.mostAttempts
    {
      // While others are on their way, theirs may be the places that are missing.
      if busyCount == 0 { tries[slot].count += 1 }
      states[slot] = .postponed
      postponedCount += 1
      storage.dropPages(offset: operation.offsetBytes, count: UInt64(operation.byteCount))
      return
    }
    // The plan leaves no other cause: it was joined with a neighbour, and both were refused. Alone
    // here it may still meet a neighbour of another thread in the disk's scheduler.
    if result == .host(.invalidArgument), rules.keepsNeighboursApart,
      tries[slot].count + 1 < Self.mostAttempts
    {
      if tries[slot].isAlone { tries[slot].count += 1 }
      states[slot] = .toBeAlone
      aloneCount += 1
      return
    }
    end(slot, .result(result))
  }

  private mutating func end(_ slot: Int, _ failure: WriteFailure?) {
    states[slot] = .ended
    results[slot] = failure
    ranges.clear(slot)
    let place = endedFirst + endedCount
    endedSlots[place < depth ? place : place - depth] = Int32(slot)
    endedCount += 1
  }

  private mutating func pushPostponed() {
    if busyCount == 0 { HostProcess.pause(milliseconds: 2) }
    for slot in 0..<depth where states[slot] == .postponed {
      postponedCount -= 1
      push(slot)
    }
  }

  private mutating func pushOneAlone() {
    for slot in 0..<depth where states[slot] == .toBeAlone {
      if tries[slot].count > 0 { HostProcess.pause(milliseconds: 2) }
      aloneCount -= 1
      resentCount += 1
      tries[slot].isAlone = true
      return push(slot)
    }
  }

  // MARK: Flushing

  /// One flush at a time, for all that has completed by now: begun once three quarters of the
  /// places wait for it, or nothing else is on its way.
  private mutating func beginFlush() {
    let isEnough = busyCount == 0 || writtenCount * 4 >= depth * 3
    guard !isFlushing, writtenCount > 0, isEnough else { return }
    for slot in 0..<depth where states[slot] == .written {
      states[slot] = .beingFlushed
    }
    writtenCount = 0
    isFlushing = true
    storage.push(StorageOperation(.flush, token: Self.flushToken))
  }

  private mutating func endFlush(_ result: StorageResult) {
    isFlushing = false
    let isDone = result.isAll(of: 0)
    for slot in 0..<depth where states[slot] == .beingFlushed {
      end(slot, isDone ? nil : .flush(result))
    }
  }
}

/// Why a write is not known to have been done.
enum WriteFailure: Error, Equatable {
  /// The kernel or the drive said so.
  case result(StorageResult)
  /// The flush that should have made it durable failed.
  case flush(StorageResult)
}

extension StorageResult {
  /// Whether it is the success of an operation on so many bytes.
  func isAll(of byteCount: Int) -> Bool {
    switch self {
    case .complete: true
    case .bytes(let count): count == byteCount
    case .host, .device: false
    }
  }
}
