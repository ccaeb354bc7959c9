/// Where the journal of a target is.
public enum JournalPlace: Hashable, Sendable {
  /// Where the file's mark says; for a file that has none yet, beside it: its name and
  /// `.nvme-atomic-journal`. Block devices have no such place.
  case automatic
  /// A file by that name; one for a file is made where none is there.
  case file(String)
  /// A part of the block device that is written to, made by ``TargetJournal``; bytes.
  case region(offsetBytes: UInt64, lengthBytes: UInt64)

  /// What a file's journal is called unless somebody says otherwise.
  static func usualPath(of target: String) -> String { target + ".nvme-atomic-journal" }

  /// Bytes of a journal that is made where none was asked for.
  package static let usualBytes: UInt64 = 64 << 20
}

/// Why a journal cannot be used.
public enum JournalFailure: Hashable, Sendable {
  /// A block device's journal was not named, and nothing else tells where it is.
  case unnamed
  /// The file's mark names a journal that is not there.
  case missing(String)
  /// What is there is no journal, that of another target, or one that was left behind; a clause.
  case foreign(String)
  /// Somebody else than the target's users could have written to what is there, by its owner or its
  /// permissions.
  case exposed(String)
  /// Nothing that stays the same tells the target from others, so that no journal could be its
  /// own; a clause.
  case indistinct(String)
  /// It cannot be trusted: a clause says what was found. Nothing was written.
  case corrupt(String)
  /// A block device's journal has transactions to be brought in place, which is never done unasked.
  case needsRecovery(transactions: UInt64)
  /// The transaction is longer than the journal.
  case exceeds(byteCount: UInt64, limitBytes: UInt64)
  /// What was committed is safe in the journal, and could not be written in place.
  case unplaced(FailureCause)
  /// An earlier transaction, which is safe in the journal or of which nobody knows, has ended its
  /// work; this one was not written.
  case stopped(FailureCause)
  /// The range lies over the journal's region.
  case overlapsRegion(offsetBytes: UInt64, lengthBytes: UInt64)
  /// The place named does not go with the target; a clause.
  case place(String)
}
