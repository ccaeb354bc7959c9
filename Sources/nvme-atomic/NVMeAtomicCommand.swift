import ArgumentParser
import NVMeAtomic
import SystemPackage

@main
enum Program {
  static func main() {
    do throws(Errno) {
      try ProgramStart.secure()
    } catch {
      Terminal.printError("nvme-atomic: /dev/null: \(error)")
      Terminal.exit(ExitStatus.notDone)
    }
    // Not by Swift, which needs /proc for them, and repairs names to those of other files.
    let (texts, areUTF8) = ProgramStart.arguments
    let arguments = texts.dropFirst()
    if texts.isEmpty { UsageFailure("the arguments are not known").end(arguments) }
    if !areUTF8 {
      UsageFailure("an argument is not UTF-8, and would name something else").end(arguments)
    }
    if let run = ProbeRun(plain: arguments) { Terminal.exit(run.execute()) }
    do {
      var command = try NVMeAtomicCommand.parseAsRoot(Array(arguments))
      try command.run()
    } catch {
      if NVMeAtomicCommand.exitCode(for: error) == .validationFailure {
        UsageFailure(NVMeAtomicCommand.message(for: error)).print(arguments)
      }
      NVMeAtomicCommand.exit(withError: error)
    }
  }
}

/// Wrong usage. ArgumentParser has the words for people; programs are told by a document.
struct UsageFailure {
  private let failure: Failure

  init(_ message: String) {
    failure = Failure(
      target: "usage",
      code: .usage,
      message: message,
      remedy: "nvme-atomic --help",
      outcome: .notWritten
    )
  }

  /// With `--json` among the arguments.
  func print(_ arguments: ArraySlice<String>) {
    guard arguments.contains("--json") else { return }
    let format =
      switch arguments.first {
      case "write": WriteCommand.format
      case "recover": RecoverCommand.format
      case "journal": JournalInitCommand.format
      case "verify" where arguments.dropFirst().first == "tearing": VerifyTearingCommand.format
      case "verify" where arguments.dropFirst().first == "crash": VerifyCrashCommand.format
      default: ProbeRun.format
      }
    Terminal.print(failure.document(format: format).rendered)
  }

  func end(_ arguments: ArraySlice<String>) -> Never {
    print(arguments)
    Terminal.printError(failure.line)
    Terminal.exit(.validationFailure)
  }
}

/// The `nvme-atomic` command.
struct NVMeAtomicCommand: ParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "nvme-atomic",
    abstract:
      "NVMe hardware atomic writes: what your storage promises, and writes that keep to it.",
    discussion: """
      Exit codes: 0 done, or the answer is yes; 1 the answer is no; 2 not done, or not known, and \
      nothing was written but by verify; 3 failed with the outcome unknown, or when part of a load \
      was written; 64 wrong usage.
      """,
    version: version,
    subcommands: [
      ProbeCommand.self, WriteCommand.self, VerifyCommand.self, RecoverCommand.self,
      JournalCommand.self,
    ]
  )
}
