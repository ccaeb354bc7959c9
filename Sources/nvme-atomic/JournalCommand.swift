import ArgumentParser
import NVMeAtomic

/// `nvme-atomic journal`
struct JournalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "journal",
    abstract: "Make and remove journals.",
    subcommands: [JournalInitCommand.self, JournalDropCommand.self]
  )
}

/// `nvme-atomic journal init`
struct JournalInitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init",
    abstract: "Make a journal for a file or block device.",
    discussion: """
      A file gets one by itself when it is first written to by --path journal; this makes one of \
      another size, or elsewhere. What lies in a region of a block device is lost.
      """
  )

  @Argument(help: "The file or block device that the journal is for.")
  var target: String

  @OptionGroup var journal: JournalOptions

  @Option(help: "Bytes of a journal in a file; the default is 64MiB.")
  var size: SizeArgument?

  @Flag(
    help: """
      Make it although the block device carries a filesystem or partition table, or the region a \
      journal.
      """
  )
  var overwriteExistingData = false

  @Flag(help: "Print JSON.")
  var json = false

  static let format = "nvme-atomic-journal/1"

  func validate() throws {
    if size != nil, journal.region != nil {
      throw ValidationError("A region has its size; --size is for a journal in a file.")
    }
  }

  func run() throws {
    try JournalCommand.run(target, json) { report throws(AtomicWriteError) in
      try TargetJournal.make(
        report,
        journal.place,
        byteCount: size?.bytes,
        overwritingExistingData: overwriteExistingData
      )
      return "the journal is made"
    }
  }
}

/// `nvme-atomic journal drop`
struct JournalDropCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop",
    abstract: "Bring in place what a file's journal has, and remove the journal."
  )

  @Argument(help: "The file that the journal belongs to.")
  var target: String

  @OptionGroup var journal: JournalOptions

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    try JournalCommand.run(target, json) { report throws(AtomicWriteError) in
      try TargetJournal.drop(report, journal.place)
        ? "the journal is removed" : "no journal, nothing to remove"
    }
  }
}

extension JournalCommand {
  /// Probes, does it, and says what was done.
  fileprivate static func run(
    _ target: String,
    _ json: Bool,
    _ body: (TargetReport) throws(AtomicWriteError) -> String
  ) throws {
    do throws(Failure) {
      InterruptGuard.holdUntilExit()
      let done: String
      do throws(AtomicWriteError) {
        done = try body(Probe().report(on: target))
      } catch {
        throw Failure(error, target: target, path: .journal)
      }
      let document: JSONValue = .object([
        "format": .string(JournalInitCommand.format), "done": .string(done),
      ])
      try Terminal.printReport(
        json ? document.rendered : "\(target): \(done)".printable,
        of: target
      )
    } catch {
      if json { Terminal.print(error.document(format: JournalInitCommand.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }
}
