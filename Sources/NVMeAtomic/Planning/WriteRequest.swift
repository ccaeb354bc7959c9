/// Who writes. Atomic write paths protect only those who write through them.
public enum Writer: String, Sendable, CaseIterable {
  /// Ordinary `O_DIRECT` writes, as databases issue them today.
  case direct
  /// Writes with `RWF_ATOMIC`.
  case rwfAtomic = "rwf-atomic"
  /// Ordinary writes through the page cache.
  case buffered
}

/// What a write should be kept to. Three promises that are never mixed.
public struct Promises: OptionSet, Hashable, Sendable {
  /// Bits of the promises below.
  public let rawValue: UInt8

  /// Keeps the bits.
  public init(rawValue: UInt8) {
    self.rawValue = rawValue
  }

  /// After power loss the range holds all old or all new bytes.
  public static let powerFailAtomic = Promises(rawValue: 1)
  /// A concurrent reader, one NVMe command like the writer, sees all old or all new bytes.
  public static let untorn = Promises(rawValue: 2)
  /// Survives power loss once the call returned.
  public static let durable = Promises(rawValue: 4)
}

/// A way to get bytes onto the target.
public enum WritePath: String, Sendable, CaseIterable {
  /// `pwritev2(2)` or io_uring with `RWF_ATOMIC`.
  case kernel
  /// An NVMe Write command through the `ng` character device: `NVME_URING_CMD_IO` or
  /// `NVME_IOCTL_IO64_CMD`.
  case passthrough
  /// Staged in a file without a name, whose blocks XFS then exchanges for the target's, all or
  /// none: ``AtomicTransaction``.
  case exchange
  /// Written to a journal first.
  case journal
  /// An ordinary direct write: atomic only where nothing can split, merge or move it.
  case plain
}

/// One question to the planner.
public struct WriteRequest: Hashable, Sendable {
  /// Which bytes of the target.
  public enum Range: Hashable, Sendable {
    /// One write.
    case one(offsetBytes: UInt64, lengthBytes: UInt64)
    /// Any page of this size at a multiple of it, each page one write.
    case everyPage(sizeBytes: UInt64)
  }

  /// Which bytes.
  public var range: Range
  /// What they should be kept to.
  public var promises: Promises
  /// Who writes.
  public var writer: Writer
  /// Whether the caller answers for no other host writing to a namespace that others can reach.
  /// Passthrough alone asks: its promise needs the range for itself.
  public var allowsShared = false

  /// Asks for power-fail atomicity unless told otherwise.
  public init(_ range: Range, promises: Promises = .powerFailAtomic, writer: Writer) {
    self.range = range
    self.promises = promises
    self.writer = writer
  }

  /// Bytes of one write.
  public var lengthBytes: UInt64 {
    switch range {
    case .one(_, let length): length
    case .everyPage(let size): size
    }
  }
}
