import Testing

@testable import NVMeAtomic

@Suite struct IdentifyControllerTests {
  @Test(arguments: Seed.some(4))
  func arbitraryBytesDecodeFieldByField(seed: Seed) throws {
    var random = seed.generator
    for _ in 0..<16 {
      let page = IdentifyFixture.randomPage(&random)
      let decoded = try #require(IdentifyController(page: page))
      func number(_ offset: Int, _ bytes: Int) -> UInt64 {
        IdentifyFixture.number(page, offset, bytes: bytes)
      }
      let replay = Comment(rawValue: seed.replay)
      #expect(UInt64(decoded.vid) == number(0, 2), replay)
      #expect(UInt64(decoded.cmic) == number(76, 1), replay)
      #expect(UInt64(decoded.mdts) == number(77, 1), replay)
      #expect(UInt64(decoded.vwc) == number(525, 1), replay)
      #expect(UInt64(decoded.awun) == number(526, 2), replay)
      #expect(UInt64(decoded.awupf) == number(528, 2), replay)
      #expect(UInt64(decoded.acwu) == number(532, 2), replay)
      #expect(decoded.hasVolatileWriteCache == (page[525] % 2 == 1), replay)
    }
  }

  /// One changed byte changes the result where a field lies, and nowhere else.
  @Test func noOtherByteIsRead() throws {
    let fields: [ClosedRange<Int>] = [0...1, 4...71, 76...77, 524...529, 532...533]
    let base = [UInt8](repeating: UInt8(ascii: "A"), count: IdentifyFixture.byteCount)
    let expected = try #require(IdentifyController(page: base))
    for offset in base.indices {
      var page = base
      page[offset] ^= 2
      let isField = fields.contains { $0.contains(offset) }
      if (IdentifyController(page: page) != expected) != isField {
        Issue.record("byte \(offset) is \(isField ? "not read" : "read")")
      }
    }
  }

  @Test(arguments: [0, 1, 512, 4095, 4097, 8192])
  func anotherLengthIsNoPage(count: Int) {
    let bytes = [UInt8](repeating: 0, count: count)
    #expect(IdentifyController(page: bytes) == nil)
    #expect(IdentifyNamespace(page: bytes) == nil)
  }

  @Test(
    arguments: [
      ("EXAMPLE DRIVE 1", "EXAMPLE DRIVE 1"),
      ("  LEADING", "LEADING"),
      ("TRAILING      ", "TRAILING"),
      ("", ""),
      ("         ", ""),
      ("NUL\0PADDED\0\0\0", "NUL?PADDED"),
      ("SPACE BEFORE NUL   \0\0", "SPACE BEFORE NUL"),
      ("\u{7}BELL\u{7f}", "?BELL?"),
      ("tab\tand\nline", "tab?and?line"),
      ("~ is printable!", "~ is printable!"),
    ] as [(String, String)]
  )
  func textLosesItsPaddingAndNothingElse(stored: String, shown: String) throws {
    for (offset, capacity) in [(4, 20), (24, 40)] {
      // The specification pads with spaces; many drives pad with zeroes.
      for padding in [UInt8(ascii: " "), 0] where stored.utf8.last != 0 || padding == 0 {
        var page = [UInt8](repeating: 0xff, count: IdentifyFixture.byteCount)
        let bytes = Array(stored.utf8)
        let padded = bytes + [UInt8](repeating: padding, count: max(0, capacity - bytes.count))
        guard padded.count == capacity else { continue }
        page.replaceSubrange(offset..<offset + capacity, with: padded)
        let decoded = try #require(IdentifyController(page: page))
        #expect((offset == 4 ? decoded.serial : decoded.model) == shown)
      }
    }
  }

  @Test(arguments: Seed.some(4))
  func textIsAlwaysPrintableAndUnpadded(seed: Seed) throws {
    var random = seed.generator
    for _ in 0..<16 {
      var page = IdentifyFixture.randomPage(&random)
      // Enough padding for its rules to matter.
      for _ in 0..<40 { page[4 + Int(random.below(68))] = random.pick([0, 0x20]) }
      let decoded = try #require(IdentifyController(page: page))
      for (text, field) in [
        (decoded.serial, 4..<24), (decoded.model, 24..<64), (decoded.firmware, 64..<72),
      ] {
        let stored = page[field].count { $0 > 0x20 && $0 < 0x7f }
        #expect(text.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "\(seed.replay)")
        #expect(text.utf8.count <= field.count, "\(seed.replay)")
        #expect(!text.hasPrefix(" ") && !text.hasSuffix(" "), "\(seed.replay)")
        #expect(text.utf8.count { $0 > 0x20 } >= stored, "\(seed.replay)")
      }
    }
  }

  @Test func firmwareIsTheEightBytesAfterTheModel() throws {
    var page = IdentifyFixture.page()
    page.replaceSubrange(24..<64, with: [0x4d] + [UInt8](repeating: 0x20, count: 39))
    page.replaceSubrange(64..<72, with: "FW 1.2.3".utf8)
    let decoded = try #require(IdentifyController(page: page))
    #expect(decoded.model == "M")
    #expect(decoded.firmware == "FW 1.2.3")
    #expect(decoded.serial == "")
  }
}
