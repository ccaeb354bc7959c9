/// What one NVMe Write command keeps whole on a target, within one boundary window.
public struct PassthroughPathLimits: Hashable, Sendable {
  /// `nil` when it cannot be told.
  public var available: Bool?
  /// The longest: power-fail unit, boundary, MDTS and the kernel's transfer limit together.
  public var maximumBytes: UInt64?
  /// Lengths and offsets are multiples of this: the logical block, or all of ``maximumBytes``
  /// where a vendor's bytes gave it.
  public var granuleBytes: UInt64?
  /// NABSPF in bytes; 0 is none.
  public var boundaryBytes: UInt64?
  /// NABO in bytes.
  public var boundaryOffsetBytes: UInt64?
  /// Why not, or why it cannot be told; a clause.
  public var reason: String?

  /// Derives the limits from facts.
  ///
  /// - Parameters:
  ///   - target: The facts.
  ///   - allowsShared: See ``WriteRequest/allowsShared``.
  public init(_ target: TargetLimits, allowsShared: Bool = false) {
    guard [.namespace, .partition, .generic].contains(target.kind) else {
      (available, maximumBytes) = (false, 0)
      reason =
        target.kind.isFile
        ? "commands go to a namespace, below every filesystem" : "not an NVMe namespace"
      return
    }
    switch target.commandDrive {
    case .none, .unknown(.stacked):
      (available, maximumBytes) = (false, 0)
      reason = "not an NVMe namespace"
    case .unknown(let fact):
      reason = fact.description
    case .known(let device):
      granuleBytes = UInt64(device.logicalBlockSize.bytes)
      boundaryBytes = device.powerFailBoundary?.sizeBytes ?? 0
      boundaryOffsetBytes = device.boundaryOffsetBytes
      switch target.passthroughLimit(device, allowsShared: allowsShared) {
      case .fails(let refusal): (available, maximumBytes, reason) = (false, 0, refusal.description)
      case .unknown(let fact): reason = fact.description
      case .holds(let limit):
        (available, maximumBytes) = (true, limit)
        // A vendor's lengths are whole at multiples of themselves only.
        if limit > device.withoutVendor.powerFailBytesWithinBoundary { granuleBytes = limit }
      }
    }
  }
}

extension TargetLimits {
  enum PassthroughLimit {
    case holds(UInt64)
    case fails(PlanRefusal)
    case unknown(MissingFact)
  }

  /// The longest command, a whole number of blocks.
  func passthroughLimit(_ device: DeviceLimits, allowsShared: Bool) -> PassthroughLimit {
    if device.metadataBytes != 0 { return .fails(.metadataFormat(bytes: device.metadataBytes)) }
    if let passthroughUser { return .fails(.inUse(passthroughUser)) }
    if let passthroughObstacle { return .fails(.obstacle(passthroughObstacle)) }
    if !allowsShared {
      if let fabric = commandFabric { return .unknown(.remote(transport: fabric)) }
      if let sharing { return .fails(.shared(sharing)) }
    }
    guard let transfer = transferLimitBytes(device) else {
      return .unknown(.queue("max_hw_sectors_kb"))
    }
    return .holds(device.powerFailBytes(inCommandOf: transfer))
  }

  /// MDTS and what the driver takes in one command; `nil` when the latter is unknown.
  func transferLimitBytes(_ device: DeviceLimits) -> UInt64? {
    guard let kilobytes = commandTransferKB else { return nil }
    // NLB has 16 bits and is 0's-based (NVM Command Set Specification 1.2, section 3.2.6).
    let blocks = UInt64(device.logicalBlockSize.bytes) * 65536
    return min(device.maximumTransferBytes ?? .max, kilobytes.multipliedOrMax(by: 1024), blocks)
  }
}
