import Testing

@testable import NVMeAtomic

@Suite struct KernelVersionTests {
  @Test(
    arguments: [
      ("6.12.107+deb13-amd64", 6, 12), ("7.3.4", 7, 3), ("6.1.0-28-amd64", 6, 1), ("6.13", 6, 13),
      ("6.13-rc7", 6, 13), ("10.0.0-foo.bar", 10, 0), ("6.18.0_rt", 6, 18),
    ] as [(String, Int, Int)]
  )
  func releaseIsRead(release: String, major: Int, minor: Int) {
    #expect(KernelVersion(release: release) == KernelVersion(major, minor))
  }

  @Test(arguments: [
    "", ".", "6", "6.", ".6", "x.y", "six.twelve", "-6.12", " 6.12", "٦.١٢",
    "99999999999999999999.1", "6.99999999999999999999",
  ])
  func whatIsNoReleaseIsUnknown(release: String) {
    #expect(KernelVersion(release: release) == nil)
  }

  @Test(arguments: [
    (KernelVersion(6, 9), KernelVersion(6, 10)), (KernelVersion(6, 12), KernelVersion(6, 13)),
    (KernelVersion(6, 19), KernelVersion(7, 0)), (KernelVersion(5, 99), KernelVersion(6, 0)),
  ])
  func numbersAreCompared(older: KernelVersion, newer: KernelVersion) {
    #expect(older < newer)
    #expect(!(newer < older))
    #expect(!(older < older))
  }
}
