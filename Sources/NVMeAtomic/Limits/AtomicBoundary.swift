/// Lines that an atomic write may not cross, repeated over a whole device.
///
/// NVM Command Set Specification 1.2, section 2.1.4.4: the lines lie at
/// *offset + y × size* for every y ≥ 0. Addresses are absolute in the namespace.
public struct AtomicBoundary: Hashable, Sendable {
  /// The distance between two lines in bytes, never 0.
  public let sizeBytes: UInt64
  /// Where the first line lies, in bytes.
  public let offsetBytes: UInt64

  /// Lines `sizeBytes` apart from `offsetBytes` on; `nil` for a size of 0, which means no boundary.
  public init?(sizeBytes: UInt64, offsetBytes: UInt64 = 0) {
    guard sizeBytes > 0 else { return nil }
    self.sizeBytes = sizeBytes
    self.offsetBytes = offsetBytes
  }

  /// Whether the bytes from `start` on lie between two lines. An empty range does.
  public func contains(startBytes start: UInt64, lengthBytes length: UInt64) -> Bool {
    guard length > 0 else { return true }
    let (last, overflow) = start.addingReportingOverflow(length - 1)
    return !overflow && window(of: start) == window(of: last)
  }

  /// Whether every page of this size, counted from `start`, lies between two lines.
  ///
  /// That is so when every line falls on the edge of a page.
  public func containsEveryPage(ofBytes page: UInt64, fromBytes start: UInt64) -> Bool {
    guard page > 0 else { return true }
    return sizeBytes % page == 0 && start % page == offsetBytes % page
  }

  /// The largest power of two up to `limit` of which every page counted from `start` lies whole
  /// between two lines; at least 1 when `limit` is.
  public func largestPage(upToBytes limit: UInt64, fromBytes start: UInt64) -> UInt64 {
    let distance = start > offsetBytes ? start - offsetBytes : offsetBytes - start
    return min(limit.powerOfTwoFloor, sizeBytes.powerOfTwoFactor, distance.powerOfTwoFactor)
  }

  /// Counted from below the first line, so that the bytes before it are a window too.
  private func window(of address: UInt64) -> UInt64 {
    let phase = offsetBytes % sizeBytes
    let (quotient, remainder) = address.quotientAndRemainder(dividingBy: sizeBytes)
    return remainder < phase ? quotient : quotient &+ 1
  }
}
