import LinuxIO
import SystemPackage

/// Recovery, new journals, and their end.
extension JournalOpening {
  /// `nil` where there is no journal.
  func recover(_ place: JournalPlace) throws(AtomicWriteError) -> JournalReport? {
    guard let (files, path) = try existing(place) else { return nil }
    let geometry = try files.geometry(isNew: false, isFile: isFile, report)
    var engine = try files.engine(geometry)
    let check = JournalCheck(name: name, mark: mark, isFile: isFile)
    guard case .recover(let dryRun, let overwrites) = purpose else { return nil }
    var before = ""
    let isForeign = { (signature: String, before: String) in
      !overwrites && !signature.isEmpty && signature != before
    }
    let found = try Self.journalErrors { () throws(JournalProblem) in
      try engine.recover(
        check: { superblock throws(JournalProblem) in
          try check.check(superblock)
          before = superblock.signature
        },
        proceeds: { _ in !dryRun && !isForeign(signature, before) }
      )
    }
    if found.wasInUse, isForeign(signature, before) {
      throw .existingData(signature: signature)
    }
    // From now on a copy from before is older than the mark.
    if !dryRun, mark.mark != nil, let path {
      do throws(AtomicWriteError) {
        try lead(to: engine.superblock, files, path, naming: nil)
      } catch {
        // What was recovered is in place all the same.
        guard found.wasInUse, case .notWritten(let cause) = error else { throw error }
        throw .outcomeUnknown(cause)
      }
    }
    return found
  }

  /// What is open of a target and its journal; `nil` where there is none.
  private func existing(
    _ place: JournalPlace
  ) throws(AtomicWriteError) -> (JournalFiles, path: String?)? {
    if case .region(let offset, let length) = place {
      return (files(nil, try region(offset, length), nil), nil)
    }
    let path = try path(place)
    if let found = try find(path) {
      return (try lockedFiles(found, nil, path), path)
    }
    if mark.mark != nil { throw .journal(.missing(path)) }
    if case .file = place { throw .journal(.missing(path)) }
    return nil
  }

  /// Makes a journal where none is.
  func make(
    _ place: JournalPlace,
    _ byteCount: UInt64,
    _ overwrites: Bool
  ) throws(AtomicWriteError) {
    if let mark = mark.mark {
      throw .journal(.place("it has a journal already, \(mark.path); journal drop removes that"))
    }
    guard case .region(let offset, let length) = place else {
      let path = try path(place)
      if Self.exists(path) { throw .journal(.place("something is there already: \(path)")) }
      return try makeAndOpen(path, byteCount: byteCount).close()
    }
    let files = files(nil, try region(offset, length), nil)
    let geometry = try files.geometry(isNew: true, isFile: false, report)
    if !overwrites, try files.hasJournal() {
      throw .journal(
        .place(
          "the region has a journal, or some of one; --overwrite-existing-data makes it anew"
        )
      )
    }
    var engine = try files.engine(geometry)
    var superblock = JournalSuperblock(identity: .random, geometry: geometry)
    (superblock.target, superblock.signature) = (name, signature)
    try Self.journalErrors { () throws(JournalProblem) in try engine.format(superblock) }
  }

  /// Removes a file's journal; whether there was one.
  func drop(_ place: JournalPlace) throws(AtomicWriteError) -> Bool {
    guard isFile else {
      throw .journal(.place("a block device has no mark; its journal is a file"))
    }
    let path = try path(place)
    guard try recover(place) != nil, let journal = try find(path) else { return false }
    do throws(JournalNameProblem) {
      try target.part(isMarked: mark.mark != nil) { () throws(Errno) in
        let name = FilePath(path)
        let folder = try OwnedFileDescriptor(
          opening: name.removingLastComponent().string,
          .readOnly
        )
        try journal.unlink(name.lastComponent?.string ?? "", in: folder)
      }
    } catch {
      throw Self.nameError(error, path)
    }
    return true
  }
}

extension JournalFiles {
  /// Whether a region has a journal, or some of one, whatever its state.
  func hasJournal() throws(AtomicWriteError) -> Bool {
    guard let region else { return false }
    var piece = try AlignedBuffer(reserving: 1 << 20)
    var place = region.lowerBound
    while place < region.upperBound {
      let count = Int(min(UInt64(piece.byteCount), region.upperBound - place))
      let result: Result<Bool, Errno>
      // SAFETY: the bytes are lent for the call.
      result = unsafe piece.withMutableBytes { bytes in
        do throws(Errno) {
          let part = unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[..<count])
          // SAFETY: as above.
          guard unsafe try target.direct.readOnce(into: part, atBytes: Int64(place)) == count else {
            return .failure(.ioError)
          }
          // SAFETY: as above.
          return .success(JournalSuperblock.isAnyJournal(unsafe JournalBytes(part)))
        } catch {
          return .failure(error)
        }
      }
      switch result {
      case .success(true): return true
      case .success(false): place += UInt64(count)
      case .failure(let error): throw .readFailed(FailureCause(error))
      }
    }
    return false
  }
}
