import NVMeAtomic
import SystemPackage

/// A folder with the name of a journal, and the mark of its target: what a reader sees, and what a
/// power failure may leave.
///
/// What was not synchronised may be there or not, each by itself, whatever came first.
final class SimulatedNames: JournalFolder, MarkedFile {
  /// What is left out, or done in the wrong order.
  enum Lie: Hashable {
    case folderUnsynced, markUnsynced, journalUnsynced, markedFirst
  }

  /// What somebody finds who opens the file.
  struct State: Hashable {
    /// Whether there is a journal by the name.
    var isNamed = false
    /// Whether the journal has what was written to it.
    var isWhole = true
    var mark: String?
  }

  private let lie: Lie?
  /// Called after each step, where the power may be cut.
  var onStep: () -> Void = {}
  private(set) var seen: State
  /// What may be left: the last one that was synchronised, and what came after.
  private var names: [Bool]
  private var marks: [String?]
  private var hasLink = false

  init(_ state: State, lie: Lie?) {
    (seen, self.lie) = (state, lie)
    (names, marks) = ([state.isNamed], [state.mark])
    seen.isWhole = state.isNamed
  }

  /// Whether the folder, or the file, has changed since it was synchronised: choices are looked at.
  var choices: Int { names.count * marks.count * (seen.isWhole ? 1 : 2) }

  /// What a power failure leaves; each choice from 0 is one.
  func left(_ choice: Int) -> State {
    let (rest, name) = choice.quotientAndRemainder(dividingBy: names.count)
    let (whole, mark) = rest.quotientAndRemainder(dividingBy: marks.count)
    return State(
      isNamed: names[name],
      isWhole: seen.isWhole || whole > 0,
      mark: marks[mark]
    )
  }

  // MARK: The journal's name

  func synchronizeJournal() throws(Errno) {
    if lie != .journalUnsynced { seen.isWhole = true }
    onStep()
  }

  func linkJournal() throws(Errno) {
    hasLink = true
    if lie != .markedFirst { link() }
    onStep()
  }

  private func link() {
    seen.isNamed = true
    names.append(true)
  }

  func synchronizeFolder() throws(Errno) {
    if lie != .folderUnsynced { names = [seen.isNamed] }
    onStep()
  }

  /// Nobody waits for that to last.
  func unlinkJournal() {
    seen.isNamed = false
    names.append(false)
    onStep()
  }

  // MARK: The mark

  func writeMark(_ text: String) throws(Errno) {
    seen.mark = text
    marks.append(text)
    onStep()
  }

  func eraseMark() throws(Errno) {
    seen.mark = nil
    marks.append(nil)
    onStep()
  }

  func synchronizeMark() throws(Errno) {
    if lie != .markUnsynced { marks = [seen.mark] }
    onStep()
    guard lie == .markedFirst, hasLink, !seen.isNamed else { return }
    link()
    names = [true]
    onStep()
  }
}
