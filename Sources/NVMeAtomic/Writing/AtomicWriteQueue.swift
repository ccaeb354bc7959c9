import LinuxIO
import SystemPackage

/// Keeps many atomic writes to one target on their way, by io_uring, from one thread.
///
/// Each write is planned before any system call, is one `IORING_OP_WRITE` with `RWF_ATOMIC` or one
/// NVMe Write command, and is never split or downgraded. Buffers are taken and always given back.
///
/// Writes that overlap are carried out in the order in which they were submitted. Neighbours are
/// kept out of one batch where the kernel would join and refuse them. With
/// ``Durability/onReturn`` and several places writes either share flushes, each told by ``next()``
/// only after a flush that began after its own end, or each carries `RWF_DSYNC` or FUA: the queue
/// times both and keeps to the faster one. With one place each carries `RWF_DSYNC` or FUA, as it
/// does where nothing below caches writes.
///
/// To be made on the thread that uses it. When it goes, it waits for what is on its way.
public struct AtomicWriteQueue: ~Copyable {
  /// What is written to, which other queues and writers may share.
  public let openTarget: AtomicTarget
  var engine: WriteEngine<RingStorage>
  // After the engine, so that nothing is on its way when buffers are freed.
  var buffers: InFlightBuffers
  let region: BufferRegion?
  private var admission: WriteAdmission

  /// Makes a queue on a target that is open.
  ///
  /// - Parameters:
  ///   - target: What to write to.
  ///   - depth: How many writes may be on their way, 1 to 4096.
  ///   - durability: When a write that ``next()`` tells of survives a power failure.
  ///   - bufferBytes: Where given, the queue owns so many buffers as it has places, each of so many
  ///     bytes, for ``takeBuffer()``. On the passthrough path they are registered with the ring.
  ///   - isStrict: Refuses writes whose promise would rest on an assumption.
  /// - Throws: ``AtomicWriteError/notWritten(_:)`` where the kernel has no room for the ring.
  public init(
    _ target: AtomicTarget,
    depth: Int = 32,
    durability: Durability = .none,
    bufferBytes: Int? = nil,
    isStrict: Bool = false
  ) throws(AtomicWriteError) {
    precondition((1...4096).contains(depth))
    let region = bufferBytes.map { BufferRegion(pieces: depth, pieceByteCount: $0) }
    // The kernel takes no fixed buffers with `RWF_ATOMIC`.
    let storage = try Self.makeStorage(
      target,
      depth,
      registering: target.path == .passthrough ? region : nil
    )
    let rule: WriteEngine<RingStorage>.DurabilityRule =
      if durability == .none {
        .none
      } else if depth > 1, target.gainsByFlushing {
        .faster(window: 4 * depth)
      } else {
        .single
      }
    openTarget = target
    self.region = region
    buffers = InFlightBuffers(places: depth)
    admission = WriteAdmission(target, durability: durability, isStrict: isStrict)
    engine = WriteEngine(
      storage,
      .init(
        isAtomic: target.path != .plain,
        durability: rule,
        keepsNeighboursApart: target.losesNeighbours,
        triesAgain: target.path != .passthrough
      )
    )
  }

  private static func makeStorage(
    _ target: AtomicTarget,
    _ depth: Int,
    registering region: BufferRegion?
  ) throws(AtomicWriteError) -> RingStorage {
    do throws(Errno) {
      var storage = try RingStorage(target.route, depth: depth)
      // SAFETY: the queue keeps the region longer than the ring.
      if let region { unsafe try storage.register(region.bytes) }
      return storage
    } catch {
      throw .notWritten(FailureCause(error))
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
      let isRegistered = region != nil && buffer.region === region
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
  /// - Throws: ``AtomicWriteError/flushFailed(_:)``; the target then takes no more writes.
  public mutating func flush() throws(AtomicWriteError) {
    precondition(inFlight == 0)
    try openTarget.check(flush: engine.flush())
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
