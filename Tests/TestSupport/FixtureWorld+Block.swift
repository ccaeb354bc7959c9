import LinuxIO

extension FixtureWorld {
  /// A whole disk: its directory, its queue, its node.
  mutating func addDisk(_ disk: FixtureDisk) {
    addBlockDevice(disk)
    tree.addLink("/sys/block/" + disk.name, to: disk.sysfs)
    tree.addDirectory(disk.sysfs + "/slaves")
    tree.addText(disk.sysfs + "/diskseq", "\(disk.sequence)\n")
    addQueue(disk.queue, below: disk.sysfs)
  }

  package mutating func addQueue(_ queue: FixtureQueue, below disk: String) {
    for (name, text) in queue.texts { tree.addText(disk + "/queue/" + name, text) }
  }

  private mutating func addBlockDevice(_ disk: FixtureDisk) {
    tree.addText(disk.sysfs + "/dev", "\(disk.number)\n")
    tree.addText(disk.sysfs + "/size", "\(disk.sizeBytes / 512)\n")
    tree.addDirectory(disk.sysfs + "/holders")
    tree.addLink(disk.sysfs + "/subsystem", to: "/sys/class/block")
    tree.addLink("/sys/dev/block/\(disk.number)", to: disk.sysfs)
    tree.addLink("/sys/class/block/" + disk.name, to: disk.sysfs)
    addOther(disk.node, disk.status)
  }

  /// A partition. Its sectors have 512 bytes, whatever the logical block.
  @discardableResult
  package mutating func addPartition(
    of disk: FixtureDisk,
    startSector: UInt64 = 2048,
    sectors: UInt64 = 1 << 20,
    number index: Int = 1
  ) -> FixtureDisk {
    var partition = disk
    partition.name = disk.name + "p\(index)"
    partition.sysfs = disk.sysfs + "/" + partition.name
    partition.number = DeviceNumber(
      major: disk.number.major,
      minor: disk.number.minor + UInt32(index)
    )
    partition.startBytes = startSector * 512
    partition.sizeBytes = sectors * 512
    addBlockDevice(partition)
    tree.addText(partition.sysfs + "/partition", "\(index)\n")
    tree.addText(partition.sysfs + "/start", "\(startSector)\n")
    return partition
  }

  /// A loop device: a cache above its file on btrfs that is flushed, unless told otherwise.
  @discardableResult
  package mutating func addLoop(writeCache: String = "write back") -> FixtureDisk {
    var queue = FixtureQueue.withoutAtomicWrites
    queue.writeCache = writeCache
    let loop = addVirtual("loop0", DeviceNumber(major: 7, minor: 0), queue)
    addMount(id: 44, device: "0:44", at: "/images", type: "btrfs", source: "btrfs")
    addImage(of: loop, "/images/loop", mount: 44)
    return loop
  }

  /// A disk that is neither NVMe nor stacked.
  @discardableResult
  package mutating func addOtherDisk(
    queue: FixtureQueue = .withoutAtomicWrites
  ) -> FixtureDisk {
    addVirtual("sda", DeviceNumber(major: 8, minor: 0), queue)
  }

  /// A disk in memory, whose flushes end well.
  package mutating func addRAMDisk() -> FixtureDisk {
    var queue = FixtureQueue.withoutAtomicWrites
    queue.writeCache = "write back"
    return addVirtual("ram0", DeviceNumber(major: 1, minor: 0), queue)
  }

  mutating func addVirtual(
    _ name: String,
    _ number: DeviceNumber,
    _ queue: FixtureQueue,
    sizeBytes: UInt64 = 1 << 30
  ) -> FixtureDisk {
    let disk = FixtureDisk(
      name: name,
      sysfs: "/sys/devices/virtual/block/" + name,
      number: number,
      queue: queue,
      sizeBytes: sizeBytes
    )
    addDisk(disk)
    return disk
  }

  /// Makes one device the holder of others.
  package mutating func hold(_ members: [FixtureDisk], by holder: FixtureDisk) {
    for member in members {
      tree.addLink(holder.sysfs + "/slaves/" + member.name, to: member.sysfs)
      tree.addLink(member.sysfs + "/holders/" + holder.name, to: holder.sysfs)
    }
  }

  /// Mounts a block device.
  package mutating func mount(_ disk: FixtureDisk, at point: String = "/mnt", type: String = "xfs")
  {
    addMount(id: 40, device: "\(disk.number)", at: point, type: type, source: disk.node)
  }
}
