/// Decides, by arithmetic alone, which path keeps a write whole, or for each path why not.
///
/// EINVAL has six causes and passthrough checks nothing at all, so every rule of kernel and
/// specification is applied here, before any system call.
public struct Planner: Sendable {
  /// The facts decided by.
  public let target: TargetLimits

  /// Where the range of a file lies that one request is about.
  public let placement: RangePlacement?

  /// Takes the facts; where a range lies is true of its moment only.
  public init(_ target: TargetLimits, placed placement: RangePlacement? = nil) {
    self.target = target
    self.placement = placement
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

  func verdict(_ body: () throws(Objection) -> PathPromise) -> PathVerdict {
    do throws(Objection) {
      return .holds(try body())
    } catch {
      switch error {
      case .refused(let refusal): return .fails(refusal)
      case .missing(let fact): return .unknown(fact)
      }
    }
  }

  /// Whether the kernel's flushes reach whatever caches writes below the target.
  var flushing: PathVerdict {
    verdict { () throws(Objection) in
      let assumptions = try checkFlushed()
      if target.kind.isFile { try checkFreshBlocks() }
      return PathPromise(backing: .unknown, assumptions: assumptions)
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
    guard let minimum = statx.atomicWriteUnitMin.map(UInt64.init) else { throw .missing(.statx) }
    try require(length >= minimum, else: .belowMinimum(lengthBytes: length, minimumBytes: minimum))
    let maximum = UInt64(statx.atomicWriteUnitMax ?? 0)
    try require(
      length <= maximum,
      else: .exceedsKernelLimit(lengthBytes: length, limitBytes: maximum)
    )
    try checkAlignment(request, to: length)
    try checkDirectIO(request)

    try checkExt4(request)
    let split = target.hardwareAndSoftware
    guard let hardware = split.hardwareMaximumBytes, let software = split.softwareMaximumBytes
    else {
      let kind = target.filesystem?.undescribedKind ?? "an unknown filesystem"
      throw .missing(.filesystem(kind))
    }
    guard length <= hardware else {
      try require(
        length <= software,
        else: .exceedsKernelLimit(lengthBytes: length, limitBytes: max(hardware, software))
      )
      try require(!request.promises.contains(.untorn), else: .softwareIsSeenTorn)
      return PathPromise(backing: .software, assumptions: try checkFlushed())
    }
    if target.kind.isFile { try checkFreshBlocks() }
    let backing = software == 0 ? .hardware : placedBacking(of: request)
    return try hardwarePromise(request, backing: backing)
  }

  private func hardwarePromise(
    _ request: WriteRequest,
    backing: Backing
  ) throws(Objection) -> PathPromise {
    if let stack = target.stack, !stack.isOneOpaqueDisk {
      return try stackPromise(request, stack, backing: backing)
    }
    switch target.drive {
    case .none:
      throw .refused(.noDrive)
    case .unknown(let fact):
      try require(!request.promises.contains(.untorn), elseMissing: fact)
      let flushed = request.promises.contains(.durable) ? try checkFlushed() : []
      return PathPromise(backing: backing, assumptions: [.kernelWordOnly(fact)] + flushed)
    case .known(let reported):
      // The kernel sends, and merges, by the specification's fields alone.
      let device = reported.withoutVendor
      try require(device.metadataBytes == 0, elseMissing: .metadata)
      try checkPowerFail(request, device)
      try checkNotCut(request)
      try checkUntorn(request, device, backing: backing)
      try checkAtomicNotMerged(request, upTo: device.powerFailBytes, device.linesForMerging)
      if request.promises.contains(.untorn), let normal = device.normalBytes {
        try checkAtomicNotMerged(request, upTo: normal, device.normalBoundary)
      }
      return PathPromise(backing: backing, assumptions: try assumptions(request, device))
    }
  }

  /// Atomic writes are merged with atomic neighbours; the driver refuses what grows beyond the
  /// queue's unit or crosses the queue's boundary, and knows no others.
  private func checkAtomicNotMerged(
    _ request: WriteRequest,
    upTo limit: UInt64,
    _ boundary: AtomicBoundary?
  ) throws(Objection) {
    switch target.atomicMerge(of: request.lengthBytes, within: limit, boundary) {
    case .known(let command?): throw .refused(.canBeMerged(commandBytes: command))
    case .known(nil): return
    case .unknown(let fact): throw .missing(fact)
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
    let device = try known(target.commandDrive)
    let limit: UInt64
    switch target.passthroughLimit(device, allowsShared: request.allowsShared) {
    case .holds(let bytes): limit = bytes
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missing(fact)
    }
    try checkWhole(request)
    try checkBlocks(request, UInt64(device.logicalBlockSize.bytes))
    try checkPowerFail(request, device, ofKernel: false)
    try require(
      request.lengthBytes <= limit,
      else: .exceedsTransferLimit(lengthBytes: request.lengthBytes, limitBytes: limit)
    )
    try checkUntorn(request, device, backing: .hardware)
    return PathPromise(backing: .hardware, assumptions: passthroughAssumptions(request, device))
  }

  /// Commands carry FUA or are followed by a Flush, whatever the kernel was told of the cache.
  private func passthroughAssumptions(
    _ request: WriteRequest,
    _ device: DeviceLimits
  ) -> [Assumption] {
    var assumptions: [Assumption] = []
    if let fabric = target.commandFabric {
      let remote = "the namespace is remote (\(fabric))"
      assumptions += [.fabricsClaim(transport: fabric), .soleUser(target.sharing ?? remote)]
    } else if let sharing = target.sharing {
      assumptions.append(.soleUser(sharing))
    }
    if device.volatileWriteCache != false, !request.promises.contains(.durable) {
      assumptions.append(.volatileCacheKeepsWritesWhole)
    }
    return assumptions
  }
}
