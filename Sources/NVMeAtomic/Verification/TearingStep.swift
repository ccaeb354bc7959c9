/// One part of a hunt for torn reads: writes of one size, and what their readers may see.
public struct TearingStep: Hashable, Sendable {
  /// What the writes are.
  public enum Kind: String, Sendable {
    /// By the path that is verified, within its limits.
    case path
    /// A control: ordinary writes of one command each, longer than what the drive keeps whole.
    case oneCommand = "one-command"
    /// A control: ordinary writes that the kernel sends as several commands.
    case severalCommands = "several-commands"
  }

  /// Bytes of each write.
  public var sizeBytes: UInt64
  /// What the writes are.
  public var kind: Kind
  /// Whether readers in one command are promised all old or all new bytes; `nil` for a control.
  public var promise: PathVerdict?
  /// Bytes of each read: all of a write, or as much as is one command.
  public var readBytes: UInt64
  /// Whether a read may be several commands, so that it may be torn though no write was; `nil`
  /// where that is not known.
  public var readMayBeSplit: Bool?
  /// Where the ranges begin that are written whole.
  public var offsetsBytes: [UInt64]

  /// Keeps all of it.
  package init(
    sizeBytes: UInt64,
    kind: Kind,
    promise: PathVerdict?,
    readBytes: UInt64,
    readMayBeSplit: Bool?,
    offsetsBytes: [UInt64]
  ) {
    self.sizeBytes = sizeBytes
    self.kind = kind
    self.promise = promise
    self.readBytes = readBytes
    self.readMayBeSplit = readMayBeSplit
    self.offsetsBytes = offsetsBytes
  }

  /// Whether readers are promised untorn data, and nothing that could be known is missing.
  public var isPromised: Bool {
    promise?.promise.map { !$0.assumptions.contains(where: \.isDoubt) } ?? false
  }

  /// Whether they are known to be promised none.
  public var isNotPromised: Bool {
    if case .fails = promise { true } else { false }
  }
}

/// What to hunt torn reads with.
public struct TearingOptions: Hashable, Sendable {
  /// Bytes of the writes; empty for each power of two from the smallest to the largest that the
  /// path takes.
  public var sizesBytes: [UInt64] = []
  /// Where the range begins that may be overwritten.
  public var offsetBytes: UInt64 = 0
  /// Its length; `nil` for all the rest.
  public var lengthBytes: UInt64?
  /// Threads that write.
  public var writers = 2
  /// Threads that read.
  public var readers = 2
  /// How long each size is written and read, in nanoseconds; the control in one command goes on
  /// until ten reads were torn, for up to four times as long or ten seconds.
  public var runtimeNanoseconds: UInt64 = 5_000_000_000

  /// Two writers and two readers, five seconds for each size.
  public init() {}
}
