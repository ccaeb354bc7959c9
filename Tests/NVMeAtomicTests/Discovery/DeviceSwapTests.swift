import LinuxIO
import TestSupport
import Testing

@testable import NVMeAtomic

/// One device is pulled and another put in while a probe looks.
@Suite struct DeviceSwapTests {
  /// Keeps 128 KiB whole where the fixtures keep 16 KiB.
  private static let larger = FixtureDrive {
    ($0.nawun, $0.nawupf, $0.mdts, $0.model) = (255, 255, 8, "Fixture B")
  }

  private static let other = DeviceNumber(major: 259, minor: 90)

  /// The node's path leads elsewhere by the time it is opened.
  @Test(
    arguments: [
      ("namespace", "/dev/nvme0n1"), ("partition", "/dev/nvme0n1"), ("generic", "/dev/ng0n1"),
      ("controller", "/dev/nvme0"), ("ext4-bigalloc", "/dev/nvme0n1"), ("xfs", "/dev/nvme0n1"),
      ("directory-ext4", "/dev/nvme0n1"),
    ] as [(String, String)]
  )
  func anotherDeviceIsNeverAsked(name: String, node: String) throws {
    var target = try #require(FixtureTarget.named(name))
    target.world.swap(node, with: Self.other, Self.larger)
    let machine = FixtureMachine(target.world)
    let report = TargetProbe.report(on: target.path, machine)
    #expect(machine.commands == [])
    #expect(report.limits.drive.limits == nil)
    #expect(report.controller?.identify == nil)
    #expect(report.namespace?.nsid == nil)
    #expect(report.limits.tornFreeBytes ?? 0 == 0)
    #expect(report.passthroughPath.maximumBytes ?? 0 == 0)
    let finding = try #require(report.findings.first { $0.code == .identifyFailed })
    #expect(finding.message.contains("changed while it was being read"))
    for question in Claims.questions where target.path == node {
      #expect(Answer(question, about: report.limits).isAtomic != true)
    }
  }

  static let swapped = [
    "namespace", "namespace-nomerges", "partition", "generic", "ext4-bigalloc", "ext4-partition",
    "directory-ext4",
  ]

  /// The same names with other numbers and a larger drive, from every call on.
  @Test(arguments: swapped)
  func limitsAreNeverThoseOfTheNewcomer(name: String) throws {
    #expect(try Self.excess(name, minor: 64) == [])
  }

  /// Numbers are given again, but `diskseq` is not. (A directory stays with its mount.)
  @Test(arguments: swapped.filter { !$0.hasPrefix("directory") })
  func sameNumbersDoNotMakeItTheSameDevice(name: String) throws {
    #expect(try Self.excess(name, minor: nil) == [])
  }

  /// What is claimed too much when a newcomer takes the device's place at some call.
  private static func excess(_ name: String, minor: UInt32?) throws -> [String] {
    let target = try #require(FixtureTarget.named(name))
    let comparison = FaultComparison(target)
    let newcomer = newcomer(minor)
    let known = TargetProbe.report(on: target.path, FixtureMachine(newcomer)).limits
    try #require(known.drive.limits?.powerFailBytes == 131_072)
    // The first calls name the kernel and look at the path, or at a new file in it; where numbers
    // are the same, the first look at `diskseq` decides whose facts these are.
    var first = target.path == FixtureWorld.directory ? 3 : 2
    if minor == nil {
      let sequence = comparison.calls.firstIndex { $0.argument.hasSuffix("/diskseq") }
      first = sequence.map { $0 + 1 } ?? first
    }
    let excess = (first..<comparison.calls.count).flatMap { index in
      let machine = FixtureMachine(target.world, replacedBy: newcomer, fromCall: index)
      let limits = TargetProbe.report(on: target.path, machine).limits
      let isForeign = limits.drive.limits?.powerFailBytes ?? 0 > 16384
      return (comparison.excess(limits).prefix(1) + (isForeign ? ["its limits"] : []))
        .map { "from call \(index): \($0)" }
    }
    return Array(excess.prefix(4))
  }

  private static func newcomer(_ minor: UInt32?) -> FixtureWorld {
    var world = FixtureWorld()
    var queue = world.kernel.queue(of: larger)
    queue.nomerges = 2
    let disk = world.addNamespace(larger, queue: queue, minor: minor, sequence: 77)
    let partition = world.addPartition(of: disk)
    let isSame = minor == nil
    world.addFiles(on: .ext4(on: isSame ? disk : partition, cluster: 65536))
    return world
  }
}

/// A member of a stack is replaced, or the stack rebuilt, while a probe looks.
@Suite struct MemberSwapTests {
  static let stacks = [
    "dm-linear", "dm-striped", "dm-crypt", "dm-nested", "dm-partition", "md-raid0", "md-raid1",
    "md-raid10", "dm-on-one-path",
  ]

  /// Every member gives way to a larger drive of the same name and number, from each call on.
  @Test(arguments: stacks)
  func membersThatAreReplacedCountForNothing(name: String) throws {
    let target = try #require(FixtureTarget.named(name))
    let comparison = FaultComparison(target)
    var newcomer = target.world
    for (path, node) in newcomer.nodes {
      newcomer.nodes[path]?.drive = node.drive?.with {
        ($0.nawun, $0.nawupf, $0.mdts) = (255, 255, 8)
      }
    }
    let sequences = comparison.calls.filter { $0.argument.hasSuffix("/diskseq") }
      .map(\.argument).filter { $0.contains("/nvme") }
    let texts = Set(sequences)
    try #require(!texts.isEmpty)
    for path in texts {
      newcomer.tree.addText(path, "77\n")
      let queue = path.split(separator: "/").dropLast().joined(separator: "/")
      for limit in ["unit_max_bytes", "max_bytes"] {
        newcomer.tree.addText("/\(queue)/queue/atomic_write_\(limit)", "131072\n")
      }
    }
    // The first look at `diskseq` decides whose facts these are.
    let first = comparison.calls.firstIndex { $0.argument == sequences[0] } ?? 0
    let excess = (first + 1..<comparison.calls.count).flatMap { index in
      let machine = FixtureMachine(target.world, replacedBy: newcomer, fromCall: index)
      let limits = TargetProbe.report(on: target.path, machine).limits
      return comparison.excess(limits).prefix(1).map { "from call \(index): \($0)" }
    }
    #expect(excess.prefix(4) == [])
  }

  /// A table, or the way an array is laid out, changes under the same `diskseq`.
  @Test(
    arguments: [
      ("dm-linear", "dm-odd-seam"), ("dm-striped", "dm-striped-small"), ("md-raid0", "md-raid5"),
      ("md-raid1", "md-raid1-no-metadata"), ("md-raid1", "md-raid1-bad-blocks"),
    ] as [(String, String)]
  )
  func stackThatIsRebuiltPromisesNothingOfBefore(name: String, other: String) throws {
    let target = try #require(FixtureTarget.named(name))
    var rebuilt = target.world
    let later = try #require(FixtureTarget.named(other)).world
    rebuilt.mapperTables = later.mapperTables
    var changed: Set<String> = []
    let md = "/sys/devices/virtual/block/md0/md/"
    for path in ["level", "metadata_version", "dev-nvme1n1/bad_blocks"].map({ md + $0 }) {
      guard let text = try? later.tree.text(of: path),
        text != (try? target.world.tree.text(of: path))
      else { continue }
      rebuilt.tree.addText(path, text)
      changed.insert(path)
    }
    let comparison = FaultComparison(target)
    let truth = Claims(FixtureTarget(other, target.path, rebuilt).report().limits)
    // What changes after the last look is for the next probe to see.
    let last = try #require(
      comparison.calls.lastIndex { $0.kind == .mapperTable || changed.contains($0.argument) }
    )
    let excess = (2...last).flatMap { index in
      let machine = FixtureMachine(target.world, replacedBy: rebuilt, fromCall: index)
      let limits = TargetProbe.report(on: target.path, machine).limits
      return Claims(limits).excess(over: truth).prefix(1).map { "from call \(index): \($0)" }
    }
    #expect(excess.prefix(4) == [])
  }
}
