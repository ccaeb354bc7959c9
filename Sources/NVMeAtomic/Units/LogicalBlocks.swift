/// The size of one logical block of a namespace's format in use: a power of two of at least 512.
public struct LogicalBlockSize: Hashable, Sendable {
  /// Bytes.
  public let bytes: UInt32

  /// Decodes LBADS, a power of two exponent.
  ///
  /// - Returns: `nil` below 9 (the specification reserves it; 0 marks an absent format) and above
  ///   31, which no device has and which would overflow.
  public init?(lbads: UInt8) {
    guard (9...31).contains(lbads) else { return nil }
    bytes = 1 << UInt32(lbads)
  }
}

/// A number of logical blocks, 1 meaning one.
public struct LogicalBlockCount: Hashable, Sendable, Comparable {
  /// Logical blocks.
  public let rawValue: UInt64

  /// Takes a plain count.
  public init(_ count: UInt64) {
    rawValue = count
  }

  /// Decodes a field that the specification calls 0's based: 0 means one block.
  public init(zerosBased field: UInt16) {
    rawValue = UInt64(field) + 1
  }

  /// The same amount in bytes; `UInt64.max` where that is more than fits.
  public func bytes(_ size: LogicalBlockSize) -> UInt64 {
    rawValue.multipliedOrMax(by: UInt64(size.bytes))
  }

  /// Compares counts.
  public static func < (left: Self, right: Self) -> Bool {
    left.rawValue < right.rawValue
  }
}
