/// What is to be written by whichever path suits it.
public struct AutomaticRequest: Hashable, Sendable {
  /// The one range; `nil` for several, or for one whose length is not known.
  public var range: WriteRequest.Range?
  /// When it is to survive a power failure.
  public var durability: Durability
  /// Whether many such writes follow each other.
  public var isLoad: Bool
  /// Whether a journal was named.
  public var isJournalNamed: Bool
  /// Whether the file is marked with one.
  public var hasJournal: Bool

  /// Everything that the order looks at besides the target.
  public init(
    _ range: WriteRequest.Range?,
    durability: Durability,
    isLoad: Bool = false,
    isJournalNamed: Bool = false,
    hasJournal: Bool = false
  ) {
    self.range = range
    self.durability = durability
    self.isLoad = isLoad
    self.isJournalNamed = isJournalNamed
    self.hasJournal = hasJournal
  }
}

/// The rules by which a path is chosen, in the order in which they are tried.
public enum AutomaticRule: String, Sendable, CaseIterable {
  /// A journal was named: what it has must not be passed by.
  case journalNamed = "journal-named"
  /// One range that the drive keeps whole, on XFS wherever its blocks allow: one write, nothing
  /// else.
  case hardware
  /// The file has a journal.
  case journalThere = "journal-there"
  /// One range that XFS keeps whole by moving blocks: one write, and nothing is left beside the
  /// file. Not for durable loads, in which a journal is several times as fast.
  case software
  /// XFS can exchange ranges, and the file does not use the hardware's atomic writes, which
  /// fragments would take from it: each byte is written once.
  case exchange
  /// A file: its journal is made where there is none.
  case journal
  /// Nothing else does: the kernel's refusal says why.
  case none

  /// The path taken by it.
  public var path: WritePath {
    switch self {
    case .hardware, .software, .none: .kernel
    case .journalNamed, .journalThere, .journal: .journal
    case .exchange: .exchange
    }
  }

  /// What it asks, as a clause.
  public var condition: String {
    switch self {
    case .hardware: "one range, kept whole by hardware"
    case .journalNamed: "a journal is named"
    case .journalThere: "the file has a journal"
    case .software: "one range, kept whole by XFS in software, and no durable load"
    case .exchange:
      "XFS with exchange=1, no load, and a file that uses no atomic writes of the hardware"
    case .journal: "a file"
    case .none: "nothing else"
    }
  }
}

extension Planner {
  /// The rule by which a path is chosen for a write; the first that applies, whatever it costs.
  ///
  /// Nothing is measured. Passthrough is never chosen.
  public func automaticRule(_ request: AutomaticRequest) -> AutomaticRule {
    if request.isJournalNamed { return .journalNamed }
    let kernel = request.range.map { kernelPromise($0, request.durability) } ?? nil
    if let backing = kernel?.backing, [.hardware, .mixed].contains(backing) { return .hardware }
    if request.hasJournal { return .journalThere }
    let isDurableLoad = request.isLoad && request.durability == .onReturn
    if kernel != nil, !isDurableLoad { return .software }
    if !request.isLoad, exchange.promise != nil, usesNoHardwareAtomics { return .exchange }
    if target.kind.isFile, journal.promise != nil { return .journal }
    return kernel != nil ? .software : .none
  }

  private func kernelPromise(
    _ range: WriteRequest.Range,
    _ durability: Durability
  ) -> PathPromise? {
    let promises: Promises =
      durability == .none ? .powerFailAtomic : [.powerFailAtomic, .durable]
    return plan(WriteRequest(range, promises: promises, writer: .rwfAtomic)).kernel.promise
  }

  /// Known not to; where it cannot be told, it may.
  private var usesNoHardwareAtomics: Bool {
    target.hardwareAndSoftware.hardwareMaximumBytes == 0
  }
}
