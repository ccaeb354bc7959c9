import CNVMeAtomic
package import SystemPackage

/// One operation at a time, each one system call: `pwritev2(2)`, `pread(2)`, `fdatasync(2)`, or
/// `ioctl(2)` with `NVME_IOCTL_IO64_CMD`. Nothing is repeated.
package struct SyscallStorage: AtomicStorage, ~Copyable {
  private let route: OperationRoute
  private var completion: StorageCompletion?

  package init(_ route: OperationRoute) {
    self.route = route
  }

  package var depth: Int { 1 }

  package mutating func push(_ operation: StorageOperation) {
    precondition(completion == nil)
    completion = perform(operation)
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {}

  package mutating func next() -> StorageCompletion? {
    defer { completion = nil }
    return completion
  }

  package func perform(_ operation: StorageOperation) -> StorageCompletion {
    StorageCompletion(
      token: operation.token,
      value: carryOut(operation),
      isCommand: route.namespace != nil
    )
  }

  /// The kernel counts no more bytes than 31 bits can say (`MAX_RW_COUNT`).
  private func carryOut(_ operation: StorageOperation) -> Int32 {
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

  package func dropPages(offset: UInt64, count: UInt64) {
    route.dropPages(offset: offset, count: count)
  }
}
