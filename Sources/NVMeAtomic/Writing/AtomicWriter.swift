import LinuxIO
import SystemPackage

/// When a write survives a power failure.
public enum Durability: Sendable {
  /// Whenever the system gets to it.
  case none
  /// When the call returned: `RWF_DSYNC`, FUA, or a flush that began after the write's end.
  case onReturn
}

/// What a write was kept to.
public struct WriteReceipt: Hashable, Sendable {
  /// The path taken.
  public var path: WritePath
  /// Where in the target.
  public var offsetBytes: UInt64
  /// How much.
  public var lengthBytes: UInt64
  /// Who keeps it whole over a power failure, and what that rests on; `nil` for a plain write,
  /// which nobody does.
  public var powerFailAtomic: PathPromise?
  /// Whether readers of the whole range in one command see all old or all new bytes.
  public var untorn: PathVerdict
  /// Whether it has reached stable storage; `nil` where that was asked for and cannot be told.
  public var isDurable: Bool?
}

/// Writes to one target so that a power failure leaves all old or all new bytes of each write.
///
/// One thread, one write at a time: each is planned before any system call, is one `pwritev2(2)`
/// with `RWF_ATOMIC` or one NVMe Write command, and is never split or downgraded.
/// ``AtomicWriteQueue`` keeps many on their way.
public struct AtomicWriter: ~Copyable {
  /// What is written to, which other writers may share.
  public let openTarget: AtomicTarget
  private var engine: WriteEngine<SyscallStorage>
  private var admission: WriteAdmission
  private var admitted: (durability: Durability, isStrict: Bool) = (.none, false)

  /// The target as it was probed.
  public var target: TargetReport { openTarget.report }

  /// Writes to a target that is open.
  public init(_ target: AtomicTarget) {
    openTarget = target
    engine = WriteEngine(
      SyscallStorage(target.route),
      .init(
        isAtomic: target.path != .plain,
        keepsNeighboursApart: target.losesNeighbours,
        triesAgain: target.path != .passthrough
      )
    )
    admission = WriteAdmission(target, durability: .none, isStrict: false)
  }

  /// Opens a target that ``Probe`` has reported on; see ``AtomicTarget``.
  public init(
    opening report: TargetReport,
    path: WritePath = .kernel,
    overwritingExistingData: Bool = false,
    allowingShared: Bool = false
  ) throws(AtomicWriteError) {
    self.init(
      try AtomicTarget(
        opening: report,
        path: path,
        overwritingExistingData: overwritingExistingData,
        allowingShared: allowingShared
      )
    )
  }

  /// Writes the whole buffer at `offset`, all or nothing.
  ///
  /// - Parameters:
  ///   - buffer: Borrowed for the call.
  ///   - offset: Bytes from the begin of the target.
  ///   - durability: ``Durability/none`` leaves the write to the drive's cache.
  ///   - isStrict: Refuses to write where the promise would rest on an assumption.
  /// - Returns: What the write was kept to.
  /// - Throws: ``AtomicWriteError/refused(_:)``, ``AtomicWriteError/missingFact(_:)`` or
  ///   ``AtomicWriteError/onlyAssumed(_:)`` before any system call; a kernel or device error else,
  ///   with its ``AtomicWriteError/outcome``. A range whose outcome is unknown takes no write until
  ///   it was read by ``read(into:atBytes:)``; where the write was to be durable by `RWF_DSYNC`,
  ///   the target takes none at all any more, as the flush may have failed for others too.
  /// - Complexity: One system call, no allocation for the second and further writes of a length.
  public mutating func write(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    durability: Durability,
    isStrict: Bool = false
  ) throws(AtomicWriteError) -> WriteReceipt {
    if let journal = openTarget.journal {
      return try write(buffer, atBytes: offset, isStrict: isStrict, journal)
    }
    try writeUnreported(buffer, atBytes: offset, durability: durability, isStrict: isStrict)
    let (promise, length) = (admission.promise, UInt64(buffer.byteCount))
    let isKept =
      promise.map(\.keepsDurability) ?? ((try? openTarget.flushesReachStableStorage()) == true)
    return WriteReceipt(
      path: openTarget.path,
      offsetBytes: offset,
      lengthBytes: length,
      powerFailAtomic: promise,
      untorn: admission.untorn(offset: offset, length: length),
      isDurable: durability == .none ? false : isKept ? true : nil
    )
  }

  /// One transaction; it is durable whether or not that is asked for.
  private func write(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    isStrict: Bool,
    _ journal: JournalSession
  ) throws(AtomicWriteError) -> WriteReceipt {
    if isStrict, let assumption = journal.promise.assumptions.first {
      throw .onlyAssumed(assumption)
    }
    var stage = try JournalStage(openTarget)
    // SAFETY: the bytes are lent for the call.
    unsafe try buffer.withBytes { bytes throws(AtomicWriteError) in
      unsafe try stage.write(bytes, atBytes: offset)
    }
    let receipt = try stage.commit(.onReturn)
    return WriteReceipt(
      path: .journal,
      offsetBytes: offset,
      lengthBytes: UInt64(buffer.byteCount),
      powerFailAtomic: receipt.powerFailAtomic,
      untorn: receipt.untorn,
      isDurable: receipt.isDurable
    )
  }

  /// Who keeps the writes of the last length whole.
  var promise: PathPromise? { admission.promise }

  /// The same without a receipt, for who writes the same again and again.
  @inline(always)
  mutating func writeUnreported(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    durability: Durability,
    isStrict: Bool
  ) throws(AtomicWriteError) {
    let count = buffer.byteCount
    if admitted.durability != durability || admitted.isStrict != isStrict {
      admission = WriteAdmission(openTarget, durability: durability, isStrict: isStrict)
      admitted = (durability, isStrict)
    }
    try admission.admit(offset: offset, length: UInt64(count))
    try openTarget.check(offset: offset, length: UInt64(count))
    // SAFETY: the buffer is borrowed until the write has ended, and only read.
    let isDurable = durability == .onReturn
    let failure = unsafe engine.writeAlone(
      buffer.base,
      byteCount: count,
      atBytes: offset,
      isDurable: isDurable
    )
    guard let failure else { return }
    throw openTarget.error(
      failure,
      offset: offset,
      length: UInt64(count),
      isDurable: isDurable
    )
  }

  /// Reads from the target, past the page cache, and so makes a failed range known again.
  ///
  /// - Parameters:
  ///   - buffer: Filled whole.
  ///   - offset: Bytes from the begin of the target, a multiple of its direct I/O alignment or, by
  ///     passthrough, of its logical block.
  /// - Throws: ``AtomicWriteError/refused(_:)`` for a range that the target does not have or that
  ///   is no whole number of blocks; ``AtomicWriteError/endOfFile(sizeBytes:)`` where a file ends
  ///   before the range does, which is known thereby; ``AtomicWriteError/readFailed(_:)`` where not
  ///   all of it could be read.
  /// - Complexity: `pread(2)`, or one NVMe Read command for every so many bytes as one may carry.
  public mutating func read(
    into buffer: inout AlignedBuffer,
    atBytes offset: UInt64
  ) throws(AtomicWriteError) {
    let count = buffer.byteCount
    if let journal = openTarget.journal {
      return try read(into: &buffer, atBytes: offset, journal)
    }
    let most = try openTarget.mostReadAtOnce(offset: offset, length: UInt64(count))
    var done = 0
    while done < count {
      let step = min(count - done, most)
      // SAFETY: the buffer is held exclusively until the read has ended, and has as many bytes.
      let result = unsafe engine.readAlone(
        buffer.base + done,
        byteCount: step,
        atBytes: offset + UInt64(done)
      )
      guard result.isAll(of: step) else {
        guard case .bytes(let found) = result else { throw openTarget.readError(result) }
        try checkEnd(offset + UInt64(done + found), readingFrom: offset, byteCount: count)
        throw openTarget.readError(result)
      }
      done += step
    }
    openTarget.noteRead(offset: offset, length: UInt64(count))
  }

  /// What was committed, wherever it is.
  private func read(
    into buffer: inout AlignedBuffer,
    atBytes offset: UInt64,
    _ journal: JournalSession
  ) throws(AtomicWriteError) {
    let count = buffer.byteCount
    if offset.addingReportingOverflow(UInt64(count)).overflow { throw .refused(.overflows) }
    // SAFETY: the bytes are lent for the call.
    let found = unsafe try buffer.withMutableBytes { bytes throws(AtomicWriteError) in
      unsafe try journal.read(into: bytes, atBytes: offset)
    }
    if found < count { throw .endOfFile(sizeBytes: offset + UInt64(found)) }
  }

  /// A file that ends there holds nothing of the range from there on, and that is known now.
  private func checkEnd(
    _ end: UInt64,
    readingFrom offset: UInt64,
    byteCount: Int
  ) throws(AtomicWriteError) {
    guard openTarget.ends(at: end) else { return }
    openTarget.noteRead(offset: offset, length: UInt64(byteCount))
    throw .endOfFile(sizeBytes: end)
  }

  /// Makes durable what was written before, by whichever writer of the target.
  ///
  /// - Returns: Whether it is; `nil` where nobody can tell what is below.
  /// - Throws: ``AtomicWriteError/flushFailed(_:)``, and the target then takes no more writes;
  ///   ``AtomicWriteError/refused(_:)`` where a flush is known not to reach what caches.
  /// - Complexity: One system call: `fdatasync(2)`, or one NVMe Flush command.
  @discardableResult
  public mutating func flush() throws(AtomicWriteError) -> Bool? {
    try openTarget.flush { engine.flush() }
  }

  /// What a write would be kept to, without a system call.
  ///
  /// - Parameters:
  ///   - range: Which bytes of the target.
  ///   - limits: The target's limits.
  ///   - path: ``WritePath/kernel`` or ``WritePath/passthrough``.
  ///   - durability: When the write survives a power failure.
  ///   - isStrict: Whether an assumption counts as a refusal.
  ///   - allowsShared: See ``WriteRequest/allowsShared``.
  /// - Returns: Who keeps the write whole, and on what assumptions.
  /// - Throws: ``AtomicWriteError/refused(_:)``, ``AtomicWriteError/missingFact(_:)`` or
  ///   ``AtomicWriteError/onlyAssumed(_:)``.
  public static func promise(
    for range: WriteRequest.Range,
    on limits: TargetLimits,
    path: WritePath = .kernel,
    durability: Durability,
    isStrict: Bool,
    allowsShared: Bool = false
  ) throws(AtomicWriteError) -> PathPromise {
    var promises: Promises = .powerFailAtomic
    if durability == .onReturn { promises.insert(.durable) }
    var request = WriteRequest(range, promises: promises, writer: .rwfAtomic)
    request.allowsShared = allowsShared
    let plan = Planner(limits).plan(request)
    let verdict: PathVerdict =
      switch path {
      case .kernel: plan.kernel
      case .passthrough: plan.passthrough
      case .plain: plan.plain
      case .exchange, .journal:
        .fails(.obstacle("\(path.rawValue) takes transactions, which AtomicTransaction carries"))
      }
    switch verdict {
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missingFact(fact)
    case .holds(let promise):
      if isStrict, let assumption = promise.assumptions.first { throw .onlyAssumed(assumption) }
      return promise
    }
  }
}
