import LinuxIO
import SystemPackage

/// For who writes the same buffers of the queue again and again: they stay where they are.
extension AtomicWriteQueue {
  /// A write that has ended; its buffer is in its place.
  struct EndedInPlace {
    var place: Int
    var error: AtomicWriteError?
  }

  /// As ``next()``. The place is to be given to ``submitAgain(_:atBytes:)`` or to ``vacate(_:)``
  /// before the next one is asked for.
  @inline(always)
  mutating func nextInPlace() throws(AtomicWriteError) -> EndedInPlace? {
    do throws(Errno) {
      guard let ended = try engine.nextKept() else { return nil }
      guard let failure = ended.failure else {
        // Another queue's flush may have failed meanwhile, and with it what this one's rests on.
        let failure = isDurable ? openTarget.flushFailure : nil
        return EndedInPlace(place: ended.slot, error: failure.map { .flushFailed($0) })
      }
      return EndedInPlace(place: ended.slot, error: error(failure, inPlace: ended.slot))
    } catch {
      openTarget.close(FailureCause(error))
      throw .outcomeUnknown(FailureCause(error))
    }
  }

  @inline(never)
  private func error(_ failure: WriteFailure, inPlace place: Int) -> AtomicWriteError {
    openTarget.error(
      failure,
      offset: engine.offset(inSlot: place),
      length: UInt64(engine.byteCount(inSlot: place)),
      isDurable: engine.isDurable(inSlot: place)
    )
  }

  /// Where the bytes in a place are.
  @inline(always)
  func memory(inPlace place: Int) -> UnsafeMutableRawPointer {
    // SAFETY: the buffer stays in its place until it is taken.
    guard let memory = unsafe engine.memory(inSlot: place) else { preconditionFailure() }
    return unsafe memory
  }

  /// As ``submit(_:atBytes:tag:)``, of the place told of last, with the bytes that are there now.
  /// Its tag stays as it was.
  @inline(always)
  mutating func submitAgain(_ place: Int, atBytes offset: UInt64) throws(AtomicWriteError) {
    try admit(offset: offset, byteCount: engine.byteCount(inSlot: place))
    do throws(WriteEngine<RingStorage>.BeginFailure) {
      try engine.beginAgain(place, atBytes: offset)
    } catch {
      throw Self.error(error)
    }
  }

  /// Gives a buffer back.
  mutating func vacate(_ place: Int) {
    engine.free(place)
    _ = buffers.take(at: place)
  }
}
