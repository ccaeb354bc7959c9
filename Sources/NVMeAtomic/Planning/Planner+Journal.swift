/// Whether a target can be written to by a journal.
extension Planner {
  /// What a transaction on the path `journal` is kept to over a power failure.
  ///
  /// Offsets and lengths do not matter to it; that flushes reach stable storage does. Where nobody
  /// can tell, it is assumed.
  public var journal: PathVerdict {
    guard target.kind.isFile || target.kind.isBlockDevice else {
      return .fails(.notWritable(target.kind))
    }
    if let type = target.filesystem?.type, ["tmpfs", "ramfs"].contains(type) {
      return .fails(.obstacle("\(type) keeps nothing over a power failure"))
    }
    switch synchronizing {
    case .fails(let refusal): return .fails(refusal)
    case .unknown(let fact):
      if target.filesystem?.barriers == false { return .fails(.cacheNeverFlushed) }
      return .holds(
        PathPromise(backing: .software, assumptions: [.flushesReachStableStorage(fact)])
      )
    case .holds(let flushing):
      return .holds(PathPromise(backing: .software, assumptions: flushing.assumptions))
    }
  }
}

/// Whether transactions can be written by the path `journal`.
public struct JournalPath: Hashable, Sendable {
  /// Whether they can.
  public var available: Bool
  /// Why not, what it rests on, or what else is needed; a clause.
  public var reason: String?

  init(_ limits: TargetLimits) {
    switch Planner(limits).journal {
    case .holds(let promise):
      available = true
      reason =
        promise.assumptions.first?.description
        ?? (limits.kind.isFile ? nil : "its journal is named by --journal or --journal-region")
    case .fails(let refusal): (available, reason) = (false, refusal.description)
    case .unknown(let fact): (available, reason) = (false, fact.description)
    }
  }
}

extension TargetReport {
  /// Whether transactions can be written by the path `journal`.
  public var journalPath: JournalPath { JournalPath(limits) }
}
