import CNVMeAtomic
package import SystemPackage

/// Locks on ranges of a file that belong to an open file description: two of one process exclude
/// each other like two of two processes, and each goes with the last descriptor of its own.
///
/// They are advisory: who does not ask for them is not kept out. Bytes need not be there to be
/// locked, so that some far beyond every file stand for other things.
package enum RangeLock {
  package enum Kind: Sendable {
    case shared, exclusive
  }

  /// Locks of data end here: what extends a file holds all up to here.
  package static let endOfData: UInt64 = 1 << 62
  /// Held while a transaction is being published.
  package static let publishing: Range<UInt64> = endOfData..<endOfData + 1
  /// Held, exclusively, by who keeps a journal for the file, and shared by whoever writes past one.
  package static let journal: Range<UInt64> = endOfData + 1..<endOfData + 2
  /// Held, exclusively, by the description that a journal writes in place by. A write on its way
  /// keeps that open when its program was killed, and so the lock: who comes next waits for both.
  package static let placing: Range<UInt64> = endOfData + 2..<endOfData + 3
}

extension OwnedFileDescriptor {
  /// Locks a range unless another description's lock is in the way; whether it did.
  ///
  /// The corresponding request is `F_OFD_SETLK` of `fcntl(2)`.
  package func lock(_ range: Range<UInt64>, _ kind: RangeLock.Kind) throws(Errno) -> Bool {
    do throws(Errno) {
      _ = try kernelValue(lock(range, kind, waits: false))
      return true
    } catch .resourceTemporarilyUnavailable {
      return false
    } catch .permissionDenied {
      return false
    }
  }

  /// Locks a range, and waits until nobody else's lock is in the way.
  ///
  /// The corresponding request is `F_OFD_SETLKW` of `fcntl(2)`. Interrupted calls are repeated.
  package func waitForLock(_ range: Range<UInt64>, _ kind: RangeLock.Kind) throws(Errno) {
    var status = lock(range, kind, waits: true)
    while status == -Errno.interrupted.rawValue { status = lock(range, kind, waits: true) }
    _ = try kernelValue(status)
  }

  /// Gives locks of a range back.
  package func unlock(_ range: Range<UInt64>) {
    _ = nvmeatomic_lock(rawValue, 0, false, Int64(range.lowerBound), Int64(range.count))
  }

  private func lock(_ range: Range<UInt64>, _ kind: RangeLock.Kind, waits: Bool) -> CInt {
    nvmeatomic_lock(
      rawValue,
      kind == .shared ? 1 : 2,
      waits,
      Int64(range.lowerBound),
      Int64(range.count)
    )
  }
}
