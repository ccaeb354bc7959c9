import LinuxIO
import SystemPackage

/// A machine's storage as the kernel would show it: a value, built once and copied freely.
package struct FixtureWorld: Sendable {
  package var kernel: FixtureKernel
  package var tree = FixtureTree()
  /// `statx(2)`, by canonical path.
  package var statuses: [String: FileStatus] = [:]
  /// What opening a node gives, by canonical path.
  package var nodes: [String: OpenedNode] = [:]
  /// The filesystem below an existing file or directory, by canonical path.
  package var fileSystems: [String: FileSystemFacts] = [:]
  /// Where a file lies, by canonical path; none is a filesystem that does not tell.
  package var layouts: [String: FixtureLayout] = [:]
  /// What making an unnamed file in a directory gives, by canonical path.
  package var newFiles: [String: NewFile] = [:]
  /// Tables of device-mapper devices.
  package var mapperTables: [DeviceNumber: String] = [:]
  /// What asking for any table gives, if not the table.
  package var mapperRefusal: Errno?

  private var mountLines: [String] = []
  private var swapText = "Filename\tType\tSize\tUsed\tPriority\n"

  /// An open NVMe node: the device behind it and the drive that answers.
  package struct OpenedNode: Sendable {
    package var number: DeviceNumber
    package var drive: FixtureDrive?
    /// Whether `NVME_IOCTL_ID` has an answer: not on a controller's node.
    package var isNamespace: Bool

    package init(number: DeviceNumber, drive: FixtureDrive?, isNamespace: Bool) {
      self.number = number
      self.drive = drive
      self.isNamespace = isNamespace
    }
  }

  package enum NewFile: Sendable {
    case made(FileStatus, FileSystemFacts)
    case refused(Errno)
  }

  package init(_ kernel: FixtureKernel = .linux7_3) {
    self.kernel = kernel
    addMount(id: 22, device: "0:20", at: "/", type: "tmpfs", source: "tmpfs")
    tree.addText("/proc/swaps", swapText)
    for name in ["block", "nvme", "nvme-generic", "nvme-subsystem"] {
      tree.addDirectory("/sys/class/\(name)")
    }
  }

  /// One more line of `/proc/self/mountinfo`.
  package mutating func addMount(
    id: UInt64,
    device: String,
    at mountPoint: String,
    type: String,
    source: String,
    options: String = "rw"
  ) {
    mountLines.append(
      "\(id) 1 \(device) / \(mountPoint) rw - \(type) \(source) \(options)\n"
    )
    tree.addText("/proc/self/mountinfo", mountLines.joined())
  }

  /// Makes a block device swap space.
  package mutating func addSwap(_ node: String) {
    swapText += "\(node)                          partition\t8388604\t0\t-2\n"
    tree.addText("/proc/swaps", swapText)
  }

  /// A symbolic link in `/dev` or elsewhere.
  package mutating func addLink(_ path: String, to target: String) {
    tree.addLink(path, to: target)
  }

  /// Anything that is neither a file nor a device this program knows.
  package mutating func addOther(_ path: String, _ status: FileStatus) {
    tree.addLeaf(path)
    statuses[path] = status
  }

  /// Puts another device behind a node's path, as `statx(2)` no longer would say.
  package mutating func swap(_ path: String, with other: DeviceNumber, _ drive: FixtureDrive) {
    let isNamespace = nodes[path]?.isNamespace ?? true
    nodes[path] = OpenedNode(number: other, drive: drive, isNamespace: isNamespace)
  }

  /// Changes what `statx(2)` says of a path.
  package mutating func changeStatus(_ path: String, _ change: (inout FileStatus) -> Void) {
    guard var status = statuses[path] else { return }
    change(&status)
    statuses[path] = status
  }
}

/// A block device in a ``FixtureWorld``.
package struct FixtureDisk: Sendable {
  package var name: String
  /// Its canonical directory in sysfs.
  package var sysfs: String
  package var number: DeviceNumber
  /// The queue of the disk, a partition's too.
  package var queue: FixtureQueue
  package var sizeBytes: UInt64
  /// `diskseq`, which no two disks share.
  package var sequence: UInt64 = 9
  /// Where a partition begins.
  package var startBytes: UInt64 = 0

  package var node: String { "/dev/" + name }

  /// `bdev_can_atomic_write`: a partition off the boundary loses all.
  package var offersAtomicWrites: Bool {
    guard let unitMin = queue.atomicUnitMin, queue.atomicUnitMax ?? 0 > 0 else { return false }
    return startBytes % max(unitMin, queue.atomicBoundary ?? 0) == 0
  }

  var atomicUnitMin: UInt64 { offersAtomicWrites ? queue.atomicUnitMin ?? 0 : 0 }
  var atomicUnitMax: UInt64 { offersAtomicWrites ? queue.atomicUnitMax ?? 0 : 0 }

  /// A block device that takes no atomic writes reports none, rather than zeros.
  var status: FileStatus {
    FileStatus(
      kind: .blockDevice,
      inode: 100 + UInt64(number.minor),
      device: DeviceNumber(major: 0, minor: 5),
      representedDevice: number,
      mountID: 22,
      directIO: .init(
        memoryBytes: 4,
        offsetBytes: UInt32(queue.logicalBlockSize ?? 512)
      ),
      atomicWrite: offersAtomicWrites
        ? .init(
          unitMin: UInt32(atomicUnitMin),
          unitMax: UInt32(atomicUnitMax),
          unitMaxOpt: 0,
          segmentsMax: 1
        ) : nil
    )
  }
}
