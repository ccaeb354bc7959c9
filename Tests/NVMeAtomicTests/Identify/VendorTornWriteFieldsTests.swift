import Testing

@testable import NVMeAtomic

@Suite struct VendorTornWriteFieldsTests {
  private static func amazons() -> IdentifyController {
    var controller = IdentifyFixture.controller()
    (controller.vid, controller.model) = (0x1d0f, "Amazon Elastic Block Store")
    return controller
  }

  @Test(arguments: Seed.some(4))
  func arbitraryBytesDecodeFieldByField(seed: Seed) throws {
    var random = seed.generator
    for _ in 0..<16 {
      let page = IdentifyFixture.randomPage(&random)
      let fields = try #require(VendorTornWriteFields(page: page, of: Self.amazons()))
      let replay = Comment(rawValue: seed.replay)
      #expect(UInt64(fields.ntwpu) == IdentifyFixture.number(page, 640, bytes: 2), replay)
      #expect(UInt64(fields.ntwpg) == IdentifyFixture.number(page, 642, bytes: 2), replay)
      #expect(UInt64(fields.ntwpb) == IdentifyFixture.number(page, 644, bytes: 4), replay)
    }
  }

  /// The vendor-specific area begins at byte 384, whatever a library's struct says.
  @Test func noOtherByteIsRead() throws {
    let base = [UInt8](repeating: 0x55, count: IdentifyFixture.byteCount)
    let expected = VendorTornWriteFields(page: base, of: Self.amazons())
    for offset in base.indices {
      var page = base
      page[offset] ^= 2
      let isField = (384 + 256...384 + 263).contains(offset)
      if (VendorTornWriteFields(page: page, of: Self.amazons()) != expected) != isField {
        Issue.record("byte \(offset) is \(isField ? "not read" : "read")")
      }
    }
  }

  @Test(arguments: [0, 384, 648, 4095, 4097])
  func anotherLengthIsNoPage(count: Int) {
    let bytes = [UInt8](repeating: 0, count: count)
    #expect(VendorTornWriteFields(page: bytes, of: Self.amazons()) == nil)
  }

  @Test(
    arguments: [
      (0x1d0f, "Amazon Elastic Block Store", true),
      (0x1d0f, "Amazon EC2 NVMe Instance Storage", true),
      (0x1d0f, "Amazon Elastic Block Store 2", false),
      (0x1d0f, "amazon elastic block store", false),
      (0x1d0f, "Amazon", false),
      (0x1d0f, "", false),
      (0x1b36, "Amazon Elastic Block Store", false),
      (0x0f1d, "Amazon EC2 NVMe Instance Storage", false),
      (0x1414, "MSFT NVMe Accelerator v1.0", false),
      (0x1ae0, "nvme_card-pd", false),
    ] as [(UInt16, String, Bool)]
  )
  func bytesOfAnyOtherDriveMeanNothing(vid: UInt16, model: String, isRead: Bool) {
    var controller = IdentifyFixture.controller()
    (controller.vid, controller.model) = (vid, model)
    let page = IdentifyFixture.page([640: 31, 642: 7, 644: 31])
    #expect((VendorTornWriteFields(page: page, of: controller) != nil) == isRead)
  }

  @Test func onlyAllZeroesAreNothing() throws {
    #expect(
      try #require(VendorTornWriteFields(page: IdentifyFixture.page(), of: Self.amazons())).areZero
    )
    for offset in 640...647 {
      let page = IdentifyFixture.page([offset: 1])
      #expect(try #require(VendorTornWriteFields(page: page, of: Self.amazons())).areZero == false)
    }
  }
}
