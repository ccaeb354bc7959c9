import Testing

@testable import NVMeAtomic

@Suite struct LogicalBlocksTests {
  @Test func everyBlockSizeFrom512BytesTo2GiBDecodes() {
    for lbads in UInt8(0)...255 {
      let power = (0..<lbads).reduce(UInt32(1)) { power, _ in power &* 2 }
      let expected = (9...31).contains(lbads) ? power : nil
      #expect(LogicalBlockSize(lbads: lbads)?.bytes == expected, "LBADS \(lbads)")
    }
  }

  @Test(arguments: [(0, 1), (1, 2), (7, 8), (254, 255), (.max, 65_536)] as [(UInt16, UInt64)])
  func aZerosBasedFieldMeansOneMore(field: UInt16, blocks: UInt64) {
    #expect(LogicalBlockCount(zerosBased: field).rawValue == blocks)
    #expect(LogicalBlockCount(blocks) == LogicalBlockCount(zerosBased: field))
    #expect(LogicalBlockCount(blocks - 1) < LogicalBlockCount(zerosBased: field))
  }

  @Test func theLargestFieldTimesTheLargestBlockFits() throws {
    let block = try #require(LogicalBlockSize(lbads: 31))
    #expect(LogicalBlockCount(zerosBased: .max).bytes(block) == 1 << 47)
  }

  @Test func powersOfTwoAgreeWithTrial() {
    let powers = (0...63).map { UInt64(1) << UInt64($0) }
    let values = (0...1025).map(UInt64.init) + powers.flatMap { [$0 - 1, $0, $0 | 1] } + [.max]
    for value in values {
      #expect(value.isPowerOfTwo == powers.contains(value), "\(value)")
      #expect(value.powerOfTwoFloor == powers.last { $0 <= value } ?? 0, "\(value)")
      #expect(value.powerOfTwoFactor == powers.last { value % $0 == 0 }, "\(value)")
    }
  }

  @Test(
    arguments: [
      (0, "0 B"), (1, "1 B"), (512, "512 B"), (1023, "1023 B"), (1024, "1 KiB"),
      (1536, "1536 B"), (65_536, "64 KiB"), (1 << 20, "1 MiB"), (3 << 29, "1536 MiB"),
      (1 << 60, "1 EiB"), (.max, "18446744073709551615 B"),
    ] as [(UInt64, String)]
  )
  func amountsReadAsPeopleWriteThemAndAreExact(bytes: UInt64, text: String) {
    #expect(ByteText(bytes).description == text)
  }
}
