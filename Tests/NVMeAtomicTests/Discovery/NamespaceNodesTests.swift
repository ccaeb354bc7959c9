import LinuxIO
import TestSupport
import Testing

@testable import NVMeAtomic

/// Which nodes passthrough holds, and whose page caches it empties.
@Suite struct NamespaceNodesTests {
  private static func world(_ drive: FixtureDrive = FixtureDrive()) -> (FixtureWorld, FixtureDisk) {
    var world = FixtureWorld()
    let disk = world.addNamespace(drive, instance: 1, minor: 32)
    world.tree.addText(disk.sysfs + "/wwid", "eui.0025385b71b00001\n")
    return (world, disk)
  }

  private static func nodes(_ path: String, _ world: FixtureWorld) throws -> NamespaceNodes {
    let machine = FixtureMachine(world)
    let report = TargetProbe.report(on: path, machine)
    return try NamespaceNodes(of: report, machine)
  }

  private static func clause(_ path: String, _ world: FixtureWorld) throws -> String? {
    do {
      _ = try nodes(path, world)
      return nil
    } catch let obstacle as NamespaceNodes.Obstacle {
      return obstacle.clause
    }
  }

  @Test(arguments: ["/dev/nvme1n1", "/dev/ng1n1"])
  func aNamespaceIsHeldByItsDisk(path: String) throws {
    var (world, disk) = Self.world()
    for number in 1...3 {
      let start = UInt64(number) << 20
      world.addPartition(of: disk, startSector: start, sectors: 1 << 20, number: number)
    }
    let nodes = try Self.nodes(path, world)
    #expect(nodes.generic.path == "/dev/ng1n1")
    #expect(nodes.generic.number == DeviceNumber(major: 238, minor: 32))
    #expect(nodes.claimed.map(\.path) == ["/dev/nvme1n1"])
    #expect(nodes.claimed.map(\.number) == [disk.number])
    #expect(nodes.cached.map(\.path) == ["/dev/nvme1n1p1", "/dev/nvme1n1p2", "/dev/nvme1n1p3"])
    #expect(nodes.nsid == 1)
  }

  @Test func aPartitionIsHeldWithWhatOverlapsIt() throws {
    var (world, disk) = Self.world()
    world.addPartition(of: disk, startSector: 100, sectors: 100, number: 1)
    world.addPartition(of: disk, startSector: 200, sectors: 100, number: 2)
    world.addPartition(of: disk, startSector: 300, sectors: 100, number: 3)
    world.addPartition(of: disk, startSector: 299, sectors: 2, number: 4)
    let second = try Self.nodes("/dev/nvme1n1p2", world)
    #expect(second.claimed.map(\.path) == ["/dev/nvme1n1p2", "/dev/nvme1n1p4"])
    #expect(second.cached.map(\.path) == ["/dev/nvme1n1"])
    #expect(second.generic.path == "/dev/ng1n1")
    let first = try Self.nodes("/dev/nvme1n1p1", world)
    #expect(first.claimed.map(\.path) == ["/dev/nvme1n1p1"])
  }

  /// Without native multipath, by wwid; by subsystem and NSID where that says more.
  @Test(arguments: [true, false])
  func theSameNamespaceByAnotherControllerIsHeldToo(byWWID: Bool) throws {
    var (world, disk) = Self.world()
    world.addPartition(of: disk, startSector: 2048, sectors: 4096)
    let twin = world.addNamespace(instance: 10, minor: 64)
    world.addPartition(of: twin, startSector: 2048, sectors: 4096)
    world.addPartition(of: twin, startSector: 8192, sectors: 4096, number: 2)
    let other = world.addNamespace(instance: 2, minor: 96)
    world.tree.addText(other.sysfs + "/wwid", "eui.0025385b71b00002\n")
    if byWWID {
      world.tree.addText(twin.sysfs + "/wwid", "eui.0025385b71b00001\n")
    } else {
      for disk in [disk, twin] {
        world.tree.addText(disk.sysfs + "/device/subsysnqn", "nqn.2014-08.org.example:one\n")
      }
      world.tree.addText(other.sysfs + "/device/subsysnqn", "nqn.2014-08.org.example:two\n")
    }
    let whole = try Self.nodes("/dev/nvme1n1", world)
    #expect(whole.claimed.map(\.path) == ["/dev/nvme1n1", "/dev/nvme10n1"])
    #expect(
      whole.cached.map(\.path) == ["/dev/nvme1n1p1", "/dev/nvme10n1p1", "/dev/nvme10n1p2"]
    )
    let part = try Self.nodes("/dev/nvme1n1p1", world)
    #expect(part.claimed.map(\.path) == ["/dev/nvme1n1p1", "/dev/nvme10n1"])
    #expect(part.cached.map(\.path) == ["/dev/nvme1n1", "/dev/nvme10n1p1"])
  }

  @Test func aHiddenPathDiskIsNoNode() throws {
    var (world, _) = Self.world()
    let hidden = world.addNamespace(instance: 3, minor: 96)
    world.tree.addText(hidden.sysfs + "/wwid", "eui.0025385b71b00001\n")
    world.tree.addText(hidden.sysfs + "/hidden", "1\n")
    #expect(try Self.nodes("/dev/nvme1n1", world).claimed.count == 1)
  }

  @Test func whatCannotBeToldApartIsAnObstacle() throws {
    var (world, disk) = Self.world()
    world.tree.remove(disk.sysfs + "/wwid")
    #expect(try Self.clause("/dev/nvme1n1", world)?.contains("wwid") == true)
    (world, disk) = Self.world()
    world.tree.remove("/sys/class/nvme-generic/ng1n1")
    #expect(try Self.clause("/dev/nvme1n1", world) == "the kernel offers no /dev/ng1n1")
    (world, disk) = Self.world()
    world.tree.addText(disk.sysfs + "/nsid", "7\n")
    #expect(try Self.clause("/dev/nvme1n1", world)?.contains("namespace id") == true)
    (world, disk) = Self.world()
    let partition = world.addPartition(of: disk, startSector: 2048, sectors: 4096)
    world.tree.remove(partition.sysfs + "/start")
    #expect(try Self.clause("/dev/nvme1n1", world)?.contains("/dev/nvme1n1p1") == true)
  }
}
