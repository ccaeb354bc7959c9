/// What Amazon's torn-write bytes say, and who can use them.
extension Findings {
  /// Where a vendor's longest length is whole, as lines; `nil` where none is counted.
  var vendorLines: AtomicBoundary? {
    guard let device, device.powerFailSource == .vendor else { return nil }
    return AtomicBoundary(sizeBytes: device.powerFailBytes)
  }

  var vendorTornWrite: [Finding] {
    guard let fields = report.namespace?.vendorTornWrite, !fields.areZero,
      let block = report.namespace?.identify?.logicalBlockSize
    else { return [] }
    let vendor = VendorTornWriteLimits(fields, block)
    let lines = vendor.boundary.map { ", within every \(ByteText($0.sizeBytes))" } ?? ""
    let said =
      "Amazon's torn-write bytes say \(ByteText(vendor.unitBytes)) in steps of "
      + "\(ByteText(vendor.granuleBytes))\(lines)"
    let (severity, use) = vendorUse(vendor)
    return [Finding(.vendorTornWriteFields, severity, .device, "\(said); \(use).")]
  }

  private func vendorUse(_ vendor: VendorTornWriteLimits) -> (Finding.Severity, String) {
    guard let device else {
      return (.warning, "they are not counted while the rest of the drive is not known")
    }
    if let objection = device.vendorObjection {
      return (.warning, "they are not counted, because \(objection)")
    }
    guard device.powerFailSource == .vendor else {
      return (.info, "the specification's own fields say as much")
    }
    let lengths = Self.text(ofLengths: vendor.lengthsBytes)
    return (
      .info,
      "the kernel does not read them, so RWF_ATOMIC gains nothing, and ordinary direct writes or "
        + "single NVMe commands of \(lengths) at a multiple of their size stay whole if nothing "
        + "splits, merges or moves them"
    )
  }

  static func text(ofLengths lengths: [UInt64]) -> String {
    list(lengths.map { ByteText($0).description })
  }
}
