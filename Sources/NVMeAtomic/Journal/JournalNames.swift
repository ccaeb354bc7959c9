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

extension MarkedFile {
  /// Leads to the journal, durably, before the first record is written.
  package func leaveMark(_ mark: JournalMark) throws(Errno) {
    try writeMark(mark.text)
    try synchronizeMark()
  }

  /// Leads there no more, durably, before the journal may go.
  package func takeMark() throws(Errno) {
    try eraseMark()
    try synchronizeMark()
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
