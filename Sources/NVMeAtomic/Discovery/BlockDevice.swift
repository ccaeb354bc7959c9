import LinuxIO
import SystemPackage

/// A block device as sysfs describes it.
struct BlockDevice {
  /// Its canonical directory in sysfs.
  var sysfs: String
  /// The kernel's name, `nvme0n1p1`.
  var name: String
  /// Where a partition begins on its disk, in bytes; `nil` for a disk.
  var partitionStartBytes: UInt64?
  var isPartition: Bool
  var sizeBytes: UInt64?
  /// The disk's directory: its own, or a partition's parent.
  var diskSysfs: String

  var node: String { Self.node(of: name) }
  var diskName: String { diskSysfs.lastComponent }
  var diskNode: String { Self.node(of: diskName) }

  /// The number that ends a partition's name, after its disk's, and a `p` where that ends in one.
  var partitionNumber: Int? {
    guard isPartition, name.hasPrefix(diskName) else { return nil }
    let rest = name.dropFirst(diskName.count)
    return Int(rest.hasPrefix("p") ? rest.dropFirst() : rest)
  }

  /// sysfs writes `!` where a node's name has a slash.
  static func node(of name: String) -> String {
    "/dev/" + String(name.map { $0 == "!" ? "/" : $0 })
  }

  /// Follows `/sys/dev/block/MAJ:MIN`; `nil` when the kernel has no such device.
  init?<System: Machine>(_ number: DeviceNumber, _ sysfs: inout SysfsReader<System>) {
    self.init(link: "/sys/dev/block/\(number)", &sysfs)
  }

  /// Follows `/sys/class/block/NAME`; `nil` when the kernel has no such device.
  init?<System: Machine>(named name: String, _ sysfs: inout SysfsReader<System>) {
    self.init(link: "/sys/class/block/" + name, &sysfs)
  }

  private init?<System: Machine>(link: String, _ sysfs: inout SysfsReader<System>) {
    guard let path = try? sysfs.machine.canonicalPath(of: link) else { return nil }
    self.sysfs = path
    name = path.lastComponent
    isPartition = sysfs.exists(path + "/partition")
    diskSysfs = isPartition ? path.parentPath : path
    if isPartition {
      partitionStartBytes = sysfs.number(path + "/start").flatMap(Self.sectorBytes)
    }
    sizeBytes = sysfs.number(path + "/size").flatMap(Self.sectorBytes)
  }

  /// Linux counts sectors of 512 bytes here, whatever the logical block.
  private static func sectorBytes(_ sectors: UInt64) -> UInt64? {
    let (bytes, overflow) = sectors.multipliedReportingOverflow(by: 512)
    return overflow ? nil : bytes
  }

  /// What kind of disk this is, by what sysfs shows of it.
  func diskKind<System: Machine>(_ sysfs: SysfsReader<System>) -> String {
    switch sysfs.linkName(diskSysfs + "/device/subsystem") {
    case "nvme", "nvme-subsystem": return "namespace"
    default: break
    }
    if sysfs.exists(diskSysfs + "/dm") { return "dm" }
    if sysfs.exists(diskSysfs + "/md") { return "md" }
    if diskName.hasPrefix("loop") { return "loop" }
    return "block"
  }
}
