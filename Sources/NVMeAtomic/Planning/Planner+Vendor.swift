/// Lengths that only Amazon's torn-write bytes keep whole.
///
/// The kernel reads none of them, so no `RWF_ATOMIC` write gains by them: the operating system
/// must neither merge nor split nor relocate such a write
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/twp-reqs.html>), and of that only ordinary
/// direct writes and passthrough can be sure here.
extension Planner {
  /// A length that is documented and allowed by the bytes, at a multiple of itself in the
  /// namespace, across no boundary.
  func checkVendorPowerFail(
    _ request: WriteRequest,
    _ device: DeviceLimits
  ) throws(Objection) {
    let length = request.lengthBytes
    try require(
      length <= device.powerFailBytes,
      else: .exceedsPowerFailLimit(lengthBytes: length, limitBytes: device.powerFailBytes)
    )
    let lengths = device.vendorTornWrite?.lengthsBytes ?? []
    try require(
      lengths.contains(length),
      else: .vendorLength(lengthBytes: length, allowedBytes: lengths)
    )
    try checkNaturalAlignment(request)
    // Lines at multiples of the length lie between such writes, wherever those are.
    if let boundary = device.powerFailBoundary, boundary.sizeBytes % length != 0 {
      try checkBoundary(request, boundary)
    }
  }

  /// Whether the range begins at a multiple of its length, counted from the namespace's begin.
  private func checkNaturalAlignment(_ request: WriteRequest) throws(Objection) {
    let length = request.lengthBytes
    guard let start = target.startBytes else { throw .missing(.start) }
    var place = start % length
    // Within one page of a file offsets count from its blocks, which the file says nothing of.
    if case .one(let offset, _) = request.range { place = (place + offset % length) % length }
    try require(
      place == 0,
      else: .misaligned(offsetBytes: place, alignmentBytes: length)
    )
    guard target.kind.isFile else { return }
    // Blocks of a file lie anywhere, at multiples of their own size.
    guard let block = target.filesystem?.blockSize, block > 0 else { throw .missing(.placement) }
    try require(block % length == 0, elseMissing: .placement)
  }
}

extension DeviceLimits {
  /// The longest write that fits one command of this many bytes.
  func powerFailBytes(inCommandOf transferBytes: UInt64) -> UInt64 {
    let block = UInt64(logicalBlockSize.bytes)
    let standard = withoutVendor.powerFailBytesWithinBoundary
    let longest = min(standard, transferBytes) / block * block
    guard powerFailSource == .vendor else { return longest }
    return max(longest, vendorTornWrite?.lengthsBytes.last { $0 <= transferBytes } ?? 0)
  }
}
