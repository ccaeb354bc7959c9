import LinuxIO
import SystemPackage
import TestSupport
import Testing

@testable import NVMeAtomic

/// Which devices a run over all of them probes, and in which order.
@Suite struct BlockDeviceListTests {
  private static func paths(_ world: FixtureWorld) throws -> [String] {
    try BlockDeviceList.paths(FixtureMachine(world))
  }

  @Test func disksPartitionsAndStacksAreListed() throws {
    var world = FixtureWorld()
    let tenth = world.addNamespace(instance: 10, sequence: 10)
    let second = world.addNamespace(instance: 2, sequence: 11)
    world.addPartition(of: second, number: 10)
    world.addPartition(of: second, startSector: 1 << 20, sectors: 2048, number: 9)
    world.addMapper(over: [tenth])
    world.addRAID(over: [second])
    world.addLoop()
    world.addOtherDisk()
    let expected = [
      "/dev/dm-0", "/dev/loop0", "/dev/md0", "/dev/nvme2n1", "/dev/nvme2n1p9", "/dev/nvme2n1p10",
      "/dev/nvme10n1", "/dev/sda",
    ]
    #expect(try Self.paths(world) == expected)
  }

  /// A loop device without a file, a reader without a medium: nothing to write to.
  @Test func whatHoldsNothingIsLeftOut() throws {
    var world = FixtureWorld()
    world.tree.addText(world.addLoop().sysfs + "/size", "0\n")
    world.tree.addText(world.addOtherDisk().sysfs + "/size", "0\n")
    #expect(try Self.paths(world) == [])
  }

  /// The driver gives a namespace no size when its format has metadata that Linux cannot carry.
  @Test func aNamespaceWithoutSizeIsListed() throws {
    var world = FixtureWorld()
    world.tree.addText(world.addNamespace().sysfs + "/size", "0\n")
    #expect(try Self.paths(world) == ["/dev/nvme0n1"])
  }

  @Test func aSizeThatCannotBeReadIsNoReasonToLeaveOut() throws {
    var world = FixtureWorld()
    world.tree.remove(world.addOtherDisk().sysfs + "/size")
    #expect(try Self.paths(world) == ["/dev/sda"])
  }

  @Test func memoryDisksAreLeftOut() throws {
    var world = FixtureWorld()
    let disk = world.addOtherDisk()
    world.tree.addText(disk.sysfs + "/dev", "1:0\n")
    #expect(try Self.paths(world) == [])
  }

  @Test func pathsOfMultipathAreLeftOut() throws {
    var world = FixtureWorld()
    world.addMultipathNamespace(paths: 2)
    let hidden = "/sys/devices/virtual/nvme-fabrics/ctl/nvme0/nvme0c0n1"
    world.tree.addText(hidden + "/hidden", "1\n")
    world.tree.addText(hidden + "/size", "2048\n")
    world.tree.addLink("/sys/class/block/nvme0c0n1", to: hidden)
    #expect(try Self.paths(world) == ["/dev/nvme0n1"])
  }

  /// sysfs writes `!` where a node's name has a slash.
  @Test func nodesInFoldersAreFound() throws {
    var world = FixtureWorld()
    world.tree.addText("/sys/devices/cciss!c0d0/size", "2048\n")
    world.tree.addLink("/sys/class/block/cciss!c0d0", to: "/sys/devices/cciss!c0d0")
    #expect(try Self.paths(world) == ["/dev/cciss/c0d0"])
  }

  /// Its probe then says that it is gone.
  @Test func aDeviceThatVanishedMeanwhileStays() throws {
    var world = FixtureWorld()
    world.tree.addLink("/sys/class/block/sdb", to: "/sys/devices/gone/sdb")
    world.tree.addLink("/sys/class/block/sda", to: world.addOtherDisk().sysfs)
    #expect(try Self.paths(world) == ["/dev/sda", "/dev/sdb"])
  }

  @Test func aMachineWithoutDevicesHasNone() throws {
    #expect(try Self.paths(FixtureWorld()) == [])
  }

  @Test(arguments: [(.ioError, .io), (.permissionDenied, .permission)] as [(Errno, ErrorCode)])
  func withoutSysfsThereIsNoList(errno: Errno, code: ErrorCode) {
    let fault = FixtureFault.every(FixtureCall(kind: .names, argument: "/sys/class/block"), errno)
    let error = #expect(throws: ProbeError.self) {
      try BlockDeviceList.paths(FixtureMachine(FixtureWorld(), fault: fault))
    }
    #expect(error?.code == code)
  }

  /// Every call fails once: a device may be listed for nothing, but none is lost.
  @Test func noFailureLosesADevice() throws {
    var world = FixtureWorld()
    world.addPartition(of: world.addNamespace())
    world.addMapper(over: [world.addOtherDisk()])
    let machine = FixtureMachine(world)
    let all = try BlockDeviceList.paths(machine)
    for index in 1..<machine.calls.count {
      let harmed = FixtureMachine(world, fault: .call(index, .ioError))
      #expect(try Set(all).isSubset(of: BlockDeviceList.paths(harmed)), "\(machine.calls[index])")
    }
  }

  static let ordered = [
    "dm-2", "dm-10", "loop0", "loop0p1", "loop0p10", "loop1", "md0", "md127", "mmcblk0",
    "mmcblk0p1", "nvme0n1", "nvme0n1p1", "nvme0n1p2", "nvme0n1p10", "nvme0n2", "nvme0n10",
    "nvme2n1", "nvme10n1", "sda", "sda1", "sda2", "sda10", "sdb", "sdz", "sdaa", "sdab", "vda",
  ]

  @Test func orderIsThatOfPeople() {
    for (index, left) in Self.ordered.enumerated() {
      for (other, right) in Self.ordered.enumerated() {
        #expect(NaturalOrder.precedes(left, right) == (index < other), "\(left) \(right)")
      }
    }
  }

  /// Whatever the names are, the order is one: no two are both before each other, none is lost.
  @Test func orderIsStrictAndTotal() {
    let pieces = ["", "a", "aa", "b", "0", "00", "1", "9", "10", "-", "é"]
    let names = pieces.flatMap { a in pieces.flatMap { b in pieces.map { a + b + $0 } } }
    let unique = Set(names).sorted()
    let sorted = unique.sorted { NaturalOrder.precedes($0, $1) }
    for (left, right) in zip(sorted, sorted.dropFirst()) {
      #expect(NaturalOrder.precedes(left, right), "\(left) \(right)")
      #expect(!NaturalOrder.precedes(right, left), "\(left) \(right)")
    }
    #expect(sorted == unique.reversed().sorted { NaturalOrder.precedes($0, $1) })
  }
}
