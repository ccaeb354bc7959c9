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
    completion = StorageCompletion(token: operation.token, result: carryOut(operation))
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {}

  package mutating func next() -> StorageCompletion? {
    defer { completion = nil }
    return completion
  }

  private func carryOut(_ operation: StorageOperation) -> StorageResult {
    if let namespace = route.namespace {
      // SAFETY: the command's memory is the operation's, which lives through the call.
      var command = unsafe namespace.command(operation)
      let status = unsafe nvmeatomic_io_command(route.descriptor, &command)
      return StorageResult(command: Int64(status))
    }
    let (count, offset) = (Int(operation.byteCount), Int64(operation.offsetBytes))
    switch operation.kind {
    case .flush:
      return StorageResult(kernel: Int64(nvmeatomic_fdatasync(route.descriptor)))
    case .read:
      // SAFETY: the operation's memory lives through the call, and has as many bytes.
      return StorageResult(
        kernel: unsafe nvmeatomic_pread(route.descriptor, operation.memory, count, offset)
      )
    case .write, .atomicWrite:
      let flags = route.flags(operation).rawValue
      // SAFETY: as above.
      return StorageResult(
        kernel: unsafe nvmeatomic_pwritev2(
          route.descriptor,
          operation.memory,
          count,
          offset,
          flags
        )
      )
    }
  }

  package func dropPages(offset: UInt64, count: UInt64) {
    route.dropPages(offset: offset, count: count)
  }
}
