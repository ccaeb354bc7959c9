import LinuxIO
import Synchronization
import SystemPackage

/// A target that is open for writing: checked, held, and shared by the threads that write to it.
///
/// A block device is held exclusively, so that neither a mount nor another careful writer can come
/// between; a file is opened with direct I/O.
///
/// Writers and queues of different threads keep no order among each other: which of two writes to
/// one place stays is not defined, so threads should keep to places of their own.
public final class AtomicTarget: Sendable {
  /// The target as it was probed.
  public let report: TargetReport
  /// How it is written to.
  public let path: WritePath

  let route: OperationRoute
  private let descriptor: OwnedFileDescriptor
  /// Nothing has failed: the one thing that each write looks at.
  private let isSound = Atomic(true)
  private let failed = Mutex(FailedRanges())

  /// Opens a target that ``Probe`` has reported on.
  ///
  /// - Parameters:
  ///   - report: The probe's report; it must still be true of the path.
  ///   - path: ``WritePath/kernel``, or ``WritePath/plain`` for writes that promise nothing;
  ///     ``WritePath/passthrough`` is refused.
  ///   - overwritingExistingData: Whether a block device that carries a filesystem, RAID or
  ///     partition table may be written to.
  /// - Throws: ``AtomicWriteError/target(_:)``, ``AtomicWriteError/busy(_:)``,
  ///   ``AtomicWriteError/existingData(signature:)``, ``AtomicWriteError/refused(_:)`` or
  ///   ``AtomicWriteError/targetChanged``; nothing was written.
  /// - Complexity: A target on several drives, or by several paths, is probed once more.
  public init(
    opening report: TargetReport,
    path: WritePath = .kernel,
    overwritingExistingData: Bool = false
  ) throws(AtomicWriteError) {
    if let error = report.error { throw .target(error) }
    guard path != .passthrough else {
      throw .refused(.obstacle("this version sends no NVMe commands of its own"))
    }
    guard report.kind?.isBlockDevice == true || report.kind == .file else {
      throw .refused(.notWritable(report.kind ?? .block))
    }
    let opened = try TargetOpening.open(report)
    try TargetOpening.checkStack(of: opened, report)
    let isBlockDevice = report.kind?.isBlockDevice == true
    if isBlockDevice, !overwritingExistingData {
      try TargetOpening.checkSignature(of: opened, report)
    }
    // The look at the signature has left pages in the cache, which would be in the way.
    if isBlockDevice { try? opened.dropPages(offset: 0, count: 0) }
    // On a block device whose pages somebody else keeps in the page cache, the kernel falls back to
    // a buffered write, `RWF_ATOMIC` or not (`block/fops.c:blkdev_direct_write`). With `RWF_NOWAIT`
    // it fails instead, and nothing is written.
    route = OperationRoute(
      descriptor: opened.rawValue,
      writeFlags: isBlockDevice ? .noWait : []
    )
    descriptor = opened
    self.report = report
    self.path = path
  }

  /// Whether a write may begin: no flush failed, and nothing failed in its range.
  func check(offset: UInt64, length: UInt64) throws(AtomicWriteError) {
    if isSound.load(ordering: .relaxed) { return }
    let (isClosed, isUnknown) = failed.withLock {
      ($0.isClosed, $0.overlaps(offset..<offset + length))
    }
    if isClosed { throw .handleFailed }
    if isUnknown { throw .rangeUnknown }
  }

  /// The range holds old or new bytes.
  func noteUnknown(offset: UInt64, length: UInt64) {
    failed.withLock {
      $0.add(offset..<offset + length)
      isSound.store(false, ordering: .relaxed)
    }
  }

  /// A flush failed: nobody knows what is durable.
  func close() {
    failed.withLock {
      $0.close()
      isSound.store(false, ordering: .relaxed)
    }
  }

  /// The range was read back.
  func noteRead(offset: UInt64, length: UInt64) {
    if isSound.load(ordering: .relaxed) { return }
    failed.withLock {
      $0.remove(offset..<offset + length)
      isSound.store($0.isEmpty, ordering: .relaxed)
    }
  }

  /// Drops clean pages of a range, which keep direct writes from a block device.
  func dropPages(offset: UInt64, length: UInt64) {
    try? descriptor.dropPages(offset: Int64(offset), count: Int64(length))
  }

  /// `syncfs(2)`; a failure shows in the flushes that matter.
  func synchronizeFileSystem() {
    try? descriptor.synchronizeFileSystem()
  }

  /// Whether the kernel may join neighbouring atomic writes of one batch into a request that the
  /// driver then refuses, all of them (`drivers/nvme/host/core.c:nvme_valid_atomic_write`).
  var losesNeighbours: Bool {
    guard path == .kernel else { return false }
    let queues = [report.limits.queue] + (report.limits.stack?.foundations.map(\.queue) ?? [])
    return queues.contains { queue in
      guard queue.nomerges != 2 else { return false }
      guard let most = queue.atomicWriteMaxBytes, let unit = queue.atomicWriteUnitMaxBytes else {
        return queue.atomicWriteUnitMaxBytes != 0
      }
      return most > unit
    }
  }

  /// Whether writes in flight share a flush rather than being durable one by one.
  ///
  /// Where nothing caches, a flush does nothing, and a durable write costs what any write costs.
  var gainsByFlushing: Bool {
    report.limits.kind.isFile || report.limits.queue.writeBack != false
  }
}

extension AtomicTarget {
  /// What a failure of a write means, noted where it leaves the range unknown.
  func error(
    _ failure: WriteFailure,
    offset: UInt64,
    length: UInt64,
    isDurable: Bool
  ) -> AtomicWriteError {
    switch failure {
    case .flush(let result):
      close()
      return .flushFailed(Self.systemError(result))
    case .result(let result):
      let error = writeError(result, requestedBytes: Int(length), isDurable: isDurable)
      if error.outcome == .unknown { noteUnknown(offset: offset, length: length) }
      return error
    }
  }

  private func writeError(
    _ result: StorageResult,
    requestedBytes: Int,
    isDurable: Bool
  ) -> AtomicWriteError {
    switch result {
    case .bytes(let written):
      return .shortWrite(writtenBytes: written, requestedBytes: requestedBytes)
    case .complete, .device: return .outcomeUnknown(Self.systemError(result))
    case .host(.resourceTemporarilyUnavailable):
      return .busy("its pages are cached and in use by another program, or its queue is full")
    case .host(let errno):
      return AtomicWriteError(
        writeError: errno,
        isFile: report.kind == .file,
        isDurable: isDurable
      )
    }
  }

  func readError(_ result: StorageResult) -> AtomicWriteError {
    .readFailed(Self.systemError(result))
  }

  /// Takes a flush at its word; one that failed closes the target for writing.
  func check(flush result: StorageResult) throws(AtomicWriteError) {
    if result.isAll(of: 0) { return }
    close()
    throw .flushFailed(Self.systemError(result))
  }

  private static func systemError(_ result: StorageResult) -> SystemError {
    if case .host(let errno) = result { return SystemError(errno) }
    return SystemError(.ioError)
  }
}
