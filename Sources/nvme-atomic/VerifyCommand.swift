import ArgumentParser

/// `nvme-atomic verify`
struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Look whether the target keeps what it promises.",
    subcommands: [VerifyTearingCommand.self, VerifyCrashCommand.self]
  )
}
