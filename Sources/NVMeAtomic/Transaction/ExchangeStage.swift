import LinuxIO
import SystemPackage

/// A transaction by exchanging ranges; see ``AtomicTransaction`` for what holds.
///
/// The target's blocks are locked from when they are read or staged first. What an edge of a range
/// shares its block with, and the file's size, are read while the lock for publishing is held:
/// nobody can change either from then on until the blocks are exchanged.
struct ExchangeStage: ~Copyable {
  private let target: AtomicTarget
  /// Of its own: locks belong to the open file description.
  private let file: OwnedFileDescriptor
  private let unitBytes: UInt64
  private var staging: StagingFile?
  /// What is locked, in whole units.
  private var locked = ByteRanges()
  /// What is staged, to the byte.
  private var staged = ByteRanges()
  /// Why some of what was written is staged and the rest not: it can only be dropped.
  private var spoilt: AtomicWriteError?

  /// Longer writes are sent on their way to the device at once, so that it is not idle until the
  /// commit; shorter ones may get neighbours first.
  private static let leastWrittenBackBytes: UInt64 = 256 << 10

  init(_ target: AtomicTarget) throws(AtomicWriteError) {
    let file = try target.reopen()
    do throws(Errno) {
      unitBytes = try FileSystemFacts(of: file).exchangeUnitBytes ?? 4096
    } catch {
      throw .readFailed(FailureCause(error))
    }
    self.file = file
    self.target = target
  }

  /// Closing the descriptor would not do: a child that was made a moment ago has it until it begins
  /// its program, and the locks go with the last one.
  deinit {
    if !locked.isEmpty { file.unlock(0..<RangeLock.endOfData) }
  }

  // MARK: Staging

  mutating func write(
    _ bytes: UnsafeRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    let range = try Self.range(offset, bytes.count)
    try target.check(offset: offset, length: UInt64(bytes.count))
    if let spoilt { throw spoilt }
    try lock(range, forWriting: true)
    let staging = try stagingFile()
    do throws(Errno) {
      // SAFETY: the bytes are the caller's for the call.
      unsafe try staging.descriptor.writeAll(bytes, atBytes: Int64(offset))
    } catch {
      // Some of them may be there, which nobody is to see.
      spoilt = .notWritten(FailureCause(error))
      throw .notWritten(FailureCause(error))
    }
    staged.insert(range)
    // Whole units only: another range may share one, and each is to be written once.
    let whole = (range.lowerBound + unitBytes - 1) / unitBytes * unitBytes
    let end = range.upperBound / unitBytes * unitBytes
    if end > whole, end - whole >= Self.leastWrittenBackBytes {
      // What fails here fails again when it is waited for.
      try? staging.descriptor.startWritingBack(offset: Int64(whole), count: Int64(end - whole))
    }
  }

  private mutating func stagingFile() throws(AtomicWriteError) -> StagingFile {
    if let staging { return staging }
    let made = try StagingFile(beside: file)
    staging = made
    return made
  }

  private static func range(
    _ offset: UInt64,
    _ count: Int
  ) throws(AtomicWriteError) -> Range<UInt64> {
    if count == 0 { throw .refused(.empty) }
    let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
    if overflow || end > RangeLock.endOfData { throw .refused(.overflows) }
    return offset..<end
  }

  /// Takes the units of a range; a range that makes the file longer takes everything from the
  /// file's last unit on.
  private mutating func lock(
    _ range: Range<UInt64>,
    forWriting: Bool
  ) throws(AtomicWriteError) {
    var units = range.rounded(toUnit: unitBytes)
    if forWriting {
      let size = try sizeBytes()
      let limit = HostProcess.fileSizeLimitBytes
      let end = max(size, range.upperBound)
      if end > limit { throw .refused(.exceedsFileSizeLimit(endBytes: end, limitBytes: limit)) }
      if range.upperBound > size {
        units = min(units.lowerBound, size / unitBytes * unitBytes)..<RangeLock.endOfData
      }
    }
    units = units.clamped(to: 0..<RangeLock.endOfData)
    if locked.contains(units) { return }
    let isFree: Bool
    do throws(Errno) {
      isFree = try file.lock(units, .exclusive)
    } catch {
      throw .noResources(.lock, SystemError(error))
    }
    guard isFree else {
      let length = range.upperBound - range.lowerBound
      throw .conflict(offsetBytes: range.lowerBound, lengthBytes: length)
    }
    locked.insert(units)
  }

  private func sizeBytes() throws(AtomicWriteError) -> UInt64 {
    do throws(Errno) {
      return try FileStatus(of: file).sizeBytes
    } catch {
      throw .readFailed(FailureCause(error))
    }
  }

  // MARK: Reading

  mutating func read(
    into buffer: UnsafeMutableRawBufferPointer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) -> Int {
    if buffer.count == 0 { return 0 }
    let range = try Self.range(offset, buffer.count)
    try lock(range, forWriting: false)
    let end = min(max(try sizeBytes(), staged.hull?.upperBound ?? 0), range.upperBound)
    if end <= offset { return 0 }
    if let spoilt { throw spoilt }
    var isWholeFromTarget = true
    for piece in staged.pieces(of: offset..<end) {
      if piece.isIn { isWholeFromTarget = false }
      let begin = Int(piece.range.lowerBound - offset)
      // SAFETY: the piece lies within the range, which has as many bytes as the buffer.
      let part = unsafe UnsafeMutableRawBufferPointer(
        rebasing: buffer[begin..<begin + piece.range.count]
      )
      unsafe try fill(part, from: piece.range, isStaged: piece.isIn)
    }
    if isWholeFromTarget { target.noteRead(offset: offset, length: end - offset) }
    return Int(end - offset)
  }

  /// Bytes of one file; zeros where it has ended.
  private func fill(
    _ buffer: UnsafeMutableRawBufferPointer,
    from range: Range<UInt64>,
    isStaged: Bool
  ) throws(AtomicWriteError) {
    let offset = Int64(range.lowerBound)
    let found: Int
    do throws(Errno) {
      // SAFETY: the memory is the caller's for the call.
      if isStaged, let staging {
        found = unsafe try staging.descriptor.readAll(into: buffer, atBytes: offset)
      } else {
        found = unsafe try file.readAll(into: buffer, atBytes: offset)
      }
    } catch {
      throw .readFailed(FailureCause(error))
    }
    // SAFETY: `found` is at most the buffer's count.
    unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[found...]).initializeMemory(
      as: UInt8.self,
      repeating: 0
    )
  }

  // MARK: Ending

  mutating func commit(_ durability: Durability) throws(AtomicWriteError) -> TransactionReceipt {
    if let spoilt { throw spoilt }
    let isDurable = durability == .onReturn
    let reaches = isDurable ? try target.flushesReachStableStorage() : false
    let promise = try target.exchangePromise()
    let receipt = TransactionReceipt(
      path: .exchange,
      ranges: staged.all,
      bytes: staged.byteCount,
      powerFailAtomic: promise,
      untorn: .holds(promise),
      isDurable: reaches
    )
    if let staging, let hull = staged.hull {
      try target.check(offset: hull.lowerBound, length: hull.upperBound - hull.lowerBound)
      try publish(staging, hull, isDurable: isDurable)
    }
    rollback()
    return receipt
  }

  mutating func rollback() {
    staging = nil
    spoilt = nil
    staged.removeAll()
    if !locked.isEmpty { file.unlock(0..<RangeLock.endOfData) }
    locked.removeAll()
  }

  /// What is staged becomes the target's; a throw whose outcome is not unknown leaves all as it is.
  private mutating func publish(
    _ staging: StagingFile,
    _ hull: Range<UInt64>,
    isDurable: Bool
  ) throws(AtomicWriteError) {
    do throws(Errno) {
      // Most of the time goes here, where nobody waits for it.
      try staging.descriptor.writeBack()
    } catch {
      // Such an error is told once, and the bytes are gone: nothing would be exchanged for them.
      spoilt = .notWritten(FailureCause(error))
      throw .notWritten(FailureCause(error))
    }
    do throws(Errno) {
      try file.waitForLock(RangeLock.publishing, .exclusive)
    } catch {
      throw .notWritten(FailureCause(error))
    }
    defer { file.unlock(RangeLock.publishing) }
    let size = try sizeBytes()
    let newSize = max(size, hull.upperBound)
    let limit = HostProcess.fileSizeLimitBytes
    if newSize > limit {
      throw .refused(.exceedsFileSizeLimit(endBytes: newSize, limitBytes: limit))
    }
    let units = try completeUnits(staging, size: size, newSize: newSize)
    do throws(Errno) {
      if newSize > size { try keepBlocksBehindEnd(size) }
      try staging.descriptor.setSize(Int64(newSize))
    } catch {
      throw .notWritten(FailureCause(error))
    }
    var flags: ExchangeFlags = [.writtenOnly]
    if isDurable { flags.insert(.dataSync) }
    if newSize > size {
      // The file's end moves with its blocks. Linux 6.12 does that right from the beginning only.
      flags.insert(.toEnd)
      try exchange(staging, 0..<0, flags)
    } else {
      try exchange(staging, units.lowerBound..<min(units.upperBound, size), flags)
    }
  }

  /// For a file that is about to become longer.
  ///
  /// Where XFS recovers an exchange it has the file in memory with its old size, and frees what
  /// lies behind that when it lets go of it (`fs/xfs/xfs_bmap_util.c:xfs_free_eofblocks`): the file
  /// was then as long as it should be, and empty from its old end on. That is not done to a file
  /// that has blocks set aside.
  private func keepBlocksBehindEnd(_ size: UInt64) throws(Errno) {
    let last = Int64((size > 0 ? size - 1 : 0) / unitBytes * unitBytes)
    try file.keepBlocksBehindEnd(allocating: last..<last + Int64(unitBytes))
  }

  /// Gives each unit the bytes that nobody staged, and returns from where to where units reach.
  ///
  /// The file's last unit, where the file ends amid it and becomes longer, is one of them: what
  /// lies behind the end there would be seen from then on.
  private func completeUnits(
    _ staging: StagingFile,
    size: UInt64,
    newSize: UInt64
  ) throws(AtomicWriteError) -> Range<UInt64> {
    var units = staged.rounded(toUnit: unitBytes)
    if newSize > size, size % unitBytes != 0 {
      units.insert((size - 1..<size).rounded(toUnit: unitBytes))
    }
    var copy: [UInt8] = []
    for unit in units.all {
      for piece in staged.pieces(of: unit) where !piece.isIn {
        var begin = piece.range.lowerBound
        while begin < piece.range.upperBound {
          let end = min(begin + (1 << 20), piece.range.upperBound)
          try complete(staging, begin..<end, size: size, by: &copy)
          begin = end
        }
      }
    }
    return units.hull ?? 0..<0
  }

  private func complete(
    _ staging: StagingFile,
    _ range: Range<UInt64>,
    size: UInt64,
    by copy: inout [UInt8]
  ) throws(AtomicWriteError) {
    if copy.count < range.count { copy = [UInt8](repeating: 0, count: range.count) }
    var failure: AtomicWriteError?
    // SAFETY: the array outlives the call, and has as many bytes.
    unsafe copy.withUnsafeMutableBytes { all in
      let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: all[..<range.count])
      let source = UnsafeRawBufferPointer(bytes)
      do throws(AtomicWriteError) {
        unsafe try fill(bytes, from: range, isStaged: false)
        do throws(Errno) {
          // SAFETY: as above.
          unsafe try staging.descriptor.writeAll(source, atBytes: Int64(range.lowerBound))
        } catch {
          throw .notWritten(FailureCause(error))
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  private mutating func exchange(
    _ staging: StagingFile,
    _ range: Range<UInt64>,
    _ flags: ExchangeFlags
  ) throws(AtomicWriteError) {
    // Looked at first: what writing takes from a file is taken after the exchange.
    let hasPrivileges = (try? file.hasPrivileges()) ?? true
    do throws(Errno) {
      try file.exchange(
        with: staging.descriptor,
        offset: Int64(range.lowerBound),
        length: Int64(range.count),
        flags
      )
    } catch {
      if isRefusal(error, hasPrivileges: hasPrivileges) {
        throw error == .textFileBusy
          ? .busy("it is in use as swap space") : .notWritten(FailureCause(error))
      }
      for range in staged.all {
        target.noteUnknown(offset: range.lowerBound, length: UInt64(range.count))
      }
      if flags.contains(.dataSync) { target.close(FailureCause(error)) }
      rollback()
      throw .outcomeUnknown(FailureCause(error))
    }
  }

  /// Whether nothing was exchanged; `fs/xfs/xfs_exchrange.c`.
  ///
  /// Most errors come of checks before anything is logged. Space, quota, memory and permission can
  /// be missing once more after the exchange, when privileges are taken from the file; and where
  /// one was missing in its middle the filesystem has shut itself down.
  private func isRefusal(_ errno: Errno, hasPrivileges: Bool) -> Bool {
    switch errno {
    case .badFileDescriptor, .invalidArgument, .improperLink, .textFileBusy, .isDirectory,
      .notSupportedOnSocket, .inappropriateIOCTLForDevice, .fileTooLarge, .interrupted:
      return true
    case .noSpace, .diskQuotaExceeded, .noMemory, .notPermitted, .permissionDenied:
      if hasPrivileges { return false }
      return (try? file.synchronize()) != nil
    default: return false
    }
  }
}
