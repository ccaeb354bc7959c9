/// An amount of bytes as people write it: `512 B`, `16 KiB`, `1 MiB`, exact always.
///
/// The largest binary unit that divides the amount is used, so nothing is rounded.
public struct ByteText: CustomStringConvertible, Sendable {
  /// Bytes.
  public let bytes: UInt64

  /// Keeps the amount.
  public init(_ bytes: UInt64) {
    self.bytes = bytes
  }

  /// The amount with its unit.
  public var description: String {
    var amount = bytes
    var unit = 0
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    while amount != 0, amount % 1024 == 0, unit + 1 < units.count {
      amount /= 1024
      unit += 1
    }
    return "\(amount) \(units[unit])"
  }
}

extension UInt64 {
  /// The product, or the largest value where that is more than fits.
  func multipliedOrMax(by factor: UInt64) -> UInt64 {
    let (product, overflow) = multipliedReportingOverflow(by: factor)
    return overflow ? .max : product
  }

  /// The sum, or the largest value where that is more than fits.
  func addingOrMax(_ other: UInt64) -> UInt64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }

  var isPowerOfTwo: Bool { nonzeroBitCount == 1 }

  /// The largest power of two that is not larger; 0 for 0.
  var powerOfTwoFloor: UInt64 {
    self == 0 ? 0 : 1 << UInt64(63 - leadingZeroBitCount)
  }

  /// The largest power of two that divides the value. Every power divides 0: the largest there is.
  var powerOfTwoFactor: UInt64 {
    self == 0 ? 1 << 63 : 1 << UInt64(trailingZeroBitCount)
  }
}
