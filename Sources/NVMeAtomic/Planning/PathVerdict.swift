/// What one path makes of a request.
public enum PathVerdict: Hashable, Sendable {
  /// The path keeps every promise asked for.
  case holds(PathPromise)
  /// It does not, and why.
  case fails(PlanRefusal)
  /// A fact is missing. Never a yes.
  case unknown(MissingFact)

  /// The promise where there is one.
  public var promise: PathPromise? {
    if case .holds(let promise) = self { promise } else { nil }
  }
}

/// Who keeps an atomic write whole.
public enum Backing: String, Sendable {
  /// The drive, by its atomic write unit.
  case hardware
  /// XFS, by writing elsewhere and moving the blocks in its log.
  case software
  /// Either, depending on the range.
  case mixed
  /// It cannot be told.
  case unknown
}

/// A promise that a path gives, and what it rests on.
public struct PathPromise: Hashable, Sendable {
  /// Who keeps it.
  public var backing: Backing
  /// What nobody specifies or nobody could be asked; empty for a plain yes.
  public var assumptions: [Assumption]

  /// Keeps both.
  public init(backing: Backing, assumptions: [Assumption] = []) {
    self.backing = backing
    self.assumptions = assumptions
  }
}

extension PathPromise {
  /// Whether a flush is known to reach what caches writes.
  var keepsDurability: Bool {
    !assumptions.contains { assumption in
      switch assumption {
      case .nothingCaches, .flushesReachStableStorage: true
      default: false
      }
    }
  }
}

/// What a promise rests on besides facts.
public enum Assumption: Hashable, Sendable {
  /// A completed write in a volatile cache, not flushed, is expected to stay whole; nobody says so.
  case volatileCacheKeepsWritesWhole
  /// The kernel's word alone: the drive could not be asked.
  case kernelWordOnly(MissingFact)
  /// The kernel flushes nothing, and its word is all there is that nothing below caches writes.
  case nothingCaches(MissingFact)
  /// Flushes reach what caches writes, below a filesystem that nothing here describes.
  case flushesReachStableStorage(MissingFact)
  /// A fabrics target's word, which often is a block size under another name.
  case fabricsClaim(transport: String)
  /// Others than this host could write to the namespace, and do not: the reason, as a clause.
  case soleUser(String)

  /// Whether it stands for a fact that could be known and is not, so that no yes may rest on it.
  public var isDoubt: Bool {
    switch self {
    case .kernelWordOnly, .nothingCaches, .fabricsClaim, .soleUser, .flushesReachStableStorage: true
    case .volatileCacheKeepsWritesWhole: false
    }
  }
}

/// Why a path does not do.
public enum PlanRefusal: Hashable, Sendable {
  /// Nothing to write.
  case empty
  /// The range ends beyond what addresses can say.
  case overflows
  /// Page-cache writes are split and merged as the kernel pleases.
  case buffered
  /// Nobody keeps an ordinary write whole.
  case ordinaryWrite
  /// The writer does not use this path.
  case otherWriter(Writer)
  /// The target is no place to write: a character device.
  case notWritable(TargetKind)
  /// The kernel takes no `RWF_ATOMIC` here.
  case kernelOffersNone
  /// `RWF_ATOMIC` takes powers of two only.
  case notPowerOfTwo(lengthBytes: UInt64)
  /// Shorter than the kernel's unit.
  case belowMinimum(lengthBytes: UInt64, minimumBytes: UInt64)
  /// Longer than the kernel's unit.
  case exceedsKernelLimit(lengthBytes: UInt64, limitBytes: UInt64)
  /// Longer than the drive's power-fail unit.
  case exceedsPowerFailLimit(lengthBytes: UInt64, limitBytes: UInt64)
  /// Not one of the lengths that a vendor's bytes keep whole.
  case vendorLength(lengthBytes: UInt64, allowedBytes: [UInt64])
  /// Longer than the drive's unit in normal operation.
  case exceedsNormalLimit(lengthBytes: UInt64, limitBytes: UInt64)
  /// Longer than one command: MDTS or the kernel's transfer limit.
  case exceedsTransferLimit(lengthBytes: UInt64, limitBytes: UInt64)
  /// Not at a multiple of what the path wants.
  case misaligned(offsetBytes: UInt64, alignmentBytes: UInt64)
  /// Not a multiple of the logical block.
  case partialBlock(lengthBytes: UInt64, blockBytes: UInt64)
  /// Crosses a line that the drive or the kernel keeps.
  case crossesBoundary(AtomicBoundary, startBytes: UInt64)
  /// Neighbouring atomic writes may be merged into commands of this many bytes, which a member of a
  /// mirror refuses; the mirror reports success.
  case mirrorLosesMerged(commandBytes: UInt64)
  /// Longer than the pieces that a stack is made of; they begin at multiples of the granule.
  case crossesSeam(lengthBytes: UInt64, granuleBytes: UInt64)
  /// Ends beyond what this process may write (`RLIMIT_FSIZE`); the kernel would shorten the write.
  case exceedsFileSizeLimit(endBytes: UInt64, limitBytes: UInt64)
  /// Ends beyond the device.
  case beyondEnd(endBytes: UInt64, sizeBytes: UInt64)
  /// The block layer may split the write at this many bytes.
  case canBeSplit(limitBytes: UInt64, by: String)
  /// The block layer may merge neighbours into commands of this many bytes.
  case canBeMerged(commandBytes: UInt64)
  /// The filesystem may put the write elsewhere, or in several places.
  case filesystemMayMove(type: String)
  /// Longer than the one filesystem block that is never split.
  case exceedsFilesystemBlock(lengthBytes: UInt64, blockBytes: UInt64)
  /// The file takes no direct I/O.
  case noDirectIO
  /// There is no drive below.
  case noDrive
  /// Software atomic writes are seen torn by readers.
  case softwareIsSeenTorn
  /// A transaction is in place range by range, and readers see some of it before the rest.
  case seenInParts
  /// DN is set: the drive keeps commands apart no longer.
  case normalAtomicityDisabled
  /// ext4 has no journal, or does not flush it, and a longer write or a durable one rests on it.
  case journalNotKept
  /// The drive caches writes and the kernel was told not to flush.
  case cacheNeverFlushed
  /// Passthrough wants the namespace for itself, and somebody uses it; a clause.
  case inUse(String)
  /// Passthrough wants the namespace for itself, and other hosts can write to it; a clause.
  case shared(String)
  /// A metadata format, which passthrough does not write.
  case metadataFormat(bytes: UInt16)
  /// Something else stands in the way; a clause.
  case obstacle(String)
}

/// The verdicts on one request.
public struct Plan: Hashable, Sendable {
  /// `RWF_ATOMIC`.
  public var kernel: PathVerdict
  /// NVMe passthrough.
  public var passthrough: PathVerdict
  /// An ordinary direct write.
  public var plain: PathVerdict

  /// The path that `auto` takes: `RWF_ATOMIC` for who uses it, a plain write for who does not.
  ///
  /// Passthrough is never chosen unasked.
  public var path: WritePath? {
    if kernel.promise != nil { return .kernel }
    return plain.promise != nil ? .plain : nil
  }
}
