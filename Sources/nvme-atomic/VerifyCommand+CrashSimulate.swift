import ArgumentParser
import NVMeAtomic
import Simulation

/// `verify crash --simulate`
extension VerifyCrashCommand {
  /// How the process is to end; `nil` where plain pages were torn and all else was whole.
  func runSimulation() throws(Failure) -> ExitCode? {
    let blind = CrashSelfCheck.blindness()
    guard blind.isEmpty else { throw Self.blindness(blind, target: "simulation") }
    // As a number in a document, which has 53 bits.
    let seed = seed ?? UInt64.random(in: 1..<1 << 32)
    let simulation = CrashSimulation(seed: seed)
    let summary = CrashSimulationSummary(
      seed: seed,
      outcomes: CrashSimulation.paths.map { simulation.run($0) }
    )
    try Terminal.printReport(
      json ? summary.document.rendered : summary.text,
      of: "simulation",
      hasWritten: false
    )
    return summary.exitCode == .success ? nil : summary.exitCode
  }

  static func blindness(_ blind: [String], target: String) -> Failure {
    Failure(
      target: target,
      code: .refused,
      message: "the check does not see what it is made to see: \(blind.joined(separator: ", "))",
      remedy: "report a bug; nothing can be said of the target",
      outcome: .notWritten
    )
  }
}
