/// What Amazon's torn-write bytes promise over a power failure, in bytes.
///
/// Two pages bind it, and only what both allow is counted. By
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/twp-namespace.html> a length is a multiple
/// of the granularity up to the unit, the offset is aligned to the granularity, and no boundary is
/// crossed. By <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-block-sizes.html>
/// the lengths are 4, 8 and 16 KiB, each at a multiple of itself.
public struct VendorTornWriteLimits: Hashable, Sendable {
  /// The only lengths that are documented, in bytes.
  public static let documentedBytes: [UInt64] = [4096, 8192, 16384]

  /// NTWPU: the longest write, in bytes.
  public var unitBytes: UInt64
  /// NTWPG: what lengths and offsets are multiples of, in bytes.
  public var granuleBytes: UInt64
  /// NTWPB: lines from the begin of the namespace on; `nil` for none.
  public var boundary: AtomicBoundary?

  /// Converts the raw fields.
  public init(_ fields: VendorTornWriteFields, _ block: LogicalBlockSize) {
    unitBytes = LogicalBlockCount(zerosBased: fields.ntwpu).bytes(block)
    granuleBytes = LogicalBlockCount(zerosBased: fields.ntwpg).bytes(block)
    let lines = fields.ntwpb == 0 ? 0 : UInt64(fields.ntwpb) + 1
    boundary = AtomicBoundary(sizeBytes: LogicalBlockCount(lines).bytes(block))
  }

  /// Why the three values cannot all be true, as a clause; `nil` where they can.
  public var contradiction: String? {
    if granuleBytes > unitBytes { return "the granularity exceeds the unit" }
    if unitBytes % granuleBytes != 0 { return "the unit is no multiple of the granularity" }
    guard let boundary else { return nil }
    if boundary.sizeBytes < unitBytes { return "the boundary is smaller than the unit" }
    if boundary.sizeBytes % granuleBytes != 0 {
      return "the boundary is no multiple of the granularity"
    }
    return nil
  }

  /// The documented lengths that the values allow, in bytes, ascending; none if they contradict
  /// each other.
  public var lengthsBytes: [UInt64] {
    guard contradiction == nil else { return [] }
    return Self.documentedBytes.filter { $0 <= unitBytes && $0 % granuleBytes == 0 }
  }
}
