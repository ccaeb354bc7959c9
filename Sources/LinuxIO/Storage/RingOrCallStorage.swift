package import SystemPackage

/// Operations by io_uring, or by system calls where the system has no ring to give.
package struct RingOrCallStorage: AtomicStorage, ~Copyable {
  private var ring: RingStorage?
  private var calls: SyscallStorage

  /// By system calls, one at a time: a durable write that is waited for at once gains nothing from
  /// a ring, in which it would end by way of a kernel thread.
  package init(byCalls route: OperationRoute) {
    calls = SyscallStorage(route)
    ring = nil
  }

  /// Makes a ring for so many operations where it can.
  package init(_ route: OperationRoute, depth: Int) {
    calls = SyscallStorage(route)
    do throws(Errno) {
      ring = try RingStorage(route, depth: depth, staysOnThread: false)
    } catch {
      ring = nil
    }
  }

  package var depth: Int {
    switch ring {
    case .some(let ring): ring.depth
    case .none: 1
    }
  }

  package mutating func push(_ operation: StorageOperation) {
    if ring?.push(operation) == nil { calls.push(operation) }
  }

  package mutating func submit(waitingFor count: Int) throws(Errno) {
    if try ring?.submit(waitingFor: count) == nil { try calls.submit(waitingFor: count) }
  }

  package mutating func next() -> StorageCompletion? {
    if ring == nil { return calls.next() }
    return ring?.next()
  }

  /// Always by a system call: one operation that is waited for at once gains nothing from a ring,
  /// in which a flush or a durable write ends by way of a kernel thread.
  package mutating func perform(_ operation: StorageOperation) -> StorageCompletion {
    calls.perform(operation)
  }

  package func dropPages(offset: UInt64, count: UInt64) {
    calls.dropPages(offset: offset, count: count)
  }
}
