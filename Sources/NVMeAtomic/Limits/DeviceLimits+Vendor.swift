/// Amazon's torn-write bytes beside the fields of the specification.
extension DeviceLimits {
  /// A limit over a power failure with all that belongs to it.
  struct PowerFail: Hashable {
    var bytes: UInt64
    var source: Source
    var boundary: AtomicBoundary?
  }

  /// Takes the vendor's limit where it says more than NAWUPF or AWUPF, and contradicts neither
  /// itself nor the specification's boundary.
  mutating func countVendor() {
    guard vendorObjection == nil, let vendor = vendorTornWrite,
      let longest = vendor.lengthsBytes.last, longest > powerFailBytes
    else { return }
    specified = PowerFail(
      bytes: powerFailBytes,
      source: powerFailSource,
      boundary: powerFailBoundary
    )
    (powerFailBytes, powerFailSource) = (longest, .vendor)
    powerFailBoundary = vendor.boundary
  }

  /// Why the vendor's bytes cannot be counted on, as a clause; `nil` where they can, or are absent.
  var vendorObjection: String? {
    guard let vendor = vendorTornWrite else { return nil }
    if let contradiction = vendor.contradiction { return contradiction }
    if vendor.lengthsBytes.isEmpty { return "they allow no length that is documented" }
    let standard = withoutVendor
    // NTWPB's lines begin at block 0, and only the specification's may be offset.
    if standard.boundaryOffsetBytes != 0 { return "the drive's boundaries are offset (NABO)" }
    if let boundary = standard.powerFailBoundary, boundary != vendor.boundary {
      return "NABSPF says another boundary"
    }
    return nil
  }

  /// The limits by the fields of the specification alone, which is all that the kernel reads.
  public var withoutVendor: DeviceLimits {
    guard let specified else { return self }
    var limits = self
    (limits.powerFailBytes, limits.powerFailSource) = (specified.bytes, specified.source)
    limits.powerFailBoundary = specified.boundary
    limits.specified = nil
    return limits
  }
}
