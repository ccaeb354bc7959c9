import LinuxIO

/// A filesystem, as `statx(2)`, `statfs(2)` and XFS's own requests show it.
package struct FixtureFileSystem: Sendable {
  package var type: String
  package var facts: FileSystemFacts
  /// The block device below; a filesystem in memory or over several devices has none.
  package var disk: FixtureDisk?
  package var atomicWrite: FileStatus.AtomicWriteFields?
  package var directIO: FileStatus.DirectIOAlignment?
  /// Options of the filesystem in `/proc/self/mountinfo`.
  package var options = "rw"
  /// ext4's `journal_task`; `nil` is an attribute that does not exist.
  package var journalTask: String?
  /// Names in `/proc/fs/jbd2`; `nil` where that cannot be listed.
  package var journals: [String]?
  /// Where the file lies; `nil` is a filesystem that does not tell.
  package var layout: FixtureLayout?

  /// ext4; with a cluster size it has bigalloc.
  package static func ext4(
    on disk: FixtureDisk,
    block: UInt64 = 4096,
    cluster: UInt64? = nil
  ) -> Self {
    var system = FixtureFileSystem(type: "ext4", magic: 0xef53, block, on: disk)
    let unitMin = max(block, disk.atomicUnitMin)
    let unitMax = min(cluster ?? block, disk.atomicUnitMax)
    system.setAtomicWrite(unitMin, unitMin <= unitMax ? unitMax : 0)
    system.facts.extents = true
    system.journalTask = "417"
    system.journals = ["\(disk.name)-8"]
    return system
  }

  /// XFS as of Linux 6.16: whatever the drive cannot do, copy-on-write does.
  package static func xfs(
    on disk: FixtureDisk,
    block: UInt64 = 4096,
    reflink: Bool = true,
    exchangeRange: Bool = true,
    softwareMaximum: UInt64 = 2 << 20
  ) -> Self {
    var system = FixtureFileSystem(type: "xfs", magic: FileSystemFacts.xfsMagic, block, on: disk)
    system.facts.reflink = reflink
    system.facts.exchangeRange = exchangeRange
    system.facts.realtime = false
    system.facts.externalLog = false
    let driveServes =
      disk.offersAtomicWrites && disk.atomicUnitMin <= block && block <= disk.atomicUnitMax
    let unitMax = reflink ? softwareMaximum : driveServes ? block : 0
    let optimal = reflink && driveServes ? min(unitMax, disk.atomicUnitMax) : 0
    system.setAtomicWrite(block, unitMax, optimal: optimal)
    return system
  }

  package static func btrfs(on disk: FixtureDisk) -> Self {
    FixtureFileSystem(type: "btrfs", magic: 0x9123_683e, 4096, on: disk)
  }

  /// Any other filesystem over a block device.
  package static func other(_ type: String, on disk: FixtureDisk) -> Self {
    FixtureFileSystem(type: type, magic: 0x1234, 4096, on: disk)
  }

  package static var tmpfs: Self {
    FixtureFileSystem(type: "tmpfs", magic: 0x0102_1994, 4096, on: nil)
  }

  private init(type: String, magic: Int64, _ block: UInt64, on disk: FixtureDisk?) {
    self.type = type
    self.disk = disk
    facts = FileSystemFacts(magic: magic, blockSizeBytes: UInt32(block))
    layout = disk == nil ? nil : FixtureLayout()
    if let disk {
      directIO = .init(memoryBytes: 4, offsetBytes: UInt32(disk.queue.logicalBlockSize ?? 512))
    }
  }

  private mutating func setAtomicWrite(_ unitMin: UInt64, _ unitMax: UInt64, optimal: UInt64 = 0) {
    let offers = unitMax > 0
    atomicWrite = .init(
      unitMin: offers ? UInt32(unitMin) : 0,
      unitMax: UInt32(unitMax),
      unitMaxOpt: UInt32(optimal),
      segmentsMax: offers ? 1 : 0
    )
  }

  package func with(_ change: (inout FixtureFileSystem) -> Void) -> FixtureFileSystem {
    var system = self
    change(&system)
    return system
  }

  /// btrfs and tmpfs answer with a device number of their own.
  private var device: DeviceNumber {
    guard let disk, type != "btrfs" else { return DeviceNumber(major: 0, minor: 41) }
    return disk.number
  }

  fileprivate func status(_ kind: FileStatus.Kind, inode: UInt64, mount: UInt64) -> FileStatus {
    FileStatus(
      kind: kind,
      inode: inode,
      sizeBytes: 1 << 20,
      device: device,
      representedDevice: DeviceNumber(major: 0, minor: 0),
      mountID: mount,
      directIO: kind == .regular ? directIO : nil,
      atomicWrite: kind == .regular ? atomicWrite : nil
    )
  }

  fileprivate var mountDevice: String { "\(device)" }
}

extension FixtureWorld {
  /// The path of the file that ``addFiles(on:)`` makes.
  package static let file = "/mnt/file"
  /// The path of the directory that ``addFiles(on:)`` makes.
  package static let directory = "/mnt/directory"

  /// A loop device above a file that lives in memory.
  package mutating func addLoopInMemory() -> FixtureDisk {
    let loop = addLoop()
    addImage(of: loop, "/run/image", mount: 22)
    return loop
  }

  /// A loop device whose file has no name any more.
  package mutating func addLostLoop() -> FixtureDisk {
    let loop = addLoop()
    tree.addText(loop.sysfs + "/loop/backing_file", "/images/gone (deleted)\n")
    return loop
  }

  /// The file behind a loop device.
  mutating func addImage(of loop: FixtureDisk, _ path: String, mount: UInt64) {
    tree.addText(loop.sysfs + "/loop/backing_file", path + "\n")
    addOther(path, FixtureFileSystem.tmpfs.status(.regular, inode: 7, mount: mount))
  }

  /// Mounts the filesystem at `/mnt`, with a file and a directory in it.
  package mutating func addFiles(on system: FixtureFileSystem) {
    addMount(
      id: 41,
      device: system.mountDevice,
      at: "/mnt",
      type: system.type,
      source: system.disk?.node ?? system.type,
      options: system.options
    )
    if let disk = system.disk, let task = system.journalTask {
      tree.addText("/sys/fs/ext4/\(disk.name)/journal_task", task + "\n")
    }
    if let journals = system.journals {
      tree.addDirectory("/proc/fs/jbd2")
      for name in journals { tree.addDirectory("/proc/fs/jbd2/" + name) }
    }
    addOther(Self.file, system.status(.regular, inode: 1001, mount: 41))
    addOther(Self.directory, system.status(.directory, inode: 1002, mount: 41))
    for path in [Self.file, Self.directory] { fileSystems[path] = system.facts }
    layouts[Self.file] = system.layout
    newFiles[Self.directory] = .made(
      system.status(.regular, inode: 1003, mount: 41),
      system.facts
    )
  }
}
