import LinuxIO
import SystemPackage

/// Targets on several drives.
extension FixtureTarget {
  /// Device-mapper devices.
  package static let mappers: [FixtureTarget] = [
    mapper("dm-linear") { [.linear($0[0], startSector: 2048)] },
    mapper("dm-linear-nomerges", queue: { $0.nomerges = 2 }) {
      [.linear($0[0], startSector: 2048)]
    },
    mapper("dm-striped") { [.striped($0, chunkSectors: 128)] },
    mapper("dm-striped-small", offers: 8192) { [.striped($0, chunkSectors: 16)] },
    mapper("dm-odd-seam") { [.linear($0[0], sectors: 2056), .linear($0[1])] },
    mapper("dm-mirror") { disks in
      [
        .other(
          "mirror",
          "core 1 1024 2 \(disks[0].number) 0 \(disks[1].number) 0",
          sectors: 1 << 20
        )
      ]
    },
    mapper("dm-crypt", drives: 1) { disks in
      [.other("crypt", "cipher key 0 \(disks[0].number) 4096", sectors: (1 << 21) - 4096)]
    },
    mapper("dm-crypt-integrity", drives: 1) { disks in
      [
        .other(
          "crypt",
          "cipher key 0 \(disks[0].number) 4096 1 integrity:28:aead",
          sectors: (1 << 21) - 4096
        )
      ]
    },
    mapper("dm-crypt-4k", drives: 1, own: { $0.logicalBlockSize = 4096 }) { disks in
      [.other("crypt", "cipher key 0 \(disks[0].number) 0 1 sector_size:4096", sectors: 1 << 21)]
    },
    mapper("dm-snapshot", offers: 0) { disks in
      [.other("snapshot", "\(disks[0].number) \(disks[1].number) P 16", sectors: 1 << 20)]
    },
    mapper("dm-boundary", .withBoundary, offers: 16384) { [.linear($0[0], startSector: 2048)] },
    mapper("dm-misaligned", .withBoundary, offers: 0) { [.linear($0[0], startSector: 8)] },
    mapper("dm-chunk-off-boundary", .withBoundary, offers: 0) {
      [.striped($0, chunkSectors: 24)]
    },
    mapper("dm-cached", .cached) { [.linear($0[0])] },
    mapper("dm-never-flushed", .cached, own: { $0.writeCache = "write through" }) {
      [.linear($0[0])]
    },
    mapper("dm-metadata", FixtureDrive { $0.metadataBytes = 8 }) { [.linear($0[0])] },
    mapper("dm-tcp", FixtureDrive { $0.transport = "tcp" }) { [.linear($0[0])] },
    unequal("dm-unequal-boundaries", .withBoundary, FixtureDrive(), offers: 0),
    unequal("dm-unequal-units", FixtureDrive { $0.nawupf = 7 }, FixtureDrive(), offers: 4096),
    unequal("dm-offers-too-much", FixtureDrive { $0.nawupf = 7 }, FixtureDrive(), offers: 16384),
    withoutTable("dm-no-permission", .permissionDenied),
    FixtureTarget("dm-partition", "/dev/dm-0p1", nested { $0.addPartition(of: $1) }),
    FixtureTarget(
      "dm-nested",
      "/dev/dm-1",
      nested { world, striped in
        world.addMapper(
          over: [striped],
          [.linear(striped, startSector: 2048)],
          queue: striped.queue,
          minor: 1
        )
      }
    ),
    overPaths("dm-on-two-paths", paths: 2),
    overPaths("dm-on-one-path", paths: 1),
  ]

  /// Software RAID.
  package static let arrays: [FixtureTarget] = [
    array("md-raid0", "raid0", chunkBytes: 65536),
    array("md-raid0-small", "raid0", chunkBytes: 4096, offers: 4096),
    array("md-raid1", "raid1"),
    array("md-raid10", "raid10", chunkBytes: 524_288),
    array("md-raid5", "raid5", chunkBytes: 524_288, offers: 0),
    array("md-raid1-no-metadata", "raid1") {
      $0.tree.addText("/sys/devices/virtual/block/md0/md/metadata_version", "none\n")
    },
    array("md-raid1-never-resynchronised", "raid1") {
      $0.tree.addText("/sys/devices/virtual/block/md0/md/consistency_policy", "none\n")
    },
    array("md-raid0-reshaping", "raid0", chunkBytes: 65536) {
      $0.tree.addText("/sys/devices/virtual/block/md0/md/reshape_position", "4096\n")
    },
    array("md-raid1-write-mostly", "raid1") {
      $0.tree.addText(
        "/sys/devices/virtual/block/md0/md/dev-nvme1n1/state",
        "in_sync,write_mostly\n"
      )
    },
    array("md-raid1-merging", "raid1", merging: 65536),
    array("md-raid1-faulty", "raid1") {
      $0.tree.addText("/sys/devices/virtual/block/md0/md/dev-nvme1n1/state", "faulty\n")
    },
    array("md-raid1-bad-blocks", "raid1") {
      $0.tree.addText("/sys/devices/virtual/block/md0/md/dev-nvme1n1/bad_blocks", "8 8\n")
    },
  ]

  /// Loop devices over something that can be looked at.
  package static let loops: [FixtureTarget] = [
    loop("loop-on-ext4", over: FixtureWorld.file), loop("loop-on-namespace", over: "/dev/nvme0n1"),
    loop("loop-on-missing", over: "/gone (deleted)"),
  ]

  // MARK: Making them

  /// Two like drives below one device-mapper device.
  private static func mapper(
    _ name: String,
    _ drive: FixtureDrive = FixtureDrive(),
    drives count: Int = 2,
    offers unit: UInt64? = nil,
    queue change: (inout FixtureQueue) -> Void = { _ in },
    own changeOwn: (inout FixtureQueue) -> Void = { _ in },
    _ segments: ([FixtureDisk]) -> [FixtureSegment]
  ) -> FixtureTarget {
    var world = FixtureWorld()
    var queue = world.kernel.queue(of: drive)
    change(&queue)
    let disks = (0..<count).map { world.addNamespace(drive, queue: queue, instance: $0) }
    var own = queue.offering(unit)
    changeOwn(&own)
    world.addMapper(over: disks, segments(disks), queue: own)
    return FixtureTarget(name, "/dev/dm-0", world)
  }

  /// Two drives that differ, one behind the other.
  private static func unequal(
    _ name: String,
    _ first: FixtureDrive,
    _ second: FixtureDrive,
    offers unit: UInt64
  ) -> FixtureTarget {
    var world = FixtureWorld()
    let disks = [first, second].enumerated().map {
      world.addNamespace($1, instance: $0)
    }
    world.addMapper(over: disks, queue: disks[1].queue.offering(unit))
    return FixtureTarget(name, "/dev/dm-0", world)
  }

  private static func withoutTable(_ name: String, _ errno: Errno) -> FixtureTarget {
    var target = mapper(name) { [.linear($0[0])] }
    target.world.mapperRefusal = errno
    return target
  }

  /// Something on a striped device over two drives.
  private static func nested(
    _ top: (inout FixtureWorld, FixtureDisk) -> FixtureDisk
  ) -> FixtureWorld {
    var world = FixtureWorld()
    let disks = (0..<2).map { world.addNamespace(instance: $0) }
    let striped = world.addMapper(
      over: disks,
      [.striped(disks, chunkSectors: 128)],
      queue: disks[0].queue
    )
    _ = top(&world, striped)
    return world
  }

  private static func overPaths(_ name: String, paths: Int) -> FixtureTarget {
    var world = FixtureWorld()
    let head = world.addMultipathNamespace(paths: paths)
    world.addMapper(over: [head], queue: head.queue)
    return FixtureTarget(name, "/dev/dm-0", world)
  }

  private static func array(
    _ name: String,
    _ level: String,
    chunkBytes: UInt64 = 0,
    offers unit: UInt64? = nil,
    merging merged: UInt64? = nil,
    _ change: (inout FixtureWorld) -> Void = { _ in }
  ) -> FixtureTarget {
    var world = FixtureWorld()
    var member = world.kernel.queue(of: FixtureDrive())
    if let merged { member.atomicMax = merged }
    let disks = (0..<2).map { world.addNamespace(queue: member, instance: $0) }
    let queue = disks[0].queue.offering(unit)
    world.addRAID(over: disks, level: level, chunkBytes: chunkBytes, queue: queue)
    change(&world)
    return FixtureTarget(name, "/dev/md0", world)
  }

  private static func loop(_ name: String, over file: String) -> FixtureTarget {
    var world = FixtureWorld()
    world.addFiles(on: .ext4(on: world.addNamespace()))
    let loop = world.addLoop()
    world.tree.addText(loop.sysfs + "/loop/backing_file", file + "\n")
    return FixtureTarget(name, "/dev/loop0", world)
  }
}

extension FixtureQueue {
  /// The same with another largest atomic write; 0 is none, `nil` changes nothing.
  package func offering(_ unit: UInt64?) -> FixtureQueue {
    guard let unit else { return self }
    var queue = self
    (queue.atomicUnitMax, queue.atomicMax) = (unit, unit)
    if unit == 0 { (queue.atomicUnitMin, queue.atomicBoundary) = (0, 0) }
    return queue
  }
}
