import LinuxIO
import SystemPackage

/// The checks before the first transaction that exchanges ranges.
extension TargetOpening {
  /// Who keeps it whole.
  static func exchangePromise(_ report: TargetReport) throws(AtomicWriteError) -> PathPromise {
    switch Planner(report.limits).exchange {
    case .holds(let promise): return promise
    case .fails(let refusal): throw .refused(refusal)
    case .unknown(let fact): throw .missingFact(fact)
    }
  }

  /// Keeps journals of a file away as long as the descriptor is open: replay would put an older
  /// version over a newer one. What the file's own journal has is brought in place first.
  static func excludeJournal(
    of descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport
  ) throws(AtomicWriteError) {
    guard report.kind == .file else { return }
    for _ in 0..<3 {
      let isFree = try openErrors(report) { () throws(Errno) in
        try descriptor.lock(RangeLock.journal, .shared)
      }
      if !isFree { throw .busy("somebody writes to it by a journal") }
      let mark = try JournalOpening.mark(of: descriptor).mark
      if mark == nil { return }
      if try JournalOpening.isClean(report, descriptor) { return }
      descriptor.unlock(RangeLock.journal)
      _ = try JournalOpening(report, open(report), .recover(dryRun: false, overwrites: false))
        .recover(.automatic)
    }
    throw .busy("somebody writes to it by a journal")
  }

  /// Opens the file once more that a descriptor leads to, whatever its name leads to by now.
  static func reopen(
    _ descriptor: borrowing OwnedFileDescriptor,
    _ report: TargetReport,
    onlyReads: Bool = false
  ) throws(AtomicWriteError) -> OwnedFileDescriptor {
    let path = "/proc/self/fd/\(descriptor.rawValue)"
    let again = try openErrors(report) { () throws(Errno) in
      try OwnedFileDescriptor(opening: path, onlyReads ? .readOnly : .readWrite)
    }
    let status = try openErrors(report) { () throws(Errno) in try FileStatus(of: again) }
    var identity = TargetIdentity(status)
    if report.kind?.isBlockDevice == true { identity.diskSequence = try? again.diskSequence() }
    guard identity == report.identity else { throw .targetChanged }
    return again
  }
}
