import LinuxIO

extension FixtureWorld {
  /// A controller and its character device; its directory in sysfs.
  @discardableResult
  package mutating func addController(
    _ instance: Int,
    _ drive: FixtureDrive,
    minor: UInt32? = nil
  ) -> String {
    let name = "nvme\(instance)"
    let sysfs = Self.controllerPath(instance)
    let number = DeviceNumber(major: 239, minor: minor ?? UInt32(instance))
    tree.addLink(sysfs + "/subsystem", to: "/sys/class/nvme")
    tree.addText(sysfs + "/model", drive.model + "  \n")
    tree.addText(sysfs + "/serial", drive.serial + "  \n")
    tree.addText(sysfs + "/firmware_rev", drive.firmware + " \n")
    tree.addText(sysfs + "/dev", "\(number)\n")
    if let transport = drive.transport { tree.addText(sysfs + "/transport", transport + "\n") }
    tree.addLink("/sys/class/nvme/" + name, to: sysfs)
    tree.addLink("/sys/dev/char/\(number)", to: sysfs)
    addCharacterNode("/dev/" + name, number)
    nodes["/dev/" + name] = OpenedNode(number: number, drive: drive, isNamespace: false)
    return sysfs
  }

  /// A controller's canonical directory in sysfs, or something in it.
  package static func controllerPath(_ instance: Int, _ entry: String? = nil) -> String {
    "/sys/devices/pci0000:00/0000:00:0\(instance + 4).0/nvme/nvme\(instance)"
      + (entry.map { "/" + $0 } ?? "")
  }

  /// A namespace behind one controller of its own, with its block and character devices.
  ///
  /// - Parameters:
  ///   - drive: What the drive reports.
  ///   - queue: What the kernel makes of it; by default what ``kernel`` would.
  ///   - instance: X of `nvmeXn1`.
  ///   - minor: Where its device numbers begin, if not with what X gives.
  ///   - sequence: `diskseq`.
  /// - Returns: The block device.
  @discardableResult
  package mutating func addNamespace(
    _ drive: FixtureDrive = FixtureDrive(),
    queue: FixtureQueue? = nil,
    instance: Int = 0,
    minor: UInt32? = nil,
    sequence: UInt64 = 9
  ) -> FixtureDisk {
    let controller = addController(instance, drive, minor: minor)
    return addNamespace(
      drive,
      below: controller,
      queue: queue,
      instance: instance,
      minor: minor,
      sequence: sequence
    )
  }

  /// A namespace under native multipath, reached by `paths` controllers.
  ///
  /// - Parameters:
  ///   - drive: What the drive reports.
  ///   - paths: How many controllers lead to it.
  ///   - queue: What the kernel makes of it; by default what ``kernel`` would.
  ///   - pathQueue: The queue of the hidden disk of each path; by default the head's.
  /// - Returns: The head.
  @discardableResult
  package mutating func addMultipathNamespace(
    _ drive: FixtureDrive = FixtureDrive(),
    paths: Int,
    queue: FixtureQueue? = nil,
    pathQueue: FixtureQueue? = nil
  ) -> FixtureDisk {
    let subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    tree.addLink(subsystem + "/subsystem", to: "/sys/class/nvme-subsystem")
    tree.addText(subsystem + "/subsysnqn", "nqn.2014-08.org.example:fixture\n")
    let head = addNamespace(drive, below: subsystem, queue: queue, instance: 0)
    for path in 0..<paths {
      let controller = addController(path, drive)
      tree.addLink(subsystem + "/nvme\(path)", to: controller)
      addQueue(pathQueue ?? head.queue, below: controller + "/nvme0c\(path)n1")
    }
    return head
  }

  private mutating func addNamespace(
    _ drive: FixtureDrive,
    below parent: String,
    queue: FixtureQueue?,
    instance: Int,
    minor: UInt32? = nil,
    sequence: UInt64 = 9
  ) -> FixtureDisk {
    let disk = FixtureDisk(
      name: "nvme\(instance)n1",
      sysfs: parent + "/nvme\(instance)n1",
      number: DeviceNumber(major: 259, minor: minor ?? UInt32(8 * instance)),
      queue: queue ?? kernel.queue(of: drive),
      sizeBytes: drive.sizeBytes,
      sequence: sequence
    )
    addDisk(disk)
    tree.addLink(disk.sysfs + "/device", to: parent)
    tree.addText(disk.sysfs + "/nsid", "\(drive.nsid)\n")
    nodes[disk.node] = OpenedNode(number: disk.number, drive: drive, isNamespace: true)

    let generic = "ng\(instance)n1"
    let number = DeviceNumber(major: 238, minor: minor ?? UInt32(instance))
    tree.addLink(parent + "/\(generic)/subsystem", to: "/sys/class/nvme-generic")
    tree.addLink(parent + "/\(generic)/device", to: parent)
    tree.addText(parent + "/\(generic)/dev", "\(number)\n")
    tree.addLink("/sys/class/nvme-generic/" + generic, to: parent + "/" + generic)
    tree.addLink("/sys/dev/char/\(number)", to: parent + "/" + generic)
    addCharacterNode("/dev/" + generic, number)
    nodes["/dev/" + generic] = OpenedNode(number: number, drive: drive, isNamespace: true)
    return disk
  }

  private mutating func addCharacterNode(_ path: String, _ number: DeviceNumber) {
    let status = FileStatus(
      kind: .characterDevice,
      inode: 500 + UInt64(number.major),
      device: DeviceNumber(major: 0, minor: 5),
      representedDevice: number,
      mountID: 22
    )
    addOther(path, status)
  }
}
