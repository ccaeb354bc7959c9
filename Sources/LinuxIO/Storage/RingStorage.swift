import CNVMeAtomic
package import SystemPackage

/// Many operations at a time by io_uring: `IORING_OP_WRITE`, or `IORING_OP_URING_CMD` with
/// `NVME_URING_CMD_IO`. To be made on the thread that uses it.
///
/// Fixed buffers serve commands only: the kernel takes no `RWF_ATOMIC` with them.
@safe package struct RingStorage: AtomicStorage, ~Copyable {
  package let depth: Int
  private let route: OperationRoute
  private let ring: OpaquePointer
  private let completions: UnsafeMutableBufferPointer<nvmeatomic_ring_completion>
  private let isCommand: Bool
  /// Flags of an atomic write, and of one that is durable too.
  private let atomicFlags: CInt
  private let durableFlags: CInt
  /// Completions in the array, those already told of among them.
  private var taken = 0
  private var told = 0
  private var inFlightCount = 0

  /// Two to this power operations is what the kernel takes at most (`IORING_MAX_ENTRIES`).
  package static let mostEntries = 32768

  /// Makes a ring for so many operations and one flush.
  package init(_ route: OperationRoute, depth: Int) throws(Errno) {
    precondition((1..<Self.mostEntries).contains(depth))
    var made: OpaquePointer?
    // SAFETY: the shim stores a ring only when it succeeds.
    _ = try kernelValue(
      unsafe nvmeatomic_ring_create(UInt32(depth + 1), route.namespace != nil, &made)
    )
    guard let ring = unsafe made else { throw .noMemory }
    // SAFETY: the ring was just made, and lives until it is destroyed.
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
    // SAFETY: the array is initialised at once, and both are freed with their one owner.
    unsafe self.ring = ring
    unsafe completions = .allocate(capacity: depth + 1)
    unsafe completions.initialize(repeating: nvmeatomic_ring_completion())
  }

  deinit {
    // SAFETY: made and allocated in init, and nobody else has them. What is on its way may still
    // read memory that its owner is about to free.
    unsafe nvmeatomic_ring_drain(ring, UInt32(inFlightCount))
    unsafe nvmeatomic_ring_destroy(ring)
    unsafe completions.deallocate()
  }

  /// Pins memory that commands are to be sent from; it outlives the ring.
  package mutating func register(_ memory: UnsafeMutableRawBufferPointer) throws(Errno) {
    // SAFETY: the region is the caller's, who keeps it.
    _ = try kernelValue(
      unsafe nvmeatomic_ring_register_buffer(ring, memory.baseAddress, memory.count)
    )
  }

  package mutating func push(_ operation: StorageOperation) {
    precondition(enqueue(operation), "more operations than the ring was made for")
    inFlightCount &+= 1
  }

  @inline(__always)
  private mutating func enqueue(_ operation: StorageOperation) -> Bool {
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
  private mutating func enqueueOther(_ operation: StorageOperation, _ token: UInt64) -> Bool {
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

  package mutating func submit(waitingFor count: Int) throws(Errno) {
    // Without this the array would fill up where nobody asks again after the last completion.
    if told == taken { (told, taken) = (0, 0) }
    // SAFETY: the array has as many places as the ring has entries, and the ring lives as long as
    // this value.
    let status = unsafe nvmeatomic_ring_turn(
      ring,
      Int32(truncatingIfNeeded: count &- (taken &- told)),
      completions.baseAddress.unsafelyUnwrapped + taken,
      UInt32(truncatingIfNeeded: completions.count &- taken)
    )
    if status < 0 { throw Errno(rawValue: -status) }
    taken &+= Int(status)
    inFlightCount &-= Int(status)
  }

  package mutating func next() -> StorageCompletion? {
    if told == taken {
      (told, taken) = (0, 0)
      return nil
    }
    // SAFETY: `told` is below `taken`, which is at most the array's count.
    let completion = unsafe completions[told]
    told += 1
    return StorageCompletion(
      token: UInt32(truncatingIfNeeded: completion.token),
      value: completion.result,
      isCommand: isCommand
    )
  }

  package func dropPages(offset: UInt64, count: UInt64) {
    route.dropPages(offset: offset, count: count)
  }
}
