package import SystemPackage

/// A journal's file and the folder that is to name it. What is done lasts once it is synchronised.
package protocol JournalFolder {
  func synchronizeJournal() throws(Errno)
  func linkJournal() throws(Errno)
  func synchronizeFolder() throws(Errno)
}

extension JournalFolder {
  /// Gives the journal its name, durably: whoever finds the name after a power failure finds the
  /// journal by it.
  package func publishJournal() throws(Errno) {
    try synchronizeJournal()
    try linkJournal()
    try synchronizeFolder()
  }
}

/// A file that carries a mark which leads to its journal. What is done lasts once it is
/// synchronised.
package protocol MarkedFile {
  func writeMark(_ text: String) throws(Errno)
  func eraseMark() throws(Errno)
  func synchronizeMark() throws(Errno)
}

/// Which step to or from a journal has failed.
package enum JournalNameProblem: Error {
  case name(Errno)
  case mark(Errno)
}

extension MarkedFile {
  /// Leads to a journal, durably, before the first record is written: the mark never before the
  /// name.
  ///
  /// - Parameters:
  ///   - mark: `nil` where it is right already, or the filesystem takes none.
  ///   - folder: Names a journal that is new; `nil` for one that has its name.
  /// - Throws: The step that has failed; those before it are done.
  package func lead(
    to mark: JournalMark?,
    naming folder: (some JournalFolder)?
  ) throws(JournalNameProblem) {
    do throws(Errno) {
      try folder?.publishJournal()
    } catch {
      throw .name(error)
    }
    guard let mark else { return }
    do throws(Errno) {
      try writeMark(mark.text)
      try synchronizeMark()
    } catch {
      throw .mark(error)
    }
  }

  /// Leads there no more, durably, before the journal goes: one that nothing leads to does no harm,
  /// as it is clean.
  ///
  /// - Parameters:
  ///   - isMarked: Whether the file has a mark.
  ///   - unlink: Takes the journal's name away.
  /// - Throws: The step that has failed; those before it are done.
  package func part(
    isMarked: Bool,
    unlinking unlink: () throws(Errno) -> Void
  ) throws(JournalNameProblem) {
    do throws(Errno) {
      if isMarked {
        try eraseMark()
        try synchronizeMark()
      }
    } catch {
      throw .mark(error)
    }
    do throws(Errno) {
      try unlink()
    } catch {
      throw .name(error)
    }
  }
}

/// What a file's attribute says.
package struct JournalFileMark {
  package var mark: JournalMark?
  /// Whether the filesystem takes any.
  package var isTaken = false

  package init(mark: JournalMark? = nil, isTaken: Bool = false) {
    self.mark = mark
    self.isTaken = isTaken
  }
}

/// Whether a journal is the one that is meant.
package struct JournalCheck {
  package var name: String
  package var mark: JournalFileMark
  package var isFile: Bool

  package init(name: String, mark: JournalFileMark, isFile: Bool) {
    self.name = name
    self.mark = mark
    self.isFile = isFile
  }

  /// - Throws: ``JournalProblem/foreign(_:)``.
  package func check(_ superblock: JournalSuperblock) throws(JournalProblem) {
    guard superblock.target == name else {
      throw .foreign("it is of '\(superblock.target)', and this is '\(name)'")
    }
    guard isFile, mark.isTaken else { return }
    if let mark = mark.mark {
      guard mark.identity == superblock.identity else {
        throw .foreign("the file's mark names \(mark.identity.hex), and this is another one")
      }
      guard superblock.generation >= mark.generation else {
        throw .foreign("it is a copy from before the file was last written to")
      }
    } else if !superblock.isClean {
      throw .foreign("the file carries no mark, so that it was written since without its journal")
    }
  }
}
