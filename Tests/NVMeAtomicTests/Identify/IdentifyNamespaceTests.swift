import Testing

@testable import NVMeAtomic

@Suite struct IdentifyNamespaceTests {
  @Test(arguments: Seed.some(4))
  func arbitraryBytesDecodeFieldByField(seed: Seed) throws {
    var random = seed.generator
    for _ in 0..<16 {
      let page = IdentifyFixture.randomPage(&random)
      let decoded = try #require(IdentifyNamespace(page: page))
      func number(_ offset: Int, _ bytes: Int) -> UInt64 {
        IdentifyFixture.number(page, offset, bytes: bytes)
      }
      let replay = Comment(rawValue: seed.replay)
      #expect(decoded.nsze == number(0, 8), replay)
      #expect(UInt64(decoded.nsfeat) == number(24, 1), replay)
      #expect(UInt64(decoded.nlbaf) == number(25, 1), replay)
      #expect(UInt64(decoded.flbas) == number(26, 1), replay)
      #expect(UInt64(decoded.nmic) == number(30, 1), replay)
      #expect(UInt64(decoded.nawun) == number(34, 2), replay)
      #expect(UInt64(decoded.nawupf) == number(36, 2), replay)
      #expect(UInt64(decoded.nacwu) == number(38, 2), replay)
      #expect(UInt64(decoded.nabsn) == number(40, 2), replay)
      #expect(UInt64(decoded.nabo) == number(42, 2), replay)
      #expect(UInt64(decoded.nabspf) == number(44, 2), replay)
      #expect(decoded.definesAtomicFields == (page[24] / 2 % 2 == 1), replay)
      #expect(decoded.hasMultipleAtomicityMode == (page[24] / 64 % 2 == 1), replay)
      #expect(decoded.isShared == (page[30] % 2 == 1), replay)
      let format = 128 + 4 * Self.formatInUse(nlbaf: page[25], flbas: page[26])
      #expect(UInt64(decoded.metadataBytes) == number(format, 2), replay)
      #expect(UInt64(decoded.lbads) == number(format + 2, 1), replay)
    }
  }

  /// Bits 3:0, and above them bits 6:5 where there are more than 16 formats (NLBAF is 0's based).
  private static func formatInUse(nlbaf: UInt8, flbas: UInt8) -> Int {
    let bits = (0..<8).map { Int(flbas) / (1 << $0) % 2 }
    let low = bits[0] + 2 * bits[1] + 4 * bits[2] + 8 * bits[3]
    return Int(nlbaf) + 1 > 16 ? low + 16 * bits[5] + 32 * bits[6] : low
  }

  @Test func everyFormatIndexIsFound() throws {
    var page = IdentifyFixture.page()
    for format in 0..<64 {
      page[128 + 4 * format] = UInt8(format)
      page[128 + 4 * format + 1] = 1
      page[128 + 4 * format + 2] = UInt8(100 + format)
      page[128 + 4 * format + 3] = 0xff
    }
    for nlbaf in [0, 3, 14, 15, 16, 17, 62, 63] as [UInt8] {
      for flbas in UInt8(0)...255 {
        (page[25], page[26]) = (nlbaf, flbas)
        let decoded = try #require(IdentifyNamespace(page: page))
        let format = Self.formatInUse(nlbaf: nlbaf, flbas: flbas)
        if decoded.metadataBytes != 256 + UInt16(format) || decoded.lbads != 100 + UInt8(format) {
          Issue.record("NLBAF \(nlbaf), FLBAS \(flbas): format \(format) is in use")
        }
      }
    }
  }

  /// One changed byte changes the result where a field lies, and nowhere else.
  @Test(arguments: [(0, 0), (15, 0x0f), (63, 0x6f)] as [(UInt8, UInt8)])
  func noOtherByteIsRead(nlbaf: UInt8, flbas: UInt8) throws {
    var base = [UInt8](repeating: 0x55, count: IdentifyFixture.byteCount)
    (base[25], base[26]) = (nlbaf, flbas)
    let format = 128 + 4 * Self.formatInUse(nlbaf: nlbaf, flbas: flbas)
    let fields: [ClosedRange<Int>] = [
      0...7, 24...26, 30...30, 34...45, 128...128 + 4 * Int(nlbaf) + 3, format...format + 2,
    ]
    let expected = try #require(IdentifyNamespace(page: base))
    for offset in base.indices {
      var page = base
      page[offset] ^= 2
      let isField = fields.contains { $0.contains(offset) }
      if (IdentifyNamespace(page: page) != expected) != isField {
        Issue.record("byte \(offset) is \(isField ? "not read" : "read")")
      }
    }
  }

  @Test(arguments: [(0, nil), (8, nil), (9, 512), (12, 4096), (32, nil)] as [(UInt8, UInt32?)])
  func theBlockSizeInUseIsCheckedBeforeItIsBelieved(lbads: UInt8, bytes: UInt32?) {
    let namespace = IdentifyFixture.namespace([130: lbads])
    #expect(namespace.logicalBlockSize?.bytes == bytes)
  }

  /// NLBAF is 0's based, and no namespace has more than 64.
  @Test(arguments: [(0, 1), (3, 4), (63, 64), (64, 64), (255, 64)] as [(UInt8, Int)])
  func everyFormatThatIsCountedIsListed(nlbaf: UInt8, count: Int) {
    let namespace = IdentifyFixture.namespace([
      25: nlbaf, 128: 8, 129: 1, 130: 9, 131: 0xfe, 380: 1, 382: 12, 383: 1,
    ])
    #expect(namespace.formats.map(\.index) == Array(0..<count))
    let first = namespace.formats[0]
    #expect(first.metadataBytes == 264)
    #expect(first.logicalBlockSize?.bytes == 512)
    #expect(first.relativePerformance == 2)
    let last = namespace.formats[count - 1]
    if count == 64 {
      #expect(last.metadataBytes == 1)
      #expect(last.logicalBlockSize?.bytes == 4096)
      #expect(last.relativePerformance == 1)
    }
  }

  /// Formats 0: 512 + 8; 1: absent; 2: 4096, degraded; 3: 512; 4: 4096, best; 5: 4096, best.
  @Test(arguments: [(512, 3), (4096, 4), (8192, nil), (1, nil), (0, nil)] as [(UInt32, Int?)])
  func theFastestFormatWithoutMetadataIsChosen(blockBytes: UInt32, index: Int?) {
    let namespace = IdentifyFixture.namespace([
      25: 5, 128: 8, 130: 9, 138: 12, 139: 3, 142: 9, 146: 12, 150: 12, 154: 13,
    ])
    #expect(namespace.plainFormat(blockBytes: blockBytes)?.index == index)
  }

  @Test func theMetadataAtTheEndBitIsNoPartOfTheIndex() {
    let namespace = IdentifyFixture.namespace([25: 63, 26: 0x10, 130: 9, 194: 12])
    #expect(namespace.lbads == 9)
  }
}
