import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// For each finding a target that has its cause, and one that differs in the cause alone.
@Suite struct FindingTests {
  @Test(arguments: rows)
  func findingAppearsWithItsCause(
    shape: String,
    code: FindingCode,
    present: String,
    absent: String,
    says: String
  ) throws {
    let findings = try #require(Self.target(present)).report().findings
    let finding = try #require(findings.first { $0.code == code })
    #expect("\(finding.severity.rawValue) \(finding.layer.rawValue)" == shape)
    #expect(finding.message.contains(says), "\(finding.message)")
  }

  @Test(arguments: rows)
  func findingIsAbsentWithoutItsCause(
    shape: String,
    code: FindingCode,
    present: String,
    absent: String,
    says: String
  ) throws {
    let report = try #require(Self.target(absent)).report()
    #expect(report.error == nil)
    #expect(!report.findings.contains { $0.code == code })
  }

  /// Findings of what could not be read have their own tests, as do contradictions.
  @Test func everyCodeIsTested() {
    let elsewhere: Set<FindingCode> = [
      .noPermission, .identifyFailed, .unreadableAttribute, .limitsDisagree,
    ]
    #expect(Set(Self.rows.map(\.1)).union(elsewhere) == Set(FindingCode.allCases))
  }

  /// Kernels get features from newer ones: what statx offers is there.
  @Test func oldReleaseThatOffersAtomicWritesIsNotTooOld() throws {
    let report = try #require(FixtureTarget.named("ext4-backported")).report()
    #expect(report.kernelPath.maximumBytes == 4096)
    #expect(!report.findings.contains { $0.code == .kernelTooOld })
  }

  /// What the partition takes is not the filesystem's doing.
  @Test func misalignedPartitionIsTheOnlyCause() throws {
    let report = try #require(FixtureTarget.named("ext4-misaligned-partition")).report()
    #expect(
      report.findings.filter { $0.severity == .blocking }.map(\.code) == [.partitionMisaligned]
    )
  }

  @Test(
    arguments: [
      ("namespace", [.neighboursMayMerge]), ("namespace-nomerges", []), ("partition", []),
      ("generic", []), ("controller", []), ("ext4-bigalloc", []),
      ("ext4-on-loop", [.stackedDeviceDropsAtomics, .notNVMe]),
    ] as [(String, [FindingCode])]
  )
  func nothingElseIsFound(name: String, codes: [FindingCode]) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.findings.map(\.code) == codes)
  }

  // MARK: What could not be read

  @Test func refusedPermissionIsNoOtherFailure() throws {
    let target = FixtureTarget.namespace("")
    let refused = FixtureMachine(target.world, fault: .everyOpen(.permissionDenied))
    let broken = FixtureMachine(target.world, fault: .everyOpen(.ioError))
    #expect(TargetProbe.report(on: target.path, refused).findings.map(\.code) == [.noPermission])
    #expect(TargetProbe.report(on: target.path, broken).findings.map(\.code) == [.identifyFailed])
  }

  @Test(arguments: ["", "abc\n", "-1\n", "4096", "18446744073709551616\n", "4 096\n", "0x1000\n"])
  func attributeThatIsNoNumberIsReported(text: String) throws {
    var target = FixtureTarget.namespace("")
    let path = "/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1/queue/max_hw_sectors_kb"
    target.world.tree.addText(path, text)
    let report = target.report()
    let finding = try #require(report.findings.first { $0.code == .unreadableAttribute })
    #expect(finding.message.contains(path))
    #expect(report.limits.queue.maxHWSectorsKB == nil)
    #expect(report.passthroughPath.maximumBytes == nil)
    #expect(report.kernelPath.maximumBytes == 16384)
  }
}
