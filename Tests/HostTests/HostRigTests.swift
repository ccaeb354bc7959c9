import Testing

/// Skipped tests pass; these fail instead where the rig is meant to be.
@Suite struct HostRigTests {
  @Test func theRigIsThereWhenItIsRequired() {
    #expect(!HostRig.isRequired || HostRig.isPresent, "\(HostRig.missing)")
  }

  @Test(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
  func aKernelThatShouldKeepAtomicWritesInSoftwareDoes() throws {
    let release = try HostKernel.version()
    #expect((release >= (6, 16)) == HostRig.hasSoftwareAtomics, "Linux \(release)")
  }

  @Test(.enabled(if: HostRig.isPresent, "no host rig here: run Tests/run"))
  func aKernelThatShouldExchangeRangesDoes() throws {
    let release = try HostKernel.version()
    #expect((release >= (6, 10)) == HostRig.hasExchange, "Linux \(release)")
  }
}
