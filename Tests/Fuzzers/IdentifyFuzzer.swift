@testable import NVMeAtomic

/// Identify pages of any bytes, and what is computed from them.
enum IdentifyFuzzer {
  /// What is read of each page: the rest would only make inputs long.
  private static let controllerParts = [0..<78, 524..<534]
  private static let namespaceParts = [0..<46, 128..<384, 640..<648]

  static func run(_ input: inout FuzzInput) throws(Finding) {
    let (choice, length) = (input.byte(), input.byte())
    let start: UInt64 = input.number()
    var (controllerPage, namespacePage) = (page(), page())
    for part in controllerParts { fill(&controllerPage, part, &input) }
    for part in namespaceParts { fill(&namespacePage, part, &input) }
    if choice & 0x40 != 0 { makeAmazons(&controllerPage) }
    guard let controller = IdentifyController(page: controllerPage),
      let namespace = IdentifyNamespace(page: namespacePage)
    else { throw Finding(text: "a page of 4096 bytes is none") }
    let short = Array(namespacePage.prefix(Int(length) * 16 + 15))
    try require(IdentifyController(page: short) == nil, "\(short.count) bytes are a page")
    try require(IdentifyNamespace(page: short) == nil, "\(short.count) bytes are a page")
    try check(controller, namespace)
    let vendor = VendorTornWriteFields(page: namespacePage, of: controller)
    let limits = DeviceLimits(
      controller: controller,
      namespace: namespace,
      writeAtomicityNormal: [nil, false, true, nil][Int(choice & 3)],
      writeCacheEnabled: [nil, false, true, nil][Int(choice >> 2 & 3)],
      vendorTornWrite: vendor
    )
    try require((limits == nil) == (namespace.logicalBlockSize == nil), "limits of no block")
    guard let limits else { return }
    try check(limits, vendor)
    for boundary in [limits.normalBoundary, limits.powerFailBoundary] {
      if let boundary { try check(boundary, start, limits.powerFailBytes) }
    }
  }

  private static func page() -> [UInt8] { [UInt8](repeating: 0, count: 4096) }

  private static func fill(_ page: inout [UInt8], _ part: Range<Int>, _ input: inout FuzzInput) {
    page.replaceSubrange(part, with: RecordFuzzer.padded(input.bytes(part.count), to: part.count))
  }

  private static func makeAmazons(_ page: inout [UInt8]) {
    page.replaceSubrange(0..<2, with: [0x0f, 0x1d])
    let model = RecordFuzzer.padded(Array("Amazon Elastic Block Store".utf8), to: 40)
    page.replaceSubrange(24..<64, with: model)
  }

  // MARK: What holds

  private static func check(
    _ controller: IdentifyController,
    _ namespace: IdentifyNamespace
  ) throws(Finding) {
    for text in [controller.serial, controller.model, controller.firmware] {
      try require(text.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "unprintable: \(text)")
      try require(text.first != " " && text.last != " ", "padded: '\(text)'")
    }
    try require(namespace.formats.count == min(Int(namespace.nlbaf), 63) + 1, "formats")
    for format in namespace.formats {
      guard let size = format.logicalBlockSize else { continue }
      try require(size.bytes >= 512 && UInt64(size.bytes).isPowerOfTwo, "\(size)")
      guard let plain = namespace.plainFormat(blockBytes: size.bytes) else { continue }
      try require(plain.metadataBytes == 0 && plain.logicalBlockSize == size, "\(plain)")
    }
  }

  private static func check(
    _ limits: DeviceLimits,
    _ vendor: VendorTornWriteFields?
  ) throws(Finding) {
    let block = UInt64(limits.logicalBlockSize.bytes)
    let whole = limits.powerFailBytesWithinBoundary
    try require(limits.powerFailBytes >= block && limits.powerFailBytes % block == 0, "\(limits)")
    try require(whole >= block && whole <= limits.powerFailBytes, "\(whole) within a boundary")
    try require(
      (limits.normalBytes == nil) == (limits.normalAtomicityDisabled == nil)
        && (limits.normalSource == nil) == (limits.normalBytes == nil),
      "normal limits that nobody knows"
    )
    let standard = limits.withoutVendor
    try require(standard.withoutVendor == standard, "vendor's bytes remain")
    try require(standard.powerFailSource != .vendor, "vendor's bytes remain")
    if limits.normalAtomicityDisabled == true {
      try require(limits.normalBytes == standard.powerFailBytes, "DN: \(limits)")
    }
    try require(limits.powerFailBytes >= standard.powerFailBytes, "vendor's bytes take away")
    guard limits.powerFailSource == .vendor else {
      try require(limits == standard, "vendor's bytes that do not count")
      return
    }
    let fields = vendor.map { ($0.ntwpu, $0.ntwpg, $0.ntwpb) } ?? (0, 0, 0)
    let (unit, granule) = ((UInt64(fields.0) + 1) * block, (UInt64(fields.1) + 1) * block)
    try require([4096, 8192, 16384].contains(limits.powerFailBytes), "undocumented length")
    try require(limits.powerFailBytes <= unit && unit % granule == 0, "beyond NTWPU")
    try require(limits.powerFailBytes % granule == 0, "not in steps of NTWPG")
    let lines = fields.2 == 0 ? nil : (UInt64(fields.2) + 1).multipliedOrMax(by: block)
    try require(limits.powerFailBoundary?.sizeBytes == lines, "other lines than NTWPB's")
    try require(limits.boundaryOffsetBytes == 0, "offset lines")
  }

  /// In numbers of 128 bits, where nothing overflows.
  private static func check(
    _ boundary: AtomicBoundary,
    _ start: UInt64,
    _ limit: UInt64
  ) throws(Finding) {
    let (size, offset) = (Int128(boundary.sizeBytes), Int128(boundary.offsetBytes))
    func window(_ address: Int128) -> Int128 {
      let distance = address - offset
      return distance >= 0 ? distance / size : (distance - size + 1) / size
    }
    for length in [1, limit, limit / 2 + 1, boundary.sizeBytes] {
      let last = Int128(start) + Int128(length) - 1
      let isWithin = last <= Int128(UInt64.max) && window(Int128(start)) == window(last)
      let told = boundary.contains(startBytes: start, lengthBytes: length)
      try require(told == isWithin, "\(length) at \(start) within \(boundary): \(told)")
    }
    let page = boundary.largestPage(upToBytes: limit, fromBytes: start)
    try require(page.isPowerOfTwo && page <= limit, "a page of \(page)")
    try require(
      boundary.containsEveryPage(ofBytes: page, fromBytes: start),
      "pages of \(page) from \(start) cross \(boundary)"
    )
    for number in [0, 1, 2, 1000] as [Int128] {
      let first = Int128(start) + number * Int128(page)
      try require(
        window(first) == window(first + Int128(page) - 1),
        "page \(number) of \(page) from \(start) crosses \(boundary)"
      )
    }
  }

  static var seeds: [[UInt8]] {
    var controller = page()
    controller.replaceSubrange(4..<8, with: Array("FX1 ".utf8))
    (controller[77], controller[525], controller[526], controller[528]) = (5, 1, 15, 7)
    var namespace = page()
    (namespace[24], namespace[25], namespace[26], namespace[34], namespace[36]) = (2, 3, 2, 127, 31)
    (namespace[40], namespace[42], namespace[44]) = (63, 8, 31)
    for format in 0..<4 { namespace[130 + 4 * format] = 9 + UInt8(format) }
    (namespace[640], namespace[642]) = (31, 7)
    let parts =
      controllerParts.flatMap { controller[$0] } + namespaceParts.flatMap { namespace[$0] }
    return [0, 1, 2, 0x41, 0x4a].map { [$0, 255, 0, 16, 0, 0, 0, 0, 0, 0] + parts }
  }
}
