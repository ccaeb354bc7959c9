import LinuxIO
import SystemPackage

/// Keeps many atomic writes to one target on their way, by io_uring.
///
/// Each write is planned before any system call, is one `IORING_OP_WRITE` with `RWF_ATOMIC` or one
/// NVMe Write command, and is never split or downgraded. Buffers are taken and always given back.
///
/// Writes that overlap are carried out in the order in which they were submitted. Neighbours are
/// kept out of one batch where the kernel would join and refuse them. With
/// ``Durability/onReturn`` and several places writes either share flushes, each told by ``next()``
/// only after a flush that began after its own end, or each carries `RWF_DSYNC` or FUA: the queue
/// times both and keeps to the faster one. With one place, or strictly, each carries `RWF_DSYNC` or
/// FUA, as it does where nothing below caches writes.
///
/// One task or thread uses it at a time; where it may be handed on to another, as any suspension of
/// an `async` function does, it is not to be made with `staysOnThread`. When it goes, it waits for
/// what is on its way.
public struct AtomicWriteQueue: ~Copyable {
  var engine: WriteEngine<RingStorage>
  // After the engine, so that nothing is on its way when buffers are freed.
  var buffers: InFlightBuffers
  let region: BufferRegion?
  /// Whether the kernel has pinned the region. Where it would not, as for lack of memory that may
  /// be locked or for more than its 1 GiB, commands pin what they send.
  private let isRegistered: Bool
  let isDurable: Bool
  private var admission: WriteAdmission
  // After the engine too, so that it is held and open until nothing is on its way.
  /// What is written to, which other queues and writers may share.
  public let openTarget: AtomicTarget

  /// Makes a queue on a target that is open.
  ///
  /// - Parameters:
  ///   - target: What to write to.
  ///   - depth: How many writes may be on their way, 1 to 4096.
  ///   - durability: When a write that ``next()`` tells of survives a power failure.
  ///   - bufferBytes: Where given, the queue owns so many buffers as it has places, each of so many
  ///     bytes, for ``takeBuffer()``. On the passthrough path they are registered with the ring,
  ///     where the kernel has room for that.
  ///   - isStrict: Refuses writes whose promise would rest on an assumption. Durable ones carry
  ///     `RWF_DSYNC` or FUA each: one that waits for a shared flush is in a cache meanwhile, where
  ///     it is expected, not specified, to stay whole.
  ///   - staysOnThread: Promises that the thread that makes the queue is the only one to use it and
  ///     to let it go, which saves the kernel work (`IORING_SETUP_SINGLE_ISSUER`). On any other
  ///     thread writes fail, and letting it go while writes are on their way ends the process:
  ///     their buffers could never be freed.
  /// - Throws: ``AtomicWriteError/noResources(_:_:)`` where there is no room for ring or buffers;
  ///   nothing was written.
  public init(
    _ target: AtomicTarget,
    depth: Int = 32,
    durability: Durability = .none,
    bufferBytes: Int? = nil,
    isStrict: Bool = false,
    staysOnThread: Bool = false
  ) throws(AtomicWriteError) {
    precondition((1...4096).contains(depth))
    let region = try bufferBytes.map { byteCount throws(AtomicWriteError) in
      try BufferRegion(pieces: depth, pieceByteCount: byteCount)
    }
    var storage = try Self.makeStorage(target, depth, staysOnThread: staysOnThread)
    // The kernel takes no fixed buffers with `RWF_ATOMIC`.
    if let region, target.path == .passthrough {
      // SAFETY: the queue keeps the region longer than the ring.
      isRegistered = unsafe (try? storage.register(region.bytes)) != nil
    } else {
      isRegistered = false
    }
    let rule: WriteEngine<RingStorage>.DurabilityRule =
      if durability == .none {
        .none
      } else if depth > 1, target.gainsByFlushing, !isStrict {
        .faster(window: 4 * depth)
      } else {
        .single
      }
    openTarget = target
    isDurable = durability == .onReturn
    self.region = region
    buffers = InFlightBuffers(places: depth)
    var sharesFlushes = false
    if case .faster = rule { sharesFlushes = true }
    admission = WriteAdmission(
      target,
      durability: durability,
      isStrict: isStrict,
      sharesFlushes: sharesFlushes
    )
    engine = WriteEngine(
      storage,
      .init(
        isAtomic: target.path != .plain,
        durability: rule,
        keepsNeighboursApart: target.losesNeighbours,
        triesAgain: target.path != .passthrough,
        // The queues of other threads are to know at once.
        onFlushFailure: { target.noteFlushFailure($0) }
      )
    )
  }

  private static func makeStorage(
    _ target: AtomicTarget,
    _ depth: Int,
    staysOnThread: Bool
  ) throws(AtomicWriteError) -> RingStorage {
    do throws(Errno) {
      return try RingStorage(target.route, depth: depth, staysOnThread: staysOnThread)
    } catch {
      throw .noResources(.ring, SystemError(error))
    }
  }

  /// Writes that were submitted and not told of yet.
  public var inFlight: Int { engine.inFlightCount }
  /// Writes that the kernel refused beside their neighbours and that were sent again singly.
  public var resentCount: Int { engine.resentCount }
  /// Who keeps the writes of the last length whole; `nil` before the first, and for plain writes.
  public var promise: PathPromise? { admission.promise }

  /// One of the queue's own buffers; `nil` when all are taken, or it has none.
  public mutating func takeBuffer() -> AlignedBuffer? {
    region?.takeOne()
  }

  /// Begins to write the whole buffer at `offset`, all or nothing.
  ///
  /// - Parameters:
  ///   - buffer: Taken, and given back by ``next()`` or with the refusal.
  ///   - offset: Bytes from the begin of the target.
  ///   - tag: Given back with the buffer.
  /// - Returns: `nil` when the write was begun; else why not, and the buffer. Nothing was written.
  /// - Complexity: A system call only where earlier writes are in the way. No allocation for the
  ///   second and further writes of a length.
  public mutating func submit(
    _ buffer: consuming AlignedBuffer,
    atBytes offset: UInt64,
    tag: UInt64 = 0
  ) -> RefusedWrite? {
    let count = buffer.byteCount
    do throws(AtomicWriteError) {
      guard engine.hasRoom else { throw .queueIsFull }
      try admit(offset: offset, byteCount: count)
      let slot = engine.nextSlot
      let isRegistered = isRegistered && buffer.region === region
      do throws(WriteEngine<RingStorage>.BeginFailure) {
        // SAFETY: the buffer is kept until the write has ended.
        try unsafe engine.begin(
          inSlot: slot,
          buffer.base,
          byteCount: count,
          atBytes: offset,
          isRegistered: isRegistered
        )
      } catch {
        throw Self.error(error)
      }
      buffers.put(buffer, tag, at: slot)
      return nil
    } catch {
      return RefusedWrite(buffer: buffer, error: error)
    }
  }

  static func error(_ failure: WriteEngine<RingStorage>.BeginFailure) -> AtomicWriteError {
    switch failure {
    case .ring(let errno): .notWritten(FailureCause(errno))
    case .rangeUnknown: .rangeUnknown
    }
  }

  @inline(always)
  mutating func admit(offset: UInt64, byteCount: Int) throws(AtomicWriteError) {
    try admission.admit(offset: offset, length: UInt64(byteCount))
    try openTarget.check(offset: offset, length: UInt64(byteCount))
  }

  /// Hands over what was submitted, waits for the next write to end, in whatever order they do,
  /// and gives its buffer back; `nil` when none is on its way.
  ///
  /// - Throws: ``AtomicWriteError/outcomeUnknown(_:)`` where io_uring itself fails.
  /// - Complexity: A system call where none has ended yet. No allocation.
  public mutating func next() throws(AtomicWriteError) -> CompletedWrite? {
    guard let ended = try nextInPlace() else { return nil }
    let offset = engine.offset(inSlot: ended.place)
    let tag = buffers[ended.place].tag
    engine.free(ended.place)
    return CompletedWrite(
      buffer: buffers.take(at: ended.place),
      tag: tag,
      offsetBytes: offset,
      error: ended.error
    )
  }

  /// Makes durable what was written before, by whichever writer of the target.
  ///
  /// - Precondition: Nothing is on its way.
  /// - Returns: Whether it is; `nil` where nobody can tell what is below.
  /// - Throws: ``AtomicWriteError/flushFailed(_:)``, and the target then takes no more writes;
  ///   ``AtomicWriteError/refused(_:)`` where a flush is known not to reach what caches.
  @discardableResult
  public mutating func flush() throws(AtomicWriteError) -> Bool? {
    precondition(inFlight == 0)
    return try openTarget.flush { engine.flush() }
  }
}

/// A write that was not begun.
@frozen public struct RefusedWrite: ~Copyable {
  /// The buffer, as it was given.
  public var buffer: AlignedBuffer
  /// Why.
  public let error: AtomicWriteError
}

/// A write that has ended.
@frozen public struct CompletedWrite: ~Copyable {
  /// The buffer, as it was given.
  public var buffer: AlignedBuffer
  /// As it was given.
  public let tag: UInt64
  /// Where in the target.
  public let offsetBytes: UInt64
  /// Why the write is not known to have been done; `nil` when it was.
  public var error: AtomicWriteError?
}
