/// Whether a target's blocks can be exchanged with those of a staging file.
extension Planner {
  /// What a transaction on the path `exchange` is kept to over a power failure.
  ///
  /// Offsets and lengths do not matter to it. XFS logs the exchange before it begins, and flushes
  /// what was written before it writes its log.
  public var exchange: PathVerdict {
    verdict { () throws(Objection) in
      try require(
        target.kind.isFile,
        else: .obstacle("ranges can be exchanged between files only, and this is none")
      )
      guard let filesystem = target.filesystem else { throw .missing(.filesystem("unknown")) }
      try require(
        filesystem.type == "xfs",
        else: .obstacle("\(filesystem.type) cannot exchange ranges; XFS made with exchange=1 can")
      )
      guard let offered = filesystem.exchangeRange else { throw .missing(.filesystem("xfs")) }
      try require(
        offered,
        else: .obstacle(
          "this XFS was made without exchange=1; mkfs.xfs -i exchange=1 makes one with it (6.10)"
        )
      )
      // What is said of flushes is said of the device of the data, and there are two here.
      if filesystem.externalLog != false || filesystem.realtime != false {
        throw .missing(.filesystem(filesystem.undescribedKind))
      }
      return PathPromise(backing: .software, assumptions: try checkFlushed())
    }
  }
}

/// Whether transactions can be written by the path `exchange`.
public struct ExchangePath: Hashable, Sendable {
  /// `nil` when a fact is missing.
  public var available: Bool?
  /// Why not, or what is missing; a clause.
  public var reason: String?

  init(_ limits: TargetLimits) {
    switch Planner(limits).exchange {
    case .holds: available = true
    case .fails(let refusal): (available, reason) = (false, refusal.description)
    case .unknown(let fact): reason = fact.description
    }
  }
}

extension TargetReport {
  /// Whether transactions can be written by the path `exchange`.
  public var exchangePath: ExchangePath { ExchangePath(limits) }
}
