import Testing

@testable import NVMeAtomic

/// The raw fields that a drive reports.
private struct Fields: Sendable {
  var lbads: UInt8 = 9
  var nsfeat: UInt8 = 0
  var awun: UInt16 = 0
  var awupf: UInt16 = 0
  var nawun: UInt16 = 0
  var nawupf: UInt16 = 0
  var nabsn: UInt16 = 0
  var nabo: UInt16 = 0
  var nabspf: UInt16 = 0
  var disabled: Bool? = false

  var limits: DeviceLimits? {
    var controller = IdentifyFixture.controller()
    (controller.awun, controller.awupf) = (awun, awupf)
    var namespace = IdentifyFixture.namespace()
    (namespace.lbads, namespace.nsfeat) = (lbads, nsfeat)
    (namespace.nawun, namespace.nawupf) = (nawun, nawupf)
    (namespace.nabsn, namespace.nabo, namespace.nabspf) = (nabsn, nabo, nabspf)
    return DeviceLimits(
      controller: controller,
      namespace: namespace,
      writeAtomicityNormal: disabled
    )
  }
}

/// What the specification makes of them, in bytes.
private struct Meaning: Sendable {
  var powerFail: UInt64 = 512
  var normal: UInt64? = 512
  /// The namespace's field gave the power-fail limit, the limit in normal operation.
  var own: (Bool, Bool) = (false, false)
  var powerFailLines: UInt64 = 0
  var normalLines: UInt64 = 0
  var offset: UInt64 = 0
  var whole: UInt64?
}

private struct Row: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let fields: Fields
  let meaning: Meaning

  init(_ name: String, _ fields: Fields, _ meaning: Meaning) {
    (testDescription, self.fields, self.meaning) = (name, fields, meaning)
  }

  static let all: [Row] = [
    Row("zeroes are one block", Fields(), Meaning()),
    Row(
      "zeroes are one block of 4096",
      Fields(lbads: 12),
      Meaning(powerFail: 4096, normal: 4096)
    ),
    Row(
      "the controller's fields",
      Fields(awun: 63, awupf: 31),
      Meaning(powerFail: 16_384, normal: 32_768)
    ),
    Row(
      "the namespace's fields without NSABP",
      Fields(awun: 1, nawun: 127, nawupf: 31),
      Meaning(normal: 1024)
    ),
    Row(
      "the namespace's fields with NSABP",
      Fields(nsfeat: 2, awun: 1, awupf: 1, nawun: 127, nawupf: 31),
      Meaning(powerFail: 16_384, normal: 65_536, own: (true, true))
    ),
    Row(
      "NSABP and zeroes: the controller's",
      Fields(nsfeat: 2, awun: 15, awupf: 7),
      Meaning(powerFail: 4096, normal: 8192)
    ),
    Row(
      "NSABP and one of two: each by itself",
      Fields(nsfeat: 2, awun: 15, awupf: 7, nawupf: 15),
      Meaning(powerFail: 8192, normal: 8192, own: (true, false))
    ),
    Row(
      "other feature bits do not define the fields",
      Fields(nsfeat: 0xfd, nawun: 127, nawupf: 31),
      Meaning()
    ),
    Row(
      "DN: only the power-fail unit is honoured",
      Fields(nsfeat: 2, awun: 63, nawupf: 31, disabled: true),
      Meaning(powerFail: 16_384, normal: 16_384, own: (true, true))
    ),
    Row("DN unknown", Fields(awun: 63, disabled: nil), Meaning(normal: nil)),
    Row(
      "boundaries are 0's based, their offset is not",
      Fields(awun: 7, awupf: 7, nabsn: 63, nabo: 3, nabspf: 31),
      Meaning(
        powerFail: 4096,
        normal: 4096,
        powerFailLines: 16_384,
        normalLines: 32_768,
        offset: 1536
      )
    ),
    Row(
      "the smallest boundary is two blocks",
      Fields(lbads: 12, nabspf: 1),
      Meaning(powerFail: 4096, normal: 4096, powerFailLines: 8192)
    ),
    Row(
      "a unit longer than its window",
      Fields(awun: 31, awupf: 31, nabspf: 7),
      Meaning(powerFail: 16_384, normal: 16_384, powerFailLines: 4096, whole: 4096)
    ),
    Row("an offset without a boundary", Fields(nabo: 9), Meaning(offset: 4608)),
    Row(
      "the largest of all",
      Fields(lbads: 12, nsfeat: 2, nawun: .max, nawupf: .max, nabo: .max, nabspf: .max),
      Meaning(
        powerFail: 1 << 28,
        normal: 1 << 28,
        own: (true, true),
        powerFailLines: 1 << 28,
        offset: 65_535 * 4096
      )
    ),
  ]
}

@Suite struct DeviceLimitsTests {
  @Test(arguments: Row.all)
  private func fieldsBecomeBytes(row: Row) throws {
    let limits = try #require(row.fields.limits)
    let meaning = row.meaning
    #expect(limits.logicalBlockSize == LogicalBlockSize(lbads: row.fields.lbads))
    #expect(limits.powerFailBytes == meaning.powerFail)
    #expect(limits.powerFailSource == (meaning.own.0 ? .namespace : .controller))
    #expect(limits.normalBytes == meaning.normal)
    let normalSource: DeviceLimits.Source = meaning.own.1 ? .namespace : .controller
    #expect(limits.normalSource == (meaning.normal == nil ? nil : normalSource))
    #expect(limits.powerFailBoundary?.sizeBytes ?? 0 == meaning.powerFailLines)
    #expect(limits.normalBoundary?.sizeBytes ?? 0 == meaning.normalLines)
    #expect(limits.boundaryOffsetBytes == meaning.offset)
    for boundary in [limits.powerFailBoundary, limits.normalBoundary] where boundary != nil {
      #expect(boundary?.offsetBytes == meaning.offset)
    }
    #expect(limits.powerFailBytesWithinBoundary == meaning.whole ?? meaning.powerFail)
    #expect(limits.normalAtomicityDisabled == row.fields.disabled)
  }

  @Test(arguments: [0, 8, 32, 255] as [UInt8])
  func aBlockSizeThatCannotBeIsNoLimit(lbads: UInt8) {
    #expect(Fields(lbads: lbads).limits == nil)
  }

  /// MDTS 51 in 4096-byte pages is 2^63; what would not fit is no limit, like 0.
  @Test(
    arguments: [
      (0, nil), (1, 8192), (5, 131_072), (7, 524_288), (50, 1 << 62), (52, nil), (63, nil),
      (64, nil), (255, nil),
    ] as [(UInt8, UInt64?)]
  )
  func theTransferLimitIsAPowerOfTwoOfPages(mdts: UInt8, bytes: UInt64?) {
    let controller = IdentifyFixture.controller([77: mdts])
    let limits = DeviceLimits(
      controller: controller,
      namespace: IdentifyFixture.namespace([130: 9]),
      writeAtomicityNormal: false
    )
    #expect(limits?.maximumTransferBytes == bytes)
  }

  @Test(
    arguments: [
      (0, nil, false), (0, true, false), (0xfe, true, false), (1, nil, nil), (1, true, true),
      (1, false, false), (0x07, true, true),
    ] as [(UInt8, Bool?, Bool?)]
  )
  func aCacheIsVolatileWhenPresentAndEnabled(vwc: UInt8, enabled: Bool?, cached: Bool?) {
    let limits = DeviceLimits(
      controller: IdentifyFixture.controller([525: vwc]),
      namespace: IdentifyFixture.namespace([130: 9]),
      writeAtomicityNormal: nil,
      writeCacheEnabled: enabled
    )
    #expect(limits?.volatileWriteCache == cached)
  }

  @Test func metadataIsKeptWithTheLimits() {
    let limits = DeviceLimits(
      controller: IdentifyFixture.controller(),
      namespace: IdentifyFixture.namespace([128: 8, 129: 1, 130: 12]),
      writeAtomicityNormal: nil
    )
    #expect(limits?.metadataBytes == 264)
  }
}
