public import SystemPackage

/// What writers need of whatever carries their operations: the kernel by system calls or by
/// io_uring, a drive's own commands, memory in tests.
///
/// Nothing here decides: operations were planned before, and results are told as they are. One
/// thread owns a storage, which waits for what is on its way before it goes. No call allocates.
///
/// Storages are public, though no product has this module, as only what is public and inlinable
/// is inlined into the writers of another module: 120 of 380 instructions of a write.
public protocol AtomicStorage: ~Copyable {
  /// Operations that may be on their way at once; one more has room for a flush.
  var depth: Int { get }

  /// Takes an operation on; its memory stays the caller's and must live until it has completed.
  ///
  /// - Precondition: Fewer than ``depth`` + 1 operations are on their way.
  mutating func push(_ operation: StorageOperation)

  /// Hands over what was pushed, as one batch, and waits until so many operations completed that
  /// ``next()`` has not told yet.
  mutating func submit(waitingFor count: Int) throws(Errno)

  /// An operation that had completed when ``submit(waitingFor:)`` returned; `nil` when none is left
  /// to tell.
  mutating func next() -> StorageCompletion?

  /// Carries out one operation with nothing else on its way.
  mutating func perform(_ operation: StorageOperation) -> StorageCompletion

  /// Drops clean pages of a range from the page cache, where they keep direct writes away.
  func dropPages(offset: UInt64, count: UInt64)
}

/// One operation, as a value.
@safe public struct StorageOperation {
  /// What a storage can do.
  public enum Kind: UInt8, Sendable {
    case read
    /// An ordinary write, which may be torn.
    case write
    /// A write that is carried out whole or not at all.
    case atomicWrite
    /// Makes durable what has completed before.
    case flush
  }

  /// What to do.
  public var kind: Kind
  /// For writes: on stable storage when completed. `RWF_DSYNC`, or FUA.
  public var isDurable = false
  /// For writes: whether the memory lies in the region that was registered.
  public var isRegistered = false
  /// Names the operation in its completion.
  public var token: UInt32
  /// Bytes to read or write.
  public var byteCount: UInt32 = 0
  /// From the begin of the target.
  public var offsetBytes: UInt64 = 0
  /// Where the bytes are; the kernel writes there for a read only.
  public var memory: UnsafeMutableRawPointer?

  /// An operation on no bytes.
  @inlinable
  public init(_ kind: Kind, token: UInt32) {
    self.kind = kind
    self.token = token
    // SAFETY: nothing is there to be read or written.
    unsafe memory = nil
  }
}

/// What became of an operation.
package enum StorageResult: Equatable, Sendable {
  /// So many bytes, 0 for a flush: the kernel counts what files and block devices took.
  case bytes(Int)
  /// All of it: a command is carried out whole or fails.
  case complete
  /// The kernel's error.
  case host(Errno)
  /// The drive's status as the driver gives it: completion dword 3 from bit 17 on, so that the
  /// status code lies in bits 7:0, its type in bits 10:8, and Do Not Retry in bit 14.
  case device(UInt16)

  /// A system call's result, or a completion entry's.
  init(kernel value: Int64) {
    self = value < 0 ? .host(Errno(rawValue: CInt(truncatingIfNeeded: -value))) : .bytes(Int(value))
  }

  /// A command's result: 0, a status, or an error number.
  init(command value: Int64) {
    if value > 0 {
      self = .device(UInt16(truncatingIfNeeded: value & 0x7fff))
    } else {
      self = value < 0 ? Self(kernel: value) : .complete
    }
  }
}

/// The end of an operation, as the kernel tells it: what it means is looked up where it matters.
public struct StorageCompletion: Equatable, Sendable {
  /// Of the operation.
  public let token: UInt32
  /// Bytes or an error number; of a command 0, a status or an error number.
  public let value: Int32
  /// Whether the operation was a command of the drive.
  public let isCommand: Bool

  /// The end of an operation, as the kernel told it.
  @inlinable
  public init(token: UInt32, value: Int32, isCommand: Bool) {
    self.token = token
    self.value = value
    self.isCommand = isCommand
  }

  package init(token: UInt32, result: StorageResult) {
    self.token = token
    switch result {
    case .bytes(let count): (value, isCommand) = (Int32(count), false)
    case .host(let errno): (value, isCommand) = (-errno.rawValue, false)
    case .complete: (value, isCommand) = (0, true)
    case .device(let status): (value, isCommand) = (Int32(status), true)
    }
  }

  /// What became of the operation.
  package var result: StorageResult {
    isCommand ? StorageResult(command: Int64(value)) : StorageResult(kernel: Int64(value))
  }
}

extension AtomicStorage where Self: ~Copyable {
  /// Pushes it, waits, and tells of it.
  public mutating func perform(_ operation: StorageOperation) -> StorageCompletion {
    push(operation)
    do throws(Errno) {
      try submit(waitingFor: 1)
    } catch {
      return StorageCompletion(token: operation.token, result: .host(error))
    }
    return next() ?? StorageCompletion(token: operation.token, result: .host(.ioError))
  }
}
