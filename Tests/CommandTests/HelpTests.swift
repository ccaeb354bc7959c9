import ArgumentParser
import Testing

@testable import nvme_atomic

@Suite struct HelpTests {
  @Test func rootHelpIsAsRecorded() throws {
    try Snapshot.check(NVMeAtomicCommand.helpMessage(columns: 80), "help.txt")
  }

  @Test func probeHelpIsAsRecorded() throws {
    let help = NVMeAtomicCommand.helpMessage(for: ProbeCommand.self, columns: 80)
    try Snapshot.check(help, "help-probe.txt")
  }

  @Test func writeHelpIsAsRecorded() throws {
    let help = NVMeAtomicCommand.helpMessage(for: WriteCommand.self, columns: 80)
    try Snapshot.check(help, "help-write.txt")
  }

  @Test func verifyCrashHelpIsAsRecorded() throws {
    let help = NVMeAtomicCommand.helpMessage(for: VerifyCrashCommand.self, columns: 80)
    try Snapshot.check(help, "help-verify-crash.txt")
  }

  @Test func verifyTearingHelpIsAsRecorded() throws {
    let help = NVMeAtomicCommand.helpMessage(for: VerifyTearingCommand.self, columns: 80)
    try Snapshot.check(help, "help-verify-tearing.txt")
  }
}
