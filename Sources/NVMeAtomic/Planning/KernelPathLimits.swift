/// What `RWF_ATOMIC` keeps whole on a target, at every naturally aligned offset.
public struct KernelPathLimits: Hashable, Sendable {
  /// `nil` when it cannot be told.
  public var available: Bool?
  /// The shortest write the kernel takes.
  public var minimumBytes: UInt64?
  /// The longest that kernel and drive both keep.
  public var maximumBytes: UInt64?
  /// The longest that may be kept by the drive; 0 if none.
  public var hardwareMaximumBytes: UInt64?
  /// The longest that XFS keeps by moving blocks; 0 if none.
  public var softwareMaximumBytes: UInt64?
  /// The kernel's boundary; 0 is none.
  public var boundaryBytes: UInt64?
  /// Who keeps the write whole.
  public var backing: Backing
  /// Why not, or why it cannot be told; a clause.
  public var reason: String?

  /// Derives the limits from facts.
  public init(_ target: TargetLimits) {
    backing = .unknown
    boundaryBytes = target.queue.atomicWriteBoundaryBytes
    if target.kind == .generic || target.kind == .controller {
      makeUnavailable("a character device takes no RWF_ATOMIC")
      return
    }
    guard let statx = target.statx else {
      reason = MissingFact.statx.description
      return
    }
    guard statx.acceptsAtomicWrites else {
      makeUnavailable(PlanRefusal.kernelOffersNone.description)
      return
    }
    let split = target.hardwareAndSoftware
    // What moves blocks in a log needs the log flushed.
    if target.kind.isFile {
      switch Planner(target).flushing {
      case .holds(let promise):
        if let assumption = promise.assumptions.first {
          reason = assumption.description
          return
        }
      case .fails(let refusal):
        makeUnavailable(refusal.description)
        return
      case .unknown(let fact):
        reason = fact.description
        return
      }
    }
    // What XFS keeps in software needs no word of the drive.
    softwareMaximumBytes = split.softwareMaximumBytes
    switch target.hardwareUnit(upTo: split.hardwareMaximumBytes) {
    case .unknown(let fact): reason = fact.description
    case .known(let bytes):
      setMaximum(hardware: bytes, sentToDrive: split.hardwareMaximumBytes ?? 0, statx)
      raiseMinimum(upTo: bytes) { length in
        if case .known(length) = target.hardwareUnit(upTo: length) { true } else { false }
      }
    }
  }

  private mutating func setMaximum(hardware: UInt64, sentToDrive: UInt64, _ statx: StatxLimits) {
    // A layer with larger blocks than its drives still shows their smallest unit.
    let unitMinimum = UInt64(max(statx.atomicWriteUnitMin ?? 0, statx.dioOffsetAlign ?? 0))
    let usable = hardware >= unitMinimum ? hardware : 0
    // Up to the optimal length XFS asks the drive first, also for more than the drive keeps.
    let isTrusted = usable == sentToDrive
    let inSoftware = softwareMaximumBytes ?? 0
    let software = isTrusted || inSoftware > sentToDrive ? inSoftware : 0
    guard max(usable, software) > 0 else {
      makeUnavailable("the drive keeps less whole than the kernel's smallest atomic write")
      return
    }
    available = true
    minimumBytes = usable > 0 || isTrusted ? unitMinimum : sentToDrive * 2
    softwareMaximumBytes = software
    maximumBytes = max(usable, software)
    hardwareMaximumBytes = usable
    backing = usable == 0 ? .software : software == 0 ? .hardware : .mixed
  }

  /// Shorter writes may be refused by larger blocks below a stack, or be merged with others into
  /// what the drive does not keep, where the longest one is neither.
  private mutating func raiseMinimum(upTo most: UInt64, isKept: (UInt64) -> Bool) {
    guard var least = minimumBytes, least > 0 else { return }
    while least < most, !isKept(least) { least *= 2 }
    minimumBytes = least
  }

  private mutating func makeUnavailable(_ clause: String) {
    available = false
    (minimumBytes, maximumBytes) = (0, 0)
    (hardwareMaximumBytes, softwareMaximumBytes) = (0, 0)
    reason = clause
  }
}

extension TargetLimits {
  /// How far the kernel may use the drive for an atomic write, and how far XFS's copy-on-write.
  ///
  /// `fs/xfs/xfs_file.c:xfs_file_dio_write_atomic`: a length up to the optimal one tries the drive
  /// and falls to software wherever the range is not one aligned extent.
  struct HardwareAndSoftware: Hashable {
    /// 0: the drive plays no part. `nil`: it cannot be told.
    var hardwareMaximumBytes: UInt64?
    var softwareMaximumBytes: UInt64?
  }

  var hardwareAndSoftware: HardwareAndSoftware {
    let unitMaximum = UInt64(statx?.atomicWriteUnitMax ?? 0)
    guard kind.isFile else {
      return HardwareAndSoftware(hardwareMaximumBytes: unitMaximum, softwareMaximumBytes: 0)
    }
    switch filesystem?.type {
    case "ext4": return ext4Hardware(unitMaximum)
    case "xfs": return xfsHardwareAndSoftware(unitMaximum)
    default: return HardwareAndSoftware()
    }
  }

  /// Longer than a block, ext4 rests on its journal; without extents it does no direct I/O.
  private func ext4Hardware(_ unitMaximum: UInt64) -> HardwareAndSoftware {
    guard filesystem?.extents == true, let block = filesystem?.blockSize else {
      return HardwareAndSoftware()
    }
    if unitMaximum <= block {
      return HardwareAndSoftware(hardwareMaximumBytes: unitMaximum, softwareMaximumBytes: 0)
    }
    guard let journal = filesystem?.journal, let barriers = filesystem?.barriers else {
      return HardwareAndSoftware()
    }
    if journal, barriers {
      return filesystem?.externalJournal == false
        ? HardwareAndSoftware(hardwareMaximumBytes: unitMaximum, softwareMaximumBytes: 0)
        : HardwareAndSoftware()
    }
    return HardwareAndSoftware(hardwareMaximumBytes: block, softwareMaximumBytes: 0)
  }

  private func xfsHardwareAndSoftware(_ unitMaximum: UInt64) -> HardwareAndSoftware {
    let optimal = UInt64(statx?.atomicWriteUnitMaxOpt ?? 0)
    guard filesystem?.realtime == false, filesystem?.externalLog == false,
      let reflink = filesystem?.reflink
    else { return HardwareAndSoftware() }
    if !reflink {
      return HardwareAndSoftware(hardwareMaximumBytes: unitMaximum, softwareMaximumBytes: 0)
    }
    if optimal > 0 {
      return HardwareAndSoftware(
        hardwareMaximumBytes: min(optimal, unitMaximum),
        softwareMaximumBytes: unitMaximum
      )
    }
    guard let blockSize = filesystem?.blockSize, let queueMinimum = queue.atomicWriteUnitMinBytes,
      let queueMaximum = queue.atomicWriteUnitMaxBytes,
      let boundary = queue.atomicWriteBoundaryBytes, let startBytes
    else { return HardwareAndSoftware() }
    // block/bdev.c:bdev_can_atomic_write
    let isAligned = startBytes % max(queueMinimum, boundary, 1) == 0
    // fs/xfs/xfs_buf.c:xfs_configure_buftarg_atomic_writes: the drive serves only if one
    // filesystem block fits its range.
    let driveServes =
      isAligned && queueMaximum > 0 && queueMinimum <= blockSize && blockSize <= queueMaximum
    if !driveServes {
      return HardwareAndSoftware(hardwareMaximumBytes: 0, softwareMaximumBytes: unitMaximum)
    }
    // One block, and no optimal length to tell: Linux 6.13 to 6.15 writes it by the drive, newer
    // ones (`max_atomic_write`, a small log) fall to software where the block is shared.
    return unitMaximum == blockSize
      ? HardwareAndSoftware(hardwareMaximumBytes: unitMaximum, softwareMaximumBytes: unitMaximum)
      : HardwareAndSoftware()
  }

  enum Known<Value> {
    case known(Value)
    case unknown(MissingFact)
  }

  /// The largest power of two up to `limit` that the drive keeps whole at every aligned offset.
  func hardwareUnit(upTo limit: UInt64?) -> Known<UInt64> {
    guard let limit else {
      return .unknown(
        filesystem.map { .filesystem($0.undescribedKind) } ?? .statx
      )
    }
    guard limit > 0 else { return .known(0) }
    if let stack { return stack.hardwareUnit(upTo: limit) }
    if let fabric { return .unknown(.remote(transport: fabric)) }
    switch drive {
    case .none: return .known(0)
    case .unknown(let fact): return .unknown(fact)
    case .known(let reported):
      let device = reported.withoutVendor
      if device.metadataBytes != 0 { return .unknown(.metadata) }
      var unit = min(limit, device.powerFailBytes).powerOfTwoFloor
      if kind.isBlockDevice {
        // The driver refuses what crosses the kernel's own lines, whatever the drive's are.
        guard let bytes = queue.atomicWriteBoundaryBytes else {
          return .unknown(.queue("atomic_write_boundary_bytes"))
        }
        if let lines = AtomicBoundary(sizeBytes: bytes) {
          guard let startBytes else { return .unknown(.start) }
          unit = lines.largestPage(upToBytes: unit, fromBytes: startBytes)
        }
      }
      // What the queue would cut it refuses.
      while unit > 0 {
        switch refusalByCutting(.everyPage(sizeBytes: unit)) {
        case .known(nil): break
        case .known:
          unit /= 2
          continue
        case .unknown(let fact): return .unknown(fact)
        }
        break
      }
      switch atomicMerge(of: unit, within: device.powerFailBytes, device.linesForMerging) {
      case .known(nil): break
      case .known: return .unknown(.limitsDisagree)
      case .unknown(let fact): return .unknown(fact)
      }
      guard let boundary = device.powerFailBoundary else { return .known(unit) }
      if kind.isFile {
        // Blocks of a file may lie anywhere; only lines that the kernel itself keeps are kept.
        return kernelKeeps(boundary) ? .known(min(unit, boundary.sizeBytes)) : .unknown(.placement)
      }
      guard let startBytes else { return .unknown(.start) }
      return .known(boundary.largestPage(upToBytes: unit, fromBytes: startBytes))
    }
  }

  /// The command that merging of atomic writes may build and the drive need not keep, if any.
  func atomicMerge(
    of length: UInt64,
    within limit: UInt64,
    _ boundary: AtomicBoundary?
  ) -> Known<UInt64?> {
    guard let nomerges = queue.nomerges else { return .unknown(.queue("nomerges")) }
    if nomerges == 2 { return .known(nil) }
    guard let unit = queue.atomicWriteUnitMaxBytes, let most = queue.atomicWriteMaxBytes else {
      return .unknown(.queue("atomic_write_unit_max_bytes"))
    }
    let longest = min(unit, most)
    let isKept = longest <= limit && boundary.map(kernelKeeps) ?? true
    return .known(longest <= length || isKept ? nil : longest)
  }

  /// Whether the NVMe driver refuses atomic writes that cross this boundary
  /// (`drivers/nvme/host/core.c:nvme_valid_atomic_write`).
  func kernelKeeps(_ boundary: AtomicBoundary) -> Bool {
    boundary.offsetBytes == 0 && queue.atomicWriteBoundaryBytes == boundary.sizeBytes
  }

  /// The largest naturally aligned power of two that the hardware keeps whole over power loss
  /// through `RWF_ATOMIC`; 0 if none; `nil` when it cannot be told or depends on the range.
  public var tornFreeBytes: UInt64? {
    let limits = KernelPathLimits(self)
    if limits.backing == .mixed { return nil }
    return limits.hardwareMaximumBytes
  }
}
