import NVMeAtomic

extension JournalExplorer {
  /// What is made wrong on purpose, for the explorer to notice.
  package enum Mutant: String, Sendable, CaseIterable {
    /// A record is written in place before it is on stable storage.
    case flushOmitted = "journal-flush-omitted"
    /// The log begins anew before what was written in place is on stable storage.
    case tailEarly = "journal-tail-early"
    /// The same at the end of recovery.
    case recoveryUnflushed = "journal-recovery-unflushed"
    /// Writes in place of two records are on their way at once.
    case unordered = "journal-unordered"
    /// A record is put where another one's bytes are on their way in place.
    case memoryReused = "journal-memory-reused"
    case checksumIgnored = "journal-checksum-ignored"
    case foreignReplayed = "journal-foreign-replayed"
    /// Neither laps nor numbers are looked at, of which one alone would do.
    case oldRecordsReplayed = "journal-old-records-replayed"
    case unfinishedReplayed = "journal-unfinished-replayed"
    case damageIgnored = "journal-damage-ignored"
    /// Of two superblocks that differ the older one stays, and is all there is once the newer one
    /// has rotted.
    case superblockUnmended = "journal-superblock-unmended"
    /// Another path writes while the log has a record of the same place.
    case directOverLive = "journal-direct-over-live"
    /// The drive ignores flushes, or FUA.
    case ignoresFlushes = "journal-drive-ignores-flushes"
    case ignoresFUA = "journal-drive-ignores-fua"
    /// The journal's name is not on stable storage before the mark is.
    case folderUnsynced = "journal-folder-unsynced"
    /// The mark is not on stable storage before the first record is.
    case markUnsynced = "journal-mark-unsynced"
    /// The journal gets a name before its bytes are on stable storage.
    case fileUnsynced = "journal-file-unsynced"
    /// The mark leads to a journal that has no name yet.
    case markedFirst = "journal-marked-first"

    var rules: JournalRules {
      var rules = JournalRules()
      switch self {
      case .flushOmitted: rules.flushesRecords = false
      case .tailEarly: rules.flushesPlaces = false
      case .recoveryUnflushed: rules.flushesRecovery = false
      case .unordered: rules.keepsOrder = false
      case .memoryReused: rules.sparesMemory = false
      case .checksumIgnored: rules.checksPayload = false
      case .foreignReplayed: rules.checksIdentity = false
      case .oldRecordsReplayed: (rules.checksLap, rules.checksSequence) = (false, false)
      case .unfinishedReplayed: rules.waitsForEnd = false
      case .damageIgnored: rules.noticesDamage = false
      case .superblockUnmended: rules.mendsSuperblocks = false
      case .directOverLive, .ignoresFlushes, .ignoresFUA: break
      case .folderUnsynced, .markUnsynced, .fileUnsynced, .markedFirst: break
      }
      return rules
    }

    var lieOfNames: SimulatedNames.Lie? {
      switch self {
      case .folderUnsynced: .folderUnsynced
      case .markUnsynced: .markUnsynced
      case .fileUnsynced: .journalUnsynced
      case .markedFirst: .markedFirst
      default: nil
      }
    }

    var lie: SimulatedDrive.Lie? {
      switch self {
      case .ignoresFlushes: .ignoresFlushes
      case .ignoresFUA: .ignoresFUA
      default: nil
      }
    }
  }
}
