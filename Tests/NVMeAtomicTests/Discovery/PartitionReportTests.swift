import TestSupport
import Testing

@testable import NVMeAtomic

@Suite struct PartitionReportTests {
  @Test(arguments: [(2048, 1_048_576), (63, 32256), (8, 4096)] as [(UInt64, UInt64)])
  func startIsCountedInSectorsOf512Bytes(sector: UInt64, start: UInt64) {
    for drive in [FixtureDrive(), .cached4K] {
      var world = FixtureWorld()
      world.addPartition(of: world.addNamespace(drive), startSector: sector, sectors: 4096)
      let report = FixtureTarget("", "/dev/nvme0n1p1", world).report()
      #expect(report.limits.startBytes == start)
      #expect(report.limits.sizeBytes == 2 << 20)
      #expect(report.stack.first?.startBytes == start)
    }
  }

  @Test func partitionLiesOnItsNamespace() throws {
    let report = try #require(FixtureTarget.named("partition")).report()
    #expect(report.kind == .partition)
    #expect(
      report.stack == [
        StackEntry(
          id: 0,
          parents: [],
          device: "/dev/nvme0n1p1",
          kind: "partition",
          startBytes: 1 << 20
        ),
        StackEntry(
          id: 1,
          parents: [0],
          device: "/dev/nvme0n1",
          kind: "namespace",
          startBytes: 0,
          atomicWriteUnitMaxBytes: 16384
        ),
        StackEntry(id: 2, parents: [1], device: "/dev/nvme0", kind: "controller", startBytes: nil),
      ]
    )
    #expect(report.controller?.name == "nvme0")
    #expect(report.namespace?.nsid == 1)
    #expect(report.writeAtomicityNormalDisabled == false)
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == 16384)
    #expect(report.limits.queue.nomerges == 2)
    #expect(report.limits.statx?.atomicWriteUnitMax == 16384)
    #expect(report.limits.drive.limits?.powerFailBytes == 16384)
  }

  @Test(
    arguments: [
      ("partition", 16384), ("partition-odd-start", 16384), ("partition-boundary", 16384),
      ("partition-misaligned", 0), ("partition-4k", 65536), ("partition-boundary-offset", 0),
    ] as [(String, UInt64)]
  )
  func tornFreeBytesCountTheStart(name: String, bytes: UInt64) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.limits.tornFreeBytes == bytes)
    #expect(report.kernelPath.maximumBytes == bytes)
  }

  /// The lines begin at block 8, as does the partition: every 16 KiB from its start lie whole.
  @Test func passthroughReachesWhatTheKernelDoesNotSupport() throws {
    let report = try #require(FixtureTarget.named("partition-boundary-offset")).report()
    #expect(report.kernelPath.available == false)
    #expect(report.passthroughPath.available == true)
    #expect(report.passthroughPath.maximumBytes == 16384)
    #expect(report.passthroughPath.boundaryBytes == 32768)
    #expect(report.passthroughPath.boundaryOffsetBytes == 4096)
  }

  /// The drive is asked through the disk's node, as commands are refused on a partition's.
  @Test func driveIsAskedThroughTheDisk() throws {
    let target = try #require(FixtureTarget.named("partition"))
    let machine = FixtureMachine(target.world)
    _ = TargetProbe.report(on: target.path, machine)
    #expect(machine.calls.filter { $0.kind == .open }.map(\.argument) == ["/dev/nvme0n1"])
  }
}
