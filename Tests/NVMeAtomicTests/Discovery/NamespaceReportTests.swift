import LinuxIO
import TestSupport
import Testing

@testable import NVMeAtomic

/// Every field of the report on a namespace's block device and on its partitions.
@Suite struct NamespaceReportTests {
  /// No two fields have the same value.
  private static let drive = FixtureDrive {
    ($0.serial, $0.model, $0.firmware) = ("S-77", "Model M", "F9")
    ($0.cmic, $0.mdts, $0.vwc, $0.awun, $0.awupf, $0.acwu) = (2, 6, 7, 50, 40, 10)
    ($0.nsid, $0.blockCount, $0.lbaBytes) = (9, 1 << 20, 4096)
    ($0.nsfeat, $0.flbas, $0.nmic, $0.nawun, $0.nawupf, $0.nacwu) = (0x42, 0x13, 1, 70, 60, 20)
    ($0.nabsn, $0.nabo, $0.nabspf) = (95, 3, 79)
    $0.metadataBytes = 64
  }

  private static func report(
    _ drive: FixtureDrive = drive,
    queue change: (inout FixtureQueue) -> Void = { _ in }
  ) -> TargetReport {
    FixtureTarget.namespace("", .linux7_3, drive, queue: change).report()
  }

  @Test func controllerIsReportedRaw() throws {
    let controller = try #require(Self.report().controller)
    #expect(controller.name == "nvme0")
    #expect(controller.transport == "pcie")
    #expect(controller.model == "Model M")
    #expect(controller.serial == "S-77")
    #expect(controller.firmware == "F9")
    let identify = try #require(controller.identify)
    #expect(identify.model == "Model M")
    #expect(identify.serial == "S-77")
    #expect(identify.firmware == "F9")
    #expect([identify.cmic, identify.mdts, identify.vwc] == [2, 6, 7])
    #expect([identify.awun, identify.awupf, identify.acwu] == [50, 40, 10])
  }

  @Test func namespaceIsReportedRaw() throws {
    let namespace = try #require(Self.report().namespace)
    #expect(namespace.nsid == 9)
    #expect(namespace.paths == 1)
    let identify = try #require(namespace.identify)
    #expect(identify.nsze == 1 << 20)
    #expect([identify.nsfeat, identify.flbas, identify.nmic] == [0x42, 0x13, 1])
    #expect([identify.nawun, identify.nawupf, identify.nacwu] == [70, 60, 20])
    #expect([identify.nabsn, identify.nabo, identify.nabspf] == [95, 3, 79])
    #expect(identify.logicalBlockSize?.bytes == 4096)
    #expect(identify.metadataBytes == 64)
  }

  @Test func deviceLimitsAreInBytes() throws {
    let device = try #require(Self.report().limits.drive.limits)
    #expect(device.normalBytes == 71 * 4096)
    #expect(device.normalSource == .namespace)
    #expect(device.powerFailBytes == 61 * 4096)
    #expect(device.powerFailSource == .namespace)
    #expect(device.normalBoundary == AtomicBoundary(sizeBytes: 96 * 4096, offsetBytes: 3 * 4096))
    #expect(device.powerFailBoundary == AtomicBoundary(sizeBytes: 80 * 4096, offsetBytes: 12288))
    #expect(device.boundaryOffsetBytes == 3 * 4096)
    #expect(device.maximumTransferBytes == 256 << 10)
    #expect(device.volatileWriteCache == true)
    #expect(device.metadataBytes == 64)
  }

  @Test(arguments: [(0, false), (1, true), (0x8000_0000, false), (3, true)] as [(UInt32, Bool)])
  func dnIsBitZeroOfFeature0A(value: UInt32, isDisabled: Bool) throws {
    let report = Self.report(Self.drive.with { $0.writeAtomicityNormal = value })
    #expect(report.writeAtomicityNormalDisabled == isDisabled)
    let device = try #require(report.limits.drive.limits)
    #expect(device.normalAtomicityDisabled == isDisabled)
    // With DN set, the power-fail unit is all that is honoured.
    #expect(device.normalBytes == (isDisabled ? 61 : 71) * 4096)
  }

  @Test(
    arguments: [(0, 1, false), (1, 0, false), (1, 1, true), (6, 1, false), (7, 2, false)]
      as [(UInt8, UInt32, Bool)]
  )
  func cacheIsVolatileWherePresentAndEnabled(vwc: UInt8, enabled: UInt32, isVolatile: Bool) {
    let report = Self.report(
      Self.drive.with { ($0.vwc, $0.volatileWriteCache) = (vwc, enabled) }
    )
    #expect(report.limits.drive.limits?.volatileWriteCache == isVolatile)
  }

  @Test func queueIsThatOfTheDisk() {
    let queue = Self.report {
      ($0.atomicUnitMin, $0.atomicUnitMax, $0.atomicMax, $0.atomicBoundary) = (11, 12, 13, 14)
      ($0.logicalBlockSize, $0.physicalBlockSize) = (15, 16)
      ($0.maxSectorsKB, $0.maxHWSectorsKB, $0.maxSegments) = (17, 18, 19)
      ($0.chunkSectors, $0.nomerges, $0.writeCache) = (20, 21, "write back")
    }.limits.queue
    var expected = QueueLimits()
    expected.atomicWriteUnitMinBytes = 11
    expected.atomicWriteUnitMaxBytes = 12
    expected.atomicWriteMaxBytes = 13
    expected.atomicWriteBoundaryBytes = 14
    expected.logicalBlockSize = 15
    expected.physicalBlockSize = 16
    expected.maxSectorsKB = 17
    expected.maxHWSectorsKB = 18
    expected.maxSegments = 19
    expected.chunkSectors = 20
    expected.nomerges = 21
    expected.writeBack = true
    #expect(queue == expected)
  }

  @Test func attributesThatAKernelLacksAreUnknownWithoutComplaint() {
    let report = FixtureTarget.namespace("", .linux6_10).report()
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == nil)
    #expect(report.limits.queue.atomicWriteBoundaryBytes == nil)
    #expect(report.limits.queue.logicalBlockSize == 512)
    #expect(!report.findings.contains { $0.code == .unreadableAttribute })
  }

  @Test func statxIsThatOfTheTarget() {
    var target = FixtureTarget.namespace("")
    target.world.changeStatus("/dev/nvme0n1") {
      $0.atomicWrite = .init(unitMin: 21, unitMax: 22, unitMaxOpt: 23, segmentsMax: 24)
      $0.directIO = .init(memoryBytes: 25, offsetBytes: 26)
    }
    var expected = StatxLimits()
    expected.atomicWriteUnitMin = 21
    expected.atomicWriteUnitMax = 22
    expected.atomicWriteUnitMaxOpt = 23
    expected.atomicWriteSegmentsMax = 24
    expected.dioMemAlign = 25
    expected.dioOffsetAlign = 26
    #expect(target.report().limits.statx == expected)
  }

  @Test func namespaceLiesOnItsController() {
    let report = Self.report()
    #expect(report.path == "/dev/nvme0n1")
    #expect(report.kind == .namespace)
    #expect(report.error == nil)
    #expect(report.limits.kind == .namespace)
    #expect(report.limits.startBytes == 0)
    #expect(report.limits.sizeBytes == 4 << 30)
    #expect(report.limits.filesystem == nil)
    #expect(report.limits.fabric == nil)
    #expect(
      report.stack == [
        StackEntry(
          id: 0,
          parents: [],
          device: "/dev/nvme0n1",
          kind: "namespace",
          startBytes: 0,
          atomicWriteUnitMaxBytes: report.queue.atomicWriteUnitMaxBytes
        ),
        StackEntry(id: 1, parents: [0], device: "/dev/nvme0", kind: "controller", startBytes: nil),
      ]
    )
  }

  @Test func pathsAreDerivedFromBothSides() {
    let report = FixtureTarget.namespace("").report()
    #expect(report.limits.tornFreeBytes == 16384)
    #expect(report.kernelPath.available == true)
    #expect(report.kernelPath.minimumBytes == 512)
    #expect(report.kernelPath.maximumBytes == 16384)
    #expect(report.kernelPath.boundaryBytes == 0)
    #expect(report.kernelPath.backing == .hardware)
    #expect(report.passthroughPath.available == true)
    #expect(report.passthroughPath.maximumBytes == 16384)
    #expect(report.passthroughPath.granuleBytes == 512)
    #expect(report.passthroughPath.boundaryBytes == 0)
    #expect(report.passthroughPath.boundaryOffsetBytes == 0)
  }

  @Test func linkIsFollowed() throws {
    let target = try #require(FixtureTarget.named("link-to-namespace"))
    let report = target.report()
    #expect(report.path == target.path)
    #expect(report.kind == .namespace)
    #expect(report.limits.tornFreeBytes == 16384)
    #expect(report.stack.map(\.device) == ["/dev/nvme0n1", "/dev/nvme0"])
  }

  @Test func remoteNamespaceNamesItsTransport() throws {
    let report = try #require(FixtureTarget.named("namespace-tcp")).report()
    #expect(report.controller?.transport == "tcp")
    #expect(report.limits.fabric == "tcp")
  }
}
