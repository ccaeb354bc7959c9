import LinuxIO
import TestSupport
import Testing

@testable import NVMeAtomic

/// Stacked and other block devices, multipath, and what is no target at all.
@Suite struct StackReportTests {
  /// The graph of a target, an entry a line: id, parents, device, kind, and what else there is.
  private static func graph(_ name: String) throws -> [String] {
    try #require(FixtureTarget.named(name)).report().stack.map { entry in
      let extra = [
        entry.startBytes.map { "start \($0)" }, entry.type,
        entry.chunkBytes.map { "chunk \($0)" },
        entry.atomicWriteUnitMaxBytes.map { "unit \($0)" },
      ]
      let parents = entry.parents.map(String.init).joined(separator: ",")
      return "\(entry.id)<\(parents) \(entry.device) \(entry.kind) "
        + extra.compactMap { $0 }.joined(separator: " ")
    }
  }

  @Test func deviceMapperStandsOnItsDrives() throws {
    #expect(
      try Self.graph("dm-without-atomics") == [
        "0< /dev/dm-0 dm start 0 linear unit 0",
        "1<0 /dev/nvme0n1 namespace start 0 unit 16384", "2<1 /dev/nvme0 controller ",
        "3<0 /dev/nvme1n1 namespace start 0 unit 16384", "4<3 /dev/nvme1 controller ",
      ]
    )
  }

  @Test func arrayStandsOnItsDrives() throws {
    #expect(
      try Self.graph("md-raid10") == [
        "0< /dev/md0 md start 0 raid10 chunk 524288 unit 16384",
        "1<0 /dev/nvme0n1 namespace start 0 unit 16384", "2<1 /dev/nvme0 controller ",
        "3<0 /dev/nvme1n1 namespace start 0 unit 16384", "4<3 /dev/nvme1 controller ",
      ]
    )
  }

  @Test func layersStandOnLayers() throws {
    #expect(
      try Self.graph("dm-nested") == [
        "0< /dev/dm-1 dm start 0 linear unit 16384",
        "1<0 /dev/dm-0 dm start 0 striped chunk 65536 unit 16384",
        "2<1 /dev/nvme0n1 namespace start 0 unit 16384", "3<2 /dev/nvme0 controller ",
        "4<1 /dev/nvme1n1 namespace start 0 unit 16384", "5<4 /dev/nvme1 controller ",
      ]
    )
    #expect(
      try Self.graph("dm-partition").prefix(2) == [
        "0< /dev/dm-0p1 partition start 1048576",
        "1<0 /dev/dm-0 dm start 0 striped chunk 65536 unit 16384",
      ]
    )
  }

  @Test func everyPathStandsOnItsController() throws {
    #expect(
      try Self.graph("dm-on-two-paths") == [
        "0< /dev/dm-0 dm start 0 linear unit 16384",
        "1<0 /dev/nvme0n1 namespace start 0 unit 16384", "2<1 nvme0c0n1 path start 0 unit 16384",
        "3<2 /dev/nvme0 controller ", "4<1 nvme0c1n1 path start 0 unit 16384",
        "5<4 /dev/nvme1 controller ",
      ]
    )
  }

  @Test func loopDeviceStandsOnItsFile() throws {
    #expect(
      try Self.graph("loop-on-ext4") == [
        "0< /dev/loop0 loop start 0 unit 0", "1<0 \(FixtureWorld.file) file ",
        "2<1 /dev/nvme0n1 namespace start 0 unit 16384", "3<2 /dev/nvme0 controller ",
      ]
    )
    #expect(try Self.graph("loop-on-namespace").dropFirst().first?.contains("nvme0n1") == true)
    #expect(try Self.graph("loop-on-missing").count == 1)
  }

  /// Several namespaces are listed, and none of them is the target's.
  @Test(arguments: ["dm", "md", "dm-striped", "dm-nested"])
  func severalNamespacesAreListed(name: String) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.kind == .block)
    #expect(report.namespaces.map(\.device) == ["/dev/nvme0n1", "/dev/nvme1n1"])
    #expect(report.namespaces.allSatisfy { $0.drive.limits?.powerFailBytes == 16384 })
    #expect(report.controller == nil)
    #expect(report.namespace == nil)
    #expect(report.limits.drive.limits == nil)
    #expect(report.passthroughPath.available == false)
  }

  /// What holds at every aligned offset: kernel, drives and seams together.
  @Test(
    arguments: [
      ("dm-linear", 16384), ("dm-striped", 16384), ("dm-striped-small", 8192),
      ("dm-odd-seam", 4096), ("dm-boundary", 16384), ("dm-unequal-units", 4096),
      ("dm-offers-too-much", 4096), ("dm-mirror", nil), ("dm-crypt", 16384), ("dm-snapshot", 0),
      ("dm-no-permission", nil), ("dm-partition", 16384), ("dm-nested", 16384),
      ("dm-on-two-paths", 16384), ("dm-tcp", nil), ("dm-metadata", nil), ("md-raid0", 16384),
      ("md-raid0-small", 4096), ("md-raid1", 16384), ("md-raid1-merging", 0),
      ("md-raid10", 16384), ("md-raid5", 0), ("md-raid1-no-metadata", nil),
      ("md-raid0-reshaping", nil), ("loop-on-ext4", 0),
    ] as [(String, UInt64?)]
  )
  func smallestLimitCounts(name: String, bytes: UInt64?) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.limits.tornFreeBytes == bytes)
    #expect(report.kernelPath.maximumBytes == bytes)
  }

  /// A layer with larger blocks than its drive still shows the drive's smallest unit.
  @Test func nothingSmallerThanABlockIsTaken() throws {
    let report = try #require(FixtureTarget.named("dm-crypt-4k")).report()
    #expect(report.queue.atomicWriteUnitMinBytes == 512)
    #expect(report.kernelPath.minimumBytes == 4096)
    #expect(report.kernelPath.maximumBytes == 16384)
  }

  @Test(arguments: [("loop", ["loop", "file"]), ("sd", ["block"])] as [(String, [String])])
  func otherDiskStandsAlone(name: String, kinds: [String]) throws {
    let report = try #require(FixtureTarget.named(name)).report()
    #expect(report.kind == .block)
    #expect(report.stack.map(\.kind) == kinds)
    #expect(report.limits.sizeBytes == 1 << 30)
    #expect(report.limits.tornFreeBytes == 0)
  }

  /// sysfs spells a slash in a node's name as an exclamation mark.
  @Test func nodeNamesHaveTheirSlashes() {
    #expect(BlockDevice.node(of: "cciss!c0d0") == "/dev/cciss/c0d0")
    #expect(BlockDevice.node(of: "nvme0n1") == "/dev/nvme0n1")
  }

  // MARK: Native multipath

  /// The eleventh path tells numbers from texts: nvme10 comes after nvme2.
  @Test(arguments: [1, 2, 3, 11])
  func everyPathIsAsked(paths: Int) {
    var world = FixtureWorld()
    world.addMultipathNamespace(paths: paths)
    let report = FixtureTarget("", "/dev/nvme0n1", world).report()
    #expect(report.kind == .namespace)
    #expect(report.namespaces.map(\.controller?.name) == (0..<paths).map { "nvme\($0)" })
    #expect(report.namespaces.map(\.path) == (0..<paths).map { "nvme0c\($0)n1" })
    #expect(report.controller?.name == (paths == 1 ? "nvme0" : nil))
    #expect(report.namespace?.paths == (paths == 1 ? 1 : nil))
    #expect(report.limits.tornFreeBytes == 16384)
    #expect(report.kernelPath.maximumBytes == 16384)
    // Others may have a path too.
    #expect(report.passthroughPath.maximumBytes == (paths == 1 ? 16384 : 0))
    #expect(PassthroughPathLimits(report.limits, allowsShared: true).maximumBytes == 16384)
    #expect(report.commandNamespaceID == 1)
  }

  /// Each path has its own transfer limit, and the drive may say other things to each controller.
  @Test func smallestPathCounts() {
    var world = FixtureWorld()
    let small = FixtureDrive { ($0.mdts, $0.nawupf) = (2, 15) }
    world.addMultipathNamespace(paths: 2)
    world.addController(1, small)
    world.addQueue(
      world.kernel.queue(of: small),
      below: FixtureWorld.controllerPath(1, "nvme0c1n1")
    )
    let report = FixtureTarget("", "/dev/nvme0n1", world).report()
    #expect(report.namespaces.map { $0.drive.limits?.powerFailBytes } == [16384, 8192])
    #expect(report.limits.tornFreeBytes == 8192)
    #expect(PassthroughPathLimits(report.limits, allowsShared: true).maximumBytes == 8192)
    #expect(report.findings.contains { $0.code == .pathsDisagree })
  }

  /// A head's limits shrink with a path that comes, and stay when it goes.
  @Test(arguments: [(8192, 16384), (16384, 8192)] as [(UInt64, UInt64)])
  func headMayKeepTheLimitsOfAPathThatIsGone(head: UInt64, path: UInt64) {
    var world = FixtureWorld()
    let whole = world.kernel.queue(of: FixtureDrive())
    world.addMultipathNamespace(
      paths: 1,
      queue: whole.offering(head),
      pathQueue: whole.offering(path)
    )
    let report = FixtureTarget("", "/dev/nvme0n1", world).report()
    #expect(report.namespaces.map(\.path) == ["nvme0c0n1"])
    #expect(report.kernelPath.maximumBytes == 8192)
    #expect(report.limits.tornFreeBytes == 8192)
    let finding = report.findings.first { $0.code == .pathsDisagree }
    #expect(finding?.message.contains("ever had") == true)
  }

  /// A layer above keeps the limits that it was made with: the head below refuses what it passes.
  @Test func layerMayOfferMoreThanTheHeadBelow() {
    var world = FixtureWorld()
    let whole = world.kernel.queue(of: FixtureDrive())
    let head = world.addMultipathNamespace(
      paths: 1,
      queue: whole.offering(8192),
      pathQueue: whole
    )
    world.addMapper(over: [head], queue: whole)
    for (size, answer) in [(4096, true), (8192, true), (16384, false)] as [(UInt64, Bool)] {
      let report = FixtureTarget("", "/dev/dm-0", world).report(
        answering: Question(.everyPage(sizeBytes: size), writer: .rwfAtomic)
      )
      #expect(report.answer?.isAtomic == answer)
      #expect(report.limits.tornFreeBytes == 8192)
    }
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
    #expect(report.limits.passthroughUser == obstacle)
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
