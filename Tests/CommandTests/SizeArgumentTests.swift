import Testing

@testable import nvme_atomic

@Suite struct SizeArgumentTests {
  @Test(
    arguments: [
      ("0", 0), ("512", 512), ("512b", 512), ("16k", 16384), ("16K", 16384), ("16KiB", 16384),
      ("16kb", 16384), ("1m", 1 << 20), ("2GiB", 2 << 30), ("18446744073709551615", .max),
    ] as [(String, UInt64)]
  )
  func readsPowersOf1024(text: String, bytes: UInt64) {
    #expect(SizeArgument(argument: text)?.bytes == bytes)
  }

  @Test(arguments: [
    "", "k", "-1", "+1", "1.5k", "16kk", "16 k", "0x10", "1e3", "16i", "18446744073709551616",
    "99999999999p", "１６k",
  ])
  func refusesWhatIsNoSize(text: String) {
    #expect(SizeArgument(argument: text) == nil)
  }
}
