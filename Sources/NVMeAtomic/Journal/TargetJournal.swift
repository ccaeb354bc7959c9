import LinuxIO
import SystemPackage

/// What was in a target's journal.
public struct JournalRecovery: Hashable, Sendable {
  /// Whether it had been left without being closed.
  public var wasInUse: Bool
  /// Transactions that were complete in it, each of which is in place now.
  public var transactions: UInt64
  /// Bytes of the target that they have.
  public var bytes: UInt64
  /// Records of a transaction that was never committed whole; the target has nothing of it.
  public var droppedRecords: UInt64
}

/// The journal of a target that is not open.
public enum TargetJournal {
  /// Whether a file is marked with a journal; `false` where that cannot be seen, which opening it
  /// will tell.
  public static func isMarked(_ report: TargetReport) -> Bool {
    guard report.kind == .file,
      let file = try? OwnedFileDescriptor(opening: report.path, .readOnly),
      let mark = try? file.mark()
    else { return false }
    return !mark.isEmpty
  }

  /// Brings in place what a journal has. What was done before a failure may be done again, and it
  /// may itself be cut off anywhere.
  ///
  /// - Parameters:
  ///   - report: The target's report; it must still be true of the path.
  ///   - place: Where the journal is.
  ///   - dryRun: Whether nothing is written; permission to read is enough then.
  ///   - overwritingExistingData: Whether a block device is written to where a filesystem, RAID or
  ///     partition table has appeared since its journal was made.
  /// - Returns: What was found; `nil` where the target has no journal.
  /// - Throws: ``AtomicWriteError/journal(_:)``, ``AtomicWriteError/busy(_:)``,
  ///   ``AtomicWriteError/existingData(signature:)`` and what ``AtomicTarget`` throws on opening:
  ///   nothing was written. ``AtomicWriteError/outcomeUnknown(_:)`` and
  ///   ``AtomicWriteError/journal(_:)`` with ``JournalFailure/unplaced(_:)`` leave it to be
  ///   recovered again.
  public static func recover(
    _ report: TargetReport,
    _ place: JournalPlace = .automatic,
    dryRun: Bool = false,
    overwritingExistingData: Bool = false
  ) throws(AtomicWriteError) -> JournalRecovery? {
    let opening = try open(
      report,
      .recover(dryRun: dryRun, overwrites: overwritingExistingData)
    )
    guard let found = try opening.recover(place) else { return nil }
    return JournalRecovery(
      wasInUse: found.wasInUse,
      transactions: found.transactions,
      bytes: found.bytes,
      droppedRecords: found.droppedRecords
    )
  }

  /// Makes a journal: a file of its own, or a region of a block device, whose bytes are lost.
  ///
  /// - Parameters:
  ///   - report: The target's report; it must still be true of the path.
  ///   - place: Where it is to be. A region has its length.
  ///   - byteCount: Bytes of a file, a multiple of 4096 and at least 1 MiB; `nil` for 64 MiB.
  ///   - overwritingExistingData: Whether the block device may carry a filesystem, RAID or
  ///     partition table, and the region a journal.
  /// - Throws: ``AtomicWriteError/journal(_:)`` where there is one already, and what
  ///   ``AtomicTarget`` throws on opening; nothing was written.
  public static func make(
    _ report: TargetReport,
    _ place: JournalPlace,
    byteCount: UInt64? = nil,
    overwritingExistingData: Bool = false
  ) throws(AtomicWriteError) {
    let opening = try open(report, .make)
    if !overwritingExistingData, !opening.signature.isEmpty {
      throw .existingData(signature: opening.signature)
    }
    try opening.make(place, byteCount ?? JournalPlace.usualBytes, overwritingExistingData)
  }

  /// Brings in place what a file's journal has, takes the mark from the file, and removes the
  /// journal.
  ///
  /// - Parameters:
  ///   - report: The file's report; it must still be true of the path.
  ///   - place: Where the journal is.
  /// - Returns: Whether there was one.
  /// - Throws: What ``recover(_:_:dryRun:overwritingExistingData:)`` does; and
  ///   ``AtomicWriteError/journal(_:)`` for a block device.
  public static func drop(
    _ report: TargetReport,
    _ place: JournalPlace = .automatic
  ) throws(AtomicWriteError) -> Bool {
    try open(report, .recover(dryRun: false, overwrites: false)).drop(place)
  }

  private static func open(
    _ report: TargetReport,
    _ purpose: JournalOpening.Purpose
  ) throws(AtomicWriteError) -> JournalOpening {
    if let error = report.error { throw .target(error) }
    guard report.kind == .file || report.kind?.isBlockDevice == true else {
      throw .refused(.notWritable(report.kind ?? .block))
    }
    let target = try TargetOpening.open(report, onlyReads: purpose.onlyReads)
    return try JournalOpening(report, target, purpose)
  }
}
