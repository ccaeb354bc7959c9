import LinuxIO
import NVMeAtomic
import SystemPackage

/// One target on one machine.
package struct FixtureTarget: Sendable, CustomStringConvertible {
  package var name: String
  package var path: String
  package var world: FixtureWorld

  package init(_ name: String, _ path: String, _ world: FixtureWorld) {
    self.name = name
    self.path = path
    self.world = world
  }

  package var description: String { name }

  /// Probes it on an unharmed machine.
  package func report(answering question: Question? = nil) -> TargetReport {
    TargetProbe.report(on: path, answering: question, FixtureMachine(world))
  }

  /// One of every kind, and of every circumstance that decides something.
  package static let all =
    namespaces + users + partitions + characterDevices + files + directories + otherBlockDevices
    + mappers + arrays + loops + oddities + clouds

  /// One of each kind, and of each way down to the hardware.
  package static let kinds = singles + stacks

  /// Those on one drive at most.
  package static let singles = [
    "namespace-4k-cached", "namespace-two-paths", "namespace-tcp", "namespace-partition-mounted",
    "partition-boundary", "generic", "controller-cached", "ext4-bigalloc", "ext4-partition", "xfs",
    "xfs-on-loop", "btrfs", "tmpfs", "directory-xfs", "directory-no-unnamed-files", "loop",
    "sd-atomic", "link-to-namespace", "missing", "null", "vanished-disk", "amazon-volume-nomerges",
  ].compactMap(named)

  /// Those on layers over drives, which take ten times the calls to look at.
  package static let stacks = [
    "dm", "md", "dm-striped", "dm-nested", "dm-on-two-paths", "dm-linear-nomerges", "md-raid0",
    "md-raid1", "loop-on-ext4",
  ].compactMap(named)

  /// All that is not one of ``kinds``.
  package static let variants = all.filter { target in !kinds.contains { $0.name == target.name } }

  package static func named(_ name: String) -> FixtureTarget? {
    all.first { $0.name == name }
  }

  /// A namespace of one drive under one kernel.
  package static func namespace(
    _ name: String,
    _ kernel: FixtureKernel = .linux7_3,
    _ drive: FixtureDrive = FixtureDrive(),
    queue change: (inout FixtureQueue) -> Void = { _ in }
  ) -> FixtureTarget {
    var world = FixtureWorld(kernel)
    var queue = kernel.queue(of: drive)
    change(&queue)
    world.addNamespace(drive, queue: queue)
    return FixtureTarget(name, "/dev/nvme0n1", world)
  }

  /// A file or directory; the filesystem is made on the disk that `device` makes.
  package static func file(
    _ name: String,
    _ kernel: FixtureKernel = .linux7_3,
    path: String = FixtureWorld.file,
    device: (inout FixtureWorld) -> FixtureDisk = { $0.addNamespace() },
    _ system: (FixtureDisk) -> FixtureFileSystem
  ) -> FixtureTarget {
    var world = FixtureWorld(kernel)
    let disk = device(&world)
    world.addFiles(on: system(disk))
    return FixtureTarget(name, path, world)
  }
}

/// Drives that differ in what decides an answer.
extension FixtureDrive {
  /// 16 KiB over power loss, declared for the namespace, within lines 16 KiB apart.
  package static let withBoundary = FixtureDrive { $0.nabspf = 31 }
  /// Lines that begin at block 8.
  package static let withBoundaryOffset = FixtureDrive {
    ($0.nabspf, $0.nabsn, $0.nabo) = (63, 127, 8)
  }
  /// Lines every 24 KiB.
  package static let withOddBoundary = FixtureDrive { $0.nabspf = 47 }
  /// 16 KiB over power loss, declared for the controller only.
  package static let controllerWide = FixtureDrive {
    ($0.nsfeat, $0.nawun, $0.nawupf, $0.nacwu, $0.awun, $0.awupf) = (0, 0, 0, 0, 127, 31)
  }
  /// 4096-byte blocks, 64 KiB over power loss, a volatile cache in use.
  package static let cached4K = FixtureDrive {
    ($0.lbaBytes, $0.blockCount, $0.vwc, $0.mdts) = (4096, 1 << 18, 1, 7)
    ($0.awun, $0.awupf, $0.acwu, $0.nawun, $0.nawupf, $0.nacwu) = (0, 0, 0, 15, 15, 0)
  }
  /// The default drive with a volatile cache in use.
  package static let cached = FixtureDrive { $0.vwc = 1 }
}

// MARK: NVMe block devices

extension FixtureTarget {
  package static let namespaces: [FixtureTarget] = [
    .namespace("namespace"),
    .namespace("namespace-6.12", .linux6_12),
    .namespace("namespace-6.10", .linux6_10),
    .namespace("namespace-nomerges") { $0.nomerges = 2 },
    .namespace("namespace-4k-cached", .linux7_3, .cached4K) { $0.nomerges = 2 },
    .namespace("namespace-boundary", .linux7_3, .withBoundary),
    .namespace("namespace-boundary-nomerges", .linux7_3, .withBoundary) { $0.nomerges = 2 },
    .namespace("namespace-boundary-offset", .linux7_3, .withBoundaryOffset) { $0.nomerges = 2 },
    .namespace("namespace-odd-boundary", .linux7_3, .withOddBoundary) { $0.nomerges = 2 },
    .namespace("namespace-awupf-6.12", .linux6_12, .controllerWide),
    .namespace("namespace-awupf-7.3", .linux7_3, .controllerWide),
    .namespace("namespace-metadata", .linux7_3, FixtureDrive { $0.metadataBytes = 8 }),
    .namespace("namespace-dn", .linux7_3, FixtureDrive { $0.writeAtomicityNormal = 1 }),
    .namespace("namespace-cache-off", .linux7_3, .cached.with { $0.volatileWriteCache = 0 }),
    .namespace("namespace-never-flushed", .linux7_3, .cached) { $0.writeCache = "write through" },
    .namespace("namespace-tcp", .linux7_3, FixtureDrive { $0.transport = "tcp" }) {
      $0.nomerges = 2
    },
    .namespace("namespace-kernel-offers-more") {
      ($0.atomicUnitMax, $0.atomicMax, $0.nomerges) = (65536, 65536, 2)
    },
    .namespace("namespace-kernel-boundary-only") { $0.atomicBoundary = 8192 },
    .namespace("namespace-odd-block-size", .linux7_3, FixtureDrive { $0.lbaBytes = 256 }) {
      $0.logicalBlockSize = 512
    },
    multipath("namespace-one-path", paths: 1),
    multipath("namespace-two-paths", paths: 2),
    hiddenPath("namespace-hidden-path"),
    multipath("namespace-path-merges", paths: 1) { $0.nomerges = 0 },
  ]

  private static func multipath(
    _ name: String,
    paths: Int,
    pathQueue change: (inout FixtureQueue) -> Void = { _ in }
  ) -> FixtureTarget {
    var world = FixtureWorld()
    var queue = world.kernel.queue(of: FixtureDrive())
    queue.nomerges = 2
    var pathQueue = queue
    change(&pathQueue)
    world.addMultipathNamespace(paths: paths, queue: queue, pathQueue: pathQueue)
    return FixtureTarget(name, "/dev/nvme0n1", world)
  }

  /// A head that shows none of its paths.
  private static func hiddenPath(_ name: String) -> FixtureTarget {
    var target = multipath(name, paths: 1)
    target.world.tree.remove(FixtureWorld.controllerPath(0, "nvme0c0n1"))
    return target
  }

  /// Namespaces that somebody uses, known by number, by name, or by sysfs.
  package static let users: [FixtureTarget] = [
    used("namespace-mounted") { world, disk in world.mount(disk) },
    used("namespace-mounted-by-name") { world, disk in
      world.addMount(id: 40, device: "0:50", at: "/data", type: "btrfs", source: disk.node)
    },
    used("namespace-mounted-by-number") { world, disk in
      world.addMount(id: 40, device: "\(disk.number)", at: "/", type: "ext4", source: "/dev/root")
    },
    used("namespace-partition-mounted") { world, disk in
      world.addPartition(of: disk)
      let second = world.addPartition(of: disk, startSector: 1 << 20, sectors: 2048, number: 2)
      world.addMount(id: 40, device: "\(second.number)", at: "/", type: "ext4", source: "/dev/root")
    },
    used("namespace-partition-held") { world, disk in
      world.addMapper(over: [world.addPartition(of: disk)])
    },
    used("namespace-partition-swapped") { world, disk in
      world.addSwap(world.addPartition(of: disk).node)
    },
    used("namespace-held") { world, disk in world.addMapper(over: [disk]) },
    used("partition-mounted", path: "/dev/nvme0n1p1") { world, disk in
      world.mount(world.addPartition(of: disk))
    },
    used("generic-mounted", path: "/dev/ng0n1") { world, disk in world.mount(disk) },
    used("generic-partition-held", path: "/dev/ng0n1") { world, disk in
      world.addMapper(over: [world.addPartition(of: disk)])
    },
  ]

  private static func used(
    _ name: String,
    path: String = "/dev/nvme0n1",
    _ use: (inout FixtureWorld, FixtureDisk) -> Void
  ) -> FixtureTarget {
    var world = FixtureWorld()
    use(&world, world.addNamespace())
    return FixtureTarget(name, path, world)
  }
}
