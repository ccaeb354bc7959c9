import LinuxIO
import SystemPackage

extension FixtureTarget {
  // MARK: Partitions and character devices

  package static let partitions: [FixtureTarget] = [
    partition("partition", FixtureDrive(), startSector: 2048),
    partition("partition-odd-start", FixtureDrive(), startSector: 63),
    partition("partition-boundary", .withBoundary, startSector: 2048),
    partition("partition-misaligned", .withBoundary, startSector: 2056),
    partition("partition-4k", .cached4K, startSector: 2048),
    partition("partition-boundary-offset", .withBoundaryOffset, startSector: 8),
  ]

  private static func partition(
    _ name: String,
    _ drive: FixtureDrive,
    startSector: UInt64
  ) -> FixtureTarget {
    var world = FixtureWorld()
    var queue = world.kernel.queue(of: drive)
    queue.nomerges = 2
    let disk = world.addNamespace(drive, queue: queue)
    world.addPartition(of: disk, startSector: startSector)
    return FixtureTarget(name, "/dev/nvme0n1p1", world)
  }

  package static let characterDevices: [FixtureTarget] = [
    FixtureTarget("generic", "/dev/ng0n1", FixtureTarget.namespace("").world),
    FixtureTarget(
      "generic-boundary-offset",
      "/dev/ng0n1",
      FixtureTarget.namespace("", .linux7_3, .withBoundaryOffset).world
    ),
    FixtureTarget("controller", "/dev/nvme0", FixtureTarget.namespace("").world),
    FixtureTarget(
      "controller-cached",
      "/dev/nvme0",
      FixtureTarget.namespace("", .linux7_3, .cached).world
    ),
  ]

  // MARK: Files and directories

  package static let files: [FixtureTarget] = [
    .file("ext4") { .ext4(on: $0) },
    .file("ext4-6.14", .linux6_14) { .ext4(on: $0) },
    // Distributions carry newer filesystems back to older kernels.
    .file("ext4-backported", .linux6_12) { .ext4(on: $0) },
    .file("ext4-bigalloc") { .ext4(on: $0, cluster: 16384) },
    .file("ext4-bigalloc-boundary", device: { $0.addNamespace(.withBoundary) }) {
      .ext4(on: $0, cluster: 16384)
    },
    .file("ext4-nomerges", device: nomerges) { .ext4(on: $0) },
    .file("ext4-partition", device: { $0.addPartition(of: $0.addNamespace()) }) {
      .ext4(on: $0, cluster: 16384)
    },
    .file("ext4-misaligned-partition", device: misaligned) { .ext4(on: $0) },
    .file("ext4-bigalloc-no-barrier") {
      .ext4(on: $0, cluster: 16384).with { $0.options = "rw,nobarrier" }
    },
    .file("ext4-bigalloc-no-journal") {
      .ext4(on: $0, cluster: 16384).with {
        $0.journalTask = "<none>"
        $0.journals = []
      }
    },
    .file("ext4-bigalloc-external-journal") {
      .ext4(on: $0, cluster: 16384).with { $0.journals = ["nvme1n1"] }
    },
    .file("ext4-external-journal") {
      .ext4(on: $0).with { $0.journals = ["nvme1n1"] }
    },
    .file("ext4-cached-no-barrier", device: { $0.addNamespace(.cached) }) {
      .ext4(on: $0).with { $0.options = "rw,nobarrier" }
    },
    .file("ext4-cached", device: { $0.addNamespace(.cached) }) { .ext4(on: $0) },
    .file("ext4-never-flushed", device: neverFlushed) { .ext4(on: $0) },
    .file("xfs-no-reflink-never-flushed", device: neverFlushed) { .xfs(on: $0, reflink: false) },
    .file("ext4-no-extents") { .ext4(on: $0).with { $0.facts.extents = false } },
    .file("ext4-journalled") { .ext4(on: $0).with { $0.directIO?.offsetBytes = 0 } },
    .file("ext4-on-tcp", device: { $0.addNamespace(FixtureDrive { $0.transport = "tcp" }) }) {
      .ext4(on: $0)
    },
    .file("xfs") { .xfs(on: $0) },
    .file("xfs-6.14", .linux6_14) {
      .xfs(on: $0, softwareMaximum: 4096).with { $0.atomicWrite?.unitMaxOpt = 0 }
    },
    .file("xfs-boundary", device: { $0.addNamespace(.withBoundary) }) { .xfs(on: $0) },
    .file("xfs-fragmented") { disk in
      .xfs(on: disk).with { $0.layout = .fragmented }
    },
    .file("xfs-cached", device: { $0.addNamespace(.cached) }) { .xfs(on: $0) },
    .file("xfs-no-reflink", device: nomerges) { .xfs(on: $0, reflink: false) },
    .file("xfs-no-reflink-realtime") {
      .xfs(on: $0, reflink: false).with { $0.facts.realtime = true }
    },
    .file("xfs-external-log") { .xfs(on: $0).with { $0.facts.externalLog = true } },
    .file("xfs-realtime") { .xfs(on: $0).with { $0.facts.realtime = true } },
    .file("xfs-software", device: { $0.addNamespace(.controllerWide) }) { .xfs(on: $0) },
    .file("xfs-on-loop", device: { $0.addLoop() }) { .xfs(on: $0) },
    .file("xfs-on-unflushed-loop", device: { $0.addLoop(writeCache: "write through") }) {
      .xfs(on: $0)
    },
    .file("xfs-on-loop-in-memory", device: { $0.addLoopInMemory() }) { .xfs(on: $0) },
    .file("xfs-on-lost-loop", device: { $0.addLostLoop() }) { .xfs(on: $0) },
    .file("xfs-on-ram", device: { $0.addRAMDisk() }) { .xfs(on: $0) },
    .file("ext4-on-loop", device: { $0.addLoop() }) { .ext4(on: $0) },
    .file("ext4-on-dm", device: mapper) { .ext4(on: $0) },
    .file("btrfs") { .btrfs(on: $0) },
    .file("f2fs") { .other("f2fs", on: $0) },
    .file("tmpfs") { _ in .tmpfs },
  ]

  package static let directories: [FixtureTarget] = [
    .file("directory-ext4", path: FixtureWorld.directory) { .ext4(on: $0) },
    .file("directory-xfs", path: FixtureWorld.directory) { .xfs(on: $0) },
    .file("directory-tmpfs", path: FixtureWorld.directory) { _ in .tmpfs },
    .file("directory-btrfs", path: FixtureWorld.directory) { .btrfs(on: $0) },
    withoutNewFile("directory-no-unnamed-files", .notSupported),
    withoutNewFile("directory-read-only", .readOnlyFileSystem),
    withoutNewFile("directory-no-permission", .permissionDenied),
  ]

  private static func withoutNewFile(_ name: String, _ errno: Errno) -> FixtureTarget {
    var target = FixtureTarget.file(name, path: FixtureWorld.directory) {
      .other("vfat", on: $0)
    }
    target.world.newFiles[FixtureWorld.directory] = .refused(errno)
    return target
  }

  private static func nomerges(_ world: inout FixtureWorld) -> FixtureDisk {
    var queue = world.kernel.queue(of: FixtureDrive())
    queue.nomerges = 2
    return world.addNamespace(queue: queue)
  }

  /// A cache in use that the kernel was told not to flush.
  private static func neverFlushed(_ world: inout FixtureWorld) -> FixtureDisk {
    var queue = world.kernel.queue(of: .cached)
    (queue.nomerges, queue.writeCache) = (2, "write through")
    return world.addNamespace(.cached, queue: queue)
  }

  private static func misaligned(_ world: inout FixtureWorld) -> FixtureDisk {
    world.addPartition(of: world.addNamespace(.withBoundary), startSector: 2056)
  }

  /// A device-mapper device over two namespaces, passing atomic writes on.
  private static func mapper(_ world: inout FixtureWorld) -> FixtureDisk {
    let members = [world.addNamespace(instance: 0), world.addNamespace(instance: 1)]
    return world.addMapper(over: members, queue: members[0].queue)
  }

  // MARK: Everything else

  package static let otherBlockDevices: [FixtureTarget] = [
    block("loop", "/dev/loop0") { $0.addLoop() },
    block("dm", "/dev/dm-0", mapper),
    block("dm-without-atomics", "/dev/dm-0") { world in
      world.addMapper(over: [world.addNamespace(instance: 0), world.addNamespace(instance: 1)])
    },
    block("md", "/dev/md0") { world in
      world.addRAID(over: [world.addNamespace(instance: 0), world.addNamespace(instance: 1)])
    },
    block("sd", "/dev/sda") { $0.addOtherDisk() },
    block("sd-atomic", "/dev/sda") { world in
      world.addOtherDisk(queue: FixtureKernel.linux7_3.queue(of: FixtureDrive()))
    },
  ]

  private static func block(
    _ name: String,
    _ path: String,
    _ device: (inout FixtureWorld) -> FixtureDisk
  ) -> FixtureTarget {
    var world = FixtureWorld()
    _ = device(&world)
    return FixtureTarget(name, path, world)
  }

  package static let oddities: [FixtureTarget] = [
    linked("link-to-namespace", "/dev/disk/by-id/fixture", to: "/dev/nvme0n1"),
    linked("dangling-link", "/dev/disk/by-id/gone", to: "/dev/nvme9n1"),
    FixtureTarget("missing", "/dev/nvme9n1", FixtureWorld()),
    other("pipe", "/tmp/pipe", .other, DeviceNumber(major: 0, minor: 0)),
    other("null", "/dev/null", .characterDevice, DeviceNumber(major: 1, minor: 3)),
    other("vanished-disk", "/dev/nvme5n1", .blockDevice, DeviceNumber(major: 259, minor: 40)),
  ]

  private static func linked(_ name: String, _ path: String, to end: String) -> FixtureTarget {
    var target = FixtureTarget.namespace(name)
    target.world.addLink(path, to: end)
    target.path = path
    return target
  }

  private static func other(
    _ name: String,
    _ path: String,
    _ kind: FileStatus.Kind,
    _ number: DeviceNumber
  ) -> FixtureTarget {
    var world = FixtureWorld()
    world.addOther(
      path,
      FileStatus(
        kind: kind,
        inode: 7,
        device: DeviceNumber(major: 0, minor: 5),
        representedDevice: number,
        mountID: 22
      )
    )
    return FixtureTarget(name, path, world)
  }
}
