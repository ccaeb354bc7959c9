import SystemPackage

extension JournalSession {
  /// What a problem of the journal means for whoever wants to write.
  static func error(_ problem: JournalProblem) -> AtomicWriteError {
    switch problem {
    case .notFound: .journal(.foreign("there is no journal"))
    case .version(let version):
      .journal(.foreign("it was made by a later version of this program: its format is \(version)"))
    case .corrupt(let clause): .journal(.corrupt(clause))
    case .foreign(let clause): .journal(.foreign(clause))
    case .exceeds(let count, let limit): .journal(.exceeds(byteCount: count, limitBytes: limit))
    case .source: .readFailed(FailureCause(.ioError))
    case .read(let result): .readFailed(AtomicTarget.cause(result))
    case .log(let result): .outcomeUnknown(AtomicTarget.cause(result))
    case .place(let result), .flush(let result): .journal(.unplaced(AtomicTarget.cause(result)))
    case .stopped(let result): .journal(.stopped(AtomicTarget.cause(result)))
    }
  }
}
