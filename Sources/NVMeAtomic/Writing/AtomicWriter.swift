import LinuxIO
import SystemPackage

/// When a write survives a power failure.
public enum Durability: Sendable {
  /// Whenever the system gets to it.
  case none
  /// When the call returned: `RWF_DSYNC`.
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
  /// Who keeps it whole over a power failure, and what that rests on.
  public var powerFailAtomic: PathPromise
  /// Whether readers of the whole range in one command see all old or all new bytes.
  public var untorn: PathVerdict
  /// Whether it has reached stable storage; `nil` where that was asked for and cannot be told.
  public var isDurable: Bool?
}

/// Writes to one target so that a power failure leaves all old or all new bytes of each write.
///
/// Holds the target open: a block device exclusively, so that neither a mount nor another careful
/// writer can come between; a file with direct I/O. Each write is planned before any system call,
/// is one `pwritev2(2)` with `RWF_ATOMIC`, and is never split, repeated or downgraded.
public struct AtomicWriter: ~Copyable {
  /// The target as it was probed.
  public let target: TargetReport

  private let descriptor: OwnedFileDescriptor
  private var isFailed = false

  /// Opens a target that ``Probe`` has reported on.
  ///
  /// - Parameters:
  ///   - report: The probe's report; it must still be true of the path.
  ///   - overwritingExistingData: Whether a block device that carries a filesystem, RAID or
  ///     partition table may be written to.
  /// - Throws: ``AtomicWriteError/target(_:)``, ``AtomicWriteError/busy(_:)``,
  ///   ``AtomicWriteError/existingData(signature:)``, ``AtomicWriteError/refused(_:)`` or
  ///   ``AtomicWriteError/targetChanged``; nothing was written.
  /// - Complexity: A target on several drives, or by several paths, is probed once more.
  public init(
    opening report: TargetReport,
    overwritingExistingData: Bool = false
  ) throws(AtomicWriteError) {
    if let error = report.error { throw .target(error) }
    guard report.kind?.isBlockDevice == true || report.kind == .file else {
      throw .refused(.notWritable(report.kind ?? .block))
    }
    let opened = try Self.open(report)
    try Self.checkStack(of: opened, report)
    if report.kind?.isBlockDevice == true, !overwritingExistingData {
      try Self.checkSignature(of: opened, report)
    }
    descriptor = opened
    target = report
  }

  /// Writes the whole buffer at `offset`, all or nothing.
  ///
  /// - Parameters:
  ///   - buffer: Borrowed for the call.
  ///   - offset: Bytes from the begin of the target, a multiple of the buffer's length.
  ///   - durability: ``Durability/none`` leaves the write to the drive's cache.
  ///   - isStrict: Refuses to write where the promise would rest on an assumption.
  /// - Returns: What the write was kept to.
  /// - Throws: ``AtomicWriteError/refused(_:)``, ``AtomicWriteError/missingFact(_:)`` or
  ///   ``AtomicWriteError/onlyAssumed(_:)`` before any system call; a kernel error else, with its
  ///   ``AtomicWriteError/outcome``. After an unknown outcome the handle refuses all writes.
  /// - Complexity: One system call: `pwritev2(2)` with `RWF_ATOMIC` (Linux 6.11).
  public mutating func write(
    _ buffer: borrowing AlignedBuffer,
    atBytes offset: UInt64,
    durability: Durability,
    isStrict: Bool = false
  ) throws(AtomicWriteError) -> WriteReceipt {
    if isFailed { throw .handleFailed }
    let length = UInt64(buffer.byteCount)
    let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
    let promise = try Self.promise(
      for: range,
      on: target.limits,
      durability: durability,
      isStrict: isStrict
    )
    try checkFileSizeLimit(endBytes: offset + length)
    let flags: WriteFlags = durability == .onReturn ? [.atomic, .dataSync] : .atomic
    do throws(AtomicWriteError) {
      try submit(buffer, at: offset, flags)
    } catch {
      isFailed = error.outcome == .unknown
      throw error
    }
    let untorn = Planner(target.limits).plan(
      WriteRequest(range, promises: [.powerFailAtomic, .untorn], writer: .rwfAtomic)
    )
    return WriteReceipt(
      path: .kernel,
      offsetBytes: offset,
      lengthBytes: length,
      powerFailAtomic: promise,
      untorn: untorn.kernel,
      isDurable: durability == .none ? false : promise.keepsDurability ? true : nil
    )
  }

  /// What a write would be kept to, without a system call.
  ///
  /// - Parameters:
  ///   - range: Which bytes of the target.
  ///   - limits: The target's limits.
  ///   - durability: When the write survives a power failure.
  ///   - isStrict: Whether an assumption counts as a refusal.
  /// - Returns: Who keeps the write whole, and on what assumptions.
  /// - Throws: ``AtomicWriteError/refused(_:)``, ``AtomicWriteError/missingFact(_:)`` or
  ///   ``AtomicWriteError/onlyAssumed(_:)``.
  public static func promise(
    for range: WriteRequest.Range,
    on limits: TargetLimits,
    durability: Durability,
    isStrict: Bool
  ) throws(AtomicWriteError) -> PathPromise {
    var promises: Promises = .powerFailAtomic
    if durability == .onReturn { promises.insert(.durable) }
    let request = WriteRequest(range, promises: promises, writer: .rwfAtomic)
    switch Planner(limits).plan(request).kernel {
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missingFact(fact)
    case .holds(let promise):
      if isStrict, let assumption = promise.assumptions.first { throw .onlyAssumed(assumption) }
      return promise
    }
  }

  /// `generic_write_checks` would cut the write short after the check for `RWF_ATOMIC`.
  private func checkFileSizeLimit(endBytes: UInt64) throws(AtomicWriteError) {
    let limit = HostProcess.fileSizeLimitBytes
    guard target.kind == .file, endBytes > limit else { return }
    throw .refused(.exceedsFileSizeLimit(endBytes: endBytes, limitBytes: limit))
  }

  private func submit(
    _ buffer: borrowing AlignedBuffer,
    at offset: UInt64,
    _ flags: WriteFlags
  ) throws(AtomicWriteError) {
    var written = 0
    do throws(Errno) {
      written =
        try target.kind == .file
        ? push(buffer, at: offset, flags) : pushPastPageCache(buffer, at: offset, flags)
    } catch {
      if error == .resourceTemporarilyUnavailable {
        throw .busy("its pages are cached and in use by another program, or its queue is full")
      }
      throw AtomicWriteError(
        writeError: error,
        isFile: target.kind == .file,
        isDurable: flags.contains(.dataSync)
      )
    }
    guard written == buffer.byteCount else {
      throw .shortWrite(writtenBytes: written, requestedBytes: buffer.byteCount)
    }
  }

  private func push(
    _ buffer: borrowing AlignedBuffer,
    at offset: UInt64,
    _ flags: WriteFlags
  ) throws(Errno) -> Int {
    // SAFETY: the buffer lives through the call, which does not keep it.
    unsafe try buffer.withBytes { bytes throws(Errno) in
      unsafe try descriptor.write(bytes, atBytes: Int64(offset), flags)
    }
  }

  /// On a block device whose pages somebody else keeps in the page cache, the kernel falls back to
  /// a buffered write, `RWF_ATOMIC` or not (`block/fops.c:blkdev_direct_write`). With `RWF_NOWAIT`
  /// it fails instead, and nothing is written. Clean pages, such as a look at the signature leaves
  /// behind, are dropped first; a queue that is full for the moment gets a few tries.
  private func pushPastPageCache(
    _ buffer: borrowing AlignedBuffer,
    at offset: UInt64,
    _ flags: WriteFlags
  ) throws(Errno) -> Int {
    for _ in 0..<8 {
      try descriptor.dropPages(offset: Int64(offset), count: Int64(buffer.byteCount))
      do throws(Errno) {
        return try push(buffer, at: offset, flags.union(.noWait))
      } catch {
        guard error == .resourceTemporarilyUnavailable else { throw error }
        HostProcess.pause(milliseconds: 2)
      }
    }
    throw .resourceTemporarilyUnavailable
  }

  // MARK: Opening

  private static func open(_ report: TargetReport) throws(AtomicWriteError) -> OwnedFileDescriptor {
    let isBlockDevice = report.kind?.isBlockDevice == true
    let mode: OpenMode = isBlockDevice ? [.readWrite, .direct, .exclusive] : [.readWrite, .direct]
    let descriptor = try openErrors(report) { () throws(Errno) in
      try OwnedFileDescriptor(opening: report.path, mode)
    }
    let status = try openErrors(report) { () throws(Errno) in try FileStatus(of: descriptor) }
    var identity = TargetIdentity(status)
    // Kernels before 5.15 have none, neither here nor in sysfs.
    if isBlockDevice { identity.diskSequence = try? descriptor.diskSequence() }
    guard identity == report.identity, StatxLimits(status) == report.limits.statx
    else { throw .targetChanged }
    return descriptor
  }

  /// Tables, members and paths may have changed since the probe; and what `write` needs to stay out
  /// of the page cache, not every layer offers.
  private static func checkStack(
    of descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport
  ) throws(AtomicWriteError) {
    guard let stack = report.limits.stack else { return }
    let now = Probe().report(on: report.path)
    guard now.limits == report.limits, now.isSameTarget(as: report) else { throw .targetChanged }
    guard report.kind?.isBlockDevice == true else { return }
    // Linux 6.15 to 6.17 pass RWF_NOWAIT on to the members of a mirror, and what a member then
    // refuses for the moment counts as written (`drivers/md/raid1-10.c`).
    let takesNoWait = try openErrors(report) { () throws(Errno) in try descriptor.takesNoWait() }
    guard takesNoWait, !stack.layers.contains(where: \.isMirrored) else {
      throw .refused(
        .obstacle(
          "a layer below takes no RWF_NOWAIT, without which the kernel may write through the page "
            + "cache; a file on a filesystem there does"
        )
      )
    }
  }

  private static func checkSignature(
    of descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport
  ) throws(AtomicWriteError) {
    let signature = try openErrors(report) { () throws(Errno) in
      // A second descriptor, of the very device that is held: libblkid reads through the page
      // cache, which O_DIRECT does not.
      try BlockSignature.name(
        on: OwnedFileDescriptor(opening: "/proc/self/fd/\(descriptor.rawValue)", .readOnly)
      )
    }
    if let signature { throw .existingData(signature: signature) }
  }

  private static func openErrors<Value: ~Copyable>(
    _ report: TargetReport,
    _ body: () throws(Errno) -> Value
  ) throws(AtomicWriteError) -> Value {
    do throws(Errno) {
      return try body()
    } catch {
      throw openError(error, report)
    }
  }

  /// See `open(2)`.
  private static func openError(_ errno: Errno, _ report: TargetReport) -> AtomicWriteError {
    func target(_ code: ErrorCode, _ message: String, _ remedy: String) -> AtomicWriteError {
      .target(ProbeError(code: code, message: message, remedy: remedy))
    }
    switch errno {
    case .resourceBusy: return .busy(report.user ?? "it is mounted or held")
    case .noSuchFileOrDirectory:
      return target(.notFound, "no such file or device", "check the path")
    case .readOnlyFileSystem:
      return target(.permission, "it is read-only", "mount it read-write, or choose another target")
    case .permissionDenied, .notPermitted:
      return target(.permission, "\(errno)", "run it as root, or gain write access to the target")
    case .textFileBusy: return .busy("it is in use as swap space or as a running program")
    case .invalidArgument:
      return target(.unsupported, "the target takes no direct I/O", "use a filesystem that does")
    default: return target(.io, "\(errno)", "check the kernel log")
    }
  }
}
