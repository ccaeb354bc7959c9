package import LinuxIO
package import SystemPackage

/// Keeps writes on their way, by the rules that no storage knows: what overlaps stays in order,
/// what the kernel would join and refuse stays apart, and what is to be durable is told only after
/// a flush that began after its own completion.
///
/// One thread owns it. The memory of a write is the caller's until ``next()`` has told of it.
package struct WriteEngine<Storage: AtomicStorage & ~Copyable>: ~Copyable {
  /// What the engine must know of its target beside the storage.
  package struct Rules {
    /// Whether each write is to be whole.
    package var isAtomic = true
    package var durability = DurabilityRule.none
    /// Neighbours in one batch would be joined and refused.
    var keepsNeighboursApart = false
    /// EAGAIN means that pages or a full queue were in the way. Of a command it is no such word.
    var triesAgain = true
    /// Nanoseconds by which flushes are chosen; `nil` for the machine's clock.
    var clock: (() -> UInt64)?
    /// Waits so many milliseconds.
    var pause: (UInt32) -> Void
    /// Called at once when a flush fails, before the writes that rested on it are told.
    var onFlushFailure: ((StorageResult) -> Void)?

    package init(
      isAtomic: Bool = true,
      durability: DurabilityRule = .none,
      keepsNeighboursApart: Bool = false,
      triesAgain: Bool = true,
      clock: (() -> UInt64)? = nil,
      pause: @escaping (UInt32) -> Void = { HostProcess.pause(milliseconds: $0) },
      onFlushFailure: ((StorageResult) -> Void)? = nil
    ) {
      self.clock = clock
      self.pause = pause
      self.onFlushFailure = onFlushFailure
      self.isAtomic = isAtomic
      self.durability = durability
      self.keepsNeighboursApart = keepsNeighboursApart
      self.triesAgain = triesAgain
    }
  }

  /// How writes become durable before they are told.
  package enum DurabilityRule: Sendable {
    case none
    /// Each write carries `RWF_DSYNC` or FUA.
    case single
    /// By flushes that several share.
    case shared
    /// By what is faster. So many writes are timed together.
    case faster(window: Int)
  }

  /// The end of a write.
  package struct Ended {
    package var slot: Int
    /// `nil` when all of it was written, and is durable where that was asked for.
    package var failure: WriteFailure?
  }

  /// Why a write was not begun.
  package enum BeginFailure: Error {
    /// io_uring itself failed.
    case ring(Errno)
    /// A write to the same bytes has failed, and was not told of yet.
    case rangeUnknown
  }

  enum State {
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
    /// To be told, or told and free.
    case ended
  }

  /// A write that was begun.
  struct Place {
    var operation = StorageOperation(.flush, token: 0)
    var state = State.ended
    /// Whether it is to be told only after a flush.
    var needsFlush = false
    /// Whether anything below is not as at first.
    var isSpoilt = false
    /// How often it was tried in vain, by itself.
    var tries: UInt8 = 0
    /// Whether it was sent again with nothing beside it.
    var wasAlone = false
    var failure: WriteFailure?

    /// Makes it ready for another write.
    mutating func forget() {
      (isSpoilt, tries, wasAlone, failure) = (false, 0, false, nil)
    }
  }

  var storage: Storage
  var rules: Rules
  let depth: Int
  /// How often a write is tried, by itself, whose pages are in use by somebody else.
  static var mostAttempts: UInt8 { 12 }

  private var places: FixedArray<Place>
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
  private var choice: FlushChoice?
  /// Why a flush failed: what should have rested on this one or a later one is not known.
  private var flushFailure: StorageResult?
  /// Writes that have failed and were not told of yet.
  private var untoldFailureCount = 0
  /// Writes that were sent again singly after they had been refused together.
  private(set) var resentCount = 0

  private static var flushToken: UInt32 { .max }

  package init(_ storage: consuming Storage, _ rules: Rules) {
    depth = storage.depth
    self.storage = storage
    self.rules = rules
    places = FixedArray(repeating: Place(), count: depth)
    ranges = WriteRanges(slots: depth)
    freeSlots = FixedArray(repeating: 0, count: depth)
    endedSlots = FixedArray(repeating: 0, count: depth)
    for slot in 0..<depth {
      freeSlots[slot] = Int32(depth - 1 - slot)
      places[slot].operation = StorageOperation(
        rules.isAtomic ? .atomicWrite : .write,
        token: UInt32(slot)
      )
    }
    freeCount = depth
    switch rules.durability {
    case .none: break
    case .single: setFlushSharing(false)
    case .shared: setFlushSharing(true)
    case .faster(let window):
      choice = FlushChoice(
        window: window,
        nanoseconds: rules.clock?() ?? HostProcess.monotonicNanoseconds
      )
      setFlushSharing(true)
    }
  }

  /// Writes that were begun and not told of.
  package var inFlightCount: Int { depth - freeCount }
  /// Whether another write can be begun.
  package var hasRoom: Bool { freeCount > 0 }

  // MARK: Beginning

  /// Begins a write that was planned, in ``nextSlot``.
  ///
  /// - Precondition: ``hasRoom``.
  @inline(always)
  package mutating func begin(
    inSlot slot: Int,
    _ memory: UnsafeMutableRawPointer,
    byteCount: Int,
    atBytes offset: UInt64,
    isRegistered: Bool = false
  ) throws(BeginFailure) {
    precondition(slot == nextSlot)
    try claim(from: offset, to: offset + UInt64(byteCount), forSlot: slot)
    freeCount &-= 1
    places[slot].operation.isRegistered = isRegistered
    places[slot].operation.byteCount = UInt32(byteCount)
    places[slot].operation.offsetBytes = offset
    // SAFETY: the caller keeps the memory until the write has ended.
    unsafe places[slot].operation.memory = memory
    push(slot)
  }

  /// Begins the write that ``nextKept()`` told of last once more, elsewhere.
  @inline(always)
  mutating func beginAgain(_ slot: Int, atBytes offset: UInt64) throws(BeginFailure) {
    let end = offset + UInt64(places[slot].operation.byteCount)
    try claim(from: offset, to: end, forSlot: slot)
    places[slot].operation.offsetBytes = offset
    push(slot)
  }

  @inline(always)
  private mutating func claim(
    from start: UInt64,
    to end: UInt64,
    forSlot slot: Int
  ) throws(BeginFailure) {
    if aloneCount | untoldFailureCount != 0 { try settle(from: start, to: end) }
    if choice != nil { chooseFlushing(forSlot: slot) }
    if ranges.setLonely(slot, start, end, neighboursToo: rules.keepsNeighboursApart) { return }
    try clearTheWay(from: start, to: end)
    ranges.set(slot, from: start, to: end)
  }

  /// Waits for what is to be sent alone, which would wait for ever, and refuses what overlaps a
  /// write that has failed: who begins it does not know yet. No slot becomes free by that.
  @inline(never)
  private mutating func settle(from start: UInt64, to end: UInt64) throws(BeginFailure) {
    while aloneCount > 0 { try waitForOne() }
    for slot in 0..<depth where places[slot].failure != nil && places[slot].state == .ended {
      let operation = places[slot].operation
      let last = operation.offsetBytes + UInt64(operation.byteCount)
      if operation.offsetBytes < end, last > start { throw .rangeUnknown }
    }
  }

  private mutating func waitForOne() throws(BeginFailure) {
    do throws(Errno) { try step() } catch { throw .ring(error) }
  }

  /// Waits for what overlaps, and hands over what would be joined with it.
  @inline(never)
  private mutating func clearTheWay(from start: UInt64, to end: UInt64) throws(BeginFailure) {
    while true {
      var overlaps = false
      var touchesBatch = false
      for slot in 0..<depth where ranges.touches(slot, from: start, to: end) {
        overlaps = overlaps || ranges.overlaps(slot, from: start, to: end)
        touchesBatch = touchesBatch || places[slot].state == .pushed
      }
      if overlaps {
        try waitForOne()
        continue
      }
      if untoldFailureCount > 0 { try settle(from: start, to: end) }
      guard touchesBatch, rules.keepsNeighboursApart else { return }
      do throws(Errno) { try handOver(waitingFor: 0) } catch { throw .ring(error) }
      return
    }
  }

  @inline(always)
  private mutating func push(_ slot: Int) {
    places[slot].state = .pushed
    busyCount &+= 1
    storage.push(places[slot].operation)
  }

  private mutating func handOver(waitingFor count: Int) throws(Errno) {
    try storage.submit(waitingFor: count)
    guard rules.keepsNeighboursApart else { return }
    for slot in 0..<depth where places[slot].state == .pushed {
      places[slot].state = .inFlight
    }
  }

  // MARK: Ending

  /// Waits for the next write to end, in whatever order they do; `nil` when none was begun.
  @inline(always)
  package mutating func next() throws(Errno) -> Ended? {
    let ended = try nextKept()
    if let ended { free(ended.slot) }
    return ended
  }

  /// The same, for who begins the next write in the same slot, or frees it, before anything else.
  @inline(always)
  mutating func nextKept() throws(Errno) -> Ended? {
    while endedCount == 0 {
      guard let completion = storage.next() else {
        if freeCount == depth { return nil }
        try advance()
        continue
      }
      if let slot = wholeAlready(completion) { return Ended(slot: slot, failure: nil) }
      take(completion)
    }
    let slot = Int(endedSlots[endedFirst])
    endedFirst = endedFirst + 1 == depth ? 0 : endedFirst + 1
    endedCount -= 1
    guard places[slot].isSpoilt else { return Ended(slot: slot, failure: nil) }
    defer { places[slot].forget() }
    if places[slot].failure != nil { untoldFailureCount -= 1 }
    return Ended(slot: slot, failure: places[slot].failure)
  }

  /// The slot of a write that has ended well and waits for nothing, the most common of all ends:
  /// told at once, as all before it were.
  @inline(always)
  private mutating func wholeAlready(_ completion: StorageCompletion) -> Int? {
    guard completion.token != Self.flushToken else { return nil }
    let slot = Int(completion.token)
    guard completion.isAll(of: places[slot].operation.byteCount),
      !places[slot].isSpoilt, !places[slot].needsFlush
    else { return nil }
    busyCount &-= 1
    ranges.clear(slot)
    places[slot].state = .ended
    return slot
  }

  @inline(always)
  mutating func free(_ slot: Int) {
    freeSlots[freeCount] = Int32(truncatingIfNeeded: slot)
    freeCount &+= 1
  }

  /// The slot of the next write to begin.
  ///
  /// - Precondition: ``hasRoom``.
  package var nextSlot: Int { Int(freeSlots[freeCount - 1]) }

  /// Where the write in a slot begins, or began.
  func offset(inSlot slot: Int) -> UInt64 { places[slot].operation.offsetBytes }

  /// Whether it carries `RWF_DSYNC` or FUA.
  func isDurable(inSlot slot: Int) -> Bool { places[slot].operation.isDurable }

  /// How long it is.
  func byteCount(inSlot slot: Int) -> Int { Int(places[slot].operation.byteCount) }

  /// The bytes of the write in a slot.
  func memory(inSlot slot: Int) -> UnsafeMutableRawPointer? {
    // SAFETY: whoever began the write keeps them until it has ended.
    unsafe places[slot].operation.memory
  }

  /// Writes, tried again while pages of somebody else or a full queue are in the way.
  ///
  /// - Precondition: Nothing else is on its way.
  @inline(always)
  mutating func writeAlone(
    _ memory: UnsafeMutableRawPointer,
    byteCount: Int,
    atBytes offset: UInt64,
    isDurable: Bool = false
  ) -> WriteFailure? {
    var operation = StorageOperation(rules.isAtomic ? .atomicWrite : .write, token: 0)
    operation.isDurable = isDurable
    operation.byteCount = UInt32(byteCount)
    operation.offsetBytes = offset
    // SAFETY: the caller's memory lives through the call.
    unsafe operation.memory = memory
    precondition(busyCount == 0 && !isFlushing)
    let completion = storage.perform(operation)
    if completion.isAll(of: operation.byteCount) { return nil }
    return again(operation, after: completion.result)
  }

  /// Tries a single write again as long as that may help; why it did not.
  @inline(never)
  private mutating func again(
    _ operation: StorageOperation,
    after first: StorageResult
  ) -> WriteFailure? {
    var result = first
    var tries: UInt8 = 1
    while isTemporary(result), tries < Self.mostAttempts {
      if tries > 1 { pause(beforeTry: tries) }
      storage.dropPages(offset: operation.offsetBytes, count: UInt64(operation.byteCount))
      tries += 1
      result = alone(operation)
    }
    return result.isAll(of: Int(operation.byteCount)) ? nil : .result(result)
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
  package mutating func flush() -> StorageResult {
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
    return storage.perform(operation).result
  }

  /// Takes what has ended; where that is nothing, waits for something to end.
  private mutating func step() throws(Errno) {
    if collect() { return }
    try advance()
    _ = collect()
  }

  /// Sends again what was postponed, begins a flush, and waits for a completion.
  ///
  /// - Precondition: The storage has nothing to tell.
  @inline(always)
  private mutating func advance() throws(Errno) {
    if aloneCount | postponedCount != 0 {
      if aloneCount > 0, busyCount == 0, !isFlushing { pushOneAlone() }
      if postponedCount > 0, aloneCount == 0 { pushPostponed() }
    }
    if writtenCount > 0 { beginFlush() }
    guard busyCount > 0 || isFlushing else { return }
    try handOver(waitingFor: 1)
  }

  /// Takes what the storage has to tell; whether that was anything.
  private mutating func collect() -> Bool {
    var isAny = false
    while let completion = storage.next() {
      take(completion)
      isAny = true
    }
    return isAny
  }

  @inline(never)
  private mutating func take(_ completion: StorageCompletion) {
    if completion.token == Self.flushToken {
      endFlush(completion.result)
    } else {
      complete(completion)
    }
  }

  private mutating func complete(_ completion: StorageCompletion) {
    let slot = Int(completion.token)
    busyCount -= 1
    ranges.clear(slot)
    if completion.isAll(of: places[slot].operation.byteCount) {
      guard places[slot].needsFlush else { return end(slot, nil) }
      if let flushFailure { return end(slot, .flush(flushFailure)) }
      // Others may write there now; only the flush is missing.
      places[slot].state = .written
      writtenCount += 1
      return
    }
    completeInVain(slot, completion.result)
  }

  /// Sends it again where nothing was written for a reason that passes, or ends it.
  private mutating func completeInVain(_ slot: Int, _ result: StorageResult) {
    places[slot].isSpoilt = true
    let operation = places[slot].operation
    let start = operation.offsetBytes
    defer {
      // What overlaps keeps waiting for what is to be sent again.
      if places[slot].state != .ended {
        ranges.set(slot, from: start, to: start + UInt64(operation.byteCount))
      }
    }
    if result == .host(.resourceTemporarilyUnavailable), rules.triesAgain,
      places[slot].tries + 1 < Self.mostAttempts
    {
      places[slot].state = .postponed
      postponedCount += 1
      return
    }
    // The plan leaves no other cause: it was joined with a neighbour, and both were refused. Alone
    // here it may still meet a neighbour of another thread in the disk's scheduler.
    if result == .host(.invalidArgument), rules.keepsNeighboursApart,
      places[slot].tries + 1 < Self.mostAttempts
    {
      if places[slot].wasAlone { places[slot].tries += 1 }
      places[slot].state = .toBeAlone
      aloneCount += 1
      return
    }
    if operation.isDurable, result.mayBeOfAFlush { failFlush(result) }
    end(slot, .result(result))
  }

  private mutating func end(_ slot: Int, _ failure: WriteFailure?) {
    places[slot].state = .ended
    if let failure {
      (places[slot].failure, places[slot].isSpoilt) = (failure, true)
      untoldFailureCount += 1
    }
    let place = endedFirst + endedCount
    endedSlots[place < depth ? place : place - depth] = Int32(slot)
    endedCount += 1
  }

  private mutating func pushPostponed() {
    // While others are on their way, theirs may be the places that are missing: that counts not.
    if busyCount == 0 {
      var tries: UInt8 = 1
      for slot in 0..<depth where places[slot].state == .postponed {
        places[slot].tries += 1
        tries = max(tries, places[slot].tries)
      }
      pause(beforeTry: tries)
    }
    for slot in 0..<depth where places[slot].state == .postponed {
      postponedCount -= 1
      let operation = places[slot].operation
      // Not sooner: a reader brings them back while one waits.
      storage.dropPages(offset: operation.offsetBytes, count: UInt64(operation.byteCount))
      push(slot)
    }
  }

  /// Each time longer up to a quarter of a second, 1.5 seconds in all: a busy reader of the same
  /// pages lets go of them only for moments, and not often where the machine is slow.
  private func pause(beforeTry tries: UInt8) {
    rules.pause(1 << UInt32(min(tries, 8)))
  }

  private mutating func pushOneAlone() {
    for slot in 0..<depth where places[slot].state == .toBeAlone {
      if places[slot].tries > 0 { pause(beforeTry: places[slot].tries) }
      aloneCount -= 1
      resentCount += 1
      places[slot].wasAlone = true
      return push(slot)
    }
  }

  // MARK: Flushing

  /// How the write in a slot becomes durable.
  private mutating func setFlushSharing(_ sharesFlushes: Bool, forSlot slot: Int) {
    places[slot].needsFlush = sharesFlushes
    places[slot].operation.isDurable = !sharesFlushes
  }

  private mutating func setFlushSharing(_ sharesFlushes: Bool) {
    for slot in 0..<depth { setFlushSharing(sharesFlushes, forSlot: slot) }
  }

  /// How the write that is about to begin becomes durable.
  @inline(never)
  private mutating func chooseFlushing(forSlot slot: Int) {
    guard var choice else { return }
    if choice.endsWindow() {
      choice.endWindow(nanoseconds: rules.clock?() ?? HostProcess.monotonicNanoseconds)
    }
    setFlushSharing(choice.sharesFlushes, forSlot: slot)
    self.choice = choice
  }

  /// One flush at a time, for all that has completed by now: begun once nothing else is on its way,
  /// as a flush that takes long should serve as many as it can, or at once where writes do not wait
  /// for flushes any more.
  private mutating func beginFlush() {
    let isEnough = busyCount == 0 || choice?.sharesFlushes == false
    guard !isFlushing, isEnough else { return }
    for slot in 0..<depth where places[slot].state == .written {
      places[slot].state = .beingFlushed
    }
    writtenCount = 0
    isFlushing = true
    storage.push(StorageOperation(.flush, token: Self.flushToken))
  }

  private mutating func endFlush(_ result: StorageResult) {
    isFlushing = false
    if !result.isAll(of: 0) { failFlush(result) }
    // Or another one has failed since it began.
    let failure = flushFailure.map { WriteFailure.flush($0) }
    for slot in 0..<depth where places[slot].state == .beingFlushed { end(slot, failure) }
  }

  /// A later flush that succeeds says nothing of what was written before this one failed.
  private mutating func failFlush(_ result: StorageResult) {
    flushFailure = result
    rules.onFlushFailure?(result)
    writtenCount = 0
    for slot in 0..<depth where places[slot].state == .written { end(slot, .flush(result)) }
  }
}

/// Why a write is not known to have been done.
package enum WriteFailure: Error, Equatable {
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

extension StorageResult {
  /// Whether a write that was to be durable at once may have failed in the flush after it, and so
  /// for others too. A command's own FUA is no flush.
  fileprivate var mayBeOfAFlush: Bool {
    switch self {
    case .host(let errno): ![.invalidArgument, .resourceTemporarilyUnavailable].contains(errno)
    case .bytes, .complete, .device: false
    }
  }
}

extension StorageCompletion {
  /// Whether it is the success of an operation on so many bytes.
  @inline(always)
  func isAll(of byteCount: UInt32) -> Bool {
    value == (isCommand ? 0 : Int32(bitPattern: byteCount))
  }
}
