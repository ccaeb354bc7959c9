import ArgumentParser
import NVMeAtomic

/// `nvme-atomic recover`
struct RecoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recover",
    abstract: "Bring in place what the journal of a file or block device has.",
    discussion: """
      A file's journal is recovered by itself when the file is opened to be written to; a block \
      device's never is, as nothing tells a device from its clone. What was done before may be \
      done again, and recovery may be interrupted anywhere.

      With no journal there is nothing to recover, and the exit code is 0.
      """
  )

  @Argument(help: "The file or block device.")
  var target: String

  @OptionGroup var journal: JournalOptions

  @Flag(help: "Only say what would be done.")
  var dryRun = false

  @Flag(
    help: """
      Write to a block device although a filesystem or partition table has appeared on it since \
      the journal was made.
      """
  )
  var overwriteExistingData = false

  @Flag(help: "Print JSON.")
  var json = false

  static let format = "nvme-atomic-recover/1"

  func run() throws {
    do throws(Failure) {
      let report = Probe().report(on: target)
      let found: JournalRecovery?
      do throws(AtomicWriteError) {
        found = try TargetJournal.recover(
          report,
          journal.place,
          dryRun: dryRun,
          overwritingExistingData: overwriteExistingData
        )
      } catch {
        throw Failure(error, target: target, path: .journal)
      }
      try Terminal.printReport(
        json ? document(found).rendered : text(found),
        of: target,
        hasWritten: !dryRun && found?.wasInUse == true
      )
    } catch {
      if json { Terminal.print(error.document(format: Self.format).rendered) }
      Terminal.printError(error.line)
      throw error.exitCode
    }
  }

  private func text(_ found: JournalRecovery?) -> String {
    guard let found else { return "\(target): no journal, nothing to recover".printable }
    guard found.wasInUse else { return "\(target): closed, nothing to recover".printable }
    let dropped =
      found.droppedRecords > 0 ? "; one that was not committed is left out" : ""
    return
      ("\(target): \(found.transactions) transactions, \(ByteText(found.bytes)), "
      + (dryRun ? "would be brought in place" : "are in place") + dropped).printable
  }

  private func document(_ found: JournalRecovery?) -> JSONValue {
    .object([
      "format": .string(Self.format),
      "journal": .bool(found != nil),
      "in_use": .optional(found?.wasInUse),
      "transactions": .optional(found?.transactions),
      "bytes": .optional(found?.bytes),
      "dropped_records": .optional(found?.droppedRecords),
      "dry_run": .bool(dryRun),
    ])
  }
}
