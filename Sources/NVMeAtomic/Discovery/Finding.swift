/// One thing worth knowing about a target.
public struct Finding: Hashable, Sendable {
  /// How much it matters.
  public enum Severity: String, Sendable, Comparable {
    /// Atomic writes are lost by it, or must not be trusted.
    case blocking
    /// A promise is smaller, dearer or more fragile by it.
    case warning
    /// Good to know.
    case info

    /// The more severe comes first.
    public static func < (left: Self, right: Self) -> Bool {
      left.rank < right.rank
    }

    private var rank: Int {
      switch self {
      case .blocking: 0
      case .warning: 1
      case .info: 2
      }
    }
  }

  /// The layer it lies in.
  public enum Layer: String, Sendable {
    /// The drive.
    case device
    /// The kernel's block layer or NVMe driver.
    case kernel
    /// The partition.
    case partition
    /// A device stacked on others.
    case stack
    /// The filesystem.
    case filesystem
    /// What this process may ask.
    case permission
  }

  /// What it is; the raw value is part of the JSON contract.
  public var code: FindingCode
  /// How much it matters.
  public var severity: Severity
  /// Where it lies.
  public var layer: Layer
  /// One sentence.
  public var message: String
  /// What can be typed or done about it, where anything can.
  public var remedy: String?

  init(
    _ code: FindingCode,
    _ severity: Severity,
    _ layer: Layer,
    _ message: String,
    remedy: String? = nil
  ) {
    self.code = code
    self.severity = severity
    self.layer = layer
    self.message = message
    self.remedy = remedy
  }
}

/// The kinds of finding. Raw values are part of the JSON contract; more are added when found.
public enum FindingCode: String, Sendable, CaseIterable {
  /// The kernel predates `RWF_ATOMIC` for this kind of target.
  case kernelTooOld = "kernel-too-old"
  /// The drive declares AWUPF only, which this kernel does not trust.
  case awupfIgnoredByKernel = "awupf-ignored-by-kernel"
  /// The kernel took its limit from AWUPF, which newer kernels do not trust.
  case controllerWideLimit = "controller-wide-limit"
  /// NABO is not 0, which the kernel does not support.
  case boundaryOffsetUnsupported = "boundary-offset-unsupported"
  /// NABSPF + 1 is not a power of two, which the kernel does not support.
  case boundaryNotPowerOfTwo = "boundary-not-power-of-two"
  /// MDTS or segment limits make the kernel's unit smaller than the drive's.
  case cappedByTransferLimit = "capped-by-transfer-limit"
  /// The drive's unit is not a power of two; `RWF_ATOMIC` loses the rest.
  case roundedDownToPowerOfTwo = "rounded-down-to-power-of-two"
  /// The partition begins off the atomic boundary.
  case partitionMisaligned = "partition-misaligned"
  /// A device in between passes no atomic writes on.
  case stackedDeviceDropsAtomics = "stacked-device-drops-atomics"
  /// A device in between passes less than the drives below it take.
  case stackedDeviceNarrowsAtomics = "stacked-device-narrows-atomics"
  /// The filesystem has no atomic writes.
  case filesystemWithoutAtomics = "filesystem-without-atomics"
  /// The filesystem writes one block atomically and no more.
  case filesystemSingleBlock = "filesystem-single-block"
  /// XFS keeps the promise by copy-on-write.
  case softwareBacked = "software-backed"
  /// XFS may keep the promise by copy-on-write, depending on the range.
  case rangeFallsToSoftware = "range-falls-to-software"
  /// The drive caches writes.
  case volatileWriteCache = "volatile-write-cache"
  /// The drive caches writes and the kernel does not flush.
  case cacheNeverFlushed = "cache-never-flushed"
  /// DN is set.
  case writeAtomicityNormalDisabled = "write-atomicity-normal-disabled"
  /// Identify, queue and statx contradict each other.
  case limitsDisagree = "limits-disagree"
  /// This process may not ask the drive.
  case noPermission = "no-permission"
  /// The drive did not answer Identify or Get Features.
  case identifyFailed = "identify-failed"
  /// No NVMe namespace lies below.
  case notNVMe = "not-nvme"
  /// The format has metadata.
  case metadataFormat = "metadata-format"
  /// ext4 journals data and takes atomic writes that it does not keep.
  case journalledData = "journalled-data"
  /// Adjacent atomic writes in one batch are merged and rejected.
  case adjacentBatchHazard = "adjacent-batch-hazard"
  /// Ordinary neighbouring writes may be merged beyond the drive's unit.
  case neighboursMayMerge = "neighbours-may-merge"
  /// Amazon's own bytes say what is kept whole, which the kernel does not read.
  case vendorTornWriteFields = "vendor-torn-write-fields"
  /// A cloud provider's volume, of which its documentation speaks.
  case cloudVolume = "cloud-volume"
  /// NSFEAT bit 6 is set.
  case multipleAtomicityMode = "multiple-atomicity-mode"
  /// NMIC bit 0 is set.
  case sharedNamespace = "shared-namespace"
  /// Native multipath: head and path, or several paths, have different limits or settings.
  case pathsDisagree = "paths-disagree"
  /// Native multipath whose paths could not all be looked at.
  case pathsNotExamined = "paths-not-examined"
  /// A fabrics target may derive its unit from a block size.
  case fabricsClaimDerived = "fabrics-claim-derived"
  /// No file can be made in the directory that was probed.
  case noNewFile = "no-new-file"
  /// An attribute of sysfs could not be read or understood.
  case unreadableAttribute = "unreadable-attribute"
}
