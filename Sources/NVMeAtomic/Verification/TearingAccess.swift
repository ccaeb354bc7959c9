import LinuxIO

/// How one thread of a hunt for torn reads writes and reads: to the target, or in tests to memory
/// that tears.
package protocol TearingAccess: ~Copyable, SendableMetatype {
  /// Writes the whole buffer, by the path or, for what it does not admit, by one ordinary write.
  mutating func write(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    isOrdinary: Bool
  ) throws(AtomicWriteError)

  /// Fills the whole buffer, by one command where that is possible.
  mutating func read(
    into buffer: inout AlignedBuffer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError)
}

/// The target itself: each write is planned and admitted, but for the ordinary ones, which promise
/// nothing and go where no limit is looked at.
struct TargetAccess: TearingAccess, ~Copyable {
  private var writer: AtomicWriter
  private let storage: SyscallStorage

  init(_ target: AtomicTarget) {
    writer = AtomicWriter(target)
    storage = SyscallStorage(target.route)
  }

  mutating func write(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    isOrdinary: Bool
  ) throws(AtomicWriteError) {
    guard isOrdinary else {
      return try writer.writeUnreported(
        buffer,
        atBytes: offset,
        durability: .none,
        isStrict: false
      )
    }
    try writeOrdinary(buffer, atBytes: offset)
  }

  /// One ordinary write of the whole buffer, whatever the limits.
  mutating func writeOrdinary(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    isDurable: Bool = false
  ) throws(AtomicWriteError) {
    let (target, count) = (writer.openTarget, buffer.byteCount)
    try target.check(offset: offset, length: UInt64(count))
    try target.journal?.check(offset..<offset + UInt64(count))
    var operation = StorageOperation(.write, token: 0)
    operation.byteCount = UInt32(count)
    operation.offsetBytes = offset
    operation.isDurable = isDurable
    // SAFETY: the buffer is borrowed until the write has ended, and only read.
    unsafe operation.memory = buffer.base
    let result = storage.perform(operation).result
    guard !result.isAll(of: count) else { return }
    throw target.error(
      .result(result),
      offset: offset,
      length: UInt64(count),
      isDurable: isDurable
    )
  }

  mutating func read(
    into buffer: inout AlignedBuffer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    try writer.read(into: &buffer, atBytes: offset)
  }
}
