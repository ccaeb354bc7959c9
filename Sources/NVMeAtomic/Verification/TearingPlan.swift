/// Which sizes are written, where, and by what reads they are looked at: arithmetic on facts.
package struct TearingPlan: Hashable, Sendable {
  /// Direct I/O builds one bio from at most 256 pages (`block/fops.c`, `fs/iomap/direct-io.c`).
  private static let mostPages: UInt64 = 256
  private static let pageBytes: UInt64 = 4096
  /// Ordinary writes that promise nothing are tried up to here.
  private static let largestPlainBytes: UInt64 = 1 << 20
  private static let largestControlBytes: UInt64 = 16 << 20

  /// Bytes of a stamped block: the logical block.
  package let blockBytes: UInt64
  /// Reads begin and end at multiples of this.
  let alignmentBytes: UInt64
  /// What one command carries, a power of two; `nil` where that is not known.
  let oneCommandBytes: UInt64?
  /// The sizes within the limits, in their order, and the controls; then what nobody promises.
  package private(set) var steps: [TearingStep] = []

  private let limits: TargetLimits
  let path: WritePath
  private let allowsShared: Bool
  private let options: TearingOptions
  /// What may be overwritten.
  let range: Range<UInt64>

  /// Plans, by facts alone.
  ///
  /// - Parameters:
  ///   - limits: The target's.
  ///   - sizeBytes: How long it is.
  ///   - path: ``WritePath/kernel``, ``WritePath/passthrough`` or ``WritePath/plain``.
  ///   - allowsShared: See ``WriteRequest/allowsShared``.
  ///   - options: What is asked for.
  /// - Throws: ``AtomicWriteError/refused(_:)`` or ``AtomicWriteError/missingFact(_:)`` where a
  ///   size that was asked for, or every size, is not taken or has no room.
  package init(
    _ limits: TargetLimits,
    sizeBytes: UInt64,
    path: WritePath,
    allowsShared: Bool,
    _ options: TearingOptions
  ) throws(AtomicWriteError) {
    (self.limits, self.path, self.options) = (limits, path, options)
    self.allowsShared = allowsShared
    let end = options.lengthBytes.map { options.offsetBytes.addingOrMax($0) } ?? sizeBytes
    guard options.offsetBytes < end, end <= sizeBytes else {
      throw .refused(.beyondEnd(endBytes: max(end, options.offsetBytes), sizeBytes: sizeBytes))
    }
    range = options.offsetBytes..<end
    let device = path == .passthrough ? limits.commandDrive.limits : limits.drive.limits
    let direct = UInt64(limits.statx?.dioOffsetAlign ?? 0)
    guard
      let block = device.map({ UInt64($0.logicalBlockSize.bytes) }) ?? limits.queue.logicalBlockSize
        ?? (direct > 0 ? direct : nil)
    else { throw Self.withoutBlocks(limits, path) }
    blockBytes = block
    alignmentBytes = path == .passthrough ? block : max(block, direct)
    oneCommandBytes = Self.oneCommand(limits, path)
    let path = try pathSteps()
    let largest = path.map(\.sizeBytes).max() ?? 0
    let beyond = max(largest, device?.normalBytes ?? 0)
    let controls = [oneCommandControl(beyond), severalCommandsControl(largest)]
    // What nobody promises may leave a file in pieces, and comes last.
    let open = path.filter { !$0.isNotPromised }
    let first = open.isEmpty ? path : open
    steps = first + controls.compactMap(\.self)
    if !open.isEmpty { steps += path.filter(\.isNotPromised) }
  }

  /// What is written to once before, so that a file's blocks are no longer unwritten ones, which
  /// XFS writes elsewhere piece by piece; `nil` where there is no file.
  var preparedRange: Range<UInt64>? {
    let ranges = steps.flatMap { step in
      step.offsetsBytes.map { $0..<$0 + step.sizeBytes }
    }
    guard limits.kind.isFile, let begin = ranges.map(\.lowerBound).min(),
      let end = ranges.map(\.upperBound).max()
    else { return nil }
    return begin..<end
  }

  /// Nothing has blocks here that direct I/O could go to.
  private static func withoutBlocks(_ limits: TargetLimits, _ path: WritePath) -> AtomicWriteError {
    if path == .passthrough { return .refused(.noDrive) }
    if limits.statx == nil { return .missingFact(.statx) }
    return .refused(path == .plain ? .noDirectIO : .kernelOffersNone)
  }

  /// `block/blk-merge.c` cuts at `max_sectors_kb`, `max_segments` and lines of `chunk_sectors`;
  /// commands of our own are cut by nobody, and refused beyond MDTS and what the driver takes.
  static func oneCommand(_ limits: TargetLimits, _ path: WritePath) -> UInt64? {
    guard let segments = limits.queue.maxSegments else { return nil }
    let scattered = min(segments, mostPages).multipliedOrMax(by: pageBytes)
    if path == .passthrough {
      guard let device = limits.commandDrive.limits, let most = limits.transferLimitBytes(device)
      else { return nil }
      return min(most, scattered).powerOfTwoFloor
    }
    // Each layer of a stack may cut.
    guard limits.stack.map(\.isOneOpaqueDisk) ?? true, let kilobytes = limits.queue.maxSectorsKB
    else { return nil }
    let chunk = (limits.queue.chunkSectors ?? 0).multipliedOrMax(by: 512)
    return min(kilobytes.multipliedOrMax(by: 1024), scattered, chunk > 0 ? chunk : .max)
      .powerOfTwoFloor
  }

  // MARK: Within the limits

  private func pathSteps() throws(AtomicWriteError) -> [TearingStep] {
    var steps: [TearingStep] = []
    var refusal: AtomicWriteError?
    for size in options.sizesBytes.isEmpty ? candidates : options.sizesBytes {
      do throws(AtomicWriteError) {
        steps.append(try step(size, .path, offsets: offsets(size) { self.refusal(of: $0, size) }))
      } catch {
        if !options.sizesBytes.isEmpty { throw error }
        refusal = refusal ?? error
      }
    }
    if steps.isEmpty { throw refusal ?? .refused(.kernelOffersNone) }
    return steps
  }

  /// Powers of two that may be within the limits, the smallest first.
  private var candidates: [UInt64] {
    let (least, most): (UInt64, UInt64)
    switch path {
    case .passthrough:
      let limits = PassthroughPathLimits(limits, allowsShared: allowsShared)
      (least, most) = (blockBytes, max(limits.maximumBytes ?? 0, blockBytes))
    case .plain:
      (least, most) = (alignmentBytes, min(oneCommandBytes ?? .max, Self.largestPlainBytes))
    default:
      let statx = limits.statx
      least = max(UInt64(statx?.atomicWriteUnitMin ?? 0), alignmentBytes)
      most = max(UInt64(statx?.atomicWriteUnitMax ?? 0), least)
    }
    guard least.isPowerOfTwo, least <= most else { return [least] }
    return (least.trailingZeroBitCount...most.powerOfTwoFloor.trailingZeroBitCount).map { 1 << $0 }
  }

  /// Why a write does not go by the path; `nil` where it does.
  private func refusal(of offset: UInt64, _ size: UInt64) -> AtomicWriteError? {
    var admission = WriteAdmission(
      limits,
      path: path,
      durability: .none,
      isStrict: false,
      allowsShared: allowsShared
    )
    do throws(AtomicWriteError) {
      try admission.admit(offset: offset, length: size)
      return nil
    } catch {
      return error
    }
  }

  /// As many places as there are writers, so that most of the time each is being written to.
  private func offsets(
    _ size: UInt64,
    _ refusal: (UInt64) -> AtomicWriteError?
  ) throws(AtomicWriteError) -> [UInt64] {
    guard size > 0, size % blockBytes == 0, size <= 1 << 30 else {
      throw .refused(.partialBlock(lengthBytes: size, blockBytes: blockBytes))
    }
    var (found, first): ([UInt64], AtomicWriteError?) = ([], nil)
    let begin = range.lowerBound.addingOrMax(size - 1) / size
    // Of places across a line some are left out.
    for place in begin..<begin + UInt64(4 * options.writers) where found.count < options.writers {
      let (offset, overflow) = place.multipliedReportingOverflow(by: size)
      guard !overflow, offset.addingOrMax(size) <= range.upperBound else { break }
      if let why = refusal(offset) { first = first ?? why } else { found.append(offset) }
    }
    guard found.isEmpty else { return found }
    let end = begin.multipliedOrMax(by: size).addingOrMax(size)
    throw first ?? .refused(.beyondEnd(endBytes: end, sizeBytes: range.upperBound))
  }

  // MARK: Beyond the limits

  /// The longest command there is, if the drive does not keep it whole.
  private func oneCommandControl(_ beyond: UInt64) -> TearingStep? {
    guard var size = oneCommandBytes.map({ min($0, 1 << 20) }), size > beyond else { return nil }
    // As long as the range has room for it.
    while size > beyond, size > blockBytes {
      if let offsets = try? offsets(size, { _ in nil }) {
        return step(size, .oneCommand, offsets: offsets)
      }
      size /= 2
    }
    return nil
  }

  private func severalCommandsControl(_ largest: UInt64) -> TearingStep? {
    // A command of our own is one.
    guard path != .passthrough else { return nil }
    let one = oneCommandBytes ?? 1 << 20
    let least = max(2 * one, 2 * largest.powerOfTwoFloor)
    var size = min(max(4 * one, least), max(Self.largestControlBytes, least))
    while size >= least {
      if let offsets = try? offsets(size, { _ in nil }) {
        return step(size, .severalCommands, offsets: offsets)
      }
      size /= 2
    }
    return nil
  }

  // MARK: What readers may see

  private func step(
    _ size: UInt64,
    _ kind: TearingStep.Kind,
    offsets: [UInt64]
  ) -> TearingStep {
    let promise = kind == .path ? promise(size) : nil
    // Half a command is cut nowhere, wherever it begins.
    let part = max((oneCommandBytes ?? Self.largestPlainBytes) / 2, alignmentBytes)
    let read = size <= oneCommandBytes ?? Self.largestPlainBytes ? size : part
    return TearingStep(
      sizeBytes: size,
      kind: kind,
      promise: promise,
      readBytes: read,
      readMayBeSplit: readMayBeSplit(read, of: size, promise),
      offsetsBytes: offsets
    )
  }

  private func promise(_ size: UInt64) -> PathVerdict {
    var request = WriteRequest(
      .everyPage(sizeBytes: size),
      promises: [.powerFailAtomic, .untorn],
      writer: path == .plain ? .direct : .rwfAtomic
    )
    request.allowsShared = allowsShared
    let plan = Planner(limits).plan(request)
    return path == .passthrough ? plan.passthrough : path == .plain ? plan.plain : plan.kernel
  }

  /// A read that is several commands may see one write by the first and another by the second.
  private func readMayBeSplit(
    _ read: UInt64,
    of size: UInt64,
    _ promise: PathVerdict?
  ) -> Bool? {
    // One block is never divided.
    if read <= blockBytes { return false }
    guard let one = oneCommandBytes else { return nil }
    if read > one { return true }
    if path == .passthrough { return false }
    // Where the drive keeps a file's range whole, it lies in one piece.
    if limits.kind.isFile { return promise?.promise?.backing == .hardware ? false : nil }
    guard let chunk = limits.queue.chunkSectors else { return nil }
    guard let lines = AtomicBoundary(sizeBytes: chunk.multipliedOrMax(by: 512)) else {
      return false
    }
    guard let start = limits.startBytes, read == size else { return nil }
    return !lines.containsEveryPage(ofBytes: size, fromBytes: start)
  }
}
