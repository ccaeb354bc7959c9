import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// What several targets have in common is asked once, and never of the wrong device.
@Suite struct SharedMachineTests {
  private typealias Shared = SharedMachine<FixtureMachine>

  /// Two namespaces, one with three partitions of which one is mounted, and a stack on top.
  private static func fleet(
    _ drive: FixtureDrive = .cached,
    sequence: UInt64 = 30,
    minor: UInt32? = nil
  ) -> FixtureWorld {
    var world = FixtureWorld()
    var queue = world.kernel.queue(of: drive)
    queue.nomerges = 2
    let disk = world.addNamespace(drive, queue: queue, minor: minor, sequence: sequence)
    world.addPartition(of: disk, startSector: 2048, sectors: 2048, number: 1)
    world.mount(world.addPartition(of: disk, startSector: 4096, sectors: 2048, number: 2))
    world.addPartition(of: disk, startSector: 6144, sectors: 2048, number: 3)
    let other = world.addNamespace(instance: 1, sequence: sequence + 1)
    world.addMapper(over: [other])
    return world
  }

  private static func reports(_ paths: [String], _ base: FixtureMachine) -> [TargetReport] {
    let machine = Shared(base)
    return paths.map { path in
      machine.startTarget()
      return TargetProbe.report(on: path, machine)
    }
  }

  private static func text(_ report: TargetReport) -> String { String(describing: report) }

  @Test(arguments: FixtureTarget.all)
  func aTargetProbedTwiceIsTheSameTwiceAndAsAlone(target: FixtureTarget) {
    let alone = Self.text(target.report())
    let reports = Self.reports([target.path, target.path], FixtureMachine(target.world))
    #expect(reports.map(Self.text) == [alone, alone])
  }

  @Test func aFleetIsAsEachOfItsDevicesAlone() throws {
    let world = Self.fleet()
    let paths = try BlockDeviceList.paths(FixtureMachine(world))
    #expect(paths.count == 6)
    let alone = paths.map { Self.text(TargetProbe.report(on: $0, FixtureMachine(world))) }
    #expect(Self.reports(paths, FixtureMachine(world)).map(Self.text) == alone)
  }

  /// Four commands per namespace at most, whatever number of partitions rests on it.
  @Test func eachDriveIsAskedOnce() {
    let base = FixtureMachine(Self.fleet())
    let paths = ["/dev/nvme0n1", "/dev/nvme0n1p1", "/dev/nvme0n1p2", "/dev/nvme0n1p3"]
    let reports = Self.reports(paths, base)
    #expect(base.commands.count == 4)
    #expect(reports.allSatisfy { $0.limits.drive.limits != nil })
  }

  @Test func tablesAndQueuesAreReadOnce() {
    let base = FixtureMachine(Self.fleet())
    _ = Self.reports(["/dev/nvme0n1", "/dev/nvme0n1p1", "/dev/nvme0n1p2", "/dev/nvme1n1"], base)
    let texts = base.calls.filter { $0.kind == .text }.map(\.argument)
    let shared = texts.filter { $0.hasPrefix("/proc/") || $0.contains("/queue/") }
    #expect(shared.count == Set(shared).count)
    #expect(base.calls.filter { $0.kind == .release }.count == 1)
  }

  /// What identifies a device is asked again for each target.
  @Test func identityIsNeverRemembered() {
    let base = FixtureMachine(Self.fleet())
    _ = Self.reports(["/dev/nvme0n1", "/dev/nvme0n1p1"], base)
    let sequences = base.calls.filter { $0.argument.hasSuffix("nvme0n1/diskseq") }
    #expect(sequences.count == 4)
    #expect(base.calls.filter { $0.kind == .status && $0.argument == "/dev/nvme0n1p1" }.count == 2)
  }

  /// A target that has not read `diskseq` itself is given nothing of what another target read.
  @Test func aTargetConfirmsADiskItself() throws {
    let base = FixtureMachine(Self.fleet())
    let machine = Shared(base)
    let disk = try base.canonicalPath(of: "/sys/class/block/nvme0n1")
    func readsOfTheQueue() throws -> Int {
      _ = try machine.text(of: disk + "/queue/nomerges")
      return base.calls.filter { $0.argument.hasSuffix("/nomerges") }.count
    }
    _ = try machine.text(of: disk + "/diskseq")
    #expect(try readsOfTheQueue() == 1)
    #expect(try readsOfTheQueue() == 1)
    machine.startTarget()
    #expect(try readsOfTheQueue() == 2)
    _ = try machine.text(of: disk + "/diskseq")
    #expect(try readsOfTheQueue() == 2)
  }

  /// Before Linux 5.15 one disk cannot be told from the next.
  @Test func withoutSequenceNothingOfADiskIsRemembered() {
    var world = Self.fleet()
    for disk in ["nvme0n1", "nvme1n1"] {
      if let path = try? world.tree.canonicalPath(of: "/sys/class/block/" + disk) {
        world.tree.remove(path + "/diskseq")
      }
    }
    let base = FixtureMachine(world)
    let reports = Self.reports(["/dev/nvme0n1", "/dev/nvme0n1p1"], base)
    #expect(base.commands.count == 8)
    #expect(reports.allSatisfy { $0.limits.drive.limits != nil })
  }

  /// A failure is not remembered either.
  @Test func aFailureIsAskedAgain() {
    let base = FixtureMachine(Self.fleet(), fault: .command(1, status: 0x006))
    let reports = Self.reports(["/dev/nvme0n1", "/dev/nvme0n1p1"], base)
    #expect(reports[0].limits.drive.limits == nil)
    #expect(reports[1].limits.drive.limits != nil)
  }

  // MARK: Replacement

  /// Keeps 128 KiB whole where the first keeps 16 KiB, under the same names and numbers.
  private static let larger = FixtureDrive {
    ($0.nawun, $0.nawupf, $0.mdts, $0.model) = (255, 255, 8, "Fixture B")
  }

  /// At every call of a run another drive takes the first one's place, larger or smaller: no target
  /// is ever given limits of the one that the drive itself would not give now or did not give
  /// before, and none mixes both.
  @Test(arguments: [true, false])
  func noTargetMixesTwoDrives(isGrowing: Bool) {
    let paths = ["/dev/nvme0n1", "/dev/nvme0n1p1", "/dev/nvme0n1p3", "/dev/nvme0n1"]
    let (small, large) = (Self.fleet(.cached), Self.fleet(Self.larger, sequence: 77))
    let (before, after) = isGrowing ? (small, large) : (large, small)
    let first = paths.map { TargetProbe.report(on: $0, FixtureMachine(before)) }
    let second = paths.map { TargetProbe.report(on: $0, FixtureMachine(after)) }
    let counted = FixtureMachine(before)
    _ = Self.reports(paths, counted)
    for index in 0..<counted.calls.count {
      let machine = FixtureMachine(before, replacedBy: after, fromCall: index)
      for (target, report) in Self.reports(paths, machine).enumerated() {
        guard report.limits.drive.limits != nil else { continue }
        let isOld = Self.isAlike(report, first[target])
        let isNew = Self.isAlike(report, second[target])
        #expect(isOld || isNew, "\(paths[target]) from call \(index): \(counted.calls[index])")
      }
    }
  }

  private static func isAlike(_ left: TargetReport, _ right: TargetReport) -> Bool {
    left.limits.drive.limits == right.limits.drive.limits
      && left.limits.queue == right.limits.queue
      && left.limits.tornFreeBytes
        == right.limits.tornFreeBytes
  }
}
