/// What a target is.
public enum TargetKind: String, Sendable {
  /// A namespace's block device, `/dev/nvme0n1`.
  case namespace
  /// A namespace's character device, `/dev/ng0n1`.
  case generic
  /// A controller's character device, `/dev/nvme0`.
  case controller
  /// A partition of any block device.
  case partition
  /// Any other block device.
  case block
  /// A regular file.
  case file
  /// A directory, standing for a new file in it.
  case directory

  /// Whether the target takes block I/O of its own.
  public var isBlockDevice: Bool { self == .namespace || self == .partition || self == .block }
  /// Whether the target is, or stands for, a file on a filesystem.
  public var isFile: Bool { self == .file || self == .directory }
}

/// The filesystem that a file lies on.
public struct FileSystemReport: Hashable, Sendable {
  /// The kernel's name of it, `xfs`.
  public var type: String
  /// Bytes per filesystem block; `nil` when it could not be asked.
  public var blockSize: UInt64?
  /// Whether blocks can be shared, so that a write may go elsewhere. Known for XFS only.
  public var reflink: Bool?
  /// Whether XFS was made with `exchange=1`. Known for XFS only.
  public var exchangeRange: Bool?
  /// Whether XFS's log lies on another device, which nothing here describes. Known for XFS only.
  public var externalLog: Bool?
  /// Whether ext4 has a journal, on which writes longer than a block rest. Known for ext4 only.
  public var journal: Bool?
  /// Whether that journal lies on another device, which nothing here describes.
  public var externalJournal: Bool?
  /// Whether ext4 flushes the drive when its journal says so. Known where the mount is.
  public var barriers: Bool?
  /// Whether an ext4 file maps by extents; without them direct writes go through the page cache.
  public var extents: Bool?
  /// Whether the file's data lie on XFS's real-time device, which nothing here describes.
  public var realtime: Bool?

  /// Knows the type only.
  public init(type: String) {
    self.type = type
  }

  /// What to call it where something about it keeps an answer from being given.
  var undescribedKind: String {
    if realtime == true { return "XFS on a real-time device" }
    if externalLog == true { return "XFS with its log on another device" }
    guard type == "ext4", journal != false else { return type }
    if journal == nil { return "ext4 with an unknown journal" }
    switch externalJournal {
    case true?: return "ext4 with its journal on another device"
    case nil: return "ext4 with a journal that may lie on another device"
    case false?: return type
    }
  }
}

/// A fact that a yes or a no would rest on and that is not to be had.
public enum MissingFact: Hashable, Sendable {
  /// `statx(2)` did not report on the target.
  case statx
  /// The drive could not be asked: the reason, as a clause.
  case identify(String)
  /// The drive reports data that cannot be.
  case identifyInvalid
  /// Kernel and drive work with blocks of different sizes, as after a format without a rescan.
  case blockSizesDiffer(kernelBytes: UInt64, driveBytes: UInt64)
  /// A fabrics target's word is all there is.
  case remote(transport: String)
  /// DN of feature 0Ah.
  case writeAtomicityNormal
  /// Where the partition begins.
  case start
  /// How large the block device is.
  case size
  /// The kernel offers more than the drive keeps, and may merge neighbours up to that.
  case limitsDisagree
  /// An attribute of `queue/`, by name.
  case queue(String)
  /// How this filesystem writes.
  case filesystem(String)
  /// A layer between the target and the drives, by kind.
  case stacked(String)
  /// The blocks below a file's range.
  case placement
  /// How a metadata format keeps its blocks whole.
  case metadata
  /// The limits of each path of a multipath namespace.
  case paths
  /// A layer's own table or attributes; a clause that says which and why.
  case layer(String)
}

/// What is known of the drive below a target.
public enum DriveKnowledge: Hashable, Sendable {
  /// One namespace, and its limits.
  case known(DeviceLimits)
  /// Not to be had.
  case unknown(MissingFact)
  /// There is none: the filesystem lives in memory.
  case none

  /// The limits where they are known.
  public var limits: DeviceLimits? {
    if case .known(let limits) = self { limits } else { nil }
  }
}

/// Everything the planner decides by: facts of each layer, no I/O behind them.
public struct TargetLimits: Hashable, Sendable {
  /// What the target is.
  public var kind: TargetKind
  /// Where the block device, or the one below the file, begins in its namespace, in bytes.
  public var startBytes: UInt64?
  /// The size of a block device in bytes.
  public var sizeBytes: UInt64?
  /// The drive below.
  public var drive: DriveKnowledge
  /// The block layer's limits; empty when there is no block device below.
  public var queue: QueueLimits
  /// What the kernel reports for the target; `nil` when it could not be asked.
  public var statx: StatxLimits?
  /// The filesystem of a file.
  public var filesystem: FileSystemReport?
  /// The fabric that a remote namespace is reached by; `nil` for a local drive.
  public var fabric: String?
  /// Why passthrough is out of the question here, when it is; a clause.
  public var passthroughObstacle: String?
  /// Who uses the namespace, which passthrough wants for itself; a clause.
  public var passthroughUser: String?
  /// Why others than this host may write to the namespace, when they may; a clause.
  public var sharing: String?
  /// The layers and drives below; `nil` for a target on one namespace by one path.
  public var stack: StackLimits?

  /// Whether something below may cache writes: not so only where every drive says that it does not.
  var mayCache: Bool {
    guard let stack else { return drive.limits?.volatileWriteCache != false }
    return stack.doubt != nil || stack.foundations.isEmpty
      || stack.foundations.contains { $0.drive.limits?.volatileWriteCache != false }
  }

  /// Knows the kind only.
  public init(kind: TargetKind, drive: DriveKnowledge) {
    self.kind = kind
    self.drive = drive
    self.queue = QueueLimits()
  }
}
