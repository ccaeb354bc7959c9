import LinuxIO

/// Holds each write to the plan before any system call, and remembers the plan for the next one of
/// the same length: what holds for every page of a length is then decided by a few comparisons.
///
/// Never more generous than ``Planner``: what is not remembered is asked anew.
package struct WriteAdmission: Sendable {
  /// `MAX_RW_COUNT` (`include/linux/fs.h`), for pages of 4 KiB to 64 KiB: longer calls end short.
  private static let longestCall: UInt64 = 0x7fff_0000

  private let limits: TargetLimits
  private let path: WritePath
  private let durability: Durability
  private let isStrict: Bool
  private let allowsShared: Bool
  /// Whether durable writes may wait for a flush that others share. Until then they are in a cache,
  /// where nobody specifies that what has ended stays whole.
  private let sharesFlushes: Bool
  /// No byte at or beyond this one may be written: `RLIMIT_FSIZE` would shorten the write.
  private var fileSizeLimitBytes = UInt64.max

  /// The length remembered; none is so long.
  private var lengthBytes = UInt64.max
  private var lastOffsetBytes: UInt64 = 0
  /// Bits that no admitted offset has: each is at a multiple of a power of two.
  private var misalignedBits: UInt64 = 0
  /// Lines that each write is held to one by one; `nil` where no aligned write crosses any.
  private var lines: AtomicBoundary?
  private var startBytes: UInt64 = 0
  /// Who keeps writes of the remembered length whole; `nil` for a plain write, which nobody does.
  package private(set) var promise: PathPromise?
  /// The verdict on readers, where it is the same for every write of the remembered length.
  private var untornOfEvery: PathVerdict?

  init(
    _ target: AtomicTarget,
    durability: Durability,
    isStrict: Bool,
    sharesFlushes: Bool = false
  ) {
    self.init(
      target.report.limits,
      path: target.path,
      durability: durability,
      isStrict: isStrict,
      allowsShared: target.allowsShared,
      sharesFlushes: sharesFlushes
    )
    // `generic_write_checks` cuts the write short after the check for `RWF_ATOMIC`.
    if target.report.kind == .file { fileSizeLimitBytes = HostProcess.fileSizeLimitBytes }
  }

  /// By facts alone.
  package init(
    _ limits: TargetLimits,
    path: WritePath,
    durability: Durability,
    isStrict: Bool,
    allowsShared: Bool,
    sharesFlushes: Bool = false
  ) {
    precondition(!(isStrict && sharesFlushes), "what waits for a shared flush rests on a cache")
    self.sharesFlushes = sharesFlushes
    self.limits = limits
    self.path = path
    self.durability = durability
    self.isStrict = isStrict
    self.allowsShared = allowsShared
  }

  /// Lets the write pass, or says why not.
  @inline(always)
  package mutating func admit(offset: UInt64, length: UInt64) throws(AtomicWriteError) {
    guard length == lengthBytes, offset <= lastOffsetBytes, offset & misalignedBits == 0,
      lines?.contains(startBytes: startBytes &+ offset, lengthBytes: length) ?? true
    else { return try plan(offset: offset, length: length) }
  }

  /// Whether readers of an admitted write see all old or all new bytes.
  func untorn(offset: UInt64, length: UInt64) -> PathVerdict {
    if length == lengthBytes, let untornOfEvery { return untornOfEvery }
    return untorn(.one(offsetBytes: offset, lengthBytes: length))
  }

  private func untorn(_ range: WriteRequest.Range) -> PathVerdict {
    if path == .plain { return .fails(.ordinaryWrite) }
    var request = WriteRequest(range, promises: [.powerFailAtomic, .untorn], writer: .rwfAtomic)
    request.allowsShared = allowsShared
    let plan = Planner(limits).plan(request)
    return path == .passthrough ? plan.passthrough : plan.kernel
  }

  /// Asks the planner, and remembers what is true of every write of this length.
  private mutating func plan(offset: UInt64, length: UInt64) throws(AtomicWriteError) {
    lengthBytes = .max
    let range = WriteRequest.Range.one(offsetBytes: offset, lengthBytes: length)
    if path == .plain {
      try checkPlain(offset: offset, length: length)
      remember(length, alignment: UInt64(limits.statx?.dioOffsetAlign ?? 1), nil, nil)
      return
    }
    promise = try self.promise(for: range)
    let (end, _) = offset.addingReportingOverflow(length)
    try checkFileSizeLimit(endBytes: end)
    if path == .passthrough {
      // What is left to decide by the offset: blocks and lines, and for a vendor's bytes more.
      guard let device = limits.commandDrive.limits, device.powerFailSource != .vendor
      else { return }
      let block = UInt64(device.logicalBlockSize.bytes)
      return remember(length, alignment: block, device.powerFailBoundary, promise)
    }
    let page = WriteRequest.Range.everyPage(sizeBytes: length)
    let everyPage = try? promise(for: page)
    if everyPage != nil, everyPage == promise {
      remember(length, alignment: length, nil, promise)
    }
  }

  private func promise(for range: WriteRequest.Range) throws(AtomicWriteError) -> PathPromise {
    var promise = try AtomicWriter.promise(
      for: range,
      on: limits,
      path: path,
      durability: durability,
      isStrict: isStrict,
      allowsShared: allowsShared
    )
    // XFS moves blocks by its log, before which it flushes what was written elsewhere.
    if sharesFlushes, promise.backing != .software, mayCache {
      promise.assumptions.append(.volatileCacheKeepsWritesWhole)
    }
    return promise
  }

  private var mayCache: Bool {
    path == .passthrough
      ? limits.commandDrive.limits?.volatileWriteCache != false : limits.mayCache
  }

  private mutating func remember(
    _ length: UInt64,
    alignment: UInt64,
    _ lines: AtomicBoundary?,
    _ promise: PathPromise?
  ) {
    var most = min(UInt64(Int64.max), fileSizeLimitBytes)
    if limits.filesystem?.type == "ext4" {
      most = min(most, (limits.filesystem?.blockSize ?? 0).multipliedOrMax(by: UInt64(UInt32.max)))
    }
    if !limits.kind.isFile {
      guard let size = limits.sizeBytes else { return }
      most = min(most, size)
    }
    guard alignment.isPowerOfTwo, most >= length,
      let start = limits.startBytes ?? (lines == nil ? 0 : nil)
    else { return }
    self.lines = lines
    startBytes = start
    misalignedBits = alignment - 1
    lastOffsetBytes = most - length
    self.promise = promise
    lengthBytes = length
    let every = untorn(.everyPage(sizeBytes: length))
    untornOfEvery = every == untorn(.one(offsetBytes: 0, lengthBytes: length)) ? every : nil
  }

  private func checkFileSizeLimit(endBytes: UInt64) throws(AtomicWriteError) {
    guard endBytes > fileSizeLimitBytes else { return }
    throw .refused(.exceedsFileSizeLimit(endBytes: endBytes, limitBytes: fileSizeLimitBytes))
  }

  /// A plain write promises nothing, but it must be one that the kernel takes as direct I/O.
  private func checkPlain(offset: UInt64, length: UInt64) throws(AtomicWriteError) {
    let block = UInt64(limits.statx?.dioOffsetAlign ?? 0)
    if block == 0 { throw .refused(.noDirectIO) }
    if length == 0 { throw .refused(.empty) }
    if length > Self.longestCall {
      throw .refused(.exceedsKernelLimit(lengthBytes: length, limitBytes: Self.longestCall))
    }
    if length % block != 0 {
      throw .refused(.partialBlock(lengthBytes: length, blockBytes: block))
    }
    if offset % block != 0 {
      throw .refused(.misaligned(offsetBytes: offset, alignmentBytes: block))
    }
    let (end, overflow) = offset.addingReportingOverflow(length)
    if overflow || end > UInt64(Int64.max) { throw .refused(.overflows) }
    if !limits.kind.isFile, let size = limits.sizeBytes, end > size {
      throw .refused(.beyondEnd(endBytes: end, sizeBytes: size))
    }
    try checkFileSizeLimit(endBytes: end)
    if durability == .onReturn, case .fails(let refusal) = Planner(limits).synchronizing {
      throw .refused(refusal)
    }
  }
}
