/// Decides, by arithmetic alone, which path keeps a write whole, or for each path why not.
///
/// EINVAL has six causes and passthrough checks nothing at all, so every rule of kernel and
/// specification is applied here, before any system call.
public struct Planner: Sendable {
  /// The facts decided by.
  public let target: TargetLimits

  /// Takes the facts.
  public init(_ target: TargetLimits) {
    self.target = target
  }

  /// The verdict of each path on one request.
  public func plan(_ request: WriteRequest) -> Plan {
    Plan(
      kernel: verdict { () throws(Objection) in try kernel(request) },
      passthrough: verdict { () throws(Objection) in try passthrough(request) },
      plain: verdict { () throws(Objection) in try plain(request) }
    )
  }

  /// Ends a verdict before it is a yes.
  enum Objection: Error {
    case refused(PlanRefusal)
    case missing(MissingFact)
  }

  private func verdict(_ body: () throws(Objection) -> PathPromise) -> PathVerdict {
    do throws(Objection) {
      return .holds(try body())
    } catch {
      switch error {
      case .refused(let refusal): return .fails(refusal)
      case .missing(let fact): return .unknown(fact)
      }
    }
  }

  // MARK: RWF_ATOMIC

  private func kernel(_ request: WriteRequest) throws(Objection) -> PathPromise {
    try require(request.writer == .rwfAtomic, else: .otherWriter(request.writer))
    guard let statx = target.statx else { throw .missing(.statx) }
    try require(
      target.kind.isBlockDevice || target.kind.isFile,
      else: .notWritable(target.kind)
    )
    try require(statx.acceptsAtomicWrites, else: .kernelOffersNone)
    let length = request.lengthBytes
    try checkWhole(request)
    try require(length.isPowerOfTwo, else: .notPowerOfTwo(lengthBytes: length))
    let minimum = UInt64(statx.atomicWriteUnitMin ?? 0)
    try require(length >= minimum, else: .belowMinimum(lengthBytes: length, minimumBytes: minimum))
    let maximum = UInt64(statx.atomicWriteUnitMax ?? 0)
    try require(
      length <= maximum,
      else: .exceedsKernelLimit(lengthBytes: length, limitBytes: maximum)
    )
    try checkAlignment(request, to: length)

    let split = target.hardwareAndSoftware
    guard let hardware = split.hardwareMaximumBytes, let software = split.softwareMaximumBytes
    else { throw .missing(.filesystem(target.filesystem?.type ?? "an unknown filesystem")) }
    guard length <= hardware else {
      try require(!request.promises.contains(.untorn), else: .softwareIsSeenTorn)
      return PathPromise(backing: .software)
    }
    let backing: Backing = software == 0 ? .hardware : .mixed
    return try hardwarePromise(request, backing: backing)
  }

  private func hardwarePromise(
    _ request: WriteRequest,
    backing: Backing
  ) throws(Objection) -> PathPromise {
    switch target.drive {
    case .none:
      throw .refused(.noDrive)
    case .unknown(let fact):
      try require(!request.promises.contains(.untorn), elseMissing: fact)
      return PathPromise(backing: backing, assumptions: [.kernelWordOnly(fact)])
    case .known(let device):
      try checkPowerFail(request, device)
      try checkUntorn(request, device, backing: backing)
      return PathPromise(backing: backing, assumptions: try assumptions(request, device))
    }
  }

  // MARK: Passthrough

  private func passthrough(_ request: WriteRequest) throws(Objection) -> PathPromise {
    // Passthrough is the library's own; other writers never pass through it.
    try require(request.writer == .rwfAtomic, else: .otherWriter(request.writer))
    try require(
      [.namespace, .partition, .generic].contains(target.kind),
      else: .obstacle(PassthroughPathLimits(target).reason ?? "not an NVMe namespace")
    )
    let device = try knownDrive()
    let limit: UInt64
    switch target.passthroughObstacleOrLimit(device) {
    case .holds(let bytes): limit = bytes
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missing(fact)
    }
    try checkWhole(request)
    try checkBlocks(request, UInt64(device.logicalBlockSize.bytes))
    try checkPowerFail(request, device)
    try require(
      request.lengthBytes <= limit,
      else: .exceedsTransferLimit(lengthBytes: request.lengthBytes, limitBytes: limit)
    )
    try checkUntorn(request, device, backing: .hardware)
    return PathPromise(backing: .hardware, assumptions: try assumptions(request, device))
  }

  // MARK: Ordinary direct writes

  private func plain(_ request: WriteRequest) throws(Objection) -> PathPromise {
    try require(request.writer != .buffered, else: .buffered)
    try require(request.writer == .direct, else: .otherWriter(request.writer))
    try require(
      target.kind.isBlockDevice || target.kind.isFile,
      else: .notWritable(target.kind)
    )
    try checkWhole(request)
    if target.kind.isFile { try checkOneFilesystemBlock(request) }
    let device = try knownDrive()
    try require(device.metadataBytes == 0, elseMissing: .metadata)
    try checkBlocks(request, UInt64(device.logicalBlockSize.bytes))
    try checkPowerFail(request, device)
    try checkNotSplit(request)
    try checkNotMerged(
      upTo: device.powerFailBytes,
      boundary: device.powerFailBoundary
    )
    try checkUntorn(request, device, backing: .hardware)
    if request.promises.contains(.untorn), let normal = device.normalBytes {
      try checkNotMerged(upTo: normal, boundary: device.normalBoundary)
    }
    return PathPromise(backing: .hardware, assumptions: try assumptions(request, device))
  }

  /// One block of a filesystem that writes in place is never split, and nothing longer is trusted.
  private func checkOneFilesystemBlock(_ request: WriteRequest) throws(Objection) {
    guard let filesystem = target.filesystem else { throw .missing(.filesystem("unknown")) }
    if case .none = target.drive { throw .refused(.noDrive) }
    switch filesystem.type {
    case "ext4": break
    case "xfs":
      guard let reflink = filesystem.reflink, filesystem.realtime == false else {
        throw .missing(.filesystem("XFS whose geometry could not be read"))
      }
      try require(!reflink, else: .filesystemMayMove(type: "xfs"))
    case "btrfs", "f2fs", "zfs", "bcachefs", "nilfs2":
      throw .refused(.filesystemMayMove(type: filesystem.type))
    default: throw .missing(.filesystem(filesystem.type))
    }
    guard let alignment = target.statx?.dioOffsetAlign else { throw .missing(.statx) }
    try require(alignment > 0, else: .noDirectIO)
    guard let block = filesystem.blockSize, block > 0 else {
      throw .missing(.filesystem(filesystem.type))
    }
    let length = request.lengthBytes
    switch request.range {
    case .everyPage(let size):
      try require(
        block % size == 0,
        else: .exceedsFilesystemBlock(lengthBytes: size, blockBytes: block)
      )
    case .one(let offset, _):
      try require(
        offset / block == (offset + length - 1) / block,
        else: .exceedsFilesystemBlock(lengthBytes: length, blockBytes: block)
      )
    }
  }

  /// `block/blk-merge.c`: ordinary writes are cut at `max_sectors_kb`, `chunk_sectors` and
  /// `max_segments`; direct I/O builds one bio from at most 256 pages.
  private func checkNotSplit(_ request: WriteRequest) throws(Objection) {
    let length = request.lengthBytes
    guard let kilobytes = target.queue.maxSectorsKB else {
      throw .missing(.queue("max_sectors_kb"))
    }
    let longest = kilobytes.multipliedOrMax(by: 1024)
    try require(length <= longest, else: .canBeSplit(limitBytes: longest, by: "max_sectors_kb"))
    guard let segments = target.queue.maxSegments else { throw .missing(.queue("max_segments")) }
    // A buffer that is not page-aligned touches one page more.
    let pages = min(segments, 256)
    let scattered = pages > 0 ? (pages - 1).multipliedOrMax(by: 4096) : 0
    try require(length <= scattered, else: .canBeSplit(limitBytes: scattered, by: "max_segments"))
    guard let chunk = target.queue.chunkSectors else { throw .missing(.queue("chunk_sectors")) }
    if let lines = AtomicBoundary(sizeBytes: chunk.multipliedOrMax(by: 512)) {
      try checkBoundary(request, lines)
    }
  }

  /// Neighbouring requests are merged up to `max_sectors_kb` unless `nomerges` is 2; the command
  /// that results is atomic only as a whole.
  private func checkNotMerged(
    upTo limit: UInt64,
    boundary: AtomicBoundary?
  ) throws(Objection) {
    guard let nomerges = target.queue.nomerges else { throw .missing(.queue("nomerges")) }
    if nomerges == 2 { return }
    guard let kilobytes = target.queue.maxSectorsKB else {
      throw .missing(.queue("max_sectors_kb"))
    }
    let command = kilobytes.multipliedOrMax(by: 1024)
    try require(command <= limit && boundary == nil, else: .canBeMerged(commandBytes: command))
  }

  // MARK: Rules that several paths share

  private func require(_ condition: Bool, else refusal: PlanRefusal) throws(Objection) {
    guard condition else { throw .refused(refusal) }
  }

  private func require(_ condition: Bool, elseMissing fact: MissingFact) throws(Objection) {
    guard condition else { throw .missing(fact) }
  }

  private func knownDrive() throws(Objection) -> DeviceLimits {
    switch target.drive {
    case .none: throw .refused(.noDrive)
    case .unknown(let fact): throw .missing(fact)
    case .known(let device): return device
    }
  }

  private func checkWhole(_ request: WriteRequest) throws(Objection) {
    try require(request.lengthBytes > 0, else: .empty)
    guard case .one(let offset, let length) = request.range else {
      if target.kind.isBlockDevice, let size = target.sizeBytes {
        try require(
          request.lengthBytes <= size,
          else: .beyondEnd(endBytes: request.lengthBytes, sizeBytes: size)
        )
      }
      return
    }
    let (end, overflow) = offset.addingReportingOverflow(length)
    // Offsets are signed in the kernel.
    try require(!overflow && end <= UInt64(Int64.max), else: .overflows)
    if target.kind.isBlockDevice || target.kind == .generic, let size = target.sizeBytes {
      try require(end <= size, else: .beyondEnd(endBytes: end, sizeBytes: size))
    }
  }

  private func checkAlignment(_ request: WriteRequest, to alignment: UInt64) throws(Objection) {
    guard case .one(let offset, _) = request.range else { return }
    try require(
      offset % alignment == 0,
      else: .misaligned(offsetBytes: offset, alignmentBytes: alignment)
    )
  }

  private func checkBlocks(_ request: WriteRequest, _ block: UInt64) throws(Objection) {
    try require(
      request.lengthBytes % block == 0,
      else: .partialBlock(lengthBytes: request.lengthBytes, blockBytes: block)
    )
    try checkAlignment(request, to: block)
  }

  private func checkPowerFail(
    _ request: WriteRequest,
    _ device: DeviceLimits
  ) throws(Objection) {
    let length = request.lengthBytes
    try require(
      length <= device.powerFailBytes,
      else: .exceedsPowerFailLimit(lengthBytes: length, limitBytes: device.powerFailBytes)
    )
    // The kernel's own lines, which its driver refuses to cross, are checked where it is asked.
    if request.writer == .rwfAtomic, target.kind.isBlockDevice,
      let lines = AtomicBoundary(sizeBytes: target.queue.atomicWriteBoundaryBytes ?? 0)
    {
      try checkBoundary(request, lines)
    }
    if let boundary = device.powerFailBoundary { try checkBoundary(request, boundary) }
  }

  private func checkUntorn(
    _ request: WriteRequest,
    _ device: DeviceLimits,
    backing: Backing
  ) throws(Objection) {
    guard request.promises.contains(.untorn) else { return }
    guard let disabled = device.normalAtomicityDisabled, let normal = device.normalBytes else {
      throw .missing(.writeAtomicityNormal)
    }
    try require(!disabled, else: .normalAtomicityDisabled)
    let length = request.lengthBytes
    try require(
      length <= normal,
      else: .exceedsNormalLimit(lengthBytes: length, limitBytes: normal)
    )
    try require(backing == .hardware, elseMissing: .placement)
    if let boundary = device.normalBoundary { try checkBoundary(request, boundary) }
  }

  /// Addresses are absolute: a partition's begin is added, a file's blocks may lie anywhere.
  private func checkBoundary(
    _ request: WriteRequest,
    _ boundary: AtomicBoundary
  ) throws(Objection) {
    guard let start = target.startBytes else { throw .missing(.start) }
    if target.kind.isFile { return try checkBoundaryBelowFile(request, boundary, from: start) }
    switch request.range {
    case .everyPage(let size):
      try require(
        boundary.containsEveryPage(ofBytes: size, fromBytes: start),
        else: .crossesBoundary(boundary, startBytes: start)
      )
    case .one(let offset, let length):
      let (absolute, overflow) = start.addingReportingOverflow(offset)
      try require(
        !overflow && boundary.contains(startBytes: absolute, lengthBytes: length),
        else: .crossesBoundary(boundary, startBytes: start)
      )
    }
  }

  /// Either the kernel refuses what crosses, or every block of the filesystem lies whole.
  private func checkBoundaryBelowFile(
    _ request: WriteRequest,
    _ boundary: AtomicBoundary,
    from start: UInt64
  ) throws(Objection) {
    if request.writer == .rwfAtomic, target.kernelKeeps(boundary),
      request.lengthBytes <= boundary.sizeBytes
    {
      return
    }
    guard let block = target.filesystem?.blockSize, request.lengthBytes <= block else {
      throw .missing(.placement)
    }
    try require(
      boundary.containsEveryPage(ofBytes: block, fromBytes: start),
      else: .crossesBoundary(boundary, startBytes: start)
    )
  }

  private func assumptions(
    _ request: WriteRequest,
    _ device: DeviceLimits
  ) throws(Objection) -> [Assumption] {
    let claim: [Assumption] = target.fabric.map { [.fabricsClaim(transport: $0)] } ?? []
    guard device.volatileWriteCache != false else { return claim }
    if request.promises.contains(.durable) {
      try require(target.queue.writeBack != false, else: .cacheNeverFlushed)
      return claim
    }
    return claim + [.volatileCacheKeepsWritesWhole]
  }
}
