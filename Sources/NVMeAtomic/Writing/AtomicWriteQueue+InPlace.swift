import LinuxIO
import SystemPackage

/// For who writes the same buffers of the queue again and again: they stay where they are.
extension AtomicWriteQueue {
  /// A write that has ended; its buffer is in its place.
  struct EndedInPlace {
    var place: Int
    var error: AtomicWriteError?
  }

  /// As ``next()``. The place is to be given to ``submitAgain(_:byteCount:atBytes:)`` or to
  /// ``vacate(_:)`` before the next one is asked for.
  @inline(__always)
  mutating func nextInPlace() throws(AtomicWriteError) -> EndedInPlace? {
    guard let ended = try nextEnded() else { return nil }
    guard let failure = ended.failure else { return EndedInPlace(place: ended.slot, error: nil) }
    return EndedInPlace(place: ended.slot, error: error(failure, inPlace: ended.slot))
  }

  /// Where the bytes in a place are.
  func memory(inPlace place: Int) -> UnsafeMutableRawPointer {
    // SAFETY: the buffer stays in its place until it is taken.
    guard let memory = unsafe buffers[place].memory else { preconditionFailure() }
    return unsafe memory
  }

  /// Where a place was written to.
  func offset(inPlace place: Int) -> UInt64 { buffers[place].offsetBytes }

  /// As ``submit(_:atBytes:tag:)``, of the place told of last. Its tag stays as it was.
  @inline(__always)
  mutating func submitAgain(
    _ place: Int,
    byteCount: Int,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    precondition(place == engine.nextSlot)
    try admit(offset: offset, byteCount: byteCount)
    // SAFETY: the buffer stays until the write has ended.
    _ = try unsafe begin(
      memory(inPlace: place),
      byteCount: byteCount,
      atBytes: offset,
      isRegistered: region != nil
    )
    buffers.setOffset(offset, at: place)
  }

  /// Gives a buffer back.
  mutating func vacate(_ place: Int) {
    _ = buffers.take(at: place)
  }
}
