import LinuxIO
import Synchronization
import SystemPackage

/// A target that is open for writing: checked, held, and shared by the threads that write to it.
///
/// A block device is held exclusively, so that neither a mount nor another careful writer can come
/// between; a file is opened with direct I/O.
///
/// By ``WritePath/passthrough`` commands pass the page cache, the partition table and every check
/// of the kernel by. So this host's block devices that show the same bytes are all held, whichever
/// controller they belong to; their page caches are written back and emptied before the first
/// command, and clean pages dropped after the last; and Identify is asked again on opening, after
/// each failure, and before a write when the last answer is a second old. Not kept out are programs
/// of root's that open a character device, or a block device without `O_EXCL`, and other hosts: the
/// promise holds while none of them writes there.
///
/// Writers and queues of different threads keep no order among each other: which of two writes to
/// one place stays is not defined, so threads should keep to places of their own.
public final class AtomicTarget: Sendable {
  /// The target as it was probed.
  public let report: TargetReport
  /// How it is written to.
  public let path: WritePath
  /// Whether the caller answers for no other host writing there; see ``WriteRequest/allowsShared``.
  public let allowsShared: Bool

  let route: OperationRoute
  /// Whether a flush reaches stable storage.
  private let flushing: PathVerdict
  /// What keeps a file or block device open; `nil` for a namespace.
  private let file: OwnedFileBox?
  /// What writes by a journal; `nil` on other paths.
  let journal: JournalSession?
  /// What holds a namespace; `nil` for a file or block device.
  private let claim: NamespaceClaim?
  /// Nothing has failed: the one thing that each write looks at.
  private let isSound = Atomic(true)
  private let failed = Locked(FailedRanges())

  /// Opens a target that ``Probe`` has reported on.
  ///
  /// - Parameters:
  ///   - report: The probe's report; it must still be true of the path.
  ///   - path: ``WritePath/kernel``; ``WritePath/passthrough`` for NVMe commands of its own, to a
  ///     namespace, a partition of one or its character device; ``WritePath/exchange`` for an
  ///     ``AtomicTransaction``; ``WritePath/journal`` for one, or for single writes, on any file
  ///     and block device; or ``WritePath/plain`` for writes that promise nothing.
  ///   - overwritingExistingData: Whether a block device that carries a filesystem, RAID or
  ///     partition table may be written to.
  ///   - allowingShared: Whether passthrough may write to a namespace that other hosts can reach:
  ///     the caller then answers for none of them writing there.
  ///   - place: For ``WritePath/journal``, where the journal is. A file's is recovered on opening,
  ///     by whichever path it is opened, and made where there is none.
  /// - Throws: ``AtomicWriteError/target(_:)``, ``AtomicWriteError/busy(_:)``,
  ///   ``AtomicWriteError/journal(_:)``,
  ///   ``AtomicWriteError/existingData(signature:)``, ``AtomicWriteError/refused(_:)``,
  ///   ``AtomicWriteError/missingFact(_:)`` or ``AtomicWriteError/targetChanged``; nothing was
  ///   written.
  /// - Complexity: The target is probed once more.
  public init(
    opening report: TargetReport,
    path: WritePath = .kernel,
    overwritingExistingData: Bool = false,
    allowingShared: Bool = false,
    journal place: JournalPlace = .automatic
  ) throws(AtomicWriteError) {
    if let error = report.error { throw .target(error) }
    self.report = report
    self.path = path
    allowsShared = allowingShared
    // Commands ask the drive itself, whatever the kernel was told of its cache.
    flushing =
      path != .passthrough
      ? Planner(report.limits).synchronizing
      : report.limits.flushServesAllCommands
        ? .holds(PathPromise(backing: .hardware)) : .unknown(.paths)
    if path == .passthrough {
      let address = try TargetOpening.address(report, allowsShared: allowingShared)
      let claim = try TargetOpening.claim(report)
      (self.claim, file, journal) = (claim, nil, nil)
      route = OperationRoute(generic: claim.generic.rawValue, address)
      // Now that nobody else can come in between.
      try TargetOpening.confirm(report)
      _ = claim.isTurn()
      if !overwritingExistingData {
        try TargetOpening.checkSignature(of: claim.block.descriptor, report)
      }
      try claim.emptyPageCaches(report)
      return
    }
    guard report.kind?.isBlockDevice == true || report.kind == .file else {
      throw .refused(.notWritable(report.kind ?? .block))
    }
    if path == .exchange { _ = try TargetOpening.exchangePromise(report) }
    let opened = try TargetOpening.open(report)
    if path != .journal { try TargetOpening.excludeJournal(of: opened, report) }
    try TargetOpening.checkLimits(report)
    try TargetOpening.checkStack(of: opened, report, path)
    if path == .journal {
      route = OperationRoute(descriptor: opened.rawValue, writeFlags: [])
      if report.kind != .file, !overwritingExistingData {
        try TargetOpening.checkSignature(of: opened, report)
      }
      journal = try JournalOpening(report, opened, .write).open(place)
      (claim, file) = (nil, nil)
      return
    }
    let isBlockDevice = report.kind?.isBlockDevice == true
    if isBlockDevice, !overwritingExistingData {
      try TargetOpening.checkSignature(of: opened, report)
    }
    // The look at the signature has left pages in the cache, which would be in the way.
    if isBlockDevice { try? opened.dropPages(offset: 0, count: 0) }
    // On a block device whose pages somebody else keeps in the page cache, the kernel falls back to
    // a buffered write, `RWF_ATOMIC` or not (`block/fops.c:blkdev_direct_write`). With `RWF_NOWAIT`
    // it fails instead, and nothing is written. Plain writes go without, as they may be split.
    route = OperationRoute(
      descriptor: opened.rawValue,
      writeFlags: isBlockDevice ? .noWait : []
    )
    (claim, file, journal) = (nil, OwnedFileBox(opened), nil)
  }

  /// Ends the writing: what a journal has is brought in place, on stable storage, and the journal
  /// is marked clean. On other paths nothing is left to do. It may be written to again.
  ///
  /// A target that goes does the same, and cannot tell of a failure.
  ///
  /// - Throws: ``AtomicWriteError/journal(_:)``: what was committed is safe in the journal, and
  ///   comes in place when it is opened again.
  public func close() throws(AtomicWriteError) {
    try checkpoint()
  }

  /// Who keeps transactions on ``WritePath/journal`` whole, and what that rests on, the journal's
  /// own place included; `nil` on other paths.
  public var journalPromise: PathPromise? { journal?.promise }

  /// Brings in place, on stable storage, what a journal has, for programs that read the target
  /// without this library. On other paths nothing is left to do.
  ///
  /// - Throws: As ``close()`` does.
  public func checkpoint() throws(AtomicWriteError) {
    try journal?.close()
  }

  /// Whether a write may begin: no flush failed, nothing failed in its range, and a namespace is
  /// what it was.
  @inline(always)
  func check(offset: UInt64, length: UInt64) throws(AtomicWriteError) {
    if claim == nil, isSound.load(ordering: .relaxed) { return }
    try checkClosely(offset: offset, length: length)
  }

  @inline(never)
  private func checkClosely(offset: UInt64, length: UInt64) throws(AtomicWriteError) {
    if let claim, claim.isTurn() { try confirm(claim) }
    if isSound.load(ordering: .relaxed) { return }
    let (isChanged, isClosed, isUnknown) = failed.withLock {
      ($0.isChanged, $0.isClosed, $0.overlaps(offset..<offset + length))
    }
    if isChanged { throw .targetChanged }
    if isClosed { throw .handleFailed }
    if isUnknown { throw .rangeUnknown }
  }

  /// Asks the drive again. A namespace that is another now, or has other limits, takes no more.
  private func confirm(_ claim: NamespaceClaim) throws(AtomicWriteError) {
    do throws(AtomicWriteError) {
      try TargetOpening.confirm(report)
    } catch {
      if error == .targetChanged {
        failed.withLock { $0.change() }
        isSound.store(false, ordering: .relaxed)
      } else {
        // A drive that does not answer may come back.
        claim.expire()
      }
      throw error
    }
  }

  /// The range holds old or new bytes.
  func noteUnknown(offset: UInt64, length: UInt64) {
    failed.withLock {
      $0.add(offset..<offset + length)
      isSound.store(false, ordering: .relaxed)
    }
  }

  /// A flush failed: nobody knows what is durable.
  func close(_ cause: FailureCause) {
    failed.withLock {
      $0.close(cause)
      isSound.store(false, ordering: .relaxed)
    }
  }

  /// Why a flush failed, by whichever writer: flushes of others that succeed later say nothing of
  /// what was written before it.
  @inline(always)
  var flushFailure: FailureCause? {
    isSound.load(ordering: .relaxed) ? nil : failed.withLock { $0.flushFailure }
  }

  /// Whether what a flush succeeds for is on stable storage; `nil` where nobody can tell.
  ///
  /// - Throws: ``AtomicWriteError/refused(_:)`` where it is known not to be: the kernel was told
  ///   that nothing caches, and the drive does; or the filesystem sends no flush.
  public func flushesReachStableStorage() throws(AtomicWriteError) -> Bool? {
    switch flushing {
    case .fails(let refusal): throw .refused(refusal)
    case .unknown: nil
    case .holds(let promise): promise.keepsDurability ? true : nil
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

  /// The same file once more, for locks of its own, and by way of the page cache.
  func reopen() throws(AtomicWriteError) -> OwnedFileDescriptor {
    guard let file else { throw .refused(.notWritable(report.kind ?? .block)) }
    return try TargetOpening.reopen(file.descriptor, report)
  }

  /// Who keeps transactions on ``WritePath/exchange`` whole.
  func exchangePromise() throws(AtomicWriteError) -> PathPromise {
    try TargetOpening.exchangePromise(report)
  }

  /// `syncfs(2)`; a failure shows in the flushes that matter.
  func synchronizeFileSystem() {
    try? file?.descriptor.synchronizeFileSystem()
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
    // What the kernel was told of the cache is nothing to commands of ours.
    if path == .passthrough {
      return report.limits.flushServesAllCommands
        && report.limits.commandDrive.limits?.volatileWriteCache != false
    }
    return report.limits.kind.isFile || report.limits.queue.writeBack != false
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
      let cause = Self.cause(result)
      close(cause)
      return .flushFailed(cause)
    case .result(let result):
      let error = writeError(result, requestedBytes: Int(length), isDurable: isDurable)
      if error.outcome == .unknown {
        noteUnknown(offset: offset, length: length)
        // What has failed may be the flush of others too. A command's own FUA is none.
        if isDurable, path != .passthrough { close(Self.cause(result)) }
      }
      claim?.expire()
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
    case .complete: return .outcomeUnknown(Self.cause(result))
    case .device(let status): return AtomicWriteError(status: NVMeStatus(raw: status))
    case .host(let errno) where path == .passthrough: return AtomicWriteError(commandError: errno)
    case .host(.resourceTemporarilyUnavailable):
      return .busy("its pages are cached and in use by another program, or its queue is full")
    case .host(let errno):
      return AtomicWriteError(
        writeError: errno,
        isFile: report.kind == .file,
        isAtomic: path != .plain,
        isDurable: isDurable
      )
    }
  }

  /// A flush of some writer failed.
  func noteFlushFailure(_ result: StorageResult) {
    close(Self.cause(result))
  }

  /// How many bytes of a range one read may ask for.
  func mostReadAtOnce(offset: UInt64, length: UInt64) throws(AtomicWriteError) -> Int {
    let (end, overflow) = offset.addingReportingOverflow(length)
    if overflow || end > UInt64(Int64.max) { throw .refused(.overflows) }
    // More than `MAX_RW_COUNT` ends short.
    guard path == .passthrough else { return 0x7fff_0000 }
    guard let device = report.limits.commandDrive.limits, let size = report.limits.sizeBytes,
      let most = report.limits.transferLimitBytes(device)
    else { throw .missingFact(.size) }
    let block = UInt64(device.logicalBlockSize.bytes)
    if end > size { throw .refused(.beyondEnd(endBytes: end, sizeBytes: size)) }
    if length % block != 0 {
      throw .refused(.partialBlock(lengthBytes: length, blockBytes: block))
    }
    if offset % block != 0 {
      throw .refused(.misaligned(offsetBytes: offset, alignmentBytes: block))
    }
    return Int(most / block * block)
  }

  func readError(_ result: StorageResult) -> AtomicWriteError {
    .readFailed(Self.cause(result))
  }

  /// Flushes what was written before; one that fails closes the target for writing.
  func flush(_ body: () -> StorageResult) throws(AtomicWriteError) -> Bool? {
    let reaches = try flushesReachStableStorage()
    let result = body()
    guard result.isAll(of: 0) else {
      let cause = Self.cause(result)
      close(cause)
      throw .flushFailed(cause)
    }
    if let flushFailure { throw .flushFailed(flushFailure) }
    return reaches
  }

  /// Whether a file ends before `offset`, or with it: reads from there on find nothing.
  func ends(at offset: UInt64) -> Bool {
    guard report.kind == .file, let file else { return false }
    return (try? FileStatus(of: file.descriptor).sizeBytes).map { $0 <= offset } ?? false
  }

  static func cause(_ result: StorageResult) -> FailureCause {
    switch result {
    case .host(let errno): FailureCause(errno)
    case .device(let status): .device(NVMeStatus(raw: status))
    case .bytes, .complete: FailureCause(.ioError)
    }
  }
}

/// A descriptor with several users.
private final class OwnedFileBox: Sendable {
  let descriptor: OwnedFileDescriptor

  init(_ descriptor: consuming OwnedFileDescriptor) {
    self.descriptor = descriptor
  }

  deinit {
    // A child that was made a moment ago has this descriptor too until it begins its program.
    descriptor.unlock(RangeLock.journal)
  }
}
