public import CNVMeAtomic
public import SystemPackage

/// One operation at a time, each one system call: `pwritev2(2)`, `pread(2)`, `fdatasync(2)`, or
/// `ioctl(2)` with `NVME_IOCTL_IO64_CMD`. Nothing is repeated.
public struct SyscallStorage: AtomicStorage, ~Copyable {
  private let route: OperationRoute
  @usableFromInline let descriptor: CInt
  @usableFromInline let isCommand: Bool
  /// Flags of an atomic write, and of one that is durable too.
  @usableFromInline let atomicFlags: CInt
  @usableFromInline let durableFlags: CInt
  private var completion: StorageCompletion?

  package init(_ route: OperationRoute) {
    self.route = route
    descriptor = route.descriptor
    isCommand = route.namespace != nil
    atomicFlags = route.writeFlags.union(.atomic).rawValue
    durableFlags = route.writeFlags.union([.atomic, .dataSync]).rawValue
  }

  /// One.
  public var depth: Int { 1 }

  /// Carries the operation out at once.
  public mutating func push(_ operation: StorageOperation) {
    precondition(completion == nil)
    completion = perform(operation)
  }

  /// Nothing is left to do.
  public mutating func submit(waitingFor count: Int) throws(Errno) {}

  /// What was carried out last.
  public mutating func next() -> StorageCompletion? {
    defer { completion = nil }
    return completion
  }

  /// Carries out one operation.
  @inlinable
  public func perform(_ operation: StorageOperation) -> StorageCompletion {
    StorageCompletion(
      token: operation.token,
      value: carryOut(operation),
      isCommand: isCommand
    )
  }

  /// The kernel counts no more bytes than 31 bits can say (`MAX_RW_COUNT`).
  @inlinable
  @inline(always)
  func carryOut(_ operation: StorageOperation) -> Int32 {
    guard operation.kind == .atomicWrite, !isCommand else { return carryOutOther(operation) }
    // SAFETY: the operation's memory lives through the call, and has as many bytes.
    return Int32(
      truncatingIfNeeded: unsafe nvmeatomic_pwritev2(
        descriptor,
        operation.memory,
        Int(operation.byteCount),
        Int64(bitPattern: operation.offsetBytes),
        operation.isDurable ? durableFlags : atomicFlags
      )
    )
  }

  @inline(never)
  @usableFromInline
  func carryOutOther(_ operation: StorageOperation) -> Int32 {
    if let namespace = route.namespace {
      // SAFETY: the command's memory is the operation's, which lives through the call.
      var command = unsafe namespace.command(operation)
      return unsafe nvmeatomic_io_command(route.descriptor, &command)
    }
    let (count, offset) = (Int(operation.byteCount), Int64(operation.offsetBytes))
    switch operation.kind {
    case .flush:
      return nvmeatomic_fdatasync(route.descriptor)
    case .read:
      // SAFETY: the operation's memory lives through the call, and has as many bytes.
      return Int32(unsafe nvmeatomic_pread(route.descriptor, operation.memory, count, offset))
    case .write, .atomicWrite:
      let flags = route.flags(operation).rawValue
      // SAFETY: as above.
      return Int32(
        unsafe nvmeatomic_pwritev2(route.descriptor, operation.memory, count, offset, flags)
      )
    }
  }

  /// `posix_fadvise(3)`.
  public func dropPages(offset: UInt64, count: UInt64) {
    route.dropPages(offset: offset, count: count)
  }
}
