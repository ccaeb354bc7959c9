import LinuxIO

/// Laps of the log, and the superblocks that tell of them.
extension JournalEngine where Storage: ~Copyable {
  /// Has everything in place on stable storage, and the log begin anew.
  mutating func beginLap(isClean: Bool) throws(JournalProblem) {
    try settle()
    if rules.flushesPlaces {
      let result = target.perform(StorageOperation(.flush, token: 0)).result
      guard result.isAll(of: 0) else { throw fail(.flush(result)) }
    }
    try writeSuperblocks {
      $0.lap += 1
      $0.isClean = isClean
    }
  }

  /// Writes both superblocks, one after the other, so that one is always whole.
  mutating func writeSuperblocks(
    _ change: (inout JournalSuperblock) -> Void
  ) throws(JournalProblem) {
    var changed = superblock
    change(&changed)
    changed.generation += 1
    changed.firstSequence = sequence
    try write(changed, to: geometry.superblocks)
    superblock = changed
    position = geometry.logStart
    flushedSequence = sequence - 1
  }

  /// Writes a superblock to places, one after the other.
  mutating func write(
    _ superblock: JournalSuperblock,
    to places: [UInt64]
  ) throws(JournalProblem) {
    // The memory of records on their way in place is not touched.
    var block = AlignedBuffer(byteCount: Int(geometry.blockBytes))
    // SAFETY: the bytes are lent for the call.
    unsafe block.withMutableBytes { superblock.encode(into: unsafe JournalBytes($0)) }
    for place in places {
      let result = unsafe perform(
        .write,
        onLog: true,
        block.base,
        block.byteCount,
        at: place,
        isDurable: true
      )
      guard result.isAll(of: block.byteCount) else { throw fail(.log(result)) }
    }
  }

  /// Makes a journal, in place of whatever is there.
  package mutating func format(_ new: JournalSuperblock) throws(JournalProblem) {
    precondition(new.geometry == geometry)
    superblock = new
    sequence = new.firstSequence
    try writeSuperblocks { $0.isClean = true }
    isOpen = true
  }

  /// Has everything in place on stable storage, and marks the journal clean.
  package mutating func close() throws(JournalProblem) {
    if let failure { throw failure }
    guard isOpen, !superblock.isClean else { return }
    try beginLap(isClean: true)
  }
}
