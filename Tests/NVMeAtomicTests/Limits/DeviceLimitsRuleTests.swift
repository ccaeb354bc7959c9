import Testing

@testable import NVMeAtomic

/// Random Identify pages against the rules of section 2.1.4, stated once more on the bytes.
@Suite struct DeviceLimitsRuleTests {
  @Test(arguments: Seed.some(4))
  func anyTwoPagesDecodeByTheRules(seed: Seed) throws {
    var random = seed.generator
    for _ in 0..<40 {
      var controller = IdentifyFixture.page()
      var namespace = IdentifyFixture.page()
      for offset in [77, 525, 526, 527, 528, 529] { controller[offset] = random.byte() }
      for offset in 24...45 { namespace[offset] = random.byte() }
      // Zeroes mean something else, so they must be met.
      for offset in stride(from: 34, to: 46, by: 2) where random.once(in: 3) {
        (namespace[offset], namespace[offset + 1]) = (0, 0)
      }
      if random.once(in: 2) { controller[77] %= 12 }
      namespace[25] = 0
      namespace[26] = 0
      namespace[130] = UInt8(9 + random.below(5))
      try check(controller, namespace, disabled: random.pick([nil, false, true]), seed)
    }
  }

  private func check(
    _ controller: [UInt8],
    _ namespace: [UInt8],
    disabled: Bool?,
    _ seed: Seed
  ) throws {
    let identifyController = try #require(IdentifyController(page: controller))
    let identifyNamespace = try #require(IdentifyNamespace(page: namespace))
    let limits = try #require(
      DeviceLimits(
        controller: identifyController,
        namespace: identifyNamespace,
        writeAtomicityNormal: disabled,
        writeCacheEnabled: true
      )
    )
    func field(_ page: [UInt8], _ offset: Int) -> UInt64 {
      IdentifyFixture.number(page, offset, bytes: 2)
    }
    let replay = Comment(rawValue: seed.replay)
    let block = (0..<namespace[130]).reduce(UInt64(1)) { size, _ in size * 2 }
    let isDefined = namespace[24] / 2 % 2 == 1

    var powerFail = (field(controller, 528) + 1) * block
    if isDefined, field(namespace, 36) > 0 { powerFail = (field(namespace, 36) + 1) * block }
    #expect(limits.powerFailBytes == powerFail, replay)

    var normal: UInt64? = (field(controller, 526) + 1) * block
    if isDefined, field(namespace, 34) > 0 { normal = (field(namespace, 34) + 1) * block }
    if disabled == true { normal = powerFail }
    if disabled == nil { normal = nil }
    #expect(limits.normalBytes == normal, replay)
    #expect((limits.normalSource == nil) == (disabled == nil), replay)

    for (offset, boundary) in [(40, limits.normalBoundary), (44, limits.powerFailBoundary)] {
      let size = field(namespace, offset)
      #expect(boundary?.sizeBytes == (size == 0 ? nil : (size + 1) * block), replay)
      #expect(boundary?.offsetBytes == (size == 0 ? nil : field(namespace, 42) * block), replay)
    }
    #expect(limits.boundaryOffsetBytes == field(namespace, 42) * block, replay)
    #expect(limits.volatileWriteCache == (controller[525] % 2 == 1), replay)
    if controller[77] == 0 {
      #expect(limits.maximumTransferBytes == nil, replay)
    } else if controller[77] < 51 {
      let pages = (0..<controller[77]).reduce(UInt64(1)) { size, _ in size * 2 }
      #expect(limits.maximumTransferBytes == pages * 4096, replay)
    }
  }
}
