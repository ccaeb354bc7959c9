import LinuxIO
import TestSupport
import Testing

@testable import NVMeAtomic

/// Stacked and other block devices, multipath, and what is no target at all.
@Suite struct StackReportTests {
  @Test(
    arguments: [("dm-without-atomics", "/dev/dm-0", "dm"), ("md", "/dev/md0", "md")]
      as [(String, String, String)]
  )
  func stackedDeviceListsItsMembers(name: String, node: String, kind: String) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.kind == .block)
    #expect(report.error == nil)
    #expect(
      report.stack == [
        StackEntry(id: 0, parents: [], device: node, kind: kind, startBytes: 0),
        StackEntry(id: 1, parents: [0], device: "/dev/nvme0n1", kind: "block", startBytes: nil),
        StackEntry(id: 2, parents: [0], device: "/dev/nvme1n1", kind: "block", startBytes: nil),
      ]
    )
    #expect(report.controller == nil)
    #expect(report.namespace == nil)
    #expect(report.limits.drive.limits == nil)
  }

  /// What the kernel offers is shown; whether the drives keep it is not known.
  @Test func stackedDeviceThatPassesAtomicsIsNotTrusted() throws {
    let report = try #require(FixtureTarget.named("dm")).report()
    #expect(report.limits.statx?.atomicWriteUnitMax == 16384)
    #expect(report.limits.queue.atomicWriteUnitMaxBytes == 16384)
    #expect(report.kernelPath.available == nil)
    #expect(report.limits.tornFreeBytes == nil)
    #expect(report.passthroughPath.available == false)
  }

  @Test(arguments: [("loop", "loop"), ("sd", "block")] as [(String, String)])
  func otherDiskStandsAlone(name: String, kind: String) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.kind == .block)
    #expect(report.stack.map(\.kind) == [kind])
    #expect(report.limits.sizeBytes == 1 << 30)
    #expect(report.limits.tornFreeBytes == 0)
  }

  /// sysfs spells a slash in a node's name as an exclamation mark.
  @Test func nodeNamesHaveTheirSlashes() {
    #expect(BlockDevice.node(of: "cciss!c0d0") == "/dev/cciss/c0d0")
    #expect(BlockDevice.node(of: "nvme0n1") == "/dev/nvme0n1")
  }

  // MARK: Native multipath

  @Test(arguments: [(1, 16384), (2, nil), (3, nil)] as [(Int, UInt64?)])
  func severalPathsAreNotTrusted(paths: Int, bytes: UInt64?) {
    var world = FixtureWorld()
    world.addMultipathNamespace(paths: paths)
    let report = FixtureTarget("", "/dev/nvme0n1", world).report()
    #expect(report.kind == .namespace)
    #expect(report.namespace?.paths == paths)
    #expect(report.controller?.name == "nvme0")
    #expect(report.controller?.model == "Fixture A")
    #expect(report.limits.tornFreeBytes == bytes)
    #expect(report.kernelPath.maximumBytes == bytes)
    #expect(report.passthroughPath.maximumBytes == bytes)
    #expect(report.stack.map(\.device) == ["/dev/nvme0n1", "/dev/nvme0"])
  }

  // MARK: Users

  @Test(
    arguments: [
      ("namespace-mounted", "/dev/nvme0n1 is mounted at /mnt"),
      ("namespace-mounted-by-name", "/dev/nvme0n1 is mounted at /data"),
      ("namespace-mounted-by-number", "/dev/nvme0n1 is mounted at /"),
      ("namespace-partition-mounted", "/dev/nvme0n1p2 is mounted at /"),
      ("namespace-partition-swapped", "/dev/nvme0n1p1 is swap space"),
      ("namespace-partition-held", "/dev/nvme0n1p1 is held by dm-0"),
      ("namespace-held", "/dev/nvme0n1 is held by dm-0"),
      ("partition-mounted", "/dev/nvme0n1p1 is mounted at /mnt"),
      ("generic-mounted", "/dev/nvme0n1 is mounted at /mnt"),
      ("generic-partition-held", "/dev/nvme0n1p1 is held by dm-0"),
      ("namespace", nil), ("partition", nil), ("generic", nil),
    ] as [(String, String?)]
  )
  func passthroughIsNotOfferedOnWhatIsInUse(name: String, obstacle: String?) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.limits.passthroughObstacle == obstacle)
    #expect(report.passthroughPath.available == (obstacle == nil))
    #expect(report.passthroughPath.reason == obstacle)
  }

  // MARK: No target

  @Test(
    arguments: [
      ("missing", .notFound), ("dangling-link", .notFound), ("vanished-disk", .notFound),
      ("pipe", .unsupported), ("null", .unsupported), ("directory-no-permission", .permission),
    ] as [(String, ErrorCode)]
  )
  func whatIsNoTargetSaysWhy(name: String, code: ErrorCode) throws {
    let question = Question(.everyPage(sizeBytes: 4096), writer: .direct)
    let report = try #require(FixtureTarget.named(name)).report(answering: question)
    let error = try #require(report.error)
    #expect(error.code == code)
    #expect(report.answer == nil)
    for text in [error.message, error.remedy] {
      #expect(!text.isEmpty)
      #expect(!text.contains("\n"))
    }
  }
}
