import LinuxIO
import SystemPackage

/// Every node by which this host reaches a namespace, or the part of it that is the target.
///
/// Passthrough passes all of them by: they are held against others, and their page caches are
/// emptied.
struct NamespaceNodes: Hashable, Sendable {
  /// A device node, and the device that it must stand for.
  struct Node: Hashable, Sendable {
    var path: String
    var number: DeviceNumber
  }

  /// `/dev/ngXnY`, which commands go through.
  var generic: Node
  /// What the driver calls the namespace; not the Y of `nvmeXnY`.
  var nsid: UInt32
  /// Held exclusively, the target's own block device first.
  var claimed: [Node]
  /// The others that have pages of the target's bytes.
  var cached: [Node]

  /// Finds the nodes by sysfs.
  ///
  /// - Throws: Why they cannot all be found, as a clause.
  init<System: Machine>(of report: TargetReport, _ machine: System) throws(Obstacle) {
    var finder = NamespaceNodeFinder(machine)
    self = try finder.nodes(of: report)
  }

  init(generic: Node, nsid: UInt32, claimed: [Node], cached: [Node]) {
    (self.generic, self.nsid, self.claimed, self.cached) = (generic, nsid, claimed, cached)
  }

  /// Why passthrough is out of the question, as a clause.
  struct Obstacle: Error {
    var clause: String
  }
}

/// Looks for nodes in sysfs.
private struct NamespaceNodeFinder<System: Machine> {
  typealias Node = NamespaceNodes.Node
  typealias Obstacle = NamespaceNodes.Obstacle

  private var sysfs: SysfsReader<System>

  init(_ machine: System) {
    sysfs = SysfsReader(machine)
  }

  mutating func nodes(of report: TargetReport) throws(Obstacle) -> NamespaceNodes {
    guard let number = report.identity?.represented else { throw missing(report.path) }
    let target: BlockDevice?
    if report.kind == .generic {
      target = try sibling(of: number)
    } else {
      target = BlockDevice(number, &sysfs)
    }
    guard let target else { throw missing(report.path) }
    let disk = target.diskSysfs
    guard let nsid = sysfs.number(disk + "/nsid").flatMap(UInt32.init(exactly:)),
      nsid == report.commandNamespaceID
    else { throw Obstacle(clause: "the namespace id of \(target.diskNode) is not known") }
    let own = try node(target.sysfs)
    let range = target.isPartition ? try extent(target) : nil
    let siblings = try partitions(of: disk, overlapping: range).filter { $0 != own }
    let twins = try self.twins(of: disk, nsid: nsid)
    var cached = range == nil ? siblings : [try node(disk)]
    for twin in twins { cached += try partitions(of: twin, overlapping: range) }
    var claimed = [own] + (range == nil ? [] : siblings)
    for twin in twins { claimed.append(try node(twin)) }
    return NamespaceNodes(
      generic: try generic(of: disk),
      nsid: nsid,
      claimed: claimed,
      cached: cached
    )
  }

  private func missing(_ path: String) -> Obstacle {
    Obstacle(clause: "the block device of \(path) could not be found")
  }

  private mutating func node(_ path: String) throws(Obstacle) -> Node {
    let node = BlockDevice.node(of: path.lastComponent)
    guard let number = sysfs.text(path + "/dev").flatMap(DeviceNumber.init(text:)) else {
      throw missing(node)
    }
    return Node(path: node, number: number)
  }

  /// The block device beside a character device: the same numbers below the same parent.
  private mutating func sibling(of number: DeviceNumber) throws(Obstacle) -> BlockDevice? {
    guard let path = try? sysfs.machine.canonicalPath(of: "/sys/dev/char/\(number)") else {
      return nil
    }
    let disk = path.parentPath + "/nvme" + path.lastComponent.dropFirst(2)
    return sysfs.text(disk + "/dev").flatMap(DeviceNumber.init(text:))
      .flatMap { BlockDevice($0, &sysfs) }
  }

  private mutating func generic(of disk: String) throws(Obstacle) -> Node {
    let name = "ng" + disk.lastComponent.dropFirst(4)
    // Names are given once, but only below one parent they are surely of one namespace.
    guard let path = try? sysfs.machine.canonicalPath(of: "/sys/class/nvme-generic/" + name),
      path.parentPath == disk.parentPath
    else { throw Obstacle(clause: "the kernel offers no /dev/\(name)") }
    return try node(path)
  }

  // MARK: Partitions

  private mutating func extent(_ partition: BlockDevice) throws(Obstacle) -> Range<UInt64> {
    guard let start = partition.partitionStartBytes, let size = partition.sizeBytes else {
      throw Obstacle(clause: "where \(partition.node) lies could not be read")
    }
    return start..<start.addingOrMax(size)
  }

  /// The partitions of a disk that share bytes with a range; all of them for none.
  private mutating func partitions(
    of disk: String,
    overlapping range: Range<UInt64>?
  ) throws(Obstacle) -> [Node] {
    guard let names = sysfs.requiredNames(disk) else { throw missing(disk.lastComponent) }
    var nodes: [Node] = []
    for name in names where name.hasPrefix(disk.lastComponent) {
      guard let partition = BlockDevice(named: name, &sysfs), partition.isPartition else {
        throw missing(name)
      }
      let extent = try self.extent(partition)
      if let range, !extent.overlaps(range) { continue }
      nodes.append(try node(partition.sysfs))
    }
    return nodes
  }

  // MARK: The same namespace by another node

  /// Disks of other controllers that are this namespace too: with native multipath switched off
  /// each controller has its own. What cannot be told apart counts as the same.
  private mutating func twins(of disk: String, nsid: UInt32) throws(Obstacle) -> [String] {
    guard let names = sysfs.requiredNames("/sys/class/block") else {
      throw Obstacle(clause: "/sys/class/block could not be read")
    }
    let (wwid, subsystem) = (sysfs.text(disk + "/wwid"), self.subsystem(of: disk))
    guard wwid != nil || subsystem != nil else {
      throw Obstacle(clause: "neither wwid nor subsystem of the namespace could be read")
    }
    var twins: [String] = []
    for name in names where name.hasPrefix("nvme") {
      guard let other = try? sysfs.machine.canonicalPath(of: "/sys/class/block/" + name) else {
        throw missing(name)
      }
      if other == disk || sysfs.exists(other + "/partition") { continue }
      // The hidden path disks of native multipath have no nodes.
      if sysfs.number(other + "/hidden") == 1 { continue }
      let isSame =
        (wwid != nil && sysfs.text(other + "/wwid") == wwid)
        || (subsystem != nil && self.subsystem(of: other) == subsystem
          && sysfs.number(other + "/nsid") == UInt64(nsid))
      if isSame { twins.append(other) }
    }
    return twins
  }

  private mutating func subsystem(of disk: String) -> String? {
    sysfs.text(disk + "/device/subsysnqn")
  }
}
