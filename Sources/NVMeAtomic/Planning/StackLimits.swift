/// A drive below a stack, by one way that commands take to it.
public struct Foundation: Hashable, Sendable {
  /// The node of the namespace.
  public var device: String
  /// What is known of the drive.
  public var drive: DriveKnowledge
  /// The queue that commands pass through; under native multipath what head and path agree on.
  public var queue: QueueLimits
  /// The fabric that a remote namespace is reached by; `nil` for a local drive.
  public var fabric: String?
  /// Where in the namespace the grids begin that the target's pages are laid on, in bytes.
  public var originsBytes: [UInt64]

  /// Pages are laid on the grid that begins at `originBytes`.
  public init(device: String, drive: DriveKnowledge, queue: QueueLimits, originBytes: UInt64) {
    self.device = device
    self.drive = drive
    self.queue = queue
    originsBytes = [originBytes]
  }
}

/// A device between a target and its drives.
public struct StackLayer: Hashable, Sendable {
  /// Its node.
  public var device: String
  /// `dm`, `md`, `loop` or `block`.
  public var kind: String
  /// The target types of a device-mapper table or the level of an md array; `nil` where unknown.
  public var type: String?
  /// The stripe of a striped layer, in bytes.
  public var chunkBytes: UInt64?
  /// Its own queue.
  public var queue: QueueLimits
  /// What it is made of, as far as that could be read.
  public var members: [StackMember] = []
  /// Where on it the grids begin that the target's pages are laid on, in bytes.
  public var originsBytes: [UInt64] = []

  /// Whether it writes each block to several members.
  public var isMirrored: Bool { ["raid1", "raid10"].contains(type) }
}

/// A device that a layer is made of.
public struct StackMember: Hashable, Sendable {
  /// The node of the disk or partition.
  public var device: String
  /// Where the layer's data begin on the disk, in bytes.
  public var startBytes: UInt64
  /// The disk's queue.
  public var queue: QueueLimits

  /// What `blk_stack_atomic_writes_limits` wants the start to be a multiple of, in bytes.
  var alignmentBytes: UInt64 {
    max(queue.atomicWriteUnitMinBytes ?? 0, queue.atomicWriteBoundaryBytes ?? 0, 1)
  }
}

/// What lies between a target and the drives that it rests on, for a target that does not lie on
/// one namespace by one path.
public struct StackLimits: Hashable, Sendable {
  /// Every way to every drive.
  public var foundations: [Foundation] = []
  /// The layers, from the target down; empty for a namespace with several paths.
  public var layers: [StackLayer] = []
  /// Every page of a power of two up to this, aligned in the target, lies in one piece on each
  /// foundation that it goes to: every seam between pieces is a multiple of it.
  public var granuleBytes: UInt64 = 1 << 63
  /// Whether each write, of whatever length, goes to one piece.
  public var isContiguous = true
  /// Why nothing can be promised through the layers, when that is so.
  public var doubt: MissingFact?
  /// Whether a layer keeps its blocks in memory, where no flush makes them last; `nil` where that
  /// could not be looked at.
  public var livesInMemory: Bool? = false

  /// Nothing found yet.
  public init() {}

  /// A disk that is no namespace and has nothing below: the kernel's word is all there is.
  var isOneOpaqueDisk: Bool {
    layers.count == 1 && layers[0].kind == "block" && foundations.isEmpty
  }

  mutating func narrow(toSeamAt bytes: UInt64) {
    granuleBytes = min(granuleBytes, bytes.powerOfTwoFactor)
  }

  mutating func note(_ fact: MissingFact) {
    doubt = doubt ?? fact
  }

  /// The command that a member's queue may build of neighbouring atomic writes and its driver then
  /// refuses, if any. A mirror of md takes such a refusal for success, and nothing was written
  /// (`drivers/md/raid1-10.c:raid1_should_handle_error`).
  var lossByMerging: TargetLimits.Known<UInt64?> {
    for queue in foundations.map(\.queue) {
      guard let nomerges = queue.nomerges else { return .unknown(.queue("nomerges")) }
      if nomerges == 2 { continue }
      guard let unit = queue.atomicWriteUnitMaxBytes, let most = queue.atomicWriteMaxBytes else {
        return .unknown(.queue("atomic_write_max_bytes"))
      }
      if most > unit { return .known(most) }
    }
    return .known(nil)
  }

  /// The foundations as targets of their own: every page of theirs is some page of the stack's.
  var targets: [TargetLimits] {
    foundations.flatMap { foundation in
      foundation.originsBytes.map { origin in
        var target = TargetLimits(kind: .namespace, drive: foundation.drive)
        target.queue = foundation.queue
        target.fabric = foundation.fabric
        target.startBytes = origin
        target.sizeBytes = UInt64(Int64.max)
        target.statx = StatxLimits(requestsTo: foundation.queue)
        return target
      }
    }
  }

  /// The largest power of two up to `limit` that every foundation keeps whole at every place where
  /// the stack may put it. A page of a member that is refused there may be lost without a sign
  /// (`drivers/md/raid1-10.c:raid1_should_handle_error`), so what one refuses counts as not kept.
  func hardwareUnit(upTo limit: UInt64) -> TargetLimits.Known<UInt64> {
    if let doubt { return .unknown(doubt) }
    if foundations.isEmpty { return .unknown(.stacked("unknown devices")) }
    var unit = min(limit, granuleBytes).powerOfTwoFloor
    // What is smaller may be merged where what is larger is not: each step asks all again.
    while unit > 0 {
      let before = unit
      switch refusal(ofPages: unit) {
      case .known(nil): break
      case .known: unit /= 2
      case .unknown(let fact): return .unknown(fact)
      }
      switch unitOfFoundations(upTo: unit) {
      case .known(let bytes): unit = bytes
      case .unknown(let fact): return .unknown(fact)
      }
      if unit == before { return .known(unit) }
    }
    return .known(0)
  }

  private func unitOfFoundations(upTo limit: UInt64) -> TargetLimits.Known<UInt64> {
    var unit = limit
    for target in targets where unit > 0 {
      guard let most = target.queue.atomicWriteUnitMaxBytes,
        let least = target.queue.atomicWriteUnitMinBytes
      else { return .unknown(.queue("atomic_write_unit_max_bytes")) }
      switch target.hardwareUnit(upTo: min(unit, most)) {
      case .unknown(let fact): return .unknown(fact)
      case .known(let bytes): unit = bytes >= least ? min(unit, bytes) : 0
      }
    }
    return .known(unit)
  }
}

extension StatxLimits {
  /// What requests from a layer above meet: the queue's limits, without `pwritev2(2)`'s own rules.
  init(requestsTo queue: QueueLimits) {
    self.init()
    atomicWriteUnitMin = queue.atomicWriteUnitMinBytes.map(UInt32.init(clamping:))
    atomicWriteUnitMax = queue.atomicWriteUnitMaxBytes.map(UInt32.init(clamping:))
    dioOffsetAlign = queue.logicalBlockSize.map(UInt32.init(clamping:))
  }
}
