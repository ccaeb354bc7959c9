/// What readers saw of writes of one size.
public struct TearingCount: Hashable, Sendable {
  /// Writes that ended.
  public var writes: UInt64 = 0
  /// Those that were on their way while another write of the same range was.
  public var overlappedWrites: UInt64 = 0
  /// Reads that ended.
  public var reads: UInt64 = 0
  /// Those that were on their way while a write of the same range was.
  public var overlappedReads: UInt64 = 0
  /// Reads that saw one write whole, which had ended before the read began.
  public var sawOld: UInt64 = 0
  /// Reads that saw one write whole, which was on its way when the read began, or began later.
  public var sawNew: UInt64 = 0
  /// Reads that saw blocks of several writes.
  public var torn: UInt64 = 0
  /// Reads of blocks that no write left so: torn inside a block, or damaged.
  public var damaged: UInt64 = 0
  /// Those of them that no write was on its way with.
  public var damagedAlone: UInt64 = 0
  /// Reads of blocks that belong elsewhere, or that somebody else wrote.
  public var foreign: UInt64 = 0
  /// Those of them that no write was on its way with.
  public var foreignAlone: UInt64 = 0
  /// Reads that saw a write which one that had ended before lies over.
  public var stale: UInt64 = 0
  /// Those of them that no write was on its way with.
  public var staleAlone: UInt64 = 0
  /// Ranges that still held blocks of several writes when all writes had ended.
  public var leftTorn: UInt64 = 0
  /// Time of writing and reading, in nanoseconds.
  public var elapsedNanoseconds: UInt64 = 0

  /// Nothing yet.
  public init() {}

  /// Reads that saw anything but one write whole, and ranges that were left so.
  public var bad: UInt64 { torn + damaged + foreign + stale + leftTorn }

  mutating func add(_ other: TearingCount) {
    writes += other.writes
    overlappedWrites += other.overlappedWrites
    reads += other.reads
    overlappedReads += other.overlappedReads
    sawOld += other.sawOld
    sawNew += other.sawNew
    torn += other.torn
    damaged += other.damaged
    damagedAlone += other.damagedAlone
    foreign += other.foreign
    foreignAlone += other.foreignAlone
    stale += other.stale
    staleAlone += other.staleAlone
    leftTorn += other.leftTorn
  }
}

/// One read that saw something else than one write whole.
public struct TearingEvidence: Hashable, Sendable {
  /// In which way.
  public enum Kind: String, Sendable {
    /// Blocks of several writes.
    case torn
    /// The same, when all writes had ended.
    case leftTorn = "left-torn"
    /// A block that no write left so.
    case damaged
    /// A block of elsewhere, or of somebody else.
    case foreign
    /// A write that a later one, which had ended before, lies over.
    case stale
  }

  /// Neighbouring blocks of one write.
  public struct Piece: Hashable, Sendable {
    /// How many.
    public var blocks: UInt64
    /// The number of their write; `nil` for blocks that no write left so.
    public var sequence: UInt64?
    /// Its writer.
    public var writer: UInt32?
    /// Where that write was to begin, in bytes.
    public var offsetBytes: UInt64?
    /// Whether the write is one of this part of this run.
    public var isOwn: Bool?

    /// Keeps all of it.
    package init(
      blocks: UInt64,
      sequence: UInt64? = nil,
      writer: UInt32? = nil,
      offsetBytes: UInt64? = nil,
      isOwn: Bool? = nil
    ) {
      (self.blocks, self.sequence, self.writer) = (blocks, sequence, writer)
      (self.offsetBytes, self.isOwn) = (offsetBytes, isOwn)
    }
  }

  /// In which way.
  public var kind: Kind
  /// Where the range begins that is written whole, in bytes.
  public var offsetBytes: UInt64
  /// Its length.
  public var sizeBytes: UInt64
  /// Where the read began.
  public var readOffsetBytes: UInt64
  /// Its length.
  public var readBytes: UInt64
  /// Writes of the range that were on their way meanwhile.
  public var overlaps: UInt64
  /// What was read, in its order; at most 64 pieces.
  public var pieces: [Piece]

  /// Keeps all of it.
  package init(
    kind: Kind,
    offsetBytes: UInt64,
    sizeBytes: UInt64,
    readOffsetBytes: UInt64,
    readBytes: UInt64,
    overlaps: UInt64,
    pieces: [Piece]
  ) {
    self.kind = kind
    self.offsetBytes = offsetBytes
    self.sizeBytes = sizeBytes
    self.readOffsetBytes = readOffsetBytes
    self.readBytes = readBytes
    self.overlaps = overlaps
    self.pieces = pieces
  }
}

/// What a hunt for torn reads has found. It says nothing about power failures.
public struct TearingResult: Sendable {
  /// Whether readers see writes within the limits torn.
  public enum Conclusion: String, Sendable {
    /// None was seen torn, and longer ones were, under the same load.
    case untorn
    /// Some were.
    case torn
    /// Nobody promises that they are not; what was seen is counted.
    case notPromised = "not-promised"
    /// Nothing was shown either way.
    case inconclusive
  }

  /// One part, as far as it was carried out.
  public struct Part: Hashable, Sendable {
    /// What was to be done.
    public var step: TearingStep
    /// What was seen.
    public var count: TearingCount
    /// The first few reads of each kind that saw something else than one write whole.
    public var evidence: [TearingEvidence]

    /// Keeps all of it.
    package init(_ step: TearingStep, _ count: TearingCount, _ evidence: [TearingEvidence] = []) {
      (self.step, self.count, self.evidence) = (step, count, evidence)
    }
  }

  /// Whether torn data that were made on purpose were noticed before.
  public struct SelfCheck: Hashable, Sendable {
    /// In memory.
    public var inMemory: Bool
    /// On the target, read as all others are; `nil` where no size has several blocks.
    public var onTarget: Bool?

    /// Keeps both.
    package init(inMemory: Bool, onTarget: Bool?) {
      (self.inMemory, self.onTarget) = (inMemory, onTarget)
    }

    var passed: Bool { inMemory && onTarget != false }
  }

  /// A number that each block of the run carries.
  public var run: UInt64
  /// `nil` where the run ended before.
  public var selfCheck: SelfCheck?
  /// Those that were begun, in their order.
  public var parts: [Part] = []
  /// Whether the caller ended the run.
  public var isInterrupted = false
  /// What ended the run early, and where.
  public var failure: (error: AtomicWriteError, offsetBytes: UInt64)?

  /// Nothing yet.
  package init(run: UInt64) {
    self.run = run
  }

  /// Whether readers see writes within the limits torn.
  public var conclusion: Conclusion { verdict.conclusion }

  /// Why, in a sentence.
  public var because: String { verdict.because }
}

// MARK: What follows from it

extension TearingResult {
  /// So many torn reads must be expected, had the writes been torn as the control's were, before
  /// none of them means something: by chance none is then seen in one run of twenty.
  private static let fewestExpected: UInt64 = 3

  private var verdict: (conclusion: Conclusion, because: String) {
    if let bad = badVerdict { return (.torn, bad) }
    if failure != nil { return (.inconclusive, "the run failed") }
    if isInterrupted { return (.inconclusive, "the run was interrupted") }
    guard selfCheck?.passed == true else {
      return (.inconclusive, "torn data that were made on purpose were not noticed")
    }
    let path = parts.filter { $0.step.kind == .path }
    if !path.isEmpty, path.allSatisfy(\.step.isNotPromised) {
      let torn = path.reduce(0) { $0 + $1.count.torn + $1.count.damaged + $1.count.leftTorn }
      let other = path.reduce(0) { $0 + $1.count.foreign + $1.count.stale }
      let seen = torn == 0 ? "none was seen" : "\(torn) were seen"
      let others = other == 0 ? "" : "; \(other) saw other data than were written there"
      return (.notPromised, "nobody promises readers untorn data here, and \(seen) torn\(others)")
    }
    let doubts = path.filter { !$0.step.isNotPromised }
      .sorted { $0.count.bad > $1.count.bad }.compactMap(Self.doubt)
    if let doubt = doubts.first { return (.inconclusive, doubt) }
    return controlVerdict(path.filter(\.step.isPromised))
  }

  /// Torn data where none may be, and what may be nowhere.
  private var badVerdict: String? {
    for part in parts {
      let (step, count) = (part.step, part.count)
      let what = "writes of \(ByteText(step.sizeBytes))"
      // Where a filesystem moves blocks, a read may meet what takes their old place.
      let isMoved = step.isNotPromised
      let (stale, foreign) =
        isMoved ? (count.staleAlone, count.foreignAlone) : (count.stale, count.foreign)
      if stale > 0 {
        return "\(stale) reads of \(what) saw older data than had been written before"
      }
      if foreign > 0 {
        return "\(foreign) reads of \(what) saw what was not written there: by the drive's "
          + "mistake, or by somebody else who writes there"
      }
      if count.damagedAlone > 0 {
        return "\(count.damagedAlone) reads of \(what) saw what nobody wrote, while nobody wrote"
      }
      guard step.kind == .path, step.isPromised, count.bad > 0 else { continue }
      // What was left torn was so for any reader.
      guard step.readMayBeSplit == false || count.leftTorn > 0 else { continue }
      return "\(count.torn + count.damaged) reads saw torn \(what), within the limits, and "
        + "\(count.leftTorn) ranges were left torn"
    }
    return nil
  }

  /// Torn data where whole ones are not known to be promised, or reads to be one command.
  private static func doubt(_ part: Part) -> String? {
    let (step, count) = (part.step, part.count)
    let size = ByteText(step.sizeBytes)
    let seen =
      count.bad == 0 ? "" : "; \(count.bad) reads or ranges of \(size) were seen torn"
    if !step.isPromised {
      return "whether readers are promised untorn data at \(size) is not known\(seen)"
    }
    return count.bad == 0 ? nil : "the reads may have been several commands each\(seen)"
  }

  /// None was seen torn: that says something only where others were, under the same load.
  private func controlVerdict(_ path: [Part]) -> (Conclusion, String) {
    guard let control = parts.first(where: { $0.step.kind == .oneCommand }) else {
      return (
        .inconclusive,
        "none was seen torn, but no command can be longer than what the drive keeps whole, so "
          + "that nothing shows that it would tear one"
      )
    }
    let size = ByteText(control.step.sizeBytes)
    let (torn, of) = (control.count.torn + control.count.damaged, control.count.overlappedReads)
    guard torn > 0, control.step.readMayBeSplit == false else {
      return (
        .inconclusive,
        torn > 0
          ? "none was seen torn, but longer reads may have been split, so that theirs say nothing"
          : "none was seen torn, but neither was any of \(of) reads during ordinary writes of "
            + "\(size): this drive, or this load, may never show it"
      )
    }
    for part in path {
      let expected = part.count.overlappedReads.multipliedFullWidth(by: torn)
      let wanted = of.multipliedFullWidth(by: Self.fewestExpected)
      guard (expected.high, expected.low) >= (wanted.high, wanted.low) else {
        return (
          .inconclusive,
          "none was seen torn, but only \(part.count.overlappedReads) reads were on their way "
            + "during a write of \(ByteText(part.step.sizeBytes)); give more time"
        )
      }
    }
    let most = path.map(\.step.sizeBytes).max() ?? 0
    return (
      .untorn,
      "none was seen torn up to \(ByteText(most)), and \(torn) of \(of) reads during ordinary "
        + "writes of \(size) were"
    )
  }
}
