import Testing

@testable import NVMeAtomic

@Suite struct ByteTextTests {
  @Test(
    arguments: [
      (0, "0 B"), (1, "1 B"), (512, "512 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1536 B"),
      (5120, "5 KiB"), (1 << 20, "1 MiB"), (3 << 40, "3 TiB"), (.max, "18446744073709551615 B"),
    ] as [(UInt64, String)]
  )
  func neverRounds(bytes: UInt64, text: String) {
    #expect(ByteText(bytes).description == text)
  }
}
