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
    if let run = ProbeRun(plain: CommandLine.arguments.dropFirst()) {
      Terminal.exit(run.execute())
    }
    NVMeAtomicCommand.main()
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
      nothing was written; 3 failed with the outcome unknown; 64 wrong usage.
      """,
    version: version,
    subcommands: [ProbeCommand.self, WriteCommand.self]
  )
}
