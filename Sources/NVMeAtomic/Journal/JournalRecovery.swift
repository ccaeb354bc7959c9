import LinuxIO

/// What recovery has found, and done.
package struct JournalReport: Hashable, Sendable {
  /// Whether the journal had been left in the middle of things.
  package var wasInUse = false
  /// Whether only one of its superblocks says what the newer one does.
  package var hasOneSuperblock = false
  /// Transactions in the log that were complete, and the records and bytes of the target of them.
  package var transactions: UInt64 = 0
  package var records: UInt64 = 0
  package var bytes: UInt64 = 0
  /// Where in the journal the last of them begins: nothing that follows proves it whole.
  package var lastTransactionBytes: UInt64 = 0
  /// Records of a transaction whose end is missing; it is none.
  package var droppedRecords: UInt64 = 0
}

extension JournalEngine where Storage: ~Copyable {
  /// Reads the superblocks and the log, brings every complete transaction in place, and begins the
  /// log anew. What was done before the power failed may be done again; it may itself be cut off
  /// anywhere.
  ///
  /// - Parameters:
  ///   - check: Whether the superblock is the one that is meant.
  ///   - proceeds: Whether to go on, after a look at what was found; nothing is written else, and
  ///     the journal is not open.
  /// - Returns: What was found, and done.
  /// - Throws: ``JournalProblem/corrupt(_:)``, ``JournalProblem/foreign(_:)`` and
  ///   ``JournalProblem/read(_:)`` before anything was written; the rest leaves the journal as it
  ///   was, to be recovered again.
  package mutating func recover(
    check: (JournalSuperblock) throws(JournalProblem) -> Void,
    proceeds: (JournalReport) -> Bool = { _ in true }
  ) throws(JournalProblem) -> JournalReport {
    let places: [UInt64]
    (superblock, places) = try newestSuperblock()
    try check(superblock)
    var scan = JournalScan(superblock, waitsForEnd: rules.waitsForEnd)
    scan.report.hasOneSuperblock = !places.isEmpty
    if superblock.isClean {
      try checkNothingFollows(scan)
      sequence = superblock.firstSequence
      guard proceeds(scan.report) else { return scan.report }
      // The older one may be from before the log was done with.
      if rules.mendsSuperblocks { try write(superblock, to: places) }
      open()
      return scan.report
    }
    try scanLog(&scan)
    scan.report.wasInUse = true
    guard proceeds(scan.report) else { return scan.report }
    do throws(JournalProblem) {
      try replay(scan)
    } catch {
      // Some of it may be in place.
      if case .read(let result) = error { throw .place(result) }
      throw error
    }
    sequence = scan.nextSequence
    if rules.flushesRecovery {
      try flushTarget()
    }
    try writeSuperblocks {
      $0.lap += 1
      $0.isClean = true
    }
    open()
    return scan.report
  }

  private mutating func open() {
    position = geometry.logStart
    isOpen = true
  }

  private mutating func flushTarget() throws(JournalProblem) {
    let result = target.perform(StorageOperation(.flush, token: 0)).result
    guard result.isAll(of: 0) else { throw .flush(result) }
  }

  // MARK: Superblocks

  /// The newer one of those that are whole, and where it is not.
  private mutating func newestSuperblock() throws(JournalProblem) -> (JournalSuperblock, [UInt64]) {
    var (newest, isDamaged) = (JournalSuperblock?.none, false)
    var found: [(place: UInt64, superblock: JournalSuperblock?)] = []
    for place in geometry.superblocks {
      var here: JournalSuperblock?
      defer { found.append((place, here)) }
      let block = try readLog(place, Int(geometry.blockBytes))
      switch JournalSuperblock.decode(block, startBytes: geometry.startBytes) {
      case .superblock(let superblock):
        guard superblock.geometry == geometry else {
          throw .foreign(
            "it was made with \(superblock.geometry.lengthBytes) bytes, and blocks of "
              + "\(superblock.geometry.granuleBytes) below"
          )
        }
        here = superblock
        if superblock.generation > newest?.generation ?? 0 { newest = superblock }
      case .version(let version): throw .version(version)
      case .damaged: isDamaged = true
      case .other: continue
      }
    }
    guard let newest else {
      throw isDamaged ? .corrupt("both of its superblocks are damaged") : .notFound
    }
    return (newest, found.filter { $0.superblock != newest }.map(\.place))
  }
}
