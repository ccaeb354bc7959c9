import LinuxIO

/// Everything a probe learned of one target, layer by layer.
public struct TargetReport: Sendable {
  /// The path as it was given.
  public var path: String
  /// What it is; `nil` when it could not be looked at.
  public var kind: TargetKind?
  /// Why the target could not be probed at all; the rest is then empty.
  public var error: ProbeError?
  /// The controller, when the target rests on one.
  public var controller: ControllerReport?
  /// The namespace, when the target rests on one.
  public var namespace: NamespaceReport?
  /// DN of feature 0Ah; `nil` when it could not be read.
  public var writeAtomicityNormalDisabled: Bool?
  /// From the target down to the hardware.
  public var stack: [StackEntry] = []
  /// The facts that paths and answers are decided by.
  public var limits: TargetLimits
  /// Every namespace below the target, and every path to one; a single one is ``controller`` and
  /// ``namespace`` too.
  public var namespaces: [NamespaceEntry] = []
  /// What is worth knowing, most severe first.
  public var findings: [Finding] = []
  /// The answer, when a question was asked.
  public var answer: Answer?

  /// Where the range that was asked about lies; `nil` unless one range of a file was.
  public var placement: RangePlacement?
  /// `queue/` as read of the disk that backs the target directly.
  ///
  /// Under native multipath ``limits`` keep only what its path agrees to.
  public var queue = QueueLimits()
  /// Bytes of a file; a block device's are in ``limits``.
  var fileSizeBytes: UInt64?
  /// How large the file or block device was when it was looked at, in bytes.
  public var sizeBytes: UInt64? { kind == .file ? fileSizeBytes : limits.sizeBytes }
  /// Who uses the device, as a clause; `nil` when nobody was found.
  public var user: String?
  /// What the path stood for when it was looked at.
  var identity: TargetIdentity?

  /// The path only.
  init(path: String) {
    self.path = path
    limits = TargetLimits(kind: .block, drive: .unknown(.statx))
  }

  /// Whether both reports are of the same file or the same device, not just of the same path.
  public func isSameTarget(as other: TargetReport) -> Bool {
    identity == other.identity
  }

  /// What the driver calls the namespace that the target lies on, by each of its paths.
  var commandNamespaceID: UInt32? {
    if let namespace { return namespace.nsid }
    let numbers = Set(namespaces.map(\.namespace.nsid))
    return numbers.count == 1 ? numbers.first ?? nil : nil
  }

  /// What `RWF_ATOMIC` keeps whole.
  public var kernelPath: KernelPathLimits { KernelPathLimits(limits) }
  /// What one NVMe Write command keeps whole.
  public var passthroughPath: PassthroughPathLimits { PassthroughPathLimits(limits) }
}

/// Tells whether a path still names what was probed.
struct TargetIdentity: Hashable, Sendable {
  var device: DeviceNumber
  var inode: UInt64
  var represented: DeviceNumber
  /// When the inode was made: filesystems give a freed inode number out again at once.
  var birth: FileStatus.Time?
  /// `diskseq` (Linux 5.15), which no two disks share between boots; device numbers they do.
  var diskSequence: UInt64?

  init(_ status: FileStatus) {
    device = status.device
    inode = status.inode
    represented = status.representedDevice
    birth = status.birth
  }
}

/// A controller, as far as it could be read. Names come from sysfs, the rest from Identify.
public struct ControllerReport: Hashable, Sendable {
  /// The kernel's name of it, `nvme0`.
  public var name: String
  /// `pcie`, `tcp`, `rdma`, `fc` or `loop`; `nil` when sysfs does not say.
  public var transport: String?
  /// Model number from sysfs.
  public var model: String?
  /// Serial number from sysfs.
  public var serial: String?
  /// Firmware revision from sysfs.
  public var firmware: String?
  /// Identify Controller; `nil` when the drive could not be asked.
  public var identify: IdentifyController?
}

/// A namespace, as far as it could be read.
public struct NamespaceReport: Hashable, Sendable {
  /// The namespace id, which is not the Y of `nvmeXnY`.
  public var nsid: UInt32?
  /// How many paths lead to it; more than one under native multipath.
  public var paths: Int
  /// Identify Namespace; `nil` when the drive could not be asked.
  public var identify: IdentifyNamespace?
  /// Amazon's torn-write bytes; `nil` on any other drive.
  public var vendorTornWrite: VendorTornWriteFields?
}

/// A namespace below a target, by one path.
public struct NamespaceEntry: Hashable, Sendable {
  /// Its node, `/dev/nvme0n1`.
  public var device: String
  /// The hidden disk of native multipath that requests by this path pass through, `nvme0c1n1`;
  /// `nil` where there is none.
  public var path: String?
  /// The controller; `nil` when sysfs and drive are both silent.
  public var controller: ControllerReport?
  /// The namespace, as this controller reports it.
  public var namespace: NamespaceReport
  /// DN of feature 0Ah of this controller; `nil` when it could not be read.
  public var writeAtomicityNormalDisabled: Bool?
  /// What the specification makes of it.
  public var drive: DriveKnowledge
  /// The queue that commands pass through: the path's own where there are several.
  public var queue: QueueLimits
  /// The fabric that a remote namespace is reached by; `nil` for a local drive.
  public var fabric: String?
  /// Why the drive could not be asked everything, as a clause.
  var failure: String?
}

/// One layer below a target, or the target itself.
public struct StackEntry: Hashable, Sendable {
  /// Its number in the report.
  public var id: Int
  /// The entries directly above that rest on it.
  public var parents: [Int]
  /// Its device node or path.
  public var device: String
  /// `file`, `directory`, `partition`, `namespace`, `path`, `generic`, `controller`, `loop`, `dm`,
  /// `md` or `block`.
  public var kind: String
  /// Where it begins in the layer below, in bytes; `nil` where that is not one number.
  public var startBytes: UInt64?
  /// The target types of a device-mapper device (`linear`, `linear+striped`) or the level of an md
  /// array; `nil` elsewhere, and where it could not be read.
  public var type: String?
  /// The stripe of a striped layer in bytes; `nil` elsewhere.
  public var chunkBytes: UInt64?
  /// `queue/atomic_write_unit_max_bytes` of a disk; `nil` elsewhere, and where it is not known.
  public var atomicWriteUnitMaxBytes: UInt64?
}

/// Why a target could not be probed.
public struct ProbeError: Error, Hashable, Sendable {
  /// The class of failure that scripts decide by.
  public var code: ErrorCode
  /// What was wrong, in one line.
  public var message: String
  /// What to do next, in one line.
  public var remedy: String
}

/// The class of a failure, for programs. The raw values are part of the JSON contract.
public enum ErrorCode: String, Sendable {
  /// Wrong arguments.
  case usage
  /// No such target.
  case notFound = "not-found"
  /// Not allowed.
  case permission
  /// Mounted, held or opened by somebody else.
  case busy
  /// Another transaction holds the range.
  case conflict
  /// Larger than, or placed otherwise than, what can be kept whole.
  case exceedsLimit = "exceeds-limit"
  /// This target cannot do it at all.
  case unsupported
  /// The kernel reported an error.
  case io
  /// The device reported an error.
  case deviceStatus = "device-status"
  /// A journal that cannot be trusted.
  case journalCorrupt = "journal-corrupt"
  /// Refused for what it would destroy.
  case refused
}
