package import LinuxIO

/// Why a journal does not do what it is asked.
package enum JournalProblem: Error, Equatable, Sendable {
  /// No superblock is there.
  case notFound
  /// Made by a later version.
  case version(UInt32)
  /// It cannot be trusted: a clause says what was found. Nothing was written.
  case corrupt(String)
  /// It is another journal, or that of another target: a clause.
  case foreign(String)
  /// The transaction would not fit.
  case exceeds(byteCount: UInt64, limitBytes: UInt64)
  /// What is to be written could not be read.
  case source
  /// Reading failed, of the journal or of the target.
  case read(StorageResult)
  /// Writing to the log failed: whether the transaction is done, nobody knows.
  case log(StorageResult)
  /// A transaction is safe in the log, and could not be written in place.
  case place(StorageResult)
  /// Something has failed before; this transaction was not written.
  case stopped(StorageResult)
  /// A flush of the target failed; what is in the log stays there.
  case flush(StorageResult)
}

extension JournalProblem {
  /// What it is to a transaction that comes after it.
  var asStopped: JournalProblem {
    switch self {
    case .read(let result), .log(let result), .place(let result), .flush(let result):
      .stopped(result)
    default: self
    }
  }
}

/// What keeps a journal's promises, each to be left out for the crash explorer to notice.
package struct JournalRules: Hashable, Sendable {
  /// A record is on stable storage before anything of it is written in place.
  package var flushesRecords = true
  /// What was written in place is on stable storage before the log begins anew.
  package var flushesPlaces = true
  /// What recovery has written in place is, before the log is given up.
  package var flushesRecovery = true
  /// A record's writes in place have ended before those of the next one begin.
  package var keepsOrder = true
  /// Memory that is on its way in place is not filled with other records.
  package var sparesMemory = true
  /// The payload's checksum is looked at.
  package var checksPayload = true
  /// Records of other journals are none.
  package var checksIdentity = true
  /// Records of other laps are none.
  package var checksLap = true
  /// Records count on without a gap.
  package var checksSequence = true
  /// Transactions whose end is missing are none.
  package var waitsForEnd = true
  /// Superblocks that differ are made equal before anything else is done.
  package var mendsSuperblocks = true
  /// A gap before a record that proves it to be damage is no end.
  package var noticesDamage = true

  package init() {}
}
