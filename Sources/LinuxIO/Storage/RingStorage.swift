public import CNVMeAtomic
public import SystemPackage

/// Many operations at a time by io_uring: `IORING_OP_WRITE`, or `IORING_OP_URING_CMD` with
/// `NVME_URING_CMD_IO`.
///
/// Fixed buffers serve commands only: the kernel takes no `RWF_ATOMIC` with them.
@safe public struct RingStorage: AtomicStorage, ~Copyable {
  /// As many as it was made for.
  public let depth: Int
  private let route: OperationRoute
  @usableFromInline let ring: OpaquePointer
  @usableFromInline let completions: nvmeatomic_ring_completions
  @usableFromInline let isCommand: Bool
  /// Flags of an atomic write, and of one that is durable too.
  @usableFromInline let atomicFlags: CInt
  @usableFromInline let durableFlags: CInt
  /// The number of the next completion to tell, and how many are there from it on.
  @usableFromInline var head: UInt32 = 0
  @usableFromInline var ready: UInt32 = 0
  /// Completions told that their places were not given back for.
  @usableFromInline var consumed: UInt32 = 0
  @usableFromInline var inFlightCount: UInt32 = 0

  /// Two to this power operations is what the kernel takes at most (`IORING_MAX_ENTRIES`).
  package static let mostEntries = 32768

  /// Makes a ring for so many operations and one flush.
  ///
  /// - Parameters:
  ///   - route: Where operations go.
  ///   - depth: How many at once.
  ///   - staysOnThread: Whether only this thread will use it, and let it go: any other one is
  ///     refused by the kernel (`EEXIST`). Else threads may hand it on.
  /// - Throws: What `io_uring_setup(2)` and `io_uring_register(2)` do.
  package init(_ route: OperationRoute, depth: Int, staysOnThread: Bool) throws(Errno) {
    precondition((1..<Self.mostEntries).contains(depth))
    var made: OpaquePointer?
    // SAFETY: the shim stores a ring only when it succeeds.
    _ = try kernelValue(
      unsafe nvmeatomic_ring_create(
        UInt32(depth + 1),
        route.namespace != nil,
        staysOnThread,
        &made
      )
    )
    // SAFETY: the ring was just made, and lives until it is destroyed.
    guard let ring = unsafe made else { throw .noMemory }
    let status = unsafe nvmeatomic_ring_register_file(ring, route.descriptor)
    if status < 0 {
      unsafe nvmeatomic_ring_destroy(ring)
      throw Errno(rawValue: -status)
    }
    self.depth = depth
    self.route = route
    isCommand = route.namespace != nil
    atomicFlags = route.writeFlags.union(.atomic).rawValue
    durableFlags = route.writeFlags.union([.atomic, .dataSync]).rawValue
    // SAFETY: the ring is destroyed with its one owner, and its completions with it.
    unsafe self.ring = ring
    unsafe completions = nvmeatomic_ring_completions(ring)
  }

  deinit {
    // SAFETY: made in init, and nobody else has it. What is on its way may still read memory that
    // its owner is about to free.
    let status = unsafe nvmeatomic_ring_drain(ring, consumed &+ ready, inFlightCount)
    // Whoever went on would free memory that the kernel still writes to the target.
    precondition(status == 0, "writes on their way are waited for on the thread that began them")
    unsafe nvmeatomic_ring_destroy(ring)
  }

  /// Pins memory that commands are to be sent from; it outlives the ring.
  package mutating func register(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
    // SAFETY: the region is the caller's, who keeps it.
    _ = try kernelValue(
      unsafe nvmeatomic_ring_register_buffer(ring, memory.baseAddress, memory.count)
    )
  }

  /// Writes an entry into the ring.
  @inlinable
  @inline(always)
  public mutating func push(_ operation: StorageOperation) {
    precondition(enqueue(operation), "more operations than the ring was made for")
    inFlightCount &+= 1
  }

  @inlinable
  @inline(always)
  mutating func enqueue(_ operation: StorageOperation) -> Bool {
    let token = UInt64(operation.token)
    if operation.kind == .atomicWrite, !isCommand {
      // SAFETY: the operation's memory lives until it completes, and has as many bytes.
      return unsafe nvmeatomic_ring_write(
        ring,
        operation.memory,
        operation.byteCount,
        operation.offsetBytes,
        operation.isDurable ? durableFlags : atomicFlags,
        token
      )
    }
    return enqueueOther(operation, token)
  }

  @inline(never)
  @usableFromInline
  mutating func enqueueOther(_ operation: StorageOperation, _ token: UInt64) -> Bool {
    if let namespace = route.namespace {
      // SAFETY: the shim copies the command; its memory lives until it completes.
      var command = unsafe namespace.command(operation)
      return unsafe nvmeatomic_ring_command(ring, &command, operation.isRegistered, token)
    }
    switch operation.kind {
    case .flush:
      // SAFETY: the ring lives as long as this value.
      return unsafe nvmeatomic_ring_synchronize(ring, token)
    case .read:
      // SAFETY: the operation's memory lives until it completes, and has as many bytes.
      return unsafe nvmeatomic_ring_read(
        ring,
        operation.memory,
        operation.byteCount,
        operation.offsetBytes,
        token
      )
    case .write, .atomicWrite:
      let flags = route.flags(operation).rawValue
      // SAFETY: as above.
      return unsafe nvmeatomic_ring_write(
        ring,
        operation.memory,
        operation.byteCount,
        operation.offsetBytes,
        flags,
        token
      )
    }
  }

  /// `io_uring_enter(2)`.
  @inlinable
  public mutating func submit(waitingFor count: Int) throws(Errno) {
    // SAFETY: the ring lives as long as this value.
    let status = unsafe nvmeatomic_ring_turn(
      ring,
      consumed,
      UInt32(truncatingIfNeeded: count)
    )
    consumed = 0
    if status < 0 { throw Errno(rawValue: -status) }
    let now = UInt32(bitPattern: status)
    inFlightCount &-= now &- ready
    ready = now
  }

  /// Reads an entry where the kernel has put it.
  @inlinable
  @inline(always)
  public mutating func next() -> StorageCompletion? {
    if ready == 0 { return nil }
    // SAFETY: the kernel has written the entry, and writes it again once it was given back.
    let completion = unsafe completions.entries[Int((head & completions.mask) << completions.shift)]
    head &+= 1
    ready &-= 1
    consumed &+= 1
    return StorageCompletion(
      token: UInt32(truncatingIfNeeded: completion.token),
      value: completion.result,
      isCommand: isCommand
    )
  }

  /// `posix_fadvise(3)`.
  public func dropPages(offset: UInt64, count: UInt64) {
    route.dropPages(offset: offset, count: count)
  }
}
